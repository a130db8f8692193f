//! [`ConfigError`]: what is wrong in a configuration, where, and what would be right.

use std::fmt;

/// Where a setting came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A file, by the name the user gave, and the line where known.
    File {
        /// The file's path.
        name: String,
        /// Line, counted from 1.
        line: Option<usize>,
    },
    /// An argument `--set KEY=VALUE`.
    Override(String),
    /// A value built by a program.
    Program,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { name, line: Some(line) } => write!(f, "{name}:{line}"),
            Self::File { name, line: None } => f.write_str(name),
            Self::Override(text) => write!(f, "--set {text}"),
            Self::Program => f.write_str("configuration"),
        }
    }
}

/// Why a configuration was refused. Its text says where, which key and why; [`ConfigError::hint`] what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{origin}: {message}")]
pub struct ConfigError {
    origin: Origin,
    key: Option<String>,
    message: String,
    hint: Option<String>,
}

impl ConfigError {
    /// An error about `key`, found in `origin`.
    #[must_use]
    pub fn new(origin: Origin, key: Option<&str>, message: impl Into<String>) -> Self {
        Self { origin, key: key.map(str::to_owned), message: message.into(), hint: None }
    }

    /// The error with what would be right.
    #[must_use]
    pub fn with_hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }

    /// The error with another origin.
    #[must_use]
    pub fn with_origin(mut self, origin: Origin) -> Self {
        self.origin = origin;
        self
    }

    /// Where the setting came from.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The key in question, `learner.gamma`, where there is one.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// What would be right.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}
