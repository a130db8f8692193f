//! What the whole-program tests share: running the program or the library, and reading what a run left behind without
//! what depends on the clock.

#![allow(dead_code)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use relax_envs::{ActionRef, Env, EnvError, EnvRng, EnvSpec, Space, Step};
use relax_nn::StateTensor;
use relax_rl::checkpoint;
use relax_rl::config::Config;
use relax_rl::logging::Summary;
use relax_rl::train::{self, Outcome, TrainOptions};

/// A temporary folder, and the run folder in it (which does not exist yet).
pub struct Place {
    /// Deleted with everything in it when this goes.
    pub root: tempfile::TempDir,
    /// The run folder.
    pub run: PathBuf,
}

/// A fresh place for one run.
pub fn place() -> Place {
    let root = tempfile::tempdir().expect("a temporary folder");
    let run = root.path().join("run");
    Place { root, run }
}

/// `text` with `sets` applied, as `relax train CONFIG --set …` reads it.
#[track_caller]
pub fn config(text: &str, sets: &[&str]) -> Config {
    let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
    Config::from_toml(text, "test.toml", &sets).unwrap_or_else(|error| panic!("{sets:?}: {error}"))
}

/// Options of a run that shows nothing and that nobody stops.
pub fn options(out: &Path) -> TrainOptions {
    TrainOptions { out: out.to_owned(), quiet: true, stop: Arc::new(AtomicBool::new(false)) }
}

/// Trains to the end in a fresh place.
#[track_caller]
pub fn trained(config: &Config) -> Place {
    let place = place();
    train_in(&place, config);
    place
}

/// Trains to the end.
#[track_caller]
pub fn train_in(place: &Place, config: &Config) -> Outcome {
    let outcome = train::train(config, &options(&place.run)).unwrap_or_else(|error| panic!("{error}"));
    assert!(!outcome.interrupted);
    outcome
}

/// Resumes to the end.
#[track_caller]
pub fn resumed(dir: &Path, sets: &[&str]) -> Outcome {
    let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
    train::resume(dir, &sets, true, &Arc::default()).unwrap_or_else(|error| panic!("{error}"))
}

/// The program, to be given arguments.
pub fn relax() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_relax"));
    // Sentences stay whole, so that they can be looked for (tests/terminal.rs looks at how they are broken).
    command.env("COLUMNS", "1000");
    command
}

/// A CSV file by columns, without those that depend on the clock.
#[track_caller]
pub fn columns(path: &Path) -> BTreeMap<String, Vec<String>> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().expect("a heading").split(',').collect();
    let mut columns: BTreeMap<String, Vec<String>> =
        names.iter().map(|&name| (name.to_owned(), Vec::new())).collect();
    for line in lines {
        let cells: Vec<&str> = line.split(',').collect();
        assert_eq!(cells.len(), names.len(), "{}: {line}", path.display());
        for (name, cell) in names.iter().zip(cells) {
            columns.get_mut(*name).expect("a column").push(cell.to_owned());
        }
    }
    columns.retain(|name, _| name != "wall_seconds" && name != "env_steps_per_second");
    columns
}

/// One column of a CSV file as numbers; empty cells are NaN.
#[track_caller]
pub fn numbers(path: &Path, column: &str) -> Vec<f64> {
    let columns = columns(path);
    let cells = columns.get(column).unwrap_or_else(|| panic!("no column {column}"));
    cells.iter().map(|cell| cell.parse().unwrap_or(f64::NAN)).collect()
}

/// The arrays of a checkpoint, bit patterns and all, without what depends on the clock.
#[track_caller]
pub fn tensors(path: &Path) -> BTreeMap<String, Vec<u64>> {
    let (_, state) = checkpoint::load(path).unwrap_or_else(|error| panic!("{error}"));
    let mut all = BTreeMap::new();
    for (name, tensor) in state.iter() {
        let mut bits: Vec<u64> = match tensor {
            StateTensor::F32 { data, .. } => data.iter().map(|x| u64::from(x.to_bits())).collect(),
            StateTensor::F64(data) => data.iter().map(|x| x.to_bits()).collect(),
            StateTensor::U64(data) => data.clone(),
            StateTensor::U8(data) => data.iter().map(|&x| u64::from(x)).collect(),
        };
        match name {
            "clock" => continue,
            // Bytes and rows of each file: a time may take more digits.
            "log_positions" => bits = bits.chunks(2).map(|position| position[1]).collect(),
            // The last number of a milestone is when it was reached.
            "tracker.solved" | "tracker.first_195" => drop(bits.pop()),
            _ => {}
        }
        all.insert(name.to_owned(), bits);
    }
    all
}

/// One array of a checkpoint as 32-bit floats.
#[track_caller]
pub fn weights(dir: &Path, name: &str) -> Vec<f32> {
    let (_, state) = checkpoint::load(&latest(dir)).unwrap_or_else(|error| panic!("{error}"));
    match state.get(name) {
        Ok(StateTensor::F32 { data, .. }) => data.clone(),
        other => panic!("{name}: {other:?}"),
    }
}

