//! `run.from`: a new run that begins with what an earlier one has learned.

use std::path::Path;

use relax_agents::Agent;
use relax_nn::{StateDict, StateTensor};
use relax_runtime::Error;
use relax_runtime::checkpoint;
use relax_runtime::run::latest_checkpoint;

use crate::actor::make_env;
use crate::config::{Config, EnvConfig};

/// What is learned, by the first part of its name in an agent's state. Counters, random streams and stored experience are
/// the new run's own.
const LEARNED: [&str; 7] = ["policy", "actor", "critic", "q", "control_variate", "baseline", "normalizer"];
/// The parts that act: all of them must fit. A critic that does not fit starts afresh.
const ACTS: [&str; 3] = ["policy", "actor", "normalizer"];
/// The running returns of a normaliser, one for each slot.
const RUNNING: &str = "running_returns";

/// Gives `agent`, fresh and of `config`, what the newest checkpoint of the run folder `run` knows.
///
/// # Errors
/// If there is no such checkpoint, its environment has other spaces, or its policy does not fit.
pub(crate) fn take_over(agent: &mut dyn Agent, config: &Config, run: &Path) -> Result<(), Error> {
    let path = latest_checkpoint(run);
    let (header, state) = checkpoint::load(&path)?;
    let theirs = Config::recorded(&header.config, &path.display().to_string(), &[])?;
    let spaces = |env: &EnvConfig| {
        let env = make_env(env, 1).map_err(|error| Error::input(error.to_string()))?;
        Ok::<_, Error>((env.observation_space().clone(), env.action_space().clone()))
    };
    let ((observations, actions), own) = (spaces(&theirs.env)?, spaces(&config.env)?);
    for (what, their, own) in [("observations", &observations, &own.0), ("actions", &actions, &own.1)] {
        if their != own {
            let message = format!(
                "run.from: the {what} of {} ({}) are {their}, those of {} are {own}",
                run.display(),
                theirs.env.id,
                config.env.id
            );
            return Err(Error::input(message).with_hint("a policy goes on in the spaces it was trained in"));
        }
    }
    let (mut merged, state) = (agent.state(), state.subset("agent"));
    for part in ACTS {
        if !fits(&merged.subset(part), &state.subset(part)) {
            let message = format!("run.from: the policy of {} does not fit this agent", run.display());
            return Err(Error::input(message).with_hint(format!(
                "take its settings: {} has agent.hidden and learner.normalize_observations",
                run.join("config.toml").display()
            )));
        }
    }
    for part in LEARNED {
        let (own, mut their) = (merged.subset(part), state.subset(part));
        if fits(&own, &their) {
            // The returns of episodes that are under way are not this run's.
            if let Ok(running) = own.get(RUNNING) {
                their.insert(RUNNING, running.clone());
            }
            merged.insert_all(part, their);
        }
    }
    agent.restore(&merged).map_err(|error| Error::input(format!("run.from: {}: {error}", run.display())))
}

/// Whether `theirs` has the arrays that `own` has, of the same sizes.
fn fits(own: &StateDict, theirs: &StateDict) -> bool {
    let size = |tensor: &StateTensor| match tensor {
        StateTensor::F32 { data, .. } => ("f32", data.len()),
        StateTensor::F64(data) => ("f64", data.len()),
        StateTensor::U64(data) => ("u64", data.len()),
        StateTensor::U8(data) => ("u8", data.len()),
    };
    own.iter().count() == theirs.iter().count()
        && own.iter().all(|(name, tensor)| {
            theirs.get(name).is_ok_and(|found| name == RUNNING || size(found) == size(tensor))
        })
}
