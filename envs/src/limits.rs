//! Time limits of environments that this program need not have built in.

/// Steps, and Gymnasium's own environments that are truncated after so many: `max_episode_steps` of its registry (1.4.0), but for those
/// that every build has natively.
const GYMNASIUM: [(u32, &[&str]); 6] = [
    (50, &["Reacher-v4", "Reacher-v5"]),
    (100, &["FrozenLake-v1", "Pusher-v4", "Pusher-v5"]),
    (200, &["CartPole-v0", "FrozenLake8x8-v1", "Taxi-v4"]),
    (
        1000,
        &[
            "Ant-v4",
            "Ant-v5",
            "CarRacing-v3",
            "HalfCheetah-v4",
            "HalfCheetah-v5",
            "Hopper-v4",
            "Hopper-v5",
            "Humanoid-v4",
            "Humanoid-v5",
            "HumanoidStandup-v4",
            "HumanoidStandup-v5",
            "InvertedDoublePendulum-v4",
            "InvertedDoublePendulum-v5",
            "InvertedPendulum-v4",
            "InvertedPendulum-v5",
            "LunarLander-v3",
            "LunarLanderContinuous-v3",
            "Swimmer-v4",
            "Swimmer-v5",
            "Walker2d-v4",
            "Walker2d-v5",
        ],
    ),
    (1600, &["BipedalWalker-v3"]),
    (2000, &["BipedalWalkerHardcore-v3"]),
];

/// The limit that Gymnasium gives its environment `name`, version included, whether or not this program has it built in: what depends on a
/// limit must not depend on cargo's features.
pub(crate) fn of_gymnasium(name: &str) -> Option<u32> {
    GYMNASIUM.iter().find(|(_, names)| names.contains(&name)).map(|&(steps, _)| steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_count() {
        assert_eq!(
            ["CartPole-v0", "CartPole-v1", "Reacher-v5", "Reacher-v2"].map(of_gymnasium),
            [Some(200), None, Some(50), None]
        );
    }
}
