//! DICOM SEG becomes findings: binary, fractional and label map; frames in any order; one connected component, one finding.
//!
//! Invariants: frames are placed by their own position and orientation, never by their number; empty frames may be missing; pixels are
//! decoded one frame at a time, and only set voxels are kept. Units: LPS mm. A fractional voxel counts from half of
//! MaximumFractionalValue.

use std::collections::BTreeMap;
use std::path::Path;

use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use mtids_dicom::dataset::{Elements, guarded, open};
use mtids_dicom::element::{array, code, first_item, integer, items, number, text};
use mtids_dicom::functional::FunctionalGroups;
use mtids_dicom::mask_pixels::{FrameShape, MaskPixels};
use mtids_dicom::{DicomError, Limits, ReasonCode};
use mtids_domain::annotation::{Annotation, AnnotationTarget, Code};
use mtids_domain::geometry::{Affine, PointMm, cross, dot};

use crate::labelled::{LabelMeaning, findings};

/// A segmentation object.
#[derive(Clone, Debug, PartialEq)]
pub struct Segmentation {
    /// SOP Instance UID, by which reports refer to it.
    pub sop_instance_uid: String,
    /// The image it speaks about.
    pub target: AnnotationTarget,
    /// Its segments with set voxels, by number.
    pub segments: Vec<Segment>,
}

/// A segment with its findings.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    /// SegmentNumber.
    pub number: u32,
    /// One finding for each connected component, or one for all where the segment is tracked.
    pub findings: Vec<Annotation>,
}

impl Segmentation {
    /// The findings of all segments, by segment number. Their masks are shared, not copied.
    pub fn findings(&self) -> Vec<Annotation> {
        self.segments.iter().flat_map(|segment| &segment.findings).cloned().collect()
    }

    /// As [`Self::findings`], taking the object apart.
    pub fn into_findings(self) -> Vec<Annotation> {
        self.segments.into_iter().flat_map(|segment| segment.findings).collect()
    }
}

/// Reads a segmentation object.
///
/// # Errors
/// [`DicomError::File`] when the file is damaged, or with [`ReasonCode::InvalidSegmentation`] and what is missing.
pub fn read_segmentation(path: &Path, limits: &Limits) -> Result<Segmentation, DicomError> {
    guarded(path, || read(path, limits))
}

fn read(path: &Path, limits: &Limits) -> Result<Segmentation, DicomError> {
    let invalid = |detail: String| DicomError::file(path, ReasonCode::InvalidSegmentation, detail);
    let opened = open(path, limits, Elements::All)?;
    let object = &opened.object;
    let frames = Frames::read(object, limits).map_err(invalid)?;
    let mut pixels = MaskPixels::open(path, &opened, frames.shape, frames.frames.len() as u32, limits)?;
    let masks = frames.masks(&mut pixels, limits).map_err(invalid)?;
    let target = segmentation_target(object);
    let meanings: BTreeMap<u32, LabelMeaning> = items(object, tags::SEGMENT_SEQUENCE)
        .iter()
        .filter_map(|item| Some((integer(item, tags::SEGMENT_NUMBER)?, meaning(item))))
        .collect();
    let segments = masks
        .into_iter()
        .map(|(number, (affine, voxels))| {
            let meaning = meanings.get(&number).cloned().unwrap_or_default();
            Ok(Segment { number, findings: findings(&target, &meaning, affine, &voxels, limits)? })
        })
        .collect::<Result<_, String>>()
        .map_err(invalid)?;
    Ok(Segmentation { sop_instance_uid: text(object, tags::SOP_INSTANCE_UID).unwrap_or_default(), target, segments })
}

/// The image that a segmentation speaks about.
fn segmentation_target(object: &InMemDicomObject) -> AnnotationTarget {
    AnnotationTarget {
        patient_id: text(object, tags::PATIENT_ID),
        series_uid: first_item(object, tags::REFERENCED_SERIES_SEQUENCE)
            .and_then(|item| text(item, tags::SERIES_INSTANCE_UID)),
        study_uid: text(object, tags::STUDY_INSTANCE_UID),
        frame_of_reference_uid: text(object, tags::FRAME_OF_REFERENCE_UID),
    }
}

