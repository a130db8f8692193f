//! How the scales have moved from one batch to the next, for critics that are to go on saying what they said.
//!
//! With `preserve_values` a critic is rewritten after every batch as the scales have moved ([`Critic::keep`]): else it follows them by
//! gradient steps and is always a little behind, by the same amount in all states, which is most of a whole batch's variance where the
//! returns vary little. Not before a batch counts for a twentieth of the statistics or less: the first batches find the scales, and a
//! critic is better begun on them anew than carried over.
//!
//! [`Critic::keep`]: crate::parts::critic::Critic::keep

use super::Scaling;

/// So many times a batch's rows must have been seen before it.
const SETTLED: f64 = 20.0;

/// How far the scales of the next batch lie from those of the batch at hand.
#[derive(Debug, Clone, PartialEq)]
pub struct Moved {
    /// The scale of the batch at hand.
    before: Scaling,
    factor: Vec<f32>,
    offset: Vec<f32>,
    rewards: f32,
    pub(super) rewards_settled: bool,
}

impl Default for Moved {
    fn default() -> Self {
        let (factor, offset) = Default::default();
        Self { before: Scaling::default(), factor, offset, rewards: 1.0, rewards_settled: false }
    }
}

impl Moved {
    /// Whether statistics of `count` rows, the `batch` last merged among them, had settled before it.
    pub(super) fn has_settled(count: f64, batch: usize) -> bool {
        count >= (SETTLED + 1.0) * batch as f64
    }

    /// Notes the scale of observations before it moves.
    pub(super) fn begin(&mut self, scaling: &Scaling) {
        self.before.clone_from(scaling);
    }

    /// Observations have moved from the scale noted to `after`; that counts, if they had `settled`.
    pub(super) fn observations_to(&mut self, after: &Scaling, settled: bool) {
        let Self { before, factor, offset, .. } = self;
        factor.clear();
        offset.clear();
        let old = before.mean.iter().zip(&before.inverse).take(if settled { usize::MAX } else { 0 });
        for ((old_mean, old), (mean, new)) in old.zip(after.mean.iter().zip(&after.inverse)) {
            factor.push(old / new);
            offset.push((mean - old_mean) * old);
        }
    }

    /// Rewards have moved by `factor`; that counts, if they had settled.
    pub(super) fn rewards_by(&mut self, factor: f32) {
        self.rewards = if self.rewards_settled { factor } else { 1.0 };
    }

    /// What makes of an observation on the new scale one on the old scale: a factor, then an offset, `[D]` each; `None` where
    /// critics are not to follow.
    #[must_use]
    pub fn observations(&self) -> Option<(&[f32], &[f32])> {
        (!self.factor.is_empty()).then_some((&self.factor[..], &self.offset[..]))
    }

    /// What makes of a reward on the old scale one on the new scale: a factor.
    #[must_use]
    pub fn rewards(&self) -> f32 {
        self.rewards
    }

    /// Brings `observations` `[rows, D]` and numbers in units of `rewards` from the old scale to the new one.
    pub fn bring(&self, observations: &mut [f32], rewards: &mut [f32]) {
        let each = self.factor.iter().zip(&self.offset).cycle();
        observations.iter_mut().zip(each).for_each(|(x, (factor, offset))| *x = (*x - offset) / factor);
        rewards.iter_mut().for_each(|r| *r *= self.rewards);
    }
}
