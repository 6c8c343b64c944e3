//! Shapes that a report draws, and the centre of each.
//!
//! Purpose: one group of measurements is one node, whose place is the centre of what was drawn. Rules: a POINT is its own centre; that of a
//! MULTIPOINT is the mean of its points; that of a POLYLINE or POLYGON the mean along the line, whatever the number of vertices on a side; that of
//! a CIRCLE its first point; that of an ELLIPSE or ELLIPSOID the mean of the middles of its axes, which must meet. Whether points of a MULTIPOINT are one
//! node is asked where the place is found. Source: PS3.3 C.18.6.1.2 and C.18.9.1.2. Units: LPS mm.

use mtids_domain::geometry::PointMm;
use strum::{EnumString, IntoStaticStr};

/// A graphic type. Invariant: names are those of DICOM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr)]
#[strum(serialize_all = "UPPERCASE")]
pub enum Shape {
    /// One place.
    Point,
    /// Several places of one finding.
    Multipoint,
    /// Connected segments, open or closed.
    Polyline,
    /// Connected segments in one plane, closed.
    Polygon,
    /// Its centre, and a point on it.
    Circle,
    /// The ends of its long axis, and of its short one.
    Ellipse,
    /// The ends of its three axes.
    Ellipsoid,
}

/// The centre of what was drawn, and its size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Drawn {
    /// Centre, LPS mm.
    pub(crate) center: PointMm,
    /// Twice the distance from the centre to the farthest point, mm; 0 of a point.
    pub(crate) length_mm: f64,
}

/// The middles of axes of one ellipse may lie so far apart, mm, or by a tenth of its length: points are rounded.
const AXES_MEET_MM: f64 = 1.0;

impl Shape {
    /// The shape of a name; `None` where coordinates of this kind (of an image, or of the patient) have none of that name.
    pub(super) fn named(name: &str, of_image: bool) -> Option<Self> {
        let shape: Self = name.parse().ok()?;
        let is_other = match shape {
            Self::Circle => !of_image,
            Self::Polygon | Self::Ellipsoid => of_image,
            Self::Point | Self::Multipoint | Self::Polyline | Self::Ellipse => false,
        };
        (!is_other).then_some(shape)
    }

    /// The name in DICOM.
    pub(super) fn name(self) -> &'static str {
        self.into()
    }

    /// Whether it has so many points.
    pub(super) fn has(self, points: usize) -> bool {
        match self {
            Self::Point => points == 1,
            Self::Multipoint => points >= 1,
            Self::Polyline | Self::Circle if points < 2 => false,
            Self::Polyline => true,
            Self::Polygon => points >= 3,
            Self::Circle => points == 2,
            Self::Ellipse => points == 4,
            Self::Ellipsoid => points == 6,
        }
    }

    /// The centre of the shape with these points; as many as [`Self::has`] says.
    ///
    /// # Errors
    /// A sentence where axes do not meet, or without points.
    pub(super) fn drawn(self, points: &[PointMm]) -> Result<Drawn, String> {
        let center = match self {
            Self::Point | Self::Circle => points.first().copied(),
            Self::Multipoint => mean(points),
            Self::Polyline => along(points),
            Self::Polygon => {
                let closing = points.first().copied();
                along(&points.iter().copied().chain(closing).collect::<Vec<_>>())
            }
            Self::Ellipse | Self::Ellipsoid => mean(points),
        };
        let center = center.ok_or_else(|| format!("a {} without points", self.name()))?;
        let length_mm = 2.0 * points.iter().map(|point| point.distance(center)).fold(0.0, f64::max);
        if matches!(self, Self::Ellipse | Self::Ellipsoid) {
            let middles = points.chunks(2).filter_map(mean).map(|middle| middle.distance(center));
            let apart = middles.fold(0.0, f64::max);
            if apart > AXES_MEET_MM.max(0.1 * length_mm) {
                return Err(format!(
                    "the middles of the axes of its {} lie {apart:.1} mm from its centre; draw it again",
                    self.name()
                ));
            }
        }
        Ok(Drawn { center, length_mm })
    }
}

/// The mean of points; `None` without points.
pub(super) fn mean(points: &[PointMm]) -> Option<PointMm> {
    let count = points.len() as f64;
    let sum = |axis: usize| points.iter().map(|point| point.0[axis]).sum::<f64>();
    (!points.is_empty()).then(|| PointMm([0, 1, 2].map(|axis| sum(axis) / count)))
}

