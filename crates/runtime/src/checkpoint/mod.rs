//! One file holds the whole state of a run: a safetensors file with named arrays and a few words about them.
//!
//! Layout (safetensors): 8 bytes, the header's length (little-endian); the header, JSON; the arrays, without gaps. The
//! header's `__metadata__` holds strings only: `format`, `format_version`, `crate_version`, `config` (TOML), `sha256`, and
//! the writer's own notes. `sha256` is the SHA-256 of the whole file with these 64 digits replaced by zeros.
//!
//! Reading trusts nothing: sizes are compared with the file's before anything is allocated, and the checksum is computed
//! while streaming, before the arrays are read.
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

mod read;
mod write;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use read::load;
pub use write::save;

/// What the metadata's `format` says.
const FORMAT: &str = "relax-rl checkpoint";
/// The version of what is inside; a reader refuses any other.
pub const FORMAT_VERSION: u32 = 1;
/// Longest header that is read, in bytes.
const MAX_HEADER: u64 = 16 << 20;
/// Stands for the checksum while it is being computed.
const NO_CHECKSUM: &str = "0000000000000000000000000000000000000000000000000000000000000000";

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
    fn damaged(path: &Path, reason: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), reason: reason.into() }
    }

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

#[cfg(test)]
mod tests;
