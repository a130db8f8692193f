//! Encoders in whole runs: learnt through, saved, resumed, shared out among workers, exported; and what is refused.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::common::{assert_same_run, config, numbers, place, relax, resumed, train_in, trained};
use relax_envs::{Action, EnvRng};
use relax_nn::StateDict;
use relax_nn::candle_core::{self, Device, Tensor};
use relax_nn::candle_nn::{Linear, Module, VarBuilder};
use relax_rl::agents::{ActingPolicy, Compute, Metrics, Rollout, make_agent, register_encoder};
use relax_rl::config::{Config, RolloutMode};
use relax_rl::evaluate::{EvalOptions, Trained, evaluate};
use relax_runtime::sealed::{Format, decode, encode};
use relax_training::actor::{Actor, Plan, Streams, make_env};

#[path = "../examples/custom_encoder.rs"]
#[allow(dead_code)]
mod custom_encoder;

static REGISTERED: LazyLock<()> =
    LazyLock::new(|| register_encoder("tiny", custom_encoder::build).expect("the name is free"));

/// Registers the example's encoder as "tiny", once.
pub fn register() {
    LazyLock::force(&REGISTERED);
}

const CATCH: &str = r#"
[env]
id = "Catch-v0"
[agent]
kind = "a2c"
encoder = "tiny"
[rollout]
workers = 0
[run]
env_steps = 30_000
seed = 1
evaluation_episodes = 0
"#;

/// The board of 10 × 5 cells through a user's module of candle-nn, from pushing at random to catching every ball.
#[test]
fn catch_is_learnt_through_candle_nn() {
    LazyLock::force(&REGISTERED);
    let place = place();
    train_in(&place, &config(CATCH, &[]));
    let returns = numbers(&place.run.join("episodes.csv"), "return");
    let first = returns[..200].iter().sum::<f64>() / 200.0;
    let options = EvalOptions { episodes: 100, deterministic: true, render: None, seed: 99 };
    let last = evaluate(&place.run, &options).expect("evaluated").returns;
    let mean = last.iter().sum::<f64>() / 100.0;
    println!("{first} at first, {mean} at last");
    assert!(first < 0.0, "{first} from the start is no learning");
    assert!(mean >= 0.95, "{mean}");

    // The exported weights make the same actions in candle alone.
    let file = place.root.path().join("tiny.safetensors");
    custom_encoder::export(&place.run, &file).expect("exported");
    let tensors: HashMap<String, Tensor> =
        candle_core::safetensors::load(&file, &Device::Cpu).expect("loaded");
    let layer = |i: usize| {
        // Ours are [in, out].
        let weight = tensors[&format!("{i}.weight")].t().expect("a matrix");
        Linear::new(weight, Some(tensors[&format!("{i}.bias")].clone()))
    };
    let head = [layer(0), layer(1), layer(2)];
    let variables = VarBuilder::from_tensors(tensors.clone(), candle_core::DType::F32, &Device::Cpu);
    let encoder = custom_encoder::build(&[10, 5], variables.pp("encoder")).expect("built");
    let trained = Trained::load(&place.run).expect("loaded");
    let mut rng = EnvRng::from_seed_sequence(5, &[0]);
    for _ in 0..50 {
        let mut board = vec![0.0; 50];
        board[rng.integers(0, 45) as usize] = 1.0;
        board[45 + rng.integers(0, 5) as usize] = 1.0;
        let logits = || {
            let mut x = encoder.forward(&Tensor::from_slice(&board, (1, 10, 5), &Device::Cpu)?)?;
            for (i, layer) in head.iter().enumerate() {
                x = layer.forward(&x)?;
                x = if i < 2 { x.tanh()? } else { x };
            }
            x.flatten_all()?.to_vec1::<f32>()
        };
        let logits: Vec<f32> = logits().expect("a pass");
        let best = (0..3).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).expect("three");
        assert_eq!(trained.predict(&board).expect("an action"), Action::Discrete(best));
    }
}

/// 3 episodes a slot and one more; several shards of the learner's; ragged at the end.
const SHORT: &str = r#"
[env]
id = "Catch-v0"
[agent]
kind = "a2c"
[rollout]
envs = 5
steps = 28
workers = 0
[learner]
value_epochs = 3
[run]
env_steps = 451
seed = 11
evaluation_episodes = 2
evaluation_every_env_steps = 200
[checkpoint]
every_env_steps = 150
"#;

/// Encoders on the environments that suit them, by the agents that take one.
const CASES: [&[&str]; 10] = [
    &["agent.encoder=small-cnn", "learner.value_epochs=0"],
    &["agent.encoder=small-cnn"],
    &["agent.encoder=tiny"],
    &["agent.encoder=tiny", "agent.kind=relax-a2c"],
    &[
        "agent.encoder=small-cnn",
        "agent.kind=relax-a2c",
        "agent.control_variate=pure",
        "agent.noise=independent",
    ],
    &["agent.encoder=small-cnn", "agent.kind=ppo", "learner.policy_epochs=2", "learner.minibatches=3"],
    &["env.id=CatchImage-v0", "agent.kind=relax-a2c"],
    &["env.id=CatchImage-v0", "agent.encoder=mlp"],
    &["agent.encoder=small-cnn", "agent.kind=reinforce", "run.evaluation_every_env_steps=280", STACK],
    &["env.id=CatchImage-v0", "agent.kind=ppo", "learner.policy_epochs=1", "learner.minibatches=3", STACK],
];

