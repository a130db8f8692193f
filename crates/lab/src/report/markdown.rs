//! The results as Markdown, for a repository's documentation.

use std::fmt::Write as _;
use std::path::Path;

use super::table::{self, HEADINGS};
use super::{Figure, Provenance};
use crate::chart::Ink;
use crate::compare::Analysis;
use crate::compare::analysis::durations;
use crate::compare::plan::Suite;
use crate::compare::stats;
use relax_runtime::Error;
use relax_runtime::files;

/// Headings of the comparison with published figures.
pub(super) const PUBLISHED: [&str; 5] = [
    "environment",
    "agent",
    "episodes until the mean of 100 is",
    "published",
    "here: mean ± standard deviation over seeds",
];

/// Headings of the reference scores.
pub(super) const REFERENCES: [&str; 4] =
    ["environment", "scaled return 0", "scaled return 1", "what they are"];

/// Rows of the reference scores that some scaled return rests on.
pub(super) fn references(analysis: &Analysis) -> Vec<[String; 4]> {
    let mut rows: Vec<[String; 4]> = Vec::new();
    for reference in analysis.groups.iter().flat_map(|group| &group.references) {
        let [zero, one] = [reference.zero, reference.one].map(|score| table::decimal(score, 1));
        let row = [reference.env.clone(), zero, one, reference.what.to_owned()];
        if !rows.contains(&row) {
            rows.push(row);
        }
    }
    rows
}

/// Rows of the comparison with published figures.
pub(super) fn published(analysis: &Analysis, suite: &Suite) -> Vec<[String; 5]> {
    suite
        .published
        .iter()
        .filter_map(|figure| {
            let entry = analysis.of(&figure.env).find(|entry| entry.name == figure.agent)?;
            let found = durations(&entry.runs, figure.threshold, 0);
            let times: Vec<f64> = found.iter().filter(|d| d.reached).map(|d| d.time).collect();
            let mean = stats::mean_of(&times);
            let variance =
                times.iter().map(|t| (t - mean).powi(2)).sum::<f64>() / (times.len().max(2) - 1) as f64;
            Some([
                figure.env.clone(),
                figure.agent.clone(),
                table::decimal(figure.threshold, 0),
                format!("{} ({})", figure.episodes, figure.source),
                format!("{mean:.0} ± {:.0} ({} of {} runs)", variance.sqrt(), times.len(), found.len()),
            ])
        })
        .collect()
}

pub(super) fn write(
    path: &Path,
    analysis: &Analysis,
    suite: &Suite,
    provenance: &Provenance,
    figures: &[Figure],
    failed: &[(String, String)],
) -> Result<(), Error> {
    let images = path.with_file_name("img").join(path.file_stem().unwrap_or_default());
    std::fs::create_dir_all(&images).map_err(|source| Error::io("create", &images, source))?;
    let mut text = format!("# {}\n\n", suite.title);
    let _ = writeln!(
        text,
        "This page is generated; do not edit it. It comes from\n\n    {}\n",
        provenance.command
    );
    let _ = writeln!(
        text,
        "with relax-rl {} at commit {}, {} runs at a time on {}. `report.html` in the comparison's folder has all figures \
         and the settings of every run.\n",
        provenance.version, provenance.commit, provenance.jobs, provenance.machine
    );
    let _ = writeln!(text, "{}\n", suite.notes.trim());
    for (run, error) in failed {
        let _ = writeln!(text, "**{run} failed and is missing below: {error}**\n");
    }
    for remark in &analysis.remarks {
        let _ = writeln!(text, "- {remark}");
    }
    if !analysis.remarks.is_empty() {
        text.push('\n');
    }
    let rows = table::rows(analysis);
    for env in analysis.envs() {
        let _ = writeln!(text, "## {env}\n");
        let headings: Vec<&str> = HEADINGS[1..].iter().map(|(name, _)| *name).collect();
        let _ = writeln!(text, "| {} |\n|{}", headings.join(" | "), " --- |".repeat(headings.len()));
        for row in rows.iter().filter(|row| row[0].text == env) {
            let cells: Vec<&str> = row[1..].iter().map(|cell| cell.text.as_str()).collect();
            let _ = writeln!(text, "| {} |", cells.join(" | "));
        }
        text.push('\n');
        let shown = figures.iter().filter(|figure| figure.env.as_deref() == Some(env));
        pictures(&mut text, &images, shown.filter(|figure| !figure.id.ends_with("-scores")))?;
    }
    let over_all: Vec<&Figure> = figures.iter().filter(|figure| figure.env.is_none()).collect();
    if !over_all.is_empty() {
        text.push_str("## Over several environments\n\n");
        pictures(&mut text, &images, over_all.into_iter())?;
        let _ = writeln!(text, "| {} |\n|{}", REFERENCES.join(" | "), " --- |".repeat(REFERENCES.len()));
        references(analysis).iter().for_each(|row| {
            let _ = writeln!(text, "| {} |", row.join(" | "));
        });
        text.push('\n');
    }
    let found = published(analysis, suite);
    if !found.is_empty() {
        let _ = writeln!(
            text,
            "## Beside published figures\n\n| {} |\n|{}",
            PUBLISHED.join(" | "),
            " --- |".repeat(5)
        );
        found.iter().for_each(|row| {
            let _ = writeln!(text, "| {} |", row.join(" | "));
        });
        text.push('\n');
    }
    text.push_str("## What the columns mean\n\n");
    for (name, meaning) in &HEADINGS[2..] {
        let _ = writeln!(text, "- **{name}**: {meaning}.");
    }
    files::write_atomically(path, text.as_bytes()).map_err(|source| Error::io("write", path, source))
}

/// Draws the figures into the folder `images` and shows each above its caption.
fn pictures<'a>(
    text: &mut String,
    images: &Path,
    figures: impl Iterator<Item = &'a Figure>,
) -> Result<(), Error> {
    let folder = images.file_name().unwrap_or_default().to_string_lossy();
    for figure in figures {
        let name = format!("{}.svg", figure.id);
        let path = images.join(&name);
        files::write_atomically(&path, figure.chart.svg(Ink::Alone).as_bytes())
            .map_err(|source| Error::io("write", &path, source))?;
        let _ = writeln!(text, "![{}](img/{folder}/{name})\n\n*{}*\n", figure.chart.title, figure.caption);
    }
    Ok(())
}
