//! The planar runners and the swimmer: `HalfCheetah-v5`, `Hopper-v5`, `Walker2d-v5`, `Swimmer-v5`.

use super::env::{ModelFile, MujocoEnv, Task};
use super::render::{self, View};
use super::simulation::{Model, Simulation};
use crate::classic::numpy_math::sum_of_squares;
use crate::{EnvError, EnvRng, KwargReader, Kwargs};

pub(super) const HALF_CHEETAH: &str = "HalfCheetah-v5";
pub(super) const HOPPER: &str = "Hopper-v5";
pub(super) const WALKER: &str = "Walker2d-v5";
pub(super) const SWIMMER: &str = "Swimmer-v5";

/// How velocities start.
#[derive(Clone, Copy, PartialEq)]
enum VelocityNoise {
    Uniform,
    Normal,
}

/// When the body counts as healthy; ranges are open intervals.
struct Health {
    reward: f64,
    terminate: bool,
    height: (f64, f64),
    angle: (f64, f64),
    /// Bounds of all positions from the third on and all velocities.
    state: (f64, f64),
}

impl Health {
    /// `false` for a state with NaN, as all its comparisons are.
    fn holds(&self, simulation: &Simulation) -> bool {
        let inside = |value: f64, (low, high): (f64, f64)| low < value && value < high;
        let qpos = simulation.qpos();
        let others = qpos[2..].iter().chain(simulation.qvel());
        // `abs` drops nothing here: an unbounded range is what tasks without this rule have.
        (self.state == UNBOUNDED || others.copied().all(|value| inside(value, self.state)))
            && inside(qpos[1], self.height)
            && inside(qpos[2], self.angle)
    }
}

const UNBOUNDED: (f64, f64) = (f64::NEG_INFINITY, f64::INFINITY);

/// A body that is paid for its speed along x.
struct Runner {
    id: &'static str,
    view: &'static View,
    forward_weight: f64,
    control_weight: f64,
    noise: f64,
    velocity_noise: VelocityNoise,
    health: Option<Health>,
    /// Velocities in the observation are cut at ±10.
    clip_velocity: bool,
    /// Leading positions that the observation leaves out.
    hidden: usize,
}

impl Task for Runner {
    fn id(&self) -> &'static str {
        self.id
    }

    fn reset(&self, rng: &mut EnvRng, state: &mut [f64], nq: usize) {
        let (qpos, qvel) = state.split_at_mut(nq);
        qpos.iter_mut().for_each(|value| *value += rng.uniform(-self.noise, self.noise));
        qvel.iter_mut().for_each(|value| {
            *value += match self.velocity_noise {
                VelocityNoise::Uniform => rng.uniform(-self.noise, self.noise),
                VelocityNoise::Normal => self.noise * rng.standard_normal(),
            };
        });
    }

    fn observation_dim(&self, model: &Model) -> usize {
        model.nq - self.hidden + model.nv
    }

    fn observe(&self, simulation: &Simulation, observation: &mut [f32]) {
        let qpos = &simulation.qpos()[self.hidden..];
        let (positions, velocities) = observation.split_at_mut(qpos.len());
        for (to, from) in positions.iter_mut().zip(qpos) {
            *to = *from as f32;
        }
        let limit = if self.clip_velocity { 10.0 } else { f64::INFINITY };
        for (to, from) in velocities.iter_mut().zip(simulation.qvel()) {
            *to = from.clamp(-limit, limit) as f32;
        }
    }

    fn outcome(&self, simulation: &Simulation, velocity: f64, action: &[f32]) -> (f64, bool) {
        let forward = self.forward_weight * velocity;
        // A product of float32 numbers in Gymnasium, since the action is one.
        let cost = f64::from(self.control_weight as f32 * sum_of_squares(action));
        match &self.health {
            None => (forward - cost, false),
            Some(health) => {
                let healthy = health.holds(simulation);
                let alive = if healthy { health.reward } else { 0.0 };
                (forward + alive - cost, !healthy && health.terminate)
            }
        }
    }

    fn view(&self) -> &'static View {
        self.view
    }
}

const COMMON: [&str; 5] = [
    "frame_skip",
    "forward_reward_weight",
    "ctrl_cost_weight",
    "reset_noise_scale",
    "exclude_current_positions_from_observation",
];

/// The leading positions to leave out, unless the arguments want them.
fn hidden(reader: &KwargReader<'_>, count: usize) -> Result<usize, EnvError> {
    Ok(if reader.bool("exclude_current_positions_from_observation", true)? { count } else { 0 })
}

