//! What must be learnt: tasks with a known best policy, values with a known answer, and CartPole.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use crate::common::{choice, config, numbers, place, test_env, train_in, weights};
use relax_envs::{ActionRef, Space, Step};
use relax_nn::{Activation, MlpShape, Workspace};
use relax_rl::config::Config;
use relax_rl::evaluate::{EvalOptions, Evaluation, evaluate};

const RUN: &str = r#"
[env]
id = "Identity-v0"
[agent]
kind = "a2c"
hidden = [16]
[rollout]
envs = 16
steps = 4
workers = 0
[learner]
learning_rate = 1e-2
value_learning_rate = 1e-2
lambda = 1.0
value_epochs = 1
anneal = false
normalize_observations = false
normalize_rewards = false
[run]
env_steps = 6_400
seed = 1
evaluation_episodes = 0
"#;

/// Evaluates `best` or `latest`, greedily.
fn greedy(run: &Path, episodes: usize) -> Evaluation {
    evaluate(run, &EvalOptions { episodes, deterministic: true, render: None, seed: 99 }).unwrap()
}

/// One step an episode: the observation shows one of four symbols, the action must name it. Guessing pays 0.25.
static IDENTITY: LazyLock<()> = LazyLock::new(|| {
    let spec = test_env(
        "Identity-v0",
        4,
        Space::discrete(4),
        |state, rng| {
            state.draw = rng.integers(0, 4) as usize;
            state.observation.fill(0.0);
            state.observation[state.draw] = 1.0;
        },
        |state, action, _| {
            let reward = f64::from(u8::from(choice(action) == state.draw));
            Ok(Step { reward, terminated: true, truncated: false })
        },
    );
    relax_envs::register(spec).unwrap();
});

#[track_caller]
fn solves_identity(sets: &[&str]) {
    LazyLock::force(&IDENTITY);
    let place = place();
    let outcome = train_in(&place, &config(RUN, sets));
    let returns = numbers(&place.run.join("episodes.csv"), "return");
    let start = returns[..200].iter().sum::<f64>() / 200.0;
    let mean = outcome.summary.mean_return_100.unwrap();
    println!("{sets:?}: {start} at first, {mean} at last");
    assert!(start < 0.5, "{sets:?}: {start} from the start is no learning");
    assert!(mean >= 0.95, "{sets:?}: {mean}");
    assert_eq!(greedy(&place.run, 200).returns, [1.0; 200], "{sets:?}: the greedy policy is the identity");
}

#[test]
fn the_identity_by_a2c() {
    solves_identity(&[]);
    solves_identity(&["learner.normalize_advantages=true"]);
    solves_identity(&["learner.optimizer=rmsprop", "learner.learning_rate=3e-3"]);
    solves_identity(&["agent.activation=relu", "agent.hidden=[16, 16]"]);
}

#[test]
fn the_identity_by_reinforce() {
    for baseline in ["none", "constant", "learned", "value", "leave-one-out"] {
        let baseline = format!("agent.baseline={baseline}");
        solves_identity(&[
            "agent.kind=reinforce",
            "rollout.mode=episodes",
            "rollout.envs=32",
            "agent.constant_baseline=0.5",
            "run.env_steps=9_600",
            &baseline,
        ]);
    }
}

#[test]
fn the_identity_by_relax_a2c() {
    for form in ["residual", "pure"] {
        for noise in ["independent", "coupled"] {
            for objective in ["parameters", "weights"] {
                for gain in ["adaptive", "1"] {
                    let sets = [
                        "agent.kind=relax-a2c".to_owned(),
                        format!("agent.control_variate={form}"),
                        format!("agent.noise={noise}"),
                        format!("agent.variance_objective={objective}"),
                        format!("agent.gain={gain}"),
                    ];
                    solves_identity(&sets.each_ref().map(String::as_str));
                }
            }
        }
    }
}

/// One step an episode: the action must equal the observed number. The best constant answer, 0, pays −1/3 on average.
#[test]
fn a_number_is_named() {
    let spec = test_env(
        "Number-v0",
        1,
        Space::uniform_box(-2.0, 2.0, &[1]),
        |state, rng| state.observation[0] = rng.uniform(-1.0, 1.0) as f32,
        |state, action, _| {
            let ActionRef::Box(values) = action else { panic!("{action:?}") };
            let miss = f64::from(values[0] - state.observation[0]);
            Ok(Step { reward: -miss * miss, terminated: true, truncated: false })
        },
    );
    relax_envs::register(spec).unwrap();
    for sets in
        [&["agent.kind=a2c"][..], &["agent.kind=relax-a2c"], &["agent.kind=relax-a2c", "agent.gain=1"]]
    {
        let place = place();
        let all = [&["env.id=Number-v0", "run.env_steps=32_000"], sets].concat();
        let outcome = train_in(&place, &config(RUN, &all));
        let returns = greedy(&place.run, 300).returns;
        let mean = returns.iter().sum::<f64>() / 300.0;
        println!("{sets:?}: greedy {mean}, drawn {:?}", outcome.summary.mean_return_100);
        assert!(mean > -0.02, "{sets:?}: {mean}");
        assert!(outcome.summary.mean_return_100.unwrap() > -0.2, "{sets:?}: the noise shrinks, too");
    }
}

