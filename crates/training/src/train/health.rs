//! The health of a run: what is plainly off in its figures, in a sentence each, with what to change.
//!
//! Every complaint is about a kind of run that people report as "it does not learn" and that its figures give away. A run
//! that has solved its task is never complained about.

use relax_agents::{ActionBuffer, Metrics};
use relax_nn::{StateDict, StateError, StateTensor};

/// Updates and episodes before anything is said.
const ENOUGH: f64 = 20.0;
/// A share that counts as "always".
const ALWAYS: f64 = 0.95;
/// An entropy below this share of the first is no exploration (discrete actions) …
const COLLAPSED: f64 = 0.02;
/// … and so is one this many nats per action below the first: a fiftieth of the standard deviation (continuous actions).
const COLLAPSED_NATS: f64 = 4.0;
/// An explained variance below this is none: a critic that says the same of every state has 0, but for rounding.
const UNEXPLAINED: f64 = 1e-3;
/// Clipping by less than this in the typical update is what clipping is for.
const HARD_CLIP: f64 = 10.0;

/// What most often ails a critic of pictures: steps so large that its encoder dies.
const FOR_PICTURES: &str = "its encoder may have died; lower learner.value_learning_rate (to 2.5e-4) and set \
                            learner.value_epochs = 1";
/// … and one of numbers.
const FOR_NUMBERS: &str =
    "raise learner.value_epochs or learner.value_learning_rate, or set learner.normalize_rewards = true";

/// Sums over a run, as its updates and episodes come in.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Health {
    updates: f64,
    /// Updates of one row.
    single_rows: f64,
    /// Updates in which the policy took a step.
    steps: f64,
    /// Updates with a policy gradient to be clipped, those whose gradient was clipped, and Σ ln(norm / limit) of all.
    gradients: f64,
    clipped: f64,
    excess: f64,
    /// Updates with an explained variance, and those where it was none to speak of ([`UNEXPLAINED`]).
    explained: f64,
    unexplained: f64,
    /// Entropy: of the first update, and a moving average.
    first_entropy: f64,
    entropy: f64,
    /// Action numbers that the entropy is a sum over; 0: discrete actions.
    dims: f64,
    episodes: f64,
    lowest: f64,
    highest: f64,
    /// Mean return of the first hundred episodes.
    early: f64,
}

/// What a complaint depends on beside the figures.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Circumstances {
    /// `learner.max_grad_norm`; 0: no clipping.
    pub max_grad_norm: f64,
    /// Whether pictures go through an encoder.
    pub encoded: bool,
    /// `learner.normalize_advantages`.
    pub normalize_advantages: bool,
    /// Whether the task was solved.
    pub solved: bool,
    /// Mean return of the last 100 episodes.
    pub mean_return_100: Option<f64>,
    /// Environment steps so far, and those of each slot.
    pub env_steps: u64,
    pub slots: usize,
    /// Step at which episodes are truncated, where that is known.
    pub max_episode_steps: Option<u32>,
}

/// Something that is off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Complaint {
    /// In two or three words, for the live display.
    pub short: &'static str,
    /// In a sentence or two: what is off, and what to change.
    pub text: String,
}

impl Health {
    /// Takes in the figures of an update on a batch of `rows` such `actions`.
    pub fn update(&mut self, metrics: &Metrics, rows: u64, actions: &ActionBuffer, max_grad_norm: f64) {
        let flag = |condition: bool| f64::from(u8::from(condition));
        self.updates += 1.0;
        self.single_rows += flag(rows == 1);
        self.steps += flag(metrics.policy_gradient_norm.is_finite());
        if metrics.policy_gradient_norm > 0.0 && max_grad_norm > 0.0 {
            self.gradients += 1.0;
            self.clipped += flag(metrics.policy_gradient_norm > max_grad_norm);
            self.excess += (metrics.policy_gradient_norm / max_grad_norm).ln();
        }
        if metrics.explained_variance.is_finite() {
            self.explained += 1.0;
            self.unexplained += flag(metrics.explained_variance < UNEXPLAINED);
        }
        if metrics.entropy.is_finite() {
            if self.updates == 1.0 {
                (self.first_entropy, self.entropy) = (metrics.entropy, metrics.entropy);
            }
            self.entropy += 0.05 * (metrics.entropy - self.entropy);
            self.dims = match actions {
                ActionBuffer::Discrete(_) | ActionBuffer::Factored { .. } => 0.0,
                ActionBuffer::Box { dim, .. } => *dim as f64,
            };
        }
    }

    /// Takes in a finished episode.
    pub fn episode(&mut self, total_reward: f64) {
        if self.episodes == 0.0 {
            (self.lowest, self.highest) = (total_reward, total_reward);
        }
        self.episodes += 1.0;
        self.lowest = self.lowest.min(total_reward);
        self.highest = self.highest.max(total_reward);
        if self.episodes <= 100.0 {
            self.early += (total_reward - self.early) / self.episodes;
        }
    }

