//! What each setting decided: how well the scores can be foretold from it alone.

use super::halving::Trial;
use super::settings::Plan;
use super::space::Range;

/// Width of the neighbourhood over which scores are averaged, as a share of a range.
const WIDTH: f64 = 0.1;
/// Fewer trials than this say nothing.
const LEAST: usize = 6;

/// What a setting decided.
#[derive(Debug, Clone, PartialEq)]
pub struct Importance {
    /// Its key.
    pub key: String,
    /// Share of the variance of the scores' ranks that it foretells, from 0 to 1.
    pub share: f64,
}

/// The shares of all parameters, the largest first, by the scores on the first rung, which every trial has. A failed trial has the worst
/// rank. Nothing where there are few trials, or all scores are one.
///
/// Each trial's rank is foretold as the mean of the other trials' near it (of a choice: with the same one), and the share is
/// 1 − Σ(rank − foretold)²/Σ(rank − mean)², or 0: leaving the trial itself out, chance foretells nothing. Ranks, so that one terrible score
/// does not decide alone. What two settings do only together is not in it.
pub(super) fn of(plan: &Plan, trials: &[Trial]) -> Vec<Importance> {
    let scored: Vec<(&Trial, f64)> = trials
        .iter()
        .filter_map(|trial| Some((trial, trial.scores.first()?.mean().unwrap_or(f64::NEG_INFINITY))))
        .collect();
    let scores: Vec<f64> = scored.iter().map(|(_, score)| *score).collect();
    let ranks = ranks(&scores);
    let mean = ranks.iter().sum::<f64>() / ranks.len().max(1) as f64;
    let total: f64 = ranks.iter().map(|rank| (rank - mean).powi(2)).sum();
    if ranks.len() < LEAST || total == 0.0 {
        return Vec::new();
    }
    let mut all: Vec<Importance> = plan
        .parameters
        .iter()
        .enumerate()
        .map(|(at, parameter)| {
            let places: Vec<f64> =
                scored.iter().map(|(trial, _)| parameter.range.place(&trial.values[at])).collect();
            let near = |a: f64, b: f64| match &parameter.range {
                Range::Choice(_) => f64::from(u8::from(a == b)),
                _ => (-0.5 * ((a - b) / WIDTH).powi(2)).exp(),
            };
            let missed: f64 = (0..ranks.len())
                .map(|i| {
                    let others =
                        (0..ranks.len()).filter(|&j| j != i).map(|j| (near(places[i], places[j]), ranks[j]));
                    let (weights, sum) =
                        others.fold((0.0, 0.0), |(w, s), (weight, rank)| (w + weight, s + weight * rank));
                    let foretold = if weights > 1e-9 { sum / weights } else { mean };
                    (ranks[i] - foretold).powi(2)
                })
                .sum();
            Importance { key: parameter.key.clone(), share: (1.0 - missed / total).max(0.0) }
        })
        .collect();
    all.sort_by(|a, b| b.share.total_cmp(&a.share).then_with(|| a.key.cmp(&b.key)));
    all
}

/// The rank of each number; equal ones share theirs.
fn ranks(scores: &[f64]) -> Vec<f64> {
    let below = |x: f64| scores.iter().filter(|y| y.total_cmp(&x).is_lt()).count() as f64;
    let equal = |x: f64| scores.iter().filter(|y| y.total_cmp(&x).is_eq()).count() as f64;
    scores.iter().map(|&x| below(x) + 0.5 * (equal(x) - 1.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::halving::Score;
    use super::*;
    use relax_envs::EnvRng;
    use toml::Value;

    #[test]
    fn equal_numbers_share_a_rank() {
        assert_eq!(ranks(&[3.0, 1.0, 3.0, f64::NEG_INFINITY]), [2.5, 1.0, 2.5, 0.0]);
    }

    #[test]
    fn what_decides_is_found_and_what_does_not_is_not() {
        let text = "[env]\nid = 'CartPole-v1'\n[agent]\nkind = 'a2c'\n[sweep.space]\n\
                    'learner.gamma' = { low = 0.0, high = 1.0 }\n'learner.lambda' = { low = 0.0, high = 1.0 }\n\
                    'agent.activation' = ['tanh', 'relu', 'elu']\n";
        let plan = Plan::parse(text, "test", None).expect("a plan");
        let mut rng = EnvRng::from_seed(3);
        let trials = |score: &dyn Fn(&str, f64, f64) -> Score, rng: &mut EnvRng| -> Vec<Trial> {
            (0..60)
                .map(|number| {
                    let activation = ["tanh", "relu", "elu"][rng.integers(0, 3) as usize];
                    let (gamma, lambda) = (rng.random(), rng.random());
                    let values = vec![Value::from(activation), Value::from(gamma), Value::from(lambda)];
                    Trial { number, values, scores: vec![score(activation, gamma, lambda)] }
                })
                .collect()
        };
        let share = |trials: &[Trial], key: &str| {
            of(&plan, trials).iter().find(|i| i.key == key).expect("a share").share
        };
        let by_gamma = trials(&|_, gamma, _| Score::Mean(-(gamma - 0.5).abs()), &mut rng);
        assert!(share(&by_gamma, "learner.gamma") > 0.8, "{:?}", of(&plan, &by_gamma));
        assert!(share(&by_gamma, "learner.lambda") < 0.1 && share(&by_gamma, "agent.activation") < 0.1);
        assert_eq!(of(&plan, &by_gamma)[0].key, "learner.gamma");
        let by_choice = trials(
            &|activation, gamma, _| {
                if activation == "relu" { Score::Failed("it".into()) } else { Score::Mean(gamma) }
            },
            &mut rng,
        );
        assert!(share(&by_choice, "agent.activation") > 0.3, "{:?}", of(&plan, &by_choice));
        assert!(share(&by_choice, "learner.lambda") < 0.1);
        let same = trials(&|_, _, _| Score::Mean(1.0), &mut rng);
        assert_eq!(of(&plan, &same), []);
        assert_eq!(of(&plan, &by_gamma[..3]), []);
    }
}
