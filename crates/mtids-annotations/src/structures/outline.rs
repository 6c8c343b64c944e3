//! Closed curves of one plane: which of them is a copy of another, and which lies wholly inside another.
//!
//! Units: pixels of the plane, integers at pixel centres. A curve is closed from its last point to its first. Invariant: a curve that crosses
//! another, or merely touches it from outside, does not lie inside it.

use std::collections::BTreeMap;

/// How near a pixel centre lies to a curve that runs through it.
pub(super) const ON_CURVE: f64 = 1e-3;

/// A curve that keeps this near to the one around it is the same curve, written once more with other rounding.
const COPY: f64 = 0.1;

/// A closed curve.
pub(super) type Curve = Vec<[f64; 2]>;

/// Its edges, the closing one last.
pub(super) fn edges(curve: &[[f64; 2]]) -> impl Iterator<Item = [[f64; 2]; 2]> {
    curve.iter().zip(curve.iter().cycle().skip(1)).map(|(a, b)| [*a, *b])
}

/// Smallest and largest coordinate on each axis.
pub(super) fn bounds(curve: &[[f64; 2]]) -> ([f64; 2], [f64; 2]) {
    let start = ([f64::INFINITY; 2], [f64::NEG_INFINITY; 2]);
    curve.iter().fold(start, |(low, high), point| {
        ([low[0].min(point[0]), low[1].min(point[1])], [high[0].max(point[0]), high[1].max(point[1])])
    })
}

/// Whether all points lie on one line: such a curve encloses nothing.
pub(super) fn is_line(curve: &[[f64; 2]]) -> bool {
    let Some(&[x, y]) = curve.first() else { return true };
    let far = |&&[a, b]: &&[f64; 2]| (a - x).powi(2) + (b - y).powi(2);
    let Some(end) = curve.iter().max_by(|a, b| far(a).total_cmp(&far(b))) else { return true };
    curve.iter().all(|point| distance_squared(*point, [[x, y], *end]) <= ON_CURVE * ON_CURVE)
}

/// What is equal for two curves that run through the same points, wherever they begin and whichever way they turn: their edges, in order.
pub(super) fn key(curve: &[[f64; 2]]) -> Vec<[[i64; 2]; 2]> {
    let grid = |point: [f64; 2]| point.map(|x| (x / ON_CURVE).round() as i64);
    let mut key: Vec<[[i64; 2]; 2]> = edges(curve)
        .map(|[a, b]| {
            let (a, b) = (grid(a), grid(b));
            [a.min(b), a.max(b)]
        })
        .filter(|[a, b]| a != b)
        .collect();
    key.sort_unstable();
    key
}

/// The curves of an even-odd plane without those that are written an even number of times: they cancel, outline and all. In a fixed order.
pub(super) fn uncancelled(curves: &[Curve]) -> Vec<&Curve> {
    let mut odd = BTreeMap::new();
    let mut kept = Vec::new();
    for curve in curves {
        // Lines enclose nothing, and the keys of points are alike.
        if is_line(curve) {
            kept.push(curve);
        } else if odd.remove(&key(curve)).is_none() {
            odd.insert(key(curve), curve);
        }
    }
    kept.extend(odd.into_values());
    kept
}

/// How one curve lies to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nesting {
    /// Wholly inside; it may touch the outer one.
    Inside,
    /// It runs along the outer one: a copy.
    Copy,
    /// Beside it, around it, or across it.
    Not,
}

/// How `inner` lies to `outer`.
pub(super) fn nesting(outer: &[[f64; 2]], inner: &[[f64; 2]]) -> Nesting {
    let ((low, high), (inner_low, inner_high)) = (bounds(outer), bounds(inner));
    let fits = |axis: usize| low[axis] <= inner_low[axis] + ON_CURVE && inner_high[axis] <= high[axis] + ON_CURVE;
    if !(fits(0) && fits(1)) {
        return Nesting::Not;
    }
    let within = |point: [f64; 2]| side(outer, point) != Side::Outside;
    if !inner.iter().all(|point| within(*point)) || !edges(inner).all(|edge| pieces(edge, outer).all(within)) {
        return Nesting::Not;
    }
    if !interior(inner).is_some_and(|point| side(outer, point) == Side::Inside) {
        return Nesting::Not;
    }
    let hugs = |point: [f64; 2]| edges(outer).any(|edge| distance_squared(point, edge) <= COPY * COPY);
    if edges(inner).all(|[a, b]| hugs(a) && hugs(middle(a, b))) { Nesting::Copy } else { Nesting::Inside }
}

