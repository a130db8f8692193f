//! The agents' tests, one binary.

#![allow(clippy::unwrap_used)]

mod common;
mod gradients;
mod linear_quadratic;
mod model;
mod ppo;
mod replaying;
mod rollouts;
mod sac;
mod scales;
mod td3;
mod unbiased;
