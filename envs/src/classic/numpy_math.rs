//! The few functions whose rounding differs between NumPy and plain Rust.

use std::hint::black_box;

/// `x ** 2` of a NumPy scalar: the library's `pow`, which in about one case of 1300 rounds unlike `x * x`.
#[inline]
pub(crate) fn scalar_square(x: f64) -> f64 {
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

/// `numpy.cos` and `numpy.sin` of a float32 on processors with fused multiply-add: NumPy's own polynomials in [-π/4, π/4],
/// which differ from the correctly rounded value in about one case of 1500, and its reduction to that range, which holds to
/// |x| = 71476 (beyond, the values here are the rounded ones).
pub(super) fn float32_cos_sin(x: f32) -> (f32, f32) {
    const COS: [f32; 5] = [2.437_226_6e-5, -0.001_388_652, 0.041_666_62, -0.5, 1.0];
    const SIN: [f32; 4] = [2.840_409_7e-6, -0.000_198_564_91, 0.008_333_397, -0.166_666_67];
    /// -π/2 in three parts.
    #[allow(clippy::approx_constant)] // the first part is meant to be short
    const MINUS_HALF_PI: [f32; 3] = [-1.570_796, -3.139_164_7e-7, -5.390_302_5e-15];
    if x.abs() > 71_476.0 {
        let (sin, cos) = f64::from(x).sin_cos();
        return (cos as f32, sin as f32);
    }
    let quadrant = (x * std::f32::consts::FRAC_2_PI).round_ties_even();
    let x = MINUS_HALF_PI.iter().fold(x, |x, part| quadrant.mul_add(*part, x));
    let square = x * x;
    let polynomial = |terms: &[f32]| terms.iter().fold(0.0, |sum: f32, term| sum.mul_add(square, *term));
    let (cos, sin) = (polynomial(&COS), (polynomial(&SIN) * square).mul_add(x, x));
    match quadrant as i32 & 3 {
        0 => (cos, sin),
        1 => (-sin, cos),
        2 => (-cos, -sin),
        _ => (sin, -cos),
    }
}

/// `numpy.sum` of up to 128 numbers: in order below 8 of them, else in eight interleaved sums that are added in pairs.
#[cfg_attr(not(feature = "mujoco"), allow(dead_code))]
pub(crate) fn pairwise_sum<T>(count: usize, term: impl Fn(usize) -> T) -> T
where
    T: Copy + Default + std::ops::Add<Output = T>,
{
    debug_assert!(count <= 128);
    if count < 8 {
        return (0..count).fold(T::default(), |sum, i| sum + term(i));
    }
    let mut sums: [T; 8] = std::array::from_fn(&term);
    let whole = count - count % 8;
    for i in 8..whole {
        sums[i % 8] = sums[i % 8] + term(i);
    }
    let [a, b, c, d, e, f, g, h] = sums;
    (whole..count).fold(((a + b) + (c + d)) + ((e + f) + (g + h)), |sum, i| sum + term(i))
}

/// `numpy.sum(numpy.square(x))` of up to 128 float32 numbers.
#[cfg_attr(not(feature = "mujoco"), allow(dead_code))]
pub(crate) fn sum_of_squares(values: &[f32]) -> f32 {
    pairwise_sum(values.len(), |i| values[i] * values[i])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// NumPy 2.4.6's values where plain arithmetic gives others.
    #[test]
    fn squares_round_as_pow_does() {
        for (x, square) in [
            (0.0764893480606883, 0.005850620366749121),
            (1.6170532146684407, 2.6148610990695382),
            (-2.195148626849369, 4.81867749395867),
            (-0.34846230889501895, 0.1214259807204476),
        ] {
            assert_eq!(scalar_square(x), square);
            assert_ne!(x * x, square);
        }
        for (x, square) in [(-1.9257965f32, 3.708692), (0.67541504, 0.4561855), (0.7272163, 0.5288436)] {
            assert_eq!(scalar_square_f32(x), square);
            assert_ne!(x * x, square);
        }
    }

    #[test]
    fn float32_polynomials_are_numpys() {
        let rounded = |x: f32| (f64::from(x).cos() as f32, f64::from(x).sin() as f32);
        for (x, cos, sin) in [
            (-0.09409414, 0.99557644, -0.09395536),
            (-0.050140943, 0.99874324, -0.050119936),
            (0.08252091, 0.99659705, 0.082427286),
            (-0.09993144, 0.99501103, -0.0997652),
            (0.055235825, 0.9984749, 0.05520774),
            (0.09706645, 0.9952927, 0.09691409),
        ] {
            assert_eq!(float32_cos_sin(x), (cos, sin));
            assert_ne!(rounded(x), (cos, sin));
        }
        // One in each quadrant.
        for (x, cos, sin) in [
            (35.740_43, -0.378_232_84, -0.925_710_5),
            (38.948_784, 0.315_633_57, 0.948_881_15),
            (-14.220_48, -0.083_216_68, -0.996_531_5),
            (-10.838_099_5, -0.156_824_75, 0.987_626_43),
        ] {
            assert_eq!(float32_cos_sin(x), (cos, sin));
            assert_ne!(rounded(x), (cos, sin));
        }
    }

    #[test]
    fn sums_are_paired_as_numpys() {
        // numpy.float32([1e8] + [1] * 16).sum(): eight sums lose fewer of the ones than one would.
        let value = |i: usize| if i == 0 { 1e8f32 } else { 1.0 };
        assert_eq!(pairwise_sum(17, value), 100000008.0);
        assert_eq!((0..17).fold(0.0, |sum, i| sum + value(i)), 1e8);
        assert_eq!(pairwise_sum(7, value), 1e8);
        assert_eq!(sum_of_squares(&[3.0, 4.0]), 25.0);
    }

    #[test]
    fn modulo_is_pythons() {
        use std::f64::consts::TAU;
        for (x, remainder) in [
            (-1.0, 5.283185307179586),
            (7.0, 0.7168146928204138),
            (-TAU, 0.0),
            (-1e-17, TAU),
            (100.5, 6.2522203923062065),
            (-100.5, 0.030964914873379712),
        ] {
            assert_eq!(python_modulo(x, TAU), remainder);
        }
    }
}
