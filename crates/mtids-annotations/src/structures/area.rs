//! The pixels that the contours of one region enclose on one plane.
//!
//! Rules: CLOSED_PLANAR contours are united; one that lies wholly inside another is a hole in it, one inside the hole an island, and so on.
//! Copies count once. CLOSEDPLANAR_XOR contours: inside is what an odd number of them enclose. Within one contour the even-odd rule holds, so
//! keyholes come out right. Pixels whose centre lies on a contour belong to it (programs that trace masks draw through the outermost
//! centres). A contour that encloses no pixel centre (one or two points, a line, a speck) is a tip: the pixels that its outline runs
//! through. Sources: PS3.3 C.8.8.6.3; medical-physics-usz/z-rad#181. Units: pixels, integers at centres.

use std::collections::BTreeSet;
use std::ops::Range;

use super::outline::{Curve, Nesting, ON_CURVE, bounds, crossings, distance_squared, edges, is_line, key, nesting};

/// Most steps of work for one region: a lung on 500 slices, drawn with 500 points each, needs a tenth.
const MAX_WORK: u64 = 1_000_000_000;

/// Steps that a pair of nested contours is counted as, since it is compared with all other pairs of its plane.
const NESTED_COST: u64 = 5_000;

/// Most pixels of all contours on one row of a plane: a thousand contours as wide as a CT have a hundredth.
const MAX_ROW: usize = 1 << 26;

/// What is left of the work that one region may take.
pub(super) struct Budget(u64);

impl Budget {
    pub(super) fn new() -> Self {
        Self(MAX_WORK)
    }

    /// # Errors
    /// A sentence where the work is used up.
    pub(super) fn take(&mut self, work: u64) -> Result<(), String> {
        self.0 = self.0.checked_sub(work).ok_or("more contour points over more pixels than a drawn structure has")?;
        Ok(())
    }
}

/// The contours of a region on one plane.
#[derive(Clone, Debug, Default)]
pub(super) struct Curves {
    /// CLOSED_PLANAR.
    pub(super) closed: Vec<Curve>,
    /// CLOSEDPLANAR_XOR.
    pub(super) xor: Vec<Curve>,
}

/// Pixels `[j, i]`, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Area {
    /// Enclosed pixels.
    pub(super) solid: Vec<[u32; 2]>,
    /// Pixels of tips that are not enclosed.
    pub(super) tips: Vec<[u32; 2]>,
}

impl Area {
    /// Sorts both, without repeats; tips that are enclosed are not tips.
    pub(super) fn tidy(&mut self) {
        for pixels in [&mut self.solid, &mut self.tips] {
            pixels.sort_unstable();
            pixels.dedup();
        }
        self.tips.retain(|pixel| self.solid.binary_search(pixel).is_err());
    }
}

/// The area on a plane of `columns` × `rows` pixels; what lies outside it is left out.
///
/// # Errors
/// A sentence where the work is used up.
pub(super) fn area(curves: &Curves, [columns, rows]: [usize; 2], budget: &mut Budget) -> Result<Area, String> {
    let tree = Tree::new(&curves.closed, budget)?;
    let all: Vec<&Curve> = tree.curves.iter().copied().chain(&curves.xor).collect();
    let boxes: Vec<_> = all.iter().map(|curve| bounds(curve)).collect();
    let lines: Vec<bool> = all.iter().map(|curve| is_line(curve)).collect();
    let lowest = boxes.iter().map(|(low, _)| low[1]).fold(f64::INFINITY, f64::min);
    let highest = boxes.iter().map(|(_, high)| high[1]).fold(f64::NEG_INFINITY, f64::max);
    let mut covered = vec![false; all.len()];
    let mut solid = Vec::new();
    for j in indices(lowest, highest, rows) {
        let y = j as f64;
        let mut strips: Vec<Option<Strip>> = Vec::with_capacity(all.len());
        let mut width = 0;
        for (n, curve) in all.iter().enumerate() {
            let (low, high) = boxes[n];
            budget.take(1)?;
            if lines[n] || y < low[1] - ON_CURVE || y > high[1] + ON_CURVE {
                strips.push(None);
                continue;
            }
            let columns = indices(low[0], high[0], columns);
            width += columns.len();
            budget.take((curve.len() + columns.len()) as u64)?;
            if width > MAX_ROW {
                return Err("more contours on one plane than a drawn structure has".into());
            }
            let strip = Strip::new(curve, y, columns);
            covered[n] |= strip.pixels.iter().any(|pixel| *pixel != Pixel::Outside);
            strips.push(Some(strip));
        }
        let (of_tree, of_xor) = strips.split_at(tree.curves.len());
        let mut row = tree.row(of_tree);
        row.extend(xor_row(of_xor));
        row.sort_unstable();
        row.dedup();
        solid.extend(row.into_iter().map(|i| [j as u32, i as u32]));
    }
    let mut tips = BTreeSet::new();
    for (n, curve) in all.iter().enumerate() {
        // A speck in another contour is a hole or a part of it, and adds nothing.
        if !covered[n] && tree.is_root.get(n).is_none_or(|root| *root) {
            trace(curve, [columns, rows], budget, &mut tips)?;
        }
    }
    tips.retain(|pixel| solid.binary_search(pixel).is_err());
    Ok(Area { solid, tips: tips.into_iter().collect() })
}

