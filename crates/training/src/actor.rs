//! One actor: some slots of the environment, the random streams behind their actions, and the loop that fills a rollout.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use relax_agents::{ActingPolicy, ActingScratch, ActionRange, Distribution, Episode, Rollout, role};
use relax_envs::{EnvError, EnvRng, MakeOptions, StepBuffers, VecEnv};
use relax_runtime::Error;

use crate::config::{EnvConfig, RolloutMode};

mod state;

pub use state::ActorState;
use state::RNG_WORDS;

/// How many steps each slot takes in the next rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Whether a slot stops at the end of its episode.
    pub mode: RolloutMode,
    /// Most steps of every slot.
    pub steps: u64,
    /// The first this many slots of the run may take one step more: what remains of an exact budget.
    pub extra: usize,
}

/// The names of an actor's random streams.
#[derive(Debug, Clone, Copy)]
pub struct Streams {
    /// Role of the streams that seed the slots of the environment.
    pub environments: u32,
    /// Role of the streams behind the actions.
    pub actions: u32,
    /// Steps of the run after which these environments start afresh; 0 at its start. An environment that cannot save its
    /// state gets seeds of its own each time the run is taken up again, so that it never repeats episodes.
    pub restarted_at: u64,
}

impl Streams {
    /// Those of training.
    pub const TRAINING: Self =
        Self { environments: role::ENVIRONMENTS, actions: role::ACTIONS, restarted_at: 0 };
    /// Those of evaluation: other numbers than training's, whatever the seed.
    pub const EVALUATION: Self = Self {
        environments: role::EVALUATION_ENVIRONMENTS,
        actions: role::EVALUATION_ACTIONS,
        restarted_at: 0,
    };
}

/// Slots `first .. first + slots` of a run.
pub struct Actor {
    env: Box<dyn VecEnv>,
    first: usize,
    distribution: Arc<dyn Distribution>,
    greedy: bool,
    streams: Vec<EnvRng>,
    /// State of each slot's exploration process, `[slots, K]`; 0 unless the policy explores with one.
    processes: Vec<f32>,
    range: ActionRange,
    buffers: StepBuffers,
    /// Sum of the rewards of each slot's running episode, and its steps.
    totals: Vec<f64>,
    lengths: Vec<u32>,
    /// Steps of each slot in the rollout being filled, the slots that still take some, and those of them that act now.
    taken: Vec<u64>,
    going: Vec<u32>,
    active: Vec<u32>,
    scratch: ActingScratch,
    /// What the active slots act on, where the rollout keeps bytes.
    observed: Vec<f32>,
    /// M: entries of a slot's action mask; 0 if nothing is masked.
    mask_dim: usize,
}

/// Makes an environment of `slots` slots.
///
/// # Errors
/// If the configuration asks for what the environment cannot do.
pub fn make_env(config: &EnvConfig, slots: usize) -> Result<Box<dyn VecEnv>, EnvError> {
    let options = MakeOptions {
        kwargs: config.kwargs.clone(),
        max_episode_steps: config.max_episode_steps,
        wrappers: config.wrappers.clone(),
        vectorization: config.vectorization,
        timeout: config.timeout,
    };
    relax_envs::make_vec(&config.id, slots, &options)
}

