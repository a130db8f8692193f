//! The bridge beyond parity: spaces, autoreset modes, wrappers and arguments, and what it says when something is missing.

use relax_envs::gym::GymVecEnv;
use relax_envs::{
    Actions, EnvError, Kwarg, Kwargs, MakeOptions, Space, StepBuffers, VecEnv, Vectorization, WrapperConfig,
};

/// Makes one of the tests' own environments.
fn make(name: &str, slots: usize, options: MakeOptions) -> Result<GymVecEnv, EnvError> {
    crate::python::start();
    GymVecEnv::make(&format!("gym:bridge_envs:{name}-v0"), slots, &options)
}

fn kwargs(pairs: &[(&str, Kwarg)]) -> Kwargs {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
}

fn spaces(observation: &str, action: &str, kind: Vectorization) -> Result<GymVecEnv, EnvError> {
    let text = |value: &str| Kwarg::String(value.to_owned());
    let kwargs = kwargs(&[("observation", text(observation)), ("action", text(action))]);
    make("Spaces", 2, MakeOptions { kwargs, vectorization: Some(kind), ..MakeOptions::default() })
}

#[test]
fn observations_of_every_space_arrive_flattened() {
    for (name, space, expected) in [
        ("box64", "Box(-10.0, 10.0, (2, 2), float32)", vec![1.0, -2.0, 3.5, 0.1]),
        ("image", "Box(0.0, 255.0, (2, 3, 1), float32)", vec![250.0, 251.0, 252.0, 253.0, 254.0, 255.0]),
        ("int", "Box(-5.0, 5.0, (3,), float32)", vec![-5.0, 0.0, 4.0]),
        ("discrete", "Discrete(4, start=2)", vec![0.0, 0.0, 1.0, 0.0]),
        ("multi-discrete", "MultiDiscrete([2 3])", vec![0.0, 1.0, 0.0, 0.0, 1.0]),
        ("multi-binary", "MultiBinary(3)", vec![1.0, 0.0, 1.0]),
        // Gymnasium sorts the keys of a Dict.
        ("dict", "Box(0.0, [9. 9. 1. 1.], (4,), float32)", vec![7.0, 8.0, 0.0, 1.0]),
        ("tuple", "Box(0.0, [1. 1. 9.], (3,), float32)", vec![0.0, 1.0, 6.0]),
    ] {
        for kind in [Vectorization::Sync, Vectorization::Async] {
            let mut env = spaces(name, "discrete", kind).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(env.observation_space().to_string(), space, "{name}");
            let mut out = StepBuffers::new(2, env.observation_dim());
            env.reset(&[0, 1], &mut out.observations).expect("resets");
            let twice = [expected.clone(), expected.clone()].concat();
            assert_eq!(out.observations, twice, "{name}: reset");
            out.observations.fill(0.0);
            env.step(&[0, 1], Actions::Discrete(&[0, 2]), &mut out).expect("steps");
            assert_eq!(out.observations, twice, "{name}: step");
            assert_eq!(out.rewards, [-1.0, 1.0], "{name}: Discrete(3, start=-1)");
        }
    }
}

#[test]
fn actions_of_every_space_reach_the_environment() {
    let box_of = |values: &'static [f32]| Actions::Box { values, dim: values.len() / 2 };
    for (name, actions, expected) in [
        ("box", box_of(&[0.5, 0.25, -1.0, 1.0]), [0.75, 0.0]),
        ("box64", box_of(&[0.5, 0.25, -1.0, 1.0]), [0.75, 0.0]),
        ("int", box_of(&[2.0, 3.0, -4.0, 1.0]), [5.0, -3.0]),
        ("dict", box_of(&[0.5, 1.0, 2.0, -0.5, 0.0, 8.0]), [3.5, 7.5]),
        ("multi-discrete", Actions::MultiDiscrete { values: &[0, 1, 2, 3], dim: 2 }, [31.0, 35.0]),
        (
            "multi-binary",
            Actions::MultiBinary { values: &[true, false, true, false, false, false], dim: 3 },
            [2.0, 0.0],
        ),
    ] {
        for kind in [Vectorization::Sync, Vectorization::Async] {
            let mut env = spaces("int", name, kind).unwrap_or_else(|error| panic!("{name}: {error}"));
            let mut out = StepBuffers::new(2, 3);
            env.reset(&[0, 1], &mut out.observations).expect("resets");
            env.step(&[0, 1], actions, &mut out).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(out.rewards, expected, "{name}");
        }
    }
}

