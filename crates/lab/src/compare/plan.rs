//! What is to be compared: configurations or a suite file, agents, seeds; and the runs that makes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::runs::RunData;
use relax_runtime::Error;
use relax_training::config::Config;

/// What the command line, or a program, asks for.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Configuration files, or one suite file.
    pub configs: Vec<PathBuf>,
    /// With configurations: each is run with each of these agents. With a suite: only these agents' are run. None: as they are.
    pub agents: Vec<String>,
    /// Seeds of every configuration.
    pub seeds: Option<u64>,
    /// The first seed.
    pub first_seed: Option<u64>,
    /// Environment steps of every run, instead of each configuration's own.
    pub budget: Option<u64>,
    /// Other settings, `key=value`.
    pub set: Vec<String>,
}

/// A suite file: configurations that belong together, and how they are judged.
///
/// ```toml
/// title = "Pendulum"
/// configs = ["../pendulum-a2c.toml", "../pendulum-relax.toml"]   # from this file's folder
/// seeds = 10
/// ```
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Suite {
    /// Heading of the report.
    pub title: String,
    /// Configuration files, relative to the suite's folder.
    pub configs: Vec<PathBuf>,
    /// Seeds of every configuration.
    pub seeds: Option<u64>,
    /// The first seed.
    pub first_seed: Option<u64>,
    /// Folder of the comparison, when `--out` names none.
    pub out: Option<PathBuf>,
    /// Also write the results to this Markdown file, with its figures in a folder `img` beside it.
    pub markdown: Option<PathBuf>,
    /// What a reader must know: how the settings were tuned.
    pub notes: String,
    /// Return at which an environment counts as solved, where it has no threshold of its own or another is wanted.
    pub thresholds: BTreeMap<String, f64>,
    /// Returns that count as 0 and 1 when environments are put together.
    pub scale: BTreeMap<String, [f64; 2]>,
    /// Figures from the literature to stand beside the table.
    pub published: Vec<Published>,
}

/// A published figure: episodes until the mean return of 100 episodes reaches 195 on CartPole, and the like.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// The environment here that it is compared with.
    pub env: String,
    /// Name of the agent, as here.
    pub agent: String,
    /// The mean return that had to be reached.
    pub threshold: f64,
    /// Episodes, with their spread, as published.
    pub episodes: String,
    /// Where.
    pub source: String,
}

/// One configuration of a comparison.
#[derive(Debug, Clone)]
pub struct Experiment {
    /// Its name: the file's, with the agent's if another was asked for.
    pub label: String,
    /// Everything but the seed.
    pub config: Config,
}

/// One run to be made.
#[derive(Debug, Clone)]
pub struct Job {
    /// The experiment's name.
    pub label: String,
    /// The name of the run's folder.
    pub folder: String,
    /// All settings.
    pub config: Config,
}

/// A request, read and checked.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The suite it came from, or an empty one.
    pub suite: Suite,
    /// Experiments in their order.
    pub experiments: Vec<Experiment>,
    /// Runs in their order: seed by seed, so that early figures hold all experiments.
    pub jobs: Vec<Job>,
    /// What to tell the user: keys that another agent's configuration has and this one's not.
    pub notes: Vec<String>,
}

impl Plan {
    /// Reads the files that `request` names.
    ///
    /// # Errors
    /// If a file is wrong, an agent is unknown, or nothing is left to run.
    pub fn new(request: &Request) -> Result<Self, Error> {
        let (suite, configs) = match request.configs.as_slice() {
            [one] if is_suite(one) => load_suite(one)?,
            [] => (Suite::default(), Vec::new()),
            many => (Suite::default(), many.to_vec()),
        };
        let from_suite = !suite.configs.is_empty();
        let twice = |at: usize, agent: &String| request.agents[..at].contains(agent);
        if let Some((_, agent)) = request.agents.iter().enumerate().find(|(at, agent)| twice(*at, agent)) {
            return Err(Error::input(format!("the agent {agent} is named twice"))
                .with_hint("name each agent once; more runs of one agent are more seeds, --seeds N"));
        }
        let mut settings = request.set.clone();
        // The numbers do not depend on the workers, and the cores are kept busy with other runs.
        settings.push("rollout.workers=0".into());
        settings.extend(request.budget.map(|steps| format!("run.env_steps={steps}")));
        let mut experiments: Vec<Experiment> = Vec::new();
        let mut notes: Vec<String> = Vec::new();
        let note = |path: &Path, told: Vec<String>, notes: &mut Vec<String>| {
            notes.extend(told.iter().map(|text| format!("{}: {text}", path.display())));
        };
        for path in &configs {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let (own, told) = Config::load_noting(path, &settings)?;
            note(path, told, &mut notes);
            let own_name = own.agent.kind.clone();
            let wanted: Vec<String> = match request.agents.as_slice() {
                [] => vec![own_name.clone()],
                agents if from_suite => agents.iter().filter(|agent| **agent == own_name).cloned().collect(),
                agents => agents.to_vec(),
            };
            for agent in wanted {
                let (label, config) = if agent == own_name {
                    (stem.clone(), own.clone())
                } else {
                    let mut changed = settings.clone();
                    changed.push(format!("agent.kind={agent}"));
                    let (config, told) = Config::load_noting(path, &changed)?;
                    note(path, told, &mut notes);
                    (format!("{stem}-{agent}"), config)
                };
                if let Some(twin) = experiments.iter().find(|other| other.label == label) {
                    return Err(Error::input(format!("two configurations are called {}", twin.label))
                        .with_hint("runs are kept by the file's name: give one of them another"));
                }
                experiments.push(Experiment { label, config });
            }
        }
        if experiments.is_empty() && !configs.is_empty() {
            return Err(Error::input(format!(
                "no configuration here has the agent {}",
                request.agents.join(" or ")
            ))
            .with_hint("leave out --agents to run them all"));
        }
        let seeds = request.seeds.or(suite.seeds).unwrap_or(5);
        let first = request.first_seed.or(suite.first_seed).unwrap_or(0);
        let mut jobs = Vec::new();
        for seed in first..first + seeds {
            for experiment in &experiments {
                let mut config = experiment.config.clone();
                config.run.seed = seed;
                let folder = format!("{}-s{seed}", experiment.label);
                jobs.push(Job { label: experiment.label.clone(), folder, config });
            }
        }
        Ok(Self { suite, experiments, jobs, notes })
    }

