//! The command line. A program that registers its own environment calls [`main`] and has all of it.
//!
//! ```no_run
//! fn main() -> std::process::ExitCode {
//!     // relax_envs::register(…) comes first.
//!     relax_rl::cli::main()
//! }
//! ```

mod agents;
mod args;
mod certify;
mod compare;
mod completions;
mod config;
mod ending;
mod envs;
mod eval;
mod export;
mod greeting;
mod kinds;
mod out_folder;
mod output;
mod plot;
mod python;
mod resume;
mod sweep;
mod toy;
mod train;
mod vae;
mod vae_sweep;
mod vae_variance;
mod variance;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;
use relax_runtime::Error;

/// Train reinforcement-learning agents with learned control variates.
#[derive(Debug, Parser)]
#[command(name = "relax", version, propagate_version = true, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// The Python of `gym:` environments [default: RELAX_PYTHON, VIRTUAL_ENV, python3]
    #[arg(long, global = true, value_name = "PATH")]
    python: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  relax train --env CartPole-v1
  relax train configs/cartpole-relax.toml
  relax train configs/cartpole-relax.toml --seed 3 --set learner.learning_rate=5e-4
  relax eval runs/cartpole-relax-s0-1 --render cartpole.gif
  relax resume runs/cartpole-relax-s0-1
  relax plot runs --out curves.svg

Exit codes: 0 done, 1 failed while running, 2 bad input,
130 interrupted (Ctrl-C, SIGTERM or SIGHUP) after saving the state.
A second signal ends the program at once, with 1 and without saving.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Train an agent as a configuration file says
    Train(train::TrainArgs),
    /// Continue an interrupted run, or train a finished one for longer
    Resume(resume::ResumeArgs),
    /// Let a trained agent play, and report its returns
    Eval(eval::EvalArgs),
    /// Write a trained policy as ONNX, safetensors or JSON, for others to run
    Export(export::ExportArgs),
    /// Train a binary latent-variable model as a configuration file says
    Vae(vae::VaeArgs),
    /// Compare estimators on a latent-variable model, over learning rates and seeds
    VaeSweep(vae_sweep::VaeSweepArgs),
    /// Measure the variance of estimators' gradients at the weights of a `relax vae` run
    VaeVariance(vae_variance::VaeVarianceArgs),
    /// List, show or check environments
    Envs {
        #[command(subcommand)]
        command: envs::EnvsCommand,
    },
    /// List agents
    Agents,
    /// Show a configuration with all its defaults, or the schema of all keys
    Config {
        #[command(subcommand)]
        command: config::ConfigCommand,
    },
    /// Draw learning curves of run folders as SVG or PNG
    Plot(plot::PlotArgs),
    /// Compare gradient estimators on one Bernoulli variable
    Toy(toy::ToyArgs),
    /// Run configurations with several seeds and write a report with intervals, curves and tests
    Compare(compare::CompareArgs),
    /// Search the settings of a configuration that do best
    Sweep(sweep::SweepArgs),
    /// Test that every estimator and agent is unbiased, or that a known mistake is found out
    Certify(certify::CertifyArgs),
    /// Split a policy gradient's variance by states, actions and the rest of the trajectory
    Variance(variance::VarianceArgs),
    /// Print a completion script for a shell
    #[command(
        after_help = "Example:\n  relax completions bash > ~/.local/share/bash-completion/completions/relax"
    )]
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// Runs the program's arguments and returns its exit code: 0 done, 1 failed while running, 2 bad input, 130 interrupted.
#[must_use]
pub fn main() -> ExitCode {
    run(std::env::args_os())
}

/// Runs `arguments`, the program's name first.
#[must_use]
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let matches = Cli::command().term_width(output::help_columns()).try_get_matches_from(arguments);
    let cli = match matches.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => {
            // `--help` and `--version` come this way too, for standard output and with exit code 0.
            output::refusal(&error);
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let outcome = python::use_python(cli.python.as_deref()).and_then(|()| dispatch(&cli.command));
    match outcome {
        Ok(code) => code,
        Err(error) => {
            output::error(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

fn dispatch(command: &Command) -> Result<ExitCode, Error> {
    match command {
        Command::Train(args) => train::run(args),
        Command::Resume(args) => resume::run(args),
        Command::Vae(args) => vae::run(args),
        Command::VaeSweep(args) => vae_sweep::run(args),
        Command::VaeVariance(args) => vae_variance::run(args),
        Command::Eval(args) => eval::run(args),
        Command::Export(args) => export::run(args),
        Command::Envs { command } => envs::run(command),
        Command::Agents => agents::run(),
        Command::Config { command } => config::run(command),
        Command::Plot(args) => plot::run(args),
        Command::Toy(args) => toy::run(args),
        Command::Certify(args) => certify::run(args),
        Command::Variance(args) => variance::run(args),
        Command::Compare(args) => compare::run(args),
        Command::Sweep(args) => sweep::run(args),
        Command::Completions { shell } => completions::run(*shell, Cli::command()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definitions_are_sound() {
        Cli::command().debug_assert();
    }
}
