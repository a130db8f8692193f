//! The policy network with its stochastic node: acting, and turning gradient estimates into a step of the weights.

use crate::compute::{Compute, shard_count, shard_rows, sum_into};
use crate::config::{AgentConfig, LearnerConfig};
use crate::exploration::Exploration;
use crate::node::{Node, Samples};
use crate::normalize::Scaling;
use crate::rollout::{ActionBuffer, Rollout};
use crate::{AgentError, networks};
use relax_envs::EnvRng;
use relax_nn::{Mlp, MlpShape, Optimizer, StateDict, Workspace, clip_scale, global_norm};
use std::cell::RefCell;
use std::ops::Range;

/// An immutable copy of a policy: what a worker needs in order to act.
#[derive(Debug, Clone, PartialEq)]
pub struct ActingPolicy {
    shape: MlpShape,
    node: Node,
    parameters: Vec<f32>,
    /// The noise of a deterministic node's actions.
    exploration: Option<Exploration>,
    /// What is done to observations before the network sees them.
    scaling: Option<Scaling>,
}

/// Buffers of one actor, allocated once.
#[derive(Debug, Default)]
pub struct ActingScratch {
    workspace: Workspace<f32>,
    observations: Vec<f32>,
    output: Vec<f32>,
    relaxed: Vec<f32>,
}

impl ActingPolicy {
    /// A policy of the network `shape` with these parameters.
    #[must_use]
    pub fn new(shape: MlpShape, node: Node, parameters: Vec<f32>) -> Self {
        Self { shape, node, parameters, exploration: None, scaling: None }
    }

    /// Takes over parameters of the same network without allocating.
    pub fn set_parameters(&mut self, parameters: &[f32]) {
        self.parameters.copy_from_slice(parameters);
    }

    /// Sets where a deterministic node's noise comes from.
    pub fn set_exploration(&mut self, exploration: Exploration) {
        self.exploration = Some(exploration);
    }

    /// Sets what is done to observations before the network sees them.
    pub fn set_scaling(&mut self, scaling: &Scaling) {
        self.scaling.get_or_insert_with(Scaling::default).clone_from(scaling);
    }

    /// Draws the noise of one action, `[K]`; `process` `[K]` is the state of its slot's exploration process.
    #[inline]
    pub fn draw(&self, rng: &mut EnvRng, process: &mut [f32], noise: &mut [f32]) {
        match &self.exploration {
            Some(exploration) => exploration.draw(rng, process, noise),
            None => self.node.draw(rng, noise),
        }
    }

    fn forward(&self, observations: &[f32], scratch: &mut ActingScratch, rows: usize) {
        let ActingScratch { workspace, observations: scaled, output, .. } = scratch;
        output.resize(rows * self.node.outputs(), 0.0);
        let observations = match &self.scaling {
            Some(scaling) => {
                scaled.clear();
                scaled.extend_from_slice(observations);
                scaling.apply(scaled);
                scaled
            }
            None => observations,
        };
        self.shape.forward(&self.parameters, observations, workspace, output);
    }

    /// The stochastic node.
    #[must_use]
    pub fn node(&self) -> Node {
        self.node
    }

    /// Pulls `estimate` `[P]` at the distribution's parameters for one observation `[D]` back to the weights, added to
    /// `gradient`: Jᵀĝ.
    pub fn pull_back(
        &self,
        observation: &[f32],
        estimate: &[f32],
        scratch: &mut ActingScratch,
        gradient: &mut [f32],
    ) {
        self.forward(observation, scratch, 1);
        let ActingScratch { workspace, observations: scaled, .. } = scratch;
        let observation = if self.scaling.is_some() { scaled } else { observation };
        let (to_network, to_tail) = estimate.split_at(self.node.outputs());
        self.shape.reverse(&self.parameters, observation, workspace, to_network, gradient, None);
        gradient[self.shape.tail()].iter_mut().zip(to_tail).for_each(|(d, g)| *d += g);
    }

