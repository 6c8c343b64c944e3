//! Structured reports of the study folder, whose findings lie where the segments lie that they name.
//!
//! Invariant: what a report says of a node and nobody reads is told: a size, a name that a rule leaves out, a code that seems to tell a status.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use mtids_dicom::answer::is_answer;
use mtids_dicom::dataset::{Elements, guarded, open};
use mtids_dicom::{Limits, SkipReason};
use mtids_domain::annotation::{Annotation, AnnotationTarget};

use super::Loader;
use crate::names_without_rule::first_names;
use crate::reject::RejectPlace;
use crate::report::read_report;
use crate::segmentation::PlacedSegmentation;

impl Loader<'_> {
    /// Places the findings of a report, whose voxels stand in `segmentations`.
    pub(super) fn add_report(&mut self, path: &Path, segmentations: &[PlacedSegmentation]) {
        let report = match read_report(path, &self.rules.limits) {
            Ok(report) => report,
            Err(error) => return self.refuse(path, &error),
        };
        if is_own_report(path, &self.rules.limits) {
            return self.skip(path, SkipReason::AnswerOfPredict, "");
        }
        let nowhere = SkipReason::ReportOfNoSegmentHere;
        let findings = report.findings(segmentations);
        // Without segmentations no group can find its own.
        let unread = report.unread(segmentations).filter(|_| self.rules.read_segmentations);
        let Some(first) = findings.first() else { return self.skip(path, nowhere, unread.unwrap_or_default()) };
        if let Some(sentence) = unread {
            tracing::warn!(report = %path.display(), "{sentence}");
        }
        let doubts = [report.doubts(), self.lost_sizes(&findings, segmentations)];
        doubts.into_iter().flatten().for_each(|sentence| self.tell(path, sentence));
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
            (Err(no_series), None) => return self.skip_without_series(path, no_series, nowhere),
        };
        let held = |n: usize| findings.iter().filter(|finding| self.index.series(n).holds(finding.center)).count();
        let chosen = match (of_segmentations.first(), self.index.best(&candidates, held)) {
            (Some(series), _) if of_segmentations.len() == 1 => *series,
            (_, Ok(None)) => candidates[0],
            (_, Ok(Some(chosen))) => {
                Self::warn_of_choice(path, "", &chosen);
                chosen.series
            }
            (_, Err(no_image)) => {
                self.reject(path, RejectPlace::File, no_image.reason, no_image.detail);
                return self.skip(path, nowhere, "");
            }
        };
        self.add_findings(path, findings, chosen, &candidates, nowhere);
    }

    /// A sentence about sizes of findings that a rule leaves out by the name in the report, while it takes their segments by theirs.
    fn lost_sizes(&self, findings: &[Annotation], segmentations: &[PlacedSegmentation]) -> Option<String> {
        let is_left_out = |one: &Annotation| {
            let codes: Vec<String> = one.codes.iter().map(ToString::to_string).collect();
            self.rules.classes.verdict(&one.finding, &codes).ignored
        };
        let is_taken = |finding: &Annotation| {
            let mut segments = segmentations.iter().flat_map(PlacedSegmentation::findings);
            segments.any(|one| one.center == finding.center && !is_left_out(one))
        };
        let lost = findings.iter().filter(|one| one.short_axis_mm.is_some() && is_left_out(one) && is_taken(one));
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

/// Whether a report is an answer of `mtids-train predict`; false where it cannot be read, which reading it says.
fn is_own_report(path: &Path, limits: &Limits) -> bool {
    guarded(path, || Ok(is_answer(&open(path, limits, Elements::All)?.object))).unwrap_or(false)
}
