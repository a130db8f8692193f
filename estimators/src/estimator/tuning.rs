//! The numbers that belong to an estimator.

use super::Layer;
use crate::{Real, Relaxation};

/// What an estimator has besides a function: numbers, one set per layer, that the caller may learn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tuning {
    /// η of REBAR.
    pub gain: f64,
    /// log λ of Concrete and REBAR.
    pub log_temperature: f64,
    /// B of a scalar baseline, or the centre of NVIL's signal.
    pub baseline: f64,
    /// The scale of NVIL's signal.
    pub scale: f64,
}

impl Default for Tuning {
    /// η = 1, λ = ½ (log λ = −log 2), B = 0, scale 1.
    fn default() -> Self {
        Self { gain: 1.0, log_temperature: -std::f64::consts::LN_2, baseline: 0.0, scale: 1.0 }
    }
}

impl Tuning {
    pub(super) fn relaxation<F: Real>(&self, layer: Layer) -> Relaxation<F> {
        let temperature = F::from_f64(self.log_temperature.exp());
        Relaxation { link: layer.link(), width: layer.row_width(), temperature }
    }
}

/// The gradient of the mean of ‖ĝ‖² by the learned numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct TuningGradient {
    /// By η.
    pub gain: f64,
    /// By log λ.
    pub log_temperature: f64,
}
