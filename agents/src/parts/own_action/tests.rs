#![allow(clippy::unwrap_used)]

use super::*;
use crate::ActionBuffer;
use crate::config::{ActivationKind, Normalization};
use crate::parts::networks::Network;
use crate::parts::replay::Replay;
use crate::parts::world_model::ActionFeatures;
use crate::rollout::Rollout;
use relax_envs::{EnvRng, Space};

const SIZES: [usize; 2] = [2, 3];
const WIDTH: usize = 5;
const ROWS: usize = 2;
const TEMPERATURE: f32 = 0.7;
const STATES: [f32; 4] = [0.3, 1.0, -0.4, 2.0];
const PROBS: [f32; 10] = [0.4, 0.6, 0.2, 0.3, 0.5, 0.7, 0.3, 0.6, 0.4, 0.0];

/// A model and a normaliser that have seen some numbers, so that both have units to pass through.
fn seen() -> (WorldModel, Normalizer) {
    let mut rng = EnvRng::from_seed(5);
    let mut batch = Rollout::new(2, 2, WIDTH, ActionBuffer::Factored { values: vec![0; 24], dim: 2 });
    batch.levels = vec![0, 2, 4, 6, 8, 10, 12];
    batch.slot = (0..12).map(|row| row % 2).collect();
    batch.observations = (0..24).map(|i| 3.0 * rng.standard_normal() as f32 + (i % 2) as f32).collect();
    batch.next_observations = vec![0.5; 4];
    batch.rewards = (0..12).map(|_| 2.0 * rng.standard_normal() as f32).collect();
    (batch.terminated, batch.truncated) = (vec![false; 12], vec![false; 12]);
    let network = Network { hidden: &[6], activation: ActivationKind::Tanh };
    let mut model = WorldModel::new(2, ActionFeatures::Choices(SIZES.to_vec()), &network, &mut rng).unwrap();
    let mut replay = Replay::new(100, 2, 2);
    replay.extend(&batch);
    model.observe(&batch, &replay);
    // Fresh outputs are next to nothing.
    for _ in 0..30 {
        model.learn(&replay, 8, 0.05, &mut rng).unwrap();
    }
    let asked = Normalization {
        observations: true,
        rewards: true,
        reward_scale: 0.7,
        gamma: 0.9,
        preserve_values: false,
    };
    let mut normalizer = Normalizer::new(&Space::uniform_box(-10.0, 10.0, &[2]), asked);
    normalizer.begin(&batch);
    normalizer.end(&batch);
    (model, normalizer)
}

/// q̃ and its gradient at `points`, with a correction of V of this bound.
fn at(points: &[f32], bound: f32, (model, normalizer): &(WorldModel, Normalizer)) -> (Vec<f32>, Vec<f32>) {
    let shape = MlpShape::new(2, &[4], 1, relax_nn::Activation::Tanh);
    let parameters: Vec<f32> = shape.orthogonal(&mut EnvRng::from_seed(8), 1.4, 1.0);
    let weights: Vec<f32> = (0..10).map(|i| 0.4 - 0.1 * i as f32).collect();
    let shares = [0.5, 0.0];
    let correction = Correction { weights: &weights, bound, lambda: 0.9, shares: &shares, more: 0.0 };
    let beyond = Beyond { shape: &shape, parameters: &parameters, gamma: 0.9, correction: Some(correction) };
    let actions = Actions::Choices { sizes: &SIZES, probs: &PROBS, taken: &[1, 2, 0, 1], samples: 1 };
    let mut it = OwnAction::default();
    it.place(points);
    it.evaluate(model, (&STATES, &[0.2, -0.1]), actions, TEMPERATURE, beyond, normalizer);
    (it.q, it.gradient)
}

fn points() -> Vec<f32> {
    let mut rng = EnvRng::from_seed(2);
    (0..2 * ROWS * WIDTH).map(|_| rng.standard_normal() as f32).collect()
}

#[test]
fn the_gradient_by_z_is_that_of_finite_differences() {
    let seen = seen();
    for bound in [10.0, 0.05] {
        let points = points();
        let (q, gradient) = at(&points, bound, &seen);
        assert_eq!((q.len(), gradient.len()), (2 * ROWS, points.len()));
        for i in 0..points.len() {
            let moved = |by: f32| {
                let mut points = points.clone();
                points[i] += by;
                let moved = at(&points, bound, &seen).0;
                assert!(moved.iter().zip(&q).enumerate().all(|(j, (a, b))| j == i / WIDTH || a == b));
                moved[i / WIDTH]
            };
            let difference = (moved(0.02) - moved(-0.02)) / 0.04;
            assert!((gradient[i] - difference).abs() < 1e-3, "{i}: {} {difference}", gradient[i]);
        }
        assert!(gradient.iter().map(|g| g.abs()).fold(0.0, f32::max) > 0.05, "{gradient:?}");
        // The last choice of the second row has no probability.
        assert_eq!((gradient[9], gradient[19]), (0.0, 0.0));
    }
}

