//! Distributions against closed forms.

use super::*;

const MEAN: [f32; 4] = [0.3, -0.2, 1.0, 0.5];
const LOG_STD: [f32; 2] = [-0.4, 0.6];
const ACTIONS: [f32; 4] = [0.9, -1.5, 0.2, 0.7];

/// Two rows of a two-dimensional Gaussian, with log σ in the tail or among the outputs.
fn samples(state_dependent: bool) -> (Gaussian, Samples) {
    let node = Gaussian { dim: 2, state_dependent, initial_log_std: Vec::new(), bounds: Vec::new() };
    let with_log_std = |row: &[f32]| [row, &LOG_STD].concat();
    let output =
        if state_dependent { MEAN.chunks_exact(2).flat_map(with_log_std).collect() } else { MEAN.to_vec() };
    let tail: &[f32] = if state_dependent { &[] } else { &LOG_STD };
    let actions = ActionBuffer::Box { values: ACTIONS.to_vec(), dim: 2 };
    let mut samples = Samples::new(&node).expect("it has a score");
    samples.prepare(Head { output: &output, tail }, &actions, 0..2);
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
            assert!(
                (f64::from(samples.moments.log_prob[row]) - log_prob(&mean, &log_std, &action)).abs() < 1e-5
            );
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
                assert!((f64::from(samples.moments.score[4 * row + i]) - slope).abs() < 1e-5);
            }
        }
    }
}

