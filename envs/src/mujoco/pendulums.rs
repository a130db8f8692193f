//! `InvertedPendulum-v5`, `InvertedDoublePendulum-v5` and the arm of `Reacher-v5`.

use super::env::{ModelFile, MujocoEnv, Task};
use super::fields::Field;
use super::render::{self, View};
use super::simulation::{Model, Simulation};
use crate::classic::numpy_math::{scalar_square, sum_of_squares};
use crate::{EnvError, EnvRng, KwargReader, Kwargs};

pub(super) const INVERTED_PENDULUM: &str = "InvertedPendulum-v5";
pub(super) const INVERTED_DOUBLE_PENDULUM: &str = "InvertedDoublePendulum-v5";
pub(super) const REACHER: &str = "Reacher-v5";

/// A pole on a cart, balanced within 0.2 rad.
struct InvertedPendulum {
    noise: f64,
}

impl Task for InvertedPendulum {
    fn id(&self) -> &'static str {
        INVERTED_PENDULUM
    }

    fn reset(&self, rng: &mut EnvRng, state: &mut [f64], _: usize) {
        state.iter_mut().for_each(|value| *value += rng.uniform(-self.noise, self.noise));
    }

    fn observation_dim(&self, model: &Model) -> usize {
        model.nq + model.nv
    }

    fn observe(&self, simulation: &Simulation, observation: &mut [f32]) {
        let values = simulation.qpos().iter().chain(simulation.qvel());
        observation.iter_mut().zip(values).for_each(|(to, from)| *to = *from as f32);
    }

    fn outcome(&self, simulation: &Simulation, _: f64, _: &[f32]) -> (f64, bool) {
        let finite = simulation.qpos().iter().chain(simulation.qvel()).all(|value| value.is_finite());
        let terminated = !finite || simulation.qpos()[1].abs() > 0.2;
        (if terminated { 0.0 } else { 1.0 }, terminated)
    }

    fn view(&self) -> &'static View {
        &render::INVERTED_PENDULUM
    }
}

pub(super) fn inverted_pendulum(kwargs: &Kwargs) -> Result<MujocoEnv, EnvError> {
    static FILE: ModelFile = ModelFile {
        xml: include_str!("assets/inverted_pendulum.xml"),
        time_step: 0.02,
        frame_skip: 2,
        control: 3.0,
        fields: false,
    };
    let reader = KwargReader::new(INVERTED_PENDULUM, kwargs, &["frame_skip", "reset_noise_scale"])?;
    let task = InvertedPendulum { noise: reader.float("reset_noise_scale", 0.01)? };
    MujocoEnv::new(task, &FILE, &reader)
}

/// Two poles on a cart, whose tip is to stay above 1 m.
struct InvertedDoublePendulum {
    noise: f64,
    healthy_reward: f64,
}

/// The body that carries the tip, and where on it.
const TIP: (usize, [f64; 3]) = (3, [0.0, 0.0, 0.6]);

impl Task for InvertedDoublePendulum {
    fn id(&self) -> &'static str {
        INVERTED_DOUBLE_PENDULUM
    }

    fn reset(&self, rng: &mut EnvRng, state: &mut [f64], nq: usize) {
        let (qpos, qvel) = state.split_at_mut(nq);
        qpos.iter_mut().for_each(|value| *value += rng.uniform(-self.noise, self.noise));
        qvel.iter_mut().for_each(|value| *value += rng.standard_normal() * self.noise);
    }

    fn observation_dim(&self, _: &Model) -> usize {
        9
    }

    fn observe(&self, simulation: &Simulation, observation: &mut [f32]) {
        let (qpos, qvel) = (simulation.qpos(), simulation.qvel());
        let force = simulation.field(Field::ConstraintForce)[0];
        let clip = |value: f64| value.clamp(-10.0, 10.0);
        let values = [
            qpos[0],
            qpos[1].sin(),
            qpos[2].sin(),
            qpos[1].cos(),
            qpos[2].cos(),
            clip(qvel[0]),
            clip(qvel[1]),
            clip(qvel[2]),
            clip(force),
        ];
        observation.iter_mut().zip(values).for_each(|(to, from)| *to = from as f32);
    }

    fn outcome(&self, simulation: &Simulation, _: f64, _: &[f32]) -> (f64, bool) {
        let [x, _, y] = simulation.body_point(TIP.0, TIP.1);
        let terminated = y <= 1.0;
        let (v1, v2) = (simulation.qvel()[1], simulation.qvel()[2]);
        let distance = 0.01 * scalar_square(x) + scalar_square(y - 2.0);
        let velocity = 1e-3 * scalar_square(v1) + 5e-3 * scalar_square(v2);
        let alive = if terminated { 0.0 } else { self.healthy_reward };
        (alive - distance - velocity, terminated)
    }

    fn view(&self) -> &'static View {
        &render::INVERTED_DOUBLE_PENDULUM
    }
}

