//! The variance of a whole batch's gradient of the weights, over batches that begin anew, beside A2C's.
//!
//! The rows of a batch are correlated, so that the mean over them may gain more or less from a control variate than each row does. At a
//! frozen point of training, N batches are gathered in environments that were started afresh and have run for a while. Each gives
//!
//! ```text
//! g = mean over rows of Jᵀĝ          g_A = mean over rows of Jᵀ s·(R̂ − V)
//! ```
//! with J the Jacobian of the distribution's parameters by the weights and s the score: the agent's own estimate, and A2C's on the same
//! batch with the same V, or with the V of another agent that was shown every batch of the training. Entropy bonus and
//! clipping are left out. Var g = (Σ‖g_n‖² − N‖ḡ‖²)/(N − 1), with jackknife errors over batches.

use relax_agents::{Agent, Compute, Metrics};
use relax_runtime::Error;
use relax_training::actor::{Actor, Plan, Streams, make_env};
use relax_training::config::{Config, RolloutMode};

use super::nested::Estimate;
use super::{BURN_IN, agent, no_estimator, stream, train_along};
use crate::compare::stats::{mean_of, median_of};

/// How to compare.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchOptions {
    /// Batches, 3 or more.
    pub batches: usize,
    /// Points of training.
    pub points: usize,
    /// Names the random numbers.
    pub seed: u64,
    /// Whose V A2C's formula takes: that of an agent of this configuration, which is shown every batch. The agent's own if there is none.
    pub critic_of: Option<Config>,
}

/// The variances at one point of training.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Batches {
    /// Environment steps trained for.
    pub env_steps: u64,
    /// Var g of the agent's own estimate.
    pub variance: Estimate,
    /// Var g_A of A2C's formula.
    pub of_a2c: Estimate,
    /// The first over the second.
    pub ratio: Estimate,
    /// ‖E g‖², without the bias of squaring a mean.
    pub signal: Estimate,
}

/// The comparisons of one run.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Compared {
    /// Id of the environment.
    pub env: String,
    /// Name of the agent.
    pub agent: String,
    /// One for each point of training.
    pub points: Vec<Batches>,
    /// All points together.
    pub overall: Overall,
}

/// The ratios of several points of training, of which a single one says little: how far V is behind at one moment is chance.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Overall {
    /// Geometric mean of the ratios.
    pub geometric_mean: f64,
    /// Their median.
    pub median: f64,
    /// Share of the points at which the ratio is below 1.
    pub below_one: f64,
    /// Sum of the variances over the sum of A2C's.
    pub of_sums: f64,
}

impl Overall {
    fn of(points: &[Batches]) -> Self {
        let ratios: Vec<f64> = points.iter().map(|point| point.ratio.value).collect();
        let logs: Vec<f64> = ratios.iter().map(|ratio| ratio.ln()).collect();
        let sum = |of: fn(&Batches) -> Estimate| points.iter().map(|point| of(point).value).sum::<f64>();
        Self {
            geometric_mean: mean_of(&logs).exp(),
            median: median_of(&ratios),
            below_one: ratios.iter().filter(|ratio| **ratio < 1.0).count() as f64 / ratios.len() as f64,
            of_sums: sum(|point| point.variance) / sum(|point| point.of_a2c),
        }
    }
}

/// Trains as `config` says, without writing anything, and compares at evenly spaced points.
///
/// # Errors
/// If a configuration is wrong, the agent has no estimator, there is no V to compare with, or training fails.
pub fn of_batches(config: &Config, options: &BatchOptions) -> Result<Compared, Error> {
    config.validate()?;
    // What cannot be compared is refused before anything is trained.
    let own = agent(config)?;
    let mut critic = options.critic_of.as_ref().map(|of| shadow(of, config)).transpose()?;
    let of = critic.as_deref().unwrap_or(&*own);
    if of.last_advantages().is_none() {
        let kind = &options.critic_of.as_ref().unwrap_or(config).agent.kind;
        return Err(Error::input(format!("{kind} has no V here, on which A2C's estimator could stand"))
            .with_hint("--critic-of takes that of another configuration's agent, for example an a2c's"));
    }
    if of.acting_policy().frames() != own.acting_policy().frames() {
        return Err(Error::input(
            "one of the two agents sees pictures through an encoder, and the other does not",
        )
        .with_hint("set agent.encoder alike in both configurations"));
    }
    drop(own);
    let mut points = Vec::new();
    let failed = |error: relax_agents::AgentError| Error::runtime(format!("the other critic: {error}"));
    train_along(config, options.points, |trainer, env_steps, due| {
        if let Some(critic) = &mut critic {
            let progress = env_steps as f64 / config.run.env_steps as f64;
            let (batch, mut metrics) = (trainer.batch(), Metrics::default());
            critic.improve_policy(batch, progress, &Compute::serial(), &mut metrics).map_err(failed)?;
            critic.fit_critics(batch, progress, &Compute::serial(), &mut metrics).map_err(failed)?;
        }
        if due {
            points.push(compare(trainer.agent_mut(), &mut critic, config, options, env_steps)?);
        }
        Ok(())
    })?;
    let overall = Overall::of(&points);
    Ok(Compared { env: config.env.id.clone(), agent: config.agent.kind.clone(), points, overall })
}

