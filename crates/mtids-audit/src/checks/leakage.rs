//! Rows that know each other: patients in two splits, copies, contradictions, and an index that is not the published one.

use std::collections::{BTreeMap, BTreeSet};

use mtids_shards::Manifest;
use polars::prelude::{SortMultipleOptions, col, len, lit};

use crate::error::AuditError;
use crate::index::{Index, Rows};
use crate::issue::{AuditIssue, IssueCode, Severity};

/// A patient's rows must lie in one split.
pub(super) fn patients(index: &Index) -> Result<Option<AuditIssue>, AuditError> {
    let answer = index.query_of(Rows::All, |frame| {
        frame
            .group_by([col("patient_key")])
            .agg([col("split").n_unique().alias("splits")])
            .filter(col("splits").gt(lit(1)))
    })?;
    let count = answer.len() as u64;
    let keys = answer.texts("patient_key")?;
    Ok((count > 0).then(|| {
        AuditIssue::new(
            Severity::Error,
            IssueCode::PatientInTwoSplits,
            count,
            format!("{count} patients have patches in more than one split"),
            "results on held-out patients are too optimistic; build the dataset again with a split by patient",
        )
        .with_examples(keys.into_iter().flatten())
    }))
}

/// Keys must be unique; so should voxels be.
pub(super) fn duplicates(index: &Index) -> Result<Vec<AuditIssue>, AuditError> {
    let mut issues = Vec::new();
    let twice = |key: &'static str| {
        index.query_of(Rows::All, move |frame| {
            frame
                .group_by([col(key)])
                .agg([
                    len().alias("copies"),
                    col("split").n_unique().alias("splits"),
                    col("patient_key").n_unique().alias("patients"),
                    col("sample_key").min().alias("sample"),
                ])
                .filter(col("copies").gt(lit(1)))
        })
    };
    let answer = twice("sample_key")?;
    if answer.len() > 0 {
        issues.push(
            AuditIssue::new(
                Severity::Error,
                IssueCode::DuplicateSample,
                answer.len() as u64,
                format!("{} sample keys occur in more than one row", answer.len()),
                "sample keys must be unique; the dataset was not written by mtids-prep, or was changed",
            )
            .with_examples(answer.texts("sample_key")?.into_iter().flatten()),
        );
    }
    let answer = twice("voxels_digest")?;
    let (splits, patients) = (answer.counts("splits")?, answer.counts("patients")?);
    let samples = answer.texts("sample")?;
    let across = |n: &usize| splits[*n] > 1 || patients[*n] > 1;
    let (leaking, inside): (Vec<usize>, Vec<usize>) = (0..answer.len()).partition(across);
    for (severity, copies, place, advice) in [
        (
            Severity::Error,
            leaking,
            "of different patients or splits",
            "one person with two IDs, or a study exported twice: merge the patients and build again",
        ),
        (Severity::Warning, inside, "of one patient", "a node annotated twice counts twice; remove one annotation"),
    ] {
        if !copies.is_empty() {
            issues.push(
                AuditIssue::new(
                    severity,
                    IssueCode::DuplicateVoxels,
                    copies.len() as u64,
                    format!("{} patches {place} have identical voxels", copies.len()),
                    advice,
                )
                .with_examples(copies.iter().filter_map(|&n| samples[n].clone())),
            );
        }
    }
    Ok(issues)
}

/// Where, and as what, a row is labelled.
struct Place {
    sample: String,
    at: [f64; 3],
    region: Option<String>,
    status: Option<String>,
    /// One of several samples of a finding, so that its centre may be shifted.
    shifted: bool,
}

impl Place {
    /// Whether two rows show one place. A shifted centre may lie nearer to a neighbour than to its own finding, so samples of
    /// a finding count only where they coincide, as unshifted ones of one place do.
    fn is_same(&self, other: &Self, same_place_mm: f64) -> bool {
        let limit = if self.shifted || other.shifted { COINCIDENT_MM.min(same_place_mm) } else { same_place_mm };
        self.at.iter().zip(&other.at).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt() < limit
    }
}

