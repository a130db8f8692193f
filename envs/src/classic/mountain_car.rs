//! `MountainCar-v0`: rock a weak car out of a valley.

use super::track;
use crate::error::observation_array;
use crate::{ActionRef, Attribute, Env, EnvError, EnvRng, Frame, Kwargs, Space, StateReader, Step};

pub(super) const ID: &str = "MountainCar-v0";

const FORCE: f64 = 0.001;
const GRAVITY: f64 = 0.0025;
const GOAL: f64 = 0.5;

/// A car in a valley of height sin(3x), too weak to climb out directly; it pushes left, not at all, or right (0, 1, 2).
///
/// State and observation: position in [-1.2, 0.6], velocity in ±0.07. The episode terminates at position ≥ 0.5 with
/// velocity ≥ `goal_velocity`. Reward −1 a step.
///
/// Source: Moore 1990, "Efficient memory-based learning for robot control"; constants of Gymnasium.
#[derive(Clone, Debug)]
pub struct MountainCar {
    position: f64,
    velocity: f64,
    goal_velocity: f64,
    running: bool,
    started: bool,
    observation_space: Space,
    action_space: Space,
}

impl MountainCar {
    /// The environment without a time limit. Gymnasium's `goal_velocity` is 0.
    pub fn new(goal_velocity: f64) -> Self {
        Self {
            position: 0.0,
            velocity: 0.0,
            goal_velocity,
            running: false,
            started: false,
            observation_space: track::observation_space(),
            action_space: Space::discrete(3),
        }
    }

    /// Position and velocity.
    pub fn state(&self) -> [f64; 2] {
        [self.position, self.velocity]
    }
}

impl Env for MountainCar {
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
        (self.position, self.velocity) = (rng.uniform(low, high), 0.0);
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
        let push = match action {
            ActionRef::Discrete(index @ 0..3) => index as f64 - 1.0,
            other => return Err(EnvError::invalid_action(ID, &self.action_space, other.describe())),
        };
        if !self.running {
            return Err(EnvError::needs_reset(ID));
        }
        let velocity = self.velocity + (push * FORCE + (3.0 * self.position).cos() * -GRAVITY);
        let velocity = velocity.clamp(-track::MAX_SPEED, track::MAX_SPEED);
        self.position = (self.position + velocity).clamp(track::LEFT, track::RIGHT);
        self.velocity = if self.position == track::LEFT && velocity < 0.0 { 0.0 } else { velocity };
        let terminated = self.position >= GOAL && self.velocity >= self.goal_velocity;
        self.running = !terminated;
        *observation = self.state().map(|v| v as f32);
        Ok(Step { reward: -1.0, terminated, truncated: false })
    }

    fn attributes(&self) -> Vec<(&'static str, Attribute)> {
        use Attribute::{Number, Numbers};
        vec![
            ("force", Number(FORCE)),
            ("gravity", Number(GRAVITY)),
            ("goal_position", Number(GOAL)),
            ("goal_velocity", Number(self.goal_velocity)),
            ("state", Numbers(self.state().to_vec())),
        ]
    }

    fn render(&self) -> Option<Frame> {
        if self.started { track::render(self.position, GOAL) } else { None }
    }

    fn save_state(&self, state: &mut Vec<f64>) -> Result<(), EnvError> {
        state.extend(self.state());
        state.extend([self.running, self.started].map(|flag| f64::from(u8::from(flag))));
        Ok(())
    }

    fn load_state(&mut self, state: &mut &[f64]) -> Result<(), EnvError> {
        let mut reader = StateReader::new(ID, state);
        let position = reader.within("position", track::LEFT, track::RIGHT)?;
        let velocity = reader.within("velocity", -track::MAX_SPEED, track::MAX_SPEED)?;
        let (running, started) = (reader.flag("running")?, reader.flag("started")?);
        (self.position, self.velocity, self.running, self.started) = (position, velocity, running, started);
        Ok(())
    }
}
