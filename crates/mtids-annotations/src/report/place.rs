//! The place of a group of measurements in a series.
//!
//! Purpose: one group is one node. Rule: shapes of one group are one node where each lies near another one, its centre within half the length of the
//! longer of both; on neighbouring slices the distance within the plane counts. So the two axes of a node are one, and its outlines. The points of a
//! MULTIPOINT follow the same rule. The place is the mean of the centres.
//! Invariants: coordinates of the patient count in their own frame of reference alone, those of an image on a slice of the series alone. Units: LPS mm.

use mtids_domain::geometry::{PointMm, Voxel, dot, norm, subtract};

use super::coordinates::{Coordinates, Space};
use super::shape::{Drawn, Shape, mean};
use crate::assign::row::ORIGIN_MM;
use crate::geometry::SeriesGeometry;
use crate::plausible::fault_of_length;
use crate::reject::RejectReason;

/// Why a group has no place in a series.
pub(crate) type NoPlace = (RejectReason, String);

/// Shapes whose centres lie no farther apart than this are one node, however short they are, mm.
const BESIDE_MM: f64 = 2.0;

/// Shapes are on neighbouring slices up to this many of the step between them: places are rounded, and the next slice but one lies at two steps.
const NEXT_SLICE: f64 = 1.1;

/// How the slices of a series lie above one another.
struct Stack {
    /// Unit normal of their planes.
    normal: [f64; 3],
    /// Their heights along it, ascending, mm.
    heights: Vec<f64>,
}

/// The centre of the pixel that holds the origin of an image, in columns or rows.
const FIRST_PIXEL: f64 = 0.5;

/// The place of coordinates of one group in a series, and how long the finding is at least.
///
/// # Errors
/// [`NoPlace`].
pub(crate) fn place(coordinates: &[Coordinates], series: &SeriesGeometry<'_>) -> Result<Drawn, NoPlace> {
    let unreadable = |detail: String| (RejectReason::UnreadableCoordinates, detail);
    let stack = Stack::of(series);
    let mut shapes = Vec::with_capacity(coordinates.len());
    for one in coordinates {
        let points = points_in(one, series)?;
        if one.shape == Shape::Multipoint {
            one_place(&points, &stack).map_err(unreadable)?;
        }
        shapes.push(one.shape.drawn(&points).map_err(unreadable)?);
    }
    let drawn = one_node(&shapes, &stack).map_err(unreadable)?;
    match fault_of_length(drawn.length_mm) {
        Some(fault) => Err(fault),
        None => Ok(drawn),
    }
}

/// The points in LPS mm.
fn points_in(one: &Coordinates, series: &SeriesGeometry<'_>) -> Result<Vec<PointMm>, NoPlace> {
    let not_here = |detail: String| (RejectReason::ImageNotHere, detail);
    let outside = |detail: &str| (RejectReason::OutsideImage, detail.to_owned());
    let name = || series.name();
    match &one.space {
        Space::Patient { frame_of_reference_uid } => {
            let own = series.frame_of_reference_uid;
            if own != Some(frame_of_reference_uid.as_str()) {
                return Err(not_here(format!(
                    "its coordinates are in frame of reference {frame_of_reference_uid}, and that of series {} is {}; correct one of them",
                    name(),
                    own.unwrap_or("none")
                )));
            }
            if one.points.iter().flatten().all(|mm| mm.abs() <= ORIGIN_MM) {
                return Err(outside("its place is the origin of coordinates, where no node lies; correct it"));
            }
            Ok(one.points.iter().copied().map(PointMm).collect())
        }
        Space::Image { sop_instance_uid: uid, frame } => {
            let slices = series.slices_of(uid, *frame);
            let [slice] = slices[..] else {
                let detail = match slices.len() {
                    0 => format!(
                        "it is drawn on image {uid}, which is no slice of series {}; add the image, or correct its UID",
                        name()
                    ),
                    _ => format!("it is drawn on image {uid}, which has several frames, and names none of them"),
                };
                return Err(not_here(detail));
            };
            if one.points.iter().flatten().all(|side| side.abs() <= 1.0) {
                let detail = "its coordinates seem to be in parts of the sides of the image; write columns and rows";
                return Err(outside(detail));
            }
            let in_mm = |[column, row, _]: [f64; 3]| {
                series.image_to_mm(Voxel([column - FIRST_PIXEL, row - FIRST_PIXEL, slice as f64]))
            };
            Ok(one.points.iter().copied().map(in_mm).collect())
        }
    }
}

