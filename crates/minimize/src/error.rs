//! Why a minimisation cannot start, or cannot go on.

use std::path::PathBuf;

use relax_estimators::EstimatorError;

/// Why a minimisation cannot start, or cannot go on. Whatever was called before is in the journal, if there is one.
#[derive(Debug, thiserror::Error)]
pub enum MinimizeError {
    /// A space without variables, or a variable that leaves no choice.
    #[error("{0}")]
    Space(String),
    /// A number that cannot be used.
    #[error("{0}")]
    Option(String),
    /// f failed.
    #[error("f failed at {point}: {reason}")]
    Failed {
        /// The point, by name.
        point: String,
        /// The choices.
        choices: Vec<usize>,
        /// What f said.
        reason: String,
    },
    /// f is not a finite number.
    #[error(
        "f is {value} at {point}, and must be a finite number: return a large one for points that cannot be judged, or rule them out by a constraint"
    )]
    NotFinite {
        /// The point, by name.
        point: String,
        /// The choices.
        choices: Vec<usize>,
        /// What f returned.
        value: f64,
    },
    /// As many values must be told as points were asked.
    #[error("{told} values were told for {asked} points")]
    Told {
        /// Points asked.
        asked: usize,
        /// Values told.
        told: usize,
    },
    /// A constraint leaves a variable without a choice.
    #[error("the constraint leaves no choice for {variable} after {point}")]
    NoChoice {
        /// The variable's name.
        variable: String,
        /// The choices before it, by name.
        point: String,
    },
    /// The journal cannot be read or written.
    #[error("cannot {action} the journal {}: {source}", path.display())]
    Io {
        /// "read" or "write".
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The journal is of another minimisation.
    #[error("{} is not the journal of this minimisation: {reason}", path.display())]
    Journal {
        /// The file.
        path: PathBuf,
        /// What differs.
        reason: String,
    },
    /// The estimator lacks something.
    #[error(transparent)]
    Estimator(#[from] EstimatorError),
}
