//! What is fed with anything: each function takes bytes that may be damaged, hostile or nonsense, and must neither panic nor take
//! memory that the bytes do not pay for. What it returns (an error, mostly) is of no interest.
//!
//! They take bytes and nothing else, as libFuzzer's targets do.

use std::cell::RefCell;
use std::fs;
use std::path::PathBuf;

use relax_agents::{ActingPolicy, ActingScratch, PolicyCard, agent_names};
use relax_envs::{Action, Env, EnvRng, Kwargs, Space};
use relax_latent::data::{Idx, omniglot};
use relax_latent::task::VaeConfig;
use relax_nn::{StateDict, StateTensor};
use relax_rl::cluster::{Learner, rollout};
use relax_runtime::checkpoint;
use relax_runtime::sealed::{Format, decode, encode};
use relax_training::Config;
use relax_training::train::Trainer;
use sha2::{Digest, Sha256};

/// A target's name and its function.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 11] = [
    ("checkpoint", checkpoint_file),
    ("restore", restored_state),
    ("training_toml", training_toml),
    ("recorded_toml", recorded_toml),
    ("vae_toml", vae_toml),
    ("overrides", overrides),
    ("idx", idx_file),
    ("zip", zip_files),
    ("policy", policy_message),
    ("environment", environment_state),
    ("message", cluster_message),
];

/// A folder of this thread, deleted with it.
fn folder() -> PathBuf {
    thread_local! {
        static FOLDER: tempfile::TempDir = {
            // In memory, if there is such a place.
            let memory = std::path::Path::new("/dev/shm");
            if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.expect("a temporary folder")
        };
    }
    FOLDER.with(|folder| folder.path().to_owned())
}

/// `data` as the file `name`.
fn file(name: &str, data: &[u8]) -> PathBuf {
    let path = folder().join(name);
    fs::write(&path, data).expect("a file");
    path
}

/// A checkpoint: as it is, and once more with a checksum that is right, so that what lies behind it is reached.
pub fn checkpoint_file(data: &[u8]) {
    let _ = checkpoint::load(&file("x.safetensors", data));
    if let Some(sealed) = sealed(data)
        && let Ok((header, state)) = checkpoint::load(&file("x.safetensors", &sealed))
    {
        // What was read can be written, and is read again.
        let path = folder().join("again.safetensors");
        checkpoint::save(&path, &header, &state).expect("what was read can be written");
        let (again, _) = checkpoint::load(&path).expect("what was written can be read");
        assert_eq!(again.config, header.config);
    }
}

/// The checkpoint with the checksum that its content has, if it has a place for one.
fn sealed(data: &[u8]) -> Option<Vec<u8>> {
    const DIGITS: usize = 64;
    let key = b"\"sha256\":\"";
    let at = data.windows(key.len()).position(|window| window == key)? + key.len();
    let mut bytes = data.to_vec();
    bytes.get_mut(at..at + DIGITS)?.fill(b'0');
    let digest: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    bytes[at..at + DIGITS].copy_from_slice(digest.as_bytes());
    Some(bytes)
}

/// Takes numbers off the front of `data`; 0 when there is nothing left.
struct Source<'a>(&'a [u8]);

impl Source<'_> {
    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    fn number(&mut self) -> u64 {
        (0..8).fold(0, |number, _| number << 8 | u64::from(self.byte()))
    }
}

/// A trainer of each agent, and a state that it has been in.
fn trainers() -> Vec<(Trainer, StateDict)> {
    let made = |kind: &str, env: &str| {
        let text = format!(
            "[env]\nid = '{env}'\n[agent]\nkind = '{kind}'\nhidden = [3]\n[rollout]\nenvs = 2\nsteps = 4\nworkers = 0\n[run]\nenv_steps = 40\n"
        );
        // The first are those that have a replay: small, so that a state is.
        let small =
            ["learner.replay.capacity=20", "learner.replay.batch_size=2", "learner.replay.warm_up_steps=4"];
        let with: Vec<String> = small.iter().map(|&set| set.to_owned()).collect();
        let config = Config::from_toml(&text, "fuzz", &with)
            .or_else(|_| Config::from_toml(&text, "fuzz", &[]))
            .ok()?;
        let mut trainer = Trainer::new(&config).ok()?;
        trainer.step().ok()?;
        trainer.step().ok()?;
        let state = trainer.state().ok()?;
        Some((trainer, state))
    };
    let made: Vec<_> = agent_names()
        .into_iter()
        .filter_map(|kind| made(kind, "CartPole-v1").or_else(|| made(kind, "Pendulum-v1")))
        .collect();
    assert!(made.len() >= 6, "every agent of this project has a trainer");
    made
}

