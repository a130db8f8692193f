//! Running scales, as they stand between two batches: a policy behind them is a policy of another first layer, and an objective of another
//! size.

use crate::config::Normalization;
use crate::parts::normalize::Normalizer;
use crate::{ActingPolicy, AgentError, Rollout};
use relax_envs::Space;
use relax_nn::StateDict;

/// What observations have taken off and are then multiplied by, and what rewards are multiplied by.
#[derive(Debug, Clone)]
pub(super) struct Scales {
    offset: Vec<f64>,
    factor: Vec<f64>,
    /// Of rewards.
    pub reward: f64,
}

impl Scales {
    /// None: everything as it is.
    pub fn none(dim: usize) -> Self {
        Self { offset: vec![0.0; dim], factor: vec![1.0; dim], reward: 1.0 }
    }

    /// Those of an agent in `state`, which acts with `policy` and is about to learn from a `batch`.
    ///
    /// # Errors
    /// If it has none, or sees through an encoder.
    pub fn of(
        state: &StateDict,
        policy: &ActingPolicy,
        batch: &Rollout,
        observations: &Space,
    ) -> Result<Self, AgentError> {
        let scaling = policy.scaling().filter(|_| policy.card().encoder.is_none()).ok_or_else(|| {
            AgentError::Config(
                "without running scales, or behind an encoder, there is no gradient on them to compare with"
                    .into(),
            )
        })?;
        let asked = Normalization {
            observations: true,
            rewards: true,
            reward_scale: 1.0,
            gamma: 1.0,
            preserve_values: false,
        };
        let mut normalizer = Normalizer::new(observations, asked);
        normalizer.restore(state)?;
        normalizer.begin(batch);
        let wide = |numbers: &[f32]| numbers.iter().map(|&x| f64::from(x)).collect();
        Ok(Self {
            offset: wide(scaling.mean()),
            factor: wide(scaling.factor()),
            reward: f64::from(normalizer.reward_factor()),
        })
    }

    /// The weights, those of `width` units of the first layer in front, of the network that makes of observations as they are
    /// what `parameters` make of scaled ones.
    pub fn absorbed(&self, parameters: &[f64], width: usize) -> Vec<f64> {
        let mut absorbed = parameters.to_vec();
        let (weights, rest) = absorbed.split_at_mut(self.factor.len() * width);
        for (row, (offset, factor)) in
            weights.chunks_exact_mut(width).zip(self.offset.iter().zip(&self.factor))
        {
            for (w, bias) in row.iter_mut().zip(rest.iter_mut()) {
                *w *= factor;
                *bias -= offset * *w;
            }
        }
        absorbed
    }

    /// Makes of a gradient by the [absorbed](Self::absorbed) weights that by the weights.
    pub fn back(&self, gradient: &mut [f64], width: usize) {
        let (weights, rest) = gradient.split_at_mut(self.factor.len() * width);
        for (row, (offset, factor)) in
            weights.chunks_exact_mut(width).zip(self.offset.iter().zip(&self.factor))
        {
            row.iter_mut().zip(rest.iter()).for_each(|(w, bias)| *w = factor * (*w - offset * bias));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certify::{Net, finite_differences};

    #[test]
    fn a_first_layer_takes_scales_in_and_gives_its_gradient_back() {
        let scales = Scales { offset: vec![0.3, -1.2], factor: vec![2.0, 0.4], reward: 1.0 };
        let parameters: Vec<f32> = (0..17).map(|i| (i as f32 * 0.7).sin()).collect();
        let net = Net::new(2, &[4], 1, &parameters);
        let at = |parameters: &[f64], x: [f64; 2]| {
            Net { parameters: parameters.to_vec(), ..net.clone() }.forward(&x)[0]
        };
        let (x, scaled) = ([0.9, 0.5], [(0.9 - 0.3) * 2.0, (0.5 + 1.2) * 0.4]);
        let absorbed = scales.absorbed(&net.parameters, 4);
        assert!((at(&absorbed, x) - at(&net.parameters, scaled)).abs() < 1e-12);

        let mut gradient = finite_differences(&absorbed, |p| at(p, x));
        scales.back(&mut gradient, 4);
        let wanted = finite_differences(&net.parameters, |p| at(p, scaled));
        for (found, wanted) in gradient.iter().zip(&wanted) {
            assert!((found - wanted).abs() < 1e-8, "{found} for {wanted}");
        }
    }
}
