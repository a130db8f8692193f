//! σ_λ, the map from a relaxed sample z to a soft outcome, with its first and second derivatives; and Concrete.
//!
//! σ_λ(z) = sigmoid(z/λ) or softmax(z/λ). REBAR's control variate is c = η·h with h = f∘σ_λ, for an f that is known at soft
//! outcomes: h(z) = f(σ_λ(z)), ∇h = Jᵀ∇f, and the derivative by log λ, for which f offers Hessian-vector products.
//!
//! Source: Maddison et al. 2017 and Jang et al. 2017 (Concrete); Tucker et al. 2017 (REBAR).

use crate::shape::{check_len, check_rows, width};
use crate::{Projection, Real, categorical};

/// Which map takes z/λ to a soft outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// Element by element, for Bernoulli nodes.
    Sigmoid,
    /// Row by row, for categorical nodes.
    Softmax,
}

/// σ_λ on rows of K numbers. Its Jacobian J is symmetric, so one function serves gradients and tangents.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Relaxation<F> {
    /// Sigmoid or softmax.
    pub link: Link,
    /// K.
    pub width: usize,
    /// λ > 0: small is close to hard outcomes.
    pub temperature: F,
}

impl<F: Real> Relaxation<F> {
    /// σ_λ(z), `[B, K]`.
    pub fn apply(&self, z: &[F], relaxed: &mut [F]) {
        check_rows("z", z.len(), self.width);
        check_len("relaxed", relaxed, z.len());
        for (y, &z) in relaxed.iter_mut().zip(z) {
            *y = z / self.temperature;
        }
        match self.link {
            Link::Sigmoid => relaxed.iter_mut().for_each(|y| *y = y.sigmoid()),
            Link::Softmax => relaxed.chunks_exact_mut(self.width).for_each(softmax),
        }
    }

    /// J·x = Jᵀx for each row, `[B, K]`, from the soft outcomes `relaxed` = σ_λ(z).
    ///
    /// With x = ∇f(σ_λ(z)) this is ∇h(z); with x a tangent of z it is the tangent of σ_λ(z).
    pub fn multiply_jacobian(&self, relaxed: &[F], x: &[F], out: &mut [F]) {
        check_rows("relaxed", relaxed.len(), self.width);
        check_len("x", x, relaxed.len());
        check_len("out", out, relaxed.len());
        let rows = relaxed.chunks_exact(self.width).zip(x.chunks_exact(self.width));
        for ((y, x), out) in rows.zip(out.chunks_exact_mut(self.width)) {
            let (origin, mean) = self.centre(y, x);
            for ((o, &y), &x) in out.iter_mut().zip(y).zip(x) {
                *o = match self.link {
                    Link::Sigmoid => y * (F::ONE - y) * x,
                    Link::Softmax => y * ((x - origin) - mean),
                } / self.temperature;
            }
        }
    }

    /// The Hessian of h times a tangent β of z, `[B, K]`: d/dε ∇h(z + εβ) at ε = 0.
    ///
    /// - `tangent` = J·β ([`multiply_jacobian`](Self::multiply_jacobian)),
    /// - `f_gradient` = ∇f(σ_λ(z)) and `f_hessian_vector` = (Hessian of f at σ_λ(z))·`tangent`.
    pub fn hessian_vector(
        &self,
        relaxed: &[F],
        tangent: &[F],
        f_gradient: &[F],
        f_hessian_vector: &[F],
        out: &mut [F],
    ) {
        check_rows("relaxed", relaxed.len(), self.width);
        for (name, array) in
            [("tangent", tangent), ("f_gradient", f_gradient), ("f_hessian_vector", f_hessian_vector)]
        {
            check_len(name, array, relaxed.len());
        }
        check_len("out", out, relaxed.len());
        for (i, out) in out.chunks_exact_mut(self.width).enumerate() {
            let row = i * self.width..(i + 1) * self.width;
            let (y, t) = (&relaxed[row.clone()], &tangent[row.clone()]);
            let (g, hv) = (&f_gradient[row.clone()], &f_hessian_vector[row]);
            // d/dε of y∘(g − y·g): tangents sum to 0, so t·g may be taken from the same origin.
            let ((origin, mean), (hv_origin, hv_mean)) = (self.centre(y, g), self.centre(y, hv));
            let mean_tangent = t.iter().zip(g).map(|(&t, &g)| t * (g - origin)).sum::<F>() + hv_mean;
            for (j, o) in out.iter_mut().enumerate() {
                *o = match self.link {
                    Link::Sigmoid => t[j] * (F::ONE - y[j] - y[j]) * g[j] + y[j] * (F::ONE - y[j]) * hv[j],
                    Link::Softmax => {
                        t[j] * ((g[j] - origin) - mean) + y[j] * ((hv[j] - hv_origin) - mean_tangent)
                    }
                } / self.temperature;
            }
        }
    }

