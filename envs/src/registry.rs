//! The registry: environments by id, the built-in ones and a user's own.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::limits;
use crate::wrappers::{OrderEnforcing, TimeLimit, WrapperConfig};
use crate::{
    Budget, Env, EnvError, Kwargs, NativeVecEnv, VecEnv, Vectorization, catch, classic, minigrid, provider,
    tic_tac_toe,
};

/// Builds an environment from its keyword arguments.
pub type Constructor = Arc<dyn Fn(&Kwargs) -> Result<Box<dyn Env>, EnvError> + Send + Sync>;

/// What the registry knows about an environment.
#[derive(Clone)]
pub struct EnvSpec {
    /// Its id, `Name-vN` by custom.
    pub id: String,
    /// [`make`] truncates episodes after this many steps.
    pub max_episode_steps: Option<u32>,
    /// The mean return from which the task counts as solved.
    pub reward_threshold: Option<f64>,
    /// The mean return of uniformly random actions: what scaled returns call 0.
    pub random_return: Option<f64>,
    /// The best mean return known: what scaled returns call 1, where there is no threshold.
    pub best_return: Option<f64>,
    /// The customary budget, in place of the one that [`budget`](crate::budget()) knows by its name.
    pub budget: Option<Budget>,
    /// One line about the task.
    pub description: String,
    /// Builds the bare environment, without time limit or wrappers.
    pub constructor: Constructor,
}

impl EnvSpec {
    /// A spec without limit and threshold.
    pub fn new(
        id: impl Into<String>,
        description: impl Into<String>,
        constructor: impl Fn(&Kwargs) -> Result<Box<dyn Env>, EnvError> + Send + Sync + 'static,
    ) -> Self {
        Self {
            id: id.into(),
            max_episode_steps: None,
            reward_threshold: None,
            random_return: None,
            best_return: None,
            budget: None,
            description: description.into(),
            constructor: Arc::new(constructor),
        }
    }

    /// Sets the time limit.
    pub fn max_episode_steps(mut self, steps: u32) -> Self {
        self.max_episode_steps = Some(steps);
        self
    }

    /// Sets the return from which the task counts as solved.
    pub fn reward_threshold(mut self, mean_return: f64) -> Self {
        self.reward_threshold = Some(mean_return);
        self
    }

    /// Sets the environment steps that it is trained for where nobody says otherwise.
    pub fn budget(mut self, budget: Budget) -> Self {
        self.budget = Some(budget);
        self
    }

    /// Sets the mean return of uniformly random actions.
    pub fn random_return(mut self, mean_return: f64) -> Self {
        self.random_return = Some(mean_return);
        self
    }

    /// Sets the best mean return known.
    pub fn best_return(mut self, mean_return: f64) -> Self {
        self.best_return = Some(mean_return);
        self
    }

    /// Builds the environment: bare, then the time limit, then the wrappers in their order (the last is outermost).
    ///
    /// # Errors
    ///
    /// Those of the constructor and of the wrappers.
    pub fn make(&self, options: &MakeOptions) -> Result<Box<dyn Env>, EnvError> {
        let env = (self.constructor)(&options.kwargs)?;
        let mut env: Box<dyn Env> = match options.max_episode_steps.or(self.max_episode_steps) {
            Some(steps) => Box::new(TimeLimit::new(env, steps)?),
            None => Box::new(OrderEnforcing::new(env)),
        };
        for wrapper in &options.wrappers {
            env = wrapper.wrap(env)?;
        }
        Ok(env)
    }
}

impl fmt::Debug for EnvSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnvSpec")
            .field("id", &self.id)
            .field("max_episode_steps", &self.max_episode_steps)
            .field("reward_threshold", &self.reward_threshold)
            .field("random_return", &self.random_return)
            .field("best_return", &self.best_return)
            .field("budget", &self.budget)
            .field("description", &self.description)
            .finish_non_exhaustive()
    }
}

/// How [`make_with`] builds an environment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MakeOptions {
    /// The environment's own arguments.
    pub kwargs: Kwargs,
    /// A time limit in place of the registered one.
    pub max_episode_steps: Option<u32>,
    /// Wrappers around the environment and its time limit, innermost first.
    pub wrappers: Vec<WrapperConfig>,
    /// `gym:…` only: how the slots are stepped, [`Vectorization::Auto`] by default.
    pub vectorization: Option<Vectorization>,
    /// `gym:…` only: seconds that one call may take, 0 for no limit; [`MakeOptions::TIMEOUT`] by default.
    pub timeout: Option<f64>,
}

