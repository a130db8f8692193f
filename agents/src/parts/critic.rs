//! The state value V(s): evaluated on a batch, turned into advantages, fitted to returns.
//!
//! Behind an encoder the steps of one fit work on the features that the evaluation left, and the last of them goes through the
//! encoder too, while those features are still its own: one pass through the encoder and back a batch, however many steps.

use super::centred::Centred;
use super::networks::{self, Network};
use super::normalize::Moved;
use super::returns::{Beyond, ReturnScratch, advantages, explained_variance};
use crate::compute::{Compute, add_up, shard_rows_of};
use crate::config::OptimizerKind;
use crate::rollout::Rollout;
use crate::{AgentError, Observed};
use relax_envs::EnvRng;
use relax_nn::{
    EncodedShape, EncodedWorkspace, MlpShape, NnError, Optimizer, StateDict, Workspace, clip_scale,
    global_norm,
};

#[derive(Debug, Default)]
struct CriticShard {
    workspace: EncodedWorkspace,
    values: Vec<f32>,
    d_values: Vec<f32>,
    gradient: Vec<f32>,
    /// Of the features, and of what the encoder's layers took.
    means: [Vec<f32>; 2],
    squared_error: f64,
    /// Why the encoder failed, if it did.
    failed: Option<NnError>,
}

/// A value network that learns.
#[derive(Debug)]
pub struct Critic {
    shape: EncodedShape,
    parameters: Vec<f32>,
    /// Of the head.
    optimizer: Optimizer<f32>,
    /// Of the encoder, which takes fewer steps.
    encoder_optimizer: Option<Optimizer<f32>>,
    /// Steps of the head, and of the encoder.
    centred: [Centred; 2],
    gradient: Vec<f32>,
    /// Those of the batch's rows, as many as `of_rows`; then those of the observations beyond it.
    shards: Vec<CriticShard>,
    of_rows: usize,
    shard_rows: usize,
    truncated_values: Vec<f32>,
    next_values: Vec<f32>,
    scratch: ReturnScratch,
    values: Vec<f32>,
    advantages: Vec<f32>,
    returns: Vec<f32>,
}

impl Critic {
    /// A fresh value network that sees `observed`: so many numbers, or the features of an encoder of its own.
    ///
    /// # Errors
    /// If the network cannot be made.
    pub fn new(
        observed: impl Into<Observed>,
        network: &Network<'_>,
        optimizer: OptimizerKind,
        rng: &mut EnvRng,
    ) -> Result<Self, AgentError> {
        let observed = observed.into();
        let head = networks::shape(observed.features(), network, 1)?;
        let shape = EncodedShape::new(observed.encoder().cloned(), head);
        let parameters = shape.initial(rng, networks::HIDDEN_GAIN, 1.0);
        let (of_head, of_encoder) = (shape.head_range().len(), shape.head_range().start);
        let rule = networks::rule(optimizer);
        Ok(Self {
            optimizer: Optimizer::new(rule, of_head),
            encoder_optimizer: shape.encoder().map(|_| Optimizer::new(rule, of_encoder)),
            centred: centred(&shape, observed.encoder_rate()),
            gradient: vec![0.0; parameters.len()],
            shape,
            parameters,
            shards: Vec::new(),
            of_rows: 0,
            shard_rows: observed.shard_rows(),
            truncated_values: Vec::new(),
            next_values: Vec::new(),
            scratch: ReturnScratch::default(),
            values: Vec::new(),
            advantages: Vec::new(),
            returns: Vec::new(),
        })
    }

    /// Evaluates V on the batch and on what lies beyond it, and from that the λ-returns and advantages.
    pub fn evaluate(&mut self, batch: &Rollout, gamma: f64, lambda: f64, compute: &Compute) {
        let (rows, dim, size) = (batch.rows(), batch.observation_dim, self.shard_rows);
        let (finals, nexts) = (batch.truncated_rows.len(), batch.slots());
        let [of_rows, of_finals, of_nexts] = [rows, finals, nexts].map(|rows| rows.div_ceil(size));
        let (beyond, all) = (of_rows + of_finals, of_rows + of_finals + of_nexts);
        self.of_rows = of_rows;
        if self.shards.len() < all {
            self.shards.resize_with(all, CriticShard::default);
        }
        let Self { shape, parameters, shards, .. } = self;
        let evaluate = |i: usize, shard: &mut CriticShard| {
            let x = if i < of_rows {
                batch.seen(shard_rows_of(size, i, rows))
            } else if i < beyond {
                batch.seen_finally().rows(shard_rows_of(size, i - of_rows, finals), dim)
            } else {
                batch.seen_next().rows(shard_rows_of(size, i - beyond, nexts), dim)
            };
            shard.values.resize(x.count(dim), 0.0);
            // What fails here fails in the policy as well, and is said when V is fitted at the latest.
            shard.failed = shape.forward(parameters, x, &mut shard.workspace, &mut shard.values).err();
        };
        if of_rows > 1 {
            compute.each(&mut shards[..all], evaluate);
        } else {
            // What lies beyond a single shard is not worth another thread.
            shards[..all].iter_mut().enumerate().for_each(|(i, shard)| evaluate(i, shard));
        }
        let (own, others) = self.shards.split_at_mut(of_rows);
        let failed = others[..all - of_rows].iter_mut().find_map(|shard| shard.failed.take());
        if let (Some(failed), Some(shard)) = (failed, own.first_mut()) {
            shard.failed = Some(failed);
        }
        for (values, shards) in [
            (&mut self.values, 0..of_rows),
            (&mut self.truncated_values, of_rows..beyond),
            (&mut self.next_values, beyond..all),
        ] {
            values.clear();
            self.shards[shards].iter().for_each(|shard| values.extend_from_slice(&shard.values));
        }
        self.advantages.resize(rows, 0.0);
        advantages(
            batch,
            &self.values,
            Beyond { truncated: &self.truncated_values, next: &self.next_values },
            gamma as f32,
            lambda as f32,
            &mut self.scratch,
            &mut self.advantages,
        );
        self.returns.clear();
        self.returns.extend(self.advantages.iter().zip(&self.values).map(|(a, v)| a + v));
    }

