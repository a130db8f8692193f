//! Actors that are no threads of this process: a [`Fleet`] brings messages to them and back. What they have done is learned from
//! only when all of it is there, and where they stand is kept here, so that nothing is lost with any of them.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use relax_agents::{ActingPolicy, Rollout};
use relax_runtime::Error;

use crate::actor::{ActorState, Plan};
use crate::cluster::batch::Shape;
use crate::cluster::{Fleet, Part, learner, orders, worker};

/// How often somebody who wants the run to stop is listened to.
const LOOK: Duration = Duration::from_millis(50);

/// A fleet, and where all slots stand.
pub(crate) struct Elsewhere {
    fleet: Box<dyn Fleet>,
    /// Identity of the run.
    run: String,
    shape: Shape,
    slots: usize,
    parts: Vec<Part>,
    /// The parts before the last whole rollout.
    before: Vec<Part>,
    /// Checksum of the policy that they act with.
    policy: String,
    stop: Option<Arc<AtomicBool>>,
}

impl Elsewhere {
    /// `states` are those of parts of the slots, in order.
    pub fn new(
        fleet: Box<dyn Fleet>,
        run: String,
        shape: Shape,
        states: Vec<(Range<usize>, ActorState)>,
    ) -> Self {
        let slots = states.last().map_or(0, |(part, _)| part.end);
        let seal = |(slots, state): (Range<usize>, ActorState)| Part {
            states: worker::seal_states(&run, &slots, &state).into(),
            slots,
        };
        let parts: Vec<Part> = states.into_iter().map(seal).collect();
        let (before, policy) = (parts.clone(), String::new());
        Self { fleet, run, shape, slots, parts, before, policy, stop: None }
    }

    pub fn stop_when(&mut self, stop: &Arc<AtomicBool>) {
        self.stop = Some(stop.clone());
    }

    pub fn start(&mut self, policy: &ActingPolicy, plan: Plan, env_steps: u64) -> Result<(), Error> {
        let (policy, checksum) = orders::seal(&self.run, policy, plan, env_steps);
        self.policy = checksum;
        self.fleet.launch(&policy.into(), &self.parts)
    }

    /// Waits until all have answered and puts what they did into `batch`. False if somebody wants the run to stop before: what is
    /// under way is given up then, and the slots stand where they stood.
    pub fn finish(&mut self, plan: Plan, batch: &mut Rollout) -> Result<bool, Error> {
        let answers = loop {
            if let Some(answers) = self.fleet.gather(LOOK)? {
                break answers;
            }
            if self.stop.as_ref().is_some_and(|stop| stop.load(Ordering::Relaxed)) {
                self.fleet.abandon();
                return Ok(false);
            }
        };
        let (batches, states): (Vec<_>, Vec<_>) = answers.into_iter().unzip();
        learner::merge(&self.run, &self.policy, &self.shape, plan, &batches, batch)?;
        if states.len() != self.parts.len() {
            let (found, wanted) = (states.len(), self.parts.len());
            return Err(Error::runtime(format!("{found} workers have answered, and {wanted} were asked")));
        }
        let mut after = Vec::with_capacity(states.len());
        for (part, states) in self.parts.iter().zip(states) {
            worker::read_states(&self.run, &part.slots, self.slots, &self.shape, &states)?;
            after.push(Part { slots: part.slots.clone(), states: states.into() });
        }
        self.before = std::mem::replace(&mut self.parts, after);
        Ok(true)
    }

    /// Gives up what is under way.
    pub fn abandon(&mut self) {
        self.fleet.abandon();
    }

    /// Takes back the last whole rollout.
    pub fn undo(&mut self) {
        self.parts.clone_from(&self.before);
    }

    /// The state of all slots, in order.
    pub fn state(&self) -> Result<ActorState, Error> {
        let mut all = ActorState::default();
        for part in &self.parts {
            let state = worker::read_states(&self.run, &part.slots, self.slots, &self.shape, &part.states)?;
            all.extend(state);
        }
        Ok(all)
    }

    pub fn restore(&mut self, state: &ActorState) {
        for part in &mut self.parts {
            let own = state.slice(self.slots, part.slots.clone());
            part.states = worker::seal_states(&self.run, &part.slots, &own).into();
        }
        self.before.clone_from(&self.parts);
    }
}