/// An agent whose critic alone is of interest. Its policy stays where it is: what it would learn from another's actions is nothing.
fn shadow(of: &Config, config: &Config) -> Result<Box<dyn Agent>, Error> {
    of.validate()?;
    if of.env != config.env {
        let message = format!("the other critic is of another environment: {} or its settings", of.env.id);
        return Err(Error::input(message).with_hint("give a configuration with the same [env]"));
    }
    let mut of = of.clone();
    of.learner.insert("learning_rate".into(), toml::Value::Float(f64::MIN_POSITIVE));
    agent(&of)
}

/// Compares at one point; both agents are left as they were.
fn compare(
    agent: &mut dyn Agent,
    critic: &mut Option<Box<dyn Agent>>,
    config: &Config,
    options: &BatchOptions,
    env_steps: u64,
) -> Result<Batches, Error> {
    let failed = |error: &dyn std::fmt::Display| Error::runtime(error.to_string());
    let (kept, critic_kept) = (agent.state(), critic.as_ref().map(|critic| critic.state()));
    let mut policy = agent.acting_policy();
    // Observation by observation, as numbers.
    policy.set_reads_bytes(false);
    let (mut own, mut a2c) = (Vec::new(), Vec::new());
    let (mut estimates, mut scratch) = (Vec::new(), Default::default());
    let (mode, steps) = (config.rollout.mode, config.rollout.steps as u64);
    for index in 0..options.batches {
        let env = make_env(&config.env, config.rollout.envs).map_err(|error| failed(&error))?;
        let seed = stream(options.seed, env_steps, 16 + index as u32).next_u64() >> 1;
        let mut actor = Actor::new(env, 0, policy.distribution().clone(), seed, Streams::EVALUATION, false)
            .map_err(|error| failed(&error))?;
        let mut batch = actor.rollout();
        if mode == RolloutMode::Steps {
            // As many steps on for each batch as make the slots stand anywhere in an episode.
            let plan = Plan { mode: RolloutMode::Steps, steps: BURN_IN, extra: 0 };
            actor.roll(&policy, plan, &mut batch).map_err(|error| failed(&error))?;
        }
        actor.roll(&policy, Plan { mode, steps, extra: 0 }, &mut batch).map_err(|error| failed(&error))?;

        let (mut metrics, serial) = (Metrics::default(), Compute::serial());
        agent.improve_policy(&batch, 0.5, &serial, &mut metrics).map_err(|error| failed(&error))?;
        if agent.last_gradient(&mut estimates).is_none() {
            return Err(no_estimator(config));
        }
        if let Some(critic) = critic.as_mut() {
            critic.improve_policy(&batch, 0.5, &serial, &mut metrics).map_err(|error| failed(&error))?;
        }
        let of: &dyn Agent = critic.as_deref().unwrap_or(agent);
        let Some(advantages) = of.last_advantages() else { return Err(no_estimator(config)) };
        let (rows, p) = (batch.rows(), estimates.len() / batch.rows());
        let mut gradients = [vec![0.0; policy.weights()], vec![0.0; policy.weights()]];
        for row in 0..rows {
            let observation = &batch.observations[row * batch.observation_dim..][..batch.observation_dim];
            let mask = batch.mask_rows(row..row + 1);
            let (mut scores, _information) = policy
                .scores(observation, mask, &batch.actions, row..row + 1, &mut scratch)
                .map_err(|error| failed(&error))?;
            scores.iter_mut().for_each(|s| *s *= advantages[row]);
            let [own, a2c] = &mut gradients;
            policy.pull_back(observation, &estimates[row * p..(row + 1) * p], &mut scratch, own);
            policy.pull_back(observation, &scores, &mut scratch, a2c);
        }
        for (all, of) in [&mut own, &mut a2c].into_iter().zip(gradients) {
            all.push(of.into_iter().map(|g| f64::from(g) / rows as f64).collect::<Vec<f64>>());
        }
        agent.restore(&kept).map_err(|error| failed(&error))?;
        if let (Some(critic), Some(kept)) = (critic.as_mut(), &critic_kept) {
            critic.restore(kept).map_err(|error| failed(&error))?;
        }
    }
    Ok(reduce(env_steps, &own, &a2c))
}

