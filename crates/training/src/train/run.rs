//! Training as a task of the one run loop: what an update leaves in the logs, when the policy is judged, what is saved.

use std::sync::atomic::AtomicBool;
use std::time::Instant;

use relax_agents::Metrics;
use relax_nn::{StateDict, StateTensor};
use relax_runtime::Error;
use relax_runtime::checkpoint::Header;
use relax_runtime::logging::Table;
use relax_runtime::task::{Evaluated, Journal, Pause, Schedule, Task};

use super::logs::{self, Rows};
use super::trainer::Trainer;
use crate::evaluate::{self, EpisodeOptions, POLICY_NOTE};
use crate::status::Status;
use crate::summary::{EvaluationSummary, Summary};

/// A trainer with what its run folder needs to know.
pub(super) struct Training {
    trainer: Trainer,
    rows: Rows,
    /// Best mean return of an evaluation so far.
    best: Option<f64>,
    /// Environment steps at the last evaluation.
    evaluated: u64,
    /// What the final evaluation found.
    evaluation: Option<EvaluationSummary>,
    /// Variance ratio of the last update, for the display.
    variance_ratio: Option<f64>,
    /// Whether the environments went on where the checkpoint left them.
    pub whole: bool,
}

impl Training {
    pub fn new(trainer: Trainer) -> Self {
        Self {
            trainer,
            rows: Rows::default(),
            best: None,
            evaluated: 0,
            evaluation: None,
            variance_ratio: None,
            whole: true,
        }
    }

    fn env_steps_per_second(&self, journal: &Journal) -> f64 {
        self.trainer.env_steps() as f64 / journal.clock.training().max(1e-9)
    }

    /// Logs an update.
    fn report(&mut self, journal: &mut Journal, metrics: &Metrics) -> Result<(), Error> {
        let ratio = Some(metrics.variance_ratio).filter(|ratio| ratio.is_finite());
        // A2C's is 1 by definition.
        self.variance_ratio = ratio.filter(|_| self.trainer.config().agent.kind != "a2c");
        let every = self.trainer.config().run.log_every_updates;
        if every > 0 && self.trainer.updates().is_multiple_of(every) {
            let (rate, wall) = (self.env_steps_per_second(journal), journal.clock.wall());
            self.rows.update(&mut journal.logs, &self.trainer, metrics, rate, wall)?;
        }
        Ok(())
    }

    /// What the run came to.
    pub fn summary(&self, journal: &Journal) -> Summary {
        let (config, tracker) = (self.trainer.config(), &self.trainer.tracker);
        Summary {
            env: config.env.id.clone(),
            agent: config.agent.kind.clone(),
            seed: config.run.seed,
            env_steps: self.trainer.env_steps(),
            episodes: tracker.episodes,
            wall_seconds: journal.clock.wall(),
            env_steps_per_second: self.env_steps_per_second(journal),
            mean_return_100: tracker.mean(),
            solved: tracker.solved.reached,
            first_195: tracker.first_195.reached,
            evaluation: self.evaluation,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

impl Task for Training {
    type Status = Status;

    fn tables(&self) -> Vec<Table> {
        logs::tables()
    }

    fn header(&self) -> Header {
        let mut header = Header::new(self.trainer.config().to_toml());
        // With the card and the agent's arrays the policy can act without the agent that trained it.
        let card = serde_json::to_string(&self.trainer.policy().card());
        header.notes.extend(card.map(|card| (POLICY_NOTE.to_owned(), card)));
        header
    }

    fn schedule(&self) -> Schedule {
        let config = self.trainer.config();
        Schedule {
            budget: config.run.env_steps,
            evaluate_every: config.run.evaluation_every_env_steps,
            save_every: config.checkpoint.every_env_steps,
        }
    }

    fn position(&self) -> u64 {
        self.trainer.env_steps()
    }

    fn evaluated(&self) -> u64 {
        self.evaluated
    }

    fn is_over(&self) -> bool {
        self.trainer.is_over()
    }

    fn is_at_rest(&self) -> bool {
        self.trainer.is_at_rest()
    }

    fn can_still_be_saved(&self) -> bool {
        self.trainer.can_still_be_saved()
    }

    fn status(&self) -> Status {
        Status {
            env_steps: self.trainer.env_steps(),
            episodes: self.trainer.episodes(),
            mean_return_100: self.trainer.mean_return_100(),
            variance_ratio: self.variance_ratio,
        }
    }

    fn step(&mut self, journal: &mut Journal, pause: &Pause<'_>) -> Result<(), Error> {
        let lap = Instant::now();
        let clock = &journal.clock;
        let advanced = self.trainer.advance(&|| clock.wall(), &|position, over| pause.wanted(position, over));
        journal.clock.add_training(lap.elapsed());
        for episode in self.trainer.finished() {
            self.rows.episode(&mut journal.logs, episode)?;
        }
        self.report(journal, &advanced?)
    }

    /// Lets the policy play, greedily, episodes that training never saw.
    fn evaluate(&mut self, journal: &mut Journal, last: bool, _: &AtomicBool) -> Result<Evaluated, Error> {
        let config = self.trainer.config();
        let options = EpisodeOptions {
            episodes: config.run.evaluation_episodes,
            deterministic: true,
            seed: config.run.seed,
        };
        let evaluation = evaluate::run_episodes(&self.trainer.policy(), &config.env, &options)?;
        self.evaluated = self.trainer.env_steps();
        let Some(summary) = EvaluationSummary::of(&evaluation.returns) else {
            return Ok(Evaluated::Done { keep: false });
        };
        logs::evaluation(&mut journal.logs, self.evaluated, &summary, journal.clock.wall())?;
        if last {
            self.evaluation = Some(summary);
        }
        let better = self.best.is_none_or(|best| summary.mean > best);
        if better {
            self.best = Some(summary.mean);
        }
        Ok(Evaluated::Done { keep: better && self.trainer.config().run.keep_best })
    }

    fn state(&mut self) -> Result<StateDict, Error> {
        let mut state = self.trainer.state()?;
        state.insert("best", StateTensor::F64(self.best.into_iter().collect()));
        Ok(state)
    }

    fn restore(&mut self, state: &StateDict) -> Result<(), Error> {
        let best = state.f64("best").map_err(|error| Error::input(error.to_string()))?;
        self.best = best.first().copied();
        self.whole = self.trainer.restore(state)?;
        self.evaluated = self.trainer.env_steps();
        Ok(())
    }
}
