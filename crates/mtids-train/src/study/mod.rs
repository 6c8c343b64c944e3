//! From studies to answers: what a trained network says about candidates in DICOM studies.
//!
//! Purpose: [`predict_studies`] reads studies and candidates as a build does, cuts the same voxels, and asks one or several trained networks.
//! Invariants: the numbers are those of an evaluation on a dataset of the same studies; every candidate has an answer or a reason; series are
//! read one after the other, at most three of them in memory; the same input gives the same answer, for any size of the batches. Units: LPS mm, HU.

mod answer;
pub(crate) mod objects;
mod options;
pub mod output;
mod page;
mod picture;
pub(crate) mod place;
mod reader;
mod send;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use mtids_annotations::Finding;
use mtids_dicom::{FileOutcome, Refused};
use mtids_domain::geometry::PointMm;
use mtids_prep::candidates::{Candidates, CutSeries, Outline};
use mtids_prep::config::{BuildConfig, CheckedConfig};
use mtids_prep::error::PrepError;
use mtids_prep::partition::PlannedSeries;
use mtids_report::progress::Progress;
use mtids_runtime::interrupt::Interrupt;
use mtids_runtime::provenance::Program;
use mtids_shards::{DatasetDescription, PatchRow};

use answer::Said;
pub use answer::{
    CandidateLeftOut, NodalAnswer, NodeAnswer, PatientAnswer, RegionAnswer, RunAnswer, StatusAnswer, StudyAnswer,
};
use objects::ObjectPlace;
pub use options::PredictOptions;
use reader::Reader;
pub use send::{Sent, send};

use crate::error::TrainError;
use crate::staging::stage;

/// Said with every answer.
pub const NOTICE: &str = "Research software, not for diagnosis.";

/// Most nodes that have a picture: a page of some 15 MB.
const MOST_PICTURES: usize = 300;

/// What networks and measures say about the candidates of studies. `runs` are folders of trainings, several for an ensemble, none to measure only;
/// `settings` say where studies and candidates lie and how they are read.
///
/// # Errors
/// [`TrainError`] for a missing run, runs that do not fit together, wrong settings, or studies without any candidate.
pub fn predict_studies(
    runs: &[PathBuf],
    settings: BuildConfig,
    options: &PredictOptions<'_>,
    interrupt: &Interrupt,
) -> Result<StudyAnswer, TrainError> {
    if let Some(out) = options.out {
        place::refuse_foreign(out, options.objects, &settings.annotations)?;
    }
    let reader = Reader::load(runs, options)?;
    let config = match reader.description() {
        Some(description) => settings.for_candidates(description)?,
        None => {
            let description = own_description(&settings)?;
            settings.for_candidates(&description)?
        }
    };
    let description = match reader.description() {
        Some(description) => description.clone(),
        None => own_description(&config)?,
    };
    let regions = description.regions.clone();
    let candidates = Candidates::read(config, description, options.out, interrupt, options.show_progress)?;
    one_side_is_of_one_patient(&candidates, options)?;
    let progress = Progress::new("reading series", Some(candidates.series().len() as u64), options.show_progress);
    let mut patients: BTreeMap<String, PatientAnswer> = BTreeMap::new();
    let mut refused: Vec<Refused> = candidates.outcomes().iter().filter_map(refused_of).cloned().collect();
    // What an earlier answer left would say other things than this one, also where this one is not finished.
    place::clear(options.out, options.objects)?;
    let mut pictures = 0;
    let series = candidates.series().iter().map(Ok::<_, TrainError>);
    // The next series is decoded and cut while the network reads this one.
    let prepare = |planned| Ok((planned, candidates.cut(planned, interrupt)?));
    stage(series, prepare, |staged| {
        for (number, staged) in staged.into_iter().enumerate() {
            let (planned, mut cut) = staged?;
            refused.append(&mut cut.refused);
            let id = planned.series.patient_id.to_string();
            let patient = patients.entry(id).or_insert_with(|| PatientAnswer::new(&planned.series.patient_id));
            let before = patient.nodes.len();
            let outlines = add_series(patient, planned, &mut cut, &reader, interrupt)?;
            progress.inc(1);
            let Some(volume) = &cut.volume else { continue };
            if options.pictures {
                for (node, outline) in patient.nodes[before..].iter_mut().zip(&outlines).take(MOST_PICTURES - pictures)
                {
                    let outline = outline.as_ref().map(|outline| &outline.mask);
                    let picture = picture::three_planes(&volume.volume, PointMm(node.center_mm), outline);
                    node.picture = picture.data_uri().ok();
                    pictures += 1;
                }
            }
            if let Some(folder) = options.objects.filter(|_| !options.no_objects) {
                let place = ObjectPlace { folder, number: number + 1 };
                let (nodes, limits) = (&patient.nodes[before..], candidates.config().limits());
                patient.objects.extend(objects::write(place, planned, volume, nodes, &outlines, &reader, &limits)?);
            }
        }
        Ok(())
    })?;
    progress.finish();
    let untaught = reader.untaught_regions();
    let mut patients: Vec<PatientAnswer> = patients.into_values().collect();
    for patient in &mut patients {
        // A side is of one patient, so whoever it is whose entries were rejected.
        let rejected = candidates.rejects().len();
        patient.conclude(&regions, options.primary_side, options.edition, untaught.as_ref(), rejected);
    }
    Ok(StudyAnswer {
        notice: NOTICE.to_owned(),
        program: Program::new("mtids-train", env!("CARGO_PKG_VERSION")),
        runs: reader.runs(),
        patients,
        patients_without_candidate: candidates.without_candidate().to_vec(),
        files_refused: by_reason(refused.iter().map(|one| one.reason.to_string())),
        files_without_candidate: by_reason(candidates.outcomes().iter().filter_map(skipped_of)),
        candidates_rejected: by_reason(candidates.rejects().iter().map(|one| one.reason.to_string())),
    })
}

