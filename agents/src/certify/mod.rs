//! Is a whole agent's policy gradient unbiased? Its weight gradients on tasks whose exact gradient is known, against that.
//!
//! [`AgentTarget`] is the link to `relax_estimators::certify`: any [`Agent`] that shows its gradient
//! ([`Agent::last_gradient`]) can be certified, a user's own included. With γ = λ = 1 and whole episodes the policy-gradient
//! theorem holds exactly, so that any bias is the estimator's; the critics may be as wrong as can be.
//!
//! ```
//! use relax_agents::certify::{AgentTarget, Problem};
//! use relax_estimators::certify::{Settings, check};
//!
//! let mut target = AgentTarget::new("kind = 'a2c'", Problem::Enumerable, 0, Default::default())?;
//! let settings = Settings { detectable: 0.5, ..Settings::default() };
//! assert!(check(&mut target, &settings)?.p_value > 1e-3);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod combined;
mod encoded;
mod linear_quadratic;
mod net;
mod scales;
mod target;
mod tasks;

pub use combined::Combined;
pub use linear_quadratic::LinearQuadratic;
pub use net::{Net, finite_differences, log_probs};
pub use target::{Age, AgentBug, AgentTarget, Conditions, Problem};
pub use tasks::{Aim, Task};

#[cfg(doc)]
use crate::Agent;
