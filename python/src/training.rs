//! Training from Python, with Python's lock released and Ctrl-C heard; and trained policies.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyInt, PyType};
use relax_agents::{ActingScratch, ActionBuffer, ActionRange};
use relax_envs::gym::{Codec, Rows};
use relax_envs::{EnvRng, MakeOptions, Vectorization};
use relax_rl::Error;
use relax_rl::config::Config;
use relax_rl::evaluate::Trained;
use relax_rl::export::{Checkpoint, Format};
use relax_rl::train::{Outcome, TrainOptions};

use crate::{guarded, raise};

/// How often Python is asked whether Ctrl-C was pressed.
const LOOK: Duration = Duration::from_millis(50);

/// Run folder, summary as JSON, and whether the run was interrupted.
pub type Ended = (PathBuf, String, bool);

/// Runs `work` in a thread of its own. Ctrl-C sets `stop`, whereupon it saves its state and ends, and `KeyboardInterrupt` is raised.
pub fn heard<T: Send + 'static>(
    py: Python<'_>,
    stop: Arc<AtomicBool>,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> PyResult<T> {
    let (send, receive) = channel();
    let thread = std::thread::spawn(move || {
        let _ = send.send(work());
    });
    // `Receiver` is not `Sync`; the loop below is its only user.
    let receive = std::sync::Mutex::new(receive);
    let mut interrupt = None;
    let outcome = loop {
        let waited = py.detach(|| match receive.lock() {
            Ok(receive) => receive.recv_timeout(LOOK),
            Err(_) => Err(RecvTimeoutError::Disconnected),
        });
        match waited {
            Ok(outcome) => break outcome,
            Err(RecvTimeoutError::Timeout) => {
                if let Err(signal) = py.check_signals() {
                    stop.store(true, Ordering::Relaxed);
                    interrupt.get_or_insert(signal);
                }
            }
            Err(RecvTimeoutError::Disconnected) => {
                let _ = thread.join();
                return Err(PyRuntimeError::new_err("a mistake in relax_rl, please report it: it panicked"));
            }
        }
    };
    match (outcome, interrupt) {
        (Err(error), _) => Err(raise(&error)),
        (Ok(_), Some(signal)) => Err(signal),
        (Ok(outcome), None) => Ok(outcome),
    }
}

/// As [`heard`], for training.
pub fn run(
    py: Python<'_>,
    stop: Arc<AtomicBool>,
    work: impl FnOnce() -> Result<Outcome, Error> + Send + 'static,
) -> PyResult<Ended> {
    let outcome = heard(py, stop, work)?;
    let summary = serde_json::to_string(&outcome.summary)
        .map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
    Ok((outcome.dir, summary, outcome.interrupted))
}

/// The configuration that the TOML `text` describes (`name` stands for it in messages).
pub fn read(text: &str, name: &str, overrides: &[String]) -> PyResult<Config> {
    guarded(|| Config::from_toml(text, name, overrides).map_err(|error| raise(&error.into())))
}

/// Trains as the TOML `text` says (`name` stands for it in messages).
#[pyfunction]
pub fn train(
    py: Python<'_>,
    text: &str,
    name: &str,
    overrides: Vec<String>,
    out: PathBuf,
    quiet: bool,
) -> PyResult<Ended> {
    let config = read(text, name, &overrides)?;
    let stop = Arc::new(AtomicBool::new(false));
    let options = TrainOptions { out, quiet, stop: stop.clone() };
    run(py, stop, move || relax_rl::train::train(&config, &options))
}

/// Continues the run of a folder.
#[pyfunction]
pub fn resume(py: Python<'_>, dir: PathBuf, overrides: Vec<String>, quiet: bool) -> PyResult<Ended> {
    let stop = Arc::new(AtomicBool::new(false));
    let heard = stop.clone();
    run(py, stop, move || relax_rl::train::resume(&dir, &overrides, quiet, &heard))
}

