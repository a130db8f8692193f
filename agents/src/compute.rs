//! Work cut into shards of fixed size, so that the numbers do not depend on who does it.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::ThreadPool;
use rayon::prelude::*;

/// Rows of a batch that one shard holds. Fixed: sums over a batch are sums over its shards in order, whatever number of
/// threads computed them. 512 rows of a 64-64 network's activations fit a core's second-level cache.
pub const SHARD_ROWS: usize = 512;

/// The same behind an encoder, whose activations are some hundred kilobytes a row.
pub const ENCODED_SHARD_ROWS: usize = 64;

/// The threads a learner may use, and whether somebody wants it to stop. Results are bit-identical for every number of threads.
#[derive(Debug, Default)]
pub struct Compute {
    pool: Option<ThreadPool>,
    stop: Option<Arc<AtomicBool>>,
    /// What is computed now can be taken back.
    undoable: AtomicBool,
}

/// What [`Compute::each`] unwinds with.
struct Stopped;

impl Compute {
    /// Everything on the calling thread.
    #[must_use]
    pub fn serial() -> Self {
        Self::default()
    }

    /// Shards spread over `threads` threads; with one or none, everything stays on the calling thread.
    #[must_use]
    pub fn with_threads(threads: usize) -> Self {
        let builder = rayon::ThreadPoolBuilder::new().num_threads(threads);
        let named = builder.thread_name(|i| format!("learner-{i}"));
        Self { pool: if threads > 1 { named.build().ok() } else { None }, ..Self::default() }
    }

    /// Once `stop` is set, an agent that can go on later ([`Agent::is_behind`](crate::Agent::is_behind)) leaves the gradient steps
    /// that are still to be taken for then.
    pub fn stop_when(&mut self, stop: Arc<AtomicBool>) {
        self.stop = Some(stop);
    }

    /// Whether somebody wants the learner to stop.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stop.as_ref().is_some_and(|stop| stop.load(Ordering::Relaxed))
    }

    /// What `work` gives; nothing if somebody wants the learner to stop before it has: [`each`](Self::each) unwinds then, and everything
    /// that `work` wrote to has to go back to where it stood before.
    pub fn until_stopped<T>(&self, work: impl FnOnce() -> T) -> Option<T> {
        self.undoable.store(true, Ordering::Relaxed);
        let done = catch_unwind(AssertUnwindSafe(work));
        self.undoable.store(false, Ordering::Relaxed);
        match done {
            Ok(done) => Some(done),
            Err(payload) if payload.is::<Stopped>() => None,
            Err(payload) => resume_unwind(payload),
        }
    }

    fn is_undone(&self) -> bool {
        self.undoable.load(Ordering::Relaxed) && self.is_stopped()
    }

    /// Calls `work(i, shard)` for every shard.
    pub fn each<T: Send>(&self, shards: &mut [T], work: impl Fn(usize, &mut T) + Sync) {
        let skipped = AtomicBool::new(false);
        let work = |i: usize, shard: &mut T| {
            if self.is_undone() {
                skipped.store(true, Ordering::Relaxed);
            } else {
                work(i, shard);
            }
        };
        match &self.pool {
            Some(pool) if shards.len() > 1 => {
                pool.install(|| shards.par_iter_mut().enumerate().for_each(|(i, shard)| work(i, shard)));
            }
            _ => shards.iter_mut().enumerate().for_each(|(i, shard)| work(i, shard)),
        }
        if skipped.into_inner() {
            // No panic: nothing is printed, and `until_stopped` is there to catch it.
            resume_unwind(Box::new(Stopped));
        }
    }
}

/// Number of shards that `rows` rows make.
#[must_use]
pub fn shard_count(rows: usize) -> usize {
    rows.div_ceil(SHARD_ROWS)
}

/// Rows of shard `i` of a batch of `rows` in shards of `size`.
#[must_use]
pub fn shard_rows_of(size: usize, i: usize, rows: usize) -> std::ops::Range<usize> {
    i * size..((i + 1) * size).min(rows)
}

/// Rows of shard `i` of a batch of `rows`.
#[must_use]
pub fn shard_rows(i: usize, rows: usize) -> std::ops::Range<usize> {
    shard_rows_of(SHARD_ROWS, i, rows)
}

/// sum ← the sum of the shards' arrays, in order.
pub fn sum_into<'a>(sum: &mut [f32], shards: impl Iterator<Item = &'a [f32]>) {
    for (i, shard) in shards.enumerate() {
        if i == 0 {
            sum.copy_from_slice(shard);
        } else {
            sum.iter_mut().zip(shard).for_each(|(s, x)| *s += x);
        }
    }
}
