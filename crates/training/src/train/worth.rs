//! What a control variate was worth over a run.

use relax_agents::Metrics;
use relax_nn::{StateDict, StateError, StateTensor};

use crate::summary::ControlVariateSummary;

/// Its array in a checkpoint.
const NAME: &str = "control_variate_worth";

/// Sums over the updates of an agent that has a control variate.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Worth {
    batches: f64,
    gain: f64,
    /// Batches whose gain was 0.
    idle: f64,
    /// Batches with a ratio, and Σ ‖ĝ‖² / ‖ĝ_A2C‖².
    compared: f64,
    ratios: f64,
    squared_norm: f64,
    squared_norm_a2c: f64,
}

impl Worth {
    /// Takes in the figures of an update.
    pub fn update(&mut self, metrics: &Metrics) {
        if !metrics.gain.is_finite() {
            return;
        }
        self.batches += 1.0;
        self.gain += metrics.gain;
        self.idle += f64::from(u8::from(metrics.gain == 0.0));
        if metrics.variance_ratio.is_finite() {
            self.compared += 1.0;
            self.ratios += metrics.variance_ratio;
            self.squared_norm += metrics.squared_norm;
            self.squared_norm_a2c += metrics.squared_norm_a2c;
        }
    }

    /// What it comes to; none for an agent without a control variate.
    pub fn summary(&self) -> Option<ControlVariateSummary> {
        let per = |sum: f64, count: f64| Some(sum / count).filter(|x| x.is_finite());
        (self.batches > 0.0).then(|| ControlVariateSummary {
            mean_of_ratios: per(self.ratios, self.compared),
            ratio_of_sums: per(self.squared_norm, self.squared_norm_a2c),
            mean_gain: self.gain / self.batches,
            idle_share: self.idle / self.batches,
        })
    }

    /// Adds the sums to a checkpoint, if there are any.
    pub fn save(&self, state: &mut StateDict) {
        if self.batches > 0.0 {
            let Self { batches, gain, idle, compared, ratios, squared_norm, squared_norm_a2c } = *self;
            let sums = vec![batches, gain, idle, compared, ratios, squared_norm, squared_norm_a2c];
            state.insert(NAME, StateTensor::F64(sums));
        }
    }

    /// The sums of a checkpoint; empty ones where there are none, as in runs of earlier versions.
    ///
    /// # Errors
    /// If the array is not what [`save`](Self::save) wrote.
    pub fn restore(state: &StateDict) -> Result<Self, StateError> {
        if state.get(NAME).is_err() {
            return Ok(Self::default());
        }
        let [batches, gain, idle, compared, ratios, squared_norm, squared_norm_a2c] =
            state.f64_array(NAME)?;
        Ok(Self { batches, gain, idle, compared, ratios, squared_norm, squared_norm_a2c })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn metrics(gain: f64, squared_norm: f64, squared_norm_a2c: f64) -> Metrics {
        let variance_ratio = squared_norm / squared_norm_a2c;
        Metrics { gain, squared_norm, squared_norm_a2c, variance_ratio, ..Metrics::default() }
    }

    #[test]
    fn ratios_gains_and_idle_batches_survive_a_checkpoint() {
        let mut worth = Worth::default();
        worth.update(&Metrics::default());
        assert_eq!(worth.summary(), None);
        worth.update(&metrics(0.0, 1.0, 1.0));
        worth.update(&metrics(0.5, 1.0, 4.0));
        // A batch without any gradient has no ratio.
        worth.update(&metrics(1.0, 0.0, 0.0));
        let mut state = StateDict::new();
        worth.save(&mut state);
        let summary = Worth::restore(&state).unwrap().summary().unwrap();
        assert_eq!((summary.mean_of_ratios, summary.ratio_of_sums), (Some(0.625), Some(0.4)));
        assert_eq!((summary.mean_gain, summary.idle_share), (0.5, 1.0 / 3.0));
        assert_eq!(Worth::restore(&StateDict::new()).unwrap(), Worth::default());
        state.insert(NAME, StateTensor::F64(vec![1.0]));
        assert!(Worth::restore(&state).is_err());
    }
}
