//! Curves of runs as one self-contained SVG or PNG: training and validation bound above, log-variance of the encoder's gradient below.
//!
//! Runs that differ in nothing but their seed form one curve, their mean. The first twentieth of the training is left out: the
//! bound rises steeply there, and what runs differ in would be hidden.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use relax_runtime::Error;

use super::VaeConfig;
use crate::chart::palette::colours;
use crate::chart::{Chart, Content, Ink, Series as Line, Sheet, png};

/// What is left out at the start, as a share of the iterations.
const SKIPPED: f64 = 0.05;

/// Values over iterations.
type Series = Vec<(f64, f64)>;

/// What is drawn of one run, or of a group of them.
#[derive(Debug, Clone, Default)]
struct Curves {
    train: Series,
    validation: Series,
    /// By layer.
    log_variance: Vec<Series>,
}

/// Runs that differ in nothing but their seed.
#[derive(Debug)]
struct Group {
    label: String,
    /// Name of its estimator.
    method: &'static str,
    runs: usize,
    curves: Curves,
}

/// Draws the runs of the folders `folders` (run folders, folders that hold some, or folders of sweeps) into the file `out`.
///
/// # Errors
/// If there is no run of `relax vae`, files cannot be read, or the runs are not of one data set and model.
pub fn plot(folders: &[PathBuf], out: &Path) -> Result<(), Error> {
    let mut runs = Vec::new();
    for folder in folders.iter().flat_map(|folder| run_folders(folder)) {
        runs.push((load_config(&folder)?, load(&folder)?));
    }
    let Some((first, _)) = runs.first() else {
        return Err(Error::input("there is no run of `relax vae` to plot").with_hint("name run folders"));
    };
    let title = |config: &VaeConfig| format!("{}, {}", config.data.set.name(), config.model.name());
    let heading = title(first);
    if let Some((other, _)) = runs.iter().find(|(config, _)| title(config) != heading) {
        let message = format!("some runs are of {heading}, others of {}", title(other));
        return Err(Error::input(message).with_hint("plot one data set and model at a time"));
    }
    png::write_figure(&sheet(&heading, &groups(runs)).svg(Ink::Alone), out)
}

/// `folder` itself if it is a run folder; else the run folders in it, or in its `runs`.
pub(super) fn run_folders(folder: &Path) -> Vec<PathBuf> {
    if folder.join("metrics.csv").is_file() {
        return vec![folder.to_owned()];
    }
    let inside = |folder: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut runs: Vec<PathBuf> =
            entries.map(|entry| entry.path()).filter(|path| path.join("metrics.csv").is_file()).collect();
        runs.sort();
        runs
    };
    let runs = inside(folder);
    if runs.is_empty() { inside(&folder.join("runs")) } else { runs }
}

fn load_config(folder: &Path) -> Result<VaeConfig, Error> {
    Ok(VaeConfig::load(&folder.join("config.toml"), &[])?)
}

fn load(folder: &Path) -> Result<Curves, Error> {
    let metrics = columns(&folder.join("metrics.csv"))?;
    let evaluations = columns(&folder.join("evaluations.csv"))?;
    let series = |table: &BTreeMap<String, Vec<f64>>, name: &str| -> Series {
        let (Some(x), Some(y)) = (table.get("iteration"), table.get(name)) else { return Vec::new() };
        x.iter().copied().zip(y.iter().copied()).filter(|(_, y)| y.is_finite()).collect()
    };
    let log_variance = (1..)
        .map(|layer| format!("log_variance.{layer}"))
        .take_while(|name| evaluations.contains_key(name))
        .map(|name| series(&evaluations, &name))
        .collect();
    Ok(Curves {
        train: series(&metrics, "train_bound"),
        validation: series(&evaluations, "validation_bound"),
        log_variance,
    })
}

/// The columns of a CSV file as numbers; what is none becomes NaN.
fn columns(path: &Path) -> Result<BTreeMap<String, Vec<f64>>, Error> {
    let bad = |error: csv::Error| Error::input(format!("{} cannot be read: {error}", path.display()));
    let mut reader = csv::Reader::from_path(path).map_err(bad)?;
    let names: Vec<String> = reader.headers().map_err(bad)?.iter().map(str::to_owned).collect();
    let mut columns = vec![Vec::new(); names.len()];
    for record in reader.records() {
        let record = record.map_err(bad)?;
        columns
            .iter_mut()
            .zip(&record)
            .for_each(|(column, cell)| column.push(cell.parse().unwrap_or(f64::NAN)));
    }
    Ok(names.into_iter().zip(columns).collect())
}

/// The runs by configuration, the seed aside; named by the method, and by the learning rate where that differs too.
fn groups(runs: Vec<(VaeConfig, Curves)>) -> Vec<Group> {
    let mut groups: Vec<(VaeConfig, Vec<Curves>)> = Vec::new();
    for (mut config, curves) in runs {
        // What a run may change without becoming another experiment.
        config.run = super::RunConfig { batch_size: config.run.batch_size, ..Default::default() };
        config.checkpoint = Default::default();
        config.sweep = Default::default();
        config.data.folder = None;
        match groups.iter_mut().find(|(other, _)| *other == config) {
            Some((_, group)) => group.push(curves),
            None => groups.push((config, vec![curves])),
        }
    }
    let method = |config: &VaeConfig| config.estimator.method;
    let twins: Vec<bool> = groups
        .iter()
        .map(|(config, _)| groups.iter().filter(|(other, _)| method(other) == method(config)).count() > 1)
        .collect();
    let label = |config: &VaeConfig, twin: bool| match twin {
        true => format!("{} at {:e}", method(config), config.estimator.learning_rate),
        false => method(config).to_string(),
    };
    groups
        .into_iter()
        .zip(twins)
        .map(|((config, all), twin)| {
            let pick = |part: &dyn Fn(&Curves) -> Series| mean(&all.iter().map(part).collect::<Vec<_>>());
            let layers = all.iter().map(|curves| curves.log_variance.len()).max().unwrap_or(0);
            let layer =
                |layer: usize| pick(&|curves| curves.log_variance.get(layer).cloned().unwrap_or_default());
            let curves = Curves {
                train: pick(&|curves| curves.train.clone()),
                validation: pick(&|curves| curves.validation.clone()),
                log_variance: (0..layers).map(layer).collect(),
            };
            Group { label: label(&config, twin), method: method(&config).name(), runs: all.len(), curves }
        })
        .collect()
}

