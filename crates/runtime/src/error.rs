//! [`Error`]: whatever can stop a command, sorted by who can mend it, and what to try next.

use std::path::{Path, PathBuf};

use crate::checkpoint::CheckpointError;
use crate::config::ConfigError;

/// Why a command of this crate stopped.
///
/// Two classes, told apart by [`Error::exit_code`]: *input* (a configuration, an argument or a file that the user gave is
/// wrong: 2) and *runtime* (the environment, a worker or the machine failed: 1).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A checkpoint cannot be read or written.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Another mistake in what the user gave: an argument, a folder, a file.
    #[error("{message}")]
    Input {
        /// What is wrong, and where.
        message: String,
        /// What would be right.
        hint: Option<String>,
    },
    /// The run itself failed: an environment's error, a worker's panic.
    #[error("{message}")]
    Runtime {
        /// What happened, and where.
        message: String,
        /// What to do next, such as the checkpoint to resume from.
        hint: Option<String>,
    },
    /// The file system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried: "read", "write", "create".
        action: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
        /// What to do next.
        hint: Option<String>,
    },
}

impl Error {
    /// A mistake in what the user gave.
    pub fn input(message: impl Into<String>) -> Self {
        Self::Input { message: message.into(), hint: None }
    }

    /// A failure while running.
    pub fn runtime(message: impl Into<String>) -> Self {
        Self::Runtime { message: message.into(), hint: None }
    }

    /// An error of the file system; `action` completes "cannot … PATH".
    pub fn io(action: &'static str, path: impl AsRef<Path>, source: std::io::Error) -> Self {
        Self::Io { action, path: path.as_ref().to_owned(), source, hint: None }
    }

    /// Says what to do next. A configuration's error and a damaged checkpoint's keep the hint that they bring: it is about what
    /// the user gave, and knows more.
    #[must_use]
    pub fn with_hint(mut self, text: impl Into<String>) -> Self {
        match &mut self {
            Self::Input { hint, .. } | Self::Runtime { hint, .. } | Self::Io { hint, .. } => {
                *hint = Some(text.into());
            }
            Self::Checkpoint(error) => error.set_hint(text.into()),
            Self::Config(_) => {}
        }
        self
    }

    /// What to do next, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Config(error) => error.hint(),
            Self::Checkpoint(error) => error.hint(),
            Self::Input { hint, .. } | Self::Runtime { hint, .. } | Self::Io { hint, .. } => hint.as_deref(),
        }
    }

    /// Whether the file system is at fault.
    #[must_use]
    pub fn is_io(&self) -> bool {
        match self {
            Self::Io { .. } => true,
            Self::Checkpoint(error) => error.is_io(),
            _ => false,
        }
    }

    /// The exit code of a program that stops with this error: 2 for bad input, 1 for a failure while running.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Input { .. } => 2,
            Self::Checkpoint(error) if error.is_io() => 1,
            Self::Checkpoint(_) => 2,
            Self::Runtime { .. } | Self::Io { .. } => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_and_runtime_differ_in_their_exit_code() {
        let gone = || std::io::Error::from(std::io::ErrorKind::StorageFull);
        assert_eq!(Error::input("x").exit_code(), 2);
        assert_eq!(Error::runtime("x").exit_code(), 1);
        assert_eq!(Error::io("write", "a/b", gone()).exit_code(), 1);
        assert!(Error::io("write", "a/b", gone()).to_string().starts_with("cannot write a/b: "));
    }

    #[test]
    fn a_hint_is_kept() {
        let error = Error::input("no such folder").with_hint("make it");
        assert_eq!(error.hint(), Some("make it"));
        assert_eq!(error.to_string(), "no such folder");
    }

    /// A full disk stops a run in a log or in a checkpoint: either way the user must hear how to go on.
    #[test]
    fn errors_of_the_file_system_take_a_hint_too() {
        let full = || std::io::Error::from(std::io::ErrorKind::StorageFull);
        let action = "write";
        let checkpoint = CheckpointError::Io { action, path: "x".into(), source: full(), hint: None };
        for error in [Error::io(action, "x", full()), checkpoint.into()] {
            assert_eq!((error.hint(), error.exit_code()), (None, 1));
            assert_eq!(error.with_hint("make room").hint(), Some("make room"));
        }
        let damaged: Error = CheckpointError::Missing { path: "x".into() }.into();
        assert!(damaged.with_hint("make room").hint().is_some_and(|hint| hint.contains("run folder")));
    }
}
