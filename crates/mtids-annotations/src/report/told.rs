//! Sentences about what a report says and nobody reads.
//!
//! Invariant: each names the first groups that it is about, and what to do.

use super::length::doubt;
use super::{MeasurementGroup, Report};
use crate::segmentation::{PlacedSegment, PlacedSegmentation};

/// Most names that are told.
const SHOWN: usize = 5;

/// The first names of groups in brackets, with a space before; empty where none has a name.
fn first_titles(groups: &[&MeasurementGroup]) -> String {
    let titles = groups.iter().map(|group| group.title()).filter(|title| !title.is_empty());
    let titles: Vec<String> = titles.take(SHOWN).map(|title| format!("`{title}`")).collect();
    if titles.is_empty() { String::new() } else { format!(" ({})", titles.join(", ")) }
}

/// A sentence about short axes that are read and doubted, each with its name and why; `None` where there are none.
pub(crate) fn told_lengths(odd: &[(&str, String)]) -> Option<String> {
    let mut told: Vec<String> = odd.iter().take(SHOWN).map(|(name, why)| format!("`{name}`: {why}")).collect();
    if odd.len() > SHOWN {
        told.push(format!("{} more", odd.len() - SHOWN));
    }
    (!odd.is_empty()).then(|| {
        let count = if odd.len() == 1 { "1 group".to_owned() } else { format!("{} groups", odd.len()) };
        format!(
            "the short axis of {count} of measurements is read, and doubtful: {}; correct it, or leave it out",
            told.join("; ")
        )
    })
}

impl Report {
    /// A sentence about groups that name segments, and none with voxels of these; `None` where there are none.
    pub fn unread(&self, segmentations: &[PlacedSegmentation]) -> Option<String> {
        let is_here = |(uid, number): &(String, Option<u32>)| {
            let of_uid = segmentations.iter().filter(|one| one.sop_instance_uid == *uid);
            let is_meant = |segment: &PlacedSegment| number.is_none_or(|number| segment.number == number);
            of_uid.flat_map(|one| &one.segments).any(|segment| is_meant(segment) && !segment.findings.is_empty())
        };
        let groups = self.groups.iter().filter(|group| !group.is_absent && !group.segments.is_empty());
        let unread: Vec<&MeasurementGroup> = groups.filter(|group| !group.segments.iter().any(is_here)).collect();
        (!unread.is_empty()).then(|| {
            format!(
                "{} of {} groups of measurements name no segment with voxels here{}; they give no finding, and their sizes and codes are not \
                 read: give the SEG that they speak of, or a table of their places",
                unread.len(),
                self.groups.len(),
                first_titles(&unread)
            )
        })
    }

    /// A sentence about groups that have neither coordinates nor a segment, as measurements of whole images; `None` where there are none.
    pub fn unplaced(&self) -> Option<String> {
        let unplaced: Vec<&MeasurementGroup> =
            self.groups.iter().filter(|group| !group.is_absent && !group.has_place()).collect();
        (!unplaced.is_empty()).then(|| {
            format!(
                "{} of {} groups of measurements have neither coordinates nor a segment{}; they give no finding: draw them, or give a table of their \
                 places",
                unplaced.len(),
                self.groups.len(),
                first_titles(&unplaced)
            )
        })
    }

    /// A sentence about groups whose finding is said to be absent; `None` where there are none.
    pub fn absent(&self) -> Option<String> {
        let absent: Vec<&MeasurementGroup> = self.groups.iter().filter(|group| group.is_absent).collect();
        (!absent.is_empty()).then(|| {
            format!(
                "{} of {} groups of measurements say that their finding is absent{}; they give no finding, and nothing to a segment that they name",
                absent.len(),
                self.groups.len(),
                first_titles(&absent)
            )
        })
    }

    /// A sentence about short axes that are not read; `None` where there are none.
    pub fn doubts(&self) -> Option<String> {
        let faults: Vec<(&str, &String)> =
            self.groups.iter().filter_map(|group| Some((group.name.as_str(), group.fault.as_ref()?))).collect();
        let shown: Vec<String> = faults.iter().take(SHOWN).map(|(name, fault)| format!("`{name}`: {fault}")).collect();
        (!faults.is_empty()).then(|| {
            let count = if faults.len() == 1 { "1 group".to_owned() } else { format!("{} groups", faults.len()) };
            format!(
                "the short axis of {count} of measurements is not read, and that of the mask is taken where there is one: {}",
                shown.join("; ")
            )
        })
    }

    /// A sentence about short axes that hardly any node has; `None` where there are none.
    pub fn odd_lengths(&self) -> Option<String> {
        let odd = self.groups.iter().filter(|group| !group.is_absent).filter_map(|group| {
            let doubt = doubt(group.short_axis_mm?, group.long_axis_mm)?;
            Some((group.title(), doubt))
        });
        told_lengths(&odd.collect::<Vec<_>>())
    }

    /// A sentence about groups that name one segment by its number and another one by its Tracking UID; `None` where there are none.
    pub fn swapped(&self, segmentations: &[PlacedSegmentation]) -> Option<String> {
        let is_swapped =
            |group: &&MeasurementGroup| group.segments.iter().any(|named| group.is_swapped(named, segmentations));
        let swapped: Vec<&MeasurementGroup> = self.groups.iter().filter(is_swapped).collect();
        (!swapped.is_empty()).then(|| {
            format!(
                "{} of {} groups of measurements name one segment by its number, and another one by its Tracking UID{}; nothing that they say is read: \
                 correct one of both",
                swapped.len(),
                self.groups.len(),
                first_titles(&swapped)
            )
        })
    }

    /// A sentence about shapes outside of groups of measurements; `None` where there are none.
    pub fn stray(&self) -> Option<String> {
        let shapes =
            if self.stray_shapes == 1 { "1 shape is".to_owned() } else { format!("{} shapes are", self.stray_shapes) };
        (self.stray_shapes > 0).then(|| {
            format!(
                "{shapes} drawn outside of groups of measurements (DCM 125007), and not read: export the report as TID 1500, or give a table of the places"
            )
        })
    }
}
