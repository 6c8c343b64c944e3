//! A volume as one Enhanced CT Image Storage object: every slice is a frame.
//!
//! Invariants: frames are in slice order and form one stack; each says where it lies and how its stored values become HU, so a reader needs
//! no other frame. Units: HU, LPS mm.

use std::path::Path;

use dicom_core::{Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;
use mtids_domain::geometry::norm;
use mtids_domain::volume::Volume;

use crate::error::DicomError;
use crate::uid::uid_from;
use crate::write::enhanced_acquisition::put_acquisition;
use crate::write::identity::StudyIdentity;
use crate::write::image::{put_measures, put_orientation, put_pixel_module, put_position};
use crate::write::options::CtOptions;
use crate::write::options::Rescale;
use crate::write::parts::{
    code, dimension_index, put, put_decimals, put_doubles, put_equipment_identity, put_identity, put_items, put_longs,
    put_series_time, put_short,
};

/// Writes `volume` to `path`, a frame for each slice.
///
/// A fact that the caller does not give is left empty, as in single frames, though the standard wants a value.
///
/// # Errors
/// [`DicomError::Write`] for a volume that does not fit, for padding together with a rescale per slice (one stored value marks the padding of
/// all frames), or an error of writing.
pub fn write_enhanced_ct(
    path: &Path,
    volume: &Volume,
    identity: &StudyIdentity,
    options: &CtOptions,
) -> Result<(), DicomError> {
    let fail = |detail: String| DicomError::write(path, detail);
    let [columns, rows, slices] = volume.dimensions();
    let small = |n: usize| u16::try_from(n).map_err(|_| fail(format!("{n} pixels do not fit a CT image")));
    let sides = [small(rows)?, small(columns)?];
    let rescales = (0..slices).map(|k| options.rescale(k)).collect::<Result<Vec<_>, _>>().map_err(fail)?;
    if options.padding.is_some() && options.rescale_per_slice {
        return Err(fail("one stored value cannot mark the padding of frames with intercepts of their own".into()));
    }
    let instance = uid_from(&["enhanced", &options.series_uid]);
    let mut object = InMemDicomObject::new_empty();
    put_identity(&mut object, identity, &options.series_uid, "CT");
    put_series_time(&mut object, identity);
    options.put(&mut object);
    put_equipment_identity(&mut object);
    let image_type = frame_type(&options.image_type);
    let now = format!("{}120000", identity.study_date);
    for (tag, vr, value) in [
        (tags::SOP_CLASS_UID, VR::UI, uids::ENHANCED_CT_IMAGE_STORAGE),
        (tags::SOP_INSTANCE_UID, VR::UI, instance.as_str()),
        (tags::INSTANCE_NUMBER, VR::IS, "1"),
        (tags::IMAGE_TYPE, VR::CS, &image_type),
        (tags::NUMBER_OF_FRAMES, VR::IS, &slices.to_string()),
        (tags::ACQUISITION_NUMBER, VR::IS, &options.acquisition_number.to_string()),
        (tags::ACQUISITION_DATE_TIME, VR::DT, &now),
        (tags::CONTENT_QUALIFICATION, VR::CS, "RESEARCH"),
        (tags::LOSSY_IMAGE_COMPRESSION, VR::CS, "00"),
        (tags::PRESENTATION_LUT_SHAPE, VR::CS, "IDENTITY"),
    ] {
        put(&mut object, tag, vr, value);
    }
    put_presentation(&mut object);
    put_doubles(&mut object, tags::ACQUISITION_DURATION, &[1.0]);
    put_items(&mut object, tags::ACQUISITION_CONTEXT_SEQUENCE, Vec::new());
    if options.facts.contrast == Some(true) {
        put_items(&mut object, tags::CONTRAST_BOLUS_AGENT_SEQUENCE, vec![contrast_agent()]);
    }
    put_dimensions(&mut object, &options.series_uid);
    let thickness_mm = options.facts.slice_thickness_mm.map_or(norm(volume.affine().steps()[2]), f64::from);
    let mut shared = InMemDicomObject::new_empty();
    put_shared(&mut shared, volume, options, &image_type, thickness_mm);
    put_items(&mut object, tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, vec![shared]);
    let frame = |(k, rescale): (usize, &Rescale)| {
        let mut position = InMemDicomObject::new_empty();
        put_position(&mut position, volume.affine(), k);
        let mut transform = InMemDicomObject::new_empty();
        rescale.put(&mut transform);
        let mut group = InMemDicomObject::new_empty();
        put_items(&mut group, tags::FRAME_CONTENT_SEQUENCE, vec![content(k, &now, options.acquisition_number)]);
        put_items(&mut group, tags::PLANE_POSITION_SEQUENCE, vec![position]);
        put_items(&mut group, tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE, vec![transform]);
        group
    };
    let groups = rescales.iter().enumerate().map(frame).collect();
    put_items(&mut object, tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, groups);
    put_pixel_module(&mut object, sides, options.signed);
    if let (Some(padding), Some(rescale)) = (options.padding, rescales.first()) {
        rescale.put_padding(&mut object, padding);
    }
    let slices = volume.voxels().chunks_exact(rows * columns).zip(&rescales);
    let frames = slices.map(|(hu, rescale)| hu.iter().map(|&hu| rescale.word(hu)).collect()).collect();
    options.encoding.put_frames(&mut object, frames, sides[1]).map_err(fail)?;
    options.encoding.write(path, object, uids::ENHANCED_CT_IMAGE_STORAGE, &instance)
}

/// An image type with the four values of enhanced objects: their second is always `PRIMARY`, and their third knows no `AXIAL`.
fn frame_type(image_type: &str) -> String {
    let mut given = image_type.split('\\').map(str::trim);
    let origin = given.next().filter(|value| !value.is_empty()).unwrap_or("ORIGINAL");
    let flavor = given.nth(1).filter(|value| *value != "AXIAL").unwrap_or("VOLUME");
    let contrast = given.next().unwrap_or("NONE");
    format!("{origin}\\PRIMARY\\{flavor}\\{contrast}")
}

/// What pixels are, at the top and in each frame's type.
fn put_presentation(object: &mut InMemDicomObject) {
    put(object, tags::PIXEL_PRESENTATION, VR::CS, "MONOCHROME");
    put(object, tags::VOLUMETRIC_PROPERTIES, VR::CS, "VOLUME");
    put(object, tags::VOLUME_BASED_CALCULATION_TECHNIQUE, VR::CS, "NONE");
}

/// Frames are counted by stack and by place in it.
fn put_dimensions(object: &mut InMemDicomObject, series_uid: &str) {
    let organisation_uid = uid_from(&["dimension organisation of frames", series_uid]);
    let mut organisation = InMemDicomObject::new_empty();
    put(&mut organisation, tags::DIMENSION_ORGANIZATION_UID, VR::UI, &organisation_uid);
    put_items(object, tags::DIMENSION_ORGANIZATION_SEQUENCE, vec![organisation]);
    let index = |pointer: Tag| dimension_index(&organisation_uid, pointer, tags::FRAME_CONTENT_SEQUENCE);
    let indices = [tags::STACK_ID, tags::IN_STACK_POSITION_NUMBER].map(index);
    put_items(object, tags::DIMENSION_INDEX_SEQUENCE, indices.into());
}

fn put_shared(group: &mut InMemDicomObject, volume: &Volume, options: &CtOptions, frame_type: &str, thickness_mm: f64) {
    let mut put_one = |sequence: Tag, fill: &dyn Fn(&mut InMemDicomObject)| {
        let mut item = InMemDicomObject::new_empty();
        fill(&mut item);
        put_items(group, sequence, vec![item]);
    };
    put_one(tags::PIXEL_MEASURES_SEQUENCE, &|item| {
        put_measures(item, volume.affine(), thickness_mm);
        put_decimals(item, tags::SPACING_BETWEEN_SLICES, &[norm(volume.affine().steps()[2])]);
    });
    put_one(tags::PLANE_ORIENTATION_SEQUENCE, &|item| put_orientation(item, volume.affine()));
    put_one(tags::FRAME_ANATOMY_SEQUENCE, &|item| {
        put(item, tags::FRAME_LATERALITY, VR::CS, "U");
        put_items(item, tags::ANATOMIC_REGION_SEQUENCE, vec![code("43799004", "SCT", "Chest")]);
    });
    put_one(tags::CT_IMAGE_FRAME_TYPE_SEQUENCE, &|item| {
        put(item, tags::FRAME_TYPE, VR::CS, frame_type);
        put_presentation(item);
    });
    put_one(tags::FRAME_VOILUT_SEQUENCE, &|item| {
        put_decimals(item, tags::WINDOW_CENTER, &[40.0]);
        put_decimals(item, tags::WINDOW_WIDTH, &[400.0]);
    });
    put_one(tags::IRRADIATION_EVENT_IDENTIFICATION_SEQUENCE, &|item| {
        put(item, tags::IRRADIATION_EVENT_UID, VR::UI, &uid_from(&["irradiation event", &options.series_uid]));
    });
    if options.facts.contrast == Some(true) {
        put_one(tags::CONTRAST_BOLUS_USAGE_SEQUENCE, &|item| {
            put_short(item, tags::CONTRAST_BOLUS_AGENT_NUMBER, 1);
            put(item, tags::CONTRAST_BOLUS_AGENT_ADMINISTERED, VR::CS, "YES");
            put(item, tags::CONTRAST_BOLUS_AGENT_DETECTED, VR::CS, "YES");
        });
    }
    put_acquisition(group, volume, options);
}

/// Number and time of frame `k`.
fn content(k: usize, now: &str, acquisition: u32) -> InMemDicomObject {
    let mut item = InMemDicomObject::new_empty();
    // A volume has fewer than 2³² slices.
    let place = k as u32 + 1;
    if let Ok(number) = u16::try_from(acquisition) {
        put_short(&mut item, tags::FRAME_ACQUISITION_NUMBER, number);
    }
    put(&mut item, tags::FRAME_REFERENCE_DATE_TIME, VR::DT, now);
    put(&mut item, tags::FRAME_ACQUISITION_DATE_TIME, VR::DT, now);
    put_doubles(&mut item, tags::FRAME_ACQUISITION_DURATION, &[500.0]);
    put(&mut item, tags::STACK_ID, VR::SH, "1");
    put_longs(&mut item, tags::IN_STACK_POSITION_NUMBER, &[place]);
    put_longs(&mut item, tags::DIMENSION_INDEX_VALUES, &[1, place]);
    item
}

fn contrast_agent() -> InMemDicomObject {
    let mut item = code("44588005", "SCT", "Iodinated contrast agent");
    put_short(&mut item, tags::CONTRAST_BOLUS_AGENT_NUMBER, 1);
    let route = code("47625008", "SCT", "Intravenous route");
    put_items(&mut item, tags::CONTRAST_BOLUS_ADMINISTRATION_ROUTE_SEQUENCE, vec![route]);
    put_items(&mut item, tags::CONTRAST_BOLUS_INGREDIENT_CODE_SEQUENCE, vec![code("44588005", "SCT", "Iodine")]);
    put_decimals(&mut item, tags::CONTRAST_BOLUS_VOLUME, &[80.0]);
    put_decimals(&mut item, tags::CONTRAST_BOLUS_INGREDIENT_CONCENTRATION, &[300.0]);
    item
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_types_have_four_values() {
        assert_eq!(frame_type("ORIGINAL\\PRIMARY\\AXIAL"), "ORIGINAL\\PRIMARY\\VOLUME\\NONE");
        assert_eq!(frame_type("DERIVED\\SECONDARY"), "DERIVED\\PRIMARY\\VOLUME\\NONE");
        assert_eq!(frame_type("ORIGINAL\\PRIMARY\\LOCALIZER\\NONE\\X"), "ORIGINAL\\PRIMARY\\LOCALIZER\\NONE");
    }
}
