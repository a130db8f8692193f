//! Reading and writing configurations as TOML.

use std::collections::BTreeMap;
use std::path::Path;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue};

use super::Config;
use super::error::{ConfigError, Origin};
use super::overrides::{Override, unknown_key_hint};
use super::schema::Keys;

/// A configuration file longer than this is not one.
const MAX_BYTES: u64 = 1 << 20;

/// A kind of configuration: what reading, overriding and checking it need to know of it.
pub(crate) trait Document: Serialize + DeserializeOwned + JsonSchema {
    /// Title of its JSON schema.
    const TITLE: &'static str;
    /// The command that prints its JSON schema.
    const SCHEMA_COMMAND: &'static str;

    /// Checks every value's range.
    fn check(&self) -> Result<(), ConfigError>;

    /// What to write for the mandatory key or section `key`.
    fn example(key: &str) -> Option<&'static str>;
}

impl Document for Config {
    const TITLE: &'static str = "Configuration of a relax run";
    const SCHEMA_COMMAND: &'static str = "relax config schema";

    fn check(&self) -> Result<(), ConfigError> {
        self.validate()
    }

    fn example(key: &str) -> Option<&'static str> {
        match key {
            "env" | "env.id" => Some("[env]\n        id = \"CartPole-v1\""),
            "agent" | "agent.kind" => Some("[agent]\n        kind = \"relax-a2c\""),
            _ => None,
        }
    }
}

impl Config {
    /// Reads the TOML file `path`, applies `overrides` (each `KEY=VALUE`, the later ones winning) and checks the result.
    ///
    /// # Errors
    /// Names the file and line (or the override), the key and what would be right.
    pub fn load(path: &Path, overrides: &[String]) -> Result<Self, ConfigError> {
        load(path, overrides)
    }

    /// Reads a configuration from TOML text; `name` stands for the file in messages.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn from_toml(text: &str, name: &str, overrides: &[String]) -> Result<Self, ConfigError> {
        from_toml(text, name, overrides)
    }

    /// The configuration with `overrides` applied and checked.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn with_overrides(&self, overrides: &[String]) -> Result<Self, ConfigError> {
        Self::from_toml(&self.to_toml(), "configuration", overrides)
    }

    /// The complete configuration, defaults included, as TOML that reads back to an equal value.
    #[must_use]
    pub fn to_toml(&self) -> String {
        to_toml(self)
    }
}

/// Reads the TOML file `path`, applies `overrides` (each `KEY=VALUE`, the later ones winning) and checks the result.
pub(crate) fn load<D: Document>(path: &Path, overrides: &[String]) -> Result<D, ConfigError> {
    from_toml(&read_text(path)?, &path.display().to_string(), overrides)
}

/// The text of the configuration file `path`, or why it can be none.
pub(crate) fn read_text(path: &Path) -> Result<String, ConfigError> {
    let name = path.display().to_string();
    let refuse =
        |message: String| ConfigError::new(Origin::File { name: name.clone(), line: None }, None, message);
    let metadata = std::fs::metadata(path).map_err(|error| {
        refuse(format!("cannot read the configuration: {error}")).with_hint(missing_file_hint(path))
    })?;
    if metadata.is_dir() {
        let hint = path.join("config.toml").is_file().then(|| {
            format!("`relax resume {name}` continues that run; its configuration is {name}/config.toml")
        });
        return Err(refuse("is a folder, not a configuration file".into()).with_hint(hint));
    }
    if metadata.len() > MAX_BYTES {
        return Err(refuse(format!(
            "is {} bytes long; a configuration is a short TOML file",
            metadata.len()
        )));
    }
    let bytes =
        std::fs::read(path).map_err(|error| refuse(format!("cannot read the configuration: {error}")))?;
    String::from_utf8(bytes).map_err(|_| refuse("is not a text file (UTF-8)".into()))
}

