//! The native half of the Python package `relax_rl`.
//!
//! | file | holds |
//! | --- | --- |
//! | `envs.rs` | native environments, one or many, with arrays that are handed over without a copy |
//! | `training.rs` | training, resuming, and trained policies |

mod envs;
mod training;

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

/// The native half of `relax_rl`.
#[pymodule(name = "_relax_rl")]
mod module {
    #[pymodule_export]
    use super::envs::{NativeEnv, NativeEnvs, specs};
    #[pymodule_export]
    use super::training::{Policy, resume, train};
}
