//! From a scan to partitions: series with findings, split by patient, put into shards.
//!
//! Invariants: every file of the scan is in a partition, or has an outcome here or from the scan; splits follow the labels of the annotations,
//! so corrected labels move no patient.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mtids_annotations::{AnnotationFiles, Finding, Images, RefusedImage, Reject, SeriesGeometry, Sources, load};
use mtids_dicom::volume::SeriesGrid;
use mtids_dicom::{
    DicomError, FileOutcome, InstanceHeader, Limits, ReasonCode, Series, SkipReason, check_series, group,
};
use mtids_domain::pseudonym::{PatientKey, PseudonymSecret};
use mtids_domain::taxonomy::Location;
use mtids_runtime::digest::Digest;
use mtids_runtime::interrupt::Interrupt;
use mtids_shards::{CorrectionRecord, LabelCounts};
use rayon::prelude::*;

use crate::accounts::{refuse_series, skip_series};
use crate::config::CheckedConfig;
use crate::corrections::{self, Corrections};
use crate::error::PrepError;
use crate::identity::settle;
use crate::partition::{Partition, PlannedPet, PlannedSeries, make_partitions};
use crate::patients::{read_site_table, read_split_table, refuse_two_spellings};
use crate::rejected::rejected_images;
use crate::scan::Scan;
use crate::seen::{SeenImages, of_unread, refused_volume};
use crate::split::assign_splits;

/// A whole plan.
#[derive(Debug, Default)]
pub struct Plan {
    /// Partitions, by split and bucket.
    pub partitions: Vec<Partition>,
    /// Annotations without image.
    pub unmatched_findings: u64,
    /// Labels that sources contradict.
    pub contradictions: u64,
    /// Findings whose sources name stations of several regions, or of another map.
    pub unplaced_stations: u64,
    /// Findings whose name has a station that is not understood.
    pub lost_stations: u64,
    /// Findings that one source gives twice.
    pub duplicates: u64,
    /// Entries of annotation sources that gave no finding.
    pub rejects: Vec<Reject>,
    /// Corrected labels, one for each row that their findings can have.
    pub corrections: Vec<CorrectionRecord>,
}

/// Series that can be used, each with its grid.
#[derive(Debug, Default)]
struct Usable {
    ct: Vec<(Series, SeriesGrid)>,
    pet: Vec<(Series, SeriesGrid)>,
    /// CT volumes that cannot.
    refused: Vec<RefusedImage>,
}

/// Everything that findings lie in, before patients are split.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    /// Series with findings.
    pub(crate) series: Vec<PlannedSeries>,
    /// PatientIDs of usable series without finding.
    pub(crate) without_finding: BTreeSet<Arc<str>>,
    /// Annotations without image.
    pub(crate) unmatched_findings: u64,
    /// Labels that sources contradict.
    pub(crate) contradictions: u64,
    /// Findings whose name has a station that is not understood.
    pub(crate) lost_stations: u64,
    /// Findings that one source gives twice.
    pub(crate) duplicates: u64,
    /// Entries of annotation sources that gave no finding.
    pub(crate) rejects: Vec<Reject>,
}

