//! Reading what is sealed, which may be anything.

use std::io::{self, Cursor, Read, Seek, SeekFrom};

use relax_nn::{StateDict, StateTensor};
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use sha2::{Digest, Sha256};

use super::write::{checksum_entry, find, hex};
use super::{Format, MAX_HEADER, NO_CHECKSUM, Unreadable, Words};

/// Reads what [`encode`](super::encode) made of words and arrays. The words have `crate_version` and `sha256` among them.
///
/// # Errors
/// As [`read`].
pub fn decode(format: &Format, bytes: &[u8]) -> Result<(Words, StateDict), Unreadable> {
    read(format, &mut Cursor::new(bytes), bytes.len() as u64)
}

/// As [`decode`], from a source of `length` bytes that stands at its beginning.
///
/// # Errors
/// If it is damaged in any way, of another format, or of another version of it; if the source fails. Never panics, and never
/// allocates more than a small multiple of the true size.
pub fn read(
    format: &Format,
    source: &mut (impl Read + Seek),
    length: u64,
) -> Result<(Words, StateDict), Unreadable> {
    let damaged = |reason: String| Unreadable::Damaged(reason);
    let cut = |error: io::Error| match error.kind() {
        io::ErrorKind::UnexpectedEof => damaged("it is cut short".into()),
        _ => Unreadable::Io(error),
    };
    let (header_bytes, data_len) = read_header(source, length).map_err(cut)?.map_err(damaged)?;
    let metadata: Metadata = serde_json::from_slice(&header_bytes)
        .map_err(|error| damaged(format!("its header is not that of a safetensors file ({error})")))?;
    let mut words = words(format, &metadata).map_err(damaged)?;
    check_version(format, &words)?;
    if metadata.data_len() as u64 != data_len {
        let promised = metadata.data_len();
        return Err(damaged(format!(
            "its header promises {promised} bytes of arrays, but there are {data_len}"
        )));
    }
    let data_start = source.stream_position().map_err(cut)?;
    let found = checksum(source, &header_bytes, words.get("sha256")).map_err(cut)?.map_err(damaged)?;
    if Some(&found) != words.get("sha256") {
        return Err(damaged("its checksum does not match its content".into()));
    }

    source.seek(SeekFrom::Start(data_start)).map_err(cut)?;
    let state = read_tensors(source, &metadata).map_err(cut)?.map_err(damaged)?;
    for name in ["format", "format_version"] {
        words.remove(name);
    }
    Ok((words, state))
}

/// The header's bytes and the number of bytes after it.
fn read_header(source: &mut impl Read, length: u64) -> io::Result<Result<(Vec<u8>, u64), String>> {
    let mut size = [0; 8];
    source.read_exact(&mut size)?;
    let size = u64::from_le_bytes(size);
    let rest = length.saturating_sub(8);
    if size > rest || size > MAX_HEADER {
        let most = rest.min(MAX_HEADER);
        return Ok(Err(format!("its header would be {size} bytes long, and at most {most} are possible")));
    }
    let mut header = vec![0; size as usize];
    source.read_exact(&mut header)?;
    Ok(Ok((header, rest - size)))
}

/// The header's strings, if the format is the one asked for.
fn words(format: &Format, metadata: &Metadata) -> Result<Words, String> {
    let words: Words =
        metadata.metadata().iter().flatten().map(|(name, text)| (name.clone(), text.clone())).collect();
    if words.get("format").is_none_or(|found| found != format.name) {
        return Err("it is a safetensors file, but not of this program".into());
    }
    Ok(words)
}

fn check_version(format: &Format, words: &Words) -> Result<(), Unreadable> {
    let word = |name: &str| words.get(name).map_or("unknown", String::as_str).to_owned();
    if word("format_version") == format.version.to_string() {
        return Ok(());
    }
    Err(Unreadable::Version { found: word("format_version"), crate_version: word("crate_version") })
}

/// The checksum of the whole, whose header is `header` and whose remaining bytes are still to be read from `source`.
fn checksum(
    source: &mut impl Read,
    header: &[u8],
    digits: Option<&String>,
) -> io::Result<Result<String, String>> {
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
        match source.read(&mut buffer)? {
            0 => break,
            count => hasher.update(&buffer[..count]),
        }
    }
    Ok(Ok(hex(&hasher.finalize())))
}

/// All arrays, in the order in which they lie there.
fn read_tensors(source: &mut impl Read, metadata: &Metadata) -> io::Result<Result<StateDict, String>> {
    let mut state = StateDict::new();
    for name in metadata.offset_keys() {
        let Some(info) = metadata.info(&name) else { continue };
        // The offsets were checked by the safetensors library: without gaps or overlaps, and as long as shape and type say.
        let mut bytes = vec![0; info.data_offsets.1 - info.data_offsets.0];
        source.read_exact(&mut bytes)?;
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
        other => return Err(format!("is {other:?}; only F32, F64, U64 and U8 are possible")),
    })
}

fn numbers<T, const N: usize>(bytes: &[u8], convert: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|&chunk| convert(chunk)).collect()
}
