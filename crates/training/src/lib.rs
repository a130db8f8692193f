//! Training of reinforcement-learning agents: configuration of a run, workers, run loop, evaluation.
//!
//! | To … | look at |
//! | --- | --- |
//! | describe a run | [`config::Config`] |
//! | train, or go on with a run, with a run folder | [`train::train`], [`train::resume`] |
//! | train without one, told of every update | [`train()`] |
//! | train step by step | [`train::Trainer`] |
//! | judge or use a trained policy | [`evaluate`] |
//! | fill rollouts oneself | [`actor::Actor`] |
//! | train on many machines | [`cluster`] |

pub mod actor;
pub mod cluster;
pub mod config;
pub mod evaluate;
pub mod gif;
pub mod predict;
mod status;
pub mod summary;
pub mod train;

pub use config::Config;
pub use status::Status;
pub use summary::{ControlVariateSummary, EvaluationSummary, Milestone, Summary};
pub use train::watched as train;
