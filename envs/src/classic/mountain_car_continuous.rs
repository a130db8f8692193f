//! `MountainCarContinuous-v0`: rock a weak car out of a valley with a continuous force.

use super::track;
use crate::error::observation_array;
use crate::{ActionRef, Attribute, Env, EnvError, EnvRng, Frame, Kwargs, Space, StateReader, Step};

pub(super) const ID: &str = "MountainCarContinuous-v0";

const POWER: f64 = 0.0015;
const GRAVITY: f64 = 0.0025;
const GOAL: f64 = 0.45;

/// The car of [`MountainCar`](super::MountainCar) with a force in ±1 (clipped beyond), which costs 0.1·action² a step (of
/// the unclipped action). Reaching position ≥ 0.45 with velocity ≥ `goal_velocity` gives 100 and terminates.
///
/// Gymnasium computes the first step after a reset in float64 and every other one in float32, an accident of its
/// types, which is kept here.
///
/// Source: Moore 1990, "Efficient memory-based learning for robot control"; constants of Gymnasium.
#[derive(Clone, Debug)]
pub struct MountainCarContinuous {
    motion: Motion,
    goal_velocity: f64,
    running: bool,
    started: bool,
    observation_space: Space,
    action_space: Space,
}

/// Position and velocity in the precision that the next step computes with.
#[derive(Clone, Copy, Debug)]
enum Motion {
    Double(f64, f64),
    Single(f32, f32),
}

impl MountainCarContinuous {
    /// The environment without a time limit. Gymnasium's `goal_velocity` is 0.
    pub fn new(goal_velocity: f64) -> Self {
        Self {
            motion: Motion::Double(0.0, 0.0),
            goal_velocity,
            running: false,
            started: false,
            observation_space: track::observation_space(),
            action_space: Space::uniform_box(-1.0, 1.0, &[1]),
        }
    }

    /// Position and velocity; exact `f32` values after the first step.
    pub fn state(&self) -> [f64; 2] {
        match self.motion {
            Motion::Double(position, velocity) => [position, velocity],
            Motion::Single(position, velocity) => [position.into(), velocity.into()],
        }
    }
}

/// What force and slope add to the velocity. Inside the bounds Gymnasium's force is a float32 and the sum is rounded to
/// it; a clipped force is a Python float, and the sum keeps its precision.
fn push(action: f32, slope: f64) -> f64 {
    if action.abs() <= 1.0 {
        f64::from(action * POWER as f32 - (GRAVITY * slope) as f32)
    } else {
        f64::from(action.signum()) * POWER - GRAVITY * slope
    }
}

/// One step; returns the new motion and whether the goal is reached.
macro_rules! advance {
    ($float:ty, $position:expr, $velocity:expr, $push:expr, $goal_velocity:expr) => {{
        let (left, right, max_speed) =
            (track::LEFT as $float, track::RIGHT as $float, track::MAX_SPEED as $float);
        let velocity = ($velocity + $push as $float).clamp(-max_speed, max_speed);
        let position = ($position + velocity).clamp(left, right);
        let velocity = if position == left && velocity < 0.0 { 0.0 } else { velocity };
        let at_goal = position >= GOAL as $float && velocity >= $goal_velocity as $float;
        (position as f32, velocity as f32, at_goal)
    }};
}

impl Env for MountainCarContinuous {
    fn observation_space(&self) -> &Space {
        &self.observation_space
    }

    fn action_space(&self) -> &Space {
        &self.action_space
    }

    fn reset(&mut self, rng: &mut EnvRng, observation: &mut [f32]) -> Result<(), EnvError> {
        self.reset_with(&Kwargs::new(), rng, observation)
    }

    fn reset_with(
        &mut self,
        options: &Kwargs,
        rng: &mut EnvRng,
        observation: &mut [f32],
    ) -> Result<(), EnvError> {
        let observation = observation_array::<2>(observation)?;
        let (low, high) = super::reset_bounds(ID, options, -0.6, -0.4)?;
        self.motion = Motion::Double(rng.uniform(low, high), 0.0);
        (self.running, self.started) = (true, true);
        *observation = self.state().map(|v| v as f32);
        Ok(())
    }

    #[inline]
    fn step(
        &mut self,
        action: ActionRef<'_>,
        _: &mut EnvRng,
        observation: &mut [f32],
    ) -> Result<Step, EnvError> {
        let observation = observation_array::<2>(observation)?;
        let action = match action {
            ActionRef::Box(&[value]) if value.is_finite() => value,
            other => return Err(EnvError::invalid_action(ID, &self.action_space, other.describe())),
        };
        if !self.running {
            return Err(EnvError::needs_reset(ID));
        }
        let (position, velocity, terminated) = match self.motion {
            Motion::Double(position, velocity) => {
                let push = push(action, (3.0 * position).cos());
                advance!(f64, position, velocity, push, self.goal_velocity)
            }
            Motion::Single(position, velocity) => {
                let push = push(action, f64::from(3.0 * position).cos());
                advance!(f32, position, velocity, push, self.goal_velocity)
            }
        };
        self.motion = Motion::Single(position, velocity);
        self.running = !terminated;
        *observation = [position, velocity];
        let bonus = if terminated { 100.0 } else { 0.0 };
        let action = f64::from(action);
        Ok(Step { reward: bonus - action * action * 0.1, terminated, truncated: false })
    }

    fn attributes(&self) -> Vec<(&'static str, Attribute)> {
        use Attribute::{Number, Numbers};
        vec![
            ("power", Number(POWER)),
            ("goal_position", Number(GOAL)),
            ("goal_velocity", Number(self.goal_velocity)),
            ("state", Numbers(self.state().to_vec())),
        ]
    }

    fn render(&self) -> Option<Frame> {
        if self.started { track::render(self.state()[0], GOAL) } else { None }
    }

    fn save_state(&self, state: &mut Vec<f64>) -> Result<(), EnvError> {
        let single = matches!(self.motion, Motion::Single(..));
        state.extend(self.state());
        state.extend([single, self.running, self.started].map(|flag| f64::from(u8::from(flag))));
        Ok(())
    }

    fn load_state(&mut self, state: &mut &[f64]) -> Result<(), EnvError> {
        let single = match state.get(2) {
            Some(&flag) => flag == 1.0,
            None => return Err(EnvError::invalid_state(ID, "it is too short")),
        };
        let mut reader = StateReader::new(ID, state);
        let motion = if single {
            // The bounds rounded to float32 lie a little outside the exact ones.
            let (left, right, speed) = (track::LEFT as f32, track::RIGHT as f32, track::MAX_SPEED as f32);
            let (position, velocity) = (reader.float32("position")?, reader.float32("velocity")?);
            if !(left..=right).contains(&position) || velocity.abs() > speed {
                return Err(EnvError::invalid_state(
                    ID,
                    format!("position {position} or velocity {velocity} is out of bounds"),
                ));
            }
            Motion::Single(position, velocity)
        } else {
            Motion::Double(
                reader.within("position", track::LEFT, track::RIGHT)?,
                reader.within("velocity", -track::MAX_SPEED, track::MAX_SPEED)?,
            )
        };
        reader.flag("single precision")?;
        let (running, started) = (reader.flag("running")?, reader.flag("started")?);
        (self.motion, self.running, self.started) = (motion, running, started);
        Ok(())
    }
}
