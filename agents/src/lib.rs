//! Actor-critic agents whose baseline is a learned control variate, and the ones they are compared with.
//!
//! | agent | estimator at the action distribution's parameters | file |
//! | --- | --- | --- |
//! | [`Reinforce`] | s·(R̂ − baseline) | `reinforce.rs` |
//! | [`A2c`] | s·(R̂ − V(s)) | `a2c.rs` |
//! | [`Ppo`] | s·(R̂ − V(s)) in a batch's first step; then of a clipped surrogate, biased | `ppo.rs` |
//! | [`RelaxA2c`] | s·(R̂ − c(s, z̃)) + Πᵀ\[∇c(s, z) − w∘∇c(s, z̃)\] | `relax_a2c.rs` |
//! | [`RelaxA2cModel`] | s·(R̂ − V(s)) − η₁·s·F + η₂·\[G − s·C\], C and F from a learned model, G = ∇E\[q\] | `relax_a2c_model.rs` |
//! | [`RelaxDdpg`] | s·(R̂ − V(s)) − η·[s·(Q − V) − ∇Q], Q(s, a) from replayed experience | `relax_ddpg.rs` |
//! | [`Ddpg`] | ∇_aQ(s, μ(s)), no estimator: biased by its critic | `ddpg.rs` |
//! | [`Td3`] | the same of the first of two critics, which learn from the smaller | `td3.rs` |
//! | [`Sac`] | the same of the smaller and of the entropy, at the sampled action | `sac.rs` |
//!
//! What a policy's actions are drawn from is in [`distribution`], what agents are made of in [`parts`].
//!
//! An agent knows no file, thread or environment: it takes a [`Rollout`], improves its policy with the critics as they
//! were before, and then fits the critics. That order is what keeps the estimators unbiased.

pub mod a2c;
mod acting;
mod action_range;
pub mod certify;
pub mod compute;
pub mod config;
pub mod ddpg;
pub mod distribution;
pub mod encoders;
mod frames;
mod kept;
mod metrics;
pub mod parts;
pub mod ppo;
pub mod registry;
pub mod reinforce;
pub mod relax_a2c;
pub mod relax_a2c_dae;
pub mod relax_a2c_model;
pub mod relax_ddpg;
pub mod rollout;
pub mod sac;
pub mod settings;
pub mod td3;

pub use a2c::A2c;
pub use acting::{ActingPolicy, ActingScratch, NetworkCard, PolicyCard};
pub use action_range::ActionRange;
pub use compute::Compute;
pub use ddpg::Ddpg;
pub use distribution::Distribution;
pub use encoders::{EncoderCard, Observed, encoder_names, register_encoder};
pub use frames::{Frames, Pictures};
pub use metrics::Metrics;
pub use parts::exploration::Exploration;
pub use parts::normalize::{Moved, Normalized, Normalizer, RunningMoments, Scaling};
pub use ppo::Ppo;
pub use registry::{
    AgentSpec, RolloutShape, Task, agent_names, agent_spec, agent_specs, make_agent, register_agent,
};
pub use reinforce::Reinforce;
pub use relax_a2c::RelaxA2c;
pub use relax_a2c_model::RelaxA2cModel;
pub use relax_ddpg::RelaxDdpg;
pub use rollout::{ActionBuffer, Episode, Rollout};
pub use sac::Sac;
pub use settings::{AgentSettings, Refusal};
pub use td3::Td3;

pub use relax_rng::role;

use relax_nn::{StateDict, StateError};

/// A learner: owns weights, optimisers and counters, and knows nothing of threads, files or environments.
pub trait Agent: Send {
    /// A copy of the policy for the workers to act with.
    fn acting_policy(&self) -> ActingPolicy;

    /// Brings an earlier copy up to date without allocating.
    fn refresh(&self, policy: &mut ActingPolicy);

    /// One step of the policy on an on-policy batch, with critics that have not seen it. `progress` ∈ [0, 1] is the
    /// share of the run that is over.
    ///
    /// # Errors
    /// If the gradient is not finite.
    fn improve_policy(
        &mut self,
        batch: &Rollout,
        progress: f64,
        compute: &Compute,
        metrics: &mut Metrics,
    ) -> Result<(), AgentError>;