/// The mean along a line; of a line without length the mean of its points.
fn along(points: &[PointMm]) -> Option<PointMm> {
    let (mut sum, mut length) = ([0.0; 3], 0.0);
    for pair in points.windows(2) {
        let [a, b] = [pair[0], pair[1]];
        let mm = a.distance(b);
        length += mm;
        for (axis, total) in sum.iter_mut().enumerate() {
            *total += mm * (a.0[axis] + b.0[axis]) / 2.0;
        }
    }
    if length > 0.0 { Some(PointMm(sum.map(|total| total / length))) } else { mean(points) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(shape: Shape, points: &[[f64; 3]]) -> Result<Drawn, String> {
        shape.drawn(&points.iter().map(|point| PointMm(*point)).collect::<Vec<_>>())
    }

    fn is_near(drawn: &Drawn, center: [f64; 3], length_mm: f64) -> bool {
        drawn.center.distance(PointMm(center)) < 1e-9 && (drawn.length_mm - length_mm).abs() < 1e-9
    }

    #[test]
    fn each_shape_has_its_centre() {
        let line = drawn(Shape::Polyline, &[[2.0, 1.0, 5.0], [12.0, 1.0, 5.0]]).unwrap();
        assert!(is_near(&line, [7.0, 1.0, 5.0], 10.0), "{line:?}");
        // A side with many vertices does not draw the centre to it; a polygon closes itself.
        let square =
            [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [3.0, 0.0, 0.0], [4.0, 0.0, 0.0], [4.0, 4.0, 0.0], [0.0, 4.0, 0.0]];
        let half = 8f64.sqrt();
        assert!(is_near(&drawn(Shape::Polygon, &square).unwrap(), [2.0, 2.0, 0.0], 2.0 * half));
        let closed = [&square[..], &square[..1]].concat();
        for shape in [Shape::Polygon, Shape::Polyline] {
            assert!(is_near(&drawn(shape, &closed).unwrap(), [2.0, 2.0, 0.0], 2.0 * half), "{shape:?}");
        }
        assert!(is_near(&drawn(Shape::Circle, &[[1.0, 2.0, 3.0], [1.0, 7.0, 3.0]]).unwrap(), [1.0, 2.0, 3.0], 10.0));
        let dots = [[0.0; 3], [3.0, 0.0, 0.0], [0.0, 3.0, 3.0]];
        assert_eq!(drawn(Shape::Multipoint, &dots).unwrap().center, PointMm([1.0; 3]));
        assert!(is_near(&drawn(Shape::Point, &[[4.0; 3]]).unwrap(), [4.0; 3], 0.0));
        assert!(is_near(&drawn(Shape::Polyline, &[[4.0; 3], [4.0; 3]]).unwrap(), [4.0; 3], 0.0), "no length");
        let axes =
            [[-5.0, 0.0, 0.0], [5.0, 0.0, 0.0], [0.0, -3.0, 0.0], [0.0, 3.0, 0.0], [0.0, 0.0, -2.0], [0.0, 0.0, 2.0]];
        assert!(is_near(&drawn(Shape::Ellipse, &axes[..4]).unwrap(), [0.0; 3], 10.0));
        assert!(is_near(&drawn(Shape::Ellipsoid, &axes).unwrap(), [0.0; 3], 10.0));
    }

    #[test]
    fn axes_that_do_not_meet_and_nothing_at_all_are_faults() {
        let apart = [[-5.0, 0.0, 0.0], [5.0, 0.0, 0.0], [0.0, 20.0, 0.0], [0.0, 26.0, 0.0]];
        assert!(drawn(Shape::Ellipse, &apart).unwrap_err().contains("axes"));
        for shape in [Shape::Point, Shape::Multipoint, Shape::Polyline, Shape::Polygon, Shape::Ellipsoid] {
            assert!(drawn(shape, &[]).is_err(), "{shape:?}");
        }
    }

    #[test]
    fn names_and_numbers_of_points_are_those_of_the_standard() {
        for (name, image, patient, least) in [
            ("POINT", true, true, 1),
            ("MULTIPOINT", true, true, 1),
            ("POLYLINE", true, true, 2),
            ("POLYGON", false, true, 3),
            ("CIRCLE", true, false, 2),
            ("ELLIPSE", true, true, 4),
            ("ELLIPSOID", false, true, 6),
        ] {
            let of = |of_image| Shape::named(name, of_image);
            assert_eq!((of(true).is_some(), of(false).is_some()), (image, patient), "{name}");
            let shape = of(true).or(of(false)).unwrap();
            assert_eq!(shape.name(), name);
            assert!(shape.has(least) && !shape.has(least - 1), "{name}");
            let is_open = matches!(shape, Shape::Multipoint | Shape::Polyline | Shape::Polygon);
            assert_eq!(shape.has(least + 1), is_open, "{name}");
        }
        assert_eq!(Shape::named("point", true), None);
        assert_eq!(Shape::named("", false), None);
    }
}
