//! Bernoulli nodes: hard samples, relaxed samples given them, and everything RELAX needs of both.
//!
//! Logit a, θ = σ(a); K independent variables to a sample. Every function works element by element, so the arrays may
//! be `[B, K]` or of any other shape. Jacobians are with respect to a; Π is the identity
//! ([`Projection::Identity`](crate::Projection::Identity)).
//!
//! Source: Tucker et al. 2017 (REBAR), appendix C; Grathwohl et al. 2018 (RELAX), appendix A.
//!
//! ```
//! use relax_estimators::bernoulli;
//!
//! let (logits, u, v) = ([0.3, -0.7], [0.9, 0.4], [0.2, 0.6]);
//! let (mut z, mut b, mut score) = ([0.0; 2], [0.0; 2], [0.0; 2]);
//! bernoulli::relaxed_sample(&logits, &u, &mut z);
//! bernoulli::hard_sample(&z, &mut b);
//! bernoulli::score(&logits, &b, &mut score);
//! assert_eq!(b, [1.0, 0.0]);
//!
//! let (mut z_tilde, mut w) = ([0.0; 2], [0.0; 2]);
//! bernoulli::conditional_independent(&logits, &b, &v, &mut z_tilde, &mut w);
//! assert!(z_tilde[0] > 0.0 && z_tilde[1] <= 0.0); // a relaxed sample given b rounds to b
//! ```

use crate::Real;
use crate::shape::{check_len, check_rows};
use multiversion::multiversion;

/// θ = σ(a).
pub fn probabilities<F: Real>(logits: &[F], theta: &mut [F]) {
    check_len("theta", theta, logits.len());
    for (t, &a) in theta.iter_mut().zip(logits) {
        *t = a.sigmoid();
    }
}

/// Unconditional relaxed sample z = a + log u − log(1 − u), a Logistic(a) variable; u uniform in (0, 1).
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
pub fn relaxed_sample<F: Real>(logits: &[F], u: &[F], z: &mut [F]) {
    check_len("u", u, logits.len());
    check_len("z", z, logits.len());
    for ((z, &a), &u) in z.iter_mut().zip(logits).zip(u) {
        *z = a + logit(u);
    }
}

/// The relaxed sample of the opposite uniforms, z' = a + log(1 − u) − log u: a Logistic(a) variable too, as unlike z as can be.
///
/// Its hard sample is the b̃ of [`disarm`](crate::disarm). Where z came from elsewhere, z' = 2a − z.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
pub fn antithetic_sample<F: Real>(logits: &[F], u: &[F], z: &mut [F]) {
    check_len("u", u, logits.len());
    check_len("z", z, logits.len());
    for ((z, &a), &u) in z.iter_mut().zip(logits).zip(u) {
        *z = a - logit(u);
    }
}

/// Hard sample b = \[z > 0\] as 0 or 1, which f takes; P(b = 1) = θ.
pub fn hard_sample<F: Real>(z: &[F], b: &mut [F]) {
    check_len("b", b, z.len());
    for (b, &z) in b.iter_mut().zip(z) {
        *b = if z > F::ZERO { F::ONE } else { F::ZERO };
    }
}

/// Score s = ∂log p(b)/∂a = b − θ.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
pub fn score<F: Real>(logits: &[F], b: &[F], score: &mut [F]) {
    check_len("b", b, logits.len());
    check_len("score", score, logits.len());
    for ((s, &a), &b) in score.iter_mut().zip(logits).zip(b) {
        // 1 − θ = σ(−a), without the cancellation.
        *s = if b > F::ZERO { (-a).sigmoid() } else { -a.sigmoid() };
    }
}

/// log p(b) `[B]` of K independent variables: Σₖ −softplus(∓aₖ).
pub fn log_prob<F: Real>(logits: &[F], b: &[F], k: usize, log_prob: &mut [F]) {
    check_rows("logits", logits.len(), k);
    check_len("b", b, logits.len());
    check_len("log_prob", log_prob, logits.len() / k);
    for ((out, a), b) in log_prob.iter_mut().zip(logits.chunks_exact(k)).zip(b.chunks_exact(k)) {
        *out = a.iter().zip(b).map(|(&a, &b)| -(if b > F::ZERO { -a } else { a }).softplus()).sum();
    }
}

/// Relaxed sample given b from fresh noise v, and w = ∂z̃/∂a.
///
/// ```text
/// v' = vθ + (1−θ) if b = 1,  v(1−θ) if b = 0         z̃ = a + log v' − log(1−v')
/// w  = 1 − (1−θ)/v' if b = 1,  1 − θ/(1−v') if b = 0
/// ```
/// v' depends on a: w without that dependence is 1, and the estimator biased. Computed as
/// z̃ = ±softplus(±logit v + softplus(±a)), which neither cancels nor overflows.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
pub fn conditional_independent<F: Real>(logits: &[F], b: &[F], v: &[F], z_tilde: &mut [F], w: &mut [F]) {
    check_len("b", b, logits.len());
    check_len("v", v, logits.len());
    check_len("z_tilde", z_tilde, logits.len());
    check_len("w", w, logits.len());
    for ((((z, w), &a), &b), &v) in z_tilde.iter_mut().zip(w).zip(logits).zip(b).zip(v) {
        let sign = if b > F::ZERO { F::ONE } else { -F::ONE };
        let distance = (sign * logit(v) + (sign * a).softplus()).softplus(); // |z̃|
        *z = sign * distance;
        *w = slope(a, sign, distance);
    }
}

