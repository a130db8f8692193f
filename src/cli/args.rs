//! Arguments that several commands have.

use clap::Args;

/// TOML has no larger whole numbers, and the run's configuration is saved as TOML.
pub(super) const MAX_SEED: u64 = i64::MAX as u64;

#[derive(Debug, Args)]
pub(super) struct SetArgs {
    /// Change one setting, for example learner.gamma=0.98; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(super) set: Vec<String>,
}

/// `--workers N` as an override.
pub(super) fn workers(count: Option<u32>) -> Option<String> {
    count.map(|count| format!("rollout.workers={count}"))
}
