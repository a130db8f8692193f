//! Which agents there are: what each is called, which keys of `[agent]` and `[learner]` are its own, what they are when a
//! configuration leaves them out, what it refuses before anything runs, and how it is made.
//!
//! [`register_agent`] adds one of your own, which then has the whole command line.

use crate::encoders::refuse_pictures;
use crate::settings::{AgentSettings, Refusal, check_ranges};
use crate::{Agent, AgentError, Metrics, certify::Problem};
use relax_envs::Space;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

/// Keys of a section of a configuration: a serde struct whose fields all have defaults (`#[serde(default,
/// deny_unknown_fields)]`) and whose documentation describes them.
pub trait Keys: Serialize + DeserializeOwned + JsonSchema + Default + 'static {}

impl<T: Serialize + DeserializeOwned + JsonSchema + Default + 'static> Keys for T {}

/// What an agent is made for.
#[derive(Debug, Clone, Copy)]
pub struct Task<'a> {
    /// What it observes.
    pub observations: &'a Space,
    /// What it chooses from.
    pub actions: &'a Space,
    /// Names its random streams.
    pub seed: u64,
}

/// What a rollout is made of where a configuration does not say, and what it was found to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RolloutShape {
    /// Whole episodes rather than a number of steps.
    pub episodes: bool,
    /// Environments side by side.
    pub envs: usize,
    /// Steps of each.
    pub steps: usize,
}

impl Default for RolloutShape {
    fn default() -> Self {
        Self { episodes: false, envs: 8, steps: 32 }
    }
}

/// Why a section's text is not one of the agent's: the section, and what serde says.
pub type SectionError = (&'static str, toml::de::Error);

/// An agent, or why it could not be made.
pub type Made = Result<Box<dyn Agent>, AgentError>;

type Complete = dyn Fn(&AgentSettings) -> Result<AgentSettings, SectionError> + Send + Sync;
type Check = dyn Fn(&AgentSettings, RolloutShape) -> Result<(), Refusal> + Send + Sync;
type Dissect = dyn Fn(&AgentSettings) -> Result<(), Refusal> + Send + Sync;
type Describe = dyn Fn(&AgentSettings) -> String + Send + Sync;
type Make = dyn Fn(&AgentSettings, Task<'_>) -> Made + Send + Sync;

/// An agent's line of the registry.
///
/// ```
/// use relax_agents::{AgentSpec, Refusal};
/// use relax_agents::a2c::{A2c, A2cKeys, A2cLearner};
///
/// let spec = AgentSpec::new("mine", "A2C under another name", |agent: &A2cKeys, learner: &A2cLearner, task| {
///     Ok(Box::new(A2c::new(task, agent, learner)?))
/// })
/// .check(|_: &A2cKeys, learner: &A2cLearner, _| match learner.lambda {
///     0.0 => Err(Refusal::new("learner.lambda", "`learner.lambda` is 0, which is TD", "take 0.95")),
///     _ => Ok(()),
/// });
/// relax_agents::register_agent(spec)?;
/// assert!(relax_agents::agent_spec("mine").is_some());
/// # Ok::<(), relax_agents::AgentError>(())
/// ```
#[derive(Clone)]
pub struct AgentSpec {
    name: &'static str,
    summary: &'static str,
    schemas: Arc<[Value; 2]>,
    defaults: Arc<AgentSettings>,
    rollout: RolloutShape,
    discounts_by_limit: bool,
    certified: &'static [(&'static str, Problem)],
    reports: &'static [&'static str],
    complete: Arc<Complete>,
    check: Arc<Check>,
    dissect: Arc<Dissect>,
    describe: Arc<Describe>,
    make: Arc<Make>,
}

impl fmt::Debug for AgentSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentSpec").field("name", &self.name).field("defaults", &self.defaults).finish()
    }
}

/// Reads a section as its struct.
fn read<T: Keys>(section: &'static str, table: &toml::Table) -> Result<T, SectionError> {
    toml::Value::Table(table.clone()).try_into().map_err(|error| (section, error))
}

