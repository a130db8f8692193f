//! Where the pixels of an observation lie.

use super::ObservationShape;
use crate::Real;

/// An observation as rows and columns of pixels with channels.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// Rows of pixels.
    pub height: usize,
    /// Pixels in a row.
    pub width: usize,
    /// Numbers of a pixel, those of all stacked frames together.
    pub channels: usize,
    scale: f32,
    /// Frames, rows, columns and channels of a frame: how many, and how far apart.
    axes: [(usize, usize); 4],
}

impl Picture {
    /// Reads a shape as a picture: `[H, W]`, `[H, W, C]`, `[C, H, W]` (where the first size is smaller than the last), and
    /// stacks of frames `[N, H, W, C]` or `[N, C, H, W]`. `None` for other shapes.
    ///
    /// ```
    /// use relax_nn::{ObservationShape, Picture};
    /// let picture = |shape: &[usize]| {
    ///     Picture::of(&ObservationShape { shape: shape.to_vec(), scale: 1.0 }).map(|p| [p.height, p.width, p.channels])
    /// };
    /// assert_eq!(picture(&[84, 84, 3]), Some([84, 84, 3]));
    /// assert_eq!(picture(&[4, 84, 84]), Some([84, 84, 4]));
    /// assert_eq!(picture(&[4, 84, 84, 3]), Some([84, 84, 12]));
    /// assert_eq!(picture(&[8]), None);
    /// ```
    #[must_use]
    pub fn of(observation: &ObservationShape) -> Option<Self> {
        let (frames, frame) = match *observation.shape.as_slice() {
            [h, w] => (1, [h, w, 1]),
            [a, b, c] => (1, [a, b, c]),
            [n, a, b, c] => (n, [a, b, c]),
            _ => return None,
        };
        let [a, b, c] = frame;
        let of_frames = (frames, a * b * c);
        let axes = match a < c {
            true => [of_frames, (b, c), (c, 1), (a, b * c)],
            false => [of_frames, (a, b * c), (b, c), (c, 1)],
        };
        let [(frames, _), (height, _), (width, _), (channels, _)] = axes;
        let channels = frames * channels;
        (height * width * channels > 0).then_some(Self {
            height,
            width,
            channels,
            scale: observation.scale,
            axes,
        })
    }

    /// Numbers in one picture.
    #[must_use]
    pub fn numbers(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// Frames that are stacked, 1 where an observation is one.
    #[must_use]
    pub fn frames(&self) -> usize {
        self.axes[0].0
    }

    /// Whether a frame's channels are its first dimension, `[C, H, W]`, not its last.
    #[must_use]
    pub fn is_channels_first(&self) -> bool {
        let [_, _, (_, of_column), (_, of_channel)] = self.axes;
        of_channel > of_column
    }

    /// pixels `[H, W, C]` ← one observation, scaled; the channels of the oldest frame first.
    pub(super) fn unpack<F: Real, T: Copy>(
        &self,
        observation: &[T],
        pixels: &mut [F],
        number: impl Fn(T) -> F,
    ) {
        let scale = F::of(f64::from(self.scale));
        let [(frames, of_frame), (_, of_row), (_, of_column), (channels, of_channel)] = self.axes;
        if frames == 1 && of_channel == 1 {
            return pixels.iter_mut().zip(observation).for_each(|(p, &x)| *p = number(x) * scale);
        }
        let mut pixels = pixels.iter_mut();
        for row in 0..self.height {
            for column in 0..self.width {
                for frame in 0..frames {
                    let start = frame * of_frame + row * of_row + column * of_column;
                    let numbers = observation[start..].iter().step_by(of_channel).take(channels);
                    numbers.zip(&mut pixels).for_each(|(&x, p)| *p = number(x) * scale);
                }
            }
        }
    }
}
