//! Boxes on slices become findings: those of adjacent slices that overlap and have one name are one.
//!
//! Invariant: two boxes of one slice are two nodes, unless they share most of what they cover; each goes on with the box of the next slice that it overlaps
//! most, and no two with the same one. Units: LPS mm.

use std::collections::BTreeMap;

use mtids_domain::annotation::{Annotation, AnnotationSource, AnnotationTarget, Extent};
use mtids_domain::geometry::{PointMm, Voxel};
use mtids_domain::label::{Evidence, LabelLevel};

use super::SliceBox;
use crate::geometry::SeriesGeometry;

/// Boxes of one slice that share this part of what both cover are one box.
pub(super) const SAME_BOX: f64 = 0.5;

/// The area that two boxes share, as a part of the area that they cover.
pub(super) fn overlap(a: &SliceBox, b: &SliceBox) -> f64 {
    let area =
        |low: [f64; 2], high: [f64; 2]| (0..2).map(|axis| (high[axis] - low[axis] + 1.0).max(0.0)).product::<f64>();
    let low = [0, 1].map(|axis| a.minimum[axis].max(b.minimum[axis]));
    let high = [0, 1].map(|axis| a.maximum[axis].min(b.maximum[axis]));
    let shared = area(low, high);
    shared / (area(a.minimum, a.maximum) + area(b.minimum, b.maximum) - shared)
}

/// A box with the number of its slice in a series.
pub(super) type Placed<'b> = (usize, &'b SliceBox);

/// Boxes of a series that are one finding each.
pub(super) fn groups<'b>(boxes: &'b [SliceBox], series: &SeriesGeometry<'_>) -> Vec<Vec<Placed<'b>>> {
    let mut slices: BTreeMap<&str, usize> = BTreeMap::new();
    for (k, uid) in series.slices.iter().enumerate() {
        slices.insert(uid, k);
    }
    if slices.len() < series.slices.len() {
        // The frames of an enhanced CT share a UID: it names none of them.
        return Vec::new();
    }
    let mut placed: Vec<Placed<'b>> =
        boxes.iter().filter_map(|one| Some((*slices.get(one.sop_instance_uid.as_str())?, one))).collect();
    placed.sort_by(|a, b| {
        let key = |one: &SliceBox| one.minimum.map(|x| (x * 1e3) as i64);
        (a.0, key(a.1), &a.1.name).cmp(&(b.0, key(b.1), &b.1.name))
    });
    let mut groups: Vec<Vec<Placed<'b>>> = Vec::new();
    // The groups that end on the slice before.
    let mut ending: Vec<usize> = Vec::new();
    let mut before = None;
    for slice in placed.chunk_by(|(k, _), (l, _)| k == l) {
        let k = slice[0].0;
        if before.is_none_or(|before: usize| before + 1 != k) {
            ending.clear();
        }
        let drawn = drawn_once(slice);
        let mut goes_on: Vec<Option<usize>> = vec![None; drawn.len()];
        for (_, n, group) in pairs(&drawn, &ending, &groups) {
            if goes_on[n].is_none() && !goes_on.contains(&Some(group)) {
                goes_on[n] = Some(group);
            }
        }
        ending = Vec::with_capacity(drawn.len());
        for (boxes, group) in drawn.into_iter().zip(goes_on) {
            let group = group.unwrap_or_else(|| {
                groups.push(Vec::new());
                groups.len() - 1
            });
            groups[group].extend(boxes);
            ending.push(group);
        }
        before = Some(k);
    }
    groups
}

