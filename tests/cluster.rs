//! A run on many machines is the run on one: played here with workers that are called one after the other, in any order, twice, or die.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use relax_envs::{EnvRng, Space, Step};
use relax_rl::Error;
use relax_rl::cluster::{self, Answer, Fleet, Learner, Part, Worker, rollout};
use relax_rl::config::Config;
use relax_rl::train::{self, Trainer};
use relax_runtime::sealed;

mod messages;

use crate::common::{
    Place, TestState, assert_same_run, choice, config, options, place, summary, test_env, trained,
};

use messages::MESSAGE;

const RUN: &str = "
[env]
id = 'CartPole-v1'
[agent]
kind = 'a2c'
hidden = [8]
[rollout]
envs = 5
steps = 24
workers = 0
[run]
env_steps = 2_003
seed = 3
evaluation_episodes = 2
evaluation_every_env_steps = 900
[checkpoint]
every_env_steps = 500
";

/// Small whatever the agent.
const REPLAY: [&str; 4] = [
    "learner.replay.capacity=500",
    "learner.replay.batch_size=8",
    "learner.replay.warm_up_steps=100",
    "learner.replay.updates_per_step=0.1",
];

/// Agents, worlds and settings with something about them: masks, whole episodes, replay.
fn cases() -> Vec<Vec<&'static str>> {
    let mut cases = vec![
        vec!["agent.kind=a2c"],
        vec!["agent.kind=a2c", "env.id=Acrobot-v1", "learner.normalize_observations=false"],
        vec!["agent.kind=relax-a2c", "env.id=Pendulum-v1"],
        vec!["agent.kind=relax-a2c", "env.id=TicTacToe-v0"],
        vec!["agent.kind=relax-a2c", "agent.control_variate=model"],
        vec!["agent.kind=relax-a2c", "agent.control_variate=dae"],
        vec!["agent.kind=ppo", "env.id=MountainCarContinuous-v0"],
        vec!["agent.kind=ppo", "env.id=MiniGrid-Empty-5x5-v0"],
        vec!["agent.kind=reinforce"],
        vec!["agent.kind=reinforce", "agent.baseline=leave-one-out"],
    ];
    for agent in ["agent.kind=ddpg", "agent.kind=td3", "agent.kind=sac", "agent.kind=relax-ddpg"] {
        cases.push([&[agent, "env.id=Pendulum-v1", "run.env_steps=603"][..], &REPLAY].concat());
    }
    cases
}

/// Workers that are called when they are asked for. What it does to them is `mischief`'s choice.
struct Near {
    config: Config,
    parts: usize,
    work: Vec<(Arc<[u8]>, Part)>,
    random: EnvRng,
    mischief: bool,
    /// Rounds until a worker fails for good, if it does.
    fails: Option<usize>,
    stop: Option<(Arc<AtomicBool>, usize)>,
    rounds: Arc<AtomicUsize>,
}

impl Near {
    fn new(config: &Config, parts: usize, mischief: bool) -> Self {
        Self {
            config: config.clone(),
            parts,
            work: Vec::new(),
            random: EnvRng::from_seed(7),
            mischief,
            fails: None,
            stop: None,
            rounds: Arc::default(),
        }
    }
}

impl Fleet for Near {
    fn begin(&mut self, config: &Config, pure: bool) -> Result<usize, Error> {
        assert!(pure && *config == self.config);
        Ok(self.parts)
    }

    fn launch(&mut self, policy: &Arc<[u8]>, parts: &[Part]) -> Result<(), Error> {
        assert!(self.work.is_empty(), "the last round was gathered or abandoned");
        self.work = parts.iter().map(|part| (policy.clone(), part.clone())).collect();
        Ok(())
    }

    fn gather(&mut self, _: Duration) -> Result<Option<Vec<Answer>>, Error> {
        let round = self.rounds.fetch_add(1, Ordering::Relaxed);
        if self.fails == Some(round) {
            return Err(Error::runtime("all workers are gone"));
        }
        if let Some((stop, at)) = &self.stop
            && *at <= round
        {
            stop.store(true, Ordering::Relaxed);
            return Ok(None);
        }
        let mut order: Vec<usize> = (0..self.work.len()).collect();
        if self.mischief {
            order.sort_by_key(|_| self.random.integers(0, 1000));
        }
        let mut answers = vec![Answer::default(); order.len()];
        for i in order {
            let (policy, part) = &self.work[i];
            if self.mischief && self.random.integers(0, 3) == 0 {
                // A worker that dies with everything that it has done: it is simply done again.
                rollout(&self.config, policy, &part.states, part.slots.clone())?;
            }
            answers[i] = rollout(&self.config, policy, &part.states, part.slots.clone())?;
        }
        self.work.clear();
        Ok(Some(answers))
    }

    fn abandon(&mut self) {
        self.work.clear();
    }
}

