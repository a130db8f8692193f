//! Statistics over runs: interquartile mean, probability of improvement, performance profiles, and stratified-bootstrap
//! intervals (Agarwal et al. 2021, *Deep RL at the edge of the statistical precipice*). They agree with the package
//! `rliable` to 1e-6 on a recorded case (`tests/statistics.rs`).
//!
//! Scores are `[task][run]`; the tasks may have different numbers of runs.
//!
//! ```
//! use relax_lab::compare::stats::{iqm, probability_of_improvement};
//!
//! let scores = [vec![0.0, 0.5, 0.6, 9.0]];
//! assert_eq!(iqm(&scores), 0.55); // the lowest and the highest quarter are left out
//! assert_eq!(probability_of_improvement(&[vec![1.0, 2.0]], &[vec![1.0, 0.0]]), 0.875);
//! ```

use relax_envs::EnvRng;

/// Mean of the middle half of all scores: a quarter is cut off either end (`scipy.stats.trim_mean(·, 0.25)`).
/// NaN if there are none.
#[must_use]
pub fn iqm(scores: &[Vec<f64>]) -> f64 {
    let mut all: Vec<f64> = scores.iter().flatten().copied().collect();
    all.sort_by(f64::total_cmp);
    let cut = all.len() / 4;
    mean_of(&all[cut..all.len() - cut])
}

/// Mean over tasks of the mean over runs.
#[must_use]
pub fn mean(scores: &[Vec<f64>]) -> f64 {
    mean_of(&scores.iter().map(|runs| mean_of(runs)).collect::<Vec<_>>())
}

/// Median over tasks of the mean over runs. With one task, use [`median_of`] for the median over runs.
#[must_use]
pub fn median(scores: &[Vec<f64>]) -> f64 {
    median_of(&scores.iter().map(|runs| mean_of(runs)).collect::<Vec<_>>())
}

/// Mean shortfall below `target`; what lies above it counts as having reached it.
#[must_use]
pub fn optimality_gap(scores: &[Vec<f64>], target: f64) -> f64 {
    let reached: Vec<Vec<f64>> =
        scores.iter().map(|runs| runs.iter().map(|score| score.min(target)).collect()).collect();
    target - mean(&reached)
}

/// P(X > Y) + ½P(X = Y) for a run of each, the mean over tasks (the Mann–Whitney U statistic over its maximum).
#[must_use]
pub fn probability_of_improvement(x: &[Vec<f64>], y: &[Vec<f64>]) -> f64 {
    let tasks: Vec<f64> = x
        .iter()
        .zip(y)
        .map(|(x, y)| {
            let wins: f64 = x
                .iter()
                .flat_map(|a| {
                    y.iter().map(move |b| {
                        if a > b {
                            1.0
                        } else if a == b {
                            0.5
                        } else {
                            0.0
                        }
                    })
                })
                .sum();
            wins / (x.len() * y.len()) as f64
        })
        .collect();
    mean_of(&tasks)
}

/// Share of runs whose score is above each of `levels`, every task weighing the same.
#[must_use]
pub fn performance_profile(scores: &[Vec<f64>], levels: &[f64]) -> Vec<f64> {
    levels
        .iter()
        .map(|level| {
            let above = |runs: &Vec<f64>| runs.iter().filter(|score| *score > level).count() as f64;
            mean_of(&scores.iter().map(|runs| above(runs) / runs.len() as f64).collect::<Vec<_>>())
        })
        .collect()
}

/// Arithmetic mean; NaN of nothing.
#[must_use]
pub fn mean_of(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Median; NaN of nothing.
#[must_use]
pub fn median_of(values: &[f64]) -> f64 {
    percentile(values, 50.0)
}

/// The `percent`th percentile, linearly between two values (NumPy's default); NaN of nothing.
#[must_use]
pub fn percentile(values: &[f64], percent: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let place = percent / 100.0 * last as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[(place.ceil() as usize).min(last)]);
    below + (above - below) * place.fract()
}

/// An estimate and the interval around it.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Interval {
    /// The estimate.
    pub point: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Share of intervals that should cover the truth.
pub const CONFIDENCE: f64 = 0.95;
/// Resamplings behind an interval.
pub const RESAMPLINGS: usize = 2000;

/// Percentile interval of `statistic` over stratified resamplings: runs are drawn with replacement within each task.
///
/// `draw(i, runs, out)` fills `out` with the runs that resampling i takes of a task that has `runs`; called for every
/// task in turn.
pub fn bootstrap_with(
    scores: &[Vec<f64>],
    resamplings: usize,
    statistic: impl Fn(&[Vec<f64>]) -> f64,
    mut draw: impl FnMut(usize, usize, &mut [usize]),
) -> Interval {
    let mut resampled = scores.to_vec();
    let mut chosen = Vec::new();
    let found: Vec<f64> = (0..resamplings)
        .map(|i| {
            for (to, from) in resampled.iter_mut().zip(scores) {
                chosen.resize(from.len(), 0);
                draw(i, from.len(), &mut chosen);
                to.iter_mut().zip(&chosen).for_each(|(to, &run)| *to = from[run]);
            }
            statistic(&resampled)
        })
        .filter(|value| !value.is_nan())
        .collect();
    let tail = 50.0 * (1.0 - CONFIDENCE);
    Interval {
        point: statistic(scores),
        low: percentile(&found, tail),
        high: percentile(&found, 100.0 - tail),
    }
}

/// [`bootstrap_with`] [`RESAMPLINGS`] resamplings from a stream of their own: the same scores, the same interval.
#[must_use]
pub fn bootstrap(scores: &[Vec<f64>], statistic: impl Fn(&[Vec<f64>]) -> f64) -> Interval {
    let mut rng = EnvRng::from_seed(0x0b00_757a);
    bootstrap_with(scores, RESAMPLINGS, statistic, |_, runs, out| {
        out.iter_mut().for_each(|run| *run = rng.integers(0, runs as i64) as usize);
    })
}

/// Interval of [`probability_of_improvement`]; the runs of either side are resampled on their own.
#[must_use]
pub fn bootstrap_improvement(x: &[Vec<f64>], y: &[Vec<f64>]) -> Interval {
    let both: Vec<Vec<f64>> = x.iter().chain(y).cloned().collect();
    bootstrap(&both, |all| probability_of_improvement(&all[..x.len()], &all[x.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_numpys() {
        let values = [3.0, 1.0, 2.0, 10.0];
        for (percent, expected) in [(0.0, 1.0), (25.0, 1.75), (50.0, 2.5), (90.0, 7.9), (100.0, 10.0)] {
            assert!((percentile(&values, percent) - expected).abs() < 1e-12, "{percent}");
        }
        assert!(percentile(&[], 50.0).is_nan() && mean_of(&[]).is_nan());
    }

    /// Over many samples of 12 normal numbers, the interval covers the mean about as often as it says.
    #[test]
    fn intervals_cover_the_truth() {
        let mut rng = EnvRng::from_seed(3);
        let covered = (0..400).filter(|_| {
            let sample = vec![(0..12).map(|_| rng.standard_normal()).collect::<Vec<f64>>()];
            let interval = bootstrap_with(&sample, 400, mean, |_, runs, out| {
                out.iter_mut().for_each(|run| *run = rng.integers(0, runs as i64) as usize);
            });
            interval.low <= 0.0 && 0.0 <= interval.high
        });
        // The percentile interval of so few runs is known to be somewhat too narrow: 0.91 or so.
        let share = covered.count() as f64 / 400.0;
        assert!((0.87..0.97).contains(&share), "{share}");
    }
}
