//! The agents' tests, one binary.

#![allow(clippy::unwrap_used)]

mod common;
mod gradients;
mod linear_quadratic;
mod model;
mod rollouts;
mod unbiased;
