//! Refusals of values out of range, all in the same words.

use super::error::{ConfigError, Origin};

/// Refuses whole numbers outside `low..=high`.
///
/// # Errors
/// Names the key, what it is and what it must be.
pub fn within(key: &str, value: u64, low: u64, high: u64) -> Result<(), ConfigError> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    Err(refuse(key, &value.to_string(), &format!("a whole number from {low} to {high}")))
}

/// Refuses numbers that are infinite or NaN; `right` says what must be there.
///
/// # Errors
/// Names the key, what it is and what it must be.
pub fn finite(key: &str, value: f64, right: &str) -> Result<(), ConfigError> {
    if value.is_finite() { Ok(()) } else { Err(refuse(key, &format!("{value:?}"), right)) }
}

/// The error that `key`, found to be `found`, must be `right`.
#[must_use]
pub fn refuse(key: &str, found: &str, right: &str) -> ConfigError {
    let message = format!("`{key}` is {found}; it must be {right}");
    ConfigError::new(Origin::Program, Some(key), message)
}