pub(super) fn inverted_double_pendulum(kwargs: &Kwargs) -> Result<MujocoEnv, EnvError> {
    static FILE: ModelFile = ModelFile {
        xml: include_str!("assets/inverted_double_pendulum.xml"),
        time_step: 0.01,
        frame_skip: 5,
        control: 1.0,
        fields: true,
    };
    let arguments = ["frame_skip", "healthy_reward", "reset_noise_scale"];
    let reader = KwargReader::new(INVERTED_DOUBLE_PENDULUM, kwargs, &arguments)?;
    let task = InvertedDoublePendulum {
        noise: reader.float("reset_noise_scale", 0.1)?,
        healthy_reward: reader.float("healthy_reward", 10.0)?,
    };
    MujocoEnv::new(task, &FILE, &reader)
}

/// An arm of two links in the plane, whose fingertip is to reach a target.
struct Reacher {
    distance_weight: f64,
    control_weight: f64,
}

const FINGERTIP: usize = 3;
const TARGET: usize = 4;

impl Reacher {
    /// From the target to the fingertip.
    fn gap(simulation: &Simulation) -> [f64; 3] {
        let finger = simulation.body_point(FINGERTIP, [0.0; 3]);
        let target = simulation.body_point(TARGET, [0.0; 3]);
        std::array::from_fn(|i| finger[i] - target[i])
    }
}

impl Task for Reacher {
    fn id(&self) -> &'static str {
        REACHER
    }

    fn reset(&self, rng: &mut EnvRng, state: &mut [f64], nq: usize) {
        let (qpos, qvel) = state.split_at_mut(nq);
        qpos.iter_mut().for_each(|value| *value += rng.uniform(-0.1, 0.1));
        let goal = loop {
            let goal = [rng.uniform(-0.2, 0.2), rng.uniform(-0.2, 0.2)];
            if (goal[0] * goal[0] + goal[1] * goal[1]).sqrt() < 0.2 {
                break goal;
            }
        };
        qpos[nq - 2..].copy_from_slice(&goal);
        qvel.iter_mut().for_each(|value| *value += rng.uniform(-0.005, 0.005));
        let fixed = qvel.len() - 2;
        qvel[fixed..].fill(0.0);
    }

    fn observation_dim(&self, _: &Model) -> usize {
        10
    }

    fn observe(&self, simulation: &Simulation, observation: &mut [f32]) {
        let (qpos, qvel, gap) = (simulation.qpos(), simulation.qvel(), Self::gap(simulation));
        let values = [
            qpos[0].cos(),
            qpos[1].cos(),
            qpos[0].sin(),
            qpos[1].sin(),
            qpos[2],
            qpos[3],
            qvel[0],
            qvel[1],
            gap[0],
            gap[1],
        ];
        observation.iter_mut().zip(values).for_each(|(to, from)| *to = from as f32);
    }

    fn place(&self, _: &Simulation) -> f64 {
        0.0
    }

    fn outcome(&self, simulation: &Simulation, _: f64, action: &[f32]) -> (f64, bool) {
        let [x, y, z] = Self::gap(simulation);
        let distance = (x * x + y * y + z * z).sqrt();
        let control = -sum_of_squares(action) * self.control_weight as f32;
        (-distance * self.distance_weight + f64::from(control), false)
    }

    fn view(&self) -> &'static View {
        &render::REACHER
    }
}

pub(super) fn reacher(kwargs: &Kwargs) -> Result<MujocoEnv, EnvError> {
    static FILE: ModelFile = ModelFile {
        xml: include_str!("assets/reacher.xml"),
        time_step: 0.01,
        frame_skip: 2,
        control: 1.0,
        fields: false,
    };
    let arguments = ["frame_skip", "reward_dist_weight", "reward_control_weight"];
    let reader = KwargReader::new(REACHER, kwargs, &arguments)?;
    let task = Reacher {
        distance_weight: reader.float("reward_dist_weight", 1.0)?,
        control_weight: reader.float("reward_control_weight", 1.0)?,
    };
    MujocoEnv::new(task, &FILE, &reader)
}
