//! DICOM objects of the study folder: SEG, structured reports, RTSTRUCT.
//!
//! Invariant: every object has one outcome. It is used where one of its findings was assigned; what else it holds and could not be assigned
//! is rejected by name.

use std::path::Path;

use mtids_dicom::{DicomError, FileOutcome, ReasonCode, SkipReason};
use mtids_domain::annotation::Annotation;
use mtids_domain::geometry::PointMm;

use super::slices::SliceDoubts;
use super::successors::Successors;
use super::{Loader, Sources};
use crate::assign::object::NoSeries;
use crate::labelled::NEAR_MM;
use crate::plausible;
use crate::reject::{RejectPlace, RejectReason};
use crate::said::{Contradicted, Said};
use crate::segmentation::{PlacedSegmentation, read_segmentation};

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
        let read = if self.rules.read_reports { sources.reports } else { &[] };
        let successors = Successors::of(read, &self.rules.people, &self.rules.limits);
        for (number, path) in sources.reports.iter().enumerate() {
            self.source += 1;
            if !self.rules.read_reports {
                self.skip(path, SkipReason::ReportNotAskedFor, "");
            } else if let Some(later) = successors.replacing(number) {
                self.skip(path, SkipReason::SupersededReport, later);
            } else {
                successors.cycle(number).into_iter().for_each(|sentence| self.tell(path, sentence));
                self.add_report(path, &segmentations);
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

    pub(super) fn warn_of_slices(path: &Path, doubts: &SliceDoubts) {
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
        [self.index.frame_doubt(&segmentation.target, chosen), segmentation.weak_segments()]
            .into_iter()
            .flatten()
            .for_each(|sentence| self.tell(path, sentence));
        self.telling.extend(placed.telling());
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
            _ => {
                let worded = placed.worded_findings().map(|(one, said)| (one.clone(), said.to_vec())).collect();
                self.add_findings(path, worded, chosen, &candidates, nowhere);
            }
        }
        Some(placed)
    }

    /// Assigns findings, each with what its source says of its status, to the chosen series, or to another candidate where only that one holds them (a series UID with several volumes), and
    /// accounts for the object: used where one was assigned, else skipped for `nowhere`, or because the rules leave all of them out.
    fn add_findings(
        &mut self,
        path: &Path,
        findings: Vec<(Annotation, Vec<Said>)>,
        chosen: usize,
        candidates: &[usize],
        nowhere: SkipReason,
    ) {
        match self.assign_findings(path, findings, chosen, candidates) {
            (0, true) => self.skip(path, SkipReason::LeftOutByClasses, ""),
            (0, false) => self.skip(path, nowhere, ""),
            _ => self.resolved.objects.push(FileOutcome::used(path.to_owned())),
        }
    }

    /// Assigns findings as [`Self::add_findings`] does; returns how many were, and whether the rules leave out all of them.
    pub(super) fn assign_findings(
        &mut self,
        path: &Path,
        findings: Vec<(Annotation, Vec<Said>)>,
        chosen: usize,
        candidates: &[usize],
    ) -> (usize, bool) {
        let had_some = !findings.is_empty();
        let (lost, mut contradicted) = (&mut self.resolved.lost_stations, Contradicted::default());
        let mut apply =
            |(one, said): (_, Vec<Said>)| self.rules.classes.apply_beside(one, &said, lost, &mut contradicted);
        let kept: Vec<Annotation> = findings.into_iter().filter_map(&mut apply).collect();
        self.tell_contradicted(path, &contradicted);
        let left_out = had_some && kept.is_empty();
        let mut assigned = 0;
        for finding in kept {
            let holds = |n: &usize| self.index.series(*n).holds(finding.center);
            let at = std::iter::once(chosen).chain(candidates.iter().copied()).find(holds).unwrap_or(chosen);
            let place = RejectPlace::Part(format!("`{}`", finding.finding));
            assigned += usize::from(self.keep(path, place, finding, at));
        }
        (assigned, left_out)
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

    pub(super) fn skip_without_series(&mut self, path: &Path, no_series: NoSeries, nowhere: SkipReason) {
        match no_series {
            NoSeries::OtherPatient(detail) => self.skip(path, SkipReason::AnnotationOfAnotherPatient, detail),
            NoSeries::NotHere(detail) => self.skip(path, nowhere, detail),
        }
    }
}
