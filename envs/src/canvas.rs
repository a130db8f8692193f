//! A small drawing board for [`Env::render`](crate::Env::render): filled shapes and lines, y upwards, antialiased.

use tiny_skia::{Color, FillRule, LineCap, LineJoin, Paint, Path, PathBuilder, Pixmap, Stroke, Transform};

use crate::Frame;

/// Red, green and blue.
pub type Rgb = [u8; 3];

/// A point in pixels from the lower left corner.
pub type Point = (f64, f64);

/// A white picture to draw on. Coordinates are pixels, x to the right and y **up**, as in Gymnasium's renderers.
///
/// ```
/// use relax_envs::canvas::Canvas;
/// let mut canvas = Canvas::new(60, 40).ok_or("too large")?;
/// canvas.circle((30.0, 20.0), 10.0, [200, 0, 0]);
/// let frame = canvas.into_frame();
/// assert_eq!((frame.width, frame.height, frame.rgb.len()), (60, 40, 7200));
/// # Ok::<(), &str>(())
/// ```
pub struct Canvas {
    pixmap: Pixmap,
    height: f64,
}

impl Canvas {
    /// A white canvas; `None` if a side is 0 or the size overflows.
    pub fn new(width: u32, height: u32) -> Option<Self> {
        let mut pixmap = Pixmap::new(width, height)?;
        pixmap.fill(Color::WHITE);
        Some(Self { pixmap, height: f64::from(height) })
    }

    /// To tiny-skia's coordinates: y down, and a whole number is the middle of a pixel.
    fn pixel(&self, (x, y): Point) -> (f32, f32) {
        ((x + 0.5) as f32, (self.height - y - 0.5) as f32)
    }

    fn paint([r, g, b]: Rgb) -> Paint<'static> {
        let mut paint = Paint::default();
        paint.set_color_rgba8(r, g, b, 255);
        paint
    }

    fn path(&self, points: &[Point], closed: bool) -> Option<Path> {
        let mut builder = PathBuilder::new();
        for (i, &point) in points.iter().enumerate() {
            let (x, y) = self.pixel(point);
            if i == 0 { builder.move_to(x, y) } else { builder.line_to(x, y) }
        }
        if closed {
            builder.close();
        }
        builder.finish()
    }

    fn stroke(&mut self, path: &Path, width: f64, color: Rgb) {
        let stroke = Stroke {
            width: width as f32,
            line_cap: LineCap::Butt,
            line_join: LineJoin::Round,
            ..Stroke::default()
        };
        self.pixmap.stroke_path(path, &Self::paint(color), &stroke, Transform::identity(), None);
    }

    /// A filled polygon; its edge pixels are part of it, as in pygame.
    pub fn polygon(&mut self, points: &[Point], color: Rgb) {
        if let Some(path) = self.path(points, true) {
            self.pixmap.fill_path(&path, &Self::paint(color), FillRule::Winding, Transform::identity(), None);
            self.stroke(&path, 1.0, color);
        }
    }

    /// A filled circle; its edge pixels are part of it, as in pygame.
    pub fn circle(&mut self, center: Point, radius: f64, color: Rgb) {
        let (x, y) = self.pixel(center);
        if let Some(path) = PathBuilder::from_circle(x, y, radius as f32 + 0.5) {
            let (paint, rule) = (Self::paint(color), FillRule::Winding);
            self.pixmap.fill_path(&path, &paint, rule, Transform::identity(), None);
        }
    }

    /// An open line through the points, `width` pixels wide.
    pub fn polyline(&mut self, points: &[Point], width: f64, color: Rgb) {
        if let Some(path) = self.path(points, false) {
            self.stroke(&path, width, color);
        }
    }

    /// A line of one pixel.
    pub fn line(&mut self, from: Point, to: Point, color: Rgb) {
        self.polyline(&[from, to], 1.0, color);
    }

    /// The finished picture.
    pub fn into_frame(self) -> Frame {
        let rgb =
            self.pixmap.data().chunks_exact(4).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect();
        Frame { width: self.pixmap.width(), height: self.pixmap.height(), rgb }
    }
}

/// Rotates a point about the origin, counter-clockwise.
pub fn rotate((x, y): Point, angle: f64) -> Point {
    let (sin, cos) = angle.sin_cos();
    (x * cos - y * sin, x * sin + y * cos)
}
