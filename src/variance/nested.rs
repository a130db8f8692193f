//! The law of total variance, estimated from nested samples without bias.
//!
//! With ĝ_ijm for state i, action j and continuation m, all balanced (the variance components of a nested design; Searle,
//! Casella & McCulloch 1992, §3.7):
//!
//! ```text
//! Var ĝ = Var_s E[ĝ|s]  +  E_s Var_a|s E[ĝ|s,a]  +  E_s,a Var[ĝ|s,a]
//!            Σ_s                  Σ_a                    Σ_τ
//! ```
//! Every Σ is the trace of a covariance in a metric of its own per state: the identity (space of the distribution's parameters)
//! or JJᵀ, J the Jacobian of these parameters by the weights (weight space).

/// A quantity with its standard error.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Estimate {
    /// The estimate. Differences of estimates can fall below 0 by chance.
    pub value: f64,
    /// Its standard error over states.
    pub error: f64,
}

/// The three parts of a variance.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Parts {
    /// Σ_s: what the states add.
    pub states: Estimate,
    /// Σ_a: what the action adds, with the noise it is drawn with.
    pub actions: Estimate,
    /// Σ_τ: what the rest of the trajectory adds.
    pub rest: Estimate,
    /// ‖E ĝ‖², without the bias of squaring a mean.
    pub signal: f64,
    /// The three parts' shares of their sum, in the same order, with jackknife errors.
    pub shares: [Estimate; 3],
}

impl Parts {
    /// All three together.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.states.value + self.actions.value + self.rest.value
    }
}

/// What one state contributes.
#[derive(Debug, Clone)]
pub struct StateSample {
    /// Covariance's trace between actions' means, and within actions.
    between: f64,
    within: f64,
    /// Mean estimate, in the space where states are compared.
    mean: Vec<f64>,
}

/// Reduces one state's estimates `[A, M, P]` in the metric `gram` `[P, P]`; `lift` takes the mean to the space in which states
/// are compared, whose inner product agrees with the metric.
#[must_use]
pub fn reduce(
    estimates: &[f64],
    actions: usize,
    continuations: usize,
    gram: &[f64],
    lift: impl FnOnce(&[f64]) -> Vec<f64>,
) -> StateSample {
    let p = estimates.len() / (actions * continuations);
    let norm = |d: &[f64]| -> f64 {
        (0..p).map(|i| d[i] * (0..p).map(|j| gram[i * p + j] * d[j]).sum::<f64>()).sum()
    };
    let mean_of = |rows: &[f64]| -> Vec<f64> {
        let n = (rows.len() / p) as f64;
        (0..p).map(|k| rows.iter().skip(k).step_by(p).sum::<f64>() / n).collect()
    };
    let minus = |a: &[f64], b: &[f64]| -> Vec<f64> { a.iter().zip(b).map(|(a, b)| a - b).collect() };
    let mean = mean_of(estimates);
    let (mut between, mut within) = (0.0, 0.0);
    for of_action in estimates.chunks_exact(continuations * p) {
        let center = mean_of(of_action);
        between += norm(&minus(&center, &mean)) / (actions - 1) as f64;
        within += of_action.chunks_exact(p).map(|row| norm(&minus(row, &center))).sum::<f64>()
            / ((continuations - 1) * actions) as f64;
    }
    StateSample { between, within, mean: lift(&mean) }
}

