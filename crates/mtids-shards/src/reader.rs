//! Reading back, verified: the digest of a row group's bytes is checked before anything is decoded.
//!
//! Invariant: a damaged byte ends in [`ShardError::Damaged`] with shard and row group, never in other voxels.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use mtids_runtime::digest::Digest;
use mtids_runtime::storage::{Folder, Storage};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::file::metadata::ParquetMetaData;

use crate::columns::IndexColumns;
use crate::deal::{CrossValidation, Deal};
use crate::description::{Manifest, ShardEntry};
use crate::error::{DamageKind, ShardError};
use crate::file::read_verified;
use crate::footer::{Footer, Footers, Verified, kind_of};
use crate::index::{INDEX, Place, decode_batches, decode_index, scan_index};
use crate::pieces::Pieces;
use crate::row::{RowLabels, Split};
use crate::schema::{columns, labels_of};
use crate::version::RowsVersion;
use crate::voxels::read_voxels;

/// A published dataset, as its manifest was when it was opened: a rebuild meanwhile changes nothing that is read here.
///
/// Clones share the manifest and what is known of the shards.
#[derive(Clone, Debug)]
pub struct Dataset {
    storage: Arc<dyn Storage>,
    manifest: Arc<Manifest>,
    footers: Arc<Footers>,
    /// Splits in the place of those of the build.
    deal: Option<Arc<Deal>>,
}

impl Dataset {
    /// Opens the dataset in a folder by its manifest.
    ///
    /// # Errors
    /// As [`Manifest::load`].
    pub fn open(path: &Path) -> Result<Self, ShardError> {
        Self::open_in(Arc::new(Folder::new(path)))
    }

    /// Opens the dataset of a storage by its manifest.
    ///
    /// # Errors
    /// As [`Manifest::load`].
    pub fn open_in(storage: Arc<dyn Storage>) -> Result<Self, ShardError> {
        let manifest = Arc::new(Manifest::load(storage.as_ref())?);
        Ok(Self { storage, manifest, footers: Arc::default(), deal: None })
    }

    /// The same dataset, read through what `wrap` makes of its storage: a cache, for one.
    #[must_use]
    pub fn through(self, wrap: impl FnOnce(Arc<dyn Storage>, &Manifest) -> Arc<dyn Storage>) -> Self {
        Self { storage: wrap(self.storage, &self.manifest), ..self }
    }

    /// The same dataset with its patients dealt to the splits of one fold, balanced over the labels of its rows. From then on the split of a row
    /// is that of the fold, but in [`index_batches`](Dataset::index_batches) and [`index_columns`](Dataset::index_columns), which are the
    /// index as it was built.
    ///
    /// A row group holds rows of several splits then, so whoever reads one split decodes more than it needs.
    ///
    /// # Errors
    /// As [`Dataset::index`].
    pub fn in_fold(self, fold: CrossValidation) -> Result<Self, ShardError> {
        let deal = Deal::of(&self.index()?, fold);
        Ok(Self { deal: Some(Arc::new(deal)), ..self })
    }

    /// Digest of who is in which split, where patients are dealt otherwise than they were built.
    pub fn deal_digest(&self) -> Option<Digest> {
        self.deal.as_deref().map(Deal::digest)
    }

