//! Native environments for Gymnasium: one at a time, and many by one call.

use std::sync::{Mutex, MutexGuard, PoisonError};

use numpy::ndarray::Array2;
use numpy::{PyArray1, PyArray2, PyArrayMethods, PyUntypedArrayMethods};
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use relax_envs::{
    ActionRef, Actions, Env, EnvError, EnvRng, Kwarg, Kwargs, MakeOptions, NativeVecEnv, Space, StepBuffers,
    VecEnv,
};

fn raise(error: EnvError) -> PyErr {
    match error {
        EnvError::UnknownEnv { .. }
        | EnvError::UnknownKwarg { .. }
        | EnvError::KwargValue { .. }
        | EnvError::InvalidAction { .. }
        | EnvError::BufferLength { .. } => PyValueError::new_err(error.to_string()),
        other => PyRuntimeError::new_err(other.to_string()),
    }
}

fn kwargs_of(given: Option<&Bound<'_, PyDict>>) -> PyResult<Kwargs> {
    fn value(of: &Bound<'_, PyAny>) -> PyResult<Kwarg> {
        if let Ok(flag) = of.cast::<pyo3::types::PyBool>() {
            Ok(Kwarg::Bool(flag.is_true()))
        } else if let Ok(number) = of.extract::<i64>() {
            Ok(Kwarg::Int(number))
        } else if let Ok(number) = of.extract::<f64>() {
            Ok(Kwarg::Float(number))
        } else if let Ok(text) = of.extract::<String>() {
            Ok(Kwarg::String(text))
        } else {
            Err(PyTypeError::new_err(format!("{of} is no argument of a native environment")))
        }
    }
    let given = given.into_iter().flat_map(|dict| dict.iter());
    given.map(|(key, one)| Ok((key.extract()?, value(&one)?))).collect()
}

