//! What a stream tells of itself while it runs.
//!
//! Invariants: gauges are read from any thread and change nothing; damage that was skipped is always here. Units: seconds, bytes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

/// Shares of time below which a stage does not wait for another.
const HARDLY: f64 = 0.05;

/// Time that adds up over threads.
#[derive(Debug, Default)]
pub(crate) struct Clock(AtomicU64);

impl Clock {
    /// Adds the time that `work` takes.
    pub(crate) fn time<T>(&self, work: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let done = work();
        self.add(started.elapsed());
        done
    }

    /// Adds a time.
    pub(crate) fn add(&self, time: Duration) {
        self.0.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn seconds(&self) -> f64 {
        self.0.load(Ordering::Relaxed) as f64 / 1e9
    }
}

/// A row group that was left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// The shard, relative to its dataset.
    pub shard: String,
    /// The row group in it.
    pub row_group: usize,
    /// The error.
    pub error: String,
}

/// Gauges of a stream; its threads set them.
#[derive(Debug)]
pub struct Gauges {
    started: Instant,
    readers: usize,
    pub(crate) feeder_blocked: Clock,
    pub(crate) readers_blocked: Clock,
    pub(crate) reading: Clock,
    pub(crate) collator_starved: Clock,
    pub(crate) collating: Clock,
    pub(crate) collator_blocked: Clock,
    pub(crate) consumer_blocked: Clock,
    bytes: AtomicU64,
    peak_bytes: AtomicU64,
    rows: AtomicU64,
    batches: AtomicU64,
    waiting: AtomicU64,
    row_groups: AtomicU64,
    buffers: AtomicU64,
    skipped_rows: AtomicU64,
    skipped: Mutex<Vec<Skipped>>,
}

impl Gauges {
    pub(crate) fn new(readers: usize) -> Self {
        Self {
            started: Instant::now(),
            readers,
            feeder_blocked: Clock::default(),
            readers_blocked: Clock::default(),
            reading: Clock::default(),
            collator_starved: Clock::default(),
            collating: Clock::default(),
            collator_blocked: Clock::default(),
            consumer_blocked: Clock::default(),
            bytes: AtomicU64::new(0),
            peak_bytes: AtomicU64::new(0),
            rows: AtomicU64::new(0),
            batches: AtomicU64::new(0),
            waiting: AtomicU64::new(0),
            row_groups: AtomicU64::new(0),
            buffers: AtomicU64::new(0),
            skipped_rows: AtomicU64::new(0),
            skipped: Mutex::default(),
        }
    }

    /// Bytes come into flight.
    pub(crate) fn take_off(&self, bytes: u64) {
        let now = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.peak_bytes.fetch_max(now, Ordering::Relaxed);
    }

    /// Bytes come to rest.
    pub(crate) fn land(&self, bytes: u64) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// A row group was read.
    pub(crate) fn count_row_group(&self) {
        self.row_groups.fetch_add(1, Ordering::Relaxed);
    }

    /// The consumer took a batch while so many waited.
    pub(crate) fn count_batch(&self, rows: usize, waiting: usize) {
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.rows.fetch_add(rows as u64, Ordering::Relaxed);
        self.waiting.fetch_add(waiting as u64, Ordering::Relaxed);
    }

    /// So many buffers were allocated in all.
    pub(crate) fn set_buffers(&self, buffers: u64) {
        self.buffers.store(buffers, Ordering::Relaxed);
    }

    /// A row of a damaged row group was left out.
    pub(crate) fn count_skipped_row(&self) {
        self.skipped_rows.fetch_add(1, Ordering::Relaxed);
    }

    /// A damaged row group is left out.
    pub(crate) fn note_skipped(&self, skipped: Skipped) {
        self.skipped.lock().unwrap_or_else(PoisonError::into_inner).push(skipped);
    }

    /// Row groups that were left out so far.
    pub fn skipped(&self) -> Vec<Skipped> {
        self.skipped.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the gauges say now.
    pub fn reading(&self) -> Reading {
        let get = |gauge: &AtomicU64| gauge.load(Ordering::Relaxed);
        Reading {
            seconds: self.started.elapsed().as_secs_f64(),
            readers: self.readers,
            rows: get(&self.rows),
            batches: get(&self.batches),
            waiting_batches: get(&self.waiting),
            row_groups: get(&self.row_groups),
            bytes_in_flight: get(&self.bytes),
            peak_bytes: get(&self.peak_bytes),
            buffers_allocated: get(&self.buffers),
            skipped_rows: get(&self.skipped_rows),
            feeder_blocked: self.feeder_blocked.seconds(),
            readers_blocked: self.readers_blocked.seconds(),
            reading: self.reading.seconds(),
            collator_starved: self.collator_starved.seconds(),
            collating: self.collating.seconds(),
            collator_blocked: self.collator_blocked.seconds(),
            consumer_blocked: self.consumer_blocked.seconds(),
        }
    }
}

/// What limits a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Limit {
    /// Whoever takes the batches: the stream waits for it.
    Consumer,
    /// Reading, verifying and decoding row groups.
    Reading,
    /// The byte budget: readers wait for memory.
    Budget,
    /// Copying rows into batches.
    Collating,
}

