//! [`Document`]: what the machinery of configurations asks of one kind of them.

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::ConfigError;

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
}
