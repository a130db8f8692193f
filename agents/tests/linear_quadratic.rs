//! The weight gradient that whole agents make of whole trajectories, against a closed form.
//!
//! A linear system of two steps with a linear Gaussian policy:
//!
//! ```text
//! s₀ = x,   a_t = w s_t + b + σε_t,   s_{t+1} = s_t + a_t,   r₀ = −½a₀² ,   r₁ = −(s₁² + ½a₁² + s₂²),   then terminal
//! ```
//! Means and variances of all quantities follow one another (μ_t = E\[a_t\], m_t = E\[s_t\], m₀ = x):
//!
//! ```text
//! μ₀ = wx + b     m₁ = x + μ₀     Var s₁ = σ²      Var a₀ = σ²
//! μ₁ = wm₁ + b    m₂ = m₁ + μ₁    Var a₁ = w²σ² + σ²      Var s₂ = (1+w)²σ² + σ²   (s₂ = (1+w)s₁ + b + σε₁)
//! J = E[r₀ + r₁] = −[½(μ₀² + σ²) + m₁² + σ² + ½(μ₁² + w²σ² + σ²) + m₂² + (1+w)²σ² + σ²]
//! ```
//! and with ∂μ₀/∂w = x, ∂m₁/∂w = x, ∂μ₁/∂w = m₁ + wx, ∂m₂/∂w = x + ∂μ₁/∂w; ∂/∂b: 1, 1, 1+w, 2+w:
//!
//! ```text
//! ∂J/∂w     = −[μ₀x + 2m₁x + μ₁(m₁ + wx) + wσ² + 2m₂(x + m₁ + wx) + 2(1+w)σ²]
//! ∂J/∂b     = −[μ₀ + 2m₁ + μ₁(1+w) + 2m₂(2+w)]
//! ∂J/∂log σ = −2σ²[3 + ½w² + (1+w)²]
//! ```
//! γ = λ = 1, so the policy gradient theorem holds exactly: any bias is the estimator's. V, r and Q are networks with random
//! weights, as wrong as can be; an unbiased estimator does not care.
#![allow(clippy::unwrap_used)]

use relax_agents::config::{AgentConfig, AgentKind, Gain, LearnerConfig};
use relax_agents::{ActingPolicy, ActingScratch, Agent, Compute, Metrics, Rollout, make_agent};
use relax_envs::{EnvRng, Space};
use relax_estimators::certify::{Certificate, Moments, certify};
use relax_nn::StateDict;

const EPISODES: usize = 256;
const TRIALS: usize = 2000;
const SIGNIFICANCE: f64 = 0.001;
const X: f32 = 0.7;
/// w, b, log σ.
const THETA: [f32; 3] = [-0.6, 0.2, -0.5];

fn exact() -> [f64; 3] {
    let [w, b, log_std] = THETA.map(f64::from);
    let (x, variance) = (f64::from(X), (2.0 * log_std).exp());
    let mu0 = w * x + b;
    let m1 = x + mu0;
    let mu1 = w * m1 + b;
    let m2 = m1 + mu1;
    let d_mu1 = m1 + w * x;
    [
        -(mu0 * x
            + 2.0 * m1 * x
            + mu1 * d_mu1
            + w * variance
            + 2.0 * m2 * (x + d_mu1)
            + 2.0 * (1.0 + w) * variance),
        -(mu0 + 2.0 * m1 + mu1 * (1.0 + w) + 2.0 * m2 * (2.0 + w)),
        -2.0 * variance * (3.0 + 0.5 * w * w + (1.0 + w).powi(2)),
    ]
}

/// An agent with a linear policy at [`THETA`] and random critics.
fn agent(kind: AgentKind, change: impl FnOnce(&mut AgentConfig)) -> (Box<dyn Agent>, StateDict) {
    let mut config = AgentConfig {
        kind,
        hidden: Vec::new(),
        critic_hidden: Some(vec![8]),
        gain: Gain::Fixed(1.0),
        ..AgentConfig::new(kind)
    };
    change(&mut config);
    let learner = LearnerConfig { gamma: 1.0, lambda: 1.0, max_grad_norm: 0.0, ..LearnerConfig::default() };
    let space = Space::uniform_box(-1.0, 1.0, &[1]);
    let mut agent = make_agent(&config, &learner, &space, &space, 5).unwrap();
    let mut state = agent.state();
    state.insert_f32("policy.parameters", &THETA);
    if kind == AgentKind::RelaxA2c {
        // r starts at 0; here it must be something: 2 → 8 → 1.
        let wrong: Vec<f32> = (0..33).map(|i| (1.7 * i as f32).sin()).collect();
        state.insert_f32("control_variate.parameters", &wrong);
    }
    agent.restore(&state).unwrap();
    (agent, state)
}

