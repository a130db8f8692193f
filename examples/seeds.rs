//! Trains one configuration with several seeds and prints what the README's tables show, medians with their range:
//!
//! ```text
//! cargo run --release --example seeds -- configs/cartpole-relax.toml 0 9 [key=value]…
//! ```
use relax_rl::Error;
use relax_rl::config::Config;
use relax_rl::train::{TrainOptions, train};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Median, lowest and highest; "–" if there are none.
fn spread(mut values: Vec<f64>, decimals: usize) -> String {
    values.sort_by(f64::total_cmp);
    let n = values.len();
    if n == 0 {
        return "–".into();
    }
    let median = (values[(n - 1) / 2] + values[n / 2]) / 2.0;
    format!("{median:.decimals$} ({:.decimals$}–{:.decimals$})", values[0], values[n - 1])
}

/// The columns `names` of a run's metrics, rows with all of them present.
fn columns<const N: usize>(text: &str, names: [&str; N]) -> Vec<[f64; N]> {
    let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let heading = lines.next().unwrap_or_default();
    let at = names.map(|name| heading.iter().position(|found| *found == name).unwrap_or(usize::MAX));
    let number = |row: &[&str], i: usize| row.get(i).and_then(|cell| cell.parse::<f64>().ok());
    lines
        .filter_map(|row| at.iter().map(|&i| number(&row, i)).collect::<Option<Vec<_>>>()?.try_into().ok())
        .collect()
}

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let usage = || Error::input("usage: seeds CONFIG FIRST_SEED LAST_SEED [key=value]…");
    let [config, first, last, overrides @ ..] = arguments.as_slice() else { return Err(usage()) };
    let (first, last): (u64, u64) = (first.parse().map_err(|_| usage())?, last.parse().map_err(|_| usage())?);
    let folder = tempfile::tempdir().map_err(|error| Error::io("create", "a temporary folder", error))?;
    let (mut episodes, mut steps, mut seconds, mut evaluations) = (vec![], vec![], vec![], vec![]);
    let (mut medians, mut totals, mut rates) = (vec![], vec![], vec![]);
    for seed in first..=last {
        let mut settings = overrides.to_vec();
        settings.push(format!("run.seed={seed}"));
        let out = folder.path().join(seed.to_string());
        let options = TrainOptions { out: out.clone(), quiet: true, stop: Default::default() };
        let summary = train(&Config::load(config.as_ref(), &settings)?, &options)?.summary;
        if let Some(solved) = summary.solved {
            episodes.push(solved.episodes as f64);
            steps.push(solved.env_steps as f64);
            seconds.push(solved.wall_seconds);
        }
        evaluations.extend(summary.evaluation.map(|evaluation| evaluation.mean));
        rates.push(summary.env_steps_per_second / 1000.0);
        let path = out.join("metrics.csv");
        let text = std::fs::read_to_string(&path).map_err(|error| Error::io("read", &path, error))?;
        let mut ratios: Vec<f64> = columns(&text, ["variance_ratio"]).iter().map(|row| row[0]).collect();
        ratios.sort_by(f64::total_cmp);
        medians.extend(ratios.get(ratios.len() / 2));
        let norms = columns(&text, ["squared_norm", "squared_norm_a2c"]);
        let total = |i: usize| norms.iter().map(|row| row[i]).sum::<f64>();
        if !norms.is_empty() {
            totals.push(total(0) / total(1));
        }
    }
    println!("{config} seeds {first}–{last} {}", overrides.join(" "));
    println!("  solved               {} of {}", episodes.len(), last - first + 1);
    println!("  episodes to solved   {}", spread(episodes, 0));
    println!("  steps to solved      {}", spread(steps, 0));
    println!("  seconds to solved    {}", spread(seconds, 2));
    println!("  thousand steps/s     {}", spread(rates, 0));
    println!("  evaluation return    {}", spread(evaluations, 1));
    println!("  variance ratio       {} (median over updates)", spread(medians, 3));
    println!("  variance ratio       {} (sum over updates / sum over updates)", spread(totals, 3));
    Ok(())
}
