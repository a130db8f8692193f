//! The stochastic node at the end of a policy: how actions are drawn from noise, and everything an estimator needs of
//! them. Categorical and Gaussian nodes differ here and nowhere else.

use crate::AgentError;
use crate::config::NoiseKind;
use crate::rollout::ActionBuffer;
use relax_envs::{EnvRng, Space};
use relax_estimators::{GaussianNode, Node as DiscreteNode, categorical, gaussian};
use std::ops::Range;

/// The distribution of actions. P numbers parametrise it: K logits, or K means and then K log-standard-deviations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Node {
    /// One of K choices; the noise is K uniforms, the action argmax of logits + Gumbel noise.
    Categorical {
        /// K.
        choices: usize,
    },
    /// K independent Gaussians a = μ + σε; the noise is ε.
    Gaussian {
        /// K.
        dim: usize,
        /// log σ is an output of the network like μ, rather than K numbers of its own (the parameter vector's tail).
        state_dependent: bool,
    },
    /// K numbers in [−1, 1], tanh of the network's outputs plus the noise of an exploration process. It has no score.
    Deterministic {
        /// K.
        dim: usize,
    },
}

impl Node {
    /// The node for an action space; `state_dependent` says where a Gaussian's log σ comes from.
    ///
    /// # Errors
    /// If there is none for this kind of space.
    pub fn for_space(space: &Space, state_dependent: bool) -> Result<Self, AgentError> {
        match space {
            Space::Discrete { n, .. } => Ok(Self::Categorical { choices: *n }),
            Space::Box { .. } => Ok(Self::Gaussian { dim: space.flat_dim(), state_dependent }),
            other => Err(AgentError::ActionSpace(other.to_string())),
        }
    }

    /// K: numbers of noise, width of a relaxed sample.
    #[must_use]
    pub fn width(&self) -> usize {
        match self {
            Self::Categorical { choices } => *choices,
            Self::Gaussian { dim, .. } | Self::Deterministic { dim } => *dim,
        }
    }

