//! What the runs of a comparison come to: one [`Entry`] for every environment and configuration, and groups of
//! environments that the same agents were run on.

use super::plan::Suite;
use super::runs::RunData;
use super::stats::{self, Interval, bootstrap};
use super::survival::{Duration, common_horizon, median_time, restricted_mean_interval};
use relax_runtime::Error;

/// All results.
#[derive(Debug, Clone)]
pub struct Analysis {
    /// By environment, in the order of the runs.
    pub entries: Vec<Entry>,
    /// Environments with the same agents.
    pub groups: Vec<Group>,
}

/// One configuration on one environment, over its seeds.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Id of the environment.
    pub env: String,
    /// Name shown: the agent's, or the configuration's where an agent has several.
    pub name: String,
    /// Its runs, by seed.
    pub runs: Vec<RunData>,
    /// The return at which the environment counts as solved.
    pub threshold: Option<f64>,
    /// Interquartile mean of the runs' scores.
    pub iqm: Interval,
    /// Mean of the runs' scores.
    pub mean: Interval,
    /// Median of the runs' scores.
    pub median: Interval,
    /// How many runs reached the threshold.
    pub solved: usize,
    /// Episodes, environment steps and seconds to the threshold; none without one, seconds only if known.
    pub time_to: Option<[TimeTo; 3]>,
    /// Median environment steps per second; NaN if unknown.
    pub steps_per_second: f64,
    /// E‖ĝ‖² over A2C's: of each run's ratio of sums over all updates, the geometric mean.
    pub ratio_of_sums: Option<Interval>,
    /// The same of each run's median over updates.
    pub median_ratio: Option<Interval>,
}

/// Time to a threshold, runs that never reached it included.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TimeTo {
    /// By when half of the runs had reached it (Kaplan–Meier).
    pub median: Option<f64>,
    /// Mean of min(time, horizon).
    pub restricted_mean: Interval,
    /// Up to where all runs were watched.
    pub horizon: f64,
}

/// Environments that the same agents were run on, and those agents' scores, scaled.
#[derive(Debug, Clone)]
pub struct Group {
    /// Ids of the environments.
    pub envs: Vec<String>,
    /// Names of the agents.
    pub names: Vec<String>,
    /// `[agent][environment][run]`: 0 and 1 are the returns of [`Analysis::new`]'s scale.
    pub scores: Vec<Vec<Vec<f64>>>,
}

impl Analysis {
    /// Judges `runs` as `suite` says. Without a scale of its own, an environment's lowest and highest score are 0 and 1.
    ///
    /// # Errors
    /// If there are no runs.
    pub fn new(runs: Vec<RunData>, suite: &Suite) -> Result<Self, Error> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut grouped: Vec<(String, String, Vec<RunData>)> = Vec::new();
        for run in runs {
            match grouped.iter_mut().find(|(env, label, _)| *env == run.env && *label == run.label) {
                Some((_, _, of)) => of.push(run),
                None => grouped.push((run.env.clone(), run.label.clone(), vec![run])),
            }
        }
        if grouped.is_empty() {
            return Err(Error::input("there are no runs to compare"));
        }
        let mut order: Vec<String> = Vec::new();
        for (env, ..) in &grouped {
            if !order.contains(env) {
                order.push(env.clone());
            }
        }
        grouped.sort_by_key(|(env, ..)| order.iter().position(|other| other == env));
        let agents: Vec<(String, String)> =
            grouped.iter().map(|(env, _, runs)| (env.clone(), runs[0].agent.clone())).collect();
        for (env, label, mut runs) in grouped {
            runs.sort_by_key(|run| run.seed);
            let agent = runs[0].agent.clone();
            let twins = agents.iter().filter(|(e, a)| *e == env && *a == agent).count() > 1;
            let threshold = suite
                .thresholds
                .get(&env)
                .copied()
                .or_else(|| relax_envs::spec(&env).ok().and_then(|spec| spec.reward_threshold));
            entries.push(Entry::new(env, if twins { label } else { agent }, runs, threshold));
        }
        let groups = groups(&order, &entries, suite);
        Ok(Self { entries, groups })
    }

    /// Ids of the environments, in order.
    #[must_use]
    pub fn envs(&self) -> Vec<&str> {
        let mut envs: Vec<&str> = self.entries.iter().map(|entry| entry.env.as_str()).collect();
        envs.dedup();
        envs
    }

    /// The entries of an environment.
    pub fn of<'a>(&'a self, env: &'a str) -> impl Iterator<Item = &'a Entry> {
        self.entries.iter().filter(move |entry| entry.env == env)
    }
}

