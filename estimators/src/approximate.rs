//! eˣ and log x in single precision without branches or tables, so that loops over them vectorise.
//!
//! The polynomials are those of the Cephes library (Moshier 1992); both are good to about 1e-7 relative. No fused
//! multiply-add is used: every processor gives the same bits.

/// Bounds of eˣ: below the first the result is 0, above the second infinite.
const EXP_RANGE: (f32, f32) = (-87.0, 88.0);

/// eˣ, 0 below −87 and ∞ above 88.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // Adding 1.5·2²³ leaves the nearest integer n of x/log 2 in the low bits.
    const SHIFT: f32 = 12_582_912.0;
    let shifted = x.clamp(EXP_RANGE.0, EXP_RANGE.1) * std::f32::consts::LOG2_E + SHIFT;
    let n = shifted - SHIFT;
    let r = (x.clamp(EXP_RANGE.0, EXP_RANGE.1) - n * 0.693_359_4) + n * 2.121_944_4e-4;
    let p = 1.987_569_1e-4 * r + 1.398_2e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 5e-1;
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0_f32.to_bits()));
    let value = (p * r * r + r + 1.0) * power;
    let value = if x < EXP_RANGE.0 { 0.0 } else { value };
    if x > EXP_RANGE.1 { f32::INFINITY } else { value }
}

/// log x; −∞ for 0 and subnormal numbers, NaN for negative ones.
#[inline(always)]
pub(crate) fn ln(x: f32) -> f32 {
    const SQRT_HALF: u32 = 0x3f35_04f3;
    // x = m·2ᵉ with m in [√½, √2)
    let offset = x.to_bits().wrapping_sub(SQRT_HALF) as i32;
    let e = (offset >> 23) as f32;
    let m = f32::from_bits(x.to_bits().wrapping_sub(((offset >> 23) << 23) as u32));
    let r = m - 1.0;
    let p = 7.037_683_6e-2 * r - 1.151_461e-1;
    let p = p * r + 1.167_699_9e-1;
    let p = p * r - 1.242_014_1e-1;
    let p = p * r + 1.424_932_3e-1;
    let p = p * r - 1.666_805_8e-1;
    let p = p * r + 2.000_071_4e-1;
    let p = p * r - 2.499_999_4e-1;
    let p = p * r + 3.333_333e-1;
    let square = r * r;
    let tail = (p * r * square - 2.121_944_4e-4 * e) - 0.5 * square;
    let value = (r + tail) + 0.693_359_4 * e;
    let value = if x < f32::MIN_POSITIVE { f32::NEG_INFINITY } else { value };
    let value = if x < 0.0 { f32::NAN } else { value };
    if x <= f32::MAX { value } else { x } // ∞ and NaN stay
}

/// log(1 + x) for 0 ≤ x ≤ 1.
#[inline(always)]
pub(crate) fn ln_1p(x: f32) -> f32 {
    let y = 1.0 + x;
    ln(y) - ((y - 1.0) - x) / y
}

#[cfg(test)]
mod tests {
    #[test]
    fn exp_ln_and_ln_1p_are_good_to_single_precision() {
        let (mut exp, mut ln, mut ln_1p) = (0.0_f64, 0.0_f64, 0.0_f64);
        let relative = |computed: f32, exact: f64| ((f64::from(computed) - exact) / exact).abs();
        for i in 0..400_000 {
            let x = -86.9 + i as f32 * 174.8 / 400_000.0;
            exp = exp.max(relative(super::exp(x), f64::from(x).exp()));
            let x = f32::from_bits(f32::MIN_POSITIVE.to_bits() + i * 5_000);
            if x != 1.0 && x.is_finite() {
                ln = ln.max(relative(super::ln(x), f64::from(x).ln()));
            }
            let x = 1.0 + (i as f32 - 200_000.0) * f32::EPSILON;
            if x != 1.0 {
                ln = ln.max(relative(super::ln(x), f64::from(x).ln()));
            }
            let x = (i + 1) as f32 / 400_000.0;
            ln_1p = ln_1p.max(relative(super::ln_1p(x), f64::from(x).ln_1p()));
        }
        println!("largest relative errors: exp {exp:.1e}, ln {ln:.1e}, ln_1p {ln_1p:.1e}");
        assert!(exp < 2e-7 && ln < 2e-7 && ln_1p < 3e-7);
    }

    #[test]
    fn the_ends_are_kept() {
        assert_eq!((super::exp(0.0), super::exp(-1e9), super::exp(1e9)), (1.0, 0.0, f32::INFINITY));
        assert_eq!(
            (super::ln(1.0), super::ln(0.0), super::ln(f32::INFINITY)),
            (0.0, f32::NEG_INFINITY, f32::INFINITY)
        );
        assert_eq!(super::exp(f32::NEG_INFINITY), 0.0);
        assert!(super::exp(f32::NAN).is_nan() && super::ln(f32::NAN).is_nan() && super::ln(-1.0).is_nan());
        assert_eq!(super::ln_1p(0.0), 0.0);
    }
}
