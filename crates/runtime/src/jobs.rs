//! Several jobs at a time: one pool for all that runs side by side, from the runs of a comparison to the measurements of a
//! certificate.

use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::error::Error;

/// How many threads the machine runs at a time.
#[must_use]
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

/// A job panicked; the message has gone to standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a job panicked; the message is above")]
pub struct Panicked;

impl From<Panicked> for Error {
    fn from(panicked: Panicked) -> Self {
        Self::runtime(panicked.to_string())
    }
}

/// Lets `threads` threads (at least one) fetch job after job from `next` and do it with `work`, until each has got `None`. With
/// one thread, everything stays on the calling one. A panic ends its thread; the others go on, and [`Panicked`] is returned.
///
/// # Errors
/// If a job panicked.
pub fn pool<J>(
    threads: usize,
    next: impl Fn() -> Option<J> + Sync,
    work: impl Fn(J) + Sync,
) -> Result<(), Panicked> {
    let labour = || {
        catch_unwind(AssertUnwindSafe(|| {
            while let Some(job) = next() {
                work(job);
            }
        }))
        .map_err(|_| Panicked)
    };
    if threads <= 1 {
        return labour();
    }
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(labour)).collect();
        let ended: Vec<_> =
            workers.into_iter().map(|worker| worker.join().unwrap_or(Err(Panicked))).collect();
        ended.into_iter().collect()
    })
}

/// Does `work(number, item)` for every item, in their order, `threads` at a time, and returns the results in that order. `None`
/// stands for items that were not begun because `stop` said so.
///
/// # Errors
/// If a job panicked.
///
/// ```
/// let squares = relax_runtime::jobs::map(&[1, 2, 3], 2, || false, |_, x| x * x);
/// assert_eq!(squares, Ok(vec![Some(1), Some(4), Some(9)]));
/// ```
pub fn map<T: Sync, R: Send>(
    items: &[T],
    threads: usize,
    stop: impl Fn() -> bool + Sync,
    work: impl Fn(usize, &T) -> R + Sync,
) -> Result<Vec<Option<R>>, Panicked> {
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<Option<R>>> = Mutex::new(items.iter().map(|_| None).collect());
    let fetch = || {
        if stop() {
            return None;
        }
        let number = next.fetch_add(1, Ordering::Relaxed);
        items.get(number).map(|item| (number, item))
    };
    pool(threads.clamp(1, items.len().max(1)), fetch, |(number, item)| {
        let result = work(number, item);
        results.lock().unwrap_or_else(PoisonError::into_inner)[number] = Some(result);
    })?;
    Ok(results.into_inner().unwrap_or_else(PoisonError::into_inner))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    #[test]
    fn results_stand_in_the_order_of_the_items_whatever_the_threads() {
        let items: Vec<u64> = (0..100).collect();
        let wanted: Vec<Option<u64>> = items.iter().map(|x| Some(x * 3)).collect();
        for threads in [0, 1, 2, 7, 1000] {
            assert_eq!(map(&items, threads, || false, |_, x| x * 3), Ok(wanted.clone()));
        }
        assert_eq!(map(&[], 2, || false, |_, x: &u64| *x), Ok(Vec::new()));
    }

    #[test]
    fn a_stop_leaves_the_rest_and_a_panic_is_told() {
        let stop = AtomicBool::new(false);
        let work = |number: usize, _: &u32| stop.store(number == 2, Ordering::Relaxed);
        let done = map(&[0; 9], 1, || stop.load(Ordering::Relaxed), work);
        assert_eq!(done.map(|all| all.iter().flatten().count()), Ok(3));
        for threads in [1, 2] {
            assert_eq!(map(&[1, 2, 3], threads, || false, |_, x| assert!(*x != 2)), Err(Panicked));
        }
    }
}
