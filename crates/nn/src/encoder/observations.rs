//! Observations as an encoder reads them: numbers, or bytes of which every frame is kept once.

use super::ObservationShape;
use super::picture::Picture;
use crate::Real;
use std::ops::Range;

/// A batch of observations.
///
/// ```
/// use relax_nn::{FrameLayout, Observations, Stacks};
/// // Two stacks of two frames of three bytes; the second frame of the first is the first of the second.
/// let layout = FrameLayout::of(&[2, 1, 3]);
/// let stacks = Stacks { layout, bytes: &[1, 2, 3, 4, 5, 6, 7, 8, 9], frames: &[0, 1, 1, 2] };
/// let mut numbers: Vec<f32> = Vec::new();
/// Observations::from(stacks).write(&mut numbers);
/// assert_eq!(numbers, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]);
/// ```
#[derive(Debug, Clone, Copy)]
pub enum Observations<'a, F = f32> {
    /// `[B, D]`.
    Numbers(&'a [F]),
    /// B stacks of frames of bytes.
    Bytes(Stacks<'a>),
}

/// How an observation of bytes is made of frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameLayout {
    /// Frames in one observation, N.
    pub frames: usize,
    /// Bytes of one frame, L.
    pub bytes: usize,
    /// Whether the frames are an observation's last dimension, not its first.
    pub interleaved: bool,
}

/// Observations of bytes, whose frames lie in one place.
#[derive(Debug, Clone, Copy)]
pub struct Stacks<'a> {
    /// How they are made of frames.
    pub layout: FrameLayout,
    /// `[frames there are, L]`.
    pub bytes: &'a [u8],
    /// Which of them make each observation, `[B, N]`.
    pub frames: &'a [u32],
}

impl FrameLayout {
    /// That of observations of `shape`: of a stack `[N, H, W, C]` or `[N, C, H, W]` its N frames, of `[C, H, W]` and `[H, W, C]` the C
    /// channels, which may be a stack of grey frames; anything else is one frame.
    ///
    /// ```
    /// use relax_nn::FrameLayout;
    /// let layout = |shape: &[usize]| {
    ///     let FrameLayout { frames, bytes, interleaved } = FrameLayout::of(shape);
    ///     (frames, bytes, interleaved)
    /// };
    /// assert_eq!(layout(&[4, 84, 84]), (4, 7056, false));
    /// assert_eq!(layout(&[84, 84, 4]), (4, 7056, true));
    /// assert_eq!(layout(&[4, 96, 96, 3]), (4, 27648, false));
    /// assert_eq!(layout(&[128]), (1, 128, false));
    /// ```
    #[must_use]
    pub fn of(shape: &[usize]) -> Self {
        let numbers: usize = shape.iter().product();
        let picture = Picture::of(&ObservationShape { shape: shape.to_vec(), scale: 1.0 });
        let (frames, interleaved) = match picture {
            Some(picture) if shape.len() == 4 => (picture.frames(), false),
            Some(picture) if shape.len() == 3 => (picture.channels, !picture.is_channels_first()),
            _ => (1, false),
        };
        Self { frames, bytes: numbers / frames.max(1), interleaved: interleaved && frames > 1 }
    }

    /// Numbers of one observation, D.
    #[must_use]
    pub fn numbers(self) -> usize {
        self.frames * self.bytes
    }

    /// Where the first number of frame `frame` lies in an observation, and how far apart its numbers are.
    fn place(self, frame: usize) -> (usize, usize) {
        if self.interleaved { (frame, self.frames) } else { (frame * self.bytes, 1) }
    }

    /// frames `[N, L]` ← an observation `[D]`, if all its numbers are bytes exactly.
    #[must_use]
    pub fn split(self, observation: &[f32], frames: &mut Vec<u8>) -> bool {
        frames.clear();
        let mut exact = true;
        let mut byte = |x: f32| {
            let byte = x as u8;
            exact &= f32::from(byte).to_bits() == x.to_bits();
            byte
        };
        if self.interleaved {
            for frame in 0..self.frames {
                frames.extend(observation[frame..].iter().step_by(self.frames).map(|&x| byte(x)));
            }
        } else {
            frames.extend(observation.iter().map(|&x| byte(x)));
        }
        exact
    }
}

