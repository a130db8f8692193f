//! Categorical nodes: hard samples, relaxed samples given them, and everything RELAX needs of both.
//!
//! Logits l, p = softmax(l); arrays are `[B, K]` row-major, an outcome b is an index `[B]`. Relaxed samples take
//! **normalised** log-probabilities (of [`log_softmax`]): with raw logits z̃_b would not be a standard Gumbel variable, a
//! silent bias. The chain through log-softmax is Πᵀ ([`apply_pi_transpose`]); ∂z/∂l = Π and ∂z̃/∂l = diag(w)·Π.
//!
//! Source: Tucker et al. 2017 (REBAR), appendix C; Grathwohl et al. 2018 (RELAX), appendix B; Maddison et al. 2017.
//!
//! ```
//! use relax_estimators::categorical;
//!
//! let (logits, u, v) = ([0.5_f64, -0.2, 0.1], [0.3, 0.9, 0.5], [0.6, 0.2, 0.8]);
//! let (mut log_probs, mut z, mut b) = ([0.0; 3], [0.0; 3], [0; 1]);
//! categorical::log_softmax(&logits, 3, &mut log_probs);
//! categorical::relaxed_sample(&log_probs, &u, &mut z);
//! categorical::hard_sample(&z, 3, &mut b);
//! assert_eq!(b, [1]);
//!
//! let (mut z_tilde, mut w) = ([0.0; 3], [0.0; 3]);
//! categorical::conditional_independent(&log_probs, &b, &v, &mut z_tilde, &mut w);
//! assert!(z_tilde[1] > z_tilde[0] && z_tilde[1] > z_tilde[2]); // argmax z̃ = b, always
//! assert_eq!(w[1], 0.0);
//! ```

use crate::Real;
use crate::shape::{check_len, check_rows, width};
use multiversion::multiversion;

/// Numbers in a block of scratch.
const BLOCK: usize = 256;

/// log p = l − logsumexp(l), row by row.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
pub fn log_softmax<F: Real>(logits: &[F], k: usize, log_probs: &mut [F]) {
    check_rows("logits", logits.len(), k);
    check_len("log_probs", log_probs, logits.len());
    // Blocks of rows, so that the exponentials and logarithms run over contiguous scratch.
    let rows = (BLOCK / k).max(1);
    let (mut exps, mut sums) = ([F::ZERO; BLOCK], [F::ZERO; BLOCK]);
    for (logits, out) in logits.chunks(rows * k).zip(log_probs.chunks_mut(rows * k)) {
        for (row, out) in logits.chunks_exact(k).zip(out.chunks_exact_mut(k)) {
            let top = row.iter().fold(row[0], |m, &l| m.max(l));
            out.iter_mut().zip(row).for_each(|(o, &l)| *o = l - top);
        }
        let sums = &mut sums[..out.len() / k];
        if k <= BLOCK {
            exps.iter_mut().zip(out.iter()).for_each(|(e, &o)| *e = o.exp());
            sums.iter_mut().zip(exps.chunks_exact(k)).for_each(|(s, e)| *s = e.iter().copied().sum());
        } else {
            // A long row in blocks, for the same reason; the sum keeps its order.
            sums[0] = out.chunks(BLOCK).fold(F::ZERO, |sum, part| {
                exps.iter_mut().zip(part).for_each(|(e, &o)| *e = o.exp());
                exps[..part.len()].iter().fold(sum, |sum, &e| sum + e)
            });
        }
        sums.iter_mut().for_each(|s| *s = s.ln());
        for (out, &log_sum) in out.chunks_exact_mut(k).zip(sums.iter()) {
            out.iter_mut().for_each(|o| *o -= log_sum);
        }
    }
}

/// p = exp(log p).
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
pub fn probabilities<F: Real>(log_probs: &[F], probs: &mut [F]) {
    check_len("probs", probs, log_probs.len());
    for (p, &l) in probs.iter_mut().zip(log_probs) {
        *p = l.exp();
    }
}

/// Unconditional relaxed sample zᵢ = log pᵢ − log(−log uᵢ), a Gumbel(log pᵢ) variable; u uniform in (0, 1).
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
pub fn relaxed_sample<F: Real>(log_probs: &[F], u: &[F], z: &mut [F]) {
    check_len("u", u, log_probs.len());
    check_len("z", z, log_probs.len());
    for ((z, &l), &u) in z.iter_mut().zip(log_probs).zip(u) {
        *z = l - exponential(u).ln();
    }
}

