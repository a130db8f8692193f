//! Which images a training step sees: epochs in an order of their own, cut into minibatches without a remainder.

use rand::RngExt;

use super::BinaryImages;
use crate::stream::{role, stream};

/// The minibatches of a run. They depend on (seed, iteration) alone, so a resumed run needs nothing saved.
///
/// The images of all epochs stand in one long row, each epoch shuffled by its own stream; iteration i takes the places
/// i·B … i·B + B − 1. A minibatch may thus hold the last images of one epoch and the first of the next, and every image is
/// seen equally often.
#[derive(Debug, Clone)]
pub struct Minibatches {
    seed: u64,
    batch: usize,
    /// The epoch whose order is at hand.
    epoch: Option<u64>,
    order: Vec<u32>,
    indices: Vec<u32>,
}

impl Minibatches {
    /// Minibatches of `batch` out of `images` images.
    ///
    /// # Panics
    /// If either is 0, or `images` does not fit into 32 bits.
    #[must_use]
    pub fn new(images: usize, batch: usize, seed: u64) -> Self {
        assert!(images > 0 && batch > 0, "minibatches of {batch} of {images} images");
        let count = u32::try_from(images).expect("at most 2³² images");
        Self { seed, batch, epoch: None, order: (0..count).collect(), indices: vec![0; batch] }
    }

    /// The images of `iteration`, counted from 0.
    pub fn indices(&mut self, iteration: u64) -> &[u32] {
        let images = self.order.len() as u64;
        let first = iteration * self.batch as u64;
        for (slot, place) in (0..self.batch).zip(first..) {
            self.shuffle(place / images);
            self.indices[slot] = self.order[(place % images) as usize];
        }
        &self.indices
    }

    /// Writes the minibatch of `iteration` to `out`, `[batch, pixels]`, zeros and ones.
    ///
    /// # Panics
    /// If `out` is of another size.
    pub fn fill(&mut self, images: &BinaryImages, iteration: u64, out: &mut [f32]) {
        images.batch(self.indices(iteration), iteration, out);
    }

    /// Brings the order of `epoch` about: Fisher and Yates's shuffle of 0, 1, 2, ….
    fn shuffle(&mut self, epoch: u64) {
        if self.epoch == Some(epoch) {
            return;
        }
        self.epoch = Some(epoch);
        let mut rng = stream(self.seed, role::SHUFFLE, epoch);
        for (place, index) in self.order.iter_mut().enumerate() {
            *index = place as u32;
        }
        for last in (1..self.order.len()).rev() {
            self.order.swap(last, rng.random_range(0..=last as u32) as usize);
        }
    }
}

/// A minibatch of `batch` random images, drawn with replacement, `[batch, pixels]`, named by `seed` and `index`: what the
/// gradient's variance is measured on, apart from the order of training.
#[must_use]
pub fn random_minibatch(images: &BinaryImages, batch: usize, seed: u64, index: u64) -> Vec<f32> {
    let mut rng = stream(seed, role::VARIANCE, index);
    let chosen: Vec<u32> = (0..batch).map(|_| rng.random_range(0..images.len() as u32)).collect();
    let mut x = vec![0.0; batch * images.pixels()];
    // Far from the iterations of training, whose fresh draws (dynamic binarisation) have other names.
    images.batch(&chosen, 1 << 63 | index, &mut x);
    x
}