/// V at `observations`, from the newest checkpoint.
fn values(run: &Path, config: &Config, observations: &[f32], dim: usize) -> Vec<f32> {
    let widths = config.agent.keys["hidden"].as_array().expect("widths");
    let hidden: Vec<usize> =
        widths.iter().map(|width| width.as_integer().expect("a width") as usize).collect();
    let shape = MlpShape::new(dim, &hidden, 1, Activation::Tanh);
    let mut values = vec![0.0; observations.len() / dim];
    let parameters = weights(run, "agent.critic.parameters");
    shape.forward(&parameters, observations, &mut Workspace::new(), &mut values);
    values
}

/// Ten steps of reward 1, the observation telling the time: what V(t) becomes depends on how the episode ends alone.
#[test]
fn values_know_termination_from_truncation() {
    // Eleven moments: the last observation, at 10, is seen only by the return computation.
    let reset = |state: &mut crate::common::TestState, _: &mut relax_envs::EnvRng| {
        state.observation.fill(0.0);
        state.observation[0] = 1.0;
    };
    let terminating: crate::common::Behaviour = |state, _, _| {
        state.observation.fill(0.0);
        state.observation[state.t as usize + 1] = 1.0;
        Ok(Step { reward: 1.0, terminated: state.t == 9, truncated: false })
    };
    relax_envs::register(test_env("Terminated-v0", 11, Space::discrete(2), reset, terminating)).unwrap();
    // The same without the clock, and without an end of its own; the registry's time limit truncates it.
    let unending: crate::common::Behaviour =
        |_, _, _| Ok(Step { reward: 1.0, terminated: false, truncated: false });
    relax_envs::register(
        test_env("Truncated-v0", 11, Space::discrete(2), reset, unending).max_episode_steps(10),
    )
    .unwrap();

    let gamma = 0.9f32;
    let one_hot: Vec<f32> = (0..10 * 11).map(|i| f32::from(u8::from(i % 11 == i / 11))).collect();
    let finite: Vec<f32> = (0..10).map(|t| (1.0 - gamma.powi(10 - t)) / (1.0 - gamma)).collect();
    let variants: [&[&str]; 5] = [
        &["learner.lambda=1"],
        &["learner.lambda=0.9", "agent.kind=relax-a2c"],
        &["learner.lambda=0", "rollout.steps=1", "rollout.envs=64"],
        // Twice around in one rollout, and cut in the middle of an episode.
        &["learner.lambda=1", "rollout.steps=23", "rollout.envs=4"],
        &["agent.kind=reinforce", "rollout.mode=episodes"],
    ];
    for sets in variants {
        for (id, expected) in [("Terminated-v0", finite.clone()), ("Truncated-v0", vec![10.0])] {
            let env = format!("env.id={id}");
            let common = [
                "learner.gamma=0.9",
                "learner.value_epochs=16",
                "run.env_steps=24_000",
                "learner.anneal=true",
            ];
            let place = place();
            let config =
                config(RUN, &[&common[..], &[&env, "learner.critic_max_grad_norm=0"], sets].concat());
            train_in(&place, &config);
            let found = values(&place.run, &config, &one_hot[..expected.len() * 11], 11);
            let worst = found.iter().zip(&expected).map(|(v, e)| ((v - e) / e).abs()).fold(0.0, f32::max);
            println!("{sets:?} {id}: V = {found:.3?}, off by {worst:.4}");
            assert!(worst < 0.005, "{sets:?} {id}: {found:?} should be {expected:?}");
        }
    }
}

/// The shipped configuration, its budget, its seed.
#[test]
fn cart_pole_by_the_shipped_configuration() {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("configs/cartpole-relax.toml");
    let config = Config::load(&file, &["rollout.workers=1".to_owned()]).unwrap();
    let place = place();
    let summary = train_in(&place, &config).summary;
    println!("{summary:?}");
    let reached = summary.first_195.unwrap();
    assert!(reached.env_steps <= config.run.env_steps && reached.episodes >= 100);
    let early = numbers(&place.run.join("episodes.csv"), "return")[..20].iter().sum::<f64>() / 20.0;
    assert!(early < 60.0, "{early}: an untrained policy falls over");
    assert!(summary.evaluation.unwrap().mean >= 195.0);
}
