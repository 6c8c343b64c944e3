//! How long a consumer waits that takes batches at 60 % of the pace at which the stream gives them.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::large::{BATCH, stream};

const BUDGET_MIB: u64 = 256;
const PACE: f64 = 0.6;
const ROUNDS: u64 = 3;

/// Seconds that the consumer waited for the first batch, for the others, and the seconds of the epoch, when its work on a batch takes so long.
fn waited(folder: &Path, epoch: u64, work: Duration) -> (f64, f64, f64) {
    let started = Instant::now();
    let mut stream = stream(folder, BUDGET_MIB, epoch);
    let gauges = stream.gauges();
    stream.next().unwrap().unwrap();
    let first = gauges.reading().consumer_blocked;
    std::thread::sleep(work);
    for batch in stream.by_ref() {
        drop(batch.unwrap());
        std::thread::sleep(work);
    }
    (first, gauges.reading().consumer_blocked - first, started.elapsed().as_secs_f64())
}

pub(crate) fn text(folder: &Path) -> String {
    let mut text = format!(
        "### A slow consumer\n\nRounds of two epochs: one taken as fast as it comes, one whose consumer sleeps after each batch of {BATCH} rows so \
         long that it takes\n{:.0} % of that pace. Its time of waiting, as a share of the epoch; the goal is 2 %. The first batch waits for the \
         row groups of a\nwindow, so its share falls with the length of an epoch.\n\n\
         | rows/s, free | rows/s, slow | waits for the first batch, ms | waits for the others |\n|---|---|---|---|\n",
        100.0 * PACE
    );
    for round in 0..ROUNDS {
        let mut free = stream(folder, BUDGET_MIB, round);
        let rows: usize = free.by_ref().map(|batch| batch.unwrap().labels.len()).sum();
        let seconds = free.gauges().reading().seconds;
        let work = Duration::from_secs_f64(seconds / PACE / (rows.div_ceil(BATCH)) as f64);
        let (first, others, slow) = waited(folder, round, work);
        let row = format!(
            "| {:.0} | {:.0} | {:.0} | {:.2} % |\n",
            rows as f64 / seconds,
            rows as f64 / slow,
            1e3 * first,
            100.0 * others / slow
        );
        text.push_str(&row);
    }
    text
}
