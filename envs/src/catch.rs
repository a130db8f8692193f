//! `Catch-v0`: catch the falling ball, as a board of 10 × 5 cells or drawn at 84 × 84 pixels.

use crate::error::check_length;
use crate::{ActionRef, Env, EnvError, EnvRng, EnvSpec, Frame, KwargReader, Space, StateReader, Step};

const ID: &str = "Catch-v0";
const IMAGE_ID: &str = "CatchImage-v0";

/// Pixels along a side of the picture.
const SIDE: usize = 84;

/// How the board is observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CatchView {
    /// `[rows, columns]`, 1 where the ball or the paddle is, else 0.
    Board,
    /// `[84, 84, 1]`, grey: 255 where the ball or the paddle is, else 0.
    Image,
}

/// A ball falls one row a step from a random column of the top row; the paddle in the last row moves one column left (0),
/// stays (1) or moves right (2). When the ball arrives the episode ends, with 1 if it is caught and −1 if not.
///
/// Rules of bsuite 0.3.6's `Catch` (Osband et al. 2020, arXiv:1908.03568), written anew; the ball's column is drawn by
/// NumPy's newer generator, bsuite's by its older one.
#[derive(Clone, Debug)]
pub struct Catch {
    view: CatchView,
    rows: usize,
    columns: usize,
    /// Column and row.
    ball: (usize, usize),
    paddle: usize,
    started: bool,
    observation_space: Space,
    action_space: Space,
}

impl Catch {
    /// A board of at least 2 rows and 1 column, and at most 84 of each.
    ///
    /// # Errors
    ///
    /// [`EnvError::KwargValue`] for another board.
    pub fn new(view: CatchView, rows: u32, columns: u32) -> Result<Self, EnvError> {
        for (key, got, least) in [("rows", rows, 2), ("columns", columns, 1)] {
            if !(least..=SIDE as u32).contains(&got) {
                return Err(EnvError::KwargValue {
                    env: if view == CatchView::Board { ID } else { IMAGE_ID }.to_owned(),
                    key: key.to_owned(),
                    expected: format!("a whole number from {least} to {SIDE}"),
                    got: got.to_string(),
                    valid: "rows, columns".to_owned(),
                });
            }
        }
        let (rows, columns) = (rows as usize, columns as usize);
        let observation_space = match view {
            CatchView::Board => Space::uniform_box(0.0, 1.0, &[rows, columns]),
            CatchView::Image => Space::uniform_box(0.0, 255.0, &[SIDE, SIDE, 1]),
        };
        Ok(Self {
            view,
            rows,
            columns,
            ball: (0, 0),
            paddle: columns / 2,
            started: false,
            observation_space,
            action_space: Space::discrete(3),
        })
    }

    /// Column and row of the ball, column of the paddle.
    pub fn state(&self) -> [usize; 3] {
        [self.ball.0, self.ball.1, self.paddle]
    }

    fn id(&self) -> &'static str {
        match self.view {
            CatchView::Board => ID,
            CatchView::Image => IMAGE_ID,
        }
    }

    /// Ball and paddle, as `(column, row)`.
    fn lit(&self) -> [(usize, usize); 2] {
        [self.ball, (self.paddle, self.rows - 1)]
    }

    fn observe(&self, observation: &mut [f32]) {
        observation.fill(0.0);
        for (column, row) in self.lit() {
            match self.view {
                CatchView::Board => observation[row * self.columns + column] = 1.0,
                CatchView::Image => {
                    for y in pixels(row, self.rows, SIDE) {
                        let columns = pixels(column, self.columns, SIDE);
                        observation[y * SIDE + columns.start..y * SIDE + columns.end].fill(255.0);
                    }
                }
            }
        }
    }
}

/// The pixels of one of `cells` cells along a side of `side` pixels.
fn pixels(cell: usize, cells: usize, side: usize) -> std::ops::Range<usize> {
    cell * side / cells..(cell + 1) * side / cells
}

