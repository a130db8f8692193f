//! How long people train on an environment: the customary numbers of environment steps.

use crate::registry;

/// Environment steps that learn a task with settings that suit it, and with which results are published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// For agents that learn from each step once.
    pub on_policy: u64,
    /// For agents that learn from stored steps again and again, and so need fewer of them.
    pub replay: u64,
}

/// Names without version, and thousands of steps: `n_timesteps` of Stable-Baselines3's Zoo (DLR-RM/rl-baselines3-zoo,
/// `hyperparams/`, read at c6c209e) for A2C, or PPO for LunarLander (A2C's fifth of it is for settings tuned to it) and for the last
/// three, and for DDPG, or DQN where actions are discrete, or SAC for MuJoCo's tasks.
const CUSTOMARY: [(&str, u64, u64); 17] = [
    ("CartPole", 500, 50),
    ("Acrobot", 500, 100),
    ("MountainCar", 1000, 120),
    ("MountainCarContinuous", 100, 300),
    ("Pendulum", 1000, 20),
    ("LunarLander", 1000, 100),
    ("LunarLanderContinuous", 5000, 300),
    ("BipedalWalker", 5000, 1000),
    ("Ant", 1000, 1000),
    ("HalfCheetah", 1000, 1000),
    ("Hopper", 1000, 1000),
    ("Humanoid", 2000, 2000),
    ("Swimmer", 1000, 1000),
    ("Walker2d", 1000, 1000),
    ("InvertedDoublePendulum", 1000, 1000),
    ("InvertedPendulum", 1000, 1000),
    ("Reacher", 1000, 1000),
];

/// The customary budget of the environment `id`: the one it was registered with, or else that of its name, whoever makes
/// it and in whichever version. Nothing is built or asked of Python for it.
///
/// ```
/// use relax_envs::budget;
/// assert_eq!(budget("Pendulum-v1").map(|budget| budget.replay), Some(20_000));
/// assert_eq!(budget("gym:HalfCheetah-v5"), budget("gym:HalfCheetah-v4"));
/// assert_eq!(budget("Unheard-of-v0"), None);
/// ```
#[must_use]
pub fn budget(id: &str) -> Option<Budget> {
    if let Some(budget) = registry::registered_budget(id) {
        return Some(budget);
    }
    let name = id.rsplit([':', '/']).next().unwrap_or(id);
    let name = name.rsplit_once("-v").map_or(name, |(name, _)| name);
    let found = CUSTOMARY.iter().find(|(known, ..)| *known == name)?;
    Some(Budget { on_policy: found.1 * 1000, replay: found.2 * 1000 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EnvSpec, classic::CartPole, register};

    #[test]
    fn prefix_and_version_do_not_matter() {
        let pendulum = Budget { on_policy: 1_000_000, replay: 20_000 };
        for id in ["Pendulum-v1", "gym:Pendulum-v1", "Pendulum-v0", "gym:some/Pendulum-v1"] {
            assert_eq!(budget(id), Some(pendulum), "{id}");
        }
        for id in ["", ":", "-v1", "gym:", "Pendulum2-v1", "CartPoleX"] {
            assert_eq!(budget(id), None, "{id}");
        }
    }

    #[test]
    fn what_an_environment_was_registered_with_wins() {
        let spec =
            EnvSpec::new("Budgeted/CartPole-v1", "for this test", |_| Ok(Box::new(CartPole::new(false))));
        let own = Budget { on_policy: 7, replay: 3 };
        assert!(register(spec.budget(own)).is_ok());
        assert_eq!(budget("Budgeted/CartPole-v1"), Some(own));
    }
}
