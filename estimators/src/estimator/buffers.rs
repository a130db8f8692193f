//! The arrays of one estimate, allocated once and used again.

use super::{Family, Layer};
use crate::{
    FreeGradient, Node, Projection, Real, bernoulli, categorical, group_gain_statistics, stick_logits,
    stick_outcome,
};

/// What one call of [`Estimator::estimate`](crate::Estimator::estimate) computed. Reused, it allocates nothing.
#[derive(Debug, Default)]
pub struct Estimate<F> {
    pub(super) rows: usize,
    pub(super) f: Vec<F>,
    /// f along the second path of an antithetic pair, a baseline, or f at the mean field.
    pub(super) f_other: Vec<F>,
    pub(super) samples: Vec<Vec<F>>,
    /// Samples of the second path.
    pub(super) others: Vec<Vec<F>>,
    pub(super) noise: Vec<Vec<F>>,
    pub(super) nodes: Vec<Buffers<F>>,
    /// A layer of the second path.
    pub(super) upper: Buffers<F>,
    pub(super) surrogate: Surrogate<F>,
}

/// What a surrogate adds: c of the paid samples, and everything of the free ones.
#[derive(Debug, Default)]
pub(super) struct Surrogate<F> {
    pub c: Vec<F>,
    pub baseline: Vec<F>,
    pub samples: Vec<Vec<F>>,
    pub noise: Vec<F>,
    pub free_c: Vec<F>,
    pub nodes: Vec<Buffers<F>>,
    pub sums: Vec<FreeGradient<F>>,
    /// ∂E\[c\]/∂l of each layer, `[B/group, K]`.
    pub gradients: Vec<Vec<F>>,
    /// Leave-one-out and what the surrogate takes off it, of each layer, `[B, K]`.
    pub a: Vec<Vec<F>>,
    pub b: Vec<Vec<F>>,
    pub group: usize,
}

impl<F: Real> Estimate<F> {
    /// Empty arrays.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// f of each sample, `[B]`.
    #[must_use]
    pub fn f(&self) -> &[F] {
        &self.f
    }

    /// ĝ of a layer, `[B, K]`.
    #[must_use]
    pub fn gradient(&self, layer: usize) -> &[F] {
        &self.nodes[layer].gradient
    }

    /// The hard sample of a layer as f takes it, `[B, K]`.
    #[must_use]
    pub fn sample(&self, layer: usize) -> &[F] {
        &self.samples[layer]
    }

    /// The score of a layer, `[B, K]`: what a [`LearnedBaseline`](crate::LearnedBaseline) is updated with.
    #[must_use]
    pub fn score(&self, layer: usize) -> &[F] {
        &self.nodes[layer].score
    }

    /// f of each sample, `[B]`, to be filled in between [`Estimator::draw`](crate::Estimator::draw) and
    /// [`Estimator::gradients`](crate::Estimator::gradients).
    pub fn f_mut(&mut self) -> &mut [F] {
        &mut self.f
    }

    /// The hard samples of all layers as f takes them, `[B, K]` each.
    #[must_use]
    pub fn samples(&self) -> &[Vec<F>] {
        &self.samples
    }

    /// c of each sample, `[B]`, after an estimate with a surrogate.
    #[must_use]
    pub fn surrogate(&self) -> &[F] {
        &self.surrogate.c
    }

    /// (A·B, B·B) of the batch just estimated with a surrogate, all layers together: what
    /// [`AdaptiveGain::update`](crate::AdaptiveGain::update) takes *after* the batch has been used.
    #[must_use]
    pub fn surrogate_statistics(&self) -> (f64, f64) {
        let Surrogate { a, b, group, .. } = &self.surrogate;
        let of_layers = a.iter().zip(b).map(|(a, b)| group_gain_statistics(a, b, self.rows, *group));
        of_layers.fold((0.0, 0.0), |(ab, bb), (x, y)| (ab + x, bb + y))
    }

