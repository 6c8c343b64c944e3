//! What an epoch is drawn from: row groups of one or several datasets, and how often each of their rows comes.
//!
//! Purpose: everything that takes time in proportion to rows is done here, once per training; streams of all epochs share the table.
//! Invariants: rows are findings of one split per dataset; each counts from its place in the manifest; the digest stands for datasets, splits,
//! mixture and sampling. Memory: 48 bytes per row group, and with sampling 8 bytes per row; while it is built 8 more, beside the index. Streams whose
//! budget holds all row groups, decoded, keep them here.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use mtids_domain::label::Metastasis;
use mtids_runtime::digest::Digest;
use mtids_shards::{Dataset, DatasetDescription, RowKind, RowLabels, Split};

use crate::error::StreamError;
use crate::kept::Kept;
use crate::sampling::{Balance, Filter, SamplingConfig};
use crate::shares::{Shares, UNKNOWN, Weighted, plain, weighted};

/// Draws from a row group at a time, as a multiple of its rows or of those of a mean group.
const DRAWS_PER_ROW: u64 = 2;
/// Version of the order: what makes rows come in another order with the same settings changes it.
const ORDER_VERSION: u32 = 1;

/// A row group of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowGroupId {
    /// Dataset, by its number in the table.
    pub dataset: usize,
    /// Shard, by its number in the manifest.
    pub shard: usize,
    /// Row group in the shard.
    pub row_group: usize,
    /// Rows in it.
    pub rows: usize,
    /// Bytes on disk.
    pub stored_bytes: u64,
}

/// A split of a dataset, and its part in a mixture.
#[derive(Clone, Debug)]
pub struct Source {
    /// The dataset.
    pub dataset: Arc<Dataset>,
    /// Its split.
    pub split: Split,
    /// Its part of an epoch, in proportion to those of the others; rows are balanced and weighted within it. `None` for all sources: they are one
    /// set of rows, and balanced and weighted together.
    pub weight: Option<f64>,
}

/// Row groups, and how often their rows come.
#[derive(Debug)]
pub struct SampleTable {
    sources: Vec<Source>,
    groups: Vec<RowGroupId>,
    /// Number of the first row of each group, and behind the last the number of rows.
    first_rows: Vec<u64>,
    shares: Shares,
    epoch_rows: u64,
    digest: Digest,
    kept: Kept,
}

impl SampleTable {
    /// Every row with a finding of a split, once per epoch. Only the manifest is read, unless patients are dealt to folds.
    ///
    /// # Errors
    /// As [`SampleTable::open`].
    pub fn every_row(dataset: Arc<Dataset>, split: Split) -> Result<Self, StreamError> {
        Self::open(vec![Source { dataset, split, weight: None }], &SamplingConfig::default())
    }

    /// Rows of one or several datasets under sampling. Where the settings ask for them, some columns of each index are read.
    ///
    /// # Errors
    /// [`StreamError::Config`], [`StreamError::Unlike`] or [`StreamError::NoRows`] for sources and settings that do not go together;
    /// [`StreamError::Index`], [`StreamError::Weight`] or [`StreamError::Shard`] for an index that cannot be used.
    pub fn open(sources: Vec<Source>, sampling: &SamplingConfig) -> Result<Self, StreamError> {
        check_sources(&sources)?;
        let (groups, first_rows) = row_groups(&sources);
        let digest = digest_of(&sources, sampling);
        let all = first_rows.last().copied().unwrap_or(0);
        let is_mixed = sources.iter().any(|source| source.weight.is_some());
        // Where patients are dealt to folds, a row group holds rows of several splits.
        let is_dealt = sources.iter().any(|source| source.dataset.deal_digest().is_some());
        let (shares, epoch_rows) = if sampling.is_every_row() && !is_mixed && !is_dealt {
            (Shares::Once, all)
        } else {
            let ranges = ranges_of(&sources, &groups);
            // Patients are known by their pseudonyms: one of two datasets is one class.
            let mut patients = HashMap::new();
            let parts = sources
                .iter()
                .zip(&ranges)
                .map(|(source, range)| weigh(source, sampling, &groups[range.clone()], &mut patients))
                .collect::<Result<Vec<_>, _>>()?;
            shares_of(&sources, parts, sampling)?
        };
        Ok(Self { sources, groups, first_rows, shares, epoch_rows, digest, kept: Kept::default() })
    }

    /// Rows in an epoch.
    pub fn epoch_rows(&self) -> u64 {
        self.epoch_rows
    }

    /// Digest of datasets, splits, mixture and sampling.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Row groups in the order of datasets and manifests.
    pub fn row_groups(&self) -> &[RowGroupId] {
        &self.groups
    }

    /// The dataset of a row group.
    pub fn dataset_of(&self, group: RowGroupId) -> &Dataset {
        &self.sources[group.dataset].dataset
    }

    /// Its row groups that are in memory.
    pub(crate) fn kept(&self) -> &Kept {
        &self.kept
    }

    /// What the rows of all datasets look like; `None` for a table without dataset.
    pub(crate) fn description(&self) -> Option<&DatasetDescription> {
        self.sources.first().map(|source| &source.dataset.manifest().description)
    }

