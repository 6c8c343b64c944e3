//! Resident memory of a stream, measured in a process of its own.

use std::fmt::Write;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use mtids_shards::{Dataset, Split};
use mtids_stream::{BatchStream, SampleTable, StreamConfig};

use crate::large::BATCH;
use crate::support::{self, Shape};

/// Budgets, MiB: what eight row groups and three batches need, the double, and the default.
const BUDGETS: [u64; 3] = [64, 128, 256];

/// A line of /proc/self/status, KiB.
fn status(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Prints resident memory of this process before a stream, its peaks after one and after two epochs, and the peak of the gauges, KiB. Before it, a
/// stream of a few rows brings in the code, the stacks of threads and what the allocator keeps of them.
pub(crate) fn measure(folder: &Path, byte_budget_mib: u64) {
    let shape = Shape { shards: 2, rows_per_shard: 8, rows_per_group: 4, near: [1, 8, 8] };
    let warm = BatchStream::builder(support::dataset(shape, support::labels), Split::Train).shuffle(1, 0);
    warm.start().unwrap().for_each(|batch| drop(batch.unwrap()));
    let dataset = Arc::new(Dataset::open(folder).unwrap());
    let table = Arc::new(SampleTable::every_row(dataset, Split::Train).unwrap());
    let config = StreamConfig { byte_budget_mib, ..StreamConfig::default() };
    let before = status("VmRSS:");
    let (mut peaks, mut gauged) = ([0; 2], 0);
    for (epoch, peak) in (0..).zip(&mut peaks) {
        let stream = BatchStream::over(Arc::clone(&table)).config(&config).batch_size(BATCH).shuffle(1, epoch);
        let mut stream = stream.start().unwrap();
        stream.by_ref().for_each(|batch| drop(batch.unwrap()));
        gauged = gauged.max(stream.gauges().reading().peak_bytes >> 10);
        *peak = status("VmHWM:");
    }
    let [one, two] = peaks;
    println!("{before} {one} {two} {gauged}");
}

pub(crate) fn text(folder: &Path, bytes: usize) -> String {
    let mut text = format!(
        "### Memory\n\nA process that reads two epochs of {} MiB each with two readers. Its baseline is the resident memory after a stream of a few rows; the \
         shares\nare of the peak less the baseline. The goal is the budget and a tenth.\n\n\
         | budget, MiB | baseline | peak in one epoch | of the budget | peak in two | of the budget | bytes in flight by the gauges |\n\
         |---|---|---|---|---|---|---|\n",
        bytes >> 20
    );
    for budget in BUDGETS {
        let process = crate::again(&["memory", folder.to_str().unwrap(), &budget.to_string()]);
        let printed = { process }.stderr(Stdio::inherit()).output().unwrap();
        assert!(printed.status.success());
        let printed = String::from_utf8(printed.stdout).unwrap();
        let found: Vec<f64> = printed.split_whitespace().map(|kib| kib.parse::<f64>().unwrap() / 1024.0).collect();
        let [before, one, two, gauged] = found[..] else { panic!("{printed}") };
        let share = |peak: f64| (peak - before) / budget as f64;
        let of_one = format!("{one:.0} | {:.2}", share(one));
        writeln!(text, "| {budget} | {before:.0} | {of_one} | {two:.0} | {:.2} | {gauged:.0} |", share(two)).unwrap();
    }
    text
}
