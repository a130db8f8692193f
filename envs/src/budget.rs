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

/// Names without version, and steps: `max_episode_steps` of Gymnasium's own environments (`gymnasium/envs/__init__.py`, 1.4.0), the same in
/// all versions since v2 of MuJoCo's.
const LIMITS: [(&str, u32); 24] = [
    ("CartPole", 500),
    ("Acrobot", 500),
    ("MountainCar", 200),
    ("MountainCarContinuous", 999),
    ("Pendulum", 200),
    ("LunarLander", 1000),
    ("LunarLanderContinuous", 1000),
    ("BipedalWalker", 1600),
    ("BipedalWalkerHardcore", 2000),
    ("CarRacing", 1000),
    ("FrozenLake", 100),
    ("FrozenLake8x8", 200),
    ("Taxi", 200),
    ("Ant", 1000),
    ("HalfCheetah", 1000),
    ("Hopper", 1000),
    ("Humanoid", 1000),
    ("HumanoidStandup", 1000),
    ("InvertedDoublePendulum", 1000),
    ("InvertedPendulum", 1000),
    ("Pusher", 100),
    ("Reacher", 50),
    ("Swimmer", 1000),
    ("Walker2d", 1000),
];

/// `gym:some/Name-v1` without what stands before and after the name.
fn plain_name(id: &str) -> &str {
    let name = id.rsplit([':', '/']).next().unwrap_or(id);
    name.rsplit_once("-v").map_or(name, |(name, _)| name)
}

/// The time limit that Gymnasium gives its environment of the name in `id`, whether or not this program has it built in: what depends on
/// it must not depend on cargo's features.
pub(crate) fn gymnasiums_limit(id: &str) -> Option<u32> {
    let name = plain_name(id);
    LIMITS.iter().find(|(known, _)| *known == name).map(|&(_, steps)| steps)
}

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
    let name = plain_name(id);
    let found = CUSTOMARY.iter().find(|(known, ..)| *known == name)?;
    Some(Budget { on_policy: found.1 * 1000, replay: found.2 * 1000 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EnvSpec, classic::CartPole, register};

    #[test]
    fn limits_are_those_of_the_native_environments() {
        let ids = ["CartPole-v1", "Acrobot-v1", "MountainCar-v0", "MountainCarContinuous-v0", "Pendulum-v1"];
        let features =
            ["LunarLander-v3", "LunarLanderContinuous-v3", "BipedalWalker-v3", "HalfCheetah-v5", "Hopper-v5"];
        let more = ["Walker2d-v5", "Swimmer-v5", "InvertedPendulum-v5"];
        let native =
            ids.iter().chain(&features).chain(&more).filter_map(|id| Some((id, registry::spec(id).ok()?)));
        let mut compared = 0;
        for (id, spec) in native {
            assert_eq!(gymnasiums_limit(id), spec.max_episode_steps, "{id}");
            compared += 1;
        }
        assert!(compared >= ids.len());
        assert_eq!(["gym:Reacher-v5", "gym:mine:Own-v0"].map(gymnasiums_limit), [Some(50), None]);
    }

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
