//! `relax train`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use relax_runtime::Error;
use relax_runtime::run::TrainOptions;
use relax_runtime::signals::stop_on_signals;
use relax_training::{Config, train};

use super::args::{SetArgs, named, quoted, seed, whole, workers};
use super::{ending, envs, greeting, kinds, out_folder, output};

#[derive(Debug, Args)]
#[command(after_help = TRAIN_EXAMPLES)]
pub(super) struct TrainArgs {
    /// The configuration, a TOML file (see `configs/`); not needed with --env or --from
    #[arg(required_unless_present_any = ["env", "from"])]
    config: Option<PathBuf>,
    /// The environment; short for --set env.id=ID
    #[arg(long, value_name = "ID")]
    env: Option<String>,
    /// The algorithm [default without a configuration: relax-a2c]; short for --set agent.kind=KIND
    #[arg(long, value_name = "KIND")]
    agent: Option<String>,
    /// Environment steps [default: what is customary for the environment]; short for --set run.env_steps=N
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    steps: Option<String>,
    /// How long to train at most, such as 60s, 10m or 1.5h; short for --set run.seconds=SECONDS
    #[arg(long, value_name = "DURATION", value_parser = seconds)]
    time: Option<f64>,
    /// Begin with the policy of this run; short for --set run.from=DIR
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
    #[command(flatten)]
    set: SetArgs,
    /// The run's seed; short for --set run.seed=N
    #[arg(long, value_name = "N", value_parser = seed, allow_negative_numbers = true)]
    seed: Option<u64>,
    /// The run folder [default: a fresh one under runs/]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Threads that gather experience, 0 for none but the main one; short for --set rollout.workers=N
    #[arg(long, value_name = "N", value_parser = whole::<u32>(0, 4_294_967_295), allow_negative_numbers = true)]
    workers: Option<u32>,
    /// Show nothing but errors
    #[arg(long, short)]
    quiet: bool,
}

const TRAIN_EXAMPLES: &str = "\
Examples:
  relax train --env CartPole-v1
  relax train --env gym:LunarLander-v3 --agent a2c --steps 1e6
  relax train --env Pendulum-v1 --time 60s --set learner.gamma=0.98
  relax train --from runs/pendulum-v1-relax-a2c-s0-1 --steps 200_000
  relax train configs/cartpole-relax.toml
  relax train configs/cartpole-relax.toml --seed 7 --out runs/try --set agent.hidden='[32, 32]'
  relax train configs/cartpole-relax.toml --set agent.kind=a2c --set run.env_steps=1e6

The run folder holds config.toml (all settings), metrics.csv, episodes.csv, summary.json, \
TensorBoard events, and the checkpoints `latest` and `best`. Ctrl-C saves the state; \
`relax resume DIR` continues as if nothing had happened. `relax config schema` explains every key.";

pub(super) fn run(args: &TrainArgs) -> Result<ExitCode, Error> {
    if let Some(path) = &args.config {
        kinds::require_training(path)?;
    }
    let overrides = args.overrides()?;
    let (config, notes) = args.configuration(&overrides)?;
    notes.iter().for_each(|note| output::note(&format!("note: {note}")));
    relax_envs::spec(&config.env.id).map_err(|error| {
        let source = args.config.as_ref().map_or(String::new(), |path| format!("{}: ", path.display()));
        let refused = Error::input(format!("{source}{error}"));
        if config.env.is_python() { refused } else { refused.with_hint(envs::hint(&config.env.id)) }
    })?;
    super::python::name_python(args.quiet);
    let stem = match &args.config {
        Some(path) => out_folder::stem(path, &config),
        None => out_folder::plain_stem(&config),
    };
    let out = out_folder::prepare(args.out.as_deref(), &stem)?;
    if !args.quiet {
        let file = args.file().unwrap_or_else(|| "the command line".into());
        output::note(&greeting::text(&config, &file, &overrides, &out));
    }
    let options = TrainOptions { out: out.clone(), quiet: args.quiet, stop: stop_on_signals()? };
    let outcome = train::train(&config, &options).inspect_err(|_| out_folder::discard_if_empty(&out))?;
    ending::report(&outcome, args.quiet)
}

impl TrainArgs {
    /// The configuration file: the one named, or, if no other environment is named, that of the run to begin with.
    fn file(&self) -> Option<PathBuf> {
        match (&self.config, &self.from, &self.env) {
            (Some(path), ..) => Some(path.clone()),
            (None, Some(run), None) => Some(run.join("config.toml")),
            (None, ..) => None,
        }
    }

