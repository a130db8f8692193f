//! One convolution over pictures with the channels last, as matrix products of its unfolded input.
//!
//! A picture `[H, W, C]` unfolds to a matrix with a row for every pixel of the output and a column for every weight of a filter,
//! `[OH·OW, K·K·C]`; with the channels last each row is K runs of K·C numbers that lie together. The convolution is its product
//! with the weights `[K·K·C, O]`. A few pictures at a time: their matrix stays in the second-level cache.

use crate::{Activation, Real, product};
use multiversion::multiversion;
use std::ops::Range;

/// Rows that an unfolded matrix should have at least: enough for a matrix product at full speed.
const ROWS: usize = 256;

/// A convolution without padding, followed by max(0, x).
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Convolution {
    /// H, W, C.
    pub input: [usize; 3],
    /// OH, OW, O.
    pub output: [usize; 3],
    pub kernel: usize,
    pub stride: usize,
    pub bias: Range<usize>,
    /// `[K, K, C, O]`.
    pub weight: Range<usize>,
}

/// Arrays of a pass that stay with the thread.
#[derive(Debug, Default)]
pub(super) struct Unfolded<F> {
    columns: Vec<F>,
    d_columns: Vec<F>,
}

impl Convolution {
    /// Numbers of one picture that goes in.
    pub fn taken(&self) -> usize {
        self.input.iter().product()
    }

    /// Numbers of one picture that comes out.
    pub fn given(&self) -> usize {
        self.output.iter().product()
    }

    /// Weights of one filter.
    pub fn fan_in(&self) -> usize {
        self.kernel * self.kernel * self.input[2]
    }

    fn pixels(&self) -> usize {
        self.output[0] * self.output[1]
    }

    /// Pictures whose matrices are multiplied together.
    pub fn together(&self) -> usize {
        (ROWS / self.pixels()).max(1)
    }

    /// out `[n, OH, OW, O]` ← the convolution of pictures `[n, H, W, C]`, n at most [`together`](Self::together).
    pub fn forward<F: Real>(&self, weights: &[F], pictures: &[F], out: &mut [F], scratch: &mut Unfolded<F>) {
        self.weigh(weights, pictures, out, scratch);
        Activation::Relu.add_bias_and_activate(out, &weights[self.bias.clone()]);
    }

    /// As [`forward`](Self::forward), without biases and before max(0, x).
    pub fn weigh<F: Real>(&self, weights: &[F], pictures: &[F], out: &mut [F], scratch: &mut Unfolded<F>) {
        let columns = &mut scratch.columns;
        self.unfold(pictures, columns);
        product::product(out, columns, &weights[self.weight.clone()], self.fan_in(), self.output[2]);
    }

    /// Sends `d` `[n, OH, OW, O]`, the gradient before max(0, x), back: adds to `d_weights`, and writes the gradient of the
    /// pictures to `d_pictures` if it is wanted.
    pub fn reverse<F: Real>(
        &self,
        weights: &[F],
        pictures: &[F],
        d: &[F],
        d_weights: &mut [F],
        d_pictures: Option<&mut [F]>,
        scratch: &mut Unfolded<F>,
    ) {
        let (k, n) = (self.fan_in(), self.output[2]);
        let Unfolded { columns, d_columns } = scratch;
        self.unfold(pictures, columns);
        product::add_outer(&mut d_weights[self.weight.clone()], columns, d, k, n);
        product::add_rows(&mut d_weights[self.bias.clone()], d);
        if let Some(d_pictures) = d_pictures {
            d_columns.resize(columns.len(), F::ZERO);
            product::product_transposed(d_columns, d, &weights[self.weight.clone()], n, k);
            d_pictures.fill(F::ZERO);
            for (d, d_columns) in
                d_pictures.chunks_exact_mut(self.taken()).zip(d_columns.chunks_exact(self.pixels() * k))
            {
                fold(d, d_columns, self);
            }
        }
    }

    fn unfold<F: Real>(&self, pictures: &[F], columns: &mut Vec<F>) {
        let (taken, len) = (self.taken(), self.pixels() * self.fan_in());
        columns.resize(pictures.len() / taken * len, F::ZERO);
        for (picture, columns) in pictures.chunks_exact(taken).zip(columns.chunks_exact_mut(len)) {
            let mut runs = columns.chunks_exact_mut(self.kernel * self.input[2]);
            self.each_run(|at, run| {
                if let Some(column) = runs.next() {
                    column.copy_from_slice(&picture[at..at + run]);
                }
            });
        }
    }

    /// Calls `f` with the start of every run of every row of the unfolded matrix, in order, and with the runs' length.
    #[inline(always)]
    fn each_run(&self, mut f: impl FnMut(usize, usize)) {
        let [_, width, channels] = self.input;
        let run = self.kernel * channels;
        for row in 0..self.output[0] {
            for column in 0..self.output[1] {
                for k in 0..self.kernel {
                    f(((row * self.stride + k) * width + column * self.stride) * channels, run);
                }
            }
        }
    }
}

/// picture `[H, W, C]` += every number of the unfolded `columns` where it came from.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
fn fold<F: Real>(picture: &mut [F], columns: &[F], convolution: &Convolution) {
    let mut runs = columns.chunks_exact(convolution.kernel * convolution.input[2]);
    convolution.each_run(|at, run| {
        if let Some(column) = runs.next() {
            picture[at..at + run].iter_mut().zip(column).for_each(|(p, &c)| *p += c);
        }
    });
}
