//! Brackets of trials, rung by rung.

use std::cmp::Ordering;
use std::path::Path;

use relax_runtime::Error;
use relax_training::Summary;
use toml::Value;

use super::evolution::Evolution;
use super::settings::{Plan, Sampler};
use super::suggest;
use crate::compare::jobs::{self, How};
use crate::compare::plan::Job;

/// What was tried, and what came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// Its number, from 0.
    pub number: usize,
    /// A value for each parameter.
    pub values: Vec<Value>,
    /// The score on each rung that it reached.
    pub scores: Vec<Score>,
}

/// The score of a trial on a rung.
#[derive(Debug, Clone, PartialEq)]
pub enum Score {
    /// Mean over seeds of the returns after training (greedy evaluation; without one, of the last 100 training episodes).
    Mean(f64),
    /// A run failed: what it said.
    Failed(String),
}

impl Score {
    /// The number, if there is one.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        if let Self::Mean(mean) = self { Some(*mean) } else { None }
    }
}

impl Trial {
    /// From the better to the worse: what came further, and there what had the higher score; what failed comes last on its rung.
    fn rank(&self, other: &Self) -> Ordering {
        let last = |trial: &Self| trial.scores.last().and_then(Score::mean).unwrap_or(f64::NEG_INFINITY);
        let further = other.scores.len().cmp(&self.scores.len());
        further.then(last(other).total_cmp(&last(self))).then(self.number.cmp(&other.number))
    }
}

/// Place of the best trial: on the last rung that any came to the end of, the one with the highest score.
pub(super) fn best(trials: &[Trial]) -> Option<usize> {
    let rungs = trials.iter().map(|trial| trial.scores.len()).max().unwrap_or(0);
    (0..rungs).rev().find_map(|rung| {
        let scored =
            trials.iter().enumerate().filter_map(|(at, trial)| Some((at, trial.scores.get(rung)?.mean()?)));
        // The first of equals.
        scored.reduce(|best, other| if other.1 > best.1 { other } else { best }).map(|(at, _)| at)
    })
}

/// Trials so far.
pub(super) struct Halved {
    pub trials: Vec<Trial>,
    pub interrupted: bool,
}

/// Goes through all brackets, making what runs are missing.
pub(super) fn run(plan: &Plan, folder: &Path, how: How<'_>) -> Result<Halved, Error> {
    let keep = plan.settings.keep as usize;
    let mut most = keep.saturating_pow(plan.rungs() as u32 - 1);
    let mut evolution = (plan.settings.sampler == Sampler::CmaEs).then(|| Evolution::new(plan));
    if let Some(evolution) = &evolution {
        // A bracket is a generation.
        most = evolution.population().div_ceil(most).saturating_mul(most);
    }
    let all = plan.settings.trials as usize;
    let mut trials: Vec<Trial> = Vec::new();
    while trials.len() < all {
        let mut ranked: Vec<&Trial> = trials.iter().collect();
        ranked.sort_by(|a, b| a.rank(b));
        let ranked: Vec<&[Value]> = ranked.iter().map(|trial| trial.values.as_slice()).collect();
        let first = trials.len();
        let mut bracket: Vec<Trial> = Vec::new();
        for number in first..all.min(first.saturating_add(most)) {
            let pending: Vec<&[Value]> = bracket.iter().map(|trial| trial.values.as_slice()).collect();
            // The first trial is what the file itself says.
            let own = plan.start.clone().filter(|_| number == 0);
            let values = own.unwrap_or_else(|| match &evolution {
                Some(evolution) => evolution.next(plan, number as u64, &ranked, &pending),
                None => suggest::next(plan, number as u64, &ranked, &pending),
            });
            bracket.push(Trial { number, values, scores: Vec::new() });
        }
        trials.extend(bracket);
        let mut running: Vec<usize> = (first..trials.len()).collect();
        for rung in 0..plan.rungs() {
            let scores = rung_scores(plan, &trials, &running, rung, folder, how)?;
            let Some(scores) = scores else { return Ok(Halved { trials, interrupted: true }) };
            for (&at, score) in running.iter().zip(scores) {
                trials[at].scores.push(score);
            }
            running.sort_by(|&a, &b| trials[a].rank(&trials[b]));
            running.retain(|&at| trials[at].scores.last().is_some_and(|score| score.mean().is_some()));
            running.truncate((running.len() / keep).max(1));
        }
        if let Some(evolution) = &mut evolution {
            let mut bracket: Vec<&Trial> = trials[first..].iter().collect();
            bracket.sort_by(|a, b| a.rank(b));
            let bracket: Vec<&[Value]> = bracket.iter().map(|trial| trial.values.as_slice()).collect();
            evolution.learn(plan, &bracket);
        }
    }
    Ok(Halved { trials, interrupted: false })
}

