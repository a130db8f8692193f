//! Gradients of a function of Python that is called, and what is learned from one call for the next.

use std::convert::Infallible;

use numpy::{PyArray1, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use relax_rl::control_variate::NetworkControlVariate;
use relax_rl::envs::EnvRng;
use relax_rl::estimators::{
    AdaptiveGain, BaselineObjective, ControlVariate, Estimate, Estimator, EstimatorError, Layer,
    LearnedBaseline, Model, Place, SignalStatistics, Tuning, TuningGradient,
};
use relax_rl::nn::{Activation, MlpShape, Optimizer, Rule};

use super::{Failure, fill, refuse, rows};
use crate::guarded;

/// How fast running averages forget: a surrogate's gain, and NVIL's centre.
const DECAY: f64 = 0.95;

/// The layer of `numbers` logits: of choices among `k`, or of Bernoulli variables.
fn layer(numbers: usize, k: Option<usize>) -> Layer {
    k.map_or(Layer::bernoulli(numbers), |k| Layer::choices(numbers / k, k))
}

/// The functions that an estimate calls, each with rows [rows, width] of double precision; they check what they return.
#[derive(Default)]
struct Functions<'py> {
    value: Option<Bound<'py, PyAny>>,
    gradient: Option<Bound<'py, PyAny>>,
    hessian_vector: Option<Bound<'py, PyAny>>,
    control_variate: Option<Bound<'py, PyAny>>,
    fit: Option<Bound<'py, PyAny>>,
    surrogate: Option<Bound<'py, PyAny>>,
}

/// A control variate of ours, and its training.
struct Network {
    c: NetworkControlVariate<f64>,
    gradient: Vec<f64>,
    adam: Optimizer<f64>,
}

impl Network {
    fn new(inputs: usize, hidden: &[usize], rng: &mut EnvRng) -> Self {
        let shape = MlpShape::new(inputs, hidden, 1, Activation::Tanh);
        let parameters: Vec<f64> = shape.orthogonal(rng, 1.0, 0.0);
        let len = parameters.len();
        let c = NetworkControlVariate::new(shape, parameters);
        Self { c, gradient: vec![0.0; len], adam: Optimizer::new(Rule::ADAM, len) }
    }

    fn inputs(&self) -> usize {
        self.c.shape().input()
    }
}

/// Logits of some distributions, `group` samples of each, and functions of Python.
struct Problem<'a, 'py> {
    py: Python<'py>,
    layers: [Layer; 1],
    logits: &'a [f64],
    group: usize,
    baseline: &'a [f64],
    functions: Functions<'py>,
    network: Option<&'a mut Network>,
}

impl Model<f64> for Problem<'_, '_> {
    type Error = Failure;

    fn layers(&self) -> &[Layer] {
        &self.layers
    }

    fn logits(&mut self, _: usize, _: &[Vec<f64>], logits: &mut [f64]) -> Result<(), Failure> {
        let width = self.layers[0].width;
        let each = self.logits.chunks_exact(width).flat_map(|row| std::iter::repeat_n(row, self.group));
        logits.chunks_exact_mut(width).zip(each).for_each(|(to, from)| to.copy_from_slice(from));
        Ok(())
    }

    fn value(&mut self, samples: &[Vec<f64>], f: &mut [f64]) -> Result<(), Failure> {
        let Some(value) = &self.functions.value else {
            return Err(PyValueError::new_err("there is no function to call").into());
        };
        Ok(fill(f, &value.call1((rows(self.py, &samples[0], self.layers[0].width)?,))?)?)
    }

    fn value_and_gradient(
        &mut self,
        _: Place<'_, f64>,
        x: &[f64],
        f: &mut [f64],
        gradient: &mut [f64],
    ) -> Result<(), Failure> {
        let (Some(value), Some(slope)) = (&self.functions.value, &self.functions.gradient) else {
            return Err(EstimatorError::NotDifferentiable.into());
        };
        let width = self.layers[0].width;
        fill(f, &value.call1((rows(self.py, x, width)?,))?)?;
        Ok(fill(gradient, &slope.call1((rows(self.py, x, width)?,))?)?)
    }

