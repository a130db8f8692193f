//! Whole runs with continuous actions: the same numbers with every number of workers, and after every interruption.
use relax_nn::StateDict;
use relax_rl::config::Config;
use relax_rl::train::{TrainOptions, latest_checkpoint, resume, train};
use relax_rl::{checkpoint, evaluate};
use std::path::Path;
use std::sync::Arc;

/// Truncated episodes, a replay that wraps round and is normalised at use, a noise process with a memory.
const DDPG: &str = r#"
    env = { id = "Pendulum-v1", max_episode_steps = 30 }
    rollout = { envs = 3, steps = 5 }
    agent = { kind = "ddpg", hidden = [8], exploration = { process = "ornstein-uhlenbeck", std = 0.3 } }
    run = { env_steps = 600, evaluation_episodes = 2 }
    [learner]
    normalize_observations = true
    normalize_rewards = true
    [learner.replay]
    capacity = 200
    batch_size = 16
    warm_up_steps = 100
    updates_per_step = 0.4
"#;
/// The same with a step of the actor that is sometimes due in the middle of a rollout's.
const TD3: &str = r#"
    env = { id = "Pendulum-v1", max_episode_steps = 30 }
    rollout = { envs = 3, steps = 5 }
    agent = { kind = "td3", hidden = [8], critic_hidden = [6] }
    run = { env_steps = 600, evaluation_episodes = 2 }
    [learner]
    policy_delay = 4
    [learner.replay]
    capacity = 200
    batch_size = 16
    warm_up_steps = 100
    updates_per_step = 0.4
"#;
/// Actions that are stored before their squash, and a temperature that is learned.
const SAC: &str = r#"
    env = { id = "Pendulum-v1", max_episode_steps = 30 }
    rollout = { envs = 3, steps = 5 }
    agent = { kind = "sac", hidden = [8], critic_hidden = [6] }
    run = { env_steps = 600, evaluation_episodes = 2 }
    [learner.replay]
    capacity = 200
    batch_size = 16
    warm_up_steps = 100
    updates_per_step = 0.4
"#;
/// Every part of the critic's loss.
const RELAX_DDPG: &str = r#"
    env = { id = "Pendulum-v1", max_episode_steps = 30 }
    rollout = { envs = 3, steps = 5 }
    agent = { kind = "relax-ddpg", hidden = [8], critic_hidden = [6] }
    run = { env_steps = 600, evaluation_episodes = 2 }
    [learner]
    normalize_observations = true
    normalize_rewards = true
    [learner.critic]
    variance = 0.001
    [learner.replay]
    capacity = 200
    batch_size = 16
    warm_up_steps = 100
    updates_per_step = 0.4
"#;
/// Both normalisers and a standard deviation that depends on the state.
const LAX: &str = r#"
    env = { id = "MountainCarContinuous-v0", max_episode_steps = 30 }
    rollout = { envs = 3, steps = 5 }
    agent = { kind = "relax-a2c", hidden = [8], state_dependent_std = true, initial_log_std = 0.5 }
    learner = { normalize_observations = true, normalize_rewards = true }
    run = { env_steps = 600, evaluation_episodes = 2 }
"#;

fn options(out: &Path) -> TrainOptions {
    TrainOptions { out: out.to_owned(), quiet: true, stop: Default::default() }
}

fn config(text: &str, overrides: &[&str]) -> Config {
    let overrides: Vec<String> = overrides.iter().map(|&one| one.to_owned()).collect();
    Config::from_toml(text, "test", &overrides).unwrap()
}

/// Everything of a run's last checkpoint but the clock, and the rows of its metrics without their times.
fn outcome(dir: &Path) -> (StateDict, Vec<String>) {
    let (_, state) = checkpoint::load(&latest_checkpoint(dir)).unwrap();
    let mut kept = StateDict::new();
    for (name, tensor) in state.iter() {
        if name != "clock" && name != "log_positions" {
            kept.insert(name, tensor.clone());
        }
    }
    let metrics = std::fs::read_to_string(dir.join("metrics.csv")).unwrap();
    let timeless = |line: &str| line.rsplitn(3, ',').last().unwrap_or_default().to_owned();
    (kept, metrics.lines().map(timeless).collect())
}

