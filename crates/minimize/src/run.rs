//! [`minimize()`]: batch after batch, with calls in parallel, a journal, and all the ways to stop.

use std::collections::HashMap;
use std::fmt::Display;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use crate::journal::Journal;
use crate::minimizer::{Minimizer, check};
use crate::{MinimizeError, Options, Space};

/// Batches without a single new point after which a minimisation of a function without noise has converged.
const QUIET: usize = 100;

/// A point and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The choice of each variable.
    pub choices: Vec<usize>,
    /// f there.
    pub value: f64,
}

/// What f returns: a number, or a number or the reason why there is none.
pub trait Answer {
    /// The number, or the reason.
    ///
    /// # Errors
    /// If f failed.
    fn answer(self) -> Result<f64, String>;
}

impl Answer for f64 {
    fn answer(self) -> Result<f64, String> {
        Ok(self)
    }
}

impl<E: Display> Answer for Result<f64, E> {
    fn answer(self) -> Result<f64, String> {
        self.map_err(|error| error.to_string())
    }
}

/// Why a minimisation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// All calls were made.
    Calls,
    /// The time is up.
    Seconds,
    /// f reached the target.
    Target,
    /// No batch had a point that was not called before, for a hundred batches; another seed would start anew.
    Converged,
    /// The caller said so.
    Stopped,
}

/// What to do after a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// Go on.
    Continue,
    /// End here, as if all calls had been made.
    Stop,
}

/// How far a minimisation is.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// Calls made.
    pub calls: usize,
    /// The best so far.
    pub best: &'a Call,
    /// Mean f of the batch just told, without its probes.
    pub mean: f64,
    /// η.
    pub gain: f64,
    /// See [`Minimizer::certainty`].
    pub certainty: f64,
}

/// What a minimisation found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The best point called.
    pub best: Call,
    /// The likeliest choice of every variable at the end; with a noisy f the better answer.
    pub likeliest: Vec<usize>,
    /// All calls, in order.
    pub history: Vec<Call>,
    /// Why it ended.
    pub reason: Reason,
}

/// Minimises f over the space.
///
/// # Errors
/// If an option cannot be used, f fails or is not finite (the error holds the point), or a constraint leaves no choice.
pub fn minimize<A: Answer>(
    f: impl Fn(&[usize]) -> A + Sync,
    space: &Space,
    options: &Options,
) -> Result<Found, MinimizeError> {
    minimize_with(f, space, options, None, |_| Control::Continue)
}

