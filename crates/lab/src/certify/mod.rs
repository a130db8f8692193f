//! `relax certify`: is every estimator, and the whole policy gradient of every agent, unbiased? And would this find out if
//! not: known mistakes can be injected.
//!
//! The check itself is [`relax_estimators::certify`]; this is its table of targets. A user's own estimator or agent is
//! certified by implementing [`relax_estimators::certify::Target`], or with [`relax_agents::certify::AgentTarget`].

mod minimized;
mod network;
mod nodes;
mod one_call;
mod scene;
mod surrogate;

use std::fmt::Display;

use relax_agents::certify::{Age, AgentBug, AgentTarget, Conditions, Problem};
use relax_estimators::EstimatorError;
use relax_estimators::certify::{Settings, Target, Verdict, check, holm};
use serde_json::json;

use nodes::{BUGS, ESTIMATORS, NodeTarget};
use one_call::{CASES, OneCallTarget, RELAXED_OBJECTIVE};
use relax_runtime::{Error, jobs};
use surrogate::SurrogateTarget;

/// What to certify.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Estimators and agents.
    All,
    /// Estimators at one node.
    Estimators,
    /// Whole policy gradients.
    Agents,
}

/// How to certify.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CertifyOptions {
    /// Estimators, agents or both.
    pub scope: Scope,
    /// Probability that anything is called biased though nothing is.
    pub significance: f64,
    /// The bias to be found, as a share of the gradient.
    pub detectable: f64,
    /// Names the random problems and all noise.
    pub seed: u64,
    /// Targets checked at a time.
    pub jobs: usize,
}

impl Default for CertifyOptions {
    fn default() -> Self {
        Self { scope: Scope::All, significance: 1e-3, detectable: 0.05, seed: 0, jobs: 1 }
    }
}

/// What was found.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// Every target, in the order of the table.
    pub verdicts: Vec<Verdict>,
    /// Which of them are biased (Holm's procedure over all).
    pub biased: Vec<bool>,
    /// Probability of calling any of them biased though none is.
    pub significance: f64,
    /// The mistake that was made on purpose.
    pub injected: Option<&'static str>,
}

/// The agents that are certified: configuration and problem. A new one is one line.
const AGENTS: &[(&str, Problem)] = &[
    ("kind = 'reinforce'\nbaseline = 'none'", Problem::Enumerable),
    ("kind = 'reinforce'\nbaseline = 'value'", Problem::Enumerable),
    ("kind = 'reinforce'\nbaseline = 'leave-one-out'", Problem::Enumerable),
    ("kind = 'a2c'", Problem::Enumerable),
    ("kind = 'a2c'\nbaseline_window = 3", Problem::Enumerable),
    ("kind = 'relax-a2c'\ngain = 1\nnoise = 'coupled'", Problem::Enumerable),
    ("kind = 'relax-a2c'\ngain = 1\nnoise = 'independent'", Problem::Enumerable),
    ("kind = 'relax-a2c'\ngain = 1\ncontrol_variate = 'pure'", Problem::Enumerable),
    ("kind = 'relax-a2c'\ngain = 'adaptive'", Problem::Enumerable),
    ("kind = 'reinforce'\nbaseline = 'value'\nencoder = 'certify'", Problem::Enumerable),
    ("kind = 'a2c'\nencoder = 'certify'", Problem::Enumerable),
    ("kind = 'relax-a2c'\ngain = 1\nnoise = 'coupled'\nencoder = 'certify'", Problem::Enumerable),
    ("kind = 'a2c'", Problem::Aim),
    ("kind = 'relax-a2c'\ngain = 1", Problem::Aim),
    ("kind = 'reinforce'\nbaseline = 'value'", Problem::LinearQuadratic),
    ("kind = 'a2c'", Problem::LinearQuadratic),
    ("kind = 'a2c'\nbaseline_window = 3", Problem::LinearQuadratic),
    ("kind = 'relax-a2c'\ngain = 1", Problem::LinearQuadratic),
    ("kind = 'relax-a2c'\ngain = 'adaptive'", Problem::LinearQuadratic),
    ("kind = 'relax-ddpg'\ngain = 1", Problem::LinearQuadratic),
    ("kind = 'relax-ddpg'\ngain = 'adaptive'", Problem::LinearQuadratic),
    ("kind = 'reinforce'\nbaseline = 'value'", Problem::MultiDiscrete),
    ("kind = 'a2c'", Problem::MultiDiscrete),
    ("kind = 'relax-a2c'\ngain = 1\nnoise = 'coupled'", Problem::MultiDiscrete),
    ("kind = 'relax-a2c'\ngain = 1\nnoise = 'independent'", Problem::MultiDiscrete),
    ("kind = 'relax-a2c'\ngain = 1", Problem::MultiBinary),
];

