//! `GymVecEnv`: a vector of Gymnasium environments, one Python call a step.

use std::time::Duration;

use numpy::{PyArrayDyn, PyArrayMethods, PyUntypedArrayMethods};
use pyo3::prelude::*;

use super::driver::Driver;
use super::{PREFIX, convert, interpreter};
use crate::error::{check_active, check_length};
use crate::masks::ActionMasks;
use crate::native_vec_env::check_finite;
use crate::{
    Actions, EnvError, EnvSpec, Frame, MakeOptions, SlotInfo, Space, StepBuffers, VecEnv, VecEnvState,
    Vectorization, Watch, WrapperConfig,
};

/// A [`VecEnv`] over Gymnasium environments.
///
/// With [`Vectorization::Vector`] all slots step together: a slot that is left out of `active` is stepped too, with
/// action 0, and what it returns is dropped. If the environment's autoreset mode is `NEXT_STEP`, a slot whose episode
/// has ended [waits](VecEnv::waits) for one step. Such an environment has one generator, seeded with slot 0's seed. Where
/// actions are masked (`info["action_mask"]`), the action of a slot that is left out is the first that is allowed.
pub struct GymVecEnv {
    id: String,
    slots: usize,
    dim: usize,
    observation_space: Space,
    action_space: Space,
    infos: Vec<SlotInfo>,
    /// Slots whose next step only resets them.
    waits: Vec<bool>,
    /// The same slots as a list.
    waiting: Vec<usize>,
    driver: Driver,
    watch: Option<Watch>,
    masks: Option<ActionMasks>,
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
    use crate::Kwarg::{Bool, Float, Int, List};
    use crate::wrappers::Bins;
    let one = |name: &str, key: &str, value| Ok((name.to_owned(), [(key.to_owned(), value)].into()));
    match config {
        WrapperConfig::Gymnasium { wrapper, kwargs } => Ok((wrapper.clone(), kwargs.clone())),
        WrapperConfig::FrameStack { size } => one("FrameStackObservation", "stack_size", Int(*size as i64)),
        WrapperConfig::NormalizeObservation {} => Ok(("NormalizeObservation".to_owned(), Default::default())),
        WrapperConfig::NormalizeReward { gamma } => one("NormalizeReward", "gamma", Float(*gamma)),
        WrapperConfig::ClipAction {} => Ok(("ClipAction".to_owned(), Default::default())),
        WrapperConfig::DiscretizeAction { bins, multidiscrete } => {
            let bins = match bins {
                Bins::All(bins) => Int(*bins as i64),
                Bins::Each(bins) => List(bins.iter().map(|&bins| Int(bins as i64)).collect()),
            };
            let kwargs = [("bins".to_owned(), bins), ("multidiscrete".to_owned(), Bool(*multidiscrete))];
            Ok(("DiscretizeAction".to_owned(), kwargs.into()))
        }
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
        let driver = Driver::around(driver, slots, &observation_space, &action_space)?;
        Ok(Self {
            id: id.to_owned(),
            slots,
            dim: observation_space.flat_dim(),
            observation_space,
            action_space,
            infos: vec![SlotInfo::default(); slots],
            waits: vec![false; slots],
            waiting: Vec::new(),
            driver,
            watch: None,
            masks: None,
        })
    }

    /// How the slots are stepped: never [`Vectorization::Auto`].
    pub fn vectorization(&self) -> Vectorization {
        self.driver.kind
    }

