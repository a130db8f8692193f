//! The control variate as an estimator sees it: two operations, both of first order.

use crate::Real;

/// c_φ(z, context): any function of a relaxed sample (or action) and of what conditions it, with parameters φ.
///
/// It may be as wrong as it likes: estimators stay unbiased for every c. It must be smooth in z.
///
/// # Shapes
/// `z` `[B, K]`, `context` `[B, C]` (C may be 0), `value` and `alpha` `[B]`, `gradient` and `beta` `[B, K]`, `d_parameters` `[P]`.
///
/// ```
/// use relax_estimators::ControlVariate;
///
/// /// c = φ·z²/2 with one parameter φ, K = 1.
/// struct Parabola(f64);
///
/// impl ControlVariate<f64> for Parabola {
///     type Error = std::convert::Infallible;
///     fn parameters(&self) -> usize {
///         1
///     }
///     fn value_and_gradient(&mut self, z: &[f64], _: &[f64], c: &mut [f64], dc: &mut [f64]) -> Result<(), Self::Error> {
///         for i in 0..z.len() {
///             (c[i], dc[i]) = (0.5 * self.0 * z[i] * z[i], self.0 * z[i]);
///         }
///         Ok(())
///     }
///     fn parameter_gradient(
///         &mut self, z: &[f64], _: &[f64], alpha: &[f64], beta: &[f64], d: &mut [f64],
///     ) -> Result<(), Self::Error> {
///         d[0] += (0..z.len()).map(|i| alpha[i] * 0.5 * z[i] * z[i] + beta[i] * z[i]).sum::<f64>();
///         Ok(())
///     }
/// }
/// ```
pub trait ControlVariate<F: Real> {
    /// Why an evaluation can fail; [`Infallible`](std::convert::Infallible) for plain arithmetic.
    type Error;

    /// How many parameters φ has.
    fn parameters(&self) -> usize;

    /// c(z) and ∇_z c(z) of every row.
    ///
    /// # Errors
    /// If the function cannot be evaluated.
    fn value_and_gradient(
        &mut self,
        z: &[F],
        context: &[F],
        value: &mut [F],
        gradient: &mut [F],
    ) -> Result<(), Self::Error>;

    /// Adds d/dφ Σ_b (α_b·c(z_b) + β_b·∇c(z_b)) to `d_parameters`.
    ///
    /// The second term is a mixed second derivative; it is the φ-gradient of the directional derivative of c along β
    /// (Pearlmutter 1994), one forward-tangent and one reverse pass.
    /// # Errors
    /// If the function cannot be evaluated.
    fn parameter_gradient(
        &mut self,
        z: &[F],
        context: &[F],
        alpha: &[F],
        beta: &[F],
        d_parameters: &mut [F],
    ) -> Result<(), Self::Error>;
}
