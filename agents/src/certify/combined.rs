//! Several choices at once, and masked ones, on a task that can be enumerated.

use super::net::{Net, log_probs};
use super::tasks::{Task, finish, level, push};
use crate::{ActingPolicy, Rollout};
use relax_envs::EnvRng;

/// As [`Task`], with several choices a step that work together: the reward is no sum over them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Combined {
    /// Choices of each factor.
    pub sizes: &'static [usize],
    /// Which of them are allowed in each state, `[states][Σ sizes]`; empty if all are in all.
    pub masks: &'static [&'static [bool]],
}

const YES: bool = true;
const NO: bool = false;

impl Combined {
    /// Two factors, of two and of three choices.
    pub const MULTI_DISCRETE: Self = Self { sizes: &[2, 3], masks: &[] };
    /// Three times yes or no.
    pub const MULTI_BINARY: Self = Self { sizes: &[2, 2, 2], masks: &[] };
    /// One choice of three, of which a state allows two or only one.
    pub const MASKED: Self = Self { sizes: &[3], masks: &[&[YES, NO, YES], &[YES, YES, NO], &[NO, YES, NO]] };
    /// Two factors, of two and of three choices, each masked.
    pub const MASKED_MULTI_DISCRETE: Self = Self {
        sizes: &[2, 3],
        masks: &[&[YES, YES, YES, NO, YES], &[NO, YES, YES, YES, NO], &[YES, YES, NO, YES, YES]],
    };

    /// The choices that are allowed in a state; empty if all are.
    #[must_use]
    pub fn mask(&self, state: usize) -> &'static [bool] {
        self.masks.get(state).copied().unwrap_or_default()
    }

    /// Parameters of the policy: logits of all factors.
    #[must_use]
    pub fn width(&self) -> usize {
        self.sizes.iter().sum()
    }

    /// Combinations of choices.
    #[must_use]
    pub fn combinations(&self) -> usize {
        self.sizes.iter().product()
    }

    /// The number of a combination of choices.
    #[must_use]
    pub fn index(&self, choices: &[u32]) -> usize {
        self.sizes.iter().zip(choices).fold(0, |index, (n, &choice)| index * n + choice as usize)
    }

    /// r(s, combination): any numbers that no sum over the factors can give.
    #[must_use]
    pub fn reward(state: usize, combination: usize) -> f32 {
        ((7 * combination * combination + 5 * state + 3 * combination * state) % 11) as f32 * 0.4 - 2.0
    }

    /// Probability of every combination under the policy's logits.
    fn probabilities(&self, logits: &[f64]) -> Vec<f64> {
        let (mut all, mut start) = (vec![1.0], 0);
        for &n in self.sizes {
            let p: Vec<f64> = log_probs(&logits[start..start + n]).into_iter().map(f64::exp).collect();
            all = all.iter().flat_map(|joint| p.iter().map(move |p| joint * p)).collect();
            start += n;
        }
        all
    }

    fn value(&self, net: &Net, state: usize, left: usize) -> f64 {
        if left == 0 {
            return 0.0;
        }
        let mut logits = net.forward(&Task::observation(state).map(f64::from));
        for (logit, &allowed) in logits.iter_mut().zip(self.mask(state)) {
            *logit = if allowed { *logit } else { f64::NEG_INFINITY };
        }
        let all = self.probabilities(&logits).into_iter().enumerate();
        all.map(|(combination, p)| {
            let next = Task::next(state, combination);
            let later: f64 = next.iter().map(|&(to, q)| q * self.value(net, to, left - 1)).sum();
            p * (f64::from(Self::reward(state, combination)) + later)
        })
        .sum()
    }

    /// Expected return of the policy with these parameters, by enumeration of every path.
    #[must_use]
    pub fn expected_return(&self, net: &Net, parameters: &[f64]) -> f64 {
        let net = Net { parameters: parameters.to_vec(), ..net.clone() };
        let all = (0..Task::STATES).map(|state| self.value(&net, state, Task::HORIZON));
        all.sum::<f64>() / Task::STATES as f64
    }

    /// Whole episodes, one in each of `slots` slots.
    #[must_use]
    pub fn roll(&self, policy: &ActingPolicy, slots: usize, rng: &mut EnvRng) -> Rollout {
        let of_actions = policy.distribution();
        let mut states: Vec<usize> = (0..slots).map(|_| rng.integers(0, 3) as usize).collect();
        let mut batch = Rollout::new(slots, Task::DIM, of_actions.width(), of_actions.action_buffer());
        batch.set_mask_dim(if self.masks.is_empty() { 0 } else { self.width() });
        let mut totals = vec![0.0; slots];
        for t in 0..Task::HORIZON {
            let see = |slot: usize| (Task::observation(states[slot]), self.mask(states[slot]));
            let choices = level(&mut batch, policy, rng, see);
            for (slot, choices) in choices.chunks_exact(self.sizes.len()).enumerate() {
                let (state, combination) = (states[slot], self.index(choices));
                let reward = Self::reward(state, combination);
                let next = Task::next(state, combination);
                states[slot] = next[usize::from(rng.random() >= next[0].1)].0;
                totals[slot] += f64::from(reward);
                push(&mut batch, reward, t + 1 == Task::HORIZON);
            }
        }
        finish(&mut batch, &totals);
        batch
    }
}
