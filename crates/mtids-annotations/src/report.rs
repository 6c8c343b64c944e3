//! Structured reports of measurements (TID 1500) whose groups refer to segments of a DICOM SEG, or have coordinates of their own.
//!
//! A report adds words to voxels: the kind of finding, its site, its short axis. The voxels come from the segmentation that it names; a group that
//! names no segment lies where its coordinates are, as a point. Invariants: a group with a segment has no other place; one with neither is told;
//! nothing of a report is a status or a station by itself, since codes are given a meaning by the classes of a configuration. Source: PS3.16
//! TID 1500, 1410, 1411, 1501; concepts by code, in DCM, SCT or SRT. Units: mm.

mod context;
mod coordinates;
mod item;
mod length;
mod place;
mod presence;
mod shape;
mod told;

use std::path::Path;

use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use mtids_dicom::concepts::{
    ALGORITHM_NAME, FINDING, FINDING_SITE, LONG_AXIS, LYMPH_NODE, MEASUREMENT_GROUP, REFERENCED_SEGMENT,
    REFERENCED_SEGMENTATION_FRAME, SHORT_AXIS, TRACKING_IDENTIFIER, TRACKING_UID,
};
use mtids_dicom::dataset::{Elements, guarded, open};
use mtids_dicom::element::{code, first_item, integers, items, text};
use mtids_dicom::{DicomError, Limits, ReasonCode};
use mtids_domain::annotation::{Annotation, Code};
use mtids_domain::geometry::PointMm;

pub use context::ReportContext;
pub use coordinates::{Coordinates, Space};
pub(crate) use length::doubt_of_line;
pub(crate) use place::{NoPlace, place};
pub use shape::Shape;
pub(crate) use told::told_lengths;

use coordinates::{coordinates_of, is_shape};
use item::{is, said};
use length::{length_of, line_of};
use presence::{is_absent, said_of_status};

use crate::ignored_nodes::names_node;
use crate::said::Said;
use crate::segmentation::{PlacedSegment, PlacedSegmentation};
use crate::statuses_in_names::seems_to_tell;

/// A group of measurements of one finding.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MeasurementGroup {
    /// Tracking identifier; for people, never a label.
    pub name: String,
    /// Codes of the finding and of its site.
    pub codes: Vec<Code>,
    /// Short axis in mm, where measured.
    pub short_axis_mm: Option<f64>,
    /// The line that the short axis was measured on, where it was one.
    pub(crate) short_axis_line: Option<Coordinates>,
    /// Long axis in mm, where measured: the longest one.
    pub long_axis_mm: Option<f64>,
    /// Why a short axis is not read.
    pub fault: Option<String>,
    /// What a code or a text says that seems to tell a status.
    pub status: Option<String>,
    /// Segments it refers to: SOP Instance UID, and the number, or `None` for all.
    pub segments: Vec<(String, Option<u32>)>,
    /// Tracking unique identifier.
    pub tracking_uid: Option<String>,
    /// What its author typed, where the viewer writes that as a code of the finding or its site; for people, never a label.
    pub label: Option<String>,
    /// What was drawn, each shape once.
    pub coordinates: Vec<Coordinates>,
    /// Why its coordinates cannot be read.
    pub unreadable: Option<String>,
    /// A code or a name says that it is a lymph node.
    pub is_node: bool,
    /// An algorithm is named.
    pub by_algorithm: bool,
    /// It says that its finding is not there.
    pub is_absent: bool,
    /// What its codes and texts say of a status.
    pub(crate) said: Vec<Said>,
}

/// A structured report.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// PatientID, where given.
    pub patient_id: Option<String>,
    /// What it is about, and who observed.
    pub context: ReportContext,
    /// Its groups of measurements, in document order.
    pub groups: Vec<MeasurementGroup>,
    /// Number of shapes that are drawn outside of groups.
    pub stray_shapes: usize,
}

/// Reads a structured report.
///
/// # Errors
/// [`DicomError::File`] when the file is damaged, or with [`ReasonCode::InvalidReport`].
pub fn read_report(path: &Path, limits: &Limits) -> Result<Report, DicomError> {
    guarded(path, || read(path, limits))
}

fn read(path: &Path, limits: &Limits) -> Result<Report, DicomError> {
    let object = open(path, limits, Elements::All)?.object;
    if text(&object, tags::VALUE_TYPE).as_deref() != Some("CONTAINER") {
        let detail = "the root of the report is not a container".to_owned();
        return Err(DicomError::file(path, ReasonCode::InvalidReport, detail));
    }
    let (mut groups, mut stray_shapes) = (Vec::new(), 0);
    collect(&object, &mut groups, &mut stray_shapes);
    let (patient_id, context) = (text(&object, tags::PATIENT_ID), ReportContext::of(&object));
    Ok(Report { patient_id, context, groups, stray_shapes })
}