#[test]
fn other_spaces_are_refused_by_name() {
    for (observation, action, shown) in [
        ("text", "discrete", "the observation space Text("),
        ("sequence", "discrete", "the observation space Sequence("),
        ("nested", "discrete", "Graph("),
        ("int", "mixed", "the action space Tuple(Discrete(2), Box("),
    ] {
        let error = spaces(observation, action, Vectorization::Sync).err().expect(observation).to_string();
        assert!(error.contains(shown) && error.contains("is not supported"), "{error}");
    }
}

#[test]
fn wrong_actions_are_refused_before_python_sees_them() {
    let mut env = spaces("int", "discrete", Vectorization::Sync).expect("makes");
    let mut out = StepBuffers::new(2, 3);
    let needs_reset = env.step(&[0, 1], Actions::Discrete(&[0, 0]), &mut out).expect_err("not reset");
    assert!(needs_reset.to_string().contains("reset() first"), "{needs_reset}");
    env.reset(&[0, 1], &mut out.observations).expect("resets");
    for (active, actions) in [
        (&[0, 1][..], Actions::Discrete(&[0, 3])),
        (&[0, 1], Actions::Discrete(&[0])),
        (&[0, 1], Actions::Box { values: &[0.0, 0.0], dim: 1 }),
        (&[1, 0], Actions::Discrete(&[0, 0])),
        (&[0, 2], Actions::Discrete(&[0, 0])),
    ] {
        assert!(env.step(active, actions, &mut out).is_err(), "{active:?} {actions:?}");
    }
}

#[test]
fn some_slots_can_stand_still() {
    for kind in [Vectorization::Sync, Vectorization::Async] {
        let mut env = make("Count", 3, options(kind)).expect("makes");
        let mut out = StepBuffers::new(3, 2);
        env.reset(&[0, 1, 2], &mut out.observations).expect("resets");
        for _ in 0..2 {
            env.step(&[0, 2], Actions::Discrete(&[0, 0]), &mut out).expect("steps");
        }
        assert_eq!(out.observations, [2.0, 1.0, 0.0, 1.0, 2.0, 1.0]);
    }
}

fn options(kind: Vectorization) -> MakeOptions {
    MakeOptions { vectorization: Some(kind), ..MakeOptions::default() }
}

/// One transition: observation, reward, what follows, whether it ended and how.
type Transition = ([f32; 2], f64, [f32; 2], bool, bool);

/// The first `count` transitions of every slot, waiting slots left out as a caller must.
fn transitions(env: &mut GymVecEnv, count: usize) -> Vec<Vec<Transition>> {
    let slots = env.slots();
    let mut found = vec![Vec::new(); slots];
    let mut out = StepBuffers::new(slots, 2);
    env.reset(&vec![0; slots], &mut out.observations).expect("resets");
    while found.iter().any(|slot| slot.len() < count) {
        let active: Vec<u32> = (0..slots as u32).filter(|&slot| !env.waits(slot as usize)).collect();
        let before = out.observations.clone();
        env.step(&active, Actions::Discrete(&vec![0; active.len()]), &mut out).expect("steps");
        for &slot in &active {
            let slot = slot as usize;
            let row = |all: &[f32]| [all[2 * slot], all[2 * slot + 1]];
            let ended = out.terminated[slot] || out.truncated[slot];
            let after = row(if ended { &out.final_observations } else { &out.observations });
            found[slot].push((
                row(&before),
                out.rewards[slot],
                after,
                out.terminated[slot],
                out.truncated[slot],
            ));
        }
    }
    found.iter_mut().for_each(|slot| slot.truncate(count));
    found
}

#[test]
fn every_autoreset_mode_gives_the_same_transitions() {
    for truncates in [false, true] {
        let made = |name: &str, kind| {
            let kwargs = kwargs(&[("truncates", Kwarg::Bool(truncates))]);
            make(name, 3, MakeOptions { kwargs, ..options(kind) }).expect(name)
        };
        // A vector environment is seeded once, with 0 for slot 0, 1 for slot 1, …; the others are seeded alike here.
        let mut same = made("CountSameStep", Vectorization::Vector);
        let expected = transitions(&mut same, 60);
        for (t, transition) in expected[0].iter().enumerate() {
            let (before, reward, after, ..) = transition;
            assert_eq!(
                (after[0], after[1], *reward),
                (before[0] + 1.0, before[1], 1.0),
                "{t}: {transition:?}"
            );
        }
        let ends = |slot: &[Transition]| slot.iter().filter(|one| one.3 || one.4).count();
        assert!(expected.iter().all(|slot| ends(slot) >= 5));
        assert_eq!(expected[0].iter().any(|one| one.4), truncates);
        for name in ["CountNextStep", "CountDisabled"] {
            let mut env = made(name, Vectorization::Vector);
            assert_eq!(transitions(&mut env, 60), expected, "{name}");
        }
        let mut sync = made("Count", Vectorization::Sync);
        assert_eq!(transitions(&mut sync, 60)[0], expected[0]);
        let mut subprocesses = made("Count", Vectorization::Async);
        assert_eq!(transitions(&mut subprocesses, 60)[0], expected[0]);
    }
}

