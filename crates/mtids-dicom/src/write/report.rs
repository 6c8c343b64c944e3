//! Measurements as a structured report (TID 1500) that refers to segments of a SEG, or to points.
//!
//! Invariants: one group for each finding, in the given order; the observer is a device, never a person, because no person has looked.

use std::path::Path;

use dicom_core::VR;
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;

use crate::concepts::{
    ALGORITHM_NAME, FINDING, FINDING_SITE, MEASUREMENT_GROUP, REFERENCED_SEGMENT, SHORT_AXIS, TRACKING_IDENTIFIER,
};
use crate::error::DicomError;
use crate::uid::uid_from;
use crate::write::encoding::Encoding;
use crate::write::identity::StudyIdentity;
use crate::write::parts::{
    code, decimal, put, put_equipment, put_floats, put_identity, put_items, put_number, put_series_time, put_short,
    reference,
};
use crate::write::segmentation::{segmentation_series_uid, segmentation_uid};
use crate::write::source::{DerivedObject, SourceImages};

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

/// Where a finding of a report lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ReportedPlace {
    /// In this segment of the segmentation beside the report.
    Segment(u16),
    /// At this point, LPS mm: it has no outline.
    Point([f64; 3]),
}

/// A finding of a report with what more is said of it.
#[derive(Clone, Debug, PartialEq)]
pub struct DescribedFinding {
    /// Name by which people track it.
    pub name: String,
    /// UID by which programs do.
    pub tracking_uid: String,
    /// Where it lies.
    pub place: ReportedPlace,
    /// What was measured.
    pub measurements: Vec<Measurement>,
    /// What was judged: concept and value, each as code, scheme and meaning.
    pub evaluations: Vec<[[String; 3]; 2]>,
    /// What more is to be known of it, in words.
    pub comments: Vec<String>,
}

/// Writes a report on the lymph nodes of the CT series `ct_series_uid` with `slices` slices, which this crate wrote, whose segments stand in its
/// SEG.
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
    let described = |finding: &ReportedFinding| DescribedFinding {
        name: finding.name.clone(),
        tracking_uid: uid_from(&["tracking", ct_series_uid, &finding.segment.to_string()]),
        place: ReportedPlace::Segment(finding.segment),
        measurements: finding.measurements.clone(),
        evaluations: Vec::new(),
        comments: Vec::new(),
    };
    let findings: Vec<DescribedFinding> = findings.iter().map(described).collect();
    let derived = DerivedObject {
        series_uid: uid_from(&["report", ct_series_uid]),
        instance_uid: uid_from(&["report instance", ct_series_uid]),
        series_number: 3,
        series_description: None,
        description: String::new(),
        algorithm: None,
        algorithm_parameters: None,
    };
    let segmentation = [segmentation_series_uid(ct_series_uid), segmentation_uid(ct_series_uid)];
    let source = SourceImages::written(identity, ct_series_uid, slices);
    write_described_report(path, &findings, &source, &derived, Some(&segmentation))
}

/// Writes a report on the lymph nodes of `source`. `segmentation` are the series and instance UID of the SEG that segments are of.
///
/// # Errors
/// [`DicomError::Write`] naming the file.
pub fn write_described_report(
    path: &Path,
    findings: &[DescribedFinding],
    source: &SourceImages,
    derived: &DerivedObject,
    segmentation: Option<&[String; 2]>,
) -> Result<(), DicomError> {
    let (identity, instance) = (&source.identity, &derived.instance_uid);
    let mut object = InMemDicomObject::new_empty();
    put_identity(&mut object, identity, &derived.series_uid, "SR");
    put_series_time(&mut object, identity);
    put_equipment(&mut object);
    put(&mut object, tags::SOP_CLASS_UID, VR::UI, uids::COMPREHENSIVE3_DSR_STORAGE);
    put(&mut object, tags::SOP_INSTANCE_UID, VR::UI, instance);
    put_number(&mut object, tags::SERIES_NUMBER, derived.series_number);
    if let Some(description) = &derived.series_description {
        put(&mut object, tags::SERIES_DESCRIPTION, VR::LO, description);
    }
    put(&mut object, tags::INSTANCE_NUMBER, VR::IS, "1");
    put(&mut object, tags::COMPLETION_FLAG, VR::CS, "COMPLETE");
    put(&mut object, tags::VERIFICATION_FLAG, VR::CS, "UNVERIFIED");
    put(&mut object, tags::PRELIMINARY_FLAG, VR::CS, "PRELIMINARY");
    put_items(&mut object, tags::REFERENCED_PERFORMED_PROCEDURE_STEP_SEQUENCE, Vec::new());
    put_items(&mut object, tags::PERFORMED_PROCEDURE_CODE_SEQUENCE, Vec::new());
    let evidence = evidence(source, segmentation);
    put_items(&mut object, tags::CURRENT_REQUESTED_PROCEDURE_EVIDENCE_SEQUENCE, vec![evidence]);

    let groups = findings.iter().map(|finding| group(finding, source, derived, segmentation)).collect();
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
    Encoding::ExplicitLittle.write(path, object, uids::COMPREHENSIVE3_DSR_STORAGE, instance)
}

