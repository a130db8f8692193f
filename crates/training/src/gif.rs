//! [`GifWriter`]: frames in, animated GIF out, one frame in memory at a time.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use gif::{DisposalMethod, Encoder, EncodingError, Frame, Repeat};

use relax_runtime::Error;
use relax_runtime::files;

/// Frames per second of the classic-control environments' animations.
pub const CLASSIC_CONTROL_FPS: f64 = 30.0;
/// Colours of a GIF's palette.
const COLORS: usize = 256;
/// A drawing: its 256 commonest colours cover this share of the picture, and keep their exact values.
const DRAWN_SHARE: f64 = 0.95;
/// NeuQuant's speed, 1 (best) to 30; it is used for pictures that are no drawings.
const QUANTIZER_SPEED: i32 = 10;

/// An animated GIF being written. It repeats for ever, and appears under its name when it is complete.
///
/// ```
/// use relax_training::gif::GifWriter;
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("blink.gif");
/// let mut gif = GifWriter::create(&path, 2, 1, 30.0)?;
/// gif.push(&[255, 0, 0, 0, 0, 255])?;
/// gif.push(&[0, 0, 255, 255, 0, 0])?;
/// gif.finish()?;
/// assert!(path.exists());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct GifWriter {
    encoder: Option<Encoder<BufWriter<File>>>,
    path: PathBuf,
    partial: PathBuf,
    width: u16,
    height: u16,
    frames_per_second: f64,
    frames: u32,
    /// The last frame: only the rectangle that changed is written.
    last: Vec<u8>,
}

impl GifWriter {
    /// Begins the file `path` for frames of `width` × `height` pixels.
    ///
    /// # Errors
    /// If the file cannot be created, or size or rate are not possible in a GIF (1 to 65535 pixels, above 0 to 50 frames).
    pub fn create(path: &Path, width: u32, height: u32, frames_per_second: f64) -> Result<Self, Error> {
        let sides = (u16::try_from(width), u16::try_from(height));
        let (Ok(width @ 1..), Ok(height @ 1..)) = sides else {
            return Err(Error::runtime(format!("a GIF cannot have {width} × {height} pixels")));
        };
        if !(frames_per_second > 0.0 && frames_per_second <= 50.0) {
            let message = format!("a GIF cannot have {frames_per_second} frames per second");
            return Err(Error::runtime(message).with_hint("above 0 and up to 50 is possible"));
        }
        let io = |source| Error::io("write", path, source);
        let partial = files::partial_path(path).map_err(io)?;
        let file = File::create(&partial).map_err(io)?;
        let mut gif = Self {
            encoder: None,
            path: path.to_owned(),
            partial,
            width,
            height,
            frames_per_second,
            frames: 0,
            last: Vec::new(),
        };
        let mut encoder =
            Encoder::new(BufWriter::new(file), width, height, &[]).map_err(|error| gif.refuse(error))?;
        encoder.set_repeat(Repeat::Infinite).map_err(|error| gif.refuse(error))?;
        gif.encoder = Some(encoder);
        Ok(gif)
    }

    /// Appends a frame: `height` rows of `width` pixels, three bytes (red, green, blue) each.
    ///
    /// # Errors
    /// If the frame has another size, or the file system refuses.
    pub fn push(&mut self, rgb: &[u8]) -> Result<(), Error> {
        let expected = usize::from(self.width) * usize::from(self.height) * 3;
        if rgb.len() != expected {
            let message = format!(
                "a frame of {} bytes for a GIF of {} × {} pixels, which takes {expected}",
                rgb.len(),
                self.width,
                self.height
            );
            return Err(Error::runtime(message));
        }
        let area = changed(&self.last, rgb, usize::from(self.width));
        let mut frame = compress(&crop(rgb, usize::from(self.width), &area), &area);
        self.last.clear();
        self.last.extend_from_slice(rgb);
        frame.delay = self.delay(self.frames);
        self.frames += 1;
        let written = match &mut self.encoder {
            Some(encoder) => encoder.write_frame(&frame),
            None => Ok(()),
        };
        written.map_err(|error| self.refuse(error))
    }

    /// Completes the file and puts it under its name.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn finish(mut self) -> Result<(), Error> {
        let Some(encoder) = self.encoder.take() else { return Ok(()) };
        let mut buffer = encoder.into_inner().map_err(|error| self.refuse(error))?;
        let io = |source| Error::io("write", &self.path, source);
        buffer.flush().map_err(io)?;
        buffer.get_ref().sync_all().map_err(io)?;
        files::publish(&self.partial, &self.path).map_err(io)
    }

    /// How long frame `index` stands, in 1/100 s. Rounding is carried along: 30 frames last 100, not 90.
    fn delay(&self, index: u32) -> u16 {
        let until = |count: u32| (100.0 * f64::from(count) / self.frames_per_second).round();
        (until(index + 1) - until(index)) as u16
    }

    fn refuse(&self, error: EncodingError) -> Error {
        match error {
            EncodingError::Io(source) => Error::io("write", &self.path, source),
            other => Error::runtime(format!("cannot write {}: {other}", self.path.display())),
        }
    }
}

