//! `relax variance`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::args::{SetArgs, seed, whole};
use super::{out_folder, output};
use relax_lab::report::{self, Figure};
use relax_lab::variance::{self, BatchOptions, Dissected, Estimate, Parts, VarianceOptions};
use relax_runtime::{Error, files};
use relax_training::Config;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  relax variance runs/cartpole-relax-s0-1                 (at its newest checkpoint)
  relax variance configs/cartpole-a2c.toml --out runs/variance/cartpole-a2c
  relax variance configs/pendulum-model.toml --batches 200 --critic-of configs/pendulum-a2c.toml

A configuration is trained, without writing a run folder, and dissected along the way. The variance of \
the policy gradient's estimate is the sum of three parts: what the states, the actions, and the rest of \
the trajectory add. They are measured by going on from saved environment states: --actions actions from \
each of --states states, --continuations ways to go on after each. OUT holds variance.json, and the \
figure as SVG, PNG and CSV.

With --batches N it is the variance of a whole batch's gradient of the weights instead, over N batches that \
begin anew, beside A2C's on the same batches: with the same V, or with that of another configuration's \
agent, which is shown every batch of the training. OUT holds batches.json then.")]
pub(super) struct VarianceArgs {
    /// A run folder, or a configuration
    target: PathBuf,
    #[command(flatten)]
    set: SetArgs,
    /// States
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = whole::<u32>(3, 1_000_000), allow_negative_numbers = true)]
    states: u32,
    /// Actions from each state
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = whole::<u32>(2, 1000), allow_negative_numbers = true)]
    actions: u32,
    /// Ways to go on after each action
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = whole::<u32>(2, 1000), allow_negative_numbers = true)]
    continuations: u32,
    /// Compare whole batches that begin anew, this many, instead of splitting the variance
    #[arg(long, value_name = "N", value_parser = whole::<u32>(3, 1_000_000), conflicts_with_all = ["states", "actions", "continuations"], allow_negative_numbers = true)]
    batches: Option<u32>,
    /// A configuration whose agent's V is taken for A2C's; else it is the agent's own
    #[arg(long, value_name = "CONFIG", requires = "batches")]
    critic_of: Option<PathBuf>,
    /// Points of training, for a configuration
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = whole::<u32>(1, 1000), allow_negative_numbers = true)]
    points: u32,
    /// Names the dissection's random numbers
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = seed, allow_negative_numbers = true)]
    seed: u64,
    /// Write the figure and the numbers to this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub(super) fn run(args: &VarianceArgs) -> Result<ExitCode, Error> {
    if let Some(out) = &args.out {
        out_folder::require_place("--out", out)?;
    }
    if let Some(batches) = args.batches {
        return run_batches(args, batches as usize);
    }
    let options = VarianceOptions {
        states: args.states as usize,
        actions: args.actions as usize,
        continuations: args.continuations as usize,
        points: args.points as usize,
        seed: args.seed,
    };
    let dissected = if args.target.is_dir() {
        if !args.set.set.is_empty() {
            return Err(Error::input("--set changes a configuration, but a run folder's settings are fixed")
                .with_hint("give the configuration instead of the run folder"));
        }
        variance::at_checkpoint(&args.target, &options)?
    } else {
        variance::along_training(&Config::load(&args.target, &args.set.set)?, &options)?
    };
    output::print(&text(&dissected))?;
    if let Some(point) = dissected.points.last() {
        output::tell(&format!("\n{}\n", point.words(&dissected.agent)))?;
    }
    if let Some(out) = &args.out {
        write(out, "variance.json", serde_json::to_string_pretty(&dissected))?;
        report::write_figures(&[Figure::shares(&dissected)], out)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn run_batches(args: &VarianceArgs, batches: usize) -> Result<ExitCode, Error> {
    if args.target.is_dir() {
        return Err(Error::input("--batches trains a configuration, but this is a run folder")
            .with_hint(format!("give {} instead", args.target.join("config.toml").display())));
    }
    let critic_of = args.critic_of.as_ref().map(|path| Config::load(path, &[])).transpose()?;
    let options = BatchOptions { batches, points: args.points as usize, seed: args.seed, critic_of };
    let compared = variance::of_batches(&Config::load(&args.target, &args.set.set)?, &options)?;
    let mut rows = vec![["env steps", "variance", "A2C's", "ratio", "signal"].map(str::to_owned).to_vec()];
    for point in &compared.points {
        let exponent = |of: Estimate| format!("{:.2e} ± {:.1e}", of.value, of.error);
        rows.push(vec![
            point.env_steps.to_string(),
            exponent(point.variance),
            exponent(point.of_a2c),
            format!("{:.3} ± {:.3}", point.ratio.value, point.ratio.error),
            exponent(point.signal),
        ]);
    }
    let table = output::table(&rows, 2);
    let all = compared.overall;
    let overall = match compared.points.len() {
        1 => String::new(),
        n => format!(
            "ratio over {n} points: geometric mean {:.2}, median {:.2}, below 1 at {:.0} %, of sums {:.2}\n\n",
            all.geometric_mean,
            all.median,
            100.0 * all.below_one,
            all.of_sums
        ),
    };
    let whose = if args.critic_of.is_some() { "the other agent's V" } else { "the same V" };
    output::print(&format!(
        "{} on {}, {batches} batches\n\n{table}\n{overall}\
         variance: of a batch's gradient of the weights; A2C's: by its formula on the same batches with {whose}\n\
         signal: the squared length of the gradient's mean\n",
        compared.agent, compared.env
    ))?;
    if let Some(out) = &args.out {
        write(out, "batches.json", serde_json::to_string_pretty(&compared))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn write(out: &Path, name: &str, json: serde_json::Result<String>) -> Result<(), Error> {
    std::fs::create_dir_all(out).map_err(|source| Error::io("create", out, source))?;
    let json = json.map_err(|error| Error::runtime(format!("{name} cannot be written: {error}")))?;
    let path = out.join(name);
    files::write_atomically(&path, format!("{json}\n").as_bytes())
        .map_err(|source| Error::io("write", &path, source))
}

fn text(dissected: &Dissected) -> String {
    let heading = [
        "env steps",
        "space",
        "variance",
        "states %",
        "V's error %",
        "own action %",
        "what follows %",
        "ratio",
    ];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    for point in &dissected.points {
        for (space, parts) in [("parameters", &point.parameters), ("weights", &point.weights)] {
            let [states, mut value_error, action, rest] = percentages(parts);
            if parts.value_error.value.is_nan() {
                value_error = "–".into();
            }
            let ratio = if point.ratio.is_finite() { format!("{:.3}", point.ratio) } else { "–".into() };
            let (steps, total) = (point.env_steps.to_string(), format!("{:.3e}", parts.total()));
            rows.push(vec![steps, space.to_owned(), total, states, value_error, action, rest, ratio]);
        }
    }
    let table = output::table(&rows, 2);
    format!("{} on {}\n\n{table}\nratio: E‖ĝ‖² over A2C's\n", dissected.agent, dissected.env)
}

/// Shares with their standard errors, in per cent.
fn percentages(parts: &Parts) -> [String; 4] {
    parts.shares.map(|share| format!("{:.1} ± {:.1}", 100.0 * share.value, 100.0 * share.error))
}