/// The scores of the trials `running` on a rung; none if it was stopped.
fn rung_scores(
    plan: &Plan,
    trials: &[Trial],
    running: &[usize],
    rung: usize,
    folder: &Path,
    how: How<'_>,
) -> Result<Option<Vec<Score>>, Error> {
    let seeds = plan.settings.first_seed..plan.settings.first_seed + plan.settings.seeds[rung];
    let mut made = Vec::new();
    // Settings that do not go together, of a trial each.
    let mut refused: Vec<Option<String>> = Vec::with_capacity(running.len());
    for &at in running {
        let trial = &trials[at];
        let configs: Result<Vec<Job>, Error> = seeds
            .clone()
            .map(|seed| {
                let folder = format!("t{:03}-r{rung}-s{seed}", trial.number);
                Ok(Job {
                    label: format!("trial {}", trial.number),
                    folder,
                    config: plan.config(&trial.values, rung, seed)?,
                })
            })
            .collect();
        match configs {
            Ok(jobs) => {
                refused.push(None);
                made.extend(jobs);
            }
            Err(error) => refused.push(Some(error.to_string())),
        }
    }
    if made.is_empty() {
        return Ok(Some(refused.into_iter().map(|why| Score::Failed(why.unwrap_or_default())).collect()));
    }
    let ended = jobs::make(&made, folder, how)?;
    if ended.interrupted {
        return Ok(None);
    }
    let mut scores = Vec::with_capacity(running.len());
    for (&at, refused) in running.iter().zip(refused) {
        if let Some(why) = refused {
            scores.push(Score::Failed(why));
            continue;
        }
        let label = format!("trial {}", trials[at].number);
        let mut returns = Vec::new();
        let mut failed = None;
        for job in made.iter().filter(|job| job.label == label) {
            if let Some((_, why)) = ended.failed.iter().find(|(name, _)| *name == job.folder) {
                failed.get_or_insert_with(|| why.clone());
                continue;
            }
            let summary = Summary::load(&folder.join(&job.folder).join("summary.json"))?;
            match summary.evaluation.map(|found| found.mean).or(summary.mean_return_100) {
                Some(mean) => returns.push(mean),
                None => drop(failed.get_or_insert_with(|| "no episode came to its end".to_owned())),
            }
        }
        let mean = returns.iter().sum::<f64>() / returns.len().max(1) as f64;
        scores.push(failed.map_or(Score::Mean(mean), Score::Failed));
    }
    Ok(Some(scores))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(number: usize, scores: &[Option<f64>]) -> Trial {
        let scores = scores.iter().map(|s| s.map_or(Score::Failed("it".into()), Score::Mean)).collect();
        Trial { number, values: Vec::new(), scores }
    }

    #[test]
    fn what_came_further_is_better_and_what_failed_is_last() {
        let trials = [
            trial(0, &[Some(5.0)]),
            trial(1, &[Some(1.0), Some(2.0)]),
            trial(2, &[Some(7.0)]),
            trial(3, &[None]),
            trial(4, &[Some(7.0)]),
            trial(5, &[Some(9.0), None]),
        ];
        let mut ranked: Vec<&Trial> = trials.iter().collect();
        ranked.sort_by(|a, b| a.rank(b));
        assert_eq!(ranked.iter().map(|trial| trial.number).collect::<Vec<_>>(), [1, 5, 2, 4, 0, 3]);
        assert_eq!(best(&trials), Some(1));
        assert_eq!(best(&trials[2..5]), Some(0));
        assert_eq!(best(&trials[3..4]), None);
        assert_eq!(best(&[]), None);
    }
}
