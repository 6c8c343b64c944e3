//! Structures of RTSTRUCT objects of the study folder, each placed in its own series.
//!
//! Invariant: a structure that a class rule asks for gives a finding, is rejected by name, or is told where it has no contours.

use std::path::Path;

use mtids_dicom::{DicomError, FileOutcome, ReasonCode, SkipReason};
use mtids_domain::annotation::Annotation;

use super::Loader;
use super::region_doubts::RegionDoubts;
use super::slices::SliceDoubts;
use crate::assign::object::NoSeries;
use crate::reject::{RejectPlace, RejectReason};
use crate::structures::{RegionOfInterest, read_structures};

/// What became of the structures of an object.
#[derive(Default)]
struct StructureCounts {
    assigned: usize,
    /// The first structure that cannot be read.
    unreadable: Option<String>,
    doubts: SliceDoubts,
    of_regions: RegionDoubts,
    /// Structures that are asked for and have no contours.
    empty: Vec<String>,
    /// Why the first structure without series has none.
    no_series: Option<NoSeries>,
}

impl Loader<'_> {
    pub(super) fn add_structures(&mut self, path: &Path) {
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
            } else if !region.contours.is_empty() && self.rules.classes.leaves_out_with_all(&region.name, &[]) {
                self.resolved.ignored_nodes.look_at(&region.name);
            }
        }
        Self::warn_of_slices(path, &counts.doubts);
        counts.of_regions.sentences().into_iter().for_each(|sentence| self.tell(path, sentence));
        if let Some(first) = counts.empty.first() {
            let count = if counts.empty.len() == 1 {
                "1 structure".to_owned()
            } else {
                format!("{} structures", counts.empty.len())
            };
            let sentence = format!(
                "{count} that a class rule asks for without contours, which give no finding (first: {first}): were they exported?"
            );
            self.tell(path, sentence);
        }
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
            return counts.empty.push(place.to_string());
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
        let (lost, classes, title) = (&mut self.resolved.lost_stations, &self.rules.classes, place.to_string());
        counts.of_regions.look_at(&title, region, series);
        let labelled = findings.into_iter().filter_map(|finding| classes.apply(finding, lost));
        let kept: Vec<Annotation> =
            labelled.map(|finding| counts.of_regions.without_contradiction(&title, region, classes, finding)).collect();
        for finding in kept {
            counts.assigned += usize::from(self.keep(path, place.clone(), finding, chosen.series));
        }
    }
}
