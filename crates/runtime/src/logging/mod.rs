//! What a run writes down: tables, TensorBoard events, and what it shows while it runs.

mod logs;
pub mod progress;
pub mod table;
pub mod tensorboard;

pub use logs::{Logs, Table};
pub use progress::{Progress, Shown};
pub use table::{Cell, TableWriter, columns};
pub use tensorboard::EventWriter;

/// How far a log file had been written: what a checkpoint remembers, so that a resumed run can cut the file back to it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Position {
    /// Length of the file in bytes.
    pub bytes: u64,
    /// Rows or events written, without the heading.
    pub rows: u64,
}
