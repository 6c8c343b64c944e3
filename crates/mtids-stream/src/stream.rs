//! The stream itself: a bounded channel of tasks, reader threads, results put back into order, batches.
//!
//! ```text
//! plan ──tasks──▶ readers (verify, decode) ──results, any order──▶ reorder ──▶ rows in plan order ──▶ Batch
//!        bounded            one byte budget                         by number
//! ```

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam::channel::{Receiver, bounded, unbounded};
use mtids_shards::{Dataset, RowGroup, RowKind, RowLabels, Split, read_row_group};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::StreamError;
use crate::plan::{Plan, RowGroupId, epoch_plan};
use mtids_runtime::budget::Budget;

/// Settings of the stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StreamConfig {
    /// Reader threads. Default 2.
    pub readers: usize,
    /// Decoded voxels in flight, MiB; also bounds the pool of row groups. Default 256.
    pub byte_budget_mib: u64,
    /// Row groups that rows are drawn from at a time. Default 8.
    pub shuffle_row_groups: usize,
    /// Drop the last, smaller batch of an epoch. Default false.
    pub drop_last: bool,
}

impl Default for StreamConfig {
    fn default() -> Self {
        Self { readers: 2, byte_budget_mib: 256, shuffle_row_groups: 8, drop_last: false }
    }
}

/// Rows that a step learns from.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Number in the epoch, from 0.
    pub index: u64,
    /// Labels of each row.
    pub labels: Vec<RowLabels>,
    /// `[B, C, D, H, W]`, w fastest, as the dataset's channels say.
    pub voxels: Vec<i16>,
}

impl StreamConfig {
    /// Row groups to draw from at a time: as configured, but no more than the byte budget can hold at once. Otherwise the pool could wait
    /// for a group that the budget does not let in.
    fn pool(&self, groups: &[RowGroupId], dataset: &Dataset) -> usize {
        let voxels = dataset.manifest().description.patch_len();
        let largest = groups.iter().map(|group| group.rows * voxels * 2).max().unwrap_or(1).max(1);
        let fit = ((self.byte_budget_mib << 20) / largest as u64).max(1);
        self.shuffle_row_groups.clamp(1, usize::try_from(fit).unwrap_or(usize::MAX))
    }
}

type Decoded = (usize, Result<RowGroup, StreamError>);

/// Batches of one epoch, in plan order.
#[derive(Debug)]
pub struct BatchStream {
    plan: Plan,
    /// Next row of the plan.
    at: usize,
    batch_size: usize,
    drop_last: bool,
    index: u64,
    /// Row groups that arrived, with the rows still to be taken from each.
    arrived: HashMap<usize, (RowGroup, usize)>,
    early: HashMap<usize, Result<RowGroup, StreamError>>,
    results: Option<Receiver<Decoded>>,
    budget: Arc<Budget>,
    threads: Vec<JoinHandle<()>>,
    patch_len: usize,
    failed: bool,
}