#[track_caller]
fn by(config: &Config, fleet: Near) -> Place {
    let place = place();
    let outcome = cluster::train(config, &options(&place.run), Box::new(fleet)).unwrap();
    assert!(!outcome.interrupted);
    place
}

#[test]
fn any_number_of_workers_makes_the_run_of_one_machine() {
    for sets in cases() {
        let config = config(RUN, &sets);
        let alone = trained(&config);
        for (parts, mischief) in [(1, false), (2, true), (4, true), (99, false)] {
            let other = by(&config, Near::new(&config, parts, mischief));
            assert_same_run(&alone.run, &other.run, &format!("{sets:?}, {parts} workers"));
        }
    }
}

/// Their networks begin with an encoder, which travels by name.
#[test]
fn pictures_too() {
    let sets = ["env.id=CatchImage-v0", "rollout.steps=2", "run.env_steps=23", "run.evaluation_episodes=0"];
    let config = config(RUN, &[&sets[..], &["learner.value_epochs=1"]].concat());
    let (alone, other) = (trained(&config), by(&config, Near::new(&config, 2, false)));
    assert_same_run(&alone.run, &other.run, "pictures");
}

#[test]
fn a_learner_and_its_workers_make_the_weights_of_one_machine() {
    for sets in cases() {
        let config = config(RUN, &sets);
        let mut alone = Trainer::new(&config).unwrap();
        while !alone.is_over() {
            alone.step().unwrap();
        }
        for tasks in [1, 3, 5] {
            let slots = |i: usize| i * 5 / tasks..(i + 1) * 5 / tasks;
            let mut learner = Learner::new(&config).unwrap();
            let mut states = vec![Vec::new(); tasks];
            let mut batches = act(&config, &learner.policy(), &mut states, slots);
            let mut kept = Vec::new();
            while !learner.is_over() {
                batches.reverse();
                learner.improve(&batches).unwrap();
                let policy = learner.policy();
                // The workers begin before the critics are fitted, as long as there is something to do.
                let over = learner.trainer().is_over();
                let next = (!over).then(|| act(&config, &policy, &mut states, slots));
                let update = learner.fit().unwrap();
                assert_eq!(policy, learner.policy(), "fitting the critics leaves the policy alone");
                assert_eq!(update.env_steps, learner.trainer().env_steps());
                batches = next.unwrap_or_default();
                if tasks == 3 && update.update == 3 {
                    // Everything starts afresh from what was saved.
                    kept = learner.state().unwrap();
                    learner = Learner::new(&config).unwrap();
                    learner.restore(&kept).unwrap();
                }
            }
            assert_eq!(learner.state_hash(), alone.state_hash(), "{sets:?}, {tasks} tasks");
            assert_eq!(learner.trainer().updates(), alone.updates());
            if !kept.is_empty() {
                learner.restore(&kept).unwrap();
                assert_eq!(learner.trainer().updates(), 3);
            }
        }
    }
}

fn act(
    config: &Config,
    policy: &[u8],
    states: &mut [Vec<u8>],
    slots: impl Fn(usize) -> std::ops::Range<usize>,
) -> Vec<Vec<u8>> {
    let answers = states.iter_mut().enumerate().map(|(i, states)| {
        let (batch, after) = rollout(config, policy, states, slots(i)).unwrap();
        *states = after;
        batch
    });
    answers.collect()
}

/// Begun on many machines, gone on with on one, and the other way round; stopped in the middle of a round.
#[test]
fn runs_move_between_clusters_and_single_machines() {
    for sets in [&["agent.kind=ppo"][..], &[&["agent.kind=sac", "env.id=Pendulum-v1"][..], &REPLAY].concat()]
    {
        let config = config(RUN, sets);
        let whole = trained(&config);
        let begin = |at: usize| {
            let place = place();
            let stop = Arc::new(AtomicBool::new(false));
            let options = train::TrainOptions { stop: stop.clone(), ..options(&place.run) };
            let fleet = Near { stop: Some((stop, at)), ..Near::new(&config, 2, false) };
            let outcome = cluster::train(&config, &options, Box::new(fleet)).unwrap();
            assert!(outcome.interrupted && outcome.summary.env_steps < config.run.env_steps);
            place
        };
        for at in [0, 1, 5] {
            let place = begin(at);
            train::resume(&place.run, &[], true, &Arc::default()).unwrap();
            assert_same_run(&whole.run, &place.run, &format!("{sets:?}, one machine after {at} rounds"));

            let place = begin(at);
            let fleet = Box::new(Near::new(&config, 3, true));
            cluster::resume(&place.run, &[], true, &Arc::default(), fleet).unwrap();
            assert_same_run(&whole.run, &place.run, &format!("{sets:?}, three workers after {at} rounds"));
        }
        let place = place();
        let fleet = Near { fails: Some(4), ..Near::new(&config, 2, false) };
        let error = cluster::train(&config, &options(&place.run), Box::new(fleet)).unwrap_err();
        assert!(error.to_string().contains("all workers are gone") && error.exit_code() == 1, "{error}");
        assert!(!summary_exists(&place.run));
        let fleet = Box::new(Near::new(&config, 1, false));
        cluster::resume(&place.run, &[], true, &Arc::default(), fleet).unwrap();
        assert_same_run(&whole.run, &place.run, &format!("{sets:?}, after a failure"));
    }
}

