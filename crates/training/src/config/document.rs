//! [`Config`] as a kind of configuration file.

use std::path::Path;
use std::sync::Arc;

use relax_agents::agent_spec;
use relax_runtime::config::{self, ConfigError, Document, Keys, Reading, Shape};
use serde_json::Value;

use super::{Config, agent};

impl Document for Config {
    const TITLE: &'static str = "Configuration of a relax run";
    const SCHEMA_COMMAND: &'static str = "relax config schema";

    fn check(&self) -> Result<(), ConfigError> {
        self.validate()
    }

    fn schema() -> Value {
        agent::schema(agent::base(), None)
    }

    fn keys() -> Arc<Keys> {
        agent::keys(None)
    }

    fn shape(table: &toml::Table, overrides: &[String], reading: Reading) -> Result<Shape, ConfigError> {
        agent::shape(table, overrides, reading)
    }

    fn complete(self) -> Result<Self, ConfigError> {
        self.completed()
    }

    fn example(key: &str) -> Option<&'static str> {
        match key {
            "env" | "env.id" => Some("[env]\n        id = \"CartPole-v1\""),
            "agent" | "agent.kind" => Some("[agent]\n        kind = \"relax-a2c\""),
            _ => None,
        }
    }
}

/// Keys of earlier versions, and what they are called now.
pub(super) const RENAMED: &[(&str, &str)] = &[("agent.form", "agent.control_variate")];

impl Config {
    /// Reads the TOML file `path`, applies `overrides` (each `KEY=VALUE`, the later ones winning) and checks the result.
    ///
    /// # Errors
    /// Names the file and line (or the override), the key and what would be right.
    pub fn load(path: &Path, overrides: &[String]) -> Result<Self, ConfigError> {
        config::load(path, overrides)
    }

    /// As [`Config::load`]; with notes for the user: keys of another agent that were left out because an override names this
    /// one.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_noting(path: &Path, overrides: &[String]) -> Result<(Self, Vec<String>), ConfigError> {
        let text = config::read_text(path)?;
        config::read(&text, &path.display().to_string(), overrides, Reading::Written)
    }

    /// Reads what a run recorded, perhaps with an earlier version, which wrote down the keys of all agents: those of others
    /// are left out, and renamed keys are taken for what they are called now.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn recorded(text: &str, name: &str, overrides: &[String]) -> Result<Self, ConfigError> {
        let mut text = text.to_owned();
        for (old, new) in RENAMED {
            let [old, new] = [old, new].map(|key| key.rsplit('.').next().unwrap_or(key));
            text = text.replace(&format!("\n{old} = "), &format!("\n{new} = "));
        }
        config::read(&text, name, overrides, Reading::Recorded).map(|(config, _)| config)
    }

    /// As [`Config::recorded`], from the file `path`.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_recorded(path: &Path) -> Result<Self, ConfigError> {
        Self::recorded(&config::read_text(path)?, &path.display().to_string(), &[])
    }

    /// Reads a configuration from TOML text; `name` stands for the file in messages.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn from_toml(text: &str, name: &str, overrides: &[String]) -> Result<Self, ConfigError> {
        config::from_toml(text, name, overrides)
    }

    /// The configuration with `overrides` applied and checked.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn with_overrides(&self, overrides: &[String]) -> Result<Self, ConfigError> {
        Self::from_toml(&self.to_toml(), "configuration", overrides)
    }

    /// The complete configuration, defaults included, as TOML that reads back to an equal value.
    #[must_use]
    pub fn to_toml(&self) -> String {
        config::to_toml(self)
    }
}

/// Checks that `overrides` change only what may change when a run is resumed: `run.*` but the seed, and
/// `rollout.workers`.
///
/// # Errors
/// If one of them changes anything else, which would make the rest of the run another experiment.
pub fn check_resume_overrides(overrides: &[String]) -> Result<(), ConfigError> {
    let allowed = |key: &str| key == "rollout.workers" || (key.starts_with("run.") && key != "run.seed");
    let hint = "only run.* (not the seed) and rollout.workers may; for anything else start a new run with `relax train`";
    config::check_resume::<Config>(overrides, allowed, hint)
}

/// The JSON schema of a configuration: every key with its meaning, type and default. Of those of one agent if `kind` names
/// it, else of any agent's.
///
/// Editors complete and check TOML files with it.
///
/// # Errors
/// If there is no such agent.
pub fn json_schema(kind: Option<&str>) -> Result<Value, ConfigError> {
    let Some(kind) = kind else { return Ok(config::schema_of::<Config>()) };
    let spec = agent_spec(kind).ok_or_else(|| {
        let message = relax_agents::registry::unknown_agent(kind).to_string();
        ConfigError::new(config::Origin::Program, Some("agent.kind"), message)
    })?;
    let mut schema = agent::schema(agent::base(), Some(&spec));
    agent::with_defaults(&mut schema, &spec);
    Ok(schema)
}
