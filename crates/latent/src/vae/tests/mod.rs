//! Exact answers on models small enough to enumerate, in double precision: the models, and the bound by its definition.

mod bound;
mod estimates;
mod trainer;

use crate::stream::stream;
use crate::vae::control::Control;
use crate::vae::path::Path;
use crate::vae::pixels::Pixels;
use crate::vae::weights::Weights;
use crate::vae::{Architecture, Settings};
use rand::Rng;
use relax_estimators::{Estimator, Real as _};

const PIXELS: usize = 3;
const MEAN: [f32; PIXELS] = [0.3, 0.6, 0.5];
const IMAGES: [f64; 2 * PIXELS] = [1.0, 0.0, 1.0, 0.0, 1.0, 1.0];

fn architectures() -> [Architecture; 4] {
    let of = |latent: &[usize], hidden: &[usize]| Architecture {
        pixels: PIXELS,
        latent: latent.to_vec(),
        hidden: hidden.to_vec(),
    };
    [of(&[3], &[]), of(&[2, 3], &[]), of(&[2], &[4, 3]), of(&[2, 1, 2], &[2])]
}

fn uniform(rng: &mut impl Rng) -> f64 {
    f64::open_unit(rng.next_u64())
}

/// Weights away from their start: biases and prior are not 0.
fn weights(architecture: &Architecture, seed: u64) -> Weights<f64> {
    let mut rng = stream(seed, 100, 0);
    let mut weights = Weights::new(architecture.clone(), &MEAN, &mut rng);
    for w in &mut weights.parameters {
        *w += 0.6 * (uniform(&mut rng) - 0.5);
    }
    weights
}

fn noise(architecture: &Architecture, rows: usize, seed: u64) -> Vec<Vec<f64>> {
    let mut rng = stream(seed, 101, 0);
    architecture.latent.iter().map(|&k| (0..rows * k).map(|_| uniform(&mut rng)).collect()).collect()
}

fn path(weights: &Weights<f64>, x: &[f64], u: &[Vec<f64>]) -> Path<f64> {
    let mut centred = Pixels::default();
    centred.read(x, &weights.pixel_mean);
    let mut path = Path::default();
    path.run(weights, x, &centred, 0, u);
    path
}

fn close(name: &str, found: f64, expected: f64, tolerance: f64) {
    let error = (found - expected).abs() / (1.0 + expected.abs());
    assert!(error < tolerance, "{name}: {found} instead of {expected}");
}

/// The bound's terms written out as in the definition, for one image and given hard samples.
fn loss_by_definition(weights: &Weights<f64>, x: &[f64], b: &[Vec<f64>]) -> f64 {
    let mut layout = weights.layout.clone();
    let theta = &weights.parameters;
    let log_p = |logits: &[f64], b: &[f64]| -> f64 {
        logits.iter().zip(b).map(|(&a, &b)| b * a - a.softplus()).sum()
    };
    let net = |part: &crate::vae::architecture::Part, input: &[f64]| {
        let mut out = vec![0.0; part.shape.output()];
        part.shape.forward(part.of(theta), input, &mut relax_nn::Workspace::new(), &mut out);
        out
    };
    let signs = |b: &[f64]| b.iter().map(|b| 2.0 * b - 1.0).collect::<Vec<f64>>();
    let mut bound = log_p(&theta[layout.prior.clone()], &b[b.len() - 1]);
    let mut below: Vec<f64> = x.iter().zip(&weights.pixel_mean).map(|(x, m)| x - m).collect();
    for (l, (encoder, decoder)) in layout.encoders.drain(..).zip(layout.decoders.drain(..)).enumerate() {
        bound -= log_p(&net(&encoder, &below), &b[l]);
        let mut o = net(&decoder, &signs(&b[l]));
        if l == 0 {
            weights.add_output_bias(&mut o);
        }
        bound += log_p(&o, if l == 0 { x } else { &b[l - 1] });
        below = signs(&b[l]);
    }
    -bound
}

/// Minus the bound, by enumeration of all samples of one image.
fn expected_loss(weights: &Weights<f64>, x: &[f64]) -> f64 {
    let latent = &weights.architecture.latent;
    let total: usize = latent.iter().sum();
    (0..1_u32 << total)
        .map(|code| {
            let mut bits = (0..total).map(|i| f64::from((code >> i) & 1));
            let b: Vec<Vec<f64>> = latent.iter().map(|&k| bits.by_ref().take(k).collect()).collect();
            // u that gives these samples: below 1 − θ for 0, above it for 1.
            let theta = &weights.parameters;
            let mut below: Vec<f64> = x.iter().zip(&weights.pixel_mean).map(|(x, m)| x - m).collect();
            let mut probability = 1.0;
            for (encoder, b) in weights.layout.encoders.iter().zip(&b) {
                let mut a = vec![0.0; b.len()];
                let mut workspace = relax_nn::Workspace::new();
                encoder.shape.forward(encoder.of(theta), &below, &mut workspace, &mut a);
                for (&a, &b) in a.iter().zip(b) {
                    probability *= if b > 0.0 { a.sigmoid() } else { (-a).sigmoid() };
                }
                below = b.iter().map(|b| 2.0 * b - 1.0).collect();
            }
            probability * loss_by_definition(weights, x, &b)
        })
        .sum()
}

fn settings(method: Estimator) -> Settings {
    Settings { control_variate_hidden: vec![4, 3], ..Settings::new(method) }
}

/// φ away from its start, so that no term of its gradient vanishes.
fn control(architecture: &Architecture, settings: &Settings) -> Control<f64> {
    let mut rng = stream(11, 103, 0);
    let mut control = Control::new(architecture, settings, &mut rng);
    control.parameters.iter_mut().for_each(|p| *p += 0.8 * (uniform(&mut rng) - 0.5));
    control.gains.iter_mut().for_each(|gain| gain.update(0.7, 1.0));
    control
}
