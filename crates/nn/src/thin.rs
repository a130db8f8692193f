//! Products with a weight of at most [`WIDEST`] columns: a network's output layer. A general matrix product spends
//! most of its time on the edges of such a shape (measured: 256 × 64 × 2 in 8.7 µs against 1.4 µs here).

use crate::Real;
use multiversion::multiversion;

/// The widest weight these loops serve.
pub(crate) const WIDEST: usize = 8;

/// Lanes of the partial sums of a dot product: one AVX-512 register of `f32`.
const LANES: usize = 16;

/// Writes the transpose of `weight` `[k, n]` to `transposed` `[n, k]`.
pub(crate) fn transpose<F: Real>(transposed: &mut Vec<F>, weight: &[F], n: usize) {
    transposed.resize(weight.len(), F::ZERO);
    // The narrowest, which are the most frequent, as loops that the compiler knows.
    match n {
        1 => transposed.copy_from_slice(weight),
        2 => transpose_columns::<F, 2>(transposed, weight),
        3 => transpose_columns::<F, 3>(transposed, weight),
        4 => transpose_columns::<F, 4>(transposed, weight),
        _ => {
            let k = weight.len() / n;
            for (j, out) in transposed.chunks_exact_mut(k.max(1)).enumerate() {
                out.iter_mut().zip(weight[j..].iter().step_by(n)).for_each(|(x, &w)| *x = w);
            }
        }
    }
}

fn transpose_columns<F: Real, const N: usize>(transposed: &mut [F], weight: &[F]) {
    let (rows, _) = weight.as_chunks::<N>();
    for (j, out) in transposed.chunks_exact_mut(rows.len().max(1)).enumerate() {
        out.iter_mut().zip(rows).for_each(|(x, row)| *x = row[j]);
    }
}

/// out `[m, n]` = h `[m, k]` · weight + bias `[n]`, the weight given as its transpose `[n, k]`.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
pub(crate) fn affine<F: Real>(out: &mut [F], h: &[F], transposed: &[F], bias: &[F]) {
    let n = bias.len();
    let k = transposed.len() / n;
    for (out, h) in out.chunks_exact_mut(n).zip(h.chunks_exact(k)) {
        for ((out, w), &b) in out.iter_mut().zip(transposed.chunks_exact(k)).zip(bias) {
            let mut sums = [F::ZERO; LANES];
            let (h_blocks, h_rest) = h.as_chunks::<LANES>();
            let (w_blocks, w_rest) = w.as_chunks::<LANES>();
            for (h, w) in h_blocks.iter().zip(w_blocks) {
                for lane in 0..LANES {
                    sums[lane] = h[lane].fma(w[lane], sums[lane]);
                }
            }
            let mut width = LANES / 2;
            while width > 0 {
                for lane in 0..width {
                    sums[lane] += sums[lane + width];
                }
                width /= 2;
            }
            let rest = h_rest.iter().zip(w_rest).fold(F::ZERO, |sum, (&h, &w)| h.fma(w, sum));
            *out = sums[0] + rest + b;
        }
    }
}

/// d_h `[m, k]` = d `[m, n]` · weightᵀ, the weight given as its transpose `[n, k]`.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
pub(crate) fn back<F: Real>(d_h: &mut [F], d: &[F], transposed: &[F], n: usize) {
    let k = transposed.len() / n;
    for (d_h, d) in d_h.chunks_exact_mut(k).zip(d.chunks_exact(n)) {
        for ((j, w), &d) in transposed.chunks_exact(k).enumerate().zip(d) {
            if j == 0 {
                d_h.iter_mut().zip(w).for_each(|(x, &w)| *x = d * w);
            } else {
                d_h.iter_mut().zip(w).for_each(|(x, &w)| *x = d.fma(w, *x));
            }
        }
    }
}

/// d_weight `[k, n]` += hᵀ · d, with h `[m, k]`, d `[m, n]`; `sums` is scratch.
pub(crate) fn add_outer<F: Real>(d_weight: &mut [F], h: &[F], d: &[F], n: usize, sums: &mut Vec<F>) {
    let k = d_weight.len() / n;
    sums.clear();
    sums.resize(n * k, F::ZERO);
    accumulate(sums, h, d, n);
    for (i, row) in d_weight.chunks_exact_mut(n).enumerate() {
        for (j, x) in row.iter_mut().enumerate() {
            *x += sums[j * k + i];
        }
    }
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl+avx2+fma", "x86_64+avx2+fma"))]
fn accumulate<F: Real>(sums: &mut [F], h: &[F], d: &[F], n: usize) {
    let k = sums.len() / n;
    for (h, d) in h.chunks_exact(k).zip(d.chunks_exact(n)) {
        for (sums, &d) in sums.chunks_exact_mut(k).zip(d) {
            sums.iter_mut().zip(h).for_each(|(s, &h)| *s = d.fma(h, *s));
        }
    }
}