/// The pixels from `low` to `high` and one on each side, of an axis with `side` pixels.
fn indices(low: f64, high: f64, side: usize) -> Range<usize> {
    (low.ceil() - 1.0).max(0.0) as usize..((high.floor() + 2.0).max(0.0) as usize).min(side)
}

/// The columns of a row that an odd number of CLOSEDPLANAR_XOR contours enclose, or that lie on one.
fn xor_row(strips: &[Option<Strip>]) -> Vec<usize> {
    let mut odd = BTreeSet::new();
    for i in strips.iter().flatten().flat_map(|strip| strip.of(Pixel::Inside)) {
        if !odd.remove(&i) {
            odd.insert(i);
        }
    }
    odd.extend(strips.iter().flatten().flat_map(|strip| strip.of(Pixel::On)));
    odd.into_iter().collect()
}

/// The pixels that an outline runs through.
fn trace(
    curve: &[[f64; 2]],
    [columns, rows]: [usize; 2],
    budget: &mut Budget,
    pixels: &mut BTreeSet<[u32; 2]>,
) -> Result<(), String> {
    for [a, b] in edges(curve) {
        let longest = (b[0] - a[0]).abs().max((b[1] - a[1]).abs());
        let steps = (2.0 * longest).ceil().max(1.0);
        budget.take(steps as u64)?;
        for n in 0..=steps as u64 {
            let t = n as f64 / steps;
            let [i, j] = [0, 1].map(|axis| (a[axis] + t * (b[axis] - a[axis])).round() + 0.0);
            if (0.0..columns as f64).contains(&i) && (0.0..rows as f64).contains(&j) {
                pixels.insert([j as u32, i as u32]);
            }
        }
    }
    Ok(())
}

/// Where a pixel lies to one curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pixel {
    Outside,
    Inside,
    On,
}

/// The pixels of one row to one curve.
struct Strip {
    /// Column of the first.
    first: usize,
    pixels: Vec<Pixel>,
}

impl Strip {
    fn new(curve: &[[f64; 2]], y: f64, columns: Range<usize>) -> Self {
        let mut crossings = crossings(curve, y);
        crossings.sort_by(f64::total_cmp);
        let mut left = 0;
        let mut pixels: Vec<Pixel> = columns
            .clone()
            .map(|i| {
                while crossings.get(left).is_some_and(|x| *x <= i as f64) {
                    left += 1;
                }
                if (crossings.len() - left) % 2 == 1 { Pixel::Inside } else { Pixel::Outside }
            })
            .collect();
        for edge @ [a, b] in edges(curve) {
            if a[1].min(b[1]) > y + ON_CURVE || a[1].max(b[1]) < y - ON_CURVE {
                continue;
            }
            // The part of the edge that is near to the row.
            let slope = (b[0] - a[0]) / (b[1] - a[1]);
            let at = |height: f64| if slope.is_finite() { a[0] + slope * (height - a[1]) } else { a[0] };
            let (low, high) = (a[0].min(b[0]), a[0].max(b[0]));
            let ends = [at(y - ON_CURVE), at(y + ON_CURVE)].map(|x| x.clamp(low, high));
            let (low, high) =
                if slope.is_finite() { (ends[0].min(ends[1]), ends[0].max(ends[1])) } else { (low, high) };
            let from = ((low - ON_CURVE).ceil().max(0.0) as usize).max(columns.start);
            let to = ((high + ON_CURVE).floor() + 1.0).max(0.0) as usize;
            for i in from..to.min(columns.end) {
                if distance_squared([i as f64, y], edge) <= ON_CURVE * ON_CURVE {
                    pixels[i - columns.start] = Pixel::On;
                }
            }
        }
        Self { first: columns.start, pixels }
    }

