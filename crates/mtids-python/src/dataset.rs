//! A dataset as Python sees it: its description, the index, and the voxels of single rows.
//!
//! Invariant: every byte that is returned was checked against the manifest.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};

use mtids_domain::geometry::PointMm;
use mtids_shards::{Dataset as Shards, Place, Planes, RowGroup, ShardError, Split, read_row_group};
use mtids_store::{is_remote, open_dataset};
use mtids_stream::{SampleTable, SamplingConfig, Source, StreamError};
use numpy::{IntoPyArray, PyArray2, PyArray4, PyArrayMethods};
use pyo3::exceptions::{PyIndexError, PyKeyError, PyValueError};
use pyo3::prelude::*;

use crate::error::{data, exception};
use crate::fork::Opened;
use crate::table::ArrowTable;

/// A split by its name.
pub(crate) fn split(name: &str) -> PyResult<Split> {
    Split::from_name(name).ok_or_else(|| {
        PyValueError::new_err(format!("there is no split `{name}`: use `train`, `validation` or `test`"))
    })
}

/// Where rows lie, and their centres.
struct Rows {
    places: Vec<Place>,
    /// LPS mm.
    centers: Vec<[f64; 3]>,
}

/// A published dataset, in a folder or on a server. `mtids.open` makes it.
#[pyclass(frozen, module = "mtids")]
pub(crate) struct Dataset {
    path: PathBuf,
    pub(crate) shards: Arc<Shards>,
    pub(crate) opened: Opened,
    rows: OnceLock<Rows>,
    /// The row group that was read last: neighbours are asked for one after the other.
    last: Mutex<Option<(usize, usize, Arc<RowGroup>)>>,
    /// The table that was streamed last, which may hold rows in memory.
    table: Mutex<Option<LastTable>>,
}

/// A table, what it was made of, and by which process.
struct LastTable {
    process: u32,
    split: Split,
    sampling: SamplingConfig,
    table: Arc<SampleTable>,
}

impl Dataset {
    fn rows(&self) -> Result<&Rows, ShardError> {
        if let Some(rows) = self.rows.get() {
            return Ok(rows);
        }
        let mut rows = Rows { places: Vec::new(), centers: Vec::new() };
        self.shards.scan_index(&["center_x_mm", "center_y_mm", "center_z_mm"], |place, labels| {
            rows.places.push(place);
            rows.centers.push(labels.center_mm);
        })?;
        Ok(self.rows.get_or_init(|| rows))
    }

    /// The table of a split under sampling: that of the stream before, where it is the same.
    ///
    /// # Errors
    /// As [`SampleTable::open`].
    pub(crate) fn table(&self, split: Split, sampling: &SamplingConfig) -> Result<Arc<SampleTable>, StreamError> {
        let process = std::process::id();
        // Not waited for, as below.
        if let Ok(last) = self.table.try_lock()
            && let Some(last) = &*last
            && (last.process, last.split, &last.sampling) == (process, split, sampling)
        {
            return Ok(Arc::clone(&last.table));
        }
        let source = Source { dataset: Arc::clone(&self.shards), split, weight: None };
        let table = Arc::new(SampleTable::open(vec![source], sampling)?);
        if let Ok(mut last) = self.table.try_lock() {
            *last = Some(LastTable { process, split, sampling: sampling.clone(), table: Arc::clone(&table) });
        }
        Ok(table)
    }

    fn row_group(&self, place: Place) -> Result<Arc<RowGroup>, ShardError> {
        // Never waited for: in a forked child a thread of its parent may hold it for ever.
        if let Ok(last) = self.last.try_lock()
            && let Some((shard, row_group, group)) = &*last
            && (*shard, *row_group) == (place.shard, place.row_group)
        {
            return Ok(Arc::clone(group));
        }
        let group = Arc::new(read_row_group(&self.shards, place.shard, place.row_group)?);
        if let Ok(mut last) = self.last.try_lock() {
            *last = Some((place.shard, place.row_group, Arc::clone(&group)));
        }
        Ok(group)
    }
}

#[pymethods]
impl Dataset {
    #[new]
    fn new(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        let shards = py.detach(|| open_dataset(&path)).map_err(|error| exception(&error))?;
        let shards = Arc::new(shards);
        let opened = Opened::here(Arc::clone(&shards), is_remote(&path));
        Ok(Self { path, opened, shards, rows: OnceLock::new(), last: Mutex::default(), table: Mutex::default() })
    }

    fn __repr__(&self) -> String {
        let views: Vec<&str> = self.shards.manifest().description.views.iter().map(|view| view.name.as_str()).collect();
        format!("<mtids.Dataset {}: {} rows, views {}>", self.path.display(), self.__len__(), views.join(", "))
    }

    fn __len__(&self) -> usize {
        self.shards.manifest().shards.iter().map(|shard| shard.rows as usize).sum()
    }

    /// Folder or URL of the dataset.
    #[getter]
    fn path(&self) -> &OsStr {
        // As text: a path would make one slash of the two of a URL.
        self.path.as_os_str()
    }

    /// Digest of the manifest: two datasets with the same digest are the same bytes.
    #[getter]
    fn digest(&self) -> String {
        self.shards.manifest().digest().to_string()
    }

