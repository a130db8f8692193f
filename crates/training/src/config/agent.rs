//! The sections `[agent]` and `[learner]`, whose keys are those of the agent that `agent.kind` names: found out first, from the
//! file and the overrides, before any key is checked.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use relax_agents::{AgentSpec, RolloutShape, agent_names, agent_spec, agent_specs};
use relax_runtime::config::{self, ConfigError, Document, Keys, Origin, Reading, Shape};
use serde_json::{Map, Value, json};

use super::document::RENAMED;
use super::{Config, ENV_STEPS, RolloutMode};

/// Steps of a batch of whole episodes, where a configuration does not say how many play: as many as leave some hundred updates in
/// the shortest of the customary budgets.
const EPISODE_ROWS: f64 = 400.0;

/// Section, key and what runs did that were recorded before there was the key: a run records every key that there is.
fn newer() -> [(&'static str, &'static str, toml::Value); 2] {
    [("learner", "bounds_loss", 0.0.into()), ("agent", "encoder", "mlp".into())]
}

/// The schema of a configuration whose agent is `spec`; of one of any agent if there is none.
pub(super) fn schema(mut base: Value, spec: Option<&AgentSpec>) -> Value {
    let all = agent_specs();
    let of: Vec<&AgentSpec> = spec.map_or_else(|| all.iter().collect(), |spec| vec![spec]);
    let kind = base.pointer("/$defs/AgentConfig/properties/kind").cloned().unwrap_or_default();
    for section in ["agent", "learner"] {
        let mut properties = Map::new();
        if section == "agent" {
            properties.insert("kind".to_owned(), kind.clone());
        }
        for spec in &of {
            for (key, schema) in spec.schema(section)["properties"].as_object().into_iter().flatten() {
                properties.entry(key).or_insert_with(|| schema.clone());
            }
        }
        let place = &mut base["properties"][section];
        let description = place.get("description").cloned().unwrap_or_default();
        *place = json!({
            "type": "object", "description": description, "properties": properties, "additionalProperties": false,
        });
    }
    base["properties"]["agent"]["required"] = json!(["kind"]);
    if let Some(definitions) = base["$defs"].as_object_mut() {
        definitions.remove("AgentConfig");
    }
    base
}

/// The keys of a configuration whose agent is `spec`, or of any agent; made once, and once more after an agent was registered.
pub(super) fn keys(spec: Option<&AgentSpec>) -> Arc<Keys> {
    type Kept = (Option<&'static str>, usize, Arc<Keys>);
    static KEPT: RwLock<Vec<Kept>> = RwLock::new(Vec::new());
    // Agents are never taken away, and no two have the same name.
    let (name, agents) = (spec.map(AgentSpec::name), agent_names().len());
    {
        let kept = KEPT.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((.., keys)) = kept.iter().find(|(of, then, _)| (*of, *then) == (name, agents)) {
            return Arc::clone(keys);
        }
    }
    let made = Keys::new(&schema(base(), spec), Config::SCHEMA_COMMAND);
    let made = Arc::new(match spec {
        Some(spec) => made.with_elsewhere(elsewhere(spec)),
        None => made,
    });
    let mut kept = KEPT.write().unwrap_or_else(PoisonError::into_inner);
    kept.retain(|(.., then, _)| *then == agents);
    kept.push((name, agents, Arc::clone(&made)));
    made
}

/// Keys that are not `spec`'s but other agents', and those of earlier versions, with what to say of them.
fn elsewhere(spec: &AgentSpec) -> BTreeMap<String, String> {
    let all = agent_specs();
    let mut elsewhere = BTreeMap::new();
    for key in keys(None).names().filter(|key| !spec.has(key)) {
        let owners: Vec<&str> = all.iter().filter(|other| other.has(key)).map(AgentSpec::name).collect();
        if !owners.is_empty() {
            let message = format!("`{key}` is a key of {}, not of {}", list(&owners), spec.name());
            elsewhere.insert(key.to_owned(), message);
        }
    }
    for (old, new) in RENAMED {
        elsewhere.insert((*old).to_owned(), format!("`{old}` is called `{new}` now"));
    }
    elsewhere
}

/// What `agent.kind` is in the text, and in the end.
fn kinds(table: &toml::Table, overrides: &[String]) -> (Option<String>, Option<String>) {
    let in_file = table.get("agent").and_then(|agent| agent.get("kind")).and_then(toml::Value::as_str);
    let set = overrides.iter().rev().find_map(|text| {
        let (key, value) = text.split_once('=')?;
        (key.trim() == "agent.kind").then(|| value.trim().trim_matches(['"', '\'']).to_owned())
    });
    let in_file = in_file.map(str::to_owned);
    (in_file.clone(), set.filter(|kind| !kind.is_empty()).or(in_file))
}

/// The keys of `[agent]` and `[learner]` in a text, dotted, without those of nested tables.
fn own_keys(table: &toml::Table) -> Vec<String> {
    let of = |section: &'static str| {
        let keys = table.get(section).and_then(toml::Value::as_table).into_iter().flat_map(toml::Table::keys);
        keys.map(move |key| format!("{section}.{key}")).collect::<Vec<_>>()
    };
    [of("agent"), of("learner")].concat()
}