/// A space as (kind, low, high, shape, counts), for `gymnasium.spaces`.
type Described = (&'static str, Vec<f32>, Vec<f32>, Vec<usize>, Vec<usize>);

fn describe(space: &Space) -> Described {
    match space {
        Space::Box { low, high, shape } => ("box", low.clone(), high.clone(), shape.clone(), Vec::new()),
        Space::Discrete { n, .. } => ("discrete", Vec::new(), Vec::new(), Vec::new(), vec![*n]),
        Space::MultiDiscrete { nvec } => ("multi-discrete", Vec::new(), Vec::new(), Vec::new(), nvec.clone()),
        Space::MultiBinary { n } => ("multi-binary", Vec::new(), Vec::new(), Vec::new(), vec![*n]),
    }
}

/// Id, step limit, reward threshold and description of every native environment.
#[pyfunction]
pub fn specs() -> Vec<(String, Option<u32>, Option<f64>, String)> {
    let specs = relax_envs::ids().into_iter().filter_map(|id| relax_envs::spec(&id).ok());
    specs.map(|spec| (spec.id, spec.max_episode_steps, spec.reward_threshold, spec.description)).collect()
}

/// An environment, which may go from thread to thread but not be used by two at once. pyo3 already lends an object to one
/// at a time for changing it, so that the lock is only taken where it is lent for reading.
struct Owned<T>(Mutex<T>);

impl<T> Owned<T> {
    fn new(env: T) -> Self {
        Self(Mutex::new(env))
    }

    fn get(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One native environment without its time limit, which Gymnasium's own wrapper sets.
#[pyclass(module = "relax_rl._relax_rl")]
pub struct NativeEnv {
    env: Owned<Box<dyn Env>>,
    rng: EnvRng,
    dim: usize,
}

#[pymethods]
impl NativeEnv {
    #[new]
    #[pyo3(signature = (id, kwargs=None))]
    fn new(id: &str, kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let kwargs = kwargs_of(kwargs)?;
        let env = relax_envs::spec(id).and_then(|spec| (spec.constructor)(&kwargs)).map_err(raise)?;
        Ok(Self { dim: env.observation_space().flat_dim(), env: Owned::new(env), rng: EnvRng::from_seed(0) })
    }

    /// Descriptions of the observation and the action space.
    fn spaces(&self) -> (Described, Described) {
        let env = self.env.lock();
        (describe(env.observation_space()), describe(env.action_space()))
    }

    /// Seeds the generator as `reset(seed=…)` of Gymnasium does.
    fn seed(&mut self, seed: u64) {
        self.rng = EnvRng::from_seed(seed);
    }

    /// Starts an episode; its first observation.
    fn reset<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyArray1<f32>>> {
        let mut observation = vec![0.0; self.dim];
        self.env.get().reset(&mut self.rng, &mut observation).map_err(raise)?;
        Ok(PyArray1::from_vec(py, observation))
    }

    /// Takes a step: (observation, reward, terminated, truncated).
    fn step<'py>(
        &mut self,
        py: Python<'py>,
        action: &Bound<'py, PyAny>,
    ) -> PyResult<(Bound<'py, PyArray1<f32>>, f64, bool, bool)> {
        let mut observation = vec![0.0; self.dim];
        let step = if let Space::Discrete { .. } = self.env.get().action_space() {
            let index: i64 = action.call_method0("__index__")?.extract()?;
            let index = usize::try_from(index).unwrap_or(usize::MAX);
            self.env.get().step(ActionRef::Discrete(index), &mut self.rng, &mut observation)
        } else {
            let values: Vec<f32> = match action.cast::<PyArray1<f32>>() {
                Ok(array) => array.readonly().as_array().iter().copied().collect(),
                Err(_) => action.extract()?,
            };
            self.env.get().step(ActionRef::Box(&values), &mut self.rng, &mut observation)
        };
        let step = step.map_err(raise)?;
        Ok((PyArray1::from_vec(py, observation), step.reward, step.terminated, step.truncated))
    }

    /// A picture `[height, width, 3]`, or None.
    fn render<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Some(frame) = self.env.lock().render() else { return Ok(None) };
        let shape = (frame.height as usize, frame.width as usize, 3);
        Ok(Some(PyArray1::from_vec(py, frame.rgb).call_method1("reshape", (shape,))?))
    }
}

/// Many native environments, stepped by one call. Every array that leaves was written by the environments themselves:
/// it is handed over, not copied, and never written to again.
#[pyclass(module = "relax_rl._relax_rl")]
pub struct NativeEnvs {
    envs: Owned<NativeVecEnv>,
    out: StepBuffers,
    active: Vec<u32>,
    indices: Vec<u32>,
    dim: usize,
}

impl NativeEnvs {
    /// Hands a `[slots, D]` buffer over to NumPy and puts a fresh one in its place.
    fn hand_over<'py>(&self, py: Python<'py>, buffer: Vec<f32>) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let array = Array2::from_shape_vec((self.active.len(), self.dim), buffer)
            .map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
        Ok(PyArray2::from_owned_array(py, array))
    }
}

#[pymethods]
impl NativeEnvs {
    #[new]
    #[pyo3(signature = (id, slots, kwargs=None, max_episode_steps=None))]
    fn new(
        id: &str,
        slots: usize,
        kwargs: Option<&Bound<'_, PyDict>>,
        max_episode_steps: Option<u32>,
    ) -> PyResult<Self> {
        let options = MakeOptions { kwargs: kwargs_of(kwargs)?, max_episode_steps, ..MakeOptions::default() };
        let envs = NativeVecEnv::make(id, slots, &options).map_err(raise)?;
        if matches!(envs.action_space(), Space::MultiDiscrete { .. } | Space::MultiBinary { .. }) {
            return Err(PyTypeError::new_err(format!("{id} has actions that are neither Discrete nor Box")));
        }
        let dim = envs.observation_dim();
        Ok(Self {
            out: StepBuffers::new(slots, dim),
            active: (0..slots as u32).collect(),
            indices: vec![0; slots],
            dim,
            envs: Owned::new(envs),
        })
    }

