//! Steps per second of each native environment through `NativeVecEnv` (time limit and autoreset included), one thread:
//! `cargo bench -p relax-envs --features mujoco,box2d --bench throughput [SLOTS] [PART OF AN ID…]`
//!
//! Prints the median and the range of seven runs of a quarter of a second. `gymnasium_throughput.py` beside this file does the
//! same with Gymnasium's `SyncVectorEnv`; pin both to one core (`taskset -c 0`).

use std::time::{Duration, Instant};

use relax_envs::{Actions, EnvRng, MakeOptions, NativeVecEnv, Space, StepBuffers, VecEnv, ids};

const RUN: Duration = Duration::from_millis(250);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Cargo passes `--bench`; the first argument that is a number is the number of slots.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let slots: usize = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(64);
    let parts: Vec<&String> =
        arguments.iter().filter(|argument| argument.parse::<usize>().is_err()).collect();
    println!("{:<32} {:>11}   {slots} slots, one thread", "environment", "steps/s");
    for id in ids().into_iter().filter(|id| parts.is_empty() || parts.iter().any(|part| id.contains(*part))) {
        let mut envs = NativeVecEnv::make(&id, slots, &MakeOptions::default())?;
        let mut out = StepBuffers::new(slots, envs.observation_dim());
        let (active, seeds) = ((0..slots as u32).collect::<Vec<_>>(), (0..slots as u64).collect::<Vec<_>>());
        envs.reset(&seeds, &mut out.observations)?;
        let mut rng = EnvRng::from_seed(1);
        let rows = 97; // batches of random actions, drawn outside the clock
        let space = envs.action_space().clone();
        let dim = space.size();
        let discrete: Vec<u32> = match space {
            Space::Discrete { n, .. } => {
                (0..rows * slots).map(|_| rng.integers(0, n as i64) as u32).collect()
            }
            _ => Vec::new(),
        };
        let continuous: Vec<f32> = (0..rows * slots * dim).map(|_| rng.uniform(-1.0, 1.0) as f32).collect();
        let (mut rates, mut batch) = (Vec::new(), 0);
        for _ in 0..7 {
            let (start, first) = (Instant::now(), batch);
            while start.elapsed() < RUN {
                let row = batch % rows * slots..(batch % rows + 1) * slots;
                let actions = if discrete.is_empty() {
                    Actions::Box { values: &continuous[row.start * dim..row.end * dim], dim }
                } else {
                    Actions::Discrete(&discrete[row])
                };
                envs.step(&active, actions, &mut out)?;
                batch += 1;
            }
            rates.push(((batch - first) * slots) as f64 / start.elapsed().as_secs_f64() / 1e3);
        }
        rates.sort_by(f64::total_cmp);
        println!("{id:<32} {:>10.1}k      {:.1}k–{:.1}k", rates[3], rates[0], rates[6]);
    }
    Ok(())
}
