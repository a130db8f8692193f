//! Both samplers on functions whose optimum is known, for their tests and for docs/sweep.md:
//! `cargo test --release -p relax-lab side_by_side -- --ignored --nocapture`.

use toml::Value;

use super::evolution::Evolution;
use super::settings::{Plan, Sampler};
use super::suggest;

const SEEDS: u64 = 50;

/// Five parameters, of which the first in the order of their names, the activation, is a choice.
pub(super) fn plan(seed: u64) -> Plan {
    let text = format!(
        "[env]\nid = 'CartPole-v1'\n[agent]\nkind = 'a2c'\n[sweep]\nseed = {seed}\n[sweep.space]\n\
         'learner.gamma' = {{ low = 0.0, high = 1.0 }}\n'learner.lambda' = {{ low = 0.0, high = 1.0 }}\n\
         'learner.learning_rate' = {{ low = 1e-6, high = 1.0, log = true }}\n\
         'rollout.steps' = {{ low = 1, high = 1000, log = true }}\n'agent.activation' = ['tanh', 'relu', 'elu']\n"
    );
    Plan::parse(&text, "test", None).expect("a plan")
}

/// Least, 0, at γ = 0.9, λ = 0.1, a learning rate of 1e-3, 31 steps and elu.
fn distance(plan: &Plan, values: &[Value], valley: bool) -> f64 {
    let off = |at: usize, best: f64| plan.parameters[at].range.place(&values[at]) - best;
    let (gamma, lambda) = (off(1, 0.9), off(2, 0.1));
    let two = match valley {
        true => 4.0 * (gamma + lambda).powi(2) + 0.25 * (gamma - lambda).powi(2),
        false => gamma.powi(2) + lambda.powi(2),
    };
    let named = if values[0].as_str() == Some("elu") { 0.0 } else { 0.3 };
    two + off(3, 0.5).powi(2) + off(4, 0.4971).powi(2) + named
}

/// The least distance of so many trials in brackets of nine, and the trials; by chance if there is no sampler.
pub(super) fn search(
    seed: u64,
    trials: u64,
    sampler: Option<Sampler>,
    valley: bool,
) -> (f64, Vec<Vec<Value>>) {
    let plan = plan(seed);
    let mut evolution = Evolution::new(&plan);
    assert!(evolution.population() <= 9);
    let mut tried: Vec<Vec<Value>> = Vec::new();
    let mut known: Vec<(f64, Vec<Value>)> = Vec::new();
    while (known.len() as u64) < trials {
        known.sort_by(|a, b| a.0.total_cmp(&b.0));
        let ranked: Vec<&[Value]> =
            known.iter().filter(|_| sampler.is_some()).map(|(_, values)| values.as_slice()).collect();
        let mut bracket: Vec<(f64, Vec<Value>)> = Vec::new();
        for number in known.len() as u64..trials.min(known.len() as u64 + 9) {
            let pending: Vec<&[Value]> = bracket.iter().map(|(_, values)| values.as_slice()).collect();
            let values = match sampler {
                Some(Sampler::CmaEs) => evolution.next(&plan, number, &ranked, &pending),
                _ => suggest::next(&plan, number, &ranked, &pending),
            };
            assert!(
                plan.parameters.iter().zip(&values).all(|(p, v)| (0.0..=1.0).contains(&p.range.place(v)))
            );
            tried.push(values.clone());
            bracket.push((distance(&plan, &values, valley), values));
        }
        bracket.sort_by(|a, b| a.0.total_cmp(&b.0));
        evolution.learn(&plan, &bracket.iter().map(|(_, values)| values.as_slice()).collect::<Vec<_>>());
        known.extend(bracket);
    }
    (known.iter().map(|(distance, _)| *distance).fold(f64::INFINITY, f64::min), tried)
}

/// That `sampler` comes nearer in so many trials than chance does by this factor, and tries the same again with the same seed.
pub(super) fn finds_more_than_chance(sampler: Sampler, trials: u64, factor: f64) {
    let mean = |sampler| (0..20).map(|seed| search(seed, trials, sampler, false).0).sum::<f64>() / 20.0;
    let (found, chance) = (mean(Some(sampler)), mean(None));
    println!("{found:.5} found, {chance:.5} by chance, where 0 would be right");
    assert!(found < factor * chance, "{found} and {chance}, where 0 would be right");
    let tried = |seed| search(seed, 30, Some(sampler), false).1;
    assert_eq!(tried(3), tried(3));
    assert_ne!(tried(3), tried(4));
}

#[test]
#[ignore = "half a minute, for docs/sweep.md"]
fn samplers() {
    for valley in [false, true] {
        for trials in [40, 200] {
            for sampler in [None, Some(Sampler::Tpe), Some(Sampler::CmaEs)] {
                let mut all: Vec<f64> =
                    (0..SEEDS).map(|seed| search(seed, trials, sampler, valley).0).collect();
                all.sort_by(f64::total_cmp);
                let mean = all.iter().sum::<f64>() / SEEDS as f64;
                let quarter = |share: f64| all[(share * (SEEDS - 1) as f64) as usize];
                println!(
                    "valley {valley}, {trials} trials, {sampler:?}: mean {mean:.4}, median {:.4} ({:.4} to {:.4})",
                    quarter(0.5),
                    quarter(0.25),
                    quarter(0.75)
                );
            }
        }
    }
}