    /// The scores ∂log π(a|s)/∂l `[A, P]` of continuous or discrete actions `rows` of `actions`, A of them, all taken at the one
    /// `observation` `[D]`, and the Fisher information E\[s sᵀ\] `[P, P]` there.
    #[must_use]
    pub fn scores(
        &self,
        observation: &[f32],
        actions: &ActionBuffer,
        rows: Range<usize>,
        scratch: &mut ActingScratch,
    ) -> (Vec<f32>, Vec<f64>) {
        self.forward(observation, scratch, 1);
        let output = scratch.output.repeat(rows.len());
        let mut samples = Samples::default();
        samples.prepare(self.node, &output, &self.parameters[self.shape.tail()], actions, rows);
        let information = samples.information(self.node);
        (samples.score, information)
    }

    /// Number of the policy's weights.
    #[must_use]
    pub fn weights(&self) -> usize {
        self.parameters.len()
    }

    /// The policy's weights, as its network keeps them.
    #[must_use]
    pub fn parameters(&self) -> &[f32] {
        &self.parameters
    }

    /// Numbers in one observation, D.
    #[must_use]
    pub fn observation_dim(&self) -> usize {
        self.shape.input()
    }

    /// Draws actions for observations `[r, D]` from noise `[r, K]` ([`draw`](Self::draw)), into `rows` of `actions`.
    pub fn act(
        &self,
        observations: &[f32],
        noise: &[f32],
        scratch: &mut ActingScratch,
        actions: &mut ActionBuffer,
        rows: Range<usize>,
    ) {
        if let Some(Exploration::Uniform) = self.exploration {
            return actions.copy_rows(noise, rows);
        }
        self.forward(observations, scratch, rows.len());
        let ActingScratch { output, relaxed, .. } = scratch;
        self.node.act(output, &self.parameters[self.shape.tail()], noise, relaxed, actions, rows);
    }

    /// The most likely actions for observations `[r, D]`, into `rows` of `actions`.
    pub fn act_greedily(
        &self,
        observations: &[f32],
        scratch: &mut ActingScratch,
        actions: &mut ActionBuffer,
        rows: Range<usize>,
    ) {
        self.forward(observations, scratch, rows.len());
        self.node.greedy(&scratch.output, actions, rows);
    }
}

/// Sums over a batch's rows that every estimator reports.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sums {
    /// Σ entropy.
    pub entropy: f64,
    /// Σ log π(a)·advantage.
    pub weighted_log_prob: f64,
    /// Σ ‖ĝ‖² of the estimate.
    pub squared_norm: f64,
    /// Σ ‖ĝ‖² of A2C on the same rows.
    pub squared_norm_a2c: f64,
    /// Σ A·B and Σ B², for the adaptive gain.
    pub gain: (f64, f64),
    /// Σ ‖A‖², the estimate without the control variate's residual.
    pub squared_norm_a: f64,
}

/// One shard of a batch on its way through the policy. `E` is what an agent adds to it.
#[derive(Debug, Default)]
pub struct PolicyShard<E> {
    /// Scores, entropies and relaxed samples of the shard's rows.
    pub samples: Samples,
    /// ĝ `[r, P]`, to be filled by the agent's estimator.
    pub estimate: Vec<f32>,
    /// Sums, to be filled along with it.
    pub sums: Sums,
    /// The agent's own.
    pub extra: E,
    output: Vec<f32>,
    d_output: Vec<f32>,
    gradient: Vec<f32>,
}

thread_local! {
    /// The policy's activations of the shard in hand. One set a thread: the next shard finds it in the cache.
    static ACTIVATIONS: RefCell<Workspace<f32>> = RefCell::default();
}

/// A policy that learns.
#[derive(Debug)]
pub struct Policy<E> {
    net: Mlp<f32>,
    node: Node,
    optimizer: Optimizer<f32>,
    gradient: Vec<f32>,
    shards: Vec<PolicyShard<E>>,
}

impl<E: Default + Send> Policy<E> {
    /// A fresh policy. Its last layer starts small, so that it starts nearly uniform.
    ///
    /// # Errors
    /// If the network cannot be made.
    pub fn new(
        observation_dim: usize,
        node: Node,
        agent: &AgentConfig,
        learner: &LearnerConfig,
        rng: &mut EnvRng,
    ) -> Result<Self, AgentError> {
        let mut shape = MlpShape::new(
            observation_dim,
            &agent.hidden,
            node.outputs(),
            networks::activation(agent.activation),
        );
        if node.tail() > 0 {
            shape = shape.with_tail("log_std", node.tail());
        }
        let mut net = networks::network(shape, 0.01, rng)?;
        if let Node::Gaussian { dim, .. } = node {
            // The last `dim` numbers of the vector: the tail, or the output layer's biases of the log σ.
            let start = net.shape().parameter_count() - dim;
            net.write(|x| x[start..].fill(agent.initial_log_std as f32));
        }
        let len = net.shape().parameter_count();
        Ok(Self {
            node,
            optimizer: Optimizer::new(networks::rule(learner.optimizer), len),
            gradient: vec![0.0; len],
            shards: Vec::new(),
            net,
        })
    }

