//! Keyword arguments of environments, as configuration files give them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::EnvError;

/// One value of a keyword argument.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Kwarg {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number; also taken where a float is wanted.
    Int(i64),
    /// A number.
    Float(f64),
    /// Text.
    String(String),
    /// Several values, for instance a range.
    List(Vec<Kwarg>),
    /// Values by name; taken by environments of Python only. `{ python = "None" }` is a value that only Python can say:
    /// None, a whole number beyond 64 bits, a tuple, bytes, `numpy.float32(0.5)`, …
    Map(BTreeMap<String, Kwarg>),
}

impl std::fmt::Display for Kwarg {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bool(value) => write!(f, "the boolean {value}"),
            Self::Int(value) => write!(f, "the whole number {value}"),
            Self::Float(value) => write!(f, "the number {value:?}"),
            Self::String(value) => write!(f, "the text {value:?}"),
            Self::List(values) => write!(f, "a list of {}", values.len()),
            Self::Map(values) => match values.get("python") {
                Some(Self::String(text)) if values.len() == 1 => write!(f, "Python's {text}"),
                _ => write!(f, "a table of {}", values.len()),
            },
        }
    }
}

/// Keyword arguments by name.
pub type Kwargs = BTreeMap<String, Kwarg>;

/// Reads an environment's keyword arguments and refuses those it does not have.
///
/// ```
/// use relax_envs::{Kwarg, KwargReader, Kwargs};
/// let kwargs = Kwargs::from([("gravity".to_owned(), Kwarg::Float(1.6))]);
/// let reader = KwargReader::new("Moon-v0", &kwargs, &["gravity", "wind"])?;
/// assert_eq!(reader.float("gravity", 9.8)?, 1.6);
/// assert!(!reader.bool("wind", false)?);
/// assert!(KwargReader::new("Moon-v0", &kwargs, &["wind"]).is_err());
/// # Ok::<(), relax_envs::EnvError>(())
/// ```
#[derive(Debug)]
pub struct KwargReader<'a> {
    env: &'a str,
    kwargs: &'a Kwargs,
    valid: &'a [&'a str],
}

impl<'a> KwargReader<'a> {
    /// A reader for an environment that has the arguments `valid`.
    ///
    /// # Errors
    ///
    /// [`EnvError::UnknownKwarg`] if there are others.
    pub fn new(env: &'a str, kwargs: &'a Kwargs, valid: &'a [&'a str]) -> Result<Self, EnvError> {
        let reader = Self { env, kwargs, valid };
        match kwargs.keys().find(|key| !valid.contains(&key.as_str())) {
            Some(key) => Err(EnvError::UnknownKwarg {
                env: env.to_owned(),
                key: key.clone(),
                valid: reader.valid_list(),
            }),
            None => Ok(reader),
        }
    }

    fn valid_list(&self) -> String {
        if self.valid.is_empty() { "none".to_owned() } else { self.valid.join(", ") }
    }

    fn wrong(&self, key: &str, expected: &str, got: &Kwarg) -> EnvError {
        EnvError::KwargValue {
            env: self.env.to_owned(),
            key: key.to_owned(),
            expected: expected.to_owned(),
            got: got.to_string(),
            valid: self.valid_list(),
        }
    }

    /// A boolean, or `default` if it is not given.
    ///
    /// # Errors
    ///
    /// [`EnvError::KwargValue`] for a value of another type, here and in the other methods.
    pub fn bool(&self, key: &str, default: bool) -> Result<bool, EnvError> {
        match self.kwargs.get(key) {
            None => Ok(default),
            Some(Kwarg::Bool(value)) => Ok(*value),
            Some(other) => Err(self.wrong(key, "a boolean", other)),
        }
    }

    /// A finite number, or `default` if it is not given.
    pub fn float(&self, key: &str, default: f64) -> Result<f64, EnvError> {
        match self.kwargs.get(key) {
            None => Ok(default),
            Some(Kwarg::Float(value)) if value.is_finite() => Ok(*value),
            Some(Kwarg::Int(value)) => Ok(*value as f64),
            Some(other) => Err(self.wrong(key, "a finite number", other)),
        }
    }

    /// A whole number, or `default` if it is not given.
    pub fn int(&self, key: &str, default: i64) -> Result<i64, EnvError> {
        match self.kwargs.get(key) {
            None => Ok(default),
            Some(Kwarg::Int(value)) => Ok(*value),
            Some(other) => Err(self.wrong(key, "a whole number", other)),
        }
    }

    /// Text, or `default` if it is not given.
    pub fn string(&self, key: &str, default: &str) -> Result<String, EnvError> {
        match self.kwargs.get(key) {
            None => Ok(default.to_owned()),
            Some(Kwarg::String(value)) => Ok(value.clone()),
            Some(other) => Err(self.wrong(key, "text", other)),
        }
    }

    /// A whole number from 1 to 2³², or `default` if it is not given.
    pub fn positive(&self, key: &str, default: i64) -> Result<u32, EnvError> {
        let value = self.int(key, default)?;
        match u32::try_from(value) {
            Ok(value @ 1..) => Ok(value),
            _ => Err(self.wrong(key, "a whole number from 1 on", &Kwarg::Int(value))),
        }
    }

    /// A list of two numbers, the smaller one first and perhaps infinite, or `default` if it is not given.
    pub fn range(&self, key: &str, default: (f64, f64)) -> Result<(f64, f64), EnvError> {
        let Some(value) = self.kwargs.get(key) else { return Ok(default) };
        let number = |value: &Kwarg| match value {
            Kwarg::Float(value) => Some(*value),
            Kwarg::Int(value) => Some(*value as f64),
            _ => None,
        };
        if let Kwarg::List(values) = value
            && let [low, high] = values.as_slice()
            && let (Some(low), Some(high)) = (number(low), number(high))
            && low <= high
        {
            return Ok((low, high));
        }
        Err(self.wrong(key, "a list of two numbers, the smaller one first", value))
    }
}
