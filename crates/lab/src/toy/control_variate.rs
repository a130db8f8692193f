//! The toy problem's control variate, r(z) = scale·MLP(2σ_λ(z) − 1): ten tanh units, scale 0 at the start, λ learned along.

use std::convert::Infallible;

use relax_envs::EnvRng;
use relax_estimators::ControlVariate;

/// Hidden units.
const UNITS: usize = 10;
/// log λ, scale, then three arrays of the units, and the bias of the output.
const PARAMETERS: usize = 3 + 3 * UNITS;
const LOG_TEMPERATURE: usize = 0;
const SCALE: usize = 1;
const BIAS: usize = 2;
const IN: usize = 3;
const IN_BIAS: usize = IN + UNITS;
const OUT: usize = IN_BIAS + UNITS;

/// r of one relaxed sample z, with its derivatives in closed form.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scaled {
    pub(super) parameters: Vec<f64>,
}

/// The network's value, slope and curvature at x = 2σ_λ(z) − 1, and x's slope by z.
struct Inner {
    x: f64,
    dx: f64,
    ddx: f64,
    m: f64,
    dm: f64,
    ddm: f64,
}

impl Scaled {
    /// Fresh parameters: weights uniform as Glorot and Bengio 2010 have them, biases and scale 0, λ = ½.
    pub(super) fn new(rng: &mut EnvRng) -> Self {
        let mut parameters = vec![0.0; PARAMETERS];
        parameters[LOG_TEMPERATURE] = -std::f64::consts::LN_2;
        let bound = (6.0 / (1 + UNITS) as f64).sqrt();
        for unit in 0..UNITS {
            parameters[IN + unit] = rng.uniform(-bound, bound);
            parameters[OUT + unit] = rng.uniform(-bound, bound);
        }
        Self { parameters }
    }

    fn inner(&self, z: f64) -> Inner {
        let p = &self.parameters;
        let lambda = p[LOG_TEMPERATURE].exp();
        let y = 1.0 / (1.0 + (-z / lambda).exp());
        let dx = 2.0 * y * (1.0 - y) / lambda;
        let mut inner =
            Inner { x: 2.0 * y - 1.0, dx, ddx: dx * (1.0 - 2.0 * y) / lambda, m: p[BIAS], dm: 0.0, ddm: 0.0 };
        for unit in 0..UNITS {
            let (w, v) = (p[IN + unit], p[OUT + unit]);
            let t = (w * inner.x + p[IN_BIAS + unit]).tanh();
            let slope = 1.0 - t * t;
            inner.m += v * t;
            inner.dm += v * w * slope;
            inner.ddm -= 2.0 * v * w * w * t * slope;
        }
        inner
    }

    /// r(z) and dr/dz.
    pub(super) fn at(&self, z: f64) -> (f64, f64) {
        let Inner { m, dm, dx, .. } = self.inner(z);
        let scale = self.parameters[SCALE];
        (scale * m, scale * dm * dx)
    }

    /// Adds d/dφ (α·r(z) + β·dr/dz) to `d`.
    fn add_parameter_gradient(&self, z: f64, alpha: f64, beta: f64, d: &mut [f64]) {
        let Inner { x, dx, ddx, m, dm, ddm } = self.inner(z);
        let p = &self.parameters;
        let scale = p[SCALE];
        // x depends on z/λ alone: dx/dlog λ = −z·x', and so on for the slope.
        let by_x = alpha * dm * -z * dx;
        let by_slope = beta * (ddm * -z * dx * dx + dm * (-dx - z * ddx));
        d[LOG_TEMPERATURE] += scale * (by_x + by_slope);
        d[SCALE] += alpha * m + beta * dm * dx;
        d[BIAS] += alpha * scale;
        for unit in 0..UNITS {
            let (w, v) = (p[IN + unit], p[OUT + unit]);
            let t = (w * x + p[IN_BIAS + unit]).tanh();
            let slope = 1.0 - t * t;
            let by_bias = scale * v * slope * (alpha - 2.0 * beta * dx * w * t);
            d[OUT + unit] += scale * (alpha * t + beta * dx * w * slope);
            d[IN_BIAS + unit] += by_bias;
            d[IN + unit] += x * by_bias + scale * beta * dx * v * slope;
        }
    }
}

impl ControlVariate<f64> for Scaled {
    type Error = Infallible;

    fn parameters(&self) -> usize {
        PARAMETERS
    }

    fn value_and_gradient(
        &mut self,
        z: &[f64],
        _: &[f64],
        value: &mut [f64],
        gradient: &mut [f64],
    ) -> Result<(), Infallible> {
        for ((v, g), &z) in value.iter_mut().zip(gradient).zip(z) {
            (*v, *g) = self.at(z);
        }
        Ok(())
    }

    fn parameter_gradient(
        &mut self,
        z: &[f64],
        _: &[f64],
        alpha: &[f64],
        beta: &[f64],
        d: &mut [f64],
    ) -> Result<(), Infallible> {
        for ((&z, &alpha), &beta) in z.iter().zip(alpha).zip(beta) {
            self.add_parameter_gradient(z, alpha, beta, d);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_derivatives_are_those_by_differences() {
        let mut r = Scaled::new(&mut EnvRng::from_seed(3));
        assert_eq!(r.at(0.7), (0.0, 0.0), "scale starts at 0");
        let mut rng = EnvRng::from_seed(4);
        r.parameters.iter_mut().for_each(|p| *p += rng.uniform(-0.5, 0.5));
        let (step, alpha, beta) = (1e-5, 0.8, -1.3);
        for z in [-3.0, -0.2, 0.0, 1.9] {
            let (_, slope) = r.at(z);
            let difference = r.at(z + step).0 - r.at(z - step).0;
            assert!((slope - difference / (2.0 * step)).abs() < 1e-8);
            let mut d = vec![0.0; PARAMETERS];
            r.add_parameter_gradient(z, alpha, beta, &mut d);
            for (i, d) in d.iter().enumerate() {
                let at = |by: f64| {
                    let mut moved = r.clone();
                    moved.parameters[i] += by;
                    let (c, dc) = moved.at(z);
                    alpha * c + beta * dc
                };
                let difference = (at(step) - at(-step)) / (2.0 * step);
                assert!((d - difference).abs() < 1e-8, "parameter {i} at {z}: {d} and {difference}");
            }
        }
    }
}
