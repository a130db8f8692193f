//! MNIST from its two image files, split 50 000 / 10 000 / 10 000 as usual.

use std::path::Path;

use super::idx::{self, Idx};
use super::{DataError, Dataset, Images};

const TRAIN: &str = "train-images-idx3-ubyte";
const TEST: &str = "t10k-images-idx3-ubyte";

/// Reads MNIST, or any data set in its layout (Fashion-MNIST, say), from `folder`.
///
/// The last sixth of the training file is the validation set: 50 000 and 10 000 images, as in Burda et al. and all that
/// followed. Files may be gzipped or plain.
///
/// # Errors
/// If a file is missing, damaged, or no such images.
pub fn mnist(folder: &Path) -> Result<Dataset, DataError> {
    let train = images(folder, TRAIN, 6)?;
    let test = images(folder, TEST, 1)?;
    if train.0 != test.0 {
        let path = folder.join(TEST);
        let problem =
            format!("holds images of {:?} pixels, but the training images have {:?}", test.0, train.0);
        return Err(DataError::malformed(&path, problem));
    }
    let ((rows, columns), train, test) = (train.0, train.1, test.1);
    let count = train.len() / (rows * columns);
    let (train, validation) = train.split_at((count - count / 6) * rows * columns);
    let part = |values: &[u8]| Images::new(values.to_vec(), rows * columns);
    Ok(Dataset { rows, columns, train: part(train), validation: part(validation), test: part(&test) })
}

/// Rows and columns, and all pixels of `least` images or more.
fn images(folder: &Path, name: &str, least: usize) -> Result<((usize, usize), Vec<u8>), DataError> {
    let path = idx::find(folder, name).ok_or_else(|| DataError::Missing {
        dataset: "MNIST",
        folder: folder.to_owned(),
        missing: format!("there is no {name}.gz (or {name})"),
        hint: format!(
            "name the folder that holds {TRAIN}.gz and {TEST}.gz with --data DIR; the repository brings them in data/mnist"
        ),
    })?;
    let Idx { shape, values } = Idx::read(&path, 3)?;
    if shape[0] < least || shape[1] == 0 || shape[2] == 0 {
        let problem = format!(
            "holds an array of shape {shape:?}; [images, rows, columns] with {least} or more images is needed"
        );
        return Err(DataError::malformed(&path, problem));
    }
    Ok(((shape[1], shape[2]), values))
}