/// Walks the content, and counts shapes outside of groups; nesting is bounded by the scan before the parser.
fn collect(item: &InMemDicomObject, groups: &mut Vec<MeasurementGroup>, stray_shapes: &mut usize) {
    for child in items(item, tags::CONTENT_SEQUENCE) {
        if is(child, MEASUREMENT_GROUP) {
            groups.push(group(child));
        } else {
            *stray_shapes += usize::from(is_shape(child));
            collect(child, groups, stray_shapes);
        }
    }
}

fn group(container: &InMemDicomObject) -> MeasurementGroup {
    let mut group = MeasurementGroup::default();
    let mut lengths = Vec::new();
    for item in items(container, tags::CONTENT_SEQUENCE) {
        let names = is(item, TRACKING_IDENTIFIER) || is(item, FINDING_SITE);
        group.status = group.status.or_else(|| said(item).filter(|said| !names && seems_to_tell(said)));
        group.by_algorithm |= is(item, ALGORITHM_NAME);
        if is(item, TRACKING_IDENTIFIER) {
            group.name = text(item, tags::TEXT_VALUE).unwrap_or_default();
        } else if is(item, TRACKING_UID) {
            group.tracking_uid = text(item, tags::UID);
        } else if is(item, FINDING) || is(item, FINDING_SITE) {
            group.add_code(item);
        } else if is(item, SHORT_AXIS) {
            match length_of(item) {
                Some(Ok(mm)) => {
                    lengths.push(mm);
                    group.short_axis_line = group.short_axis_line.or_else(|| line_of(item));
                }
                Some(Err(fault)) => group.fault = Some(fault),
                None => {}
            }
        } else if is(item, LONG_AXIS) {
            let longest = length_of(item).and_then(Result::ok).into_iter().chain(group.long_axis_mm);
            group.long_axis_mm = longest.max_by(f64::total_cmp);
        } else if is(item, REFERENCED_SEGMENT) || is(item, REFERENCED_SEGMENTATION_FRAME) {
            group.add_segments(item);
        }
    }
    let (least, most) =
        (lengths.iter().copied().fold(f64::INFINITY, f64::min), lengths.iter().copied().fold(0.0, f64::max));
    if most - least > SAME_LENGTH_MM {
        group.fault = Some(format!("several, of {least:.1} to {most:.1} mm"));
    } else if let Some(&mm) = lengths.first() {
        // One that can be read stands for another of the same that cannot.
        (group.short_axis_mm, group.fault) = (Some(mm), None);
    }
    // Named twice, a segment is still one.
    group.segments.sort();
    group.segments.dedup();
    match coordinates_of(container) {
        Ok(coordinates) => group.coordinates = coordinates,
        Err(fault) => group.unreadable = Some(fault),
    }
    group.is_node |= names_node(group.title());
    (group.is_absent, group.said) = (is_absent(container), said_of_status(container));
    group
}

/// Values of codes by which OHIF and other viewers on cornerstone write what a person typed, as the meaning of the code.
const FREE_TEXT: [&str; 2] = ["CORNERSTONEFREETEXT", "CS3DTEXT"];

/// Short axes of one node that differ by less than this are one length, mm.
const SAME_LENGTH_MM: f64 = 0.1;

impl MeasurementGroup {
    /// Adds the code of a finding or its site.
    fn add_code(&mut self, item: &InMemDicomObject) {
        let Some(value) = first_item(item, tags::CONCEPT_CODE_SEQUENCE) else { return };
        let (Some(code), meaning) = (code(value), text(value, tags::CODE_MEANING)) else { return };
        self.is_node |= LYMPH_NODE.contains(&(code.scheme.as_str(), code.value.as_str()));
        self.is_node |= meaning.as_deref().is_some_and(names_node);
        if FREE_TEXT.contains(&code.value.as_str()) {
            self.label = self.label.take().or(meaning);
        }
        self.codes.push(code);
    }

    /// Adds the segments that a reference names.
    fn add_segments(&mut self, item: &InMemDicomObject) {
        for reference in items(item, tags::REFERENCED_SOP_SEQUENCE) {
            let Some(uid) = text(reference, tags::REFERENCED_SOP_INSTANCE_UID) else { continue };
            match integers(reference, tags::REFERENCED_SEGMENT_NUMBER) {
                // Frames without the number of their segment are not all segments.
                None if is(item, REFERENCED_SEGMENTATION_FRAME) => {}
                None => self.segments.push((uid, None)),
                Some(numbers) => self.segments.extend(numbers.into_iter().map(|n| (uid.clone(), Some(n)))),
            }
        }
    }

