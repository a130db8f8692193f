//! MuJoCo's classic tasks, native: Gymnasium's models, observations and rewards on MuJoCo's own library, which is opened at
//! run time.
//!
//! | file | holds |
//! | --- | --- |
//! | `env.rs` | [`MujocoEnv`]: what the tasks have in common |
//! | `locomotion.rs`, `pendulums.rs`, `bodies.rs` | the tasks |
//! | `simulation.rs` | MuJoCo's model and data behind safe methods |
//! | `library.rs` | finding and opening the library |
//! | `fields.rs` | the few quantities that no function of the library returns |
//! | `render.rs`, `geoms.rs` | pictures |
//! | `assets/` | Gymnasium's models |
//!
//! States, observations and rewards were bit-equal to Gymnasium 1.4.0 with mujoco 3.17.0 (`tests/mujoco.rs`).
#![allow(unsafe_code)] // a foreign library; each use says why it is sound

mod bodies;
mod env;
mod fields;
mod geoms;
mod library;
mod locomotion;
mod pendulums;
mod render;
mod simulation;

pub use env::MujocoEnv;

use crate::{EnvError, EnvSpec, Kwargs};

type Make = fn(&Kwargs) -> Result<MujocoEnv, EnvError>;

/// Id, task, step limit and threshold (both Gymnasium's), constructor.
const TASKS: [(&str, &str, u32, Option<f64>, Make); 9] = [
    (bodies::ANT, "Walk forward on four legs", 1000, Some(6000.0), bodies::ant),
    (
        locomotion::HALF_CHEETAH,
        "Run forward on two legs in the plane",
        1000,
        Some(4800.0),
        locomotion::half_cheetah,
    ),
    (locomotion::HOPPER, "Hop forward on one leg without falling", 1000, Some(3800.0), locomotion::hopper),
    (bodies::HUMANOID, "Walk forward as a human figure", 1000, None, bodies::humanoid),
    (
        pendulums::INVERTED_DOUBLE_PENDULUM,
        "Balance two poles, one upon the other, on a cart",
        1000,
        Some(9100.0),
        pendulums::inverted_double_pendulum,
    ),
    (
        pendulums::INVERTED_PENDULUM,
        "Balance a pole on a cart by a continuous force",
        1000,
        Some(950.0),
        pendulums::inverted_pendulum,
    ),
    (pendulums::REACHER, "Move an arm's fingertip to a target", 50, Some(-3.75), pendulums::reacher),
    (locomotion::SWIMMER, "Swim forward by bending two joints", 1000, Some(360.0), locomotion::swimmer),
    (locomotion::WALKER, "Walk forward on two legs without falling", 1000, None, locomotion::walker),
];

/// What the feature adds to the registry.
pub(crate) fn specs() -> Vec<EnvSpec> {
    let spec = |(id, description, limit, threshold, make): (&str, &str, u32, Option<f64>, Make)| {
        let mut spec = EnvSpec::new(id, description, move |kwargs| Ok(Box::new(make(kwargs)?)));
        (spec.max_episode_steps, spec.reward_threshold) = (Some(limit), threshold);
        spec
    };
    TASKS.into_iter().map(spec).collect()
}

impl MujocoEnv {
    /// The task `id`, bare, without time limit and wrappers.
    ///
    /// # Errors
    ///
    /// [`EnvError::UnknownEnv`] for another id, wrong arguments, or no MuJoCo.
    pub fn make(id: &str, kwargs: &Kwargs) -> Result<Self, EnvError> {
        match TASKS.iter().find(|task| task.0 == id) {
            Some((.., make)) => make(kwargs),
            None => Err(crate::registry::unknown(id, TASKS.iter().map(|task| task.0))),
        }
    }
}

/// MuJoCo's version, `3.17.0`.
///
/// # Errors
///
/// [`EnvError::MissingLibrary`]: there is no library, or one that cannot be used, with what to do.
pub fn version() -> Result<String, EnvError> {
    Ok(library::version_text(library::library()?.version))
}
