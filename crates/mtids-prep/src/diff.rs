//! What differs between two datasets: patients, rows, labels, voxels, settings.
//!
//! Rows are matched by their sample key, which two datasets share only if they were built with the same secret. Invariant: two datasets
//! differ in nothing exactly if their digests are equal.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use mtids_runtime::digest::Digest;
use mtids_shards::{Manifest, RowLabels, View, ViewName};
use serde::Serialize;

use crate::error::PrepError;

/// Differences of a second dataset to a first.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Difference {
    /// Digests of both.
    pub digests: [String; 2],
    /// Both were built with one secret; otherwise no row of one can be found in the other.
    pub same_secret: bool,
    /// Parts of the description that differ.
    pub description: Vec<String>,
    /// Patients in both, only in the first, only in the second.
    pub patients: [u64; 3],
    /// Rows in both, only in the first, only in the second.
    pub rows: [u64; 3],
    /// Patients of both whose split differs.
    pub moved_patients: u64,
    /// Rows of both whose voxels differ.
    pub changed_voxels: u64,
    /// Rows of both whose value of a column differs, by column.
    pub changed_columns: BTreeMap<&'static str, u64>,
    /// Changes of the status: from, to, rows.
    pub status_changes: Vec<(String, String, u64)>,
    /// Changes of the region: from, to, rows.
    pub region_changes: Vec<(String, String, u64)>,
    /// Shards in both with the same bytes, only in the first, only in the second.
    pub shards: [u64; 3],
    /// Files by what became of them (used, skipped: reason, quarantined: reason): counts in the first and in the second, where they differ.
    pub inputs: BTreeMap<String, [u64; 2]>,
}

impl Difference {
    /// Both are the same dataset.
    pub fn is_none(&self) -> bool {
        self.digests[0] == self.digests[1]
    }
}

/// Compares two datasets by manifest and index; voxels by their digests.
///
/// # Errors
/// [`PrepError::Shards`] naming the file.
pub fn diff(first: &Path, second: &Path) -> Result<Difference, PrepError> {
    let [a, b] = [load(first)?, load(second)?];
    let mut found = Difference {
        digests: [a.0.digest().short(), b.0.digest().short()],
        same_secret: a.0.pseudonym_fingerprint == b.0.pseudonym_fingerprint,
        description: described(&a.0, &b.0),
        inputs: inputs(&a.0, &b.0),
        shards: overlap(&shards(&a.0), &shards(&b.0)),
        ..Difference::default()
    };
    let splits = |rows: &BTreeMap<String, RowLabels>| -> BTreeMap<String, &'static str> {
        rows.values().map(|row| (row.patient_key.as_str().to_owned(), row.split.name())).collect()
    };
    let [patients_a, patients_b] = [splits(&a.1), splits(&b.1)];
    let keys = |map: &BTreeMap<String, &'static str>| map.keys().cloned().collect::<BTreeSet<_>>();
    found.patients = overlap(&keys(&patients_a), &keys(&patients_b));
    found.moved_patients =
        patients_a.iter().filter(|(key, split)| patients_b.get(*key).is_some_and(|other| other != *split)).count()
            as u64;
    let samples = |rows: &BTreeMap<String, RowLabels>| rows.keys().cloned().collect::<BTreeSet<_>>();
    found.rows = overlap(&samples(&a.1), &samples(&b.1));

    let mut status: BTreeMap<(String, String), u64> = BTreeMap::new();
    let mut region: BTreeMap<(String, String), u64> = BTreeMap::new();
    for (key, one) in &a.1 {
        let Some(other) = b.1.get(key) else { continue };
        found.changed_voxels += u64::from(one.voxels_digest != other.voxels_digest);
        for column in changed(one, other) {
            *found.changed_columns.entry(column).or_default() += 1;
        }
        let name = |row: &RowLabels| row.metastasis.map_or("unknown", |state| state.name()).to_owned();
        count_change(&mut status, name(one), name(other));
        let place = |row: &RowLabels| row.region_name.clone().unwrap_or_else(|| "unknown".into());
        count_change(&mut region, place(one), place(other));
    }
    let list = |changes: BTreeMap<(String, String), u64>| changes.into_iter().map(|((a, b), n)| (a, b, n)).collect();
    (found.status_changes, found.region_changes) = (list(status), list(region));
    Ok(found)
}

type Loaded = (Manifest, BTreeMap<String, RowLabels>);

fn load(dataset: &Path) -> Result<Loaded, PrepError> {
    let dataset = mtids_store::open_dataset(dataset)?;
    let rows = dataset.index()?.into_iter().map(|row| (row.sample_key.clone(), row)).collect();
    Ok((dataset.manifest().clone(), rows))
}

/// How many are in both, only in the first, only in the second.
fn overlap<T: Ord>(a: &BTreeSet<T>, b: &BTreeSet<T>) -> [u64; 3] {
    [a.intersection(b).count(), a.difference(b).count(), b.difference(a).count()].map(|n| n as u64)
}

fn shards(manifest: &Manifest) -> BTreeSet<Digest> {
    manifest.shards.iter().map(|shard| shard.digest).collect()
}

fn count_change(changes: &mut BTreeMap<(String, String), u64>, from: String, to: String) {
    if from != to {
        *changes.entry((from, to)).or_default() += 1;
    }
}

