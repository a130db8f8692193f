//! One training iteration of the published models at batch 24, for each estimator: `cargo bench -p relax-latent`.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rand::Rng;
use relax_latent::stream::stream;
use relax_latent::vae::{Architecture, METHODS, Settings, Trainer};
use std::hint::black_box;

fn iterations(c: &mut Criterion) {
    let models = [
        ("linear1", Architecture::linear1(784)),
        ("linear2", Architecture::linear2(784)),
        ("nonlinear", Architecture::nonlinear(784)),
    ];
    let mut rng = stream(0, 100, 0);
    let x: Vec<f32> = (0..24 * 784).map(|_| f32::from(u8::from(rng.next_u64().is_multiple_of(8)))).collect();
    for (name, architecture) in models {
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Elements(1));
        for method in METHODS {
            let settings = Settings::new(method);
            let mut trainer = match Trainer::new(architecture.clone(), settings, &[0.13; 784], 0) {
                Ok(trainer) => trainer,
                Err(error) => panic!("{error}"),
            };
            group.bench_function(method.name(), |b| b.iter(|| black_box(trainer.step(&x))));
        }
    }
}

criterion_group!(benches, iterations);
criterion_main!(benches);
