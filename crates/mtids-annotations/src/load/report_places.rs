//! Groups of a report that lie where their coordinates are, each placed in its own series.
//!
//! Purpose: reports of viewers place nodes by points and lines, without a segmentation. Invariants: such a group becomes a point, is left out by a rule, or
//! is rejected by name; what a rule leaves out is not looked for; what a program measured is told, because a label that a rule gives it is nobody's
//! reading. Units: LPS mm.

use std::collections::BTreeMap;
use std::path::Path;

use mtids_domain::annotation::{Annotation, AnnotationSource, AnnotationTarget, Extent};
use mtids_domain::geometry::PointMm;
use mtids_domain::label::{Evidence, LabelLevel};

use super::Loader;
use crate::assign::object::NoSeries;
use crate::names_without_rule::first_names;
use crate::reject::{RejectPlace, RejectReason};
use crate::report::{MeasurementGroup, NoPlace, Report, Space, doubt_of_line, place, told_lengths};
use crate::said::Contradicted;
use crate::statuses_in_names::seems_to_tell;

/// What became of the groups with coordinates of a report.
#[derive(Default)]
pub(super) struct GroupCounts {
    /// Groups that are findings now.
    pub(super) assigned: usize,
    /// Groups that a rule leaves out.
    pub(super) left_out: usize,
    /// For each group that cannot be read, which it is and why.
    pub(super) unreadable: Vec<String>,
    /// Why the first group without series has none.
    pub(super) no_series: Option<NoSeries>,
    /// Groups that were measured by a program.
    by_program: usize,
    /// Names of findings that no rule and no code calls lymph nodes.
    doubtful: BTreeMap<String, u64>,
    /// Labels of a rule that the group itself contradicts.
    contradicted: Contradicted,
    /// Groups whose short axis is not as long as its line, each with why.
    odd_lines: Vec<(String, String)>,
}

impl GroupCounts {
    /// A sentence for each doubt.
    fn sentences(&self) -> Vec<String> {
        let by_program = (self.by_program > 0).then(|| {
            format!(
                "{} of {} findings of a report were measured by a program, and not by a person; a label that a class rule gives them is no truth",
                self.by_program, self.assigned
            )
        });
        let doubtful = (!self.doubtful.is_empty()).then(|| {
            format!(
                "{} findings of a report have no name or code of lymph nodes: {}; each is read as one; write a class rule that ignores them",
                self.doubtful.values().sum::<u64>(),
                first_names(&self.doubtful)
            )
        });
        let lines: Vec<(&str, String)> =
            self.odd_lines.iter().map(|(name, why)| (name.as_str(), why.clone())).collect();
        [by_program, doubtful, told_lengths(&lines)].into_iter().flatten().collect()
    }
}

