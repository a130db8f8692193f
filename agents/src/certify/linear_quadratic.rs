//! A linear system of two steps with a linear Gaussian policy, whose policy gradient has a closed form.
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

use crate::{ActingPolicy, ActingScratch, Rollout};
use relax_envs::EnvRng;

/// The system, started at one state.
#[derive(Debug, Clone, Copy)]
pub struct LinearQuadratic;

impl LinearQuadratic {
    /// The state every episode starts in.
    pub const START: f32 = 0.7;
    /// Steps of an episode.
    pub const HORIZON: usize = 2;

    /// ∂J/∂(w, b, log σ) at those parameters.
    #[must_use]
    pub fn gradient([w, b, log_std]: [f64; 3]) -> [f64; 3] {
        let (x, variance) = (f64::from(Self::START), (2.0 * log_std).exp());
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

    /// J at (w, b, log σ).
    #[must_use]
    pub fn expected_return([w, b, log_std]: [f64; 3]) -> f64 {
        let (x, v) = (f64::from(Self::START), (2.0 * log_std).exp());
        let (mu0, m1) = (w * x + b, x + w * x + b);
        let mu1 = w * m1 + b;
        -(0.5 * (mu0 * mu0 + v) + m1 * m1 + v + 0.5 * (mu1 * mu1 + w * w * v + v))
            - ((m1 + mu1).powi(2) + (1.0 + w).powi(2) * v + v)
    }

    /// Whole episodes, one in each of `slots` slots.
    #[must_use]
    pub fn roll(policy: &ActingPolicy, slots: usize, rng: &mut EnvRng) -> Rollout {
        let mut rollout = Rollout::new(slots, 1, 1, policy.distribution().action_buffer());
        let mut scratch = ActingScratch::default();
        let mut states = vec![Self::START; slots];
        for step in 0..Self::HORIZON {
            let rows = step * slots..(step + 1) * slots;
            rollout.slot.extend(0..slots as u32);
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
                rollout.terminated.push(step + 1 == Self::HORIZON);
                rollout.truncated.push(false);
            }
            rollout.levels.push(rollout.slot.len());
        }
        rollout
    }
}
