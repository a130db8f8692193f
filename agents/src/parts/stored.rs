//! The observations of a replay: numbers, or bytes of which every frame is kept once.

use crate::AgentError;
use crate::frames::{Frames, NONE};
use relax_nn::{FrameLayout, Observations, StateDict, StateTensor};

/// Pairs of observations (s, s'), each at a place of a ring.
#[derive(Debug, Clone)]
pub(super) enum Stored {
    Numbers { dim: usize, observations: Vec<f32>, next: Vec<f32> },
    Bytes(Bytes),
}

/// Pairs of bytes. A frame is kept as long as a pair is made of it.
#[derive(Debug, Clone)]
pub(super) struct Bytes {
    frames: Frames,
    /// How many times each frame is used, and those that are not.
    uses: Vec<u32>,
    free: Vec<u32>,
    /// `[pairs, N]`.
    observations: Vec<u32>,
    next: Vec<u32>,
    /// `[slots, N]`: each slot's newest s', most often the slot's next s; `NONE` where there is none.
    newest: Vec<u32>,
}

impl Stored {
    /// None yet, of `dim` numbers each; room for `reserved` of them.
    pub fn numbers(dim: usize, reserved: usize) -> Self {
        let room = || Vec::with_capacity(reserved * dim);
        Self::Numbers { dim, observations: room(), next: room() }
    }

    /// None yet, of bytes.
    pub fn bytes(layout: FrameLayout) -> Self {
        Self::Bytes(Bytes::new(layout))
    }

    /// Forgets all pairs.
    pub fn clear(&mut self) {
        match self {
            Self::Numbers { observations, next, .. } => {
                observations.clear();
                next.clear();
            }
            Self::Bytes(bytes) => *bytes = Bytes::new(bytes.frames.layout),
        }
    }

    /// Puts a pair of `slot` at place `at`, which may be one more than there are.
    pub fn put(&mut self, at: usize, slot: usize, own: &[f32], next: &[f32]) {
        if let Self::Bytes(bytes) = self {
            if bytes.put(at, slot, own, next) {
                return;
            }
            *self = bytes.as_numbers();
        }
        if let Self::Numbers { observations, next: all_next, .. } = self {
            put(observations, at, own);
            put(all_next, at, next);
        }
    }

    /// Adds pair `i` to `own` and `next`.
    pub fn append(&self, i: usize, own: &mut Vec<f32>, next: &mut Vec<f32>) {
        match self {
            Self::Numbers { dim, observations, next: all_next } => {
                own.extend_from_slice(&observations[i * dim..(i + 1) * dim]);
                next.extend_from_slice(&all_next[i * dim..(i + 1) * dim]);
            }
            Self::Bytes(bytes) => {
                let n = bytes.frames.layout.frames;
                for (frames, to) in [(&bytes.observations, own), (&bytes.next, next)] {
                    let stacks = bytes.frames.stacks(&frames[i * n..(i + 1) * n]);
                    Observations::from(stacks).append_to(to);
                }
            }
        }
    }

    /// Adds everything to a state.
    pub fn save(&self, state: &mut StateDict) {
        match self {
            Self::Numbers { observations, next, .. } => {
                state.insert_f32("observations", observations);
                state.insert_f32("next_observations", next);
            }
            Self::Bytes(bytes) => bytes.save(state),
        }
    }

    /// Those of a state of `len` pairs, kept as `self` is where the state leaves the choice; observations have `dim` numbers.
    ///
    /// # Errors
    /// If an array is missing or does not fit.
    pub fn restored(&self, len: usize, dim: usize, state: &StateDict) -> Result<Self, AgentError> {
        if let (Ok(StateTensor::U8(bytes)), Self::Bytes(own)) = (state.get("frames"), self) {
            return Ok(Self::Bytes(Bytes::restored(own.frames.layout, bytes, len, state)?));
        }
        let observations = state.f32("observations", len * dim)?.to_vec();
        let next = state.f32("next_observations", len * dim)?.to_vec();
        Ok(Self::Numbers { dim, observations, next })
    }
}

impl Bytes {
    fn new(layout: FrameLayout) -> Self {
        Self {
            frames: Frames::new(layout),
            uses: Vec::new(),
            free: Vec::new(),
            observations: Vec::new(),
            next: Vec::new(),
            newest: Vec::new(),
        }
    }

