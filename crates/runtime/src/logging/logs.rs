//! [`Logs`]: the files that a run grows, all tables and the TensorBoard events together.

use std::path::Path;

use super::{Cell, EventWriter, Position, TableWriter};
use crate::error::Error;

/// A table of a run folder: a CSV file and its columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Name of the file.
    pub file: &'static str,
    /// Names of the columns. What depends on the clock comes last.
    pub columns: Vec<String>,
}

impl Table {
    /// The table `file` with these columns.
    pub fn new<S: Into<String>>(file: &'static str, columns: impl IntoIterator<Item = S>) -> Self {
        Self { file, columns: columns.into_iter().map(Into::into).collect() }
    }

    fn names(&self) -> Vec<&str> {
        self.columns.iter().map(String::as_str).collect()
    }
}

/// The files that a run grows.
#[derive(Debug)]
pub struct Logs {
    tables: Vec<TableWriter>,
    events: EventWriter,
}

impl Logs {
    /// Creates the files in the folder `dir`.
    ///
    /// # Errors
    /// If one exists already or cannot be created.
    pub fn create(dir: &Path, tables: &[Table]) -> Result<Self, Error> {
        let create = |table: &Table| TableWriter::create(&dir.join(table.file), &table.names());
        Ok(Self {
            tables: tables.iter().map(create).collect::<Result<_, _>>()?,
            events: EventWriter::create(dir)?,
        })
    }

    /// Opens the files again and cuts off what was written after a checkpoint, which noted `positions`.
    ///
    /// # Errors
    /// If a file is missing, shorter than it was then, or has other columns.
    pub fn resume(dir: &Path, tables: &[Table], positions: &[u64]) -> Result<Self, Error> {
        if positions.len() != 2 * (tables.len() + 1) {
            let message = format!("the checkpoint notes {} positions of log files", positions.len() / 2);
            return Err(Error::input(format!("{message}, and this run has {}", tables.len() + 1))
                .with_hint("it was written by another version; start a new run"));
        }
        let at = |i: usize| Position { bytes: positions[2 * i], rows: positions[2 * i + 1] };
        let resume =
            |(i, table): (usize, &Table)| TableWriter::resume(&dir.join(table.file), &table.names(), at(i));
        Ok(Self {
            tables: tables.iter().enumerate().map(resume).collect::<Result<_, _>>()?,
            events: EventWriter::resume(dir, at(tables.len()))?,
        })
    }

    /// Where the files end: bytes and rows of each, the events last.
    #[must_use]
    pub fn positions(&self) -> Vec<u64> {
        let tables = self.tables.iter().map(TableWriter::position);
        tables.chain([self.events.position()]).flat_map(|at| [at.bytes, at.rows]).collect()
    }

    /// Appends a row to the table of this number, in the order in which they were given.
    ///
    /// # Errors
    /// If the file system refuses, or the row is not as long as the heading.
    pub fn row(&mut self, table: usize, row: &[Cell]) -> Result<(), Error> {
        self.tables[table].write(row)
    }

    /// Appends scalars (name, value) of the step `position` for TensorBoard.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn scalars(&mut self, position: u64, scalars: &[(&str, f64)]) -> Result<(), Error> {
        self.events.write(position, scalars)
    }

    /// Writes down the run's settings (TOML), for TensorBoard's table of hyper-parameters.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn settings(&mut self, toml: &str) -> Result<(), Error> {
        self.events.settings(toml)
    }

    /// Hands everything to the operating system.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.tables.iter_mut().try_for_each(TableWriter::flush)?;
        self.events.flush()
    }
}
