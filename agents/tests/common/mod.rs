//! What the tests of agents share: a network in double precision that owes nothing to the kernels, small tasks that
//! can be enumerated, and an agent's gradients read from its optimisers.

#![allow(dead_code)]

use relax_agents::{
    ActingPolicy, ActingScratch, Agent, AgentConfig, Compute, Episode, LearnerConfig, Metrics, Node, Rollout,
    make_agent,
};
use relax_envs::{EnvRng, Space};
use relax_nn::{StateDict, StateTensor};

/// A tanh perceptron, computed the slow and obvious way. Per layer: weights `[in, out]`, then biases.
#[derive(Debug, Clone)]
pub struct Net {
    pub widths: Vec<usize>,
    pub parameters: Vec<f64>,
}

impl Net {
    /// A network; parameters beyond those of the layers are left alone.
    pub fn new(input: usize, hidden: &[usize], output: usize, parameters: &[f32]) -> Self {
        let widths = [&[input], hidden, &[output]].concat();
        Self { widths, parameters: parameters.iter().map(|&x| f64::from(x)).collect() }
    }

    /// What every layer gives, the input first.
    fn activations(&self, x: &[f64]) -> Vec<Vec<f64>> {
        let mut all = vec![x.to_vec()];
        let mut at = 0;
        for (layer, width) in self.widths.windows(2).enumerate() {
            let (n, m) = (width[0], width[1]);
            let (weights, biases) = (&self.parameters[at..], &self.parameters[at + n * m..]);
            let y = (0..m).map(|j| {
                let sum: f64 = biases[j] + (0..n).map(|i| all[layer][i] * weights[i * m + j]).sum::<f64>();
                if layer + 2 == self.widths.len() { sum } else { sum.tanh() }
            });
            let y = y.collect();
            all.push(y);
            at += n * m + m;
        }
        all
    }

    pub fn forward(&self, x: &[f64]) -> Vec<f64> {
        self.activations(x).pop().expect("an output")
    }

    /// Gradients of `d`·output by parameters (added to `gradient`) and by the input (returned).
    pub fn reverse(&self, x: &[f64], d: &[f64], gradient: &mut [f64]) -> Vec<f64> {
        let all = self.activations(x);
        let mut d = d.to_vec();
        let mut at: usize = self.widths.windows(2).map(|w| w[0] * w[1] + w[1]).sum();
        for (layer, width) in self.widths.windows(2).enumerate().rev() {
            let (n, m) = (width[0], width[1]);
            at -= n * m + m;
            if layer + 2 < self.widths.len() {
                d.iter_mut().zip(&all[layer + 1]).for_each(|(d, y)| *d *= 1.0 - y * y);
            }
            let mut below = vec![0.0; n];
            for i in 0..n {
                for j in 0..m {
                    gradient[at + i * m + j] += all[layer][i] * d[j];
                    below[i] += self.parameters[at + i * m + j] * d[j];
                }
            }
            (0..m).for_each(|j| gradient[at + n * m + j] += d[j]);
            d = below;
        }
        d
    }

    /// c and ∇c of a network with one output.
    pub fn value_and_gradient(&self, x: &[f64]) -> (f64, Vec<f64>) {
        let mut by_parameters = vec![0.0; self.parameters.len()];
        (self.forward(x)[0], self.reverse(x, &[1.0], &mut by_parameters))
    }
}

/// d f/d x by central differences.
pub fn finite_differences(x: &[f64], mut f: impl FnMut(&[f64]) -> f64) -> Vec<f64> {
    let mut x = x.to_vec();
    let step = 1e-5;
    (0..x.len())
        .map(|i| {
            let old = x[i];
            x[i] = old + step;
            let above = f(&x);
            x[i] = old - step;
            let below = f(&x);
            x[i] = old;
            (above - below) / (2.0 * step)
        })
        .collect()
}

/// log softmax.
pub fn log_probs(logits: &[f64]) -> Vec<f64> {
    let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logits.iter().map(|l| (l - most).exp()).sum();
    logits.iter().map(|l| l - most - sum.ln()).collect()
}

/// ‖found − expected‖ / ‖expected‖.
pub fn relative_error(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let norm = |x: &mut dyn Iterator<Item = f64>| x.map(|x| x * x).sum::<f64>().sqrt();
    norm(&mut found.iter().zip(expected).map(|(a, b)| a - b)) / norm(&mut expected.iter().copied())
}

