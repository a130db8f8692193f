//! Gradients from samples and their values, wherever the values come from; and the baselines that are learned from them.

use std::ops::Range;

use numpy::{Element, PyArray1, PyArrayMethods, PyReadonlyArray1};
use pyo3::prelude::*;
use relax_rl::envs::EnvRng;
use relax_rl::estimators::{
    BaselineObjective, LearnedBaseline, Real, SignalStatistics, bernoulli, categorical, disarm,
    disarm_categorical, leave_one_out, noise, nvil, stick_logits, stick_outcome,
};

use super::refuse;
use crate::guarded;

/// Numbers that are worked on at a time, so that what is computed on the way stays in the cache.
const BLOCK: usize = 1 << 14;

/// Hard samples: of Bernoulli variables 0 or 1, of choices among `k` their numbers.
enum Samples<'a, F> {
    Bits(&'a [F]),
    Choices(&'a [u32], usize),
}

impl<F: Real> Samples<'_, F> {
    /// The scores of those samples that belong to the logits from `at` on.
    fn score(&self, logits: &[F], at: usize, probs: &mut [F], score: &mut [F]) {
        match *self {
            Self::Bits(bits) => bernoulli::score(logits, &bits[at..at + logits.len()], score),
            Self::Choices(of, k) => {
                categorical::log_softmax(logits, k, score);
                categorical::probabilities(score, probs);
                categorical::score(probs, &of[at / k..(at + logits.len()) / k], score);
            }
        }
    }
}

/// Borrowed arrays of samples, which [`Samples`] reads.
enum Taken<'py, F: Element> {
    Bits(PyReadonlyArray1<'py, F>),
    Choices(PyReadonlyArray1<'py, u32>, usize),
}

impl<'py, F: Real + Element> Taken<'py, F> {
    fn new(samples: &Bound<'py, PyAny>, k: Option<usize>) -> PyResult<Self> {
        Ok(match k {
            None => Self::Bits(samples.extract::<PyReadonlyArray1<F>>()?),
            Some(k) => Self::Choices(samples.extract::<PyReadonlyArray1<u32>>()?, k),
        })
    }

    fn get(&self) -> PyResult<Samples<'_, F>> {
        Ok(match self {
            Self::Bits(bits) => Samples::Bits(bits.as_slice()?),
            Self::Choices(of, k) => Samples::Choices(of.as_slice()?, *k),
        })
    }
}

/// Calls a function with blocks of whole rows: where the block starts in the logits and among the rows, its logits and its output.
fn blocks<F: Real>(
    logits: &[F],
    rows: usize,
    out: &mut [F],
    mut each: impl FnMut(usize, Range<usize>, &[F], &mut [F]),
) {
    let width = logits.len() / rows;
    let whole = (BLOCK / width).max(1);
    for (i, (logits, out)) in logits.chunks(whole * width).zip(out.chunks_mut(whole * width)).enumerate() {
        let first = i * whole;
        each(first * width, first..first + logits.len() / width, logits, out);
    }
}

fn score_function<'py, F: Real + Element>(
    logits: &Bound<'py, PyArray1<F>>,
    k: Option<usize>,
    samples: &Bound<'py, PyAny>,
    values: &Bound<'py, PyAny>,
    baseline: &Bound<'py, PyAny>,
    (centre, scale): (f64, f64),
) -> PyResult<Bound<'py, PyAny>> {
    let py = logits.py();
    let (taken, logits) = (Taken::<F>::new(samples, k)?, logits.readonly());
    let (values, baseline) =
        (values.extract::<PyReadonlyArray1<F>>()?, baseline.extract::<PyReadonlyArray1<F>>()?);
    let (samples, logits) = (taken.get()?, logits.as_slice()?);
    let (values, baseline) = (values.as_slice()?, baseline.as_slice()?);
    let gradient = guarded(|| {
        Ok(py.detach(|| {
            let mut gradient = vec![F::ZERO; logits.len()];
            let (mut probs, mut score) = (Vec::new(), Vec::new());
            blocks(logits, values.len(), &mut gradient, |at, rows, logits, out| {
                probs.resize(logits.len(), F::ZERO);
                score.resize(logits.len(), F::ZERO);
                samples.score(logits, at, &mut probs, &mut score);
                nvil(&score, &values[rows.clone()], &baseline[rows], centre, scale, out);
            });
            gradient
        }))
    })?;
    Ok(PyArray1::from_vec(py, gradient).into_any())
}

