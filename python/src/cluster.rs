//! One run on many machines: messages of a learner and its workers, and a fleet that Python leads.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};
use relax_agents::Metrics;
use relax_rl::Error;
use relax_rl::cluster::{self, Answer, Fleet, Part};
use relax_rl::config::Config;
use relax_rl::train::TrainOptions;

use crate::training::{Ended, read, run};
use crate::{guarded, raise};

type Bytes<'py> = Bound<'py, PyBytes>;

fn answer(py: Python<'_>, (batch, states): Answer) -> (Bytes<'_>, Bytes<'_>) {
    (PyBytes::new(py, &batch), PyBytes::new(py, &states))
}

/// The configuration of a worker. It is asked for the same one round after round, and reading it takes longer than a short rollout.
fn kept(text: &str) -> PyResult<Arc<Config>> {
    static KEPT: Mutex<Option<(String, Arc<Config>)>> = Mutex::new(None);
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    match &*kept {
        Some((of, config)) if of == text => Ok(config.clone()),
        _ => {
            let config = Arc::new(read(text, "config", &[])?);
            *kept = Some((text.to_owned(), config.clone()));
            Ok(config)
        }
    }
}

/// Acts in slots `start..end`: the batch, and where they stand after it.
#[pyfunction]
pub fn rollout<'py>(
    py: Python<'py>,
    config: &str,
    policy: &[u8],
    states: &[u8],
    start: usize,
    end: usize,
) -> PyResult<(Bytes<'py>, Bytes<'py>)> {
    let config = kept(config)?;
    let rolled = guarded(|| Ok(py.detach(|| cluster::rollout(&config, policy, states, start..end))))?;
    rolled.map(|rolled| answer(py, rolled)).map_err(|error| raise(&error))
}

/// Some slots of a run, and their environments.
#[pyclass(module = "relax_rl._relax_rl")]
pub struct Worker(Mutex<cluster::Worker>);

#[pymethods]
impl Worker {
    #[new]
    fn new(config: &str, start: usize, end: usize) -> PyResult<Self> {
        let config = read(config, "config", &[])?;
        let worker = guarded(|| cluster::Worker::new(&config, start..end).map_err(|error| raise(&error)))?;
        Ok(Self(Mutex::new(worker)))
    }

    fn rollout<'py>(
        &self,
        py: Python<'py>,
        policy: &[u8],
        states: &[u8],
    ) -> PyResult<(Bytes<'py>, Bytes<'py>)> {
        let work = || self.0.lock().unwrap_or_else(PoisonError::into_inner).rollout(policy, states);
        let rolled = guarded(|| Ok(py.detach(work)))?;
        rolled.map(|rolled| answer(py, rolled)).map_err(|error| raise(&error))
    }
}

/// An agent that learns from messages.
#[pyclass(module = "relax_rl._relax_rl")]
pub struct Learner(Mutex<cluster::Learner>);

impl Learner {
    fn with<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&mut cluster::Learner) -> Result<T, Error> + Send,
    ) -> PyResult<T> {
        // A panic leaves a learner that is asked again and refuses, or goes on: its state is its own affair.
        let locked = || work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
        guarded(|| Ok(py.detach(locked)))?.map_err(|error| raise(&error))
    }
}

#[pymethods]
impl Learner {
    #[new]
    fn new(py: Python<'_>, text: &str, name: &str, overrides: Vec<String>) -> PyResult<Self> {
        let config = read(text, name, &overrides)?;
        let made = guarded(|| Ok(py.detach(|| cluster::Learner::new(&config))))?;
        made.map(|learner| Self(Mutex::new(learner))).map_err(|error| raise(&error))
    }

    /// Every setting, TOML.
    #[getter]
    fn config(&self, py: Python<'_>) -> PyResult<String> {
        self.with(py, |learner| Ok(learner.config().to_toml()))
    }

    #[getter]
    fn slots(&self, py: Python<'_>) -> PyResult<usize> {
        self.with(py, |learner| Ok(learner.config().rollout.envs))
    }

    #[getter]
    fn env_steps(&self, py: Python<'_>) -> PyResult<u64> {
        self.with(py, |learner| Ok(learner.trainer().env_steps()))
    }

    #[getter]
    fn updates(&self, py: Python<'_>) -> PyResult<u64> {
        self.with(py, |learner| Ok(learner.trainer().updates()))
    }

    #[getter]
    fn is_over(&self, py: Python<'_>) -> PyResult<bool> {
        self.with(py, |learner| Ok(learner.is_over()))
    }

    #[getter]
    fn wants_batches(&self, py: Python<'_>) -> PyResult<bool> {
        self.with(py, |learner| Ok(!learner.trainer().is_over()))
    }

