//! Structured reports of measurements (TID 1500) whose groups refer to segments of a DICOM SEG.
//!
//! A report adds words to voxels: the kind of finding, its site, its short axis. The voxels come from the segmentation that it names.
//! Invariants: only groups that name a segment become findings; nothing of a report is a status or a station by itself, since codes are
//! given a meaning by the classes of a configuration. Source: PS3.16 TID 1500, 1411; concepts by code, in DCM, SCT or SRT. Units: mm.

use std::collections::BTreeMap;
use std::path::Path;

use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use mtids_dicom::concepts::{
    FINDING, FINDING_SITE, MEASUREMENT_GROUP, REFERENCED_SEGMENT, SHORT_AXIS, TRACKING_IDENTIFIER,
};
use mtids_dicom::dataset::{Elements, guarded, open};
use mtids_dicom::element::{code, first_item, integers, items, number, text};
use mtids_dicom::{DicomError, Limits, ReasonCode};
use mtids_domain::annotation::{Annotation, Code};

use crate::segmentation::{PlacedSegment, PlacedSegmentation};

/// A group of measurements of one finding.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MeasurementGroup {
    /// Tracking identifier; for people, never a label.
    pub name: String,
    /// Codes of the finding and of its site.
    pub codes: Vec<Code>,
    /// Short axis in mm, where measured.
    pub short_axis_mm: Option<f64>,
    /// Segments it refers to: SOP Instance UID, and the number, or `None` for all.
    pub segments: Vec<(String, Option<u32>)>,
}

/// A structured report.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// PatientID, where given.
    pub patient_id: Option<String>,
    /// Its groups of measurements, in document order.
    pub groups: Vec<MeasurementGroup>,
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
    let mut groups = Vec::new();
    collect(&object, &mut groups);
    Ok(Report { patient_id: text(&object, tags::PATIENT_ID), groups })
}

/// Walks the content; nesting is bounded by the scan before the parser.
fn collect(item: &InMemDicomObject, groups: &mut Vec<MeasurementGroup>) {
    for child in items(item, tags::CONTENT_SEQUENCE) {
        if is(child, MEASUREMENT_GROUP) {
            groups.push(group(child));
        } else {
            collect(child, groups);
        }
    }
}

/// Whether the name of a content item is one of these concepts.
fn is(item: &InMemDicomObject, concepts: &[(&str, &str)]) -> bool {
    let name = first_item(item, tags::CONCEPT_NAME_CODE_SEQUENCE).and_then(code);
    name.is_some_and(|name| concepts.contains(&(name.scheme.as_str(), name.value.as_str())))
}

fn group(container: &InMemDicomObject) -> MeasurementGroup {
    let mut group = MeasurementGroup::default();
    for item in items(container, tags::CONTENT_SEQUENCE) {
        if is(item, TRACKING_IDENTIFIER) {
            group.name = text(item, tags::TEXT_VALUE).unwrap_or_default();
        } else if is(item, FINDING) || is(item, FINDING_SITE) {
            group.codes.extend(first_item(item, tags::CONCEPT_CODE_SEQUENCE).and_then(code));
        } else if is(item, SHORT_AXIS) {
            let measured = first_item(item, tags::MEASURED_VALUE_SEQUENCE).and_then(millimetres);
            group.short_axis_mm = group.short_axis_mm.or(measured);
        } else if is(item, REFERENCED_SEGMENT) {
            for reference in items(item, tags::REFERENCED_SOP_SEQUENCE) {
                let Some(uid) = text(reference, tags::REFERENCED_SOP_INSTANCE_UID) else { continue };
                match integers(reference, tags::REFERENCED_SEGMENT_NUMBER) {
                    None => group.segments.push((uid, None)),
                    Some(numbers) => group.segments.extend(numbers.into_iter().map(|n| (uid.clone(), Some(n)))),
                }
            }
        }
    }
    // Named twice, a segment is still one.
    group.segments.sort();
    group.segments.dedup();
    group
}

/// A positive length in mm; other units are known by their UCUM code or left out.
fn millimetres(value: &InMemDicomObject) -> Option<f64> {
    let unit = first_item(value, tags::MEASUREMENT_UNITS_CODE_SEQUENCE).and_then(code)?;
    let factor = match unit.value.as_str() {
        "mm" => 1.0,
        "cm" => 10.0,
        _ => return None,
    };
    number(value, tags::NUMERIC_VALUE).map(|number| number * factor).filter(|mm| *mm > 0.0)
}

/// Most names that are told.
const SHOWN: usize = 5;

impl MeasurementGroup {
    /// Whether it speaks of something drawn or of a node: reports on hearts and vessels have groups too.
    fn is_of_interest(&self) -> bool {
        !self.segments.is_empty() || self.short_axis_mm.is_some()
    }
}

impl Report {
    /// A sentence about groups with a segment or a short axis that name no segment with voxels of these; `None` where there are none.
    pub fn unread(&self, segmentations: &[PlacedSegmentation]) -> Option<String> {
        let is_here = |(uid, number): &(String, Option<u32>)| {
            let of_uid = segmentations.iter().filter(|one| one.sop_instance_uid == *uid);
            let is_meant = |segment: &PlacedSegment| number.is_none_or(|number| segment.number == number);
            of_uid.flat_map(|one| &one.segments).any(|segment| is_meant(segment) && !segment.findings.is_empty())
        };
        let groups = self.groups.iter().filter(|group| group.is_of_interest());
        let unread: Vec<&MeasurementGroup> = groups.filter(|group| !group.segments.iter().any(is_here)).collect();
        let named = unread.iter().filter(|group| !group.name.is_empty());
        let names: Vec<String> = named.take(SHOWN).map(|group| format!("`{}`", group.name)).collect();
        let names = if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) };
        (!unread.is_empty()).then(|| {
            format!(
                "{} of {} groups of measurements name no segment with voxels here{names}; they give no finding, and their sizes and codes are not \
                 read: give the SEG that they speak of, or a table of their places",
                unread.len(),
                self.groups.len()
            )
        })
    }

    /// Whether a group of measurements names a segment of this object.
    pub(crate) fn refers_to(&self, segmentation: &str) -> bool {
        self.groups.iter().any(|group| group.segments.iter().any(|(uid, _)| uid == segmentation))
    }

    /// The findings whose voxels stand in these segmentations, with the words of the report.
    pub fn findings(&self, segmentations: &[PlacedSegmentation]) -> Vec<Annotation> {
        let by_uid: BTreeMap<&str, &PlacedSegmentation> =
            segmentations.iter().map(|one| (one.sop_instance_uid.as_str(), one)).collect();
        let mut found = Vec::new();
        for group in &self.groups {
            for (uid, number) in &group.segments {
                let segments = by_uid.get(uid.as_str()).map_or(&[][..], |object| &object.segments);
                let meant: Vec<&Annotation> = segments
                    .iter()
                    .filter(|segment| number.is_none_or(|number| segment.number == number))
                    .flat_map(|segment| &segment.findings)
                    .collect();
                // One length of several pieces is that of none of them.
                let short_axis_mm = group.short_axis_mm.filter(|_| meant.len() == 1);
                found.extend(meant.into_iter().map(|finding| Annotation {
                    finding: if group.name.is_empty() { finding.finding.clone() } else { group.name.clone() },
                    codes: if group.codes.is_empty() { finding.codes.clone() } else { group.codes.clone() },
                    short_axis_mm,
                    ..finding.clone()
                }));
            }
        }
        found
    }
}