#[test]
fn at_a_clear_choice_it_is_the_lookaheads_q() {
    let seen = seen();
    let shape = MlpShape::new(2, &[4], 1, relax_nn::Activation::Tanh);
    let parameters: Vec<f32> = shape.orthogonal(&mut EnvRng::from_seed(8), 1.4, 1.0);
    let beyond = Beyond { shape: &shape, parameters: &parameters, gamma: 0.9, correction: None };
    let actions = Actions::Choices { sizes: &SIZES, probs: &PROBS, taken: &[1, 2, 0, 1], samples: 1 };
    let (model, normalizer) = &seen;
    let mut lookahead = crate::parts::lookahead::Lookahead::default();
    let at = (&STATES[..], &[0.2, -0.1][..]);
    lookahead.evaluate(model, at, actions, beyond, &mut EnvRng::from_seed(1), |observations, rewards| {
        normalizer.both(observations, rewards)
    });
    lookahead.expect(actions, [f32::INFINITY; VERSIONS]);
    let mut it = OwnAction::default();
    it.place(&[-90.0, 90.0, -90.0, -90.0, 90.0, 90.0, -90.0, -90.0, 90.0, -90.0]);
    it.evaluate(model, at, actions, TEMPERATURE, beyond, normalizer);
    let terms = &lookahead.terms[0];
    for (row, q) in it.q.iter().enumerate() {
        let hard = terms.c[row] + terms.mean[row];
        assert!((q - hard).abs() < 1e-5, "{q} {hard}");
    }
}

#[test]
fn beyond_the_bound_there_is_no_slope() {
    use crate::distribution::{Distribution, Factored, Head};
    use relax_estimators::Coupling;
    let node = Factored { sizes: SIZES.to_vec(), binary: false };
    let mut samples = Samples::new(&node).unwrap();
    let (noise, logits) = ([0.3, 0.8, 0.2, 0.5, 0.9], [0.1, -0.2, 0.4, 0.0, 0.3]);
    let mut actions = node.action_buffer();
    actions.resize(1);
    let head = Head { output: &logits, tail: &[] };
    node.act(head, &noise, &mut Vec::new(), &mut actions, 0..1);
    samples.prepare(head, &actions, 0..1);
    samples.points(Coupling::Coupled, &noise, &mut EnvRng::from_seed(1));
    let mut it = OwnAction { q: vec![3.0], gradient: vec![1.0, 2.0, 3.0, 4.0, 5.0], ..OwnAction::default() };
    let terms = [1.0, 1.0, 0.5].map(|mean| Terms { mean: vec![mean], ..Terms::default() });
    it.correct(&mut samples, &terms, [9.0, 8.0, 2.0]);
    // −s·(2 − ½) and nothing else; within the bound there is the slope's part beside −s·(3 − 1).
    let score = &samples.moments.score;
    assert!(it.b[2].iter().zip(score).all(|(b, s)| (b + 1.5 * s).abs() < 1e-6));
    assert!(it.b[0].iter().zip(score).any(|(b, s)| (b + 2.0 * s).abs() > 0.1));
}

/// Over the other factor's choices, a factor's baselines have E_π q as their mean.
#[test]
fn a_factors_baseline_is_an_expectation_given_the_others() {
    use crate::parts::{factor_baselines::FactorBaselines, lookahead::Lookahead};
    let (model, normalizer) = &seen();
    let normalise = |observations: &mut [f32], rewards: &mut [f32]| normalizer.both(observations, rewards);
    let shape = MlpShape::new(2, &[4], 1, relax_nn::Activation::Tanh);
    let parameters: Vec<f32> = shape.orthogonal(&mut EnvRng::from_seed(8), 1.4, 1.0);
    let beyond = Beyond { shape: &shape, parameters: &parameters, gamma: 0.9, correction: None };
    let probs = PROBS[..WIDTH].repeat(3);
    let states = STATES[..2].repeat(3);
    for (factor, taken, of_other) in
        [(0, vec![1, 0, 1, 1, 1, 2], &PROBS[2..5]), (1, vec![0, 2, 1, 2, 1, 2], &[0.4, 0.6, 0.0])]
    {
        let actions = Actions::Choices { sizes: &SIZES, probs: &probs, taken: &taken, samples: 1 };
        let at = (&states[..], &[0.2; 3][..]);
        let mut lookahead = Lookahead::default();
        lookahead.evaluate(model, at, actions, beyond, &mut EnvRng::from_seed(1), normalise);
        lookahead.expect(actions, [9.0; VERSIONS]);
        let mut it = FactorBaselines::default();
        let score = vec![-1.0; 3 * WIDTH];
        it.evaluate(model, at, (actions, &score), beyond, (&lookahead.terms, [9.0; VERSIONS]), normalise);
        let beside: Vec<f32> = (0..3).map(|row| it.b[0][row * WIDTH + 2 * factor]).collect();
        let mean: f32 = beside.iter().zip(of_other).map(|(b, p)| b * p).sum();
        assert!(mean.abs() < 1e-5, "{beside:?}");
        assert!(beside.iter().any(|b| b.abs() > 1e-3), "{beside:?}");
    }
}
