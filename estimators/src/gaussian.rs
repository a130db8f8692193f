//! Gaussian nodes with diagonal covariance, parametrised by mean μ and log-standard-deviation log σ.
//!
//! a = μ + σε. All arrays are `[B, K]` and element-wise except the sums over K, which are `[B]`.
//!
//! ```
//! use relax_estimators::gaussian;
//!
//! let (mean, log_std, eps) = ([0.5_f64, -1.0], [0.0, 0.0], [0.2, -0.4]);
//! let (mut std, mut action) = ([0.0; 2], [0.0; 2]);
//! gaussian::standard_deviation(&log_std, &mut std);
//! gaussian::sample(&mean, &std, &eps, &mut action);
//! assert_eq!(action, [0.7, -1.4]);
//! ```

use crate::Real;
use crate::shape::{check_len, check_rows};

/// ½·log 2π.
const HALF_LOG_TWO_PI: f64 = 0.918_938_533_204_672_8;

/// σ = exp(log σ).
pub fn standard_deviation<F: Real>(log_std: &[F], std: &mut [F]) {
    check_len("std", std, log_std.len());
    for (s, &l) in std.iter_mut().zip(log_std) {
        *s = l.exp();
    }
}

/// Reparametrised sample a = μ + σε.
pub fn sample<F: Real>(mean: &[F], std: &[F], eps: &[F], action: &mut [F]) {
    check_len("std", std, mean.len());
    check_len("eps", eps, mean.len());
    check_len("action", action, mean.len());
    for (((a, &m), &s), &e) in action.iter_mut().zip(mean).zip(std).zip(eps) {
        *a = m + s * e;
    }
}

/// The noise of an executed action, ε = (a − μ)/σ.
pub fn noise_of<F: Real>(mean: &[F], std: &[F], action: &[F], eps: &mut [F]) {
    check_len("std", std, mean.len());
    check_len("action", action, mean.len());
    check_len("eps", eps, mean.len());
    for (((e, &m), &s), &a) in eps.iter_mut().zip(mean).zip(std).zip(action) {
        *e = (a - m) / s;
    }
}

/// Score of the sample with noise ε: ∂log p/∂μ = ε/σ and ∂log p/∂log σ = ε² − 1.
pub fn score<F: Real>(eps: &[F], std: &[F], score_mean: &mut [F], score_log_std: &mut [F]) {
    check_len("std", std, eps.len());
    check_len("score_mean", score_mean, eps.len());
    check_len("score_log_std", score_log_std, eps.len());
    for (((m, l), &e), &s) in score_mean.iter_mut().zip(score_log_std).zip(eps).zip(std) {
        *m = e / s;
        *l = e * e - F::ONE;
    }
}

/// log p(a) `[B]` = Σₖ −½ε² − log σ − ½log 2π, from the sample's noise ε.
pub fn log_prob<F: Real>(eps: &[F], log_std: &[F], k: usize, log_prob: &mut [F]) {
    check_rows("eps", eps.len(), k);
    check_len("log_std", log_std, eps.len());
    check_len("log_prob", log_prob, eps.len() / k);
    let (half, constant) = (F::from_f64(0.5), F::from_f64(HALF_LOG_TWO_PI));
    for ((out, e), l) in log_prob.iter_mut().zip(eps.chunks_exact(k)).zip(log_std.chunks_exact(k)) {
        *out = e.iter().zip(l).map(|(&e, &l)| -(half * e * e + l + constant)).sum();
    }
}

/// Entropy H `[B]` = Σₖ log σₖ + ½log 2πe, in nats; ∂H/∂log σₖ = 1 and ∂H/∂μ = 0.
pub fn entropy<F: Real>(log_std: &[F], k: usize, entropy: &mut [F]) {
    check_rows("log_std", log_std.len(), k);
    check_len("entropy", entropy, log_std.len() / k);
    let constant = F::from_f64(HALF_LOG_TWO_PI + 0.5);
    for (h, l) in entropy.iter_mut().zip(log_std.chunks_exact(k)) {
        *h = l.iter().map(|&l| l + constant).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn score_is_the_derivative_of_log_prob() {
        let (mean, log_std, action, step) = (0.4_f64, -0.6, 1.1, 1e-5);
        let density = |mean: f64, log_std: f64| {
            let (mut std, mut eps, mut out) = ([0.0], [0.0], [0.0]);
            standard_deviation(&[log_std], &mut std);
            noise_of(&[mean], &std, &[action], &mut eps);
            log_prob(&eps, &[log_std], 1, &mut out);
            out[0]
        };
        let (mut std, mut eps, mut m, mut l) = ([0.0], [0.0], [0.0], [0.0]);
        standard_deviation(&[log_std], &mut std);
        noise_of(&[mean], &std, &[action], &mut eps);
        score(&eps, &std, &mut m, &mut l);
        let d_mean = (density(mean + step, log_std) - density(mean - step, log_std)) / (2.0 * step);
        let d_log_std = (density(mean, log_std + step) - density(mean, log_std - step)) / (2.0 * step);
        assert!((m[0] - d_mean).abs() < 1e-8 && (l[0] - d_log_std).abs() < 1e-8);
    }

    #[test]
    fn entropy_of_the_standard_normal() {
        let mut h = [0.0];
        entropy(&[0.0_f64, 0.0], 2, &mut h);
        assert!((h[0] - (2.0 * std::f64::consts::PI * std::f64::consts::E).ln()).abs() < 1e-15);
    }
}
