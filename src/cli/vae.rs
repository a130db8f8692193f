//! `relax vae`, and resuming its runs.

use std::path::Path;
use std::process::ExitCode;

use super::args::{ResumeArgs, VaeArgs, VaeSweepArgs, VaeVarianceArgs};
use super::training::{INTERRUPTED, require_run_folder, stop_on_signals};
use super::{out_folder, output};
use crate::error::Error;
use crate::files;
use crate::train::TrainOptions;
use crate::vae::{
    self, Bound, SweepOptions, VaeConfig, VaeOutcome, VaeSummary, VarianceOptions, VarianceRow,
};

pub(super) fn train(args: &VaeArgs) -> Result<ExitCode, Error> {
    let mut overrides = args.set.set.clone();
    overrides.extend(args.seed.map(|seed| format!("run.seed={seed}")));
    overrides.extend(args.threads.map(|threads| format!("run.threads={threads}")));
    let config = with_data(VaeConfig::load(&args.config, &overrides)?, args.data.as_deref());
    let out = out_folder::prepare(args.out.as_deref(), &stem(&args.config, &config))?;
    let options = TrainOptions { out: out.clone(), quiet: args.quiet, stop: stop_on_signals()? };
    let outcome = vae::train(&config, &options).inspect_err(|_| out_folder::discard_if_empty(&out))?;
    report(&outcome, args.quiet)
}

pub(super) fn resume(args: &ResumeArgs) -> Result<ExitCode, Error> {
    if args.workers.is_some() {
        return Err(Error::input("--workers: a run of `relax vae` gathers no experience")
            .with_hint("leave it out; it trains on one thread"));
    }
    vae::check_vae_resume_overrides(&args.set.set)?;
    let stop = stop_on_signals()?;
    report(&vae::resume(&args.dir, &args.set.set, args.quiet, &stop)?, args.quiet)
}

pub(super) fn sweep(args: &VaeSweepArgs) -> Result<ExitCode, Error> {
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

pub(super) fn variance(args: &VaeVarianceArgs) -> Result<ExitCode, Error> {
    require_run_folder(&args.dir)?;
    if !vae::is_vae_run(&args.dir) {
        let message = format!("{} is not a run of `relax vae`", args.dir.display());
        return Err(Error::input(message).with_hint("give a folder made by `relax vae`"));
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

/// The configuration with `--data`, if that was given.
fn with_data(mut config: VaeConfig, folder: Option<&Path>) -> VaeConfig {
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
fn report(outcome: &VaeOutcome, quiet: bool) -> Result<ExitCode, Error> {
    let dir = outcome.dir.display();
    if outcome.interrupted {
        output::note(&format!(
            "interrupted after {} iterations; the state is saved\n  hint: `relax resume {dir}` continues the run",
            outcome.summary.iterations
        ));
        return Ok(ExitCode::from(INTERRUPTED));
    }
    if !quiet {
        output::print(&format!("{}run folder   {dir}\n", lines(&outcome.summary)))?;
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
