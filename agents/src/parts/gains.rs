//! The gains of several control variates at once, from past batches.
//!
//! An estimate ĝ = A + Σ_i η_i·B_i, E\[B_i\] = 0, has the least E‖ĝ‖² where M·η = −h, with
//!
//! ```text
//! M_ij = E[B_i·B_j],   h_i = E[A·B_i]
//! ```
//! Both are moving averages over past batches, each in units of its own size d = max(‖A‖², max_i ‖B_i‖²/4): without that the
//! loudest batch would rule for long. The least value is sought among η ∈ [0, 1]ⁿ, with a little pull ρ towards 1, and all
//! gains are 0 until there are statistics, and that of a B that is always 0 stays there. A gain that does not know its batch keeps ĝ unbiased.

/// How fast the averages forget.
const DECAY: f64 = 0.97;
/// ρ, as a share of M's mean diagonal.
const RIDGE: f64 = 1e-3;
/// Sweeps over the coordinates: the minimum of a convex quadratic in a box is where no coordinate can do better.
const SWEEPS: usize = 50;

/// Sums over one batch's rows: ‖A‖², A·B_i and B_i·B_j for N control variates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Products<const N: usize> {
    /// Σ ‖A‖².
    pub aa: f64,
    /// Σ A·B_i.
    pub ab: [f64; N],
    /// Σ B_i·B_j.
    pub bb: [[f64; N]; N],
}

impl<const N: usize> Default for Products<N> {
    fn default() -> Self {
        Self { aa: 0.0, ab: [0.0; N], bb: [[0.0; N]; N] }
    }
}

impl<const N: usize> Products<N> {
    /// Takes in one row's A and B_i.
    pub fn add(&mut self, a: &[f32], b: [&[f32]; N]) {
        let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| f64::from(x * y)).sum::<f64>();
        self.aa += dot(a, a);
        for i in 0..N {
            self.ab[i] += dot(a, b[i]);
            for j in 0..N {
                self.bb[i][j] += dot(b[i], b[j]);
            }
        }
    }

    /// Takes in other rows of the same batch.
    pub fn merge(&mut self, other: &Self) {
        self.aa += other.aa;
        for i in 0..N {
            self.ab[i] += other.ab[i];
            for j in 0..N {
                self.bb[i][j] += other.bb[i][j];
            }
        }
    }

    /// Σ ‖A + Σ_i η_i·B_i‖².
    #[must_use]
    pub fn squared_norm(&self, gains: [f64; N]) -> f64 {
        let mut sum = self.aa;
        for i in 0..N {
            sum += 2.0 * gains[i] * self.ab[i];
            for j in 0..N {
                sum += gains[i] * gains[j] * self.bb[i][j];
            }
        }
        sum.max(0.0)
    }
}

/// estimate `[P]` ← one row's A + Σ_i η_i·B_i.
pub fn combine<const N: usize>(a: &[f32], b: [&[f32]; N], gains: [f64; N], estimate: &mut [f32]) {
    for (i, estimate) in estimate.iter_mut().enumerate() {
        let sum: f32 = gains.iter().zip(b).map(|(&gain, b)| gain as f32 * b[i]).sum();
        *estimate = a[i] + sum;
    }
}

/// Moving averages of M and h.
#[derive(Debug, Clone, PartialEq)]
pub struct Gains<const N: usize> {
    average: Products<N>,
    batches: u64,
}

impl<const N: usize> Default for Gains<N> {
    fn default() -> Self {
        Self { average: Products::default(), batches: 0 }
    }
}

impl<const N: usize> Gains<N> {
    /// η for the next batch.
    #[must_use]
    pub fn gains(&self) -> [f64; N] {
        let (m, h) = (&self.average.bb, &self.average.ab);
        let mut gains = [0.0; N];
        let ridge = RIDGE * (0..N).map(|i| m[i][i]).sum::<f64>() / N as f64;
        if self.batches == 0 || ridge <= 0.0 {
            return gains;
        }
        for _ in 0..SWEEPS {
            for i in 0..N {
                if m[i][i] == 0.0 {
                    continue;
                }
                let others: f64 = (0..N).filter(|&j| j != i).map(|j| m[i][j] * gains[j]).sum();
                gains[i] = ((ridge - h[i] - others) / (m[i][i] + ridge)).clamp(0.0, 1.0);
            }
        }
        gains
    }

