//! [`JointMoments`]: mean and covariance of estimates, and Hotelling's test of all coordinates at once.

use super::distribution::f_tail;
use crate::EstimatorError;

/// Directions in which the coordinates, each scaled to variance 1, vary less than this are left out: there the coordinates are
/// linearly dependent (the scores of a categorical variable add up to 0; the weights of a network that sees three states move in
/// few directions), and what is left is the rounding of single precision.
const DEPENDENT: f64 = 1e-6;

/// Running mean and covariance of a stream of estimates (Welford 1962), in double precision.
#[derive(Debug, Clone, PartialEq)]
pub struct JointMoments {
    count: u64,
    mean: Vec<f64>,
    /// Sums of products of deviations, lower triangle by rows.
    products: Vec<f64>,
    before: Vec<f64>,
}

/// Hotelling's test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Joint {
    /// n·dᵀS⁻¹d, d the mean's deviation and S the covariance.
    pub t_squared: f64,
    /// Directions with a spread of their own.
    pub rank: usize,
    /// Probability of such a deviation or a larger one if there is no bias (exact for normal estimates; by the central limit
    /// theorem otherwise).
    pub p_value: f64,
}

impl JointMoments {
    /// No samples yet, of `coordinates` numbers each.
    #[must_use]
    pub fn new(coordinates: usize) -> Self {
        let triangle = coordinates * (coordinates + 1) / 2;
        Self {
            count: 0,
            mean: vec![0.0; coordinates],
            products: vec![0.0; triangle],
            before: vec![0.0; coordinates],
        }
    }

    /// Takes in estimates as rows `[B, K]`.
    pub fn push(&mut self, rows: &[f64]) {
        if self.mean.is_empty() {
            return;
        }
        crate::shape::check_rows("rows", rows.len(), self.mean.len());
        for row in rows.chunks_exact(self.mean.len()) {
            self.count += 1;
            let weight = 1.0 / self.count as f64;
            for ((before, mean), x) in self.before.iter_mut().zip(&mut self.mean).zip(row) {
                *before = x - *mean;
                *mean += *before * weight;
            }
            // (x − old mean)(x − new mean)ᵀ is symmetric: (1 − 1/n) times the outer product of the first.
            let shrink = 1.0 - weight;
            let mut at = 0;
            for (i, &di) in self.before.iter().enumerate() {
                let scaled = di * shrink;
                for (product, dj) in self.products[at..=at + i].iter_mut().zip(&self.before) {
                    *product += scaled * dj;
                }
                at += i + 1;
            }
        }
    }

    /// How many estimates were seen.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Mean of each coordinate.
    #[must_use]
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// Covariance of coordinates i and j (divided by n − 1).
    #[must_use]
    pub fn covariance(&self, i: usize, j: usize) -> f64 {
        let (i, j) = (i.max(j), i.min(j));
        self.products[i * (i + 1) / 2 + j] / self.count.saturating_sub(1).max(1) as f64
    }

