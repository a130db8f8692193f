//! [`Learner`]: an agent that learns from messages, one half of an update after the other.

use std::ops::Range;
use std::path::Path;

use relax_agents::Rollout;
use relax_runtime::Error;

use super::batch::{self, Shape};
use super::message::{self, Kind, spoken};
use super::orders;
use crate::actor::Plan;
use crate::config::Config;
use crate::train::{Trainer, UnderWay, Update, take_over};

/// An agent that learns from what workers anywhere have experienced.
///
/// ```
/// use relax_training::Config;
/// use relax_training::cluster::{Learner, rollout};
/// let text = "[env]\nid = 'CartPole-v1'\n[agent]\nkind = 'a2c'\n[run]\nenv_steps = 1000\n";
/// let config = Config::from_toml(text, "example", &[])?;
/// let mut learner = Learner::new(&config)?;
/// let mut states = [Vec::new(), Vec::new()];
/// while !learner.is_over() {
///     let policy = learner.policy();
///     let mut batches = Vec::new();
///     for (states, slots) in states.iter_mut().zip([0..3, 3..8]) {
///         let (batch, after) = rollout(&config, &policy, states, slots)?;        // on any machine
///         batches.push(batch);
///         *states = after;
///     }
///     learner.improve(&batches)?;             // the new policy could be sent off here
///     learner.fit()?;
/// }
/// # let mut alone = relax_training::train::Trainer::new(&config)?;
/// # while !alone.is_over() { alone.step()?; }
/// # assert_eq!(learner.state_hash(), alone.state_hash());
/// # Ok::<(), relax_runtime::Error>(())
/// ```
pub struct Learner {
    config: Config,
    run: String,
    shape: Shape,
    trainer: Trainer,
    /// The update whose first half is done.
    midway: Option<UnderWay>,
    /// An update has failed in its middle.
    failed: bool,
}

impl Learner {
    /// The learner of a configuration, at its start.
    ///
    /// # Errors
    /// Whatever in the configuration the environment or the agent cannot do.
    pub fn new(config: &Config) -> Result<Self, Error> {
        let (mut trainer, shape) = Trainer::alone(config)?;
        if let Some(from) = &config.run.from {
            take_over(trainer.agent_mut(), config, Path::new(from))?;
        }
        let (config, run) = (config.clone(), message::identity(config));
        Ok(Self { config, run, shape, trainer, midway: None, failed: false })
    }

    /// What is trained, and how.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Its trainer, to be asked how it stands.
    #[must_use]
    pub fn trainer(&self) -> &Trainer {
        &self.trainer
    }

