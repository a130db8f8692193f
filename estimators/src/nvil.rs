//! NVIL: REINFORCE with an input-dependent baseline, a centred and a scaled learning signal.
//!
//! Source: Mnih and Gregor 2014, algorithm 1. One deviation: the running statistics of the signal are used *before* the batch is
//! taken into them, so that no estimate is centred by its own noise.

use crate::shape::{check_len, width};
use crate::{EstimatorError, Real};

/// NVIL, ĝ = s·(f − B − centre) / scale: REINFORCE against the baseline B of a network, centred by a running mean.
///
/// Unbiased at scale 1. Another scale multiplies the expectation, as a change of the learning rate would.
///
/// # Shapes
/// `score`, `gradient`: `[B, K]`; `f`, `baseline`: `[B]`, B(x) of each sample, not of its b.
///
/// ```
/// use relax_estimators::{SignalStatistics, nvil};
///
/// let (f, baseline) = ([5.0, 1.0], [1.0, 1.0]);
/// let mut signal = SignalStatistics::new(0.8)?;
/// let mut gradient = [0.0; 2];
/// nvil(&[0.5, -0.5], &f, &baseline, signal.centre(), signal.scale(), &mut gradient);
/// assert_eq!(gradient, [2.0, 0.0]);
/// signal.update(&f, &baseline); // for the next batch
/// assert_eq!((signal.centre(), signal.scale()), (2.0, 2.0));
/// # Ok::<(), relax_estimators::EstimatorError>(())
/// ```
pub fn nvil<F: Real>(score: &[F], f: &[F], baseline: &[F], centre: f64, scale: f64, gradient: &mut [F]) {
    let k = width("score", score.len(), f.len());
    check_len("baseline", baseline, f.len());
    check_len("gradient", gradient, score.len());
    let (centre, factor) = (F::from_f64(centre), F::from_f64(1.0 / scale));
    let rows = gradient.chunks_exact_mut(k).zip(score.chunks_exact(k));
    for ((g, s), (&f, &baseline)) in rows.zip(f.iter().zip(baseline)) {
        let signal = (f - baseline - centre) * factor;
        g.iter_mut().zip(s).for_each(|(g, &s)| *g = s * signal);
    }
}

/// dL/dB `[B]` of the baseline's loss L = mean (f − B − centre)²: what the baseline's network is trained on.
pub fn nvil_baseline_upstream<F: Real>(f: &[F], baseline: &[F], centre: f64, upstream: &mut [F]) {
    check_len("baseline", baseline, f.len());
    check_len("upstream", upstream, f.len());
    let (centre, factor) = (F::from_f64(centre), F::from_f64(-2.0 / f.len().max(1) as f64));
    for ((out, &f), &baseline) in upstream.iter_mut().zip(f).zip(baseline) {
        *out = factor * (f - baseline - centre);
    }
}

/// Running mean and variance of the learning signal f − B.
#[derive(Debug, Clone, PartialEq)]
pub struct SignalStatistics {
    decay: f64,
    mean: f64,
    variance: f64,
    seen: bool,
}

impl SignalStatistics {
    /// Statistics that forget a batch by the factor `decay` with each later one; 0.8 as published.
    ///
    /// # Errors
    /// If `decay` is not in [0, 1).
    pub fn new(decay: f64) -> Result<Self, EstimatorError> {
        if !(0.0..1.0).contains(&decay) {
            return Err(EstimatorError::Decay(decay));
        }
        Ok(Self { decay, mean: 0.0, variance: 0.0, seen: false })
    }

    /// The running mean of f − B; 0 before the first batch.
    #[must_use]
    pub fn centre(&self) -> f64 {
        self.mean
    }

    /// max(1, running standard deviation of f − B): small signals are not blown up.
    #[must_use]
    pub fn scale(&self) -> f64 {
        self.variance.sqrt().max(1.0)
    }

    /// Takes in one batch, *after* its gradients. The first batch sets the statistics. Batches with a number that is not finite
    /// are left out.
    pub fn update<F: Real>(&mut self, f: &[F], baseline: &[F]) {
        check_len("baseline", baseline, f.len());
        let count = f.len().max(1) as f64;
        let signal = || f.iter().zip(baseline).map(|(f, b)| f.to_f64() - b.to_f64());
        let mean = signal().sum::<f64>() / count;
        let variance = signal().map(|x| (x - mean) * (x - mean)).sum::<f64>() / count;
        if f.is_empty() || !mean.is_finite() || !variance.is_finite() {
            return;
        }
        let decay = if self.seen { self.decay } else { 0.0 };
        self.mean = decay * self.mean + (1.0 - decay) * mean;
        self.variance = decay * self.variance + (1.0 - decay) * variance;
        self.seen = true;
    }

    /// (mean, variance, 1 if a batch was seen), to be saved; the decay is configuration.
    #[must_use]
    pub fn state(&self) -> [f64; 3] {
        [self.mean, self.variance, f64::from(u8::from(self.seen))]
    }

    /// Puts back a saved [`state`](Self::state).
    pub fn restore(&mut self, [mean, variance, seen]: [f64; 3]) {
        (self.mean, self.variance, self.seen) = (mean, variance, seen > 0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Baseline, reinforce};

    #[test]
    fn a_centred_baseline_is_reinforce_with_the_sum() {
        let (score, f, baseline) = ([0.5, -0.5, -0.25, 0.25], [2.0, 4.0], [0.5, 1.0]);
        let (mut g, mut reference, mut d) = ([0.0; 4], [0.0; 4], [0.0; 2]);
        nvil(&score, &f, &baseline, 0.25, 1.0, &mut g);
        reinforce(&score, &f, Baseline::Values(&[0.75, 1.25]), &mut reference);
        assert_eq!(g, reference);
        nvil(&score, &f, &baseline, 0.25, 2.0, &mut g);
        assert_eq!(g, reference.map(|g| 0.5 * g));
        nvil_baseline_upstream(&f, &baseline, 0.25, &mut d);
        assert_eq!(d, [-1.25, -2.75]);
    }

    #[test]
    fn statistics_run_survive_a_checkpoint_and_ignore_nonsense() {
        let mut signal = SignalStatistics::new(0.5).unwrap();
        assert_eq!((signal.centre(), signal.scale()), (0.0, 1.0));
        signal.update(&[2.0, 6.0], &[0.0, 0.0]);
        signal.update(&[0.0, 0.0], &[0.0, 0.0]);
        assert_eq!((signal.centre(), signal.scale()), (2.0, 2.0_f64.sqrt()));
        let mut other = SignalStatistics::new(0.5).unwrap();
        other.restore(signal.state());
        signal.update(&[f64::NAN], &[0.0]);
        assert_eq!(other, signal);
        assert!(SignalStatistics::new(1.0).is_err());
    }
}