/// The boxes of one slice; those that were drawn twice are together.
fn drawn_once<'b>(slice: &[Placed<'b>]) -> Vec<Vec<Placed<'b>>> {
    let mut drawn: Vec<Vec<Placed<'b>>> = Vec::new();
    for &(k, one) in slice {
        let is_same = |(_, other): &Placed<'_>| overlap(other, one) >= SAME_BOX && have_one_name(other, one);
        let (same, mut rest): (Vec<_>, Vec<_>) = drawn.into_iter().partition(|boxes| boxes.iter().any(is_same));
        let mut boxes: Vec<Placed<'b>> = same.into_iter().flatten().collect();
        boxes.push((k, one));
        rest.push(boxes);
        drawn = rest;
    }
    drawn
}

/// Which boxes of a slice may go on with a group that ends on the slice before: those that overlap most come first.
fn pairs(drawn: &[Vec<Placed<'_>>], ending: &[usize], groups: &[Vec<Placed<'_>>]) -> Vec<(f64, usize, usize)> {
    let mut pairs: Vec<(f64, usize, usize)> = Vec::new();
    for (n, boxes) in drawn.iter().enumerate() {
        let above = boxes[0].0;
        for &group in ending {
            let last = || groups[group].iter().filter(|(k, _)| k + 1 == above);
            let of_two = boxes.iter().flat_map(|(_, one)| last().map(move |(_, other)| (*one, *other)));
            let meeting = of_two.filter(|(one, other)| have_one_name(one, other) && meet(one, other));
            if let Some(most) = meeting.map(|(one, other)| overlap(one, other)).max_by(f64::total_cmp) {
                pairs.push((most, n, group));
            }
        }
    }
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    pairs
}

/// Whether two boxes share more than an edge or a corner; a box of one row or column has no more than that.
fn meet(a: &SliceBox, b: &SliceBox) -> bool {
    touch(a, b)
        && (0..2).all(|axis| {
            let is_line = |one: &SliceBox| one.minimum[axis] == one.maximum[axis];
            is_line(a) || is_line(b) || a.maximum[axis].min(b.maximum[axis]) > a.minimum[axis].max(b.minimum[axis])
        })
}

pub(super) fn touch(a: &SliceBox, b: &SliceBox) -> bool {
    (0..2).all(|axis| a.minimum[axis] <= b.maximum[axis] && b.minimum[axis] <= a.maximum[axis])
}

pub(super) fn have_one_name(a: &SliceBox, b: &SliceBox) -> bool {
    a.name.trim().eq_ignore_ascii_case(b.name.trim())
}

/// The findings of boxes on slices of `series`; boxes on other slices are left out.
pub fn findings_of_boxes(boxes: &[SliceBox], series: &SeriesGeometry<'_>) -> Vec<Annotation> {
    let mut found: Vec<Annotation> = groups(boxes, series).iter().filter_map(|group| finding(group, series)).collect();
    found.sort_by(|a, b| a.center.0[2].total_cmp(&b.center.0[2]).then(a.center.0[0].total_cmp(&b.center.0[0])));
    found
}

