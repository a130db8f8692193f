//! The configuration's JSON schema, made from the structs' own documentation, and what the reader asks of it.

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::Config;
use super::load::Document;

/// The JSON schema of a configuration: every key with its meaning, type and default.
///
/// Editors complete and check TOML files with it.
#[must_use]
pub fn json_schema() -> Value {
    schema_of::<Config>()
}

/// The JSON schema of one kind of configuration.
pub(crate) fn schema_of<D: Document>() -> Value {
    let mut schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<D>();
    schema.insert("title".to_owned(), D::TITLE.into());
    schema.to_value()
}

/// All keys of a configuration as dotted paths, with their part of the schema.
pub(super) struct Keys {
    entries: Vec<(String, Value)>,
    /// The command that lists them.
    pub(super) command: &'static str,
}

impl Keys {
    #[cfg(test)]
    /// The keys of [`Config`].
    pub(super) fn new() -> Self {
        Self::of::<Config>()
    }

    /// The keys of a kind of configuration.
    pub(super) fn of<D: Document>() -> Self {
        let root = schema_of::<D>();
        let mut entries = Vec::new();
        collect(&root, &root, "", &mut entries);
        Self { entries, command: D::SCHEMA_COMMAND }
    }

    /// The schema of the key `path`, if there is such a key.
    pub(super) fn get(&self, path: &str) -> Option<&Value> {
        self.entries.iter().find(|(key, _)| key == path).map(|(_, schema)| schema)
    }

    /// Whether `path` is a key, or lies inside one whose content is free, such as `env.kwargs`.
    pub(super) fn allows(&self, path: &str) -> bool {
        self.get(path).is_some() || self.free_prefix(path)
    }

    /// Whether the value of `path` is a section with fixed keys.
    pub(super) fn is_section(&self, path: &str) -> bool {
        let start = format!("{path}.");
        self.entries.iter().any(|(key, _)| key.starts_with(&start))
    }

    /// The first line of the key's documentation.
    pub(super) fn describe(&self, path: &str) -> Option<&str> {
        self.get(path)?.get("description")?.as_str()?.lines().next()
    }

    /// Whether the key wants a whole number.
    pub(super) fn is_integer(&self, path: &str) -> bool {
        self.get(path).is_some_and(|schema| match schema.get("type") {
            Some(Value::String(name)) => name == "integer",
            Some(Value::Array(names)) => names.iter().any(|name| name == "integer"),
            _ => false,
        })
    }

    /// The valid key nearest to `path`, if any is near enough to have been meant.
    ///
    /// The same last name in another section counts as near: `agent.gamma` was meant to be `learner.gamma`.
    pub(super) fn nearest(&self, path: &str) -> Option<&str> {
        let last = path.rsplit('.').next().unwrap_or(path);
        let score = |key: &str| {
            let key_last = key.rsplit('.').next().unwrap_or(key);
            strsim::jaro_winkler(path, key).max(0.98 * strsim::jaro_winkler(last, key_last))
        };
        self.entries
            .iter()
            .map(|(key, _)| (score(key), key.as_str()))
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .filter(|(score, _)| *score >= 0.8)
            .map(|(_, key)| key)
    }

    fn free_prefix(&self, path: &str) -> bool {
        path.match_indices('.').any(|(at, _)| {
            self.get(&path[..at]).is_some_and(|schema| {
                schema.get("additionalProperties").is_some_and(|inner| inner != &Value::Bool(false))
            })
        })
    }
}

/// Walks the schema's properties, following `$ref`, and notes each under its path.
fn collect(root: &Value, schema: &Value, path: &str, entries: &mut Vec<(String, Value)>) {
    let Some(properties) = resolve(root, schema).get("properties").and_then(Value::as_object) else { return };
    for (name, property) in properties {
        let key = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        entries.push((key.clone(), property.clone()));
        collect(root, property, &key, entries);
    }
}

/// The definition that `schema` refers to, or itself.
fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let reference = schema.get("$ref").and_then(Value::as_str);
    reference.and_then(|name| root.pointer(name.strip_prefix('#')?)).unwrap_or(schema)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_known_and_documented() {
        let keys = Keys::new();
        for key in ["env.id", "agent.kind", "rollout.workers", "learner.gamma", "run.seed", "env.kwargs"] {
            assert!(keys.get(key).is_some(), "{key}");
        }
        for (key, _) in &keys.entries {
            assert!(keys.describe(key).is_some_and(|text| text.len() > 5), "{key} is not documented");
        }
        assert!(keys.is_integer("run.env_steps") && keys.is_integer("env.max_episode_steps"));
        assert!(!keys.is_integer("learner.gamma"));
        assert!(keys.is_section("learner") && !keys.is_section("env.kwargs"));
    }

    #[test]
    fn the_nearest_key_is_the_one_that_was_meant() {
        let keys = Keys::new();
        assert_eq!(keys.nearest("learner.learning_rat"), Some("learner.learning_rate"));
        assert_eq!(keys.nearest("agent.gamma"), Some("learner.gamma"));
        assert_eq!(keys.nearest("lerner"), Some("learner"));
        assert_eq!(keys.nearest("rollout.worker"), Some("rollout.workers"));
        assert_eq!(keys.nearest("seed"), Some("run.seed"));
        assert_eq!(keys.nearest("zzzz.qqqq"), None);
    }

    #[test]
    fn what_an_environment_takes_is_left_to_it() {
        let keys = Keys::new();
        assert!(keys.allows("env.kwargs.gravity"));
        assert!(!keys.allows("env.gravity"));
        assert!(!keys.allows("learner.gamma.x"));
    }
}
