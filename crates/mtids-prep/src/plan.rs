//! From a scan to units of work: series with findings, split by patient, dealt into shards.
//!
//! Invariant: a unit's key is the digest of everything its bytes depend on (configuration, program, content of its files, its
//! findings, the secret), so equal keys mean equal shards.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mtids_annotations::{AnnotationFiles, Finding, SeriesGeometry, Sources, load};
use mtids_dicom::volume::check_geometry;
use mtids_dicom::{FileOutcome, ReasonCode, Refused, Series, check_series};
use mtids_domain::geometry::Affine;
use mtids_domain::pseudonym::{PatientKey, PseudonymSecret};
use mtids_domain::taxonomy::TAXONOMY_VERSION;
use mtids_runtime::digest::Digest;
use mtids_shards::{SCHEMA_VERSION, Split};
use rayon::prelude::*;

use crate::config::BuildConfig;
use crate::error::PrepError;
use crate::patients::{read_split_table, refuse_two_spellings};
use crate::scan::Scan;
use crate::split::{LabelCounts, deal};

/// A series that rows will be cut from.
#[derive(Clone, Debug)]
pub struct PlannedSeries {
    /// The series.
    pub series: Series,
    /// Its findings.
    pub findings: Vec<Finding>,
    /// Pseudonym of its patient.
    pub patient_key: PatientKey,
    /// Days since the first study of its patient that has a finding.
    pub study_day: Option<i32>,
    /// Digest of the content of all its files.
    pub content: Digest,
    /// The PET that lies over it, where the configuration asks for one.
    pub pet: Option<PlannedPet>,
}

/// A PET series that is cut with a CT.
#[derive(Clone, Debug)]
pub struct PlannedPet {
    /// The series.
    pub series: Series,
    /// Digest of the content of all its files.
    pub content: Digest,
    /// Its files are accounted for here: one PET may lie over several CT series.
    pub counted: bool,
}

/// Patients of one split that share a shard.
#[derive(Clone, Debug)]
pub struct Unit {
    /// Split.
    pub split: Split,
    /// Number of the bucket in the split.
    pub bucket: u64,
    /// Series, in the order of their pseudonyms.
    pub series: Vec<PlannedSeries>,
    /// What its bytes depend on.
    pub key: Digest,
}

/// A whole plan.
#[derive(Debug, Default)]
pub struct Plan {
    /// Units, by split and bucket.
    pub units: Vec<Unit>,
    /// SEG, RTSTRUCT and SR objects whose findings were placed.
    pub used_objects: u64,
    /// Findings without image.
    pub unmatched_findings: u64,
    /// Labels that sources contradict.
    pub contradictions: u64,
}

