//! `relax completions`.

use std::process::ExitCode;

use clap_complete::Shell;
use relax_runtime::Error;

use super::output;

/// The script that completes `command` in `shell`.
pub(super) fn run(shell: Shell, mut command: clap::Command) -> Result<ExitCode, Error> {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    output::print(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}
