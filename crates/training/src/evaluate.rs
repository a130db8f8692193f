//! Evaluation: how well a policy does, on episodes that training never saw.

use std::path::{Path, PathBuf};

use relax_agents::{ActingPolicy, make_agent};
use relax_envs::{Kwarg, Space};

use crate::actor::{Actor, Plan, Streams, make_env};
use crate::config::{Config, EnvConfig, RolloutMode};
use crate::gif::{CLASSIC_CONTROL_FPS, GifWriter};
use relax_runtime::Error;
use relax_runtime::checkpoint;
use relax_runtime::run::{best_checkpoint, latest_checkpoint};

/// The note of a checkpoint that holds its policy's card, JSON ([`relax_agents::PolicyCard`]).
pub(crate) const POLICY_NOTE: &str = "policy";
/// Most slots that evaluate side by side.
const SLOTS: usize = 64;
/// Most slots of Python's environments, which may be processes.
const PYTHON_SLOTS: usize = 8;
/// An episode that is longer than this is taken for one that never ends.
const LONGEST: u64 = 1_000_000;

/// How to evaluate a run folder.
#[derive(Debug, Clone)]
pub struct EvalOptions {
    /// How many episodes.
    pub episodes: usize,
    /// Take the most probable action instead of drawing one.
    pub deterministic: bool,
    /// Draw the first episode into this GIF.
    pub render: Option<PathBuf>,
    /// Names the episodes' random numbers.
    pub seed: u64,
}

/// Which episodes to run.
#[derive(Debug, Clone, Copy)]
pub struct EpisodeOptions {
    /// How many.
    pub episodes: usize,
    /// Take the most probable action instead of drawing one.
    pub deterministic: bool,
    /// Names the episodes' random numbers, which are other streams than training's.
    pub seed: u64,
}

/// What an evaluation found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Evaluation {
    /// Return of each episode.
    pub returns: Vec<f64>,
    /// Length of each episode.
    pub lengths: Vec<u64>,
}

/// A trained policy and what it acts in.
#[derive(Debug, Clone)]
pub struct Trained {
    /// The policy.
    pub policy: ActingPolicy,
    /// The configuration of its run.
    pub config: Config,
    /// What it observes.
    pub observation_space: Space,
    /// What it chooses from.
    pub action_space: Space,
}

impl Trained {
    /// The best policy of the run folder `dir`; the newest if none was kept.
    ///
    /// # Errors
    /// If there is no usable checkpoint, or its environment cannot be made.
    pub fn load(dir: &Path) -> Result<Self, Error> {
        let best = best_checkpoint(dir);
        let path = if best.exists() { best } else { latest_checkpoint(dir) };
        let (header, state) = checkpoint::load(&path)?;
        let config = Config::recorded(&header.config, &path.display().to_string(), &[])?;
        let bad = |error: &dyn std::fmt::Display| Error::input(format!("{}: {error}", path.display()));
        let env = make_env(&config.env, 1).map_err(|error| bad(&error))?;
        let (observation_space, action_space) = (env.observation_space().clone(), env.action_space().clone());
        let state = state.subset("agent");
        let card = header.notes.get(POLICY_NOTE).and_then(|text| serde_json::from_str(text).ok());
        let policy = match card.map(|card| ActingPolicy::load(&card, &state)) {
            Some(Ok(policy)) => policy,
            // A checkpoint without a card, or of a distribution that only its agent knows: the agent has the policy.
            _ => {
                let (settings, seed) = (config.settings(), config.run.seed);
                let mut agent = make_agent(&settings, &observation_space, &action_space, seed)
                    .map_err(|error| bad(&error))?;
                agent.restore(&state).map_err(|error| bad(&error))?;
                agent.acting_policy()
            }
        };
        let dim = observation_space.flat_dim();
        if policy.observation_dim() != dim {
            let found = policy.observation_dim();
            return Err(bad(&format!(
                "its policy observes {found} numbers, and {} gives {dim}",
                config.env.id
            )));
        }
        Ok(Self { policy, config, observation_space, action_space })
    }
}

/// Evaluates the best policy of the run folder `dir`; the newest if none was kept.
///
/// # Errors
/// If there is no usable checkpoint, the environment fails or cannot be drawn, or the GIF cannot be written.
pub fn evaluate(dir: &Path, options: &EvalOptions) -> Result<Evaluation, Error> {
    let Trained { policy, config, .. } = Trained::load(dir)?;
    let episodes = EpisodeOptions {
        episodes: options.episodes,
        deterministic: options.deterministic,
        seed: options.seed,
    };
    if let Some(path) = &options.render {
        render(&policy, &config.env, &episodes, path)?;
    }
    run_episodes(&policy, &config.env, &episodes)
}

