//! An environment of your own, with the whole command line of `relax`:
//!
//! ```text
//! cargo run --release --example custom_env -- envs check Corridor-v0
//! cargo run --release --example custom_env -- train configs/cartpole-relax.toml --set env.id=Corridor-v0
//! ```
use relax_rl::envs::{ActionRef, Env, EnvError, EnvRng, EnvSpec, Space, StateReader, Step, register};

/// A corridor of 10 cells. One walks left (0) or right (1); each step costs 0.1, and the right end pays 1 and ends it.
struct Corridor {
    cell: f32,
    observations: Space,
    actions: Space,
}

const LAST: f32 = 9.0;

impl Env for Corridor {
    fn observation_space(&self) -> &Space {
        &self.observations
    }
    fn action_space(&self) -> &Space {
        &self.actions
    }
    fn reset(&mut self, rng: &mut EnvRng, observation: &mut [f32]) -> Result<(), EnvError> {
        self.cell = rng.integers(0, 5) as f32; // all randomness comes from this generator
        observation[0] = self.cell / LAST;
        Ok(())
    }
    fn step(
        &mut self,
        action: ActionRef<'_>,
        _: &mut EnvRng,
        observation: &mut [f32],
    ) -> Result<Step, EnvError> {
        let ActionRef::Discrete(direction @ 0..2) = action else {
            return Err(EnvError::invalid_action("Corridor-v0", "0 (left) or 1 (right)", action.describe()));
        };
        self.cell = (self.cell + [-1.0, 1.0][direction]).max(0.0);
        observation[0] = self.cell / LAST;
        let terminated = self.cell >= LAST;
        // `truncated` is set by the time limit that `EnvSpec` asks for.
        Ok(Step { reward: if terminated { 1.0 } else { -0.1 }, terminated, truncated: false })
    }
    // With these two, an interrupted run resumes bit for bit; without them it starts fresh episodes.
    fn save_state(&self, state: &mut Vec<f64>) -> Result<(), EnvError> {
        state.push(self.cell.into());
        Ok(())
    }
    fn load_state(&mut self, state: &mut &[f64]) -> Result<(), EnvError> {
        self.cell = StateReader::new("Corridor-v0", state).within("cell", 0.0, LAST.into())? as f32;
        Ok(())
    }
}

fn main() -> std::process::ExitCode {
    let spec = EnvSpec::new("Corridor-v0", "Walk to the right end", |_| {
        let observations = Space::uniform_box(0.0, 1.0, &[1]);
        Ok(Box::new(Corridor { cell: 0.0, observations, actions: Space::discrete(2) }))
    });
    register(spec.max_episode_steps(100).reward_threshold(0.2)).expect("the id is free");
    relax_rl::cli::main()
}
