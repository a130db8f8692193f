//! Whole-program tests: one binary, since linking is most of what a test binary costs. Those with Python are in `gym.rs`.

#![allow(clippy::unwrap_used)]

mod agents;
mod certify;
mod cli;
mod cluster;
mod common;
mod compare;
mod continuous;
mod defaults;
mod determinism;
mod docs;
mod encoders;
mod export;
mod faults;
mod fuzz;
mod health;
mod kills;
mod learning;
mod machine;
mod masks;
mod report;
mod resume;
mod run_folder;
mod runtime;
mod state_hash;
mod statistics;
mod sweep;
mod terminal;
mod toy;
mod updates;
mod vae;
mod without_replay;
