//! Pictures of a grid, pixel for pixel those of minigrid 3.2.0: 32 pixels a cell, what the agent sees lit up.

use std::collections::HashMap;
use std::f64::consts::FRAC_PI_2;

use super::grid::{Cell, Grid, Pose, View};
use crate::Frame;
use crate::canvas::Rgb;

/// Pixels along a cell.
const TILE: usize = 32;
/// Samples along a pixel.
const FINE: usize = 3;
const SIDE: usize = TILE * FINE;

const YELLOW: Rgb = [255, 255, 0];
const BLACK: Rgb = [0, 0, 0];

/// A cell at three times its size; shapes are given in the unit square, y down.
struct Tile(Vec<Rgb>);

impl Tile {
    fn fill(&mut self, color: Rgb, inside: impl Fn(f64, f64) -> bool) {
        for (i, pixel) in self.0.iter_mut().enumerate() {
            let (x, y) = ((i % SIDE) as f64 + 0.5, (i / SIDE) as f64 + 0.5);
            if inside(x / SIDE as f64, y / SIDE as f64) {
                *pixel = color;
            }
        }
    }

    fn rectangle(&mut self, [left, right, top, bottom]: [f64; 4], color: Rgb) {
        self.fill(color, |x, y| (left..=right).contains(&x) && (top..=bottom).contains(&y));
    }

    fn circle(&mut self, x: f64, y: f64, radius: f64, color: Rgb) {
        self.fill(color, |px, py| (px - x) * (px - x) + (py - y) * (py - y) <= radius * radius);
    }

    fn line(&mut self, from: (f64, f64), to: (f64, f64), radius: f64, color: Rgb) {
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let length = dx.hypot(dy);
        let (dx, dy) = (dx / length, dy / length);
        self.fill(color, |x, y| {
            let along = ((x - from.0) * dx + (y - from.1) * dy).clamp(0.0, length);
            (x - from.0 - along * dx).hypot(y - from.1 - along * dy) <= radius
        });
    }

    /// The agent: a red triangle that points its way.
    fn agent(&mut self, direction: usize) {
        let (sin, cos) = (-FRAC_PI_2 * direction as f64).sin_cos();
        let [a, b, c] = [(0.12, 0.19), (0.87, 0.5), (0.12, 0.81)];
        let minus = |p: (f64, f64), q: (f64, f64)| (p.0 - q.0, p.1 - q.1);
        let dot = |p: (f64, f64), q: (f64, f64)| p.0 * q.0 + p.1 * q.1;
        let (v0, v1) = (minus(c, a), minus(b, a));
        let (dot00, dot01, dot11) = (dot(v0, v0), dot(v0, v1), dot(v1, v1));
        let inverse = 1.0 / (dot00 * dot11 - dot01 * dot01);
        self.fill([255, 0, 0], |x, y| {
            let (x, y) = (x - 0.5, y - 0.5);
            let v2 = minus((0.5 + x * cos - y * sin, 0.5 + y * cos + x * sin), a);
            let (dot02, dot12) = (dot(v0, v2), dot(v1, v2));
            let (u, v) =
                ((dot11 * dot02 - dot01 * dot12) * inverse, (dot00 * dot12 - dot01 * dot02) * inverse);
            u >= 0.0 && v >= 0.0 && u + v < 1.0
        });
    }

    fn highlight(&mut self) {
        for channel in self.0.iter_mut().flatten() {
            *channel = (f64::from(*channel) + 0.3 * f64::from(255 - *channel)) as u8;
        }
    }

    /// The mean of the samples of each pixel, cut off as NumPy's cast does it: `[TILE][TILE]`.
    fn shrink(&self) -> Vec<Rgb> {
        let mean = |x: usize, y: usize, channel: usize| {
            let row = |j: usize| {
                let sample = |i: usize| f64::from(self.0[(y * FINE + j) * SIDE + x * FINE + i][channel]);
                (sample(0) + sample(1) + sample(2)) / FINE as f64
            };
            ((row(0) + row(1) + row(2)) / FINE as f64) as u8
        };
        let pixels = (0..TILE * TILE).map(|i| (i % TILE, i / TILE));
        pixels.map(|(x, y)| std::array::from_fn(|channel| mean(x, y, channel))).collect()
    }
}

