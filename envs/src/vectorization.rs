//! `Vectorization`: how the slots of a Python environment are stepped.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the slots of a `gym:…` environment are stepped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Vectorization {
    /// The environment's own vector entry point if it has one; else subprocesses if a step costs enough and there are
    /// cores for them; else one after another.
    #[default]
    Auto,
    /// One after another, in this process.
    Sync,
    /// Each in a subprocess.
    Async,
    /// All at once, by the environment's own vector entry point.
    Vector,
}

impl Vectorization {
    /// The name in configurations.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Sync => "sync",
            Self::Async => "async",
            Self::Vector => "vector",
        }
    }
}
