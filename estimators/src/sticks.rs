//! DisARM for categorical nodes: a choice among K as K−1 coin tosses, "is it this one, if none before was it?".
//!
//! Source: Dong, Mnih and Tucker 2021 (DisARM-SB). Stick logits αᵢ = lᵢ − logsumexp(l_{i+1…}), tosses bᵢ ~ Bernoulli(σ(αᵢ)), and the
//! outcome is the first i with bᵢ = 1, or the last. Tosses after an outcome decide nothing: they are integrated out.

use crate::Real;
use crate::shape::{check_len, check_rows, width};

/// Stick logits α `[B, K−1]` of `logits` (or log-probabilities) `[B, K]`.
pub fn stick_logits<F: Real>(logits: &[F], k: usize, alpha: &mut [F]) {
    check_rows("logits", logits.len(), k);
    check_len("alpha", alpha, logits.len() / k * (k - 1));
    if k < 2 {
        return;
    }
    for (l, alpha) in logits.chunks_exact(k).zip(alpha.chunks_exact_mut(k - 1)) {
        let mut tail = l[k - 1]; // logsumexp of what comes after
        for i in (0..k - 1).rev() {
            alpha[i] = l[i] - tail;
            tail = tail.max(l[i]) + (-alpha[i].abs()).exp().ln_1p();
        }
    }
}

/// Outcome `[B]` of tosses `bits` `[B, K−1]` of zeros and ones.
pub fn stick_outcome<F: Real>(bits: &[F], k: usize, b: &mut [u32]) {
    check_len("bits", bits, b.len() * (k - 1));
    for (row, b) in b.iter_mut().enumerate() {
        let bits = &bits[row * (k - 1)..(row + 1) * (k - 1)];
        *b = bits.iter().position(|&bit| bit > F::ZERO).unwrap_or(k - 1) as u32;
    }
}