    fn redeal(&self, rows: &mut [RowLabels]) {
        if let Some(deal) = self.deal.as_deref() {
            rows.iter_mut().for_each(|row| row.split = deal.split_of(row));
        }
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Where it lies.
    pub fn storage(&self) -> &dyn Storage {
        self.storage.as_ref()
    }

    /// The verified bytes of a file by its plain name, such as `index.parquet` or `README.md`.
    ///
    /// # Errors
    /// [`ShardError::DamagedFile`] when they are not those that were published; [`ShardError::Manifest`] for a name that the manifest
    /// does not hold.
    pub fn file(&self, name: &str) -> Result<Vec<u8>, ShardError> {
        read_verified(self.storage(), self.manifest.file(name).ok_or_else(|| self.unlisted(name))?)
    }

    fn unlisted(&self, name: &str) -> ShardError {
        let detail = format!("its manifest lists no {name}; build the dataset again");
        ShardError::Manifest { path: self.storage.place(""), detail }
    }

    /// Labels of all rows in the order of the shards, from the verified index.
    ///
    /// # Errors
    /// As [`Dataset::file`], or [`ShardError::Rows`] for an index with other columns.
    pub fn index(&self) -> Result<Vec<RowLabels>, ShardError> {
        let mut rows = decode_index(self.file(INDEX)?, &self.index_place(), self.manifest.rows_version())?;
        self.redeal(&mut rows);
        Ok(rows)
    }

    /// All columns of the verified index as Arrow record batches: the labels, and the shard, row group and row of each sample.
    ///
    /// # Errors
    /// As [`Dataset::file`], or [`ShardError::Parquet`] for a file that is none.
    pub fn index_batches(&self) -> Result<Vec<RecordBatch>, ShardError> {
        decode_batches(self.file(INDEX)?, &self.index_place())
    }

    /// Calls `visit` with the place and the labels of every row of the verified index, in its order. Only the `columns` are decoded; whatever
    /// else a row has is as of a finding without labels. So an index of any size needs the memory of a thousand rows beside its bytes. Where patients
    /// are [dealt anew](Dataset::in_fold) the split of the fold is there too, asked for or not.
    ///
    /// # Errors
    /// As [`Dataset::index`]; [`ShardError::Rows`] also for a column that does not exist, and a shard that the manifest does not list.
    pub fn scan_index(&self, columns: &[&str], mut visit: impl FnMut(Place, &RowLabels)) -> Result<(), ShardError> {
        let shards = self.manifest.shards.iter().enumerate().map(|(n, shard)| (shard.path.as_str(), n)).collect();
        let (bytes, path) = (self.file(INDEX)?, self.index_place());
        let Some(deal) = self.deal.as_deref() else { return scan_index(bytes, &path, columns, &shards, visit) };
        let mut columns = columns.to_vec();
        columns.extend(["patient_key", "split"].into_iter().filter(|name| !columns.contains(name)).collect::<Vec<_>>());
        scan_index(bytes, &path, &columns, &shards, |place, labels| {
            visit(place, &RowLabels { split: deal.split_of(labels), ..labels.clone() });
        })
    }

    /// The verified index by columns, which are decoded when they are asked for.
    ///
    /// # Errors
    /// As [`Dataset::file`], or [`ShardError::Parquet`] for a file that is none.
    pub fn index_columns(&self) -> Result<IndexColumns, ShardError> {
        let entry = self.manifest.file(INDEX).ok_or_else(|| self.unlisted(INDEX))?;
        IndexColumns::open(Pieces::open(Arc::clone(&self.storage), entry)?, self.index_place())
    }

    fn index_place(&self) -> PathBuf {
        self.storage.place(self.manifest.file(INDEX).map_or(INDEX, |entry| &entry.path))
    }

    /// Numbers of the shards that may hold rows of a split, in manifest order: its own, or all of them where patients are
    /// [dealt anew](Dataset::in_fold) and any is in it.
    pub fn shards(&self, split: Split) -> impl Iterator<Item = usize> + '_ {
        let dealt = self.deal.as_deref().map(|deal| deal.has(split));
        let may_hold = move |shard: &ShardEntry| dealt.unwrap_or(shard.split == split);
        self.manifest.shards.iter().enumerate().filter(move |(_, shard)| may_hold(shard)).map(|(n, _)| n)
    }
}

/// A decoded row group.
#[derive(Clone, Debug, PartialEq)]
pub struct RowGroup {
    /// Labels of each row.
    pub labels: Vec<RowLabels>,
    /// Voxels of each view, in the order of the description.
    pub views: Vec<ViewVoxels>,
}

/// Voxels of one view of a row group.
#[derive(Clone, Debug, PartialEq)]
pub struct ViewVoxels {
    /// `[rows, C, D, H, W]`, w fastest.
    pub voxels: Vec<i16>,
    /// Voxels of one row.
    pub row_len: usize,
}

impl ViewVoxels {
    /// Voxels of one row, `[C, D, H, W]`; empty for a row that does not exist.
    pub fn row(&self, row: usize) -> &[i16] {
        self.voxels.get(row * self.row_len..(row + 1) * self.row_len).unwrap_or_default()
    }
}

