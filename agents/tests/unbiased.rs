//! The whole weight gradient of an agent is unbiased: its mean over many batches against the exact gradient of the
//! expected return, by enumeration, with a z-score for every weight. And what would be a bias is found out.

use crate::common::{
    Aim, Net, Task, agent, array, finite_differences, fit, gradient, improve, rewound, settings, with,
};
use relax_agents::{Agent, Rollout};
use relax_envs::{EnvRng, Space};
use relax_estimators::certify::{Certificate, Moments, certify};
use relax_nn::StateDict;

const HIDDEN: [usize; 1] = [5];
const SIGNIFICANCE: f64 = 1e-3;
/// Without discount, so that the expected return is what the agents climb.
const LEARNER: &str = "gamma = 1\nlambda = 1\nmax_grad_norm = 0\ncritic_max_grad_norm = 0\n\
                       learning_rate = 3e-3\nvalue_learning_rate = 1e-2\ncontrol_variate_learning_rate = 1e-2\n\
                       value_epochs = 4\ncontrol_variate_epochs = 4";

/// How one batch's gradient is made.
type Measure = fn(&mut dyn Agent, &StateDict, u64, Rollout) -> Vec<f64>;

/// As an agent does it.
fn honest(agent: &mut dyn Agent, state: &StateDict, i: u64, batch: Rollout) -> Vec<f64> {
    agent.restore(&rewound(state, i)).unwrap();
    improve(agent, &batch);
    gradient(agent, "policy")
}

/// The control variate has seen the batch.
fn fitted_first(agent: &mut dyn Agent, state: &StateDict, i: u64, batch: Rollout) -> Vec<f64> {
    agent.restore(&rewound(state, i)).unwrap();
    improve(agent, &batch);
    for _ in 0..5 {
        fit(agent, &batch);
    }
    let name = "control_variate.parameters";
    let seen = with(state, name, &array(&agent.state(), name));
    honest(agent, &seen, i, batch)
}

/// The control variate is evaluated at noise that is not the one behind the actions.
fn other_noise(agent: &mut dyn Agent, state: &StateDict, i: u64, mut batch: Rollout) -> Vec<f64> {
    let mut rng = EnvRng::from_seed_sequence(77, &[i as u32]);
    batch.noise.iter_mut().for_each(|u| *u = rng.uniform_open_f32());
    honest(agent, state, i, batch)
}

/// Trains an agent for a while, then compares the mean of its gradients with the exact one.
fn certificate(text: &str, gaussian: bool, slots: usize, batches: u64, measure: Measure) -> Certificate {
    let actions = if gaussian { Space::uniform_box(-9.0, 9.0, &[1]) } else { Space::discrete(Task::ACTIONS) };
    let mut agent = agent(&settings(&format!("hidden = [5]\n{text}"), LEARNER), 2, &actions, 31);
    let agent = agent.as_mut();
    let mut rng = EnvRng::from_seed(32);
    let roll = if gaussian { Aim::roll } else { Task::roll };
    for _ in 0..60 {
        let batch = roll(&agent.acting_policy(), 64, &mut rng);
        improve(agent, &batch);
        fit(agent, &batch);
    }
    let state = agent.state();
    let parameters = array(&state, "policy.parameters");
    let (width, steps) = if gaussian { (1, 1) } else { (Task::ACTIONS, Task::HORIZON) };
    let net = Net::new(2, &HIDDEN, width, &parameters);
    let expected_return = if gaussian { Aim::expected_return } else { Task::expected_return };
    // The agent descends, and divides by the number of steps, not of episodes.
    let exact: Vec<f64> = finite_differences(&net.parameters, |p| -expected_return(&net, p) / steps as f64);

    let policy = agent.acting_policy();
    let mut moments = Moments::new(exact.len());
    for i in 0..batches {
        let batch = roll(&policy, slots, &mut rng);
        moments.push(&measure(agent, &state, 1_000 + i, batch));
    }
    certify(&moments, &exact, SIGNIFICANCE).unwrap()
}

