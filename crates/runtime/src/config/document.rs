//! [`Document`]: what the machinery of configurations asks of one kind of them.

use std::sync::Arc;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::ConfigError;
use super::schema::Keys;

/// A kind of configuration: what reading, overriding and checking it need to know of it.
pub trait Document: Serialize + DeserializeOwned + JsonSchema {
    /// Title of its JSON schema.
    const TITLE: &'static str;
    /// The command that prints its JSON schema.
    const SCHEMA_COMMAND: &'static str;

    /// Checks every value's range.
    ///
    /// # Errors
    /// Names the first value out of range, and the range.
    fn check(&self) -> Result<(), ConfigError>;

    /// What to write for the mandatory key or section `key`.
    fn example(key: &str) -> Option<&'static str>;

    /// Its JSON schema: every key that some text may hold.
    #[must_use]
    fn schema() -> Value {
        let mut schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Self>();
        schema.insert("title".to_owned(), Self::TITLE.into());
        schema.to_value()
    }

    /// Every key that some text may hold. Each reading asks for them, and making them takes a hundred times as long as reading a
    /// text: a kind of configuration that is read often keeps them.
    #[must_use]
    fn keys() -> Arc<Keys> {
        Arc::new(Keys::of::<Self>())
    }

    /// What this text in particular may hold, where one of its keys decides on others. `overrides` are the arguments
    /// `KEY=VALUE`.
    ///
    /// # Errors
    /// If the key that decides has a value that there is not; the error names the key.
    fn shape(table: &toml::Table, overrides: &[String], reading: Reading) -> Result<Shape, ConfigError> {
        let _ = (table, overrides, reading);
        Ok(Shape::new(Self::keys()))
    }

    /// Fills in what only the whole text decides, and checks every value's range.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    fn complete(self) -> Result<Self, ConfigError> {
        self.check()?;
        Ok(self)
    }
}

/// What a text is read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// As somebody wrote it: what has no meaning in it is a mistake.
    Written,
    /// As a program recorded it, perhaps an earlier version: what has no meaning any more is left out.
    Recorded,
}

/// What one text in particular may hold.
#[derive(Debug)]
pub struct Shape {
    /// Its keys.
    pub keys: Arc<Keys>,
    /// Keys that are left out if the text has them.
    pub dropped: Vec<String>,
    /// Values of keys that the text leaves out, where they are not the struct's own defaults.
    pub defaults: toml::Table,
    /// What to tell the user about the text.
    pub notes: Vec<String>,
}

impl Shape {
    /// These keys and nothing else.
    #[must_use]
    pub fn new(keys: Arc<Keys>) -> Self {
        Self { keys, dropped: Vec::new(), defaults: toml::Table::new(), notes: Vec::new() }
    }
}