    /// Names of the regions, by their code.
    #[getter]
    fn regions(&self) -> Vec<String> {
        self.shards.manifest().description.regions.regions().iter().map(|region| region.name.clone()).collect()
    }

    /// The views, in the order of the voxel columns.
    #[getter]
    fn views(&self) -> Vec<View> {
        self.shards.manifest().description.views.iter().cloned().map(View).collect()
    }

    /// Every column but the voxels, and where each row lies, as an Arrow table.
    fn index(&self, py: Python<'_>) -> PyResult<ArrowTable> {
        self.opened.check()?;
        let batches = py.detach(|| self.shards.index_batches()).map_err(|error| data(&error))?;
        let schema =
            batches.first().map(|batch| batch.schema()).unwrap_or_else(|| Arc::new(arrow::datatypes::Schema::empty()));
        Ok(ArrowTable::new(schema, batches))
    }

    /// Voxels of one view of a row of the index, with spacing and affine.
    fn patch(&self, py: Python<'_>, row: usize, view: &str) -> PyResult<Patch> {
        self.opened.check()?;
        let description = &self.shards.manifest().description;
        let Some((number, known)) = description.view(view) else {
            let names: Vec<&str> = description.views.iter().map(|view| view.name.as_str()).collect();
            return Err(PyKeyError::new_err(format!("there is no view `{view}`: {}", names.join(", "))));
        };
        let read = || {
            let rows = self.rows()?;
            let Some((&place, &center)) = rows.places.get(row).zip(rows.centers.get(row)) else { return Ok(None) };
            let group = self.row_group(place)?;
            Ok(Some((group.views[number].row(place.row).to_vec(), center)))
        };
        match py.detach(read).map_err(|error: ShardError| data(&error))? {
            Some((voxels, center)) => Patch::new(py, View(known.clone()), voxels, center),
            None => Err(PyIndexError::new_err(format!("row {row} of {}", self.__len__()))),
        }
    }
}

/// How a view of a row is cut.
#[pyclass(frozen, module = "mtids")]
#[derive(Clone)]
pub(crate) struct View(mtids_shards::View);

#[pymethods]
impl View {
    fn __repr__(&self) -> String {
        format!("<mtids.View {}: shape {:?}, {:?} mm>", self.name(), self.0.shape(), self.spacing_mm())
    }

    /// Its name.
    #[getter]
    fn name(&self) -> &str {
        self.0.name.as_str()
    }

    /// Shape `(C, D, H, W)` of a row.
    #[getter]
    fn shape(&self) -> (usize, usize, usize, usize) {
        self.0.shape().into()
    }

    /// Spacing (d, h, w) in mm.
    #[getter]
    fn spacing_mm(&self) -> (f64, f64, f64) {
        self.0.geometry.spacing_mm.into()
    }

    /// Names of the channels.
    #[getter]
    fn channels(&self) -> Vec<String> {
        self.0.channels.iter().map(|channel| channel.name().to_owned()).collect()
    }

    /// `volume`, `stack` or `orthogonal`.
    #[getter]
    fn planes(&self) -> &'static str {
        self.0.geometry.planes.name()
    }
}

/// Voxels of one view of one row.
#[pyclass(frozen, module = "mtids")]
pub(crate) struct Patch {
    /// `[C, D, H, W]`.
    #[pyo3(get)]
    voxels: Py<PyArray4<i16>>,
    /// Its view.
    #[pyo3(get)]
    view: View,
    /// Centre of the node in LPS mm.
    #[pyo3(get)]
    center_mm: (f64, f64, f64),
    /// 4 × 4: `(x, y, z, 1)` in LPS mm of an index `(d, h, w, 1)`; `None` for orthogonal planes, which have no common one.
    #[pyo3(get)]
    affine: Option<Py<PyArray2<f64>>>,
}

impl Patch {
    fn new(py: Python<'_>, view: View, voxels: Vec<i16>, center: [f64; 3]) -> PyResult<Self> {
        let shape = view.0.shape();
        let voxels = voxels.into_pyarray(py).reshape(shape)?.unbind();
        let affine = (view.0.geometry.planes != Planes::Orthogonal).then(|| affine(&view.0, center));
        let affine = affine.map(|affine| affine.into_pyarray(py).reshape([4, 4])).transpose()?.map(Bound::unbind);
        Ok(Self { voxels, view, center_mm: center.into(), affine })
    }
}

/// Row-major 4 × 4: index (d, h, w, 1) to LPS mm.
fn affine(view: &mtids_shards::View, center: [f64; 3]) -> Vec<f64> {
    let at = |index: [usize; 3]| {
        let PointMm([x, y, z]) = view.geometry.position(PointMm(center), index);
        [x, y, z]
    };
    let origin = at([0, 0, 0]);
    let steps = [[1, 0, 0], [0, 1, 0], [0, 0, 1]].map(at);
    let mut rows: Vec<f64> = (0..3)
        .flat_map(|axis| {
            let [d, h, w] = steps.map(|step| step[axis] - origin[axis]);
            [d, h, w, origin[axis]]
        })
        .collect();
    rows.extend([0.0, 0.0, 0.0, 1.0]);
    rows
}
