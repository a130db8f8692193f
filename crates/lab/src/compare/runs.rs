//! Runs as a comparison sees them, whoever made them: read from run folders, or imported from another library's table.

use std::collections::BTreeMap;
use std::path::Path;

use relax_envs::{Kwarg, WrapperConfig};
use relax_runtime::Error;
use relax_runtime::logging::columns;
use relax_training::config::{Config, EnvConfig};
use relax_training::{Milestone, Summary};

/// Episodes whose mean return is judged.
pub const WINDOW: usize = 100;
/// Fewer episodes than these give no point of a curve.
const LEAST_WINDOW: usize = 10;

/// A finished training episode.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EpisodeRow {
    /// Environment steps of the run when it ended.
    pub env_steps: f64,
    /// Sum of its rewards.
    pub total: f64,
    /// Seconds of the run when it ended; NaN if unknown.
    pub seconds: f64,
}

/// How an evaluation chooses its actions. Only returns under the same rule can be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// The most probable action, or the mean: how training's evaluation and `relax eval` choose.
    Greedy,
    /// An action drawn from the policy.
    Sampled,
    /// Not known: compared with nothing.
    Unstated,
}

impl Rule {
    /// "greedy", "sampled" or "rule not stated".
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Greedy => "greedy",
            Self::Sampled => "sampled",
            Self::Unstated => "rule not stated",
        }
    }

    /// What a table of another library may call it; `None` if that is none of the known names.
    fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "" => Some(Self::Unstated),
            "greedy" | "deterministic" => Some(Self::Greedy),
            "sampled" | "stochastic" => Some(Self::Sampled),
            _ => None,
        }
    }
}

/// A run's evaluation after training.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evaluated {
    /// Mean return of its episodes.
    pub mean: f64,
    /// How it chose actions.
    pub rule: Rule,
}

/// One run.
#[derive(Debug, Clone)]
pub struct RunData {
    /// What it is an example of: runs with the same label and environment differ in nothing but their seed.
    pub label: String,
    /// Id of the environment.
    pub env: String,
    /// Name of the agent; for imported runs with their library's.
    pub agent: String,
    /// Its seed.
    pub seed: u64,
    /// Training episodes in their order.
    pub episodes: Vec<EpisodeRow>,
    /// The evaluation after training; none if there was none.
    pub evaluation: Option<Evaluated>,
    /// Environment steps.
    pub env_steps: f64,
    /// Environment steps it was given: more than it took if it stopped once the environment was solved.
    pub budget: f64,
    /// Environment steps per second of training; NaN if unknown.
    pub steps_per_second: f64,
    /// (environment steps, E‖ĝ‖² of the agent, E‖ĝ‖² of A2C) of the updates that were logged.
    pub squared_norms: Vec<[f64; 3]>,
    /// All settings, as TOML; none for imported runs.
    pub config: Option<String>,
}

impl RunData {
    /// Reads a run folder.
    ///
    /// # Errors
    /// If it is no run folder or a file in it cannot be read.
    pub fn load(label: &str, dir: &Path) -> Result<Self, Error> {
        let config = Config::load_recorded(&dir.join("config.toml"))?;
        let summary = Summary::load(&dir.join("summary.json"))?;
        let episodes = columns(&dir.join("episodes.csv"), ["env_steps", "return", "wall_seconds"])?;
        let norms = columns(&dir.join("metrics.csv"), ["env_steps", "squared_norm", "squared_norm_a2c"])?;
        Ok(Self {
            label: label.to_owned(),
            env: task(&config.env),
            agent: config.agent.kind.clone(),
            seed: config.run.seed,
            episodes: episodes
                .into_iter()
                .map(|[env_steps, total, seconds]| EpisodeRow { env_steps, total, seconds })
                .collect(),
            evaluation: summary
                .evaluation
                .map(|evaluation| Evaluated { mean: evaluation.mean, rule: Rule::Greedy }),
            env_steps: summary.env_steps as f64,
            budget: config.run.env_steps as f64,
            steps_per_second: summary.env_steps_per_second,
            squared_norms: norms,
            config: Some(config.to_toml()),
        })
    }

    /// Mean return of the last 100 training episodes (of all, if there were fewer); NaN before the first. It is no score: its
    /// actions were drawn as training draws them, with a policy that was still changing.
    #[must_use]
    pub fn training_return(&self) -> f64 {
        let last = &self.episodes[self.episodes.len().saturating_sub(WINDOW)..];
        last.iter().map(|episode| episode.total).sum::<f64>() / last.len() as f64
    }

