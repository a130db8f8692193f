//! Initialisation of weights from the caller's random numbers.

use crate::Real;
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};

/// Fills `weight` `[rows, columns]` (row-major) with `gain` times a uniformly distributed (semi-)orthogonal matrix.
///
/// Gaussian entries, then modified Gram–Schmidt, run twice, in `f64`; that is the Q of a QR decomposition whose R has
/// a positive diagonal, hence Haar distributed. The random numbers are drawn even where `gain` is 0, so that a change
/// of gain changes nothing else.
///
/// Reference: Saxe, McClelland & Ganguli 2014, §3; Mezzadri 2007.
pub fn orthogonal<F: Real>(weight: &mut [F], rows: usize, columns: usize, gain: f64, rng: &mut impl Rng) {
    let (count, len) = (rows.min(columns), rows.max(columns));
    let mut basis: Vec<Vec<f64>> = Vec::with_capacity(count);
    while basis.len() < count {
        let mut vector: Vec<f64> = (0..len).map(|_| StandardNormal.sample(rng)).collect();
        for _ in 0..2 {
            for other in &basis {
                let overlap: f64 = vector.iter().zip(other).map(|(a, b)| a * b).sum();
                vector.iter_mut().zip(other).for_each(|(a, b)| *a -= overlap * b);
            }
        }
        let norm = vector.iter().map(|a| a * a).sum::<f64>().sqrt();
        if norm > 1e-8 {
            vector.iter_mut().for_each(|a| *a /= norm);
            basis.push(vector);
        }
    }
    for (i, value) in weight.iter_mut().enumerate() {
        let (row, column) = (i / columns, i % columns);
        let entry = if rows <= columns { basis[row][column] } else { basis[column][row] };
        *value = F::of(gain * entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_pcg::Pcg64;

    #[test]
    fn rows_or_columns_are_orthonormal() {
        for (rows, columns) in [(3, 7), (7, 3), (5, 5), (1, 4)] {
            let mut w = vec![0f64; rows * columns];
            orthogonal(&mut w, rows, columns, 2.0, &mut Pcg64::new(1, 2));
            let (count, at): (usize, Box<dyn Fn(usize, usize) -> f64>) = if rows <= columns {
                (rows, Box::new(|i, j| w[i * columns + j]))
            } else {
                (columns, Box::new(|i, j| w[j * columns + i]))
            };
            for a in 0..count {
                for b in 0..count {
                    let dot: f64 = (0..rows.max(columns)).map(|j| at(a, j) * at(b, j)).sum();
                    assert!((dot - if a == b { 4.0 } else { 0.0 }).abs() < 1e-12);
                }
            }
        }
    }
}