#[test]
fn the_number_of_workers_changes_no_number() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [("ddpg", DDPG), ("td3", TD3), ("sac", SAC), ("relax-ddpg", RELAX_DDPG), ("lax", LAX)]
    {
        let run = |workers: u32| {
            let dir = folder.path().join(format!("{name}-{workers}"));
            let workers = format!("rollout.workers={workers}");
            train(&config(text, &[&workers]), &options(&dir)).unwrap();
            outcome(&dir)
        };
        let alone = run(0);
        assert!(alone.1.len() > 30, "{name}");
        for workers in [1, 2, 3] {
            assert!(run(workers) == alone, "{name} with {workers} workers");
        }
    }
}

#[test]
fn an_interrupted_run_continues_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [("ddpg", DDPG), ("td3", TD3), ("sac", SAC), ("relax-ddpg", RELAX_DDPG), ("lax", LAX)]
    {
        let whole = folder.path().join(name);
        // The parts have budgets of their own, and schedules would end with them.
        let constant = "learner.anneal=false";
        train(&config(text, &[constant]), &options(&whole)).unwrap();
        // Within the warm-up; in the middle of an episode, the replay not yet full; after it has wrapped round.
        for first in ["run.env_steps=45", "run.env_steps=165", "run.env_steps=405"] {
            let parts = folder.path().join(format!("{name}-{first}"));
            train(&config(text, &[constant, first, "run.evaluation_episodes=0"]), &options(&parts)).unwrap();
            let rest = ["run.env_steps=600".to_owned(), "run.evaluation_episodes=2".to_owned()];
            resume(&parts, &rest, true, &Arc::default()).unwrap();
            let (whole, parts) = (outcome(&whole), outcome(&parts));
            assert!(whole.1 == parts.1, "{name} {first}: metrics differ");
            for ((name, a), (_, b)) in whole.0.iter().zip(parts.0.iter()) {
                // The first part, which ended without an evaluation, went by the returns of training.
                assert!(a == b || name == "best", "{first}: {name} differs");
            }
        }
    }
}

#[test]
fn a_replay_smaller_than_a_minibatch_is_drawn_from_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [("ddpg", DDPG), ("td3", TD3), ("sac", SAC)] {
        let dir = folder.path().join(name);
        let sets = ["learner.replay.capacity=8", "run.env_steps=300"];
        train(&config(text, &sets), &options(&dir)).unwrap();
        let metrics = outcome(&dir).1;
        assert!(metrics.last().is_some_and(|row| !row.contains("inf")), "{name}: {metrics:?}");
    }
}

#[test]
fn evaluation_uses_the_normaliser_and_leaves_it_alone() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("lax");
    train(&config(LAX, &[]), &options(&dir)).unwrap();
    let before = outcome(&dir);
    let evaluation = evaluate::EvalOptions { episodes: 3, deterministic: true, render: None, seed: 1 };
    let once = evaluate::evaluate(&dir, &evaluation).unwrap();
    assert_eq!(evaluate::evaluate(&dir, &evaluation).unwrap(), once);
    assert!(outcome(&dir) == before);
    let names: Vec<&str> = before.0.iter().map(|(name, _)| name).collect();
    for name in ["agent.normalizer.observations", "agent.normalizer.rewards"] {
        assert!(names.contains(&name), "{names:?}");
    }
}

#[test]
fn what_an_agent_cannot_do_is_said_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("run");
    let discrete = "env.id=CartPole-v1";
    for (text, set, message) in [
        (DDPG, discrete, "finite bounds"),
        (TD3, discrete, "\"td3\" acts in a Box with finite bounds"),
        (SAC, discrete, "\"sac\" acts in a Box with finite bounds"),
        (RELAX_DDPG, discrete, "Box spaces"),
    ] {
        let error = train(&config(text, &[set]), &options(&dir)).unwrap_err();
        assert!(error.to_string().contains(message), "{set}: {error}");
        assert_eq!(error.exit_code(), 2);
        assert!(!dir.exists());
    }
}
