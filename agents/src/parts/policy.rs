//! The policy network with its distribution of actions: turning gradient estimates into a step of the weights.

use super::centred::Centred;
use super::networks::{self, Network};
use crate::compute::{Compute, add_up, shard_rows_of};
use crate::config::OptimizerKind;
use crate::distribution::{Distribution, Head, Samples, mask_logits};
use crate::kept::stamp;
use crate::rollout::Rollout;
use crate::{ActingPolicy, AgentError, Observed};
use relax_envs::EnvRng;
use relax_nn::{AffineLayer, EncodedShape, EncodedWorkspace, Optimizer, StateDict, clip_scale, global_norm};
use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;

mod shard;

pub use shard::{Extras, PolicyShard, Sums};

thread_local! {
    /// The policy's activations of the shard in hand. One set a thread: the next shard finds it in the cache.
    static ACTIVATIONS: RefCell<EncodedWorkspace> = RefCell::default();
}

/// A policy that learns.
#[derive(Debug)]
pub struct Policy<E> {
    shape: EncodedShape,
    parameters: Vec<f32>,
    distribution: Arc<dyn Distribution>,
    optimizer: Optimizer<f32>,
    gradient: Vec<f32>,
    centring: Centred,
    shards: Vec<PolicyShard<E>>,
    shard_rows: usize,
    /// Whether its encoder is yet to be fitted to the first observations.
    fresh: bool,
    /// Of these very weights: what a copy of them made of a batch while it acted is what the gradient's own pass would make.
    stamp: u64,
}

impl<E: Default + Send> Policy<E> {
    /// A fresh policy that sees `observed`: so many numbers, or the features of an encoder of its own. Its last layer starts
    /// small, so that it starts nearly uniform.
    ///
    /// # Errors
    /// If the distribution has no score, or the network cannot be made.
    pub fn new(
        observed: impl Into<Observed>,
        distribution: Arc<dyn Distribution>,
        network: &Network<'_>,
        optimizer: OptimizerKind,
        rng: &mut EnvRng,
    ) -> Result<Self, AgentError> {
        Samples::new(&*distribution)?;
        let observed = observed.into();
        let head = networks::policy_shape(observed.features(), network, &*distribution)?;
        let shape = EncodedShape::new(observed.encoder().cloned(), head);
        let mut parameters = shape.initial(rng, networks::HIDDEN_GAIN, 0.01);
        distribution.initialise(&mut parameters[shape.head_range()]);
        let len = parameters.len();
        Ok(Self {
            distribution,
            optimizer: Optimizer::new(networks::rule(optimizer), len),
            gradient: vec![0.0; len],
            centring: Centred::new(
                centred(&shape),
                vec![(shape.head_range().start, observed.encoder_rate()), (len, 1.0)],
            ),
            shards: Vec::new(),
            shard_rows: observed.shard_rows(),
            fresh: shape.encoder().is_some(),
            stamp: stamp(),
            shape,
            parameters,
        })
    }

    /// The distribution of its actions.
    #[must_use]
    pub fn distribution(&self) -> &Arc<dyn Distribution> {
        &self.distribution
    }

    /// Stamp of its weights as they are.
    #[cfg(test)]
    pub(crate) fn stamp(&self) -> u64 {
        self.stamp
    }

    /// The network's parameters, copied.
    #[must_use]
    pub fn parameters(&self) -> Vec<f32> {
        self.parameters.clone()
    }

    /// The shards of the last batch.
    #[must_use]
    pub fn shards(&self) -> &[PolicyShard<E>] {
        &self.shards
    }

