//! Some slots of a run, wherever they are: as an object that keeps its environments, and as a pure function.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use relax_agents::Rollout;
use relax_nn::StateDict;
use relax_runtime::Error;

use super::batch::{self, Shape};
use super::message::{self, Kind, spoken};
use super::orders::{self, Orders};
use crate::actor::{Actor, ActorState, Streams, make_env};
use crate::config::Config;
use crate::train::{check_env, whole};

/// What an order came to: the batch, and where the slots stand after it.
pub type Answer = (Vec<u8>, Vec<u8>);

/// Some slots of a run.
///
/// Worlds that can save their state need none: [`rollout`] is then the whole worker. One whose worlds cannot (`gym:…`) has to keep them,
/// and goes on from where it stands.
pub struct Worker {
    config: Config,
    run: String,
    slots: Range<usize>,
    hand: Option<Hand>,
}

/// An actor that has begun.
struct Hand {
    actor: Actor,
    rollout: Rollout,
    shape: Shape,
}

impl Worker {
    /// The worker of these slots, of `config.rollout.envs` in all. Its environments are made when there is something to do.
    ///
    /// # Errors
    /// If there are no such slots, or the configuration is wrong.
    pub fn new(config: &Config, slots: Range<usize>) -> Result<Self, Error> {
        config.validate()?;
        check_slots(config, &slots)?;
        Ok(Self { config: config.clone(), run: message::identity(config), slots, hand: None })
    }

    /// Acts as `policy`, a message of the learner, says; returns the batch, and where the slots stand after it.
    ///
    /// `states` is what the last call returned, here or in a worker that is no more; nothing at the beginning of a run. Worlds that can
    /// save their state go on from there; others from where they stand in this worker, or with fresh episodes that the run has
    /// not had yet if it is new.
    ///
    /// # Errors
    /// If a message is damaged, of another version, instruction set or run; if the environment fails.
    pub fn rollout(&mut self, policy: &[u8], states: &[u8]) -> Result<Answer, Error> {
        let orders = orders::open(&self.run, &self.config, policy)?;
        let states = self.states(states, &orders)?;
        let hand = match self.hand.take() {
            Some(hand) => hand.fits(&orders)?,
            None => Hand::new(&self.config, &self.slots, &orders, states.is_some())?,
        };
        // After a failure the environments are in a state of their own, and not asked again.
        let (hand, answer) = hand.roll(&self.run, &self.slots, &orders, states)?;
        self.hand = Some(hand);
        Ok(answer)
    }

    /// The states of a message; nothing of an empty one, which is for the beginning only.
    fn states(&self, states: &[u8], orders: &Orders) -> Result<Option<Arrays>, Error> {
        if states.is_empty() {
            if orders.env_steps > 0 && self.hand.is_none() {
                let message = format!(
                    "{} have no states, and the run is at step {} already",
                    spoken(&self.slots),
                    orders.env_steps
                );
                return Err(Error::input(message).with_hint("hand in what the rollout before has returned"));
            }
            return Ok(None);
        }
        open_states(&self.run, &self.slots, self.config.rollout.envs, states).map(Some)
    }
}

/// The arrays of a states message, before it is known what the environment is like.
struct Arrays(StateDict);

/// Reads the states of `slots`.
fn open_states(run: &str, slots: &Range<usize>, total: usize, bytes: &[u8]) -> Result<Arrays, Error> {
    let (words, arrays) = message::open(Kind::States, run, bytes)?;
    match message::slots(&words, total) {
        Some(found) if found == *slots => Ok(Arrays(arrays)),
        Some(found) => {
            let message = format!("the states are of {}, not of {}", spoken(&found), spoken(slots));
            Err(Error::input(message))
        }
        None => Err(Error::input("the states are no usable message: it is not said of which slots")),
    }
}

/// The states of `slots` as a message.
pub(crate) fn seal_states(run: &str, slots: &Range<usize>, state: &ActorState) -> Vec<u8> {
    message::seal(Kind::States, run, &[("slots", message::name(slots))], &state.to_state()).0
}

/// What [`seal_states`] made.
pub(crate) fn read_states(
    run: &str,
    slots: &Range<usize>,
    total: usize,
    shape: &Shape,
    bytes: &[u8],
) -> Result<ActorState, Error> {
    let Arrays(arrays) = open_states(run, slots, total, bytes)?;
    ActorState::from_state(&arrays, slots.len(), shape.observation_dim, shape.noise_dim)
        .map_err(|error| Error::input(format!("the states are no usable message: {error}")))
}

/// Slots of a run that has them.
pub(crate) fn check_slots(config: &Config, slots: &Range<usize>) -> Result<(), Error> {
    let all = config.rollout.envs;
    if slots.is_empty() || slots.end > all {
        let message = format!("there are no slots {}..{}", slots.start, slots.end);
        return Err(Error::input(message).with_hint(format!("the run has {all}, from 0 on (rollout.envs)")));
    }
    Ok(())
}

fn refuse_policy(why: &str) -> Error {
    Error::input(format!("the policy is no usable message: {why}"))
}

