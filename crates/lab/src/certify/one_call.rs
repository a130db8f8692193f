//! The estimators that know more of f than its value, or learn numbers of their own, through the one call that serves them
//! all, on random quadratic problems enumerated exactly.

use relax_envs::EnvRng;
use relax_estimators::certify::Target;
use relax_estimators::{
    Coupling, Estimate, Estimator, EstimatorError, Family, Objective, OneNode, Tuning, exact,
};
use relax_nn::{Optimizer, Rule};

use super::network;
use crate::control_variate::NetworkControlVariate;

/// Samples of a batch.
const BATCH: usize = 256;
/// Steps in which η, log λ and r are trained on the variance, and their size.
const TRAINING: usize = 300;
const STEP: f64 = 0.02;

/// One line of the table: the estimator, the node, and whether what it learns is trained or random.
#[derive(Debug, Clone, Copy)]
pub(super) struct Case {
    estimator: Estimator,
    family: Family,
    trained: bool,
}

const fn case(estimator: Estimator, family: Family, trained: bool) -> Case {
    Case { estimator, family, trained }
}

/// All of one family; a new estimator is a line here.
const fn of(family: Family) -> [Case; 9] {
    use Coupling::{Coupled, Independent};
    [
        case(Estimator::Nvil, family, false),
        case(Estimator::MuProp, family, false),
        case(Estimator::DisArm, family, false),
        case(Estimator::Rebar(Independent), family, false),
        case(Estimator::Rebar(Independent), family, true),
        case(Estimator::Rebar(Coupled), family, true),
        case(Estimator::RelaxedRebar(Independent), family, false),
        case(Estimator::RelaxedRebar(Independent), family, true),
        case(Estimator::RelaxedRebar(Coupled), family, true),
    ]
}

pub(super) const CASES: [[Case; 9]; 2] = [of(Family::Bernoulli), of(Family::Categorical)];

/// A mistake: the gradient of the relaxed objective taken for that of the true one.
pub(super) const RELAXED_OBJECTIVE: (&str, &str, Case) = (
    "relaxed-objective",
    "the gradient of the relaxed f is taken for that of f (Concrete)",
    case(Estimator::Concrete, Family::Bernoulli, false),
);

/// f(x) = p·x + xᵀQx.
struct Quadratic {
    linear: Vec<f64>,
    /// Symmetric, `[K, K]`.
    quadratic: Vec<f64>,
}

impl Quadratic {
    /// p + 2Qx.
    fn slope<'a>(&'a self, x: &'a [f64]) -> impl Iterator<Item = f64> + 'a {
        self.curve(x).zip(&self.linear).map(|(curve, p)| p + curve)
    }

    /// 2Qx.
    fn curve<'a>(&'a self, x: &'a [f64]) -> impl Iterator<Item = f64> + 'a {
        let rows = self.quadratic.chunks_exact(x.len());
        rows.map(move |q| 2.0 * q.iter().zip(x).map(|(q, x)| q * x).sum::<f64>())
    }

    fn at(&self, x: &[f64]) -> f64 {
        x.iter().zip(&self.linear).zip(self.slope(x)).map(|((x, p), d)| x * (p + d) / 2.0).sum()
    }
}

impl Objective<f64> for Quadratic {
    fn value(&mut self, x: &[f64]) -> f64 {
        self.at(x)
    }

    fn gradient(&mut self, x: &[f64], gradient: &mut [f64]) -> Result<(), EstimatorError> {
        gradient.iter_mut().zip(self.slope(x)).for_each(|(d, slope)| *d = slope);
        Ok(())
    }

    fn hessian_vector(&mut self, _: &[f64], tangent: &[f64], out: &mut [f64]) -> Result<(), EstimatorError> {
        out.iter_mut().zip(self.curve(tangent)).for_each(|(out, curve)| *out = curve);
        Ok(())
    }
}

type Problem = OneNode<f64, Quadratic, NetworkControlVariate<f64>>;

