//! Linear equations, for what is fitted in closed form.

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

#[cfg(test)]
mod tests {
    use super::*;

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