    /// For the softmax: x at the largest y, and y·x counted from there. A nearly hard y then does not cancel. For the
    /// sigmoid nothing is subtracted.
    #[inline]
    fn centre(&self, y: &[F], x: &[F]) -> (F, F) {
        if self.link == Link::Sigmoid {
            return (F::ZERO, F::ZERO);
        }
        let top = (1..y.len()).fold(0, |top, i| if y[i] > y[top] { i } else { top });
        (x[top], y.iter().zip(x).map(|(&y, &xi)| y * (xi - x[top])).sum())
    }
}

/// Concrete, ĝ = Πᵀ∇h(z): the gradient of the relaxed objective. **Biased** for E\[f(b)\], more so the larger λ is.
///
/// `h_gradient` = ∇h(z) and `gradient` are `[B, K]`; B is `rows`.
pub fn concrete<F: Real>(projection: Projection<'_, F>, h_gradient: &[F], rows: usize, gradient: &mut [F]) {
    check_len("gradient", gradient, h_gradient.len());
    gradient.copy_from_slice(h_gradient);
    if let Projection::Softmax(probs) = projection {
        categorical::apply_pi_transpose(probs, width("h_gradient", h_gradient.len(), rows), gradient);
    }
}

/// d/dlog λ of Σ_b (α_b·h(z_b) + β_b·∇h(z_b)) = −Σ_b (α·z·∇h + β·∇h + z·Hβ), with Hβ of [`Relaxation::hessian_vector`].
///
/// REBAR trains λ with it: dL/dlog λ = η × (this at z̃ with α and β₂, plus this at z with 0 and β₁), the coefficients being those of
/// [`relax_adjoint`](crate::relax_adjoint). dL/dη is [`gain_gradient`](crate::gain_gradient).
/// # Shapes
/// `alpha`: `[B]`; the others `[B, K]`.
#[must_use]
pub fn log_temperature_gradient<F: Real>(
    z: &[F],
    alpha: &[F],
    beta: &[F],
    h_gradient: &[F],
    hessian_vector: &[F],
) -> f64 {
    let k = width("z", z.len(), alpha.len());
    for (name, array) in [("beta", beta), ("h_gradient", h_gradient), ("hessian_vector", hessian_vector)] {
        check_len(name, array, z.len());
    }
    let term = |i: usize| {
        let (z, g, alpha) = (z[i].to_f64(), h_gradient[i].to_f64(), alpha[i / k].to_f64());
        alpha * z * g + beta[i].to_f64() * g + z * hessian_vector[i].to_f64()
    };
    -(0..z.len()).map(term).sum::<f64>()
}

#[inline]
fn softmax<F: Real>(row: &mut [F]) {
    let top = row.iter().fold(row[0], |m, &y| m.max(y));
    row.iter_mut().for_each(|y| *y = (*y - top).exp());
    let sum = row.iter().copied().sum::<F>();
    row.iter_mut().for_each(|y| *y = *y / sum);
}
