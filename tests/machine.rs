//! What the machine can do to a run: a full disk, a folder that cannot be written, a lock that was left behind, a second signal.
//! Nothing that was saved is lost, and the message says what to do.

#![cfg(unix)]

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::common::{Place, assert_same_run, latest, place, relax};

const RUN: &str = "[env]\nid = 'CartPole-v1'\n[agent]\nkind = 'a2c'\nhidden = [8]\n[rollout]\nenvs = 4\nsteps = 16\nworkers = 0\n\
                   [run]\nenv_steps = 60_000\nseed = 3\nevaluation_episodes = 2\n[checkpoint]\nevery_env_steps = 4_000\n";

/// A place with [`RUN`] in it, as `test.toml`.
fn prepared() -> Place {
    let place = place();
    std::fs::write(place.root.path().join("test.toml"), RUN).unwrap();
    place
}

fn train(place: &Place, run: &Path) -> Command {
    let mut command = relax();
    command.arg("train").arg(place.root.path().join("test.toml")).arg("--out").arg(run).arg("--quiet");
    command
}

#[track_caller]
fn said(output: &Output, code: i32, parts: &[&str]) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{error}");
    assert!(error.starts_with("error: ") && !error.contains("panicked"), "{error}");
    for part in parts {
        assert!(error.contains(part), "it should say {part:?}, but says: {error}");
    }
}

/// Files may not grow beyond a limit, as on a disk that fills up: the run ends with a sentence, and goes on from its last
/// checkpoint when there is room again, to the same bits.
#[test]
fn a_disk_that_fills_up() {
    let place = prepared();
    let whole = place.root.path().join("whole");
    assert!(train(&place, &whole).status().unwrap().success());
    let largest = |dir: &Path| std::fs::metadata(dir.join("episodes.csv")).unwrap().len();
    let checkpoint = std::fs::metadata(latest(&whole)).unwrap().len();
    let limit = checkpoint.max(largest(&whole) / 2) / 1024 + 1;
    assert!(limit * 1024 < largest(&whole), "the limit must be met: {limit} KiB");

    let mut command = Command::new("bash");
    command.args(["-c", "trap '' XFSZ; ulimit -f \"$1\"; shift; exec \"$@\"", "bash"]).arg(limit.to_string());
    let full = train(&place, &place.run);
    command.arg(full.get_program()).args(full.get_args());
    let output = command.output().unwrap();
    let folder = place.run.display().to_string();
    said(&output, 1, &["cannot write", &folder, "hint: ", "relax resume"]);

    let output = relax().arg("resume").arg(&place.run).arg("--quiet").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_same_run(&whole, &place.run, "after the disk was full");
}

/// Where nothing can be written nothing is begun.
#[test]
fn a_folder_that_cannot_be_made() {
    let place = prepared();
    let file = place.root.path().join("test.toml");
    for nowhere in
        [file.join("run"), Path::new("/dev/null/run").to_owned(), Path::new("/proc/relax/run").to_owned()]
    {
        if nowhere.starts_with("/proc") && !Path::new("/proc/self").exists() {
            continue;
        }
        let output = train(&place, &nowhere).output().unwrap();
        let code = output.status.code().unwrap();
        assert!([1, 2].contains(&code));
        said(&output, code, &[&nowhere.parent().unwrap().display().to_string()]);
    }
    assert_eq!(std::fs::read_dir(place.root.path()).unwrap().count(), 1, "nothing was written");
}

/// A lock is the operating system's. A file that a process of another machine left behind does not hold the folder; one that it
/// still holds (a network drive passes that on) does, and its owner is named.
#[test]
fn a_lock_of_another_host() {
    let place = prepared();
    assert!(train(&place, &place.run).status().unwrap().success());
    let path = place.run.join(".lock");
    let longer = ["--set", "run.env_steps=64000", "--quiet"];

    let mut held = File::create(&path).unwrap();
    write!(held, "process 7 on elsewhere").unwrap();
    held.lock().unwrap();
    let output = relax().arg("resume").arg(&place.run).args(longer).output().unwrap();
    said(&output, 2, &["in use by process 7 on elsewhere", "hint: "]);

    // Its machine goes down: the file stays, the lock does not.
    drop(held);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "process 7 on elsewhere");
    let output = relax().arg("resume").arg(&place.run).args(longer).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!std::fs::read_to_string(&path).unwrap().contains("elsewhere"));
}

/// The first signal saves; a second one, while that is still going on, ends at once, unsaved, with 1, and says so. Saving is held
/// up here by a pipe that nobody reads, where the new checkpoint is prepared.
#[test]
fn a_second_signal_ends_at_once() {
    let place = prepared();
    let mut command = train(&place, &place.run);
    command.args([
        "--set",
        "run.env_steps=1_000_000_000",
        "--set",
        "checkpoint.every_env_steps=1_000_000_000",
    ]);
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let begun = Instant::now();
    while !latest(&place.run).exists() {
        assert!(begun.elapsed() < Duration::from_secs(120), "no checkpoint");
        std::thread::sleep(Duration::from_millis(5));
    }
    let before = std::fs::read(latest(&place.run)).unwrap();
    let pipe = latest(&place.run).with_file_name(".latest.safetensors.partial");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());

    let signal =
        || assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    signal();
    // Held up for longer than that, it says what is going on.
    std::thread::sleep(Duration::from_millis(1_500));
    signal();
    let code = child.wait().unwrap().code();
    let mut error = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut error).unwrap();
    assert_eq!(code, Some(1), "{error}");
    assert!(error.contains("stopping as soon as the update under way is done"), "{error}");
    assert!(error.contains("ended at once: what was done since the last checkpoint is not saved"), "{error}");
    assert_eq!(std::fs::read(latest(&place.run)).unwrap(), before, "the last checkpoint is whole");
    std::fs::remove_file(&pipe).unwrap();
    let output = relax()
        .arg("resume")
        .arg(&place.run)
        .args(["--set", "run.env_steps=64", "--quiet"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
