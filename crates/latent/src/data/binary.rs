//! From grey to black and white: pixels are Bernoulli means, drawn once, drawn at every visit, or compared with a half.

use rand::Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Images;
use crate::stream::{role, stream};

/// How grey pixels become 0 or 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Binarization {
    /// One draw per pixel, pixel/255 being the probability of ink, made before training and kept.
    #[default]
    Static,
    /// A fresh draw at each visit of a training image; validation and test images are drawn once.
    Dynamic,
    /// Ink where the pixel is 128 or more.
    Threshold,
}

/// Images of zeros and ones, as a model sees them.
#[derive(Debug, Clone)]
pub struct BinaryImages {
    /// The fixed draw, zeros and ones.
    fixed: Images,
    /// What fresh draws are made from, if they are.
    grey: Option<Images>,
    seed: u64,
}

impl BinaryImages {
    /// Binary images of `grey`. `seed` names the draw; `first` is the number of `grey`'s first image within its whole data
    /// set, so that splits of one data set draw from different streams.
    #[must_use]
    pub fn new(grey: Images, how: Binarization, seed: u64, first: usize) -> Self {
        let mut fixed = vec![0; grey.len() * grey.pixels()];
        for ((index, image), bits) in grey.iter().enumerate().zip(fixed.chunks_exact_mut(grey.pixels())) {
            if how == Binarization::Threshold {
                bits.iter_mut().zip(image).for_each(|(bit, &value)| *bit = u8::from(value >= 128));
            } else {
                let mut rng = stream(seed, role::STATIC_BINARIZATION, (first + index) as u64);
                bits.iter_mut().zip(image).for_each(|(bit, &value)| *bit = u8::from(is_ink(value, &mut rng)));
            }
        }
        let fixed = Images::new(fixed, grey.pixels());
        Self { fixed, grey: (how == Binarization::Dynamic).then_some(grey), seed }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.fixed.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fixed.is_empty()
    }

    /// Pixels of one image.
    #[must_use]
    pub fn pixels(&self) -> usize {
        self.fixed.pixels()
    }

    /// The fixed draw of image `index`, zeros and ones.
    #[must_use]
    pub fn image(&self, index: usize) -> &[u8] {
        self.fixed.image(index)
    }

    /// Mean of every pixel, `[pixels]`: of the fixed draw, or of the grey values where draws are fresh.
    #[must_use]
    pub fn mean(&self) -> Vec<f32> {
        let (images, full) = self.grey.as_ref().map_or((&self.fixed, 1.0), |grey| (grey, 255.0));
        let mut sums = vec![0u64; images.pixels()];
        for image in images.iter() {
            sums.iter_mut().zip(image).for_each(|(sum, &value)| *sum += u64::from(value));
        }
        let count = images.len().max(1) as f64 * full;
        sums.into_iter().map(|sum| (sum as f64 / count) as f32).collect()
    }

    /// Writes the images `indices` to `out` (`[indices, pixels]`) for training step `iteration`, by which fresh draws are
    /// named.
    ///
    /// # Panics
    /// If `out` is of another size, or an index out of range.
    pub fn batch(&self, indices: &[u32], iteration: u64, out: &mut [f32]) {
        assert_eq!(out.len(), indices.len() * self.pixels(), "batch of {} images", indices.len());
        let rows = out.chunks_exact_mut(self.pixels()).zip(indices);
        match &self.grey {
            None => rows.for_each(|(row, &index)| copy_bits(self.fixed.image(index as usize), row)),
            Some(grey) => {
                let mut rng = stream(self.seed, role::DYNAMIC_BINARIZATION, iteration);
                for (row, &index) in rows {
                    for (bit, &value) in row.iter_mut().zip(grey.image(index as usize)) {
                        *bit = f32::from(u8::from(is_ink(value, &mut rng)));
                    }
                }
            }
        }
    }

    /// The fixed draw of the images `range`, `[range, pixels]`, into `out`, which is resized.
    pub fn fixed(&self, range: std::ops::Range<usize>, out: &mut Vec<f32>) {
        out.resize(range.len() * self.pixels(), 0.0);
        for (row, index) in out.chunks_exact_mut(self.pixels()).zip(range) {
            copy_bits(self.fixed.image(index), row);
        }
    }
}

fn copy_bits(bits: &[u8], row: &mut [f32]) {
    row.iter_mut().zip(bits).for_each(|(out, &bit)| *out = f32::from(bit));
}

/// Whether a pixel is drawn as ink: with probability value/255, to within 2⁻³²; 0 never and 255 always.
fn is_ink(value: u8, rng: &mut impl Rng) -> bool {
    (u64::from(rng.next_u32()) * 255) >> 32 < u64::from(value)
}