    /// Without it the temperature is not learned, and nothing is made of the zeros.
    fn hessian_vector(
        &mut self,
        _: Place<'_, f64>,
        x: &[f64],
        tangent: &[f64],
        out: &mut [f64],
    ) -> Result<(), Failure> {
        let width = self.layers[0].width;
        match &self.functions.hessian_vector {
            Some(curve) => {
                let arguments = (rows(self.py, x, width)?, rows(self.py, tangent, width)?);
                Ok(fill(out, &curve.call1(arguments)?)?)
            }
            None => {
                out.fill(0.0);
                Ok(())
            }
        }
    }

    fn control_variate(
        &mut self,
        _: Place<'_, f64>,
        z: &[f64],
        value: &mut [f64],
        gradient: &mut [f64],
    ) -> Result<(), Failure> {
        if let Some(given) = &self.functions.control_variate {
            let returned = given.call1((rows(self.py, z, self.layers[0].width)?,))?;
            fill(value, &returned.get_item(0)?)?;
            return Ok(fill(gradient, &returned.get_item(1)?)?);
        }
        let network = self.network.as_mut().ok_or(EstimatorError::NoControlVariate)?;
        let Ok::<(), Infallible>(()) = network.c.value_and_gradient(z, &[], value, gradient);
        Ok(())
    }

    fn fit_control_variate(
        &mut self,
        _: Place<'_, f64>,
        z: &[f64],
        alpha: &[f64],
        beta: &[f64],
    ) -> Result<(), Failure> {
        if let Some(network) = &mut self.network {
            let Network { c, gradient, .. } = &mut **network;
            let Ok::<(), Infallible>(()) = c.parameter_gradient(z, &[], alpha, beta, gradient);
        } else if let Some(fit) = &self.functions.fit {
            let (py, width) = (self.py, self.layers[0].width);
            let arguments = (rows(py, z, width)?, PyArray1::from_slice(py, alpha), rows(py, beta, width)?);
            fit.call1(arguments)?;
        }
        Ok(())
    }

    fn surrogate(&mut self, samples: &[Vec<f64>], c: &mut [f64]) -> Result<(), Failure> {
        let surrogate = self.functions.surrogate.as_ref().ok_or(EstimatorError::NoSurrogate)?;
        Ok(fill(c, &surrogate.call1((rows(self.py, &samples[0], self.layers[0].width)?,))?)?)
    }

    fn baseline(&mut self, _: usize, _: &[Vec<f64>], values: &mut [f64]) -> Result<(), Failure> {
        for (values, &baseline) in values.chunks_exact_mut(self.group).zip(self.baseline) {
            values.fill(baseline);
        }
        Ok(())
    }
}

/// How an optimiser's state is saved: steps, first and second moments.
type Moments = (u64, Vec<f64>, Vec<f64>);

fn moments(of: &Optimizer<f64>) -> Moments {
    let (first, second) = of.moments();
    (of.steps(), first.to_vec(), second.to_vec())
}

fn restored((steps, first, second): Moments, len: usize) -> PyResult<Optimizer<f64>> {
    let fits = second.len() == len;
    let optimizer = Optimizer::at(Rule::ADAM, steps, first, second).filter(|_| fits);
    optimizer.ok_or_else(|| PyValueError::new_err("the state is that of another estimator"))
}

/// Everything that an estimator has learned, and its generator.
type Saved = ([f64; 4], Moments, f64, [f64; 3], [f64; 2], [u64; 6], Option<(usize, Vec<f64>, Moments)>);

/// An estimator, what it has learned, and its random numbers.
#[pyclass(module = "relax_rl._relax_rl")]
pub struct FunctionEstimator {
    estimator: Estimator,
    learning_rate: f64,
    hidden: Vec<usize>,
    tuning: Tuning,
    numbers: Optimizer<f64>,
    baseline: LearnedBaseline,
    signal: SignalStatistics,
    /// Of a surrogate, unless it is fixed.
    adaptive: Option<AdaptiveGain>,
    network: Option<Network>,
    rng: EnvRng,
    estimate: Estimate<f64>,
}