/// Makes the plan; moves what cannot be used from the series into `scan`'s accounts.
///
/// # Errors
/// [`PrepError`] for files that vanish meanwhile, or a pattern of names that does not compile.
pub fn plan(
    scan: &mut Scan,
    series: Vec<Series>,
    files: &AnnotationFiles,
    config: &BuildConfig,
    secret: &PseudonymSecret,
) -> Result<Plan, PrepError> {
    let limits = config.limits();
    let mut usable: Vec<(Series, Affine)> = Vec::new();
    let mut pets: Vec<(Series, Affine)> = Vec::new();
    for series in series {
        match &*series.modality {
            "PT" if config.pet => {
                match check_series(&series, &limits) {
                    Ok(affine) => pets.push((series, affine)),
                    // A PET without attenuation correction lies beside many a corrected one: no fault of the study.
                    Err(error) if error.reason() == ReasonCode::NoSuv => {
                        tracing::warn!(series = &*series.series_uid, "{error}");
                        skip_series(scan, &series, "pet-without-suv");
                    }
                    Err(error) => refuse_series(scan, series, &error),
                }
                continue;
            }
            "PT" => {
                skip_series(scan, &series, "pet-not-asked-for");
                continue;
            }
            // A header is that of a CT or of a PET.
            _ => {}
        }
        match check_geometry(&series, &limits) {
            Ok(affine) => usable.push((series, affine)),
            Err(error) => refuse_series(scan, series, &error),
        }
    }
    let mut plan = Plan::default();
    let geometries: Vec<SeriesGeometry<'_>> =
        usable.iter().map(|(series, affine)| SeriesGeometry::of(series, *affine)).collect();
    let sources =
        Sources { files, segmentations: &scan.segmentations, reports: &scan.reports, structures: &scan.structures };
    let resolved = load(&sources, &geometries, &config.rules()?)?;
    drop(geometries);
    plan.unmatched_findings = resolved.unmatched;
    plan.contradictions = resolved.contradictions;
    for outcome in resolved.objects {
        match outcome {
            FileOutcome::Used { .. } => plan.used_objects += 1,
            FileOutcome::Skipped { path, reason, detail } => scan.skip_because(path, reason, detail),
            FileOutcome::Refused(refused) => scan.refused.push(refused),
        }
    }

    let mut with_findings = Vec::new();
    for ((series, _), findings) in usable.into_iter().zip(resolved.findings) {
        if findings.is_empty() {
            skip_series(scan, &series, "image-without-finding");
            continue;
        }
        with_findings.push((series, findings));
    }
    let over: Vec<Option<usize>> = with_findings.iter().map(|(ct, found)| pet_over(ct, found, &pets)).collect();
    for (n, (pet, _)) in pets.iter().enumerate() {
        if !over.contains(&Some(n)) {
            skip_series(scan, pet, "pet-of-no-ct-here");
        }
    }
    let first_days = first_days(with_findings.iter().map(|(series, _)| series));
    let planned: Vec<PlannedSeries> = with_findings
        .into_par_iter()
        .enumerate()
        .map(|(n, (series, findings))| {
            let pet = match over[n] {
                None => None,
                Some(at) => Some(PlannedPet {
                    series: pets[at].0.clone(),
                    content: content(&pets[at].0)?,
                    counted: !over[..n].contains(&Some(at)),
                }),
            };
            let patient_key = secret.patient(&series.patient_id);
            let study_day = series.study_day.zip(first_days.get(&series.patient_id)).map(|(day, first)| day - first);
            Ok(PlannedSeries { content: content(&series)?, patient_key, study_day, findings, series, pet })
        })
        .collect::<Result<_, PrepError>>()?;
    if !config.split.similar_ids_are_different_people {
        refuse_two_spellings(planned.iter().map(|one| &*one.series.patient_id), secret)?;
    }
    plan.units = units(planned, config, secret)?;
    Ok(plan)
}

/// The PET that lies over a CT: of the same patient, study and frame of reference, over at least one finding; of several the one that lies
/// over most findings, then the one with most slices.
fn pet_over(ct: &Series, findings: &[Finding], pets: &[(Series, Affine)]) -> Option<usize> {
    let of_the_study = |pet: &Series| {
        (&pet.patient_id, &pet.study_uid) == (&ct.patient_id, &ct.study_uid)
            && pet.frame_of_reference_uid.is_some()
            && pet.frame_of_reference_uid == ct.frame_of_reference_uid
    };
    let covered = |series: &Series, affine: &Affine| {
        let pet = SeriesGeometry::of(series, *affine);
        findings.iter().filter(|finding| pet.holds(finding.center)).count()
    };
    let candidates = pets.iter().enumerate().filter(|(_, (pet, _))| of_the_study(pet));
    let counted = candidates.map(|(n, (pet, affine))| (covered(pet, affine), pet.instances.len(), n));
    let best = counted
        .filter(|(covered, _, _)| *covered > 0)
        .max_by_key(|&(covered, slices, n)| (covered, slices, std::cmp::Reverse(n)));
    best.map(|(_, _, n)| n)
}

/// The longest time between studies of one patient that is believed: 20 years. One study whose date was replaced by a constant (1900-01-01) would
/// otherwise give the date of another away.
const LONGEST_DAYS: i32 = 20 * 366;

/// The day of each patient's first study. Dates identify people; the days between two studies are what a dataset needs of them. A patient whose
/// studies lie further apart than is believed has none.
fn first_days<'a>(series: impl Iterator<Item = &'a Series>) -> BTreeMap<Arc<str>, i32> {
    let mut spans: BTreeMap<Arc<str>, (i32, i32)> = BTreeMap::new();
    for (patient, day) in series.filter_map(|series| Some((&series.patient_id, series.study_day?))) {
        let (first, last) = spans.entry(Arc::clone(patient)).or_insert((day, day));
        (*first, *last) = (day.min(*first), day.max(*last));
    }
    let believed = |(first, last): &(i32, i32)| last - first <= LONGEST_DAYS;
    let doubted = spans.values().filter(|span| !believed(span)).count();
    if doubted > 0 {
        tracing::warn!(
            patients = doubted,
            "studies of one patient lie more than 20 years apart: made-up dates? their days are left out"
        );
    }
    spans.into_iter().filter(|(_, span)| believed(span)).map(|(patient, (first, _))| (patient, first)).collect()
}

