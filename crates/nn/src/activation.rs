//! Activations of hidden layers with their first and second derivatives, all written in terms of the activation's
//! own value, so that a network keeps one array a layer.

use crate::Real;
use multiversion::multiversion;

/// Activation function σ of a hidden layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Activation {
    /// tanh(a).
    #[default]
    Tanh,
    /// max(0, a); its derivative at 0 is 0, as in PyTorch.
    Relu,
    /// a for a > 0, else exp(a) − 1 (Clevert et al. 2016, α = 1).
    Elu,
}

/// tanh for `f32` as a rational function of degree 13/6, which the compiler vectorises.
///
/// Greatest absolute error, measured against `f64::tanh` on every 97th float: 2.96e-7, and 4.04e-7 where a layer takes
/// two values at one division (the tests hold them below 3.2e-7 and 4.2e-7). Odd, never beyond ±1; NaN stays NaN.
///
/// Reference: the minimax coefficients are those of Eigen's `ptanh` (Eigen 3.4, `MathFunctionsImpl.h`).
///
/// ```
/// assert!((relax_nn::activation::tanh_f32(0.5) - 0.5f32.tanh()).abs() < 4e-7);
/// ```
#[inline(always)]
#[must_use]
pub fn tanh_f32(x: f32) -> f32 {
    let (p, q) = tanh_ratio(x);
    (p / q).clamp(-1.0, 1.0)
}

/// tanh of two values at the price of one division, a vector unit's slowest operation: p₁/q₁ = p₁q₂·(q₁q₂)⁻¹.
#[inline(always)]
pub(crate) fn tanh_f32_pair(x: f32, y: f32) -> (f32, f32) {
    let ((p1, q1), (p2, q2)) = (tanh_ratio(x), tanh_ratio(y));
    let inverse = 1.0 / (q1 * q2);
    ((p1 * q2 * inverse).clamp(-1.0, 1.0), (p2 * q1 * inverse).clamp(-1.0, 1.0))
}

/// Numerator and denominator; the latter lies in [0.0048, 0.91].
#[inline(always)]
fn tanh_ratio(x: f32) -> (f32, f32) {
    // `clamp` keeps NaN. Beyond this bound the rational function would exceed 1.
    let x = x.clamp(-7.905_311, 7.905_311);
    let x2 = x * x;
    let p = x2.mul_add(-2.760_768_5e-16, 2.000_188e-13);
    let p = x2.mul_add(p, -8.604_672e-11);
    let p = x2.mul_add(p, 5.122_297e-8);
    let p = x2.mul_add(p, 1.485_722_4e-5);
    let p = x2.mul_add(p, 6.372_619_3e-4);
    let p = x2.mul_add(p, 4.893_524_6e-3);
    let q = x2.mul_add(1.198_258_4e-6, 1.185_347_1e-4);
    let q = x2.mul_add(q, 2.268_434_6e-3);
    let q = x2.mul_add(q, 4.893_525e-3);
    (x * p, q)
}

/// σ'(a) from h = σ(a).
#[inline(always)]
fn slope<F: Real, const KIND: u8>(h: F) -> F {
    match KIND {
        TANH => (-h).fma(h, F::ONE),
        RELU => {
            if h > F::ZERO {
                F::ONE
            } else {
                F::ZERO
            }
        }
        _ => {
            if h > F::ZERO {
                F::ONE
            } else {
                h + F::ONE
            }
        }
    }
}

/// σ''(a)/σ'(a) from h = σ(a).
#[inline(always)]
fn curvature<F: Real, const KIND: u8>(h: F) -> F {
    match KIND {
        TANH => F::of(-2.0) * h,
        RELU => F::ZERO,
        _ => {
            if h > F::ZERO {
                F::ZERO
            } else {
                F::ONE
            }
        }
    }
}

/// Lanes of one AVX-512 register of `f32`.
const LANES: usize = 16;

const TANH: u8 = 0;
const RELU: u8 = 1;
const ELU: u8 = 2;

/// One vectorised loop per activation: chooses the monomorphic version of `$loop`.
macro_rules! per_activation {
    ($self:expr, $function:ident ( $($argument:expr),* )) => {
        match $self {
            Activation::Tanh => $function::<F, TANH>($($argument),*),
            Activation::Relu => $function::<F, RELU>($($argument),*),
            Activation::Elu => $function::<F, ELU>($($argument),*),
        }
    };
}

impl Activation {
    /// h ← σ(h + bias), row by row: h is `[B, width]`, bias `[width]`.
    pub fn add_bias_and_activate<F: Real>(self, h: &mut [F], bias: &[F]) {
        per_activation!(self, bias_and_activate(h, bias));
    }

    /// d ← d ∘ σ'(a), with h = σ(a); all of one length.
    pub fn multiply_by_slope<F: Real>(self, d: &mut [F], h: &[F]) {
        per_activation!(self, times_slope(d, h));
    }

    /// `out` ← d ∘ σ'(a), with h = σ(a); all of one length.
    pub fn slope_times<F: Real>(self, out: &mut [F], d: &[F], h: &[F]) {
        per_activation!(self, slope_product(out, d, h));
    }