fn write<T: Keys>(keys: &T) -> toml::Table {
    toml::Table::try_from(keys).unwrap_or_default()
}

fn both<A: Keys, L: Keys>(settings: &AgentSettings) -> Result<(A, L), SectionError> {
    Ok((read("agent", &settings.agent)?, read("learner", &settings.learner)?))
}

/// The schema of a section, with every definition in its place and the agent's own defaults, those in nested tables too.
fn schema<T: Keys>() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    let defaults = serde_json::to_value(T::default()).unwrap_or_default();
    put_defaults(&mut schema, &defaults);
    schema
}

fn put_defaults(schema: &mut Value, defaults: &Value) {
    for (key, default) in defaults.as_object().into_iter().flatten() {
        if let Some(property) = schema.pointer_mut(&format!("/properties/{key}")) {
            property["default"] = default.clone();
            put_defaults(property, default);
        }
    }
}

/// `given` with what it leaves out of `defaults`, in nested tables too: an agent's defaults there are its own.
fn filled(given: &toml::Table, defaults: &toml::Table) -> toml::Table {
    let mut all = given.clone();
    for (key, default) in defaults {
        match (all.get_mut(key), default) {
            (Some(toml::Value::Table(inner)), toml::Value::Table(default)) => *inner = filled(inner, default),
            (Some(_), _) => {}
            (None, _) => {
                all.insert(key.clone(), default.clone());
            }
        }
    }
    all
}

fn unreadable((section, error): SectionError) -> AgentError {
    AgentError::Config(format!("[{section}]: {}", error.message()))
}

