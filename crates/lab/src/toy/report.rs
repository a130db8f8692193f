//! The toy problem's numbers as CSV and as a table.

use std::fmt::Write;

use super::{Spread, TABLE_STEPS, ToyPoint, ToyRelaxation, ToyRun};

/// Log-variances below this count as this: near θ = 0 all 1000 fresh gradients of a run may be the same.
const FLOOR: f64 = -40.0;

/// `estimator,seed,step,theta,loss,log_variance`, one line per measurement.
#[must_use]
pub fn runs_csv(runs: &[ToyRun]) -> String {
    let mut text = String::from("estimator,seed,step,theta,loss,log_variance\n");
    for run in runs {
        for ToyPoint { step, theta, loss, log_variance } in &run.points {
            let _ = writeln!(text, "{},{},{step},{theta},{loss},{log_variance}", run.estimator, run.seed);
        }
    }
    text
}

/// `estimator,u,c`.
#[must_use]
pub fn relaxation_csv(relaxations: &[ToyRelaxation]) -> String {
    let mut text = String::from("estimator,u,c\n");
    for relaxation in relaxations {
        for (u, c) in &relaxation.points {
            let _ = writeln!(text, "{},{u},{c}", relaxation.estimator);
        }
    }
    text
}

/// Per estimator: θ at the end, and the log-variance at the steps of the table; mean ± standard deviation over seeds, and the
/// median at the last, as the rows of a table, the heading first. A log-variance below −40 counts as −40.
#[must_use]
pub fn table(runs: &[ToyRun]) -> Vec<Vec<String>> {
    let end = runs.iter().flat_map(|run| run.points.last()).map(|point| point.step).max().unwrap_or(0);
    let mut steps: Vec<u64> = TABLE_STEPS.into_iter().filter(|&step| step <= end).collect();
    if steps.last() != Some(&end) {
        steps.push(end);
    }
    let mut heading = vec!["estimator".to_owned(), format!("theta at {end}")];
    heading.extend(steps.iter().map(|step| format!("log-var {step}")));
    heading.push("median".to_owned());
    let mut rows = vec![heading];
    let mut names: Vec<_> = Vec::new();
    for run in runs {
        if !names.contains(&run.estimator) {
            names.push(run.estimator);
        }
    }
    for name in names {
        let at = |step: u64, number: fn(&ToyPoint) -> f64| {
            let points = runs.iter().filter(|run| run.estimator == name).flat_map(|run| &run.points);
            Spread::of(&points.filter(|point| point.step == step).map(number).collect::<Vec<_>>())
        };
        let theta = at(end, |point| point.theta);
        let mut row = vec![name.name().to_owned(), format!("{:.4} ± {:.4}", theta.mean, theta.deviation)];
        row.extend(steps.iter().map(|&step| {
            let spread = at(step, |point| point.log_variance.max(FLOOR));
            format!("{:.2} ± {:.2}", spread.mean, spread.deviation)
        }));
        row.push(format!("{:.2}", at(end, |point| point.log_variance.max(FLOOR)).median));
        rows.push(row);
    }
    rows
}