    /// The path of a row group's shard, for messages.
    pub(crate) fn shard_path(&self, group: RowGroupId) -> String {
        let shards = &self.dataset_of(group).manifest().shards;
        shards.get(group.shard).map_or_else(|| format!("shard {}", group.shard), |entry| entry.path.clone())
    }

    /// Draws from each row group in an epoch whose ruler lies at `offset`: the numbers of the first draw and of the one behind the last.
    pub(crate) fn draws(&self, group: usize, offset: u32) -> Range<u64> {
        let rows = self.rows_of(group);
        self.shares.draws_before(rows.start, offset)..self.shares.draws_before(rows.end, offset)
    }

    /// The row, within its group, of a draw that falls on the group; and which of the draws of that row it is, from 0.
    pub(crate) fn row_of(&self, group: usize, draw: u64, offset: u32) -> (usize, u32) {
        let rows = self.rows_of(group);
        let first = rows.start;
        let row = self.shares.row_of(draw, rows, offset);
        // An epoch has at most 2³² draws.
        let copy = draw.saturating_sub(self.shares.draws_before(row, offset)) as u32;
        (row.saturating_sub(first) as usize, copy)
    }

    /// How often a row group comes in an epoch that draws so many times from it: once for every two draws per row, where a small group counts as
    /// a mean one. So an epoch of as many rows as there are reads fewer than half as many groups again as there are.
    pub(crate) fn visits(&self, group: usize, draws: u64) -> u32 {
        let all = self.first_rows.last().copied().unwrap_or(0);
        let mean = all.div_ceil((self.groups.len() as u64).max(1));
        let rows = self.rows_of(group);
        let at_a_time = mean.max(rows.end - rows.start).saturating_mul(DRAWS_PER_ROW).max(1);
        // At most 2³² draws.
        draws.div_ceil(at_a_time) as u32
    }

    /// How often a row group comes at most, whatever the epoch.
    pub(crate) fn most_visits(&self, group: usize) -> u32 {
        self.visits(group, self.shares.most_draws(self.rows_of(group)))
    }

    fn rows_of(&self, group: usize) -> Range<u64> {
        self.first_rows[group]..self.first_rows[group + 1]
    }
}

fn check_sources(sources: &[Source]) -> Result<(), StreamError> {
    let place = |source: &Source| source.dataset.storage().place("").display().to_string();
    let Some((first, others)) = sources.split_first() else {
        return Err(StreamError::config("sources", "at least one dataset"));
    };
    let described = |source: &Source| source.dataset.manifest().description.clone();
    let expected = described(first);
    for other in others {
        let found = described(other);
        let differs = [(found.views != expected.views, "views"), (found.regions != expected.regions, "regions")];
        if let Some((_, what)) = differs.into_iter().find(|(differs, _)| *differs) {
            return Err(StreamError::Unlike { first: place(first), other: place(other), what });
        }
    }
    let weights: Vec<f64> = sources.iter().filter_map(|source| source.weight).collect();
    if !weights.is_empty() && weights.len() < sources.len() {
        return Err(StreamError::config("sources", "a weight for every dataset, or for none"));
    }
    if weights.iter().any(|weight| !(weight.is_finite() && *weight > 0.0)) {
        return Err(StreamError::config("sources", "weights above 0"));
    }
    Ok(())
}

fn digest_of(sources: &[Source], sampling: &SamplingConfig) -> Digest {
    let mut parts = vec![ORDER_VERSION.to_string().into_bytes()];
    for Source { dataset, split, weight } in sources {
        let weight = weight.map_or_else(Vec::new, |weight| weight.to_le_bytes().to_vec());
        parts.extend([dataset.manifest().digest().as_bytes().to_vec(), split.name().as_bytes().to_vec(), weight]);
        parts.extend(dataset.deal_digest().map(|digest| digest.as_bytes().to_vec()));
    }
    // Settings always have a JSON form: they have been read from text, or are numbers and names.
    parts.extend(Digest::of_json(sampling).ok().map(|digest| digest.as_bytes().to_vec()));
    Digest::of_parts(parts)
}

/// Row groups that hold findings, and the number of the first row of each. Rows without finding bear no label to learn from, and are not
/// even read.
fn row_groups(sources: &[Source]) -> (Vec<RowGroupId>, Vec<u64>) {
    let mut groups = Vec::new();
    let mut first_rows = vec![0];
    let mut rows = 0;
    for (number, source) in sources.iter().enumerate() {
        let shards = &source.dataset.manifest().shards;
        for shard in source.dataset.shards(source.split) {
            for (row_group, entry) in shards[shard].row_groups.iter().enumerate() {
                if entry.kind == RowKind::Finding && entry.rows > 0 {
                    let of_group = entry.rows as usize;
                    let stored_bytes = entry.length;
                    groups.push(RowGroupId { dataset: number, shard, row_group, rows: of_group, stored_bytes });
                    rows += entry.rows;
                    first_rows.push(rows);
                }
            }
        }
    }
    (groups, first_rows)
}