/// Columns and rows of a picture.
#[derive(Debug, Clone, PartialEq)]
struct Area {
    columns: Range<usize>,
    rows: Range<usize>,
}

/// The smallest rectangle outside of which `rgb` equals `last`; all of it if there is no `last`, never empty.
fn changed(last: &[u8], rgb: &[u8], width: usize) -> Area {
    let height = rgb.len() / (3 * width);
    if last.len() != rgb.len() {
        return Area { columns: 0..width, rows: 0..height };
    }
    let (mut columns, mut rows) = (width..0, height..0);
    for (y, (old, new)) in last.chunks_exact(3 * width).zip(rgb.chunks_exact(3 * width)).enumerate() {
        if old == new {
            continue;
        }
        rows = rows.start.min(y)..y + 1;
        let differs = |x: &usize| old[3 * x..3 * x + 3] != new[3 * x..3 * x + 3];
        let first = (0..width).find(differs).unwrap_or(0);
        let end = (0..width).rfind(differs).unwrap_or(0) + 1;
        columns = columns.start.min(first)..columns.end.max(end);
    }
    if rows.is_empty() { Area { columns: 0..1, rows: 0..1 } } else { Area { columns, rows } }
}

fn crop(rgb: &[u8], width: usize, area: &Area) -> Vec<[u8; 3]> {
    let pixels = rgb.as_chunks::<3>().0;
    area.rows.clone().flat_map(|y| &pixels[y * width..][area.columns.clone()]).copied().collect()
}

/// A frame of at most 256 colours. Drawings keep their commonest colours exactly, and the rest, the blended pixels of
/// their edges, take the nearest of those; other pictures are quantised.
fn compress(pixels: &[[u8; 3]], area: &Area) -> Frame<'static> {
    let mut counts: HashMap<[u8; 3], usize> = HashMap::new();
    for &pixel in pixels {
        *counts.entry(pixel).or_default() += 1;
    }
    let mut colors: Vec<([u8; 3], usize)> = counts.into_iter().collect();
    colors.sort_unstable_by_key(|&(color, count)| (Reverse(count), color));
    let covered: usize = colors.iter().take(COLORS).map(|&(_, count)| count).sum();
    let (width, height) = (area.columns.len() as u16, area.rows.len() as u16);
    let mut frame = if (covered as f64) < DRAWN_SHARE * pixels.len() as f64 {
        Frame::from_rgb_speed(width, height, pixels.as_flattened(), QUANTIZER_SPEED)
    } else {
        let palette: Vec<[u8; 3]> = colors.iter().take(COLORS).map(|&(color, _)| color).collect();
        let distance =
            |a: &[u8; 3], b: &[u8; 3]| -> u32 { (0..3).map(|i| u32::from(a[i].abs_diff(b[i])).pow(2)).sum() };
        let nearest = |color: &[u8; 3]| {
            let best = (0..palette.len()).min_by_key(|&i| distance(&palette[i], color));
            best.unwrap_or(0) as u8
        };
        let index: HashMap<[u8; 3], u8> = colors
            .iter()
            .enumerate()
            .map(|(i, (color, _))| (*color, if i < COLORS { i as u8 } else { nearest(color) }))
            .collect();
        let indices: Vec<u8> = pixels.iter().map(|pixel| index[pixel]).collect();
        Frame::from_palette_pixels(width, height, indices, palette.into_flattened(), None)
    };
    (frame.left, frame.top) = (area.columns.start as u16, area.rows.start as u16);
    frame.dispose = DisposalMethod::Keep;
    frame
}

