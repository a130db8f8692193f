//! The configuration's JSON schema, made from the structs' own documentation, and what the reader asks of it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::document::Document;

/// The JSON schema of one kind of configuration: every key with its meaning, type and default.
///
/// Editors complete and check TOML files with it.
#[must_use]
pub fn schema_of<D: Document>() -> Value {
    D::schema()
}

/// All keys of a configuration as dotted paths, with their part of the schema.
#[derive(Debug)]
pub struct Keys {
    entries: Vec<(String, Value)>,
    /// Where in `entries` each is.
    places: BTreeMap<String, usize>,
    /// Keys that have a meaning elsewhere, and what to say of them here.
    elsewhere: BTreeMap<String, String>,
    /// The command that lists them.
    pub command: &'static str,
}

impl Keys {
    /// The keys of a kind of configuration.
    #[must_use]
    pub fn of<D: Document>() -> Self {
        Self::new(&schema_of::<D>(), D::SCHEMA_COMMAND)
    }

    /// The keys of a schema that `command` prints.
    #[must_use]
    pub fn new(schema: &Value, command: &'static str) -> Self {
        let mut entries = Vec::new();
        collect(schema, schema, "", &mut entries);
        let places = entries.iter().enumerate().map(|(at, (key, _))| (key.clone(), at)).collect();
        Self { entries, places, elsewhere: BTreeMap::new(), command }
    }

    /// With keys that have a meaning elsewhere: each with what to say of it when it turns up here.
    #[must_use]
    pub fn with_elsewhere(mut self, keys: BTreeMap<String, String>) -> Self {
        self.elsewhere = keys;
        self
    }

    /// Whether the key has a meaning elsewhere.
    #[must_use]
    pub fn is_elsewhere(&self, key: &str) -> bool {
        self.elsewhere.contains_key(key)
    }

    /// Message and hint for a key that is not one of these.
    #[must_use]
    pub fn unknown(&self, key: &str) -> (String, Option<String>) {
        match self.elsewhere.get(key) {
            Some(message) => {
                (message.clone(), Some(format!("leave it out; `{}` lists all keys", self.command)))
            }
            None => (
                format!("unknown key `{key}`"),
                Some(match self.nearest(key) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("`{}` lists all keys", self.command),
                }),
            ),
        }
    }

    /// Every key in the order of the structs.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(key, _)| key.as_str())
    }

    /// The schema of the key `path`, if there is such a key.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Value> {
        self.places.get(path).map(|&at| &self.entries[at].1)
    }

    /// Whether `path` is a key, or lies inside one whose content is free, such as `env.kwargs`.
    #[must_use]
    pub fn allows(&self, path: &str) -> bool {
        self.get(path).is_some() || self.free_prefix(path)
    }

    /// Whether the value of `path` is a section with fixed keys.
    #[must_use]
    pub fn is_section(&self, path: &str) -> bool {
        let start = format!("{path}.");
        self.places.range(start.clone()..).next().is_some_and(|(key, _)| key.starts_with(&start))
    }

    /// The first paragraph of the key's documentation, as one line.
    #[must_use]
    pub fn describe(&self, path: &str) -> Option<String> {
        self.get(path)?.get("description")?.as_str().map(first_paragraph)
    }

    /// Whether the key wants a whole number.
    #[must_use]
    pub fn is_integer(&self, path: &str) -> bool {
        self.get(path).is_some_and(|schema| match schema.get("type") {
            Some(Value::String(name)) => name == "integer",
            Some(Value::Array(names)) => names.iter().any(|name| name == "integer"),
            _ => false,
        })
    }

    /// The valid key nearest to `path`, if any is near enough to have been meant.
    ///
    /// The same last name in another section counts as near: `agent.gamma` was meant to be `learner.gamma`. Whole paths are
    /// compared only where there is no such section, or everything in a section would look like everything else in it.
    #[must_use]
    pub fn nearest(&self, path: &str) -> Option<&str> {
        let (section, last) = parts(path);
        let known = section.is_empty() || self.is_section(section);
        let score = |key: &str| {
            let (of, name) = parts(key);
            let name = strsim::jaro_winkler(last, name);
            match (known, of == section) {
                (true, true) => name,
                (true, false) => 0.98 * name,
                (false, _) => strsim::jaro_winkler(path, key).max(0.98 * name),
            }
        };
        self.entries
            .iter()
            .map(|(key, _)| (score(key), key.as_str()))
            // Of several that are as near, the one that lies less deep.
            .max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.len().cmp(&a.1.len())))
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

/// The section of a key, empty if it has none, and its name there.
fn parts(path: &str) -> (&str, &str) {
    path.rsplit_once('.').unwrap_or(("", path))
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

/// What a documentation comment says up to its first empty line, as one line.
#[must_use]
pub fn first_paragraph(text: &str) -> String {
    let lines = text.lines().map(str::trim);
    lines.skip_while(|line| line.is_empty()).take_while(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}
