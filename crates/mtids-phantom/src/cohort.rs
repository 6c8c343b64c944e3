//! A cohort on disk: DICOM studies, the annotation table, and the truth beside them.
//!
//! Layout: `dicom/<patient>/<study>/IM*.dcm` (and `SEG.dcm` for some), `annotations.csv`, `truth.json` (never read by a trainer),
//! and `cohort.json` last. Invariants: a folder with `cohort.json` is complete; one with `cohort.started` is continued by the same
//! configuration only, so that a cohort never holds patients of another one; nothing is removed but unfinished studies.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use mtids_core::atomic;
use mtids_core::digest::Digest;
use mtids_core::interrupt::Interrupt;
use mtids_core::label::Metastasis;
use mtids_core::random::stream;
use mtids_dicom::uid::uid_from;
use mtids_dicom::write::{CtOptions, Segment, StudyIdentity, write_ct_series, write_segmentation};
use rand::RngExt;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::anatomy::Landmarks;
use crate::config::PhantomConfig;
use crate::error::PhantomError;
use crate::node::{Node, auroc};
use crate::render::{Study, render};

/// Part of the digest: a change of the images or tables must not pass for the cohort of an earlier program.
const GENERATOR: &str = "phantom 1";

/// What a cohort holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CohortSummary {
    /// Digest of the configuration and of the generator's version.
    pub config_digest: Digest,
    /// Patients.
    pub patients: usize,
    /// Nodes.
    pub nodes: usize,
    /// Metastatic nodes.
    pub metastatic: usize,
    /// Patients with a segmentation object.
    pub segmentations: usize,
    /// AUROC of the exact posterior: no model can be better on average.
    pub oracle_auroc: Option<f64>,
    /// AUROC of the short axis alone.
    pub short_axis_auroc: Option<f64>,
}

/// Writes a cohort; does nothing if it is already there. `progress` is called after each patient, with the number of patients
/// finished so far, from any thread.
///
/// # Errors
/// [`PhantomError`] naming the file or key; [`PhantomError::Interrupted`] after a signal.
pub fn generate(
    config: &PhantomConfig,
    out: &Path,
    progress: &(dyn Fn(usize) + Sync),
    interrupt: &Interrupt,
) -> Result<CohortSummary, PhantomError> {
    config.validate()?;
    let write_error = |path: &Path, source| PhantomError::Write { path: path.to_owned(), source };
    let config_digest = Digest::of_json(&(GENERATOR, config))
        .map_err(|error| PhantomError::Config { key: "seed", reason: error.to_string() })?;
    let marker = out.join("cohort.json");
    if let Some(found) = fs::read(&marker).ok().and_then(|bytes| serde_json::from_slice::<CohortSummary>(&bytes).ok()) {
        if found.config_digest == config_digest {
            return Ok(found);
        }
        return Err(PhantomError::OtherCohort { path: out.to_owned() });
    }
    let tree = out.join("dicom");
    let started = out.join("cohort.started");
    match fs::read_to_string(&started) {
        Ok(text) if text.trim() == config_digest.to_string() => {}
        // Files of unknown origin, or of an unfinished cohort of other settings.
        Ok(_) => return Err(PhantomError::OtherCohort { path: out.to_owned() }),
        Err(_) if tree.exists() => return Err(PhantomError::OtherCohort { path: out.to_owned() }),
        Err(_) => atomic::write(&started, format!("{config_digest}\n").as_bytes())
            .map_err(|source| write_error(&started, source))?,
    }
    fs::create_dir_all(&tree).map_err(|source| write_error(&tree, source))?;
    let finished = AtomicUsize::new(0);

    let studies: Vec<WrittenStudy> = (0..config.patients)
        .into_par_iter()
        .map(|patient| {
            if interrupt.is_raised() {
                return Err(PhantomError::Interrupted);
            }
            let study = render(config, patient)?;
            let with_masks = stream(config.seed, "phantom segmentation", &[u64::from(patient)])
                .random_bool(config.segmentation_fraction);
            let (rows, truth) = write_study(&config_digest, patient, study, with_masks, &tree)?;
            progress(finished.fetch_add(1, Ordering::Relaxed) + 1);
            Ok(WrittenStudy { truth, rows, with_masks })
        })
        .collect::<Result<_, _>>()?;

    let mut table =
        "study_uid,series_uid,finding,x_mm,y_mm,z_mm,diameter_mm,station,metastasis,evidence,level,short_axis_mm\n"
            .to_owned();
    table.extend(studies.iter().map(|study| study.rows.as_str()));
    let table_path = out.join("annotations.csv");
    atomic::write(&table_path, table.as_bytes()).map_err(|source| write_error(&table_path, source))?;

    let truth: Vec<&PatientTruth> = studies.iter().map(|study| &study.truth).collect();
    write_json(&out.join("truth.json"), &truth)?;
    let nodes: Vec<&Node> = truth.into_iter().flat_map(|patient| &patient.nodes).collect();
    let score = |of: fn(&Node) -> f64| {
        auroc(&nodes.iter().map(|node| (of(node), node.metastasis == Metastasis::Metastatic)).collect::<Vec<_>>())
    };
    let summary = CohortSummary {
        config_digest,
        patients: studies.len(),
        nodes: nodes.len(),
        metastatic: nodes.iter().filter(|node| node.metastasis == Metastasis::Metastatic).count(),
        segmentations: studies.iter().filter(|study| study.with_masks).count(),
        oracle_auroc: score(|node| node.posterior),
        short_axis_auroc: score(|node| node.appearance.short_axis_mm),
    };
    write_json(&marker, &summary)?;
    fs::remove_file(&started).map_err(|source| write_error(&started, source))?;
    Ok(summary)
}

