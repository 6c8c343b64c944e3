//! How fast a training goes, and which stage limits it.
//!
//! A batch passes reader threads, the collator, the preparation thread and the step; each waits for the one before or behind it, so the stage for
//! which the others wait is the limit. Invariant: measuring changes no result. Units: seconds.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use mtids_stream::{Gauges, Limit, Reading, Skipped};
use serde::{Deserialize, Serialize};

/// Share of the time below which steps hardly wait for batches.
const HARDLY: f64 = 0.05;

/// A stage of a training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The step itself: batches wait for it.
    Step,
    /// Cropping, augmentation and the copy to the device.
    Preparation,
    /// Copying rows into batches.
    Collating,
    /// Reading, verifying and decoding row groups.
    Reading,
    /// The byte budget of the stream.
    Budget,
}

impl Stage {
    /// What it is, with the setting that helps.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Step => "the training step",
            Stage::Preparation => "augmentation and the copy to the device",
            Stage::Collating => Limit::Collating.name(),
            Stage::Reading => Limit::Reading.name(),
            Stage::Budget => Limit::Budget.name(),
        }
    }
}

/// The pace of the steps of one call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Pace {
    /// Seconds that steps took.
    pub stepped: f64,
    /// Seconds that they waited for batches.
    pub waited: f64,
    /// Seconds that batches were prepared.
    pub prepared: f64,
    /// Gauges of the stream, summed over epochs.
    pub stream: Reading,
}

impl Pace {
    /// The stage that limits; `None` before the first step.
    pub fn limit(&self) -> Option<Stage> {
        if self.stepped == 0.0 {
            return None;
        }
        if self.waited < HARDLY * (self.waited + self.stepped) {
            return Some(Stage::Step);
        }
        if self.prepared >= self.stream.consumer_blocked {
            return Some(Stage::Preparation);
        }
        Some(match self.stream.limit() {
            Limit::Consumer => Stage::Preparation,
            Limit::Collating => Stage::Collating,
            Limit::Reading => Stage::Reading,
            Limit::Budget => Stage::Budget,
        })
    }

    /// Rows a second.
    pub fn rows_per_second(&self) -> f64 {
        let seconds = self.waited + self.stepped;
        if seconds > 0.0 { self.stream.rows as f64 / seconds } else { 0.0 }
    }

    /// A sentence for the end of a training; `None` where no step was taken.
    pub fn sentence(&self) -> Option<String> {
        let share = 100.0 * self.waited / (self.waited + self.stepped);
        Some(format!(
            "{:.1} patches a second, limited by {}; steps waited {share:.0} % of the time for batches",
            self.rows_per_second(),
            self.limit()?.name()
        ))
    }
}

/// Measures the epoch that is under way on top of those before.
#[derive(Clone, Debug)]
pub(crate) struct PaceMeter {
    before: Pace,
    gauges: Arc<Gauges>,
    prepared_ns: Arc<AtomicU64>,
}

impl PaceMeter {
    /// Measures an epoch whose stream has these gauges.
    pub(crate) fn new(before: Pace, gauges: Arc<Gauges>) -> Self {
        Self { before, gauges, prepared_ns: Arc::default() }
    }

    /// Runs the preparation of a batch.
    pub(crate) fn prepare<T>(&self, work: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let prepared = work();
        let nanoseconds = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.prepared_ns.fetch_add(nanoseconds, Ordering::Relaxed);
        prepared
    }

    /// A step took so long, and waited so long for its batches.
    pub(crate) fn step(&mut self, seconds: f64, waited: f64) {
        self.before.stepped += seconds;
        self.before.waited += waited;
    }

    /// The pace until now.
    pub(crate) fn pace(&self) -> Pace {
        let mut pace = self.before;
        pace.prepared += self.prepared_ns.load(Ordering::Relaxed) as f64 / 1e9;
        pace.stream.accumulate(&self.gauges.reading());
        pace
    }

    /// Says which damaged row groups are left out, each once.
    pub(crate) fn warn_of_damage(&self, named: &mut BTreeSet<(String, usize)>) {
        for Skipped { shard, row_group, error } in self.gauges.skipped() {
            if named.insert((shard.clone(), row_group)) {
                tracing::warn!("the training goes on without row group {row_group} of {shard}: {error}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_the_stage_that_the_others_wait_for() {
        assert_eq!((Pace::default().limit(), Pace::default().sentence()), (None, None));
        let pace = Pace { stepped: 9.8, waited: 0.2, ..Pace::default() };
        assert_eq!(pace.limit(), Some(Stage::Step));
        let stream =
            Reading { seconds: 10.0, consumer_blocked: 6.0, collator_starved: 7.0, rows: 50, ..Reading::default() };
        let starved = Pace { stepped: 2.0, waited: 8.0, prepared: 3.0, stream };
        let with = |stream| Pace { stream, ..starved };
        assert_eq!(with(Reading { reading: 9.0, ..stream }).limit(), Some(Stage::Reading));
        assert_eq!(with(Reading { readers_blocked: 9.0, feeder_blocked: 5.0, ..stream }).limit(), Some(Stage::Budget));
        assert_eq!(with(Reading { collating: 8.0, ..stream }).limit(), Some(Stage::Collating));
        assert_eq!(Pace { prepared: 9.0, ..starved }.limit(), Some(Stage::Preparation));
        let sentence = with(Reading { reading: 9.0, ..stream }).sentence().unwrap();
        for part in ["5.0 patches a second", "`stream.readers`", "80 %"] {
            assert!(sentence.contains(part), "{part}: {sentence}");
        }
    }
}
