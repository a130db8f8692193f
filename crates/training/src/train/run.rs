//! One run: the loop over updates, its checkpoints and its end.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use relax_agents::config::AgentKind;
use relax_agents::{Agent, Compute, Metrics, Rollout, make_agent};
use relax_envs::WrapperConfig;
use relax_nn::{StateDict, StateTensor};

use super::Outcome;
use super::crew::Crew;
use super::logs::{Logs, Update};
use super::tracker::Tracker;
use crate::actor::{Actor, ActorState, Plan, Streams, make_env};
use crate::config::{Config, RolloutMode, agent_name};
use crate::evaluate::{self, EpisodeOptions, POLICY_NOTE};
use crate::status::Status;
use crate::summary::{EvaluationSummary, Summary};
use relax_runtime::Error;
use relax_runtime::checkpoint::{self, Header};
use relax_runtime::clock::Clock;
use relax_runtime::logging::Progress;
use relax_runtime::run::{best_checkpoint, latest_checkpoint};

/// The agent and the actors of a configuration, made and not yet at work.
pub(super) struct Parts {
    agent: Box<dyn Agent>,
    actors: Vec<Actor>,
}

impl Parts {
    /// # Errors
    /// Whatever in the configuration the environment or the agent cannot do.
    pub fn new(config: &Config) -> Result<Self, Error> {
        let bad = |error: String| Error::input(error);
        let keeps_statistics = config.env.wrappers.iter().find(|wrapper| {
            matches!(
                wrapper,
                WrapperConfig::NormalizeObservation { .. } | WrapperConfig::NormalizeReward { .. }
            )
        });
        if let Some(wrapper) = keeps_statistics {
            let message = format!(
                "env.wrappers: {wrapper:?} keeps running statistics for each environment on its own, which evaluation \
                 and the other environments of a run would not share"
            );
            return Err(bad(message).with_hint(
                "learner.normalize_observations and learner.normalize_rewards keep one set for the whole run; \
                 ObservationScale scales by fixed numbers",
            ));
        }
        let (slots, seed) = (config.rollout.envs, config.run.seed);
        let count = config.rollout.workers.clamp(1, slots);
        let part = |i: usize| i * slots / count..(i + 1) * slots / count;
        let envs = (0..count)
            .map(|i| make_env(&config.env, part(i).len()).map_err(|error| bad(error.to_string())))
            .collect::<Result<Vec<_>, _>>()?;
        let (observations, actions) = (envs[0].observation_space(), envs[0].action_space());
        if config.rollout.mode == RolloutMode::Episodes && envs[0].steps_together() {
            let message = format!(
                "rollout.mode = \"episodes\" needs slots that can stop; those of {} step together",
                config.env.id
            );
            return Err(bad(message).with_hint("set env.vectorization = \"sync\" or \"async\""));
        }
        if config.agent.kind == AgentKind::Reinforce && config.rollout.mode != RolloutMode::Episodes {
            return Err(bad("agent.kind = \"reinforce\" learns from whole episodes".into())
                .with_hint("set rollout.mode = \"episodes\""));
        }
        let agent = make_agent(&config.agent, &config.learner, observations, actions, seed)
            .map_err(|error| bad(error.to_string()))?;
        let distribution = agent.acting_policy().distribution().clone();
        let mut actors = Vec::with_capacity(count);
        for (i, env) in envs.into_iter().enumerate() {
            let actor =
                Actor::watched(env, part(i).start, distribution.clone(), seed, Streams::TRAINING, false);
            actors.push(actor.map_err(|error| Error::runtime(error.to_string()))?);
        }
        Ok(Self { agent, actors })
    }
}

/// An empty tracker with the environment's threshold.
fn tracker(config: &Config) -> Result<Tracker, Error> {
    let spec = relax_envs::spec(&config.env.id).map_err(|error| Error::input(error.to_string()))?;
    Ok(Tracker::new(&spec.id, spec.reward_threshold))
}

