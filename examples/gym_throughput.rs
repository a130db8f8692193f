//! Steps per second through the bridge to Gymnasium, in turn with Gymnasium's own loop in the same process:
//!
//! ```text
//! VIRTUAL_ENV=.venv taskset -c 0 cargo run --release --features gym --example gym_throughput
//! ```
use std::time::Instant;

use pyo3::prelude::*;
use pyo3::types::PyDict;
use relax_envs::gym::GymVecEnv;
use relax_envs::{Actions, EnvError, EnvRng, MakeOptions, StepBuffers, VecEnv, Vectorization};

const ROUNDS: usize = 9;

/// Gymnasium's own loop, actions prepared beforehand.
const LOOP: &std::ffi::CStr = c"
import time
import gymnasium as gym
import numpy as np
envs = gym.make_vec(id, slots, mode)
envs.reset(seed=0)
actions = np.random.default_rng(0).integers(0, 2, (steps, slots))
start = time.perf_counter()
for row in actions:
    envs.step(row)
rate = steps * slots / (time.perf_counter() - start)
envs.close()
";

/// Environment steps per second through the bridge.
fn bridge(id: &str, slots: usize, steps: usize, vectorization: Vectorization) -> Result<f64, EnvError> {
    let options = MakeOptions { vectorization: Some(vectorization), ..MakeOptions::default() };
    let mut env = GymVecEnv::make(&format!("gym:{id}"), slots, &options)?;
    let mut out = StepBuffers::new(slots, env.observation_dim());
    env.reset(&(0..slots as u64).collect::<Vec<_>>(), &mut out.observations)?;
    let mut rng = EnvRng::from_seed(0);
    let actions: Vec<u32> = (0..steps * slots).map(|_| rng.integers(0, 2) as u32).collect();
    let (mut active, mut taken) = (Vec::with_capacity(slots), 0);
    let start = Instant::now();
    for row in actions.chunks_exact(slots) {
        active.clear();
        active.extend(0..slots as u32);
        active.retain(|&slot| !env.waits(slot as usize));
        env.step(&active, Actions::Discrete(&row[..active.len()]), &mut out)?;
        taken += slots;
    }
    Ok(taken as f64 / start.elapsed().as_secs_f64())
}

/// The same in Python.
fn python(id: &str, slots: usize, steps: usize, mode: &str) -> PyResult<f64> {
    Python::attach(|py| {
        let names = PyDict::new(py);
        names.set_item("id", id)?;
        names.set_item("slots", slots)?;
        names.set_item("steps", steps)?;
        names.set_item("mode", mode)?;
        py.run(LOOP, Some(&names), None)?;
        names.get_item("rate")?.map_or(Ok(f64::NAN), |rate| rate.extract())
    })
}

fn spread(mut values: Vec<f64>) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    (values[values.len() / 2], values[0], values[values.len() - 1])
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for (slots, steps, kind, mode) in [
        (16, 3_000, Vectorization::Sync, "sync"),
        (16, 6_000, Vectorization::Vector, "vector_entry_point"),
        (1024, 1_000, Vectorization::Vector, "vector_entry_point"),
        (16, 1_000, Vectorization::Async, "async"),
    ] {
        let (mut ours, mut theirs, mut ratios) = (vec![], vec![], vec![]);
        for _ in 0..ROUNDS {
            ours.push(bridge("CartPole-v1", slots, steps, kind)? / 1000.0);
            theirs.push(python("CartPole-v1", slots, steps, mode)? / 1000.0);
            ratios.push(ours[ours.len() - 1] / theirs[theirs.len() - 1]);
        }
        let show = |values| {
            let (median, least, most) = spread(values);
            format!("{median:.0} ({least:.0}–{most:.0})")
        };
        let (ratio, least, most) = spread(ratios);
        println!(
            "CartPole-v1 × {slots}, {mode}: bridge {} thousand steps/s, Python {}, ratio {ratio:.2} ({least:.2}–{most:.2})",
            show(ours),
            show(theirs)
        );
    }
    Ok(())
}
