//! Boxes on slices become findings: those of adjacent slices that touch and have one name are one.
//!
//! Invariant: two boxes of one slice are two nodes, unless they share most of what they cover. Units: LPS mm.

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
    let joined = |(k, a): Placed<'_>, (l, b): Placed<'_>| {
        // Two boxes of one slice are two nodes, unless one of them was drawn twice.
        let are_one = if k == l { overlap(a, b) >= SAME_BOX } else { k.abs_diff(l) == 1 && touch(a, b) };
        are_one && have_one_name(a, b)
    };
    // Sorted by slice, a box can only touch groups that hold a box of its own or the slice before.
    let mut groups: Vec<Vec<Placed<'b>>> = Vec::new();
    for one in placed {
        let touches = |group: &Vec<Placed<'b>>| group.iter().any(|&member| joined(member, one));
        let (touching, mut rest): (Vec<_>, Vec<_>) = groups.into_iter().partition(touches);
        let mut group: Vec<Placed<'b>> = touching.into_iter().flatten().collect();
        group.push(one);
        rest.push(group);
        groups = rest;
    }
    groups
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