impl Actor {
    /// Starts a fresh episode in every slot. The seeds and streams depend on (seed, slot) and on when the environments were
    /// started afresh, not on how slots are shared out among actors.
    ///
    /// # Errors
    /// If the environment cannot be reset.
    pub fn new(
        mut env: Box<dyn VecEnv>,
        first: usize,
        distribution: Arc<dyn Distribution>,
        seed: u64,
        names: Streams,
        greedy: bool,
    ) -> Result<Self, EnvError> {
        let slots = env.slots();
        let stream =
            |role: u32, slot: usize| EnvRng::from_seed_sequence(seed, &[role, (first + slot) as u32]);
        // 32 bits, so that Gymnasium's `reset(seed=…)` takes the number that an error message names.
        let restart = names.restarted_at;
        let seed_of = |slot: usize| match restart {
            0 => stream(names.environments, slot),
            _ => {
                let key = [names.environments, (first + slot) as u32, restart as u32, (restart >> 32) as u32];
                EnvRng::from_seed_sequence(seed, &key)
            }
        };
        let seeds: Vec<u64> = (0..slots).map(|slot| seed_of(slot).next_u64() >> 32).collect();
        let mut buffers = StepBuffers::new(slots, env.observation_dim());
        env.reset(&seeds, &mut buffers.observations).map_err(|error| global(error, first))?;
        let mask_dim = mask_dim(&*env, &*distribution)?;
        Ok(Self {
            range: ActionRange::new(env.action_space()),
            env,
            first,
            streams: (0..slots).map(|slot| stream(names.actions, slot)).collect(),
            processes: vec![0.0; slots * distribution.width()],
            distribution,
            greedy,
            buffers,
            totals: vec![0.0; slots],
            lengths: vec![0; slots],
            taken: vec![0; slots],
            going: Vec::with_capacity(slots),
            active: Vec::with_capacity(slots),
            scratch: ActingScratch::default(),
            observed: Vec::new(),
            mask_dim,
        })
    }

    /// As [`Actor::new`]; an environment that hangs in its first reset is left behind.
    ///
    /// # Errors
    /// As [`Actor::new`]; also if the environment hangs.
    pub fn watched(
        env: Box<dyn VecEnv>,
        first: usize,
        distribution: Arc<dyn Distribution>,
        seed: u64,
        names: Streams,
        greedy: bool,
    ) -> Result<Self, EnvError> {
        match env.watch() {
            None => Self::new(env, first, distribution, seed, names, greedy),
            Some(watch) => watch.guard(move || Self::new(env, first, distribution, seed, names, greedy))?,
        }
    }

