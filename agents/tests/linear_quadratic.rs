//! The weight gradient that whole agents make of whole trajectories of the linear-quadratic problem, against its closed form.
//!
//! γ = λ = 1, so the policy gradient theorem holds exactly: any bias is the estimator's. V, r and Q are networks with random
//! weights, as wrong as can be; an unbiased estimator does not care.
use relax_agents::certify::LinearQuadratic;
use relax_agents::{Agent, AgentSettings, Compute, Metrics, make_agent};
use relax_envs::{EnvRng, Space};
use relax_estimators::certify::{Certificate, Moments, certify};
use relax_nn::StateDict;

const EPISODES: usize = 256;
const TRIALS: usize = 2000;
const SIGNIFICANCE: f64 = 0.001;
/// w, b, log σ.
const THETA: [f32; 3] = [-0.6, 0.2, -0.5];

/// An agent with a linear policy at [`THETA`] and random critics.
fn agent(text: &str) -> (Box<dyn Agent>, StateDict) {
    let gain = if text.contains("'a2c'") || text.contains("gain") { "" } else { "gain = 1\n" };
    let agent = format!("{gain}{text}\nhidden = []\ncritic_hidden = [8]");
    // Nothing that would bias.
    let learner =
        "gamma = 1\nlambda = 1\nmax_grad_norm = 0\nnormalize_observations = false\nnormalize_rewards = false";
    let settings = AgentSettings::from_texts(&agent, learner).unwrap();
    let space = Space::uniform_box(-1.0, 1.0, &[1]);
    let mut agent = make_agent(&settings, &space, &space, 5).unwrap();
    let mut state = agent.state();
    state.insert_f32("policy.parameters", &THETA);
    if text.contains("'relax-a2c'") {
        // r starts at 0; here it must be something: 2 → 8 → 1.
        let wrong: Vec<f32> = (0..33).map(|i| (1.7 * i as f32).sin()).collect();
        state.insert_f32("control_variate.parameters", &wrong);
    }
    agent.restore(&state).unwrap();
    (agent, state)
}

/// ∂J/∂(w, b, log σ) as the agent estimates it, trial by trial, always from the same weights.
fn verdict(name: &str, text: &str) -> Certificate {
    let (mut agent, state) = agent(text);
    let policy = agent.acting_policy();
    let (mut rng, mut moments) = (EnvRng::from_seed(11), Moments::new(3));
    for _ in 0..TRIALS {
        let rollout = LinearQuadratic::roll(&policy, EPISODES, &mut rng);
        agent.improve_policy(&rollout, 0.0, &Compute::serial(), &mut Metrics::default()).unwrap();
        // Adam's first moment after its first step is a tenth of the gradient, which descends the mean over rows of −ĝ;
        // an episode has two rows.
        let after = agent.state();
        let moment = after.f32("policy.optimizer.first_moment", 3).unwrap();
        let estimate: Vec<f64> = moment.iter().map(|&m| -20.0 * f64::from(m)).collect();
        moments.push(&estimate);
        agent.restore(&state).unwrap();
    }
    let certificate =
        certify(&moments, &LinearQuadratic::gradient(THETA.map(f64::from)), SIGNIFICANCE).unwrap();
    let variance: f64 = moments.variance().iter().sum();
    println!(
        "{name:<34} worst |z| {:>7.2} (threshold {:.2}, n = {TRIALS} batches of {EPISODES} episodes), variance {variance:.3}\n{certificate}",
        certificate.worst(),
        certificate.threshold,
    );
    certificate
}

#[test]
fn the_closed_form_is_the_derivative_of_the_closed_form() {
    let theta = THETA.map(f64::from);
    for (i, exact) in LinearQuadratic::gradient(theta).into_iter().enumerate() {
        let moved = |step: f64| std::array::from_fn(|k| theta[k] + if k == i { step } else { 0.0 });
        let at = |step: f64| LinearQuadratic::expected_return(moved(step));
        assert!((exact - (at(1e-5) - at(-1e-5)) / 2e-5).abs() < 1e-8);
    }
}

#[test]
fn a2c_lax_and_relax_ddpg_are_unbiased() {
    assert!(verdict("a2c", "kind = 'a2c'").passes());
    assert!(verdict("relax-a2c (LAX), gain 1", "kind = 'relax-a2c'").passes());
    assert!(verdict("relax-ddpg, gain 1", "kind = 'relax-ddpg'").passes());
    assert!(verdict("relax-ddpg, gain 0.5", "kind = 'relax-ddpg'\ngain = 0.5").passes());
}

#[test]
fn without_the_correction_the_bias_is_found() {
    let certificate = verdict("relax-ddpg, correction = false", "kind = 'relax-ddpg'\ncorrection = false");
    assert!(!certificate.passes() && certificate.worst() > 50.0);
}
