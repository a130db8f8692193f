//! The worlds beside Gymnasium's in a Python of their own: 20 seeds × 200 random steps of each, compared step by step.
//!
//! They need the environment that `scripts/setup-python` makes, and are run by
//! `cargo test --release -p relax-envs --features mujoco,box2d --test main live -- --ignored --nocapture`.

use std::path::{Path, PathBuf};
use std::process::Command;

use relax_envs::{Actions, MakeOptions, NativeVecEnv, Space, StepBuffers, VecEnv};

const SEEDS: usize = 20;
const STEPS: usize = 200;

/// What a plain loop in Python saw, step-major: `[STEPS, SEEDS, …]`.
struct Reference {
    first: Vec<f32>,
    discrete: Vec<u32>,
    continuous: Vec<f32>,
    /// What to act on next, which after an end is the next episode's first observation.
    after: Vec<f32>,
    /// What the step returned.
    last: Vec<f32>,
    rewards: Vec<f64>,
    flags: Vec<u8>,
}

fn reference(id: &str) -> Reference {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let own = root.join(".venv/bin/python");
    let python = std::env::var_os("RELAX_PYTHON").map_or(own, PathBuf::from);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("live-{id}"));
    std::fs::create_dir_all(&folder).unwrap();
    let run = Command::new(&python)
        .arg(root.join("tests/python/reference.py"))
        .args([id, &SEEDS.to_string(), &STEPS.to_string()])
        .arg(&folder)
        .current_dir(&folder)
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}; run scripts/setup-python first", python.display()));
    assert!(run.status.success(), "{id}: {}", String::from_utf8_lossy(&run.stderr));
    let bytes = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let f32s = |name: &str| -> Vec<f32> {
        bytes(name).as_chunks().0.iter().map(|word| f32::from_le_bytes(*word)).collect()
    };
    // Indices are written as 64-bit integers, values as float32.
    let wide = bytes("actions").len() == SEEDS * STEPS * 8;
    let discrete =
        matches!(relax_envs::make(id, &Default::default()).unwrap().action_space(), Space::Discrete { .. });
    assert!(wide || !discrete, "{id}");
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

/// What a comparison found.
#[derive(Debug, Default, PartialEq)]
struct Found {
    /// The largest difference of a first observation.
    first: f64,
    /// Steps whose observations, reward and flags are the same bits.
    equal: usize,
    /// Ends of episodes in the reference.
    ends: usize,
    /// Steps with another end than the reference's.
    wrong_ends: usize,
    /// The largest difference of an observation, of the steps whose ends have agreed so far in their slot.
    largest: f64,
}

fn compare(id: &str) -> Found {
    let expected = reference(id);
    let mut envs = NativeVecEnv::make(id, SEEDS, &MakeOptions::default()).unwrap();
    let dim = envs.observation_dim();
    let (seeds, all): (Vec<u64>, Vec<u32>) = ((0..SEEDS as u64).collect(), (0..SEEDS as u32).collect());
    let mut out = StepBuffers::new(SEEDS, dim);
    envs.reset(&seeds, &mut out.observations).unwrap();
    let difference = |(a, b): (&f32, &f32)| f64::from((a - b).abs());
    let first = out.observations.iter().zip(&expected.first).map(difference).fold(0.0, f64::max);
    let (mut found, mut apart) = (Found { first, largest: first, ..Found::default() }, [false; SEEDS]);
    let width = expected.continuous.len() / (SEEDS * STEPS);
    for t in 0..STEPS {
        let rows = t * SEEDS..(t + 1) * SEEDS;
        let actions = if expected.discrete.is_empty() {
            let values = &expected.continuous[rows.start * width..rows.end * width];
            Actions::Box { values, dim: width }
        } else {
            Actions::Discrete(&expected.discrete[rows.clone()])
        };
        envs.step(&all, actions, &mut out).unwrap_or_else(|error| panic!("{id}: {error}"));
        for (slot, apart) in apart.iter_mut().enumerate() {
            let row = rows.start + slot;
            let flags = [u8::from(out.terminated[slot]), u8::from(out.truncated[slot])];
            let ended = expected.flags[2 * row..2 * row + 2] != [0, 0];
            found.ends += usize::from(ended);
            if flags != expected.flags[2 * row..2 * row + 2] {
                found.wrong_ends += usize::from(!*apart);
                *apart = true;
            }
            if *apart {
                continue;
            }
            let of = |values: &[f32], row: usize| values[row * dim..(row + 1) * dim].to_vec();
            let mut pairs = vec![(of(&out.observations, slot), of(&expected.after, row))];
            if ended {
                pairs.push((of(&out.final_observations, slot), of(&expected.last, row)));
            }
            let error = pairs
                .iter()
                .flat_map(|(seen, wanted)| seen.iter().zip(wanted))
                .map(difference)
                .fold(0.0, f64::max);
            found.largest = found.largest.max(error);
            let same_reward = out.rewards[slot].to_bits() == expected.rewards[row].to_bits();
            found.equal += usize::from(error == 0.0 && same_reward);
        }
    }
    println!("{id}: {found:?}");
    found
}

fn exact(id: &str, least_ends: usize) {
    let found = compare(id);
    assert_eq!((found.equal, found.wrong_ends, found.largest), (SEEDS * STEPS, 0, 0.0), "{id}");
    assert!(found.ends >= least_ends, "{id}: only {} episodes ended", found.ends);
}

#[test]
#[ignore = "needs the Python of scripts/setup-python"]
fn grids() {
    for (id, least_ends) in [
        ("MiniGrid-Empty-5x5-v0", 20),
        ("MiniGrid-Empty-Random-6x6-v0", 20),
        ("MiniGrid-Empty-8x8-v0", 1),
        ("MiniGrid-DoorKey-5x5-v0", 0),
        ("MiniGrid-DoorKey-16x16-v0", 0),
        ("MiniGrid-FourRooms-v0", 20),
        ("MiniGrid-LavaCrossingS9N1-v0", 1),
        ("MiniGrid-LavaCrossingS9N3-v0", 1),
        ("MiniGrid-SimpleCrossingS11N5-v0", 0),
    ] {
        exact(id, least_ends);
    }
}

#[cfg(feature = "mujoco")]
#[test]
#[ignore = "needs the Python of scripts/setup-python"]
fn mujoco() {
    for (id, least_ends) in [
        ("HalfCheetah-v5", 0),
        ("Hopper-v5", 100),
        ("Walker2d-v5", 100),
        ("Swimmer-v5", 0),
        ("InvertedPendulum-v5", 100),
        ("InvertedDoublePendulum-v5", 100),
        ("Reacher-v5", 80),
        ("Ant-v5", 1),
        ("Humanoid-v5", 100),
    ] {
        exact(id, least_ends);
    }
}

#[cfg(feature = "box2d")]
#[test]
#[ignore = "needs the Python of scripts/setup-python"]
fn box2d() {
    for id in ["LunarLander-v3", "LunarLanderContinuous-v3"] {
        let found = compare(id);
        assert!(found.ends >= 20, "{id}: only {} episodes ended", found.ends);
        assert_eq!((found.first, found.wrong_ends), (0.0, 0), "{id}");
        // In contacts Gymnasium's wheel of Box2D rounds otherwise: 1.4e-4 was measured.
        assert!(found.largest < 2e-4, "{id}: {}", found.largest);
    }
    // The walker starts on its feet, so that its very first step has contacts: 2.4e-7 was measured. Such a difference grows
    // from step to step, and later ones cannot be compared.
    let found = compare("BipedalWalker-v3");
    assert!(found.first < 1e-6, "BipedalWalker-v3: {}", found.first);
}
