//! `NativeVecEnv`: autoreset with the final observation kept, active slots, errors that name the episode, save and load.
use relax_envs::wrappers::TimeLimit;
use relax_envs::{
    ActionRef, Actions, Env, EnvError, EnvRng, Kwarg, Kwargs, MakeOptions, NativeVecEnv, Space, Step,
    StepBuffers, VecEnv, WrapperConfig,
};

/// Counts its steps; the action says how the step ends. Observation: episode number, step number.
struct Script {
    episode: f32,
    t: f32,
    spaces: (Space, Space),
}

const RUN: u32 = 0;
const TERMINATE: u32 = 1;
const TRUNCATE: u32 = 2;
const BOTH: u32 = 3;
const NAN_OBSERVATION: u32 = 4;
const INFINITE_REWARD: u32 = 5;
const FAIL: u32 = 6;

impl Script {
    fn boxed() -> Box<dyn Env> {
        let spaces = (Space::uniform_box(0.0, 1e6, &[2]), Space::discrete(7));
        Box::new(Self { episode: 0.0, t: 0.0, spaces })
    }

    fn slots(n: usize) -> (NativeVecEnv, StepBuffers) {
        let mut envs = NativeVecEnv::new("Script-v0", (0..n).map(|_| Self::boxed()).collect()).unwrap();
        let mut out = StepBuffers::new(n, 2);
        let seeds: Vec<u64> = (0..n as u64).map(|slot| 100 + slot).collect();
        envs.reset(&seeds, &mut out.observations).unwrap();
        (envs, out)
    }
}

impl Env for Script {
    fn observation_space(&self) -> &Space {
        &self.spaces.0
    }
    fn action_space(&self) -> &Space {
        &self.spaces.1
    }
    fn reset(&mut self, _: &mut EnvRng, observation: &mut [f32]) -> Result<(), EnvError> {
        self.episode += 1.0;
        self.t = 0.0;
        observation.copy_from_slice(&[self.episode, self.t]);
        Ok(())
    }
    fn step(
        &mut self,
        action: ActionRef<'_>,
        _: &mut EnvRng,
        observation: &mut [f32],
    ) -> Result<Step, EnvError> {
        let ActionRef::Discrete(action) = action else { return Err(EnvError::needs_reset("Script-v0")) };
        let action = action as u32;
        if action == FAIL {
            return Err(EnvError::Custom { env: "Script-v0".into(), source: "out of luck".into() });
        }
        self.t += 1.0;
        observation.copy_from_slice(&[self.episode, self.t]);
        if action == NAN_OBSERVATION {
            observation[1] = f32::NAN;
        }
        Ok(Step {
            reward: if action == INFINITE_REWARD { f64::INFINITY } else { f64::from(self.t) },
            terminated: action == TERMINATE || action == BOTH,
            truncated: action == TRUNCATE || action == BOTH,
        })
    }
}

#[test]
fn the_four_cases_of_an_end() {
    let (mut envs, mut out) = Script::slots(4);
    assert_eq!(out.observations, [1.0, 0.0].repeat(4));
    let all = [0, 1, 2, 3];
    envs.step(&all, Actions::Discrete(&[RUN; 4]), &mut out).unwrap();
    assert_eq!(out.observations, [1.0, 1.0].repeat(4));

    out.final_observations.fill(-1.0);
    envs.step(&all, Actions::Discrete(&[RUN, TERMINATE, TRUNCATE, BOTH]), &mut out).unwrap();
    assert_eq!(out.terminated, [false, true, false, true]);
    assert_eq!(out.truncated, [false, false, true, true]);
    assert_eq!(out.rewards, [2.0; 4]);
    // The running slot goes on; the others already show the first observation of the next episode …
    assert_eq!(out.observations, [1.0, 2.0, 2.0, 0.0, 2.0, 0.0, 2.0, 0.0]);
    // … and keep the last one of the ended episode.
    assert_eq!(out.final_observations, [-1.0, -1.0, 1.0, 2.0, 1.0, 2.0, 1.0, 2.0]);
    let episodes: Vec<u64> = (0..4).map(|slot| envs.slot_info(slot).unwrap().episode).collect();
    assert_eq!(episodes, [0, 1, 1, 1]);

    envs.step(&all, Actions::Discrete(&[RUN; 4]), &mut out).unwrap();
    assert_eq!(out.observations, [1.0, 3.0, 2.0, 1.0, 2.0, 1.0, 2.0, 1.0]);
    assert_eq!((out.terminated, out.truncated), (vec![false; 4], vec![false; 4]));
}

