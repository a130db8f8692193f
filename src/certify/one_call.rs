//! The estimators that know more of f than its value, or learn numbers of their own, through the one call that serves them
//! all, on random quadratic problems enumerated exactly.

use relax_envs::EnvRng;
use relax_estimators::certify::Target;
use relax_estimators::{
    Coupling, Estimate, Estimator, EstimatorError, Family, Layer, Model, Place, Tuning, exact,
};

use super::network::Network;

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

/// f(x) = p·x + xᵀQx at one node, r a network, and a baseline.
struct Quadratic {
    layers: [Layer; 1],
    logits: Vec<f64>,
    linear: Vec<f64>,
    /// Symmetric, `[K, K]`.
    quadratic: Vec<f64>,
    r: Network,
}

impl Quadratic {
    fn new(family: Family, rng: &mut EnvRng) -> Self {
        let (width, layer) = match family {
            Family::Bernoulli => (3, Layer::bernoulli(3)),
            Family::Categorical => (4, Layer::categorical(4)),
        };
        let mut draw = |n: usize| (0..n).map(|_| rng.standard_normal()).collect::<Vec<f64>>();
        let (logits, linear, half) = (draw(width), draw(width), draw(width * width));
        let quadratic = (0..width * width).map(|i| half[i] + half[i % width * width + i / width]).collect();
        Self { layers: [layer], logits, linear, quadratic, r: Network::new(width, rng) }
    }

    fn value_of(&self, x: &[f64]) -> f64 {
        x.iter().zip(&self.linear).zip(self.slope_of(x)).map(|((x, p), d)| x * (p + d) / 2.0).sum()
    }

    /// p + 2Qx.
    fn slope_of<'a>(&'a self, x: &'a [f64]) -> impl Iterator<Item = f64> + 'a {
        let rows = self.quadratic.chunks_exact(x.len());
        rows.zip(&self.linear).map(move |(q, p)| p + 2.0 * q.iter().zip(x).map(|(q, x)| q * x).sum::<f64>())
    }

    fn exact(&self) -> Result<Vec<f64>, EstimatorError> {
        let k = self.logits.len();
        Ok(match self.layers[0].family {
            Family::Bernoulli => exact::bernoulli(&self.logits, |b| self.value_of(b))?.gradient,
            Family::Categorical => {
                let one_hot = |b: usize| (0..k).map(|i| f64::from(u8::from(i == b))).collect::<Vec<f64>>();
                exact::categorical(&self.logits, |b| self.value_of(&one_hot(b))).gradient
            }
        })
    }
}

impl Model<f64> for Quadratic {
    type Error = EstimatorError;

    fn layers(&self) -> &[Layer] {
        &self.layers
    }

    fn logits(&mut self, _: usize, _: &[Vec<f64>], logits: &mut [f64]) -> Result<(), EstimatorError> {
        logits.chunks_exact_mut(self.logits.len()).for_each(|row| row.copy_from_slice(&self.logits));
        Ok(())
    }

    fn value(&mut self, samples: &[Vec<f64>], f: &mut [f64]) -> Result<(), EstimatorError> {
        for (f, x) in f.iter_mut().zip(samples[0].chunks_exact(self.logits.len())) {
            *f = self.value_of(x);
        }
        Ok(())
    }

    fn value_and_gradient(
        &mut self,
        _: Place<'_, f64>,
        x: &[f64],
        f: &mut [f64],
        gradient: &mut [f64],
    ) -> Result<(), EstimatorError> {
        let k = self.logits.len();
        for ((f, x), d) in f.iter_mut().zip(x.chunks_exact(k)).zip(gradient.chunks_exact_mut(k)) {
            *f = self.value_of(x);
            d.iter_mut().zip(self.slope_of(x)).for_each(|(d, slope)| *d = slope);
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
        let k = self.logits.len();
        for (t, out) in tangent.chunks_exact(k).zip(out.chunks_exact_mut(k)) {
            let rows = self.quadratic.chunks_exact(k);
            let products = rows.map(|q| 2.0 * q.iter().zip(t).map(|(q, t)| q * t).sum::<f64>());
            out.iter_mut().zip(products).for_each(|(out, product)| *out = product);
        }
        Ok(())
    }

    fn control_variate(
        &mut self,
        _: Place<'_, f64>,
        z: &[f64],
        value: &mut [f64],
        gradient: &mut [f64],
    ) -> Result<(), EstimatorError> {
        self.r.evaluate(z, value, gradient);
        Ok(())
    }

    fn fit_control_variate(
        &mut self,
        _: Place<'_, f64>,
        z: &[f64],
        alpha: &[f64],
        beta: &[f64],
    ) -> Result<(), EstimatorError> {
        self.r.accumulate(z, alpha, beta);
        Ok(())
    }

    fn baseline(&mut self, _: usize, _: &[Vec<f64>], values: &mut [f64]) -> Result<(), EstimatorError> {
        values.fill(0.4);
        Ok(())
    }
}

/// An estimator on a random problem.
pub(super) struct OneCallTarget {
    name: String,
    estimator: Estimator,
    model: Quadratic,
    tuning: Tuning,
    estimate: Estimate<f64>,
    exact: Vec<f64>,
    rng: EnvRng,
}

impl OneCallTarget {
    /// The problem is named by `seed`, and with it every random number.
    pub fn new(case: Case, seed: u64) -> Result<Self, EstimatorError> {
        let mut rng = EnvRng::from_seed_sequence(seed, &[0x1ca]);
        let model = Quadratic::new(case.family, &mut rng);
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
        let exact = model.exact()?;
        let mut target =
            Self { name, estimator: case.estimator, model, tuning, estimate: Estimate::new(), exact, rng };
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
            let Self { estimator, model, tuning, estimate, .. } = self;
            let d = estimator.variance_gradient(model, 0, tuning, estimate)?;
            tuning.gain -= STEP * d.gain.clamp(-1.0, 1.0);
            tuning.log_temperature -= STEP * d.log_temperature.clamp(-1.0, 1.0);
            model.r.step(STEP);
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
