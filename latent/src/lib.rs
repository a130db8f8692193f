//! Models with binary latent variables, on which the gradient estimators are compared.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod stream;
pub mod vae;
