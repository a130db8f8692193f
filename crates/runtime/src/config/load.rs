//! Reading and writing configurations as TOML.

use std::collections::BTreeMap;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::document::{Document, Reading, Shape};
use super::error::{ConfigError, Origin};
use super::overrides::Override;
use super::schema::Keys;

/// A configuration file longer than this is not one.
const MAX_BYTES: u64 = 1 << 20;

/// Reads the TOML file `path`, applies `overrides` (each `KEY=VALUE`, the later ones winning) and checks the result.
///
/// # Errors
/// Names the file and line (or the override), the key and what would be right.
pub fn load<D: Document>(path: &Path, overrides: &[String]) -> Result<D, ConfigError> {
    from_toml(&read_text(path)?, &path.display().to_string(), overrides)
}

/// The text of the configuration file `path`, or why it can be none.
///
/// # Errors
/// If it cannot be read, or is too long, a folder, or no text.
pub fn read_text(path: &Path) -> Result<String, ConfigError> {
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
///
/// # Errors
/// As [`load`].
pub fn from_toml<D: Document>(text: &str, name: &str, overrides: &[String]) -> Result<D, ConfigError> {
    read(text, name, overrides, Reading::Written).map(|(config, _)| config)
}

/// As [`from_toml`], read as `reading` says; with notes for the user.
///
/// # Errors
/// As [`load`].
pub fn read<D: Document>(
    text: &str,
    name: &str,
    overrides: &[String],
    reading: Reading,
) -> Result<(D, Vec<String>), ConfigError> {
    let source = Source { text, name };
    let spanned = DeTable::parse(text).map_err(|error| source.syntax_error(&error))?;
    let mut table: toml::Table = text.parse().map_err(|error| source.syntax_error(&error))?;
    let mut lines = BTreeMap::new();
    source.note_lines(spanned.get_ref(), "", &mut lines);
    let Shape { keys, dropped, defaults, notes } = D::shape(&table, overrides, reading).map_err(|error| {
        // Overrides can only be parsed with the keys that are not known here.
        let of_key =
            |text: &&String| text.split_once('=').is_some_and(|(key, _)| Some(key.trim()) == error.key());
        let origin = match overrides.iter().rev().find(of_key) {
            Some(text) => Origin::Override(text.clone()),
            None => source.origin_of(error.key(), &[], &lines),
        };
        error.with_origin(origin)
    })?;
    for key in &dropped {
        remove(&mut table, key);
    }
    source.check_keys(spanned.get_ref(), "", &keys, &dropped, &lines)?;
    let overrides =
        overrides.iter().map(|text| Override::parse(text, &keys)).collect::<Result<Vec<_>, _>>()?;
    for one in &overrides {
        one.apply(&mut table)?;
    }
    fill(&mut table, defaults);

    let origin = |key: Option<&str>| source.origin_of(key, &overrides, &lines);
    let config = D::deserialize(toml::Value::Table(table)).map_err(|error| {
        let (key, message, hint) = explain::<D>(&error, "", &keys);
        ConfigError::new(origin(key.as_deref()), key.as_deref(), message).with_hint(hint)
    })?;
    let config = config.complete().map_err(|error| {
        let origin = origin(error.key());
        error.with_origin(origin)
    })?;
    Ok((config, notes))
}

/// Removes the dotted key.
fn remove(table: &mut toml::Table, key: &str) {
    match key.split_once('.') {
        None => {
            table.remove(key);
        }
        Some((outer, inner)) => {
            if let Some(toml::Value::Table(table)) = table.get_mut(outer) {
                remove(table, inner);
            }
        }
    }
}

/// Puts in what is not there.
fn fill(table: &mut toml::Table, defaults: toml::Table) {
    for (key, default) in defaults {
        match (table.get_mut(&key), default) {
            (None, default) => {
                table.insert(key, default);
            }
            (Some(toml::Value::Table(table)), toml::Value::Table(default)) => fill(table, default),
            (Some(_), _) => {}
        }
    }
}

/// The complete configuration, defaults included, as TOML that reads back to an equal value.
#[must_use]
pub fn to_toml<D: Document>(config: &D) -> String {
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

    /// Notes the line of every key of `table`.
    fn note_lines(&self, table: &DeTable<'_>, path: &str, lines: &mut BTreeMap<String, usize>) {
        for (name, value) in table.iter() {
            let line = self.line(name.span().start);
            let name = name.get_ref();
            let key = if path.is_empty() { name.to_string() } else { format!("{path}.{name}") };
            if let DeValue::Table(inner) = value.get_ref() {
                self.note_lines(inner, &key, lines);
            }
            lines.insert(key, line);
        }
    }

    /// Checks every key of `table` but the `dropped` ones.
    fn check_keys(
        &self,
        table: &DeTable<'_>,
        path: &str,
        keys: &Keys,
        dropped: &[String],
        lines: &BTreeMap<String, usize>,
    ) -> Result<(), ConfigError> {
        for (name, value) in table.iter() {
            let name = name.get_ref();
            let key = if path.is_empty() { name.to_string() } else { format!("{path}.{name}") };
            if dropped.contains(&key) {
                continue;
            }
            if !keys.allows(&key) {
                let (message, hint) = keys.unknown(&key);
                let origin = self.at(lines.get(&key).copied());
                return Err(ConfigError::new(origin, Some(&key), message).with_hint(hint));
            }
            if let DeValue::Table(inner) = value.get_ref()
                && keys.is_section(&key)
            {
                self.check_keys(inner, &key, keys, dropped, lines)?;
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

/// The error for a value of the wrong type in the section `section`, which was read by itself.
#[must_use]
pub fn misread<D: Document>(error: &toml::de::Error, section: &str, keys: &Keys) -> ConfigError {
    let (key, message, hint) = explain::<D>(error, section, keys);
    ConfigError::new(Origin::Program, key.as_deref(), message).with_hint(hint)
}

/// Key, message and hint for a value of the wrong type or a missing key.
fn explain<D: Document>(
    error: &toml::de::Error,
    section: &str,
    keys: &Keys,
) -> (Option<String>, String, Option<String>) {
    // The key is known to the error but shown only in its text, as "…\nin `learner.gamma`".
    let text = error.to_string();
    let found = text.rsplit_once("\nin `").and_then(|(_, rest)| rest.trim_end().strip_suffix('`'));
    let found = match (found, section) {
        (Some(key), "") => Some(key.to_owned()),
        (Some(key), section) => Some(format!("{section}.{key}")),
        (None, "") => None,
        (None, section) => Some(section.to_owned()),
    };
    let found = found.as_deref();
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
    let wanted = in_plain_words(&plain);
    (
        Some(key.to_owned()),
        format!("`{key}`: {wanted}"),
        keys.describe(key).map(|text| format!("{key}: {text}")),
    )
}

/// What serde says of a wrong value, without the names of Rust's types.
fn in_plain_words(text: &str) -> String {
    if text.starts_with("data did not match any variant") {
        return "has a value of the wrong kind".to_owned();
    }
    if text.ends_with("unit variant, expected string only") {
        return "invalid type, expected a string".to_owned();
    }
    for structure in ["expected struct ", "expected internally tagged enum "] {
        if let Some((before, _)) = text.split_once(structure) {
            return in_plain_words(&format!("{before}expected a map"));
        }
    }
    let words = [
        ("expected f64", "expected a number"),
        ("expected usize", "expected a whole number, 0 or more"),
        ("expected u64", "expected a whole number, 0 or more"),
        ("expected u32", "expected a whole number, 0 or more"),
        ("expected a boolean", "expected true or false"),
        ("expected a map", "expected a table"),
        ("expected a sequence", "expected a list"),
        ("type: map", "type: table"),
        ("type: sequence", "type: list"),
    ];
    words.iter().fold(text.to_owned(), |text, (rust, plain)| text.replace(rust, plain))
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
