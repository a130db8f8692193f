//! The journal of a minimisation: one line a call of f, written as soon as it is known. It is the checkpoint, too: a minimisation is
//! a function of its seed and of f's answers, so that going on means going through it again with the answers written down, without
//! calling f, bit for bit. A line cut short by a crash is dropped.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{MinimizeError, Options, Space};

/// First line: what the calls belong to.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Header {
    format: String,
    space: Vec<(String, usize)>,
    constrained: bool,
    options: Options,
}

const FORMAT: &str = "relax-minimize 2";

/// A call: which batch and row asked for it, the choices, and f.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    batch: u64,
    row: usize,
    x: Vec<usize>,
    y: f64,
}

/// A file that grows by a line a call.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    answers: HashMap<(u64, usize), (Vec<usize>, f64)>,
}

impl Journal {
    /// Opens the journal of a minimisation, or starts it.
    pub fn open(path: &Path, space: &Space, options: &Options) -> Result<Self, MinimizeError> {
        let io = |action| move |source| MinimizeError::Io { action, path: path.to_owned(), source };
        let variables = space.variables().iter().map(|v| (v.name.clone(), v.choices)).collect();
        // More calls may be asked for than at first; nothing else changes what the calls are.
        let options = Options { calls: 1, seconds: None, target: None, workers: 1, ..options.clone() };
        let header =
            Header { format: FORMAT.into(), space: variables, constrained: space.is_constrained(), options };
        let unfit = |reason: String| MinimizeError::Journal { path: path.to_owned(), reason };
        let data = match std::fs::read(path) {
            Ok(data) => data,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(io("read")(error)),
        };
        let whole = data.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        let fresh = whole == 0;
        let begun = serde_json::to_string(&header).map_err(|error| unfit(error.to_string()))?;
        if fresh && !begun.as_bytes().starts_with(&data) {
            return Err(unfit("it does not begin as one; name a file that is not there yet".into()));
        }
        let text = std::str::from_utf8(&data[..whole]).map_err(|error| unfit(error.to_string()))?;
        let mut answers = HashMap::new();
        for (number, line) in text.lines().enumerate() {
            if number == 0 {
                header.compare(line, path)?;
                continue;
            }
            let line: Line =
                serde_json::from_str(line).map_err(|error| unfit(format!("line {}: {error}", number + 1)))?;
            answers.insert((line.batch, line.row), (line.x, line.y));
        }
        let file =
            OpenOptions::new().create(true).truncate(false).write(true).open(path).map_err(io("write"))?;
        let mut journal = Self { path: path.to_owned(), file, answers };
        // Whatever a crash left of a last line goes.
        journal.file.set_len(whole as u64).map_err(io("write"))?;
        std::io::Seek::seek(&mut journal.file, std::io::SeekFrom::End(0)).map_err(io("write"))?;
        if fresh {
            journal.write(&header)?;
        }
        Ok(journal)
    }

    /// f of this row of this batch, if it is written down.
    pub fn answer(&self, batch: u64, row: usize, point: &[usize]) -> Result<Option<f64>, MinimizeError> {
        match self.answers.get(&(batch, row)) {
            None => Ok(None),
            Some((x, y)) if x == point => Ok(Some(*y)),
            Some((x, _)) => Err(MinimizeError::Journal {
                path: self.path.clone(),
                reason: format!(
                    "batch {batch} has {x:?} there and {point:?} here; was it written by another version?"
                ),
            }),
        }
    }

    /// Adds a call.
    pub fn add(&mut self, batch: u64, row: usize, point: &[usize], y: f64) -> Result<(), MinimizeError> {
        self.write(&Line { batch, row, x: point.to_vec(), y })
    }

    fn write(&mut self, line: &impl Serialize) -> Result<(), MinimizeError> {
        let mut text = serde_json::to_string(line)
            .map_err(|error| MinimizeError::Journal { path: self.path.clone(), reason: error.to_string() })?;
        text.push('\n');
        let written = self.file.write_all(text.as_bytes());
        written.map_err(|source| MinimizeError::Io { action: "write", path: self.path.clone(), source })
    }
}

impl Header {
    fn compare(&self, line: &str, path: &Path) -> Result<(), MinimizeError> {
        let journal = |reason: String| Err(MinimizeError::Journal { path: path.to_owned(), reason });
        let other: Self = match serde_json::from_str(line) {
            Ok(other) => other,
            Err(error) => return journal(format!("its first line is no header: {error}")),
        };
        if other.format != self.format {
            return journal(format!(
                "its format is {}, and this version writes {}",
                other.format, self.format
            ));
        }
        if (&other.space, other.constrained) != (&self.space, self.constrained) {
            return journal("its space is another".into());
        }
        if other.options != self.options {
            return journal(format!("its options are {:?}", other.options));
        }
        Ok(())
    }
}
