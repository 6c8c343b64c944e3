//! One study on disk: CT, PET, labels in their form, and the defects that were asked for.
//!
//! Invariants: a defect changes files, never the truth; labels agree with the voxels that are written; everything is marked as synthetic.

use std::fs;
use std::path::{Path, PathBuf};

use mtids_annotations::write::write_mask_nifti;
use mtids_dicom::AcquisitionFacts;
use mtids_dicom::uid::uid_from;
use mtids_dicom::write::{
    CtOptions, Encoding, PetOptions, Segment, StudyIdentity, write_ct_series, write_enhanced_ct, write_pet_series,
    write_segmentation, write_structures,
};
use mtids_domain::annotation::Mask;
use mtids_domain::geometry::{Affine, PointMm, Voxel};
use mtids_domain::volume::Volume;

use crate::config::{PhantomConfig, Phase};
use crate::defect::Defect;
use crate::error::PhantomError;
use crate::patient::{LabelForm, Patient, SCANNER_MODEL, patient_id};
use crate::render::{self, PADDING_HU};
use crate::voxel_reader::statistics_around;

/// Where a study went.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) identity: StudyIdentity,
    pub(crate) series_uid: String,
    /// What the voxel reader sees of each node; none where the preprocessing must refuse the series, so that nobody reads it.
    pub(crate) statistics: Option<Vec<Vec<f32>>>,
}

/// Writes a patient's study into `tree`, and a label map into `masks` where that is the form of its labels.
///
/// # Errors
/// [`PhantomError`] naming the file.
pub(crate) fn write(
    config: &PhantomConfig,
    cohort: &str,
    patient: &Patient,
    tree: &Path,
    masks_folder: &Path,
) -> Result<Written, PhantomError> {
    let name = patient_id(patient.number);
    // Cohorts of other settings share no identifier: the same UID always means the same pixels.
    let uid = |what: &str| uid_from(&["phantom", what, cohort, &name]);
    let identity = StudyIdentity {
        patient_id: name.clone(),
        patient_name: format!("{name}^SYNTHETIC"),
        study_uid: uid("study"),
        frame_of_reference_uid: uid("frame of reference"),
        study_date: "20260101".into(),
        ..StudyIdentity::default()
    };
    let folder = tree.join(&name).join("study-1");
    fresh(&folder)?;
    let (mut volume, mut masks) = render::ct(config, patient)?;
    let readable = patient.refusal().is_none();
    let points = patient.nodes.iter().map(|node| node.center_mm);
    let statistics = readable.then(|| statistics_around(&volume, points));
    let mut options = CtOptions::new(uid("series"), "SYNTHETIC chest CT, not a patient".into(), facts(patient));
    let site = &patient.site;
    (options.encoding, options.intercept, options.slope, options.signed) =
        (site.encoding, site.intercept, site.slope, site.signed);
    options.padding = site.padded.then_some(PADDING_HU);
    options.gantry_tilt_degrees = (site.tilt_degrees != 0.0).then_some(site.tilt_degrees);
    match patient.defect {
        Some(Defect::ProneFlipped) => {
            (volume, masks) = turned(&volume, masks)?;
            options.patient_position = "HFP".into();
        }
        Some(Defect::JpegLs) => options.encoding = Encoding::JpegLs,
        Some(Defect::RescalePerSlice) => options.rescale_per_slice = true,
        _ => {}
    }
    if patient.defect == Some(Defect::EnhancedCt) {
        write_enhanced_ct(&folder.join("IM0001.dcm"), &volume, &identity, &options)?;
    } else {
        let paths = write_ct_series(&folder, &volume, &identity, &options)?;
        if let Some(defect) = patient.defect {
            damage(defect, &folder, &paths, &volume, &identity, &options)?;
        }
    }
    write_labels(patient, &masks, &volume, &identity, &options.series_uid, &folder, masks_folder)?;
    if patient.pet {
        let suv = render::pet(config, patient)?;
        let pet = PetOptions {
            series_uid: uid("pet"),
            description: "SYNTHETIC PET, not a patient".into(),
            manufacturer: site.manufacturer.clone(),
            weight_kg: (60.0 + 100.0 * (patient.anatomy.size - 0.93)).round(),
            dose_bq: 3.0e8,
        };
        write_pet_series(&folder, &suv, &identity, &pet)?;
    }
    Ok(Written { identity, series_uid: options.series_uid, statistics })
}

fn facts(patient: &Patient) -> AcquisitionFacts {
    let site = &patient.site;
    AcquisitionFacts {
        manufacturer: Some(site.manufacturer.clone()),
        model: Some(SCANNER_MODEL.to_owned()),
        kernel: Some(site.kernel.clone()),
        slice_thickness_mm: Some((patient.spacing[2] * 100.0).round() as f32 / 100.0),
        kvp: Some(120.0),
        contrast: Some(site.phase != Phase::Native),
    }
}

/// A folder without what an earlier, killed run left in it.
fn fresh(folder: &Path) -> Result<(), PhantomError> {
    let make = || match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => fs::create_dir_all(folder),
    };
    make().map_err(PhantomError::write(folder))
}

