//! What a sweep leaves behind: the best configuration, the table of all trials, and a page.

use std::fmt::Write as _;
use std::path::Path;

use relax_runtime::{Error, files};

use super::Swept;
use super::figures::{self, shown};
use super::halving::Score;
use super::settings::Plan;
use crate::chart::escape;
use crate::report::{self, Provenance, html};

pub(super) fn write(out: &Path, plan: &Plan, swept: &Swept, provenance: &Provenance) -> Result<(), Error> {
    let write = |name: &str, text: &str| {
        let path = out.join(name);
        files::write_atomically(&path, text.as_bytes()).map_err(|source| Error::io("write", path, source))
    };
    let drawn = figures::all(plan, swept);
    report::write_figures(&drawn, &out.join("figures"))?;
    write("trials.csv", &csv(plan, swept))?;
    let best = swept.best.map(|at| best(plan, swept, at)).transpose()?;
    if let Some(text) = &best {
        write("best.toml", text)?;
    }
    let headings = headings(plan);
    let parts = [
        ("title", escape(&format!("Sweep of {}", plan.name))),
        ("introduction", introduction(plan, swept)),
        (
            "explained",
            "Select a heading to sort. Scores are means over seeds of the return after training.".to_owned(),
        ),
        (
            "headings",
            html::headings(headings.iter().map(|(name, meaning)| (name.as_str(), meaning.as_str()))),
        ),
        ("rows", rows(plan, swept)),
        (
            "meanings",
            html::meanings(headings.iter().map(|(name, meaning)| (name.as_str(), meaning.as_str()))),
        ),
        ("figures", html::figures("Figures", "", &drawn.iter().collect::<Vec<_>>())),
        ("provenance", html::made(provenance, "trials.csv")),
        ("settings", settings(plan, best.as_deref())),
    ];
    write("report.html", &html::page_of(&parts))
}

/// The best configuration, with a word on where it comes from.
fn best(plan: &Plan, swept: &Swept, at: usize) -> Result<String, Error> {
    let trial = &swept.trials[at];
    let last = plan.rungs() - 1;
    let mut config = plan.config(&trial.values, last, 0)?;
    // As the file has them.
    let base = relax_training::Config::from_toml(&plan.base, &plan.name, &[])?;
    (config.run.env_steps, config.run.seed) = (base.run.env_steps, base.run.seed);
    config.rollout.workers = base.rollout.workers;
    let mut text = format!("# Trial {} of `relax sweep {}`", trial.number, plan.name);
    for (score, (budget, seeds)) in
        trial.scores.iter().zip(plan.settings.budgets.iter().zip(&plan.settings.seeds))
    {
        if let Some(mean) = score.mean() {
            let _ = write!(
                text,
                "\n#   return {mean:.2} after {budget} steps, mean of seeds {}–{}",
                plan.settings.first_seed,
                plan.settings.first_seed + seeds - 1
            );
        }
    }
    let _ = write!(text, "\n# Found:");
    for line in plan.overrides(&trial.values) {
        let _ = write!(text, "\n#   {line}");
    }
    Ok(format!("{text}\n\n{}", config.to_toml()))
}

fn csv(plan: &Plan, swept: &Swept) -> String {
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let mut text = "trial,rungs".to_owned();
    plan.settings.budgets.iter().for_each(|budget| {
        let _ = write!(text, ",score_{budget}");
    });
    plan.parameters.iter().for_each(|parameter| {
        let _ = write!(text, ",{}", quoted(&parameter.key));
    });
    text.push_str(",failed\n");
    for trial in &swept.trials {
        let _ = write!(text, "{},{}", trial.number, trial.scores.len());
        for rung in 0..plan.rungs() {
            text.push(',');
            if let Some(mean) = trial.scores.get(rung).and_then(Score::mean) {
                let _ = write!(text, "{mean}");
            }
        }
        for value in &trial.values {
            let _ = write!(text, ",{}", quoted(&value.to_string()));
        }
        let failed = trial
            .scores
            .iter()
            .find_map(|score| if let Score::Failed(why) = score { Some(why.as_str()) } else { None });
        let _ = writeln!(text, ",{}", quoted(failed.unwrap_or_default()));
    }
    text
}

