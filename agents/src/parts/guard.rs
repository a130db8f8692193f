//! Keeps a control variate from doing harm, by what it did on past batches.
//!
//! A learned q can be far off where the policy has not been before, and one such batch can be many times louder than A2C's.
//! Three rules, none of which looks at the batch at hand:
//!
//! - **Bounds.** q is clipped to ±κ·√(mean δ² of a batch), before any expectation of it is taken; there are three versions of the
//!   control variate: of κ = 8 and the mean over the last 20 batches, and of κ = 8 and κ = 2 and their median. Where most batches are
//!   quiet and some are loud, as where a pendulum stands once it has been swung up, the median cuts off nearly all that q says of the
//!   loud ones. Without any bound one state at the edge, whose ending the model gets wrong, makes a batch on which A2C's gradient is
//!   next to nothing a thousand times louder.
//! - **Choice.** Of all versions a moving average is kept of what they made, or would have made, of each batch's ‖ĝ‖². The next
//!   batch gets the one with the lowest average, and none while all are above 1. (The tight bound costs dense tasks a little and
//!   saves tasks with endings; which it is, past batches show.)
//! - **Breaker.** After a batch on which ‖ĝ‖² rose by more than a half there is none for three batches. A rise by a tenth says
//!   nothing yet: of Pendulum's batches of 128 rows one in ten rises by more, though their mean falls by a fifth.

/// How many versions there are: of the loud, the loose and the tight bound.
pub const VERSIONS: usize = 3;
/// κ of each.
const BOUNDS: [f64; VERSIONS] = [8.0, 8.0, 2.0];
/// Batches whose δ² the bound looks at.
const WINDOW: usize = 20;
/// How fast the choice forgets.
const DECAY: f64 = 0.95;
/// A ratio that breaks, and for how many batches.
const BREAKS: f64 = 1.5;
const PAUSE: u64 = 3;
/// A batch counts for no more than this in the averages: one disaster would rule them for long.
const LOUDEST: f64 = 10.0;

/// What past batches say.
#[derive(Debug, Clone, PartialEq)]
pub struct Guard {
    /// Mean δ² of the last batches, the oldest to be overwritten next.
    errors: Vec<f64>,
    next: usize,
    /// Moving averages of ‖ĝ‖² over A2C's, of each version.
    ratios: [f64; VERSIONS],
    /// Batches left without any.
    pause: u64,
    sorted: Vec<f64>,
}

impl Default for Guard {
    fn default() -> Self {
        Self {
            errors: Vec::with_capacity(WINDOW),
            next: 0,
            ratios: [1.0; VERSIONS],
            pause: 0,
            sorted: Vec::with_capacity(WINDOW),
        }
    }
}

impl Guard {
    /// Largest |q| of each version; no bound before the first batch.
    #[must_use]
    pub fn bounds(&mut self) -> [f64; VERSIONS] {
        self.sorted.clear();
        self.sorted.extend_from_slice(&self.errors);
        self.sorted.sort_by(f64::total_cmp);
        let n = self.sorted.len();
        if n == 0 {
            return [f64::INFINITY; VERSIONS];
        }
        let mean = self.sorted.iter().sum::<f64>() / n as f64;
        let median = (self.sorted[(n - 1) / 2] + self.sorted[n / 2]) / 2.0;
        let [loud, loose, tight] = BOUNDS;
        [loud * mean.sqrt(), loose * median.sqrt(), tight * median.sqrt()]
    }

    /// The version for the next batch, the tightest of those that did alike, and whether it may be used at all.
    #[must_use]
    pub fn choice(&self) -> (usize, bool) {
        let better = |best: usize, version: usize| {
            if self.ratios[version] <= self.ratios[best] { version } else { best }
        };
        let version = (0..VERSIONS).fold(0, better);
        (version, self.pause == 0 && self.ratios[version] <= 1.0)
    }

