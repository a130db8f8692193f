//! Each complaint of the health report: on a run that has the illness, and not on one that has not.

use super::common::{config, options, place};
use relax_rl::train::train;

const CART_POLE: &str = r#"
[env]
id = "CartPole-v1"
[agent]
kind = "a2c"
hidden = [16]
[run]
env_steps = 20_000
evaluation_episodes = 0
"#;

/// The complaints about a run.
#[track_caller]
fn health(text: &str, sets: &[&str]) -> Vec<String> {
    let place = place();
    let summary = train(&config(text, sets), &options(&place.run)).unwrap().summary;
    let written = std::fs::read_to_string(place.run.join("summary.json")).unwrap();
    assert!(summary.health.iter().all(|text| written.contains(&text[..20])));
    summary.health
}

/// That exactly one complaint contains `what`, and names the key `key`.
#[track_caller]
fn complains(found: &[String], what: &str, key: &str) {
    let hits: Vec<_> = found.iter().filter(|text| text.contains(what)).collect();
    assert!(hits.len() == 1 && hits[0].contains(key), "{what}: {found:?}");
}

#[test]
fn a_healthy_run_has_no_complaint() {
    assert_eq!(health(CART_POLE, &[]), Vec::<String>::new());
    let pendulum = ["env.id=Pendulum-v1", "run.env_steps=60_000"];
    assert_eq!(health(CART_POLE, &pendulum), Vec::<String>::new());
}

#[test]
fn a_policy_that_stops_exploring_is_named() {
    // Steps far too large make it certain of itself at once.
    let found = health(CART_POLE, &["learner.learning_rate=3", "learner.anneal=false"]);
    complains(&found, "stopped exploring", "learner.entropy");
}

#[test]
fn a_critic_no_better_than_a_constant_is_named() {
    let sets = ["learner.value_learning_rate=1e3", "learner.anneal=false"];
    complains(&health(CART_POLE, &sets), "no better than a constant", "raise learner.value_epochs");
}

#[test]
fn a_gradient_that_is_always_cut_short_is_named() {
    let sets = ["learner.normalize_rewards=false", "learner.reward_scale=1000", "env.id=Pendulum-v1"];
    complains(&health(CART_POLE, &sets), "gradient was clipped", "learner.max_grad_norm");
}

#[test]
fn returns_that_never_vary_are_named() {
    // No car is as fast as this goal asks for.
    let sets = ["env.id=MountainCar-v0", "env.kwargs.goal_velocity=1.0"];
    complains(&health(CART_POLE, &sets), "returned -200", "learner.entropy");
}

#[test]
fn batches_of_one_row_with_normalised_advantages_are_named() {
    // One episode of one step a batch: only the run shows it.
    let sets = [
        "rollout.mode=episodes",
        "rollout.envs=1",
        "env.max_episode_steps=1",
        "learner.normalize_advantages=true",
        "run.env_steps=100",
    ];
    complains(&health(CART_POLE, &sets), "had a single row", "rollout.envs");
    let found = health(CART_POLE, &["learner.normalize_advantages=true"]);
    assert!(!found.iter().any(|text| text.contains("single row")), "{found:?}");
}

#[test]
fn episodes_that_never_end_are_named() {
    let sets = ["env.id=Pendulum-v1", "env.max_episode_steps=300_000"];
    complains(&health(CART_POLE, &sets), "No episode ended", "env.max_episode_steps");
}

#[test]
fn a_warm_up_that_outlasts_the_run_is_named() {
    for kind in ["agent.kind=ddpg", "agent.kind=td3", "agent.kind=sac"] {
        let after = |steps: &str| {
            let single = ["rollout.envs=1", "rollout.steps=1", "rollout.workers=0"];
            health(CART_POLE, &[&["env.id=Pendulum-v1", kind, steps], &single[..]].concat())
        };
        complains(&after("run.env_steps=500"), "No gradient step", "warm_up_steps");
        let found = after("run.env_steps=1100");
        assert!(!found.iter().any(|text| text.contains("No gradient step")), "{kind}: {found:?}");
    }
}
