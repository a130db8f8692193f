//! `relax toy`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use relax_lab::chart::png;
use relax_lab::toy::{self, ToyConfig};
use relax_runtime::{Error, files};

use super::args::{first_seed, whole};
use super::{out_folder, output};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  relax toy
  relax toy --estimator relax,rebar --target 0.45 --steps 5000 --out toy45

Minimises E[(b - t)^2] over b ~ Bernoulli(theta), one sample a step. Writes toy.csv (theta, loss and \
log-variance of every run), relaxation.csv (the learned control variates at theta = 1/2), toy.svg and \
toy.png, and prints a table. Learning rates and networks are those of docs/estimators.md.")]
pub(super) struct ToyArgs {
    /// Which estimators, separated by commas; may be repeated [default: all but the coupled ones]
    #[arg(long, short, value_name = "NAME", value_delimiter = ',')]
    estimator: Vec<relax_estimators::Estimator>,
    /// t, between 0 and 1
    #[arg(long, value_name = "T", default_value_t = 0.499)]
    target: f64,
    /// Steps of each run
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = whole::<u64>(1, 100_000_000), allow_negative_numbers = true)]
    steps: u64,
    /// Runs of each estimator
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = whole::<u64>(1, 100_000), allow_negative_numbers = true)]
    seeds: u64,
    /// Seed of the first run; the others follow it
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = first_seed, allow_negative_numbers = true)]
    first_seed: u64,
    /// Step size of Adam, for theta and for what an estimator learns
    #[arg(long, value_name = "RATE", default_value_t = 0.01)]
    learning_rate: f64,
    /// The folder to write to [default: a fresh one under runs/]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub(super) fn run(args: &ToyArgs) -> Result<ExitCode, Error> {
    let defaults = ToyConfig::default();
    let config = ToyConfig {
        estimators: if args.estimator.is_empty() { defaults.estimators } else { unique(&args.estimator) },
        target: args.target,
        steps: args.steps,
        seeds: args.seeds,
        first_seed: args.first_seed,
        learning_rate: args.learning_rate,
    };
    config.validate()?;
    let folder = out_folder::prepare(args.out.as_deref(), &format!("toy-t{}", config.target))?;
    let mut runs = Vec::new();
    for &estimator in &config.estimators {
        for seed in config.first_seed..config.first_seed + config.seeds {
            runs.push(toy::run(&config, estimator, seed)?);
        }
    }
    let relaxations = toy::relaxations(&config)?;
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        files::write_atomically(&path, text.as_bytes()).map_err(|source| Error::io("write", &path, source))
    };
    write("toy.csv", &toy::runs_csv(&runs))?;
    write("relaxation.csv", &toy::relaxation_csv(&relaxations))?;
    let svg = toy::svg(&config, &runs, &relaxations);
    for name in ["toy.svg", "toy.png"] {
        png::write_figure(&svg, &folder.join(name))?;
    }
    output::print(&output::table(&toy::table(&runs), 1))?;
    output::note(&format!("{}: toy.csv, relaxation.csv, toy.svg, toy.png", shown(&folder)));
    Ok(ExitCode::SUCCESS)
}

fn unique<T: Copy + PartialEq>(all: &[T]) -> Vec<T> {
    let mut found = Vec::new();
    for &one in all {
        if !found.contains(&one) {
            found.push(one);
        }
    }
    found
}

fn shown(folder: &Path) -> String {
    folder.display().to_string()
}
