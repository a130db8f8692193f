//! Time to a threshold when some runs never reach it: they are censored at their end, not dropped (Kaplan & Meier 1958).

use super::stats::{Interval, bootstrap};

/// When a run reached the threshold, or how long it ran without.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Duration {
    /// Episodes, steps or seconds.
    pub time: f64,
    /// Whether the threshold was reached then; otherwise the run ended.
    pub reached: bool,
}

/// The share of runs that have not reached the threshold, as steps downwards (time, share); begins with (0, 1).
#[must_use]
pub fn survival(durations: &[Duration]) -> Vec<(f64, f64)> {
    let mut sorted = durations.to_vec();
    // At the same time, reaching comes before ending: such a run was still at risk.
    sorted.sort_by(|a, b| a.time.total_cmp(&b.time).then(b.reached.cmp(&a.reached)));
    let mut curve = vec![(0.0, 1.0)];
    let (mut share, mut at) = (1.0, 0);
    while at < sorted.len() {
        let time = sorted[at].time;
        let at_risk = sorted.len() - at;
        let ties = sorted[at..].iter().take_while(|d| d.time == time);
        let (mut events, mut count) = (0, 0);
        for duration in ties {
            events += usize::from(duration.reached);
            count += 1;
        }
        if events > 0 {
            share *= 1.0 - events as f64 / at_risk as f64;
            curve.push((time, share));
        }
        at += count;
    }
    curve
}

/// The time by which half of the runs have reached the threshold; `None` if that never happens.
#[must_use]
pub fn median_time(durations: &[Duration]) -> Option<f64> {
    survival(durations).into_iter().find(|&(_, share)| share <= 0.5 + 1e-12).map(|(time, _)| time)
}

/// Mean of min(time, `horizon`): the area under the survival curve. A run that never reaches the threshold counts with
/// the horizon, so this is a lower bound of the mean time where not all runs reach it.
#[must_use]
pub fn restricted_mean(durations: &[Duration], horizon: f64) -> f64 {
    let curve = survival(durations);
    let ends = curve.iter().skip(1).map(|&(time, _)| time).chain([f64::INFINITY]);
    curve.iter().zip(ends).map(|(&(start, share), end)| share * (end.min(horizon) - start.min(horizon))).sum()
}

/// The horizon up to which all runs were watched: the end of the shortest censored run, or the last event.
#[must_use]
pub fn common_horizon(durations: &[Duration]) -> f64 {
    let censored = durations.iter().filter(|d| !d.reached).map(|d| d.time).fold(f64::INFINITY, f64::min);
    let last = durations.iter().map(|d| d.time).fold(0.0, f64::max);
    censored.min(last)
}

/// [`restricted_mean`] with its bootstrap interval over runs.
#[must_use]
pub fn restricted_mean_interval(durations: &[Duration], horizon: f64) -> Interval {
    let places = vec![(0..durations.len()).map(|i| i as f64).collect::<Vec<f64>>()];
    bootstrap(&places, |chosen| {
        let resampled: Vec<Duration> = chosen[0].iter().map(|&i| durations[i as usize]).collect();
        restricted_mean(&resampled, horizon)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn durations(values: &[(f64, bool)]) -> Vec<Duration> {
        values.iter().map(|&(time, reached)| Duration { time, reached }).collect()
    }

    /// The textbook example: 6, 6, 6, 6+, 7, 9+, 10 … (Freireich et al. 1963, the treated group).
    #[test]
    fn the_curve_is_kaplan_and_meiers() {
        let (yes, no) = (true, false);
        let sample = durations(&[
            (6., yes),
            (6., yes),
            (6., yes),
            (6., no),
            (7., yes),
            (9., no),
            (10., yes),
            (10., no),
            (11., no),
            (13., yes),
            (16., yes),
            (17., no),
            (19., no),
            (20., no),
            (22., yes),
            (23., yes),
            (25., no),
            (32., no),
            (32., no),
            (34., no),
            (35., no),
        ]);
        let expected = [
            (6., 0.8571),
            (7., 0.8067),
            (10., 0.7529),
            (13., 0.6902),
            (16., 0.6275),
            (22., 0.5378),
            (23., 0.4482),
        ];
        let curve = survival(&sample);
        assert_eq!(curve.len(), expected.len() + 1);
        for (found, expected) in curve[1..].iter().zip(expected) {
            assert!(found.0 == expected.0 && (found.1 - expected.1).abs() < 1e-4, "{found:?} {expected:?}");
        }
        assert_eq!(median_time(&sample), Some(23.0));
    }

    #[test]
    fn runs_that_never_get_there_count() {
        let sample = durations(&[(10.0, true), (20.0, true), (100.0, false), (100.0, false)]);
        assert_eq!(median_time(&sample), Some(20.0));
        assert_eq!(restricted_mean(&sample, 100.0), (10.0 + 20.0 + 100.0 + 100.0) / 4.0);
        assert_eq!(median_time(&sample[2..]), None);
        assert_eq!(common_horizon(&sample), 100.0);
        let all = durations(&[(10.0, true), (30.0, true)]);
        assert_eq!((restricted_mean(&all, 30.0), common_horizon(&all)), (20.0, 30.0));
        let interval = restricted_mean_interval(&sample, 100.0);
        assert!(interval.low < 57.5 && interval.high > 57.5 && interval.point == 57.5);
    }
}
