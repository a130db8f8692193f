//! What the workers hand to the learner: the steps of many slots, with everything an agent needs to learn from them.

/// Actions of the rows of a rollout.
#[derive(Debug, Clone, PartialEq)]
pub enum ActionBuffer {
    /// One index a row.
    Discrete(Vec<u32>),
    /// `dim` indices a row: several choices at once.
    Factored {
        /// `[rows, dim]`.
        values: Vec<u32>,
        /// Indices a row.
        dim: usize,
    },
    /// `dim` numbers a row.
    Box {
        /// `[rows, dim]`.
        values: Vec<f32>,
        /// Numbers a row.
        dim: usize,
    },
}

impl ActionBuffer {
    fn clear(&mut self) {
        match self {
            Self::Discrete(values) | Self::Factored { values, .. } => values.clear(),
            Self::Box { values, .. } => values.clear(),
        }
    }

    /// Makes room for `rows` rows; new ones hold zeros.
    pub fn resize(&mut self, rows: usize) {
        match self {
            Self::Discrete(values) => values.resize(rows, 0),
            Self::Factored { values, dim } => values.resize(rows * *dim, 0),
            Self::Box { values, dim } => values.resize(rows * *dim, 0.0),
        }
    }

    /// The numbers of continuous actions, `[rows, dim]`; none for discrete ones.
    #[must_use]
    pub fn values(&self) -> &[f32] {
        match self {
            Self::Discrete(_) | Self::Factored { .. } => &[],
            Self::Box { values, .. } => values,
        }
    }

    /// The numbers of some rows of continuous actions; none for discrete ones.
    #[must_use]
    pub fn value_rows(&self, rows: std::ops::Range<usize>) -> &[f32] {
        match self {
            Self::Box { values, dim } => &values[rows.start * dim..rows.end * dim],
            Self::Discrete(_) | Self::Factored { .. } => &[],
        }
    }

    /// As [`value_rows`](Self::value_rows), to be written.
    pub fn value_rows_mut(&mut self, rows: std::ops::Range<usize>) -> &mut [f32] {
        match self {
            Self::Box { values, dim } => &mut values[rows.start * *dim..rows.end * *dim],
            Self::Discrete(_) | Self::Factored { .. } => &mut [],
        }
    }

    /// The choices of some rows of discrete actions, `[rows, dim]` where several are made at once; none for continuous ones.
    #[must_use]
    pub fn choice_rows(&self, rows: std::ops::Range<usize>) -> &[u32] {
        match self {
            Self::Discrete(values) => &values[rows],
            Self::Factored { values, dim } => &values[rows.start * dim..rows.end * dim],
            Self::Box { .. } => &[],
        }
    }

    /// As [`choice_rows`](Self::choice_rows), to be written.
    pub fn choice_rows_mut(&mut self, rows: std::ops::Range<usize>) -> &mut [u32] {
        match self {
            Self::Discrete(values) => &mut values[rows],
            Self::Factored { values, dim } => &mut values[rows.start * *dim..rows.end * *dim],
            Self::Box { .. } => &mut [],
        }
    }

    /// Appends `rows` of another buffer of the same kind.
    pub fn extend(&mut self, other: &Self, rows: std::ops::Range<usize>) {
        match self {
            Self::Discrete(values) | Self::Factored { values, .. } => {
                values.extend_from_slice(other.choice_rows(rows));
            }
            Self::Box { values, .. } => values.extend_from_slice(other.value_rows(rows)),
        }
    }
}

/// An episode that ended within a rollout.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Episode {
    /// Time level of the rollout in which it ended.
    pub level: u32,
    /// Slot it ran in.
    pub slot: u32,
    /// Undiscounted sum of its rewards.
    pub total_reward: f64,
    /// Steps it took.
    pub length: u32,
    /// Whether the environment's task ended it (rather than a time limit).
    pub terminated: bool,
}

/// Steps of several slots, time-major: level t holds the t-th step of every slot that took one, in slot order.
///
/// Rows are ragged on purpose: the last level of a run may hold some slots only (exact step budget), and a rollout of
/// whole episodes ends at another level in each slot. All arrays are indexed by row unless they say otherwise.
#[derive(Debug, Clone, PartialEq)]
pub struct Rollout {
    /// Numbers in one observation, D.
    pub observation_dim: usize,
    /// Numbers of noise behind one action, K.
    pub noise_dim: usize,
    /// Entries of one action mask, M; 0 if the environment masks nothing, and then the three arrays of masks are empty.
    pub mask_dim: usize,
    /// First row of each level, and the number of rows after the last.
    pub levels: Vec<usize>,
    /// The slot of each row.
    pub slot: Vec<u32>,
    /// Observation acted on, `[rows, D]`.
    pub observations: Vec<f32>,
    /// Which choices were allowed there, `[rows, M]`: an entry a choice of every factor.
    pub masks: Vec<bool>,
    /// Noise the action was drawn with, `[rows, K]`: uniforms (discrete) or standard normals (continuous).
    pub noise: Vec<f32>,
    /// Action taken (before any clipping by the environment).
    pub actions: ActionBuffer,
    /// Reward of the step.
    pub rewards: Vec<f32>,
    /// The task ended the episode in this step: its value beyond is 0.
    pub terminated: Vec<bool>,
    /// The episode was cut from outside in this step: its value beyond is that of the final observation.
    pub truncated: Vec<bool>,
    /// Rows that were truncated and not terminated.
    pub truncated_rows: Vec<u32>,
    /// Last observation of each of `truncated_rows`' episodes, `[truncated_rows, D]`.
    pub final_observations: Vec<f32>,
    /// Which choices were allowed there, `[truncated_rows, M]`.
    pub final_masks: Vec<bool>,
    /// `[slots, D]`: the observation that each slot will act on next.
    pub next_observations: Vec<f32>,
    /// `[slots, M]`: the choices that are allowed there.
    pub next_masks: Vec<bool>,
    /// `[slots]`: whether the slot's last step in this rollout left its episode unfinished.
    pub open: Vec<bool>,
    /// Episodes that ended, by level and slot.
    pub episodes: Vec<Episode>,
}