    /// What is off, the gravest first.
    pub fn complaints(&self, at: &Circumstances) -> Vec<Complaint> {
        if at.solved || self.updates < ENOUGH {
            return Vec::new();
        }
        let mut all = Vec::new();
        let mut complain = |short, text| all.push(Complaint { short, text });
        if self.steps == 0.0 {
            let text = format!(
                "No gradient step was taken in {} steps: the warm-up is not over. Raise run.env_steps or lower \
                 learner.replay.warm_up_steps.",
                at.env_steps
            );
            complain("nothing learned yet", text);
        }
        if self.episodes == 0.0 {
            complain("no episode ended", self.endless(at));
        } else if self.episodes >= ENOUGH && self.lowest == self.highest {
            let text = format!(
                "All {} episodes returned {}: no action has made a difference yet, so there is nothing to learn from. \
                 Explore more (learner.entropy = 0.01, or longer with run.env_steps), or give the task a reward on the way.",
                self.episodes, self.lowest
            );
            complain("returns never vary", text);
        }
        if at.normalize_advantages && self.single_rows > 0.5 * self.updates {
            let text = format!(
                "{} of {} updates had a single row, whose normalised advantage is always 0: raise rollout.envs or \
                 rollout.steps, or set learner.normalize_advantages = false.",
                self.single_rows, self.updates
            );
            complain("batches of one row", text);
        }
        if self.has_collapsed() && self.has_not_learned(at) {
            let text = format!(
                "The policy has stopped exploring (entropy {:.2}, {:.2} at the start) without having learned the task: a \
                 smaller learner.learning_rate or learner.entropy = 0.01 keeps it exploring.",
                self.entropy, self.first_entropy
            );
            complain("entropy collapsed", text);
        }
        if self.explained >= ENOUGH && self.unexplained >= ALWAYS * self.explained {
            let text = format!(
                "The critic was no better than a constant in {:.0} % of the updates (explained variance below {UNEXPLAINED}): \
                 {}.",
                100.0 * self.unexplained / self.explained,
                if at.encoded { FOR_PICTURES } else { FOR_NUMBERS },
            );
            complain("critic explains nothing", text);
        }
        let factor = (self.excess / self.gradients.max(1.0)).exp();
        if self.gradients >= ENOUGH && self.clipped >= ALWAYS * self.gradients && factor > HARD_CLIP {
            let text = format!(
                "The policy's gradient was clipped in {:.0} % of the updates, typically to 1/{factor:.0} of its length: set \
                 learner.normalize_rewards = true, or raise learner.max_grad_norm (now {}).",
                100.0 * self.clipped / self.gradients,
                at.max_grad_norm
            );
            complain("gradient always clipped", text);
        }
        all
    }

    fn endless(&self, at: &Circumstances) -> String {
        let each = at.env_steps / at.slots.max(1) as u64;
        let start = format!("No episode ended in {} steps, {each} in each environment", at.env_steps);
        match at.max_episode_steps {
            Some(limit) if u64::from(limit) > each => format!(
                "{start}, and episodes may last {limit}: raise run.env_steps, lower rollout.envs, or set a shorter \
                 env.max_episode_steps."
            ),
            _ => format!("{start}: set env.max_episode_steps, so that returns can be compared."),
        }
    }

    fn has_collapsed(&self) -> bool {
        if self.dims == 0.0 {
            self.first_entropy > 0.0 && self.entropy < COLLAPSED * self.first_entropy
        } else {
            self.entropy < self.first_entropy - COLLAPSED_NATS * self.dims
        }
    }

    /// Whether returns are no better than those of the first hundred episodes.
    fn has_not_learned(&self, at: &Circumstances) -> bool {
        at.mean_return_100.is_some_and(|mean| self.episodes > 100.0 && mean <= self.early)
    }

    const NUMBERS: usize = 15;

    fn numbers(&self) -> [f64; Self::NUMBERS] {
        [
            self.updates,
            self.single_rows,
            self.gradients,
            self.clipped,
            self.excess,
            self.explained,
            self.unexplained,
            self.first_entropy,
            self.entropy,
            self.dims,
            self.episodes,
            self.lowest,
            self.highest,
            self.early,
            self.steps,
        ]
    }

    /// Everything that must survive a checkpoint.
    pub fn state(&self) -> StateTensor {
        StateTensor::F64(self.numbers().to_vec())
    }

    /// Takes over what [`state`](Self::state) gave under the name `health`.
    ///
    /// # Errors
    /// If it is missing or of another size.
    pub fn restore(state: &StateDict) -> Result<Self, StateError> {
        let n: [f64; Self::NUMBERS] = state.f64_array("health")?;
        Ok(Self {
            updates: n[0],
            single_rows: n[1],
            gradients: n[2],
            clipped: n[3],
            excess: n[4],
            explained: n[5],
            unexplained: n[6],
            first_entropy: n[7],
            entropy: n[8],
            dims: n[9],
            episodes: n[10],
            lowest: n[11],
            highest: n[12],
            early: n[13],
            steps: n[14],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_critic_that_says_the_same_of_every_picture_is_named() {
        let at = Circumstances {
            max_grad_norm: 0.5,
            encoded: true,
            normalize_advantages: false,
            solved: false,
            mean_return_100: Some(-20.0),
            env_steps: 5000,
            slots: 8,
            max_episode_steps: None,
        };
        let complaints = |explained_variance: f64| {
            let mut health = Health::default();
            let metrics =
                Metrics { explained_variance, policy_gradient_norm: 0.1, entropy: 1.0, ..Metrics::default() };
            (0..30).for_each(|_| health.update(&metrics, 256, &ActionBuffer::Discrete(vec![0; 256]), 0.5));
            (0..30).for_each(|episode| health.episode(-20.0 - f64::from(episode % 2)));
            health.complaints(&at)
        };
        // 0 but for rounding, as dead encoders have it: never below 0, and nothing explained.
        for dead in [0.0, 1e-6, -1.0] {
            let found = complaints(dead);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].text.contains("lower learner.value_learning_rate (to 2.5e-4)"), "{found:?}");
        }
        assert_eq!(complaints(0.05), Vec::new());
    }
}
