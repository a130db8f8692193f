//! Minimising what can only be called: asks for points, is told their values. The calls themselves are Python's.

use std::sync::{Arc, Mutex, PoisonError};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use relax_minimize::{MinimizeError, Options, Space};

fn raise(error: &MinimizeError) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// A minimisation whose function somebody else calls.
#[pyclass(module = "relax_rl._relax_rl")]
pub struct Minimizer {
    inner: relax_minimize::Minimizer,
    /// What a constraint raised.
    raised: Arc<Mutex<Option<PyErr>>>,
}

impl Minimizer {
    /// The constraint's own exception, if it raised one.
    fn outcome<T>(&self, outcome: Result<T, MinimizeError>) -> PyResult<T> {
        let raised = self.raised.lock().unwrap_or_else(PoisonError::into_inner).take();
        match (outcome, raised) {
            (_, Some(raised)) => Err(raised),
            (Err(error), None) => Err(raise(&error)),
            (Ok(value), None) => Ok(value),
        }
    }
}

#[pymethods]
impl Minimizer {
    /// `variables`: name and number of choices of each; `options`: JSON; `constraint`: called with the choices of the variables before
    /// one, returns the allowed choices of that one.
    #[new]
    #[pyo3(signature = (variables, options, constraint=None))]
    fn new(variables: Vec<(String, usize)>, options: &str, constraint: Option<Py<PyAny>>) -> PyResult<Self> {
        let options: Options =
            serde_json::from_str(options).map_err(|error| PyValueError::new_err(error.to_string()))?;
        let raised = Arc::new(Mutex::new(None));
        let mut space = Space::new(variables).map_err(|error| raise(&error))?;
        if let Some(constraint) = constraint {
            let raised = raised.clone();
            space = space.constrained(move |before, allowed| {
                let found =
                    Python::attach(|py| constraint.call1(py, (before.to_vec(),))?.extract::<Vec<usize>>(py));
                allowed.fill(false);
                match found {
                    Ok(choices) => {
                        choices
                            .into_iter()
                            .for_each(|c| allowed.get_mut(c).into_iter().for_each(|a| *a = true));
                    }
                    Err(error) => {
                        raised.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                    }
                }
            });
        }
        let inner = relax_minimize::Minimizer::new(&space, &options).map_err(|error| raise(&error))?;
        Ok(Self { inner, raised })
    }

    /// The points of the next batch, as numbers of choices.
    fn ask(&mut self) -> PyResult<Vec<Vec<usize>>> {
        let points = self.inner.ask().map(<[Vec<usize>]>::to_vec);
        self.outcome(points)
    }

    /// Their values, in order.
    fn tell(&mut self, values: Vec<f64>) -> PyResult<()> {
        let told = self.inner.tell(&values);
        self.outcome(told)
    }

    /// The likeliest choice of every variable now.
    fn likeliest(&self) -> PyResult<Vec<usize>> {
        self.outcome(self.inner.likeliest())
    }

    /// Mean over variables of the likeliest choice's probability.
    #[getter]
    fn certainty(&self) -> f64 {
        self.inner.certainty()
    }
}
