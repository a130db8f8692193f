//! Minimising a function that can only be called: a small knapsack, filled by twelve coins.
//!
//! `cargo run --release --example black_box`
//!
//! f(b) is the value left behind plus a penalty for every unit over the limit, with a hard step in it: no derivative exists. The
//! chances of the coins are trained by estimators that need none, each with the same number of calls of f. RELAX learns from
//! these calls what f looks like, by the variance of single estimates; the surrogate by regression on all of them.

use relax_envs::EnvRng; // any generator of `rand` will do
use relax_estimators::certify::Moments;
use relax_estimators::{Coupling, Estimate, Estimator, Family, OneNode, Tuning};
use relax_nn::{Activation, MlpShape, Optimizer, Rule};
use relax_rl::control_variate::NetworkControlVariate;
use relax_rl::minimize::{Function, Minimizer, Options, Space, Surrogate};

const K: usize = 12;
const CALLS: usize = 48_000;
const B: usize = 8; // calls of f for a step
const VALUES: [f64; K] = [6.0, 5.0, 8.0, 9.0, 6.0, 7.0, 3.0, 4.0, 2.0, 7.0, 5.0, 3.0];
const WEIGHTS: [f64; K] = [2.0, 3.0, 6.0, 7.0, 5.0, 9.0, 3.0, 4.0, 1.0, 8.0, 4.0, 2.0];
const LIMIT: f64 = 25.0;

fn f(b: &[f64]) -> f64 {
    let sum = |x: &[f64; K]| b.iter().zip(x).map(|(b, x)| b * x).sum::<f64>();
    let over = (sum(&WEIGHTS) - LIMIT).max(0.0);
    VALUES.iter().sum::<f64>() - sum(&VALUES) + 3.0 * over + if over > 0.0 { 5.0 } else { 0.0 }
}

/// The lowest f of all 4096 ways.
fn best() -> f64 {
    let way = |bits: u32| -> [f64; K] { std::array::from_fn(|k| f64::from(bits >> k & 1)) };
    (0..1_u32 << K).map(|bits| f(&way(bits))).fold(f64::INFINITY, f64::min)
}

fn line(name: &str, ends: &[f64], rounded: &[f64], variances: &[f64]) {
    let spread = |x: &[f64]| {
        let mean = x.iter().sum::<f64>() / x.len() as f64;
        let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (x.len() - 1) as f64;
        format!("{mean:.2} ± {:.2}", variance.sqrt())
    };
    println!("{name:<16} {:>22} {:>22} {:>26}", spread(ends), spread(rounded), spread(variances));
}

/// One run with a surrogate that is quadratic in the coins: E f at the end, f of the likeliest b, and the variance of steps 500–999.
fn surrogate(seed: u64) -> Result<[f64; 3], Box<dyn std::error::Error>> {
    let surrogate =
        Surrogate { function: Function::Quadratic, steps: 8, learning_rate: 0.01, ..Surrogate::default() };
    // No probes: E f is what is compared here, not the best point.
    let options = Options { seed, batch: B, probe: 0, learning_rate: 0.003, surrogate, ..Options::default() };
    let mut minimizer = Minimizer::new(&Space::bits(K), &options)?;
    let of = |b: &[usize]| f(&b.iter().map(|&b| b as f64).collect::<Vec<_>>());
    let mut early = Moments::new(K);
    for step in 0..CALLS / B {
        let values: Vec<f64> = minimizer.ask()?.iter().map(|b| of(b)).collect();
        minimizer.tell(&values)?;
        if (500..1000).contains(&step) {
            early.push(minimizer.gradient());
        }
    }
    let chances = minimizer.probabilities();
    let expected = (0..1_usize << K).map(|bits| {
        let b: Vec<usize> = (0..K).map(|k| bits >> k & 1).collect();
        b.iter().zip(&chances).map(|(&b, p)| p[b]).product::<f64>() * of(&b)
    });
    Ok([expected.sum(), of(&minimizer.likeliest()?), early.variance().iter().sum()])
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("the best of all {} ways: f = {}\n", 1 << K, best());
    println!(
        "{:<16} {:>22} {:>22} {:>26}",
        "estimator", "E f after training", "f of the likeliest b", "variance at the start"
    );
    let estimators = [
        Estimator::Reinforce,
        Estimator::LeaveOneOut { group: 4 },
        Estimator::DisArm,
        Estimator::Relax(Coupling::Coupled),
    ];
    for estimator in estimators {
        let (mut ends, mut rounded, mut variances) = (Vec::new(), Vec::new(), Vec::new());
        for seed in 0..10 {
            let mut rng = EnvRng::from_seed(seed);
            let shape = MlpShape::new(K, &[32], 1, Activation::Tanh);
            let parameters = shape.orthogonal(&mut rng, 1.0, 0.0);
            let network = NetworkControlVariate::new(shape, parameters);
            let mut model = OneNode::with_control_variate(Family::Bernoulli, vec![0.0; K], f, network);
            let (tuning, mut estimate) = ([Tuning::default()], Estimate::new());
            let mut theta_adam = Optimizer::new(Rule::ADAM, K);
            let mut phi_adam = Optimizer::new(Rule::ADAM, model.d_parameters.len());
            let rows = if estimator == Estimator::DisArm { B / 2 } else { B }; // a pair calls f twice
            let mut early = Moments::new(K);
            for step in 0..CALLS / B {
                estimator.estimate(&mut model, &tuning, rows, &mut rng, &mut estimate)?;
                let gradient: Vec<f64> = (0..K)
                    .map(|k| estimate.gradient(0).iter().skip(k).step_by(K).sum::<f64>() / rows as f64)
                    .collect();
                if (500..1000).contains(&step) {
                    early.push(&gradient);
                }
                model.d_parameters.fill(0.0);
                estimator.variance_gradient(&mut model, 0, &tuning[0], &mut estimate)?;
                theta_adam.step(&mut model.logits, &gradient, 0.003, 1.0);
                let d = std::mem::take(&mut model.d_parameters);
                phi_adam.step(&mut model.control_variate.parameters, &d, 0.003, 1.0);
                model.d_parameters = d;
            }
            Estimator::Reinforce.estimate(&mut model, &tuning, 2000, &mut rng, &mut estimate)?;
            ends.push(estimate.f().iter().sum::<f64>() / 2000.0);
            let likeliest: Vec<f64> = model.logits.iter().map(|&l| f64::from(u8::from(l > 0.0))).collect();
            rounded.push(f(&likeliest));
            variances.push(early.variance().iter().sum::<f64>());
        }
        line(estimator.name(), &ends, &rounded, &variances);
    }
    let runs = (0..10).map(surrogate).collect::<Result<Vec<_>, _>>()?;
    let [ends, rounded, variances] =
        std::array::from_fn(|i| runs.iter().map(|run| run[i]).collect::<Vec<_>>());
    line("surrogate", &ends, &rounded, &variances);
    println!(
        "\nmean ± standard deviation over 10 seeds, {CALLS} calls of f each; variance of a step's gradient, steps 500–999."
    );
    Ok(())
}
