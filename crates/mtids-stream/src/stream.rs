//! The stream itself: a bounded channel of tasks, reader threads, results put back into order, batches.
//!
//! ```text
//! plan ──tasks──▶ readers (verify, decode) ──results, any order──▶ reorder ──▶ rows in plan order ──▶ Batch
//!        bounded            one byte budget                         by number
//! ```

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam::channel::{Receiver, bounded, unbounded};
use mtids_runtime::budget::Budget;
use mtids_shards::{Dataset, RowGroup, RowKind, RowLabels, Split, View, read_row_group};

use crate::batches::{batches_per_epoch, rows_of_batch};
use crate::builder::BatchStreamBuilder;
use crate::error::StreamError;
use crate::plan::{Plan, RowGroupId, epoch_plan};

/// Rows of a training step.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Number in the epoch, from 0.
    pub index: u64,
    /// Labels of each row.
    pub labels: Vec<RowLabels>,
    /// Voxels of each view in the order of the dataset's description: `[B, C, D, H, W]`, w fastest.
    pub views: Vec<Vec<i16>>,
}

type Decoded = (usize, Result<RowGroup, StreamError>);

/// Batches of one epoch, in plan order.
#[derive(Debug)]
pub struct BatchStream {
    dataset: Arc<Dataset>,
    plan: Plan,
    /// Next row of the plan.
    at: usize,
    batch_size: usize,
    drop_last: bool,
    index: u64,
    /// Rows still to be taken from each group of the plan.
    left: Vec<usize>,
    /// Groups that were read, until their last row is taken.
    read: HashMap<usize, RowGroup>,
    /// What the readers could not read, by group.
    failed: HashMap<usize, StreamError>,
    results: Option<Receiver<Decoded>>,
    budget: Arc<Budget>,
    threads: Vec<JoinHandle<()>>,
    row_len: usize,
    ended: bool,
}

impl BatchStreamBuilder {
    /// Starts the reader threads.
    ///
    /// # Errors
    /// [`StreamError::Config`] for a setting out of range, [`StreamError::Spawn`] when no thread can be started.
    pub fn start(self) -> Result<BatchStream, StreamError> {
        self.validate()?;
        BatchStream::start(self)
    }
}

impl BatchStream {
    /// Sets up a stream of the labelled rows of `split`: by default in the order of the dataset, 32 rows in a batch, from the first batch on.
    pub fn builder(dataset: Arc<Dataset>, split: Split) -> BatchStreamBuilder {
        BatchStreamBuilder::new(dataset, split)
    }

    /// Starts the threads of a stream whose settings are checked.
    fn start(settings: BatchStreamBuilder) -> Result<Self, StreamError> {
        let BatchStreamBuilder { dataset, split, config, batch_size, seed, epoch, shuffle, start_batch } = settings;
        let groups = row_groups(&dataset, split);
        let row_len = dataset.manifest().description.row_len();
        let plan = epoch_plan(&groups, seed, epoch, shuffle, config.pool(&groups, row_len));
        let at = rows_of_batch(plan.rows.len(), batch_size, config.drop_last, start_batch).start;
        // Groups that lie wholly before the start are not read at all.
        let mut left = vec![0usize; plan.groups.len()];
        for &(group, _) in &plan.rows[at..] {
            left[group] += 1;
        }
        let tasks: Vec<(usize, RowGroupId)> =
            plan.groups.iter().copied().enumerate().filter(|&(group, _)| left[group] > 0).collect();
        let budget = Arc::new(Budget::new(config.budget()));
        let (task_sender, task_receiver) = bounded::<(usize, RowGroupId)>(config.readers);
        // Unbounded in count, bounded in bytes by the budget.
        let (result_sender, results) = unbounded::<Decoded>();
        // The stream exists before its threads: if one cannot be started, dropping it ends those that were.
        let mut stream = Self {
            dataset,
            at,
            batch_size,
            drop_last: config.drop_last,
            index: start_batch,
            left,
            read: HashMap::new(),
            failed: HashMap::new(),
            results: Some(results),
            budget: Arc::clone(&budget),
            threads: Vec::with_capacity(config.readers + 1),
            row_len,
            ended: false,
            plan,
        };
        let feeder = move || {
            for (number, group) in tasks {
                // The budget is taken in plan order, so the group that is needed next always gets its share first.
                if !budget.take(bytes_of(group, row_len)) || task_sender.send((number, group)).is_err() {
                    return;
                }
            }
        };
        stream.spawn("mtids-feeder", feeder)?;
        for _ in 0..config.readers {
            let (tasks, results, dataset) = (task_receiver.clone(), result_sender.clone(), Arc::clone(&stream.dataset));
            let reader = move || {
                for (number, group) in tasks {
                    if results.send((number, read_checked(&dataset, group))).is_err() {
                        return;
                    }
                }
            };
            stream.spawn("mtids-reader", reader)?;
        }
        Ok(stream)
    }