    fn not_outside(&self) -> impl Iterator<Item = usize> {
        self.pixels.iter().enumerate().filter(|(_, pixel)| **pixel != Pixel::Outside).map(|(n, _)| self.first + n)
    }

    fn of(&self, kind: Pixel) -> impl Iterator<Item = usize> {
        self.pixels.iter().enumerate().filter(move |(_, pixel)| **pixel == kind).map(|(n, _)| self.first + n)
    }
}

/// CLOSED_PLANAR curves, copies left out, by what lies inside what.
struct Tree<'a> {
    curves: Vec<&'a Curve>,
    /// For each curve those that lie inside it with none between.
    holes: Vec<Vec<usize>>,
    is_root: Vec<bool>,
    /// Innermost first.
    order: Vec<usize>,
}

impl<'a> Tree<'a> {
    fn new(closed: &'a [Curve], budget: &mut Budget) -> Result<Self, String> {
        let mut keys = BTreeSet::new();
        let mut curves: Vec<&Curve> = Vec::new();
        for curve in closed {
            budget.take(curve.len() as u64)?;
            if keys.insert(key(curve)) || is_line(curve) {
                curves.push(curve);
            }
        }
        let boxes: Vec<_> = curves.iter().map(|curve| bounds(curve)).collect();
        let lines: Vec<bool> = curves.iter().map(|curve| is_line(curve)).collect();
        let mut around: Vec<Vec<u32>> = vec![Vec::new(); curves.len()];
        let mut copies = vec![false; curves.len()];
        budget.take((curves.len() as u64).saturating_mul(curves.len() as u64))?;
        for inner in 0..curves.len() {
            for outer in 0..curves.len() {
                let ((low, high), (inner_low, inner_high)) = (boxes[outer], boxes[inner]);
                let apart = (0..2).any(|n| inner_low[n] + ON_CURVE < low[n] || inner_high[n] - ON_CURVE > high[n]);
                if outer == inner || apart || lines[outer] || lines[inner] || copies[outer] {
                    continue;
                }
                budget.take(2 * curves[outer].len() as u64 * curves[inner].len() as u64)?;
                match nesting(curves[outer], curves[inner]) {
                    Nesting::Inside => {
                        budget.take(NESTED_COST)?;
                        around[inner].push(outer as u32);
                    }
                    Nesting::Copy => copies[inner] = true,
                    Nesting::Not => {}
                }
            }
        }
        Ok(Self::from_nested(curves, &around, &copies))
    }

    /// `around` holds for each curve those that it lies inside of; copies are left out.
    fn from_nested(all: Vec<&'a Curve>, around: &[Vec<u32>], copies: &[bool]) -> Self {
        let kept: Vec<usize> = (0..all.len()).filter(|&n| !copies[n]).collect();
        let mut place = vec![None; all.len()];
        kept.iter().enumerate().for_each(|(to, &from)| place[from] = Some(to));
        let around: Vec<Vec<usize>> =
            kept.iter().map(|&n| around[n].iter().filter_map(|&outer| place[outer as usize]).collect()).collect();
        let mut holes = vec![Vec::new(); kept.len()];
        for (inner, outers) in around.iter().enumerate() {
            for &outer in outers {
                let between = outers.iter().any(|&other| around[other].contains(&outer));
                if !between {
                    holes[outer].push(inner);
                }
            }
        }
        // What lies inside more curves comes first: whatever is inside a curve is inside all that are around it, too.
        let mut order: Vec<usize> = (0..kept.len()).collect();
        order.sort_by_key(|&n| (std::cmp::Reverse(around[n].len()), n));
        let is_root = around.iter().map(Vec::is_empty).collect();
        Self { curves: kept.into_iter().map(|n| all[n]).collect(), holes, is_root, order }
    }

