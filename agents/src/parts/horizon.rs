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

use super::candidates::{Appraisal, Beyond, Candidates};
use super::correction::Correction;
use super::critic::Critic;
use super::normalize::Moved;
use crate::AgentError;
use crate::compute::{Compute, SHARD_ROWS, shard_rows};
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
    /// C of each row where there are no candidates, on the scale that V lives on: `[r]`, or none.
    noise: Vec<f32>,
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
    /// Features of a row, 2·(width of ψ + 1).
    features: usize,
    length: usize,
    past: VecDeque<Past>,
    sums: Vec<Sums>,
    weights: Vec<f32>,
    bound: f32,
    /// (h − 1)/T of the rollout at hand, `[r]`, and 1/T.
    shares: Vec<f32>,
    level: f32,
    left: Vec<u32>,
}

impl Horizon {
    /// Of the last `length` batches of observations of `observation_dim` numbers, for a V of this `shape`; with no batches there
    /// is no correction.
    #[must_use]
    pub fn new(length: usize, observation_dim: usize, shape: &MlpShape) -> Self {
        Self {
            observation_dim,
            features: 2 * (shape.hidden().last().unwrap_or(&0) + 1),
            length,
            past: VecDeque::new(),
            sums: Vec::new(),
            weights: Vec::new(),
            bound: 0.0,
            shares: Vec::new(),
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
        for row in (0..rollout.rows()).rev() {
            let left = &mut self.left[rollout.slot[row] as usize];
            self.shares[row] = *left as f32 * self.level;
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
            more: 0.0,
        })
    }

    /// V₂ − V at the rows of the rollout of [`begin`](Self::begin) themselves, which `critic` has just evaluated, into `missed`.
    pub fn missed(&self, critic: &Critic, missed: &mut Vec<f32>) {
        missed.clear();
        missed.resize(self.shares.len(), 0.0);
        for (i, workspace) in critic.workspaces().enumerate() {
            let rows = shard_rows(i, self.shares.len());
            if let Some(correction) = self.correction(rows.clone(), 1.0) {
                Correction { more: self.level, ..correction }.add(workspace, &mut missed[rows]);
            }
        }
    }

