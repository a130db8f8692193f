//! Learning curves of run folders as one self-contained SVG, or a PNG of it.
//!
//! The upper panel shows the return (mean of the last 100 episodes) against environment steps, the lower one, where a run
//! measured it, the variance of the agent's gradient as a multiple of A2C's on the same batches. Runs that differ in nothing
//! but their seed (and number of workers) form one curve: the mean over runs, with a band from the lowest to the highest. It
//! ends where the first of its runs does, so that it is the mean of all of them everywhere.

mod draw;
mod runs;

use std::path::{Path, PathBuf};

use crate::chart::{Ink, png};
use relax_runtime::Error;
use runs::Run;

/// Points along a curve.
const GRID: usize = 240;
/// Runs of one budget end with the last episode of each, a little apart; ends further apart than this are said.
const NOTABLE: f64 = 1.05;

/// Draws the curves of the run folders `folders` (or of the run folders directly inside them) into the file `out`.
///
/// # Errors
/// If a folder holds no run, its files cannot be read, or the runs are of different environments.
pub fn plot(folders: &[PathBuf], out: &Path) -> Result<(), Error> {
    let mut runs = Vec::new();
    for folder in folders {
        runs.extend(runs::load_all(folder)?);
    }
    let figure = Figure::new(&runs)?;
    png::write_figure(&draw::sheet(&figure).svg(Ink::Alone), out)
}

/// What is drawn: curves over environment steps.
#[derive(Debug)]
struct Figure {
    env: String,
    threshold: Option<f64>,
    returns: Vec<Curve>,
    variance_ratios: Vec<Curve>,
}

