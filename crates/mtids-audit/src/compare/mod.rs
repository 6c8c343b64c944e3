//! A second dataset beside a first: rows, labels along both dimensions, voxels and drift.
//!
//! Purpose: whoever rebuilds a dataset sees what changed before anyone trains on it. Invariants: the same two datasets and settings give the
//! same bytes; a dataset whose keys are unique has no issue beside itself; no voxel is read, digests stand for them.

mod columns;
pub mod comparison;
pub mod config;
mod drift;
mod facts;
mod identity;
mod judgement;
mod keys;
mod not_finite;
pub mod page;
mod pairs;
mod relabelled;
mod splits;
pub mod text;

use std::collections::BTreeSet;
use std::path::Path;

use mtids_domain::label::Metastasis;
use mtids_runtime::provenance::Program;
use mtids_shards::{CorrectionRecord, Dataset, Manifest, read_corrections};

use crate::error::AuditError;
use crate::index::Index;
use crate::needed;
use crate::opened::open;
use comparison::Comparison;
use config::CompareConfig;
use judgement::{ChangedRows, issues};
use pairs::{Pairs, Side, status_name};
use relabelled::{Relabelled, relabelled};

/// Most keys of rows that are named.
const MOST_KEYS: usize = 1000;

/// Compares a second dataset to a first.
///
/// # Errors
/// [`AuditError`] when one of them is no dataset, an index cannot be read, or a setting makes no sense.
pub fn compare(first: &Path, second: &Path, config: &CompareConfig) -> Result<Comparison, AuditError> {
    config.validate()?;
    let datasets = [open(first)?, open(second)?];
    let [a, b] = [opened(&datasets[0])?, opened(&datasets[1])?];
    let manifests = [datasets[0].manifest(), datasets[1].manifest()];
    let pairs = Pairs::of(&a, &b)?;
    let [splits_a, splits_b] = [splits::of(&a)?, splits::of(&b)?];
    let moved_patients = splits::moved(&splits_a, &splits_b);
    let statuses: Vec<String> = Metastasis::ALL.iter().map(|status| status.name().to_owned()).collect();
    let moved = pairs.moved(config.same_place_mm)?;
    let changed_columns = pairs.changed_columns()?;
    let voxels = pairs.keys_of_changed_voxels()?;
    let samples = pairs.moved_samples()?;
    let [before, after] = [read_corrections(&datasets[0])?, read_corrections(&datasets[1])?];
    let corrections = without(&after, &before);
    let Relabelled { explained, others, withdrawn } = relabelled(&pairs, &without(&before, &after), &corrections)?;
    let mut found = Comparison {
        program: Program::new("mtids-audit", env!("CARGO_PKG_VERSION")),
        datasets: manifests.map(Manifest::digest),
        config: config.clone(),
        same_secret: manifests[0].pseudonym_fingerprint == manifests[1].pseudonym_fingerprint,
        description: described(manifests[0], manifests[1]),
        issues: Vec::new(),
        patients: splits::overlap(&splits_a, &splits_b),
        rows: pairs.rows()?,
        moved_patients: moved_patients.len() as u64,
        moved_findings: moved.len() as u64,
        moved_samples: samples.keys.len() as u64,
        changed_voxels: voxels.len() as u64,
        changed_columns,
        region: pairs.transition("region_name", &region_names(manifests), same_name)?,
        status: pairs.transition("metastasis", &statuses, status_name)?,
        unexplained: others.len() as u64,
        corrections,
        withdrawn,
        removed: pairs.groups_only(Side::First)?,
        added: pairs.groups_only(Side::Second)?,
        drift: drift::drift(&a, &b, config)?,
    };
    let rows = ChangedRows {
        removed: pairs.keys_only(Side::First, MOST_KEYS)?,
        added: pairs.keys_only(Side::Second, MOST_KEYS)?,
        moved,
        unexplained: others,
        corrected: explained,
        samples,
        voxels,
        patients: moved_patients,
    };
    let mut known = pairs.repeated.issues();
    known.extend(splits::leak(&splits_a, &splits_b));
    known.extend(identity::patients(pairs.changes("patient_key", same_name)?));
    known.extend(identity::kinds(pairs.changes("kind", same_name)?));
    known.extend(facts::issue(&pairs, &found.changed_columns)?);
    known.extend(not_finite::issue(&pairs, &a, &b)?);
    known.extend(columns::issues(&a, &b));
    known.extend(columns::empty([&a, &b])?);
    found.issues = issues(&found, rows, known);
    Ok(found)
}

/// The index of a dataset by its texts, with every column that is asked for.
fn opened(dataset: &Dataset) -> Result<Index, AuditError> {
    let index = Index::open_texts(dataset)?;
    needed::check(dataset, &index)?;
    Ok(index)
}

/// Corrections that the others do not have.
fn without(records: &[CorrectionRecord], others: &[CorrectionRecord]) -> Vec<CorrectionRecord> {
    let others: BTreeSet<&CorrectionRecord> = others.iter().collect();
    records.iter().filter(|one| !others.contains(one)).cloned().collect()
}

/// Names of the regions of both, in the order of their codes.
fn region_names(manifests: [&Manifest; 2]) -> Vec<String> {
    let all = manifests.into_iter().flat_map(|manifest| manifest.description.regions.regions());
    let mut seen = BTreeSet::new();
    all.map(|region| region.name.clone()).filter(|name| seen.insert(name.clone())).collect()
}

fn same_name(stored: &str) -> &str {
    stored
}

/// Parts of the description that differ.
fn described(a: &Manifest, b: &Manifest) -> Vec<String> {
    let layout = a.layout != b.layout;
    let (a, b) = (&a.description, &b.description);
    let parts = [
        ("layout", layout),
        ("rows", a.schema_version != b.schema_version),
        ("taxonomy", a.taxonomy_version != b.taxonomy_version),
        ("regions", a.regions != b.regions),
        ("views", a.views != b.views),
        ("settings", a.config_digest != b.config_digest),
        ("program", a.program != b.program),
    ];
    parts.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name.to_owned()).collect()
}
