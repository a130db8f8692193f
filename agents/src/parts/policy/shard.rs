//! One shard of a batch on its way through the policy, forward and back.

use crate::AgentError;
use crate::distribution::{Distribution, Head, Samples};
use crate::kept::Found;
use crate::rollout::Rollout;
use relax_nn::{EncodedShape, EncodedWorkspace, NnError, Observations};
use std::ops::Range;

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

/// What is added to the mean return as the policy's objective, after ĝ has been made: it is no part of the estimator.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Extras {
    /// Weight of the entropy.
    pub entropy: f32,
    /// Weight of −½·Σ (how much too far a mean lies beyond the action's bounds, in halves of their range)²
    /// ([`Distribution::pull`]).
    pub bounds_loss: f32,
}

impl From<f32> for Extras {
    /// An entropy bonus alone.
    fn from(entropy: f32) -> Self {
        Self { entropy, bounds_loss: 0.0 }
    }
}

/// One shard of a batch on its way through the policy. `E` is what an agent adds to it.
#[derive(Debug)]
pub struct PolicyShard<E> {
    /// Scores, entropies and relaxed samples of the shard's rows.
    pub samples: Samples,
    /// ĝ `[r, P]`, to be filled by the agent's estimator.
    pub estimate: Vec<f32>,
    /// Sums, to be filled along with it.
    pub sums: Sums,
    /// The agent's own.
    pub extra: E,
    pub(super) output: Vec<f32>,
    pub(super) d_output: Vec<f32>,
    pub(super) gradient: Vec<f32>,
    /// Of what the centred layers took.
    pub(super) means: Vec<f32>,
    /// Why its encoder failed, if it did.
    pub(super) failed: Option<NnError>,
}

impl<E: Default> PolicyShard<E> {
    pub(super) fn new(distribution: &dyn Distribution) -> Result<Self, AgentError> {
        Ok(Self {
            samples: Samples::new(distribution)?,
            estimate: Vec::new(),
            sums: Sums::default(),
            extra: E::default(),
            output: Vec::new(),
            d_output: Vec::new(),
            gradient: Vec::new(),
            means: Vec::new(),
            failed: None,
        })
    }

    /// Brings what the network, with its stamp, says of `rows`, shard `i` of the batch, to `output`, and finds what its hidden layers made
    /// of them: where the policy has kept it while it acted, or in `own`.
    pub(super) fn forward<'a>(
        &mut self,
        (shape, parameters, stamp): (&EncodedShape, &[f32], u64),
        batch: &'a Rollout,
        (i, rows): (usize, Range<usize>),
        own: &'a mut EncodedWorkspace,
    ) -> Found<'a> {
        self.output.resize(rows.len() * shape.output(), 0.0);
        self.failed = None;
        let seen = batch.seen(rows);
        let own = match shape.encoder() {
            Some(_) => own,
            None => {
                let shard = (i, batch.rows(), seen.numbers());
                match batch.kept.find(stamp, shape, shard, own, &mut self.output) {
                    Ok(found) => return found,
                    Err(own) => own,
                }
            }
        };
        self.failed = shape.forward(parameters, seen, own, &mut self.output).err();
        Found::Here(own)
    }

    /// Sends −(ĝ + ∇extras)/rows back through the network.
    pub(super) fn reverse(
        &mut self,
        (shape, parameters): (&EncodedShape, &[f32]),
        observations: Observations<'_>,
        workspace: &mut EncodedWorkspace,
        (distribution, extras): (&dyn Distribution, Extras),
        rows: usize,
    ) -> Result<(), NnError> {
        let entropy = extras.entropy;
        let (k, scale) = (shape.output(), -1.0 / rows as f32);
        let p = k + shape.tail().len();
        self.gradient.resize(parameters.len(), 0.0);
        self.d_output.resize(self.output.len(), 0.0);
        let tail = &mut self.gradient[shape.tail()];
        tail.fill(0.0);
        let rows = self.estimate.chunks_exact(p).zip(self.samples.moments.entropy_gradient.chunks_exact(p));
        for (d, (g, h)) in self.d_output.chunks_exact_mut(k).zip(rows) {
            d.iter_mut().zip(g.iter().zip(h)).for_each(|(d, (g, h))| *d = scale * (g + entropy * h));
            tail.iter_mut()
                .zip(g[k..].iter().zip(&h[k..]))
                .for_each(|(d, (g, h))| *d += scale * (g + entropy * h));
        }
        if extras.bounds_loss > 0.0 {
            let head = Head { output: &self.output, tail: &parameters[shape.tail()] };
            distribution.pull(head, scale * extras.bounds_loss, &mut self.d_output);
        }
        let Self { d_output, gradient, means, .. } = self;
        shape.reverse_replacing(parameters, observations, workspace, d_output, gradient)?;
        means.clear();
        shape.encoder_means(workspace, means);
        shape.feature_means(workspace, means);
        Ok(())
    }
}
