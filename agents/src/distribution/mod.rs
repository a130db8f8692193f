//! Distributions of actions: how actions are drawn from noise, and everything an estimator needs of them.
//!
//! A policy's network gives O numbers a row; with the tail (trained numbers that are no output of it) they make the P
//! parameters of a [`Distribution`]. What differs between kinds of actions is in this folder, one file a kind and one line
//! of `KINDS`, and nowhere else. Calls go through the trait once for a shard of rows (or a level of a rollout), never
//! for a single row.
//!
//! | distribution | parameters | noise | file |
//! | --- | --- | --- | --- |
//! | [`Categorical`] | K logits | K uniforms | `categorical.rs` |
//! | [`Factored`] | the logits of several choices | as many uniforms | `factored.rs` |
//! | [`Gaussian`] | K means, then K log-standard-deviations | K standard normals | `gaussian.rs` |
//! | [`SquashedGaussian`] | the same, before a tanh | K standard normals | `squashed.rs` |
//! | [`Deterministic`] | K numbers before tanh | an exploration process | `deterministic.rs` |

mod categorical;
mod deterministic;
mod factored;
mod gaussian;
mod squashed;
#[cfg(test)]
mod squashed_tests;
#[cfg(test)]
mod tests;

pub use categorical::Categorical;
pub use deterministic::Deterministic;
pub use factored::Factored;
pub use gaussian::Gaussian;
pub use squashed::{SquashedDraw, SquashedGaussian};

use crate::parts::lookahead;
use crate::rollout::ActionBuffer;
use crate::{ActionRange, AgentError};
use relax_envs::{Actions, EnvRng, Space};
use relax_estimators::Coupling;
use serde_json::Value;
use std::fmt::Debug;
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};

/// What the policy's network says of r rows.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// The network's outputs, `[r, O]`.
    pub output: &'a [f32],
    /// The trained numbers that are no output of the network, `[P − O]`.
    pub tail: &'a [f32],
}

/// A distribution of actions. It is immutable and shared; the buffers of a shard are in a [`Shard`] that it makes.
pub trait Distribution: Debug + Send + Sync {
    /// Its name, as a saved policy calls it.
    fn name(&self) -> &'static str;

    /// What [`load`] needs beside the name, a JSON object.
    fn settings(&self) -> Value;

    /// K: numbers of noise, width of a relaxed sample.
    fn width(&self) -> usize;

    /// P: parameters of the distribution, width of ĝ.
    fn parameters(&self) -> usize;

    /// Trained numbers that are no output of the network: the last ones of the P parameters.
    fn tail(&self) -> usize {
        0
    }

    /// O: outputs of the policy network, the first ones of the P parameters.
    fn outputs(&self) -> usize {
        self.parameters() - self.tail()
    }

    /// Changes the fresh `weights` of a policy's network (its layers, then the tail) where the distribution wants another
    /// start.
    fn initialise(&self, weights: &mut [f32]) {
        let _ = weights;
    }

    /// Adds to `gradient` `[r, O]` the derivative by the network's outputs of −`weight`/2 times the squared distance, in halves of
    /// the range, by which a mean lies too far beyond the bounds of its action: so far that hardly a sample is anything but
    /// the bound, and no estimate of the return's gradient would bring the mean back. Nothing without bounds.
    fn pull(&self, head: Head<'_>, weight: f32, gradient: &mut [f32]) {
        let _ = (head, weight, gradient);
    }

    /// An empty buffer for its actions.
    fn action_buffer(&self) -> ActionBuffer;

    /// Draws the noise of some rows, `[r, K]`, one row after the other.
    fn draw(&self, rng: &mut EnvRng, noise: &mut [f32]);

    /// Draws the noise of some rows, `[slots, K]`: that of row j from the stream `streams[slots[j]]`.
    fn draw_each(&self, slots: &[u32], streams: &mut [EnvRng], noise: &mut [f32]) {
        for (&slot, noise) in slots.iter().zip(noise.chunks_exact_mut(self.width())) {
            self.draw(&mut streams[slot as usize], noise);
        }
    }

    /// Actions of `rows` from the noise `[r, K]`; `scratch` is a buffer to be used at will.
    fn act(
        &self,
        head: Head<'_>,
        noise: &[f32],
        scratch: &mut Vec<f32>,
        actions: &mut ActionBuffer,
        rows: Range<usize>,
    );