/// Refuses the side of a primary tumour for the candidates of several patients.
fn one_side_is_of_one_patient(candidates: &Candidates, options: &PredictOptions<'_>) -> Result<(), TrainError> {
    let patients: BTreeSet<&str> = candidates.series().iter().map(|one| &*one.series.patient_id).collect();
    match (options.primary_side, patients.len()) {
        (Some(_), 2..) => {
            let reason =
                format!("it is that of one patient, and the candidates are of {}; answer each alone", patients.len());
            Err(TrainError::argument("--primary-side", reason))
        }
        _ => Ok(()),
    }
}

/// The rows of settings for measures alone.
fn own_description(settings: &BuildConfig) -> Result<DatasetDescription, TrainError> {
    let checked: CheckedConfig = settings.clone().check()?;
    Ok(mtids_prep::build::describe(&checked))
}

/// Adds what is said of the candidates of a series; returns the outlines of those that were added.
fn add_series(
    patient: &mut PatientAnswer,
    planned: &PlannedSeries,
    cut: &mut CutSeries,
    reader: &Reader,
    interrupt: &Interrupt,
) -> Result<Vec<Option<Outline>>, TrainError> {
    patient.add_study(&planned.series.study_uid);
    let rows = std::mem::take(&mut cut.rows);
    let mut read: Vec<(&Finding, PatchRow)> = Vec::with_capacity(rows.len());
    let mut outlines = Vec::with_capacity(rows.len());
    for ((finding, row), outline) in planned.findings.iter().zip(rows).zip(std::mem::take(&mut cut.outlines)) {
        match row {
            Ok(row) => {
                read.push((finding, row));
                outlines.push(outline);
            }
            Err(reason) => patient.left_out.push(CandidateLeftOut::new(planned, finding, reason.to_string())),
        }
    }
    let (findings, rows): (Vec<&Finding>, Vec<PatchRow>) = read.into_iter().unzip();
    let said: Vec<Said> = reader.read(&rows, interrupt)?;
    for ((finding, row), said) in findings.into_iter().zip(rows).zip(said) {
        let number = patient.nodes.len() + 1;
        patient.nodes.push(NodeAnswer::new(number, planned, finding, &row.labels, said));
    }
    Ok(outlines)
}

fn refused_of(outcome: &FileOutcome) -> Option<&Refused> {
    match outcome {
        FileOutcome::Refused(refused) => Some(refused),
        _ => None,
    }
}

fn skipped_of(outcome: &FileOutcome) -> Option<String> {
    match outcome {
        FileOutcome::Skipped { reason, .. } => Some(reason.to_string()),
        _ => None,
    }
}

fn by_reason(reasons: impl Iterator<Item = String>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    reasons.for_each(|reason| *counts.entry(reason).or_default() += 1);
    counts
}

impl From<PrepError> for TrainError {
    fn from(error: PrepError) -> Self {
        TrainError::Studies(error)
    }
}
