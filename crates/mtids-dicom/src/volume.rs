//! One series becomes one volume: the geometry of its slices is proved to be a regular grid, then the pixels are decoded.
//!
//! Units: mm, HU. Invariants: slices ascend along the normal; the affine comes from positions of the first and the last slice; a
//! gap, an unequal step or a tilt is an error that names the place in mm, never interpolated over.

use mtids_domain::geometry::{Affine, dot, norm, subtract};
use mtids_domain::volume::Volume;

use crate::error::{DicomError, ReasonCode};
use crate::image_header::InstanceHeader;
use crate::limits::Limits;
use crate::pet::{PetFacts, check_image, suv_factor};
use crate::pixels::{FrameReader, decode_slice, decode_values, is_readable, unsupported};
use crate::series::Series;

/// A decoded series.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadedVolume {
    /// HU on the grid of the series.
    pub volume: Volume,
    /// Some slice was compressed with loss.
    pub lossy: bool,
    /// Voxels that were padding and became air.
    pub padded_voxels: u64,
    /// What an operator may want to know; nothing here made the volume unusable.
    pub warnings: Vec<String>,
}

/// Checks the geometry of a series and returns its affine, without reading pixels.
///
/// # Errors
/// [`DicomError::Series`] with `TooFewSlices`, `MixedGeometry`, `GantryTilt`, `MissingSlices`, `UnequalSpacing`,
/// `ConflictingInstances` or `TooLarge`.
pub fn check_geometry(series: &Series, limits: &Limits) -> Result<Affine, DicomError> {
    let refuse = |reason, detail: String| DicomError::series(&series.series_uid, reason, detail);
    let slices = &series.instances;
    let needed = limits.min_slices.max(2);
    let (Some(first), Some(last)) = (slices.first(), slices.last()) else {
        return Err(refuse(ReasonCode::TooFewSlices, "no slice".into()));
    };
    if slices.len() < needed {
        return Err(refuse(ReasonCode::TooFewSlices, format!("{} slices; at least {needed} are needed", slices.len())));
    }
    let voxels = u64::from(first.rows) * u64::from(first.columns) * slices.len() as u64;
    if voxels > limits.max_voxels {
        return Err(refuse(
            ReasonCode::TooLarge,
            format!("{voxels} voxels, more than the limit of {}", limits.max_voxels),
        ));
    }
    let normal = first.normal();
    let stack = subtract(last.position.0, first.position.0);
    let height = dot(stack, normal);
    let step = height / (slices.len() - 1) as f64;
    let tolerance = limits.position_tolerance_mm.max(0.01 * step.abs());

    let steps: Vec<f64> = slices.windows(2).map(|pair| pair[1].along_normal() - pair[0].along_normal()).collect();
    if let Some(at) = steps.iter().position(|step| step.abs() < 1e-3) {
        let detail = format!("two slices at {:.2} mm along the normal", slices[at].along_normal());
        return Err(refuse(ReasonCode::ConflictingInstances, detail));
    }
    check_steps(series, &steps, limits)?;

    // Tilt is judged by vectors, not by the tag, which is known to be wrong at times.
    let tilt = (height.abs() / norm(stack)).clamp(-1.0, 1.0).acos().to_degrees();
    if tilt > limits.max_tilt_degrees {
        let detail =
            format!("slices are stacked {tilt:.2} degrees off their normal (gantry tilt); correct the series first");
        return Err(refuse(ReasonCode::GantryTilt, detail));
    }
    let step_vector = stack.map(|x| x / (slices.len() - 1) as f64);
    for (k, slice) in slices.iter().enumerate() {
        let expected: [f64; 3] = std::array::from_fn(|axis| first.position.0[axis] + k as f64 * step_vector[axis]);
        let off = norm(subtract(slice.position.0, expected));
        if off > tolerance {
            let detail = format!("slice {k} is {off:.3} mm off the line through the first and the last slice");
            return Err(refuse(ReasonCode::MixedGeometry, detail));
        }
    }
    let [row, column] = first.orientation;
    let [row_step, column_step] = first.pixel_spacing;
    // Along a row the column index grows by the column step, and the other way round.
    let steps = [row.map(|x| x * column_step), column.map(|x| x * row_step), step_vector];
    Affine::new(first.position, steps).map_err(|error| refuse(ReasonCode::MissingGeometry, error.to_string()))
}

/// All steps must equal their median; a multiple of it is a gap.
fn check_steps(series: &Series, steps: &[f64], limits: &Limits) -> Result<(), DicomError> {
    let mut sorted = steps.to_vec();
    sorted.sort_by(f64::total_cmp);
    // The lower one of two: with one slice of four missing, the larger step is the gap.
    let median = sorted[(sorted.len() - 1) / 2];
    let tolerance = limits.position_tolerance_mm.max(0.01 * median);
    let Some(at) = steps.iter().position(|step| (step - median).abs() > tolerance) else { return Ok(()) };
    let from = series.instances[at].along_normal();
    let ratio = steps[at] / median;
    let (reason, word) = if ratio > 1.5 && (ratio - ratio.round()).abs() * median <= tolerance * ratio {
        (ReasonCode::MissingSlices, "slices are missing")
    } else {
        (ReasonCode::UnequalSpacing, "steps are unequal")
    };
    let detail = format!(
        "{word}: {:.3} mm from {from:.2} mm to {:.2} mm along the normal, where the usual step is {median:.3} mm",
        steps[at],
        from + steps[at]
    );
    Err(DicomError::series(&series.series_uid, reason, detail))
}

