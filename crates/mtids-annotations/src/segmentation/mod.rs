//! DICOM SEG becomes findings: binary, fractional and label map; frames in any order; one connected component, one finding.
//!
//! Purpose: [`read_segmentation`] reads the set pixels of each frame as a plane in space; [`Segmentation::findings_on`] puts the planes on a
//! grid, best that of the image. Invariants: frames are placed by their own position and orientation, never by their number; empty frames may
//! be missing; pixels are decoded one frame at a time, and only set voxels are kept; a fault of a segment costs no other segment. Units: LPS
//! mm. A fractional voxel counts from half of MaximumFractionalValue.

mod frames;
mod place;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use mtids_dicom::answer::is_answer;
use mtids_dicom::dataset::{Elements, guarded, open};
use mtids_dicom::element::{code, first_item, integer, items, text};
use mtids_dicom::mask_pixels::MaskPixels;
use mtids_dicom::{DicomError, Limits, ReasonCode};
use mtids_domain::annotation::{Annotation, AnnotationTarget, Code};
use mtids_domain::geometry::{Affine, PointMm};

use crate::labelled::LabelMeaning;
use crate::said::Said;
use crate::statuses_in_names::seems_to_tell;
use crate::structures::MAX_INSTANCES;
use frames::{Frames, OwnGrid, Plane};

/// A segmentation object: set pixels on planes in space.
#[derive(Clone, Debug, PartialEq)]
pub struct Segmentation {
    /// SOP Instance UID, by which reports refer to it.
    pub sop_instance_uid: String,
    /// Written by `mtids-train predict`: no annotation.
    pub is_answer: bool,
    /// Why no pixel counts, where the values of a fractional segmentation are too small.
    pub all_too_small: Option<String>,
    /// The image it speaks about; the series is known where the object names exactly one.
    pub target: AnnotationTarget,
    /// SOP Instance UIDs of the images that it names, sorted, without repeats; the first [`MAX_INSTANCES`] of them.
    pub image_instances: Vec<String>,
    /// Its segments with set pixels, or with a fault, by number.
    pub segments: Vec<Segment>,
    /// Segments of a fractional object none of whose values counts, by number and name, each with its largest value.
    weak: Vec<(String, u32)>,
    /// The grid that its frames have among themselves, or why they have none.
    own: Result<OwnGrid, String>,
}

/// A segment on its planes.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    /// SegmentNumber.
    pub number: u32,
    /// Why it cannot be read.
    pub fault: Option<String>,
    meaning: LabelMeaning,
    planes: Vec<Plane>,
}

/// A segmentation whose segments are findings.
#[derive(Clone, Debug, PartialEq)]
pub struct PlacedSegmentation {
    /// SOP Instance UID, by which reports refer to it.
    pub sop_instance_uid: String,
    /// Its segments with findings, or with a fault, by number.
    pub segments: Vec<PlacedSegment>,
    /// Place of the series that it was assigned to among those of the index; a report of it lies there too.
    pub(crate) series: Option<usize>,
}

/// A segment with its findings.
#[derive(Clone, Debug, PartialEq)]
pub struct PlacedSegment {
    /// SegmentNumber.
    pub number: u32,
    /// SegmentLabel; for people, never a label.
    pub name: String,
    /// One finding for each connected component, or for pieces near each other where the segment is tracked.
    pub findings: Vec<Annotation>,
    /// Why it has none.
    pub fault: Option<String>,
    /// Whether it is said to be one finding.
    pub(crate) is_tracked: bool,
    /// Tracking unique identifier.
    pub(crate) tracking_uid: Option<String>,
    /// What a code of it means that seems to tell a status.
    pub(crate) status: Option<String>,
    /// What its codes and their modifiers say of one.
    pub(crate) said: Vec<Said>,
}

impl PlacedSegmentation {
    /// The findings of all segments, by segment number. Their masks are shared, not copied.
    pub fn findings(&self) -> impl Iterator<Item = &Annotation> {
        self.segments.iter().flat_map(|segment| &segment.findings)
    }

    /// As [`Self::findings`], each with what its segment says of its status.
    pub(crate) fn worded_findings(&self) -> impl Iterator<Item = (&Annotation, &[Said])> {
        self.segments.iter().flat_map(|segment| segment.findings.iter().map(|one| (one, segment.said.as_slice())))
    }

    /// As [`Self::findings`], taking the object apart.
    pub fn into_findings(self) -> Vec<Annotation> {
        self.segments.into_iter().flat_map(|segment| segment.findings).collect()
    }