/// What the agents that a program added ask to be certified on.
fn added() -> impl Iterator<Item = (String, Problem)> {
    let specs = relax_agents::agent_specs().into_iter();
    specs.flat_map(|spec| {
        let of_spec = spec.certificates().iter();
        of_spec.map(move |(keys, problem)| (format!("kind = '{}'\n{keys}", spec.name()), *problem))
    })
}

/// The control variate of a learned model, which is certified at every age: what it is worth differs, its bias must not.
const MODEL: &str = "kind = 'relax-a2c'\ncontrol_variate = 'model'\ngain = 1";
const ADAPTIVE_MODEL: &str = "kind = 'relax-a2c'\ncontrol_variate = 'model'\ngain = 'adaptive'";
const MODELS: &[(&str, Problem, Age)] = &[
    (MODEL, Problem::Enumerable, Age::Fresh),
    (MODEL, Problem::Enumerable, Age::Trained),
    (MODEL, Problem::Enumerable, Age::Stale),
    (ADAPTIVE_MODEL, Problem::Enumerable, Age::Trained),
    (MODEL, Problem::LinearQuadratic, Age::Fresh),
    (MODEL, Problem::LinearQuadratic, Age::Trained),
    (MODEL, Problem::LinearQuadratic, Age::Stale),
    (ADAPTIVE_MODEL, Problem::LinearQuadratic, Age::Trained),
    (MODEL, Problem::MultiDiscrete, Age::Trained),
    (MODEL, Problem::MultiBinary, Age::Stale),
];

/// The same with the own action's part by relaxed samples through the model.
const RELAXED: &str = "kind = 'relax-a2c'\ncontrol_variate = 'model'\nown_action = 'relaxed'\ngain = 1";
const INDEPENDENT: &str =
    "kind = 'relax-a2c'\ncontrol_variate = 'model'\nown_action = 'relaxed'\nnoise = 'independent'\ngain = 1";
const ADAPTIVE_RELAXED: &str =
    "kind = 'relax-a2c'\ncontrol_variate = 'model'\nown_action = 'relaxed'\ngain = 'adaptive'";
/// And with a baseline for each of several choices.
const PER_FACTOR: &str = "kind = 'relax-a2c'\ncontrol_variate = 'model'\nown_action = 'per-factor'\ngain = 1";
const RELAXED_MODELS: &[(&str, Problem, Age)] = &[
    (RELAXED, Problem::Enumerable, Age::Fresh),
    (RELAXED, Problem::Enumerable, Age::Trained),
    (RELAXED, Problem::Enumerable, Age::Stale),
    (INDEPENDENT, Problem::Enumerable, Age::Trained),
    (RELAXED, Problem::MultiDiscrete, Age::Trained),
    (INDEPENDENT, Problem::MultiDiscrete, Age::Stale),
    (ADAPTIVE_RELAXED, Problem::MultiDiscrete, Age::Trained),
    (RELAXED, Problem::MultiBinary, Age::Stale),
    (RELAXED, Problem::Masked, Age::Trained),
    (RELAXED, Problem::MaskedMultiDiscrete, Age::Trained),
    (INDEPENDENT, Problem::MaskedMultiDiscrete, Age::Trained),
    (PER_FACTOR, Problem::MultiDiscrete, Age::Trained),
    (PER_FACTOR, Problem::MultiBinary, Age::Stale),
    (PER_FACTOR, Problem::MaskedMultiDiscrete, Age::Trained),
];

/// The control variate of directly estimated advantages, at every age.
const DAE: &str = "kind = 'relax-a2c'\ncontrol_variate = 'dae'\ngain = 1";
const DAES: &[(&str, Problem, Age)] = &[
    (DAE, Problem::Enumerable, Age::Fresh),
    (DAE, Problem::Enumerable, Age::Trained),
    (DAE, Problem::Enumerable, Age::Stale),
    ("kind = 'relax-a2c'\ncontrol_variate = 'dae'\ngain = 'adaptive'", Problem::Enumerable, Age::Trained),
    (DAE, Problem::Masked, Age::Trained),
];