pub(super) struct Run {
    config: Config,
    dir: PathBuf,
    agent: Box<dyn Agent>,
    crew: Crew,
    compute: Compute,
    batch: Rollout,
    tracker: Tracker,
    logs: Logs,
    progress: Progress,
    clock: Clock,
    updates: u64,
    env_steps: u64,
    /// Best mean return of an evaluation so far.
    best: Option<f64>,
    /// Variance ratio of the last update, for the display.
    variance_ratio: Option<f64>,
}

impl Run {
    pub fn fresh(config: Config, parts: Parts, dir: &Path, quiet: bool) -> Result<Self, Error> {
        let tracker = tracker(&config)?;
        let progress = Progress::new(config.run.env_steps, 0, quiet);
        let mut run = Self::new(config, parts, dir, None, progress, tracker, Logs::create)?;
        // So that a run can be resumed however early it is killed.
        run.save(&latest_checkpoint(dir))?;
        Ok(run)
    }

    /// A run as `state` left it.
    pub fn resumed(
        config: Config,
        parts: Parts,
        dir: &Path,
        quiet: bool,
        state: &StateDict,
    ) -> Result<Self, Error> {
        let misfit = |error: &dyn std::fmt::Display| {
            Error::input(format!("{} does not fit this run: {error}", latest_checkpoint(dir).display()))
                .with_hint("a run resumes with the configuration it was started with")
        };
        let dim = parts.actors[0].env().observation_dim();
        let noise_dim = parts.agent.acting_policy().distribution().width();
        let actors = ActorState::from_state(&state.subset("actors"), config.rollout.envs, dim, noise_dim)
            .map_err(|error| misfit(&error))?;
        let [updates, env_steps] = state.u64_array("counters").map_err(|error| misfit(&error))?;
        let positions = state.u64_array("log_positions").map_err(|error| misfit(&error))?;
        let times = state.f64_array("clock").map_err(|error| misfit(&error))?;
        let best = state.f64("best").map_err(|error| misfit(&error))?.first().copied();
        let mut parts = parts;
        parts.agent.restore(&state.subset("agent")).map_err(|error| misfit(&error))?;
        let mut tracker = tracker(&config)?;
        tracker.restore(&state.subset("tracker")).map_err(|error| misfit(&error))?;
        // Opening the logs cuts them back to the checkpoint: nothing in the checkpoint may be found wrong after that.
        let progress = Progress::new(config.run.env_steps, env_steps, quiet);
        let mut run = Self::new(config, parts, dir, Some(&actors), progress, tracker, |dir| {
            Logs::resume(dir, positions)
        })?;
        run.clock.restore(times);
        (run.updates, run.env_steps, run.best) = (updates, env_steps, best);
        if !actors.has_environments() {
            run.progress.message(&format!(
                "note: {} cannot save its state; every slot starts a fresh episode",
                run.config.env.id
            ));
        }
        Ok(run)
    }

