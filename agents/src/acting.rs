//! A policy to act with: plain data, made of an encoder, a network, a distribution of actions and a scaling of observations, which can be
//! saved by their names and come back without the agent that trained it.

use crate::compute::SHARD_ROWS;
use crate::config::ActivationKind;
use crate::distribution::{self, Distribution, Head, Samples, mask_logits};
use crate::kept::Kept;
use crate::parts::exploration::Exploration;
use crate::parts::networks;
use crate::parts::normalize::Scaling;
use crate::rollout::{ActionBuffer, Rollout};
use crate::{ActionRange, AgentError, EncoderCard};
use relax_envs::{Actions, EnvRng};
use relax_nn::{EncodedShape, EncodedWorkspace, FrameLayout, NamedSlice, StateDict};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

/// An immutable copy of a policy: what a worker needs in order to act.
#[derive(Debug, Clone)]
pub struct ActingPolicy {
    shape: EncodedShape,
    distribution: Arc<dyn Distribution>,
    parameters: Vec<f32>,
    /// What the agent's state calls the parameters.
    name: Cow<'static, str>,
    /// The noise of a deterministic policy's actions.
    exploration: Option<Exploration>,
    /// What is done to observations before the network sees them.
    scaling: Option<Scaling>,
    /// Whether its agent reads the bytes that its encoder sees.
    reads_bytes: bool,
    /// Stamp of the learning policy whose copy it is, which goes on from what this one makes of observations; 0: none does.
    stamp: u64,
}

/// A policy in words: with the state of the agent that trained it, enough to make it again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PolicyCard {
    /// Name of its distribution.
    pub distribution: String,
    /// The distribution's own settings.
    pub settings: serde_json::Value,
    /// What stands before its network, if anything does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoder: Option<EncoderCard>,
    /// Its network.
    pub network: NetworkCard,
    /// The array of the agent's state that holds the weights.
    pub weights: String,
    /// The statistics of the agent's state by which observations are scaled, if they are.
    pub scaling: Option<String>,
    /// How it explores, if its noise comes from an exploration process.
    pub exploration: Option<Exploration>,
    /// Whether the agent that trained it reads observations of bytes as such.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reads_bytes: bool,
}

/// A perceptron in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkCard {
    /// Width of the observation, or of the encoder's features.
    pub input: usize,
    /// Widths of the hidden layers.
    pub hidden: Vec<usize>,
    /// Activation of the hidden layers.
    pub activation: ActivationKind,
}

/// Buffers of one actor, allocated once.
#[derive(Debug, Default)]
pub struct ActingScratch {
    workspace: EncodedWorkspace,
    observations: Vec<f32>,
    output: Vec<f32>,
    relaxed: Vec<f32>,
    /// That of the rollout that is being filled.
    kept: Kept,
}

impl ActingScratch {
    /// Keeps what `policy` makes of the rows of `rollout`, which is empty, for the gradient, until [`give`](Self::give).
    pub fn keep_for(&mut self, policy: &ActingPolicy, rollout: &mut Rollout) {
        std::mem::swap(&mut self.kept, &mut rollout.kept);
        self.kept.begin(policy.stamp);
    }

    /// Gives `rollout` what has been kept of its rows since [`keep_for`](Self::keep_for).
    pub fn give(&mut self, rollout: &mut Rollout) {
        std::mem::swap(&mut self.kept, &mut rollout.kept);
    }
}

impl ActingPolicy {
    /// A policy of the network `shape` with these parameters, which the agent's [state](crate::Agent::state) calls `name`.
    #[must_use]
    pub fn new(
        shape: impl Into<EncodedShape>,
        distribution: Arc<dyn Distribution>,
        parameters: Vec<f32>,
        name: &'static str,
    ) -> Self {
        Self {
            shape: shape.into(),
            distribution,
            parameters,
            name: name.into(),
            exploration: None,
            scaling: None,
            reads_bytes: false,
            stamp: 0,
        }
    }

    /// Sets the stamp of the learning policy whose copy it is; 0: nobody needs what it makes of observations.
    pub(crate) fn set_stamp(&mut self, stamp: u64) {
        self.stamp = stamp;
    }

    /// Sets whether its agent reads a rollout's observations by [`Rollout::seen`](crate::Rollout::seen), so that those that an encoder sees
    /// need not be kept as numbers.
    pub fn set_reads_bytes(&mut self, reads_bytes: bool) {
        self.reads_bytes = reads_bytes;
    }

    /// How the observations of a rollout of this policy are made of frames, if they are to be kept as bytes where they are some: arrays that
    /// only encoders see.
    #[must_use]
    pub fn frames(&self) -> Option<FrameLayout> {
        let seen = self.shape.encoder().map(|encoder| encoder.observation());
        let array = seen.filter(|seen| self.reads_bytes && self.scaling.is_none() && seen.shape.len() > 1);
        array.map(|seen| FrameLayout::of(&seen.shape))
    }

    /// Takes over parameters of the same network without allocating.
    pub fn set_parameters(&mut self, parameters: &[f32]) {
        self.parameters.copy_from_slice(parameters);
        self.stamp = 0;
    }