/// Hash of what the run of a folder had learned at its newest checkpoint.
#[pyfunction]
pub fn state_hash(py: Python<'_>, dir: PathBuf) -> PyResult<String> {
    guarded(|| py.detach(|| relax_rl::train::state_hash(&dir)).map_err(|error| raise(&error)))
}

/// Writes a policy of a run as a file that others can run.
#[pyfunction]
pub fn export(
    py: Python<'_>,
    dir: PathBuf,
    path: PathBuf,
    format: Option<&str>,
    checkpoint: &str,
) -> PyResult<()> {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    let Some(kind) = Format::of(format.unwrap_or(&extension)) else {
        return Err(PyValueError::new_err(match format {
            Some(name) => format!("format must be \"onnx\", \"safetensors\" or \"json\", not {name:?}"),
            None => format!(
                "{}: a policy is written as .onnx, .safetensors or .json; or say format=…",
                path.display()
            ),
        }));
    };
    let checkpoint = match checkpoint {
        "best" => Checkpoint::Best,
        "latest" => Checkpoint::Latest,
        other => {
            return Err(PyValueError::new_err(format!(
                "checkpoint must be \"best\" or \"latest\", not {other:?}"
            )));
        }
    };
    let written = guarded(|| Ok(py.detach(|| relax_rl::export::export(&dir, checkpoint, kind, &path))))?;
    written.map(|_| ()).map_err(|error| raise(&error))
}

/// The best policy of a run.
#[pyclass(module = "relax_rl._relax_rl")]
pub struct Policy {
    trained: Trained,
    codec: Codec,
    range: ActionRange,
    scratch: ActingScratch,
    actions: ActionBuffer,
    rng: EnvRng,
}

/// What a pickled policy consists of: itself, and the state of its generator.
type Pickled<'py> = (Bound<'py, PyBytes>, [u64; 6]);

impl Policy {
    fn acting(trained: Trained, codec: Codec, rng: EnvRng) -> Self {
        Self {
            range: ActionRange::new(&trained.action_space),
            actions: trained.policy.distribution().action_buffer(),
            scratch: ActingScratch::default(),
            rng,
            trained,
            codec,
        }
    }
}

#[pymethods]
impl Policy {
    #[new]
    fn new(py: Python<'_>, dir: PathBuf) -> PyResult<Self> {
        guarded(|| {
            let loaded = py.detach(|| convertible(Trained::load(&dir)?));
            let (trained, codec) = loaded.map_err(|error| raise(&error))?;
            Ok(Self::acting(trained, codec, EnvRng::from_seed(0)))
        })
    }

