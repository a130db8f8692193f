//! The model's derivative by the features of the action, which need not be one-hot there.

use super::{CLIP, ModelScratch, Net, WorldModel};

/// What a pass back through the model needs, allocated once.
#[derive(Debug, Default)]
pub struct Slopes {
    /// By ŝ' `[r, D]`, in the environment's own units: to be filled before the pass, which adds to it.
    pub next: Vec<f32>,
    /// By r̂ `[r]`, in the environment's own units.
    pub reward: Vec<f32>,
    /// By 1 − d̂ `[r]`.
    pub going_on: Vec<f32>,
    /// By the action's features `[r, K]`: what the pass leaves.
    pub features: Vec<f32>,
    outcomes: Vec<f32>,
    outcome_input: Vec<f32>,
    change: Vec<f32>,
    dynamics_input: Vec<f32>,
}

impl WorldModel {
    /// Sends the derivatives of any function of ŝ', r̂ and 1 − d̂ back to the action's features, the other way round through both
    /// networks and the numbers that they are standardised by; beyond where these are cut off the derivative is 0. Must follow
    /// [`predict`](Self::predict) with the same `scratch`.
    pub fn back(&self, scratch: &mut ModelScratch, slopes: &mut Slopes) {
        let (d, k) = (self.dim, self.features.width());
        let ModelScratch { going_on, dynamics, outcome, outcome_input, .. } = scratch;
        let rows = going_on.len();
        slopes.outcomes.clear();
        for (row, &on) in going_on.iter().enumerate() {
            slopes.outcomes.push(slopes.reward[row] * self.rewards.std[0]);
            // 1 − d̂ = σ(−ℓ).
            slopes.outcomes.push(-slopes.going_on[row] * on * (1.0 - on));
        }
        slopes.outcome_input.resize(rows * (3 * d + k), 0.0);
        let Net { shape, parameters, .. } = &self.outcome;
        shape.input_gradient(parameters, outcome, &slopes.outcomes, &mut slopes.outcome_input);

        slopes.change.clear();
        for (row, by_input) in slopes.outcome_input.chunks_exact(3 * d + k).enumerate() {
            let (by_change, by_next) = by_input[d + k..].split_at(d);
            let standard = &outcome_input[(row + 1) * (3 * d + k) - d..(row + 1) * (3 * d + k)];
            for i in 0..d {
                let inside = if standard[i].abs() < CLIP { self.observations.inverse[i] } else { 0.0 };
                slopes.next[row * d + i] += by_next[i] * inside;
                slopes.change.push(by_change[i] + slopes.next[row * d + i] * self.changes.std[i]);
            }
        }
        slopes.dynamics_input.resize(rows * (d + k), 0.0);
        let Net { shape, parameters, .. } = &self.dynamics;
        shape.input_gradient(parameters, dynamics, &slopes.change, &mut slopes.dynamics_input);

        slopes.features.clear();
        let inputs = slopes.dynamics_input.chunks_exact(d + k);
        for (by_dynamics, by_outcome) in inputs.zip(slopes.outcome_input.chunks_exact(3 * d + k)) {
            let both = by_dynamics[d..].iter().zip(&by_outcome[d..d + k]);
            slopes.features.extend(both.map(|(a, b)| a + b));
        }
    }
}
