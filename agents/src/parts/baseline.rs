//! A better baseline than V, for any policy gradient: V with its correction for the steps that remain in a rollout.
//!
//! V is fitted to one batch after another, and what it misses is most of a policy gradient's variance in many tasks. The
//! [`horizon`](super::horizon) finds a good part of that in the last batches, in closed form and without any model:
//!
//! ```text
//! advantage_t = R̂_t − V(s_t) − η·clip(β·[ψ, 1, (h/T)ψ, h/T])
//! ```
//! The λ-return R̂ keeps V, and V is fitted to it as before. β and the gain η come from past batches, and the correction looks at
//! no action: a baseline, which biases nothing. η is the one that would have made Σ advantage² least, by moving averages in units of
//! each batch's own size.

use super::critic::Critic;
use super::horizon::Horizon;
use super::normalize::Moved;
use crate::AgentError;
use crate::compute::Compute;
use crate::rollout::Rollout;
use relax_nn::{StateDict, StateTensor};

/// How fast the gain's averages forget.
const DECAY: f64 = 0.9;

/// Corrects the advantages of a [`Critic`].
#[derive(Debug)]
pub struct CorrectedBaseline {
    horizon: Horizon,
    /// Moving averages of Σ advantage·correction and Σ correction².
    averages: [f64; 2],
    advantages: Vec<f32>,
    correction: Vec<f32>,
}

impl CorrectedBaseline {
    /// Fitted to the last `window` batches of observations of `observation_dim` numbers, for this `critic`.
    #[must_use]
    pub fn new(window: usize, observation_dim: usize, critic: &Critic) -> Self {
        Self {
            horizon: critic.read(|shape, _| Horizon::new(window, observation_dim, shape)),
            averages: [0.0; 2],
            advantages: Vec::new(),
            correction: Vec::new(),
        }
    }

    /// η for the next batch.
    #[must_use]
    pub fn gain(&self) -> f64 {
        let [product, square] = self.averages;
        if square > 0.0 { (product / square).clamp(0.0, 1.0) } else { 0.0 }
    }

    /// Corrects the advantages of `batch`, which `critic` has just evaluated, and then learns the gain from it.
    pub fn correct(&mut self, batch: &Rollout, critic: &Critic) {
        let gain = self.gain();
        self.horizon.begin(batch);
        self.advantages.clear();
        self.advantages.extend_from_slice(critic.advantages());
        self.horizon.missed(critic, &mut self.correction);
        let [mut own, mut product, mut square] = [0.0; 3];
        for (a, &c) in self.advantages.iter_mut().zip(&self.correction) {
            own += f64::from(*a * *a);
            product += f64::from(*a * c);
            square += f64::from(c * c);
            *a -= gain as f32 * c;
        }
        let size = own.max(square / 4.0);
        if size > 0.0 && size.is_finite() {
            for (average, new) in self.averages.iter_mut().zip([product, square]) {
                *average = DECAY * *average + (1.0 - DECAY) * new / size;
            }
        }
    }

    /// R̂ − V − η·correction `[rows]` of the last batch.
    #[must_use]
    pub fn advantages(&self) -> &[f32] {
        &self.advantages
    }

    /// Takes in the batch of [`correct`](Self::correct), once `critic` has been fitted to it. Observations and rewards are on the
    /// scale that V saw them on.
    pub fn fit(&mut self, batch: &Rollout, critic: &Critic, (gamma, lambda): (f64, f64), compute: &Compute) {
        self.horizon.take(batch, std::iter::empty());
        let horizon = &mut self.horizon;
        let (gamma, lambda) = (gamma as f32, lambda as f32);
        critic.read(|shape, parameters| {
            horizon.fit_scaled(shape, parameters, (gamma, lambda), compute);
        });
    }

    /// Brings the batches kept, and the correction, to the scales that V has been [kept](Critic::keep) for.
    pub fn keep(&mut self, moved: &Moved) {
        self.horizon.keep_scaled(moved);
    }

    /// The batches kept, β, and the gain's averages.
    #[must_use]
    pub fn state(&self) -> StateDict {
        let mut state = self.horizon.state();
        state.insert("averages", StateTensor::F64(self.averages.to_vec()));
        state
    }

    /// Takes over what [`state`](Self::state) gave.
    ///
    /// # Errors
    /// If an array is missing or does not fit.
    pub fn restore(&mut self, state: &StateDict) -> Result<(), AgentError> {
        let averages = state.f64_array("averages")?;
        self.horizon.restore(state)?;
        self.averages = averages;
        Ok(())
    }
}
