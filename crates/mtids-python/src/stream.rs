//! The stream as a Python iterator of batches.
//!
//! Invariants: batches are those of `mtids-stream` to the byte; waiting for one lets go of the interpreter lock; in a forked child the stream
//! starts its own threads and goes on where its parent stood.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};

use mtids_runtime::exit::describe;
use mtids_shards::{RowLabels, View, labels_batch};
use mtids_stream::{BatchStream, BatchStreamBuilder, Positions, StreamConfig, StreamError, StreamState};
use numpy::{IntoPyArray, PyArray1};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::array::lend;
use crate::dataset::{Dataset, split};
use crate::error::data;
use crate::fork::{Opened, Owned};
use crate::table::ArrowTable;

fn refused(error: &StreamError) -> PyErr {
    if error.is_usage() { PyValueError::new_err(describe(error)) } else { data(error) }
}

/// Where a stream stands, and its threads while it runs.
struct Running {
    /// The stream, unless none was started yet or a thread waits for its next batch.
    stream: Option<Owned<BatchStream>>,
    /// The process in which a thread waits.
    waiting: Option<u32>,
    /// The batch that comes next.
    next: u64,
    ended: bool,
}

/// Batches of one epoch. `mtids.Stream` makes it.
#[pyclass(frozen, subclass, module = "mtids")]
pub(crate) struct Stream {
    builder: BatchStreamBuilder,
    positions: Positions,
    views: Vec<View>,
    step: u64,
    opened: Opened,
    running: Mutex<Running>,
}

impl Stream {
    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The stream of this process at its place, to wait for without the lock: a child that is forked meanwhile must not find it held.
    fn take(&self) -> PyResult<Option<Owned<BatchStream>>> {
        self.opened.check()?;
        let mut running = self.running();
        if running.waiting == Some(std::process::id()) {
            return Err(PyRuntimeError::new_err("another thread waits for the next batch of this stream"));
        }
        if running.ended {
            return Ok(None);
        }
        running.waiting = Some(std::process::id());
        let (mut stream, next) = (running.stream.take(), running.next);
        drop(running);
        if stream.as_mut().and_then(Owned::get_mut).is_some() {
            return Ok(stream);
        }
        // Whatever keeps it from starting, the next call may try again.
        let start = || self.builder.clone().start_batch(next).start();
        match catch_unwind(AssertUnwindSafe(start)) {
            Ok(Ok(started)) => Ok(Some(Owned::new(started))),
            failed => {
                self.running().waiting = None;
                match failed {
                    Ok(result) => result.map(|_| None).map_err(|error| refused(&error)),
                    Err(panic) => resume_unwind(panic),
                }
            }
        }
    }

    /// Takes the stream back with what it gave. At its end its threads are joined, which may take as long as a server takes to answer: not with a lock.
    fn give(&self, stream: Owned<BatchStream>, item: Option<&Result<mtids_stream::Batch, StreamError>>) {
        let mut running = self.running();
        running.waiting = None;
        match item {
            Some(Ok(_)) => {
                running.next += self.step;
                running.stream = Some(stream);
            }
            Some(Err(_)) | None => {
                running.ended = true;
                drop(running);
                drop(stream);
            }
        }
    }
}

impl Drop for Stream {
    /// Without the interpreter lock, for the threads are joined. An interpreter that ends has no lock to let go of.
    fn drop(&mut self) {
        let running = self.running.get_mut().unwrap_or_else(PoisonError::into_inner);
        let mut stream = running.stream.take();
        Python::try_attach(|py| py.detach(|| drop(stream.take())));
    }
}

