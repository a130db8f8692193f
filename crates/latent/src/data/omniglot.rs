//! Omniglot, 28×28: from a folder in IDX layout, or from the official zip files of 105×105 PNGs.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufReader, Cursor, Read};
use std::path::{Path, PathBuf};

use zip::ZipArchive;
use zip::result::ZipError;

use super::idx::{self, Idx};
use super::{DataError, Dataset, Images, shrink};

const IMAGES: &str = "omniglot28-images-idx3-ubyte";
const SPLIT: &str = "omniglot28-split-idx1-ubyte";
const ZIPS: [&str; 2] = ["images_background.zip", "images_evaluation.zip"];
/// Sides of the official images and of ours.
const FROM: usize = 105;
const TO: usize = 28;
/// Most bytes of one PNG; the official ones have about 300.
const MAX_PNG: u64 = 1 << 16;
/// 1623 characters, drawn by 20 people each.
pub(super) const COUNT: usize = 32_460;

/// Which image belongs to which part (0 train, 1 validation, 2 test), in the order in which [`read_zips`] reads them: per
/// character 5 drawers, chosen at random, are the test set, and 1345 of the others are the validation set. These are the
/// sizes of Burda et al.'s split but for 45 more test images; theirs cannot be had from the official files.
static OFFICIAL_SPLIT: &[u8] = include_bytes!("omniglot-split-idx1-ubyte.gz");

/// Reads Omniglot from `folder`: `omniglot28-images-idx3-ubyte` and `omniglot28-split-idx1-ubyte` (gzipped or plain), or else
/// the official `images_background.zip` and `images_evaluation.zip`, whose images it reduces by the exact area average.
/// The official files are split 23 000 / 1345 / 8115. Images that others have reduced differ from these in their grey levels
/// (Pillow's box filter, say, gives whole pixels a weight of 0 or 1 where the exact average gives them their overlap), so
/// bounds on one are not to be compared with bounds on the other.
///
/// # Errors
/// If files are missing, damaged, or not Omniglot's.
pub fn omniglot(folder: &Path) -> Result<Dataset, DataError> {
    if let Some(path) = idx::find(folder, IMAGES) {
        return read_idx(folder, &path);
    }
    let paths = ZIPS.map(|name| folder.join(name));
    if let Some(missing) = paths.iter().find(|path| !path.is_file()) {
        let name = missing.file_name().unwrap_or_default().to_string_lossy().into_owned();
        return Err(DataError::Missing {
            dataset: "Omniglot",
            folder: folder.to_owned(),
            missing: format!("there is neither {IMAGES}.gz nor {name}"),
            hint: format!(
                "fetch {} and {} from https://github.com/brendenlake/omniglot (folder python) and name their folder with \
                 --data DIR",
                ZIPS[0], ZIPS[1]
            ),
        });
    }
    let images = read_zips(&paths)?;
    if images.len() != COUNT {
        let problem = format!(
            "and {} hold {} images together; the official ones hold {COUNT}",
            paths[1].display(),
            images.len()
        );
        return Err(DataError::malformed(&paths[0], problem));
    }
    Ok(divide(&images, &official_split()?))
}

/// The parts of all official images.
pub(super) fn official_split() -> Result<Vec<u8>, DataError> {
    Idx::parse(Path::new(SPLIT), flate2::read::GzDecoder::new(OFFICIAL_SPLIT), 1).map(|idx| idx.values)
}