pub(super) fn shape(
    table: &toml::Table,
    overrides: &[String],
    reading: Reading,
) -> Result<Shape, ConfigError> {
    let (in_file, kind) = kinds(table, overrides);
    let Some(kind) = kind else { return Ok(Shape::new(keys(None))) };
    let Some(spec) = agent_spec(&kind) else {
        let message = format!("`agent.kind`: {}", relax_agents::registry::unknown_agent(&kind));
        let hint = keys(None).describe("agent.kind").map(|text| format!("agent.kind: {text}"));
        return Err(ConfigError::new(Origin::Program, Some("agent.kind"), message).with_hint(hint));
    };
    let keys = keys(Some(&spec));
    // Keys of the agent that the file was written for go with it.
    let others = in_file.filter(|old| *old != kind).and_then(|old| agent_spec(&old));
    let dropped: Vec<String> = own_keys(table)
        .into_iter()
        .filter(|key| !spec.has(key))
        .filter(|key| match reading {
            Reading::Recorded => keys.is_elsewhere(key),
            Reading::Written => others.as_ref().is_some_and(|old| old.has(key)),
        })
        .collect();
    let mut defaults = defaults(&spec, table, overrides);
    if reading == Reading::Recorded {
        for (section, key, then) in newer() {
            if spec.has(&format!("{section}.{key}")) {
                let own = defaults.entry(section).or_insert_with(|| toml::Table::new().into());
                own.as_table_mut().and_then(|own| own.insert(key.to_owned(), then));
            }
        }
    }
    let mut shape = Shape { defaults, dropped, ..Shape::new(keys) };
    if reading == Reading::Written && !shape.dropped.is_empty() {
        let names: Vec<&str> = shape.dropped.iter().map(String::as_str).collect();
        shape.notes.push(format!("{kind} has no {}: left out", list(&names)));
    }
    Ok(shape)
}

/// The schema as the struct has it, without any agent's keys.
pub(super) fn base() -> Value {
    let mut schema =
        schemars::generate::SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Config>();
    schema.insert("title".to_owned(), Config::TITLE.into());
    schema.to_value()
}

/// What depends on the agent and the environment: the kind of rollout and its episodes, who gathers it, how often a row is logged, and the
/// budget that is customary.
fn defaults(spec: &AgentSpec, table: &toml::Table, overrides: &[String]) -> toml::Table {
    let rollout = spec.default_rollout();
    let mode = if rollout.episodes { "episodes" } else { "steps" };
    let mut own = toml::Table::new();
    let set = |name: &str| {
        let given = overrides.iter().rev().filter_map(|text| text.split_once('='));
        let found = given.filter(|(key, _)| key.trim() == name).map(|(_, value)| value.trim()).next();
        found.map(|value| value.trim_matches(['"', '\'']).to_owned())
    };
    let in_file = |section: &str, key: &str| table.get(section).and_then(|section| section.get(key));
    let id = set("env.id").or_else(|| in_file("env", "id")?.as_str().map(str::to_owned));
    let limit = set("env.max_episode_steps").and_then(|value| value.parse().ok());
    let limit = limit.or_else(|| in_file("env", "max_episode_steps")?.as_integer());
    let limit = limit.or_else(|| relax_envs::known_limit(id.as_deref()?).map(i64::from));
    let by_limit = limit.filter(|_| rollout.episodes);
    let envs = by_limit.map_or(rollout.envs, |limit| whole_episodes(limit, rollout.envs));
    own.insert("mode".into(), mode.into());
    own.insert("envs".into(), (envs as i64).into());
    own.insert("steps".into(), (rollout.steps as i64).into());
    // Who learns from every single step waits for it, and is not logged at each.
    let learns_singly = !rollout.episodes && rollout.envs * rollout.steps == 1;
    let count = |key: &str, default: usize| {
        let set = set(&format!("rollout.{key}")).and_then(|value| value.parse().ok());
        set.or_else(|| in_file("rollout", key)?.as_integer()).unwrap_or(default as i64)
    };
    let single = learns_singly && count("envs", envs) == 1 && count("steps", rollout.steps) == 1;
    own.insert("workers".into(), i64::from(!single).into());
    let mut all = toml::Table::new();
    all.insert("rollout".into(), own.into());

    if let Some(limit) = limit.filter(|_| spec.discounts_by_limit()) {
        let mut learner = toml::Table::new();
        learner.insert("gamma".into(), discount(limit).into());
        all.insert("learner".into(), learner.into());
    }

    let steps = if set("run.seconds").is_some() || in_file("run", "seconds").is_some() {
        // Time alone ends the run.
        i64::MAX as u64
    } else {
        let budget = id.and_then(|id| relax_envs::budget(&id));
        budget.map_or(ENV_STEPS, |budget| if learns_singly { budget.replay } else { budget.on_policy })
    };
    let mut run = toml::Table::new();
    run.insert("env_steps".into(), (steps as i64).into());
    run.insert("log_every_updates".into(), if single { 100 } else { 1 }.into());
    all.insert("run".into(), run.into());
    all
}

