//! What the runs of a comparison come to: one [`Entry`] for every environment and configuration, and groups of
//! environments that the same agents were run on.

use super::plan::Suite;
use super::runs::{Rule, RunData};
use super::stats::{self, Interval, bootstrap};
use super::survival::{Duration, common_horizon, median_time, restricted_mean_interval};
use relax_runtime::Error;

/// All results.
#[derive(Debug, Clone)]
pub struct Analysis {
    /// By environment, in the order of the runs.
    pub entries: Vec<Entry>,
    /// Several environments with the same agents, evaluated alike.
    pub groups: Vec<Group>,
    /// What the numbers do not say, in sentences: what was not measured, or not in the same way.
    pub remarks: Vec<String>,
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
    /// Returns of the evaluations after training, one for every run that has one.
    pub scores: Vec<f64>,
    /// How those evaluations chose actions; not stated if the runs differ in it.
    pub rule: Rule,
    /// Interquartile mean, mean and median of the scores; none without a score.
    pub evaluation: Option<Centre>,
    /// Interquartile mean of the runs' mean returns of the last 100 training episodes.
    pub training: Interval,
    /// Environment steps that a run was given.
    pub budget: f64,
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

/// Where scores lie.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Centre {
    /// Interquartile mean.
    pub iqm: Interval,
    /// Mean.
    pub mean: Interval,
    /// Median.
    pub median: Interval,
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

/// Several environments that the same agents were run on and evaluated alike, and those agents' scores, scaled.
#[derive(Debug, Clone)]
pub struct Group {
    /// What the environments' returns are measured by, in order.
    pub references: Vec<Reference>,
    /// Names of the agents.
    pub names: Vec<String>,
    /// How the evaluations chose actions.
    pub rule: Rule,
    /// `[agent][environment][run]`: 0 and 1 are the reference scores.
    pub scores: Vec<Vec<Vec<f64>>>,
}

/// What the returns of an environment are measured by: known beforehand, so that no agent of the comparison moves it.
#[derive(Debug, Clone, PartialEq)]
pub struct Reference {
    /// Id of the environment.
    pub env: String,
    /// The return that counts as 0.
    pub zero: f64,
    /// The return that counts as 1.
    pub one: f64,
    /// What the two are.
    pub what: &'static str,
}

impl Reference {
    /// That of `suite` for `env`, or else the registered one: random play, and the threshold or the best return
    /// known. Gymnasium's environments have those of ours of the same name, which are bit-equal.
    #[must_use]
    pub fn of(env: &str, suite: &Suite) -> Option<Self> {
        let new = |zero: f64, one: f64, what| Self { env: env.to_owned(), zero, one, what };
        if let Some([zero, one]) = suite.scale.get(env) {
            return Some(new(*zero, *one, "the suite's"));
        }
        let spec = relax_envs::spec(env.strip_prefix("gym:").unwrap_or(env)).ok()?;
        let zero = spec.random_return?;
        match (spec.reward_threshold, spec.best_return) {
            (Some(threshold), _) => Some(new(zero, threshold, "random actions, threshold")),
            (None, Some(best)) => Some(new(zero, best, "random actions, best known")),
            (None, None) => None,
        }
    }

    /// `score` on the scale.
    #[must_use]
    pub fn scaled(&self, score: f64) -> f64 {
        (score - self.zero) / (self.one - self.zero)
    }
}

/// Fewer runs than these say nothing of the next one, so nothing is said of which agent is better.
pub const LEAST_RUNS: usize = 3;

impl Analysis {
    /// Judges `runs` as `suite` says.
    ///
    /// # Errors
    /// If there are no runs, or two of them are one.
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
            if let Some(twins) = runs.windows(2).find(|pair| pair[0].seed == pair[1].seed) {
                let message = format!("there are two runs of {label} on {env} with seed {}", twins[0].seed);
                return Err(Error::input(message).with_hint(
                    "seeds counted twice make intervals too narrow; give an imported agent a name of its own",
                ));
            }
            let agent = runs[0].agent.clone();
            let twins = agents.iter().filter(|(e, a)| *e == env && *a == agent).count() > 1;
            let threshold = suite
                .thresholds
                .get(&env)
                .copied()
                .or_else(|| relax_envs::spec(&env).ok().and_then(|spec| spec.reward_threshold));
            entries.push(Entry::new(env, if twins { label } else { agent }, runs, threshold));
        }
        let (groups, unscaled) = groups(&order, &entries, suite);
        let mut remarks = super::remarks::of(&entries);
        remarks.extend(unscaled);
        Ok(Self { entries, groups, remarks })
    }

    /// Ids of the environments, in order.
    #[must_use]
    pub fn envs(&self) -> Vec<&str> {
        let mut envs: Vec<&str> = self.entries.iter().map(|entry| entry.env.as_str()).collect();
        envs.dedup();
        envs
    }

    /// Pairs of entries of an environment whose scores can be compared: evaluated under the same known rule, over enough runs.
    #[must_use]
    pub fn comparable<'a>(&'a self, env: &'a str) -> Vec<[&'a Entry; 2]> {
        let entries: Vec<&Entry> = self.of(env).collect();
        let mut pairs = Vec::new();
        for (i, x) in entries.iter().enumerate() {
            let alike = entries[i + 1..].iter().filter(|y| x.is_measured_like(y));
            pairs.extend(alike.map(|y| [*x, *y]));
        }
        pairs
    }

    /// The entries of an environment.
    pub fn of<'a>(&'a self, env: &'a str) -> impl Iterator<Item = &'a Entry> {
        self.entries.iter().filter(move |entry| entry.env == env)
    }
}

