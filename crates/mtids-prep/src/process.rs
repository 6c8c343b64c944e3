//! One partition becomes one shard: volumes are decoded one at a time, patches cut, rows sorted and written, a record left.
//!
//! Invariants: the record is written after its shard; memory holds one CT with its PET and the rows of one shard per worker; while they
//! decode and cut, all workers together hold no more voxels than the budget, those of rows over all views among them.

use std::collections::BTreeSet;

use mtids_dicom::volume::check_geometry;
use mtids_dicom::{DicomError, Limits, Series, load_pet, load_volume};
use mtids_domain::volume::Volume;
use mtids_shards::{PatchRow, QuarantineRecord, ShardEntry};

use crate::clock::Stage;
use crate::context::BuildContext;
use crate::error::PrepError;
use crate::partition::{Partition, PlannedSeries};
use crate::record::{PartitionRecord, SHARDS};
use crate::rows::{CutRows, Loaded, cut_rows};

/// Processes a partition. `tick` is called once per series.
///
/// # Errors
/// [`PrepError`] when the shard or the record cannot be written; [`PrepError::Interrupted`] after a signal.
pub(crate) fn process_partition(
    partition: &Partition,
    context: &BuildContext<'_>,
    tick: &(dyn Fn() + Sync),
) -> Result<PartitionRecord, PrepError> {
    let mut rows = Vec::new();
    let (mut used_files, mut quarantined) = (0, Vec::new());
    let (mut findings_at_border, mut findings_at_invented) = (0, 0);
    for planned in &partition.series {
        context.check_interrupt()?;
        let row_bytes = 2 * context.description.row_len() as u64;
        let bytes_of_rows = row_bytes * (rows.len() as u64 + most_rows(planned, context));
        let _held = context.memory.hold(decoded_bytes(planned, &context.limits()) + bytes_of_rows);
        // Read even where the CT turns out unusable: its files must be accounted for.
        let pet = read_pet(planned, context, &mut used_files, &mut quarantined);
        match context.clock.time(Stage::Decode, || load_volume(&planned.series, &context.limits())) {
            Ok(loaded) => {
                used_files += planned.series.files().len() as u64;
                for warning in &loaded.warnings {
                    tracing::warn!(series = &*planned.series.series_uid, "{warning}");
                }
                let volumes = Loaded { ct: &loaded, pet: pet.as_ref() };
                let cut = || cut_rows(partition.split, planned, volumes, context.cutting());
                let CutRows { rows: cut, at_border, at_invented } = context.clock.time(Stage::Resample, cut)?;
                rows.extend(cut);
                findings_at_border += at_border.len() as u64;
                findings_at_invented += at_invented.len() as u64;
            }
            Err(error) => quarantined.extend(quarantine(&planned.series, planned, &error, context)),
        }
        tick();
    }
    // A row group holds rows of one kind.
    rows.sort_by(|a, b| (a.labels.kind, &a.labels.sample_key).cmp(&(b.labels.kind, &b.labels.sample_key)));
    let shard = write_shard(partition, &rows, context)?;
    let rows = rows.into_iter().map(|row| row.labels).collect();
    let record = PartitionRecord {
        key: partition.key,
        shard,
        rows,
        used_files,
        findings_at_border,
        findings_at_invented,
        quarantined,
    };
    context.clock.time(Stage::Write, || record.save(context.dataset))?;
    Ok(record)
}

/// The PET that lies over a series, in SUV; where it cannot be read its files are quarantined, unless another series accounts for them.
fn read_pet(
    planned: &PlannedSeries,
    context: &BuildContext<'_>,
    used_files: &mut u64,
    quarantined: &mut Vec<QuarantineRecord>,
) -> Option<Volume<f32>> {
    let pet = planned.pet.as_ref()?;
    match context.clock.time(Stage::Decode, || load_pet(&pet.series, &context.limits())) {
        Ok(loaded) => {
            *used_files += if pet.counted { pet.series.files().len() as u64 } else { 0 };
            Some(loaded.volume)
        }
        Err(error) => {
            if pet.counted {
                quarantined.extend(quarantine(&pet.series, planned, &error, context));
            }
            None
        }
    }
}

/// The files of an unusable series, under pseudonyms; paths and raw identifiers go to the operator's log only.
fn quarantine(
    series: &Series,
    planned: &PlannedSeries,
    error: &DicomError,
    context: &BuildContext<'_>,
) -> Vec<QuarantineRecord> {
    tracing::warn!(series = &*series.series_uid, reason = error.reason().as_str(), "{error}");
    // Each file once, known by its first instance: a record depends on what files hold, not on where they lie.
    let mut seen = BTreeSet::new();
    let firsts = series.instances.iter().filter(|slice| seen.insert(&slice.path));
    firsts
        .map(|slice| QuarantineRecord {
            reason: error.reason().to_string(),
            file_key: context.secret.other("file", &slice.sop_instance_uid),
            series_key: Some(context.secret.series(&series.series_uid).as_str().to_owned()),
            patient_key: Some(planned.patient_key.as_str().to_owned()),
        })
        .collect()
}

fn write_shard(
    partition: &Partition,
    rows: &[PatchRow],
    context: &BuildContext<'_>,
) -> Result<Option<ShardEntry>, PrepError> {
    if rows.is_empty() {
        return Ok(None);
    }
    let stem = format!("{SHARDS}{}/part-{:04}", partition.split.name(), partition.bucket);
    let (entry, seconds) = context.writer().write(&stem, partition.split, rows)?;
    context.clock.add(Stage::Compress, seconds.encode);
    context.clock.add(Stage::Write, seconds.put);
    Ok(Some(entry))
}

/// Rows that a series may give.
fn most_rows(planned: &PlannedSeries, context: &BuildContext<'_>) -> u64 {
    let samples = u64::from(context.config.samples_per_finding);
    planned.findings.len() as u64 * samples + u64::from(context.config.negatives.per_series)
}

/// Bytes that a series and its PET take once decoded: HU as i16, SUV as f32.
fn decoded_bytes(planned: &PlannedSeries, limits: &Limits) -> u64 {
    let voxels = |series: &Series| -> u64 {
        let of_files = || series.instances.iter().map(|slice| u64::from(slice.rows) * u64::from(slice.columns)).sum();
        // A repaired grid may be larger than its files.
        check_geometry(series, limits).map_or_else(|_| of_files(), |grid| grid.voxels())
    };
    2 * voxels(&planned.series) + planned.pet.as_ref().map_or(0, |pet| 4 * voxels(&pet.series))
}
