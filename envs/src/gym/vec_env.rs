//! `GymVecEnv`: a vector of Gymnasium environments, one Python call a step.

use std::time::Duration;

use numpy::{PyArray1, PyArray2, PyArrayDyn, PyArrayMethods, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::{PREFIX, convert, interpreter};
use crate::error::check_length;
use crate::native_vec_env::check_finite;
use crate::{
    Actions, EnvError, EnvSpec, Frame, MakeOptions, SlotInfo, Space, StepBuffers, VecEnv, VecEnvState,
    Vectorization, Watch, WrapperConfig,
};

/// A [`VecEnv`] over Gymnasium environments.
///
/// With [`Vectorization::Vector`] all slots step together: a slot that is left out of `active` is stepped too, with
/// action 0, and what it returns is dropped. If the environment's autoreset mode is `NEXT_STEP`, a slot whose episode
/// has ended [waits](VecEnv::waits) for one step. Such an environment has one generator, seeded with slot 0's seed.
pub struct GymVecEnv {
    id: String,
    slots: usize,
    dim: usize,
    observation_space: Space,
    action_space: Space,
    infos: Vec<SlotInfo>,
    /// Slots whose next step only resets them.
    waits: Vec<bool>,
    kind: Vectorization,
    next_step: bool,
    driver: Driver,
    watch: Option<Watch>,
}

/// Objects of the Python half, looked up once.
struct Driver {
    object: Py<PyAny>,
    step: Py<PyAny>,
    /// `vec.step` and `driver.take`, if the environment's own arrays can be read without a detour.
    bare: Option<(Py<PyAny>, Py<PyAny>)>,
    observations: Py<PyArray2<f32>>,
    final_observations: Py<PyArray2<f32>>,
    rewards: Py<PyArray1<f64>>,
    terminated: Py<PyArray1<bool>>,
    truncated: Py<PyArray1<bool>>,
    actions: ActionArray,
}

/// The array that Rust writes actions into.
enum ActionArray {
    Discrete(Py<PyArray1<i64>>),
    Box(Py<PyArray2<f32>>),
    Integers(Py<PyArray2<i64>>),
}

/// What Gymnasium's registry knows about `gym:…`.
///
/// # Errors
///
/// No Python, no Gymnasium, or no such environment.
pub fn spec(id: &str) -> Result<EnvSpec, EnvError> {
    let bridge = interpreter::bridge(interpreter::named)?;
    let (limit, threshold, entry_point): (Option<u32>, Option<f64>, String) = Python::attach(|py| {
        let facts = bridge.bind(py).call_method1("facts", (name(id),)).and_then(|facts| facts.extract());
        facts.map_err(|error| convert::fault(py, &error).error)
    })?;
    let own = id.to_owned();
    let mut spec = EnvSpec::new(id, format!("Gymnasium's {}: {entry_point}", name(id)), move |kwargs| {
        let options = MakeOptions { kwargs: kwargs.clone(), ..MakeOptions::default() };
        Ok(Box::new(super::GymEnv::make(&own, &options)?))
    });
    (spec.max_episode_steps, spec.reward_threshold) = (limit, threshold);
    Ok(spec)
}

/// Gymnasium's own name of an id.
fn name(id: &str) -> &str {
    id.strip_prefix(PREFIX).unwrap_or(id)
}

/// A wrapper as Gymnasium's name and arguments.
fn wrapper(config: &WrapperConfig) -> Result<(String, crate::Kwargs), EnvError> {
    use crate::Kwarg::{Float, Int};
    let one = |name: &str, key: &str, value| Ok((name.to_owned(), [(key.to_owned(), value)].into()));
    match config {
        WrapperConfig::Gymnasium { wrapper, kwargs } => Ok((wrapper.clone(), kwargs.clone())),
        WrapperConfig::FrameStack { size } => one("FrameStackObservation", "stack_size", Int(*size as i64)),
        WrapperConfig::NormalizeObservation {} => Ok(("NormalizeObservation".to_owned(), Default::default())),
        WrapperConfig::NormalizeReward { gamma } => one("NormalizeReward", "gamma", Float(*gamma)),
        WrapperConfig::ClipAction {} => Ok(("ClipAction".to_owned(), Default::default())),
        WrapperConfig::TimeLimit { max_episode_steps } => {
            one("TimeLimit", "max_episode_steps", Int(i64::from(*max_episode_steps)))
        }
        WrapperConfig::ObservationScale { .. } => Err(EnvError::Wrapper {
            wrapper: "ObservationScale",
            reason: "it is for native environments; learner.normalize_observations works with all".to_owned(),
        }),
    }
}

impl GymVecEnv {
    /// `slots` environments of the id `gym:…`. Starts Python if it does not run yet.
    ///
    /// # Errors
    ///
    /// [`EnvError::Python`] says in a sentence what is missing and how to get it.
    pub fn make(id: &str, slots: usize, options: &MakeOptions) -> Result<Self, EnvError> {
        if slots == 0 {
            return Err(EnvError::BufferLength { what: "environments", expected: 1, got: 0 });
        }
        let wrappers = options.wrappers.iter().map(wrapper).collect::<Result<Vec<_>, _>>()?;
        let bridge = interpreter::bridge(interpreter::named)?;
        let limit = options.time_limit();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let mut made = Python::attach(|py| -> Result<Self, EnvError> {
            let build = || -> PyResult<Self> {
                let kwargs = convert::dictionary(py, &options.kwargs)?;
                let wrappers = wrappers
                    .iter()
                    .map(|(name, kwargs)| Ok((name, convert::dictionary(py, kwargs)?)))
                    .collect::<PyResult<Vec<_>>>()?;
                let arguments = (
                    name(id),
                    slots,
                    kwargs,
                    wrappers,
                    options.max_episode_steps,
                    options.vectorization.unwrap_or_default().name(),
                    cores,
                );
                Self::around(id, slots, &bridge.bind(py).call_method1("make", arguments)?)
            };
            build().map_err(|error| match convert::fault(py, &error).error {
                EnvError::PythonFault { message, .. } => {
                    EnvError::Python { message: format!("cannot make {}:\n{message}", name(id)) }
                }
                other => other,
            })
        })?;
        made.observation_space.validate()?;
        made.action_space.validate()?;
        made.watch = limit.map(|limit| Watch::new(limit, diagnosis(id)));
        Ok(made)
    }

    /// Takes over a driver of the bridge.
    fn around(id: &str, slots: usize, driver: &Bound<'_, PyAny>) -> PyResult<Self> {
        let observation_space = convert::space(&driver.getattr("observation_description")?)?;
        let action_space = convert::space(&driver.getattr("action_description")?)?;
        fn array<T: pyo3::PyTypeCheck>(driver: &Bound<'_, PyAny>, name: &str) -> PyResult<Py<T>> {
            Ok(driver.getattr(name)?.cast_into::<T>()?.unbind())
        }
        let actions = match &action_space {
            Space::Discrete { .. } => ActionArray::Discrete(array(driver, "actions")?),
            Space::Box { .. } => ActionArray::Box(array(driver, "actions")?),
            _ => ActionArray::Integers(array(driver, "actions")?),
        };
        let kind = match driver.getattr("kind")?.extract::<String>()?.as_str() {
            "vector" => Vectorization::Vector,
            "async" => Vectorization::Async,
            _ => Vectorization::Sync,
        };
        let bare = kind == Vectorization::Vector && driver.getattr("bare")?.is_truthy()?;
        let bare = bare.then(|| -> PyResult<_> {
            Ok((driver.getattr("vec")?.getattr("step")?.unbind(), driver.getattr("take")?.unbind()))
        });
        Ok(Self {
            id: id.to_owned(),
            slots,
            dim: observation_space.flat_dim(),
            observation_space,
            action_space,
            infos: vec![SlotInfo::default(); slots],
            waits: vec![false; slots],
            kind,
            next_step: driver.getattr("next_step")?.is_truthy()?,
            driver: Driver {
                step: driver.getattr("step")?.unbind(),
                bare: bare.transpose()?,
                observations: array(driver, "observations")?,
                final_observations: array(driver, "final_observations")?,
                rewards: array(driver, "rewards")?,
                terminated: array(driver, "terminated")?,
                truncated: array(driver, "truncated")?,
                actions,
                object: driver.clone().unbind(),
            },
            watch: None,
        })
    }

    /// How the slots are stepped: never [`Vectorization::Auto`].
    pub fn vectorization(&self) -> Vectorization {
        self.kind
    }

    /// Identifiers of the subprocesses, if there are any.
    pub fn process_ids(&self) -> Vec<u32> {
        let ids = Python::attach(|py| self.driver.object.bind(py).call_method0("process_ids")?.extract());
        ids.unwrap_or_default()
    }

    #[cold]
    fn error(&self, slot: Option<usize>, source: EnvError) -> EnvError {
        let (env, source) = (self.id.clone(), Box::new(source));
        match slot.and_then(|slot| Some((slot, self.infos.get(slot)?))) {
            Some((slot, SlotInfo { seed, episode, .. })) => {
                EnvError::Slot { env, slot, seed: *seed, episode: *episode, source }
            }
            None => EnvError::Batch { env, seed: self.infos[0].seed, source },
        }
    }

    #[cold]
    fn python_error(&self, py: Python<'_>, error: &PyErr) -> EnvError {
        let fault = convert::fault(py, error);
        self.error(fault.slot, fault.error)
    }

    /// Checks the actions and writes them where the Python half reads them.
    fn write_actions(&self, py: Python<'_>, active: &[u32], actions: Actions<'_>) -> Result<(), EnvError> {
        let wrong = |got: &str| EnvError::invalid_action(&self.id, &self.action_space, got);
        let rows = |len: usize, dim: usize| -> Result<(), EnvError> {
            check_length("actions", len, active.len() * dim)?;
            check_length("an action", dim, self.action_space.size())
        };
        match (&self.driver.actions, actions) {
            (ActionArray::Discrete(array), Actions::Discrete(indices)) => {
                rows(indices.len(), 1)?;
                let n = self.action_space.flat_dim();
                if let Some(index) = indices.iter().find(|&&index| index as usize >= n) {
                    return Err(wrong(&format!("index {index}")));
                }
                if self.driver.bare.is_some() {
                    return Ok(());
                }
                let mut array = array.bind(py).readwrite();
                let to = array.as_slice_mut().map_err(|_| wrong("an array that is not contiguous"))?;
                active.iter().zip(indices).for_each(|(&slot, &index)| to[slot as usize] = i64::from(index));
            }
            (ActionArray::Box(array), Actions::Box { values, dim }) => {
                rows(values.len(), dim)?;
                if values.iter().any(|value| value.is_nan()) {
                    return Err(wrong("NaN"));
                }
                if self.driver.bare.is_some() {
                    return Ok(());
                }
                let mut array = array.bind(py).readwrite();
                let to = array.as_slice_mut().map_err(|_| wrong("an array that is not contiguous"))?;
                for (&slot, row) in active.iter().zip(values.chunks_exact(dim)) {
                    to[slot as usize * dim..][..dim].copy_from_slice(row);
                }
            }
            (ActionArray::Integers(array), Actions::MultiDiscrete { values, dim }) => {
                rows(values.len(), dim)?;
                self.write_integers(py, array, active, dim, |i| values[i] as i64)?;
            }
            (ActionArray::Integers(array), Actions::MultiBinary { values, dim }) => {
                rows(values.len(), dim)?;
                self.write_integers(py, array, active, dim, |i| i64::from(values[i]))?;
            }
            (_, other) => return Err(wrong(&format!("{other:?}").chars().take(80).collect::<String>())),
        }
        Ok(())
    }

    fn write_integers(
        &self,
        py: Python<'_>,
        array: &Py<PyArray2<i64>>,
        active: &[u32],
        dim: usize,
        value: impl Fn(usize) -> i64,
    ) -> Result<(), EnvError> {
        let mut array = array.bind(py).readwrite();
        let to =
            array.as_slice_mut().map_err(|error| EnvError::invalid_action(&self.id, "an array", error))?;
        for (row, &slot) in active.iter().enumerate() {
            for column in 0..dim {
                to[slot as usize * dim + column] = value(row * dim + column);
            }
        }
        Ok(())
    }

    /// Steps in Python; the results are in `out` afterwards for every slot that was stepped.
    fn step_python(
        &self,
        py: Python<'_>,
        active: &[u32],
        actions: Actions<'_>,
        out: &mut StepBuffers,
    ) -> PyResult<()> {
        let Some((step, take)) = &self.driver.bare else {
            let all = active.len() == self.slots || self.kind == Vectorization::Vector;
            self.driver.step.bind(py).call1((if all { None } else { Some(active) },))?;
            return self.read_all(py, out);
        };
        // A fresh array: the environment may keep it.
        let result = match actions {
            Actions::Discrete(indices) => {
                let mut all = vec![0; self.slots];
                active.iter().zip(indices).for_each(|(&slot, &index)| all[slot as usize] = i64::from(index));
                step.bind(py).call1((PyArray1::from_vec(py, all),))?
            }
            Actions::Box { values, dim } => {
                let mut all = vec![0.0; self.slots * dim];
                for (&slot, row) in active.iter().zip(values.chunks_exact(dim)) {
                    all[slot as usize * dim..][..dim].copy_from_slice(row);
                }
                step.bind(py).call1((PyArray1::from_vec(py, all).reshape([self.slots, dim])?,))?
            }
            _ => unreachable!("only Discrete and Box actions are passed on as they are"),
        };
        let result = result.cast_into::<PyTuple>()?;
        if self.read_bare(&result, out) {
            Ok(())
        } else {
            take.bind(py).call1(result)?;
            self.read_all(py, out)
        }
    }

    /// Reads what `vec.step` returned; false if that needs the Python half: unusual types or shapes, or final
    /// observations to be looked up.
    fn read_bare(&self, result: &Bound<'_, PyTuple>, out: &mut StepBuffers) -> bool {
        let read = || -> Option<()> {
            let [observations, rewards, terminated, truncated] =
                std::array::from_fn(|i| result.get_borrowed_item(i).ok());
            fn copy<T: numpy::Element + Copy>(array: &Bound<'_, PyAny>, out: &mut [T]) -> Option<()> {
                let array = array.cast::<PyArray1<T>>().ok()?;
                (array.len() == out.len()).then_some(())?;
                let array = array.readonly();
                out.iter_mut().zip(array.as_array()).for_each(|(to, &from)| *to = from);
                Some(())
            }
            copy(terminated.as_deref()?, &mut out.terminated)?;
            copy(truncated.as_deref()?, &mut out.truncated)?;
            let ended = out.terminated.iter().zip(&out.truncated).any(|(a, b)| a | b);
            if ended && !self.next_step {
                return None;
            }
            let rewards = rewards?;
            if let Ok(array) = rewards.cast::<PyArray1<f32>>() {
                (array.len() == self.slots).then_some(())?;
                let array = array.readonly();
                out.rewards.iter_mut().zip(array.as_array()).for_each(|(to, &from)| *to = f64::from(from));
            } else {
                copy(&rewards, &mut out.rewards)?;
            }
            let observations = observations?;
            let array = observations.cast::<PyArrayDyn<f32>>().ok()?;
            let Space::Box { shape, .. } = &self.observation_space else { return None };
            (array.shape().first() == Some(&self.slots) && array.shape()[1..] == **shape).then_some(())?;
            // Gymnasium's CartPole, for one, returns the transpose of a row-major array. `as_slice` gives the values as they
            // lie in memory, in either order.
            let (row_major, column_major) =
                (array.is_c_contiguous(), array.is_fortran_contiguous() && shape.len() == 1);
            let array = array.readonly();
            match array.as_slice() {
                Ok(slice) if row_major => out.observations.copy_from_slice(slice),
                Ok(slice) if column_major => {
                    for (column, values) in slice.chunks_exact(self.slots).enumerate() {
                        let to = out.observations[column..].iter_mut().step_by(self.dim);
                        to.zip(values).for_each(|(to, &from)| *to = from);
                    }
                }
                _ => out.observations.iter_mut().zip(array.as_array()).for_each(|(to, &from)| *to = from),
            }
            if ended {
                for slot in 0..self.slots {
                    if out.terminated[slot] || out.truncated[slot] {
                        let row = slot * self.dim..(slot + 1) * self.dim;
                        out.final_observations[row.clone()].copy_from_slice(&out.observations[row]);
                    }
                }
            }
            Some(())
        };
        let mut read = read;
        read().is_some()
    }

    /// Copies the driver's arrays.
    fn read_all(&self, py: Python<'_>, out: &mut StepBuffers) -> PyResult<()> {
        let driver = &self.driver;
        fn copy<T: numpy::Element + Copy>(array: &Bound<'_, PyArray1<T>>, out: &mut [T]) -> PyResult<()> {
            out.copy_from_slice(array.readonly().as_slice()?);
            Ok(())
        }
        copy(driver.rewards.bind(py), &mut out.rewards)?;
        copy(driver.terminated.bind(py), &mut out.terminated)?;
        copy(driver.truncated.bind(py), &mut out.truncated)?;
        out.observations.copy_from_slice(driver.observations.bind(py).readonly().as_slice()?);
        if out.terminated.iter().zip(&out.truncated).any(|(a, b)| a | b) {
            out.final_observations.copy_from_slice(driver.final_observations.bind(py).readonly().as_slice()?);
        }
        Ok(())
    }

    /// After a step: what is finite is believed, episodes are counted.
    fn settle(&mut self, active: &[u32], out: &StepBuffers) -> Result<(), EnvError> {
        for slot in 0..self.slots {
            if self.waits[slot] {
                self.waits[slot] = false;
                self.infos[slot].running = true;
            }
        }
        for &slot in active {
            let slot = slot as usize;
            let row = slot * self.dim..(slot + 1) * self.dim;
            let ended = out.terminated[slot] || out.truncated[slot];
            let mut checked = check_finite(&out.observations[row.clone()]);
            if ended && checked.is_ok() {
                checked = check_finite(&out.final_observations[row]);
            }
            if !out.rewards[slot].is_finite() && checked.is_ok() {
                let what = "reward".to_owned();
                checked = Err(EnvError::NonFinite { what, value: out.rewards[slot] });
            }
            checked.map_err(|error| self.error(Some(slot), error))?;
            if ended {
                self.infos[slot].episode += 1;
                self.waits[slot] = self.next_step;
                self.infos[slot].running = !self.next_step;
            }
        }
        Ok(())
    }
}

impl VecEnv for GymVecEnv {
    fn env_id(&self) -> &str {
        &self.id
    }

    fn slots(&self) -> usize {
        self.slots
    }

    fn observation_space(&self) -> &Space {
        &self.observation_space
    }

    fn action_space(&self) -> &Space {
        &self.action_space
    }

    fn observation_dim(&self) -> usize {
        self.dim
    }

    fn reset(&mut self, seeds: &[u64], observations: &mut [f32]) -> Result<(), EnvError> {
        check_length("seeds", seeds.len(), self.slots)?;
        check_length("observations", observations.len(), self.slots * self.dim)?;
        for (slot, info) in self.infos.iter_mut().enumerate() {
            let seed = if self.kind == Vectorization::Vector { seeds[0] } else { seeds[slot] };
            *info = SlotInfo { seed, episode: 0, running: false };
        }
        self.waits.fill(false);
        let inside = self.watch.as_ref().map(Watch::enter);
        Python::attach(|py| {
            let driver = self.driver.object.bind(py);
            driver.call_method1("reset", (seeds.to_vec(),))?;
            observations.copy_from_slice(self.driver.observations.bind(py).readonly().as_slice()?);
            Ok(())
        })
        .map_err(|error: PyErr| Python::attach(|py| self.python_error(py, &error)))?;
        drop(inside);
        for (slot, row) in observations.chunks_exact(self.dim).enumerate() {
            check_finite(row).map_err(|error| self.error(Some(slot), error))?;
        }
        self.infos.iter_mut().for_each(|info| info.running = true);
        Ok(())
    }

    fn step(&mut self, active: &[u32], actions: Actions<'_>, out: &mut StepBuffers) -> Result<(), EnvError> {
        out.check(self.slots, self.dim)?;
        let mut next = 0;
        for (index, &slot) in active.iter().enumerate() {
            let slot = slot as usize;
            if slot < next || slot >= self.slots {
                return Err(EnvError::InvalidSlots { slots: self.slots, index, slot });
            }
            if !self.infos[slot].running {
                return Err(self.error(Some(slot), EnvError::needs_reset(&self.id)));
            }
            next = slot + 1;
        }
        let inside = self.watch.as_ref().map(Watch::enter);
        Python::attach(|py| {
            self.write_actions(py, active, actions)?;
            self.step_python(py, active, actions, out).map_err(|error| self.python_error(py, &error))
        })?;
        drop(inside);
        self.settle(active, out)
    }

    fn slot_info(&self, slot: usize) -> Option<SlotInfo> {
        self.infos.get(slot).copied()
    }

    fn waits(&self, slot: usize) -> bool {
        self.waits.get(slot).is_some_and(|&waits| waits)
    }

    fn steps_together(&self) -> bool {
        self.kind == Vectorization::Vector
    }

    fn watch(&self) -> Option<Watch> {
        self.watch.clone()
    }

    fn save_state(&self) -> Result<VecEnvState, EnvError> {
        Err(EnvError::StateUnsupported { env: self.id.clone() })
    }

    fn load_state(&mut self, _: &VecEnvState) -> Result<(), EnvError> {
        Err(EnvError::StateUnsupported { env: self.id.clone() })
    }

    fn render(&self, slot: usize) -> Option<Frame> {
        Python::attach(|py| {
            let frame = self.driver.object.bind(py).call_method1("render", (slot,)).ok()?;
            let frame = frame.cast_into::<PyArrayDyn<u8>>().ok()?;
            let [height, width, 3] = *frame.shape() else { return None };
            let rgb = frame.readonly().as_slice().ok()?.to_vec();
            Some(Frame { width: u32::try_from(width).ok()?, height: u32::try_from(height).ok()?, rgb })
        })
    }
}

impl Drop for GymVecEnv {
    fn drop(&mut self) {
        // One that hangs holds Python's lock, perhaps for ever: its thread is left behind, and so is this.
        if self.watch.as_ref().is_some_and(|watch| watch.is_inside()) {
            return;
        }
        Python::attach(|py| {
            // An error here would only hide the one that ended the run.
            let _ = self.driver.object.bind(py).call_method0("close");
        });
    }
}

/// Makes the error for a call that takes too long: asks Python where it is, if Python answers.
fn diagnosis(id: &str) -> impl Fn(Duration) -> EnvError + Send + Sync + 'static {
    let env = id.to_owned();
    move |limit| {
        let (send, receive) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let Ok(bridge) = interpreter::bridge(interpreter::named) else { return };
            let found = Python::attach(|py| -> PyResult<String> {
                let own: u64 = py.import("threading")?.call_method0("get_ident")?.extract()?;
                bridge.bind(py).call_method1("where_it_hangs", (own,))?.extract()
            });
            let _ = send.send(found.ok());
        });
        let found = receive.recv_timeout(Duration::from_secs(2)).ok().flatten();
        let place = found.unwrap_or_else(|| "inside native code that keeps Python's lock".to_owned());
        EnvError::Hung { limit, place: format!("`{env}`, {place}") }
    }
}