impl Drop for GifWriter {
    fn drop(&mut self) {
        // Not finished: what is there is of no use to anybody.
        if self.encoder.take().is_some() {
            let _ = std::fs::remove_file(&self.partial);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(path: &Path) -> Vec<(u16, Vec<u8>)> {
        let mut options = gif::DecodeOptions::new();
        options.set_color_output(gif::ColorOutput::RGBA);
        let mut decoder = options.read_info(File::open(path).expect("open")).expect("a GIF");
        let width = usize::from(decoder.width());
        let mut canvas = vec![0; 3 * width * usize::from(decoder.height())];
        let mut frames = Vec::new();
        while let Some(frame) = decoder.read_next_frame().expect("a frame") {
            let (left, top, columns) =
                (usize::from(frame.left), usize::from(frame.top), usize::from(frame.width));
            for (i, pixel) in frame.buffer.chunks_exact(4).enumerate() {
                let at = 3 * ((top + i / columns) * width + left + i % columns);
                canvas[at..at + 3].copy_from_slice(&pixel[..3]);
            }
            frames.push((frame.delay, canvas.clone()));
        }
        frames
    }

    /// A white picture with a coloured square and a few blended pixels: more than 256 colours in all.
    fn drawing(at: usize) -> Vec<u8> {
        let mut rgb = vec![255; 3 * 100 * 80];
        for y in 0..80 {
            for x in 0..100 {
                if (at..at + 40).contains(&x) && (10..60).contains(&y) {
                    rgb[3 * (100 * y + x)..][..3].copy_from_slice(&[0, 204, 204]);
                }
            }
        }
        (0..300).for_each(|i| {
            rgb[3 * (100 * 70) + 3 * i..][..3].copy_from_slice(&[(i % 250) as u8, (i / 2) as u8, 7])
        });
        rgb
    }

    #[test]
    fn drawings_keep_their_colours_and_only_what_changes_is_written() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("x.gif");
        let mut gif = GifWriter::create(&path, 100, 80, 30.0).expect("creates");
        for at in [5, 6, 6, 30] {
            gif.push(&drawing(at)).expect("writes");
        }
        gif.finish().expect("finishes");
        for ((_, found), at) in decode(&path).iter().zip([5, 6, 6, 30]) {
            let expected = drawing(at);
            assert_eq!(found[..3 * 100 * 70], expected[..3 * 100 * 70], "all but the blended pixels");
            let blended = 3 * 100 * 70..3 * (100 * 70 + 300);
            let pairs = found[blended.clone()].iter().zip(&expected[blended]);
            let error: u32 = pairs.map(|(a, b)| u32::from(a.abs_diff(*b))).sum();
            assert!(error < 900 * 8, "and those nearly: mean error {}", f64::from(error) / 900.0);
        }
        assert_eq!(changed(&drawing(5), &drawing(6), 100), Area { columns: 5..46, rows: 10..60 });
        assert_eq!(changed(&drawing(6), &drawing(6), 100), Area { columns: 0..1, rows: 0..1 });
    }

    #[test]
    fn few_colours_come_back_exactly_and_the_time_adds_up() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("x.gif");
        let mut gif = GifWriter::create(&path, 8, 4, 30.0).expect("creates");
        let frame =
            |index: u8| -> Vec<u8> { (0..96).map(|i| if i % 3 == 0 { index } else { i as u8 }).collect() };
        (0..30).for_each(|index| gif.push(&frame(index)).expect("writes"));
        assert!(!path.exists(), "not complete yet");
        gif.finish().expect("finishes");
        let frames = decode(&path);
        assert_eq!(frames.len(), 30);
        assert_eq!(frames.iter().map(|(delay, _)| u32::from(*delay)).sum::<u32>(), 100);
        for (index, (_, rgb)) in frames.iter().enumerate() {
            assert_eq!(rgb, &frame(index as u8));
        }
        let bytes = std::fs::read(&path).expect("read");
        assert!(bytes.windows(11).any(|window| window == b"NETSCAPE2.0"), "it repeats");
        assert_eq!(std::fs::read_dir(folder.path()).expect("list").count(), 1);
    }

    #[test]
    fn many_colours_come_back_nearly() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("x.gif");
        let rgb: Vec<u8> = (0..64 * 64).flat_map(|i| [(i % 64 * 4) as u8, (i / 64 * 4) as u8, 128]).collect();
        let mut gif = GifWriter::create(&path, 64, 64, 50.0).expect("creates");
        gif.push(&rgb).expect("writes");
        gif.finish().expect("finishes");
        let frames = decode(&path);
        let error: u32 = frames[0].1.iter().zip(&rgb).map(|(a, b)| u32::from(a.abs_diff(*b))).sum();
        assert!(f64::from(error) / (rgb.len() as f64) < 8.0, "mean error {error}");
    }

    #[test]
    fn impossible_sizes_and_rates_are_errors_and_an_unfinished_file_is_removed() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("x.gif");
        for (width, height, rate) in
            [(0, 1, 30.0), (1, 70_000, 30.0), (1, 1, 0.0), (1, 1, f64::NAN), (1, 1, 200.0)]
        {
            assert!(GifWriter::create(&path, width, height, rate).is_err(), "{width} {height} {rate}");
        }
        let mut gif = GifWriter::create(&path, 2, 2, 30.0).expect("creates");
        assert!(gif.push(&[0; 5]).is_err());
        drop(gif);
        assert_eq!(std::fs::read_dir(folder.path()).expect("list").count(), 0);
    }
}