impl Env for Catch {
    fn observation_space(&self) -> &Space {
        &self.observation_space
    }

    fn action_space(&self) -> &Space {
        &self.action_space
    }

    fn reset(&mut self, rng: &mut EnvRng, observation: &mut [f32]) -> Result<(), EnvError> {
        check_length("observation", observation.len(), self.observation_space.flat_dim())?;
        self.ball = (rng.integers(0, self.columns as i64) as usize, 0);
        (self.paddle, self.started) = (self.columns / 2, true);
        self.observe(observation);
        Ok(())
    }

    fn step(
        &mut self,
        action: ActionRef<'_>,
        _: &mut EnvRng,
        observation: &mut [f32],
    ) -> Result<Step, EnvError> {
        check_length("observation", observation.len(), self.observation_space.flat_dim())?;
        let ActionRef::Discrete(action @ 0..3) = action else {
            return Err(EnvError::invalid_action(self.id(), &self.action_space, action.describe()));
        };
        // The ball lies in the last row once the episode is over.
        if !self.started || self.ball.1 + 1 >= self.rows {
            return Err(EnvError::needs_reset(self.id()));
        }
        self.paddle = (self.paddle + action).saturating_sub(1).min(self.columns - 1);
        self.ball.1 += 1;
        self.observe(observation);
        let terminated = self.ball.1 + 1 == self.rows;
        let reward = match terminated {
            true if self.paddle == self.ball.0 => 1.0,
            true => -1.0,
            false => 0.0,
        };
        Ok(Step { reward, terminated, truncated: false })
    }

    fn render(&self) -> Option<Frame> {
        if !self.started {
            return None;
        }
        const SCALE: usize = 4;
        let (width, height) = (SIDE * SCALE * self.columns / self.rows.max(self.columns), SIDE * SCALE);
        let mut rgb = vec![0; 3 * width * height];
        for ((column, row), color) in self.lit().into_iter().zip([[255, 255, 255], [200, 120, 40]]) {
            for y in pixels(row, self.rows, height) {
                for x in pixels(column, self.columns, width) {
                    rgb[3 * (y * width + x)..][..3].copy_from_slice(&color);
                }
            }
        }
        Some(Frame { width: width as u32, height: height as u32, rgb })
    }

    fn save_state(&self, state: &mut Vec<f64>) -> Result<(), EnvError> {
        state.push(f64::from(u8::from(self.started)));
        state.extend([self.ball.0, self.ball.1, self.paddle].map(|value| value as f64));
        Ok(())
    }

    fn load_state(&mut self, state: &mut &[f64]) -> Result<(), EnvError> {
        let id = self.id();
        let mut reader = StateReader::new(id, state);
        let started = reader.flag("started")?;
        let mut below = |name: &str, limit: usize| {
            let value = reader.count(name)? as usize;
            let refuse = || EnvError::invalid_state(id, format!("`{name}` is {value}, not below {limit}"));
            if value < limit { Ok(value) } else { Err(refuse()) }
        };
        let ball = (below("ball column", self.columns)?, below("ball row", self.rows)?);
        let paddle = below("paddle column", self.columns)?;
        (self.started, self.ball, self.paddle) = (started, ball, paddle);
        Ok(())
    }
}

/// What the registry has of Catch.
pub(crate) fn specs() -> Vec<EnvSpec> {
    let spec = |id: &'static str, view: CatchView, description: &str| {
        EnvSpec::new(id, description, move |kwargs| {
            let reader = KwargReader::new(id, kwargs, &["rows", "columns"])?;
            Ok(Box::new(Catch::new(view, reader.positive("rows", 10)?, reader.positive("columns", 5)?)?))
        })
    };
    vec![
        spec(ID, CatchView::Board, "Catch a falling ball on a board of 10 x 5 cells"),
        spec(IMAGE_ID, CatchView::Image, "Catch a falling ball, seen in 84 x 84 pixels"),
    ]
}
