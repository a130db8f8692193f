//! What every run needs, whatever it trains: configuration files, the run folder, checkpoints, logs, signals. Knows neither
//! agents nor models.
//!
//! | To … | look at |
//! | --- | --- |
//! | read, override and check a kind of configuration | [`config`] |
//! | save and load a run's state | [`checkpoint`] |
//! | put words and arrays into one piece with a checksum | [`sealed`] |
//! | write tables, TensorBoard events and progress | [`logging`] |
//! | write a file that is either complete or absent | [`files`] |
//! | train something with a run folder, whatever it is | [`task`] |
//! | do several jobs at a time | [`jobs`] |
//! | own a run folder | [`owner`] |
//! | tell whether two runs have learned the same | [`state_hash`] |
//! | fit text and tables into a terminal | [`terminal`] |
//! | be stopped by a signal | [`signals`] |

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod checkpoint;
pub mod clock;
pub mod config;
pub mod error;
pub mod files;
pub mod jobs;
pub mod logging;
pub mod owner;
pub mod run;
pub mod sealed;
pub mod signals;
pub mod state_hash;
pub mod summary_file;
pub mod task;
pub mod terminal;

pub use error::Error;