/// w = ∂z̃/∂a for the v that makes z̃ = z in value: given b, that v is still uniform, so nothing is biased.
///
/// w = (1 − e^−|z|)·p(b). One evaluation of the control variate then serves z and z̃.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
pub fn conditional_coupled<F: Real>(logits: &[F], z: &[F], b: &[F], w: &mut [F]) {
    check_len("z", z, logits.len());
    check_len("b", b, logits.len());
    check_len("w", w, logits.len());
    for (((w, &a), &z), &b) in w.iter_mut().zip(logits).zip(z).zip(b) {
        *w = slope(a, if b > F::ZERO { F::ONE } else { -F::ONE }, z.abs());
    }
}

/// Entropy H = Σₖ softplus(aₖ) − θₖaₖ, `[B]`, in nats.
pub fn entropy<F: Real>(logits: &[F], k: usize, entropy: &mut [F]) {
    check_rows("logits", logits.len(), k);
    check_len("entropy", entropy, logits.len() / k);
    for (h, a) in entropy.iter_mut().zip(logits.chunks_exact(k)) {
        // θ·softplus(−a) + (1−θ)·softplus(a): both terms positive, so a large |a| does not cancel.
        *h = a.iter().map(|&a| a.sigmoid() * (-a).softplus() + (-a).sigmoid() * a.softplus()).sum();
    }
}

/// ∂H/∂a = −a·θ(1−θ).
pub fn entropy_gradient<F: Real>(logits: &[F], gradient: &mut [F]) {
    check_len("gradient", gradient, logits.len());
    for (g, &a) in gradient.iter_mut().zip(logits) {
        *g = -a * a.sigmoid() * (-a).sigmoid();
    }
}

/// log u − log(1 − u).
#[inline(always)]
fn logit<F: Real>(u: F) -> F {
    let u = u.into_open_unit();
    u.ln() - (F::ONE - u).ln()
}

/// (1 − e^−|z̃|)·p(b).
#[inline(always)]
fn slope<F: Real>(a: F, sign: F, distance: F) -> F {
    (F::ONE - (-distance).exp()) * (sign * a).sigmoid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_the_textbook_formulas() {
        for a in [-2.0_f64, -0.3, 0.0, 1.7] {
            for v in [0.01, 0.4, 0.99] {
                for b in [0.0, 1.0] {
                    let theta = a.sigmoid();
                    let v_prime = if b == 1.0 { v * theta + (1.0 - theta) } else { v * (1.0 - theta) };
                    let z_text = a + v_prime.ln() - (1.0 - v_prime).ln();
                    let w_text =
                        if b == 1.0 { 1.0 - (1.0 - theta) / v_prime } else { 1.0 - theta / (1.0 - v_prime) };
                    let (mut z, mut w, mut coupled) = ([0.0], [0.0], [0.0]);
                    conditional_independent(&[a], &[b], &[v], &mut z, &mut w);
                    conditional_coupled(&[a], &z, &[b], &mut coupled);
                    assert!((z[0] - z_text).abs() < 1e-12, "{} {z_text}", z[0]);
                    assert!((w[0] - w_text).abs() < 1e-12);
                    assert!((w[0] - coupled[0]).abs() < 1e-12);
                }
            }
        }
    }

    #[test]
    fn extremes_stay_finite_in_f32() {
        for a in [-80.0_f32, -20.0, 0.0, 20.0, 80.0] {
            for v in [0.0, f32::MIN_POSITIVE, 1e-7, 0.5, f32::BELOW_ONE, 1.0] {
                let mut z = [0.0];
                relaxed_sample(&[a], &[v], &mut z);
                assert!(z[0].is_finite());
                for b in [0.0, 1.0] {
                    let (mut z, mut w, mut s, mut l) = ([0.0], [0.0], [0.0], [0.0]);
                    conditional_independent(&[a], &[b], &[v], &mut z, &mut w);
                    score(&[a], &[b], &mut s);
                    log_prob(&[a], &[b], 1, &mut l);
                    assert!([z[0], w[0], s[0], l[0]].iter().all(|x| x.is_finite()), "{a} {v} {b}");
                    assert!((0.0..=1.0).contains(&w[0]));
                }
            }
        }
    }

    #[test]
    fn entropy_and_its_gradient() {
        let (h, k, step) = (
            |a: f64| {
                let mut h = [0.0];
                entropy(&[a], 1, &mut h);
                h[0]
            },
            1,
            1e-5,
        );
        assert_eq!(k, 1);
        assert!((h(0.0) - std::f64::consts::LN_2).abs() < 1e-15);
        for a in [-3.0, -0.4, 0.0, 2.5] {
            let mut g = [0.0];
            entropy_gradient(&[a], &mut g);
            assert!((g[0] - (h(a + step) - h(a - step)) / (2.0 * step)).abs() < 1e-9);
        }
    }
}