/// Runs episodes of `policy` in `env`. Slot i runs every episode whose number leaves the rest i, each to its end, so
/// short episodes are not preferred.
///
/// # Errors
/// If the environment fails, or an episode does not end within a million steps.
pub fn run_episodes(
    policy: &ActingPolicy,
    env: &EnvConfig,
    options: &EpisodeOptions,
) -> Result<Evaluation, Error> {
    if options.episodes == 0 {
        return Ok(Evaluation::default());
    }
    let slots = options.episodes.min(if env.is_python() { PYTHON_SLOTS } else { SLOTS });
    let actor = actor(policy, env, slots, options)?;
    match actor.env().watch() {
        None => play(actor, policy, &env.id, options),
        Some(watch) => {
            let (policy, id, options) = (policy.clone(), env.id.clone(), *options);
            let played = watch.guard(move || play(actor, &policy, &id, &options));
            played.map_err(|error| Error::runtime(error.to_string()))?
        }
    }
}

/// Runs the episodes with an actor that stands at their start.
fn play(
    mut actor: Actor,
    policy: &ActingPolicy,
    id: &str,
    options: &EpisodeOptions,
) -> Result<Evaluation, Error> {
    let mut found = Evaluation::default();
    let slots = actor.slots();
    let mut rollout = actor.rollout();
    let mut episodes: Vec<Vec<(f64, u64)>> = vec![Vec::new(); slots];
    let wanted = |slot: usize| (options.episodes - slot).div_ceil(slots);
    let (mut steps, chunk) = (0, 64);
    while (0..slots).any(|slot| episodes[slot].len() < wanted(slot)) {
        let plan = Plan { mode: RolloutMode::Steps, steps: chunk, extra: 0 };
        actor.roll(policy, plan, &mut rollout).map_err(|error| Error::runtime(error.to_string()))?;
        for episode in &rollout.episodes {
            let of_slot = &mut episodes[episode.slot as usize];
            if of_slot.len() < wanted(episode.slot as usize) {
                of_slot.push((episode.total_reward, u64::from(episode.length)));
            }
        }
        steps += chunk;
        if steps > LONGEST * wanted(0) as u64 {
            let message = format!("an episode of {id} did not end within {LONGEST} steps");
            return Err(Error::runtime(message).with_hint("give it a limit: env.max_episode_steps"));
        }
    }
    for number in 0..options.episodes {
        let (total, length) = episodes[number % slots][number / slots];
        found.returns.push(total);
        found.lengths.push(length);
    }
    Ok(found)
}

fn actor(
    policy: &ActingPolicy,
    env: &EnvConfig,
    slots: usize,
    options: &EpisodeOptions,
) -> Result<Actor, Error> {
    let env = make_env(env, slots).map_err(|error| Error::input(error.to_string()))?;
    Actor::watched(
        env,
        0,
        policy.distribution().clone(),
        options.seed,
        Streams::EVALUATION,
        options.deterministic,
    )
    .map_err(|error| Error::runtime(error.to_string()))
}

/// Draws the first episode of an evaluation.
fn render(
    policy: &ActingPolicy,
    env: &EnvConfig,
    options: &EpisodeOptions,
    path: &Path,
) -> Result<(), Error> {
    let mut env = env.clone();
    if env.is_python() {
        // Gymnasium decides when an environment is made whether it can be drawn; and one generator serves all slots of
        // a vector environment, which would make the drawn episode another one than the first.
        env.kwargs.insert("render_mode".to_owned(), Kwarg::String("rgb_array".to_owned()));
    }
    let mut actor = actor(policy, &env, 1, options)?;
    let mut rollout = actor.rollout();
    let mut writer: Option<GifWriter> = None;
    loop {
        let Some(frame) = actor.env().render(0) else {
            return Err(Error::input(format!("{} cannot be drawn", env.id)).with_hint("leave out --render"));
        };
        let gif = match &mut writer {
            Some(gif) => gif,
            None => writer.insert(GifWriter::create(path, frame.width, frame.height, CLASSIC_CONTROL_FPS)?),
        };
        gif.push(&frame.rgb)?;
        let plan = Plan { mode: RolloutMode::Steps, steps: 1, extra: 0 };
        actor.roll(policy, plan, &mut rollout).map_err(|error| Error::runtime(error.to_string()))?;
        if !rollout.episodes.is_empty() {
            break;
        }
    }
    match writer {
        Some(gif) => gif.finish(),
        None => Ok(()),
    }
}
