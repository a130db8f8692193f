//! What an actor keeps in a checkpoint.

use relax_envs::{EnvRng, VecEnvState};
use relax_nn::{StateDict, StateError, StateTensor};

use super::Streams;

/// Words of one environment slot in [`VecEnvState::rng`], and of one random stream.
const SLOT_WORDS: usize = 9;
pub(super) const RNG_WORDS: usize = 6;

/// The state of some slots, slot after slot: actors' states join and split where slots do.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ActorState {
    pub(super) envs: Option<VecEnvState>,
    pub(super) streams: Vec<u64>,
    pub(super) processes: Vec<f32>,
    pub(super) observations: Vec<f32>,
    pub(super) totals: Vec<f64>,
    pub(super) lengths: Vec<u64>,
}

impl ActorState {
    /// That of some slots at the start of a run of this `seed`, of environments that cannot save themselves: nothing but the streams
    /// behind their actions.
    pub(crate) fn without_environments(
        seed: u64,
        names: Streams,
        slots: std::ops::Range<usize>,
        dim: usize,
        noise_dim: usize,
    ) -> Self {
        let stream = |slot: usize| EnvRng::from_seed_sequence(seed, &[names.actions, slot as u32]).state();
        let count = slots.len();
        Self {
            envs: None,
            streams: slots.flat_map(stream).collect(),
            processes: vec![0.0; count * noise_dim],
            observations: vec![0.0; count * dim],
            totals: vec![0.0; count],
            lengths: vec![0; count],
        }
    }

    /// Appends the slots of another actor.
    pub fn extend(&mut self, other: Self) {
        let empty = self.streams.is_empty();
        self.envs = match (self.envs.take(), other.envs) {
            (Some(mut a), Some(b)) => {
                a.envs.extend(b.envs);
                a.rng.extend(b.rng);
                Some(a)
            }
            (None, b) if empty => b,
            _ => None,
        };
        self.streams.extend(other.streams);
        self.processes.extend(other.processes);
        self.observations.extend(other.observations);
        self.totals.extend(other.totals);
        self.lengths.extend(other.lengths);
    }

    /// Some of `slots` slots. All environments of a run are of one kind and save the same number of values.
    #[must_use]
    pub fn slice(&self, slots: usize, part: std::ops::Range<usize>) -> Self {
        fn cut<T: Clone>(all: &[T], slots: usize, part: &std::ops::Range<usize>) -> Vec<T> {
            let width = all.len() / slots.max(1);
            all.get(part.start * width..part.end * width).unwrap_or(&[]).to_vec()
        }
        let envs = self
            .envs
            .as_ref()
            .map(|s| VecEnvState { envs: cut(&s.envs, slots, &part), rng: cut(&s.rng, slots, &part) });
        Self {
            envs,
            streams: cut(&self.streams, slots, &part),
            processes: cut(&self.processes, slots, &part),
            observations: cut(&self.observations, slots, &part),
            totals: cut(&self.totals, slots, &part),
            lengths: cut(&self.lengths, slots, &part),
        }
    }

    /// `copies` slots that all stand where the one slot of this state does, each with an environment stream of its own.
    /// The streams behind the actions are the first slot's until [`with_action_streams`](Self::with_action_streams).
    #[must_use]
    pub fn branched(&self, copies: usize, mut stream: impl FnMut() -> EnvRng) -> Self {
        let mut all = Self::default();
        for _ in 0..copies {
            let mut one = self.clone();
            if let Some(envs) = &mut one.envs {
                envs.rng[..RNG_WORDS].copy_from_slice(&stream().state());
            }
            all.extend(one);
        }
        all
    }

    /// The same slots with other streams behind their actions: `stream(slot)`.
    #[must_use]
    pub fn with_action_streams(mut self, stream: impl Fn(usize) -> EnvRng) -> Self {
        let slots = self.totals.len();
        self.streams = (0..slots).flat_map(|slot| stream(slot).state()).collect();
        self
    }

    /// Whether the environments' own state is in it.
    #[must_use]
    pub fn has_environments(&self) -> bool {
        self.envs.is_some()
    }

    /// Whether the environments' own state is in what [`to_state`](Self::to_state) gave.
    #[must_use]
    pub fn holds_environments(state: &StateDict) -> bool {
        state.get("environments").is_ok()
    }

    /// As named arrays, for a checkpoint.
    #[must_use]
    pub fn to_state(&self) -> StateDict {
        let mut state = StateDict::new();
        if let Some(envs) = &self.envs {
            state.insert("environments", StateTensor::F64(envs.envs.clone()));
            state.insert("environment_streams", StateTensor::U64(envs.rng.clone()));
        }
        state.insert("action_streams", StateTensor::U64(self.streams.clone()));
        state.insert_f32("exploration", &self.processes);
        state.insert_f32("observations", &self.observations);
        state.insert("totals", StateTensor::F64(self.totals.clone()));
        state.insert("lengths", StateTensor::U64(self.lengths.clone()));
        state
    }

    /// What [`to_state`](Self::to_state) made, for `slots` slots that observe `dim` numbers and act with `noise_dim` random ones.
    ///
    /// # Errors
    /// If an array is missing or has another length.
    pub fn from_state(
        state: &StateDict,
        slots: usize,
        dim: usize,
        noise_dim: usize,
    ) -> Result<Self, StateError> {
        let envs = match state.get("environments") {
            Ok(_) => {
                let (envs, rng) = (state.f64("environments")?, state.u64("environment_streams")?);
                if rng.len() != slots * SLOT_WORDS || !envs.len().is_multiple_of(slots) {
                    return Err(StateError::Mismatch {
                        name: "actors.environment_streams".into(),
                        expected: format!("u64[{}]", slots * SLOT_WORDS),
                        found: format!("u64[{}]", rng.len()),
                    });
                }
                Some(VecEnvState { envs: envs.to_vec(), rng: rng.to_vec() })
            }
            Err(_) => None,
        };
        Ok(Self {
            envs,
            streams: state.u64("action_streams")?.to_vec(),
            processes: state.f32("exploration", slots * noise_dim)?.to_vec(),
            observations: state.f32("observations", slots * dim)?.to_vec(),
            totals: state.f64("totals")?.to_vec(),
            lengths: state.u64("lengths")?.to_vec(),
        })
    }
}
