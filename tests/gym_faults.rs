//! A Python environment that raises, answers nonsense, hangs or dies stops the run with an error that says which, where
//! and how to go on; the state after the last update is saved, and no process is left behind.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use relax_rl::{checkpoint, train};

const RUN: &str = r#"
[env]
id = "gym:bridge_envs:Faulty-v0"
[agent]
kind = "a2c"
hidden = [8]
[rollout]
envs = 4
steps = 5
[run]
env_steps = 4000
evaluation_episodes = 4
seed = 3
[checkpoint]
every_env_steps = 0
"#;

/// A folder with the configuration, and the marks by which a run's processes are known.
struct Case {
    folder: tempfile::TempDir,
    mark: String,
}

impl Case {
    fn new(name: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("run.toml"), RUN).expect("written");
        Self { folder, mark: format!("{name}-{}", std::process::id()) }
    }

    fn run_folder(&self) -> std::path::PathBuf {
        self.folder.path().join("run")
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_relax"));
        command
            .current_dir(crate::python::modules())
            .env("RELAX_TEST_MARK", &self.mark)
            .arg("--python")
            .arg(crate::python::python());
        command
    }

    fn train(&self, sets: &[&str]) -> Output {
        let mut command = self.command();
        command.arg("train").arg(self.folder.path().join("run.toml")).arg("--out").arg(self.run_folder());
        for set in sets {
            command.args(["--set", set]);
        }
        command.output().expect("starts")
    }

    /// Processes of this run that live. Linux only; elsewhere none are found.
    fn living(&self) -> Vec<String> {
        let mark = format!("RELAX_TEST_MARK={}", self.mark);
        let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        processes
            .filter(|process| {
                std::fs::read(process.path().join("environ"))
                    .is_ok_and(|all| all.split(|&byte| byte == 0).any(|one| one == mark.as_bytes()))
            })
            .map(|process| {
                let line = std::fs::read_to_string(process.path().join("cmdline")).unwrap_or_default();
                format!("{}: {}", process.file_name().display(), line.replace('\0', " "))
            })
            .collect()
    }

    /// Waits until no process of the run lives.
    fn expect_no_orphans(&self) {
        for _ in 0..200 {
            if self.living().is_empty() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("left behind: {:?}", self.living());
    }

    /// The run fails, says every one of `words`, and leaves a checkpoint after `steps` steps.
    fn expect_fault(&self, sets: &[&str], words: &[&str], steps: u64) {
        let output = self.train(sets);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{sets:?}: {text}");
        for word in words {
            assert!(text.contains(word), "{sets:?}: `{word}` is not in\n{text}");
        }
        assert!(text.contains("the last good checkpoint is"), "{text}");
        assert_eq!(saved_steps(&self.run_folder()), steps, "{sets:?}");
        self.expect_no_orphans();
    }
}

/// Environment steps in the newest checkpoint.
fn saved_steps(run: &Path) -> u64 {
    let (_, state) = checkpoint::load(&train::latest_checkpoint(run)).expect("a whole checkpoint");
    let [_, steps] = state.u64_array("counters").expect("counters");
    steps
}

fn fault(name: &str) -> String {
    format!("env.kwargs.fault={name}")
}

/// The fault comes in step 20 of each slot, in the fourth rollout: three are learned from.
const LEARNED: u64 = 60;

#[test]
fn an_exception_names_slot_seed_action_and_traceback() {
    for kind in ["env.vectorization=sync", "env.vectorization=async"] {
        Case::new("raise").expect_fault(
            &[&fault("raise"), kind],
            &[
                "slot 0, seed ",
                "episode 1",
                "after action ",
                "Traceback",
                "bridge_envs.py",
                "KeyError: 'the battery is flat'",
            ],
            LEARNED,
        );
    }
}

#[test]
fn nonsense_is_named() {
    for (name, words) in [
        ("not-finite", "observation[1] is NaN, which is not finite"),
        ("reward-not-finite", "reward is NaN, which is not finite"),
        ("reward-text", "the reward is 'much'; it must be one number"),
        ("shape", "the observation has shape (4,); the observation space says (3,)"),
        ("scalar", "the observation has shape (); the observation space says (3,)"),
        ("dtype", "the observation has type float64; the observation space says uint8"),
    ] {
        for kind in ["env.vectorization=sync", "env.vectorization=async"] {
            Case::new(name).expect_fault(&[&fault(name), kind], &[words, "slot 0, seed "], LEARNED);
        }
    }
}

#[test]
fn a_failing_reset_is_named() {
    let words = ["RuntimeError: no more episodes", "slot 0"];
    Case::new("reset").expect_fault(&[&fault("reset"), "env.vectorization=sync"], &words, 20);
}

