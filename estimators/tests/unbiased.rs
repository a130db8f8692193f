//! Unbiasedness by enumeration: a z-score per coordinate, and the classic mistakes, each of which must be caught.
use crate::common::{close, rng, wavy};
use relax_estimators::certify::{Certificate, Moments, certify};
use relax_estimators::{
    AdaptiveGain, Baseline, BaselineObjective, GaussianNode, LearnedBaseline, Node, Real, bernoulli,
    categorical, combine, correction, exact, gain_statistics, gaussian, lax, leave_one_out,
    mean_squared_norm, noise, reinforce, relax, relax_coupled,
};

const BATCH: usize = 500;
const SIGNIFICANCE: f64 = 0.001;

/// What is computed from one batch of noise.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Estimator {
    Reinforce,
    LearnedBaseline(BaselineObjective),
    LeaveOneOut,
    Relax,
    RelaxCoupled,
    AdaptiveGain,
    // mistakes
    OwnBatchMean,
    UnconditionalGumbel,
    WLeftOut,
    RawLogits,
}

#[track_caller]
fn verdict(name: &str, moments: &Moments, exact: &[f64], unbiased: bool) -> Certificate {
    let certificate = certify(moments, exact, SIGNIFICANCE).unwrap();
    let variance: f64 = moments.variance().iter().sum();
    println!(
        "{name:<44} worst |z| {:>7.2} (threshold {:.2}, n = {}), total variance {variance:.4}",
        certificate.worst(),
        certificate.threshold,
        certificate.samples
    );
    assert_eq!(certificate.passes(), unbiased, "{name}\n{certificate}");
    certificate
}

const CATEGORICAL_LOGITS: [f64; 3] = [0.5, -0.2, 0.1];
const CATEGORICAL_F: [f64; 3] = [1.0, -2.0, 0.5];

fn categorical_moments<F: Real>(estimator: Estimator, batches: usize, seed: u64) -> Moments {
    const K: usize = 3;
    let mut rng = rng(seed);
    let logits: Vec<F> = CATEGORICAL_LOGITS.repeat(BATCH).iter().map(|&l| F::from_f64(l)).collect();
    let wide = || vec![F::ZERO; BATCH * K];
    let narrow = || vec![F::ZERO; BATCH];
    let (mut log_probs, mut probs) = (wide(), wide());
    categorical::log_softmax(&logits, K, &mut log_probs);
    categorical::probabilities(&log_probs, &mut probs);
    if estimator == Estimator::RawLogits {
        log_probs.copy_from_slice(&logits);
    }
    let (mut u, mut v, mut z, mut b, mut score) = (wide(), wide(), wide(), vec![0; BATCH], wide());
    let (mut z_tilde, mut w, mut g, mut correction_b, mut a) = (wide(), wide(), wide(), wide(), wide());
    let (mut c, mut c_tilde, mut slope, mut slope_tilde) = (narrow(), narrow(), wide(), wide());
    let (mut f, mut baseline) = (narrow(), narrow());
    let mut gain = AdaptiveGain::new(0.9).unwrap();
    let mut learned = LearnedBaseline::new(
        0.1,
        match estimator {
            Estimator::LearnedBaseline(objective) => objective,
            _ => BaselineObjective::Variance,
        },
    );
    let mut moments = Moments::new(K);
    for _ in 0..batches {
        noise::fill_uniform(&mut rng, &mut u);
        noise::fill_uniform(&mut rng, &mut v);
        categorical::relaxed_sample(&log_probs, &u, &mut z);
        categorical::hard_sample(&z, K, &mut b);
        categorical::score(&probs, &b, &mut score);
        for (f, &b) in f.iter_mut().zip(&b) {
            *f = F::from_f64(CATEGORICAL_F[b as usize]);
        }
        categorical::conditional_independent(&log_probs, &b, &v, &mut z_tilde, &mut w);
        match estimator {
            Estimator::WLeftOut => w.fill(F::ONE),
            Estimator::RelaxCoupled => categorical::conditional_coupled(&z, &b, &mut w),
            Estimator::UnconditionalGumbel => {
                for (i, &b) in b.iter().enumerate() {
                    let (row, b) = (i * K..(i + 1) * K, b as usize);
                    let e: Vec<F> = v[row.clone()].iter().map(|v| -v.ln()).collect();
                    let z_b = log_probs[row.start + b] - e[b].ln();
                    for k in 0..K {
                        let other = -(e[k] / probs[row.start + k] + (-z_b).exp()).ln();
                        z_tilde[row.start + k] = if k == b { z_b } else { other };
                    }
                }
            }
            _ => {}
        }
        wavy(&z, K, &mut c, &mut slope);
        wavy(&z_tilde, K, &mut c_tilde, &mut slope_tilde);
        let node = Node::categorical(&score, &w, &probs);
        match estimator {
            Estimator::Reinforce => reinforce(&score, &f, Baseline::None, &mut g),
            Estimator::LearnedBaseline(_) => {
                reinforce(&score, &f, Baseline::Constant(F::from_f64(learned.value())), &mut g);
                learned.update(&score, &f);
            }
            Estimator::LeaveOneOut => {
                leave_one_out(&f, 5, &mut baseline).unwrap();
                reinforce(&score, &f, Baseline::Values(&baseline), &mut g);
            }
            Estimator::OwnBatchMean => {
                for (f, baseline) in f.chunks(5).zip(baseline.chunks_mut(5)) {
                    baseline.fill(f.iter().copied().sum::<F>() / F::from_f64(5.0));
                }
                reinforce(&score, &f, Baseline::Values(&baseline), &mut g);
            }
            Estimator::RelaxCoupled => relax_coupled(&node, &f, &c, &slope, &mut g),
            Estimator::AdaptiveGain => {
                reinforce(&score, &f, Baseline::None, &mut a);
                correction(&node, &c_tilde, &slope, &slope_tilde, &mut correction_b);
                combine(&a, &correction_b, F::from_f64(gain.gain()), &mut g);
                let (ab, bb) = gain_statistics(&a, &correction_b);
                gain.update(ab, bb);
            }
            _ => relax(&node, &f, &c_tilde, &slope, &slope_tilde, &mut g),
        }
        match estimator {
            // The samples of a group share their baselines: only the groups' means are independent.
            Estimator::LeaveOneOut | Estimator::OwnBatchMean => {
                g.chunks(5 * K).for_each(|group| moments.push(&group_mean::<F, K>(group)));
            }
            _ => moments.push(&g),
        }
    }
    moments
}

