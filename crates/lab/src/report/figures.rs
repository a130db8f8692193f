//! The figures of a comparison, each with the numbers it is drawn from.

use std::fmt::Write as _;

use crate::chart::palette;
use crate::chart::{Bar, Chart, Content, Series};
use crate::compare::analysis::durations;
use crate::compare::stats::{self, Interval, bootstrap, bootstrap_improvement};
use crate::compare::survival::survival;
use crate::compare::{Analysis, Entry, Group};

/// Points of a learning curve, and spans over which a variance ratio is summed.
const GRID: usize = 60;
const SPANS: usize = 20;
/// A number over `[task][run]`.
type Statistic = fn(&[Vec<f64>]) -> f64;

/// Levels of a performance profile.
const LEVELS: usize = 61;

/// A chart, its name as a file, what it says, and its numbers as CSV.
#[derive(Debug, Clone)]
pub struct Figure {
    /// File name without an extension.
    pub id: String,
    /// The environment it is about; none if about several.
    pub env: Option<String>,
    /// What is drawn and how, in a sentence or two.
    pub caption: String,
    /// The drawing.
    pub chart: Chart,
    /// Its numbers.
    pub csv: String,
}

/// All figures, environment by environment, then those over several environments.
#[must_use]
pub fn all(analysis: &Analysis) -> Vec<Figure> {
    let mut figures = Vec::new();
    for env in analysis.envs() {
        let entries: Vec<&Entry> = analysis.of(env).collect();
        // The low ones last, so that they stand below one another in a column of the page.
        figures.push(curves(analysis, env, &entries));
        if entries.iter().any(|entry| entry.solved > 0) {
            figures.push(times(analysis, env, &entries));
        }
        if entries.iter().any(|entry| entry.has_ratio()) {
            figures.push(ratios(analysis, env, &entries));
        }
        figures.extend(scores(analysis, env, &entries));
        let together = |group: &Group| group.references.iter().any(|reference| reference.env == env);
        let pairs = analysis.comparable(env);
        if !pairs.is_empty() && !analysis.groups.iter().any(together) {
            figures.push(improvement(analysis, env, &pairs));
        }
    }
    for (number, group) in analysis.groups.iter().enumerate() {
        figures.push(aggregates(analysis, group, number));
        figures.push(profiles(analysis, group, number));
        figures.push(improvements(analysis, group, number));
    }
    figures
}

/// An agent has the same colour in every figure.
fn colour(analysis: &Analysis, name: &str) -> usize {
    let mut agents: Vec<(&str, &str)> = Vec::new();
    for entry in &analysis.entries {
        if !agents.iter().any(|(name, _)| *name == entry.name) {
            agents.push((&entry.name, &entry.runs[0].agent));
        }
    }
    let place = agents.iter().position(|(other, _)| *other == name).unwrap_or(0);
    palette::colours(agents.iter().map(|(_, kind)| *kind)).get(place).copied().unwrap_or(0)
}

/// `cartpole-v1` of `CartPole-v1`.
fn slug(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect()
}

fn curve_csv(x: &str, series: &[Series]) -> String {
    let mut csv = format!("series,{x},value,low,high\n");
    for s in series {
        for (i, (x, y)) in s.points.iter().enumerate() {
            let (low, high) =
                s.band.get(i).map_or((String::new(), String::new()), |b| (b.0.to_string(), b.1.to_string()));
            let _ = writeln!(csv, "{},{x},{y},{low},{high}", s.name);
        }
    }
    csv
}

