//! First words of the spawn keys that name the random streams of reinforcement learning: (seed, role, index). The numbers are
//! part of what a seed means and never change.

/// Initial weights of the networks.
pub const WEIGHTS: u32 = 0;
/// The noise behind the actions of a slot.
pub const ACTIONS: u32 = 1;
/// The seeds of the environments' slots.
pub const ENVIRONMENTS: u32 = 2;
/// The noise of z̃ in RELAX.
pub const CONDITIONAL: u32 = 3;
/// Evaluation: environments.
pub const EVALUATION_ENVIRONMENTS: u32 = 4;
/// Evaluation: actions.
pub const EVALUATION_ACTIONS: u32 = 5;
/// Which stored transitions are learned from.
pub const REPLAY: u32 = 6;
/// The actions that a stochastic policy would take after stored transitions.
pub const NEXT_ACTIONS: u32 = 7;
/// The fresh actions over which a learned model's expectation is taken.
pub const LOOKAHEAD: u32 = 8;
/// Which rows of a batch a minibatch holds.
pub const MINIBATCHES: u32 = 9;
