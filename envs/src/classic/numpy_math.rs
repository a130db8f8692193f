//! The few functions whose rounding differs between NumPy and plain Rust.

use std::hint::black_box;

/// `x ** 2` of a NumPy scalar: the library's `pow`, which in about one case of 1300 rounds unlike `x * x`.
#[inline]
pub(super) fn scalar_square(x: f64) -> f64 {
    // Hidden from the compiler, which would turn pow(x, 2.0) into x * x.
    x.powf(black_box(2.0))
}

/// `x ** 2` of a NumPy float32 scalar, like [`scalar_square`].
#[inline]
pub(super) fn scalar_square_f32(x: f32) -> f32 {
    x.powf(black_box(2.0))
}

/// Python's `x % modulus` for a positive modulus: the result lies in `[0, modulus)`.
#[inline]
pub(super) fn python_modulo(x: f64, modulus: f64) -> f64 {
    let remainder = x % modulus;
    if remainder == 0.0 {
        0.0
    } else if remainder < 0.0 {
        remainder + modulus
    } else {
        remainder
    }
}

/// `numpy.cos` and `numpy.sin` of a float32 in [-π/4, π/4] on processors with fused multiply-add: NumPy's own
/// polynomials, which differ from the correctly rounded value in about one case of 1500.
pub(super) fn float32_cos_sin(x: f32) -> (f32, f32) {
    const COS: [f32; 5] = [2.437_226_6e-5, -0.001_388_652, 0.041_666_62, -0.5, 1.0];
    const SIN: [f32; 4] = [2.840_409_7e-6, -0.000_198_564_91, 0.008_333_397, -0.166_666_67];
    let square = x * x;
    let polynomial = |terms: &[f32]| terms.iter().fold(0.0, |sum: f32, term| sum.mul_add(square, *term));
    (polynomial(&COS), (polynomial(&SIN) * square).mul_add(x, x))
}
