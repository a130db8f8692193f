//! `relax compare`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::args::{first_seed, whole};
use super::output;
use relax_lab::compare::{Analysis, Request};
use relax_lab::report::table;
use relax_lab::study::{self, CompareOptions};
use relax_runtime::Error;
use relax_runtime::signals::{INTERRUPTED, stop_on_signals};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  relax compare configs/cartpole-relax.toml configs/cartpole-a2c.toml --seeds 10 --out runs/pole
  relax compare configs/acrobot-a2c.toml --agents a2c,relax-a2c --budget 200000 --out runs/acrobot
  relax compare configs/suites/classic.toml
  relax compare --import sb3.csv configs/cartpole-a2c.toml --out runs/sb3

The same command continues a comparison that was interrupted or killed, and makes what is missing of \
one that was finished with fewer seeds. OUT holds report.html, results.csv, figures/ and runs/.

An imported table has the columns agent,env,seed,env_steps,return, one row a training episode, and if \
known wall_seconds, evaluation (the run's mean return after training) and evaluation_rule (greedy or \
sampled: how it chose actions), the same in all rows of a run. Returns after training are compared \
only where both sides were evaluated under the same rule; ours are greedy.")]
pub(super) struct CompareArgs {
    /// Configurations, or one suite (a TOML file with the key `configs`)
    #[arg(value_name = "CONFIG", required_unless_present = "import")]
    configs: Vec<PathBuf>,
    /// Run every configuration with each of these agents; of a suite, only these agents' configurations
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    agents: Vec<String>,
    /// Seeds of every configuration [default: the suite's, or 5]
    #[arg(long, value_name = "N", value_parser = whole::<u64>(1, 100_000), allow_negative_numbers = true)]
    seeds: Option<u64>,
    /// The first seed [default: the suite's, or 0]
    #[arg(long, value_name = "N", value_parser = first_seed, allow_negative_numbers = true)]
    first_seed: Option<u64>,
    /// Runs at a time [default: as many as there are cores]
    #[arg(long, value_name = "J", value_parser = whole::<u32>(1, 4096), allow_negative_numbers = true)]
    jobs: Option<u32>,
    /// Environment steps of every run [default: each configuration's own]
    #[arg(long, value_name = "STEPS", value_parser = whole::<u64>(1, 1 << 60), allow_negative_numbers = true)]
    budget: Option<u64>,
    /// Change one setting of every configuration, for example learner.gamma=0.98; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Another library's runs, a CSV file; may be repeated
    #[arg(long, value_name = "FILE.csv")]
    import: Vec<PathBuf>,
    /// The comparison's folder [default: the suite's, or runs/compare]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Show nothing but errors
    #[arg(long, short)]
    quiet: bool,
}

pub(super) fn run(args: &CompareArgs) -> Result<ExitCode, Error> {
    let request = Request {
        configs: args.configs.clone(),
        agents: args.agents.clone(),
        seeds: args.seeds,
        first_seed: args.first_seed,
        budget: args.budget,
        set: args.set.clone(),
    };
    let options = CompareOptions {
        out: args.out.clone(),
        jobs: args.jobs.map(|jobs| jobs as usize),
        maker: None,
        imports: args.import.clone(),
        quiet: args.quiet,
        stop: stop_on_signals()?,
        command: output::command_line(),
        commit: env!("RELAX_COMMIT"),
    };
    let compared = study::compare(&request, &options)?;
    let Some(analysis) = &compared.analysis else {
        output::note("interrupted; what was finished is kept\n  hint: the same command continues");
        return Ok(ExitCode::from(INTERRUPTED));
    };
    if !args.quiet {
        output::print(&text(analysis))?;
        for remark in &analysis.remarks {
            output::tell(&format!("note: {remark}\n"))?;
        }
        output::print(&format!("\n{}\n", compared.out.join("report.html").display()))?;
    }
    match compared.failed.as_slice() {
        [] => Ok(ExitCode::SUCCESS),
        [(run, error), ..] => Err(Error::runtime(format!(
            "{} of the runs failed and {} missing from the report; the first is {run}: {error}",
            compared.failed.len(),
            if compared.failed.len() == 1 { "is" } else { "are" }
        ))),
    }
}

/// The table, for a terminal.
fn text(analysis: &Analysis) -> String {
    let heading = ["environment", "agent", "runs", "return: IQM [95 %]", "E‖ĝ‖² : A2C", "solved", "episodes"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    for entry in &analysis.entries {
        let unknown = || "–".to_owned();
        let iqm =
            entry.evaluation.map_or_else(unknown, |found| table::spread(found.iqm, entry.scores.len(), 1));
        let solved = table::solved(analysis, entry).unwrap_or_else(unknown);
        let episodes = match entry.time_to.as_ref().map(|times| times[0]) {
            Some(time) => time.median.map_or_else(|| format!("> {:.0}", time.horizon), |m| format!("{m:.0}")),
            None => unknown(),
        };
        let ratio = match entry.ratio_of_sums {
            Some(ratio) if entry.has_ratio() => table::spread(ratio, entry.runs.len(), 3),
            Some(_) => "1".into(),
            None => unknown(),
        };
        let (env, name) = (entry.env.clone(), entry.name.clone());
        rows.push(vec![env, name, entry.runs.len().to_string(), iqm, ratio, solved, episodes]);
    }
    output::table(&rows, 2)
}
