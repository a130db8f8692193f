//! Who owns a run folder, what belongs to its state, and folders that version 0.1.0 made.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::common::{Place, columns, config, latest, options, place, relax, resumed, summary, trained};
use relax_rl::evaluate::{EvalOptions, Trained, evaluate};
use relax_rl::{checkpoint, train};

const RUN: &str = r#"
[env]
id = "CartPole-v1"
[agent]
kind = "a2c"
hidden = [8]
[rollout]
envs = 4
steps = 16
workers = 0
[run]
env_steps = 1_024
seed = 3
evaluation_episodes = 4
"#;

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.path().is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// Waits until `done`; the machine may be busy.
#[track_caller]
fn wait_for(what: &str, done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(120), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A run in a process of its own, which goes on until it is told to stop.
fn endless(place: &Place, more: &str) -> std::process::Child {
    let file = place.root.path().join("endless.toml");
    let mut text = RUN.replace("env_steps = 1_024", "env_steps = 1_000_000_000");
    if !more.is_empty() {
        text = text.replace("\"CartPole-v1\"", "\"Pendulum-v1\"\nmax_episode_steps = 100_000_000");
    }
    std::fs::write(&file, format!("{text}{more}")).unwrap();
    let mut command = relax();
    command.arg("train").arg(file).arg("--quiet").arg("--out").arg(&place.run);
    command.stderr(std::process::Stdio::piped()).spawn().unwrap()
}

#[cfg(unix)]
fn signal(child: &std::process::Child, name: &str) {
    let status = std::process::Command::new("kill").args([name, &child.id().to_string()]).status();
    assert!(status.unwrap().success());
}

#[test]
#[cfg(unix)]
fn a_folder_in_use_is_refused_and_the_owner_named() {
    let place = place();
    let mut child = endless(&place, "");
    wait_for("a checkpoint", || latest(&place.run).exists());
    let before = std::fs::read(place.run.join("config.toml")).unwrap();
    for arguments in [vec!["resume"], vec!["resume", "--set", "run.env_steps=5"]] {
        let mut command = relax();
        command.arg(arguments[0]).arg(&place.run).args(&arguments[1..]);
        let output = command.output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(&format!("in use by process {} on ", child.id())), "{error}");
        assert!(error.contains("hint: "), "{error}");
    }
    assert_eq!(std::fs::read(place.run.join("config.toml")).unwrap(), before);
    let output = relax().arg("eval").arg(&place.run).args(["--episodes", "1"]).output().unwrap();
    assert!(output.status.success(), "reading is free to all");
    signal(&child, "-KILL");
    child.wait().unwrap();
    // A kill leaves no lock, and no torn rows.
    let budget = train::latest_checkpoint(&place.run);
    let [_, steps] = checkpoint::load(&budget).unwrap().1.u64_array("counters").unwrap();
    resumed(&place.run, &[&format!("run.env_steps={}", steps + 64)]);
    columns(&place.run.join("episodes.csv"));
}

/// Whether this process, and so every one that it starts, ignores SIGHUP: bit 0 of `SigIgn`.
#[cfg(unix)]
fn hang_up_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

#[test]
#[cfg(unix)]
fn every_signal_saves_and_an_evaluation_does_not_hold_it_up() {
    // From the first update on an evaluation whose episodes do not end; waited for, it would fail.
    let long = "evaluation_every_env_steps = 64\n";
    for name in ["-HUP", "-TERM", "-INT"] {
        // Under nohup a hang-up is ignored, by what it starts too.
        if name == "-HUP" && hang_up_is_ignored() {
            continue;
        }
        let place = place();
        let mut child = endless(&place, long);
        wait_for("a checkpoint", || latest(&place.run).exists());
        wait_for("an update", || {
            std::thread::sleep(Duration::from_millis(200));
            true
        });
        signal(&child, name);
        assert_eq!(child.wait().unwrap().code(), Some(130), "{name}");
        let (_, state) = checkpoint::load(&latest(&place.run)).unwrap();
        let [_, steps] = state.u64_array("counters").unwrap();
        assert_eq!(summary(&place.run).env_steps, steps, "{name}: the state is saved");
    }
}

