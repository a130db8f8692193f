//! Minimising what a simulator says: the speeds of a workshop's six machines.
//!
//! `cargo run --release -p relax-minimize --example workshop`, and a seed if it is to be another than 0.
//!
//! Jobs arrive at random and pass six machines in a row, each with one of six speeds; a faster machine costs more, and waiting costs
//! too. The simulator draws other jobs every time, so that f is noisy, and the answer is the likeliest choice, not the luckiest call.

use std::sync::atomic::{AtomicU64, Ordering};

use rand::Rng;
use relax_minimize::{Control, Options, Space, minimize_with};

const MACHINES: usize = 6;
/// Mean work of a job at each machine.
const WORK: [f64; MACHINES] = [0.8, 1.0, 0.7, 1.2, 0.9, 1.1];
/// What one unit of speed costs at each machine, and what one unit of a job's time in the workshop costs.
const PRICE: [f64; MACHINES] = [1.0, 2.0, 1.0, 1.5, 3.0, 1.0];
const HURRY: f64 = 1.0;

fn speed(choice: usize) -> f64 {
    1.25 + 0.25 * choice as f64
}

/// Cost per job, from 300 simulated jobs.
fn cost(choices: &[usize], run: u64) -> f64 {
    let mut rng = relax_rng::stream::stream(run, 120, 0);
    let mut exponential =
        |mean: f64| -mean * (((rng.next_u64() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64).ln();
    let (mut arrival, mut free, mut inside) = (0.0, [0.0_f64; MACHINES], 0.0);
    for _ in 0..300 {
        arrival += exponential(1.2);
        let mut now = arrival;
        for machine in 0..MACHINES {
            // A machine takes a job when both are ready.
            now = f64::max(now, free[machine]) + exponential(WORK[machine] / speed(choices[machine]));
            free[machine] = now;
        }
        inside += now - arrival;
    }
    let machines: f64 = choices.iter().zip(PRICE).map(|(&choice, price)| price * speed(choice)).sum();
    machines + HURRY * inside / 300.0
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let seed = std::env::args().nth(1).map_or(Ok(0), |seed| seed.parse())?;
    let runs = AtomicU64::new(seed << 32);
    let f = |choices: &[usize]| cost(choices, runs.fetch_add(1, Ordering::Relaxed));
    let space = Space::new((1..=MACHINES).map(|machine| (format!("machine {machine}"), 6)))?;
    let options = Options { calls: 2000, seed, ..Options::noisy() };
    let found = minimize_with(f, &space, &options, None, |now| {
        if now.calls.is_multiple_of(400) {
            println!("{:>5} calls: mean cost {:.2}, certainty {:.2}", now.calls, now.mean, now.certainty);
        }
        Control::Continue
    })?;
    let mean = |choices: &[usize]| (0..1000).map(|run| cost(choices, 1_000_000 + run)).sum::<f64>() / 1000.0;
    let speeds: Vec<f64> = found.likeliest.iter().map(|&choice| speed(choice)).collect();
    println!("\nlikeliest speeds {speeds:?}: cost {:.3} in 1000 fresh runs", mean(&found.likeliest));
    println!("luckiest call said {:.3}, and costs {:.3}", found.best.value, mean(&found.best.choices));
    println!("all slowest: {:.3}, all fastest: {:.3}", mean(&[0; MACHINES]), mean(&[5; MACHINES]));
    Ok(())
}