/// One curve: the mean over runs and the band around it.
#[derive(Debug, Clone, PartialEq)]
struct Curve {
    label: String,
    agent: String,
    runs: usize,
    points: Vec<Point>,
    /// Where the last of its runs ends, if the curve ends before.
    goes_on_to: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Point {
    env_steps: f64,
    low: f64,
    mean: f64,
    high: f64,
}

impl Figure {
    fn new(runs: &[Run]) -> Result<Self, Error> {
        let Some(first) = runs.first() else { return Err(Error::input("there is no run to plot")) };
        if let Some(other) = runs.iter().find(|run| run.env != first.env) {
            let message = format!(
                "{} is a run on {}, but {} is one on {}",
                first.folder.display(),
                first.env,
                other.folder.display(),
                other.env
            );
            return Err(Error::input(message).with_hint("plot one environment at a time"));
        }
        let groups = groups(runs);
        let curves = |series: fn(&Run) -> &[(f64, f64)]| -> Vec<Curve> {
            groups.iter().filter_map(|(label, runs)| Curve::new(label, runs, series)).collect()
        };
        let mut variance_ratios = curves(|run| &run.variance_ratios);
        // A2C is the measure itself: its curve is the line at 1, which is drawn anyway.
        variance_ratios.retain(|curve| curve.points.iter().any(|point| point.mean != 1.0));
        Ok(Self {
            env: first.env.clone(),
            threshold: runs.iter().find_map(|run| run.threshold),
            returns: curves(|run| &run.returns),
            variance_ratios,
        })
    }
}

impl Curve {
    /// The curve of `series` over `runs`; `None` if no run has it.
    fn new(label: &str, runs: &[&Run], series: fn(&Run) -> &[(f64, f64)]) -> Option<Self> {
        let all: Vec<&[(f64, f64)]> = runs.iter().map(|run| series(run)).filter(|s| !s.is_empty()).collect();
        let agent = runs.first()?.agent.clone();
        let ends = || all.iter().filter_map(|series| series.last()).map(|point| point.0);
        let (first, last) = (ends().fold(f64::INFINITY, f64::min), ends().fold(0.0, f64::max));
        let points = (0..=GRID)
            .map(|index| if index == GRID { first } else { first * index as f64 / GRID as f64 })
            .filter_map(|env_steps| Point::over(&all, env_steps))
            .collect::<Vec<_>>();
        let goes_on_to = (last > NOTABLE * first).then_some(last);
        (!points.is_empty()).then(|| Self {
            label: label.to_owned(),
            agent,
            runs: all.len(),
            points,
            goes_on_to,
        })
    }
}

impl Point {
    /// Mean, lowest and highest of the series at `env_steps`; `None` before all of them have begun or after one has ended.
    fn over(all: &[&[(f64, f64)]], env_steps: f64) -> Option<Self> {
        let mut point = Self { env_steps, low: f64::INFINITY, mean: 0.0, high: f64::NEG_INFINITY };
        for series in all {
            let value = interpolate(series, env_steps)?;
            point.low = point.low.min(value);
            point.high = point.high.max(value);
            point.mean += value / all.len() as f64;
        }
        (!all.is_empty()).then_some(point)
    }
}

/// The value at `x`, linearly between two points; none before the beginning and after the end.
fn interpolate(series: &[(f64, f64)], x: f64) -> Option<f64> {
    let next = series.partition_point(|&(at, _)| at <= x);
    let (x0, y0) = *series.get(next.checked_sub(1)?)?;
    match series.get(next) {
        Some(&(x1, y1)) => Some(y0 + (y1 - y0) * (x - x0) / (x1 - x0)),
        None => (x0 == x).then_some(y0),
    }
}

/// Runs of the same configuration, each group with its name: the agent's, and where that is not enough, a folder's too.
fn groups(runs: &[Run]) -> Vec<(String, Vec<&Run>)> {
    let mut groups: Vec<Vec<&Run>> = Vec::new();
    for run in runs {
        match groups.iter_mut().find(|group| group[0].experiment == run.experiment) {
            Some(group) => group.push(run),
            None => groups.push(vec![run]),
        }
    }
    let twins = |agent: &str| groups.iter().filter(|group| group[0].agent == agent).count() > 1;
    groups
        .iter()
        .map(|group| {
            let run = group[0];
            let folder = run.folder.file_name().unwrap_or_default().to_string_lossy();
            let label =
                if twins(&run.agent) { format!("{} ({folder})", run.agent) } else { run.agent.clone() };
            (label, group.clone())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(agent: &str, experiment: &str, returns: &[(f64, f64)]) -> Run {
        Run {
            folder: PathBuf::from(format!("runs/{experiment}")),
            env: "CartPole-v1".into(),
            agent: agent.into(),
            experiment: experiment.into(),
            threshold: Some(475.0),
            returns: returns.to_vec(),
            variance_ratios: Vec::new(),
        }
    }

    #[test]
    fn a_curve_is_the_mean_of_all_its_runs_and_ends_where_the_first_does() {
        let runs = [
            run("a2c", "one", &[(0.0, 10.0), (100.0, 30.0)]),
            run("a2c", "one", &[(0.0, 20.0), (50.0, 50.0)]),
        ];
        let figure = Figure::new(&runs).expect("a figure");
        let [curve] = figure.returns.as_slice() else { panic!("one curve") };
        assert_eq!((curve.label.as_str(), curve.runs, curve.goes_on_to), ("a2c", 2, Some(100.0)));
        let first = curve.points[0];
        assert_eq!((first.low, first.mean, first.high), (10.0, 15.0, 20.0));
        let last = curve.points[GRID];
        assert_eq!((last.env_steps, last.low, last.mean, last.high), (50.0, 20.0, 35.0, 50.0));
        assert!(figure.variance_ratios.is_empty());
        let svg = draw::sheet(&figure).svg(Ink::Alone);
        assert!(svg.contains("a2c: mean of 2 runs") && svg.contains("ends at 100"), "{svg}");

        let together =
            [run("a2c", "one", &[(0.0, 10.0), (98.0, 3.0)]), run("a2c", "one", &[(0.0, 9.0), (100.0, 3.0)])];
        assert_eq!(Figure::new(&together).expect("a figure").returns[0].goes_on_to, None);
    }

    #[test]
    fn interpolation_is_exact_at_the_points_and_stays_inside() {
        let series = [(10.0, 1.0), (10.0, 3.0), (20.0, 5.0)];
        assert_eq!(
            [9.0, 10.0, 15.0, 20.0, 20.1, 99.0].map(|x| interpolate(&series, x)),
            [None, Some(3.0), Some(4.0), Some(5.0), None, None]
        );
        assert_eq!(interpolate(&[], 1.0), None);
    }

    #[test]
    fn other_settings_of_one_agent_are_told_apart_by_their_folder() {
        let point = [(0.0, 1.0)];
        let figure = Figure::new(&[
            run("a2c", "one", &point),
            run("a2c", "two", &point),
            run("relax-a2c", "x", &point),
        ]);
        let labels: Vec<_> =
            figure.expect("a figure").returns.iter().map(|curve| curve.label.clone()).collect();
        assert_eq!(labels, ["a2c (one)", "a2c (two)", "relax-a2c"]);
    }

    #[test]
    fn no_run_and_mixed_environments_are_refused() {
        assert!(Figure::new(&[]).is_err());
        let mut other = run("a2c", "two", &[]);
        other.env = "Acrobot-v1".into();
        let error = Figure::new(&[run("a2c", "one", &[]), other]).expect_err("mixed");
        assert!(error.to_string().contains("Acrobot-v1") && error.exit_code() == 2);
    }

    #[test]
    fn a_figure_without_points_is_still_drawn() {
        let figure = Figure::new(&[run("a2c", "one", &[])]).expect("a figure");
        let svg = draw::sheet(&figure).svg(Ink::Alone);
        assert!(svg.starts_with("<svg") && svg.contains("CartPole-v1"));
    }
}
