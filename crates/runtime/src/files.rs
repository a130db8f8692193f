//! Files that are either complete or absent: written under a temporary name, flushed to the disk, then renamed.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Replaces `path` by a file that holds `bytes`.
///
/// Whatever happens (a full disk, a kill, a power cut), `path` afterwards holds either what it held before or all of `bytes`.
/// The temporary file lies beside it as `.NAME.partial`.
///
/// # Errors
/// If the folder does not exist or the file system refuses; `path` is then untouched.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = partial_path(path)?;
    let written = File::create(&temporary).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.and_then(|()| publish(&temporary, path)).inspect_err(|_| {
        // The old file is still there; the half-written one is of no use to anybody.
        let _ = std::fs::remove_file(&temporary);
    })
}

/// The temporary name under which [`write_atomically`] prepares `path`: `.NAME.partial` in the same folder.
///
/// # Errors
/// If `path` ends in no file name.
pub fn partial_path(path: &Path) -> io::Result<PathBuf> {
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"))?;
    let mut temporary = OsString::from(".");
    temporary.push(name);
    temporary.push(".partial");
    Ok(path.with_file_name(temporary))
}

/// Renames the complete, flushed file `temporary` to `path` and makes the renaming itself last.
///
/// # Errors
/// If the file system refuses.
pub fn publish(temporary: &Path, path: &Path) -> io::Result<()> {
    std::fs::rename(temporary, path)?;
    sync_folder(path)
}

/// Flushes the folder of `path`: without this a power cut may forget the renaming.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // Only Unix lets a folder be opened and flushed; elsewhere the renaming is as lasting as the system makes it.
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_replaced_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("x.json");
        write_atomically(&path, b"one").expect("first");
        write_atomically(&path, b"two").expect("second");
        assert_eq!(std::fs::read(&path).expect("read"), b"two");
        assert_eq!(std::fs::read_dir(folder.path()).expect("list").count(), 1);
    }

    #[test]
    fn a_missing_folder_is_an_error() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        assert!(write_atomically(&folder.path().join("no/x"), b"one").is_err());
        assert!(write_atomically(Path::new("/"), b"one").is_err());
    }
}
