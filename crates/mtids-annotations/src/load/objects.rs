//! DICOM objects of the study folder: SEG, structured reports, RTSTRUCT.
//!
//! Invariant: every object has one outcome. It is used where one of its findings was assigned; what else it holds and could not be assigned
//! is rejected by name.

use std::collections::BTreeSet;
use std::path::Path;

use mtids_dicom::answer::is_answer;
use mtids_dicom::dataset::{Elements, guarded, open};
use mtids_dicom::{DicomError, FileOutcome, Limits, ReasonCode, SkipReason};
use mtids_domain::annotation::{Annotation, AnnotationTarget};
use mtids_domain::geometry::PointMm;

use super::slices::SliceDoubts;
use super::{Loader, Sources};
use crate::assign::object::NoSeries;
use crate::labelled::NEAR_MM;
use crate::plausible;
use crate::reject::{RejectPlace, RejectReason};
use crate::report::read_report;
use crate::segmentation::{PlacedSegmentation, read_segmentation};
use crate::structures::{RegionOfInterest, read_structures};

impl Loader<'_> {
    pub(super) fn add_objects(&mut self, sources: &Sources<'_>) {
        // Reports name segments. Masks are shared with the findings, so keeping them costs little; without reports nothing is kept.
        let mut segmentations = Vec::new();
        let reports_wanted = self.rules.read_reports && !sources.reports.is_empty();
        for path in sources.segmentations {
            self.source += 1;
            if self.rules.read_segmentations {
                segmentations.extend(self.add_segmentation(path).filter(|_| reports_wanted));
            } else {
                self.skip(path, SkipReason::SegmentationNotAskedFor, "");
            }
        }
        for path in sources.reports {
            self.source += 1;
            if self.rules.read_reports {
                self.add_report(path, &segmentations);
            } else {
                self.skip(path, SkipReason::ReportNotAskedFor, "");
            }
        }
        for path in sources.structures {
            self.source += 1;
            if self.rules.classes.is_empty() {
                self.skip(path, SkipReason::StructuresNotAskedFor, "");
            } else {
                self.add_structures(path);
            }
        }
        self.warn_of_answers();
    }

    /// Answers lie in the data folder where `predict` was given it as its output: said once, with their number.
    fn warn_of_answers(&self) {
        let is_answer = |outcome: &&FileOutcome| {
            matches!(outcome, FileOutcome::Skipped { reason: SkipReason::AnswerOfPredict, .. })
        };
        let answers = self.resolved.objects.iter().filter(is_answer).count();
        if answers > 0 {
            tracing::warn!(
                "{answers} objects are answers of mtids-train predict and are no annotations; they are not read"
            );
        }
    }

    fn warn_of_slices(path: &Path, doubts: &SliceDoubts) {
        if let Some(sentence) = doubts.sentence() {
            tracing::warn!(file = %path.display(), "{sentence}");
        }
    }

    /// Places a segmentation in its series; `None` where it has none.
    fn add_segmentation(&mut self, path: &Path) -> Option<PlacedSegmentation> {
        let limits = &self.rules.limits;
        let segmentation = match read_segmentation(path, limits) {
            Ok(segmentation) => segmentation,
            Err(error) => {
                self.refuse(path, &error);
                return None;
            }
        };
        if segmentation.is_answer {
            self.skip(path, SkipReason::AnswerOfPredict, "");
            return None;
        }
        if segmentation.is_empty() {
            let detail = segmentation.all_too_small.as_deref().unwrap_or("no voxel of it is set");
            self.skip(path, SkipReason::EmptySegmentation, detail);
            return None;
        }
        let nowhere = SkipReason::SegmentationOfNoSeriesHere;
        let candidates = match self.index.candidates(&segmentation.target, &segmentation.image_instances) {
            Ok(candidates) => candidates,
            Err(no_series) => {
                self.resolved.unmatched += segmentation.findings_on(None, limits).findings().count() as u64;
                self.skip_without_series(path, no_series, nowhere);
                return None;
            }
        };
        let index = &self.index;
        let on =
            |n: usize| segmentation.findings_on(Some((&index.series(n).affine, index.series(n).dimensions)), limits);
        let held = |n: usize| on(n).findings().filter(|finding| index.series(n).holds(finding.center)).count();
        let chosen = match candidates.as_slice() {
            [series] => *series,
            _ => match index.best(&candidates, held) {
                Ok(Some(chosen)) => {
                    Self::warn_of_choice(path, "", &chosen);
                    chosen.series
                }
                Ok(None) => candidates[0],
                Err(no_image) => {
                    self.reject(path, RejectPlace::File, no_image.reason, &no_image.detail);
                    self.skip(path, nowhere, "");
                    return None;
                }
            },
        };
        let placed = PlacedSegmentation { series: Some(chosen), ..on(chosen) };
        let mut doubts = SliceDoubts::default();
        for segment in &segmentation.segments {
            doubts.add(self.index.series(chosen), &segment.title(), segment.planes_of_images());
        }
        Self::warn_of_slices(path, &doubts);
        let mut unreadable = None;
        for segment in &placed.segments {
            if segment.is_tracked && segment.findings.len() > 1 {
                tracing::warn!(
                    file = %path.display(),
                    "tracked segment {} `{}` has {} pieces more than {NEAR_MM} mm apart: each is a finding of its own",
                    segment.number,
                    segment.name,
                    segment.findings.len()
                );
            }
            if let Some(fault) = &segment.fault {
                let place = format!("segment {} `{}`", segment.number, segment.name);
                unreadable.get_or_insert_with(|| format!("{place}: {fault}"));
                self.reject(path, RejectPlace::Part(place), RejectReason::UnreadableSegment, fault);
            }
        }
        let findings: Vec<Annotation> = placed.findings().cloned().collect();
        // Those of a report are the same nodes, with the names of its author.
        self.note_names(&findings);
        match unreadable {
            Some(detail) if findings.is_empty() => {
                self.refuse(path, &DicomError::file(path, ReasonCode::InvalidSegmentation, detail));
            }
            _ => self.add_findings(path, findings, chosen, &candidates, nowhere),
        }
        Some(placed)
    }

    /// Places the findings of a report, whose voxels stand in `segmentations`.
    fn add_report(&mut self, path: &Path, segmentations: &[PlacedSegmentation]) {
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

    /// Assigns findings to the chosen series, or to another candidate where only that one holds them (a series UID with several volumes), and
    /// accounts for the object: used where one was assigned, else skipped for `nowhere`, or because the rules leave all of them out.
    fn add_findings(
        &mut self,
        path: &Path,
        findings: Vec<Annotation>,
        chosen: usize,
        candidates: &[usize],
        nowhere: SkipReason,
    ) {
        let had_some = !findings.is_empty();
        let lost = &mut self.resolved.lost_stations;
        let kept: Vec<Annotation> =
            findings.into_iter().filter_map(|finding| self.rules.classes.apply(finding, lost)).collect();
        let left_out = had_some && kept.is_empty();
        let mut assigned = 0;
        for finding in kept {
            let holds = |n: &usize| self.index.series(*n).holds(finding.center);
            let at = std::iter::once(chosen).chain(candidates.iter().copied()).find(holds).unwrap_or(chosen);
            let place = RejectPlace::Part(format!("`{}`", finding.finding));
            assigned += usize::from(self.keep(path, place, finding, at));
        }
        match assigned {
            0 if left_out => self.skip(path, SkipReason::LeftOutByClasses, ""),
            0 => self.skip(path, nowhere, ""),
            _ => self.resolved.objects.push(FileOutcome::used(path.to_owned())),
        }
    }

    /// Takes a finding into a series where its voxels are those of nodes in that image; else rejects it and says false.
    pub(super) fn keep(&mut self, path: &Path, place: RejectPlace, finding: Annotation, series: usize) -> bool {
        if !self.index.series(series).holds(finding.center) {
            self.reject_outside(path, place, &finding, series);
            return false;
        }
        if let Some((reason, detail)) = plausible::fault_of(&finding) {
            self.resolved.unmatched += 1;
            self.reject(path, place, reason, detail);
            return false;
        }
        self.found[series].push((self.source, finding));
        true
    }

    fn reject_outside(&mut self, path: &Path, place: RejectPlace, finding: &Annotation, series: usize) {
        let series = self.index.series(series);
        let [x, y, z] = finding.center.0;
        let mm = series.distance_to(finding.center);
        let hint = match series.holds(PointMm([-x, -y, z])) {
            true => "; it would lie inside with the signs of x and y turned (RAS, LPS)",
            false => "",
        };
        let detail =
            format!("its place ({x:.1}, {y:.1}, {z:.1}) lies {mm:.1} mm outside series {}{hint}", series.series_uid);
        self.resolved.unmatched += 1;
        self.reject(path, place, RejectReason::OutsideImage, detail);
    }

    fn skip_without_series(&mut self, path: &Path, no_series: NoSeries, nowhere: SkipReason) {
        match no_series {
            NoSeries::OtherPatient(detail) => self.skip(path, SkipReason::AnnotationOfAnotherPatient, detail),
            NoSeries::NotHere(detail) => self.skip(path, nowhere, detail),
        }
    }
}

