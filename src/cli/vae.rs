//! `relax vae`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use relax_lab::vae::{self, Bound, VaeConfig, VaeOutcome, VaeSummary};
use relax_runtime::Error;
use relax_runtime::run::TrainOptions;
use relax_runtime::signals::{INTERRUPTED, stop_on_signals};

use super::args::{SetArgs, seed, whole};
use super::{kinds, out_folder, output};

#[derive(Debug, Args)]
#[command(after_help = VAE_EXAMPLES)]
pub(super) struct VaeArgs {
    /// The configuration, a TOML file (see `configs/vae/`)
    config: PathBuf,
    #[command(flatten)]
    set: SetArgs,
    /// The run's seed; short for --set run.seed=N
    #[arg(long, value_name = "N", value_parser = seed, allow_negative_numbers = true)]
    seed: Option<u64>,
    /// The folder with the images; short for --set data.folder=DIR [default: data/mnist or data/omniglot]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The run folder [default: a fresh one under runs/]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Threads that share each iteration, to the same numbers; more than one pays for large models only; short for --set run.threads=N
    #[arg(long, value_name = "N", value_parser = whole::<u16>(1, 256), allow_negative_numbers = true)]
    threads: Option<u16>,
    /// Show nothing but errors
    #[arg(long, short)]
    quiet: bool,
}

const VAE_EXAMPLES: &str = "\
Examples:
  relax vae configs/vae/mnist-linear1.toml
  relax vae configs/vae/mnist-linear2.toml --set estimator.method=rebar --set run.iterations=1e5
  relax vae configs/vae/omniglot-linear1.toml --data ~/omniglot

The run folder holds config.toml (all settings), metrics.csv, evaluations.csv, summary.json, \
curves.png, samples.png, reconstructions.png, TensorBoard events and a checkpoint. Ctrl-C saves the state; \
`relax resume DIR` continues as if nothing had happened. `relax config schema --vae` explains \
every key.";

pub(super) fn run(args: &VaeArgs) -> Result<ExitCode, Error> {
    let mut overrides = args.set.set.clone();
    overrides.extend(args.seed.map(|seed| format!("run.seed={seed}")));
    overrides.extend(args.threads.map(|threads| format!("run.threads={threads}")));
    kinds::require_vae(&args.config)?;
    let config = with_data(VaeConfig::load(&args.config, &overrides)?, args.data.as_deref());
    let out = out_folder::prepare(args.out.as_deref(), &stem(&args.config, &config))?;
    let options = TrainOptions { out: out.clone(), quiet: args.quiet, stop: stop_on_signals()? };
    let outcome = vae::train(&config, &options).inspect_err(|_| out_folder::discard_if_empty(&out))?;
    report(&outcome, args.quiet)
}

/// The configuration with `--data`, if that was given.
pub(super) fn with_data(mut config: VaeConfig, folder: Option<&Path>) -> VaeConfig {
    if let Some(folder) = folder {
        config.data.folder = Some(folder.to_owned());
    }
    config
}

/// `mnist-linear1-s0`; with the method's name in between if the command line chose another than the file.
fn stem(path: &Path, config: &VaeConfig) -> String {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let in_file = VaeConfig::load(path, &[]).map(|file| file.estimator.method);
    let method = match in_file {
        Ok(method) if method == config.estimator.method => String::new(),
        _ => format!("-{}", config.estimator.method),
    };
    format!("{name}{method}-s{}", config.run.seed)
}

/// Says how the run ended.
pub(super) fn report(outcome: &VaeOutcome, quiet: bool) -> Result<ExitCode, Error> {
    let dir = outcome.dir.display();
    if outcome.interrupted {
        output::note(&format!(
            "interrupted after {} iterations; the state is saved\n  hint: `relax resume {dir}` continues the run",
            outcome.summary.iterations
        ));
        return Ok(ExitCode::from(INTERRUPTED));
    }
    if !quiet {
        output::tell(&format!("{}run folder   {dir}\n", lines(&outcome.summary)))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn lines(summary: &VaeSummary) -> String {
    let mut text = format!(
        "trained      {} iterations at {:.0} iterations/s; {:.2} s in all, with evaluations\n",
        summary.iterations, summary.iterations_per_second, summary.wall_seconds
    );
    let mut line = |name: &str, bound: &Option<Bound>, what: &str| {
        if let Some(bound) = bound {
            text.push_str(&format!(
                "{name:<12} {:.2} nats {what} of {} images (± {:.2} between images)\n",
                bound.mean, bound.images, bound.standard_error
            ));
        }
    };
    line("train", &summary.train, "ELBO");
    line("validation", &summary.validation, "ELBO");
    line("test", &summary.test, "ELBO");
    let weighted = format!("bound of {} samples", summary.importance_samples);
    line("validation", &summary.validation_importance, &weighted);
    line("test", &summary.test_importance, &weighted);
    if let Some(layers) = &summary.log_variance {
        let layers: Vec<String> = layers.iter().map(|value| format!("{value:.2}")).collect();
        text.push_str(&format!("log-variance {} (encoder gradient, by layer)\n", layers.join(", ")));
    }
    text
}
