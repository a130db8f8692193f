//! What a model says of the actions that could have been taken, and what q(s, a) becomes of it with V as it is at the time.
//!
//! ```text
//! q(s, a) = r̂ + γ(1 − d̂)·V(ŝ') − V(s)
//! ```

use super::correction::Correction;
use super::world_model::ModelScratch;
use relax_nn::{MlpShape, Workspace};

/// What q is made of beside the model.
#[derive(Debug, Clone, Copy)]
pub struct Beyond<'a> {
    /// V's network.
    pub shape: &'a MlpShape,
    /// V's weights.
    pub parameters: &'a [f32],
    /// γ.
    pub gamma: f32,
    /// What is added to V(ŝ'), if anything is.
    pub correction: Option<Correction<'a>>,
}

/// What the model says of every candidate action at r rows: of all combinations of choices; or of the action taken, then of the
/// fresh ones.
#[derive(Debug, Default)]
pub struct Candidates {
    /// ŝ' `[candidates, r, D]`, in the environment's own units.
    pub next: Vec<f32>,
    /// r̂ `[candidates, r]`, in the environment's own units.
    pub rewards: Vec<f32>,
    /// 1 − d̂ `[candidates, r]`.
    pub going_on: Vec<f32>,
    /// Share of each candidate in the expectation over the policy's actions, `[candidates, r]`.
    pub weights: Vec<f32>,
    /// Which of the candidates was taken, `[r]`.
    pub taken: Vec<u32>,
}

impl Candidates {
    /// Empties it.
    pub fn clear(&mut self) {
        for array in [&mut self.next, &mut self.rewards, &mut self.going_on, &mut self.weights] {
            array.clear();
        }
        self.taken.clear();
    }

    /// Appends what the model says of one more action at each row, of these `weights` `[r]` in the expectation.
    pub fn push(&mut self, prediction: &ModelScratch, weights: impl Iterator<Item = f32>) {
        self.next.extend_from_slice(&prediction.next);
        self.rewards.extend_from_slice(&prediction.reward);
        self.going_on.extend_from_slice(&prediction.going_on);
        self.weights.extend(weights);
    }

    /// q `[candidates, r]` of the rows, whose V is `values` `[r]`; `normalise` puts observations and rewards on the scale
    /// that V and the returns live on.
    pub fn appraise(
        &self,
        values: &[f32],
        beyond: Beyond<'_>,
        normalise: impl Fn(&mut [f32], &mut [f32]),
        scratch: &mut Appraisal,
    ) {
        let Appraisal { q, next, rewards, values: next_values, workspace } = scratch;
        q.clear();
        let r = self.taken.len();
        if r == 0 {
            return;
        }
        let dim = self.next.len() / self.rewards.len();
        for first in (0..self.rewards.len()).step_by(r) {
            next.clear();
            next.extend_from_slice(&self.next[first * dim..(first + r) * dim]);
            rewards.clear();
            rewards.extend_from_slice(&self.rewards[first..first + r]);
            normalise(next, rewards);
            next_values.resize(r, 0.0);
            beyond.shape.forward(beyond.parameters, &*next, workspace, next_values);
            if let Some(correction) = beyond.correction {
                correction.add(workspace, next_values);
            }
            for (row, &v) in values.iter().enumerate() {
                q.push(rewards[row] + beyond.gamma * self.going_on[first + row] * next_values[row] - v);
            }
        }
    }

    /// EA of q within ±`bound`, and the C of the action taken, at row `row`.
    #[must_use]
    pub fn expectation(&self, q: &[f32], row: usize, bound: f32) -> (f32, f32) {
        let n = self.taken.len();
        let of = |candidate: usize| q[candidate * n + row].clamp(-bound, bound);
        // A candidate without weight, such as a masked choice, is left out, whatever q says of it.
        let each =
            (0..q.len() / n).map(|i| (i, self.weights[i * n + row])).filter(|(_, weight)| *weight > 0.0);
        let mean = each.map(|(i, weight)| weight * of(i)).sum::<f32>();
        (mean, of(self.taken[row] as usize) - mean)
    }
}

/// q of candidates, and what it took.
#[derive(Debug, Default)]
pub struct Appraisal {
    /// q `[candidates, r]`.
    pub q: Vec<f32>,
    next: Vec<f32>,
    rewards: Vec<f32>,
    values: Vec<f32>,
    workspace: Workspace<f32>,
}
