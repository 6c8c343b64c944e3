//! Structured reports of the study folder, whose findings lie where the segments lie that they name, or where their coordinates are.
//!
//! Invariants: a report has one outcome, whatever its groups are; what it says of a node and nobody reads is told: a size, a name that a rule leaves
//! out, a code that seems to tell a status, a group without place.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use mtids_dicom::{DicomError, FileOutcome, ReasonCode, SkipReason};
use mtids_domain::annotation::{Annotation, AnnotationTarget};

use super::Loader;
use super::report_places::GroupCounts;
use crate::assign::object::NoSeries;
use crate::names_without_rule::first_names;
use crate::reject::RejectPlace;
use crate::report::{MeasurementGroup, Report, read_report};
use crate::said::Said;
use crate::segmentation::PlacedSegmentation;

/// Why a report whose groups lie nowhere here is skipped.
const NOWHERE: SkipReason = SkipReason::ReportOfNoSegmentHere;

/// Why no finding of a report was assigned by its segments.
enum Unused {
    /// They lie nowhere here, or a rule leaves them out; with a sentence.
    Nowhere(String),
    /// Its segments are of no series here.
    NoSeries(NoSeries),
}

impl Loader<'_> {
    /// Places the findings of a report, whose voxels stand in `segmentations`.
    pub(super) fn add_report(&mut self, path: &Path, segmentations: &[PlacedSegmentation]) {
        let report = match read_report(path, &self.rules.limits) {
            Ok(report) => report,
            Err(error) => return self.refuse(path, &error),
        };
        if report.context.is_answer {
            return self.skip(path, SkipReason::AnswerOfPredict, "");
        }
        let placed = self.add_groups(path, &report);
        let findings = report.worded_findings(segmentations);
        // Without segmentations no group can find its own.
        let unread = report.unread(segmentations).filter(|_| self.rules.read_segmentations);
        let unread: Vec<String> =
            [unread, report.unplaced(), report.absent(), report.stray(), report.swapped(segmentations)]
                .into_iter()
                .flatten()
                .collect();
        // What is all that is said of a report is the detail of its outcome.
        let mut detail = unread.join("; ");
        if !findings.is_empty() || report.groups.iter().any(MeasurementGroup::is_placed) {
            detail.clear();
            unread
                .into_iter()
                .chain(report.doubts())
                .chain(report.odd_lengths())
                .for_each(|sentence| self.tell(path, sentence));
        }
        let of_segments = match findings.first().map(|(first, _)| first.clone()) {
            Some(first) => self.add_segment_findings(path, &report, segmentations, (findings, &first)),
            None => Err(Unused::Nowhere(detail)),
        };
        if let (Err(Unused::NoSeries(NoSeries::OtherPatient(why) | NoSeries::NotHere(why))), 1..) =
            (&of_segments, placed.assigned)
        {
            self.tell(path, format!("the segments that the report names give no finding: {why}"));
        }
        let left_out = placed.left_out + self.left_out_of_segments(&report, segmentations);
        let with_place = report.groups.iter().filter(|group| group.has_place()).count();
        match (of_segments, placed) {
            (Ok(()), _) | (_, GroupCounts { assigned: 1.., .. }) => {
                self.resolved.objects.push(FileOutcome::used(path.to_owned()));
            }
            // As an RTSTRUCT: what a rule leaves out need not be read.
            (_, GroupCounts { unreadable, .. })
                if !unreadable.is_empty() && left_out + unreadable.len() == with_place =>
            {
                let detail = unreadable.into_iter().next().unwrap_or_default();
                self.refuse(path, &DicomError::file(path, ReasonCode::InvalidReport, detail));
            }
            (_, GroupCounts { no_series: Some(no_series), .. }) | (Err(Unused::NoSeries(no_series)), _) => {
                self.skip_without_series(path, no_series, NOWHERE);
            }
            (Err(Unused::Nowhere(_)), _) if left_out > 0 && left_out == report.groups.len() => {
                self.skip(path, SkipReason::LeftOutByClasses, "");
            }
            (Err(Unused::Nowhere(detail)), _) => self.skip(path, NOWHERE, detail),
        }
    }

    /// Number of groups with segments here, all of which a rule leaves out.
    fn left_out_of_segments(&self, report: &Report, segmentations: &[PlacedSegmentation]) -> usize {
        let of_groups = report.groups.iter().map(|group| group.findings(segmentations));
        of_groups.filter(|found| !found.is_empty() && found.iter().all(|one| self.is_left_out(one))).count()
    }

    fn is_left_out(&self, finding: &Annotation) -> bool {
        let codes: Vec<String> = finding.codes.iter().map(ToString::to_string).collect();
        self.rules.classes.verdict(&finding.finding, &codes).ignored
    }

    /// Assigns the findings of a report, of which `first` is one, to the series of its segmentations.
    ///
    /// # Errors
    /// Why none of them was assigned.
    fn add_segment_findings(
        &mut self,
        path: &Path,
        report: &Report,
        segmentations: &[PlacedSegmentation],
        (findings, first): (Vec<(Annotation, Vec<Said>)>, &Annotation),
    ) -> Result<(), Unused> {
        let lost_sizes = self.lost_sizes(&findings, segmentations);
        lost_sizes.into_iter().for_each(|sentence| self.tell(path, sentence));
        self.telling.extend(report.telling(segmentations));
        // The patient is that of the report; everything else is said by the segmentation.
        let patient_id = report.patient_id.clone().or_else(|| first.target.patient_id.clone());
        let target = AnnotationTarget { patient_id, ..first.target.clone() };
        // Its nodes are those of its segmentations, which were assigned by the slices that they name.
        let is_own =
            |series: &usize| target.patient_id.as_deref().is_none_or(|patient| self.index.is_patient(*series, patient));
        let of_segmentations: BTreeSet<usize> = segmentations
            .iter()
            .filter(|one| report.refers_to(&one.sop_instance_uid))
            .filter_map(|one| one.series.filter(is_own))
            .collect();
        let candidates = match (self.index.candidates(&target, &[]), of_segmentations.first()) {
            (Ok(candidates), _) => candidates,
            (Err(_), Some(series)) => vec![*series],
            (Err(no_series), None) => return Err(Unused::NoSeries(no_series)),
        };
        let held = |n: usize| findings.iter().filter(|(one, _)| self.index.series(n).holds(one.center)).count();
        let chosen = match (of_segmentations.first(), self.index.best(&candidates, held)) {
            (Some(series), _) if of_segmentations.len() == 1 => *series,
            (_, Ok(None)) => candidates[0],
            (_, Ok(Some(chosen))) => {
                Self::warn_of_choice(path, "", &chosen);
                chosen.series
            }
            (_, Err(no_image)) => {
                self.reject(path, RejectPlace::File, no_image.reason, no_image.detail);
                return Err(Unused::Nowhere(String::new()));
            }
        };
        match self.assign_findings(path, findings, chosen, &candidates) {
            (0, _) => Err(Unused::Nowhere(String::new())),
            _ => Ok(()),
        }
    }

    /// A sentence about sizes of findings that a rule leaves out by the name in the report, while it takes their segments by theirs.
    fn lost_sizes(&self, findings: &[(Annotation, Vec<Said>)], segmentations: &[PlacedSegmentation]) -> Option<String> {
        let is_taken = |finding: &Annotation| {
            let mut segments = segmentations.iter().flat_map(PlacedSegmentation::findings);
            segments.any(|one| one.center == finding.center && !self.is_left_out(one))
        };
        let lost = findings
            .iter()
            .map(|(one, _)| one)
            .filter(|one| one.short_axis_mm.is_some() && self.is_left_out(one) && is_taken(one));
        let mut names = BTreeMap::new();
        for one in lost {
            *names.entry(one.finding.clone()).or_default() += 1;
        }
        (!names.is_empty()).then(|| {
            format!(
                "the class rules leave out findings of the report by their tracking identifier, and take their segments: their short axes are not \
                 read: {}; write a rule for these names too",
                first_names(&names)
            )
        })
    }
}