#[test]
fn only_active_slots_move() {
    let (mut envs, mut out) = Script::slots(4);
    envs.step(&[1, 3], Actions::Discrete(&[RUN, TERMINATE]), &mut out).unwrap();
    assert_eq!(out.observations, [1.0, 0.0, 1.0, 1.0, 1.0, 0.0, 2.0, 0.0]);
    assert_eq!(out.terminated, [false, false, false, true]);
    envs.step(&[], Actions::Discrete(&[]), &mut out).unwrap();
    assert_eq!(out.terminated, [false, false, false, true]);
    for active in [&[3, 1][..], &[1, 1], &[4], &[0, u32::MAX]] {
        let actions = vec![RUN; active.len()];
        let error = envs.step(active, Actions::Discrete(&actions), &mut out).unwrap_err();
        assert!(matches!(error, EnvError::InvalidSlots { .. }), "{error}");
    }
}

#[test]
fn errors_name_environment_slot_and_episode() {
    for (action, what) in [
        (NAN_OBSERVATION, "observation[1] is NaN"),
        (INFINITE_REWARD, "reward is inf"),
        (FAIL, "out of luck"),
    ] {
        let (mut envs, mut out) = Script::slots(3);
        envs.step(&[2], Actions::Discrete(&[TERMINATE]), &mut out).unwrap();
        let error = envs.step(&[0, 2], Actions::Discrete(&[RUN, action]), &mut out).unwrap_err();
        assert!(
            matches!(&error, EnvError::Slot { env, slot: 2, seed: 102, episode: 1, .. } if env == "Script-v0"),
            "{error:?}"
        );
        let message = error.to_string();
        for part in ["`Script-v0`", "slot 2", "seed 102", "episode 1", what] {
            assert!(message.contains(part), "{part:?} is not in {message:?}");
        }
    }
}

#[test]
fn wrong_lengths_are_refused() {
    let (mut envs, mut out) = Script::slots(2);
    assert!(envs.step(&[0, 1], Actions::Discrete(&[RUN]), &mut out).is_err());
    assert!(envs.step(&[0, 1], Actions::Box { values: &[0.0; 3], dim: 2 }, &mut out).is_err());
    assert!(envs.step(&[0, 1], Actions::Box { values: &[0.0; 2], dim: 1 }, &mut out).is_err());
    assert!(envs.step(&[0], Actions::Discrete(&[RUN]), &mut StepBuffers::new(1, 2)).is_err());
    assert!(envs.reset(&[1], &mut out.observations).is_err());
    assert!(envs.reset(&[1, 2], &mut [0.0; 3]).is_err());
    assert!(NativeVecEnv::new("none", Vec::new()).is_err());
    let other = relax_envs::make("CartPole-v1", &Default::default()).unwrap();
    assert!(NativeVecEnv::new("mixed", vec![Script::boxed(), other]).is_err());
    let mut fresh = NativeVecEnv::make("CartPole-v1", 1, &MakeOptions::default()).unwrap();
    let error = fresh.step(&[0], Actions::Discrete(&[0]), &mut StepBuffers::new(1, 4)).unwrap_err();
    assert!(error.to_string().contains("reset"), "{error}");
}

#[test]
fn slots_are_gymnasium_episodes_of_their_seeds() {
    let mut envs = NativeVecEnv::make("CartPole-v1", 3, &MakeOptions::default()).unwrap();
    let mut out = StepBuffers::new(3, 4);
    envs.reset(&[5, 6, 7], &mut out.observations).unwrap();
    let mut single = TimeLimit::new(relax_envs::classic::CartPole::new(false), 500).unwrap();
    let (mut rng, mut observation) = (EnvRng::from_seed(6), [0.0; 4]);
    single.reset(&mut rng, &mut observation).unwrap();
    for t in 0..300 {
        assert_eq!(out.observations[4..8], observation);
        let action = t / 3 % 2;
        envs.step(&[0, 1, 2], Actions::Discrete(&[0, action, 1]), &mut out).unwrap();
        let step = single.step(ActionRef::Discrete(action as usize), &mut rng, &mut observation).unwrap();
        assert_eq!((out.terminated[1], out.truncated[1]), (step.terminated, step.truncated));
        if step.ended() {
            assert_eq!(out.final_observations[4..8], observation);
            single.reset(&mut rng, &mut observation).unwrap();
        }
    }
}

fn advance(envs: &mut NativeVecEnv, out: &mut StepBuffers, actions: &mut EnvRng, steps: usize) -> Vec<u64> {
    let mut seen = Vec::new();
    for _ in 0..steps {
        let (discrete, values);
        let batch = match envs.action_space() {
            Space::Discrete { n, .. } => {
                discrete = [0; 3].map(|_| actions.integers(0, *n as i64) as u32);
                Actions::Discrete(&discrete)
            }
            space => {
                let dim = space.size();
                values = (0..3 * dim).map(|_| actions.uniform(-1.0, 1.0) as f32).collect::<Vec<_>>();
                Actions::Box { values: &values, dim }
            }
        };
        envs.step(&[0, 1, 2], batch, out).unwrap();
        seen.extend(out.observations.iter().map(|v| u64::from(v.to_bits())));
        seen.extend(out.rewards.iter().map(|v| v.to_bits()));
        seen.extend(out.truncated.iter().map(|&flag| u64::from(flag)));
    }
    seen
}

