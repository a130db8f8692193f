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

use super::candidates::{Appraisal, Beyond, Candidates};
use super::gains::Products;
use super::guard::VERSIONS;
use super::latin_hypercube;
use super::world_model::{ModelScratch, WorldModel};
use relax_envs::EnvRng;

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

/// C, G and EA of one version of q.
#[derive(Debug, Clone, Default)]
pub struct Terms {
    /// C(s, a) of the action taken, `[r]`.
    pub c: Vec<f32>,
    /// G(s), `[r, P]`.
    pub g: Vec<f32>,
    /// EA(s), `[r]`.
    pub mean: Vec<f32>,
    /// Products of A and the four B_i over the rows.
    pub products: Products<4>,
}

/// One shard's q and what becomes of it.
#[derive(Debug, Default)]
pub struct Lookahead {
    /// Of q within the bound of each version.
    pub terms: [Terms; VERSIONS],
    /// What q is made of.
    candidates: Candidates,
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
        self.candidates.appraise(values, beyond, normalise, &mut self.appraisal);
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
        candidates.push(prediction, weights);
    }

    /// C, G and EA of all versions: of q within ± each of `bounds`.
    pub fn expect(&mut self, actions: Actions<'_>, bounds: [f32; VERSIONS]) {
        let Self { terms, candidates, appraisal: Appraisal { q, .. }, noise, drawn, .. } = self;
        let n = candidates.taken.len();
        for (terms, bound) in terms.iter_mut().zip(bounds) {
            terms.c.clear();
            terms.g.clear();
            terms.mean.clear();
            for row in 0..n {
                let (mean, c) = candidates.expectation(q, row, bound);
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
mod tests;
