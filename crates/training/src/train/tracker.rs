//! Episodes counted, the mean return of the last 100 of them, and when it first reached a threshold.

use std::collections::VecDeque;

use relax_nn::{StateDict, StateError, StateTensor};

use crate::summary::Milestone;

/// Episodes of which "solved" is judged, and all of which must exist.
const WINDOW: usize = 100;
/// The return at which CartPole-v0 counted as solved; published figures for CartPole are given for it.
const CART_POLE_195: f64 = 195.0;

/// An episode that ended in training.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Finished {
    /// Its number, counted from 1 over all slots.
    pub number: u64,
    /// Environment steps of the run until then.
    pub env_steps: u64,
    /// The slot that it ran in.
    pub slot: u32,
    /// Sum of its rewards.
    pub total_reward: f64,
    /// Its steps.
    pub length: u32,
    /// Whether it ended by itself, not by a limit.
    pub terminated: bool,
    /// Seconds since the run began.
    pub wall_seconds: f64,
}

/// What the finished episodes of a run come to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tracker {
    pub episodes: u64,
    returns: VecDeque<f64>,
    pub solved: Goal,
    pub first_195: Goal,
}

/// A threshold and when it was first reached.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Goal {
    threshold: Option<f64>,
    pub reached: Option<Milestone>,
}

impl Goal {
    fn check(&mut self, mean: f64, episodes: u64, env_steps: u64, wall_seconds: f64) {
        if let (Some(threshold), None) = (self.threshold, self.reached)
            && mean >= threshold
        {
            self.reached = Some(Milestone { threshold, episodes, env_steps, wall_seconds });
        }
    }
}

impl Tracker {
    pub fn new(env_id: &str, threshold: Option<f64>) -> Self {
        let first_195 = (env_id == "CartPole-v1").then_some(CART_POLE_195);
        Self {
            episodes: 0,
            returns: VecDeque::with_capacity(WINDOW),
            solved: Goal { threshold, reached: None },
            first_195: Goal { threshold: first_195, reached: None },
        }
    }

    /// Takes in one finished episode.
    pub fn finish(&mut self, total_reward: f64, env_steps: u64, wall_seconds: f64) {
        self.episodes += 1;
        if self.returns.len() == WINDOW {
            self.returns.pop_front();
        }
        self.returns.push_back(total_reward);
        if self.returns.len() == WINDOW
            && let Some(mean) = self.mean()
        {
            self.solved.check(mean, self.episodes, env_steps, wall_seconds);
            self.first_195.check(mean, self.episodes, env_steps, wall_seconds);
        }
    }

    /// Mean return of the last 100 episodes, of all if there were fewer; none before the first.
    pub fn mean(&self) -> Option<f64> {
        let count = self.returns.len();
        (count > 0).then(|| self.returns.iter().sum::<f64>() / count as f64)
    }

    pub fn state(&self) -> StateDict {
        let mut state = StateDict::new();
        state.insert("episodes", StateTensor::U64(vec![self.episodes]));
        state.insert("returns", StateTensor::F64(self.returns.iter().copied().collect()));
        for (name, goal) in [("solved", self.solved), ("first_195", self.first_195)] {
            let values = goal.reached.map_or_else(Vec::new, |m| {
                vec![m.threshold, m.episodes as f64, m.env_steps as f64, m.wall_seconds]
            });
            state.insert(name, StateTensor::F64(values));
        }
        state
    }

    pub fn restore(&mut self, state: &StateDict) -> Result<(), StateError> {
        let [episodes] = state.u64_array("episodes")?;
        let returns = state.f64("returns")?;
        self.episodes = episodes;
        self.returns = returns.iter().copied().skip(returns.len().saturating_sub(WINDOW)).collect();
        for (name, goal) in [("solved", &mut self.solved), ("first_195", &mut self.first_195)] {
            goal.reached = match state.f64(name)? {
                [] => None,
                _ => {
                    let [threshold, episodes, env_steps, wall_seconds] = state.f64_array(name)?;
                    Some(Milestone {
                        threshold,
                        episodes: episodes as u64,
                        env_steps: env_steps as u64,
                        wall_seconds,
                    })
                }
            };
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn solved_needs_a_hundred_episodes_and_is_recorded_once() {
        let mut tracker = Tracker::new("CartPole-v1", Some(475.0));
        for i in 0..99 {
            tracker.finish(500.0, i, 0.0);
        }
        assert_eq!(tracker.solved.reached, None);
        tracker.finish(500.0, 99, 1.5);
        let reached = tracker.solved.reached.unwrap();
        assert_eq!((reached.episodes, reached.env_steps, reached.wall_seconds), (100, 99, 1.5));
        tracker.finish(500.0, 100, 2.0);
        assert_eq!(tracker.solved.reached, Some(reached));
        assert!(tracker.first_195.reached.is_some());

        let mut other = Tracker::new("CartPole-v1", Some(475.0));
        other.restore(&tracker.state()).unwrap();
        assert_eq!(other, tracker);
    }

    #[test]
    fn the_mean_is_of_the_last_hundred() {
        let mut tracker = Tracker::new("Pendulum-v1", None);
        assert_eq!(tracker.mean(), None);
        tracker.finish(1000.0, 1, 0.0);
        assert_eq!(tracker.mean(), Some(1000.0));
        (0..100).for_each(|i| tracker.finish(f64::from(i), 2, 0.0));
        assert_eq!(tracker.mean(), Some(49.5));
        assert_eq!((tracker.episodes, tracker.solved.reached), (101, None));
    }
}
