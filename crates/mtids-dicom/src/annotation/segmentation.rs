//! DICOM SEG becomes findings: binary, fractional and label map; frames in any order; one connected component, one finding.
//!
//! Invariants: frames are placed by their own position and orientation, never by their number; empty frames may be missing. Units: LPS
//! mm. A fractional voxel counts from half of MaximumFractionalValue.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use dicom::dictionary_std::tags;
use dicom::object::{DefaultDicomObject, InMemDicomObject};
use dicom::pixeldata::PixelDecoder;
use mtids_core::annotation::Annotation;
use mtids_core::geometry::{Affine, PointMm, cross, dot};

use crate::annotation::labelled::findings;
use crate::element::{array, first_item, integer, items, number, text};
use crate::error::{DicomError, ReasonCode};
use crate::header::segmentation_target;
use crate::limits::Limits;
use crate::source::{chain, is_native, open};

/// Reads the findings of a segmentation object.
///
/// # Errors
/// [`DicomError::File`] when the file is damaged, or with [`ReasonCode::InvalidSegmentation`] and what is missing.
pub fn read_segmentation(path: &Path, limits: &Limits) -> Result<Vec<Annotation>, DicomError> {
    let invalid = |detail: String| DicomError::file(path, ReasonCode::InvalidSegmentation, detail);
    let object = open(path, limits, None)?.object;
    let frames = Frames::read(&object, limits).map_err(invalid)?;
    let masks = frames.masks(&object).map_err(invalid)?;
    let target = segmentation_target(&object);
    let labels: BTreeMap<u32, String> = items(&object, tags::SEGMENT_SEQUENCE)
        .iter()
        .filter_map(|item| {
            Some((integer(item, tags::SEGMENT_NUMBER)?, text(item, tags::SEGMENT_LABEL).unwrap_or_default()))
        })
        .collect();
    let mut found = Vec::new();
    for (segment, (affine, voxels)) in masks {
        let name = labels.get(&segment).map(String::as_str).unwrap_or_default();
        found.extend(findings(&target, name, affine, &voxels));
    }
    Ok(found)
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Binary,
    Fractional { threshold: u32 },
    LabelMap,
}

struct Frame {
    /// Segment of the frame; 0 for a label map, whose pixels name it.
    segment: u32,
    position: PointMm,
    orientation: [f64; 6],
}

struct Frames {
    kind: Kind,
    rows: usize,
    columns: usize,
    bits: u32,
    spacing: [f64; 2],
    slice_step: f64,
    frames: Vec<Frame>,
}

impl Frames {
    fn read(object: &InMemDicomObject, limits: &Limits) -> Result<Self, String> {
        let need =
            |tag, name: &str| integer(object, tag).filter(|&n| n > 0).ok_or_else(|| format!("{name} is missing"));
        let (rows, columns) = (need(tags::ROWS, "Rows")?, need(tags::COLUMNS, "Columns")?);
        let count = integer(object, tags::NUMBER_OF_FRAMES).unwrap_or(1);
        if u64::from(rows) * u64::from(columns) * u64::from(count) > limits.max_voxels {
            return Err(format!("{rows} × {columns} × {count} voxels, more than the limit of {}", limits.max_voxels));
        }
        let bits = need(tags::BITS_ALLOCATED, "BitsAllocated")?;
        let kind = match text(object, tags::SEGMENTATION_TYPE).as_deref() {
            Some("BINARY") => Kind::Binary,
            Some("FRACTIONAL") => {
                let maximum = integer(object, tags::MAXIMUM_FRACTIONAL_VALUE).unwrap_or(255);
                Kind::Fractional { threshold: maximum.div_ceil(2).max(1) }
            }
            Some("LABELMAP") => Kind::LabelMap,
            other => return Err(format!("segmentation type {other:?}; BINARY, FRACTIONAL and LABELMAP are read")),
        };
        if !matches!(bits, 1 | 8 | 16) {
            return Err(format!("BitsAllocated is {bits}; 1, 8 and 16 are read"));
        }
        let shared = first_item(object, tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE);
        let per_frame = items(object, tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE);
        if per_frame.len() != count as usize {
            return Err(format!("{count} frames with {} functional groups", per_frame.len()));
        }
        // A group stands with the frame, or once for all.
        let group = |frame: usize, tag| {
            per_frame
                .get(frame)
                .and_then(|item| first_item(item, tag))
                .or_else(|| shared.and_then(|item| first_item(item, tag)))
        };
        let measures = group(0, tags::PIXEL_MEASURES_SEQUENCE).ok_or("no pixel measures")?;
        let spacing: [f64; 2] = array(measures, tags::PIXEL_SPACING).ok_or("no pixel spacing")?;
        let slice_step = number(measures, tags::SPACING_BETWEEN_SLICES)
            .or_else(|| number(measures, tags::SLICE_THICKNESS))
            .map(f64::abs)
            .filter(|&step| step > 0.0);
        let mut frames = Vec::with_capacity(count as usize);
        for n in 0..count as usize {
            let position =
                group(n, tags::PLANE_POSITION_SEQUENCE).and_then(|item| array(item, tags::IMAGE_POSITION_PATIENT));
            let orientation = group(n, tags::PLANE_ORIENTATION_SEQUENCE)
                .and_then(|item| array(item, tags::IMAGE_ORIENTATION_PATIENT));
            let segment = group(n, tags::SEGMENT_IDENTIFICATION_SEQUENCE)
                .and_then(|item| integer(item, tags::REFERENCED_SEGMENT_NUMBER));
            frames.push(Frame {
                segment: match kind {
                    Kind::LabelMap => 0,
                    _ => segment.ok_or_else(|| format!("frame {n} names no segment"))?,
                },
                position: PointMm(position.ok_or_else(|| format!("frame {n} has no position"))?),
                orientation: orientation.ok_or_else(|| format!("frame {n} has no orientation"))?,
            });
        }
        let slice_step = smallest_step(&frames).or(slice_step).ok_or("the distance between slices is not known")?;
        Ok(Self { kind, rows: rows as usize, columns: columns as usize, bits, spacing, slice_step, frames })
    }