    /// Slots of the environment.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.totals.len()
    }

    /// The distribution of its actions.
    pub(crate) fn distribution(&self) -> &dyn Distribution {
        &*self.distribution
    }

    /// Makes it an actor of other slots of the run, as many as before. It still stands where it stood.
    pub(crate) fn set_first(&mut self, first: usize) {
        self.first = first;
    }

    /// The environment.
    #[must_use]
    pub fn env(&self) -> &dyn VecEnv {
        &*self.env
    }

    /// An empty rollout for these slots.
    #[must_use]
    pub fn rollout(&self) -> Rollout {
        let (dim, of_actions) = (self.env.observation_dim(), &self.distribution);
        Rollout::new(self.slots(), dim, of_actions.width(), of_actions.action_buffer())
    }

    /// Fills `rollout` with the steps that `plan` asks for, acting with `policy`.
    ///
    /// # Errors
    /// If a step of the environment fails.
    pub fn roll(&mut self, policy: &ActingPolicy, plan: Plan, rollout: &mut Rollout) -> Result<(), EnvError> {
        self.roll_until(policy, plan, rollout, None).map(|_whole| ())
    }

    /// As [`roll`](Self::roll), until `stop` is set, if there is one to look at. Says whether the rollout is whole; one that is not
    /// is of no use, and the actor has to go back to a state of before.
    ///
    /// # Errors
    /// As [`roll`](Self::roll).
    pub fn roll_until(
        &mut self,
        policy: &ActingPolicy,
        plan: Plan,
        rollout: &mut Rollout,
        stop: Option<&AtomicBool>,
    ) -> Result<bool, EnvError> {
        rollout.clear();
        rollout.set_mask_dim(self.mask_dim);
        rollout.keep_bytes(policy.frames());
        if !self.greedy {
            self.scratch.keep_for(policy, rollout);
        }
        let mut whole = self.fill(policy, plan, rollout, stop)?;
        if rollout.rows() == 0 && whole {
            // A single level in which all slots did nothing but start their next episode.
            whole = self.fill(policy, plan, rollout, stop)?;
        }
        if !self.greedy {
            self.scratch.give(rollout);
        }
        rollout.set_next_observations(&self.buffers.observations);
        if let Some(masks) = self.env.action_masks() {
            rollout.next_masks.copy_from_slice(masks);
        }
        Ok(whole)
    }

    fn fill(
        &mut self,
        policy: &ActingPolicy,
        plan: Plan,
        rollout: &mut Rollout,
        stop: Option<&AtomicBool>,
    ) -> Result<bool, EnvError> {
        self.taken.fill(0);
        let first = self.first;
        let cap = move |slot: usize| plan.steps + u64::from(first + slot < plan.extra);
        self.going.clear();
        self.going.extend((0..self.slots()).filter(|&slot| cap(slot) > 0).map(|slot| slot as u32));
        while !self.going.is_empty() {
            if stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) {
                return Ok(false);
            }
            // A slot that only starts its next episode in this step gives the rollout no row, but its turn is over.
            let (env, taken) = (&self.env, &mut self.taken);
            self.active.clear();
            self.active.extend(self.going.iter().copied().filter(|&slot| {
                let waits = env.waits(slot as usize);
                taken[slot as usize] += u64::from(waits);
                !waits
            }));
            self.step(policy, rollout)?;
            let (taken, open, episodes) = (&self.taken, &rollout.open, plan.mode == RolloutMode::Episodes);
            self.going.retain(|&slot| {
                let slot = slot as usize;
                taken[slot] < cap(slot) && (open[slot] || !episodes)
            });
        }
        Ok(true)
    }

    /// One step of every active slot: a level of the rollout.
    fn step(&mut self, policy: &ActingPolicy, rollout: &mut Rollout) -> Result<(), EnvError> {
        let (dim, k, m) = (rollout.observation_dim, rollout.noise_dim, self.mask_dim);
        let start = rollout.rows();
        rollout.slot.extend_from_slice(&self.active);
        let rows = start..rollout.rows();
        for &slot in &self.active {
            let at = slot as usize;
            rollout.push_observation(slot, &self.buffers.observations[at * dim..(at + 1) * dim]);
        }
        if rollout.pictures.is_some() {
            self.observed.clear();
            for &slot in &self.active {
                let slot = slot as usize;
                self.observed.extend_from_slice(&self.buffers.observations[slot * dim..(slot + 1) * dim]);
            }
        }
        if let Some(masks) = self.env.action_masks() {
            for &slot in &self.active {
                let slot = slot as usize;
                rollout.masks.extend_from_slice(&masks[slot * m..(slot + 1) * m]);
            }
        }
        rollout.noise.resize(rows.end * k, 0.0);
        rollout.actions.resize(rows.end);
        let observations = match rollout.pictures {
            Some(_) => self.observed.as_slice(),
            None => &rollout.observations[rows.start * dim..],
        };
        let masks = (m > 0).then(|| &rollout.masks[rows.start * m..]);
        if rows.is_empty() {
            // All slots wait.
        } else if self.greedy {
            let (scratch, actions) = (&mut self.scratch, &mut rollout.actions);
            policy.act_greedily_masked(observations, masks, scratch, actions, rows.clone());
        } else {
            let noise = &mut rollout.noise[rows.start * k..];
            policy.draw_each(&self.active, &mut self.streams, &mut self.processes, noise);
            let (scratch, actions) = (&mut self.scratch, &mut rollout.actions);
            policy.act_masked(observations, masks, noise, scratch, actions, rows.clone());
        }
        let executed = policy.execute(&rollout.actions, rows.clone(), &mut self.range);
        self.env
            .step(&self.active, executed, &mut self.buffers)
            .map_err(|error| global(located(error, &self.lengths), self.first))?;

        let level = (rollout.levels.len() - 1) as u32;
        for (row, &slot) in rows.zip(&self.active) {
            let at = slot as usize;
            let (reward, terminated, truncated) =
                (self.buffers.rewards[at], self.buffers.terminated[at], self.buffers.truncated[at]);
            rollout.rewards.push(reward as f32);
            rollout.terminated.push(terminated);
            rollout.truncated.push(truncated);
            rollout.open[at] = !(terminated || truncated);
            self.totals[at] += reward;
            self.lengths[at] += 1;
            self.taken[at] += 1;
            if terminated || truncated {
                rollout.episodes.push(Episode {
                    level,
                    slot,
                    total_reward: self.totals[at],
                    length: self.lengths[at],
                    terminated,
                });
                (self.totals[at], self.lengths[at]) = (0.0, 0);
                self.processes[at * k..(at + 1) * k].fill(0.0);
            }
            if truncated && !terminated {
                rollout.truncated_rows.push(row as u32);
                let last = &self.buffers.final_observations[at * dim..(at + 1) * dim];
                rollout.push_final_observation(slot, last);
                if let Some(masks) = self.env.final_action_masks() {
                    rollout.final_masks.extend_from_slice(&masks[at * m..(at + 1) * m]);
                }
            }
        }
        if start < rollout.slot.len() {
            rollout.levels.push(rollout.slot.len());
        }
        Ok(())
    }

    /// Everything needed to continue bit for bit. Without `envs` where the environment cannot save itself.
    #[must_use]
    pub fn state(&self) -> ActorState {
        ActorState {
            envs: self.env.save_state().ok(),
            streams: self.streams.iter().flat_map(EnvRng::state).collect(),
            processes: self.processes.clone(),
            observations: self.buffers.observations.clone(),
            totals: self.totals.clone(),
            lengths: self.lengths.iter().map(|&length| u64::from(length)).collect(),
        }
    }

    /// Goes back to a saved state. Without `envs` in it, the fresh episodes that [`Actor::new`] started go on.
    ///
    /// # Errors
    /// If the state is of other slots or of another environment.
    pub fn restore(&mut self, state: &ActorState) -> Result<(), Error> {
        let refuse = |problem: String| {
            Error::input(format!("the checkpoint does not fit this run's environments: {problem}"))
                .with_hint("a run resumes with the environment and the number of slots it was started with")
        };
        let misfit = |what: &str| refuse(format!("another number of {what}"));
        let slots = self.slots();
        if state.streams.len() != slots * RNG_WORDS {
            return Err(misfit("random streams"));
        }
        for (stream, words) in self.streams.iter_mut().zip(state.streams.as_chunks::<RNG_WORDS>().0) {
            *stream = EnvRng::from_state(*words).map_err(|error| refuse(error.to_string()))?;
        }
        let Some(envs) = &state.envs else { return Ok(()) };
        if state.observations.len() != self.buffers.observations.len()
            || state.processes.len() != self.processes.len()
            || state.totals.len() != slots
            || state.lengths.len() != slots
        {
            return Err(misfit("observations"));
        }
        self.env.load_state(envs).map_err(|error| refuse(global(error, self.first).to_string()))?;
        self.buffers.observations.copy_from_slice(&state.observations);
        self.processes.copy_from_slice(&state.processes);
        self.totals.copy_from_slice(&state.totals);
        self.lengths.iter_mut().zip(&state.lengths).for_each(|(to, &from)| *to = from as u32);
        Ok(())
    }
}