/// On running scales, as agents have them by default.
const SCALED: &[(&str, Problem)] = &[
    ("kind = 'reinforce'\nbaseline = 'value'", Problem::Enumerable),
    ("kind = 'a2c'", Problem::Enumerable),
    ("kind = 'a2c'", Problem::LinearQuadratic),
    ("kind = 'ppo'", Problem::Enumerable),
    ("kind = 'relax-a2c'\ngain = 1\nnoise = 'coupled'", Problem::Enumerable),
    ("kind = 'relax-a2c'\ngain = 1", Problem::LinearQuadratic),
    ("kind = 'relax-ddpg'\ngain = 1", Problem::LinearQuadratic),
    (MODEL, Problem::Enumerable),
    (MODEL, Problem::LinearQuadratic),
    (ADAPTIVE_MODEL, Problem::LinearQuadratic),
    (RELAXED, Problem::MultiDiscrete),
    (PER_FACTOR, Problem::MultiBinary),
    (DAE, Problem::Enumerable),
];

/// Where choices are masked.
const MASKED: &[(&str, Problem)] = &[
    ("kind = 'reinforce'\nbaseline = 'value'", Problem::Masked),
    ("kind = 'a2c'", Problem::Masked),
    ("kind = 'ppo'", Problem::Masked),
    ("kind = 'relax-a2c'\ngain = 1\nnoise = 'coupled'", Problem::Masked),
    ("kind = 'relax-a2c'\ngain = 1\nnoise = 'independent'", Problem::Masked),
    ("kind = 'relax-a2c'\ngain = 1\ncontrol_variate = 'pure'", Problem::Masked),
    (MODEL, Problem::Masked),
    ("kind = 'a2c'", Problem::MaskedMultiDiscrete),
    ("kind = 'relax-a2c'\ngain = 1\nnoise = 'coupled'", Problem::MaskedMultiDiscrete),
    ("kind = 'relax-a2c'\ngain = 1\nnoise = 'independent'", Problem::MaskedMultiDiscrete),
    (MODEL, Problem::MaskedMultiDiscrete),
    (ADAPTIVE_MODEL, Problem::MaskedMultiDiscrete),
    ("kind = 'reinforce'\nbaseline = 'value'", Problem::MaskedMultiDiscrete),
    ("kind = 'ppo'", Problem::MaskedMultiDiscrete),
];

/// Known mistakes of whole agents: name, what it is, configuration, problem and mistake.
const AGENT_BUGS: &[(&str, &str, &str, Problem, AgentBug)] = &[
    (
        "fitted-first",
        "the control variate is fitted to a batch before that batch is used",
        "kind = 'relax-a2c'\ngain = 1\nnoise = 'coupled'",
        Problem::Enumerable,
        AgentBug::FittedFirst,
    ),
    (
        "other-noise",
        "the control variate is evaluated at the noise of other actions",
        "kind = 'relax-a2c'\ngain = 1\nnoise = 'coupled'",
        Problem::Enumerable,
        AgentBug::OtherNoise,
    ),
    (
        "model-fitted-first",
        "a control variate's model is fitted to a batch before that batch is used",
        MODEL,
        Problem::Enumerable,
        AgentBug::FittedFirst,
    ),
    (
        "model-other-noise",
        "a relaxed model is evaluated at the noise of other actions",
        RELAXED,
        Problem::MultiDiscrete,
        AgentBug::OtherNoise,
    ),
    (
        "factor-model-fitted-first",
        "the model behind a baseline for each choice is fitted to a batch before that batch is used",
        PER_FACTOR,
        Problem::MultiDiscrete,
        AgentBug::FittedFirst,
    ),
    (
        "advantages-fitted-first",
        "directly estimated advantages are fitted to a batch before that batch is used",
        DAE,
        Problem::Enumerable,
        AgentBug::FittedFirst,
    ),
    (
        "gain-from-batch",
        "a control variate's gain is the best for the batch that it is used on",
        ADAPTIVE_MODEL,
        Problem::LinearQuadratic,
        AgentBug::GainFromBatch,
    ),
    (
        "correction-fitted-first",
        "a model's correction of V is fitted to a batch before that batch is used",
        MODEL,
        Problem::Enumerable,
        AgentBug::CorrectionFittedFirst,
    ),
    (
        "forgotten-mask",
        "actions are drawn among the allowed choices, and learned from as if all had been allowed",
        "kind = 'relax-a2c'\ngain = 1\nnoise = 'coupled'",
        Problem::Masked,
        AgentBug::ForgottenMask,
    ),
    (
        "scaled-by-batch",
        "observations and rewards are put on scales that the batch itself has a part in",
        "kind = 'a2c'",
        Problem::Enumerable,
        AgentBug::ScaledByBatch,
    ),
    (
        "no-correction",
        "the critic's gradient alone, without the term that removes its bias",
        "kind = 'relax-ddpg'\ngain = 1\ncorrection = false",
        Problem::LinearQuadratic,
        AgentBug::None,
    ),
];