#[pymethods]
impl Stream {
    /// `settings` is the JSON of the configuration of a stream, `state` that of a saved position, which `position` must not contradict.
    #[new]
    #[pyo3(signature = (dataset, split_name, batch_size, seed, epoch, shuffle, position, every, rank, ranks, settings, state = None))]
    // One parameter per setting; `mtids.Stream` has the keywords and their defaults.
    #[allow(clippy::too_many_arguments)]
    fn new(
        py: Python<'_>,
        dataset: &Dataset,
        split_name: &str,
        batch_size: usize,
        seed: u64,
        epoch: u64,
        shuffle: bool,
        position: u64,
        every: u64,
        rank: usize,
        ranks: usize,
        settings: &str,
        state: Option<&str>,
    ) -> PyResult<Self> {
        dataset.opened.check()?;
        let wrong = |error: serde_json::Error| PyValueError::new_err(error.to_string());
        let config: StreamConfig = serde_json::from_str(settings).map_err(wrong)?;
        let saved: Option<StreamState> = state.map(serde_json::from_str).transpose().map_err(wrong)?;
        let split = split(split_name)?;
        let open = || -> Result<(BatchStreamBuilder, Positions), StreamError> {
            let table = dataset.table(split, &config.sampling)?;
            let mut builder =
                BatchStream::over(table).config(&config).batch_size(batch_size).rank(rank, ranks).every(every);
            builder = builder.epoch(seed, epoch);
            if shuffle {
                builder = builder.shuffle(seed, epoch);
            }
            let positions = match &saved {
                Some(saved) => builder.clone().resume(saved).positions()?,
                None => builder.clone().start_row(position).positions()?,
            };
            Ok((builder, positions))
        };
        let (builder, positions) = py.detach(open).map_err(|error| refused(&error))?;
        let running = Running { stream: None, waiting: None, next: positions.first(), ended: false };
        let views = dataset.shards.manifest().description.views.clone();
        Ok(Self {
            builder,
            positions,
            views,
            step: every,
            opened: dataset.opened.clone(),
            running: Mutex::new(running),
        })
    }

    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Batch>> {
        let Some(mut stream) = py.detach(|| self.take())? else { return Ok(None) };
        let item = py.detach(|| stream.get_mut().and_then(Iterator::next));
        py.detach(|| self.give(stream, item.as_ref()));
        match item {
            Some(Ok(batch)) => Batch::new(py, batch, &self.views).map(Some),
            Some(Err(error)) => Err(refused(&error)),
            None => Ok(None),
        }
    }

    /// Batches of the whole epoch.
    #[getter]
    fn batches(&self) -> u64 {
        self.positions.count()
    }

    /// Number of the batch that comes next.
    #[getter]
    fn next_batch(&self) -> u64 {
        self.running().next.min(self.positions.count())
    }

    /// What to save so as to go on at this batch, or at the next one: JSON.
    #[pyo3(signature = (batch = None))]
    fn state_json(&self, batch: Option<u64>) -> PyResult<String> {
        let batch = batch.unwrap_or_else(|| self.next_batch()).min(self.positions.count());
        serde_json::to_string(&self.positions.at(batch)).map_err(|error| data(&error))
    }
}

/// Rows of one step.
#[pyclass(frozen, module = "mtids")]
pub(crate) struct Batch {
    /// Number in the epoch, from 0.
    #[pyo3(get)]
    index: u64,
    /// Rows left out because they are damaged.
    #[pyo3(get)]
    skipped: usize,
    /// Voxels `[B, C, D, H, W]` of each view by its name.
    #[pyo3(get)]
    views: Py<PyDict>,
    labels: Vec<RowLabels>,
}

impl Batch {
    fn new(py: Python<'_>, batch: mtids_stream::Batch, views: &[View]) -> PyResult<Self> {
        let arrays = PyDict::new(py);
        let rows = batch.labels.len();
        for (view, voxels) in views.iter().zip(batch.views) {
            let [channels, depth, height, width] = view.shape();
            arrays.set_item(view.name.as_str(), lend(py, voxels, &[rows, channels, depth, height, width])?)?;
        }
        Ok(Self { index: batch.index, skipped: batch.skipped, views: arrays.unbind(), labels: batch.labels })
    }
}

#[pymethods]
impl Batch {
    fn __len__(&self) -> usize {
        self.labels.len()
    }

    fn __repr__(&self) -> String {
        format!("<mtids.Batch {}: {} rows>", self.index, self.labels.len())
    }

    /// Code of the region of each row `[B]`; -1 where it is unknown.
    #[getter]
    fn region<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<i64>> {
        let codes = self.labels.iter().map(|row| row.region.map_or(-1, i64::from));
        codes.collect::<Vec<_>>().into_pyarray(py)
    }

    /// 1 for metastatic, 0 for benign `[B]`; -1 where the status is unknown.
    #[getter]
    fn metastasis<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<i64>> {
        let codes = self.labels.iter().map(|row| row.metastasis.map_or(-1, |status| i64::from(status.code())));
        codes.collect::<Vec<_>>().into_pyarray(py)
    }

    /// Every column of the index of each row, but where it lies.
    #[getter]
    fn labels(&self) -> PyResult<ArrowTable> {
        let batch = labels_batch(&self.labels).map_err(|error| data(&error))?;
        Ok(ArrowTable::new(batch.schema(), vec![batch]))
    }
}