    fn put(&mut self, at: usize, slot: usize, own: &[f32], next: &[f32]) -> bool {
        let n = self.frames.layout.frames;
        if self.newest.len() < (slot + 1) * n {
            self.newest.resize((slot + 1) * n, NONE);
        }
        let of_slot = slot * n..(slot + 1) * n;
        let (before, mut made, mut made_next) =
            (self.newest[of_slot.clone()].to_vec(), vec![NONE; n], vec![NONE; n]);
        if !self.take(own, &before, &mut made) {
            return false;
        }
        if !self.take(next, &made, &mut made_next) {
            self.release(&made);
            return false;
        }
        // The newest s' of every slot is used once more, so that it stays to be found.
        for &frame in &made_next {
            self.uses[frame as usize] += 1;
        }
        self.release(&before);
        self.newest[of_slot].copy_from_slice(&made_next);
        if at * n < self.observations.len() {
            let old = [&self.observations, &self.next].map(|frames| frames[at * n..(at + 1) * n].to_vec());
            old.iter().for_each(|frames| self.release(frames));
        }
        put(&mut self.observations, at, &made);
        put(&mut self.next, at, &made_next);
        true
    }

    /// Takes in an observation that comes after the one made of `previous`; what it is made of is used once more.
    fn take(&mut self, observation: &[f32], previous: &[u32], made: &mut [u32]) -> bool {
        let (uses, free) = (&mut self.uses, &mut self.free);
        self.frames.push(observation, previous, made, free) && {
            uses.resize(self.frames.count(), 0);
            made.iter().for_each(|&frame| uses[frame as usize] += 1);
            true
        }
    }

    fn release(&mut self, frames: &[u32]) {
        for &frame in frames.iter().filter(|&&frame| frame != NONE) {
            let uses = &mut self.uses[frame as usize];
            *uses -= 1;
            if *uses == 0 {
                self.free.push(frame);
            }
        }
    }

    fn as_numbers(&self) -> Stored {
        let (mut observations, mut next) = (Vec::new(), Vec::new());
        Observations::from(self.frames.stacks(&self.observations)).write(&mut observations);
        Observations::from(self.frames.stacks(&self.next)).write(&mut next);
        Stored::Numbers { dim: self.frames.layout.numbers(), observations, next }
    }

    /// Frames are numbered in the order in which they are used, so that equal rings give equal states.
    fn save(&self, state: &mut StateDict) {
        let mut place = vec![NONE; self.frames.count()];
        let (mut bytes, mut count) = (Vec::new(), 0);
        let mut numbered = |frames: &[u32]| {
            let numbered = frames.iter().map(|&frame| {
                if frame == NONE {
                    return u64::MAX;
                }
                let place = &mut place[frame as usize];
                if *place == NONE {
                    (*place, count) = (count, count + 1);
                    bytes.extend_from_slice(self.frames.frame(frame));
                }
                u64::from(*place)
            });
            StateTensor::U64(numbered.collect())
        };
        state.insert("observations", numbered(&self.observations));
        state.insert("next_observations", numbered(&self.next));
        state.insert("newest", numbered(&self.newest));
        state.insert("frames", StateTensor::U8(bytes));
    }

    fn restored(
        layout: FrameLayout,
        bytes: &[u8],
        len: usize,
        state: &StateDict,
    ) -> Result<Self, AgentError> {
        let mut this = Self::new(layout);
        let misfit = |name: &str| {
            AgentError::Config(format!(
                "the array `{name}` of the checkpoint's replay does not fit its frames"
            ))
        };
        if !bytes.len().is_multiple_of(layout.bytes.max(1)) {
            return Err(misfit("frames"));
        }
        this.frames.bytes = bytes.to_vec();
        let count = this.frames.count();
        this.uses = vec![0; count];
        let uses = &mut this.uses;
        let mut read = |name: &str, len: Option<usize>, may_be_none: bool| {
            let numbers = state.u64(name)?;
            let fits = |&number: &u64| number < count as u64 || (may_be_none && number == u64::MAX);
            if len.is_some_and(|len| len != numbers.len()) || !numbers.iter().all(fits) {
                return Err(misfit(name));
            }
            let frames: Vec<u32> = numbers.iter().map(|&number| number as u32).collect();
            frames.iter().filter(|&&frame| frame != NONE).for_each(|&frame| uses[frame as usize] += 1);
            Ok(frames)
        };
        this.observations = read("observations", Some(len * layout.frames), false)?;
        this.next = read("next_observations", Some(len * layout.frames), false)?;
        this.newest = read("newest", None, true)?;
        if !this.newest.len().is_multiple_of(layout.frames.max(1)) || this.uses.contains(&0) {
            return Err(misfit("newest"));
        }
        Ok(this)
    }
}

/// Puts `row` at place `at` of an array of such rows, which it may make longer by one.
pub(super) fn put<T: Copy>(array: &mut Vec<T>, at: usize, row: &[T]) {
    let start = at * row.len();
    if start == array.len() {
        array.extend_from_slice(row);
    } else {
        array[start..start + row.len()].copy_from_slice(row);
    }
}
