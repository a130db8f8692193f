#![allow(clippy::unwrap_used)]

use super::*;
use relax_nn::MlpShape;

/// μ, σ of the one number, and q(a) = a² + a: E q = μ² + σ² + μ, ∂/∂μ = 2μ + 1, ∂/∂log σ = 2σ².
const MEAN: f32 = 0.4;
const STD: f32 = 0.7;

fn q(a: f32) -> f32 {
    a * a + a
}

/// Fills q and the noise as [`Lookahead::evaluate`] would.
fn drawn(rng: &mut EnvRng, samples: usize, taken: f32) -> Lookahead {
    let mut it = Lookahead::default();
    it.draw(1, 1, samples, rng);
    it.appraisal.q.push(q(taken));
    it.appraisal.q.extend(it.noise.iter().map(|e| q(MEAN + STD * e)));
    it.candidates.taken.push(0);
    it.candidates.weights.push(0.0);
    it.candidates.weights.resize(1 + 2 * samples, 0.5 / samples as f32);
    it
}

#[test]
fn with_numbers_c_has_mean_0_and_g_is_the_gradient_but_not_with_a_mean_that_holds_its_own() {
    let (mut rng, samples, n) = (EnvRng::from_seed(3), 2, 20_000);
    let mut sums = [[0.0f64; 2]; 5];
    for _ in 0..n {
        let taken = MEAN + STD * rng.standard_normal() as f32;
        let mut it = drawn(&mut rng, samples, taken);
        let actions = Actions::Numbers { mean: &[MEAN], std: &[STD], taken: &[taken], samples };
        it.expect(actions, [f32::INFINITY; VERSIONS]);
        let Terms { c, g, .. } = &it.terms[0];
        let own: f32 = it.appraisal.q[1..].iter().sum::<f32>() / 4.0;
        let wrong = |score: &dyn Fn(f32) -> f32| {
            let all = it.appraisal.q[1..].iter().zip(&it.noise);
            all.map(|(q, &e)| score(e) * (q - own) / 4.0).sum::<f32>()
        };
        let wrongly = [wrong(&|e| e / STD), wrong(&|e| e * e - 1.0)];
        for (sum, x) in sums.iter_mut().zip([c[0], g[0], g[1], wrongly[0], wrongly[1]]) {
            sum[0] += f64::from(x);
            sum[1] += f64::from(x) * f64::from(x);
        }
    }
    let z = |i: usize, truth: f64| {
        let mean = sums[i][0] / f64::from(n);
        (mean - truth) / ((sums[i][1] / f64::from(n) - mean * mean) / f64::from(n)).sqrt()
    };
    let (by_mean, by_log_std) = (2.0 * 0.4 + 1.0, 2.0 * 0.49);
    for (i, truth) in [(0, 0.0), (1, by_mean), (2, by_log_std)] {
        assert!(z(i, truth).abs() < 4.0, "{i}: {}", z(i, truth));
    }
    for (i, truth) in [(3, by_mean), (4, by_log_std)] {
        assert!(z(i, truth) < -10.0, "{i}: {}", z(i, truth));
    }
}

#[test]
fn with_choices_the_sums_are_exact_and_the_bound_clips_q_before_them() {
    let probs = [0.2, 0.3, 0.5];
    let mut it = Lookahead::default();
    it.appraisal.q = vec![1.0, -2.0, 5.0];
    it.candidates = Candidates { weights: probs.to_vec(), taken: vec![2], ..Candidates::default() };
    it.expect(
        Actions::Choices { sizes: &[3], probs: &probs, taken: &[2], samples: 1 },
        [f32::INFINITY, 9.0, 2.0],
    );
    // EA = 0.2 − 0.6 + 2.5 = 2.1, and with 2 for 5: 0.6.
    for (terms, mean, top) in [(&it.terms[0], 2.1f32, 5.0), (&it.terms[2], 0.6, 2.0)] {
        assert!((terms.c[0] - (top - mean)).abs() < 1e-6 && (terms.mean[0] - mean).abs() < 1e-6);
        for ((g, p), q) in terms.g.iter().zip(probs).zip([1.0, -2.0, top]) {
            assert!((g - p * (q - mean)).abs() < 1e-6);
        }
        assert!(terms.g.iter().sum::<f32>().abs() < 1e-6);
    }
}

/// A model of states of one number for choices of these sizes.
fn model(sizes: &[usize]) -> WorldModel {
    use crate::config::ActivationKind;
    use crate::parts::networks::Network;
    let features = crate::parts::world_model::ActionFeatures::Choices(sizes.to_vec());
    let network = Network { hidden: &[4], activation: ActivationKind::Tanh };
    WorldModel::new(1, features, &network, &mut EnvRng::from_seed(5)).unwrap()
}