/// Whether a report is an answer of `mtids-train predict`; false where it cannot be read, which reading it says.
fn is_own_report(path: &Path, limits: &Limits) -> bool {
    guarded(path, || Ok(is_answer(&open(path, limits, Elements::All)?.object))).unwrap_or(false)
}

/// What became of the structures of an object.
#[derive(Default)]
struct StructureCounts {
    assigned: usize,
    /// The first structure that cannot be read.
    unreadable: Option<String>,
    doubts: SliceDoubts,
    /// Why the first structure without series has none.
    no_series: Option<NoSeries>,
}

impl Loader<'_> {
    fn add_structures(&mut self, path: &Path) {
        let set = match read_structures(path, &self.rules.limits) {
            Err(error) => return self.refuse(path, &error),
            Ok(set) => set,
        };
        let mut counts = StructureCounts::default();
        for fault in &set.faults {
            self.reject(path, RejectPlace::File, RejectReason::UnreadableStructure, fault);
        }
        for region in &set.regions {
            if self.rules.classes.asks_for(&region.name) {
                self.add_region(path, region, &mut counts);
            } else if !region.contours.is_empty() && self.rules.classes.lacks_rule_for(&region.name, &[]) {
                self.resolved.names_without_rule.add(&region.name);
            }
        }
        Self::warn_of_slices(path, &counts.doubts);
        match counts {
            StructureCounts { assigned: 1.., .. } => self.resolved.objects.push(FileOutcome::used(path.to_owned())),
            StructureCounts { unreadable: Some(detail), .. } => {
                self.refuse(path, &DicomError::file(path, ReasonCode::InvalidStructures, detail));
            }
            StructureCounts { no_series: Some(no_series), .. } => {
                self.skip_without_series(path, no_series, SkipReason::StructuresOfNoSeriesHere);
            }
            StructureCounts { .. } => self.skip(path, SkipReason::NoStructureOfTheseNames, ""),
        }
    }

    /// Places one structure in its own series.
    fn add_region(&mut self, path: &Path, region: &RegionOfInterest, counts: &mut StructureCounts) {
        let place = RejectPlace::Part(format!("ROI {} `{}`", region.number, region.name));
        let mut unreadable = |loader: &mut Self, detail: String| {
            counts.unreadable.get_or_insert_with(|| format!("{place}: {detail}"));
            loader.reject(path, place.clone(), RejectReason::UnreadableStructure, detail);
        };
        if let Some(fault) = &region.fault {
            return unreadable(self, fault.clone());
        }
        if region.contours.is_empty() {
            return;
        }
        let candidates = match self.index.candidates(&region.target, &region.image_instances) {
            Ok(candidates) => candidates,
            Err(no_series) => {
                let (reason, detail) = match &no_series {
                    NoSeries::OtherPatient(detail) => (RejectReason::OtherPatient, detail),
                    NoSeries::NotHere(detail) => (RejectReason::ImageNotHere, detail),
                };
                self.reject(path, place.clone(), reason, detail);
                counts.no_series.get_or_insert(no_series);
                return;
            }
        };
        let points = || region.contours.iter().flat_map(|contour| &contour.points);
        let held = |n: usize| points().filter(|point| self.index.series(n).holds(**point)).count();
        let chosen = match self.index.best(&candidates, held) {
            Ok(Some(chosen)) => chosen,
            Ok(None) => {
                let series = self.index.series(candidates[0]).series_uid;
                let detail = format!("no point of its contours lies in series {series}");
                return self.reject(path, place.clone(), RejectReason::OutsideImage, detail);
            }
            Err(no_image) => return self.reject(path, place.clone(), no_image.reason, no_image.detail),
        };
        Self::warn_of_choice(path, &place, &chosen);
        let series = self.index.series(chosen.series);
        let findings = match region.findings(&series.affine, series.dimensions, &self.rules.limits) {
            Ok(findings) => findings,
            Err(detail) => return unreadable(self, detail),
        };
        let planes =
            region.contours.iter().filter_map(|contour| Some((contour.image.as_deref()?, contour.points.clone())));
        counts.doubts.add(series, &place.to_string(), planes);
        let lost = &mut self.resolved.lost_stations;
        let kept: Vec<Annotation> =
            findings.into_iter().filter_map(|finding| self.rules.classes.apply(finding, lost)).collect();
        for finding in kept {
            counts.assigned += usize::from(self.keep(path, place.clone(), finding, chosen.series));
        }
    }
}
