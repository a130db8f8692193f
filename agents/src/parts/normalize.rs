//! Observations and rewards on another scale: rewards by a fixed factor, and both by running statistics.
//!
//! The learner owns the statistics and merges every batch into them, in slot order, after the policy's step; the actors get
//! a copy with the policy ([`Scaling`]), so that a batch is learned from with the very numbers it was acted with. Nothing is
//! merged in evaluation. Agents with a replay store what they are given and normalise what they draw from it, so that old
//! and new transitions are on one scale ([`Normalizer`]); around all others stands [`Normalized`].
//!
//! **The start.** A standard deviation of few rows, all of them from the first steps of an episode, says little, and dividing
//! by it says it loudly: rewards that have not varied yet would be multiplied by whatever guards against dividing by 0. So the
//! variance is shrunk towards the mean square, which needs no variation to be known, with the weight of K rows:
//!
//! ```text
//! d² = (n·Var + K·E[x²]) / (n + K),     d ≥ floor·√E[x²],     d = 1 as long as E[x²] = 0
//! ```
//! K is one horizon 1/(1 − γ) of every slot: what the running returns take to forget that they all started at 0. The floor
//! keeps returns that never vary at 10, and observations away from the rounding errors of a large mean.

use crate::config::Normalization;
use crate::parts::replay::Minibatch;
use crate::{ActingPolicy, AgentError, Rollout};
use relax_envs::Space;
use relax_nn::{StateDict, StateTensor};

mod moved;
mod wrapper;

pub use moved::Moved;
pub use wrapper::Normalized;
pub(crate) use wrapper::normalized;

/// Normalised observations and rewards are cut off here.
const CLIP: f32 = 10.0;
/// Added to variances.
const EPSILON: f64 = 1e-8;
/// Least divisor of an observation, as a share of its root mean square: some times the rounding error of f32.
const OBSERVATION_FLOOR: f64 = 1e-6;
/// Least divisor of a reward, as a share of the root mean square of the running return.
const REWARD_FLOOR: f64 = 0.1;
/// Longest horizon 1/(1 − γ) that the start reckons with.
const LONGEST_HORIZON: f64 = 1000.0;

/// Mean and variance of a stream of vectors, merged batch by batch (Chan, Golub & LeVeque 1983).
#[derive(Debug, Clone, PartialEq)]
pub struct RunningMoments {
    count: f64,
    mean: Vec<f64>,
    /// Σ (x − mean)².
    squares: Vec<f64>,
    /// K: rows that the shrinkage of [`divisor`](Self::divisor) weighs as much as.
    prior: f64,
}

impl RunningMoments {
    /// Of nothing yet, for vectors of `dim` numbers.
    #[must_use]
    pub fn new(dim: usize) -> Self {
        Self { count: 0.0, mean: vec![0.0; dim], squares: vec![0.0; dim], prior: 0.0 }
    }

    /// Merges the rows of `batch` `[rows, dim]`.
    pub fn merge(&mut self, batch: &[f32]) {
        let dim = self.mean.len();
        let rows = (batch.len() / dim) as f64;
        if rows == 0.0 {
            return;
        }
        let total = self.count + rows;
        for i in 0..dim {
            let column = || batch.iter().skip(i).step_by(dim).map(|&x| f64::from(x));
            let mean = column().sum::<f64>() / rows;
            let squares: f64 = column().map(|x| (x - mean).powi(2)).sum();
            let delta = mean - self.mean[i];
            self.squares[i] += squares + delta * delta * self.count * rows / total;
            self.mean[i] += delta * rows / total;
        }
        self.count = total;
    }

    /// Standard deviation of number `i`, never quite 0; 1 before anything was seen.
    #[must_use]
    pub fn std(&self, i: usize) -> f64 {
        if self.count > 0.0 { (self.squares[i] / self.count + EPSILON).sqrt() } else { 1.0 }
    }

    /// Mean of number `i`; 0 before anything was seen.
    #[must_use]
    pub fn mean(&self, i: usize) -> f64 {
        self.mean[i]
    }

    /// What number `i` is divided by: its standard deviation, shrunk towards its root mean square with the weight of K rows,
    /// and at least `floor` times that; 1 as long as it has only ever been 0.
    #[must_use]
    pub fn divisor(&self, i: usize, floor: f64) -> f64 {
        if self.count == 0.0 {
            return 1.0;
        }
        let mean_square = self.squares[i] / self.count + self.mean[i] * self.mean[i];
        let shrunk = (self.squares[i] + self.prior * mean_square) / (self.count + self.prior);
        let divisor = shrunk.max(floor * floor * mean_square).sqrt();
        // Also where the square of a tiny number is 0, and that of a huge one infinite.
        if divisor > 0.0 && divisor.is_finite() { divisor } else { 1.0 }
    }

