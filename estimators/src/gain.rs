//! The adaptive gain: how much of a control variate to use, estimated from past batches.
//!
//! Write ĝ = A − η·B, with A the estimator without the control variate and B what the control variate takes off
//! ([`correction`](crate::correction), [`lax_correction`](crate::lax_correction)). E\[B\] = 0, so every η that does not depend on
//! the batch's own noise is unbiased, and the one of least variance is η* = E\[A·B\] / E\[B²\].

use crate::shape::check_len;
use crate::{EstimatorError, Real};

/// ĝ = A − η·B, element by element.
///
/// With B the correction of h = f∘σ_λ this is REBAR (Tucker et al. 2017, eq. 7), with that of r_φ it is RELAX at gain η.
pub fn combine<F: Real>(a: &[F], b: &[F], gain: F, gradient: &mut [F]) {
    check_len("b", b, a.len());
    check_len("gradient", gradient, a.len());
    for ((g, &a), &b) in gradient.iter_mut().zip(a).zip(b) {
        *g = a - gain * b;
    }
}

/// (Σ A·B, Σ B²) over all samples and coordinates, in double precision: what [`AdaptiveGain::update`] takes.
#[must_use]
pub fn gain_statistics<F: Real>(a: &[F], b: &[F]) -> (f64, f64) {
    check_len("b", b, a.len());
    a.iter().zip(b).fold((0.0, 0.0), |(ab, bb), (&a, &b)| {
        let (a, b) = (a.to_f64(), b.to_f64());
        (ab + a * b, bb + b * b)
    })
}

/// dL/dη = −Σ q·B for ĝ = A − η·B and q = dL/dĝ: trains η by descent, as REBAR does.
#[must_use]
pub fn gain_gradient<F: Real>(upstream: &[F], b: &[F]) -> f64 {
    -gain_statistics(upstream, b).0
}

/// Running estimate of η* = E\[A·B\] / E\[B²\], clipped to \[0, 1\].
///
/// Read [`gain`](Self::gain) for a batch's ĝ first and [`update`](Self::update) afterwards. Before any batch has been seen, and
/// while B is 0 everywhere (a control variate that starts at 0), the gain is 0: the estimator is A.
///
/// ```
/// use relax_estimators::{AdaptiveGain, gain_statistics};
///
/// let mut gain = AdaptiveGain::new(0.95)?;
/// assert_eq!(gain.gain(), 0.0);
/// let (ab, bb) = gain_statistics(&[1.0, -2.0], &[2.0, -4.0]);
/// gain.update(ab, bb);
/// assert_eq!(gain.gain(), 0.5);
/// # Ok::<(), relax_estimators::EstimatorError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct AdaptiveGain {
    decay: f64,
    ab: f64,
    bb: f64,
}

impl AdaptiveGain {
    /// A gain of 0 whose statistics forget a batch by the factor `decay` with each later one.
    ///
    /// # Errors
    /// If `decay` is not in [0, 1).
    pub fn new(decay: f64) -> Result<Self, EstimatorError> {
        if !(0.0..1.0).contains(&decay) {
            return Err(EstimatorError::Decay(decay));
        }
        Ok(Self { decay, ab: 0.0, bb: 0.0 })
    }

    /// The gain for the next batch.
    #[must_use]
    pub fn gain(&self) -> f64 {
        // Both averages start at 0 and share their weights, so no bias correction is due in the ratio.
        if self.bb > 0.0 { (self.ab / self.bb).clamp(0.0, 1.0) } else { 0.0 }
    }

    /// Takes in one batch: Σ A·B and Σ B² ([`gain_statistics`]). Batches with a number that is not finite are left out.
    pub fn update(&mut self, ab: f64, bb: f64) {
        if ab.is_finite() && bb.is_finite() {
            self.ab = self.decay * self.ab + (1.0 - self.decay) * ab;
            self.bb = self.decay * self.bb + (1.0 - self.decay) * bb;
        }
    }

    /// The running averages, to be saved; the decay is configuration.
    #[must_use]
    pub fn state(&self) -> [f64; 2] {
        [self.ab, self.bb]
    }

    /// Puts back a saved [`state`](Self::state).
    pub fn restore(&mut self, state: [f64; 2]) {
        [self.ab, self.bb] = state;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gain_is_clipped_and_survives_a_checkpoint() {
        let mut gain = AdaptiveGain::new(0.9).unwrap();
        gain.update(0.0, 0.0);
        assert_eq!(gain.gain(), 0.0);
        gain.update(3.0, 1.0);
        assert_eq!(gain.gain(), 1.0);
        gain.update(-90.0, 1.0);
        assert_eq!(gain.gain(), 0.0);
        gain.update(f64::NAN, 1.0);
        assert!(gain.gain().is_finite());
        let mut other = AdaptiveGain::new(0.9).unwrap();
        other.restore(gain.state());
        assert_eq!(other, gain);
    }

    #[test]
    fn a_bad_decay_is_refused() {
        for decay in [-0.1, 1.0, f64::NAN] {
            assert!(matches!(AdaptiveGain::new(decay), Err(EstimatorError::Decay(_))));
        }
    }

    #[test]
    fn the_gain_gradient_vanishes_at_the_best_gain() {
        let (a, b) = ([1.0, -2.0, 0.5], [0.7, -1.1, 0.9]);
        let (ab, bb) = gain_statistics(&a, &b);
        let mut g = [0.0_f64; 3];
        combine(&a, &b, ab / bb, &mut g);
        assert!(gain_gradient(&g.map(|g| 2.0 * g), &b).abs() < 1e-14);
    }
}