/// Digest of the content of all files of a series.
fn content(series: &Series) -> Result<Digest, PrepError> {
    let mut parts = Vec::with_capacity(series.instances.len());
    // In the order of the slices, so that the names of files do not matter.
    let mut seen = BTreeSet::new();
    for path in series.instances.iter().map(|instance| &instance.path).filter(|path| seen.insert(*path)) {
        let digest = Digest::of_file(path).map_err(|source| PrepError::Data { path: path.clone(), source })?;
        parts.push(*digest.as_bytes());
    }
    Ok(Digest::of_parts(parts))
}

fn skip_series(scan: &mut Scan, series: &Series, reason: &str) {
    for file in series.files() {
        scan.skip(file.to_owned(), reason);
    }
}

/// Moves all files of a series into quarantine.
pub fn refuse_series(scan: &mut Scan, series: Series, error: &mtids_dicom::DicomError) {
    for path in series.files() {
        scan.refused.push(Refused {
            path: path.to_owned(),
            series_uid: Some(series.series_uid.as_ref().to_owned()),
            patient_id: Some(series.patient_id.as_ref().to_owned()),
            reason: error.reason(),
            detail: error.detail().to_owned(),
        });
    }
}

fn units(planned: Vec<PlannedSeries>, config: &BuildConfig, secret: &PseudonymSecret) -> Result<Vec<Unit>, PrepError> {
    let scheme = config.region_scheme()?;
    let mut labels: BTreeMap<PatientKey, LabelCounts> = BTreeMap::new();
    for series in &planned {
        let counts = labels.entry(series.patient_key.clone()).or_default();
        for finding in &series.findings {
            let region = finding.station.and_then(|station| scheme.code_of(station));
            *counts.entry((region, finding.metastasis.map(|status| status.code()))).or_default() += 1;
        }
    }
    let table = match &config.split.table {
        Some(path) => read_split_table(path, secret)?,
        None => BTreeMap::new(),
    };
    let dealt = deal(&labels, &config.split, &table)?;
    let mut heads: BTreeMap<Split, u64> = BTreeMap::new();
    for split in dealt.values() {
        *heads.entry(*split).or_default() += 1;
    }
    let mut buckets: BTreeMap<(Split, u64), Vec<PlannedSeries>> = BTreeMap::new();
    for series in planned {
        // Every planned series' patient was dealt above.
        let split = dealt.get(&series.patient_key).copied().unwrap_or(Split::Train);
        let count = heads.get(&split).copied().unwrap_or(1).div_ceil(u64::from(config.patients_per_shard)).max(1);
        let digest = Digest::of_parts(["bucket", series.patient_key.as_str()]);
        let number = digest.as_bytes().iter().take(8).fold(0u64, |sum, &byte| (sum << 8) | u64::from(byte));
        buckets.entry((split, number % count)).or_default().push(series);
    }
    let config_digest = config.digest()?;
    buckets
        .into_iter()
        .map(|((split, bucket), mut series)| {
            series.sort_by_key(|planned| (planned.patient_key.clone(), secret.series(&planned.series.name())));
            let mut parts: Vec<Vec<u8>> = vec![
                config_digest.as_bytes().to_vec(),
                env!("CARGO_PKG_VERSION").into(),
                SCHEMA_VERSION.into(),
                TAXONOMY_VERSION.into(),
                secret.fingerprint().into(),
                split.name().into(),
                bucket.to_le_bytes().to_vec(),
            ];
            for planned in &series {
                parts.push(planned.content.as_bytes().to_vec());
                // Of several volumes under one UID the name says which, and keys of rows are made of it.
                parts.push(secret.series(&planned.series.name()).as_str().into());
                // Another study of the patient may come before this one.
                parts.push(format!("{:?}", planned.study_day).into_bytes());
                // Whether its files are counted here is part of the receipt.
                parts.extend(
                    planned.pet.iter().flat_map(|pet| [pet.content.as_bytes().to_vec(), vec![u8::from(pet.counted)]]),
                );
                // A finding's debug form holds every field, numbers to the last digit.
                parts.push(format!("{:?}", planned.findings).into_bytes());
            }
            Ok(Unit { split, bucket, series, key: Digest::of_parts(parts) })
        })
        .collect()
}
