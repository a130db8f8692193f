//! A trained model: its bound, its samples, its reconstructions.

use crate::stream::{role, stream};
use crate::vae::architecture::Architecture;
use crate::vae::path::Path;
use crate::vae::pixels::Pixels;
use crate::vae::weights::Weights;
use rand::Rng;
use relax_estimators::{Real as _, noise};
use relax_nn::Workspace;

/// Images in one pass of an evaluation.
const CHUNK: usize = 100;

/// A binary variational auto-encoder: encoders, decoders and prior.
#[derive(Debug, Clone)]
pub struct Model {
    pub(crate) weights: Weights<f32>,
}

impl Model {
    /// The widths of its layers.
    #[must_use]
    pub fn architecture(&self) -> &Architecture {
        &self.weights.architecture
    }

    /// All weights in one flat vector; see [`Architecture::named_slices`].
    #[must_use]
    pub fn parameters(&self) -> &[f32] {
        &self.weights.parameters
    }

    /// For each image of `x` `[N, pixels]` the importance-weighted bound of log p(x) from `samples` samples, in nats:
    /// log of their mean p(x, b)/q(b|x). One sample gives the evidence lower bound (Burda et al. 2016).
    ///
    /// The noise comes from the stream named `stream_seed`: the same arguments give the same numbers.
    ///
    /// # Panics
    /// If a pixel is neither 0 nor 1.
    #[must_use]
    pub fn bound(&self, x: &[f32], samples: usize, stream_seed: u64) -> Vec<f64> {
        let pixels = self.architecture().pixels;
        let mut path = Path::default();
        let (mut centred, mut u) = (Pixels::default(), Vec::new());
        let mut bounds = Vec::with_capacity(x.len() / pixels);
        for (i, images) in x.chunks(CHUNK * pixels).enumerate() {
            let rows = images.len() / pixels;
            let mut rng = stream(stream_seed, role::EVALUATION, i as u64);
            centred.read(images, &self.weights.pixel_mean);
            let mut weights = vec![Vec::with_capacity(samples); rows];
            for _ in 0..samples {
                self.draw(rows, &mut rng, &mut u);
                path.run(&self.weights, images, &centred, 0, &u);
                weights.iter_mut().zip(&path.f).for_each(|(w, &f)| w.push(-f64::from(f)));
            }
            bounds.extend(weights.iter().map(|w| log_mean_exp(w)));
        }
        bounds
    }

    /// Pixel means `[count, pixels]` of samples from the prior.
    #[must_use]
    pub fn sample(&self, count: usize, stream_seed: u64) -> Vec<f32> {
        let mut rng = stream(stream_seed, role::SAMPLES, 0);
        let theta = &self.weights.parameters;
        let mut logits = Vec::new();
        self.weights.repeat_prior(count, &mut logits);
        for (l, decoder) in self.weights.layout.decoders.iter().enumerate().rev() {
            let signs: Vec<f32> = logits
                .iter()
                .map(|a| if f32::open_unit(rng.next_u64()) < a.sigmoid() { 1.0 } else { -1.0 })
                .collect();
            logits.clear();
            logits.resize(count * decoder.shape.output(), 0.0);
            decoder.shape.forward(decoder.of(theta), &signs, &mut Workspace::new(), &mut logits);
            if l == 0 {
                self.weights.add_output_bias(&mut logits);
            }
        }
        logits.iter().map(|o| o.sigmoid()).collect()
    }

    /// Pixel means `[N, pixels]` after each image of `x` `[N, pixels]` was encoded in one hard sample and decoded.
    ///
    /// # Panics
    /// If a pixel is neither 0 nor 1.
    #[must_use]
    pub fn reconstruct(&self, x: &[f32], stream_seed: u64) -> Vec<f32> {
        let pixels = self.architecture().pixels;
        let mut rng = stream(stream_seed, role::SAMPLES, 1);
        let (mut path, mut centred, mut u) = (Path::default(), Pixels::default(), Vec::new());
        centred.read(x, &self.weights.pixel_mean);
        self.draw(x.len() / pixels, &mut rng, &mut u);
        path.run(&self.weights, x, &centred, 0, &u);
        path.layers[0].output_slope.iter().zip(x).map(|(d, t)| d + t).collect()
    }

    fn draw(&self, rows: usize, rng: &mut impl Rng, u: &mut Vec<Vec<f32>>) {
        u.resize_with(self.architecture().layers(), Vec::new);
        for (u, &width) in u.iter_mut().zip(&self.architecture().latent) {
            u.resize(rows * width, 0.0);
            noise::fill_uniform(rng, u);
        }
    }
}

fn log_mean_exp(x: &[f64]) -> f64 {
    let top = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    top + (x.iter().map(|x| (x - top).exp()).sum::<f64>() / x.len() as f64).ln()
}
