//! Unbiased gradient estimators with learned control variates: REINFORCE, RELAX, LAX and their relatives.
//!
//! An estimator returns ĝ, an unbiased sample of ∂E\[f\]/∂l, where l are the parameters of one stochastic node (logits; or
//! mean and log-standard-deviation), as plain numbers, one row per sample. The network that made l is trained by
//! back-propagating ĝ as a constant; the control variate c is trained on the mean of ‖ĝ‖². All gradients are of E\[f\]: ascend a
//! reward, descend a loss.
//!
//! | step | Bernoulli | categorical | Gaussian |
//! | --- | --- | --- | --- |
//! | sample | [`bernoulli::relaxed_sample`], [`hard_sample`](bernoulli::hard_sample) | [`categorical::relaxed_sample`], [`hard_sample`](categorical::hard_sample) | [`gaussian::sample`] |
//! | relaxed sample given b | [`conditional_independent`](bernoulli::conditional_independent) or [`conditional_coupled`](bernoulli::conditional_coupled) | [`conditional_independent`](categorical::conditional_independent) or [`conditional_coupled`](categorical::conditional_coupled) | |
//! | score | [`bernoulli::score`] | [`categorical::score`] | [`gaussian::score`] |
//! | ĝ | [`reinforce()`], [`nvil()`], [`disarm()`], [`muprop()`], [`relax()`], [`relax_coupled`], [`surrogate_correction`] | the same, with [`disarm_categorical`] | [`reinforce()`], [`lax()`] |
//! | train c | [`relax_adjoint`], [`relax_coupled_adjoint`] | the same | [`lax_adjoint`] |
//!
//! [`Estimator::estimate`] is one call for all of them, on single nodes and layered models; it composes these functions.
//!
//! # Conventions
//! Everything is a pure function over flat row-major slices, `[B, K]` for B samples of K numbers, generic over `f32` and `f64`
//! ([`Real`]); outputs are buffers that the caller owns, and nothing is allocated. An array of the wrong length is a bug and
//! panics with its name; a setting that a user can get wrong is an [`EstimatorError`].
//!
//! Notation: u, v uniforms · b hard sample · z unconditional relaxed sample · z̃ relaxed sample given b · w diagonal of ∂z̃/∂l (Bernoulli)
//! or ∂z̃/∂log p (categorical) · s = ∂log p(b)/∂l · Πᵀ chain through log-softmax.
//!
//! # One step of RELAX
//! ```
//! use relax_estimators::{Node, categorical, relax, relax_adjoint, squared_norm_upstream};
//!
//! // One sample of a 3-way choice: B = 1, K = 3. The noise is fixed here; see `noise` for random numbers.
//! let (logits, u, v) = ([0.5_f64, -0.2, 0.1], [0.3, 0.9, 0.5], [0.6, 0.2, 0.8]);
//! let f = |b: u32| [1.0, -2.0, 0.5][b as usize];
//!
//! let (mut log_probs, mut probs, mut z, mut b, mut score) = ([0.0; 3], [0.0; 3], [0.0; 3], [0], [0.0; 3]);
//! categorical::log_softmax(&logits, 3, &mut log_probs);
//! categorical::probabilities(&log_probs, &mut probs);
//! categorical::relaxed_sample(&log_probs, &u, &mut z);
//! categorical::hard_sample(&z, 3, &mut b);
//! categorical::score(&probs, &b, &mut score);
//! let (mut z_tilde, mut w) = ([0.0; 3], [0.0; 3]);
//! categorical::conditional_independent(&log_probs, &b, &v, &mut z_tilde, &mut w);
//!
//! // The control variate c(z) = φ·z with φ = (1, −2, 0.5); usually a network, see `ControlVariate`.
//! let phi = [1.0, -2.0, 0.5];
//! let c_tilde = [phi.iter().zip(&z_tilde).map(|(p, z)| p * z).sum()];
//! let node = Node::categorical(&score, &w, &probs);
//! let mut gradient = [0.0; 3];
//! relax(&node, &[f(b[0])], &c_tilde, &phi, &phi, &mut gradient); // ∇c(z) = ∇c(z̃) = φ
//!
//! // d‖ĝ‖²/dφ = α·∂c(z̃)/∂φ + (β₁ + β₂)·∂∇c/∂φ = α·z̃ + β₁ + β₂
//! let (mut q, mut alpha, mut beta_z, mut beta_z_tilde) = ([0.0; 3], [0.0], [0.0; 3], [0.0; 3]);
//! squared_norm_upstream(&gradient, 1, &mut q);
//! relax_adjoint(&node, &q, &mut alpha, &mut beta_z, &mut beta_z_tilde);
//! let d_phi: Vec<f64> = (0..3).map(|i| alpha[0] * z_tilde[i] + beta_z[i] + beta_z_tilde[i]).collect();
//! assert!(d_phi.iter().all(|d| d.is_finite()));
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod bernoulli;
pub mod categorical;
pub mod certify;
pub mod exact;
pub mod gaussian;
pub mod noise;

mod approximate;
mod control_variate;
mod disarm;
mod error;
mod estimator;
mod gain;
mod lax;
mod muprop;
mod nvil;
mod real;
mod registry;
mod reinforce;
mod relax;
mod relaxation;
mod shape;
mod sticks;
mod surrogate;
mod variance;

pub use control_variate::ControlVariate;
pub use disarm::disarm;
pub use error::EstimatorError;
pub use estimator::{
    Estimate, Family, Layer, Model, NoControlVariate, Objective, OneNode, Place, Tuning, TuningGradient,
};
pub use gain::{AdaptiveGain, combine, gain_gradient, gain_statistics};
pub use lax::{GaussianNode, lax, lax_adjoint, lax_correction};
pub use muprop::{muprop, muprop_correction};
pub use nvil::{SignalStatistics, nvil, nvil_baseline_upstream};
pub use real::Real;
pub use registry::{Coupling, Entry, Estimator, Needs, TABLE};
pub use reinforce::{Baseline, BaselineObjective, LearnedBaseline, leave_one_out, reinforce};
pub use relax::{
    Node, Projection, correction, correction_coupled, relax, relax_adjoint, relax_coupled,
    relax_coupled_adjoint,
};
pub use relaxation::{Link, Relaxation, concrete, log_temperature_gradient};
pub use sticks::{disarm_categorical, stick_logits, stick_outcome};
pub use surrogate::{FreeGradient, group_gain_statistics, polynomial_gradient, surrogate_correction};
pub use variance::{mean_squared_norm, squared_norm_upstream};
