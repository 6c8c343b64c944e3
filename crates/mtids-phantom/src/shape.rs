//! Simple solids with soft edges, painted into a volume.
//!
//! Invariant: a shape answers with a signed distance in mm (negative inside) and the direction in which it grows, from which the painter
//! tells how much of a voxel is covered. Units: LPS mm.

/// A solid in LPS mm.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    /// An ellipsoid, turned by the angle with this sine and cosine about the z axis.
    Ellipsoid { center: [f64; 3], radii: [f64; 3], turn: [f64; 2] },
    /// A tube with round ends.
    Capsule { from: [f64; 3], to: [f64; 3], radius: f64 },
}

impl Shape {
    /// An ellipsoid turned by `angle` radians about the z axis.
    pub(crate) fn ellipsoid(center: [f64; 3], radii: [f64; 3], angle: f64) -> Self {
        Shape::Ellipsoid { center, radii, turn: [angle.sin(), angle.cos()] }
    }

    /// The solid with `margin` mm more on every side.
    pub(crate) fn grown(self, margin: f64) -> Self {
        match self {
            Shape::Ellipsoid { center, radii, turn } => {
                Shape::Ellipsoid { center, radii: radii.map(|r| (r + margin).max(0.1)), turn }
            }
            Shape::Capsule { from, to, radius } => Shape::Capsule { from, to, radius: (radius + margin).max(0.1) },
        }
    }

    /// Distance to the surface in mm, negative inside, and the outward direction (a unit vector, or zero at the middle). Exact for a
    /// capsule; first-order near the surface for an ellipsoid.
    #[inline]
    pub(crate) fn field(&self, point: [f64; 3]) -> (f64, [f64; 3]) {
        match *self {
            Shape::Ellipsoid { center, radii, turn: [sin, cos] } => {
                let [x, y, z] = [point[0] - center[0], point[1] - center[1], point[2] - center[2]];
                let local = [x * cos + y * sin, y * cos - x * sin, z];
                let scaled: [f64; 3] = std::array::from_fn(|axis| local[axis] / radii[axis]);
                let value = scaled.iter().map(|x| x * x).sum::<f64>().sqrt();
                let slope: [f64; 3] = std::array::from_fn(|axis| scaled[axis] / radii[axis]);
                let steepness = slope.iter().map(|x| x * x).sum::<f64>().sqrt();
                if steepness < 1e-9 {
                    return (-radii.iter().copied().fold(f64::INFINITY, f64::min), [0.0; 3]);
                }
                let [u, v, w] = slope.map(|x| x / steepness);
                // f = |scaled| − 1 and |∇f| = steepness / |scaled|.
                ((value - 1.0) * value / steepness, [u * cos - v * sin, u * sin + v * cos, w])
            }
            Shape::Capsule { from, to, radius } => {
                let along: [f64; 3] = std::array::from_fn(|axis| to[axis] - from[axis]);
                let offset: [f64; 3] = std::array::from_fn(|axis| point[axis] - from[axis]);
                let length = along.iter().map(|x| x * x).sum::<f64>();
                let dot = along.iter().zip(offset).map(|(a, b)| a * b).sum::<f64>();
                let t = if length > 0.0 { (dot / length).clamp(0.0, 1.0) } else { 0.0 };
                let away: [f64; 3] = std::array::from_fn(|axis| offset[axis] - t * along[axis]);
                let distance = away.iter().map(|x| x * x).sum::<f64>().sqrt();
                let direction = if distance > 1e-9 { away.map(|x| x / distance) } else { [0.0; 3] };
                (distance - radius, direction)
            }
        }
    }

    /// Distance to the surface in mm, negative inside.
    pub(crate) fn distance(&self, point: [f64; 3]) -> f64 {
        self.field(point).0
    }

    /// Smallest and largest coordinates of the solid.
    pub(crate) fn bounds(&self) -> ([f64; 3], [f64; 3]) {
        match *self {
            Shape::Ellipsoid { center, radii, turn: [sin, cos] } => {
                let reach = [(radii[0] * cos).hypot(radii[1] * sin), (radii[0] * sin).hypot(radii[1] * cos), radii[2]];
                (std::array::from_fn(|a| center[a] - reach[a]), std::array::from_fn(|a| center[a] + reach[a]))
            }
            Shape::Capsule { from, to, radius } => (
                std::array::from_fn(|a| from[a].min(to[a]) - radius),
                std::array::from_fn(|a| from[a].max(to[a]) + radius),
            ),
        }
    }
}

