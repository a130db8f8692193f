//! Versions of a control variate that are bounded more and more tightly, each with gains of its own; past batches choose between them.

use super::gains::{Gains, Products};
use super::guard::{Guard, VERSIONS};
use crate::AgentError;
use crate::config::Gain;
use relax_nn::{StateDict, StateTensor};

/// What the versions' gains are called in a checkpoint.
pub const NAMES: [&str; VERSIONS] = ["gains.loud", "gains.loose", "gains.tight"];

/// Gains of all versions of N control variates, and what guards them.
#[derive(Debug, Clone, PartialEq)]
pub struct Versions<const N: usize> {
    gains: [Gains<N>; VERSIONS],
    guard: Guard,
    /// η of each version at the batch at hand.
    at_hand: [[f64; N]; VERSIONS],
}

impl<const N: usize> Default for Versions<N> {
    fn default() -> Self {
        Self { gains: Default::default(), guard: Guard::default(), at_hand: [[0.0; N]; VERSIONS] }
    }
}

impl<const N: usize> Versions<N> {
    /// The version for the next batch, 0 for the loudest, and its η: known before the batch is drawn. A fixed gain is that of the
    /// loudest version, whatever past batches say, in these `shares`.
    pub fn choose(&mut self, gain: Gain, shares: [f64; N]) -> (usize, [f64; N]) {
        self.at_hand = self.gains.each_ref().map(Gains::gains);
        if let Gain::Fixed(gain) = gain {
            return (0, shares.map(|share| gain * share));
        }
        let (version, allowed) = self.guard.choice();
        (version, if allowed { self.at_hand[version] } else { [0.0; N] })
    }

    /// What a log says of η: the gain that was asked for, or the mean of η over the first `present` control variates, all that there are.
    #[must_use]
    pub fn logged(gain: Gain, eta: [f64; N], present: usize) -> f64 {
        match gain {
            Gain::Fixed(gain) => gain,
            Gain::Named(_) => eta.iter().take(present).sum::<f64>() / present as f64,
        }
    }

    /// [`Guard::bounds`].
    #[must_use]
    pub fn bounds(&mut self) -> [f32; VERSIONS] {
        self.guard.bounds().map(|bound| bound as f32)
    }

    /// Takes in a batch that has been used: each version's products over its rows, its mean δ², and ‖ĝ‖² over A2C's as it was.
    pub fn update(&mut self, products: &[Products<N>; VERSIONS], mean_squared_error: f64, realised: f64) {
        let pairs = products.iter().zip(self.at_hand);
        let mut ratios = [1.0; VERSIONS];
        for ((ratio, gains), (products, at_hand)) in ratios.iter_mut().zip(&mut self.gains).zip(pairs) {
            *ratio = products.squared_norm(at_hand) / products.aa;
            gains.update(products);
        }
        self.guard.update(mean_squared_error, ratios, realised);
    }

    /// Adds everything that must survive a checkpoint.
    pub fn save(&self, state: &mut StateDict) {
        for (name, gains) in NAMES.iter().zip(&self.gains) {
            state.insert(*name, StateTensor::F64(gains.state()));
        }
        state.insert("guard", StateTensor::F64(self.guard.state()));
    }

    /// Takes over what [`save`](Self::save) added.
    ///
    /// # Errors
    /// If an array is missing or of another size, or the state is of before there were these versions.
    pub fn restore(&mut self, state: &StateDict) -> Result<(), AgentError> {
        if state.get(NAMES[0]).is_err() {
            return Err(AgentError::Outgrown);
        }
        let mut fits = self.guard.restore(state.f64("guard")?);
        for (name, gains) in NAMES.iter().zip(&mut self.gains) {
            fits = fits && gains.restore(state.f64(name)?);
        }
        let message =
            "the checkpoint's statistics of the control variate are of another size than this run's";
        fits.then_some(()).ok_or_else(|| AgentError::Config(message.into()))
    }
}
