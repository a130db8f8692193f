//! Reading a checkpoint, which may be anything.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use relax_nn::{StateDict, StateTensor};
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use sha2::{Digest, Sha256};

use super::write::{checksum_entry, find, hex};
use super::{CheckpointError, FORMAT, FORMAT_VERSION, Header, MAX_HEADER, NO_CHECKSUM};

/// Reads the file `path`.
///
/// # Errors
/// If it is missing, unreadable, damaged in any way, no checkpoint, or one of another format version. Never panics, and
/// never allocates more than a small multiple of the file's true size.
pub fn load(path: &Path) -> Result<(Header, StateDict), CheckpointError> {
    let io_error = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => CheckpointError::Missing { path: path.to_owned() },
        io::ErrorKind::UnexpectedEof => CheckpointError::damaged(path, "it is cut short"),
        _ => CheckpointError::Io { action: "read", path: path.to_owned(), source, hint: None },
    };
    let damaged = |reason: String| CheckpointError::damaged(path, reason);
    let mut file = File::open(path).map_err(io_error)?;
    let info = file.metadata().map_err(io_error)?;
    if !info.is_file() {
        return Err(damaged("it is not a file".into()));
    }

    let (header_bytes, data_len) = read_header(&mut file, info.len()).map_err(io_error)?.map_err(damaged)?;
    let metadata: Metadata = serde_json::from_slice(&header_bytes)
        .map_err(|error| damaged(format!("its header is not that of a safetensors file ({error})")))?;
    let mut words = words(&metadata).map_err(damaged)?;
    check_version(path, &words)?;
    if metadata.data_len() as u64 != data_len {
        let promised = metadata.data_len();
        return Err(damaged(format!(
            "its header promises {promised} bytes of arrays, but there are {data_len}"
        )));
    }
    let data_start = file.stream_position().map_err(io_error)?;
    let found =
        checksum(&mut file, &header_bytes, words.get("sha256")).map_err(io_error)?.map_err(damaged)?;
    if Some(&found) != words.get("sha256") {
        return Err(damaged("its checksum does not match its content".into()));
    }

    file.seek(SeekFrom::Start(data_start)).map_err(io_error)?;
    let state = read_tensors(&mut file, &metadata).map_err(io_error)?.map_err(damaged)?;
    for name in ["format", "format_version", "sha256"] {
        words.remove(name);
    }
    let crate_version = words.remove("crate_version").unwrap_or_default();
    let config = words.remove("config").unwrap_or_default();
    Ok((Header { crate_version, config, notes: words }, state))
}

/// The header's bytes and the number of bytes after it.
fn read_header(file: &mut File, file_len: u64) -> io::Result<Result<(Vec<u8>, u64), String>> {
    let mut length = [0; 8];
    file.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    let rest = file_len.saturating_sub(8);
    if length > rest || length > MAX_HEADER {
        let most = rest.min(MAX_HEADER);
        return Ok(Err(format!("its header would be {length} bytes long, and at most {most} are possible")));
    }
    let mut header = vec![0; length as usize];
    file.read_exact(&mut header)?;
    Ok(Ok((header, rest - length)))
}

/// The header's strings, if the format is ours.
fn words(metadata: &Metadata) -> Result<BTreeMap<String, String>, String> {
    let words: BTreeMap<String, String> =
        metadata.metadata().iter().flatten().map(|(name, text)| (name.clone(), text.clone())).collect();
    if words.get("format").is_none_or(|format| format != FORMAT) {
        return Err("it is a safetensors file, but not of this program".into());
    }
    Ok(words)
}

fn check_version(path: &Path, words: &BTreeMap<String, String>) -> Result<(), CheckpointError> {
    let word = |name: &str| words.get(name).map_or("unknown", String::as_str).to_owned();
    if word("format_version") == FORMAT_VERSION.to_string() {
        return Ok(());
    }
    Err(CheckpointError::Version {
        path: path.to_owned(),
        found: word("format_version"),
        crate_version: word("crate_version"),
    })
}

/// The checksum of the whole file, whose header is `header` and whose remaining bytes are still to be read from `file`.
fn checksum(file: &mut File, header: &[u8], digits: Option<&String>) -> io::Result<Result<String, String>> {
    let place = digits
        .filter(|digits| digits.len() == NO_CHECKSUM.len())
        .and_then(|digits| Some(find(header, &checksum_entry(digits))? + checksum_entry("").len() - 1));
    let Some(start) = place else { return Ok(Err("it has no checksum".into())) };
    let mut hasher = Sha256::new();
    hasher.update((header.len() as u64).to_le_bytes());
    hasher.update(&header[..start]);
    hasher.update(NO_CHECKSUM);
    hasher.update(&header[start + NO_CHECKSUM.len()..]);
    let mut buffer = [0; 16 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            count => hasher.update(&buffer[..count]),
        }
    }
    Ok(Ok(hex(&hasher.finalize())))
}

/// All arrays, in the order in which they lie in the file.
fn read_tensors(file: &mut File, metadata: &Metadata) -> io::Result<Result<StateDict, String>> {
    let mut state = StateDict::new();
    for name in metadata.offset_keys() {
        let Some(info) = metadata.info(&name) else { continue };
        // The offsets were checked by the safetensors library: without gaps or overlaps, and as long as shape and type say.
        let mut bytes = vec![0; info.data_offsets.1 - info.data_offsets.0];
        file.read_exact(&mut bytes)?;
        match tensor(info, bytes) {
            Ok(tensor) => state.insert(name, tensor),
            Err(reason) => return Ok(Err(format!("its array `{name}` {reason}"))),
        }
    }
    Ok(Ok(state))
}

fn tensor(info: &TensorInfo, bytes: Vec<u8>) -> Result<StateTensor, String> {
    if info.dtype != Dtype::F32 && info.shape.len() != 1 {
        return Err(format!(
            "is {:?} of shape {:?}; only F32 may have another shape than [n]",
            info.dtype, info.shape
        ));
    }
    Ok(match info.dtype {
        Dtype::F32 => {
            StateTensor::F32 { shape: info.shape.clone(), data: numbers(&bytes, f32::from_le_bytes) }
        }
        Dtype::F64 => StateTensor::F64(numbers(&bytes, f64::from_le_bytes)),
        Dtype::U64 => StateTensor::U64(numbers(&bytes, u64::from_le_bytes)),
        Dtype::U8 => StateTensor::U8(bytes),
        other => return Err(format!("is {other:?}; a checkpoint holds F32, F64, U64 and U8 only")),
    })
}

fn numbers<T, const N: usize>(bytes: &[u8], convert: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|&chunk| convert(chunk)).collect()
}
