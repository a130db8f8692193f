//! Action masks: no forbidden action is ever taken, everything that holds without masks holds with them, and masks that make
//! no sense are errors.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, LazyLock};

use crate::common::{assert_same_run, config, options, place, resumed, summary, trained};
use relax_envs::wrappers::PerElement;
use relax_envs::{
    Action, ActionRef, Env, EnvError, EnvRng, EnvSpec, Space, StateReader, Step, StepBuffers, WrapperConfig,
};
use relax_rl::evaluate::{EvalOptions, Trained, evaluate};
use relax_rl::train::{self, TrainOptions};
use relax_training::actor::{Actor, Plan, Streams, make_env};
use relax_training::config::RolloutMode;

/// Draws a mask in every step and observes it. A forbidden action is an error; the first of the allowed choices pays. At the end
/// of a game the mask may forbid everything.
struct Guarded {
    mask: Vec<bool>,
    running: bool,
    spaces: [Space; 2],
    /// Whether its steps count down to a stop.
    counts: bool,
}

/// Steps until an environment that counts raises the flag; negative: never.
static STEPS_LEFT: AtomicI64 = AtomicI64::new(-1);
static STOP: LazyLock<Arc<AtomicBool>> = LazyLock::new(Default::default);

impl Guarded {
    fn new(actions: Space, counts: bool) -> Self {
        let width = actions.choices().unwrap().iter().sum();
        Self {
            mask: vec![true; width],
            running: false,
            spaces: [Space::uniform_box(0.0, 1.0, &[width]), actions],
            counts,
        }
    }

    fn draw(&mut self, rng: &mut EnvRng, observation: &mut [f32]) {
        let mut at = 0;
        for n in self.spaces[1].choices().unwrap() {
            let own = &mut self.mask[at..at + n];
            own.iter_mut().for_each(|allowed| *allowed = rng.integers(0, 2) == 1);
            own[rng.integers(0, n as i64) as usize] = true;
            at += n;
        }
        self.observe(observation);
    }

    fn observe(&self, observation: &mut [f32]) {
        observation.iter_mut().zip(&self.mask).for_each(|(o, &m)| *o = f32::from(u8::from(m)));
    }
}

/// Each factor's choice.
fn chosen(action: ActionRef<'_>) -> Vec<usize> {
    match action {
        ActionRef::Discrete(index) => vec![index],
        ActionRef::MultiDiscrete(indices) => indices.to_vec(),
        ActionRef::MultiBinary(flags) => flags.iter().map(|&flag| usize::from(flag)).collect(),
        ActionRef::Box(_) => panic!("there are no numbers"),
    }
}

impl Env for Guarded {
    fn observation_space(&self) -> &Space {
        &self.spaces[0]
    }

    fn action_space(&self) -> &Space {
        &self.spaces[1]
    }

    fn reset(&mut self, rng: &mut EnvRng, observation: &mut [f32]) -> Result<(), EnvError> {
        self.running = true;
        self.draw(rng, observation);
        Ok(())
    }

    fn step(
        &mut self,
        action: ActionRef<'_>,
        rng: &mut EnvRng,
        observation: &mut [f32],
    ) -> Result<Step, EnvError> {
        if self.counts && STEPS_LEFT.fetch_sub(1, Ordering::Relaxed) == 0 {
            STOP.store(true, Ordering::Relaxed);
        }
        let (mut at, mut reward) = (0, 0.0);
        for (n, choice) in self.spaces[1].choices().unwrap().into_iter().zip(chosen(action)) {
            let own = &self.mask[at..at + n];
            if !own[choice] {
                let source = format!("{choice} of {own:?} is forbidden").into();
                return Err(EnvError::Custom { env: "Guarded".into(), source });
            }
            reward += f64::from(u8::from(!own[..choice].contains(&true)));
            at += n;
        }
        self.draw(rng, observation);
        self.running = rng.integers(0, 6) > 0;
        if !self.running && rng.integers(0, 2) == 0 {
            self.mask.fill(false);
            self.observe(observation);
        }
        Ok(Step { reward, terminated: !self.running, truncated: false })
    }

