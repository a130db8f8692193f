//! REINFORCE and its baselines.
//!
//! Source: Williams 1992; the learned baseline after Mnih and Gregor 2014 (NVIL); leave-one-out after Kool et al. 2019.

use crate::shape::{check_len, width};
use crate::{EstimatorError, Real};

/// What is taken off f before it multiplies the score. It must not depend on the sample that it is taken off.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Baseline<'a, F> {
    /// Nothing: ĝ = s·f.
    None,
    /// One number for all samples, such as [`LearnedBaseline::value`].
    Constant(F),
    /// One number per sample, `[B]`: a value function V(x), or [`leave_one_out`].
    Values(&'a [F]),
}

/// REINFORCE, ĝ = s·(f − baseline): an unbiased sample of ∂E\[f\]/∂l (Williams 1992).
///
/// # Shapes
/// `score`, `gradient`: `[B, K]`; `f`: `[B]`.
///
/// ```
/// use relax_estimators::{Baseline, reinforce};
///
/// let mut gradient = [0.0; 4];
/// reinforce(&[0.5, -0.5, -0.25, 0.25], &[2.0, 4.0], Baseline::Constant(1.0), &mut gradient);
/// assert_eq!(gradient, [0.5, -0.5, -0.75, 0.75]);
/// ```
pub fn reinforce<F: Real>(score: &[F], f: &[F], baseline: Baseline<'_, F>, gradient: &mut [F]) {
    let k = width("score", score.len(), f.len());
    check_len("gradient", gradient, score.len());
    if let Baseline::Values(values) = baseline {
        check_len("baseline", values, f.len());
    }
    for (i, (g, s)) in gradient.chunks_exact_mut(k).zip(score.chunks_exact(k)).enumerate() {
        let advantage = match baseline {
            Baseline::None => f[i],
            Baseline::Constant(c) => f[i] - c,
            Baseline::Values(values) => f[i] - values[i],
        };
        for (g, &s) in g.iter_mut().zip(s) {
            *g = s * advantage;
        }
    }
}

/// The baseline of each sample is the mean f of the *other* samples of its group: unbiased, and free of parameters.
///
/// `f` is `[B]`, B/`group` runs of `group` independent samples of one distribution each.
/// # Errors
/// If a group has fewer than two samples or B is not whole groups.
pub fn leave_one_out<F: Real>(f: &[F], group: usize, baseline: &mut [F]) -> Result<(), EstimatorError> {
    if group < 2 || !f.len().is_multiple_of(group) {
        return Err(EstimatorError::Groups { samples: f.len(), group });
    }
    check_len("baseline", baseline, f.len());
    let others = F::from_f64((group - 1) as f64);
    for (f, baseline) in f.chunks_exact(group).zip(baseline.chunks_exact_mut(group)) {
        let sum = f.iter().copied().sum::<F>();
        for (b, &f) in baseline.iter_mut().zip(f) {
            *b = (sum - f) / others;
        }
    }
    Ok(())
}

/// What a [`LearnedBaseline`] descends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BaselineObjective {
    /// E(f − B)²: B tends to E\[f\].
    SquaredError,
    /// E‖s·(f − B)‖², the variance itself: B tends to E\[‖s‖²f\] / E\[‖s‖²\], the best constant.
    Variance,
}

/// One learned number as the baseline.
///
/// Use [`value`](Self::value) for a batch's ĝ first and [`update`](Self::update) afterwards: a baseline that has seen the
/// noise of its own batch is a bias.
#[derive(Debug, Clone, PartialEq)]
pub struct LearnedBaseline {
    value: f64,
    learning_rate: f64,
    objective: BaselineObjective,
}

impl LearnedBaseline {
    /// A baseline that starts at 0.
    #[must_use]
    pub fn new(learning_rate: f64, objective: BaselineObjective) -> Self {
        Self { value: 0.0, learning_rate, objective }
    }

    /// The baseline now.
    #[must_use]
    pub fn value(&self) -> f64 {
        self.value
    }

    /// One gradient step on half the objective, over the batch: `score` `[B, K]`, `f` `[B]`.
    ///
    /// B ← B + lr · mean(ω·(f − B)), with ω = 1 for the squared error and ‖s‖² for the variance.
    pub fn update<F: Real>(&mut self, score: &[F], f: &[F]) {
        let k = width("score", score.len(), f.len());
        let mut step = 0.0;
        for (s, &f) in score.chunks_exact(k).zip(f) {
            let weight = match self.objective {
                BaselineObjective::SquaredError => 1.0,
                BaselineObjective::Variance => s.iter().map(|&s| s.to_f64() * s.to_f64()).sum(),
            };
            step += weight * (f.to_f64() - self.value);
        }
        self.value += self.learning_rate * step / f.len().max(1) as f64;
    }

    /// Puts back a [`value`](Self::value) that was saved.
    pub fn restore(&mut self, value: f64) {
        self.value = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leave_one_out_leaves_one_out() {
        let mut baseline = [0.0; 6];
        leave_one_out(&[1.0, 2.0, 6.0, 0.0, 4.0, 2.0], 3, &mut baseline).unwrap();
        assert_eq!(baseline, [4.0, 3.5, 1.5, 3.0, 1.0, 2.0]);
    }

    #[test]
    fn leave_one_out_needs_whole_groups() {
        for group in [0, 1, 4] {
            let error = leave_one_out(&[0.0; 6], group, &mut [0.0; 6]).unwrap_err();
            assert_eq!(error, EstimatorError::Groups { samples: 6, group });
        }
    }

    #[test]
    fn learned_baselines_reach_their_optima() {
        // Two samples: (‖s‖², f) = (1, 2) and (4, 7).
        let (score, f) = ([1.0, 0.0, 0.0, 2.0], [2.0, 7.0]);
        for (objective, optimum) in
            [(BaselineObjective::SquaredError, 4.5), (BaselineObjective::Variance, 6.0)]
        {
            let mut baseline = LearnedBaseline::new(0.2, objective);
            (0..200).for_each(|_| baseline.update(&score, &f));
            assert!((baseline.value() - optimum).abs() < 1e-12);
        }
    }
}
