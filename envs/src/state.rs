//! Reading back a saved state: every number is checked before it is believed.

use crate::EnvError;

/// Takes checked numbers from the front of a saved state. Use it in [`Env::load_state`](crate::Env::load_state): read
/// everything first, assign afterwards, so that a refused state leaves the environment as it was.
///
/// ```
/// use relax_envs::StateReader;
/// let numbers = [1.0, 0.25, 7.0];
/// let mut rest = &numbers[..];
/// let mut reader = StateReader::new("MyEnv", &mut rest);
/// assert!(reader.flag("running")?);
/// assert_eq!(reader.within("position", -1.0, 1.0)?, 0.25);
/// assert_eq!(reader.count("steps")?, 7);
/// assert!(reader.finite("more").is_err());
/// # Ok::<(), relax_envs::EnvError>(())
/// ```
pub struct StateReader<'r, 's> {
    env: &'r str,
    state: &'r mut &'s [f64],
}

impl<'r, 's> StateReader<'r, 's> {
    /// Reads from the front of `state`; errors will name `env`.
    pub fn new(env: &'r str, state: &'r mut &'s [f64]) -> Self {
        Self { env, state }
    }

    fn next(&mut self, name: &str) -> Result<f64, EnvError> {
        let (&first, rest) = self
            .state
            .split_first()
            .ok_or_else(|| EnvError::invalid_state(self.env, format!("it ends before `{name}`")))?;
        *self.state = rest;
        Ok(first)
    }

    /// The next number, which must be finite.
    ///
    /// # Errors
    ///
    /// [`EnvError::InvalidState`], here and in the other methods.
    pub fn finite(&mut self, name: &str) -> Result<f64, EnvError> {
        self.within(name, f64::MIN, f64::MAX)
    }

    /// The next number, which must lie in `[low, high]`.
    pub fn within(&mut self, name: &str, low: f64, high: f64) -> Result<f64, EnvError> {
        let value = self.next(name)?;
        if (low..=high).contains(&value) {
            Ok(value)
        } else {
            Err(EnvError::invalid_state(self.env, format!("`{name}` is {value}, outside [{low}, {high}]")))
        }
    }

    /// The next number, which must be an exact, finite `f32`.
    pub fn float32(&mut self, name: &str) -> Result<f32, EnvError> {
        let value = self.finite(name)?;
        if f64::from(value as f32) == value {
            Ok(value as f32)
        } else {
            Err(EnvError::invalid_state(self.env, format!("`{name}` is {value}, which is no float32")))
        }
    }

    /// The next number, which must be 0 or 1.
    pub fn flag(&mut self, name: &str) -> Result<bool, EnvError> {
        match self.next(name)? {
            0.0 => Ok(false),
            1.0 => Ok(true),
            value => Err(EnvError::invalid_state(self.env, format!("`{name}` is {value}, neither 0 nor 1"))),
        }
    }

    /// The next number, which must be a whole number of `u32`.
    pub fn count(&mut self, name: &str) -> Result<u32, EnvError> {
        let value = self.within(name, 0.0, f64::from(u32::MAX))?;
        if value.fract() == 0.0 {
            Ok(value as u32)
        } else {
            Err(EnvError::invalid_state(self.env, format!("`{name}` is {value}, not a whole number")))
        }
    }
}