/// A shape made ready to be asked for many places: most of them lie far from its surface and need neither a root nor a division.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prepared {
    shape: Shape,
    /// Middle of the ellipsoid, or start of the capsule.
    start: [f64; 3],
    /// Direction of the capsule, or sine and cosine of the ellipsoid's turn.
    along: [f64; 3],
    /// One over the radii, or over the squared length in the first place.
    inverse: [f64; 3],
    /// Squared measures below which a place is inside, and above which it is outside.
    inside: f64,
    outside: f64,
}

impl Prepared {
    /// `margin` is at least half the extent of a voxel in any direction.
    pub(crate) fn new(shape: Shape, margin: f64) -> Self {
        let square = |x: f64| x.max(0.0) * x.max(0.0);
        match shape {
            Shape::Ellipsoid { center, radii, turn: [sin, cos] } => {
                let least = radii.iter().copied().fold(f64::INFINITY, f64::min);
                Self {
                    shape,
                    start: center,
                    along: [sin, cos, 0.0],
                    inverse: radii.map(|r| 1.0 / r),
                    inside: square(1.0 - margin / least),
                    outside: square(1.0 + margin / least),
                }
            }
            Shape::Capsule { from, to, radius } => {
                let along: [f64; 3] = std::array::from_fn(|axis| to[axis] - from[axis]);
                let length = along.iter().map(|x| x * x).sum::<f64>();
                Self {
                    shape,
                    start: from,
                    along,
                    inverse: [if length > 0.0 { 1.0 / length } else { 0.0 }; 3],
                    inside: square(radius - margin),
                    outside: square(radius + margin),
                }
            }
        }
    }

    /// Share of a voxel of half size `half` around `point` that lies inside, computed from the distance to the surface and the extent of the
    /// voxel in that direction.
    #[inline]
    pub(crate) fn share(&self, point: [f64; 3], half: [f64; 3]) -> f32 {
        let offset = [point[0] - self.start[0], point[1] - self.start[1], point[2] - self.start[2]];
        match self.shape {
            Shape::Ellipsoid { .. } => {
                let [sin, cos, _] = self.along;
                let u = (offset[0] * cos + offset[1] * sin) * self.inverse[0];
                let v = (offset[1] * cos - offset[0] * sin) * self.inverse[1];
                let w = offset[2] * self.inverse[2];
                let square = u * u + v * v + w * w;
                if square >= self.outside {
                    return 0.0;
                }
                if square < self.inside {
                    return 1.0;
                }
                let [a, b, c] = [u * self.inverse[0], v * self.inverse[1], w * self.inverse[2]];
                let steepness = (a * a + b * b + c * c).sqrt().max(1e-12);
                let value = square.sqrt();
                let extent =
                    half[0] * (a * cos - b * sin).abs() + half[1] * (a * sin + b * cos).abs() + half[2] * c.abs();
                covered((value - 1.0) * value / steepness, extent / steepness)
            }
            Shape::Capsule { radius, .. } => {
                let dot = offset[0] * self.along[0] + offset[1] * self.along[1] + offset[2] * self.along[2];
                let t = (dot * self.inverse[0]).clamp(0.0, 1.0);
                let [u, v, w] =
                    [offset[0] - t * self.along[0], offset[1] - t * self.along[1], offset[2] - t * self.along[2]];
                let square = u * u + v * v + w * w;
                if square >= self.outside {
                    return 0.0;
                }
                if square < self.inside {
                    return 1.0;
                }
                let away = square.sqrt().max(1e-12);
                covered(away - radius, (half[0] * u.abs() + half[1] * v.abs() + half[2] * w.abs()) / away)
            }
        }
    }
}

/// Share of a voxel inside a surface at `distance` (negative inside), where the voxel reaches `half` towards it.
#[inline]
pub(crate) fn covered(distance: f64, half: f64) -> f32 {
    (0.5 - 0.5 * distance / half.max(1e-6)).clamp(0.0, 1.0) as f32
}

