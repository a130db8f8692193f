//! What a network's first layer reads: numbers in rows, or anything that multiplies that layer's weight by itself.

use crate::shape::Layer;
use crate::{Real, product, thin};
use std::fmt::Debug;

/// A batch X `[B, in]` that is not stored as `B · in` numbers, or need not be multiplied as such: the products a first layer takes.
///
/// ```
/// use relax_nn::{Activation, Input, MlpShape, Rows, Workspace};
/// /// Each row is a word of a vocabulary of three, a 1 among noughts.
/// #[derive(Debug)]
/// struct Words(Vec<usize>);
/// impl Rows<f32> for Words {
///     fn count(&self) -> usize {
///         self.0.len()
///     }
///     fn product(&self, out: &mut [f32], weight: &[f32], n: usize) {
///         for (out, word) in out.chunks_exact_mut(n).zip(&self.0) {
///             out.copy_from_slice(&weight[word * n..(word + 1) * n]);
///         }
///     }
///     fn add_outer(&self, d_weight: &mut [f32], d: &[f32], n: usize) {
///         for (word, d) in self.0.iter().zip(d.chunks_exact(n)) {
///             d_weight[word * n..].iter_mut().zip(d).for_each(|(w, d)| *w += d);
///         }
///     }
/// }
/// let shape = MlpShape::new(3, &[4], 1, Activation::Tanh);
/// let parameters: Vec<f32> = (0..shape.parameter_count()).map(|i| (i as f32).sin()).collect();
/// let (mut sparse, mut dense, mut workspace) = ([0.0; 2], [0.0; 2], Workspace::new());
/// shape.forward(&parameters, Input::Rows(&Words(vec![2, 0])), &mut workspace, &mut sparse);
/// shape.forward(&parameters, &[0.0, 0.0, 1.0, 1.0, 0.0, 0.0], &mut workspace, &mut dense);
/// assert_eq!(sparse, dense);
/// ```
pub trait Rows<F>: Debug {
    /// B.
    fn count(&self) -> usize;
    /// out `[B, n]` = X · weight, with weight `[in, n]`.
    fn product(&self, out: &mut [F], weight: &[F], n: usize);
    /// d_weight `[in, n]` += Xᵀ · d, with d `[B, n]`.
    fn add_outer(&self, d_weight: &mut [F], d: &[F], n: usize);
    /// d_weight `[in, n]` = Xᵀ · d, with d `[B, n]`.
    fn outer(&self, d_weight: &mut [F], d: &[F], n: usize)
    where
        F: Real,
    {
        d_weight.fill(F::ZERO);
        self.add_outer(d_weight, d, n);
    }
}

/// The input of a pass. Slices, arrays and vectors turn into it by themselves.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a, F> {
    /// Numbers, `[B, in]`.
    Dense(&'a [F]),
    /// Rows that know their products.
    Rows(&'a dyn Rows<F>),
}

/// Slices, vectors and arrays of numbers turn into one variant of a type by themselves.
macro_rules! of_numbers {
    ($what:ident, $variant:ident) => {
        impl<'a, F> From<&'a [F]> for $what<'a, F> {
            fn from(numbers: &'a [F]) -> Self {
                Self::$variant(numbers)
            }
        }
        impl<'a, F> From<&'a Vec<F>> for $what<'a, F> {
            fn from(numbers: &'a Vec<F>) -> Self {
                Self::$variant(numbers)
            }
        }
        impl<'a, F, const N: usize> From<&'a [F; N]> for $what<'a, F> {
            fn from(numbers: &'a [F; N]) -> Self {
                Self::$variant(numbers)
            }
        }
    };
}
pub(crate) use of_numbers;

of_numbers!(Input, Dense);

impl<F: Real> Input<'_, F> {
    /// B, for a network of `width` inputs.
    pub(crate) fn count(self, width: usize) -> usize {
        match self {
            Self::Dense(x) => {
                assert_eq!(x.len() % width, 0, "the input's length must be a multiple of {width}");
                x.len() / width
            }
            Self::Rows(rows) => rows.count(),
        }
    }

    /// out `[B, out]` = X · weight of `layer`, plus `offset` `[B, out]`.
    pub(crate) fn product(self, out: &mut [F], weight: &[F], layer: &Layer, offset: Option<&[F]>) {
        match (self, offset) {
            (Self::Dense(x), None) => product::product(out, x, weight, layer.input, layer.output),
            (Self::Dense(x), Some(offset)) => {
                out.copy_from_slice(offset);
                product::add_product(out, x, weight, layer.input, layer.output);
            }
            (Self::Rows(rows), offset) => {
                rows.product(out, weight, layer.output);
                let offset = offset.unwrap_or_default();
                out.iter_mut().zip(offset).for_each(|(out, &offset)| *out += offset);
            }
        }
    }

    /// `d_weight` (+)= Xᵀ · d of `layer`; `sums` is scratch.
    pub(crate) fn weight_gradient(
        self,
        how: Gradient,
        d_weight: &mut [F],
        layer: &Layer,
        d: &[F],
        sums: &mut Vec<F>,
    ) {
        let n = layer.output;
        match (self, how) {
            (Self::Dense(x), Gradient::Add) if n <= thin::WIDEST => thin::add_outer(d_weight, x, d, n, sums),
            (Self::Dense(x), Gradient::Replace) if n <= thin::WIDEST => {
                d_weight.fill(F::ZERO);
                thin::add_outer(d_weight, x, d, n, sums);
            }
            (Self::Dense(x), Gradient::Add) => product::add_outer(d_weight, x, d, layer.input, n),
            (Self::Dense(x), Gradient::Replace) => product::outer(d_weight, x, d, layer.input, n),
            (Self::Rows(rows), Gradient::Add) => rows.add_outer(d_weight, d, n),
            (Self::Rows(rows), Gradient::Replace) => rows.outer(d_weight, d, n),
        }
    }
}

/// How a gradient reaches the vector of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gradient {
    /// Added to what is there.
    Add,
    /// In place of what was there.
    Replace,
}
