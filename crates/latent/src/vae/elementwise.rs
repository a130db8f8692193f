//! The loops over units that the models spend their time in beside matrix products, vectorised.

use crate::vae::number::{Number, one, zero};
use multiversion::multiversion;

/// Lanes of one AVX-512 register of `f32`: sums run in this many parts, in a fixed order.
const LANES: usize = 16;

/// Terms of a sum of logarithms that are multiplied before a logarithm is taken: factors of at most 2 stay below 2⁶⁴.
const FACTORS: usize = 64;

/// Cross-entropy of Bernoulli variables with `logits` o and outcomes t, hard or soft: for each row of `loss` adds
/// `sign`·(Σ log(1 + eᵒ) − t·o) = `sign`·(−log p(t)), and writes the sum's derivative by the logits, σ(o) − t, to `slope`.
///
/// `logits`, `targets` and `slope` are `[B, K]` with K = `width`. Σ log(1 + e^−|o|) is the logarithm of products: one
/// logarithm costs as much as the rest of a term. An e^−|o| that 1 + e^−|o| rounds away, 6e-8 in `f32`, is missing in the sum.
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
        const PART: usize = FACTORS * LANES;
        let mut total = zero::<F>();
        for ((o, t), d) in o.chunks(PART).zip(t.chunks(PART)).zip(d.chunks_mut(PART)) {
            let (mut sums, mut products) = ([zero::<F>(); LANES], [one::<F>(); LANES]);
            let (o, o_rest) = o.as_chunks::<LANES>();
            let (t, t_rest) = t.as_chunks::<LANES>();
            let (d, d_rest) = d.as_chunks_mut::<LANES>();
            for ((o, t), d) in o.iter().zip(t).zip(d) {
                for lane in 0..LANES {
                    let (linear, factor, slope) = entropy_term(o[lane], t[lane]);
                    sums[lane] += linear;
                    products[lane] *= factor;
                    d[lane] = slope;
                }
            }
            for (lane, ((&o, &t), d)) in o_rest.iter().zip(t_rest).zip(d_rest).enumerate() {
                let (linear, factor, slope) = entropy_term(o, t);
                sums[lane] += linear;
                products[lane] *= factor;
                *d = slope;
            }
            for lane in 0..LANES {
                sums[lane] += relax_estimators::Real::ln(products[lane]);
            }
            total += sums.into_iter().sum::<F>();
        }
        *loss += sign * total;
    }
}

/// softplus(o) − t·o as a sum, max(o, 0) − t·o, and a factor, 1 + e^−|o|, whose logarithm belongs to it; and σ(o) − t.
#[inline(always)]
fn entropy_term<F: Number>(o: F, t: F) -> (F, F, F) {
    use relax_estimators::Real;
    let e = Real::exp(-Real::abs(o));
    let factor = one::<F>() + e;
    let inverse = one::<F>() / factor;
    let (above, numerator) = if o > zero() { (o, one()) } else { (zero(), e) };
    (above - t * o, factor, numerator * inverse - t)
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

#[cfg(test)]
mod tests {
    use super::cross_entropy;
    use relax_estimators::Real;

    /// One row wide enough for several products, with a rest, against the definition in double precision.
    #[test]
    fn cross_entropy_is_the_sum_of_its_definition() {
        let width = 2_500;
        let logits: Vec<f32> = (0..width).map(|i| ((i * 7_919 % 2_003) as f32 - 1_000.0) * 0.03).collect();
        let targets: Vec<f32> = (0..width).map(|i| (i * 31 % 11) as f32 / 10.0).collect();
        let wide = |x: &[f32]| x.iter().map(|&x| f64::from(x)).collect::<Vec<f64>>();
        let expected: f64 =
            wide(&logits).iter().zip(wide(&targets)).map(|(&o, t)| o.softplus() - t * o).sum();
        let (mut loss, mut slope) = ([1.0_f32], vec![0.0; width]);
        cross_entropy(&logits, &targets, width, -1.0, &mut loss, &mut slope);
        let (mut wide_loss, mut wide_slope) = ([1.0_f64], vec![0.0; width]);
        cross_entropy(&wide(&logits), &wide(&targets), width, -1.0, &mut wide_loss, &mut wide_slope);
        assert!((wide_loss[0] - (1.0 - expected)).abs() < 1e-12 * expected, "{wide_loss:?}, {expected}");
        assert!((f64::from(loss[0]) - wide_loss[0]).abs() < 3e-6 * expected, "{loss:?}, {wide_loss:?}");
        for (i, (&o, &t)) in logits.iter().zip(&targets).enumerate() {
            let exact = f64::from(o).sigmoid() - f64::from(t);
            assert!((wide_slope[i] - exact).abs() < 1e-15, "slope {i}");
            assert!((f64::from(slope[i]) - exact).abs() < 2e-7, "slope {i}");
        }
    }

    /// A model that has diverged does not look like one that has not.
    #[test]
    fn cross_entropy_of_logits_that_are_not_finite_is_not_finite() {
        for o in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for t in [0.0, 1.0] {
                let (mut loss, mut slope) = ([0.0], [0.0]);
                cross_entropy(&[o], &[t], 1, 1.0, &mut loss, &mut slope);
                assert!(!loss[0].is_finite(), "{o}, {t}");
            }
        }
    }
}
