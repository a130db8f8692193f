//! q(s, a): how much better than V(s) a step with action a looks one step ahead, by a learned model; its expectation over the
//! policy's actions, and the gradient of that expectation.
//!
//! ```text
//! q(s, a) = r̂ + γ(1 − d̂)·V(ŝ') − V(s)
//! EA(s)   = E_π q(s, ·)          G(s) = ∇_l E_π q(s, ·)          C(s, a) = q(s, a) − EA(s)
//! ```
//! **Choices**: exact sums, EA = Σ_a p_a q_a, G_i = p_i (q_i − EA); over all combinations where several choices are made at once,
//! G_{f,i} = Σ_{a: a_f = i} p_a (q_a − EA), as long as there are no more than 32 of them. Else 2M combinations are drawn, in two
//! independent sets, as for numbers.
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

/// Most combinations of choices that are all looked at.
const MOST: usize = 32;

/// The policy's distribution at the rows of a shard.
#[derive(Debug, Clone, Copy)]
pub enum Actions<'a> {
    /// One choice or several at once, each with probabilities of its own.
    Choices {
        /// Choices of each factor, F of them, K in all.
        sizes: &'a [usize],
        /// Probabilities `[r, K]`, the factors' one after the other.
        probs: &'a [f32],
        /// What was taken, `[r, F]`.
        taken: &'a [u32],
        /// M: combinations in each of two sets, where there are too many for a sum over all.
        samples: usize,
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

/// What the model says of every candidate action at r rows: of all combinations of choices; or of the action taken, then of the
/// fresh ones.
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
        // A candidate without weight, such as a masked choice, is left out, whatever q says of it.
        let each =
            (0..q.len() / n).map(|i| (i, self.weights[i * all + at])).filter(|(_, weight)| *weight > 0.0);
        let mean = each.map(|(i, weight)| weight * of(i)).sum::<f32>();
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
    /// The choices taken, then the fresh ones, `[1 + 2M, r, F]`.
    drawn: Vec<u32>,
    features: Vec<f32>,
    action: Vec<f32>,
    combination: Vec<f32>,
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
            Actions::Choices { sizes, probs, taken, samples } => {
                let (factors, width) = (sizes.len(), sizes.iter().sum::<usize>());
                match combinations(sizes) {
                    Some(count) => {
                        for candidate in 0..count {
                            self.combination.clear();
                            self.combination.extend(choices(sizes, candidate).map(|i| i as f32));
                            self.features.clear();
                            for _ in 0..rows {
                                model.features().push(&self.combination, &mut self.features);
                            }
                            let weights = probs.chunks_exact(width).map(|p| probability(sizes, p, candidate));
                            self.candidate(model, states, weights);
                        }
                        let index = |of_row: &[u32]| {
                            let pairs = sizes.iter().zip(of_row);
                            pairs.fold(0, |index, (&k, &choice)| index * k as u32 + choice)
                        };
                        self.candidates.taken.extend(taken.chunks_exact(factors).map(index));
                    }
                    None => {
                        self.draw_choices(sizes, probs, taken, samples, rng);
                        for candidate in 0..=2 * samples {
                            self.features.clear();
                            let of = candidate * rows * factors..(candidate + 1) * rows * factors;
                            for drawn in self.drawn[of].chunks_exact(factors) {
                                self.action.clear();
                                self.action.extend(drawn.iter().map(|&i| i as f32));
                                model.features().push(&self.action, &mut self.features);
                            }
                            let weight = if candidate == 0 { 0.0 } else { 0.5 / samples as f32 };
                            self.candidate(model, states, std::iter::repeat_n(weight, rows));
                        }
                        self.candidates.taken.resize(rows, 0);
                    }
                }
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

    /// The choices taken, then 2M combinations for each row, into `drawn` `[1 + 2M, r, F]`.
    fn draw_choices(
        &mut self,
        sizes: &[usize],
        probs: &[f32],
        taken: &[u32],
        samples: usize,
        rng: &mut EnvRng,
    ) {
        self.drawn.clear();
        self.drawn.extend_from_slice(taken);
        for _ in 0..2 * samples {
            for mut p in probs.chunks_exact(sizes.iter().sum()) {
                for &k in sizes {
                    let (own, rest) = p.split_at(k);
                    p = rest;
                    let mut left = rng.uniform_open_f32();
                    let beyond = |&p: &f32| {
                        left -= p;
                        left < 0.0
                    };
                    // Rounding may leave a little beyond the last choice; it then goes to the likeliest.
                    let found = own.iter().position(beyond).unwrap_or_else(|| {
                        (0..k).max_by(|&i, &j| own[i].total_cmp(&own[j])).unwrap_or_default()
                    });
                    self.drawn.push(found as u32);
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
        let Self { terms, candidates, appraisal: Appraisal { q, .. }, noise, drawn, .. } = self;
        let rows = 0..candidates.taken.len();
        let n = rows.len();
        for (terms, bound) in terms.iter_mut().zip([f32::INFINITY, bound]) {
            terms.c.clear();
            terms.g.clear();
            terms.mean.clear();
            for row in rows.clone() {
                let (mean, c) = candidates.expectation(q, &rows, row, bound);
                terms.mean.push(mean);
                terms.c.push(c);
                let of = |candidate: usize| q[candidate * n + row].clamp(-bound, bound);
                let start = terms.g.len();
                match actions {
                    Actions::Choices { sizes, probs, taken, samples } => {
                        let (width, factors) = (probs.len() / n, taken.len() / n);
                        terms.g.resize(start + width, 0.0);
                        let g = &mut terms.g[start..];
                        if let Some(count) = combinations(sizes) {
                            for candidate in 0..count {
                                let share = candidates.weights[candidate * n + row];
                                // What has no probability, such as a masked choice, is left out, whatever q says of it.
                                let weight = if share > 0.0 { share * (of(candidate) - mean) } else { 0.0 };
                                let mut first = 0;
                                for (&k, choice) in sizes.iter().zip(choices(sizes, candidate)) {
                                    g[first + choice] += weight;
                                    first += k;
                                }
                            }
                        } else {
                            let p = &probs[row * width..(row + 1) * width];
                            each_fresh(of, samples, |m, weight| {
                                g.iter_mut().zip(p).for_each(|(g, p)| *g -= weight * p);
                                let at = ((m + 1) * n + row) * factors;
                                let mut first = 0;
                                for (&k, &choice) in sizes.iter().zip(&drawn[at..at + factors]) {
                                    g[first + choice as usize] += weight;
                                    first += k;
                                }
                            });
                        }
                    }
                    Actions::Numbers { std, samples, .. } => {
                        let k = std.len() / n;
                        terms.g.resize(start + 2 * k, 0.0);
                        let (to_mean, to_log_std) = terms.g[start..].split_at_mut(k);
                        each_fresh(of, samples, |m, weight| {
                            for i in 0..k {
                                let e = noise[(m * n + row) * k + i];
                                to_mean[i] += weight * e / std[row * k + i];
                                to_log_std[i] += weight * (e * e - 1.0);
                            }
                        });
                    }
                }
            }
        }
    }
}

/// Shows every fresh action m of two sets of `samples`, whose q is `of(m + 1)`, with what multiplies its score in G: a share of
/// its q over the mean of the *other* set.
fn each_fresh(of: impl Fn(usize) -> f32, samples: usize, mut see: impl FnMut(usize, f32)) {
    let half = |h: usize| (1..=samples).map(|m| of(h * samples + m)).sum::<f32>() / samples as f32;
    let means = [half(0), half(1)];
    for m in 0..2 * samples {
        see(m, (of(m + 1) - means[1 - m / samples]) / (2 * samples) as f32);
    }
}

/// How many combinations of choices there are, if they are few enough to look at all; a single choice always is.
fn combinations(sizes: &[usize]) -> Option<usize> {
    let count = sizes.iter().try_fold(1usize, |product, &k| product.checked_mul(k))?;
    (count <= MOST || sizes.len() == 1).then_some(count)
}

/// The choices of combination `index`, the last factor's changing fastest.
fn choices(sizes: &[usize], index: usize) -> impl Iterator<Item = usize> {
    let all: usize = sizes.iter().product();
    sizes.iter().scan((all, index), |(block, rest), &k| {
        *block /= k;
        let choice = *rest / *block;
        *rest %= *block;
        Some(choice)
    })
}

/// Probability of combination `index` where the factors' are `p` `[K]`.
fn probability(sizes: &[usize], p: &[f32], index: usize) -> f32 {
    let mut first = 0;
    sizes.iter().zip(choices(sizes, index)).fold(1.0, |product, (&k, choice)| {
        first += k;
        product * p[first - k + choice]
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
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
        it.expect(Actions::Choices { sizes: &[3], probs: &probs, taken: &[2], samples: 1 }, 2.0);
        // EA = 0.2 − 0.6 + 2.5 = 2.1, and with 2 for 5: 0.6.
        for (terms, mean, top) in [(&it.terms[0], 2.1f32, 5.0), (&it.terms[1], 0.6, 2.0)] {
            assert!((terms.c[0] - (top - mean)).abs() < 1e-6 && (terms.mean[0] - mean).abs() < 1e-6);
            for ((g, p), q) in terms.g.iter().zip(probs).zip([1.0, -2.0, top]) {
                assert!((g - p * (q - mean)).abs() < 1e-6);
            }
            assert!(terms.g.iter().sum::<f32>().abs() < 1e-6);
        }
    }

    /// A model of states of one number for choices of these sizes.
    fn model(sizes: &[usize]) -> WorldModel {
        use crate::config::ActivationKind;
        use crate::parts::networks::Network;
        let features = super::super::world_model::ActionFeatures::Choices(sizes.to_vec());
        let network = Network { hidden: &[4], activation: ActivationKind::Tanh };
        WorldModel::new(1, features, &network, &mut EnvRng::from_seed(5)).unwrap()
    }

    #[test]
    fn with_several_choices_drawn_ones_have_the_mean_of_the_sum_over_all() {
        // 27 combinations are all looked at; with a factor more that is always the same, 81 are too many and are drawn.
        let (few, many) = ([3, 3, 3], [3, 3, 3, 3]);
        assert_eq!(
            (combinations(&few), combinations(&many), combinations(&[99])),
            (Some(27), None, Some(99))
        );
        assert_eq!(choices(&[2, 3, 2], 7).collect::<Vec<_>>(), [1, 0, 1]);
        let p = [0.2, 0.3, 0.5, 0.6, 0.1, 0.3, 0.1, 0.1, 0.8];
        assert!((probability(&few, &p, 14) - 0.3 * 0.1 * 0.8).abs() < 1e-7);
        let q = |c: &[usize]| (c[0] * c[1]) as f32 + 0.3 * c[2] as f32 - 0.2;
        let mut exact = Lookahead::default();
        exact.appraisal.q = (0..27).map(|i| q(&choices(&few, i).collect::<Vec<_>>())).collect();
        exact.candidates.weights = (0..27).map(|i| probability(&few, &p, i)).collect();
        exact.candidates.taken = vec![14];
        exact.expect(
            Actions::Choices { sizes: &few, probs: &p, taken: &[1, 1, 2], samples: 2 },
            f32::INFINITY,
        );

        let p: Vec<f32> = p.into_iter().chain([1.0, 0.0, 0.0]).collect();
        let (mut rng, mut it, taken) = (EnvRng::from_seed(1), Lookahead::default(), [1, 1, 2, 0]);
        let (n, mut sums) = (20_000, [[0.0f64; 2]; 13]);
        for _ in 0..n {
            it.draw_choices(&many, &p, &taken, 2, &mut rng);
            let wide = |drawn: &[u32]| drawn.iter().map(|&i| i as usize).collect::<Vec<_>>();
            it.appraisal.q = it.drawn.chunks_exact(4).map(|drawn| q(&wide(drawn))).collect();
            it.candidates.weights = vec![0.0, 0.25, 0.25, 0.25, 0.25];
            it.candidates.taken = vec![0];
            it.expect(Actions::Choices { sizes: &many, probs: &p, taken: &taken, samples: 2 }, f32::INFINITY);
            let terms = &it.terms[0];
            for (sum, &x) in sums.iter_mut().zip(terms.g.iter().chain(&terms.mean)) {
                sum[0] += f64::from(x);
                sum[1] += f64::from(x * x);
            }
        }
        let of_all = &exact.terms[0];
        let truths = of_all.g.iter().copied().chain([0.0; 3]).chain(of_all.mean.iter().copied());
        for (i, (truth, [sum, squares])) in truths.zip(sums).enumerate() {
            let mean = sum / f64::from(n);
            let error = ((squares / f64::from(n) - mean * mean) / f64::from(n)).sqrt();
            assert!((mean - f64::from(truth)).abs() <= 4.0 * error + 1e-6, "{i}: {mean} {truth} ± {error}");
        }
        assert!(of_all.g.iter().any(|g| g.abs() > 0.1));
    }

    #[test]
    fn a_model_of_several_choices_sees_every_combination_as_its_own() {
        let (sizes, shape) = ([2, 3], MlpShape::new(1, &[3], 1, relax_nn::Activation::Tanh));
        let parameters = vec![0.1; shape.parameter_count()];
        let beyond = Beyond { shape: &shape, parameters: &parameters, gamma: 0.9, correction: None };
        let probs = [0.4, 0.6, 0.2, 0.3, 0.5];
        let actions = Actions::Choices { sizes: &sizes, probs: &probs, taken: &[1, 2], samples: 1 };
        let mut it = Lookahead::default();
        let nothing = |_: &mut [f32], _: &mut [f32]| {};
        it.evaluate(&model(&sizes), (&[0.5], &[0.0]), actions, beyond, &mut EnvRng::from_seed(1), nothing);
        assert_eq!((it.candidates.taken.as_slice(), it.appraisal.q.len()), (&[5][..], 6));
        assert!((it.candidates.weights.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert!((it.candidates.weights[5] - 0.3).abs() < 1e-6);
        let mut sorted = it.candidates.next.clone();
        sorted.sort_by(f32::total_cmp);
        assert!(sorted.windows(2).all(|pair| pair[0] < pair[1]), "{sorted:?}");
    }
}
