//! Pictures: the shapes of a model projected onto the plane it moves in. They are drawings of ours, not MuJoCo's renderer.

use super::geoms;
use super::simulation::Simulation;
use crate::Frame;
use crate::canvas::{Canvas, Rgb};

/// A capsule of a body.
pub(super) struct Geom {
    pub(super) body: u8,
    /// Ends of its axis in the body's frame, in metres.
    pub(super) from: [f64; 3],
    pub(super) to: [f64; 3],
    pub(super) radius: f64,
    pub(super) color: Rgb,
}

/// From where a model is seen.
#[derive(Clone, Copy)]
enum Eye {
    /// From the side, y: the picture shows x and z, and a floor.
    Side { floor: f64 },
    /// From above: the picture shows x and y.
    Top,
}

/// How a task is drawn.
pub(super) struct View {
    eye: Eye,
    geoms: &'static [Geom],
    /// Whether the picture moves along with body 1; else the world's origin is in its middle.
    follow: bool,
    /// Metres that the picture shows.
    width: f64,
    /// Height of the middle of the picture over the origin, in metres.
    middle: f64,
}

const SIZE: f64 = 480.0;
const FLOOR: Rgb = [205, 205, 205];
const INK: Rgb = [60, 60, 60];

const fn side(geoms: &'static [Geom], follow: bool, width: f64, middle: f64, floor: f64) -> View {
    View { eye: Eye::Side { floor }, geoms, follow, width, middle }
}

pub(super) static HALF_CHEETAH: View = side(geoms::HALF_CHEETAH, true, 4.0, 0.9, 0.0);
pub(super) static HOPPER: View = side(geoms::HOPPER, true, 3.0, 1.1, 0.0);
pub(super) static WALKER: View = side(geoms::WALKER, true, 3.0, 1.1, 0.0);
pub(super) static INVERTED_PENDULUM: View = side(geoms::INVERTED_PENDULUM, false, 2.6, 0.2, -3.0);
pub(super) static INVERTED_DOUBLE_PENDULUM: View =
    side(geoms::INVERTED_DOUBLE_PENDULUM, false, 3.2, 0.4, -3.0);
pub(super) static ANT: View = side(geoms::ANT, true, 4.0, 0.9, 0.0);
pub(super) static HUMANOID: View = side(geoms::HUMANOID, true, 3.2, 1.0, 0.0);
pub(super) static SWIMMER: View =
    View { eye: Eye::Top, geoms: geoms::SWIMMER, follow: true, width: 6.0, middle: 0.0 };
pub(super) static REACHER: View =
    View { eye: Eye::Top, geoms: geoms::REACHER, follow: false, width: 0.7, middle: 0.0 };

/// The picture of the current state.
pub(super) fn draw(view: &View, simulation: &Simulation) -> Option<Frame> {
    let scale = SIZE / view.width;
    let torso = if view.follow { simulation.body_point(1, [0.0; 3]) } else { [0.0; 3] };
    let up = |point: [f64; 3]| if matches!(view.eye, Eye::Top) { point[1] } else { point[2] };
    // Seen from above, the picture follows both ways; from the side the floor stays where it is.
    let middle = if matches!(view.eye, Eye::Top) { torso[1] } else { view.middle };
    let pixel = |point: [f64; 3]| {
        (SIZE / 2.0 + scale * (point[0] - torso[0]), SIZE / 2.0 + scale * (up(point) - middle))
    };
    let mut canvas = Canvas::new(SIZE as u32, SIZE as u32)?;
    if let Eye::Side { floor } = view.eye {
        let level = SIZE / 2.0 + scale * (floor - middle);
        if level > 0.0 {
            canvas.polygon(&[(0.0, 0.0), (0.0, level), (SIZE, level), (SIZE, 0.0)], FLOOR);
        }
    }
    if view.follow {
        // Marks on the ground at whole metres, by which its motion is seen.
        let half = view.width / 2.0;
        let level = |z: f64| [torso[0], torso[1], z];
        for mark in ((torso[0] - half).floor() as i64)..=((torso[0] + half).ceil() as i64) {
            let (x, y) = match view.eye {
                Eye::Side { floor } => pixel([mark as f64, 0.0, floor]),
                Eye::Top => (pixel([mark as f64, 0.0, 0.0]).0, pixel(level(0.0)).1 - SIZE / 2.0 + 12.0),
            };
            canvas.line((x, y), (x, y - 12.0), INK);
        }
    }
    // What is farther away is drawn first.
    let depth = |point: [f64; 3]| if matches!(view.eye, Eye::Top) { point[2] } else { -point[1] };
    let mut placed: Vec<_> = view
        .geoms
        .iter()
        .map(|geom| {
            let body = usize::from(geom.body);
            (geom, simulation.body_point(body, geom.from), simulation.body_point(body, geom.to))
        })
        .filter(|(_, from, to)| from.iter().chain(to).all(|value| value.abs() < 1e6))
        .collect();
    placed.sort_by(|(_, a, _), (_, b, _)| depth(*a).total_cmp(&depth(*b)));
    for (geom, from, to) in placed {
        let (a, b, radius) = (pixel(from), pixel(to), scale * geom.radius);
        let color = if geom.color == [255, 255, 255] { [180, 150, 120] } else { geom.color };
        canvas.polyline(&[a, b], 2.0 * radius, color);
        canvas.circle(a, radius, color);
        canvas.circle(b, radius, color);
    }
    Some(canvas.into_frame())
}
