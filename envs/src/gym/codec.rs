//! [`Codec`]: Python's observations and actions as numbers, and back, by the conversion that steps environments too.

use numpy::{PyArray1, PyArrayDyn, PyArrayMethods};
use pyo3::prelude::*;

use super::{PREFIX, convert, interpreter, vec_env};
use crate::{Actions, EnvError, MakeOptions, Space};

/// The conversion between the elements of two spaces, as Python has them, and numbers.
///
/// It is the one by which environments `gym:…` are stepped: what a policy says outside of training means what it meant
/// there.
pub struct Codec {
    observation: Py<PyAny>,
    action: Py<PyAny>,
}

/// Observations as numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    /// `[rows, D]`.
    pub values: Vec<f32>,
    /// How many.
    pub rows: usize,
    /// Whether it was one observation rather than a batch.
    pub single: bool,
}

/// Actions as numbers: one index a row, values, or an index for each entry of a space of several choices.
#[derive(Debug, Clone, PartialEq)]
pub enum ActionNumbers {
    /// `[rows]`.
    Discrete(Vec<u32>),
    /// `[rows, k]`.
    Box(Vec<f32>),
    /// `[rows, k]`.
    MultiDiscrete(Vec<usize>),
    /// `[rows, k]`.
    MultiBinary(Vec<bool>),
}

impl Codec {
    /// For the spaces of a native environment.
    ///
    /// # Errors
    ///
    /// No Python with Gymnasium.
    pub fn native(observation_space: &Space, action_space: &Space) -> Result<Self, EnvError> {
        let module = interpreter::spaces()?;
        Python::attach(|py| {
            let codec = |space: &Space, role| -> PyResult<Py<PyAny>> {
                let module = module.bind(py);
                Ok(module.call_method1("Codec", (python_space(py, space)?, role))?.unbind())
            };
            let both = || {
                Ok(Self {
                    observation: codec(observation_space, "observation")?,
                    action: codec(action_space, "action")?,
                })
            };
            both().map_err(|error: PyErr| convert::fault(py, &error).error)
        })
    }

    /// For the environment `gym:…` as these options make it. It is made and closed again to be asked.
    ///
    /// # Errors
    ///
    /// As [`GymVecEnv::make`](super::GymVecEnv::make).
    pub fn of_env(id: &str, options: &MakeOptions) -> Result<Self, EnvError> {
        let env = vec_env::GymVecEnv::make(id, 1, options)?;
        Python::attach(|py| {
            let codecs = || -> PyResult<Self> {
                let driver = env.driver_object(py);
                Ok(Self {
                    observation: driver.getattr("codec")?.unbind(),
                    action: driver.getattr("action_codec")?.unbind(),
                })
            };
            codecs().map_err(|error| convert::fault(py, &error).error)
        })
    }

    /// For the environment `id`, native or not.
    ///
    /// # Errors
    ///
    /// Those of the other two.
    pub fn new(
        id: &str,
        options: &MakeOptions,
        observation_space: &Space,
        action_space: &Space,
    ) -> Result<Self, EnvError> {
        if id.starts_with(PREFIX) {
            Self::of_env(id, options)
        } else {
            Self::native(observation_space, action_space)
        }
    }

