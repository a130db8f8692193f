//! [`Progress`]: what a run shows on standard error: a bar on a terminal, plain lines elsewhere, nothing when quiet.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::terminal::{self, stderr_columns, wrap};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Shortest time between two redraws of the bar.
const REDRAW: Duration = Duration::from_millis(100);
/// Elsewhere a line appears after this long …
const LINE_AT_LATEST: Duration = Duration::from_secs(10);
/// … or at each twentieth of the way, but not more often than this.
const LINE_AT_EARLIEST: Duration = Duration::from_secs(1);

/// What [`Progress`] shows of a run.
pub trait Shown {
    /// What the run counts: "steps".
    const UNIT: &'static str;

    /// How many of them are behind it.
    fn position(&self) -> u64;

    /// What else there is to say, in short; what matters most comes first, since a narrow terminal cuts the rest off.
    fn notes(&self) -> Vec<String>;
}

/// Shows a run's progress.
#[derive(Debug)]
pub struct Progress {
    display: Display,
    total: u64,
    /// Steps at which this process began: those of a resumed run are not its own.
    first: u64,
    started: Instant,
    last_shown: Option<Instant>,
    last_twentieth: u64,
}

#[derive(Debug)]
enum Display {
    Bar(ProgressBar),
    Lines,
    Nothing,
}

