//! TD3: its gradients against an oracle in double precision, and what its schedule leaves alone.

use crate::common::{
    Net, acts_in_bounded_boxes_only, agent, array, experience, finite_differences, gradient, improve,
    refusal, relative_error, settings, stir,
};
use relax_agents::parts::replay::{Minibatch, Replay};
use relax_agents::{Agent, Exploration, Metrics, Rollout, role};
use relax_envs::{EnvRng, Space};
use relax_nn::StateDict;

const SEED: u64 = 5;
const DIM: usize = 3;
const K: usize = 2;
const HIDDEN: [usize; 2] = [5, 4];
const ROWS: usize = 40;
const BATCH: usize = 30;

/// A small agent far from its start, its state, and a rollout after which exactly one gradient step is due.
fn scene(learner: &str) -> (Box<dyn Agent>, StateDict, Rollout) {
    let keys = format!(
        "gamma = 0.9\nnormalize_observations = false\nnormalize_rewards = false\n\
         replay = {{ batch_size = {BATCH}, warm_up_steps = 0, updates_per_step = 0.025, tau = 0.1 }}\n{learner}"
    );
    let text = "kind = 'td3'\nhidden = [5, 4]\nactivation = 'tanh'";
    let mut agent = agent(&settings(text, &keys), DIM, &Space::uniform_box(-2.0, 2.0, &[K]), SEED);
    let (mut state, mut rng) = (agent.state(), EnvRng::from_seed(8));
    for network in ["actor", "critics.first", "critics.second"] {
        stir(&mut state, network, &["parameters", "target"], &mut rng);
    }
    agent.restore(&state).unwrap();
    (agent, state, experience(ROWS, DIM, K, &mut rng))
}

fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&x| f64::from(x)).collect()
}

fn tanh(x: Vec<f64>) -> Vec<f64> {
    x.iter().map(|x| x.tanh()).collect()
}

fn net(state: &StateDict, name: &str) -> Net {
    let (input, output) = if name.starts_with("actor") { (DIM, K) } else { (DIM + K, 1) };
    Net::new(input, &HIDDEN, output, &array(state, name))
}

/// The minibatch that the first gradient step draws.
fn drawn(batch: &Rollout) -> Minibatch {
    let (mut replay, mut drawn) = (Replay::new(1000, DIM, K), Minibatch::default());
    replay.extend(batch);
    replay.sample(BATCH, &mut EnvRng::from_seed_sequence(SEED, &[role::REPLAY]), &mut drawn);
    drawn
}

#[test]
fn the_gradients() {
    let (mut agent, before, batch) = scene("policy_delay = 1");
    let metrics = improve(&mut *agent, &batch);
    let (after, drawn) = (agent.state(), drawn(&batch));
    let (s, a, next) = (wide(&drawn.observations), wide(&drawn.actions), wide(&drawn.next_observations));
    let q = |net: &Net, s: &[f64], a: &[f64]| net.forward(&[s, a].concat())[0];

    // What both critics are to say: the smaller value of a blurred action.
    let actor = net(&before, "actor.target");
    let targets = ["first", "second"].map(|name| net(&before, &format!("critics.{name}.target")));
    let mut noise = EnvRng::from_seed_sequence(SEED, &[role::NEXT_ACTIONS]);
    let mut cut = 0;
    let y: Vec<f64> = (0..BATCH)
        .map(|row| {
            let s = &next[row * DIM..(row + 1) * DIM];
            let blurred = tanh(actor.forward(s)).into_iter().map(|a| {
                let blur = f64::from((0.2 * noise.standard_normal() as f32).clamp(-0.5, 0.5));
                cut += usize::from((a + blur).abs() > 1.0);
                (a + blur).clamp(-1.0, 1.0)
            });
            let a: Vec<f64> = blurred.collect();
            let smaller = q(&targets[0], s, &a).min(q(&targets[1], s, &a));
            f64::from(drawn.rewards[row]) + 0.9 * f64::from(drawn.going_on[row]) * smaller
        })
        .collect();
    assert!(cut > 0 && drawn.going_on.contains(&0.0), "a test of every branch");

    let mut losses = 0.0;
    for name in ["first", "second"] {
        let critic = net(&before, &format!("critics.{name}.parameters"));
        let loss = |parameters: &[f64]| {
            let critic = Net { parameters: parameters.to_vec(), ..critic.clone() };
            let miss = (0..BATCH)
                .map(|row| q(&critic, &s[row * DIM..(row + 1) * DIM], &a[row * K..(row + 1) * K]) - y[row]);
            0.5 * miss.map(|e| e * e).sum::<f64>() / BATCH as f64
        };
        let expected = finite_differences(&critic.parameters, loss);
        let error = relative_error(&gradient(&*agent, &format!("critics.{name}")), &expected);
        println!("{name} critic: relative error {error:.1e}");
        assert!(error < 1e-5, "{name}: {error:e}");
        losses += 0.5 * loss(&critic.parameters);
    }
    assert!((metrics.value_loss - losses).abs() < 1e-4 * losses, "{} {losses}", metrics.value_loss);

    // The actor climbs the first critic, which has taken its step.
    let (actor, critic) = (net(&before, "actor.parameters"), net(&after, "critics.first.parameters"));
    let loss = |parameters: &[f64]| {
        let actor = Net { parameters: parameters.to_vec(), ..actor.clone() };
        let values = (0..BATCH).map(|row| {
            let s = &s[row * DIM..(row + 1) * DIM];
            q(&critic, s, &tanh(actor.forward(s)))
        });
        -values.sum::<f64>() / BATCH as f64
    };
    let expected = finite_differences(&actor.parameters, loss);
    let error = relative_error(&gradient(&*agent, "actor"), &expected);
    println!("actor: relative error {error:.1e}");
    assert!(error < 1e-5, "{error:e}");
    let found = metrics.policy_loss;
    assert!((found - loss(&actor.parameters)).abs() < 1e-4 * found.abs());
    let norm = expected.iter().map(|x| x * x).sum::<f64>().sqrt();
    assert!((metrics.policy_gradient_norm - norm).abs() < 1e-4 * norm);

    // All targets have followed by τ.
    for network in ["actor", "critics.first", "critics.second"] {
        let of = |state, name| array(state, &format!("{network}.{name}"));
        let (old, new, trained) = (of(&before, "target"), of(&after, "target"), of(&after, "parameters"));
        for ((old, new), trained) in old.iter().zip(new).zip(trained) {
            assert!((new - (old + 0.1 * (trained - old))).abs() < 1e-6, "{network}");
        }
    }
}

