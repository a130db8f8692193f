//! A learned model of one step of the environment, for control variates only: it may be as wrong as it likes, and nothing is
//! planned with it.
//!
//! ```text
//! f: (s, a) → Δs              dynamics, trained on mean (Δŝ − Δs)² over transitions that did not end in s'
//! o: (s, a, Δŝ, ŝ') → r̂, ℓ    outcome, trained on mean (r̂ − r)² and on the cross-entropy of d̂ = σ(ℓ) with termination
//! ```
//! Everything is standardised by running moments of the environment's own numbers. o sees the Δŝ that f predicts, in training as
//! in use: a terminal transition's s' is not kept, so its Δs is not known either. A share of each minibatch are transitions that
//! terminated, which are rare where they matter; ℓ starts at −4.

use super::networks::{self, Network};
use super::normalize::RunningMoments;
use super::replay::{Minibatch, Replay};
use crate::AgentError;
use crate::rollout::Rollout;
use relax_envs::{EnvRng, Space};
use relax_nn::{MlpShape, Optimizer, Rule, StateDict, Workspace, clip_scale, global_norm};

mod slope;

pub use slope::Slopes;

/// Standardised numbers are cut off here.
const CLIP: f32 = 10.0;
/// Deviations below this are taken for none.
const LEAST_DEVIATION: f64 = 1e-6;
/// The termination's logit starts here.
const UNLIKELY: f32 = -4.0;
/// Share of terminal transitions in a minibatch.
const ENDINGS: f64 = 0.25;
/// Largest norm of a network's gradient.
const MAX_NORM: f64 = 10.0;

/// How an action enters the model.
#[derive(Debug, Clone, PartialEq)]
pub enum ActionFeatures {
    /// One choice, or several at once, of so many each: one-hot, one after the other.
    Choices(Vec<usize>),
    /// Numbers, clipped to the bounds that the environment clips them to, and stretched to [−1, 1] where these are finite.
    Numbers {
        /// Lower bounds.
        low: Vec<f32>,
        /// Upper bounds.
        high: Vec<f32>,
    },
}

impl ActionFeatures {
    /// For the actions of `space`.
    #[must_use]
    pub fn new(space: &Space) -> Self {
        match space {
            Space::Discrete { n, .. } => Self::Choices(vec![*n]),
            Space::MultiDiscrete { nvec } => Self::Choices(nvec.clone()),
            Space::MultiBinary { n } => Self::Choices(vec![2; *n]),
            Space::Box { low, high, .. } => Self::Numbers { low: low.clone(), high: high.clone() },
        }
    }

    /// Numbers that describe one action.
    #[must_use]
    pub fn width(&self) -> usize {
        match self {
            Self::Choices(sizes) => sizes.iter().sum(),
            Self::Numbers { low, .. } => low.len(),
        }
    }

    /// Numbers that a replay keeps of one action: the indices of choices, or the numbers as they were drawn.
    #[must_use]
    pub fn stored(&self) -> usize {
        match self {
            Self::Choices(sizes) => sizes.len(),
            Self::Numbers { low, .. } => low.len(),
        }
    }

    /// Adds an action, as a replay keeps it, to `features`.
    pub fn push(&self, action: &[f32], features: &mut Vec<f32>) {
        match self {
            Self::Choices(sizes) => {
                for (&k, &choice) in sizes.iter().zip(action) {
                    features.extend((0..k).map(|i| f32::from(u8::from(i == choice as usize))));
                }
            }
            Self::Numbers { low, high } => {
                for ((&a, &low), &high) in action.iter().zip(low).zip(high) {
                    let taken = a.max(low).min(high);
                    let finite = low.is_finite() && high.is_finite() && high > low;
                    features.push(if finite { 2.0 * (taken - low) / (high - low) - 1.0 } else { taken });
                }
            }
        }
    }
}

/// A network and its optimiser, as plain arrays for the kernels.
#[derive(Debug, Clone, PartialEq)]
struct Net {
    shape: MlpShape,
    parameters: Vec<f32>,
    gradient: Vec<f32>,
    optimizer: Optimizer<f32>,
}

