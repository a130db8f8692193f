//! The networks' tests, one binary; `allocation.rs` is another, since it counts what the whole process allocates.

#![allow(clippy::unwrap_used)]

mod centring;
mod common;
mod composite;
mod encoders;
mod kernels;
mod modules;
