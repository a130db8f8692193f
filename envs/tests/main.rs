//! The environments' tests, one binary.

#![allow(clippy::unwrap_used)]

mod checker;
mod golden;
mod hostile_states;
mod live;
mod masks;
mod registry;
mod spaces;
mod vec_env;
mod wrappers;
