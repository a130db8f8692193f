//! `MiniGrid`: an agent in a grid, which turns, walks, carries a key and opens doors.

use super::grid::{Cell, Grid, Pose, VIEW, View};
use super::layouts::Layout;
use super::render;
use crate::error::{check_length, observation_array};
use crate::{ActionRef, Env, EnvError, EnvRng, Frame, Space, StateReader, Step};

/// Values in an observation.
const DIM: usize = VIEW * VIEW * 3;

/// One of MiniGrid's worlds.
///
/// Actions: 0 turn left, 1 turn right, 2 forward, 3 pick up, 4 drop, 5 toggle, 6 nothing. Observation `[7, 7, 3]`: columns
/// and rows of what the agent sees, with kind, colour and state of each cell; 0 is a cell that it does not see. Reward
/// 1 − 0.9·steps/`max_steps` at the goal, where the episode ends, as it does in lava; else 0. It is cut after `max_steps`.
///
/// Source: `MiniGridEnv` of minigrid 3.2.0.
#[derive(Clone, Debug)]
pub struct MiniGrid {
    id: String,
    layout: Layout,
    grid: Grid,
    pose: Pose,
    carries_key: bool,
    steps: u32,
    max_steps: u32,
    started: bool,
    observation_space: Space,
    action_space: Space,
}

impl MiniGrid {
    /// A world; errors will name `id`.
    pub fn new(id: String, layout: Layout, max_steps: u32) -> Self {
        Self {
            id,
            layout,
            grid: Grid::new(layout.size(), layout.size()),
            pose: Pose { x: 1, y: 1, direction: 0 },
            carries_key: false,
            steps: 0,
            max_steps,
            started: false,
            observation_space: Space::uniform_box(0.0, 255.0, &[VIEW, VIEW, 3]),
            action_space: Space::discrete(7),
        }
    }

    /// MiniGrid's own encoding of the whole grid, `[width, height, 3]`, without the agent.
    pub fn encode(&self) -> Vec<u8> {
        let columns = (0..self.grid.width).flat_map(|x| (0..self.grid.height).map(move |y| (x, y)));
        columns.flat_map(|(x, y)| self.grid.get(x, y).code()).collect()
    }

    /// Column, row (from the upper left) and direction (0 right, 1 down, 2 left, 3 up) of the agent.
    pub fn agent(&self) -> [usize; 3] {
        [self.pose.x, self.pose.y, self.pose.direction]
    }

    fn view(&self) -> View {
        self.grid.view(self.pose, self.layout.through_walls())
    }

    fn observe(&self, observation: &mut [f32; DIM]) {
        let mut view = self.view();
        // The agent sees what it carries at its own place.
        view[VIEW / 2][VIEW - 1] = Some(if self.carries_key { Cell::Key } else { Cell::Empty });
        let cells = view.iter().flatten();
        for (to, cell) in observation.as_chunks_mut::<3>().0.iter_mut().zip(cells) {
            *to = cell.map_or([0.0; 3], |cell| cell.code().map(f32::from));
        }
    }
}

impl Env for MiniGrid {
    fn observation_space(&self) -> &Space {
        &self.observation_space
    }

    fn action_space(&self) -> &Space {
        &self.action_space
    }

    fn reset(&mut self, rng: &mut EnvRng, observation: &mut [f32]) -> Result<(), EnvError> {
        let observation = observation_array::<DIM>(observation)?;
        self.pose = self.layout.generate(&mut self.grid, rng);
        (self.carries_key, self.steps, self.started) = (false, 0, true);
        self.observe(observation);
        Ok(())
    }

