//! LAX for Gaussian nodes: the reparametrised relative of RELAX, and the adjoint that trains its control variate.
//!
//! Source: Grathwohl et al. 2018, eq. 7, with the log-standard-deviation as the parameter. c is evaluated at the
//! **executed** action with its own ε: at a fresh action the score and the control variate are independent, and ĝ is biased.

use crate::Real;
use crate::shape::{check_len, width};

/// What LAX needs of a sampled Gaussian node a = μ + σε.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GaussianNode<'a, F> {
    /// The noise ε of the executed action, `[B, K]`.
    pub eps: &'a [F],
    /// σ, `[B, K]`.
    pub std: &'a [F],
}

impl<F: Real> GaussianNode<'_, F> {
    #[inline]
    #[track_caller]
    fn check(&self, rows: usize) -> usize {
        check_len("std", self.std, self.eps.len());
        width("eps", self.eps.len(), rows)
    }
}

/// LAX: an unbiased sample of ∂E\[f\]/∂μ and ∂E\[f\]/∂log σ for any c (Grathwohl et al. 2018, eq. 7).
///
/// ```text
/// ĝ_μ = (ε/σ)·(f − c(a)) + ∇c(a)          ĝ_logσ = (ε²−1)·(f − c(a)) + ∇c(a)∘σε
/// ```
/// # Shapes
/// `f`, `c` = c(a): `[B]`; `c_gradient` = ∇c(a), `gradient_mean`, `gradient_log_std`: `[B, K]`.
///
/// ```
/// use relax_estimators::{GaussianNode, lax};
///
/// // f = (a−k)², μ − k = σ = 1, c = f + 2σ²: the estimate is exact whatever ε is.
/// for eps in [-1.3_f64, 0.0, 2.1] {
///     let d = 1.0 + eps; // a − k
///     let (mut mean, mut log_std) = ([0.0], [0.0]);
///     let node = GaussianNode { eps: &[eps], std: &[1.0] };
///     lax(&node, &[d * d], &[d * d + 2.0], &[2.0 * d], &mut mean, &mut log_std);
///     assert!((mean[0] - 2.0).abs() < 1e-12); // ∂E[f]/∂μ = 2(μ − k)
/// }
/// ```
pub fn lax<F: Real>(
    node: &GaussianNode<'_, F>,
    f: &[F],
    c: &[F],
    c_gradient: &[F],
    gradient_mean: &mut [F],
    gradient_log_std: &mut [F],
) {
    let k = node.check(f.len());
    check_len("c", c, f.len());
    check_len("c_gradient", c_gradient, node.eps.len());
    check_len("gradient_mean", gradient_mean, node.eps.len());
    check_len("gradient_log_std", gradient_log_std, node.eps.len());
    let outputs = gradient_mean.chunks_exact_mut(k).zip(gradient_log_std.chunks_exact_mut(k));
    let noise = node.eps.chunks_exact(k).zip(node.std.chunks_exact(k));
    for (i, (((m, l), (e, s)), slope)) in outputs.zip(noise).zip(c_gradient.chunks_exact(k)).enumerate() {
        let advantage = f[i] - c[i];
        for ((((m, l), &e), &s), &g) in m.iter_mut().zip(l).zip(e).zip(s).zip(slope) {
            *m = e / s * advantage + g;
            *l = (e * e - F::ONE) * advantage + g * (s * e);
        }
    }
}

/// What a control variate r takes off the estimator: B = score·r(a) − (∇r(a), ∇r(a)∘σε), with E\[B\] = 0.
///
/// The counterpart of [`correction`](crate::correction); `correction_mean` and `correction_log_std` are `[B, K]`.
pub fn lax_correction<F: Real>(
    node: &GaussianNode<'_, F>,
    r: &[F],
    r_gradient: &[F],
    correction_mean: &mut [F],
    correction_log_std: &mut [F],
) {
    let k = node.check(r.len());
    check_len("r_gradient", r_gradient, node.eps.len());
    check_len("correction_mean", correction_mean, node.eps.len());
    check_len("correction_log_std", correction_log_std, node.eps.len());
    let outputs = correction_mean.chunks_exact_mut(k).zip(correction_log_std.chunks_exact_mut(k));
    let noise = node.eps.chunks_exact(k).zip(node.std.chunks_exact(k));
    for (((m, l), (e, s)), (&r, slope)) in outputs.zip(noise).zip(r.iter().zip(r_gradient.chunks_exact(k))) {
        for ((((m, l), &e), &s), &g) in m.iter_mut().zip(l).zip(e).zip(s).zip(slope) {
            *m = e / s * r - g;
            *l = (e * e - F::ONE) * r - g * (s * e);
        }
    }
}

/// The adjoint of [`lax`]: from q = dL/dĝ of any loss L to its derivatives by what c returned.
///
/// ```text
/// α = dL/dc(a) = −Σₖ (q_μ·ε/σ + q_logσ·(ε²−1))          β = dL/d∇c(a) = q_μ + q_logσ∘σε
/// ```
/// # Shapes
/// `upstream_mean`, `upstream_log_std`, `beta`: `[B, K]`; `alpha`: `[B]`.
pub fn lax_adjoint<F: Real>(
    node: &GaussianNode<'_, F>,
    upstream_mean: &[F],
    upstream_log_std: &[F],
    alpha: &mut [F],
    beta: &mut [F],
) {
    let k = node.check(alpha.len());
    check_len("upstream_mean", upstream_mean, node.eps.len());
    check_len("upstream_log_std", upstream_log_std, node.eps.len());
    check_len("beta", beta, node.eps.len());
    let upstream = upstream_mean.chunks_exact(k).zip(upstream_log_std.chunks_exact(k));
    let noise = node.eps.chunks_exact(k).zip(node.std.chunks_exact(k));
    let outputs = alpha.iter_mut().zip(beta.chunks_exact_mut(k));
    for ((alpha, beta), ((qm, ql), (e, s))) in outputs.zip(upstream.zip(noise)) {
        let mut total = F::ZERO;
        for ((((b, &qm), &ql), &e), &s) in beta.iter_mut().zip(qm).zip(ql).zip(e).zip(s) {
            total += qm * (e / s) + ql * (e * e - F::ONE);
            *b = qm + ql * (s * e);
        }
        *alpha = -total;
    }
}