    /// Count, means, sums of squares and K.
    pub(crate) fn state(&self) -> StateTensor {
        let numbers = std::iter::once(self.count).chain(self.mean.iter().copied());
        StateTensor::F64(numbers.chain(self.squares.iter().copied()).chain([self.prior]).collect())
    }

    pub(crate) fn restore(&mut self, name: &str, state: &StateDict) -> Result<(), AgentError> {
        let (numbers, dim) = (state.f64(name)?, self.mean.len());
        // Version 0.1.0 had no K.
        let prior = match numbers.len().checked_sub(1 + 2 * dim) {
            Some(0) => 0.0,
            Some(1) => numbers[1 + 2 * dim],
            _ => return Err(misfit(name)),
        };
        (self.count, self.prior) = (numbers[0], prior);
        self.mean.copy_from_slice(&numbers[1..=dim]);
        self.squares.copy_from_slice(&numbers[1 + dim..=2 * dim]);
        Ok(())
    }
}

fn misfit(name: &str) -> AgentError {
    AgentError::Config(format!("the checkpoint's {name} statistics are of another size than this run's"))
}

/// What is done to an observation: (x − mean)/d, cut off at ±10.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scaling {
    mean: Vec<f32>,
    inverse: Vec<f32>,
}

impl Scaling {
    /// What an agent's state calls the statistics.
    pub const STATE: &'static str = "normalizer.observations";

    /// Where observations are cut off.
    pub const LIMIT: f32 = CLIP;

    /// What is taken off, `[D]`.
    #[must_use]
    pub fn mean(&self) -> &[f32] {
        &self.mean
    }

    /// What the rest is multiplied by, `[D]`: 1/d.
    #[must_use]
    pub fn factor(&self) -> &[f32] {
        &self.inverse
    }

    /// Adds it to a `state` as it is, for [`load`](Self::load).
    pub fn save(&self, name: &str, state: &mut StateDict) {
        state.insert_f32(format!("{name}.offset"), &self.mean);
        state.insert_f32(format!("{name}.factor"), &self.inverse);
    }

    /// The scaling by the statistics `name` of an agent's state, for observations of `dim` numbers; or the one that
    /// [`save`](Self::save) has put there.
    ///
    /// # Errors
    /// If there is neither, or of another size.
    pub fn load(name: &str, dim: usize, state: &StateDict) -> Result<Self, AgentError> {
        if state.get(&format!("{name}.factor")).is_ok() {
            let array = |part: &str| state.f32(&format!("{name}.{part}"), dim).map(<[f32]>::to_vec);
            return Ok(Self { mean: array("offset")?, inverse: array("factor")? });
        }
        let (mut moments, mut this) = (RunningMoments::new(dim), Self::default());
        moments.restore(name, state)?;
        this.set(&moments);
        Ok(this)
    }

    fn set(&mut self, moments: &RunningMoments) {
        self.mean.clear();
        self.mean.extend(moments.mean.iter().map(|&m| m as f32));
        self.inverse.clear();
        let divisors = (0..moments.mean.len()).map(|i| moments.divisor(i, OBSERVATION_FLOOR));
        self.inverse.extend(divisors.map(|d| (1.0 / d) as f32));
    }

    /// Scales observations `[rows, dim]` in place.
    pub fn apply(&self, observations: &mut [f32]) {
        for row in observations.chunks_exact_mut(self.mean.len()) {
            for ((x, m), s) in row.iter_mut().zip(&self.mean).zip(&self.inverse) {
                *x = ((*x - m) * s).clamp(-CLIP, CLIP);
            }
        }
    }
}

/// Statistics of the discounted return that runs along in each slot.
#[derive(Debug, Clone, PartialEq)]
struct RewardMoments {
    gamma: f64,
    running: Vec<f64>,
    moments: RunningMoments,
    scratch: Vec<f32>,
}

impl RewardMoments {
    fn new(gamma: f64) -> Self {
        Self { gamma, running: Vec::new(), moments: RunningMoments::new(1), scratch: Vec::new() }
    }

