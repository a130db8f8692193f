//! [`Trainer`]: an agent, the actors that gather its experience, and one update after the other. It writes nothing.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use relax_agents::{ActingPolicy, Agent, Compute, Metrics, Rollout, make_agent};
use relax_envs::{Action, EnvSpec, Space, VecEnv};
use relax_nn::StateDict;
use relax_runtime::Error;
use relax_runtime::jobs::cores;

use super::crew::Crew;
use super::health::{Circumstances, Complaint, Health};
use super::tracker::{Finished, Tracker};
use super::under_way::UnderWay;
use super::worth::Worth;
use crate::actor::{Actor, ActorState, Streams, make_env};
use crate::config::{Config, RolloutMode};
use crate::predict::predict_masked;

mod elsewhere;
mod given;
mod state;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
mod update;

pub(super) use state::learned_hash;

/// What an update did.
#[derive(Debug, Clone, Copy)]
pub struct Update {
    /// Its number, counted from 1.
    pub update: u64,
    /// Environment steps so far, all environments counted together.
    pub env_steps: u64,
    /// Episodes finished so far.
    pub episodes: u64,
    /// Mean return of the last 100 episodes, of all if there were fewer; none before the first.
    pub mean_return_100: Option<f64>,
    /// What was measured on the way; a row of `metrics.csv`.
    pub metrics: Metrics,
}

/// Trains an agent, update after update. It writes nothing.
///
/// ```
/// use relax_training::Config;
/// use relax_training::train::Trainer;
/// let text = "[env]\nid = 'CartPole-v1'\n[agent]\nkind = 'a2c'\n[run]\nenv_steps = 1000\n";
/// let mut trainer = Trainer::new(&Config::from_toml(text, "example", &[])?)?;
/// while !trainer.is_over() {
///     let update = trainer.step()?;
///     assert_eq!(update.env_steps, trainer.env_steps());
/// }
/// let action = trainer.predict(&[0.0, 0.0, 0.1, 0.0])?;
/// assert!(matches!(action, relax_envs::Action::Discrete(0 | 1)));
/// # Ok::<(), relax_runtime::Error>(())
/// ```
pub struct Trainer {
    config: Config,
    agent: Box<dyn Agent>,
    crew: Crew,
    compute: Compute,
    batch: Rollout,
    pub(super) tracker: Tracker,
    /// The episodes that ended in the last batch.
    finished: Vec<Finished>,
    health: Health,
    pub(super) worth: Worth,
    /// What complaints depend on, of an agent that has such keys.
    max_grad_norm: f64,
    /// Whether pictures go through an encoder.
    encoded: bool,
    normalize_advantages: bool,
    /// Step at which episodes are truncated, where that is known.
    max_episode_steps: Option<u32>,
    /// `run.seconds` are over.
    out_of_time: bool,
    /// The update that was left off in its middle, if one was.
    under_way: Option<UnderWay>,
    updates: u64,
    env_steps: u64,
    started: Instant,
    action_space: Space,
    /// Once set, a long update is left.
    stop: Option<Arc<AtomicBool>>,
    /// How long updates take, a single slow one being forgotten after some others; none before the first.
    pace: Option<Duration>,
}

impl Trainer {
    /// The trainer of a configuration, at its start.
    ///
    /// # Errors
    /// Whatever in the configuration the environment or the agent cannot do.
    pub fn new(config: &Config) -> Result<Self, Error> {
        Self::with_streams(config, Streams::TRAINING)
    }

