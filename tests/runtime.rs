//! What a run does to the letter: its budget, its logs, its end; and the identities between agents over whole runs.

use std::collections::BTreeMap;
use std::path::Path;

use crate::common::{choice, columns, config, latest, numbers, place, test_env, train_in, trained, weights};
use relax_envs::{Space, Step};
use relax_nn::StateTensor;
use relax_rl::checkpoint;
use relax_rl::evaluate::{EvalOptions, evaluate};
use relax_rl::train::best_checkpoint;

const RUN: &str = r#"
[env]
id = "CartPole-v1"
[agent]
kind = "a2c"
hidden = [8]
[rollout]
envs = 6
steps = 10
workers = 0
[learner]
learning_rate = 1e-2
[run]
env_steps = 3_000
evaluation_episodes = 0
"#;

/// The logs agree with the budget, with one another and with the checkpoint.
#[track_caller]
fn check_logs(dir: &Path, budget: u64, envs: usize, what: &str) {
    let metrics = dir.join("metrics.csv");
    let steps = numbers(&metrics, "env_steps");
    assert_eq!(steps.last().copied(), Some(budget as f64), "{what}: the last update ends with the budget");
    let mut before = 0.0;
    for &after in &steps {
        assert!(after > before, "{what}: every update has steps of its own");
        before = after;
    }
    let updates: Vec<f64> = (1..=steps.len()).map(|i| i as f64).collect();
    assert_eq!(numbers(&metrics, "update"), updates, "{what}");

    let episodes = dir.join("episodes.csv");
    let (lengths, returns) = (numbers(&episodes, "length"), numbers(&episodes, "return"));
    assert_eq!(lengths, returns, "{what}: CartPole pays 1 a step");
    let count: Vec<f64> = (1..=lengths.len()).map(|i| i as f64).collect();
    assert_eq!(numbers(&episodes, "episode"), count, "{what}");
    assert_eq!(numbers(&metrics, "episodes").last().copied(), Some(lengths.len() as f64), "{what}");

    // Steps of finished episodes and of those under way make the budget, slot by slot as far as the log goes.
    let (_, state) = checkpoint::load(&latest(dir)).unwrap();
    let Ok(StateTensor::U64(open)) = state.get("actors.lengths") else { panic!("{what}: no lengths") };
    assert_eq!(open.len(), envs, "{what}");
    let total = lengths.iter().sum::<f64>() + open.iter().sum::<u64>() as f64;
    assert_eq!(total, budget as f64, "{what}: no step is lost or counted twice");
    let mut of_slot = BTreeMap::<u64, f64>::new();
    let slots = numbers(&episodes, "slot");
    for ((slot, length), end) in slots.iter().zip(&lengths).zip(numbers(&episodes, "env_steps")) {
        let sum = of_slot.entry(*slot as u64).or_default();
        *sum += length;
        assert!(*sum <= end && end <= budget as f64, "{what}: slot {slot} cannot be ahead of the run");
    }
    assert!(of_slot.keys().all(|&slot| slot < envs as u64), "{what}");
    if let Some(mean) = numbers(&metrics, "mean_return_100").last().filter(|mean| !mean.is_nan()) {
        let last = &returns[returns.len().saturating_sub(100)..];
        let expected = last.iter().sum::<f64>() / last.len() as f64;
        assert!((mean - expected).abs() < 1e-9, "{what}: {mean} and {expected}");
    }
}

#[test]
fn the_budget_is_used_to_the_step() {
    // 1, less than the environments, not a multiple of 6, not of 60, a multiple of both.
    for budget in [1, 5, 7, 61, 1_234, 2_999, 3_000] {
        for workers in [0, 2, 3] {
            let (steps, threads) = (format!("run.env_steps={budget}"), format!("rollout.workers={workers}"));
            let sets = [steps.as_str(), &threads];
            for more in [&["rollout.mode=steps"][..], &["rollout.mode=episodes", "agent.kind=reinforce"]] {
                let what = format!("{sets:?} {more:?}");
                let place = place();
                let outcome = train_in(&place, &config(RUN, &[&sets, more].concat()));
                assert_eq!(outcome.summary.env_steps, budget, "{what}");
                check_logs(&place.run, budget, 6, &what);
            }
        }
    }
}

#[test]
fn batches_are_as_large_as_configured() {
    let place = trained(&config(RUN, &["run.env_steps=3_010"]));
    let steps = numbers(&place.run.join("metrics.csv"), "env_steps");
    let expected: Vec<f64> = (1..=50).map(|i| 60.0 * f64::from(i)).chain([3_010.0]).collect();
    assert_eq!(steps, expected, "whole batches, then what is left, shared out");
}

/// In whole episodes, every slot ends one episode an update.
#[test]
fn whole_episodes_are_whole() {
    let place =
        trained(&config(RUN, &["rollout.mode=episodes", "agent.kind=reinforce", "rollout.workers=2"]));
    let finished = numbers(&place.run.join("metrics.csv"), "episodes");
    for (i, &episodes) in finished.iter().enumerate().take(finished.len() - 8) {
        assert_eq!(episodes, 6.0 * (i + 1) as f64);
    }
}