/// Three frames at a time, of episodes that a limit cuts before the ball arrives.
const STACK: &str =
    "env.wrappers=[{ name = \"TimeLimit\", max_episode_steps = 7 }, { name = \"FrameStack\", size = 3 }]";

#[test]
fn runs_with_an_encoder_are_equal_bit_for_bit_over_workers_and_after_an_interruption() {
    LazyLock::force(&REGISTERED);
    for sets in CASES {
        let one = trained(&config(SHORT, sets));
        for workers in [1, 3, 5] {
            let workers = format!("rollout.workers={workers}");
            let other = trained(&config(SHORT, &[sets, &[&workers]].concat()));
            assert_same_run(&one.run, &other.run, &format!("{sets:?}, {workers}"));
        }
        // With the learning rates as they are, wherever the run ends.
        let constant = [sets, &["learner.anneal=false"]].concat();
        let whole = trained(&config(SHORT, &constant));
        let half = trained(&config(SHORT, &[&constant[..], &["run.env_steps=280"]].concat()));
        resumed(&half.run, &["run.env_steps=451"]);
        assert_same_run(&whole.run, &half.run, &format!("{sets:?}, resumed"));
    }
}

/// Lets a fresh agent learn from two batches, whose policy reads bytes or numbers and is shown after each: its state then, and the second batch.
fn two_batches(
    config: &Config,
    bytes: bool,
    plan: Plan,
    mut see: impl FnMut(&ActingPolicy),
) -> (StateDict, Rollout) {
    let env = make_env(&config.env, 3).expect("an environment");
    let made = make_agent(&config.settings(), env.observation_space(), env.action_space(), 5);
    let mut agent = made.expect("an agent");
    let mut policy = agent.acting_policy();
    policy.set_reads_bytes(bytes);
    let actor = Actor::new(env, 0, policy.distribution().clone(), 7, Streams::TRAINING, false);
    let mut actor = actor.expect("an actor");
    let (mut rollout, compute) = (actor.rollout(), Compute::serial());
    for _ in 0..2 {
        actor.roll(&policy, plan, &mut rollout).expect("a rollout");
        let metrics = &mut Metrics::default();
        agent.improve_policy(&rollout, 0.0, &compute, metrics).expect("improved");
        agent.fit_critics(&rollout, 0.0, &compute, metrics).expect("fitted");
        agent.refresh(&mut policy);
        see(&policy);
    }
    (agent.state(), rollout)
}

/// A rollout keeps every frame of a stack once, as bytes, and that changes no weight.
#[test]
fn bytes_train_the_same_weights_as_numbers() {
    for kind in ["reinforce", "a2c", "relax-a2c", "ppo"] {
        let config = config(SHORT, &["env.id=CatchImage-v0", STACK, &format!("agent.kind={kind}")]);
        let run = |bytes| {
            let plan = Plan { mode: RolloutMode::Steps, steps: 30, extra: 1 };
            two_batches(&config, bytes, plan, |_| ())
        };
        let ((of_bytes, bytes), (of_numbers, numbers)) = (run(true), run(false));
        assert!(of_bytes == of_numbers, "{kind}");
        assert!(numbers.pictures.is_none() && bytes.observations.is_empty(), "{kind}");
        let (rows, cut) = (bytes.rows(), bytes.truncated_rows.len());
        assert_eq!((rows, bytes.episodes.len()), (91, 12), "{kind}");
        assert_eq!(cut, 12, "{kind}");
        // Three frames where a slot begins, then a frame a step, beside what the episodes ended with.
        let frames = bytes.pictures.expect("bytes").frames.count();
        assert!(frames <= 3 * 3 + rows + 3 + cut, "{kind}: {frames} frames of {rows} rows");
    }
}

#[test]
fn an_encoder_moves_at_its_share_of_the_rates_which_is_a_tenth_for_the_large_one() {
    for kind in ["reinforce", "a2c", "relax-a2c", "ppo"] {
        let kind = format!("agent.kind={kind}");
        // The policy's encoder after each of two batches, and the agent's state.
        let learn = |sets: &[&str]| {
            let plan = Plan { mode: RolloutMode::Steps, steps: 20, extra: 0 };
            let mut encoders: Vec<Vec<f32>> = Vec::new();
            let config = config(SHORT, &[&[&kind[..]], sets].concat());
            let (state, _) = two_batches(&config, true, plan, |policy| {
                let encoder = policy.layout().into_iter().filter(|slice| slice.name.starts_with("encoder."));
                encoders.push(encoder.flat_map(|slice| policy.parameters()[slice.range].to_vec()).collect());
            });
            (encoders, state)
        };
        let [image, board] = ["env.id=CatchImage-v0", "agent.encoder=small-cnn"];
        let (still, _) = learn(&[image, "agent.encoder_rate=0.0"]);
        assert!(!still[0].is_empty() && still[0] == still[1], "{kind}");
        let (moving, by_itself) = learn(&[image]);
        assert!(moving[0] != moving[1], "{kind}");
        assert!(by_itself == learn(&[image, "agent.encoder_rate=0.1"]).1, "{kind}");
        assert!(by_itself != learn(&[image, "agent.encoder_rate=1.0"]).1, "{kind}");
        assert!(learn(&[board]).1 == learn(&[board, "agent.encoder_rate=1.0"]).1, "{kind}");
    }
}