impl Entry {
    fn new(env: String, name: String, runs: Vec<RunData>, threshold: Option<f64>) -> Self {
        let scores = vec![runs.iter().map(RunData::score).filter(|s| s.is_finite()).collect::<Vec<f64>>()];
        let speeds: Vec<f64> = runs.iter().map(|r| r.steps_per_second).filter(|s| s.is_finite()).collect();
        let geometric = |of: fn(&RunData) -> f64| {
            let logs: Vec<f64> = runs.iter().map(|run| of(run).ln()).filter(|x| x.is_finite()).collect();
            (!logs.is_empty()).then(|| {
                let found = bootstrap(&[logs], stats::mean);
                Interval { point: found.point.exp(), low: found.low.exp(), high: found.high.exp() }
            })
        };
        let time_to = threshold
            .map(|threshold| [0, 1, 2].map(|measure| TimeTo::new(&durations(&runs, threshold, measure))));
        Self {
            iqm: bootstrap(&scores, stats::iqm),
            mean: bootstrap(&scores, stats::mean),
            median: bootstrap(&scores, |s| stats::median_of(&s[0])),
            solved: threshold
                .map_or(0, |threshold| runs.iter().filter(|run| run.reached(threshold).is_some()).count()),
            time_to,
            steps_per_second: stats::median_of(&speeds),
            ratio_of_sums: geometric(RunData::ratio_of_sums),
            median_ratio: geometric(RunData::median_ratio),
            env,
            name,
            runs,
            threshold,
        }
    }

    /// Whether its estimator is another than A2C's, so that the ratio says something.
    #[must_use]
    pub fn has_ratio(&self) -> bool {
        self.ratio_of_sums.is_some_and(|ratio| (ratio.point - 1.0).abs() > 1e-9)
    }

    /// The grid of environment steps of its curves: up to its longest run.
    #[must_use]
    pub fn grid(&self, points: usize) -> Vec<f64> {
        let end = self.runs.iter().map(|run| run.env_steps).fold(0.0, f64::max);
        (1..=points).map(|i| end * i as f64 / points as f64).collect()
    }
}

/// When each run reached `threshold`: in episodes (0), environment steps (1) or seconds (2).
#[must_use]
pub fn durations(runs: &[RunData], threshold: f64, measure: usize) -> Vec<Duration> {
    runs.iter()
        .map(|run| match run.reached(threshold) {
            Some(m) => Duration {
                time: [m.episodes as f64, m.env_steps as f64, m.wall_seconds][measure],
                reached: true,
            },
            None => {
                let seconds = run.episodes.last().map_or(f64::NAN, |episode| episode.seconds);
                let time = [run.episodes.len() as f64, run.env_steps, seconds][measure];
                Duration { time, reached: false }
            }
        })
        .filter(|duration| duration.time.is_finite())
        .collect()
}

impl TimeTo {
    fn new(durations: &[Duration]) -> Self {
        let horizon = common_horizon(durations);
        Self {
            median: median_time(durations),
            restricted_mean: restricted_mean_interval(durations, horizon),
            horizon,
        }
    }
}

fn groups(order: &[String], entries: &[Entry], suite: &Suite) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for env in order {
        let names: Vec<String> = entries.iter().filter(|e| e.env == *env).map(|e| e.name.clone()).collect();
        let same = |group: &&mut Group| {
            group.names.len() == names.len() && names.iter().all(|name| group.names.contains(name))
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.envs.push(env.clone()),
            None => groups.push(Group { envs: vec![env.clone()], names, scores: Vec::new() }),
        }
    }
    for group in &mut groups {
        group.scores = group
            .names
            .iter()
            .map(|name| group.envs.iter().map(|env| scaled(entries, suite, env, name)).collect())
            .collect();
    }
    groups
}

fn scaled(entries: &[Entry], suite: &Suite, env: &str, name: &str) -> Vec<f64> {
    let scores = |entry: &Entry| entry.runs.iter().map(RunData::score).collect::<Vec<f64>>();
    let all: Vec<f64> = entries.iter().filter(|e| e.env == env).flat_map(scores).collect();
    let [low, high] = suite.scale.get(env).copied().unwrap_or_else(|| {
        let (low, high) =
            all.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), &s| (l.min(s), h.max(s)));
        [low, high]
    });
    let width = if high > low { high - low } else { 1.0 };
    entries
        .iter()
        .find(|e| e.env == env && e.name == name)
        .map_or_else(Vec::new, |e| scores(e).iter().map(|score| (score - low) / width).collect())
}
