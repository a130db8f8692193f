//! What V leaves over: a correction of V for the steps that remain in a rollout, fitted in closed form to the last batches.
//!
//! A λ-return of a rollout that is cut off after h more steps is not R̂ of the state's true value: it hangs on V itself, the more
//! the smaller h is. With V's last hidden layer ψ(s),
//!
//! ```text
//! V₂(s, h) = V(s) + clip(β·[ψ, 1, (h/T)ψ, h/T]),   V₂(s, 0) = V(s)
//! ```
//! where β is the ridge regression of y_t = Σ_{k≥t} (γλ)^{k−t} (δ_k − η·C_k) over the batches kept: what V missed, without the noise
//! of the actions that a [`lookahead`](super::lookahead) accounts for, as its gain η was then. It is made anew after every batch, with V
//! as it then is. A network trained by gradient steps cannot follow V's changes; least squares can. β knows past batches only, so whatever it is,
//! V₂ biases no control variate that it enters.
//!
//! Each batch has the weight 1/(mean y² + 0.03 of the mean over batches), so that a loud one does not rule; the ridge is a
//! thousandth of the weights' sum.

use super::correction::Correction;
use super::critic::Critic;
use super::normalize::Moved;
use crate::AgentError;
use crate::compute::{Compute, SHARD_ROWS, shard_rows};
use crate::rollout::Rollout;
use relax_nn::product::add_outer;
use relax_nn::{MlpShape, StateDict, StateTensor, Workspace, solve_positive};
use std::collections::VecDeque;

/// The ridge, as a share of the weights' sum.
const RIDGE: f64 = 0.001;
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
    /// What a reward is multiplied by to be on that scale.
    pub reward_factor: f32,
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
    /// η·C of each row: `[r]`, or none.
    noise: Vec<f32>,
}

/// What one batch adds to the normal equations, and the arrays that takes.
#[derive(Debug, Default)]
struct Sums {
    /// Σ xᵀ·[x, share·x, share²·x] with x = [ψ, 1, y].
    powers: Vec<f32>,
    x: Vec<f32>,
    shared: Vec<f32>,
    y: Vec<f32>,
    values: Vec<f32>,
    psi: Vec<f32>,
    scaled: Vec<f32>,
    no_rewards: Vec<f32>,
    workspace: Workspace<f32>,
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

    /// Takes in the rollout of [`begin`](Self::begin), in the units that [`Present::normalise`] starts from, and what of its rows'
    /// rewards is `noise` of the actions, in the same units: `[r]`, or none.
    pub fn take(&mut self, rollout: &Rollout, noise: impl Iterator<Item = f32>) {
        if self.length == 0 || rollout.rows() == 0 {
            return;
        }
        let mut past = if self.past.len() < self.length { None } else { self.past.pop_front() };
        let it = past.get_or_insert_default();
        let rows = rollout.rows();
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
        it.noise.clear();
        it.noise.extend(noise);
        self.past.extend(past);
    }

    /// Makes β anew.
    pub fn fit<N: Fn(&mut [f32], &mut [f32]) + Sync>(&mut self, present: &Present<'_, N>, compute: &Compute) {
        let (past, dim) = (&self.past, self.observation_dim);
        self.sums.resize_with(past.len(), Sums::default);
        compute.each(&mut self.sums, |i, sums| sums.fill(&past[i], dim, present));
        if self.sums.is_empty() {
            return;
        }
        // ψ and 1, of either power of the share; and y.
        let (half, k) = (self.features / 2, self.features / 2 + 1);
        let size = |i: usize| {
            f64::from(self.sums[i].powers[(3 * k - 2) * k - 1]) / self.past[i].rewards.len() as f64
        };
        let sizes: Vec<f64> = (0..self.sums.len()).map(size).collect();
        let mean = sizes.iter().sum::<f64>() / sizes.len() as f64;
        self.weights.clear();
        if !(mean > 0.0 && mean.is_finite()) {
            return;
        }
        let (features, mut rows) = (self.features, 0.0);
        let mut powers = vec![0.0; 3 * k * k];
        for ((sums, past), size) in self.sums.iter().zip(&self.past).zip(&sizes) {
            let weight = mean / (size + LEAST_SIZE * mean);
            rows += weight * past.rewards.len() as f64;
            powers.iter_mut().zip(&sums.powers).for_each(|(to, &from)| *to += weight * f64::from(from));
        }
        let (mut gram, mut right) = (vec![0.0; features * features], vec![0.0; features]);
        for i in 0..features {
            // Row and power of the share.
            let at = |power: usize| (i % half * 3 + i / half + power) * k;
            right[i] = powers[at(0) + half];
            for (with, to) in gram[i * features..(i + 1) * features].chunks_exact_mut(half).enumerate() {
                to.copy_from_slice(&powers[at(with)..at(with) + half]);
            }
        }
        gram.iter_mut().step_by(features + 1).for_each(|x| *x += RIDGE * rows);
        if solve_positive(&gram, &mut right) {
            self.weights.extend(right.iter().map(|&b| b as f32));
            self.bound = (CLIP * sizes.iter().copied().fold(0.0, f64::max).sqrt()) as f32;
        }
    }

