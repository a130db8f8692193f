//! `RunningMeanStd`: mean and variance of a stream of vectors.

use crate::{EnvError, StateReader};

/// Running mean and (population) variance per element, as Gymnasium's `RunningMeanStd` defines them: it starts from mean
/// 0 and variance 1 with the weight of 10⁻⁴ samples, and joins one sample at a time (Chan, Golub & LeVeque 1979, eq.
/// 2.1 with one new sample, which is Welford's update).
#[derive(Clone, Debug, PartialEq)]
pub struct RunningMeanStd {
    mean: Vec<f64>,
    variance: Vec<f64>,
    count: f64,
}

impl RunningMeanStd {
    /// Statistics of vectors of `dim` values.
    pub fn new(dim: usize) -> Self {
        Self { mean: vec![0.0; dim], variance: vec![1.0; dim], count: 1e-4 }
    }

    /// Joins one sample, `[dim]`. Values beyond `dim` are ignored.
    pub fn update(&mut self, sample: impl IntoIterator<Item = f64>) {
        let total = self.count + 1.0;
        for ((mean, variance), value) in self.mean.iter_mut().zip(&mut self.variance).zip(sample) {
            let delta = value - *mean;
            *mean += delta / total;
            *variance = (*variance * self.count + delta * delta * self.count / total) / total;
        }
        self.count = total;
    }

    /// Mean per element.
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// Population variance per element.
    pub fn variance(&self) -> &[f64] {
        &self.variance
    }

    /// Weight of what was seen: the number of samples + 10⁻⁴.
    pub fn count(&self) -> f64 {
        self.count
    }

    pub(super) fn save_state(&self, state: &mut Vec<f64>) {
        state.push(self.count);
        state.extend(&self.mean);
        state.extend(&self.variance);
    }

    pub(super) fn read_state(dim: usize, reader: &mut StateReader<'_, '_>) -> Result<Self, EnvError> {
        let count = reader.within("sample count", 1e-4, 1e300)?;
        let mean = (0..dim).map(|_| reader.finite("mean")).collect::<Result<_, _>>()?;
        let variance =
            (0..dim).map(|_| reader.within("variance", 0.0, f64::MAX)).collect::<Result<_, _>>()?;
        Ok(Self { mean, variance, count })
    }
}
