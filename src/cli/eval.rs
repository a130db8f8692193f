//! `relax eval`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use relax_runtime::Error;
use relax_training::EvaluationSummary;
use relax_training::evaluate::{self, EvalOptions};

use super::args::{seed, whole};
use super::{kinds, out_folder, output};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  relax eval runs/cartpole-relax-s0-1
  relax eval runs/cartpole-relax-s0-1 --episodes 1 --render cartpole.gif

The policy takes its most probable action, as in the evaluations of training; --stochastic draws \
actions instead, as training itself does.")]
pub(super) struct EvalArgs {
    /// The run folder
    dir: PathBuf,
    /// How many episodes
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = whole::<u32>(1, 4_294_967_295), allow_negative_numbers = true)]
    episodes: u32,
    /// Draw the first episode into an animated GIF
    #[arg(long, value_name = "FILE.gif")]
    render: Option<PathBuf>,
    /// Draw actions from the policy instead of taking the most probable one
    #[arg(long)]
    stochastic: bool,
    /// Take the most probable action: the default
    #[arg(long, hide = true, conflicts_with = "stochastic")]
    deterministic: bool,
    /// Names the episodes' random numbers
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = seed, allow_negative_numbers = true)]
    seed: u64,
}

pub(super) fn run(args: &EvalArgs) -> Result<ExitCode, Error> {
    out_folder::require_run(&args.dir)?;
    kinds::require_training_run(&args.dir)?;
    if let Some(file) = &args.render {
        out_folder::require_file("--render", file)?;
    }
    let options = EvalOptions {
        episodes: args.episodes as usize,
        deterministic: args.deterministic || !args.stochastic,
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
    output::tell(&text)?;
    Ok(ExitCode::SUCCESS)
}
