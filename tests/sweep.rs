//! `relax sweep`: the same trials however often it is killed, and refusals before anything runs.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use crate::common::{place, relax};
use relax_envs::EnvRng;
use relax_rl::config::Config;

const SWEEP: &str = "
[env]
id = 'CartPole-v1'
[agent]
kind = 'a2c'
hidden = [8]
[rollout]
envs = 2
steps = 16
[learner]
value_epochs = 4
[run]
env_steps = 2_000
evaluation_episodes = 2
[sweep]
trials = 14
budgets = [300, 900]
seeds = [1, 2]
startup = 4
[sweep.space]
'learner.learning_rate' = { low = 1e-4, high = 1e-1, log = true }
'learner.value_epochs' = { low = 1, high = 8, log = true }
'learner.lambda' = [0.8, 0.95, 1.0]
'agent.hidden' = [[8], [16, 16]]
";

fn sweep(folder: &Path, out: &str, jobs: &str) -> std::process::Command {
    let mut command = relax();
    let file = folder.join("sweep.toml");
    command.args(["sweep", &file.display().to_string(), "--jobs", jobs, "--quiet"]);
    command.args(["--out", &folder.join(out).display().to_string()]);
    command
}

fn results(folder: &Path, out: &str) -> (String, String) {
    let read = |name: &str| std::fs::read_to_string(folder.join(out).join(name)).unwrap();
    (read("trials.csv"), read("best.toml"))
}

/// Kills it `often` times at the least, at moments that are drawn; what it then comes to.
fn killed(folder: &Path, out: &str, often: usize) -> (String, String) {
    let mut rng = EnvRng::from_seed(5);
    let mut kills = 0;
    let runs = folder.join(out).join("runs");
    for attempt in 0.. {
        let mut child = sweep(folder, out, if attempt % 2 == 0 { "1" } else { "2" })
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        if attempt < 2 * often {
            // So many more runs, and some moments.
            let count = || std::fs::read_dir(&runs).map_or(0, Iterator::count);
            let enough = count() + 1 + rng.integers(0, 3) as usize;
            while count() < enough && child.try_wait().unwrap().is_none() {
                std::thread::sleep(Duration::from_micros(200));
            }
            std::thread::sleep(Duration::from_micros(rng.integers(0, 20_000) as u64));
            child.kill().unwrap();
        }
        match child.wait().unwrap().code() {
            Some(0) => break,
            None => kills += 1,
            Some(code) => panic!("exit code {code}"),
        }
    }
    assert!(kills >= often, "only {kills} kills came before the end");
    results(folder, out)
}

#[test]
fn a_sweep_that_is_killed_comes_to_the_same_trials() {
    let root = place();
    let folder = root.root.path();
    std::fs::write(folder.join("sweep.toml"), SWEEP).unwrap();
    assert!(sweep(folder, "whole", "2").status().unwrap().success());
    let whole = results(folder, "whole");
    assert_eq!(whole.0.lines().count(), 15, "{}", whole.0);
    for file in
        ["report.html", "figures/parallel.svg", "figures/importance.svg", "figures/scores.png", "sweep.toml"]
    {
        assert!(folder.join("whole").join(file).is_file(), "{file}");
    }
    // The first trial is the file itself; what is best is a configuration that can be trained.
    assert!(whole.0.lines().nth(1).unwrap().contains("\"[8]\""), "{}", whole.0);
    let best = Config::load(&folder.join("whole/best.toml"), &[]).unwrap();
    assert_eq!((best.run.env_steps, best.run.seed, best.rollout.envs), (2_000, 0, 2));
    assert!((1e-4..=1e-1).contains(&best.learner["learning_rate"].as_float().unwrap()));
    assert_eq!(killed(folder, "killed", 3), whole);

    // Another seed of the search is another search, and not this folder's.
    std::fs::write(folder.join("sweep.toml"), SWEEP.replace("startup = 4", "startup = 4\nseed = 1")).unwrap();
    let out = sweep(folder, "whole", "2").output().unwrap();
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.code() == Some(2) && text.contains("another file"), "{text}");
    assert!(sweep(folder, "seed", "2").status().unwrap().success());
    assert_ne!(results(folder, "seed").0, whole.0);
}

#[test]
fn an_evolution_strategy_that_is_killed_comes_to_the_same_trials() {
    let root = place();
    let folder = root.root.path();
    let file = SWEEP.replace("startup = 4", "startup = 4\nsampler = 'cma-es'");
    std::fs::write(folder.join("sweep.toml"), &file).unwrap();
    assert!(sweep(folder, "whole", "2").status().unwrap().success());
    let whole = results(folder, "whole");
    assert_eq!(whole.0.lines().count(), 15, "{}", whole.0);
    assert_eq!(killed(folder, "killed", 2), whole);
    std::fs::write(folder.join("sweep.toml"), SWEEP).unwrap();
    assert!(sweep(folder, "tpe", "2").status().unwrap().success());
    assert_ne!(results(folder, "tpe").0, whole.0);
}