#[pymethods]
impl FunctionEstimator {
    /// `gain`: None for 1, which is learned, and for a surrogate's own.
    #[new]
    fn new(
        name: &str,
        learning_rate: f64,
        hidden: Vec<usize>,
        gain: Option<f64>,
        temperature: f64,
        baseline: f64,
        seed: u64,
    ) -> PyResult<Self> {
        let estimator: Estimator = name.parse().map_err(refuse)?;
        let mut learned = LearnedBaseline::new(learning_rate, BaselineObjective::SquaredError);
        learned.restore(baseline);
        let surrogate = estimator.needs().surrogate;
        let adaptive = (surrogate && gain.is_none()).then(|| AdaptiveGain::new(DECAY));
        Ok(Self {
            estimator,
            learning_rate,
            hidden,
            tuning: Tuning {
                gain: gain.unwrap_or(if surrogate { 0.0 } else { 1.0 }),
                log_temperature: temperature.ln(),
                baseline,
                scale: 1.0,
            },
            numbers: Optimizer::new(Rule::ADAM, 2),
            baseline: learned,
            signal: SignalStatistics::new(DECAY).map_err(refuse)?,
            adaptive: adaptive.transpose().map_err(refuse)?,
            network: None,
            rng: EnvRng::from_seed(seed),
            estimate: Estimate::new(),
        })
    }

    /// ĝ [B·N, width], samples as f takes them, the same, and f [B·N] of `group` = N samples of each of B distributions; then, with
    /// `learn`, what is learned is fitted to the batch, for the next one. `functions`: those of `Functions`, by name.
    #[allow(clippy::too_many_arguments, clippy::type_complexity)]
    fn estimate<'py>(
        &mut self,
        py: Python<'py>,
        logits: PyReadonlyArray2<'py, f64>,
        k: Option<usize>,
        group: usize,
        free: usize,
        functions: &Bound<'py, PyDict>,
        baseline: PyReadonlyArray1<'py, f64>,
        learn: bool,
    ) -> PyResult<(Bound<'py, PyArray1<f64>>, Bound<'py, PyArray1<f64>>, Bound<'py, PyArray1<f64>>)> {
        let [batch, width] = [logits.shape()[0], logits.shape()[1]];
        let of = |name| Ok::<_, PyErr>(functions.get_item(name)?.filter(|of| !of.is_none()));
        let functions = Functions {
            value: of("value")?,
            gradient: of("gradient")?,
            hessian_vector: of("hessian_vector")?,
            control_variate: of("control_variate")?,
            fit: of("fit")?,
            surrogate: of("surrogate")?,
        };
        let estimator = match self.estimator {
            Estimator::LeaveOneOut { .. } => Estimator::LeaveOneOut { group },
            Estimator::Surrogate { .. } => Estimator::Surrogate { group, passes: free.div_ceil(group) },
            other => other,
        };
        if estimator.learns_control_variate() && functions.control_variate.is_none() {
            let known = self.network.as_ref().map(|network| network.inputs());
            if known.is_some_and(|inputs| inputs != width) {
                return Err(PyValueError::new_err(format!(
                    "this estimator's control variate is one of {} numbers, but f is one of {width} now",
                    known.unwrap_or_default()
                )));
            }
            if known.is_none() {
                self.network = Some(Network::new(width, &self.hidden, &mut self.rng));
            }
        }
        let learns_temperature = functions.hessian_vector.is_some();
        let Self { tuning, rng, estimate, network, .. } = self;
        let mut problem = Problem {
            py,
            layers: [layer(width, k)],
            logits: logits.as_slice()?,
            group,
            baseline: baseline.as_slice()?,
            network: if functions.control_variate.is_none() { network.as_mut() } else { None },
            functions,
        };
        let slope = guarded(|| {
            estimator
                .estimate(&mut problem, &[*tuning], batch * group, rng, estimate)
                .map_err(PyErr::from)?;
            if !learn {
                return Ok(TuningGradient::default());
            }
            if let Some(network) = &mut problem.network {
                network.gradient.fill(0.0);
            }
            estimator.variance_gradient(&mut problem, 0, tuning, estimate).map_err(PyErr::from)
        })?;
        if learn {
            let mut by_rows = Vec::new();
            for &b in baseline.as_slice()? {
                by_rows.extend(std::iter::repeat_n(b, group));
            }
            self.learn(estimator, slope, learns_temperature, &by_rows);
        }
        let estimate = &self.estimate;
        Ok((
            PyArray1::from_slice(py, estimate.gradient(0)),
            PyArray1::from_slice(py, estimate.sample(0)),
            PyArray1::from_slice(py, estimate.f()),
        ))
    }

    /// η.
    #[getter]
    fn gain(&self) -> f64 {
        self.tuning.gain
    }

    /// λ.
    #[getter]
    fn temperature(&self) -> f64 {
        self.tuning.log_temperature.exp()
    }

    /// B, or the centre of NVIL's signal.
    #[getter]
    fn baseline(&self) -> f64 {
        self.tuning.baseline
    }

    /// Everything that [`load`](Self::load) needs to go on from here.
    fn save(&self) -> Saved {
        let Tuning { gain, log_temperature, baseline, scale } = self.tuning;
        let network = self.network.as_ref();
        let network = network.map(|own| (own.inputs(), own.c.parameters.clone(), moments(&own.adam)));
        (
            [gain, log_temperature, baseline, scale],
            moments(&self.numbers),
            self.baseline.value(),
            self.signal.state(),
            self.adaptive.as_ref().map_or([0.0; 2], AdaptiveGain::state),
            self.rng.state(),
            network,
        )
    }

    /// Goes back to what [`save`](Self::save) gave.
    fn load(&mut self, saved: Saved) -> PyResult<()> {
        let ([gain, log_temperature, baseline, scale], numbers, learned, signal, adaptive, rng, network) =
            saved;
        let rng = EnvRng::from_state(rng).map_err(refuse)?;
        let numbers = restored(numbers, 2)?;
        let network = network.map(|(inputs, parameters, moments)| {
            let mut network = Network::new(inputs, &self.hidden, &mut EnvRng::from_seed(0));
            let len = network.gradient.len();
            network.adam = restored(moments, len)?;
            if parameters.len() != len {
                return Err(PyValueError::new_err("the state is that of another estimator"));
            }
            network.c.parameters = parameters;
            Ok(network)
        });
        self.network = network.transpose()?;
        self.tuning = Tuning { gain, log_temperature, baseline, scale };
        (self.numbers, self.rng) = (numbers, rng);
        self.baseline.restore(learned);
        self.signal.restore(signal);
        if let Some(own) = &mut self.adaptive {
            own.restore(adaptive);
        }
        Ok(())
    }
}

