//! The provider of `gym:…`: Python's Gymnasium, or the sentence that says how to get it.

#[cfg(feature = "gym")]
use crate::VecEnv;
use crate::{EnvError, EnvSpec, Provider};

/// Gymnasium's environments under `gym:…`.
pub(crate) struct Gymnasium;

impl Provider for Gymnasium {
    fn prefix(&self) -> &str {
        "gym"
    }

    fn summary(&self) -> &str {
        "any environment of Python's Gymnasium, for instance gym:LunarLander-v3 (docs/gymnasium.md)"
    }

    fn is_python(&self) -> bool {
        true
    }

    #[cfg(feature = "gym")]
    fn spec(&self, id: &str) -> Result<EnvSpec, EnvError> {
        crate::gym::spec(id)
    }

    #[cfg(feature = "gym")]
    fn make_vec(
        &self,
        id: &str,
        slots: usize,
        options: &crate::MakeOptions,
    ) -> Result<Box<dyn VecEnv>, EnvError> {
        Ok(Box::new(crate::gym::GymVecEnv::make(id, slots, options)?))
    }

    #[cfg(not(feature = "gym"))]
    fn spec(&self, id: &str) -> Result<EnvSpec, EnvError> {
        Err(EnvError::PythonUnsupported { id: id.to_owned() })
    }
}
