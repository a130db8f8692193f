//! The bridge to Python's Gymnasium: any of its environments behind [`VecEnv`](crate::VecEnv), under ids `gym:…`.
//!
//! | file | holds |
//! | --- | --- |
//! | `vec_env.rs` | [`GymVecEnv`], and what Gymnasium's registry knows of an id |
//! | `driver.rs` | the Python half's objects and arrays, as Rust reads and writes them |
//! | `bridge.py` | the Python half: makes the environments, steps them, says what went wrong |
//! | `spaces.py` | elements of Python's spaces as numbers, and back |
//! | `masks.py` | the masks of their actions |
//! | `codec.rs` | [`Codec`]: the same for whoever holds a policy or an environment in Python |
//! | `single.rs` | [`GymEnv`]: one of them as an [`Env`](crate::Env), for the checker |
//! | `interpreter.rs` | finding and starting Python |
//! | `convert.rs` | spaces, arguments and errors between the two languages |

mod codec;
mod convert;
mod driver;
mod interpreter;
mod single;
mod vec_env;

pub use codec::{ActionNumbers, Codec, Rows, python_space};
pub use interpreter::{python_in_use, use_python};
pub use single::GymEnv;
pub use vec_env::{GymVecEnv, spec};

/// What ids of Gymnasium's environments begin with.
const PREFIX: &str = "gym:";
