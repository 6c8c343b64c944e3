//! Measurements as a structured report (TID 1500) that refers to segments of a SEG written by [`super::write_segmentation`].
//!
//! Invariants: one group for each finding, in the given order; the observer is a device, never a person, because no person has looked.

use std::path::Path;

use dicom_core::VR;
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;

use crate::concepts::{FINDING, FINDING_SITE, MEASUREMENT_GROUP, REFERENCED_SEGMENT, SHORT_AXIS, TRACKING_IDENTIFIER};
use crate::error::DicomError;
use crate::uid::uid_from;
use crate::write::ct::slice_uid;
use crate::write::encoding::Encoding;
use crate::write::identity::StudyIdentity;
use crate::write::parts::{
    code, decimal, put, put_equipment, put_identity, put_items, put_series_time, put_short, reference,
};
use crate::write::segmentation::{segmentation_series_uid, segmentation_uid};

/// A number of a finding.
#[derive(Clone, Debug, PartialEq)]
pub struct Measurement {
    /// Code, scheme and meaning of what was measured.
    pub concept: [String; 3],
    /// The number.
    pub value: f64,
    /// UCUM code of the unit and its meaning.
    pub unit: [String; 2],
}

impl Measurement {
    /// The short axis in mm.
    pub fn short_axis_mm(value: f64) -> Self {
        Self {
            concept: concept(SHORT_AXIS, "Short Axis").map(str::to_owned),
            value,
            unit: ["mm".to_owned(), "millimeter".to_owned()],
        }
    }
}

/// A finding of a report.
#[derive(Clone, Debug, PartialEq)]
pub struct ReportedFinding {
    /// Name by which people track it.
    pub name: String,
    /// Number of its segment.
    pub segment: u16,
    /// What was measured.
    pub measurements: Vec<Measurement>,
}

/// Writes a report on the lymph nodes of the CT series `ct_series_uid` with `slices` slices, whose segments stand in its SEG.
///
/// # Errors
/// [`DicomError::Write`] naming the file.
pub fn write_report(
    path: &Path,
    findings: &[ReportedFinding],
    slices: usize,
    identity: &StudyIdentity,
    ct_series_uid: &str,
) -> Result<(), DicomError> {
    let instance = uid_from(&["report instance", ct_series_uid]);
    let mut object = InMemDicomObject::new_empty();
    put_identity(&mut object, identity, &uid_from(&["report", ct_series_uid]), "SR");
    put_series_time(&mut object, identity);
    put_equipment(&mut object);
    put(&mut object, tags::SOP_CLASS_UID, VR::UI, uids::COMPREHENSIVE3_DSR_STORAGE);
    put(&mut object, tags::SOP_INSTANCE_UID, VR::UI, &instance);
    put(&mut object, tags::SERIES_NUMBER, VR::IS, "3");
    put(&mut object, tags::INSTANCE_NUMBER, VR::IS, "1");
    put(&mut object, tags::COMPLETION_FLAG, VR::CS, "COMPLETE");
    put(&mut object, tags::VERIFICATION_FLAG, VR::CS, "UNVERIFIED");
    put(&mut object, tags::PRELIMINARY_FLAG, VR::CS, "PRELIMINARY");
    put_items(&mut object, tags::REFERENCED_PERFORMED_PROCEDURE_STEP_SEQUENCE, Vec::new());
    put_items(&mut object, tags::PERFORMED_PROCEDURE_CODE_SEQUENCE, Vec::new());
    let evidence = evidence(slices, identity, ct_series_uid);
    put_items(&mut object, tags::CURRENT_REQUESTED_PROCEDURE_EVIDENCE_SEQUENCE, vec![evidence]);

    let groups = findings.iter().map(|finding| group(finding, ct_series_uid)).collect();
    let mut measurements = content_item("CONTAINER", "CONTAINS", ["126010", "DCM", "Imaging Measurements"]);
    put(&mut measurements, tags::CONTINUITY_OF_CONTENT, VR::CS, "CONTINUOUS");
    put_items(&mut measurements, tags::CONTENT_SEQUENCE, groups);
    let mut device = content_item("UIDREF", "HAS OBS CONTEXT", ["121012", "DCM", "Device Observer UID"]);
    put(&mut device, tags::UID, VR::UI, &uid_from(&["mtids", "implementation"]));
    let mut device_name = content_item("TEXT", "HAS OBS CONTEXT", ["121013", "DCM", "Device Observer Name"]);
    put(&mut device_name, tags::TEXT_VALUE, VR::UT, "mtids, research software, not for diagnosis");
    let content = vec![
        coded(
            "HAS CONCEPT MOD",
            ["121049", "DCM", "Language of Content Item and Descendants"],
            ["en-US", "RFC5646", "English (United States)"],
        ),
        coded("HAS OBS CONTEXT", ["121005", "DCM", "Observer Type"], ["121007", "DCM", "Device"]),
        device,
        device_name,
        coded(
            "HAS CONCEPT MOD",
            ["121058", "DCM", "Procedure reported"],
            ["25045-6", "LN", "CT unspecified body region"],
        ),
        measurements,
    ];
    put(&mut object, tags::VALUE_TYPE, VR::CS, "CONTAINER");
    put_items(&mut object, tags::CONCEPT_NAME_CODE_SEQUENCE, vec![code("126000", "DCM", "Imaging Measurement Report")]);
    put(&mut object, tags::CONTINUITY_OF_CONTENT, VR::CS, "CONTINUOUS");
    put_items(&mut object, tags::CONTENT_TEMPLATE_SEQUENCE, vec![template("1500")]);
    put_items(&mut object, tags::CONTENT_SEQUENCE, content);
    Encoding::ExplicitLittle.write(path, object, uids::COMPREHENSIVE3_DSR_STORAGE, &instance)
}