    /// Hotelling's test that the mean is `exact` (Hotelling 1931): T²·(n − r)/(r(n − 1)) is F-distributed with r and n − r
    /// degrees of freedom. Coordinates that depend on the others are left out; what they say the others say, and each is held to its own z-score besides.
    ///
    /// # Errors
    /// If there are not more samples than coordinates, or the numbers of coordinates differ.
    pub fn test(&self, exact: &[f64]) -> Result<Joint, EstimatorError> {
        let k = self.mean.len();
        if self.count <= k as u64 + 1 || exact.len() != k || k == 0 {
            return Err(EstimatorError::Samples { samples: self.count, coordinates: k, exact: exact.len() });
        }
        // Pivoted Cholesky of the correlations: L y = d, and T² = n‖y‖². What remains of every coordinate is kept up to date.
        let spread: Vec<f64> = (0..k).map(|i| self.covariance(i, i).sqrt()).collect();
        if spread.iter().any(|s| !s.is_finite()) {
            return Ok(Joint { t_squared: f64::INFINITY, rank: k, p_value: 0.0 });
        }
        let mut left: Vec<f64> = spread.iter().map(|&s| f64::from(u8::from(s > 0.0))).collect();
        let mut deviation: Vec<f64> = (0..k)
            .map(|i| if spread[i] > 0.0 { (self.mean[i] - exact[i]) / spread[i] } else { 0.0 })
            .collect();
        let mut columns: Vec<Vec<f64>> = Vec::new();
        let mut y: Vec<f64> = Vec::new();
        let pivot = |left: &[f64]| {
            (0..k).max_by(|&a, &b| left[a].total_cmp(&left[b])).filter(|&i| left[i] > DEPENDENT)
        };
        while let Some(i) = pivot(&left) {
            let root = left[i].sqrt();
            let column: Vec<f64> = (0..k)
                .map(|j| {
                    if left[j] <= 0.0 {
                        return 0.0;
                    }
                    let done: f64 = columns.iter().map(|c| c[i] * c[j]).sum();
                    (self.covariance(i, j) / (spread[i] * spread[j]) - done) / root
                })
                .collect();
            let own = deviation[i] / root;
            for j in 0..k {
                deviation[j] -= column[j] * own;
                left[j] -= column[j] * column[j];
            }
            left[i] = 0.0;
            y.push(own);
            columns.push(column);
        }
        let kept = y.len();
        let (n, r) = (self.count as f64, kept as f64);
        let t_squared = n * y.iter().map(|y| y * y).sum::<f64>();
        let p_value = if kept == 0 { 1.0 } else { f_tail(t_squared * (n - r) / (r * (n - 1.0)), r, n - r) };
        Ok(Joint { t_squared, rank: kept, p_value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_distr::{Distribution, StandardNormal};

    #[test]
    fn two_coordinates_by_hand() {
        // Rows (1,2), (2,1), (3,5), (4,4): mean (2.5, 3), S = [[5/3, 5/3], [5/3, 10/3]], S⁻¹ = [[1.2, −0.6], [−0.6, 0.6]].
        let mut moments = JointMoments::new(2);
        moments.push(&[1.0, 2.0, 2.0, 1.0, 3.0, 5.0, 4.0, 4.0]);
        assert!((moments.covariance(0, 1) - 5.0 / 3.0).abs() < 1e-14);
        let joint = moments.test(&[2.0, 3.0]).unwrap();
        assert!((joint.t_squared - 4.0 * 1.2 * 0.25).abs() < 1e-12 && joint.rank == 2);
        // F = T²(n − r)/(r(n − 1)) = 0.4, P(F₂,₂ > 0.4) = 1/1.4.
        assert!((joint.p_value - 1.0 / 1.4).abs() < 1e-12, "{joint:?}");
    }

    #[test]
    fn dependent_coordinates_change_nothing() {
        let mut rng = rand_pcg::Pcg64::seed_from_u64(1);
        let (mut two, mut three) = (JointMoments::new(2), JointMoments::new(3));
        for _ in 0..500 {
            let (a, b): (f64, f64) = (StandardNormal.sample(&mut rng), StandardNormal.sample(&mut rng));
            two.push(&[a, b]);
            three.push(&[a, b, -a - b]);
        }
        let (two, three) = (two.test(&[0.1, 0.0]).unwrap(), three.test(&[0.1, 0.0, -0.1]).unwrap());
        assert!(three.rank == 2 && (two.t_squared - three.t_squared).abs() < 1e-9);
    }

    /// Under no bias the p-value is uniform; correlated coordinates included.
    #[test]
    fn p_values_are_uniform() {
        let mut rng = rand_pcg::Pcg64::seed_from_u64(2);
        let mut below = [0; 2];
        for _ in 0..2000 {
            let mut moments = JointMoments::new(3);
            for _ in 0..40 {
                let [a, b, c]: [f64; 3] = std::array::from_fn(|_| StandardNormal.sample(&mut rng));
                moments.push(&[a, 0.9 * a + 0.1 * b, c]);
            }
            let p = moments.test(&[0.0; 3]).unwrap().p_value;
            below[0] += u32::from(p < 0.05);
            below[1] += u32::from(p < 0.5);
        }
        assert!((below[0] as f64 - 100.0).abs() < 4.0 * 9.7, "{below:?}");
        assert!((below[1] as f64 - 1000.0).abs() < 4.0 * 22.4, "{below:?}");
    }
}
