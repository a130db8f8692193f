//! `relax toy`.

use std::path::Path;
use std::process::ExitCode;

use super::args::ToyArgs;
use super::{out_folder, output};
use crate::error::Error;
use crate::files;
use crate::plot::png;
use crate::toy::{self, ToyConfig};

pub(super) fn toy(args: &ToyArgs) -> Result<ExitCode, Error> {
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
    let svg = toy::svg(&config, &runs, &relaxations)?;
    for name in ["toy.svg", "toy.png"] {
        png::write_figure(&svg, &folder.join(name))?;
    }
    output::print(&toy::table(&runs))?;
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
