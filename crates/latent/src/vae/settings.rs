//! Which estimator trains a model, and with which constants.

use crate::vae::VaeError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The gradient estimator at the logits of the encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// ĝ = s·(f − B), B a running mean of f.
    Reinforce,
    /// REINFORCE with the running mean and a learned baseline of the layer's context (Mnih & Gregor 2014).
    Nvil,
    /// The Taylor expansion of f about the mean field, with NVIL's baseline for what is left (Gu et al. 2016).
    #[serde(rename = "muprop")]
    MuProp,
    /// The gradient of the relaxed bound: biased (Maddison et al. 2017).
    Concrete,
    /// c = η·f(σ_λ(z)), with η and λ trained on ‖ĝ‖² (Tucker et al. 2017).
    Rebar,
    /// c = running mean of f + r_φ(z), with r trained on ‖ĝ‖² (Grathwohl et al. 2018).
    Relax,
    /// c = η·f(σ_λ(z)) + r_φ(z) (Grathwohl et al. 2018, their choice for auto-encoders).
    RelaxedRebar,
    /// Antithetic pairs (Dong, Mnih & Tucker 2020); two samples of each image.
    #[serde(rename = "disarm")]
    DisArm,
    /// Two independent samples of each image, each the other's baseline.
    #[serde(rename = "loo")]
    LeaveOneOut,
}

impl Method {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Reinforce,
        Self::Nvil,
        Self::MuProp,
        Self::Concrete,
        Self::Rebar,
        Self::Relax,
        Self::RelaxedRebar,
        Self::DisArm,
        Self::LeaveOneOut,
    ];

    /// The name used in configurations.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Reinforce => "reinforce",
            Self::Nvil => "nvil",
            Self::MuProp => "muprop",
            Self::Concrete => "concrete",
            Self::Rebar => "rebar",
            Self::Relax => "relax",
            Self::RelaxedRebar => "relaxed-rebar",
            Self::DisArm => "disarm",
            Self::LeaveOneOut => "loo",
        }
    }

    /// Samples of each image that one step draws.
    #[must_use]
    pub fn samples(self) -> usize {
        if matches!(self, Self::DisArm | Self::LeaveOneOut) { 2 } else { 1 }
    }

    /// Whether c contains the relaxed bound with a trained gain and temperature.
    pub(crate) fn has_relaxation(self) -> bool {
        matches!(self, Self::Rebar | Self::RelaxedRebar)
    }

    /// Whether c contains r_φ.
    pub(crate) fn has_free_form(self) -> bool {
        matches!(self, Self::Relax | Self::RelaxedRebar)
    }

    /// Whether NVIL's baseline is used.
    pub(crate) fn has_baseline(self) -> bool {
        matches!(self, Self::Nvil | Self::MuProp)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Method {
    type Err = VaeError;

    fn from_str(name: &str) -> Result<Self, VaeError> {
        Self::ALL.into_iter().find(|method| method.name() == name).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            VaeError::Setting(format!("there is no estimator {name:?}; there are {names}"))
        })
    }
}

/// How z̃ gets its noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Coupling {
    /// Noise of its own.
    #[default]
    Independent,
    /// The noise that makes z̃ = z: half the evaluations of c, and just as unbiased.
    Coupled,
}

/// Constants of the training.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The estimator.
    pub method: Method,
    /// The noise of z̃, for the estimators that have one.
    pub coupling: Coupling,
    /// Adam's step size for encoders, decoders and prior.
    pub learning_rate: f64,
    /// Adam's step size for η, log λ, r_φ and the baselines.
    pub control_variate_learning_rate: f64,
    /// Adam's second decay; the first is 0.9.
    pub beta2: f64,
    /// λ at the start.
    pub temperature: f64,
    /// Iterations at the start that train the control variate alone.
    pub warm_up: u64,
    /// Hidden ReLU layers of r_φ.
    pub control_variate_hidden: Vec<usize>,
}

impl Settings {
    /// The constants that this project reports with: learning rates 10⁻³, β₂ = 0.99999, λ = 0.5, r_φ of 2 × 200 units.
    #[must_use]
    pub fn new(method: Method) -> Self {
        Self {
            method,
            coupling: Coupling::Independent,
            learning_rate: 1e-3,
            control_variate_learning_rate: 1e-3,
            beta2: 0.99999,
            temperature: 0.5,
            warm_up: 0,
            control_variate_hidden: vec![200, 200],
        }
    }

    /// Checks every constant.
    ///
    /// # Errors
    /// Names the first that cannot be used and what would be right.
    pub fn validate(&self) -> Result<(), VaeError> {
        let positive = |name: &str, x: f64| match x > 0.0 && x.is_finite() {
            true => Ok(()),
            false => Err(VaeError::Setting(format!("{name} must be a positive number, not {x}"))),
        };
        positive("learning_rate", self.learning_rate)?;
        positive("control_variate_learning_rate", self.control_variate_learning_rate)?;
        positive("temperature", self.temperature)?;
        if !(0.0..1.0).contains(&self.beta2) {
            let beta2 = self.beta2;
            return Err(VaeError::Setting(format!("beta2 must be at least 0 and below 1, not {beta2}")));
        }
        if self.method.has_free_form()
            && (self.control_variate_hidden.is_empty() || self.control_variate_hidden.contains(&0))
        {
            let hidden = &self.control_variate_hidden;
            return Err(VaeError::Setting(format!(
                "control_variate_hidden must list one or more widths of at least 1, not {hidden:?}"
            )));
        }
        Ok(())
    }
}
