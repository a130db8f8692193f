//! An update: a batch gathered and learned from, left off or taken back if somebody wants the run to stop.

use std::time::{Duration, Instant};

use relax_agents::{AgentError, Compute, Metrics, Rollout};
use relax_nn::StateDict;
use relax_runtime::Error;

use super::{Trainer, Update};
use crate::actor::Plan;
use crate::config::RolloutMode;
use crate::train::crew::Keep;
use crate::train::tracker::Finished;
use crate::train::under_way::UnderWay;

/// What to do when training has diverged.
const SAME_POINT: &str = "`relax resume` would come to the same point: start a new run with other settings";

fn failed(error: AgentError) -> Error {
    let failed = Error::runtime(error.to_string());
    match error {
        AgentError::NotFinite { .. } => failed.with_hint(SAME_POINT),
        _ => failed,
    }
}

/// What `work` gives; nothing if it can be taken back, and somebody wants the run to stop before it has.
fn in_time<T>(compute: &Compute, undoable: bool, work: impl FnOnce() -> T) -> Option<T> {
    if undoable { compute.until_stopped(work) } else { Some(work()) }
}

/// An update that takes longer can be taken back by who wants the run to stop.
const PATIENCE: Duration = Duration::from_millis(100);

impl Trainer {
    /// Whether an update may take so long that nobody who wants the run to stop should have to wait for its end: then the state before
    /// is kept. What the clock decides here changes no number.
    fn takes_long(&self) -> bool {
        self.stop.is_some() && self.pace.is_none_or(|pace| pace > PATIENCE)
    }

    /// One batch gathered and learned from. As soon as the position after it is known, `pause(env_steps, over)` says whether
    /// the actors are to wait; otherwise they begin the next batch while the critics are fitted. That changes no number.
    /// `wall` gives the seconds since the run began, for the milestones. Nothing is returned if somebody wants the run to stop and the
    /// update is left off in its middle, where the next call goes on with it, or taken back together with its batch, after which there
    /// is only [`state`](Self::state) left to ask for.
    pub(in crate::train) fn advance(
        &mut self,
        wall: &dyn Fn() -> f64,
        pause: &dyn Fn(u64, bool) -> bool,
    ) -> Result<Option<Metrics>, Error> {
        let begun = Instant::now();
        let advanced = self.learn(wall, pause);
        self.pace = self.pace.map(|pace| pace.mul_f64(0.8)).max(Some(begun.elapsed()));
        advanced
    }

    fn learn(
        &mut self,
        wall: &dyn Fn() -> f64,
        pause: &dyn Fn(u64, bool) -> bool,
    ) -> Result<Option<Metrics>, Error> {
        self.finished.clear();
        let left_off = self.under_way.take();
        let mut at = left_off.unwrap_or(UnderWay::new(self.env_steps));
        let mut before = None;
        if left_off.is_none() {
            if !self.crew.is_rolling() {
                self.start()?;
            }
            // An agent that can be left off in its middle needs not go back.
            if self.crew.can_be_cut() && !self.agent.may_leave_off() {
                before = Some(self.learner_state());
            }
            if !self.crew.finish(&mut self.batch)? {
                return Ok(None);
            }
        }
        // The clock is asked once an update, so that a batch that is under way is always learned from.
        let now = wall();
        if left_off.is_none() {
            self.count(now);
        }
        self.out_of_time = self.config.run.seconds.is_some_and(|seconds| now >= seconds);

        let undoable = before.is_some();
        if left_off.is_some() {
            let progress = self.progress(at.before, now);
            self.agent.catch_up(progress, &self.compute, &mut at.metrics).map_err(failed)?;
        } else if !self.improve(&mut at, now, undoable)? {
            return self.undo(before);
        }
        if !at.fitting && !self.agent.is_behind() {
            if !pause(self.env_steps, self.is_over()) {
                self.start()?;
            }
            at.fitting = true;
            if !self.fit(&mut at, now, undoable)? {
                return self.undo(before);
            }
        }
        if self.agent.is_behind() {
            self.crew.abandon()?;
            self.under_way = Some(at);
            return Ok(None);
        }
        self.complete(&at);
        Ok(Some(at.metrics))
    }

