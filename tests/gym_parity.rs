//! The bridge steps exactly as a plain Python loop does, and native environments exactly as Gymnasium's: observations,
//! rewards, flags and resets, bit for bit, over 20 seeds × 200 random steps.

use std::process::Command;

use relax_envs::gym::GymVecEnv;
use relax_envs::wrappers::Bins;
use relax_envs::{
    Actions, MakeOptions, NativeVecEnv, Space, StepBuffers, VecEnv, Vectorization, WrapperConfig,
};

const SEEDS: usize = 20;
const STEPS: usize = 200;

/// What a plain loop saw.
struct Reference {
    first: Vec<f32>,
    discrete: Vec<u32>,
    continuous: Vec<f32>,
    after: Vec<f32>,
    last: Vec<f32>,
    rewards: Vec<f64>,
    flags: Vec<u8>,
}

/// Runs the plain loop in a Python of its own.
fn reference(id: &str, discrete: bool, extra: &[&str]) -> Reference {
    let folder = tempfile::tempdir().expect("a folder");
    let status = Command::new(crate::python::python())
        .arg(crate::python::modules().join("reference.py"))
        .args([id, &SEEDS.to_string(), &STEPS.to_string()])
        .arg(folder.path())
        .args(extra)
        .status()
        .expect("Python starts");
    assert!(status.success(), "{id}");
    let bytes = |name: &str| std::fs::read(folder.path().join(name)).expect(name);
    let f32s = |name: &str| -> Vec<f32> {
        bytes(name).as_chunks().0.iter().map(|word| f32::from_le_bytes(*word)).collect()
    };
    Reference {
        first: f32s("first"),
        discrete: if discrete {
            bytes("actions").as_chunks().0.iter().map(|word| i64::from_le_bytes(*word) as u32).collect()
        } else {
            Vec::new()
        },
        continuous: if discrete { Vec::new() } else { f32s("actions") },
        after: f32s("after"),
        last: f32s("final"),
        rewards: bytes("rewards").as_chunks().0.iter().map(|word| f64::from_le_bytes(*word)).collect(),
        flags: bytes("flags"),
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Replays the reference's actions; returns the number of episodes that ended.
fn replay(env: &mut dyn VecEnv, expected: &Reference) -> usize {
    let (dim, name) = (env.observation_dim(), env.env_id().to_owned());
    let seeds: Vec<u64> = (0..SEEDS as u64).collect();
    let all: Vec<u32> = (0..SEEDS as u32).collect();
    let mut out = StepBuffers::new(SEEDS, dim);
    env.reset(&seeds, &mut out.observations).expect("resets");
    assert_eq!(bits(&out.observations), bits(&expected.first), "{name}: first observations");
    let mut ends = 0;
    for t in 0..STEPS {
        let rows = t * SEEDS..(t + 1) * SEEDS;
        let wide = |width: usize| rows.start * width..rows.end * width;
        let active: Vec<u32> = all.iter().copied().filter(|&slot| !env.waits(slot as usize)).collect();
        let picked: Vec<u32>;
        let actions = if expected.discrete.is_empty() {
            let k = expected.continuous.len() / (SEEDS * STEPS);
            Actions::Box { values: &expected.continuous[wide(k)], dim: k }
        } else {
            picked = active.iter().map(|&slot| expected.discrete[rows.start + slot as usize]).collect();
            Actions::Discrete(&picked)
        };
        env.step(&active, actions, &mut out).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(bits(&out.observations), bits(&expected.after[wide(dim)]), "{name}: step {t}");
        for &slot in &active {
            let slot = slot as usize;
            let row = rows.start + slot;
            let flags = [u8::from(out.terminated[slot]), u8::from(out.truncated[slot])];
            assert_eq!(flags, expected.flags[2 * row..2 * row + 2], "{name}: step {t}, slot {slot}");
            assert_eq!(
                out.rewards[slot].to_bits(),
                expected.rewards[row].to_bits(),
                "{name}: step {t}, slot {slot}"
            );
            if flags != [0, 0] {
                ends += 1;
                let last = &out.final_observations[slot * dim..(slot + 1) * dim];
                assert_eq!(bits(last), bits(&expected.last[row * dim..(row + 1) * dim]), "{name}: step {t}");
            }
        }
    }
    ends
}

fn options(vectorization: Vectorization) -> MakeOptions {
    MakeOptions { vectorization: Some(vectorization), ..MakeOptions::default() }
}

fn check(id: &str, discrete: bool, native: bool, least_ends: usize) {
    crate::python::start();
    let expected = reference(id, discrete, &[]);
    let mut bridged =
        GymVecEnv::make(&format!("gym:{id}"), SEEDS, &options(Vectorization::Sync)).expect("makes");
    let ends = replay(&mut bridged, &expected);
    assert!(ends >= least_ends, "{id}: only {ends} episodes ended");
    if native {
        let mut native = NativeVecEnv::make(id, SEEDS, &MakeOptions::default()).expect("makes");
        assert_eq!(replay(&mut native, &expected), ends, "{id}: native");
    }
}

#[test]
fn cart_pole() {
    check("CartPole-v1", true, true, 100);
}

#[test]
fn acrobot() {
    check("Acrobot-v1", true, true, 0);
}

#[test]
fn mountain_car() {
    check("MountainCar-v0", true, true, SEEDS);
}

#[test]
fn mountain_car_continuous() {
    check("MountainCarContinuous-v0", false, true, 0);
}

#[test]
fn pendulum() {
    check("Pendulum-v1", false, true, SEEDS);
}

#[test]
fn inverted_pendulum() {
    check("InvertedPendulum-v5", false, false, 100);
}

#[test]
fn half_cheetah() {
    check("HalfCheetah-v5", false, false, 0);
}

#[test]
fn lunar_lander() {
    check("LunarLander-v3", true, false, 20);
}

#[test]
fn subprocesses_step_as_a_plain_loop_does() {
    crate::python::start();
    let expected = reference("LunarLander-v3", true, &[]);
    let mut env =
        GymVecEnv::make("gym:LunarLander-v3", SEEDS, &options(Vectorization::Async)).expect("makes");
    assert_eq!(env.process_ids().len(), SEEDS);
    assert!(replay(&mut env, &expected) >= 20);
}

#[test]
fn a_vector_entry_point_steps_as_its_own_loop_does() {
    crate::python::start();
    let expected = reference("CartPole-v1", true, &["vector"]);
    let mut env = GymVecEnv::make("gym:CartPole-v1", SEEDS, &options(Vectorization::Vector)).expect("makes");
    assert!(replay(&mut env, &expected) >= 100);
}

#[test]
fn the_comparison_can_fail() {
    crate::python::start();
    let mut expected = reference("CartPole-v1", true, &[]);
    let last = expected.after.len() - 1;
    expected.after[last] = f32::from_bits(expected.after[last].to_bits() ^ 1);
    let mut env = GymVecEnv::make("gym:CartPole-v1", SEEDS, &options(Vectorization::Sync)).expect("makes");
    let replayed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| replay(&mut env, &expected)));
    assert!(replayed.is_err(), "one wrong bit in the last step was not noticed");
}

