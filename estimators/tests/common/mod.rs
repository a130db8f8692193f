//! What the tests share: quadrature, a control variate with known derivatives, seeded noise.
#![allow(dead_code)]

use rand::SeedableRng;
use rand_pcg::Pcg64;
use relax_estimators::Real;

/// A generator with a fixed seed.
pub fn rng(seed: u64) -> Pcg64 {
    Pcg64::seed_from_u64(seed)
}

/// Nodes and weights of tanh-sinh quadrature on (low, high): exact to rounding for logarithmic ends.
pub fn nodes(low: f64, high: f64) -> Vec<(f64, f64)> {
    let step = 0.05;
    (-60..=60)
        .map(|i| {
            let t = f64::from(i) * step;
            let x = (std::f64::consts::PI * t.sinh()).sigmoid();
            let slope = std::f64::consts::PI * t.cosh() * x * (-std::f64::consts::PI * t.sinh()).sigmoid();
            (low + (high - low) * x, (high - low) * step * slope)
        })
        .filter(|&(x, _)| x > low && x < high)
        .collect()
}

/// E[g(ε)] over a standard normal ε, by the trapezoidal rule (spectrally accurate).
pub fn normal_expectation(g: impl Fn(f64) -> f64) -> f64 {
    let step = 0.01;
    let density = |x: f64| (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
    (-1300..=1300).map(|i| f64::from(i) * step).map(|x| step * density(x) * g(x)).sum()
}

/// c(z) = Σ kᵢ·sin zᵢ + 0.7·cos(z₀ + z₁) and ∇c, row by row; bounded, and nothing like a good control variate.
pub fn wavy<F: Real>(z: &[F], width: usize, value: &mut [F], gradient: &mut [F]) {
    let weight = |i: usize| [0.9, -1.1, 0.6][i % 3];
    for (i, (z, g)) in z.chunks_exact(width).zip(gradient.chunks_exact_mut(width)).enumerate() {
        let z: Vec<f64> = z.iter().map(|z| z.to_f64()).collect();
        let phase = z[0] + z.get(1).copied().unwrap_or(0.0);
        let sum: f64 = z.iter().enumerate().map(|(k, z)| weight(k) * z.sin()).sum();
        value[i] = F::from_f64(sum + 0.7 * phase.cos());
        for (k, g) in g.iter_mut().enumerate() {
            let cross = if k < 2 { -0.7 * phase.sin() } else { 0.0 };
            *g = F::from_f64(weight(k) * z[k].cos() + cross);
        }
    }
}

/// Panics unless two numbers agree to `tolerance`.
#[track_caller]
pub fn close(left: f64, right: f64, tolerance: f64) {
    assert!((left - right).abs() <= tolerance, "{left} and {right} differ by more than {tolerance}");
}
