//! Coded concepts of measurement reports (PS3.16 TID 1500, 1411), by scheme and value.
//!
//! Each list holds one meaning; the older code of SNOMED RT (SRT, formerly SNM3 and 99SDM) means the same as the SCT one beside it. Reader and writer of reports share them.

/// Measurement group.
pub const MEASUREMENT_GROUP: &[(&str, &str)] = &[("DCM", "125007")];
/// Tracking identifier.
pub const TRACKING_IDENTIFIER: &[(&str, &str)] = &[("DCM", "112039")];
/// Finding.
pub const FINDING: &[(&str, &str)] = &[("DCM", "121071")];
/// Finding site.
pub const FINDING_SITE: &[(&str, &str)] =
    &[("SCT", "363698007"), ("SRT", "G-C0E3"), ("SNM3", "G-C0E3"), ("99SDM", "G-C0E3")];
/// Referenced segment.
pub const REFERENCED_SEGMENT: &[(&str, &str)] = &[("DCM", "121191")];
/// Frames of a segmentation that are a segment on one slice each; the reference has the number of the segment too.
pub const REFERENCED_SEGMENTATION_FRAME: &[(&str, &str)] = &[("DCM", "121214")];
/// Short axis.
pub const SHORT_AXIS: &[(&str, &str)] =
    &[("SCT", "103340004"), ("SRT", "G-A186"), ("SNM3", "G-A186"), ("99SDM", "G-A186")];
/// Long axis.
pub const LONG_AXIS: &[(&str, &str)] =
    &[("SCT", "103339001"), ("SRT", "G-A185"), ("SNM3", "G-A185"), ("99SDM", "G-A185")];
/// How a number was derived from others.
pub const DERIVATION: &[(&str, &str)] = &[("DCM", "121401")];
/// Whether a finding is there: presence, or the context of a finding.
pub const PRESENCE: &[(&str, &str)] = &[("SCT", "705057003"), ("SCT", "408729009")];
/// Not there: absent, known absent.
pub const ABSENT: &[(&str, &str)] = &[("SCT", "2667000"), ("SCT", "410516002")];
/// Name of the algorithm that found or measured something.
pub const ALGORITHM_NAME: &[(&str, &str)] = &[("DCM", "111001")];
/// Unique identifier by which programs track a finding.
pub const TRACKING_UID: &[(&str, &str)] = &[("DCM", "112040")];
/// Type of an observer.
pub const OBSERVER_TYPE: &[(&str, &str)] = &[("DCM", "121005")];
/// A device as an observer.
pub const DEVICE: &[(&str, &str)] = &[("DCM", "121007")];
/// Lymph node, as what was found or where.
pub const LYMPH_NODE: &[(&str, &str)] =
    &[("SCT", "59441001"), ("SRT", "T-C4000"), ("SNM3", "T-C4000"), ("99SDM", "T-C4000")];
