//! V₂ − V: what is added to V where h steps of a rollout of T are left. [`horizon`](super::horizon) finds it.

use relax_nn::Workspace;

/// β with what else its use takes.
#[derive(Debug, Clone, Copy)]
pub struct Correction<'a> {
    /// β: of ψ and 1, then of (h/T)ψ and h/T.
    pub weights: &'a [f32],
    /// Largest size of what is added.
    pub bound: f32,
    /// λ: the share of V₂, beside 1 − λ of V.
    pub lambda: f32,
    /// (h − 1)/T of each row, `[r]`: what is left of the rollout where the row leads to.
    pub shares: &'a [f32],
    /// What is added to these: 0, or 1/T for the rows themselves.
    pub more: f32,
}

impl Correction<'_> {
    /// Adds λ·(V₂ − V) to the values `[r]` of V that the pass of `workspace` has just given.
    pub fn add(&self, workspace: &Workspace<f32>, values: &mut [f32]) {
        let (first, second) = self.weights.split_at(self.weights.len() / 2);
        let width = first.len() - 1;
        let hidden = workspace.last_hidden();
        for (row, (value, share)) in values.iter_mut().zip(self.shares).enumerate() {
            let share = share + self.more;
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
