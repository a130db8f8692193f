//! The surrogate control variate: a function c of the *hard* sample, learned by regression on past calls of f, whose own gradient
//! costs no call of f.
//!
//! With B paid samples b_i and M free ones b′_m of the same distribution, c and η fixed before the batch,
//!
//! ```text
//! ĝ = 1/B Σ_i s_i·(f_i − ηc_i − mean of the others' f − ηc)  +  η·1/M Σ_m s′_m·(c′_m − mean of the others' c′)
//! ```
//!
//! Both sums are leave-one-out estimates ([`leave_one_out`](crate::leave_one_out)), the first of ∂E\[f − ηc\]/∂l and the second of
//! η·∂E\[c\]/∂l, so that the whole is unbiased for every c and every η that have not seen the batch. The second term's variance
//! falls with M and costs evaluations of c alone; the first term's is that of leave-one-out on f − ηc, which is small where c
//! predicts f. Where ∂E\[c\]/∂l is a closed form ([`polynomial_gradient`]), it takes the place of the second sum.
//!
//! Source: the project's own; regression on past calls after the critics of actor-critic methods (Q-Prop, Gu et al. 2017, has the same
//! two terms with a Taylor expansion in place of the free samples), leave-one-out after Kool et al. 2019.
//!
//! What breaks it: c fitted on a batch before that batch is used, the paid samples taken for the free ones (the terms cancel and
//! f − ηc takes f's place nowhere: the expectation is right, but nothing is gained), and η chosen from the batch's own numbers.

use crate::shape::{check_len, width};
use crate::{EstimatorError, Real};

/// ĝ of [`leave_one_out`](crate::leave_one_out) summed over a group, streamed: Σ s·c, Σ s and Σ c over any number of passes, each
/// with `group` rows to a distribution.
///
/// ```
/// use relax_estimators::FreeGradient;
///
/// let mut free = FreeGradient::default();
/// free.begin(1, 1); // one distribution of one variable
/// free.add(&[0.5, -0.5], &[3.0, 1.0], 2);
/// let mut gradient = [0.0];
/// free.finish(&mut gradient)?;
/// assert_eq!(gradient, [1.0]); // (0.5·(3 − 1) − 0.5·(1 − 3))/2
/// # Ok::<(), relax_estimators::EstimatorError>(())
/// ```
#[derive(Debug, Default)]
pub struct FreeGradient<F> {
    width: usize,
    count: usize,
    /// Subtracted from c first, one number a distribution: it drops out, and keeps single precision.
    shift: Vec<F>,
    score: Vec<F>,
    product: Vec<F>,
    sum: Vec<F>,
}

impl<F: Real> FreeGradient<F> {
    /// Starts anew for `distributions` of `width` parameters each.
    pub fn begin(&mut self, distributions: usize, width: usize) {
        (self.width, self.count) = (width, 0);
        for array in [&mut self.shift, &mut self.sum] {
            array.clear();
            array.resize(distributions, F::ZERO);
        }
        for array in [&mut self.score, &mut self.product] {
            array.clear();
            array.resize(distributions * width, F::ZERO);
        }
    }

    /// Takes in `group` samples of each distribution: `score` `[B, K]`, `c` `[B]`.
    pub fn add(&mut self, score: &[F], c: &[F], group: usize) {
        let k = self.width;
        check_len("c", c, self.sum.len() * group);
        check_len("score", score, c.len() * k);
        let first = self.count == 0;
        self.count += group;
        for (i, (c, score)) in c.chunks_exact(group).zip(score.chunks_exact(group * k)).enumerate() {
            if first {
                self.shift[i] = c[0];
            }
            let shift = self.shift[i];
            let (scores, products) =
                (&mut self.score[i * k..(i + 1) * k], &mut self.product[i * k..(i + 1) * k]);
            for (&c, score) in c.iter().zip(score.chunks_exact(k)) {
                let c = c - shift;
                self.sum[i] += c;
                for ((total, product), &s) in scores.iter_mut().zip(products.iter_mut()).zip(score) {
                    *total += s;
                    *product += s * c;
                }
            }
        }
    }

    /// The gradient of E\[c\] of each distribution, `[distributions, K]`.
    ///
    /// # Errors
    /// If fewer than two samples of each were taken in.
    pub fn finish(&self, gradient: &mut [F]) -> Result<(), EstimatorError> {
        if self.count < 2 {
            return Err(EstimatorError::Groups { samples: self.count, group: self.count });
        }
        check_len("gradient", gradient, self.product.len());
        // 1/M Σ s_m (c_m − (S − c_m)/(M−1)) = (Σ s_m c_m − S/M Σ s_m)/(M−1)
        let (count, others) = (F::from_f64(self.count as f64), F::from_f64((self.count - 1) as f64));
        for (i, gradient) in gradient.chunks_exact_mut(self.width).enumerate() {
            let mean = self.sum[i] / count;
            let at = i * self.width..(i + 1) * self.width;
            for ((g, &product), &score) in
                gradient.iter_mut().zip(&self.product[at.clone()]).zip(&self.score[at])
            {
                *g = (product - mean * score) / others;
            }
        }
        Ok(())
    }
}

