//! [`Normalized`]: an agent without replay behind running statistics.

use super::Normalizer;
use crate::config::Normalization;
use crate::{ActingPolicy, Agent, AgentError, Compute, Metrics, Rollout};
use relax_envs::Space;
use relax_nn::StateDict;

/// An agent without replay that sees normalised batches.
pub struct Normalized {
    inner: Box<dyn Agent>,
    normalizer: Normalizer,
    /// The batch as `inner` sees it.
    batch: Option<Rollout>,
}

impl Normalized {
    /// `inner` as it is, or with the normalisation that the configuration asks for around it.
    #[must_use]
    pub fn around(inner: Box<dyn Agent>, observations: &Space, asked: Normalization) -> Box<dyn Agent> {
        let normalizer = Normalizer::new(observations, asked);
        if normalizer.is_idle() { inner } else { Box::new(Self { inner, normalizer, batch: None }) }
    }
}

impl Agent for Normalized {
    fn acting_policy(&self) -> ActingPolicy {
        let mut policy = self.inner.acting_policy();
        self.normalizer.scale(&mut policy);
        policy
    }

    fn refresh(&self, policy: &mut ActingPolicy) {
        self.inner.refresh(policy);
        self.normalizer.scale(policy);
    }

    fn improve_policy(
        &mut self,
        batch: &Rollout,
        progress: f64,
        compute: &Compute,
        metrics: &mut Metrics,
    ) -> Result<(), AgentError> {
        self.normalizer.begin(batch);
        let own = normalized(&mut self.batch, batch, &self.normalizer);
        self.inner.improve_policy(own, progress, compute, metrics)?;
        self.normalizer.end(batch);
        Ok(())
    }

    fn fit_critics(
        &mut self,
        _: &Rollout,
        progress: f64,
        compute: &Compute,
        metrics: &mut Metrics,
    ) -> Result<(), AgentError> {
        let Some(own) = &self.batch else { return Ok(()) };
        self.inner.fit_critics(own, progress, compute, metrics)?;
        if let Some(moved) = self.normalizer.advance() {
            self.inner.keep_values(moved);
        }
        Ok(())
    }

    fn last_gradient(&self, estimates: &mut Vec<f32>) -> Option<&[f32]> {
        self.inner.last_gradient(estimates)
    }

    fn last_advantages(&self) -> Option<&[f32]> {
        self.inner.last_advantages()
    }

    fn state(&self) -> StateDict {
        let mut state = self.inner.state();
        self.normalizer.save(&mut state);
        state
    }

    fn restore(&mut self, state: &StateDict) -> Result<(), AgentError> {
        self.inner.restore(state)?;
        self.normalizer.restore(state)
    }
}

/// Fills `own` with `batch` as `normalizer` has it.
pub(crate) fn normalized<'a>(
    own: &'a mut Option<Rollout>,
    batch: &Rollout,
    normalizer: &Normalizer,
) -> &'a Rollout {
    // A rollout of more or fewer slots than before, as a dissection of the variance makes them, needs another buffer.
    own.take_if(|own| own.slots() != batch.slots());
    let own = own.get_or_insert_with(|| {
        Rollout::new(batch.slots(), batch.observation_dim, batch.noise_dim, batch.actions.clone())
    });
    own.merge(std::iter::once(batch));
    normalizer.rollout(own);
    own
}