#[test]
fn a_hang_stops_the_run_with_a_checkpoint() {
    for (name, kind) in [("hang", "sync"), ("spin", "sync"), ("hang", "async"), ("spin", "async")] {
        let place = if kind == "sync" { "bridge_envs.py" } else { "is stopped" };
        let words =
            ["has not answered for 1.5 seconds (env.timeout)", "slot 0, seed ", ", after action ", place];
        for workers in ["rollout.workers=0", "rollout.workers=2"] {
            let kind = format!("env.vectorization={kind}");
            let sets = [&fault(name), kind.as_str(), "env.timeout=1.5", workers];
            Case::new(name).expect_fault(&sets, &words, LEARNED);
        }
    }
}

#[test]
fn a_hang_in_evaluation_stops_the_run() {
    // Training takes 5 steps a slot, evaluation more than 20.
    let sets = [&fault("hang"), "env.vectorization=sync", "env.timeout=1.5", "run.env_steps=20"];
    let case = Case::new("evaluation");
    let output = case.train(&[&sets[..], &["env.kwargs.at=15"]].concat());
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && text.contains("has not answered"), "{text}");
    assert_eq!(saved_steps(&case.run_folder()), 20);
    case.expect_no_orphans();
}

#[test]
fn a_killed_subprocess_is_named() {
    let words = ["slot 0, seed ", "its process ", "was killed by signal 9"];
    Case::new("die").expect_fault(&[&fault("die"), "env.vectorization=async"], &words, LEARNED);
}

#[test]
fn no_subprocess_outlives_a_killed_run() {
    let case = Case::new("killed");
    let config = case.folder.path().join("run.toml");
    let mut child = case
        .command()
        .args(["train", "--quiet", "--set", "env.vectorization=async", "--set", "run.env_steps=1e9"])
        .arg(config)
        .arg("--out")
        .arg(case.run_folder())
        .spawn()
        .expect("starts");
    // The program, the fork server, the resource tracker and four environments.
    while case.living().len() < 7 {
        assert!(child.try_wait().expect("asked").is_none(), "ended by itself");
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().expect("killed");
    child.wait().expect("waited for");
    case.expect_no_orphans();
}

#[test]
fn a_healthy_run_resumes_with_fresh_episodes() {
    let case = Case::new("healthy");
    let output = case.train(&["env.vectorization=async", "run.env_steps=400"]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("python: ") && text.contains("gymnasium"), "{text}");
    assert!(!text.contains("leaked"), "{text}");
    let output = case
        .command()
        .args(["resume", "--set", "run.env_steps=800"])
        .arg(case.run_folder())
        .output()
        .expect("starts");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    // Lines are as wide as a terminal.
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("cannot save its state; every slot starts a fresh episode"), "{text}");
    assert_eq!(saved_steps(&case.run_folder()), 800);
    case.expect_no_orphans();
}

#[test]
fn a_next_step_environment_gives_no_dummy_transitions() {
    let case = Case::new("next-step");
    let sets = ["env.id=gym:bridge_envs:CountNextStep-v0", "run.evaluation_episodes=0"];
    let output = case.train(&sets);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // Every real step has reward 1 and is counted; a dummy one has reward 0.
    let text = std::fs::read_to_string(case.run_folder().join("episodes.csv")).expect("episodes");
    let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let heading = lines.next().expect("a heading");
    let column = |name: &str| heading.iter().position(|&found| found == name).expect("a column");
    let (total, length) = (column("return"), column("length"));
    let mut episodes = 0;
    for line in lines {
        assert_eq!(line[total].parse::<f64>().ok(), line[length].parse::<f64>().ok(), "{line:?}");
        episodes += 1;
    }
    assert!(episodes > 100);
    assert_eq!(saved_steps(&case.run_folder()), 4000);
}

#[test]
fn a_missing_or_wrong_interpreter_is_said_in_a_sentence() {
    let case = Case::new("missing");
    let try_python = |path: &str, words: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_relax"))
            .args(["envs", "show", "gym:CartPole-v1", "--python", path])
            .output()
            .expect("starts");
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(words) && text.lines().count() <= 2, "{text}");
    };
    try_python("/no/such/python", "there is no Python /no/such/python (--python)");
    try_python("/bin/true", "/bin/true (--python) is no working Python");
    // An interpreter of another version, and one without Gymnasium, as scripts that answer for them.
    let other = case.folder.path().join("python");
    std::fs::write(&other, "#!/bin/sh\necho 3.5\necho /usr/bin/python3.5\n").expect("written");
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&other, std::fs::Permissions::from_mode(0o755)).expect("made executable");
    try_python(&other.display().to_string(), "is Python 3.5; name a Python 3.");
}
