//! A cohort on disk: DICOM studies, the annotation table, label maps, and the truth beside them.
//!
//! Layout: `dicom/<patient>/<study>/…`, `masks/<series>.nii.gz` for some, `annotations.csv`, `truth.json` (never read by a trainer), and
//! `cohort.json` last. Invariants: a folder with `cohort.json` is complete; one with `cohort.started` is continued by the same
//! configuration only, so that a cohort never holds patients of another one; nothing is removed but unfinished studies.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use mtids_runtime::atomic;
use mtids_runtime::digest::Digest;
use mtids_runtime::interrupt::Interrupt;
use rayon::prelude::*;

use super::json::write_json;
use super::study;
use super::table::{TABLE_HEADER, rows};
use crate::config::PhantomConfig;
use crate::error::PhantomError;
use crate::patient::Model;
use crate::truth::{CohortSummary, PatientTruth, read_voxels, summarise};

/// Part of the digest: a change of the images or tables must not pass for the cohort of an earlier program.
const GENERATOR: &str = "phantom 3";

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
    let model = Model::new(config)?;
    let config_digest = Digest::of_json(&(GENERATOR, config)).map_err(|error| PhantomError::config("seed", error))?;
    let marker = out.join("cohort.json");
    if marker.exists() {
        let found = fs::read(&marker).ok().and_then(|bytes| serde_json::from_slice::<CohortSummary>(&bytes).ok());
        return match found {
            Some(found) if found.config_digest == config_digest => Ok(found),
            _ => Err(PhantomError::OtherCohort { path: out.to_owned() }),
        };
    }
    let tree = out.join("dicom");
    let masks = out.join("masks");
    let started = out.join("cohort.started");
    match fs::read_to_string(&started) {
        Ok(text) if text.trim() == config_digest.to_string() => {}
        // Files of unknown origin, or of an unfinished cohort of other settings.
        Ok(_) => return Err(PhantomError::OtherCohort { path: out.to_owned() }),
        Err(_) if tree.exists() || masks.exists() => return Err(PhantomError::OtherCohort { path: out.to_owned() }),
        Err(_) => {
            atomic::write(&started, format!("{config_digest}\n").as_bytes()).map_err(PhantomError::write(&started))?;
        }
    }
    for folder in [&tree, &masks] {
        fs::create_dir_all(folder).map_err(PhantomError::write(folder))?;
    }
    let cohort = config_digest.to_string();
    let finished = AtomicUsize::new(0);
    let studies: Vec<(PatientTruth, String)> = (0..config.patients)
        .into_par_iter()
        .map(|number| {
            if interrupt.is_raised() {
                return Err(PhantomError::Interrupted);
            }
            let patient = model.patient(number);
            let written = study::write(config, &cohort, &patient, &tree, &masks)?;
            let rows = rows(&patient.nodes, &written.identity.study_uid, &written.series_uid);
            progress(finished.fetch_add(1, Ordering::Relaxed) + 1);
            Ok((PatientTruth::new(&patient, written.series_uid, written.statistics), rows))
        })
        .collect::<Result<_, _>>()?;

    let (mut truth, lines): (Vec<PatientTruth>, Vec<String>) = studies.into_iter().unzip();
    let table = TABLE_HEADER.to_owned() + &lines.concat();
    let table_path = out.join("annotations.csv");
    atomic::write(&table_path, table.as_bytes()).map_err(PhantomError::write(&table_path))?;

    read_voxels(&mut truth);
    write_json(&out.join("truth.json"), &truth)?;
    let summary = summarise(config_digest, &truth);
    write_json(&marker, &summary)?;
    fs::remove_file(&started).map_err(PhantomError::write(&started))?;
    Ok(summary)
}