    /// The policy's step; false if it was given up because somebody wants the run to stop.
    fn improve(&mut self, at: &mut UnderWay, now: f64, undoable: bool) -> Result<bool, Error> {
        let progress = self.progress(at.before, now);
        let (agent, compute, batch) = (&mut self.agent, &self.compute, &self.batch);
        let improved =
            in_time(compute, undoable, || agent.improve_policy(batch, progress, compute, &mut at.metrics));
        improved.transpose().map(|improved| improved.is_some()).map_err(failed)
    }

    /// The critics' steps; false as in [`improve`](Self::improve).
    fn fit(&mut self, at: &mut UnderWay, now: f64, undoable: bool) -> Result<bool, Error> {
        let progress = self.progress(at.before, now);
        let (agent, compute, batch) = (&mut self.agent, &self.compute, &self.batch);
        let fitted =
            in_time(compute, undoable, || agent.fit_critics(batch, progress, compute, &mut at.metrics));
        fitted.transpose().map(|fitted| fitted.is_some()).map_err(failed)
    }

    /// The update has come to its end.
    fn complete(&mut self, at: &UnderWay) {
        self.updates += 1;
        let rows = self.env_steps - at.before;
        self.health.update(&at.metrics, rows, &self.batch.actions, self.max_grad_norm);
        self.worth.update(&at.metrics);
    }

    /// The first half of an update with a batch that somebody has brought: it is counted, and the policy takes its step.
    pub(crate) fn take(&mut self, batch: Rollout) -> Result<UnderWay, Error> {
        self.finished.clear();
        let (mut at, now) = (UnderWay::new(self.env_steps), self.started.elapsed().as_secs_f64());
        self.batch = batch;
        self.count(now);
        self.out_of_time = self.config.run.seconds.is_some_and(|seconds| now >= seconds);
        self.improve(&mut at, now, false)?;
        Ok(at)
    }

    /// The second half: the critics are fitted to it.
    pub(crate) fn conclude(&mut self, mut at: UnderWay) -> Result<Update, Error> {
        let now = self.started.elapsed().as_secs_f64();
        self.fit(&mut at, now, false)?;
        self.complete(&at);
        Ok(self.update(at.metrics))
    }

    /// Takes back the update under way, with its batch.
    fn undo(&mut self, before: Option<StateDict>) -> Result<Option<Metrics>, Error> {
        self.crew.undo()?;
        if let Some(before) = before {
            self.restore_learner(&before)?;
        }
        self.finished.clear();
        self.out_of_time = false;
        Ok(None)
    }

    /// How many steps the actors are to take next.
    pub(crate) fn plan(&self) -> Plan {
        let left = self.config.run.env_steps.saturating_sub(self.env_steps);
        let slots = self.config.rollout.envs as u64;
        let (whole, rest) = (left / slots, (left % slots) as usize);
        match self.config.rollout.mode {
            RolloutMode::Steps if whole >= self.config.rollout.steps as u64 => {
                Plan { mode: RolloutMode::Steps, steps: self.config.rollout.steps as u64, extra: 0 }
            }
            mode => Plan { mode, steps: whole, extra: rest },
        }
    }

    /// Sends the actors off with the policy as it is now.
    fn start(&mut self) -> Result<(), Error> {
        let (plan, env_steps) = (self.plan(), self.env_steps);
        let agent = &self.agent;
        let stop = self.stop.as_ref().filter(|_| self.takes_long());
        let kept = match stop {
            Some(stop) => Keep::Cut(stop.clone()),
            None if agent.may_leave_off() => Keep::Whole,
            None => Keep::Nothing,
        };
        self.crew.start(env_steps, plan, kept, |policy| agent.refresh(policy))
    }

    /// Takes in the steps and episodes of a batch.
    fn count(&mut self, wall: f64) {
        for episode in &self.batch.episodes {
            let env_steps = self.env_steps + self.batch.levels[episode.level as usize + 1] as u64;
            self.tracker.finish(episode.total_reward, env_steps, wall);
            self.health.episode(episode.total_reward);
            self.finished.push(Finished {
                number: self.tracker.episodes,
                env_steps,
                slot: episode.slot,
                total_reward: episode.total_reward,
                length: episode.length,
                terminated: episode.terminated,
                wall_seconds: wall,
            });
        }
        self.env_steps += self.batch.rows() as u64;
    }
}
