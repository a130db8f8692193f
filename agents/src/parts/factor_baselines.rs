//! The own action's part of a model's control variate as a baseline of its own for each of several choices made at once.
//!
//! ```text
//! b_i(s, a_{−i}) = E_{a_i ~ π} q(s, a_i, a_{−i})          an exact sum over the choices of factor i, the others as they were taken
//! B₂, of factor i: −s_i(a_i)·(b_i − EA)
//! ```
//! Wu et al. 2018 (action-dependent factorized baselines), with the learned q, of which they have a network. The factors are
//! drawn independently, and b_i does not look at a_i: E\[B₂\] = 0 whatever model and V are, as long as neither has seen the batch. EA is
//! there so that the baseline −s·EA, which has a gain of its own, does not enter twice.

use super::candidates::{Appraisal, Beyond, Candidates};
use super::guard::VERSIONS;
use super::lookahead::{Actions, Terms};
use super::world_model::{ModelScratch, WorldModel};

/// One shard's rows.
#[derive(Debug, Default)]
pub struct FactorBaselines {
    /// B₂ `[r, K]` of each version of q.
    pub b: [Vec<f32>; VERSIONS],
    /// What the model says of all choices of one factor.
    candidates: Candidates,
    appraisal: Appraisal,
    prediction: ModelScratch,
    action: Vec<f32>,
    features: Vec<f32>,
}

impl FactorBaselines {
    /// B₂ of all versions, of q within ± each of `bounds`, at `states` `[r, D]` in the environment's own units, whose V is `values`
    /// `[r]`; `score` `[r, K]` is that of the choices taken, and `terms` hold EA. Numbers have no factors here.
    pub fn evaluate(
        &mut self,
        model: &WorldModel,
        (states, values): (&[f32], &[f32]),
        (actions, score): (Actions<'_>, &[f32]),
        beyond: Beyond<'_>,
        (terms, bounds): (&[Terms; VERSIONS], [f32; VERSIONS]),
        normalise: impl Fn(&mut [f32], &mut [f32]),
    ) {
        let Actions::Choices { sizes, probs, taken, .. } = actions else { return };
        let (rows, width) = (values.len(), sizes.iter().sum::<usize>());
        let Self { b, candidates, appraisal, prediction, action, features } = self;
        b.iter_mut().for_each(|b| b.resize(score.len(), 0.0));
        model.start(states, prediction);
        let mut first = 0;
        for (factor, &k) in sizes.iter().enumerate() {
            candidates.clear();
            for choice in 0..k {
                features.clear();
                for of_row in taken.chunks_exact(sizes.len()) {
                    action.clear();
                    action.extend(of_row.iter().map(|&i| i as f32));
                    action[factor] = choice as f32;
                    model.features().push(action, features);
                }
                model.predict(states, features, prediction);
                candidates.push(prediction, probs.chunks_exact(width).map(|p| p[first + choice]));
            }
            candidates.taken.extend(taken.chunks_exact(sizes.len()).map(|of_row| of_row[factor]));
            candidates.appraise(values, beyond, &normalise, appraisal);
            for ((b, terms), bound) in b.iter_mut().zip(terms).zip(bounds) {
                for row in 0..rows {
                    let (own, _) = candidates.expectation(&appraisal.q, row, bound);
                    let range = row * width + first..row * width + first + k;
                    let baseline = own - terms.mean[row];
                    b[range.clone()].iter_mut().zip(&score[range]).for_each(|(b, s)| *b = -s * baseline);
                }
            }
            first += k;
        }
    }
}