    fn action_mask(&self) -> Option<&[bool]> {
        Some(&self.mask)
    }

    fn save_state(&self, state: &mut Vec<f64>) -> Result<(), EnvError> {
        state.push(f64::from(u8::from(self.running)));
        state.extend(self.mask.iter().map(|&allowed| f64::from(u8::from(allowed))));
        Ok(())
    }

    fn load_state(&mut self, state: &mut &[f64]) -> Result<(), EnvError> {
        let mut reader = StateReader::new("Guarded", state);
        let running = reader.flag("running")?;
        let mask = self.mask.iter().map(|_| reader.flag("mask")).collect::<Result<_, _>>()?;
        (self.running, self.mask) = (running, mask);
        Ok(())
    }
}

/// Masks nothing for three steps and everything (of the second factor, if there is one) from then on.
struct Stuck {
    inner: Guarded,
    t: u32,
}

impl Env for Stuck {
    fn observation_space(&self) -> &Space {
        self.inner.observation_space()
    }

    fn action_space(&self) -> &Space {
        self.inner.action_space()
    }

    fn reset(&mut self, _: &mut EnvRng, observation: &mut [f32]) -> Result<(), EnvError> {
        observation.fill(0.0);
        Ok(())
    }

    fn step(&mut self, _: ActionRef<'_>, _: &mut EnvRng, _: &mut [f32]) -> Result<Step, EnvError> {
        self.t += 1;
        if self.t == 3 {
            let first = self.inner.spaces[1].choices().unwrap()[0];
            let start = if first == self.inner.mask.len() { 0 } else { first };
            self.inner.mask[start..].fill(false);
        }
        Ok(Step::default())
    }

    fn action_mask(&self) -> Option<&[bool]> {
        Some(&self.inner.mask)
    }
}

const IDS: [&str; 3] = ["Guarded-v0", "GuardedPair-v0", "GuardedBits-v0"];

static ENVS: LazyLock<()> = LazyLock::new(|| {
    let spaces = [Space::discrete(5), Space::MultiDiscrete { nvec: vec![3, 2] }, Space::MultiBinary { n: 2 }];
    for (id, space) in IDS.into_iter().zip(spaces) {
        for (id, counts) in [(id.to_owned(), false), (format!("Stopping{id}"), true)] {
            let space = space.clone();
            let spec = EnvSpec::new(id, "masks of a test", move |_| {
                Ok(Box::new(Guarded::new(space.clone(), counts)))
            });
            relax_envs::register(spec.max_episode_steps(6)).expect("the name is free");
        }
        let of_stuck = space;
        let spec = EnvSpec::new(format!("Stuck{id}"), "masks of a test", move |_| {
            Ok(Box::new(Stuck { inner: Guarded::new(of_stuck.clone(), false), t: 0 }))
        });
        relax_envs::register(spec).expect("the name is free");
    }
});

fn text(id: &str, agent: &str, steps: u32) -> String {
    format!(
        "[env]\nid = '{id}'\nwrappers = [{{ name = 'FrameStack', size = 2 }}]\n[agent]\n{agent}\nhidden = [8]\n\
         [learner]\nlearning_rate = 1e-2\nentropy = 0.01\n[rollout]\nenvs = 5\nsteps = 40\nworkers = 0\n\
         [run]\nenv_steps = {steps}\nevaluation_episodes = 4\nevaluation_every_env_steps = 1000\nkeep_best = false\n"
    )
}

const AGENTS: [&str; 7] = [
    "kind = 'a2c'",
    "kind = 'ppo'",
    "kind = 'reinforce'",
    "kind = 'relax-a2c'\nnoise = 'independent'\nvariance_objective = 'weights'",
    "kind = 'relax-a2c'\ncontrol_variate = 'pure'",
    "kind = 'relax-a2c'\ncontrol_variate = 'model'",
    "kind = 'relax-a2c'\ncontrol_variate = 'model'\ngain = 1",
];

/// The environment of the agent `i`.
fn of(i: usize) -> &'static str {
    IDS[i % 3]
}

