//! What a learner tells its workers: a policy, and how many steps to take with it.

use relax_agents::{ActingPolicy, PolicyCard};
use relax_nn::{StateDict, StateTensor};
use relax_runtime::Error;

use super::message::{self, Kind};
use crate::actor::Plan;
use crate::config::{Config, RolloutMode};

/// What to do in a round.
#[derive(Debug, Clone)]
pub(crate) struct Orders {
    /// What to act with.
    pub policy: ActingPolicy,
    /// How many steps to take.
    pub plan: Plan,
    /// Environment steps of the run before them.
    pub env_steps: u64,
    /// The message's checksum, by which its batches are known.
    pub checksum: String,
}

/// The message, and its checksum.
pub(crate) fn seal(run: &str, policy: &ActingPolicy, plan: Plan, env_steps: u64) -> (Vec<u8>, String) {
    let mut arrays = StateDict::new();
    arrays.insert_all("policy", policy.state());
    let episodes = u64::from(plan.mode == RolloutMode::Episodes);
    arrays.insert("plan", StateTensor::U64(vec![env_steps, episodes, plan.steps, plan.extra as u64]));
    let card = serde_json::to_string(&policy.card()).unwrap_or_default();
    message::seal(Kind::Policy, run, &[("policy", card)], &arrays)
}

/// Reads the message; `run` is the identity of `config`.
pub(crate) fn open(run: &str, config: &Config, bytes: &[u8]) -> Result<Orders, Error> {
    let (mut words, arrays) = message::open(Kind::Policy, run, bytes)?;
    let bad = |why: &dyn std::fmt::Display| Error::input(format!("the policy is no usable message: {why}"));
    let [env_steps, episodes, steps, extra] = arrays.u64_array("plan").map_err(|error| bad(&error))?;
    let mode = config.rollout.mode;
    let most = match mode {
        RolloutMode::Steps => config.rollout.steps as u64,
        // An episode may take whatever is left of the budget.
        RolloutMode::Episodes => i64::MAX as u64,
    };
    let slots = config.rollout.envs as u64;
    if episodes != u64::from(mode == RolloutMode::Episodes) || steps > most || extra >= slots {
        return Err(bad(&"its plan is not one of this run"));
    }
    let card: PolicyCard =
        serde_json::from_str(words.get("policy").map_or("", String::as_str)).map_err(|error| bad(&error))?;
    let policy = ActingPolicy::load(&card, &arrays.subset("policy")).map_err(|error| bad(&error))?;
    let plan = Plan { mode, steps, extra: extra as usize };
    Ok(Orders { policy, plan, env_steps, checksum: words.remove("sha256").unwrap_or_default() })
}
