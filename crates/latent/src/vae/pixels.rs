//! What encoders and control variates read: black and white images about their mean, and lower layers' units beside them.
//!
//! Few pixels are ink. (x − x̄)·W adds one row of W for each that is, and x̄·W to all images at once: a third of the time of a
//! dense product at 24 images. The weights are read once and in order, whatever the images.

use crate::vae::number::{Number, add, zero};
use multiversion::multiversion;
use relax_nn::{Rows, product};
use std::ops::Range;

/// Images in one word of [`Pixels::ink`].
const GROUP: usize = u32::BITS as usize;
/// Columns of a weight that are worked on at a time: their sums stay on the stack.
const COLUMNS: usize = 256;

/// The rows x − x̄ of black and white images x.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Pixels<F> {
    /// Which images of a group have ink at a pixel, `[groups, pixels]`: bit r of word (g, i) is x of image 32g + r at pixel i.
    ink: Vec<u32>,
    /// x̄, `[pixels]`.
    mean: Vec<F>,
    count: usize,
}

impl<F: Number> Pixels<F> {
    /// Takes in the images `x` `[R, pixels]` of noughts and ones.
    ///
    /// # Panics
    /// If a pixel is neither.
    pub fn read(&mut self, x: &[F], mean: &[F]) {
        let pixels = mean.len();
        self.mean.clear();
        self.mean.extend_from_slice(mean);
        self.count = x.len() / pixels;
        self.ink.clear();
        self.ink.resize(self.count.div_ceil(GROUP) * pixels, 0);
        let mut others = 0;
        for (words, group) in self.ink.chunks_exact_mut(pixels).zip(x.chunks(GROUP * pixels)) {
            for (bit, image) in group.chunks_exact(pixels).enumerate() {
                others |= collect(words, image, bit as u32);
            }
        }
        assert_eq!(others, 0, "pixels must be 0 or 1");
    }

    /// Whether there is ink at each pixel of an image.
    pub fn ink(&self, image: usize) -> impl Iterator<Item = bool> {
        let (pixels, bit) = (self.mean.len(), image % GROUP);
        self.ink[image / GROUP * pixels..][..pixels].iter().map(move |word| word >> bit & 1 == 1)
    }

    /// The images of each group with ink at each pixel: (first image of the group, its words).
    fn groups(&self) -> impl Iterator<Item = (usize, &[u32])> {
        self.ink.chunks_exact(self.mean.len()).enumerate().map(|(group, words)| (group * GROUP, words))
    }
}

/// words[i] |= x[i] << bit; not 0 if an x is neither 0 nor 1.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
fn collect<F: Number>(words: &mut [u32], x: &[F], bit: u32) -> u32 {
    let mut others = 0;
    for (word, &x) in words.iter_mut().zip(x) {
        let ink = u32::from(x > zero());
        *word |= ink << bit;
        others |= u32::from(x != F::of(f64::from(ink)));
    }
    others
}

impl<F: Number> Rows<F> for Pixels<F> {
    fn count(&self) -> usize {
        self.count
    }

    fn product(&self, out: &mut [F], weight: &[F], n: usize) {
        out.fill(zero());
        for start in (0..n).step_by(COLUMNS) {
            let columns = start..n.min(start + COLUMNS);
            let mut minus_mean = [zero(); COLUMNS];
            let minus_mean = &mut minus_mean[..columns.len()];
            for (first, words) in self.groups() {
                let mean = if first == 0 { self.mean.as_slice() } else { &[] };
                add_weights(&mut out[first * n..], weight, words, mean, minus_mean, (n, columns.clone()));
            }
            for row in out.chunks_exact_mut(n) {
                add(&mut row[columns.clone()], minus_mean);
            }
        }
    }

    fn add_outer(&self, d_weight: &mut [F], d: &[F], n: usize) {
        self.outer_onto(false, d_weight, d, n);
    }

    fn outer(&self, d_weight: &mut [F], d: &[F], n: usize) {
        self.outer_onto(true, d_weight, d, n);
    }
}

impl<F: Number> Pixels<F> {
    /// d_weight += (x − x̄)ᵀ · d, or `replace` it by that.
    fn outer_onto(&self, replace: bool, d_weight: &mut [F], d: &[F], n: usize) {
        for start in (0..n).step_by(COLUMNS) {
            let columns = start..n.min(start + COLUMNS);
            let mut sum = [zero(); COLUMNS];
            let sum = &mut sum[..columns.len()];
            d.chunks_exact(n).for_each(|row| add(sum, &row[columns.clone()]));
            for (first, words) in self.groups() {
                let mean = if first == 0 { self.mean.as_slice() } else { &[] };
                add_gradients(replace, d_weight, &d[first * n..], words, mean, sum, (n, columns.clone()));
            }
        }
    }
}

/// In the columns named, out row r += Σ of the weights of the pixels with ink in image r, and minus_mean −= mean · weights;
/// rows are of n numbers.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
fn add_weights<F: Number>(
    out: &mut [F],
    weight: &[F],
    words: &[u32],
    mean: &[F],
    minus_mean: &mut [F],
    (n, columns): (usize, Range<usize>),
) {
    for (i, (weight, &word)) in weight.chunks_exact(n).zip(words).enumerate() {
        let weight = &weight[columns.clone()];
        if let Some(&mean) = mean.get(i).filter(|&&mean| mean != zero()) {
            minus_mean
                .iter_mut()
                .zip(weight)
                .for_each(|(sum, &w)| *sum = relax_nn::Real::fma(-mean, w, *sum));
        }
        for r in bits(word) {
            add(&mut out[r * n..(r + 1) * n][columns.clone()], weight);
        }
    }
}

