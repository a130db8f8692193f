//! How to minimise: [`Options`].

use serde::{Deserialize, Serialize};

use crate::MinimizeError;
use relax_estimators::{Coupling, Estimator};

/// Each probe is a local search over c.
const MOST_PROBES: usize = 1000;

/// What c is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Function {
    /// One weight a choice. ∂E\[c\]/∂l is a closed form: no free samples.
    Linear,
    /// One weight a choice and one a pair of choices of two variables; a closed form too, unless there is a constraint.
    Quadratic,
    /// The mean of a Gaussian process whose covariance falls with the number of variables that differ, of the last 2048 calls at most;
    /// `steps`, `minibatch`, `learning_rate` and `early_stop` are of no use to it. Half of its probes stay near the best point.
    Kernel,
    /// A tanh network of these hidden widths.
    Network(Vec<usize>),
}

/// c and how it is regressed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Surrogate {
    /// What c is.
    pub function: Function,
    /// M: free samples of c a batch, at least as many as f is called for.
    pub free: usize,
    /// Past calls that c is fitted on, the newest ones.
    pub window: usize,
    /// Adam steps a batch, at most.
    pub steps: usize,
    /// Past calls of one step.
    pub minibatch: usize,
    /// Adam's step size.
    pub learning_rate: f64,
    /// Whether the steps of a batch end as soon as c predicts the newest calls, on which it has not been fitted yet, no better.
    pub early_stop: bool,
    /// The gain η: left out, the one that past batches suggest.
    pub gain: Option<f64>,
    /// RELAX with the regressed c, at one relaxed sample and one given b, in place of the free samples. For spaces of bits without a
    /// constraint; gain 1, temperature ½.
    pub relaxed: bool,
}

impl Default for Surrogate {
    /// A kernel and 256 free samples. Another function has the last 10 000 calls and 32 steps of 64 of them at 0.003.
    fn default() -> Self {
        Self {
            function: Function::Kernel,
            free: 256,
            window: 10_000,
            steps: 32,
            minibatch: 64,
            learning_rate: 3e-3,
            early_stop: false,
            gain: None,
            relaxed: false,
        }
    }
}

/// How to minimise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Names every random number.
    pub seed: u64,
    /// Calls of f at most.
    pub calls: usize,
    /// Seconds at most; not part of what a journal must agree with.
    #[serde(skip)]
    pub seconds: Option<f64>,
    /// Stops once f is at most this (at least, when maximising).
    #[serde(skip)]
    pub target: Option<f64>,
    /// Whether f is to be as large as possible.
    pub maximize: bool,
    /// Whether f differs between calls of the same point. If not, no point is called twice.
    pub noisy: bool,
    /// B: points of a batch, 2 or more.
    pub batch: usize,
    /// Points called beside each batch where c is lowest, found by a local search over c. They are for the best so far and for the
    /// regression; ĝ is of the batch alone, so that it stays unbiased. There are none where there is no c.
    pub probe: usize,
    /// Adam's step size for the logits.
    pub learning_rate: f64,
    /// How the gradient is estimated: "surrogate", "leave-one-out" or "reinforce" (with a running mean as the baseline).
    pub estimator: Estimator,
    /// c, if the estimator is the surrogate.
    pub surrogate: Surrogate,
    /// Threads that call f.
    #[serde(skip)]
    pub workers: usize,
}

impl Default for Options {
    /// A thousand calls, two drawn and six where c is lowest at a time.
    fn default() -> Self {
        Self {
            seed: 0,
            calls: 1000,
            seconds: None,
            target: None,
            maximize: false,
            noisy: false,
            batch: 2,
            probe: 6,
            learning_rate: 0.05,
            estimator: Estimator::Surrogate { group: 2, passes: 32 },
            surrogate: Surrogate::default(),
            workers: 1,
        }
    }
}

impl Options {
    /// For an f that differs between calls of the same point: eight points are drawn at a time, since it is the distributions that count
    /// then, not single points.
    #[must_use]
    pub fn noisy() -> Self {
        Self { noisy: true, batch: 8, probe: 0, ..Self::default() }
    }

    /// Checks every number.
    ///
    /// # Errors
    /// Names the first that cannot be used, and what would be right.
    pub fn validate(&self) -> Result<(), MinimizeError> {
        let wrong = |what: String| Err(MinimizeError::Option(what));
        if self.calls == 0 {
            return wrong("calls is 0; f must be called once at least".into());
        }
        if self.batch < 2 {
            let batch = self.batch;
            return wrong(format!(
                "batch is {batch}; points are compared with each other, so it must be 2 or more"
            ));
        }
        let surrogate = &self.surrogate;
        let rates = [
            ("learning_rate", self.learning_rate),
            ("surrogate.learning_rate", surrogate.learning_rate),
            ("seconds", self.seconds.unwrap_or(1.0)),
        ];
        for (name, number) in rates {
            if !(number > 0.0 && number.is_finite()) {
                return wrong(format!("{name} is {number}, and must be a finite number above 0"));
            }
        }
        if self.target.is_some_and(f64::is_nan) {
            return wrong("target is not a number".into());
        }
        let counts = [
            ("surrogate.free", surrogate.free, self.batch),
            ("surrogate.window", surrogate.window, self.batch),
            ("surrogate.minibatch", surrogate.minibatch, 1),
            ("workers", self.workers, 1),
        ];
        for (name, number, least) in counts {
            if number < least {
                return wrong(format!("{name} is {number}, and must be {least} or more"));
            }
        }
        if self.probe > MOST_PROBES {
            let probe = self.probe;
            return wrong(format!("probe is {probe}, and must be {MOST_PROBES} or fewer"));
        }
        if surrogate.relaxed && surrogate.function == Function::Kernel {
            return wrong("surrogate.relaxed needs a c that has a gradient; a kernel has none, a network has (surrogate.function)".into());
        }
        if surrogate.gain.is_some_and(|gain| !gain.is_finite()) {
            return wrong("surrogate.gain is not a finite number".into());
        }
        if let Function::Network(hidden) = &surrogate.function
            && hidden.contains(&0)
        {
            return wrong(format!("surrogate.function has a layer without units: {hidden:?}"));
        }
        match self.estimator {
            Estimator::Surrogate { .. } | Estimator::LeaveOneOut { .. } | Estimator::Reinforce => Ok(()),
            other => wrong(format!(
                "{other} does not minimise what can only be called a batch at a time; surrogate, leave-one-out and reinforce do"
            )),
        }
    }

    /// The estimator with groups of a whole batch and as many passes as make M free samples.
    pub(crate) fn resolved(&self) -> Estimator {
        let group = self.batch;
        match self.estimator {
            Estimator::Surrogate { .. } if self.surrogate.relaxed => Estimator::Rebar(Coupling::Independent),
            Estimator::Surrogate { .. } => {
                Estimator::Surrogate { group, passes: self.surrogate.free.div_ceil(group) }
            }
            Estimator::LeaveOneOut { .. } => Estimator::LeaveOneOut { group },
            _ => Estimator::Baseline,
        }
    }

    pub(crate) fn fits(&self) -> bool {
        matches!(self.estimator, Estimator::Surrogate { .. })
    }
}
