//! MuProp: the control variate is f's own first-order Taylor expansion at the mean field.
//!
//! Source: Gu, Levine, Sutskever and Mnih 2016, eq. 6. With the expansion T(b) = f(p) + ∇f(p)·(b − p) at the probabilities p, E\[T\]
//! and its gradient are known, so T is taken off the score-function term and its exact gradient put back. b − p is the
//! score s, for Bernoulli and categorical nodes alike, so b itself is not needed.

use crate::shape::{check_len, width};
use crate::{Projection, Real};

/// MuProp, ĝ = s·(f − f(p) − ∇f(p)·s) + (∂p/∂l)ᵀ∇f(p): an unbiased sample of ∂E\[f\]/∂l.
///
/// In a layered model p is this layer's, given the hard samples below; whatever stands above must not depend on this layer's b.
/// A baseline goes off f beforehand; a gain η is put on with [`muprop_correction`] and [`combine`](crate::combine).
///
/// - `score` s and `gradient`: `[B, K]`; `projection`: that of the node, [`Identity`](Projection::Identity) for Bernoulli,
/// - `f` = f(b) and `f_mean` = f(p): `[B]`, `f_mean_gradient` = ∇f(p): `[B, K]`.
///
/// ```
/// use relax_estimators::{Projection, muprop};
///
/// // f is linear, so its expansion is f itself: no variance is left. θ = ¼ and f = 3b − 1, so ∂E[f]/∂a = 3·θ(1−θ).
/// for (score, f) in [(0.75, 2.0), (-0.25, -1.0)] {
///     let mut gradient = [0.0];
///     muprop(&[score], Projection::Identity, &[f], &[3.0 * 0.25 - 1.0], &[3.0], &mut gradient);
///     assert_eq!(gradient, [3.0 * 0.25 * 0.75]);
/// }
/// ```
pub fn muprop<F: Real>(
    score: &[F],
    projection: Projection<'_, F>,
    f: &[F],
    f_mean: &[F],
    f_mean_gradient: &[F],
    gradient: &mut [F],
) {
    check_len("f", f, f_mean.len());
    each_row(score, projection, f_mean, f_mean_gradient, gradient, |i, expansion| (f[i] - expansion, F::ONE));
}

/// What MuProp takes off REINFORCE: B = s·(f(p) + ∇f(p)·s) − (∂p/∂l)ᵀ∇f(p), with E\[B\] = 0. Shapes as for [`muprop`].
pub fn muprop_correction<F: Real>(
    score: &[F],
    projection: Projection<'_, F>,
    f_mean: &[F],
    f_mean_gradient: &[F],
    correction: &mut [F],
) {
    each_row(score, projection, f_mean, f_mean_gradient, correction, |_, expansion| (expansion, -F::ONE));
}

/// out = s·weight + sign·(∂p/∂l)ᵀ∇f(p), with (weight, sign) from the row's number and its expansion T(b).
#[inline]
fn each_row<F: Real>(
    score: &[F],
    projection: Projection<'_, F>,
    f_mean: &[F],
    f_mean_gradient: &[F],
    out: &mut [F],
    weigh: impl Fn(usize, F) -> (F, F),
) {
    let k = width("score", score.len(), f_mean.len());
    check_len("f_mean_gradient", f_mean_gradient, score.len());
    check_len("gradient", out, score.len());
    if let Projection::Softmax(probs) = projection {
        check_len("probs", probs, score.len());
    }
    let rows = score.chunks_exact(k).zip(f_mean_gradient.chunks_exact(k)).zip(out.chunks_exact_mut(k));
    for (i, ((s, slope), out)) in rows.enumerate() {
        let expansion = f_mean[i] + s.iter().zip(slope).map(|(&s, &d)| s * d).sum::<F>();
        let (weight, sign) = weigh(i, expansion);
        match projection {
            Projection::Identity => {
                for ((o, &s), &d) in out.iter_mut().zip(s).zip(slope) {
                    // θ(1−θ) = |s|(1−|s|), whichever of 1−θ and −θ the score is.
                    *o = s * weight + sign * (s.abs() * (F::ONE - s.abs()) * d);
                }
            }
            Projection::Softmax(probs) => {
                let p = &probs[i * k..(i + 1) * k];
                let mean = p.iter().zip(slope).map(|(&p, &d)| p * d).sum::<F>();
                for (((o, &s), &d), &p) in out.iter_mut().zip(s).zip(slope).zip(p) {
                    *o = s * weight + sign * (p * (d - mean));
                }
            }
        }
    }
}
