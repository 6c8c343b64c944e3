//! A process that reads a stream and records its position is killed again and again; nothing may be left over and no batch may be missing.
//!
//! The process writes each batch into a log and then its position beside it, so a kill between the two shows a batch a second time.

use std::collections::{HashMap, HashSet};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mtids_runtime::atomic;
use mtids_runtime::digest::Digest;
use mtids_runtime::random::rng_for;
use mtids_runtime::storage::{Folder, Storage};
use mtids_shards::{Dataset, Split};
use mtids_stream::{Balance, Batch, BatchStream, BatchStreamBuilder, SampleTable, SamplingConfig, Source, StreamState};
use rand::RngExt;

use crate::support::{Shape, labels, publish};

const SHAPE: Shape = Shape { shards: 6, rows_per_shard: 40, rows_per_group: 7, near: [8, 16, 16] };
const BATCH: usize = 8;
const SEED: u64 = 3;
const DATASET: &str = "dataset";
const LOG: &str = "log";
const POSITION: &str = "position.json";

/// What the cycles came to.
#[derive(Debug, Default)]
pub(crate) struct Cycles {
    pub(crate) kills: usize,
    /// Kills before the first batch of a process.
    pub(crate) before_a_batch: usize,
    /// Kills between a batch and its position.
    pub(crate) between: usize,
    /// Kills within the write of a position, whose file the next process removed.
    pub(crate) within_a_write: usize,
    pub(crate) batches: usize,
    pub(crate) epochs: u64,
}

fn stream(table: &Arc<SampleTable>, epoch: u64, readers: usize) -> BatchStreamBuilder {
    BatchStream::over(Arc::clone(table)).batch_size(BATCH).shuffle(SEED, epoch).shuffle_row_groups(5).readers(readers)
}

fn table(folder: &Path) -> Arc<SampleTable> {
    let dataset = Arc::new(Dataset::open(&folder.join(DATASET)).unwrap());
    let source = Source { dataset, split: Split::Train, weight: None };
    let sampling = SamplingConfig { balance: Balance::Patient, ..SamplingConfig::default() };
    Arc::new(SampleTable::open(vec![source], &sampling).unwrap())
}

/// Keys and voxels of a batch.
fn digest(batch: &Batch) -> Digest {
    let keys = batch.labels.iter().map(|row| row.sample_key.clone().into_bytes());
    let voxels = batch.views.iter().map(|view| view.iter().flat_map(|voxel| voxel.to_le_bytes()).collect());
    Digest::of_parts(keys.chain(voxels))
}

/// Goes on at the recorded position, epoch after epoch; with `last`, to the end of the epoch, where no thread may be left.
pub(crate) fn read_on(folder: &Path, readers: usize, last: bool) {
    Folder::new(folder).remove_leftovers().unwrap();
    let table = table(folder);
    let position = folder.join(POSITION);
    let recorded = fs::read(&position).ok();
    let mut state: Option<StreamState> = recorded.map(|bytes| serde_json::from_slice(&bytes).unwrap());
    let mut log = OpenOptions::new().create(true).append(true).open(folder.join(LOG)).unwrap();
    writeln!(log, "start").unwrap();
    let threads = threads();
    for epoch in state.map_or(0, |state| state.epoch).. {
        let fresh = stream(&table, epoch, readers);
        let stream = state.take().map_or(fresh.clone(), |state| fresh.resume(&state)).start().unwrap();
        let positions = stream.positions();
        for batch in stream.map(Result::unwrap) {
            // One write: a kill leaves a whole line or none.
            log.write_all(format!("{epoch} {} {}\n", batch.index, digest(&batch)).as_bytes()).unwrap();
            let next = positions.at(batch.index + 1);
            atomic::write(&position, &serde_json::to_vec(&next).unwrap()).unwrap();
        }
        if last {
            assert_eq!(self::threads(), threads, "threads of the stream are left");
            return;
        }
        let next = stream_start(&table, epoch + 1, readers);
        atomic::write(&position, &serde_json::to_vec(&next).unwrap()).unwrap();
    }
}

fn stream_start(table: &Arc<SampleTable>, epoch: u64, readers: usize) -> StreamState {
    stream(table, epoch, readers).positions().unwrap().at(0)
}

/// Threads of this process, where the system lists them.
fn threads() -> Option<usize> {
    Some(fs::read_dir("/proc/self/task").ok()?.count())
}

/// Processes that know of the folder, but for this one.
fn processes_of(folder: &Path) -> usize {
    let name = folder.as_os_str().as_encoded_bytes();
    let own = std::process::id().to_string();
    let Ok(all) = fs::read_dir("/proc") else { return 0 };
    let knows = |process: &Path| {
        let parts = ["cmdline", "environ"].map(|file| fs::read(process.join(file)).unwrap_or_default());
        parts.iter().any(|bytes| bytes.windows(name.len()).any(|part| part == name))
    };
    let others = all.flatten().filter(|entry| entry.file_name() != *own);
    others.filter(|entry| knows(&entry.path())).count()
}

