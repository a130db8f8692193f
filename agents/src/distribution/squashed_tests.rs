//! The squashed Gaussian against double precision, at saturation too.

use super::*;

const MEAN: [f32; 4] = [0.3, -0.2, 9.0, -30.0];
/// The last is cut off at 2.
const LOG_STD: [f32; 4] = [-0.4, 0.6, 1.9, 2.5];
const NOISE: [f32; 4] = [0.7, -1.3, 2.0, -3.0];
const CUT: [f64; 4] = [1.0, 1.0, 1.0, 0.0];

fn node(dim: usize) -> SquashedGaussian {
    SquashedGaussian(Gaussian { dim, state_dependent: true, initial_log_std: Vec::new(), bounds: Vec::new() })
}

/// Two rows of means, then log σ.
fn output() -> Vec<f32> {
    (0..2).flat_map(|row| [&MEAN[2 * row..2 * row + 2], &LOG_STD[2 * row..2 * row + 2]].concat()).collect()
}

/// Their actions, u.
fn actions() -> ActionBuffer {
    let mut actions = ActionBuffer::Box { values: vec![0.0; 4], dim: 2 };
    node(2).act(Head { output: &output(), tail: &[] }, &NOISE, &mut Vec::new(), &mut actions, 0..2);
    actions
}

/// log(1 − tanh²u) = −2 log cosh u.
fn log_slope(u: f64) -> f64 {
    let u = u.abs();
    2.0 * (std::f64::consts::LN_2 - u - (-2.0 * u).exp().ln_1p())
}

fn log_normal(u: f64, mean: f64, log_std: f64) -> f64 {
    let log_std = log_std.clamp(-20.0, 2.0);
    let e = (u - mean) / log_std.exp();
    -0.5 * e * e - log_std - 0.5 * std::f64::consts::TAU.ln()
}

fn slope(f: impl Fn(f64) -> f64) -> f64 {
    (f(1e-5) - f(-1e-5)) / 2e-5
}

#[track_caller]
fn close(found: f32, expected: f64) {
    let found = f64::from(found);
    assert!((found - expected).abs() < 2e-5 * expected.abs().max(1.0), "{found} should be {expected}");
}

#[test]
fn moments_are_those_of_the_squashed_number() {
    let mut samples = Samples::new(&node(2)).expect("it has a score");
    let taken = actions();
    samples.prepare(Head { output: &output(), tail: &[] }, &taken, 0..2);
    let moments = &samples.moments;
    for row in 0..2 {
        let at = 2 * row..2 * row + 2;
        let wide = |x: &[f32]| x[at.clone()].iter().map(|&x| f64::from(x)).collect::<Vec<f64>>();
        let (mean, log_std, u) = (wide(&MEAN), wide(&LOG_STD), wide(taken.values()));
        let sum = |f: &dyn Fn(usize) -> f64| f(0) + f(1);
        close(moments.log_prob[row], sum(&|i| log_normal(u[i], mean[i], log_std[i]) - log_slope(u[i])));
        let half = 0.5 + 0.5 * std::f64::consts::TAU.ln();
        close(moments.entropy[row], sum(&|i| log_std[i].min(2.0) + half + log_slope(u[i])));
        for i in 0..2 {
            let score = &moments.score[4 * row..];
            close(score[i], slope(|d| log_normal(u[i], mean[i] + d, log_std[i])));
            close(score[2 + i], slope(|d| log_normal(u[i], mean[i], log_std[i] + d)));
            // The entropy's estimate moves with the action: u = μ + σε at the same ε.
            let gradient = &moments.entropy_gradient[4 * row..];
            close(gradient[i], slope(|d| log_slope(u[i] + d)));
            let moved = |d: f64| {
                let std = |l: f64| l.min(2.0).exp();
                let e = (u[i] - mean[i]) / std(log_std[i]);
                (log_std[i] + d).min(2.0) + log_slope(mean[i] + std(log_std[i] + d) * e)
            };
            close(gradient[2 + i], slope(moved));
        }
    }
    let all = [&moments.log_prob, &moments.score, &moments.entropy, &moments.entropy_gradient];
    assert!(all.into_iter().flatten().all(|x| x.is_finite()));
}

/// ∫ π(a) da = 1, and the mean of the rows' entropies is −∫ π log π.
#[test]
fn the_density_is_that_of_the_executed_action() {
    let (mean, log_std) = (0.4f32, -0.3f32);
    let head = [mean, log_std];
    let n = 20_000;
    let points: Vec<f32> = (0..n).map(|i| ((2.0 * (i as f32 + 0.5) / n as f32) - 1.0).atanh()).collect();
    let output = head.repeat(n);
    let mut samples = Samples::new(&node(1)).expect("it has a score");
    let taken = ActionBuffer::Box { values: points, dim: 1 };
    samples.prepare(Head { output: &output, tail: &[] }, &taken, 0..n);
    let (mut mass, mut entropy) = (0.0, 0.0);
    for &log_prob in &samples.moments.log_prob {
        let (p, log_p) = (f64::from(log_prob).exp() * 2.0 / n as f64, f64::from(log_prob));
        mass += p;
        entropy -= p * log_p;
    }
    assert!((mass - 1.0).abs() < 1e-3, "{mass}");
    let (mut rng, mut noise) = (EnvRng::from_seed(3), vec![0.0; n]);
    let (mut drawn, node) = (taken, node(1));
    node.draw(&mut rng, &mut noise);
    node.act(Head { output: &output, tail: &[] }, &noise, &mut Vec::new(), &mut drawn, 0..n);
    samples.prepare(Head { output: &output, tail: &[] }, &drawn, 0..n);
    let mean: f64 = samples.moments.entropy.iter().map(|&h| f64::from(h)).sum::<f64>() / n as f64;
    assert!((mean - entropy).abs() < 0.02, "{mean} {entropy}");
}