    /// O: outputs of the policy network, the first O of the P parameters.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.parameters() - self.tail()
    }

    /// P: parameters of the distribution, width of ĝ.
    #[must_use]
    pub fn parameters(&self) -> usize {
        match self {
            Self::Categorical { choices } => *choices,
            Self::Gaussian { dim, .. } => 2 * dim,
            Self::Deterministic { dim } => *dim,
        }
    }

    /// Trained numbers that are no output of the network: the log-standard-deviations.
    #[must_use]
    pub fn tail(&self) -> usize {
        match self {
            Self::Gaussian { dim, state_dependent: false } => *dim,
            _ => 0,
        }
    }

    /// An empty buffer for this node's actions.
    #[must_use]
    pub fn action_buffer(&self) -> ActionBuffer {
        match self {
            Self::Categorical { .. } => ActionBuffer::Discrete(Vec::new()),
            Self::Gaussian { dim, .. } | Self::Deterministic { dim } => {
                ActionBuffer::Box { values: Vec::new(), dim: *dim }
            }
        }
    }

    /// Draws the noise of one action, `[K]`. A deterministic node's comes from an [`Exploration`](crate::Exploration).
    #[inline]
    pub fn draw(&self, rng: &mut EnvRng, noise: &mut [f32]) {
        match self {
            Self::Categorical { .. } => noise.iter_mut().for_each(|u| *u = rng.uniform_open_f32()),
            Self::Gaussian { .. } => noise.iter_mut().for_each(|e| *e = rng.standard_normal() as f32),
            Self::Deterministic { .. } => noise.fill(0.0),
        }
    }

    /// Actions of `rows` from the network's outputs `[rows, O]`, the tail and the noise `[rows, K]`; `relaxed` is scratch.
    pub fn act(
        &self,
        output: &[f32],
        tail: &[f32],
        noise: &[f32],
        relaxed: &mut Vec<f32>,
        actions: &mut ActionBuffer,
        rows: Range<usize>,
    ) {
        match (self, actions) {
            (Self::Categorical { choices }, ActionBuffer::Discrete(actions)) => {
                // The constant that normalises the logits cannot change which is largest.
                categorical::relaxed_sample(output, noise, fit(relaxed, output.len()));
                categorical::hard_sample(relaxed, *choices, &mut actions[rows]);
            }
            (Self::Gaussian { dim, .. }, ActionBuffer::Box { values, .. }) => {
                let values = &mut values[rows.start * dim..rows.end * dim];
                let inputs = output.chunks_exact(self.outputs()).zip(noise.chunks_exact(*dim));
                for (actions, (output, noise)) in values.chunks_exact_mut(*dim).zip(inputs) {
                    let (mean, own) = output.split_at(*dim);
                    let log_std = if own.is_empty() { tail } else { own };
                    for (i, action) in actions.iter_mut().enumerate() {
                        *action = mean[i] + log_std[i].exp() * noise[i];
                    }
                }
            }
            (Self::Deterministic { dim }, ActionBuffer::Box { values, .. }) => {
                let values = &mut values[rows.start * dim..rows.end * dim];
                squash(output, values);
                values.iter_mut().zip(noise).for_each(|(a, e)| *a = (*a + e).clamp(-1.0, 1.0));
            }
            _ => unreachable!("the rollout's action buffer was made by this node"),
        }
    }

    /// The most likely actions.
    pub fn greedy(&self, output: &[f32], actions: &mut ActionBuffer, rows: Range<usize>) {
        match (self, actions) {
            (Self::Categorical { choices }, ActionBuffer::Discrete(actions)) => {
                categorical::hard_sample(output, *choices, &mut actions[rows]);
            }
            (Self::Gaussian { dim, .. }, ActionBuffer::Box { values, .. }) => {
                let values = &mut values[rows.start * dim..rows.end * dim];
                for (actions, output) in
                    values.chunks_exact_mut(*dim).zip(output.chunks_exact(self.outputs()))
                {
                    actions.copy_from_slice(&output[..*dim]);
                }
            }
            (Self::Deterministic { dim }, ActionBuffer::Box { values, .. }) => {
                squash(output, &mut values[rows.start * dim..rows.end * dim]);
            }
            _ => unreachable!("the rollout's action buffer was made by this node"),
        }
    }
}

/// actions ← tanh(output).
fn squash(output: &[f32], actions: &mut [f32]) {
    for (action, &x) in actions.iter_mut().zip(output) {
        *action = x.tanh();
    }
}

/// One shard's samples of a [`Node`]: rows r, arrays `[r, K]` or `[r, P]`.
#[derive(Debug, Default)]
pub struct Samples {
    /// ∂log π(a)/∂(parameters), `[r, P]`.
    pub score: Vec<f32>,
    /// log π(a), `[r]`.
    pub log_prob: Vec<f32>,
    /// Entropy, `[r]`.
    pub entropy: Vec<f32>,
    /// ∂entropy/∂(parameters), `[r, P]`.
    pub entropy_gradient: Vec<f32>,
    log_probs: Vec<f32>,
    probs: Vec<f32>,
    /// Categorical: z, then z̃ if the noise is independent. Gaussian: the action.
    points: Vec<f32>,
    w: Vec<f32>,
    v: Vec<f32>,
    mean: Vec<f32>,
    log_std: Vec<f32>,
    std: Vec<f32>,
    eps: Vec<f32>,
    choice: Vec<u32>,
    split: [Vec<f32>; 2],
}

fn fit(array: &mut Vec<f32>, len: usize) -> &mut [f32] {
    array.resize(len, 0.0);
    array
}

/// `[r, 2K]` from two `[r, K]`.
fn interleave(k: usize, first: &[f32], second: &[f32], joined: &mut [f32]) {
    for (row, (a, b)) in joined.chunks_exact_mut(2 * k).zip(first.chunks_exact(k).zip(second.chunks_exact(k)))
    {
        row[..k].copy_from_slice(a);
        row[k..].copy_from_slice(b);
    }
}