    /// The most likely actions of `rows`.
    fn greedy(&self, head: Head<'_>, actions: &mut ActionBuffer, rows: Range<usize>);

    /// Actions of `rows` that lie anywhere between the bounds, from numbers in (−1, 1), `[r, K]`: where each lies in the range.
    fn anywhere(&self, noise: &[f32], actions: &mut ActionBuffer, rows: Range<usize>) {
        actions.value_rows_mut(rows).copy_from_slice(noise);
    }

    /// What the environment is given for `rows` of `actions`; the estimators never see it.
    fn execute<'a>(
        &self,
        actions: &'a ActionBuffer,
        rows: Range<usize>,
        range: &'a mut ActionRange,
    ) -> Actions<'a>;

    /// Buffers for the rows of one shard; none if the distribution has no score, so that no policy gradient can be made.
    fn shard(&self) -> Option<Box<dyn Shard>> {
        None
    }

    /// Whether its O outputs are a logit for every choice, so that an action mask `[O]` may put −∞ in the place of those of
    /// choices that are not allowed. Policies of other distributions cannot act where actions are masked.
    fn takes_masks(&self) -> bool {
        false
    }

    /// Whether its shards have relaxed samples, and with them the corrections that a control variate makes.
    fn relaxes(&self) -> bool {
        false
    }

    /// Whether the relaxed sample is the action itself, a differentiable function of parameters and noise.
    fn is_reparametrised(&self) -> bool {
        false
    }
}

/// What an estimator reads of the actions of r rows.
#[derive(Debug, Default)]
pub struct Moments {
    /// ∂log π(a)/∂(parameters), `[r, P]`.
    pub score: Vec<f32>,
    /// log π(a), `[r]`.
    pub log_prob: Vec<f32>,
    /// Entropy, `[r]`.
    pub entropy: Vec<f32>,
    /// ∂entropy/∂(parameters), `[r, P]`.
    pub entropy_gradient: Vec<f32>,
}

impl Moments {
    /// Room for `r` rows of `p` parameters.
    fn fit(&mut self, r: usize, p: usize) {
        fit(&mut self.score, r * p);
        fit(&mut self.entropy_gradient, r * p);
        fit(&mut self.log_prob, r);
        fit(&mut self.entropy, r);
    }
}

/// The buffers of one shard's samples of a [`Distribution`].
pub trait Shard: Debug + Send {
    /// Takes in the actions of `rows`, given what the network says of them, and fills `moments`, whose arrays have their
    /// lengths already.
    fn prepare(&mut self, head: Head<'_>, actions: &ActionBuffer, rows: Range<usize>, moments: &mut Moments);

    /// The Fisher information E\[s sᵀ\] `[P, P]` at the first row.
    fn information(&self) -> Vec<f64>;

    /// The distribution at the rows and the actions taken, for a control variate that needs an expectation over fresh actions,
    /// `samples` of them in each of two sets where it is no sum. `None`, as by default, if there is no such thing yet.
    fn fresh(&self, samples: usize) -> Option<lookahead::Actions<'_>> {
        let _ = samples;
        None
    }

    /// Points at which a control variate is evaluated, `[m, K]`: m = 2r (z, then z̃) for independent noise, m = r if z̃ = z
    /// in value. `noise` is the rollout's `[r, K]`; `rng` draws the noise of an independent z̃.
    fn points(&mut self, kind: Coupling, noise: &[f32], rng: &mut EnvRng) -> &[f32];

    /// B `[r, P]`: what a control variate with these values `[m]` and gradients `[m, K]` at the points takes off the
    /// estimator: ĝ = A − B, E\[B\] = 0.
    fn correction(&mut self, moments: &Moments, values: &[f32], gradients: &[f32], out: &mut [f32]);

    /// α `[m]` and β `[m, K]`: the derivatives of a loss by the control variate's values and gradients at the points, from
    /// its derivative `upstream` `[r, P]` by ĝ.
    fn adjoint(&mut self, moments: &Moments, upstream: &[f32], alpha: &mut [f32], beta: &mut [f32]);
}

/// One shard's samples: the moments, and the distribution's own buffers.
#[derive(Debug)]
pub struct Samples {
    /// Scores, log-probabilities and entropies of the rows last [prepared](Self::prepare).
    pub moments: Moments,
    parameters: usize,
    shard: Box<dyn Shard>,
}

impl Samples {
    /// Empty buffers.
    ///
    /// # Errors
    /// If the distribution has no score.
    pub fn new(distribution: &dyn Distribution) -> Result<Self, AgentError> {
        let shard = distribution.shard().ok_or_else(|| {
            AgentError::Config(format!(
                "a {} policy has no score, so no policy gradient can be estimated; \"ddpg\" trains one",
                distribution.name()
            ))
        })?;
        Ok(Self { moments: Moments::default(), parameters: distribution.parameters(), shard })
    }

    /// Takes in the rows `rows` of a rollout's actions, given what the network says of them.
    pub fn prepare(&mut self, head: Head<'_>, actions: &ActionBuffer, rows: Range<usize>) {
        self.moments.fit(rows.len(), self.parameters);
        self.shard.prepare(head, actions, rows, &mut self.moments);
    }

