//! Random numbers: NumPy's generator bit for bit, and the names of all streams.
//!
//! Every random number of a run comes from a stream named by (seed, role, index), so that the same seed gives the same run
//! whatever the number of threads, and so that nothing but counters and generator states has to be saved to go on.
//!
//! | To … | look at |
//! | --- | --- |
//! | draw as NumPy and Gymnasium do | [`EnvRng`] |
//! | name a stream of reinforcement learning | [`role`], [`EnvRng::from_seed_sequence`] |
//! | name a stream of latent-variable models | [`stream`] |

mod numpy;
pub mod role;
mod seed_sequence;
pub mod stream;
mod ziggurat;

pub use numpy::{EnvRng, InvalidRngState};
