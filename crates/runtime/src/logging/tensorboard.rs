//! [`EventWriter`]: TensorBoard event files, so that `tensorboard --logdir runs` shows the curves.
//!
//! An event file is a sequence of TFRecords: length (u64), its masked CRC-32C, the payload, its masked CRC-32C, all
//! little-endian. The payload is a protobuf message `tensorflow.Event`, of which only what scalars need is written here:
//! `wall_time = 1` (double), `step = 2` (int64), `file_version = 3` (string), `summary = 5`, which holds `value = 1`s with
//! `tag = 1` (string) and `simple_value = 2` (float).

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::Position;
use crate::error::Error;

/// What every event file's name begins with; TensorBoard looks for it.
const PREFIX: &str = "events.out.tfevents.";

/// A TensorBoard event file being written.
#[derive(Debug)]
pub struct EventWriter {
    writer: BufWriter<File>,
    path: PathBuf,
    position: Position,
    event: Vec<u8>,
    record: Vec<u8>,
}

impl EventWriter {
    /// Creates an event file in `folder`.
    ///
    /// # Errors
    /// If it cannot be created.
    pub fn create(folder: &Path) -> Result<Self, Error> {
        let now = now();
        let path = folder.join(format!("{PREFIX}{:010}.relax", now as u64));
        let file = File::create_new(&path).map_err(|source| Error::io("create", &path, source))?;
        let mut events = Self::new(file, path, Position::default());
        put_double(&mut events.event, 1, now);
        put_bytes(&mut events.event, 3, b"brain.Event:2");
        events.put_record()?;
        Ok(events)
    }

    /// Opens the event file of `folder` again and cuts off what was written after `position`.
    ///
    /// # Errors
    /// If there is no event file, or it is shorter than `position`.
    pub fn resume(folder: &Path, position: Position) -> Result<Self, Error> {
        let path = find(folder)?;
        let io = |source| Error::io("reopen", &path, source);
        let mut file = OpenOptions::new().write(true).open(&path).map_err(io)?;
        if file.metadata().map_err(io)?.len() < position.bytes {
            let message = format!("{} is shorter than when the checkpoint was written", path.display());
            return Err(Error::input(message).with_hint("the file was changed by hand; restore it"));
        }
        file.set_len(position.bytes).map_err(io)?;
        file.seek(SeekFrom::Start(position.bytes)).map_err(io)?;
        Ok(Self::new(file, path, position))
    }

