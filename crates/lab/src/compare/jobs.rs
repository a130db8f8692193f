//! Makes the runs of a comparison: several at once, each begun, continued or found finished.

use std::fs;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::plan::Job;
use relax_runtime::run::{TrainOptions, latest_checkpoint};
use relax_runtime::{Error, jobs};
use relax_training::Summary;
use relax_training::{Config, train};

/// Makes runs that this process does not make itself.
pub trait Maker: std::fmt::Debug + Send + Sync {
    /// Trains as `config` says into the folder `dir`, or goes on with the run that is there if it has begun; `dir` holds the run folder in
    /// the end. Called by several threads at a time. Once `stop` is set nobody waits for it.
    ///
    /// # Errors
    /// If the run fails.
    fn make(&self, config: &Config, dir: &Path, begun: bool, stop: &AtomicBool) -> Result<(), Error>;
}

/// How to make runs.
#[derive(Debug, Clone, Copy)]
pub struct How<'a> {
    /// How many at a time, at least one.
    pub threads: usize,
    /// Who makes them; this process if nobody else does.
    pub maker: Option<&'a dyn Maker>,
    /// Show nothing.
    pub quiet: bool,
    /// Once set, the runs under way are saved, and no others begun.
    pub stop: &'a Arc<AtomicBool>,
}

/// How making the runs ended.
#[derive(Debug, Default)]
pub struct Made {
    /// Runs that stopped with an error, with what it said.
    pub failed: Vec<(String, String)>,
    /// Whether a signal ended it before all runs were made.
    pub interrupted: bool,
}

/// What there is of a run already.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Nothing,
    Begun,
    Finished,
}

/// Makes `runs` under `folder` in their order. What is finished stays as it is; what was interrupted
/// or killed continues from its newest checkpoint, and comes to the same numbers.
///
/// # Errors
/// If a folder holds a run with other settings. Runs that fail are in the result instead: the others go on.
pub fn make(runs: &[Job], folder: &Path, how: How<'_>) -> Result<Made, Error> {
    let How { threads, quiet, stop, .. } = how;
    fs::create_dir_all(folder).map_err(|source| Error::io("create", folder, source))?;
    let mut open: Vec<(&Job, PathBuf, Found)> = Vec::new();
    for job in runs {
        let dir = folder.join(&job.folder);
        let found = find(job, &dir)?;
        if found != Found::Finished {
            open.push((job, dir, found));
        }
    }
    if !quiet {
        let (all, done) = (runs.len(), runs.len() - open.len());
        say(&format!("{all} runs, {done} of them finished; {threads} at a time"));
    }
    let count = AtomicUsize::new(0);
    let made = jobs::map(
        &open,
        threads,
        || stop.load(Ordering::Relaxed),
        |_, (job, dir, found)| {
            let outcome = run(job, dir, found, how);
            let number = count.fetch_add(1, Ordering::Relaxed) + 1;
            if !quiet {
                let text = match &outcome {
                    Ok(summary) => line(summary),
                    Err(error) => format!("failed: {error}"),
                };
                say(&format!("[{number:>3}/{}] {:<32} {text}", open.len(), job.folder));
            }
            outcome.err().map(|error| (job.folder.clone(), error.to_string()))
        },
    )?;
    let unfinished = made.contains(&None);
    let failed = made.into_iter().flatten().flatten().collect();
    Ok(Made { failed, interrupted: unfinished || stop.load(Ordering::Relaxed) })
}

fn run(job: &Job, dir: &Path, found: &Found, how: How<'_>) -> Result<Summary, Error> {
    let How { maker, stop, .. } = how;
    if let Some(maker) = maker {
        maker.make(&job.config, dir, *found == Found::Begun, stop)?;
        return Summary::load(&dir.join("summary.json"));
    }
    let outcome = match found {
        Found::Begun => train::resume(dir, &[], true, stop)?,
        _ => {
            let options = TrainOptions { out: dir.to_owned(), quiet: true, stop: stop.clone() };
            train::train(&job.config, &options)?
        }
    };
    Ok(outcome.summary)
}

fn find(job: &Job, dir: &Path) -> Result<Found, Error> {
    let path = dir.join("config.toml");
    if !path.is_file() {
        return Ok(Found::Nothing);
    }
    let text = fs::read_to_string(&path).map_err(|source| Error::io("read", &path, source))?;
    // The number of workers changes no number, and a run may have been resumed with another.
    let same = Config::from_toml(&text, &path.display().to_string(), &[]).is_ok_and(|mut found| {
        found.rollout.workers = job.config.rollout.workers;
        found == job.config
    });
    if !same {
        let message = format!("{} holds a run with other settings than were asked for", dir.display());
        return Err(Error::input(message)
            .with_hint("name another folder with --out, or remove that run to have it made anew"));
    }
    if finished(job, dir) {
        return Ok(Found::Finished);
    }
    if latest_checkpoint(dir).is_file() {
        return Ok(Found::Begun);
    }
    // Killed within its first moments: nothing to continue from, and nothing lost.
    fs::remove_dir_all(dir).map_err(|source| Error::io("remove", dir, source))?;
    Ok(Found::Nothing)
}

/// Whether the run came to its end; an interrupted one has a summary too.
fn finished(job: &Job, dir: &Path) -> bool {
    Summary::load(&dir.join("summary.json")).is_ok_and(|summary| {
        summary.env_steps >= job.config.run.env_steps
            || job.config.run.stop_when_solved && summary.solved.is_some()
    })
}

fn line(summary: &Summary) -> String {
    // An evaluation and a training mean are two measures: each is called by its name.
    let found = match (summary.evaluation, summary.mean_return_100) {
        (Some(evaluation), _) => format!("evaluation {:.1}", evaluation.mean),
        (None, Some(mean)) => format!("training {mean:.1}"),
        (None, None) => "no episode".into(),
    };
    format!("{found:>18}  {:.1} s", summary.wall_seconds)
}

fn say(text: &str) {
    let mut out = std::io::stderr().lock();
    // A terminal's line may hold the remains of another program's.
    let clear = if out.is_terminal() { "\r\x1b[K" } else { "" };
    let _ = writeln!(out, "{clear}{text}");
}
