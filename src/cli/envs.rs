//! `relax envs list|show|check`.

use std::collections::BTreeSet;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use relax_envs::check::{CheckOptions, check_env};
use relax_envs::{EnvError, EnvSpec, Kwarg, Kwargs, MakeOptions};
use relax_runtime::Error;

use super::args::{seed, whole};
use super::output;

#[derive(Debug, Subcommand)]
pub(super) enum EnvsCommand {
    /// List all environments
    List,
    /// Show an environment's spaces, limits and arguments
    Show {
        /// Its id, such as CartPole-v1
        id: String,
    },
    /// Check that an environment keeps the promises agents rely on
    Check(CheckArgs),
}

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// Its id, such as CartPole-v1
    id: String,
    /// Seed of the episodes and the random actions
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = seed, allow_negative_numbers = true)]
    seed: u64,
    /// Steps of the random walk that the checks watch
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = whole::<u32>(1, 100_000_000), allow_negative_numbers = true)]
    steps: u32,
}

pub(super) fn run(command: &EnvsCommand) -> Result<ExitCode, Error> {
    match command {
        EnvsCommand::List => list(),
        EnvsCommand::Show { id } => show(id),
        EnvsCommand::Check(args) => check(args),
    }
}

fn list() -> Result<ExitCode, Error> {
    let specs: Vec<EnvSpec> = relax_envs::ids().iter().filter_map(|id| relax_envs::spec(id).ok()).collect();
    let width = specs.iter().map(|spec| spec.id.len()).max().unwrap_or(0);
    let text: String =
        specs.iter().map(|spec| format!("{:width$}  {}\n", spec.id, spec.description)).collect();
    output::list(&text)?;
    for line in elsewhere() {
        output::note(&line);
    }
    Ok(ExitCode::SUCCESS)
}

/// Where environments come from that this list does not have, for people.
fn elsewhere() -> Vec<String> {
    let missing = relax_envs::missing_ids();
    let features: BTreeSet<&str> = missing.iter().map(|(_, feature)| *feature).collect();
    let of = |feature: &str| {
        let ids = missing.iter().filter(|(_, of)| *of == feature).map(|(id, _)| *id);
        format!("with --features {feature}: {}", ids.collect::<Vec<_>>().join(", "))
    };
    let providers = relax_envs::providers();
    let provided = providers.iter().map(|provider| {
        let feature =
            if provider.is_python() && !cfg!(feature = "gym") { "with --features gym: " } else { "" };
        format!("{feature}{}:ID: {}", provider.prefix(), provider.summary())
    });
    features.into_iter().map(of).chain(provided).collect()
}

fn show(id: &str) -> Result<ExitCode, Error> {
    let spec = find(id)?;
    // As training makes them: what steps all slots at once may observe otherwise than a single environment does.
    let env = relax_envs::make_vec(id, 1, &MakeOptions::default())
        .map_err(|error| Error::runtime(error.to_string()))?;
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
        ("random play", or_none(spec.random_return.map(|mean| format!("{mean} (mean return)")))),
        ("best known", or_none(spec.best_return.map(|mean| format!("{mean} (mean return)")))),
        ("arguments", arguments(&spec)),
    ];
    let text: String = rows.iter().map(|(name, value)| format!("{name:13} {value}\n")).collect();
    output::list(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn check(args: &CheckArgs) -> Result<ExitCode, Error> {
    find(&args.id)?;
    let options = CheckOptions { seed: args.seed, steps: args.steps as usize };
    let report = check_env(&args.id, &MakeOptions::default(), &options);
    output::list(&format!("{}\n", report.to_string().trim_end()))?;
    Ok(if report.passed() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn find(id: &str) -> Result<EnvSpec, Error> {
    relax_envs::spec(id).map_err(|error| {
        let refused = Error::input(error.to_string());
        if relax_envs::is_python(id) { refused } else { refused.with_hint(hint(id)) }
    })
}

/// What to do about an id that there is nothing for: a namespace, as in `ALE/Pong-v5`, is Gymnasium's.
pub(super) fn hint(id: &str) -> String {
    if let Err(EnvError::FeatureMissing { .. }) = relax_envs::spec(id) {
        format!("or take Gymnasium's through Python: gym:{id} (docs/gymnasium.md)")
    } else if id.contains('/') {
        format!(
            "Gymnasium's environments are named with `gym:` before them: gym:{id}; `relax envs list` shows our own"
        )
    } else {
        format!("`relax envs list` shows them all; one of Gymnasium's would be gym:{id}")
    }
}

/// The names of the constructor's arguments. A constructor knows them only itself, and tells when given a wrong one.
fn arguments(spec: &EnvSpec) -> String {
    let wrong = Kwargs::from([("?".to_owned(), Kwarg::Bool(true))]);
    match (spec.constructor)(&wrong) {
        Err(EnvError::UnknownKwarg { valid, .. }) => valid,
        _ => "not told".to_owned(),
    }
}
