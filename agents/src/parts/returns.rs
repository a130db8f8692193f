//! Returns and advantages over a rollout: Monte-Carlo, n-step, λ-return, with termination and truncation told apart.

use crate::rollout::Rollout;

/// Per-slot accumulators of [`advantages`], allocated once.
#[derive(Debug, Clone, Default)]
pub struct ReturnScratch {
    next_value: Vec<f32>,
    advantage: Vec<f32>,
}

/// V of what lies beyond a rollout's rows.
#[derive(Debug, Clone, Copy)]
pub struct Beyond<'a> {
    /// V of `rollout.final_observations`: the last observations of truncated episodes.
    pub truncated: &'a [f32],
    /// V of `rollout.next_observations`, `[slots]`.
    pub next: &'a [f32],
}

/// Generalised advantage estimates: with δ_t = r_t + γ V(s_{t+1}) − V(s_t),
///
/// ```text
/// advantage_t = δ_t + γ λ advantage_{t+1}            λ-return R̂_t = advantage_t + V(s_t)
/// ```
/// where V(s_{t+1}) is 0 after a terminated step, V(final observation) after a truncated one and V(next observation)
/// where the rollout stops in mid-episode; in all three cases the sum ends there. λ = 1 is the Monte-Carlo return (the
/// n-step return where the rollout stops after n steps), λ = 0 the one-step return.
///
/// # Shapes
/// `values`, `advantages`: `[rows]`.
///
/// Reference: Schulman et al. 2016, eq. 16; truncation as in Pardo et al. 2018.
pub fn advantages(
    rollout: &Rollout,
    values: &[f32],
    beyond: Beyond<'_>,
    gamma: f32,
    lambda: f32,
    scratch: &mut ReturnScratch,
    advantages: &mut [f32],
) {
    assert_eq!(values.len(), rollout.rows());
    assert_eq!(advantages.len(), rollout.rows());
    scratch.next_value.clear();
    scratch.next_value.extend_from_slice(beyond.next);
    scratch.advantage.clear();
    scratch.advantage.resize(rollout.slots(), 0.0);
    let mut cut = rollout.truncated_rows.len();
    for row in (0..rollout.rows()).rev() {
        let slot = rollout.slot[row] as usize;
        let (next_value, advantage) = (&mut scratch.next_value[slot], &mut scratch.advantage[slot]);
        if rollout.terminated[row] {
            (*next_value, *advantage) = (0.0, 0.0);
        } else if rollout.truncated[row] {
            cut -= 1;
            (*next_value, *advantage) = (beyond.truncated[cut], 0.0);
        }
        let delta = rollout.rewards[row] + gamma * *next_value - values[row];
        *advantage = delta + gamma * lambda * *advantage;
        *next_value = values[row];
        advantages[row] = *advantage;
    }
}

/// Marks in `complete` `[rows]` the rows whose episode ended within the rollout: the ones whose Monte-Carlo return is
/// known without a value function.
pub fn complete_rows(rollout: &Rollout, complete: &mut [bool], scratch: &mut Vec<bool>) {
    scratch.clear();
    scratch.extend(rollout.open.iter().map(|open| !open));
    for row in (0..rollout.rows()).rev() {
        let ended = &mut scratch[rollout.slot[row] as usize];
        *ended |= rollout.terminated[row] || rollout.truncated[row];
        complete[row] = *ended;
    }
}

