//! `relax vae-variance`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use relax_estimators::{Estimator, EstimatorError};
use relax_lab::vae::{self, VarianceOptions, VarianceRow};
use relax_latent::vae::METHODS;
use relax_runtime::signals::{INTERRUPTED, stop_on_signals};
use relax_runtime::{Error, files};

use super::args::{SetArgs, whole};
use super::{out_folder, output};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  relax vae-variance runs/mnist-linear1-s0-1 --jobs 2
  relax vae-variance runs/mnist-linear1-s0-1 --methods rebar,relaxed-rebar --fit 20000

The run's model is frozen. Each estimator's control variate is fitted to it for --fit iterations, the \
same minibatches for all; then the variance of its encoder gradient is estimated, --repetitions times \
from --draws gradients. Shown is the logarithm of the variance, averaged over the weights of each \
layer's encoder: mean over repetitions ± standard error.")]
pub(super) struct VaeVarianceArgs {
    /// The run folder
    dir: PathBuf,
    /// The estimators
    #[arg(
        long,
        value_name = "NAME,…",
        value_delimiter = ',',
        default_value = "nvil,muprop,rebar,relax,relaxed-rebar,disarm,leave-one-out",
        value_parser = auto_encoders_estimator
    )]
    methods: Vec<Estimator>,
    /// Iterations that fit each control variate
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = whole::<u64>(0, 1 << 60), allow_negative_numbers = true)]
    fit: u64,
    /// Gradients per sample variance
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = whole::<u32>(2, 1_000_000), allow_negative_numbers = true)]
    draws: u32,
    /// Sample variances per estimator
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = whole::<u32>(2, 1_000_000), allow_negative_numbers = true)]
    repetitions: u32,
    #[command(flatten)]
    set: SetArgs,
    /// The folder with the images, if it is not where it was
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Estimators at a time, each on one thread
    #[arg(long, short, value_name = "N", default_value_t = 1, value_parser = whole::<u16>(1, 65_535), allow_negative_numbers = true)]
    jobs: u16,
    /// The CSV file to write [default: variance.csv in the run folder]
    #[arg(long, value_name = "FILE.csv")]
    out: Option<PathBuf>,
    /// Show nothing but errors and the table
    #[arg(long, short)]
    quiet: bool,
}

pub(super) fn run(args: &VaeVarianceArgs) -> Result<ExitCode, Error> {
    out_folder::require_run(&args.dir)?;
    if !vae::is_vae_run(&args.dir) {
        let message = format!("{} is not a run of `relax vae`", args.dir.display());
        return Err(Error::input(message).with_hint("give a folder made by `relax vae`"));
    }
    if let Some(file) = &args.out {
        out_folder::require_file("--out", file)?;
    }
    let mut overrides = args.set.set.clone();
    // As a TOML string, whatever the path holds.
    overrides.extend(
        args.data.as_ref().map(|dir| format!("data.folder={}", toml::Value::from(dir.display().to_string()))),
    );
    let options = VarianceOptions {
        methods: args.methods.clone(),
        fit: args.fit,
        draws: args.draws as usize,
        repetitions: args.repetitions.into(),
        overrides,
        jobs: args.jobs.into(),
    };
    let found = |row: &VarianceRow| {
        if !args.quiet {
            let layers: Vec<String> = row.fresh.iter().map(|layer| format!("{:.2}", layer.mean)).collect();
            output::note(&format!("{}: {}", row.method, layers.join(", ")));
        }
    };
    let stop = stop_on_signals()?;
    let Some(rows) = vae::variance(&args.dir, &options, &stop, &found)? else {
        output::note("interrupted; nothing was written");
        return Ok(ExitCode::from(INTERRUPTED));
    };
    let out = args.out.clone().unwrap_or_else(|| args.dir.join("variance.csv"));
    files::write_atomically(&out, vae::variance_csv(&rows).as_bytes())
        .map_err(|source| Error::io("write", &out, source))?;
    output::print(&format!("{}\n{}\n", vae::variance_markdown(&rows), out.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// One of the estimators that train auto-encoders.
fn auto_encoders_estimator(name: &str) -> Result<Estimator, String> {
    let estimator: Estimator = name.parse().map_err(|error: EstimatorError| error.to_string())?;
    match METHODS.contains(&estimator) {
        true => Ok(estimator),
        false => Err(format!(
            "{estimator} does not train auto-encoders; there are {}",
            METHODS.map(Estimator::name).join(", ")
        )),
    }
}
