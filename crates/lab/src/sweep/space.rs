//! What is searched: ranges and choices of the configuration's keys.

use toml::Value;

/// A key and what it may be.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// The dotted key, as `--set` has it.
    pub key: String,
    /// What it may be.
    pub range: Range,
}

/// What a parameter may be.
#[derive(Debug, Clone, PartialEq)]
pub enum Range {
    /// Numbers between two, both included.
    Real {
        /// The least.
        low: f64,
        /// The greatest.
        high: f64,
        /// Drawn by their logarithm.
        log: bool,
    },
    /// Whole numbers between two, both included.
    Whole {
        /// The least.
        low: i64,
        /// The greatest.
        high: i64,
        /// Drawn by their logarithm.
        log: bool,
    },
    /// One of these.
    Choice(Vec<Value>),
}

impl Parameter {
    /// Reads `{ low, high, log }` or a list of choices. A range whose ends are whole numbers is one of whole numbers.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(key: &str, value: &Value) -> Result<Self, String> {
        let range = match value {
            Value::Array(choices) => choice(choices)?,
            Value::Table(table) => between(table)?,
            other => {
                return Err(format!(
                    "{other} is neither a range, {{ low = 1e-4, high = 1e-1, log = true }}, nor a list of choices"
                ));
            }
        };
        Ok(Self { key: key.to_owned(), range })
    }

    /// `KEY=VALUE`.
    #[must_use]
    pub fn set(&self, value: &Value) -> String {
        format!("{}={value}", self.key)
    }

    /// What a whole configuration says of it, if that is among what it may be.
    #[must_use]
    pub fn of(&self, config: &toml::Table) -> Option<Value> {
        let mut names = self.key.split('.');
        let first = config.get(names.next()?)?;
        let value = names.try_fold(first, |value, name| value.get(name))?;
        let inside = match &self.range {
            Range::Real { low, high, .. } => {
                let number = value.as_float().or(value.as_integer().map(|i| i as f64))?;
                (*low..=*high).contains(&number)
            }
            Range::Whole { low, high, .. } => (*low..=*high).contains(&value.as_integer()?),
            Range::Choice(choices) => choices.contains(value),
        };
        inside.then(|| value.clone())
    }
}

impl Range {
    /// The values at which a mistake would show: both ends, or every choice.
    #[must_use]
    pub fn extremes(&self) -> Vec<Value> {
        match self {
            Self::Real { low, high, .. } => vec![Value::Float(*low), Value::Float(*high)],
            Self::Whole { low, high, .. } => vec![Value::Integer(*low), Value::Integer(*high)],
            Self::Choice(choices) => choices.clone(),
        }
    }

    /// Where a value lies, from 0 to 1.
    #[must_use]
    pub fn place(&self, value: &Value) -> f64 {
        let share = |value: f64, low: f64, high: f64, log: bool| {
            let scale = |x: f64| if log { x.ln() } else { x };
            ((scale(value) - scale(low)) / (scale(high) - scale(low))).clamp(0.0, 1.0)
        };
        let number = value.as_float().or(value.as_integer().map(|i| i as f64)).unwrap_or(f64::NAN);
        match self {
            Self::Real { low, high, log } => share(number, *low, *high, *log),
            Self::Whole { low, high, log } => share(number, *low as f64, *high as f64, *log),
            Self::Choice(choices) => {
                let at = choices.iter().position(|choice| choice == value).unwrap_or(0);
                at as f64 / (choices.len() - 1).max(1) as f64
            }
        }
    }
}

fn choice(choices: &[Value]) -> Result<Range, String> {
    if choices.len() < 2 {
        return Err("there is nothing to choose: name two choices or more".into());
    }
    if let Some(twice) = choices.iter().enumerate().find(|(i, choice)| choices[..*i].contains(choice)) {
        return Err(format!("the choice {} stands there twice", twice.1));
    }
    Ok(Range::Choice(choices.to_vec()))
}

fn between(table: &toml::Table) -> Result<Range, String> {
    if let Some(key) = table.keys().find(|key| !["low", "high", "log"].contains(&key.as_str())) {
        return Err(format!("a range has `low`, `high` and `log`, and no `{key}`"));
    }
    let end = |name: &str| table.get(name).ok_or_else(|| format!("the range has no `{name}`"));
    let (low, high) = (end("low")?, end("high")?);
    let log = match table.get("log") {
        None => false,
        Some(flag) => flag.as_bool().ok_or_else(|| format!("log = {flag} must be true or false"))?,
    };
    let number = |value: &Value| value.as_float().or(value.as_integer().map(|i| i as f64));
    let (Some(least), Some(most)) = (number(low), number(high)) else {
        return Err(format!("low = {low} and high = {high} must be numbers"));
    };
    if !(least.is_finite() && most.is_finite()) || least >= most {
        return Err(format!("the range from {low} to {high} is empty: low must be a number below high"));
    }
    if log && least <= 0.0 {
        return Err(format!("a logarithm needs numbers above 0, and low = {low}"));
    }
    Ok(match (low, high) {
        (Value::Integer(low), Value::Integer(high)) => Range::Whole { low: *low, high: *high, log },
        _ => Range::Real { low: least, high: most, log },
    })
}
