//! A worker: an actor on a thread of its own, what it is told and what it answers.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender};
use relax_agents::compute::soon;
use relax_agents::{ActingPolicy, Rollout};
use relax_envs::{EnvError, Watch};
use relax_runtime::Error;

use crate::actor::{Actor, ActorState, Plan};

/// What a worker is told.
pub(super) enum Order {
    Roll { policy: Arc<ActingPolicy>, plan: Plan, rollout: Box<Rollout>, keep: Keep },
    SaveState,
    Restore(Box<ActorState>),
}

/// Whether it is kept where the actors stand before a rollout, since that may be wanted again.
#[derive(Debug, Clone)]
pub(crate) enum Keep {
    /// The rollout will be used, whatever happens.
    Nothing,
    /// It may be abandoned while actors on threads of their own are at it.
    Whole,
    /// It is long: it may be abandoned and undone, and is cut short once this is set.
    Cut(Arc<AtomicBool>),
}

impl Keep {
    pub(super) fn stop(&self) -> Option<&AtomicBool> {
        match self {
            Self::Cut(stop) => Some(stop),
            Self::Nothing | Self::Whole => None,
        }
    }
}

/// What a worker answers. The policy is handed back before the answer, so that the learner can write to it again.
pub(super) enum Report {
    /// Whether it is whole; and the actor's state: after it if its environment is watched, before it if that was to be kept.
    Rolled(Box<Rollout>, bool, Option<Box<ActorState>>),
    State(Box<ActorState>),
    Restored(Result<(), Error>),
    Failed(Failure),
}

/// Why a worker stopped.
pub(super) enum Failure {
    Environment(EnvError),
    Panic(String),
}

pub(super) struct Worker {
    pub(super) orders: Sender<Order>,
    pub(super) reports: Receiver<Report>,
    pub(super) thread: Option<JoinHandle<()>>,
    /// The rollout while it is with the learner.
    pub(super) rollout: Option<Box<Rollout>>,
    pub(super) slots: std::ops::Range<usize>,
    /// For environments that may fail or hang through no fault of the run's: how to notice, and the actor's state after
    /// its last whole rollout, to be saved when they do.
    pub(super) watch: Option<Watch>,
    pub(super) settled: Option<Box<ActorState>>,
    /// The state that came with the rollout under way, until it is known what becomes of it.
    pub(super) rolled: Option<Box<ActorState>>,
    /// The state before the last whole rollout, if it was kept.
    pub(super) before: Option<Box<ActorState>>,
}

impl Worker {
    /// The next report; an error if the worker is stuck or gone. One that is stuck is left behind. Where there is a core for it, this
    /// thread stays `awake` for a moment.
    pub(super) fn wait(&mut self, awake: bool) -> Result<Report, Error> {
        if awake && let Some(report) = soon(|| self.reports.try_recv().ok()) {
            return Ok(report);
        }
        let Some(watch) = &self.watch else { return self.reports.recv().map_err(|_| gone(self)) };
        loop {
            match self.reports.recv_timeout(Watch::LOOK) {
                Ok(report) => return Ok(report),
                Err(RecvTimeoutError::Disconnected) => return Err(gone(self)),
                Err(RecvTimeoutError::Timeout) => {
                    if let Some(error) = watch.overdue() {
                        drop(self.thread.take());
                        return Err(Error::runtime(chain(&error)));
                    }
                }
            }
        }
    }

    /// What is to be saved is the state before the rollout under way. Where the environment is watched, it is already.
    pub(super) fn settle_before(&mut self) {
        let state = self.rolled.take();
        if self.watch.is_none() {
            self.settled = state;
        }
    }
}

/// Waits for the rollouts of all workers, of which `acting` still act on a machine of `cores` cores, and says whether all are whole. The first failure is returned when all have answered.
pub(super) fn gather(workers: &mut [Worker], (acting, cores): (&AtomicUsize, usize)) -> Result<bool, Error> {
    let (mut failed, mut all_whole) = (None, true);
    for worker in workers {
        match worker.wait(acting.load(Ordering::Relaxed) < cores) {
            Ok(Report::Rolled(rollout, whole, state)) => {
                (worker.rollout, worker.rolled) = (Some(rollout), state);
                all_whole &= whole;
            }
            Ok(Report::Failed(failure)) => {
                failed.get_or_insert_with(|| explain(&failure, &worker.slots));
            }
            Ok(Report::State(_) | Report::Restored(_)) => unreachable!("a rollout was asked for"),
            Err(error) => {
                failed.get_or_insert(error);
            }
        }
    }
    failed.map_or(Ok(all_whole), Err)
}

/// Does what it is told; takes itself off those that act after every rollout.
pub(super) fn work(
    mut actor: Actor,
    orders: &Receiver<Order>,
    reports: &Sender<Report>,
    acting: &AtomicUsize,
) {
    while let Ok(order) = orders.recv() {
        let report = match order {
            Order::Roll { policy, plan, mut rollout, keep } => {
                let watched = actor.env().watch().is_some();
                let kept = !watched && !matches!(keep, Keep::Nothing);
                let before = kept.then(|| Box::new(actor.state()));
                let rolled = catch_unwind(AssertUnwindSafe(|| {
                    actor.roll_until(&policy, plan, &mut rollout, keep.stop())
                }));
                drop(policy);
                acting.fetch_sub(1, Ordering::Relaxed);
                match outcome(rolled) {
                    Ok(whole) => {
                        let after = watched.then(|| Box::new(actor.state()));
                        Report::Rolled(rollout, whole, after.or(before))
                    }
                    Err(failure) => Report::Failed(failure),
                }
            }
            Order::SaveState => Report::State(Box::new(actor.state())),
            Order::Restore(state) => Report::Restored(actor.restore(&state)),
        };
        if reports.send(report).is_err() {
            return;
        }
    }
}

pub(super) fn outcome(rolled: std::thread::Result<Result<bool, EnvError>>) -> Result<bool, Failure> {
    match rolled {
        Ok(Ok(whole)) => Ok(whole),
        Ok(Err(error)) => Err(Failure::Environment(error)),
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
            Err(Failure::Panic(text.unwrap_or_else(|| "no message".into())))
        }
    }
}

/// Whether what `slots` did came to its end.
///
/// # Errors
/// If it failed or panicked.
pub(crate) fn whole(
    rolled: std::thread::Result<Result<bool, EnvError>>,
    slots: &std::ops::Range<usize>,
) -> Result<bool, Error> {
    outcome(rolled).map_err(|failure| explain(&failure, slots))
}

pub(super) fn explain(failure: &Failure, slots: &std::ops::Range<usize>) -> Error {
    // Native environments go on from a checkpoint exactly as they were, up to the same failure.
    let again =
        "mend the environment first, or it fails again at the same step; then `relax resume` continues";
    match failure {
        Failure::Environment(error) => Error::runtime(chain(error)).with_hint(again),
        Failure::Panic(text) => Error::runtime(format!(
            "the worker of slots {}–{} panicked: {text}",
            slots.start,
            slots.end.saturating_sub(1)
        ))
        .with_hint(again),
    }
}

/// An error and what caused it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = cause.source();
    }
    text
}

pub(super) fn gone(worker: &Worker) -> Error {
    Error::runtime(format!(
        "the worker of slots {}–{} is gone without a message",
        worker.slots.start,
        worker.slots.end.saturating_sub(1)
    ))
}