/// The state of a run, some of its arrays changed: restoring refuses it, or takes it, and then the run can go on or says why not.
pub fn restored_state(data: &[u8]) {
    thread_local! {
        static TRAINERS: RefCell<Vec<(Trainer, StateDict)>> = RefCell::new(trainers());
    }
    TRAINERS.with_borrow_mut(|trainers| {
        let mut source = Source(data);
        let which = usize::from(source.byte()) % trainers.len();
        let (trainer, good) = &mut trainers[which];
        let names: Vec<String> = good.iter().map(|(name, _)| name.to_owned()).collect();
        let mut state = StateDict::new();
        let wrong: Vec<usize> =
            (0..=source.byte() % 3).map(|_| usize::from(source.byte()) % names.len()).collect();
        for (index, (name, tensor)) in good.iter().enumerate() {
            if wrong.contains(&index) {
                if let Some(tensor) = changed(tensor, &mut source) {
                    state.insert(name, tensor);
                }
            } else {
                state.insert(name, tensor.clone());
            }
        }
        if trainer.restore(&state).is_ok() && !trainer.is_over() && source.byte() % 4 == 0 {
            let _ = trainer.step();
        }
        trainer.restore(good).expect("its own state");
    });
}

/// Another array in its place, or none.
fn changed(tensor: &StateTensor, source: &mut Source<'_>) -> Option<StateTensor> {
    let how = source.byte();
    let at = source.byte();
    let word = source.number();
    let resized = |len: usize| match at % 4 {
        0 => len.saturating_sub(1),
        1 => len + 1,
        2 => 0,
        _ => usize::from(at),
    };
    Some(match (how % 8, tensor.clone()) {
        (0, _) => return None,
        (1, StateTensor::F32 { data, .. }) => StateTensor::F64(data.iter().map(|&x| x.into()).collect()),
        (1, StateTensor::F64(data)) => StateTensor::U64(data.iter().map(|x| x.to_bits()).collect()),
        (1, StateTensor::U64(data)) => StateTensor::F64(data.iter().map(|&x| f64::from_bits(x)).collect()),
        (1, StateTensor::U8(data)) => StateTensor::U64(data.iter().map(|&x| x.into()).collect()),
        (2, StateTensor::F32 { mut data, .. }) => {
            data.resize(resized(data.len()), f32::from_bits(word as u32));
            StateTensor::F32 { shape: vec![data.len()], data }
        }
        (2, StateTensor::F64(mut data)) => {
            data.resize(resized(data.len()), f64::from_bits(word));
            StateTensor::F64(data)
        }
        (2, StateTensor::U64(mut data)) => {
            data.resize(resized(data.len()), word);
            StateTensor::U64(data)
        }
        (2, StateTensor::U8(mut data)) => {
            data.resize(resized(data.len()), word as u8);
            StateTensor::U8(data)
        }
        (_, StateTensor::F32 { shape, mut data }) => {
            let len = data.len().max(1);
            if let Some(value) = data.get_mut(usize::from(at) % len) {
                *value = f32::from_bits(word as u32);
            }
            StateTensor::F32 { shape, data }
        }
        (_, StateTensor::F64(mut data)) => {
            let len = data.len().max(1);
            if let Some(value) = data.get_mut(usize::from(at) % len) {
                *value = f64::from_bits(word);
            }
            StateTensor::F64(data)
        }
        (_, StateTensor::U64(mut data)) => {
            let len = data.len().max(1);
            if let Some(value) = data.get_mut(usize::from(at) % len) {
                // Small numbers are the more dangerous ones: they may be lengths and indices.
                *value = if how & 8 == 0 { word } else { word % 300 };
            }
            StateTensor::U64(data)
        }
        (_, StateTensor::U8(mut data)) => {
            let len = data.len().max(1);
            if let Some(value) = data.get_mut(usize::from(at) % len) {
                *value = word as u8;
            }
            StateTensor::U8(data)
        }
    })
}

/// A configuration of an agent. What is accepted reads back to the same from its own text.
pub fn training_toml(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(config) = Config::from_toml(&text, "fuzz.toml", &[]) {
        let shown = config.to_toml();
        let again = Config::from_toml(&shown, "fuzz.toml", &[]).expect("it was accepted");
        assert_eq!(again.to_toml(), shown);
    }
}

/// A configuration that a program recorded, perhaps an older one.
pub fn recorded_toml(data: &[u8]) {
    let _ = Config::recorded(&String::from_utf8_lossy(data), "config.toml", &[]);
}

