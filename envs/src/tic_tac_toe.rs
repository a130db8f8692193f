//! `TicTacToe-v0`: noughts and crosses against a player who moves at random, with a mask of the free cells.

use crate::canvas::Canvas;
use crate::error::observation_array;
use crate::{ActionRef, Env, EnvError, EnvRng, EnvSpec, Frame, KwargReader, Space, StateReader, Step};

const ID: &str = "TicTacToe-v0";

/// Numbers in an observation.
const DIM: usize = 18;

/// Three in a row: rows, columns, diagonals.
const LINES: [[usize; 3]; 8] =
    [[0, 1, 2], [3, 4, 5], [6, 7, 8], [0, 3, 6], [1, 4, 7], [2, 5, 8], [0, 4, 8], [2, 4, 6]];

/// Whose a cell is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    Own,
    Other,
}

/// Noughts and crosses on 3 × 3 cells. A fair coin says who begins; the other player marks any free cell, all equally
/// likely. The action is the cell to mark, 0 to 8 row by row; the observation `[18]` has 1 where the own marks are, and then
/// where the other's are. The game ends with 1 for three in a row, −1 for three of the other's, and 0 for a full board.
///
/// The mask allows the free cells. A taken one loses the game at once, with −1: only who ignores the mask finds out. Rules of
/// the game as everybody knows it; there is no other implementation that this one is equal to.
#[derive(Clone, Debug)]
pub struct TicTacToe {
    cells: [Option<Mark>; 9],
    /// Free cells: the mask.
    free: [bool; 9],
    masked: bool,
    running: bool,
    observation_space: Space,
    action_space: Space,
}

impl TicTacToe {
    /// A game before its first reset; with a mask of the free cells, or without one.
    #[must_use]
    pub fn new(masked: bool) -> Self {
        Self {
            cells: [None; 9],
            free: [true; 9],
            masked,
            running: false,
            observation_space: Space::uniform_box(0.0, 1.0, &[DIM]),
            action_space: Space::discrete(9),
        }
    }

    fn mark(&mut self, cell: usize, mark: Mark) {
        (self.cells[cell], self.free[cell]) = (Some(mark), false);
    }

    /// The other player's move.
    fn answer(&mut self, rng: &mut EnvRng) {
        let left = self.free.iter().filter(|&&free| free).count();
        let drawn = rng.integers(0, left.max(1) as i64) as usize;
        if let Some(cell) = (0..9).filter(|&cell| self.free[cell]).nth(drawn) {
            self.mark(cell, Mark::Other);
        }
    }

    fn has_won(&self, mark: Mark) -> bool {
        LINES.iter().any(|line| line.iter().all(|&cell| self.cells[cell] == Some(mark)))
    }

    /// The reward of the end that the board shows, if it shows one.
    fn result(&self) -> Option<f64> {
        if self.has_won(Mark::Own) {
            Some(1.0)
        } else if self.has_won(Mark::Other) {
            Some(-1.0)
        } else {
            (!self.free.contains(&true)).then_some(0.0)
        }
    }

    fn observe(&self, observation: &mut [f32; DIM]) {
        for (cell, mark) in self.cells.iter().enumerate() {
            observation[cell] = f32::from(u8::from(*mark == Some(Mark::Own)));
            observation[9 + cell] = f32::from(u8::from(*mark == Some(Mark::Other)));
        }
    }
}

impl Env for TicTacToe {
    fn observation_space(&self) -> &Space {
        &self.observation_space
    }

    fn action_space(&self) -> &Space {
        &self.action_space
    }

    fn reset(&mut self, rng: &mut EnvRng, observation: &mut [f32]) -> Result<(), EnvError> {
        let observation = observation_array::<DIM>(observation)?;
        (self.cells, self.free, self.running) = ([None; 9], [true; 9], true);
        if rng.integers(0, 2) == 1 {
            self.answer(rng);
        }
        self.observe(observation);
        Ok(())
    }

    fn step(
        &mut self,
        action: ActionRef<'_>,
        rng: &mut EnvRng,
        observation: &mut [f32],
    ) -> Result<Step, EnvError> {
        let observation = observation_array::<DIM>(observation)?;
        let ActionRef::Discrete(cell @ 0..9) = action else {
            return Err(EnvError::invalid_action(ID, &self.action_space, action.describe()));
        };
        if !self.running {
            return Err(EnvError::needs_reset(ID));
        }
        let mut result = Some(-1.0);
        if self.free[cell] {
            self.mark(cell, Mark::Own);
            result = self.result();
            if result.is_none() {
                self.answer(rng);
                result = self.result();
            }
        }
        self.running = result.is_none();
        self.observe(observation);
        Ok(Step { reward: result.unwrap_or(0.0), terminated: result.is_some(), truncated: false })
    }

    fn action_mask(&self) -> Option<&[bool]> {
        self.masked.then_some(&self.free)
    }