#[test]
fn a_run_that_fails_is_the_worst_and_the_others_go_on() {
    let root = place();
    let folder = root.root.path();
    // Steps so long that weights overflow, beside one that learns.
    let text = SWEEP
        .replace("trials = 14", "trials = 6")
        .replace("{ low = 1e-4, high = 1e-1, log = true }", "[1e-3, 1e38]")
        .replace("kind = 'a2c'", "kind = 'a2c'\nactivation = 'relu'");
    std::fs::write(folder.join("sweep.toml"), text).unwrap();
    let out = sweep(folder, "out", "2").output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let (trials, best) = results(folder, "out");
    assert!(trials.contains("not finite") || trials.contains("diverged"), "{trials}");
    assert!(best.contains("learner.learning_rate=0.001"), "{best}");
}

#[test]
fn what_is_wrong_is_refused_before_anything_runs() {
    let root = place();
    let folder = root.root.path();
    let range = "{ low = 1e-4, high = 1e-1, log = true }";
    let cases: &[(&str, &str, &[&str])] = &[
        ("[sweep]", "[swep]", &["unknown key `swep`"]),
        ("trials = 14", "trals = 14", &["trals"]),
        ("trials = 14", "trials = 0", &["sweep.trials = 0"]),
        ("budgets = [300, 900]", "budgets = [900, 300]", &["sweep.budgets", "[900, 300]"]),
        ("budgets = [300, 900]", "budgets = [0, 300]", &["sweep.budgets"]),
        ("seeds = [1, 2]", "seeds = [1]", &["sweep.seeds", "2 budgets"]),
        ("seeds = [1, 2]", "seeds = [2, 1]", &["sweep.seeds"]),
        ("seeds = [1, 2]", "seeds = [1, 2]\nkeep = 1", &["sweep.keep = 1"]),
        ("startup = 4", "sampler = 'cma'", &["`cma`", "tpe", "cma-es"]),
        (
            "'learner.learning_rate'",
            "'learner.learning_rat'",
            &["learner.learning_rat", "learner.learning_rate"],
        ),
        ("'learner.learning_rate'", "'run.seed'", &["run.seed", "sets it"]),
        (range, "{ low = 1e-1, high = 1e-4 }", &["learner.learning_rate", "empty"]),
        (range, "{ low = 1e-1, high = 1e-1 }", &["learner.learning_rate", "empty"]),
        (range, "{ low = 0.0, high = 1e-1, log = true }", &["learner.learning_rate", "logarithm"]),
        (range, "{ low = -1.0, high = 1e-1 }", &["learner.learning_rate", "-1"]),
        (range, "{ low = 1e-4 }", &["learner.learning_rate", "no `high`"]),
        (range, "{ low = 1e-4, high = nan }", &["learner.learning_rate", "nan"]),
        (range, "{ low = 1e-4, high = 1e-1, logarithmic = true }", &["logarithmic"]),
        (range, "0.1", &["learner.learning_rate", "neither"]),
        ("[0.8, 0.95, 1.0]", "[0.8]", &["learner.lambda", "nothing to choose"]),
        ("[0.8, 0.95, 1.0]", "[0.8, 0.8]", &["learner.lambda", "twice"]),
        ("[0.8, 0.95, 1.0]", "[0.8, 1.5]", &["lambda", "1.5"]),
        ("[0.8, 0.95, 1.0]", "['some', 'more']", &["lambda"]),
        ("kind = 'a2c'", "kind = 'a2d'", &["a2d"]),
        ("evaluation_episodes = 2", "seconds = 5.0", &["run.seconds"]),
    ];
    for (from, to, wanted) in cases {
        let text = SWEEP.replacen(from, to, 1);
        assert_ne!(text, SWEEP, "{from}");
        std::fs::write(folder.join("sweep.toml"), &text).unwrap();
        let out = sweep(folder, "out", "1").output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(2), "{to}: {said}");
        assert!(wanted.iter().all(|words| said.contains(words)), "{to}: {said}");
        assert!(!folder.join("out").exists(), "{to}");
    }
    let space = SWEEP.find("[sweep.space]").unwrap();
    std::fs::write(folder.join("sweep.toml"), &SWEEP[..space]).unwrap();
    let out = sweep(folder, "out", "1").output().unwrap();
    assert!(String::from_utf8_lossy(&out.stderr).contains("nothing to be searched"));
    std::fs::write(folder.join("sweep.toml"), &SWEEP[..SWEEP.find("[sweep]").unwrap()]).unwrap();
    let out = sweep(folder, "out", "1").output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(said.contains("no table [sweep]") && said.contains("[sweep.space]"), "{said}");
    let missing: PathBuf = folder.join("nowhere.toml");
    let out = relax().args(["sweep", &missing.display().to_string()]).output().unwrap();
    assert_eq!(out.status.code(), Some(2));
}
