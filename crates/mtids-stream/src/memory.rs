//! What a stream needs at once, and whether its budget holds it.
//!
//! Invariant: a budget that is accepted never leaves a thread waiting for bytes that only its own progress would give back. Row groups are taken in
//! the order in which they are needed, and batches have a part of their own. Unit: bytes.

use mtids_shards::{RowLabels, View};

use crate::config::StreamConfig;
use crate::error::StreamError;
use crate::table::{RowGroupId, SampleTable};

/// Batches that wait in the channel.
pub(crate) const WAITING: usize = 1;
/// Batches at a time: one is being collated, some wait, the consumer has one.
pub(crate) const BATCHES: usize = WAITING + 2;
/// Most bytes that are decoded and not yet copied on: pages and columns of a part of a row group; an estimate.
const DECODING_BYTES: u64 = 4 << 20;
/// Labels of a row with their text; an estimate.
const LABEL_BYTES: u64 = size_of::<RowLabels>() as u64 + 512;

/// What a budget has for row groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    /// Bytes; those of row groups that stay are taken off.
    pub(crate) bytes: u64,
    /// Whether decoded row groups stay in memory, since all have room.
    pub(crate) keeps: bool,
}

/// Sizes of what is in flight.
#[derive(Clone, Debug)]
pub(crate) struct Sizes {
    /// Voxels of a row, per view.
    pub(crate) row_lens: Vec<usize>,
    row_bytes: u64,
}

impl Sizes {
    /// The sizes of a table's rows.
    pub(crate) fn of(table: &SampleTable) -> Self {
        let views = table.description().map_or(&[][..], |description| &description.views);
        let row_lens: Vec<usize> = views.iter().map(View::voxels).collect();
        let row_bytes = 2 * row_lens.iter().sum::<usize>() as u64 + LABEL_BYTES;
        Self { row_lens, row_bytes }
    }

    /// Bytes of rows.
    pub(crate) fn rows(&self, rows: u64) -> u64 {
        rows.saturating_mul(self.row_bytes)
    }

    /// Bytes of a decoded row group, which it needs until its last row was drawn.
    pub(crate) fn decoded(&self, group: RowGroupId) -> u64 {
        self.rows(group.rows as u64)
    }

    /// Bytes that it needs besides while it is decoded: those on disk, and what is being decoded.
    pub(crate) fn transient(&self, group: RowGroupId) -> u64 {
        self.decoded(group).min(DECODING_BYTES).saturating_add(group.stored_bytes)
    }

    /// What is left of the budget for row groups; of what is needed, where that is more and the budget may be raised to it. Those of a table that
    /// `may_keep` them stay in memory where there is room for all.
    ///
    /// # Errors
    /// [`StreamError::Budget`] where it does not hold the row groups of a window and the batches.
    pub(crate) fn for_groups(
        &self,
        table: &SampleTable,
        config: &StreamConfig,
        pool: usize,
        batch_rows: usize,
        may_raise: bool,
        may_keep: bool,
    ) -> Result<Room, StreamError> {
        // Under sampling a group may be in the window as often as it comes in an epoch.
        let visits = |(number, &group): (usize, &RowGroupId)| {
            std::iter::repeat_n(self.decoded(group), pool.min(table.most_visits(number) as usize))
        };
        let mut largest: Vec<u64> = table.row_groups().iter().enumerate().flat_map(visits).collect();
        let pool = pool.clamp(1, largest.len().max(1));
        if largest.len() > pool {
            // The largest `pool` come first.
            largest.select_nth_unstable_by(pool - 1, |a, b| b.cmp(a));
        }
        let window = largest.iter().take(pool).fold(0u64, |sum, bytes| sum.saturating_add(*bytes));
        let transient = table.row_groups().iter().map(|&group| self.transient(group)).max().unwrap_or(0);
        let reserved = self.rows(batch_rows as u64).saturating_mul(BATCHES as u64);
        let needed = reserved.saturating_add(window).saturating_add(transient);
        if needed > config.budget() && !may_raise {
            return Err(StreamError::Budget {
                budget_mib: config.byte_budget_mib,
                needed_mib: needed.div_ceil(1 << 20),
                row_groups: pool,
                batch_rows,
            });
        }
        let bytes = config.budget().max(needed) - reserved;
        let groups = table.row_groups().iter().enumerate();
        let of_all = groups.filter(|(number, _)| table.most_visits(*number) > 0).map(|(_, &group)| self.decoded(group));
        let all = of_all.fold(0u64, u64::saturating_add);
        let keeps = may_keep && bytes.checked_sub(all).is_some_and(|left| left >= transient);
        Ok(Room { bytes: if keeps { bytes - all } else { bytes }, keeps })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::{Shape, dataset, labels};
    use mtids_domain::pseudonym::{PatientKey, SeriesKey, StudyKey};
    use mtids_shards::{Split, read_row_group};
    use std::sync::Arc;

    #[test]
    fn a_decoded_row_group_has_no_more_bytes_than_are_reckoned() {
        let key = |n: usize| format!("{n:064x}");
        let row = move |n| RowLabels {
            sample_key: key(n),
            patient_key: PatientKey::from_stored(key(n)),
            study_key: StudyKey::from_stored(key(n)),
            series_key: SeriesKey::from_stored(key(n)),
            voxels_digest: key(n),
            manufacturer: Some("A manufacturer of scanners".into()),
            model: Some("A model of a scanner".into()),
            ..labels(n)
        };
        let shape = Shape { shards: 1, rows_per_shard: 9, rows_per_group: 4, near: [2, 3, 5] };
        let dataset = dataset(shape, row);
        let table = SampleTable::every_row(Arc::clone(&dataset), Split::Train).unwrap();
        let sizes = Sizes::of(&table);
        for &group in table.row_groups() {
            let rows = read_row_group(&dataset, group.shard, group.row_group).unwrap();
            let voxels: usize = rows.views.iter().map(|view| size_of_val(view.voxels.as_slice())).sum();
            let text = |row: &RowLabels| {
                let keys = [row.patient_key.as_str(), row.study_key.as_str(), row.series_key.as_str()];
                let own = [row.sample_key.as_str(), row.label_source.as_str(), row.voxels_digest.as_str()];
                let some = [&row.region_name, &row.manufacturer, &row.model, &row.kernel];
                let some = some.into_iter().flatten().map(String::as_str);
                keys.into_iter().chain(own).chain(some).map(str::len).sum::<usize>()
            };
            let labels = size_of_val(rows.labels.as_slice()) + rows.labels.iter().map(text).sum::<usize>();
            let reckoned = sizes.decoded(group);
            assert!((voxels + labels) as u64 <= reckoned, "{voxels} + {labels} of {reckoned}");
            // And not so many that the budget says nothing.
            assert!(reckoned <= 2 * (voxels + labels) as u64, "{voxels} + {labels} of {reckoned}");
            let stored = dataset.manifest().shards[group.shard].row_groups[group.row_group].length;
            assert!(sizes.transient(group) >= stored && stored == group.stored_bytes && stored > 0);
        }
    }
}