impl Loader<'_> {
    /// Places the groups of a report that have coordinates and no segment.
    pub(super) fn add_groups(&mut self, path: &Path, report: &Report) -> GroupCounts {
        let mut counts = GroupCounts::default();
        for (number, group) in (1..).zip(&report.groups).filter(|(_, group)| group.is_placed()) {
            self.add_group(path, report, (number, group), &mut counts);
        }
        self.tell_contradicted(path, &counts.contradicted);
        counts.sentences().into_iter().for_each(|sentence| self.tell(path, sentence));
        counts
    }

    fn add_group(
        &mut self,
        path: &Path,
        report: &Report,
        (number, group): (usize, &MeasurementGroup),
        counts: &mut GroupCounts,
    ) {
        let title = group.title();
        let at = RejectPlace::Part(format!("group {number} `{title}`"));
        self.note_name(title, &group.codes);
        let codes: Vec<String> = group.codes.iter().map(ToString::to_string).collect();
        let verdict = self.rules.classes.verdict(title, &codes);
        if verdict.ignored {
            counts.left_out += 1;
            return;
        }
        let target = target_of(report, group);
        let (series, center) = match self.place_of(path, report, group, &target, (&at, counts)) {
            Ok(placed) => placed,
            Err((reason, detail)) => {
                match reason {
                    RejectReason::UnreadableCoordinates => counts.unreadable.push(format!("{at}: {detail}")),
                    RejectReason::ImplausibleSize => {}
                    // No image was found, or its place lies outside.
                    _ => self.resolved.unmatched += 1,
                }
                return self.reject(path, at, reason, detail);
            }
        };
        let finding = Annotation {
            target,
            center,
            extent: Extent::Point,
            finding: title.to_owned(),
            codes: group.codes.clone(),
            station: None,
            metastasis: None,
            evidence: Evidence::U,
            level: LabelLevel::Node,
            short_axis_mm: group.short_axis_mm,
            // As a POINT of an RTSTRUCT: only rows of tables are of a table.
            source: AnnotationSource::Segmentation,
        };
        let (lost, before) = (&mut self.resolved.lost_stations, counts.contradicted.labels);
        let applied = self.rules.classes.apply_beside(finding, &group.said, lost, &mut counts.contradicted);
        let Some(finding) = applied else { return };
        if self.keep(path, at, finding, series) {
            counts.odd_lines.extend(self.odd_line(group, series).map(|why| (title.to_owned(), why)));
            counts.assigned += 1;
            counts.by_program += usize::from(report.context.by_device || group.by_algorithm);
            if verdict.rule.is_none() && !group.is_node {
                *counts.doubtful.entry(title.to_owned()).or_default() += 1;
            }
            let said = group.status.clone().or_else(|| Some(title.to_owned()).filter(|title| seems_to_tell(title)));
            // What contradicts a rule is told already.
            let said = said.filter(|_| counts.contradicted.labels == before);
            self.telling.extend(said.map(|said| (center, said)));
        }
    }

    /// Why the short axis of a group is doubted that was measured on a line in this series.
    fn odd_line(&self, group: &MeasurementGroup, series: usize) -> Option<String> {
        let line = place(std::slice::from_ref(group.short_axis_line.as_ref()?), self.index.series(series)).ok()?;
        doubt_of_line(group.short_axis_mm?, line.length_mm)
    }

    /// The series and the place of a group.
    fn place_of(
        &self,
        path: &Path,
        report: &Report,
        group: &MeasurementGroup,
        target: &AnnotationTarget,
        (at, counts): (&RejectPlace, &mut GroupCounts),
    ) -> Result<(usize, PointMm), NoPlace> {
        if let Some(fault) = &group.unreadable {
            return Err((RejectReason::UnreadableCoordinates, fault.clone()));
        }
        let images: Vec<String> = images_of(group).collect();
        let instances = if images.is_empty() { &report.context.instances } else { &images };
        let candidates = self.index.candidates(target, instances).map_err(|no_series| {
            let fault = match &no_series {
                NoSeries::OtherPatient(detail) => (RejectReason::OtherPatient, detail.clone()),
                NoSeries::NotHere(detail) => (RejectReason::ImageNotHere, detail.clone()),
            };
            counts.no_series.get_or_insert(no_series);
            fault
        })?;
        let (mut placed, mut faults) = (Vec::new(), Vec::new());
        for series in candidates {
            match place(&group.coordinates, self.index.series(series)) {
                Ok(drawn) => placed.push((series, drawn.center)),
                Err(fault) => faults.push(fault),
            }
        }
        let Some(&first) = placed.first() else {
            let nothing = || (RejectReason::ImageNotHere, "no series here is the one of its coordinates".to_owned());
            return Err(faults.into_iter().next().unwrap_or_else(nothing));
        };
        let numbers: Vec<usize> = placed.iter().map(|(series, _)| *series).collect();
        let center_in = |n: usize| placed.iter().find(|(series, _)| *series == n).map(|(_, center)| *center);
        let held = |n: usize| usize::from(center_in(n).is_some_and(|center| self.index.series(n).holds(center)));
        let chosen = match self.index.best(&numbers, held) {
            // What lies in none of them is rejected with its distance.
            Ok(None) => return Ok(first),
            Ok(Some(chosen)) => chosen,
            Err(no_image) => return Err((no_image.reason, no_image.detail)),
        };
        Self::warn_of_choice(path, at, &chosen);
        Ok((chosen.series, center_in(chosen.series).unwrap_or(first.1)))
    }
}

/// The SOP Instance UIDs of the images that a group was drawn on.
fn images_of(group: &MeasurementGroup) -> impl Iterator<Item = String> {
    group.coordinates.iter().filter_map(|one| match &one.space {
        Space::Image { sop_instance_uid, .. } => Some(sop_instance_uid.clone()),
        Space::Patient { .. } => None,
    })
}

/// The image that a group speaks of: what was drawn on an image is of its series, else the evidence of the report says which series may be meant.
fn target_of(report: &Report, group: &MeasurementGroup) -> AnnotationTarget {
    let frame = group.coordinates.iter().find_map(|one| match &one.space {
        Space::Patient { frame_of_reference_uid } => Some(frame_of_reference_uid.clone()),
        Space::Image { .. } => None,
    });
    let is_on_image = images_of(group).next().is_some();
    AnnotationTarget {
        patient_id: report.patient_id.clone(),
        series_uid: report.context.series_uid.clone().filter(|_| !is_on_image),
        study_uid: report.context.study_uid.clone(),
        frame_of_reference_uid: frame,
    }
}
