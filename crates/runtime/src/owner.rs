//! [`Owner`]: one process at a time owns a run folder. Reading it is free to all.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::path::Path;

use crate::error::Error;

/// The file that the owner keeps locked. The lock is the operating system's: it ends with the process, however that ends, so
/// that a file left behind says nothing.
const FILE: &str = ".lock";

/// Whoever holds it owns a run folder; it is given up when this is dropped or the process ends.
#[derive(Debug)]
pub struct Owner {
    file: File,
}

impl Owner {
    /// Takes the folder `dir`, which exists; `what` names it in the message: "run folder".
    ///
    /// # Errors
    /// If another process owns it (its number and host are named), or the file system refuses.
    pub fn take(dir: &Path, what: &str) -> Result<Self, Error> {
        let path = dir.join(FILE);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|source| Error::io("create", &path, source))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { file }),
            Err(TryLockError::WouldBlock) => {
                let mut owner = String::new();
                let known = file.read_to_string(&mut owner).is_ok() && !owner.trim().is_empty();
                let owner = if known { owner.trim() } else { "another process" };
                let message = format!("the {what} {} is in use by {owner}", dir.display());
                Err(Error::input(message)
                    .with_hint("wait until it has ended, or stop it (Ctrl-C saves its state)"))
            }
            // A file system without locks: better unprotected than not at all.
            Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => Ok(Self { file }),
            Err(TryLockError::Error(source)) => Err(Error::io("lock", &path, source)),
        }
    }

    /// Writes down who owns the folder, for those who are refused.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn sign(&mut self) -> std::io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        write!(self.file, "process {} on {}", std::process::id(), host())?;
        self.file.flush()
    }
}

impl Drop for Owner {
    /// Gives the folder up by name: a process that was forked meanwhile has the file open as well, and closing this one alone
    /// would leave the lock with it.
    fn drop(&mut self) {
        let _ = self.file.unlock();
    }
}

/// The name of this machine.
fn host() -> String {
    let file = ["/proc/sys/kernel/hostname", "/etc/hostname"];
    let named = file.iter().find_map(|path| std::fs::read_to_string(path).ok());
    let named =
        named.or_else(|| ["HOSTNAME", "COMPUTERNAME"].iter().find_map(|name| std::env::var(name).ok()));
    let named = named.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
    named.unwrap_or_else(|| "this machine".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_of_the_file_elsewhere_does_not_keep_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let owner = Owner::take(dir.path(), "run folder").unwrap();
        // What a forked process would hold.
        let copy = owner.file.try_clone().unwrap();
        drop(owner);
        Owner::take(dir.path(), "run folder").unwrap();
        drop(copy);
    }

    #[test]
    fn one_owner_at_a_time_and_the_other_is_told_who() {
        let dir = tempfile::tempdir().unwrap();
        let mut owner = Owner::take(dir.path(), "run folder").unwrap();
        owner.sign().unwrap();
        let error = Owner::take(dir.path(), "run folder").unwrap_err();
        let who = format!("in use by process {} on {}", std::process::id(), host());
        assert!(error.to_string().contains(&who), "{error}");
        assert_eq!(error.exit_code(), 2);
        drop(owner);
        // What the last owner wrote is no lock.
        let mut owner = Owner::take(dir.path(), "run folder").unwrap();
        owner.sign().unwrap();
    }

    #[test]
    fn what_a_killed_process_of_another_host_left_behind_is_no_lock() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), "process 1 on elsewhere").unwrap();
        Owner::take(dir.path(), "run folder").unwrap();
    }
}