fn group_mean<F: Real, const K: usize>(rows: &[F]) -> [F; K] {
    let size = F::from_f64((rows.len() / K) as f64);
    std::array::from_fn(|k| rows.chunks(K).map(|row| row[k]).sum::<F>() / size)
}

fn categorical_exact() -> Vec<f64> {
    exact::categorical(&CATEGORICAL_LOGITS, |b| CATEGORICAL_F[b]).gradient
}

#[test]
fn categorical_estimators_are_unbiased() {
    let learned = Estimator::LearnedBaseline;
    for (seed, estimator) in [
        Estimator::Reinforce,
        learned(BaselineObjective::SquaredError),
        learned(BaselineObjective::Variance),
        Estimator::LeaveOneOut,
        Estimator::Relax,
        Estimator::RelaxCoupled,
        Estimator::AdaptiveGain,
    ]
    .into_iter()
    .enumerate()
    {
        let moments = categorical_moments::<f64>(estimator, 800, seed as u64);
        verdict(&format!("categorical f64 {estimator:?}"), &moments, &categorical_exact(), true);
    }
    for estimator in [Estimator::Reinforce, Estimator::Relax, Estimator::RelaxCoupled] {
        let moments = categorical_moments::<f32>(estimator, 800, 20);
        verdict(&format!("categorical f32 {estimator:?}"), &moments, &categorical_exact(), true);
    }
}

#[test]
fn categorical_mistakes_are_caught() {
    for estimator in
        [Estimator::UnconditionalGumbel, Estimator::WLeftOut, Estimator::RawLogits, Estimator::OwnBatchMean]
    {
        let moments = categorical_moments::<f64>(estimator, 800, 40);
        let certificate = verdict(&format!("MISTAKE {estimator:?}"), &moments, &categorical_exact(), false);
        assert!(certificate.worst() > 10.0, "barely caught: {certificate}");
    }
}

