//! Exact gradients by enumeration, and whether estimates have them on average.

use numpy::{PyArray1, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use relax_rl::estimators::certify::{Settings, Target, check};
use relax_rl::estimators::exact;

use super::{Failure, fill, refuse, rows};
use crate::guarded;

/// Outcomes that f is called with at a time when all are enumerated.
const OUTCOMES: usize = 1 << 12;

/// E[f] and ∂E[f]/∂l by enumeration; `f` is called with rows [n, width] of all outcomes, some thousand at a time.
#[pyfunction]
pub fn exact_gradient<'py>(
    logits: PyReadonlyArray1<'py, f64>,
    k: Option<usize>,
    f: &Bound<'py, PyAny>,
) -> PyResult<(f64, Bound<'py, PyArray1<f64>>)> {
    let py = logits.py();
    let logits = logits.as_slice()?;
    let width = logits.len();
    let enumerate = |of: &mut dyn FnMut(&[f64]) -> f64| match k {
        Some(k) => exact::choices(logits, k, of),
        None => exact::bernoulli(logits, of),
    };
    // Once for the outcomes, in blocks, and once for the sums.
    let (mut block, mut values, mut failed) = (Vec::new(), Vec::new(), None);
    let call = |block: &mut Vec<f64>, values: &mut Vec<f64>| {
        let before = values.len();
        values.resize(before + block.len() / width, 0.0);
        let outcome = rows(py, block, width).and_then(|x| fill(&mut values[before..], &f.call1((x,))?));
        block.clear();
        outcome
    };
    enumerate(&mut |b| {
        if failed.is_none() {
            block.extend_from_slice(b);
            if block.len() >= OUTCOMES * width {
                failed = call(&mut block, &mut values).err();
            }
        }
        0.0
    })
    .map_err(refuse)?;
    if failed.is_none() && !block.is_empty() {
        failed = call(&mut block, &mut values).err();
    }
    if let Some(error) = failed {
        return Err(error);
    }
    let mut values = values.into_iter();
    let exact = enumerate(&mut |_| values.next().unwrap_or(f64::NAN)).map_err(refuse)?;
    Ok((exact.value, PyArray1::from_vec(py, exact.gradient)))
}

/// Estimates that Python draws.
struct Drawn<'py> {
    draw: Bound<'py, PyAny>,
    name: String,
    exact: Vec<f64>,
}

impl Target for Drawn<'_> {
    type Error = Failure;

    fn name(&self) -> &str {
        &self.name
    }

    fn exact(&self) -> &[f64] {
        &self.exact
    }

    fn sample(&mut self, rows: &mut Vec<f64>) -> Result<(), Failure> {
        let drawn = self.draw.call0()?;
        let array = drawn.extract::<PyReadonlyArray2<f64>>()?;
        rows.extend_from_slice(array.as_slice().map_err(PyErr::from)?);
        Ok(())
    }
}

/// Compares estimates with what they should be on average. `draw()` returns some independent ones, [n, width].
#[pyfunction]
#[allow(clippy::too_many_arguments)]
pub fn certify<'py>(
    py: Python<'py>,
    draw: Bound<'py, PyAny>,
    name: String,
    exact: Vec<f64>,
    significance: f64,
    detectable: f64,
    power: f64,
    pilot: u64,
    limit: u64,
) -> PyResult<Bound<'py, PyDict>> {
    let settings = Settings { significance, targets: 1, detectable, power, pilot, limit };
    let mut target = Drawn { draw, name, exact };
    let verdict = guarded(|| check(&mut target, &settings).map_err(PyErr::from))?;
    let found = PyDict::new(py);
    let array = |of: Vec<f64>| PyArray1::from_vec(py, of);
    let variance = verdict.standard_error.iter().map(|e| e * e * verdict.samples as f64).collect();
    found.set_item("name", &verdict.name)?;
    found.set_item("biased", verdict.p_value <= significance)?;
    found.set_item("samples", verdict.samples)?;
    found.set_item("worst_z", verdict.worst())?;
    found.set_item("p_value", verdict.p_value)?;
    found.set_item("detectable", verdict.detectable)?;
    found.set_item("mean", array(verdict.mean))?;
    found.set_item("exact", array(verdict.exact))?;
    found.set_item("standard_error", array(verdict.standard_error))?;
    found.set_item("z_scores", array(verdict.z_scores))?;
    found.set_item("variance", array(variance))?;
    Ok(found)
}