    /// Sets where a deterministic policy's noise comes from.
    pub fn set_exploration(&mut self, exploration: Exploration) {
        self.exploration = Some(exploration);
    }

    /// Sets what is done to observations before the network sees them.
    pub fn set_scaling(&mut self, scaling: &Scaling) {
        self.scaling.get_or_insert_with(Scaling::default).clone_from(scaling);
    }

    /// What is done to observations before the network sees them, if anything is.
    #[must_use]
    pub fn scaling(&self) -> Option<&Scaling> {
        self.scaling.as_ref()
    }

    /// The policy in words.
    #[must_use]
    pub fn card(&self) -> PolicyCard {
        PolicyCard {
            distribution: self.distribution.name().to_owned(),
            settings: self.distribution.settings(),
            encoder: self.shape.encoder().map(|encoder| EncoderCard::of(&**encoder)),
            network: NetworkCard {
                input: self.shape.head().input(),
                hidden: self.shape.head().hidden().to_vec(),
                activation: networks::activation_kind(self.shape.head().activation()),
            },
            weights: self.name.to_string(),
            scaling: self.scaling.as_ref().map(|_| Scaling::STATE.to_owned()),
            exploration: self.exploration,
            reads_bytes: self.reads_bytes,
        }
    }

    /// Weights and scaling: with the [card](Self::card), enough to make the very same policy elsewhere.
    #[must_use]
    pub fn state(&self) -> StateDict {
        let mut state = StateDict::new();
        state.insert_f32(self.name.as_ref(), &self.parameters);
        if let Some(scaling) = &self.scaling {
            scaling.save(Scaling::STATE, &mut state);
        }
        state
    }

    /// The policy that `card` describes, with the weights and statistics of an agent's `state`, or with what
    /// [`state`](Self::state) gave. The agent itself is not needed.
    ///
    /// # Errors
    /// If the distribution is unknown, or the state does not hold what the card says.
    pub fn load(card: &PolicyCard, state: &StateDict) -> Result<Self, AgentError> {
        let distribution = distribution::load(&card.distribution, card.settings.clone())?;
        let network = networks::Network { hidden: &card.network.hidden, activation: card.network.activation };
        let head = networks::policy_shape(card.network.input, &network, &*distribution)?;
        let encoder = card.encoder.as_ref().map(EncoderCard::make).transpose()?;
        if let Some(encoder) = &encoder
            && encoder.features() != head.input()
        {
            return Err(AgentError::Config(format!(
                "the encoder `{}` has {} features now, and the policy was trained on {}",
                encoder.name(),
                encoder.features(),
                head.input()
            )));
        }
        let shape = EncodedShape::new(encoder, head);
        let parameters = state.f32(&card.weights, shape.parameter_count())?.to_vec();
        let scaling = match &card.scaling {
            Some(name) => Some(Scaling::load(name, shape.input(), state)?),
            None => None,
        };
        let exploration = card.exploration;
        let name = card.weights.clone().into();
        let reads_bytes = card.reads_bytes;
        Ok(Self { shape, distribution, parameters, name, exploration, scaling, reads_bytes, stamp: 0 })
    }

    /// Draws the noise of one action, `[K]`; `process` `[K]` is the state of its slot's exploration process.
    pub fn draw(&self, rng: &mut EnvRng, process: &mut [f32], noise: &mut [f32]) {
        match &self.exploration {
            Some(exploration) => exploration.draw(rng, process, noise),
            None => self.distribution.draw(rng, noise),
        }
    }

    /// Draws the noise of one action in each of `slots`, `[slots, K]`, from that slot's stream; `processes` `[all slots, K]`
    /// are the states of the exploration processes.
    pub fn draw_each(&self, slots: &[u32], streams: &mut [EnvRng], processes: &mut [f32], noise: &mut [f32]) {
        let Some(exploration) = &self.exploration else {
            return self.distribution.draw_each(slots, streams, noise);
        };
        let k = self.distribution.width();
        for (&slot, noise) in slots.iter().zip(noise.chunks_exact_mut(k)) {
            let slot = slot as usize;
            exploration.draw(&mut streams[slot], &mut processes[slot * k..(slot + 1) * k], noise);
        }
    }

