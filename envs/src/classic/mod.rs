//! The classic-control environments, bit-equal to Gymnasium 1.4.0: states, observations, rewards, ends, resets.
//!
//! Bit equality was checked on x86-64 Linux with glibc. It rests on `sin`, `cos` and `pow` of the platform's mathematical
//! library rounding as NumPy's do, which no standard promises elsewhere; everything else is exact arithmetic.

mod acrobot;
mod cart_pole;
mod mountain_car;
mod mountain_car_continuous;
pub(crate) mod numpy_math;
mod pendulum;
mod track;

pub use acrobot::Acrobot;
pub use cart_pole::CartPole;
pub use mountain_car::MountainCar;
pub use mountain_car_continuous::MountainCarContinuous;
pub use pendulum::Pendulum;

use crate::{EnvError, EnvSpec, Kwarg, KwargReader, Kwargs};

/// What the registry starts with: limits and thresholds are Gymnasium's. Random play is the mean of 5000 (MountainCarContinuous)
/// to 200 000 (CartPole) episodes, with standard errors of 0.03 (CartPole), 0.06, 0.08 (Acrobot) and 1.3 (Pendulum); Pendulum's
/// best return is that of `ddpg` in `docs/benchmarks.md`.
pub(crate) fn specs() -> Vec<EnvSpec> {
    vec![
        EnvSpec::new(cart_pole::ID, "Balance a pole on a cart pushed left or right", |kwargs| {
            let reader = KwargReader::new(cart_pole::ID, kwargs, &["sutton_barto_reward"])?;
            Ok(Box::new(CartPole::new(reader.bool("sutton_barto_reward", false)?)))
        })
        .max_episode_steps(500)
        .reward_threshold(475.0)
        .random_return(22.3),
        EnvSpec::new(acrobot::ID, "Swing two links up by a torque between them", |kwargs| {
            KwargReader::new(acrobot::ID, kwargs, &[])?;
            Ok(Box::new(Acrobot::new()))
        })
        .max_episode_steps(500)
        .reward_threshold(-100.0)
        .random_return(-498.8),
        EnvSpec::new(mountain_car::ID, "Rock a weak car out of a valley, in three ways", |kwargs| {
            let reader = KwargReader::new(mountain_car::ID, kwargs, &["goal_velocity"])?;
            Ok(Box::new(MountainCar::new(reader.float("goal_velocity", 0.0)?)))
        })
        .max_episode_steps(200)
        .reward_threshold(-110.0)
        .random_return(-200.0),
        EnvSpec::new(mountain_car_continuous::ID, "Rock a weak car out of a valley by any force", |kwargs| {
            let reader = KwargReader::new(mountain_car_continuous::ID, kwargs, &["goal_velocity"])?;
            Ok(Box::new(MountainCarContinuous::new(reader.float("goal_velocity", 0.0)?)))
        })
        .max_episode_steps(999)
        .reward_threshold(90.0)
        .random_return(-33.1),
        EnvSpec::new(pendulum::ID, "Swing a pendulum up by a weak torque; hold it", |kwargs| {
            let reader = KwargReader::new(pendulum::ID, kwargs, &["g"])?;
            Ok(Box::new(Pendulum::new(reader.float("g", 10.0)?)))
        })
        .max_episode_steps(200)
        .random_return(-1228.7)
        .best_return(-144.2),
    ]
}

/// The bounds `low` and `high` of the first state from a reset's options, as Gymnasium's classic control reads them.
fn reset_bounds(env: &str, options: &Kwargs, low: f64, high: f64) -> Result<(f64, f64), EnvError> {
    if options.is_empty() {
        return Ok((low, high));
    }
    let refuse = |reason: String| EnvError::ResetOption { env: env.to_owned(), reason };
    let [low, high] = reset_numbers(env, options, [("low", low), ("high", high)])?;
    if low > high {
        Err(refuse(format!("`low` is {low:?}, above `high`, {high:?}")))
    } else {
        Ok((low, high))
    }
}

/// Finite numbers by name from a reset's options; those that are not given are as here.
fn reset_numbers<const N: usize>(
    env: &str,
    options: &Kwargs,
    defaults: [(&str, f64); N],
) -> Result<[f64; N], EnvError> {
    let refuse = |reason: String| EnvError::ResetOption { env: env.to_owned(), reason };
    let names = defaults.map(|(name, _)| name);
    if let Some(key) = options.keys().find(|key| !names.contains(&key.as_str())) {
        return Err(refuse(format!("there is no `{key}`; there are {}", names.join(", "))));
    }
    let mut numbers = defaults.map(|(_, default)| default);
    for (number, name) in numbers.iter_mut().zip(names) {
        match options.get(name) {
            None => {}
            Some(Kwarg::Float(value)) if value.is_finite() => *number = *value,
            Some(Kwarg::Int(value)) => *number = *value as f64,
            Some(other) => return Err(refuse(format!("`{name}` must be a finite number, but is {other}"))),
        }
    }
    Ok(numbers)
}