    /// The shards of the last batch, to be written.
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
        let distribution = self.distribution.clone();
        let mut policy =
            ActingPolicy::new(self.shape.clone(), distribution, self.parameters(), "policy.parameters");
        policy.set_reads_bytes(self.shape.encoder().is_some());
        policy.set_stamp(self.stamp);
        policy
    }

    /// Brings a copy up to date without allocating.
    pub fn refresh(&self, policy: &mut ActingPolicy) {
        policy.set_parameters(&self.parameters);
        policy.set_stamp(self.stamp);
    }

    /// Sends every shard forward and shows its samples, without any gradient.
    ///
    /// # Errors
    /// If the distribution has no score, or an encoder fails.
    pub fn visit(
        &mut self,
        batch: &Rollout,
        compute: &Compute,
        see: impl Fn(usize, Range<usize>, &mut PolicyShard<E>) + Sync,
    ) -> Result<(), AgentError> {
        self.fit_shards(batch.rows())?;
        let Self { shape, parameters, shards, shard_rows, stamp, .. } = self;
        let (network, all) = ((&*shape, &parameters[..], *stamp), batch.rows());
        compute.each(shards, |i, shard| {
            let rows = shard_rows_of(*shard_rows, i, all);
            ACTIVATIONS.with_borrow_mut(|workspace| {
                shard.forward(network, batch, (i, rows.clone()), workspace);
            });
            mask_logits(&mut shard.output, batch.mask_rows(rows.clone()));
            let head = Head { output: &shard.output, tail: &parameters[shape.tail()] };
            shard.samples.prepare(head, &batch.actions, rows.clone());
            see(i, rows, shard);
        });
        self.check()
    }

    /// What an encoder said when it failed in some shard.
    fn check(&mut self) -> Result<(), AgentError> {
        match self.shards.iter_mut().find_map(|shard| shard.failed.take()) {
            Some(error) => Err(error.into()),
            None => Ok(()),
        }
    }

    /// As many shards as a batch of `rows` rows has.
    fn fit_shards(&mut self, rows: usize) -> Result<(), AgentError> {
        let count = rows.div_ceil(self.shard_rows);
        self.shards.truncate(count);
        while self.shards.len() < count {
            self.shards.push(PolicyShard::new(&*self.distribution)?);
        }
        Ok(())
    }

    /// The gradient of −(mean return estimate + `extras`) over the batch: sends every shard forward, lets `estimate` fill its
    /// ĝ, and sends ĝ back as a constant. Returns the sums over all rows.
    ///
    /// The extras, of which a number alone is an entropy bonus, enter here, after ĝ has been made: they are part of the
    /// objective and not of the estimator.
    ///
    /// # Errors
    /// If the distribution has no score, or an encoder fails.
    pub fn gradient(
        &mut self,
        batch: &Rollout,
        compute: &Compute,
        extras: impl Into<Extras>,
        estimate: impl Fn(usize, Range<usize>, &mut PolicyShard<E>) + Sync,
    ) -> Result<Sums, AgentError> {
        self.fit_shards(batch.rows())?;
        let extras = extras.into();
        let Self { shape, parameters, shards, shard_rows, distribution, stamp, .. } = self;
        let (rows, parameters_of_rows) = (batch.rows(), distribution.parameters());
        let network = (&*shape, &parameters[..], *stamp);
        compute.each(shards, |i, shard| {
            let rows_here = shard_rows_of(*shard_rows, i, rows);
            let observations = batch.seen(rows_here.clone());
            ACTIVATIONS.with_borrow_mut(|workspace| {
                let mut found = shard.forward(network, batch, (i, rows_here.clone()), workspace);
                mask_logits(&mut shard.output, batch.mask_rows(rows_here.clone()));
                let head = Head { output: &shard.output, tail: &parameters[shape.tail()] };
                shard.samples.prepare(head, &batch.actions, rows_here.clone());
                shard.estimate.resize(rows_here.len() * parameters_of_rows, 0.0);
                shard.sums = Sums {
                    entropy: shard.samples.moments.entropy.iter().map(|&h| f64::from(h)).sum(),
                    ..Sums::default()
                };
                estimate(i, rows_here, shard);
                if shard.failed.is_none() {
                    let (network, objective) = ((&*shape, &parameters[..]), (&**distribution, extras));
                    let workspace = found.workspace();
                    shard.failed = shard.reverse(network, observations, workspace, objective, rows).err();
                }
            });
        });
        self.check()?;
        let all = 0..self.gradient.len();
        add_up(&mut self.gradient, all, self.shards.iter_mut().map(|shard| &mut shard.gradient));
        Ok(self.shards.iter().fold(Sums::default(), |a, shard| {
            let b = shard.sums;
            Sums {
                entropy: a.entropy + b.entropy,
                weighted_log_prob: a.weighted_log_prob + b.weighted_log_prob,
                squared_norm: a.squared_norm + b.squared_norm,
                squared_norm_a2c: a.squared_norm_a2c + b.squared_norm_a2c,
                gain: (a.gain.0 + b.gain.0, a.gain.1 + b.gain.1),
                squared_norm_a: a.squared_norm_a + b.squared_norm_a,
            }
        }))
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
        let scale = clip_scale(norm, max_norm);
        let Self { centring, optimizer, parameters, gradient, shards, .. } = self;
        let shards = shards.iter().map(|shard| (shard.samples.moments.entropy.len(), &shard.means[..]));
        centring.step(shards, optimizer, parameters, gradient, (learning_rate, scale));
        self.stamp = stamp();
        Ok(norm)
    }

    /// Fits an encoder, once, to the observations of the first `batch`, which must have been learned from: the policy that acted in it is gone
    /// then.
    pub fn initialise_encoder(&mut self, batch: &Rollout) {
        if std::mem::take(&mut self.fresh) {
            self.stamp = stamp();
            self.shape.initialise_from(&mut self.parameters, &batch.seen_here_and_there());
        }
    }

    /// For the last batch, at parameters `theta`, which must be the ones the batch went forward with: leaves in every
    /// shard's `estimate` the vector q_t = (2/B) J_t G, where G = (1/B) Σ_t J_tᵀ ĝ_t is the weight gradient that the ĝ
    /// now in `estimate` make. q is the derivative of ‖G‖² by ĝ. Returns ‖G‖².
    ///
    /// # Panics
    /// If the policy has an encoder: there is no tangent through one.
    pub fn weight_objective(&mut self, batch: &Rollout, compute: &Compute, theta: &[f32]) -> f64 {
        assert!(self.shape.encoder().is_none(), "no tangent through an encoder");
        let distribution = &*self.distribution;
        let (rows, net, shape, size) = (batch.rows(), &self.shape, self.shape.head(), self.shard_rows);
        compute.each(&mut self.shards, |i, shard| {
            let x = batch.seen(shard_rows_of(size, i, rows)).numbers();
            ACTIVATIONS.with_borrow_mut(|workspace| {
                shape.forward(theta, x, workspace.head_mut(), &mut shard.output);
                shard.failed = shard
                    .reverse((net, theta), x.into(), workspace, (distribution, Extras::default()), rows)
                    .err();
            });
        });
        let all = 0..self.gradient.len();
        add_up(&mut self.gradient, all, self.shards.iter_mut().map(|shard| &mut shard.gradient));
        let (gradient, k, p) = (&self.gradient, self.distribution.outputs(), self.distribution.parameters());
        compute.each(&mut self.shards, |i, shard| {
            let x = batch.seen(shard_rows_of(size, i, rows)).numbers();
            ACTIVATIONS.with_borrow_mut(|workspace| {
                shape.forward(theta, x, workspace.head_mut(), &mut shard.output);
                shape.parameter_tangent(theta, gradient, x, workspace.head(), &mut shard.d_output);
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
        networks::state_of(&self.parameters, &self.optimizer)
    }

    /// Takes over what [`state`](Self::state) gave.
    ///
    /// # Errors
    /// If an array is missing or does not fit.
    pub fn restore(&mut self, state: &StateDict) -> Result<(), AgentError> {
        self.stamp = stamp();
        networks::restore_into(&mut self.parameters, &mut self.optimizer, state)?;
        self.fresh = self.shape.encoder().is_some() && self.optimizer.steps() == 0;
        Ok(())
    }
}

/// The layers that are centred, with their places in the whole network's vector and among the means of all of them.
fn centred(shape: &EncodedShape) -> Vec<AffineLayer> {
    let Some((layers, first)) = shape.affine_layers() else { return Vec::new() };
    let behind = |start: usize, range: Range<usize>| start + range.start..start + range.end;
    let (head, means) = (shape.head_range().start, layers.last().map_or(0, |layer| layer.inputs.end));
    let first = AffineLayer {
        weight: behind(head, first.weight),
        bias: behind(head, first.bias),
        inputs: behind(means, first.inputs),
    };
    layers.iter().cloned().chain([first]).collect()
}