    /// When the mean return of the last 100 episodes first reached `threshold`.
    #[must_use]
    pub fn reached(&self, threshold: f64) -> Option<Milestone> {
        self.moving_mean(WINDOW).find(|(_, mean)| *mean >= threshold).map(|(i, _)| Milestone {
            threshold,
            episodes: i as u64 + 1,
            env_steps: self.episodes[i].env_steps as u64,
            wall_seconds: self.episodes[i].seconds,
        })
    }

    /// (episode, mean return of the last 100), from the `least`th episode on.
    fn moving_mean(&self, least: usize) -> impl Iterator<Item = (usize, f64)> + '_ {
        let mut sum = 0.0;
        self.episodes.iter().enumerate().filter_map(move |(i, episode)| {
            sum += episode.total;
            if i >= WINDOW {
                sum -= self.episodes[i - WINDOW].total;
            }
            (i + 1 >= least).then(|| (i, sum / (i + 1).min(WINDOW) as f64))
        })
    }

    /// The learning curve at the steps `grid`: the mean return of the last 100 episodes; NaN before the tenth episode
    /// and after the run's end.
    #[must_use]
    pub fn curve(&self, grid: &[f64]) -> Vec<f64> {
        let points: Vec<(f64, f64)> =
            self.moving_mean(LEAST_WINDOW).map(|(i, mean)| (self.episodes[i].env_steps, mean)).collect();
        grid.iter()
            .map(|&step| {
                let before = points.partition_point(|&(at, _)| at <= step);
                match before.checked_sub(1) {
                    Some(i) if step <= self.env_steps * (1.0 + 1e-9) => points[i].1,
                    _ => f64::NAN,
                }
            })
            .collect()
    }

    /// Σ E‖ĝ‖² over Σ E‖ĝ‖² of A2C, over updates; NaN without them.
    #[must_use]
    pub fn ratio_of_sums(&self) -> f64 {
        let total = |i: usize| self.squared_norms.iter().map(|row| row[i]).sum::<f64>();
        total(1) / total(2)
    }

    /// Median over updates of E‖ĝ‖² over A2C's.
    #[must_use]
    pub fn median_ratio(&self) -> f64 {
        let ratios: Vec<f64> = self.squared_norms.iter().map(|row| row[1] / row[2]).collect();
        super::stats::median_of(&ratios)
    }
}

/// The environment's id, with what changes its returns: a CartPole that ends after 200 steps is another task.
fn task(env: &EnvConfig) -> String {
    let plain = |value: &Kwarg| serde_json::to_string(value).unwrap_or_default();
    let mut changes: Vec<String> =
        env.kwargs.iter().map(|(name, value)| format!("{name}={}", plain(value))).collect();
    changes.extend(env.max_episode_steps.map(|steps| format!("max_episode_steps={steps}")));
    changes.extend(env.wrappers.iter().filter_map(|wrapper| match wrapper {
        WrapperConfig::FrameStack { .. }
        | WrapperConfig::NormalizeObservation {}
        | WrapperConfig::ObservationScale { .. }
        | WrapperConfig::ClipAction {} => None,
        // Another set of actions has another best return.
        WrapperConfig::DiscretizeAction { .. } => Some("DiscretizeAction".to_owned()),
        WrapperConfig::NormalizeReward { .. } => Some("NormalizeReward".to_owned()),
        WrapperConfig::TimeLimit { max_episode_steps } => Some(format!("TimeLimit {max_episode_steps}")),
        // By the custom of Gymnasium a wrapper's name ends with what it changes.
        WrapperConfig::Gymnasium { wrapper, .. } if wrapper.ends_with("Observation") => None,
        WrapperConfig::Gymnasium { wrapper, .. } => Some(wrapper.clone()),
    }));
    if changes.is_empty() { env.id.clone() } else { format!("{} ({})", env.id, changes.join(", ")) }
}