impl Net {
    fn new(shape: MlpShape, rng: &mut EnvRng) -> Self {
        let parameters: Vec<f32> = shape.orthogonal(rng, std::f64::consts::SQRT_2, 0.1);
        let len = parameters.len();
        Self { shape, parameters, gradient: vec![0.0; len], optimizer: Optimizer::new(Rule::ADAM, len) }
    }

    /// One step down the gradient, which is empty afterwards.
    fn step(&mut self, rate: f64) -> Result<(), AgentError> {
        let norm = global_norm(&self.gradient);
        if !norm.is_finite() {
            return Err(AgentError::NotFinite { what: "model's gradient" });
        }
        self.optimizer.step(&mut self.parameters, &self.gradient, rate, clip_scale(norm, MAX_NORM));
        self.gradient.fill(0.0);
        Ok(())
    }

    fn state(&self) -> StateDict {
        let mut state = StateDict::new();
        state.insert_f32("parameters", &self.parameters);
        state.insert_all("optimizer", self.optimizer.state());
        state
    }

    fn restore(&mut self, state: &StateDict) -> Result<(), AgentError> {
        let parameters = state.f32("parameters", self.parameters.len())?;
        self.optimizer.restore(&state.subset("optimizer"))?;
        self.parameters.copy_from_slice(parameters);
        Ok(())
    }
}

/// Running moments with the numbers that standardising takes, brought up to date with each merge.
#[derive(Debug)]
struct Standard {
    moments: RunningMoments,
    mean: Vec<f32>,
    std: Vec<f32>,
    /// 1/std; 0 for numbers that do not vary.
    inverse: Vec<f32>,
}

impl Standard {
    fn new(dim: usize) -> Self {
        let mut this = Self {
            moments: RunningMoments::new(dim),
            mean: vec![0.0; dim],
            std: vec![0.0; dim],
            inverse: vec![0.0; dim],
        };
        this.update();
        this
    }

    fn update(&mut self) {
        for i in 0..self.mean.len() {
            let std = self.moments.std(i);
            self.mean[i] = self.moments.mean(i) as f32;
            self.std[i] = std as f32;
            self.inverse[i] = if std < LEAST_DEVIATION { 0.0 } else { (1.0 / std) as f32 };
        }
    }

    fn merge(&mut self, rows: &[f32]) {
        self.moments.merge(rows);
        self.update();
    }

    fn restore(&mut self, name: &str, state: &StateDict) -> Result<(), AgentError> {
        self.moments.restore(name, state)?;
        self.update();
        Ok(())
    }

    /// Number `i` standardised and cut off.
    fn of(&self, i: usize, x: f32) -> f32 {
        ((x - self.mean[i]) * self.inverse[i]).clamp(-CLIP, CLIP)
    }

    /// Number `i` in its own units again.
    fn back(&self, i: usize, x: f32) -> f32 {
        self.mean[i] + self.std[i] * x
    }

    /// Standardises rows in place.
    fn apply(&self, rows: &mut [f32]) {
        for row in rows.chunks_exact_mut(self.mean.len()) {
            for (i, x) in row.iter_mut().enumerate() {
                *x = self.of(i, *x);
            }
        }
    }
}

/// What a prediction leaves and needs, allocated once.
#[derive(Debug, Default)]
pub struct ModelScratch {
    /// ŝ' `[r, D]`, in the environment's own units.
    pub next: Vec<f32>,
    /// r̂ `[r]`, in the environment's own units.
    pub reward: Vec<f32>,
    /// 1 − d̂ `[r]`.
    pub going_on: Vec<f32>,
    /// Standardised s `[r, D]`.
    standard: Vec<f32>,
    dynamics: Workspace<f32>,
    outcome: Workspace<f32>,
    dynamics_input: Vec<f32>,
    outcome_input: Vec<f32>,
    /// Standardised Δŝ `[r, D]`.
    change: Vec<f32>,
    /// `[r, 2]`: standardised r̂, and ℓ.
    outcomes: Vec<f32>,
}

