//! Atari games by the emulator's own vector environment, all slots at once.

use relax_envs::gym::GymVecEnv;
use relax_envs::{Actions, MakeOptions, Space, StepBuffers, VecEnv, Vectorization};
use relax_rl::config::Config;
use relax_rl::train::Trainer;

fn pong(slots: usize) -> GymVecEnv {
    crate::python::start();
    GymVecEnv::make("gym:ALE/Pong-v5", slots, &MakeOptions::default()).expect("ale-py is there")
}

/// The observations and rewards of some steps.
fn played(seed: u64, steps: usize) -> (Vec<f32>, Vec<f64>) {
    let mut env = pong(2);
    let mut out = StepBuffers::new(2, env.observation_dim());
    env.reset(&[seed, seed + 1], &mut out.observations).expect("resets");
    let mut rewards = Vec::new();
    for step in 0..steps {
        env.step(&[0, 1], Actions::Discrete(&[(step % 6) as u32, 2]), &mut out).expect("steps");
        rewards.extend(&out.rewards);
    }
    (out.observations, rewards)
}

#[test]
fn a_game_is_known_by_its_name_and_comes_preprocessed() {
    let env = pong(2);
    assert_eq!(env.vectorization(), Vectorization::Vector);
    assert_eq!(env.observation_space().to_string(), "Box(0.0, 255.0, (4, 84, 84), float32)");
    assert_eq!(*env.action_space(), Space::discrete(6));
}

#[test]
fn a_game_repeats_by_its_seed_whatever_its_size() {
    // The emulator takes 31 bits; a run's seeds have 32.
    for seed in [7, (1 << 31) - 1, 4_042_136_752] {
        let (frames, rewards) = played(seed, 80);
        assert_eq!((&frames, &rewards), (&played(seed, 80).0, &played(seed, 80).1), "{seed}");
        assert!(
            frames.iter().any(|&value| value > 1.0)
                && frames.iter().all(|value| (0.0..=255.0).contains(value))
        );
        // A point takes longer to lose than 50 frames of four.
        assert!(rewards.iter().any(|&reward| reward == -1.0), "{seed}: no point is lost");
    }
    assert_ne!(played(7, 80).0, played(8, 80).0);
}

#[test]
fn agents_learn_from_frames() {
    crate::python::start();
    for kind in ["a2c", "relax-a2c"] {
        let text = format!(
            "[env]\nid = 'gym:ALE/Pong-v5'\n[agent]\nkind = '{kind}'\n[rollout]\nenvs = 2\nsteps = 4\n[run]\nenv_steps = 16\n"
        );
        let mut trainer =
            Trainer::new(&Config::from_toml(&text, "test", &[]).expect("is right")).expect("starts");
        let before = trainer.state_hash();
        while !trainer.is_over() {
            trainer.step().expect("learns");
        }
        assert_ne!(trainer.state_hash(), before);
        let action = trainer.predict(&[0.0; 4 * 84 * 84]).expect("acts");
        assert!(matches!(action, relax_envs::Action::Discrete(0..6)));
    }
}

#[test]
fn what_is_shown_is_what_agents_see() {
    let shown = std::process::Command::new(env!("CARGO_BIN_EXE_relax"))
        .args(["envs", "show", "gym:ALE/Pong-v5"])
        .env("RELAX_PYTHON", crate::python::python())
        .output()
        .expect("runs");
    let text = String::from_utf8_lossy(&shown.stdout);
    assert!(text.contains("Box(0.0, 255.0, (4, 84, 84), float32)"), "{text}");
}
