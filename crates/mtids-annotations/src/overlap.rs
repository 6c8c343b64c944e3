//! Whether two drawn nodes are one: how many voxels they share, on whatever grids.
//!
//! Invariants: the answer does not depend on the order of the two; nodes that touch and share next to nothing are two, however near their centres lie.
//! Units: mm³.

use mtids_domain::annotation::Mask;
use mtids_domain::geometry::Voxel;

/// Two readers' drawings of one node share at least this part of the smaller one; those of neighbours share slivers.
const LEAST_SHARED: f64 = 1.0 / 3.0;
/// What is this many times as large is no drawing of the same node, but what the node lies in: a station, a vessel, a mass. Twice as wide.
const MOST_LARGER: f64 = 8.0;

/// Volume of the set voxels, mm³; the axes are taken as orthogonal.
pub(crate) fn volume_mm3(mask: &Mask) -> f64 {
    mask.affine.spacing().iter().product::<f64>() * mask.voxels.len() as f64
}

/// Whether two masks may be drawings of one node.
pub(crate) fn are_one_node(a: &Mask, b: &Mask) -> bool {
    let (small, large) = if volume_mm3(a) <= volume_mm3(b) { (a, b) } else { (b, a) };
    volume_mm3(large) <= MOST_LARGER * volume_mm3(small)
        && shared_of(small, large) as f64 >= LEAST_SHARED * small.voxels.len() as f64
}

/// Voxels of one mask whose centres lie in set voxels of another.
fn shared_of(one: &Mask, other: &Mask) -> usize {
    if one.affine == other.affine {
        return shared_voxels(one, other);
    }
    one.voxels.iter().filter(|voxel| has_voxel_at(other, one, voxel)).count()
}

fn has_voxel_at(mask: &Mask, of: &Mask, voxel: &[u32; 3]) -> bool {
    let place = mask.affine.to_voxel(of.affine.to_mm(Voxel(voxel.map(f64::from))));
    is_set(mask, place)
}

/// Whether the voxel nearest to a place of the grid is set.
pub(crate) fn is_set(mask: &Mask, place: Voxel) -> bool {
    // Adding 0 turns −0 into 0.
    let [i, j, k] = place.0.map(|x| x.round() + 0.0);
    let order = |&[a, b, c]: &[u32; 3]| {
        f64::from(c).total_cmp(&k).then(f64::from(b).total_cmp(&j)).then(f64::from(a).total_cmp(&i))
    };
    mask.voxels.binary_search_by(order).is_ok()
}

/// Voxels of two masks on one grid; both are sorted by `(k, j, i)`.
pub(crate) fn shared_voxels(a: &Mask, b: &Mask) -> usize {
    let order = |&[i, j, k]: &[u32; 3]| (k, j, i);
    let (mut left, mut right) = (a.voxels.iter().peekable(), b.voxels.iter().peekable());
    let mut shared = 0;
    while let (Some(one), Some(other)) = (left.peek(), right.peek()) {
        match order(one).cmp(&order(other)) {
            std::cmp::Ordering::Less => _ = left.next(),
            std::cmp::Ordering::Greater => _ = right.next(),
            std::cmp::Ordering::Equal => {
                shared += 1;
                left.next();
                right.next();
            }
        }
    }
    shared
}

#[cfg(test)]
mod tests {
    use super::*;
    use mtids_domain::geometry::{Affine, PointMm};

    /// A cube of so many mm from a corner on, on a grid of this step.
    fn cube(from: f64, mm: f64, step: f64) -> Mask {
        let steps = [[step, 0.0, 0.0], [0.0, step, 0.0], [0.0, 0.0, step]];
        let affine = Affine::new(PointMm::new(from + step / 2.0, step / 2.0, step / 2.0), steps).unwrap();
        let n = (mm / step) as u32;
        let voxels = (0..n * n * n).map(|at| [at % n, at / n % n, at / (n * n)]).collect();
        Mask { affine, voxels }
    }

    #[test]
    fn drawings_of_one_node_share_much_of_the_smaller_on_whatever_grid() {
        let node = cube(0.0, 8.0, 1.0);
        for (other, is_one) in [
            (cube(0.0, 8.0, 0.5), true),
            (cube(2.0, 8.0, 0.5), true),
            (cube(2.0, 5.0, 1.0), true),
            (cube(7.0, 8.0, 1.0), false),
            (cube(8.0, 8.0, 1.0), false),
            // In it, and less than half as wide.
            (cube(2.0, 3.0, 1.0), false),
        ] {
            assert_eq!(are_one_node(&node, &other), is_one, "{other:?}");
            assert_eq!(are_one_node(&other, &node), is_one, "{other:?}");
        }
    }

    #[test]
    fn volumes_are_those_of_the_voxels() {
        assert!((volume_mm3(&cube(0.0, 8.0, 0.5)) - 512.0).abs() < 1e-9);
    }
}
