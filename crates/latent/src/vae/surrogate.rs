//! The surrogate: c(b; context) of one layer, regressed on past calls of f, and the estimate of ĝ that it makes.
//!
//! With s = 2b − 1 and the context x̃ (pixels about their mean, signs of the layers below), c = r(s; x̃) is the network that RELAX
//! has, too. Of an image's two samples, A and B, with M = [`FREE`] free ones drawn beside each,
//!
//! ```text
//! ĝ = ½ Σ_{A,B} s·(Δf − η Δc) + η Σ_M s·(c − c̄)/(M − 1)        Δ: the sample less the other
//! φ descends the mean over images of ½ (Δf − Δc)²                on this batch after its use, and on batches replayed
//! ```
//!
//! What an image's samples share is in neither: an image's own difficulty is most of f's variance and none of ĝ's.

use crate::vae::free_form::{FreeForm, FreeFormShape};
use crate::vae::number::{Number, clear, fit, one};
use crate::vae::pixels::{Context, Pixels};
use crate::vae::settings::FREE;
use rand::Rng;
use relax_estimators::{Baseline, bernoulli, noise, reinforce};
use relax_nn::{StateDict, StateError, StateTensor};
use std::collections::VecDeque;

/// What the estimate of a layer is made of; R rows, all first samples before all second ones.
pub(crate) struct Sample<'a, F> {
    /// `[R, K]`.
    pub logits: &'a [F],
    /// 2b − 1, `[R, K]`.
    pub signs: &'a [F],
    /// b − p, `[R, K]`.
    pub score: &'a [F],
    /// `[R]`.
    pub f: &'a [F],
    /// R rows.
    pub context: Context<'a, F>,
}

/// c at the rows last looked at, and what its passes leave for one another.
#[derive(Debug, Clone, Default)]
pub(crate) struct Surrogate<F> {
    network: FreeForm<F>,
    probabilities: Vec<F>,
    /// Signs of the free samples, `[FREE, R, K]`.
    free: Vec<F>,
    /// c there, `[FREE, R]`.
    free_c: Vec<F>,
    residual: Vec<F>,
    known: Vec<F>,
    nothing: Vec<F>,
}

impl<F: Number> Surrogate<F> {
    /// `gradient` ← ĝ of each row at the logits. Returns Σ Δf·Δc and Σ Δc², which later gains are made of. Leaves c at the samples.
    pub fn estimate(
        &mut self,
        shape: &FreeFormShape,
        parameters: &[F],
        gain: F,
        sample: &Sample<'_, F>,
        rng: &mut impl Rng,
        gradient: &mut [F],
    ) -> (f64, f64) {
        let (rows, len) = (sample.f.len(), sample.logits.len());
        let width = len / rows;
        fit(&mut self.probabilities, len);
        bernoulli::probabilities(sample.logits, &mut self.probabilities);
        fit(&mut self.free, FREE * len);
        noise::fill_uniform(rng, &mut self.free);
        for round in self.free.chunks_exact_mut(len) {
            let sign = |u: F, p: F| if u < p { one() } else { -one::<F>() };
            round.iter_mut().zip(&self.probabilities).for_each(|(u, &p)| *u = sign(*u, p));
        }
        self.network.values(shape, parameters, &self.free, &sample.context);
        self.free_c.clone_from(&self.network.value);
        self.evaluate(shape, parameters, sample.signs, &sample.context);
        self.residual.clear();
        self.residual.extend(sample.f.iter().zip(&self.network.value).map(|(&f, &c)| f - gain * c));
        let (first, second) = self.residual.split_at(rows / 2);
        self.known.clear();
        self.known.extend(second.iter().chain(first));
        reinforce(sample.score, &self.residual, Baseline::Values(&self.known), gradient);
        let c = |round: usize, row: usize| self.free_c[round * rows + row];
        let (count, others, half) = (F::of(FREE as f64), F::of((FREE - 1) as f64), F::of(0.5));
        for (row, gradient) in gradient.chunks_exact_mut(width).enumerate() {
            let average = (0..FREE).map(|round| c(round, row)).sum::<F>() / count;
            let p = &self.probabilities[row * width..][..width];
            for round in 0..FREE {
                let weight = gain * (c(round, row) - average) / others;
                let signs = &self.free[(round * rows + row) * width..][..width];
                let score = signs.iter().zip(p).map(|(&s, &p)| half * (s + one::<F>()) - p);
                gradient.iter_mut().zip(score).for_each(|(g, s)| *g += s * weight);
            }
        }
        self.differences(sample.f).fold((0.0, 0.0), |(ab, bb), (f, c)| {
            let (f, c) = (f.wide(), c.wide());
            (ab + f * c, bb + c * c)
        })
    }

    /// c at the rows.
    pub fn evaluate(
        &mut self,
        shape: &FreeFormShape,
        parameters: &[F],
        signs: &[F],
        context: &Context<'_, F>,
    ) {
        self.network.evaluate(shape, parameters, signs, context);
    }

