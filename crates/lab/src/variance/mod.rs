//! Where does the variance of a policy gradient come from? `relax variance` splits it, for an agent's estimator as it is
//! trained, into what the states, the actions and the rest of the trajectory add (Tucker et al. 2018 do so for one
//! estimator; here every agent shows its own).
//!
//! Rows of training batches are drawn at random: a state and the number of steps that its batch goes on. From the
//! environment's saved state several actions are drawn, and each is continued several times to the batch's end, with the
//! agent's own policy, critic and control variate. The agent itself turns all of that into estimates
//! ([`Agent::last_gradient`]), so returns, bootstrapping and normalisation are the ones it is trained with. An estimate's
//! dependence on the relaxed noise behind an action counts as the action's.

mod batches;
mod branch;
pub mod nested;

use std::path::Path;

use relax_agents::{Agent, Compute, Metrics, Refusal, make_agent};
use relax_envs::EnvRng;

pub use batches::{BatchOptions, Batches, Compared, of_batches};
use branch::{BURN_IN, Brancher};
use nested::Baseline;
pub use nested::{Estimate, Parts};
use relax_runtime::Error;
use relax_runtime::checkpoint;
use relax_runtime::run::latest_checkpoint;
use relax_training::actor::make_env;
use relax_training::config::Config;
use relax_training::train::Trainer;

/// How to dissect.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VarianceOptions {
    /// States.
    pub states: usize,
    /// Actions from each state, 2 or more.
    pub actions: usize,
    /// Continuations of each action, 2 or more.
    pub continuations: usize,
    /// Points of training, for a configuration.
    pub points: usize,
    /// Names the dissection's random numbers.
    pub seed: u64,
}

impl Default for VarianceOptions {
    fn default() -> Self {
        Self { states: 1000, actions: 8, continuations: 4, points: 6, seed: 0 }
    }
}

/// The variance at one point of training.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Dissection {
    /// Environment steps trained for.
    pub env_steps: u64,
    /// At the distribution's parameters.
    pub parameters: Parts,
    /// At the policy's weights.
    pub weights: Parts,
    /// E‖ĝ‖² over A2C's on the rollouts of the dissection; NaN if the agent does not know A2C's.
    pub ratio: f64,
}

/// The dissections of one run.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Dissected {
    /// Id of the environment.
    pub env: String,
    /// Name of the agent.
    pub agent: String,
    /// One for each point of training.
    pub points: Vec<Dissection>,
}

/// Trains as `config` says, without writing anything, and dissects the variance at evenly spaced points.
///
/// # Errors
/// If the configuration is wrong, its estimator cannot be dissected, or training fails.
pub fn along_training(config: &Config, options: &VarianceOptions) -> Result<Dissected, Error> {
    config.validate()?;
    // What cannot be dissected is refused before anything is trained.
    drop(agent(config)?);
    let mut points = Vec::new();
    train_along(config, options.points, |trainer, env_steps, due| {
        if due {
            points.push(dissect(trainer.agent_mut(), config, options, env_steps)?);
        }
        Ok(())
    })?;
    Ok(Dissected { env: config.env.id.clone(), agent: config.agent.kind.clone(), points })
}

/// Dissects the variance at the newest checkpoint of the run folder `dir`.
///
/// # Errors
/// If there is no usable checkpoint, or the run's estimator cannot be dissected.
pub fn at_checkpoint(dir: &Path, options: &VarianceOptions) -> Result<Dissected, Error> {
    let path = latest_checkpoint(dir);
    let (header, state) = checkpoint::load(&path)?;
    let config = Config::recorded(&header.config, &path.display().to_string(), &[])?;
    let bad = |error: &dyn std::fmt::Display| Error::input(format!("{}: {error}", path.display()));
    let mut agent = agent(&config)?;
    agent.restore(&state.subset("agent")).map_err(|error| bad(&error))?;
    let [_, env_steps] = state.u64_array("counters").map_err(|error| bad(&error))?;
    if env_steps == 0 {
        return Err(Error::input(format!("{} has not been trained yet", dir.display()))
            .with_hint(format!("`relax resume {}` trains it", dir.display())));
    }
    let point = dissect(agent.as_mut(), &config, options, env_steps)?;
    Ok(Dissected { env: config.env.id.clone(), agent: config.agent.kind.clone(), points: vec![point] })
}

/// Trains as `config` says, without writing anything, and calls `after` after every update, with the steps taken and whether one of as many
/// evenly spaced `points` has been reached.
fn train_along(
    config: &Config,
    points: usize,
    mut after: impl FnMut(&mut Trainer, u64, bool) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut trainer = Trainer::new(config)?;
    let (budget, mut reached) = (config.run.env_steps, 0);
    while trainer.env_steps() < budget {
        let env_steps = trainer.step()?.env_steps;
        let due = env_steps * points as u64 / budget > reached;
        reached += u64::from(due);
        after(&mut trainer, env_steps, due)?;
    }
    Ok(())
}

fn agent(config: &Config) -> Result<Box<dyn Agent>, Error> {
    config.check_dissection()?;
    let env = make_env(&config.env, 1).map_err(|error| Error::input(error.to_string()))?;
    make_agent(&config.settings(), env.observation_space(), env.action_space(), config.run.seed)
        .map_err(|error| Error::input(error.to_string()))
}

