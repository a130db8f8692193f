//! A categorical choice, and every estimator of the gradient of its logits: biased and cheap, unbiased and noisy, or both good.
//!
//! `cargo run --release --example gumbel_softmax`
//!
//! E[f(b)] over b ~ Categorical(softmax(l)), f(b) = ‖b − t‖² with t nearly the centre of the simplex: the toy problem with more
//! than two outcomes, on which a relaxation (z/λ through a softmax, the Gumbel-softmax) has to stand in for a hard choice. f is
//! differentiable here, so that Concrete, MuProp and REBAR can take part.

use relax_envs::EnvRng; // any generator of `rand` will do
use relax_estimators::certify::{Moments, certify};
use relax_estimators::{Estimate, Estimator, EstimatorError, Family, Objective, OneNode, Tuning, exact};
use relax_nn::{Activation, MlpShape, Optimizer, Rule};
use relax_rl::control_variate::NetworkControlVariate;

const K: usize = 4;
const B: usize = 64; // samples at a time
const LOGITS: [f64; K] = [0.4, -0.3, 0.1, 0.8];
const TARGET: [f64; K] = [0.22, 0.27, 0.23, 0.28];

fn f(x: &[f64]) -> f64 {
    x.iter().zip(TARGET).map(|(x, t)| (x - t).powi(2)).sum()
}

/// f with its derivatives.
struct Choice;

impl Objective<f64> for Choice {
    fn value(&mut self, x: &[f64]) -> f64 {
        f(x)
    }
    fn gradient(&mut self, x: &[f64], gradient: &mut [f64]) -> Result<(), EstimatorError> {
        gradient.iter_mut().zip(x.iter().zip(TARGET)).for_each(|(g, (x, t))| *g = 2.0 * (x - t));
        Ok(())
    }
    fn hessian_vector(&mut self, _: &[f64], tangent: &[f64], out: &mut [f64]) -> Result<(), EstimatorError> {
        out.iter_mut().zip(tangent).for_each(|(o, t)| *o = 2.0 * t);
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let exact = exact::categorical(&LOGITS, |b| {
        f(&std::array::from_fn::<f64, K, _>(|i| f64::from(u8::from(i == b))))
    });
    println!(
        "exact gradient {:?}\n",
        exact.gradient.iter().map(|g| (g * 1e5).round() / 1e5).collect::<Vec<_>>()
    );
    println!("{:<24} {:>12} {:>12} {:>10}  learned", "estimator", "variance", "bias", "worst |z|");
    for estimator in Estimator::ALL {
        let mut rng = EnvRng::from_seed(1);
        let shape = MlpShape::new(K, &[16], 1, Activation::Tanh);
        let parameters: Vec<f64> = shape.orthogonal(&mut rng, 1.0, 0.0);
        // A network of 16 tanh units from z to one number, its last layer 0 at the start.
        let network = NetworkControlVariate::new(shape, parameters);
        let mut model = OneNode::with_control_variate(Family::Categorical, LOGITS.to_vec(), Choice, network);
        let (mut tuning, mut estimate) = (Tuning::default(), Estimate::new());
        let mut adam = Optimizer::new(Rule::ADAM, model.d_parameters.len());
        let mut numbers_adam = Optimizer::new(Rule::ADAM, 2);

        // 1. Learn what the estimator learns, at fixed logits.
        for _ in 0..2000 {
            estimator.estimate(&mut model, &[tuning], B, &mut rng, &mut estimate)?;
            model.d_parameters.fill(0.0);
            let slope = estimator.variance_gradient(&mut model, 0, &tuning, &mut estimate)?;
            let mut numbers = [tuning.gain, tuning.log_temperature];
            numbers_adam.step(&mut numbers, &[slope.gain, slope.log_temperature], 0.01, 1.0);
            [tuning.gain, tuning.log_temperature] = numbers;
            adam.step(&mut model.control_variate.parameters, &model.d_parameters, 0.01, 1.0);
            if matches!(estimator, Estimator::Baseline | Estimator::Nvil) {
                let mean = estimate.f().iter().sum::<f64>() / B as f64;
                tuning.baseline += 0.05 * (mean - tuning.baseline);
            }
        }

        // 2. Measure. Pairs of leave-one-out share their baselines, so their means are what is independent.
        let group = if let Estimator::LeaveOneOut { group } = estimator { group } else { 1 };
        let mut moments = Moments::new(K);
        for _ in 0..4000 {
            estimator.estimate(&mut model, &[tuning], B, &mut rng, &mut estimate)?;
            for rows in estimate.gradient(0).chunks(group * K) {
                let mean: [f64; K] =
                    std::array::from_fn(|k| rows.iter().skip(k).step_by(K).sum::<f64>() / group as f64);
                moments.push(&mean);
            }
        }
        let certificate = certify(&moments, &exact.gradient, 0.001)?;
        let off =
            moments.mean().iter().zip(&exact.gradient).map(|(m, e)| (m - e).powi(2)).sum::<f64>().sqrt();
        let learned = match (estimator.relaxes_f(), estimator.learns_control_variate()) {
            (true, _) => format!("η {:.2}, λ {:.2}", tuning.gain, tuning.log_temperature.exp()),
            (false, true) => "r(z)".into(),
            _ => String::new(),
        };
        println!(
            "{:<24} {:>12.6} {:>12.6} {:>10.1}  {learned}",
            estimator.name(),
            moments.variance().iter().sum::<f64>(),
            off,
            certificate.worst()
        );
    }
    println!("\nleave-one-out and disarm take two samples for one estimate; |z| above 3.7 is a bias.");
    Ok(())
}