/// Where a limit is known without Python it is Python's, whatever is built in.
#[test]
fn known_limits_are_gymnasiums() {
    let code = "import gymnasium\nfor id, spec in gymnasium.registry.items():\n    if '/' not in id: print(id, spec.max_episode_steps)";
    let output = Command::new(crate::python::python()).args(["-c", code]).output().expect("Python starts");
    assert!(output.status.success());
    let mut limited = 0;
    for line in String::from_utf8(output.stdout).expect("text").lines() {
        let (id, limit) = line.split_once(' ').expect("two words");
        let limit: Option<u32> = limit.parse().ok();
        assert_eq!(relax_envs::known_limit(&format!("gym:{id}")), limit, "{id}");
        limited += u32::from(limit.is_some());
    }
    assert!(limited > 30, "{limited}");
}

#[test]
fn choices_in_place_of_numbers_are_gymnasiums() {
    for (bins, multidiscrete) in [(Bins::All(7), false), (Bins::Each(vec![10]), true)] {
        let wrapper = WrapperConfig::DiscretizeAction { bins, multidiscrete };
        let options = MakeOptions { wrappers: vec![wrapper], ..options(Vectorization::Sync) };
        let mut ours = NativeVecEnv::make("Pendulum-v1", 2, &options).expect("native");
        let mut theirs = GymVecEnv::make("gym:Pendulum-v1", 2, &options).expect("Gymnasium's");
        // The bridge makes one choice of a MultiDiscrete that has one.
        assert_eq!(ours.action_space().choices(), theirs.action_space().choices());
        let mut after = [StepBuffers::new(2, 3), StepBuffers::new(2, 3)];
        let envs: [&mut dyn VecEnv; 2] = [&mut ours, &mut theirs];
        for (env, out) in envs.into_iter().zip(&mut after) {
            let mut seen = Vec::new();
            env.reset(&[1, 2], &mut out.observations).expect("resets");
            for t in 0..100 {
                let choices: [u32; 2] = [t % 7, (t / 3) % 7];
                let actions = match env.action_space() {
                    Space::MultiDiscrete { .. } => {
                        Actions::MultiDiscrete { values: &choices.map(|choice| choice as usize), dim: 1 }
                    }
                    _ => Actions::Discrete(&choices),
                };
                env.step(&[0, 1], actions, out).expect("steps");
                seen.extend(bits(&out.observations));
            }
            out.final_observations = seen.into_iter().map(f32::from_bits).collect();
        }
        let [ours, theirs] = after.map(|out| bits(&out.final_observations));
        assert_eq!(ours, theirs);
    }
}
