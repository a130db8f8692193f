//! The valley that both mountain cars drive in, and its picture.

use crate::canvas::{Canvas, rotate};
use crate::{Frame, Space};

pub(super) const LEFT: f64 = -1.2;
pub(super) const RIGHT: f64 = 0.6;
pub(super) const MAX_SPEED: f64 = 0.07;

/// Position and velocity.
pub(super) fn observation_space() -> Space {
    Space::bounded(&[LEFT as f32, -MAX_SPEED as f32], &[RIGHT as f32, MAX_SPEED as f32])
}

fn height(position: f64) -> f64 {
    (3.0 * position).sin() * 0.45 + 0.55
}

/// The valley, the car at `position` and the flag at `goal`.
pub(super) fn render(position: f64, goal: f64) -> Option<Frame> {
    let (width, car_width, car_height, clearance) = (600.0, 40.0, 20.0, 10.0);
    let scale = width / (RIGHT - LEFT);
    let pixel = |position: f64| ((position - LEFT) * scale, height(position) * scale);
    let mut canvas = Canvas::new(600, 400)?;
    let valley: Vec<_> = (0..100).map(|i| pixel(LEFT + (RIGHT - LEFT) * f64::from(i) / 99.0)).collect();
    canvas.polyline(&valley, 1.0, [0, 0, 0]);

    let (car_x, car_y) = pixel(position);
    let place = |corner| {
        let (x, y) = rotate(corner, (3.0 * position).cos());
        (x + car_x, y + car_y + clearance)
    };
    let half = car_width / 2.0;
    let body = [(-half, 0.0), (-half, car_height), (half, car_height), (half, 0.0)];
    canvas.polygon(&body.map(place), [0, 0, 0]);
    for wheel in [(half / 2.0, 0.0), (-half / 2.0, 0.0)] {
        canvas.circle(place(wheel), car_height / 2.5, [128, 128, 128]);
    }

    let (flag_x, flag_y) = pixel(goal);
    let top = flag_y + 50.0;
    canvas.line((flag_x, flag_y), (flag_x, top), [0, 0, 0]);
    canvas.polygon(&[(flag_x, top), (flag_x, top - 10.0), (flag_x + 25.0, top - 5.0)], [204, 204, 0]);
    Some(canvas.into_frame())
}
