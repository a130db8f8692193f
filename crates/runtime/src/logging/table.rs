//! [`TableWriter`]: a CSV file that grows row by row and can be cut back to where a checkpoint left it.
//!
//! Numbers are written with the fewest digits that read back to the same value, so two equal runs write equal files, byte for
//! byte. What depends on the clock belongs in the last columns, where it is easily left out of a comparison.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::Position;
use crate::error::Error;

/// One value of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell {
    /// A whole number.
    Integer(u64),
    /// A number, written with the fewest digits that read back equal.
    Number(f64),
    /// A time in seconds, written with three decimals.
    Seconds(f64),
    /// `true` or `false`.
    Flag(bool),
    /// Nothing: there is no value (yet).
    Missing,
}

impl From<Option<f64>> for Cell {
    fn from(value: Option<f64>) -> Self {
        value.map_or(Self::Missing, Self::Number)
    }
}

/// A CSV file being written. The columns are fixed when it is created.
///
/// ```
/// use relax_runtime::logging::{Cell, TableWriter};
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("episodes.csv");
/// let mut table = TableWriter::create(&path, &["episode", "return", "wall_seconds"])?;
/// table.write(&[Cell::Integer(1), Cell::Number(0.1), Cell::Seconds(2.0)])?;
/// table.flush()?;
/// assert_eq!(std::fs::read_to_string(&path)?, "episode,return,wall_seconds\n1,0.1,2.000\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct TableWriter {
    writer: BufWriter<File>,
    path: PathBuf,
    columns: usize,
    position: Position,
    line: String,
}

impl TableWriter {
    /// Creates the file `path` with a heading of `columns`, whose names hold no comma, quote or line break.
    ///
    /// # Errors
    /// If the file exists already or cannot be created.
    pub fn create(path: &Path, columns: &[&str]) -> Result<Self, Error> {
        let file = File::create_new(path).map_err(|source| Error::io("create", path, source))?;
        let position = Position::default();
        let mut table = Self {
            writer: buffered(file),
            path: path.into(),
            columns: columns.len(),
            position,
            line: String::new(),
        };
        table.line = columns.join(",");
        table.put_line()?;
        Ok(table)
    }

    /// Opens the file `path` again and cuts off what was written after `position`.
    ///
    /// # Errors
    /// If the file is missing, shorter than `position`, or has other columns.
    pub fn resume(path: &Path, columns: &[&str], position: Position) -> Result<Self, Error> {
        let io = |source| Error::io("reopen", path, source);
        let mut file = OpenOptions::new().read(true).write(true).open(path).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        if length < position.bytes {
            let message = format!(
                "{} is {length} bytes long, but held {} when the checkpoint was written",
                path.display(),
                position.bytes
            );
            return Err(Error::input(message).with_hint("the file was changed by hand; restore it"));
        }
        let wanted = columns.join(",");
        // Only as much of the first line is read as the heading may be long.
        let mut heading = Vec::new();
        let limit = wanted.len() as u64 + 1;
        BufReader::new(std::io::Read::take(&file, limit)).read_until(b'\n', &mut heading).map_err(io)?;
        if heading != format!("{wanted}\n").as_bytes() {
            let message = format!("{} does not have the columns {wanted}", path.display());
            return Err(Error::input(message).with_hint("it was written by another version; start a new run"));
        }
        file.set_len(position.bytes).map_err(io)?;
        file.seek(SeekFrom::Start(position.bytes)).map_err(io)?;
        let line = String::new();
        Ok(Self { writer: buffered(file), path: path.into(), columns: columns.len(), position, line })
    }

    /// Appends a row. It reaches the file when the buffer is full or [`TableWriter::flush`] is called.
    ///
    /// # Errors
    /// If the file system refuses, or the row is not as long as the heading.
    pub fn write(&mut self, row: &[Cell]) -> Result<(), Error> {
        if row.len() != self.columns {
            let message = format!(
                "a row of {} values for {}, which has {} columns",
                row.len(),
                self.path.display(),
                self.columns
            );
            return Err(Error::runtime(message));
        }
        for (index, &cell) in row.iter().enumerate() {
            if index > 0 {
                self.line.push(',');
            }
            put_cell(&mut self.line, cell);
        }
        self.put_line()?;
        self.position.rows += 1;
        Ok(())
    }

    /// Hands every row to the operating system, so that it outlives this process.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.writer.flush().map_err(|source| Error::io("write", &self.path, source))
    }

    /// Flushes and waits until every row is on the disk, so that it outlives a power cut. Call it before the checkpoint that
    /// remembers [`TableWriter::position`].
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn sync(&mut self) -> Result<(), Error> {
        self.flush()?;
        self.writer.get_ref().sync_data().map_err(|source| Error::io("write", &self.path, source))
    }

    /// What has been written so far, whether or not it is flushed.
    #[must_use]
    pub fn position(&self) -> Position {
        self.position
    }

    fn put_line(&mut self) -> Result<(), Error> {
        self.line.push('\n');
        let written = self.writer.write_all(self.line.as_bytes());
        self.position.bytes += self.line.len() as u64;
        self.line.clear();
        written.map_err(|source| Error::io("write", &self.path, source))
    }
}