/// The rollout holds, beside each observation, the mask that belongs to it: here the observation says which that is. Across
/// ends the next mask is that of the next episode, and the last one of a truncated episode is kept.
#[test]
fn every_row_has_the_mask_of_its_observation() {
    LazyLock::force(&ENVS);
    for id in IDS {
        let config = config(&text(id, AGENTS[0], 1000), &[]);
        let trained = trained(&config);
        let policy = Trained::load(&trained.run).unwrap().policy;
        let env = make_env(&config.env, 3).unwrap();
        let mut actor =
            Actor::new(env, 0, policy.distribution().clone(), 1, Streams::TRAINING, false).unwrap();
        let (mut rollout, mut truncated, mut forbidden) = (actor.rollout(), 0, 0);
        for _ in 0..20 {
            let plan = Plan { mode: RolloutMode::Steps, steps: 11, extra: 0 };
            actor.roll(&policy, plan, &mut rollout).unwrap();
            let m = rollout.mask_dim;
            assert_eq!(rollout.observation_dim, 2 * m);
            for (observations, masks) in [
                (&rollout.observations, &rollout.masks),
                (&rollout.final_observations, &rollout.final_masks),
                (&rollout.next_observations, &rollout.next_masks),
            ] {
                let newest = observations.chunks_exact(2 * m).flat_map(|stack| &stack[m..]);
                assert!(newest.map(|&o| o == 1.0).eq(masks.iter().copied()), "{id}");
            }
            truncated += rollout.truncated_rows.len();
            forbidden += rollout.masks.iter().filter(|&&allowed| !allowed).count();
        }
        assert!(truncated > 20 && forbidden > 500, "{truncated} {forbidden}");
    }
}

/// Training, evaluation and what they write, with any number of workers; the environment refuses what is forbidden.
#[test]
fn workers_change_nothing_and_nothing_forbidden_is_taken() {
    LazyLock::force(&ENVS);
    for (i, agent) in AGENTS.into_iter().enumerate() {
        let text = text(of(i), agent, 3000);
        let one = trained(&config(&text, &[]));
        for workers in [1, 3] {
            let other = trained(&config(&text, &[&format!("rollout.workers={workers}")]));
            assert_same_run(&one.run, &other.run, &format!("{agent}, {workers} workers"));
        }
        for deterministic in [true, false] {
            let options = EvalOptions { episodes: 40, deterministic, render: None, seed: 7 };
            evaluate(&one.run, &options).unwrap_or_else(|error| panic!("{agent}: {error}"));
        }
    }
}

#[test]
fn a_run_with_masks_resumes_bit_for_bit() {
    LazyLock::force(&ENVS);
    for (i, agent) in AGENTS.into_iter().enumerate() {
        let text = text(&format!("Stopping{}", of(i)), agent, 2400);
        let without = "run.evaluation_episodes=0";
        STEPS_LEFT.store(-1, Ordering::Relaxed);
        STOP.store(false, Ordering::Relaxed);
        let whole = trained(&config(&text, &[without]));
        let cut = place();
        // Stopped from within the environment, amid the second batch and some later one.
        let options = TrainOptions { stop: STOP.clone(), ..options(&cut.run) };
        STEPS_LEFT.store(250, Ordering::Relaxed);
        assert!(train::train(&config(&text, &[without]), &options).unwrap().interrupted, "{agent}");
        STEPS_LEFT.store(611, Ordering::Relaxed);
        STOP.store(false, Ordering::Relaxed);
        assert!(train::resume(&cut.run, &[], true, &STOP).unwrap().interrupted, "{agent}");
        let steps = summary(&cut.run).env_steps;
        assert!((500..2000).contains(&steps), "{agent}: {steps}");
        resumed(&cut.run, &[]);
        assert_same_run(&whole.run, &cut.run, agent);
    }
}

