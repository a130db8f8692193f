//! Reinforcement learning with learned control variates.

pub mod checkpoint;
pub mod cli;
pub mod config;
pub mod error;
pub mod evaluate;
pub mod files;
pub mod gif;
pub mod logging;
pub mod plot;
pub mod train;

pub use error::Error;
