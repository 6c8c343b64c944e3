//! Progress on standard error: a bar for people at a terminal, a line every few seconds for log files.
//!
//! Invariant: may be ticked from any thread; nothing is printed when progress is off.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Time between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Progress of one stage of work.
#[derive(Debug)]
pub struct Progress {
    label: String,
    total: Option<u64>,
    done: AtomicU64,
    output: Output,
}

#[derive(Debug)]
enum Output {
    Off,
    Bar(ProgressBar),
    Lines { started: Instant, last: Mutex<(Instant, String)> },
}

impl Progress {
    /// Starts a stage; `total` is the number of ticks to come, where known.
    pub fn new(label: &str, total: Option<u64>, enabled: bool) -> Self {
        let output = if !enabled {
            Output::Off
        } else if std::io::stderr().is_terminal() {
            let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
            let template = match total {
                Some(_) => "  {prefix:<18} {bar:32.cyan/dim} {pos}/{len} {eta} {msg}",
                None => "  {prefix:<18} {spinner} {pos} {msg}",
            };
            // The templates above are fixed and well-formed; a default style would still show progress.
            bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_prefix(label.to_owned());
            bar.enable_steady_tick(Duration::from_millis(120));
            Output::Bar(bar)
        } else {
            let now = Instant::now();
            Output::Lines { started: now, last: Mutex::new((now, String::new())) }
        };
        Self { label: label.to_owned(), total, done: AtomicU64::new(0), output }
    }

    /// Advances by `ticks`.
    pub fn inc(&self, ticks: u64) {
        let done = self.done.fetch_add(ticks, Ordering::Relaxed) + ticks;
        match &self.output {
            Output::Off => {}
            Output::Bar(bar) => bar.inc(ticks),
            Output::Lines { last, .. } => {
                if let Ok(mut last) = last.try_lock()
                    && last.0.elapsed() >= LINE_EVERY
                {
                    last.0 = Instant::now();
                    let message = last.1.clone();
                    self.line(done, &message);
                }
            }
        }
    }

    /// Sets ticks done before this program started (a resumed run).
    pub fn set_position(&self, done: u64) {
        self.done.store(done, Ordering::Relaxed);
        if let Output::Bar(bar) = &self.output {
            bar.set_position(done);
            bar.reset_eta();
        }
    }

    /// Shows a short message beside the count.
    pub fn set_message(&self, message: impl Into<String>) {
        match &self.output {
            Output::Off => {}
            Output::Bar(bar) => bar.set_message(message.into()),
            Output::Lines { last, .. } => {
                if let Ok(mut last) = last.lock() {
                    last.1 = message.into();
                }
            }
        }
    }

    /// Ends the stage; the last state stays visible.
    pub fn finish(&self) {
        match &self.output {
            Output::Off => {}
            Output::Bar(bar) => bar.finish(),
            Output::Lines { started, last } => {
                let message = last.lock().map(|last| last.1.clone()).unwrap_or_default();
                let seconds = started.elapsed().as_secs_f64();
                self.line(self.done.load(Ordering::Relaxed), &format!("{message} ({seconds:.1} s)"));
            }
        }
    }

    fn line(&self, done: u64, message: &str) {
        let of = self.total.map(|total| format!("/{total}")).unwrap_or_default();
        // A closed standard error must not end the work.
        let _ = writeln!(std::io::stderr(), "  {:<18} {done}{of} {}", self.label, message.trim());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_count_from_any_thread() {
        let progress = Progress::new("test", Some(40), false);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10).for_each(|_| progress.inc(1)));
            }
        });
        assert_eq!(progress.done.load(Ordering::Relaxed), 40);
        progress.finish();
    }
}
