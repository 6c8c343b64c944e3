//! Simple solids with soft edges, painted into a volume.
//!
//! Invariant: a shape answers with a signed distance in mm (negative inside); one voxel of partial volume is blended at its border,
//! as a scanner would.

/// A solid in LPS mm.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    /// An ellipsoid, turned by `angle` about the z axis.
    Ellipsoid { center: [f64; 3], radii: [f64; 3], angle: f64 },
    /// A tube with round ends.
    Capsule { from: [f64; 3], to: [f64; 3], radius: f64 },
}

impl Shape {
    /// Distance to the surface in mm, negative inside. Exact for a capsule; first-order near the surface for an ellipsoid.
    pub(crate) fn distance(&self, point: [f64; 3]) -> f64 {
        match *self {
            Shape::Ellipsoid { center, radii, angle } => {
                let (sin, cos) = angle.sin_cos();
                let [x, y, z] = [point[0] - center[0], point[1] - center[1], point[2] - center[2]];
                let local = [x * cos + y * sin, y * cos - x * sin, z];
                let scaled: [f64; 3] = std::array::from_fn(|axis| local[axis] / radii[axis]);
                let value = scaled.iter().map(|x| x * x).sum::<f64>().sqrt();
                let gradient = scaled.iter().zip(radii).map(|(x, r)| (x / r) * (x / r)).sum::<f64>().sqrt();
                if gradient < 1e-9 {
                    return -radii.iter().copied().fold(f64::INFINITY, f64::min);
                }
                // f = |scaled| − 1 and |∇f| = gradient / |scaled|.
                (value - 1.0) * value / gradient
            }
            Shape::Capsule { from, to, radius } => {
                let along: [f64; 3] = std::array::from_fn(|axis| to[axis] - from[axis]);
                let offset: [f64; 3] = std::array::from_fn(|axis| point[axis] - from[axis]);
                let length = along.iter().map(|x| x * x).sum::<f64>();
                let dot = along.iter().zip(offset).map(|(a, b)| a * b).sum::<f64>();
                let t = if length > 0.0 { (dot / length).clamp(0.0, 1.0) } else { 0.0 };
                let away: f64 = (0..3).map(|axis| (offset[axis] - t * along[axis]).powi(2)).sum();
                away.sqrt() - radius
            }
        }
    }

    /// Smallest and largest coordinates of the solid.
    pub(crate) fn bounds(&self) -> ([f64; 3], [f64; 3]) {
        match *self {
            Shape::Ellipsoid { center, radii, .. } => {
                // Whatever the turn, the larger in-plane radius bounds both axes.
                let plane = radii[0].max(radii[1]);
                let reach = [plane, plane, radii[2]];
                (std::array::from_fn(|a| center[a] - reach[a]), std::array::from_fn(|a| center[a] + reach[a]))
            }
            Shape::Capsule { from, to, radius } => (
                std::array::from_fn(|a| from[a].min(to[a]) - radius),
                std::array::from_fn(|a| from[a].max(to[a]) + radius),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_have_the_right_sign_and_size() {
        let ball = Shape::Ellipsoid { center: [1.0, 2.0, 3.0], radii: [5.0; 3], angle: 0.4 };
        assert!((ball.distance([1.0, 2.0, 10.0]) - 2.0).abs() < 1e-9);
        assert!(ball.distance([1.0, 2.0, 3.0]) <= -5.0);
        let tube = Shape::Capsule { from: [0.0; 3], to: [0.0, 0.0, 10.0], radius: 2.0 };
        assert!((tube.distance([5.0, 0.0, 5.0]) - 3.0).abs() < 1e-9);
        assert!((tube.distance([0.0, 0.0, 11.0]) + 1.0).abs() < 1e-9);
    }
}
