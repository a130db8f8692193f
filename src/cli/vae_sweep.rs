//! `relax vae-sweep`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use relax_lab::vae::{self, SweepOptions, VaeConfig};
use relax_runtime::Error;
use relax_runtime::signals::{INTERRUPTED, stop_on_signals};

use super::args::{SetArgs, whole};
use super::output;
use super::vae::with_data;

#[derive(Debug, Args)]
#[command(after_help = VAE_SWEEP_EXAMPLES)]
pub(super) struct VaeSweepArgs {
    /// The configuration, a TOML file; its section [sweep] says what is compared
    config: PathBuf,
    #[command(flatten)]
    set: SetArgs,
    /// Runs at a time, each on one thread
    #[arg(long, short, value_name = "N", default_value_t = 1, value_parser = whole::<u16>(1, 65_535), allow_negative_numbers = true)]
    jobs: u16,
    /// The folder with the images; short for --set data.folder=DIR [default: data/mnist or data/omniglot]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The sweep's folder [default: runs/NAME-sweep, NAME being the configuration's]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Show nothing but errors and the final tables
    #[arg(long, short)]
    quiet: bool,
}

const VAE_SWEEP_EXAMPLES: &str = "\
Examples:
  relax vae-sweep configs/vae/mnist-linear1.toml --jobs 2
  relax vae-sweep configs/vae/mnist-linear2.toml --set sweep.methods='[\"rebar\", \"disarm\"]' --set sweep.seeds='[0]'

Every estimator is tried at every learning rate with the tuning seed; the rate with the best \
final validation bound is run with every seed. However a sweep ends, the same command goes on \
with it: finished runs are kept, interrupted ones continued. The folder holds table.md, \
table.csv, runs.csv and the run folders, and is up to date after every run.";

pub(super) fn run(args: &VaeSweepArgs) -> Result<ExitCode, Error> {
    let config = with_data(VaeConfig::load(&args.config, &args.set.set)?, args.data.as_deref());
    let name = args.config.file_stem().unwrap_or_default().to_string_lossy();
    // Not a fresh folder each time, so that the same command goes on with the sweep.
    let out = args.out.clone().unwrap_or_else(|| Path::new("runs").join(format!("{name}-sweep")));
    let stop = stop_on_signals()?;
    let options = SweepOptions { out: out.clone(), jobs: args.jobs.into(), quiet: args.quiet, stop };
    let outcome = vae::sweep(&config, &options)?;
    if outcome.interrupted {
        output::note(
            "interrupted; every run's state is saved\n  hint: the same command goes on with the sweep",
        );
        return Ok(ExitCode::from(INTERRUPTED));
    }
    output::print(&format!("{}\nsweep folder  {}\n", outcome.table.markdown(), out.display()))?;
    Ok(ExitCode::SUCCESS)
}
