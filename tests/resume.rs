//! Interrupted and resumed is uninterrupted, bit for bit; and what cannot be resumed is refused and left as it is.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use crate::common::{
    Place, assert_same_run, columns, config, latest, numbers, options, place, relax, resumed, summary,
    tensors, trained,
};
use relax_envs::{ActionRef, Env, EnvError, EnvRng, EnvSpec, Frame, Space, Step};
use relax_nn::{StateDict, StateTensor};
use relax_rl::checkpoint;
use relax_rl::logging::Summary;
use relax_rl::train;

const RUN: &str = r#"
[env]
id = "CartPole-v1"
[agent]
kind = "relax-a2c"
hidden = [8]
[rollout]
envs = 4
steps = 16
workers = 1
[learner]
value_epochs = 2
learning_rate = 1e-2
[run]
env_steps = 40_010
seed = 3
evaluation_episodes = 2
evaluation_every_env_steps = 7_000
[checkpoint]
every_env_steps = 1_000
"#;

/// Starts `relax` with these arguments, silent.
fn spawn(arguments: &[&str]) -> Child {
    relax().args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn write_config(place: &Place) -> PathBuf {
    let path = place.root.path().join("test.toml");
    std::fs::write(&path, RUN).unwrap();
    path
}

/// Runs the program, sends `signal` to it each time metrics.csv has grown by some amount, and resumes it, with another
/// number of workers each time, until the run is over. Returns how many times a signal ended it.
fn interrupted_by(signal: &str, run: &Path, file: &Path, mut rng: EnvRng) -> u32 {
    let shown = run.display().to_string();
    let mut hits = 0;
    let mut child =
        spawn(&["train", &file.display().to_string(), "--out", &shown, "--quiet", "--workers", "2"]);
    for attempt in 0..40 {
        let size = || std::fs::metadata(run.join("metrics.csv")).map_or(0, |info| info.len());
        let enough = size() + rng.integers(0, 30_000) as u64;
        // Without a checkpoint there is nothing to resume.
        while child.try_wait().unwrap().is_none() && (size() < enough || !latest(run).exists()) {
            std::thread::sleep(Duration::from_micros(200));
        }
        std::thread::sleep(Duration::from_micros(rng.integers(0, 5_000) as u64));
        if attempt < 8 {
            // It may be over by now.
            let id = child.id().to_string();
            let mut kill = std::process::Command::new("kill");
            let _ = kill.args([signal, &id]).stderr(Stdio::null()).status().unwrap();
        }
        let status = child.wait().unwrap();
        match status.code() {
            Some(0) => return hits,
            Some(130) | None => hits += 1,
            Some(other) => panic!("exit code {other}"),
        }
        let workers = (attempt % 4).to_string();
        child = spawn(&["resume", &shown, "--quiet", "--workers", &workers]);
    }
    panic!("it never ended");
}

/// The run of [`RUN`], never interrupted.
static WHOLE: LazyLock<Place> = LazyLock::new(|| trained(&config(RUN, &[])));

#[test]
fn killed() {
    let mut hits = 0;
    for seed in 0..3 {
        let place = place();
        hits += interrupted_by("-KILL", &place.run, &write_config(&place), EnvRng::from_seed(seed));
        assert_same_run(&WHOLE.run, &place.run, &format!("killed, points of seed {seed}"));
    }
    assert!(hits >= 3, "only {hits} kills came before the end");
}

#[test]
fn terminated() {
    let mut hits = 0;
    for seed in 10..13 {
        let place = place();
        hits += interrupted_by("-TERM", &place.run, &write_config(&place), EnvRng::from_seed(seed));
        assert_same_run(&WHOLE.run, &place.run, &format!("terminated, points of seed {seed}"));
    }
    assert!(hits >= 3, "only {hits} signals came before the end");
}

/// Steps until [`Stopping`] raises the flag; negative: never.
static STEPS_LEFT: AtomicI64 = AtomicI64::new(-1);
static STOP: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);
/// One test at a time uses them.
static TURN: Mutex<()> = Mutex::new(());

