//! [`Task`]: something that can be trained; and [`Run`], the one loop that trains it, whatever it is.
//!
//! ```text
//! step → evaluate, if that is due → save, if that is due → step → …   until the task is over or somebody wants it to stop
//! ```
//! The loop owns the run folder: logs, checkpoints and their rhythm, progress, clocks, stopping and what to say when something
//! fails. The task owns what is learned. Figures at the end of a run are the business of whoever started it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use relax_nn::{StateDict, StateError, StateTensor};

use crate::checkpoint::{self, Header};
use crate::clock::Clock;
use crate::error::Error;
use crate::files;
use crate::logging::{Logs, Progress, Shown, Table};
use crate::owner::Owner;
use crate::run::{CHECKPOINTS, best_checkpoint, latest_checkpoint};

/// Something that is trained step by step. Positions are counted in the unit of its budget: environment steps, iterations.
pub trait Task {
    /// What is shown of it while it trains.
    type Status: Shown;

    /// The tables that it writes, in the order in which [`Logs::row`] counts them.
    fn tables(&self) -> Vec<Table>;

    /// What its checkpoints say about themselves: the resolved configuration, and notes.
    fn header(&self) -> Header;

    /// Its budget, and how often it is evaluated and saved.
    fn schedule(&self) -> Schedule;

    /// How far it is.
    fn position(&self) -> u64;

    /// The position at which it was last evaluated.
    fn evaluated(&self) -> u64;

    /// Whether there is nothing left to do.
    fn is_over(&self) -> bool {
        self.position() >= self.schedule().budget
    }

    /// Whether the last step was left off in its middle, because the run is to stop: the next one brings it to its end, and until
    /// then there is nothing to evaluate. Such a task is not over.
    fn is_midway(&self) -> bool {
        false
    }

    /// Whether [`state`](Self::state) can be asked for. A task that goes on working between two steps is at rest only if it was
    /// told of a pause before ([`Pause`]).
    fn is_at_rest(&self) -> bool {
        true
    }

    /// Whether the last evaluation belongs to the saved state, so that a run that is extended goes on from it. Otherwise it is made
    /// anew whenever the run comes to its end.
    fn keeps_last_evaluation(&self) -> bool {
        false
    }

    /// Whether, after a failed step, the state before it can still be saved.
    fn can_still_be_saved(&self) -> bool {
        false
    }

    /// How it stands.
    fn status(&self) -> Self::Status;

    /// Trains for one step and logs it. As soon as the position after it is known, `pause` says whether the task must be at
    /// rest then.
    ///
    /// # Errors
    /// If training fails.
    fn step(&mut self, journal: &mut Journal, pause: &Pause<'_>) -> Result<(), Error>;

    /// Evaluates and logs what is found; `last`: there will be no more training.
    ///
    /// # Errors
    /// If the evaluation fails.
    fn evaluate(&mut self, journal: &mut Journal, last: bool, stop: &AtomicBool) -> Result<Evaluated, Error>;

    /// Everything that must survive a checkpoint, but for what the loop itself keeps. The names `log_positions` and `clock` are
    /// the loop's.
    ///
    /// # Errors
    /// If it cannot be had, because a worker is gone for example.
    fn state(&mut self) -> Result<StateDict, Error>;

    /// Takes over what [`state`](Self::state) gave.
    ///
    /// # Errors
    /// If it does not fit.
    fn restore(&mut self, state: &StateDict) -> Result<(), Error>;
}

/// The rhythm of a run, in the unit of its budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// Where it ends.
    pub budget: u64,
    /// Between evaluations; 0: at the end only.
    pub evaluate_every: u64,
    /// Between checkpoints; 0: at the end and when the run is interrupted.
    pub save_every: u64,
    /// Leave out those that come sooner than a hundred times as long after the last as that took to write.
    pub sparing: bool,
}

/// A [sparing](Schedule::sparing) run spends one part in so many of its time on checkpoints, at most.
const SPARED: u32 = 100;

impl Schedule {
    /// Whether a checkpoint may be written so long after the last, which took `took`.
    fn is_due(&self, since: Duration, took: Duration) -> bool {
        !self.sparing || since >= took * SPARED
    }
}

/// How an evaluation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evaluated {
    /// In its middle, because somebody wants the run to stop.
    Stopped,
    /// At its end.
    Done {
        /// Whether the model is the best so far and is to be kept.
        keep: bool,
    },
}

/// What a run writes and shows.
#[derive(Debug)]
pub struct Journal {
    /// The run folder.
    pub dir: PathBuf,
    /// Tables and events.
    pub logs: Logs,
    /// What is shown.
    pub progress: Progress,
    /// Time spent.
    pub clock: Clock,
    /// The folder is this process's as long as the journal is open.
    _owner: Owner,
}