    /// All arguments as overrides: what is named by one of its own wins over the file, and `--set` over both.
    fn overrides(&self) -> Result<Vec<String>, Error> {
        if let Some(run) = &self.from {
            out_folder::require_run(run)?;
        }
        let alone = self.file().is_none();
        let agent = match (&self.agent, &self.from) {
            (None, Some(run)) if alone => Some(Config::load_recorded(&run.join("config.toml"))?.agent.kind),
            (agent, _) => agent.clone(),
        };
        let mut overrides = named(self.env.as_deref(), agent.as_deref(), alone);
        overrides.extend(self.steps.as_ref().map(|steps| format!("run.env_steps={steps}")));
        overrides.extend(self.time.map(|seconds| format!("run.seconds={seconds:?}")));
        let from = self.from.as_ref().map(|run| format!("run.from={}", quoted(&run.to_string_lossy())));
        overrides.extend(from);
        overrides.extend(self.set.set.iter().cloned());
        overrides.extend(self.seed.map(|seed| format!("run.seed={seed}")));
        overrides.extend(workers(self.workers));
        Ok(overrides)
    }

    /// What file and arguments come to, with notes for the user; without a file, from the agent's own defaults.
    fn configuration(&self, overrides: &[String]) -> Result<(Config, Vec<String>), Error> {
        Ok(match self.file() {
            Some(path) => Config::load_noting(&path, overrides)?,
            None => (Config::from_toml("", "arguments", overrides)?, Vec::new()),
        })
    }
}

/// Seconds of a duration: `90`, `90s`, `1.5m`, `2h`.
fn seconds(text: &str) -> Result<f64, String> {
    let text = text.trim();
    let (number, unit) = match text.char_indices().next_back() {
        Some((at, 's')) => (&text[..at], 1.0),
        Some((at, 'm')) => (&text[..at], 60.0),
        Some((at, 'h')) => (&text[..at], 3600.0),
        _ => (text, 1.0),
    };
    match number.trim().parse::<f64>() {
        Ok(number) if number.is_finite() && number > 0.0 => Ok(number * unit),
        _ => Err("a duration is a number above 0 with s, m or h, such as 60s, 10m or 1.5h".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Train {
        #[command(flatten)]
        args: TrainArgs,
    }

    fn configuration(arguments: &[&str]) -> Result<Config, Error> {
        let all = std::iter::once(&"train").chain(arguments);
        let args = Train::try_parse_from(all).expect("arguments").args;
        args.overrides().and_then(|overrides| args.configuration(&overrides)).map(|(config, _)| config)
    }

    #[test]
    fn no_file_is_needed() {
        let config = configuration(&["--env", "CartPole-v1"]).expect("valid");
        assert_eq!((config.agent.kind.as_str(), config.run.env_steps), ("relax-a2c", 500_000));
        // It is what a file that says no more comes to: there is one set of defaults.
        for spec in relax_agents::agent_specs() {
            let config = configuration(&["--env", "Pendulum-v1", "--agent", spec.name()])
                .unwrap_or_else(|error| panic!("{}: {error}", spec.name()));
            assert_eq!(config, Config::new("Pendulum-v1", spec.name()).expect("valid"));
            assert_eq!(config.learner["normalize_rewards"].as_bool(), Some(true), "{}", spec.name());
        }
        let ddpg = configuration(&["--env", "Pendulum-v1", "--agent", "ddpg"]).expect("valid");
        assert_eq!((ddpg.run.env_steps, ddpg.rollout.envs), (20_000, 1));
        let arguments =
            ["--env", "gym:LunarLander-v3", "--agent", "a2c", "--steps", "1e6", "--set", "agent.hidden=[8]"];
        let config = configuration(&arguments).expect("valid");
        assert_eq!((config.env.id.as_str(), config.run.env_steps), ("gym:LunarLander-v3", 1_000_000));
        assert_eq!((config.agent.kind.as_str(), &config.agent.keys["hidden"]), ("a2c", &vec![8].into()));
        assert!(Train::try_parse_from(["train"]).is_err());
        assert!(configuration(&["--env", "x", "--agent", "a2d"]).is_err());
        assert!(configuration(&["--env", "CartPole-v1", "--steps", "many"]).is_err());
        assert!(configuration(&["--from", "nowhere"]).is_err());
    }

    #[test]
    fn time_may_end_a_run_instead_of_steps() {
        let config = configuration(&["--env", "CartPole-v1", "--time", "1.5m"]).expect("valid");
        assert_eq!((config.run.seconds, config.run.env_steps), (Some(90.0), i64::MAX as u64));
        let config =
            configuration(&["--env", "CartPole-v1", "--time", "60s", "--steps", "1000"]).expect("valid");
        assert_eq!((config.run.seconds, config.run.env_steps), (Some(60.0), 1000));
        for (text, right) in
            [("90", Some(90.0)), ("2h", Some(7200.0)), ("0s", None), ("-1s", None), ("s", None), ("", None)]
        {
            assert_eq!(seconds(text).ok(), right, "{text}");
        }
    }
}
