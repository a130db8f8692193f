//! How Q learns: from replayed experience, and, if it is asked to, on the variance of the newest batch.

use super::{RelaxDdpg, Shard};
use crate::parts::policy::PolicyShard;
use crate::{Agent, AgentError, Compute, Metrics, Rollout};
use relax_estimators::{combine, mean_squared_norm};

impl RelaxDdpg {
    /// One gradient step of Q: a weighted sum of the temporal-difference error on a fresh minibatch and of the variance on
    /// the newest batch. Returns the TD loss and the mean ‖A − B‖².
    fn update(
        &mut self,
        batch: Option<&Rollout>,
        progress: f64,
        compute: &Compute,
    ) -> Result<(f64, f64), AgentError> {
        let (mut td, mut variance) = (f64::NAN, f64::NAN);
        let (weights, size) = (&self.learner.critic, self.learner.replay.batch_size);
        if weights.td > 0.0 {
            self.experience.draw(&mut self.rngs[0]);
            let minibatch = &self.experience.minibatch;
            self.policy.distribution().draw(&mut self.rngs[1], &mut self.noise);
            self.next_actions.resize(size);
            self.current.act(
                &minibatch.next_observations,
                &self.noise,
                &mut self.scratch,
                &mut self.next_actions,
                0..size,
            );
            let (gamma, weight) = (self.learner.gamma as f32, weights.td as f32);
            td = self.q.add_td_gradient(minibatch, self.next_actions.values(), gamma, weight);
        }
        if let Some(batch) = batch.filter(|_| weights.variance > 0.0) {
            variance = self.add_variance_gradient(batch, compute, self.learner.critic.variance as f32);
        }
        let rate = self.learner.annealed(self.learner.control_variate_learning_rate, progress);
        self.q.net.step(rate, self.learner.critic_max_grad_norm, "control variate's gradient")?;
        self.q.net.follow(self.learner.replay.tau as f32);
        Ok((td, variance))
    }

    /// All gradient steps of Q that are due; those that see the `batch` are not left for later, when it is gone.
    pub(super) fn fit_q(
        &mut self,
        batch: Option<&Rollout>,
        progress: f64,
        compute: &Compute,
        metrics: &mut Metrics,
    ) -> Result<(), AgentError> {
        self.policy.refresh(&mut self.current);
        while self.experience.due().is_some() && !(self.may_leave_off() && compute.is_stopped()) {
            let (td, variance) = self.update(batch, progress, compute)?;
            metrics.control_variate_loss = if td.is_nan() { variance } else { td };
            self.experience.done();
        }
        Ok(())
    }

    /// Adds to Q's gradient that of `weight`·mean ‖A − B‖² over the batch, and returns the mean.
    fn add_variance_gradient(&mut self, batch: &Rollout, compute: &Compute, weight: f32) -> f64 {
        let rows = batch.rows();
        let (net, values) = (&mut self.q.net, self.critic.values());
        let (shape, parameters) = (&net.shape, &net.parameters);
        compute.each(self.policy.shards_mut(), |i, shard| {
            let baseline = &values[crate::compute::shard_rows(i, rows)];
            let PolicyShard { samples, estimate, extra: Shard { own, .. }, .. } = shard;
            own.correct_beyond(samples, shape, parameters, baseline);
            combine(&own.a, &own.b, 1.0, estimate);
            shard.sums.squared_norm = mean_squared_norm(estimate, 1);
            own.differentiate(shape, parameters, 2.0 * weight / rows as f32, estimate, |q, alpha, beta| {
                samples.adjoint(q, alpha, beta);
            });
        });
        let mut total = 0.0;
        for shard in self.policy.shards_mut() {
            total += shard.sums.squared_norm;
            net.gradient.iter_mut().zip(&shard.extra.own.parameter_gradient).for_each(|(g, x)| *g += x);
        }
        total / rows as f64
    }
}
