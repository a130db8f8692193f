//! An environment that fails stops the run with a message that says which, where and how to go on; nothing is left
//! hanging, and nothing on the disk is lost.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::common::{config, latest, options, place, test_env};
use relax_agents::role;
use relax_envs::{EnvError, EnvRng, Space, Step};
use relax_rl::error::Error;
use relax_rl::{checkpoint, train};

const RUN: &str = r#"
[env]
id = "set by the test"
[agent]
kind = "relax-a2c"
hidden = [8]
[rollout]
envs = 4
steps = 10
[run]
env_steps = 100_000
seed = 21
evaluation_episodes = 0
[checkpoint]
every_env_steps = 200
"#;

/// One test at a time, so that the threads can be counted.
static TURN: Mutex<()> = Mutex::new(());

const OK: Step = Step { reward: 1.0, terminated: false, truncated: false };

/// The seed of a slot, as the error message must name it.
fn seed_of(slot: usize) -> u64 {
    EnvRng::from_seed_sequence(21, &[role::ENVIRONMENTS, slot as u32]).next_u64() >> 32
}

/// Threads of this process that gather experience. Linux only; elsewhere none are found.
fn workers_left() -> usize {
    let count = || {
        let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
        let names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
        names.filter(|name| name.starts_with("worker-")).count()
    };
    // The system may list a thread for a moment after it has been joined; for longer on a machine that has much else to do.
    for _ in 0..10_000 {
        if count() == 0 {
            return 0;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    count()
}

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Trains in the environment `id`, whose `slot` fails; returns the message.
#[track_caller]
fn stops(id: &str, workers: usize, slot: usize, episode: usize, reason: &str) -> String {
    let place = place();
    let sets = [format!("env.id={id}"), format!("rollout.workers={workers}")];
    let config = config(RUN, &[&sets[0], &sets[1]]);
    let what = format!("{id}, {workers} workers");
    let error = train::train(&config, &options(&place.run)).expect_err(&what);
    assert!(matches!(error, Error::Runtime { .. }) && error.exit_code() == 1, "{what}: {error:?}");
    let message = error.to_string();
    let parts = [
        format!("`{id}`"),
        format!("slot {slot}, "),
        format!("seed {}, ", seed_of(slot)),
        format!("episode {episode} "),
        reason.to_owned(),
    ];
    for part in &parts {
        assert!(message.contains(part), "{what} should say {part:?}, but says: {message}");
    }
    assert_eq!(message.matches(reason).count(), 1, "{what} says it twice: {message}");
    let hint = error.hint().unwrap();
    let named = latest(&place.run).display().to_string();
    assert!(hint.contains(&named) && hint.contains("relax resume"), "{what}: {hint}");
    assert_eq!(workers_left(), 0, "{what}");

    // The checkpoint is whole, the logs hold what came before, and the run can be taken up again (and fail again).
    let (_, state) = checkpoint::load(&latest(&place.run)).unwrap();
    let [updates, steps] = state.u64_array("counters").unwrap();
    assert_eq!((updates, steps), (updates, 40 * updates), "{what}");
    let rows = crate::common::numbers(&place.run.join("metrics.csv"), "update").len() as u64;
    assert!(rows >= updates, "{what}: {rows} rows and {updates} updates");
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    assert!(train::resume(&place.run, &[], true, &stop).unwrap().interrupted, "{what}");
    message
}

/// The environment of slot 2 fails: environments are made in the order of the slots.
macro_rules! failing {
    ($id:literal, |$state:ident| $failure:expr) => {
        test_env(
            $id,
            2,
            Space::discrete(3),
            |state, _| state.observation.fill(0.5),
            |$state, _, _| {
                let fails = $state.instance % 4 == 2;
                // Episodes of 25 steps; the failure comes in the third of them.
                if fails && $state.episodes == 3 && $state.t == 5 {
                    $failure
                } else {
                    Ok(Step { terminated: $state.t == 24, ..OK })
                }
            },
        )
    };
}

#[test]
fn an_error() {
    let _turn = turn();
    let spec = failing!("Error-v0", |_state| Err(EnvError::Custom {
        env: "Error-v0".into(),
        source: "the motor is too hot".into()
    }));
    relax_envs::register(spec).unwrap();
    // One resume and one run make four environments each.
    let messages = [0, 1, 2, 4].map(|workers| stops("Error-v0", workers, 2, 2, "the motor is too hot"));
    assert!(messages.iter().all(|message| *message == messages[0]), "{messages:?}");
}

#[test]
fn a_panic() {
    let _turn = turn();
    relax_envs::register(failing!("Panic-v0", |state| panic!("index {} is out of range", state.t))).unwrap();
    for workers in [0, 2] {
        stops("Panic-v0", workers, 2, 2, "panicked: index 5 is out of range");
    }
}

#[test]
fn numbers_that_are_none() {
    let _turn = turn();
    relax_envs::register(failing!("NanReward-v0", |_state| Ok(Step { reward: f64::NAN, ..OK }))).unwrap();
    relax_envs::register(failing!("InfReward-v0", |_state| Ok(Step { reward: f64::INFINITY, ..OK })))
        .unwrap();
    // It is a number, but not one that agents can compute with; -1e39 would become −∞.
    relax_envs::register(failing!("HugeReward-v0", |_state| Ok(Step { reward: -1e39, ..OK }))).unwrap();
    let spec = failing!("NanObservation-v0", |state| {
        state.observation[1] = f32::NAN;
        Ok(OK)
    });
    relax_envs::register(spec).unwrap();
    for workers in [0, 2] {
        stops("NanReward-v0", workers, 2, 2, "reward is NaN");
        stops("InfReward-v0", workers, 2, 2, "reward is inf");
        stops("HugeReward-v0", workers, 2, 2, "reward is -1e39, which is beyond the single precision");
        stops("NanObservation-v0", workers, 2, 2, "observation[1] is NaN");
    }
}

/// All slots fail in the same step: the first of them is named, whatever the number of workers.
#[test]
fn all_at_once() {
    let _turn = turn();
    let spec = test_env(
        "AllFail-v0",
        1,
        Space::discrete(2),
        |_, _| {},
        |state, _, _| match state.t {
            77 => Err(EnvError::Custom { env: "AllFail-v0".into(), source: "power cut".into() }),
            _ => Ok(OK),
        },
    );
    relax_envs::register(spec).unwrap();
    for workers in [0, 1, 2, 3, 4] {
        stops("AllFail-v0", workers, 0, 0, "power cut");
    }
}

/// What fails before the run leaves no folder.
#[test]
fn an_environment_that_cannot_be_made() {
    let refuse = |_: &relax_envs::Kwargs| {
        Err(EnvError::Custom { env: "Never-v0".into(), source: "no such port".into() })
    };
    relax_envs::register(relax_envs::EnvSpec::new("Never-v0", "cannot be made", refuse)).unwrap();
    let place = place();
    let error = train::train(&config(RUN, &["env.id=Never-v0"]), &options(&place.run)).expect_err("refused");
    assert_eq!(error.exit_code(), 2);
    assert!(error.to_string().contains("no such port"), "{error}");
    assert!(!place.run.exists());
}

/// Rewards whose squares overflow: training stops, and the weights in the checkpoint are still finite.
#[test]
fn divergence() {
    let _turn = turn();
    let spec = test_env(
        "Huge-v0",
        1,
        Space::discrete(2),
        |state, rng| state.observation[0] = rng.random() as f32,
        |state, _, _| {
            // Modest at first, then absurd.
            let reward = if state.episodes > 60 { 1e38 } else { 1.0 };
            Ok(Step { reward, terminated: state.t == 9, truncated: false })
        },
    );
    relax_envs::register(spec).unwrap();
    for kind in ["a2c", "relax-a2c"] {
        let place = place();
        let kind = format!("agent.kind={kind}");
        let raw = "learner.normalize_rewards=false";
        let config = config(RUN, &["env.id=Huge-v0", &kind, "learner.gamma=1", raw]);
        let error = train::train(&config, &options(&place.run)).expect_err("diverges");
        assert_eq!(error.exit_code(), 1);
        let message = error.to_string();
        assert!(message.contains("is not finite") && message.contains("learning rate"), "{message}");
        assert!(error.hint().unwrap().contains("latest.safetensors"));
        assert!(crate::common::weights(&place.run, "agent.policy.parameters").iter().all(|x| x.is_finite()));
    }
}