impl AgentSpec {
    /// An agent called `name` (in `agent.kind`), whose `[agent]` keys beyond `kind` are `A` and whose `[learner]` keys are
    /// `L`, made by `make`.
    #[must_use]
    pub fn new<A: Keys, L: Keys>(
        name: &'static str,
        summary: &'static str,
        make: fn(&A, &L, Task<'_>) -> Made,
    ) -> Self {
        let (agent, learner) = (write(&A::default()), write(&L::default()));
        let defaults = Arc::new(AgentSettings { kind: name.to_owned(), agent, learner });
        let own = Arc::clone(&defaults);
        Self {
            name,
            summary,
            schemas: Arc::new([schema::<A>(), schema::<L>()]),
            defaults,
            rollout: RolloutShape::default(),
            discounts_by_limit: false,
            certified: &[],
            reports: &[],
            complete: Arc::new(move |settings| {
                let given = AgentSettings {
                    kind: name.to_owned(),
                    agent: filled(&settings.agent, &own.agent),
                    learner: filled(&settings.learner, &own.learner),
                };
                let (agent, learner) = both::<A, L>(&given)?;
                Ok(AgentSettings { agent: write(&agent), learner: write(&learner), ..given })
            }),
            check: Arc::new(|_, _| Ok(())),
            dissect: Arc::new(|_| Ok(())),
            describe: Arc::new(move |_| name.to_owned()),
            make: Arc::new(move |settings, task| {
                let (agent, learner) = both::<A, L>(settings).map_err(unreadable)?;
                make(&agent, &learner, task)
            }),
        }
    }

    /// What a rollout is made of where a configuration does not say.
    #[must_use]
    pub fn rollout(mut self, rollout: RolloutShape) -> Self {
        self.rollout = rollout;
        self
    }

    /// A configuration that leaves out `learner.gamma` gets the γ whose horizon is the environment's time limit, where that is known.
    #[must_use]
    pub fn discount_by_limit(mut self) -> Self {
        self.discounts_by_limit = true;
        self
    }

    /// Whether `learner.gamma` is that of the time limit where a configuration leaves it out.
    #[must_use]
    pub fn discounts_by_limit(&self) -> bool {
        self.discounts_by_limit
    }

    /// What is refused before anything runs, beyond the ranges of the [keys that all agents share](crate::settings).
    #[must_use]
    pub fn check<A: Keys, L: Keys>(mut self, check: fn(&A, &L, RolloutShape) -> Result<(), Refusal>) -> Self {
        self.check = Arc::new(move |settings, rollout| match both(settings) {
            Ok((agent, learner)) => check(&agent, &learner, rollout),
            Err((section, error)) => Err(Refusal::new(section, error.message().to_owned(), "")),
        });
        self
    }

    /// Whether the variance of its estimator can be split by states and actions (`relax variance`): not if it has none,
    /// or if it ties the rows of a batch to one another.
    #[must_use]
    pub fn dissect<A: Keys, L: Keys>(mut self, check: fn(&A, &L) -> Result<(), Refusal>) -> Self {
        self.dissect = Arc::new(move |settings| match both(settings) {
            Ok((agent, learner)) => check(&agent, &learner),
            Err((section, error)) => Err(Refusal::new(section, error.message().to_owned(), "")),
        });
        self
    }

    /// Says that the agent has no estimator of a policy gradient, which cannot be dissected then.
    #[must_use]
    pub fn without_estimator(mut self) -> Self {
        let name = self.name;
        self.dissect = Arc::new(move |_| Err(Refusal::no_estimator(name)));
        self
    }

    /// Says that the agent has no encoder: pictures are refused.
    #[must_use]
    pub fn without_pictures(mut self) -> Self {
        let (name, make) = (self.name, self.make);
        self.make = Arc::new(move |settings, task| {
            refuse_pictures(name, task.observations)?;
            make(settings, task)
        });
        self
    }

    /// The agent's name with the settings that make another estimator of it.
    #[must_use]
    pub fn describe<A: Keys>(mut self, describe: fn(&A) -> String) -> Self {
        let name = self.name;
        self.describe = Arc::new(move |settings| {
            read::<A>("agent", &settings.agent).map_or_else(|_| name.to_owned(), |agent| describe(&agent))
        });
        self
    }

    /// What `relax certify` holds it to: its `[agent]` keys, TOML, and a problem whose exact gradient is known.
    #[must_use]
    pub fn certified(mut self, lines: &'static [(&'static str, Problem)]) -> Self {
        self.certified = lines;
        self
    }

    /// Which of [`Metrics::OPTIONAL`] it reports beside the figures that every agent's table has.
    #[must_use]
    pub fn reports(mut self, names: &'static [&'static str]) -> Self {
        self.reports = names;
        self
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What it is, in a few words.
    #[must_use]
    pub fn summary(&self) -> &'static str {
        self.summary
    }

    /// The JSON schema of a section, `"agent"` or `"learner"`.
    #[must_use]
    pub fn schema(&self, section: &str) -> &Value {
        &self.schemas[usize::from(section != "agent")]
    }

    /// Its settings when a configuration says nothing.
    #[must_use]
    pub fn defaults(&self) -> &AgentSettings {
        &self.defaults
    }

    /// What a rollout is made of when a configuration does not say; of whole episodes fewer if they are long.
    #[must_use]
    pub fn default_rollout(&self) -> RolloutShape {
        self.rollout
    }

    /// What it is certified on.
    #[must_use]
    pub fn certificates(&self) -> &'static [(&'static str, Problem)] {
        self.certified
    }

    /// Whether its table of metrics has the figure called `name`.
    #[must_use]
    pub fn has_metric(&self, name: &str) -> bool {
        !Metrics::OPTIONAL.contains(&name) || self.reports.contains(&name)
    }

    /// Whether a dotted key such as `agent.gain` is one of its own, or lies in one.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        let Some((section @ ("agent" | "learner"), rest)) = key.split_once('.') else { return false };
        if key == "agent.kind" {
            return true;
        }
        let mut schema = Some(self.schema(section));
        for name in rest.split('.') {
            schema = schema.and_then(|schema| schema.get("properties")).and_then(|keys| keys.get(name));
        }
        schema.is_some()
    }

    /// The settings with every default filled in.
    ///
    /// # Errors
    /// If a key is not its own, or a value of the wrong type.
    pub fn complete(&self, settings: &AgentSettings) -> Result<AgentSettings, SectionError> {
        (self.complete)(settings)
    }

    /// Refuses settings that it could not be made or trained with.
    ///
    /// # Errors
    /// Names the key, and what would be right.
    pub fn refuse(&self, settings: &AgentSettings, rollout: RolloutShape) -> Result<(), Refusal> {
        check_ranges(settings)?;
        (self.check)(settings, rollout)
    }

    /// Refuses settings with whose estimator the variance has no parts.
    ///
    /// # Errors
    /// Names the key, and what would be right.
    pub fn refuse_dissection(&self, settings: &AgentSettings) -> Result<(), Refusal> {
        (self.dissect)(settings)
    }

    /// The agent's name with the settings that make another estimator of it.
    #[must_use]
    pub fn described(&self, settings: &AgentSettings) -> String {
        (self.describe)(settings)
    }
}

