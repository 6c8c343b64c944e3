//! A volume as a CT Image Storage series: one file per slice.
//!
//! Stored as unsigned 16-bit with intercept −1024 and slope 1, so HU below −1024 are clamped. Positions come from the affine.

use std::path::{Path, PathBuf};

use dicom::core::VR;
use dicom::dictionary_std::{tags, uids};
use dicom::object::InMemDicomObject;
use mtids_core::geometry::norm;
use mtids_core::volume::Volume;

use crate::error::DicomError;
use crate::header::AcquisitionFacts;
use crate::uid::uid_from;
use crate::write::StudyIdentity;
use crate::write::image::{put_plane, put_samples};
use crate::write::parts::{put, put_decimals, put_identity, put_series_time, write};

/// HU of the stored value 0.
const INTERCEPT: i32 = -1024;

/// What a series says about itself, beyond its pixels.
#[derive(Clone, Debug, PartialEq)]
pub struct CtOptions {
    /// Series Instance UID.
    pub series_uid: String,
    /// SeriesDescription.
    pub description: String,
    /// Facts of the acquisition.
    pub facts: AcquisitionFacts,
}

/// SOP Instance UID of slice `k` of a series written here.
pub(crate) fn slice_uid(series_uid: &str, k: usize) -> String {
    uid_from(&["slice", series_uid, &k.to_string()])
}

/// Writes `volume` into `folder` (which must exist) as `IM0001.dcm`, `IM0002.dcm`, … and returns the paths in slice order.
///
/// # Errors
/// [`DicomError::Write`] naming the file.
pub fn write_ct_series(
    folder: &Path,
    volume: &Volume,
    identity: &StudyIdentity,
    options: &CtOptions,
) -> Result<Vec<PathBuf>, DicomError> {
    let [columns, rows, slices] = volume.dimensions();
    let small =
        |n: usize| u16::try_from(n).map_err(|_| DicomError::write(folder, format!("{n} pixels do not fit a CT image")));
    let sides = [small(rows)?, small(columns)?];
    let step_mm = norm(volume.affine().steps()[2]);
    let thickness_mm = options.facts.slice_thickness_mm.map_or(step_mm, f64::from);
    let mut paths = Vec::with_capacity(slices);
    for (k, hu) in volume.voxels().chunks_exact(rows * columns).enumerate() {
        let mut object = InMemDicomObject::new_empty();
        let instance = slice_uid(&options.series_uid, k);
        put_identity(&mut object, identity, &options.series_uid, "CT");
        put_series_time(&mut object, identity);
        put(&mut object, tags::SOP_CLASS_UID, VR::UI, uids::CT_IMAGE_STORAGE);
        put(&mut object, tags::SOP_INSTANCE_UID, VR::UI, &instance);
        put(&mut object, tags::IMAGE_TYPE, VR::CS, "ORIGINAL\\PRIMARY\\AXIAL");
        put(&mut object, tags::SERIES_DESCRIPTION, VR::LO, &options.description);
        put(&mut object, tags::SERIES_NUMBER, VR::IS, "1");
        put(&mut object, tags::ACQUISITION_NUMBER, VR::IS, "1");
        put(&mut object, tags::INSTANCE_NUMBER, VR::IS, &(k + 1).to_string());
        put(&mut object, tags::PATIENT_POSITION, VR::CS, "HFS");
        put(&mut object, tags::BURNED_IN_ANNOTATION, VR::CS, "NO");
        put_facts(&mut object, &options.facts);
        put_plane(&mut object, volume.affine(), k, thickness_mm);
        put(&mut object, tags::RESCALE_TYPE, VR::LO, "HU");
        put_decimals(&mut object, tags::WINDOW_CENTER, &[40.0]);
        put_decimals(&mut object, tags::WINDOW_WIDTH, &[400.0]);
        // An i16 minus −1024 lies in −31744..=33791, and is at least 0 after the clamp: it fits.
        let words = hu.iter().map(|&hu| (i32::from(hu) - INTERCEPT).max(0) as u16).collect();
        put_samples(&mut object, sides, words, 1.0, f64::from(INTERCEPT));
        let path = folder.join(format!("IM{:04}.dcm", k + 1));
        write(&path, object, uids::CT_IMAGE_STORAGE, &instance)?;
        paths.push(path);
    }
    Ok(paths)
}

fn put_facts(object: &mut InMemDicomObject, facts: &AcquisitionFacts) {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    put(object, tags::MANUFACTURER, VR::LO, &text(&facts.manufacturer));
    put(object, tags::MANUFACTURER_MODEL_NAME, VR::LO, &text(&facts.model));
    put(object, tags::CONVOLUTION_KERNEL, VR::SH, &text(&facts.kernel));
    match facts.kvp {
        Some(kvp) => put_decimals(object, tags::KVP, &[f64::from(kvp)]),
        None => put(object, tags::KVP, VR::DS, ""),
    }
    match facts.contrast {
        Some(true) => put(object, tags::CONTRAST_BOLUS_AGENT, VR::LO, "iodine"),
        Some(false) => put(object, tags::CONTRAST_BOLUS_AGENT, VR::LO, ""),
        None => {}
    }
}
