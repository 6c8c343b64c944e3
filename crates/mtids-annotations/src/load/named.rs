//! Files that a user named: masks, boxes and tables.
//!
//! Invariant: every entry of every file has an outcome, and one without finding is rejected with file and line.

use std::collections::BTreeSet;
use std::path::Path;

use mtids_domain::annotation::{Annotation, AnnotationTarget};

use super::indices::reject_contradicting_indices;
use super::levels::LevelStatuses;
use super::pairs::LabelledRows;
use super::places::{Places, zero_coordinate};
use super::station_order::StationOrder;
use super::{EntryOutcome, Loader, NamedFile};
use crate::files::AnnotationFiles;
use crate::geometry::SeriesGeometry;
use crate::join::place_key;
use crate::label_grid::MaskFile;
use crate::mask_doubts::doubts_of_file_name;
use crate::reject::{RejectPlace, RejectReason};
use crate::said::Contradicted;
use crate::table::row::{TablePosition, TableRow};

impl Loader<'_> {
    pub(super) fn add_named(&mut self, files: &AnnotationFiles, series: &[SeriesGeometry<'_>]) {
        for (path, error) in files.faults() {
            self.reject(path, RejectPlace::File, RejectReason::UnreadableFile, error.to_string());
        }
        for mask in &files.masks {
            self.add_mask(mask);
        }
        if !files.boxes.is_empty() {
            self.add_boxes(files, series);
        }
        for (path, rows) in &files.tables {
            self.add_table(path, rows);
        }
    }

    fn add_mask(&mut self, mask: &MaskFile) {
        self.source += 1;
        let assigned = self.index.assign_mask_file(&mask.path, mask);
        let series_uid = assigned.as_ref().ok().map(|chosen| self.index.series(chosen.series).series_uid.to_owned());
        let target = AnnotationTarget { series_uid, ..AnnotationTarget::default() };
        let findings = match mask.findings(&target, &self.rules.limits) {
            Ok(findings) => findings,
            // Of hundreds of masks one must not cost the others.
            Err(error) => {
                return self.reject(&mask.path, RejectPlace::File, RejectReason::UnreadableFile, error.to_string());
            }
        };
        let entries = match assigned {
            Ok(chosen) => {
                Self::warn_of_choice(&mask.path, "", &chosen);
                if !findings.is_empty() && mask.labels.iter().any(|label| label.name.is_none()) {
                    doubts_of_file_name(&mask.path).into_iter().for_each(|sentence| self.tell(&mask.path, sentence));
                }
                self.add_mask_findings(&mask.path, findings, chosen.series)
            }
            Err(no_image) => {
                self.resolved.unmatched += findings.len() as u64;
                self.reject(&mask.path, RejectPlace::File, no_image.reason, no_image.detail);
                vec![EntryOutcome::Unmatched; findings.len()]
            }
        };
        self.resolved.files.push(NamedFile { path: mask.path.clone(), entries });
    }

    /// Takes the findings of a mask into its series, and says what became of each.
    fn add_mask_findings(&mut self, path: &Path, findings: Vec<Annotation>, series: usize) -> Vec<EntryOutcome> {
        let mut entries = Vec::with_capacity(findings.len());
        self.note_names(&findings);
        let mut contradicted = Contradicted::default();
        for finding in findings {
            let lost = &mut self.resolved.lost_stations;
            let kept = self.rules.classes.apply_beside(finding, &[], lost, &mut contradicted);
            entries.push(match kept {
                None => EntryOutcome::LeftOut,
                // The name of a file says whose it is, and not that its voxels lie there.
                Some(finding) => {
                    let place = RejectPlace::Part(format!("`{}`", finding.finding));
                    match self.keep(path, place, finding, series) {
                        true => EntryOutcome::Used,
                        false => EntryOutcome::Unmatched,
                    }
                }
            });
        }
        self.tell_contradicted(path, &contradicted);
        if !entries.is_empty() && entries.iter().all(|entry| *entry == EntryOutcome::LeftOut) {
            tracing::warn!(mask = %path.display(), labels = entries.len(), "the class rules leave out every label of this mask");
        }
        if entries.is_empty() {
            tracing::warn!(mask = %path.display(), "no voxel of this mask is set: it gives no finding");
        }
        entries
    }

    fn add_table(&mut self, path: &Path, rows: &[TableRow]) {
        self.source += 1;
        let mut places = BTreeSet::new();
        let mut entries = Vec::with_capacity(rows.len());
        let (mut choices, mut first_choice) = (0_u64, None);
        let mut labelled = LabelledRows::default();
        let mut in_mm = Places::default();
        let mut levels = LevelStatuses::default();
        let mut order = StationOrder::default();
        let people = &self.rules.people;
        let mut assigned: Vec<_> = rows.iter().map(|row| self.index.assign_row(row)).collect();
        if let Some(warning) = reject_contradicting_indices(rows, &mut assigned, &self.index) {
            tracing::warn!(table = %path.display(), "{warning}");
        }
        for (row, assigned) in rows.iter().zip(assigned) {
            entries.push(match assigned {
                Ok((chosen, annotation)) => {
                    if chosen.warning.is_some() {
                        choices += 1;
                        first_choice.get_or_insert((row.line, chosen.clone()));
                    }
                    let is_new = places.insert((chosen.series, place_key(annotation.center)));
                    if let (Some(station), Some(status)) = (annotation.station, annotation.metastasis) {
                        labelled.add(chosen.series, station, annotation.center, status, row.line);
                    }
                    let patient = people.canonical(self.index.series(chosen.series).patient_id);
                    levels.add(patient, &annotation, row.line);
                    order.add(chosen.series, annotation.station, annotation.center, row.line);
                    if let TablePosition::Mm(place, _) = row.position {
                        in_mm.add(
                            self.index.series(chosen.series),
                            patient,
                            chosen.series,
                            place,
                            row.station,
                            row.line,
                        );
                    }
                    self.found[chosen.series].push((self.source, annotation));
                    if is_new { EntryOutcome::Used } else { EntryOutcome::Duplicate }
                }
                Err(no_image) => {
                    self.resolved.unmatched += 1;
                    self.reject(path, RejectPlace::Line(row.line), no_image.reason, no_image.detail);
                    EntryOutcome::Unmatched
                }
            });
        }
        if let Some((line, chosen)) = first_choice {
            Self::warn_of_choice(path, format_args!("line {line}, one of {choices} rows"), &chosen);
        }
        let doubts: Vec<String> = [in_mm.sentences(), order.sentences()]
            .into_iter()
            .flatten()
            .chain(levels.sentence())
            .chain(zero_coordinate(rows))
            .collect();
        doubts.into_iter().for_each(|sentence| self.tell(path, sentence));
        let pairs = labelled.contradictions(self.rules.join_tolerance_mm);
        if let Some((line, other)) = pairs.first() {
            tracing::warn!(
                table = %path.display(),
                pairs = pairs.len(),
                "rows of one station lie near each other and contradict each other in status (lines {line} and {other}): if two readers saw \
                 one node, write one row for it"
            );
        }
        let repeated = entries.iter().filter(|entry| **entry == EntryOutcome::Duplicate).count();
        if repeated > 0 {
            tracing::warn!(table = %path.display(), rows = repeated, "rows with the place of another row are merged with it; conflicting labels are set to unknown");
        }
        self.resolved.files.push(NamedFile { path: path.to_owned(), entries });
    }
}
