//! Training as a task of the one run loop: what an update leaves in the logs, when the policy is judged, what is saved.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use relax_agents::Metrics;
use relax_nn::{StateDict, StateError, StateTensor};
use relax_runtime::Error;
use relax_runtime::checkpoint::{self, Header};
use relax_runtime::logging::Table;
use relax_runtime::run::best_checkpoint;
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
    /// Environment steps at the last evaluation, and what it found.
    evaluated: u64,
    evaluation: Option<EvaluationSummary>,
    /// Whether it is the final one.
    judged: bool,
    /// Variance ratio of the last update, for the display.
    variance_ratio: Option<f64>,
    /// Whether the environments went on where the checkpoint left them.
    pub whole: bool,
}

impl Training {
    pub fn new(trainer: Trainer) -> Self {
        Self {
            rows: Rows::new(&trainer.config().agent.kind, trainer.config().run.env_steps),
            trainer,
            best: None,
            evaluated: 0,
            evaluation: None,
            judged: false,
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
        // Without a control variate, which comes with a gain, there is nothing to compare with A2C.
        self.variance_ratio = ratio.filter(|_| metrics.gain.is_finite());
        let every = self.trainer.config().run.log_every_updates;
        if every > 0 && self.trainer.updates().is_multiple_of(every) {
            let (rate, wall) = (self.env_steps_per_second(journal), journal.clock.wall());
            self.rows.update(&mut journal.logs, &self.trainer, metrics, rate, wall)?;
        }
        Ok(())
    }

    /// Before a run of version 0.1.0 is restored: the last evaluation of such a run is only in its `best` checkpoint.
    pub fn adopt_best(&mut self, dir: &Path, state: &StateDict) {
        if state.get("evaluated").is_err()
            && let Ok((_, best)) = checkpoint::load(&best_checkpoint(dir))
            && let Some(&kept) = best.f64("best").ok().and_then(<[f64]>::first)
        {
            self.best = Some(kept);
        }
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
            evaluation: self.evaluation.filter(|_| self.judged),
            control_variate: self.trainer.worth.summary(),
            health: self.trainer.complaints().into_iter().map(|complaint| complaint.text).collect(),
            state_hash: self.trainer.state_hash(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

impl Task for Training {
    type Status = Status;

    fn tables(&self) -> Vec<Table> {
        logs::tables(&self.trainer.config().agent.kind)
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
            evaluate_every: match config.run.evaluation_episodes {
                // The best by training return is looked for as often as the state may be saved.
                0 => config.checkpoint.every(),
                _ => config.run.evaluation_every_env_steps,
            },
            save_every: config.checkpoint.every(),
            sparing: config.checkpoint.every_env_steps.is_none(),
        }
    }

    fn position(&self) -> u64 {
        self.trainer.env_steps()
    }

    fn evaluated(&self) -> u64 {
        self.evaluated
    }

    fn is_over(&self) -> bool {
        self.trainer.is_over() && !self.trainer.is_midway()
    }

    fn is_midway(&self) -> bool {
        self.trainer.is_midway()
    }

    fn is_at_rest(&self) -> bool {
        self.trainer.is_at_rest()
    }

    fn keeps_last_evaluation(&self) -> bool {
        true
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
            complaint: self.trainer.complaints().first().map(|complaint| complaint.short),
        }
    }

    fn step(&mut self, journal: &mut Journal, pause: &Pause<'_>) -> Result<(), Error> {
        let lap = Instant::now();
        let clock = &journal.clock;
        let advanced = self.trainer.advance(&|| clock.wall(), &|position, over| pause.wanted(position, over));
        journal.clock.add_training(lap.elapsed());
        if let Some(total) = self.trainer.expected_steps(journal.clock.wall()) {
            journal.progress.set_total(total);
        }
        for episode in self.trainer.finished() {
            self.rows.episode(&mut journal.logs, episode)?;
        }
        match advanced? {
            Some(metrics) => self.report(journal, &metrics),
            None => Ok(()),
        }
    }

    /// Lets the policy play, greedily, episodes that training never saw. Without such episodes the training return decides what
    /// is best.
    fn evaluate(&mut self, journal: &mut Journal, last: bool, stop: &AtomicBool) -> Result<Evaluated, Error> {
        let (config, env_steps) = (self.trainer.config(), self.trainer.env_steps());
        let episodes = config.run.evaluation_episodes;
        let score = if episodes == 0 {
            self.evaluation = None;
            // Fewer episodes than a hundred say little; at the end they are all there is.
            self.trainer
                .mean_return_100()
                .filter(|_| config.run.keep_best && (last || self.trainer.episodes() >= 100))
        } else {
            let known = self
                .evaluation
                .filter(|known| self.evaluated == env_steps && known.episodes == episodes as u64);
            // A finished run that is resumed has been judged already.
            if known.is_none() {
                let options = EpisodeOptions { episodes, deterministic: true, seed: config.run.seed };
                let found =
                    evaluate::run_episodes_until(&self.trainer.policy(), &config.env, &options, stop)?;
                let Some(found) = found else { return Ok(Evaluated::Stopped) };
                self.evaluation = EvaluationSummary::of(&found.returns);
                if let Some(summary) = &self.evaluation {
                    logs::evaluation(&mut journal.logs, env_steps, summary, journal.clock.wall())?;
                }
            }
            self.evaluation.map(|summary| summary.mean)
        };
        (self.evaluated, self.judged) = (env_steps, last);
        let better = score.filter(|score| self.best.is_none_or(|best| *score > best));
        self.best = better.or(self.best);
        Ok(Evaluated::Done { keep: better.is_some() && self.trainer.config().run.keep_best })
    }

    fn state(&mut self) -> Result<StateDict, Error> {
        let mut state = self.trainer.state()?;
        state.insert("best", StateTensor::F64(self.best.into_iter().collect()));
        let evaluation = self.evaluation.map(|found| [found.episodes as f64, found.mean, found.std]);
        state.insert("evaluated", StateTensor::U64(vec![self.evaluated]));
        state.insert("evaluation", StateTensor::F64(evaluation.into_iter().flatten().collect()));
        state.insert("events", self.rows.state());
        Ok(state)
    }

    fn restore(&mut self, state: &StateDict) -> Result<(), Error> {
        let bad = |error: StateError| Error::input(error.to_string());
        let best = state.f64("best").map_err(bad)?.first().copied();
        // Version 0.1.0 did not note when it had evaluated.
        let (mut evaluated, mut evaluation) = (None, None);
        if state.get("evaluated").is_ok() {
            evaluated = Some(state.u64_array("evaluated").map_err(bad)?).map(|[steps]| steps);
            if !state.f64("evaluation").map_err(bad)?.is_empty() {
                let [episodes, mean, std] = state.f64_array("evaluation").map_err(bad)?;
                evaluation = Some(EvaluationSummary { episodes: episodes as u64, mean, std });
            }
        }
        self.rows.restore("events", state).map_err(bad)?;
        self.whole = self.trainer.restore(state)?;
        // What `adopt_best` found, if it was asked.
        let kept = self.best.take().filter(|kept| best.is_none_or(|best| *kept > best));
        (self.best, self.evaluation) = (kept.or(best), evaluation);
        self.evaluated = evaluated.unwrap_or(self.trainer.env_steps());
        Ok(())
    }
}
