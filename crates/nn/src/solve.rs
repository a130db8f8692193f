//! Small systems in double precision: linear equations, for what is fitted in closed form, and axes of a covariance.

use faer::linalg::solvers::Solve;
use faer::{MatMut, MatRef, Side};

/// right `[n]` ← x with a·x = right, for a symmetric positive definite a `[n, n]`. Returns false, and leaves `right` as it was,
/// where a is no such matrix.
pub fn solve_positive(a: &[f64], right: &mut [f64]) -> bool {
    let n = right.len();
    let Ok(factors) = MatRef::from_row_major_slice(a, n, n).llt(Side::Lower) else { return false };
    factors.solve_in_place(MatMut::from_column_major_slice_mut(right, n, 1));
    true
}

/// The eigenvalues, ascending, of a symmetric a `[n, n]`; their eigenvectors, of length 1, become the rows of `axes` `[n, n]`. None, and
/// `axes` is left as it was, where there are none to be found: a is not finite.
pub fn eigen_symmetric(a: &[f64], axes: &mut [f64], n: usize) -> Option<Vec<f64>> {
    if !a.iter().all(|x| x.is_finite()) {
        return None;
    }
    let found = MatRef::from_row_major_slice(a, n, n).self_adjoint_eigen(Side::Lower).ok()?;
    for (k, axis) in axes.chunks_exact_mut(n).enumerate() {
        axis.iter_mut().enumerate().for_each(|(i, x)| *x = found.U()[(i, k)]);
    }
    Some((0..n).map(|k| found.S()[k]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eigenvectors_rebuild_the_matrix() {
        let matrix = [4.0, 1.0, -2.0, 1.0, 3.0, 0.5, -2.0, 0.5, 5.0];
        let mut axes = [0.0; 9];
        let values = eigen_symmetric(&matrix, &mut axes, 3).expect("finite");
        for i in 0..3 {
            for j in 0..3 {
                let rebuilt: f64 = (0..3).map(|k| values[k] * axes[3 * k + i] * axes[3 * k + j]).sum();
                let dot: f64 = (0..3).map(|k| axes[3 * i + k] * axes[3 * j + k]).sum();
                assert!((rebuilt - matrix[3 * i + j]).abs() < 1e-13, "{i} {j}");
                assert!((dot - f64::from(u8::from(i == j))).abs() < 1e-13);
            }
        }
        assert!(values.is_sorted());
        let before = axes;
        assert!(eigen_symmetric(&[f64::NAN; 9], &mut axes, 3).is_none() && axes == before);
    }

    #[test]
    fn solves_and_refuses() {
        let mut x = [5.0, 4.0];
        // 4·1 + 1·1, 1·1 + 3·1.
        assert!(solve_positive(&[4.0, 1.0, 1.0, 3.0], &mut x));
        assert!((x[0] - 1.0f64).abs() < 1e-15 && (x[1] - 1.0f64).abs() < 1e-15, "{x:?}");
        let mut x = [1.0, 2.0];
        assert!(!solve_positive(&[1.0, 2.0, 2.0, 1.0], &mut x) && x == [1.0, 2.0]);
    }
}
