//! The crew: all actors of a run, on threads of their own or on the learner's, and the circle in which buffers travel.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crossbeam::channel::bounded;
use relax_agents::{ActingPolicy, Rollout};
use relax_runtime::Error;
use relax_runtime::jobs::cores;

use crate::actor::{Actor, ActorState, Plan};

mod elsewhere;
mod worker;

pub(crate) use elsewhere::Elsewhere;
pub(crate) use worker::{Keep, whole};
use worker::{Order, Report, Worker, explain, gather, gone, outcome, work};

enum Hands {
    /// No thread: the rollout is made when it is asked for.
    Learner {
        actor: Box<Actor>,
        rollout: Box<Rollout>,
        /// The actor's state before the last rollout, if it was kept.
        before: Option<Box<ActorState>>,
    },
    Workers(Vec<Worker>),
    Elsewhere(Box<Elsewhere>),
}

/// All actors of a run.
pub(crate) struct Crew {
    hands: Hands,
    policy: Arc<ActingPolicy>,
    plan: Option<Plan>,
    keep: Keep,
    /// A rollout has failed or was abandoned: no other can be started.
    failed: bool,
    /// Threads of this process that act now.
    acting: Arc<AtomicUsize>,
    /// Of this machine.
    cores: usize,
}

impl Crew {
    /// One actor alone stays on the learner's thread if `threads` is false; otherwise, and where an environment is
    /// watched, every actor gets a thread.
    pub fn new(mut actors: Vec<Actor>, threads: bool, policy: ActingPolicy) -> Result<Self, Error> {
        let watched = actors.iter().any(|actor| actor.env().watch().is_some());
        if !threads && !watched && actors.len() == 1 {
            let actor = Box::new(actors.remove(0));
            let rollout = Box::new(actor.rollout());
            return Ok(Self::of(Hands::Learner { actor, rollout, before: None }, policy));
        }
        let mut first = 0;
        let mut workers = Vec::with_capacity(actors.len());
        let acting = Arc::<AtomicUsize>::default();
        for (i, actor) in actors.into_iter().enumerate() {
            let (orders, inbox) = bounded(1);
            let (outbox, reports) = bounded(1);
            let rollout = Some(Box::new(actor.rollout()));
            let slots = first..first + actor.slots();
            first = slots.end;
            let watch = actor.env().watch();
            let settled = watch.is_some().then(|| Box::new(actor.state()));
            let own = Arc::clone(&acting);
            let thread = std::thread::Builder::new()
                .name(format!("worker-{i}"))
                .spawn(move || work(actor, &inbox, &outbox, &own))
                .map_err(|error| Error::runtime(format!("cannot start worker thread {i}: {error}")))?;
            workers.push(Worker {
                orders,
                reports,
                thread: Some(thread),
                rollout,
                slots,
                watch,
                settled,
                rolled: None,
                before: None,
            });
        }
        let mut crew = Self::of(Hands::Workers(workers), policy);
        crew.acting = acting;
        Ok(crew)
    }

