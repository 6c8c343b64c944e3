//! Boxes that are read as they stand, and that a person should look at: a slice is left out between them, or one of them has another name.
//!
//! Invariant: nothing is joined or left out here.

use std::collections::{BTreeMap, BTreeSet};

use super::SliceBox;
use super::findings::{SAME_BOX, groups, have_one_name, overlap, touch};
use crate::geometry::SeriesGeometry;

/// What is doubted of boxes, by their names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct BoxDoubts {
    /// Findings above one another with one empty slice between them.
    pub(crate) apart: BTreeMap<String, u64>,
    /// Boxes of neighbouring slices at one place with two names.
    pub(crate) renamed: BTreeMap<String, u64>,
}

/// What is doubted of boxes on slices of `series`.
pub(crate) fn doubts_of_boxes(boxes: &[SliceBox], series: &SeriesGeometry<'_>) -> BoxDoubts {
    let groups = groups(boxes, series);
    let mut by_slice: BTreeMap<usize, Vec<(usize, &SliceBox)>> = BTreeMap::new();
    for (n, group) in groups.iter().enumerate() {
        for (k, one) in group {
            by_slice.entry(*k).or_default().push((n, one));
        }
    }
    let is_flat = |n: usize| groups[n].iter().all(|(k, _)| *k == groups[n][0].0);
    let mut doubts = BoxDoubts::default();
    let mut apart: BTreeSet<usize> = BTreeSet::new();
    for (k, here) in &by_slice {
        for (n, one) in here {
            let other_group = |step: usize| by_slice.get(&(k + step)).into_iter().flatten().filter(|(m, _)| m != n);
            for (_, other) in other_group(1).filter(|(_, other)| overlap(one, other) >= SAME_BOX) {
                let names = format!("{}` and `{}", one.name.trim(), other.name.trim());
                *doubts.renamed.entry(names).or_default() += 1;
            }
            for (m, other) in other_group(2).filter(|(_, other)| have_one_name(one, other)) {
                let needed = if is_flat(*n) && is_flat(*m) { 0.0 } else { SAME_BOX };
                if touch(one, other) && overlap(one, other) >= needed {
                    apart.extend([*n, *m]);
                }
            }
        }
    }
    for n in apart {
        *doubts.apart.entry(groups[n][0].1.name.clone()).or_default() += 1;
    }
    doubts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::SliceUids;
    use mtids_domain::geometry::{Affine, PointMm};

    #[test]
    fn boxes_with_a_slice_or_a_name_between_them_are_told() {
        let uids = ["1", "2", "3", "4", "5", "6"];
        let steps = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 2.0]];
        let series = SeriesGeometry {
            patient_id: "P",
            series_uid: "9",
            part: 0,
            study_uid: "8",
            frame_of_reference_uid: None,
            affine: Affine::new(PointMm([0.0; 3]), steps).unwrap(),
            dimensions: [64, 64, 6],
            slices: SliceUids::Listed(&uids),
        };
        let one = |slice: usize, name: &str, at: f64| SliceBox {
            sop_instance_uid: uids[slice].into(),
            name: name.into(),
            minimum: [at, 10.0],
            maximum: [at + 8.0, 18.0],
            size: None,
            other_names: Vec::new(),
        };
        let told = |boxes: &[SliceBox]| {
            let doubts = doubts_of_boxes(boxes, &series);
            (doubts.apart.values().sum::<u64>(), doubts.renamed.into_iter().collect::<Vec<_>>())
        };
        let second = [one(0, "LN", 10.0), one(2, "LN", 11.0), one(4, "LN", 11.0)];
        assert_eq!(told(&second), (3, vec![]));
        assert_eq!(told(&[one(0, "LN 4R", 10.0), one(1, "LN4R", 10.0)]), (0, vec![("LN 4R` and `LN4R".to_owned(), 1)]));
        assert_eq!(
            told(&[one(0, "LN", 10.0), one(1, "LN", 10.0), one(3, "LN", 10.0)]),
            (2, vec![]),
            "a slice left out"
        );
        // One node; two nodes beside one another; two that touch; other names that touch.
        for boxes in [
            [one(0, "LN", 10.0), one(1, "ln ", 12.0)],
            [one(0, "LN", 10.0), one(2, "LN", 30.0)],
            [one(0, "LN", 10.0), one(3, "LN", 10.0)],
            [one(0, "4R", 10.0), one(1, "10R", 16.0)],
        ] {
            assert_eq!(told(&boxes), (0, vec![]), "{boxes:?}");
        }
    }
}
