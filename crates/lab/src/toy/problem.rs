//! f(b) = (b − t)² of one Bernoulli variable as a model, and its learner: one estimator, one seed.

use relax_envs::EnvRng;
use relax_estimators::certify::Moments;
use relax_estimators::{
    Estimate, Estimator, EstimatorError, Family, Objective, OneNode, Tuning, TuningGradient,
};
use relax_nn::{Optimizer, Rule};

use super::control_variate::Scaled;

/// Fresh gradients that a sample variance is made of.
const FRESH: usize = 1000;

/// E\[(b − t)²\] at θ.
pub(super) fn loss(theta: f64, target: f64) -> f64 {
    theta * (1.0 - target).powi(2) + (1.0 - theta) * target.powi(2)
}

/// f(x) = (x − t)².
struct Distance {
    target: f64,
}

impl Objective<f64> for Distance {
    fn value(&mut self, x: &[f64]) -> f64 {
        (x[0] - self.target).powi(2)
    }

    fn gradient(&mut self, x: &[f64], gradient: &mut [f64]) -> Result<(), EstimatorError> {
        gradient[0] = 2.0 * (x[0] - self.target);
        Ok(())
    }

    fn hessian_vector(&mut self, _: &[f64], tangent: &[f64], out: &mut [f64]) -> Result<(), EstimatorError> {
        out[0] = 2.0 * tangent[0];
        Ok(())
    }
}

/// One run: θ and whatever the estimator learns, each with an Adam of its own.
pub(super) struct Learner {
    estimator: Estimator,
    problem: OneNode<f64, Distance, Scaled>,
    tuning: Tuning,
    learning_rate: f64,
    rng: EnvRng,
    fresh_rng: EnvRng,
    estimate: Estimate<f64>,
    fresh: Estimate<f64>,
    logit_adam: Optimizer<f64>,
    tuning_adam: Optimizer<f64>,
    r_adam: Optimizer<f64>,
}

impl Learner {
    /// A run at θ = ½. The same seed gives all estimators the same noise.
    pub(super) fn new(estimator: Estimator, target: f64, seed: u64, learning_rate: f64) -> Self {
        let stream = |role| EnvRng::from_seed_sequence(seed, &[role]);
        let r = Scaled::new(&mut stream(2));
        let parameters = r.parameters.len();
        Self {
            estimator,
            problem: OneNode::with_control_variate(Family::Bernoulli, vec![0.0], Distance { target }, r),
            tuning: Tuning::default(),
            learning_rate,
            rng: stream(0),
            fresh_rng: stream(1),
            estimate: Estimate::new(),
            fresh: Estimate::new(),
            logit_adam: Optimizer::new(Rule::ADAM, 1),
            tuning_adam: Optimizer::new(Rule::ADAM, 3),
            r_adam: Optimizer::new(Rule::ADAM, parameters),
        }
    }

    pub(super) fn theta(&self) -> f64 {
        1.0 / (1.0 + (-self.problem.logits[0]).exp())
    }

    /// Samples that one gradient takes: leave-one-out needs two.
    fn rows(&self) -> usize {
        match self.estimator {
            Estimator::LeaveOneOut { group } => group,
            _ => 1,
        }
    }

    /// One step: ĝ with what was learned so far, θ (unless it is to stay), then the control variate on ĝ².
    pub(super) fn step(&mut self, move_theta: bool) -> Result<(), EstimatorError> {
        let rows = self.rows();
        let Self { estimator, problem, tuning, rng, estimate, learning_rate, .. } = self;
        estimator.estimate(problem, &[*tuning], rows, rng, estimate)?;
        let gradient = estimate.gradient(0).iter().sum::<f64>() / rows as f64;
        let rate = *learning_rate;

        problem.d_parameters.fill(0.0);
        // Computed at the logit of the sample, before it moves.
        let slope: TuningGradient = estimator.variance_gradient(problem, 0, tuning, estimate)?;
        if move_theta {
            self.logit_adam.step(&mut problem.logits, &[gradient], rate, 1.0);
        }
        if estimator.relaxes_f() || *estimator == Estimator::Baseline {
            let mut numbers = [tuning.gain, tuning.log_temperature, tuning.baseline];
            // ĝ = s·(f − B), so dĝ²/dB = −2sĝ.
            let by_baseline = match estimator {
                Estimator::Baseline => -2.0 * estimate.score(0)[0] * gradient,
                _ => 0.0,
            };
            let slopes = [slope.gain, slope.log_temperature, by_baseline];
            self.tuning_adam.step(&mut numbers, &slopes, rate, 1.0);
            [tuning.gain, tuning.log_temperature, tuning.baseline] = numbers;
        }
        if estimator.learns_control_variate() {
            self.r_adam.step(&mut problem.control_variate.parameters, &problem.d_parameters, rate, 1.0);
        }
        Ok(())
    }

    /// Natural logarithm of the sample variance of 1000 fresh gradients at the present parameters; −∞ if they are all
    /// the same.
    pub(super) fn log_variance(&mut self) -> Result<f64, EstimatorError> {
        let rows = self.rows();
        let Self { estimator, problem, tuning, fresh, fresh_rng, .. } = self;
        estimator.estimate(problem, &[*tuning], FRESH * rows, fresh_rng, fresh)?;
        let mut moments = Moments::new(1);
        for group in fresh.gradient(0).chunks(rows) {
            moments.push(&[group.iter().sum::<f64>() / rows as f64]);
        }
        Ok(moments.variance()[0].ln())
    }

    /// c(z(u)) at the present parameters.
    pub(super) fn control_variate_at(&self, u: f64) -> f64 {
        let z = self.problem.logits[0] + (u / (1.0 - u)).ln();
        let mut c = 0.0;
        if self.estimator.relaxes_f() {
            let x = 1.0 / (1.0 + (-z / self.tuning.log_temperature.exp()).exp());
            c += self.tuning.gain * (x - self.problem.f.target).powi(2);
        }
        if self.estimator.learns_control_variate() {
            c += self.problem.control_variate.at(z).0;
        }
        c
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_variance_is_the_known_one() {
        // θ = ½: Var = .015625125 for t = .499; the sample variance of 1000 two-valued gradients scatters little.
        let mut learner = Learner::new(Estimator::Reinforce, 0.499, 1, 0.01);
        let known = 0.015_625_125_f64.ln();
        assert!((learner.log_variance().expect("measures") - known).abs() < 0.02);
    }

    #[test]
    fn a_learned_baseline_leaves_no_variance_on_one_bernoulli() {
        let mut learner = Learner::new(Estimator::Baseline, 0.499, 1, 0.01);
        let start = learner.log_variance().expect("measures");
        for _ in 0..3000 {
            learner.step(false).expect("steps");
        }
        let end = learner.log_variance().expect("measures");
        assert!(start > -5.0 && end < -15.0, "{start} → {end}");
    }
}
