//! The one table of estimators: every name, what it needs, and what it is. The command line, the auto-encoders, the toy problem,
//! the certificate and the documentation read it.

use crate::EstimatorError;
use std::fmt;
use std::str::FromStr;

/// Where the noise of z̃ comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Coupling {
    /// Fresh: z̃ is another sample given b, and the control variate is evaluated at both.
    Independent,
    /// From z, so that z̃ = z in value: half the evaluations of the control variate, and just as unbiased.
    Coupled,
}

/// How ∂E\[f\]/∂l is estimated. [`Estimator::estimate`] does it; [`TABLE`] lists all.
///
/// ```
/// use rand::SeedableRng;
/// use relax_estimators::{OneNode, Estimate, Estimator, Family, Tuning};
///
/// let mut model = OneNode::new(Family::Categorical, vec![0.5, -0.2, 0.1], |b: &[f64]| b[0] - 2.0 * b[1] + 0.5 * b[2]);
/// let (mut rng, mut estimate) = (rand_pcg::Pcg64::seed_from_u64(1), Estimate::new());
/// for estimator in ["reinforce", "leave-one-out", "disarm"] {
///     let estimator: Estimator = estimator.parse()?;
///     estimator.estimate(&mut model, &[Tuning::default()], 8, &mut rng, &mut estimate)?;
///     assert_eq!(estimate.gradient(0).len(), 8 * 3);
/// }
/// # Ok::<(), relax_estimators::EstimatorError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Estimator {
    /// ĝ = s·f (Williams 1992).
    Reinforce,
    /// ĝ = s·(f − B), B the number [`Tuning::baseline`](crate::Tuning::baseline).
    Baseline,
    /// ĝ = s·(f − B(x) − centre)/scale, B from [`Model::baseline`](crate::Model::baseline) (Mnih and Gregor 2014).
    Nvil,
    /// The baseline is the mean f of the other samples of each run of `group` rows, which share their logits (Kool et al. 2019).
    LeaveOneOut {
        /// At least 2.
        group: usize,
    },
    /// The gradient of the relaxed f: biased (Maddison et al. 2017, Jang et al. 2017).
    Concrete,
    /// First-order Taylor expansion at the mean field (Gu et al. 2016).
    MuProp,
    /// Antithetic pairs (Dong et al. 2020); categorical nodes by stick-breaking (Dong et al. 2021). Two evaluations of f and more.
    DisArm,
    /// c = η·f(σ_λ(z)) (Tucker et al. 2017).
    Rebar(Coupling),
    /// c = r(z), a learned function (Grathwohl et al. 2018).
    Relax(Coupling),
    /// c = η·f(σ_λ(z)) + r(z) (Grathwohl et al. 2018).
    RelaxedRebar(Coupling),
    /// Leave-one-out on f − η·c(b), plus η times ∂E\[c\]/∂l from free samples, c regressed on past calls of f
    /// ([`Model::surrogate`](crate::Model::surrogate)); η is [`Tuning::gain`](crate::Tuning::gain).
    Surrogate {
        /// Rows that share their logits, at least 2.
        group: usize,
        /// How often a whole batch of free samples is drawn: M = `group`·`passes` of each distribution. Not used where the model knows
        /// ∂E\[c\]/∂l ([`Model::surrogate_gradient`](crate::Model::surrogate_gradient)).
        passes: usize,
    },
}

/// What an estimator takes besides samples, their scores and f.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs {
    /// Samples of one distribution, or calls of f for one estimate: 2 where samples are compared with each other.
    pub samples: usize,
    /// ∇f at soft outcomes.
    pub gradient: bool,
    /// A gain η and a temperature λ that are learned.
    pub relaxation: bool,
    /// A function r(z) that is learned on ‖ĝ‖².
    pub control_variate: bool,
    /// A baseline B(x) that is learned.
    pub baseline: bool,
    /// A function c(b) that is regressed on past calls of f.
    pub surrogate: bool,
}

