//! What V leaves over: a correction of V for the steps that remain in a rollout, fitted in closed form to the last batches.
//!
//! A λ-return of a rollout that is cut off after h more steps is not R̂ of the state's true value: it hangs on V itself, the more
//! the smaller h is. With V's last hidden layer ψ(s),
//!
//! ```text
//! V₂(s, h) = V(s) + clip(β·[ψ, 1, (h/T)ψ, h/T]),   V₂(s, 0) = V(s)
//! ```
//! where β is the ridge regression of y_t = Σ_{k≥t} (γλ)^{k−t} (δ_k − C_k) over the batches kept: what V missed, without the noise
//! of the actions that a [`lookahead`](super::lookahead) accounts for. It is made anew after every batch, with V as it then is. A
//! network trained by gradient steps cannot follow V's changes; least squares can. β knows past batches only, so whatever it is,
//! V₂ biases no control variate that it enters.
//!
//! Each batch has the weight 1/(mean y² + 0.03 of the mean over batches), so that a loud one does not rule; the ridge is a
//! hundredth of the weights' sum.

use super::lookahead::{Appraisal, Beyond, Candidates};
use crate::AgentError;
use crate::compute::{Compute, SHARD_ROWS};
use crate::rollout::Rollout;
use relax_nn::product::outer;
use relax_nn::{MlpShape, StateDict, StateTensor, Workspace, solve_positive};
use std::collections::VecDeque;

/// The ridge, as a share of the weights' sum.
const RIDGE: f64 = 0.01;
/// No batch counts more than 1/this times the mean batch.
const LEAST_SIZE: f64 = 0.03;
/// The correction is clipped to this many root mean squares of the loudest batch's y.
const CLIP: f64 = 3.0;
/// The successor of a terminal row.
const NONE: u32 = u32::MAX;

/// β with what else its use takes.
#[derive(Debug, Clone, Copy)]
pub struct Correction<'a> {
    /// β: of ψ and 1, then of (h/T)ψ and h/T.
    weights: &'a [f32],
    bound: f32,
    /// λ: the share of V₂ in the one-step target, beside 1 − λ of V.
    lambda: f32,
    /// h/T at s', `[r]`.
    shares: &'a [f32],
}

impl Correction<'_> {
    /// Adds λ·(V₂ − V) to the values `[r]` of V that the pass of `workspace` has just given.
    pub fn add(&self, workspace: &Workspace<f32>, values: &mut [f32]) {
        let (first, second) = self.weights.split_at(self.weights.len() / 2);
        let width = first.len() - 1;
        let hidden = workspace.last_hidden();
        for (row, (value, &share)) in values.iter_mut().zip(self.shares).enumerate() {
            if share > 0.0 {
                let psi = &hidden[row * width..(row + 1) * width];
                let mut sum = first[width] + share * second[width];
                for ((x, first), second) in psi.iter().zip(first).zip(second) {
                    sum += x * (first + share * second);
                }
                *value += self.lambda * sum.clamp(-self.bound, self.bound);
            }
        }
    }
}

/// What V and a normaliser are when β is made.
pub struct Present<'a, N> {
    /// V's network.
    pub shape: &'a MlpShape,
    /// V's weights.
    pub parameters: &'a [f32],
    /// γ.
    pub gamma: f32,
    /// λ.
    pub lambda: f32,
    /// Largest |q|.
    pub bound: f32,
    /// Puts observations and rewards on the scale that V lives on.
    pub normalise: N,
}

/// One batch, in the units that [`Present::normalise`] starts from.
#[derive(Debug, Clone, Default, PartialEq)]
struct Past {
    /// The rows' observations, then those that rows lead to and that are no rows, `[r + b, D]`.
    observations: Vec<f32>,
    /// Where in `observations` each row leads, `[r]`.
    successor: Vec<u32>,
    rewards: Vec<f32>,
    /// (h − 1)/T, `[r]`.
    shares: Vec<f32>,
    /// 1/T.
    level: f32,
    candidates: Candidates,
}

/// What one batch adds to the normal equations, and the arrays that takes.
#[derive(Debug, Default)]
struct Sums {
    /// Xᵀ X of the features with y as the last of them.
    gram: Vec<f32>,
    part: Vec<f32>,
    x: Vec<f32>,
    y: Vec<f32>,
    values: Vec<f32>,
    psi: Vec<f32>,
    scaled: Vec<f32>,
    no_rewards: Vec<f32>,
    workspace: Workspace<f32>,
    appraisal: Appraisal,
}