    /// Takes in a batch that has been used: its mean δ², what each version made or would have made of A2C's ‖ĝ‖² at its own
    /// gains, and what was made of it.
    pub fn update(&mut self, mean_squared_error: f64, of_versions: [f64; VERSIONS], realised: f64) {
        if mean_squared_error.is_finite() {
            if self.errors.len() < WINDOW {
                self.errors.push(mean_squared_error);
            } else {
                self.errors[self.next] = mean_squared_error;
            }
            self.next = (self.next + 1) % WINDOW;
        }
        for (average, ratio) in self.ratios.iter_mut().zip(of_versions) {
            if ratio.is_finite() {
                *average += (1.0 - DECAY) * (ratio.min(LOUDEST) - *average);
            }
        }
        self.pause = if realised > BREAKS { PAUSE } else { self.pause.saturating_sub(1) };
    }

    /// Everything that must survive a checkpoint.
    #[must_use]
    pub fn state(&self) -> Vec<f64> {
        let mut state = self.ratios.to_vec();
        state.extend([self.pause as f64, self.next as f64]);
        state.extend_from_slice(&self.errors);
        state
    }

    /// Takes over what [`state`](Self::state) gave; false if it is of another size.
    #[must_use]
    pub fn restore(&mut self, state: &[f64]) -> bool {
        let [loud, loose, tight, pause, next, errors @ ..] = state else { return false };
        if errors.len() > WINDOW || *next as usize >= WINDOW {
            return false;
        }
        (self.ratios, self.pause, self.next) = ([*loud, *loose, *tight], *pause as u64, *next as usize);
        self.errors.clear();
        self.errors.extend_from_slice(errors);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOUD: usize = 0;
    const LOOSE: usize = 1;
    const TIGHT: usize = 2;

    #[test]
    fn the_bounds_are_of_the_mean_and_the_median_of_the_last_twenty() {
        let mut guard = Guard::default();
        assert_eq!(guard.bounds(), [f64::INFINITY; VERSIONS]);
        for i in 0..100 {
            // One loud batch in four changes nothing but the loud bound.
            guard.update(if i % 4 == 0 { 373.0 } else { 9.0 }, [1.0; VERSIONS], 1.0);
        }
        assert_eq!(guard.bounds(), [80.0, 24.0, 6.0]);
        for _ in 0..20 {
            guard.update(1.0, [1.0; VERSIONS], 1.0);
        }
        assert_eq!(guard.bounds(), [8.0, 8.0, 2.0]);
    }

    #[test]
    fn the_version_is_the_one_that_did_best_and_none_after_a_disaster() {
        let mut guard = Guard::default();
        assert_eq!(guard.choice(), (TIGHT, true));
        for _ in 0..10 {
            guard.update(1.0, [0.7, 0.5, 0.6], 0.6);
        }
        assert_eq!(guard.choice(), (LOOSE, true));
        (0..10).for_each(|_| guard.update(1.0, [0.2, 0.9, 0.9], 0.9));
        assert_eq!(guard.choice(), (LOUD, true));
        (0..5).for_each(|_| guard.update(1.0, [30.0, 30.0, 0.9], 0.9));
        assert_eq!(guard.choice(), (TIGHT, true));
        guard.update(1.0, [0.5, 0.5, 1.6], 1.6);
        for _ in 0..3 {
            assert!(!guard.choice().1);
            guard.update(1.0, [0.5; VERSIONS], 1.0);
        }
        assert_eq!(guard.choice(), (TIGHT, true));
        let mut other = Guard::default();
        assert!(other.restore(&guard.state()));
        assert_eq!(other.state(), guard.state());
        // One disaster in fifty batches is not forgotten for a few good ones.
        let mut rare = Guard::default();
        (0..100).for_each(|_| rare.update(1.0, [0.5, 0.5, 0.6], 0.5));
        rare.update(1.0, [900.0, 900.0, 0.9], 900.0);
        (0..20).for_each(|_| rare.update(1.0, [0.5, 0.5, 0.6], 0.6));
        assert_eq!(rare.choice(), (TIGHT, true));
        (0..80).for_each(|_| rare.update(1.0, [0.5, 0.5, 0.6], 0.6));
        assert_eq!(rare.choice(), (LOOSE, true));
        // All have done harm: none.
        for _ in 0..50 {
            guard.update(1.0, [1.3, 1.2, 1.05], 1.0);
        }
        assert!(!guard.choice().1);
    }
}