/// Name, codes and tracking of a segment.
fn meaning(item: &InMemDicomObject) -> LabelMeaning {
    let codes: Vec<Code> = [tags::SEGMENTED_PROPERTY_TYPE_CODE_SEQUENCE, tags::ANATOMIC_REGION_SEQUENCE]
        .into_iter()
        .filter_map(|sequence| first_item(item, sequence).and_then(code))
        .collect();
    LabelMeaning {
        name: text(item, tags::SEGMENT_LABEL).unwrap_or_default(),
        codes,
        tracked: text(item, tags::TRACKING_UID).is_some(),
    }
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
    shape: FrameShape,
    spacing: [f64; 2],
    slice_step: f64,
    frames: Vec<Frame>,
}

impl Frames {
    fn read(object: &InMemDicomObject, limits: &Limits) -> Result<Self, String> {
        let need = |tag, name: &str| {
            integer(object, tag)
                .and_then(|n| u16::try_from(n).ok())
                .filter(|&n| n > 0)
                .ok_or_else(|| format!("{name} is missing"))
        };
        let (rows, columns) = (need(tags::ROWS, "Rows")?, need(tags::COLUMNS, "Columns")?);
        let count = integer(object, tags::NUMBER_OF_FRAMES).unwrap_or(1);
        if u64::from(rows) * u64::from(columns) * u64::from(count) > limits.max_voxels {
            return Err(format!("{rows} × {columns} × {count} voxels, more than the limit of {}", limits.max_voxels));
        }
        let bits_allocated = need(tags::BITS_ALLOCATED, "BitsAllocated")?;
        let kind = match text(object, tags::SEGMENTATION_TYPE).as_deref() {
            Some("BINARY") => Kind::Binary,
            Some("FRACTIONAL") => {
                let maximum = integer(object, tags::MAXIMUM_FRACTIONAL_VALUE).unwrap_or(255);
                Kind::Fractional { threshold: maximum.div_ceil(2).max(1) }
            }
            Some("LABELMAP") => Kind::LabelMap,
            other => return Err(format!("segmentation type {other:?}; BINARY, FRACTIONAL and LABELMAP are read")),
        };
        if !matches!(bits_allocated, 1 | 8 | 16) {
            return Err(format!("BitsAllocated is {bits_allocated}; 1, 8 and 16 are read"));
        }
        let groups = FunctionalGroups::new(object, count)?;
        let measures = groups.get(0, tags::PIXEL_MEASURES_SEQUENCE).ok_or("no pixel measures")?;
        let spacing: [f64; 2] = array(measures, tags::PIXEL_SPACING).ok_or("no pixel spacing")?;
        let stated = |tag| number(measures, tag).map(f64::abs).filter(|&step| step > 0.0);
        let slice_step = [stated(tags::SPACING_BETWEEN_SLICES), stated(tags::SLICE_THICKNESS)];
        let mut frames = Vec::with_capacity(count as usize);
        for n in 0..count as usize {
            let position =
                groups.get(n, tags::PLANE_POSITION_SEQUENCE).and_then(|item| array(item, tags::IMAGE_POSITION_PATIENT));
            let orientation = groups
                .get(n, tags::PLANE_ORIENTATION_SEQUENCE)
                .and_then(|item| array(item, tags::IMAGE_ORIENTATION_PATIENT));
            let segment = groups
                .get(n, tags::SEGMENT_IDENTIFICATION_SEQUENCE)
                .and_then(|item| integer(item, tags::REFERENCED_SEGMENT_NUMBER));
            frames.push(Frame {
                segment: match kind {
                    Kind::LabelMap => 0,
                    _ => segment.ok_or_else(|| format!("frame {n} has no segment number"))?,
                },
                position: PointMm(position.ok_or_else(|| format!("frame {n} has no position"))?),
                orientation: orientation.ok_or_else(|| format!("frame {n} has no orientation"))?,
            });
        }
        let slice_step = common_step(&frames, slice_step).ok_or("the distance between slices is not known")?;
        let shape = FrameShape { rows, columns, bits_allocated, bits_stored: bits_allocated, signed: false };
        Ok(Self { kind, shape, spacing, slice_step, frames })
    }