/// The mean at every iteration that all series have.
fn mean(all: &[Series]) -> Series {
    let mut sums: BTreeMap<u64, (f64, usize)> = BTreeMap::new();
    for &(x, y) in all.iter().flatten() {
        let entry = sums.entry(x as u64).or_default();
        *entry = (entry.0 + y, entry.1 + 1);
    }
    let whole = sums.into_iter().filter(|(_, (_, count))| *count == all.len());
    whole.map(|(x, (sum, count))| (x as f64, sum / count as f64)).collect()
}

/// Bounds above, and where it was measured, the gradient's log-variance below.
fn sheet(heading: &str, groups: &[Group]) -> Sheet {
    let all = || groups.iter().flat_map(|group| [&group.curves.train, &group.curves.validation]).flatten();
    let end = all().map(|point| point.0).fold(0.0, f64::max);
    let shown = |points: &Series| -> Series {
        points.iter().copied().filter(|point| point.0 >= SKIPPED * end).collect()
    };
    let (mut bounds, mut variances) = (Vec::new(), Vec::new());
    for (group, colour) in groups.iter().zip(colours(groups.iter().map(|group| group.method))) {
        let name = match group.runs {
            1 => format!("{}: one run", group.label),
            runs => format!("{}: mean of {runs} runs", group.label),
        };
        let line = |points: &Series, dashed| Line {
            name: name.clone(),
            colour,
            points: shown(points),
            dashed,
            ..Line::default()
        };
        bounds.push(line(&group.curves.train, false));
        bounds.push(line(&group.curves.validation, true));
        let layers = group.curves.log_variance.iter().enumerate();
        variances.extend(layers.map(|(layer, points)| line(points, layer > 0)));
    }
    let chart = |label: &str, lines: Vec<Line>| Chart {
        title: String::new(),
        labels: ("iterations".into(), label.into()),
        content: Content::Curves(lines),
        reference: None,
        range: None,
    };
    let mut charts = vec![chart("bound in nats (solid: training, dashed: validation)", bounds)];
    if variances.iter().any(|line| !line.points.is_empty()) {
        let layered = groups.iter().any(|group| group.curves.log_variance.len() > 1);
        let label = if layered { "log-variance (solid: layer 1, dashed: above)" } else { "log-variance" };
        charts.push(chart(label, variances));
    }
    Sheet { title: heading.to_owned(), notes: Vec::new(), charts }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_is_taken_where_all_have_a_value() {
        let a = vec![(10.0, 1.0), (20.0, 3.0), (30.0, 9.0)];
        let b = vec![(10.0, 3.0), (20.0, 5.0)];
        assert_eq!(mean(&[a, b]), [(10.0, 2.0), (20.0, 4.0)]);
        assert!(mean(&[]).is_empty());
    }

    #[test]
    fn runs_are_grouped_by_everything_but_the_seed() {
        let text = "[model]\nkind = \"linear2\"\n[estimator]\nmethod = \"rebar\"\n";
        let run = |sets: &[&str]| {
            let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
            let config = VaeConfig::from_toml(text, "x.toml", &sets).expect("valid");
            let points = vec![(1000.0, -120.0), (2000.0, -110.0)];
            let log_variance = vec![points.clone(), points.clone()];
            (config, Curves { train: points.clone(), validation: points, log_variance })
        };
        let groups = groups(vec![
            run(&["run.seed=1"]),
            run(&["run.seed=2"]),
            run(&["estimator.learning_rate=3e-4"]),
            run(&["estimator.method=disarm"]),
        ]);
        let labels: Vec<_> = groups.iter().map(|group| (group.label.as_str(), group.runs)).collect();
        assert_eq!(labels, [("rebar at 1e-3", 2), ("rebar at 3e-4", 1), ("disarm", 1)]);
        let text = sheet("mnist, linear2", &groups).svg(Ink::Alone);
        for part in ["mean of 2 runs", "bound in nats", "log-variance", "iterations"] {
            assert!(text.contains(part), "{part}");
        }
        assert!(!text.contains("href"), "self-contained");
    }

    /// The last evaluation of a short run comes after its last row of metrics.
    #[test]
    fn a_short_run_is_drawn_to_its_last_evaluation() {
        let curves = Curves {
            train: vec![(1000.0, -130.0)],
            validation: vec![(1500.0, -125.0)],
            log_variance: vec![vec![(1500.0, 2.0)]],
        };
        let group = Group { label: "rebar".into(), method: "rebar", runs: 1, curves };
        let sheet = sheet("mnist, linear1", &[group]);
        let Content::Curves(lines) = &sheet.charts[0].content else { panic!("curves") };
        assert_eq!(lines[0].points, [(1000.0, -130.0)]);
        assert_eq!(lines[1].points, [(1500.0, -125.0)]);
        let svg = sheet.svg(Ink::Alone);
        // Both axes reach 1500, and say so once each: no tick is written twice.
        assert_eq!((svg.matches(">1500<").count(), svg.matches(">1000<").count()), (2, 2), "{svg}");
    }
}