/// Reads and verifies one row group. The footer of its shard is read with the first one.
///
/// # Errors
/// [`ShardError::Damaged`] when the bytes are not those of the manifest; [`ShardError::Io`] when the file cannot be read.
pub fn read_row_group(dataset: &Dataset, shard: usize, row_group: usize) -> Result<RowGroup, ShardError> {
    read_row_group_into(dataset, shard, row_group, Vec::new())
}

/// As [`read_row_group`], with the voxels of view *n* in `buffers[n]`, where there is one: whoever reads many row groups allocates once.
/// What the buffers hold is overwritten.
///
/// # Errors
/// As [`read_row_group`]; the buffers are lost then.
pub fn read_row_group_into(
    dataset: &Dataset,
    shard: usize,
    row_group: usize,
    buffers: Vec<Vec<i16>>,
) -> Result<RowGroup, ShardError> {
    let Some(entry) = dataset.manifest.shards.get(shard) else {
        let detail = format!("shard {shard} of {}", dataset.manifest.shards.len());
        return Err(ShardError::Manifest { path: dataset.storage.place(""), detail });
    };
    let damaged = |kind, detail: String| ShardError::Damaged { shard: entry.path.clone(), row_group, kind, detail };
    let storage = dataset.storage();
    let footer = dataset.footers.get(shard, || {
        check_size(storage, entry)?.map_err(|detail| damaged(DamageKind::Size, detail))?;
        Footer::read(storage, entry).map_err(|(kind, detail)| damaged(kind, detail))
    })?;
    let Some(group) = entry.row_groups.get(row_group) else {
        return Err(damaged(DamageKind::Rows, format!("the shard has {} row groups", entry.row_groups.len())));
    };
    let bytes = storage
        .get_range(&entry.path, group.offset, group.length)
        .map_err(|error| damaged(kind_of(&error), error.to_string()))?;
    if Digest::of_bytes(&bytes) != group.digest {
        return Err(damaged(DamageKind::Digest, "the digest of its bytes differs from the manifest".into()));
    }
    // Exactly the bytes that were verified are decoded, whatever happens to the file meanwhile.
    let verified = Verified { length: entry.bytes, offset: group.offset, bytes: bytes.into() };
    let rows = footer.rows(row_group).unwrap_or(0);
    if rows != group.rows {
        return Err(damaged(DamageKind::Rows, format!("it has {rows} rows, the manifest says {}", group.rows)));
    }
    let undecoded = |detail: String| damaged(DamageKind::Decode, detail);
    let metadata = Arc::new(footer.alone(row_group).map_err(|error| undecoded(error.to_string()))?);
    let Manifest { layout, description, .. } = dataset.manifest();
    let mut labels = labels_in(verified.clone(), &metadata, dataset.manifest.rows_version()).map_err(undecoded)?;
    dataset.redeal(&mut labels);
    let verified = Arc::new(verified);
    let mut buffers = buffers.into_iter();
    let mut views: Vec<ViewVoxels> = Vec::with_capacity(description.views.len());
    for view in &description.views {
        let mut voxels = buffers.next().unwrap_or_default();
        voxels.clear();
        let row_len = view.voxels();
        read_voxels(&verified, metadata.row_group(0), view, *layout, &mut voxels).map_err(undecoded)?;
        views.push(ViewVoxels { voxels, row_len });
    }
    if let Some(view) = views.iter().find(|view| view.voxels.len() != labels.len() * view.row_len) {
        return Err(damaged(
            DamageKind::Rows,
            format!("{} rows and {} voxels of a view", labels.len(), view.voxels.len()),
        ));
    }
    if labels.len() as u64 != group.rows {
        return Err(damaged(DamageKind::Rows, format!("{} rows where the manifest says {}", labels.len(), group.rows)));
    }
    Ok(RowGroup { labels, views })
}

/// Labels of the rows of a row group, the only one that `metadata` knows.
fn labels_in(
    verified: Verified,
    metadata: &Arc<ParquetMetaData>,
    version: RowsVersion,
) -> Result<Vec<RowLabels>, String> {
    let metadata = ArrowReaderMetadata::try_new(Arc::clone(metadata), ArrowReaderOptions::new());
    let metadata = metadata.map_err(|error| error.to_string())?;
    let mask = ProjectionMask::columns(metadata.parquet_schema(), columns().iter().map(|column| column.name()));
    let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(verified, metadata)
        .with_projection(mask)
        .build()
        .map_err(|error| error.to_string())?;
    let mut labels = Vec::new();
    for batch in reader {
        labels.extend(labels_of(&batch.map_err(|error| error.to_string())?, version)?);
    }
    Ok(labels)
}