    /// Appends the `scalars` (name, value) of `step`. Names with a slash, `train/return`, are grouped by what stands before.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn write(&mut self, step: u64, scalars: &[(&str, f64)]) -> Result<(), Error> {
        self.write_at(now(), step, scalars)
    }

    /// Appends the settings of a run, given as TOML, for TensorBoard's table of hyper-parameters (`hparams`); keys of sections
    /// are joined by dots.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn settings(&mut self, toml: &str) -> Result<(), Error> {
        let mut settings = Vec::new();
        flatten("", &toml.parse::<toml::Table>().unwrap_or_default(), &mut settings);
        // `tensorboard.hparams.HParamsPluginData`: `session_start_info = 3`, which holds `hparams = 1`, a map from names to
        // `google.protobuf.Value`, and `start_time_secs = 5`.
        let mut info = Vec::new();
        for (name, value) in settings {
            let mut entry = Vec::new();
            put_bytes(&mut entry, 1, name.as_bytes());
            put_bytes(&mut entry, 2, &value);
            put_bytes(&mut info, 1, &entry);
        }
        let now = now();
        put_double(&mut info, 5, now);
        let within = |field: u8, content: &[u8]| {
            let mut message = Vec::new();
            put_bytes(&mut message, field, content);
            message
        };
        // `SummaryMetadata`: `plugin_data = 1` with `plugin_name = 1` and `content = 2`; `Summary.Value`: `metadata = 9`.
        let mut plugin = within(1, b"hparams");
        put_bytes(&mut plugin, 2, &within(3, &info));
        let mut value = within(1, b"_hparams_/session_start_info");
        put_bytes(&mut value, 9, &within(1, &plugin));
        put_double(&mut self.event, 1, now);
        put_bytes(&mut self.event, 5, &within(1, &value));
        self.put_record()
    }

    /// Hands every event to the operating system.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.writer.flush().map_err(|source| Error::io("write", &self.path, source))
    }

    /// What has been written so far, whether or not it is flushed.
    #[must_use]
    pub fn position(&self) -> Position {
        self.position
    }

    /// The file's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn new(file: File, path: PathBuf, position: Position) -> Self {
        let writer = BufWriter::with_capacity(64 * 1024, file);
        Self { writer, path, position, event: Vec::new(), record: Vec::new() }
    }

    fn write_at(&mut self, wall_time: f64, step: u64, scalars: &[(&str, f64)]) -> Result<(), Error> {
        put_double(&mut self.event, 1, wall_time);
        put_key(&mut self.event, 2, 0);
        put_varint(&mut self.event, step);
        let summary_len = scalars.iter().map(|(tag, _)| message_len(value_len(tag))).sum();
        put_key(&mut self.event, 5, 2);
        put_varint(&mut self.event, summary_len);
        for (tag, value) in scalars {
            put_key(&mut self.event, 1, 2);
            put_varint(&mut self.event, value_len(tag));
            put_bytes(&mut self.event, 1, tag.as_bytes());
            put_key(&mut self.event, 2, 5);
            self.event.extend_from_slice(&(*value as f32).to_le_bytes());
        }
        self.put_record()?;
        self.position.rows += 1;
        Ok(())
    }

    /// Frames `self.event` and empties it.
    fn put_record(&mut self) -> Result<(), Error> {
        let length = (self.event.len() as u64).to_le_bytes();
        self.record.clear();
        self.record.extend_from_slice(&length);
        self.record.extend_from_slice(&masked_crc(&length).to_le_bytes());
        self.record.extend_from_slice(&self.event);
        self.record.extend_from_slice(&masked_crc(&self.event).to_le_bytes());
        self.event.clear();
        self.position.bytes += self.record.len() as u64;
        self.writer.write_all(&self.record).map_err(|source| Error::io("write", &self.path, source))
    }
}

/// The values of `table` under their dotted names, each as a `google.protobuf.Value`: `number_value = 2`, `string_value = 3`,
/// `bool_value = 4`.
fn flatten(before: &str, table: &toml::Table, found: &mut Vec<(String, Vec<u8>)>) {
    for (key, value) in table {
        let name = if before.is_empty() { key.clone() } else { format!("{before}.{key}") };
        let mut bytes = Vec::new();
        match value {
            toml::Value::Table(inner) => {
                flatten(&name, inner, found);
                continue;
            }
            toml::Value::Integer(number) => put_double(&mut bytes, 2, *number as f64),
            toml::Value::Float(number) => put_double(&mut bytes, 2, *number),
            toml::Value::String(text) => put_bytes(&mut bytes, 3, text.as_bytes()),
            toml::Value::Boolean(flag) => {
                put_key(&mut bytes, 4, 0);
                put_varint(&mut bytes, u64::from(*flag));
            }
            other => put_bytes(&mut bytes, 3, other.to_string().as_bytes()),
        }
        found.push((name, bytes));
    }
}

/// The event file of `folder`; the oldest, should there be several.
fn find(folder: &Path) -> Result<PathBuf, Error> {
    let entries = std::fs::read_dir(folder).map_err(|source| Error::io("read", folder, source))?;
    entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX))
        .map(|entry| entry.path())
        .min()
        .ok_or_else(|| {
            Error::input(format!("{} holds no TensorBoard event file", folder.display()))
                .with_hint("restore the file; a run is resumed with all of its files")
        })
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

/// TFRecord's checksum: CRC-32C, rotated and shifted so that a checksum of data with checksums stays meaningful.
fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Length of a `Summary.Value` with this tag: a string field and a float field.
fn value_len(tag: &str) -> u64 {
    message_len(tag.len() as u64) + 5
}

