//! Every source of findings is read, and each finding assigned to the series that it speaks of.
//!
//! Sources: DICOM SEG, RTSTRUCT and reports of a study folder; tables, mask files and PASCAL VOC boxes that a user names. Invariants: an
//! object that adds nothing is skipped for a stated reason or refused; an entry that gives no finding is rejected by name; what names and
//! codes mean is said by the rules alone. No pixels of an image are read.

mod boxes;
mod indices;
mod join_doubts;
mod levels;
mod named;
mod objects;
mod pairs;
mod places;
mod region_doubts;
mod report_places;
mod reports;
mod slices;
mod station_order;
mod structures;
mod successors;

use std::path::{Path, PathBuf};

use mtids_dicom::{DicomError, FileOutcome, Limits, Refused, SkipReason};
use mtids_domain::annotation::{Annotation, Code};
use mtids_domain::geometry::PointMm;
use mtids_domain::same_person::SamePerson;

use crate::assign::{Chosen, SeriesIndex};
use crate::classes::Classes;
use crate::files::AnnotationFiles;
use crate::geometry::Images;
use crate::ignored_nodes::IgnoredNodes;
use crate::join::{Finding, join};
use crate::lost_stations::LostStations;
use crate::mask_doubts::MaskDoubts;
use crate::names_without_rule::NamesWithoutRule;
use crate::reject::{Reject, RejectPlace, RejectReason};
use crate::said::Contradicted;
use crate::statuses_in_names::{StatusesInNames, Telling};
use join_doubts::{JoinDoubts, halves_of_nodes};

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
    /// PatientIDs that are one person.
    pub people: SamePerson,
    /// Bounds of reading.
    pub limits: Limits,
}

/// Findings and what became of every source.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resolved {
    /// For each usable series, in the given order, its findings.
    pub findings: Vec<Vec<Finding>>,
    /// Every SEG, report and RTSTRUCT of the study folder, once: used, skipped or refused.
    pub objects: Vec<FileOutcome>,
    /// Every file that the user named, once.
    pub files: Vec<NamedFile>,
    /// Entries that gave no finding, in the order of the sources.
    pub rejects: Vec<Reject>,
    /// Findings without series.
    pub unmatched: u64,
    /// Annotations that repeat a node of their source, and were merged.
    pub duplicates: u64,
    /// Labels that sources contradict; they are unknown.
    pub contradictions: u64,
    /// Stations in names that are not understood.
    pub lost_stations: LostStations,
    /// Names of findings and structures that no class rule matches.
    pub names_without_rule: NamesWithoutRule,
    /// Names of nodes that a rule for all other names leaves out.
    pub ignored_nodes: IgnoredNodes,
    /// Sentences about single files, as they were logged.
    pub told: Vec<String>,
    /// Drawn findings that somebody should look at.
    pub mask_doubts: MaskDoubts,
    /// Names of drawn findings that seem to tell a status, which stays unknown.
    pub statuses_in_names: StatusesInNames,
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

/// Reads the objects of a study folder and assigns all findings to the usable images. What gives no finding is rejected by name, and costs nothing else.
pub fn load(sources: &Sources<'_>, images: &Images<'_>, rules: &Rules) -> Resolved {
    let mut loader = Loader {
        index: SeriesIndex::new(images, &rules.people),
        rules,
        source: 0,
        found: vec![Vec::new(); images.usable.len()],
        telling: Vec::new(),
        resolved: Resolved::default(),
    };
    loader.add_objects(sources);
    loader.add_named(sources.files, images.usable);
    loader.finish()
}

struct Loader<'a> {
    index: SeriesIndex<'a>,
    rules: &'a Rules,
    /// Number of the source that is being read; findings of one source are never joined with one another.
    source: usize,
    /// For each series its annotations, each with the number of its source.
    found: Vec<Vec<(usize, Annotation)>>,
    /// Codes that seem to tell a status, with the centres of their findings.
    telling: Vec<(PointMm, String)>,
    resolved: Resolved,
}

impl Loader<'_> {
    fn finish(mut self) -> Resolved {
        if let Some(sentence) = self.resolved.lost_stations.sentence() {
            tracing::warn!("{sentence}");
        }
        if let Some(sentence) = self.resolved.names_without_rule.sentence() {
            tracing::warn!("{sentence}");
        }
        if let Some(sentence) = self.resolved.ignored_nodes.sentence() {
            tracing::warn!("{sentence}");
        }
        for annotations in &self.found {
            self.resolved.mask_doubts.look_at(annotations);
        }
        for sentence in self.resolved.mask_doubts.sentences() {
            tracing::warn!("{sentence}");
        }
        let mut doubts = JoinDoubts::default();
        for annotations in self.found {
            let telling = Telling::of(&annotations, &self.telling);
            let joined = join(annotations, self.rules.join_tolerance_mm);
            self.resolved.statuses_in_names.look_at(&telling, &joined);
            self.resolved.duplicates += joined.duplicates;
            doubts.add(&joined);
            self.resolved.contradictions +=
                joined.findings.iter().map(|finding| u64::from(finding.contradictions)).sum::<u64>();
            self.resolved.findings.push(joined.findings);
        }
        if let Some(sentence) = self.resolved.statuses_in_names.sentence() {
            tracing::warn!("{sentence}");
        }
        let halves = halves_of_nodes(&self.resolved.findings, &self.index, self.rules.join_tolerance_mm);
        for sentence in doubts.sentences().into_iter().chain(halves) {
            tracing::warn!("{sentence}");
        }
        self.resolved
    }

    fn skip(&mut self, path: &Path, reason: SkipReason, detail: impl Into<String>) {
        let detail = detail.into();
        if !detail.is_empty() {
            tracing::warn!(file = %path.display(), %reason, "{detail}");
        }
        self.resolved.objects.push(FileOutcome::Skipped { path: path.to_owned(), reason, detail });
    }

    /// Logs what is doubted of a file.
    fn tell(&mut self, path: &Path, sentence: String) {
        tracing::warn!(file = %path.display(), "{sentence}");
        self.resolved.told.push(sentence);
    }

    /// Logs and counts the labels of a file that contradict what else it says.
    fn tell_contradicted(&mut self, path: &Path, contradicted: &Contradicted) {
        self.resolved.contradictions += contradicted.labels;
        contradicted.sentence().into_iter().for_each(|sentence| self.tell(path, sentence));
    }

    fn refuse(&mut self, path: &Path, error: &DicomError) {
        self.resolved.objects.push(FileOutcome::Refused(Refused::file(path.to_owned(), error)));
    }

    fn reject(&mut self, path: &Path, place: RejectPlace, reason: RejectReason, detail: impl Into<String>) {
        self.resolved.rejects.push(Reject::new(path, place, reason, detail));
    }

    /// Notes the names that no class rule matches, and those of nodes that one for all other names leaves out.
    fn note_names(&mut self, findings: &[Annotation]) {
        for finding in findings {
            self.note_name(&finding.finding, &finding.codes);
        }
    }

    /// Notes a name as [`Self::note_names`] does.
    fn note_name(&mut self, name: &str, codes: &[Code]) {
        let classes = &self.rules.classes;
        if classes.leaves_out_with_all(name, codes) {
            self.resolved.ignored_nodes.look_at(name);
        }
        if classes.lacks_rule_for(name, codes) {
            self.resolved.names_without_rule.add(name);
        }
    }

    /// Says which series was chosen among several.
    fn warn_of_choice(path: &Path, place: impl std::fmt::Display, chosen: &Chosen) {
        if let Some(warning) = &chosen.warning {
            tracing::warn!(file = %path.display(), %place, "{warning}");
        }
    }
}
