//! What a run looks like: its curves, and samples and reconstructions of its model as PNG.

use std::path::Path;

use relax_latent::vae::Trainer;

use relax_latent::task::RunImages;
use relax_runtime::Error;
use relax_runtime::files;

/// Images along one side of the square of samples.
const SAMPLES: usize = 10;
/// Validation images that are reconstructed, per row.
const PAIRS: usize = 10;
/// Rows of pairs: images above, their reconstructions below.
const PAIR_ROWS: usize = 5;
/// Pixels between images.
const GAP: usize = 2;
/// How often each pixel is repeated, both ways.
const SCALE: usize = 2;
/// Names the noise of the samples and reconstructions.
const STREAM: u64 = 1;

/// Writes samples.png (pixel means of 100 samples of the model) and reconstructions.png (validation images and, below each,
/// the pixel means after encoding and decoding it) into the folder `dir`, and curves.png.
pub(super) fn draw_run(dir: &Path, trainer: &Trainer, images: &RunImages) -> Result<(), Error> {
    super::curves::plot(&[dir.to_owned()], &dir.join("curves.png"))?;
    let model = trainer.model();
    let size = (images.rows, images.columns);
    let samples = model.sample(SAMPLES * SAMPLES, STREAM);
    write(&dir.join("samples.png"), &samples, size, SAMPLES)?;

    let mut originals = Vec::new();
    images.validation.fixed(0..(PAIRS * PAIR_ROWS).min(images.validation.len()), &mut originals);
    let reconstructed = model.reconstruct(&originals, STREAM);
    let row = PAIRS * images.rows * images.columns;
    let pairs: Vec<f32> = originals
        .chunks(row)
        .zip(reconstructed.chunks(row))
        .flat_map(|(above, below)| {
            // A last row that is not full is filled with paper, so that what belongs together stays together.
            let filled = |part: &[f32]| {
                part.iter().copied().chain(std::iter::repeat_n(0.0, row - part.len())).collect::<Vec<_>>()
            };
            [filled(above), filled(below)].concat()
        })
        .collect();
    write(&dir.join("reconstructions.png"), &pairs, size, PAIRS)
}

/// Writes `images` (`[N, rows·columns]`, 0 paper to 1 ink) as a grid of `across` per row.
fn write(path: &Path, images: &[f32], size: (usize, usize), across: usize) -> Result<(), Error> {
    let (width, height, pixels) = grid(images, size, across);
    let bytes = encode(width, height, &pixels)
        .map_err(|error| Error::runtime(format!("cannot draw {}: {error}", path.display())))?;
    files::write_atomically(path, &bytes).map_err(|source| Error::io("write", path, source))
}

/// Width, height and grey pixels of the grid: ink is black, paper white, the gaps light grey.
fn grid(images: &[f32], (rows, columns): (usize, usize), across: usize) -> (usize, usize, Vec<u8>) {
    let count = images.len() / (rows * columns);
    let (cell_width, cell_height) = (columns * SCALE + GAP, rows * SCALE + GAP);
    let (width, height) = (across * cell_width + GAP, count.div_ceil(across) * cell_height + GAP);
    let mut pixels = vec![200; width * height];
    for (index, image) in images.chunks_exact(rows * columns).enumerate() {
        let (left, top) = (index % across * cell_width + GAP, index / across * cell_height + GAP);
        for y in 0..rows * SCALE {
            let line = &mut pixels[(top + y) * width + left..][..columns * SCALE];
            let source = &image[y / SCALE * columns..][..columns];
            for (x, pixel) in line.iter_mut().enumerate() {
                *pixel = (255.0 * (1.0 - source[x / SCALE].clamp(0.0, 1.0))).round() as u8;
            }
        }
    }
    (width, height, pixels)
}

fn encode(width: usize, height: usize, pixels: &[u8]) -> Result<Vec<u8>, png::EncodingError> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width as u32, height as u32);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header()?.write_image_data(pixels)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_stand_where_they_should() {
        // Three images of one row and two pixels, two per line.
        let (width, height, pixels) = grid(&[1.0, 0.0, 0.0, 1.0, 0.5, 0.5], (1, 2), 2);
        assert_eq!((width, height), (2 * 6 + 2, 2 * 4 + 2));
        let at = |x: usize, y: usize| pixels[y * width + x];
        assert_eq!((at(2, 2), at(3, 3), at(4, 2), at(8, 2), at(10, 3)), (0, 0, 255, 255, 0));
        assert_eq!((at(2, 6), at(0, 0), at(8, 6)), (128, 200, 200));
    }
}