/// CartPole that asks for the end of the run in the middle of a step: an interruption at an exact point.
struct Stopping(Box<dyn Env>);

impl Env for Stopping {
    fn observation_space(&self) -> &Space {
        self.0.observation_space()
    }
    fn action_space(&self) -> &Space {
        self.0.action_space()
    }
    fn reset(&mut self, rng: &mut EnvRng, observation: &mut [f32]) -> Result<(), EnvError> {
        self.0.reset(rng, observation)
    }
    fn step(
        &mut self,
        action: ActionRef<'_>,
        rng: &mut EnvRng,
        observation: &mut [f32],
    ) -> Result<Step, EnvError> {
        if STEPS_LEFT.fetch_sub(1, Ordering::SeqCst) == 0 {
            STOP.store(true, Ordering::SeqCst);
        }
        self.0.step(action, rng, observation)
    }
    fn render(&self) -> Option<Frame> {
        self.0.render()
    }
    fn save_state(&self, state: &mut Vec<f64>) -> Result<(), EnvError> {
        self.0.save_state(state)
    }
    fn load_state(&mut self, state: &mut &[f64]) -> Result<(), EnvError> {
        self.0.load_state(state)
    }
}

static REGISTERED: LazyLock<()> = LazyLock::new(|| {
    let make = |_: &relax_envs::Kwargs| -> Result<Box<dyn Env>, EnvError> {
        Ok(Box::new(Stopping(relax_envs::make("CartPole-v1", &relax_envs::Kwargs::new())?)))
    };
    relax_envs::register(EnvSpec::new("Stopping-v0", "stops the run", make)).unwrap();
});

/// Stops the run after every number of steps in `points`, and resumes it each time.
#[track_caller]
fn interrupted_at(points: &[i64], sets: &[&str], whole: &Path) {
    let place = place();
    let with_stop = |left: i64| {
        STOP.store(false, Ordering::SeqCst);
        STEPS_LEFT.store(left, Ordering::SeqCst);
    };
    with_stop(points[0]);
    let mut options = options(&place.run);
    options.stop = STOP.clone();
    let mut outcome = train::train(&config(RUN, sets), &options).unwrap();
    assert!(outcome.interrupted && outcome.summary.evaluation.is_none());
    for (i, &point) in points.iter().enumerate().skip(1) {
        with_stop(point);
        let workers = format!("rollout.workers={}", i % 4);
        outcome = train::resume(&place.run, &[workers], true, &STOP).unwrap();
        assert!(outcome.interrupted, "point {i}");
    }
    with_stop(-1);
    outcome = train::resume(&place.run, &[], true, &STOP).unwrap();
    assert!(!outcome.interrupted);
    assert_same_run(whole, &place.run, &format!("{sets:?}, stopped after {points:?}"));
}