fn problem(family: Family, rng: &mut EnvRng) -> Problem {
    let width = match family {
        Family::Bernoulli => 3,
        Family::Categorical => 4,
    };
    let mut draw = |n: usize| (0..n).map(|_| rng.standard_normal()).collect::<Vec<f64>>();
    let (logits, linear, half) = (draw(width), draw(width), draw(width * width));
    let quadratic = (0..width * width).map(|i| half[i] + half[i % width * width + i / width]).collect();
    OneNode::with_control_variate(
        family,
        logits,
        Quadratic { linear, quadratic },
        network::random(width, rng),
    )
}

fn exact_gradient(Problem { logits, f, .. }: &Problem, family: Family) -> Result<Vec<f64>, EstimatorError> {
    let k = logits.len();
    Ok(match family {
        Family::Bernoulli => exact::bernoulli(logits, |b| f.at(b))?.gradient,
        Family::Categorical => {
            let one_hot = |b: usize| (0..k).map(|i| f64::from(u8::from(i == b))).collect::<Vec<f64>>();
            exact::categorical(logits, |b| f.at(&one_hot(b))).gradient
        }
    })
}

/// An estimator on a random problem.
pub(super) struct OneCallTarget {
    name: String,
    estimator: Estimator,
    model: Problem,
    adam: Optimizer<f64>,
    tuning: Tuning,
    estimate: Estimate<f64>,
    exact: Vec<f64>,
    rng: EnvRng,
}

impl OneCallTarget {
    /// The problem is named by `seed`, and with it every random number.
    pub fn new(case: Case, seed: u64) -> Result<Self, EstimatorError> {
        let mut rng = EnvRng::from_seed_sequence(seed, &[0x1ca]);
        let model = problem(case.family, &mut rng);
        // Any numbers must do.
        let tuning = Tuning {
            gain: 1.0 + 0.5 * rng.standard_normal(),
            log_temperature: 0.5 * rng.standard_normal(),
            baseline: 0.3,
            scale: 1.0,
        };
        let kind = match case.family {
            Family::Bernoulli => "3 Bernoullis",
            Family::Categorical => "4-way choice",
        };
        let learns =
            match (case.estimator.relaxes_f() || case.estimator.learns_control_variate(), case.trained) {
                (false, _) => "",
                (true, false) => ", fresh c",
                (true, true) => ", trained c",
            };
        let name = format!("{}{learns} on {kind}", case.estimator.name());
        let mut target = Self {
            name,
            estimator: case.estimator,
            exact: exact_gradient(&model, case.family)?,
            adam: Optimizer::new(Rule::ADAM, model.d_parameters.len()),
            model,
            tuning,
            estimate: Estimate::new(),
            rng,
        };
        if case.trained {
            target.train()?;
        }
        Ok(target)
    }

    fn draw(&mut self) -> Result<(), EstimatorError> {
        let Self { estimator, model, tuning, estimate, rng, .. } = self;
        estimator.estimate(model, &[*tuning], BATCH, rng, estimate)
    }

    /// Descends the variance, on batches of its own.
    fn train(&mut self) -> Result<(), EstimatorError> {
        for _ in 0..TRAINING {
            self.draw()?;
            let Self { estimator, model, adam, tuning, estimate, .. } = self;
            model.d_parameters.fill(0.0);
            let d = estimator.variance_gradient(model, 0, tuning, estimate)?;
            tuning.gain -= STEP * d.gain.clamp(-1.0, 1.0);
            tuning.log_temperature -= STEP * d.log_temperature.clamp(-1.0, 1.0);
            adam.step(&mut model.control_variate.parameters, &model.d_parameters, STEP, 1.0);
        }
        Ok(())
    }
}

impl Target for OneCallTarget {
    type Error = EstimatorError;

    fn name(&self) -> &str {
        &self.name
    }

    fn exact(&self) -> &[f64] {
        &self.exact
    }

    fn sample(&mut self, rows: &mut Vec<f64>) -> Result<(), EstimatorError> {
        self.draw()?;
        rows.extend_from_slice(self.estimate.gradient(0));
        Ok(())
    }
}