/// What a surrogate takes off leave-one-out at a gain of 1: B = s·(c − mean of the others' c) − ∂E\[c\]/∂l, so that
/// ĝ = A − η·B ([`combine`](crate::combine)) with A leave-one-out on f.
///
/// # Shapes
/// `score`, `correction`: `[B, K]`; `c`, `baseline`: `[B]`, `baseline` being [`leave_one_out`](crate::leave_one_out) of c in groups of
/// `group` rows; `free`: `[B/group, K]`.
pub fn surrogate_correction<F: Real>(
    score: &[F],
    c: &[F],
    baseline: &[F],
    free: &[F],
    group: usize,
    correction: &mut [F],
) {
    let k = width("score", score.len(), c.len());
    check_len("baseline", baseline, c.len());
    check_len("free", free, c.len() / group * k);
    check_len("correction", correction, score.len());
    for (row, (out, score)) in correction.chunks_exact_mut(k).zip(score.chunks_exact(k)).enumerate() {
        let advantage = c[row] - baseline[row];
        let free = &free[row / group * k..(row / group + 1) * k];
        for ((out, &s), &free) in out.iter_mut().zip(score).zip(free) {
            *out = s * advantage - free;
        }
    }
}

/// (A·B, B·B) of the means over each run of `group` rows, summed over groups, in double precision: what
/// [`AdaptiveGain::update`](crate::AdaptiveGain::update) takes for a surrogate, whose rows of a group depend on one another.
///
/// `a`, `b`: `[B, K]`.
#[must_use]
pub fn group_gain_statistics<F: Real>(a: &[F], b: &[F], rows: usize, group: usize) -> (f64, f64) {
    let k = width("a", a.len(), rows);
    check_len("b", b, a.len());
    let (mut ab, mut bb) = (0.0, 0.0);
    for (a, b) in a.chunks_exact(k * group).zip(b.chunks_exact(k * group)) {
        for i in 0..k {
            let mean = |x: &[F]| x.iter().skip(i).step_by(k).map(|&x| x.to_f64()).sum::<f64>() / group as f64;
            let (a, b) = (mean(a), mean(b));
            ab += a * b;
            bb += b * b;
        }
    }
    (ab, bb)
}

/// ∂E\[c\]/∂p of c(b) = linear·b + Σ_{i<j} pairwise_ij b_i b_j for b with independent coordinates of means p: linear + P p, P being
/// the symmetric matrix of the pairs. For Bernoullis ∂/∂l is θ(1 − θ) times that; for choices chain it through the softmax
/// ([`Projection`](crate::Projection)) and leave the pairs within one choice out of `pairwise` (they are never 1 together).
///
/// # Shapes
/// `linear`, `means`, `gradient`: `[D]`; `pairwise`: `[D·(D−1)/2]`, row i < j in the order (0,1), (0,2), …, (1,2), …; or empty.
///
/// ```
/// use relax_estimators::polynomial_gradient;
///
/// // c = b₀ + 2b₁ + 4b₀b₁
/// let mut gradient = [0.0; 2];
/// polynomial_gradient(&[1.0, 2.0], &[4.0], &[0.5, 0.25], &mut gradient);
/// assert_eq!(gradient, [2.0, 4.0]);
/// ```
pub fn polynomial_gradient<F: Real>(linear: &[F], pairwise: &[F], means: &[F], gradient: &mut [F]) {
    let d = linear.len();
    check_len("means", means, d);
    check_len("gradient", gradient, d);
    gradient.copy_from_slice(linear);
    if pairwise.is_empty() {
        return;
    }
    check_len("pairwise", pairwise, d * d.saturating_sub(1) / 2);
    let mut at = 0;
    for i in 0..d {
        for j in i + 1..d {
            gradient[i] += pairwise[at] * means[j];
            gradient[j] += pairwise[at] * means[i];
            at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{exact, leave_one_out};

    #[test]
    fn passes_add_up_to_leave_one_out() {
        let (score, c) = ([0.5_f64, -0.5, 0.25, 0.75, -0.1, 0.3, 0.9, -0.4], [3.0, 1.0, -2.0, 7.5]);
        let mut baseline = [0.0; 4];
        leave_one_out(&c, 4, &mut baseline).unwrap();
        let whole: Vec<f64> = (0..2)
            .map(|k| (0..4).map(|i| score[2 * i + k] * (c[i] - baseline[i])).sum::<f64>() / 4.0)
            .collect();
        let (mut free, mut gradient) = (FreeGradient::default(), [0.0; 2]);
        free.begin(1, 2);
        free.add(&score[..4], &c[..2], 2);
        free.add(&score[4..], &c[2..], 2);
        free.finish(&mut gradient).unwrap();
        assert!(gradient.iter().zip(&whole).all(|(g, w)| (g - w).abs() < 1e-14), "{gradient:?} {whole:?}");
        free.begin(1, 2);
        free.add(&score[..2], &c[..1], 1);
        assert!(free.finish(&mut gradient).is_err());
    }

    #[test]
    fn the_closed_form_is_the_enumerated_gradient() {
        let logits = [0.3_f64, -0.7, 1.1];
        let (linear, pairwise) = ([1.0, -2.0, 0.5], [0.7, -1.3, 2.0]);
        let c = |b: &[f64]| {
            let pairs = pairwise[0] * b[0] * b[1] + pairwise[1] * b[0] * b[2] + pairwise[2] * b[1] * b[2];
            linear.iter().zip(b).map(|(w, b)| w * b).sum::<f64>() + pairs
        };
        let exact = exact::bernoulli(&logits, c).unwrap().gradient;
        let theta = logits.map(|l| 1.0 / (1.0 + (-l).exp()));
        let mut gradient = [0.0; 3];
        polynomial_gradient(&linear, &pairwise, &theta, &mut gradient);
        for i in 0..3 {
            assert!((theta[i] * (1.0 - theta[i]) * gradient[i] - exact[i]).abs() < 1e-14);
        }
    }
}