    /// Whether `run` goes by the name of an experiment on the same environment.
    #[must_use]
    pub fn has(&self, run: &RunData) -> bool {
        let same = |own: &Experiment| own.label == run.label && own.config.env.id == run.env;
        self.experiments.iter().any(same)
    }
}

/// A suite lists configurations; a configuration describes an environment.
fn is_suite(path: &Path) -> bool {
    let Ok(text) = std::fs::read_to_string(path) else { return false };
    text.parse::<toml::Table>().is_ok_and(|table| table.contains_key("configs"))
}

fn load_suite(path: &Path) -> Result<(Suite, Vec<PathBuf>), Error> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::io("read", path, source))?;
    let suite: Suite = toml::from_str(&text).map_err(|error| {
        Error::input(format!("{}: {}", path.display(), error.to_string().trim_end()))
            .with_hint("configs/suites/classic.toml shows all keys of a suite")
    })?;
    if suite.configs.is_empty() {
        return Err(Error::input(format!("{}: `configs` is empty", path.display()))
            .with_hint("list configuration files, relative to the suite's folder"));
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    let configs = suite.configs.iter().map(|config| folder.join(config)).collect();
    Ok((suite, configs))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, text).expect("write");
        path
    }

    #[test]
    fn configurations_times_agents_times_seeds() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let text = "[env]\nid = \"CartPole-v1\"\n[agent]\nkind = \"a2c\"\n";
        let config = write(folder.path(), "pole.toml", text);
        let request = |agents: &[&str]| Request {
            configs: vec![config.clone()],
            agents: agents.iter().map(|&a| a.to_owned()).collect(),
            seeds: Some(2),
            first_seed: Some(7),
            budget: Some(500),
            set: Vec::new(),
        };
        let plan = Plan::new(&request(&["a2c", "relax-a2c"])).expect("a plan");
        let folders: Vec<&str> = plan.jobs.iter().map(|job| job.folder.as_str()).collect();
        assert_eq!(folders, ["pole-s7", "pole-relax-a2c-s7", "pole-s8", "pole-relax-a2c-s8"]);
        assert!(
            plan.jobs.iter().all(|job| job.config.run.env_steps == 500 && job.config.rollout.workers == 0)
        );
        let error = Plan::new(&request(&["a3c"])).expect_err("unknown");
        assert_eq!(error.exit_code(), 2);
    }

    #[test]
    fn a_suite_is_read_and_its_mistakes_named() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        write(folder.path(), "pole.toml", "[env]\nid = \"CartPole-v1\"\n[agent]\nkind = \"a2c\"\n");
        let suite = write(folder.path(), "suite.toml", "configs = [\"pole.toml\"]\nseeds = 3\n");
        let request = |path: &Path| Request { configs: vec![path.to_owned()], ..Request::default() };
        assert_eq!(Plan::new(&request(&suite)).expect("a plan").jobs.len(), 3);
        let wrong = write(folder.path(), "wrong.toml", "configs = [\"pole.toml\"]\nseed = 3\n");
        let error = Plan::new(&request(&wrong)).expect_err("an unknown key");
        assert!(error.to_string().contains("seed") && error.exit_code() == 2);
        let mut only = request(&suite);
        only.agents = vec!["ddpg".into()];
        assert!(Plan::new(&only).expect_err("nothing left").to_string().contains("ddpg"));
    }
}