impl BatchStream {
    /// Starts reading `split` for one epoch, at `start_batch`.
    ///
    /// # Errors
    /// [`StreamError::Config`] for zero readers or batch size, [`StreamError::Spawn`] when no thread can be started.
    #[expect(clippy::too_many_arguments, reason = "each names one coordinate of the position in a training run")]
    pub fn start(
        dataset: Arc<Dataset>,
        split: Split,
        config: &StreamConfig,
        batch_size: usize,
        seed: u64,
        epoch: u64,
        shuffle: bool,
        start_batch: u64,
    ) -> Result<Self, StreamError> {
        if config.readers == 0 {
            return Err(StreamError::Config { key: "readers", reason: "at least one" });
        }
        if batch_size == 0 {
            return Err(StreamError::Config { key: "batch_size", reason: "at least one row" });
        }
        let groups = row_groups(&dataset, split);
        let plan = epoch_plan(&groups, seed, epoch, shuffle, config.pool(&groups, &dataset));
        let at = usize::try_from(start_batch).unwrap_or(usize::MAX).saturating_mul(batch_size).min(plan.rows.len());
        let patch_len = dataset.manifest().description.patch_len();
        // Rows still wanted of each group; groups that lie wholly before the start are not read at all.
        let mut wanted = vec![0usize; plan.groups.len()];
        for &(group, _) in &plan.rows[at..] {
            wanted[group] += 1;
        }
        let tasks: VecDeque<usize> = (0..plan.groups.len()).filter(|&group| wanted[group] > 0).collect();
        let budget = Arc::new(Budget::new(config.byte_budget_mib << 20));
        let (task_sender, task_receiver) = bounded::<(usize, RowGroupId)>(config.readers);
        // Unbounded in count, bounded in bytes by the budget.
        let (result_sender, results) = unbounded::<Decoded>();
        let mut threads = Vec::with_capacity(config.readers + 1);
        let spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new().name(name.to_owned()).spawn(work).map_err(StreamError::Spawn)
        };
        let mut stream = Self {
            at,
            batch_size,
            drop_last: config.drop_last,
            index: start_batch,
            arrived: HashMap::new(),
            early: HashMap::new(),
            results: Some(results),
            budget: Arc::clone(&budget),
            threads: Vec::new(),
            patch_len,
            failed: false,
            plan,
        };
        let groups = stream.plan.groups.clone();
        let feeding = Arc::clone(&budget);
        let feeder = move || {
            for group in tasks {
                // The budget is taken in plan order, so the group that is needed next always gets its share first.
                let bytes = (groups[group].rows * patch_len * 2) as u64;
                if !feeding.take(bytes) || task_sender.send((group, groups[group])).is_err() {
                    return;
                }
            }
        };
        threads.push(spawn("mtids-feeder", Box::new(feeder))?);
        for _ in 0..config.readers {
            let (tasks, results, dataset) = (task_receiver.clone(), result_sender.clone(), Arc::clone(&dataset));
            let reader = move || {
                for (number, group) in tasks {
                    let read =
                        catch_unwind(AssertUnwindSafe(|| read_row_group(&dataset, group.shard, group.row_group)));
                    let result = match read {
                        Ok(result) => result.map_err(StreamError::from),
                        Err(_) => Err(StreamError::ReaderPanicked),
                    };
                    if results.send((number, result)).is_err() {
                        return;
                    }
                }
            };
            threads.push(spawn("mtids-reader", Box::new(reader))?);
        }
        stream.threads = threads;
        for (group, count) in wanted.into_iter().enumerate() {
            if count > 0 {
                stream.arrived.insert(group, (RowGroup { labels: Vec::new(), voxels: Vec::new(), patch_len }, count));
            }
        }
        Ok(stream)
    }

    /// Number of batches of the whole epoch.
    pub fn batches(&self) -> u64 {
        let rows = self.plan.rows.len();
        (if self.drop_last { rows / self.batch_size } else { rows.div_ceil(self.batch_size) }) as u64
    }

    /// Waits until a row group has arrived.
    fn fetch(&mut self, group: usize) -> Result<(), StreamError> {
        if self.arrived.get(&group).is_some_and(|(rows, _)| !rows.labels.is_empty()) {
            return Ok(());
        }
        let result = loop {
            if let Some(result) = self.early.remove(&group) {
                break result;
            }
            let received = self.results.as_ref().and_then(|results| results.recv().ok());
            let Some((number, result)) = received else { break Err(StreamError::ReaderPanicked) };
            self.early.insert(number, result);
        };
        let rows = result?;
        if let Some(slot) = self.arrived.get_mut(&group) {
            slot.0 = rows;
        }
        Ok(())
    }

    fn batch(&mut self, end: usize) -> Result<Batch, StreamError> {
        let count = end - self.at;
        let mut batch = Batch {
            index: self.index,
            labels: Vec::with_capacity(count),
            voxels: Vec::with_capacity(count * self.patch_len),
        };
        for position in self.at..end {
            let (group, row) = self.plan.rows[position];
            self.fetch(group)?;
            let Some((rows, left)) = self.arrived.get_mut(&group) else { return Err(StreamError::ReaderPanicked) };
            let voxels = rows.voxels.get(row * self.patch_len..(row + 1) * self.patch_len);
            // The reader has checked that a row group has as many rows as the manifest, from which the plan was made.
            let (Some(labels), Some(voxels)) = (rows.labels.get(row), voxels) else {
                return Err(StreamError::ReaderPanicked);
            };
            batch.labels.push(labels.clone());
            batch.voxels.extend_from_slice(voxels);
            *left -= 1;
            if *left == 0 {
                self.arrived.remove(&group);
                self.budget.give((self.plan.groups[group].rows * self.patch_len * 2) as u64);
            }
        }
        self.at = end;
        self.index += 1;
        Ok(batch)
    }
}

/// All row groups of a split that hold findings, in manifest order. Rows without finding bear no label to learn from, and are not even read.
pub fn row_groups(dataset: &Dataset, split: Split) -> Vec<RowGroupId> {
    dataset
        .shards(split)
        .flat_map(|shard| {
            let groups = dataset.manifest().shards[shard].row_groups.iter().enumerate();
            groups.filter(|(_, entry)| entry.kind == RowKind::Finding).map(move |(row_group, entry)| RowGroupId {
                shard,
                row_group,
                rows: entry.rows as usize,
            })
        })
        .collect()
}

impl Iterator for BatchStream {
    type Item = Result<Batch, StreamError>;

    fn next(&mut self) -> Option<Self::Item> {
        let end = (self.at + self.batch_size).min(self.plan.rows.len());
        if self.failed || end == self.at || (self.drop_last && end - self.at < self.batch_size) {
            return None;
        }
        let batch = self.batch(end);
        self.failed = batch.is_err();
        Some(batch)
    }
}

impl Drop for BatchStream {
    fn drop(&mut self) {
        // Closed in this order every thread finds an end: the feeder its budget, the readers their receiver.
        self.budget.close();
        self.results = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