fn curves(analysis: &Analysis, env: &str, entries: &[&Entry]) -> Figure {
    let series: Vec<Series> = entries
        .iter()
        .map(|entry| {
            let grid = entry.grid(GRID);
            let curves: Vec<Vec<f64>> = entry.runs.iter().map(|run| run.curve(&grid)).collect();
            let mut s = Series {
                name: entry.name.clone(),
                colour: colour(analysis, &entry.name),
                ..Series::default()
            };
            for (i, &step) in grid.iter().enumerate() {
                let values: Vec<f64> = curves.iter().map(|c| c[i]).filter(|v| v.is_finite()).collect();
                // Only where every run has a value: a band over some of them would be another population's.
                if values.len() == curves.len() {
                    let interval = bootstrap(&[values], stats::iqm);
                    s.points.push((step, interval.point));
                    s.band.push((interval.low, interval.high));
                }
            }
            s
        })
        .collect();
    let threshold = entries[0].threshold;
    Figure {
        id: format!("{}-curves", slug(env)),
        env: Some(env.to_owned()),
        caption:
            "Mean return of the last 100 training episodes: interquartile mean over seeds, with its 95 % \
                  stratified-bootstrap interval. A curve ends where the first of its runs does."
                .into(),
        csv: curve_csv("env_steps", &series),
        chart: Chart {
            title: format!("{env}: learning curves"),
            labels: ("environment steps".into(), "return".into()),
            content: Content::Curves(series),
            reference: threshold.map(|value| (value, format!("solved: {value}"))),
            range: None,
        },
    }
}

fn bars(title: String, label: &str, rows: Vec<(String, usize, Interval)>) -> (Chart, String) {
    let mut csv = "name,value,low,high\n".to_owned();
    for (name, _, i) in &rows {
        let _ = writeln!(csv, "{name},{},{},{}", i.point, i.low, i.high);
    }
    let bars = rows
        .into_iter()
        .map(|(name, colour, i)| Bar { name, colour, interval: (i.low, i.point, i.high) })
        .collect();
    let chart = Chart {
        title,
        labels: (label.into(), String::new()),
        content: Content::Intervals(bars),
        reference: None,
        range: None,
    };
    (chart, csv)
}

/// Returns after training; none if no agent was evaluated. Where agents were evaluated differently, each says how.
fn scores(analysis: &Analysis, env: &str, entries: &[&Entry]) -> Option<Figure> {
    let evaluated: Vec<(&Entry, Interval)> =
        entries.iter().filter_map(|entry| Some((*entry, entry.evaluation?.iqm))).collect();
    let alike = evaluated.windows(2).all(|pair| pair[0].0.rule == pair[1].0.rule);
    let name = |entry: &Entry| match alike {
        true => entry.name.clone(),
        false => format!("{}, {}", entry.name, entry.rule.name()),
    };
    let rows: Vec<(String, usize, Interval)> =
        evaluated.iter().map(|(e, iqm)| (name(e), colour(analysis, &e.name), *iqm)).collect();
    if rows.is_empty() {
        return None;
    }
    let (chart, csv) =
        bars(format!("{env}: return after training"), "interquartile mean of the return", rows);
    let missing: Vec<&str> =
        entries.iter().filter(|entry| entry.evaluation.is_none()).map(|entry| entry.name.as_str()).collect();
    let mut caption =
        "Evaluation after training: interquartile mean over seeds with its 95 % interval.".to_owned();
    if !alike {
        caption.push_str(
            " Not all evaluations chose actions in the same way; only those that did can be compared.",
        );
    }
    if !missing.is_empty() {
        let _ = write!(caption, " Not evaluated, so not shown: {}.", missing.join(", "));
    }
    Some(Figure { id: format!("{}-scores", slug(env)), env: Some(env.to_owned()), caption, chart, csv })
}

fn times(analysis: &Analysis, env: &str, entries: &[&Entry]) -> Figure {
    let series: Vec<Series> = entries
        .iter()
        .map(|entry| {
            let found = durations(&entry.runs, entry.threshold.unwrap_or(f64::NAN), 1);
            let end = found.iter().map(|d| d.time).fold(0.0, f64::max);
            let mut points: Vec<(f64, f64)> =
                survival(&found).into_iter().map(|(time, share)| (time, 1.0 - share)).collect();
            points.push((end, points.last().map_or(0.0, |p| p.1)));
            Series {
                name: entry.name.clone(),
                colour: colour(analysis, &entry.name),
                points,
                steps: true,
                ..Series::default()
            }
        })
        .collect();
    Figure {
        id: format!("{}-times", slug(env)),
        env: Some(env.to_owned()),
        caption: format!(
            "Share of runs whose mean return of 100 episodes has reached {} (Kaplan–Meier: a run that ends without counts \
             until its end).",
            entries[0].threshold.unwrap_or(f64::NAN)
        ),
        csv: curve_csv("env_steps", &series),
        chart: Chart {
            title: format!("{env}: when it is solved"),
            labels: ("environment steps".into(), "share of runs solved".into()),
            content: Content::Curves(series),
            reference: None,
            range: Some((0.0, 1.0)),
        },
    }
}

