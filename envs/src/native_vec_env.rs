//! `NativeVecEnv`: a vector environment over any `Env`s, in one thread, with no allocation per step.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::{check_active, check_length};
use crate::masks::ActionMasks;
use crate::{
    ActionRef, Actions, Env, EnvError, EnvRng, Frame, Kwargs, MakeOptions, SlotInfo, Space, StepBuffers,
    VecEnv, VecEnvState,
};

/// Words a slot takes in [`VecEnvState::rng`].
const SLOT_WORDS: usize = 9;

/// A [`VecEnv`] over boxed [`Env`]s of one kind.
///
/// ```
/// use relax_envs::{Actions, MakeOptions, NativeVecEnv, StepBuffers, VecEnv};
/// let mut envs = NativeVecEnv::make("CartPole-v1", 2, &MakeOptions::default())?;
/// let mut out = StepBuffers::new(envs.slots(), envs.observation_dim());
/// envs.reset(&[0, 1], &mut out.observations)?;
/// for _ in 0..100 {
///     envs.step(&[0, 1], Actions::Discrete(&[0, 1]), &mut out)?;      // falls over, and starts again
/// }
/// assert!(envs.slot_info(0).is_some_and(|slot| slot.episode > 5));
/// # Ok::<(), relax_envs::EnvError>(())
/// ```
pub struct NativeVecEnv {
    id: String,
    envs: Vec<Box<dyn Env>>,
    rngs: Vec<EnvRng>,
    infos: Vec<SlotInfo>,
    observation_space: Space,
    action_space: Space,
    dim: usize,
    autoreset: bool,
    /// None if the environments mask nothing, which the first reset shows.
    masks: Option<ActionMasks>,
}

impl NativeVecEnv {
    /// One slot per environment. Errors will name `id`.
    ///
    /// # Errors
    ///
    /// No environments, or environments whose spaces differ or are invalid.
    pub fn new(id: impl Into<String>, envs: Vec<Box<dyn Env>>) -> Result<Self, EnvError> {
        let first =
            envs.first().ok_or(EnvError::BufferLength { what: "environments", expected: 1, got: 0 })?;
        let (observation_space, action_space) =
            (first.observation_space().clone(), first.action_space().clone());
        observation_space.validate()?;
        action_space.validate()?;
        for env in &envs[1..] {
            for (space, first) in
                [(env.observation_space(), &observation_space), (env.action_space(), &action_space)]
            {
                if space != first {
                    return Err(EnvError::InvalidSpace {
                        space: space.to_string(),
                        reason: format!("the first slot has {first}"),
                    });
                }
            }
        }
        Ok(Self {
            id: id.into(),
            rngs: vec![EnvRng::from_seed(0); envs.len()],
            infos: vec![SlotInfo::default(); envs.len()],
            dim: observation_space.flat_dim(),
            autoreset: true,
            masks: None,
            envs,
            observation_space,
            action_space,
        })
    }

    /// `slots` environments from the registry.
    ///
    /// # Errors
    ///
    /// Those of [`make_with`](crate::make_with), and no slots.
    pub fn make(id: &str, slots: usize, options: &MakeOptions) -> Result<Self, EnvError> {
        let envs = (0..slots).map(|_| crate::make_with(id, options)).collect::<Result<_, _>>()?;
        Self::new(id, envs)
    }

    /// Whether the step that ends an episode also starts the next one, as a [`VecEnv`] must and does by default. Without,
    /// a slot stands still after an end until [`reset_slots`](Self::reset_slots) starts its next episode; `observations`
    /// then hold the last one of the episode too.
    pub fn set_autoreset(&mut self, autoreset: bool) {
        self.autoreset = autoreset;
    }

    /// Starts a fresh episode in some slots (ascending) with the options of Gymnasium's `reset(options=…)`: with its own seed
    /// where `seeds` has one, else with the slot's random numbers going on. Writes their rows of `observations`
    /// `[slots, D]`.
    ///
    /// # Errors
    ///
    /// As [`VecEnv::reset`]; an option that the environment does not take.
    pub fn reset_slots(
        &mut self,
        active: &[u32],
        seeds: &[Option<u64>],
        options: &Kwargs,
        observations: &mut [f32],
    ) -> Result<(), EnvError> {
        check_active(active, self.slots())?;
        check_length("seeds", seeds.len(), active.len())?;
        check_length("observations", observations.len(), self.slots() * self.dim)?;
        for (&slot, &seed) in active.iter().zip(seeds) {
            let slot = slot as usize;
            let observation = &mut observations[slot * self.dim..(slot + 1) * self.dim];
            if let Some(seed) = seed {
                self.rngs[slot] = EnvRng::from_seed(seed);
                self.infos[slot] = SlotInfo { seed, episode: 0, running: false };
            }
            self.infos[slot].running = false;
            self.envs[slot]
                .reset_with(options, &mut self.rngs[slot], observation)
                .and_then(|()| check_finite(observation))
                .map_err(|error| self.slot_error(slot, error))?;
            self.infos[slot].running = true;
        }
        self.declare_masks()?;
        active.iter().try_for_each(|&slot| {
            let slot = slot as usize;
            self.take_first_mask(slot).map_err(|error| self.slot_error(slot, error))
        })
    }

