//! Variational auto-encoders with binary latent variables, trained on the evidence lower bound by any of the estimators.
//!
//! One estimator call gives ĝ at the logits of each layer's encoder; it is sent back into the encoder's weights as a
//! constant. The control variate of REBAR is the bound itself at relaxed samples, so the model offers its value, its gradient by
//! the relaxed samples and the mixed derivative with the temperature, all first-order passes of the networks.

mod architecture;
mod baseline;
mod control;
mod elementwise;
mod estimate;
mod free_form;
mod model;
mod number;
mod path;
mod pixels;
mod relaxed;
mod settings;
mod surrogate;
#[cfg(test)]
mod tests;
mod trainer;
mod weights;

pub use architecture::Architecture;
pub use model::Model;
pub use settings::{FREE, METHODS, Settings};
pub use trainer::{StepReport, Trainer};

/// Why a model cannot be built, trained or restored.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum VaeError {
    /// A constant that cannot be used.
    #[error("{0}")]
    Setting(String),
    /// Images of another size than the model's.
    #[error("the model takes images of {expected} pixels, but the training mean has {found}")]
    Pixels {
        /// The model's.
        expected: usize,
        /// What was given.
        found: usize,
    },
    /// No threads to be had.
    #[error("the threads could not be started: {0}")]
    Threads(String),
    /// A saved state that does not fit.
    #[error(transparent)]
    State(#[from] relax_nn::StateError),
}