fn tile(cell: Cell, agent: Option<usize>, lit: bool) -> Vec<Rgb> {
    const ALL: [f64; 4] = [0.0, 1.0, 0.0, 1.0];
    let mut tile = Tile(vec![BLACK; SIDE * SIDE]);
    tile.rectangle([0.0, 0.031, 0.0, 1.0], [100, 100, 100]);
    tile.rectangle([0.0, 1.0, 0.0, 0.031], [100, 100, 100]);
    match cell {
        Cell::Empty => {}
        Cell::Wall => tile.rectangle(ALL, [100, 100, 100]),
        Cell::Goal => tile.rectangle(ALL, [0, 255, 0]),
        Cell::Lava => {
            tile.rectangle(ALL, [255, 128, 0]);
            for wave in 0..3 {
                let (low, high) = (0.3 + 0.2 * f64::from(wave), 0.4 + 0.2 * f64::from(wave));
                for (x, from, to) in [(0.1, low, high), (0.3, high, low), (0.5, low, high), (0.7, high, low)]
                {
                    tile.line((x, from), (x + 0.2, to), 0.03, BLACK);
                }
            }
        }
        Cell::Key => {
            tile.rectangle([0.50, 0.63, 0.31, 0.88], YELLOW);
            tile.rectangle([0.38, 0.50, 0.59, 0.66], YELLOW);
            tile.rectangle([0.38, 0.50, 0.81, 0.88], YELLOW);
            tile.circle(0.56, 0.28, 0.190, YELLOW);
            tile.circle(0.56, 0.28, 0.064, BLACK);
        }
        Cell::OpenDoor => {
            tile.rectangle([0.88, 1.0, 0.0, 1.0], YELLOW);
            tile.rectangle([0.92, 0.96, 0.04, 0.96], BLACK);
        }
        Cell::ClosedDoor => {
            for (edge, color) in [(0.0, YELLOW), (0.04, BLACK), (0.08, YELLOW), (0.12, BLACK)] {
                tile.rectangle([edge, 1.0 - edge, edge, 1.0 - edge], color);
            }
            tile.circle(0.75, 0.5, 0.08, YELLOW);
        }
        Cell::LockedDoor => {
            tile.rectangle(ALL, YELLOW);
            tile.rectangle([0.06, 0.94, 0.06, 0.94], YELLOW.map(|channel| (0.45 * f64::from(channel)) as u8));
            tile.rectangle([0.52, 0.75, 0.50, 0.56], YELLOW);
        }
    }
    if let Some(direction) = agent {
        tile.agent(direction);
    }
    if lit {
        tile.highlight();
    }
    tile.shrink()
}

/// The whole grid.
pub(super) fn draw(grid: &Grid, pose: Pose, view: &View) -> Frame {
    let mut lit = vec![false; grid.cells.len()];
    for (column, cells) in view.iter().enumerate() {
        for (row, cell) in cells.iter().enumerate() {
            let (x, y) = Grid::seen_at(pose, column, row);
            let inside = (0..grid.width as isize).contains(&x) && (0..grid.height as isize).contains(&y);
            if cell.is_some() && inside {
                lit[y as usize * grid.width + x as usize] = true;
            }
        }
    }
    let (width, height) = (grid.width * TILE, grid.height * TILE);
    let mut rgb = vec![0; 3 * width * height];
    let mut tiles = HashMap::new();
    for (i, &cell) in grid.cells.iter().enumerate() {
        let (x, y) = (i % grid.width, i / grid.width);
        let agent = ((pose.x, pose.y) == (x, y)).then_some(pose.direction);
        let pixels = tiles.entry((cell as u8, agent, lit[i])).or_insert_with(|| tile(cell, agent, lit[i]));
        for (row, pixels) in pixels.chunks_exact(TILE).enumerate() {
            let start = 3 * ((y * TILE + row) * width + x * TILE);
            rgb[start..start + 3 * TILE].copy_from_slice(pixels.as_flattened());
        }
    }
    Frame { width: width as u32, height: height as u32, rgb }
}