fn write_labels(
    patient: &Patient,
    masks: &[Mask],
    volume: &Volume,
    identity: &StudyIdentity,
    series_uid: &str,
    folder: &Path,
    masks_folder: &Path,
) -> Result<(), PhantomError> {
    let dimensions = volume.dimensions();
    // A node smaller than a voxel has no mask; the numbers stay those of the table.
    let segments: Vec<Segment> = masks
        .iter()
        .zip(1..)
        .filter(|(mask, _)| !mask.voxels.is_empty())
        .map(|(mask, n)| Segment { label: format!("Lymph node {n}"), mask: mask.clone() })
        .collect();
    if segments.is_empty() {
        return Ok(());
    }
    match patient.form {
        LabelForm::Table => {}
        LabelForm::Segmentation => {
            write_segmentation(&folder.join("SEG.dcm"), &segments, dimensions, identity, series_uid)?;
        }
        LabelForm::Structures => {
            write_structures(&folder.join("RS.dcm"), &segments, dimensions, identity, series_uid)?;
        }
        LabelForm::Nifti => {
            let path = masks_folder.join(format!("{series_uid}.nii.gz"));
            write_mask_nifti(&path, masks, volume.affine(), dimensions)?;
        }
    }
    Ok(())
}

/// The same voxels stored turned by 180 degrees in the plane.
fn turned(volume: &Volume, masks: Vec<Mask>) -> Result<(Volume, Vec<Mask>), PhantomError> {
    let [columns, rows, _] = volume.dimensions();
    let affine = volume.affine();
    let steps = affine.steps();
    let far = affine.to_mm(Voxel([columns as f64 - 1.0, rows as f64 - 1.0, 0.0]));
    let flipped = Affine::new(PointMm(far.0), [steps[0].map(|x| -x), steps[1].map(|x| -x), steps[2]])
        .map_err(|error| PhantomError::config("dimensions", error))?;
    let mut voxels = volume.voxels().to_vec();
    voxels.chunks_exact_mut(columns * rows).for_each(<[i16]>::reverse);
    let volume =
        Volume::new(voxels, volume.dimensions(), flipped).map_err(|error| PhantomError::config("dimensions", error))?;
    let masks = masks
        .into_iter()
        .map(|mask| {
            // Indices lie inside the grid, whose sides fit 16 bits.
            let turn = |[i, j, k]: [u32; 3]| [columns as u32 - 1 - i, rows as u32 - 1 - j, k];
            let mut voxels: Vec<[u32; 3]> = mask.voxels.into_iter().map(turn).collect();
            voxels.sort_by_key(|&[i, j, k]| [k, j, i]);
            Mask { affine: flipped, voxels }
        })
        .collect();
    Ok((volume, masks))
}

/// Does to written files what the defect says.
fn damage(
    defect: Defect,
    folder: &Path,
    paths: &[PathBuf],
    volume: &Volume,
    identity: &StudyIdentity,
    options: &CtOptions,
) -> Result<(), PhantomError> {
    let middle = paths.len() / 2;
    let remove = |path: &PathBuf| fs::remove_file(path).map_err(PhantomError::write(path));
    match defect {
        Defect::DuplicateInstance => {
            let copy = folder.join("COPY.dcm");
            fs::copy(&paths[middle], &copy).map_err(PhantomError::write(&copy))?;
        }
        Defect::MissingSlice => remove(&paths[middle])?,
        Defect::UnequalSpacing => {
            // Steps of two and of three slices: neither is a multiple of the other, so this is no gap.
            let kept = |n: usize| if n < middle { n.is_multiple_of(2) } else { (n - middle).is_multiple_of(3) };
            paths.iter().enumerate().filter(|(n, _)| !kept(*n)).try_for_each(|(_, path)| remove(path))?;
        }
        Defect::Truncated => {
            // One inside its pixels, one inside its header.
            for (path, keep) in [(&paths[middle], 0.7), (&paths[middle + 2], 0.0)] {
                let bytes = fs::read(path).map_err(PhantomError::write(path))?;
                let keep = ((bytes.len() as f64 * keep) as usize).max(600);
                fs::write(path, &bytes[..keep.min(bytes.len())]).map_err(PhantomError::write(path))?;
            }
        }
        Defect::MixedFolder => mix(folder, volume, identity, options)?,
        // Done before or while the files were written.
        Defect::EnhancedCt | Defect::JpegLs | Defect::ProneFlipped | Defect::RescalePerSlice | Defect::GantryTilt => {}
    }
    Ok(())
}

/// A scout, a short second series, a text and an empty file beside the series.
fn mix(folder: &Path, volume: &Volume, identity: &StudyIdentity, options: &CtOptions) -> Result<(), PhantomError> {
    let [columns, rows, slices] = volume.dimensions();
    let area = columns * rows;
    let part = |from: usize, count: usize| {
        let origin = volume.affine().to_mm(Voxel([0.0, 0.0, from as f64]));
        let affine = Affine::new(origin, volume.affine().steps());
        let voxels = volume.voxels()[from * area..(from + count) * area].to_vec();
        affine
            .map_err(|error| error.to_string())
            .and_then(|affine| Volume::new(voxels, [columns, rows, count], affine).map_err(|error| error.to_string()))
            .map_err(|reason| PhantomError::config("dimensions", reason))
    };
    let other = |what: &str, number: u32| {
        let mut other = options.clone();
        other.series_uid = uid_from(&["phantom", what, &options.series_uid]);
        other.series_number = number;
        other.acquisition_number = number;
        other
    };
    let mut scout = other("scout", 10);
    (scout.image_type, scout.file_prefix) = ("ORIGINAL\\PRIMARY\\LOCALIZER".into(), "SC".into());
    write_ct_series(folder, &part(slices / 2, 1)?, identity, &scout)?;
    let mut second = other("second", 11);
    second.file_prefix = "XX".into();
    second.facts.kernel = Some("other".into());
    write_ct_series(folder, &part(slices / 3, 8.min(slices - slices / 3))?, identity, &second)?;
    for (name, text) in [("notes.txt", "a text file among images\n"), ("empty.dcm", "")] {
        let path = folder.join(name);
        fs::write(&path, text).map_err(PhantomError::write(&path))?;
    }
    Ok(())
}
