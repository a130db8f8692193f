//! What a user can get wrong; wrong array lengths are bugs and panic instead (see the crate's documentation).

/// A setting that no estimator can work with.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EstimatorError {
    /// A decay outside [0, 1).
    #[error("the decay of a running average must lie in [0, 1), but is {0}; 0.95 is a good start")]
    Decay(f64),
    /// Leave-one-out needs at least two samples to a group, and whole groups.
    #[error(
        "leave-one-out needs whole groups of at least 2 samples, but {samples} samples were given in groups of {group}"
    )]
    Groups {
        /// How many samples there are.
        samples: usize,
        /// How many were said to share one distribution.
        group: usize,
    },
    /// Enumerating 2ᴷ outcomes would take too long.
    #[error(
        "an expectation over {bits} Bernoulli variables has 2^{bits} terms; at most {limit} variables are enumerated"
    )]
    TooManyOutcomes {
        /// How many variables there are.
        bits: usize,
        /// How many are enumerated at most.
        limit: usize,
    },
    /// Enumerating all outcomes of several choices would take too long.
    #[error(
        "{logits} logits of choices among {k} each cannot be enumerated: whole choices, and at most {limit} outcomes of all"
    )]
    TooManyChoices {
        /// How many logits there are.
        logits: usize,
        /// How many choices each has.
        k: usize,
        /// How many outcomes are enumerated at most.
        limit: usize,
    },
    /// A check needs two samples at least, and one exact number per coordinate.
    #[error(
        "the check has {samples} samples of {coordinates} coordinates against {exact} exact values; it needs 2 samples and as many values as coordinates"
    )]
    Samples {
        /// How many samples were seen.
        samples: u64,
        /// How many coordinates each has.
        coordinates: usize,
        /// How many exact values were given.
        exact: usize,
    },
    /// A significance level outside (0, 1).
    #[error("the significance level must lie in (0, 1), but is {0}; 0.001 is a good start")]
    Significance(f64),
    /// The estimator needs ∇f, and the model has none.
    #[error(
        "this estimator needs the gradient of f, but f can only be called; REINFORCE, leave-one-out, DisARM and RELAX need no more"
    )]
    NotDifferentiable,
    /// The estimator needs a learned control variate, and the model has none.
    #[error("this estimator needs a control variate r(z), but the model has none")]
    NoControlVariate,
    /// NVIL needs a baseline, and the model has none.
    #[error(
        "this estimator needs a baseline B(x), but the model has none; `baseline` learns a single number"
    )]
    NoBaseline,
    /// The surrogate needs c(b), and the model has none.
    #[error(
        "this estimator needs a function c(b) regressed on past calls of f, but the model has none; leave-one-out needs no more than f"
    )]
    NoSurrogate,
    /// There is no estimator of this name.
    #[error("there is no estimator `{0}`; there are {names}", names = crate::TABLE.map(|entry| entry.name).join(", "))]
    UnknownEstimator(String),
}