/// The variance of REINFORCE that enumeration gives, and a gain that does not lose to it.
#[test]
fn sampled_variances_are_the_known_ones() {
    let reinforce = categorical_moments::<f64>(Estimator::Reinforce, 800, 60).variance();
    for (sampled, known) in reinforce.iter().zip([0.194_472_3, 0.328_433_5, 0.157_567_0]) {
        close(*sampled, known, 0.01 * known);
    }
    let total = |estimator| categorical_moments::<f64>(estimator, 800, 61).variance().iter().sum::<f64>();
    let (plain, full, adaptive) =
        (total(Estimator::Reinforce), total(Estimator::Relax), total(Estimator::AdaptiveGain));
    assert!(full > plain, "the control variate of this test is a bad one: {full} against {plain}");
    assert!(adaptive < 1.01 * plain, "the gain keeps a bad control variate out: {adaptive} against {plain}");
}

const BERNOULLI_LOGITS: [f64; 3] = [0.3, -0.7, 1.1];

fn bernoulli_f(b: &[f64]) -> f64 {
    (b[0] + 2.0 * b[1] - 3.0 * b[2] + 1.5 * b[0] * b[1] * b[2] - 0.4).powi(2)
}

fn bernoulli_moments(estimator: Estimator, batches: usize, seed: u64) -> Moments {
    const K: usize = 3;
    let mut rng = rng(seed);
    let logits = BERNOULLI_LOGITS.repeat(BATCH);
    let wide = || vec![0.0; BATCH * K];
    let narrow = || vec![0.0; BATCH];
    let (mut u, mut v, mut z, mut b, mut score) = (wide(), wide(), wide(), wide(), wide());
    let (mut z_tilde, mut w, mut g) = (wide(), wide(), wide());
    let (mut c, mut c_tilde, mut slope, mut slope_tilde) = (narrow(), narrow(), wide(), wide());
    let mut moments = Moments::new(K);
    for _ in 0..batches {
        noise::fill_uniform(&mut rng, &mut u);
        noise::fill_uniform(&mut rng, &mut v);
        bernoulli::relaxed_sample(&logits, &u, &mut z);
        bernoulli::hard_sample(&z, &mut b);
        bernoulli::score(&logits, &b, &mut score);
        let f: Vec<f64> = b.chunks(K).map(bernoulli_f).collect();
        bernoulli::conditional_independent(&logits, &b, &v, &mut z_tilde, &mut w);
        match estimator {
            Estimator::WLeftOut => w.fill(1.0), // ∂z̃/∂a with v' held fixed
            Estimator::RelaxCoupled => bernoulli::conditional_coupled(&logits, &z, &b, &mut w),
            _ => {}
        }
        wavy(&z, K, &mut c, &mut slope);
        wavy(&z_tilde, K, &mut c_tilde, &mut slope_tilde);
        let node = Node::bernoulli(&score, &w);
        match estimator {
            Estimator::Reinforce => reinforce(&score, &f, Baseline::None, &mut g),
            Estimator::RelaxCoupled => relax_coupled(&node, &f, &c, &slope, &mut g),
            _ => relax(&node, &f, &c_tilde, &slope, &slope_tilde, &mut g),
        }
        moments.push(&g);
    }
    moments
}

#[test]
fn bernoulli_estimators_are_unbiased_and_the_classic_bug_is_caught() {
    let exact = exact::bernoulli(&BERNOULLI_LOGITS, bernoulli_f).unwrap().gradient;
    for estimator in [Estimator::Reinforce, Estimator::Relax, Estimator::RelaxCoupled] {
        verdict(&format!("Bernoulli {estimator:?}"), &bernoulli_moments(estimator, 800, 80), &exact, true);
    }
    let moments = bernoulli_moments(Estimator::WLeftOut, 800, 80);
    let certificate = verdict("MISTAKE Bernoulli, gradient of v' forgotten", &moments, &exact, false);
    assert!(certificate.worst() > 10.0);
}