/// Hard sample b = argmax z, `[B]`; the first of equals. P(b = i) = pᵢ.
pub fn hard_sample<F: Real>(z: &[F], k: usize, b: &mut [u32]) {
    check_rows("z", z.len(), k);
    check_len("b", b, z.len() / k);
    for (b, row) in b.iter_mut().zip(z.chunks_exact(k)) {
        let mut best = 0;
        for i in 1..k {
            if row[i] > row[best] {
                best = i;
            }
        }
        *b = best as u32;
    }
}

/// b as rows of zeros with a single 1, `[B, K]`: the form that f takes.
pub fn one_hot<F: Real>(b: &[u32], out: &mut [F]) {
    let k = width("out", out.len(), b.len());
    out.fill(F::ZERO);
    for (row, &b) in out.chunks_exact_mut(k).zip(b) {
        row[b as usize] = F::ONE;
    }
}

/// Score s = ∂log p(b)/∂l = onehot(b) − p.
pub fn score<F: Real>(probs: &[F], b: &[u32], score: &mut [F]) {
    let k = width("probs", probs.len(), b.len());
    check_len("score", score, probs.len());
    for ((s, p), &b) in score.chunks_exact_mut(k).zip(probs.chunks_exact(k)).zip(b) {
        for (s, &p) in s.iter_mut().zip(p) {
            *s = -p;
        }
        s[b as usize] += F::ONE;
    }
}

/// log p(b), `[B]`.
pub fn log_prob<F: Real>(log_probs: &[F], b: &[u32], log_prob: &mut [F]) {
    let k = width("log_probs", log_probs.len(), b.len());
    check_len("log_prob", log_prob, b.len());
    for ((out, l), &b) in log_prob.iter_mut().zip(log_probs.chunks_exact(k)).zip(b) {
        *out = l[b as usize];
    }
}

/// Relaxed sample given b from fresh noise v, and w, the diagonal of ∂z̃/∂log p; Eᵢ = −log vᵢ.
///
/// ```text
/// z̃_b = −log E_b                        w_b = 0
/// z̃ᵢ  = −log(Eᵢ/pᵢ + E_b)   (i ≠ b)     wᵢ  = (Eᵢ/pᵢ) / (Eᵢ/pᵢ + E_b)
/// ```
/// z̃_b is a *standard* Gumbel variable whatever p_b is, since the largest of K Gumbel(log pᵢ) is Gumbel(logsumexp log p = 0).
/// # Shapes
/// `log_probs`, `v`, `z_tilde`, `w`: `[B, K]`; `b`: `[B]`.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
pub fn conditional_independent<F: Real>(log_probs: &[F], b: &[u32], v: &[F], z_tilde: &mut [F], w: &mut [F]) {
    let k = width("log_probs", log_probs.len(), b.len());
    check_len("v", v, log_probs.len());
    check_len("z_tilde", z_tilde, log_probs.len());
    check_len("w", w, log_probs.len());
    // E in z̃ and E/p in w first: plain loops over everything, which vectorise.
    for (((z, w), &l), &v) in z_tilde.iter_mut().zip(w.iter_mut()).zip(log_probs).zip(v) {
        *z = exponential(v);
        *w = *z * (-l).exp();
    }
    for ((z, w), &b) in z_tilde.chunks_exact_mut(k).zip(w.chunks_exact_mut(k)).zip(b) {
        let e_b = z[b as usize];
        for (z, w) in z.iter_mut().zip(w.iter_mut()) {
            let total = *w + e_b;
            (*z, *w) = (total, *w / total);
        }
        (z[b as usize], w[b as usize]) = (e_b, F::ZERO);
    }
    z_tilde.iter_mut().for_each(|z| *z = -z.ln());
    // Where 1/p comes near to overflow, the ratio is formed in logarithms instead.
    let smallest = F::SMALLEST.ln() * F::from_f64(0.9);
    if log_probs.iter().fold(F::ZERO, |m, &l| m.min(l)) <= smallest {
        for (at, &l) in log_probs.iter().enumerate().filter(|&(_, &l)| l <= smallest) {
            let row = at / k * k;
            let at_b = row + b[at / k] as usize;
            if at != at_b {
                let log_e_b = -z_tilde[at_b];
                let log_odds = exponential(v[at]).ln() - l - log_e_b;
                (z_tilde[at], w[at]) = (-(log_e_b + log_odds.softplus()), log_odds.sigmoid());
            }
        }
    }
    for (z, &b) in z_tilde.chunks_exact_mut(k).zip(b) {
        let z_b = z[b as usize]; // rounding must not lift another above it
        z.iter_mut().for_each(|z| *z = z.min(z_b));
    }
}