impl Hand {
    /// Starts fresh episodes in `slots`; ones that the run has not had yet if it goes on.
    fn new(config: &Config, slots: &Range<usize>, orders: &Orders, goes_on: bool) -> Result<Self, Error> {
        let env = make_env(&config.env, slots.len()).map_err(|error| Error::input(error.to_string()))?;
        check_env(config, &*env)?;
        let distribution = orders.policy.distribution().clone();
        if let Some(why) = batch::misfit(&*distribution, env.action_space()) {
            return Err(refuse_policy(&why));
        }
        if orders.policy.observation_dim() != env.observation_dim() {
            let (found, dim) = (orders.policy.observation_dim(), env.observation_dim());
            return Err(refuse_policy(&format!(
                "it observes {found} numbers, and the environment gives {dim}"
            )));
        }
        // Where states are restored, the episodes of this start are never played.
        let restarted_at = if goes_on { orders.env_steps } else { 0 };
        let streams = Streams { restarted_at, ..Streams::TRAINING };
        let actor = Actor::watched(env, slots.start, distribution, config.run.seed, streams, false)
            .map_err(|error| Error::runtime(error.to_string()))?;
        let shape = Shape::new(actor.env(), &**orders.policy.distribution());
        Ok(Self { rollout: shape.rollout(slots.len()), actor, shape })
    }

    /// The same, if the policy is one of those that it was made for.
    fn fits(self, orders: &Orders) -> Result<Self, Error> {
        let (own, other) = (self.actor.distribution(), orders.policy.distribution());
        let same = own.name() == other.name() && own.settings() == other.settings();
        match same && orders.policy.observation_dim() == self.shape.observation_dim {
            true => Ok(self),
            false => Err(refuse_policy("it is of another kind than the ones before")),
        }
    }

    /// A round; where the environment is watched, one that hangs in it is left behind.
    fn roll(
        mut self,
        run: &str,
        slots: &Range<usize>,
        orders: &Orders,
        states: Option<Arrays>,
    ) -> Result<(Self, Answer), Error> {
        if let Some(Arrays(arrays)) = states {
            let (dim, k) = (self.shape.observation_dim, self.shape.noise_dim);
            let state = ActorState::from_state(&arrays, slots.len(), dim, k)
                .map_err(|error| Error::input(format!("the states are no usable message: {error}")))?;
            self.actor.restore(&state)?;
        }
        self.actor.set_first(slots.start);
        let act = |mut hand: Self, orders: &Orders| {
            let (actor, rollout) = (&mut hand.actor, &mut hand.rollout);
            let rolled = catch_unwind(AssertUnwindSafe(|| {
                actor.roll_until(&orders.policy, orders.plan, rollout, None)
            }));
            (hand, rolled)
        };
        let (hand, rolled) = match self.actor.env().watch() {
            None => act(self, orders),
            Some(watch) => {
                let orders = orders.clone();
                let guarded = watch.guard(move || act(self, &orders));
                guarded.map_err(|error| Error::runtime(error.to_string()))?
            }
        };
        whole(rolled, slots)?;
        let batch = [("slots", message::name(slots)), ("policy", orders.checksum.clone())];
        let (batch, _) = message::seal(Kind::Batch, run, &batch, &batch::to_arrays(&hand.rollout));
        let states = seal_states(run, slots, &hand.actor.state());
        Ok((hand, (batch, states)))
    }
}

/// Environments that [`rollout`] has made, for the next call: making them may take longer than stepping them.
static KEPT: Mutex<Vec<Kept>> = Mutex::new(Vec::new());
/// Most of them, in a process that works for several runs or with parts of several sizes.
const MOST_KEPT: usize = 8;

struct Kept {
    run: String,
    slots: usize,
    hand: Hand,
}

/// Acts in `slots` as `policy`, a message of the learner, says, from `states` on: a pure function, which gives the same wherever and
/// however often it is called. `states` is what it returned in the round before, and nothing in the first one. Returns the batch,
/// and where the slots stand after it.
///
/// # Errors
/// If a message is damaged, of another version, instruction set or run; if the environment fails, or cannot save its state.
pub fn rollout(config: &Config, policy: &[u8], states: &[u8], slots: Range<usize>) -> Result<Answer, Error> {
    check_slots(config, &slots)?;
    let run = message::identity(config);
    let orders = orders::open(&run, config, policy)?;
    let worker = Worker { config: config.clone(), run, slots, hand: None };
    let states = worker.states(states, &orders)?;
    let Worker { run, slots, .. } = worker;
    let kept = || {
        let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().position(|kept| kept.slots == slots.len() && kept.run == run)?;
        Some(kept.remove(at).hand)
    };
    // The beginning of a run is made, not restored.
    let hand = match states.as_ref().and_then(|_| kept()) {
        Some(hand) => hand.fits(&orders)?,
        None => Hand::new(config, &slots, &orders, states.is_some())?,
    };
    let saves = states.as_ref().map_or_else(
        || hand.actor.state().has_environments(),
        |Arrays(arrays)| ActorState::holds_environments(arrays),
    );
    if !saves {
        let message =
            format!("{} cannot save its state, so that no rollout of it is a pure function", config.env.id);
        return Err(
            Error::input(message).with_hint("a Worker keeps its environments from one round to the next")
        );
    }
    let (hand, answer) = hand.roll(&run, &slots, &orders, states)?;
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.len() >= MOST_KEPT {
        kept.remove(0);
    }
    kept.push(Kept { run, slots: slots.len(), hand });
    Ok(answer)
}