/// How many whole episodes of at most `limit` steps make a batch of some [`EPISODE_ROWS`], of at most `most`: long ones in many
/// environments would leave few updates.
fn whole_episodes(limit: i64, most: usize) -> usize {
    let episodes = (EPISODE_ROWS / limit.max(1) as f64).round() as usize;
    episodes.clamp(1, most)
}

/// The γ whose horizon, 1/(1 − γ), is `limit` steps, from 100 to 1000: what an episode ends with is to be seen from its start, and
/// beyond a thousand steps returns are too noisy to learn from.
fn discount(limit: i64) -> f64 {
    let gamma = 1.0 - 1.0 / limit.clamp(100, 1000) as f64;
    (gamma * 1e4).round() / 1e4
}

/// The schema with the defaults of `[rollout]` and `[run]` that this agent has, whatever the environment.
pub(super) fn with_defaults(schema: &mut Value, spec: &AgentSpec) {
    for (section, own) in &defaults(spec, &toml::Table::new(), &[]) {
        let place = schema["properties"][section]["$ref"].as_str().and_then(|name| name.strip_prefix('#'));
        let place = place.map_or_else(|| format!("/properties/{section}"), str::to_owned);
        for (key, value) in own.as_table().into_iter().flatten() {
            let value = json!(value);
            schema["properties"][section]["default"][key] = value.clone();
            if let Some(property) = schema.pointer_mut(&format!("{place}/properties/{key}")) {
                property["default"] = value;
            }
        }
    }
}

/// `a, b and c`.
fn list(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [some @ .., last] => format!("{} and {last}", some.join(", ")),
    }
}

impl Config {
    fn spec(&self) -> Result<AgentSpec, ConfigError> {
        agent_spec(&self.agent.kind).ok_or_else(|| {
            let message =
                format!("`agent.kind`: {}", relax_agents::registry::unknown_agent(&self.agent.kind));
            ConfigError::new(Origin::Program, Some("agent.kind"), message)
        })
    }

    /// The same with every key of its agent in it, and checked.
    pub(super) fn completed(mut self) -> Result<Self, ConfigError> {
        let spec = self.spec()?;
        let complete = spec
            .complete(&self.settings())
            .map_err(|(section, error)| config::misread::<Self>(&error, section, &keys(Some(&spec))))?;
        (self.agent.keys, self.learner) = (complete.agent, complete.learner);
        self.validate()?;
        Ok(self)
    }

    /// What a rollout is made of.
    #[must_use]
    pub fn rollout_shape(&self) -> RolloutShape {
        let episodes = self.rollout.mode == RolloutMode::Episodes;
        RolloutShape { episodes, envs: self.rollout.envs, steps: self.rollout.steps }
    }

    pub(super) fn validate_agent(&self) -> Result<(), ConfigError> {
        self.spec()?.refuse(&self.settings(), self.rollout_shape()).map_err(refused)
    }

    /// Refuses a configuration with whose estimator the variance has no parts.
    ///
    /// # Errors
    /// Names the key, and what would be right.
    pub fn check_dissection(&self) -> Result<(), ConfigError> {
        self.spec()?.refuse_dissection(&self.settings()).map_err(refused)
    }
}

fn refused(refusal: relax_agents::Refusal) -> ConfigError {
    let hint = Some(refusal.hint).filter(|hint| !hint.is_empty());
    ConfigError::new(Origin::Program, Some(&refusal.key), refusal.message).with_hint(hint)
}
