//! `Pendulum-v1`: swing a pendulum up and hold it.

use std::f64::consts::{FRAC_PI_2, PI};

use super::numpy_math::{python_modulo, scalar_square, scalar_square_f32};
use crate::canvas::{Canvas, rotate};
use crate::error::observation_array;
use crate::{ActionRef, Attribute, Env, EnvError, EnvRng, Frame, Kwargs, Space, StateReader, Step};

pub(super) const ID: &str = "Pendulum-v1";

const MAX_SPEED: f64 = 8.0;
const MAX_TORQUE: f32 = 2.0;
const TIME_STEP: f64 = 0.05;

/// A rod of 1 kg and 1 m, driven at its hinge by a torque in ±2 N·m (clipped beyond), 0.05 s a step.
///
/// State: angle (0 is upright, not wrapped) and velocity, within ±8 rad/s. Observation: cosine and sine of the angle, the
/// velocity. Reward −(angle² + 0.1·velocity² + 0.001·torque²) of the state before the step, the angle in [-π, π]. It never
/// terminates. `g` is the gravity, 10 in Gymnasium.
///
/// Source: Gymnasium's `Pendulum-v1`.
#[derive(Clone, Debug)]
pub struct Pendulum {
    angle: f64,
    velocity: f64,
    /// Torque of the last step, drawn as an arrow.
    last_torque: Option<f32>,
    g: f64,
    started: bool,
    observation_space: Space,
    action_space: Space,
}

impl Pendulum {
    /// The environment without a time limit.
    pub fn new(g: f64) -> Self {
        let high = [1.0, 1.0, MAX_SPEED as f32];
        Self {
            angle: 0.0,
            velocity: 0.0,
            last_torque: None,
            g,
            started: false,
            observation_space: Space::bounded(&high.map(|v| -v), &high),
            action_space: Space::uniform_box(-MAX_TORQUE, MAX_TORQUE, &[1]),
        }
    }

    /// Angle (rad, not wrapped) and velocity (rad/s).
    pub fn state(&self) -> [f64; 2] {
        [self.angle, self.velocity]
    }

    fn observe(&self, observation: &mut [f32; 3]) {
        let (sin, cos) = self.angle.sin_cos();
        *observation = [cos, sin, self.velocity].map(|v| v as f32);
    }
}