    /// The bridge's driver.
    pub(super) fn driver_object<'py>(&self, py: Python<'py>) -> &Bound<'py, PyAny> {
        self.driver.object(py)
    }

    /// Identifiers of the subprocesses, if there are any.
    pub fn process_ids(&self) -> Vec<u32> {
        let ids = Python::attach(|py| self.driver.object(py).call_method0("process_ids")?.extract());
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

    /// Checks actions against the space.
    fn check_actions(&self, active: &[u32], actions: Actions<'_>) -> Result<(), EnvError> {
        let wrong = |got: &str| EnvError::invalid_action(&self.id, &self.action_space, got);
        let rows = |len: usize, dim: usize| -> Result<(), EnvError> {
            check_length("actions", len, active.len() * dim)?;
            check_length("an action", dim, self.action_space.size())
        };
        match (&self.action_space, actions) {
            (&Space::Discrete { n, .. }, Actions::Discrete(indices)) => {
                rows(indices.len(), 1)?;
                let most = indices.iter().fold(0, |most, &index| most.max(index));
                if most as usize >= n { Err(wrong(&format!("index {most}"))) } else { Ok(()) }
            }
            (Space::Box { .. }, Actions::Box { values, dim }) => {
                rows(values.len(), dim)?;
                if values.iter().any(|value| value.is_nan()) { Err(wrong("NaN")) } else { Ok(()) }
            }
            (Space::MultiDiscrete { nvec }, Actions::MultiDiscrete { values, dim }) => {
                rows(values.len(), dim)?;
                match values
                    .chunks_exact(dim.max(1))
                    .find(|row| row.iter().zip(nvec).any(|(value, n)| value >= n))
                {
                    Some(row) => Err(wrong(&format!("indices {row:?}"))),
                    None => Ok(()),
                }
            }
            (Space::MultiBinary { .. }, Actions::MultiBinary { values, dim }) => rows(values.len(), dim),
            (_, other) => Err(wrong(&format!("{other:?}").chars().take(80).collect::<String>())),
        }
    }

    /// After a step: what is finite is believed, episodes are counted.
    fn settle(&mut self, active: &[u32], out: &StepBuffers) -> Result<(), EnvError> {
        for slot in self.waiting.drain(..) {
            self.waits[slot] = false;
            self.infos[slot].running = true;
        }
        self.check_masks()?;
        // All at once first, for speed; slots that were left out may hold anything, though.
        let finite = check_finite(&out.observations).is_ok()
            && out.rewards.iter().fold(true, |finite, &reward| finite & (reward as f32).is_finite());
        if !finite {
            for &slot in active {
                let slot = slot as usize;
                self.check_slot(slot, out).map_err(|error| self.error(Some(slot), error))?;
            }
        }
        let all = active.len() == self.slots;
        for &slot in &self.driver.ended {
            if all || active.binary_search(&(slot as u32)).is_ok() {
                let row = slot * self.dim..(slot + 1) * self.dim;
                check_finite(&out.final_observations[row]).map_err(|error| self.error(Some(slot), error))?;
                self.infos[slot].episode += 1;
                if self.driver.next_step {
                    self.waits[slot] = true;
                    self.waiting.push(slot);
                    self.infos[slot].running = false;
                }
            }
        }
        Ok(())
    }

    /// Errors unless every slot that is to act next may do something.
    fn check_masks(&self) -> Result<(), EnvError> {
        let Some(masks) = &self.masks else { return Ok(()) };
        (0..self.slots).try_for_each(|slot| {
            let checked = match self.driver.ended.contains(&slot) {
                // The mask is the ended episode's, in which nothing is done any more.
                true if self.driver.next_step => Ok(()),
                true => masks.check(slot, Some(0)),
                false => masks.check(slot, None),
            };
            checked.map_err(|error| self.error(Some(slot), error))
        })
    }

    /// Errors unless observation and reward of `slot` are finite.
    fn check_slot(&self, slot: usize, out: &StepBuffers) -> Result<(), EnvError> {
        check_finite(&out.observations[slot * self.dim..(slot + 1) * self.dim])?;
        if (out.rewards[slot] as f32).is_finite() {
            return Ok(());
        }
        Err(EnvError::NonFinite { what: "reward".to_owned(), value: out.rewards[slot] })
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
            let seed = if self.driver.kind == Vectorization::Vector { seeds[0] } else { seeds[slot] };
            *info = SlotInfo { seed, episode: 0, running: false };
        }
        self.waits.fill(false);
        self.waiting.clear();
        let Self { driver, action_space, masks, watch, .. } = self;
        let inside = watch.as_ref().map(Watch::enter);
        let reset = Python::attach(|py| {
            driver.reset(py, seeds, observations)?;
            Ok(driver.read_masks(py, action_space, masks))
        });
        drop(inside);
        reset.map_err(|error| Python::attach(|py| self.python_error(py, &error)))??;
        for (slot, row) in observations.chunks_exact(self.dim).enumerate() {
            check_finite(row).map_err(|error| self.error(Some(slot), error))?;
        }
        if let Some(masks) = &self.masks {
            for slot in 0..self.slots {
                masks.check(slot, Some(0)).map_err(|error| self.error(Some(slot), error))?;
            }
        }
        self.infos.iter_mut().for_each(|info| info.running = true);
        Ok(())
    }

    fn step(&mut self, active: &[u32], actions: Actions<'_>, out: &mut StepBuffers) -> Result<(), EnvError> {
        out.check(self.slots, self.dim)?;
        check_active(active, self.slots)?;
        if let Some(&slot) = active.iter().find(|&&slot| !self.infos[slot as usize].running) {
            return Err(self.error(Some(slot as usize), EnvError::needs_reset(&self.id)));
        }
        self.check_actions(active, actions)?;
        let Self { driver, watch, masks, action_space, .. } = self;
        let inside = watch.as_ref().map(Watch::enter);
        let stepped = Python::attach(|py| {
            driver.step(py, active, actions, masks.as_ref(), out)?;
            Ok(driver.read_masks(py, action_space, masks))
        });
        drop(inside);
        stepped.map_err(|error| Python::attach(|py| self.python_error(py, &error)))??;
        self.settle(active, out)
    }

    fn action_masks(&self) -> Option<&[bool]> {
        self.masks.as_ref().map(|masks| masks.now.as_slice())
    }

    fn final_action_masks(&self) -> Option<&[bool]> {
        self.masks.as_ref().map(|masks| masks.last.as_slice())
    }

    fn slot_info(&self, slot: usize) -> Option<SlotInfo> {
        self.infos.get(slot).copied()
    }

    fn waits(&self, slot: usize) -> bool {
        self.waits.get(slot).is_some_and(|&waits| waits)
    }

    fn steps_together(&self) -> bool {
        self.driver.kind == Vectorization::Vector
    }

    fn running_statistics(&self) -> Option<String> {
        Python::attach(|py| self.driver.object(py).getattr("statistics").ok()?.extract().ok()?)
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
            let frame = self.driver.object(py).call_method1("render", (slot,)).ok()?;
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
            let _ = self.driver.object(py).call_method0("close");
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
