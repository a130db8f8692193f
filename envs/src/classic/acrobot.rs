//! `Acrobot-v1`: swing up a two-link pendulum by its elbow.

use std::f64::consts::PI;

use super::numpy_math::{float32_cos_sin, scalar_square};
use crate::canvas::{Canvas, rotate};
use crate::error::observation_array;
use crate::{ActionRef, Attribute, Env, EnvError, EnvRng, Frame, Kwargs, Space, StateReader, Step};

pub(super) const ID: &str = "Acrobot-v1";

const TIME_STEP: f64 = 0.2;
/// Length, mass and moment of inertia of both links; they are 1 and written out where the order of rounding needs them.
const LINK: f64 = 1.0;
const CENTER_OF_MASS: f64 = 0.5;
const GRAVITY: f64 = 9.8;
const MAX_VELOCITY: [f64; 2] = [4.0 * PI, 9.0 * PI];
const TORQUES: [f64; 3] = [-1.0, 0.0, 1.0];

/// Two links hanging from a fixed joint, driven by a torque of −1, 0 or 1 N·m (actions 0, 1, 2) at the joint between
/// them, 0.2 s a step.
///
/// State: angle of the first link from hanging down, angle of the second relative to the first, their velocities.
/// Observation: cosine and sine of both angles, then the velocities. The episode terminates when the tip is one link
/// length above the fixed joint. Reward −1 a step, 0 in the terminating one.
///
/// Source: Sutton 1996, "Generalization in reinforcement learning"; equations of Sutton & Barto's book; one Runge–Kutta
/// step of fourth order, as Gymnasium.
#[derive(Clone, Debug)]
pub struct Acrobot {
    state: [f64; 4],
    running: bool,
    started: bool,
    observation_space: Space,
    action_space: Space,
}

impl Acrobot {
    /// The environment without a time limit.
    pub fn new() -> Self {
        let high = [1.0, 1.0, 1.0, 1.0, MAX_VELOCITY[0] as f32, MAX_VELOCITY[1] as f32];
        Self {
            state: [0.0; 4],
            running: false,
            started: false,
            observation_space: Space::bounded(&high.map(|v| -v), &high),
            action_space: Space::discrete(3),
        }
    }

    /// Angles of the two links (rad), then their velocities (rad/s).
    pub fn state(&self) -> [f64; 4] {
        self.state
    }
}

impl Default for Acrobot {
    fn default() -> Self {
        Self::new()
    }
}

/// Time derivative of the state. Products keep Gymnasium's order, which decides the last bits; factors of one are left
/// out where that changes nothing.
fn derivative([theta1, theta2, velocity1, velocity2]: [f64; 4], torque: f64) -> [f64; 4] {
    let (m, l, lc, inertia, g) = (LINK, LINK, CENTER_OF_MASS, LINK, GRAVITY);
    let (sin2, cos2) = theta2.sin_cos();
    let d1 = m * (lc * lc) + m * (l * l + lc * lc + 2.0 * l * lc * cos2) + inertia + inertia;
    let d2 = m * (lc * lc + l * lc * cos2) + inertia;
    let phi2 = m * lc * g * (theta1 + theta2 - PI / 2.0).cos();
    let phi1 = -m * l * lc * scalar_square(velocity2) * sin2
        - 2.0 * m * l * lc * velocity2 * velocity1 * sin2
        + (m * lc + m * l) * g * (theta1 - PI / 2.0).cos()
        + phi2;
    let acceleration2 = (torque + d2 / d1 * phi1 - m * l * lc * scalar_square(velocity1) * sin2 - phi2)
        / (m * (lc * lc) + inertia - scalar_square(d2) / d1);
    let acceleration1 = -(d2 * acceleration2 + phi1) / d1;
    [velocity1, velocity2, acceleration1, acceleration2]
}

/// One classical Runge–Kutta step.
fn integrate(state: [f64; 4], torque: f64) -> [f64; 4] {
    let half = TIME_STEP / 2.0;
    let moved = |by: f64, slope: &[f64; 4]| std::array::from_fn(|i| state[i] + by * slope[i]);
    let k1 = derivative(state, torque);
    let k2 = derivative(moved(half, &k1), torque);
    let k3 = derivative(moved(half, &k2), torque);
    let k4 = derivative(moved(TIME_STEP, &k3), torque);
    std::array::from_fn(|i| state[i] + TIME_STEP / 6.0 * (k1[i] + 2.0 * k2[i] + 2.0 * k3[i] + k4[i]))
}

