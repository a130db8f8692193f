//! Matrix products over row-major slices, on one thread or a few: what the passes are made of, for code that composes its own.

use crate::{Real, team};
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use multiversion::multiversion;

/// Sums longer than this are cut into pieces at other places for one row than for several (faer 0.24.4, measured).
const LONG: usize = 512;

/// Columns that [`add_rows`] adds up at a time: four AVX-512 registers of `f32`.
const COLUMNS: usize = 64;

/// dst `[m, n]` = a `[m, k]` · b `[k, n]`. A row has the same bits whatever the number of rows: actors share out the rows that
/// one of them would have acted on.
pub fn product<F: Real>(dst: &mut [F], a: &[F], b: &[F], k: usize, n: usize) {
    if dst.len() == n && k > LONG {
        let mut twice = vec![F::ZERO; 2 * n];
        product(&mut twice, &[a, a].concat(), b, k, n);
        return dst.copy_from_slice(&twice[..n]);
    }
    let b = MatRef::from_row_major_slice(b, k, n);
    rows_into(team::parts(dst.len() * k, team::PRODUCT), Accum::Replace, dst, a, b);
}

/// dst `[m, n]` += a `[m, k]` · b `[k, n]`.
pub fn add_product<F: Real>(dst: &mut [F], a: &[F], b: &[F], k: usize, n: usize) {
    let b = MatRef::from_row_major_slice(b, k, n);
    rows_into(team::parts(dst.len() * k, team::PRODUCT), Accum::Add, dst, a, b);
}

/// dst `[m, k]` = a `[m, n]` · bᵀ, with b `[k, n]`: a gradient sent back through a layer of weights b.
pub fn product_transposed<F: Real>(dst: &mut [F], a: &[F], b: &[F], n: usize, k: usize) {
    let b = MatRef::from_row_major_slice(b, k, n).transpose();
    rows_into(team::parts(dst.len() * n, team::PRODUCT), Accum::Replace, dst, a, b);
}

/// dst ← (dst +) a · b, its rows split into `parts`.
fn rows_into<F: Real>(parts: usize, accumulate: Accum, dst: &mut [F], a: &[F], b: MatRef<'_, F>) {
    let (k, n) = (b.nrows(), b.ncols());
    let m = dst.len() / n;
    if parts > 1 && m > 1 {
        let left = m * (parts / 2) / parts;
        let (dst_left, dst_right) = dst.split_at_mut(left * n);
        let (a_left, a_right) = a.split_at(left * k);
        rayon::join(
            || rows_into(parts / 2, accumulate, dst_left, a_left, b),
            || rows_into(parts - parts / 2, accumulate, dst_right, a_right, b),
        );
        return;
    }
    let dst = MatMut::from_row_major_slice_mut(dst, m, n);
    matmul(dst, accumulate, MatRef::from_row_major_slice(a, m, k), b, F::ONE, Par::Seq);
}

/// dst `[k, n]` += aᵀ · d, with a `[m, k]` and d `[m, n]`: the weight gradient of a layer.
pub fn add_outer<F: Real>(dst: &mut [F], a: &[F], d: &[F], k: usize, n: usize) {
    let (a, d) = outer_factors(a, d, k, n);
    outer_into(team::parts(dst.len() * a.ncols(), team::PRODUCT), Accum::Add, dst, a, d);
}

/// dst `[k, n]` = aᵀ · d, with a `[m, k]` and d `[m, n]`.
pub fn outer<F: Real>(dst: &mut [F], a: &[F], d: &[F], k: usize, n: usize) {
    let (a, d) = outer_factors(a, d, k, n);
    outer_into(team::parts(dst.len() * a.ncols(), team::PRODUCT), Accum::Replace, dst, a, d);
}

fn outer_factors<'a, F: Real>(a: &'a [F], d: &'a [F], k: usize, n: usize) -> (MatRef<'a, F>, MatRef<'a, F>) {
    let m = d.len() / n;
    (MatRef::from_row_major_slice(a, m, k).transpose(), MatRef::from_row_major_slice(d, m, n))
}

/// dst ← (dst +) aᵀ · d, its rows split into `parts`; `a` is aᵀ, `[k, m]`.
fn outer_into<F: Real>(parts: usize, accumulate: Accum, dst: &mut [F], a: MatRef<'_, F>, d: MatRef<'_, F>) {
    let (k, n) = (a.nrows(), d.ncols());
    if parts > 1 && k > 1 {
        let left = k * (parts / 2) / parts;
        let (dst_left, dst_right) = dst.split_at_mut(left * n);
        let (a_left, a_right) = a.split_at_row(left);
        rayon::join(
            || outer_into(parts / 2, accumulate, dst_left, a_left, d),
            || outer_into(parts - parts / 2, accumulate, dst_right, a_right, d),
        );
        return;
    }
    matmul(MatMut::from_row_major_slice_mut(dst, k, n), accumulate, a, d, F::ONE, Par::Seq);
}

/// dst `[n]` += the sum of the rows of d `[m, n]`: the bias gradient of a layer.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
pub fn add_rows<F: Real>(dst: &mut [F], d: &[F]) {
    let n = dst.len();
    let (blocks, rest) = dst.as_chunks_mut::<COLUMNS>();
    // The sums of a block stay in registers while all rows pass.
    for (i, block) in blocks.iter_mut().enumerate() {
        let mut sums = *block;
        for row in d.chunks_exact(n) {
            let Some((x, _)) = row[i * COLUMNS..].split_first_chunk::<COLUMNS>() else { continue };
            for (sum, &x) in sums.iter_mut().zip(x) {
                *sum += x;
            }
        }
        *block = sums;
    }
    if rest.is_empty() {
        return;
    }
    let first = n - rest.len();
    for row in d.chunks_exact(n) {
        for (sum, &x) in rest.iter_mut().zip(&row[first..]) {
            *sum += x;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every column is added up in the order of the rows, whatever the width: the bits of the plain loop.
    #[test]
    fn rows_are_added_in_order() {
        for n in [1, 3, 16, 63, 64, 65, 130, 192] {
            let d: Vec<f32> = (0..37 * n).map(|i| ((i * i) as f32).sin() * 1e3).collect();
            let mut sums: Vec<f32> = (0..n).map(|i| (i as f32).cos()).collect();
            let mut expected = sums.clone();
            for row in d.chunks_exact(n) {
                expected.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
            }
            add_rows(&mut sums, &d);
            assert_eq!(sums, expected, "{n} columns");
        }
    }
}