/// A configuration of an auto-encoder.
pub fn vae_toml(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(config) = VaeConfig::from_toml(&text, "fuzz.toml", &[]) {
        let shown = config.to_toml();
        assert_eq!(VaeConfig::from_toml(&shown, "fuzz.toml", &[]).expect("it was accepted").to_toml(), shown);
    }
}

/// Arguments of `--set`, one in a line.
pub fn overrides(data: &[u8]) {
    const BASE: &str = "[env]\nid = 'CartPole-v1'\n[agent]\nkind = 'relax-a2c'\n";
    let text = String::from_utf8_lossy(data);
    // As on the command line, a value may hold a line break: then it is written as \0 here.
    let sets: Vec<String> = text.split('\n').map(|set| set.replace('\0', "\n")).collect();
    if let Ok(config) = Config::from_toml(BASE, "fuzz.toml", &sets) {
        Config::from_toml(&config.to_toml(), "fuzz.toml", &[]).expect("it was accepted");
    }
}

/// MNIST's and Omniglot's files.
pub fn idx_file(data: &[u8]) {
    let path = file("x-idx3-ubyte", data);
    for dimensions in [1, 3] {
        if let Ok(idx) = Idx::read(&path, dimensions) {
            assert_eq!(idx.values.len(), idx.shape.iter().product::<usize>());
        }
    }
}

/// Omniglot's zip files of PNGs.
pub fn zip_files(data: &[u8]) {
    file("images_background.zip", data);
    file("images_evaluation.zip", b"PK");
    let _ = omniglot(&folder());
}

/// A policy in words with the weights that it asks for: read, it can act.
pub fn policy_message(data: &[u8]) {
    // The first line is JSON; a number of weights follows.
    let split = data.iter().position(|&byte| byte == b'\n').unwrap_or(data.len());
    let Ok(card) = serde_json::from_slice::<PolicyCard>(&data[..split]) else { return };
    let mut source = Source(data.get(split + 1..).unwrap_or_default());
    let mut state = StateDict::new();
    state.insert_f32(&card.weights, &vec![f32::from(source.byte()) / 64.0; source.number() as usize % 4096]);
    let mut scratch = ActingScratch::default();
    if let Ok(policy) = ActingPolicy::load(&card, &state) {
        let (rows, width) = (2, policy.distribution().width());
        let mut actions = policy.distribution().action_buffer();
        actions.resize(rows);
        let observations = vec![0.5; rows * policy.observation_dim()];
        policy.act_greedily(&observations, &mut scratch, &mut actions, 0..rows);
        let (mut rng, mut process, mut noise) =
            (EnvRng::from_seed(1), vec![0.0; width], vec![0.0; rows * width]);
        for row in noise.chunks_exact_mut(width.max(1)) {
            policy.draw(&mut rng, &mut process, row);
        }
        policy.act(&observations, &noise, &mut scratch, &mut actions, 0..rows);
    }
}

/// Messages between a learner and its workers, each with the configuration of its run.
struct Messages {
    config: Config,
    learner: Learner,
    /// Policy, states, batch, the learner's own state.
    good: [Vec<u8>; 4],
}

fn messages() -> Vec<Messages> {
    let made = |(kind, env): (&str, &str)| {
        let text = format!(
            "[env]\nid = '{env}'\n[agent]\nkind = '{kind}'\nhidden = [3]\n[rollout]\nenvs = 2\nsteps = 4\n[run]\nenv_steps = 1000\n"
        );
        let config = Config::from_toml(&text, "fuzz", &[]).expect("a right one");
        let mut learner = Learner::new(&config).expect("a learner");
        let (batch, states) = rollout(&config, &learner.policy(), &[], 0..2).expect("the first round");
        learner.improve(&[batch]).expect("a step");
        learner.fit().expect("the other half");
        let (policy, state) = (learner.policy(), learner.state().expect("between two updates"));
        let (batch, _) = rollout(&config, &policy, &states, 0..2).expect("the second round");
        Messages { config, learner, good: [policy, states, batch, state] }
    };
    [("a2c", "CartPole-v1"), ("ppo", "Pendulum-v1"), ("relax-a2c", "TicTacToe-v0")].map(made).into()
}

