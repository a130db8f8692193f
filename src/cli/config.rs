//! `relax config show|schema`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use relax_lab::vae::{VaeConfig, is_vae_config};
use relax_runtime::Error;
use relax_runtime::config::{read_text, schema_of};
use relax_training::config::{Config, json_schema};

use super::args::SetArgs;
use super::output;

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Print a configuration with every default and --set filled in
    #[command(after_help = "\
Example:
  relax config show configs/cartpole-relax.toml --set learner.gamma=0.98 > mine.toml")]
    Show(ConfigShowArgs),
    /// Print the JSON schema of configurations: every key, its meaning, type and default
    Schema {
        /// Of the configurations of `relax vae`
        #[arg(long)]
        vae: bool,
        /// Of the configurations of this agent; without it, the keys of all agents
        #[arg(long, value_name = "KIND", conflicts_with = "vae")]
        agent: Option<String>,
    },
}

#[derive(Debug, Args)]
pub(super) struct ConfigShowArgs {
    /// The configuration, a TOML file
    config: PathBuf,
    #[command(flatten)]
    set: SetArgs,
}

pub(super) fn run(command: &ConfigCommand) -> Result<ExitCode, Error> {
    match command {
        ConfigCommand::Show(args) => show(args),
        ConfigCommand::Schema { vae, agent } => schema(*vae, agent.as_deref()),
    }
}

fn show(args: &ConfigShowArgs) -> Result<ExitCode, Error> {
    let text = if is_vae_config(&read_text(&args.config)?) {
        VaeConfig::load(&args.config, &args.set.set)?.to_toml()
    } else {
        Config::load(&args.config, &args.set.set)?.to_toml()
    };
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn schema(vae: bool, agent: Option<&str>) -> Result<ExitCode, Error> {
    let schema = if vae { schema_of::<VaeConfig>() } else { json_schema(agent)? };
    output::print(&format!("{schema:#}\n"))?;
    Ok(ExitCode::SUCCESS)
}