#[test]
fn a_saved_state_continues_bit_for_bit() {
    let wrapped = MakeOptions {
        max_episode_steps: Some(40),
        wrappers: vec![
            WrapperConfig::NormalizeObservation {},
            WrapperConfig::NormalizeReward { gamma: 0.9 },
            WrapperConfig::FrameStack { size: 2 },
        ],
        ..MakeOptions::default()
    };
    for id in relax_envs::ids() {
        for options in [MakeOptions::default(), wrapped.clone()] {
            let mut envs = NativeVecEnv::make(&id, 3, &options).unwrap();
            let mut out = StepBuffers::new(3, envs.observation_dim());
            let mut actions = EnvRng::from_seed(9);
            envs.reset(&[1, 2, 3], &mut out.observations).unwrap();
            advance(&mut envs, &mut out, &mut actions, 57);
            let state = envs.save_state().unwrap();
            let text = serde_json::to_string(&state).unwrap();
            let expected = advance(&mut envs, &mut out, &mut actions.clone(), 300);

            let mut copy = NativeVecEnv::make(&id, 3, &options).unwrap();
            copy.load_state(&serde_json::from_str(&text).unwrap()).unwrap();
            assert_eq!(copy.slot_info(1).unwrap().seed, 2);
            assert_eq!(advance(&mut copy, &mut out, &mut actions, 300), expected, "{id}");
            assert_eq!(copy.save_state().unwrap(), envs.save_state().unwrap());
        }
    }
}

#[test]
fn a_refused_state_changes_nothing() {
    let mut envs = NativeVecEnv::make("CartPole-v1", 2, &MakeOptions::default()).unwrap();
    let mut out = StepBuffers::new(2, 4);
    envs.reset(&[1, 2], &mut out.observations).unwrap();
    let good = envs.save_state().unwrap();
    let mut broken = vec![good.clone(); 7];
    broken[0].envs.pop();
    broken[1].envs.push(0.0);
    broken[2].rng.pop();
    broken[3].rng.clear();
    broken[4].envs[9] = f64::NAN;
    *broken[5].rng.last_mut().unwrap() = 2;
    broken[6].rng[12] = 0; // second slot's increment becomes even
    for state in &broken {
        // A valid but different first slot shows whether a refused state leaves traces.
        let mut state = state.clone();
        state.envs[2] = 0.5;
        let error = envs.load_state(&state).unwrap_err();
        assert_eq!(envs.save_state().unwrap(), good, "{error}");
    }
    let (unsupported, _) = Script::slots(2);
    assert!(unsupported.save_state().unwrap_err().to_string().contains("cannot save"));
}

#[test]
fn slots_can_be_reset_one_by_one_with_options() {
    let mut envs = NativeVecEnv::make("CartPole-v1", 3, &MakeOptions::default()).unwrap();
    envs.set_autoreset(false);
    let mut out = StepBuffers::new(3, 4);
    envs.reset(&[0, 1, 2], &mut out.observations).unwrap();
    while !out.terminated.contains(&true) {
        envs.step(&[0, 1, 2], Actions::Discrete(&[1, 0, 1]), &mut out).unwrap();
    }
    let ended = out.terminated.iter().position(|&ended| ended).unwrap() as u32;
    // The last observation is where the next episode's first would be, and the slot stands still.
    let row = 4 * ended as usize..4 * ended as usize + 4;
    assert_eq!(out.observations[row.clone()], out.final_observations[row.clone()]);
    assert!(envs.step(&[ended], Actions::Discrete(&[0]), &mut out).is_err());
    let options =
        Kwargs::from([("low".to_owned(), Kwarg::Float(0.01)), ("high".to_owned(), Kwarg::Float(0.02))]);
    let before = out.observations.clone();
    envs.reset_slots(&[ended], &[None], &options, &mut out.observations).unwrap();
    assert!(out.observations[row.clone()].iter().all(|x| (0.01..=0.02).contains(x)));
    let others = |all: &[f32]| [&all[..row.start], &all[row.end..]].concat();
    assert_eq!(others(&before), others(&out.observations));
    envs.step(&[ended], Actions::Discrete(&[0]), &mut out).unwrap();
    let wrong = Kwargs::from([("lo".to_owned(), Kwarg::Int(1))]);
    let error = envs.reset_slots(&[0], &[None], &wrong, &mut out.observations).unwrap_err().to_string();
    assert!(error.contains("there is no `lo`; there are low, high"), "{error}");
}