/// The transpose of [`add_weights`]: in the columns named, row i of d_weight gains −mean · sum, or is replaced by it, where there
/// is a mean; and then the rows of d whose images have ink at pixel i.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
fn add_gradients<F: Number>(
    replace: bool,
    d_weight: &mut [F],
    d: &[F],
    words: &[u32],
    mean: &[F],
    sum: &[F],
    (n, columns): (usize, Range<usize>),
) {
    for (i, (d_weight, &word)) in d_weight.chunks_exact_mut(n).zip(words).enumerate() {
        let d_weight = &mut d_weight[columns.clone()];
        if let Some(&mean) = mean.get(i) {
            let rows = d_weight.iter_mut().zip(sum);
            if replace {
                rows.for_each(|(w, &d)| *w = -mean * d);
            } else {
                rows.for_each(|(w, &d)| *w = relax_nn::Real::fma(-mean, d, *w));
            }
        }
        for r in bits(word) {
            add(d_weight, &d[r * n..(r + 1) * n][columns.clone()]);
        }
    }
}

/// The places of the ones in `word`, from the lowest up.
#[inline(always)]
fn bits(mut word: u32) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let place = (word != 0).then_some(word.trailing_zeros() as usize)?;
        word &= word - 1;
        Some(place)
    })
}

/// Rows [x − x̄, beside]: what a control variate of a higher layer reads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'a, F> {
    pub pixels: &'a Pixels<F>,
    /// `[R, width]`; may be empty.
    pub beside: &'a [F],
}

impl<F: Number> Context<'_, F> {
    /// Where the weights of what is beside the pixels begin, and its width.
    fn split(&self, n: usize) -> (usize, usize) {
        (self.pixels.mean.len() * n, self.beside.len() / self.pixels.count)
    }
}

impl<F: Number> Rows<F> for Context<'_, F> {
    fn count(&self) -> usize {
        self.pixels.count
    }

    fn product(&self, out: &mut [F], weight: &[F], n: usize) {
        let (at, width) = self.split(n);
        self.pixels.product(out, &weight[..at], n);
        if width > 0 {
            product::add_product(out, self.beside, &weight[at..], width, n);
        }
    }

    fn add_outer(&self, d_weight: &mut [F], d: &[F], n: usize) {
        let (at, width) = self.split(n);
        let (pixels, beside) = d_weight.split_at_mut(at);
        self.pixels.add_outer(pixels, d, n);
        if width > 0 {
            product::add_outer(beside, self.beside, d, width, n);
        }
    }

    fn outer(&self, d_weight: &mut [F], d: &[F], n: usize) {
        let (at, width) = self.split(n);
        let (pixels, beside) = d_weight.split_at_mut(at);
        self.pixels.outer(pixels, d, n);
        if width > 0 {
            product::outer(beside, self.beside, d, width, n);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More images than a word holds and more columns than a part, against dense products of the same numbers.
    #[test]
    fn products_are_those_of_the_dense_rows() {
        let (pixels, beside, n, rows) = (11, 3, COLUMNS + 5, 2 * GROUP + 7);
        let of = |len: usize, step: usize| -> Vec<f64> {
            (0..len).map(|i| (i * step % 101) as f64 / 50.0 - 1.0).collect()
        };
        let x: Vec<f64> = (0..rows * pixels).map(|i| f64::from(u8::from(i * 37 % 11 < 3))).collect();
        let mut mean: Vec<f64> = (0..pixels).map(|i| i as f64 / 13.0).collect();
        mean[4] = 0.0;
        let signs = of(rows * beside, 17);
        let mut images = Pixels::default();
        images.read(&x, &mean);
        let context = Context { pixels: &images, beside: &signs };
        assert_eq!(context.count(), rows);
        let width = pixels + beside;

        let mut dense = Vec::new();
        for (x, s) in x.chunks(pixels).zip(signs.chunks(beside)) {
            dense.extend(x.iter().zip(&mean).map(|(x, m)| x - m).chain(s.iter().copied()));
        }
        let (weight, d) = (of(width * n, 7), of(rows * n, 23));
        let close = |found: &[f64], expected: &[f64]| {
            assert!(
                found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12),
                "{found:?}, {expected:?}"
            );
        };
        let (mut found, mut expected) = (vec![9.0; rows * n], vec![0.0; rows * n]);
        context.product(&mut found, &weight, n);
        product::product(&mut expected, &dense, &weight, width, n);
        close(&found, &expected);
        let (mut found, mut expected) = (weight.clone(), weight.clone());
        context.add_outer(&mut found, &d, n);
        product::add_outer(&mut expected, &dense, &d, width, n);
        close(&found, &expected);
        found.fill(f64::NAN);
        context.outer(&mut found, &d, n);
        product::outer(&mut expected, &dense, &d, width, n);
        close(&found, &expected);
    }

    #[test]
    #[should_panic(expected = "pixels must be 0 or 1")]
    fn grey_pixels_are_refused() {
        Pixels::default().read(&[1.0_f32, 0.5], &[0.5, 0.5]);
    }
}
