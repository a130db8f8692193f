//! `relax resume`, of every kind of run.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use relax_lab::vae;
use relax_runtime::Error;
use relax_runtime::signals::stop_on_signals;
use relax_training::config::check_resume_overrides;
use relax_training::train;

use super::args::{SetArgs, whole, workers};
use super::{ending, out_folder};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  relax resume runs/cartpole-relax-s0-1
  relax resume runs/cartpole-relax-s0-1 --set run.env_steps=1_000_000

Interrupted and resumed gives the same numbers as uninterrupted. So only run.* (but not the \
seed) and rollout.workers can change. With another budget (run.env_steps) a falling learning \
rate (learner.anneal) follows the new budget's schedule from there on.")]
pub(super) struct ResumeArgs {
    /// The run folder
    dir: PathBuf,
    #[command(flatten)]
    set: SetArgs,
    /// Threads that gather experience; short for --set rollout.workers=N
    #[arg(long, value_name = "N", value_parser = whole::<u32>(0, 4_294_967_295), allow_negative_numbers = true)]
    workers: Option<u32>,
    /// Show nothing but errors
    #[arg(long, short)]
    quiet: bool,
}

pub(super) fn run(args: &ResumeArgs) -> Result<ExitCode, Error> {
    out_folder::require_run(&args.dir)?;
    if vae::is_vae_run(&args.dir) {
        return resume_vae(args);
    }
    let mut overrides = args.set.set.clone();
    overrides.extend(workers(args.workers));
    check_resume_overrides(&overrides)?;
    let stop = stop_on_signals()?;
    ending::report(&train::resume(&args.dir, &overrides, args.quiet, &stop)?, args.quiet)
}

fn resume_vae(args: &ResumeArgs) -> Result<ExitCode, Error> {
    if args.workers.is_some() {
        return Err(Error::input("--workers: a run of `relax vae` gathers no experience")
            .with_hint("leave it out; it trains on one thread"));
    }
    vae::check_vae_resume_overrides(&args.set.set)?;
    let stop = stop_on_signals()?;
    super::vae::report(&vae::resume(&args.dir, &args.set.set, args.quiet, &stop)?, args.quiet)
}
