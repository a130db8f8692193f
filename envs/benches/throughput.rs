//! Steps per second of each native environment through `NativeVecEnv` (time limit and autoreset included), one thread:
//! `cargo bench -p relax-envs --bench throughput [SLOTS]`
//!
//! Prints the median and the range of seven runs.

use std::time::Instant;

use relax_envs::{Actions, EnvRng, MakeOptions, NativeVecEnv, Space, StepBuffers, VecEnv, ids};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Cargo passes `--bench`; the first argument that is a number is the number of slots.
    let slots: usize = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(64);
    println!("{:<26} {:>14}   {slots} slots, one thread", "environment", "steps/s");
    for id in ids() {
        let mut envs = NativeVecEnv::make(&id, slots, &MakeOptions::default())?;
        let mut out = StepBuffers::new(slots, envs.observation_dim());
        let (active, seeds) = ((0..slots as u32).collect::<Vec<_>>(), (0..slots as u64).collect::<Vec<_>>());
        envs.reset(&seeds, &mut out.observations)?;
        let mut rng = EnvRng::from_seed(1);
        let rows = 97; // batches of random actions, drawn outside the clock
        let discrete: Vec<u32> = match envs.action_space() {
            Space::Discrete { n, .. } => {
                (0..rows * slots).map(|_| rng.integers(0, *n as i64) as u32).collect()
            }
            _ => Vec::new(),
        };
        let continuous: Vec<f32> = (0..rows * slots).map(|_| rng.uniform(-1.0, 1.0) as f32).collect();
        let batches = (3_000_000 / slots).max(1);
        let mut rates: Vec<f64> = Vec::new();
        for _ in 0..7 {
            let start = Instant::now();
            for batch in 0..batches {
                let row = batch % rows * slots..(batch % rows + 1) * slots;
                let actions = if discrete.is_empty() {
                    Actions::Box { values: &continuous[row], dim: 1 }
                } else {
                    Actions::Discrete(&discrete[row])
                };
                envs.step(&active, actions, &mut out)?;
            }
            rates.push((batches * slots) as f64 / start.elapsed().as_secs_f64() / 1e6);
        }
        rates.sort_by(f64::total_cmp);
        println!("{id:<26} {:>9.1}M      {:.1}M–{:.1}M", rates[3], rates[0], rates[6]);
    }
    Ok(())
}
