//! An environment checker: does an environment keep the promises that agents and the runtime rely on?
//!
//! ```
//! use relax_envs::check::{CheckOptions, check_env};
//! let report = check_env("CartPole-v1", &Default::default(), &CheckOptions::default());
//! assert!(report.passed(), "{report}");
//! ```

mod checks;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::{Env, EnvError, MakeOptions};
use checks::CHECKS;

/// How thoroughly to check.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckOptions {
    /// Seed of the episodes and of the random actions.
    pub seed: u64,
    /// Steps of the random walk that most checks watch.
    pub steps: usize,
}

impl Default for CheckOptions {
    fn default() -> Self {
        Self { seed: 0, steps: 2000 }
    }
}

/// How one check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The environment keeps the promise.
    Passed,
    /// It does not.
    Failed,
    /// There was nothing to check, for instance no picture to look at.
    Skipped,
}

/// One named check with a plain message.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// Short name, for instance `same seed, same episode`.
    pub name: &'static str,
    /// How it went.
    pub outcome: Outcome,
    /// What was seen.
    pub message: String,
}

/// All checks of one environment.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Id or name of the environment.
    pub env: String,
    /// The checks in their order. When the environment cannot even be built or its spaces are invalid, the later ones are
    /// left out.
    pub checks: Vec<Check>,
}

impl Report {
    /// Whether no check failed.
    pub fn passed(&self) -> bool {
        self.failures().next().is_none()
    }

    /// The checks that failed.
    pub fn failures(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| check.outcome == Outcome::Failed)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.env)?;
        let width = self.checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
        for Check { name, outcome, message } in &self.checks {
            let outcome = match outcome {
                Outcome::Passed => "passed ",
                Outcome::Failed => "FAILED ",
                Outcome::Skipped => "skipped",
            };
            writeln!(f, "  {outcome}  {name:width$}  {message}")?;
        }
        let failures = self.failures().count();
        match failures {
            0 => write!(f, "all checks passed"),
            1 => write!(f, "1 check failed"),
            _ => write!(f, "{failures} checks failed"),
        }
    }
}

/// What a check returns: a message when it passes, or why it did not.
type Verdict = Result<String, Refusal>;

/// Why a check did not pass.
enum Refusal {
    Failed(String),
    Skipped(String),
}

impl From<EnvError> for Refusal {
    fn from(error: EnvError) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Builds fresh copies of the environment under check.
type Build<'a> = &'a dyn Fn() -> Result<Box<dyn Env>, EnvError>;

/// Checks a registered environment, with its time limit and the wrappers of `make`.
pub fn check_env(id: &str, make: &MakeOptions, options: &CheckOptions) -> Report {
    check_constructor(id, &|| crate::make_with(id, make), options)
}

/// Checks the environments that a constructor builds. It is called several times, since determinism shows only between
/// fresh copies.
///
/// A panic inside the environment is caught and reported as a failure of the check at hand.
pub fn check_constructor(
    name: &str,
    build: &dyn Fn() -> Result<Box<dyn Env>, EnvError>,
    options: &CheckOptions,
) -> Report {
    let mut report = Report { env: name.to_owned(), checks: Vec::new() };
    for &(name, fatal, check) in CHECKS {
        let verdict = catch_unwind(AssertUnwindSafe(|| check(build, options))).unwrap_or_else(|panic| {
            let text = panic
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| panic.downcast_ref::<String>().cloned())
                .unwrap_or_default();
            Err(Refusal::Failed(format!("panicked: {text}; return an EnvError instead")))
        });
        let (outcome, message) = match verdict {
            Ok(message) => (Outcome::Passed, message),
            Err(Refusal::Failed(message)) => (Outcome::Failed, message),
            Err(Refusal::Skipped(message)) => (Outcome::Skipped, message),
        };
        report.checks.push(Check { name, outcome, message });
        if fatal && outcome == Outcome::Failed {
            break;
        }
    }
    report
}