    /// The trainer of a configuration, to be given `state` by [`restore`](Self::restore). Where the environments cannot
    /// go on from a state, they start with seeds that the run has not had yet; after [`new`](Self::new) they would repeat
    /// its first episodes.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn for_state(config: &Config, state: &StateDict) -> Result<Self, Error> {
        // What is wrong with a state is said where it is read as a whole.
        let counters = state.u64_array("counters").ok();
        let restarted_at = match ActorState::holds_environments(&state.subset("actors")) {
            true => 0,
            false => counters.map_or(0, |[_updates, env_steps]: [u64; 2]| env_steps),
        };
        Self::with_streams(config, Streams { restarted_at, ..Streams::TRAINING })
    }

    fn with_streams(config: &Config, streams: Streams) -> Result<Self, Error> {
        config.validate()?;
        let envs =
            parts(config).map(|part| made(make_env(&config.env, part.len()))).collect::<Result<_, _>>()?;
        Self::assembled(config, envs, None, &made(relax_envs::spec(&config.env.id))?, streams)
    }

    /// The trainer of `envs`, one of each of the configuration's [`parts`], and of `agent`, or of the one that the configuration names.
    fn assembled(
        config: &Config,
        envs: Vec<Box<dyn VecEnv>>,
        agent: Option<Box<dyn Agent>>,
        spec: &EnvSpec,
        streams: Streams,
    ) -> Result<Self, Error> {
        check_env(config, &*envs[0])?;
        let (slots, seed, workers) = (config.rollout.envs, config.run.seed, config.rollout.workers);
        let (observations, actions) = (envs[0].observation_space(), envs[0].action_space().clone());
        let agent = match agent {
            Some(agent) => agent,
            None => made(make_agent(&config.settings(), observations, &actions, seed))?,
        };
        let distribution = agent.acting_policy().distribution().clone();
        let mut actors = Vec::with_capacity(envs.len());
        for (part, env) in parts(config).zip(envs) {
            let actor = Actor::watched(env, part.start, distribution.clone(), seed, streams, false);
            actors.push(begun(actor)?);
        }
        let one = actors[0].rollout();
        let batch = Rollout::new(slots, one.observation_dim, one.noise_dim, one.actions);
        let threads = if workers == 0 { 1 } else { cores().min(workers + 1) };
        let crew = Crew::new(actors, workers > 0, agent.acting_policy())?;
        Ok(Self::of(config, agent, crew, batch, actions, spec, threads))
    }

    fn of(
        config: &Config,
        agent: Box<dyn Agent>,
        crew: Crew,
        batch: Rollout,
        action_space: Space,
        spec: &EnvSpec,
        threads: usize,
    ) -> Self {
        let learner = |key: &str| config.learner.get(key);
        let encoded = agent.acting_policy().frames().is_some();
        let mut compute = Compute::with_threads(threads);
        compute.make_way_for(crew.acting());
        Self {
            crew,
            compute,
            agent,
            batch,
            tracker: Tracker::new(&spec.id, spec.reward_threshold),
            finished: Vec::new(),
            health: Health::default(),
            worth: Worth::default(),
            encoded,
            max_grad_norm: learner("max_grad_norm").and_then(toml::Value::as_float).unwrap_or(0.0),
            normalize_advantages: learner("normalize_advantages")
                .and_then(toml::Value::as_bool)
                .unwrap_or(false),
            max_episode_steps: config.env.max_episode_steps.or(spec.max_episode_steps),
            out_of_time: false,
            under_way: None,
            updates: 0,
            env_steps: 0,
            started: Instant::now(),
            action_space,
            stop: None,
            pace: None,
            config: config.clone(),
        }
    }

    /// What is trained, and how.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Updates so far.
    #[must_use]
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// Environment steps so far, all environments counted together.
    #[must_use]
    pub fn env_steps(&self) -> u64 {
        self.env_steps
    }

    /// Episodes finished so far.
    #[must_use]
    pub fn episodes(&self) -> u64 {
        self.tracker.episodes
    }

    /// Mean return of the last 100 episodes, of all if there were fewer; none before the first.
    #[must_use]
    pub fn mean_return_100(&self) -> Option<f64> {
        self.tracker.mean()
    }

    /// The policy as it is now.
    #[must_use]
    pub fn policy(&self) -> ActingPolicy {
        self.agent.acting_policy()
    }

    /// The most likely action of the policy as it is now for one `observation`, `[D]`.
    ///
    /// # Errors
    /// If the observation has another length than the environment's, or is not finite.
    pub fn predict(&self, observation: &[f32]) -> Result<Action, Error> {
        predict_masked(&self.policy(), &self.action_space, observation, None)
    }

    /// As [`predict`](Self::predict), among the choices that `mask` allows, an entry a choice of every factor.
    ///
    /// # Errors
    /// As [`predict`](Self::predict); also if the mask has another length, or allows nothing.
    pub fn predict_masked(&self, observation: &[f32], mask: Option<&[bool]>) -> Result<Action, Error> {
        predict_masked(&self.policy(), &self.action_space, observation, mask)
    }

    /// The episodes that ended in the last batch, in the order in which they did.
    #[must_use]
    pub fn finished(&self) -> &[Finished] {
        &self.finished
    }

    /// What is plainly off so far.
    pub(super) fn complaints(&self) -> Vec<Complaint> {
        self.health.complaints(&Circumstances {
            max_grad_norm: self.max_grad_norm,
            encoded: self.encoded,
            normalize_advantages: self.normalize_advantages,
            solved: self.tracker.solved.reached.is_some(),
            mean_return_100: self.tracker.mean(),
            env_steps: self.env_steps,
            slots: self.config.rollout.envs,
            max_episode_steps: self.max_episode_steps,
        })
    }

    /// Where the clock would end the run at the pace so far, `wall` seconds after its start; none if steps will end it.
    pub(super) fn expected_steps(&self, wall: f64) -> Option<u64> {
        let total = self.env_steps as f64 * (self.config.run.seconds? / wall.max(1e-3)).max(1.0);
        (total < self.config.run.env_steps as f64).then_some(total as u64)
    }

    /// The share of the run that lay behind it at `env_steps` and `wall` seconds.
    fn progress(&self, env_steps: u64, wall: f64) -> f64 {
        let run = &self.config.run;
        let of_time = run.seconds.map_or(0.0, |seconds| wall / seconds);
        (env_steps as f64 / run.env_steps as f64).max(of_time).min(1.0)
    }

    /// Whether the budget is used up, or the environment solved if that is wanted.
    #[must_use]
    pub fn is_over(&self) -> bool {
        let run = &self.config.run;
        self.out_of_time
            || self.env_steps >= run.env_steps
            || run.stop_when_solved && self.tracker.solved.reached.is_some()
    }

    /// Whether no rollout is under way.
    pub(super) fn is_at_rest(&self) -> bool {
        !self.crew.is_rolling()
    }

    /// Whether the last update was left off in its middle.
    pub(super) fn is_midway(&self) -> bool {
        self.under_way.is_some()
    }

    /// Once `stop` is set, a long update may be left off in its middle, or taken back.
    pub(super) fn stop_when(&mut self, stop: &Arc<AtomicBool>) {
        self.compute.stop_when(stop.clone());
        self.crew.stop_when(stop);
        self.stop = Some(stop.clone());
    }

    /// Whether, after a failed rollout, the state before it can still be saved.
    pub(super) fn can_still_be_saved(&self) -> bool {
        self.crew.can_still_be_saved()
    }

    /// The agent, between two updates.
    pub fn agent_mut(&mut self) -> &mut dyn Agent {
        self.agent.as_mut()
    }

    /// The batch that was learned from last; without rows before the first.
    #[must_use]
    pub fn batch(&self) -> &Rollout {
        &self.batch
    }

    /// One update: a batch gathered and learned from.
    ///
    /// # Errors
    /// If the environment fails or training diverges.
    pub fn step(&mut self) -> Result<Update, Error> {
        let started = self.started;
        // Without anybody who stops it there is no middle to leave off in.
        let metrics = self.advance(&|| started.elapsed().as_secs_f64(), &|_, _| true)?.unwrap_or_default();
        Ok(self.update(metrics))
    }

    fn update(&self, metrics: Metrics) -> Update {
        Update {
            update: self.updates,
            env_steps: self.env_steps,
            episodes: self.tracker.episodes,
            mean_return_100: self.tracker.mean(),
            metrics,
        }
    }
}