/// The instances that the report speaks about.
fn evidence(slices: usize, identity: &StudyIdentity, ct_series_uid: &str) -> InMemDicomObject {
    let series = |uid: &str, instances: Vec<InMemDicomObject>| {
        let mut item = InMemDicomObject::new_empty();
        put(&mut item, tags::SERIES_INSTANCE_UID, VR::UI, uid);
        put_items(&mut item, tags::REFERENCED_SOP_SEQUENCE, instances);
        item
    };
    let slices = (0..slices).map(|k| reference(uids::CT_IMAGE_STORAGE, &slice_uid(ct_series_uid, k))).collect();
    let mask = reference(uids::SEGMENTATION_STORAGE, &segmentation_uid(ct_series_uid));
    let mut study = InMemDicomObject::new_empty();
    put(&mut study, tags::STUDY_INSTANCE_UID, VR::UI, &identity.study_uid);
    put_items(
        &mut study,
        tags::REFERENCED_SERIES_SEQUENCE,
        vec![series(ct_series_uid, slices), series(&segmentation_series_uid(ct_series_uid), vec![mask])],
    );
    study
}

fn group(finding: &ReportedFinding, ct_series_uid: &str) -> InMemDicomObject {
    let mut tracking = content_item("TEXT", "HAS OBS CONTEXT", concept(TRACKING_IDENTIFIER, "Tracking Identifier"));
    put(&mut tracking, tags::TEXT_VALUE, VR::UT, &finding.name);
    let mut tracking_uid = content_item("UIDREF", "HAS OBS CONTEXT", ["112040", "DCM", "Tracking Unique Identifier"]);
    put(&mut tracking_uid, tags::UID, VR::UI, &uid_from(&["tracking", ct_series_uid, &finding.segment.to_string()]));
    let mut segment = content_item("IMAGE", "CONTAINS", concept(REFERENCED_SEGMENT, "Referenced Segment"));
    let mut reference = reference(uids::SEGMENTATION_STORAGE, &segmentation_uid(ct_series_uid));
    put_short(&mut reference, tags::REFERENCED_SEGMENT_NUMBER, finding.segment);
    put_items(&mut segment, tags::REFERENCED_SOP_SEQUENCE, vec![reference]);
    let mut source = content_item("UIDREF", "CONTAINS", ["121232", "DCM", "Source Series for Segmentation"]);
    put(&mut source, tags::UID, VR::UI, ct_series_uid);
    let mut content = vec![
        tracking,
        tracking_uid,
        coded("CONTAINS", concept(FINDING, "Finding"), ["59441001", "SCT", "Lymph node"]),
        segment,
        source,
        coded("HAS CONCEPT MOD", concept(FINDING_SITE, "Finding Site"), ["72410000", "SCT", "Mediastinum"]),
    ];
    content.extend(finding.measurements.iter().map(measured));
    let mut group = content_item("CONTAINER", "CONTAINS", concept(MEASUREMENT_GROUP, "Measurement Group"));
    put(&mut group, tags::CONTINUITY_OF_CONTENT, VR::CS, "CONTINUOUS");
    put_items(&mut group, tags::CONTENT_TEMPLATE_SEQUENCE, vec![template("1411")]);
    put_items(&mut group, tags::CONTENT_SEQUENCE, content);
    group
}

fn measured(measurement: &Measurement) -> InMemDicomObject {
    let [value, scheme, meaning] = &measurement.concept;
    let mut item = content_item("NUM", "CONTAINS", [value, scheme, meaning]);
    let mut number = InMemDicomObject::new_empty();
    put(&mut number, tags::NUMERIC_VALUE, VR::DS, &decimal(measurement.value));
    let [unit, meaning] = &measurement.unit;
    put_items(&mut number, tags::MEASUREMENT_UNITS_CODE_SEQUENCE, vec![code(unit, "UCUM", meaning)]);
    put_items(&mut item, tags::MEASURED_VALUE_SEQUENCE, vec![number]);
    item
}

/// Value, scheme and meaning of a concept, in its first (newest) coding.
fn concept<'a>(codings: &[(&'a str, &'a str)], meaning: &'a str) -> [&'a str; 3] {
    codings.first().map_or([""; 3], |(scheme, value)| [value, scheme, meaning])
}

fn content_item(value_type: &str, relation: &str, [value, scheme, meaning]: [&str; 3]) -> InMemDicomObject {
    let mut item = InMemDicomObject::new_empty();
    put(&mut item, tags::RELATIONSHIP_TYPE, VR::CS, relation);
    put(&mut item, tags::VALUE_TYPE, VR::CS, value_type);
    put_items(&mut item, tags::CONCEPT_NAME_CODE_SEQUENCE, vec![code(value, scheme, meaning)]);
    item
}

fn coded(relation: &str, name: [&str; 3], [value, scheme, meaning]: [&str; 3]) -> InMemDicomObject {
    let mut item = content_item("CODE", relation, name);
    put_items(&mut item, tags::CONCEPT_CODE_SEQUENCE, vec![code(value, scheme, meaning)]);
    item
}

fn template(identifier: &str) -> InMemDicomObject {
    let mut item = InMemDicomObject::new_empty();
    put(&mut item, tags::MAPPING_RESOURCE, VR::CS, "DCMR");
    put(&mut item, tags::TEMPLATE_IDENTIFIER, VR::CS, identifier);
    item
}
