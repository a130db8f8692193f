//! Threads inside a pass: large products and optimiser steps may be split between the threads of a rayon pool.
//!
//! Every number is computed by the same operations in the same order whichever thread does it, so results do not depend on
//! the number of threads. Splitting pays where one network is large and its batch small, as in an auto-encoder; agents
//! spread whole shards of a batch instead.

use std::cell::Cell;

thread_local! {
    static THREADS: Cell<usize> = const { Cell::new(1) };
}

/// Multiplications in a product below which a split costs more than it saves (some ten microseconds' work).
pub(crate) const PRODUCT: usize = 1 << 20;
/// The same in weights of an optimiser's step.
pub(crate) const STEP: usize = 1 << 16;

/// Runs `f` and lets the passes it calls on this thread use `threads` threads. Call it inside
/// `ThreadPool::install` of a pool with as many.
///
/// ```
/// let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build()?;
/// let sum = pool.install(|| relax_nn::with_threads(2, || 1 + 1));
/// assert_eq!(sum, 2);
/// # Ok::<(), rayon::ThreadPoolBuildError>(())
/// ```
pub fn with_threads<R>(threads: usize, f: impl FnOnce() -> R) -> R {
    let before = THREADS.replace(threads.max(1));
    let result = f();
    THREADS.set(before);
    result
}

/// Into how many parts `work` should be split, if it is `worth` it.
pub(crate) fn parts(work: usize, worth: usize) -> usize {
    if work < worth { 1 } else { THREADS.get() }
}