#[test]
fn the_best_model_is_still_known_when_a_run_is_extended() {
    let place = trained(&config(RUN, &[]));
    let of = |dir: &Path| checkpoint::load(&train::best_checkpoint(dir)).unwrap().1;
    let first = of(&place.run).f64_array::<1>("best").unwrap();
    assert_eq!(checkpoint::load(&latest(&place.run)).unwrap().1.f64_array::<1>("best").unwrap(), first);
    // The same again: judged already, so nothing is added.
    resumed(&place.run, &[]);
    assert_eq!(columns(&place.run.join("evaluations.csv"))["mean"].len(), 1);
    assert_eq!(summary(&place.run).evaluation.unwrap().mean, first[0]);
    // More episodes are another evaluation.
    resumed(&place.run, &["run.evaluation_episodes=6"]);
    assert_eq!(summary(&place.run).evaluation.unwrap().episodes, 6);
    resumed(&place.run, &["run.env_steps=1_536"]);
    let means = &columns(&place.run.join("evaluations.csv"))["mean"];
    assert_eq!(means.len(), 3, "the earlier evaluations stay");
    let highest = means.iter().map(|mean| mean.parse::<f64>().unwrap()).fold(f64::MIN, f64::max);
    assert_eq!(of(&place.run).f64_array::<1>("best").unwrap(), [highest]);
    let text = std::fs::read_to_string(place.run.join("config.toml")).unwrap();
    assert!(text.contains("env_steps = 1536"), "config.toml follows the budget: {text}");
}

#[test]
fn without_evaluation_the_training_return_decides() {
    let sets = ["run.evaluation_episodes=0", "checkpoint.every_env_steps=1_000", "run.env_steps=6_000"];
    let place = trained(&config(RUN, &sets));
    let (_, state) = checkpoint::load(&train::best_checkpoint(&place.run)).unwrap();
    assert_eq!(state.f64("best").unwrap().len(), 1);
    let place = trained(&config(RUN, &["run.evaluation_episodes=0", "run.keep_best=false"]));
    assert!(!train::best_checkpoint(&place.run).exists());
}

#[test]
fn a_picture_is_what_its_name_says() {
    let place = trained(&config(RUN, &[]));
    for name in ["x.mp4", "x", "x.gif.png"] {
        let path = place.root.path().join(name);
        let options = EvalOptions { episodes: 1, deterministic: true, render: Some(path.clone()), seed: 0 };
        let error = evaluate(&place.run, &options).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{name}");
        assert!(error.hint().unwrap().contains(".gif") && !path.exists(), "{name}: {:?}", error.hint());
    }
}

#[test]
fn a_budget_that_is_used_up_shows_no_more_than_all_of_it() {
    let place = trained(&config(RUN, &[]));
    let output = relax().arg("resume").arg(&place.run).args(["--set", "run.env_steps=10"]).output().unwrap();
    let shown = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{shown}");
    assert!(shown.contains("100%") && !shown.contains("000%") && shown.contains("1.02k / 1.02k"), "{shown}");
}

/// What version 0.1.0 left behind.
fn old(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// Runs of version 0.1.0 are evaluated and predict as they did, and go on.
#[test]
fn a_run_of_version_0_1_0() {
    let dir = old("run-0.1.0");
    let trained = Trained::load(&dir).unwrap();
    assert_eq!(trained.config.env.id, "CartPole-v1");
    let options = EvalOptions { episodes: 4, deterministic: true, render: None, seed: 5 };
    // `relax eval tests/data/run-0.1.0 --episodes 4 --deterministic --seed 5` of version 0.1.0 printed this mean.
    let returns = evaluate(&dir, &options).unwrap().returns;
    assert_eq!(returns.iter().sum::<f64>() / 4.0, OLD_MEAN, "{returns:?}");

    let place = place();
    copy(&dir, &place.run);
    let best = checkpoint::load(&train::best_checkpoint(&dir)).unwrap().1.f64_array::<1>("best").unwrap();
    let stop = options_stop(&place.run);
    match train::resume(&place.run, &["run.env_steps=1_536".to_owned()], true, &stop) {
        Ok(outcome) => {
            assert_eq!(outcome.summary.env_steps, 1_536);
            let now = checkpoint::load(&latest(&place.run)).unwrap().1.f64_array::<1>("best").unwrap();
            assert!(now[0] >= best[0], "the best of the old run is not forgotten");
        }
        // Later versions may have other columns or arrays: then they say so.
        Err(error) => assert!(error.exit_code() == 2 && error.hint().is_some(), "{error}"),
    }
}

fn options_stop(dir: &Path) -> std::sync::Arc<std::sync::atomic::AtomicBool> {
    options(dir).stop
}

const OLD_MEAN: f64 = 96.75;