    /// Σ log π(a)·advantage.
    #[must_use]
    pub fn weighted_log_prob(&self, advantages: &[f32]) -> f64 {
        self.moments.log_prob.iter().zip(advantages).map(|(&l, &a)| f64::from(l) * f64::from(a)).sum()
    }

    /// See [`Shard::information`].
    #[must_use]
    pub fn information(&self) -> Vec<f64> {
        self.shard.information()
    }

    /// See [`Shard::fresh`].
    #[must_use]
    pub fn fresh(&self, samples: usize) -> Option<lookahead::Actions<'_>> {
        self.shard.fresh(samples)
    }

    /// See [`Shard::points`].
    pub fn points(&mut self, kind: Coupling, noise: &[f32], rng: &mut EnvRng) -> &[f32] {
        self.shard.points(kind, noise, rng)
    }

    /// See [`Shard::correction`].
    pub fn correction(&mut self, values: &[f32], gradients: &[f32], out: &mut [f32]) {
        self.shard.correction(&self.moments, values, gradients, out);
    }

    /// See [`Shard::adjoint`].
    pub fn adjoint(&mut self, upstream: &[f32], alpha: &mut [f32], beta: &mut [f32]) {
        self.shard.adjoint(&self.moments, upstream, alpha, beta);
    }
}

/// What a configuration may say of a distribution.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Options {
    /// A Gaussian's log σ is an output of the network rather than K numbers of its own.
    pub state_dependent_std: bool,
    /// log σ that a Gaussian starts with; if not given, that of half the action's range, or 0 where there are no bounds.
    pub initial_log_std: Option<f64>,
}

/// A kind of distribution: which spaces it acts in, and how a saved one comes back.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// Its [`Distribution::name`].
    pub name: &'static str,
    /// The distribution for an action space, if it is for such spaces.
    pub for_space: fn(&Space, &Options) -> Option<Arc<dyn Distribution>>,
    /// The distribution with these [settings](Distribution::settings).
    pub load: fn(Value) -> Result<Arc<dyn Distribution>, serde_json::Error>,
}

/// The distributions of this crate. The first that acts in a space is an agent's default there.
const KINDS: &[Kind] =
    &[Categorical::KIND, Factored::KIND, Gaussian::KIND, SquashedGaussian::KIND, Deterministic::KIND];

/// Those that programs added.
static MORE: RwLock<Vec<Kind>> = RwLock::new(Vec::new());

/// Adds a distribution, so that policies with it can be loaded from their checkpoints, and agents act with it in spaces
/// that no earlier one is for.
pub fn register(kind: Kind) {
    MORE.write().unwrap_or_else(PoisonError::into_inner).push(kind);
}

fn kinds() -> Vec<Kind> {
    let more = MORE.read().unwrap_or_else(PoisonError::into_inner);
    KINDS.iter().chain(more.iter()).copied().collect()
}

/// The distribution for an action space.
///
/// # Errors
/// If there is none for this kind of space.
pub fn for_space(space: &Space, options: &Options) -> Result<Arc<dyn Distribution>, AgentError> {
    let found = kinds().into_iter().find_map(|kind| (kind.for_space)(space, options));
    found.ok_or_else(|| AgentError::ActionSpace(space.to_string()))
}

/// The distribution `name` with its [settings](Distribution::settings).
///
/// # Errors
/// If there is none of this name, or the settings are not its own.
pub fn load(name: &str, settings: Value) -> Result<Arc<dyn Distribution>, AgentError> {
    let refuse =
        |reason: String| AgentError::Config(format!("the policy's distribution \"{name}\" {reason}"));
    let Some(kind) = kinds().into_iter().find(|kind| kind.name == name) else {
        return Err(refuse("is unknown to this program".into()));
    };
    (kind.load)(settings).map_err(|error| refuse(format!("cannot be read: {error}")))
}

/// Puts −∞ in the place of the logits `[r, O]` that `masks` `[r, O]` does not allow: a choice without probability, score and
/// entropy, whose relaxed sample is left out.
pub(crate) fn mask_logits(logits: &mut [f32], masks: Option<&[bool]>) {
    let Some(masks) = masks else { return };
    assert_eq!(logits.len(), masks.len(), "an action mask has an entry for every logit");
    for (logit, &allowed) in logits.iter_mut().zip(masks) {
        *logit = if allowed { *logit } else { f32::NEG_INFINITY };
    }
}

/// `array` with `len` numbers.
pub(crate) fn fit(array: &mut Vec<f32>, len: usize) -> &mut [f32] {
    array.resize(len, 0.0);
    array
}