impl MakeOptions {
    /// Seconds that a call into a `gym:…` environment may take by default.
    pub const TIMEOUT: f64 = 120.0;

    /// The time that one call may take; none if there is no limit.
    pub fn time_limit(&self) -> Option<std::time::Duration> {
        let seconds = self.timeout.unwrap_or(Self::TIMEOUT);
        (seconds > 0.0)
            .then(|| std::time::Duration::try_from_secs_f64(seconds).unwrap_or(std::time::Duration::MAX))
    }
}

static REGISTRY: LazyLock<RwLock<BTreeMap<String, EnvSpec>>> =
    LazyLock::new(|| RwLock::new(built_in().into_iter().map(|spec| (spec.id.clone(), spec)).collect()));

/// What the registry starts with.
fn built_in() -> Vec<EnvSpec> {
    let mut specs = classic::specs();
    specs.extend(catch::specs());
    specs.extend(minigrid::specs());
    specs.extend(tic_tac_toe::specs());
    #[cfg(feature = "mujoco")]
    specs.extend(crate::mujoco::specs());
    #[cfg(feature = "box2d")]
    specs.extend(crate::box2d::specs());
    specs
}

/// Worlds of an optional part, as people call it: its cargo feature, and its ids.
type Part = (&'static str, &'static str, &'static [&'static str]);

/// The ids that a feature adds, so that a build without it can name what is missing.
const OPTIONAL: [Part; 2] = [
    (
        "MuJoCo",
        "mujoco",
        &[
            "Ant-v5",
            "HalfCheetah-v5",
            "Hopper-v5",
            "Humanoid-v5",
            "InvertedDoublePendulum-v5",
            "InvertedPendulum-v5",
            "Reacher-v5",
            "Swimmer-v5",
            "Walker2d-v5",
        ],
    ),
    ("Box2D", "box2d", &["BipedalWalker-v3", "LunarLander-v3", "LunarLanderContinuous-v3"]),
];

/// Ids that other builds of the program have, with the cargo feature that adds them.
pub fn missing_ids() -> Vec<(&'static str, &'static str)> {
    let registry = REGISTRY.read().unwrap_or_else(PoisonError::into_inner);
    let all = OPTIONAL.iter().flat_map(|(_, feature, ids)| ids.iter().map(move |id| (*id, *feature)));
    all.filter(|(id, _)| !registry.contains_key(*id)).collect()
}

/// Adds an environment, so that its id works wherever an id is taken.
///
/// ```
/// use relax_envs::{EnvSpec, register, make};
/// use relax_envs::classic::CartPole;
/// register(
///     EnvSpec::new("ShortCartPole-v0", "CartPole for 50 steps", |_| Ok(Box::new(CartPole::new(false))))
///         .max_episode_steps(50),
/// )?;
/// let env = make("ShortCartPole-v0", &Default::default())?;
/// # Ok::<(), relax_envs::EnvError>(())
/// ```
///
/// # Errors
///
/// [`EnvError::Registration`] if the id is empty, taken, or begins with a provider's prefix (`gym:`).
pub fn register(spec: EnvSpec) -> Result<(), EnvError> {
    let refuse = |id: String, reason: &str| Err(EnvError::Registration { id, reason: reason.to_owned() });
    if spec.id.is_empty() {
        return refuse(spec.id, "the id is empty");
    }
    if let Some(provider) = provider(&spec.id) {
        let reason =
            format!("ids that begin with `{}:` are kept for {}", provider.prefix(), provider.summary());
        return refuse(spec.id, &reason);
    }
    let mut registry = REGISTRY.write().unwrap_or_else(PoisonError::into_inner);
    if registry.contains_key(&spec.id) {
        return refuse(spec.id, "the id is taken");
    }
    registry.insert(spec.id.clone(), spec);
    Ok(())
}

/// The budget that the environment `id` was registered with.
pub(crate) fn registered_budget(id: &str) -> Option<Budget> {
    REGISTRY.read().unwrap_or_else(PoisonError::into_inner).get(id)?.budget
}

