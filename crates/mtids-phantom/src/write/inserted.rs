//! A real CT series with synthetic nodes, on disk.
//!
//! Invariants: every written file says that it is synthetic. No identifier of the source is copied; the new ones are unkeyed digests of its
//! SeriesInstanceUID and the settings, so whoever knows both can tell the copy.

use std::fs;
use std::path::Path;

use mtids_dicom::uid::uid_from;
use mtids_dicom::write::{CtOptions, Segment, StudyIdentity, write_ct_series, write_segmentation};
use mtids_dicom::{Limits, Series, load_volume};
use mtids_runtime::digest::Digest;

use super::json::write_json;
use super::table::{TABLE_HEADER, rows_without_station};
use crate::error::PhantomError;
use crate::insertion::{InsertConfig, InsertSummary, Inserted, insert_nodes};

/// Writes a copy of `series` with synthetic nodes into `out`: `dicom/`, `annotations.csv`, `truth.json`.
///
/// # Errors
/// [`PhantomError`]: a series that cannot be read, settings, a folder that holds something, a file that cannot be written.
pub fn insert(
    series: &Series,
    limits: &Limits,
    config: &InsertConfig,
    out: &Path,
) -> Result<InsertSummary, PhantomError> {
    config.validate()?;
    if out.exists() && fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(PhantomError::OtherCohort { path: out.to_owned() });
    }
    let volume = load_volume(series, limits)?.volume;
    let Inserted { volume, masks, nodes, wanted } = insert_nodes(config, &volume)?;

    let config_digest = Digest::of_json(config).map_err(|error| PhantomError::config("seed", error))?;
    // Nothing of the source's identity goes on, but the same source and settings give the same identifiers.
    let source = config_digest.to_string();
    let uid = |what: &str| uid_from(&["inserted", what, &source, &series.series_uid]);
    let number = Digest::of_parts(["inserted", &source, &series.series_uid]).to_string();
    let patient_id = format!("SYNTHETIC-{}", number.chars().take(8).collect::<String>());
    let identity = StudyIdentity {
        patient_name: format!("{patient_id}^NODES"),
        patient_id,
        study_uid: uid("study"),
        frame_of_reference_uid: uid("frame of reference"),
        study_date: "20260101".into(),
        ..StudyIdentity::default()
    };
    let mut options =
        CtOptions::new(uid("series"), "SYNTHETIC nodes in a CT, no finding".into(), series.facts.as_ref().clone());
    // The source's position is not known to the reader of its pixels; the affine says what matters.
    options.patient_position = String::new();
    options.image_type = "DERIVED\\PRIMARY\\AXIAL".into();
    options.derivation = Some("SYNTHETIC lymph nodes were inserted by mtids; they are no finding of a patient".into());
    let folder = out.join("dicom");
    fs::create_dir_all(&folder).map_err(PhantomError::write(&folder))?;
    write_ct_series(&folder, &volume, &identity, &options)?;
    let segments: Vec<Segment> = masks
        .into_iter()
        .zip(1..)
        .filter(|(mask, _)| !mask.voxels.is_empty())
        .map(|(mask, n)| Segment { label: format!("Lymph node {n}"), mask })
        .collect();
    if !segments.is_empty() {
        let path = folder.join("SEG.dcm");
        write_segmentation(&path, &segments, volume.dimensions(), &identity, &options.series_uid)?;
    }
    let known: Vec<bool> = nodes.iter().enumerate().map(|(n, _)| config.names_station(n)).collect();
    let table =
        format!("{TABLE_HEADER}{}", rows_without_station(&nodes, &known, &identity.study_uid, &options.series_uid));
    let path = out.join("annotations.csv");
    mtids_runtime::atomic::write(&path, table.as_bytes()).map_err(PhantomError::write(&path))?;
    let summary = InsertSummary { config_digest, wanted, nodes };
    write_json(&out.join("truth.json"), &truth(&summary, &known)?)?;
    Ok(summary)
}

/// The summary with the stations that are known, and no others.
fn truth(summary: &InsertSummary, known: &[bool]) -> Result<serde_json::Value, PhantomError> {
    let mut value = serde_json::to_value(summary).map_err(|error| PhantomError::config("seed", error))?;
    for (n, known) in known.iter().enumerate() {
        if !known {
            value["nodes"][n]["station"] = serde_json::Value::Null;
        }
    }
    Ok(value)
}