    /// Fits the critics to the batch that [`improve_policy`](Self::improve_policy) has just used.
    ///
    /// # Errors
    /// If a gradient is not finite.
    fn fit_critics(
        &mut self,
        batch: &Rollout,
        progress: f64,
        compute: &Compute,
        metrics: &mut Metrics,
    ) -> Result<(), AgentError>;

    /// Whether gradient steps on the batch are still to be taken: those that `compute` was told to stop before. Such an agent's
    /// [`state`](Self::state) is one in the middle of an update, which [`catch_up`](Self::catch_up) brings to its end, also after
    /// [`restore`](Self::restore) and without the batch; only agents whose long loops need none have one. Never, by default.
    fn is_behind(&self) -> bool {
        false
    }

    /// Whether [`fit_critics`](Self::fit_critics) may leave it behind: the actors, who act meanwhile, then keep where they began.
    /// It may not, by default.
    fn may_leave_off(&self) -> bool {
        false
    }

    /// Takes the gradient steps that [`is_behind`](Self::is_behind) speaks of, or as many as `compute` has the time for, and brings
    /// the figures of the update to what they would have been. Only asked of an agent that is behind.
    ///
    /// # Errors
    /// If a gradient is not finite.
    fn catch_up(
        &mut self,
        progress: f64,
        compute: &Compute,
        metrics: &mut Metrics,
    ) -> Result<(), AgentError> {
        let _ = (progress, compute, metrics);
        Ok(())
    }

    /// What the last [`improve_policy`](Self::improve_policy) went along, until the critics are fitted: leaves every row's ĝ,
    /// `[rows, P]`, in `estimates`, and returns the gradient of the weights that they made, before clipping. It *descends*
    /// the mean over rows, so it is minus the mean of the rows' pulled-back ĝ (and of the entropy bonus).
    ///
    /// `None`, as by default, if the agent has no such estimator: it cannot be certified or dissected then.
    fn last_gradient(&self, estimates: &mut Vec<f32>) -> Option<&[f32]> {
        let _ = estimates;
        None
    }

    /// R̂_t − V(s_t) `[rows]` of the batch that [`improve_policy`](Self::improve_policy) last saw: what the state baseline in
    /// its ĝ left of the returns. A dissection of the variance finds the baseline's error in it.
    ///
    /// `None`, as by default, if no state baseline is part of ĝ.
    fn last_advantages(&self) -> Option<&[f32]> {
        None
    }

    /// Makes critics go on saying what they said, now that the scales of observations and rewards have
    /// `moved`. Called after [`fit_critics`](Self::fit_critics) by [`Normalized`], where it is asked to
    /// ([`preserve_values`](config::Normalization::preserve_values)). Nothing, by default.
    fn keep_values(&mut self, moved: &Moved) {
        let _ = moved;
    }

    /// Everything that must survive a checkpoint. What is stored to be learned from again lies below `replay.`: `checkpoint.replay = false`
    /// leaves it out, and [`restore`](Self::restore) must do without.
    fn state(&self) -> StateDict;

    /// Takes over what [`state`](Self::state) gave.
    ///
    /// # Errors
    /// If an array is missing or does not fit this agent.
    fn restore(&mut self, state: &StateDict) -> Result<(), AgentError>;
}

/// Why an agent could not be made or could not go on.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// There is no policy for such actions.
    #[error(
        "no policy for the action space {0}: agents act in Discrete, MultiDiscrete, MultiBinary and Box spaces"
    )]
    ActionSpace(String),
    /// The configuration asks for what the algorithm cannot do.
    #[error("{0}")]
    Config(String),
    /// Training diverged.
    #[error(
        "the {what} is not finite: training has diverged; a smaller learning rate, gradient clipping \
         (learner.max_grad_norm) or scaled rewards usually help"
    )]
    NotFinite {
        /// What is not finite.
        what: &'static str,
    },
    /// A network could not be made.
    #[error(transparent)]
    Network(#[from] relax_nn::NnError),
    /// A checkpoint does not fit this agent.
    #[error(transparent)]
    State(#[from] StateError),
    /// A checkpoint is of an earlier version, and holds too little to go on with.
    #[error("it is of an earlier version, whose control variate had fewer parts than this one's")]
    Outgrown,
    /// An estimator's setting is out of range.
    #[error(transparent)]
    Estimator(#[from] relax_estimators::EstimatorError),
}