    fn step(
        &mut self,
        action: ActionRef<'_>,
        _: &mut EnvRng,
        observation: &mut [f32],
    ) -> Result<Step, EnvError> {
        let observation = observation_array::<DIM>(observation)?;
        let ActionRef::Discrete(action @ 0..7) = action else {
            return Err(EnvError::invalid_action(&self.id, &self.action_space, action.describe()));
        };
        if !self.started {
            return Err(EnvError::needs_reset(&self.id));
        }
        self.steps = self.steps.saturating_add(1);
        let (x, y) = self.pose.front();
        let ahead = self.grid.get(x, y);
        let mut step = Step { reward: 0.0, terminated: false, truncated: self.steps >= self.max_steps };
        match action {
            0 => self.pose.direction = (self.pose.direction + 3) % 4,
            1 => self.pose.direction = (self.pose.direction + 1) % 4,
            2 => {
                if ahead.can_enter() {
                    (self.pose.x, self.pose.y) = (x, y);
                }
                step.terminated = matches!(ahead, Cell::Goal | Cell::Lava);
                if ahead == Cell::Goal {
                    step.reward = 1.0 - 0.9 * (f64::from(self.steps) / f64::from(self.max_steps));
                }
            }
            3 if ahead == Cell::Key && !self.carries_key => {
                self.carries_key = true;
                self.grid.set(x, y, Cell::Empty);
            }
            4 if ahead == Cell::Empty && self.carries_key => {
                self.carries_key = false;
                self.grid.set(x, y, Cell::Key);
            }
            5 => {
                let after = match ahead {
                    Cell::LockedDoor if self.carries_key => Cell::OpenDoor,
                    Cell::ClosedDoor => Cell::OpenDoor,
                    Cell::OpenDoor => Cell::ClosedDoor,
                    other => other,
                };
                self.grid.set(x, y, after);
            }
            _ => {}
        }
        self.observe(observation);
        Ok(step)
    }

    fn render(&self) -> Option<Frame> {
        self.started.then(|| render::draw(&self.grid, self.pose, &self.view()))
    }

    fn save_state(&self, state: &mut Vec<f64>) -> Result<(), EnvError> {
        state.extend([self.started, self.carries_key].map(|flag| f64::from(u8::from(flag))));
        state.extend(
            [self.steps, self.pose.x as u32, self.pose.y as u32, self.pose.direction as u32].map(f64::from),
        );
        state.extend(self.grid.cells.iter().map(|&cell| f64::from(cell as u8)));
        Ok(())
    }

    fn load_state(&mut self, state: &mut &[f64]) -> Result<(), EnvError> {
        let mut reader = StateReader::new(&self.id, state);
        let wrong = |reason: String| EnvError::invalid_state(&self.id, reason);
        let (started, carries_key) = (reader.flag("started")?, reader.flag("carries the key")?);
        let steps = reader.count("steps")?;
        let (width, height) = (self.grid.width, self.grid.height);
        let inside = [width, height].map(|side| (side - 2) as f64);
        let [x, y] = [("column", inside[0]), ("row", inside[1])].map(|(name, most)| {
            let value = reader.within(name, 1.0, most)?;
            if value.fract() == 0.0 { Ok(value as usize) } else { Err(wrong(format!("`{name}` is {value}"))) }
        });
        let (x, y) = (x?, y?);
        let direction = reader.count("direction")? as usize;
        if direction > 3 {
            return Err(wrong(format!("`direction` is {direction}, not 0 to 3")));
        }
        let mut cells = Vec::with_capacity(width * height);
        for i in 0..width * height {
            let number = reader.count("cell")?;
            let cell = Cell::from_number(number)
                .ok_or_else(|| wrong(format!("cell {i} is {number}, not 0 to 7")))?;
            // What keeps the agent inside the grid.
            if self.grid.is_border(i % width, i / width) && cell != Cell::Wall {
                return Err(wrong(format!("cell {i}, on the border, is no wall")));
            }
            cells.push(cell);
        }
        check_length("cells", cells.len(), self.grid.cells.len())?;
        self.grid.cells = cells;
        self.pose = Pose { x, y, direction };
        (self.started, self.carries_key, self.steps) = (started, carries_key, steps);
        Ok(())
    }
}