impl Samples {
    /// Takes in the rows `rows` of a rollout's actions, given the network's outputs `[r, O]` for them.
    pub fn prepare(
        &mut self,
        node: Node,
        output: &[f32],
        tail: &[f32],
        actions: &ActionBuffer,
        rows: Range<usize>,
    ) {
        let (k, r) = (node.width(), rows.len());
        let p = node.parameters();
        fit(&mut self.score, r * p);
        fit(&mut self.entropy_gradient, r * p);
        fit(&mut self.log_prob, r);
        fit(&mut self.entropy, r);
        match (node, actions) {
            (Node::Categorical { .. }, ActionBuffer::Discrete(actions)) => {
                self.choice.clear();
                self.choice.extend_from_slice(&actions[rows]);
                categorical::log_softmax(output, k, fit(&mut self.log_probs, r * k));
                categorical::probabilities(&self.log_probs, fit(&mut self.probs, r * k));
                categorical::score(&self.probs, &self.choice, &mut self.score);
                categorical::log_prob(&self.log_probs, &self.choice, &mut self.log_prob);
                categorical::entropy(&self.log_probs, k, &mut self.entropy);
                categorical::entropy_gradient(&self.log_probs, k, &mut self.entropy_gradient);
            }
            (Node::Gaussian { .. }, ActionBuffer::Box { values, .. }) => {
                self.mean.clear();
                self.log_std.clear();
                for row in output.chunks_exact(node.outputs()) {
                    self.mean.extend_from_slice(&row[..k]);
                    self.log_std.extend_from_slice(if row.len() > k { &row[k..] } else { tail });
                }
                gaussian::standard_deviation(&self.log_std, fit(&mut self.std, r * k));
                let taken = &values[rows.start * k..rows.end * k];
                gaussian::noise_of(&self.mean, &self.std, taken, fit(&mut self.eps, r * k));
                let [mean, log_std] = &mut self.split;
                gaussian::score(&self.eps, &self.std, fit(mean, r * k), fit(log_std, r * k));
                interleave(k, mean, log_std, &mut self.score);
                gaussian::log_prob(&self.eps, &self.log_std, k, &mut self.log_prob);
                gaussian::entropy(&self.log_std, k, &mut self.entropy);
                for row in self.entropy_gradient.chunks_exact_mut(2 * k) {
                    row[..k].fill(0.0);
                    row[k..].fill(1.0);
                }
                self.points.clear();
                self.points.extend_from_slice(taken);
            }
            _ => unreachable!("the rollout's action buffer was made by this node, which has a score"),
        }
    }

    /// The Fisher information E\[s sᵀ\] `[P, P]` at the first row.
    #[must_use]
    pub fn information(&self, node: Node) -> Vec<f64> {
        let (k, p) = (node.width(), node.parameters());
        let mut information = vec![0.0; p * p];
        match node {
            Node::Categorical { .. } => {
                let probs: Vec<f64> = self.probs[..k].iter().map(|&x| f64::from(x)).collect();
                for i in 0..k {
                    for j in 0..k {
                        information[i * p + j] = probs[i] * (f64::from(u8::from(i == j)) - probs[j]);
                    }
                }
            }
            Node::Gaussian { .. } => {
                for i in 0..k {
                    information[i * p + i] = f64::from(self.std[i]).powi(-2);
                    information[(k + i) * p + k + i] = 2.0;
                }
            }
            Node::Deterministic { .. } => unreachable!("a deterministic node has no score"),
        }
        information
    }

    /// Σ log π(a)·advantage.
    #[must_use]
    pub fn weighted_log_prob(&self, advantages: &[f32]) -> f64 {
        self.log_prob.iter().zip(advantages).map(|(&l, &a)| f64::from(l) * f64::from(a)).sum()
    }

