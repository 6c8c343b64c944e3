//! Where the time of a build goes, by kind of work.
//!
//! Units: seconds, summed over all workers. Invariant: what is measured here reaches people only, never a dataset.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use serde::Serialize;

/// A kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Listing the folder and reading headers.
    Headers,
    /// Grouping, reading annotations, digests of the content.
    Plan,
    /// Pixels to HU and SUV.
    Decode,
    /// Patches out of volumes.
    Resample,
    /// Rows to compressed Parquet, with digests.
    Compress,
    /// Bytes to the storage, until they would survive a power cut.
    Write,
    /// Index, card and manifest.
    Publish,
}

impl Stage {
    /// All, in the order of a build.
    pub const ALL: [Stage; 7] =
        [Stage::Headers, Stage::Plan, Stage::Decode, Stage::Resample, Stage::Compress, Stage::Write, Stage::Publish];

    /// What a table calls it.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Headers => "read headers",
            Stage::Plan => "plan, digests",
            Stage::Decode => "decode",
            Stage::Resample => "resample",
            Stage::Compress => "compress",
            Stage::Write => "write",
            Stage::Publish => "publish",
        }
    }
}

/// Adds up times from all threads.
#[derive(Debug, Default)]
pub struct Clock {
    nanoseconds: [AtomicU64; 7],
}

/// What a stage took.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct StageTime {
    /// Its name.
    pub stage: &'static str,
    /// Seconds of all workers.
    pub seconds: f64,
    /// Share of all stages.
    pub share: f64,
}

impl Clock {
    /// Adds the seconds that a stage took.
    pub fn add(&self, stage: Stage, seconds: f64) {
        let place = Stage::ALL.iter().position(|one| *one == stage);
        if let Some(sum) = place.and_then(|at| self.nanoseconds.get(at)) {
            sum.fetch_add((seconds * 1e9) as u64, Ordering::Relaxed);
        }
    }

    /// Does some work and adds its time.
    pub fn time<T>(&self, stage: Stage, work: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let done = work();
        self.add(stage, started.elapsed().as_secs_f64());
        done
    }

    /// All stages, in order.
    pub fn times(&self) -> Vec<StageTime> {
        let seconds: Vec<f64> = self.nanoseconds.iter().map(|sum| sum.load(Ordering::Relaxed) as f64 / 1e9).collect();
        let all = seconds.iter().sum::<f64>().max(f64::MIN_POSITIVE);
        let of = |(stage, seconds): (&Stage, f64)| StageTime { stage: stage.name(), seconds, share: seconds / all };
        Stage::ALL.iter().zip(seconds).map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_and_work_is_returned() {
        let clock = Clock::default();
        assert_eq!(clock.time(Stage::Decode, || 7), 7);
        clock.add(Stage::Write, 3.0);
        clock.add(Stage::Headers, 1.0);
        let times = clock.times();
        assert_eq!(times.len(), Stage::ALL.len());
        assert!((times.iter().map(|one| one.share).sum::<f64>() - 1.0).abs() < 1e-9);
        assert!((times[5].seconds - 3.0).abs() < 1e-6 && (times[5].share - 0.75).abs() < 0.01);
        assert!(Clock::default().times().iter().all(|one| one.share == 0.0));
    }
}
