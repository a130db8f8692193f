//! `relax envs list|show|check`.

use std::process::ExitCode;

use relax_envs::check::{CheckOptions, check_env};
use relax_envs::{EnvError, EnvSpec, Kwarg, Kwargs, MakeOptions};

use super::args::CheckArgs;
use super::output;
use crate::error::Error;

pub(super) fn list() -> Result<ExitCode, Error> {
    let specs: Vec<EnvSpec> = relax_envs::ids().iter().filter_map(|id| relax_envs::spec(id).ok()).collect();
    let width = specs.iter().map(|spec| spec.id.len()).max().unwrap_or(0);
    let text: String =
        specs.iter().map(|spec| format!("{:width$}  {}\n", spec.id, spec.description)).collect();
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn show(id: &str) -> Result<ExitCode, Error> {
    let spec = find(id)?;
    let env = spec.make(&MakeOptions::default()).map_err(|error| Error::runtime(error.to_string()))?;
    let or_none = |value: Option<String>| value.unwrap_or_else(|| "none".to_owned());
    let rows = [
        ("id", spec.id.clone()),
        ("task", spec.description.clone()),
        ("observations", env.observation_space().to_string()),
        ("actions", env.action_space().to_string()),
        ("step limit", or_none(spec.max_episode_steps.map(|steps| steps.to_string()))),
        (
            "solved at",
            or_none(spec.reward_threshold.map(|mean| format!("{mean} (mean return of 100 episodes)"))),
        ),
        ("arguments", arguments(&spec)),
    ];
    let text: String = rows.iter().map(|(name, value)| format!("{name:13} {value}\n")).collect();
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn check(args: &CheckArgs) -> Result<ExitCode, Error> {
    find(&args.id)?;
    let options = CheckOptions { seed: args.seed, steps: args.steps as usize };
    let report = check_env(&args.id, &MakeOptions::default(), &options);
    output::print(&format!("{}\n", report.to_string().trim_end()))?;
    Ok(if report.passed() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn find(id: &str) -> Result<EnvSpec, Error> {
    relax_envs::spec(id).map_err(|error| {
        let refused = Error::input(error.to_string());
        if id.starts_with("gym:") { refused } else { refused.with_hint("`relax envs list` shows them all") }
    })
}

/// The names of the constructor's arguments. A constructor knows them only itself, and tells when given a wrong one.
fn arguments(spec: &EnvSpec) -> String {
    let wrong = Kwargs::from([("?".to_owned(), Kwarg::Bool(true))]);
    match (spec.constructor)(&wrong) {
        Err(EnvError::UnknownKwarg { valid, .. }) => valid,
        _ => "not told".to_owned(),
    }
}
