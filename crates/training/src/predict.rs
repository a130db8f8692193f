//! One observation in, one action out.

use relax_agents::{ActingPolicy, ActingScratch, ActionRange};
use relax_envs::{Action, Actions, Space};
use relax_runtime::Error;

/// The most likely action of `policy` for one `observation` `[D]`, inside `action_space`. It allocates: whoever acts often fills
/// rollouts with an [`Actor`](crate::actor::Actor) instead.
///
/// # Errors
/// If the observation has another length than the policy's, or is not finite.
pub fn predict(policy: &ActingPolicy, action_space: &Space, observation: &[f32]) -> Result<Action, Error> {
    let dim = policy.observation_dim();
    if observation.len() != dim {
        let found = observation.len();
        return Err(Error::input(format!("an observation has {dim} numbers, and this one {found}")));
    }
    if !observation.iter().all(|value| value.is_finite()) {
        return Err(Error::input("the observation is not finite"));
    }
    let mut actions = policy.distribution().action_buffer();
    actions.resize(1);
    policy.act_greedily(observation, &mut ActingScratch::default(), &mut actions, 0..1);
    let mut range = ActionRange::new(action_space);
    Ok(match policy.execute(&actions, 0..1, &mut range) {
        Actions::Discrete(indices) => Action::Discrete(indices.first().map_or(0, |&index| index as usize)),
        Actions::Box { values, .. } => Action::Box(values.to_vec()),
        Actions::MultiDiscrete { values, .. } => Action::MultiDiscrete(values.to_vec()),
        Actions::MultiBinary { values, .. } => Action::MultiBinary(values.to_vec()),
    })
}
