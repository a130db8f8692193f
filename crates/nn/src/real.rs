//! The two scalar types the kernels are written for: `f32` in training, `f64` where exactness is tested.

use crate::encoder::CnnScratch;
use crate::kernels::Scratch;
use candle_core::{CpuStorage, WithDType};
use faer::traits::{ComplexField, Conjugate};
use std::cell::RefCell;

/// A real scalar that the kernels can compute with: `f32` or `f64`.
pub trait Real:
    WithDType
    + ComplexField
    + Conjugate<Canonical = Self>
    + Copy
    + Default
    + Send
    + Sync
    + std::fmt::Debug
    + PartialOrd
    + std::ops::Add<Output = Self>
    + std::ops::Sub<Output = Self>
    + std::ops::Mul<Output = Self>
    + std::ops::Div<Output = Self>
    + std::ops::Neg<Output = Self>
    + std::ops::AddAssign
    + std::ops::MulAssign
    + std::ops::SubAssign
    + std::iter::Sum
    + 'static
{
    /// Nought.
    const ZERO: Self;
    /// One.
    const ONE: Self;
    /// The nearest value of this type.
    fn of(x: f64) -> Self;
    /// The same value in 64 bits.
    fn wide(self) -> f64;
    /// self·a + b in one rounding.
    fn fma(self, a: Self, b: Self) -> Self;
    /// Square root.
    fn root(self) -> Self;
    /// exp(x) − 1.
    fn expm1(self) -> Self;
    /// The larger of two values.
    fn larger(self, other: Self) -> Self;
    /// The same value, or 0 if it is subnormal: arithmetic with subnormal numbers is a hundred times slower.
    fn flushed(self) -> Self;
    /// Hyperbolic tangent: for `f32` the vectorised approximation of [`crate::activation::tanh_f32`], for `f64` the library's.
    fn fast_tanh(self) -> Self;
    /// [`fast_tanh`](Self::fast_tanh) of two values at once.
    fn fast_tanh_pair(self, other: Self) -> (Self, Self);
    /// Lends this thread's scratch arrays. Calls do not nest.
    #[doc(hidden)]
    fn with_scratch<R>(f: impl FnOnce(&mut Scratch<Self>) -> R) -> R;
    /// Lends this thread's scratch arrays of a convolutional network. Calls do not nest.
    #[doc(hidden)]
    fn with_cnn_scratch<R>(f: impl FnOnce(&mut CnnScratch<Self>) -> R) -> R;
    /// The values of a candle storage, if it is of this type.
    fn slice(storage: &CpuStorage) -> Option<&[Self]>;
    /// The values of a candle storage, if it is of this type, to write to.
    fn slice_mut(storage: &mut CpuStorage) -> Option<&mut [Self]>;
    /// A candle storage that holds these values.
    fn storage(values: Vec<Self>) -> CpuStorage;
}

macro_rules! real {
    ($type:ty, $variant:ident, $tanh:expr, $tanh_pair:expr) => {
        impl Real for $type {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            #[inline(always)]
            fn of(x: f64) -> Self {
                x as $type
            }
            #[inline(always)]
            fn wide(self) -> f64 {
                f64::from(self)
            }
            #[inline(always)]
            fn fma(self, a: Self, b: Self) -> Self {
                self.mul_add(a, b)
            }
            #[inline(always)]
            fn root(self) -> Self {
                <$type>::sqrt(self)
            }
            #[inline(always)]
            fn expm1(self) -> Self {
                <$type>::exp_m1(self)
            }
            #[inline(always)]
            fn larger(self, other: Self) -> Self {
                <$type>::max(self, other)
            }
            #[inline(always)]
            fn flushed(self) -> Self {
                if <$type>::abs(self) < <$type>::MIN_POSITIVE { 0.0 } else { self }
            }
            #[inline(always)]
            fn fast_tanh(self) -> Self {
                ($tanh)(self)
            }
            #[inline(always)]
            fn fast_tanh_pair(self, other: Self) -> (Self, Self) {
                ($tanh_pair)(self, other)
            }
            fn with_scratch<R>(f: impl FnOnce(&mut Scratch<Self>) -> R) -> R {
                thread_local! {
                    static SCRATCH: RefCell<Scratch<$type>> = RefCell::default();
                }
                SCRATCH.with_borrow_mut(f)
            }
            fn with_cnn_scratch<R>(f: impl FnOnce(&mut CnnScratch<Self>) -> R) -> R {
                thread_local! {
                    static SCRATCH: RefCell<CnnScratch<$type>> = RefCell::default();
                }
                SCRATCH.with_borrow_mut(f)
            }
            fn slice(storage: &CpuStorage) -> Option<&[Self]> {
                match storage {
                    CpuStorage::$variant(values) => Some(values),
                    _ => None,
                }
            }
            fn slice_mut(storage: &mut CpuStorage) -> Option<&mut [Self]> {
                match storage {
                    CpuStorage::$variant(values) => Some(values),
                    _ => None,
                }
            }
            fn storage(values: Vec<Self>) -> CpuStorage {
                CpuStorage::$variant(values)
            }
        }
    };
}

real!(f32, F32, crate::activation::tanh_f32, crate::activation::tanh_f32_pair);
real!(f64, F64, f64::tanh, |x: f64, y: f64| (x.tanh(), y.tanh()));
