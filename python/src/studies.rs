//! Comparisons and sweeps whose runs Python has made somewhere.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::prelude::*;
use relax_rl::Error;
use relax_rl::compare::jobs::Maker;
use relax_rl::compare::{CompareOptions, Plan, Request, compare as make_comparison};
use relax_rl::config::Config;
use relax_rl::sweep::{self, Score, SweepOptions};

use crate::cluster::asked;
use crate::training::heard;
use crate::{guarded, raise};

/// How often somebody who wants it to stop is listened to, in seconds.
const LOOK: f64 = 0.2;

/// A maker of runs whose methods are Python's.
#[derive(Debug)]
struct Led(Py<PyAny>);

impl Maker for Led {
    fn make(&self, config: &Config, dir: &Path, begun: bool, stop: &AtomicBool) -> Result<(), Error> {
        let launched = asked(&self.0, |maker| {
            Ok(maker.call_method1("launch", (config.to_toml(), dir, begun))?.unbind())
        })?;
        loop {
            let ended =
                asked(&self.0, |maker| maker.call_method1("gather", (&launched, dir, LOOK))?.extract())?;
            if ended {
                return Ok(());
            }
            if stop.load(Ordering::Relaxed) {
                asked(&self.0, |maker| maker.call_method1("abandon", (&launched,)).map(|_| ()))?;
                return Err(Error::runtime("it was stopped"));
            }
        }
    }
}

/// Folder, the runs that were made (configuration, folder), and those that failed (folder's name, why).
type Compared = (PathBuf, Vec<(String, PathBuf)>, Vec<(String, String)>);

/// Makes or continues a comparison.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "Python's side of it names them")]
pub fn compare(
    py: Python<'_>,
    configs: Vec<PathBuf>,
    agents: Vec<String>,
    seeds: (u64, u64),
    budget: Option<u64>,
    overrides: Vec<String>,
    out: PathBuf,
    jobs: usize,
    maker: Py<PyAny>,
) -> PyResult<Compared> {
    let request = Request {
        configs,
        agents,
        seeds: Some(seeds.1.saturating_sub(seeds.0)),
        first_seed: Some(seeds.0),
        budget,
        set: overrides,
    };
    let plan = guarded(|| Plan::new(&request).map_err(|error| raise(&error)))?;
    let stop = Arc::new(AtomicBool::new(false));
    let options = CompareOptions {
        out: Some(out),
        jobs: Some(jobs),
        maker: Some(Arc::new(Led(maker))),
        quiet: true,
        stop: stop.clone(),
        command: "relax_rl.ray.compare".into(),
        ..CompareOptions::default()
    };
    let compared = heard(py, stop, move || make_comparison(&request, &options))?;
    let made =
        plan.jobs.into_iter().filter(|job| !compared.failed.iter().any(|(name, _)| *name == job.folder));
    let made = made.map(|job| (job.label, compared.out.join("runs").join(job.folder))).collect();
    Ok((compared.out, made, compared.failed))
}

/// Settings, `key=value`; and the score on each rung that it reached, or why there is none.
type Tried = (Vec<String>, Vec<(Option<f64>, String)>);

/// Makes or continues a sweep; returns its trials, and the place of the best among them.
#[pyfunction]
pub fn sweep_settings(
    py: Python<'_>,
    text: &str,
    name: &str,
    trials: Option<u64>,
    out: PathBuf,
    jobs: usize,
    maker: Py<PyAny>,
) -> PyResult<(Vec<Tried>, Option<usize>)> {
    let plan = guarded(|| sweep::Plan::parse(text, name, trials).map_err(|error| raise(&error)))?;
    let stop = Arc::new(AtomicBool::new(false));
    let options = SweepOptions {
        out,
        jobs: Some(jobs),
        maker: Some(Arc::new(Led(maker))),
        quiet: true,
        stop: stop.clone(),
        command: "relax_rl.ray.sweep".into(),
        commit: "",
    };
    let (plan, swept) = heard(py, stop, move || sweep::sweep(&plan, &options).map(|swept| (plan, swept)))?;
    let trial = |trial: sweep::Trial| {
        let scores = trial.scores.into_iter().map(|score| match score {
            Score::Mean(mean) => (Some(mean), String::new()),
            Score::Failed(why) => (None, why),
        });
        (plan.overrides(&trial.values), scores.collect())
    };
    Ok((swept.trials.into_iter().map(trial).collect(), swept.best))
}
