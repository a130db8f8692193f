//! A rollout as a message, and back. What can be derived from the rest does not travel, so that it need not be believed.

use std::ops::Range;

use relax_agents::{ActionBuffer, Distribution, Episode, Pictures, Rollout};
use relax_envs::{Space, VecEnv};
use relax_nn::{FrameLayout, StateDict, StateTensor};

use crate::actor::Plan;

/// What the rows of a run's rollouts look like.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    /// D, K and M of [`Rollout`].
    pub observation_dim: usize,
    pub noise_dim: usize,
    pub mask_dim: usize,
    /// How an observation is made of frames, where it comes as bytes.
    frames: FrameLayout,
    /// An empty buffer.
    actions: ActionBuffer,
    /// Choices of each factor; none of continuous actions.
    choices: Vec<usize>,
}

impl Shape {
    /// That of `env`, which has been reset, and of actions of `distribution`, which must be one for its action space.
    pub fn new(env: &dyn VecEnv, distribution: &dyn Distribution) -> Self {
        Self {
            observation_dim: env.observation_dim(),
            noise_dim: distribution.width(),
            frames: match env.observation_space() {
                Space::Box { shape, .. } => FrameLayout::of(shape),
                other => FrameLayout::of(&[other.flat_dim()]),
            },
            mask_dim: env.action_masks().map_or(0, |masks| masks.len() / env.slots().max(1)),
            actions: distribution.action_buffer(),
            choices: env.action_space().choices().unwrap_or_default(),
        }
    }

    /// An empty rollout of `slots` slots.
    pub fn rollout(&self, slots: usize) -> Rollout {
        Rollout::new(slots, self.observation_dim, self.noise_dim, self.actions.clone())
    }
}

/// Why a policy of `distribution` cannot act in `space`.
pub(crate) fn misfit(distribution: &dyn Distribution, space: &Space) -> Option<String> {
    let fits = match (distribution.action_buffer(), space) {
        (ActionBuffer::Discrete(_), Space::Discrete { .. }) => true,
        (ActionBuffer::Factored { dim, .. }, Space::MultiDiscrete { .. } | Space::MultiBinary { .. }) => {
            dim == space.size()
        }
        (ActionBuffer::Box { dim, .. }, Space::Box { .. }) => dim == space.size(),
        _ => false,
    };
    (!fits).then(|| format!("a {} policy of this size cannot act in {space}", distribution.name()))
}

fn words(numbers: &[u32]) -> StateTensor {
    StateTensor::U64(numbers.iter().map(|&x| x.into()).collect())
}

fn flags(flags: &[bool]) -> StateTensor {
    StateTensor::U8(flags.iter().map(|&flag| flag.into()).collect())
}

/// As named arrays.
pub(crate) fn to_arrays(rollout: &Rollout) -> StateDict {
    let mut state = StateDict::new();
    for (name, data) in [("noise", &rollout.noise), ("rewards", &rollout.rewards)] {
        state.insert_f32(name, data);
    }
    match &rollout.pictures {
        Some(pictures) => {
            state.insert("frames", StateTensor::U8(pictures.frames.bytes.clone()));
            state.insert("observations", words(&pictures.observations));
            state.insert("final_observations", words(&pictures.final_observations));
            state.insert("next_observations", words(&pictures.next_observations));
        }
        None => {
            state.insert_f32("observations", &rollout.observations);
            state.insert_f32("final_observations", &rollout.final_observations);
            state.insert_f32("next_observations", &rollout.next_observations);
        }
    }
    for (name, data) in [
        ("masks", &rollout.masks),
        ("terminated", &rollout.terminated),
        ("truncated", &rollout.truncated),
        ("final_masks", &rollout.final_masks),
        ("next_masks", &rollout.next_masks),
    ] {
        state.insert(name, flags(data));
    }
    match &rollout.actions {
        ActionBuffer::Discrete(values) | ActionBuffer::Factored { values, .. } => {
            state.insert("actions", words(values));
        }
        ActionBuffer::Box { values, .. } => state.insert_f32("actions", values),
    }
    state.insert("slot", words(&rollout.slot));
    state.insert("levels", StateTensor::U64(rollout.levels.iter().map(|&row| row as u64).collect()));
    let lengths = rollout.episodes.iter().map(|episode| episode.length.into()).collect();
    state.insert("lengths", StateTensor::U64(lengths));
    state.insert(
        "totals",
        StateTensor::F64(rollout.episodes.iter().map(|episode| episode.total_reward).collect()),
    );
    state
}

/// The arrays of a batch, read one after the other; each error says which one and why.
struct Reader<'a>(&'a StateDict);

