//! The settings of one agent as a configuration holds them, and the ranges of the keys that agents have in common.
//!
//! A key of the same name means the same in every agent and has the same range:
//!
//! | keys | range |
//! | --- | --- |
//! | `agent.hidden`, `agent.critic_hidden` | widths from 1 to 65536, at most 64 layers |
//! | `learner.learning_rate`, `….value_learning_rate`, `….control_variate_learning_rate`, `….reward_scale` | above 0 |
//! | `learner.gamma`, `learner.lambda` | from 0 to 1 |
//! | `agent.encoder_rate`, `learner.entropy`, `….bounds_loss`, `….max_grad_norm`, `….critic_max_grad_norm` | 0 or more |

use crate::registry::{agent_spec, agent_specs, unknown_agent};
use crate::{AgentError, AgentSpec};
use toml::{Table, Value};

/// Widest hidden layer; a wider one is a typing error.
const MAX_WIDTH: i64 = 65_536;
/// Most hidden layers.
const MAX_LAYERS: usize = 64;
/// Most rows and epochs.
const MAX_COUNT: i64 = 1 << 24;
/// Batches that a correction is fitted to: each is gone through after every batch.
const MAX_WINDOW: i64 = 1000;
/// Most transitions in a replay.
const MAX_TRANSITIONS: i64 = 1 << 30;

/// The settings of one agent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AgentSettings {
    /// The agent's name.
    pub kind: String,
    /// `[agent]` without `kind`.
    pub agent: Table,
    /// `[learner]`.
    pub learner: Table,
}

/// Why settings are refused: the dotted key, what is wrong, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// `learner.gamma`.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it; may be empty.
    pub hint: String,
}

impl Refusal {
    /// A refusal in words.
    #[must_use]
    pub fn new(key: &str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { key: key.to_owned(), message: message.into(), hint: hint.into() }
    }

    /// The agent `kind` has no estimator of a policy gradient.
    #[must_use]
    pub fn no_estimator(kind: &str) -> Self {
        let message = format!("agent.kind = \"{kind}\" has no estimator of a policy gradient to dissect");
        Self::new("agent.kind", message, "reinforce, a2c, relax-a2c and relax-ddpg have one")
    }

    /// `key`, found to be `found`, must be `right`.
    #[must_use]
    pub fn range(key: &str, found: &str, right: &str) -> Self {
        Self::new(key, format!("`{key}` is {found}; it must be {right}"), "")
    }
}

impl AgentSettings {
    /// The agent `kind` with these keys, the others at their defaults.
    ///
    /// # Errors
    /// If there is no such agent, a key is not its own, or a value is out of range.
    pub fn new(kind: &str, agent: Table, learner: Table) -> Result<Self, AgentError> {
        let spec = agent_spec(kind).ok_or_else(|| unknown_agent(kind))?;
        let given = Self { kind: kind.to_owned(), agent, learner };
        let refuse = |(section, error): crate::registry::SectionError| {
            AgentError::Config(format!("[{section}] of {kind}: {}", error.message()))
        };
        let settings = spec.complete(&given).map_err(refuse)?;
        check_ranges(&settings).map_err(|refusal| AgentError::Config(refusal.message))?;
        Ok(settings)
    }

    /// As [`new`](Self::new) from TOML texts: `[agent]` with `kind`, and `[learner]`. Keys of `[learner]` that the agent has
    /// not are left out, so that one text serves several agents.
    ///
    /// # Errors
    /// As [`new`](Self::new); if a text is not TOML or names no kind.
    pub fn from_texts(agent: &str, learner: &str) -> Result<Self, AgentError> {
        let parse = |text: &str| {
            text.parse::<Table>().map_err(|error| AgentError::Config(format!("{text}: {}", error.message())))
        };
        let (mut agent, mut learner) = (parse(agent)?, parse(learner)?);
        let Some(Value::String(kind)) = agent.remove("kind") else {
            return Err(AgentError::Config("`kind` is missing".into()));
        };
        let spec = agent_spec(&kind).ok_or_else(|| unknown_agent(&kind))?;
        learner.retain(|key, _| spec.has(&format!("learner.{key}")));
        Self::new(&kind, agent, learner)
    }

    /// The value of a dotted key such as `learner.gamma`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        let mut names = key.split('.');
        let table = match names.next()? {
            "agent" => &self.agent,
            "learner" => &self.learner,
            _ => return None,
        };
        let mut value = table.get(names.next()?)?;
        for name in names {
            value = value.get(name)?;
        }
        Some(value)
    }
}

/// The agents that have the dotted key.
#[must_use]
pub fn owners(key: &str) -> Vec<&'static str> {
    agent_specs().iter().filter(|spec| spec.has(key)).map(AgentSpec::name).collect()
}