    /// What the environment is given for `rows` of `actions`.
    pub fn execute<'a>(
        &self,
        actions: &'a ActionBuffer,
        rows: Range<usize>,
        range: &'a mut ActionRange,
    ) -> Actions<'a> {
        self.distribution.execute(actions, rows, range)
    }

    fn forward<'a>(
        &'a self,
        observations: &[f32],
        masks: Option<&[bool]>,
        scratch: &'a mut ActingScratch,
        rows: Range<usize>,
    ) -> (Head<'a>, &'a mut Vec<f32>) {
        let ActingScratch { workspace, observations: scaled, output, relaxed, kept } = scratch;
        let (first, rows) = (rows.start, rows.len());
        output.resize(rows * self.distribution.outputs(), 0.0);
        let observations = match &self.scaling {
            Some(scaling) => {
                scaled.clear();
                scaled.extend_from_slice(observations);
                scaling.apply(scaled);
                scaled
            }
            None => observations,
        };
        let (dim, outputs) = (self.shape.input(), self.distribution.outputs());
        assert_eq!(observations.len(), rows * dim, "length of the observations");
        let network = (&self.shape, &self.parameters[..]);
        if !kept.is_open() || !kept.forward(network, observations, first..first + rows, output) {
            // So many at once that what they make of the hidden layers stays in the cache.
            let tiles = observations.chunks(SHARD_ROWS * dim).zip(output.chunks_mut(SHARD_ROWS * outputs));
            for (observations, output) in tiles {
                if self.shape.forward(&self.parameters, observations, workspace, output).is_err() {
                    // The learner's own pass says why.
                    output.fill(f32::NAN);
                }
            }
        }
        if masks.is_some() {
            // What is allowed stays above what is not, even if it has diverged.
            output.iter_mut().for_each(|logit| *logit = logit.max(f32::MIN));
            mask_logits(output, masks);
        }
        (Head { output, tail: &self.parameters[self.shape.tail()] }, relaxed)
    }

    /// The distribution of its actions.
    #[must_use]
    pub fn distribution(&self) -> &Arc<dyn Distribution> {
        &self.distribution
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
        self.forward(observation, None, scratch, 0..1);
        let ActingScratch { workspace, observations: scaled, .. } = scratch;
        let observation = if self.scaling.is_some() { scaled } else { observation };
        let (to_network, to_tail) = estimate.split_at(self.distribution.outputs());
        if self.shape.reverse(&self.parameters, observation, workspace, to_network, gradient).is_err() {
            gradient.fill(f32::NAN);
        }
        gradient[self.shape.tail()].iter_mut().zip(to_tail).for_each(|(d, g)| *d += g);
    }

    /// The scores ∂log π(a|s)/∂l `[A, P]` of the actions `rows` of `actions`, A of them, all taken at the one `observation`
    /// `[D]` with the `mask` `[O]` of choices if there is one, and the Fisher information E\[s sᵀ\] `[P, P]` there.
    ///
    /// # Errors
    /// If the distribution has no score.
    pub fn scores(
        &self,
        observation: &[f32],
        mask: Option<&[bool]>,
        actions: &ActionBuffer,
        rows: Range<usize>,
        scratch: &mut ActingScratch,
    ) -> Result<(Vec<f32>, Vec<f64>), AgentError> {
        let (head, _) = self.forward(observation, mask, scratch, 0..1);
        let output = head.output.repeat(rows.len());
        let mut samples = Samples::new(&*self.distribution)?;
        samples.prepare(Head { output: &output, tail: head.tail }, actions, rows);
        let information = samples.information();
        Ok((samples.moments.score, information))
    }

    /// Its network.
    #[cfg(test)]
    pub(crate) fn network(&self) -> &EncodedShape {
        &self.shape
    }

    /// Number of the policy's weights.
    #[must_use]
    pub fn weights(&self) -> usize {
        self.parameters.len()
    }

    /// Names, shapes and places of [`parameters`](Self::parameters): the encoder's under `encoder.`, then the network's by layer.
    #[must_use]
    pub fn layout(&self) -> Vec<NamedSlice> {
        self.shape.layout()
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
        self.act_masked(observations, None, noise, scratch, actions, rows);
    }

    /// As [`act`](Self::act), among the choices that `masks` `[r, M]` allows, if there are masks: M = K, and the distribution
    /// [takes them](Distribution::takes_masks).
    pub fn act_masked(
        &self,
        observations: &[f32],
        masks: Option<&[bool]>,
        noise: &[f32],
        scratch: &mut ActingScratch,
        actions: &mut ActionBuffer,
        rows: Range<usize>,
    ) {
        if let Some(Exploration::Uniform) = self.exploration {
            return self.distribution.anywhere(noise, actions, rows);
        }
        let (head, relaxed) = self.forward(observations, masks, scratch, rows.clone());
        self.distribution.act(head, noise, relaxed, actions, rows);
    }

    /// The most likely actions for observations `[r, D]`, into `rows` of `actions`.
    pub fn act_greedily(
        &self,
        observations: &[f32],
        scratch: &mut ActingScratch,
        actions: &mut ActionBuffer,
        rows: Range<usize>,
    ) {
        self.act_greedily_masked(observations, None, scratch, actions, rows);
    }

    /// As [`act_greedily`](Self::act_greedily), among the choices that `masks` `[r, M]` allows, if there are masks.
    pub fn act_greedily_masked(
        &self,
        observations: &[f32],
        masks: Option<&[bool]>,
        scratch: &mut ActingScratch,
        actions: &mut ActionBuffer,
        rows: Range<usize>,
    ) {
        let (head, _) = self.forward(observations, masks, scratch, rows.clone());
        self.distribution.greedy(head, actions, rows);
    }
}

/// Of the same network, distribution, weights and scaling.
impl PartialEq for ActingPolicy {
    fn eq(&self, other: &Self) -> bool {
        self.card() == other.card()
            && self.shape == other.shape
            && self.parameters == other.parameters
            && self.scaling == other.scaling
    }
}
