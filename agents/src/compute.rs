//! Work cut into shards of fixed size, so that the numbers do not depend on who does it.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rayon::ThreadPool;

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
    /// Threads of others that are at work now.
    others: Arc<AtomicUsize>,
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
        let builder = rayon::ThreadPoolBuilder::new().num_threads(threads.saturating_sub(1));
        let named = builder.thread_name(|i| format!("learner-{i}"));
        Self { pool: if threads > 1 { named.build().ok() } else { None }, ..Self::default() }
    }

    /// Once `stop` is set, an agent that can go on later ([`Agent::is_behind`](crate::Agent::is_behind)) leaves the gradient steps
    /// that are still to be taken for then.
    pub fn stop_when(&mut self, stop: Arc<AtomicBool>) {
        self.stop = Some(stop);
    }

    /// Leaves as many threads idle as `others` says that there are threads of others at work: actors that play the next batch. Two threads
    /// that take turns on one core are both late for the next thing they are waited for at.
    pub fn make_way_for(&mut self, others: Arc<AtomicUsize>) {
        self.others = others;
    }

    /// Threads that may help this one now.
    fn helpers(&self) -> usize {
        let all = self.pool.as_ref().map_or(0, ThreadPool::current_num_threads);
        all.saturating_sub(self.others.load(Ordering::Relaxed))
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
            Some(pool) if shards.len() > 1 => self.share(pool, shards, work),
            _ => shards.iter_mut().enumerate().for_each(|(i, shard)| work(i, shard)),
        }
        if skipped.into_inner() {
            // No panic: nothing is printed, and `until_stopped` is there to catch it.
            resume_unwind(Box::new(Stopped));
        }
    }

    /// Calls `work(i, shard)` for every shard, on this thread and those of `pool` that may help it, whoever is free next.
    fn share<T: Send>(&self, pool: &ThreadPool, shards: &mut [T], work: impl Fn(usize, &mut T) + Sync) {
        let open = Mutex::new(shards.iter_mut().enumerate());
        let left = || open.lock().unwrap_or_else(PoisonError::into_inner);
        let busy = AtomicUsize::new(0);
        let help = || {
            while let Some((i, shard)) = { left().next() } {
                work(i, shard);
            }
            busy.fetch_sub(1, Ordering::Release);
        };
        pool.in_place_scope(|scope| {
            let mut called = 0;
            while let Some((i, shard)) = { left().next() } {
                // Others may have come to the end of their work meanwhile.
                let wanted = self.helpers().min(called + left().len());
                while called < wanted {
                    called += 1;
                    busy.fetch_add(1, Ordering::Relaxed);
                    scope.spawn(|_| help());
                }
                work(i, shard);
            }
            if called > 0 {
                soon(|| (busy.load(Ordering::Acquire) == 0).then_some(()));
            }
        });
    }
}

/// What `look` finds within the next moment, in which this thread does nothing but look and give way: what threads of one batch wait for comes sooner
/// than a thread that has gone to sleep wakes up.
pub fn soon<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    const MOMENT: Duration = Duration::from_micros(150);
    const BUSY: Duration = Duration::from_micros(30);
    let start = Instant::now();
    loop {
        for _ in 0..32 {
            if let Some(found) = look() {
                return Some(found);
            }
            std::hint::spin_loop();
        }
        let waited = start.elapsed();
        if waited > MOMENT {
            return None;
        }
        if waited > BUSY {
            // Whoever else wants this core, another run's learner perhaps, has it.
            thread::yield_now();
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

/// The numbers `range` of `sum` ← the sums of those of the shards' arrays, in order. What else is in any of them is lost.
pub fn add_up<'a>(
    sum: &mut Vec<f32>,
    range: Range<usize>,
    shards: impl ExactSizeIterator<Item = &'a mut Vec<f32>>,
) {
    let alone = shards.len() == 1 && range.len() == sum.len();
    for (i, shard) in shards.enumerate() {
        if alone && shard.len() == sum.len() {
            std::mem::swap(sum, shard);
        } else if i == 0 {
            sum[range.clone()].copy_from_slice(&shard[range.clone()]);
        } else {
            sum[range.clone()].iter_mut().zip(&shard[range.clone()]).for_each(|(s, x)| *s += x);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread::{ThreadId, current, sleep};

    /// Who does which shard, all of them slow, if `others` are at work until the second shard.
    fn who(threads: usize, others: usize, until_second: usize) -> Vec<ThreadId> {
        let at_work = Arc::new(AtomicUsize::new(others));
        let mut compute = Compute::with_threads(threads);
        compute.make_way_for(Arc::clone(&at_work));
        let mut shards = vec![None; 6];
        compute.each(&mut shards, |i, shard| {
            if i == 1 {
                at_work.store(until_second, Ordering::Relaxed);
            }
            sleep(Duration::from_millis(30));
            *shard = Some(current().id());
        });
        shards.into_iter().flatten().collect()
    }

    /// Nobody helps while others are at work, and from then on somebody does.
    #[test]
    fn threads_make_way_for_others() {
        let own = current().id();
        let alone = vec![own; 6];
        assert_eq!(who(0, 0, 0), alone);
        assert_eq!(who(1, 0, 0), alone);
        assert_eq!(who(2, 1, 1), alone);
        assert_eq!(who(2, 9, 9), alone);
        let helped = who(2, 0, 0);
        assert!(helped.len() == 6 && helped.contains(&own) && helped.iter().any(|&id| id != own));
        let later = who(2, 1, 0);
        assert!(later[..2] == [own; 2] && later.iter().any(|&id| id != own), "{later:?}");
    }

    #[test]
    fn a_moment_ends() {
        let mut looks = 0;
        let found = soon(|| {
            looks += 1;
            (looks == 100).then_some(looks)
        });
        assert_eq!(found, Some(100));
        assert_eq!(soon(|| None::<()>), None);
    }
}