fn headings(plan: &Plan) -> Vec<(String, String)> {
    let mut all = vec![
        (
            "trial".to_owned(),
            "Number of the trial; 0 is what the file itself says, if it lies in what is searched".to_owned(),
        ),
        ("rungs".to_owned(), "Rungs that it reached".to_owned()),
    ];
    for (budget, seeds) in plan.settings.budgets.iter().zip(&plan.settings.seeds) {
        all.push((
            format!("{budget} steps"),
            format!("Return after so many steps, mean over {seeds} seeds; – where it did not come so far"),
        ));
    }
    all.extend(plan.parameters.iter().map(|p| (p.key.clone(), "What was tried".to_owned())));
    all
}

fn rows(plan: &Plan, swept: &Swept) -> String {
    let names = headings(plan);
    let mut order: Vec<usize> = (0..swept.trials.len()).collect();
    let key = |at: usize| {
        let trial = &swept.trials[at];
        (trial.scores.len(), trial.scores.last().and_then(Score::mean).unwrap_or(f64::NEG_INFINITY))
    };
    order.sort_by(|&a, &b| key(b).0.cmp(&key(a).0).then(key(b).1.total_cmp(&key(a).1)).then(a.cmp(&b)));
    let mut text = String::new();
    for at in order {
        let trial = &swept.trials[at];
        let star = if swept.best == Some(at) { " ★" } else { "" };
        let mut cells = vec![
            (format!("{}{star}", trial.number), Some(at as f64)),
            (trial.scores.len().to_string(), None),
        ];
        for rung in 0..plan.rungs() {
            cells.push(match trial.scores.get(rung) {
                Some(Score::Mean(mean)) => (format!("{mean:.1}"), Some(*mean)),
                Some(Score::Failed(_)) => ("failed".to_owned(), Some(f64::NEG_INFINITY)),
                None => ("–".to_owned(), Some(f64::NEG_INFINITY)),
            });
        }
        for value in &trial.values {
            cells.push((shown(value), value.as_float().or(value.as_integer().map(|i| i as f64))));
        }
        text.push_str("<tr>");
        for ((cell, key), (name, _)) in cells.iter().zip(&names) {
            let key = match key {
                Some(key) if key.is_infinite() => " data-key=\"-Infinity\"".to_owned(),
                Some(key) => format!(" data-key=\"{key}\""),
                None => String::new(),
            };
            let _ = write!(text, "<td data-name=\"{}\"{key}>{}</td>", escape(name), escape(cell));
        }
        text.push_str("</tr>");
    }
    text
}

fn introduction(plan: &Plan, swept: &Swept) -> String {
    let Some(best) = swept.best.map(|at| &swept.trials[at]) else {
        return "<p class=\"failed\">Every run failed.</p>".to_owned();
    };
    let found: Vec<String> = plan
        .parameters
        .iter()
        .zip(&best.values)
        .map(|(parameter, value)| {
            format!("<code>{} = {}</code>", escape(&parameter.key), escape(&shown(value)))
        })
        .collect();
    format!(
        "<p>Of {} trials the best is number {}: {}. <code>best.toml</code> is its whole configuration. Its score is that of the best of \
         many, on the seeds it was chosen by: run it on others before you quote it.</p>",
        swept.trials.len(),
        best.number,
        found.join(", ")
    )
}

fn settings(plan: &Plan, best: Option<&str>) -> String {
    let block = |name: &str, text: &str| {
        format!("<details><summary>{name}</summary><pre>{}</pre></details>", escape(text))
    };
    let mut all = block("sweep.toml", &plan.text);
    if let Some(text) = best {
        all.push_str(&block("best.toml", text));
    }
    all
}