/// A smooth curve through `points` (Catmull and Rom), as `pieces` straight pieces between each two of them.
pub(crate) fn curve(points: &[[f64; 3]], pieces: usize) -> Vec<[f64; 3]> {
    let Some(&last) = points.last() else { return Vec::new() };
    let at = |n: isize| points[n.clamp(0, points.len() as isize - 1) as usize];
    let mut path = Vec::with_capacity(points.len() * pieces);
    for n in 0..points.len() as isize - 1 {
        let [a, b, c, d] = [at(n - 1), at(n), at(n + 1), at(n + 2)];
        for piece in 0..pieces {
            let t = piece as f64 / pieces as f64;
            path.push(std::array::from_fn(|axis| {
                let (a, b, c, d) = (a[axis], b[axis], c[axis], d[axis]);
                b + 0.5 * t * ((c - a) + t * ((2.0 * a - 5.0 * b + 4.0 * c - d) + t * (3.0 * (b - c) + d - a)))
            }));
        }
    }
    path.push(last);
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_have_the_right_sign_and_size() {
        let ball = Shape::ellipsoid([1.0, 2.0, 3.0], [5.0; 3], 0.4);
        assert!((ball.distance([1.0, 2.0, 10.0]) - 2.0).abs() < 1e-9);
        assert!(ball.distance([1.0, 2.0, 3.0]) <= -5.0);
        let tube = Shape::Capsule { from: [0.0; 3], to: [0.0, 0.0, 10.0], radius: 2.0 };
        assert!((tube.distance([5.0, 0.0, 5.0]) - 3.0).abs() < 1e-9);
        assert!((tube.distance([0.0, 0.0, 11.0]) + 1.0).abs() < 1e-9);
        assert!((ball.grown(2.0).distance([1.0, 2.0, 10.0])).abs() < 1e-9);
    }

    #[test]
    fn the_direction_is_the_slope_of_the_distance() {
        let shapes = [
            Shape::ellipsoid([1.0, -2.0, 0.5], [9.0, 6.0, 7.0], 0.7),
            Shape::Capsule { from: [0.0; 3], to: [3.0, 4.0, 10.0], radius: 3.0 },
        ];
        for shape in shapes {
            // Close to the surface, where the ellipsoid's distance is first-order exact.
            let mut point = [7.0, 3.0, 4.0];
            for _ in 0..20 {
                let (distance, direction) = shape.field(point);
                point = std::array::from_fn(|axis| point[axis] - distance * direction[axis]);
            }
            let (_, direction) = shape.field(point);
            for axis in 0..3 {
                let mut moved = point;
                moved[axis] += 1e-4;
                let slope = (shape.distance(moved) - shape.distance(point)) / 1e-4;
                assert!((slope - direction[axis]).abs() < 1e-2, "{slope} {direction:?}");
            }
        }
    }

    #[test]
    fn bounds_hold_the_whole_solid() {
        let shape = Shape::ellipsoid([1.0, 2.0, 3.0], [9.0, 4.0, 5.0], 0.9);
        let (low, high) = shape.bounds();
        for n in 0..2000 {
            let p: [f64; 3] = std::array::from_fn(|axis| f64::from(n * (axis as i32 * 7 + 3) % 41) - 20.0);
            if shape.distance(p) <= 0.0 {
                assert!((0..3).all(|axis| low[axis] <= p[axis] && p[axis] <= high[axis]));
            }
        }
    }

    #[test]
    fn the_quick_answer_agrees_with_the_distance() {
        let half = [0.6, 0.6, 1.1];
        for shape in [
            Shape::ellipsoid([1.0, 2.0, 3.0], [9.0, 4.0, 5.0], 0.9),
            Shape::Capsule { from: [0.0; 3], to: [3.0, 4.0, 10.0], radius: 3.0 },
        ] {
            let prepared = Prepared::new(shape, mtids_domain::geometry::norm(half));
            for n in 0..4000 {
                let p: [f64; 3] = std::array::from_fn(|axis| f64::from(n * (axis as i32 * 7 + 3) % 61) * 0.5 - 15.0);
                let (distance, direction) = shape.field(p);
                let extent: f64 = half.iter().zip(direction).map(|(h, d)| h * d.abs()).sum();
                let wanted = covered(distance, extent);
                assert!((prepared.share(p, half) - wanted).abs() < 1e-5, "{} for {wanted}", prepared.share(p, half));
            }
        }
    }

    #[test]
    fn a_curve_passes_through_its_points() {
        let points = [[0.0; 3], [10.0, 0.0, 0.0], [10.0, 10.0, 5.0]];
        let path = curve(&points, 4);
        assert_eq!(path.len(), 9);
        assert!(points.iter().all(|p| path.contains(p)));
    }
}