/// Joins series, findings and PET, and says what became of the files that are in no series of the result.
///
/// # Errors
/// [`PrepError`] for identifiers that contradict each other, and ids that look like two spellings of one; [`PrepError::Interrupted`] after a
/// signal.
pub(crate) fn gather(
    scan: Scan,
    files: &AnnotationFiles,
    config: &CheckedConfig,
    secret: &PseudonymSecret,
    interrupt: &Interrupt,
) -> Result<(Gathered, Vec<FileOutcome>), PrepError> {
    let Scan {
        mut headers, objects, segmentations, reports, structures, rejected, unread_files, unread_images, ..
    } = scan;
    settle(&mut headers, &objects, config.same_person(), &config.limits())?;
    let seen = SeenImages::of(&headers);
    let (mut usable, mut outcomes) = usable_series(headers, &config.limits(), config.pet);
    let mut judged = std::mem::take(&mut usable.refused);
    judged.extend(rejected_images(&rejected, config.same_person()));
    judged.extend(of_unread(unread_images, &seen.series_uids(), config.same_person()));
    let refused = seen.refused(usable.ct.iter().map(|(series, _)| series), judged, &outcomes);
    let geometries: Vec<SeriesGeometry<'_>> =
        usable.ct.iter().map(|(series, grid)| SeriesGeometry::of(series, *grid)).collect();
    let sources = Sources { files, segmentations: &segmentations, reports: &reports, structures: &structures };
    let resolved = load(&sources, &Images { usable: &geometries, refused: &refused, unread_files }, config.rules());
    drop(geometries);
    outcomes.extend(resolved.objects);

    let (mut with_findings, mut without_finding) = (Vec::new(), BTreeSet::new());
    for ((series, _), findings) in usable.ct.into_iter().zip(resolved.findings) {
        if findings.is_empty() {
            outcomes.extend(skip_series(&series, SkipReason::ImageWithoutFinding));
            without_finding.insert(Arc::clone(&series.patient_id));
        } else {
            with_findings.push((series, findings));
        }
    }
    let with_findings = with_content(with_findings, interrupt, &mut outcomes)?;
    let over: Vec<Option<usize>> =
        with_findings.iter().map(|((ct, found), _)| pet_over(ct, found, &usable.pet)).collect();
    let mut pets = Vec::new();
    for (n, (pet, _)) in usable.pet.into_iter().enumerate() {
        if over.contains(&Some(n)) {
            pets.push((pet, n));
        } else {
            outcomes.extend(skip_series(&pet, SkipReason::PetOfNoCtHere));
        }
    }
    let pets: BTreeMap<usize, (Series, Digest)> = with_content(pets, interrupt, &mut outcomes)?
        .into_iter()
        .map(|((pet, n), content)| (n, (pet, content)))
        .collect();
    let sites = match &config.site.table {
        Some(path) => read_site_table(path, config.same_person(), secret)?,
        None => BTreeMap::new(),
    };
    let first_days = first_days(with_findings.iter().map(|((series, _), _)| series));
    let planned: Vec<PlannedSeries> = with_findings
        .into_iter()
        .enumerate()
        .map(|(n, ((series, findings), content))| {
            let pet = over[n].and_then(|at| {
                let (series, content) = pets.get(&at)?;
                let counted = !over[..n].contains(&Some(at));
                Some(PlannedPet { series: series.clone(), content: *content, counted })
            });
            let patient_key = secret.patient(&series.patient_id);
            let study_day = series.study_day.zip(first_days.get(&series.patient_id)).map(|(day, first)| day - first);
            let listed_site = sites.get(&patient_key).cloned();
            PlannedSeries { content, patient_key, study_day, findings, series, pet, listed_site }
        })
        .collect();
    let without_site = planned.iter().filter(|one| one.listed_site.is_none()).map(|one| &one.patient_key);
    let without_site = without_site.collect::<BTreeSet<_>>().len();
    if config.site.table.is_some() && without_site > 0 {
        tracing::warn!("{without_site} patients with findings are not in site.table; their site is unknown");
    }
    if !config.split.similar_ids_are_different_people {
        refuse_two_spellings(planned.iter().map(|one| &*one.series.patient_id), secret)?;
    }
    let gathered = Gathered {
        series: planned,
        without_finding,
        unmatched_findings: resolved.unmatched,
        contradictions: resolved.contradictions,
        lost_stations: resolved.lost_stations.findings(),
        duplicates: resolved.duplicates,
        rejects: resolved.rejects,
    };
    Ok((gathered, outcomes))
}