impl Rollout {
    /// An empty rollout of `slots` slots.
    #[must_use]
    pub fn new(slots: usize, observation_dim: usize, noise_dim: usize, actions: ActionBuffer) -> Self {
        Self {
            observation_dim,
            noise_dim,
            mask_dim: 0,
            levels: vec![0],
            slot: Vec::new(),
            observations: Vec::new(),
            masks: Vec::new(),
            noise: Vec::new(),
            actions,
            rewards: Vec::new(),
            terminated: Vec::new(),
            truncated: Vec::new(),
            truncated_rows: Vec::new(),
            final_observations: Vec::new(),
            final_masks: Vec::new(),
            next_observations: vec![0.0; slots * observation_dim],
            next_masks: Vec::new(),
            open: vec![false; slots],
            episodes: Vec::new(),
        }
    }

    /// Makes room for action masks of `dim` entries; 0: there are none. The rows must have been forgotten.
    pub fn set_mask_dim(&mut self, dim: usize) {
        self.mask_dim = dim;
        self.next_masks.resize(self.slots() * dim, true);
    }

    /// The action masks of some rows, `[rows, M]`; none if nothing is masked.
    #[must_use]
    pub fn mask_rows(&self, rows: std::ops::Range<usize>) -> Option<&[bool]> {
        let dim = self.mask_dim;
        (dim > 0).then(|| &self.masks[rows.start * dim..rows.end * dim])
    }

    /// Steps in this rollout.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.slot.len()
    }

    /// Slots of the rollout.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.open.len()
    }

    /// Forgets all rows and keeps the memory.
    pub fn clear(&mut self) {
        self.levels.truncate(1);
        self.slot.clear();
        self.observations.clear();
        self.masks.clear();
        self.noise.clear();
        self.actions.clear();
        self.rewards.clear();
        self.terminated.clear();
        self.truncated.clear();
        self.truncated_rows.clear();
        self.final_observations.clear();
        self.final_masks.clear();
        self.open.fill(false);
        self.episodes.clear();
    }

    /// Fills this rollout with those of several workers, whose slots follow one another, level by level in slot order:
    /// the same rows in the same order as one worker with all the slots would have made.
    pub fn merge<'a>(&mut self, parts: impl Iterator<Item = &'a Rollout> + Clone) {
        self.clear();
        self.set_mask_dim(parts.clone().next().map_or(0, |part| part.mask_dim));
        let levels = parts.clone().map(|part| part.levels.len() - 1).max().unwrap_or(0);
        for level in 0..levels {
            let mut first_slot = 0;
            for part in parts.clone() {
                if level + 1 < part.levels.len() {
                    self.extend(part, level, first_slot);
                }
                first_slot += part.slots() as u32;
            }
            self.levels.push(self.slot.len());
        }
        let mut first_slot = 0;
        for part in parts {
            let (slots, dim, masks) = (part.slots(), self.observation_dim, self.mask_dim);
            self.open[first_slot..first_slot + slots].copy_from_slice(&part.open);
            self.next_observations[first_slot * dim..(first_slot + slots) * dim]
                .copy_from_slice(&part.next_observations);
            self.next_masks[first_slot * masks..(first_slot + slots) * masks]
                .copy_from_slice(&part.next_masks);
            for episode in &part.episodes {
                self.episodes.push(Episode { slot: episode.slot + first_slot as u32, ..*episode });
            }
            first_slot += slots;
        }
        self.episodes.sort_by_key(|episode| (episode.level, episode.slot));
    }

    fn extend(&mut self, part: &Rollout, level: usize, first_slot: u32) {
        let rows = part.levels[level]..part.levels[level + 1];
        let wide = |width: usize| rows.start * width..rows.end * width;
        let (start, dim) = (self.slot.len(), self.observation_dim);
        self.slot.extend(part.slot[rows.clone()].iter().map(|slot| slot + first_slot));
        self.observations.extend_from_slice(&part.observations[wide(dim)]);
        self.masks.extend_from_slice(&part.masks[wide(self.mask_dim)]);
        self.noise.extend_from_slice(&part.noise[wide(self.noise_dim)]);
        self.actions.extend(&part.actions, rows.clone());
        self.rewards.extend_from_slice(&part.rewards[rows.clone()]);
        self.terminated.extend_from_slice(&part.terminated[rows.clone()]);
        self.truncated.extend_from_slice(&part.truncated[rows.clone()]);
        let of_level = part.truncated_rows.partition_point(|&row| (row as usize) < rows.start)
            ..part.truncated_rows.partition_point(|&row| (row as usize) < rows.end);
        for &row in &part.truncated_rows[of_level.clone()] {
            self.truncated_rows.push((start + row as usize - rows.start) as u32);
        }
        self.final_observations
            .extend_from_slice(&part.final_observations[of_level.start * dim..of_level.end * dim]);
        let dim = self.mask_dim;
        self.final_masks.extend_from_slice(&part.final_masks[of_level.start * dim..of_level.end * dim]);
    }
}