    /// For `pickle` and `copy`: also where the drawing of actions stands.
    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, Pickled<'py>)> {
        let (py, policy) = (slf.py(), slf.borrow());
        let bytes = PyBytes::new(py, &policy.trained.to_bytes());
        let restore = slf.get_type().getattr("_restored")?;
        Ok((restore, (bytes, policy.rng.state())))
    }

    /// The policy that was pickled.
    #[classmethod]
    fn _restored(cls: &Bound<'_, PyType>, bytes: &[u8], words: [u64; 6]) -> PyResult<Self> {
        let py = cls.py();
        let rng = EnvRng::from_state(words).map_err(|error| PyValueError::new_err(error.to_string()))?;
        guarded(|| {
            let loaded = py.detach(|| convertible(Trained::from_bytes(bytes)?));
            let (trained, codec) = loaded.map_err(|error| raise(&error))?;
            Ok(Self::acting(trained, codec, rng))
        })
    }

    /// The configuration of its run, TOML.
    #[getter]
    fn config(&self) -> String {
        self.trained.config.to_toml()
    }

    /// Seeds the actions that `predict(…, deterministic=False)` draws.
    fn seed(&mut self, seed: &Bound<'_, PyAny>) -> PyResult<()> {
        let seed: u64 = seed.extract().map_err(|_| {
            let text = format!("seed must be a whole number from 0 to {}, not {}", u64::MAX, shown(seed));
            if seed.is_instance_of::<PyInt>() {
                PyValueError::new_err(text)
            } else {
                PyTypeError::new_err(text)
            }
        })?;
        self.rng = EnvRng::from_seed(seed);
        Ok(())
    }

    /// The action for one observation, or the actions for a batch of them, and the next state, which is none. `action_mask`
    /// is what `info["action_mask"]` is beside the observation, or an array of those of a batch; without one, everything is
    /// taken for allowed.
    #[pyo3(signature = (observation, state=None, episode_start=None, deterministic=None, action_mask=None))]
    #[pyo3(
        text_signature = "($self, observation, state=None, episode_start=None, deterministic=True, action_mask=None)"
    )]
    fn predict<'py>(
        &mut self,
        py: Python<'py>,
        observation: &Bound<'py, PyAny>,
        state: Option<&Bound<'py, PyAny>>,
        episode_start: Option<&Bound<'py, PyAny>>,
        deterministic: Option<&Bound<'py, PyAny>>,
        action_mask: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<(Bound<'py, PyAny>, Option<Py<PyAny>>)> {
        // Without a memory, where an episode starts changes nothing.
        let _ = episode_start;
        if let Some(state) = state {
            let given = state.get_type().name()?;
            return Err(PyValueError::new_err(format!(
                "these policies have no memory: state must be None, not a {given} (deterministic is the fourth argument)"
            )));
        }
        let deterministic = deterministic.map_or(Ok(true), |flag| {
            let refuse =
                |_| PyTypeError::new_err(format!("deterministic must be True or False, not {}", shown(flag)));
            flag.extract::<bool>().map_err(refuse)
        })?;
        guarded(|| {
            let Rows { values, rows, single } = self.codec.observations(observation)?;
            if values.iter().any(|value| !value.is_finite()) {
                return Err(PyValueError::new_err("the observation is not finite"));
            }
            let masks = action_mask.map(|mask| self.codec.masks(mask, rows, single)).transpose()?;
            let (policy, masks) = (&self.trained.policy, masks.as_deref());
            if masks.is_some() && !policy.distribution().takes_masks() {
                let name = policy.distribution().name();
                return Err(PyValueError::new_err(format!(
                    "a {name} policy cannot take account of an action mask"
                )));
            }
            let scratch = &mut self.scratch;
            self.actions.resize(rows);
            if deterministic {
                policy.act_greedily_masked(&values, masks, scratch, &mut self.actions, 0..rows);
            } else {
                let k = policy.distribution().width();
                let mut noise = vec![0.0; rows * k];
                let mut process = vec![0.0; k];
                for row in noise.chunks_exact_mut(k) {
                    process.fill(0.0);
                    policy.draw(&mut self.rng, &mut process, row);
                }
                policy.act_masked(&values, masks, &noise, scratch, &mut self.actions, 0..rows);
            }
            let executed = policy.execute(&self.actions, 0..rows, &mut self.range);
            Ok((self.codec.actions(py, executed, single)?, None))
        })
    }
}

/// A value as Python shows it.
fn shown(value: &Bound<'_, PyAny>) -> String {
    value.repr().map_or_else(|_| "that".to_owned(), |text| text.to_string())
}

/// A policy with the conversion to and from its environment's spaces.
fn convertible(trained: Trained) -> Result<(Trained, Codec), Error> {
    let env = &trained.config.env;
    let options = MakeOptions {
        kwargs: env.kwargs.clone(),
        max_episode_steps: env.max_episode_steps,
        wrappers: env.wrappers.clone(),
        // One environment, looked at and not stepped, needs no subprocess.
        vectorization: env.vectorization.map(|kind| match kind {
            Vectorization::Async => Vectorization::Sync,
            other => other,
        }),
        timeout: env.timeout,
    };
    let codec = Codec::new(&env.id, &options, &trained.observation_space, &trained.action_space)
        .map_err(|error| Error::input(error.to_string()))?;
    Ok((trained, codec))
}
