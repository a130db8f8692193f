//! The native half of the Python package `relax_rl`.
//!
//! | file | holds |
//! | --- | --- |
//! | `cluster.rs` | one run on many machines |
//! | `envs.rs` | native environments, one at a time |
//! | `estimators/` | gradient estimators on arrays, and certificates of them |
//! | `vector.rs` | many of them, with arrays that are handed over without a copy |
//! | `minimize.rs` | minimising what can only be called |
//! | `studies.rs` | comparisons and sweeps whose runs are made elsewhere |
//! | `training.rs` | training, resuming, and trained policies |

mod cluster;
mod envs;
mod estimators;
mod minimize;
mod studies;
mod training;
mod vector;

use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;

/// An error of the library as a Python exception: `ValueError` for bad input, `RuntimeError` for a failure.
fn raise(error: &relax_rl::Error) -> PyErr {
    let text = match error.hint() {
        Some(hint) => format!("{error}\nhint: {hint}"),
        None => error.to_string(),
    };
    if error.exit_code() == 2 { PyValueError::new_err(text) } else { PyRuntimeError::new_err(text) }
}

/// Runs `work`. A panic in it is a mistake of ours: it reaches Python as a `RuntimeError`, which `except Exception`
/// catches, not as pyo3's `PanicException`, which it does not.
fn guarded<T>(work: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = relax_envs::EnvError::panicked(&*panic);
        Err(PyRuntimeError::new_err(format!("a mistake in relax_rl, please report it: {text}")))
    })
}

/// The native half of `relax_rl`.
#[pymodule(name = "_relax_rl")]
mod module {
    #[pymodule_export]
    use super::cluster::{Learner, Worker, resume_with, rollout, train_with};
    #[pymodule_export]
    use super::envs::{NativeEnv, specs};
    #[pymodule_export]
    use super::estimators::{
        FunctionEstimator, NumberBaseline, Signal, antithetic_gradient, certify, draw, estimator_table,
        exact_gradient, leave_one_out_baseline, score_function_gradient,
    };
    #[pymodule_export]
    use super::minimize::Minimizer;
    #[pymodule_export]
    use super::studies::{compare, sweep_settings};
    #[pymodule_export]
    use super::training::{Policy, export, resume, state_hash, train};
    #[pymodule_export]
    use super::vector::NativeEnvs;
}
