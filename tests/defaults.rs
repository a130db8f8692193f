//! Runs without settings: started from nothing but names, ended by the clock, begun with an earlier run's policy.

use std::time::Instant;

use super::common::{config, numbers, options, place, relax, tensors, trained};
use relax_rl::train::{latest_checkpoint, train};

const SMALL: &str = r#"
[env]
id = "CartPole-v1"
[agent]
kind = "a2c"
hidden = [16]
[run]
env_steps = 20_000
evaluation_episodes = 5
"#;

#[test]
fn the_program_needs_no_file() {
    for agent in ["reinforce", "a2c", "relax-a2c"] {
        let place = place();
        let out = place.run.to_str().unwrap();
        let arguments =
            ["train", "--env", "CartPole-v1", "--agent", agent, "--steps", "3000", "-q", "--out", out];
        let done = relax().args(arguments).output().unwrap();
        assert!(done.status.success(), "{agent}: {}", String::from_utf8_lossy(&done.stderr));
        let text = std::fs::read_to_string(place.run.join("config.toml")).unwrap();
        assert!(text.contains("env_steps = 3000"), "{text}");
    }
}

#[test]
fn the_clock_ends_a_run_with_its_schedule_at_the_end() {
    let place = place();
    let started = Instant::now();
    let text = "[env]\nid = 'CartPole-v1'\n[agent]\nkind = 'a2c'\nhidden = [16]\n";
    let config = config(text, &["run.seconds=1.5"]);
    let outcome = train(&config, &options(&place.run)).unwrap();
    assert!(!outcome.interrupted && outcome.summary.evaluation.is_some());
    assert!(started.elapsed().as_secs_f64() >= 1.5 && outcome.summary.env_steps > 1000);
    let rates = numbers(&place.run.join("metrics.csv"), "learning_rate");
    let (first, last) = (rates[0], rates[rates.len() - 1]);
    assert!(first > 0.5 * 3e-3 && last < 0.5 * first && last >= 0.0, "{first} {last}");
}

#[test]
fn a_run_begins_with_the_policy_of_another() {
    let first = trained(&config(SMALL, &[]));
    let place = place();
    let from = format!("run.from='{}'", first.run.display());
    // With a learning rate that moves nothing the policy is the earlier one's.
    let still =
        [&*from, "run.env_steps=4000", "learner.learning_rate=1e-30", "agent.kind=relax-a2c", "run.seed=9"];
    train(&config(SMALL, &still), &options(&place.run)).unwrap();
    let learned = |run: &std::path::Path| tensors(&latest_checkpoint(run))["agent.policy.parameters"].clone();
    assert_eq!(learned(&place.run), learned(&first.run));
    let returns = |run: &std::path::Path| numbers(&run.join("episodes.csv"), "return");
    let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
    let (fresh, going_on) = (returns(&first.run), returns(&place.run));
    assert!(mean(&going_on) > 3.0 * mean(&fresh[..20]), "{going_on:?}");
}

#[test]
fn other_spaces_and_other_networks_are_refused_before_anything_is_written() {
    let first = trained(&config(SMALL, &["run.env_steps=2000"]));
    let from = format!("run.from='{}'", first.run.display());
    for (set, reason) in [
        ("env.id=Acrobot-v1", "observations of"),
        ("agent.hidden=[17]", "does not fit"),
        ("learner.normalize_observations=false", "does not fit"),
        ("run.from=nowhere", "nowhere"),
    ] {
        let place = place();
        let error = train(&config(SMALL, &[&from, set]), &options(&place.run)).unwrap_err();
        assert!(error.to_string().contains(reason), "{set}: {error}");
        assert_eq!(error.exit_code(), 2, "{set}");
        assert!(!place.run.join("config.toml").exists());
    }
}
