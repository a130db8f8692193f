//! `CartPole-v1`: balance a pole on a cart.

use crate::canvas::{Canvas, rotate};
use crate::error::observation_array;
use crate::{ActionRef, Attribute, Env, EnvError, EnvRng, Frame, Kwargs, Space, StateReader, Step};

pub(super) const ID: &str = "CartPole-v1";

const GRAVITY: f64 = 9.8;
const POLE_MASS: f64 = 0.1;
const TOTAL_MASS: f64 = POLE_MASS + 1.0;
const HALF_LENGTH: f64 = 0.5;
const POLE_MASS_LENGTH: f64 = POLE_MASS * HALF_LENGTH;
const FORCE: f64 = 10.0;
const TIME_STEP: f64 = 0.02;
const POSITION_LIMIT: f64 = 2.4;
/// 12 degrees.
const ANGLE_LIMIT: f64 = 12.0 * 2.0 * std::f64::consts::PI / 360.0;

/// A pole hinged on a cart, pushed left (0) or right (1) with 10 N every 20 ms.
///
/// Observation: position (m), velocity, pole angle (rad), angular velocity. The episode terminates when the cart leaves
/// ±2.4 m or the pole ±12°. Reward 1 a step, the last one included; with `sutton_barto_reward` 0 a step and −1 at the end.
///
/// Source: Barto, Sutton & Anderson 1983, "Neuronlike adaptive elements …"; equations of Florian 2007, "Correct equations
/// for the dynamics of the cart-pole system", without friction; explicit Euler, as Gymnasium.
#[derive(Clone, Debug)]
pub struct CartPole {
    /// Position, velocity, angle, angular velocity.
    state: [f64; 4],
    running: bool,
    started: bool,
    sutton_barto_reward: bool,
    /// m/s².
    gravity: f64,
    observation_space: Space,
    action_space: Space,
}

impl CartPole {
    /// The environment without a time limit.
    pub fn new(sutton_barto_reward: bool) -> Self {
        let high = [(2.0 * POSITION_LIMIT) as f32, f32::INFINITY, (2.0 * ANGLE_LIMIT) as f32, f32::INFINITY];
        Self {
            state: [0.0; 4],
            running: false,
            started: false,
            sutton_barto_reward,
            gravity: GRAVITY,
            observation_space: Space::bounded(&high.map(|v| -v), &high),
            action_space: Space::discrete(2),
        }
    }

    /// Position (m), velocity (m/s), angle (rad), angular velocity (rad/s).
    pub fn state(&self) -> [f64; 4] {
        self.state
    }
}