#[test]
fn stopped_in_the_middle_of_a_rollout() {
    let _turn = TURN.lock().unwrap();
    LazyLock::force(&REGISTERED);
    let common = ["env.id=Stopping-v0", "run.env_steps=3_003", "run.evaluation_every_env_steps=1_000"];
    let scaled = ["learner.normalize_observations=true", "learner.normalize_rewards=true"];
    let kept = |sets: &[&'static str]| [&scaled[..], &["learner.preserve_values=true"], sets].concat();
    let model = kept(&["agent.kind=relax-a2c", "agent.control_variate=model"]);
    let window = kept(&["agent.kind=a2c", "agent.baseline_window=4"]);
    let variants: [&[&str]; 11] = [
        &model,
        &window,
        &["rollout.workers=0"],
        // Many epochs: the signal comes while the critics are being fitted and the next rollout is under way.
        &["rollout.workers=2", "learner.value_epochs=1000"],
        &["agent.noise=independent", "agent.variance_objective=weights", "learner.anneal=true"],
        &["agent.kind=relax-a2c", "agent.control_variate=model", "learner.normalize_observations=true"],
        &["agent.kind=relax-a2c", "agent.control_variate=model", "agent.own_action=relaxed"],
        &["agent.kind=relax-a2c", "agent.control_variate=dae"],
        &["agent.kind=reinforce", "rollout.mode=episodes", "agent.baseline=learned"],
        &["agent.kind=a2c", "learner.optimizer=rmsprop-tf", "rollout.workers=3"],
        &["agent.kind=ppo", "learner.normalize_rewards=true"],
    ];
    for variant in variants {
        let sets = [&common[..], variant].concat();
        STEPS_LEFT.store(-1, Ordering::SeqCst);
        let whole = trained(&config(RUN, &sets));
        interrupted_at(&[0], &sets, &whole.run);
        interrupted_at(&[64], &sets, &whole.run);
        interrupted_at(&[500, 3, 700, 65, 1_000], &sets, &whole.run);
    }
}

/// A run that is asked to stop before it has begun has a checkpoint, and goes on from it.
#[test]
fn stopped_before_the_first_update() {
    let place = place();
    let sets = ["run.env_steps=2_000"];
    let options = options(&place.run);
    options.stop.store(true, Ordering::SeqCst);
    let outcome = train::train(&config(RUN, &sets), &options).unwrap();
    assert!(outcome.interrupted);
    assert_eq!((outcome.summary.env_steps, outcome.summary.episodes), (0, 0));
    resumed(&place.run, &["rollout.workers=3"]);
    assert_same_run(&trained(&config(RUN, &sets)).run, &place.run, "stopped at once");
}

#[test]
fn a_finished_run_stays_as_it_is() {
    let place = trained(&config(RUN, &["run.env_steps=2_000"]));
    let copy = trained(&config(RUN, &["run.env_steps=2_000"]));
    for workers in ["rollout.workers=0", "rollout.workers=2"] {
        let outcome = resumed(&place.run, &[workers]);
        assert_eq!(outcome.summary.env_steps, 2_000);
        assert_same_run(&copy.run, &place.run, "finished and resumed");
    }
    // A smaller budget than what was used asks for nothing.
    assert_eq!(resumed(&place.run, &["run.env_steps=1_000"]).summary.env_steps, 2_000);
}

/// A larger budget on resume is the longer run from the start, if no schedule ends with the budget and the shorter one ended
/// with a whole batch.
#[test]
fn a_longer_budget() {
    let constant = |steps| config(RUN, &["learner.anneal=false", steps]);
    let long = trained(&constant("run.env_steps=6_400"));
    let place = trained(&constant("run.env_steps=3_200"));
    resumed(&place.run, &["run.env_steps=6_400"]);
    let whole_batches = "3200 = 50 batches of 64";
    for file in ["metrics.csv", "episodes.csv"] {
        assert_eq!(columns(&long.run.join(file)), columns(&place.run.join(file)), "{whole_batches}: {file}");
    }
    // The shorter run was judged at its end, and that stays: it knows one evaluation more.
    let without = |dir: &Path| {
        let mut arrays = tensors(&latest(dir));
        arrays.retain(|name, _| !["best", "log_positions"].contains(&name.as_str()));
        arrays
    };
    assert!(without(&long.run) == without(&place.run), "{whole_batches}: the arrays differ");
    assert_eq!(summary(&long.run), summary(&place.run), "{whole_batches}");

    // 3210 steps end with a batch of 10 steps, which the longer run does not have: another run, of the exact budget.
    let place = trained(&constant("run.env_steps=3_210"));
    let outcome = resumed(&place.run, &["run.env_steps=6_400"]);
    assert_eq!(outcome.summary.env_steps, 6_400);
    assert_ne!(columns(&long.run.join("metrics.csv")), columns(&place.run.join("metrics.csv")));
}

/// Learning rates fall to 0 at the end of the budget; a longer one on resume lets them fall to 0 at its own end from there on.
#[test]
fn a_longer_budget_has_its_own_schedule() {
    let place = trained(&config(RUN, &["run.env_steps=3_200", "learner.anneal=true"]));
    resumed(&place.run, &["run.env_steps=6_400"]);
    let [steps, rates] =
        ["env_steps", "learning_rate"].map(|name| numbers(&place.run.join("metrics.csv"), name));
    assert_eq!(steps.last(), Some(&6_400.0));
    for (&after, rate) in steps.iter().zip(rates) {
        let budget = if after <= 3_200.0 { 3_200.0 } else { 6_400.0 };
        let before = after - 64.0;
        assert!((rate - 1e-2 * (1.0 - before / budget)).abs() < 1e-9, "{after}: {rate}");
    }
}

/// `relax resume` ends with exit code 2, says each of `parts`, and leaves the run folder as it was.
#[track_caller]
fn refused(run: &Path, arguments: &[&str], parts: &[&str]) {
    let before = files(run);
    let output = relax().arg("resume").arg(run).args(arguments).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
    assert!(error.starts_with("error: ") && !error.contains("panicked"), "{error}");
    for part in parts {
        assert!(error.contains(part), "{arguments:?} should say {part:?}, but says: {error}");
    }
    assert!(before == files(run), "{arguments:?} changed the run folder");
}

/// Every file of a folder with its bytes.
fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            all.push((path.clone(), std::fs::read(&path).unwrap()));
        }
    }
    all.sort();
    all
}