/// The node that shapes are.
///
/// # Errors
/// A sentence where they lie apart.
fn one_node(shapes: &[Drawn], stack: &Stack) -> Result<Drawn, String> {
    let centers: Vec<PointMm> = shapes.iter().map(|shape| shape.center).collect();
    let center = mean(&centers).ok_or("it has no coordinates")?;
    if !are_joined(shapes, stack) {
        return Err(format!(
            "its {} shapes lie up to {:.1} mm from their middle, and are no one node; give each node a group of its own",
            shapes.len(),
            farthest(&centers, center)
        ));
    }
    let reach = |shape: &Drawn| shape.center.distance(center) + shape.length_mm / 2.0;
    Ok(Drawn { center, length_mm: 2.0 * shapes.iter().map(reach).fold(0.0, f64::max) })
}

/// Checks that the points of a MULTIPOINT are one node, as several shapes of a POINT must be: between two nodes lies none.
///
/// # Errors
/// A sentence where they lie apart.
fn one_place(points: &[PointMm], stack: &Stack) -> Result<(), String> {
    let dots: Vec<Drawn> = points.iter().map(|point| Drawn { center: *point, length_mm: 0.0 }).collect();
    let Some(center) = mean(points).filter(|_| !are_joined(&dots, stack)) else { return Ok(()) };
    Err(format!(
        "the {} points of its {} lie up to {:.1} mm from their middle, and are no one node; give each node a group of its own, or draw a line or an \
         ellipse",
        points.len(),
        Shape::Multipoint.name(),
        farthest(points, center)
    ))
}

/// The greatest distance of points from a place, mm.
fn farthest(points: &[PointMm], place: PointMm) -> f64 {
    points.iter().map(|point| point.distance(place)).fold(0.0, f64::max)
}

/// Whether each shape can be reached from each other one by steps between shapes that are near.
fn are_joined(shapes: &[Drawn], stack: &Stack) -> bool {
    let mut rest: Vec<&Drawn> = shapes.iter().collect();
    let mut edge: Vec<&Drawn> = rest.pop().into_iter().collect();
    while let Some(one) = edge.pop() {
        let (near, far): (Vec<&Drawn>, Vec<&Drawn>) = rest.into_iter().partition(|other| stack.are_near(one, other));
        edge.extend(near);
        rest = far;
    }
    rest.is_empty()
}

impl Stack {
    fn of(series: &SeriesGeometry<'_>) -> Self {
        let mut heights = series.heights();
        heights.sort_by(f64::total_cmp);
        Self { normal: series.normal(), heights }
    }

    /// The step between the slices around a height, or nearest to it, mm; 0 where there is one slice.
    fn step_at(&self, height: f64) -> f64 {
        let above = self.heights.partition_point(|one| *one < height).min(self.heights.len().saturating_sub(1)).max(1);
        self.heights.get(above).zip(self.heights.get(above - 1)).map_or(0.0, |(above, below)| above - below)
    }