#[test]
fn what_an_encoder_cannot_do_is_refused_before_anything_runs() {
    for (sets, parts) in [
        (&["agent.encoder=smal-cnn"][..], &["there is no encoder `smal-cnn`", "`small-cnn`"][..]),
        (&["agent.encoder=nature-cnn"], &["nature-cnn", "[10, 5] are too small"]),
        (&["agent.encoder=small-cnn", "env.id=CartPole-v1"], &["small-cnn", "[4] are none"]),
        (&["agent.encoder=small-cnn", "agent.baseline_window=4"], &["agent.baseline_window", "\"mlp\""]),
        (
            &["agent.encoder=small-cnn", "agent.kind=relax-a2c", "agent.control_variate=model"],
            &["agent.control_variate = \"model\"", "\"mlp\""],
        ),
        (
            &["agent.encoder=small-cnn", "agent.kind=relax-a2c", "agent.control_variate=dae"],
            &["agent.control_variate = \"dae\"", "\"mlp\""],
        ),
        (
            &["agent.encoder=small-cnn", "agent.kind=relax-a2c", "agent.variance_objective=weights"],
            &["agent.variance_objective = \"weights\""],
        ),
        (&["env.id=CatchImage-v0", "agent.kind=relax-ddpg"], &["\"relax-ddpg\" has no encoder for pictures"]),
        (&["agent.encoder=small-cnn", "agent.device=tpu"], &["there is no device `tpu`", "`cuda`"]),
        #[cfg(not(feature = "cuda"))]
        (
            &["agent.encoder=small-cnn", "agent.device=cuda:1"],
            &["this build computes on the CPU only", "--features cuda", "nvcc"],
        ),
        #[cfg(not(feature = "metal"))]
        (
            &["agent.encoder=small-cnn", "agent.device=metal"],
            &["this build computes on the CPU only", "--features metal"],
        ),
    ] {
        let place = place();
        let file = place.root.path().join("x.toml");
        std::fs::write(&file, SHORT).expect("written");
        let mut command = relax();
        command.arg("train").arg(&file).arg("--out").arg(&place.run);
        for set in sets {
            command.args(["--set", set]);
        }
        let output = command.output().expect("run");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{sets:?}: {text}");
        assert!(parts.iter().all(|part| text.contains(part)), "{sets:?}: {text}");
        assert!(!place.run.exists(), "{sets:?}");
    }
}

#[test]
fn a_policy_whose_encoder_is_not_there_says_so() {
    LazyLock::force(&REGISTERED);
    let place = trained(&config(SHORT, &["agent.encoder=tiny"]));
    let output = relax().arg("eval").arg(&place.run).output().expect("run");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("there is no encoder `tiny`"), "{text}");

    // The same policy in bytes, as it comes to a process that knows the encoder, and to one that does not.
    const FORMAT: Format = Format { name: "relax-rl policy", version: 1 };
    let (there, observation) = (Trained::load(&place.run).expect("a policy"), [0.0; 50]);
    let bytes = there.to_bytes();
    let here = Trained::from_bytes(&bytes).expect("the encoder is registered");
    assert_eq!(here.policy, there.policy);
    assert_eq!(here.predict(&observation).unwrap(), there.predict(&observation).unwrap());
    let (mut words, state) = decode(&FORMAT, &bytes).expect("whole");
    words.values_mut().for_each(|word| *word = word.replace("\"tiny\"", "\"tinier\""));
    let error = Trained::from_bytes(&encode(&FORMAT, &words, &state).0).expect_err("no such encoder");
    assert!(error.to_string().contains("there is no encoder `tinier`"), "{error}");
}

#[test]
fn a_run_from_before_the_encoders_goes_on_with_flat_pictures() {
    let written = config(SHORT, &["env.id=CatchImage-v0"]).to_toml();
    assert!(written.contains("encoder = \"auto\""), "{written}");
    let old = written.replace("encoder = \"auto\"\n", "");
    let read = Config::recorded(&old, "old", &[]).expect("read");
    assert_eq!(read.agent.keys.get("encoder").and_then(toml::Value::as_str), Some("mlp"));
    let read = Config::recorded(&written, "new", &[]).expect("read");
    assert_eq!(read.agent.keys.get("encoder").and_then(toml::Value::as_str), Some("auto"));
}
