//! `relax train`, `relax resume`, `relax eval`.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use super::args::{EvalArgs, ResumeArgs, TrainArgs};
use super::{out_folder, output};
use crate::config::{Config, check_resume_overrides};
use crate::error::Error;
use crate::evaluate::{self, EvalOptions};
use crate::logging::{EvaluationSummary, Summary};
use crate::train::{self, Outcome, TrainOptions};

/// The exit code of a run that a signal ended: 128 + SIGINT, as shells count.
pub(super) const INTERRUPTED: u8 = 130;

pub(super) fn train(args: &TrainArgs) -> Result<ExitCode, Error> {
    let mut overrides = args.set.set.clone();
    overrides.extend(args.seed.map(|seed| format!("run.seed={seed}")));
    overrides.extend(workers(args.workers));
    let config = Config::load(&args.config, &overrides)?;
    relax_envs::spec(&config.env.id).map_err(|error| {
        Error::input(format!("{}: {error}", args.config.display()))
            .with_hint("`relax envs list` shows them all")
    })?;
    let out = out_folder::prepare(args.out.as_deref(), &args.config, &config)?;
    let options = TrainOptions { out: out.clone(), quiet: args.quiet, stop: stop_on_signals()? };
    let outcome = train::train(&config, &options).inspect_err(|_| out_folder::discard_if_empty(&out))?;
    report(&outcome, args.quiet)
}

pub(super) fn resume(args: &ResumeArgs) -> Result<ExitCode, Error> {
    require_run_folder(&args.dir)?;
    let mut overrides = args.set.set.clone();
    overrides.extend(workers(args.workers));
    check_resume_overrides(&overrides)?;
    let stop = stop_on_signals()?;
    report(&train::resume(&args.dir, &overrides, args.quiet, &stop)?, args.quiet)
}

pub(super) fn eval(args: &EvalArgs) -> Result<ExitCode, Error> {
    require_run_folder(&args.dir)?;
    let options = EvalOptions {
        episodes: args.episodes as usize,
        deterministic: args.deterministic,
        render: args.render.clone(),
        seed: args.seed,
    };
    let evaluation = evaluate::evaluate(&args.dir, &options)?;
    let mut text = String::new();
    if let Some(summary) = EvaluationSummary::of(&evaluation.returns) {
        let least = evaluation.returns.iter().copied().fold(f64::INFINITY, f64::min);
        let most = evaluation.returns.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let mean_length =
            evaluation.lengths.iter().sum::<u64>() as f64 / evaluation.lengths.len().max(1) as f64;
        text.push_str(&format!(
            "return {:.2} ± {:.2} (lowest {least:.2}, highest {most:.2}) over {} episodes of {mean_length:.1} steps\n",
            summary.mean, summary.std, summary.episodes
        ));
    }
    if let Some(path) = &args.render {
        text.push_str(&format!("first episode drawn into {}\n", path.display()));
    }
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// A flag that SIGINT and SIGTERM set. A second signal ends the process at once.
pub(super) fn stop_on_signals() -> Result<Arc<AtomicBool>, Error> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        flag::register_conditional_shutdown(signal, INTERRUPTED.into(), stop.clone())
            .and_then(|_| flag::register(signal, stop.clone()))
            .map_err(|error| Error::runtime(format!("cannot listen for signals: {error}")))?;
    }
    Ok(stop)
}

fn workers(count: Option<u32>) -> Option<String> {
    count.map(|count| format!("rollout.workers={count}"))
}

/// Says how the run ended.
fn report(outcome: &Outcome, quiet: bool) -> Result<ExitCode, Error> {
    let dir = outcome.dir.display();
    if outcome.interrupted {
        output::note(&format!(
            "interrupted after {} steps; the state is saved\n  hint: `relax resume {dir}` continues the run",
            outcome.summary.env_steps
        ));
        return Ok(ExitCode::from(INTERRUPTED));
    }
    if !quiet {
        output::print(&format!("{}run folder  {dir}\n", lines(&outcome.summary)))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn lines(summary: &Summary) -> String {
    let mut text = format!(
        "trained     {} steps, {} episodes in {:.2} s ({:.0} steps/s)\n",
        summary.env_steps, summary.episodes, summary.wall_seconds, summary.env_steps_per_second
    );
    match (&summary.solved, summary.mean_return_100) {
        (Some(solved), _) => text.push_str(&format!(
            "solved      mean return {} after {} episodes ({} steps, {:.2} s)\n",
            solved.threshold, solved.episodes, solved.env_steps, solved.wall_seconds
        )),
        (None, Some(mean)) => {
            text.push_str(&format!("return      {mean:.2} (mean of the last 100 episodes)\n"))
        }
        (None, None) => {}
    }
    if let Some(evaluation) = &summary.evaluation {
        text.push_str(&format!(
            "evaluation  {:.2} ± {:.2} over {} episodes\n",
            evaluation.mean, evaluation.std, evaluation.episodes
        ));
    }
    text
}

/// Refuses what is certainly no run folder, with a hint at what was probably meant.
fn require_run_folder(dir: &Path) -> Result<(), Error> {
    if dir.join("config.toml").is_file() {
        return Ok(());
    }
    let shown = dir.display();
    let (problem, hint) = if dir.is_file() {
        let hint = if dir.extension().is_some_and(|extension| extension == "toml") {
            format!("`relax train {shown}` starts a run from a configuration")
        } else {
            "give the folder of the run, not one of its files".to_owned()
        };
        ("is a file, not a run folder", hint)
    } else if dir.is_dir() {
        ("is not a run folder: it has no config.toml", "give a folder made by `relax train`".to_owned())
    } else {
        ("does not exist", "give a folder made by `relax train`; `ls runs` shows those made here".to_owned())
    };
    Err(Error::input(format!("{shown} {problem}")).with_hint(hint))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logging::Milestone;

    #[test]
    fn the_report_says_what_is_known() {
        let mut summary = Summary {
            env: "CartPole-v1".into(),
            agent: "a2c".into(),
            seed: 0,
            env_steps: 1000,
            episodes: 40,
            wall_seconds: 0.5,
            env_steps_per_second: 2000.0,
            mean_return_100: Some(25.0),
            solved: None,
            first_195: None,
            evaluation: None,
            version: "0".into(),
        };
        assert_eq!(
            lines(&summary),
            "trained     1000 steps, 40 episodes in 0.50 s (2000 steps/s)\nreturn      25.00 (mean of the last 100 episodes)\n"
        );
        summary.solved =
            Some(Milestone { threshold: 475.0, episodes: 30, env_steps: 900, wall_seconds: 0.4 });
        summary.evaluation = EvaluationSummary::of(&[500.0]);
        let text = lines(&summary);
        assert!(text.contains("solved      mean return 475 after 30 episodes (900 steps, 0.40 s)"), "{text}");
        assert!(text.contains("evaluation  500.00 ± 0.00 over 1 episodes"), "{text}");
    }
}
