//! `relax config`, `relax plot`, `relax completions`.

use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;

use super::args::{Cli, ConfigShowArgs, PlotArgs};
use super::output;
use crate::config::{Config, json_schema};
use crate::error::Error;

pub(super) fn config_show(args: &ConfigShowArgs) -> Result<ExitCode, Error> {
    let config = Config::load(&args.config, &args.set.set)?;
    output::print(&config.to_toml())?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn config_schema() -> Result<ExitCode, Error> {
    output::print(&format!("{:#}\n", json_schema()))?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn plot(args: &PlotArgs) -> Result<ExitCode, Error> {
    let extension = args.out.extension().unwrap_or_default().to_ascii_lowercase();
    if extension != "svg" && extension != "png" {
        return Err(Error::input(format!("--out {}: a plot is written as SVG or PNG", args.out.display()))
            .with_hint(format!("name it {}", args.out.with_extension("svg").display())));
    }
    crate::plot::plot(&args.dirs, &args.out)?;
    output::print(&format!("{}\n", args.out.display()))?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn completions(shell: Shell) -> Result<ExitCode, Error> {
    let mut command = Cli::command();
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    output::print(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}
