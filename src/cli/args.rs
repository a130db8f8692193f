//! Arguments that several commands have.

use clap::Args;

/// TOML has no larger whole numbers, and the run's configuration is saved as TOML.
const MAX_SEED: u64 = i64::MAX as u64;
/// The largest seed that others can follow.
const MAX_FIRST_SEED: u64 = 1 << 60;

/// A run's seed, with a message that says what it may be.
pub(super) fn seed(text: &str) -> Result<u64, String> {
    within(text, MAX_SEED)
}

/// The first of several seeds.
pub(super) fn first_seed(text: &str) -> Result<u64, String> {
    within(text, MAX_FIRST_SEED)
}

fn within(text: &str, most: u64) -> Result<u64, String> {
    whole(0, most)(text).map_err(|range| format!("a seed is {range}"))
}

/// Parses a whole number from `least` to `most`, with a message that says so whatever else was given.
pub(super) fn whole<T: TryFrom<u64>>(
    least: u64,
    most: u64,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync {
    move |text| {
        let number = text.parse().ok().filter(|number| (least..=most).contains(number));
        number
            .and_then(|number| T::try_from(number).ok())
            .ok_or(format!("a whole number from {least} to {most}"))
    }
}

#[derive(Debug, Args)]
pub(super) struct SetArgs {
    /// Change one setting, for example learner.gamma=0.98; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(super) set: Vec<String>,
}

/// The algorithm where none is named.
const AGENT: &str = "relax-a2c";

/// `--env ID` and `--agent KIND` as overrides. `alone`: there is no configuration that could name an algorithm.
pub(super) fn named(env: Option<&str>, agent: Option<&str>, alone: bool) -> Vec<String> {
    let id = env.map(|id| format!("env.id={}", quoted(id)));
    let kind = agent.or(alone.then_some(AGENT)).map(|kind| format!("agent.kind={}", quoted(kind)));
    id.into_iter().chain(kind).collect()
}

/// `text` as a TOML string.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// `--workers N` as an override.
pub(super) fn workers(count: Option<u32>) -> Option<String> {
    count.map(|count| format!("rollout.workers={count}"))
}
