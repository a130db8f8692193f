//! Exact expectations and gradients by enumeration: what estimates are held against.

use crate::{EstimatorError, Real};

/// At most this many Bernoulli variables are enumerated (2²⁰ outcomes).
const MAX_BITS: usize = 20;
/// As many outcomes.
const MAX_OUTCOMES: usize = 1 << MAX_BITS;

/// E\[f(b)\] and its gradient with respect to the logits.
#[derive(Debug, Clone, PartialEq)]
pub struct Exact {
    /// E\[f(b)\].
    pub value: f64,
    /// ∂E\[f(b)\]/∂l, `[K]`.
    pub gradient: Vec<f64>,
}

/// Over all 2ᴷ outcomes of K independent Bernoulli variables; f takes b as K zeros and ones.
///
/// # Errors
/// If K is over 20.
///
/// ```
/// use relax_estimators::exact;
///
/// let toy = exact::bernoulli(&[0.0], |b| (b[0] - 0.45).powi(2))?;
/// assert!((toy.gradient[0] - 0.025).abs() < 1e-15);
/// # Ok::<(), relax_estimators::EstimatorError>(())
/// ```
pub fn bernoulli(logits: &[f64], mut f: impl FnMut(&[f64]) -> f64) -> Result<Exact, EstimatorError> {
    let bits = logits.len();
    if bits > MAX_BITS {
        return Err(EstimatorError::TooManyOutcomes { bits, limit: MAX_BITS });
    }
    let theta: Vec<f64> = logits.iter().map(|&a| a.sigmoid()).collect();
    let mut exact = Exact { value: 0.0, gradient: vec![0.0; bits] };
    let mut b = vec![0.0; bits];
    for outcome in 0_u32..1 << bits {
        let mut probability = 1.0;
        for k in 0..bits {
            b[k] = f64::from(outcome >> k & 1);
            probability *= if b[k] > 0.0 { theta[k] } else { 1.0 - theta[k] };
        }
        let term = probability * f(&b);
        exact.value += term;
        for (g, (b, theta)) in exact.gradient.iter_mut().zip(b.iter().zip(&theta)) {
            *g += term * (b - theta);
        }
    }
    Ok(exact)
}

/// Over all K outcomes of a categorical variable; f takes the outcome's index.
#[must_use]
pub fn categorical(logits: &[f64], f: impl FnMut(usize) -> f64) -> Exact {
    let k = logits.len();
    let mut p = vec![0.0; k];
    crate::categorical::log_softmax(logits, k.max(1), &mut p);
    p.iter_mut().for_each(|p| *p = p.exp());
    let values: Vec<f64> = (0..k).map(f).collect();
    let value = p.iter().zip(&values).map(|(p, f)| p * f).sum();
    let gradient = p.iter().zip(&values).map(|(p, f)| p * (f - value)).collect();
    Exact { value, gradient }
}

/// Over all outcomes of independent choices among `k` each, `logits` being theirs one after the other; f takes their rows of zeros with
/// a single 1 side by side. The last choice changes fastest.
///
/// # Errors
/// If there are over 2²⁰ outcomes, or the logits are not whole choices among k.
///
/// ```
/// use relax_estimators::exact;
///
/// // Both choices must be the second of two: E[f] = ¼, and either logit's share of it is ¼·½.
/// let both = exact::choices(&[0.0; 4], 2, |b| b[1] * b[3])?;
/// assert_eq!((both.value, both.gradient), (0.25, vec![-0.125, 0.125, -0.125, 0.125]));
/// # Ok::<(), relax_estimators::EstimatorError>(())
/// ```
pub fn choices(logits: &[f64], k: usize, mut f: impl FnMut(&[f64]) -> f64) -> Result<Exact, EstimatorError> {
    let count = logits.len() / k.max(1);
    let outcomes = u32::try_from(count).ok().and_then(|count| k.checked_pow(count));
    let Some(outcomes) = outcomes.filter(|&n| n <= MAX_OUTCOMES && k > 0 && count * k == logits.len()) else {
        return Err(EstimatorError::TooManyChoices { logits: logits.len(), k, limit: MAX_OUTCOMES });
    };
    let mut log_probs = vec![0.0; logits.len()];
    crate::categorical::log_softmax(logits, k, &mut log_probs);
    let mut exact = Exact { value: 0.0, gradient: vec![0.0; logits.len()] };
    let (mut b, mut taken) = (vec![0.0; logits.len()], vec![0; count]);
    for outcome in 0..outcomes {
        let mut rest = outcome;
        for (i, taken) in taken.iter_mut().enumerate().rev() {
            *taken = i * k + rest % k;
            rest /= k;
        }
        b.fill(0.0);
        taken.iter().for_each(|&at| b[at] = 1.0);
        let term = taken.iter().map(|&at| log_probs[at]).sum::<f64>().exp() * f(&b);
        exact.value += term;
        taken.iter().for_each(|&at| exact.gradient[at] += term);
    }
    // E[f·(b − p)], and E[f·b] is what was summed.
    for (g, log_p) in exact.gradient.iter_mut().zip(&log_probs) {
        *g -= exact.value * log_p.exp();
    }
    Ok(exact)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_choice_and_two_of_two_are_the_other_enumerations() {
        let (logits, f) = ([0.5, -0.2, 0.1], [1.0, -2.0, 0.5]);
        let one = choices(&logits, 3, |b| b.iter().zip(f).map(|(b, f)| b * f).sum()).unwrap();
        let other = categorical(&logits, |b| f[b]);
        assert!(one.gradient.iter().zip(&other.gradient).all(|(a, b)| (a - b).abs() < 1e-15));
        let two = choices(&[0.0, 0.7, 0.0, -0.4], 2, |b| (b[1] - 2.0 * b[3] + 0.3).powi(2)).unwrap();
        let bits = bernoulli(&[0.7, -0.4], |b| (b[0] - 2.0 * b[1] + 0.3).powi(2)).unwrap();
        assert!((two.value - bits.value).abs() < 1e-15);
        for (i, g) in bits.gradient.iter().enumerate() {
            assert!((two.gradient[2 * i + 1] - g).abs() < 1e-15 && (two.gradient[2 * i] + g).abs() < 1e-15);
        }
    }

    #[test]
    fn too_many_variables_are_refused() {
        assert!(matches!(bernoulli(&[0.0; 21], |_| 0.0), Err(EstimatorError::TooManyOutcomes { .. })));
        for (logits, k) in [(63, 3), (0, 0), (5, 2)] {
            let refused = choices(&vec![0.0; logits], k, |_| 0.0);
            assert_eq!(refused, Err(EstimatorError::TooManyChoices { logits, k, limit: 1 << 20 }));
        }
    }
}