/// The agents of this crate, in the order of its documentation.
fn own() -> Vec<AgentSpec> {
    let specs = vec![
        crate::reinforce::spec(),
        crate::a2c::spec(),
        crate::relax_a2c::spec(),
        crate::ppo::spec(),
        crate::ddpg::spec(),
        crate::td3::spec(),
        crate::sac::spec(),
        crate::relax_ddpg::spec(),
    ];
    specs
        .into_iter()
        .map(|spec| if spec.has("agent.encoder") { spec } else { spec.without_pictures() })
        .collect()
}

/// All agents, this crate's first.
static AGENTS: RwLock<Vec<AgentSpec>> = RwLock::new(Vec::new());

/// All agents, this crate's first.
#[must_use]
pub fn agent_specs() -> Vec<AgentSpec> {
    with_specs(<[_]>::to_vec)
}

/// What `look` sees among all agents.
fn with_specs<T>(look: impl Fn(&[AgentSpec]) -> T) -> T {
    {
        let all = AGENTS.read().unwrap_or_else(PoisonError::into_inner);
        if !all.is_empty() {
            return look(&all);
        }
    }
    let mut all = AGENTS.write().unwrap_or_else(PoisonError::into_inner);
    if all.is_empty() {
        all.extend(own());
    }
    look(&all)
}

/// The agent called `name`.
#[must_use]
pub fn agent_spec(name: &str) -> Option<AgentSpec> {
    with_specs(|all| all.iter().find(|spec| spec.name == name).cloned())
}

/// The names of all agents.
#[must_use]
pub fn agent_names() -> Vec<&'static str> {
    with_specs(|all| all.iter().map(|spec| spec.name).collect())
}

/// Adds an agent: configurations can name it from now on.
///
/// # Errors
/// If there is an agent of this name.
pub fn register_agent(spec: AgentSpec) -> Result<(), AgentError> {
    let _ = agent_specs();
    let mut all = AGENTS.write().unwrap_or_else(PoisonError::into_inner);
    if all.iter().any(|other| other.name == spec.name) {
        return Err(AgentError::Config(format!("there is an agent called \"{}\" already", spec.name)));
    }
    all.push(spec);
    Ok(())
}

/// Makes the agent that settings ask for.
///
/// # Errors
/// If there is no such agent, or the spaces or settings do not fit it.
pub fn make_agent(settings: &AgentSettings, observations: &Space, actions: &Space, seed: u64) -> Made {
    let spec = agent_spec(&settings.kind).ok_or_else(|| unknown_agent(&settings.kind))?;
    (spec.make)(settings, Task { observations, actions, seed })
}

/// What to say of an agent that there is not.
#[must_use]
pub fn unknown_agent(name: &str) -> AgentError {
    let names: Vec<String> = agent_names().iter().map(|name| format!("`{name}`")).collect();
    AgentError::Config(format!("there is no agent `{name}`; there are {}", names.join(", ")))
}