/// Whether the loop wants the task at rest after the step under way.
#[derive(Debug)]
pub struct Pause<'a> {
    schedule: Schedule,
    before: u64,
    evaluated: u64,
    saves: bool,
    stop: &'a AtomicBool,
}

impl Pause<'_> {
    /// Whether it does, `position` being the one after the step, and `over` whether the run ends there.
    #[must_use]
    pub fn wanted(&self, position: u64, over: bool) -> bool {
        over || (self.saves && crossed(self.schedule.save_every, self.before, position))
            || crossed(self.schedule.evaluate_every, self.evaluated, position)
            || self.stop.load(Ordering::Relaxed)
    }
}

/// Whether a multiple of `every` lies in `before + 1 ..= now`; never for 0.
fn crossed(every: u64, before: u64, now: u64) -> bool {
    every > 0 && now / every > before / every
}

/// A task with its run folder.
#[derive(Debug)]
pub struct Run<T> {
    task: T,
    journal: Journal,
    /// When the newest checkpoint was there, and how long it took.
    saved: (Instant, Duration),
}

/// How a run ended.
#[derive(Debug)]
pub struct Ended<T> {
    /// The task as it is now.
    pub task: T,
    /// Its journal.
    pub journal: Journal,
    /// Whether it was stopped before its end, after a checkpoint.
    pub interrupted: bool,
}

/// Refuses a run folder that holds a run already.
///
/// # Errors
/// If it does.
pub fn check_fresh(dir: &Path) -> Result<(), Error> {
    if latest_checkpoint(dir).exists() || dir.join("config.toml").exists() {
        let message = format!("the run folder {} holds a run already", dir.display());
        return Err(Error::input(message).with_hint(format!("`relax resume {}` continues it", dir.display())));
    }
    Ok(())
}

impl<T: Task> Run<T> {
    /// Begins the run folder `dir` of a task that stands at its start. Its first checkpoint is there at once, so that a run can
    /// be resumed however early it is killed.
    ///
    /// # Errors
    /// If the folder holds a run already or cannot be written to.
    pub fn fresh(mut task: T, dir: &Path, quiet: bool) -> Result<Self, Error> {
        check_fresh(dir)?;
        std::fs::create_dir_all(dir.join(CHECKPOINTS)).map_err(|source| Error::io("create", dir, source))?;
        let mut owner = Owner::take(dir, "run folder")?;
        // Another process may have begun a run here meanwhile.
        check_fresh(dir)?;
        sign(&mut owner, dir)?;
        write_config(dir, &task.header())?;
        let progress = Progress::new(task.schedule().budget, 0, quiet);
        let mut logs = Logs::create(dir, &task.tables())?;
        logs.settings(&task.header().config)?;
        let mut journal = Journal { dir: dir.to_owned(), logs, progress, clock: Clock::new(), _owner: owner };
        let saved = timed(|| save(&mut task, &mut journal, &latest_checkpoint(dir)))?;
        Ok(Self { task, journal, saved })
    }

    /// Goes on with the run folder `dir` of `owner`, whose newest checkpoint holds `state`.
    ///
    /// # Errors
    /// If the state does not fit the task, or a log file is not what it was.
    pub fn resumed(
        mut task: T,
        dir: &Path,
        quiet: bool,
        state: &StateDict,
        mut owner: Owner,
    ) -> Result<Self, Error> {
        let bad = |error: StateError| misfit(dir, &error);
        let positions = state.u64("log_positions").map_err(bad)?.to_vec();
        let times = state.f64_array("clock").map_err(bad)?;
        task.restore(state).map_err(|error| match error.hint() {
            Some(_) => error,
            None => misfit(dir, &error),
        })?;
        // Opening the logs cuts them back to the checkpoint: nothing in the checkpoint may be found wrong after that.
        let logs = Logs::resume(dir, &task.tables(), &positions)?;
        sign(&mut owner, dir)?;
        write_config(dir, &task.header())?;
        let progress = Progress::new(task.schedule().budget, task.position(), quiet);
        let mut clock = Clock::new();
        clock.restore(times);
        let journal = Journal { dir: dir.to_owned(), logs, progress, clock, _owner: owner };
        Ok(Self { task, journal, saved: (Instant::now(), Duration::ZERO) })
    }

    /// The task.
    #[must_use]
    pub fn task(&self) -> &T {
        &self.task
    }

    /// The journal, to show a message in.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Runs to the end of the budget, or until the task is over before it, or until `stop`.
    ///
    /// # Errors
    /// If the task fails or a file cannot be written; the hint then names the last good checkpoint.
    pub fn go(mut self, stop: &AtomicBool) -> Result<Ended<T>, Error> {
        match self.train(stop).and_then(|finished| self.end(finished, stop)) {
            Ok(interrupted) => Ok(Ended { task: self.task, journal: self.journal, interrupted }),
            Err(error) => {
                let _ = self.journal.logs.flush();
                let hint = advice(&error, &self.journal.dir);
                Err(error.with_hint(hint))
            }
        }
    }