/// RELAX-A2C whose residual enters with gain 0 is A2C, bit for bit, over a whole run.
#[test]
fn a_gain_of_zero_is_a2c() {
    for (env, noise, objective) in [
        ("CartPole-v1", "coupled", "parameters"),
        ("CartPole-v1", "independent", "weights"),
        ("Pendulum-v1", "coupled", "parameters"),
    ] {
        let env = format!("env.id={env}");
        let more = [format!("agent.noise={noise}"), format!("agent.variance_objective={objective}")];
        let sets = [env.as_str(), "rollout.steps=100", "rollout.envs=8", "run.env_steps=5_003"];
        let relax = ["agent.kind=relax-a2c", "agent.gain=0", &more[0], &more[1]];
        let (a2c, relax) =
            (trained(&config(RUN, &sets)), trained(&config(RUN, &[&sets[..], &relax].concat())));
        for array in ["agent.policy.parameters", "agent.critic.parameters"] {
            let bits = |dir: &Path| weights(dir, array).iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&a2c.run), bits(&relax.run), "{sets:?}: {array}");
        }
        let episodes = |dir: &Path| columns(&dir.join("episodes.csv"));
        assert_eq!(episodes(&a2c.run), episodes(&relax.run), "{sets:?}");
        let (a, b) = (columns(&a2c.run.join("metrics.csv")), columns(&relax.run.join("metrics.csv")));
        for (name, cells) in &a {
            if !["gain", "control_variate_loss"].contains(&name.as_str()) {
                assert_eq!(cells, &b[name], "{sets:?}: {name}");
            }
        }
        let ratio = numbers(&relax.run.join("metrics.csv"), "variance_ratio");
        assert!(ratio.iter().all(|&ratio| ratio == 1.0), "{ratio:?}");
    }
}

/// r starts at exactly 0: whatever the gain, the first update is A2C's, and the second is not.
#[test]
fn the_first_update_is_a2cs() {
    let sets = ["rollout.steps=100", "rollout.envs=8"];
    for noise in ["coupled", "independent"] {
        let noise = format!("agent.noise={noise}");
        for (steps, same) in [("run.env_steps=800", true), ("run.env_steps=1_600", false)] {
            let a2c = trained(&config(RUN, &[&sets[..], &[steps]].concat()));
            let relax = ["agent.kind=relax-a2c", "agent.gain=1", &noise, steps];
            let relax = trained(&config(RUN, &[&sets[..], &relax].concat()));
            let array = "agent.policy.parameters";
            assert_eq!(weights(&a2c.run, array) == weights(&relax.run, array), same, "{noise}, {steps}");
        }
    }
}

/// `best` is the policy whose evaluation was best, and evaluating it again gives that mean.
#[test]
fn the_best_policy_is_kept() {
    let sets = [
        "run.env_steps=12_000",
        "run.evaluation_every_env_steps=1_000",
        "run.evaluation_episodes=5",
        "run.seed=9",
    ];
    let place = trained(&config(RUN, &sets));
    let means = numbers(&place.run.join("evaluations.csv"), "mean");
    assert_eq!(means.len(), 12);
    let best = means.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let options = EvalOptions { episodes: 5, deterministic: true, render: None, seed: 9 };
    let again = evaluate(&place.run, &options).unwrap();
    assert_eq!(again.returns.iter().sum::<f64>() / 5.0, best, "{means:?}");
    let (_, state) = checkpoint::load(&best_checkpoint(&place.run)).unwrap();
    let at = numbers(&place.run.join("evaluations.csv"), "env_steps")
        [means.iter().position(|&mean| mean == best).unwrap()];
    assert_eq!(state.u64_array("counters").map(|[_, steps]| steps as f64), Ok(at));
    assert_eq!(evaluate(&place.run, &options).unwrap(), again, "an evaluation can be repeated");

    let none = trained(&config(RUN, &[&sets[..], &["run.keep_best=false"]].concat()));
    assert!(!best_checkpoint(&none.run).exists());
}

/// An environment with a threshold that any policy reaches: the run ends with the 100th episode's batch.
#[test]
fn a_solved_run_stops() {
    let spec = test_env(
        "Easy-v0",
        1,
        Space::discrete(2),
        |state, _| state.observation[0] = 0.0,
        |state, action, _| {
            let _ = choice(action);
            Ok(Step { reward: 2.0, terminated: state.t == 2, truncated: false })
        },
    );
    relax_envs::register(spec.reward_threshold(6.0)).unwrap();
    let place = place();
    let sets = ["env.id=Easy-v0", "run.stop_when_solved=true", "run.evaluation_episodes=3"];
    let outcome = train_in(&place, &config(RUN, &sets));
    let solved = outcome.summary.solved.unwrap();
    // Six slots end their 17th episodes, the 97th to the 102nd of the run, in level 50: rows 301 to 306 of batches of 60.
    assert_eq!((solved.threshold, solved.episodes, solved.env_steps), (6.0, 100, 306));
    assert_eq!(outcome.summary.env_steps, 360);
    assert_eq!(
        outcome.summary.evaluation.map(|evaluation| (evaluation.mean, evaluation.std)),
        Some((6.0, 0.0))
    );
    assert_eq!(outcome.summary.first_195, None);
}