fn ratios(analysis: &Analysis, env: &str, entries: &[&Entry]) -> Figure {
    let series: Vec<Series> = entries
        .iter()
        .filter(|entry| entry.has_ratio())
        .map(|entry| {
            let end = entry.runs.iter().map(|run| run.env_steps).fold(0.0, f64::max);
            let mut s = Series {
                name: entry.name.clone(),
                colour: colour(analysis, &entry.name),
                ..Series::default()
            };
            for span in 0..SPANS {
                let (from, to) = (end * span as f64 / SPANS as f64, end * (span + 1) as f64 / SPANS as f64);
                let logs: Vec<f64> = entry
                    .runs
                    .iter()
                    .map(|run| {
                        let within = run.squared_norms.iter().filter(|row| row[0] > from && row[0] <= to);
                        let (own, a2c) = within.fold((0.0, 0.0), |sum, row| (sum.0 + row[1], sum.1 + row[2]));
                        (own / a2c).ln()
                    })
                    .filter(|log| log.is_finite())
                    .collect();
                if !logs.is_empty() {
                    let found = bootstrap(&[logs], stats::mean);
                    s.points.push(((from + to) / 2.0, found.point.exp()));
                    s.band.push((found.low.exp(), found.high.exp()));
                }
            }
            s
        })
        .collect();
    Figure {
        id: format!("{}-variance", slug(env)),
        env: Some(env.to_owned()),
        caption: "Second moment of the gradient estimate over A2C's on the same batches, summed over a twentieth of \
                  training: geometric mean over seeds with its 95 % interval. Below 1 the control variate helps."
            .into(),
        csv: curve_csv("env_steps", &series),
        chart: Chart {
            title: format!("{env}: gradient variance"),
            labels: ("environment steps".into(), "E‖ĝ‖² over A2C's".into()),
            content: Content::Curves(series),
            reference: Some((1.0, "A2C".into())),
            range: None,
        },
    }
}

fn over(group: &Group) -> String {
    let envs: Vec<&str> = group.references.iter().map(|reference| reference.env.as_str()).collect();
    envs.join(", ")
}

fn aggregates(analysis: &Analysis, group: &Group, number: usize) -> Figure {
    let measures: [(&str, Statistic); 3] =
        [("IQM", stats::iqm), ("median", stats::median), ("mean", stats::mean)];
    let mut rows = Vec::new();
    for (measure, of) in measures {
        for (name, scores) in group.names.iter().zip(&group.scores) {
            rows.push((format!("{measure}, {name}"), colour(analysis, name), bootstrap(scores, of)));
        }
    }
    let (chart, csv) = bars("Scaled return".into(), "scaled return", rows);
    Figure {
        id: format!("all-{}-aggregates", number + 1),
        env: None,
        caption: format!(
            "Over {}: {} evaluations, scaled by the reference scores (0 and 1), with 95 % stratified-bootstrap intervals.",
            over(group),
            group.rule.name()
        ),
        chart,
        csv,
    }
}

fn profiles(analysis: &Analysis, group: &Group, number: usize) -> Figure {
    let all = group.scores.iter().flatten().flatten();
    let (low, high) = all.fold((0.0_f64, 1.0_f64), |(l, h), &s| (l.min(s), h.max(s)));
    let levels: Vec<f64> = (0..LEVELS).map(|i| low + (high - low) * i as f64 / (LEVELS - 1) as f64).collect();
    let series: Vec<Series> = group
        .names
        .iter()
        .zip(&group.scores)
        .map(|(name, scores)| {
            let found: Vec<Interval> = levels
                .iter()
                .map(|&level| bootstrap(scores, |s| stats::performance_profile(s, &[level])[0]))
                .collect();
            Series {
                name: name.clone(),
                colour: colour(analysis, name),
                points: levels.iter().zip(&found).map(|(&level, i)| (level, i.point)).collect(),
                band: found.iter().map(|i| (i.low, i.high)).collect(),
                ..Series::default()
            }
        })
        .collect();
    Figure {
        id: format!("all-{}-profiles", number + 1),
        env: None,
        caption: format!(
            "Over {}: share of runs above each scaled return, with 95 % intervals.",
            over(group)
        ),
        csv: curve_csv("scaled_return", &series),
        chart: Chart {
            title: "Performance profiles".into(),
            labels: ("scaled return τ".into(), "share of runs above τ".into()),
            content: Content::Curves(series),
            reference: None,
            range: Some((0.0, 1.0)),
        },
    }
}