/// Dissects the variance of `agent`, which is left as it was.
fn dissect(
    agent: &mut dyn Agent,
    config: &Config,
    options: &VarianceOptions,
    env_steps: u64,
) -> Result<Dissection, Error> {
    let failed = |error: &dyn std::fmt::Display| Error::runtime(error.to_string());
    let kept = agent.state();
    let mut policy = agent.acting_policy();
    // A row's branches are put together from several rollouts, as numbers.
    policy.set_reads_bytes(false);
    let mut brancher = Brancher::new(config, &policy, options, env_steps)?;
    let (actions, continuations) = (options.actions, options.continuations);
    let rows = actions * continuations;
    let (mut by_parameters, mut by_weights) = (Vec::new(), Vec::new());
    let (mut own, mut a2c) = (0.0, 0.0);
    let (mut estimates, mut scratch) = (Vec::new(), Default::default());
    for _ in 0..options.states {
        let batch = brancher.next(&policy)?;
        let mut metrics = Metrics::default();
        agent.improve_policy(batch, 0.5, &Compute::serial(), &mut metrics).map_err(|error| failed(&error))?;
        if agent.last_gradient(&mut estimates).is_none() {
            return Err(no_estimator(config));
        }
        own += metrics.squared_norm;
        a2c += metrics.squared_norm_a2c;
        let p = estimates.len() / batch.rows();
        let first: Vec<f64> = estimates[..rows * p].iter().map(|&g| f64::from(g)).collect();
        let observation = &batch.observations[..batch.observation_dim];
        let jacobian: Vec<Vec<f32>> = (0..p)
            .map(|k| {
                let unit: Vec<f32> = (0..p).map(|i| f32::from(u8::from(i == k))).collect();
                let mut row = vec![0.0; policy.weights()];
                policy.pull_back(observation, &unit, &mut scratch, &mut row);
                row
            })
            .collect();
        let dot =
            |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        let gram: Vec<f64> = (0..p * p).map(|i| dot(&jacobian[i / p], &jacobian[i % p])).collect();
        let identity: Vec<f64> = (0..p * p).map(|i| f64::from(u8::from(i / p == i % p))).collect();
        let wide = |x: &[f32]| x.iter().map(|&x| f64::from(x)).collect::<Vec<f64>>();
        let (scores, information) = policy
            .scores(observation, batch.mask_rows(0..1), &batch.actions, 0..rows, &mut scratch)
            .map_err(|error| failed(&error))?;
        // One row of each action: its continuations share it.
        let scores: Vec<f64> = scores.chunks_exact(p).step_by(continuations).flat_map(wide).collect();
        let advantages = agent.last_advantages().map_or(Vec::new(), |all| wide(&all[..rows]));
        let baseline = Baseline { scores: &scores, information: &information, advantages: &advantages };
        let here = nested::reduce(&first, actions, continuations, &identity, <[f64]>::to_vec);
        by_parameters.push(here.with_baseline(&first, &identity, baseline));
        let here = nested::reduce(&first, actions, continuations, &gram, |mean| {
            let mut lifted = vec![0.0; policy.weights()];
            for (row, m) in jacobian.iter().zip(mean) {
                lifted.iter_mut().zip(row).for_each(|(x, j)| *x += m * f64::from(*j));
            }
            lifted
        });
        by_weights.push(here.with_baseline(&first, &gram, baseline));
        agent.restore(&kept).map_err(|error| failed(&error))?;
    }
    Ok(Dissection {
        env_steps,
        parameters: nested::parts(&by_parameters, actions, continuations),
        weights: nested::parts(&by_weights, actions, continuations),
        ratio: own / a2c,
    })
}

fn no_estimator(config: &Config) -> Error {
    let Refusal { message, hint, .. } = Refusal::no_estimator(&config.agent.kind);
    Error::input(message).with_hint(hint)
}

/// A stream of the measurement `seed` at `env_steps`.
fn stream(seed: u64, env_steps: u64, index: u32) -> EnvRng {
    EnvRng::from_seed_sequence(seed, &[0xd155, env_steps as u32, index])
}

impl Dissection {
    /// What the numbers say, in words.
    #[must_use]
    pub fn words(&self, agent: &str) -> String {
        let of = |share: Estimate| format!("{:.1} ± {:.1} %", 100.0 * share.value, 100.0 * share.error);
        let parts = &self.parameters;
        let [states, value_error, action, rest] = parts.shares.map(of);
        let mut text =
            format!("After {} steps, of the variance at the distribution's parameters: ", self.env_steps);
        if parts.value_error.value.is_nan() {
            text.push_str(&format!(
                "{action} is the own action's, whatever a better state baseline could take of it; "
            ));
        } else {
            text.push_str(&format!(
                "{value_error} is the state baseline's error, which a perfect V would take; \
                 {action} the own action's, for an action-dependent control variate; "
            ));
        }
        text.push_str(&format!(
            "{rest} is of what follows, for a trajectory-wise one as far as the actions cause it; {states} the states'. \
             The best of all state baselines would take {:.1} %.",
            100.0 * parts.best_baseline.value / parts.total()
        ));
        if self.ratio.is_finite() && agent.starts_with("relax") {
            text.push_str(&format!(
                " This agent's own makes E‖ĝ‖² {:.3} times A2C's: it removes {:.1} %.",
                self.ratio,
                100.0 * (1.0 - self.ratio)
            ));
        }
        text
    }
}