    /// The name of its finding: what its author typed, else the tracking identifier, which viewers set themselves.
    pub fn title(&self) -> &str {
        self.label.as_deref().unwrap_or(&self.name)
    }

    /// Whether it lies where its coordinates are: a segment goes before them, and what is absent lies nowhere.
    pub fn is_placed(&self) -> bool {
        !self.is_absent && self.segments.is_empty() && (!self.coordinates.is_empty() || self.unreadable.is_some())
    }

    /// Whether something says where it lies.
    pub(crate) fn has_place(&self) -> bool {
        !self.is_absent && !self.segments.is_empty() || self.is_placed()
    }

    /// Whether a segment that it names by number is another one than it names by its Tracking UID.
    fn is_swapped(&self, (uid, number): &(String, Option<u32>), segmentations: &[PlacedSegmentation]) -> bool {
        let (Some(number), Some(tracking_uid)) = (number, &self.tracking_uid) else { return false };
        let object = segmentations.iter().find(|one| one.sop_instance_uid == *uid);
        let segments = object.into_iter().flat_map(|one| &one.segments);
        let is_it = |segment: &&PlacedSegment| segment.tracking_uid.as_ref() == Some(tracking_uid);
        let meant: Vec<u32> = segments.filter(is_it).map(|segment| segment.number).collect();
        !meant.is_empty() && !meant.contains(number)
    }

    /// For each segment that it names, its findings; none where nobody knows which segment is meant.
    fn meant<'s>(&self, segmentations: &'s [PlacedSegmentation]) -> Vec<Vec<&'s Annotation>> {
        let of_segment = |(uid, number): &(String, Option<u32>)| {
            // A copy of an object is that object.
            let objects = segmentations.iter().find(|one| one.sop_instance_uid == *uid).into_iter();
            let is_named = |segment: &&PlacedSegment| number.is_none_or(|number| segment.number == number);
            objects.flat_map(|one| &one.segments).filter(is_named).flat_map(|segment| &segment.findings).collect()
        };
        self.segments.iter().filter(|named| !self.is_swapped(named, segmentations)).map(of_segment).collect()
    }

    /// Its findings whose voxels stand in these segmentations, with its words; none where it says that its finding is absent.
    pub(crate) fn findings(&self, segmentations: &[PlacedSegmentation]) -> Vec<Annotation> {
        let mut found = Vec::new();
        for meant in self.meant(segmentations).into_iter().filter(|_| !self.is_absent) {
            // One length of several pieces is that of none of them.
            let short_axis_mm = self.short_axis_mm.filter(|_| meant.len() == 1);
            found.extend(meant.into_iter().map(|finding| Annotation {
                finding: if self.name.is_empty() { finding.finding.clone() } else { self.name.clone() },
                codes: if self.codes.is_empty() { finding.codes.clone() } else { self.codes.clone() },
                short_axis_mm,
                ..finding.clone()
            }));
        }
        found
    }
}

impl Report {
    /// What groups say that seems to tell a status, with the centres of their findings.
    pub(crate) fn telling(&self, segmentations: &[PlacedSegmentation]) -> Vec<(PointMm, String)> {
        let of_group = |group: &MeasurementGroup| {
            let Some(status) = &group.status else { return Vec::new() };
            let meant = group.meant(segmentations);
            meant.into_iter().flatten().map(|finding| (finding.center, status.clone())).collect()
        };
        self.groups.iter().flat_map(of_group).collect()
    }

    /// Whether a group of measurements names a segment of this object.
    pub(crate) fn refers_to(&self, segmentation: &str) -> bool {
        self.groups.iter().any(|group| group.segments.iter().any(|(uid, _)| uid == segmentation))
    }

    /// As [`Self::findings`], each with what its group says of a status.
    pub(crate) fn worded_findings(&self, segmentations: &[PlacedSegmentation]) -> Vec<(Annotation, Vec<Said>)> {
        let of_group = |group: &MeasurementGroup| {
            group.findings(segmentations).into_iter().map(|one| (one, group.said.clone())).collect()
        };
        self.groups.iter().flat_map::<Vec<_>, _>(of_group).collect()
    }

    /// The findings whose voxels stand in these segmentations, with the words of the report.
    pub fn findings(&self, segmentations: &[PlacedSegmentation]) -> Vec<Annotation> {
        self.groups.iter().flat_map(|group| group.findings(segmentations)).collect()
    }
}