fn described(a: &Manifest, b: &Manifest) -> Vec<String> {
    let (a, b) = (&a.description, &b.description);
    let parts = [
        ("schema_version", a.schema_version != b.schema_version),
        ("taxonomy_version", a.taxonomy_version != b.taxonomy_version),
        ("regions", a.regions != b.regions),
        ("configuration", a.config_digest != b.config_digest),
        ("program", a.program != b.program),
    ];
    let parts = parts.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name.to_owned());
    parts.chain(described_views(&a.views, &b.views)).collect()
}

/// Views that are not in both, and what differs in those that are.
fn described_views(a: &[View], b: &[View]) -> Vec<String> {
    let names: BTreeSet<&ViewName> = a.iter().chain(b).map(|view| &view.name).collect();
    let of = |views: &'_ [View], name: &ViewName| views.iter().find(|view| view.name == *name).cloned();
    let mut found = Vec::new();
    for name in names {
        let (a, b) = match (of(a, name), of(b, name)) {
            (Some(a), Some(b)) => (a, b),
            (Some(_), None) => {
                found.push(format!("view {name}: only in the first"));
                continue;
            }
            _ => {
                found.push(format!("view {name}: only in the second"));
                continue;
            }
        };
        let parts = [
            ("size", a.geometry.size != b.geometry.size),
            ("spacing", a.geometry.spacing_mm != b.geometry.spacing_mm),
            ("planes", a.geometry.planes != b.geometry.planes),
            ("interpolation", a.geometry.interpolation != b.geometry.interpolation),
            ("channels", a.channels != b.channels),
        ];
        let differing: Vec<&str> = parts.iter().filter(|(_, differs)| *differs).map(|(name, _)| *name).collect();
        if !differing.is_empty() {
            found.push(format!("view {name}: {}", differing.join(" and ")));
        }
    }
    found
}

fn inputs(a: &Manifest, b: &Manifest) -> BTreeMap<String, [u64; 2]> {
    let mut counts: BTreeMap<String, [u64; 2]> = BTreeMap::new();
    for (n, totals) in [&a.totals, &b.totals].into_iter().enumerate() {
        counts.entry("used".into()).or_default()[n] = totals.used;
        counts.entry("findings without image".into()).or_default()[n] = totals.unmatched_findings;
        counts.entry("findings at the border".into()).or_default()[n] = totals.findings_at_border;
        counts.entry("findings at invented voxels".into()).or_default()[n] = totals.findings_at_invented;
        for (kind, reasons) in [("skipped", &totals.skipped_by_reason), ("quarantined", &totals.quarantined_by_reason)]
        {
            for (reason, count) in reasons {
                counts.entry(format!("{kind}: {reason}")).or_default()[n] = *count;
            }
        }
    }
    counts.retain(|_, [a, b]| a != b);
    counts
}

/// Columns in which two rows of one sample differ; voxels are counted apart.
fn changed(a: &RowLabels, b: &RowLabels) -> Vec<&'static str> {
    let columns = [
        (
            "patient, study or series",
            (&a.patient_key, &a.study_key, &a.series_key) != (&b.patient_key, &b.study_key, &b.series_key),
        ),
        (
            "frame of reference or instance",
            (&a.frame_of_reference_key, &a.instance_key) != (&b.frame_of_reference_key, &b.instance_key),
        ),
        ("split", a.split != b.split),
        ("study_day", a.study_day != b.study_day),
        ("kind", (a.kind, a.finding_distance_mm) != (b.kind, b.finding_distance_mm)),
        ("center", a.center_mm != b.center_mm || a.center_voxel != b.center_voxel),
        ("region", (a.region, &a.region_name) != (b.region, &b.region_name)),
        ("station", a.station != b.station),
        ("metastasis", a.metastasis != b.metastasis),
        ("evidence", a.evidence != b.evidence),
        ("level", a.level != b.level),
        ("label_source", a.label_source != b.label_source),
        ("short_axis_mm", a.short_axis_mm != b.short_axis_mm),
        (
            "acquisition",
            (&a.manufacturer, &a.model, &a.kernel, a.slice_thickness_mm, a.kvp, a.contrast)
                != (&b.manufacturer, &b.model, &b.kernel, b.slice_thickness_mm, b.kvp, b.contrast),
        ),
        ("grid", (a.slice_step_mm, a.pixel_spacing_mm) != (b.slice_step_mm, b.pixel_spacing_mm)),
        ("repaired", a.repaired != b.repaired),
        ("pet", a.pet != b.pet),
        ("pad_fraction", a.pad_fraction != b.pad_fraction),
        ("measures of the grown region", a.grown != b.grown),
        ("measures of the mask", a.mask != b.mask),
        ("weight", a.weight != b.weight),
    ];
    columns.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::BuildConfig;

    #[test]
    fn views_are_compared_by_name_and_part() {
        let views = |text: &str| mtids_runtime::config::parse::<BuildConfig>(text).unwrap().views().unwrap();
        let usual = views("");
        assert_eq!(described_views(&usual, &usual), [] as [&str; 0]);
        let near = views("[views.near]\nsize = [8, 32, 32]\nchannels = [\"ct\", \"center\"]");
        let expected = ["view near: size and channels", "view wide: only in the first"];
        assert_eq!(described_views(&usual, &near), expected);
        assert_eq!(described_views(&near, &usual)[1], "view wide: only in the second");
    }
}