/// Centres closer than this are one place, not the chance meeting of two shifts.
const COINCIDENT_MM: f64 = 0.01;

/// Patches of one place should not contradict each other. Centres are those of findings, see [`Place::is_same`].
pub(super) fn conflicts(index: &Index, same_place_mm: f64) -> Result<Option<AuditIssue>, AuditError> {
    let columns = [
        "series_key",
        "sample_key",
        "center_x_mm",
        "center_y_mm",
        "center_z_mm",
        "region_name",
        "metastasis",
        "weight",
    ];
    let answer = index.query(|frame| frame.select(columns.map(col)))?;
    let series = answer.texts("series_key")?;
    let sample = answer.texts("sample_key")?;
    let region = answer.texts("region_name")?;
    let status = answer.texts("metastasis")?;
    let weight = answer.numbers("weight")?;
    let axis = ["center_x_mm", "center_y_mm", "center_z_mm"].map(|name| answer.numbers(name));
    let [x, y, z] = axis;
    let (x, y, z) = (x?, y?, z?);
    let mut places: BTreeMap<String, Vec<Place>> = BTreeMap::new();
    for n in 0..answer.len() {
        places.entry(series[n].clone().unwrap_or_default()).or_default().push(Place {
            sample: sample[n].clone().unwrap_or_default(),
            at: [x[n], y[n], z[n]].map(|mm| mm.unwrap_or(f64::NAN)),
            region: region[n].clone(),
            status: status[n].clone(),
            // The samples of a finding share a weight of 1.
            shifted: weight[n].is_some_and(|weight| weight < 1.0),
        });
    }
    let differ = |a: &Option<String>, b: &Option<String>| a.is_some() && b.is_some() && a != b;
    let mut samples = BTreeSet::new();
    for places in places.values_mut() {
        // Sorted along the body, a place is compared only with those at most `same_place_mm` further up.
        places.sort_by(|a, b| a.at[2].total_cmp(&b.at[2]));
        for (n, a) in places.iter().enumerate() {
            for b in places[n + 1..].iter().take_while(|b| b.at[2] - a.at[2] < same_place_mm) {
                if a.is_same(b, same_place_mm) && (differ(&a.region, &b.region) || differ(&a.status, &b.status)) {
                    samples.extend([a.sample.clone(), b.sample.clone()]);
                }
            }
        }
    }
    Ok((!samples.is_empty()).then(|| {
        AuditIssue::new(
            Severity::Error,
            IssueCode::ConflictingLabels,
            samples.len() as u64,
            format!("{} patches less than {same_place_mm} mm apart carry different labels", samples.len()),
            "two sources or readers disagree about one node: correct the annotations",
        )
        .with_examples(samples)
    }))
}

/// The index must count what the manifest counts; that it is the published one was checked when it was opened.
pub(super) fn index_against_manifest(index: &Index, manifest: &Manifest) -> Result<Option<AuditIssue>, AuditError> {
    let mut different = BTreeSet::new();
    let answer = index.query_of(Rows::All, |frame| {
        frame.group_by([col("shard")]).agg([len().alias("rows")]).sort(["shard"], SortMultipleOptions::default())
    })?;
    let listed: BTreeMap<String, u64> =
        answer.texts("shard")?.into_iter().flatten().zip(answer.counts("rows")?).collect();
    let published: BTreeMap<String, u64> =
        manifest.shards.iter().map(|shard| (shard.path.clone(), shard.rows)).collect();
    for shard in listed.keys().chain(published.keys()) {
        if listed.get(shard) != published.get(shard) {
            let rows = |counts: &BTreeMap<String, u64>| counts.get(shard).copied().unwrap_or(0);
            different.insert(format!("{shard}: {} rows in the index, {} published", rows(&listed), rows(&published)));
        }
    }
    Ok((!different.is_empty()).then(|| {
        AuditIssue::new(
            Severity::Error,
            IssueCode::IndexDiffersFromManifest,
            different.len() as u64,
            "the index is not the one that the manifest lists",
            "run `mtids-prep verify`; restore the dataset or build it again",
        )
        .with_examples(different)
    }))
}
