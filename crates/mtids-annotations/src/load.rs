//! Every source of findings is read, and each finding assigned to the series that it speaks of.
//!
//! Sources: DICOM SEG, RTSTRUCT and reports of a study folder; tables, mask files and PASCAL VOC boxes that a user names. Invariants: an
//! object that adds nothing is skipped for a stated reason or refused; a finding without series is counted; what names and codes mean is
//! said by the rules alone. No pixels of an image are read.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use mtids_dicom::{DicomError, FileOutcome, Limits, ReasonCode, Refused, SkipReason};
use mtids_domain::annotation::{Annotation, AnnotationTarget};

use crate::assign::SeriesIndex;
use crate::classes::Classes;
use crate::error::AnnotationError;
use crate::files::AnnotationFiles;
use crate::geometry::SeriesGeometry;
use crate::join::{Finding, join, place_key};
use crate::label_grid::MaskFile;
use crate::report::read_report;
use crate::segmentation::read_segmentation;
use crate::structures::read_structures;
use crate::table::row::TableRow;
use crate::voc::findings_of_boxes;

/// What findings are read from.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a> {
    /// Files that a user named.
    pub files: &'a AnnotationFiles,
    /// DICOM SEG objects of the study folder.
    pub segmentations: &'a [PathBuf],
    /// Structured reports of the study folder.
    pub reports: &'a [PathBuf],
    /// RTSTRUCT objects of the study folder.
    pub structures: &'a [PathBuf],
}

/// What is read, and what it means.
#[derive(Debug)]
pub struct Rules {
    /// Read DICOM SEG objects.
    pub read_segmentations: bool,
    /// Read structured reports.
    pub read_reports: bool,
    /// What names and codes mean.
    pub classes: Classes,
    /// Findings of different sources closer than this are one, mm.
    pub join_tolerance_mm: f64,
    /// Bounds of reading.
    pub limits: Limits,
}

/// Findings and what became of every source.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resolved {
    /// For each series, in the given order, its findings.
    pub findings: Vec<Vec<Finding>>,
    /// Every SEG, report and RTSTRUCT of the study folder, once: used, skipped or refused.
    pub objects: Vec<FileOutcome>,
    /// Every file that the user named, once.
    pub files: Vec<NamedFile>,
    /// Findings without series.
    pub unmatched: u64,
    /// Annotations that repeat a place of their source, and were merged.
    pub duplicates: u64,
    /// Labels that sources contradict; they are unknown.
    pub contradictions: u64,
}

/// A file that the user named, and what became of its entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedFile {
    /// The file.
    pub path: PathBuf,
    /// For each row of a table, finding of a mask or box of a slice, in the order of the file.
    pub entries: Vec<EntryOutcome>,
}

/// What became of a row, a mask's finding or a box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryOutcome {
    /// Assigned to a series.
    Used,
    /// Repeats the place of an earlier row of its table; merged with it.
    Duplicate,
    /// A rule leaves it out.
    LeftOut,
    /// No series here fits.
    Unmatched,
}

/// Reads the objects of a study folder and assigns all findings to `series`.
///
/// # Errors
/// [`AnnotationError::File`] for a named mask with more findings than the limits allow.
pub fn load(sources: &Sources<'_>, series: &[SeriesGeometry<'_>], rules: &Rules) -> Result<Resolved, AnnotationError> {
    let mut loader = Loader {
        index: SeriesIndex::new(series),
        series,
        rules,
        source: 0,
        found: vec![Vec::new(); series.len()],
        resolved: Resolved::default(),
    };
    loader.add_objects(sources);
    for mask in &sources.files.masks {
        loader.add_mask(mask)?;
    }
    if !sources.files.boxes.is_empty() {
        loader.add_boxes(sources.files);
    }
    for (path, rows) in &sources.files.tables {
        loader.add_table(path, rows);
    }
    Ok(loader.finish())
}