/// s·(f − B − centre)/scale of every row: REINFORCE with a baseline, and NVIL.
///
/// `logits`, and what is returned: [rows·width]; `values` and `baseline`: [rows], of the logits' type; `samples`: of Bernoulli variables
/// that type, of choices among `k` 32-bit numbers.
#[pyfunction]
pub fn score_function_gradient<'py>(
    logits: &Bound<'py, PyAny>,
    k: Option<usize>,
    samples: &Bound<'py, PyAny>,
    values: &Bound<'py, PyAny>,
    baseline: &Bound<'py, PyAny>,
    signal: (f64, f64),
) -> PyResult<Bound<'py, PyAny>> {
    match logits.cast::<PyArray1<f32>>() {
        Ok(logits) => score_function(logits, k, samples, values, baseline, signal),
        Err(_) => score_function(logits.cast::<PyArray1<f64>>()?, k, samples, values, baseline, signal),
    }
}

/// The mean of the others' values, of every value in groups of `group`.
#[pyfunction]
pub fn leave_one_out_baseline<'py>(values: &Bound<'py, PyAny>, group: usize) -> PyResult<Bound<'py, PyAny>> {
    fn others<'py, F: Real + Element>(
        values: &Bound<'py, PyArray1<F>>,
        group: usize,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (py, values) = (values.py(), values.readonly());
        let values = values.as_slice()?;
        let mut baseline = vec![F::ZERO; values.len()];
        leave_one_out(values, group, &mut baseline).map_err(refuse)?;
        Ok(PyArray1::from_vec(py, baseline).into_any())
    }
    match values.cast::<PyArray1<f32>>() {
        Ok(values) => others(values, group),
        Err(_) => others(values.cast::<PyArray1<f64>>()?, group),
    }
}

/// The tosses that make the outcomes `of`: those after an outcome decide nothing.
fn tosses<F: Real>(of: &[u32], k: usize) -> Vec<F> {
    let toss = |b: u32, i: usize| if b as usize == i { F::ONE } else { F::ZERO };
    of.iter().flat_map(|&b| (0..k - 1).map(move |i| toss(b, i))).collect()
}

fn antithetic<'py, F: Real + Element>(
    logits: &Bound<'py, PyArray1<F>>,
    k: Option<usize>,
    pair: [&Bound<'py, PyAny>; 2],
    values: [&Bound<'py, PyAny>; 2],
) -> PyResult<Bound<'py, PyAny>> {
    let py = logits.py();
    let logits = logits.readonly();
    let (first, second) = (Taken::<F>::new(pair[0], k)?, Taken::<F>::new(pair[1], k)?);
    let (f, f_other) =
        (values[0].extract::<PyReadonlyArray1<F>>()?, values[1].extract::<PyReadonlyArray1<F>>()?);
    let (logits, f, f_other) = (logits.as_slice()?, f.as_slice()?, f_other.as_slice()?);
    let mut gradient = vec![F::ZERO; logits.len()];
    let pair = (first.get()?, second.get()?);
    guarded(|| {
        match pair {
            (Samples::Choices(b, k), Samples::Choices(other, _)) => {
                let mut alpha = vec![F::ZERO; b.len() * (k - 1)];
                stick_logits(logits, k, &mut alpha);
                let each = |of: &[F]| -> Vec<F> {
                    of.iter().flat_map(|&f| std::iter::repeat_n(f, b.len() / of.len())).collect()
                };
                let (bits, others) = (tosses(b, k), tosses(other, k));
                disarm_categorical(&alpha, &bits, &others, &each(f), &each(f_other), &mut gradient);
            }
            (Samples::Bits(b), Samples::Bits(other)) => disarm(logits, b, other, f, f_other, &mut gradient),
            _ => {}
        }
        Ok(())
    })?;
    Ok(PyArray1::from_vec(py, gradient).into_any())
}

/// DisARM of every row: the pairs are those of [`draw`].
#[pyfunction]
pub fn antithetic_gradient<'py>(
    logits: &Bound<'py, PyAny>,
    k: Option<usize>,
    samples: &Bound<'py, PyAny>,
    opposites: &Bound<'py, PyAny>,
    values: &Bound<'py, PyAny>,
    opposite_values: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let (pair, values) = ([samples, opposites], [values, opposite_values]);
    match logits.cast::<PyArray1<f32>>() {
        Ok(logits) => antithetic(logits, k, pair, values),
        Err(_) => antithetic(logits.cast::<PyArray1<f64>>()?, k, pair, values),
    }
}