fn summary_exists(run: &Path) -> bool {
    run.join("summary.json").exists()
}

/// An environment that cannot save its state.
fn without_states() -> Config {
    fn reset(state: &mut TestState, rng: &mut EnvRng) {
        state.observation[0] = rng.random() as f32;
    }
    let spec = test_env("Forgetful-v0", 1, Space::discrete(2), reset, |state, action, rng| {
        state.observation[0] = rng.random() as f32;
        let reward = f64::from(u8::from(choice(action) == usize::from(state.observation[0] > 0.5)));
        Ok(Step { reward, terminated: state.t == 6, truncated: false })
    });
    let _ = relax_envs::register(spec);
    config(RUN, &["env.id=Forgetful-v0", "env.max_episode_steps=100"])
}

#[test]
fn worlds_that_cannot_save_their_state_have_workers_that_keep_them() {
    let config = without_states();
    let mut alone = Trainer::new(&config).unwrap();
    let mut learner = Learner::new(&config).unwrap();
    let error = rollout(&config, &learner.policy(), &[], 0..5).unwrap_err();
    assert!(error.to_string().contains("Forgetful-v0 cannot save its state"), "{error}");
    assert!(error.hint().unwrap().contains("Worker"));

    let mut workers = [0..2, 2..5].map(|slots| Worker::new(&config, slots).unwrap());
    let mut states = [Vec::new(), Vec::new()];
    while !learner.is_over() {
        let policy = learner.policy();
        let mut batches = Vec::new();
        for (worker, states) in workers.iter_mut().zip(&mut states) {
            let (batch, after) = worker.rollout(&policy, states).unwrap();
            batches.push(batch);
            *states = after;
        }
        learner.improve(&batches).unwrap();
        learner.fit().unwrap();
        alone.step().unwrap();
    }
    assert!(alone.is_over());
    assert_eq!(learner.state_hash(), alone.state_hash());

    // Another one in the place of one that died has episodes of its own, and random numbers that go on.
    let mut learner = Learner::new(&config).unwrap();
    let mut states = Vec::new();
    let mut seen: Vec<Vec<u32>> = Vec::new();
    for _ in 0..6 {
        let policy = learner.policy();
        let (batch, after) = Worker::new(&config, 0..5).unwrap().rollout(&policy, &states).unwrap();
        let (_, arrays) = sealed::decode(&MESSAGE, &batch).unwrap();
        let bits = |name: &str| arrays.f32_any(name).unwrap().iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        for row in [bits("observations"), bits("noise")] {
            assert!(!seen.contains(&row), "the same again");
            seen.push(row);
        }
        learner.improve(&[batch]).unwrap();
        learner.fit().unwrap();
        states = after;
    }
    let mut late = Worker::new(&config, 0..5).unwrap();
    let error = late.rollout(&learner.policy(), &[]).unwrap_err();
    assert!(error.to_string().contains("slots 0–4 have no states"), "{error}");
}

/// A failing environment is told with its slot, whoever had it.
#[test]
fn failures_of_environments_come_with_their_slot() {
    fn reset(_: &mut TestState, _: &mut EnvRng) {}
    let spec = test_env("Breaks-v0", 1, Space::discrete(2), reset, |state, _, _| {
        if state.t == 40 {
            panic!("it broke");
        }
        Ok(Step { reward: 1.0, terminated: false, truncated: false })
    });
    let _ = relax_envs::register(spec);
    let config = config(RUN, &["env.id=Breaks-v0", "env.max_episode_steps=100"]);
    let learner = Learner::new(&config).unwrap();
    let mut worker = Worker::new(&config, 3..5).unwrap();
    let (_, states) = worker.rollout(&learner.policy(), &[]).unwrap();
    let error = worker.rollout(&learner.policy(), &states).unwrap_err();
    assert!(error.to_string().contains("slot 3") && error.to_string().contains("it broke"), "{error}");
    assert_eq!(error.exit_code(), 1);
}

/// The hash says of runs on many machines what it says of others.
#[test]
fn the_state_hash_is_that_of_one_machine() {
    let config = config(RUN, &["agent.kind=relax-a2c"]);
    let (alone, many) = (trained(&config), by(&config, Near::new(&config, 4, true)));
    assert_eq!(summary(&alone.run).state_hash, summary(&many.run).state_hash);
    assert_eq!(train::state_hash(&alone.run).unwrap(), train::state_hash(&many.run).unwrap());
}