/// Share of the variance of the returns that the values explain: 1 − Var(R̂ − V)/Var(R̂); 1 is perfect, 0 no better than
/// a constant. NaN if the returns do not vary.
#[must_use]
pub fn explained_variance(values: &[f32], advantages: &[f32]) -> f64 {
    let n = values.len() as f64;
    // R̂ − V and R̂ at a time, so that one sum need not wait for the other.
    let pairs = || advantages.iter().zip(values).map(|(&a, &v)| (f64::from(a), f64::from(a) + f64::from(v)));
    let mean = pairs().fold((0.0, 0.0), |sums, pair| (sums.0 + pair.0, sums.1 + pair.1));
    let mean = (mean.0 / n, mean.1 / n);
    let squares = pairs().fold((0.0, 0.0), |sums: (f64, f64), (residual, total)| {
        (sums.0 + (residual - mean.0).powi(2), sums.1 + (total - mean.1).powi(2))
    });
    let (residual, total) = (squares.0 / n, squares.1 / n);
    if total > 0.0 { 1.0 - residual / total } else { f64::NAN }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::ActionBuffer;

    /// Two slots, four levels: slot 0 terminates at level 1, slot 1 is truncated at level 2, both are open at the end.
    fn rollout() -> Rollout {
        let mut r = Rollout::new(2, 1, 1, ActionBuffer::Discrete(Vec::new()));
        r.levels = vec![0, 2, 4, 6, 7];
        r.slot = vec![0, 1, 0, 1, 0, 1, 0];
        r.rewards = vec![1.0, 10.0, 2.0, 20.0, 3.0, 30.0, 4.0];
        r.terminated = vec![false, false, true, false, false, false, false];
        r.truncated = vec![false, false, false, false, false, true, false];
        r.truncated_rows = vec![5];
        r.open = vec![true, false];
        r
    }

    #[test]
    fn every_ending_is_bootstrapped_as_it_should_be() {
        let r = rollout();
        let values = [0.5, 5.0, 0.25, 6.0, 0.75, 7.0, 1.5];
        let beyond = Beyond { truncated: &[100.0], next: &[50.0, 60.0] };
        let (gamma, mut scratch, mut a) = (0.5f32, ReturnScratch::default(), [0.0; 7]);
        // λ = 1: returns by hand.
        advantages(&r, &values, beyond, gamma, 1.0, &mut scratch, &mut a);
        let returns: Vec<f32> = a.iter().zip(values).map(|(a, v)| a + v).collect();
        let late = 4.0 + 0.5 * 50.0;
        let cut = 30.0 + 0.5 * 100.0;
        let expected = [
            1.0 + 0.5 * 2.0,
            10.0 + 0.5 * (20.0 + 0.5 * cut),
            2.0,
            20.0 + 0.5 * cut,
            3.0 + 0.5 * late,
            cut,
            late,
        ];
        for (found, expected) in returns.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-4, "{returns:?}");
        }
        // λ = 0: one-step returns.
        advantages(&r, &values, beyond, gamma, 0.0, &mut scratch, &mut a);
        let expected =
            [1.0 + 0.5 * 0.25, 10.0 + 0.5 * 6.0, 2.0, 20.0 + 0.5 * 7.0, 3.0 + 0.5 * 1.5, cut, late];
        for ((a, v), expected) in a.iter().zip(values).zip(expected) {
            assert!((a + v - expected).abs() < 1e-4);
        }
        // In between: the recursion R̂_t = r_t + γ((1−λ)V(s_{t+1}) + λR̂_{t+1}).
        advantages(&r, &values, beyond, gamma, 0.3, &mut scratch, &mut a);
        let at = |row: usize| a[row] + values[row];
        assert!((at(1) - (10.0 + 0.5 * (0.7 * 6.0 + 0.3 * at(3)))).abs() < 1e-4);
        assert!((at(4) - (3.0 + 0.5 * (0.7 * 1.5 + 0.3 * at(6)))).abs() < 1e-4);
    }

    #[test]
    fn rows_of_finished_episodes_are_told_apart() {
        let (r, mut complete) = (rollout(), [false; 7]);
        complete_rows(&r, &mut complete, &mut Vec::new());
        assert_eq!(complete, [true, true, true, true, false, true, false]);
    }

    #[test]
    fn explained_variance_of_known_fits() {
        assert_eq!(explained_variance(&[1.0, 2.0, 3.0], &[0.0, 0.0, 0.0]), 1.0);
        assert_eq!(explained_variance(&[7.0, 7.0], &[1.0, -1.0]), 0.0);
        assert!(explained_variance(&[1.0, 1.0], &[0.0, 0.0]).is_nan());
    }
}
