//! One series becomes one volume: its geometry is judged ([`crate::grid`]), then the pixels are decoded.
//!
//! Units: mm, HU. Invariants: slices ascend along the normal; values are those of the files, unless the grid says that the series was
//! repaired; then [`LoadedVolume::invented`] says which voxels nobody measured.

use mtids_domain::repair::Repair;
use mtids_domain::volume::{AIR_HU, Volume};

use crate::error::{DicomError, ReasonCode};
use crate::grid::layout;
use crate::image_header::InstanceHeader;
use crate::invented::Invented;
use crate::limits::Limits;
use crate::pet::{PetFacts, check_image, suv_factor};
use crate::pixels::{FrameReader, decode_slice, decode_values, is_readable, unsupported};
use crate::repair::Resampling;
use crate::resample::{Element, resample};
use crate::series::Series;
use crate::tally::Tally;

pub use crate::grid::{SeriesGrid, check_geometry};

/// A decoded series.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadedVolume {
    /// HU on the grid of the series.
    pub volume: Volume,
    /// Some slice was compressed with loss.
    pub lossy: bool,
    /// Voxels that were padding and became air.
    pub padded_voxels: u64,
    /// The repair that made the grid regular, if any.
    pub repaired: Option<Repair>,
    /// Voxels that nobody measured.
    pub invented: Invented,
    /// What an operator may want to know; nothing here made the volume unusable.
    pub warnings: Vec<String>,
}

/// Whether a series would be decoded, without reading pixels: its geometry, its compression and, for PET, its SUV. Returns its grid.
///
/// # Errors
/// As [`check_geometry`], and [`DicomError::Series`] with `LossyCompression`, `UnsupportedTransferSyntax` or `NoSuv`.
pub fn check_series(series: &Series, limits: &Limits) -> Result<SeriesGrid, DicomError> {
    check_all(series, limits).map(|(grid, _)| grid)
}

fn check_all(series: &Series, limits: &Limits) -> Result<(SeriesGrid, Option<Resampling>), DicomError> {
    let layout = layout(series, limits)?;
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
    Ok(layout)
}

/// Decodes a series.
///
/// # Errors
/// As [`check_series`], and [`DicomError::File`] for a slice that cannot be decoded.
pub fn load_volume(series: &Series, limits: &Limits) -> Result<LoadedVolume, DicomError> {
    // Rounded half away from zero, as patches are; the cast saturates.
    let element = Element { from: |hu| hu.round() as i16, outside: f64::from(AIR_HU) };
    let Decoded { volume, tally, lossy, repaired, invented } = decode(series, limits, decode_slice, element)?;
    let mut warnings = series.warnings.clone();
    if lossy {
        warnings.push("lossy compression: HU are not those measured".to_owned());
    }
    if let Some(excess) = series.instances.iter().map(|slice| slice.pixels.excess).max().filter(|&excess| excess > 0) {
        let padded = series.instances.iter().filter(|slice| slice.pixels.excess > 0).count();
        warnings.push(format!(
            "pixel data of {padded} slices are up to {excess} bytes longer than their pixels; the excess is taken for padding"
        ));
    }
    let [column, row, step] = volume.affine().spacing();
    let [columns, rows, _] = volume.dimensions();
    warnings.extend(tally.warnings([column * columns as f64, row * rows as f64], padding_hu(series)));
    if let Some(thickness) = series.facts.slice_thickness_mm.map(f64::from)
        && step > 1.5 * thickness
    {
        warnings.push(format!("slices of {thickness} mm are {step:.3} mm apart; tissue between them was not imaged"));
    }
    if let Some(repair) = repaired {
        let slices = invented.slices();
        warnings.push(format!(
            "repaired by resampling ({}), {slices} of its slices interpolated over a gap",
            repair.name()
        ));
    }
    Ok(LoadedVolume { volume, lossy, padded_voxels: tally.padded, repaired, invented, warnings })
}

/// The values that padding of a series would have had: of the slice in which they reach highest.
fn padding_hu(series: &Series) -> Option<[f64; 2]> {
    let of_slice = |slice: &InstanceHeader| {
        let (low, high) = slice.pixels.padding?;
        let ends = [low, high].map(|stored| slice.modality_lut.value(stored));
        Some([ends[0].min(ends[1]), ends[0].max(ends[1])])
    };
    series.instances.iter().filter_map(of_slice).max_by(|a, b| a[1].total_cmp(&b[1]))
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
    let element = Element { from: |activity| activity as f32, outside: 0.0 };
    let Decoded { volume, lossy, .. } = decode(series, limits, decode_values, element)?;
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

/// Decodes one slice to the end of a buffer; returns what was counted of its pixels.
type Decode<T> = fn(&InstanceHeader, &Limits, &mut FrameReader, &mut Vec<T>) -> Result<Tally, DicomError>;

/// The voxels of a series on its grid.
struct Decoded<T> {
    volume: Volume<T>,
    tally: Tally,
    /// Some slice was compressed with loss.
    lossy: bool,
    repaired: Option<Repair>,
    invented: Invented,
}

fn decode<T: Copy + Into<f64>>(
    series: &Series,
    limits: &Limits,
    slice: Decode<T>,
    element: Element<T>,
) -> Result<Decoded<T>, DicomError> {
    let (grid, resampling) = check_all(series, limits)?;
    let lossy = series.instances.iter().any(|instance| instance.lossy);
    // A series without slices was refused.
    let sides = series.instances.first().map(|first| [first.columns as usize, first.rows as usize]).unwrap_or_default();
    let (mut reader, mut tally) = (FrameReader::default(), Tally::default());
    let (voxels, invented) = match resampling {
        None => {
            let mut voxels = Vec::with_capacity(grid.dimensions.iter().product());
            for instance in &series.instances {
                tally.add(slice(instance, limits, &mut reader, &mut voxels)?);
            }
            (voxels, Invented::default())
        }
        Some(resampling) => resample(&resampling, sides, grid.dimensions, element, |k, into| {
            tally.add(slice(&series.instances[k], limits, &mut reader, into)?);
            Ok(())
        })?,
    };
    let volume = Volume::new(voxels, grid.dimensions, grid.affine)
        .map_err(|error| DicomError::series(&series.series_uid, ReasonCode::InvalidImageModule, error.to_string()))?;
    Ok(Decoded { volume, tally, lossy, repaired: grid.repaired, invented })
}
