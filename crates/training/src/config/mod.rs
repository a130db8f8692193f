//! [`Config`]: everything that decides a run, as one value for files, the command line and programs.
//!
//! ```
//! use relax_training::config::Config;
//! let text = r#"
//!     [env]
//!     id = "CartPole-v1"
//!     [agent]
//!     kind = "relax-a2c"
//! "#;
//! let config = Config::from_toml(text, "example.toml", &["learner.gamma=0.98".to_owned()])?;
//! assert_eq!(config.learner["gamma"].as_float(), Some(0.98));
//! assert_eq!(Config::from_toml(&config.to_toml(), "again", &[])?, config);
//! # Ok::<(), relax_training::config::ConfigError>(())
//! ```

mod agent;
mod document;
mod validate;

use relax_agents::AgentSettings;
use relax_envs::{Kwargs, Vectorization, WrapperConfig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use document::{check_resume_overrides, json_schema};
pub use relax_runtime::config::{ConfigError, Origin};

/// Everything that decides a run. Same program, same configuration (seed included), same numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The environment.
    pub env: EnvConfig,
    /// The algorithm and its networks.
    pub agent: AgentConfig,
    /// How experience is gathered.
    #[serde(default)]
    pub rollout: RolloutConfig,
    /// How fast and how hard everything is trained.
    #[serde(default)]
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub learner: toml::Table,
    /// How long, with which seed, and how the result is judged.
    #[serde(default)]
    pub run: RunConfig,
    /// When the state of the run is saved.
    #[serde(default)]
    pub checkpoint: CheckpointConfig,
}

/// `[agent]`: which agent learns, and the keys that are its own. What they are is the agent's affair
/// ([`relax_agents::AgentSpec`]), as are those of `[learner]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AgentConfig {
    /// The algorithm: "reinforce", "a2c", "relax-a2c", "ppo", "ddpg", "td3", "sac", "relax-ddpg", or one that the program adds.
    pub kind: String,
    /// The agent's own keys, every one of them once the configuration is read.
    #[serde(flatten)]
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub keys: toml::Table,
}

/// `[env]`: the environment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EnvConfig {
    /// Registered id of the environment, such as "CartPole-v1"; `relax envs list` shows all.
    pub id: String,
    /// Step at which an episode is truncated, in place of the environment's own limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_episode_steps: Option<u32>,
    /// Arguments for the environment's constructor; `relax envs show ID` lists them.
    #[serde(default, skip_serializing_if = "Kwargs::is_empty")]
    pub kwargs: Kwargs,
    /// Wrappers around the environment, the innermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wrappers: Vec<WrapperConfig>,
    /// `gym:…` only: "auto", "sync" (in this process), "async" (subprocesses) or "vector" (the environment's own).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vectorization: Option<Vectorization>,
    /// `gym:…` only: seconds that one step may take before the run stops, 120 by default; 0: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<f64>,
}

impl EnvConfig {
    /// The environment `id` with nothing changed about it.
    #[must_use]
    pub fn new(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            max_episode_steps: None,
            kwargs: Kwargs::new(),
            wrappers: Vec::new(),
            vectorization: None,
            timeout: None,
        }
    }

    /// Whether it is one of Python's.
    #[must_use]
    pub fn is_python(&self) -> bool {
        self.id.starts_with("gym:")
    }
}

/// What a rollout is made of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RolloutMode {
    /// A fixed number of steps in every environment, episodes running on from one rollout to the next.
    #[default]
    Steps,
    /// One whole episode in every environment.
    Episodes,
}

/// `[rollout]`: how experience is gathered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RolloutConfig {
    /// What a batch is made of: "steps" (`envs` × `steps` transitions) or "episodes" (`envs` whole episodes).
    pub mode: RolloutMode,
    /// Environments that run side by side, 1 or more.
    pub envs: usize,
    /// Steps per environment and batch when `mode = "steps"`, 1 or more.
    pub steps: usize,
    /// Threads that gather experience, at most `envs`; 0: everything on one thread. The numbers do not depend on it.
    pub workers: usize,
}

impl Default for RolloutConfig {
    fn default() -> Self {
        Self { mode: RolloutMode::Steps, envs: 8, steps: 32, workers: 1 }
    }
}

/// Environment steps where nobody has said how many.
pub(crate) const ENV_STEPS: u64 = 500_000;

/// `[run]`: how long, with which seed, and how the result is judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RunConfig {
    /// Environment steps to train for, all environments counted together, 1 or more; by default what is customary.
    ///
    /// That is what the registry knows for the environment, and else the number below.
    pub env_steps: u64,
    /// Seconds to train for, the schedules over this time; a given `env_steps` may end the run before.
    ///
    /// A run that the clock ends has other numbers each time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// The folder of an earlier run, whose policy and critics this run begins with; its spaces must be the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Names every stream of random numbers of the run, 0 to 9223372036854775807.
    pub seed: u64,
    /// Stop as soon as the mean return of the last 100 episodes reaches the environment's threshold.
    pub stop_when_solved: bool,
    /// Episodes per evaluation; 0: no evaluation.
    pub evaluation_episodes: usize,
    /// Environment steps between evaluations; 0: evaluate at the end only.
    pub evaluation_every_env_steps: u64,
    /// Keep the model with the best evaluation as `best` beside the latest; without evaluation, by the return in training.
    /// That is the mean of 100 episodes, and the best among those that were saved.
    pub keep_best: bool,
    /// Updates per row of metrics.csv, 1 or more.
    pub log_every_updates: u64,
}

impl Default for RunConfig {
    fn default() -> Self {
        Self {
            env_steps: ENV_STEPS,
            seconds: None,
            from: None,
            seed: 0,
            stop_when_solved: false,
            evaluation_episodes: 20,
            evaluation_every_env_steps: 0,
            keep_best: true,
            log_every_updates: 1,
        }
    }
}

/// `[checkpoint]`: when the state of the run is saved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CheckpointConfig {
    /// Environment steps between checkpoints; 0: only at the end and when the run is interrupted.
    /// If left out, 100 000, but for checkpoints that would make all of them take more than a hundredth of the time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every_env_steps: Option<u64>,
    /// Keep what an agent has stored to learn from again (ddpg, td3, sac, relax-ddpg and the model's control variate). Without, a
    /// checkpoint is small, and a resumed run takes no gradient step on stored transitions until as many are stored again as it began with.
    pub replay: bool,
}

impl Default for CheckpointConfig {
    fn default() -> Self {
        Self { every_env_steps: None, replay: true }
    }
}

impl CheckpointConfig {
    /// Environment steps between checkpoints where [`every_env_steps`](Self::every_env_steps) is left out.
    pub const EVERY: u64 = 100_000;

    /// Environment steps between checkpoints.
    #[must_use]
    pub fn every(&self) -> u64 {
        self.every_env_steps.unwrap_or(Self::EVERY)
    }
}

impl Config {
    /// A configuration with every default, for the agent `kind` on the environment `id`.
    ///
    /// # Errors
    /// If there is no such agent.
    pub fn new(id: &str, kind: &str) -> Result<Self, ConfigError> {
        let (id, kind) = (toml::Value::from(id), toml::Value::from(kind));
        Self::from_toml(&format!("env.id = {id}\nagent.kind = {kind}\n"), "configuration", &[])
    }

    /// The settings of the agent.
    #[must_use]
    pub fn settings(&self) -> AgentSettings {
        AgentSettings {
            kind: self.agent.kind.clone(),
            agent: self.agent.keys.clone(),
            learner: self.learner.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
