//! f(b) = (b − t)² of one Bernoulli variable as a model, and its learner: one estimator, one seed.

use relax_envs::EnvRng;
use relax_estimators::certify::Moments;
use relax_estimators::{Estimate, Estimator, EstimatorError, Layer, Model, Place, Tuning, TuningGradient};
use relax_nn::{Optimizer, Rule};

use super::control_variate::Scaled;

/// Fresh gradients that a sample variance is made of.
const FRESH: usize = 1000;

/// E\[(b − t)²\] at θ.
pub(super) fn loss(theta: f64, target: f64) -> f64 {
    theta * (1.0 - target).powi(2) + (1.0 - theta) * target.powi(2)
}

struct Problem {
    layers: [Layer; 1],
    logit: f64,
    target: f64,
    r: Scaled,
    d_r: Vec<f64>,
}

impl Model<f64> for Problem {
    type Error = EstimatorError;

    fn layers(&self) -> &[Layer] {
        &self.layers
    }

    fn logits(&mut self, _: usize, _: &[Vec<f64>], logits: &mut [f64]) -> Result<(), EstimatorError> {
        logits.fill(self.logit);
        Ok(())
    }

    fn value(&mut self, samples: &[Vec<f64>], f: &mut [f64]) -> Result<(), EstimatorError> {
        f.iter_mut().zip(&samples[0]).for_each(|(f, b)| *f = (b - self.target).powi(2));
        Ok(())
    }

    fn value_and_gradient(
        &mut self,
        _: Place<'_, f64>,
        x: &[f64],
        f: &mut [f64],
        gradient: &mut [f64],
    ) -> Result<(), EstimatorError> {
        for ((f, g), x) in f.iter_mut().zip(gradient).zip(x) {
            (*f, *g) = ((x - self.target).powi(2), 2.0 * (x - self.target));
        }
        Ok(())
    }

    fn hessian_vector(
        &mut self,
        _: Place<'_, f64>,
        _: &[f64],
        tangent: &[f64],
        out: &mut [f64],
    ) -> Result<(), EstimatorError> {
        out.iter_mut().zip(tangent).for_each(|(o, t)| *o = 2.0 * t);
        Ok(())
    }

    fn control_variate(
        &mut self,
        _: Place<'_, f64>,
        z: &[f64],
        value: &mut [f64],
        gradient: &mut [f64],
    ) -> Result<(), EstimatorError> {
        for ((v, g), &z) in value.iter_mut().zip(gradient).zip(z) {
            (*v, *g) = self.r.value_and_gradient(z);
        }
        Ok(())
    }

    fn fit_control_variate(
        &mut self,
        _: Place<'_, f64>,
        z: &[f64],
        alpha: &[f64],
        beta: &[f64],
    ) -> Result<(), EstimatorError> {
        for ((&z, &alpha), &beta) in z.iter().zip(alpha).zip(beta) {
            self.r.parameter_gradient(z, alpha, beta, &mut self.d_r);
        }
        Ok(())
    }
}

/// One run: θ and whatever the estimator learns, each with an Adam of its own.
pub(super) struct Learner {
    estimator: Estimator,
    problem: Problem,
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
            problem: Problem {
                layers: [Layer::bernoulli(1)],
                logit: 0.0,
                target,
                d_r: vec![0.0; parameters],
                r,
            },
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
        1.0 / (1.0 + (-self.problem.logit).exp())
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

        problem.d_r.fill(0.0);
        // Computed at the logit of the sample, before it moves.
        let slope: TuningGradient = estimator.variance_gradient(problem, 0, tuning, estimate)?;
        if move_theta {
            let mut logit = [problem.logit];
            self.logit_adam.step(&mut logit, &[gradient], rate, 1.0);
            problem.logit = logit[0];
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
            self.r_adam.step(&mut problem.r.parameters, &problem.d_r, rate, 1.0);
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
        let z = self.problem.logit + (u / (1.0 - u)).ln();
        let mut c = 0.0;
        if self.estimator.relaxes_f() {
            let x = 1.0 / (1.0 + (-z / self.tuning.log_temperature.exp()).exp());
            c += self.tuning.gain * (x - self.problem.target).powi(2);
        }
        if self.estimator.learns_control_variate() {
            c += self.problem.r.value_and_gradient(z).0;
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
