//! The report of a comparison: one `report.html` that needs nothing else, every figure as SVG, PNG and CSV, the table as
//! CSV, and if wanted the same as Markdown.

mod figures;
pub(crate) mod html;
mod markdown;
pub mod table;

use std::path::Path;

pub use figures::Figure;

use crate::compare::Analysis;
use crate::compare::plan::Suite;
use relax_runtime::Error;
use relax_runtime::files;

use crate::chart::{Ink, png};

/// Where results come from.
#[derive(Debug, Clone, PartialEq)]
pub struct Provenance {
    /// The command that made them.
    pub command: String,
    /// Runs at a time.
    pub jobs: usize,
    /// Commit of the program, or "unknown".
    pub commit: &'static str,
    /// Version of the program.
    pub version: &'static str,
    /// Processor and cores.
    pub machine: String,
}

impl Provenance {
    /// That of this program, built from `commit` (empty if unknown), on this machine.
    #[must_use]
    pub fn new(command: String, commit: &'static str, jobs: usize) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let cpu = std::fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
            let line = text.lines().find(|line| line.starts_with("model name"))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        });
        let cpu = cpu.unwrap_or_else(|| std::env::consts::ARCH.to_owned());
        let plural = if cores == 1 { "" } else { "s" };
        Self {
            command,
            jobs,
            commit: if commit.is_empty() { "unknown" } else { commit },
            version: env!("CARGO_PKG_VERSION"),
            machine: format!("{cpu}, {cores} core{plural}, {}", std::env::consts::OS),
        }
    }
}

/// Writes the report of `analysis` into the folder `out`; runs in `failed` are named in it.
///
/// # Errors
/// If the file system refuses. Each file is then either the old or the new one.
pub fn write(
    out: &Path,
    analysis: &Analysis,
    suite: &Suite,
    provenance: &Provenance,
    failed: &[(String, String)],
) -> Result<(), Error> {
    let figures = figures::all(analysis);
    let folder = out.join("figures");
    write_figures(&figures, &folder)?;
    let table = table::rows(analysis);
    let write = |name: &str, text: &str| {
        let path = out.join(name);
        files::write_atomically(&path, text.as_bytes()).map_err(|source| Error::io("write", path, source))
    };
    write("results.csv", &table::csv(analysis)?)?;
    write("report.html", &html::page(analysis, suite, provenance, &figures, &table, failed))?;
    if let Some(path) = &suite.markdown {
        markdown::write(path, analysis, suite, provenance, &figures, failed)?;
    }
    Ok(())
}

/// Writes every figure as SVG, PNG and CSV.
///
/// # Errors
/// If the file system refuses.
pub fn write_figures(figures: &[Figure], folder: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(folder).map_err(|source| Error::io("create", folder, source))?;
    for figure in figures {
        let svg = figure.chart.svg(Ink::Alone);
        for extension in ["svg", "png"] {
            png::write_figure(&svg, &folder.join(format!("{}.{extension}", figure.id)))?;
        }
        let path = folder.join(format!("{}.csv", figure.id));
        files::write_atomically(&path, figure.csv.as_bytes())
            .map_err(|source| Error::io("write", &path, source))?;
    }
    Ok(())
}