/// The mistakes that can be injected: name, and what each is.
pub fn bugs() -> impl Iterator<Item = (&'static str, &'static str)> {
    let of_nodes = BUGS.iter().map(|(name, meaning, _)| (*name, *meaning));
    let of_nodes = of_nodes.chain([(RELAXED_OBJECTIVE.0, RELAXED_OBJECTIVE.1)]);
    let of_nodes = of_nodes.chain(surrogate::BUGS.iter().map(|(name, meaning, _)| (*name, *meaning)));
    let of_nodes = of_nodes.chain(minimized::BUGS.iter().map(|(name, meaning, _)| (*name, *meaning)));
    of_nodes.chain(AGENT_BUGS.iter().map(|(name, meaning, ..)| (*name, *meaning)))
}

/// One line of work: makes its target when its turn comes.
#[derive(Clone)]
enum Line {
    Node(nodes::Estimator),
    OneCall(one_call::Case),
    Surrogate(surrogate::Case),
    Minimized(minimized::Line),
    Agent(String, Problem, Conditions),
}

/// Certifies everything in the scope; or, with `inject`, one mistake alone.
///
/// `done` is told of every verdict as it comes.
///
/// # Errors
/// If the mistake's name is unknown, or a target cannot be made or sampled.
pub fn certify(
    options: &CertifyOptions,
    inject: Option<&str>,
    done: impl Fn(&Verdict) + Sync,
) -> Result<Certificate, Error> {
    let mut injected = None;
    let lines: Vec<Line> = match inject {
        Some(name) => {
            let node = BUGS.iter().find(|bug| bug.0 == name).map(|(name, _, e)| (*name, Line::Node(*e)));
            let agent = AGENT_BUGS.iter().find(|bug| bug.0 == name).map(|&(name, _, text, problem, bug)| {
                (name, Line::Agent(text.to_owned(), problem, Conditions { bug, ..Conditions::default() }))
            });
            let relaxed = (name == RELAXED_OBJECTIVE.0)
                .then_some((RELAXED_OBJECTIVE.0, Line::OneCall(RELAXED_OBJECTIVE.2)));
            let surrogate = surrogate::BUGS.iter().find(|bug| bug.0 == name);
            let surrogate = surrogate.map(|(name, _, case)| (*name, Line::Surrogate(*case)));
            let minimized = minimized::BUGS.iter().find(|bug| bug.0 == name);
            let minimized = minimized.map(|(name, _, line)| (*name, Line::Minimized(*line)));
            let Some((name, line)) = node.or(relaxed).or(surrogate).or(minimized).or(agent) else {
                let names: Vec<&str> = bugs().map(|(name, _)| name).collect();
                return Err(Error::input(format!("--inject {name}: there is no such mistake"))
                    .with_hint(format!("one of {}", names.join(", "))));
            };
            injected = Some(name);
            vec![line]
        }
        None => {
            let nodes = ESTIMATORS.iter().map(|e| Line::Node(*e));
            let nodes = nodes.chain(CASES.as_flattened().iter().map(|case| Line::OneCall(*case)));
            let nodes = nodes.chain(surrogate::CASES.iter().map(|case| Line::Surrogate(*case)));
            let agents = AGENTS.iter().map(|&(text, problem)| (text.to_owned(), problem));
            let agents = agents.chain(added()).map(|(text, problem)| (text, problem, Age::Trained));
            let models = MODELS.iter().map(|&(text, problem, age)| (text.to_owned(), problem, age));
            let masked = MASKED.iter().map(|&(text, problem)| (text.to_owned(), problem, Age::Trained));
            let agents = agents.chain(models).chain(masked);
            let line = |(text, problem, age)| {
                Line::Agent(text, problem, Conditions { age, ..Conditions::default() })
            };
            let agents = agents.map(line);
            // Last, so that the others keep their noise.
            let minimized = minimized::LINES.iter().map(|line| Line::Minimized(*line));
            let later = RELAXED_MODELS.iter().chain(DAES);
            let later = later.map(|&(text, problem, age)| (text.to_owned(), problem, age));
            let on_scales = Conditions { scaled: true, ..Conditions::default() };
            let scaled =
                SCALED.iter().map(|&(text, problem)| Line::Agent(text.to_owned(), problem, on_scales));
            let later = later.map(line).chain(scaled);
            match options.scope {
                Scope::All => nodes.chain(agents).chain(minimized).chain(later).collect(),
                Scope::Estimators => nodes.chain(minimized).collect(),
                Scope::Agents => agents.chain(later).collect(),
            }
        }
    };
    let settings = Settings {
        significance: options.significance,
        targets: lines.len(),
        detectable: options.detectable,
        ..Settings::default()
    };
    let found = jobs::map(
        &lines,
        options.jobs,
        || false,
        |i, line| {
            // Every target has noise of its own, whatever else is certified beside it.
            let seed = options.seed.wrapping_mul(1000).wrapping_add(i as u64);
            one(line.clone(), seed, &settings).inspect(|verdict| done(verdict))
        },
    )?;
    let verdicts = found.into_iter().flatten().collect::<Result<Vec<_>, _>>()?;
    let p_values: Vec<f64> = verdicts.iter().map(|v| v.p_value).collect();
    let biased = holm(&p_values, options.significance);
    Ok(Certificate { verdicts, biased, significance: options.significance, injected })
}

