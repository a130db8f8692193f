//! Forward and backward of the convolutional encoders on one core, in pictures a second, beside the same layers of candle.
//!
//! `taskset -c 0 cargo bench -p relax-nn --bench encoders`; `scripts/encoder-speed` runs PyTorch's in turn with them.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rand_pcg::Pcg64;
use relax_nn::candle_core::{self, Module};
use relax_nn::candle_nn::{Conv2dConfig, VarBuilder, conv2d, func, linear};
use relax_nn::{Cnn, Encoder, EncoderWorkspace, ModuleEncoder, ObservationShape};
use std::hint::black_box;

/// The nature encoder of candle's own layers.
fn candle(shape: &[usize], variables: VarBuilder<'static>) -> candle_core::Result<Box<dyn Module>> {
    let layer = |input, output, kernel, stride, name: &str| {
        conv2d(input, output, kernel, Conv2dConfig { stride, ..Default::default() }, variables.pp(name))
    };
    let layers = [layer(shape[2], 32, 8, 4, "a")?, layer(32, 64, 4, 2, "b")?, layer(64, 64, 3, 1, "c")?];
    let full = linear(3136, 512, variables.pp("d"))?;
    Ok(Box::new(func(move |x| {
        let mut x = x.permute((0, 3, 1, 2))?.contiguous()?;
        for layer in &layers {
            x = layer.forward(&x)?.relu()?;
        }
        full.forward(&x.flatten_from(1)?)?.relu()
    })))
}

fn passes(c: &mut Criterion) {
    let atari = ObservationShape { shape: vec![84, 84, 4], scale: 1.0 / 255.0 };
    let board = ObservationShape { shape: vec![10, 10, 4], scale: 1.0 };
    let encoders: [(&str, Box<dyn Encoder>); 3] = [
        ("nature-cnn", Box::new(Cnn::nature(&atari).expect("a picture"))),
        ("small-cnn", Box::new(Cnn::small(&board).expect("a picture"))),
        ("nature-cnn of candle", Box::new(ModuleEncoder::new("candle", &atari, candle).expect("a module"))),
    ];
    for (name, encoder) in encoders {
        let mut parameters = vec![0.0; encoder.parameter_count()];
        encoder.initialise(&mut parameters, &mut Pcg64::new(1, 2));
        let mut group = c.benchmark_group(name);
        group.sample_size(10);
        for rows in [8, 80, 256] {
            let numbers = rows * encoder.observation().numbers();
            let observations: Vec<f32> = (0..numbers).map(|i| (i * 7 % 256) as f32).collect();
            let (mut features, mut workspace) =
                (vec![0.0; rows * encoder.features()], EncoderWorkspace::default());
            let d_features = vec![1e-3; features.len()];
            let mut gradient = vec![0.0; parameters.len()];
            group.throughput(Throughput::Elements(rows as u64));
            group.bench_function(BenchmarkId::new("forward", rows), |bencher| {
                bencher.iter(|| {
                    let x = black_box(&observations).into();
                    encoder.forward(&parameters, x, &mut workspace, &mut features).expect("a pass");
                });
            });
            group.bench_function(BenchmarkId::new("forward and backward", rows), |bencher| {
                bencher.iter(|| {
                    let x = black_box(&observations).into();
                    encoder.forward(&parameters, x, &mut workspace, &mut features).expect("a pass");
                    gradient.fill(0.0);
                    encoder
                        .reverse(&parameters, x, &mut workspace, &d_features, &mut gradient)
                        .expect("a pass");
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, passes);
criterion_main!(benches);