/// P(X > Y) of agents over a group's environments.
fn improvements(analysis: &Analysis, group: &Group, number: usize) -> Figure {
    let mut rows = Vec::new();
    for (i, x) in group.names.iter().enumerate() {
        for (j, y) in group.names.iter().enumerate().skip(i + 1) {
            let found = bootstrap_improvement(&group.scores[i], &group.scores[j]);
            rows.push((format!("{x} > {y}"), colour(analysis, x), found));
        }
    }
    wins(format!("all-{}-improvement", number + 1), None, &over(group), group.rule.name(), rows)
}

/// P(X > Y) of pairs of agents on one environment.
fn improvement(analysis: &Analysis, env: &str, pairs: &[[&Entry; 2]]) -> Figure {
    let row = |[x, y]: &[&Entry; 2]| {
        let found = bootstrap_improvement(std::slice::from_ref(&x.scores), std::slice::from_ref(&y.scores));
        (format!("{} > {}", x.name, y.name), colour(analysis, &x.name), found)
    };
    let rows = pairs.iter().map(row).collect();
    wins(format!("{}-improvement", slug(env)), Some(env.to_owned()), env, pairs[0][0].rule.name(), rows)
}

fn wins(
    id: String,
    env: Option<String>,
    over: &str,
    rule: &str,
    rows: Vec<(String, usize, Interval)>,
) -> Figure {
    let (mut chart, csv) = bars("Probability of improvement".into(), "P(X > Y)", rows);
    chart.reference = Some((0.5, String::new()));
    chart.range = Some((0.0, 1.0));
    let caption = format!(
        "Over {over}: that a run of the first agent returns more than one of the second after training ({rule} evaluations), \
         ties counting half, with 95 % intervals. An interval that holds ½ settles nothing."
    );
    Figure { id, env, caption, chart, csv }
}

impl Figure {
    /// The parts of a policy gradient's variance over training, stacked.
    #[must_use]
    pub fn shares(dissected: &crate::variance::Dissected) -> Self {
        let mut csv =
            "env_steps,space,states,states_error,value_error,value_error_error,own_action,own_action_error,rest,rest_error,best_baseline,\
             best_baseline_error,signal,ratio\n"
                .to_owned();
        for point in &dissected.points {
            for (space, p) in [("parameters", &point.parameters), ("weights", &point.weights)] {
                let _ = writeln!(
                    csv,
                    "{},{space},{},{},{},{},{},{},{},{},{},{},{},{}",
                    point.env_steps,
                    p.states.value,
                    p.states.error,
                    p.value_error.value,
                    p.value_error.error,
                    p.own_action.value,
                    p.own_action.error,
                    p.rest.value,
                    p.rest.error,
                    p.best_baseline.value,
                    p.best_baseline.error,
                    p.signal,
                    point.ratio
                );
            }
        }
        let x: Vec<f64> = dissected.points.iter().map(|point| point.env_steps as f64).collect();
        let shares: Vec<[f64; 4]> =
            dissected.points.iter().map(|point| point.parameters.shares.map(|share| share.value)).collect();
        let layer =
            |name: &str, i: usize| (name.to_owned(), shares.iter().map(|s| s[i]).collect::<Vec<f64>>());
        let layers =
            vec![layer("V's error", 1), layer("own action", 2), layer("what follows", 3), layer("states", 0)];
        Self {
            id: format!("{}-{}-shares", slug(&dissected.env), dissected.agent),
            env: Some(dissected.env.clone()),
            caption:
                "Shares of the variance of the policy gradient's estimate at the distribution's parameters."
                    .into(),
            chart: Chart {
                title: format!("{}: variance of {}", dissected.env, dissected.agent),
                labels: ("environment steps".into(), "share of the variance".into()),
                content: Content::Shares { x, layers },
                reference: None,
                range: None,
            },
            csv,
        }
    }
}
