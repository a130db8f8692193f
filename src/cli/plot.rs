//! `relax plot`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use relax_lab::{plot, vae};
use relax_runtime::Error;

use super::{out_folder, output};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  relax plot runs/cartpole-relax-s0-1 runs/cartpole-a2c-s0-1 --out cartpole.svg
  relax plot runs --out curves.svg          (all runs in the folder `runs`)

Runs that differ in nothing but their seed form one curve: their mean, with a band from the \
lowest to the highest.")]
pub(super) struct PlotArgs {
    /// Run folders, or folders that hold run folders
    #[arg(required = true, value_name = "DIR")]
    dirs: Vec<PathBuf>,
    /// The file to write: .svg or .png
    #[arg(long, short, value_name = "FILE.svg|.png")]
    out: PathBuf,
}

pub(super) fn run(args: &PlotArgs) -> Result<ExitCode, Error> {
    let extension = args.out.extension().unwrap_or_default().to_ascii_lowercase();
    if extension != "svg" && extension != "png" {
        return Err(Error::input(format!("--out {}: a plot is written as SVG or PNG", args.out.display()))
            .with_hint(format!("name it {}", args.out.with_extension("svg").display())));
    }
    out_folder::require_file("--out", &args.out)?;
    if args.dirs.iter().any(|dir| vae::holds_vae_runs(dir)) {
        vae::plot(&args.dirs, &args.out)?;
    } else {
        plot::plot(&args.dirs, &args.out)?;
    }
    output::print(&format!("{}\n", args.out.display()))?;
    Ok(ExitCode::SUCCESS)
}
