//! Reinforcement-learning environments, bit-equal to Gymnasium, and the trait to add your own.
//!
//! | To … | look at |
//! | --- | --- |
//! | write an environment | [`Env`] |
//! | make one by id, or register one | [`make`], [`make_with`], [`register`] |
//! | make many by a prefix, such as `gym:` | [`Provider`], [`register_provider`] |
//! | step many at once | [`VecEnv`], [`NativeVecEnv`], [`make_vec`] |
//! | check one | [`check`] |
//! | draw random numbers as NumPy does | [`EnvRng`] |
//!
//! ```
//! use relax_envs::{ActionRef, EnvRng, make};
//!
//! let mut env = make("CartPole-v1", &Default::default())?;
//! let mut rng = EnvRng::from_seed(42);
//! let mut observation = [0.0; 4];
//! env.reset(&mut rng, &mut observation)?;
//! assert_eq!(observation, [0.027395604, -0.006112156, 0.035859793, 0.019736802]);   // Gymnasium's reset(seed=42)
//! let step = env.step(ActionRef::Discrete(1), &mut rng, &mut observation)?;
//! assert_eq!(step.reward, 1.0);
//! # Ok::<(), relax_envs::EnvError>(())
//! ```

#[cfg(feature = "box2d")]
pub mod box2d;
mod budget;
pub mod canvas;
mod catch;
pub mod check;
pub mod classic;
mod env;
mod error;
mod frame;
#[cfg(feature = "gym")]
pub mod gym;
mod kwargs;
mod limits;
mod masks;
pub mod minigrid;
#[cfg(feature = "mujoco")]
pub mod mujoco;
mod native_vec_env;
mod provider;
mod python_provider;
mod registry;
mod space;
mod state;
mod tic_tac_toe;
mod vec_env;
mod vectorization;
mod watch;
pub mod wrappers;

pub use budget::{Budget, budget};
pub use catch::{Catch, CatchView};
pub use env::{Action, ActionRef, Attribute, Env, Step};
pub use error::EnvError;
pub use frame::Frame;
pub use kwargs::{Kwarg, KwargReader, Kwargs};
pub use masks::check_action_mask;
pub use native_vec_env::NativeVecEnv;
pub use provider::{Provider, is_python, provider, providers, register_provider};
pub use registry::{
    Constructor, EnvSpec, MakeOptions, ids, known_limit, make, make_vec, make_with, missing_ids, register,
    spec,
};
pub use relax_rng::EnvRng;
pub use space::Space;
pub use state::StateReader;
pub use tic_tac_toe::TicTacToe;
pub use vec_env::{Actions, SlotInfo, StepBuffers, VecEnv, VecEnvState};
pub use vectorization::Vectorization;
pub use watch::{Inside, Watch};
pub use wrappers::WrapperConfig;
