//! Objects that draw on one slice and name another.
//!
//! A contour or frame says twice where it lies: by its coordinates, and by the image slice that it names. Coordinates decide. Invariant: who reads
//! the log learns of a contradiction, and none is invented: programs that name one and the same slice with everything name nothing, and what is
//! drawn between two slices names the nearer one. Units: LPS mm.

use std::collections::BTreeSet;

use mtids_domain::geometry::{PointMm, dot};

use crate::geometry::SeriesGeometry;

/// What lies farther from the slice that it names, in distances of slices, was not drawn there. Half of one is drawn between two slices.
const FARTHEST: f64 = 0.75;

/// What the planes of an object say of their slices.
#[derive(Debug, Default)]
pub(super) struct SliceDoubts {
    named: usize,
    apart: usize,
    farthest_mm: f64,
    first: Option<String>,
    instances: BTreeSet<String>,
}

impl SliceDoubts {
    /// Adds planes that lie in a series: the SOP Instance UID that each names, and points of it.
    pub(super) fn add<'p>(
        &mut self,
        series: &SeriesGeometry<'_>,
        title: &str,
        planes: impl Iterator<Item = (&'p str, Vec<PointMm>)>,
    ) {
        let (heights, normal) = (series.slice_heights(), series.normal());
        let [.., step] = series.affine.spacing();
        for (uid, points) in planes {
            let Some(height) = heights.get(uid) else { continue };
            let distances = points.iter().map(|point| (dot(point.0, normal) - height).abs());
            let Some(mm) = distances.min_by(f64::total_cmp) else { continue };
            self.named += 1;
            self.instances.insert(uid.to_owned());
            if mm > FARTHEST * step {
                self.apart += 1;
                self.farthest_mm = self.farthest_mm.max(mm);
                self.first.get_or_insert_with(|| title.to_owned());
            }
        }
    }

    /// A sentence where planes lie apart from the slices that they name.
    pub(super) fn sentence(&self) -> Option<String> {
        let names_nothing = self.named > 1 && self.instances.len() == 1;
        let first = self.first.as_deref().filter(|_| !names_nothing)?;
        Some(format!(
            "{} of {} planes lie up to {:.1} mm from the image slice that they name (first in {first}): they are read where they are drawn; compare \
             both in a viewer",
            self.apart, self.named, self.farthest_mm
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::SliceUids;
    use mtids_domain::geometry::Affine;

    fn said(slices: &[&str], planes: &[(&str, f64)]) -> Option<String> {
        let steps = [[0.7, 0.0, 0.0], [0.0, 0.7, 0.0], [0.0, 0.0, 2.5]];
        let series = SeriesGeometry {
            patient_id: "P",
            series_uid: "1",
            part: 0,
            study_uid: "2",
            frame_of_reference_uid: None,
            affine: Affine::new(PointMm::new(0.0, 0.0, 100.0), steps).unwrap(),
            dimensions: [64, 64, slices.len()],
            slices: SliceUids::Listed(slices),
        };
        let mut doubts = SliceDoubts::default();
        let points = |z: f64| vec![PointMm::new(1.0, 1.0, z), PointMm::new(2.0, 2.0, z)];
        doubts.add(&series, "ROI 1", planes.iter().map(|(uid, z)| (*uid, points(*z))));
        doubts.sentence()
    }

    #[test]
    fn planes_apart_from_their_slice_are_told_and_others_are_not() {
        let slices = ["a", "b", "c", "d"];
        assert_eq!(said(&slices, &[("a", 100.0), ("b", 102.4), ("d", 106.3)]), None, "drawn between two slices");
        let told = said(&slices, &[("a", 100.0), ("b", 107.5), ("c", 103.0)]).unwrap();
        assert!(told.starts_with("2 of 3 planes lie up to 5.0 mm") && told.contains("first in ROI 1"), "{told}");
        assert!(said(&slices, &[("c", 100.0)]).is_some(), "one plane, one other slice");
        assert_eq!(said(&slices, &[("a", 100.0), ("a", 105.0)]), None, "one name for everything is no name");
        assert_eq!(said(&slices, &[("of another series", 300.0)]), None);
        assert_eq!(said(&["a", "a", "a"], &[("a", 105.0)]), None, "frames of one object share its UID");
    }
}
