//! What a sweep has found: one row per estimator, and one per run.

use std::fmt::Write as _;
use std::path::Path;

use relax_estimators::Estimator;

use super::plan::{self, Ending, Job, Results};
use relax_latent::task::VaeConfig;
use relax_latent::task::VaeSummary;
use relax_runtime::Error;
use relax_runtime::files;

/// Mean and sample standard deviation over seeds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// The mean.
    pub mean: f64,
    /// Standard deviation (dividing by n − 1); `None` for one seed.
    pub sd: Option<f64>,
}

/// One estimator's row.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The estimator.
    pub method: Estimator,
    /// The learning rate chosen; `None` while the choice is open, or if every rate diverged.
    pub rate: Option<f64>,
    /// Reported runs that came to their end.
    pub seeds: usize,
    /// Reported runs that diverged.
    pub diverged: usize,
    /// The numbers, named as in table.csv; empty while no reported run has ended.
    pub numbers: Vec<(&'static str, Spread)>,
}

/// The results of a sweep so far.
#[derive(Debug, Clone)]
pub struct Table {
    heading: String,
    samples: usize,
    /// Estimators in the order of the configuration.
    pub rows: Vec<Row>,
    /// Final validation bounds of the tuning runs: per estimator, one for each learning rate.
    tuning: Vec<(Estimator, Vec<Option<f64>>)>,
    rates: Vec<f64>,
    runs: Vec<(Job, Ending)>,
}

/// What a column holds of one run, if the run has it.
type Number = fn(&VaeSummary) -> Option<f64>;

/// The columns of table.csv behind `method,learning_rate,seeds,diverged`: each is a mean and a standard deviation.
const NUMBERS: [(&str, Number); 8] = [
    ("train", |run| run.train.map(|bound| bound.mean)),
    ("validation", |run| run.validation.map(|bound| bound.mean)),
    ("test", |run| run.test.map(|bound| bound.mean)),
    ("validation_importance", |run| run.validation_importance.map(|bound| bound.mean)),
    ("test_importance", |run| run.test_importance.map(|bound| bound.mean)),
    ("log_variance_1", |run| run.log_variance.as_ref().and_then(|layers| layers.first().copied())),
    ("log_variance_2", |run| run.log_variance.as_ref().and_then(|layers| layers.get(1).copied())),
    ("iterations_per_second", |run| Some(run.iterations_per_second)),
];

impl Table {
    pub(super) fn new(config: &VaeConfig, results: &Results) -> Self {
        let sweep = &config.sweep;
        let mut runs = Vec::new();
        let (mut rows, mut tuning) = (Vec::new(), Vec::new());
        for &method in &sweep.methods {
            let jobs = plan::tuning_jobs(config, method);
            let find = |job: &Job| results.get(&job.name());
            tuning.push((method, jobs.iter().map(|job| find(job).map(Ending::validation)).collect()));
            let rate = plan::chosen_rate(config, method, results);
            let reported = rate.map(|rate| plan::report_jobs(config, method, rate)).unwrap_or_default();
            rows.push(Row::new(method, rate, reported.iter().filter_map(find)));
            let names: Vec<String> = reported.iter().map(Job::name).collect();
            let all = jobs.into_iter().filter(|job| !names.contains(&job.name())).chain(reported);
            runs.extend(all.filter_map(|job| Some((job, results.get(&job.name())?.clone()))));
        }
        let heading = format!(
            "{} {}, {} iterations, batch {}",
            config.data.set.name(),
            config.model.name(),
            config.run.iterations,
            config.run.batch_size
        );
        let (samples, rates) = (config.run.final_samples, sweep.learning_rates.clone());
        Self { heading, samples, rows, tuning, rates, runs }
    }

    /// Writes table.csv, table.md and runs.csv into `folder`.
    pub(super) fn save(&self, folder: &Path) -> Result<(), Error> {
        for (name, text) in
            [("table.csv", self.csv()), ("table.md", self.markdown()), ("runs.csv", self.runs_csv())]
        {
            let path = folder.join(name);
            files::write_atomically(&path, text.as_bytes())
                .map_err(|source| Error::io("write", &path, source))?;
        }
        Ok(())
    }

    fn csv(&self) -> String {
        let mut text = "method,learning_rate,seeds,diverged".to_owned();
        for (name, _) in NUMBERS {
            let _ = write!(text, ",{name}_mean,{name}_sd");
        }
        text.push('\n');
        for row in &self.rows {
            let rate = row.rate.map(|rate| rate.to_string()).unwrap_or_default();
            let _ = write!(text, "{},{rate},{},{}", row.method, row.seeds, row.diverged);
            for (name, _) in NUMBERS {
                let spread = row.number(name);
                let cell = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
                let _ = write!(
                    text,
                    ",{},{}",
                    cell(spread.map(|spread| spread.mean)),
                    cell(spread.and_then(|spread| spread.sd))
                );
            }
            text.push('\n');
        }
        text
    }

