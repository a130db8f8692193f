//! Standard normal noise that covers its range evenly: Latin hypercubes.

use relax_envs::EnvRng;

/// Fills `noise` `[M, K]` with standard normals of which, in each of the K coordinates, exactly one lies in each of the M
/// equally likely intervals. Every row on its own is standard normal, so means over the rows are unbiased, and more exact
/// than those of independent rows the closer the function is to a sum of functions of one coordinate. `order` is scratch.
///
/// Reference: McKay, Beckman & Conover 1979.
pub fn fill(noise: &mut [f32], k: usize, rng: &mut EnvRng, order: &mut Vec<u32>) {
    let m = noise.len() / k;
    for coordinate in 0..k {
        order.clear();
        order.extend(0..m as u32);
        for i in (1..m).rev() {
            order.swap(i, rng.integers(0, i as i64 + 1) as usize);
        }
        for (row, &stratum) in order.iter().enumerate() {
            let u = (f64::from(stratum) + f64::from(rng.uniform_open_f32())) / m as f64;
            noise[row * k + coordinate] = quantile(u) as f32;
        }
    }
}

/// The standard normal's quantile at `p` ∈ (0, 1), to 1e-15 relative (Wichura 1988, algorithm AS 241, PPND16).
#[must_use]
pub fn quantile(p: f64) -> f64 {
    const A: [f64; 8] = [
        3.387_132_872_796_366_5,
        1.331_416_678_917_843_8e2,
        1.971_590_950_306_551_3e3,
        1.373_169_376_550_946e4,
        4.592_195_393_154_987e4,
        6.726_577_092_700_87e4,
        3.343_057_558_358_813e4,
        2.509_080_928_730_122_7e3,
    ];
    const B: [f64; 8] = [
        1.0,
        4.231_333_070_160_091e1,
        6.871_870_074_920_579e2,
        5.394_196_021_424_751e3,
        2.121_379_430_158_659_7e4,
        3.930_789_580_009_271e4,
        2.872_908_573_572_194_3e4,
        5.226_495_278_852_854e3,
    ];
    const C: [f64; 8] = [
        1.423_437_110_749_683_5,
        4.630_337_846_156_546,
        5.769_497_221_460_691,
        3.647_848_324_763_204_5,
        1.270_458_252_452_368_4,
        2.417_807_251_774_506e-1,
        2.272_384_498_926_918_4e-2,
        7.745_450_142_783_414e-4,
    ];
    const D: [f64; 8] = [
        1.0,
        2.053_191_626_637_759,
        1.676_384_830_183_803_8,
        6.897_673_349_851e-1,
        1.481_039_764_274_800_8e-1,
        1.519_866_656_361_645_7e-2,
        5.475_938_084_995_345e-4,
        1.050_750_071_644_416_9e-9,
    ];
    const E: [f64; 8] = [
        6.657_904_643_501_103,
        5.463_784_911_164_114,
        1.784_826_539_917_291_3,
        2.965_605_718_285_048_7e-1,
        2.653_218_952_657_612_4e-2,
        1.242_660_947_388_078_4e-3,
        2.711_555_568_743_487_6e-5,
        2.010_334_399_292_288_1e-7,
    ];
    const F: [f64; 8] = [
        1.0,
        5.998_322_065_558_88e-1,
        1.369_298_809_227_358e-1,
        1.487_536_129_085_061_5e-2,
        7.868_691_311_456_133e-4,
        1.846_318_317_510_054_8e-5,
        1.421_511_758_316_446e-7,
        2.044_263_103_389_939_8e-15,
    ];
    let ratio = |above: &[f64; 8], below: &[f64; 8], r: f64| {
        let value = |c: &[f64; 8]| c.iter().rev().fold(0.0, |sum, c| sum * r + c);
        value(above) / value(below)
    };
    let q = p - 0.5;
    if q.abs() <= 0.425 {
        return q * ratio(&A, &B, 0.180_625 - q * q);
    }
    let tail = if q < 0.0 { p } else { 1.0 - p };
    let r = (-tail.ln()).sqrt();
    let x = if r <= 5.0 { ratio(&C, &D, r - 1.6) } else { ratio(&E, &F, r - 5.0) };
    if q < 0.0 { -x } else { x }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_tables() {
        // Python 3.11, statistics.NormalDist().inv_cdf.
        for (p, x) in [
            (0.5, 0.0),
            (0.975, 1.959_963_984_540_054),
            (0.9, 1.281_551_565_544_600_5),
            (1e-3, -3.090_232_306_167_813_5),
            (1e-12, -7.034_483_825_301_132),
            (0.25, -0.674_489_750_196_081_7),
        ] {
            assert!((quantile(p) - x).abs() < 1e-12, "{p}: {} {x}", quantile(p));
        }
    }

    #[test]
    fn every_interval_holds_one_and_every_row_is_standard_normal() {
        let (mut rng, mut order) = (EnvRng::from_seed(1), Vec::new());
        let (mut noise, mut sums) = (vec![0.0; 8], [[0.0f64; 4]; 2]);
        for _ in 0..20_000 {
            fill(&mut noise, 2, &mut rng, &mut order);
            for k in 0..2 {
                let mut interval: Vec<usize> = (0..4)
                    .map(|m| {
                        let x = noise[2 * m + k];
                        usize::from(x > -0.674_49) + usize::from(x > 0.0) + usize::from(x > 0.674_49)
                    })
                    .collect();
                interval.sort_unstable();
                assert_eq!(interval, [0, 1, 2, 3]);
                // The first row alone, in both coordinates.
                let x = f64::from(noise[k]);
                (1..=4).for_each(|i| sums[k][i - 1] += x.powi(i as i32) / 20_000.0);
            }
        }
        for [mean, square, cube, fourth] in sums {
            assert!(mean.abs() < 0.03 && (square - 1.0).abs() < 0.04 && cube.abs() < 0.12, "{sums:?}");
            assert!((fourth - 3.0).abs() < 0.3);
        }
    }
}
