//! The scalar type of the models: `f32` in training, `f64` where derivatives are checked.

/// A number that both the networks and the estimators can compute with: `f32` or `f64`.
pub trait Number: relax_nn::Real + relax_estimators::Real {}

impl Number for f32 {}
impl Number for f64 {}

/// Nought.
pub(crate) fn zero<F: Number>() -> F {
    <F as relax_nn::Real>::ZERO
}

/// One.
pub(crate) fn one<F: Number>() -> F {
    <F as relax_nn::Real>::ONE
}

/// `array` ← `len` values of 0, keeping its memory.
pub(crate) fn clear<F: Number>(array: &mut Vec<F>, len: usize) {
    array.clear();
    array.resize(len, zero());
}

/// `array` ← `len` values, of which the old ones may be any; all of them are about to be written.
pub(crate) fn fit<F: Number>(array: &mut Vec<F>, len: usize) {
    array.resize(len, zero());
}

/// to[i] += from[i].
#[inline(always)]
pub(crate) fn add<F: Number>(to: &mut [F], from: &[F]) {
    to.iter_mut().zip(from).for_each(|(t, &f)| *t += f);
}
