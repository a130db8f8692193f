//! The bound of a model over many images, and the variance of its gradient.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::data::{BinaryImages, random_minibatch};
use crate::vae::{Model, Trainer};
use serde::{Deserialize, Serialize};

/// Images whose bounds are asked for at once.
const CHUNK: usize = 500;

/// Which images an evaluation is about; names its noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The training images.
    Train,
    /// The validation images.
    Validation,
    /// The test images.
    Test,
}

/// A mean over images.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bound {
    /// Mean over the images, in nats.
    pub mean: f64,
    /// Standard error of that mean, from the spread between images.
    pub standard_error: f64,
    /// How many images.
    pub images: usize,
}

/// The mean bound with `samples` samples (1: the evidence lower bound) over the fixed draw of `images`, from noise that
/// depends on `part` and the number of samples alone: two models, or one at two times, are compared on the same noise.
/// `None` if `stop` was set meanwhile.
#[must_use]
pub fn bound(
    model: &Model,
    images: &BinaryImages,
    part: Part,
    samples: usize,
    stop: &AtomicBool,
) -> Option<Bound> {
    let (mut sum, mut squares) = (0.0, 0.0);
    let mut x = Vec::new();
    // Fewer images at a time with many samples, so that `stop` is heeded soon.
    let chunk = (CHUNK / samples.max(1)).clamp(10, CHUNK);
    for (number, first) in (0..images.len()).step_by(chunk).enumerate() {
        if stop.load(Ordering::Relaxed) {
            return None;
        }
        images.fixed(first..(first + chunk).min(images.len()), &mut x);
        let name = (part as u64) << 48 | (samples as u64) << 24 | number as u64;
        for value in model.bound(&x, samples, name) {
            sum += value;
            squares += value * value;
        }
    }
    let count = images.len() as f64;
    let mean = sum / count;
    let variance = (squares / count - mean * mean).max(0.0) * count / (count - 1.0).max(1.0);
    Some(Bound { mean, standard_error: (variance / count).sqrt(), images: images.len() })
}

/// Per layer the log-variance of the encoder gradient of `trainer`, over `count` minibatches of `batch` random training images
/// and fresh noise, both named by `seed` and `draw`.
pub fn log_variance(
    trainer: &mut Trainer,
    images: &BinaryImages,
    (count, batch): (usize, usize),
    seed: u64,
    draw: u64,
) -> Vec<f64> {
    let batches: Vec<Vec<f32>> =
        (0..count as u64).map(|number| random_minibatch(images, batch, seed, draw << 24 | number)).collect();
    trainer.log_variance(&batches, draw)
}