    /// Returns whether the task came to its end.
    fn train(&mut self, stop: &AtomicBool) -> Result<bool, Error> {
        let mut before = self.task.position();
        let mut saves = true;
        loop {
            let (schedule, position) = (self.task.schedule(), self.task.position());
            let over = self.task.is_over();
            // Also the evaluation in whose middle the run was stopped before.
            if crossed(schedule.evaluate_every, self.task.evaluated(), position)
                && !over
                && !self.task.is_midway()
                && !self.evaluate(false, stop)?
            {
                return Ok(false);
            }
            if saves && crossed(schedule.save_every, before, position) {
                self.save()?;
            }
            if over {
                return Ok(true);
            }
            // A step that is under way is finished first, or left off where it can be: only at rest is there a state to save.
            if stop.load(Ordering::Relaxed) && self.task.is_at_rest() {
                return Ok(false);
            }
            before = position;
            // Known before the step: a task that is not told of a pause cannot be saved.
            let (at, took) = self.saved;
            saves = schedule.is_due(at.elapsed(), took);
            let pause = Pause { schedule, before, evaluated: self.task.evaluated(), saves, stop };
            if let Err(error) = self.task.step(&mut self.journal, &pause) {
                if self.task.can_still_be_saved() {
                    self.save()?;
                }
                return Err(error);
            }
            self.journal.progress.update(&self.task.status());
        }
    }

    /// The end: last checkpoint, last evaluation. Returns whether the run was interrupted.
    fn end(&mut self, finished: bool, stop: &AtomicBool) -> Result<bool, Error> {
        // Whatever becomes of the last evaluation, what was learned is safe.
        self.save()?;
        let finished = finished && self.evaluate(true, stop)?;
        if finished && self.task.keeps_last_evaluation() {
            self.save()?;
        }
        self.journal.logs.flush()?;
        self.journal.progress.finish(&self.task.status());
        Ok(!finished)
    }

    /// Evaluates and keeps the model if it is the best so far; `false` if it was stopped.
    fn evaluate(&mut self, last: bool, stop: &AtomicBool) -> Result<bool, Error> {
        match self.task.evaluate(&mut self.journal, last, stop)? {
            Evaluated::Stopped => Ok(false),
            Evaluated::Done { keep } => {
                if keep {
                    let path = best_checkpoint(&self.journal.dir);
                    save(&mut self.task, &mut self.journal, &path)?;
                }
                Ok(true)
            }
        }
    }

    fn save(&mut self) -> Result<(), Error> {
        let path = latest_checkpoint(&self.journal.dir);
        self.saved = timed(|| save(&mut self.task, &mut self.journal, &path))?;
        Ok(())
    }
}

/// When `save` was done, and how long it took.
fn timed(save: impl FnOnce() -> Result<(), Error>) -> Result<(Instant, Duration), Error> {
    let start = Instant::now();
    save()?;
    Ok((Instant::now(), start.elapsed()))
}

fn sign(owner: &mut Owner, dir: &Path) -> Result<(), Error> {
    owner.sign().map_err(|source| Error::io("write to", dir, source))
}

/// How to go on after `error`. What the error itself advises comes first; what fails again at the same point, as a panicking
/// environment does, brings such advice.
fn advice(error: &Error, dir: &Path) -> String {
    let (checkpoint, dir) = (latest_checkpoint(dir), dir.display());
    let checkpoint = checkpoint.display();
    match error.hint() {
        Some(own) => format!("{own}; the last good checkpoint is {checkpoint}"),
        None if error.is_io() => format!(
            "when the disk takes files again, `relax resume {dir}` continues from the last good checkpoint, {checkpoint}"
        ),
        None => format!("the last good checkpoint is {checkpoint}; `relax resume {dir}` continues from it"),
    }
}

/// The error of a checkpoint in `dir` that does not fit the run.
fn misfit(dir: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::input(format!("{} does not fit this run: {error}", latest_checkpoint(dir).display()))
        .with_hint("a run resumes with the configuration it was started with")
}

/// Writes everything that the run consists of.
fn save<T: Task>(task: &mut T, journal: &mut Journal, path: &Path) -> Result<(), Error> {
    // What the checkpoint says the logs hold must be in them first.
    journal.logs.flush()?;
    let mut state = task.state()?;
    state.insert("log_positions", StateTensor::U64(journal.logs.positions()));
    state.insert("clock", StateTensor::F64(journal.clock.state().to_vec()));
    checkpoint::save(path, &task.header(), &state)?;
    Ok(())
}

fn write_config(dir: &Path, header: &Header) -> Result<(), Error> {
    let path = dir.join("config.toml");
    files::write_atomically(&path, header.config.as_bytes())
        .map_err(|source| Error::io("write", &path, source))
}

#[cfg(test)]
mod tests;