/// Reads another library's runs, one row for every training episode:
///
/// ```text
/// agent,env,seed,env_steps,return[,wall_seconds][,evaluation,evaluation_rule]
/// sb3-a2c,CartPole-v1,0,23,23.0,0.41,487.5,greedy
/// ```
/// `env_steps` counts the steps of the whole run up to the episode's end. `evaluation` is the run's mean return after training,
/// and `evaluation_rule` how its actions were chosen, `greedy` or `sampled`; both the same in all of its rows, or empty. A run
/// without an evaluation has no return after training here, and one without a rule is compared with nothing.
///
/// # Errors
/// If the file cannot be read, lacks a column, or a row is wrong; the message names the line.
pub fn import(path: &Path) -> Result<Vec<RunData>, Error> {
    let refuse = |problem: String| {
        Error::input(format!("{}: {problem}", path.display())).with_hint(
            "the columns are agent,env,seed,env_steps,return and, if known, wall_seconds, evaluation and evaluation_rule",
        )
    };
    let mut reader = csv::Reader::from_path(path).map_err(|error| refuse(error.to_string()))?;
    let heading = reader.headers().map_err(|error| refuse(error.to_string()))?.clone();
    let place = |name: &str| heading.iter().position(|column| column.trim() == name);
    let need = |name: &str| place(name).ok_or_else(|| refuse(format!("there is no column `{name}`")));
    let (agent, env, seed, steps, total) =
        (need("agent")?, need("env")?, need("seed")?, need("env_steps")?, need("return")?);
    let (seconds, evaluation, rule) = (place("wall_seconds"), place("evaluation"), place("evaluation_rule"));
    let mut runs: BTreeMap<(String, String, u64), RunData> = BTreeMap::new();
    for record in reader.records() {
        let record = record.map_err(|error| refuse(error.to_string()))?;
        let line = record.position().map_or(0, csv::Position::line);
        let number = |place: usize, name: &str| {
            let text = record.get(place).unwrap_or("").trim();
            text.parse::<f64>()
                .ok()
                .filter(|x| x.is_finite())
                .ok_or_else(|| refuse(format!("line {line}: `{name}` is {text:?}, which is not a number")))
        };
        let optional = |place: Option<usize>, name: &str| match place {
            Some(place) if !record.get(place).unwrap_or("").trim().is_empty() => number(place, name),
            _ => Ok(f64::NAN),
        };
        let text = |place: usize| record.get(place).unwrap_or("").trim().to_owned();
        let seed = number(seed, "seed")? as u64;
        let run = runs.entry((text(env), text(agent), seed)).or_insert_with(|| RunData {
            label: text(agent),
            env: text(env),
            agent: text(agent),
            seed,
            episodes: Vec::new(),
            evaluation: None,
            env_steps: 0.0,
            budget: 0.0,
            steps_per_second: f64::NAN,
            squared_norms: Vec::new(),
            config: None,
        });
        let episode = EpisodeRow {
            env_steps: number(steps, "env_steps")?,
            total: number(total, "return")?,
            seconds: optional(seconds, "wall_seconds")?,
        };
        if episode.env_steps < run.env_steps {
            return Err(refuse(format!(
                "line {line}: `env_steps` goes back from {} to {}; it counts the steps of the whole run",
                run.env_steps, episode.env_steps
            )));
        }
        run.env_steps = episode.env_steps;
        run.steps_per_second = episode.env_steps / episode.seconds;
        run.budget = episode.env_steps;
        let mean = optional(evaluation, "evaluation")?;
        if mean.is_finite() {
            let text = rule.and_then(|place| record.get(place)).unwrap_or("").trim();
            let rule = Rule::parse(text).ok_or_else(|| {
                refuse(format!("line {line}: `evaluation_rule` is {text:?}, but may be greedy or sampled"))
            })?;
            let found = Evaluated { mean, rule };
            if let Some(other) = run.evaluation.replace(found).filter(|other| *other != found) {
                return Err(refuse(format!(
                    "line {line}: the evaluation of one run is {mean} ({}) here and {} ({}) above",
                    rule.name(),
                    other.mean,
                    other.rule.name()
                )));
            }
        }
        run.episodes.push(episode);
    }
    Ok(runs.into_values().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(returns: &[f64]) -> RunData {
        let row =
            |(i, &total): (usize, &f64)| EpisodeRow { env_steps: 10.0 * (i + 1) as f64, total, seconds: 0.5 };
        RunData {
            label: "x".into(),
            env: "X-v0".into(),
            agent: "a2c".into(),
            seed: 0,
            episodes: returns.iter().enumerate().map(row).collect(),
            evaluation: None,
            env_steps: 10.0 * returns.len() as f64,
            budget: 10.0 * returns.len() as f64,
            steps_per_second: f64::NAN,
            squared_norms: vec![[0.0, 1.0, 2.0], [1.0, 3.0, 2.0]],
            config: None,
        }
    }

    #[test]
    fn thresholds_need_a_hundred_episodes() {
        let mut returns = vec![0.0; 100];
        returns.extend(vec![10.0; 60]);
        let run = run(&returns);
        let reached = run.reached(5.0).expect("in the end");
        assert_eq!((reached.episodes, reached.env_steps), (150, 1500));
        assert_eq!(run.reached(6.5), None);
        assert_eq!((run.training_return(), run.evaluation), (6.0, None));
        let curve = run.curve(&[50.0, 100.0, 1000.0, 1500.0, 1600.0, 1700.0]);
        assert!(curve[0].is_nan() && curve[5].is_nan());
        assert_eq!(curve[1..5], [0.0, 0.0, 5.0, 6.0]);
        assert_eq!((run.ratio_of_sums(), run.median_ratio()), (1.0, 1.0));
    }

    #[test]
    fn a_changed_environment_is_another_task() {
        let mut env = EnvConfig::new("CartPole-v1");
        env.wrappers = vec![WrapperConfig::FrameStack { size: 2 }, WrapperConfig::NormalizeObservation {}];
        assert_eq!(task(&env), "CartPole-v1");
        env.kwargs.insert("sutton_barto_reward".into(), Kwarg::Bool(true));
        env.max_episode_steps = Some(200);
        env.wrappers.push(WrapperConfig::TimeLimit { max_episode_steps: 90 });
        assert_eq!(task(&env), "CartPole-v1 (sutton_barto_reward=true, max_episode_steps=200, TimeLimit 90)");
    }

    #[test]
    fn tables_of_other_libraries_are_read_and_their_mistakes_named() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("x.csv");
        let read = |text: &str| {
            std::fs::write(&path, text).expect("write");
            import(&path)
        };
        let head = "agent,env,seed,env_steps,return,wall_seconds,evaluation\n";
        let runs =
            read(&format!("{head}sb3,X-v0,0,10,1.5,0.5,9\nsb3,X-v0,0,20,2.5,1,9\nsb3,X-v0,1,12,1,,\n"));
        let runs = runs.expect("reads");
        assert_eq!(runs.len(), 2);
        let evaluated = Some(Evaluated { mean: 9.0, rule: Rule::Unstated });
        assert_eq!((runs[0].evaluation, runs[0].steps_per_second, runs[0].budget), (evaluated, 20.0, 20.0));
        // What the table does not say is not known: a training mean is no evaluation.
        assert_eq!((runs[1].evaluation, runs[1].training_return()), (None, 1.0));
        let error = read(&format!("{head}sb3,X-v0,0,ten,1,,\n")).expect_err("no number");
        assert!(error.to_string().contains("line 2") && error.to_string().contains("env_steps"), "{error}");
        let error = read("agent,env,seed,return\n").expect_err("a column is missing");
        assert!(error.to_string().contains("env_steps"));
        let error = read(&format!("{head}s,X-v0,0,20,1,,\ns,X-v0,0,10,1,,\n")).expect_err("steps fall");
        assert!(error.to_string().contains("goes back") && error.exit_code() == 2);
        let error =
            read(&format!("{head}s,X-v0,0,20,1,,7\ns,X-v0,0,30,1,,8\n")).expect_err("two evaluations");
        assert!(error.to_string().contains("line 3") && error.to_string().contains("one run"), "{error}");

        let head = "evaluation_rule,agent,env,seed,env_steps,return,evaluation\n";
        for (name, rule) in
            [("greedy", Rule::Greedy), ("Deterministic", Rule::Greedy), ("stochastic", Rule::Sampled)]
        {
            let runs = read(&format!("{head}{name},s,X-v0,0,10,1,5\n,s,X-v0,0,20,1,\n")).expect("reads");
            assert_eq!(runs[0].evaluation, Some(Evaluated { mean: 5.0, rule }));
        }
        let error = read(&format!("{head}argmax,s,X-v0,0,10,1,5\n")).expect_err("an unknown rule");
        assert!(error.to_string().contains("argmax") && error.to_string().contains("sampled"), "{error}");
    }
}
