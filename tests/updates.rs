//! Long updates of agents that learn from stored experience: who wants the run to stop is heard in their middle, and the run that goes
//! on from there is the run that nobody stopped, bit for bit.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use relax_envs::EnvRng;
use relax_rl::checkpoint;
use relax_rl::train;

use crate::common::{assert_same_run, config, latest, options, place, trained};

/// Some hundred gradient steps an update.
const RUN: &str = r#"
[env]
id = "Pendulum-v1"
[agent]
kind = "ddpg"
hidden = [8]
[rollout]
envs = 2
steps = 16
workers = 0
[learner.replay]
capacity = 300
batch_size = 16
warm_up_steps = 40
updates_per_step = 20.0
[run]
env_steps = 640
seed = 4
evaluation_episodes = 2
evaluation_every_env_steps = 200
[checkpoint]
every_env_steps = 100
"#;

/// Whether the newest checkpoint stands in the middle of an update.
fn is_midway(run: &Path) -> bool {
    checkpoint::load(&latest(run)).is_ok_and(|(_, state)| state.get("under_way").is_ok())
}

/// A flag that is set before `most` have passed.
fn soon(rng: &mut EnvRng, most: Duration) -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let (flag, after) =
        (stop.clone(), Duration::from_micros(rng.integers(0, most.as_micros() as i64) as u64));
    std::thread::spawn(move || {
        std::thread::sleep(after);
        flag.store(true, Ordering::SeqCst);
    });
    stop
}

#[test]
fn left_off_in_the_middle() {
    let mut rng = EnvRng::from_seed(14);
    for kind in ["ddpg", "td3", "sac", "relax-ddpg"] {
        let config = config(RUN, &[&format!("agent.kind={kind}")]);
        let begun = std::time::Instant::now();
        let whole = trained(&config);
        let span = begun.elapsed() / 6;
        let (mut midway, mut stops) = (0, 0);
        for _ in 0..4 {
            let place = place();
            let stopped = train::TrainOptions { stop: soon(&mut rng, span), ..options(&place.run) };
            let mut outcome = train::train(&config, &stopped).unwrap();
            while outcome.interrupted {
                stops += 1;
                midway += u32::from(is_midway(&place.run));
                let workers = format!("rollout.workers={}", stops % 3);
                // After so many stops it may come to its end.
                let stop = if stops % 12 == 0 { Arc::default() } else { soon(&mut rng, span) };
                outcome = train::resume(&place.run, &[workers], true, &stop).unwrap();
            }
            assert_same_run(&whole.run, &place.run, &format!("{kind}: {stops} stops, {midway} in an update"));
        }
        assert!(midway > 0, "{kind}: none of {stops} stops was in the middle of an update");
        println!("{kind}: {stops} stops, {midway} in the middle of an update");
    }
}

/// A hundred thousand gradient steps and more: the program ends in their middle.
#[cfg(unix)]
#[test]
fn a_signal_does_not_wait_for_the_update() {
    for kind in ["ddpg", "td3", "sac", "relax-ddpg"] {
        let place = place();
        let file = place.root.path().join("test.toml");
        std::fs::write(&file, RUN).unwrap();
        let mut command = crate::common::relax();
        command.arg("train").arg(&file).arg("--out").arg(&place.run).arg("--quiet");
        let sets = [
            "rollout.envs=64",
            "rollout.steps=64",
            "learner.replay.updates_per_step=100",
            "run.env_steps=100_000",
        ];
        for set in sets.into_iter().chain([&*format!("agent.kind={kind}"), "agent.hidden=[128, 128]"]) {
            command.args(["--set", set]);
        }
        let mut child = command.spawn().unwrap();
        while !latest(&place.run).exists() {
            assert!(child.try_wait().unwrap().is_none(), "{kind} has ended");
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_millis(800));
        let id = child.id().to_string();
        assert!(std::process::Command::new("kill").args(["-INT", &id]).status().unwrap().success());
        assert_eq!(child.wait().unwrap().code(), Some(130), "{kind}");
        assert!(is_midway(&place.run), "{kind}: it was stopped elsewhere");
    }
}