pub(super) fn half_cheetah(kwargs: &Kwargs) -> Result<MujocoEnv, EnvError> {
    static FILE: ModelFile = ModelFile {
        xml: include_str!("assets/half_cheetah.xml"),
        time_step: 0.01,
        frame_skip: 5,
        control: 1.0,
        fields: false,
    };
    let reader = KwargReader::new(HALF_CHEETAH, kwargs, &COMMON)?;
    let task = Runner {
        id: HALF_CHEETAH,
        view: &render::HALF_CHEETAH,
        forward_weight: reader.float("forward_reward_weight", 1.0)?,
        control_weight: reader.float("ctrl_cost_weight", 0.1)?,
        noise: reader.float("reset_noise_scale", 0.1)?,
        velocity_noise: VelocityNoise::Normal,
        health: None,
        clip_velocity: false,
        hidden: hidden(&reader, 1)?,
    };
    MujocoEnv::new(task, &FILE, &reader)
}

pub(super) fn swimmer(kwargs: &Kwargs) -> Result<MujocoEnv, EnvError> {
    static FILE: ModelFile = ModelFile {
        xml: include_str!("assets/swimmer.xml"),
        time_step: 0.01,
        frame_skip: 4,
        control: 1.0,
        fields: false,
    };
    let reader = KwargReader::new(SWIMMER, kwargs, &COMMON)?;
    let task = Runner {
        id: SWIMMER,
        view: &render::SWIMMER,
        forward_weight: reader.float("forward_reward_weight", 1.0)?,
        control_weight: reader.float("ctrl_cost_weight", 1e-4)?,
        noise: reader.float("reset_noise_scale", 0.1)?,
        velocity_noise: VelocityNoise::Uniform,
        health: None,
        clip_velocity: false,
        hidden: hidden(&reader, 2)?,
    };
    MujocoEnv::new(task, &FILE, &reader)
}

const HEALTHY: [&str; 9] = [
    "frame_skip",
    "forward_reward_weight",
    "ctrl_cost_weight",
    "reset_noise_scale",
    "exclude_current_positions_from_observation",
    "healthy_reward",
    "terminate_when_unhealthy",
    "healthy_z_range",
    "healthy_angle_range",
];

pub(super) fn hopper(kwargs: &Kwargs) -> Result<MujocoEnv, EnvError> {
    static FILE: ModelFile = ModelFile {
        xml: include_str!("assets/hopper.xml"),
        time_step: 0.002,
        frame_skip: 4,
        control: 1.0,
        fields: false,
    };
    const ARGUMENTS: [&str; 10] = {
        let mut all = ["healthy_state_range"; 10];
        let mut i = 0;
        while i < 9 {
            all[i] = HEALTHY[i];
            i += 1;
        }
        all
    };
    let reader = KwargReader::new(HOPPER, kwargs, &ARGUMENTS)?;
    let health = Health {
        reward: reader.float("healthy_reward", 1.0)?,
        terminate: reader.bool("terminate_when_unhealthy", true)?,
        height: reader.range("healthy_z_range", (0.7, f64::INFINITY))?,
        angle: reader.range("healthy_angle_range", (-0.2, 0.2))?,
        state: reader.range("healthy_state_range", (-100.0, 100.0))?,
    };
    walker_like(HOPPER, &render::HOPPER, health, &FILE, &reader)
}

pub(super) fn walker(kwargs: &Kwargs) -> Result<MujocoEnv, EnvError> {
    static FILE: ModelFile = ModelFile {
        xml: include_str!("assets/walker2d_v5.xml"),
        time_step: 0.002,
        frame_skip: 4,
        control: 1.0,
        fields: false,
    };
    let reader = KwargReader::new(WALKER, kwargs, &HEALTHY)?;
    let health = Health {
        reward: reader.float("healthy_reward", 1.0)?,
        terminate: reader.bool("terminate_when_unhealthy", true)?,
        height: reader.range("healthy_z_range", (0.8, 2.0))?,
        angle: reader.range("healthy_angle_range", (-1.0, 1.0))?,
        state: UNBOUNDED,
    };
    walker_like(WALKER, &render::WALKER, health, &FILE, &reader)
}

fn walker_like(
    id: &'static str,
    view: &'static View,
    health: Health,
    file: &'static ModelFile,
    reader: &KwargReader<'_>,
) -> Result<MujocoEnv, EnvError> {
    let task = Runner {
        id,
        view,
        forward_weight: reader.float("forward_reward_weight", 1.0)?,
        control_weight: reader.float("ctrl_cost_weight", 1e-3)?,
        noise: reader.float("reset_noise_scale", 5e-3)?,
        velocity_noise: VelocityNoise::Uniform,
        health: Some(health),
        clip_velocity: true,
        hidden: hidden(reader, 1)?,
    };
    MujocoEnv::new(task, file, reader)
}
