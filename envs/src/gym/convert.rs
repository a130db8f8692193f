//! Spaces, arguments and errors between Rust and Python.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::{EnvError, Kwarg, Kwargs, Space};

/// A value of `[env.kwargs]` as a Python object.
fn value<'py>(py: Python<'py>, kwarg: &Kwarg) -> PyResult<Bound<'py, PyAny>> {
    Ok(match kwarg {
        Kwarg::Bool(value) => value.into_pyobject(py)?.to_owned().into_any(),
        Kwarg::Int(value) => value.into_pyobject(py)?.into_any(),
        Kwarg::Float(value) => value.into_pyobject(py)?.into_any(),
        Kwarg::String(value) => value.into_pyobject(py)?.into_any(),
        Kwarg::List(values) => {
            let values = values.iter().map(|one| value(py, one)).collect::<PyResult<Vec<_>>>()?;
            PyList::new(py, values)?.into_any()
        }
        Kwarg::Map(values) => dictionary(py, values)?.into_any(),
    })
}

/// Keyword arguments as a Python dictionary.
pub(super) fn dictionary<'py>(py: Python<'py>, kwargs: &Kwargs) -> PyResult<Bound<'py, PyDict>> {
    let dictionary = PyDict::new(py);
    for (key, kwarg) in kwargs {
        dictionary.set_item(key, value(py, kwarg)?)?;
    }
    Ok(dictionary)
}

/// Kind, bounds, shape, counts and start.
pub(super) type Described = (String, Vec<f32>, Vec<f32>, Vec<usize>, Vec<usize>, i64);

/// A space from the bridge's description of it.
pub(super) fn space(described: &Bound<'_, PyAny>) -> PyResult<Space> {
    let (kind, low, high, shape, counts, start): Described = described.extract()?;
    let count = || counts.first().copied().unwrap_or(0);
    Ok(match kind.as_str() {
        "box" => Space::Box { low, high, shape },
        "discrete" => Space::Discrete { n: count(), start },
        "multi-discrete" => Space::MultiDiscrete { nvec: counts },
        "multi-binary" => Space::MultiBinary { n: count() },
        other => return Err(PyValueError::new_err(format!("space of kind {other}"))),
    })
}

/// A space as the bridge describes it.
pub(super) fn described(space: &Space) -> Described {
    let empty = Vec::new;
    let (kind, low, high, shape, counts, start) = match space {
        Space::Box { low, high, shape } => ("box", low.clone(), high.clone(), shape.clone(), Vec::new(), 0),
        Space::Discrete { n, start } => ("discrete", empty(), empty(), Vec::new(), vec![*n], *start),
        Space::MultiDiscrete { nvec } => ("multi-discrete", empty(), empty(), Vec::new(), nvec.clone(), 0),
        Space::MultiBinary { n } => ("multi-binary", empty(), empty(), Vec::new(), vec![*n], 0),
    };
    (kind.to_owned(), low, high, shape, counts, start)
}

/// What the bridge's `Fault` knows.
pub(super) struct Fault {
    pub slot: Option<usize>,
    pub error: EnvError,
}

/// An exception: the bridge's own `Refusal` and `Fault` in their words, any other with its traceback.
pub(super) fn fault(py: Python<'_>, error: &PyErr) -> Fault {
    let object = error.value(py);
    let kind = object.get_type().name().map(|name| name.to_string()).unwrap_or_default();
    let bare = |error| Fault { slot: None, error };
    match kind.as_str() {
        "Refusal" => bare(EnvError::Python { message: object.to_string() }),
        "Fault" => {
            let attribute = |name: &str| object.getattr(name).ok();
            let text = attribute("text").map_or_else(|| object.to_string(), |text| text.to_string());
            let slot = attribute("slot").and_then(|slot| slot.extract().ok());
            let action = attribute("action").and_then(|action| action.extract().ok());
            Fault { slot, error: EnvError::PythonFault { action, message: text } }
        }
        _ => {
            let trace = error.traceback(py).and_then(|trace| trace.format().ok()).unwrap_or_default();
            bare(EnvError::PythonFault { action: None, message: format!("{trace}{error}") })
        }
    }
}
