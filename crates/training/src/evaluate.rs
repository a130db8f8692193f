//! Evaluation: how well a policy does, on episodes that training never saw.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use relax_agents::{ActingPolicy, AgentError, PolicyCard, Rollout, make_agent};
use relax_envs::{Action, Kwarg, Space};

use crate::actor::{Actor, Plan, Streams, make_env};
use crate::cluster::batch::misfit;
use crate::config::{Config, EnvConfig, RolloutMode};
use crate::gif::{CLASSIC_CONTROL_FPS, GifWriter};
use crate::predict::predict_masked;
use relax_runtime::Error;
use relax_runtime::checkpoint;
use relax_runtime::run::{best_checkpoint, latest_checkpoint};
use relax_runtime::sealed::{self, Format, Unreadable, Words};

/// The note of a checkpoint that holds its policy's card, JSON ([`relax_agents::PolicyCard`]).
pub(crate) const POLICY_NOTE: &str = "policy";
/// The format of [`Trained::to_bytes`].
const FORMAT: Format = Format { name: "relax-rl policy", version: 1 };
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
        Self::load_checkpoint(&if best.exists() { best } else { latest_checkpoint(dir) })
    }

    /// The policy of the checkpoint `path`.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_checkpoint(path: &Path) -> Result<Self, Error> {
        let (header, state) = checkpoint::load(path)?;
        let name = path.display().to_string();
        let config = Config::recorded(&header.config, &name, &[])?;
        let state = state.subset("agent");
        let card = header.notes.get(POLICY_NOTE).and_then(|text| serde_json::from_str(text).ok());
        Self::in_its_spaces(config, &name, |config, observation_space, action_space| {
            match card.map(|card| ActingPolicy::load(&card, &state)) {
                Some(Ok(policy)) => Ok(policy),
                // A checkpoint without a card, or of a distribution that only its agent knows: the agent has the policy.
                _ => {
                    let (settings, seed) = (config.settings(), config.run.seed);
                    let mut agent = make_agent(&settings, observation_space, action_space, seed)?;
                    agent.restore(&state)?;
                    Ok(agent.acting_policy())
                }
            }
        })
    }

    /// Everything that [`from_bytes`](Self::from_bytes) needs to make it again, in one piece with a checksum. On a machine with other
    /// instructions the last bits of what the policy's network computes may be others.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let card = serde_json::to_string(&self.policy.card()).unwrap_or_default();
        let words = [
            ("crate_version", env!("CARGO_PKG_VERSION").to_owned()),
            ("config", self.config.to_toml()),
            (POLICY_NOTE, card),
        ];
        let words: Words = words.into_iter().map(|(name, text)| (name.to_owned(), text)).collect();
        sealed::encode(&FORMAT, &words, &self.policy.state()).0
    }

    /// What [`to_bytes`](Self::to_bytes) was told, with its environment as it is here.
    ///
    /// # Errors
    /// If the bytes are damaged or of another format version; if its environment cannot be made here; if its encoder, or its
    /// distribution, was registered where it comes from and is not here.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        const NAME: &str = "the policy";
        let bad = |why: &dyn std::fmt::Display| Error::input(format!("{NAME} cannot be read: {why}"));
        let (words, state) = sealed::decode(&FORMAT, bytes).map_err(|error| match error {
            Unreadable::Version { .. } => bad(&error).with_hint("use the version of relax-rl that wrote it"),
            _ => bad(&error),
        })?;
        let word = |name: &str| words.get(name).map_or("", String::as_str);
        let config = Config::recorded(word("config"), NAME, &[])?;
        let card: PolicyCard = serde_json::from_str(word(POLICY_NOTE)).map_err(|error| bad(&error))?;
        Self::in_its_spaces(config, NAME, |_, _, _| ActingPolicy::load(&card, &state))
    }

    /// The policy that `policy` makes, with the spaces of its environment; `name` is what it comes from, in messages.
    fn in_its_spaces(
        config: Config,
        name: &str,
        policy: impl FnOnce(&Config, &Space, &Space) -> Result<ActingPolicy, AgentError>,
    ) -> Result<Self, Error> {
        let bad = |error: &dyn std::fmt::Display| Error::input(format!("{name}: {error}"));
        let env = make_env(&config.env, 1).map_err(|error| bad(&error))?;
        let (observation_space, action_space) = (env.observation_space().clone(), env.action_space().clone());
        let policy = policy(&config, &observation_space, &action_space).map_err(|error| bad(&error))?;
        let dim = observation_space.flat_dim();
        if policy.observation_dim() != dim {
            let found = policy.observation_dim();
            return Err(bad(&format!(
                "its policy observes {found} numbers, and {} gives {dim}",
                config.env.id
            )));
        }
        if let Some(why) = misfit(&**policy.distribution(), &action_space) {
            return Err(bad(&why));
        }
        Ok(Self { policy, config, observation_space, action_space })
    }

    /// The most likely action for one `observation`, `[D]`.
    ///
    /// # Errors
    /// If the observation has another length than the policy's, or is not finite.
    pub fn predict(&self, observation: &[f32]) -> Result<Action, Error> {
        predict_masked(&self.policy, &self.action_space, observation, None)
    }

    /// As [`predict`](Self::predict), among the choices that `mask` allows: an entry a choice of every factor, as
    /// [`Env::action_mask`](relax_envs::Env::action_mask) gives it. Without one all are taken for allowed, also where the policy
    /// was trained with masks.
    ///
    /// # Errors
    /// As [`predict`](Self::predict); also if the mask has another length, or allows nothing.
    pub fn predict_masked(&self, observation: &[f32], mask: Option<&[bool]>) -> Result<Action, Error> {
        predict_masked(&self.policy, &self.action_space, observation, mask)
    }
}

