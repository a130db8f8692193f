//! Discounted sums over what follows in a rollout, up to the end of the episode or of the rollout.

use super::guard::VERSIONS;
use crate::rollout::Rollout;

/// What a trajectory-wise control variate says of a batch's actions, by version.
#[derive(Debug, Default)]
pub struct Futures {
    /// C_t `[rows]`: of the action taken.
    pub c: [Vec<f32>; VERSIONS],
    /// F_t = Σ_{k>t} decay^{k−t} C_k `[rows]`: of those to come.
    pub later: [Vec<f32>; VERSIONS],
    sums: Vec<f32>,
}

impl Futures {
    /// Takes C of every version from the shards, `of(version)` giving theirs in order, and adds up F.
    pub fn collect<'a, I: Iterator<Item = &'a [f32]>>(
        &mut self,
        rollout: &Rollout,
        decay: f32,
        of: impl Fn(usize) -> I,
    ) {
        for (version, (c, later)) in self.c.iter_mut().zip(&mut self.later).enumerate() {
            c.clear();
            of(version).for_each(|shard| c.extend_from_slice(shard));
            later.resize(rollout.rows(), 0.0);
            later_sums(rollout, c, decay, &mut self.sums, later);
        }
    }

    /// [`mean_squared_delta`] of the batch.
    #[must_use]
    pub fn mean_squared_delta(&mut self, rollout: &Rollout, advantages: &[f32], decay: f32) -> f64 {
        mean_squared_delta(rollout, advantages, decay, &mut self.sums)
    }
}

/// later_t ← Σ_{k>t} decay^{k−t} x_k, over the rows of the same episode within the rollout. `x`, `later` `[rows]`; `sums` is
/// scratch.
pub fn later_sums(rollout: &Rollout, x: &[f32], decay: f32, sums: &mut Vec<f32>, later: &mut [f32]) {
    sums.clear();
    sums.resize(rollout.slots(), 0.0);
    for row in (0..rollout.rows()).rev() {
        let sum = &mut sums[rollout.slot[row] as usize];
        if rollout.terminated[row] || rollout.truncated[row] {
            *sum = 0.0;
        }
        later[row] = decay * *sum;
        *sum = x[row] + later[row];
    }
}

/// Mean of δ_t² over the rows, where the `advantages` are Σ_{k≥t} decay^{k−t} δ_k.
#[must_use]
pub fn mean_squared_delta(rollout: &Rollout, advantages: &[f32], decay: f32, next: &mut Vec<f32>) -> f64 {
    next.clear();
    next.resize(rollout.slots(), 0.0);
    let mut total = 0.0;
    for row in (0..rollout.rows()).rev() {
        let next = &mut next[rollout.slot[row] as usize];
        if rollout.terminated[row] || rollout.truncated[row] {
            *next = 0.0;
        }
        let delta = f64::from(advantages[row] - decay * *next);
        total += delta * delta;
        *next = advantages[row];
    }
    total / rollout.rows() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ActionBuffer;

    #[test]
    fn sums_end_with_their_episode() {
        let mut r = Rollout::new(2, 1, 1, ActionBuffer::Discrete(vec![0; 7]));
        r.levels = vec![0, 2, 4, 6, 7];
        r.slot = vec![0, 1, 0, 1, 0, 1, 0];
        r.rewards = vec![0.0; 7];
        r.terminated = vec![false, false, true, false, false, false, false];
        r.truncated = vec![false, false, false, false, false, true, false];
        let (x, mut later) = ([1.0, 10.0, 2.0, 20.0, 3.0, 30.0, 4.0], [0.0; 7]);
        let mut scratch = Vec::new();
        later_sums(&r, &x, 0.5, &mut scratch, &mut later);
        assert_eq!(later, [1.0, 17.5, 0.0, 15.0, 2.0, 0.0, 0.0]);
        let all: Vec<f32> = x.iter().zip(later).map(|(x, l)| x + l).collect();
        let squares = x.iter().map(|&x| f64::from(x * x)).sum::<f64>();
        assert!((mean_squared_delta(&r, &all, 0.5, &mut scratch) - squares / 7.0).abs() < 1e-9);
    }
}