    /// Threads of this process that act now.
    pub fn acting(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.acting)
    }

    /// A crew that is not of this process.
    pub fn elsewhere(elsewhere: Elsewhere, policy: ActingPolicy) -> Self {
        Self::of(Hands::Elsewhere(Box::new(elsewhere)), policy)
    }

    /// Nobody at all: somebody else brings the batches.
    pub fn nobody(policy: ActingPolicy) -> Self {
        Self::of(Hands::Workers(Vec::new()), policy)
    }

    fn of(hands: Hands, policy: ActingPolicy) -> Self {
        let (policy, keep, acting) = (Arc::new(policy), Keep::Nothing, Arc::default());
        Self { hands, policy, plan: None, keep, failed: false, acting, cores: cores() }
    }

    /// Once `stop` is set, nobody waits for a crew elsewhere any more.
    pub fn stop_when(&mut self, stop: &Arc<AtomicBool>) {
        if let Hands::Elsewhere(elsewhere) = &mut self.hands {
            elsewhere.stop_when(stop);
        }
    }

    /// Starts the next rollout, `env_steps` of the run being over: `refresh` brings the policy up to date first. `keep` says what can be
    /// done about it later.
    pub fn start(
        &mut self,
        env_steps: u64,
        plan: Plan,
        keep: Keep,
        refresh: impl FnOnce(&mut ActingPolicy),
    ) -> Result<(), Error> {
        refresh(Arc::make_mut(&mut self.policy));
        self.plan = Some(plan);
        self.keep = keep;
        if let Hands::Elsewhere(elsewhere) = &mut self.hands {
            elsewhere.start(&self.policy, plan, env_steps)?;
        }
        if let Hands::Workers(workers) = &mut self.hands {
            self.acting.store(workers.len(), Ordering::Relaxed);
            for worker in workers {
                let Some(rollout) = worker.rollout.take() else {
                    unreachable!("a rollout is under way already")
                };
                let order =
                    Order::Roll { policy: self.policy.clone(), plan, rollout, keep: self.keep.clone() };
                if worker.orders.send(order).is_err() {
                    return Err(gone(worker));
                }
            }
        }
        Ok(())
    }

    /// Whether a rollout has been started and not finished.
    pub fn is_rolling(&self) -> bool {
        self.plan.is_some()
    }

    /// Whether the rollout under way can be cut short and undone.
    pub fn can_be_cut(&self) -> bool {
        self.keep.stop().is_some()
    }

    /// Waits for the rollout that was started and puts it into `batch`, the slots in order. False if it was cut short: it is given up
    /// then, as by [`abandon`](Self::abandon).
    pub fn finish(&mut self, batch: &mut Rollout) -> Result<bool, Error> {
        let Some(plan) = self.plan.take() else { unreachable!("no rollout has been started") };
        match &mut self.hands {
            Hands::Learner { actor, rollout, before } => {
                let stop = self.keep.stop();
                *before = stop.is_some().then(|| Box::new(actor.state()));
                let rolled =
                    catch_unwind(AssertUnwindSafe(|| actor.roll_until(&self.policy, plan, rollout, stop)));
                let slots = 0..actor.slots();
                if !outcome(rolled).map_err(|failure| explain(&failure, &slots))? {
                    self.failed = true;
                    return Ok(false);
                }
                std::mem::swap(batch, rollout);
            }
            Hands::Workers(workers) => {
                let whole =
                    gather(workers, (&self.acting, self.cores)).inspect_err(|_| self.failed = true)?;
                if !whole {
                    self.failed = true;
                    workers.iter_mut().for_each(Worker::settle_before);
                    return Ok(false);
                }
                for worker in workers.iter_mut() {
                    let state = worker.rolled.take();
                    worker.before = match (&worker.watch, state) {
                        (Some(_), Some(after)) => worker.settled.replace(after),
                        (Some(_), None) => None,
                        (None, before) => before,
                    };
                }
                match workers.as_mut_slice() {
                    [only] => {
                        if let Some(rollout) = &mut only.rollout {
                            std::mem::swap(batch, rollout);
                        }
                    }
                    all => batch.merge(all.iter().filter_map(|worker| worker.rollout.as_deref())),
                }
            }
            Hands::Elsewhere(elsewhere) => {
                let whole = elsewhere.finish(plan, batch).inspect_err(|_| self.failed = true)?;
                self.failed |= !whole;
                return Ok(whole);
            }
        }
        Ok(true)
    }

    /// Gives up the rollout that was started, if one was, and which was kept: [`state`](Self::state) is that before it, and no other can
    /// be started.
    pub fn abandon(&mut self) -> Result<(), Error> {
        if self.plan.take().is_none() {
            return Ok(());
        }
        match &mut self.hands {
            Hands::Learner { .. } => {}
            Hands::Workers(workers) => {
                self.failed = true;
                gather(workers, (&self.acting, self.cores))?;
                workers.iter_mut().for_each(Worker::settle_before);
            }
            Hands::Elsewhere(elsewhere) => {
                self.failed = true;
                elsewhere.abandon();
            }
        }
        Ok(())
    }

    /// Takes back the last rollout, which was kept, and gives up what was started since: [`state`](Self::state) is that before it, and
    /// no other can be started.
    pub fn undo(&mut self) -> Result<(), Error> {
        let rolling = self.plan.take().is_some();
        self.failed = true;
        match &mut self.hands {
            Hands::Learner { .. } => {}
            Hands::Workers(workers) => {
                if rolling {
                    gather(workers, (&self.acting, self.cores))?;
                }
                for worker in workers {
                    worker.settled = worker.before.take();
                }
            }
            Hands::Elsewhere(elsewhere) => {
                if rolling {
                    elsewhere.abandon();
                }
                elsewhere.undo();
            }
        }
        Ok(())
    }

    /// Whether, after a failed rollout, the state before it is still at hand. It is where the environments are watched:
    /// they cannot be saved, so nothing is lost with the steps they have taken since.
    pub fn can_still_be_saved(&self) -> bool {
        match &self.hands {
            Hands::Learner { .. } => false,
            Hands::Workers(workers) => self.failed && workers.iter().all(|worker| worker.settled.is_some()),
            Hands::Elsewhere(_) => self.failed,
        }
    }

    /// The state of all slots, in order; after a failed or abandoned rollout, that before it. No rollout may be under way.
    pub fn state(&mut self) -> Result<ActorState, Error> {
        assert!(self.plan.is_none(), "the actors' state is asked for between rollouts");
        match &mut self.hands {
            Hands::Learner { actor, before, .. } => Ok(match before {
                Some(before) if self.failed => (**before).clone(),
                _ => actor.state(),
            }),
            Hands::Workers(workers) => {
                let mut all = ActorState::default();
                if self.failed {
                    for worker in workers.iter() {
                        match &worker.settled {
                            Some(state) => all.extend((**state).clone()),
                            None => return Err(gone(worker)),
                        }
                    }
                    return Ok(all);
                }
                for worker in workers.iter() {
                    if worker.orders.send(Order::SaveState).is_err() {
                        return Err(gone(worker));
                    }
                }
                for worker in workers.iter() {
                    match worker.reports.recv() {
                        Ok(Report::State(state)) => all.extend(*state),
                        _ => return Err(gone(worker)),
                    }
                }
                Ok(all)
            }
            Hands::Elsewhere(elsewhere) => elsewhere.state(),
        }
    }

    /// Goes back to the state of all slots. No rollout may be under way.
    pub fn restore(&mut self, state: &ActorState) -> Result<(), Error> {
        assert!(self.plan.is_none(), "the actors' state is restored between rollouts");
        match &mut self.hands {
            Hands::Learner { actor, .. } => actor.restore(state),
            Hands::Workers(workers) => {
                let slots = workers.last().map_or(0, |worker| worker.slots.end);
                for worker in workers.iter_mut() {
                    let part = state.slice(slots, worker.slots.clone());
                    if worker.watch.is_some() {
                        worker.settled = Some(Box::new(part.clone()));
                    }
                    if worker.orders.send(Order::Restore(Box::new(part))).is_err() {
                        return Err(gone(worker));
                    }
                }
                let mut restored = Ok(());
                for worker in workers.iter() {
                    match worker.reports.recv() {
                        Ok(Report::Restored(result)) => restored = restored.and(result),
                        _ => return Err(gone(worker)),
                    }
                }
                restored
            }
            Hands::Elsewhere(elsewhere) => {
                elsewhere.restore(state);
                Ok(())
            }
        }
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        if let Hands::Workers(workers) = &mut self.hands {
            for worker in workers.iter_mut() {
                // A closed inbox ends the worker; an unread report must not block it.
                let (closed, _) = bounded(0);
                worker.orders = closed;
                let _ = worker.reports.try_recv();
            }
            for worker in workers {
                if let Some(thread) = worker.thread.take() {
                    let _ = thread.join();
                }
            }
        }
    }
}