    /// One observation, or a batch of them.
    ///
    /// # Errors
    ///
    /// Python's `ValueError` with a sentence for what is neither.
    pub fn observations(&self, observation: &Bound<'_, PyAny>) -> PyResult<Rows> {
        let py = observation.py();
        let (values, single, rows): (Bound<'_, PyArray1<f32>>, bool, usize) =
            self.observation.bind(py).call_method1("rows", (observation,))?.extract()?;
        Ok(Rows { values: values.readonly().as_slice()?.to_vec(), rows, single })
    }

    /// The action mask of one observation, or those of a batch of `rows`: `[rows, M]`.
    ///
    /// # Errors
    ///
    /// Python's `ValueError` with a sentence for what is none, or allows nothing.
    pub fn masks(&self, mask: &Bound<'_, PyAny>, rows: usize, single: bool) -> PyResult<Vec<bool>> {
        let py = mask.py();
        let given = py.import("relax_rl_masks")?.getattr("given")?;
        let flat: Bound<'_, PyArray1<bool>> =
            given.call1((self.action.bind(py), mask, rows, single))?.extract()?;
        Ok(flat.readonly().as_slice()?.to_vec())
    }

    /// Actions in the environment's own structure, type and bounds; a batch of them is laid out as Gymnasium's vector
    /// environments take it.
    ///
    /// # Errors
    ///
    /// None but those of Python itself.
    pub fn actions<'py>(
        &self,
        py: Python<'py>,
        actions: Actions<'_>,
        single: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let whole = |values: Vec<i64>| PyArray1::from_vec(py, values).into_any();
        let (numbers, len, told) = match actions {
            Actions::Discrete(indices) => {
                (whole(indices.iter().map(|&index| i64::from(index)).collect()), indices.len(), None)
            }
            Actions::Box { values, dim } => {
                (PyArray1::from_slice(py, values).into_any(), values.len(), Some(dim))
            }
            Actions::MultiDiscrete { values, dim } => {
                (whole(values.iter().map(|&value| value as i64).collect()), values.len(), Some(dim))
            }
            Actions::MultiBinary { values, dim } => {
                (whole(values.iter().map(|&value| i64::from(value)).collect()), values.len(), Some(dim))
            }
        };
        let rows = len / told.unwrap_or(1).max(1);
        let lead: Vec<usize> = if single { Vec::new() } else { vec![rows] };
        let shape: Vec<usize> = lead.iter().copied().chain(told).collect();
        let numbers = numbers.call_method1("reshape", (shape,))?;
        let lead = pyo3::types::PyTuple::new(py, lead)?;
        self.action.bind(py).call_method1("element", (numbers, lead))
    }

    /// What `action` (`slots` of them, unless that is none) is in numbers, for an environment with the space `space`.
    ///
    /// # Errors
    ///
    /// Python's `ValueError` with a sentence for what is no action.
    pub fn action_numbers(
        &self,
        action: &Bound<'_, PyAny>,
        slots: Option<usize>,
        space: &Space,
    ) -> PyResult<ActionNumbers> {
        let py = action.py();
        let lead = pyo3::types::PyTuple::new(py, slots)?;
        let numbers = self.action.bind(py).call_method1("numbers", (action, lead))?.call_method0("ravel")?;
        let whole = || -> PyResult<Vec<i64>> {
            Ok(numbers.cast::<PyArrayDyn<i64>>()?.readonly().as_slice()?.to_vec())
        };
        Ok(match space {
            Space::Box { .. } => {
                ActionNumbers::Box(numbers.cast::<PyArrayDyn<f32>>()?.readonly().as_slice()?.to_vec())
            }
            Space::Discrete { .. } => ActionNumbers::Discrete(whole()?.iter().map(|&i| i as u32).collect()),
            Space::MultiDiscrete { .. } => {
                ActionNumbers::MultiDiscrete(whole()?.iter().map(|&i| i as usize).collect())
            }
            Space::MultiBinary { .. } => {
                ActionNumbers::MultiBinary(whole()?.iter().map(|&i| i != 0).collect())
            }
        })
    }
}

impl ActionNumbers {
    /// As environments take them.
    pub fn as_actions(&self, space: &Space) -> Actions<'_> {
        let dim = space.size();
        match self {
            Self::Discrete(indices) => Actions::Discrete(indices),
            Self::Box(values) => Actions::Box { values, dim },
            Self::MultiDiscrete(values) => Actions::MultiDiscrete { values, dim },
            Self::MultiBinary(values) => Actions::MultiBinary { values, dim },
        }
    }
}

/// Gymnasium's space for one of ours.
///
/// # Errors
///
/// No Python with Gymnasium.
pub fn python_space<'py>(py: Python<'py>, space: &Space) -> PyResult<Bound<'py, PyAny>> {
    let module = interpreter::spaces()
        .map_err(|error| pyo3::exceptions::PyRuntimeError::new_err(error.to_string()))?;
    module.bind(py).call_method1("space_of", convert::described(space))
}
