//! Reinforcement learning with learned control variates: RELAX-A2C and LAX agents in place of A2C's baseline, the family
//! of gradient estimators they come from, and the checks that prove them unbiased.
//!
//! | To … | look at |
//! | --- | --- |
//! | train from a program | [`train()`], [`train::Trainer`] step by step, or [`train::train`] with a run folder |
//! | train on many machines | [`cluster`] |
//! | get the command line for an environment of your own | [`envs::register`], then [`cli::main`] |
//! | estimate a gradient without any reinforcement learning | [`estimators`], `examples/estimate_gradient.rs` |
//! | minimise a function of discrete choices that can only be called | [`minimize`] |
//! | use RELAX on an f of your own, with a network as control variate | [`control_variate`], `examples/black_box.rs` |
//! | get the command line for an agent of your own | [`agents::register_agent`], `examples/custom_agent.rs` |
//! | compare estimators on the toy problem | [`toy`], `relax toy` |
//! | use the networks and optimisers | [`nn`] |
//!
//! ```no_run
//! use relax_rl::config::Config;
//! use relax_rl::train::{TrainOptions, train};
//!
//! let config = Config::load("configs/cartpole-relax.toml".as_ref(), &["run.seed=1".into()])?;
//! let options = TrainOptions { out: "runs/mine".into(), quiet: true, stop: Default::default() };
//! let outcome = train(&config, &options)?;
//! println!("mean return of the last 100 episodes: {:?}", outcome.summary.mean_return_100);
//! # Ok::<(), relax_rl::Error>(())
//! ```

pub use relax_agents as agents;
pub use relax_envs as envs;
pub use relax_estimators as estimators;
pub use relax_export as export;
pub use relax_lab::{certify, control_variate, plot, report, sweep, toy, vae, variance};
pub use relax_latent as latent;
pub use relax_minimize as minimize;
pub use relax_nn as nn;
pub use relax_rng as rng;
pub use relax_runtime::{Error, checkpoint, error, files};
pub use relax_training::{cluster, config, evaluate, gif, train};

pub mod cli;

/// Comparing agents: [`relax_lab::compare`] and [`relax_lab::study`].
pub mod compare {
    pub use relax_lab::compare::*;
    pub use relax_lab::study::*;
}

/// What a run writes down: [`relax_runtime::logging`] and the summaries of [`relax_training`].
pub mod logging {
    pub use relax_runtime::logging::*;
    pub use relax_training::{EvaluationSummary, Milestone, Status, Summary};
}