impl Stacks<'_> {
    /// B.
    #[must_use]
    pub fn count(self) -> usize {
        self.frames.len() / self.layout.frames.max(1)
    }

    /// The bytes of observation `row`, as the environment gave them, put behind those in `to`.
    fn append<T>(self, row: usize, to: &mut Vec<T>, number: impl Fn(u8) -> T + Copy) {
        let FrameLayout { frames, bytes, interleaved } = self.layout;
        let frame = |i: &u32| &self.bytes[*i as usize * bytes..][..bytes];
        let stack = &self.frames[row * frames..(row + 1) * frames];
        if !interleaved {
            stack.iter().for_each(|i| to.extend(frame(i).iter().map(|&byte| number(byte))));
            return;
        }
        let start = to.len();
        to.resize_with(start + frames * bytes, || number(0));
        for (offset, i) in stack.iter().enumerate() {
            let (at, apart) = self.layout.place(offset);
            let places = to[start + at..].iter_mut().step_by(apart);
            places.zip(frame(i)).for_each(|(to, &byte)| *to = number(byte));
        }
    }

    /// bytes `[D]` ← observation `row`, as the environment gave it.
    pub fn bytes_of(self, row: usize, bytes: &mut Vec<u8>) {
        bytes.clear();
        self.append(row, bytes, |byte| byte);
    }
}

impl<'a, F> Observations<'a, F> {
    /// B, where an observation has `width` numbers.
    ///
    /// # Panics
    /// If that is not so.
    #[must_use]
    pub fn count(self, width: usize) -> usize {
        match self {
            Self::Numbers(numbers) => {
                assert_eq!(
                    numbers.len() % width,
                    0,
                    "the observations' length must be a multiple of {width}"
                );
                numbers.len() / width
            }
            Self::Bytes(stacks) => {
                assert_eq!(stacks.layout.numbers(), width, "numbers of an observation");
                stacks.count()
            }
        }
    }

    /// Those of some rows, of `width` numbers each.
    #[must_use]
    pub fn rows(self, rows: Range<usize>, width: usize) -> Self {
        match self {
            Self::Numbers(numbers) => Self::Numbers(&numbers[rows.start * width..rows.end * width]),
            Self::Bytes(stacks) => {
                let n = stacks.layout.frames;
                Self::Bytes(Stacks { frames: &stacks.frames[rows.start * n..rows.end * n], ..stacks })
            }
        }
    }

    /// The numbers.
    ///
    /// # Panics
    /// If they are kept as bytes, which only an encoder reads.
    #[must_use]
    pub fn numbers(self) -> &'a [F] {
        match self {
            Self::Numbers(numbers) => numbers,
            Self::Bytes(_) => panic!("observations of bytes, where there is no encoder to read them"),
        }
    }
}

impl<F: Real> Observations<'_, F> {
    /// numbers `[B, D]` ← the observations, bytes as the numbers that they are.
    pub fn write(self, numbers: &mut Vec<F>) {
        numbers.clear();
        self.append_to(numbers);
    }

    /// As [`write`](Self::write), behind the numbers there are.
    pub fn append_to(self, numbers: &mut Vec<F>) {
        match self {
            Self::Numbers(given) => numbers.extend_from_slice(given),
            Self::Bytes(stacks) => {
                (0..stacks.count()).for_each(|row| stacks.append(row, numbers, |byte| F::of(byte.into())));
            }
        }
    }
}

crate::input::of_numbers!(Observations, Numbers);

impl<'a, F> From<Stacks<'a>> for Observations<'a, F> {
    fn from(stacks: Stacks<'a>) -> Self {
        Self::Bytes(stacks)
    }
}
