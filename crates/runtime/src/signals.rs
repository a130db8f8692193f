//! Signals that end a run.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

#[cfg(unix)]
use signal_hook::consts::SIGHUP;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::error::Error;

/// The exit code of a run that a signal ended and whose state was saved: 128 + SIGINT, as shells count.
pub const INTERRUPTED: u8 = 130;
/// The exit code after a second signal: nothing was saved since the last checkpoint.
pub const UNSAVED: u8 = 1;

/// An update that takes longer than this after a signal is spoken of, so that nobody thinks that nothing was heard.
const PATIENCE: Duration = Duration::from_secs(1);

/// A flag that SIGINT, SIGTERM and SIGHUP set: the run saves its state and ends. Where the update that is under way takes its
/// time, that is said. A second signal ends the process at once, says so, and exits with [`UNSAVED`]. A SIGHUP that was to be
/// ignored when the process began (`nohup`) is.
///
/// # Errors
/// If the operating system refuses.
pub fn stop_on_signals() -> Result<Arc<AtomicBool>, Error> {
    let refused = |error: std::io::Error| Error::runtime(format!("cannot listen for signals: {error}"));
    let mut heard = vec![SIGINT, SIGTERM];
    #[cfg(unix)]
    if !ignored(SIGHUP) {
        heard.push(SIGHUP);
    }
    let mut signals = Signals::new(heard).map_err(refused)?;
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    let listen = move || {
        for _ in signals.forever() {
            if flag.swap(true, Ordering::SeqCst) {
                // Whoever hung up reads nothing any more.
                let text = "ended at once: what was done since the last checkpoint is not saved";
                let _ = writeln!(std::io::stderr(), "{text}");
                signal_hook::low_level::exit(UNSAVED.into());
            }
            // It ends with the process, which is usually sooner. Where there can be no further thread, nothing is said.
            let _ = std::thread::Builder::new().spawn(|| {
                std::thread::sleep(PATIENCE);
                let text =
                    "stopping as soon as the update under way is done; a second signal ends at once, unsaved";
                let _ = writeln!(std::io::stderr(), "{text}");
            });
        }
    };
    std::thread::Builder::new().name("signals".into()).spawn(listen).map_err(refused)?;
    Ok(stop)
}

/// Whether this process was told to ignore `signal`. Known on Linux; elsewhere nothing is taken for ignored.
#[cfg(unix)]
fn ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask >> (signal - 1) & 1 == 1
}