impl Limit {
    /// What it is, and what helps.
    pub fn name(self) -> &'static str {
        match self {
            Limit::Consumer => "the consumer of batches",
            Limit::Reading => "reading and decoding row groups (`stream.readers`)",
            Limit::Budget => "the byte budget (`stream.byte_budget_mib`)",
            Limit::Collating => "copying rows into batches",
        }
    }
}

/// Gauges at one moment, or sums over several streams. Times of readers are sums over threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Reading {
    /// Seconds since the stream began.
    pub seconds: f64,
    /// Reader threads.
    pub readers: usize,
    /// Rows that the consumer took.
    pub rows: u64,
    /// Batches that it took.
    pub batches: u64,
    /// Batches that waited when it took one, added up.
    pub waiting_batches: u64,
    /// Row groups read.
    pub row_groups: u64,
    /// Bytes in flight.
    pub bytes_in_flight: u64,
    /// Most bytes in flight so far.
    pub peak_bytes: u64,
    /// Voxel buffers that were allocated; all others were used again.
    pub buffers_allocated: u64,
    /// Rows left out for damage.
    pub skipped_rows: u64,
    /// Seconds that row groups waited for the byte budget.
    pub feeder_blocked: f64,
    /// Seconds that readers waited for work.
    pub readers_blocked: f64,
    /// Seconds that readers read, verified and decoded.
    pub reading: f64,
    /// Seconds that the collator waited for row groups.
    pub collator_starved: f64,
    /// Seconds that it copied.
    pub collating: f64,
    /// Seconds that it waited for the consumer.
    pub collator_blocked: f64,
    /// Seconds that the consumer waited for a batch.
    pub consumer_blocked: f64,
}

impl Reading {
    /// Rows a second.
    pub fn rows_per_second(&self) -> f64 {
        if self.seconds > 0.0 { self.rows as f64 / self.seconds } else { 0.0 }
    }

    /// Batches that wait on average when one is taken.
    pub fn queue_fill(&self) -> f64 {
        self.waiting_batches as f64 / self.batches.max(1) as f64
    }

    /// The stage that limits.
    pub fn limit(&self) -> Limit {
        if self.consumer_blocked < HARDLY * self.seconds {
            return Limit::Consumer;
        }
        if self.collating > self.collator_starved {
            return Limit::Collating;
        }
        // Readers that are idle more than half of the time while row groups wait for memory.
        let is_idle = self.readers_blocked > self.reading;
        if is_idle && self.feeder_blocked > HARDLY * self.seconds { Limit::Budget } else { Limit::Reading }
    }

    /// Adds what a further stream says.
    pub fn accumulate(&mut self, other: &Self) {
        self.seconds += other.seconds;
        self.readers = self.readers.max(other.readers);
        self.rows += other.rows;
        self.batches += other.batches;
        self.waiting_batches += other.waiting_batches;
        self.row_groups += other.row_groups;
        self.bytes_in_flight = other.bytes_in_flight;
        self.peak_bytes = self.peak_bytes.max(other.peak_bytes);
        self.buffers_allocated += other.buffers_allocated;
        self.skipped_rows += other.skipped_rows;
        self.feeder_blocked += other.feeder_blocked;
        self.readers_blocked += other.readers_blocked;
        self.reading += other.reading;
        self.collator_starved += other.collator_starved;
        self.collating += other.collating;
        self.collator_blocked += other.collator_blocked;
        self.consumer_blocked += other.consumer_blocked;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_where_the_others_wait() {
        let base = Reading { seconds: 10.0, readers: 2, ..Reading::default() };
        assert_eq!(Reading { consumer_blocked: 0.4, ..base }.limit(), Limit::Consumer);
        let starved = Reading { consumer_blocked: 5.0, collator_starved: 6.0, collating: 3.0, ..base };
        assert_eq!(Reading { reading: 19.0, readers_blocked: 1.0, ..starved }.limit(), Limit::Reading);
        let waits = Reading { reading: 4.0, readers_blocked: 16.0, feeder_blocked: 8.0, ..starved };
        assert_eq!(waits.limit(), Limit::Budget);
        assert_eq!(Reading { collating: 9.0, collator_starved: 1.0, ..starved }.limit(), Limit::Collating);
    }

    #[test]
    fn readings_of_epochs_add_up() {
        let gauges = Gauges::new(3);
        gauges.take_off(70);
        gauges.take_off(30);
        gauges.land(60);
        gauges.count_batch(8, 1);
        gauges.count_batch(4, 0);
        let mut sum = gauges.reading();
        assert_eq!((sum.rows, sum.batches, sum.bytes_in_flight, sum.peak_bytes), (12, 2, 40, 100));
        assert!((sum.queue_fill() - 0.5).abs() < 1e-12);
        sum.accumulate(&Reading { rows: 5, seconds: 1.0, peak_bytes: 7, ..Reading::default() });
        assert_eq!((sum.rows, sum.peak_bytes, sum.readers), (17, 100, 3));
        assert!(sum.rows_per_second() > 0.0 && Reading::default().rows_per_second() == 0.0);
    }
}
