//! The floating-point type that the estimators are written over: `f32` in training, `f64` in checks.

use crate::approximate;
use std::fmt::{Debug, Display};
use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, Mul, MulAssign, Neg, Sub, SubAssign};

/// `f32` or `f64`: what an estimator needs of a number, and no more.
pub trait Real:
    Copy
    + Default
    + PartialEq
    + PartialOrd
    + Debug
    + Display
    + Send
    + Sync
    + Sum
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + SubAssign
    + MulAssign
    + 'static
{
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// The smallest positive normal number: the lowest uniform that a logarithm is taken of.
    const SMALLEST: Self;
    /// The largest number below 1: the highest uniform that a logarithm is taken of.
    const BELOW_ONE: Self;

    /// The nearest number of this type.
    fn from_f64(x: f64) -> Self;
    /// The number in double precision.
    fn to_f64(self) -> f64;
    /// A uniform of the **open** interval (0, 1) from 64 random bits; symmetric about ½.
    fn open_unit(bits: u64) -> Self;
    /// eˣ; for `f32` a vectorising polynomial, 0 below −87 and ∞ above 88.
    #[must_use]
    fn exp(self) -> Self;
    /// Natural logarithm; for `f32` a vectorising polynomial, −∞ at subnormal numbers.
    #[must_use]
    fn ln(self) -> Self;
    /// log(1 + x) for 0 ≤ x ≤ 1, accurate near 0.
    #[must_use]
    fn ln_1p(self) -> Self;
    /// |x|.
    #[must_use]
    fn abs(self) -> Self;
    /// The larger of two numbers.
    #[must_use]
    fn max(self, other: Self) -> Self;
    /// The smaller of two numbers.
    #[must_use]
    fn min(self, other: Self) -> Self;

    /// `self` moved into the open interval (0, 1), so that neither log u nor log(1 − u) is infinite.
    #[inline(always)]
    #[must_use]
    fn into_open_unit(self) -> Self {
        self.max(Self::SMALLEST).min(Self::BELOW_ONE)
    }

    /// σ(x) = 1 / (1 + e⁻ˣ), without overflow.
    #[inline(always)]
    #[must_use]
    fn sigmoid(self) -> Self {
        let e = (-self.abs()).exp();
        (if self >= Self::ZERO { Self::ONE } else { e }) / (Self::ONE + e)
    }

    /// log(1 + eˣ), without overflow.
    #[inline(always)]
    #[must_use]
    fn softplus(self) -> Self {
        self.max(Self::ZERO) + (-self.abs()).exp().ln_1p()
    }
}

macro_rules! real {
    ($t:ident, $below_one:expr, $bits:expr, $exp:expr, $ln:expr, $ln_1p:expr) => {
        impl Real for $t {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const SMALLEST: Self = $t::MIN_POSITIVE;
            const BELOW_ONE: Self = $below_one;

            #[inline(always)]
            fn from_f64(x: f64) -> Self {
                x as $t
            }
            #[inline(always)]
            fn to_f64(self) -> f64 {
                f64::from(self)
            }
            #[inline(always)]
            fn open_unit(bits: u64) -> Self {
                // The top bits plus a half, times 2^-bits: exact in this type, so 0 and 1 cannot occur.
                ((bits >> (64 - $bits)) as $t + 0.5) * (1.0 / (1_u64 << $bits) as $t)
            }
            #[inline(always)]
            fn exp(self) -> Self {
                $exp(self)
            }
            #[inline(always)]
            fn ln(self) -> Self {
                $ln(self)
            }
            #[inline(always)]
            fn ln_1p(self) -> Self {
                $ln_1p(self)
            }
            #[inline(always)]
            fn abs(self) -> Self {
                $t::abs(self)
            }
            #[inline(always)]
            fn max(self, other: Self) -> Self {
                $t::max(self, other)
            }
            #[inline(always)]
            fn min(self, other: Self) -> Self {
                $t::min(self, other)
            }
        }
    };
}

real!(f32, 1.0 - f32::EPSILON / 2.0, 23, approximate::exp, approximate::ln, approximate::ln_1p);
real!(f64, 1.0 - f64::EPSILON / 2.0, 52, f64::exp, f64::ln, f64::ln_1p);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_unit_never_reaches_its_ends() {
        assert!(f32::open_unit(0) > 0.0 && f32::open_unit(u64::MAX) < 1.0);
        assert!(f64::open_unit(0) > 0.0 && f64::open_unit(u64::MAX) < 1.0);
        assert_eq!(f32::open_unit(0), 1.0 - f32::open_unit(u64::MAX));
        assert!(
            0.0_f32.into_open_unit().ln().is_finite() && (1.0 - 1.0_f32.into_open_unit()).ln().is_finite()
        );
    }

    #[test]
    fn sigmoid_and_softplus_do_not_overflow() {
        for x in [-1e4_f32, -100.0, -1.0, 0.0, 1.0, 100.0, 1e4] {
            assert!(x.sigmoid().is_finite() && x.softplus().is_finite());
            assert!((x.softplus() - (-x).softplus() - x).abs() <= 1e-6 * x.abs());
        }
        assert_eq!(0.0_f64.sigmoid(), 0.5);
        assert_eq!(0.0_f64.softplus(), std::f64::consts::LN_2);
    }
}
