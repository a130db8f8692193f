//! The runs of a sweep side by side: who does what next, and what becomes of it.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::plan::{self, Ending, Job, Results, Stage};
use super::table::Table;
use super::{SweepOptions, SweepOutcome};
use crate::vae::figures::draw_run;
use crate::vae::plot;
use relax_latent::task::{self, RunImages, VaeConfig};
use relax_runtime::run::TrainOptions;
use relax_runtime::{Error, jobs};

/// A sweep at work.
pub(super) struct Sweep {
    config: VaeConfig,
    images: RunImages,
    out: PathBuf,
    jobs: usize,
    quiet: bool,
    stop: Arc<AtomicBool>,
    board: Mutex<Board>,
    /// Something on the board has changed.
    changed: Condvar,
}

/// What the workers share.
#[derive(Default)]
struct Board {
    results: Results,
    /// Reported runs whose importance-weighted bounds are there too, by folder.
    reported: BTreeSet<String>,
    running: BTreeSet<String>,
    /// The first failure; all stop.
    failure: Option<Error>,
}

impl Board {
    fn is_done(&self, job: &Job) -> bool {
        let name = job.name();
        if job.tuning { self.results.contains_key(&name) } else { self.reported.contains(&name) }
    }

    fn put(&mut self, job: &Job, result: Ending) {
        if !job.tuning || result == Ending::Diverged {
            self.reported.insert(job.name());
        }
        self.results.insert(job.name(), result);
    }
}

impl Sweep {
    /// # Errors
    /// If a folder holds a run with other settings.
    pub fn new(config: VaeConfig, images: RunImages, options: &SweepOptions) -> Result<Self, Error> {
        let sweep = Self {
            config,
            images,
            out: options.out.clone(),
            jobs: options.jobs.max(1),
            quiet: options.quiet,
            stop: options.stop.clone(),
            board: Mutex::default(),
            changed: Condvar::new(),
        };
        sweep.look_around()?;
        Ok(sweep)
    }

    /// Notes what has been done already, and shows it.
    fn look_around(&self) -> Result<(), Error> {
        let mut board = self.board();
        let mut interrupted = 0;
        let config = &self.config;
        for &method in &config.sweep.methods {
            let mut jobs = plan::tuning_jobs(config, method);
            // Which runs are reported is known only when the tuning runs have been looked at.
            for reported in [false, true] {
                if reported {
                    let rate = plan::chosen_rate(config, method, &board.results);
                    jobs = rate.map(|rate| plan::report_jobs(config, method, rate)).unwrap_or_default();
                }
                for job in &jobs {
                    match job.stage(config, &self.out)? {
                        Stage::Ended(ending) => board.put(job, ending),
                        Stage::Interrupted => interrupted += 1,
                        Stage::Absent => {}
                    }
                }
            }
        }
        let (done, total) = (board.results.len(), self.total());
        self.say(&format!("{total} runs, {} at a time: {done} done, {interrupted} to continue", self.jobs));
        Ok(())
    }

    /// How many runs there are in all; one less for each tuning run that is reported too.
    fn total(&self) -> usize {
        let sweep = &self.config.sweep;
        let tuning = if sweep.learning_rates.len() > 1 { sweep.learning_rates.len() } else { 0 };
        let shared = usize::from(tuning > 0 && sweep.seeds.contains(&sweep.tuning_seed));
        sweep.methods.len() * (tuning + sweep.seeds.len() - shared)
    }

    pub fn go(self) -> Result<SweepOutcome, Error> {
        self.write_tables(&self.board().results)?;
        if jobs::pool(self.jobs, || self.next(), |job| self.work(&job)).is_err() {
            self.fail(Error::runtime("a run of the sweep panicked; the message is above"));
        }
        let mut board = self.board();
        let table = self.write_tables(&board.results)?;
        if board.failure.is_none() && self.is_over(&board) {
            // The runs that are reported: at the learning rate chosen, tuning runs left out.
            let folders = self.config.sweep.methods.iter().flat_map(|&method| {
                let rate = plan::chosen_rate(&self.config, method, &board.results);
                rate.map(|rate| plan::report_jobs(&self.config, method, rate)).unwrap_or_default()
            });
            let folders: Vec<PathBuf> = folders
                .filter(|job| matches!(board.results.get(&job.name()), Some(Ending::Finished(_))))
                .map(|job| job.folder(&self.out))
                .collect();
            if !folders.is_empty() {
                plot(&folders, &self.out.join("curves.png"))?;
            }
        }
        match board.failure.take() {
            Some(error) => Err(error),
            None => Ok(SweepOutcome {
                table,
                interrupted: self.stop.load(Ordering::Relaxed) && !self.is_over(&board),
            }),
        }
    }

