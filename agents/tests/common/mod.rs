//! What the tests of agents share: the tasks and the oracle of `relax_agents::certify`, and an agent's gradients read from its
//! optimisers.

#![allow(dead_code, unused_imports)]

pub use relax_agents::certify::{Aim, Net, Task, finite_differences, log_probs};
use relax_agents::{Agent, AgentSettings, Compute, Metrics, Rollout, RolloutShape, agent_spec, make_agent};
use relax_envs::{EnvRng, Space};
use relax_nn::{StateDict, StateTensor};

/// ‖found − expected‖ / ‖expected‖.
pub fn relative_error(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let norm = |x: &mut dyn Iterator<Item = f64>| x.map(|x| x * x).sum::<f64>().sqrt();
    norm(&mut found.iter().zip(expected).map(|(a, b)| a - b)) / norm(&mut expected.iter().copied())
}

/// The estimator alone: rewards and observations as they are, Monte-Carlo returns, one step of the critic a batch.
const PLAIN: &str = "lambda = 1.0\nvalue_epochs = 1\nanneal = false\nnormalize_observations = false\nnormalize_rewards = false";

/// Settings from the texts of `[agent]` and `[learner]`, with what `learner` does not say [plain](PLAIN).
pub fn settings(agent: &str, learner: &str) -> AgentSettings {
    let parse = |text: &str| text.parse::<toml::Table>().unwrap_or_else(|error| panic!("{text}: {error}"));
    let mut all = parse(PLAIN);
    all.extend(parse(learner));
    AgentSettings::from_texts(agent, &all.to_string()).unwrap_or_else(|error| panic!("{agent}: {error}"))
}

/// What is said of an agent with these keys before anything runs; none if nothing is wrong.
pub fn refusal(kind: &str, agent: &str, learner: &str) -> Option<String> {
    match AgentSettings::from_texts(&format!("kind = '{kind}'\n{agent}"), learner) {
        Err(error) => Some(error.to_string()),
        Ok(settings) => {
            let refused = agent_spec(kind).unwrap().refuse(&settings, RolloutShape::default());
            refused.err().map(|refusal| refusal.message)
        }
    }
}

/// An agent `kind` that acts in boxes with bounds has no estimator to dissect, and says whom it refuses other spaces for.
pub fn acts_in_bounded_boxes_only(kind: &str) {
    let settings = settings(&format!("kind = '{kind}'"), "");
    assert!(agent_spec(kind).unwrap().refuse_dissection(&settings).is_err());
    for space in [Space::discrete(3), Space::uniform_box(f32::NEG_INFINITY, 1.0, &[1])] {
        let made = relax_agents::make_agent(&settings, &Space::uniform_box(-1.0, 1.0, &[3]), &space, 0);
        let said = made.err().unwrap().to_string();
        assert!(said.starts_with(&format!("agent.kind = \"{kind}\"")), "{said}");
    }
}

/// An agent for observations of `dim` numbers.
pub fn agent(settings: &AgentSettings, dim: usize, actions: &Space, seed: u64) -> Box<dyn Agent> {
    let observations = Space::uniform_box(-10.0, 10.0, &[dim]);
    make_agent(settings, &observations, actions, seed).unwrap_or_else(|error| panic!("{error}"))
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

/// The continuous actions of a batch.
pub fn numbers(batch: &Rollout) -> Vec<f32> {
    match &batch.actions {
        relax_agents::ActionBuffer::Box { values, .. } => values.clone(),
        _ => panic!("the actions are discrete"),
    }
}

/// The discrete actions of a batch.
pub fn choices(batch: &Rollout) -> Vec<u32> {
    match &batch.actions {
        relax_agents::ActionBuffer::Discrete(values) => values.clone(),
        _ => panic!("the actions are no single choices"),
    }
}

/// `rows` steps of two slots with random numbers in them: some terminate and some are truncated.
pub fn experience(rows: usize, dim: usize, k: usize, rng: &mut EnvRng) -> Rollout {
    let mut numbers = |len: usize| (0..len).map(|_| rng.standard_normal() as f32).collect::<Vec<f32>>();
    let actions = numbers(rows * k).iter().map(|a| a.clamp(-0.9, 0.9)).collect();
    let mut batch = Rollout::new(2, dim, k, relax_agents::ActionBuffer::Box { values: actions, dim: k });
    batch.levels = (0..=rows / 2).map(|level| 2 * level).collect();
    batch.slot = (0..rows as u32).map(|row| row % 2).collect();
    batch.observations = numbers(rows * dim);
    batch.noise = numbers(rows * k);
    batch.rewards = numbers(rows);
    batch.terminated = (0..rows).map(|row| row % 7 == 3).collect();
    batch.truncated = (0..rows).map(|row| row % 11 == 5).collect();
    batch.truncated_rows = (0..rows as u32).filter(|row| row % 11 == 5).collect();
    batch.final_observations = numbers(batch.truncated_rows.len() * dim);
    batch.next_observations = numbers(2 * dim);
    batch
}

/// A network of an agent's state whose weights are far from their start, with Adam as if it had never stepped.
pub fn stir(state: &mut StateDict, network: &str, arrays: &[&str], rng: &mut EnvRng) {
    for array_name in arrays {
        let name = format!("{network}.{array_name}");
        let fresh: Vec<f32> =
            (0..array(state, &name).len()).map(|_| 0.6 * rng.standard_normal() as f32).collect();
        state.insert_f32(name, &fresh);
    }
}
