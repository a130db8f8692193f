//! [`DataError`]: what is wrong with the data, where, and what would be right.

use std::path::{Path, PathBuf};

/// Why images could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The folder lacks the data set's files.
    #[error("the folder {} holds no {dataset}: {missing}", folder.display())]
    Missing {
        /// The data set's name.
        dataset: &'static str,
        /// The folder looked into.
        folder: PathBuf,
        /// What was looked for there.
        missing: String,
        /// Where to get it.
        hint: String,
    },
    /// A file is there but is not what it should be.
    #[error("{} {problem}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What does not fit and what would.
        problem: String,
    },
    /// The file system refused.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
}

impl DataError {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Missing { hint, .. } => Some(hint),
            Self::Malformed { .. } => {
                Some("fetch the file again; it is damaged or another file under this name")
            }
            Self::Io { .. } => None,
        }
    }

    pub(super) fn malformed(path: &Path, problem: impl Into<String>) -> Self {
        Self::Malformed { path: path.to_owned(), problem: problem.into() }
    }

    pub(super) fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }
}
