//! Comparing agents so that the answer can be believed: every configuration with several seeds, resumable, several runs at
//! once; then interquartile means with bootstrap intervals, probabilities of improvement, performance profiles, curves on
//! common steps, times to a threshold in which a run that never gets there counts, and ratios of gradient variance.
//!
//! `relax compare` writes a folder:
//!
//! ```text
//! report.html            everything, in one file that needs no network
//! results.csv            the table
//! figures/*.{svg,png,csv}
//! runs/NAME-sSEED/       the runs, as `relax train` makes them
//! ```

pub mod analysis;
pub mod jobs;
pub mod plan;
mod remarks;
pub mod runs;
pub mod stats;
pub mod survival;

pub use analysis::{Analysis, Entry, Group};
pub use plan::{Plan, Request, Suite};
pub use runs::{RunData, import};