    fn new(
        config: Config,
        parts: Parts,
        dir: &Path,
        state: Option<&ActorState>,
        progress: Progress,
        tracker: Tracker,
        logs: impl FnOnce(&Path) -> Result<Logs, Error>,
    ) -> Result<Self, Error> {
        let clock = Clock::new();
        let Parts { agent, mut actors } = parts;
        let (slots, workers) = (config.rollout.envs, config.rollout.workers);
        let mut first = 0;
        for actor in &mut actors {
            let part = first..first + actor.slots();
            first = part.end;
            if let Some(state) = state {
                actor.restore(&state.slice(slots, part))?;
            }
        }
        let one = actors[0].rollout();
        let batch = Rollout::new(slots, one.observation_dim, one.noise_dim, one.actions);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            crew: Crew::new(actors, workers > 0, agent.acting_policy())?,
            compute: Compute::with_threads(if workers == 0 { 1 } else { cores.min(workers + 1) }),
            tracker,
            logs: logs(dir)?,
            progress,
            dir: dir.to_owned(),
            agent,
            batch,
            config,
            clock,
            updates: 0,
            env_steps: 0,
            best: None,
            variance_ratio: None,
        })
    }

    /// Runs to the end of the budget, or until solved if that is wanted, or until `stop`.
    pub fn go(mut self, stop: &AtomicBool) -> Result<Outcome, Error> {
        match self.train(stop) {
            Ok(interrupted) => self.end(interrupted),
            Err(error) => {
                let _ = self.logs.flush();
                let dir = self.dir.display();
                Err(error.with_hint(format!(
                    "the last good checkpoint is {}; `relax resume {dir}` continues from it",
                    latest_checkpoint(&self.dir).display()
                )))
            }
        }
    }

    /// Returns whether `stop` ended it.
    fn train(&mut self, stop: &AtomicBool) -> Result<bool, Error> {
        while !self.is_over() {
            // A rollout that is under way is finished and learned from first: only between rollouts is there a state to save.
            if stop.load(Ordering::Relaxed) && !self.crew.is_rolling() {
                return Ok(true);
            }
            let lap = Instant::now();
            let before = self.env_steps;
            if !self.crew.is_rolling() {
                self.start()?;
            }
            if let Err(error) = self.crew.finish(&mut self.batch) {
                if self.crew.can_still_be_saved() {
                    self.save(&latest_checkpoint(&self.dir))?;
                }
                return Err(error);
            }
            self.count()?;

            let progress = before as f64 / self.config.run.env_steps as f64;
            let mut metrics = Metrics::default();
            let failed = |error: relax_agents::AgentError| Error::runtime(error.to_string());
            self.agent.improve_policy(&self.batch, progress, &self.compute, &mut metrics).map_err(failed)?;
            // A checkpoint is taken between rollouts. Whether the actors start now or later changes no number.
            let due = |every: u64| every > 0 && self.env_steps / every > before / every;
            let save = due(self.config.checkpoint.every_env_steps);
            let evaluate = due(self.config.run.evaluation_every_env_steps);
            if !(save || evaluate || self.is_over() || stop.load(Ordering::Relaxed)) {
                self.start()?;
            }
            self.agent.fit_critics(&self.batch, progress, &self.compute, &mut metrics).map_err(failed)?;
            self.updates += 1;
            self.clock.add_training(lap.elapsed());
            self.report(&metrics)?;

            if evaluate && !self.is_over() {
                self.evaluate()?;
            }
            if save {
                self.save(&latest_checkpoint(&self.dir))?;
            }
            if stop.load(Ordering::Relaxed) && !self.crew.is_rolling() {
                return Ok(!self.is_over());
            }
        }
        Ok(false)
    }

    /// Whether there is nothing left to do.
    fn is_over(&self) -> bool {
        let run = &self.config.run;
        self.env_steps >= run.env_steps || run.stop_when_solved && self.tracker.solved.reached.is_some()
    }

    /// Sends the actors off with the policy as it is now.
    fn start(&mut self) -> Result<(), Error> {
        let left = self.config.run.env_steps - self.env_steps;
        let slots = self.config.rollout.envs as u64;
        let (whole, rest) = (left / slots, (left % slots) as usize);
        let plan = match self.config.rollout.mode {
            RolloutMode::Steps if whole >= self.config.rollout.steps as u64 => {
                Plan { mode: RolloutMode::Steps, steps: self.config.rollout.steps as u64, extra: 0 }
            }
            mode => Plan { mode, steps: whole, extra: rest },
        };
        let agent = &self.agent;
        self.crew.start(plan, |policy| agent.refresh(policy))
    }

    /// Takes in the steps and episodes of a batch.
    fn count(&mut self) -> Result<(), Error> {
        let wall = self.clock.wall();
        for episode in &self.batch.episodes {
            let env_steps = self.env_steps + self.batch.levels[episode.level as usize + 1] as u64;
            self.tracker.finish(episode.total_reward, env_steps, wall);
            self.logs.episode(self.tracker.episodes, env_steps, episode, wall)?;
        }
        self.env_steps += self.batch.rows() as u64;
        Ok(())
    }

    /// Logs and shows an update.
    fn report(&mut self, metrics: &Metrics) -> Result<(), Error> {
        self.variance_ratio = Some(metrics.variance_ratio).filter(|ratio| ratio.is_finite());
        let every = self.config.run.log_every_updates;
        if every > 0 && self.updates.is_multiple_of(every) {
            self.logs.update(&Update {
                update: self.updates,
                env_steps: self.env_steps,
                episodes: self.tracker.episodes,
                mean_return_100: self.tracker.mean(),
                metrics,
                env_steps_per_second: self.env_steps_per_second(),
                wall_seconds: self.clock.wall(),
            })?;
        }
        self.progress.update(&self.status());
        Ok(())
    }

    fn status(&self) -> Status {
        Status {
            env_steps: self.env_steps,
            episodes: self.tracker.episodes,
            mean_return_100: self.tracker.mean(),
            variance_ratio: self.variance_ratio,
        }
    }

    fn env_steps_per_second(&self) -> f64 {
        self.env_steps as f64 / self.clock.training().max(1e-9)
    }

    /// Evaluates the policy; keeps it if it is the best so far.
    fn evaluate(&mut self) -> Result<Option<EvaluationSummary>, Error> {
        let options = EpisodeOptions {
            episodes: self.config.run.evaluation_episodes,
            deterministic: true,
            seed: self.config.run.seed,
        };
        let evaluation = evaluate::run_episodes(&self.agent.acting_policy(), &self.config.env, &options)?;
        let Some(summary) = EvaluationSummary::of(&evaluation.returns) else { return Ok(None) };
        self.logs.evaluation(self.env_steps, &summary, self.clock.wall())?;
        if self.best.is_none_or(|best| summary.mean > best) {
            self.best = Some(summary.mean);
            if self.config.run.keep_best {
                self.save(&best_checkpoint(&self.dir))?;
            }
        }
        Ok(Some(summary))
    }

    /// The end: final evaluation, last checkpoint, summary.
    fn end(mut self, interrupted: bool) -> Result<Outcome, Error> {
        // The last evaluation comes after the state that a later `resume` with a larger budget continues from.
        self.save(&latest_checkpoint(&self.dir))?;
        let evaluation = if interrupted { None } else { self.evaluate()? };
        self.logs.flush()?;
        self.progress.finish(&self.status());
        let summary = Summary {
            env: self.config.env.id.clone(),
            agent: agent_name(self.config.agent.kind),
            seed: self.config.run.seed,
            env_steps: self.env_steps,
            episodes: self.tracker.episodes,
            wall_seconds: self.clock.wall(),
            env_steps_per_second: self.env_steps_per_second(),
            mean_return_100: self.tracker.mean(),
            solved: self.tracker.solved.reached,
            first_195: self.tracker.first_195.reached,
            evaluation,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        summary.save(&self.dir.join("summary.json"))?;
        Ok(Outcome { dir: self.dir.clone(), summary, interrupted })
    }

    /// Writes everything that the run consists of.
    fn save(&mut self, path: &Path) -> Result<(), Error> {
        // What the checkpoint says the logs hold must be in them first.
        self.logs.flush()?;
        let mut state = StateDict::new();
        state.insert_all("agent", self.agent.state());
        state.insert_all("actors", self.crew.state()?.to_state());
        state.insert_all("tracker", self.tracker.state());
        state.insert("counters", StateTensor::U64(vec![self.updates, self.env_steps]));
        state.insert("log_positions", StateTensor::U64(self.logs.positions().to_vec()));
        state.insert("clock", StateTensor::F64(self.clock.state().to_vec()));
        state.insert("best", StateTensor::F64(self.best.into_iter().collect()));
        let mut header = Header::new(self.config.to_toml());
        // With the card and the agent's arrays the policy can act without the agent that trained it.
        let card = serde_json::to_string(&self.agent.acting_policy().card());
        header.notes.extend(card.map(|card| (POLICY_NOTE.to_owned(), card)));
        checkpoint::save(path, &header, &state)?;
        Ok(())
    }
}