/// The instances that the report speaks about.
fn evidence(source: &SourceImages, segmentation: Option<&[String; 2]>) -> InMemDicomObject {
    let mut series = vec![source.series_item(tags::REFERENCED_SOP_SEQUENCE)];
    if let Some([series_uid, instance]) = segmentation {
        let mut item = InMemDicomObject::new_empty();
        put(&mut item, tags::SERIES_INSTANCE_UID, VR::UI, series_uid);
        put_items(&mut item, tags::REFERENCED_SOP_SEQUENCE, vec![reference(uids::SEGMENTATION_STORAGE, instance)]);
        series.push(item);
    }
    let mut study = InMemDicomObject::new_empty();
    put(&mut study, tags::STUDY_INSTANCE_UID, VR::UI, &source.identity.study_uid);
    put_items(&mut study, tags::REFERENCED_SERIES_SEQUENCE, series);
    study
}

fn group(
    finding: &DescribedFinding,
    source: &SourceImages,
    derived: &DerivedObject,
    segmentation: Option<&[String; 2]>,
) -> InMemDicomObject {
    let mut tracking = content_item("TEXT", "HAS OBS CONTEXT", concept(TRACKING_IDENTIFIER, "Tracking Identifier"));
    put(&mut tracking, tags::TEXT_VALUE, VR::UT, &finding.name);
    let mut tracking_uid = content_item("UIDREF", "HAS OBS CONTEXT", ["112040", "DCM", "Tracking Unique Identifier"]);
    put(&mut tracking_uid, tags::UID, VR::UI, &finding.tracking_uid);
    let mut content =
        vec![tracking, tracking_uid, coded("CONTAINS", concept(FINDING, "Finding"), ["59441001", "SCT", "Lymph node"])];
    let kind = match (finding.place, segmentation) {
        (ReportedPlace::Segment(number), Some([_, instance])) => {
            let mut segment = content_item("IMAGE", "CONTAINS", concept(REFERENCED_SEGMENT, "Referenced Segment"));
            let mut reference = reference(uids::SEGMENTATION_STORAGE, instance);
            put_short(&mut reference, tags::REFERENCED_SEGMENT_NUMBER, number);
            put_items(&mut segment, tags::REFERENCED_SOP_SEQUENCE, vec![reference]);
            let mut series = content_item("UIDREF", "CONTAINS", ["121232", "DCM", "Source Series for Segmentation"]);
            put(&mut series, tags::UID, VR::UI, &source.series_uid);
            content.extend([segment, series]);
            "1411"
        }
        (ReportedPlace::Point(center), _) => {
            let mut point = content_item("SCOORD3D", "CONTAINS", ["111030", "DCM", "Image Region"]);
            put(&mut point, tags::GRAPHIC_TYPE, VR::CS, "POINT");
            put_floats(&mut point, tags::GRAPHIC_DATA, &center);
            let frame = &source.identity.frame_of_reference_uid;
            put(&mut point, tags::REFERENCED_FRAME_OF_REFERENCE_UID, VR::UI, frame);
            content.push(point);
            "1410"
        }
        // Nothing says where a segment of no segmentation lies.
        (ReportedPlace::Segment(_), None) => "1501",
    };
    content.push(coded("HAS CONCEPT MOD", concept(FINDING_SITE, "Finding Site"), ["72410000", "SCT", "Mediastinum"]));
    if let Some([name, version]) = &derived.algorithm {
        let of_algorithm = [
            (concept(ALGORITHM_NAME, "Algorithm Name"), Some(name)),
            (["111003", "DCM", "Algorithm Version"], Some(version)),
            (["111002", "DCM", "Algorithm Parameters"], derived.algorithm_parameters.as_ref()),
        ];
        content.extend(
            of_algorithm.into_iter().filter_map(|(concept, said)| Some(text("HAS OBS CONTEXT", concept, said?))),
        );
    }
    content.extend(finding.measurements.iter().map(measured));
    content.extend(finding.evaluations.iter().map(|[concept, value]| {
        coded("CONTAINS", concept.each_ref().map(String::as_str), value.each_ref().map(String::as_str))
    }));
    content.extend(finding.comments.iter().map(|said| text("CONTAINS", ["121106", "DCM", "Comment"], said)));
    let mut group = content_item("CONTAINER", "CONTAINS", concept(MEASUREMENT_GROUP, "Measurement Group"));
    put(&mut group, tags::CONTINUITY_OF_CONTENT, VR::CS, "CONTINUOUS");
    put_items(&mut group, tags::CONTENT_TEMPLATE_SEQUENCE, vec![template(kind)]);
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

fn text(relation: &str, name: [&str; 3], said: &str) -> InMemDicomObject {
    let mut item = content_item("TEXT", relation, name);
    put(&mut item, tags::TEXT_VALUE, VR::UT, said);
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
