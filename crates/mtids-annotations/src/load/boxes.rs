//! Boxes on slices that a user named: PASCAL VOC.
//!
//! Invariant: a box that cannot lie on its slice as it is written is rejected, and never becomes a finding.

use std::collections::{BTreeMap, BTreeSet};

use super::{EntryOutcome, Loader, NamedFile};
use crate::files::AnnotationFiles;
use crate::geometry::SeriesGeometry;
use crate::plausible::fault_of_length;
use crate::reject::{RejectPlace, RejectReason};
use crate::voc::{SliceBox, doubts_of_boxes, findings_of_boxes};

/// Why a box gives no finding.
type Fault = (RejectReason, String);

impl Loader<'_> {
    /// Boxes are one source: those of one node stand in several files.
    pub(super) fn add_boxes(&mut self, files: &AnnotationFiles, series: &[SeriesGeometry<'_>]) {
        self.source += 1;
        let slices = Slices::of(series);
        let faults: Vec<Option<Fault>> = files.boxes.iter().map(|one| slices.fault(one)).collect();
        let sound = files.boxes.iter().zip(&faults).filter(|(_, fault)| fault.is_none());
        let sound: Vec<SliceBox> = sound.map(|(one, _)| one.clone()).collect();
        for (n, series) in series.iter().enumerate() {
            let findings = findings_of_boxes(&sound, series);
            self.resolved.mask_doubts.add_boxes(doubts_of_boxes(&sound, series));
            self.note_names(&findings);
            let lost = &mut self.resolved.lost_stations;
            let findings = findings.into_iter().filter_map(|finding| self.rules.classes.apply(finding, lost));
            self.found[n].extend(findings.map(|finding| (self.source, finding)));
        }
        let mut faults = faults.into_iter();
        for (path, count) in &files.box_files {
            let mut entries = Vec::with_capacity(*count);
            for (number, fault) in (1..).zip(faults.by_ref().take(*count)) {
                entries.push(if fault.is_none() { EntryOutcome::Used } else { EntryOutcome::Unmatched });
                if let Some((reason, detail)) = fault {
                    self.resolved.unmatched += 1;
                    self.reject(path, RejectPlace::Part(format!("box {number}")), reason, detail);
                }
            }
            self.resolved.files.push(NamedFile { path: path.clone(), entries });
        }
    }
}

/// The slices of all series by their UIDs.
struct Slices<'a> {
    /// The grid of the slice; `None` where frames share a UID.
    grids: BTreeMap<&'a str, Option<SliceGrid>>,
}

#[derive(Clone, Copy)]
struct SliceGrid {
    /// Columns, rows.
    sides: [usize; 2],
    /// From one column to the next, and from one row to the next, mm.
    spacing: [f64; 2],
}

impl<'a> Slices<'a> {
    fn of(series: &[SeriesGeometry<'a>]) -> Self {
        let mut grids = BTreeMap::new();
        for one in series {
            let uids: BTreeSet<&str> = one.slices.iter().collect();
            let (sides, spacing) = one.image_sides();
            let grid = SliceGrid { sides, spacing };
            let known = (uids.len() == one.slices.len()).then_some(grid);
            grids.extend(uids.into_iter().map(|uid| (uid, known)));
        }
        Self { grids }
    }

    fn fault(&self, one: &SliceBox) -> Option<Fault> {
        let uid = &one.sop_instance_uid;
        match self.grids.get(uid.as_str()) {
            None => {
                let detail = format!("slice {uid} is not in the data folder, or was refused");
                Some((RejectReason::ImageNotHere, detail))
            }
            Some(None) => {
                let detail = format!(
                    "the frames of object {uid} share this UID, so a box names no slice of them; give its findings as a mask or a table"
                );
                Some((RejectReason::ImageNotHere, detail))
            }
            Some(Some(grid)) => {
                let fault = self.other_slice(one).or_else(|| one.fault_on(grid.sides));
                fault.or_else(|| too_large(one, grid.spacing))
            }
        }
    }

    /// Why a box is of two slices: its file says one of them by `<filename>`, and another one here by `<path>` or by its own name.
    fn other_slice(&self, one: &SliceBox) -> Option<Fault> {
        let other = one.other_names.iter().find(|name| self.grids.contains_key(name.as_str()))?;
        let detail = format!(
            "<filename> names slice {}, and <path> or the name of the file names slice {other}; correct one of them",
            one.sop_instance_uid
        );
        Some((RejectReason::OutsideImage, detail))
    }
}

/// Why a box is larger than any node.
fn too_large(one: &SliceBox, spacing: [f64; 2]) -> Option<Fault> {
    let longest = (0..2).map(|axis| (one.maximum[axis] - one.minimum[axis]) * spacing[axis]).fold(0.0, f64::max);
    fault_of_length(longest)
}
