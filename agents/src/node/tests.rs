//! The Gaussian node against closed forms.

use super::*;

const MEAN: [f32; 4] = [0.3, -0.2, 1.0, 0.5];
const LOG_STD: [f32; 2] = [-0.4, 0.6];
const ACTIONS: [f32; 4] = [0.9, -1.5, 0.2, 0.7];

/// Two rows of a two-dimensional Gaussian, with log σ in the tail or among the outputs.
fn samples(state_dependent: bool) -> (Node, Samples) {
    let node = Node::Gaussian { dim: 2, state_dependent };
    let with_log_std = |row: &[f32]| [row, &LOG_STD].concat();
    let output =
        if state_dependent { MEAN.chunks_exact(2).flat_map(with_log_std).collect() } else { MEAN.to_vec() };
    let tail: &[f32] = if state_dependent { &[] } else { &LOG_STD };
    let actions = ActionBuffer::Box { values: ACTIONS.to_vec(), dim: 2 };
    let mut samples = Samples::default();
    samples.prepare(node, &output, tail, &actions, 0..2);
    (node, samples)
}

fn log_prob(mean: &[f64], log_std: &[f64], action: &[f64]) -> f64 {
    let one = |i: usize| {
        let e = (action[i] - mean[i]) / log_std[i].exp();
        -0.5 * e * e - log_std[i] - 0.5 * (2.0 * std::f64::consts::PI).ln()
    };
    (0..mean.len()).map(one).sum()
}

#[test]
fn a_gaussians_score_is_the_derivative_of_its_log_probability() {
    for state_dependent in [false, true] {
        let (node, samples) = samples(state_dependent);
        assert_eq!((node.width(), node.parameters()), (2, 4));
        assert_eq!((node.outputs(), node.tail()), if state_dependent { (4, 0) } else { (2, 2) });
        for row in 0..2 {
            let pick = |x: &[f32]| x[2 * row..2 * row + 2].iter().map(|&x| f64::from(x)).collect::<Vec<_>>();
            let (mean, action) = (pick(&MEAN), pick(&ACTIONS));
            let log_std = LOG_STD.map(f64::from).to_vec();
            assert!((f64::from(samples.log_prob[row]) - log_prob(&mean, &log_std, &action)).abs() < 1e-5);
            for i in 0..4 {
                let at = |step: f64| {
                    let (mut mean, mut log_std) = (mean.clone(), log_std.clone());
                    if i < 2 {
                        mean[i] += step
                    } else {
                        log_std[i - 2] += step
                    }
                    log_prob(&mean, &log_std, &action)
                };
                let slope = (at(1e-5) - at(-1e-5)) / 2e-5;
                assert!((f64::from(samples.score[4 * row + i]) - slope).abs() < 1e-5);
            }
        }
    }
}

/// The correction is linear in the control variate's value and gradient, and the adjoint is its transpose.
#[test]
fn the_adjoint_is_the_transpose_of_the_correction() {
    for state_dependent in [false, true] {
        let (node, mut samples) = samples(state_dependent);
        let (value, gradient) = ([0.7, -1.1], [0.3, 0.9, -0.5, 0.2]);
        let upstream = [0.4, -0.8, 1.2, 0.1, -0.3, 0.6, 0.5, -1.4];
        let mut b = [0.0; 8];
        samples.correction(node, &value, &gradient, &mut b);
        let (mut alpha, mut beta) = ([0.0; 2], [0.0; 4]);
        samples.adjoint(node, &upstream, &mut alpha, &mut beta);
        let dot = |x: &[f32], y: &[f32]| -> f32 { x.iter().zip(y).map(|(x, y)| x * y).sum() };
        // ĝ = A − B: the adjoint's sign is that of −B.
        let (left, right) = (-dot(&upstream, &b), dot(&alpha, &value) + dot(&beta, &gradient));
        assert!((left - right).abs() < 1e-5, "{left} {right}");
    }
}

#[test]
fn actions_come_from_mean_spread_and_noise() {
    let rows = 0..1;
    let mut actions = ActionBuffer::Box { values: vec![0.0; 2], dim: 2 };
    let node = Node::Gaussian { dim: 2, state_dependent: true };
    node.act(&[1.0, 2.0, 0.0, 3f32.ln()], &[], &[0.5, -1.0], &mut Vec::new(), &mut actions, rows.clone());
    assert!(actions.values().iter().zip([1.5, -1.0]).all(|(a, b)| (a - b).abs() < 1e-6));
    node.greedy(&[1.0, 2.0, 0.0, 0.0], &mut actions, rows.clone());
    assert_eq!(actions.values(), [1.0, 2.0]);
    let node = Node::Deterministic { dim: 2 };
    node.act(&[0.5, 9.0], &[], &[0.1, 0.5], &mut Vec::new(), &mut actions, rows);
    assert_eq!(actions.values(), [0.5f32.tanh() + 0.1, 1.0]);
}
