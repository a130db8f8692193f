//! Tails of Student's, Fisher's and the normal distribution.

/// P(F > x) for Fisher's distribution with `d1` and `d2` degrees of freedom.
pub(super) fn f_tail(x: f64, d1: f64, d2: f64) -> f64 {
    if x.is_nan() || x == f64::INFINITY {
        return 0.0;
    }
    if x <= 0.0 {
        return 1.0;
    }
    incomplete_beta(d2 / (d2 + d1 * x), d2 / 2.0, d1 / 2.0)
}

/// Two-sided tail of Student's distribution: P(|T| > |t|).
pub(super) fn t_tail(t: f64, degrees: f64) -> f64 {
    f_tail(t * t, 1.0, degrees)
}

/// Lower-tail quantile of the standard normal distribution, p ≤ ½, to 5e-4 (Abramowitz and Stegun 26.2.23).
pub(super) fn normal_quantile(p: f64) -> f64 {
    let t = (-2.0 * p.ln()).sqrt();
    let numerator = 2.515_517 + t * (0.802_853 + t * 0.010_328);
    let denominator = 1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308));
    numerator / denominator - t
}

/// The regularised incomplete beta function Iₓ(a, b), by Lentz's continued fraction (Numerical Recipes, 6.4).
fn incomplete_beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    let front = (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (-x).ln_1p()).exp();
    if x < (a + 1.0) / (a + b + 2.0) {
        front * fraction(x, a, b) / a
    } else {
        1.0 - front * fraction(1.0 - x, b, a) / b
    }
}

fn fraction(x: f64, a: f64, b: f64) -> f64 {
    let away = |v: f64| if v.abs() < 1e-300 { 1e-300 } else { v };
    let (mut c, mut d) = (1.0, 1.0 / away(1.0 - (a + b) * x / (a + 1.0)));
    let mut h = d;
    for m in 1..20_000 {
        let m = f64::from(m);
        for numerator in [
            m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0)),
        ] {
            d = 1.0 / away(1.0 + numerator * d);
            c = away(1.0 + numerator / c);
            h *= c * d;
        }
        if (c * d - 1.0).abs() < 1e-15 {
            break;
        }
    }
    h
}

/// ln Γ(x), x > 0 (Lanczos, g = 7).
fn ln_gamma(x: f64) -> f64 {
    const C: [f64; 9] = [
        0.999_999_999_999_809_9,
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    let x = x - 1.0;
    let sum = C[0] + (1..9).map(|i| C[i] / (x + i as f64)).sum::<f64>();
    let t = x + 7.5;
    0.5 * (2.0 * std::f64::consts::PI).ln() + (x + 0.5) * t.ln() - t + sum.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of SciPy 1.16: stats.f.sf and stats.t.sf.
    #[test]
    fn tails_are_scipys() {
        for (x, d1, d2, p) in [
            (3.0, 2.0, 10.0, 0.095_367_431_640_625),
            (1.0, 5.0, 200.0, 0.418_892_486_471_536_2),
            (2.2, 40.0, 3000.0, 2.271_458_607_299_779e-5),
        ] {
            let found = f_tail(x, d1, d2);
            assert!((found / p - 1.0).abs() < 1e-6, "{found} {p}");
        }
        assert!((t_tail(2.0, 5.0) - 0.101_939_478_829_858_37).abs() < 1e-9);
        assert_eq!((f_tail(0.0, 2.0, 3.0), f_tail(f64::NAN, 2.0, 3.0)), (1.0, 0.0));
    }

    #[test]
    fn quantiles() {
        for (p, z) in [(0.025, -1.959_964), (0.005, -2.575_829), (5e-4, -3.290_527), (1e-6, -4.753_424)] {
            assert!((normal_quantile(p) - z).abs() < 5e-4);
        }
    }
}