    /// What the passes over the shards of the batch last evaluated left, until V is fitted.
    pub fn workspaces(&self) -> impl Iterator<Item = &Workspace<f32>> {
        self.shards[..self.of_rows].iter().map(|shard| shard.workspace.head())
    }

    /// Calls `f` with V's network and weights, without its encoder if it has one.
    pub fn read<R>(&self, f: impl FnOnce(&MlpShape, &[f32]) -> R) -> R {
        f(self.shape.head(), &self.parameters[self.shape.head_range()])
    }

    /// What V's hidden layers saw of shard `shard` of the `batch` last evaluated, `[r, features]`: the features of its encoder,
    /// or the observations themselves.
    #[must_use]
    pub fn seen<'a>(&'a self, batch: &'a Rollout, shard: usize) -> &'a [f32] {
        let x = batch.seen(shard_rows_of(self.shard_rows, shard, batch.rows()));
        self.shape.seen(x, &self.shards[shard].workspace)
    }

    /// Numbers that V's hidden layers see of one observation.
    #[must_use]
    pub fn features(&self) -> usize {
        self.shape.head().input()
    }

    /// Takes `gain`·(C + F), what a control variate says of the actions taken and of those that follow, both `[rows]`, off the returns
    /// that [`fit`](Self::fit) aims at.
    pub fn correct_returns(&mut self, gain: f32, c: &[f32], later: &[f32]) {
        self.returns.iter_mut().zip(c.iter().zip(later)).for_each(|(r, (c, later))| *r -= gain * (later + c));
    }

    /// V(s_t) `[rows]` of the last batch evaluated, before it was fitted to it.
    #[must_use]
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// R̂_t − V(s_t) `[rows]` of the last batch evaluated.
    #[must_use]
    pub fn advantages(&self) -> &[f32] {
        &self.advantages
    }

    /// R̂_t `[rows]` of the last batch evaluated.
    #[must_use]
    pub fn returns(&self) -> &[f32] {
        &self.returns
    }

    /// Share of the returns' variance that V explained before it was fitted to them.
    #[must_use]
    pub fn explained_variance(&self) -> f64 {
        explained_variance(&self.values, &self.advantages)
    }

    /// Subtracts the mean of the advantages and divides by their standard deviation.
    pub fn normalize_advantages(&mut self) {
        let n = self.advantages.len() as f64;
        let mean = self.advantages.iter().map(|&a| f64::from(a)).sum::<f64>() / n;
        let variance = self.advantages.iter().map(|&a| (f64::from(a) - mean).powi(2)).sum::<f64>() / n;
        let scale = 1.0 / (variance.sqrt() + 1e-8);
        self.advantages.iter_mut().for_each(|a| *a = ((f64::from(*a) - mean) * scale) as f32);
    }