/// The model.
#[derive(Debug)]
pub struct WorldModel {
    features: ActionFeatures,
    dim: usize,
    dynamics: Net,
    outcome: Net,
    observations: Standard,
    changes: Standard,
    rewards: Standard,
    minibatch: Minibatch,
    encoded: Vec<f32>,
    scratch: ModelScratch,
    changed: Vec<f32>,
    upstream: Vec<f32>,
}

impl WorldModel {
    /// A fresh model.
    ///
    /// # Errors
    /// If a layer has no width.
    pub fn new(
        observation_dim: usize,
        features: ActionFeatures,
        network: &Network<'_>,
        rng: &mut EnvRng,
    ) -> Result<Self, AgentError> {
        let (d, k) = (observation_dim, features.width());
        let dynamics = Net::new(networks::shape(d + k, network, d)?, rng);
        let mut outcome = Net::new(networks::shape(3 * d + k, network, 2)?, rng);
        if let Some(bias) = outcome.parameters.last_mut() {
            *bias = UNLIKELY;
        }
        Ok(Self {
            features,
            dim: d,
            dynamics,
            outcome,
            observations: Standard::new(d),
            changes: Standard::new(d),
            rewards: Standard::new(1),
            minibatch: Minibatch::default(),
            encoded: Vec::new(),
            scratch: ModelScratch::default(),
            changed: Vec::new(),
            upstream: Vec::new(),
        })
    }

    /// How actions enter it.
    #[must_use]
    pub fn features(&self) -> &ActionFeatures {
        &self.features
    }

    /// Takes the rows of `batch`, which `replay` has just stored, into the moments.
    pub fn observe(&mut self, batch: &Rollout, replay: &Replay) {
        self.observations.merge(&batch.observations);
        self.rewards.merge(&batch.rewards);
        self.changed.clear();
        replay.newest_changes(batch.rows(), &mut self.changed);
        self.changes.merge(&self.changed);
    }

    /// Sets the states `[r, D]` that [`predict`](Self::predict) starts from, in the environment's own units.
    pub fn start(&self, observations: &[f32], scratch: &mut ModelScratch) {
        scratch.standard.clear();
        scratch.standard.extend_from_slice(observations);
        self.observations.apply(&mut scratch.standard);
    }

    /// Predicts one step from the states of [`start`](Self::start) under the actions described by `features` `[r, K]`; `states`
    /// are the same states in the environment's own units.
    pub fn predict(&self, states: &[f32], features: &[f32], scratch: &mut ModelScratch) {
        let (d, k) = (self.dim, self.features.width());
        let rows = states.len() / d;
        let ModelScratch {
            next,
            reward,
            going_on,
            standard,
            dynamics,
            outcome,
            dynamics_input,
            outcome_input,
            change,
            outcomes,
        } = scratch;
        dynamics_input.clear();
        for (s, a) in standard.chunks_exact(d).zip(features.chunks_exact(k)) {
            dynamics_input.extend_from_slice(s);
            dynamics_input.extend_from_slice(a);
        }
        change.resize(rows * d, 0.0);
        let Net { shape, parameters, .. } = &self.dynamics;
        shape.forward(parameters, &*dynamics_input, dynamics, change);

        next.clear();
        for (s, y) in states.chunks_exact(d).zip(change.chunks_exact(d)) {
            for i in 0..d {
                next.push(s[i] + self.changes.back(i, y[i]));
            }
        }
        outcome_input.clear();
        for (row, s) in next.chunks_exact(d).enumerate() {
            outcome_input.extend_from_slice(&dynamics_input[row * (d + k)..(row + 1) * (d + k)]);
            outcome_input.extend_from_slice(&change[row * d..(row + 1) * d]);
            let start = outcome_input.len();
            outcome_input.extend_from_slice(s);
            self.observations.apply(&mut outcome_input[start..]);
        }
        outcomes.resize(rows * 2, 0.0);
        let Net { shape, parameters, .. } = &self.outcome;
        shape.forward(parameters, &*outcome_input, outcome, outcomes);

        reward.clear();
        going_on.clear();
        for row in outcomes.as_chunks::<2>().0 {
            reward.push(self.rewards.back(0, row[0]));
            going_on.push(1.0 / (1.0 + row[1].exp()));
        }
    }