fn finding(group: &[(usize, &SliceBox)], series: &SeriesGeometry<'_>) -> Option<Annotation> {
    let mut sum = [0.0; 3];
    let mut area = 0.0;
    let (mut low, mut high) = ([f64::INFINITY; 3], [f64::NEG_INFINITY; 3]);
    for &(k, one) in group {
        let [width, height] = [0, 1].map(|axis| one.maximum[axis] - one.minimum[axis] + 1.0);
        let middle = [(one.minimum[0] + one.maximum[0]) / 2.0, (one.minimum[1] + one.maximum[1]) / 2.0, k as f64];
        area += width * height;
        for axis in 0..3 {
            sum[axis] += width * height * middle[axis];
        }
        for corner in [[one.minimum[0], one.minimum[1], k as f64], [one.maximum[0], one.maximum[1], k as f64]] {
            let mm = series.image_to_mm(Voxel(corner)).0;
            for axis in 0..3 {
                low[axis] = low[axis].min(mm[axis]);
                high[axis] = high[axis].max(mm[axis]);
            }
        }
    }
    let (_, first) = group.first()?;
    Some(Annotation {
        target: AnnotationTarget { series_uid: Some(series.series_uid.to_owned()), ..Default::default() },
        center: series.image_to_mm(Voxel(sum.map(|total| total / area))),
        extent: Extent::Box { minimum: PointMm(low), maximum: PointMm(high) },
        finding: first.name.clone(),
        codes: Vec::new(),
        station: None,
        metastasis: None,
        evidence: Evidence::U,
        level: LabelLevel::Node,
        short_axis_mm: None,
        source: AnnotationSource::Segmentation,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Groups of boxes from x to x on slices, by their first x and number of boxes.
    fn grouped(boxes: &[(usize, [f64; 2])]) -> Vec<(f64, usize)> {
        let boxes: Vec<SliceBox> = boxes
            .iter()
            .map(|(k, [from, to])| SliceBox {
                sop_instance_uid: k.to_string(),
                name: "LN".into(),
                minimum: [*from, 50.0],
                maximum: [*to, 60.0],
                size: None,
                other_names: Vec::new(),
            })
            .collect();
        let steps = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        let series = SeriesGeometry {
            patient_id: "1",
            series_uid: "2",
            part: 0,
            study_uid: "3",
            frame_of_reference_uid: None,
            affine: mtids_domain::geometry::Affine::new(PointMm([0.0; 3]), steps).unwrap(),
            dimensions: [100, 100, 4],
            slices: crate::geometry::SliceUids::Listed(&["0", "1", "2", "3"]),
        };
        let mut found: Vec<(f64, usize)> =
            groups(&boxes, &series).iter().map(|group| (group[0].1.minimum[0], group.len())).collect();
        found.sort_by(|a, b| a.0.total_cmp(&b.0));
        found
    }

    #[test]
    fn boxes_side_by_side_on_several_slices_stay_apart() {
        let beside = (0..4).flat_map(|k| [(k, [90.0, 100.0]), (k, [100.0, 110.0])]).collect::<Vec<_>>();
        assert_eq!(grouped(&beside), [(90.0, 4), (100.0, 4)]);
        // One corner or edge is no overlap.
        assert_eq!(grouped(&[(0, [90.0, 100.0]), (1, [100.0, 110.0])]), [(90.0, 1), (100.0, 1)]);
        assert_eq!(grouped(&[(0, [90.0, 100.0]), (1, [95.0, 110.0]), (2, [92.0, 99.0])]), [(90.0, 3)]);
        // A gap of a slice, and one drawn twice.
        assert_eq!(grouped(&[(0, [90.0, 100.0]), (2, [90.0, 100.0])]), [(90.0, 1), (90.0, 1)]);
        assert_eq!(grouped(&[(0, [90.0, 100.0]), (0, [91.0, 100.0]), (1, [90.0, 100.0])]), [(90.0, 3)]);
        // One that becomes two: the larger part goes on.
        assert_eq!(grouped(&[(0, [90.0, 110.0]), (1, [90.0, 103.0]), (1, [105.0, 110.0])]), [(90.0, 2), (105.0, 1)]);
    }

    #[test]
    fn boxes_of_one_slice_are_one_where_they_share_half_of_what_they_cover() {
        let one = |minimum, maximum| SliceBox {
            sop_instance_uid: "1".into(),
            name: "LN".into(),
            minimum,
            maximum,
            size: None,
            other_names: Vec::new(),
        };
        let first = one([20.0, 20.0], [30.0, 30.0]);
        for (other, is_same) in [
            (first.clone(), true),
            (one([21.0, 20.0], [31.0, 31.0]), true),
            (one([29.0, 20.0], [39.0, 30.0]), false),
            (one([31.0, 20.0], [41.0, 30.0]), false),
            (one([50.0, 50.0], [60.0, 60.0]), false),
        ] {
            assert_eq!(overlap(&first, &other) >= SAME_BOX, is_same, "{other:?}");
        }
    }
}
