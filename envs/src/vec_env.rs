//! `VecEnv`: many environments stepped by one call, with same-step autoreset.

use serde::{Deserialize, Serialize};

use crate::{EnvError, Frame, Space, Watch};

/// The actions of one call of [`VecEnv::step`]: row `j` belongs to the j-th active slot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Actions<'a> {
    /// One index a row.
    Discrete(&'a [u32]),
    /// `dim` values a row, `[rows, dim]` row-major.
    Box {
        /// `[rows, dim]`.
        values: &'a [f32],
        /// Values a row.
        dim: usize,
    },
    /// `dim` indices a row, `[rows, dim]` row-major.
    MultiDiscrete {
        /// `[rows, dim]`.
        values: &'a [usize],
        /// Indices a row.
        dim: usize,
    },
    /// `dim` flags a row, `[rows, dim]` row-major.
    MultiBinary {
        /// `[rows, dim]`.
        values: &'a [bool],
        /// Flags a row.
        dim: usize,
    },
}

/// Where [`VecEnv::step`] writes; allocated once, indexed by slot. Rows of slots that were not active keep what they held.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StepBuffers {
    /// `[slots, D]`: the observation to act on next. After an end it is the first one of the next episode.
    pub observations: Vec<f32>,
    /// `[slots, D]`: the last observation of the episode that ended in this step. Meaningful only where `terminated`
    /// or `truncated` is set; other rows keep old values.
    pub final_observations: Vec<f32>,
    /// `[slots]`.
    pub rewards: Vec<f64>,
    /// `[slots]`: the task ended the episode.
    pub terminated: Vec<bool>,
    /// `[slots]`: the episode was cut from outside. Both flags can be set.
    pub truncated: Vec<bool>,
}

impl StepBuffers {
    /// Buffers for `slots` environments with observations of `dim` values.
    pub fn new(slots: usize, dim: usize) -> Self {
        Self {
            observations: vec![0.0; slots * dim],
            final_observations: vec![0.0; slots * dim],
            rewards: vec![0.0; slots],
            terminated: vec![false; slots],
            truncated: vec![false; slots],
        }
    }

    /// Errors unless every buffer has the length that `slots` and `dim` ask for.
    pub(crate) fn check(&self, slots: usize, dim: usize) -> Result<(), EnvError> {
        use crate::error::check_length;
        check_length("StepBuffers.observations", self.observations.len(), slots * dim)?;
        check_length("StepBuffers.final_observations", self.final_observations.len(), slots * dim)?;
        check_length("StepBuffers.rewards", self.rewards.len(), slots)?;
        check_length("StepBuffers.terminated", self.terminated.len(), slots)?;
        check_length("StepBuffers.truncated", self.truncated.len(), slots)
    }
}

/// Which episode a slot is in: `seed` and `episode` together reproduce it (reset with `seed`, finish `episode` episodes).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlotInfo {
    /// The seed given to the slot's last [`VecEnv::reset`].
    pub seed: u64,
    /// Episodes finished in the slot since then.
    pub episode: u64,
    /// Whether an episode is running.
    pub running: bool,
}

/// The state of all slots, with which a run continues bit for bit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VecEnvState {
    /// What the environments saved, slot after slot.
    pub envs: Vec<f64>,
    /// Nine words a slot: the six of [`EnvRng::state`](crate::EnvRng::state), then seed, episode and running (0 or 1) of
    /// [`SlotInfo`]. Kept as integers, since not every word is an exact `f64`.
    pub rng: Vec<u64>,
}

/// Many environments of one kind, stepped by one call.
///
/// Autoreset is "same-step": the step that ends an episode also starts the next one, so `observations` always holds what
/// to act on, and the last observation of the ended episode is kept in `final_observations` for bootstrapping.
pub trait VecEnv: Send {
    /// The id that errors name.
    fn env_id(&self) -> &str;

    /// Number of slots.
    fn slots(&self) -> usize;

    /// The space of one slot's observation.
    fn observation_space(&self) -> &Space;

    /// The space of one slot's action.
    fn action_space(&self) -> &Space;

    /// Values in one slot's observation, `D`.
    fn observation_dim(&self) -> usize {
        self.observation_space().flat_dim()
    }

    /// Starts a fresh episode in every slot; slot i's generator becomes `EnvRng::from_seed(seeds[i])`, as Gymnasium's
    /// `reset(seed=…)` does. Writes the first observations, `[slots, D]`.
    ///
    /// # Errors
    ///
    /// Lengths that do not fit; [`EnvError::Slot`] around what an environment reports.
    fn reset(&mut self, seeds: &[u64], observations: &mut [f32]) -> Result<(), EnvError>;

    /// Steps the slots in `active` (ascending slot indices; usually all of them).
    ///
    /// # Errors
    ///
    /// Lengths that do not fit, before anything is stepped; [`EnvError::Slot`] around what an environment reports, also
    /// for an observation or reward that is not finite, and an action mask that allows nothing. Slots before the failing one
    /// have been stepped then.
    fn step(&mut self, active: &[u32], actions: Actions<'_>, out: &mut StepBuffers) -> Result<(), EnvError>;

    /// Which choices are allowed at the observations to act on, `[slots, M]`: one entry a choice of every factor of the action
    /// space ([`Space::choices`]). `None`, as by default, if nothing is masked. Known after the first reset, and brought up
    /// to date by every reset, step and [`load_state`](Self::load_state): as the observations, a mask after an end is that
    /// of the next episode's first one.
    fn action_masks(&self) -> Option<&[bool]> {
        None
    }

    /// The masks at [`StepBuffers::final_observations`], `[slots, M]`: meaningful where those are.
    fn final_action_masks(&self) -> Option<&[bool]> {
        None
    }

    /// Which episode the slot is in; `None` beyond the last slot.
    fn slot_info(&self, slot: usize) -> Option<SlotInfo>;

    /// Everything needed to continue bit for bit, generators included.
    ///
    /// # Errors
    ///
    /// [`EnvError::StateUnsupported`] (inside [`EnvError::Slot`]) if the environments do not offer it.
    fn save_state(&self) -> Result<VecEnvState, EnvError>;

    /// Goes back to a saved state. On an error the state is as it was before.
    ///
    /// # Errors
    ///
    /// A state that does not fit these environments or this number of slots.
    fn load_state(&mut self, state: &VecEnvState) -> Result<(), EnvError>;

    /// Whether the slot's next step does nothing but start its next episode, as Gymnasium's `NEXT_STEP` autoreset does
    /// it. The caller leaves the slot out of `active` for one call of [`step`](Self::step), which may be called with
    /// no active slot at all; `observations` holds the slot's first observation after it.
    fn waits(&self, slot: usize) -> bool {
        let _ = slot;
        false
    }

    /// Whether slots that are not active are stepped as well, so that none can stand still while others go on.
    fn steps_together(&self) -> bool {
        false
    }

    /// The part of an environment that keeps running statistics of what passes through it, as
    /// [`Env::running_statistics`](crate::Env::running_statistics) says it.
    fn running_statistics(&self) -> Option<String> {
        None
    }

    /// By which another thread can notice that a call does not come back; none where that cannot happen.
    fn watch(&self) -> Option<Watch> {
        None
    }

    /// A picture of one slot, if its environment can draw itself.
    fn render(&self, slot: usize) -> Option<Frame>;
}