    /// The enclosed columns of a row, in no order.
    fn row(&self, strips: &[Option<Strip>]) -> Vec<usize> {
        // For each curve what it encloses, ascending: as an area, and as a hole, to which its outline does not belong.
        let mut solid: Vec<Vec<usize>> = vec![Vec::new(); strips.len()];
        let mut hole: Vec<Vec<usize>> = vec![Vec::new(); strips.len()];
        for &n in &self.order {
            let Some(strip) = &strips[n] else { continue };
            let mut as_hole: Vec<usize> = strip.of(Pixel::Inside).collect();
            let mut as_solid: Vec<usize> = strip.not_outside().collect();
            for &inner in &self.holes[n] {
                as_solid.retain(|i| hole[inner].binary_search(i).is_err());
                as_hole.retain(|i| solid[inner].binary_search(i).is_err());
            }
            (solid[n], hole[n]) = (as_solid, as_hole);
        }
        solid.into_iter().zip(&self.is_root).filter(|(_, root)| **root).flat_map(|(solid, _)| solid).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square(low: f64, high: f64) -> Curve {
        vec![[low, low], [high, low], [high, high], [low, high]]
    }

    fn filled(closed: &[Curve], xor: &[Curve]) -> Area {
        let curves = Curves { closed: closed.to_vec(), xor: xor.to_vec() };
        area(&curves, [12, 12], &mut Budget::new()).unwrap()
    }

    fn count(closed: &[Curve], xor: &[Curve]) -> usize {
        filled(closed, xor).solid.len()
    }

    #[test]
    fn nested_contours_are_holes_and_islands() {
        let curves = [square(0.0, 10.0), square(2.5, 7.5), square(4.5, 5.5)];
        let solid = filled(&curves, &[]).solid;
        let holds = |i: u32, j: u32| solid.contains(&[j, i]);
        assert!(holds(0, 5) && holds(1, 5) && !holds(3, 5) && holds(5, 5) && !holds(11, 5));
        assert_eq!(solid.len(), 121 - 25 + 1);
        // The outline of a hole belongs to what is around it.
        assert_eq!(count(&[square(0.0, 10.0), square(3.0, 7.0)], &[]), 121 - 9);
    }

    #[test]
    fn copies_count_once_and_what_crosses_is_united() {
        assert_eq!(count(&[square(1.0, 4.0), square(1.0, 4.0)], &[]), 16);
        assert_eq!(count(&[square(1.0, 4.0), square(1.01, 3.99)], &[]), 16, "a copy with other rounding");
        assert_eq!(count(&[square(1.0, 4.0), square(3.0, 6.0)], &[]), 16 + 16 - 4);
        // A hole in one of two crossing contours is filled where the other one reaches.
        let bar = vec![[4.0, 5.0], [11.0, 5.0], [11.0, 5.0], [11.0, 6.0], [4.0, 6.0]];
        let ring = count(&[square(0.0, 10.0), square(2.5, 7.5)], &[]);
        assert_eq!(count(&[square(0.0, 10.0), square(2.5, 7.5), bar], &[]), ring + 2 + 8);
    }

    #[test]
    fn only_xor_contours_are_combined_by_xor() {
        assert_eq!(count(&[], &[square(0.5, 4.5), square(2.5, 6.5)]), 16 + 16 - 2 * 4);
        assert_eq!(count(&[], &[square(0.5, 4.5), square(0.5, 4.5)]), 0);
        assert_eq!(count(&[], &[square(0.0, 10.0), square(2.5, 7.5)]), 121 - 25);
    }

    #[test]
    fn a_keyhole_is_a_ring() {
        // Outer square, a bridge along y = 5.2 to the inner one, round it, and back over the same bridge.
        let ring = vec![
            [0.0, 5.2],
            [0.0, 0.0],
            [10.0, 0.0],
            [10.0, 10.0],
            [0.0, 10.0],
            [0.0, 5.2],
            [2.5, 5.2],
            [2.5, 7.5],
            [7.5, 7.5],
            [7.5, 2.5],
            [2.5, 2.5],
            [2.5, 5.2],
        ];
        assert_eq!(count(&[ring], &[]), 121 - 25);
    }

    #[test]
    fn points_lines_and_specks_are_tips() {
        let tips = |curve: Curve| filled(&[curve], &[]).tips;
        assert_eq!(tips(vec![[2.2, 3.0]]), [[3, 2]]);
        assert_eq!(tips(vec![[2.0, 3.0], [5.0, 3.0]]), [[3, 2], [3, 3], [3, 4], [3, 5]]);
        assert_eq!(tips(vec![[2.0, 3.0], [3.0, 3.0], [4.0, 3.0], [2.0, 3.0]]), [[3, 2], [3, 3], [3, 4]]);
        assert_eq!(tips(square(2.2, 2.4)), [[2, 2]]);
        // Within another contour they are not tips.
        let speck = filled(&[square(0.0, 10.0), square(2.2, 2.4), vec![[5.0, 5.0], [6.0, 5.0]]], &[]);
        assert_eq!((speck.solid.len(), speck.tips.len()), (121, 0));
    }

    #[test]
    fn hostile_numbers_of_contours_end_in_a_sentence() {
        let curves = Curves { closed: (0..3000).map(|n| square(0.0, 8.0 + f64::from(n))).collect(), xor: Vec::new() };
        assert!(area(&curves, [12, 12], &mut Budget::new()).unwrap_err().contains("drawn structure"));
    }
}