impl Entry {
    fn new(env: String, name: String, runs: Vec<RunData>, threshold: Option<f64>) -> Self {
        let evaluations: Vec<_> = runs.iter().filter_map(|run| run.evaluation).collect();
        let scores = [evaluations.iter().map(|found| found.mean).collect::<Vec<f64>>()];
        let rule = match evaluations.as_slice() {
            [first, rest @ ..] if rest.iter().all(|other| other.rule == first.rule) => first.rule,
            _ => Rule::Unstated,
        };
        let training: Vec<f64> =
            runs.iter().map(RunData::training_return).filter(|r| r.is_finite()).collect();
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
            evaluation: (!scores[0].is_empty()).then(|| Centre {
                iqm: bootstrap(&scores, stats::iqm),
                mean: bootstrap(&scores, stats::mean),
                median: bootstrap(&scores, |s| stats::median_of(&s[0])),
            }),
            scores: scores.concat(),
            rule,
            training: bootstrap(&[training], stats::iqm),
            budget: runs.iter().map(|run| run.budget).fold(0.0, f64::max),
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

    /// Whether a run of this and one of `other` can be held against each other.
    #[must_use]
    pub fn is_measured_like(&self, other: &Self) -> bool {
        self.rule != Rule::Unstated
            && self.rule == other.rule
            && self.scores.len().min(other.scores.len()) >= LEAST_RUNS
    }

    /// Whether it was given as many environment steps as agents with `longest`. Other libraries' tables end with the last
    /// episode, a little before the budget does.
    #[must_use]
    pub fn has_budget(&self, longest: f64) -> bool {
        self.budget >= 0.9 * longest
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

/// Environments put together, and remarks on those that could not be.
fn groups(order: &[String], entries: &[Entry], suite: &Suite) -> (Vec<Group>, Vec<String>) {
    let (mut groups, mut unscaled): (Vec<Group>, Vec<String>) = (Vec::new(), Vec::new());
    for rule in [Rule::Greedy, Rule::Sampled] {
        for env in order {
            let alike =
                |entry: &&Entry| entry.env == *env && entry.rule == rule && entry.scores.len() >= LEAST_RUNS;
            let names: Vec<String> = entries.iter().filter(alike).map(|entry| entry.name.clone()).collect();
            if names.len() < 2 {
                continue;
            }
            let Some(reference) = Reference::of(env, suite) else {
                unscaled.push(env.clone());
                continue;
            };
            let same = |group: &&mut Group| {
                group.rule == rule
                    && group.names.len() == names.len()
                    && names.iter().all(|name| group.names.contains(name))
            };
            match groups.iter_mut().find(same) {
                Some(group) => group.references.push(reference),
                None => groups.push(Group { references: vec![reference], names, rule, scores: Vec::new() }),
            }
        }
    }
    let several = order.len() > 1;
    groups.retain(|group| group.references.len() > 1);
    for group in &mut groups {
        let scaled = |name: &String, reference: &Reference| -> Vec<f64> {
            let entry = entries.iter().find(|entry| entry.env == reference.env && entry.name == *name);
            entry.map_or_else(Vec::new, |e| e.scores.iter().map(|score| reference.scaled(*score)).collect())
        };
        group.scores = group
            .names
            .iter()
            .map(|name| group.references.iter().map(|reference| scaled(name, reference)).collect())
            .collect();
    }
    unscaled.dedup();
    let remarks = unscaled.into_iter().filter(|_| several).map(|env| {
        format!(
            "{env} has no reference scores, so it is not put together with other environments. A suite's section [scale] \
             can give the returns that count as 0 and 1."
        )
    });
    (groups, remarks.collect())
}

#[cfg(test)]
mod tests;
