//! Exact expectations and gradients by enumeration: what estimates are held against.

use crate::{EstimatorError, Real};

/// At most this many Bernoulli variables are enumerated (2²⁰ outcomes).
const MAX_BITS: usize = 20;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_variables_are_refused() {
        assert!(matches!(bernoulli(&[0.0; 21], |_| 0.0), Err(EstimatorError::TooManyOutcomes { .. })));
    }
}
