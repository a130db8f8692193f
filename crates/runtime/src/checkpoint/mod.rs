//! One file holds the whole state of a run: a safetensors file with named arrays and a few words about them.
//!
//! It is sealed, as [`crate::sealed`] says: a safetensors file with a checksum. Beside the words that all have, its header holds `config`
//! (TOML) and the writer's own notes.
//!
//! ```
//! use relax_nn::StateDict;
//! use relax_runtime::checkpoint::{self, Header};
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("latest.safetensors");
//! let mut state = StateDict::new();
//! state.insert_f32("policy.parameters", &[0.5, -1.0]);
//! checkpoint::save(&path, &Header::new("[env]\n"), &state)?;
//! let (header, again) = checkpoint::load(&path)?;
//! assert_eq!((header.config.as_str(), again), ("[env]\n", state));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use relax_nn::StateDict;

use crate::files;
use crate::sealed::{self, Format, Unreadable, Words};

/// The version of what is inside; a reader refuses any other.
pub const FORMAT_VERSION: u32 = 1;
const FORMAT: Format = Format { name: "relax-rl checkpoint", version: FORMAT_VERSION };

/// What a checkpoint says about itself, beside its arrays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Version of the crate that wrote it.
    pub crate_version: String,
    /// The resolved configuration, TOML.
    pub config: String,
    /// The writer's own notes, by name. Names that the format uses itself are overwritten.
    pub notes: BTreeMap<String, String>,
}

impl Header {
    /// A header of this crate's version, without notes.
    #[must_use]
    pub fn new(config: impl Into<String>) -> Self {
        let crate_version = env!("CARGO_PKG_VERSION").to_owned();
        Self { crate_version, config: config.into(), notes: BTreeMap::new() }
    }
}

/// Why a checkpoint could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file system refused.
    #[error("cannot {action} the checkpoint {}: {source}", path.display())]
    Io {
        /// "read" or "write".
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
        /// What to do next.
        hint: Option<String>,
    },
    /// There is no such file.
    #[error("there is no checkpoint {}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file is damaged, cut short, or no checkpoint at all.
    #[error("{} is not a usable checkpoint: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// The file is whole, but of another format version.
    #[error(
        "{} is a checkpoint of format version {found}, written by relax-rl {crate_version}; this is relax-rl {}, which reads version {FORMAT_VERSION}",
        path.display(), env!("CARGO_PKG_VERSION")
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its format version.
        found: String,
        /// The version of the crate that wrote it.
        crate_version: String,
    },
}

impl CheckpointError {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Io { hint, .. } => hint.as_deref(),
            Self::Missing { .. } => Some(
                "is this a run folder made by `relax train`? A run that was killed before its first checkpoint starts again",
            ),
            Self::Damaged { .. } => Some(
                "restore the file from a copy, use the run's other checkpoint, or start again with `relax train`",
            ),
            Self::Version { .. } => {
                Some("use the version of relax-rl that wrote it, or start again with `relax train`")
            }
        }
    }

    /// Says what to do next where the error does not know it itself: when the machine is at fault.
    pub fn set_hint(&mut self, text: String) {
        if let Self::Io { hint, .. } = self {
            *hint = Some(text);
        }
    }

    /// Whether the machine, not the file, is at fault.
    #[must_use]
    pub fn is_io(&self) -> bool {
        matches!(self, Self::Io { .. })
    }
}

/// Writes `state` to the file `path`, replacing what was there.
///
/// The bytes depend on `header` and `state` alone. Whatever happens meanwhile, `path` holds either the old file or the new
/// one, complete and flushed to the disk.
///
/// # Errors
/// If the file system refuses; the old file is then untouched.
pub fn save(path: &Path, header: &Header, state: &StateDict) -> Result<(), CheckpointError> {
    files::write_atomically(path, &encode(header, state)).map_err(|source| CheckpointError::Io {
        action: "write",
        path: path.to_owned(),
        source,
        hint: None,
    })
}

/// The whole file.
fn encode(header: &Header, state: &StateDict) -> Vec<u8> {
    let mut words: Words = header.notes.clone();
    words.insert("crate_version".to_owned(), header.crate_version.clone());
    words.insert("config".to_owned(), header.config.clone());
    sealed::encode(&FORMAT, &words, state).0
}

/// Reads the file `path`.
///
/// # Errors
/// If it is missing, unreadable, damaged in any way, no checkpoint, or one of another format version. Never panics, and
/// never allocates more than a small multiple of the file's true size.
pub fn load(path: &Path) -> Result<(Header, StateDict), CheckpointError> {
    let io_error = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => CheckpointError::Missing { path: path.to_owned() },
        _ => CheckpointError::Io { action: "read", path: path.to_owned(), source, hint: None },
    };
    let mut file = File::open(path).map_err(io_error)?;
    let info = file.metadata().map_err(io_error)?;
    if !info.is_file() {
        return Err(CheckpointError::Damaged { path: path.to_owned(), reason: "it is not a file".into() });
    }
    let (mut words, state) = sealed::read(&FORMAT, &mut file, info.len()).map_err(|error| match error {
        Unreadable::Io(source) => io_error(source),
        Unreadable::Damaged(reason) => CheckpointError::Damaged { path: path.to_owned(), reason },
        Unreadable::Version { found, crate_version } => {
            CheckpointError::Version { path: path.to_owned(), found, crate_version }
        }
    })?;
    words.remove("sha256");
    let crate_version = words.remove("crate_version").unwrap_or_default();
    let config = words.remove("config").unwrap_or_default();
    Ok((Header { crate_version, config, notes: words }, state))
}

#[cfg(test)]
mod tests;