#[test]
fn what_is_learned_cannot_change_on_resume() {
    let place = trained(&config(RUN, &["run.env_steps=500"]));
    for set in [
        "learner.gamma=0.9",
        "learner.learning_rate=1e-4",
        "agent.kind=a2c",
        "agent.hidden=[16]",
        "env.id=Acrobot-v1",
        "rollout.envs=8",
        "rollout.steps=8",
        "run.seed=4",
    ] {
        let key = set.split('=').next().unwrap();
        refused(&place.run, &["--set", set], &[key, "cannot change when a run is resumed", "hint: "]);
    }
    refused(&place.run, &["--workers", "5"], &["rollout.workers"]);
}

#[test]
fn damaged_checkpoints_are_refused() {
    let place = trained(&config(RUN, &["run.env_steps=500"]));
    let path = latest(&place.run);
    let good = std::fs::read(&path).unwrap();
    let header = 8 + u64::from_le_bytes(good[..8].try_into().unwrap()) as usize;
    let flip = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 0x10;
        bytes
    };
    let with_length = |length: u64| [&length.to_le_bytes()[..], &good[8..]].concat();
    let replaced = |from: &str, to: &str| {
        let text: String = good.iter().map(|&byte| char::from(byte)).collect();
        assert!(text.contains(from), "{from}");
        text.replace(from, to).chars().map(|c| c as u8).collect::<Vec<u8>>()
    };
    for (what, bytes, reason) in [
        ("empty", Vec::new(), "cut short"),
        ("seven bytes", good[..7].to_vec(), "cut short"),
        ("half", good[..good.len() / 2].to_vec(), "bytes"),
        ("one byte less", good[..good.len() - 1].to_vec(), "bytes"),
        ("one byte more", [&good[..], &[0]].concat(), "bytes"),
        ("a bit of a weight", flip(good.len() - 5), "checksum"),
        ("a bit of an environment's state", flip(header + 3), "checksum"),
        ("a huge header", with_length(u64::MAX), "header"),
        ("a header as long as the file", with_length(good.len() as u64), "header"),
        ("another version", replaced("\"format_version\":\"1\"", "\"format_version\":\"9\""), "version 9"),
        ("another program's", replaced("relax-rl checkpoint", "relax-xx checkpoint"), "not of this program"),
        ("another configuration", replaced("gamma = 0.99", "gamma = 0.98"), "checksum"),
        ("text", b"[env]\nid = \"CartPole-v1\"\n".to_vec(), "not a usable checkpoint"),
    ] {
        std::fs::write(&path, &bytes).unwrap();
        println!("{what}");
        refused(&place.run, &[], &["latest.safetensors", reason, "hint: "]);
    }
    std::fs::remove_file(&path).unwrap();
    refused(&place.run, &[], &["there is no checkpoint", "latest.safetensors", "hint: "]);
    std::fs::create_dir(&path).unwrap();
    refused(&place.run, &[], &["latest.safetensors"]);
    std::fs::remove_dir(&path).unwrap();
    std::fs::write(&path, &good).unwrap();
    resumed(&place.run, &[]);
}

