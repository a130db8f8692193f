//! What the workers hand to the learner: the steps of many slots, with everything an agent needs to learn from them.

use crate::compute::{ENCODED_SHARD_ROWS, shard_rows_of};
use crate::frames::Pictures;
use crate::kept::Kept;
use relax_nn::{FrameLayout, Observations};
use std::ops::Range;

mod actions;

pub use actions::ActionBuffer;

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
    /// Observation acted on, `[rows, D]`; empty where observations are kept as bytes, as this one and the other two arrays of
    /// observations are for a policy that [reads them](crate::ActingPolicy::frames).
    pub observations: Vec<f32>,
    /// The observations as bytes, if they are kept so; [`seen`](Self::seen) reads them either way.
    pub pictures: Option<Pictures>,
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
    /// What the policy that acted made of the rows.
    pub(crate) kept: Kept,
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
            pictures: None,
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
            kept: Kept::default(),
        }
    }

    /// Makes room for action masks of `dim` entries; 0: there are none. The rows must have been forgotten.
    pub fn set_mask_dim(&mut self, dim: usize) {
        self.mask_dim = dim;
        self.next_masks.resize(self.slots() * dim, true);
    }

    /// Whether observations are kept as bytes, which are made of frames as `layout` says. The rows must have been forgotten. As soon as a
    /// number is pushed that is no byte, all are numbers again.
    pub fn keep_bytes(&mut self, layout: Option<FrameLayout>) {
        let layout = layout.filter(|layout| layout.numbers() == self.observation_dim && layout.frames > 0);
        let (slots, of_next) = (self.slots(), self.slots() * self.observation_dim);
        match (layout, &self.pictures) {
            (Some(layout), Some(pictures)) if pictures.frames.layout == layout => {}
            (Some(layout), _) => {
                self.pictures = Some(Pictures::new(layout, slots));
                (self.observations, self.final_observations) = (Vec::new(), Vec::new());
                self.next_observations = Vec::new();
            }
            (None, _) => {
                self.pictures = None;
                self.next_observations.resize(of_next, 0.0);
            }
        }
    }

    /// Adds the observation `[D]` that `slot` acts on.
    pub fn push_observation(&mut self, slot: u32, observation: &[f32]) {
        if let Some(pictures) = &mut self.pictures {
            if pictures.push(slot as usize, observation) {
                return;
            }
            self.turn_into_numbers();
        }
        self.observations.extend_from_slice(observation);
    }

    /// Adds the last observation `[D]` of the episode that was cut in `slot`.
    pub fn push_final_observation(&mut self, slot: u32, observation: &[f32]) {
        if let Some(pictures) = &mut self.pictures {
            if pictures.push_final(slot as usize, observation) {
                return;
            }
            self.turn_into_numbers();
        }
        self.final_observations.extend_from_slice(observation);
    }

    /// Sets the observations `[slots, D]` that the slots will act on next.
    pub fn set_next_observations(&mut self, observations: &[f32]) {
        if let Some(pictures) = &mut self.pictures {
            if pictures.set_next(observations) {
                return;
            }
            self.turn_into_numbers();
        }
        self.next_observations.copy_from_slice(observations);
    }

    /// Keeps numbers from now on, those of the bytes there are.
    fn turn_into_numbers(&mut self) {
        let Some(pictures) = self.pictures.take() else { return };
        let frames = &pictures.frames;
        Observations::from(frames.stacks(&pictures.observations)).write(&mut self.observations);
        Observations::from(frames.stacks(&pictures.final_observations)).write(&mut self.final_observations);
        self.next_observations.resize(self.slots() * self.observation_dim, 0.0);
    }

    /// The observations of some rows, as networks read them.
    #[must_use]
    pub fn seen(&self, rows: Range<usize>) -> Observations<'_> {
        match &self.pictures {
            Some(pictures) => pictures.seen(&pictures.observations, rows),
            None => Observations::Numbers(&self.observations).rows(rows, self.observation_dim),
        }
    }

    /// Up to eight runs of 64 rows from all over the batch, as networks read them, for what is found once from observations.
    pub(crate) fn seen_here_and_there(&self) -> Vec<Observations<'_>> {
        const RUNS: usize = 8;
        let (rows, size) = (self.rows(), ENCODED_SHARD_ROWS);
        let all = rows.div_ceil(size);
        let some = (0..all).step_by(all.div_ceil(RUNS).max(1));
        some.map(|i| self.seen(shard_rows_of(size, i, rows))).collect()
    }

    /// The last observations of the truncated rows' episodes, as networks read them.
    #[must_use]
    pub fn seen_finally(&self) -> Observations<'_> {
        match &self.pictures {
            Some(pictures) => pictures.frames.stacks(&pictures.final_observations).into(),
            None => (&self.final_observations).into(),
        }
    }

    /// What the slots will act on next, as networks read it.
    #[must_use]
    pub fn seen_next(&self) -> Observations<'_> {
        match &self.pictures {
            Some(pictures) => pictures.frames.stacks(&pictures.next_observations).into(),
            None => (&self.next_observations).into(),
        }
    }

    /// Adds the observations of some rows of another rollout. Those of this one must be [kept](Self::keep_bytes) as its are.
    pub(crate) fn take_observations(&mut self, other: &Rollout, rows: &[u32]) {
        match (&mut self.pictures, &other.pictures) {
            (Some(own), Some(others)) => own.take_rows(others, rows),
            _ => {
                let dim = self.observation_dim;
                for &row in rows {
                    let row = row as usize;
                    self.observations.extend_from_slice(&other.observations[row * dim..(row + 1) * dim]);
                }
            }
        }
    }

    /// How the observations are made of frames, where they are kept as bytes.
    #[must_use]
    pub fn layout(&self) -> Option<FrameLayout> {
        self.pictures.as_ref().map(|pictures| pictures.frames.layout)
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
        if let Some(pictures) = &mut self.pictures {
            pictures.clear();
        }
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
        self.kept.clear();
    }

    /// Fills this rollout with those of several workers, whose slots follow one another, level by level in slot order:
    /// the same rows in the same order as one worker with all the slots would have made.
    pub fn merge<'a>(&mut self, parts: impl Iterator<Item = &'a Rollout> + Clone) {
        self.clear();
        self.set_mask_dim(parts.clone().next().map_or(0, |part| part.mask_dim));
        // Numbers, if one of the parts has met some that are no bytes.
        let layout = parts.clone().map(Rollout::layout).reduce(|a, b| if a == b { a } else { None });
        self.keep_bytes(layout.flatten());
        let mut moved = Vec::new();
        if let Some(pictures) = &mut self.pictures {
            moved
                .extend(parts.clone().flat_map(|part| &part.pictures).map(|part| pictures.take_frames(part)));
        }
        let moved = |part: usize| moved.get(part).copied().unwrap_or(0);
        self.kept.merge(parts.clone().map(|part| &part.kept));
        let whole = parts.clone().nth(1).is_none();
        let levels = parts.clone().map(|part| part.levels.len() - 1).max().unwrap_or(0);
        for level in 0..levels {
            let mut first_slot = 0;
            for (i, part) in parts.clone().enumerate() {
                if level + 1 < part.levels.len() {
                    self.extend(part, level, first_slot, moved(i));
                    if !whole {
                        self.kept.extend(&part.kept, part.levels[level]..part.levels[level + 1]);
                    }
                }
                first_slot += part.slots() as u32;
            }
            self.levels.push(self.slot.len());
        }
        let (mut first_slot, mut numbers) = (0, Vec::new());
        for (i, part) in parts.enumerate() {
            let (slots, dim, masks) = (part.slots(), self.observation_dim, self.mask_dim);
            self.open[first_slot..first_slot + slots].copy_from_slice(&part.open);
            match (&mut self.pictures, &part.pictures) {
                (Some(own), Some(others)) => {
                    let n = others.frames.layout.frames;
                    let next = &mut own.next_observations[first_slot * n..(first_slot + slots) * n];
                    let pairs = next.iter_mut().zip(&others.next_observations);
                    pairs.for_each(|(own, frame)| *own = frame.saturating_add(moved(i)));
                }
                _ => {
                    part.seen_next().write(&mut numbers);
                    self.next_observations[first_slot * dim..(first_slot + slots) * dim]
                        .copy_from_slice(&numbers);
                }
            }
            self.next_masks[first_slot * masks..(first_slot + slots) * masks]
                .copy_from_slice(&part.next_masks);
            for episode in &part.episodes {
                self.episodes.push(Episode { slot: episode.slot + first_slot as u32, ..*episode });
            }
            first_slot += slots;
        }
        self.episodes.sort_by_key(|episode| (episode.level, episode.slot));
    }

    /// Adds a level of `part`, whose slots are moved by `first_slot` and whose frames by `moved`.
    fn extend(&mut self, part: &Rollout, level: usize, first_slot: u32, moved: u32) {
        let rows = part.levels[level]..part.levels[level + 1];
        let wide = |width: usize| rows.start * width..rows.end * width;
        let (start, dim) = (self.slot.len(), self.observation_dim);
        self.slot.extend(part.slot[rows.clone()].iter().map(|slot| slot + first_slot));
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
        match (&mut self.pictures, &part.pictures) {
            (Some(own), Some(others)) => {
                let n = others.frames.layout.frames;
                let frames = &others.observations[wide(n)];
                own.observations.extend(frames.iter().map(|frame| frame + moved));
                let frames = &others.final_observations[of_level.start * n..of_level.end * n];
                own.final_observations.extend(frames.iter().map(|frame| frame + moved));
            }
            (_, Some(others)) => {
                let mut numbers = Vec::new();
                others.seen(&others.observations, rows).write(&mut numbers);
                self.observations.extend_from_slice(&numbers);
                others.seen(&others.final_observations, of_level.clone()).write(&mut numbers);
                self.final_observations.extend_from_slice(&numbers);
            }
            (_, None) => {
                self.observations.extend_from_slice(&part.observations[wide(dim)]);
                let of_level = of_level.start * dim..of_level.end * dim;
                self.final_observations.extend_from_slice(&part.final_observations[of_level]);
            }
        }
        let dim = self.mask_dim;
        self.final_masks.extend_from_slice(&part.final_masks[of_level.start * dim..of_level.end * dim]);
    }
}