fn read_idx(folder: &Path, path: &Path) -> Result<Dataset, DataError> {
    let images = Idx::read(path, 3)?;
    if images.shape[1..] != [TO, TO] {
        let problem = format!("holds an array of shape {:?}; [images, {TO}, {TO}] is needed", images.shape);
        return Err(DataError::malformed(path, problem));
    }
    let split_path = idx::find(folder, SPLIT).ok_or_else(|| DataError::Missing {
        dataset: "Omniglot",
        folder: folder.to_owned(),
        missing: format!(
            "there is {IMAGES}, but no {SPLIT}.gz (or {SPLIT}), which says what is training data"
        ),
        hint: "put the file beside the images: one byte per image, 0 train, 1 validation, 2 test".into(),
    })?;
    let split = Idx::read(&split_path, 1)?;
    if split.shape[0] != images.shape[0] {
        let problem = format!("holds {} numbers for {} images", split.shape[0], images.shape[0]);
        return Err(DataError::malformed(&split_path, problem));
    }
    for (part, name) in ["training", "validation", "test"].into_iter().enumerate() {
        if !split.values.contains(&(part as u8)) {
            let problem = format!("names no {name} image ({part}); 0 is train, 1 validation, 2 test");
            return Err(DataError::malformed(&split_path, problem));
        }
    }
    if let Some(at) = split.values.iter().position(|&part| part > 2) {
        let problem = format!("says {} of image {at}; 0 is train, 1 validation, 2 test", split.values[at]);
        return Err(DataError::malformed(&split_path, problem));
    }
    Ok(divide(&Images::new(images.values, TO * TO), &split.values))
}

/// The three parts of `images`, each in the order of the whole.
pub(super) fn divide(images: &Images, split: &[u8]) -> Dataset {
    let part = |wanted: u8| {
        let chosen = images.iter().zip(split).filter(|(_, part)| **part == wanted);
        Images::new(chosen.flat_map(|(image, _)| image).copied().collect(), images.pixels())
    };
    Dataset { rows: TO, columns: TO, train: part(0), validation: part(1), test: part(2) }
}

/// All images of the zip files, reduced; per file in the order of their names: alphabet, character, drawer.
pub(super) fn read_zips(paths: &[PathBuf]) -> Result<Images, DataError> {
    let mut values = Vec::with_capacity(COUNT * TO * TO);
    for path in paths {
        let file = File::open(path).map_err(|source| DataError::io(path, source))?;
        let zip_error = |error: ZipError| match error {
            ZipError::Io(source) if source.kind() != std::io::ErrorKind::UnexpectedEof => {
                DataError::io(path, source)
            }
            error => DataError::malformed(path, format!("is not a usable zip file: {error}")),
        };
        let mut archive = ZipArchive::new(BufReader::new(file)).map_err(zip_error)?;
        // Resource forks that some systems add ("__MACOSX/…/._0001_01.png") are no images.
        let is_image = |name: &String| name.ends_with(".png") && !name.contains("/.");
        let names: Result<Vec<String>, _> =
            archive.file_names().map(|name| name.map(Cow::into_owned)).collect();
        let mut names: Vec<String> = names.map_err(zip_error)?.into_iter().filter(is_image).collect();
        names.sort_unstable();
        if names.is_empty() {
            return Err(DataError::malformed(path, "holds no PNG"));
        }
        for name in names {
            let entry = archive.by_name(&name).map_err(zip_error)?;
            let mut bytes = Vec::new();
            let damaged =
                |reason: String| DataError::malformed(path, format!("holds a bad image {name}: {reason}"));
            entry.take(MAX_PNG).read_to_end(&mut bytes).map_err(|error| damaged(error.to_string()))?;
            values.extend(shrink(&decode(&bytes).map_err(damaged)?, FROM, TO));
        }
    }
    Ok(Images::new(values, TO * TO))
}

/// A 105×105 PNG as a bitmap: 1 where it is darker than mid-grey.
fn decode(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().map_err(|error| error.to_string())?;
    let info = reader.info();
    if (info.width, info.height) != (FROM as u32, FROM as u32) {
        return Err(format!("it is {}×{}, not {FROM}×{FROM}", info.width, info.height));
    }
    let size = reader.output_buffer_size().ok_or("it is too large")?;
    let mut pixels = vec![0; size];
    let frame = reader.next_frame(&mut pixels).map_err(|error| error.to_string())?;
    let channels = frame.color_type.samples();
    Ok(pixels[..frame.buffer_size()].chunks_exact(channels).map(|pixel| u8::from(pixel[0] < 128)).collect())
}