    /// Descriptions of one slot's observation and action space.
    fn spaces(&self) -> (Described, Described) {
        let envs = self.envs.lock();
        (describe(envs.observation_space()), describe(envs.action_space()))
    }

    /// Starts an episode in every slot; the first observations.
    fn reset<'py>(&mut self, py: Python<'py>, seeds: Vec<u64>) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let mut observations = vec![0.0; self.active.len() * self.dim];
        self.envs.get().reset(&seeds, &mut observations).map_err(raise)?;
        self.hand_over(py, observations)
    }

    /// Steps every slot: (observations, rewards, terminations, truncations, infos).
    fn step<'py>(&mut self, py: Python<'py>, actions: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyTuple>> {
        let slots = self.active.len();
        // What is handed over below leaves empty buffers behind.
        self.out.observations = vec![0.0; slots * self.dim];
        self.out.rewards = vec![0.0; slots];
        self.out.terminated = vec![false; slots];
        self.out.truncated = vec![false; slots];
        if let Space::Discrete { .. } = self.envs.get().action_space() {
            if let Ok(array) = actions.cast::<PyArray1<i64>>() {
                let array = array.readonly();
                if array.len() != slots {
                    return Err(PyValueError::new_err(format!(
                        "{slots} actions are needed, not {}",
                        array.len()
                    )));
                }
                // What is no index becomes one that the environment refuses.
                let index = |&index: &i64| u32::try_from(index).unwrap_or(u32::MAX);
                self.indices.iter_mut().zip(array.as_array()).for_each(|(to, from)| *to = index(from));
            } else {
                let indices: Vec<i64> = actions.extract()?;
                self.indices = indices.iter().map(|&i| u32::try_from(i).unwrap_or(u32::MAX)).collect();
            }
            let Self { envs, active, indices, out, .. } = self;
            py.detach(|| envs.get().step(active, Actions::Discrete(indices), out)).map_err(raise)?;
        } else {
            let array = actions.cast::<PyArray2<f32>>().map_err(|_| {
                PyTypeError::new_err("actions must be an array [num_envs, action size] of float32")
            })?;
            let dim = array.shape()[1];
            let Self { envs, active, out, .. } = self;
            let array = array.readonly();
            let copied: Vec<f32>;
            let values = if array.is_c_contiguous() {
                array.as_slice()?
            } else {
                copied = array.as_array().iter().copied().collect();
                &copied
            };
            py.detach(|| envs.get().step(active, Actions::Box { values, dim }, out)).map_err(raise)?;
        }
        let infos = PyDict::new(py);
        if self.out.terminated.iter().zip(&self.out.truncated).any(|(a, b)| a | b) {
            let last = std::mem::replace(&mut self.out.final_observations, vec![0.0; slots * self.dim]);
            let ended: Vec<bool> =
                self.out.terminated.iter().zip(&self.out.truncated).map(|(a, b)| a | b).collect();
            infos.set_item("final_obs", self.hand_over(py, last)?)?;
            infos.set_item("_final_obs", PyArray1::from_vec(py, ended))?;
        }
        let observations = std::mem::take(&mut self.out.observations);
        let observations = self.hand_over(py, observations)?;
        (
            observations,
            PyArray1::from_vec(py, std::mem::take(&mut self.out.rewards)),
            PyArray1::from_vec(py, std::mem::take(&mut self.out.terminated)),
            PyArray1::from_vec(py, std::mem::take(&mut self.out.truncated)),
            infos,
        )
            .into_pyobject(py)
    }

    /// A picture `[height, width, 3]` of one slot, or None.
    fn render<'py>(&self, py: Python<'py>, slot: usize) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Some(frame) = self.envs.lock().render(slot) else { return Ok(None) };
        let shape = (frame.height as usize, frame.width as usize, 3);
        Ok(Some(PyArray1::from_vec(py, frame.rgb).call_method1("reshape", (shape,))?))
    }
}
