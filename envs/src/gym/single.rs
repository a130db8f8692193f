//! `GymEnv`: one Gymnasium environment as an [`Env`], for what works on single environments, such as the checker.

use super::GymVecEnv;
use crate::{
    ActionRef, Actions, Env, EnvError, EnvRng, Frame, MakeOptions, Space, Step, StepBuffers, VecEnv,
    Vectorization,
};

/// One Gymnasium environment. Every reset passes it a fresh seed from the caller's generator.
pub struct GymEnv {
    env: GymVecEnv,
    out: StepBuffers,
    running: bool,
}

impl GymEnv {
    /// The environment `gym:…` with its options.
    ///
    /// # Errors
    ///
    /// As [`GymVecEnv::make`].
    pub fn make(id: &str, options: &MakeOptions) -> Result<Self, EnvError> {
        let options = MakeOptions { vectorization: Some(Vectorization::Sync), ..options.clone() };
        let env = GymVecEnv::make(id, 1, &options)?;
        let out = StepBuffers::new(1, env.observation_dim());
        Ok(Self { env, out, running: false })
    }
}

impl Env for GymEnv {
    fn observation_space(&self) -> &Space {
        self.env.observation_space()
    }

    fn action_space(&self) -> &Space {
        self.env.action_space()
    }

    fn reset(&mut self, rng: &mut EnvRng, observation: &mut [f32]) -> Result<(), EnvError> {
        crate::error::check_length("observation", observation.len(), self.env.observation_dim())?;
        self.running = false;
        self.env.reset(&[rng.next_u64() >> 32], observation)?;
        self.running = true;
        Ok(())
    }

    fn step(
        &mut self,
        action: ActionRef<'_>,
        _: &mut EnvRng,
        observation: &mut [f32],
    ) -> Result<Step, EnvError> {
        crate::error::check_length("observation", observation.len(), self.env.observation_dim())?;
        if !self.running {
            return Err(EnvError::needs_reset(self.env.env_id()));
        }
        let index: [u32; 1];
        let actions = match action {
            ActionRef::Discrete(i) => {
                index = [u32::try_from(i).unwrap_or(u32::MAX)];
                Actions::Discrete(&index)
            }
            ActionRef::Box(values) => Actions::Box { values, dim: values.len() },
            ActionRef::MultiDiscrete(values) => Actions::MultiDiscrete { values, dim: values.len() },
            ActionRef::MultiBinary(values) => Actions::MultiBinary { values, dim: values.len() },
        };
        self.env.step(&[0], actions, &mut self.out)?;
        let step = Step {
            reward: self.out.rewards[0],
            terminated: self.out.terminated[0],
            truncated: self.out.truncated[0],
        };
        self.running = !step.ended();
        observation.copy_from_slice(if step.ended() {
            &self.out.final_observations
        } else {
            &self.out.observations
        });
        Ok(step)
    }

    fn action_mask(&self) -> Option<&[bool]> {
        // One slot: its row is all.
        if self.running { self.env.action_masks() } else { self.env.final_action_masks() }
    }

    fn running_statistics(&self) -> Option<String> {
        self.env.running_statistics()
    }

    fn render(&self) -> Option<Frame> {
        self.env.render(0)
    }
}