    /// Takes in the rollout of [`begin`](Self::begin), in the units that [`Present::normalise`] starts from, with the candidates
    /// of its shards.
    pub fn take<'a>(&mut self, rollout: &Rollout, shards: impl Iterator<Item = &'a Candidates> + Clone) {
        if self.length == 0 || rollout.rows() == 0 {
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
        it.noise.clear();
        self.past.extend(past);
    }

    /// [`take`](Self::take), where the rollout is on the scale that V lives on and no candidates tell C: `noise` is C of its rows on
    /// that scale, or nothing. For [`fit_scaled`](Self::fit_scaled).
    pub fn take_scaled(&mut self, rollout: &Rollout, noise: impl Iterator<Item = f32>) {
        self.take(rollout, std::iter::empty());
        if let Some(past) = self.past.back_mut() {
            past.noise.extend(noise);
        }
    }

    /// Makes β anew.
    pub fn fit<N: Fn(&mut [f32], &mut [f32]) + Sync>(&mut self, present: &Present<'_, N>, compute: &Compute) {
        let (past, dim) = (&self.past, self.observation_dim);
        self.sums.resize_with(past.len(), Sums::default);
        compute.each(&mut self.sums, |i, sums| sums.fill(&past[i], dim, present));
        if self.sums.is_empty() {
            return;
        }
        let n = self.features + 1;
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

    /// [`fit`](Self::fit) to batches of [`take_scaled`](Self::take_scaled), for a V of `shape` and `parameters`.
    pub fn fit_scaled(
        &mut self,
        shape: &MlpShape,
        parameters: &[f32],
        (gamma, lambda): (f32, f32),
        compute: &Compute,
    ) {
        let normalise = |_: &mut [f32], _: &mut [f32]| {};
        self.fit(&Present { shape, parameters, gamma, lambda, bound: f32::INFINITY, normalise }, compute);
    }

    /// Brings β and the batches of [`take_scaled`](Self::take_scaled) to scales that have `moved`, where V has been
    /// [kept](Critic::keep) for them: ψ says what it said, and β is in units of rewards.
    pub fn keep_scaled(&mut self, moved: &Moved) {
        for past in &mut self.past {
            moved.bring(&mut past.observations, &mut past.rewards);
            moved.bring(&mut [], &mut past.noise);
        }
        moved.bring(&mut [], &mut self.weights);
        self.bound *= moved.rewards();
    }

    /// β and the batches kept.
    #[must_use]
    pub fn state(&self) -> StateDict {
        let mut state = StateDict::new();
        state.insert_f32("weights", &self.weights);
        state.insert_f32("bound", &[self.bound]);
        state.insert("batches", StateTensor::U64(vec![self.past.len() as u64]));
        for (i, past) in self.past.iter().enumerate() {
            state.insert_all(&format!("past.{i}"), past.state());
        }
        state
    }

    /// Takes over what [`state`](Self::state) gave.
    ///
    /// # Errors
    /// If an array is missing or does not fit; nothing is changed then.
    pub fn restore(&mut self, state: &StateDict) -> Result<(), AgentError> {
        let (weights, bound) = (state.f32_any("weights")?, state.f32("bound", 1)?[0]);
        let [batches] = state.u64_array("batches")?;
        let batches = usize::try_from(batches).unwrap_or(usize::MAX);
        if batches > self.length || ![0, self.features].contains(&weights.len()) {
            return Err(unfit());
        }
        let past =
            (0..batches).map(|i| Past::restore(&state.subset(&format!("past.{i}")), self.observation_dim));
        self.past = past.collect::<Result<_, _>>()?;
        (self.weights, self.bound) = (weights.to_vec(), bound);
        Ok(())
    }
}

fn unfit() -> AgentError {
    let message = "the batches that the checkpoint's correction of V is made of do not fit this run";
    AgentError::Config(message.into())
}

impl Past {
    fn state(&self) -> StateDict {
        let Self { observations, successor, rewards, shares, level, candidates, noise } = self;
        let wide = |x: &[u32]| StateTensor::U64(x.iter().map(|&x| x.into()).collect());
        let mut state = StateDict::new();
        for (name, array) in [
            ("observations", observations),
            ("rewards", rewards),
            ("shares", shares),
            ("next", &candidates.next),
            ("predicted_rewards", &candidates.rewards),
            ("going_on", &candidates.going_on),
            ("shares_of_candidates", &candidates.weights),
        ] {
            state.insert_f32(name, array);
        }
        state.insert_f32("level", &[*level]);
        state.insert("successor", wide(successor));
        state.insert("taken", wide(&candidates.taken));
        if !noise.is_empty() {
            state.insert_f32("noise", noise);
        }
        state
    }

    /// The batch of a saved state, if all that it points to is there.
    fn restore(state: &StateDict, dim: usize) -> Result<Self, AgentError> {
        let narrow = |name: &str| {
            let wide = state.u64(name)?.iter();
            wide.map(|&x| u32::try_from(x).map_err(|_| unfit())).collect::<Result<Vec<u32>, AgentError>>()
        };
        let (successor, taken) = (narrow("successor")?, narrow("taken")?);
        let (rows, observations) = (successor.len(), state.f32_any("observations")?);
        let all = observations.len() / dim;
        let count = match taken.len() {
            0 => 0,
            _ => state.f32_any("predicted_rewards")?.len() / rows.max(1),
        };
        let fits = rows > 0
            && observations.len() == all * dim
            && (0..rows)
                .zip(&successor)
                .all(|(row, &to)| to == NONE || (row + 1..all).contains(&(to as usize)))
            && [0, rows].contains(&taken.len())
            && taken.iter().all(|&candidate| (candidate as usize) < count);
        if !fits {
            return Err(unfit());
        }
        let floats = |name: &str, len: usize| Ok::<_, AgentError>(state.f32(name, len)?.to_vec());
        Ok(Self {
            observations: observations.to_vec(),
            rewards: floats("rewards", rows)?,
            shares: floats("shares", rows)?,
            level: state.f32("level", 1)?[0],
            candidates: Candidates {
                next: floats("next", count * rows * dim)?,
                rewards: floats("predicted_rewards", count * rows)?,
                going_on: floats("going_on", count * rows)?,
                weights: floats("shares_of_candidates", count * rows)?,
                taken,
            },
            noise: match state.get("noise") {
                Ok(_) => floats("noise", rows)?,
                Err(_) => Vec::new(),
            },
            successor,
        })
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
                    true => past.noise.get(start + row).copied().unwrap_or(0.0),
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
