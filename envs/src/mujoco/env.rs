//! `MujocoEnv`: what the MuJoCo tasks have in common. A task adds its model, its observation, its reward and its end.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::library::version_text;
use super::render::{self, View};
use super::simulation::{LARGEST, Model, Simulation};
use crate::error::check_length;
use crate::{ActionRef, Env, EnvError, EnvRng, Frame, KwargReader, Space, StateReader, Step};

/// What one task is made of.
pub(super) trait Task: Send {
    /// Its id.
    fn id(&self) -> &'static str;

    /// Draws the positions and velocities of a new episode: `state` holds the model's own, `[nq + nv]`.
    fn reset(&self, rng: &mut EnvRng, state: &mut [f64], nq: usize);

    /// Values in an observation.
    fn observation_dim(&self, model: &Model) -> usize;

    /// Writes the observation.
    fn observe(&self, simulation: &Simulation, observation: &mut [f32]);

    /// The place whose change is progress; 0 where a task has none.
    fn place(&self, simulation: &Simulation) -> f64 {
        simulation.qpos()[0]
    }

    /// Reward and whether the task is over, `velocity` being the change of [`place`](Self::place) in a second.
    fn outcome(&self, simulation: &Simulation, velocity: f64, action: &[f32]) -> (f64, bool);

    /// How to draw it.
    fn view(&self) -> &'static View;
}

/// The constants of a task's model.
pub(super) struct ModelFile {
    pub(super) xml: &'static str,
    /// Seconds of one step of the physics.
    pub(super) time_step: f64,
    /// Steps of the physics in one of the environment, by default.
    pub(super) frame_skip: i64,
    /// Bound of the controls.
    pub(super) control: f32,
    /// Whether the task reads quantities that no function of the library returns.
    pub(super) fields: bool,
}

/// A MuJoCo environment, bit-equal to Gymnasium's of the same name where MuJoCo is the same version.
pub struct MujocoEnv {
    task: Box<dyn Task>,
    simulation: Simulation,
    /// The model's own positions and velocities.
    initial: Vec<f64>,
    /// Where the next episode starts; kept to spare the allocation.
    start: Vec<f64>,
    /// The task's place after the last step. In some tasks it lags behind the positions, as it does in Gymnasium, and
    /// could not be told from them.
    place: f64,
    frame_skip: u32,
    time_step: f64,
    started: bool,
    observation_space: Space,
    action_space: Space,
}

impl MujocoEnv {
    /// `task` with its model.
    pub(super) fn new(
        task: impl Task + 'static,
        file: &'static ModelFile,
        reader: &KwargReader<'_>,
    ) -> Result<Self, EnvError> {
        let frame_skip = reader.positive("frame_skip", file.frame_skip)?;
        let model = shared_model(task.id(), file)?;
        let mut simulation = Simulation::new(model)?;
        if file.fields {
            simulation = simulation.with_fields(task.id())?;
        }
        let initial = [simulation.qpos(), simulation.qvel()].concat();
        let dim = task.observation_dim(simulation.model());
        let actions = simulation.model().nu;
        Ok(Self {
            task: Box::new(task),
            simulation,
            start: initial.clone(),
            initial,
            place: 0.0,
            frame_skip,
            time_step: file.time_step * f64::from(frame_skip),
            started: false,
            observation_space: Space::uniform_box(f32::NEG_INFINITY, f32::INFINITY, &[dim]),
            action_space: Space::uniform_box(-file.control, file.control, &[actions]),
        })
    }

    /// Positions, as MuJoCo has them.
    pub fn qpos(&self) -> &[f64] {
        self.simulation.qpos()
    }

    /// Velocities, as MuJoCo has them.
    pub fn qvel(&self) -> &[f64] {
        self.simulation.qvel()
    }

    fn check(&self, observation: &[f32]) -> Result<(), EnvError> {
        check_length("observation", observation.len(), self.observation_space.flat_dim())
    }
}

/// The model of a task: compiled once and shared by all its environments.
fn shared_model(id: &'static str, file: &ModelFile) -> Result<Arc<Model>, EnvError> {
    static MODELS: Mutex<Option<HashMap<&'static str, Arc<Model>>>> = Mutex::new(None);
    let mut models = MODELS.lock().unwrap_or_else(PoisonError::into_inner);
    let models = models.get_or_insert_default();
    if let Some(model) = models.get(id) {
        return Ok(model.clone());
    }
    let model = Arc::new(Model::compile(file.xml)?);
    models.insert(id, model.clone());
    Ok(model)
}

impl Env for MujocoEnv {
    fn observation_space(&self) -> &Space {
        &self.observation_space
    }

    fn action_space(&self) -> &Space {
        &self.action_space
    }

    fn reset(&mut self, rng: &mut EnvRng, observation: &mut [f32]) -> Result<(), EnvError> {
        self.check(observation)?;
        self.start.copy_from_slice(&self.initial);
        self.task.reset(rng, &mut self.start, self.simulation.model().nq);
        self.simulation.reset(&self.start);
        self.place = self.task.place(&self.simulation);
        self.started = true;
        self.task.observe(&self.simulation, observation);
        Ok(())
    }

    fn step(
        &mut self,
        action: ActionRef<'_>,
        _: &mut EnvRng,
        observation: &mut [f32],
    ) -> Result<Step, EnvError> {
        self.check(observation)?;
        let action = match action {
            ActionRef::Box(values)
                if values.len() == self.simulation.model().nu && values.iter().all(|v| v.is_finite()) =>
            {
                values
            }
            other => {
                return Err(EnvError::invalid_action(self.task.id(), &self.action_space, other.describe()));
            }
        };
        if !self.started {
            return Err(EnvError::needs_reset(self.task.id()));
        }
        self.simulation.step(action, self.frame_skip);
        let place = self.task.place(&self.simulation);
        let velocity = (place - self.place) / self.time_step;
        self.place = place;
        self.task.observe(&self.simulation, observation);
        let (reward, terminated) = self.task.outcome(&self.simulation, velocity, action);
        Ok(Step { reward, terminated, truncated: false })
    }

    fn render(&self) -> Option<Frame> {
        self.started.then(|| render::draw(self.task.view(), &self.simulation)).flatten()
    }

    fn save_state(&self, state: &mut Vec<f64>) -> Result<(), EnvError> {
        let version = f64::from(self.simulation.model().version());
        state.extend([version, f64::from(u8::from(self.started)), self.place]);
        self.simulation.save(state);
        Ok(())
    }

    fn load_state(&mut self, state: &mut &[f64]) -> Result<(), EnvError> {
        let id = self.task.id();
        let mut reader = StateReader::new(id, state);
        let (saved, own) = (reader.count("MuJoCo's version")?, self.simulation.model().version());
        if saved != own {
            let (saved, own) = (version_text(saved), version_text(own));
            return Err(EnvError::invalid_state(
                id,
                format!(
                    "it was saved with MuJoCo {saved}, and this is {own}, which computes other numbers; \
                     `pip install --no-deps mujoco=={saved}` continues it"
                ),
            ));
        }
        let started = reader.flag("started")?;
        let place = reader.finite("place")?;
        let numbers = (0..self.simulation.saved_len())
            .map(|_| reader.within("time, position, velocity or acceleration", -LARGEST, LARGEST))
            .collect::<Result<Vec<_>, _>>()?;
        self.simulation.load(&numbers);
        (self.started, self.place) = (started, place);
        Ok(())
    }
}
