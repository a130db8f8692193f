//! Observations of bytes as a rollout keeps them: a byte a number, and every frame of a stack once.

use relax_nn::{FrameLayout, Observations, Stacks};

/// No frame.
pub(crate) const NONE: u32 = u32::MAX;

/// Observations of bytes, made of frames.
///
/// A frame of a stack is most often a frame of the observation before, and after a reset all frames of a stack are one. Both are found by
/// comparing bytes, so that nobody has to say what is stacked.
#[derive(Debug, Clone)]
pub struct Frames {
    /// How an observation is made of frames.
    pub layout: FrameLayout,
    /// `[frames there are, bytes of one]`.
    pub bytes: Vec<u8>,
    /// Scratch: an observation's frames.
    split: Vec<u8>,
}

/// The observations of a [`Rollout`](crate::Rollout) as bytes.
#[derive(Debug, Clone)]
pub struct Pictures {
    /// All frames.
    pub frames: Frames,
    /// Frames of the observations acted on, `[rows, N]`.
    pub observations: Vec<u32>,
    /// Of the last observation of each of the truncated rows' episodes, `[truncated_rows, N]`.
    pub final_observations: Vec<u32>,
    /// `[slots, N]`: of the observation that each slot will act on next.
    pub next_observations: Vec<u32>,
    /// `[slots, N]`: frames of each slot's last observation in this rollout.
    last: Vec<u32>,
    /// Scratch: where another rollout's frames are.
    copied: Vec<u32>,
}

impl Frames {
    /// None yet.
    #[must_use]
    pub fn new(layout: FrameLayout) -> Self {
        Self { layout, bytes: Vec::new(), split: Vec::new() }
    }

    /// Number of frames.
    #[must_use]
    pub fn count(&self) -> usize {
        self.bytes.len() / self.layout.bytes.max(1)
    }

    /// The bytes of one frame.
    #[must_use]
    pub fn frame(&self, i: u32) -> &[u8] {
        &self.bytes[i as usize * self.layout.bytes..][..self.layout.bytes]
    }

    /// Observations made of `frames` `[B, N]`.
    #[must_use]
    pub fn stacks<'a>(&'a self, frames: &'a [u32]) -> Stacks<'a> {
        Stacks { layout: self.layout, bytes: &self.bytes, frames }
    }

    /// Takes in an observation that comes after the one made of `previous` `[N]`, and writes to `made` `[N]` what it is made of; new frames
    /// take the places of `free` ones first. False, and nothing is written, if its numbers are no bytes.
    pub(crate) fn push(
        &mut self,
        observation: &[f32],
        previous: &[u32],
        made: &mut [u32],
        free: &mut Vec<u32>,
    ) -> bool {
        if !self.layout.split(observation, &mut self.split) {
            return false;
        }
        for i in 0..self.layout.frames {
            let len = self.layout.bytes;
            let own = &self.split[i * len..(i + 1) * len];
            let known = [previous.get(i + 1), i.checked_sub(1).map(|i| &made[i]), previous.get(i)];
            let known = known.into_iter().flatten().find(|&&frame| frame != NONE && self.frame(frame) == own);
            made[i] = match (known, free.pop_if(|_| known.is_none())) {
                (Some(&frame), _) => frame,
                (None, Some(frame)) => {
                    self.bytes[frame as usize * len..][..len].copy_from_slice(own);
                    frame
                }
                (None, None) => {
                    let frame = self.count() as u32;
                    self.bytes.extend_from_slice(own);
                    frame
                }
            };
        }
        true
    }
}

impl Pictures {
    /// Those of an empty rollout of `slots` slots.
    #[must_use]
    pub fn new(layout: FrameLayout, slots: usize) -> Self {
        Self {
            frames: Frames::new(layout),
            observations: Vec::new(),
            final_observations: Vec::new(),
            next_observations: vec![NONE; slots * layout.frames],
            last: vec![NONE; slots * layout.frames],
            copied: Vec::new(),
        }
    }