impl Env for Pendulum {
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
        let observation = observation_array::<3>(observation)?;
        let [angle, velocity] = super::reset_numbers(ID, options, [("x_init", PI), ("y_init", 1.0)])?;
        if angle < 0.0 || velocity < 0.0 {
            let reason = "`x_init` and `y_init` are the largest angle and velocity, 0 or more".to_owned();
            return Err(EnvError::ResetOption { env: ID.to_owned(), reason });
        }
        self.angle = rng.uniform(-angle, angle);
        self.velocity = rng.uniform(-velocity, velocity);
        (self.last_torque, self.started) = (None, true);
        self.observe(observation);
        Ok(())
    }

    #[inline]
    fn step(
        &mut self,
        action: ActionRef<'_>,
        _: &mut EnvRng,
        observation: &mut [f32],
    ) -> Result<Step, EnvError> {
        let observation = observation_array::<3>(observation)?;
        let torque = match action {
            ActionRef::Box(&[value]) if value.is_finite() => value.clamp(-MAX_TORQUE, MAX_TORQUE),
            other => return Err(EnvError::invalid_action(ID, &self.action_space, other.describe())),
        };
        if !self.started {
            return Err(EnvError::needs_reset(ID));
        }
        let normalized = python_modulo(self.angle + PI, 2.0 * PI) - PI;
        // The torque is a float32 in Gymnasium, and so is every product of it with constants.
        let cost = scalar_square(normalized)
            + 0.1 * scalar_square(self.velocity)
            + f64::from(0.001f32 * scalar_square_f32(torque));
        let acceleration = 3.0 * self.g / 2.0 * self.angle.sin() + f64::from(3.0 * torque);
        self.velocity = (self.velocity + acceleration * TIME_STEP).clamp(-MAX_SPEED, MAX_SPEED);
        self.angle += self.velocity * TIME_STEP;
        self.last_torque = Some(torque);
        self.observe(observation);
        Ok(Step { reward: -cost, terminated: false, truncated: false })
    }

    fn attributes(&self) -> Vec<(&'static str, Attribute)> {
        use Attribute::{Number, Numbers};
        vec![
            ("g", Number(self.g)),
            ("m", Number(1.0)),
            ("l", Number(1.0)),
            ("dt", Number(TIME_STEP)),
            ("max_speed", Number(MAX_SPEED)),
            ("max_torque", Number(f64::from(MAX_TORQUE))),
            ("state", Numbers(self.state().to_vec())),
        ]
    }

    fn set_attribute(&mut self, name: &str, value: f64) -> Result<(), EnvError> {
        if name != "g" {
            return Err(EnvError::FixedAttribute { env: ID.to_owned(), name: name.to_owned() });
        }
        self.g = value;
        Ok(())
    }

    fn render(&self) -> Option<Frame> {
        if !self.started {
            return None;
        }
        let size = 500.0;
        let (scale, center, color) = (size / 4.4, size / 2.0, [204, 77, 77]);
        let (length, half_width) = (scale, 0.1 * scale);
        let mut canvas = Canvas::new(size as u32, size as u32)?;
        let place = |corner| {
            let (x, y) = rotate(corner, self.angle + FRAC_PI_2);
            (x + center, y + center)
        };
        let rod = [(0.0, -half_width), (0.0, half_width), (length, half_width), (length, -half_width)];
        canvas.polygon(&rod.map(place), color);
        canvas.circle((center, center), half_width, color);
        canvas.circle(place((length, 0.0)), half_width, color);
        if let Some(torque) = self.last_torque {
            draw_torque(&mut canvas, center, scale * f64::from(torque.abs()) / 2.0, torque > 0.0);
        }
        canvas.circle((center, center), 0.05 * scale, [0, 0, 0]);
        Some(canvas.into_frame())
    }

    fn save_state(&self, state: &mut Vec<f64>) -> Result<(), EnvError> {
        let torque = self.last_torque.map_or(0.0, f64::from);
        state.extend([self.angle, self.velocity, torque]);
        state.extend([self.last_torque.is_some(), self.started].map(|flag| f64::from(u8::from(flag))));
        Ok(())
    }

    fn load_state(&mut self, state: &mut &[f64]) -> Result<(), EnvError> {
        let mut reader = StateReader::new(ID, state);
        let angle = reader.finite("angle")?;
        let velocity = reader.within("velocity", -MAX_SPEED, MAX_SPEED)?;
        let torque = reader.float32("torque")?;
        let (has_torque, started) = (reader.flag("has torque")?, reader.flag("started")?);
        if torque.abs() > MAX_TORQUE {
            return Err(EnvError::invalid_state(ID, format!("torque {torque} is out of bounds")));
        }
        (self.angle, self.velocity, self.started) = (angle, velocity, started);
        self.last_torque = has_torque.then_some(torque);
        Ok(())
    }
}

/// An open circle with an arrowhead, `size` pixels across, mirrored for a torque that turns counter-clockwise.
fn draw_torque(canvas: &mut Canvas, center: f64, size: f64, counter_clockwise: bool) {
    if size < 2.0 {
        return;
    }
    let side = if counter_clockwise { -1.0 } else { 1.0 };
    let place = |(x, y): (f64, f64)| (center + side * x * size, center + y * size);
    let radius = 0.465;
    // From the top over the right and the bottom to the left, where the head points up.
    let arc: Vec<_> = (0..=60)
        .map(|i| {
            let (sin, cos) = (FRAC_PI_2 - 1.5 * PI * f64::from(i) / 60.0).sin_cos();
            place((radius * cos, radius * sin))
        })
        .collect();
    canvas.polyline(&arc, 0.03 * size, [0, 0, 0]);
    let head = [(-radius, 0.15), (-radius - 0.068, -0.035), (-radius, 0.0), (-radius + 0.068, -0.035)];
    canvas.polygon(&head.map(place), [0, 0, 0]);
}