    /// The stochastic node.
    #[must_use]
    pub fn node(&self) -> Node {
        self.node
    }

    /// The network's parameters, copied.
    #[must_use]
    pub fn parameters(&self) -> Vec<f32> {
        self.net.read(<[f32]>::to_vec)
    }

    /// The shards of the last batch.
    pub fn shards_mut(&mut self) -> &mut [PolicyShard<E>] {
        &mut self.shards
    }

    /// The last batch's ĝ into `estimates` `[rows, P]`, and the gradient of the weights.
    pub fn last_gradient(&self, estimates: &mut Vec<f32>) -> &[f32] {
        estimates.clear();
        self.shards.iter().for_each(|shard| estimates.extend_from_slice(&shard.estimate));
        &self.gradient
    }

    /// A copy to act with.
    #[must_use]
    pub fn snapshot(&self) -> ActingPolicy {
        ActingPolicy::new(self.net.shape().clone(), self.node, self.parameters())
    }

    /// Brings a copy up to date without allocating.
    pub fn refresh(&self, policy: &mut ActingPolicy) {
        self.net.read(|parameters| policy.set_parameters(parameters));
    }

    /// The gradient of −(mean return estimate + `entropy`·entropy) over the batch: sends every shard forward, lets
    /// `estimate` fill its ĝ, and sends ĝ back as a constant. Returns the sums over all rows.
    ///
    /// The entropy bonus enters here, after ĝ has been made: it is part of the objective and not of the estimator.
    pub fn gradient(
        &mut self,
        batch: &Rollout,
        compute: &Compute,
        entropy: f32,
        estimate: impl Fn(usize, Range<usize>, &mut PolicyShard<E>) + Sync,
    ) -> Sums {
        let (rows, node, shape) = (batch.rows(), self.node, self.net.shape());
        self.shards.resize_with(shard_count(rows), PolicyShard::default);
        self.net.read(|parameters| {
            compute.each(&mut self.shards, |i, shard| {
                let rows_here = shard_rows(i, rows);
                let observations = observations(batch, &rows_here);
                ACTIVATIONS.with_borrow_mut(|workspace| {
                    shard.output.resize(rows_here.len() * node.outputs(), 0.0);
                    shape.forward(parameters, observations, workspace, &mut shard.output);
                    let tail = &parameters[shape.tail()];
                    shard.samples.prepare(node, &shard.output, tail, &batch.actions, rows_here.clone());
                    shard.estimate.resize(rows_here.len() * node.parameters(), 0.0);
                    shard.sums = Sums {
                        entropy: shard.samples.entropy.iter().map(|&h| f64::from(h)).sum(),
                        ..Sums::default()
                    };
                    estimate(i, rows_here, shard);
                    shard.reverse(node, (shape, parameters), observations, workspace, entropy, rows);
                });
            });
        });
        sum_into(&mut self.gradient, self.shards.iter().map(|shard| shard.gradient.as_slice()));
        self.shards.iter().fold(Sums::default(), |a, shard| {
            let b = shard.sums;
            Sums {
                entropy: a.entropy + b.entropy,
                weighted_log_prob: a.weighted_log_prob + b.weighted_log_prob,
                squared_norm: a.squared_norm + b.squared_norm,
                squared_norm_a2c: a.squared_norm_a2c + b.squared_norm_a2c,
                gain: (a.gain.0 + b.gain.0, a.gain.1 + b.gain.1),
                squared_norm_a: a.squared_norm_a + b.squared_norm_a,
            }
        })
    }