    pub(super) fn resize(&mut self, layers: &[Layer], rows: usize) {
        self.rows = rows;
        self.f.resize(rows, F::ZERO);
        self.f_other.resize(rows, F::ZERO);
        for arrays in [&mut self.samples, &mut self.others, &mut self.noise] {
            arrays.resize_with(layers.len(), Vec::new);
            for (array, layer) in arrays.iter_mut().zip(layers) {
                array.resize(rows * layer.width, F::ZERO);
            }
        }
        self.nodes.resize_with(layers.len(), Buffers::default);
        for (node, layer) in self.nodes.iter_mut().zip(layers) {
            node.resize(rows, *layer);
        }
    }
}

impl<F: Real> Surrogate<F> {
    pub fn resize(&mut self, layers: &[Layer], rows: usize, group: usize) {
        self.group = group;
        for array in [&mut self.c, &mut self.baseline, &mut self.free_c] {
            array.resize(rows, F::ZERO);
        }
        self.nodes.resize_with(layers.len(), Buffers::default);
        self.sums.resize_with(layers.len(), FreeGradient::default);
        for (node, layer) in self.nodes.iter_mut().zip(layers) {
            node.resize(rows, *layer);
        }
        for arrays in [&mut self.samples, &mut self.gradients, &mut self.a, &mut self.b] {
            arrays.resize_with(layers.len(), Vec::new);
        }
        for (l, layer) in layers.iter().enumerate() {
            for array in [&mut self.samples[l], &mut self.a[l], &mut self.b[l]] {
                array.resize(rows * layer.width, F::ZERO);
            }
            self.gradients[l].resize(rows / group * layer.width, F::ZERO);
        }
    }
}

/// c, and the parts that it is made of, at one relaxed sample.
#[derive(Debug, Default)]
pub(super) struct Point<F> {
    pub z: Vec<F>,
    pub relaxed: Vec<F>,
    pub f_gradient: Vec<F>,
    /// h = f∘σ_λ and ∇h.
    pub h: Vec<F>,
    pub h_slope: Vec<F>,
    /// c = η·h + r and ∇c.
    pub c: Vec<F>,
    pub slope: Vec<F>,
    pub alpha: Vec<F>,
    pub beta: Vec<F>,
}

impl<F: Real> Point<F> {
    fn resize(&mut self, rows: usize, len: usize) {
        for array in [&mut self.h, &mut self.c, &mut self.alpha] {
            array.resize(rows, F::ZERO);
        }
        for array in [
            &mut self.z,
            &mut self.relaxed,
            &mut self.f_gradient,
            &mut self.h_slope,
            &mut self.slope,
            &mut self.beta,
        ] {
            array.resize(len, F::ZERO);
        }
    }
}

/// The arrays of one layer, `[B, K]` unless said otherwise.
#[derive(Debug, Default)]
pub(super) struct Buffers<F> {
    pub logits: Vec<F>,
    pub log_probs: Vec<F>,
    /// θ or p.
    pub probs: Vec<F>,
    pub score: Vec<F>,
    pub w: Vec<F>,
    pub gradient: Vec<F>,
    pub upstream: Vec<F>,
    pub scratch: Vec<F>,
    pub scratch_too: Vec<F>,
    /// Outcomes of a categorical layer, `[B]`, or `[B, T]` where it has T choices.
    pub index: Vec<u32>,
    /// z and z̃.
    pub at: [Point<F>; 2],
    /// Of a pair: the Bernoulli logits that are tossed, and the tosses, `[B, K]` or `[B, K−1]`.
    pub alpha: Vec<F>,
    pub bits: Vec<F>,
    pub other_bits: Vec<F>,
    /// Numbers of a sample, once for each of its choices.
    pub each: [Vec<F>; 2],
}

/// Each number of `of` as often as its sample has choices: what the functions of one choice take.
pub(super) fn repeated<'a, F: Real>(of: &'a [F], choices: usize, into: &'a mut Vec<F>) -> &'a [F] {
    if choices == 1 {
        return of;
    }
    into.clear();
    into.extend(of.iter().flat_map(|&x| std::iter::repeat_n(x, choices)));
    into
}

