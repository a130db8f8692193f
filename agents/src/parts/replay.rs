//! Stored experience: the newest transitions of a run, in flat arrays, and minibatches drawn from them.

use super::stored::{Stored, put};
use crate::AgentError;
use crate::rollout::{ActionBuffer, Rollout};
use relax_envs::EnvRng;
use relax_nn::{FrameLayout, StateDict, StateTensor};
use std::collections::VecDeque;

/// A ring of transitions (s, a, r, s', terminated).
///
/// A transition of observations of D numbers and actions of K takes [`bytes`](Self::bytes_per_transition) =
/// 4·(2D + K + 1) + 1: 33 bytes for Pendulum (D = 3, K = 1). A truncated transition keeps its episode's final observation
/// as s', and is bootstrapped like any other; only `terminated` ends a return. Choices are kept as their indices.
///
/// Observations [of bytes](Self::of_bytes) are kept as such, every frame once: D bytes a transition where nothing is stacked, as s' is
/// the next transition's s.
#[derive(Debug, Clone)]
pub struct Replay {
    capacity: usize,
    observation_dim: usize,
    action_dim: usize,
    /// Where the next transition goes once the ring is full.
    cursor: usize,
    stored: Stored,
    actions: Vec<f32>,
    rewards: Vec<f32>,
    terminated: Vec<u8>,
    /// Places of the terminal transitions, the oldest first.
    endings: VecDeque<u32>,
    /// Scratch: the row that follows each row in its slot, and the earliest row seen of each slot.
    successor: Vec<u32>,
    earliest: Vec<u32>,
    /// Scratch: one row's choices.
    choices: Vec<f32>,
}

/// Transitions drawn from a [`Replay`], B of them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Minibatch {
    /// s `[B, D]`.
    pub observations: Vec<f32>,
    /// a `[B, K]`.
    pub actions: Vec<f32>,
    /// r `[B]`.
    pub rewards: Vec<f32>,
    /// s' `[B, D]`.
    pub next_observations: Vec<f32>,
    /// `[B]`: 0 where s' is terminal, else 1.
    pub going_on: Vec<f32>,
}

const NO_ROW: u32 = u32::MAX;

impl Replay {
    /// An empty ring of `capacity` transitions. Memory for the first million is reserved now and touched as it fills; a
    /// larger ring grows when it gets there, so that a capacity beyond the machine's memory does no harm by itself.
    #[must_use]
    pub fn new(capacity: usize, observation_dim: usize, action_dim: usize) -> Self {
        let reserved = capacity.min(1_000_000);
        Self {
            capacity,
            observation_dim,
            action_dim,
            cursor: 0,
            stored: Stored::numbers(observation_dim, reserved),
            actions: Vec::with_capacity(reserved * action_dim),
            rewards: Vec::with_capacity(reserved),
            terminated: Vec::with_capacity(reserved),
            endings: VecDeque::new(),
            successor: Vec::new(),
            earliest: Vec::new(),
            choices: Vec::new(),
        }
    }

    /// As [`new`](Self::new), of observations whose numbers are bytes, made of frames as `layout` says. If one comes that is none, all are
    /// kept as numbers.
    #[must_use]
    pub fn of_bytes(capacity: usize, layout: FrameLayout, action_dim: usize) -> Self {
        let observation_dim = layout.numbers();
        Self { stored: Stored::bytes(layout), observation_dim, ..Self::new(capacity, 0, action_dim) }
    }

