//! Whole training runs, one thread, logs and checkpoints included: criterion prints environment steps per second on CartPole-v1,
//! in sizes as in the README's comparison, and gradient steps per second of the agents that replay on Pendulum-v1.
//!
//! `cargo bench --bench training`

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use relax_rl::config::Config;
use relax_rl::train::{TrainOptions, train};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn training(c: &mut Criterion) {
    let mut group = c.benchmark_group("cartpole");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    for kind in ["a2c", "relax-a2c"] {
        for (envs, steps, env_steps) in [(8, 5, 100_000), (256, 16, 500_000)] {
            let mut config = Config::new("CartPole-v1", kind).expect("an agent");
            (config.rollout.envs, config.rollout.steps, config.rollout.workers) = (envs, steps, 0);
            (config.run.env_steps, config.run.evaluation_episodes) = (env_steps, 0);
            for (key, value) in [
                ("learning_rate", 1e-3.into()),
                ("value_learning_rate", 1e-3.into()),
                ("value_epochs", 1.into()),
                ("normalize_observations", false.into()),
                ("normalize_rewards", false.into()),
            ] {
                config.learner.insert(key.into(), value);
            }
            group.throughput(Throughput::Elements(env_steps));
            group.bench_function(BenchmarkId::new(kind, format!("{envs}x{steps}")), |bencher| {
                bencher.iter(|| {
                    let folder = tempfile::tempdir().expect("a temporary folder");
                    let out = folder.path().join("run");
                    train(&config, &TrainOptions { out, quiet: true, stop: Default::default() })
                        .expect("it trains")
                });
            });
        }
    }
    group.finish();
}

/// 64-64, batches of 100, a gradient step for every step after the warm-up, whose 1000 steps are in the time.
fn replaying(c: &mut Criterion) {
    const WARM_UP: u64 = 1000;
    const UPDATES: u64 = 5000;
    let mut group = c.benchmark_group("pendulum");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    for kind in ["ddpg", "td3", "sac"] {
        let mut config = Config::new("Pendulum-v1", kind).expect("an agent");
        (config.run.env_steps, config.run.evaluation_episodes) = (WARM_UP + UPDATES, 0);
        config.learner["replay"]["batch_size"] = 100.into();
        group.throughput(Throughput::Elements(UPDATES));
        group.bench_function(BenchmarkId::new(kind, "64-64x100"), |bencher| {
            bencher.iter(|| {
                let folder = tempfile::tempdir().expect("a temporary folder");
                let out = folder.path().join("run");
                train(&config, &TrainOptions { out, quiet: true, stop: Default::default() })
                    .expect("it trains")
            });
        });
    }
    group.finish();
}

criterion_group!(benches, training, replaying);
criterion_main!(benches);