    fn runs_csv(&self) -> String {
        let mut text = "method,learning_rate,seed,use,ended".to_owned();
        NUMBERS.iter().for_each(|(name, _)| {
            let _ = write!(text, ",{name}");
        });
        text.push('\n');
        for (job, result) in &self.runs {
            let purpose = if job.tuning { "tuning" } else { "reported" };
            let (ended, summary) = match result {
                Ending::Finished(summary) => ("finished", Some(summary)),
                Ending::Diverged => ("diverged", None),
            };
            let _ = write!(text, "{},{},{},{purpose},{ended}", job.method, job.rate, job.seed);
            for (_, get) in NUMBERS {
                let value = summary.and_then(|summary| get(summary));
                let _ = write!(text, ",{}", value.map(|value| value.to_string()).unwrap_or_default());
            }
            text.push('\n');
        }
        text
    }

    fn all_diverged(&self, method: Estimator) -> bool {
        let of_method = self.tuning.iter().filter(|(own, _)| *own == method);
        of_method.flat_map(|(_, bounds)| bounds).all(|bound| bound.is_some_and(|bound| !bound.is_finite()))
    }

    /// The tables as Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = format!(
            "{}. Bounds in nats, mean ± standard deviation over seeds.\n\n\
             | estimator | learning rate | seeds | train | validation | test | test, {} samples | log-variance, layer 1 | layer 2 | iterations/s |\n\
             | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
            self.heading, self.samples
        );
        for row in &self.rows {
            let rate = match row.rate {
                Some(rate) => format!("{rate:e}"),
                None if self.all_diverged(row.method) => "all diverged".to_owned(),
                None => "open".to_owned(),
            };
            let seeds = match row.diverged {
                0 => row.seeds.to_string(),
                diverged => format!("{} ({diverged} more diverged)", row.seeds),
            };
            let _ = write!(text, "| {} | {rate} | {seeds} |", row.method);
            for (name, decimals) in [
                ("train", 2),
                ("validation", 2),
                ("test", 2),
                ("test_importance", 2),
                ("log_variance_1", 2),
                ("log_variance_2", 2),
            ] {
                let _ = write!(text, " {} |", row.number(name).map_or("–".into(), |s| s.shown(decimals)));
            }
            let speed = row.number("iterations_per_second");
            let _ = writeln!(text, " {} |", speed.map_or("–".into(), |s| format!("{:.0}", s.mean)));
        }
        if self.rates.len() > 1 {
            text.push_str("\nFinal validation bound of the tuning runs, by learning rate:\n\n| estimator |");
            self.rates.iter().for_each(|rate| {
                let _ = write!(text, " {rate:e} |");
            });
            text.push_str("\n| --- |");
            text.push_str(&" --- |".repeat(self.rates.len()));
            text.push('\n');
            for (method, bounds) in &self.tuning {
                let _ = write!(text, "| {method} |");
                for bound in bounds {
                    let shown = match bound {
                        None => "–".to_owned(),
                        Some(bound) if bound.abs() < 1e6 => format!("{bound:.2}"),
                        Some(bound) if bound.is_finite() => format!("{bound:.1e}"),
                        Some(_) => "diverged".to_owned(),
                    };
                    let _ = write!(text, " {shown} |");
                }
                text.push('\n');
            }
        }
        text
    }
}

impl Row {
    fn new<'a>(method: Estimator, rate: Option<f64>, results: impl Iterator<Item = &'a Ending>) -> Self {
        let (mut finished, mut diverged) = (Vec::new(), 0);
        for result in results {
            match result {
                Ending::Finished(summary) => finished.push(summary),
                Ending::Diverged => diverged += 1,
            }
        }
        let numbers = NUMBERS
            .iter()
            .filter_map(|(name, get)| {
                let values: Option<Vec<f64>> = finished.iter().map(|summary| get(summary)).collect();
                Some((*name, Spread::of(&values?)?))
            })
            .collect();
        Self { method, rate, seeds: finished.len(), diverged, numbers }
    }

    /// The number `name` of table.csv.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<Spread> {
        self.numbers.iter().find(|(own, _)| *own == name).map(|(_, spread)| *spread)
    }
}

impl Spread {
    /// Of `values`; `None` if there are none.
    #[must_use]
    pub fn of(values: &[f64]) -> Option<Self> {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        (!values.is_empty())
            .then(|| Self { mean, sd: (values.len() > 1).then(|| (squares / (count - 1.0)).sqrt()) })
    }

    fn shown(&self, decimals: usize) -> String {
        match self.sd {
            Some(sd) => format!("{:.decimals$} ± {sd:.decimals$}", self.mean),
            None => format!("{:.decimals$}", self.mean),
        }
    }
}