    /// What codes of segments mean that seems to tell a status, with the centres of their findings.
    pub(crate) fn telling(&self) -> impl Iterator<Item = (PointMm, String)> {
        self.segments.iter().flat_map(|segment| {
            let status = segment.status.as_ref();
            segment.findings.iter().filter_map(move |finding| Some((finding.center, status?.clone())))
        })
    }

    /// A sentence for each segment that cannot be used.
    pub fn faults(&self) -> impl Iterator<Item = String> {
        self.segments.iter().filter_map(|segment| {
            let fault = segment.fault.as_ref()?;
            Some(format!("segment {} `{}`: {fault}", segment.number, segment.name))
        })
    }
}

impl Segment {
    /// Each plane that names one image: its SOP Instance UID, and places of set pixels.
    pub(crate) fn planes_of_images(&self) -> impl Iterator<Item = (&str, Vec<PointMm>)> {
        self.planes.iter().filter_map(|plane| {
            let ends = [plane.pixels.first()?, plane.pixels.last()?];
            Some((plane.image.as_deref()?, ends.map(|pixel| plane.place.of(*pixel)).to_vec()))
        })
    }

    /// SegmentNumber and SegmentLabel, for people.
    pub(crate) fn title(&self) -> String {
        format!("segment {} `{}`", self.number, self.meaning.name)
    }
}

impl Segmentation {
    /// True where no pixel of any frame is set: models that find nothing write such objects.
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// A sentence about segments that give no finding because all their values are too small; `None` where there are none.
    pub fn weak_segments(&self) -> Option<String> {
        let told: Vec<String> =
            self.weak.iter().map(|(title, largest)| format!("{title} (at most {largest})")).collect();
        (!told.is_empty()).then(|| {
            format!(
                "segments of a fractional segmentation give no finding, because no value of theirs reaches half of MaximumFractionalValue (255 where \
                 missing): {}",
                told.join(", ")
            )
        })
    }

