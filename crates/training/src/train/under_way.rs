//! An update that was left off in its middle, as a checkpoint keeps it.

use relax_agents::Metrics;
use relax_nn::{StateDict, StateError, StateTensor};

/// Where an update stands whose batch has been gathered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UnderWay {
    /// Environment steps before the batch.
    pub before: u64,
    /// Whether the policy has taken its step, and the critics are being fitted.
    pub fitting: bool,
    /// What was measured so far.
    pub metrics: Metrics,
}

/// Its name in a state. There is none between two updates.
const NAME: &str = "under_way";

impl UnderWay {
    /// At its beginning, `before` being the environment steps before the batch.
    pub fn new(before: u64) -> Self {
        Self { before, fitting: false, metrics: Metrics::default() }
    }

    /// Adds it to a trainer's state.
    pub fn save(&self, state: &mut StateDict) {
        let place = [self.before as f64, f64::from(u8::from(self.fitting))];
        state.insert(NAME, StateTensor::F64(place.into_iter().chain(self.metrics.values()).collect()));
    }

    /// What [`save`](Self::save) added to the state of a trainer that stands at `env_steps`, if it did.
    ///
    /// # Errors
    /// If it does not fit.
    pub fn restore(state: &StateDict, env_steps: u64) -> Result<Option<Self>, StateError> {
        if state.get(NAME).is_err() {
            return Ok(None);
        }
        let numbers = state.f64(NAME)?;
        match *numbers {
            [before, fitting, ref values @ ..]
                if (0.0..=env_steps as f64).contains(&before) && (fitting == 0.0 || fitting == 1.0) =>
            {
                let metrics = Metrics::from_values(values);
                metrics.map(|metrics| Self { before: before as u64, fitting: fitting == 1.0, metrics })
            }
            _ => None,
        }
        .map(Some)
        .ok_or_else(|| StateError::Mismatch {
            name: NAME.to_owned(),
            expected: format!("an update that began before step {env_steps}"),
            found: format!("{numbers:?}"),
        })
    }
}
