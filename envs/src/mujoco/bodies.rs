//! The bodies in space: `Ant-v5` and `Humanoid-v5`, whose observations hold contact forces.

use super::env::{ModelFile, MujocoEnv, Task};
use super::fields::Field;
use super::render::{self, View};
use super::simulation::{Model, Simulation};
use crate::classic::numpy_math::{pairwise_sum, sum_of_squares};
use crate::{EnvError, EnvRng, KwargReader, Kwargs};

pub(super) const ANT: &str = "Ant-v5";
pub(super) const HUMANOID: &str = "Humanoid-v5";

/// Both leave x and y out of the observation.
const HIDDEN: usize = 2;

/// Appends numbers to an observation.
struct Writer<'a>(&'a mut [f32]);

impl Writer<'_> {
    fn write(&mut self, values: &[f64]) {
        self.write_with(values, |value| value);
    }

    fn write_with(&mut self, values: &[f64], change: impl Fn(f64) -> f64) {
        let (now, rest) = std::mem::take(&mut self.0).split_at_mut(values.len());
        now.iter_mut().zip(values).for_each(|(to, from)| *to = change(*from) as f32);
        self.0 = rest;
    }
}

/// Four legs of two joints each.
struct Ant {
    forward_weight: f64,
    control_weight: f64,
    contact_weight: f64,
    healthy_reward: f64,
    terminate: bool,
    /// Closed interval of the height.
    height: (f64, f64),
    contact_range: (f64, f64),
    noise: f64,
    hidden: usize,
    with_contacts: bool,
}

/// The torso.
const MAIN_BODY: usize = 1;
/// Six numbers a body; the first body is the world.
const WRENCH: usize = 6;
const ANT_BODIES: usize = 14;

impl Task for Ant {
    fn id(&self) -> &'static str {
        ANT
    }

    fn reset(&self, rng: &mut EnvRng, state: &mut [f64], nq: usize) {
        let (qpos, qvel) = state.split_at_mut(nq);
        qpos.iter_mut().for_each(|value| *value += rng.uniform(-self.noise, self.noise));
        qvel.iter_mut().for_each(|value| *value += self.noise * rng.standard_normal());
    }

    fn observation_dim(&self, model: &Model) -> usize {
        let contacts = if self.with_contacts { (ANT_BODIES - 1) * WRENCH } else { 0 };
        model.nq - self.hidden + model.nv + contacts
    }

    fn observe(&self, simulation: &Simulation, observation: &mut [f32]) {
        let mut writer = Writer(observation);
        writer.write(&simulation.qpos()[self.hidden..]);
        writer.write(simulation.qvel());
        if self.with_contacts {
            let (low, high) = self.contact_range;
            writer
                .write_with(&simulation.field(Field::ContactForce)[WRENCH..], |force| force.clamp(low, high));
        }
    }

    fn place(&self, simulation: &Simulation) -> f64 {
        simulation.body_point(MAIN_BODY, [0.0; 3])[0]
    }

    fn outcome(&self, simulation: &Simulation, velocity: f64, action: &[f32]) -> (f64, bool) {
        let (low, high) = self.height;
        let finite = simulation.qpos().iter().chain(simulation.qvel()).all(|value| value.is_finite());
        let healthy = finite && (low..=high).contains(&simulation.qpos()[2]);
        let alive = if healthy { self.healthy_reward } else { 0.0 };
        // A product of float32 numbers in Gymnasium, since the action is one.
        let control = f64::from(self.control_weight as f32 * sum_of_squares(action));
        let (forces, (least, most)) = (simulation.field(Field::ContactForce), self.contact_range);
        let contact = self.contact_weight
            * pairwise_sum(forces.len(), |i| {
                let force = forces[i].clamp(least, most);
                force * force
            });
        let reward = (velocity * self.forward_weight + alive) - (control + contact);
        (reward, !healthy && self.terminate)
    }

    fn view(&self) -> &'static View {
        &render::ANT
    }
}

pub(super) fn ant(kwargs: &Kwargs) -> Result<MujocoEnv, EnvError> {
    static FILE: ModelFile = ModelFile {
        xml: include_str!("assets/ant.xml"),
        time_step: 0.01,
        frame_skip: 5,
        control: 1.0,
        fields: true,
    };
    let arguments = [
        "frame_skip",
        "forward_reward_weight",
        "ctrl_cost_weight",
        "contact_cost_weight",
        "healthy_reward",
        "terminate_when_unhealthy",
        "healthy_z_range",
        "contact_force_range",
        "reset_noise_scale",
        "exclude_current_positions_from_observation",
        "include_cfrc_ext_in_observation",
    ];
    let reader = KwargReader::new(ANT, kwargs, &arguments)?;
    let task = Ant {
        forward_weight: reader.float("forward_reward_weight", 1.0)?,
        control_weight: reader.float("ctrl_cost_weight", 0.5)?,
        contact_weight: reader.float("contact_cost_weight", 5e-4)?,
        healthy_reward: reader.float("healthy_reward", 1.0)?,
        terminate: reader.bool("terminate_when_unhealthy", true)?,
        height: reader.range("healthy_z_range", (0.2, 1.0))?,
        contact_range: reader.range("contact_force_range", (-1.0, 1.0))?,
        noise: reader.float("reset_noise_scale", 0.1)?,
        hidden: if reader.bool("exclude_current_positions_from_observation", true)? { HIDDEN } else { 0 },
        with_contacts: reader.bool("include_cfrc_ext_in_observation", true)?,
    };
    MujocoEnv::new(task, &FILE, &reader)
}