    /// The findings of each segment, on the grid of the image (its affine; columns, rows, slices) or on that of the object.
    ///
    /// The object's own grid is taken where it says that its slices lie farther apart than those of the image (it was drawn on a thicker
    /// reconstruction); then the image's, where every frame lies on its pixels and slices; then the object's own where it states the distance
    /// of its slices; then the nearest slices of the image, where none is more than half a step off; then the object's own grid with the smallest
    /// distance of two frames as its step. A segment that fits none of them has a fault.
    pub fn findings_on(&self, grid: Option<(&Affine, [usize; 3])>, limits: &Limits) -> PlacedSegmentation {
        let segments = self.segments.iter().map(|segment| {
            let found = match &segment.fault {
                Some(fault) => Err(fault.clone()),
                None => place::findings(&self.target, (&segment.meaning, &segment.planes), &self.own, grid, limits),
            };
            let (findings, fault) = match found {
                Ok(findings) => (findings, None),
                Err(fault) => (Vec::new(), Some(fault)),
            };
            PlacedSegment {
                number: segment.number,
                name: segment.meaning.name.clone(),
                findings,
                fault,
                is_tracked: segment.meaning.tracking_uid.is_some(),
                tracking_uid: segment.meaning.tracking_uid.clone(),
                status: segment.meaning.status.clone(),
                said: segment.meaning.said.clone(),
            }
        });
        PlacedSegmentation {
            sop_instance_uid: self.sop_instance_uid.clone(),
            segments: segments.collect(),
            series: None,
        }
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
    let mut meanings: BTreeMap<u32, LabelMeaning> = BTreeMap::new();
    for item in items(object, tags::SEGMENT_SEQUENCE) {
        let Some(number) = integer(item, tags::SEGMENT_NUMBER) else { continue };
        if let Some(other) = meanings.insert(number, meaning(item)) {
            return Err(invalid(format!(
                "two segments have number {number}, one of them `{}`: which is meant?",
                other.name
            )));
        }
    }
    let (planes, too_small) = match frames.count() {
        0 => Default::default(),
        count => {
            let mut pixels = MaskPixels::open(path, &opened, frames.shape, count, limits)?;
            frames.planes(&mut pixels, limits).map_err(invalid)?
        }
    };
    let largest = too_small.values().copied().max().unwrap_or(0);
    let all_too_small = frames.all_too_small(largest).filter(|_| planes.is_empty());
    let weak = too_small.into_iter().filter(|(number, _)| !planes.contains_key(number)).map(|(number, largest)| {
        let name = meanings.get(&number).map_or("", |meaning| &meaning.name);
        (format!("segment {number} `{name}`"), largest)
    });
    let weak = weak.collect();
    let segments = planes
        .into_iter()
        .map(|(number, planes)| {
            let described = meanings.remove(&number);
            // Nobody knows what pixels are that nothing describes; they may be the background.
            let (planes, fault) = match (planes, &described) {
                (Ok(planes), Some(_)) => (planes, None),
                (Ok(_), None) => (Vec::new(), Some(undescribed(number))),
                (Err(fault), _) => (Vec::new(), Some(fault)),
            };
            Segment { number, fault, meaning: described.unwrap_or_default(), planes }
        })
        .collect();
    Ok(Segmentation {
        sop_instance_uid: text(object, tags::SOP_INSTANCE_UID).unwrap_or_default(),
        is_answer: is_answer(object),
        all_too_small,
        weak,
        target: segmentation_target(object),
        image_instances: image_instances(object),
        segments,
        own: frames.own_grid(),
    })
}

/// Why pixels of a number that no item of SegmentSequence has give no finding.
fn undescribed(number: u32) -> String {
    format!(
        "its pixels have number {number}, and SegmentSequence describes no such segment; add it, or name the number of the background in Pixel Padding \
         Value (0028,0120)"
    )
}

/// The image that a segmentation speaks about.
fn segmentation_target(object: &InMemDicomObject) -> AnnotationTarget {
    let series: BTreeSet<String> = items(object, tags::REFERENCED_SERIES_SEQUENCE)
        .iter()
        .filter_map(|item| text(item, tags::SERIES_INSTANCE_UID))
        .collect();
    AnnotationTarget {
        patient_id: text(object, tags::PATIENT_ID),
        series_uid: series.first().filter(|_| series.len() == 1).cloned(),
        study_uid: text(object, tags::STUDY_INSTANCE_UID),
        frame_of_reference_uid: text(object, tags::FRAME_OF_REFERENCE_UID),
    }
}

/// The images that the object and its frames name.
fn image_instances(object: &InMemDicomObject) -> Vec<String> {
    let of_series = items(object, tags::REFERENCED_SERIES_SEQUENCE)
        .iter()
        .flat_map(|series| items(series, tags::REFERENCED_INSTANCE_SEQUENCE));
    let groups = [tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE];
    let of_frames = groups
        .into_iter()
        .flat_map(|sequence| items(object, sequence))
        .flat_map(|group| items(group, tags::DERIVATION_IMAGE_SEQUENCE))
        .chain(std::iter::once(object))
        .flat_map(|derivation| items(derivation, tags::SOURCE_IMAGE_SEQUENCE));
    let mut instances = BTreeSet::new();
    for uid in of_series.chain(of_frames).filter_map(|item| text(item, tags::REFERENCED_SOP_INSTANCE_UID)) {
        if instances.len() == MAX_INSTANCES {
            break;
        }
        instances.insert(uid);
    }
    instances.into_iter().collect()
}

/// Name, codes and tracking of a segment.
fn meaning(item: &InMemDicomObject) -> LabelMeaning {
    let codes: Vec<Code> = [tags::SEGMENTED_PROPERTY_TYPE_CODE_SEQUENCE, tags::ANATOMIC_REGION_SEQUENCE]
        .into_iter()
        .filter_map(|sequence| first_item(item, sequence).and_then(code))
        .collect();
    let kinds = [tags::SEGMENTED_PROPERTY_CATEGORY_CODE_SEQUENCE, tags::SEGMENTED_PROPERTY_TYPE_CODE_SEQUENCE];
    let kinds = kinds.into_iter().filter_map(|sequence| first_item(item, sequence));
    let modifiers = |of| items(of, tags::SEGMENTED_PROPERTY_TYPE_MODIFIER_CODE_SEQUENCE);
    // Modifiers stand in the code that they modify; some programs write them beside it.
    let modified = kinds.flat_map(|kind| std::iter::once(kind).chain(modifiers(kind))).chain(modifiers(item));
    let meant: Vec<(String, Option<Code>)> =
        modified.filter_map(|of| Some((text(of, tags::CODE_MEANING)?, code(of)))).collect();
    LabelMeaning {
        status: meant.iter().map(|(meaning, _)| meaning).find(|meaning| seems_to_tell(meaning)).cloned(),
        said: meant.into_iter().filter_map(|(meaning, code)| Said::of(&meaning, code, None)).collect(),
        name: text(item, tags::SEGMENT_LABEL).unwrap_or_default(),
        codes,
        tracking_uid: text(item, tags::TRACKING_UID),
    }
}
