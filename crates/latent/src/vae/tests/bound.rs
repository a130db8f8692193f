//! f, its derivatives, its relaxed form, and the bounds that a model reports.

use super::*;
use crate::vae::relaxed::{Above, Relaxed};

#[test]
fn f_is_the_bound_by_its_definition() {
    for architecture in architectures() {
        let weights = weights(&architecture, 1);
        let path = path(&weights, &IMAGES, &noise(&architecture, 2, 2));
        for row in 0..2 {
            let b: Vec<Vec<f64>> = (0..architecture.layers())
                .map(|l| path.layers[l].b.chunks(architecture.latent[l]).nth(row).unwrap().to_vec())
                .collect();
            let x = &IMAGES[row * PIXELS..(row + 1) * PIXELS];
            close("f", path.f[row], loss_by_definition(&weights, x, &b), 1e-12);
        }
    }
}

#[test]
fn decoder_gradient_is_the_derivative_of_f() {
    for architecture in architectures() {
        let mut weights = weights(&architecture, 3);
        let u = noise(&architecture, 2, 4);
        let mut gradient = vec![0.0; weights.parameters.len()];
        let path_here = path(&weights, &IMAGES, &u);
        (0..architecture.layers()).for_each(|l| path_here.decoder_gradient(&weights, l, &mut gradient));
        path_here.prior_gradient(&weights, &mut gradient);
        let start = weights.layout.decoders[0].at.start;
        for (i, &found) in gradient.iter().enumerate().skip(start) {
            let (value, step) = (weights.parameters[i], 1e-6);
            let mut at = |w: f64| {
                weights.parameters[i] = w;
                path(&weights, &IMAGES, &u).f.iter().sum::<f64>()
            };
            let difference = (at(value + step) - at(value - step)) / (2.0 * step);
            weights.parameters[i] = value;
            close("decoder", found, difference, 1e-7);
        }
    }
}

/// The relaxed bound, its gradient by z, and d/dlog λ of α·h + β·∇h, against differences; two points a row.
#[test]
fn the_relaxed_bound_and_its_derivatives() {
    for architecture in architectures() {
        let weights = weights(&architecture, 5);
        let hard = path(&weights, &IMAGES, &noise(&architecture, 2, 6));
        for layer in 0..architecture.layers() {
            for above in [Above::Sampled, Above::Mean] {
                let mut rng = stream(7, 102, layer as u64);
                let mut draw = |n: usize| (0..n).map(|_| 4.0 * uniform(&mut rng) - 2.0).collect::<Vec<f64>>();
                let k = architecture.latent[layer];
                let (z, alpha, beta) = (draw(4 * k), draw(4), draw(4 * k));
                let at = |z: &[f64], log_temperature: f64| {
                    let mut relaxed = Relaxed::default();
                    let temperature = log_temperature.exp();
                    relaxed.evaluate(&weights, &hard, &IMAGES, layer, temperature, above, z);
                    relaxed
                };
                let (log_temperature, step) = (-0.4, 1e-5);
                let mut here = at(&z, log_temperature);
                for i in 0..z.len() {
                    let mut moved = z.clone();
                    moved[i] += step;
                    let up: f64 = at(&moved, log_temperature).value.iter().sum();
                    moved[i] -= 2.0 * step;
                    let down: f64 = at(&moved, log_temperature).value.iter().sum();
                    close("∂h/∂z", here.gradient()[i], (up - down) / (2.0 * step), 1e-7);
                }
                let objective = |log_temperature: f64| {
                    let there = at(&z, log_temperature);
                    let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
                    dot(&alpha, &there.value) + dot(&beta, there.gradient())
                };
                let difference =
                    (objective(log_temperature + step) - objective(log_temperature - step)) / (2.0 * step);
                close("∂/∂log λ", here.temperature_gradient(&weights, &alpha, &beta), difference, 1e-6);
            }
        }
    }
}

#[test]
fn nearly_hard_relaxation_is_the_hard_bound() {
    for architecture in architectures() {
        let weights = weights(&architecture, 8);
        let hard = path(&weights, &IMAGES, &noise(&architecture, 2, 9));
        for layer in 0..architecture.layers() {
            let mut relaxed = Relaxed::default();
            let z = &hard.layers[layer].z;
            relaxed.evaluate(&weights, &hard, &IMAGES, layer, 1e-9, Above::Sampled, z);
            for (h, f) in relaxed.value.iter().zip(&hard.f) {
                close("h", *h, *f, 1e-9);
            }
        }
    }
}

/// log p(x) = log Σ_b p(x, b), by enumeration.
fn log_evidence(weights: &Weights<f64>, x: &[f64]) -> f64 {
    let latent = &weights.architecture.latent;
    let total: usize = latent.iter().sum();
    let joint = (0..1_u32 << total).map(|code| {
        let mut bits = (0..total).map(|i| f64::from((code >> i) & 1));
        let b: Vec<Vec<f64>> = latent.iter().map(|&k| bits.by_ref().take(k).collect()).collect();
        // −f = log p(x, b) − log q(b|x)
        let mut below: Vec<f64> = x.iter().zip(&weights.pixel_mean).map(|(x, m)| x - m).collect();
        let mut log_q = 0.0;
        for (encoder, b) in weights.layout.encoders.iter().zip(&b) {
            let mut a = vec![0.0; b.len()];
            let parameters = encoder.of(&weights.parameters);
            encoder.shape.forward(parameters, &below, &mut relax_nn::Workspace::new(), &mut a);
            log_q += a.iter().zip(b).map(|(&a, &b)| b * a - a.softplus()).sum::<f64>();
            below = b.iter().map(|b| 2.0 * b - 1.0).collect();
        }
        (log_q - loss_by_definition(weights, x, &b)).exp()
    });
    joint.sum::<f64>().ln()
}

#[test]
fn bounds_are_those_of_the_enumerated_model() {
    let x: Vec<f32> = IMAGES.iter().map(|&x| x as f32).collect();
    for architecture in architectures().into_iter().take(3) {
        let exact = weights(&architecture, 40);
        let mut narrow = Weights::<f32>::new(architecture.clone(), &MEAN, &mut stream(40, 100, 0));
        narrow.parameters = exact.parameters.iter().map(|&w| w as f32).collect();
        let model = crate::vae::Model { weights: narrow };
        let draws = 20_000;
        let bounds: Vec<Vec<f64>> = (0..draws).map(|draw| model.bound(&x, 1, draw)).collect();
        let tight = model.bound(&x, 20_000, 7);
        for (row, image) in IMAGES.chunks(PIXELS).enumerate() {
            // The evidence lower bound on average, ...
            let n = draws as f64;
            let mean = bounds.iter().map(|b| b[row]).sum::<f64>() / n;
            let variance = bounds.iter().map(|b| (b[row] - mean).powi(2)).sum::<f64>() / (n - 1.0);
            let z = (mean + expected_loss(&exact, image)) / (variance / n).sqrt();
            assert!(z.abs() < 4.0, "{:?}: z = {z}", architecture.latent);
            // ... and the evidence itself from many samples. Its error is about √(Var w / n) / p(x) < 0.02 here.
            close("log p(x)", tight[row], log_evidence(&exact, image), 0.02);
        }
    }
}