    /// Forgets everything and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.frames.bytes.clear();
        self.observations.clear();
        self.final_observations.clear();
        self.next_observations.fill(NONE);
        self.last.fill(NONE);
    }

    /// Adds the observation that `slot` acts on; false if it is not of bytes.
    pub(crate) fn push(&mut self, slot: usize, observation: &[f32]) -> bool {
        let n = self.frames.layout.frames;
        let (start, last) = (self.observations.len(), &mut self.last[slot * n..(slot + 1) * n]);
        self.observations.resize(start + n, NONE);
        let made = &mut self.observations[start..];
        let taken = self.frames.push(observation, last, made, &mut Vec::new());
        match taken {
            true => last.copy_from_slice(made),
            false => self.observations.truncate(start),
        }
        taken
    }

    /// As [`push`](Self::push), of the last observation of an episode.
    pub(crate) fn push_final(&mut self, slot: usize, observation: &[f32]) -> bool {
        let n = self.frames.layout.frames;
        let start = self.final_observations.len();
        self.final_observations.resize(start + n, NONE);
        let last = &self.last[slot * n..(slot + 1) * n];
        let taken =
            self.frames.push(observation, last, &mut self.final_observations[start..], &mut Vec::new());
        if !taken {
            self.final_observations.truncate(start);
        }
        taken
    }

    /// Sets what all slots act on next; false if one of them is not of bytes.
    pub(crate) fn set_next(&mut self, observations: &[f32]) -> bool {
        let FrameLayout { frames: n, .. } = self.frames.layout;
        let slots = self.last.chunks_exact(n).zip(self.next_observations.chunks_exact_mut(n));
        let frames = &mut self.frames;
        let width = frames.layout.numbers();
        slots
            .zip(observations.chunks_exact(width))
            .all(|((last, made), x)| frames.push(x, last, made, &mut Vec::new()))
    }

    /// Adds the frames of `other`; what is added to its frames' numbers.
    pub(crate) fn take_frames(&mut self, other: &Self) -> u32 {
        let before = self.frames.count() as u32;
        self.frames.bytes.extend_from_slice(&other.frames.bytes);
        before
    }

    /// Adds the observations of some rows of `other`, and of its frames those that they are made of.
    pub(crate) fn take_rows(&mut self, other: &Self, rows: &[u32]) {
        let n = self.frames.layout.frames;
        self.copied.clear();
        self.copied.resize(other.frames.count(), NONE);
        for &row in rows {
            for &frame in &other.observations[row as usize * n..(row as usize + 1) * n] {
                let place = &mut self.copied[frame as usize];
                if *place == NONE {
                    *place = self.frames.count() as u32;
                    self.frames.bytes.extend_from_slice(other.frames.frame(frame));
                }
                self.observations.push(*place);
            }
        }
    }

    /// Rows `rows` of those of `frames` `[·, N]`.
    pub(crate) fn seen<'a>(&'a self, frames: &'a [u32], rows: std::ops::Range<usize>) -> Observations<'a> {
        let n = self.frames.layout.frames;
        self.frames.stacks(&frames[rows.start * n..rows.end * n]).into()
    }
}

/// The same observations, whatever the order of the frames.
impl PartialEq for Pictures {
    fn eq(&self, other: &Self) -> bool {
        let same = |own: &[u32], others: &[u32]| {
            own.len() == others.len()
                && own.iter().zip(others).all(|(&own, &others)| match (own, others) {
                    (NONE, NONE) => true,
                    (NONE, _) | (_, NONE) => false,
                    _ => self.frames.frame(own) == other.frames.frame(others),
                })
        };
        self.frames.layout == other.frames.layout
            && same(&self.observations, &other.observations)
            && same(&self.final_observations, &other.final_observations)
            && same(&self.next_observations, &other.next_observations)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_frame_of_a_stack_is_kept_once() {
        let layout = FrameLayout::of(&[3, 2, 5]);
        let frame = |number: usize| (0..10).map(move |i| ((number * 31 + i) % 256) as f32);
        let stack = |numbers: [usize; 3]| numbers.into_iter().flat_map(frame).collect::<Vec<f32>>();
        let mut pictures = Pictures::new(layout, 2);
        for step in 0..4 {
            assert!(pictures.push(0, &stack([step, step + 1, step + 2])));
            // The other slot has just started: one frame three times.
            assert!(pictures.push(1, &stack([50 + step; 3])));
        }
        assert_eq!(pictures.frames.count(), 6 + 4);
        assert!(pictures.push_final(0, &stack([4, 5, 6])));
        assert!(pictures.set_next(&[stack([70; 3]), stack([53, 53, 80])].concat()));
        assert_eq!(pictures.frames.count(), 11 + 2);
        let numbers = |frames: &[u32]| {
            let mut numbers: Vec<f32> = Vec::new();
            Observations::from(pictures.frames.stacks(frames)).write(&mut numbers);
            numbers
        };
        assert_eq!(numbers(&pictures.observations[6 * 3..]), [stack([3, 4, 5]), stack([53; 3])].concat());
        assert_eq!(numbers(&pictures.final_observations), stack([4, 5, 6]));
        assert_eq!(numbers(&pictures.next_observations), [stack([70; 3]), stack([53, 53, 80])].concat());
        let mut part = Pictures::new(layout, 0);
        part.take_rows(&pictures, &[2, 4]);
        assert_eq!(part.frames.count(), 4, "frames 1 to 4");
        let mut taken = Vec::new();
        part.seen(&part.observations, 1..2).write(&mut taken);
        assert_eq!(taken, stack([2, 3, 4]));
        let before = pictures.clone();
        assert!(!pictures.push(0, &[0.5; 30]) && !pictures.push_final(0, &[256.0; 30]));
        assert_eq!(pictures, before);
    }
}