fn one(line: Line, seed: u64, settings: &Settings) -> Result<Verdict, Error> {
    // A batch of an agent is many episodes, and its weights are many: fewer batches make as sharp a test.
    let of_nodes = Settings { pilot: 2048, limit: 1_000_000, ..*settings };
    // One batch an estimate.
    let of_minimized = Settings { limit: 200_000, ..of_nodes };
    let of_agents = Settings { pilot: 300, limit: 12_000, ..*settings };
    match line {
        Line::Node(estimator) => checked(NodeTarget::new(estimator, seed), &of_nodes),
        Line::OneCall(case) => checked(OneCallTarget::new(case, seed), &of_nodes),
        Line::Surrogate(case) => checked(SurrogateTarget::new(case, seed), &of_nodes),
        Line::Minimized(line) => checked(line.target(seed), &of_minimized),
        Line::Agent(text, problem, conditions) => {
            checked(AgentTarget::under(&text, problem, seed, conditions), &of_agents)
        }
    }
}

fn checked<T: Target>(target: Result<T, T::Error>, settings: &Settings) -> Result<Verdict, Error>
where
    T::Error: From<EstimatorError> + Display,
{
    let mut target = target.map_err(|error| Error::runtime(format!("a target cannot be made: {error}")))?;
    check(&mut target, settings)
        .map_err(|error| Error::runtime(format!("{} cannot be certified: {error}", target.name())))
}

impl Certificate {
    /// Whether nothing is biased.
    #[must_use]
    pub fn passes(&self) -> bool {
        !self.biased.contains(&true)
    }

    /// Everything as JSON.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let targets: Vec<serde_json::Value> = self
            .verdicts
            .iter()
            .zip(&self.biased)
            .map(|(v, biased)| {
                json!({
                    "name": v.name, "biased": biased, "samples": v.samples, "coordinates": v.exact.len(),
                    "worst_z": v.worst(), "t_squared": v.joint.t_squared, "rank": v.joint.rank,
                    "joint_p_value": v.joint.p_value, "p_value": v.p_value,
                    "relative_deviation": v.relative_deviation(), "detectable_bias": v.detectable,
                    "exact": v.exact, "mean": v.mean, "standard_error": v.standard_error, "z_scores": v.z_scores,
                })
            })
            .collect();
        json!({
            "passes": self.passes(), "significance": self.significance, "injected": self.injected, "targets": targets,
        })
    }
}
