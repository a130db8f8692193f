//! The estimators on NumPy's arrays. Here everything is flat and of the right type; shapes, types and what can be wrong with them are
//! Python's business (`relax_rl/estimators/`).
//!
//! | file | holds |
//! | --- | --- |
//! | `samples.rs` | gradients from samples and their values |
//! | `function.rs` | gradients of a function that is called, and what is learned for the next |
//! | `certificate.rs` | exact gradients by enumeration, and certificates |

mod certificate;
mod function;
mod samples;

use numpy::{PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use relax_rl::estimators::{EstimatorError, TABLE};

pub use certificate::{certify, exact_gradient};
pub use function::FunctionEstimator;
pub use samples::{
    NumberBaseline, Signal, antithetic_gradient, draw, leave_one_out_baseline, score_function_gradient,
};

fn refuse(error: impl std::fmt::Display) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// Why an estimate was not made: a setting, or an exception in one of Python's functions.
enum Failure {
    Estimator(EstimatorError),
    Python(PyErr),
}

impl From<EstimatorError> for Failure {
    fn from(error: EstimatorError) -> Self {
        Self::Estimator(error)
    }
}

impl From<PyErr> for Failure {
    fn from(error: PyErr) -> Self {
        Self::Python(error)
    }
}

impl From<Failure> for PyErr {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Estimator(error) => refuse(error),
            Failure::Python(error) => error,
        }
    }
}

/// Rows as an array that Python may keep.
fn rows<'py>(py: Python<'py>, x: &[f64], width: usize) -> PyResult<Bound<'py, PyArray2<f64>>> {
    PyArray1::from_slice(py, x).reshape([x.len() / width, width])
}

/// What a function returned, into `out`.
fn fill(out: &mut [f64], returned: &Bound<'_, PyAny>) -> PyResult<()> {
    let array = returned.extract::<PyReadonlyArray1<f64>>()?;
    let of = array.as_slice()?;
    if of.len() != out.len() {
        return Err(PyValueError::new_err(format!("{} numbers where {} belong", of.len(), out.len())));
    }
    out.copy_from_slice(of);
    Ok(())
}

/// A line of the table of estimators.
type Line<'py> = (&'py str, &'py str, bool, Bound<'py, PyDict>, &'py str);

/// Name, label, whether it is unbiased, what it needs, and what it is: every line of the table.
#[pyfunction]
pub fn estimator_table(py: Python<'_>) -> PyResult<Vec<Line<'_>>> {
    let line = |entry: &'static relax_rl::estimators::Entry| {
        let needs = PyDict::new(py);
        needs.set_item("samples", entry.needs.samples)?;
        needs.set_item("gradient", entry.needs.gradient)?;
        needs.set_item("relaxation", entry.needs.relaxation)?;
        needs.set_item("control_variate", entry.needs.control_variate)?;
        needs.set_item("baseline", entry.needs.baseline)?;
        needs.set_item("surrogate", entry.needs.surrogate)?;
        Ok((entry.name, entry.label, entry.unbiased, needs, entry.summary))
    };
    TABLE.iter().map(line).collect()
}