    /// Whether there is nothing left to do.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.midway.is_none() && self.trainer.is_over()
    }

    /// As [`Trainer::state_hash`].
    #[must_use]
    pub fn state_hash(&self) -> String {
        self.trainer.state_hash()
    }

    /// The message for the workers: the policy as it is now, and how many steps they are to take with it. It is the same before and
    /// after [`fit`](Self::fit).
    #[must_use]
    pub fn policy(&self) -> Vec<u8> {
        self.orders().0
    }

    fn orders(&self) -> (Vec<u8>, String) {
        orders::seal(&self.run, &self.trainer.policy(), self.trainer.plan(), self.trainer.env_steps())
    }

    /// The first half of an update: a step of the policy, from the batches of all slots, in any order.
    ///
    /// # Errors
    /// If a batch is damaged, of another version, instruction set or run, or made with another policy than the last; if slots are missing
    /// or come twice. Nothing has changed then. If training diverges, there is nothing left to go on from but an earlier state.
    pub fn improve(&mut self, batches: &[impl AsRef<[u8]>]) -> Result<(), Error> {
        self.check_order(false)?;
        if self.trainer.is_over() {
            return Err(Error::input("the run is over: its budget is used up, or its environment solved"));
        }
        let (_, policy) = self.orders();
        let mut batch = self.shape.rollout(self.config.rollout.envs);
        merge(&self.run, &policy, &self.shape, self.trainer.plan(), batches, &mut batch)?;
        self.failed = true;
        self.midway = Some(self.trainer.take(batch)?);
        self.failed = false;
        Ok(())
    }

    /// The second half: the critics are fitted to the same batches, while the workers may already act with the new policy.
    ///
    /// # Errors
    /// If it is not its turn; if training diverges, as [`improve`](Self::improve).
    pub fn fit(&mut self) -> Result<Update, Error> {
        self.check_order(true)?;
        let Some(midway) = self.midway.take() else { unreachable!("its turn was checked") };
        self.failed = true;
        let update = self.trainer.conclude(midway)?;
        self.failed = false;
        Ok(update)
    }

    fn check_order(&self, fit: bool) -> Result<(), Error> {
        let problem = match (self.failed, self.midway.is_some() == fit) {
            (true, _) => {
                "the learner has failed in the middle of an update; `restore` takes it back to a state"
            }
            (false, true) => return Ok(()),
            (false, false) if fit => "there is nothing to fit to before `improve`",
            (false, false) => "the critics have not been fitted to the last batches; `fit` does it",
        };
        Err(Error::input(problem))
    }

    /// Everything that it needs to go on bit for bit; the workers' states go with it.
    ///
    /// # Errors
    /// Between [`improve`](Self::improve) and [`fit`](Self::fit).
    pub fn state(&self) -> Result<Vec<u8>, Error> {
        self.check_order(false)?;
        Ok(message::seal(Kind::Learner, &self.run, &[], &self.trainer.learner_state()).0)
    }

    /// Goes on from what [`state`](Self::state) gave.
    ///
    /// # Errors
    /// If the message is damaged, of another version, instruction set or run, or does not fit. Nothing has changed then.
    pub fn restore(&mut self, state: &[u8]) -> Result<(), Error> {
        let (_, arrays) = message::open(Kind::Learner, &self.run, state)?;
        let (mut trainer, _) = Trainer::alone(&self.config)?;
        trainer.restore_learner(&arrays)?;
        if trainer.agent_mut().is_behind() {
            return Err(Error::input("the learner's state is one in the middle of an update"));
        }
        (self.trainer, self.midway, self.failed) = (trainer, None, false);
        Ok(())
    }
}

/// Puts the batches of all slots, in any order, into `whole`. All of them were made with the policy of this checksum.
pub(crate) fn merge(
    run: &str,
    policy: &str,
    shape: &Shape,
    plan: Plan,
    batches: &[impl AsRef<[u8]>],
    whole: &mut Rollout,
) -> Result<(), Error> {
    let total = whole.slots();
    let mut parts: Vec<(Range<usize>, Rollout)> = Vec::with_capacity(batches.len());
    for bytes in batches {
        let (words, arrays) = message::open(Kind::Batch, run, bytes.as_ref())?;
        let bad = |why: &str| Error::input(format!("the batch is no usable message: {why}"));
        let slots =
            message::slots(&words, total).ok_or_else(|| bad("it is not said of which slots it is"))?;
        if words.get("policy").map(String::as_str) != Some(policy) {
            let message =
                format!("the batch of {} was made with another policy than the last", spoken(&slots));
            return Err(Error::input(message).with_hint("every round needs the policy of its own"));
        }
        let rollout = batch::from_arrays(&arrays, &slots, shape, plan).map_err(|why| bad(&why))?;
        parts.push((slots, rollout));
    }
    parts.sort_by_key(|(slots, _)| slots.start);
    let mut next = 0;
    for (slots, _) in &parts {
        if slots.start > next {
            return Err(Error::input(format!("the batch of {} is missing", spoken(&(next..slots.start)))));
        }
        if slots.start < next {
            let twice = slots.start..next.min(slots.end);
            return Err(Error::input(format!("there are two batches of {}", spoken(&twice))));
        }
        next = slots.end;
    }
    if next < total {
        return Err(Error::input(format!("the batch of {} is missing", spoken(&(next..total)))));
    }
    if parts.iter().all(|(_, rollout)| rollout.rows() == 0) {
        return Err(Error::input("the batches hold no steps"));
    }
    whole.merge(parts.iter().map(|(_, rollout)| rollout));
    Ok(())
}