const NOTHING: Needs = Needs {
    samples: 1,
    gradient: false,
    relaxation: false,
    control_variate: false,
    baseline: false,
    surrogate: false,
};
const RELAXED_F: Needs = Needs { gradient: true, relaxation: true, ..NOTHING };
const FREE_FORM: Needs = Needs { control_variate: true, ..NOTHING };
const BOTH: Needs = Needs { control_variate: true, ..RELAXED_F };

/// One line of [`TABLE`].
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The estimator, with the settings that its bare name stands for.
    pub estimator: Estimator,
    /// How it is written in configurations, on the command line and in tables.
    pub name: &'static str,
    /// How it is written above a figure.
    pub label: &'static str,
    /// What it takes.
    pub needs: Needs,
    /// Whether E\[ĝ\] is the gradient.
    pub unbiased: bool,
    /// What it is, in half a line.
    pub summary: &'static str,
}

const fn entry(
    estimator: Estimator,
    name: &'static str,
    label: &'static str,
    needs: Needs,
    summary: &'static str,
) -> Entry {
    Entry { estimator, name, label, needs, unbiased: !matches!(estimator, Estimator::Concrete), summary }
}

/// All estimators. A new one is a variant of [`Estimator`], a line here, and its arm in [`Estimator::estimate`].
pub const TABLE: [Entry; 14] = {
    use Coupling::{Coupled, Independent};
    use Estimator as E;
    [
        entry(E::Reinforce, "reinforce", "REINFORCE", NOTHING, "score times f"),
        entry(
            E::Baseline,
            "baseline",
            "REINFORCE, learned scalar baseline",
            NOTHING,
            "score times f minus a learned number",
        ),
        entry(
            E::Nvil,
            "nvil",
            "NVIL",
            Needs { baseline: true, ..NOTHING },
            "score times f minus a learned function of the input",
        ),
        entry(
            E::LeaveOneOut { group: 2 },
            "leave-one-out",
            "leave-one-out",
            Needs { samples: 2, ..NOTHING },
            "score times f minus the mean f of the other samples",
        ),
        entry(
            E::Concrete,
            "concrete",
            "Concrete (biased)",
            Needs { gradient: true, ..NOTHING },
            "gradient of the relaxed f: biased",
        ),
        entry(
            E::MuProp,
            "muprop",
            "MuProp",
            Needs { gradient: true, ..NOTHING },
            "first-order Taylor expansion of f at the mean",
        ),
        entry(E::DisArm, "disarm", "DisARM", Needs { samples: 2, ..NOTHING }, "antithetic pairs of samples"),
        entry(E::Rebar(Independent), "rebar", "REBAR", RELAXED_F, "relaxed f as the control variate"),
        entry(
            E::Rebar(Coupled),
            "rebar-coupled",
            "REBAR, coupled noise",
            RELAXED_F,
            "REBAR with one relaxed sample in place of two",
        ),
        entry(
            E::Relax(Independent),
            "relax",
            "RELAX",
            FREE_FORM,
            "a learned function as the control variate",
        ),
        entry(
            E::Relax(Coupled),
            "relax-coupled",
            "RELAX, coupled noise",
            FREE_FORM,
            "RELAX with one relaxed sample in place of two",
        ),
        entry(
            E::RelaxedRebar(Independent),
            "relaxed-rebar",
            "relaxed-REBAR",
            BOTH,
            "relaxed f plus a learned function as the control variate",
        ),
        entry(
            E::RelaxedRebar(Coupled),
            "relaxed-rebar-coupled",
            "relaxed-REBAR, coupled noise",
            BOTH,
            "relaxed-REBAR with one relaxed sample in place of two",
        ),
        entry(
            E::Surrogate { group: 2, passes: 32 },
            "surrogate",
            "surrogate",
            Needs { samples: 2, surrogate: true, ..NOTHING },
            "leave-one-out minus a function regressed on past calls of f, whose gradient is free",
        ),
    ]
};

/// Spellings of earlier versions, which run folders still hold.
const FORMER: [(&str, &str); 1] = [("loo", "leave-one-out")];

