//! Tasks that can be enumerated: the expected return of a policy is known to rounding.

use super::net::{Net, log_probs};
use crate::{ActingPolicy, ActingScratch, Episode, Rollout};
use relax_envs::EnvRng;

/// A task of a fixed number of steps, small enough to enumerate. All three states may be the first; (s, a) leads to one
/// of two states with probabilities ⅓ and ⅔.
pub struct Task;

impl Task {
    /// Number of states.
    pub const STATES: usize = 3;
    /// Number of actions.
    pub const ACTIONS: usize = 3;
    /// Steps of an episode.
    pub const HORIZON: usize = 2;
    /// Numbers in an observation.
    pub const DIM: usize = 2;

    /// What the agent sees of a state.
    #[must_use]
    pub fn observation(state: usize) -> [f32; 2] {
        [[0.5, -1.0], [-0.25, 0.75], [1.5, 0.25]][state]
    }

    /// Where (s, a) leads, with probabilities.
    #[must_use]
    pub fn next(state: usize, action: usize) -> [(usize, f64); 2] {
        [((state + action) % 3, 1.0 / 3.0), ((state + 2 * action + 1) % 3, 2.0 / 3.0)]
    }

    /// r(s, a).
    #[must_use]
    pub fn reward(state: usize, action: usize) -> f32 {
        [[1.0, -2.0, 0.5], [0.0, 3.0, -1.0], [-0.5, 1.5, 2.0]][state][action]
    }

    /// Expected return of the policy with these parameters, by enumeration of every path.
    #[must_use]
    pub fn expected_return(net: &Net, parameters: &[f64]) -> f64 {
        fn value(net: &Net, state: usize, left: usize) -> f64 {
            if left == 0 {
                return 0.0;
            }
            let x = Task::observation(state).map(f64::from);
            let probs = log_probs(&net.forward(&x)).into_iter().map(f64::exp);
            probs
                .enumerate()
                .map(|(action, p)| {
                    let next = Task::next(state, action);
                    let later: f64 = next.iter().map(|&(to, q)| q * value(net, to, left - 1)).sum();
                    p * (f64::from(Task::reward(state, action)) + later)
                })
                .sum()
        }
        let net = Net { parameters: parameters.to_vec(), ..net.clone() };
        (0..Self::STATES).map(|state| value(&net, state, Self::HORIZON)).sum::<f64>() / Self::STATES as f64
    }

    /// Whole episodes, one in each of `slots` slots.
    #[must_use]
    pub fn roll(policy: &ActingPolicy, slots: usize, rng: &mut EnvRng) -> Rollout {
        let node = policy.distribution();
        let mut states: Vec<usize> = (0..slots).map(|_| rng.integers(0, 3) as usize).collect();
        let mut batch = Rollout::new(slots, Self::DIM, node.width(), node.action_buffer());
        let mut totals = vec![0.0; slots];
        for t in 0..Self::HORIZON {
            let last = t + 1 == Self::HORIZON;
            let actions = level(&mut batch, policy, rng, |slot| (Self::observation(states[slot]), &[]));
            for (slot, &action) in actions.iter().enumerate() {
                let (state, action) = (states[slot], action as usize);
                let reward = Self::reward(state, action);
                let next = Self::next(state, action);
                states[slot] = next[usize::from(rng.random() >= next[0].1)].0;
                totals[slot] += f64::from(reward);
                push(&mut batch, reward, last);
            }
        }
        finish(&mut batch, &totals);
        batch
    }
}

/// One step and two states: the reward is −(a − k_s)² for a number a drawn from a Gaussian.
pub struct Aim;

impl Aim {
    /// Numbers in an observation.
    pub const DIM: usize = 2;

    /// What the agent sees of a state.
    #[must_use]
    pub fn observation(state: usize) -> [f32; 2] {
        [[1.0, -0.5], [-0.75, 0.5]][state]
    }

    /// The number to hit in a state.
    #[must_use]
    pub fn target(state: usize) -> f32 {
        [0.8, -1.2][state]
    }

    /// Expected reward: −(μ − k)² − σ², the mean of both states.
    #[must_use]
    pub fn expected_return(net: &Net, parameters: &[f64]) -> f64 {
        let net = Net { parameters: parameters.to_vec(), ..net.clone() };
        let variance = (2.0 * parameters[parameters.len() - 1]).exp();
        let value = |state| {
            let mean = net.forward(&Self::observation(state).map(f64::from))[0];
            -(mean - f64::from(Self::target(state))).powi(2) - variance
        };
        (value(0) + value(1)) / 2.0
    }

    /// One episode in each of `slots` slots.
    #[must_use]
    pub fn roll(policy: &ActingPolicy, slots: usize, rng: &mut EnvRng) -> Rollout {
        let node = policy.distribution();
        let states: Vec<usize> = (0..slots).map(|_| rng.integers(0, 2) as usize).collect();
        let mut batch = Rollout::new(slots, Self::DIM, node.width(), node.action_buffer());
        level(&mut batch, policy, rng, |slot| (Self::observation(states[slot]), &[]));
        let values = batch.actions.values().to_vec();
        let rewards = states.iter().zip(values).map(|(&state, a)| -(a - Self::target(state)).powi(2));
        let rewards: Vec<f32> = rewards.collect();
        rewards.iter().for_each(|&reward| push(&mut batch, reward, true));
        finish(&mut batch, &rewards.iter().map(|&x| f64::from(x)).collect::<Vec<_>>());
        batch
    }
}

/// Observations (and action masks, unless they are empty), noise and actions of one step in every slot. Returns the actions if
/// they are discrete.
pub(super) fn level(
    batch: &mut Rollout,
    policy: &ActingPolicy,
    rng: &mut EnvRng,
    observe: impl Fn(usize) -> ([f32; 2], &'static [bool]),
) -> Vec<u32> {
    let (node, slots, start) = (policy.distribution(), batch.slots(), batch.rows());
    let k = node.width();
    batch.slot.extend(0..slots as u32);
    let rows = start..batch.rows();
    for slot in 0..slots {
        let (observation, mask) = observe(slot);
        batch.observations.extend(observation);
        batch.masks.extend(mask);
    }
    batch.noise.resize(rows.end * k, 0.0);
    batch.noise[start * k..].chunks_exact_mut(k).for_each(|noise| node.draw(rng, noise));
    batch.actions.resize(rows.end);
    let observations = &batch.observations[start * batch.observation_dim..];
    let noise = &batch.noise[start * k..];
    let masks = (batch.mask_dim > 0).then(|| &batch.masks[start * batch.mask_dim..]);
    let scratch = &mut ActingScratch::default();
    policy.act_masked(observations, masks, noise, scratch, &mut batch.actions, rows.clone());
    batch.levels.push(rows.end);
    batch.actions.choice_rows(rows).to_vec()
}

pub(super) fn push(batch: &mut Rollout, reward: f32, terminated: bool) {
    batch.rewards.push(reward);
    batch.terminated.push(terminated);
    batch.truncated.push(false);
}

pub(super) fn finish(batch: &mut Rollout, totals: &[f64]) {
    let (last, length) = ((batch.levels.len() - 2) as u32, (batch.levels.len() - 1) as u32);
    for (slot, &total_reward) in totals.iter().enumerate() {
        batch.episodes.push(Episode {
            level: last,
            slot: slot as u32,
            total_reward,
            length,
            terminated: true,
        });
    }
}