    /// Transitions stored.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rewards.len()
    }

    /// Whether nothing is stored.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rewards.is_empty()
    }

    /// Bytes that one transition of numbers takes.
    #[must_use]
    pub fn bytes_per_transition(&self) -> usize {
        4 * (2 * self.observation_dim + self.action_dim + 1) + 1
    }

    /// Stores the rows of a rollout in order, in place of the oldest ones.
    pub fn extend(&mut self, batch: &Rollout) {
        let (rows, dim) = (batch.rows(), self.observation_dim);
        self.successor.resize(rows, NO_ROW);
        self.earliest.clear();
        self.earliest.resize(batch.slots(), NO_ROW);
        for row in (0..rows).rev() {
            let earliest = &mut self.earliest[batch.slot[row] as usize];
            self.successor[row] = std::mem::replace(earliest, row as u32);
        }
        let [mut all, mut finals, mut beyond] = [const { Vec::new() }; 3];
        let (observations, final_observations, next_observations) = match batch.layout() {
            None => (&batch.observations, &batch.final_observations, &batch.next_observations),
            Some(_) => {
                batch.seen(0..rows).write(&mut all);
                batch.seen_finally().write(&mut finals);
                batch.seen_next().write(&mut beyond);
                (&all, &finals, &beyond)
            }
        };
        let of = |array: &'_ [f32], i: usize| i * dim..((i + 1) * dim).min(array.len());
        let mut cut = 0;
        for row in 0..rows {
            let own = &observations[of(observations, row)];
            let next = if batch.terminated[row] {
                // The value of a terminal state is never asked for.
                own
            } else if batch.truncated[row] {
                cut += 1;
                &final_observations[of(final_observations, cut - 1)]
            } else if self.successor[row] == NO_ROW {
                &next_observations[of(next_observations, batch.slot[row] as usize)]
            } else {
                &observations[of(observations, self.successor[row] as usize)]
            };
            let action = if let ActionBuffer::Box { .. } = &batch.actions {
                batch.actions.value_rows(row..row + 1)
            } else {
                self.choices.clear();
                self.choices.extend(batch.actions.choice_rows(row..row + 1).iter().map(|&i| i as f32));
                &self.choices
            };
            let at = self.cursor;
            if self.endings.front() == Some(&(at as u32)) {
                self.endings.pop_front();
            }
            if batch.terminated[row] {
                self.endings.push_back(at as u32);
            }
            self.stored.put(at, batch.slot[row] as usize, own, next);
            put(&mut self.actions, at, action);
            put(&mut self.rewards, at, &[batch.rewards[row]]);
            put(&mut self.terminated, at, &[u8::from(batch.terminated[row])]);
            self.cursor = (at + 1) % self.capacity;
        }
    }

    /// Draws `size` transitions independently and uniformly, with replacement.
    ///
    /// # Panics
    /// If nothing is stored.
    pub fn sample(&self, size: usize, rng: &mut EnvRng, batch: &mut Minibatch) {
        self.sample_with_endings(size, 0.0, rng, batch);
    }

    /// The same, but the first `share` of the transitions are drawn from those that terminated, if there are any.
    ///
    /// # Panics
    /// If nothing is stored.
    pub fn sample_with_endings(&self, size: usize, share: f64, rng: &mut EnvRng, batch: &mut Minibatch) {
        batch.observations.clear();
        batch.actions.clear();
        batch.rewards.clear();
        batch.next_observations.clear();
        batch.going_on.clear();
        let (k, len) = (self.action_dim, self.len() as i64);
        let from_endings = if self.endings.is_empty() { 0 } else { (size as f64 * share) as usize };
        for row in 0..size {
            let i = if row < from_endings {
                self.endings[rng.integers(0, self.endings.len() as i64) as usize] as usize
            } else {
                rng.integers(0, len) as usize
            };
            self.stored.append(i, &mut batch.observations, &mut batch.next_observations);
            batch.actions.extend_from_slice(&self.actions[i * k..(i + 1) * k]);
            batch.rewards.push(self.rewards[i]);
            batch.going_on.push(f32::from(1 - self.terminated[i]));
        }
    }

    /// Adds s' − s `[·, D]` of the newest `rows` transitions, but for those that terminated, to `changes`.
    pub fn newest_changes(&self, rows: usize, changes: &mut Vec<f32>) {
        let (len, mut own, mut next) = (self.len(), Vec::new(), Vec::new());
        for back in 1..=rows.min(len) {
            let i = (self.cursor + len - back) % len;
            if self.terminated[i] == 0 {
                own.clear();
                next.clear();
                self.stored.append(i, &mut own, &mut next);
                changes.extend(next.iter().zip(&own).map(|(next, own)| next - own));
            }
        }
    }

    /// Forgets everything.
    pub fn forget(&mut self) {
        self.stored.clear();
        self.actions.clear();
        self.rewards.clear();
        self.terminated.clear();
        self.endings.clear();
        self.cursor = 0;
    }

    /// Everything stored.
    #[must_use]
    pub fn state(&self) -> StateDict {
        let mut state = StateDict::new();
        state.insert("place", StateTensor::U64(vec![self.len() as u64, self.cursor as u64]));
        self.stored.save(&mut state);
        state.insert_f32("actions", &self.actions);
        state.insert_f32("rewards", &self.rewards);
        state.insert("terminated", StateTensor::U8(self.terminated.clone()));
        state
    }

    /// Takes over what [`state`](Self::state) gave.
    ///
    /// # Errors
    /// If an array is missing or does not fit; nothing is changed then.
    pub fn restore(&mut self, state: &StateDict) -> Result<(), AgentError> {
        let [len, cursor] = state.u64_array("place")?;
        let (len, cursor) = (len as usize, cursor as usize);
        let terminated = state.u8("terminated", len)?;
        if len > self.capacity || cursor != if len < self.capacity { len } else { cursor % self.capacity } {
            let message = format!(
                "the checkpoint's replay holds {len} transitions up to place {cursor}; this run's holds {}",
                self.capacity
            );
            return Err(AgentError::Config(message));
        }
        let stored = self.stored.restored(len, self.observation_dim, state)?;
        let actions = state.f32("actions", len * self.action_dim)?;
        let rewards = state.f32("rewards", len)?;
        self.stored = stored;
        for (to, from) in [(&mut self.actions, actions), (&mut self.rewards, rewards)] {
            to.clear();
            to.extend_from_slice(from);
        }
        self.terminated.clear();
        self.terminated.extend(terminated.iter().map(|&flag| u8::from(flag != 0)));
        self.cursor = cursor;
        self.endings.clear();
        let oldest = if len < self.capacity { 0 } else { cursor };
        for back in 0..len {
            let i = (oldest + back) % len;
            if self.terminated[i] != 0 {
                self.endings.push_back(i as u32);
            }
        }
        Ok(())
    }
}

/// The same transitions in the same places.
impl PartialEq for Replay {
    fn eq(&self, other: &Self) -> bool {
        self.capacity == other.capacity && self.state() == other.state()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