    /// Takes in a batch that has been used.
    pub fn update(&mut self, batch: &Products<N>) {
        let size = (0..N).map(|i| batch.bb[i][i] / 4.0).fold(batch.aa, f64::max);
        if !(size > 0.0 && size.is_finite()) {
            return;
        }
        self.batches += 1;
        // The first batches are weighed alike: an average that starts at 0 would have to be corrected for it.
        let keep = DECAY.min(1.0 - 1.0 / self.batches as f64);
        let average = |old: &mut f64, new: f64| *old = keep * *old + (1.0 - keep) * new / size;
        average(&mut self.average.aa, batch.aa);
        for i in 0..N {
            average(&mut self.average.ab[i], batch.ab[i]);
            for j in 0..N {
                average(&mut self.average.bb[i][j], batch.bb[i][j]);
            }
        }
    }

    /// Everything that must survive a checkpoint.
    #[must_use]
    pub fn state(&self) -> Vec<f64> {
        let mut state = vec![self.batches as f64, self.average.aa];
        state.extend(self.average.ab);
        self.average.bb.iter().for_each(|row| state.extend(row));
        state
    }

    /// Takes over what [`state`](Self::state) gave; false if it is of another size.
    #[must_use]
    pub fn restore(&mut self, state: &[f64]) -> bool {
        if state.len() != 2 + N + N * N {
            return false;
        }
        (self.batches, self.average.aa) = (state[0] as u64, state[1]);
        self.average.ab.copy_from_slice(&state[2..2 + N]);
        for (row, from) in self.average.bb.iter_mut().zip(state[2 + N..].chunks_exact(N)) {
            row.copy_from_slice(from);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rows: &[([f32; 2], [f32; 2], [f32; 2])]) -> Products<2> {
        let mut products = Products::default();
        rows.iter().for_each(|(a, b, c)| products.add(a, [b, c]));
        products
    }

    #[test]
    fn the_gains_are_the_minimum_in_the_box() {
        let mut gains = Gains::<2>::default();
        assert_eq!(gains.gains(), [0.0, 0.0]);
        // A = (1, 1), B₁ = −(1, 0), B₂ = −(0, 2): the minimum is at (1, ½), but for the pull of a thousandth towards 1.
        let batch = of(&[([1.0, 1.0], [-1.0, 0.0], [0.0, -2.0])]);
        gains.update(&batch);
        let [first, second] = gains.gains();
        assert!((first - 1.0).abs() < 1e-3 && (second - 0.5).abs() < 1e-3, "{first} {second}");
        assert!((batch.squared_norm([1.0, 0.5])).abs() < 1e-12);
        assert!((batch.squared_norm([0.5, 0.0]) - 1.25).abs() < 1e-12);
        // One that should be turned round stays out, and the other goes where it is best alone.
        let mut gains = Gains::<2>::default();
        gains.update(&of(&[([1.0, 0.0], [1.0, 0.0], [-1.0, 1.0])]));
        let [first, second] = gains.gains();
        assert!(first == 0.0 && (second - 0.5).abs() < 2e-3, "{first} {second}");
    }

    #[test]
    fn a_loud_batch_counts_as_much_as_a_quiet_one() {
        let quiet = of(&[([1.0, 0.0], [-1.0, 0.0], [0.0, 0.0])]);
        let loud = of(&[([100.0, 0.0], [100.0, 0.0], [0.0, 0.0])]);
        let mut gains = Gains::<2>::default();
        gains.update(&loud);
        for _ in 0..4 {
            gains.update(&quiet);
        }
        // M = 1, h = (1 − 4)/5.
        assert!((gains.gains()[0] - 0.6).abs() < 2e-3, "{:?}", gains.gains());
        let mut other = Gains::<2>::default();
        assert!(other.restore(&gains.state()) && other == gains && !other.restore(&[0.0]));
    }
}
