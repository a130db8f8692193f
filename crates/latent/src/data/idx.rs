//! The IDX format (MNIST's): `00 00 TYPE NDIM`, NDIM big-endian u32 sizes, then the values in C order; plain or gzipped.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use super::DataError;

/// Most values that are read from one file; more means a damaged header.
const MAX_VALUES: u64 = 1 << 30;

/// An array of bytes with its shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idx {
    /// Sizes of the dimensions.
    pub shape: Vec<usize>,
    /// The values in C order.
    pub values: Vec<u8>,
}

impl Idx {
    /// Reads the file `path`, whose values must be unsigned bytes in `dimensions` dimensions. Whether it is gzipped is seen
    /// from its content.
    ///
    /// # Errors
    /// If it cannot be read, is no such file, or is longer or shorter than its header says.
    pub fn read(path: &Path, dimensions: usize) -> Result<Self, DataError> {
        let io = |source| DataError::io(path, source);
        let mut file = BufReader::new(File::open(path).map_err(io)?);
        let mut magic = [0; 2];
        let seen = read_up_to(&mut file, &mut magic).map_err(io)?;
        let start = io::Cursor::new(magic).take(seen as u64).chain(file);
        if magic == [0x1f, 0x8b] {
            Self::parse(path, MultiGzDecoder::new(start), dimensions)
        } else {
            Self::parse(path, start, dimensions)
        }
    }

    pub(super) fn parse(path: &Path, mut bytes: impl Read, dimensions: usize) -> Result<Self, DataError> {
        let bad = |problem: String| DataError::malformed(path, problem);
        let read = |error: io::Error| match error.kind() {
            io::ErrorKind::UnexpectedEof => bad("is cut short".into()),
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => bad(format!("is damaged: {error}")),
            _ => DataError::io(path, error),
        };
        let mut head = [0; 4];
        bytes.read_exact(&mut head).map_err(read)?;
        let [zero, nought, kind, count] = head;
        if [zero, nought] != [0, 0] {
            return Err(bad(format!("is no IDX file: it begins with {head:02x?}, not with 00 00")));
        }
        if kind != 8 || usize::from(count) != dimensions {
            return Err(bad(format!(
                "is an IDX file of type 0x{kind:02x} with {count} dimensions; type 0x08 (bytes) with {dimensions} is needed"
            )));
        }
        let mut shape = Vec::with_capacity(dimensions);
        for _ in 0..dimensions {
            let mut size = [0; 4];
            bytes.read_exact(&mut size).map_err(read)?;
            shape.push(u32::from_be_bytes(size) as usize);
        }
        let promised = shape.iter().try_fold(1u64, |product, &size| product.checked_mul(size as u64));
        let Some(promised) = promised.filter(|&count| count <= MAX_VALUES) else {
            return Err(bad(format!("promises an array of shape {shape:?}, which is too large to be true")));
        };
        // Grows with what is really there, so that a false header costs no memory.
        let mut values = Vec::new();
        let found = bytes.by_ref().take(promised + 1).read_to_end(&mut values).map_err(read)? as u64;
        if found != promised {
            let relation = if found < promised { "only " } else { "more than " };
            let shown = found.min(promised);
            return Err(bad(format!(
                "promises {promised} values (shape {shape:?}), but holds {relation}{shown}"
            )));
        }
        Ok(Self { shape, values })
    }
}

/// The file of `folder` called `name`, `name.gz`, or either with the last `-idx` written `.idx`, if there is one.
pub(super) fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    let dotted = name.replace("-idx", ".idx");
    let candidates = [format!("{name}.gz"), name.to_owned(), format!("{dotted}.gz"), dotted];
    candidates.into_iter().map(|candidate| folder.join(candidate)).find(|path| path.is_file())
}

fn read_up_to(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