    /// `out` ← d ∘ σ'(a) row by row, with h = σ(a): out and h `[B, width]`, d `[width]`.
    pub fn slope_times_row<F: Real>(self, out: &mut [F], d: &[F], h: &[F]) {
        per_activation!(self, slope_row(out, d, h));
    }

    /// The reverse step of a tangent (Pearlmutter 1994): q ← μ ∘ σ'(a) + λ ∘ ȧ ∘ σ''(a), where `q` holds μ on entry
    /// and p = λ ∘ σ'(a).
    pub fn curve<F: Real>(self, q: &mut [F], p: &[F], tangent: &[F], h: &[F]) {
        per_activation!(self, curve(q, p, tangent, h));
    }
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
fn bias_and_activate<F: Real, const KIND: u8>(h: &mut [F], bias: &[F]) {
    for row in h.chunks_exact_mut(bias.len()) {
        if KIND == TANH {
            let (pairs, rest) = row.as_chunks_mut::<{ 2 * LANES }>();
            let (bias_pairs, bias_rest) = bias.as_chunks::<{ 2 * LANES }>();
            for (x, b) in pairs.iter_mut().zip(bias_pairs) {
                for lane in 0..LANES {
                    let other = lane + LANES;
                    (x[lane], x[other]) = F::fast_tanh_pair(x[lane] + b[lane], x[other] + b[other]);
                }
            }
            rest.iter_mut().zip(bias_rest).for_each(|(x, &b)| *x = (*x + b).fast_tanh());
        } else {
            for (x, &b) in row.iter_mut().zip(bias) {
                let a = *x + b;
                *x = if a > F::ZERO {
                    a
                } else if KIND == RELU {
                    a.larger(F::ZERO) // 0, and NaN for NaN
                } else {
                    a.expm1()
                };
            }
        }
    }
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
fn times_slope<F: Real, const KIND: u8>(d: &mut [F], h: &[F]) {
    for (d, &h) in d.iter_mut().zip(h) {
        *d *= slope::<F, KIND>(h);
    }
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
fn slope_product<F: Real, const KIND: u8>(out: &mut [F], d: &[F], h: &[F]) {
    for ((out, &d), &h) in out.iter_mut().zip(d).zip(h) {
        *out = d * slope::<F, KIND>(h);
    }
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
fn slope_row<F: Real, const KIND: u8>(out: &mut [F], d: &[F], h: &[F]) {
    for (out, h) in out.chunks_exact_mut(d.len()).zip(h.chunks_exact(d.len())) {
        for ((out, &d), &h) in out.iter_mut().zip(d).zip(h) {
            *out = d * slope::<F, KIND>(h);
        }
    }
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
fn curve<F: Real, const KIND: u8>(q: &mut [F], p: &[F], tangent: &[F], h: &[F]) {
    for (((q, &p), &t), &h) in q.iter_mut().zip(p).zip(tangent).zip(h) {
        *q = q.fma(slope::<F, KIND>(h), p * t * curvature::<F, KIND>(h));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tanh_is_within_its_stated_error_and_odd() {
        let (mut worst, mut worst_in_pair) = (0f64, 0f64);
        // Every 97th float of each sign: 44 million values.
        for bits in (0..0x7f80_0000u32).step_by(97) {
            let x = f32::from_bits(bits);
            let y = tanh_f32(x);
            assert!(y.abs() <= 1.0);
            assert_eq!(tanh_f32(-x), -y);
            let exact = f64::from(x).tanh();
            worst = worst.max((f64::from(y) - exact).abs());
            // In a pair, beside a partner of another size.
            let (first, second) = (tanh_f32_pair(x, 1.0 - x), tanh_f32_pair(0.01, x));
            for y in [first.0, second.1] {
                worst_in_pair = worst_in_pair.max((f64::from(y) - exact).abs());
            }
        }
        println!("greatest absolute error of tanh_f32: {worst:.2e}, in a pair {worst_in_pair:.2e}");
        assert!(worst < 3.2e-7, "{worst}");
        assert!(worst_in_pair < 4.2e-7, "{worst_in_pair}");
        assert!(tanh_f32(f32::NAN).is_nan());
        assert!((tanh_f32(f32::INFINITY) - 1.0).abs() < 3.2e-7);
    }

    #[test]
    fn derivatives_from_the_value_agree_with_finite_differences() {
        for activation in [Activation::Tanh, Activation::Relu, Activation::Elu] {
            let value = |a: f64| {
                let mut h = [a];
                activation.add_bias_and_activate(&mut h, &[0.0]);
                h[0]
            };
            let slope = |a: f64| {
                let mut d = [1.0];
                activation.multiply_by_slope(&mut d, &[value(a)]);
                d[0]
            };
            for a in [-1.7, -0.4, 0.3, 2.2] {
                let e = 1e-6;
                assert!((slope(a) - (value(a + e) - value(a - e)) / (2.0 * e)).abs() < 1e-9);
                let mut q = [0.0];
                activation.curve(&mut q, &[slope(a)], &[1.0], &[value(a)]);
                assert!((q[0] - (slope(a + e) - slope(a - e)) / (2.0 * e)).abs() < 1e-9);
            }
        }
    }
}
