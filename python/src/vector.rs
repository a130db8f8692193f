//! Many native environments for Gymnasium, stepped by one call.

use numpy::ndarray::Array2;
use numpy::{PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::exceptions::{PyIndexError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use relax_envs::gym::{ActionNumbers, Codec};
use relax_envs::{Actions, Kwargs, MakeOptions, NativeVecEnv, Space, StepBuffers, VecEnv, VecEnvState};

use crate::envs::{Owned, attributes, kwargs_of, numbers, raise, set_attributes, spaces_of};
use crate::guarded;

/// State of the environments, of their generators, their numbers, which slots' episodes have ended, last observations.
type Saved = (Vec<f64>, Vec<u64>, Vec<Vec<(String, f64)>>, Vec<bool>, Vec<f32>);

/// The actions of the slots `going` alone.
fn selected(actions: Actions<'_>, going: &[u32]) -> ActionNumbers {
    fn rows<T: Copy>(values: &[T], dim: usize, going: &[u32]) -> Vec<T> {
        going.iter().flat_map(|&slot| values[slot as usize * dim..][..dim].iter().copied()).collect()
    }
    match actions {
        Actions::Discrete(indices) => ActionNumbers::Discrete(rows(indices, 1, going)),
        Actions::Box { values, dim } => ActionNumbers::Box(rows(values, dim, going)),
        Actions::MultiDiscrete { values, dim } => ActionNumbers::MultiDiscrete(rows(values, dim, going)),
        Actions::MultiBinary { values, dim } => ActionNumbers::MultiBinary(rows(values, dim, going)),
    }
}

/// Many native environments, stepped by one call. Every array that leaves was written by the environments themselves:
/// it is handed over, not copied, and never written to again.
#[pyclass(module = "relax_rl._relax_rl")]
pub struct NativeEnvs {
    mode: Autoreset,
    /// Slots whose episode has ended and whose next one has not begun.
    ended: Vec<bool>,
    /// The last observations, where some slots may be reset and others not.
    last: Vec<f32>,
    envs: Owned<NativeVecEnv>,
    action_space: Space,
    codec: Codec,
    out: StepBuffers,
    active: Vec<u32>,
    indices: Vec<u32>,
    dim: usize,
}

/// What happens at the end of an episode: Gymnasium's `AutoresetMode`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Autoreset {
    SameStep,
    NextStep,
    Disabled,
}

/// The actions of one step, from Python.
enum Taken<'py> {
    /// They are in [`NativeEnvs::indices`].
    Indices,
    /// An array `[slots, D]` of the right type, as it lies in memory.
    Array(PyReadonlyArray2<'py, f32>),
    /// Converted.
    Numbers(ActionNumbers),
}

impl NativeEnvs {
    /// The actions of a step, all of them checked, so that either every slot is stepped or none. Arrays of the right type
    /// and shape are taken as they are; the rest is converted, or refused in words.
    fn taken<'py>(&mut self, actions: &Bound<'py, PyAny>) -> PyResult<Taken<'py>> {
        let slots = self.active.len();
        let taken = match &self.action_space {
            Space::Discrete { n, start: 0 } => actions.cast::<PyArray1<i64>>().ok().and_then(|array| {
                let (array, n) = (array.readonly(), *n as i64);
                let view = array.as_array();
                (view.len() == slots && view.iter().fold(true, |right, i| right & (0..n).contains(i))).then(
                    || {
                        self.indices.iter_mut().zip(view).for_each(|(to, &from)| *to = from as u32);
                        Taken::Indices
                    },
                )
            }),
            Space::Box { shape, .. } => actions.cast::<PyArray2<f32>>().ok().and_then(|array| {
                let right =
                    array.shape()[0] == slots && array.shape()[1..] == **shape && array.is_c_contiguous();
                right.then(|| Taken::Array(array.readonly()))
            }),
            _ => None,
        };
        let taken = match taken {
            Some(taken) => taken,
            None => Taken::Numbers(self.codec.action_numbers(actions, Some(slots), &self.action_space)?),
        };
        let values = match &taken {
            Taken::Array(array) => array.as_slice()?,
            Taken::Numbers(ActionNumbers::Box(values)) => values,
            _ => &[],
        };
        if let Some(at) = values.iter().position(|value| value.is_nan()) {
            let slot = at / self.action_space.size().max(1);
            return Err(PyValueError::new_err(format!("the action of slot {slot} is NaN")));
        }
        Ok(taken)
    }

    /// Masks of all slots as int8 `[slots, M]`.
    fn mask_array<'py>(&self, py: Python<'py>, masks: &[bool]) -> PyResult<Bound<'py, PyArray2<i8>>> {
        let slots = self.active.len();
        let numbers = masks.iter().map(|&allowed| i8::from(allowed)).collect();
        let array = Array2::from_shape_vec((slots, masks.len() / slots.max(1)), numbers)
            .map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
        Ok(PyArray2::from_owned_array(py, array))
    }

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
    #[pyo3(signature = (id, slots, kwargs=None, max_episode_steps=None, autoreset="SameStep"))]
    fn new(
        id: &str,
        slots: usize,
        kwargs: Option<&Bound<'_, PyDict>>,
        max_episode_steps: Option<u32>,
        autoreset: &str,
    ) -> PyResult<Self> {
        let mode = match autoreset {
            "SameStep" => Autoreset::SameStep,
            "NextStep" => Autoreset::NextStep,
            "Disabled" => Autoreset::Disabled,
            other => {
                let modes = "SameStep, NextStep, Disabled";
                return Err(PyValueError::new_err(format!(
                    "autoreset_mode is {other:?}; it must be one of {modes}"
                )));
            }
        };
        let options = MakeOptions { kwargs: kwargs_of(kwargs)?, max_episode_steps, ..MakeOptions::default() };
        guarded(|| {
            let mut envs = NativeVecEnv::make(id, slots, &options).map_err(raise)?;
            envs.set_autoreset(mode == Autoreset::SameStep);
            let (dim, action_space) = (envs.observation_dim(), envs.action_space().clone());
            Ok(Self {
                mode,
                ended: vec![false; slots],
                last: vec![0.0; slots * dim],
                out: StepBuffers::new(slots, dim),
                codec: Codec::native(envs.observation_space(), &action_space).map_err(raise)?,
                action_space,
                active: (0..slots as u32).collect(),
                indices: vec![0; slots],
                dim,
                envs: Owned::new(envs),
            })
        })
    }

    /// Gymnasium's spaces of one slot's observation and action.
    fn spaces<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        spaces_of(py, self.envs.lock().observation_space(), &self.action_space)
    }

    /// Starts an episode in every slot, or in those that `mask` marks; the observations of all slots. A slot without a seed
    /// goes on with its random numbers.
    #[pyo3(signature = (seeds, options=None, mask=None))]
    fn reset<'py>(
        &mut self,
        py: Python<'py>,
        seeds: Vec<Option<u64>>,
        options: Option<&Bound<'py, PyDict>>,
        mask: Option<Vec<bool>>,
    ) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let slots = self.active.len();
        if seeds.len() != slots || mask.as_ref().is_some_and(|mask| mask.len() != slots) {
            return Err(PyValueError::new_err(format!(
                "there are {slots} slots, and not as many seeds, or marks"
            )));
        }
        let options = kwargs_of(options)?;
        let wanted = |slot: usize| mask.as_ref().is_none_or(|mask| mask[slot]);
        let active: Vec<u32> = (0..slots as u32).filter(|&slot| wanted(slot as usize)).collect();
        let seeds: Vec<Option<u64>> = active.iter().map(|&slot| seeds[slot as usize]).collect();
        let mut observations = self.last.clone();
        guarded(|| self.envs.get().reset_slots(&active, &seeds, &options, &mut observations).map_err(raise))?;
        active.iter().for_each(|&slot| self.ended[slot as usize] = false);
        if self.mode == Autoreset::Disabled {
            self.last.copy_from_slice(&observations);
        }
        self.hand_over(py, observations)
    }

    /// Which choices are allowed at the observations to act on, int8 `[slots, M]`; or None, if nothing is masked.
    fn action_masks<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyArray2<i8>>>> {
        self.envs.lock().action_masks().map(|masks| self.mask_array(py, masks)).transpose()
    }

    /// Numbers of a slot's environment by name.
    fn attributes<'py>(&self, py: Python<'py>, slot: usize) -> PyResult<Bound<'py, PyDict>> {
        match self.envs.lock().env(slot) {
            Some(env) => attributes(py, env),
            None => Err(PyIndexError::new_err(format!("there is no slot {slot}"))),
        }
    }

    /// Changes one of a slot's attributes.
    fn set_attribute(&mut self, slot: usize, name: &str, value: f64) -> PyResult<()> {
        guarded(|| match self.envs.get().env_mut(slot) {
            Some(env) => env.set_attribute(name, value).map_err(raise),
            None => Err(PyIndexError::new_err(format!("there is no slot {slot}"))),
        })
    }

    /// Everything that [`load`](Self::load) needs to go on from here.
    fn save(&self) -> PyResult<Saved> {
        let envs = self.envs.lock();
        let VecEnvState { envs: state, rng } = envs.save_state().map_err(raise)?;
        let changed = (0..self.active.len()).filter_map(|slot| envs.env(slot)).map(numbers).collect();
        Ok((state, rng, changed, self.ended.clone(), self.last.clone()))
    }

    /// Goes back to what [`save`](Self::save) gave.
    fn load(&mut self, saved: Saved) -> PyResult<()> {
        let (envs, rng, changed, ended, last) = saved;
        if ended.len() != self.ended.len() || last.len() != self.last.len() {
            return Err(PyValueError::new_err("this is the state of another vector environment"));
        }
        guarded(|| {
            for (slot, before) in changed.iter().enumerate() {
                if let Some(env) = self.envs.get().env_mut(slot) {
                    set_attributes(env, before).map_err(raise)?;
                }
            }
            self.envs.get().load_state(&VecEnvState { envs, rng }).map_err(raise)
        })?;
        (self.ended, self.last) = (ended, last);
        Ok(())
    }

    /// Steps every slot: (observations, rewards, terminations, truncations, infos).
    fn step<'py>(&mut self, py: Python<'py>, actions: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyTuple>> {
        let waiting = self.mode != Autoreset::SameStep && self.ended.contains(&true);
        if let (Autoreset::Disabled, Some(slot)) = (self.mode, self.ended.iter().position(|&ended| ended)) {
            return Err(PyValueError::new_err(format!(
                "the episode of slot {slot} has ended; with AutoresetMode.DISABLED, start the next one by \
                 reset(options={{\"reset_mask\": …}})"
            )));
        }
        guarded(|| {
            let taken = self.taken(actions)?;
            let Self { envs, action_space, active, indices, out, ended, .. } = self;
            let dim = action_space.size();
            let mut actions = match &taken {
                Taken::Indices => Actions::Discrete(indices),
                Taken::Array(array) => Actions::Box { values: array.as_slice()?, dim },
                Taken::Numbers(numbers) => numbers.as_actions(action_space),
            };
            if !waiting {
                return py.detach(|| envs.get().step(active, actions, out)).map_err(raise);
            }
            // The step after an end only starts the next episode.
            let (resetting, going): (Vec<u32>, Vec<u32>) =
                active.iter().partition(|&&slot| ended[slot as usize]);
            let kept = selected(actions, &going);
            actions = kept.as_actions(action_space);
            envs.get().step(&going, actions, out).map_err(raise)?;
            let seeds = vec![None; resetting.len()];
            envs.get()
                .reset_slots(&resetting, &seeds, &Kwargs::new(), &mut out.observations)
                .map_err(raise)?;
            for slot in resetting {
                let slot = slot as usize;
                (out.rewards[slot], out.terminated[slot], out.truncated[slot]) = (0.0, false, false);
            }
            Ok(())
        })?;
        let slots = self.active.len();
        if self.mode != Autoreset::SameStep {
            for (ended, (a, b)) in
                self.ended.iter_mut().zip(self.out.terminated.iter().zip(&self.out.truncated))
            {
                *ended = a | b;
            }
        }
        if self.mode == Autoreset::Disabled {
            self.last.copy_from_slice(&self.out.observations);
        }
        let infos = PyDict::new(py);
        let any_ended = self.out.terminated.iter().zip(&self.out.truncated).any(|(a, b)| a | b);
        if self.mode == Autoreset::SameStep && any_ended {
            let last = std::mem::replace(&mut self.out.final_observations, vec![0.0; slots * self.dim]);
            let ended: Vec<bool> =
                self.out.terminated.iter().zip(&self.out.truncated).map(|(a, b)| a | b).collect();
            infos.set_item("final_obs", self.hand_over(py, last)?)?;
            let ended = PyArray1::from_vec(py, ended);
            infos.set_item("_final_obs", &ended)?;
            if let Some(masks) = self.envs.lock().final_action_masks() {
                let told = PyDict::new(py);
                told.set_item("action_mask", self.mask_array(py, masks)?)?;
                told.set_item("_action_mask", &ended)?;
                infos.set_item("final_info", told)?;
                infos.set_item("_final_info", &ended)?;
            }
        }
        if let Some(masks) = self.action_masks(py)? {
            infos.set_item("action_mask", masks)?;
            infos.set_item("_action_mask", PyArray1::from_vec(py, vec![true; slots]))?;
        }
        // What is handed over makes room for a fresh buffer, only now: a step that fails leaves whole ones behind.
        let observations = std::mem::replace(&mut self.out.observations, vec![0.0; slots * self.dim]);
        let observations = self.hand_over(py, observations)?;
        let rewards = std::mem::replace(&mut self.out.rewards, vec![0.0; slots]);
        let terminated = std::mem::replace(&mut self.out.terminated, vec![false; slots]);
        let truncated = std::mem::replace(&mut self.out.truncated, vec![false; slots]);
        (
            observations,
            PyArray1::from_vec(py, rewards),
            PyArray1::from_vec(py, terminated),
            PyArray1::from_vec(py, truncated),
            infos,
        )
            .into_pyobject(py)
    }

    /// A picture `[height, width, 3]` of one slot, or None.
    fn render<'py>(&self, py: Python<'py>, slot: usize) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Some(frame) = guarded(|| Ok(self.envs.lock().render(slot)))? else { return Ok(None) };
        let shape = (frame.height as usize, frame.width as usize, 3);
        Ok(Some(PyArray1::from_vec(py, frame.rgb).call_method1("reshape", (shape,))?))
    }
}