    /// Set voxels of each segment on the grid of the object.
    #[expect(clippy::type_complexity, reason = "a private intermediate: segment → (grid, voxels)")]
    fn masks(&self, object: &DefaultDicomObject) -> Result<BTreeMap<u32, (Affine, Vec<[u32; 3]>)>, String> {
        let Some(first) = self.frames.first() else { return Ok(BTreeMap::new()) };
        if self
            .frames
            .iter()
            .any(|frame| frame.orientation.iter().zip(&first.orientation).any(|(a, b)| (a - b).abs() > 1e-4))
        {
            return Err("frames in different orientations".into());
        }
        let (row, column, normal) = directions(&first.orientation);
        let offset = |frame: &Frame| dot(frame.position.0, normal);
        let lowest = self.frames.iter().min_by(|a, b| offset(a).total_cmp(&offset(b))).ok_or("no frame")?;
        let steps = [
            row.map(|x| x * self.spacing[1]),
            column.map(|x| x * self.spacing[0]),
            normal.map(|x| x * self.slice_step),
        ];
        let affine = Affine::new(lowest.position, steps).map_err(|error| error.to_string())?;
        let pixels = self.pixels(object)?;
        let mut sets: BTreeMap<u32, BTreeSet<[u32; 3]>> = BTreeMap::new();
        for (n, frame) in self.frames.iter().enumerate() {
            let at = affine.to_voxel(frame.position).0;
            if at.iter().any(|x| (x - x.round()).abs() > 0.1 || *x < -0.1) {
                return Err(format!("frame {n} does not lie on the grid of the others"));
            }
            let [i0, j0, k] = at.map(|x| x.round().max(0.0) as u32);
            for j in 0..self.rows {
                for i in 0..self.columns {
                    let value = pixels(n * self.rows * self.columns + j * self.columns + i);
                    let segment = match self.kind {
                        Kind::Binary => (value != 0).then_some(frame.segment),
                        Kind::Fractional { threshold } => (value >= threshold).then_some(frame.segment),
                        Kind::LabelMap => (value != 0).then_some(value),
                    };
                    if let Some(segment) = segment {
                        // Keyed by (k, j, i): the order of a mask's voxels.
                        sets.entry(segment).or_default().insert([k, j0 + j as u32, i0 + i as u32]);
                    }
                }
            }
        }
        let flip = |set: BTreeSet<[u32; 3]>| set.into_iter().map(|[k, j, i]| [i, j, k]).collect();
        Ok(sets.into_iter().map(|(segment, set)| (segment, (affine, flip(set)))).collect())
    }

    /// A function from the index of a pixel, over all frames, to its value.
    fn pixels(&self, object: &DefaultDicomObject) -> Result<Box<dyn Fn(usize) -> u32>, String> {
        let count = self.rows * self.columns * self.frames.len();
        let bytes = if is_native(object.meta().transfer_syntax()) {
            let element = object.get(tags::PIXEL_DATA).ok_or("no pixel data")?;
            element.to_bytes().map_err(|error| chain(&error))?.into_owned()
        } else if self.bits == 1 {
            return Err("compressed one-bit frames are not read; store the object uncompressed".into());
        } else {
            catch_unwind(AssertUnwindSafe(|| object.decode_pixel_data().map(|decoded| decoded.data().to_vec())))
                .map_err(|_| "the pixel decoder failed".to_owned())?
                .map_err(|error| chain(&error))?
        };
        if bytes.len() * 8 < count * self.bits as usize {
            return Err(format!("{} bytes of pixels for {count} pixels of {} bits", bytes.len(), self.bits));
        }
        // Bits run on across frame borders, from the lowest bit of each byte.
        Ok(match self.bits {
            1 => Box::new(move |n| u32::from(bytes[n / 8] >> (n % 8) & 1)),
            8 => Box::new(move |n| u32::from(bytes[n])),
            _ => Box::new(move |n| u32::from(u16::from_le_bytes([bytes[2 * n], bytes[2 * n + 1]]))),
        })
    }
}

fn directions(orientation: &[f64; 6]) -> ([f64; 3], [f64; 3], [f64; 3]) {
    let [a, b, c, d, e, f] = *orientation;
    let (row, column) = ([a, b, c], [d, e, f]);
    (row, column, cross(row, column))
}

/// The smallest distance between two planes, over all frames.
fn smallest_step(frames: &[Frame]) -> Option<f64> {
    let (_, _, normal) = directions(&frames.first()?.orientation);
    let mut offsets: Vec<f64> = frames.iter().map(|frame| dot(frame.position.0, normal)).collect();
    offsets.sort_by(f64::total_cmp);
    offsets.windows(2).map(|pair| pair[1] - pair[0]).filter(|step| *step > 1e-3).min_by(f64::total_cmp)
}
