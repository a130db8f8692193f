//! The toy problem's figure: loss, θ, log-variance, and the learned relaxations.

use relax_estimators::{Coupling, Estimator};

use super::{Spread, ToyConfig, ToyPoint, ToyRelaxation, ToyRun};
use crate::chart::palette::colours;
use crate::chart::{Chart, Content, Ink, Series, Sheet};

/// The log-variance axis ends here: rounding errors below are no variance.
const LOWEST: f64 = -30.0;

/// The figure as SVG text: means over the seeds with their 95 % intervals.
#[must_use]
pub fn svg(config: &ToyConfig, runs: &[ToyRun], relaxations: &[ToyRelaxation]) -> String {
    sheet(config, runs, relaxations).svg(Ink::Alone)
}

fn sheet(config: &ToyConfig, runs: &[ToyRun], relaxations: &[ToyRelaxation]) -> Sheet {
    let note = match config.seeds {
        1 => "One run each.".to_owned(),
        n => format!("Curves: mean of {n} runs; band: 95 % interval of the mean."),
    };
    let over_steps = |label: &str, lowest: Option<f64>, number: fn(&ToyPoint) -> f64| {
        let lines = curves(config, runs, number);
        Chart {
            title: String::new(),
            labels: ("steps".into(), label.into()),
            range: lowest.map(|lowest| range(&lines, lowest)),
            content: Content::Curves(lines),
            reference: None,
        }
    };
    Sheet {
        title: format!("Minimise E[(b − {})²] over b ~ Bernoulli(θ)", config.target),
        notes: vec![note],
        charts: vec![
            over_steps("loss E[(b − t)²]", None, |point| point.loss),
            over_steps("θ", None, |point| point.theta),
            over_steps("log-variance of the gradient", Some(LOWEST), |point| point.log_variance.max(LOWEST)),
            learned(config, relaxations),
        ],
    }
}

/// Of each estimator the mean over runs at each step, with its interval.
fn curves(config: &ToyConfig, runs: &[ToyRun], number: fn(&ToyPoint) -> f64) -> Vec<Series> {
    config
        .estimators
        .iter()
        .map(|&estimator| {
            let runs: Vec<_> = runs.iter().filter(|run| run.estimator == estimator).collect();
            let steps = runs.first().map_or(0, |run| run.points.len());
            let mut line = Series {
                name: label(estimator).to_owned(),
                colour: colour(config, estimator),
                ..Series::default()
            };
            for i in 0..steps {
                let values: Vec<f64> = runs.iter().map(|run| number(&run.points[i])).collect();
                let Spread { mean, half_width, .. } = Spread::of(&values);
                line.points.push((runs[0].points[i].step as f64, mean));
                line.band.push((mean - half_width, mean + half_width));
            }
            line
        })
        .collect()
}

/// What the curves and their bands reach, but not below `lowest`.
fn range(lines: &[Series], lowest: f64) -> (f64, f64) {
    let bands = || lines.iter().flat_map(|line| &line.band);
    let bottom = bands().map(|band| band.0).fold(f64::INFINITY, f64::min);
    let top = bands().map(|band| band.1).fold(f64::NEG_INFINITY, f64::max);
    if bottom > top {
        return (lowest, 0.0);
    }
    let air = 0.04 * (top - bottom).max(1e-9);
    ((bottom - air).max(lowest), top + air)
}

/// c(z(u)) of the learned control variates, and the constant that leaves no variance at all.
fn learned(config: &ToyConfig, relaxations: &[ToyRelaxation]) -> Chart {
    let t = config.target;
    let line = |relaxation: &ToyRelaxation| Series {
        name: label(relaxation.estimator).to_owned(),
        colour: colour(config, relaxation.estimator),
        points: relaxation.points.clone(),
        ..Series::default()
    };
    Chart {
        title: String::new(),
        labels: ("noise u".into(), "control variate c(z(u)), learned at θ = ½".into()),
        content: Content::Curves(relaxations.iter().map(line).collect()),
        reference: Some((0.5 * ((1.0 - t).powi(2) + t * t), "the constant that leaves no variance".into())),
        range: None,
    }
}

fn label(estimator: Estimator) -> &'static str {
    match estimator {
        Estimator::Reinforce => "REINFORCE",
        Estimator::Baseline => "REINFORCE, learned scalar baseline",
        Estimator::LeaveOneOut { .. } => "leave-one-out, 2 samples",
        Estimator::DisArm => "DisARM, 2 samples",
        Estimator::MuProp => "MuProp",
        Estimator::Concrete => "Concrete (biased)",
        Estimator::Rebar(Coupling::Independent) => "REBAR",
        Estimator::Relax(Coupling::Independent) => "RELAX",
        Estimator::RelaxedRebar(Coupling::Independent) => "relaxed-REBAR",
        other => other.name(),
    }
}

/// The same whichever estimators are run.
fn colour(config: &ToyConfig, estimator: Estimator) -> usize {
    let mut all = ToyConfig::default().estimators;
    all.extend(config.estimators.iter().filter(|e| !ToyConfig::default().estimators.contains(e)));
    let place = all.iter().position(|&other| other == estimator).unwrap_or(0);
    colours(all.iter().map(|estimator| estimator.name())).get(place).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimator_keeps_its_colour_whoever_is_beside_it() {
        let config = ToyConfig::default();
        let few = ToyConfig { estimators: vec![Estimator::Relax(Coupling::Independent)], ..config.clone() };
        let relax = Estimator::Relax(Coupling::Independent);
        assert_eq!(colour(&config, relax), colour(&few, relax));
        let mut found: Vec<usize> = config.estimators.iter().map(|&e| colour(&config, e)).collect();
        found.sort_unstable();
        found.dedup();
        assert_eq!(found.len(), config.estimators.len());
    }
}
