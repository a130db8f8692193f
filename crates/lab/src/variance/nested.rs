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
//!
//! **Σ_a is not only the action's.** With a baseline V that is wrong by D(s) = E\[R̂ − V(s)|s\], s(a)·D varies with the action, and
//! a better V takes that away, without looking at any action. In the same metric, s the score and F its Fisher information:
//!
//! ```text
//! Σ_V = E_s[ E‖ĝ‖² − E‖ĝ − s·D‖² ] = E_s[ 2·D·E[s·ĝ] − D²·tr F ]       V's error: what V = E[R̂|s] takes off Σ_a
//! Σ_b = E_s[ max_b E‖ĝ‖² − E‖ĝ − s·b‖² ] = E_s[ E[s·ĝ]² / tr F ]       what the best state baseline takes off Σ_a
//! ```
//! Products of two expectations are means over pairs of different actions, which are independent: no bias. Σ_a − Σ_V is the own
//! action's part proper; Σ_τ is what follows, the future actions and whatever chance the environment has of its own.

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
    /// Σ_V, within `actions`: the state baseline's error. NaN if the agent does not show its baseline.
    pub value_error: Estimate,
    /// Σ_a − Σ_V: what is the own action's with V = E\[R̂|s\].
    pub own_action: Estimate,
    /// Σ_b, within `actions`: what the best of all state baselines would take.
    pub best_baseline: Estimate,
    /// ‖E ĝ‖², without the bias of squaring a mean.
    pub signal: f64,
    /// Shares of Σ_s, Σ_V, Σ_a − Σ_V and Σ_τ in the sum, with jackknife errors; without Σ_V, 0 and all of Σ_a.
    pub shares: [Estimate; 4],
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
    /// Σ_V and Σ_b of this state, see [`with_baseline`](Self::with_baseline).
    value_error: f64,
    best_baseline: f64,
    /// Mean estimate, in the space where states are compared.
    mean: Vec<f64>,
}

/// What [`StateSample::with_baseline`] needs to know of a state's actions beside their estimates.
#[derive(Debug, Clone, Copy)]
pub struct Baseline<'a> {
    /// Scores of the actions, `[A, P]`.
    pub scores: &'a [f64],
    /// Fisher information, `[P, P]`.
    pub information: &'a [f64],
    /// R̂ − V of every continuation, `[A, M]`; empty if the agent does not show it.
    pub advantages: &'a [f64],
}