/// Midpoints of the pieces into which the curve `outer` cuts an edge.
fn pieces([p, q]: [[f64; 2]; 2], outer: &[[f64; 2]]) -> impl Iterator<Item = [f64; 2]> {
    let d = [q[0] - p[0], q[1] - p[1]];
    let length_squared = d[0] * d[0] + d[1] * d[1];
    let mut cuts = vec![0.0, 1.0];
    for [a, b] in edges(outer) {
        let e = [b[0] - a[0], b[1] - a[1]];
        let cross = d[0] * e[1] - d[1] * e[0];
        let offset = [a[0] - p[0], a[1] - p[1]];
        if cross != 0.0 {
            let along_edge = (offset[0] * e[1] - offset[1] * e[0]) / cross;
            let along_outer = (offset[0] * d[1] - offset[1] * d[0]) / cross;
            if (0.0..=1.0).contains(&along_outer) {
                cuts.push(along_edge);
            }
        }
        // Where the edges run along one another, the corners of the outer curve cut.
        if length_squared > 0.0 && distance_squared(a, [p, q]) <= ON_CURVE * ON_CURVE {
            cuts.push((offset[0] * d[0] + offset[1] * d[1]) / length_squared);
        }
    }
    cuts.retain(|cut| (0.0..=1.0).contains(cut));
    cuts.sort_by(f64::total_cmp);
    let middles: Vec<f64> = cuts.windows(2).map(|pair| (pair[0] + pair[1]) / 2.0).collect();
    middles.into_iter().map(move |t| [p[0] + t * d[0], p[1] + t * d[1]])
}

fn middle(a: [f64; 2], b: [f64; 2]) -> [f64; 2] {
    [(a[0] + b[0]) / 2.0, (a[1] + b[1]) / 2.0]
}

/// A point that the curve encloses: in the widest gap of a line between two heights of its points. `None` for a curve without inside.
fn interior(curve: &[[f64; 2]]) -> Option<[f64; 2]> {
    let mut heights: Vec<f64> = curve.iter().map(|point| point[1]).collect();
    heights.sort_by(f64::total_cmp);
    let gap = heights.windows(2).max_by(|a, b| (a[1] - a[0]).total_cmp(&(b[1] - b[0])))?;
    let y = (gap[0] + gap[1]) / 2.0;
    let mut crossings = crossings(curve, y);
    crossings.sort_by(f64::total_cmp);
    let widest = crossings.chunks_exact(2).max_by(|a, b| (a[1] - a[0]).total_cmp(&(b[1] - b[0])))?;
    (widest[1] > widest[0]).then(|| [(widest[0] + widest[1]) / 2.0, y])
}

/// Where the curve crosses the line of height `y`, each edge with one of its ends.
pub(super) fn crossings(curve: &[[f64; 2]], y: f64) -> Vec<f64> {
    edges(curve)
        .filter(|[a, b]| (a[1] > y) != (b[1] > y))
        .map(|[a, b]| a[0] + (y - a[1]) / (b[1] - a[1]) * (b[0] - a[0]))
        .collect()
}

/// Where a point lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Inside,
    On,
    Outside,
}

/// Where a point lies, by the even-odd rule.
fn side(curve: &[[f64; 2]], point: [f64; 2]) -> Side {
    if edges(curve).any(|edge| distance_squared(point, edge) <= ON_CURVE * ON_CURVE) {
        return Side::On;
    }
    let right = crossings(curve, point[1]).into_iter().filter(|x| *x > point[0]).count();
    if right % 2 == 1 { Side::Inside } else { Side::Outside }
}