/// What is true of a patient: nodes in the order of the annotation table, with the features they were drawn from.
#[derive(Debug, Serialize)]
struct PatientTruth {
    patient_id: String,
    series_uid: String,
    landmarks: Landmarks,
    nodes: Vec<Node>,
}

struct WrittenStudy {
    truth: PatientTruth,
    /// Lines of the annotation table.
    rows: String,
    with_masks: bool,
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<(), PhantomError> {
    let error = |source| PhantomError::Write { path: path.to_owned(), source };
    let mut text = serde_json::to_vec_pretty(value).map_err(|source| error(source.into()))?;
    text.push(b'\n');
    atomic::write(path, &text).map_err(error)
}

/// Writes one study and returns its rows of the annotation table and its truth.
fn write_study(
    config_digest: &Digest,
    patient: u32,
    study: Study,
    with_masks: bool,
    tree: &Path,
) -> Result<(String, PatientTruth), PhantomError> {
    let cohort = config_digest.to_string();
    let name = format!("PHANTOM-{:05}", patient + 1);
    // Cohorts of other settings share no identifier: the same UID always means the same pixels.
    let uid = |what: &str| uid_from(&["phantom", what, &cohort, &name]);
    let identity = StudyIdentity {
        patient_id: name.clone(),
        patient_name: format!("{name}^SYNTHETIC"),
        study_uid: uid("study"),
        frame_of_reference_uid: uid("frame of reference"),
        study_date: "20260101".into(),
    };
    let options = CtOptions {
        series_uid: uid("series"),
        description: "SYNTHETIC chest CT, not a patient".into(),
        facts: study.facts,
    };
    let folder = tree.join(&name).join("study-1");
    // A study that an earlier, killed run left half-written is written anew.
    let make = || match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => fs::create_dir_all(&folder),
    };
    make().map_err(|source| PhantomError::Write { path: folder.clone(), source })?;
    write_ct_series(&folder, &study.volume, &identity, &options)?;
    if with_masks {
        let segments: Vec<Segment> = study
            .masks
            .iter()
            .zip(1..)
            // A node smaller than a voxel has no mask; the numbers stay those of the table.
            .filter(|(mask, _)| !mask.voxels.is_empty())
            .map(|(mask, n)| Segment { label: format!("Lymph node {n}"), mask: mask.clone() })
            .collect();
        if !segments.is_empty() {
            write_segmentation(
                &folder.join("SEG.dcm"),
                &segments,
                study.volume.dimensions(),
                &identity,
                &options.series_uid,
            )?;
        }
    }
    let mut rows = String::new();
    for (node, n) in study.nodes.iter().zip(1..) {
        let [x, y, z] = node.center_mm;
        let appearance = node.appearance;
        let (status, evidence) = match (node.withheld, node.metastasis) {
            (true, _) => ("", "U"),
            (false, state) => (state.name(), "A"),
        };
        // Writing into a string cannot fail.
        let _ = writeln!(
            rows,
            "{},{},Lymph node {n},{x:.3},{y:.3},{z:.3},{:.2},{},{status},{evidence},node,{:.2}",
            identity.study_uid,
            options.series_uid,
            appearance.short_axis_mm * appearance.elongation,
            node.station,
            appearance.short_axis_mm,
        );
    }
    let truth = PatientTruth {
        patient_id: name,
        series_uid: options.series_uid,
        landmarks: study.landmarks,
        nodes: study.nodes,
    };
    Ok((rows, truth))
}
