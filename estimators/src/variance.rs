//! The variance objective: E\[ĝ\] does not depend on φ, so the control variate is trained on the mean of ‖ĝ‖².

use crate::Real;
use crate::shape::{check_len, check_rows};

/// L = (1/B) Σ_b ‖ĝ_b‖², for `gradient` `[B, K]` of B = `rows` samples, in double precision.
#[must_use]
pub fn mean_squared_norm<F: Real>(gradient: &[F], rows: usize) -> f64 {
    check_rows("gradient", gradient.len(), rows.max(1));
    gradient.iter().map(|&g| g.to_f64() * g.to_f64()).sum::<f64>() / rows.max(1) as f64
}

/// q = dL/dĝ = 2ĝ/B, the upstream vector of [`relax_adjoint`](crate::relax_adjoint) and its relatives.
///
/// Another objective (the variance of the weight gradient, say) puts its own q in place of this one.
///
/// ```
/// use relax_estimators::{mean_squared_norm, squared_norm_upstream};
///
/// let (gradient, mut q) = ([1.0, 2.0, 3.0, 0.0], [0.0; 4]); // two samples of two coordinates
/// assert_eq!(mean_squared_norm(&gradient, 2), 7.0);
/// squared_norm_upstream(&gradient, 2, &mut q);
/// assert_eq!(q, gradient);
/// ```
pub fn squared_norm_upstream<F: Real>(gradient: &[F], rows: usize, upstream: &mut [F]) {
    check_len("upstream", upstream, gradient.len());
    let scale = F::from_f64(2.0 / rows.max(1) as f64);
    for (q, &g) in upstream.iter_mut().zip(gradient) {
        *q = scale * g;
    }
}