/// A message as it comes, or a right one with words and arrays changed and a checksum that fits: refused, or taken by who it is for.
pub fn cluster_message(data: &[u8]) {
    const FORMAT: Format = Format { name: "relax-rl message", version: 1 };
    thread_local! {
        static MESSAGES: RefCell<Vec<Messages>> = RefCell::new(messages());
    }
    MESSAGES.with_borrow_mut(|all| {
        let mut source = Source(data);
        let which = usize::from(source.byte()) % all.len();
        let Messages { config, learner, good } = &mut all[which];
        let kind = usize::from(source.byte()) % 5;
        let bytes = if kind == 4 {
            sealed(source.0).unwrap_or_else(|| source.0.to_vec())
        } else {
            let (mut words, arrays) = decode(&FORMAT, &good[kind]).expect("a good one");
            let names: Vec<String> = arrays.iter().map(|(name, _)| name.to_owned()).collect();
            let mut state = StateDict::new();
            let wrong: Vec<usize> =
                (0..=source.byte() % 3).map(|_| usize::from(source.byte()) % names.len()).collect();
            for (index, (name, tensor)) in arrays.iter().enumerate() {
                let tensor =
                    if wrong.contains(&index) { changed(tensor, &mut source) } else { Some(tensor.clone()) };
                tensor.into_iter().for_each(|tensor| state.insert(name, tensor));
            }
            if source.byte() % 4 == 0 {
                let at = usize::from(source.byte()) % words.len();
                let text = String::from_utf8_lossy(source.0).into_owned();
                let word = words.values_mut().nth(at).expect("there is one");
                *word = text;
            }
            encode(&FORMAT, &words, &state).0
        };
        match kind {
            0 => drop(rollout(config, &bytes, &good[1], 0..2)),
            1 => drop(rollout(config, &good[0], &bytes, 0..2)),
            2 => {
                if learner.improve(&[&bytes]).is_ok() {
                    let _ = learner.fit();
                }
                learner.restore(&good[3]).expect("its own state");
            }
            3 => {
                // What was taken is gone on with.
                if learner.restore(&bytes).is_ok() && learner.improve(&[&good[2]]).is_ok() {
                    let _ = learner.fit();
                }
                learner.restore(&good[3]).expect("its own state");
            }
            _ => {
                let _ = rollout(config, &bytes, &good[1], 0..2);
                let _ = rollout(config, &good[0], &bytes, 0..2);
                let _ = learner.improve(&[&bytes]);
                let _ = learner.restore(&bytes);
                learner.restore(&good[3]).expect("its own state");
            }
        }
    });
}

/// Whether an environment comes along. Others of this process are left alone: those of tests count how often they are made.
fn is_own(id: &str) -> bool {
    let families = [
        "Acrobot-",
        "CartPole-",
        "Catch-",
        "CatchImage-",
        "MiniGrid-",
        "MountainCar",
        "Pendulum-",
        "TicTacToe-",
    ];
    families.iter().any(|family| id.starts_with(family))
}

/// The saved state of an environment, as a checkpoint and the Python package's pickles hold it: refused, or played on from.
pub fn environment_state(data: &[u8]) {
    thread_local! {
        static ENVS: RefCell<Vec<Box<dyn Env>>> = RefCell::new(
            relax_envs::ids().iter().filter(|id| is_own(id)).filter_map(|id| relax_envs::make(id, &Kwargs::new()).ok()).collect()
        );
    }
    ENVS.with_borrow_mut(|envs| {
        let mut source = Source(data);
        let which = usize::from(source.byte()) % envs.len();
        let env = &mut envs[which];
        let mut rng = EnvRng::from_seed(u64::from(source.byte()));
        let mut observation = vec![0.0; env.observation_space().flat_dim()];
        let _ = env.reset(&mut rng, &mut observation);
        let mut saved = Vec::new();
        let _ = env.save_state(&mut saved);
        for _ in 0..=source.byte() % 4 {
            let (how, at, word) = (source.byte(), usize::from(source.byte()), source.number());
            let len = saved.len().max(1);
            let number = match how % 4 {
                0 => f64::from_bits(word),
                1 => (word % 300) as f64,
                2 => -((word % 300) as f64),
                _ => f64::from_bits(word) * 1e3,
            };
            match how / 4 % 8 {
                0 => saved.truncate(at % len),
                1 => saved.push(number),
                _ => {
                    if let Some(value) = saved.get_mut(at % len) {
                        *value = number;
                    }
                }
            }
        }
        if env.load_state(&mut saved.as_slice()).is_ok() {
            let action = match env.action_space() {
                Space::Discrete { n, .. } => Action::Discrete(usize::from(source.byte()) % (*n).max(1)),
                space => Action::Box(vec![0.25; space.size()]),
            };
            for _ in 0..3 {
                let _ = env.step(action.as_action_ref(), &mut rng, &mut observation);
            }
            let _ = env.render();
        }
    });
}