impl FunctionEstimator {
    /// Fits to the batch just used what the next one's ĝ has.
    fn learn(&mut self, estimator: Estimator, slope: TuningGradient, temperature: bool, baseline: &[f64]) {
        let rate = self.learning_rate;
        if estimator.relaxes_f() {
            let mut numbers = [self.tuning.gain, self.tuning.log_temperature];
            let by_temperature = if temperature { slope.log_temperature } else { 0.0 };
            self.numbers.step(&mut numbers, &[slope.gain, by_temperature], rate, 1.0);
            [self.tuning.gain, self.tuning.log_temperature] = numbers;
        }
        if let Some(Network { c, gradient, adam }) = &mut self.network {
            adam.step(&mut c.parameters, gradient, rate, 1.0);
        }
        match estimator {
            Estimator::Baseline => {
                self.baseline.update(self.estimate.score(0), self.estimate.f());
                self.tuning.baseline = self.baseline.value();
            }
            Estimator::Nvil => {
                self.signal.update(self.estimate.f(), baseline);
                (self.tuning.baseline, self.tuning.scale) = (self.signal.centre(), 1.0);
            }
            Estimator::Surrogate { .. } => {
                let (ab, bb) = self.estimate.surrogate_statistics();
                if let Some(own) = &mut self.adaptive {
                    own.update(ab, bb);
                    self.tuning.gain = own.gain();
                }
            }
            _ => {}
        }
    }
}
