//! SVG → PNG, for every figure of the program: [`from_svg`] draws an SVG text at twice its size, with a font of its own, so
//! that the picture is the same on a machine without fonts.
//!
//! ```
//! let svg = r#"<svg xmlns="http://www.w3.org/2000/svg" width="40" height="20"><text x="2" y="15">γ</text></svg>"#;
//! let png = relax_lab::chart::png::from_svg(svg)?;
//! assert_eq!(&png[1..4], b"PNG");
//! # Ok::<(), relax_runtime::Error>(())
//! ```

use std::path::Path;
use std::sync::{Arc, LazyLock};

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb};

use relax_runtime::Error;
use relax_runtime::files;

/// Pixels a unit of the SVG: sharp on the screens of today, and in print at the size of a column.
const SCALE: f32 = 2.0;
/// Most pixels of a side; what is larger is a mistake and not a figure.
const MOST_PIXELS: f32 = 16_384.0;

/// DejaVu Sans, Latin and Greek letters and the signs of formulas (`THIRD_PARTY_NOTICES.md`).
static FONTS: LazyLock<Arc<fontdb::Database>> = LazyLock::new(|| {
    let mut fonts = fontdb::Database::new();
    fonts.load_font_data(include_bytes!("font/DejaVuSans-subset.ttf").to_vec());
    for set in [
        fontdb::Database::set_sans_serif_family::<String>,
        fontdb::Database::set_serif_family,
        fontdb::Database::set_monospace_family,
    ] {
        set(&mut fonts, "DejaVu Sans".into());
    }
    Arc::new(fonts)
});

/// The picture of `svg` as the bytes of a PNG file, two pixels a unit.
///
/// # Errors
/// If the text is no SVG, or is too large to be drawn.
pub fn from_svg(svg: &str) -> Result<Vec<u8>, Error> {
    draw(svg)?.encode_png().map_err(|error| failed(&error))
}

/// The picture of `svg` on white ground, two pixels a unit: its width, and three bytes (red, green, blue) a pixel.
///
/// # Errors
/// As [`from_svg`].
pub fn rgb(svg: &str) -> Result<(usize, Vec<u8>), Error> {
    let pixels = draw(svg)?;
    // Colours are premultiplied: what is transparent lets white through.
    let on_white = |pixel: &resvg::tiny_skia::PremultipliedColorU8| {
        let ground = 255 - pixel.alpha();
        [pixel.red(), pixel.green(), pixel.blue()].map(|colour| colour + ground)
    };
    Ok((pixels.width() as usize, pixels.pixels().iter().flat_map(on_white).collect()))
}

fn failed(problem: &dyn std::fmt::Display) -> Error {
    Error::runtime(format!("a figure cannot be drawn in pixels: {problem}"))
}

fn draw(svg: &str) -> Result<Pixmap, Error> {
    let options = Options { fontdb: FONTS.clone(), font_family: "sans-serif".into(), ..Options::default() };
    let tree = Tree::from_str(&without_style(svg), &options).map_err(|error| failed(&error))?;
    let size = tree.size();
    let (width, height) = (SCALE * size.width(), SCALE * size.height());
    if width > MOST_PIXELS || height > MOST_PIXELS {
        return Err(failed(&format!("{width} × {height} pixels are too many")));
    }
    let mut pixels =
        Pixmap::new(width.ceil() as u32, height.ceil() as u32).ok_or_else(|| failed(&"it has no size"))?;
    resvg::render(&tree, Transform::from_scale(SCALE, SCALE), &mut pixels.as_mut());
    Ok(pixels)
}

/// `svg` without its style sheet, which is for readers in the dark: a PNG is light.
fn without_style(svg: &str) -> String {
    match (svg.find("<style>"), svg.find("</style>")) {
        (Some(start), Some(end)) if start < end => [&svg[..start], &svg[end + "</style>".len()..]].concat(),
        _ => svg.to_owned(),
    }
}

/// Writes `svg` to `path`, as PNG if the name ends so and as it is otherwise.
///
/// # Errors
/// As [`from_svg`]; also if the file system refuses.
pub fn write_figure(svg: &str, path: &Path) -> Result<(), Error> {
    let is_png = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("png"));
    let bytes = if is_png { from_svg(svg)? } else { svg.as_bytes().to_vec() };
    files::write_atomically(path, &bytes).map_err(|source| Error::io("write", path, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Dark pixels of a picture.
    fn ink(svg: &str) -> usize {
        let pixels = Pixmap::decode_png(&from_svg(svg).expect("draws")).expect("a PNG");
        pixels.pixels().iter().filter(|p| p.alpha() > 128 && p.red() < 128).count()
    }

    #[test]
    fn letters_are_drawn_whatever_family_is_asked_for() {
        for family in ["sans-serif", "monospace", "No Such Font, sans-serif"] {
            let svg = format!(
                r#"<svg xmlns="http://www.w3.org/2000/svg" width="60" height="20"><text x="2" y="15" font-family="{family}">Σ ĝ θ</text></svg>"#
            );
            assert!(ink(&svg) > 50, "{family}");
        }
    }

    #[test]
    fn pixels_lie_on_white() {
        let svg = r#"<svg xmlns="http://www.w3.org/2000/svg" width="3" height="2"><rect width="1" height="2" fill="red"/></svg>"#;
        let (width, pixels) = rgb(svg).expect("draws");
        assert_eq!((width, pixels.len()), (6, 3 * 6 * 4));
        assert_eq!((&pixels[..3], &pixels[15..18]), (&[255, 0, 0][..], &[255; 3][..]));
    }

    #[test]
    fn what_is_no_svg_is_refused() {
        assert!(from_svg("no picture").is_err());
        assert!(from_svg(r#"<svg xmlns="http://www.w3.org/2000/svg" width="99999" height="2"/>"#).is_err());
    }
}
