//! One training iteration of the published models at batch 24, for each estimator: `cargo bench -p relax-latent`.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rand::Rng;
use relax_latent::stream::stream;
use relax_latent::vae::{Architecture, Coupling, Method, Settings, Trainer};
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
        for method in Method::ALL {
            for coupling in [Coupling::Independent, Coupling::Coupled] {
                let coupled = coupling == Coupling::Coupled;
                if coupled && !matches!(method, Method::Rebar | Method::Relax | Method::RelaxedRebar) {
                    continue;
                }
                let settings = Settings { coupling, ..Settings::new(method) };
                let mut trainer = match Trainer::new(architecture.clone(), settings, &[0.13; 784], 0) {
                    Ok(trainer) => trainer,
                    Err(error) => panic!("{error}"),
                };
                let suffix = if coupled { "-coupled" } else { "" };
                group.bench_function(format!("{method}{suffix}"), |b| {
                    b.iter(|| black_box(trainer.step(&x)));
                });
            }
        }
    }
}

criterion_group!(benches, iterations);
criterion_main!(benches);
