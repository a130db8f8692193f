//! The figures of a sweep: parallel coordinates, scores as they came, and what each setting decided.

use std::fmt::Write as _;

use toml::Value;

use super::Swept;
use super::halving::{Score, Trial};
use super::settings::Plan;
use super::space::{Parameter, Range};
use crate::chart::{Bar, Chart, Content, Coordinate, Series, Trace};
use crate::report::Figure;

/// Colours of the best trial, of those that came to the last rung, and of all others.
const BEST: usize = 1;
const LAST: usize = 0;
const OTHER: usize = 7;
/// Most lines of the chart of importance.
const MOST: usize = 12;

pub(super) fn all(plan: &Plan, swept: &Swept) -> Vec<Figure> {
    let mut figures = vec![coordinates(plan, swept), scores(plan, swept)];
    figures.extend(importance(swept));
    figures
}

/// A value as a reader wants it.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Float(x) if *x != 0.0 && (x.abs() < 1e-3 || x.abs() >= 1e5) => format!("{x:.2e}"),
        Value::Float(x) => {
            let text = format!("{x:.4}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn colour(plan: &Plan, swept: &Swept, trial: &Trial) -> usize {
    if swept.best == Some(trial.number) {
        BEST
    } else if trial.scores.len() == plan.rungs() {
        LAST
    } else {
        OTHER
    }
}

fn coordinates(plan: &Plan, swept: &Swept) -> Figure {
    let first = |trial: &Trial| trial.scores.first().and_then(Score::mean);
    let known = || swept.trials.iter().filter_map(first);
    let (least, most) = (known().fold(f64::INFINITY, f64::min), known().fold(f64::NEG_INFINITY, f64::max));
    let ends = |parameter: &Parameter| match &parameter.range {
        Range::Choice(choices) => choices.iter().map(shown).collect(),
        range => range.extremes().iter().map(shown).collect(),
    };
    let mut coordinates: Vec<Coordinate> =
        plan.parameters.iter().map(|p| Coordinate { name: p.key.clone(), ticks: ends(p) }).collect();
    let score = |x: f64| {
        if x.is_finite() { shown(&Value::Float((x * 10.0).round() / 10.0)) } else { "–".to_owned() }
    };
    let budget = plan.settings.budgets[0];
    let name = format!("return after {budget} steps");
    coordinates.push(Coordinate { name, ticks: vec![score(least), score(most)] });
    let mut traces = Vec::new();
    let mut csv = "trial,parameter,place\n".to_owned();
    for trial in &swept.trials {
        let mut places: Vec<f64> =
            plan.parameters.iter().zip(&trial.values).map(|(p, value)| p.range.place(value)).collect();
        // What failed lies with the worst.
        let share = first(trial).map_or(0.0, |score| (score - least) / (most - least).max(f64::MIN_POSITIVE));
        places.push(share.clamp(0.0, 1.0));
        for (coordinate, place) in coordinates.iter().zip(&places) {
            let _ = writeln!(csv, "{},\"{}\",{place}", trial.number, coordinate.name);
        }
        traces.push(Trace {
            places,
            colour: colour(plan, swept, trial),
            strong: swept.best == Some(trial.number),
        });
    }
    // The best on top.
    traces.sort_by_key(|trace| (trace.strong, trace.colour != OTHER));
    Figure {
        id: "parallel".into(),
        env: None,
        caption: "A line a trial, across what it tried and what came of it on the first rung. Failed trials lie at the lower end.".into(),
        chart: Chart {
            title: "What was tried".into(),
            labels: Default::default(),
            content: Content::Parallel {
                coordinates,
                traces,
                names: vec![("best".into(), BEST), ("came to the last rung".into(), LAST), ("others".into(), OTHER)],
            },
            reference: None,
            range: None,
        },
        csv,
    }
}

fn scores(plan: &Plan, swept: &Swept) -> Figure {
    let mut csv = "rung,trial,score\n".to_owned();
    let mut series = Vec::new();
    for (rung, budget) in plan.settings.budgets.iter().enumerate() {
        let scored = swept.trials.iter().filter_map(|t| Some((t.number as f64, t.scores.get(rung)?.mean()?)));
        for (x, y) in scored {
            let _ = writeln!(csv, "{rung},{x},{y}");
            // A dot each.
            series.push(Series {
                name: format!("{budget} steps"),
                colour: rung,
                points: vec![(x, y)],
                ..Series::default()
            });
        }
    }
    let mut best = f64::NEG_INFINITY;
    let so_far: Vec<(f64, f64)> = swept
        .trials
        .iter()
        .filter_map(|trial| {
            best = best.max(trial.scores.get(plan.rungs() - 1)?.mean()?);
            Some((trial.number as f64, best))
        })
        .collect();
    if so_far.len() > 1 {
        series.push(Series {
            name: "best of the last rung".into(),
            colour: 9,
            points: so_far,
            steps: true,
            ..Series::default()
        });
    }
    Figure {
        id: "scores".into(),
        env: None,
        caption: "The score of every trial on every rung that it reached: mean over its seeds of the return after training.".into(),
        chart: Chart {
            title: "Scores, trial by trial".into(),
            labels: ("trial".into(), "return after training".into()),
            content: Content::Curves(series),
            reference: None,
            range: None,
        },
        csv,
    }
}

fn importance(swept: &Swept) -> Option<Figure> {
    if swept.importance.is_empty() {
        return None;
    }
    let mut csv = "parameter,share\n".to_owned();
    let mut bars = Vec::new();
    for found in &swept.importance {
        let name = found.key.clone();
        let _ = writeln!(csv, "\"{name}\",{}", found.share);
        if bars.len() < MOST {
            bars.push(Bar { name, colour: LAST, interval: (0.0, found.share, found.share) });
        }
    }
    Some(Figure {
        id: "importance".into(),
        env: None,
        caption: "How much of the ranks of the scores on the first rung can be foretold from a setting alone (leaving out the trial that is \
                  foretold): an estimate, and of the region that was searched. What two settings do only together is not in it."
            .into(),
        chart: Chart {
            title: "What decided".into(),
            labels: ("share that is foretold".into(), String::new()),
            content: Content::Intervals(bars),
            reference: None,
            range: Some((0.0, 1.0)),
        },
        csv,
    })
}