/// Makes the plan, and says what became of the files that are not in it.
///
/// # Errors
/// As the gathering of series: [`PrepError`] for identifiers that contradict each other, patients that a table of splits does not name, ids
/// that look like two spellings of one, or a correction that does not fit; [`PrepError::Interrupted`] after a signal.
pub(crate) fn plan(
    scan: Scan,
    files: &AnnotationFiles,
    corrections: Option<&Corrections>,
    config: &CheckedConfig,
    secret: &PseudonymSecret,
    interrupt: &Interrupt,
) -> Result<(Plan, Vec<FileOutcome>), PrepError> {
    let (gathered, outcomes) = gather(scan, files, config, secret, interrupt)?;
    let Gathered {
        series: mut planned, unmatched_findings, contradictions, lost_stations, duplicates, rejects, ..
    } = gathered;
    let table = match &config.split.table {
        Some(path) => read_split_table(path, config.same_person(), secret)?,
        None => BTreeMap::new(),
    };
    // By the labels of the annotations: a corrected label must not move patients between training and test.
    let splits = assign_splits(&label_counts(&planned, config), &config.split, &table)?;
    let corrections = match corrections {
        Some(table) => corrections::apply(table, &mut planned, config, secret)?,
        None => Vec::new(),
    };
    let findings = planned.iter().flat_map(|one| &one.findings);
    let unplaced_stations = findings.filter(|finding| finding.station == Some(Location::Unplaced)).count() as u64;
    let partitions = make_partitions(planned, &splits, config.patients_per_shard, config.digest(), secret);
    let plan = Plan {
        partitions,
        unmatched_findings,
        contradictions,
        unplaced_stations,
        lost_stations,
        duplicates,
        rejects,
        corrections,
    };
    Ok((plan, outcomes))
}

/// Groups headers into series and judges each; what cannot be used has an outcome.
fn usable_series(headers: Vec<InstanceHeader>, limits: &Limits, with_pet: bool) -> (Usable, Vec<FileOutcome>) {
    let grouped = group(headers);
    let mut outcomes: Vec<FileOutcome> = grouped.refused.into_iter().map(FileOutcome::Refused).collect();
    outcomes.extend(grouped.scouts);
    outcomes.extend(grouped.duplicates.into_iter().map(|copy| FileOutcome::skipped(copy, SkipReason::IdenticalCopy)));
    let mut usable = Usable::default();
    for series in grouped.series {
        for warning in &series.warnings {
            tracing::warn!(series = &*series.series_uid, "{warning}");
        }
        // A header is that of a CT or of a PET.
        match &*series.modality {
            "PT" if !with_pet => outcomes.extend(skip_series(&series, SkipReason::PetNotAskedFor)),
            "PT" => match check_series(&series, limits) {
                Ok(grid) => usable.pet.push((series, grid)),
                // A PET without attenuation correction lies beside many a corrected one: no fault of the study.
                Err(error) if error.reason() == ReasonCode::NoSuv => {
                    tracing::warn!(series = &*series.series_uid, "{error}");
                    outcomes.extend(skip_series(&series, SkipReason::PetWithoutSuv));
                }
                Err(error) => outcomes.extend(refuse_series(&series, &error)),
            },
            // As it will be read, so that no finding is given to a series that cannot be.
            _ => match check_series(&series, limits) {
                Ok(grid) => usable.ct.push((series, grid)),
                Err(error) => {
                    outcomes.extend(refuse_series(&series, &error));
                    usable.refused.extend(refused_volume(&series, error.reason()));
                }
            },
        }
    }
    (usable, outcomes)
}

/// The PET that lies over a CT: of the same patient, study and frame of reference, over at least one finding; of several the one that lies
/// over most findings, then the one with most slices.
fn pet_over(ct: &Series, findings: &[Finding], pets: &[(Series, SeriesGrid)]) -> Option<usize> {
    let of_the_study = |pet: &Series| {
        (&pet.patient_id, &pet.study_uid) == (&ct.patient_id, &ct.study_uid)
            && pet.frame_of_reference_uid.is_some()
            && pet.frame_of_reference_uid == ct.frame_of_reference_uid
    };
    let covered = |series: &Series, grid: &SeriesGrid| {
        let pet = SeriesGeometry::of(series, *grid);
        findings.iter().filter(|finding| pet.holds(finding.center)).count()
    };
    let candidates = pets.iter().enumerate().filter(|(_, (pet, _))| of_the_study(pet));
    let counted = candidates.map(|(n, (pet, grid))| (covered(pet, grid), pet.instances.len(), n));
    let mut over: Vec<(usize, usize, usize)> = counted.filter(|(covered, _, _)| *covered > 0).collect();
    over.sort_by_key(|&(covered, slices, n)| (std::cmp::Reverse((covered, slices)), n));
    let named = |&(covered, slices, n): &(usize, usize, usize)| {
        format!("{} ({slices} slices, over {covered} of {} findings)", pets[n].0.name(), findings.len())
    };
    if let Some(warning) = several_pets(&over.iter().map(named).collect::<Vec<_>>()) {
        tracing::warn!(series = ct.name(), "{warning}");
    }
    over.first().map(|&(_, _, n)| n)
}

