//! Two action values Q₁(s, a) and Q₂(s, a), trained on replayed transitions towards one target: the smaller of the two at the
//! next step, which keeps their errors from being taken for good actions (Fujimoto et al. 2018, §4.2).

use super::networks::{self, Network};
use super::q_critic::join;
use super::replay::Minibatch;
use super::target_network::TargetNetwork;
use crate::AgentError;
use crate::config::OptimizerKind;
use relax_envs::EnvRng;
use relax_nn::{StateDict, Workspace};

/// Two networks on observation and action, each with its target network. They start differently and learn from the same
/// minibatches.
#[derive(Debug)]
pub struct TwinCritics {
    nets: [TargetNetwork; 2],
    workspace: Workspace<f32>,
    /// `[B, D + K]`.
    input: Vec<f32>,
    /// `[B]` each.
    values: [Vec<f32>; 2],
    /// `[B, D + K]` each.
    input_gradients: [Vec<f32>; 2],
}

impl TwinCritics {
    /// Fresh critics of observations of `observation_dim` numbers and actions of `action_dim`, the weights of each drawn from
    /// its own stream.
    ///
    /// # Errors
    /// If a network cannot be made.
    pub fn new(
        observation_dim: usize,
        action_dim: usize,
        network: &Network<'_>,
        optimizer: OptimizerKind,
        mut rngs: [EnvRng; 2],
    ) -> Result<Self, AgentError> {
        let shape = networks::shape(observation_dim + action_dim, network, 1)?;
        Ok(Self {
            nets: rngs.each_mut().map(|rng| TargetNetwork::new(shape.clone(), 1.0, optimizer, rng)),
            workspace: Workspace::new(),
            input: Vec::new(),
            values: Default::default(),
            input_gradients: Default::default(),
        })
    }

    /// values `[B]` ← min over both target networks of Q'(s', a'), with a' `[B, K]` the actions to be taken in s'.
    pub fn next_values(&mut self, batch: &Minibatch, next_actions: &[f32], values: &mut [f32]) {
        let Self { nets: [first, second], workspace, input, values: [_, other], .. } = self;
        join(&batch.next_observations, next_actions, values.len(), input);
        other.resize(values.len(), 0.0);
        first.shape.forward(&first.target, &*input, workspace, values);
        second.shape.forward(&second.target, &*input, workspace, other);
        values.iter_mut().zip(other).for_each(|(q, other)| *q = smaller(*q, *other));
    }

    /// Steps both networks down the gradient of ½ mean (Q(s, a) − y)², with a `[B, K]` and y `[B]`. Returns its mean over
    /// the two, before the step.
    ///
    /// # Errors
    /// If a gradient is not finite.
    pub fn step(
        &mut self,
        batch: &Minibatch,
        actions: &[f32],
        targets: &[f32],
        rate: f64,
        max_norm: f64,
    ) -> Result<f64, AgentError> {
        let Self { nets, workspace, input, values: [values, _], .. } = self;
        let rows = targets.len();
        join(&batch.observations, actions, rows, input);
        values.resize(rows, 0.0);
        let mut total = 0.0;
        for net in nets {
            net.shape.forward(&net.parameters, &*input, workspace, values);
            for (q, y) in values.iter_mut().zip(targets) {
                let error = *q - y;
                total += f64::from(error) * f64::from(error);
                *q = error / rows as f32;
            }
            net.shape.reverse(&net.parameters, &*input, workspace, values, &mut net.gradient, None);
            net.step(rate, max_norm, "critic's gradient")?;
        }
        Ok(0.25 * total / rows as f64)
    }

    /// ∇_a Q₁(s, a) `[B, K]` at observations `[B, D]` and `actions` `[B, K]`. Returns mean Q₁.
    pub fn first_gradient(&mut self, observations: &[f32], actions: &[f32], gradient: &mut [f32]) -> f64 {
        self.gradients(observations, actions, gradient, 1)
    }

    /// ∇_a of the smaller of Q₁ and Q₂, row by row, `[B, K]`, at observations `[B, D]` and `actions` `[B, K]`. Returns the mean
    /// of the smaller.
    pub fn smaller_gradient(&mut self, observations: &[f32], actions: &[f32], gradient: &mut [f32]) -> f64 {
        self.gradients(observations, actions, gradient, 2)
    }

    /// Of the first `count` networks.
    fn gradients(
        &mut self,
        observations: &[f32],
        actions: &[f32],
        gradient: &mut [f32],
        count: usize,
    ) -> f64 {
        let Self { nets, workspace, input, values, input_gradients, .. } = self;
        let width = nets[0].shape.input();
        let dim = observations.len() * width / (observations.len() + actions.len());
        let (rows, k) = (observations.len() / dim, width - dim);
        join(observations, actions, rows, input);
        for ((net, values), gradients) in
            nets.iter().zip(values.iter_mut()).zip(input_gradients.iter_mut()).take(count)
        {
            values.resize(rows, 0.0);
            gradients.resize(input.len(), 0.0);
            net.shape.value_and_gradient(&net.parameters, input, workspace, values, gradients);
        }
        let mut sum = 0.0;
        for (row, to) in gradient.chunks_exact_mut(k).enumerate() {
            let second = count > 1 && values[1][row] < values[0][row];
            let from = &input_gradients[usize::from(second)][row * width..(row + 1) * width];
            to.copy_from_slice(&from[dim..]);
            sum += f64::from(values[usize::from(second)][row]);
        }
        sum / rows as f64
    }

    /// target ← target + τ (parameters − target), of both.
    pub fn follow(&mut self, tau: f32) {
        self.nets.iter_mut().for_each(|net| net.follow(tau));
    }

    /// All weights and optimisers.
    #[must_use]
    pub fn state(&self) -> StateDict {
        let mut state = StateDict::new();
        for (name, net) in NAMES.iter().zip(&self.nets) {
            state.insert_all(name, net.state());
        }
        state
    }

    /// Takes over what [`state`](Self::state) gave.
    ///
    /// # Errors
    /// If an array is missing or does not fit.
    pub fn restore(&mut self, state: &StateDict) -> Result<(), AgentError> {
        for (name, net) in NAMES.iter().zip(&mut self.nets) {
            net.restore(&state.subset(name))?;
        }
        Ok(())
    }
}

const NAMES: [&str; 2] = ["first", "second"];

/// The smaller of two values; NaN if one is, where `f32::min` would pass over it.
fn smaller(a: f32, b: f32) -> f32 {
    if a < b {
        a
    } else if b <= a {
        b
    } else {
        f32::NAN
    }
}
