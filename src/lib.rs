//! Reinforcement learning with learned control variates: RELAX-A2C and LAX agents in place of A2C's baseline, the family
//! of gradient estimators they come from, and the checks that prove them unbiased.
//!
//! | To … | look at |
//! | --- | --- |
//! | train from a program | [`train::train`] with a [`config::Config`] |
//! | get the command line for an environment of your own | [`envs::register`], then [`cli::main`] |
//! | estimate a gradient without any reinforcement learning | [`estimators`], `examples/estimate_gradient.rs` |
//! | use RELAX on an f of your own, with a network as control variate | [`control_variate`], `examples/black_box.rs` |
//! | write an agent | [`agents::Agent`] |
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
pub use relax_latent as latent;
pub use relax_nn as nn;

pub mod certify;
pub mod checkpoint;
pub mod cli;
pub mod compare;
pub mod config;
pub mod control_variate;
pub mod error;
pub mod evaluate;
pub mod files;
pub mod gif;
pub mod logging;
pub mod plot;
pub mod report;
pub mod toy;
pub mod train;
pub mod vae;
pub mod variance;

pub use error::Error;
