//! `relax sweep`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use relax_lab::sweep::{self, Plan, Score, SweepOptions, Swept};
use relax_runtime::Error;
use relax_runtime::signals::{INTERRUPTED, stop_on_signals};

use super::args::whole;
use super::{kinds, output};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  relax sweep acrobot.toml --out runs/acrobot-sweep
  relax train runs/acrobot-sweep/best.toml

The file is a configuration with a table [sweep] beside it:

  [sweep]
  trials = 40
  budgets = [20_000, 60_000, 180_000]      # environment steps on each rung [default: a ninth, a third and all of run.env_steps]
  seeds = [1, 2, 3]                        # runs of a trial on each rung
  keep = 3                                 # one trial in three goes on to the next rung
  [sweep.space]
  \"learner.learning_rate\" = { low = 1e-4, high = 1e-1, log = true }
  \"learner.value_epochs\" = { low = 1, high = 32, log = true }
  \"learner.lambda\" = [0.8, 0.9, 0.95, 1.0]

The same command continues a sweep that was interrupted or killed, with the same trials. OUT holds best.toml, trials.csv, \
report.html, figures/ and runs/.")]
pub(super) struct SweepArgs {
    /// The configuration with its table [sweep]
    config: PathBuf,
    /// Trials [default: the file's]
    #[arg(long, value_name = "N", value_parser = whole::<u64>(1, 1 << 60), allow_negative_numbers = true)]
    trials: Option<u64>,
    /// Runs at a time [default: as many as there are cores]
    #[arg(long, value_name = "J", value_parser = whole::<u32>(1, 4096), allow_negative_numbers = true)]
    jobs: Option<u32>,
    /// The sweep's folder [default: runs/sweep-NAME]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Show nothing but errors
    #[arg(long, short)]
    quiet: bool,
}

pub(super) fn run(args: &SweepArgs) -> Result<ExitCode, Error> {
    kinds::require_training(&args.config)?;
    let plan = Plan::load(&args.config, args.trials)?;
    let stem = args.config.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let out = args.out.clone().unwrap_or_else(|| PathBuf::from("runs").join(format!("sweep-{stem}")));
    if plan.start.is_none() && !args.quiet {
        output::note("note: what the file itself says lies outside of [sweep.space] and is not tried");
    }
    let options = SweepOptions {
        out: out.clone(),
        jobs: args.jobs.map(|jobs| jobs as usize),
        maker: None,
        quiet: args.quiet,
        stop: stop_on_signals()?,
        command: output::command_line(),
        commit: env!("RELAX_COMMIT"),
    };
    let swept = sweep::sweep(&plan, &options)?;
    if swept.interrupted {
        output::note("interrupted; what was finished is kept\n  hint: the same command continues");
        return Ok(ExitCode::from(INTERRUPTED));
    }
    let Some(best) = swept.best else {
        let why = swept.trials.iter().flat_map(|trial| &trial.scores).find_map(|score| match score {
            Score::Failed(why) => Some(why.as_str()),
            Score::Mean(_) => None,
        });
        return Err(Error::runtime(format!("every run failed; the first said: {}", why.unwrap_or_default())));
    };
    if !args.quiet {
        output::print(&text(&plan, &swept, best))?;
        output::print(&format!(
            "\n{}\n{}\n",
            out.join("best.toml").display(),
            out.join("report.html").display()
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The best trials, and what decided.
fn text(plan: &Plan, swept: &Swept, best: usize) -> String {
    let mut order: Vec<usize> = (0..swept.trials.len()).collect();
    let last = |at: usize| swept.trials[at].scores.last().and_then(Score::mean).unwrap_or(f64::NEG_INFINITY);
    let rungs = |at: usize| swept.trials[at].scores.len();
    order.sort_by(|&a, &b| rungs(b).cmp(&rungs(a)).then(last(b).total_cmp(&last(a))));
    order.sort_by_key(|&at| at != best);
    let mut text = format!("{:>5} {:>5} {:>10}  settings\n", "trial", "rungs", "return");
    for &at in order.iter().take(5) {
        let settings = plan.overrides(&swept.trials[at].values).join("  ");
        text.push_str(&format!("{at:>5} {:>5} {:>10.2}  {settings}\n", rungs(at), last(at)));
    }
    let decided: Vec<String> = swept
        .importance
        .iter()
        .take(5)
        .filter(|found| found.share > 0.0)
        .map(|found| format!("{} {:.0} %", found.key, 100.0 * found.share))
        .collect();
    if !decided.is_empty() {
        text.push_str(&format!("decided by  {}\n", decided.join(", ")));
    }
    text
}
