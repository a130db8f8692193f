//! `Watch`: lets one thread notice that another has been inside an environment for too long.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::EnvError;

/// Says where the environment is stuck: the error that the waiting thread reports.
type Diagnose = dyn Fn(Duration) -> EnvError + Send + Sync;

/// Lets one thread notice that another has been inside an environment for too long.
///
/// The environment calls [`Watch::enter`] before it gives control away; whoever waits for its thread asks
/// [`Watch::overdue`] from time to time, or leaves both to [`Watch::guard`]. A thread that is stuck inside foreign code
/// cannot be ended, only left behind.
///
/// ```
/// use relax_envs::{EnvError, Watch};
/// use std::time::Duration;
/// let watch = Watch::new(Duration::from_millis(10), |limit| EnvError::Hung { limit, place: "asleep".into() });
/// let inside = watch.clone();
/// let outcome = watch.guard(move || {
///     let _inside = inside.enter();
///     std::thread::sleep(Duration::from_millis(500));
/// });
/// assert!(matches!(outcome, Err(EnvError::Hung { .. })));
/// assert_eq!(watch.guard(|| 1 + 1).ok(), Some(2));
/// ```
#[derive(Clone)]
pub struct Watch(Arc<Shared>);

struct Shared {
    origin: Instant,
    limit: Duration,
    /// Nanoseconds since `origin`, plus one, at which control was given away; 0: it is back.
    entered: AtomicU64,
    diagnose: Box<Diagnose>,
}

impl Watch {
    /// How often to look.
    pub const LOOK: Duration = Duration::from_millis(50);

    /// A watch that bites after `limit`; `diagnose` makes the error.
    pub fn new(limit: Duration, diagnose: impl Fn(Duration) -> EnvError + Send + Sync + 'static) -> Self {
        let entered = AtomicU64::new(0);
        Self(Arc::new(Shared { origin: Instant::now(), limit, entered, diagnose: Box::new(diagnose) }))
    }

    /// Starts the clock, until the returned value is dropped.
    #[inline]
    pub fn enter(&self) -> Inside<'_> {
        let now = self.0.origin.elapsed().as_nanos() as u64 + 1;
        self.0.entered.store(now, Ordering::Relaxed);
        Inside(&self.0.entered)
    }

    /// Whether control is with the environment now.
    #[must_use]
    pub fn is_inside(&self) -> bool {
        self.0.entered.load(Ordering::Relaxed) != 0
    }

    /// The error to report, if the limit has passed.
    #[must_use]
    pub fn overdue(&self) -> Option<EnvError> {
        let entered = self.0.entered.load(Ordering::Relaxed);
        let now = self.0.origin.elapsed().as_nanos() as u64 + 1;
        let late = entered != 0 && Duration::from_nanos(now.saturating_sub(entered)) > self.0.limit;
        late.then(|| (self.0.diagnose)(self.0.limit))
    }

    /// Runs `work` in a thread of its own and waits for it, no longer than the environment may take for one call.
    ///
    /// # Errors
    ///
    /// The watch's own error; the thread is left behind then. [`EnvError::Panicked`] if `work` panics.
    pub fn guard<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, EnvError> {
        let (send, receive) = channel();
        let thread = std::thread::spawn(move || {
            let _ = send.send(work());
        });
        loop {
            match receive.recv_timeout(Self::LOOK) {
                Ok(value) => return Ok(value),
                Err(RecvTimeoutError::Timeout) => {
                    if let Some(error) = self.overdue() {
                        return Err(error);
                    }
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(match thread.join() {
                        Err(panic) => EnvError::panicked(&*panic),
                        Ok(()) => EnvError::Panicked { message: "no message".to_owned() },
                    });
                }
            }
        }
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").field("limit", &self.0.limit).finish_non_exhaustive()
    }
}

/// Control is with the environment while this lives.
#[derive(Debug)]
pub struct Inside<'a>(&'a AtomicU64);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.store(0, Ordering::Relaxed);
    }
}