impl StateSample {
    /// Adds what a state baseline would take off the estimates `[A, M, P]`, in the metric `gram` `[P, P]`.
    #[must_use]
    pub fn with_baseline(mut self, estimates: &[f64], gram: &[f64], baseline: Baseline<'_>) -> Self {
        let Baseline { scores, information, advantages } = baseline;
        let p = (information.len() as f64).sqrt() as usize;
        let actions = scores.len() / p;
        let m = estimates.len() / scores.len();
        let trace: f64 = gram.iter().zip(information).map(|(g, f)| g * f).sum();
        // Means over an action's continuations of s·ĝ and of R̂ − V.
        let of_action = |j: usize| -> f64 {
            let lowered: Vec<f64> =
                (0..p).map(|i| (0..p).map(|k| gram[i * p + k] * scores[j * p + k]).sum::<f64>()).collect();
            let rows = estimates[j * m * p..(j + 1) * m * p].chunks_exact(p);
            rows.map(|row| row.iter().zip(&lowered).map(|(g, s)| g * s).sum::<f64>()).sum::<f64>() / m as f64
        };
        let along: Vec<f64> = (0..actions).map(of_action).collect();
        let wrong: Vec<f64> =
            advantages.chunks_exact(m).map(|of| of.iter().sum::<f64>() / m as f64).collect();
        let pairs = |x: &[f64], y: &[f64]| {
            let all = x.iter().sum::<f64>() * y.iter().sum::<f64>();
            let same: f64 = x.iter().zip(y).map(|(x, y)| x * y).sum();
            (all - same) / (actions * (actions - 1)) as f64
        };
        self.value_error = if wrong.is_empty() {
            f64::NAN
        } else {
            2.0 * pairs(&wrong, &along) - pairs(&wrong, &wrong) * trace
        };
        self.best_baseline = if trace > 0.0 { pairs(&along, &along) / trace } else { 0.0 };
        self
    }
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
    StateSample { between, within, value_error: f64::NAN, best_baseline: f64::NAN, mean: lift(&mean) }
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
    let value_error = of(&|s| s.value_error);
    // Without a baseline to look at, all of Σ_a is called the action's.
    let known = |error: f64| if error.is_nan() { 0.0 } else { error };
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
    let shares_of = |states: f64, actions: f64, error: f64, rest: f64| {
        [states, error, actions - error, rest].map(|part| part / (states + actions + rest))
    };
    let (mut without, mut shares_without) = (Vec::new(), [const { Vec::new() }; 4]);
    for (i, sample) in samples.iter().enumerate() {
        let others = all - 2.0 * crossed[i] + squares[i];
        let states = value(n - 1.0, total - squares[i], others, between - sample.between);
        let left_out = |mean: f64, own: f64| (n * mean - own) / (n - 1.0);
        let shares = shares_of(
            states,
            left_out(by_action.value, own_action(sample)),
            left_out(known(value_error.value), known(sample.value_error)),
            left_out(rest.value, sample.within),
        );
        without.push(states);
        shares_without.iter_mut().zip(shares).for_each(|(all, share)| all.push(share));
    }
    let shares = shares_of(found, by_action.value, known(value_error.value), rest.value);
    let shares = std::array::from_fn(|i| Estimate { value: shares[i], error: jackknife(&shares_without[i]) });
    // Pairs of different states only: their product's mean is the squared norm of the mean.
    let signal = (all - total) / (n * (n - 1.0));
    Parts {
        states: Estimate { value: found, error: jackknife(&without) },
        actions: by_action,
        rest,
        value_error,
        own_action: of(&|s| own_action(s) - known(s.value_error)),
        best_baseline: of(&|s| s.best_baseline),
        signal,
        shares,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use relax_envs::EnvRng;

    /// ĝ = s(a)·(Q(a) + τ − V) for three actions, V off by D from the mean: every part against its closed form.
    #[test]
    fn what_a_state_baseline_takes_is_found_within_its_error() {
        let (actions, continuations, wrong) = (6, 2, 1.5);
        let (p, q) = ([0.2, 0.3, 0.5], [1.0, -1.0, 0.2]);
        let mean: f64 = p.iter().zip(&q).map(|(p, q)| p * q).sum();
        let score = |a: usize| [0, 1, 2].map(|i| f64::from(u8::from(i == a)) - p[i]);
        let square = |a: usize| score(a).iter().map(|s| s * s).sum::<f64>();
        let expect = |f: &dyn Fn(usize) -> f64| (0..3).map(|a| p[a] * f(a)).sum::<f64>();
        let information: Vec<f64> =
            (0..9).map(|i| p[i / 3] * (f64::from(u8::from(i / 3 == i % 3)) - p[i % 3])).collect();
        let identity = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
        let mut rng = EnvRng::from_seed(5);
        let samples: Vec<StateSample> = (0..4000)
            .map(|_| {
                let (mut rows, mut scores, mut advantages) = (vec![], vec![], vec![]);
                for _ in 0..actions {
                    let u = rng.random();
                    let a = if u < p[0] {
                        0
                    } else if u < p[0] + p[1] {
                        1
                    } else {
                        2
                    };
                    scores.extend(score(a));
                    for _ in 0..continuations {
                        let advantage = q[a] - mean + wrong + 0.3 * rng.standard_normal();
                        advantages.push(advantage);
                        rows.extend(score(a).map(|s| s * advantage));
                    }
                }
                let sample = reduce(&rows, actions, continuations, &identity, <[f64]>::to_vec);
                let baseline =
                    Baseline { scores: &scores, information: &information, advantages: &advantages };
                sample.with_baseline(&rows, &identity, baseline)
            })
            .collect();
        let found = parts(&samples, actions, continuations);
        let trace = expect(&square);
        let norm = |b: f64| expect(&|a| square(a) * (q[a] - mean + b).powi(2));
        let signal =
            [0, 1, 2].map(|i| expect(&|a| score(a)[i] * (q[a] - mean))).iter().map(|g| g * g).sum::<f64>();
        let best = expect(&|a| square(a) * (q[a] - mean + wrong)).powi(2) / trace;
        for (estimate, truth) in [
            (found.actions, norm(wrong) - signal),
            (found.value_error, norm(wrong) - norm(0.0)),
            (found.own_action, norm(0.0) - signal),
            (found.best_baseline, best),
            (found.rest, 0.09 * trace),
        ] {
            let z = (estimate.value - truth) / estimate.error;
            assert!(z.abs() < 4.0 && estimate.error < 0.06 * truth.max(0.05), "{estimate:?} {truth}");
        }
        assert!((found.shares.iter().map(|s| s.value).sum::<f64>() - 1.0).abs() < 1e-12);
        assert!((found.shares[1].value - found.value_error.value / found.total()).abs() < 1e-12);
    }

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
