//! `--set KEY=VALUE`: one setting changed on the command line.

use toml::Value;

use super::document::Document;
use super::error::{ConfigError, Origin};
use super::schema::Keys;

/// One `--set` argument, parsed.
#[derive(Debug)]
pub struct Override {
    /// The argument as it was given.
    pub text: String,
    /// The dotted key.
    pub key: String,
    /// The value.
    pub value: Value,
}

impl Override {
    /// Parses `KEY=VALUE`. The value is TOML; what is not TOML and looks like a word is a string.
    ///
    /// # Errors
    /// If there is no such key, or the value cannot be one of its.
    pub fn parse(text: &str, keys: &Keys) -> Result<Self, ConfigError> {
        let refuse = |key: Option<&str>, message: String| {
            ConfigError::new(Origin::Override(text.to_owned()), key, message)
        };
        let Some((key, value)) = text.split_once('=') else {
            let hint = Some("write --set KEY=VALUE, for example --set learner.gamma=0.99".to_owned());
            return Err(refuse(None, "there is no `=`".to_owned()).with_hint(hint));
        };
        let (key, value) = (key.trim(), value.trim());
        if !keys.allows(key) {
            let (message, hint) = keys.unknown(key);
            return Err(refuse(Some(key), message).with_hint(hint));
        }
        if keys.is_section(key) {
            let hint = format!("set one of its keys: --set {key}.KEY=VALUE; `{}` lists them", keys.command);
            return Err(refuse(Some(key), format!("`{key}` is a section")).with_hint(Some(hint)));
        }
        let mut value = parse_value(value).ok_or_else(|| {
            let hint = keys.describe(key).map(|text| format!("{key}: {text}"));
            refuse(Some(key), format!("`{value}` is not a TOML value")).with_hint(hint)
        })?;
        // `--set run.env_steps=1e6` is how people write it.
        if let Value::Float(number) = value
            && keys.is_integer(key)
            && number.fract() == 0.0
            && number.abs() < 2f64.powi(53)
        {
            value = Value::Integer(number as i64);
        }
        Ok(Self { text: text.to_owned(), key: key.to_owned(), value })
    }

    /// Puts the value into `root`, making the tables on the way.
    ///
    /// # Errors
    /// If something on the way is no table.
    pub fn apply(&self, root: &mut toml::Table) -> Result<(), ConfigError> {
        let mut table = root;
        let mut names = self.key.split('.').peekable();
        while let Some(name) = names.next() {
            if names.peek().is_none() {
                table.insert(name.to_owned(), self.value.clone());
                break;
            }
            let inner = table.entry(name).or_insert_with(|| Value::Table(toml::Table::new()));
            let Value::Table(inner) = inner else {
                let origin = Origin::Override(self.text.clone());
                let message = format!("`{name}` is not a table, so `{}` cannot be set", self.key);
                return Err(ConfigError::new(origin, Some(&self.key), message));
            };
            table = inner;
        }
        Ok(())
    }
}

fn parse_value(text: &str) -> Option<Value> {
    if let Ok(table) = format!("v = {text}").parse::<toml::Table>() {
        // More than one key: the text held a line break and another assignment.
        return if table.len() == 1 { table.into_iter().next().map(|(_, value)| value) } else { None };
    }
    let is_word = |c: char| c.is_alphanumeric() || "-_.:/+ ".contains(c);
    (!text.is_empty() && text.chars().all(is_word)).then(|| Value::String(text.to_owned()))
}

/// Checks that `overrides` change only keys that are `allowed`; `hint` says which those are.
///
/// # Errors
/// Names the first that is not.
pub fn check_resume<D: Document>(
    overrides: &[String],
    allowed: impl Fn(&str) -> bool,
    hint: &str,
) -> Result<(), ConfigError> {
    let keys = D::keys();
    for text in overrides {
        let one = Override::parse(text, &keys)?;
        if !allowed(&one.key) {
            let message = format!("`{}` cannot change when a run is resumed", one.key);
            return Err(ConfigError::new(Origin::Override(one.text), Some(&one.key), message)
                .with_hint(Some(hint.to_owned())));
        }
    }
    Ok(())
}