/// The last batches, and β.
#[derive(Debug)]
pub struct Horizon {
    observation_dim: usize,
    length: usize,
    past: VecDeque<Past>,
    sums: Vec<Sums>,
    weights: Vec<f32>,
    bound: f32,
    /// (h − 1)/T and h/T of the rollout at hand, `[r]`, and 1/T.
    shares: Vec<f32>,
    own_shares: Vec<f32>,
    level: f32,
    left: Vec<u32>,
}

impl Horizon {
    /// Of the last `length` batches; with none there is no correction.
    #[must_use]
    pub fn new(length: usize, observation_dim: usize) -> Self {
        Self {
            observation_dim,
            length,
            past: VecDeque::with_capacity(length),
            sums: Vec::new(),
            weights: Vec::new(),
            bound: 0.0,
            shares: Vec::new(),
            own_shares: Vec::new(),
            level: 0.0,
            left: Vec::new(),
        }
    }

    /// Brings (h − 1)/T of the rows of `rollout` up to date, T its levels and h the steps that are left in the row's slot.
    pub fn begin(&mut self, rollout: &Rollout) {
        self.level = 1.0 / (rollout.levels.len() - 1).max(1) as f32;
        self.left.clear();
        self.left.resize(rollout.slots(), 0);
        self.shares.resize(rollout.rows(), 0.0);
        self.own_shares.resize(rollout.rows(), 0.0);
        for row in (0..rollout.rows()).rev() {
            let left = &mut self.left[rollout.slot[row] as usize];
            self.shares[row] = *left as f32 * self.level;
            self.own_shares[row] = (*left + 1) as f32 * self.level;
            *left += 1;
        }
    }