    fn spawn(&mut self, name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), StreamError> {
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(work).map_err(StreamError::Spawn)?;
        self.threads.push(thread);
        Ok(())
    }

    /// Number of batches of the whole epoch.
    pub fn batches(&self) -> u64 {
        batches_per_epoch(self.plan.rows.len() as u64, self.batch_size as u64, self.drop_last)
    }

    /// Waits until a row group has been read, and takes in those that come before it.
    fn wait_for(&mut self, group: usize) -> Result<&RowGroup, StreamError> {
        while !self.read.contains_key(&group) {
            if let Some(error) = self.failed.remove(&group) {
                return Err(error);
            }
            let received = self.results.as_ref().and_then(|results| results.recv().ok());
            match received {
                Some((number, Ok(rows))) => _ = self.read.insert(number, rows),
                Some((number, Err(error))) => _ = self.failed.insert(number, error),
                None => {
                    let RowGroupId { shard, row_group, .. } = self.plan.groups[group];
                    return Err(StreamError::ReadersEnded { shard: shard_path(&self.dataset, shard), row_group });
                }
            }
        }
        Ok(&self.read[&group])
    }

    fn batch(&mut self, end: usize) -> Result<Batch, StreamError> {
        let count = end - self.at;
        let row_lens: Vec<usize> = self.dataset.manifest().description.views.iter().map(View::voxels).collect();
        let mut batch = Batch {
            index: self.index,
            labels: Vec::with_capacity(count),
            views: row_lens.iter().map(|row_len| Vec::with_capacity(count * row_len)).collect(),
        };
        for position in self.at..end {
            let (group, row) = self.plan.rows[position];
            let rows = self.wait_for(group)?;
            // A reader has checked that the group has all rows of the plan.
            batch.labels.push(rows.labels[row].clone());
            batch.views.iter_mut().zip(&rows.views).for_each(|(all, view)| all.extend_from_slice(view.row(row)));
            self.left[group] -= 1;
            if self.left[group] == 0 {
                self.read.remove(&group);
                self.budget.give(bytes_of(self.plan.groups[group], self.row_len));
            }
        }
        self.at = end;
        self.index += 1;
        Ok(batch)
    }
}

/// Bytes of a decoded row group.
fn bytes_of(group: RowGroupId, row_len: usize) -> u64 {
    (group.rows * row_len * 2) as u64
}

fn shard_path(dataset: &Dataset, shard: usize) -> String {
    dataset.manifest().shards.get(shard).map_or_else(|| format!("shard {shard}"), |entry| entry.path.clone())
}

/// Reads a row group, with every row that the plan has of it.
fn read_checked(dataset: &Dataset, group: RowGroupId) -> Result<RowGroup, StreamError> {
    let read = catch_unwind(AssertUnwindSafe(|| read_row_group(dataset, group.shard, group.row_group)));
    let rows = read.map_err(|_| StreamError::ReaderPanicked)??;
    let complete = rows.views.iter().map(|view| view.voxels.len() / view.row_len.max(1));
    let found = complete.chain([rows.labels.len()]).min().unwrap_or(0);
    if found < group.rows {
        return Err(StreamError::MissingRows {
            shard: shard_path(dataset, group.shard),
            row_group: group.row_group,
            listed: group.rows,
            found,
        });
    }
    Ok(rows)
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
        let rows = rows_of_batch(self.plan.rows.len(), self.batch_size, self.drop_last, self.index);
        if self.ended || rows.is_empty() {
            return None;
        }
        let end = rows.end;
        let batch = self.batch(end);
        self.ended = batch.is_err();
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