/// The first allowed choice pays, and every agent finds that out.
#[test]
fn masked_choices_are_learned() {
    LazyLock::force(&ENVS);
    for (i, agent) in AGENTS.into_iter().enumerate() {
        let run = trained(&config(&text(of(i), agent, 30_000), &["run.evaluation_episodes=0"]));
        let options = EvalOptions { episodes: 200, deterministic: true, render: None, seed: 7 };
        let found = evaluate(&run.run, &options).unwrap();
        let per_step = found.returns.iter().sum::<f64>() / found.lengths.iter().sum::<u64>() as f64;
        let most = if of(i) == IDS[0] { 1.0 } else { 2.0 };
        println!("{agent}: {per_step:.3} of {most}");
        assert!(per_step > 0.9 * most, "{agent}: {per_step}");
    }
}

#[test]
fn one_prediction_takes_the_mask_too() {
    LazyLock::force(&ENVS);
    let run = trained(&config(&text(IDS[1], AGENTS[0], 1000), &[]));
    let trained = Trained::load(&run.run).unwrap();
    let observation = [1.0; 10];
    for mask in [[true, false, false, false, true], [false, false, true, true, false]] {
        let expected = Action::MultiDiscrete(vec![usize::from(mask[2]) * 2, usize::from(mask[4])]);
        assert_eq!(trained.predict_masked(&observation, Some(&mask)).unwrap(), expected);
    }
    let told = |mask: &[bool]| trained.predict_masked(&observation, Some(mask)).unwrap_err().to_string();
    assert!(told(&[true; 4]).contains("has 4 entries; the choices are 5 (3 + 2)"));
    assert!(told(&[true, true, true, false, false]).contains("no choice of factor 1"));
    assert_eq!(
        trained.predict(&observation).unwrap(),
        trained.predict_masked(&observation, Some(&[true; 5])).unwrap()
    );
}

#[test]
fn a_mask_that_allows_nothing_is_an_error_that_says_where() {
    LazyLock::force(&ENVS);
    for (id, factor) in
        [("StuckGuarded-v0", "allows no action"), ("StuckGuardedPair-v0", "no choice of factor 1")]
    {
        let text = text(id, AGENTS[0], 1000).replace("envs = 5", "envs = 2");
        let place = place();
        let error = train::train(&config(&text, &[]), &options(&place.run)).unwrap_err().to_string();
        assert!(error.contains(&format!("`{id}`, slot 0, seed ")), "{error}");
        assert!(error.contains("after 3 steps of the episode, the action mask"), "{error}");
        assert!(error.contains(factor), "{error}");
    }
}

/// Wrappers pass the mask on, and a saved state brings it back.
#[test]
fn wrappers_and_saved_states_keep_the_mask() {
    LazyLock::force(&ENVS);
    let wrappers = [
        WrapperConfig::FrameStack { size: 2 },
        WrapperConfig::NormalizeObservation {},
        WrapperConfig::NormalizeReward { gamma: 0.9 },
        WrapperConfig::ObservationScale { scale: PerElement::All(2.0), offset: PerElement::All(0.0) },
        WrapperConfig::TimeLimit { max_episode_steps: 4 },
    ];
    let options = relax_envs::MakeOptions { wrappers: wrappers.to_vec(), ..Default::default() };
    let mut envs = relax_envs::make_vec("Guarded-v0", 3, &options).unwrap();
    let mut out = StepBuffers::new(3, envs.observation_dim());
    assert!(envs.action_masks().is_none(), "nothing is known before the first reset");
    envs.reset(&[1, 2, 3], &mut out.observations).unwrap();
    let mut rng = EnvRng::from_seed(5);
    for _ in 0..30 {
        let state = envs.save_state().unwrap();
        let masks = envs.action_masks().unwrap().to_vec();
        let actions: Vec<u32> = masks
            .chunks_exact(5)
            .map(|mask| match Space::discrete(5).sample_masked(mask, &mut rng) {
                Action::Discrete(index) => index as u32,
                other => panic!("{other:?}"),
            })
            .collect();
        envs.step(&[0, 1, 2], relax_envs::Actions::Discrete(&actions), &mut out).unwrap();
        let after = envs.action_masks().unwrap().to_vec();
        envs.load_state(&state).unwrap();
        assert_eq!(envs.action_masks().unwrap(), masks);
        envs.step(&[0, 1, 2], relax_envs::Actions::Discrete(&actions), &mut out).unwrap();
        assert_eq!(envs.action_masks().unwrap(), after);
    }
}