impl<F: Real> Buffers<F> {
    pub fn resize(&mut self, rows: usize, layer: Layer) {
        let len = rows * layer.width;
        for array in [
            &mut self.logits,
            &mut self.log_probs,
            &mut self.probs,
            &mut self.score,
            &mut self.w,
            &mut self.gradient,
            &mut self.upstream,
            &mut self.scratch,
            &mut self.scratch_too,
        ] {
            array.resize(len, F::ZERO);
        }
        self.index.resize(rows * layer.choices, 0);
        self.at.iter_mut().for_each(|point| point.resize(rows, len));
    }

    /// What RELAX needs of this node.
    pub fn node(&self, family: Family) -> Node<'_, F> {
        Node { score: &self.score, w: &self.w, projection: self.projection(family) }
    }

    pub fn projection(&self, family: Family) -> Projection<'_, F> {
        match family {
            Family::Bernoulli => Projection::Identity,
            Family::Categorical => Projection::Softmax(&self.probs),
        }
    }

    /// What the expansion of f at the mean is to each choice: f there, `[B]`, and the other choices' terms, from ∇f in `scratch`.
    pub fn expanded<'a>(&self, layer: Layer, f_mean: &'a [F], into: &'a mut Vec<F>) -> &'a [F] {
        if layer.choices == 1 {
            return f_mean;
        }
        let k = layer.row_width();
        let terms = self.score.chunks_exact(k).zip(self.scratch.chunks_exact(k));
        into.clear();
        into.extend(terms.map(|(s, slope)| s.iter().zip(slope).map(|(&s, &d)| s * d).sum::<F>()));
        for (terms, &f_mean) in into.chunks_exact_mut(layer.choices).zip(f_mean) {
            let all = f_mean + terms.iter().copied().sum::<F>();
            terms.iter_mut().for_each(|own| *own = all - *own);
        }
        into
    }

    /// From logits and uniforms: z, the hard sample, probabilities and score. A pair is tossed stick by stick.
    pub fn sample(&mut self, layer: Layer, u: &[F], pair: bool, hard: &mut [F]) {
        let k = layer.row_width();
        match layer.family {
            Family::Bernoulli => {
                bernoulli::probabilities(&self.logits, &mut self.probs);
                bernoulli::relaxed_sample(&self.logits, u, &mut self.at[0].z);
                bernoulli::hard_sample(&self.at[0].z, hard);
                bernoulli::score(&self.logits, hard, &mut self.score);
            }
            Family::Categorical => {
                categorical::log_softmax(&self.logits, k, &mut self.log_probs);
                categorical::probabilities(&self.log_probs, &mut self.probs);
                if pair {
                    self.toss(layer, u, false, hard);
                } else {
                    categorical::relaxed_sample(&self.log_probs, u, &mut self.at[0].z);
                    categorical::hard_sample(&self.at[0].z, k, &mut self.index);
                    categorical::one_hot(&self.index, hard);
                }
                categorical::score(&self.probs, &self.index, &mut self.score);
            }
        }
    }

    /// One member of an antithetic pair. Of a choice's K uniforms the first K − 1 are used.
    pub fn toss(&mut self, layer: Layer, u: &[F], antithetic: bool, hard: &mut [F]) {
        let draw = if antithetic { bernoulli::antithetic_sample } else { bernoulli::relaxed_sample };
        let bits = if antithetic { &mut self.other_bits } else { &mut self.bits };
        if layer.family == Family::Bernoulli {
            bits.resize(u.len(), F::ZERO);
            draw(&self.logits, u, &mut self.scratch);
            bernoulli::hard_sample(&self.scratch, bits);
            hard.copy_from_slice(bits);
            return;
        }
        let (k, rows) = (layer.row_width(), self.index.len());
        let sticks = rows * (k - 1);
        self.alpha.resize(sticks, F::ZERO);
        bits.resize(sticks, F::ZERO);
        stick_logits(&self.log_probs, k, &mut self.alpha);
        for row in 0..rows {
            self.scratch_too[row * (k - 1)..(row + 1) * (k - 1)]
                .copy_from_slice(&u[row * k..(row + 1) * k - 1]);
        }
        draw(&self.alpha, &self.scratch_too[..sticks], &mut self.scratch[..sticks]);
        bernoulli::hard_sample(&self.scratch[..sticks], bits);
        stick_outcome(bits, k, &mut self.index);
        categorical::one_hot(&self.index, hard);
    }
}