    fn merge(&mut self, batch: &Rollout) {
        self.running.resize(batch.slots(), 0.0);
        self.scratch.clear();
        for row in 0..batch.rows() {
            let running = &mut self.running[batch.slot[row] as usize];
            *running = self.gamma * *running + f64::from(batch.rewards[row]);
            self.scratch.push(*running as f32);
            if batch.terminated[row] || batch.truncated[row] {
                *running = 0.0;
            }
        }
        self.moments.merge(&self.scratch);
    }

    /// 1/d of rewards.
    fn inverse(&self) -> f32 {
        (1.0 / self.moments.divisor(0, REWARD_FLOOR)) as f32
    }

    /// Whether every return so far was 0.
    fn knows_nothing(&self) -> bool {
        self.moments.mean[0] == 0.0 && self.moments.squares[0] == 0.0
    }
}

/// The running statistics of a run, and what they do to the numbers that an agent learns from.
#[derive(Debug, Clone)]
pub struct Normalizer {
    observation_dim: usize,
    observations: Option<RunningMoments>,
    rewards: Option<RewardMoments>,
    scaling: Scaling,
    /// How the scales move, if critics are to follow.
    moved: Option<Moved>,
    gamma: f64,
    /// A fixed factor of rewards.
    reward_scale: f32,
    /// 1/d of rewards, for the batch at hand.
    inverse_reward: f32,
}

impl Normalizer {
    /// With no statistics yet; what the configuration does not ask for stays as it is, and so do choices (`Discrete` and its
    /// kin), whose numbers are 0 and 1: dividing the rarest of them by their deviation would make them the loudest.
    #[must_use]
    pub fn new(observations: &Space, asked: Normalization) -> Self {
        let dim = observations.flat_dim();
        let scaled = asked.observations && matches!(observations, Space::Box { .. });
        let mut this = Self {
            observation_dim: dim,
            observations: scaled.then(|| RunningMoments::new(dim)),
            rewards: asked.rewards.then(|| RewardMoments::new(asked.gamma)),
            scaling: Scaling::default(),
            moved: asked.preserve_values.then(Moved::default),
            gamma: asked.gamma,
            reward_scale: asked.reward_scale as f32,
            inverse_reward: 1.0,
        };
        this.rescale();
        this
    }

    /// Whether it leaves everything as it is.
    fn is_idle(&self) -> bool {
        self.observations.is_none() && self.rewards.is_none() && self.reward_scale == 1.0
    }

    fn rescale(&mut self) {
        if let Some(moments) = &self.observations {
            self.scaling.set(moments);
        }
    }

    /// Takes in the returns of `batch`; rewards are on the scale that is known by then. To be called once for every batch,
    /// before anything is learned from it.
    pub fn begin(&mut self, batch: &Rollout) {
        let prior = batch.slots() as f64 * (1.0 / (1.0 - self.gamma)).min(LONGEST_HORIZON);
        if let Some(moments) = &mut self.observations {
            moments.prior = prior;
        }
        if let Some(rewards) = &mut self.rewards {
            rewards.moments.prior = prior;
            // Merged before use only in the first batch with any reward, where it is one positive factor for the whole of it:
            // without it the critic would first be fitted to returns of another size. Later factors do not depend on the batch.
            let first = rewards.knows_nothing();
            if first {
                rewards.merge(batch);
            }
            self.inverse_reward = rewards.inverse();
            if !first {
                rewards.merge(batch);
            }
        }
    }

    /// Takes in the observations of `batch`, once the policy has learned from them.
    pub fn end(&mut self, batch: &Rollout) {
        if let (Some(moved), Some(_)) = (&mut self.moved, &self.observations) {
            moved.begin(&self.scaling);
        }
        if let Some(moments) = &mut self.observations {
            moments.merge(&batch.observations);
        }
        self.rescale();
        if let Some(moved) = &mut self.moved {
            let seen = |moments: &RunningMoments| Moved::has_settled(moments.count, batch.rows());
            moved.observations_to(&self.scaling, self.observations.as_ref().is_some_and(seen));
            moved.rewards_settled = self.rewards.as_ref().is_some_and(|rewards| seen(&rewards.moments));
        }
    }

    /// Goes on to the scales of the next batch, once [`end`](Self::end) has seen the batch at hand and everything is learned from
    /// it: how far they have moved, or `None` where critics are not to follow. Rewards are on the next scale from here on.
    pub fn advance(&mut self) -> Option<&Moved> {
        let moved = self.moved.as_mut()?;
        if let Some(rewards) = &self.rewards {
            let next = rewards.inverse();
            moved.rewards_by(next / self.inverse_reward);
            self.inverse_reward = next;
        }
        Some(moved)
    }