#[test]
fn with_several_choices_drawn_ones_have_the_mean_of_the_sum_over_all() {
    // 27 combinations are all looked at; with a factor more that is always the same, 81 are too many and are drawn.
    let (few, many) = ([3, 3, 3], [3, 3, 3, 3]);
    assert_eq!((combinations(&few), combinations(&many), combinations(&[99])), (Some(27), None, Some(99)));
    assert_eq!(choices(&[2, 3, 2], 7).collect::<Vec<_>>(), [1, 0, 1]);
    let p = [0.2, 0.3, 0.5, 0.6, 0.1, 0.3, 0.1, 0.1, 0.8];
    assert!((probability(&few, &p, 14) - 0.3 * 0.1 * 0.8).abs() < 1e-7);
    let q = |c: &[usize]| (c[0] * c[1]) as f32 + 0.3 * c[2] as f32 - 0.2;
    let mut exact = Lookahead::default();
    exact.appraisal.q = (0..27).map(|i| q(&choices(&few, i).collect::<Vec<_>>())).collect();
    exact.candidates.weights = (0..27).map(|i| probability(&few, &p, i)).collect();
    exact.candidates.taken = vec![14];
    exact.expect(
        Actions::Choices { sizes: &few, probs: &p, taken: &[1, 1, 2], samples: 2 },
        [f32::INFINITY; VERSIONS],
    );

    let p: Vec<f32> = p.into_iter().chain([1.0, 0.0, 0.0]).collect();
    let (mut rng, mut it, taken) = (EnvRng::from_seed(1), Lookahead::default(), [1, 1, 2, 0]);
    let (n, mut sums) = (20_000, [[0.0f64; 2]; 13]);
    for _ in 0..n {
        it.draw_choices(&many, &p, &taken, 2, &mut rng);
        let wide = |drawn: &[u32]| drawn.iter().map(|&i| i as usize).collect::<Vec<_>>();
        it.appraisal.q = it.drawn.chunks_exact(4).map(|drawn| q(&wide(drawn))).collect();
        it.candidates.weights = vec![0.0, 0.25, 0.25, 0.25, 0.25];
        it.candidates.taken = vec![0];
        it.expect(
            Actions::Choices { sizes: &many, probs: &p, taken: &taken, samples: 2 },
            [f32::INFINITY; VERSIONS],
        );
        let terms = &it.terms[0];
        for (sum, &x) in sums.iter_mut().zip(terms.g.iter().chain(&terms.mean)) {
            sum[0] += f64::from(x);
            sum[1] += f64::from(x * x);
        }
    }
    let of_all = &exact.terms[0];
    let truths = of_all.g.iter().copied().chain([0.0; 3]).chain(of_all.mean.iter().copied());
    for (i, (truth, [sum, squares])) in truths.zip(sums).enumerate() {
        let mean = sum / f64::from(n);
        let error = ((squares / f64::from(n) - mean * mean) / f64::from(n)).sqrt();
        assert!((mean - f64::from(truth)).abs() <= 4.0 * error + 1e-6, "{i}: {mean} {truth} ± {error}");
    }
    assert!(of_all.g.iter().any(|g| g.abs() > 0.1));
}

#[test]
fn a_model_of_several_choices_sees_every_combination_as_its_own() {
    let (sizes, shape) = ([2, 3], MlpShape::new(1, &[3], 1, relax_nn::Activation::Tanh));
    let parameters = vec![0.1; shape.parameter_count()];
    let beyond = Beyond { shape: &shape, parameters: &parameters, gamma: 0.9, correction: None };
    let probs = [0.4, 0.6, 0.2, 0.3, 0.5];
    let actions = Actions::Choices { sizes: &sizes, probs: &probs, taken: &[1, 2], samples: 1 };
    let mut it = Lookahead::default();
    let nothing = |_: &mut [f32], _: &mut [f32]| {};
    it.evaluate(&model(&sizes), (&[0.5], &[0.0]), actions, beyond, &mut EnvRng::from_seed(1), nothing);
    assert_eq!((it.candidates.taken.as_slice(), it.appraisal.q.len()), (&[5][..], 6));
    assert!((it.candidates.weights.iter().sum::<f32>() - 1.0).abs() < 1e-6);
    assert!((it.candidates.weights[5] - 0.3).abs() < 1e-6);
    let mut sorted = it.candidates.next.clone();
    sorted.sort_by(f32::total_cmp);
    assert!(sorted.windows(2).all(|pair| pair[0] < pair[1]), "{sorted:?}");
}
