//! Providers: where environments come from whose ids begin with a prefix, such as `gym:CartPole-v1`.

use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use crate::{EnvError, EnvSpec, MakeOptions, NativeVecEnv, VecEnv};

/// Makes environments on demand: those whose ids begin with its prefix and a colon.
///
/// ```
/// use relax_envs::{EnvError, EnvSpec, Provider, classic::CartPole, make, register_provider};
///
/// /// `short:50` is CartPole for 50 steps.
/// struct Short;
///
/// impl Provider for Short {
///     fn prefix(&self) -> &str { "short" }
///     fn summary(&self) -> &str { "CartPole for so many steps" }
///     fn spec(&self, id: &str) -> Result<EnvSpec, EnvError> {
///         let name = id.strip_prefix("short:").unwrap_or(id);
///         let steps = name.parse().map_err(|_| EnvError::Registration {
///             id: id.to_owned(),
///             reason: format!("`{name}` is no number of steps"),
///         })?;
///         let spec = EnvSpec::new(id, "CartPole, cut short", |_| Ok(Box::new(CartPole::new(false))));
///         Ok(spec.max_episode_steps(steps))
///     }
/// }
///
/// register_provider(Short)?;
/// assert!(make("short:50", &Default::default()).is_ok());
/// assert!(make("short:never", &Default::default()).is_err());
/// # Ok::<(), EnvError>(())
/// ```
pub trait Provider: Send + Sync {
    /// What its ids begin with, without the colon.
    fn prefix(&self) -> &str;

    /// One line about what it offers.
    fn summary(&self) -> &str;

    /// What it knows of `id`, prefix included. Called each time the id is used.
    ///
    /// # Errors
    ///
    /// It has no such environment, or what it needs is missing.
    fn spec(&self, id: &str) -> Result<EnvSpec, EnvError>;

    /// `slots` environments that are stepped together; by default the spec's own, one after another.
    ///
    /// # Errors
    ///
    /// Those of [`spec`](Self::spec) and of the environment.
    fn make_vec(&self, id: &str, slots: usize, options: &MakeOptions) -> Result<Box<dyn VecEnv>, EnvError> {
        Ok(Box::new(NativeVecEnv::make(id, slots, options)?))
    }

    /// Whether a step crosses into Python: then [`MakeOptions::vectorization`] and [`MakeOptions::timeout`] mean
    /// something, and a slot costs far more than a native one.
    fn is_python(&self) -> bool {
        false
    }
}

static PROVIDERS: LazyLock<RwLock<Vec<Arc<dyn Provider>>>> =
    LazyLock::new(|| RwLock::new(vec![Arc::new(crate::python_provider::Gymnasium)]));

/// Adds a provider, so that ids with its prefix work wherever an id is taken.
///
/// # Errors
///
/// [`EnvError::Registration`] if the prefix is empty, has a colon, is taken, or begins an id that is registered.
pub fn register_provider(provider: impl Provider + 'static) -> Result<(), EnvError> {
    let prefix = provider.prefix().to_owned();
    let refuse =
        |reason: &str| Err(EnvError::Registration { id: format!("{prefix}:"), reason: reason.to_owned() });
    if prefix.is_empty() || prefix.contains(':') {
        return refuse("a prefix is a word without a colon");
    }
    if crate::ids().iter().any(|id| prefix_of(id) == Some(&prefix)) {
        return refuse("a registered id begins with it");
    }
    let mut providers = PROVIDERS.write().unwrap_or_else(PoisonError::into_inner);
    if providers.iter().any(|known| known.prefix() == prefix) {
        return refuse("the prefix is taken");
    }
    providers.push(Arc::new(provider));
    Ok(())
}

/// All providers, in the order in which they were registered.
pub fn providers() -> Vec<Arc<dyn Provider>> {
    PROVIDERS.read().unwrap_or_else(PoisonError::into_inner).clone()
}

/// The provider of `id`; none for an id without a provider's prefix.
///
/// ```
/// assert_eq!(relax_envs::provider("gym:CartPole-v1").map(|found| found.is_python()), Some(true));
/// assert!(relax_envs::provider("CartPole-v1").is_none());
/// ```
pub fn provider(id: &str) -> Option<Arc<dyn Provider>> {
    let prefix = prefix_of(id)?;
    let providers = PROVIDERS.read().unwrap_or_else(PoisonError::into_inner);
    providers.iter().find(|known| known.prefix() == prefix).cloned()
}

/// Whether steps of `id` cross into Python ([`Provider::is_python`]).
pub fn is_python(id: &str) -> bool {
    provider(id).is_some_and(|provider| provider.is_python())
}

fn prefix_of(id: &str) -> Option<&str> {
    id.split_once(':').map(|(prefix, _)| prefix)
}
