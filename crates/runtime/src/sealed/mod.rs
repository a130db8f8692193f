//! Named arrays and a few words about them in one piece, with a checksum: what checkpoints and messages are made of.
//!
//! Layout (safetensors): 8 bytes, the header's length (little-endian); the header, JSON; the arrays, without gaps. The
//! header's `__metadata__` holds strings only: `format`, `format_version`, `crate_version`, `sha256`, and the writer's own words.
//! `sha256` is the SHA-256 of the whole with these 64 digits replaced by zeros.
//!
//! Reading trusts nothing: sizes are compared with the true one before anything is allocated, and the checksum is computed
//! while streaming, before the arrays are read.
//!
//! ```
//! use relax_nn::StateDict;
//! use relax_runtime::sealed::{Format, Words, decode, encode};
//! const FORMAT: Format = Format { name: "greeting", version: 1 };
//! let words = Words::from([("crate_version".to_owned(), "1.2.3".to_owned()), ("to".to_owned(), "you".to_owned())]);
//! let mut state = StateDict::new();
//! state.insert_f32("numbers", &[0.5, -1.0]);
//! let (bytes, checksum) = encode(&FORMAT, &words, &state);
//! let (read, again) = decode(&FORMAT, &bytes)?;
//! assert_eq!((read["to"].as_str(), &read["sha256"], again), ("you", &checksum, state));
//! assert!(decode(&FORMAT, &bytes[1..]).is_err());
//! # Ok::<(), relax_runtime::sealed::Unreadable>(())
//! ```

mod read;
mod write;

use std::collections::BTreeMap;

pub use read::{decode, read};
pub use write::encode;
#[cfg(test)]
pub(crate) use write::hex;

/// What the words `format` and `format_version` say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    /// What kind of thing it is.
    pub name: &'static str,
    /// The version of what is inside; a reader refuses any other.
    pub version: u32,
}

/// Words about the arrays, by name.
pub type Words = BTreeMap<String, String>;

/// Longest header that is read, in bytes.
const MAX_HEADER: u64 = 16 << 20;
/// Stands for the checksum while it is being computed.
pub(crate) const NO_CHECKSUM: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Why it could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// What it comes from failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// It is damaged, cut short, or something else altogether.
    #[error("{0}")]
    Damaged(String),
    /// It is whole, but of another format version.
    #[error("it is of format version {found}, written by relax-rl {crate_version}")]
    Version {
        /// Its format version.
        found: String,
        /// The version of the crate that wrote it.
        crate_version: String,
    },
}