/// w for the v that makes z̃ = z in value: given b, that v is still uniform, so nothing is biased.
///
/// w_b = 0 and wᵢ = 1 − exp(zᵢ − z_b). One evaluation of the control variate then serves z and z̃.
/// # Shapes
/// `z`, `w`: `[B, K]`; `b`: `[B]`.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
pub fn conditional_coupled<F: Real>(z: &[F], b: &[u32], w: &mut [F]) {
    let k = width("z", z.len(), b.len());
    check_len("w", w, z.len());
    for ((z, w), &b) in z.chunks_exact(k).zip(w.chunks_exact_mut(k)).zip(b) {
        let z_b = z[b as usize];
        w.iter_mut().zip(z).for_each(|(w, &z)| *w = z - z_b);
    }
    w.iter_mut().for_each(|w| *w = F::ONE - w.exp());
}

/// Πᵀx = x − p·Σx in place: what an upstream gradient of log p is at the logits.
pub fn apply_pi_transpose<F: Real>(probs: &[F], k: usize, x: &mut [F]) {
    check_rows("probs", probs.len(), k);
    check_len("x", x, probs.len());
    for (p, x) in probs.chunks_exact(k).zip(x.chunks_exact_mut(k)) {
        let sum = x.iter().copied().sum::<F>();
        for (x, &p) in x.iter_mut().zip(p) {
            *x -= p * sum;
        }
    }
}

/// Πq = q − p·q in place, the transpose of [`apply_pi_transpose`]: what a tangent of the logits is at log p.
pub fn apply_pi<F: Real>(probs: &[F], k: usize, q: &mut [F]) {
    check_rows("probs", probs.len(), k);
    check_len("q", q, probs.len());
    for (p, q) in probs.chunks_exact(k).zip(q.chunks_exact_mut(k)) {
        let mean = p.iter().zip(q.iter()).map(|(&p, &q)| p * q).sum::<F>();
        q.iter_mut().for_each(|q| *q -= mean);
    }
}

/// log p as it enters a product with p: −∞, the logarithm of an impossible outcome, would make 0·∞.
#[inline(always)]
fn finite<F: Real>(log_p: F) -> F {
    log_p.max(F::from_f64(-1e30))
}

/// Entropy H = −Σ p·log p, `[B]`, in nats. An impossible outcome (a logit of −∞) adds nothing.
pub fn entropy<F: Real>(log_probs: &[F], k: usize, entropy: &mut [F]) {
    check_rows("log_probs", log_probs.len(), k);
    check_len("entropy", entropy, log_probs.len() / k);
    for (h, l) in entropy.iter_mut().zip(log_probs.chunks_exact(k)) {
        *h = -l.iter().map(|&l| l.exp() * finite(l)).sum::<F>();
    }
}

/// ∂H/∂l = −p·(log p + H), `[B, K]`; 0 for an impossible outcome.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
pub fn entropy_gradient<F: Real>(log_probs: &[F], k: usize, gradient: &mut [F]) {
    check_rows("log_probs", log_probs.len(), k);
    check_len("gradient", gradient, log_probs.len());
    for (g, &l) in gradient.iter_mut().zip(log_probs) {
        *g = l.exp();
    }
    for (g, l) in gradient.chunks_exact_mut(k).zip(log_probs.chunks_exact(k)) {
        slopes(l, g);
    }
}

/// [`entropy`] and [`entropy_gradient`] in one pass, of probabilities that are known already: the same numbers.
/// # Shapes
/// `log_probs`, `probs`, `gradient`: `[B, K]`; `entropy`: `[B]`.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
pub fn entropy_and_gradient<F: Real>(
    log_probs: &[F],
    probs: &[F],
    k: usize,
    entropy: &mut [F],
    gradient: &mut [F],
) {
    check_rows("log_probs", log_probs.len(), k);
    check_len("probs", probs, log_probs.len());
    check_len("entropy", entropy, log_probs.len() / k);
    check_len("gradient", gradient, log_probs.len());
    gradient.copy_from_slice(probs);
    for ((h, g), l) in entropy.iter_mut().zip(gradient.chunks_exact_mut(k)).zip(log_probs.chunks_exact(k)) {
        *h = slopes(l, g);
    }
}

