//! How much better than usual an action is by a learned Q(s, a): C(s, a) = Q(s, a) − E_π Q(s, ·), and how far E_π Q is from V.
//!
//! The expectation is a mean over fresh actions, which know nothing of the action taken: E\[C | s\] = 0 whatever Q is, as long as Q has
//! not seen the batch. So the discounted sum of the C of what *follows* an action can be taken off its return (a trajectory-wise
//! control variate: Cheng, Yan & Boots 2020), and E_π Q − V off its baseline.

use super::guard::VERSIONS;
use super::latin_hypercube;
use super::lookahead::Actions;
use super::q_critic::join;
use relax_envs::EnvRng;
use relax_nn::{MlpShape, Workspace};

/// What becomes of Q within one bound.
#[derive(Debug, Default)]
pub struct Terms {
    /// C(s, a) of the actions taken, `[r]`.
    pub c: Vec<f32>,
    /// E_π Q(s, ·) − V(s), `[r]`.
    pub mean: Vec<f32>,
    /// By how much everything at a state has to be scaled down for Q − V of its fresh actions to be within the bound, `[r]`.
    pub share: Vec<f32>,
}

/// One shard's rows.
#[derive(Debug, Default)]
pub struct ExpectedQ {
    /// Within the bound of each version.
    pub terms: [Terms; VERSIONS],
    workspace: Workspace<f32>,
    input: Vec<f32>,
    actions: Vec<f32>,
    q: Vec<f32>,
    noise: Vec<f32>,
    order: Vec<u32>,
}

impl ExpectedQ {
    /// C and E_π Q − V at `states` `[r, D]`, whose V is `values` `[r]`, by the network `shape` with `parameters` on (s, a). Q − V is
    /// clipped to ± each of `bounds` first.
    pub fn evaluate(
        &mut self,
        (shape, parameters): (&MlpShape, &[f32]),
        (states, values): (&[f32], &[f32]),
        actions: Actions<'_>,
        bounds: [f32; VERSIONS],
        rng: &mut EnvRng,
    ) {
        let Actions::Numbers { mean, std, taken, samples } = actions else { return };
        let (rows, fresh) = (values.len(), 2 * samples);
        let k = mean.len() / rows;
        self.q.resize(rows, 0.0);
        self.noise.resize(rows * fresh * k, 0.0);
        self.noise
            .chunks_exact_mut(fresh * k)
            .for_each(|of_row| latin_hypercube::fill(of_row, k, rng, &mut self.order));
        for Terms { c, mean, share } in &mut self.terms {
            for (array, start) in [(c, 0.0), (mean, 0.0), (share, 1.0)] {
                array.clear();
                array.resize(rows, start);
            }
        }
        for candidate in 0..=fresh {
            self.actions.clear();
            for row in 0..rows {
                for i in row * k..(row + 1) * k {
                    self.actions.push(match candidate {
                        0 => taken[i],
                        m => mean[i] + std[i] * self.noise[(row * fresh + m - 1) * k + i - row * k],
                    });
                }
            }
            join(states, &self.actions, rows, &mut self.input);
            shape.forward(parameters, &self.input, &mut self.workspace, &mut self.q);
            for (Terms { c, mean, share }, bound) in self.terms.iter_mut().zip(bounds) {
                for (row, (q, v)) in self.q.iter().zip(values).enumerate() {
                    let (beyond, within) = (q - v, (q - v).clamp(-bound, bound));
                    if candidate == 0 {
                        c[row] = within;
                    } else {
                        mean[row] += within / fresh as f32;
                        let own = if beyond.abs() > bound { bound / beyond.abs() } else { 1.0 };
                        share[row] = share[row].min(own);
                    }
                }
            }
        }
        for Terms { c, mean, .. } in &mut self.terms {
            c.iter_mut().zip(mean).for_each(|(c, mean)| *c -= *mean);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use relax_nn::Activation;

    /// Q linear in the action: the hypercube's mean of K numbers is nearly exact, and C is the slope times what was taken beyond it.
    #[test]
    fn of_a_linear_q_the_mean_is_the_policys() {
        let shape = MlpShape::new(2, &[], 1, Activation::Tanh);
        let mut parameters = vec![0.0; shape.parameter_count()];
        let mut at = ExpectedQ::default();
        (parameters[0], parameters[1], parameters[2]) = (2.0, 3.0, 1.0);
        let (mean, std, taken) = ([0.5, -0.5], [0.25, 0.5], [1.0, -1.0]);
        let actions = Actions::Numbers { mean: &mean, std: &std, taken: &taken, samples: 200 };
        let (states, values) = ([1.0, 2.0], [4.0, 4.0]);
        let rng = &mut EnvRng::from_seed(5);
        at.evaluate((&shape, &parameters), (&states, &values), actions, [f32::MAX, 9.0, 0.5], rng);
        let q = |s: f32, a: f32| 2.0 * s + 3.0 * a + 1.0;
        for i in 0..2 {
            let [free, _, bounded] = &at.terms;
            assert!((free.mean[i] - (q(states[i], mean[i]) - 4.0)).abs() < 0.02, "{free:?}");
            assert!((free.c[i] - 3.0 * (taken[i] - mean[i])).abs() < 0.02, "{free:?}");
            assert_eq!(free.share[i], 1.0);
            // Q − V of the fresh actions goes as far as 3 or 4 standard deviations do, and further than ½.
            assert!(bounded.mean[i].abs() <= 0.5 && bounded.c[i].abs() <= 1.0, "{bounded:?}");
            assert!((0.05..0.5).contains(&bounded.share[i]), "{bounded:?}");
        }
    }
}