    fn render(&self) -> Option<Frame> {
        const CELL: f64 = 80.0;
        let mut canvas = Canvas::new(240, 240)?;
        for at in [CELL, 2.0 * CELL] {
            canvas.polyline(&[(at, 8.0), (at, 232.0)], 3.0, [90, 90, 90]);
            canvas.polyline(&[(8.0, at), (232.0, at)], 3.0, [90, 90, 90]);
        }
        for (cell, mark) in self.cells.iter().enumerate() {
            let (x, y) = (CELL * ((cell % 3) as f64 + 0.5), 240.0 - CELL * ((cell / 3) as f64 + 0.5));
            match mark {
                Some(Mark::Own) => {
                    canvas.polyline(&[(x - 22.0, y - 22.0), (x + 22.0, y + 22.0)], 8.0, [31, 119, 180]);
                    canvas.polyline(&[(x - 22.0, y + 22.0), (x + 22.0, y - 22.0)], 8.0, [31, 119, 180]);
                }
                Some(Mark::Other) => {
                    canvas.circle((x, y), 27.0, [255, 127, 14]);
                    canvas.circle((x, y), 19.0, [255, 255, 255]);
                }
                None => {}
            }
        }
        Some(canvas.into_frame())
    }

    fn save_state(&self, state: &mut Vec<f64>) -> Result<(), EnvError> {
        state.push(f64::from(u8::from(self.running)));
        state.extend(self.cells.iter().map(|mark| match mark {
            None => 0.0,
            Some(Mark::Own) => 1.0,
            Some(Mark::Other) => 2.0,
        }));
        Ok(())
    }

    fn load_state(&mut self, state: &mut &[f64]) -> Result<(), EnvError> {
        let mut reader = StateReader::new(ID, state);
        let running = reader.flag("running")?;
        let mut cells = [None; 9];
        for cell in &mut cells {
            *cell = match reader.count("cell")? {
                0 => None,
                1 => Some(Mark::Own),
                2 => Some(Mark::Other),
                other => {
                    return Err(EnvError::invalid_state(ID, format!("`cell` is {other}, not 0, 1 or 2")));
                }
            };
        }
        let loaded = Self { cells, free: cells.map(|mark| mark.is_none()), running, ..self.clone() };
        if running && loaded.result().is_some() {
            return Err(EnvError::invalid_state(ID, "the game is over, and said to be running"));
        }
        *self = loaded;
        Ok(())
    }
}

/// What the registry has of noughts and crosses.
pub(crate) fn specs() -> Vec<EnvSpec> {
    let spec = EnvSpec::new(ID, "Noughts and crosses, taken cells being masked", |kwargs| {
        let reader = KwargReader::new(ID, kwargs, &["action_mask"])?;
        Ok(Box::new(TicTacToe::new(reader.bool("action_mask", true)?)))
    });
    vec![spec]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Games of random allowed moves: the mask is what the board says, both players' marks keep step, and every end is the
    /// reward's.
    #[test]
    fn the_mask_is_the_free_cells_and_the_rewards_are_the_rules() {
        let (mut rng, mut actions, mut board) = (EnvRng::from_seed(0), EnvRng::from_seed(1), [0.0; DIM]);
        let (mut game, mut ends) = (TicTacToe::new(true), [0; 3]);
        for _ in 0..2000 {
            game.reset(&mut rng, &mut board).unwrap();
            loop {
                let mask = game.action_mask().unwrap().to_vec();
                let taken: Vec<bool> = (0..9).map(|i| board[i] + board[9 + i] > 0.0).collect();
                assert!(mask.iter().zip(&taken).all(|(free, taken)| free != taken));
                let own = board[..9].iter().sum::<f32>();
                assert!((board[9..].iter().sum::<f32>() - own - 0.5).abs() == 0.5, "{board:?}");
                let action = game.action_space().sample_masked(&mask, &mut actions);
                let step = game.step(action.as_action_ref(), &mut rng, &mut board).unwrap();
                let won = |from: usize| LINES.iter().any(|l| l.iter().all(|&cell| board[from + cell] == 1.0));
                match step.reward {
                    1.0 => assert!(won(0) && !won(9)),
                    -1.0 => assert!(won(9) && !won(0)),
                    _ => assert!(!won(0) && !won(9) && step.terminated == (board.iter().sum::<f32>() == 9.0)),
                }
                if step.terminated {
                    ends[(step.reward + 1.0) as usize] += 1;
                    break;
                }
            }
        }
        // Two random players, each the first as often: either wins 43.65 % by enumeration.
        assert!(
            ends.iter().zip([874, 253, 874]).all(|(n, mean): (&i32, i32)| (n - mean).abs() < 100),
            "{ends:?}"
        );
    }

    #[test]
    fn a_taken_cell_loses_and_without_the_mask_nothing_says_so() {
        let (mut rng, mut board) = (EnvRng::from_seed(3), [0.0; DIM]);
        let mut game = TicTacToe::new(false);
        game.reset(&mut rng, &mut board).unwrap();
        game.step(ActionRef::Discrete(4), &mut rng, &mut board).unwrap();
        assert!(game.action_mask().is_none());
        let step = game.step(ActionRef::Discrete(4), &mut rng, &mut board).unwrap();
        assert_eq!(step, Step { reward: -1.0, terminated: true, truncated: false });
        assert!(game.step(ActionRef::Discrete(0), &mut rng, &mut board).is_err());
    }
}
