//! What a sweep's file says: a configuration, and beside it the table `[sweep]`.

use std::path::Path;

use relax_runtime::Error;
use relax_training::Config;
use serde::{Deserialize, Serialize};

use super::space::Parameter;

/// Most trials.
const MOST: u64 = 100_000;
/// Keys that the sweep itself sets.
const OWN: [&str; 4] = ["run.seed", "run.env_steps", "run.seconds", "rollout.workers"];

/// What draws the next trials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sampler {
    /// A tree-structured Parzen estimator.
    Tpe,
    /// An evolution strategy with a covariance matrix.
    CmaEs,
}

/// `[sweep]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// How many settings are tried.
    pub trials: u64,
    /// Environment steps of a run on each rung, rising; by default a ninth, a third and all of `run.env_steps`.
    pub budgets: Vec<u64>,
    /// Runs of a trial on each rung, each with a seed of its own, never fewer than before; by default 1, 2, 3.
    pub seeds: Vec<u64>,
    /// The seed of a trial's first run.
    pub first_seed: u64,
    /// One trial in so many goes on to the next rung.
    pub keep: u64,
    /// Names the random numbers of the search.
    pub seed: u64,
    /// How the next trials are drawn: "tpe" or "cma-es".
    pub sampler: Sampler,
    /// Trials drawn anywhere before any is drawn from what was found; of CMA-ES only the choices.
    pub startup: u64,
    /// What is searched: `KEY = { low = …, high = …, log = true }` or `KEY = [choice, choice, …]`.
    pub space: toml::Table,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            trials: 40,
            budgets: Vec::new(),
            seeds: vec![1, 2, 3],
            first_seed: 1000,
            keep: 3,
            seed: 0,
            sampler: Sampler::Tpe,
            startup: 10,
            space: toml::Table::new(),
        }
    }
}

/// A sweep's file, read and checked.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The file's name, for messages.
    pub name: String,
    /// All of its text.
    pub text: String,
    /// The configuration without `[sweep]`, TOML.
    pub base: String,
    /// `[sweep]`, complete.
    pub settings: Settings,
    /// What is searched, in alphabetical order.
    pub parameters: Vec<Parameter>,
    /// What the file itself says of each parameter; none where that lies outside of what is searched.
    pub start: Option<Vec<toml::Value>>,
}

impl Plan {
    /// Reads the file `path`; `trials`, if given, counts instead of the file's.
    ///
    /// # Errors
    /// [`Error::exit_code`] 2 for whatever is wrong in it, with its name.
    pub fn load(path: &Path, trials: Option<u64>) -> Result<Self, Error> {
        // A name that is wrong is the user's mistake, not the machine's.
        let text = std::fs::read_to_string(path)
            .map_err(|error| Error::input(format!("cannot read {}: {error}", path.display())))?;
        Self::parse(&text, &path.display().to_string(), trials)
    }

    /// As [`load`](Self::load), of the `text` of a file called `name`.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn parse(text: &str, name: &str, trials: Option<u64>) -> Result<Self, Error> {
        let refuse = |message: String| Error::input(format!("{name}: {message}"));
        let mut table: toml::Table =
            text.parse().map_err(|error: toml::de::Error| refuse(error.to_string().trim_end().to_owned()))?;
        let example =
            "[sweep.space]\n        \"learner.learning_rate\" = { low = 1e-4, high = 1e-1, log = true }";
        let Some(block) = table.remove("sweep") else {
            return Err(refuse("there is no table [sweep]".into()).with_hint(format!(
                "say beside the configuration what is to be searched:\n        {example}"
            )));
        };
        let mut settings: Settings = block
            .try_into()
            .map_err(|error: toml::de::Error| refuse(format!("[sweep]: {}", error.message())))?;
        settings.trials = trials.unwrap_or(settings.trials);
        let base = table.to_string();
        let config = Config::from_toml(&base, name, &[])?;
        let steps = config.run.env_steps;
        if settings.budgets.is_empty() {
            settings.budgets = vec![(steps / 9).max(1), (steps / 3).max(1), steps];
            settings.budgets.dedup();
            settings.seeds.truncate(settings.budgets.len());
        }
        check(&settings, &config).map_err(refuse)?;
        if settings.space.is_empty() {
            return Err(refuse("[sweep.space] names nothing to be searched".into())
                .with_hint(format!("for example\n        {example}")));
        }
        let mut parameters = Vec::with_capacity(settings.space.len());
        for (key, value) in &settings.space {
            let own = format!("[sweep.space] \"{key}\"");
            if OWN.contains(&key.as_str()) {
                return Err(refuse(format!("{own}: the sweep itself sets it")).with_hint(
                    "sweep.budgets, sweep.seeds and sweep.first_seed say how long and with which seeds; no number depends on the workers",
                ));
            }
            let parameter =
                Parameter::parse(key, value).map_err(|message| refuse(format!("{own}: {message}")))?;
            // What the configuration cannot be is found before anything runs.
            for extreme in parameter.range.extremes() {
                Config::from_toml(&base, name, &[parameter.set(&extreme)])?;
            }
            parameters.push(parameter);
        }
        parameters.sort_by(|a, b| a.key.cmp(&b.key));
        let resolved: toml::Table = config.to_toml().parse().unwrap_or_default();
        let start = parameters.iter().map(|parameter| parameter.of(&resolved)).collect();
        Ok(Self { name: name.to_owned(), text: text.to_owned(), base, settings, parameters, start })
    }

    /// The values of a trial as `--set` would give them.
    #[must_use]
    pub fn overrides(&self, values: &[toml::Value]) -> Vec<String> {
        self.parameters.iter().zip(values).map(|(parameter, value)| parameter.set(value)).collect()
    }

    /// Number of rungs.
    #[must_use]
    pub fn rungs(&self) -> usize {
        self.settings.budgets.len()
    }
}

fn check(settings: &Settings, config: &Config) -> Result<(), String> {
    let Settings { trials, budgets, seeds, keep, first_seed, .. } = settings;
    if !(1..=MOST).contains(trials) {
        return Err(format!("sweep.trials = {trials} must lie between 1 and {MOST}"));
    }
    if budgets.contains(&0) || !budgets.is_sorted_by(|a, b| a < b) {
        return Err(format!(
            "sweep.budgets = {budgets:?} must be environment steps, each more than the one before"
        ));
    }
    if seeds.len() != budgets.len() || seeds.contains(&0) || !seeds.is_sorted() {
        return Err(format!(
            "sweep.seeds = {seeds:?} must be a number of runs for each of the {} budgets, 1 or more and never fewer than before",
            budgets.len()
        ));
    }
    if *keep < 2 {
        return Err(format!("sweep.keep = {keep} must be 2 or more: one trial in so many goes on"));
    }
    if *first_seed > 1 << 60 {
        return Err(format!("sweep.first_seed = {first_seed} must be at most {}", 1u64 << 60));
    }
    if config.run.seconds.is_some() {
        return Err("run.seconds: a run that the clock ends has other numbers each time, and what is tried next would depend on it".into());
    }
    Ok(())
}
