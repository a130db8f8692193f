//! A task that counts, and the order in which the loop steps, evaluates and saves it.

use super::*;
use crate::logging::Cell;

/// Counts to its budget; what it does is its log.
struct Counter {
    count: u64,
    evaluated: u64,
    schedule: Schedule,
    /// How long its state takes.
    slowly: Duration,
    /// At this count the folder of the checkpoints becomes a file.
    breaks: Option<u64>,
    did: Vec<String>,
}

struct Count(u64);

impl Shown for Count {
    const UNIT: &'static str = "counts";

    fn position(&self) -> u64 {
        self.0
    }

    fn notes(&self) -> Vec<String> {
        Vec::new()
    }
}

impl Task for Counter {
    type Status = Count;

    fn tables(&self) -> Vec<Table> {
        vec![Table::new("counts.csv", ["count"])]
    }

    fn header(&self) -> Header {
        Header::new("[run]\n")
    }

    fn schedule(&self) -> Schedule {
        self.schedule
    }

    fn position(&self) -> u64 {
        self.count
    }

    fn evaluated(&self) -> u64 {
        self.evaluated
    }

    fn status(&self) -> Count {
        Count(self.count)
    }

    fn step(&mut self, journal: &mut Journal, pause: &Pause<'_>) -> Result<(), Error> {
        self.count += 2;
        let over = self.is_over();
        let rests = if pause.wanted(self.count, over) { " rests" } else { "" };
        self.did.push(format!("step {}{rests}", self.count));
        if self.breaks == Some(self.count) {
            let folder = journal.dir.join(CHECKPOINTS);
            std::fs::remove_dir_all(&folder).unwrap();
            std::fs::write(folder, "").unwrap();
        }
        journal.logs.row(0, &[Cell::Integer(self.count)])
    }

    fn evaluate(&mut self, _: &mut Journal, last: bool, stop: &AtomicBool) -> Result<Evaluated, Error> {
        if stop.load(Ordering::Relaxed) {
            return Ok(Evaluated::Stopped);
        }
        self.evaluated = self.count;
        self.did.push(format!("{} {}", if last { "judge" } else { "evaluate" }, self.count));
        Ok(Evaluated::Done { keep: true })
    }

    fn state(&mut self) -> Result<StateDict, Error> {
        self.did.push(format!("save {}", self.count));
        std::thread::sleep(self.slowly);
        let mut state = StateDict::new();
        state.insert("count", StateTensor::U64(vec![self.count, self.evaluated]));
        Ok(state)
    }

    fn restore(&mut self, state: &StateDict) -> Result<(), Error> {
        [self.count, self.evaluated] =
            state.u64_array("count").map_err(|error| Error::input(error.to_string()))?;
        Ok(())
    }
}

fn counter(budget: u64, evaluate_every: u64, save_every: u64) -> Counter {
    let schedule = Schedule { budget, evaluate_every, save_every, sparing: false };
    Counter { count: 0, evaluated: 0, schedule, slowly: Duration::ZERO, breaks: None, did: Vec::new() }
}

fn place() -> (tempfile::TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("run");
    (root, dir)
}

#[test]
fn steps_evaluations_and_checkpoints_come_in_their_order() {
    let (_root, dir) = place();
    let ended = Run::fresh(counter(9, 5, 4), &dir, true).unwrap().go(&AtomicBool::new(false)).unwrap();
    assert!(!ended.interrupted);
    let wanted = [
        "save 0",
        "step 2",
        "step 4 rests",
        "save 4",
        "step 6 rests",
        "evaluate 6",
        "save 6",
        "step 8 rests",
        "save 8",
        "step 10 rests",
        "save 10",
        "judge 10",
        "save 10",
    ];
    assert_eq!(ended.task.did, wanted);
    assert_eq!(std::fs::read_to_string(dir.join("counts.csv")).unwrap(), "count\n2\n4\n6\n8\n10\n");
    drop(ended.journal);
    let error = Run::fresh(counter(9, 5, 4), &dir, true).err().unwrap();
    assert!(error.exit_code() == 2 && error.hint().is_some_and(|hint| hint.contains("relax resume")));
}

/// A run that is to be sparing of them leaves out checkpoints that come soon after one that took long, but never the last.
#[test]
fn checkpoints_that_would_take_much_of_the_time_are_left_out() {
    let (_root, dir) = place();
    let mut task = counter(9, 0, 4);
    (task.schedule.sparing, task.slowly) = (true, Duration::from_millis(100));
    let ended = Run::fresh(task, &dir, true).unwrap().go(&AtomicBool::new(false)).unwrap();
    let wanted =
        ["save 0", "step 2", "step 4", "step 6", "step 8", "step 10 rests", "save 10", "judge 10", "save 10"];
    assert_eq!(ended.task.did, wanted);
    let (schedule, ms) = (ended.task.schedule, Duration::from_millis);
    assert!(!schedule.is_due(ms(399), ms(4)) && schedule.is_due(ms(400), ms(4)));
    assert!(Schedule { sparing: false, ..schedule }.is_due(ms(0), ms(4)));
}

#[test]
fn a_stop_saves_and_resuming_goes_on() {
    let (_root, dir) = place();
    let stop = AtomicBool::new(true);
    let ended = Run::fresh(counter(4, 0, 0), &dir, true).unwrap().go(&stop).unwrap();
    assert!(ended.interrupted && ended.task.did == ["save 0", "save 0"]);
    drop(ended);
    let owner = || Owner::take(&dir, "run folder").unwrap();
    let (_, state) = checkpoint::load(&latest_checkpoint(&dir)).unwrap();
    let run = Run::resumed(counter(4, 0, 0), &dir, true, &state, owner()).unwrap();
    let ended = run.go(&AtomicBool::new(false)).unwrap();
    assert!(!ended.interrupted && ended.task.count == 4);
    drop(ended);
    let mut other = state.clone();
    other.insert("log_positions", StateTensor::U64(vec![0; 2]));
    let error = Run::resumed(counter(4, 0, 0), &dir, true, &other, owner()).err().unwrap();
    assert!(error.hint().is_some_and(|hint| hint.contains("another version")), "{error}");
}

/// As on a full disk: the checkpoint cannot be written, and the user hears how to go on.
#[test]
fn a_disk_that_fails_is_answered_with_how_to_go_on() {
    let (_root, dir) = place();
    let task = Counter { breaks: Some(4), ..counter(8, 0, 4) };
    let error = Run::fresh(task, &dir, true).unwrap().go(&AtomicBool::new(false)).err().unwrap();
    assert_eq!(error.exit_code(), 1);
    let hint = error.hint().unwrap();
    assert!(hint.contains(&format!("`relax resume {}`", dir.display())), "{hint}");
    assert!(hint.contains("latest.safetensors"), "{hint}");
}
