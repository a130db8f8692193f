//! `relax export`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use relax_export::{Checkpoint, Format, OPSET, export};
use relax_runtime::Error;

use super::{kinds, out_folder, output};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  relax export runs/cartpole-relax-s0-1 --format onnx
  relax export runs/cartpole-relax-s0-1 --out policy.json --checkpoint latest

Everything that the program does between an observation and an action is inside: normalisation, encoder, network, masks, \
scaling and bounds. docs/deployment.md says how to run the file.")]
pub(super) struct ExportArgs {
    /// The run folder
    dir: PathBuf,
    /// What to write [default: what the name after --out ends in]
    #[arg(long, value_name = "FORMAT", required_unless_present = "out")]
    format: Option<Kind>,
    /// The file to write [default: policy.FORMAT in the run folder]
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Which policy: the best by evaluation, or the newest
    #[arg(long, value_name = "WHICH", default_value = "best")]
    checkpoint: Which,
}

/// [`Format`], as an argument.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    Onnx,
    Safetensors,
    Json,
}

/// [`Checkpoint`], as an argument.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Which {
    Best,
    Latest,
}

pub(super) fn run(args: &ExportArgs) -> Result<ExitCode, Error> {
    out_folder::require_run(&args.dir)?;
    kinds::require_training_run(&args.dir)?;
    let format = args.format()?;
    let path = args.out.clone().unwrap_or_else(|| args.dir.join(format!("policy.{}", format.name())));
    let checkpoint = match args.checkpoint {
        Which::Best => Checkpoint::Best,
        Which::Latest => Checkpoint::Latest,
    };
    let plan = export(&args.dir, checkpoint, format, &path)?;
    let opset = if format == Format::Onnx { format!(", opset {OPSET}") } else { String::new() };
    let mask = plan.action_mask.map_or(String::new(), |len| format!(" and action masks of {len}"));
    output::print(&format!(
        "policy      {} in {}: observations {:?}{mask} to {}{opset}\nstate       {}\nfile        {}\n",
        plan.about.agent,
        plan.about.env,
        plan.observation,
        plan.action.space,
        plan.about.state_hash,
        path.display()
    ))?;
    Ok(ExitCode::SUCCESS)
}

impl ExportArgs {
    fn format(&self) -> Result<Format, Error> {
        if let Some(kind) = self.format {
            return Ok(match kind {
                Kind::Onnx => Format::Onnx,
                Kind::Safetensors => Format::Safetensors,
                Kind::Json => Format::Json,
            });
        }
        let path = self.out.clone().unwrap_or_default();
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        Format::of(&extension).ok_or_else(|| {
            Error::input(format!(
                "--out {}: a policy is written as .onnx, .safetensors or .json",
                path.display()
            ))
            .with_hint(format!("name it {}, or say --format", path.with_extension("onnx").display()))
        })
    }
}