/// Reads a configuration from TOML text; `name` stands for the file in messages.
pub(crate) fn from_toml<D: Document>(text: &str, name: &str, overrides: &[String]) -> Result<D, ConfigError> {
    let source = Source { text, name };
    let spanned = DeTable::parse(text).map_err(|error| source.syntax_error(&error))?;
    let keys = Keys::of::<D>();
    let mut lines = BTreeMap::new();
    source.check_keys(spanned.get_ref(), "", &keys, &mut lines)?;

    let mut table: toml::Table = text.parse().map_err(|error| source.syntax_error(&error))?;
    let overrides =
        overrides.iter().map(|text| Override::parse(text, &keys)).collect::<Result<Vec<_>, _>>()?;
    for one in &overrides {
        one.apply(&mut table)?;
    }

    let origin = |key: Option<&str>| source.origin_of(key, &overrides, &lines);
    let config = D::deserialize(toml::Value::Table(table)).map_err(|error| {
        let (key, message, hint) = explain::<D>(&error, &keys);
        ConfigError::new(origin(key.as_deref()), key.as_deref(), message).with_hint(hint)
    })?;
    config.check().map_err(|error| {
        let origin = origin(error.key());
        error.with_origin(origin)
    })?;
    Ok(config)
}

/// The complete configuration, defaults included, as TOML that reads back to an equal value.
pub(crate) fn to_toml<D: Document>(config: &D) -> String {
    // Every field has a TOML form and `check` bounds the integers, so this cannot fail for a checked value; an
    // unchecked one (a seed beyond TOML's integers) yields text that says so instead of a panic.
    toml::to_string(config).unwrap_or_else(|error| format!("# not representable as TOML: {error}\n"))
}

struct Source<'a> {
    text: &'a str,
    name: &'a str,
}

impl Source<'_> {
    fn line(&self, offset: usize) -> usize {
        let end = offset.min(self.text.len());
        1 + self.text.as_bytes()[..end].iter().filter(|&&byte| byte == b'\n').count()
    }

    fn at(&self, line: Option<usize>) -> Origin {
        Origin::File { name: self.name.to_owned(), line }
    }

    fn syntax_error(&self, error: &toml::de::Error) -> ConfigError {
        let line = error.span().map(|span| self.line(span.start));
        let message = format!("not valid TOML: {}", error.message().replace('\n', " "));
        let quote = line.and_then(|line| self.text.lines().nth(line - 1)).map(str::trim);
        let hint = quote.filter(|text| !text.is_empty()).map(|text| format!("the line reads: {text}"));
        ConfigError::new(self.at(line), None, message).with_hint(hint)
    }

    /// Checks every key of `table` and notes its line.
    fn check_keys(
        &self,
        table: &DeTable<'_>,
        path: &str,
        keys: &Keys,
        lines: &mut BTreeMap<String, usize>,
    ) -> Result<(), ConfigError> {
        for (name, value) in table.iter() {
            let line = self.line(name.span().start);
            let name = name.get_ref();
            let key = if path.is_empty() { name.to_string() } else { format!("{path}.{name}") };
            if !keys.allows(&key) {
                return Err(ConfigError::new(
                    self.at(Some(line)),
                    Some(&key),
                    format!("unknown key `{key}`"),
                )
                .with_hint(unknown_key_hint(keys, &key)));
            }
            lines.insert(key.clone(), line);
            if let DeValue::Table(inner) = value.get_ref()
                && keys.is_section(&key)
            {
                self.check_keys(inner, &key, keys, lines)?;
            }
        }
        Ok(())
    }

    /// The last override of `key`, or else the line where it (or the section that lacks it) stands.
    fn origin_of(
        &self,
        key: Option<&str>,
        overrides: &[Override],
        lines: &BTreeMap<String, usize>,
    ) -> Origin {
        let Some(mut path) = key else { return self.at(None) };
        loop {
            if let Some(one) = overrides.iter().rev().find(|one| one.key == path) {
                return Origin::Override(one.text.clone());
            }
            if let Some(&line) = lines.get(path) {
                return self.at(Some(line));
            }
            match path.rsplit_once('.') {
                Some((outer, _)) => path = outer,
                None => return self.at(None),
            }
        }
    }
}