    /// Whether the centres of two shapes lie within half the length of the longer one; on neighbouring slices, within the plane.
    fn are_near(&self, a: &Drawn, b: &Drawn) -> bool {
        let [low, high] = [a, b].map(|one| dot(one.center.0, self.normal));
        let height = high - low;
        let are_neighbours = height.abs() <= NEXT_SLICE * self.step_at(low.midpoint(high));
        let lifted = if are_neighbours { height } else { 0.0 };
        let apart = subtract(b.center.0, a.center.0);
        let within = subtract(apart, self.normal.map(|x| lifted * x));
        norm(within) <= (a.length_mm.max(b.length_mm) / 2.0).max(BESIDE_MM)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Eight slices of 5 mm.
    fn stack(normal: [f64; 3]) -> Stack {
        Stack { normal, heights: (0..8).map(|k| 5.0 * f64::from(k)).collect() }
    }

    fn upright() -> Stack {
        stack([0.0, 0.0, 1.0])
    }

    fn node(shapes: &[([f64; 3], f64)]) -> Result<Drawn, String> {
        node_in(shapes, &upright())
    }

    fn node_in(shapes: &[([f64; 3], f64)], stack: &Stack) -> Result<Drawn, String> {
        let shapes: Vec<Drawn> = shapes
            .iter()
            .map(|(center, length_mm)| Drawn { center: PointMm(*center), length_mm: *length_mm })
            .collect();
        one_node(&shapes, stack)
    }

    #[test]
    fn axes_that_cross_are_one_node_and_lines_apart_are_none() {
        // A long axis of 20 mm, and a short one that crosses it near its end.
        let one = node(&[([0.0; 3], 20.0), ([8.0, 2.0, 0.0], 12.0)]).unwrap();
        assert_eq!(one.center, PointMm([4.0, 1.0, 0.0]));
        assert!(node(&[([0.0; 3], 20.0), ([12.0, 0.0, 0.0], 12.0)]).unwrap_err().contains("2 shapes"));
        assert!(node(&[([0.0; 3], 0.0), ([1.9, 0.0, 0.0], 0.0)]).is_ok(), "a point that was clicked twice");
        assert!(node(&[([0.0; 3], 0.0), ([2.1, 0.0, 0.0], 0.0)]).is_err());
        assert!(node(&[]).is_err());
    }

    #[test]
    fn outlines_on_neighbouring_slices_are_one_node() {
        let outlines: Vec<([f64; 3], f64)> = (0..7).map(|k| ([0.0, 0.0, 5.0 * f64::from(k)], 12.0)).collect();
        let whole = node(&outlines).unwrap();
        assert_eq!(whole.center, PointMm([0.0, 0.0, 15.0]));
        let mut apart = outlines;
        apart.remove(3);
        assert!(node(&apart).is_err(), "10 mm between them");
    }

    #[test]
    fn slices_thicker_than_half_a_node_do_not_part_it() {
        let two = |x: f64, z: f64| [([0.0; 3], 8.0), ([x, 0.0, z], 8.0)];
        assert_eq!(node(&two(0.0, 5.0)).unwrap().center, PointMm([0.0, 0.0, 2.5]));
        assert!(node(&two(3.9, 5.2)).is_ok(), "slices are not quite even");
        assert!(node(&two(4.1, 5.0)).is_err(), "beside it on the next slice");
        assert!(node(&two(0.0, 10.0)).is_err(), "on the next slice but one");
        // The step says nothing of the plane.
        assert!(node(&two(5.0, 0.0)).is_err());
        let (sin, cos) = 0.4f64.sin_cos();
        let oblique = stack([0.0, -sin, cos]);
        let along = |[x, y, z]: [f64; 3]| node_in(&[([0.0; 3], 8.0), ([x, y, z], 8.0)], &oblique);
        assert!(along([0.0, -5.0 * sin, 5.0 * cos]).is_ok());
        assert!(along([0.0, 5.0 * cos, 5.0 * sin]).is_err());
        // Over a gap the next slice is the next one, and only there.
        let gap = Stack { heights: vec![-5.0, 0.0, 15.0, 20.0], ..upright() };
        let over = |from: f64, to: f64| node_in(&[([0.0, 0.0, from], 8.0), ([0.0, 0.0, to], 8.0)], &gap).is_ok();
        assert_eq!([over(0.0, 15.0), over(15.0, 20.0), over(-5.0, 15.0), over(0.0, 20.0)], [true, true, false, false]);
        let single = Stack { heights: vec![0.0], ..upright() };
        assert_eq!((single.step_at(0.0), Stack { heights: Vec::new(), ..single }.step_at(1.0)), (0.0, 0.0));
    }

    #[test]
    fn points_of_one_shape_follow_the_rule_of_several() {
        let of = |points: &[[f64; 3]]| {
            one_place(&points.iter().map(|point| PointMm(*point)).collect::<Vec<_>>(), &upright())
        };
        assert_eq!(of(&[[0.0; 3], [1.9, 0.0, 0.0], [3.8, 0.0, 0.0]]), Ok(()));
        assert_eq!(of(&[[0.0; 3], [1.0, 0.0, 5.0]]), Ok(()), "on the next slice");
        for apart in [2.1, 70.0] {
            let points = [[0.0; 3], [apart, 0.0, 0.0]];
            let told = of(&points).unwrap_err();
            assert!(told.contains(&format!("{:.1} mm", apart / 2.0)) && told.contains("are no one node"), "{told}");
            assert!(node(&points.map(|point| (point, 0.0))).is_err(), "as several shapes");
        }
    }
}