impl Estimator {
    /// All of them, as [`FromStr`] names them; leave-one-out with groups of two, the surrogate with two paid and 64 free samples.
    pub const ALL: [Self; TABLE.len()] = {
        let mut all = [Self::Reinforce; TABLE.len()];
        let mut i = 0;
        while i < TABLE.len() {
            all[i] = TABLE[i].estimator;
            i += 1;
        }
        all
    };

    /// Its line in the table.
    #[must_use]
    pub fn entry(self) -> &'static Entry {
        let same = |other: &&Entry| {
            let kinds = (std::mem::discriminant(&other.estimator), other.estimator.coupling());
            kinds == (std::mem::discriminant(&self), self.coupling())
        };
        let Some(entry) = TABLE.iter().find(same) else { unreachable!("{self:?} is not in the table") };
        entry
    }

    /// Its name in configurations and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.entry().name
    }

    /// What it takes besides samples, their scores and f.
    #[must_use]
    pub fn needs(self) -> Needs {
        self.entry().needs
    }

    /// Whether E\[ĝ\] is the gradient.
    #[must_use]
    pub fn is_unbiased(self) -> bool {
        self.entry().unbiased
    }

    /// Whether it has a gain η and a temperature λ to learn.
    #[must_use]
    pub fn relaxes_f(self) -> bool {
        self.needs().relaxation
    }

    /// Whether it has a learned function r.
    #[must_use]
    pub fn learns_control_variate(self) -> bool {
        self.needs().control_variate
    }

    /// Whether f must be differentiable.
    #[must_use]
    pub fn needs_gradient(self) -> bool {
        self.needs().gradient
    }

    /// Where the noise of z̃ comes from, for those that have a z̃.
    #[must_use]
    pub fn coupling(self) -> Option<Coupling> {
        match self {
            Self::Rebar(coupling) | Self::Relax(coupling) | Self::RelaxedRebar(coupling) => Some(coupling),
            _ => None,
        }
    }

    /// The same estimator with the noise of z̃ chosen; those without a z̃ stay as they are.
    #[must_use]
    pub fn with_coupling(self, coupling: Coupling) -> Self {
        match self {
            Self::Rebar(_) => Self::Rebar(coupling),
            Self::Relax(_) => Self::Relax(coupling),
            Self::RelaxedRebar(_) => Self::RelaxedRebar(coupling),
            other => other,
        }
    }
}

impl fmt::Display for Estimator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Estimator {
    type Err = EstimatorError;

    fn from_str(name: &str) -> Result<Self, EstimatorError> {
        let now = FORMER.iter().find(|(former, _)| *former == name).map_or(name, |(_, now)| now);
        let found = TABLE.iter().find(|entry| entry.name == now);
        found.map(|entry| entry.estimator).ok_or_else(|| EstimatorError::UnknownEstimator(name.to_owned()))
    }
}

#[cfg(feature = "serde")]
mod with_serde {
    use super::{Estimator, TABLE};
    use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
    use std::borrow::Cow;

    impl Serialize for Estimator {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_str(self.name())
        }
    }

    impl<'de> Deserialize<'de> for Estimator {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(D::Error::custom)
        }
    }

    impl JsonSchema for Estimator {
        fn schema_name() -> Cow<'static, str> {
            "Estimator".into()
        }

        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            json_schema!({ "type": "string", "enum": TABLE.map(|entry| entry.name) })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_its_own() {
        for (i, entry) in TABLE.iter().enumerate() {
            assert_eq!(entry.name.parse(), Ok(entry.estimator));
            assert_eq!(entry.estimator.name(), entry.name);
            assert_eq!(entry.estimator, Estimator::ALL[i]);
            assert!(TABLE[..i].iter().all(|other| other.name != entry.name && other.label != entry.label));
        }
        assert_eq!(Estimator::LeaveOneOut { group: 7 }.name(), "leave-one-out");
    }

    #[test]
    fn former_spellings_are_read_and_never_written() {
        for (former, now) in FORMER {
            let estimator: Estimator = former.parse().unwrap();
            assert_eq!(estimator.to_string(), now);
        }
        let error = "rebarr".parse::<Estimator>().unwrap_err().to_string();
        assert!(error.contains("`rebarr`") && error.contains("relaxed-rebar"), "{error}");
    }
}