#[test]
fn nothing_is_infinite_at_saturation() {
    let output = [1e4, -1e4, 50.0, -50.0];
    let mut samples = Samples::new(&node(2)).expect("it has a score");
    for u in [[1e4, -1e4], [3e4, 3e4], [0.0, f32::MIN_POSITIVE]] {
        let taken = ActionBuffer::Box { values: u.to_vec(), dim: 2 };
        samples.prepare(Head { output: &output, tail: &[] }, &taken, 0..1);
        let m = &samples.moments;
        let all = [&m.log_prob, &m.entropy, &m.entropy_gradient];
        assert!(all.into_iter().flatten().all(|x| x.is_finite()), "{m:?}");
    }
    let space = Space::bounded(&[-2.0, 0.0], &[2.0, 10.0]);
    let mut range = ActionRange::new(&space);
    let far = ActionBuffer::Box { values: vec![1e4, -1e4, f32::INFINITY, 0.0], dim: 2 };
    let executed = node(2).execute(&far, 0..2, &mut range);
    assert_eq!(executed, Actions::Box { values: &[2.0, 0.0, 2.0, 5.0], dim: 2 });
    let mut draw = SquashedDraw::default();
    draw.draw(&output, &[5.0, -5.0], 2);
    let mut gradient = [0.0; 4];
    draw.pull_back(0.2, &[1.0, -1.0], 2, &mut gradient);
    assert!(draw.log_prob.iter().chain(&draw.actions).chain(&gradient).all(|x| x.is_finite()));
    // Anywhere between the bounds: as uniform as the numbers are.
    let mut anywhere = ActionBuffer::Box { values: vec![0.0; 4], dim: 2 };
    node(2).anywhere(&[-1.0, 1.0, 0.5, -0.25], &mut anywhere, 0..2);
    assert!(anywhere.values().iter().all(|u| u.is_finite()));
    let Actions::Box { values, .. } = node(2).execute(&anywhere, 0..2, &mut range) else { panic!("a box") };
    assert!(values.iter().zip([-2.0, 10.0, 1.0, 3.75]).all(|(a, b)| (a - b).abs() < 1e-5), "{values:?}");
}

#[test]
fn the_adjoint_is_the_transpose_of_the_correction() {
    let mut samples = Samples::new(&node(2)).expect("it has a score");
    samples.prepare(Head { output: &output(), tail: &[] }, &actions(), 0..2);
    let (value, gradient) = ([0.7, -1.1], [0.3, 0.9, -0.5, 0.2]);
    let upstream = [0.4, -0.8, 1.2, 0.1, -0.3, 0.6, 0.5, -1.4];
    let mut b = [0.0; 8];
    samples.correction(&value, &gradient, &mut b);
    assert_eq!(b[7], 0.0, "a log σ that is cut off");
    let (mut alpha, mut beta) = ([0.0; 2], [0.0; 4]);
    samples.adjoint(&upstream, &mut alpha, &mut beta);
    let dot = |x: &[f32], y: &[f32]| -> f32 { x.iter().zip(y).map(|(x, y)| x * y).sum() };
    let (left, right) = (-dot(&upstream, &b), dot(&alpha, &value) + dot(&beta, &gradient));
    assert!((left - right).abs() < 1e-4, "{left} {right}");
}

/// ∂/∂(μ, log σ) of w·log π(a) + v·a with ε held fixed.
#[test]
fn the_reparametrised_gradient() {
    let (weight, value) = (0.3, [0.5f32, -1.2, 0.8, 2.0]);
    let mut draw = SquashedDraw::default();
    draw.draw(&output(), &NOISE, 2);
    let mut found = [0.0; 8];
    draw.pull_back(weight, &value, 2, &mut found);
    for (at, &e) in NOISE.iter().enumerate() {
        let (mean, log_std, e) = (f64::from(MEAN[at]), f64::from(LOG_STD[at]), f64::from(e));
        let objective = |mean: f64, log_std: f64| {
            let u = mean + log_std.min(2.0).exp() * e;
            let log_prob = -0.5 * e * e - log_std.min(2.0) - log_slope(u);
            f64::from(weight) * log_prob + f64::from(value[at]) * u.tanh()
        };
        let (row, i) = (at / 2, at % 2);
        close(found[4 * row + i], slope(|d| objective(mean + d, log_std)));
        let by_log_std = slope(|d| objective(mean, log_std + d));
        assert!((by_log_std != 0.0) == (CUT[at] != 0.0));
        close(found[4 * row + 2 + i], by_log_std);
    }
}