/// Samples of every row of logits, and with `pairs` their opposites: of Bernoulli variables 0 and 1 (uint8), of choices their
/// numbers (int64).
#[pyfunction]
pub fn draw<'py>(
    logits: PyReadonlyArray1<'py, f64>,
    k: Option<usize>,
    seed: u64,
    pairs: bool,
) -> PyResult<(Bound<'py, PyAny>, Option<Bound<'py, PyAny>>)> {
    let py = logits.py();
    let logits = logits.as_slice()?;
    let mut rng = EnvRng::from_seed(seed);
    let mut noise = |len: usize| {
        let mut u = vec![0.0; len];
        noise::fill_uniform(&mut rng, &mut u);
        u
    };
    let hard = |a: &[f64], u: &[f64], opposite: bool| {
        let (mut z, mut b) = (vec![0.0; a.len()], vec![0.0; a.len()]);
        if opposite {
            bernoulli::antithetic_sample(a, u, &mut z);
        } else {
            bernoulli::relaxed_sample(a, u, &mut z);
        }
        bernoulli::hard_sample(&z, &mut b);
        b
    };
    guarded(|| {
        let Some(k) = k else {
            let u = noise(logits.len());
            let bits = |opposite| {
                let b = hard(logits, &u, opposite).into_iter().map(|b| b as u8).collect();
                PyArray1::<u8>::from_vec(py, b).into_any()
            };
            return Ok((bits(false), pairs.then(|| bits(true))));
        };
        let numbers =
            |of: Vec<u32>| PyArray1::<i64>::from_vec(py, of.into_iter().map(i64::from).collect()).into_any();
        let mut outcomes = vec![0; logits.len() / k];
        if !pairs {
            let (mut log_probs, mut z) = (vec![0.0; logits.len()], vec![0.0; logits.len()]);
            categorical::log_softmax(logits, k, &mut log_probs);
            categorical::relaxed_sample(&log_probs, &noise(logits.len()), &mut z);
            categorical::hard_sample(&z, k, &mut outcomes);
            return Ok((numbers(outcomes), None));
        }
        let mut alpha = vec![0.0; outcomes.len() * (k - 1)];
        stick_logits(logits, k, &mut alpha);
        let u = noise(alpha.len());
        let mut side = |opposite| {
            stick_outcome(&hard(&alpha, &u, opposite), k, &mut outcomes);
            numbers(outcomes.clone())
        };
        Ok((side(false), Some(side(true))))
    })
}

/// One learned number as a baseline.
#[pyclass(module = "relax_rl._relax_rl")]
pub struct NumberBaseline {
    inner: LearnedBaseline,
}

#[pymethods]
impl NumberBaseline {
    /// `variance`: descends the variance rather than the squared error.
    #[new]
    fn new(learning_rate: f64, variance: bool) -> Self {
        let objective = if variance { BaselineObjective::Variance } else { BaselineObjective::SquaredError };
        Self { inner: LearnedBaseline::new(learning_rate, objective) }
    }

    #[getter]
    fn value(&self) -> f64 {
        self.inner.value()
    }

    #[setter]
    fn set_value(&mut self, value: f64) {
        self.inner.restore(value);
    }

    /// Takes in a batch, after its gradient.
    fn update(
        &mut self,
        logits: PyReadonlyArray1<'_, f64>,
        k: Option<usize>,
        samples: &Bound<'_, PyAny>,
        values: PyReadonlyArray1<'_, f64>,
    ) -> PyResult<()> {
        let taken = Taken::<f64>::new(samples, k)?;
        let (logits, values) = (logits.as_slice()?, values.as_slice()?);
        let (mut probs, mut score) = (vec![0.0; logits.len()], vec![0.0; logits.len()]);
        taken.get()?.score(logits, 0, &mut probs, &mut score);
        guarded(|| {
            self.inner.update(&score, values);
            Ok(())
        })
    }
}

/// Running mean and deviation of a learning signal.
#[pyclass(module = "relax_rl._relax_rl")]
pub struct Signal {
    inner: SignalStatistics,
}

#[pymethods]
impl Signal {
    #[new]
    fn new(decay: f64) -> PyResult<Self> {
        Ok(Self { inner: SignalStatistics::new(decay).map_err(refuse)? })
    }

    #[getter]
    fn centre(&self) -> f64 {
        self.inner.centre()
    }

    #[getter]
    fn scale(&self) -> f64 {
        self.inner.scale()
    }

    #[getter]
    fn state(&self) -> [f64; 3] {
        self.inner.state()
    }

    #[setter]
    fn set_state(&mut self, state: [f64; 3]) {
        self.inner.restore(state);
    }

    /// Takes in a batch, after its gradient.
    fn update(
        &mut self,
        values: PyReadonlyArray1<'_, f64>,
        baseline: PyReadonlyArray1<'_, f64>,
    ) -> PyResult<()> {
        self.inner.update(values.as_slice()?, baseline.as_slice()?);
        Ok(())
    }
}