    #[getter]
    fn state_hash(&self, py: Python<'_>) -> PyResult<String> {
        self.with(py, |learner| Ok(learner.state_hash()))
    }

    fn policy<'py>(&self, py: Python<'py>) -> PyResult<Bytes<'py>> {
        let policy = self.with(py, |learner| Ok(learner.policy()))?;
        Ok(PyBytes::new(py, &policy))
    }

    fn improve(&self, py: Python<'_>, batches: Vec<Bytes<'_>>) -> PyResult<()> {
        // Bytes do not change, so they can be read without the lock as long as they are held here.
        let batches: Vec<&[u8]> = batches.iter().map(|batch| batch.as_bytes()).collect();
        self.with(py, |learner| learner.improve(&batches))
    }

    fn fit<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let update = self.with(py, cluster::Learner::fit)?;
        let told = PyDict::new(py);
        told.set_item("update", update.update)?;
        told.set_item("env_steps", update.env_steps)?;
        told.set_item("episodes", update.episodes)?;
        told.set_item("mean_return_100", update.mean_return_100)?;
        for (name, value) in Metrics::NAMES.iter().zip(update.metrics.values()) {
            told.set_item(name, Some(value).filter(|value| !value.is_nan()))?;
        }
        Ok(told)
    }

    fn state<'py>(&self, py: Python<'py>) -> PyResult<Bytes<'py>> {
        let state = self.with(py, |learner| learner.state())?;
        Ok(PyBytes::new(py, &state))
    }

    fn restore(&self, py: Python<'_>, state: &[u8]) -> PyResult<()> {
        self.with(py, |learner| learner.restore(state))
    }
}

/// A fleet whose methods are Python's.
struct Led(Py<PyAny>);

impl Led {
    fn ask<T>(&self, work: impl FnOnce(&Bound<'_, PyAny>) -> PyResult<T>) -> Result<T, Error> {
        asked(&self.0, work)
    }
}

/// What `work` finds out from an object of Python's; its exceptions are errors of ours.
pub fn asked<T>(object: &Py<PyAny>, work: impl FnOnce(&Bound<'_, PyAny>) -> PyResult<T>) -> Result<T, Error> {
    Python::attach(|py| {
        work(object.bind(py)).map_err(|error| {
            let text = error.value(py).to_string();
            if error.is_instance_of::<PyValueError>(py) {
                return Error::input(text);
            }
            let name = error.get_type(py).name().map_or_else(|_| String::new(), |name| name.to_string());
            // A failure of a worker's own has said all there is to say.
            Error::runtime(if name == "RuntimeError" { text } else { format!("{name}: {text}") })
        })
    })
}

impl Fleet for Led {
    fn begin(&mut self, config: &Config, pure: bool) -> Result<usize, Error> {
        self.ask(|fleet| {
            fleet.call_method1("begin", (config.to_toml(), config.rollout.envs, pure))?.extract()
        })
    }

    fn launch(&mut self, policy: &Arc<[u8]>, parts: &[Part]) -> Result<(), Error> {
        self.ask(|fleet| {
            let py = fleet.py();
            let told = PyList::empty(py);
            for Part { slots, states } in parts {
                told.append((slots.start, slots.end, PyBytes::new(py, states)))?;
            }
            fleet.call_method1("launch", (PyBytes::new(py, policy), told))?;
            Ok(())
        })
    }

    fn gather(&mut self, patience: Duration) -> Result<Option<Vec<Answer>>, Error> {
        self.ask(|fleet| fleet.call_method1("gather", (patience.as_secs_f64(),))?.extract())
    }

    fn abandon(&mut self) {
        // What nobody waits for any more may fail.
        let _ = self.ask(|fleet| fleet.call_method0("abandon").map(|_| ()));
    }
}

/// Trains with the workers of a fleet.
#[pyfunction]
pub fn train_with(
    py: Python<'_>,
    text: &str,
    name: &str,
    overrides: Vec<String>,
    out: PathBuf,
    quiet: bool,
    fleet: Py<PyAny>,
) -> PyResult<Ended> {
    let config = read(text, name, &overrides)?;
    let stop = Arc::new(AtomicBool::new(false));
    let options = TrainOptions { out, quiet, stop: stop.clone() };
    run(py, stop, move || cluster::train(&config, &options, Box::new(Led(fleet))))
}

/// Continues the run of a folder with the workers of a fleet.
#[pyfunction]
pub fn resume_with(
    py: Python<'_>,
    dir: PathBuf,
    overrides: Vec<String>,
    quiet: bool,
    fleet: Py<PyAny>,
) -> PyResult<Ended> {
    let stop = Arc::new(AtomicBool::new(false));
    let heard = stop.clone();
    run(py, stop, move || cluster::resume(&dir, &overrides, quiet, &heard, Box::new(Led(fleet))))
}
