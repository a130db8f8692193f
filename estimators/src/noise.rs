//! The noise that estimators consume, drawn from a generator that the caller owns.

use crate::Real;
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};

/// Fills `out` with independent uniforms of the open interval (0, 1): the u and v of the discrete nodes.
///
/// Neither end can occur, in `f32` either, so no logarithm of them is infinite.
pub fn fill_uniform<F: Real>(rng: &mut impl Rng, out: &mut [F]) {
    out.iter_mut().for_each(|u| *u = F::open_unit(rng.next_u64()));
}

/// Fills `out` with independent standard normal numbers: the ε of the Gaussian node.
pub fn fill_normal<F: Real>(rng: &mut impl Rng, out: &mut [F]) {
    out.iter_mut().for_each(|e| *e = F::from_f64(StandardNormal.sample(rng)));
}
