//! Networks of several shapes with inputs, and comparisons.
#![allow(dead_code)] // not every test file uses all of it

use candle_core::{Device, Tensor};
use rand::{Rng, RngExt};
use rand_pcg::Pcg64;
use relax_nn::{Activation, Encoder, MlpShape, ObservationShape, Workspace};

const SHAPES: [(usize, &[usize], usize); 6] =
    [(3, &[], 1), (4, &[7], 1), (5, &[16, 9], 1), (2, &[6, 5, 4], 1), (6, &[33, 17], 3), (3, &[12], 11)];
const ACTIVATIONS: [Activation; 3] = [Activation::Tanh, Activation::Relu, Activation::Elu];
pub const ROWS: usize = 13;

pub struct Case {
    pub shape: MlpShape,
    pub parameters: Vec<f64>,
    pub input: Vec<f64>,
}

pub fn cases() -> Vec<Case> {
    let mut rng = Pcg64::new(7, 11);
    let mut cases = Vec::new();
    for activation in ACTIVATIONS {
        for (input, hidden, output) in SHAPES {
            let shape = MlpShape::new(input, hidden, output, activation);
            let mut parameters = shape.orthogonal::<f64>(&mut rng, 1.4, 0.8);
            parameters.iter_mut().for_each(|p| *p += 0.3 * rng.random_range(-1.0..1.0));
            let input = normals(&mut rng, ROWS * input);
            cases.push(Case { shape, parameters, input });
        }
    }
    cases
}

pub fn normals(rng: &mut impl Rng, len: usize) -> Vec<f64> {
    (0..len).map(|_| rng.random_range(-1.5..1.5)).collect()
}

pub fn forward(case: &Case, parameters: &[f64], input: &[f64]) -> Vec<f64> {
    let mut output = vec![0.0; input.len() / case.shape.input() * case.shape.output()];
    case.shape.forward(parameters, input, &mut Workspace::new(), &mut output);
    output
}

pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

pub fn assert_close(what: &str, found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= tolerance * (1.0 + b.abs()), "{what}[{i}]: {a}, expected {b}");
    }
}

/// Central differences of `f` at `x`.
pub fn differences(x: &[f64], f: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    let e = 1e-5;
    (0..x.len())
        .map(|i| {
            let at = |d: f64| {
                let mut y = x.to_vec();
                y[i] += d;
                f(&y)
            };
            (at(e) - at(-e)) / (2.0 * e)
        })
        .collect()
}

pub fn value_and_gradient(case: &Case, parameters: &[f64], input: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let (mut value, mut gradient) = (vec![0.0; input.len() / case.shape.input()], vec![0.0; input.len()]);
    case.shape.value_and_gradient(parameters, input, &mut Workspace::new(), &mut value, &mut gradient);
    (value, gradient)
}

pub fn seen(shape: &[usize], scale: f32) -> ObservationShape {
    ObservationShape { shape: shape.to_vec(), scale }
}

pub fn weights(encoder: &dyn Encoder, seed: u64) -> Vec<f32> {
    let mut weights = vec![0.0; encoder.parameter_count()];
    encoder.initialise(&mut weights, &mut Pcg64::new(u128::from(seed), 3));
    // Biases start at 0, where a mistake would hide.
    weights.iter_mut().enumerate().for_each(|(i, w)| *w += 0.01 * (i as f32).sin());
    weights
}

pub fn numbers(count: usize, seed: u64) -> Vec<f32> {
    normals(&mut Pcg64::new(u128::from(seed), 5), count).iter().map(|&x| x as f32).collect()
}

pub fn narrow(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&x| f64::from(x)).collect()
}

/// `[K, K, C, O]` of ours to `[O, C, K, K]` of candle's.
pub fn filters(weight: &[f32], shape: &[usize]) -> Tensor {
    let tensor = Tensor::from_slice(weight, shape, &Device::Cpu).unwrap();
    tensor.permute((3, 2, 0, 1)).unwrap().contiguous().unwrap()
}
