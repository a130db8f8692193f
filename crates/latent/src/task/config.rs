//! [`VaeConfig`]: everything that decides a run of `relax vae`, and the plan of a sweep.

mod validate;

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use crate::data::Binarization;
use crate::vae::{Architecture, METHODS, Settings};
use relax_estimators::{Coupling, Estimator};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use relax_runtime::config::{self, ConfigError, Document, Keys};

/// Everything that decides a run. Same program, same configuration (seed included), same numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VaeConfig {
    /// The images.
    #[serde(default)]
    pub data: DataConfig,
    /// The model.
    pub model: ModelConfig,
    /// The gradient estimator and how fast everything is trained.
    pub estimator: EstimatorConfig,
    /// How long, with which seed, and how the result is judged.
    #[serde(default)]
    pub run: RunConfig,
    /// When the state of the run is saved.
    #[serde(default)]
    pub checkpoint: CheckpointConfig,
    /// What `relax vae-sweep` compares; a single run takes no notice of it.
    #[serde(default)]
    pub sweep: SweepConfig,
}

/// Which images.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DataSet {
    /// Handwritten digits, 50 000 / 10 000 / 10 000; or any data set in the same files.
    #[default]
    Mnist,
    /// Handwritten characters of 50 alphabets, 23 000 / 1345 / 8115.
    Omniglot,
}

impl DataSet {
    /// The name that configurations use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Mnist => "mnist",
            Self::Omniglot => "omniglot",
        }
    }
}

/// `[data]`: the images.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DataConfig {
    /// Which images: "mnist" or "omniglot".
    pub set: DataSet,
    /// The folder with their files; left out: data/mnist or data/omniglot under the current folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
    /// How grey becomes black or white: "static" (one draw), "dynamic" (a draw per visit) or "threshold".
    pub binarization: Binarization,
    /// Names the draw of the static binarisation, whatever the run's seed; 0 to 9223372036854775807.
    pub binarization_seed: u64,
}

impl DataConfig {
    /// The folder with the files.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.folder.clone().unwrap_or_else(|| Path::new("data").join(self.set.name()))
    }
}

/// The published models, and one's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ModelKind {
    /// One layer of 200 binary units; encoder and decoder are affine.
    Linear1,
    /// Two layers of 200 binary units; encoders and decoders are affine.
    Linear2,
    /// One layer of 200 binary units; encoder and decoder have two layers of 200 tanh units.
    Nonlinear,
    /// As `model.latent` and `model.hidden` say.
    Custom,
}

/// `[model]`: the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Which model: "linear1", "linear2", "nonlinear", or "custom" with widths of your own.
    pub kind: ModelKind,
    /// Custom models: numbers of binary units in each layer, from the pixels upwards.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub latent: Vec<usize>,
    /// Custom models: widths of the tanh layers in each encoder, reversed in the decoders.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hidden: Vec<usize>,
}

impl ModelConfig {
    /// The networks for images of `pixels` pixels.
    #[must_use]
    pub fn architecture(&self, pixels: usize) -> Architecture {
        match self.kind {
            ModelKind::Linear1 => Architecture::linear1(pixels),
            ModelKind::Linear2 => Architecture::linear2(pixels),
            ModelKind::Nonlinear => Architecture::nonlinear(pixels),
            ModelKind::Custom => {
                Architecture { pixels, latent: self.latent.clone(), hidden: self.hidden.clone() }
            }
        }
    }

    /// The name that figures and tables use.
    #[must_use]
    pub fn name(&self) -> String {
        match self.kind {
            ModelKind::Linear1 => "linear1".into(),
            ModelKind::Linear2 => "linear2".into(),
            ModelKind::Nonlinear => "nonlinear".into(),
            ModelKind::Custom => format!("custom {:?} {:?}", self.latent, self.hidden),
        }
    }
}

