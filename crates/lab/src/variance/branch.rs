//! Draws rows of training batches, and goes on from each in many ways.

use relax_agents::{ActingPolicy, Rollout};
use relax_envs::EnvRng;

use super::{VarianceOptions, stream};
use relax_runtime::Error;
use relax_training::actor::{Actor, ActorState, Plan, Streams, make_env};
use relax_training::config::{Config, RolloutMode};

/// Rows drawn from one batch; more would be too alike.
const PER_BATCH: usize = 4;
/// Steps of every slot before the first batch, so that episodes are under way as they are in training.
pub(super) const BURN_IN: u64 = 500;

/// A row of a batch: where its slot stands, and how many steps the batch goes on from there.
struct Start {
    state: ActorState,
    left: u64,
}

pub(super) struct Brancher {
    sampler: Actor,
    sampled: Rollout,
    branches: Actor,
    later: Rollout,
    batch: Rollout,
    mode: RolloutMode,
    steps: u64,
    longest: u64,
    actions: usize,
    continuations: usize,
    starts: Vec<Start>,
    rng: EnvRng,
}

impl Brancher {
    pub fn new(
        config: &Config,
        policy: &ActingPolicy,
        options: &VarianceOptions,
        env_steps: u64,
    ) -> Result<Self, Error> {
        let actor = |slots: usize, index: u32| {
            let env = make_env(&config.env, slots).map_err(|error| Error::input(error.to_string()))?;
            let seed = stream(options.seed, env_steps, index).next_u64() >> 1;
            Actor::new(env, 0, policy.distribution().clone(), seed, Streams::EVALUATION, false)
                .map_err(|error| Error::runtime(error.to_string()))
        };
        let mut sampler = actor(config.rollout.envs, 0)?;
        let branches = actor(options.actions * options.continuations, 1)?;
        if !sampler.state().has_environments() {
            return Err(Error::input(format!(
                "{} cannot save its state, from which the rollouts would branch",
                config.env.id
            ))
            .with_hint("the native environments can; your own can with save_state and load_state"));
        }
        let mut sampled = sampler.rollout();
        if config.rollout.mode == RolloutMode::Steps {
            let plan = Plan { mode: RolloutMode::Steps, steps: BURN_IN, extra: 0 };
            sampler.roll(policy, plan, &mut sampled).map_err(|error| Error::runtime(error.to_string()))?;
        }
        Ok(Self {
            later: branches.rollout(),
            batch: branches.rollout(),
            sampler,
            sampled,
            branches,
            mode: config.rollout.mode,
            steps: config.rollout.steps as u64,
            longest: 1_000_000,
            actions: options.actions,
            continuations: options.continuations,
            starts: Vec::new(),
            rng: stream(options.seed, env_steps, 2),
        })
    }

    /// The next row's branches: level 0 holds its state in every slot, and action j in the slots j·M to (j+1)·M.
    pub fn next(&mut self, policy: &ActingPolicy) -> Result<&Rollout, Error> {
        let failed = |error: relax_envs::EnvError| Error::runtime(error.to_string());
        if self.starts.is_empty() {
            self.refill(policy)?;
        }
        let Some(start) = self.starts.pop() else { return Err(Error::runtime("a batch has no rows")) };
        let (rng, m) = (&mut self.rng, self.continuations);
        let mut fresh = || EnvRng::from_seed(rng.next_u64());
        let state = start.state.branched(self.actions * m, &mut fresh);
        let of_actions: Vec<EnvRng> = (0..self.actions).map(|_| fresh()).collect();
        let of_slots: Vec<EnvRng> = (0..self.actions * m).map(|_| fresh()).collect();
        self.branches.restore(&state.with_action_streams(|slot| of_actions[slot / m].clone()))?;
        let one = Plan { mode: RolloutMode::Steps, steps: 1, extra: 0 };
        self.branches.roll(policy, one, &mut self.batch).map_err(failed)?;
        if start.left > 1 {
            let there = self.branches.state().with_action_streams(|slot| of_slots[slot].clone());
            self.branches.restore(&there)?;
            let plan = Plan { mode: self.mode, steps: start.left - 1, extra: 0 };
            self.branches.roll(policy, plan, &mut self.later).map_err(failed)?;
            append(&mut self.batch, &self.later);
        }
        Ok(&self.batch)
    }

    /// Plays a batch step by step and keeps some of its rows, each as likely as any other.
    fn refill(&mut self, policy: &ActingPolicy) -> Result<(), Error> {
        let slots = self.sampler.slots();
        let mut open = vec![true; slots];
        let (mut seen, mut level) = (0, 0);
        let steps = if self.mode == RolloutMode::Steps { self.steps } else { self.longest };
        if self.mode == RolloutMode::Episodes {
            // Every batch begins with fresh episodes: those cut short after the last batch's end are played out.
            let plan = Plan { mode: RolloutMode::Episodes, steps, extra: 0 };
            self.sampler
                .roll(policy, plan, &mut self.sampled)
                .map_err(|error| Error::runtime(error.to_string()))?;
        }
        while level < steps && open.contains(&true) {
            let state = self.sampler.state();
            for slot in (0..slots).filter(|&slot| open[slot]) {
                seen += 1;
                let left = if self.mode == RolloutMode::Steps { steps - level } else { self.longest };
                // Reservoir sampling (Vitter 1985).
                let place = if self.starts.len() < PER_BATCH {
                    self.starts.len()
                } else {
                    self.rng.integers(0, seen) as usize
                };
                if place < PER_BATCH {
                    let start = Start { state: state.slice(slots, slot..slot + 1), left };
                    if place < self.starts.len() {
                        self.starts[place] = start;
                    } else {
                        self.starts.push(start);
                    }
                }
            }
            let plan = Plan { mode: RolloutMode::Steps, steps: 1, extra: 0 };
            self.sampler
                .roll(policy, plan, &mut self.sampled)
                .map_err(|error| Error::runtime(error.to_string()))?;
            if self.mode == RolloutMode::Episodes {
                open.iter_mut().zip(&self.sampled.open).for_each(|(open, more)| *open &= more);
            }
            level += 1;
        }
        Ok(())
    }
}

/// Appends a rollout of the same slots that follows `batch` in time.
fn append(batch: &mut Rollout, later: &Rollout) {
    let (rows, levels) = (batch.rows(), batch.levels.len() - 1);
    batch.levels.extend(later.levels[1..].iter().map(|row| row + rows));
    batch.slot.extend_from_slice(&later.slot);
    batch.observations.extend_from_slice(&later.observations);
    batch.masks.extend_from_slice(&later.masks);
    batch.noise.extend_from_slice(&later.noise);
    batch.actions.extend(&later.actions, 0..later.rows());
    batch.rewards.extend_from_slice(&later.rewards);
    batch.terminated.extend_from_slice(&later.terminated);
    batch.truncated.extend_from_slice(&later.truncated);
    batch.truncated_rows.extend(later.truncated_rows.iter().map(|row| row + rows as u32));
    batch.final_observations.extend_from_slice(&later.final_observations);
    batch.final_masks.extend_from_slice(&later.final_masks);
    batch.next_observations.copy_from_slice(&later.next_observations);
    batch.next_masks.copy_from_slice(&later.next_masks);
    batch.open.copy_from_slice(&later.open);
    batch.episodes.extend(
        later.episodes.iter().map(|e| relax_agents::Episode { level: e.level + levels as u32, ..*e }),
    );
}