/// DisARM for a categorical node: an unbiased sample of ∂E\[f\]/∂l from an antithetic pair of tosses.
///
/// Per toss i, with outcomes o and õ of the two:
/// ```text
/// i ≤ both           ½(f − f̃)·(bᵢ − b̃ᵢ)·σ(|αᵢ|)          DisARM
/// i ≤ only one       ±½(f − f̃)·(that one's bᵢ − σ(αᵢ))    the other toss integrated out
/// i > both           0
/// ```
/// and from α to the logits by the chain rule. K = 2 is [`disarm`](crate::disarm).
/// # Shapes
/// `alpha`, `bits`, `bits_antithetic`: `[B, K−1]`, the tosses being [`hard_sample`](crate::bernoulli::hard_sample)s of α with
/// opposite uniforms ([`antithetic_sample`](crate::bernoulli::antithetic_sample)); `f`, `f_antithetic`: `[B]`; `gradient`: `[B, K]`.
///
/// ```
/// use relax_estimators::{disarm_categorical, stick_logits};
///
/// let (mut alpha, mut gradient) = ([0.0], [0.0; 2]);
/// stick_logits(&[1.0, 1.0], 2, &mut alpha);
/// disarm_categorical(&alpha, &[1.0], &[0.0], &[3.0], &[1.0], &mut gradient);
/// assert_eq!(gradient, [0.5, -0.5]);
/// ```
pub fn disarm_categorical<F: Real>(
    alpha: &[F],
    bits: &[F],
    bits_antithetic: &[F],
    f: &[F],
    f_antithetic: &[F],
    gradient: &mut [F],
) {
    let k = width("gradient", gradient.len(), f.len());
    check_len("alpha", alpha, f.len() * (k - 1));
    check_len("bits", bits, alpha.len());
    check_len("bits_antithetic", bits_antithetic, alpha.len());
    check_len("f_antithetic", f_antithetic, f.len());
    let half = F::from_f64(0.5);
    for (row, out) in gradient.chunks_exact_mut(k).enumerate() {
        let at = row * (k - 1)..(row + 1) * (k - 1);
        let (alpha, bits, others) = (&alpha[at.clone()], &bits[at.clone()], &bits_antithetic[at]);
        let difference = half * (f[row] - f_antithetic[row]);
        let (mut alive, mut other_alive) = (true, true);
        // Σ over earlier tosses i of gᵢ·∏ (1 − q) between: what reaches lⱼ through the tails of the sticks before it.
        let mut through_tails = F::ZERO;
        for j in 0..k {
            let (mut g, mut q) = (F::ZERO, F::ONE);
            if j < k - 1 {
                q = alpha[j].sigmoid();
                g = difference
                    * match (alive, other_alive) {
                        (true, true) => (bits[j] - others[j]) * alpha[j].abs().sigmoid(),
                        (true, false) => bits[j] - q,
                        (false, true) => q - others[j],
                        (false, false) => F::ZERO,
                    };
                alive &= bits[j] <= F::ZERO;
                other_alive &= others[j] <= F::ZERO;
            }
            out[j] = g - q * through_tails;
            through_tails = through_tails * (F::ONE - q) + g;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{bernoulli, disarm, exact};

    const LOGITS: [f64; 4] = [0.5, -0.2, 0.1, 0.9];
    const F: [f64; 4] = [1.0, -2.0, 0.5, 3.0];

    /// All pairs of antithetic tosses of independent coins, with their probabilities.
    fn pairs(alpha: &[f64]) -> Vec<(f64, Vec<f64>, Vec<f64>)> {
        let mut all = vec![(1.0, Vec::new(), Vec::new())];
        for &a in alpha {
            let (low, high) = (a.abs().sigmoid(), (-a.abs()).sigmoid());
            let same = f64::from(u8::from(a > 0.0));
            let cases = [(high, 1.0, 0.0), (high, 0.0, 1.0), (low - high, same, same)];
            all = all
                .iter()
                .flat_map(|(p, bits, others)| {
                    cases.map(|(q, b, o)| (p * q, [&bits[..], &[b]].concat(), [&others[..], &[o]].concat()))
                })
                .collect();
        }
        all
    }

    #[test]
    fn unbiased_over_all_pairs_of_tosses() {
        let mut alpha = [0.0; 3];
        stick_logits(&LOGITS, 4, &mut alpha);
        let exact = exact::categorical(&LOGITS, |b| F[b]);
        let (mut mean, mut total) = ([0.0; 4], 0.0);
        for (probability, bits, others) in pairs(&alpha) {
            let (mut o, mut other, mut g) = ([0], [0], [0.0; 4]);
            stick_outcome(&bits, 4, &mut o);
            stick_outcome(&others, 4, &mut other);
            disarm_categorical(&alpha, &bits, &others, &[F[o[0] as usize]], &[F[other[0] as usize]], &mut g);
            mean.iter_mut().zip(g).for_each(|(m, g)| *m += probability * g);
            total += probability;
        }
        assert!((total - 1.0).abs() < 1e-14);
        for (m, e) in mean.iter().zip(&exact.gradient) {
            assert!((m - e).abs() < 1e-14, "{mean:?} {:?}", exact.gradient);
        }
    }

    #[test]
    fn two_outcomes_are_one_bernoulli() {
        let mut alpha = [0.0];
        stick_logits(&[0.3, -0.4], 2, &mut alpha);
        assert!((alpha[0] - 0.7_f64).abs() < 1e-15);
        for (b, other) in [(1.0, 0.0), (0.0, 1.0), (1.0, 1.0)] {
            let (mut g, mut single) = ([0.0; 2], [0.0]);
            disarm_categorical(&alpha, &[b], &[other], &[2.0], &[-1.0], &mut g);
            disarm(&alpha, &[b], &[other], &[2.0], &[-1.0], &mut single);
            assert_eq!(g, [single[0], -single[0]]);
        }
    }

    #[test]
    fn sticks_give_back_the_probabilities_and_stay_finite() {
        let mut alpha = [0.0; 3];
        stick_logits(&LOGITS, 4, &mut alpha);
        let sum: f64 = LOGITS.iter().map(|l| l.exp()).sum();
        let mut left = 1.0;
        for (a, l) in alpha.iter().zip(LOGITS) {
            assert!((left * a.sigmoid() - l.exp() / sum).abs() < 1e-15);
            left *= (-a).sigmoid();
        }
        let mut alpha = [0.0_f32; 2];
        stick_logits(&[200.0_f32, 0.0, -200.0], 3, &mut alpha);
        let (mut z, mut g) = ([0.0; 2], [0.0; 3]);
        bernoulli::relaxed_sample(&alpha, &[0.5; 2], &mut z);
        disarm_categorical(&alpha, &[1.0, 0.0], &[0.0, 1.0], &[1.0], &[-1.0], &mut g);
        assert!(alpha.iter().chain(&z).chain(&g).all(|x| x.is_finite()));
    }
}