    /// The correction at what the rows `rows` of the rollout of [`begin`](Self::begin) lead to, none before the first batch.
    #[must_use]
    pub fn correction(&self, rows: std::ops::Range<usize>, lambda: f32) -> Option<Correction<'_>> {
        (!self.weights.is_empty()).then(|| Correction {
            weights: &self.weights,
            bound: self.bound,
            lambda,
            shares: &self.shares[rows],
        })
    }

    /// The correction at the rows `rows` themselves.
    #[must_use]
    pub fn own_correction(&self, rows: std::ops::Range<usize>) -> Option<Correction<'_>> {
        (!self.weights.is_empty()).then(|| Correction {
            weights: &self.weights,
            bound: self.bound,
            lambda: 1.0,
            shares: &self.own_shares[rows],
        })
    }

    /// Takes in the rollout of [`begin`](Self::begin), in the units that [`Present::normalise`] starts from, with the candidates
    /// of its shards; without any, y is made of δ alone.
    pub fn take<'a>(&mut self, rollout: &Rollout, shards: impl Iterator<Item = &'a Candidates> + Clone) {
        if self.length == 0 {
            return;
        }
        let mut past = if self.past.len() < self.length { None } else { self.past.pop_front() };
        let it = past.get_or_insert_default();
        let (rows, dim) = (rollout.rows(), self.observation_dim);
        it.observations.clear();
        it.observations.extend_from_slice(&rollout.observations);
        it.observations.extend_from_slice(&rollout.next_observations);
        it.observations.extend_from_slice(&rollout.final_observations);
        // The row after each row in its slot; at first what lies beyond the rollout.
        self.left.clear();
        self.left.extend((0..rollout.slots()).map(|slot| (rows + slot) as u32));
        it.successor.resize(rows, NONE);
        let mut cut = rollout.truncated_rows.len();
        for row in (0..rows).rev() {
            let next = std::mem::replace(&mut self.left[rollout.slot[row] as usize], row as u32);
            it.successor[row] = if rollout.terminated[row] {
                NONE
            } else if rollout.truncated[row] {
                cut -= 1;
                (rows + rollout.slots() + cut) as u32
            } else {
                next
            };
        }
        it.rewards.clone_from(&rollout.rewards);
        it.shares.clone_from(&self.shares);
        it.level = self.level;
        let all = &mut it.candidates;
        all.clear();
        let count = shards.clone().next().map_or(0, |first| first.rewards.len() / first.taken.len().max(1));
        for candidate in 0..count {
            for shard in shards.clone() {
                let r = shard.taken.len();
                let of = candidate * r..(candidate + 1) * r;
                all.next.extend_from_slice(&shard.next[of.start * dim..of.end * dim]);
                all.rewards.extend_from_slice(&shard.rewards[of.clone()]);
                all.going_on.extend_from_slice(&shard.going_on[of.clone()]);
                all.weights.extend_from_slice(&shard.weights[of]);
            }
        }
        shards.for_each(|shard| all.taken.extend_from_slice(&shard.taken));
        self.past.extend(past);
    }

    /// Makes β anew.
    pub fn fit<N: Fn(&mut [f32], &mut [f32]) + Sync>(&mut self, present: &Present<'_, N>, compute: &Compute) {
        let (past, dim) = (&self.past, self.observation_dim);
        self.sums.resize_with(past.len(), Sums::default);
        compute.each(&mut self.sums, |i, sums| sums.fill(&past[i], dim, present));
        let Some(first) = self.sums.first() else { return };
        let n = first.gram.len().isqrt();
        let size = |i: usize| f64::from(self.sums[i].gram[n * n - 1]) / self.past[i].rewards.len() as f64;
        let sizes: Vec<f64> = (0..self.sums.len()).map(size).collect();
        let mean = sizes.iter().sum::<f64>() / sizes.len() as f64;
        self.weights.clear();
        if !(mean > 0.0 && mean.is_finite()) {
            return;
        }
        let (features, mut rows) = (n - 1, 0.0);
        let (mut gram, mut right) = (vec![0.0; features * features], vec![0.0; features]);
        for ((sums, past), size) in self.sums.iter().zip(&self.past).zip(&sizes) {
            let weight = mean / (size + LEAST_SIZE * mean);
            rows += weight * past.rewards.len() as f64;
            for (i, from) in sums.gram.chunks_exact(n).take(features).enumerate() {
                let to = &mut gram[i * features..(i + 1) * features];
                to.iter_mut().zip(from).for_each(|(to, &from)| *to += weight * f64::from(from));
                right[i] += weight * f64::from(from[features]);
            }
        }
        gram.iter_mut().step_by(features + 1).for_each(|x| *x += RIDGE * rows);
        if solve_positive(&gram, &mut right) {
            self.weights.extend(right.iter().map(|&b| b as f32));
            self.bound = (CLIP * sizes.iter().copied().fold(0.0, f64::max).sqrt()) as f32;
        }
    }

    /// β and the batches kept.
    #[must_use]
    pub fn state(&self) -> StateDict {
        let mut state = StateDict::new();
        state.insert_f32("weights", &self.weights);
        state.insert_f32("bound", &[self.bound]);
        let mut lengths = Vec::new();
        for (i, past) in self.past.iter().enumerate() {
            let Past { observations, successor, rewards, shares, level, candidates } = past;
            let wide = |x: &[u32]| StateTensor::U64(x.iter().map(|&x| x.into()).collect());
            lengths.extend([observations.len(), rewards.len(), candidates.rewards.len()].map(|n| n as u64));
            let mut of = StateDict::new();
            of.insert_f32("observations", observations);
            of.insert_f32("rewards", rewards);
            of.insert_f32("shares", shares);
            of.insert_f32("level", &[*level]);
            of.insert("successor", wide(successor));
            of.insert_f32("next", &candidates.next);
            of.insert_f32("predicted_rewards", &candidates.rewards);
            of.insert_f32("going_on", &candidates.going_on);
            of.insert_f32("shares_of_candidates", &candidates.weights);
            of.insert("taken", wide(&candidates.taken));
            state.insert_all(&format!("past.{i}"), of);
        }
        state.insert("lengths", StateTensor::U64(lengths));
        state.insert("weights_len", StateTensor::U64(vec![self.weights.len() as u64]));
        state
    }

    /// Takes over what [`state`](Self::state) gave.
    ///
    /// # Errors
    /// If an array is missing or does not fit.
    pub fn restore(&mut self, state: &StateDict) -> Result<(), AgentError> {
        let [len] = state.u64_array("weights_len")?;
        let mut kept = VecDeque::new();
        for (i, lengths) in state.u64("lengths")?.as_chunks::<3>().0.iter().enumerate() {
            let [observations, rows, candidates] = lengths.map(|n| n as usize);
            let of = state.subset(&format!("past.{i}"));
            let narrow = |name: &str| Ok::<_, AgentError>(of.u64(name)?.iter().map(|&x| x as u32).collect());
            kept.push_back(Past {
                observations: of.f32("observations", observations)?.to_vec(),
                successor: narrow("successor")?,
                rewards: of.f32("rewards", rows)?.to_vec(),
                shares: of.f32("shares", rows)?.to_vec(),
                level: of.f32("level", 1)?[0],
                candidates: Candidates {
                    next: of.f32("next", candidates * self.observation_dim)?.to_vec(),
                    rewards: of.f32("predicted_rewards", candidates)?.to_vec(),
                    going_on: of.f32("going_on", candidates)?.to_vec(),
                    weights: of.f32("shares_of_candidates", candidates)?.to_vec(),
                    taken: narrow("taken")?,
                },
            });
        }
        let fits = kept.len() <= self.length
            && kept.iter().all(|past| {
                let all = past.observations.len() / self.observation_dim;
                past.successor.len() == past.rewards.len()
                    && [0, past.rewards.len()].contains(&past.candidates.taken.len())
                    && past.successor.iter().all(|&to| to == NONE || (to as usize) < all)
            });
        if !fits {
            let message = "the batches that the checkpoint's correction of V is made of do not fit this run";
            return Err(AgentError::Config(message.into()));
        }
        self.weights = state.f32("weights", len as usize)?.to_vec();
        self.bound = state.f32("bound", 1)?[0];
        self.past = kept;
        Ok(())
    }
}

