//! One observation in, one action out.

use relax_agents::{ActingPolicy, ActingScratch, ActionRange};
use relax_envs::{Action, Actions, Space, check_action_mask};
use relax_runtime::Error;

/// The most likely action of `policy` for one `observation` `[D]`, inside `action_space`. It allocates: whoever acts often fills
/// rollouts with an [`Actor`](crate::actor::Actor) instead.
///
/// # Errors
/// If the observation has another length than the policy's, or is not finite.
pub fn predict(policy: &ActingPolicy, action_space: &Space, observation: &[f32]) -> Result<Action, Error> {
    predict_masked(policy, action_space, observation, None)
}

/// As [`predict`], among the choices that `mask` `[M]` allows ([`Env::action_mask`](relax_envs::Env::action_mask)); without one,
/// among all of them.
///
/// # Errors
/// Also if the mask has another length than there are choices, allows none of a factor, or is for actions without choices.
pub fn predict_masked(
    policy: &ActingPolicy,
    action_space: &Space,
    observation: &[f32],
    mask: Option<&[bool]>,
) -> Result<Action, Error> {
    let dim = policy.observation_dim();
    if observation.len() != dim {
        let found = observation.len();
        return Err(Error::input(format!("an observation has {dim} numbers, and this one {found}")));
    }
    if !observation.iter().all(|value| value.is_finite()) {
        return Err(Error::input("the observation is not finite"));
    }
    if let Some(mask) = mask {
        check_action_mask(action_space, mask).map_err(|error| Error::input(error.to_string()))?;
        if !policy.distribution().takes_masks() {
            let name = policy.distribution().name();
            return Err(Error::input(format!("a {name} policy cannot take account of an action mask")));
        }
    }
    let mut actions = policy.distribution().action_buffer();
    actions.resize(1);
    policy.act_greedily_masked(observation, mask, &mut ActingScratch::default(), &mut actions, 0..1);
    let mut range = ActionRange::new(action_space);
    Ok(match policy.execute(&actions, 0..1, &mut range) {
        Actions::Discrete(indices) => Action::Discrete(indices.first().map_or(0, |&index| index as usize)),
        Actions::Box { values, .. } => Action::Box(values.to_vec()),
        Actions::MultiDiscrete { values, .. } => Action::MultiDiscrete(values.to_vec()),
        Actions::MultiBinary { values, .. } => Action::MultiBinary(values.to_vec()),
    })
}