/// Files of the folder that do not belong to the dataset.
fn files(folder: &Path) -> HashSet<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name != DATASET).collect()
}

/// The batches of every epoch, as an unbroken stream gives them.
struct Unbroken {
    table: Arc<SampleTable>,
    epochs: HashMap<u64, Vec<String>>,
}

impl Unbroken {
    fn epoch(&mut self, epoch: u64) -> &[String] {
        let table = &self.table;
        self.epochs.entry(epoch).or_insert_with(|| {
            stream(table, epoch, 1).start().unwrap().map(|batch| digest(&batch.unwrap()).to_string()).collect()
        })
    }
}

/// Starts `process(readers, last)` in a folder that is empty, and kills it, so many times; the last one runs to the end of its epoch.
///
/// # Panics
/// When something is left over, or a batch is missing, repeated without need, or another one than in an unbroken stream.
pub(crate) fn cycles(folder: &Path, kills: usize, process: impl Fn(usize, bool) -> Command) -> Cycles {
    let storage = Folder::new(folder.join(DATASET));
    publish(&storage, SHAPE, labels);
    let dataset = storage.list("").unwrap();
    let mut unbroken = Unbroken { table: table(folder), epochs: HashMap::new() };
    let mut found = Cycles::default();
    let mut random = rng_for(SEED, "when a process is killed", &[]);
    // The batch that was logged last, and where the next process has to begin.
    let (mut seen, mut begins) = (0, (0, 0));
    for cycle in 0..=kills {
        let last = cycle == kills;
        let mut child = process(1 + cycle % 4, last).spawn().unwrap();
        let log = || fs::read_to_string(folder.join(LOG)).unwrap_or_default();
        if !last {
            // After some batches, or after some time, which may be before the first one.
            let wait = Duration::from_micros(random.random_range(0..60_000));
            let lines = if cycle % 2 == 0 { random.random_range(2..9) } else { 0 };
            let patience = Instant::now();
            while log().lines().count() < seen + lines && patience.elapsed() < Duration::from_secs(60) {
                std::thread::sleep(Duration::from_millis(1));
            }
            std::thread::sleep(wait);
            child.kill().unwrap();
        }
        let status = child.wait().unwrap();
        assert_eq!(status.success(), last, "cycle {cycle}: {status}");
        assert_eq!(processes_of(folder), 0, "a process is left after cycle {cycle}");
        let log = log();
        let new: Vec<&str> = log.lines().skip(seen).filter(|line| *line != "start").collect();
        seen = log.lines().count();
        found.before_a_batch += usize::from(new.is_empty());
        let mut at = begins;
        for line in &new {
            let [epoch, batch, digest] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("half a line: {line}") };
            let (epoch, batch): (u64, usize) = (epoch.parse().unwrap(), batch.parse().unwrap());
            if batch == 0 && epoch == at.0 + 1 && at.1 == unbroken.epoch(at.0).len() {
                at = (epoch, 0);
            }
            assert_eq!((epoch, batch), at, "cycle {cycle}");
            assert_eq!(digest, unbroken.epoch(epoch)[batch], "cycle {cycle}");
            at.1 += 1;
        }
        found.batches += new.len();
        let recorded = fs::read(folder.join(POSITION)).ok();
        let state: Option<StreamState> = recorded.map(|bytes| serde_json::from_slice(&bytes).unwrap());
        begins = state.map_or((0, 0), |state| (state.epoch, (state.position as usize).div_ceil(BATCH)));
        let next_epoch = (at.1 == unbroken.epoch(at.0).len()).then_some((at.0 + 1, 0));
        if begins != at && Some(begins) != next_epoch {
            assert_eq!((begins.0, begins.1 + 1), at, "a position is recorded after its batch");
            found.between += 1;
        }
        let mut expected = HashSet::from([LOG, POSITION].map(str::to_owned));
        let left = files(folder);
        let writing = left.iter().filter(|name| name.starts_with(atomic::PREFIX)).count();
        // The file that a kill interrupts is removed by the next process, and is the only one.
        assert!(writing <= usize::from(!last), "{left:?}");
        found.within_a_write += writing;
        expected.extend(left.iter().filter(|name| name.starts_with(atomic::PREFIX)).cloned());
        assert!(left.is_subset(&expected), "{left:?}");
    }
    assert_eq!(storage.list("").unwrap(), dataset, "the dataset is as it was");
    found.kills = kills;
    found.epochs = begins.0 + 1;
    found
}