/// Whether the shard has the size of the manifest, if it can be asked.
pub(crate) fn check_size(storage: &dyn Storage, entry: &ShardEntry) -> Result<Result<(), String>, ShardError> {
    let bytes = storage.size(&entry.path).map_err(ShardError::io(&storage.place(&entry.path)))?;
    Ok(if bytes == entry.bytes {
        Ok(())
    } else {
        Err(format!("{bytes} bytes where the manifest says {}", entry.bytes))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::description::{DatasetDescription, RowGroupEntry, Totals};
    use crate::row::RowKind;
    use crate::schema::{blank, shard_schema};
    use crate::version::{LAYOUT_VERSION, SCHEMA_VERSION};
    use crate::voxels::voxel_array;
    use arrow::array::ArrayRef;
    use mtids_domain::taxonomy::{RegionScheme, Zone};
    use mtids_patch::{Channel, PatchGeometry, View, ViewName};
    use mtids_runtime::provenance::Program;
    use mtids_runtime::storage::Memory;
    use parquet::arrow::ArrowWriter;

    #[test]
    fn a_row_that_cannot_be_decoded_is_named_by_its_place_in_the_row_group() {
        let geometry = PatchGeometry { size: [64, 64, 64], ..PatchGeometry::default() };
        let view = View { name: ViewName::try_from("near".to_owned()).unwrap(), geometry, channels: vec![Channel::Ct] };
        let length = view.voxels();
        let description = DatasetDescription {
            schema_version: SCHEMA_VERSION.into(),
            taxonomy_version: String::new(),
            regions: RegionScheme::of_zones(&[Zone::Upper]).unwrap(),
            views: vec![view],
            config_digest: Digest::of_bytes(b""),
            program: Program::new("test", "1"),
        };
        // A shard that no writer of this crate writes: a voxel is missing in row 3.
        let voxels: Vec<Vec<i16>> = (0..5).map(|row| vec![0; length - usize::from(row == 3)]).collect();
        let labels = vec![blank(); 5];
        let mut arrays: Vec<ArrayRef> = columns().iter().map(|column| column.array(labels.iter())).collect();
        arrays.push(voxel_array(voxels.iter().map(Vec::as_slice)).unwrap());
        let schema = shard_schema(&description);
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, Arc::clone(&schema), None).unwrap();
        writer.write(&RecordBatch::try_new(schema, arrays).unwrap()).unwrap();
        let metadata = writer.close().unwrap();
        let ranges = || metadata.row_group(0).columns().iter().map(|column| column.byte_range());
        let start = ranges().map(|(start, _)| start).min().unwrap();
        let end = ranges().map(|(start, length)| start + length).max().unwrap();
        let group = RowGroupEntry {
            kind: RowKind::Finding,
            rows: 5,
            offset: start,
            length: end - start,
            digest: Digest::of_bytes(&bytes[start as usize..end as usize]),
        };
        let shard = ShardEntry {
            path: "shards/train/a.parquet".into(),
            split: Split::Train,
            rows: 5,
            bytes: bytes.len() as u64,
            digest: Digest::of_bytes(&bytes),
            footer_digest: Digest::of_bytes(&bytes[end as usize..]),
            row_groups: vec![group],
        };
        let storage = Memory::default();
        storage.put(&shard.path, &bytes).unwrap();
        let manifest = Manifest {
            layout: LAYOUT_VERSION,
            description,
            pseudonym_fingerprint: String::new(),
            totals: Totals::default(),
            shards: vec![shard],
            files: Vec::new(),
        };
        let dataset =
            Dataset { storage: Arc::new(storage), manifest: Arc::new(manifest), footers: Arc::default(), deal: None };
        let error = read_row_group(&dataset, 0, 0).unwrap_err();
        assert!(matches!(error, ShardError::Damaged { kind: DamageKind::Decode, .. }), "{error:?}");
        assert!(error.to_string().contains("in row 3 where"), "{error}");
    }
}