/// A human figure that walks.
struct Humanoid {
    forward_weight: f64,
    control_weight: f64,
    contact_weight: f64,
    contact_cost_range: (f64, f64),
    healthy_reward: f64,
    terminate: bool,
    /// Open interval of the height.
    height: (f64, f64),
    noise: f64,
    hidden: usize,
}

const HUMANOID_BODIES: usize = 14;
/// Numbers of the inertia of a body.
const INERTIA: usize = 10;
/// The free joint of the torso has no actuator.
const ROOT: usize = 6;

impl Task for Humanoid {
    fn id(&self) -> &'static str {
        HUMANOID
    }

    fn reset(&self, rng: &mut EnvRng, state: &mut [f64], _: usize) {
        state.iter_mut().for_each(|value| *value += rng.uniform(-self.noise, self.noise));
    }

    fn observation_dim(&self, model: &Model) -> usize {
        let bodies = (HUMANOID_BODIES - 1) * (INERTIA + 2 * WRENCH);
        model.nq - self.hidden + model.nv + bodies + model.nv - ROOT
    }

    fn observe(&self, simulation: &Simulation, observation: &mut [f32]) {
        let mut writer = Writer(observation);
        writer.write(&simulation.qpos()[self.hidden..]);
        writer.write(simulation.qvel());
        writer.write(&simulation.field(Field::Inertia)[INERTIA..]);
        writer.write(&simulation.field(Field::Velocity)[WRENCH..]);
        writer.write(&simulation.field(Field::ActuatorForce)[ROOT..]);
        writer.write(&simulation.field(Field::ContactForce)[WRENCH..]);
    }

    /// The centre of mass.
    fn place(&self, simulation: &Simulation) -> f64 {
        let (mass, center) = (simulation.field(Field::Mass), simulation.field(Field::Center));
        let weighted = mass.iter().zip(center.as_chunks().0).fold(0.0, |sum, (m, [x, _, _])| sum + m * x);
        weighted / pairwise_sum(mass.len(), |i| mass[i])
    }

    fn outcome(&self, simulation: &Simulation, velocity: f64, _: &[f32]) -> (f64, bool) {
        let (low, high) = self.height;
        let height = simulation.qpos()[2];
        let healthy = low < height && height < high;
        let alive = if healthy { self.healthy_reward } else { 0.0 };
        let (controls, forces) = (simulation.controls(), simulation.field(Field::ContactForce));
        let control = self.control_weight * pairwise_sum(controls.len(), |i| controls[i] * controls[i]);
        let contact = self.contact_weight * pairwise_sum(forces.len(), |i| forces[i] * forces[i]);
        let contact = contact.clamp(self.contact_cost_range.0, self.contact_cost_range.1);
        let reward = (self.forward_weight * velocity + alive) - (control + contact);
        (reward, !healthy && self.terminate)
    }

    fn view(&self) -> &'static View {
        &render::HUMANOID
    }
}

pub(super) fn humanoid(kwargs: &Kwargs) -> Result<MujocoEnv, EnvError> {
    static FILE: ModelFile = ModelFile {
        xml: include_str!("assets/humanoid.xml"),
        time_step: 0.003,
        frame_skip: 5,
        control: 0.4,
        fields: true,
    };
    let arguments = [
        "frame_skip",
        "forward_reward_weight",
        "ctrl_cost_weight",
        "contact_cost_weight",
        "contact_cost_range",
        "healthy_reward",
        "terminate_when_unhealthy",
        "healthy_z_range",
        "reset_noise_scale",
        "exclude_current_positions_from_observation",
    ];
    let reader = KwargReader::new(HUMANOID, kwargs, &arguments)?;
    let task = Humanoid {
        forward_weight: reader.float("forward_reward_weight", 1.25)?,
        control_weight: reader.float("ctrl_cost_weight", 0.1)?,
        contact_weight: reader.float("contact_cost_weight", 5e-7)?,
        contact_cost_range: reader.range("contact_cost_range", (f64::NEG_INFINITY, 10.0))?,
        healthy_reward: reader.float("healthy_reward", 5.0)?,
        terminate: reader.bool("terminate_when_unhealthy", true)?,
        height: reader.range("healthy_z_range", (1.0, 2.0))?,
        noise: reader.float("reset_noise_scale", 1e-2)?,
        hidden: if reader.bool("exclude_current_positions_from_observation", true)? { HIDDEN } else { 0 },
    };
    MujocoEnv::new(task, &FILE, &reader)
}