impl Env for CartPole {
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
        let observation = observation_array::<4>(observation)?;
        let (low, high) = super::reset_bounds(ID, options, -0.05, 0.05)?;
        self.state = std::array::from_fn(|_| rng.uniform(low, high));
        (self.running, self.started) = (true, true);
        *observation = self.state.map(|v| v as f32);
        Ok(())
    }

    #[inline]
    fn step(
        &mut self,
        action: ActionRef<'_>,
        _: &mut EnvRng,
        observation: &mut [f32],
    ) -> Result<Step, EnvError> {
        let observation = observation_array::<4>(observation)?;
        let force = match action {
            ActionRef::Discrete(0) => -FORCE,
            ActionRef::Discrete(1) => FORCE,
            other => return Err(EnvError::invalid_action(ID, &self.action_space, other.describe())),
        };
        if !self.running {
            return Err(EnvError::needs_reset(ID));
        }
        let [x, x_dot, theta, theta_dot] = self.state;
        let (sin, cos) = theta.sin_cos();
        let temp = (force + POLE_MASS_LENGTH * (theta_dot * theta_dot) * sin) / TOTAL_MASS;
        let theta_acceleration = (self.gravity * sin - cos * temp)
            / (HALF_LENGTH * (4.0 / 3.0 - POLE_MASS * (cos * cos) / TOTAL_MASS));
        let x_acceleration = temp - POLE_MASS_LENGTH * theta_acceleration * cos / TOTAL_MASS;

        let x = x + TIME_STEP * x_dot;
        let theta = theta + TIME_STEP * theta_dot;
        self.state =
            [x, x_dot + TIME_STEP * x_acceleration, theta, theta_dot + TIME_STEP * theta_acceleration];
        let terminated = !(-POSITION_LIMIT..=POSITION_LIMIT).contains(&x)
            || !(-ANGLE_LIMIT..=ANGLE_LIMIT).contains(&theta);
        self.running = !terminated;
        *observation = self.state.map(|v| v as f32);
        let reward = match (self.sutton_barto_reward, terminated) {
            (false, _) => 1.0,
            (true, false) => 0.0,
            (true, true) => -1.0,
        };
        Ok(Step { reward, terminated, truncated: false })
    }

    fn attributes(&self) -> Vec<(&'static str, Attribute)> {
        use Attribute::{Number, Numbers};
        vec![
            ("gravity", Number(self.gravity)),
            ("masscart", Number(1.0)),
            ("masspole", Number(POLE_MASS)),
            ("total_mass", Number(TOTAL_MASS)),
            ("length", Number(HALF_LENGTH)),
            ("polemass_length", Number(POLE_MASS_LENGTH)),
            ("force_mag", Number(FORCE)),
            ("tau", Number(TIME_STEP)),
            ("theta_threshold_radians", Number(ANGLE_LIMIT)),
            ("x_threshold", Number(POSITION_LIMIT)),
            ("state", Numbers(self.state.to_vec())),
        ]
    }

    fn set_attribute(&mut self, name: &str, value: f64) -> Result<(), EnvError> {
        if name != "gravity" {
            return Err(EnvError::FixedAttribute { env: ID.to_owned(), name: name.to_owned() });
        }
        self.gravity = value;
        Ok(())
    }

    fn render(&self) -> Option<Frame> {
        if !self.started {
            return None;
        }
        let (width, height) = (600.0, 400.0);
        let scale = width / (2.0 * POSITION_LIMIT);
        let (cart_x, cart_y, axle) = (self.state[0] * scale + width / 2.0, 100.0, 30.0 / 4.0);
        let pole_length = scale * 2.0 * HALF_LENGTH;

        let mut canvas = Canvas::new(width as u32, height as u32)?;
        let cart = [(-25.0, -15.0), (-25.0, 15.0), (25.0, 15.0), (25.0, -15.0)];
        canvas.polygon(&cart.map(|(x, y)| (x + cart_x, y + cart_y)), [0, 0, 0]);
        let pole = [(-5.0, -5.0), (-5.0, pole_length - 5.0), (5.0, pole_length - 5.0), (5.0, -5.0)];
        let pole = pole.map(|corner| {
            let (x, y) = rotate(corner, -self.state[2]);
            (x + cart_x, y + cart_y + axle)
        });
        canvas.polygon(&pole, [202, 152, 101]);
        canvas.circle((cart_x, cart_y + axle), 5.0, [129, 132, 203]);
        canvas.line((0.0, cart_y), (width, cart_y), [0, 0, 0]);
        Some(canvas.into_frame())
    }

    fn save_state(&self, state: &mut Vec<f64>) -> Result<(), EnvError> {
        state.extend(self.state);
        state.extend([self.running, self.started].map(|flag| f64::from(u8::from(flag))));
        Ok(())
    }

    fn load_state(&mut self, state: &mut &[f64]) -> Result<(), EnvError> {
        let mut reader = StateReader::new(ID, state);
        let numbers = [
            reader.finite("position")?,
            reader.finite("velocity")?,
            reader.finite("angle")?,
            reader.finite("angular velocity")?,
        ];
        let (running, started) = (reader.flag("running")?, reader.flag("started")?);
        (self.state, self.running, self.started) = (numbers, running, started);
        Ok(())
    }
}