    /// Takes `epochs` steps on ½ mean (V − R̂)² over the batch last evaluated, R̂ held fixed. Returns the loss before the
    /// first of them. After those of the first batch, an encoder is fitted to its observations.
    ///
    /// # Errors
    /// If a gradient is not finite, and the network then keeps its last good weights; or if an encoder failed.
    pub fn fit(
        &mut self,
        batch: &Rollout,
        epochs: usize,
        learning_rate: f64,
        max_norm: f64,
        compute: &Compute,
    ) -> Result<f64, AgentError> {
        let (rows, size) = (batch.rows(), self.shard_rows);
        let mut loss = f64::NAN;
        for epoch in 0..epochs {
            let Self { shape, parameters, shards, of_rows, returns, gradient, .. } = self;
            let shards = &mut shards[..*of_rows];
            let head = shape.head_range();
            // The last step moves the encoder as well: until then the features are those of its weights.
            let moved = if epoch + 1 == epochs { 0..head.end } else { head.clone() };
            compute.each(shards, |i, shard| {
                let CriticShard { workspace, values, d_values, gradient, means, squared_error, failed } =
                    shard;
                if failed.is_some() {
                    return;
                }
                let rows_here = shard_rows_of(size, i, rows);
                let x = batch.seen(rows_here.clone());
                if epoch == 0 {
                    means.iter_mut().for_each(Vec::clear);
                    shape.feature_means(workspace, &mut means[0]);
                } else {
                    // In the first epoch the activations that `evaluate` left are still those of these weights.
                    shape.forward_head(parameters, x, workspace, values);
                }
                let errors = values.iter().zip(&returns[rows_here]).map(|(v, r)| v - r);
                d_values.clear();
                d_values.extend(errors);
                *squared_error = d_values.iter().map(|&e| f64::from(e) * f64::from(e)).sum();
                d_values.iter_mut().for_each(|e| *e /= rows as f32);
                gradient.resize(parameters.len(), 0.0);
                if moved == head {
                    shape.reverse_head_replacing(parameters, x, workspace, d_values, gradient);
                } else {
                    *failed = shape.reverse_replacing(parameters, x, workspace, d_values, gradient).err();
                    shape.encoder_means(workspace, &mut means[1]);
                }
            });
            if let Some(error) = shards.iter_mut().find_map(|shard| shard.failed.take()) {
                return Err(error.into());
            }
            if epoch == 0 {
                loss = 0.5 * shards.iter().map(|shard| shard.squared_error).sum::<f64>() / rows as f64;
            }
            add_up(gradient, moved.clone(), shards.iter_mut().map(|shard| &mut shard.gradient));
            let norm = global_norm(&gradient[moved.clone()]);
            if !norm.is_finite() {
                return Err(AgentError::NotFinite { what: "critic's gradient" });
            }
            let scale = clip_scale(norm, max_norm);
            let rows_of = |shard: &CriticShard| shard.values.len();
            let [of_head, of_encoder] = &mut self.centred;
            let (encoder_gradient, head_gradient) = gradient.split_at(head.start);
            let (encoder, head_parameters) = parameters.split_at_mut(head.start);
            let means = shards.iter().map(|shard| (rows_of(shard), &shard.means[0][..]));
            of_head.step(means, &mut self.optimizer, head_parameters, head_gradient, (learning_rate, scale));
            if let (Some(optimizer), true) = (&mut self.encoder_optimizer, moved.start < head.start) {
                let means = shards.iter().map(|shard| (rows_of(shard), &shard.means[1][..]));
                of_encoder.step(means, optimizer, encoder, encoder_gradient, (learning_rate, scale));
            }
        }
        if self.encoder_optimizer.as_ref().is_some_and(|optimizer| optimizer.steps() == 1) && epochs > 0 {
            self.shape.initialise_from(&mut self.parameters, &batch.seen_here_and_there());
        }
        Ok(loss)
    }

    /// Rewrites V's first and last layers, so that it goes on saying what it said when the scales have `moved`; what an encoder
    /// sees has a scale that stays.
    ///
    /// Of the last layer: van Hasselt et al. 2016 (PopArt, arXiv:1602.07714), eq. 3.
    pub fn keep(&mut self, moved: &Moved) {
        let Self { shape, parameters, .. } = self;
        let head = &mut parameters[shape.head_range()];
        if let (None, Some((factor, offset))) = (shape.encoder(), moved.observations()) {
            shape.head().move_input(head, factor, offset);
        }
        shape.head().scale_output(head, moved.rewards());
    }

    /// Weights and optimiser.
    #[must_use]
    pub fn state(&self) -> StateDict {
        let mut state = networks::state_of(&self.parameters, &self.optimizer);
        if let Some(optimizer) = &self.encoder_optimizer {
            state.insert_all("encoder_optimizer", optimizer.state());
        }
        state
    }

    /// Takes over what [`state`](Self::state) gave.
    ///
    /// # Errors
    /// If an array is missing or does not fit.
    pub fn restore(&mut self, state: &StateDict) -> Result<(), AgentError> {
        networks::restore_into(&mut self.parameters, &mut self.optimizer, state)?;
        if let Some(optimizer) = &mut self.encoder_optimizer {
            optimizer.restore(&state.subset("encoder_optimizer"))?;
        }
        Ok(())
    }
}

/// What centres the steps of the head, and of the encoder.
fn centred(shape: &EncodedShape, encoder_rate: f64) -> [Centred; 2] {
    let (head, encoder) = match shape.affine_layers() {
        Some((layers, first)) => (vec![first], layers.to_vec()),
        None => Default::default(),
    };
    let of_head = shape.head_range();
    [
        Centred::new(head, vec![(of_head.len(), 1.0)]),
        Centred::new(encoder, vec![(of_head.start, encoder_rate)]),
    ]
}
