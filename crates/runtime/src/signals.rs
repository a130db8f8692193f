//! Signals that end a run.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::error::Error;

/// The exit code of a run that a signal ended: 128 + SIGINT, as shells count.
pub const INTERRUPTED: u8 = 130;

/// A flag that SIGINT and SIGTERM set. A second signal ends the process at once.
///
/// # Errors
/// If the operating system refuses.
pub fn stop_on_signals() -> Result<Arc<AtomicBool>, Error> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        flag::register_conditional_shutdown(signal, INTERRUPTED.into(), stop.clone())
            .and_then(|_| flag::register(signal, stop.clone()))
            .map_err(|error| Error::runtime(format!("cannot listen for signals: {error}")))?;
    }
    Ok(stop)
}