#[track_caller]
fn unbiased(text: &str, gaussian: bool) {
    let certificate = certificate(text, gaussian, 32, 3_000, honest);
    println!(
        "{text:?}: worst |z| {:.2} of {} (threshold {:.2})",
        certificate.worst(),
        certificate.exact.len(),
        certificate.threshold
    );
    assert!(certificate.passes(), "{text}\n{certificate}");
}

#[track_caller]
fn biased(text: &str, batches: u64, measure: Measure) {
    let certificate = certificate(text, false, 8, batches, measure);
    println!(
        "{text:?}: worst |z| {:.2} (threshold {:.2}), as it should",
        certificate.worst(),
        certificate.threshold
    );
    assert!(certificate.worst() > 2.0 * certificate.threshold, "not found out: {text}\n{certificate}");
}

#[test]
fn a2c_and_reinforce() {
    unbiased("kind = 'a2c'", false);
    unbiased("kind = 'a2c'", true);
    for baseline in ["none", "constant", "value", "leave-one-out"] {
        let text = format!("kind = 'reinforce'\nconstant_baseline = 0.7\nbaseline = '{baseline}'");
        unbiased(&text, false);
    }
}

#[test]
fn relax_a2c() {
    for form in ["residual", "pure"] {
        for noise in ["independent", "coupled"] {
            unbiased(
                &format!("kind = 'relax-a2c'\ngain = 1\ncontrol_variate = '{form}'\nnoise = '{noise}'"),
                false,
            );
        }
    }
    unbiased("kind = 'relax-a2c'\nvariance_objective = 'weights'\ngain = 1", false);
    unbiased("kind = 'relax-a2c'\ngain = 'adaptive'", false);
}

#[test]
fn lax() {
    unbiased("kind = 'relax-a2c'\ngain = 1", true);
    unbiased("kind = 'relax-a2c'\ngain = 'adaptive'", true);
    unbiased("kind = 'relax-a2c'\ngain = 1\ncontrol_variate = 'pure'\nvariance_objective = 'weights'", true);
}

#[test]
fn a_control_variate_that_has_seen_the_batch_is_found_out() {
    for noise in ["independent", "coupled"] {
        let text = format!("kind = 'relax-a2c'\ngain = 1\nnoise = '{noise}'");
        biased(&text, 2_000, fitted_first);
        let honest = certificate(&text, false, 8, 2_000, honest);
        assert!(honest.passes(), "{text}\n{honest}");
    }
}

#[test]
fn noise_of_another_action_is_found_out() {
    let text = "kind = 'relax-a2c'\ngain = 1\nnoise = 'coupled'";
    biased(text, 20_000, other_noise);
    let honest = certificate(text, false, 8, 20_000, honest);
    assert!(honest.passes(), "{text}\n{honest}");
}

/// Several choices at once: a relaxed sample and an estimate for each.
#[test]
fn factored() {
    use relax_agents::certify::{AgentTarget, Problem};
    use relax_estimators::certify::{Settings, check};
    let settings =
        Settings { significance: SIGNIFICANCE, targets: 8, detectable: 0.2, ..Settings::default() };
    for problem in [Problem::MultiDiscrete, Problem::MultiBinary] {
        for text in [
            "kind = 'reinforce'",
            "kind = 'a2c'",
            "kind = 'relax-a2c'\ngain = 1\nnoise = 'coupled'",
            "kind = 'relax-a2c'\ngain = 1\nnoise = 'independent'",
        ] {
            let mut target = AgentTarget::new(text, problem, 9, Default::default()).unwrap();
            let verdict = check(&mut target, &settings).unwrap();
            println!("{}: p = {:.3}", verdict.name, verdict.p_value);
            assert!(verdict.p_value > SIGNIFICANCE / 8.0, "{}: {:e}", verdict.name, verdict.p_value);
        }
    }
}
