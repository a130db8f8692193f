//! One run on many machines. Whatever brings bytes to them and back will do: relax-rl itself speaks over no network.
//!
//! ```text
//! learner                                       workers, anywhere
//! ───────                                       ─────────────────
//! 1. improve the policy with the batches  ◀──── rollout(config, policy, states, slots) → (batch, states')
//! 2. policy, states ───────────────────────────▶ a pure function: who calls it, how often and where, changes no number
//! 3. fit the critics, while they act again
//! ```
//!
//! | To … | look at |
//! | --- | --- |
//! | train with a run folder, as [`crate::train::train`] does | [`train()`], [`resume()`], with a [`Fleet`] of one's own |
//! | learn from what comes in | [`Learner`] |
//! | act somewhere | [`rollout()`]; [`Worker`] for worlds that cannot save their state |
//!
//! The batches are put together in the order of their slots, so that weights are those of one machine, bit for bit, whatever the number
//! of parts, for every agent. Messages carry their version, the instruction set, the run they belong to and a checksum; what does not
//! belong together is refused. The checksum finds damage, not malice: whoever can send messages can train.

pub(crate) mod batch;
pub(crate) mod learner;
pub(crate) mod message;
pub(crate) mod orders;
pub(crate) mod worker;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use relax_runtime::Error;
use relax_runtime::run::TrainOptions;

pub use learner::Learner;
pub use worker::{Answer, Worker, rollout};

use crate::config::Config;
use crate::train::{self, Outcome};

/// Some slots, and where they stand.
#[derive(Debug, Clone)]
pub struct Part {
    /// Which of the run's slots.
    pub slots: Range<usize>,
    /// A message for [`rollout()`] or [`Worker::rollout`].
    pub states: Arc<[u8]>,
}

/// Whoever brings messages to workers and back.
pub trait Fleet: Send {
    /// Told once, before anything else, what is trained, and whether [`rollout()`] can be used: where it cannot, every part needs a
    /// [`Worker`] of its own from one round to the next. Returns into how many parts the slots are to be cut; there are never more
    /// parts than slots.
    ///
    /// # Errors
    /// If the fleet can do nothing for such a run.
    fn begin(&mut self, config: &Config, pure: bool) -> Result<usize, Error>;

    /// Sends every part off with `policy`, a message too, and returns without waiting. A part whose worker dies is to be tried again.
    ///
    /// # Errors
    /// If nothing can be sent.
    fn launch(&mut self, policy: &Arc<[u8]>, parts: &[Part]) -> Result<(), Error>;

    /// Waits for the answers, but not much longer than `patience`; all of them, in the order of the parts, or nothing yet.
    ///
    /// # Errors
    /// If a worker has failed, and trying again is of no use.
    fn gather(&mut self, patience: Duration) -> Result<Option<Vec<Answer>>, Error>;

    /// Gives up what was launched: nobody will gather it.
    fn abandon(&mut self);
}

/// As [`crate::train::train`], with the workers of `fleet`. The run folder is the same, and one machine can go on with it.
///
/// # Errors
/// As there; also if the fleet fails.
pub fn train(config: &Config, options: &TrainOptions, fleet: Box<dyn Fleet>) -> Result<Outcome, Error> {
    train::train_with(config, options, Some(fleet))
}

/// As [`crate::train::resume`], with the workers of `fleet`, whoever the run was begun with.
///
/// # Errors
/// As there; also if the fleet fails.
pub fn resume(
    dir: &Path,
    overrides: &[String],
    quiet: bool,
    stop: &Arc<AtomicBool>,
    fleet: Box<dyn Fleet>,
) -> Result<Outcome, Error> {
    train::resume_with(dir, overrides, quiet, stop, Some(fleet))
}