/// Whether a series would be decoded, without reading pixels: its geometry, its compression and, for PET, its SUV. Returns its affine.
///
/// # Errors
/// As [`check_geometry`], and [`DicomError::Series`] with `LossyCompression`, `UnsupportedTransferSyntax` or `NoSuv`.
pub fn check_series(series: &Series, limits: &Limits) -> Result<Affine, DicomError> {
    let affine = check_geometry(series, limits)?;
    let refuse = |reason, detail: String| DicomError::series(&series.series_uid, reason, detail);
    if limits.refuse_lossy && series.instances.iter().any(|instance| instance.lossy) {
        let detail = "lossy compression changes HU; set reading.refuse_lossy=false to accept it";
        return Err(refuse(ReasonCode::LossyCompression, detail.into()));
    }
    if let Some(slice) = series.instances.iter().find(|slice| !is_readable(slice.transfer_syntax())) {
        let (reason, detail) = unsupported(slice.transfer_syntax());
        return Err(refuse(reason, detail));
    }
    if series.instances.iter().any(|slice| slice.pet.is_some()) {
        factor(series)?;
    }
    Ok(affine)
}

/// Decodes a series.
///
/// # Errors
/// As [`check_series`], and [`DicomError::File`] for a slice that cannot be decoded.
pub fn load_volume(series: &Series, limits: &Limits) -> Result<LoadedVolume, DicomError> {
    let (volume, padded_voxels, lossy) = decode(series, limits, decode_slice)?;
    let mut warnings = Vec::new();
    if lossy {
        warnings.push("lossy compression: HU are not those measured".to_owned());
    }
    if let Some(excess) = series.instances.iter().map(|slice| slice.pixels.excess).max().filter(|&excess| excess > 0) {
        let padded = series.instances.iter().filter(|slice| slice.pixels.excess > 0).count();
        warnings.push(format!(
            "pixel data of {padded} slices are up to {excess} bytes longer than their pixels; the excess is taken for padding"
        ));
    }
    let step = volume.affine().spacing()[2];
    if let Some(thickness) = series.facts.slice_thickness_mm.map(f64::from)
        && step > 1.5 * thickness
    {
        warnings.push(format!("slices of {thickness} mm are {step:.3} mm apart; tissue between them was not imaged"));
    }
    Ok(LoadedVolume { volume, lossy, padded_voxels, warnings })
}

/// The HU of one slice, row by row, whatever became of the others of its series.
///
/// # Errors
/// [`DicomError::File`] for a slice that cannot be decoded.
pub fn decode_image(header: &InstanceHeader, limits: &Limits) -> Result<Vec<i16>, DicomError> {
    let mut hu = Vec::new();
    decode_slice(header, limits, &mut FrameReader::default(), &mut hu)?;
    Ok(hu)
}

/// A decoded PET series.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadedPet {
    /// SUV by body weight on the grid of the series.
    pub volume: Volume<f32>,
    /// Factor from the activity of the rescaled values to SUV.
    pub factor: f64,
    /// Some slice was compressed with loss.
    pub lossy: bool,
}

/// Decodes a PET series to SUV by body weight.
///
/// # Errors
/// As [`load_volume`]; [`ReasonCode::NoSuv`] says what is missing.
pub fn load_pet(series: &Series, limits: &Limits) -> Result<LoadedPet, DicomError> {
    let factor = factor(series)?;
    let (volume, _, lossy) = decode(series, limits, decode_values)?;
    let volume = volume.map(|value| (f64::from(value) * factor) as f32);
    let voxel_ml = volume.affine().spacing().iter().product::<f64>() / 1000.0;
    let weight_kg = series.instances.first().and_then(|slice| slice.pet.as_ref()?.weight_kg);
    check_image(volume.voxels(), voxel_ml, weight_kg)
        .map_err(|detail| DicomError::series(&series.series_uid, ReasonCode::NoSuv, format!("no SUV: {detail}")))?;
    Ok(LoadedPet { volume, factor, lossy })
}

/// Factor from rescaled values to SUV.
fn factor(series: &Series) -> Result<f64, DicomError> {
    let facts: Vec<&PetFacts> = series.instances.iter().filter_map(|instance| instance.pet.as_deref()).collect();
    let refuse = |detail: String| DicomError::series(&series.series_uid, ReasonCode::NoSuv, detail);
    if facts.len() != series.instances.len() {
        return Err(refuse(format!("modality {} is not PET", series.modality)));
    }
    suv_factor(&facts).map_err(|detail| refuse(format!("no SUV: {detail}")))
}

/// Decodes one slice to the end of a buffer; returns the number of padding pixels.
type Decode<T> = fn(&InstanceHeader, &Limits, &mut FrameReader, &mut Vec<T>) -> Result<u64, DicomError>;

/// The volume, its padding voxels, and whether some slice was compressed with loss.
fn decode<T: Copy + Into<f64>>(
    series: &Series,
    limits: &Limits,
    slice: Decode<T>,
) -> Result<(Volume<T>, u64, bool), DicomError> {
    let affine = check_series(series, limits)?;
    let lossy = series.instances.iter().any(|instance| instance.lossy);
    // `check_geometry` refuses a series without slices.
    let (rows, columns) =
        series.instances.first().map(|first| (first.rows as usize, first.columns as usize)).unwrap_or_default();
    let mut voxels = Vec::with_capacity(rows * columns * series.instances.len());
    let (mut reader, mut padded) = (FrameReader::default(), 0);
    for instance in &series.instances {
        padded += slice(instance, limits, &mut reader, &mut voxels)?;
    }
    let volume = Volume::new(voxels, [columns, rows, series.instances.len()], affine)
        .map_err(|error| DicomError::series(&series.series_uid, ReasonCode::InvalidImageModule, error.to_string()))?;
    Ok((volume, padded, lossy))
}
