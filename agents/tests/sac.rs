//! SAC: its gradients against an oracle in double precision, and its temperature.

use crate::common::{
    Net, acts_in_bounded_boxes_only, agent, array, experience, finite_differences, gradient, improve,
    refusal, relative_error, settings, stir, with,
};
use relax_agents::parts::replay::{Minibatch, Replay};
use relax_agents::{Agent, Exploration, Rollout, role};
use relax_envs::{EnvRng, Space};
use relax_nn::StateDict;

const SEED: u64 = 5;
const DIM: usize = 3;
const K: usize = 2;
const HIDDEN: [usize; 2] = [5, 4];
const ROWS: usize = 40;
const BATCH: usize = 30;
const ALPHA: f64 = 0.3;

/// A small agent far from its start, its state, and a rollout after which exactly one gradient step is due.
fn scene() -> (Box<dyn Agent>, StateDict, Rollout) {
    let keys = format!(
        "gamma = 0.9\nnormalize_observations = false\nnormalize_rewards = false\n\
         initial_temperature = {ALPHA}\ntemperature_learning_rate = 0.01\n\
         replay = {{ batch_size = {BATCH}, warm_up_steps = 0, updates_per_step = 0.025, tau = 0.1 }}"
    );
    let text = "kind = 'sac'\nhidden = [5, 4]\nactivation = 'tanh'";
    let mut agent = agent(&settings(text, &keys), DIM, &Space::uniform_box(-2.0, 2.0, &[K]), SEED);
    let (mut state, mut rng) = (agent.state(), EnvRng::from_seed(8));
    stir(&mut state, "actor", &["parameters"], &mut rng);
    for network in ["critics.first", "critics.second"] {
        stir(&mut state, network, &["parameters", "target"], &mut rng);
    }
    // The last output is log σ, cut off at 2: on both sides of that.
    let mut actor = array(&state, "actor.parameters");
    *actor.last_mut().unwrap() = 2.0;
    state = with(&state, "actor.parameters", &actor);
    agent.restore(&state).unwrap();
    (agent, state, experience(ROWS, DIM, K, &mut rng))
}

fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&x| f64::from(x)).collect()
}

fn net(state: &StateDict, name: &str) -> Net {
    let (input, output) = if name.starts_with("actor") { (DIM, 2 * K) } else { (DIM + K, 1) };
    Net::new(input, &HIDDEN, output, &array(state, name))
}

/// tanh(μ + σε) and its log π.
fn act(actor: &Net, s: &[f64], noise: &[f64]) -> (Vec<f64>, f64) {
    let output = actor.forward(s);
    let mut log_prob = 0.0;
    let actions = (0..K).map(|i| {
        let (log_std, e) = (output[K + i].clamp(-20.0, 2.0), noise[i]);
        let u = output[i] + log_std.exp() * e;
        log_prob += -0.5 * e * e - log_std - 0.5 * std::f64::consts::TAU.ln();
        // −log(1 − tanh²u) = 2 log cosh u, the textbook's way: no u here is large.
        log_prob += 2.0 * u.cosh().ln();
        u.tanh()
    });
    let actions = actions.collect();
    (actions, log_prob)
}

