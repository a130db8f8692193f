//! What of a trainer survives a checkpoint, and the hash of what it has learned.

use relax_agents::AgentError;
use relax_nn::{StateDict, StateTensor};
use relax_runtime::Error;
use relax_runtime::state_hash::state_hash;

use super::Trainer;
use crate::actor::ActorState;
use crate::train::health::Health;
use crate::train::under_way::UnderWay;
use crate::train::worth::Worth;

/// Below what names an agent's state holds what it has stored to learn from again.
const REPLAY: &str = "replay";

/// Updates and environment steps.
const COUNTERS: &str = "counters";

/// The hash of what a checkpoint's `state` holds of what was learned ([`Trainer::state_hash`]).
pub(in crate::train) fn learned_hash(state: &StateDict) -> String {
    hash(state.subset("agent"), state.get(COUNTERS).ok().cloned())
}

fn hash(agent: StateDict, counters: Option<StateTensor>) -> String {
    let mut learned = StateDict::new();
    learned.insert_all("agent", agent);
    if let Some(counters) = counters {
        learned.insert(COUNTERS, counters);
    }
    state_hash(&learned)
}

impl Trainer {
    /// Hash of what has been learned: the agent's whole state (weights, optimisers, statistics, stored experience, random streams) and
    /// the counts of updates and steps; SHA-256, 64 hexadecimal digits ([`relax_runtime::state_hash`]). The same configuration, seed
    /// and kind of machine give the same one, whatever the workers and interruptions, and whoever ran it: clocks, the lengths of logs
    /// and the state of the environments are left out.
    #[must_use]
    pub fn state_hash(&self) -> String {
        let mut agent = self.agent.state();
        if !self.config.checkpoint.replay {
            agent.remove_all(REPLAY);
        }
        hash(agent, Some(self.counters()))
    }

    fn counters(&self) -> StateTensor {
        StateTensor::U64(vec![self.updates, self.env_steps])
    }

    /// Everything needed to continue bit for bit; without what the agent has stored, if checkpoints are to leave it out.
    ///
    /// # Errors
    /// If a worker is gone.
    pub fn state(&mut self) -> Result<StateDict, Error> {
        let mut state = self.learner_state();
        if !self.config.checkpoint.replay {
            state.remove_all(&format!("agent.{REPLAY}"));
        }
        state.insert_all("actors", self.crew.state()?.to_state());
        if let Some(at) = &self.under_way {
            at.save(&mut state);
        }
        Ok(state)
    }

    /// Everything but the actors'.
    pub(crate) fn learner_state(&self) -> StateDict {
        let mut state = StateDict::new();
        state.insert_all("agent", self.agent.state());
        state.insert_all("tracker", self.tracker.state());
        state.insert("health", self.health.state());
        self.worth.save(&mut state);
        state.insert(COUNTERS, self.counters());
        state
    }

    /// Goes back to the learner's part of a state.
    pub(crate) fn restore_learner(&mut self, state: &StateDict) -> Result<(), Error> {
        let bad = |error: &dyn std::fmt::Display| Error::input(error.to_string());
        let counters = state.u64_array(COUNTERS).map_err(|error| bad(&error))?;
        self.agent.restore(&state.subset("agent")).map_err(|error| match error {
            AgentError::Outgrown => Error::input(format!("this run cannot go on from its checkpoint: {error}"))
                .with_hint("the run ends where it is: `relax eval` plays its policy, and `relax train --from` begins another run with it"),
            error => bad(&error),
        })?;
        self.tracker.restore(&state.subset("tracker")).map_err(|error| bad(&error))?;
        self.worth = Worth::restore(state).map_err(|error| bad(&error))?;
        // Runs of earlier versions have none.
        self.health = Health::restore(state).unwrap_or_default();
        [self.updates, self.env_steps] = counters;
        Ok(())
    }

    /// Goes on from what [`state`](Self::state) gave. Environments that could not be saved start a fresh episode; the result
    /// says whether all could.
    ///
    /// # Errors
    /// If the state is that of another agent, of other environments or of another number of them.
    pub fn restore(&mut self, state: &StateDict) -> Result<bool, Error> {
        let bad = |error: &dyn std::fmt::Display| Error::input(error.to_string());
        let (dim, noise_dim) = (self.batch.observation_dim, self.batch.noise_dim);
        let slots = self.config.rollout.envs;
        let actors = ActorState::from_state(&state.subset("actors"), slots, dim, noise_dim)
            .map_err(|error| bad(&error))?;
        let [_, env_steps] = state.u64_array(COUNTERS).map_err(|error| bad(&error))?;
        let under_way = UnderWay::restore(state, env_steps).map_err(|error| bad(&error))?;
        self.restore_learner(state)?;
        // Without the stored experience there is nothing to catch up with.
        let left_out = !state.has_any(&format!("agent.{REPLAY}")) && self.agent.state().has_any(REPLAY);
        if self.agent.is_behind() != under_way.is_some() && !(left_out && under_way.is_some()) {
            return Err(bad(
                &"the agent stands in the middle of an update, the run does not, or the other way round",
            ));
        }
        self.crew.restore(&actors)?;
        self.under_way = under_way;
        Ok(actors.has_environments())
    }
}
