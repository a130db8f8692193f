//! `relax certify`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::args::{seed, whole};
use super::{out_folder, output};
use relax_lab::certify::{self, Certificate, CertifyOptions, Scope};
use relax_runtime::{Error, files};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    All,
    Estimators,
    Agents,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  relax certify
  relax certify estimators --detectable 0.02 --json certificate.json
  relax certify --inject missing-w          (must end with BIASED and exit code 1)
  relax certify --list-bugs

Every estimate's mean is compared with the exact gradient: each coordinate by its z-score, all at once \
by Hotelling's test. `alarm` bounds the probability that anything at all is called biased though nothing \
is (Holm's procedure). As many samples are drawn as find a bias of `detectable` times the gradient's size \
in a typical coordinate with probability 0.9; the column `bias found` says what each line could have found.
Exit codes: 0 nothing is biased, 1 something is, 2 bad input.")]
pub(super) struct CertifyArgs {
    /// What to certify
    #[arg(value_enum, default_value = "all")]
    what: What,
    /// Make a known mistake, and certify that alone
    #[arg(long, value_name = "BUG")]
    inject: Option<String>,
    /// List the mistakes that can be injected
    #[arg(long)]
    list_bugs: bool,
    /// Probability of any false alarm
    #[arg(long, value_name = "P", default_value_t = 1e-3)]
    alarm: f64,
    /// The bias to be found, as a share of the gradient's size
    #[arg(long, value_name = "SHARE", default_value_t = 0.05)]
    detectable: f64,
    /// Names the random problems and the noise
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = seed, allow_negative_numbers = true)]
    seed: u64,
    /// Targets checked at a time [default: as many as there are cores]
    #[arg(long, value_name = "J", value_parser = whole::<u32>(1, 4096), allow_negative_numbers = true)]
    jobs: Option<u32>,
    /// Also write everything to this file
    #[arg(long, value_name = "FILE.json")]
    json: Option<PathBuf>,
}

pub(super) fn run(args: &CertifyArgs) -> Result<ExitCode, Error> {
    if args.list_bugs {
        let text: String =
            certify::bugs().map(|(name, meaning)| format!("{name:<27}  {meaning}\n")).collect();
        output::list(&text)?;
        return Ok(ExitCode::SUCCESS);
    }
    for (name, value) in [("--alarm", args.alarm), ("--detectable", args.detectable)] {
        if !(value > 0.0 && value < 1.0) {
            return Err(Error::input(format!("{name} {value}: it must lie between 0 and 1"))
                .with_hint("0.001 is a good alarm rate, 0.05 a good bias to look for"));
        }
    }
    if let Some(file) = &args.json {
        out_folder::require_file("--json", file)?;
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let options = CertifyOptions {
        scope: match args.what {
            What::All => Scope::All,
            What::Estimators => Scope::Estimators,
            What::Agents => Scope::Agents,
        },
        significance: args.alarm,
        detectable: args.detectable,
        seed: args.seed,
        jobs: args.jobs.map_or(cores, |jobs| jobs as usize),
    };
    let certificate = certify::certify(&options, args.inject.as_deref(), |_| {})?;
    let [table, verdict] = text(&certificate);
    output::print(&table)?;
    output::tell(&verdict)?;
    if let Some(path) = &args.json {
        let json = format!("{:#}\n", certificate.to_json());
        files::write_atomically(path, json.as_bytes()).map_err(|source| Error::io("write", path, source))?;
    }
    Ok(if certificate.passes() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The table, and what it comes to.
fn text(certificate: &Certificate) -> [String; 2] {
    let heading = ["target", "samples", "K", "worst z", "joint p", "p", "bias found", "verdict"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    for (v, biased) in certificate.verdicts.iter().zip(&certificate.biased) {
        rows.push(vec![
            v.name.clone(),
            v.samples.to_string(),
            v.exact.len().to_string(),
            format!("{:.2}", v.worst()),
            format!("{:.2e}", v.joint.p_value),
            format!("{:.2e}", v.p_value),
            format!("{:.1}%", 100.0 * v.detectable),
            if *biased { "BIASED" } else { "unbiased" }.to_owned(),
        ]);
    }
    let (count, all) = (certificate.biased.iter().filter(|b| **b).count(), certificate.biased.len());
    let injected = certificate.injected.map_or_else(String::new, |bug| format!("; injected: {bug}"));
    let verdict = format!(
        "\n{count} of {all} biased; probability of any false alarm at most {}{injected}\n",
        certificate.significance
    );
    [output::table(&rows, 1), verdict]
}