/// Makes of a row of p that of ∂H/∂l. Returns H.
#[inline(always)]
fn slopes<F: Real>(log_probs: &[F], p: &mut [F]) -> F {
    let h = -p.iter().zip(log_probs).map(|(&p, &l)| p * finite(l)).sum::<F>();
    for (p, &l) in p.iter_mut().zip(log_probs) {
        *p *= -(finite(l) + h);
    }
    h
}

/// −log u: a standard exponential variable, positive and finite.
#[inline(always)]
fn exponential<F: Real>(u: F) -> F {
    -u.into_open_unit().ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log_probs(logits: &[f64]) -> Vec<f64> {
        let mut out = vec![0.0; logits.len()];
        log_softmax(logits, logits.len(), &mut out);
        out
    }

    #[test]
    fn coupled_w_equals_independent_w_at_the_same_z_tilde() {
        let log_p = log_probs(&[0.5, -0.2, 0.1, 2.0]);
        for b in 0..4_u32 {
            let (mut z, mut w, mut coupled) = ([0.0; 4], [0.0; 4], [0.0; 4]);
            conditional_independent(&log_p, &[b], &[0.1, 0.7, 0.5, 0.93], &mut z, &mut w);
            conditional_coupled(&z, &[b], &mut coupled);
            for i in 0..4 {
                assert!((w[i] - coupled[i]).abs() < 1e-14 && z[i] <= z[b as usize]);
            }
        }
    }

    #[test]
    fn the_two_branches_agree() {
        // In f32 the second branch, in f64 the first.
        let (l, v) = ([-90.0_f32, -0.0], [0.3_f32, 0.6]);
        let (mut z, mut w, mut z64, mut w64) = ([0.0; 2], [0.0; 2], [0.0; 2], [0.0; 2]);
        conditional_independent(&l, &[1], &v, &mut z, &mut w);
        conditional_independent(&l.map(f64::from), &[1], &v.map(f64::from), &mut z64, &mut w64);
        assert!((f64::from(z[0]) - z64[0]).abs() < 1e-4 && (f64::from(w[0]) - w64[0]).abs() < 1e-6);
    }

    #[test]
    fn extremes_stay_finite_in_f32() {
        let noise = [0.0, f32::MIN_POSITIVE, 1e-7, 0.5, f32::BELOW_ONE, 1.0];
        for top in [0.0_f32, 30.0, 70.0, 200.0] {
            for &v in &noise {
                for &v_b in &noise {
                    let (mut l, mut p, mut z, mut w) = ([0.0; 3], [0.0; 3], [0.0; 3], [0.0; 3]);
                    log_softmax(&[top, 0.0, -top], 3, &mut l);
                    probabilities(&l, &mut p);
                    for b in 0..3_u32 {
                        let mut noise = [v; 3];
                        noise[b as usize] = v_b;
                        conditional_independent(&l, &[b], &noise, &mut z, &mut w);
                        assert!(
                            z.iter().chain(&w).all(|x| x.is_finite()),
                            "{top} {v} {v_b} {b}: {z:?} {w:?}"
                        );
                        assert!(z.iter().all(|&x| x <= z[b as usize]));
                        conditional_coupled(&z, &[b], &mut w);
                        assert!(w.iter().all(|&x| (0.0..=1.0).contains(&x)));
                    }
                    relaxed_sample(&l, &[v, v_b, v], &mut z);
                    let mut h = [0.0];
                    entropy(&l, 3, &mut h);
                    entropy_gradient(&l, 3, &mut w);
                    assert!(z.iter().chain(&w).chain(&h).all(|x| x.is_finite()));
                }
            }
        }
    }

    #[test]
    fn entropy_and_its_gradient_in_one_pass_are_the_same_numbers() {
        for logits in [[0.5_f32, -0.2, 0.1], [f32::NEG_INFINITY, 3.0, -40.0]] {
            let (mut l, mut p, mut h, mut g) = ([0.0; 3], [0.0; 3], [0.0], [0.0; 3]);
            log_softmax(&logits, 3, &mut l);
            probabilities(&l, &mut p);
            entropy(&l, 3, &mut h);
            entropy_gradient(&l, 3, &mut g);
            let (mut both, mut gradient) = ([0.0], [0.0; 3]);
            entropy_and_gradient(&l, &p, 3, &mut both, &mut gradient);
            assert_eq!((both, gradient), (h, g));
        }
    }

    /// What is impossible (a logit of −∞) takes no part: as if the choice were not there, and nothing is NaN.
    #[test]
    fn impossible_outcomes_take_no_part() {
        for (logits, rest) in [
            ([0.5_f32, f32::NEG_INFINITY, 0.1], vec![0.5, 0.1]),
            ([f32::NEG_INFINITY, 3e38, f32::NEG_INFINITY], vec![3e38]),
            ([f32::NEG_INFINITY, -3e38, 3e38], vec![-3e38, 3e38]),
        ] {
            let (mut l, mut p, mut h, mut g) = ([0.0; 3], [0.0; 3], [0.0], [0.0; 3]);
            log_softmax(&logits, 3, &mut l);
            probabilities(&l, &mut p);
            entropy(&l, 3, &mut h);
            entropy_gradient(&l, 3, &mut g);
            let (mut l_rest, mut h_rest, mut g_rest) = (rest.clone(), [0.0], rest.clone());
            log_softmax(&rest, rest.len(), &mut l_rest);
            entropy(&l_rest, rest.len(), &mut h_rest);
            entropy_gradient(&l_rest, rest.len(), &mut g_rest);
            assert_eq!(h, h_rest, "{logits:?}");
            let possible: Vec<usize> = (0..3).filter(|&i| logits[i] != f32::NEG_INFINITY).collect();
            assert_eq!(possible.iter().map(|&i| g[i]).collect::<Vec<_>>(), g_rest, "{logits:?}");
            for u in [0.0, f32::MIN_POSITIVE, 1e-7, 0.5, f32::BELOW_ONE, 1.0] {
                let (mut z, mut b) = ([0.0; 3], [0]);
                relaxed_sample(&l, &[u, 0.3, 1.0 - u], &mut z);
                hard_sample(&z, 3, &mut b);
                assert!(possible.contains(&(b[0] as usize)) && z.iter().all(|z| !z.is_nan()));
                let (mut z_tilde, mut w, mut coupled) = ([0.0; 3], [0.0; 3], [0.0; 3]);
                conditional_independent(&l, &b, &[u, 0.7, u], &mut z_tilde, &mut w);
                conditional_coupled(&z, &b, &mut coupled);
                assert!(z_tilde.iter().all(|z| !z.is_nan()), "{logits:?} {u}: {z_tilde:?}");
                for i in (0..3).filter(|i| !possible.contains(i)) {
                    assert_eq!((p[i], g[i], w[i], coupled[i]), (0.0, 0.0, 1.0, 1.0), "{logits:?} {u}");
                }
            }
        }
    }

    #[test]
    fn entropy_gradient_is_its_derivative() {
        let (logits, step) = ([0.5, -0.2, 0.1], 1e-5);
        let h = |logits: &[f64]| {
            let mut h = [0.0];
            entropy(&log_probs(logits), 3, &mut h);
            h[0]
        };
        let mut g = [0.0; 3];
        entropy_gradient(&log_probs(&logits), 3, &mut g);
        for i in 0..3 {
            let (mut up, mut down) = (logits, logits);
            up[i] += step;
            down[i] -= step;
            assert!((g[i] - (h(&up) - h(&down)) / (2.0 * step)).abs() < 1e-9);
        }
    }

    #[test]
    fn pi_is_the_transpose_of_pi_transpose() {
        let p: Vec<f64> = log_probs(&[0.5, -0.2, 0.1]).iter().map(|l| l.exp()).collect();
        let (x, q) = ([1.0, 2.0, -0.5], [0.3, -0.7, 0.2]);
        let (mut left, mut right) = (x, q);
        apply_pi_transpose(&p, 3, &mut left);
        apply_pi(&p, 3, &mut right);
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        assert!((dot(&left, &q) - dot(&x, &right)).abs() < 1e-15);
    }

    #[test]
    #[should_panic(expected = "`v` holds 2 numbers, expected 3")]
    fn a_wrong_length_is_named() {
        conditional_independent(&[0.0; 3], &[0], &[0.5; 2], &mut [0.0; 3], &mut [0.0; 3]);
    }
}
