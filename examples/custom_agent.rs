//! An agent of one's own with the whole command line: its estimator, a critic as trained part beside the policy, its own keys.
//!
//!   cargo run --release --example custom_agent -- train my.toml        # [agent] kind = "mixed", mix = 0.7
//!   cargo run --release --example custom_agent -- certify agents
//!
//! The estimator is ĝ = s·(R̂ − μV(s) − (1 − μ)m) with m the running mean of earlier batches' returns: a baseline between a
//! number and a state value. Neither has seen the batch when it is used, so ĝ is unbiased, and `certify` says so.

use relax_rl::agents::config::{ActivationKind, OptimizerKind};
use relax_rl::agents::parts::{critic::Critic, networks::Network, policy::Policy};
use relax_rl::agents::{ActingPolicy, Agent, AgentError, AgentSpec, Compute, Metrics, Refusal};
use relax_rl::agents::{Rollout, Task, certify::Problem, distribution::for_space, register_agent, role};
use relax_rl::estimators::{Baseline, reinforce};
use relax_rl::{nn::StateDict, rng::EnvRng};

type Done = Result<(), AgentError>;

/// `[agent]`.
#[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Keys {
    /// Widths of the hidden layers of policy and critic.
    hidden: Vec<usize>,
    /// Share of the state value in the baseline, from 0 to 1.
    mix: f64,
}

/// `[learner]`.
#[derive(Clone, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Learner {
    /// Step size of policy and critic.
    learning_rate: f64,
    /// Discount factor γ in [0, 1].
    gamma: f64,
}

impl Default for Keys {
    fn default() -> Self {
        Self { hidden: vec![64, 64], mix: 0.5 }
    }
}

impl Default for Learner {
    fn default() -> Self {
        Self { learning_rate: 3e-3, gamma: 0.99 }
    }
}

struct Mixed {
    policy: Policy<()>,
    critic: Critic,
    mean: f32,
    mix: f32,
    learner: Learner,
}

impl Mixed {
    fn new(task: Task<'_>, keys: &Keys, learner: &Learner) -> Result<Self, AgentError> {
        let network = Network { hidden: &keys.hidden, activation: ActivationKind::Tanh };
        let (dim, adam) = (task.observations.flat_dim(), OptimizerKind::Adam);
        let rng = |index| EnvRng::from_seed_sequence(task.seed, &[role::WEIGHTS, index]);
        let policy =
            Policy::new(dim, for_space(task.actions, &Default::default())?, &network, adam, &mut rng(0))?;
        let critic = Critic::new(dim, &network, adam, &mut rng(1))?;
        Ok(Self { policy, critic, mean: 0.0, mix: keys.mix as f32, learner: learner.clone() })
    }
}

impl Agent for Mixed {
    fn acting_policy(&self) -> ActingPolicy {
        self.policy.snapshot()
    }

    fn refresh(&self, policy: &mut ActingPolicy) {
        self.policy.refresh(policy);
    }

    fn improve_policy(&mut self, batch: &Rollout, _: f64, compute: &Compute, metrics: &mut Metrics) -> Done {
        self.critic.evaluate(batch, self.learner.gamma, 1.0, compute);
        let (r, v, rest) = (self.critic.returns(), self.critic.values(), (1.0 - self.mix) * self.mean);
        let advantages: Vec<f32> = (0..r.len()).map(|i| r[i] - self.mix * v[i] - rest).collect();
        self.policy.gradient(batch, compute, 0.0, |_, rows, shard| {
            reinforce(&shard.samples.moments.score, &advantages[rows], Baseline::None, &mut shard.estimate);
        })?;
        self.policy.step(self.learner.learning_rate, 0.5).map(|norm| metrics.policy_gradient_norm = norm)
    }

    fn fit_critics(&mut self, batch: &Rollout, _: f64, compute: &Compute, metrics: &mut Metrics) -> Done {
        self.mean += 0.1 * (self.critic.returns().iter().sum::<f32>() / batch.rows() as f32 - self.mean);
        self.critic
            .fit(batch, 4, self.learner.learning_rate, 0.5, compute)
            .map(|loss| metrics.value_loss = loss)
    }

    fn last_gradient(&self, estimates: &mut Vec<f32>) -> Option<&[f32]> {
        Some(self.policy.last_gradient(estimates))
    }

    fn state(&self) -> StateDict {
        let mut state = StateDict::new();
        state.insert_all("policy", self.policy.state());
        state.insert_all("critic", self.critic.state());
        state.insert_f32("mean", &[self.mean]);
        state
    }

    fn restore(&mut self, state: &StateDict) -> Done {
        self.mean = state.f32("mean", 1)?[0];
        self.policy.restore(&state.subset("policy"))?;
        self.critic.restore(&state.subset("critic"))
    }
}

/// The agent's line of the registry.
pub fn spec() -> AgentSpec {
    AgentSpec::new("mixed", "a baseline between a number and a state value", |keys, learner, task| {
        Ok(Box::new(Mixed::new(task, keys, learner)?))
    })
    .check(|keys: &Keys, _: &Learner, _| match keys.mix {
        mix if (0.0..=1.0).contains(&mix) => Ok(()),
        mix => Err(Refusal::range("agent.mix", &mix.to_string(), "a number from 0 to 1")),
    })
    .certified(&[("mix = 0.7", Problem::Enumerable), ("mix = 0.3", Problem::LinearQuadratic)])
}

fn main() -> std::process::ExitCode {
    register_agent(spec()).expect("the name is free");
    relax_rl::cli::main()
}
