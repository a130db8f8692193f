//! DisARM: antithetic pairs of Bernoulli samples, and nothing to learn.
//!
//! Source: Dong, Mnih and Tucker 2020, eq. 6; the same estimator is U2G of Yin, Ho, Yan, Qian and Zhou 2020. It is ARM (Yin and Zhou
//! 2019) with the uniforms integrated out given the two samples.

use crate::Real;
use crate::shape::{check_len, width};
use multiversion::multiversion;

/// DisARM, ĝ = ½(f(b) − f(b̃))·(b − b̃)∘σ(|a|): an unbiased sample of ∂E\[f\]/∂a from an antithetic pair.
///
/// b is the [`hard_sample`](crate::bernoulli::hard_sample) of [`relaxed_sample`](crate::bernoulli::relaxed_sample) and b̃ that of
/// [`antithetic_sample`](crate::bernoulli::antithetic_sample), with the same u. The mean of two REINFORCE estimates costs as much.
/// In a layered model f(b) and f(b̃) are of the two paths that start from this layer's pair and the same samples below.
///
/// # Shapes
/// `logits`, `b`, `b_antithetic`, `gradient`: `[B, K]`; `f`, `f_antithetic`: `[B]`.
///
/// ```
/// use relax_estimators::disarm;
///
/// let mut gradient = [0.0; 2];
/// disarm(&[0.0, 0.0], &[1.0, 1.0], &[0.0, 1.0], &[3.0], &[1.0], &mut gradient);
/// assert_eq!(gradient, [0.5, 0.0]); // a variable that is the same in both learns nothing from the pair
/// ```
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
pub fn disarm<F: Real>(
    logits: &[F],
    b: &[F],
    b_antithetic: &[F],
    f: &[F],
    f_antithetic: &[F],
    gradient: &mut [F],
) {
    let k = width("logits", logits.len(), f.len());
    check_len("b", b, logits.len());
    check_len("b_antithetic", b_antithetic, logits.len());
    check_len("f_antithetic", f_antithetic, f.len());
    check_len("gradient", gradient, logits.len());
    let half = F::from_f64(0.5);
    let pairs = b.chunks_exact(k).zip(b_antithetic.chunks_exact(k));
    let rows = gradient.chunks_exact_mut(k).zip(logits.chunks_exact(k)).zip(pairs);
    for (((out, a), (b, b_antithetic)), (&f, &f_antithetic)) in rows.zip(f.iter().zip(f_antithetic)) {
        let difference = half * (f - f_antithetic);
        for (((o, &a), &b), &other) in out.iter_mut().zip(a).zip(b).zip(b_antithetic) {
            *o = difference * (b - other) * a.abs().sigmoid();
        }
    }
}