/// [`EPISODES`] whole episodes side by side.
fn play(policy: &ActingPolicy, rng: &mut EnvRng, rollout: &mut Rollout) {
    rollout.clear();
    let mut scratch = ActingScratch::default();
    let mut states = vec![X; EPISODES];
    for step in 0..2 {
        let rows = step * EPISODES..(step + 1) * EPISODES;
        rollout.slot.extend(0..EPISODES as u32);
        rollout.observations.extend_from_slice(&states);
        rollout.noise.resize(rows.end, 0.0);
        for noise in rollout.noise[rows.clone()].chunks_exact_mut(1) {
            policy.draw(rng, &mut [0.0], noise);
        }
        rollout.actions.resize(rows.end);
        let noise = &rollout.noise[rows.clone()];
        policy.act(&states, noise, &mut scratch, &mut rollout.actions, rows.clone());
        for (s, &a) in states.iter_mut().zip(&rollout.actions.values()[rows]) {
            let before = *s;
            *s += a;
            let cost = if step == 0 { 0.0 } else { before * before + *s * *s };
            rollout.rewards.push(-(0.5 * a * a + cost));
            rollout.terminated.push(step == 1);
            rollout.truncated.push(false);
        }
        rollout.levels.push(rollout.slot.len());
    }
}

/// ∂J/∂(w, b, log σ) as the agent estimates it, trial by trial, always from the same weights.
fn verdict(name: &str, kind: AgentKind, change: impl FnOnce(&mut AgentConfig)) -> Certificate {
    let (mut agent, state) = agent(kind, change);
    let policy = agent.acting_policy();
    let mut rollout = Rollout::new(EPISODES, 1, 1, policy.node().action_buffer());
    let (mut rng, mut moments) = (EnvRng::from_seed(11), Moments::new(3));
    for _ in 0..TRIALS {
        play(&policy, &mut rng, &mut rollout);
        agent.improve_policy(&rollout, 0.0, &Compute::serial(), &mut Metrics::default()).unwrap();
        // Adam's first moment after its first step is a tenth of the gradient, which descends the mean over rows of −ĝ;
        // an episode has two rows.
        let after = agent.state();
        let moment = after.f32("policy.optimizer.first_moment", 3).unwrap();
        let estimate: Vec<f64> = moment.iter().map(|&m| -20.0 * f64::from(m)).collect();
        moments.push(&estimate);
        agent.restore(&state).unwrap();
    }
    let certificate = certify(&moments, &exact(), SIGNIFICANCE).unwrap();
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
    let j = |[w, b, log_std]: [f64; 3]| {
        let (x, v) = (f64::from(X), (2.0 * log_std).exp());
        let (mu0, m1) = (w * x + b, x + w * x + b);
        let mu1 = w * m1 + b;
        -(0.5 * (mu0 * mu0 + v) + m1 * m1 + v + 0.5 * (mu1 * mu1 + w * w * v + v))
            - ((m1 + mu1).powi(2) + (1.0 + w).powi(2) * v + v)
    };
    let theta = THETA.map(f64::from);
    for (i, exact) in exact().into_iter().enumerate() {
        let at = |step: f64| j(std::array::from_fn(|k| theta[k] + if k == i { step } else { 0.0 }));
        assert!((exact - (at(1e-5) - at(-1e-5)) / 2e-5).abs() < 1e-8);
    }
}

#[test]
fn a2c_lax_and_relax_ddpg_are_unbiased() {
    assert!(verdict("a2c", AgentKind::A2c, |_| {}).passes());
    assert!(verdict("relax-a2c (LAX), gain 1", AgentKind::RelaxA2c, |_| {}).passes());
    assert!(verdict("relax-ddpg, gain 1", AgentKind::RelaxDdpg, |_| {}).passes());
    let half = |config: &mut AgentConfig| config.gain = Gain::Fixed(0.5);
    assert!(verdict("relax-ddpg, gain 0.5", AgentKind::RelaxDdpg, half).passes());
}

#[test]
fn without_the_correction_the_bias_is_found() {
    let certificate =
        verdict("relax-ddpg, correction = false", AgentKind::RelaxDdpg, |config| config.correction = false);
    assert!(!certificate.passes() && certificate.worst() > 50.0);
}
