//! q(s, a): how much better than V(s) a step with action a looks one step ahead, by a learned model; its expectation over the
//! policy's actions, and the gradient of that expectation.
//!
//! ```text
//! q(s, a) = r̂ + γ(1 − d̂)·V(ŝ') − V(s)
//! EA(s)   = E_π q(s, ·)          G(s) = ∇_l E_π q(s, ·)          C(s, a) = q(s, a) − EA(s)
//! ```
//! **Choices**: exact sums, EA = Σ_a p_a q_a, G_i = p_i (q_i − EA).
//!
//! **Numbers** (Gaussian): 2M fresh actions in two independent Latin hypercubes. EA is their mean, and
//!
//! ```text
//! G = mean over m of score(ε_m)·(q_m − mean of the q of the *other* hypercube)
//! ```
//! With the mean of all 2M in its place each action would be compared with itself, and G would be too small by 1/2M: a bias.
//! Either way E\[C | s\] = 0 and E\[G\] is the gradient, whatever the model: it must only not have seen the batch. EA itself is the
//! error of V that the model sees one step ahead, and depends on no action taken: a baseline.

use super::gains::Products;
use super::horizon::Correction;
use super::latin_hypercube;
use super::world_model::{ModelScratch, WorldModel};
use relax_envs::EnvRng;
use relax_nn::{MlpShape, Workspace};
use std::ops::Range;

/// The policy's distribution at the rows of a shard.
#[derive(Debug, Clone, Copy)]
pub enum Actions<'a> {
    /// Probabilities `[r, K]`, and the choices taken `[r]`.
    Choices {
        /// Probabilities `[r, K]`.
        probs: &'a [f32],
        /// What was taken, `[r]`.
        taken: &'a [u32],
    },
    /// Means and standard deviations `[r, K]`, and the numbers taken `[r, K]`.
    Numbers {
        /// Means `[r, K]`.
        mean: &'a [f32],
        /// Standard deviations `[r, K]`.
        std: &'a [f32],
        /// What was taken, before any clipping, `[r, K]`.
        taken: &'a [f32],
        /// M: actions in each of the two hypercubes.
        samples: usize,
    },
}

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