    /// One step of both networks on a minibatch of `size` transitions. Returns its loss: the mean squared errors of standardised
    /// changes and rewards, and the cross-entropy of termination, added up.
    ///
    /// # Errors
    /// If a gradient is not finite; that network is then unchanged.
    pub fn learn(
        &mut self,
        replay: &Replay,
        size: usize,
        rate: f64,
        rng: &mut EnvRng,
    ) -> Result<f64, AgentError> {
        let d = self.dim;
        let mut minibatch = std::mem::take(&mut self.minibatch);
        let mut scratch = std::mem::take(&mut self.scratch);
        let mut encoded = std::mem::take(&mut self.encoded);
        replay.sample_with_endings(size, ENDINGS, rng, &mut minibatch);
        encoded.clear();
        for action in minibatch.actions.chunks_exact(self.features.stored()) {
            self.features.push(action, &mut encoded);
        }
        self.start(&minibatch.observations, &mut scratch);
        self.predict(&minibatch.observations, &encoded, &mut scratch);

        let going_on: f32 = minibatch.going_on.iter().sum();
        let scale = 2.0 / (going_on.max(1.0) * d as f32);
        let (mut loss, upstream) = (0.0, &mut self.upstream);
        upstream.clear();
        for (row, &kept) in minibatch.going_on.iter().enumerate() {
            for i in row * d..(row + 1) * d {
                let change = minibatch.next_observations[i] - minibatch.observations[i];
                let target = self.changes.of(i % d, change);
                let error = kept * (scratch.change[i] - target);
                loss += f64::from(0.5 * scale * error * error);
                upstream.push(scale * error);
            }
        }
        let Net { shape, parameters, gradient, .. } = &mut self.dynamics;
        shape.reverse(parameters, &*scratch.dynamics_input, &scratch.dynamics, upstream, gradient, None);
        self.dynamics.step(rate)?;

        upstream.clear();
        let rows = minibatch.rewards.len() as f32;
        for (i, row) in scratch.outcomes.as_chunks::<2>().0.iter().enumerate() {
            let error = row[0] - self.rewards.of(0, minibatch.rewards[i]);
            let ending = 1.0 - minibatch.going_on[i];
            // −log σ(ℓ) = log(1 + e^−ℓ), without overflow.
            let logit = if ending > 0.5 { -row[1] } else { row[1] };
            let entropy = logit.max(0.0) + (-logit.abs()).exp().ln_1p();
            loss += f64::from((error * error + entropy) / rows);
            upstream.push(2.0 * error / rows);
            upstream.push((1.0 - scratch.going_on[i] - ending) / rows);
        }
        let Net { shape, parameters, gradient, .. } = &mut self.outcome;
        shape.reverse(parameters, &*scratch.outcome_input, &scratch.outcome, upstream, gradient, None);
        self.outcome.step(rate)?;
        (self.minibatch, self.scratch, self.encoded) = (minibatch, scratch, encoded);
        Ok(loss)
    }

    /// Weights, optimisers and moments.
    #[must_use]
    pub fn state(&self) -> StateDict {
        let mut state = StateDict::new();
        state.insert_all("dynamics", self.dynamics.state());
        state.insert_all("outcome", self.outcome.state());
        state.insert("observations", self.observations.moments.state());
        state.insert("changes", self.changes.moments.state());
        state.insert("rewards", self.rewards.moments.state());
        state
    }

    /// Takes over what [`state`](Self::state) gave.
    ///
    /// # Errors
    /// If an array is missing or does not fit.
    pub fn restore(&mut self, state: &StateDict) -> Result<(), AgentError> {
        self.dynamics.restore(&state.subset("dynamics"))?;
        self.outcome.restore(&state.subset("outcome"))?;
        self.observations.restore("observations", state)?;
        self.changes.restore("changes", state)?;
        self.rewards.restore("rewards", state)
    }
}
