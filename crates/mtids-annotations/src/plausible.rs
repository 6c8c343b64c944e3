//! What no finding of lymph nodes can be: larger than any, or away from its own box; and what hardly any is.
//!
//! Purpose: an inverted mask, a mask of the body or the lungs, and a size in another unit become no label. Invariant: the limits lie far above the
//! largest conglomerates of nodes, so that a finding beyond them is always a mistake. Units: mm, mL.

use mtids_domain::annotation::{Annotation, Extent, Mask};
use mtids_domain::geometry::PointMm;

use crate::measure::{axial_axes, short_axis_mm};
use crate::reject::RejectReason;

/// Short axes and diameters of lymph nodes are smaller than these, mm; conglomerates alone may be larger.
pub(crate) const HUGE_MM: [f64; 2] = [75.0, 150.0];

/// Longest side or diameter of a finding, mm: nearly the width of a chest.
pub(crate) const MOST_MM: f64 = 300.0;

/// Largest volume of a finding, mL: a ball of 12.4 cm. One lung has more.
const MOST_ML: f64 = 1000.0;

/// A place may lie so far outside its box, mm: a reader clicks beside a small node, and no farther.
const BESIDE_BOX_MM: f64 = 5.0;

/// No drawn or measured node is smaller than this, mm: a CT has no finer slices.
pub(crate) const TINY_MM: f64 = 1.5;

/// Why a finding can be none of lymph nodes: the reason, and a sentence.
pub(crate) fn fault_of(finding: &Annotation) -> Option<(RejectReason, String)> {
    match &finding.extent {
        Extent::Point => None,
        Extent::Sphere { diameter_mm } => fault_of_length(*diameter_mm),
        Extent::Box { minimum, maximum } => fault_of_box(finding.center, *minimum, *maximum),
        Extent::Mask(mask) => fault_of_mask(mask),
    }
}

/// Whether a short axis or diameter is larger than those of lymph nodes.
pub(crate) fn is_huge(short_mm: Option<f64>, long_mm: Option<f64>) -> bool {
    let [short, long] = HUGE_MM;
    short_mm.is_some_and(|mm| mm >= short) || long_mm.is_some_and(|mm| mm >= long)
}

/// Whether a mask or box is larger than lymph nodes are.
pub(crate) fn is_drawn_huge(extent: &Extent) -> bool {
    match extent {
        Extent::Point | Extent::Sphere { .. } => false,
        Extent::Box { minimum, maximum } => {
            let [x, y, z] = [0, 1, 2].map(|axis| maximum.0[axis] - minimum.0[axis]);
            is_huge(Some(x.min(y)), Some(x.max(y).max(z)))
        }
        Extent::Mask(mask) => is_mask_huge(mask),
    }
}

fn is_mask_huge(mask: &Mask) -> bool {
    let spacing = mask.affine.spacing();
    let sides = [0, 1, 2].map(|axis| {
        let along = || mask.voxels.iter().map(|voxel| voxel[axis]);
        let voxels = along().max().zip(along().min()).map_or(0.0, |(last, first)| f64::from(last - first) + 1.0);
        voxels * spacing[axis]
    });
    let [across, along, _] = axial_axes(&mask.affine);
    // The short axis of what fits between two lines is at most the diagonal of the square between them, and takes long to measure.
    let at_most = sides[across].min(sides[along]) * std::f64::consts::SQRT_2;
    let short = is_huge(Some(at_most), None).then(|| short_axis_mm(mask)).flatten();
    is_huge(short, Some(sides.into_iter().fold(0.0, f64::max)))
}

/// Why a length in mm can be none of a node.
pub(crate) fn fault_of_length(mm: f64) -> Option<(RejectReason, String)> {
    let detail = format!("it is {mm:.0} mm long, and no lymph node is longer than {MOST_MM} mm; is this another unit?");
    (mm > MOST_MM).then_some((RejectReason::ImplausibleSize, detail))
}

fn fault_of_box(
    PointMm(center): PointMm,
    PointMm(low): PointMm,
    PointMm(high): PointMm,
) -> Option<(RejectReason, String)> {
    let longest = (0..3).map(|axis| high[axis] - low[axis]).fold(0.0, f64::max);
    let outside = (0..3).map(|axis| (low[axis] - center[axis]).max(center[axis] - high[axis])).fold(0.0, f64::max);
    let elsewhere = || {
        let detail = format!("its place lies {outside:.1} mm outside its own box; correct one of them");
        (outside > BESIDE_BOX_MM).then_some((RejectReason::OutsideImage, detail))
    };
    fault_of_length(longest).or_else(elsewhere)
}

fn fault_of_mask(mask: &Mask) -> Option<(RejectReason, String)> {
    let ml = mask.voxels.len() as f64 * mask.affine.voxel_volume() / 1000.0;
    let detail = format!(
        "it has {ml:.0} mL, and no lymph node has more than {MOST_ML} mL; is it a mask of the body or the lungs, or are its values inverted?"
    );
    (ml > MOST_ML).then_some((RejectReason::ImplausibleSize, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_lies_in_its_box_or_beside_it() {
        let at = |x: f64| fault_of_box(PointMm([x, 0.0, 0.0]), PointMm([-6.0; 3]), PointMm([6.0; 3]));
        assert_eq!((at(0.0), at(10.9)), (None, None));
        let (reason, detail) = at(-12.0).unwrap();
        assert!(reason == RejectReason::OutsideImage && detail.contains("6.0 mm outside its own box"), "{detail}");
    }

    #[test]
    fn nothing_longer_than_a_chest_is_a_node() {
        assert_eq!(fault_of_length(300.0), None);
        assert_eq!(fault_of_length(1250.0).unwrap().0, RejectReason::ImplausibleSize);
        let tall = fault_of_box(PointMm([0.0; 3]), PointMm([-6.0, -6.0, -200.0]), PointMm([6.0, 6.0, 200.0]));
        assert_eq!(tall.unwrap().0, RejectReason::ImplausibleSize);
    }
}