    /// Set voxels of each segment on the grid of the object.
    #[expect(clippy::type_complexity, reason = "a private intermediate: segment → (grid, voxels)")]
    fn masks(
        &self,
        pixels: &mut MaskPixels,
        limits: &Limits,
    ) -> Result<BTreeMap<u32, (Affine, Vec<[u32; 3]>)>, String> {
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
        let columns = u32::from(self.shape.columns);
        let mut sets: BTreeMap<u32, Vec<[u32; 3]>> = BTreeMap::new();
        let mut set = 0;
        for (n, frame) in self.frames.iter().enumerate() {
            let at = affine.to_voxel(frame.position).0;
            if at.iter().any(|x| !x.is_finite() || (x - x.round()).abs() > 0.1 || !(-0.1..1e6).contains(x)) {
                return Err(format!("frame {n} is not on the grid of the others"));
            }
            let [i0, j0, k] = at.map(|x| x.round().max(0.0) as u32);
            pixels.set(n, |pixel, value| {
                let segment = match self.kind {
                    Kind::Binary => frame.segment,
                    Kind::Fractional { threshold } if value < threshold => return,
                    Kind::Fractional { .. } => frame.segment,
                    Kind::LabelMap => value,
                };
                set += 1;
                if set > limits.max_set_voxels {
                    return;
                }
                // A frame has at most 65535² pixels.
                let pixel = pixel as u32;
                sets.entry(segment).or_default().push([i0 + pixel % columns, j0 + pixel / columns, k]);
            })?;
            if set > limits.max_set_voxels {
                return Err(limits.too_many_set_voxels());
            }
        }
        Ok(sets.into_iter().map(|(segment, voxels)| (segment, (affine, voxels))).collect())
    }
}

fn directions(orientation: &[f64; 6]) -> ([f64; 3], [f64; 3], [f64; 3]) {
    let [a, b, c, d, e, f] = *orientation;
    let (row, column) = ([a, b, c], [d, e, f]);
    (row, column, cross(row, column))
}

/// The distance of slices: what the object states, where all planes lie on multiples of it, else the smallest gap between two planes. Taken
/// over the whole extent, so that the rounding of positions does not add up.
fn common_step(frames: &[Frame], stated: [Option<f64>; 2]) -> Option<f64> {
    let (_, _, normal) = directions(&frames.first()?.orientation);
    let mut offsets: Vec<f64> = frames.iter().map(|frame| dot(frame.position.0, normal)).collect();
    offsets.sort_by(f64::total_cmp);
    let gaps: Vec<f64> = offsets.windows(2).map(|pair| pair[1] - pair[0]).filter(|gap| *gap > 1e-3).collect();
    let fits = |step: &f64| gaps.iter().all(|gap| gap / step > 0.9 && (gap / step - (gap / step).round()).abs() < 0.1);
    let [spacing, thickness] = stated;
    // A thickness is no distance; it serves where there is a single plane.
    let smallest = gaps.iter().copied().min_by(f64::total_cmp);
    let step = spacing.filter(fits).or(smallest).or(spacing).or(thickness)?;
    let extent: f64 = offsets.last()? - offsets.first()?;
    let steps = (extent / step).round();
    Some(if steps >= 1.0 { extent / steps } else { step })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(offsets: &[f64]) -> Vec<Frame> {
        let frame = |&z: &f64| Frame {
            segment: 1,
            position: PointMm::new(0.0, 0.0, z),
            orientation: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
        };
        offsets.iter().map(frame).collect()
    }

    #[test]
    fn the_distance_of_slices_is_that_of_the_image_not_of_the_frames_that_are_there() {
        assert_eq!(common_step(&frames(&[10.0, 25.0, 47.0]), [Some(1.0), None]), Some(1.0));
        assert_eq!(common_step(&frames(&[10.0, 12.0, 16.0]), [None, Some(5.0)]), Some(2.0));
        // A statement that the planes contradict is not believed.
        assert_eq!(common_step(&frames(&[0.0, 2.0, 4.0]), [Some(5.0), None]), Some(2.0));
        assert_eq!(common_step(&frames(&[3.0]), [None, Some(5.0)]), Some(5.0));
        assert_eq!(common_step(&frames(&[3.0]), [None, None]), None);
        // Two thirds of a millimetre, written to three decimals.
        let rounded: Vec<f64> = (0..300).map(|n| (f64::from(n) * 2000.0 / 3.0).round() / 1000.0).collect();
        assert!((common_step(&frames(&rounded), [None, None]).unwrap() - 2.0 / 3.0).abs() < 1e-5);
    }
}