/// Into [-π, π] by whole turns.
fn wrap(mut angle: f64) -> f64 {
    while angle > PI {
        angle -= 2.0 * PI;
    }
    while angle < -PI {
        angle += 2.0 * PI;
    }
    angle
}

impl Env for Acrobot {
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
        let observation = observation_array::<6>(observation)?;
        let (low, high) = super::reset_bounds(ID, options, -0.1, 0.1)?;
        // Gymnasium's first state is float32, and so is the arithmetic of its first observation.
        let first: [f32; 4] = std::array::from_fn(|_| rng.uniform(low, high) as f32);
        let ((cos1, sin1), (cos2, sin2)) = (float32_cos_sin(first[0]), float32_cos_sin(first[1]));
        *observation = [cos1, sin1, cos2, sin2, first[2], first[3]];
        self.state = first.map(f64::from);
        (self.running, self.started) = (true, true);
        Ok(())
    }

    fn step(
        &mut self,
        action: ActionRef<'_>,
        _: &mut EnvRng,
        observation: &mut [f32],
    ) -> Result<Step, EnvError> {
        let observation = observation_array::<6>(observation)?;
        let torque = match action {
            ActionRef::Discrete(index @ 0..3) => TORQUES[index],
            other => return Err(EnvError::invalid_action(ID, &self.action_space, other.describe())),
        };
        if !self.running {
            return Err(EnvError::needs_reset(ID));
        }
        let [theta1, theta2, velocity1, velocity2] = integrate(self.state, torque);
        let (theta1, theta2) = (wrap(theta1), wrap(theta2));
        let velocity1 = velocity1.clamp(-MAX_VELOCITY[0], MAX_VELOCITY[0]);
        let velocity2 = velocity2.clamp(-MAX_VELOCITY[1], MAX_VELOCITY[1]);
        self.state = [theta1, theta2, velocity1, velocity2];

        let ((sin1, cos1), (sin2, cos2)) = (theta1.sin_cos(), theta2.sin_cos());
        *observation = [cos1, sin1, cos2, sin2, velocity1, velocity2].map(|v| v as f32);
        let terminated = -cos1 - (theta2 + theta1).cos() > 1.0;
        self.running = !terminated;
        Ok(Step { reward: if terminated { 0.0 } else { -1.0 }, terminated, truncated: false })
    }

    fn attributes(&self) -> Vec<(&'static str, Attribute)> {
        use Attribute::{Number, Numbers};
        vec![
            ("dt", Number(TIME_STEP)),
            ("LINK_LENGTH_1", Number(LINK)),
            ("LINK_LENGTH_2", Number(LINK)),
            ("LINK_MASS_1", Number(LINK)),
            ("LINK_MASS_2", Number(LINK)),
            ("LINK_COM_POS_1", Number(CENTER_OF_MASS)),
            ("LINK_COM_POS_2", Number(CENTER_OF_MASS)),
            ("LINK_MOI", Number(LINK)),
            ("MAX_VEL_1", Number(MAX_VELOCITY[0])),
            ("MAX_VEL_2", Number(MAX_VELOCITY[1])),
            ("state", Numbers(self.state.to_vec())),
        ]
    }

    fn render(&self) -> Option<Frame> {
        if !self.started {
            return None;
        }
        let (size, [theta1, theta2, ..]) = (500.0, self.state);
        let (scale, center) = (size / (2.0 * (2.0 * LINK + 0.2)), size / 2.0);
        let mut canvas = Canvas::new(size as u32, size as u32)?;
        canvas.line((0.0, scale + center), (size, scale + center), [0, 0, 0]);
        let elbow = (theta1.sin() * scale + center, -theta1.cos() * scale + center);
        let (along, across) = (LINK * scale, 0.1 * scale);
        for (joint, angle) in [((center, center), theta1 - PI / 2.0), (elbow, theta1 + theta2 - PI / 2.0)] {
            let link = [(0.0, -across), (0.0, across), (along, across), (along, -across)];
            let link = link.map(|corner| {
                let (x, y) = rotate(corner, angle);
                (x + joint.0, y + joint.1)
            });
            canvas.polygon(&link, [0, 204, 204]);
            canvas.circle(joint, across, [204, 204, 0]);
        }
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
            reader.within("first angle", -PI, PI)?,
            reader.within("second angle", -PI, PI)?,
            reader.within("first velocity", -MAX_VELOCITY[0], MAX_VELOCITY[0])?,
            reader.within("second velocity", -MAX_VELOCITY[1], MAX_VELOCITY[1])?,
        ];
        let (running, started) = (reader.flag("running")?, reader.flag("started")?);
        (self.state, self.running, self.started) = (numbers, running, started);
        Ok(())
    }
}
