//! What a run came to, as a file of JSON in its folder.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::files;

/// Writes `summary` with line breaks; the file is at all times either absent, the old one or complete.
///
/// # Errors
/// If the file system refuses.
pub fn write(path: &Path, summary: &impl Serialize) -> Result<(), Error> {
    let mut text = serde_json::to_string_pretty(summary)
        .map_err(|error| Error::runtime(format!("{} cannot be written: {error}", path.display())))?;
    text.push('\n');
    files::write_atomically(path, text.as_bytes()).map_err(|source| Error::io("write", path, source))
}

/// Reads what [`write()`] wrote; `what` says what it must be.
///
/// # Errors
/// If it is missing or something else.
pub fn read<T: DeserializeOwned>(path: &Path, what: &str) -> Result<T, Error> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::io("read", path, source));
    let read = text.and_then(|text| {
        serde_json::from_str(&text)
            .map_err(|error| Error::input(format!("{} is not {what}: {error}", path.display())))
    });
    read.map_err(|error| {
        let folder = path.parent().unwrap_or(Path::new("."));
        error.with_hint(format!("`relax resume {}` writes it again from the checkpoint", folder.display()))
    })
}
