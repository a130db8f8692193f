//! How an episode's grid is drawn: the same random numbers in the same order as minigrid 3.2.0 draws them.

use super::grid::{Cell, Grid, Pose};
use crate::EnvRng;

/// One of MiniGrid's worlds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// A room of `size` × `size` cells, walls included, with the goal in the lower right corner.
    Empty {
        /// Cells along a side.
        size: usize,
        /// Whether the agent starts anywhere; else in the upper left corner.
        random: bool,
    },
    /// Two rooms with a locked door between them; the key lies in the agent's.
    DoorKey {
        /// Cells along a side.
        size: usize,
    },
    /// Four rooms with gaps between them, agent and goal anywhere.
    FourRooms,
    /// Rivers of lava, or walls, with one gap each.
    Crossing {
        /// Cells along a side, an odd number.
        size: usize,
        /// Number of rivers.
        crossings: usize,
        /// Lava or wall.
        lava: bool,
    },
}

/// Cells along a side of the four rooms.
const FOUR_ROOMS: usize = 19;

impl Layout {
    /// Cells along a side.
    pub fn size(self) -> usize {
        match self {
            Self::Empty { size, .. } | Self::DoorKey { size } | Self::Crossing { size, .. } => size,
            Self::FourRooms => FOUR_ROOMS,
        }
    }

    /// MiniGrid's own limit of the steps of an episode.
    pub fn max_steps(self) -> u32 {
        let area = (self.size() * self.size()) as u32;
        match self {
            Self::Empty { .. } | Self::Crossing { .. } => 4 * area,
            Self::DoorKey { .. } => 10 * area,
            Self::FourRooms => 100,
        }
    }

    /// One line about the task.
    pub fn task(self) -> &'static str {
        match self {
            Self::Empty { random: false, .. } => "Reach the opposite corner of an empty room",
            Self::Empty { random: true, .. } => "Reach the goal in an empty room from anywhere",
            Self::DoorKey { .. } => "Fetch a key, open a door, reach the goal",
            Self::FourRooms => "Reach the goal in one of four rooms",
            Self::Crossing { lava: true, .. } => "Reach the goal across rivers of lava",
            Self::Crossing { lava: false, .. } => "Reach the goal through gaps in walls",
        }
    }

    /// Whether the agent sees through walls.
    pub(super) fn through_walls(self) -> bool {
        matches!(self, Self::Empty { .. })
    }

    /// Draws the grid of an episode and where the agent starts.
    pub(super) fn generate(self, grid: &mut Grid, rng: &mut EnvRng) -> Pose {
        grid.clear();
        let (width, height) = (grid.width, grid.height);
        match self {
            Self::Empty { random, .. } => {
                grid.set(width - 2, height - 2, Cell::Goal);
                if random { place_agent(grid, width, rng) } else { Pose { x: 1, y: 1, direction: 0 } }
            }
            Self::DoorKey { .. } => {
                grid.set(width - 2, height - 2, Cell::Goal);
                let split = draw(rng, 2, width - 2);
                (0..height).for_each(|y| grid.set(split, y, Cell::Wall));
                let pose = place_agent(grid, split, rng);
                let door = draw(rng, 1, height - 2);
                grid.set(split, door, Cell::LockedDoor);
                let (x, y) = free_cell(grid, split, Some(pose), rng);
                grid.set(x, y, Cell::Key);
                pose
            }
            Self::FourRooms => {
                four_rooms(grid, rng);
                let pose = place_agent(grid, width, rng);
                let (x, y) = free_cell(grid, width, Some(pose), rng);
                grid.set(x, y, Cell::Goal);
                pose
            }
            Self::Crossing { crossings, lava, .. } => {
                grid.set(width - 2, height - 2, Cell::Goal);
                crossing(grid, crossings, if lava { Cell::Lava } else { Cell::Wall }, rng);
                Pose { x: 1, y: 1, direction: 0 }
            }
        }
    }
}

