//! What an agent that learns from replay has seen: the transitions, the scale that they are put on, and how many gradient steps
//! they make due.

use super::normalize::Normalizer;
use super::replay::{Minibatch, Replay};
use crate::config::{Normalization, ReplayConfig};
use crate::rollout::Rollout;
use crate::{AgentError, Task};
use relax_envs::{EnvRng, Space};
use relax_nn::{FrameLayout, StateDict, StateTensor};

/// Stored transitions in the environment's own numbers, and counters.
#[derive(Debug)]
pub struct Experience {
    settings: ReplayConfig,
    replay: Replay,
    /// Puts observations and rewards on the scale of now.
    pub normalizer: Normalizer,
    env_steps: u64,
    updates: u64,
    /// Environment steps before the newest batch, whose gradient steps may be under way.
    before: u64,
    /// What [`draw`](Self::draw) drew, normalised.
    pub minibatch: Minibatch,
}

impl Experience {
    /// None yet. Actions have `action_dim` numbers.
    #[must_use]
    pub fn new(
        task: &Task<'_>,
        action_dim: usize,
        settings: &ReplayConfig,
        normalization: Normalization,
    ) -> Self {
        Self {
            replay: match bytes(task.observations) {
                Some(layout) => Replay::of_bytes(settings.capacity, layout, action_dim),
                None => Replay::new(settings.capacity, task.observations.flat_dim(), action_dim),
            },
            normalizer: Normalizer::new(task.observations, normalization),
            settings: settings.clone(),
            env_steps: 0,
            updates: 0,
            before: 0,
            minibatch: Minibatch::default(),
        }
    }

    /// Takes the batch into the normaliser and stores it.
    pub fn take(&mut self, batch: &Rollout) {
        self.normalizer.begin(batch);
        self.normalizer.end(batch);
        self.store(batch);
    }

    /// Stores the batch, which the normaliser knows already.
    pub fn store(&mut self, batch: &Rollout) {
        self.replay.extend(batch);
        self.before = self.env_steps;
        self.env_steps += batch.rows() as u64;
        self.let_go();
    }

    /// Without what was stored, which a checkpoint may leave out, no gradient step is due until as much is stored as a run begins with;
    /// nor are those made up for later.
    fn let_go(&mut self) {
        let enough = self.settings.warm_up_steps.clamp(1, self.settings.capacity.max(1) as u64);
        if (self.replay.len() as u64) < enough && !self.is_warming_up() {
            self.updates = self.settings.updates_due(self.env_steps);
        }
    }

    /// Whether so few steps were taken that nothing is learned yet.
    #[must_use]
    pub fn is_warming_up(&self) -> bool {
        self.env_steps < self.settings.warm_up_steps
    }

    /// The number of the gradient step that is due, counted from 1, if one is.
    #[must_use]
    pub fn due(&self) -> Option<u64> {
        (self.updates < self.settings.updates_due(self.env_steps)).then_some(self.updates + 1)
    }

    /// Says that the gradient step that was due has been taken.
    pub fn done(&mut self) {
        self.updates += 1;
    }

    /// Draws a minibatch and puts it on the scale of now.
    pub fn draw(&mut self, rng: &mut EnvRng) {
        self.replay.sample(self.settings.batch_size, rng, &mut self.minibatch);
        self.normalizer.minibatch(&mut self.minibatch);
    }

    /// Adds the transitions, the normaliser and the counters to an agent's state.
    pub fn save(&self, state: &mut StateDict) {
        state.insert_all("replay", self.replay.state());
        self.normalizer.save(state);
        state.insert("counters", StateTensor::U64(vec![self.env_steps, self.updates]));
        if self.due().is_some() {
            state.insert("behind", StateTensor::U64(vec![self.before]));
            self.normalizer.save_batch(state);
        }
    }

    /// Takes over what [`save`](Self::save) added.
    ///
    /// # Errors
    /// If an array is missing or does not fit, or the counters do not belong together.
    pub fn restore(&mut self, state: &StateDict) -> Result<(), AgentError> {
        let [before, env_steps, updates] = self.settings.counters(state)?;
        let left_out = !state.has_any("replay");
        match left_out {
            true => self.replay.forget(),
            false => self.replay.restore(&state.subset("replay"))?,
        }
        self.normalizer.restore(state)?;
        if state.get("behind").is_ok() {
            self.normalizer.restore_batch(state)?;
        }
        (self.before, self.env_steps, self.updates) = (before, env_steps, updates);
        if left_out {
            self.let_go();
        }
        Ok(())
    }
}

/// How observations are made of frames, where their bounds let them be bytes.
fn bytes(observations: &Space) -> Option<FrameLayout> {
    let Space::Box { low, high, shape } = observations else { return None };
    let within = low.iter().all(|&x| x >= 0.0) && high.iter().all(|&x| x <= 255.0);
    (within && !low.is_empty()).then(|| FrameLayout::of(shape))
}