fn buffered(file: File) -> BufWriter<File> {
    BufWriter::with_capacity(64 * 1024, file)
}

fn put_cell(line: &mut String, cell: Cell) {
    // Writing to a String cannot fail.
    let _ = match cell {
        Cell::Integer(value) => write!(line, "{value}"),
        // Debug, unlike Display, switches to exponents where they are shorter: 1e-300 is not 300 zeros.
        Cell::Number(value) => write!(line, "{value:?}"),
        Cell::Seconds(value) => write!(line, "{value:.3}"),
        Cell::Flag(value) => write!(line, "{value}"),
        Cell::Missing => Ok(()),
    };
}

/// Columns of a table, row by row. Rows without all of them are left out: the last row of a run that still writes may be cut short,
/// and rows without a measurement are empty.
///
/// # Errors
/// If the file cannot be read or has no such column.
pub fn columns<const N: usize>(path: &Path, names: [&str; N]) -> Result<Vec<[f64; N]>, Error> {
    let refuse = |reason: String| Error::input(format!("{}: {reason}", path.display()));
    let mut reader = csv::ReaderBuilder::new()
        .flexible(true)
        .from_path(path)
        .map_err(|error| refuse(format!("cannot be read: {error}")))?;
    let heading = reader.headers().map_err(|error| refuse(error.to_string()))?.clone();
    let mut places = [0; N];
    for (place, name) in places.iter_mut().zip(names) {
        *place = heading
            .iter()
            .position(|column| column == name)
            .ok_or_else(|| refuse(format!("there is no column `{name}`")))?;
    }
    let mut rows = Vec::new();
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record).map_err(|error| refuse(error.to_string()))? {
        let found = places.map(|place| record.get(place).and_then(|text| text.parse::<f64>().ok()));
        if found.iter().all(|value| value.is_some_and(f64::is_finite)) {
            rows.push(found.map(|value| value.unwrap_or(f64::NAN)));
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [&str; 3] = ["update", "loss", "wall_seconds"];

    fn row(update: u64) -> [Cell; 3] {
        [Cell::Integer(update), Cell::Number(1.0 / update as f64), Cell::Seconds(0.5)]
    }

    #[test]
    fn numbers_read_back_equal() {
        for value in [0.1 + 0.2, 1.0 / 3.0, f64::MIN_POSITIVE, -1e300, 0.0, -0.0, 5e-324] {
            let mut line = String::new();
            put_cell(&mut line, Cell::Number(value));
            assert_eq!(line.parse::<f64>().expect(&line).to_bits(), value.to_bits(), "{line}");
            assert!(line.len() < 26, "{line}");
        }
        let mut line = String::new();
        put_cell(&mut line, None.into());
        assert_eq!(line, "");
    }

    #[test]
    fn interrupted_and_resumed_is_uninterrupted() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (whole, parts) = (folder.path().join("whole.csv"), folder.path().join("parts.csv"));
        let mut table = TableWriter::create(&whole, &COLUMNS).expect("creates");
        (1..=9).for_each(|update| table.write(&row(update)).expect("writes"));
        table.sync().expect("syncs");

        let mut table = TableWriter::create(&parts, &COLUMNS).expect("creates");
        (1..=4).for_each(|update| table.write(&row(update)).expect("writes"));
        let position = table.position();
        assert_eq!(position.rows, 4);
        (5..=7).for_each(|update| table.write(&row(update)).expect("writes"));
        drop(table);
        let mut table = TableWriter::resume(&parts, &COLUMNS, position).expect("resumes");
        (5..=9).for_each(|update| table.write(&row(update)).expect("writes"));
        table.flush().expect("flushes");
        assert_eq!(table.position().bytes, std::fs::metadata(&parts).expect("there").len());
        assert_eq!(std::fs::read(&whole).expect("whole"), std::fs::read(&parts).expect("parts"));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("x.csv");
        let mut table = TableWriter::create(&path, &COLUMNS).expect("creates");
        assert!(table.write(&[Cell::Integer(1)]).is_err(), "too short a row");
        assert!(TableWriter::create(&path, &COLUMNS).is_err(), "an existing file is kept");
        let position = table.position();
        drop(table);
        assert!(TableWriter::resume(&path, &["a", "b"], position).is_err(), "other columns");
        let far = Position { bytes: 1000, rows: 9 };
        let error = TableWriter::resume(&path, &COLUMNS, far).expect_err("too short a file");
        assert!(error.to_string().contains("bytes long") && error.exit_code() == 2);
        assert!(TableWriter::resume(&folder.path().join("none"), &COLUMNS, position).is_err());
    }
}
