//! `relax train`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use relax_runtime::Error;
use relax_runtime::run::TrainOptions;
use relax_runtime::signals::stop_on_signals;
use relax_training::{Config, train};

use super::args::{SetArgs, seed, workers};
use super::{ending, envs, greeting, kinds, out_folder, output};

#[derive(Debug, Args)]
#[command(after_help = TRAIN_EXAMPLES)]
pub(super) struct TrainArgs {
    /// The configuration, a TOML file (see `configs/`)
    config: PathBuf,
    #[command(flatten)]
    set: SetArgs,
    /// The run's seed; short for --set run.seed=N
    #[arg(long, value_name = "N", value_parser = seed, allow_negative_numbers = true)]
    seed: Option<u64>,
    /// The run folder [default: a fresh one under runs/]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Threads that gather experience, 0 for none but the main one; short for --set rollout.workers=N
    #[arg(long, value_name = "N")]
    workers: Option<u32>,
    /// Show nothing but errors
    #[arg(long, short)]
    quiet: bool,
}

const TRAIN_EXAMPLES: &str = "\
Examples:
  relax train configs/cartpole-relax.toml
  relax train configs/cartpole-relax.toml --seed 7 --out runs/try --set agent.hidden='[32, 32]'
  relax train configs/cartpole-relax.toml --set agent.kind=a2c --set run.env_steps=1e6

The run folder holds config.toml (all settings), metrics.csv, episodes.csv, summary.json,
TensorBoard events, and the checkpoints `latest` and `best`. Ctrl-C saves the state;
`relax resume DIR` continues as if nothing had happened. `relax config schema` explains every key.";

pub(super) fn run(args: &TrainArgs) -> Result<ExitCode, Error> {
    let mut overrides = args.set.set.clone();
    overrides.extend(args.seed.map(|seed| format!("run.seed={seed}")));
    overrides.extend(workers(args.workers));
    kinds::require_training(&args.config)?;
    let (config, notes) = Config::load_noting(&args.config, &overrides)?;
    notes.iter().for_each(|note| eprintln!("note: {note}"));
    relax_envs::spec(&config.env.id).map_err(|error| {
        let refused = Error::input(format!("{}: {error}", args.config.display()));
        if config.env.is_python() { refused } else { refused.with_hint(envs::hint(&config.env.id)) }
    })?;
    super::python::name_python(args.quiet);
    let out = out_folder::prepare(args.out.as_deref(), &out_folder::stem(&args.config, &config))?;
    if !args.quiet {
        output::note(&greeting::text(&config, &args.config, &overrides, &out));
    }
    let options = TrainOptions { out: out.clone(), quiet: args.quiet, stop: stop_on_signals()? };
    let outcome = train::train(&config, &options).inspect_err(|_| out_folder::discard_if_empty(&out))?;
    ending::report(&outcome, args.quiet)
}
