//! Matrix products over row-major slices, on one thread: what the passes are made of, for code that composes its own.

use crate::Real;
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use multiversion::multiversion;

/// dst `[m, n]` = a `[m, k]` · b `[k, n]`.
pub fn product<F: Real>(dst: &mut [F], a: &[F], b: &[F], k: usize, n: usize) {
    into(Accum::Replace, dst, a, b, k, n);
}

/// dst `[m, n]` += a `[m, k]` · b `[k, n]`.
pub fn add_product<F: Real>(dst: &mut [F], a: &[F], b: &[F], k: usize, n: usize) {
    into(Accum::Add, dst, a, b, k, n);
}

fn into<F: Real>(accumulate: Accum, dst: &mut [F], a: &[F], b: &[F], k: usize, n: usize) {
    let m = dst.len() / n;
    matmul(
        MatMut::from_row_major_slice_mut(dst, m, n),
        accumulate,
        MatRef::from_row_major_slice(a, m, k),
        MatRef::from_row_major_slice(b, k, n),
        F::ONE,
        Par::Seq,
    );
}

/// dst `[m, k]` = a `[m, n]` · bᵀ, with b `[k, n]`: a gradient sent back through a layer of weights b.
pub fn product_transposed<F: Real>(dst: &mut [F], a: &[F], b: &[F], n: usize, k: usize) {
    let m = dst.len() / k;
    matmul(
        MatMut::from_row_major_slice_mut(dst, m, k),
        Accum::Replace,
        MatRef::from_row_major_slice(a, m, n),
        MatRef::from_row_major_slice(b, k, n).transpose(),
        F::ONE,
        Par::Seq,
    );
}

/// dst `[k, n]` += aᵀ · d, with a `[m, k]` and d `[m, n]`: the weight gradient of a layer.
pub fn add_outer<F: Real>(dst: &mut [F], a: &[F], d: &[F], k: usize, n: usize) {
    outer_into(Accum::Add, dst, a, d, k, n);
}

/// dst `[k, n]` = aᵀ · d, with a `[m, k]` and d `[m, n]`.
pub fn outer<F: Real>(dst: &mut [F], a: &[F], d: &[F], k: usize, n: usize) {
    outer_into(Accum::Replace, dst, a, d, k, n);
}

fn outer_into<F: Real>(accumulate: Accum, dst: &mut [F], a: &[F], d: &[F], k: usize, n: usize) {
    let m = d.len() / n;
    matmul(
        MatMut::from_row_major_slice_mut(dst, k, n),
        accumulate,
        MatRef::from_row_major_slice(a, m, k).transpose(),
        MatRef::from_row_major_slice(d, m, n),
        F::ONE,
        Par::Seq,
    );
}

/// dst `[n]` += the sum of the rows of d `[m, n]`: the bias gradient of a layer.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
pub fn add_rows<F: Real>(dst: &mut [F], d: &[F]) {
    for row in d.chunks_exact(dst.len()) {
        for (sum, &x) in dst.iter_mut().zip(row) {
            *sum += x;
        }
    }
}
