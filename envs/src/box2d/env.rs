//! `Box2dEnv`: what the Box2D games have in common, above all how their state is saved.
//!
//! Box2D has no way to write down its contacts and their impulses. But a game is a function of the generator's state at
//! its reset and of the actions since, and so are they: a saved state holds these, and loading it plays them again.

use crate::error::check_length;
use crate::{ActionRef, Env, EnvError, EnvRng, Frame, Space, StateReader, Step};

/// One game.
pub(super) trait Game: Send {
    /// Its id.
    fn id(&self) -> &'static str;
    fn observation_space(&self) -> &Space;
    fn action_space(&self) -> &Space;
    /// Starts an episode.
    fn begin(&mut self, rng: &mut EnvRng);
    /// One step; `action` is in the action space's form: one index, or as many values as it has.
    fn act(&mut self, action: &[f32], rng: &mut EnvRng) -> Step;
    /// What is seen now.
    fn observation(&self) -> &[f32];
    fn draw(&self) -> Option<Frame>;
}

/// A Box2D environment of Gymnasium.
pub struct Box2dEnv {
    game: Box<dyn Game>,
    /// The generator at the last reset; none before the first.
    start: Option<EnvRng>,
    /// The actions since, one after another.
    actions: Vec<f32>,
    /// Numbers in an action.
    width: usize,
}

impl Box2dEnv {
    pub(super) fn new(game: impl Game + 'static) -> Self {
        let width = game.action_space().size();
        Self { game: Box::new(game), start: None, actions: Vec::new(), width }
    }

    fn check(&self, observation: &[f32]) -> Result<(), EnvError> {
        check_length("observation", observation.len(), self.game.observation_space().flat_dim())
    }
}

impl Env for Box2dEnv {
    fn observation_space(&self) -> &Space {
        self.game.observation_space()
    }

    fn action_space(&self) -> &Space {
        self.game.action_space()
    }

    fn reset(&mut self, rng: &mut EnvRng, observation: &mut [f32]) -> Result<(), EnvError> {
        self.check(observation)?;
        self.start = Some(rng.clone());
        self.actions.clear();
        self.game.begin(rng);
        observation.copy_from_slice(self.game.observation());
        Ok(())
    }

    fn step(
        &mut self,
        action: ActionRef<'_>,
        rng: &mut EnvRng,
        observation: &mut [f32],
    ) -> Result<Step, EnvError> {
        self.check(observation)?;
        let space = self.game.action_space();
        let index;
        let values = match (action, space) {
            (ActionRef::Discrete(i), Space::Discrete { n, .. }) if i < *n => {
                index = [i as f32];
                &index[..]
            }
            (ActionRef::Box(values), Space::Box { .. })
                if values.len() == self.width && values.iter().all(|value| value.is_finite()) =>
            {
                values
            }
            _ => return Err(EnvError::invalid_action(self.game.id(), space, action.describe())),
        };
        if self.start.is_none() {
            return Err(EnvError::needs_reset(self.game.id()));
        }
        self.actions.extend_from_slice(values);
        let step = self.game.act(values, rng);
        observation.copy_from_slice(self.game.observation());
        Ok(step)
    }

    fn render(&self) -> Option<Frame> {
        self.start.as_ref().and_then(|_| self.game.draw())
    }

    fn save_state(&self, state: &mut Vec<f64>) -> Result<(), EnvError> {
        state.push(f64::from(u8::from(self.start.is_some())));
        if let Some(start) = &self.start {
            // A word of 64 bits is no exact f64; its halves are.
            state.extend(
                start.state().iter().flat_map(|word| [(word >> 32) as u32, *word as u32]).map(f64::from),
            );
            state.push((self.actions.len() / self.width) as f64);
            state.extend(self.actions.iter().copied().map(f64::from));
        }
        Ok(())
    }

    fn load_state(&mut self, state: &mut &[f64]) -> Result<(), EnvError> {
        let id = self.game.id();
        let mut reader = StateReader::new(id, state);
        if !reader.flag("started")? {
            self.start = None;
            return Ok(());
        }
        let mut words = [0; 6];
        for word in &mut words {
            let (high, low) = (reader.count("generator")?, reader.count("generator")?);
            *word = u64::from(high) << 32 | u64::from(low);
        }
        let start = EnvRng::from_state(words).map_err(|error| EnvError::invalid_state(id, error))?;
        let steps = reader.count("steps")?;
        let mut actions = Vec::new();
        for _ in 0..steps {
            for _ in 0..self.width {
                let value = reader.float32("action")?;
                if let Space::Discrete { n, .. } = self.game.action_space()
                    && (value.fract() != 0.0 || !(0.0..*n as f32).contains(&value))
                {
                    return Err(EnvError::invalid_state(id, format!("action {value} is not 0 to {}", n - 1)));
                }
                actions.push(value);
            }
        }
        let mut rng = start.clone();
        self.game.begin(&mut rng);
        for action in actions.chunks_exact(self.width) {
            self.game.act(action, &mut rng);
        }
        (self.start, self.actions) = (Some(start), actions);
        Ok(())
    }
}