    /// Clips the gradient and takes one step with it. Returns its norm before clipping.
    ///
    /// # Errors
    /// If the gradient is not finite; the policy is then unchanged.
    pub fn step(&mut self, learning_rate: f64, max_norm: f64) -> Result<f64, AgentError> {
        let norm = global_norm(&self.gradient);
        if !norm.is_finite() {
            return Err(AgentError::NotFinite { what: "policy gradient" });
        }
        let (optimizer, gradient) = (&mut self.optimizer, &self.gradient);
        self.net.write(|x| optimizer.step(x, gradient, learning_rate, clip_scale(norm, max_norm)));
        Ok(norm)
    }

    /// For the last batch, at parameters `theta`, which must be the ones the batch went forward with: leaves in every
    /// shard's `estimate` the vector q_t = (2/B) J_t G, where G = (1/B) Σ_t J_tᵀ ĝ_t is the weight gradient that the ĝ
    /// now in `estimate` make. q is the derivative of ‖G‖² by ĝ. Returns ‖G‖².
    pub fn weight_objective(&mut self, batch: &Rollout, compute: &Compute, theta: &[f32]) -> f64 {
        let (rows, node, shape) = (batch.rows(), self.node, self.net.shape());
        compute.each(&mut self.shards, |i, shard| {
            let x = observations(batch, &shard_rows(i, rows));
            ACTIVATIONS.with_borrow_mut(|workspace| {
                shape.forward(theta, x, workspace, &mut shard.output);
                shard.reverse(node, (shape, theta), x, workspace, 0.0, rows);
            });
        });
        sum_into(&mut self.gradient, self.shards.iter().map(|shard| shard.gradient.as_slice()));
        let (gradient, k, p) = (&self.gradient, node.outputs(), node.parameters());
        compute.each(&mut self.shards, |i, shard| {
            let x = observations(batch, &shard_rows(i, rows));
            ACTIVATIONS.with_borrow_mut(|workspace| {
                shape.forward(theta, x, workspace, &mut shard.output);
                shape.parameter_tangent(theta, gradient, x, workspace, &mut shard.d_output);
            });
            // The reverse pass descends: its G carries a minus sign, which the tangent's scale takes off again.
            let scale = -2.0 / rows as f32;
            for (q, d) in shard.estimate.chunks_exact_mut(p).zip(shard.d_output.chunks_exact(k)) {
                q[..k].iter_mut().zip(d).for_each(|(q, d)| *q = scale * d);
                q[k..].iter_mut().zip(&gradient[shape.tail()]).for_each(|(q, d)| *q = scale * d);
            }
        });
        global_norm(&self.gradient).powi(2)
    }

    /// Weights and optimiser.
    #[must_use]
    pub fn state(&self) -> StateDict {
        networks::state(&self.net, &self.optimizer)
    }

    /// Takes over what [`state`](Self::state) gave.
    ///
    /// # Errors
    /// If an array is missing or does not fit.
    pub fn restore(&mut self, state: &StateDict) -> Result<(), AgentError> {
        networks::restore(&mut self.net, &mut self.optimizer, state)
    }
}

fn observations<'a>(batch: &'a Rollout, rows: &Range<usize>) -> &'a [f32] {
    let dim = batch.observation_dim;
    &batch.observations[rows.start * dim..rows.end * dim]
}

impl<E> PolicyShard<E> {
    /// Sends −(ĝ + entropy·∇H)/rows back through the network.
    fn reverse(
        &mut self,
        node: Node,
        (shape, parameters): (&MlpShape, &[f32]),
        observations: &[f32],
        workspace: &Workspace<f32>,
        entropy: f32,
        rows: usize,
    ) {
        let (k, p, scale) = (node.outputs(), node.parameters(), -1.0 / rows as f32);
        self.gradient.clear();
        self.gradient.resize(parameters.len(), 0.0);
        self.d_output.resize(self.output.len(), 0.0);
        let tail = &mut self.gradient[shape.tail()];
        let rows = self.estimate.chunks_exact(p).zip(self.samples.entropy_gradient.chunks_exact(p));
        for (d, (g, h)) in self.d_output.chunks_exact_mut(k).zip(rows) {
            d.iter_mut().zip(g.iter().zip(h)).for_each(|(d, (g, h))| *d = scale * (g + entropy * h));
            tail.iter_mut()
                .zip(g[k..].iter().zip(&h[k..]))
                .for_each(|(d, (g, h))| *d += scale * (g + entropy * h));
        }
        let Self { d_output, gradient, .. } = self;
        shape.reverse(parameters, observations, workspace, d_output, gradient, None);
    }
}