/// The correction is linear in the control variate's value and gradient, and the adjoint is its transpose.
#[test]
fn the_adjoint_is_the_transpose_of_the_correction() {
    for state_dependent in [false, true] {
        let (_, mut samples) = samples(state_dependent);
        let (value, gradient) = ([0.7, -1.1], [0.3, 0.9, -0.5, 0.2]);
        let upstream = [0.4, -0.8, 1.2, 0.1, -0.3, 0.6, 0.5, -1.4];
        let mut b = [0.0; 8];
        samples.correction(&value, &gradient, &mut b);
        let (mut alpha, mut beta) = ([0.0; 2], [0.0; 4]);
        samples.adjoint(&upstream, &mut alpha, &mut beta);
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
    let head = |output| Head { output, tail: &[] };
    let gaussian =
        Gaussian { dim: 2, state_dependent: true, initial_log_std: Vec::new(), bounds: Vec::new() };
    let output = [1.0, 2.0, 0.0, 3f32.ln()];
    gaussian.act(head(&output), &[0.5, -1.0], &mut Vec::new(), &mut actions, rows.clone());
    assert!(actions.values().iter().zip([1.5, -1.0]).all(|(a, b)| (a - b).abs() < 1e-6));
    gaussian.greedy(head(&[1.0, 2.0, 0.0, 0.0]), &mut actions, rows.clone());
    assert_eq!(actions.values(), [1.0, 2.0]);
    Deterministic { dim: 2 }.act(head(&[0.5, 9.0]), &[0.1, 0.5], &mut Vec::new(), &mut actions, rows);
    assert_eq!(actions.values(), [0.5f32.tanh() + 0.1, 1.0]);
}

#[test]
fn a_gaussian_starts_as_wide_as_half_the_actions_range() {
    let far = f32::MAX;
    let space = Space::bounded(
        &[-2.0, 0.0, -0.4, f32::NEG_INFINITY, -far, 0.0],
        &[2.0, 6.0, 0.4, f32::INFINITY, far, 0.0],
    );
    let start = |initial_log_std| {
        let options = Options { initial_log_std, ..Options::default() };
        let mut weights = vec![9.0; 7];
        for_space(&space, &options).expect("a Gaussian").initialise(&mut weights);
        weights.iter().map(|x| x.exp()).collect::<Vec<_>>()
    };
    let found = start(None);
    for (found, expected) in found[1..].iter().zip([2.0, 3.0, 0.4, 1.0, 1.0, 1.0]) {
        assert!((found - expected).abs() < 1e-6, "{found} {expected}");
    }
    assert_eq!(found[0], 9f32.exp(), "not one of the log σ");
    assert!(start(Some(0.0))[1..].iter().all(|&x| x == 1.0));
}

#[test]
fn a_mean_far_beyond_the_bounds_is_pulled_back_and_no_other() {
    let space = Space::bounded(&[-2.0, -1.0, f32::NEG_INFINITY], &[2.0, 1.0, f32::INFINITY]);
    let node = for_space(&space, &Options::default()).expect("a Gaussian");
    // Half ranges and standard deviations of 2, 1 and 1: means are free up to ±6, ±3 and anywhere.
    let tail: Vec<f32> = [2.0f32, 1.0, 1.0].map(f32::ln).to_vec();
    let output = [9.0, 0.5, 99.0, -6.0, -3.5, -99.0];
    let mut gradient = [1.0; 6];
    node.pull(Head { output: &output, tail: &tail }, 0.5, &mut gradient);
    for (found, expected) in gradient.iter().zip([1.0 - 0.5 * 3.0 / 4.0, 1.0, 1.0, 1.0, 1.0 + 0.5 * 0.5, 1.0])
    {
        assert!((found - expected).abs() < 1e-5, "{gradient:?}");
    }
}

#[test]
fn a_saved_distribution_comes_back() {
    let all: [&dyn Distribution; 5] = [
        &Categorical { choices: 5 },
        &Factored { sizes: vec![2, 3], binary: false },
        &Gaussian { dim: 2, state_dependent: true, initial_log_std: Vec::new(), bounds: Vec::new() },
        &SquashedGaussian(Gaussian {
            dim: 2,
            state_dependent: true,
            initial_log_std: Vec::new(),
            bounds: Vec::new(),
        }),
        &Deterministic { dim: 3 },
    ];
    for one in all {
        let again = load(one.name(), one.settings()).expect("it is known");
        assert_eq!((again.name(), again.settings()), (one.name(), one.settings()));
        assert_eq!(
            (again.width(), again.parameters(), again.tail()),
            (one.width(), one.parameters(), one.tail())
        );
    }
    for (name, settings) in [("dirichlet", Value::Null), ("gaussian", Value::Null)] {
        assert!(load(name, settings).expect_err("refused").to_string().contains(name));
    }
}

#[test]
fn a_distribution_without_a_score_has_no_samples() {
    let error = Samples::new(&Deterministic { dim: 1 }).expect_err("refused").to_string();
    assert!(error.contains("deterministic") && error.contains("ddpg"), "{error}");
}

/// What a shard makes of 37 rows: score, log p, H and ∂H; then, for both noises, points, correction and adjoint.
fn everything(
    distribution: &dyn Distribution,
    logits: &[f32],
    actions: &ActionBuffer,
    noise: &[f32],
) -> Vec<Vec<f32>> {
    let (r, k) = (37, distribution.width());
    let mut samples = Samples::new(distribution).expect("it has a score");
    samples.prepare(Head { output: logits, tail: &[] }, actions, 0..r);
    let Moments { score, log_prob, entropy, entropy_gradient } = &samples.moments;
    let mut all = vec![score.clone(), log_prob.clone(), entropy.clone(), entropy_gradient.clone()];
    for kind in [Coupling::Coupled, Coupling::Independent] {
        let points = samples.points(kind, noise, &mut EnvRng::from_seed(4)).to_vec();
        let m = points.len() / k;
        let values: Vec<f32> = (0..m).map(|i| (0.7 * i as f32).sin()).collect();
        // A gradient that depends on the point, and on its column only through it.
        let gradients: Vec<f32> = points.iter().map(|z| (1.3 * z).cos()).collect();
        let (mut b, mut alpha, mut beta) = (vec![0.0; r * k], vec![0.0; m], vec![0.0; m * k]);
        samples.correction(&values, &gradients, &mut b);
        let upstream: Vec<f32> = (0..r * k).map(|i| (0.3 * i as f32).cos()).collect();
        samples.adjoint(&upstream, &mut alpha, &mut beta);
        all.extend([points, b, alpha, beta]);
    }
    all
}

fn numbers(rng: &mut EnvRng, len: usize) -> Vec<f32> {
    (0..len).map(|_| rng.standard_normal() as f32).collect()
}

fn uniforms(rng: &mut EnvRng, len: usize) -> Vec<f32> {
    (0..len).map(|_| rng.uniform_open_f32()).collect()
}

#[test]
fn one_factor_is_a_categorical_bit_for_bit() {
    let mut rng = EnvRng::from_seed(1);
    let (logits, noise) = (numbers(&mut rng, 37 * 4), uniforms(&mut rng, 37 * 4));
    let (categorical, factored) = (Categorical { choices: 4 }, Factored { sizes: vec![4], binary: false });
    let act = |one: &dyn Distribution| {
        let mut actions = one.action_buffer();
        actions.resize(37);
        one.act(Head { output: &logits, tail: &[] }, &noise, &mut Vec::new(), &mut actions, 0..37);
        actions
    };
    let (a, b) = (act(&categorical), act(&factored));
    assert_eq!(a.choice_rows(0..37), b.choice_rows(0..37));
    assert_eq!(everything(&categorical, &logits, &a, &noise), everything(&factored, &logits, &b, &noise));
}

#[test]
fn factors_are_categoricals_side_by_side() {
    let mut rng = EnvRng::from_seed(2);
    let sizes = [3, 2, 4];
    let factored = Factored { sizes: sizes.to_vec(), binary: false };
    let (logits, noise) = (numbers(&mut rng, 37 * 9), uniforms(&mut rng, 37 * 9));
    let mut actions = factored.action_buffer();
    actions.resize(37);
    factored.act(Head { output: &logits, tail: &[] }, &noise, &mut Vec::new(), &mut actions, 0..37);
    let all = everything(&factored, &logits, &actions, &noise);
    let (mut log_prob, mut entropy, mut start) = ([0.0; 37], [0.0; 37], 0);
    for (f, &k) in sizes.iter().enumerate() {
        let columns = |wide: &[f32]| -> Vec<f32> {
            wide.chunks_exact(9).flat_map(|row| row[start..start + k].to_vec()).collect()
        };
        let choices = actions.choice_rows(0..37).iter().skip(f).step_by(3).copied().collect();
        let own = Categorical { choices: k };
        let alone = everything(&own, &columns(&logits), &ActionBuffer::Discrete(choices), &columns(&noise));
        assert_eq!(alone[0], columns(&all[0]), "score");
        assert_eq!(alone[3], columns(&all[3]), "entropy's gradient");
        assert_eq!(alone[4], columns(&all[4]), "coupled points");
        assert_eq!(alone[5], columns(&all[5]), "coupled correction");
        log_prob.iter_mut().zip(&alone[1]).for_each(|(sum, x)| *sum += x);
        entropy.iter_mut().zip(&alone[2]).for_each(|(sum, x)| *sum += x);
        start += k;
    }
    assert_eq!((&all[1][..], &all[2][..]), (&log_prob[..], &entropy[..]));
}

/// The correction is linear in value and gradient, and the adjoint its transpose, for both noises.
#[test]
fn the_adjoint_of_factors_is_the_transpose_of_their_correction() {
    let mut rng = EnvRng::from_seed(3);
    let factored = Factored { sizes: vec![2, 3], binary: false };
    let (logits, noise) = (numbers(&mut rng, 37 * 5), uniforms(&mut rng, 37 * 5));
    let mut actions = factored.action_buffer();
    actions.resize(37);
    factored.act(Head { output: &logits, tail: &[] }, &noise, &mut Vec::new(), &mut actions, 0..37);
    let mut samples = Samples::new(&factored).expect("it has a score");
    samples.prepare(Head { output: &logits, tail: &[] }, &actions, 0..37);
    for kind in [Coupling::Coupled, Coupling::Independent] {
        let m = samples.points(kind, &noise, &mut rng).len() / 5;
        let (values, gradients, upstream) =
            (numbers(&mut rng, m), numbers(&mut rng, m * 5), numbers(&mut rng, 37 * 5));
        let (mut b, mut alpha, mut beta) = (vec![0.0; 37 * 5], vec![0.0; m], vec![0.0; m * 5]);
        samples.correction(&values, &gradients, &mut b);
        samples.adjoint(&upstream, &mut alpha, &mut beta);
        let dot = |x: &[f32], y: &[f32]| -> f64 {
            x.iter().zip(y).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
        };
        let (left, right) = (-dot(&upstream, &b), dot(&alpha, &values) + dot(&beta, &gradients));
        assert!((left - right).abs() < 1e-4 * left.abs().max(1.0), "{kind:?}: {left} {right}");
    }
}

/// A logit of −∞ is a choice that is not there: no number is NaN, its own are 0, and the others are those of the
/// distribution without it.
#[test]
fn an_impossible_choice_is_not_there() {
    let mut rng = EnvRng::from_seed(5);
    let (rest, noise) = (numbers(&mut rng, 37 * 3), uniforms(&mut rng, 37 * 4));
    let logits: Vec<f32> = rest.chunks_exact(3).flat_map(|l| [l[0], f32::NEG_INFINITY, l[1], l[2]]).collect();
    let without = |wide: &[f32]| -> Vec<f32> {
        wide.chunks_exact(4).flat_map(|row| [row[0], row[2], row[3]]).collect()
    };
    let (masked, small) = (Categorical { choices: 4 }, Categorical { choices: 3 });
    let mut actions = masked.action_buffer();
    actions.resize(37);
    masked.act(Head { output: &logits, tail: &[] }, &noise, &mut Vec::new(), &mut actions, 0..37);
    let taken: Vec<u32> = actions.choice_rows(0..37).to_vec();
    assert!(!taken.contains(&1));
    let all = everything(&masked, &logits, &actions, &noise);
    assert!(all.iter().flatten().all(|x| x.is_finite()), "{all:?}");
    let in_rest = taken.iter().map(|&a| if a > 1 { a - 1 } else { a }).collect();
    let alone = everything(&small, &rest, &ActionBuffer::Discrete(in_rest), &without(&noise));
    // Moments, and the coupled points; independent ones draw other noise.
    for i in [0, 1, 2, 3, 4] {
        let (found, expected) =
            (if all[i].len() == 37 { all[i].clone() } else { without(&all[i]) }, &alone[i]);
        let far = found.iter().zip(expected).any(|(a, b)| (a - b).abs() > 1e-5);
        assert!(!far, "{i}: {found:?} {expected:?}");
    }
    let own = |i: usize| all[i].chunks_exact(4).map(|row| row[1]).collect::<Vec<f32>>();
    for i in [0, 3, 5, 7, 9, 11] {
        assert!(own(i).iter().all(|&x| x == 0.0), "{i}: {:?}", own(i));
    }
    // The coupled correction of the others does not know of it either.
    let far = without(&all[5]).iter().zip(&alone[5]).any(|(a, b)| (a - b).abs() > 1e-5);
    assert!(!far, "{:?} {:?}", all[5], alone[5]);
}