/// Key, message and hint for a value of the wrong type or a missing key.
fn explain<D: Document>(error: &toml::de::Error, keys: &Keys) -> (Option<String>, String, Option<String>) {
    // The key is known to the error but shown only in its text, as "…\nin `learner.gamma`".
    let text = error.to_string();
    let found = text.rsplit_once("\nin `").and_then(|(_, rest)| rest.trim_end().strip_suffix('`'));
    let plain = error.message().replace('\n', " ");
    if let Some(field) = plain.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) {
        let key = found.map_or_else(|| field.to_owned(), |section| format!("{section}.{field}"));
        let message = format!("`{key}` is missing");
        let hint = match D::example(&key) {
            Some(example) => Some(format!("add\n        {example}")),
            None => keys.describe(&key).map(|text| format!("{key}: {text}")),
        };
        return (Some(key), message, hint);
    }
    let Some(key) = found else { return (None, plain, None) };
    let wanted = if plain.starts_with("data did not match any variant") {
        "has a value of the wrong kind".to_owned()
    } else {
        plain
            .replace("expected f64", "expected a number")
            .replace("expected usize", "expected a whole number")
            .replace("expected u64", "expected a whole number")
            .replace("expected u32", "expected a whole number")
    };
    (
        Some(key.to_owned()),
        format!("`{key}`: {wanted}"),
        keys.describe(key).map(|text| format!("{key}: {text}")),
    )
}