#[test]
fn the_gradients() {
    let (mut agent, before, batch) = scene();
    let metrics = improve(&mut *agent, &batch);
    let after = agent.state();
    let (mut replay, mut drawn) = (Replay::new(1000, DIM, K), Minibatch::default());
    replay.extend(&batch);
    replay.sample(BATCH, &mut EnvRng::from_seed_sequence(SEED, &[role::REPLAY]), &mut drawn);
    let (s, next) = (wide(&drawn.observations), wide(&drawn.next_observations));
    // An action is stored before the squash.
    let a: Vec<f64> = drawn.actions.iter().map(|&u| f64::from(u).tanh()).collect();
    let of = |x: &[f64], row: usize, n: usize| x[row * n..(row + 1) * n].to_vec();
    let q = |net: &Net, s: &[f64], a: &[f64]| net.forward(&[s, a].concat())[0];
    let mut stream = EnvRng::from_seed_sequence(SEED, &[role::NEXT_ACTIONS]);
    let mut noise =
        || -> Vec<f64> { (0..BATCH * K).map(|_| f64::from(stream.standard_normal() as f32)).collect() };
    let (after_next, at_own) = (noise(), noise());

    let actor = net(&before, "actor.parameters");
    let cut = (0..BATCH).filter(|&row| actor.forward(&of(&s, row, DIM))[2 * K - 1] > 2.0).count();
    assert!(cut > 3 && cut < BATCH - 3, "log σ on both sides of its limit: {cut} of {BATCH}");
    let targets = ["first", "second"].map(|name| net(&before, &format!("critics.{name}.target")));
    let y: Vec<f64> = (0..BATCH)
        .map(|row| {
            let s = of(&next, row, DIM);
            let (a, log_prob) = act(&actor, &s, &of(&after_next, row, K));
            let soft = q(&targets[0], &s, &a).min(q(&targets[1], &s, &a)) - ALPHA * log_prob;
            f64::from(drawn.rewards[row]) + 0.9 * f64::from(drawn.going_on[row]) * soft
        })
        .collect();
    let mut losses = 0.0;
    for name in ["first", "second"] {
        let critic = net(&before, &format!("critics.{name}.parameters"));
        let loss = |parameters: &[f64]| {
            let critic = Net { parameters: parameters.to_vec(), ..critic.clone() };
            let miss = (0..BATCH).map(|row| q(&critic, &of(&s, row, DIM), &of(&a, row, K)) - y[row]);
            0.5 * miss.map(|e| e * e).sum::<f64>() / BATCH as f64
        };
        let expected = finite_differences(&critic.parameters, loss);
        let error = relative_error(&gradient(&*agent, &format!("critics.{name}")), &expected);
        println!("{name} critic: relative error {error:.1e}");
        assert!(error < 1e-5, "{name}: {error:e}");
        losses += 0.5 * loss(&critic.parameters);
    }
    assert!((metrics.value_loss - losses).abs() < 1e-4 * losses, "{} {losses}", metrics.value_loss);

    // The actor climbs the smaller of the critics, which have taken their step.
    let critics = ["first", "second"].map(|name| net(&after, &format!("critics.{name}.parameters")));
    let mut seconds = 0;
    let mut loss = |parameters: &[f64]| {
        let actor = Net { parameters: parameters.to_vec(), ..actor.clone() };
        let terms = (0..BATCH).map(|row| {
            let s = of(&s, row, DIM);
            let (a, log_prob) = act(&actor, &s, &of(&at_own, row, K));
            let [first, second] = [0, 1].map(|i: usize| q(&critics[i], &s, &a));
            seconds += usize::from(second < first);
            ALPHA * log_prob - first.min(second)
        });
        terms.sum::<f64>() / BATCH as f64
    };
    let found = metrics.policy_loss;
    assert!((found - loss(&actor.parameters)).abs() < 1e-4 * found.abs());
    let expected = finite_differences(&actor.parameters, &mut loss);
    assert!(seconds > 0);
    let error = relative_error(&gradient(&*agent, "actor"), &expected);
    println!("actor: relative error {error:.1e}");
    assert!(error < 1e-5, "{error:e}");

    assert!((metrics.temperature - ALPHA).abs() < 1e-6, "as it was: {}", metrics.temperature);
    // The temperature falls if there is more entropy than it aims at.
    let entropy = (0..BATCH).map(|row| -act(&actor, &of(&s, row, DIM), &of(&at_own, row, K)).1);
    let entropy = entropy.sum::<f64>() / BATCH as f64;
    assert!((metrics.entropy - entropy).abs() < 1e-4 * entropy.abs());
    let found = array(&after, "temperature_optimizer.first_moment")[0] / (1.0 - 0.9f32);
    assert!((f64::from(found) - (entropy + K as f64)).abs() < 1e-4 * entropy.abs().max(1.0));
    let moved = f64::from(array(&after, "log_temperature")[0]) - ALPHA.ln();
    assert!((moved + 0.01 * (entropy + K as f64).signum()).abs() < 1e-5, "{moved}");

    for network in ["critics.first", "critics.second"] {
        let of = |state, name| array(state, &format!("{network}.{name}"));
        let (old, new, trained) = (of(&before, "target"), of(&after, "target"), of(&after, "parameters"));
        for ((old, new), trained) in old.iter().zip(new).zip(trained) {
            assert!((new - (old + 0.1 * (trained - old))).abs() < 1e-6, "{network}");
        }
    }
    assert!(after.get("actor.target").is_err());
}

#[test]
fn its_noise_hangs_together_from_the_first_step_on_and_fresh_noise_warms_up_uniformly() {
    let keys = "replay = { warm_up_steps = 41, batch_size = 100 }";
    let space = Space::uniform_box(-2.0, 2.0, &[K]);
    let exploring =
        |theta: f32| Exploration::OrnsteinUhlenbeck { theta, std: (theta * (2.0 - theta)).sqrt() };
    let mut rng = EnvRng::from_seed(1);
    for (theta, before) in [(0.5, exploring(0.5)), (1.0, Exploration::Uniform)] {
        let text = format!("kind = 'sac'\nexploration = {{ theta = {theta:?} }}");
        let mut agent = agent(&settings(&text, keys), DIM, &space, SEED);
        let explores = |agent: &dyn Agent| agent.acting_policy().card().exploration.unwrap();
        assert_eq!(explores(&*agent), before);
        let metrics = improve(&mut *agent, &experience(40, DIM, K, &mut rng));
        assert!(explores(&*agent) == before && metrics.value_loss.is_nan());
        // Fewer transitions than a minibatch has: some are drawn more than once.
        let metrics = improve(&mut *agent, &experience(4, DIM, K, &mut rng));
        assert!(metrics.value_loss.is_finite());
        assert_eq!(explores(&*agent), exploring(theta));
    }
    let agent = agent(&settings("kind = 'sac'\nexploration = { theta = 0.5 }", keys), DIM, &space, SEED);
    // The correlated noise is standard normal all the same.
    let policy = agent.acting_policy();
    let (mut process, mut noise) = ([0.0; K], [0.0; K]);
    let mut squares = 0.0;
    for _ in 0..50_000 {
        policy.draw(&mut rng, &mut process, &mut noise);
        squares += f64::from(noise[0] * noise[0]) / 50_000.0;
    }
    assert!((squares - 1.0).abs() < 0.03, "{squares}");
}

#[test]
fn what_could_not_learn_is_refused() {
    for (agent, learner, key) in [
        ("", "replay = { updates_per_step = 0 }", "learner.replay.updates_per_step"),
        ("exploration = { theta = 0.0 }", "", "agent.exploration.theta"),
        ("", "initial_temperature = 0.0", "learner.initial_temperature"),
        ("", "temperature_learning_rate = nan", "learner.temperature_learning_rate"),
        ("", "target_entropy = -inf", "learner.target_entropy"),
    ] {
        let said = refusal("sac", agent, learner).unwrap_or_default();
        assert!(said.contains(&format!("`{key}` is")), "{key}: {said}");
    }
    assert_eq!(refusal("sac", "", ""), None);
    acts_in_bounded_boxes_only("sac");
}