impl Reader<'_> {
    fn finite(&self, name: &str, len: usize) -> Result<Vec<f32>, String> {
        let data = self.0.f32(name, len).map_err(|error| error.to_string())?;
        match data.iter().all(|x| x.is_finite()) {
            true => Ok(data.to_vec()),
            false => Err(format!("not every number of `{name}` is finite")),
        }
    }

    /// Frames, and what `rows`, truncated rows and slots are made of.
    fn pictures(&self, pictures: &mut Pictures, [rows, cut, slots]: [usize; 3]) -> Result<(), String> {
        let FrameLayout { frames: n, bytes: size, .. } = pictures.frames.layout;
        pictures.frames.bytes = match self.0.get("frames").map_err(|error| error.to_string())? {
            StateTensor::U8(bytes) if bytes.len() % size.max(1) == 0 => bytes.clone(),
            _ => return Err(format!("`frames` should be frames of {size} bytes")),
        };
        let frames = pictures.frames.count();
        pictures.observations = self.below("observations", rows * n, |_| frames)?;
        pictures.final_observations = self.below("final_observations", cut * n, |_| frames)?;
        pictures.next_observations = self.below("next_observations", slots * n, |_| frames)?;
        Ok(())
    }

    fn flags(&self, name: &str, len: usize) -> Result<Vec<bool>, String> {
        match self.0.get(name).map_err(|error| error.to_string())? {
            StateTensor::U8(data) if data.len() == len && data.iter().all(|&flag| flag < 2) => {
                Ok(data.iter().map(|&flag| flag == 1).collect())
            }
            _ => Err(format!("`{name}` should be {len} noes and yeses")),
        }
    }

    /// Numbers below `limit(i)`.
    fn below(&self, name: &str, len: usize, limit: impl Fn(usize) -> usize) -> Result<Vec<u32>, String> {
        let data = self.0.u64(name).map_err(|error| error.to_string())?;
        let in_place = data.iter().enumerate().all(|(i, &x)| x < limit(i).min(u32::MAX as usize) as u64);
        match data.len() == len && in_place {
            true => Ok(data.iter().map(|&x| x as u32).collect()),
            false => Err(format!("`{name}` should be {len} numbers, each below its limit")),
        }
    }
}

/// The rollout of `slots` that [`to_arrays`] made, if `plan` can have come to it. What is returned can be learned from without
/// further ado.
pub(crate) fn from_arrays(
    state: &StateDict,
    slots: &Range<usize>,
    shape: &Shape,
    plan: Plan,
) -> Result<Rollout, String> {
    let read = Reader(state);
    let count = slots.len();
    let mut rollout = shape.rollout(count);
    let slot = state.u64("slot").map_err(|error| error.to_string())?.len();
    rollout.slot = read.below("slot", slot, |_| count)?;
    let rows = rollout.rows();

    let levels = state.u64("levels").map_err(|error| error.to_string())?;
    let ends = levels.first() == Some(&0) && levels.last() == Some(&(rows as u64));
    if !ends || !levels.is_sorted_by(|a, b| a < b) {
        return Err("its time levels are not in order".into());
    }
    rollout.levels = levels.iter().map(|&row| row as usize).collect();
    let mut taken = vec![0u64; count];
    for level in rollout.levels.windows(2) {
        let slots = &rollout.slot[level[0]..level[1]];
        if !slots.is_sorted_by(|a, b| a < b) {
            return Err("the slots of a time level are not in order".into());
        }
        slots.iter().for_each(|&slot| taken[slot as usize] += 1);
    }
    let most = |slot: usize| plan.steps.saturating_add(u64::from(slots.start + slot < plan.extra));
    if let Some(slot) = (0..count).find(|&slot| taken[slot] > most(slot)) {
        return Err(format!(
            "slot {} has taken {} steps, and was to take at most {}",
            slots.start + slot,
            taken[slot],
            most(slot)
        ));
    }

    let (dim, k, m) = (shape.observation_dim, shape.noise_dim, shape.mask_dim);
    rollout.set_mask_dim(m);
    rollout.masks = read.flags("masks", rows * m)?;
    rollout.noise = read.finite("noise", rows * k)?;
    rollout.rewards = read.finite("rewards", rows)?;
    rollout.terminated = read.flags("terminated", rows)?;
    rollout.truncated = read.flags("truncated", rows)?;
    match &mut rollout.actions {
        ActionBuffer::Discrete(values) => {
            let n = shape.choices.first().copied().unwrap_or(0);
            *values = read.below("actions", rows, |_| n)?;
        }
        ActionBuffer::Factored { values, dim } => {
            let dim = *dim;
            let limit = |i: usize| shape.choices.get(i % dim).copied().unwrap_or(0);
            *values = read.below("actions", rows * dim, limit)?;
        }
        ActionBuffer::Box { values, dim } => *values = read.finite("actions", rows * *dim)?,
    }

    let (totals, lengths) = (state.f64("totals"), state.u64("lengths"));
    let (totals, lengths) =
        totals.and_then(|totals| Ok((totals, lengths?))).map_err(|error| error.to_string())?;
    let mut ended = 0;
    for level in 0..rollout.levels.len() - 1 {
        for row in rollout.levels[level]..rollout.levels[level + 1] {
            let (slot, terminated, truncated) =
                (rollout.slot[row], rollout.terminated[row], rollout.truncated[row]);
            rollout.open[slot as usize] = !(terminated || truncated);
            if truncated && !terminated {
                rollout.truncated_rows.push(row as u32);
            }
            if terminated || truncated {
                let (Some(&total_reward), Some(&length)) = (totals.get(ended), lengths.get(ended)) else {
                    return Err("episodes are missing".into());
                };
                let length = u32::try_from(length).map_err(|_| "an episode is too long".to_owned())?;
                rollout.episodes.push(Episode {
                    level: level as u32,
                    slot,
                    total_reward,
                    length,
                    terminated,
                });
                ended += 1;
            }
        }
    }
    if totals.len() != ended || lengths.len() != ended || !totals.iter().all(|total| total.is_finite()) {
        return Err("its episodes are not those that ended in it".into());
    }
    let cut = rollout.truncated_rows.len();
    rollout.final_masks = read.flags("final_masks", cut * m)?;
    if state.get("frames").is_ok() {
        rollout.keep_bytes(Some(shape.frames));
    }
    match &mut rollout.pictures {
        Some(pictures) => read.pictures(pictures, [rows, cut, count])?,
        None => {
            rollout.observations = read.finite("observations", rows * dim)?;
            rollout.final_observations = read.finite("final_observations", cut * dim)?;
            rollout.next_observations = read.finite("next_observations", count * dim)?;
        }
    }
    rollout.next_masks = read.flags("next_masks", count * m)?;
    Ok(rollout)
}