/// For a configuration that does not exist: the file of its folder with the nearest name.
fn missing_file_hint(path: &Path) -> Option<String> {
    let wanted = path.file_name()?.to_string_lossy().into_owned();
    let folder = path.parent()?;
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let near = std::fs::read_dir(folder)
        .ok()?
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            name.ends_with(".toml").then(|| (strsim::jaro_winkler(&wanted, &name), entry.path()))
        })
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(score, _)| *score > 0.85)?;
    Some(format!("did you mean {}?", near.1.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use relax_agents::config::{AgentKind, Gain};

    const SMALL: &str = "[env]\nid = \"CartPole-v1\"\n\n[agent]\nkind = \"relax-a2c\"\n";

    fn refuse(text: &str, overrides: &[&str]) -> (String, String) {
        let overrides: Vec<String> = overrides.iter().map(|&one| one.to_owned()).collect();
        let error = Config::from_toml(text, "x.toml", &overrides).expect_err(text);
        (error.to_string(), error.hint().unwrap_or_default().to_owned())
    }

    #[test]
    fn defaults_fill_what_is_left_out() {
        let config = Config::from_toml(SMALL, "x.toml", &[]).expect("valid");
        assert_eq!(config, Config::new("CartPole-v1", AgentKind::RelaxA2c));
        assert_eq!((config.rollout.envs, config.rollout.steps), (8, 32));
    }

    #[test]
    fn the_resolved_configuration_reads_back_equal() {
        let mut config = Config::new("Acrobot-v1", AgentKind::A2c);
        assert_eq!(Config::from_toml(&config.to_toml(), "again", &[]), Ok(config.clone()));
        config.agent.gain = Gain::Fixed(0.1 + 0.2);
        config.agent.hidden = vec![7];
        config.learner.learning_rate = 1.0 / 3.0;
        config.run.seed = i64::MAX as u64;
        config.env.max_episode_steps = Some(17);
        config.env.kwargs.insert("gravity".into(), relax_envs::Kwarg::Float(9.0));
        config.env.wrappers.push(relax_envs::WrapperConfig::FrameStack { size: 4 });
        assert_eq!(Config::from_toml(&config.to_toml(), "again", &[]), Ok(config));
    }

    #[test]
    fn overrides_win_over_the_file_and_later_ones_over_earlier_ones() {
        let sets =
            ["learner.gamma=0.5".to_owned(), "learner.gamma=0.25".to_owned(), "agent.gain=1.0".to_owned()];
        let config = Config::from_toml(SMALL, "x.toml", &sets).expect("valid");
        assert_eq!(config.learner.gamma, 0.25);
        assert_eq!(config.agent.gain, Gain::Fixed(1.0));
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line_and_the_nearest_valid_one() {
        let (message, hint) = refuse(&format!("{SMALL}\n[learner]\nlearning_rat = 1e-3\n"), &[]);
        assert_eq!(message, "x.toml:8: unknown key `learner.learning_rat`");
        assert_eq!(hint, "did you mean `learner.learning_rate`?");
        let (message, hint) = refuse(&format!("{SMALL}gamma = 0.9\n"), &[]);
        assert_eq!(message, "x.toml:6: unknown key `agent.gamma`");
        assert_eq!(hint, "did you mean `learner.gamma`?");
        let (message, _) = refuse(SMALL, &["learnr.gamma=0.9"]);
        assert_eq!(message, "--set learnr.gamma=0.9: unknown key `learnr.gamma`");
    }

    #[test]
    fn wrong_types_name_line_key_and_what_is_right() {
        let (message, hint) = refuse(&format!("{SMALL}[learner]\ngamma = \"x\"\n"), &[]);
        assert_eq!(message, "x.toml:7: `learner.gamma`: invalid type: string \"x\", expected a number");
        assert!(hint.contains("Discount factor"), "{hint}");
        let (message, hint) = refuse(SMALL, &["agent.kind=a2d"]);
        assert!(message.contains("agent.kind") && message.contains("`relax-a2c`"), "{message}");
        assert!(hint.contains("algorithm"), "{hint}");
        let (message, hint) = refuse(SMALL, &["agent.gain=big"]);
        assert!(message.contains("`agent.gain`"), "{message}");
        assert!(hint.contains("adaptive"), "{hint}");
        let (message, _) = refuse(SMALL, &["run.env_steps=-5"]);
        assert!(message.contains("a whole number"), "{message}");
        let (message, _) = refuse("learner = 3\n[env]\nid='x'\n[agent]\nkind='a2c'", &[]);
        assert!(message.starts_with("x.toml:1: `learner`"), "{message}");
    }

    #[test]
    fn arguments_and_wrappers_of_the_environment_are_read_and_checked() {
        let sets = ["env.kwargs.g=9.81", "env.wrappers=[{ name = \"FrameStack\", size = 2 }]"];
        let config = Config::from_toml(SMALL, "x.toml", &sets.map(str::to_owned)).expect("valid");
        assert_eq!(config.env.kwargs["g"], relax_envs::Kwarg::Float(9.81));
        assert_eq!(config.env.wrappers, [relax_envs::WrapperConfig::FrameStack { size: 2 }]);
        let (message, _) = refuse(SMALL, &["env.wrappers=[{ name = \"FrameStak\" }]"]);
        assert!(message.starts_with("--set env.wrappers=") && message.contains("`FrameStack`"), "{message}");
    }

    #[test]
    fn missing_keys_are_asked_for_with_an_example() {
        let (message, hint) = refuse("", &[]);
        assert!(message.contains("`env` is missing"), "{message}");
        assert!(hint.contains("id = "), "{hint}");
        let (message, hint) = refuse("[env]\nid='x'\n[agent]\nhidden=[3]\n", &[]);
        assert!(message.starts_with("x.toml:3: `agent.kind` is missing"), "{message}");
        assert!(hint.contains("relax-a2c"), "{hint}");
    }

    #[test]
    fn broken_toml_names_its_line() {
        let (message, hint) = refuse("[env]\nid = \n", &[]);
        assert!(message.starts_with("x.toml:2: not valid TOML"), "{message}");
        assert!(hint.contains("id ="), "{hint}");
    }

    #[test]
    fn files_that_are_no_configuration_are_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let message = |path: &Path| Config::load(path, &[]).expect_err("refused").to_string();
        assert!(message(folder.path()).contains("is a folder"));
        let binary = folder.path().join("cartpole-relax.toml");
        std::fs::write(&binary, [0xff, 0xfe, 0x00]).expect("write");
        assert!(message(&binary).contains("not a text file"));
        let error = Config::load(&folder.path().join("cartpole-relx.toml"), &[]).expect_err("missing");
        assert!(error.hint().is_some_and(|hint| hint.contains("cartpole-relax.toml")), "{:?}", error.hint());
    }
}