/// [`minimize`] with a journal, from which it goes on if there is one already, and with a look at every batch.
///
/// ```
/// use relax_minimize::{Control, Options, Space, minimize_with};
///
/// let folder = tempfile::tempdir()?;
/// let (journal, space) = (folder.path().join("calls.jsonl"), Space::bits(8));
/// let f = |x: &[usize]| x.iter().enumerate().map(|(i, &x)| (i as f64 - 3.5) * x as f64).sum::<f64>();
/// let half = Options { calls: 100, ..Options::default() };
/// let interrupted = minimize_with(f, &space, &half, Some(&journal), |now| {
///     if now.calls >= 50 { Control::Stop } else { Control::Continue }
/// })?;
/// let resumed = minimize_with(f, &space, &half, Some(&journal), |_| Control::Continue)?;
/// assert_eq!(resumed.history[..interrupted.history.len()], interrupted.history);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// As [`minimize`]; and if the journal cannot be read or written, or is another minimisation's.
pub fn minimize_with<A: Answer>(
    f: impl Fn(&[usize]) -> A + Sync,
    space: &Space,
    options: &Options,
    journal: Option<&Path>,
    mut after_batch: impl FnMut(&Progress<'_>) -> Control,
) -> Result<Found, MinimizeError> {
    let start = Instant::now();
    let mut minimizer = Minimizer::new(space, options)?;
    let mut journal = journal.map(|path| Journal::open(path, space, options)).transpose()?;
    let (mut history, mut known, mut quiet) = (Vec::new(), HashMap::new(), 0);
    let mut best: Option<Call> = None;
    let reason = loop {
        let (batch, points) = (minimizer.batches(), minimizer.ask()?.to_vec());
        // Rows whose f is not known yet; the same point is called once unless f is noisy.
        let mut wanted: Vec<usize> = Vec::new();
        for (row, point) in points.iter().enumerate() {
            let again = !options.noisy
                && (known.contains_key(point) || wanted.iter().any(|&other| points[other] == *point));
            if !again {
                wanted.push(row);
            }
        }
        let left = options.calls - history.len();
        let last = wanted.len() > left;
        wanted.truncate(left);
        let values = call(&f, space, options, batch, &points, &wanted, journal.as_mut())?;
        for (&row, &value) in wanted.iter().zip(&values) {
            let call = Call { choices: points[row].clone(), value };
            if best.as_ref().is_none_or(|best| better(options, value, best.value)) {
                best = Some(call.clone());
            }
            history.push(call);
            if !options.noisy {
                known.insert(points[row].clone(), value);
            }
        }
        let reached =
            |best: &Call| options.target.is_some_and(|t| best.value == t || better(options, best.value, t));
        if best.as_ref().is_some_and(reached) {
            break Reason::Target;
        }
        if last {
            break Reason::Calls;
        }
        let told: Vec<f64> = match options.noisy {
            true => values,
            false => points.iter().map(|point| known[point]).collect(),
        };
        minimizer.tell(&told)?;
        quiet = if wanted.is_empty() { quiet + 1 } else { 0 };
        if let Some(best) = &best {
            let drawn = &told[..options.batch.min(told.len())];
            let mean = drawn.iter().sum::<f64>() / drawn.len() as f64;
            let (gain, certainty) = (minimizer.gain(), minimizer.certainty());
            let progress = Progress { calls: history.len(), best, mean, gain, certainty };
            if after_batch(&progress) == Control::Stop {
                break Reason::Stopped;
            }
        }
        if history.len() >= options.calls {
            break Reason::Calls;
        }
        if quiet >= QUIET {
            break Reason::Converged;
        }
        if options.seconds.is_some_and(|seconds| start.elapsed().as_secs_f64() >= seconds) {
            break Reason::Seconds;
        }
    };
    let likeliest = minimizer.likeliest()?;
    let Some(best) = best else {
        return Err(MinimizeError::Option("no call was made".into()));
    };
    Ok(Found { best, likeliest, history, reason })
}

fn better(options: &Options, value: f64, than: f64) -> bool {
    if options.maximize { value > than } else { value < than }
}

/// f of the wanted rows, from the journal where it is written down. All calls of the batch are made and written down even if one
/// fails; the first failure is the error.
fn call<A: Answer>(
    f: &(impl Fn(&[usize]) -> A + Sync),
    space: &Space,
    options: &Options,
    batch: u64,
    points: &[Vec<usize>],
    wanted: &[usize],
    mut journal: Option<&mut Journal>,
) -> Result<Vec<f64>, MinimizeError> {
    let mut values = vec![None; wanted.len()];
    if let Some(journal) = &journal {
        for (value, &row) in values.iter_mut().zip(wanted) {
            *value = journal.answer(batch, row, &points[row])?.map(Ok);
        }
    }
    let missing: Vec<usize> = (0..wanted.len()).filter(|&i| values[i].is_none()).collect();
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let found: Mutex<Vec<(usize, Result<f64, String>)>> = Mutex::new(Vec::new());
    let work = || {
        // After a failure no further call is started; those that run are kept.
        while !failed.load(Ordering::Relaxed) {
            let Some(&i) = missing.get(next.fetch_add(1, Ordering::Relaxed)) else { return };
            let answer = f(&points[wanted[i]]).answer();
            if !answer.as_ref().is_ok_and(|value| value.is_finite()) {
                failed.store(true, Ordering::Relaxed);
            }
            found.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((i, answer));
        }
    };
    match options.workers.min(missing.len()) {
        0 | 1 => work(),
        workers => std::thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(work);
            }
        }),
    }
    for (i, answer) in found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        let point = &points[wanted[i]];
        if let (Some(journal), Ok(value)) = (&mut journal, &answer)
            && value.is_finite()
        {
            journal.add(batch, wanted[i], point, *value)?;
        }
        values[i] = Some(answer);
    }
    let mut all = Vec::with_capacity(wanted.len());
    // A failure stops the calls behind it, so it is looked for first.
    for (&row, value) in wanted.iter().zip(&values) {
        match value {
            Some(Ok(value)) => check(space, &points[row], *value)?,
            Some(Err(reason)) => {
                let (point, choices) = (space.describe(&points[row]), points[row].clone());
                return Err(MinimizeError::Failed { point, choices, reason: reason.clone() });
            }
            None => {}
        }
    }
    all.extend(values.into_iter().flatten().flatten());
    Ok(all)
}