    /// The environment of a slot; none beyond the last.
    pub fn env(&self, slot: usize) -> Option<&dyn Env> {
        self.envs.get(slot).map(|env| &**env)
    }

    /// As [`env`](Self::env), to be changed.
    pub fn env_mut(&mut self, slot: usize) -> Option<&mut (dyn Env + 'static)> {
        self.envs.get_mut(slot).map(|env| &mut **env)
    }

    #[cold]
    fn slot_error(&self, slot: usize, source: EnvError) -> EnvError {
        let SlotInfo { seed, episode, .. } = self.infos[slot];
        EnvError::Slot { env: self.id.clone(), slot, seed, episode, source: Box::new(source) }
    }

    /// Steps the active slots; `action(j)` is the j-th row. Generic, so that each kind of action gets its own loop.
    #[inline]
    fn step_rows<'a>(
        &mut self,
        active: &[u32],
        action: impl Fn(usize) -> ActionRef<'a>,
        out: &mut StepBuffers,
    ) -> Result<(), EnvError> {
        // One net for all slots, so that the error of an environment that panics names its slot and seed as well.
        let mut current = 0;
        let stepped = catch_unwind(AssertUnwindSafe(|| {
            active.iter().enumerate().try_for_each(|(row, &slot)| {
                current = slot as usize;
                self.step_slot(current, action(row), out)
            })
        }));
        stepped
            .unwrap_or_else(|panic| Err(EnvError::panicked(&*panic)))
            .map_err(|error| self.slot_error(current, error))
    }

    #[inline]
    fn step_slot(
        &mut self,
        slot: usize,
        action: ActionRef<'_>,
        out: &mut StepBuffers,
    ) -> Result<(), EnvError> {
        let row = slot * self.dim..(slot + 1) * self.dim;
        let observation = &mut out.observations[row.clone()];
        if !self.infos[slot].running {
            return Err(EnvError::needs_reset(&self.id));
        }
        let step = self.envs[slot].step(action, &mut self.rngs[slot], observation)?;
        check_finite(observation)?;
        if !(step.reward as f32).is_finite() {
            return Err(EnvError::NonFinite { what: "reward".to_owned(), value: step.reward });
        }
        out.rewards[slot] = step.reward;
        out.terminated[slot] = step.terminated;
        out.truncated[slot] = step.truncated;
        if self.masks.is_some() {
            self.take_mask(slot, step.ended())?;
        }
        if step.ended() {
            out.final_observations[row].copy_from_slice(observation);
            let info = &mut self.infos[slot];
            info.episode += 1;
            info.running = false;
            if !self.autoreset {
                return Ok(());
            }
            self.envs[slot].reset(&mut self.rngs[slot], observation)?;
            check_finite(observation)?;
            self.take_first_mask(slot)?;
            self.infos[slot].running = true;
        }
        Ok(())
    }

    /// Makes room for masks if the environments have them.
    fn declare_masks(&mut self) -> Result<(), EnvError> {
        if self.masks.is_none()
            && let Some(slot) = self.envs.iter().position(|env| env.action_mask().is_some())
        {
            let masks = ActionMasks::new(&self.action_space, self.slots());
            self.masks = Some(masks.map_err(|error| self.slot_error(slot, error))?);
        }
        Ok(())
    }

    /// The mask after a step.
    #[inline(never)]
    fn take_mask(&mut self, slot: usize, ended: bool) -> Result<(), EnvError> {
        let Some(masks) = &mut self.masks else { return Ok(()) };
        masks.set(slot, self.envs[slot].action_mask())?;
        if ended {
            masks.end(slot);
            return Ok(());
        }
        masks.check(slot, None)
    }

    /// The mask of an episode's first observation.
    fn take_first_mask(&mut self, slot: usize) -> Result<(), EnvError> {
        let Some(masks) = &mut self.masks else { return Ok(()) };
        masks.set(slot, self.envs[slot].action_mask())?;
        masks.check(slot, Some(0))
    }

    /// Loads without a way back; `load_state` provides that.
    fn load_slots(&mut self, state: &VecEnvState) -> Result<(), EnvError> {
        check_length("VecEnvState.rng", state.rng.len(), SLOT_WORDS * self.slots())?;
        let mut envs = state.envs.as_slice();
        for (slot, words) in state.rng.chunks_exact(SLOT_WORDS).enumerate() {
            let mut load = || {
                let running = match words[8] {
                    0 => false,
                    1 => true,
                    other => {
                        return Err(EnvError::invalid_state(&self.id, format!("`running` is {other}")));
                    }
                };
                self.rngs[slot] =
                    EnvRng::from_state([words[0], words[1], words[2], words[3], words[4], words[5]])?;
                self.infos[slot] = SlotInfo { seed: words[6], episode: words[7], running };
                self.envs[slot].load_state(&mut envs)
            };
            load().map_err(|error| self.slot_error(slot, error))?;
        }
        if !envs.is_empty() {
            return Err(EnvError::invalid_state(&self.id, format!("{} numbers are left over", envs.len())));
        }
        self.declare_masks()?;
        if let Some(masks) = &mut self.masks {
            (0..self.envs.len()).try_for_each(|slot| masks.set(slot, self.envs[slot].action_mask()))?;
        }
        Ok(())
    }
}

