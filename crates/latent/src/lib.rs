//! Binary latent-variable models: their data, the models, and training by any estimator of [`relax_estimators`].
//!
//! No environment and no agent: this is the other half of the estimators' use, where f is the evidence lower bound of an
//! auto-encoder with Bernoulli latent variables.
//!
//! | To … | look at |
//! | --- | --- |
//! | read MNIST or Omniglot and make them binary | [`data`] |
//! | train a model, estimate its bound, sample from it | [`vae`] |
//! | train from a configuration, with a run folder | [`task`] |
//! | name a stream of random numbers | [`stream`](stream::stream) |

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod data;
pub mod task;
pub mod vae;

pub use relax_rng::stream;