    /// [`fit`](Self::fit) to batches that are on the scale that V lives on, for a V of `shape` and `parameters`.
    pub fn fit_scaled(
        &mut self,
        shape: &MlpShape,
        parameters: &[f32],
        (gamma, lambda): (f32, f32),
        compute: &Compute,
    ) {
        let normalise = |_: &mut [f32], _: &mut [f32]| {};
        self.fit(&Present { shape, parameters, gamma, lambda, reward_factor: 1.0, normalise }, compute);
    }

    /// Brings β and batches that are on the scale that V lives on to scales that have `moved`, where V has been
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
        let Self { observations, successor, rewards, shares, level, noise } = self;
        let mut state = StateDict::new();
        for (name, array) in [("observations", observations), ("rewards", rewards), ("shares", shares)] {
            state.insert_f32(name, array);
        }
        state.insert_f32("level", &[*level]);
        state.insert("successor", StateTensor::U64(successor.iter().map(|&x| x.into()).collect()));
        if !noise.is_empty() {
            state.insert_f32("noise", noise);
        }
        state
    }

    /// The batch of a saved state, if all that it points to is there.
    fn restore(state: &StateDict, dim: usize) -> Result<Self, AgentError> {
        let wide = state.u64("successor")?.iter();
        let narrow = wide.map(|&x| u32::try_from(x).map_err(|_| unfit()));
        let successor = narrow.collect::<Result<Vec<u32>, AgentError>>()?;
        let (rows, observations) = (successor.len(), state.f32_any("observations")?);
        let all = observations.len() / dim;
        let fits = rows > 0
            && observations.len() == all * dim
            && (0..rows)
                .zip(&successor)
                .all(|(row, &to)| to == NONE || (row + 1..all).contains(&(to as usize)));
        if !fits {
            return Err(unfit());
        }
        let floats = |name: &str, len: usize| Ok::<_, AgentError>(state.f32(name, len)?.to_vec());
        Ok(Self {
            observations: observations.to_vec(),
            rewards: floats("rewards", rows)?,
            shares: floats("shares", rows)?,
            level: state.f32("level", 1)?[0],
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
        let Self { powers, x, shared, y, values, psi, scaled, no_rewards, workspace } = self;
        let (rows, all) = (past.rewards.len(), past.observations.len() / dim);
        let Present { shape, parameters, gamma, lambda, reward_factor, normalise } = present;
        scaled.clone_from(&past.observations);
        normalise(scaled, no_rewards);
        values.resize(all, 0.0);
        psi.clear();
        for start in (0..all).step_by(SHARD_ROWS) {
            let end = (start + SHARD_ROWS).min(all);
            shape.forward(parameters, &scaled[start * dim..end * dim], workspace, &mut values[start..end]);
            psi.extend_from_slice(workspace.last_hidden());
        }
        // δ − η·C of each row, then the sums backwards.
        y.clear();
        y.extend_from_slice(&past.rewards);
        normalise(&mut [], y);
        for (row, &next) in past.successor.iter().enumerate() {
            let later = if next == NONE { 0.0 } else { gamma * values[next as usize] };
            let noise = past.noise.get(row).map_or(0.0, |noise| reward_factor * noise);
            y[row] += later - values[row] - noise;
        }
        for row in (0..rows).rev() {
            let next = past.successor[row] as usize;
            if next < rows {
                y[row] += gamma * lambda * y[next];
            }
        }
        let width = psi.len() / all;
        let k = width + 2;
        powers.clear();
        powers.resize(3 * k * k, 0.0);
        for start in (0..rows).step_by(SHARD_ROWS) {
            x.clear();
            shared.clear();
            for row in start..(start + SHARD_ROWS).min(rows) {
                let first = x.len();
                x.extend_from_slice(&psi[row * width..(row + 1) * width]);
                x.extend([1.0, y[row]]);
                let share = past.shares[row] + past.level;
                for factor in [1.0, share, share * share] {
                    shared.extend(x[first..].iter().map(|x| factor * x));
                }
            }
            add_outer(powers, x, shared, k, 3 * k);
        }
    }
}

#[cfg(test)]
mod tests;