/// f = (x−k)², μ−k = σ = 1: ∂E[f]/∂μ = 2 and ∂E[f]/∂log σ = 2.
#[test]
fn lax_is_unbiased_unless_c_sees_a_fresh_action() {
    for (name, fresh, unbiased) in [("LAX", false, true), ("MISTAKE LAX, c at a fresh action", true, false)] {
        let mut rng = rng(100);
        let narrow = || vec![0.0; BATCH];
        let (std, mean, one) = (vec![1.0; BATCH], vec![1.0; BATCH], narrow());
        let (mut eps, mut action, mut other, mut c, mut slope) =
            (narrow(), one.clone(), one, narrow(), narrow());
        let (mut g_mean, mut g_log_std) = (narrow(), narrow());
        let mut moments = Moments::new(2);
        for _ in 0..800 {
            noise::fill_normal(&mut rng, &mut other);
            noise::fill_normal(&mut rng, &mut eps);
            gaussian::sample(&mean, &std, &eps, &mut action);
            let at = if fresh { other.iter().map(|e| 1.0 + e).collect() } else { action.clone() };
            wavy(&at, 1, &mut c, &mut slope);
            for ((c, slope), a) in c.iter_mut().zip(&mut slope).zip(&at) {
                (*c, *slope) = (*c + a * a, *slope + 2.0 * a);
            }
            let f: Vec<f64> = action.iter().map(|a| a * a).collect();
            lax(&GaussianNode { eps: &eps, std: &std }, &f, &c, &slope, &mut g_mean, &mut g_log_std);
            g_mean.iter().zip(&g_log_std).for_each(|(&m, &l)| moments.push(&[m, l]));
        }
        let certificate = verdict(name, &moments, &[2.0, 2.0], unbiased);
        assert!(unbiased || certificate.worst() > 10.0);
    }
}

/// z̃ mixed over b has the distribution of z: Logistic(a), and Gumbel(log pᵢ).
#[test]
fn relaxed_samples_given_b_mix_to_the_unconditional_ones() {
    let (n, mut rng) = (400_000, rng(120));
    let second = |mean: f64, variance: f64| mean * mean + variance;
    let pi2 = std::f64::consts::PI.powi(2);
    let mut moments = Moments::new(8);
    let mut log_p = [0.0; 3];
    categorical::log_softmax(&CATEGORICAL_LOGITS, 3, &mut log_p);
    for _ in 0..n {
        let (mut u, mut v, mut z, mut zt, mut w) = ([0.0; 4], [0.0; 4], [0.0; 4], [0.0; 4], [0.0; 4]);
        noise::fill_uniform(&mut rng, &mut u);
        noise::fill_uniform(&mut rng, &mut v);
        let (mut b, mut b1) = ([0], [0.0]);
        categorical::relaxed_sample(&log_p, &u[..3], &mut z[..3]);
        categorical::hard_sample(&z[..3], 3, &mut b);
        categorical::conditional_independent(&log_p, &b, &v[..3], &mut zt[..3], &mut w[..3]);
        bernoulli::relaxed_sample(&[0.3], &u[3..], &mut z[3..]);
        bernoulli::hard_sample(&z[3..], &mut b1);
        bernoulli::conditional_independent(&[0.3], &b1, &v[3..], &mut zt[3..], &mut w[3..]);
        assert!(zt[..3].iter().all(|&z| z <= zt[b[0] as usize]) && (zt[3] > 0.0) == (b1[0] == 1.0));
        let squares = zt.map(|z| z * z);
        moments.push(&[zt, squares].concat());
    }
    let means: Vec<f64> = log_p.iter().map(|l| l + 0.577_215_664_901_532_9).chain([0.3]).collect();
    let variances = [pi2 / 6.0, pi2 / 6.0, pi2 / 6.0, pi2 / 3.0];
    let seconds: Vec<f64> = means.iter().zip(variances).map(|(&m, v)| second(m, v)).collect();
    verdict("z̃ mixed over b, two moments", &moments, &[means, seconds].concat(), true);
}

/// ‖ĝ‖² averaged is the variance plus the squared mean, so descending it descends the variance.
#[test]
fn mean_squared_norm_is_variance_plus_squared_mean() {
    let moments = categorical_moments::<f64>(Estimator::Reinforce, 4, 140);
    let mean = moments.mean();
    let mut g = [0.0; 6];
    reinforce(&[0.5, -0.5, 0.0, 0.25, 0.25, -0.5], &[1.0, 3.0], Baseline::None, &mut g);
    let mut two = Moments::new(3);
    two.push(&g);
    let expected: f64 = two.variance().iter().zip(two.mean()).map(|(v, m)| v / 2.0 + m * m).sum();
    close(mean_squared_norm(&g, 2), expected, 1e-15);
    assert_eq!(mean.len(), 3);
}