/// Entries of a slot's action mask, which the policy must be able to take; 0 if nothing is masked.
fn mask_dim(env: &dyn VecEnv, distribution: &dyn Distribution) -> Result<usize, EnvError> {
    let Some(masks) = env.action_masks() else { return Ok(0) };
    let (dim, logits) = (masks.len() / env.slots().max(1), distribution.outputs());
    if distribution.takes_masks() && dim == logits {
        return Ok(dim);
    }
    Err(EnvError::Custom {
        env: env.env_id().to_owned(),
        source: if distribution.takes_masks() {
            format!("its action masks have {dim} entries, and the policy has {logits} logits").into()
        } else {
            format!("it masks actions, which a {} policy cannot take account of", distribution.name()).into()
        },
    })
}

/// The error of an action mask with the step of the episode, which the actor counts: `lengths` before the step.
fn located(mut error: EnvError, lengths: &[u32]) -> EnvError {
    if let EnvError::Slot { slot, source, .. } = &mut error
        && let EnvError::ActionMask { steps: steps @ None, .. } = &mut **source
    {
        *steps = lengths.get(*slot).map(|&length| u64::from(length) + 1);
    }
    error
}

/// An environment's error, with the slot counted over the whole run.
fn global(error: EnvError, first: usize) -> EnvError {
    match error {
        EnvError::Slot { env, slot, seed, episode, source } => {
            EnvError::Slot { env, slot: slot + first, seed, episode, source }
        }
        other => other,
    }
}