#[test]
fn a_waiting_slot_cannot_act() {
    let mut env = make("CountNextStep", 1, options(Vectorization::Auto)).expect("makes");
    assert_eq!(env.vectorization(), Vectorization::Vector);
    let mut out = StepBuffers::new(1, 2);
    env.reset(&[0], &mut out.observations).expect("resets");
    while !env.waits(0) {
        env.step(&[0], Actions::Discrete(&[0]), &mut out).expect("steps");
    }
    assert!(env.step(&[0], Actions::Discrete(&[0]), &mut out).is_err());
    env.step(&[], Actions::Discrete(&[]), &mut out).expect("starts the next episode");
    assert_eq!(out.observations, [0.0, 2.0]);
}

#[test]
fn an_environment_may_keep_its_last_action() {
    for kind in [Vectorization::Sync, Vectorization::Async] {
        let mut env = make("Keeper", 1, options(kind)).expect("makes");
        let mut out = StepBuffers::new(1, 2);
        env.reset(&[0], &mut out.observations).expect("resets");
        for (action, change) in [(0.5, 0.5), (0.75, 0.25), (-0.25, -1.0)] {
            env.step(&[0], Actions::Box { values: &[action], dim: 1 }, &mut out).expect("steps");
            assert_eq!(out.rewards, [change]);
        }
    }
}

#[test]
fn wrappers_limits_and_arguments_are_passed_on() {
    let clip = WrapperConfig::Gymnasium {
        wrapper: "ClipReward".to_owned(),
        kwargs: kwargs(&[("max_reward", Kwarg::Float(0.25))]),
    };
    let options = MakeOptions {
        kwargs: kwargs(&[("start", Kwarg::Int(100))]),
        max_episode_steps: Some(4),
        wrappers: vec![clip, WrapperConfig::FrameStack { size: 2 }],
        ..options(Vectorization::Sync)
    };
    let mut env = make("Count", 1, options).expect("makes");
    assert_eq!(env.observation_space().shape(), [2, 2]);
    let mut out = StepBuffers::new(1, 4);
    env.reset(&[0], &mut out.observations).expect("resets");
    for t in 1..=4 {
        env.step(&[0], Actions::Discrete(&[0]), &mut out).expect("steps");
        assert_eq!((out.rewards[0], out.truncated[0]), (0.25, t == 4));
    }
    assert_eq!(out.final_observations, [3.0, 1.0, 4.0, 1.0]);

    let unknown = WrapperConfig::Gymnasium { wrapper: "NoSuch".to_owned(), kwargs: Kwargs::new() };
    let options = MakeOptions { wrappers: vec![unknown], ..MakeOptions::default() };
    let error = make("Count", 1, options).err().expect("refused").to_string();
    assert!(error.starts_with("there is no wrapper NoSuch"), "{error}");
}

#[test]
fn what_is_missing_is_said_in_a_sentence_with_the_pip_line() {
    for (name, expected) in [
        ("Nope", "Gymnasium does not know bridge_envs:Nope-v0: Environment `Nope` doesn't exist"),
        ("Needy", "needs the Python module a_package_that_nobody_has, which is not there; `"),
    ] {
        let error = make(name, 1, MakeOptions::default()).err().expect(name).to_string();
        assert!(error.contains(expected) && error.lines().count() == 1, "{error}");
        assert!(
            name == "Nope" || error.contains("python -m pip install a_package_that_nobody_has"),
            "{error}"
        );
    }
    let kwargs = kwargs(&[("colour", Kwarg::Bool(true))]);
    let error = make("Count", 1, MakeOptions { kwargs, ..MakeOptions::default() }).err().expect("refused");
    assert!(error.to_string().contains("unexpected keyword argument 'colour'; see env.kwargs"), "{error}");
    let error = make("Count", 1, options(Vectorization::Vector)).err().expect("refused").to_string();
    assert!(error.contains("has no vector entry point; set env.vectorization"), "{error}");
}

#[test]
fn spaces_print_as_gymnasium_prints_them() {
    let env = make("Count", 1, MakeOptions::default()).expect("makes");
    assert_eq!(env.action_space(), &Space::discrete(2));
    assert_eq!(env.observation_space().to_string(), "Box(0.0, 1000000.0, (2,), float32)");
}