    /// One run, and what becomes of it.
    fn work(&self, job: &Job) {
        let ended = catch_unwind(AssertUnwindSafe(|| self.run(job)));
        let mut board = self.board();
        board.running.remove(&job.name());
        let noted = match ended {
            Ok(Ok(Some(result))) => {
                let line = outcome(job, &result);
                board.put(job, result);
                self.say(&format!("[{}/{}] {line}", board.results.len(), self.total()));
                self.write_tables(&board.results).map(drop)
            }
            Ok(Ok(None)) => Ok(()),
            Ok(Err(error)) => Err(error),
            // Runs that wait for this one must hear of it.
            Err(_) => Err(Error::runtime("a run of the sweep panicked; the message is above")),
        };
        drop(board);
        if let Err(error) = noted {
            self.fail(error);
        }
        self.changed.notify_all();
    }

    /// The next run to work on; waits while it depends on one that is still at work. `None`: nothing is left, or all stop.
    fn next(&self) -> Option<Job> {
        let mut board = self.board();
        loop {
            if self.stop.load(Ordering::Relaxed) || board.failure.is_some() {
                return None;
            }
            let open = plan::open_jobs(&self.config, &board.results, |job| board.is_done(job));
            if let Some(job) = open.iter().find(|job| !board.running.contains(&job.name())) {
                board.running.insert(job.name());
                return Some(*job);
            }
            if board.running.is_empty() {
                return None;
            }
            board = self.changed.wait(board).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Starts or continues a run; `None` if it was stopped before its end.
    fn run(&self, job: &Job) -> Result<Option<Ending>, Error> {
        let folder = job.folder(&self.out);
        let config = job.config(&self.config);
        let ended = match job.stage(&self.config, &self.out)? {
            Stage::Ended(result) => return Ok(Some(result)),
            Stage::Interrupted => {
                task::resume_on(config, self.images.clone(), &folder, true, &self.stop, &draw_run)
            }
            Stage::Absent => {
                // What a kill left there before the first checkpoint is in the way of a fresh start.
                if folder.exists() {
                    std::fs::remove_dir_all(&folder)
                        .map_err(|source| Error::io("remove", &folder, source))?;
                }
                let options = TrainOptions { out: folder.clone(), quiet: true, stop: self.stop.clone() };
                task::train_on(&config, self.images.clone(), &options, &draw_run)
            }
        };
        match ended {
            Ok(outcome) if outcome.interrupted => Ok(None),
            Ok(outcome) => Ok(Some(Ending::Finished(Box::new(outcome.summary)))),
            Err(error) => match job.stage(&self.config, &self.out) {
                Ok(Stage::Ended(Ending::Diverged)) => Ok(Some(Ending::Diverged)),
                _ => Err(error),
            },
        }
    }

    /// Keeps the first failure and lets all runs stop.
    fn fail(&self, error: Error) {
        self.board().failure.get_or_insert(error);
        self.stop.store(true, Ordering::Relaxed);
        self.changed.notify_all();
    }

    fn is_over(&self, board: &Board) -> bool {
        plan::open_jobs(&self.config, &board.results, |job| board.is_done(job)).is_empty()
    }

    fn write_tables(&self, results: &Results) -> Result<Table, Error> {
        let table = Table::new(&self.config, results);
        table.save(&self.out)?;
        Ok(table)
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say(&self, text: &str) {
        if !self.quiet {
            use std::io::Write;
            let _ = writeln!(std::io::stderr(), "{text}");
        }
    }
}

/// A line about a run that has ended.
fn outcome(job: &Job, result: &Ending) -> String {
    let what = match result {
        Ending::Diverged => "diverged".to_owned(),
        Ending::Finished(summary) => {
            let bound = |bound: Option<crate::vae::Bound>| bound.map_or(f64::NAN, |bound| bound.mean);
            format!(
                "train {:.2}, validation {:.2}, {:.0} iterations/s",
                bound(summary.train),
                bound(summary.validation),
                summary.iterations_per_second
            )
        }
    };
    let why = if job.tuning { " (tuning)" } else { "" };
    format!("{} at {:e}, seed {}{why}: {what}", job.method, job.rate, job.seed)
}
