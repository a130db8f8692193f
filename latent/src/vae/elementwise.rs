//! The loops over units that the models spend their time in beside matrix products, vectorised.

use crate::vae::number::{Number, one, zero};
use multiversion::multiversion;

/// Lanes of one AVX-512 register of `f32`: sums run in this many parts, in a fixed order.
const LANES: usize = 16;

/// Cross-entropy of Bernoulli variables with `logits` o and outcomes t, hard or soft: for each row of `loss` adds
/// `sign`·(Σ log(1 + eᵒ) − t·o) = `sign`·(−log p(t)), and writes the sum's derivative by the logits, σ(o) − t, to `slope`.
///
/// `logits`, `targets` and `slope` are `[B, K]` with K = `width`.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
pub(crate) fn cross_entropy<F: Number>(
    logits: &[F],
    targets: &[F],
    width: usize,
    sign: F,
    loss: &mut [F],
    slope: &mut [F],
) {
    let rows = logits.chunks_exact(width).zip(slope.chunks_exact_mut(width)).zip(targets.chunks_exact(width));
    for (((o, d), t), loss) in rows.zip(loss) {
        let mut sums = [zero::<F>(); LANES];
        let (o, o_rest) = o.as_chunks::<LANES>();
        let (t, t_rest) = t.as_chunks::<LANES>();
        let (d, d_rest) = d.as_chunks_mut::<LANES>();
        for ((o, t), d) in o.iter().zip(t).zip(d) {
            for lane in 0..LANES {
                let (term, slope) = entropy_term(o[lane], t[lane]);
                sums[lane] += term;
                d[lane] = slope;
            }
        }
        for (lane, ((&o, &t), d)) in o_rest.iter().zip(t_rest).zip(d_rest).enumerate() {
            let (term, slope) = entropy_term(o, t);
            sums[lane] += term;
            *d = slope;
        }
        *loss += sign * sums.into_iter().sum::<F>();
    }
}

/// softplus(o) − t·o and σ(o) − t, from one exponential.
#[inline(always)]
fn entropy_term<F: Number>(o: F, t: F) -> (F, F) {
    let (softplus, sigmoid) = relax_estimators::Real::softplus_and_sigmoid(o);
    (softplus - t * o, sigmoid - t)
}

/// `signs` ← 2b − 1.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
pub(crate) fn to_signs<F: Number>(b: &[F], signs: &mut [F]) {
    for (s, &b) in signs.iter_mut().zip(b) {
        *s = b + b - one::<F>();
    }
}

/// `soft` ← σ(z·m), with m = 1/λ.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
pub(crate) fn soften<F: Number>(z: &[F], m: F, soft: &mut [F]) {
    for (s, &z) in soft.iter_mut().zip(z) {
        *s = relax_estimators::Real::sigmoid(z * m);
    }
}

/// Σ σ'(o)·ȯ₁·ȯ₂ from `slope` = σ(o) − t: the curvature of the cross-entropy along two directions.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
pub(crate) fn entropy_curvature<F: Number>(slope: &[F], targets: &[F], first: &[F], second: &[F]) -> f64 {
    let mut total = 0.0;
    // Sums in single precision stay short.
    let parts = slope.chunks(512).zip(targets.chunks(512)).zip(first.chunks(512).zip(second.chunks(512)));
    for ((d, t), (a, b)) in parts {
        let mut sums = [zero::<F>(); LANES];
        let lanes = d.chunks(LANES).zip(t.chunks(LANES)).zip(a.chunks(LANES).zip(b.chunks(LANES)));
        for ((d, t), (a, b)) in lanes {
            for (((sum, &d), &t), (&a, &b)) in sums.iter_mut().zip(d).zip(t).zip(a.iter().zip(b)) {
                let p = d + t;
                *sum += p * (one::<F>() - p) * a * b;
            }
        }
        total += sums.into_iter().map(relax_nn::Real::wide).sum::<f64>();
    }
    total
}

/// Σ x·y in double precision.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
pub(crate) fn dot<F: Number>(x: &[F], y: &[F]) -> f64 {
    let mut total = 0.0;
    for (x, y) in x.chunks(512).zip(y.chunks(512)) {
        let mut sums = [zero::<F>(); LANES];
        for (x, y) in x.chunks(LANES).zip(y.chunks(LANES)) {
            for ((sum, &x), &y) in sums.iter_mut().zip(x).zip(y) {
                *sum += x * y;
            }
        }
        total += sums.into_iter().map(relax_nn::Real::wide).sum::<f64>();
    }
    total
}
