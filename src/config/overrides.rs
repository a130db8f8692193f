//! `--set KEY=VALUE`: one setting changed on the command line.

use toml::Value;

use super::Config;
use super::error::{ConfigError, Origin};
use super::load::Document;
use super::schema::Keys;

/// One `--set` argument, parsed.
#[derive(Debug)]
pub(super) struct Override {
    /// The argument as it was given.
    pub(super) text: String,
    /// The dotted key.
    pub(super) key: String,
    value: Value,
}

impl Override {
    /// Parses `KEY=VALUE`. The value is TOML; what is not TOML and looks like a word is a string.
    pub(super) fn parse(text: &str, keys: &Keys) -> Result<Self, ConfigError> {
        let refuse = |key: Option<&str>, message: String| {
            ConfigError::new(Origin::Override(text.to_owned()), key, message)
        };
        let Some((key, value)) = text.split_once('=') else {
            let hint = Some("write --set KEY=VALUE, for example --set learner.gamma=0.99".to_owned());
            return Err(refuse(None, "there is no `=`".to_owned()).with_hint(hint));
        };
        let (key, value) = (key.trim(), value.trim());
        if !keys.allows(key) {
            return Err(
                refuse(Some(key), format!("unknown key `{key}`")).with_hint(unknown_key_hint(keys, key))
            );
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
    pub(super) fn apply(&self, root: &mut toml::Table) -> Result<(), ConfigError> {
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

/// What to say about a key that does not exist.
pub(super) fn unknown_key_hint(keys: &Keys, key: &str) -> Option<String> {
    Some(match keys.nearest(key) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("`{}` lists all keys", keys.command),
    })
}

fn parse_value(text: &str) -> Option<Value> {
    if let Ok(table) = format!("v = {text}").parse::<toml::Table>() {
        // More than one key: the text held a line break and another assignment.
        return if table.len() == 1 { table.into_iter().next().map(|(_, value)| value) } else { None };
    }
    let is_word = |c: char| c.is_alphanumeric() || "-_.:/+ ".contains(c);
    (!text.is_empty() && text.chars().all(is_word)).then(|| Value::String(text.to_owned()))
}

/// Checks that `overrides` change only what may change when a run is resumed: `run.*` but the seed, and
/// `rollout.workers`.
///
/// # Errors
/// If one of them changes anything else, which would make the rest of the run another experiment.
pub fn check_resume_overrides(overrides: &[String]) -> Result<(), ConfigError> {
    let allowed = |key: &str| key == "rollout.workers" || (key.starts_with("run.") && key != "run.seed");
    let hint = "only run.* (not the seed) and rollout.workers may; for anything else start a new run with `relax train`";
    check_resume::<Config>(overrides, allowed, hint)
}

/// Checks that `overrides` change only keys that are `allowed`; `hint` says which those are.
pub(crate) fn check_resume<D: Document>(
    overrides: &[String],
    allowed: impl Fn(&str) -> bool,
    hint: &str,
) -> Result<(), ConfigError> {
    let keys = Keys::of::<D>();
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

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Value {
        Override::parse(text, &Keys::new()).expect(text).value
    }

    #[test]
    fn values_are_toml_and_bare_words_are_strings() {
        assert_eq!(value("learner.gamma=0.5"), Value::Float(0.5));
        assert_eq!(value("learner.learning_rate = 1e-3"), Value::Float(1e-3));
        assert_eq!(value("run.env_steps=1e6"), Value::Integer(1_000_000));
        assert_eq!(value("run.env_steps=1_000"), Value::Integer(1_000));
        assert_eq!(value("learner.anneal=true"), Value::Boolean(true));
        assert_eq!(value("agent.kind=relax-a2c"), Value::String("relax-a2c".into()));
        assert_eq!(value("agent.kind=\"a2c\""), Value::String("a2c".into()));
        assert_eq!(value("env.id=gym:CartPole-v1"), Value::String("gym:CartPole-v1".into()));
        assert_eq!(value("agent.hidden=[32, 16]"), Value::Array(vec![32.into(), 16.into()]));
    }

    #[test]
    fn nested_free_keys_make_their_tables() {
        let mut table = toml::Table::new();
        let one = Override::parse("env.kwargs.g=10", &Keys::new()).expect("valid");
        one.apply(&mut table).expect("applies");
        assert_eq!(table["env"]["kwargs"]["g"], Value::Integer(10));
    }

    #[test]
    fn malformed_arguments_are_refused_with_a_hint() {
        for (text, hint) in [
            ("learner.gamma", "KEY=VALUE"),
            ("learner.gama=1", "learner.gamma"),
            ("=1", "relax config schema"),
            ("learner=1", "learner.KEY"),
            ("agent.hidden=[1,", "Widths"),
            ("agent.kind=", "algorithm"),
            ("run.seed=1\nrun.x=2", "random numbers"),
        ] {
            let error = Override::parse(text, &Keys::new()).expect_err(text);
            assert!(
                error.hint().is_some_and(|found| found.contains(hint)),
                "{text}: {error} / {:?}",
                error.hint()
            );
            assert!(error.to_string().starts_with("--set "), "{error}");
        }
    }

    #[test]
    fn resuming_changes_only_what_leaves_the_experiment_the_same() {
        let check = |text: &str| check_resume_overrides(&[text.to_owned()]);
        assert!(check("run.env_steps=10").is_ok());
        assert!(check("rollout.workers=2").is_ok());
        for text in ["run.seed=2", "learner.gamma=0.9", "rollout.envs=9"] {
            assert!(check(text).expect_err(text).to_string().contains("cannot change"));
        }
    }
}
