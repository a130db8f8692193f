//! The page: everything inline, so that it needs no network and can be sent as one file.

use std::fmt::Write as _;

use super::table::{Cell, HEADINGS};
use super::{Figure, Provenance, markdown};
use crate::chart::palette::{DARK, LIGHT};
use crate::chart::{Ink, escape};
use crate::compare::plan::Suite;
use crate::compare::{Analysis, Entry};

pub(super) fn page(
    analysis: &Analysis,
    suite: &Suite,
    provenance: &Provenance,
    figures: &[Figure],
    table: &[Vec<Cell>],
    failed: &[(String, String)],
) -> String {
    let title = if suite.title.is_empty() { "Comparison of agents" } else { &suite.title };
    let parts = [
        ("meanings", meanings(HEADINGS[2..].iter().copied())),
        ("title", escape(title)),
        ("introduction", introduction(suite, failed)),
        ("explained", EXPLAINED.to_owned()),
        ("headings", headings(HEADINGS.iter().copied())),
        ("rows", rows(table)),
        ("remarks", remarks(analysis)),
        ("published", published(analysis, suite)),
        ("figures", drawings(analysis, figures)),
        ("provenance", made(provenance, "results.csv")),
        ("settings", settings(&analysis.entries)),
    ];
    page_of(&parts)
}

/// What is above the table.
const EXPLAINED: &str = "Select a heading to sort. Brackets hold 95 % stratified-bootstrap intervals. Runs that never reach the threshold \
                         count as censored at their end; they are not left out.";

/// A page of these parts, by the names of their places; what is not among them stays empty.
pub(crate) fn page_of(parts: &[(&str, String)]) -> String {
    let colours = [("light", variables(&LIGHT)), ("dark", variables(&DARK))];
    fill(include_str!("page.html"), &[&colours[..], parts].concat())
}

/// Puts each part in its place in one pass, so that what a part holds is never taken for a place.
fn fill(template: &str, parts: &[(&str, String)]) -> String {
    let mut out = String::with_capacity(template.len() + parts.iter().map(|p| p.1.len()).sum::<usize>());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        out.push_str(before);
        let (name, after) = after.split_once("}}").unwrap_or((after, ""));
        if let Some((_, text)) = parts.iter().find(|(place, _)| *place == name) {
            out.push_str(text);
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// `x` in backticks, as in Markdown, becomes code.
fn code_spans(text: &str) -> String {
    let mut parts = text.split('`');
    let mut html = parts.next().unwrap_or_default().to_owned();
    while let Some(code) = parts.next() {
        let _ = write!(html, "<code>{code}</code>{}", parts.next().unwrap_or_default());
    }
    html
}

fn introduction(suite: &Suite, failed: &[(String, String)]) -> String {
    let mut text = String::new();
    for paragraph in suite.notes.split("\n\n").filter(|p| !p.trim().is_empty()) {
        let _ = write!(text, "<p>{}</p>", code_spans(&escape(paragraph.trim())));
    }
    for (run, error) in failed {
        let _ = write!(
            text,
            "<p class=\"failed\">{} failed and is missing below: {}</p>",
            escape(run),
            escape(error)
        );
    }
    text
}

/// The palette as CSS variables, which the charts use.
fn variables(colours: &[&str]) -> String {
    colours.iter().enumerate().map(|(i, colour)| format!("--c{i}:{colour};")).collect()
}

/// What the columns mean, for readers who cannot point at a heading.
pub(crate) fn meanings<'a>(headings: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    headings
        .map(|(name, meaning)| format!("<dt>{}</dt><dd>{}.</dd>", escape(name), escape(meaning)))
        .collect()
}

/// The heads of the table's columns: names and meanings.
pub(crate) fn headings<'a>(headings: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    headings
        .map(|(name, meaning)| {
            format!(
                "<th scope=\"col\" title=\"{}\"><button type=\"button\">{}</button></th>",
                escape(meaning),
                escape(name)
            )
        })
        .collect()
}

fn rows(table: &[Vec<Cell>]) -> String {
    let mut text = String::new();
    for row in table {
        text.push_str("<tr>");
        for (cell, (name, _)) in row.iter().zip(HEADINGS) {
            // On a phone every cell has its heading before it.
            let _ = write!(text, "<td data-name=\"{}\"", escape(name));
            match cell.key {
                // JavaScript reads "Infinity" as a number.
                Some(key) if key.is_infinite() => text.push_str(" data-key=\"Infinity\""),
                Some(key) => {
                    let _ = write!(text, " data-key=\"{key}\"");
                }
                None => {}
            }
            let _ = write!(text, ">{}</td>", escape(&cell.text));
        }
        text.push_str("</tr>");
    }
    text
}