impl Sums {
    /// The normal equations of one batch.
    fn fill<N: Fn(&mut [f32], &mut [f32])>(&mut self, past: &Past, dim: usize, present: &Present<'_, N>) {
        let Self { gram, part, x, y, values, psi, scaled, no_rewards, workspace, appraisal } = self;
        let (rows, all) = (past.rewards.len(), past.observations.len() / dim);
        let Present { shape, parameters, gamma, lambda, bound, normalise } = present;
        scaled.clone_from(&past.observations);
        normalise(scaled, no_rewards);
        values.resize(all, 0.0);
        psi.clear();
        for start in (0..all).step_by(SHARD_ROWS) {
            let end = (start + SHARD_ROWS).min(all);
            shape.forward(parameters, &scaled[start * dim..end * dim], workspace, &mut values[start..end]);
            psi.extend_from_slice(workspace.last_hidden());
        }
        // δ − C of each row, then the sums backwards.
        y.clear();
        y.extend_from_slice(&past.rewards);
        normalise(&mut [], y);
        let beyond = Beyond { shape, parameters, gamma: *gamma, correction: None };
        for start in (0..rows).step_by(SHARD_ROWS) {
            let of = start..(start + SHARD_ROWS).min(rows);
            past.candidates.appraise(of.clone(), &values[of.clone()], beyond, normalise, appraisal);
            for row in 0..of.len() {
                let c = match past.candidates.taken.is_empty() {
                    true => 0.0,
                    false => past.candidates.expectation(&appraisal.q, &of, row, *bound).1,
                };
                let next = past.successor[start + row];
                let later = if next == NONE { 0.0 } else { gamma * values[next as usize] };
                y[start + row] += later - values[start + row] - c;
            }
        }
        for row in (0..rows).rev() {
            let next = past.successor[row] as usize;
            if next < rows {
                y[row] += gamma * lambda * y[next];
            }
        }
        let width = psi.len() / all;
        let n = 2 * (width + 1) + 1;
        gram.clear();
        gram.resize(n * n, 0.0);
        part.resize(n * n, 0.0);
        for start in (0..rows).step_by(SHARD_ROWS) {
            let of = start..(start + SHARD_ROWS).min(rows);
            x.clear();
            for row in of {
                let share = past.shares[row] + past.level;
                let psi = &psi[row * width..(row + 1) * width];
                x.extend_from_slice(psi);
                x.push(1.0);
                x.extend(psi.iter().map(|psi| share * psi));
                x.push(share);
                x.push(y[row]);
            }
            outer(part, x, x, n, n);
            gram.iter_mut().zip(&*part).for_each(|(sum, x)| *sum += x);
        }
    }
}

#[cfg(test)]
mod tests;
