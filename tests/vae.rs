//! `relax vae` and its kin as whole programs: resuming, refusing, sweeping, measuring.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use crate::common::{Place, assert_same_tensors, columns, latest, place, relax};
use relax_envs::EnvRng;
use relax_rl::vae::{VaeConfig, VaeSummary};

const RUN: &str = r#"
[model]
kind = "custom"
latent = [5, 4]
[estimator]
method = "relaxed-rebar"
control_variate_hidden = [6]
learning_rate = 1e-2
[run]
iterations = 4_000
seed = 3
batch_size = 7
log_every = 30
evaluate_every = 150
variance_batches = 3
final_samples = 4
[checkpoint]
every_iterations = 70
[sweep]
methods = ["rebar", "nvil"]
learning_rates = [1e-3, 1e-2]
tuning_seed = 9
seeds = [0, 9]
"#;

/// 90 + 12 images of 6×6 pixels in MNIST's files: a bright square somewhere on a dim ground.
static DATA: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let mut rng = EnvRng::from_seed(1);
    for (name, count) in [("train-images-idx3-ubyte", 90u32), ("t10k-images-idx3-ubyte", 12)] {
        let mut bytes = vec![0, 0, 8, 3];
        [count, 6, 6].iter().for_each(|size| bytes.extend(size.to_be_bytes()));
        for _ in 0..count {
            let (top, left) = (rng.integers(0, 4), rng.integers(0, 4));
            let lit = |x: i64, from: i64| (from..from + 3).contains(&x);
            bytes.extend((0..36).map(|i| if lit(i / 6, top) && lit(i % 6, left) { 230 } else { 20 }));
        }
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
});

pub(crate) fn data() -> String {
    DATA.path().display().to_string()
}

/// A place with the configuration of the tests in it, and some changes appended.
pub(crate) fn prepared() -> (Place, PathBuf) {
    let place = place();
    let path = place.root.path().join("test.toml");
    std::fs::write(&path, RUN).unwrap();
    (place, path)
}

fn run(arguments: &[&str]) -> Output {
    relax().args(arguments).output().unwrap()
}