/// What the numbers do not say.
fn remarks(analysis: &Analysis) -> String {
    if analysis.remarks.is_empty() {
        return String::new();
    }
    let mut text = "<ul class=\"remarks\">".to_owned();
    for remark in &analysis.remarks {
        let _ = write!(text, "<li>{}</li>", code_spans(&escape(remark)));
    }
    text.push_str("</ul>");
    text
}

/// What the scaled returns of several environments are measured by.
fn references(analysis: &Analysis) -> String {
    let rows = markdown::references(analysis);
    if rows.is_empty() {
        return String::new();
    }
    let mut text = "<div class=\"scroll\"><table><thead><tr>".to_owned();
    for heading in markdown::REFERENCES {
        let _ = write!(text, "<th>{}</th>", escape(heading));
    }
    text.push_str("</tr></thead><tbody>");
    for row in rows {
        text.push_str("<tr>");
        row.iter().for_each(|cell| {
            let _ = write!(text, "<td>{}</td>", escape(cell));
        });
        text.push_str("</tr>");
    }
    text.push_str("</tbody></table></div>");
    text
}

fn published(analysis: &Analysis, suite: &Suite) -> String {
    let found = markdown::published(analysis, suite);
    if found.is_empty() {
        return String::new();
    }
    let mut text = "<h2>Beside published figures</h2><div class=\"scroll\"><table><thead><tr>".to_owned();
    for heading in markdown::PUBLISHED {
        let _ = write!(text, "<th>{}</th>", escape(heading));
    }
    text.push_str("</tr></thead><tbody>");
    for row in found {
        text.push_str("<tr>");
        row.iter().for_each(|cell| {
            let _ = write!(text, "<td>{}</td>", escape(cell));
        });
        text.push_str("</tr>");
    }
    text.push_str("</tbody></table></div>");
    text
}

fn drawings(analysis: &Analysis, figures: &[Figure]) -> String {
    let mut text = String::new();
    let of = |env: Option<&str>| -> Vec<&Figure> {
        figures.iter().filter(|figure| figure.env.as_deref() == env).collect()
    };
    text.push_str(&self::figures("Over several environments", &references(analysis), &of(None)));
    for env in analysis.envs() {
        text.push_str(&self::figures(env, "", &of(Some(env))));
    }
    text
}

/// Figures under a heading; nothing without any.
pub(crate) fn figures(heading: &str, before: &str, of: &[&Figure]) -> String {
    if of.is_empty() {
        return String::new();
    }
    let mut text = format!("<h2>{}</h2>{before}<div class=\"figures\">", escape(heading));
    for figure in of {
        let _ = write!(
            text,
            "<figure id=\"{}\">{}<figcaption>{}</figcaption></figure>",
            figure.id,
            figure.chart.svg(Ink::Page),
            escape(&figure.caption)
        );
    }
    text.push_str("</div>");
    text
}

/// How it was made; `table` is the file of the table.
pub(crate) fn made(provenance: &Provenance, table: &str) -> String {
    format!(
        "<pre>{}</pre><p>relax-rl {}, commit {}, {} at a time on {}. Every figure as SVG, PNG and CSV lies in the folder \
         <code>figures</code>, the table in <code>{table}</code>, the runs themselves in <code>runs</code>.</p>",
        escape(&provenance.command),
        provenance.version,
        provenance.commit,
        if provenance.jobs == 1 { "one run".to_owned() } else { format!("{} runs", provenance.jobs) },
        escape(&provenance.machine)
    )
}

/// One block for each configuration: its runs differ in nothing but their seed.
fn settings(entries: &[Entry]) -> String {
    let mut text = String::new();
    for entry in entries {
        let seeds: Vec<String> = entry.runs.iter().map(|run| run.seed.to_string()).collect();
        let _ = write!(
            text,
            "<details><summary>{}, {}: seeds {}</summary>",
            escape(&entry.env),
            escape(&entry.name),
            seeds.join(", ")
        );
        match entry.runs.first().and_then(|run| run.config.as_deref()) {
            Some(config) => {
                let _ = write!(text, "<pre>{}</pre>", escape(config));
            }
            None => text.push_str("<p>Imported.</p>"),
        }
        text.push_str("</details>");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_put_in_once() {
        let parts = [("a", "{{b}}".to_owned()), ("b", "x".to_owned())];
        assert_eq!(fill("1 {{a}} 2 {{b}} 3 {{c}}", &parts), "1 {{b}} 2 x 3 ");
    }
}
