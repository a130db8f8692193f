//! Sealing.

use relax_nn::{StateDict, StateTensor};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{Format, NO_CHECKSUM, Words};

/// Words and arrays in one piece, and its checksum. The words name the version of the crate that they come from,
/// `crate_version`; the names `format`, `format_version` and `sha256` are this function's.
#[must_use]
pub fn encode(format: &Format, words: &Words, state: &StateDict) -> (Vec<u8>, String) {
    let mut tensors: Vec<(&str, &StateTensor)> = state.iter().collect();
    // Wide elements first keeps every array aligned, as the safetensors library itself does.
    tensors.sort_by_key(|(_, tensor)| std::cmp::Reverse(width(tensor)));

    let mut entries = Map::new();
    entries.insert("__metadata__".to_owned(), metadata(format, words));
    let mut end = 0;
    for (name, tensor) in &tensors {
        let (dtype, shape) = describe(tensor);
        let start = end;
        end += shape.iter().product::<usize>() * width(tensor);
        let entry = json!({ "dtype": dtype, "shape": shape, "data_offsets": [start, end] });
        entries.insert((*name).to_owned(), entry);
    }
    let mut text = Value::Object(entries).to_string();
    // The arrays start at a multiple of eight; JSON may end in blanks.
    text.push_str(&" ".repeat(text.len().next_multiple_of(8) - text.len()));

    let mut bytes = Vec::with_capacity(8 + text.len() + end);
    bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
    bytes.extend_from_slice(text.as_bytes());
    for (_, tensor) in &tensors {
        match tensor {
            StateTensor::F32 { data, .. } => append(&mut bytes, data, |x| x.to_le_bytes()),
            StateTensor::F64(data) => append(&mut bytes, data, |x| x.to_le_bytes()),
            StateTensor::U64(data) => append(&mut bytes, data, |x| x.to_le_bytes()),
            StateTensor::U8(data) => bytes.extend_from_slice(data),
        }
    }
    let checksum = seal(&mut bytes, 8 + text.len());
    (bytes, checksum)
}

/// Appends the `N` bytes that each number is written as.
fn append<T: Copy, const N: usize>(bytes: &mut Vec<u8>, numbers: &[T], of: impl Fn(T) -> [u8; N]) {
    let start = bytes.len();
    bytes.resize(start + numbers.len() * N, 0);
    let places = bytes[start..].as_chunks_mut::<N>().0;
    places.iter_mut().zip(numbers).for_each(|(place, &number)| *place = of(number));
}

fn metadata(format: &Format, words: &Words) -> Value {
    let mut all: Map<String, Value> =
        words.iter().map(|(name, text)| (name.clone(), Value::String(text.clone()))).collect();
    for (name, text) in
        [("format", format.name), ("format_version", &format.version.to_string()), ("sha256", NO_CHECKSUM)]
    {
        all.insert(name.to_owned(), Value::String(text.to_owned()));
    }
    Value::Object(all)
}

/// Puts the checksum in the place of the zeros.
fn seal(bytes: &mut [u8], header_end: usize) -> String {
    let checksum = hex(&Sha256::digest(&*bytes));
    if let Some(at) = find(&bytes[..header_end], &checksum_entry(NO_CHECKSUM)) {
        let start = at + checksum_entry("").len() - 1;
        bytes[start..start + checksum.len()].copy_from_slice(checksum.as_bytes());
    }
    checksum
}

/// How the checksum stands in the header.
pub(super) fn checksum_entry(digits: &str) -> String {
    format!("\"sha256\":\"{digits}\"")
}

/// Where `needle` first begins in `bytes`.
pub(super) fn find(bytes: &[u8], needle: &str) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle.as_bytes())
}

/// `bytes` in hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn width(tensor: &StateTensor) -> usize {
    match tensor {
        StateTensor::F64(_) | StateTensor::U64(_) => 8,
        StateTensor::F32 { .. } => 4,
        StateTensor::U8(_) => 1,
    }
}

fn describe(tensor: &StateTensor) -> (&'static str, Vec<usize>) {
    match tensor {
        StateTensor::F32 { shape, .. } => ("F32", shape.clone()),
        StateTensor::F64(data) => ("F64", vec![data.len()]),
        StateTensor::U64(data) => ("U64", vec![data.len()]),
        StateTensor::U8(data) => ("U8", vec![data.len()]),
    }
}
