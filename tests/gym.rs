//! The tests that need Python, one binary: `scripts/setup-python`, then
//! `cargo test --release --workspace --features gym --test gym`.

mod gym_atari;
mod gym_bridge;
mod gym_faults;
mod gym_parity;
#[path = "common/python.rs"]
mod python;
