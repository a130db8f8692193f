//! Is an estimator unbiased? A z-score per coordinate of its sample mean against the exact gradient ([`certify`]); and for
//! many estimators at once a joint test, a sample size chosen for a stated bias, and one false-alarm rate ([`check`], [`holm`]).
//!
//! ```
//! use rand::SeedableRng;
//! use relax_estimators::certify::{Moments, certify};
//! use relax_estimators::{Baseline, bernoulli, exact, noise, reinforce};
//!
//! let f = |b: f64| (b - 0.45).powi(2);
//! let exact = exact::bernoulli(&[0.0], |b| f(b[0]))?;
//! let mut rng = rand_pcg::Pcg64::seed_from_u64(7);
//! let (mut u, mut z, mut b, mut score, mut gradient) = ([0.0], [0.0], [0.0], [0.0], [0.0]);
//! let mut moments = Moments::new(1);
//! for _ in 0..10_000 {
//!     noise::fill_uniform(&mut rng, &mut u);
//!     bernoulli::relaxed_sample(&[0.0], &u, &mut z);
//!     bernoulli::hard_sample(&z, &mut b);
//!     bernoulli::score(&[0.0], &b, &mut score);
//!     reinforce(&score, &[f(b[0])], Baseline::None, &mut gradient);
//!     moments.push(&gradient);
//! }
//! assert!(certify(&moments, &exact.gradient, 0.001)?.passes());
//! # Ok::<(), relax_estimators::EstimatorError>(())
//! ```

mod distribution;
mod family;
mod joint;

pub use family::{Settings, Target, Verdict, check, holm, judge, samples_for};
pub use joint::{Joint, JointMoments};

use crate::shape::check_len;
use crate::{EstimatorError, Real};
use distribution::normal_quantile;
use std::fmt;

/// Running mean and variance of each coordinate of a stream of estimates (Welford 1962), in double precision.
#[derive(Debug, Clone, PartialEq)]
pub struct Moments {
    count: u64,
    mean: Vec<f64>,
    /// Sum of squared deviations from the mean.
    deviations: Vec<f64>,
}

impl Moments {
    /// No samples yet, of `coordinates` numbers each.
    #[must_use]
    pub fn new(coordinates: usize) -> Self {
        Self { count: 0, mean: vec![0.0; coordinates], deviations: vec![0.0; coordinates] }
    }

    /// Takes in one estimate, or several as rows: `[K]` or `[B, K]`.
    pub fn push<F: Real>(&mut self, estimates: &[F]) {
        if self.mean.is_empty() {
            return;
        }
        crate::shape::check_rows("estimates", estimates.len(), self.mean.len());
        for row in estimates.chunks_exact(self.mean.len()) {
            self.count += 1;
            let weight = 1.0 / self.count as f64;
            for ((mean, deviation), &x) in self.mean.iter_mut().zip(&mut self.deviations).zip(row) {
                let before = x.to_f64() - *mean;
                *mean += before * weight;
                *deviation += before * (x.to_f64() - *mean);
            }
        }
    }

    /// Takes in what another stream has seen (Chan et al. 1979).
    pub fn merge(&mut self, other: &Self) {
        check_len("other", &other.mean, self.mean.len());
        let count = self.count + other.count;
        if count == 0 {
            return;
        }
        let share = other.count as f64 / count as f64;
        for i in 0..self.mean.len() {
            let difference = other.mean[i] - self.mean[i];
            self.mean[i] += difference * share;
            self.deviations[i] += other.deviations[i] + difference * difference * share * self.count as f64;
        }
        self.count = count;
    }

    /// How many estimates were seen.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Mean of each coordinate.
    #[must_use]
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// Variance of each coordinate (divided by n − 1).
    #[must_use]
    pub fn variance(&self) -> Vec<f64> {
        let degrees = self.count.saturating_sub(1).max(1) as f64;
        self.deviations.iter().map(|d| d / degrees).collect()
    }

    /// Standard error of each coordinate's mean.
    #[must_use]
    pub fn standard_error(&self) -> Vec<f64> {
        self.variance().iter().map(|v| (v / self.count.max(1) as f64).sqrt()).collect()
    }
}

/// A comparison of sample means with exact values.
#[derive(Debug, Clone, PartialEq)]
pub struct Certificate {
    /// Number of estimates.
    pub samples: u64,
    /// Sample means, `[K]`.
    pub mean: Vec<f64>,
    /// What they should be, `[K]`.
    pub exact: Vec<f64>,
    /// Standard errors of the means, `[K]`.
    pub standard_error: Vec<f64>,
    /// (mean − exact) / standard error, `[K]`.
    pub z_scores: Vec<f64>,
    /// A |z| above this is a failure: significance/K two-sided (Bonferroni), so that all K hold at once.
    pub threshold: f64,
}