enum Range {
    Widths,
    Finite(&'static str),
    Positive,
    NonNegative,
    /// From 0 to this.
    UpTo(f64),
    Fraction,
    /// Above 0 and at most 1.
    Share,
    Whole(i64, i64),
}

/// The ranges of the keys, whichever agent has them.
const RANGES: &[(&str, Range)] = &[
    ("agent.hidden", Range::Widths),
    ("agent.critic_hidden", Range::Widths),
    ("agent.encoder_rate", Range::NonNegative),
    ("agent.initial_log_std", Range::Finite("a finite number")),
    ("agent.exploration.std", Range::NonNegative),
    ("agent.exploration.theta", Range::Fraction),
    ("agent.gain", Range::Finite("\"adaptive\" or a finite number")),
    ("agent.temperature", Range::Positive),
    ("agent.constant_baseline", Range::Finite("a finite number")),
    ("learner.reward_scale", Range::Positive),
    ("learner.learning_rate", Range::Positive),
    ("learner.value_learning_rate", Range::Positive),
    ("learner.control_variate_learning_rate", Range::Positive),
    ("learner.gamma", Range::Fraction),
    ("learner.lambda", Range::Fraction),
    ("learner.entropy", Range::NonNegative),
    ("learner.bounds_loss", Range::NonNegative),
    ("learner.max_grad_norm", Range::NonNegative),
    ("learner.critic_max_grad_norm", Range::NonNegative),
    // Far more than anybody has found of use, and few enough to end.
    ("learner.replay.updates_per_step", Range::UpTo(100.0)),
    ("learner.critic.td", Range::NonNegative),
    ("learner.critic.variance", Range::NonNegative),
    ("learner.replay.capacity", Range::Whole(1, MAX_TRANSITIONS)),
    ("learner.replay.batch_size", Range::Whole(1, MAX_COUNT)),
    ("learner.replay.warm_up_steps", Range::Whole(0, i64::MAX)),
    ("learner.replay.tau", Range::Share),
    ("learner.model.capacity", Range::Whole(1, MAX_TRANSITIONS)),
    ("learner.model.steps", Range::Whole(0, MAX_COUNT)),
    ("learner.model.batch_size", Range::Whole(1, MAX_COUNT)),
    ("learner.model.learning_rate", Range::Positive),
    ("learner.model.samples", Range::Whole(1, MAX_COUNT)),
    ("learner.model.window", Range::Whole(0, MAX_WINDOW)),
    ("agent.baseline_window", Range::Whole(0, MAX_WINDOW)),
    ("learner.policy_delay", Range::Whole(1, MAX_COUNT)),
    ("learner.target_noise", Range::NonNegative),
    ("learner.target_noise_clip", Range::NonNegative),
    ("learner.initial_temperature", Range::Positive),
    ("learner.temperature_learning_rate", Range::Positive),
    ("learner.target_entropy", Range::Finite("a finite number")),
    ("learner.value_epochs", Range::Whole(0, MAX_COUNT)),
    ("learner.initial_value_epochs", Range::Whole(0, MAX_COUNT)),
    ("learner.control_variate_epochs", Range::Whole(0, MAX_COUNT)),
];

/// Refuses values out of the [ranges](self) of the keys that agents have in common.
///
/// # Errors
/// Names the first value out of range, and the range.
pub fn check_ranges(settings: &AgentSettings) -> Result<(), Refusal> {
    for (key, range) in RANGES {
        if let Some(value) = settings.get(key) {
            check(key, value, range)?;
        }
    }
    Ok(())
}

fn check(key: &str, value: &Value, range: &Range) -> Result<(), Refusal> {
    let number = match value {
        Value::Float(x) => Some(*x),
        Value::Integer(x) => Some(*x as f64),
        _ => None,
    };
    let within = |right: &str, fits: &dyn Fn(f64) -> bool| match number {
        Some(x) if !fits(x) => Err(Refusal::range(key, &format!("{x:?}"), right)),
        _ => Ok(()),
    };
    match range {
        Range::Widths => check_widths(key, value),
        Range::Finite(right) => within(right, &f64::is_finite),
        Range::Positive => within("a finite number above 0", &|x| x.is_finite() && x > 0.0),
        Range::NonNegative => within("a finite number, 0 or more", &|x| x.is_finite() && x >= 0.0),
        Range::UpTo(most) => within(&format!("a number from 0 to {most}"), &|x| (0.0..=*most).contains(&x)),
        Range::Fraction => within("a number from 0 to 1", &|x| (0.0..=1.0).contains(&x)),
        Range::Share => within("above 0 and at most 1", &|x| x > 0.0 && x <= 1.0),
        Range::Whole(low, high) => match value.as_integer() {
            Some(x) if !(*low..=*high).contains(&x) => {
                Err(Refusal::range(key, &x.to_string(), &format!("a whole number from {low} to {high}")))
            }
            _ => Ok(()),
        },
    }
}

fn check_widths(key: &str, value: &Value) -> Result<(), Refusal> {
    let Some(widths) = value.as_array() else { return Ok(()) };
    let numbers: Vec<i64> = widths.iter().filter_map(Value::as_integer).collect();
    if numbers.iter().any(|width| !(1..=MAX_WIDTH).contains(width)) {
        return Err(Refusal::range(key, &format!("{numbers:?}"), &format!("widths from 1 to {MAX_WIDTH}")));
    }
    if numbers.len() > MAX_LAYERS {
        let found = format!("{} layers", numbers.len());
        return Err(Refusal::range(key, &found, &format!("at most {MAX_LAYERS} layers")));
    }
    Ok(())
}
