//! `relax config`, `relax plot`, `relax completions`.

use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;

use super::args::{Cli, ConfigShowArgs, PlotArgs};
use super::output;
use crate::config::{Config, json_schema, read_text, schema_of};
use crate::error::Error;
use crate::vae::{VaeConfig, is_vae_config};

pub(super) fn config_show(args: &ConfigShowArgs) -> Result<ExitCode, Error> {
    let text = if is_vae_config(&read_text(&args.config)?) {
        VaeConfig::load(&args.config, &args.set.set)?.to_toml()
    } else {
        Config::load(&args.config, &args.set.set)?.to_toml()
    };
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn config_schema(vae: bool) -> Result<ExitCode, Error> {
    let schema = if vae { schema_of::<VaeConfig>() } else { json_schema() };
    output::print(&format!("{schema:#}\n"))?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn plot(args: &PlotArgs) -> Result<ExitCode, Error> {
    let extension = args.out.extension().unwrap_or_default().to_ascii_lowercase();
    if extension != "svg" && extension != "png" {
        return Err(Error::input(format!("--out {}: a plot is written as SVG or PNG", args.out.display()))
            .with_hint(format!("name it {}", args.out.with_extension("svg").display())));
    }
    if args.dirs.iter().any(|dir| crate::vae::holds_vae_runs(dir)) {
        crate::vae::plot(&args.dirs, &args.out)?;
    } else {
        crate::plot::plot(&args.dirs, &args.out)?;
    }
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