/// The three parts from all states.
#[must_use]
pub fn parts(samples: &[StateSample], actions: usize, continuations: usize) -> Parts {
    let n = samples.len() as f64;
    let of = |value: &dyn Fn(&StateSample) -> f64| {
        let mean = samples.iter().map(value).sum::<f64>() / n;
        let squares = samples.iter().map(|s| (value(s) - mean).powi(2)).sum::<f64>();
        Estimate { value: mean, error: (squares / (n - 1.0) / n).sqrt() }
    };
    let own_action = |s: &StateSample| s.between - s.within / continuations as f64;
    let rest = of(&|s| s.within);
    let by_action = of(&own_action);
    // Var over states of the means, less what the finite number of actions adds to it; its error by the jackknife.
    let width = samples.first().map_or(0, |s| s.mean.len());
    let mut sum = vec![0.0; width];
    samples.iter().for_each(|s| sum.iter_mut().zip(&s.mean).for_each(|(t, x)| *t += x));
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let squares: Vec<f64> = samples.iter().map(|s| dot(&s.mean, &s.mean)).collect();
    let crossed: Vec<f64> = samples.iter().map(|s| dot(&s.mean, &sum)).collect();
    let (total, between) = (squares.iter().sum::<f64>(), samples.iter().map(|s| s.between).sum::<f64>());
    let all = dot(&sum, &sum);
    let value = |n: f64, total: f64, all: f64, between: f64| {
        (total - all / n) / (n - 1.0) - between / n / actions as f64
    };
    let found = value(n, total, all, between);
    let jackknife = |without: &[f64]| {
        let center = without.iter().sum::<f64>() / n;
        ((n - 1.0) / n * without.iter().map(|v| (v - center).powi(2)).sum::<f64>()).sqrt()
    };
    let shares_of = |parts: [f64; 3]| parts.map(|part| part / parts.iter().sum::<f64>());
    let (mut without, mut shares_without) = (Vec::new(), [Vec::new(), Vec::new(), Vec::new()]);
    for (i, sample) in samples.iter().enumerate() {
        let others = all - 2.0 * crossed[i] + squares[i];
        let states = value(n - 1.0, total - squares[i], others, between - sample.between);
        let left_out = |mean: f64, own: f64| (n * mean - own) / (n - 1.0);
        let parts =
            [states, left_out(by_action.value, own_action(sample)), left_out(rest.value, sample.within)];
        without.push(states);
        shares_without.iter_mut().zip(shares_of(parts)).for_each(|(all, share)| all.push(share));
    }
    let shares = shares_of([found, by_action.value, rest.value]);
    let shares = std::array::from_fn(|i| Estimate { value: shares[i], error: jackknife(&shares_without[i]) });
    // Pairs of different states only: their product's mean is the squared norm of the mean.
    let signal = (all - total) / (n * (n - 1.0));
    Parts {
        states: Estimate { value: found, error: jackknife(&without) },
        actions: by_action,
        rest,
        signal,
        shares,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use relax_envs::EnvRng;

    /// ĝ = 2·s + 3·a + 0.5·τ in two coordinates, the second of half the size: 4, 9 and ¼, times 1 + ¼.
    #[test]
    fn known_parts_are_found_within_their_errors() {
        let (actions, continuations) = (5, 3);
        let mut rng = EnvRng::from_seed(4);
        let samples: Vec<StateSample> = (0..4000)
            .map(|_| {
                let s = rng.standard_normal();
                let mut rows = Vec::new();
                for _ in 0..actions {
                    let a = rng.standard_normal();
                    for _ in 0..continuations {
                        let g = 1.0 + 2.0 * s + 3.0 * a + 0.5 * rng.standard_normal();
                        rows.extend([g, 0.5 * g]);
                    }
                }
                reduce(&rows, actions, continuations, &[1.0, 0.0, 0.0, 1.0], <[f64]>::to_vec)
            })
            .collect();
        let found = parts(&samples, actions, continuations);
        for (estimate, truth) in [(found.states, 5.0), (found.actions, 11.25), (found.rest, 0.3125)] {
            let z = (estimate.value - truth) / estimate.error;
            assert!(z.abs() < 4.0 && estimate.error < 0.06 * truth, "{estimate:?} {truth}");
        }
        assert!(
            (found.signal - 1.25).abs() < 0.3
                && (found.shares.iter().map(|s| s.value).sum::<f64>() - 1.0).abs() < 1e-12
        );
    }
}