/// `[estimator]`: the gradient estimator and how fast everything is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EstimatorConfig {
    /// The estimator: "reinforce", "nvil", "muprop", "concrete", "rebar", "relax", "relaxed-rebar", "disarm",
    /// "leave-one-out" or "surrogate".
    #[schemars(schema_with = "methods")]
    pub method: Estimator,
    /// Noise of the conditional relaxed sample: "independent", or "coupled" (half the work, as unbiased); left out: as the
    /// estimator's name says, "rebar-coupled" say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coupling: Option<Coupling>,
    /// Adam's step size for encoders, decoders and prior, above 0.
    #[serde(default = "EstimatorConfig::rate")]
    pub learning_rate: f64,
    /// Adam's step size for gains, temperatures, free-form control variates and baselines; left out: learning_rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_variate_learning_rate: Option<f64>,
    /// Adam's second decay, from 0 to below 1; the first is 0.9.
    #[serde(default = "EstimatorConfig::beta2")]
    pub beta2: f64,
    /// Temperature of the relaxation at the start, above 0.
    #[serde(default = "EstimatorConfig::temperature")]
    pub temperature: f64,
    /// Iterations at the start that train the control variate alone.
    #[serde(default)]
    pub warm_up: u64,
    /// Widths of the hidden layers of the free-form control variate, one or more.
    #[serde(default = "EstimatorConfig::hidden")]
    pub control_variate_hidden: Vec<usize>,
    /// The surrogate: past iterations that each iteration replays for its regression.
    #[serde(default = "EstimatorConfig::replay")]
    pub replay: usize,
    /// The surrogate: past iterations that are kept to be replayed.
    #[serde(default = "EstimatorConfig::replay_window")]
    pub replay_window: usize,
}

impl EstimatorConfig {
    fn rate() -> f64 {
        Self::defaults().learning_rate
    }

    fn beta2() -> f64 {
        Self::defaults().beta2
    }

    fn temperature() -> f64 {
        Self::defaults().temperature
    }

    fn hidden() -> Vec<usize> {
        Self::defaults().control_variate_hidden
    }

    fn replay() -> usize {
        Self::defaults().replay
    }

    fn replay_window() -> usize {
        Self::defaults().replay_window
    }

    /// The numbers do not depend on the method.
    fn defaults() -> Settings {
        Settings::new(Estimator::Rebar(Coupling::Independent))
    }

    /// As the trainer takes it.
    #[must_use]
    pub fn settings(&self) -> Settings {
        Settings {
            method: self.coupling.map_or(self.method, |coupling| self.method.with_coupling(coupling)),
            learning_rate: self.learning_rate,
            control_variate_learning_rate: self.control_variate_learning_rate.unwrap_or(self.learning_rate),
            beta2: self.beta2,
            temperature: self.temperature,
            warm_up: self.warm_up,
            control_variate_hidden: self.control_variate_hidden.clone(),
            replay: self.replay,
            replay_window: self.replay_window,
        }
    }
}

/// `[run]`: how long, with which seed, and how the result is judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RunConfig {
    /// Iterations to train for, 1 or more.
    pub iterations: u64,
    /// Names every stream of random numbers of the run, 0 to 9223372036854775807.
    pub seed: u64,
    /// Images of a minibatch, 1 or more.
    pub batch_size: usize,
    /// Iterations per row of metrics.csv, over which the training bound is averaged; 1 or more.
    pub log_every: u64,
    /// Iterations between rows of evaluations.csv (validation bound, gradient variance); 0: at the end only.
    pub evaluate_every: u64,
    /// Minibatches from which the gradient's variance is estimated, 2 or more; 0: it is not.
    pub variance_batches: usize,
    /// Samples of the importance-weighted bound at the end; 0: it is not computed.
    pub final_samples: usize,
    /// Threads that share each iteration's large products, 1 to 256. The numbers do not depend on it. For models as small as the
    /// published ones, one thread is the fastest: use the cores for several runs (`relax vae-sweep --jobs`).
    pub threads: usize,
}

impl Default for RunConfig {
    fn default() -> Self {
        Self {
            iterations: 100_000,
            seed: 0,
            batch_size: 24,
            log_every: 1_000,
            evaluate_every: 20_000,
            variance_batches: 100,
            final_samples: 100,
            threads: 1,
        }
    }
}