/// Not a summary any more: whoever needs it is told what writes it again, and that does.
#[test]
fn a_damaged_summary_is_written_again_by_resuming() {
    let place = trained(&config(RUN, &["run.env_steps=500"]));
    let (path, whole) = (place.run.join("summary.json"), summary(&place.run));
    std::fs::write(&path, "{\"env\": ").unwrap();
    let error = Summary::load(&path).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    assert!(error.to_string().contains("summary.json"), "{error}");
    let remedy = format!("`relax resume {}`", place.run.display());
    assert!(error.hint().is_some_and(|hint| hint.contains(&remedy)), "{:?}", error.hint());
    resumed(&place.run, &[]);
    assert_eq!(summary(&place.run), whole);
}

/// Sealed with a right checksum, but with other content than this run's.
#[test]
fn checkpoints_of_another_shape_are_refused() {
    let place = trained(&config(RUN, &["run.env_steps=500"]));
    let path = latest(&place.run);
    let (header, state) = checkpoint::load(&path).unwrap();
    let without = |prefix: &str| {
        let mut less = StateDict::new();
        for (name, tensor) in state.iter().filter(|(name, _)| !name.starts_with(prefix)) {
            less.insert(name, tensor.clone());
        }
        less
    };
    let with = |name: &str, tensor: StateTensor| {
        let mut other = state.clone();
        other.insert(name, tensor);
        other
    };
    let configured = |from: &str, to: &str| {
        let mut other = header.clone();
        assert!(other.config.contains(from), "{from} in {}", other.config);
        other.config = other.config.replace(from, to);
        other
    };
    let same = || header.clone();
    let ints = StateTensor::U64;
    let floats = StateTensor::F64;
    for (what, header, state) in [
        ("wider", configured("hidden = [8]", "hidden = [16]"), state.clone()),
        ("another agent", configured("relax-a2c", "reinforce"), state.clone()),
        ("more environments", configured("envs = 4", "envs = 8"), state.clone()),
        ("another environment", configured("CartPole-v1", "Acrobot-v1"), state.clone()),
        ("an unknown environment", configured("CartPole-v1", "CartPole-v9"), state.clone()),
        ("no configuration", configured("[env]", "[evn]"), state.clone()),
        ("no weights", same(), without("agent.policy")),
        ("no optimiser", same(), without("agent.critic.optimizer")),
        ("no streams", same(), without("actors.action_streams")),
        ("no tracker", same(), without("tracker")),
        ("no counters", same(), without("counters")),
        ("no clock", same(), without("clock")),
        ("no positions", same(), without("log_positions")),
        ("short totals", same(), with("actors.totals", floats(vec![0.0]))),
        ("short lengths", same(), with("actors.lengths", ints(vec![]))),
        ("short environments", same(), with("actors.environments", floats(vec![0.0; 4]))),
        ("impossible environments", same(), with("actors.environments", floats(vec![f64::NAN; 28]))),
        ("no seeds", same(), with("actors.environment_streams", ints(vec![0; 36]))),
        ("positions beyond the files", same(), with("log_positions", ints(vec![1 << 60; 8]))),
        ("three counters", same(), with("counters", ints(vec![1, 2, 3]))),
        ("counters as floats", same(), with("counters", floats(vec![1.0, 2.0]))),
        ("a milestone of one number", same(), with("tracker.solved", floats(vec![1.0]))),
    ] {
        checkpoint::save(&path, &header, &state).unwrap();
        println!("{what}");
        refused(&place.run, &[], &["hint: "]);
    }
}