impl Certificate {
    /// The largest |z|; NaN counts as infinite.
    #[must_use]
    pub fn worst(&self) -> f64 {
        self.z_scores.iter().map(|z| if z.is_nan() { f64::INFINITY } else { z.abs() }).fold(0.0, f64::max)
    }

    /// Whether every coordinate agrees with its exact value.
    #[must_use]
    pub fn passes(&self) -> bool {
        self.worst() <= self.threshold
    }
}

impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:>4} {:>14} {:>14} {:>12} {:>8}", "#", "exact", "estimate", "std. error", "z")?;
        for i in 0..self.mean.len() {
            let (mean, exact) = (self.mean[i], self.exact[i]);
            writeln!(
                f,
                "{i:>4} {exact:>14.8} {mean:>14.8} {:>12.2e} {:>8.2}",
                self.standard_error[i], self.z_scores[i]
            )?;
        }
        let verdict = if self.passes() { "unbiased" } else { "BIASED" };
        write!(
            f,
            "{verdict}: worst |z| {:.2}, threshold {:.2}, n = {}",
            self.worst(),
            self.threshold,
            self.samples
        )
    }
}

/// Compares the means of `moments` with `exact`; a correct estimator fails with probability `significance`.
///
/// An estimator without variance is held to 16 units in the last place instead of to a standard error of 0.
/// # Errors
/// If there are fewer than two samples, the numbers of coordinates differ, or `significance` is not in (0, 1).
pub fn certify(moments: &Moments, exact: &[f64], significance: f64) -> Result<Certificate, EstimatorError> {
    let coordinates = moments.mean.len();
    if moments.count < 2 || coordinates != exact.len() || coordinates == 0 {
        return Err(EstimatorError::Samples { samples: moments.count, coordinates, exact: exact.len() });
    }
    if !(significance > 0.0 && significance < 1.0) {
        return Err(EstimatorError::Significance(significance));
    }
    let standard_error = moments.standard_error();
    let z_scores = (0..coordinates)
        .map(|i| {
            let rounding = 16.0 * f64::EPSILON * exact[i].abs().max(f64::MIN_POSITIVE);
            (moments.mean[i] - exact[i]) / standard_error[i].max(rounding)
        })
        .collect();
    let threshold = -normal_quantile(0.5 * significance / coordinates as f64);
    Ok(Certificate {
        samples: moments.count,
        mean: moments.mean.clone(),
        exact: exact.to_vec(),
        standard_error,
        z_scores,
        threshold,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_of_a_known_series_merged_or_not() {
        let (mut whole, mut left, mut right) = (Moments::new(2), Moments::new(2), Moments::new(2));
        let rows: Vec<[f64; 2]> = (0..10).map(|i| [f64::from(i), f64::from(i * i)]).collect();
        rows.iter().for_each(|r| whole.push(r));
        rows[..3].iter().for_each(|r| left.push(r));
        rows[3..].iter().for_each(|r| right.push(r));
        left.merge(&right);
        assert_eq!(whole.count(), 10);
        assert!((whole.mean()[0] - 4.5).abs() < 1e-14 && (whole.variance()[0] - 55.0 / 6.0).abs() < 1e-13);
        for i in 0..2 {
            assert!((whole.mean()[i] - left.mean()[i]).abs() < 1e-13);
            assert!((whole.variance()[i] - left.variance()[i]).abs() < 1e-11);
        }
    }

    #[test]
    fn a_biased_or_broken_mean_is_caught() {
        let mut moments = Moments::new(1);
        (0..1000).for_each(|i| moments.push(&[f64::from(i % 2)]));
        assert!(certify(&moments, &[0.5], 0.001).unwrap().passes());
        assert!(!certify(&moments, &[0.6], 0.001).unwrap().passes());
        moments.push(&[f64::NAN]);
        assert!(!certify(&moments, &[0.5], 0.001).unwrap().passes());
    }

    #[test]
    fn bad_requests_are_refused() {
        let mut moments = Moments::new(1);
        moments.push(&[1.0]);
        assert!(matches!(certify(&moments, &[1.0], 0.1), Err(EstimatorError::Samples { .. })));
        moments.push(&[1.0]);
        assert!(matches!(certify(&moments, &[1.0, 2.0], 0.1), Err(EstimatorError::Samples { .. })));
        assert_eq!(certify(&moments, &[1.0], 1.0), Err(EstimatorError::Significance(1.0)));
    }
}