/// `[checkpoint]`: when the state of the run is saved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CheckpointConfig {
    /// Iterations between checkpoints; 0: only at the end and when the run is interrupted.
    pub every_iterations: u64,
}

impl Default for CheckpointConfig {
    fn default() -> Self {
        Self { every_iterations: 20_000 }
    }
}

/// `[sweep]`: what `relax vae-sweep` compares.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SweepConfig {
    /// The estimators.
    pub methods: Vec<Estimator>,
    /// The learning rates, the same for each estimator; the best on validation is reported.
    pub learning_rates: Vec<f64>,
    /// The seed of the runs among which the learning rate is chosen.
    pub tuning_seed: u64,
    /// The seeds of the runs that are reported, at the learning rate chosen.
    pub seeds: Vec<u64>,
}

impl Default for SweepConfig {
    fn default() -> Self {
        use Coupling::Independent;
        use Estimator::{DisArm, LeaveOneOut, MuProp, Nvil, Rebar, Relax, RelaxedRebar};
        Self {
            methods: vec![
                Nvil,
                MuProp,
                Rebar(Independent),
                Relax(Independent),
                RelaxedRebar(Independent),
                DisArm,
                LeaveOneOut { group: 2 },
            ],
            learning_rates: vec![3e-4, 1e-3, 3e-3],
            tuning_seed: 100,
            seeds: vec![0, 1, 2],
        }
    }
}

impl VaeConfig {
    /// Reads the TOML file `path`, applies `overrides` (each `KEY=VALUE`, the later ones winning) and checks the result.
    ///
    /// # Errors
    /// Names the file and line (or the override), the key and what would be right.
    pub fn load(path: &Path, overrides: &[String]) -> Result<Self, ConfigError> {
        config::load(path, overrides)
    }

    /// Reads a configuration from TOML text; `name` stands for the file in messages.
    ///
    /// # Errors
    /// As [`VaeConfig::load`].
    pub fn from_toml(text: &str, name: &str, overrides: &[String]) -> Result<Self, ConfigError> {
        config::from_toml(text, name, overrides)
    }

    /// The complete configuration, defaults included, as TOML that reads back to an equal value.
    #[must_use]
    pub fn to_toml(&self) -> String {
        config::to_toml(self)
    }
}

/// The estimators that train auto-encoders, for the JSON schema.
fn methods(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": "string", "enum": METHODS.map(Estimator::name) })
}

impl Document for VaeConfig {
    const TITLE: &'static str = "Configuration of a relax vae run";
    const SCHEMA_COMMAND: &'static str = "relax config schema --vae";

    fn check(&self) -> Result<(), ConfigError> {
        self.validate()
    }

    fn keys() -> Arc<Keys> {
        static KEYS: LazyLock<Arc<Keys>> = LazyLock::new(|| Arc::new(Keys::of::<VaeConfig>()));
        Arc::clone(&KEYS)
    }

    fn example(key: &str) -> Option<&'static str> {
        match key {
            "model" | "model.kind" => Some("[model]\n        kind = \"linear1\""),
            "estimator" | "estimator.method" => Some("[estimator]\n        method = \"relaxed-rebar\""),
            _ => None,
        }
    }
}

/// Checks that `overrides` change only what may change when a run is resumed: `run.*` but the seed and the batch size, where
/// the data are, and how often checkpoints are written.
///
/// # Errors
/// If one of them changes anything else, which would make the rest of the run another experiment.
pub fn check_vae_resume_overrides(overrides: &[String]) -> Result<(), ConfigError> {
    let allowed = |key: &str| {
        let fixed = ["run.seed", "run.batch_size"];
        ["data.folder", "checkpoint.every_iterations"].contains(&key)
            || key.starts_with("run.") && !fixed.contains(&key)
    };
    let hint = "only run.* (not the seed and the batch size), data.folder and checkpoint.* may; for anything else start a new \
                run with `relax vae`";
    config::check_resume::<VaeConfig>(overrides, allowed, hint)
}
