//! SUV as a PET Image Storage series: one file per slice, activity in Bq/ml with a slope of its own.
//!
//! Invariant: reading the series back gives the SUV within half a step of the slope. Units: SUV by body weight in, Bq/ml stored.

use std::path::{Path, PathBuf};

use dicom_core::VR;
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;
use mtids_domain::geometry::norm;
use mtids_domain::volume::Volume;

use crate::error::DicomError;
use crate::uid::uid_from;
use crate::write::encoding::Encoding;
use crate::write::identity::StudyIdentity;
use crate::write::image::{put_pixel_module, put_plane};
use crate::write::parts::{code, put, put_decimals, put_identity, put_items, put_series_time, put_short, put_words};

/// Half-life of fluorine-18 in s.
const HALF_LIFE_S: f64 = 6586.2;

/// What a PET series says about itself, beyond its pixels.
#[derive(Clone, Debug, PartialEq)]
pub struct PetOptions {
    /// Series Instance UID.
    pub series_uid: String,
    /// SeriesDescription.
    pub description: String,
    /// Manufacturer.
    pub manufacturer: String,
    /// Body weight in kg.
    pub weight_kg: f64,
    /// Injected dose in Bq, one hour before the scan at noon.
    pub dose_bq: f64,
}

/// Writes `suv` into `folder` (which must exist) as `PT0001.dcm`, … and returns the paths in slice order.
///
/// # Errors
/// [`DicomError::Write`] naming the file; weight and dose must be above 0.
pub fn write_pet_series(
    folder: &Path,
    suv: &Volume<f32>,
    identity: &StudyIdentity,
    options: &PetOptions,
) -> Result<Vec<PathBuf>, DicomError> {
    if !(options.weight_kg > 0.0 && options.dose_bq > 0.0) {
        return Err(DicomError::write(folder, "SUV needs a weight and a dose above 0"));
    }
    let [columns, rows, slices] = suv.dimensions();
    let small =
        |n: usize| u16::try_from(n).map_err(|_| DicomError::write(folder, format!("{n} pixels do not fit an image")));
    let sides = [small(rows)?, small(columns)?];
    let factor = 1000.0 * options.weight_kg / (options.dose_bq * (-3600.0 / HALF_LIFE_S).exp2());
    let mut paths = Vec::with_capacity(slices);
    for (k, slice) in suv.voxels().chunks_exact(rows * columns).enumerate() {
        let activity: Vec<f64> = slice.iter().map(|&suv| f64::from(suv.max(0.0)) / factor).collect();
        let most = activity.iter().copied().fold(0.0, f64::max);
        // As DS: what a reader will multiply with is the rounded text.
        let text = crate::write::parts::decimal(if most > 0.0 { most / 65535.0 } else { 1.0 });
        let slope: f64 = text.parse().map_err(|_| DicomError::write(folder, format!("slope {text}")))?;
        let words = activity.iter().map(|value| (value / slope).round() as u16).collect();

        let instance = uid_from(&["slice", &options.series_uid, &k.to_string()]);
        let mut object = InMemDicomObject::new_empty();
        put_identity(&mut object, identity, &options.series_uid, "PT");
        put_series_time(&mut object, identity);
        put(&mut object, tags::SOP_CLASS_UID, VR::UI, uids::POSITRON_EMISSION_TOMOGRAPHY_IMAGE_STORAGE);
        put(&mut object, tags::SOP_INSTANCE_UID, VR::UI, &instance);
        for (tag, vr, value) in [
            (tags::IMAGE_TYPE, VR::CS, "ORIGINAL\\PRIMARY"),
            (tags::SERIES_DESCRIPTION, VR::LO, options.description.as_str()),
            (tags::MANUFACTURER, VR::LO, options.manufacturer.as_str()),
            (tags::SERIES_NUMBER, VR::IS, "4"),
            (tags::INSTANCE_NUMBER, VR::IS, &(k + 1).to_string()),
            (tags::ACQUISITION_DATE, VR::DA, identity.study_date.as_str()),
            (tags::ACQUISITION_TIME, VR::TM, "120000"),
            (tags::BURNED_IN_ANNOTATION, VR::CS, "NO"),
            (tags::UNITS, VR::CS, "BQML"),
            (tags::COUNTS_SOURCE, VR::CS, "EMISSION"),
            (tags::SERIES_TYPE, VR::CS, "WHOLE BODY\\IMAGE"),
            (tags::DECAY_CORRECTION, VR::CS, "START"),
            (tags::CORRECTED_IMAGE, VR::CS, "DECY\\ATTN"),
            (tags::COLLIMATOR_TYPE, VR::CS, "NONE"),
            (tags::RANDOMS_CORRECTION_METHOD, VR::CS, "NONE"),
        ] {
            put(&mut object, tag, vr, value);
        }
        put_decimals(&mut object, tags::PATIENT_WEIGHT, &[options.weight_kg]);
        put_decimals(&mut object, tags::FRAME_REFERENCE_TIME, &[0.0]);
        put_decimals(&mut object, tags::DECAY_FACTOR, &[1.0]);
        put(&mut object, tags::ACTUAL_FRAME_DURATION, VR::IS, "120000");
        put_short(&mut object, tags::NUMBER_OF_SLICES, small(slices)?);
        put_short(&mut object, tags::IMAGE_INDEX, small(k + 1)?);
        put_items(&mut object, tags::RADIOPHARMACEUTICAL_INFORMATION_SEQUENCE, vec![tracer(options)]);
        put_items(&mut object, tags::PATIENT_ORIENTATION_CODE_SEQUENCE, vec![code("102538003", "SCT", "recumbent")]);
        put_items(
            &mut object,
            tags::PATIENT_GANTRY_RELATIONSHIP_CODE_SEQUENCE,
            vec![code("102540008", "SCT", "headfirst")],
        );
        put_plane(&mut object, suv.affine(), k, norm(suv.affine().steps()[2]));
        put_pixel_module(&mut object, sides, false);
        put_decimals(&mut object, tags::RESCALE_INTERCEPT, &[0.0]);
        put_decimals(&mut object, tags::RESCALE_SLOPE, &[slope]);
        put_words(&mut object, words);
        let path = folder.join(format!("PT{:04}.dcm", k + 1));
        Encoding::ExplicitLittle.write(&path, object, uids::POSITRON_EMISSION_TOMOGRAPHY_IMAGE_STORAGE, &instance)?;
        paths.push(path);
    }
    Ok(paths)
}

fn tracer(options: &PetOptions) -> InMemDicomObject {
    let mut item = InMemDicomObject::new_empty();
    put(&mut item, tags::RADIOPHARMACEUTICAL, VR::LO, "Fluorodeoxyglucose");
    put(&mut item, tags::RADIOPHARMACEUTICAL_START_TIME, VR::TM, "110000");
    put_decimals(&mut item, tags::RADIONUCLIDE_TOTAL_DOSE, &[options.dose_bq]);
    put_decimals(&mut item, tags::RADIONUCLIDE_HALF_LIFE, &[HALF_LIFE_S]);
    put_items(&mut item, tags::RADIONUCLIDE_CODE_SEQUENCE, vec![code("77004003", "SCT", "^18^Fluorine")]);
    put_items(
        &mut item,
        tags::RADIOPHARMACEUTICAL_CODE_SEQUENCE,
        vec![code("35321007", "SCT", "Fluorodeoxyglucose F^18^")],
    );
    item
}
