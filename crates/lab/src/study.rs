//! A whole comparison: its runs made or continued, analysed and reported.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use relax_runtime::Error;
use relax_runtime::terminal::note;

use crate::compare::jobs::{How, Maker};
use crate::compare::{Analysis, Plan, Request, RunData, import, jobs};
use crate::report::{self, Provenance};

/// Where and how to compare.
#[derive(Debug, Clone, Default)]
pub struct CompareOptions {
    /// The comparison's folder; none for the suite's, or `runs/compare`.
    pub out: Option<PathBuf>,
    /// Runs at a time; none for as many as the machine has cores.
    pub jobs: Option<usize>,
    /// Who makes the runs; none for this process.
    pub maker: Option<Arc<dyn Maker>>,
    /// Tables of other libraries' runs.
    pub imports: Vec<PathBuf>,
    /// Show nothing while running.
    pub quiet: bool,
    /// Once set, the runs under way are saved and the comparison ends; the same call continues it.
    pub stop: Arc<AtomicBool>,
    /// The command to print in the report.
    pub command: String,
    /// The commit that the program was built from; empty if it is not known.
    pub commit: &'static str,
}

/// What a comparison came to.
#[derive(Debug)]
pub struct Compared {
    /// Its folder.
    pub out: PathBuf,
    /// The results; none if it was interrupted.
    pub analysis: Option<Analysis>,
    /// Runs that failed, with their errors. They are missing from the results.
    pub failed: Vec<(String, String)>,
}

/// Makes or continues the runs of `request`, and writes the report.
///
/// # Errors
/// If a configuration or an imported table is wrong, or a file cannot be written. What was finished stays.
pub fn compare(request: &Request, options: &CompareOptions) -> Result<Compared, Error> {
    let plan = Plan::new(request)?;
    if !options.quiet {
        plan.notes.iter().for_each(|text| note(&format!("note: {text}")));
    }
    // What the user may have got wrong comes before the work.
    let imported: Vec<RunData> =
        options.imports.iter().map(|path| import(path)).collect::<Result<Vec<_>, _>>()?.concat();
    if let Some(run) = imported.iter().find(|run| plan.has(run)) {
        let message = format!("the imported agent {} has the name of a configuration", run.label);
        return Err(
            Error::input(message).with_hint("give it another name in its table, such as its library's")
        );
    }
    if plan.jobs.is_empty() && imported.is_empty() {
        return Err(Error::input("there is nothing to compare")
            .with_hint("name configurations, a suite, or a table with --import"));
    }
    let out = options.out.clone().or_else(|| plan.suite.out.clone()).unwrap_or_else(|| "runs/compare".into());
    let folder = out.join("runs");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = options.jobs.unwrap_or(cores);
    let how = How { threads, maker: options.maker.as_deref(), quiet: options.quiet, stop: &options.stop };
    let made = jobs::make(&plan.jobs, &folder, how)?;
    if made.interrupted {
        return Ok(Compared { out, analysis: None, failed: made.failed });
    }
    let mut runs = Vec::new();
    for job in &plan.jobs {
        if !made.failed.iter().any(|(name, _)| *name == job.folder) {
            runs.push(RunData::load(&job.label, &folder.join(&job.folder))?);
        }
    }
    runs.extend(imported);
    let analysis = Analysis::new(runs, &plan.suite)?;
    let provenance = Provenance::new(options.command.clone(), options.commit, threads);
    report::write(&out, &analysis, &plan.suite, &provenance, &made.failed)?;
    Ok(Compared { out, analysis: Some(analysis), failed: made.failed })
}