/// Uniform in `low..high`.
fn draw(rng: &mut EnvRng, low: usize, high: usize) -> usize {
    rng.integers(low as i64, high as i64) as usize
}

/// An empty cell with x below `width`, by drawing until one is.
fn free_cell(grid: &Grid, width: usize, agent: Option<Pose>, rng: &mut EnvRng) -> (usize, usize) {
    loop {
        let (x, y) = (draw(rng, 0, width.min(grid.width)), draw(rng, 0, grid.height));
        let taken = agent.is_some_and(|pose| (pose.x, pose.y) == (x, y));
        if grid.get(x, y) == Cell::Empty && !taken {
            return (x, y);
        }
    }
}

fn place_agent(grid: &Grid, width: usize, rng: &mut EnvRng) -> Pose {
    let (x, y) = free_cell(grid, width, None, rng);
    Pose { x, y, direction: draw(rng, 0, 4) }
}

fn four_rooms(grid: &mut Grid, rng: &mut EnvRng) {
    let (width, height) = (grid.width / 2, grid.height / 2);
    for row in 0..2 {
        for column in 0..2 {
            let (left, top) = (column * width, row * height);
            let (right, bottom) = (left + width, top + height);
            if column == 0 {
                (top..bottom).for_each(|y| grid.set(right, y, Cell::Wall));
                grid.set(right, draw(rng, top + 1, bottom), Cell::Empty);
            }
            if row == 0 {
                (left..right).for_each(|x| grid.set(x, bottom, Cell::Wall));
                grid.set(draw(rng, left + 1, right), bottom, Cell::Empty);
            }
        }
    }
}

/// `Generator.shuffle` of a list: each place is drawn below the next power of two, until it is not beyond the last.
fn shuffle<T>(items: &mut [T], rng: &mut EnvRng) {
    for last in (1..items.len()).rev() {
        let mask = (last + 1).next_power_of_two() - 1;
        let place = loop {
            let place = rng.next_u32() as usize & mask;
            if place <= last {
                break place;
            }
        };
        items.swap(last, place);
    }
}

fn crossing(grid: &mut Grid, crossings: usize, obstacle: Cell, rng: &mut EnvRng) {
    let (width, height) = (grid.width, grid.height);
    // True: vertical.
    let mut rivers: Vec<(bool, usize)> = (2..height - 2).step_by(2).map(|at| (true, at)).collect();
    rivers.extend((2..width - 2).step_by(2).map(|at| (false, at)));
    shuffle(&mut rivers, rng);
    rivers.truncate(crossings);
    let sorted = |vertical: bool| {
        let mut places: Vec<_> =
            rivers.iter().filter(|river| river.0 == vertical).map(|river| river.1).collect();
        places.sort_unstable();
        places
    };
    let (vertical, horizontal) = (sorted(true), sorted(false));
    for &y in &horizontal {
        (1..width - 1).for_each(|x| grid.set(x, y, obstacle));
    }
    for &x in &vertical {
        (1..height - 1).for_each(|y| grid.set(x, y, obstacle));
    }
    // A way to the goal: true is a step down, through a horizontal river.
    let mut path = vec![false; vertical.len()];
    path.resize(rivers.len(), true);
    shuffle(&mut path, rng);
    let with_ends = |inner: &[usize], end: usize| [&[0], inner, &[end]].concat();
    let (columns, rows) = (with_ends(&vertical, height - 1), with_ends(&horizontal, width - 1));
    let (mut column, mut row) = (0, 0);
    for down in path {
        let (x, y) = if down {
            let x = draw(rng, columns[column] + 1, columns[column + 1]);
            row += 1;
            (x, rows[row])
        } else {
            let y = draw(rng, rows[row] + 1, rows[row + 1]);
            column += 1;
            (columns[column], y)
        };
        grid.set(x, y, Cell::Empty);
    }
}
