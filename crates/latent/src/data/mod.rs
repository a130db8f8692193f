//! Images for binary latent-variable models: reading, splitting, and making them binary.
//!
//! ```no_run
//! use relax_latent::data::{self, BinaryImages, Binarization};
//! let mnist = data::mnist("data/mnist".as_ref())?;
//! let train = BinaryImages::new(mnist.train, Binarization::Static, 0, 0);
//! assert_eq!((train.len(), train.pixels()), (50_000, 784));
//! # Ok::<(), data::DataError>(())
//! ```

mod binary;
mod error;
mod idx;
mod minibatches;
mod mnist;
mod omniglot;
mod shrink;
#[cfg(test)]
mod tests;

pub use binary::{Binarization, BinaryImages};
pub use error::DataError;
pub use idx::Idx;
pub use minibatches::{Minibatches, random_minibatch};
pub use mnist::mnist;
pub use omniglot::omniglot;
pub use shrink::shrink;

/// Grey images, `[N, pixels]` bytes: 0 is paper, 255 is ink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    values: Vec<u8>,
    pixels: usize,
}

impl Images {
    /// Images of `pixels` bytes each.
    ///
    /// # Panics
    /// If `values` does not hold whole images.
    #[must_use]
    pub fn new(values: Vec<u8>, pixels: usize) -> Self {
        assert!(pixels > 0 && values.len().is_multiple_of(pixels), "images of {pixels} pixels");
        Self { values, pixels }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len() / self.pixels
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Pixels of one image.
    #[must_use]
    pub fn pixels(&self) -> usize {
        self.pixels
    }

    /// Image `index`.
    #[must_use]
    pub fn image(&self, index: usize) -> &[u8] {
        &self.values[index * self.pixels..][..self.pixels]
    }

    /// The images one after the other.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.values.chunks_exact(self.pixels)
    }
}

/// A data set, split.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// Rows of an image.
    pub rows: usize,
    /// Columns of an image.
    pub columns: usize,
    /// What is learned from.
    pub train: Images,
    /// What settings are chosen by.
    pub validation: Images,
    /// What is looked at once.
    pub test: Images,
}
