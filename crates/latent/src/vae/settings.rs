//! Which estimator trains a model, and with which constants.

use crate::vae::VaeError;
use relax_estimators::{Coupling, Estimator};

/// Which estimator trains a model. All are served by one fused pass over the batch ([`Trainer`](crate::vae::Trainer)) and not by
/// [`Estimator::estimate`]: images are looked up once for all passes, both samples of a pair share a pass, and the relaxed bound's
/// derivatives come from the same products.
pub const METHODS: [Estimator; 13] = [
    Estimator::Reinforce,
    Estimator::Nvil,
    Estimator::MuProp,
    Estimator::Concrete,
    Estimator::Rebar(Coupling::Independent),
    Estimator::Relax(Coupling::Independent),
    Estimator::RelaxedRebar(Coupling::Independent),
    Estimator::DisArm,
    Estimator::LeaveOneOut { group: 2 },
    Estimator::Rebar(Coupling::Coupled),
    Estimator::Relax(Coupling::Coupled),
    Estimator::RelaxedRebar(Coupling::Coupled),
    Estimator::Surrogate { group: 2, passes: 32 },
];

/// Free samples of each layer's surrogate, for each of the two samples of an image.
pub const FREE: usize = 8;

/// Adam's second decay for the surrogate's c, which follows an f that moves.
pub(crate) const SURROGATE_BETA2: f64 = 0.999;

/// Constants of the training.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The estimator, one of [`METHODS`]. REINFORCE has a running mean of f as its baseline here; RELAX's c has it as well. The
    /// surrogate draws [`FREE`] free samples a row, whatever its `passes`; its gain is the one that past batches suggest, and its c is
    /// fitted to each batch of images after that batch has been used.
    pub method: Estimator,
    /// Adam's step size for encoders, decoders and prior.
    pub learning_rate: f64,
    /// Adam's step size for η, log λ, r_φ and the baselines.
    pub control_variate_learning_rate: f64,
    /// Adam's second decay but for the surrogate's c; the first is 0.9.
    pub beta2: f64,
    /// λ at the start.
    pub temperature: f64,
    /// Iterations at the start that train the control variate alone.
    pub warm_up: u64,
    /// Hidden ReLU layers of r_φ, the surrogate's too.
    pub control_variate_hidden: Vec<usize>,
    /// Past iterations that each iteration replays for the surrogate's regression.
    pub replay: usize,
    /// Past iterations that are kept to be replayed.
    pub replay_window: usize,
}

impl Settings {
    /// The constants that this project reports with: learning rates 10⁻³, β₂ = 0.99999, λ = 0.5, r_φ of 2 × 200 units.
    #[must_use]
    pub fn new(method: Estimator) -> Self {
        Self {
            method,
            learning_rate: 1e-3,
            control_variate_learning_rate: 1e-3,
            beta2: 0.99999,
            temperature: 0.5,
            warm_up: 0,
            control_variate_hidden: vec![200, 200],
            replay: 1,
            replay_window: 200,
        }
    }

    /// Whether there is r_φ: that of RELAX reads z, the surrogate's b.
    pub(crate) fn has_free_form(&self) -> bool {
        self.method.learns_control_variate() || self.method.needs().surrogate
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
        if !METHODS.contains(&self.method) {
            let names = METHODS.map(Estimator::name).join(", ");
            let method = self.method;
            return Err(VaeError::Setting(format!(
                "{method} does not train auto-encoders; there are {names}"
            )));
        }
        positive("learning_rate", self.learning_rate)?;
        positive("control_variate_learning_rate", self.control_variate_learning_rate)?;
        positive("temperature", self.temperature)?;
        if !(0.0..1.0).contains(&self.beta2) {
            let beta2 = self.beta2;
            return Err(VaeError::Setting(format!("beta2 must be at least 0 and below 1, not {beta2}")));
        }
        if self.method.needs().surrogate && self.replay_window == 0 {
            return Err(VaeError::Setting("replay_window must be 1 or more".into()));
        }
        if self.has_free_form()
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