/// Evaluates the best policy of the run folder `dir`; the newest if none was kept.
///
/// # Errors
/// If there is no usable checkpoint, the environment fails or cannot be drawn, or the GIF cannot be written.
pub fn evaluate(dir: &Path, options: &EvalOptions) -> Result<Evaluation, Error> {
    if let Some(path) = &options.render {
        check_picture(path)?;
    }
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
    let never = AtomicBool::new(false);
    // Nobody can set it, so there is a result.
    Ok(run_episodes_until(policy, env, options, &never)?.unwrap_or_default())
}

/// As [`run_episodes`]; `None` if `stop` was set meanwhile.
///
/// # Errors
/// As [`run_episodes`].
pub fn run_episodes_until(
    policy: &ActingPolicy,
    env: &EnvConfig,
    options: &EpisodeOptions,
    stop: &AtomicBool,
) -> Result<Option<Evaluation>, Error> {
    if options.episodes == 0 {
        return Ok(Some(Evaluation::default()));
    }
    let slots = options.episodes.min(if env.is_python() { PYTHON_SLOTS } else { SLOTS });
    let mut playing = Playing::new(actor(policy, env, slots, options)?, &env.id, options);
    loop {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        playing = match playing.actor.env().watch() {
            None => playing.play(policy)?,
            Some(watch) => {
                let policy = policy.clone();
                let played = watch.guard(move || playing.play(&policy));
                played.map_err(|error| Error::runtime(error.to_string()))??
            }
        };
        if playing.is_over() {
            return Ok(Some(playing.found()));
        }
    }
}

/// Steps of every slot between two looks at whether to stop.
const CHUNK: u64 = 64;

/// Episodes under way.
struct Playing {
    actor: Actor,
    rollout: Rollout,
    id: String,
    wanted: usize,
    /// Return and length of each slot's episodes.
    episodes: Vec<Vec<(f64, u64)>>,
    steps: u64,
}

impl Playing {
    /// The episodes with an actor that stands at their start.
    fn new(actor: Actor, id: &str, options: &EpisodeOptions) -> Self {
        let (rollout, episodes) = (actor.rollout(), vec![Vec::new(); actor.slots()]);
        Self { actor, rollout, id: id.to_owned(), wanted: options.episodes, episodes, steps: 0 }
    }

    /// How many episodes the slot plays.
    fn wanted(&self, slot: usize) -> usize {
        (self.wanted - slot).div_ceil(self.episodes.len())
    }

    fn is_over(&self) -> bool {
        (0..self.episodes.len()).all(|slot| self.episodes[slot].len() >= self.wanted(slot))
    }

    /// Goes on for some steps.
    fn play(mut self, policy: &ActingPolicy) -> Result<Self, Error> {
        let plan = Plan { mode: RolloutMode::Steps, steps: CHUNK, extra: 0 };
        self.actor
            .roll(policy, plan, &mut self.rollout)
            .map_err(|error| Error::runtime(error.to_string()))?;
        for episode in &self.rollout.episodes {
            let slot = episode.slot as usize;
            if self.episodes[slot].len() < self.wanted(slot) {
                self.episodes[slot].push((episode.total_reward, u64::from(episode.length)));
            }
        }
        self.steps += CHUNK;
        if self.steps > LONGEST * self.wanted(0) as u64 {
            let message = format!("an episode of {} did not end within {LONGEST} steps", self.id);
            return Err(Error::runtime(message).with_hint("give it a limit: env.max_episode_steps"));
        }
        Ok(self)
    }

    /// What was found, in the order of the episodes' numbers.
    fn found(&self) -> Evaluation {
        let slots = self.episodes.len();
        let all = (0..self.wanted).map(|number| self.episodes[number % slots][number / slots]);
        let (returns, lengths) = all.unzip();
        Evaluation { returns, lengths }
    }
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

/// Refuses files whose name promises something else than what would be written.
fn check_picture(path: &Path) -> Result<(), Error> {
    if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gif")) {
        return Ok(());
    }
    Err(Error::input(format!("--render {}: an episode is drawn as an animated GIF", path.display()))
        .with_hint(format!("name it {}", path.with_extension("gif").display())))
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