/// Squared distance of a point to an edge.
pub(super) fn distance_squared([x, y]: [f64; 2], [[ax, ay], [bx, by]]: [[f64; 2]; 2]) -> f64 {
    let (dx, dy) = (bx - ax, by - ay);
    let length_squared = dx * dx + dy * dy;
    let along =
        if length_squared > 0.0 { (((x - ax) * dx + (y - ay) * dy) / length_squared).clamp(0.0, 1.0) } else { 0.0 };
    let (px, py) = (x - ax - along * dx, y - ay - along * dy);
    px * px + py * py
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn square(low: f64, high: f64) -> Curve {
        vec![[low, low], [high, low], [high, high], [low, high]]
    }

    #[test]
    fn a_copy_is_known_whatever_its_start_direction_and_rounding() {
        let mut turned = square(1.0, 4.0);
        turned.rotate_left(2);
        turned.reverse();
        assert_eq!(key(&turned), key(&square(1.0, 4.0)));
        assert_ne!(key(&turned), key(&square(1.0, 4.5)));
        assert_eq!(nesting(&square(1.0, 4.0), &square(1.02, 3.98)), Nesting::Copy);
        assert_eq!(nesting(&square(1.0, 4.0), &square(1.5, 3.5)), Nesting::Inside);
        assert_eq!(nesting(&square(1.5, 3.5), &square(1.0, 4.0)), Nesting::Not);
    }

    #[test]
    fn curves_written_twice_cancel_and_those_written_thrice_stay() {
        let (a, b) = (square(1.0, 4.0), square(2.0, 6.0));
        assert!(uncancelled(&[a.clone(), a.clone()]).is_empty());
        assert_eq!(uncancelled(&[a.clone(), b.clone(), a.clone()]), [&b]);
        assert_eq!(uncancelled(&[a.clone(), a.clone(), a.clone()]), [&a]);
        assert_eq!(uncancelled(&[vec![[1.0, 1.0]], vec![[2.0, 1.0]]]).len(), 2);
    }

    #[test]
    fn what_crosses_or_touches_from_outside_is_not_inside() {
        let cross = vec![[-1.0, 1.0], [5.0, 1.0], [5.0, 2.0], [-1.0, 2.0]];
        assert_eq!(nesting(&square(0.0, 4.0), &cross), Nesting::Not);
        // The notch of a U, whose points all lie on the U.
        let u = vec![[0.0, 0.0], [6.0, 0.0], [6.0, 6.0], [4.0, 6.0], [4.0, 2.0], [2.0, 2.0], [2.0, 6.0], [0.0, 6.0]];
        let notch = vec![[2.0, 2.0], [4.0, 2.0], [4.0, 6.0], [2.0, 6.0]];
        assert_eq!(nesting(&u, &notch), Nesting::Not);
        // A bar across the notch: its points lie in the arms of the U, its middle outside.
        let bar = vec![[1.0, 4.0], [5.0, 4.0], [5.0, 5.0], [1.0, 5.0]];
        assert_eq!(nesting(&u, &bar), Nesting::Not);
        assert!(is_line(&[[0.0, 0.0], [2.0, 2.0], [1.0, 1.0]]) && !is_line(&square(0.0, 1.0)));
    }

    proptest! {
        #[test]
        fn a_shrunken_star_is_inside_and_never_the_other_way(
            radii in prop::collection::vec(1.0f64..9.0, 3..24), shrink in 0.05f64..0.8,
        ) {
            let star = |factor: f64| -> Curve {
                let corner = |(n, radius): (usize, &f64)| {
                    let (sin, cos) = (n as f64 / radii.len() as f64 * std::f64::consts::TAU).sin_cos();
                    [radius * factor * cos, radius * factor * sin]
                };
                radii.iter().enumerate().map(corner).collect()
            };
            // Seen from the middle every star of three corners and more around it holds its smaller copy.
            prop_assert_eq!(nesting(&star(1.0), &star(shrink)), Nesting::Inside);
            prop_assert_eq!(nesting(&star(shrink), &star(1.0)), Nesting::Not);
        }
    }
}