    /// Points at which the control variate is evaluated, `[m, K]`: m = 2r (z, then z̃) for a categorical node with
    /// independent noise, else m = r. `noise` is the rollout's `[r, K]`; `rng` draws the independent v.
    pub fn points(&mut self, node: Node, kind: NoiseKind, noise: &[f32], rng: &mut EnvRng) -> &[f32] {
        if let Node::Categorical { .. } = node {
            let len = noise.len();
            let independent = kind == NoiseKind::Independent;
            fit(&mut self.points, if independent { 2 * len } else { len });
            let (z, z_tilde) = self.points.split_at_mut(len);
            categorical::relaxed_sample(&self.log_probs, noise, z);
            fit(&mut self.w, len);
            if independent {
                fit(&mut self.v, len).iter_mut().for_each(|v| *v = rng.uniform_open_f32());
                categorical::conditional_independent(
                    &self.log_probs,
                    &self.choice,
                    &self.v,
                    z_tilde,
                    &mut self.w,
                );
            } else {
                categorical::conditional_coupled(z, &self.choice, &mut self.w);
            }
        }
        &self.points
    }

    /// B `[r, P]`: what a control variate with these values `[m]` and gradients `[m, K]` at the points takes off the
    /// estimator: ĝ = A − B, E\[B\] = 0.
    pub fn correction(&mut self, node: Node, values: &[f32], gradients: &[f32], out: &mut [f32]) {
        let r = self.log_prob.len();
        match node {
            Node::Categorical { choices } => {
                let n = DiscreteNode::categorical(&self.score, &self.w, &self.probs);
                if values.len() == r {
                    relax_estimators::correction_coupled(&n, values, gradients, out);
                } else {
                    let (at_z, at_z_tilde) = gradients.split_at(r * choices);
                    relax_estimators::correction(&n, &values[r..], at_z, at_z_tilde, out);
                }
            }
            Node::Gaussian { dim, .. } => {
                let n = GaussianNode { eps: &self.eps, std: &self.std };
                let [mean, log_std] = &mut self.split;
                let (mean, log_std) = (fit(mean, r * dim), fit(log_std, r * dim));
                relax_estimators::lax_correction(&n, values, gradients, mean, log_std);
                interleave(dim, mean, log_std, out);
            }
            Node::Deterministic { .. } => unreachable!("a deterministic node has no score"),
        }
    }

    /// α `[m]` and β `[m, K]`: the derivatives of a loss by the control variate's values and gradients at the points,
    /// from its derivative `upstream` `[r, P]` by ĝ.
    pub fn adjoint(&mut self, node: Node, upstream: &[f32], alpha: &mut [f32], beta: &mut [f32]) {
        let r = self.log_prob.len();
        match node {
            Node::Categorical { choices } => {
                let n = DiscreteNode::categorical(&self.score, &self.w, &self.probs);
                if alpha.len() == r {
                    relax_estimators::relax_coupled_adjoint(&n, upstream, alpha, beta);
                } else {
                    let (at_z, at_z_tilde) = beta.split_at_mut(r * choices);
                    alpha[..r].fill(0.0);
                    relax_estimators::relax_adjoint(&n, upstream, &mut alpha[r..], at_z, at_z_tilde);
                }
            }
            Node::Gaussian { dim, .. } => {
                let n = GaussianNode { eps: &self.eps, std: &self.std };
                let [mean, log_std] = &mut self.split;
                let (mean, log_std) = (fit(mean, r * dim), fit(log_std, r * dim));
                for ((m, l), row) in mean
                    .chunks_exact_mut(dim)
                    .zip(log_std.chunks_exact_mut(dim))
                    .zip(upstream.chunks_exact(2 * dim))
                {
                    m.copy_from_slice(&row[..dim]);
                    l.copy_from_slice(&row[dim..]);
                }
                relax_estimators::lax_adjoint(&n, mean, log_std, alpha, beta);
            }
            Node::Deterministic { .. } => unreachable!("a deterministic node has no score"),
        }
    }
}

#[cfg(test)]
mod tests;
