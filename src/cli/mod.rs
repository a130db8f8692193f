//! The command line. A program that registers its own environment calls [`main`] and has all of it.
//!
//! ```no_run
//! fn main() -> std::process::ExitCode {
//!     // relax_envs::register(…) comes first.
//!     relax_rl::cli::main()
//! }
//! ```

mod args;
mod certify;
mod compare;
mod envs;
mod out_folder;
mod output;
mod tools;
mod toy;
mod training;
mod vae;
mod variance;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;

use crate::error::Error;
use args::{Cli, Command, ConfigCommand, EnvsCommand};

/// Runs the program's arguments and returns its exit code: 0 done, 1 failed while running, 2 bad input, 130 interrupted.
#[must_use]
pub fn main() -> ExitCode {
    run(std::env::args_os())
}

/// Runs `arguments`, the program's name first.
#[must_use]
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // `--help` and `--version` come this way too, for standard output and with exit code 0.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let outcome = use_python(cli.python.as_deref()).and_then(|()| dispatch(&cli.command));
    match outcome {
        Ok(code) => code,
        Err(error) => {
            output::error(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

/// Takes up `--python`.
fn use_python(path: Option<&Path>) -> Result<(), Error> {
    let Some(path) = path else { return Ok(()) };
    #[cfg(feature = "gym")]
    relax_envs::gym::use_python(path);
    #[cfg(feature = "gym")]
    return Ok(());
    #[cfg(not(feature = "gym"))]
    Err(Error::input(format!("--python {}: this program was built without Python", path.display()))
        .with_hint("build it with `cargo build --release --features gym` (docs/gymnasium.md)"))
}

/// Says which Python runs, once one does.
fn name_python(quiet: bool) {
    #[cfg(feature = "gym")]
    if let (false, Some(python)) = (quiet, relax_envs::gym::python_in_use()) {
        output::note(&format!("python: {python}"));
    }
    #[cfg(not(feature = "gym"))]
    let _ = quiet;
}

fn dispatch(command: &Command) -> Result<ExitCode, Error> {
    match command {
        Command::Train(args) => training::train(args),
        Command::Resume(args) => training::resume(args),
        Command::Vae(args) => vae::train(args),
        Command::VaeSweep(args) => vae::sweep(args),
        Command::VaeVariance(args) => vae::variance(args),
        Command::Eval(args) => training::eval(args),
        Command::Envs { command: EnvsCommand::List } => envs::list(),
        Command::Envs { command: EnvsCommand::Show { id } } => envs::show(id),
        Command::Envs { command: EnvsCommand::Check(args) } => envs::check(args),
        Command::Config { command: ConfigCommand::Show(args) } => tools::config_show(args),
        Command::Config { command: ConfigCommand::Schema { vae } } => tools::config_schema(*vae),
        Command::Plot(args) => tools::plot(args),
        Command::Toy(args) => toy::toy(args),
        Command::Certify(args) => certify::certify(args),
        Command::Variance(args) => variance::variance(args),
        Command::Compare(args) => compare::compare(args),
        Command::Completions { shell } => tools::completions(*shell),
    }
}
