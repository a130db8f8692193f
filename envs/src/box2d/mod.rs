//! Gymnasium's Box2D games, native: the landers and the walker, on Box2D 2.3.1 compiled into the program.
//!
//! | file | holds |
//! | --- | --- |
//! | `env.rs` | [`Box2dEnv`]: what the games have in common |
//! | `lander.rs`, `walker.rs` | the games |
//! | `scene.rs` | a Box2D world behind safe methods |
//! | `../../box2d` | Box2D's sources, and our C functions around them |
//!
//! Up to the first contact the numbers are Gymnasium's, bit for bit; in a contact, Gymnasium's own build of Box2D rounds
//! otherwise, in the seventh digit (docs/worlds.md).
#![allow(unsafe_code)] // a foreign library; each use says why it is sound

mod env;
mod lander;
mod scene;
mod walker;

pub use env::Box2dEnv;

use crate::EnvSpec;

/// What the feature adds to the registry: limits and thresholds are Gymnasium's.
pub(crate) fn specs() -> Vec<EnvSpec> {
    vec![
        EnvSpec::new(lander::ID, "Land on the moon between two flags with three engines", |kwargs| {
            Ok(Box::new(lander::make(kwargs, false)?))
        })
        .max_episode_steps(1000)
        .reward_threshold(200.0),
        EnvSpec::new(
            lander::CONTINUOUS_ID,
            "Land on the moon between two flags with throttled engines",
            |kwargs| Ok(Box::new(lander::make(kwargs, true)?)),
        )
        .max_episode_steps(1000)
        .reward_threshold(200.0),
        EnvSpec::new(walker::ID, "Walk over uneven ground on two legs", |kwargs| {
            Ok(Box::new(walker::make(kwargs)?))
        })
        .max_episode_steps(1600)
        .reward_threshold(300.0),
    ]
}