struct Loader<'a> {
    index: SeriesIndex<'a>,
    series: &'a [SeriesGeometry<'a>],
    rules: &'a Rules,
    /// Number of the source that is being read; findings of one source are never joined with one another.
    source: usize,
    /// For each series its annotations, each with the number of its source.
    found: Vec<Vec<(usize, Annotation)>>,
    resolved: Resolved,
}

impl Loader<'_> {
    fn add_objects(&mut self, sources: &Sources<'_>) {
        let limits = &self.rules.limits;
        // Reports name segments. Masks are shared with the findings, so keeping them costs little; without reports nothing is kept.
        let mut segmentations = Vec::new();
        let reports_wanted = self.rules.read_reports && !sources.reports.is_empty();
        for path in sources.segmentations {
            self.source += 1;
            if !self.rules.read_segmentations {
                self.skip(path, SkipReason::SegmentationNotAskedFor);
                continue;
            }
            match read_segmentation(path, limits) {
                Err(error) => self.refuse(path, &error),
                Ok(segmentation) => {
                    self.add_object(path, segmentation.findings(), SkipReason::SegmentationOfNoSeriesHere);
                    if reports_wanted {
                        segmentations.push(segmentation);
                    }
                }
            }
        }
        for path in sources.reports {
            self.source += 1;
            if !self.rules.read_reports {
                self.skip(path, SkipReason::ReportNotAskedFor);
                continue;
            }
            match read_report(path, limits) {
                Err(error) => self.refuse(path, &error),
                Ok(report) => self.add_object(path, report.findings(&segmentations), SkipReason::ReportOfNoSegmentHere),
            }
        }
        for path in sources.structures {
            self.source += 1;
            if self.rules.classes.is_empty() {
                self.skip(path, SkipReason::StructuresNotAskedFor);
                continue;
            }
            match self.structures(path) {
                Err(error) => self.refuse(path, &error),
                Ok(None) => self.skip(path, SkipReason::StructuresOfNoSeriesHere),
                Ok(Some(findings)) => self.add_object(path, findings, SkipReason::NoStructureOfTheseNames),
            }
        }
    }

    /// Assigns the findings of an object, and accounts for it: used where one of them was assigned, else skipped for `reason`, or because
    /// the rules leave all of them out.
    fn add_object(&mut self, path: &Path, findings: Vec<Annotation>, reason: SkipReason) {
        let had_some = !findings.is_empty();
        let chosen: Vec<Annotation> =
            findings.into_iter().filter_map(|finding| self.rules.classes.apply(finding)).collect();
        let left_out = had_some && chosen.is_empty();
        let mut count = 0;
        for finding in chosen {
            match self.index.assign_annotation(&finding) {
                Some(at) => {
                    self.found[at].push((self.source, finding));
                    count += 1;
                }
                None => self.resolved.unmatched += 1,
            }
        }
        match count {
            0 if left_out => self.skip(path, SkipReason::LeftOutByClasses),
            0 => self.skip(path, reason),
            _ => self.resolved.objects.push(FileOutcome::used(path.to_owned())),
        }
    }

    /// The chosen structures of an object as masks on the grid of their series; `None` when that series is not here.
    fn structures(&self, path: &Path) -> Result<Option<Vec<Annotation>>, DicomError> {
        let mut set = read_structures(path, &self.rules.limits)?;
        set.regions.retain(|region| self.rules.classes.asks_for(&region.name));
        let Some(at) = self.index.assign_structures(&set) else { return Ok(None) };
        let series = &self.series[at];
        set.findings(&series.affine, series.dimensions, &self.rules.limits)
            .map(Some)
            .map_err(|detail| DicomError::file(path, ReasonCode::InvalidStructures, detail))
    }

    fn add_mask(&mut self, mask: &MaskFile) -> Result<(), AnnotationError> {
        self.source += 1;
        let limits = &self.rules.limits;
        let mut entries = Vec::new();
        match self.index.assign_mask_file(&mask.path, mask) {
            Some(at) => {
                let series_uid = Some(self.series[at].series_uid.to_owned());
                let target = AnnotationTarget { series_uid, ..AnnotationTarget::default() };
                for finding in mask.findings(&target, limits)? {
                    match self.rules.classes.apply(finding) {
                        Some(finding) => {
                            self.found[at].push((self.source, finding));
                            entries.push(EntryOutcome::Used);
                        }
                        None => entries.push(EntryOutcome::LeftOut),
                    }
                }
            }
            None => {
                tracing::warn!(mask = %mask.path.display(), "mask left out: no single CT series has its grid, and its file name has no SeriesInstanceUID of a series here");
                let findings = mask.findings(&AnnotationTarget::default(), limits)?.len();
                entries.resize(findings, EntryOutcome::Unmatched);
                self.resolved.unmatched += findings as u64;
            }
        }
        self.resolved.files.push(NamedFile { path: mask.path.clone(), entries });
        Ok(())
    }

    /// Boxes are one source: those of one node stand in several files.
    fn add_boxes(&mut self, files: &AnnotationFiles) {
        self.source += 1;
        let mut known = BTreeSet::new();
        for (found, series) in self.found.iter_mut().zip(self.series) {
            let findings = findings_of_boxes(&files.boxes, series);
            let findings = findings.into_iter().filter_map(|finding| self.rules.classes.apply(finding));
            found.extend(findings.map(|finding| (self.source, finding)));
            known.extend(series.slices.iter());
        }
        let mut outcomes = files.boxes.iter().map(|one| match known.contains(one.sop_instance_uid.as_str()) {
            true => EntryOutcome::Used,
            false => EntryOutcome::Unmatched,
        });
        for (path, count) in &files.box_files {
            let entries: Vec<EntryOutcome> = outcomes.by_ref().take(*count).collect();
            self.resolved.unmatched += entries.iter().filter(|entry| **entry == EntryOutcome::Unmatched).count() as u64;
            self.resolved.files.push(NamedFile { path: path.clone(), entries });
        }
    }

    fn add_table(&mut self, path: &Path, rows: &[TableRow]) {
        self.source += 1;
        let mut places = BTreeSet::new();
        let mut entries = Vec::with_capacity(rows.len());
        for row in rows {
            entries.push(match self.index.assign_row(row) {
                Some((at, annotation)) => {
                    let is_new = places.insert((at, place_key(annotation.center)));
                    self.found[at].push((self.source, annotation));
                    if is_new { EntryOutcome::Used } else { EntryOutcome::Duplicate }
                }
                None => {
                    self.resolved.unmatched += 1;
                    EntryOutcome::Unmatched
                }
            });
        }
        let repeated = entries.iter().filter(|entry| **entry == EntryOutcome::Duplicate).count();
        if repeated > 0 {
            tracing::warn!(table = %path.display(), rows = repeated, "rows with the place of another row are merged with it; conflicting labels are set to unknown");
        }
        self.resolved.files.push(NamedFile { path: path.to_owned(), entries });
    }

    fn finish(mut self) -> Resolved {
        for annotations in self.found {
            let joined = join(annotations, self.rules.join_tolerance_mm);
            self.resolved.duplicates += joined.duplicates;
            self.resolved.contradictions +=
                joined.findings.iter().map(|finding| u64::from(finding.contradictions)).sum::<u64>();
            self.resolved.findings.push(joined.findings);
        }
        self.resolved
    }

    fn skip(&mut self, path: &Path, reason: SkipReason) {
        self.resolved.objects.push(FileOutcome::skipped(path.to_owned(), reason));
    }

    fn refuse(&mut self, path: &Path, error: &DicomError) {
        self.resolved.objects.push(FileOutcome::Refused(Refused::file(path.to_owned(), error)));
    }
}