/// The estimates and their errors from the gradients of all batches.
fn reduce(env_steps: u64, own: &[Vec<f64>], a2c: &[Vec<f64>]) -> Batches {
    let (own, a2c) = (Sums::of(own), Sums::of(a2c));
    let n = own.norms.len();
    let jackknife = |of: &dyn Fn(Option<usize>) -> f64| {
        let without: Vec<f64> = (0..n).map(|i| of(Some(i))).collect();
        let mean = without.iter().sum::<f64>() / n as f64;
        let squares: f64 = without.iter().map(|w| (w - mean).powi(2)).sum();
        Estimate { value: of(None), error: (squares * (n - 1) as f64 / n as f64).sqrt() }
    };
    Batches {
        env_steps,
        variance: jackknife(&|i| own.moments(i).0),
        of_a2c: jackknife(&|i| a2c.moments(i).0),
        ratio: jackknife(&|i| own.moments(i).0 / a2c.moments(i).0),
        signal: jackknife(&|i| own.moments(i).1),
    }
}

/// What variances need to know of N gradients.
struct Sums {
    /// ‖g_n‖².
    norms: Vec<f64>,
    /// g_n · Σ g.
    with_sum: Vec<f64>,
}

impl Sums {
    fn of(gradients: &[Vec<f64>]) -> Self {
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let mut sum = vec![0.0; gradients[0].len()];
        gradients.iter().for_each(|g| sum.iter_mut().zip(g).for_each(|(sum, g)| *sum += g));
        Self {
            norms: gradients.iter().map(|g| dot(g, g)).collect(),
            with_sum: gradients.iter().map(|g| dot(g, &sum)).collect(),
        }
    }

    /// Var g and ‖E g‖², of all batches but one, if one is named.
    fn moments(&self, without: Option<usize>) -> (f64, f64) {
        let (mut n, mut norms, mut of_sum) =
            (self.norms.len() as f64, self.norms.iter().sum::<f64>(), self.with_sum.iter().sum::<f64>());
        if let Some(i) = without {
            n -= 1.0;
            norms -= self.norms[i];
            of_sum -= 2.0 * self.with_sum[i] - self.norms[i];
        }
        let variance = (norms - of_sum / n) / (n - 1.0);
        (variance, of_sum / (n * n) - variance / n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variances_and_their_errors_are_the_textbooks() {
        // Var = ((1 − 2)² + (2 − 2)² + (3 − 2)²)/2 in each of two coordinates that are the same.
        let own: Vec<Vec<f64>> = [1.0, 2.0, 3.0].map(|x| vec![x, x]).to_vec();
        let a2c: Vec<Vec<f64>> = [2.0, 4.0, 6.0].map(|x| vec![x, x]).to_vec();
        let found = reduce(7, &own, &a2c);
        assert_eq!((found.variance.value, found.of_a2c.value), (2.0, 8.0));
        assert_eq!((found.ratio.value, found.ratio.error), (0.25, 0.0));
        // ‖ḡ‖² = 8, of which Var/3 is chance.
        assert!((found.signal.value - (8.0 - 2.0 / 3.0)).abs() < 1e-12);
        // Without one of the three: {2, 3}, {1, 3} and {1, 2}, of variances 1, 4 and 1.
        assert!((found.variance.error - (6.0f64 * 2.0 / 3.0).sqrt()).abs() < 1e-12);
    }

    #[test]
    fn overall_is_of_all_points() {
        let of = |value| Estimate { value, error: 0.0 };
        let point = |ours, theirs| Batches {
            env_steps: 1,
            variance: of(ours),
            of_a2c: of(theirs),
            ratio: of(ours / theirs),
            signal: of(0.0),
        };
        // Ratios ½, 2 and 8.
        let found = Overall::of(&[point(1.0, 2.0), point(2.0, 1.0), point(8.0, 1.0)]);
        assert!((found.geometric_mean - 2.0).abs() < 1e-12, "{found:?}");
        assert_eq!((found.median, found.of_sums), (2.0, 2.75));
        assert!((found.below_one - 1.0 / 3.0).abs() < 1e-12, "{found:?}");
    }
}