    /// Normalises a rollout in place.
    pub fn rollout(&self, batch: &mut Rollout) {
        self.observations(&mut batch.observations);
        self.observations(&mut batch.final_observations);
        self.observations(&mut batch.next_observations);
        self.rewards(&mut batch.rewards);
    }

    /// Normalises a minibatch of a replay in place.
    pub fn minibatch(&self, batch: &mut Minibatch) {
        self.observations(&mut batch.observations);
        self.observations(&mut batch.next_observations);
        self.rewards(&mut batch.rewards);
    }

    /// Normalises observations `[rows, D]` in place.
    pub fn observations(&self, observations: &mut [f32]) {
        if self.observations.is_some() {
            self.scaling.apply(observations);
        }
    }

    /// Puts rewards on the scale of the batch at hand, in place.
    pub fn rewards(&self, rewards: &mut [f32]) {
        rewards.iter_mut().for_each(|r| *r *= self.reward_scale);
        if self.rewards.is_some() {
            rewards.iter_mut().for_each(|r| *r = (*r * self.inverse_reward).clamp(-CLIP, CLIP));
        }
    }

    /// What [`rewards`](Self::rewards) multiplies by, before anything is cut off.
    #[must_use]
    pub fn reward_factor(&self) -> f32 {
        self.reward_scale * if self.rewards.is_some() { self.inverse_reward } else { 1.0 }
    }

    /// Both at once, of what a model predicts.
    pub fn both(&self, observations: &mut [f32], rewards: &mut [f32]) {
        self.observations(observations);
        self.rewards(rewards);
    }

    /// Makes of derivatives by the `normalised` observations `[rows, D]` those by the observations, in place; 0 where they are cut off.
    pub fn observations_back(&self, normalised: &[f32], gradient: &mut [f32]) {
        if self.observations.is_some() {
            let factors = self.scaling.inverse.iter().cycle();
            for ((g, x), factor) in gradient.iter_mut().zip(normalised).zip(factors) {
                *g *= if x.abs() < CLIP { *factor } else { 0.0 };
            }
        }
    }

    /// Makes of derivatives by the `normalised` rewards those by the rewards, in place; 0 where they are cut off.
    pub fn rewards_back(&self, normalised: &[f32], gradient: &mut [f32]) {
        gradient.iter_mut().for_each(|g| *g *= self.reward_scale);
        if self.rewards.is_some() {
            for (g, x) in gradient.iter_mut().zip(normalised) {
                *g *= if x.abs() < CLIP { self.inverse_reward } else { 0.0 };
            }
        }
    }

    /// Gives the actors' copy of a policy the scale of observations.
    pub fn scale(&self, policy: &mut ActingPolicy) {
        if self.observations.is_some() {
            policy.set_scaling(&self.scaling);
        }
    }

    /// Adds what must survive a checkpoint to an agent's state.
    pub fn save(&self, state: &mut StateDict) {
        if let Some(moments) = &self.observations {
            state.insert(Scaling::STATE, moments.state());
        }
        if let Some(rewards) = &self.rewards {
            state.insert("normalizer.rewards", rewards.moments.state());
            state.insert("normalizer.running_returns", StateTensor::F64(rewards.running.clone()));
        }
    }

    /// Adds what [`begin`](Self::begin) found for the batch at hand, to be wanted only in the middle of an update.
    pub fn save_batch(&self, state: &mut StateDict) {
        state.insert_f32("normalizer.reward_factor", &[self.inverse_reward]);
    }

    /// Takes over what [`save_batch`](Self::save_batch) added.
    ///
    /// # Errors
    /// If it is missing.
    pub fn restore_batch(&mut self, state: &StateDict) -> Result<(), AgentError> {
        self.inverse_reward = state.f32("normalizer.reward_factor", 1)?[0];
        Ok(())
    }

    /// Takes over what [`save`](Self::save) added to a state.
    ///
    /// # Errors
    /// If an array is missing or does not fit.
    pub fn restore(&mut self, state: &StateDict) -> Result<(), AgentError> {
        // Earlier versions scaled choices, too; their runs go on as they were.
        if self.observations.is_some() || state.get(Scaling::STATE).is_ok() {
            let dim = self.observation_dim;
            let moments = self.observations.get_or_insert_with(|| RunningMoments::new(dim));
            moments.restore(Scaling::STATE, state)?;
        }
        if let Some(rewards) = &mut self.rewards {
            rewards.moments.restore("normalizer.rewards", state)?;
            rewards.running = state.f64("normalizer.running_returns")?.to_vec();
        }
        self.rescale();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