/// The newest checkpoint of a run folder.
pub fn latest(dir: &Path) -> PathBuf {
    train::latest_checkpoint(dir)
}

/// The summary of a run folder, its times set to 0.
#[track_caller]
pub fn summary(dir: &Path) -> Summary {
    let mut summary = Summary::load(&dir.join("summary.json")).unwrap_or_else(|error| panic!("{error}"));
    (summary.wall_seconds, summary.env_steps_per_second) = (0.0, 0.0);
    for milestone in [&mut summary.solved, &mut summary.first_195].into_iter().flatten() {
        milestone.wall_seconds = 0.0;
    }
    summary
}

/// Two run folders hold the same run, bit for bit, wall-clock times aside.
#[track_caller]
pub fn assert_same_run(a: &Path, b: &Path, what: &str) {
    for file in ["metrics.csv", "episodes.csv", "evaluations.csv"] {
        let (a, b) = (columns(&a.join(file)), columns(&b.join(file)));
        assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>(), "{what}: {file}");
        for (name, cells) in &a {
            let differs = cells.iter().zip(&b[name]).position(|(a, b)| a != b);
            assert!(
                differs.is_none() && cells.len() == b[name].len(),
                "{what}: {file}, column {name}: {} and {} rows, first difference in row {differs:?}",
                cells.len(),
                b[name].len()
            );
        }
    }
    assert_same_tensors(&latest(a), &latest(b), what);
    let (best_a, best_b) = (train::best_checkpoint(a), train::best_checkpoint(b));
    assert_eq!(best_a.exists(), best_b.exists(), "{what}: best");
    if best_a.exists() {
        assert_same_tensors(&best_a, &best_b, &format!("{what}: best"));
    }
    assert_eq!(summary(a), summary(b), "{what}");
}

/// Two checkpoints hold the same arrays, bit for bit, wall-clock times aside.
#[track_caller]
pub fn assert_same_tensors(a: &Path, b: &Path, what: &str) {
    let (a, b) = (tensors(a), tensors(b));
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>(), "{what}");
    for (name, bits) in &a {
        assert!(bits == &b[name], "{what}: the arrays `{name}` differ");
    }
}

/// What a [`TestEnv`] does in a step: its number in the episode (from 0), the action and the state that it may change.
pub type Behaviour = fn(&mut TestState, ActionRef<'_>, &mut EnvRng) -> Result<Step, EnvError>;

/// The state of a [`TestEnv`].
#[derive(Debug, Clone, Default)]
pub struct TestState {
    /// Which of the environments made by this registration it is, in order, from 0.
    pub instance: usize,
    /// Steps taken in this episode before this one.
    pub t: u32,
    /// Episodes begun.
    pub episodes: u32,
    /// Drawn at the start of each episode.
    pub draw: usize,
    /// Written by the behaviour.
    pub observation: Vec<f32>,
}

/// A small environment for a test: `dim` observations, `reset` and `step` as given. It cannot save its state.
pub struct TestEnv {
    state: TestState,
    observation_space: Space,
    action_space: Space,
    reset: fn(&mut TestState, &mut EnvRng),
    step: Behaviour,
}

impl Env for TestEnv {
    fn observation_space(&self) -> &Space {
        &self.observation_space
    }

    fn action_space(&self) -> &Space {
        &self.action_space
    }

    fn reset(&mut self, rng: &mut EnvRng, observation: &mut [f32]) -> Result<(), EnvError> {
        self.state.t = 0;
        self.state.episodes += 1;
        (self.reset)(&mut self.state, rng);
        observation.copy_from_slice(&self.state.observation);
        Ok(())
    }

    fn step(
        &mut self,
        action: ActionRef<'_>,
        rng: &mut EnvRng,
        observation: &mut [f32],
    ) -> Result<Step, EnvError> {
        let step = (self.step)(&mut self.state, action, rng)?;
        self.state.t += 1;
        observation.copy_from_slice(&self.state.observation);
        Ok(step)
    }
}

/// A [`TestEnv`] as the registry takes it.
pub fn test_env(
    id: &str,
    dim: usize,
    action_space: Space,
    reset: fn(&mut TestState, &mut EnvRng),
    step: Behaviour,
) -> EnvSpec {
    let made = std::sync::atomic::AtomicUsize::new(0);
    EnvSpec::new(id, "an environment of a test", move |_| {
        let instance = made.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Ok(Box::new(TestEnv {
            state: TestState { instance, observation: vec![0.0; dim], ..TestState::default() },
            observation_space: Space::uniform_box(-1e6, 1e6, &[dim]),
            action_space: action_space.clone(),
            reset,
            step,
        }))
    })
}

/// The index of a discrete action.
#[track_caller]
pub fn choice(action: ActionRef<'_>) -> usize {
    match action {
        ActionRef::Discrete(index) => index,
        other => panic!("{other:?}"),
    }
}
