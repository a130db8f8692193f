//! The state hash is the same however a run came about, and another one for whatever was learned otherwise.

use std::ops::ControlFlow;
use std::time::Duration;

use relax_rl::config::Config;
use relax_rl::train;

use crate::common::{place, relax, summary};

const RUN: &str = "
[env]
id = 'Pendulum-v1'
[agent]
kind = 'sac'
hidden = [8]
[rollout]
envs = 2
steps = 4
[learner.replay]
capacity = 2_000
[run]
env_steps = 3_000
evaluation_episodes = 1
";

/// What the program prints of the state, once `arguments` have run to their end.
fn printed(arguments: &[&str]) -> String {
    let out = relax().args(arguments).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let text = String::from_utf8(out.stdout).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("state       "));
    line.unwrap_or_else(|| panic!("no state in {text}")).to_owned()
}

#[test]
fn the_same_run_has_the_same_hash_however_it_came_about() {
    let root = place();
    let file = root.root.path().join("run.toml");
    std::fs::write(&file, RUN).unwrap();
    let file = file.display().to_string();
    let folder = |name: &str| root.root.path().join(name).display().to_string();

    // From a program of one's own, which writes nothing.
    let config = Config::load(file.as_ref(), &[]).unwrap();
    let mut early = String::new();
    let trainer = relax_rl::train(&config, |update| {
        if update.update == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    early.push_str(&trainer.unwrap().state_hash());
    let hash = relax_rl::train(&config, |_| ControlFlow::Continue(())).unwrap().state_hash();
    assert_eq!((hash.len(), early.len()), (64, 64));
    assert_ne!(hash, early);

    for workers in ["0", "1", "2"] {
        let run = folder(workers);
        assert_eq!(
            printed(&["train", &file, "--out", &run, "--workers", workers]),
            hash,
            "{workers} workers"
        );
        assert_eq!(summary(run.as_ref()).state_hash, hash);
        assert_eq!(train::state_hash(run.as_ref()).unwrap(), hash);
        // A finished run that is resumed has learned nothing more.
        assert_eq!(printed(&["resume", &run]), hash);
    }

    // Killed, as soon as its first checkpoint is there, and resumed with another number of workers.
    let run = folder("killed");
    let mut child = relax().args(["train", &file, "--out", &run, "--quiet"]).spawn().unwrap();
    while !train::latest_checkpoint(run.as_ref()).exists() && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_ne!(train::state_hash(run.as_ref()).unwrap(), hash, "it was killed too late");
    assert_eq!(printed(&["resume", &run, "--workers", "2"]), hash);

    // What was learned otherwise has another one: a longer run, another seed, another setting.
    let others = [
        printed(&["resume", &run, "--set", "run.env_steps=3_100"]),
        printed(&["train", &file, "--out", &folder("seed"), "--seed", "1"]),
        printed(&["train", &file, "--out", &folder("set"), "--set", "learner.gamma=0.98"]),
    ];
    for (i, other) in others.iter().enumerate() {
        assert!(*other != hash && others[i + 1..].iter().all(|more| more != other), "{i}");
    }
}