/// The slots of each worker, or of the learner if there is none.
fn parts(config: &Config) -> impl Iterator<Item = Range<usize>> + use<> {
    let slots = config.rollout.envs;
    cut(slots, config.rollout.workers.clamp(1, slots))
}

/// `slots` slots in `count` parts, as even as can be.
fn cut(slots: usize, count: usize) -> impl Iterator<Item = Range<usize>> {
    (0..count).map(move |i| i * slots / count..(i + 1) * slots / count)
}

/// What cannot be made is a mistake in the configuration.
fn made<T>(result: Result<T, impl std::fmt::Display>) -> Result<T, Error> {
    result.map_err(|error| Error::input(error.to_string()))
}

/// What cannot begin has failed.
fn begun<T>(result: Result<T, impl std::fmt::Display>) -> Result<T, Error> {
    result.map_err(|error| Error::runtime(error.to_string()))
}

/// Refuses environments that no run can be made of.
pub(crate) fn check_env(config: &Config, env: &dyn VecEnv) -> Result<(), Error> {
    // Asked of what was made: a wrapper has more than one name, and an environment may bring its own.
    if let Some(part) = env.running_statistics() {
        let message = format!(
            "{part}, around {}, keeps running statistics for each environment on its own, which evaluation and the \
             other environments of a run would not share",
            config.env.id
        );
        return Err(Error::input(message).with_hint(
            "learner.normalize_observations and learner.normalize_rewards keep one set for the whole run; \
             ObservationScale scales by fixed numbers",
        ));
    }
    if config.rollout.mode == RolloutMode::Episodes && env.steps_together() {
        let message = format!(
            "rollout.mode = \"episodes\" needs slots that can stop; those of {} step together",
            config.env.id
        );
        return Err(Error::input(message).with_hint("set env.vectorization = \"sync\" or \"async\""));
    }
    Ok(())
}

/// Trains as `config` says, without a run folder, and tells `tell` of every update, which can end the training. Returns the
/// trainer, with the policy.
///
/// ```
/// use std::ops::ControlFlow;
/// let text = "[env]\nid = 'CartPole-v1'\n[agent]\nkind = 'relax-a2c'\n[run]\nenv_steps = 2000\n";
/// let config = relax_training::Config::from_toml(text, "example", &[])?;
/// let trained = relax_training::train(&config, |update| {
///     println!("{} steps, mean return {:?}", update.env_steps, update.mean_return_100);
///     if update.update == 5 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
/// })?;
/// assert_eq!(trained.updates(), 5);
/// let action = trained.predict(&[0.0, 0.0, 0.1, 0.0])?;
/// # Ok::<(), relax_runtime::Error>(())
/// ```
///
/// # Errors
/// If the configuration is wrong, the environment fails or training diverges.
pub fn watched(config: &Config, mut tell: impl FnMut(&Update) -> ControlFlow<()>) -> Result<Trainer, Error> {
    let mut trainer = Trainer::new(config)?;
    while !trainer.is_over() {
        if tell(&trainer.step()?).is_break() {
            break;
        }
    }
    Ok(trainer)
}
