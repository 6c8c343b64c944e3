//! A volume as a CT Image Storage series: one file per slice.
//!
//! Invariants: positions come from the affine; how HU are stored is that of the options. Units: HU, LPS mm.

use std::path::{Path, PathBuf};

use dicom_core::VR;
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;
use mtids_domain::geometry::norm;
use mtids_domain::volume::Volume;

use crate::error::DicomError;
use crate::image_header::AcquisitionFacts;
use crate::uid::uid_from;
use crate::write::identity::StudyIdentity;
use crate::write::image::{put_pixel_module, put_plane};
use crate::write::options::CtOptions;
use crate::write::parts::{put, put_decimals, put_identity, put_series_time};

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
        let path = folder.join(format!("{}{:04}.dcm", options.file_prefix, k + 1));
        let fail = |detail: String| DicomError::write(&path, detail);
        let rescale = options.rescale(k).map_err(fail)?;
        let mut object = InMemDicomObject::new_empty();
        let instance = slice_uid(&options.series_uid, k);
        put_identity(&mut object, identity, &options.series_uid, "CT");
        put_series_time(&mut object, identity);
        options.put(&mut object);
        put(&mut object, tags::SOP_CLASS_UID, VR::UI, uids::CT_IMAGE_STORAGE);
        put(&mut object, tags::SOP_INSTANCE_UID, VR::UI, &instance);
        put(&mut object, tags::IMAGE_TYPE, VR::CS, &options.image_type);
        put(&mut object, tags::ACQUISITION_NUMBER, VR::IS, &options.acquisition_number.to_string());
        put(&mut object, tags::INSTANCE_NUMBER, VR::IS, &(k + 1).to_string());
        put_facts(&mut object, &options.facts);
        if let Some(tilt) = options.gantry_tilt_degrees {
            put_decimals(&mut object, tags::GANTRY_DETECTOR_TILT, &[tilt]);
        }
        put_plane(&mut object, volume.affine(), k, thickness_mm);
        put_decimals(&mut object, tags::WINDOW_CENTER, &[40.0]);
        put_decimals(&mut object, tags::WINDOW_WIDTH, &[400.0]);
        put_pixel_module(&mut object, sides, options.signed);
        if let Some(padding) = options.padding {
            rescale.put_padding(&mut object, padding);
        }
        rescale.put(&mut object);
        let words = hu.iter().map(|&hu| rescale.word(hu)).collect();
        options.encoding.put_frames(&mut object, vec![words], sides[1]).map_err(fail)?;
        options.encoding.write(&path, object, uids::CT_IMAGE_STORAGE, &instance)?;
        paths.push(path);
    }
    Ok(paths)
}

fn put_facts(object: &mut InMemDicomObject, facts: &AcquisitionFacts) {
    put(object, tags::CONVOLUTION_KERNEL, VR::SH, facts.kernel.as_deref().unwrap_or_default());
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