#[track_caller]
fn succeeds(arguments: &[&str]) -> String {
    let output = run(arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {error}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[track_caller]
fn fails(arguments: &[&str], code: i32, parts: &[&str]) {
    let output = run(arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
    assert!(error.contains("error: ") && !error.contains("panicked"), "{error}");
    for part in parts {
        assert!(error.contains(part), "{arguments:?} should say {part:?}, but says: {error}");
    }
}

/// Trains the configuration of the tests with `sets` to its end.
#[track_caller]
fn trained(sets: &[&str]) -> Place {
    let (place, path) = prepared();
    let (path, out, data) = (path.display().to_string(), place.run.display().to_string(), data());
    let mut arguments = vec!["vae", &path, "--out", &out, "--data", &data, "--quiet"];
    sets.iter().for_each(|set| arguments.extend(["--set", set]));
    succeeds(&arguments);
    place
}

static WHOLE: LazyLock<Place> = LazyLock::new(|| trained(&[]));

/// Two run folders hold the same run, bit for bit, wall-clock times aside.
#[track_caller]
pub(crate) fn assert_same(a: &Path, b: &Path, what: &str) {
    for file in ["metrics.csv", "evaluations.csv"] {
        let read = |dir: &Path| {
            let mut columns = columns(&dir.join(file));
            columns.remove("iterations_per_second");
            columns
        };
        assert_eq!(read(a), read(b), "{what}: {file}");
    }
    assert_same_tensors(&latest(a), &latest(b), what);
    let summary = |dir: &Path| {
        let mut summary = VaeSummary::load(&dir.join("summary.json")).unwrap();
        (summary.wall_seconds, summary.iterations_per_second) = (0.0, 0.0);
        summary
    };
    assert_eq!(summary(a), summary(b), "{what}");
    for file in ["samples.png", "reconstructions.png", "curves.png"] {
        assert_eq!(
            std::fs::read(a.join(file)).unwrap(),
            std::fs::read(b.join(file)).unwrap(),
            "{what}: {file}"
        );
    }
}

fn spawn(arguments: &[&str]) -> Child {
    relax().args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn signal(child: &Child, name: &str) {
    let _ =
        Command::new("kill").args([name, &child.id().to_string()]).stderr(Stdio::null()).status().unwrap();
}

/// Starts `first`, sends `name` whenever the file `watched` has grown by some amount, and goes on with `again`, until it ends
/// by itself. Returns how often it was ended.
fn interrupted(
    name: &str,
    first: &[&str],
    again: &[&str],
    watched: &Path,
    ready: &Path,
    (seed, growth): (u64, i64),
) -> u32 {
    let mut rng = EnvRng::from_seed(seed);
    let mut child = spawn(first);
    let mut hits = 0;
    for attempt in 0..60 {
        let size = || std::fs::metadata(watched).map_or(0, |info| info.len());
        let enough = size() + rng.integers(0, growth) as u64;
        while child.try_wait().unwrap().is_none() && (size() < enough || !ready.exists()) {
            std::thread::sleep(Duration::from_micros(200));
        }
        if attempt < 8 {
            signal(&child, name);
        }
        match child.wait().unwrap().code() {
            Some(0) => return hits,
            Some(130) | None => hits += 1,
            Some(other) => panic!("exit code {other}"),
        }
        child = spawn(again);
    }
    panic!("it never ended");
}

#[test]
fn killed_and_resumed_is_uninterrupted() {
    let mut hits = 0;
    for (seed, name) in [(0, "-KILL"), (1, "-KILL"), (2, "-TERM")] {
        let (place, path) = prepared();
        let (path, out, data) = (path.display().to_string(), place.run.display().to_string(), data());
        let first = ["vae", &path, "--out", &out, "--data", &data, "--quiet"];
        let again = ["resume", &out, "--quiet"];
        hits += interrupted(
            name,
            &first,
            &again,
            &place.run.join("metrics.csv"),
            &latest(&place.run),
            (seed, 4_000),
        );
        assert_same(&WHOLE.run, &place.run, &format!("{name}, points of seed {seed}"));
    }
    assert!(hits >= 3, "only {hits} signals came before the end");
}

#[test]
fn a_longer_budget_continues_as_if_it_had_been_given_at_once() {
    let place = trained(&["run.iterations=2_025"]);
    succeeds(&["resume", &place.run.display().to_string(), "--quiet", "--set", "run.iterations=4_000"]);
    assert_same(&WHOLE.run, &place.run, "prolonged");
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let place = trained(&["run.threads=2"]);
    assert_same(&WHOLE.run, &place.run, "two threads");
}

#[test]
fn training_raises_the_bound_and_another_seed_is_another_run() {
    // The training bound is the objective; 75 images are soon learned by heart, so the validation bound falls again.
    let bounds = crate::common::numbers(&WHOLE.run.join("metrics.csv"), "train_bound");
    assert!(bounds[bounds.len() - 1] > bounds[0] + 1.0, "{bounds:?}");
    let summary = VaeSummary::load(&WHOLE.run.join("summary.json")).unwrap();
    let (plain, weighted) = (summary.test.unwrap(), summary.test_importance.unwrap());
    assert_eq!((plain.images, summary.train.unwrap().images), (12, 75));
    assert!(weighted.mean > plain.mean, "more samples give a tighter bound: {weighted:?} {plain:?}");
    let other = trained(&["run.seed=4"]);
    let read = |dir: &Path| std::fs::read(dir.join("samples.png")).unwrap();
    assert!(read(&WHOLE.run) != read(&other.run));
}

#[test]
fn what_is_learned_cannot_change_on_resume() {
    let out = WHOLE.run.display().to_string();
    for set in ["estimator.method=nvil", "run.seed=1", "run.batch_size=9", "model.kind=linear1"] {
        let key = set.split('=').next().unwrap();
        fails(&["resume", &out, "--set", set], 2, &[key, "cannot change when a run is resumed", "hint: "]);
    }
    fails(&["resume", &out, "--workers", "2"], 2, &["--workers", "hint: "]);
    fails(&["resume", &out, "--set", "data.folder=nowhere"], 2, &["nowhere", "no MNIST", "hint: "]);
}

#[test]
fn mistakes_are_named_and_leave_nothing_behind() {
    let (place, path) = prepared();
    let (path, out, data) = (path.display().to_string(), place.run.display().to_string(), data());
    let refuse = |sets: &[&str], parts: &[&str]| {
        let mut arguments = vec!["vae", &path, "--out", &out, "--data", &data];
        sets.iter().for_each(|set| arguments.extend(["--set", set]));
        fails(&arguments, 2, parts);
        assert!(!place.run.exists(), "{sets:?}");
    };
    refuse(&["estimator.learning_rat=1"], &["unknown key", "did you mean `estimator.learning_rate`"]);
    refuse(&["estimator.method=rebra"], &["rebra", "relaxed-rebar"]);
    refuse(&["model.kind=linear1"], &["model.latent", "custom"]);
    refuse(&["model.latent=[]"], &["model.latent", "[200]"]);
    refuse(&["estimator.beta2=1"], &["estimator.beta2", "below 1"]);
    refuse(&["estimator.replay=1001"], &["estimator.replay", "from 0 to 1000"]);
    refuse(&["estimator.replay_window=0"], &["estimator.replay_window", "from 1 to"]);
    refuse(&["estimator.temperature=0"], &["estimator.temperature", "above 0"]);
    refuse(&["estimator.control_variate_hidden=[]"], &["estimator.control_variate_hidden"]);
    refuse(&["run.variance_batches=1"], &["run.variance_batches", "0 or from 2"]);
    refuse(&["run.batch_size=0"], &["run.batch_size"]);
    refuse(&["sweep.seeds=[]"], &["sweep.seeds", "one seed or more"]);
    refuse(&["zzz.qqq=1"], &["unknown key", "relax config schema --vae"]);
    fails(
        &["vae", &path, "--out", &out, "--data", "nowhere"],
        2,
        &["nowhere", "train-images-idx3-ubyte", "--data"],
    );
    let set = "--set=data.set=omniglot";
    fails(&["vae", &path, "--out", &out, "--data", &data, set], 2, &["Omniglot", "images_background.zip"]);
    assert!(!place.run.exists());

    let damaged = place.root.path().join("damaged");
    std::fs::create_dir(&damaged).unwrap();
    for entry in std::fs::read_dir(DATA.path()).unwrap() {
        let entry = entry.unwrap();
        let bytes = std::fs::read(entry.path()).unwrap();
        std::fs::write(damaged.join(entry.file_name()), &bytes[..bytes.len() - 1]).unwrap();
    }
    let folder = damaged.display().to_string();
    fails(
        &["vae", &path, "--out", &out, "--data", &folder],
        2,
        &["train-images-idx3-ubyte promises 3240 values"],
    );
    fails(&["vae", &path, "--out", &WHOLE.run.display().to_string()], 2, &["not empty", "relax resume"]);
}

#[test]
fn divergence_is_an_error_that_is_noted() {
    let (place, path) = prepared();
    let (path, out, data) = (path.display().to_string(), place.run.display().to_string(), data());
    let rate = "--set=estimator.learning_rate=1e30";
    let arguments = ["vae", &path, "--out", &out, "--data", &data, "--quiet", rate];
    fails(&arguments, 1, &["diverged", "learning rate", "hint: "]);
    assert!(std::fs::read_to_string(place.run.join("diverged.txt")).unwrap().contains("diverged"));
}

#[test]
fn a_sweep_that_is_killed_goes_on_and_ends_as_one_that_is_not() {
    let (place, path) = prepared();
    let root = place.root.path();
    let (path, data) = (path.display().to_string(), data());
    let whole = root.join("whole").display().to_string();
    let short = "--set=run.iterations=400";
    let text = succeeds(&["vae-sweep", &path, "--out", &whole, "--data", &data, "-j", "2", short, "-q"]);
    assert!(text.contains("| rebar |") && text.contains("tuning runs"), "{text}");

    let parts = root.join("parts");
    let shown = parts.display().to_string();
    let first = ["vae-sweep", &path, "--out", &shown, "--data", &data, "-j", "2", short, "-q"];
    let watched = parts.join("runs/nvil-lr1e-3-s9/metrics.csv");
    let mut hits = 0;
    for (name, seed) in [("-KILL", 5), ("-TERM", 6)] {
        hits += interrupted(name, &first, &first, &watched, &parts.join("config.toml"), (seed, 300));
    }
    assert!(hits >= 1, "it was never interrupted");
    let read = |folder: &str, file: &str| {
        let mut columns = columns(&Path::new(folder).join(file));
        columns.retain(|name, _| !name.starts_with("iterations_per_second"));
        columns
    };
    assert_eq!(read(&whole, "table.csv"), read(&shown, "table.csv"));
    assert_eq!(read(&whole, "runs.csv"), read(&shown, "runs.csv"));
    assert!(parts.join("curves.png").is_file());

    // The rate that did best on validation with the tuning seed is the one that is reported, with every seed.
    let runs = read(&shown, "runs.csv");
    let table = read(&shown, "table.csv");
    for (row, method) in table["method"].iter().enumerate() {
        let of = |place: usize| runs["method"][place] == *method && runs["seed"][place] == "9";
        let score = |place: usize| runs["validation"][place].parse::<f64>().unwrap();
        let places: Vec<usize> = (0..runs["method"].len()).filter(|&place| of(place)).collect();
        let best = places.into_iter().max_by(|&a, &b| score(a).total_cmp(&score(b))).unwrap();
        assert_eq!(runs["learning_rate"][best], table["learning_rate"][row], "{method}");
        assert_eq!(table["seeds"][row], "2");
    }

    // Other settings in the same folder are refused; a larger budget continues the runs.
    let mut other = first.to_vec();
    other.push("--set=estimator.beta2=0.9");
    fails(&other, 2, &["other settings", "hint: "]);
    let mut longer = first.to_vec();
    longer[8] = "--set=run.iterations=450";
    succeeds(&longer);
    fails(&first, 2, &["450 iterations", "hint: "]);
    let lock = std::fs::File::create(parts.join(".lock")).unwrap();
    lock.lock().unwrap();
    fails(&longer, 2, &["the sweep", "in use by", "hint: "]);
}

#[test]
fn variances_at_the_same_weights_are_repeatable() {
    let (out, data) = (WHOLE.run.display().to_string(), data());
    let place = place();
    let measure = |file: &str, jobs: &str| {
        let path = place.root.path().join(file).display().to_string();
        let text = succeeds(&[
            "vae-variance",
            &out,
            "--data",
            &data,
            "--methods",
            "nvil,rebar,disarm",
            "--fit",
            "50",
            "--draws",
            "10",
            "--repetitions",
            "3",
            "-j",
            jobs,
            "-q",
            "--out",
            &path,
        ]);
        assert!(text.contains("| rebar | 2 |"), "{text}");
        std::fs::read_to_string(&path).unwrap()
    };
    let (one, two) = (measure("one.csv", "1"), measure("two.csv", "2"));
    assert_eq!(one, two);
    assert_eq!(one.lines().count(), 1 + 3 * 2);
    fails(&["vae-variance", &out, "--set", "model.kind=linear1"], 2, &["model.kind", "estimator.*"]);
    fails(&["vae-variance", "nowhere"], 2, &["nowhere", "hint: "]);
}

#[test]
fn every_configuration_that_comes_along_is_valid() {
    let mut count = 0;
    for entry in std::fs::read_dir("configs/vae").unwrap() {
        let path = entry.unwrap().path();
        let config = VaeConfig::load(&path, &[]).unwrap_or_else(|error| panic!("{error}"));
        let shown = succeeds(&["config", "show", &path.display().to_string()]);
        assert_eq!(VaeConfig::from_toml(&shown, "shown", &[]), Ok(config));
        count += 1;
    }
    assert_eq!(count, 5);
    assert!(succeeds(&["config", "schema", "--vae"]).contains("binarization_seed"));
}
