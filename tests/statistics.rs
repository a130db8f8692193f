//! The statistics of comparisons against those of rliable, on a recorded case (`tests/golden/rliable/generate.py`).

use relax_rl::compare::stats;
use serde_json::Value;

const TOLERANCE: f64 = 1e-6;

fn golden() -> Value {
    let text = include_str!("golden/rliable/scores.json");
    serde_json::from_str(text).expect("recorded as JSON")
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("an array").iter().map(|x| x.as_f64().expect("a number")).collect()
}

/// rliable's `[run][task]` as our `[task][run]`.
fn by_task(value: &Value) -> Vec<Vec<f64>> {
    let runs: Vec<Vec<f64>> = value.as_array().expect("runs").iter().map(numbers).collect();
    (0..runs[0].len()).map(|task| runs.iter().map(|run| run[task]).collect()).collect()
}

#[track_caller]
fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() < TOLERANCE, "{found} is not {expected}");
}

type Statistic = fn(&[Vec<f64>]) -> f64;

/// In the order in which they were recorded.
const AGGREGATES: [Statistic; 4] =
    [stats::iqm, stats::median, stats::mean, |s| stats::optimality_gap(s, 1.0)];

#[test]
fn aggregates_improvement_and_profiles_are_rliables() {
    let golden = golden();
    let (x, y) = (by_task(&golden["x"]), by_task(&golden["y"]));
    for (scores, recorded) in [(&x, &golden["aggregate_x"]), (&y, &golden["aggregate_y"])] {
        for (statistic, expected) in AGGREGATES.iter().zip(numbers(recorded)) {
            close(statistic(scores), expected);
        }
    }
    let expected = golden["probability_of_improvement"].as_f64().expect("a number");
    close(stats::probability_of_improvement(&x, &y), expected);
    let profile = stats::performance_profile(&x, &numbers(&golden["taus"]));
    for (found, expected) in profile.into_iter().zip(numbers(&golden["profile_x"])) {
        close(found, expected);
    }
}

/// With the resamplings that rliable drew, the intervals are its intervals.
#[test]
fn intervals_are_rliables() {
    let golden = golden();
    let (x, y) = (by_task(&golden["x"]), by_task(&golden["y"]));
    // [resampling][task][run]
    let drawn = |value: &Value| -> Vec<Vec<Vec<f64>>> {
        value.as_array().expect("resamplings").iter().map(by_task).collect()
    };
    let of_x = drawn(&golden["resampled_x"]);
    let [low, high] = [0, 1].map(|end| numbers(&golden["interval_x"][end]));
    for (i, statistic) in AGGREGATES.iter().enumerate() {
        let mut task = 0;
        let found = stats::bootstrap_with(&x, of_x.len(), statistic, |resampling, _, out| {
            out.iter_mut().zip(&of_x[resampling][task]).for_each(|(to, &run)| *to = run as usize);
            task = (task + 1) % x.len();
        });
        close(found.low, low[i]);
        close(found.high, high[i]);
    }

    let pairs = golden["resampled_pair"].as_array().expect("resamplings");
    let both: Vec<Vec<f64>> = x.iter().chain(&y).cloned().collect();
    let of_both: Vec<Vec<Vec<f64>>> =
        pairs.iter().map(|pair| [by_task(&pair[0]), by_task(&pair[1])].concat()).collect();
    let mut task = 0;
    let improvement = |all: &[Vec<f64>]| stats::probability_of_improvement(&all[..x.len()], &all[x.len()..]);
    let found = stats::bootstrap_with(&both, pairs.len(), improvement, |resampling, _, out| {
        out.iter_mut().zip(&of_both[resampling][task]).for_each(|(to, &run)| *to = run as usize);
        task = (task + 1) % both.len();
    });
    close(found.low, numbers(&golden["interval_probability"][0])[0]);
    close(found.high, numbers(&golden["interval_probability"][1])[0]);
}
