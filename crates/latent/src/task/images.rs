//! The images of a run: read from where the configuration says, split and made binary.

use std::sync::Arc;

use crate::data::{self, BinaryImages, DataError};

use super::config::{DataConfig, DataSet};
use relax_runtime::Error;

/// The three parts, made binary. Cheap to clone: runs side by side share them.
#[derive(Debug, Clone)]
pub struct RunImages {
    /// Rows of an image.
    pub rows: usize,
    /// Columns of an image.
    pub columns: usize,
    /// What is learned from.
    pub train: Arc<BinaryImages>,
    /// What settings are chosen by.
    pub validation: Arc<BinaryImages>,
    /// What is looked at once.
    pub test: Arc<BinaryImages>,
}

impl RunImages {
    /// Reads and prepares what `config` names.
    ///
    /// # Errors
    /// If the files are missing, damaged, or not what they should be.
    pub fn load(config: &DataConfig) -> Result<Self, Error> {
        let folder = config.folder();
        let read = match config.set {
            DataSet::Mnist => data::mnist(&folder),
            DataSet::Omniglot => data::omniglot(&folder),
        };
        let set = read.map_err(|error| explain(&error))?;
        let (how, seed) = (config.binarization, config.binarization_seed);
        // Numbered through, so that no two images draw from one stream.
        let second = set.train.len();
        let third = second + set.validation.len();
        let part = |images, first| Arc::new(BinaryImages::new(images, how, seed, first));
        Ok(Self {
            rows: set.rows,
            columns: set.columns,
            train: part(set.train, 0),
            validation: part(set.validation, second),
            test: part(set.test, third),
        })
    }
}

fn explain(error: &DataError) -> Error {
    let plain = Error::input(error.to_string());
    match error.hint() {
        Some(hint) => plain.with_hint(hint),
        None => plain,
    }
}