/// A sentence where several PETs lie over one CT, the one that is taken first: their SUV differ by reconstruction and by time, and the choice
/// is not one of contents.
fn several_pets(over: &[String]) -> Option<String> {
    let [taken, others @ ..] = over else { return None };
    (!others.is_empty()).then(|| {
        format!(
            "{} PETs lie over this CT: {taken} is taken (most findings, then most slices, then the first UID), not {}; leave what is not \
             meant out of the data folder",
            over.len(),
            others.join(", ")
        )
    })
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
            "studies of one patient are more than 20 years apart (made-up dates?); their study_day is empty"
        );
    }
    spans.into_iter().filter(|(_, span)| believed(span)).map(|(patient, (first, _))| (patient, first)).collect()
}

/// A series with what belongs to it, and the digest of its content.
type WithContent<T> = ((Series, T), Digest);

/// Reads the content of series, each with what belongs to it. A series whose files vanished or changed their rights since their headers were
/// read is refused, and the others stay.
fn with_content<T: Send>(
    series: Vec<(Series, T)>,
    interrupt: &Interrupt,
    outcomes: &mut Vec<FileOutcome>,
) -> Result<Vec<WithContent<T>>, PrepError> {
    let read = |one: (Series, T)| match interrupt.is_raised() {
        true => Err(PrepError::Interrupted),
        false => Ok((content(&one.0), one)),
    };
    let mut kept = Vec::with_capacity(series.len());
    for (content, one) in series.into_par_iter().map(read).collect::<Result<Vec<_>, _>>()? {
        match content {
            Ok(content) => kept.push((one, content)),
            Err(error) => outcomes.extend(refuse_series(&one.0, &error)),
        }
    }
    Ok(kept)
}

/// Digest of the content of all files of a series.
fn content(series: &Series) -> Result<Digest, DicomError> {
    let mut parts = Vec::with_capacity(series.instances.len());
    // In the order of the slices, so that the names of files do not matter.
    let mut seen = BTreeSet::new();
    for path in series.instances.iter().map(|instance| &instance.path).filter(|path| seen.insert(*path)) {
        let digest = Digest::of_file(path).map_err(|error| {
            let detail = format!(
                "{} could be read when headers were read, and cannot any more ({error}); leave the folder as it is during a build",
                path.display()
            );
            DicomError::file(path, ReasonCode::Unreadable, detail)
        })?;
        parts.push(*digest.as_bytes());
    }
    Ok(Digest::of_parts(parts))
}

/// For each patient, its findings by region and status.
fn label_counts(planned: &[PlannedSeries], config: &CheckedConfig) -> BTreeMap<PatientKey, LabelCounts> {
    let mut labels: BTreeMap<PatientKey, LabelCounts> = BTreeMap::new();
    for series in planned {
        let counts = labels.entry(series.patient_key.clone()).or_default();
        for finding in &series.findings {
            let region = finding.station.and_then(|place| config.region_scheme().code_of(place));
            *counts.entry((region, finding.metastasis.map(|status| status.code()))).or_default() += 1;
        }
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_pets_over_a_ct_are_named_where_one_is_chosen() {
        let names = ["1.8", "1.9"].map(|uid| format!("{uid} (200 slices, over 3 of 3 findings)"));
        let said = several_pets(&names).unwrap();
        assert!(said.starts_with("2 PETs lie over this CT: 1.8 (200 slices"), "{said}");
        assert!(said.contains("not 1.9 (200 slices"), "{said}");
        assert_eq!((several_pets(&names[..1]), several_pets(&[])), (None, None));
    }
}
