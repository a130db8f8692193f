//! The noise that makes a deterministic policy explore, in units of half the action range.

use crate::config::{ExplorationConfig, ExplorationKind};
use relax_envs::EnvRng;
use serde::{Deserialize, Serialize};

/// How a deterministic policy explores. A slot's process has a state x `[K]`, which starts at 0 with every episode.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exploration {
    /// The action itself is uniform in [−1, 1], whatever the policy says: the warm-up.
    Uniform,
    /// x = σε.
    Gaussian {
        /// σ.
        std: f32,
    },
    /// x ← (1 − θ)x + σε: an Ornstein–Uhlenbeck process with one unit of time a step, whose standard deviation settles
    /// at σ/√(θ(2 − θ)) (Lillicrap et al. 2016, §7, with θ = 0.15 and σ = 0.2).
    OrnsteinUhlenbeck {
        /// θ.
        theta: f32,
        /// σ.
        std: f32,
    },
}

impl Exploration {
    /// What the configuration asks for after the warm-up.
    #[must_use]
    pub fn new(config: &ExplorationConfig) -> Self {
        let (theta, std) = (config.theta as f32, config.std as f32);
        match config.process {
            ExplorationKind::Gaussian => Self::Gaussian { std },
            ExplorationKind::OrnsteinUhlenbeck => Self::OrnsteinUhlenbeck { theta, std },
        }
    }

    /// Moves the state `process` `[K]` on by one step and writes the step's noise `[K]`.
    pub fn draw(&self, rng: &mut EnvRng, process: &mut [f32], noise: &mut [f32]) {
        match *self {
            Self::Uniform => noise.iter_mut().for_each(|e| *e = 2.0 * rng.uniform_open_f32() - 1.0),
            Self::Gaussian { std } => {
                noise.iter_mut().for_each(|e| *e = std * rng.standard_normal() as f32);
            }
            Self::OrnsteinUhlenbeck { theta, std } => {
                for (e, x) in noise.iter_mut().zip(process) {
                    *x += std * rng.standard_normal() as f32 - theta * *x;
                    *e = *x;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Standard deviation and correlation of neighbours of a long stretch of noise.
    fn moments(exploration: Exploration) -> (f64, f64) {
        let (mut rng, mut process, mut noise) = (EnvRng::from_seed(7), [0.0], [0.0]);
        let mut draw = || {
            exploration.draw(&mut rng, &mut process, &mut noise);
            f64::from(noise[0])
        };
        let x: Vec<f64> = (0..200_000).map(|_| draw()).collect();
        let square: f64 = x.iter().map(|x| x * x).sum();
        let neighbours: f64 = x.windows(2).map(|x| x[0] * x[1]).sum();
        ((square / x.len() as f64).sqrt(), neighbours / square)
    }

    #[test]
    fn the_processes_have_the_moments_they_are_known_for() {
        let (std, correlation) = moments(Exploration::Gaussian { std: 0.3 });
        assert!((std - 0.3).abs() < 0.002 && correlation.abs() < 0.01, "{std} {correlation}");
        let (std, correlation) = moments(Exploration::OrnsteinUhlenbeck { theta: 0.15, std: 0.2 });
        // Neighbours of a process that forgets θ a step correlate by 1 − θ.
        assert!((std - 0.2 / (0.15f64 * 1.85).sqrt()).abs() < 0.01, "{std}");
        assert!((correlation - 0.85).abs() < 0.01, "{correlation}");
        let (std, _) = moments(Exploration::Uniform);
        assert!((std - (1.0f64 / 3.0).sqrt()).abs() < 0.002, "{std}");
    }
}
