//! `relax agents`.

use std::process::ExitCode;

use relax_runtime::Error;

use super::output;

/// Lists all agents: one in a line, its name first.
pub(super) fn run() -> Result<ExitCode, Error> {
    let specs = relax_agents::agent_specs();
    let width = specs.iter().map(|spec| spec.name().len()).max().unwrap_or(0);
    let text: String =
        specs.iter().map(|spec| format!("{:width$}  {}\n", spec.name(), spec.summary())).collect();
    output::list(&text)?;
    Ok(ExitCode::SUCCESS)
}
