//! Minimising a function of discrete choices that can only be called.
//!
//! Every variable has a distribution over its choices; a batch of points is drawn, f is called, and the distributions' logits descend
//! an unbiased estimate of ∂E\[f\]/∂logits. The estimator is the surrogate of [`relax_estimators`]: a function c, regressed on all past
//! calls, takes off what it can predict of f, and its own gradient, from free samples, puts it back. What c cannot predict stays in;
//! nothing is biased.
//!
//! ```
//! use relax_minimize::{Options, Space, minimize};
//!
//! // Which of twelve things to pack: their value, less a penalty for too much weight.
//! let (value, weight) = ([6, 5, 8, 9, 6, 7, 3, 4, 2, 7, 5, 3], [2, 3, 6, 7, 5, 9, 3, 4, 1, 8, 4, 2]);
//! let left_behind = |x: &[usize]| -> f64 {
//!     let sum = |of: &[i32; 12]| -> i32 { of.iter().zip(x).map(|(v, &x)| v * x as i32).sum() };
//!     f64::from(65 - sum(&value) + 10 * (sum(&weight) - 25).max(0))
//! };
//! let found = minimize(left_behind, &Space::bits(12), &Options { calls: 2000, ..Options::default() })?;
//! assert!(found.best.value < 31.0); // the best of all 4096 ways is 27
//! # Ok::<(), relax_minimize::MinimizeError>(())
//! ```
//!
//! | To … | look at |
//! | --- | --- |
//! | minimise a function | [`minimize()`], [`minimize_with`] |
//! | say what there is to choose | [`Space`] |
//! | say how | [`Options`], [`Surrogate`] |
//! | call f yourself | [`Minimizer`] |
//! | see that nothing is biased | [`certify`] |

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod error;
mod fit;
mod journal;
mod kernel;
mod minimizer;
mod options;
mod policy;
mod probe;
mod run;
mod space;

pub use error::MinimizeError;
pub use minimizer::{Minimizer, certify};
pub use options::{Function, Options, Surrogate};
pub use run::{Answer, Call, Control, Found, Progress, Reason, minimize, minimize_with};
pub use space::{Constraint, Space, Variable};
