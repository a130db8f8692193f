//! The kernels of a 6 → 64 → 64 → 1 tanh network, beside a large matrix product of the same library, the machine's
//! practical peak. Criterion prints Gelem/s of multiplications and additions, that is GFLOP/s; a pass's share of the peak
//! is its figure over `peak`'s.
//!
//! `cargo bench -p relax-nn`

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, Par};
use relax_nn::{Activation, MlpShape, Optimizer, Rule, Workspace, clip_scale, global_norm};
use std::hint::black_box;

const ROWS: [usize; 4] = [8, 40, 256, 512];

fn peak(c: &mut Criterion) {
    let n = 512;
    let (a, b) = (Mat::<f32>::from_fn(n, n, |i, j| (i + j) as f32), Mat::<f32>::identity(n, n));
    let mut out = Mat::<f32>::zeros(n, n);
    let mut group = c.benchmark_group("peak");
    group.throughput(Throughput::Elements((2 * n * n * n) as u64));
    group.bench_function("sgemm 512", |bencher| {
        bencher.iter(|| matmul(&mut out, Accum::Replace, black_box(&a), &b, 1.0, Par::Seq));
    });
    group.finish();
}

fn passes(c: &mut Criterion) {
    let shape = MlpShape::new(6, &[64, 64], 1, Activation::Tanh);
    let parameters: Vec<f32> = (0..shape.parameter_count()).map(|i| 0.1 * (i as f32).sin()).collect();
    for rows in ROWS {
        let input: Vec<f32> = (0..6 * rows).map(|i| (i as f32).cos()).collect();
        let (mut values, mut slopes) = (vec![0f32; rows], vec![0f32; 6 * rows]);
        let (alpha, beta) = (vec![1f32; rows], vec![0.5f32; 6 * rows]);
        let mut gradient = vec![0f32; parameters.len()];
        let mut workspace = Workspace::new();
        let flops = (shape.forward_flops() * rows) as u64;

        let mut group = c.benchmark_group("forward");
        group.throughput(Throughput::Elements(flops));
        group.bench_function(BenchmarkId::from_parameter(rows), |bencher| {
            bencher.iter(|| shape.forward(&parameters, black_box(&input), &mut workspace, &mut values));
        });
        group.finish();

        // A weight product and, above the first layer, an input product: 2 forward passes less one first layer.
        let mut group = c.benchmark_group("reverse");
        group.throughput(Throughput::Elements(2 * flops - (2 * 6 * 64 * rows) as u64));
        group.bench_function(BenchmarkId::from_parameter(rows), |bencher| {
            shape.forward(&parameters, &input, &mut workspace, &mut values);
            bencher.iter(|| {
                shape.reverse(&parameters, &input, &workspace, black_box(&alpha), &mut gradient, None);
            });
        });
        group.finish();

        let mut group = c.benchmark_group("value_and_gradient");
        group.throughput(Throughput::Elements(2 * flops));
        group.bench_function(BenchmarkId::from_parameter(rows), |bencher| {
            bencher.iter(|| {
                let x = black_box(&input);
                shape.value_and_gradient(&parameters, x, &mut workspace, &mut values, &mut slopes);
            });
        });
        group.finish();

        // A tangent pass, two weight products a layer, one input product above the first.
        let mut group = c.benchmark_group("parameter_gradient");
        group.throughput(Throughput::Elements(4 * flops - (2 * 6 * 64 * rows) as u64));
        group.bench_function(BenchmarkId::from_parameter(rows), |bencher| {
            shape.value_and_gradient(&parameters, &input, &mut workspace, &mut values, &mut slopes);
            bencher.iter(|| {
                let (x, alpha) = (&input, black_box(&alpha));
                shape.parameter_gradient(&parameters, x, &workspace, alpha, &beta, &mut gradient, None);
            });
        });
        group.finish();
    }
}

fn optimizers(c: &mut Criterion) {
    let len = MlpShape::new(6, &[64, 64], 1, Activation::Tanh).parameter_count();
    let (mut parameters, gradient) = (vec![0.1f32; len], vec![0.01f32; len]);
    let mut group = c.benchmark_group("optimizer");
    group.throughput(Throughput::Elements(len as u64));
    for (name, rule) in [("adam", Rule::ADAM), ("rmsprop", Rule::RMS_PROP)] {
        let mut optimizer = Optimizer::new(rule, len);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let scale = clip_scale(global_norm(black_box(&gradient)), 0.5);
                optimizer.step(&mut parameters, &gradient, 1e-3, scale);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, peak, passes, optimizers);
criterion_main!(benches);