/// Errors unless every value is finite.
#[inline]
pub(crate) fn check_finite(observation: &[f32]) -> Result<(), EnvError> {
    // On bits and without an early exit, so that it vectorises: all exponent bits are set in NaN and infinities alone.
    const EXPONENT: u32 = 0x7f80_0000;
    let bad = observation.iter().fold(false, |bad, v| bad | (v.to_bits() & EXPONENT == EXPONENT));
    if bad { Err(non_finite(observation)) } else { Ok(()) }
}

#[cold]
fn non_finite(observation: &[f32]) -> EnvError {
    let at = observation.iter().position(|v| !v.is_finite()).unwrap_or(0);
    EnvError::NonFinite { what: format!("observation[{at}]"), value: f64::from(observation[at]) }
}

impl VecEnv for NativeVecEnv {
    fn env_id(&self) -> &str {
        &self.id
    }

    fn slots(&self) -> usize {
        self.envs.len()
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
        check_length("seeds", seeds.len(), self.slots())?;
        check_length("observations", observations.len(), self.slots() * self.dim)?;
        for (slot, &seed) in seeds.iter().enumerate() {
            let observation = &mut observations[slot * self.dim..(slot + 1) * self.dim];
            self.rngs[slot] = EnvRng::from_seed(seed);
            self.infos[slot] = SlotInfo { seed, episode: 0, running: false };
            self.envs[slot]
                .reset(&mut self.rngs[slot], observation)
                .and_then(|()| check_finite(observation))
                .map_err(|error| self.slot_error(slot, error))?;
            self.infos[slot].running = true;
        }
        self.declare_masks()?;
        (0..self.slots())
            .try_for_each(|slot| self.take_first_mask(slot).map_err(|error| self.slot_error(slot, error)))
    }

    fn step(&mut self, active: &[u32], actions: Actions<'_>, out: &mut StepBuffers) -> Result<(), EnvError> {
        let slots = self.slots();
        out.check(slots, self.dim)?;
        check_active(active, slots)?;
        match actions {
            Actions::Discrete(indices) => {
                check_length("actions", indices.len(), active.len())?;
                self.step_rows(active, |row| ActionRef::Discrete(indices[row] as usize), out)
            }
            Actions::Box { values, dim } => {
                check_length("actions", values.len(), active.len() * dim)?;
                self.step_rows(active, |row| ActionRef::Box(&values[row * dim..(row + 1) * dim]), out)
            }
            Actions::MultiDiscrete { values, dim } => {
                check_length("actions", values.len(), active.len() * dim)?;
                self.step_rows(
                    active,
                    |row| ActionRef::MultiDiscrete(&values[row * dim..(row + 1) * dim]),
                    out,
                )
            }
            Actions::MultiBinary { values, dim } => {
                check_length("actions", values.len(), active.len() * dim)?;
                self.step_rows(active, |row| ActionRef::MultiBinary(&values[row * dim..(row + 1) * dim]), out)
            }
        }
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

    fn running_statistics(&self) -> Option<String> {
        self.envs.first()?.running_statistics()
    }

    fn save_state(&self) -> Result<VecEnvState, EnvError> {
        let mut state = VecEnvState::default();
        for slot in 0..self.slots() {
            self.envs[slot].save_state(&mut state.envs).map_err(|error| self.slot_error(slot, error))?;
            let SlotInfo { seed, episode, running } = self.infos[slot];
            state.rng.extend(self.rngs[slot].state());
            state.rng.extend([seed, episode, u64::from(running)]);
        }
        Ok(state)
    }

    fn load_state(&mut self, state: &VecEnvState) -> Result<(), EnvError> {
        let before = self.save_state()?;
        self.load_slots(state).or_else(|error| {
            self.load_slots(&before)?;
            Err(error)
        })
    }

    fn render(&self, slot: usize) -> Option<Frame> {
        self.envs.get(slot)?.render()
    }
}
