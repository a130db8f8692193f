//! Configurations and runs of the one kind given to a command of the other: which command was meant.

use std::path::Path;

use relax_lab::vae::{is_vae_config, is_vae_run};
use relax_runtime::Error;

/// Refuses the configuration of an auto-encoder. A file that cannot be read is refused later, with its own reason.
pub(super) fn require_training(path: &Path) -> Result<(), Error> {
    match std::fs::read_to_string(path) {
        Ok(text) if is_vae_config(&text) => {
            let shown = path.display();
            Err(Error::input(format!("{shown} describes an auto-encoder, not an agent"))
                .with_hint(format!("`relax vae {shown}` trains it")))
        }
        _ => Ok(()),
    }
}

/// Refuses the configuration of an agent.
pub(super) fn require_vae(path: &Path) -> Result<(), Error> {
    let table = std::fs::read_to_string(path).ok().and_then(|text| text.parse::<toml::Table>().ok());
    match table {
        Some(table) if table.contains_key("env") || table.contains_key("agent") => {
            let shown = path.display();
            Err(Error::input(format!("{shown} describes an agent, not an auto-encoder"))
                .with_hint(format!("`relax train {shown}` trains it")))
        }
        _ => Ok(()),
    }
}

/// Refuses the run folder of an auto-encoder.
pub(super) fn require_training_run(dir: &Path) -> Result<(), Error> {
    if !is_vae_run(dir) {
        return Ok(());
    }
    let shown = dir.display();
    Err(Error::input(format!("{shown} is a run of `relax vae`: it has no policy")).with_hint(format!(
        "its bounds are in {shown}/summary.json; `relax plot {shown} --out curves.svg` draws them"
    )))
}