#[test]
fn the_actor_and_the_targets_wait() {
    let (mut agent, before, batch) = scene("policy_delay = 2");
    let first = improve(&mut *agent, &batch);
    let between = agent.state();
    let same = |state: &StateDict, name: &str| array(&before, name) == array(state, name);
    for name in ["actor.parameters", "actor.target", "critics.first.target", "critics.second.target"] {
        assert!(same(&between, name), "{name}");
    }
    assert!(!same(&between, "critics.first.parameters") && !same(&between, "critics.second.parameters"));
    assert!(first.value_loss.is_finite() && first.policy_loss.is_nan());
    let second = improve(&mut *agent, &batch);
    let after = agent.state();
    for name in ["actor.parameters", "actor.target", "critics.first.target", "critics.second.target"] {
        assert!(!same(&after, name), "{name}");
    }
    // Its figures stay until its next step, also across a checkpoint.
    let mut again = scene("policy_delay = 2").0;
    again.restore(&after).unwrap();
    let third = improve(&mut *again, &batch);
    let policy = |metrics: &Metrics| [metrics.policy_loss, metrics.policy_gradient_norm];
    assert!(policy(&second)[0].is_finite() && policy(&second) == policy(&third));
}

#[test]
fn it_warms_up_at_random_and_then_explores() {
    let keys = "replay = { warm_up_steps = 41, batch_size = 100 }";
    let settings = settings("kind = 'td3'\nexploration = { process = 'gaussian', std = 0.3 }", keys);
    let mut agent = agent(&settings, DIM, &Space::uniform_box(-2.0, 2.0, &[K]), SEED);
    let mut rng = EnvRng::from_seed(1);
    let explores = |agent: &dyn Agent| agent.acting_policy().card().exploration.unwrap();
    assert_eq!(explores(&*agent), Exploration::Uniform);
    let metrics = improve(&mut *agent, &experience(40, DIM, K, &mut rng));
    assert!(explores(&*agent) == Exploration::Uniform && metrics.value_loss.is_nan());
    // Fewer transitions than a minibatch has: some are drawn more than once.
    let metrics = improve(&mut *agent, &experience(4, DIM, K, &mut rng));
    assert!(explores(&*agent) == Exploration::Gaussian { std: 0.3 } && metrics.value_loss.is_finite());
}

#[test]
fn what_could_not_learn_is_refused() {
    for (agent, learner, key) in [
        ("", "replay = { updates_per_step = 0 }", "learner.replay.updates_per_step"),
        ("", "policy_delay = 0", "learner.policy_delay"),
        ("", "target_noise = -0.1", "learner.target_noise"),
        ("", "target_noise_clip = inf", "learner.target_noise_clip"),
    ] {
        let said = refusal("td3", agent, learner).unwrap_or_default();
        assert!(said.contains(&format!("`{key}` is")), "{key}: {said}");
    }
    assert_eq!(refusal("td3", "", ""), None);
    acts_in_bounded_boxes_only("td3");
}