impl Progress {
    /// Progress from `first` to `total` steps, in the form that standard error calls for.
    #[must_use]
    pub fn new(total: u64, first: u64, quiet: bool) -> Self {
        // A run that goes on with a smaller budget than it has used up is at its end, not beyond.
        let total = total.max(first);
        let display = if quiet {
            Display::Nothing
        } else if std::io::stderr().is_terminal() {
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{bar:8.cyan/dim} {percent:>3}%  {wide_msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸━"));
            Display::Bar(bar)
        } else {
            Display::Lines
        };
        let twentieth = twentieth(first, total);
        Self { display, total, first, started: Instant::now(), last_shown: None, last_twentieth: twentieth }
    }

    /// Shows `status`, unless the last one is still fresh. Cheap enough to call after every update.
    pub fn update<S: Shown>(&mut self, status: &S) {
        if matches!(self.display, Display::Nothing) {
            return;
        }
        let now = Instant::now();
        let age = self.last_shown.map_or(now - self.started, |last| now - last);
        let twentieth = twentieth(status.position(), self.total);
        let due = match self.display {
            Display::Bar(_) => age >= REDRAW || self.last_shown.is_none(),
            Display::Lines => {
                age >= LINE_AT_LATEST || twentieth > self.last_twentieth && age >= LINE_AT_EARLIEST
            }
            Display::Nothing => false,
        };
        if due {
            self.last_shown = Some(now);
            self.last_twentieth = twentieth;
            self.show(status, (now - self.started).as_secs_f64());
        }
    }

    /// Takes `total` for the end from now on.
    pub fn set_total(&mut self, total: u64) {
        self.total = total;
        if let Display::Bar(bar) = &self.display {
            bar.set_length(total);
        }
    }

    /// Shows a message for people, above the bar if there is one.
    pub fn message(&self, text: &str) {
        match &self.display {
            Display::Bar(bar) => bar.suspend(|| terminal::note(text)),
            Display::Lines => terminal::note(text),
            Display::Nothing => {}
        }
    }

    /// Shows the last status and lets the bar stand.
    pub fn finish<S: Shown>(&mut self, status: &S) {
        self.show(status, self.started.elapsed().as_secs_f64());
        if let Display::Bar(bar) = &self.display {
            bar.abandon();
        }
    }

    fn show<S: Shown>(&self, status: &S, seconds: f64) {
        let rate = status.position().saturating_sub(self.first) as f64 / seconds.max(1e-9);
        match &self.display {
            Display::Bar(bar) => {
                bar.set_message(line(status, self.total, rate, seconds));
                bar.set_position(status.position());
            }
            Display::Lines => {
                let percent = (100.0 * status.position() as f64 / self.total.max(1) as f64).min(100.0) as u64;
                let text = format!("{percent:>3}%  {}", line(status, self.total, rate, seconds));
                put_line(&stderr_columns().map_or_else(|| text.clone(), |columns| wrap(&text, columns)));
            }
            Display::Nothing => {}
        }
    }
}

/// Which twentieth of the way has been reached.
fn twentieth(steps: u64, total: u64) -> u64 {
    steps.saturating_mul(20) / total.max(1)
}

/// How long it will take, how fast it is and the first of the notes, which fit 60 columns beside the bar; then the rest.
fn line<S: Shown>(status: &S, total: u64, rate: f64, seconds: f64) -> String {
    let left = total.saturating_sub(status.position());
    let mut parts = Vec::new();
    if left == 0 {
        parts.push(format!("took {}", duration(seconds)));
    } else if rate >= 1e-3 {
        parts.push(format!("{} left", duration(left as f64 / rate)));
    }
    parts.push(format!("{} {}/s", short(rate), S::UNIT));
    let mut notes = status.notes().into_iter();
    parts.extend(notes.next());
    parts.push(format!("{} / {} {}", short(status.position() as f64), short(total as f64), S::UNIT));
    parts.extend(notes);
    parts.join(" · ")
}

/// Three significant digits: 950, 12.3k, 1.50M.
fn short(value: f64) -> String {
    let (scaled, unit) = match value {
        v if v < 1e3 => return format!("{v:.0}"),
        v if v < 1e6 => (v / 1e3, "k"),
        v if v < 1e9 => (v / 1e6, "M"),
        v => (v / 1e9, "G"),
    };
    let decimals = if scaled < 10.0 { 2 } else { usize::from(scaled < 100.0) };
    format!("{scaled:.decimals$}{unit}")
}

/// 0:07, 12:34, 1:02:03.
fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    let (hours, minutes, seconds) = (whole / 3600, whole / 60 % 60, whole % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// A line on standard error; if nobody is there to read it, that is no reason to stop a run.
fn put_line(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (value, text) in
            [(0.0, "0"), (950.4, "950"), (12_345.0, "12.3k"), (1.5e6, "1.50M"), (2e9, "2.00G")]
        {
            assert_eq!(short(value), text);
        }
        for (value, text) in [(0.4, "0:00"), (67.0, "1:07"), (3723.0, "1:02:03")] {
            assert_eq!(duration(value), text);
        }
    }

    struct Status(u64, Vec<String>);

    impl Shown for Status {
        const UNIT: &'static str = "steps";

        fn position(&self) -> u64 {
            self.0
        }

        fn notes(&self) -> Vec<String> {
            self.1.clone()
        }
    }

    #[test]
    fn the_line_says_what_is_known() {
        let text = line(&Status(50_000, Vec::new()), 100_000, 10_000.0, 5.0);
        assert_eq!(text, "0:05 left · 10.0k steps/s · 50.0k / 100k steps");
        let notes = vec!["return 123.4".into(), "ratio 0.46".into()];
        let text = line(&Status(100_000, notes), 100_000, 10_000.0, 10.0);
        assert_eq!(text, "took 0:10 · 10.0k steps/s · return 123.4 · 100k / 100k steps · ratio 0.46");
    }

    /// Time left, speed and return are read on the narrowest terminal: the bar and the percentage take 15 columns.
    #[test]
    fn what_matters_fits_sixty_columns() {
        let notes = vec!["return -1234.5".into(), "120 episodes".into()];
        let text = line(&Status(1_000_000, notes), 100_000_000, 12_345.0, 81.0);
        let seen: String = text.chars().take(60 - 15).collect();
        assert_eq!(seen, "2:13:39 left · 12.3k steps/s · return -1234.5");
    }

    #[test]
    fn odd_totals_do_no_harm() {
        for (total, first) in [(0, 0), (1, 5), (u64::MAX, u64::MAX)] {
            let mut progress = Progress::new(total, first, true);
            progress.update(&Status(0, Vec::new()));
            progress.finish(&Status(first, Vec::new()));
            let _ = line(&Status(first, Vec::new()), total, 0.0, 0.0);
        }
    }
}