    /// `d` ← the gradient by φ of the mean over images of ½ (Δf − Δc)². Must follow [`estimate`](Self::estimate) or
    /// [`evaluate`](Self::evaluate) at the same rows.
    pub fn regression(
        &mut self,
        shape: &FreeFormShape,
        parameters: &[F],
        (signs, f): (&[F], &[F]),
        context: &Context<'_, F>,
        d: &mut [F],
    ) {
        let images = f.len() / 2;
        let scale = F::of(1.0 / images as f64);
        let mut residual = std::mem::take(&mut self.residual);
        residual.clear();
        residual.extend(self.differences(f).map(|(f, c)| scale * (c - f)));
        residual.extend_from_within(..);
        residual[images..].iter_mut().for_each(|error| *error = -*error);
        clear(&mut self.nothing, signs.len());
        self.network.parameter_gradient(shape, parameters, signs, context, &residual, &self.nothing, d);
        self.residual = residual;
    }

    /// Δf and Δc of each image.
    pub fn differences<'a>(&'a self, f: &'a [F]) -> impl Iterator<Item = (F, F)> + 'a {
        let (images, c) = (f.len() / 2, &self.network.value);
        (0..images).map(move |i| (f[i] - f[images + i], c[i] - c[images + i]))
    }
}

/// The calls of one iteration, to be replayed.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Calls<F> {
    pub pixels: Pixels<F>,
    /// Of each layer, `[R, K]`.
    pub signs: Vec<Vec<F>>,
    /// `[R]`.
    pub f: Vec<F>,
}

/// The calls of the newest iterations, oldest first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Replay(VecDeque<Calls<f32>>);

impl Replay {
    /// One iteration's, uniformly drawn; none before the first.
    pub fn draw(&self, rng: &mut impl Rng) -> Option<&Calls<f32>> {
        self.0.get(((u128::from(rng.next_u64()) * self.0.len() as u128) >> 64) as usize)
    }

    /// Takes in one iteration's, which `fill` writes, and lets the oldest beyond `window` go.
    pub fn push(&mut self, window: usize, fill: impl FnOnce(&mut Calls<f32>)) {
        let mut calls = Calls::default();
        while self.0.len() >= window.max(1) {
            calls = self.0.pop_front().unwrap_or_default();
        }
        fill(&mut calls);
        self.0.push_back(calls);
    }

    /// Everything: both samples see the same pixels, and pixels and signs are a bit each.
    pub fn save(&self, state: &mut StateDict) {
        let (mut rows, mut bits, mut f) = (Vec::new(), Vec::new(), Vec::new());
        for calls in &self.0 {
            rows.push(calls.f.len() as u64);
            (0..calls.f.len() / 2).for_each(|image| bits.extend(calls.pixels.ink(image)));
            bits.extend(calls.signs.iter().flatten().map(|&sign| sign > 0.0));
            f.extend_from_slice(&calls.f);
        }
        let pack = |bits: &[bool]| bits.iter().rev().fold(0, |byte, &bit| byte << 1 | u8::from(bit));
        state.insert("replay.rows", StateTensor::U64(rows));
        state.insert("replay.bits", StateTensor::U8(bits.chunks(8).map(pack).collect()));
        state.insert_f32("replay.f", &f);
    }

    /// What [`save`](Self::save) wrote, for a model of these widths.
    pub fn restore(state: &StateDict, pixel_mean: &[f32], latent: &[usize]) -> Result<Self, StateError> {
        let rows = state.u64("replay.rows")?;
        let mut f = state.f32_any("replay.f")?;
        let total = f.len();
        let sum = rows.iter().try_fold(0_u64, |sum, rows| sum.checked_add(*rows));
        if sum != Some(total as u64) || rows.iter().any(|rows| rows % 2 == 1) {
            let expected = format!("even numbers that sum to {total}");
            let found = format!("{rows:?}");
            return Err(StateError::Mismatch { name: "replay.rows".into(), expected, found });
        }
        let (pixels, units) = (pixel_mean.len(), latent.iter().sum::<usize>());
        let bytes = state.u8("replay.bits", (total / 2 * pixels + total * units).div_ceil(8))?;
        let mut bits = bytes.iter().flat_map(|byte| (0..8).map(move |i| byte >> i & 1 == 1));
        let mut calls = VecDeque::new();
        for rows in rows.iter().map(|&rows| rows as usize) {
            let mut one = Calls::default();
            let mut x: Vec<f32> =
                bits.by_ref().take(rows / 2 * pixels).map(|ink| f32::from(u8::from(ink))).collect();
            x.extend_from_within(..);
            one.pixels.read(&x, pixel_mean);
            for width in latent {
                let signs = bits.by_ref().take(rows * width);
                one.signs.push(signs.map(|up| if up { 1.0 } else { -1.0 }).collect());
            }
            let (these, others) = f.split_at(rows);
            (one.f, f) = (these.to_vec(), others);
            calls.push_back(one);
        }
        Ok(Self(calls))
    }
}

/// `beside` ← the signs of the layers `below`, row by row: what a higher layer's control variate reads beside the pixels.
pub(crate) fn beside<'a, F: Number>(
    below: impl Iterator<Item = &'a [F]> + Clone,
    rows: usize,
    beside: &mut Vec<F>,
) {
    beside.clear();
    for row in 0..rows {
        for signs in below.clone() {
            let k = signs.len() / rows;
            beside.extend_from_slice(&signs[row * k..(row + 1) * k]);
        }
    }
}