pub fn agent_config(text: &str) -> AgentConfig {
    toml::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

pub fn learner_config(text: &str) -> LearnerConfig {
    toml::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// An agent for observations of `dim` numbers.
pub fn agent(
    config: &AgentConfig,
    learner: &LearnerConfig,
    dim: usize,
    actions: &Space,
    seed: u64,
) -> Box<dyn Agent> {
    let observations = Space::uniform_box(-10.0, 10.0, &[dim]);
    make_agent(config, learner, &observations, actions, seed).unwrap_or_else(|error| panic!("{error}"))
}

/// An array of an agent's state.
pub fn array(state: &StateDict, name: &str) -> Vec<f32> {
    match state.get(name) {
        Ok(StateTensor::F32 { data, .. }) => data.clone(),
        other => panic!("{name}: {other:?}"),
    }
}

/// `state` with another array of 32-bit floats.
pub fn with(state: &StateDict, name: &str, data: &[f32]) -> StateDict {
    let mut state = state.clone();
    assert!(state.get(name).is_ok(), "{name}");
    state.insert_f32(name, data);
    state
}

/// `state` with Adam as if it had never stepped, and the counter of updates at `updates`: the next step's gradient can
/// be read from its first moment, and every counter has noise of its own.
pub fn rewound(state: &StateDict, updates: u64) -> StateDict {
    let mut state = state.clone();
    for network in ["policy", "critic", "control_variate"] {
        let name = format!("{network}.parameters");
        if state.get(&name).is_err() {
            continue;
        }
        let zeros = vec![0.0; array(&state, &name).len()];
        state.insert_f32(format!("{network}.optimizer.first_moment"), &zeros);
        state.insert_f32(format!("{network}.optimizer.second_moment"), &zeros);
        state.insert(format!("{network}.optimizer.steps"), StateTensor::U64(vec![0]));
    }
    if state.get("updates").is_ok() {
        state.insert("updates", StateTensor::U64(vec![updates]));
    }
    state
}

/// The gradient that a network's Adam, [`rewound`] before, was given: its first moment is a tenth of it.
pub fn gradient(agent: &dyn Agent, network: &str) -> Vec<f64> {
    let first = array(&agent.state(), &format!("{network}.optimizer.first_moment"));
    first.iter().map(|&m| f64::from(m) / f64::from(1.0 - 0.9f32)).collect()
}

/// One update of the policy; panics on errors.
pub fn improve(agent: &mut dyn Agent, batch: &Rollout) -> Metrics {
    let mut metrics = Metrics::default();
    let improved = agent.improve_policy(batch, 0.0, &Compute::serial(), &mut metrics);
    improved.unwrap_or_else(|error| panic!("{error}"));
    metrics
}

/// One fit of the critics; panics on errors.
pub fn fit(agent: &mut dyn Agent, batch: &Rollout) -> Metrics {
    let mut metrics = Metrics::default();
    let fitted = agent.fit_critics(batch, 0.0, &Compute::serial(), &mut metrics);
    fitted.unwrap_or_else(|error| panic!("{error}"));
    metrics
}

/// A task of a fixed number of steps, small enough to enumerate. All three states may be the first; (s, a) leads to one
/// of two states with probabilities ⅓ and ⅔.
pub struct Task;

impl Task {
    pub const STATES: usize = 3;
    pub const ACTIONS: usize = 3;
    pub const HORIZON: usize = 2;
    /// Numbers in an observation.
    pub const DIM: usize = 2;

    pub fn observation(state: usize) -> [f32; 2] {
        [[0.5, -1.0], [-0.25, 0.75], [1.5, 0.25]][state]
    }

    pub fn next(state: usize, action: usize) -> [(usize, f64); 2] {
        [((state + action) % 3, 1.0 / 3.0), ((state + 2 * action + 1) % 3, 2.0 / 3.0)]
    }

    pub fn reward(state: usize, action: usize) -> f32 {
        [[1.0, -2.0, 0.5], [0.0, 3.0, -1.0], [-0.5, 1.5, 2.0]][state][action]
    }

    /// Expected return of the policy with these parameters, by enumeration of every path.
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
    pub fn roll(policy: &ActingPolicy, slots: usize, rng: &mut EnvRng) -> Rollout {
        let node = policy.node();
        let mut states: Vec<usize> = (0..slots).map(|_| rng.integers(0, 3) as usize).collect();
        let mut batch = Rollout::new(slots, Self::DIM, node.width(), node.action_buffer());
        let mut totals = vec![0.0; slots];
        for t in 0..Self::HORIZON {
            let last = t + 1 == Self::HORIZON;
            let actions = level(&mut batch, policy, rng, |slot| Self::observation(states[slot]));
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
    pub const DIM: usize = 2;

    pub fn observation(state: usize) -> [f32; 2] {
        [[1.0, -0.5], [-0.75, 0.5]][state]
    }

    pub fn target(state: usize) -> f32 {
        [0.8, -1.2][state]
    }

    /// Expected reward: −(μ − k)² − σ², the mean of both states.
    pub fn expected_return(net: &Net, parameters: &[f64]) -> f64 {
        let net = Net { parameters: parameters.to_vec(), ..net.clone() };
        let variance = (2.0 * parameters[parameters.len() - 1]).exp();
        let value = |state| {
            let mean = net.forward(&Self::observation(state).map(f64::from))[0];
            -(mean - f64::from(Self::target(state))).powi(2) - variance
        };
        (value(0) + value(1)) / 2.0
    }

    pub fn roll(policy: &ActingPolicy, slots: usize, rng: &mut EnvRng) -> Rollout {
        let node = policy.node();
        let states: Vec<usize> = (0..slots).map(|_| rng.integers(0, 2) as usize).collect();
        let mut batch = Rollout::new(slots, Self::DIM, node.width(), node.action_buffer());
        level(&mut batch, policy, rng, |slot| Self::observation(states[slot]));
        let values = numbers(&batch);
        let rewards = states.iter().zip(values).map(|(&state, a)| -(a - Self::target(state)).powi(2));
        let rewards: Vec<f32> = rewards.collect();
        rewards.iter().for_each(|&reward| push(&mut batch, reward, true));
        finish(&mut batch, &rewards.iter().map(|&x| f64::from(x)).collect::<Vec<_>>());
        batch
    }
}

/// The continuous actions of a batch.
pub fn numbers(batch: &Rollout) -> Vec<f32> {
    match &batch.actions {
        relax_agents::ActionBuffer::Box { values, .. } => values.clone(),
        relax_agents::ActionBuffer::Discrete(_) => panic!("the actions are discrete"),
    }
}

/// The discrete actions of a batch.
pub fn choices(batch: &Rollout) -> Vec<u32> {
    match &batch.actions {
        relax_agents::ActionBuffer::Discrete(values) => values.clone(),
        relax_agents::ActionBuffer::Box { .. } => panic!("the actions are numbers"),
    }
}

/// Observations, noise and actions of one step in every slot. Returns the actions if they are discrete.
fn level(
    batch: &mut Rollout,
    policy: &ActingPolicy,
    rng: &mut EnvRng,
    observation: impl Fn(usize) -> [f32; 2],
) -> Vec<u32> {
    let (node, slots, start) = (policy.node(), batch.slots(), batch.rows());
    let k = node.width();
    batch.slot.extend(0..slots as u32);
    let rows = start..batch.rows();
    (0..slots).for_each(|slot| batch.observations.extend(observation(slot)));
    batch.noise.resize(rows.end * k, 0.0);
    batch.noise[start * k..].chunks_exact_mut(k).for_each(|noise| node.draw(rng, noise));
    batch.actions.resize(rows.end);
    let observations = &batch.observations[start * batch.observation_dim..];
    let noise = &batch.noise[start * k..];
    policy.act(observations, noise, &mut ActingScratch::default(), &mut batch.actions, rows.clone());
    batch.levels.push(rows.end);
    match node {
        Node::Categorical { .. } => choices(batch)[rows].to_vec(),
        Node::Gaussian { .. } | Node::Deterministic { .. } => Vec::new(),
    }
}

fn push(batch: &mut Rollout, reward: f32, terminated: bool) {
    batch.rewards.push(reward);
    batch.terminated.push(terminated);
    batch.truncated.push(false);
}

fn finish(batch: &mut Rollout, totals: &[f64]) {
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