/// The time limit of the environment `id`, as far as it can be told without building anything or asking Python: its own, that
/// of the native environment of the same name and version, or Gymnasium's. None if there is none or it is not known.
///
/// ```
/// use relax_envs::known_limit;
/// assert_eq!(known_limit("gym:CartPole-v1"), Some(500));
/// assert_eq!(known_limit("gym:LunarLander-v3"), Some(1000));
/// assert_eq!(known_limit("Unheard-of-v0"), None);
/// ```
#[must_use]
pub fn known_limit(id: &str) -> Option<u32> {
    let registry = REGISTRY.read().unwrap_or_else(PoisonError::into_inner);
    let name = id.rsplit([':', '/']).next().unwrap_or(id);
    let native = registry.get(id).or_else(|| registry.get(name));
    native.map_or_else(|| limits::of_gymnasium(name), |native| native.max_episode_steps)
}

/// All registered ids in alphabetical order.
pub fn ids() -> Vec<String> {
    REGISTRY.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
}

/// What is registered under `id`.
///
/// # Errors
///
/// [`EnvError::UnknownEnv`] names the ids that look like it; those of a [`Provider`](crate::Provider) for its ids.
pub fn spec(id: &str) -> Result<EnvSpec, EnvError> {
    if let Some(provider) = provider(id) {
        return provider.spec(id);
    }
    let registry = REGISTRY.read().unwrap_or_else(PoisonError::into_inner);
    if let Some(spec) = registry.get(id) {
        return Ok(spec.clone());
    }
    if let Some((part, feature, _)) = OPTIONAL.iter().find(|(_, _, ids)| ids.contains(&id)) {
        return Err(EnvError::FeatureMissing { id: id.to_owned(), part, feature });
    }
    // Those that another build has are named too; asked for, they say what they need.
    let optional = OPTIONAL.iter().flat_map(|(.., ids)| ids.iter().copied());
    let optional = optional.filter(|id| !registry.contains_key(*id));
    Err(unknown(id, registry.keys().map(String::as_str).chain(optional)))
}

/// The error for an id that is none of `known`: those that look like it are named.
pub(crate) fn unknown<'a>(id: &str, known: impl Iterator<Item = &'a str>) -> EnvError {
    /// Less alike than this is no help.
    const ALIKE: f64 = 0.75;
    /// As much less alike than the nearest is another name.
    const MARGIN: f64 = 0.04;
    let wanted = id.to_lowercase();
    let mut near: Vec<(f64, &str)> = known
        .map(|candidate| (strsim::jaro_winkler(&candidate.to_lowercase(), &wanted), candidate))
        .filter(|(alike, _)| *alike >= ALIKE)
        .collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
    let best = near.first().map_or(0.0, |(alike, _)| *alike);
    let near = near.into_iter().take_while(|(alike, _)| *alike >= best - MARGIN).take(3);
    EnvError::UnknownEnv {
        id: id.to_owned(),
        near: near.map(|(_, candidate)| candidate.to_owned()).collect(),
    }
}

/// Builds a registered environment with its time limit.
///
/// ```
/// use relax_envs::{EnvRng, Kwarg, Kwargs, make};
/// let kwargs = Kwargs::from([("g".to_owned(), Kwarg::Float(9.81))]);
/// let mut env = make("Pendulum-v1", &kwargs)?;
/// env.reset(&mut EnvRng::from_seed(0), &mut [0.0; 3])?;
/// # Ok::<(), relax_envs::EnvError>(())
/// ```
///
/// # Errors
///
/// An unknown id, or arguments that the environment does not have.
pub fn make(id: &str, kwargs: &Kwargs) -> Result<Box<dyn Env>, EnvError> {
    make_with(id, &MakeOptions { kwargs: kwargs.clone(), ..MakeOptions::default() })
}

/// Builds a registered environment with its arguments, time limit and wrappers as given.
///
/// # Errors
///
/// Those of [`make`], and a wrapper that does not suit the environment.
pub fn make_with(id: &str, options: &MakeOptions) -> Result<Box<dyn Env>, EnvError> {
    spec(id)?.make(options)
}

/// Builds `slots` environments that are stepped together: native ones, or those of the id's provider.
///
/// ```
/// use relax_envs::{MakeOptions, make_vec};
/// let envs = make_vec("Pendulum-v1", 3, &MakeOptions::default())?;
/// assert_eq!(envs.slots(), 3);
/// # Ok::<(), relax_envs::EnvError>(())
/// ```
///
/// # Errors
///
/// Those of [`make_with`], and no slots.
pub fn make_vec(id: &str, slots: usize, options: &MakeOptions) -> Result<Box<dyn VecEnv>, EnvError> {
    if let Some(provider) = provider(id) {
        return provider.make_vec(id, slots, options);
    }
    Ok(Box::new(NativeVecEnv::make(id, slots, options)?))
}