/// Length of a field that holds `len` bytes: key (one byte for the fields here), length, content.
fn message_len(len: u64) -> u64 {
    1 + varint_len(len) + len
}

fn varint_len(value: u64) -> u64 {
    u64::from((64 - (value | 1).leading_zeros()).div_ceil(7))
}

fn put_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// A field's number and wire type: 0 varint, 1 eight bytes, 2 length and bytes, 5 four bytes.
fn put_key(bytes: &mut Vec<u8>, field: u8, wire_type: u8) {
    bytes.push(field << 3 | wire_type);
}

fn put_double(bytes: &mut Vec<u8>, field: u8, value: f64) {
    put_key(bytes, field, 1);
    bytes.extend_from_slice(&value.to_le_bytes());
}

fn put_bytes(bytes: &mut Vec<u8>, field: u8, content: &[u8]) {
    put_key(bytes, field, 2);
    put_varint(bytes, content.len() as u64);
    bytes.extend_from_slice(content);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One decoded event: step and scalars; the first event of a file has neither.
    type Decoded = (u64, Vec<(String, f32)>);

    fn take<'a>(bytes: &mut &'a [u8], count: usize) -> &'a [u8] {
        let (head, tail) = bytes.split_at(count);
        *bytes = tail;
        head
    }

    fn varint(bytes: &mut &[u8]) -> u64 {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let byte = take(bytes, 1)[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        value
    }

    /// The fields of a message: number and content (a varint's value as eight bytes).
    fn fields(mut bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
        let mut all = Vec::new();
        while !bytes.is_empty() {
            let key = varint(&mut bytes);
            let content = match key & 7 {
                0 => varint(&mut bytes).to_le_bytes().to_vec(),
                1 => take(&mut bytes, 8).to_vec(),
                2 => {
                    let len = varint(&mut bytes) as usize;
                    take(&mut bytes, len).to_vec()
                }
                5 => take(&mut bytes, 4).to_vec(),
                other => panic!("wire type {other}"),
            };
            all.push((key >> 3, content));
        }
        all
    }

    fn decode(mut bytes: &[u8]) -> Vec<Decoded> {
        let mut events = Vec::new();
        while !bytes.is_empty() {
            let length = take(&mut bytes, 8);
            let crc = u32::from_le_bytes(take(&mut bytes, 4).try_into().expect("four"));
            assert_eq!(crc, masked_crc(length));
            let payload = take(&mut bytes, u64::from_le_bytes(length.try_into().expect("eight")) as usize);
            let crc = u32::from_le_bytes(take(&mut bytes, 4).try_into().expect("four"));
            assert_eq!(crc, masked_crc(payload));
            let mut event = (0, Vec::new());
            for (number, content) in fields(payload) {
                match number {
                    2 => event.0 = u64::from_le_bytes(content.try_into().expect("eight")),
                    5 => {
                        for (_, value) in fields(&content) {
                            let parts = fields(&value);
                            let tag = String::from_utf8(parts[0].1.clone()).expect("text");
                            let number = f32::from_le_bytes(parts[1].1.clone().try_into().expect("four"));
                            event.1.push((tag, number));
                        }
                    }
                    _ => {}
                }
            }
            events.push(event);
        }
        events
    }

    #[test]
    fn the_checksum_is_the_published_one() {
        // CRC-32C of 32 zero bytes and of 0..32: RFC 3720, B.4.
        assert_eq!(crc32c::crc32c(&[0; 32]), 0x8a91_36aa);
        let rising: Vec<u8> = (0..32).collect();
        assert_eq!(crc32c::crc32c(&rising), 0x46dd_794e);
        // The mask of the first event's length field (24 bytes) in files that TensorFlow writes.
        assert_eq!(masked_crc(&24u64.to_le_bytes()).to_le_bytes(), [0xa3, 0x7f, 0x4b, 0x22]);
    }

    #[test]
    fn varints_are_as_long_as_stated() {
        for value in [0, 1, 127, 128, 300, 16_383, 16_384, u64::from(u32::MAX), u64::MAX] {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            assert_eq!(bytes.len() as u64, varint_len(value), "{value}");
            assert_eq!(varint(&mut bytes.as_slice()), value);
        }
    }

    #[test]
    fn events_decode_to_what_was_written_also_after_a_resume() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let long = "x".repeat(200);
        let mut events = EventWriter::create(folder.path()).expect("creates");
        events.write(256, &[("train/return", 21.5), (&long, -1e-3)]).expect("writes");
        let position = events.position();
        events.write(512, &[("train/return", 99.0)]).expect("writes");
        let path = events.path().to_owned();
        drop(events);
        let mut events = EventWriter::resume(folder.path(), position).expect("resumes");
        events.write(70_000, &[("train/return", f64::NAN)]).expect("writes");
        events.flush().expect("flushes");
        assert_eq!(events.position().rows, 2);

        let decoded = decode(&std::fs::read(path).expect("read"));
        assert_eq!(decoded.len(), 3);
        assert_eq!(decoded[0], (0, Vec::new()));
        assert_eq!(decoded[1], (256, vec![("train/return".into(), 21.5), (long, -1e-3)]));
        assert_eq!(decoded[2].0, 70_000);
        assert!(decoded[2].1[0].1.is_nan());
    }

    #[test]
    fn settings_are_those_of_the_hparams_plugin() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut events = EventWriter::create(folder.path()).expect("creates");
        let toml = "[env]\nid = \"X-v0\"\n[learner]\ngamma = 0.5\nanneal = true\n[agent]\nhidden = [4, 2]\n";
        events.settings(toml).expect("writes");
        events.write(1, &[("rollout/return", 2.0)]).expect("writes");
        events.flush().expect("flushes");
        let bytes = std::fs::read(events.path()).expect("read");
        assert_eq!(events.position(), Position { bytes: bytes.len() as u64, rows: 1 });
        // Past the first record, the version: 12 bytes before its payload, 4 behind.
        let first = u64::from_le_bytes(bytes[..8].try_into().expect("eight")) as usize + 16;
        let length = u64::from_le_bytes(bytes[first..first + 8].try_into().expect("eight")) as usize;
        let payload = &bytes[first + 12..][..length];
        let field = |message: &[u8], number: u64| -> Vec<u8> {
            let found = fields(message).into_iter().find(|(n, _)| *n == number);
            found.unwrap_or_else(|| panic!("field {number}")).1
        };
        let value = field(&field(payload, 5), 1);
        assert_eq!(field(&value, 1), b"_hparams_/session_start_info");
        let plugin = field(&field(&value, 9), 1);
        assert_eq!(field(&plugin, 1), b"hparams");
        let info = field(&field(&plugin, 2), 3);
        let settings: Vec<(String, Vec<u8>)> = fields(&info)
            .into_iter()
            .filter(|(number, _)| *number == 1)
            .map(|(_, entry)| (String::from_utf8(field(&entry, 1)).expect("text"), field(&entry, 2)))
            .collect();
        let of = |name: &str| &settings.iter().find(|(n, _)| n == name).expect("a setting").1;
        assert_eq!(field(of("learner.gamma"), 2), 0.5f64.to_le_bytes());
        assert_eq!(field(of("learner.anneal"), 4)[0], 1);
        assert_eq!(field(of("env.id"), 3), b"X-v0");
        assert_eq!(field(of("agent.hidden"), 3), b"[4, 2]");
    }

    #[test]
    fn a_missing_or_shortened_file_is_an_error() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        assert!(EventWriter::resume(folder.path(), Position::default()).is_err());
        drop(EventWriter::create(folder.path()).expect("creates"));
        assert!(EventWriter::resume(folder.path(), Position { bytes: 1 << 20, rows: 0 }).is_err());
    }
}
