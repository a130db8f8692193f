//! Native environments for Gymnasium, one at a time; what those of `vector.rs` share with them is here too.

use std::sync::{Mutex, MutexGuard, PoisonError};

use numpy::{PyArray1, PyArrayMethods, PyUntypedArrayMethods};
use pyo3::exceptions::{PyAttributeError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use relax_envs::gym::{ActionNumbers, Codec, python_space};
use relax_envs::{ActionRef, Attribute, Env, EnvError, EnvRng, Kwarg, Kwargs, Space};

use crate::guarded;

pub(crate) fn raise(error: EnvError) -> PyErr {
    match error {
        EnvError::UnknownEnv { .. }
        | EnvError::UnknownKwarg { .. }
        | EnvError::KwargValue { .. }
        | EnvError::InvalidAction { .. }
        | EnvError::ResetOption { .. }
        | EnvError::InvalidState { .. }
        | EnvError::BufferLength { .. } => PyValueError::new_err(error.to_string()),
        EnvError::FixedAttribute { .. } => PyAttributeError::new_err(error.to_string()),
        // An option is the caller's; the slot it was refused in says nothing.
        EnvError::Slot { source, .. } if matches!(*source, EnvError::ResetOption { .. }) => raise(*source),
        other => PyRuntimeError::new_err(other.to_string()),
    }
}

pub(crate) fn kwargs_of(given: Option<&Bound<'_, PyDict>>) -> PyResult<Kwargs> {
    fn value(of: &Bound<'_, PyAny>) -> PyResult<Kwarg> {
        if let Ok(flag) = of.extract::<bool>() {
            Ok(Kwarg::Bool(flag))
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

/// Gymnasium's spaces for those of an environment: of observations, of actions.
pub(crate) fn spaces_of<'py>(
    py: Python<'py>,
    observation_space: &Space,
    action_space: &Space,
) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    guarded(|| Ok((python_space(py, observation_space)?, python_space(py, action_space)?)))
}

/// Id, step limit, reward threshold and description of every native environment.
#[pyfunction]
pub fn specs() -> Vec<(String, Option<u32>, Option<f64>, String)> {
    let specs = relax_envs::ids().into_iter().filter_map(|id| relax_envs::spec(&id).ok());
    specs.map(|spec| (spec.id, spec.max_episode_steps, spec.reward_threshold, spec.description)).collect()
}

/// An environment, which may go from thread to thread but not be used by two at once. pyo3 already lends an object to one
/// at a time for changing it, so that the lock is only taken where it is lent for reading.
pub(crate) struct Owned<T>(Mutex<T>);

impl<T> Owned<T> {
    pub fn new(env: T) -> Self {
        Self(Mutex::new(env))
    }

    pub fn get(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The attributes of an environment, by name.
pub(crate) fn attributes<'py>(py: Python<'py>, env: &dyn Env) -> PyResult<Bound<'py, PyDict>> {
    let all = PyDict::new(py);
    for (name, value) in env.attributes() {
        match value {
            Attribute::Number(number) => all.set_item(name, number)?,
            Attribute::Numbers(numbers) => all.set_item(name, PyArray1::from_vec(py, numbers))?,
        }
    }
    Ok(all)
}

/// The attributes that can be changed are numbers: those of `before` that `env` has otherwise are set in it.
pub(crate) fn set_attributes(env: &mut dyn Env, before: &[(String, f64)]) -> Result<(), EnvError> {
    for (name, value) in before {
        let now = env.attributes().into_iter().find(|(own, _)| own == name).map(|(_, now)| now);
        if now != Some(Attribute::Number(*value)) {
            env.set_attribute(name, *value)?;
        }
    }
    Ok(())
}

/// The numbers among an environment's attributes.
pub(crate) fn numbers(env: &dyn Env) -> Vec<(String, f64)> {
    let all = env.attributes().into_iter();
    all.filter_map(|(name, value)| match value {
        Attribute::Number(number) => Some((name.to_owned(), number)),
        Attribute::Numbers(_) => None,
    })
    .collect()
}

/// State of an environment, of its generator, and its numbers.
type Saved = (Vec<f64>, [u64; 6], Vec<(String, f64)>);

/// One native environment without its time limit, which Gymnasium's own wrapper sets.
#[pyclass(module = "relax_rl._relax_rl")]
pub struct NativeEnv {
    env: Owned<Box<dyn Env>>,
    action_space: Space,
    codec: Codec,
    rng: EnvRng,
    dim: usize,
}

#[pymethods]
impl NativeEnv {
    #[new]
    #[pyo3(signature = (id, kwargs=None))]
    fn new(id: &str, kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let kwargs = kwargs_of(kwargs)?;
        guarded(|| {
            let env = relax_envs::spec(id).and_then(|spec| (spec.constructor)(&kwargs)).map_err(raise)?;
            let action_space = env.action_space().clone();
            Ok(Self {
                dim: env.observation_space().flat_dim(),
                codec: Codec::native(env.observation_space(), &action_space).map_err(raise)?,
                action_space,
                env: Owned::new(env),
                rng: EnvRng::from_seed(0),
            })
        })
    }

    /// Gymnasium's observation and action space.
    fn spaces<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        spaces_of(py, self.env.lock().observation_space(), &self.action_space)
    }

    /// Seeds the generator as `reset(seed=…)` of Gymnasium does.
    fn seed(&mut self, seed: u64) {
        self.rng = EnvRng::from_seed(seed);
    }

    /// The generator's state: state high and low, increment high and low, `has_uint32`, `uinteger`.
    fn generator(&self) -> [u64; 6] {
        self.rng.state()
    }

    /// Sets the generator's state.
    fn set_generator(&mut self, words: [u64; 6]) -> PyResult<()> {
        self.rng = EnvRng::from_state(words).map_err(|error| PyValueError::new_err(error.to_string()))?;
        Ok(())
    }

    /// Starts an episode; its first observation.
    #[pyo3(signature = (options=None))]
    fn reset<'py>(
        &mut self,
        py: Python<'py>,
        options: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyArray1<f32>>> {
        let options = kwargs_of(options)?;
        let mut observation = vec![0.0; self.dim];
        guarded(|| self.env.get().reset_with(&options, &mut self.rng, &mut observation).map_err(raise))?;
        Ok(PyArray1::from_vec(py, observation))
    }

    /// Numbers of the environment by name.
    fn attributes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        attributes(py, &**self.env.lock())
    }

    /// Changes one of the attributes.
    fn set_attribute(&mut self, name: &str, value: f64) -> PyResult<()> {
        guarded(|| self.env.get().set_attribute(name, value).map_err(raise))
    }

    /// Everything that [`load`](Self::load) needs to go on from here.
    fn save(&self) -> PyResult<Saved> {
        let (env, mut state) = (self.env.lock(), Vec::new());
        env.save_state(&mut state).map_err(raise)?;
        Ok((state, self.rng.state(), numbers(&**env)))
    }

    /// Goes back to what [`save`](Self::save) gave.
    fn load(&mut self, saved: Saved) -> PyResult<()> {
        let (state, words, before) = saved;
        guarded(|| {
            set_attributes(&mut **self.env.get(), &before).map_err(raise)?;
            self.env.get().load_state(&mut &*state).map_err(raise)?;
            self.rng = EnvRng::from_state(words).map_err(|error| PyValueError::new_err(error.to_string()))?;
            Ok(())
        })
    }

    /// Takes a step: (observation, reward, terminated, truncated).
    fn step<'py>(
        &mut self,
        py: Python<'py>,
        action: &Bound<'py, PyAny>,
    ) -> PyResult<(Bound<'py, PyArray1<f32>>, f64, bool, bool)> {
        let mut observation = vec![0.0; self.dim];
        let Self { env, action_space, codec, rng, .. } = self;
        let step = guarded(|| {
            // An index and an array of the right type are taken as they are; the rest is converted, or refused in words.
            let numbers = match (&*action_space, action.extract::<usize>(), action.cast::<PyArray1<f32>>()) {
                (Space::Discrete { n, start: 0 }, Ok(index), _) if index < *n => {
                    return env.get().step(ActionRef::Discrete(index), rng, &mut observation).map_err(raise);
                }
                (Space::Box { shape, .. }, _, Ok(array))
                    if array.shape() == &**shape && array.is_c_contiguous() =>
                {
                    ActionNumbers::Box(array.readonly().as_slice()?.to_vec())
                }
                _ => codec.action_numbers(action, None, action_space)?,
            };
            let taken = match &numbers {
                ActionNumbers::Discrete(index) => ActionRef::Discrete(index[0] as usize),
                ActionNumbers::Box(values) => ActionRef::Box(values),
                ActionNumbers::MultiDiscrete(indices) => ActionRef::MultiDiscrete(indices),
                ActionNumbers::MultiBinary(flags) => ActionRef::MultiBinary(flags),
            };
            env.get().step(taken, rng, &mut observation).map_err(raise)
        })?;
        Ok((PyArray1::from_vec(py, observation), step.reward, step.terminated, step.truncated))
    }

    /// Which choices are allowed at the latest observation, as `action_space.sample(mask=…)` takes it: int8, of several
    /// choices a tuple of arrays; or None, if nothing is masked.
    fn action_mask<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let env = self.env.lock();
        let Some(mask) = env.action_mask() else { return Ok(None) };
        let array = |mask: &[bool]| PyArray1::from_iter(py, mask.iter().map(|&allowed| i8::from(allowed)));
        let sizes = self.action_space.choices().unwrap_or_default();
        if sizes.len() == 1 {
            return Ok(Some(array(mask).into_any()));
        }
        let mut rest = mask;
        let factors = sizes.iter().map(|&n| {
            let (own, after) = rest.split_at(n.min(rest.len()));
            rest = after;
            array(own)
        });
        Ok(Some(PyTuple::new(py, factors.collect::<Vec<_>>())?.into_any()))
    }

    /// A picture `[height, width, 3]`, or None.
    fn render<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Some(frame) = guarded(|| Ok(self.env.lock().render()))? else { return Ok(None) };
        let shape = (frame.height as usize, frame.width as usize, 3);
        Ok(Some(PyArray1::from_vec(py, frame.rgb).call_method1("reshape", (shape,))?))
    }
}