/// The groups of each source.
fn ranges_of(sources: &[Source], groups: &[RowGroupId]) -> Vec<Range<usize>> {
    let start = |source: usize| groups.partition_point(|group| group.dataset < source);
    (0..sources.len()).map(|source| start(source)..start(source + 1)).collect()
}

/// Weight and class of every row of a source, in the order of its groups; one at least takes part.
fn weigh(
    source: &Source,
    sampling: &SamplingConfig,
    groups: &[RowGroupId],
    patients: &mut HashMap<String, u32>,
) -> Result<Weighted, StreamError> {
    let dataset = source.dataset.storage().place("").display().to_string();
    let wrong = |detail: String| StreamError::Index { dataset: dataset.clone(), detail };
    let mut first = HashMap::with_capacity(groups.len());
    let mut rows = 0;
    for group in groups {
        first.insert((group.shard, group.row_group), (rows, group.rows));
        rows += group.rows;
    }
    let nothing = |reason| StreamError::NoRows { dataset: dataset.clone(), split: source.split.name(), reason };
    if rows == 0 {
        return Err(nothing("it has no row with a finding; leave the dataset out"));
    }
    let columns = sampling.columns();
    let is_dealt = source.dataset.deal_digest().is_some();
    if columns.is_empty() && !is_dealt {
        return Ok(Weighted { weights: vec![1.0; rows], classes: Vec::new() });
    }
    // A row that was not seen has a weight that no row can have.
    let mut found = Weighted { weights: vec![f32::NAN; rows], classes: Vec::new() };
    if sampling.balance != Balance::Rows {
        found.classes = vec![UNKNOWN; rows];
    }
    let (mut fault, mut passed) = (None, 0u64);
    source.dataset.scan_index(&columns, |place, labels| {
        let Some(&(start, count)) = first.get(&(place.shard, place.row_group)) else { return };
        let row = if place.row < count { start + place.row } else { rows };
        let Some(weight) = found.weights.get_mut(row).filter(|weight| weight.is_nan()) else {
            fault.get_or_insert_with(|| wrong(format!("shard {}, row group {}", place.shard, place.row_group)));
            return;
        };
        let own = if sampling.weights { labels.weight } else { 1.0 };
        if !(own.is_finite() && own >= 0.0) {
            fault.get_or_insert_with(|| StreamError::Weight { dataset: dataset.clone(), weight: own });
        }
        let passes = (!is_dealt || labels.split == source.split) && sampling.filter.keeps(labels);
        passed += u64::from(passes);
        *weight = if passes { own.max(0.0) } else { 0.0 };
        if let Some(class) = found.classes.get_mut(row) {
            *class = class_of(labels, sampling.balance, patients);
        }
    })?;
    let missing = found.weights.iter().filter(|weight| weight.is_nan()).count();
    match fault {
        Some(fault) => Err(fault),
        None if missing > 0 => Err(wrong(format!("{missing} rows are missing"))),
        None if passed == 0 && sampling.filter == Filter::default() => {
            Err(nothing("this fold has none; ask for fewer"))
        }
        None if passed == 0 => Err(nothing("none passes `stream.sampling.filter`; ask for less there")),
        None if found.kept() == 0 => {
            Err(nothing("all that pass the filter have weight 0; set stream.sampling.weights=false"))
        }
        None => Ok(found),
    }
}

/// The class along which rows are balanced.
fn class_of(labels: &RowLabels, balance: Balance, patients: &mut HashMap<String, u32>) -> u32 {
    // Codes are small and not negative.
    let region = labels.region.and_then(|region| u32::try_from(region).ok());
    let status = labels.metastasis.and_then(|status| u32::try_from(Metastasis::code(status)).ok());
    let class = match balance {
        Balance::Rows => None,
        Balance::Region => region,
        Balance::Metastasis => status,
        Balance::Joint => region.zip(status).map(|(region, status)| 2 * region + status),
        Balance::Patient => {
            let next = patients.len() as u32;
            let key = labels.patient_key.as_str();
            // Looked up first, so that a name is copied once.
            Some(match patients.get(key) {
                Some(&known) => known,
                None => *patients.entry(key.to_owned()).or_insert(next),
            })
        }
    };
    class.unwrap_or(UNKNOWN)
}

fn shares_of(
    sources: &[Source],
    parts: Vec<Weighted>,
    sampling: &SamplingConfig,
) -> Result<(Shares, u64), StreamError> {
    let all: u64 = parts.iter().map(Weighted::kept).sum();
    let weights: Option<Vec<f64>> = sources.iter().map(|source| source.weight).collect();
    let length = sampling.epoch_rows.unwrap_or(all);
    if length == 0 {
        return Err(StreamError::config("sampling.epoch_rows", "at least 1"));
    }
    if sampling.is_plain() && weights.is_none() {
        return Ok((plain(&parts), all));
    }
    let Some(weights) = weights else {
        // Without parts of their own, datasets are balanced and weighted as one.
        return Ok((weighted(&[Weighted::joined(parts)], &[1.0], length)?, length));
    };
    let sum: f64 = weights.iter().sum();
    let mix: Vec<f64> = weights.iter().map(|part| part / sum).collect();
    Ok((weighted(&parts, &mix, length)?, length))
}