/// What the model says of every candidate action at r rows: of all choices; or of the numbers taken, then of the fresh ones.
#[derive(Debug, Clone, Default, PartialEq)]
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

    /// q `[candidates, rows]` of the rows `rows`, whose V is `values`; `normalise` puts observations and rewards on the scale
    /// that V and the returns live on.
    pub fn appraise(
        &self,
        rows: Range<usize>,
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
            let (start, end) = (first + rows.start, first + rows.end);
            next.clear();
            next.extend_from_slice(&self.next[start * dim..end * dim]);
            rewards.clear();
            rewards.extend_from_slice(&self.rewards[start..end]);
            normalise(next, rewards);
            next_values.resize(rows.len(), 0.0);
            beyond.shape.forward(beyond.parameters, &*next, workspace, next_values);
            if let Some(correction) = beyond.correction {
                correction.add(workspace, next_values);
            }
            for (row, &v) in values.iter().enumerate() {
                q.push(rewards[row] + beyond.gamma * self.going_on[start + row] * next_values[row] - v);
            }
        }
    }

    /// EA of q within ±`bound`, and the C of the action taken, at row `row` of `rows`.
    #[must_use]
    pub fn expectation(&self, q: &[f32], rows: &Range<usize>, row: usize, bound: f32) -> (f32, f32) {
        let (n, all, at) = (rows.len(), self.taken.len(), rows.start + row);
        let of = |candidate: usize| q[candidate * n + row].clamp(-bound, bound);
        let mean = (0..q.len() / n).map(|i| self.weights[i * all + at] * of(i)).sum::<f32>();
        (mean, of(self.taken[at] as usize) - mean)
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

/// C, G and EA of one version of q.
#[derive(Debug, Clone, Default)]
pub struct Terms {
    /// C(s, a) of the action taken, `[r]`.
    pub c: Vec<f32>,
    /// G(s), `[r, P]`.
    pub g: Vec<f32>,
    /// EA(s), `[r]`.
    pub mean: Vec<f32>,
    /// Products of A, B₁ = −s·F, B₂ = G − s·C and B₃ = −s·EA over the rows.
    pub products: Products<3>,
}

/// One shard's q and what becomes of it.
#[derive(Debug, Default)]
pub struct Lookahead {
    /// Of q as it is, and of q within a bound.
    pub terms: [Terms; 2],
    /// What q is made of.
    pub candidates: Candidates,
    appraisal: Appraisal,
    /// Noise of the fresh actions, `[2M, r, K]`.
    noise: Vec<f32>,
    /// Noise of one row's hypercube.
    row_noise: Vec<f32>,
    order: Vec<u32>,
    features: Vec<f32>,
    action: Vec<f32>,
    prediction: ModelScratch,
}

impl Lookahead {
    /// q of every candidate action at `states` `[r, D]` (in the environment's units), whose V is `values` `[r]`; `normalise` puts
    /// observations and rewards on the scale that V and the returns live on.
    pub fn evaluate(
        &mut self,
        model: &WorldModel,
        (states, values): (&[f32], &[f32]),
        actions: Actions<'_>,
        beyond: Beyond<'_>,
        rng: &mut EnvRng,
        normalise: impl Fn(&mut [f32], &mut [f32]),
    ) {
        let rows = values.len();
        model.start(states, &mut self.prediction);
        self.candidates.clear();
        match actions {
            Actions::Choices { probs, taken } => {
                let choices = probs.len() / rows;
                for choice in 0..choices {
                    self.features.clear();
                    for _ in 0..rows {
                        model.features().push(&[choice as f32], &mut self.features);
                    }
                    self.candidate(model, states, probs.iter().skip(choice).step_by(choices).copied());
                }
                self.candidates.taken.extend_from_slice(taken);
            }
            Actions::Numbers { mean, std, taken, samples } => {
                let k = mean.len() / rows;
                self.draw(rows, k, samples, rng);
                for candidate in 0..=2 * samples {
                    self.features.clear();
                    for row in 0..rows {
                        self.action.clear();
                        for i in row * k..(row + 1) * k {
                            self.action.push(match candidate {
                                0 => taken[i],
                                m => mean[i] + std[i] * self.noise[(m - 1) * rows * k + i],
                            });
                        }
                        model.features().push(&self.action, &mut self.features);
                    }
                    let weight = if candidate == 0 { 0.0 } else { 0.5 / samples as f32 };
                    self.candidate(model, states, std::iter::repeat_n(weight, rows));
                }
                self.candidates.taken.resize(rows, 0);
            }
        }
        self.candidates.appraise(0..rows, values, beyond, normalise, &mut self.appraisal);
    }

    /// Two hypercubes of noise for each row.
    fn draw(&mut self, rows: usize, k: usize, samples: usize, rng: &mut EnvRng) {
        self.noise.resize(2 * samples * rows * k, 0.0);
        self.row_noise.resize(samples * k, 0.0);
        for row in 0..rows {
            for half in 0..2 {
                latin_hypercube::fill(&mut self.row_noise, k, rng, &mut self.order);
                for (m, noise) in self.row_noise.chunks_exact(k).enumerate() {
                    let start = ((half * samples + m) * rows + row) * k;
                    self.noise[start..start + k].copy_from_slice(noise);
                }
            }
        }
    }

    /// Appends what the model says of the action in `features`, which has these `weights` `[r]` in the expectation.
    fn candidate(&mut self, model: &WorldModel, states: &[f32], weights: impl Iterator<Item = f32>) {
        let Self { prediction, features, candidates, .. } = self;
        model.predict(states, features, prediction);
        candidates.next.extend_from_slice(&prediction.next);
        candidates.rewards.extend_from_slice(&prediction.reward);
        candidates.going_on.extend_from_slice(&prediction.going_on);
        candidates.weights.extend(weights);
    }

    /// C, G and EA of both versions: of q as it is, and of q within ±`bound`.
    pub fn expect(&mut self, actions: Actions<'_>, bound: f32) {
        let Self { terms, candidates, appraisal: Appraisal { q, .. }, noise, .. } = self;
        let rows = 0..candidates.taken.len();
        for (terms, bound) in terms.iter_mut().zip([f32::INFINITY, bound]) {
            terms.c.clear();
            terms.g.clear();
            terms.mean.clear();
            for row in rows.clone() {
                let (mean, c) = candidates.expectation(q, &rows, row, bound);
                terms.mean.push(mean);
                terms.c.push(c);
                let of = |candidate: usize| q[candidate * rows.len() + row].clamp(-bound, bound);
                match actions {
                    Actions::Choices { probs, .. } => {
                        let k = probs.len() / rows.len();
                        let p = probs[row * k..(row + 1) * k].iter().enumerate();
                        terms.g.extend(p.map(|(i, p)| p * (of(i) - mean)));
                    }
                    Actions::Numbers { std, samples, .. } => {
                        let k = std.len() / rows.len();
                        let half = |h: usize| {
                            (1..=samples).map(|m| of(h * samples + m)).sum::<f32>() / samples as f32
                        };
                        let means = [half(0), half(1)];
                        let start = terms.g.len();
                        terms.g.resize(start + 2 * k, 0.0);
                        let (to_mean, to_log_std) = terms.g[start..].split_at_mut(k);
                        for m in 0..2 * samples {
                            let other = means[1 - m / samples];
                            let weight = (of(m + 1) - other) / (2 * samples) as f32;
                            for i in 0..k {
                                let e = noise[(m * rows.len() + row) * k + i];
                                to_mean[i] += weight * e / std[row * k + i];
                                to_log_std[i] += weight * (e * e - 1.0);
                            }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// μ, σ of the one number, and q(a) = a² + a: E q = μ² + σ² + μ, ∂/∂μ = 2μ + 1, ∂/∂log σ = 2σ².
    const MEAN: f32 = 0.4;
    const STD: f32 = 0.7;

    fn q(a: f32) -> f32 {
        a * a + a
    }

    /// Fills q and the noise as [`Lookahead::evaluate`] would.
    fn drawn(rng: &mut EnvRng, samples: usize, taken: f32) -> Lookahead {
        let mut it = Lookahead::default();
        it.draw(1, 1, samples, rng);
        it.appraisal.q.push(q(taken));
        it.appraisal.q.extend(it.noise.iter().map(|e| q(MEAN + STD * e)));
        it.candidates.taken.push(0);
        it.candidates.weights.push(0.0);
        it.candidates.weights.resize(1 + 2 * samples, 0.5 / samples as f32);
        it
    }

    #[test]
    fn with_numbers_c_has_mean_0_and_g_is_the_gradient_but_not_with_a_mean_that_holds_its_own() {
        let (mut rng, samples, n) = (EnvRng::from_seed(3), 2, 20_000);
        let mut sums = [[0.0f64; 2]; 5];
        for _ in 0..n {
            let taken = MEAN + STD * rng.standard_normal() as f32;
            let mut it = drawn(&mut rng, samples, taken);
            let actions = Actions::Numbers { mean: &[MEAN], std: &[STD], taken: &[taken], samples };
            it.expect(actions, f32::INFINITY);
            let Terms { c, g, .. } = &it.terms[0];
            let own: f32 = it.appraisal.q[1..].iter().sum::<f32>() / 4.0;
            let wrong = |score: &dyn Fn(f32) -> f32| {
                let all = it.appraisal.q[1..].iter().zip(&it.noise);
                all.map(|(q, &e)| score(e) * (q - own) / 4.0).sum::<f32>()
            };
            let wrongly = [wrong(&|e| e / STD), wrong(&|e| e * e - 1.0)];
            for (sum, x) in sums.iter_mut().zip([c[0], g[0], g[1], wrongly[0], wrongly[1]]) {
                sum[0] += f64::from(x);
                sum[1] += f64::from(x) * f64::from(x);
            }
        }
        let z = |i: usize, truth: f64| {
            let mean = sums[i][0] / f64::from(n);
            (mean - truth) / ((sums[i][1] / f64::from(n) - mean * mean) / f64::from(n)).sqrt()
        };
        let (by_mean, by_log_std) = (2.0 * 0.4 + 1.0, 2.0 * 0.49);
        for (i, truth) in [(0, 0.0), (1, by_mean), (2, by_log_std)] {
            assert!(z(i, truth).abs() < 4.0, "{i}: {}", z(i, truth));
        }
        for (i, truth) in [(3, by_mean), (4, by_log_std)] {
            assert!(z(i, truth) < -10.0, "{i}: {}", z(i, truth));
        }
    }

    #[test]
    fn with_choices_the_sums_are_exact_and_the_bound_clips_q_before_them() {
        let probs = [0.2, 0.3, 0.5];
        let mut it = Lookahead::default();
        it.appraisal.q = vec![1.0, -2.0, 5.0];
        it.candidates = Candidates { weights: probs.to_vec(), taken: vec![2], ..Candidates::default() };
        it.expect(Actions::Choices { probs: &probs, taken: &[2] }, 2.0);
        // EA = 0.2 − 0.6 + 2.5 = 2.1, and with 2 for 5: 0.6.
        for (terms, mean, top) in [(&it.terms[0], 2.1f32, 5.0), (&it.terms[1], 0.6, 2.0)] {
            assert!((terms.c[0] - (top - mean)).abs() < 1e-6 && (terms.mean[0] - mean).abs() < 1e-6);
            for ((g, p), q) in terms.g.iter().zip(probs).zip([1.0, -2.0, top]) {
                assert!((g - p * (q - mean)).abs() < 1e-6);
            }
            assert!(terms.g.iter().sum::<f32>().abs() < 1e-6);
        }
    }
}
