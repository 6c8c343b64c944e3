//! Blood of the descending aorta: its HU tell how much contrast agent a scan has.
//!
//! Method. The volume is averaged to cells of about 2 × 2 × 4 mm. On each axial plane, homogeneous discs of 16 to 40 mm diameter are looked
//! for on the left of the body's midline in its back half, with bone behind or on their right (the spine) and lung on their left. Discs of
//! neighbouring planes that lie over one another, of like HU and size, are a chain. The best chain of at least 3 cm is the aorta; the result
//! is the median of its cells. Invariants: a pure function of the tissue, whatever the storage; a wrong figure is worse than none, so `None`
//! where the chain is short, its HU are not those of blood, or the sides of the body are unknown. Limits: an aorta on the right (situs
//! inversus), a dissection, and a field of view without lung give `None`. Units: HU, mm.

use mtids_domain::volume::Volume;

use super::coarse::Coarse;
use super::disc::{Disc, Plane, lower_median};
use crate::body::body_of;

/// Cells along x, y, z, mm.
const CELL_MM: [f64; 3] = [2.0, 2.0, 4.0];
/// Cells larger than this show no aorta, mm.
const COARSEST_MM: [f64; 3] = [3.5, 3.5, 10.0];
/// Where its middle may lie: left of the midline in mm, and behind the front of the body as a share of its depth.
const LEFT_MM: (f64, f64) = (4.0, 65.0);
const BEHIND: (f64, f64) = (0.4, 0.85);
/// Bone above, lung below.
const BONE_HU: i16 = 110;
const LUNG_HU: i16 = -500;
/// Bone within 2 cm behind or on the right: 150 mm². Lung within 12 mm on the left: a sixth of the half ring.
const LEAST_BONE_MM2: f64 = 150.0;
const LEAST_LUNG: f64 = 1.0 / 6.0;
/// Discs kept on a plane; two of them lie at least this far apart, mm.
const MOST_DISCS: usize = 6;
const APART_MM: f64 = 6.0;
/// A disc lies over one of the plane below: moved, in mm for each mm of height and at least; another radius, mm; another HU.
const SLOPE: f64 = 0.8;
const MOVED_MM: f64 = 3.0;
const RADIUS_MM: f64 = 4.0;
const HU: f64 = 20.0;
/// Planes that a chain may leap.
const LEAP: usize = 2;
/// Least length of a chain, mm.
const LEAST_LENGTH_MM: f64 = 30.0;
/// Most cells of all planes: a square metre of the coarsest cells over two metres has a quarter.
const MOST_CELLS: usize = 64_000_000;

/// Median HU of the blood in the descending aorta, or `None` where no credible one is found. Once a series: it reads the whole volume.
pub fn aorta(volume: &Volume) -> Option<f32> {
    let spacing = volume.affine().spacing();
    if spacing.iter().any(|step| *step > COARSEST_MM[2]) {
        return None;
    }
    let coarse = Coarse::of(volume, CELL_MM);
    if (0..3).any(|way| coarse.cell_mm[way] > COARSEST_MM[way]) || coarse.hu.len() > MOST_CELLS {
        return None;
    }
    let planes: Vec<Vec<Disc>> = (0..coarse.size[2]).map(|z| discs(&coarse, z)).collect();
    let chain = longest_chain(&planes, coarse.cell_mm[2]);
    let height = chain.first().zip(chain.last()).map_or(0, |(first, last)| first.0.abs_diff(last.0) + 1);
    if (height as f64) * coarse.cell_mm[2] < LEAST_LENGTH_MM {
        return None;
    }
    let mut cells: Vec<i16> = chain.iter().flat_map(|&(z, n)| planes[z][n].cells.iter().copied()).collect();
    lower_median(&mut cells).map(f32::from)
}

/// Discs of a plane that may be the descending aorta, the best first.
fn discs(coarse: &Coarse, z: usize) -> Vec<Disc> {
    let [columns, rows, _] = coarse.size;
    let hu = coarse.plane(z);
    let plane = Plane { hu, size: [columns, rows], cell_mm: [coarse.cell_mm[0], coarse.cell_mm[1]] };
    let body = body_of(hu, columns, rows);
    let cells = || body.iter().enumerate().filter(|(_, body)| **body).map(|(n, _)| n);
    let count = cells().count();
    if count == 0 {
        return Vec::new();
    }
    let midline = cells().map(|n| (n % columns) as f64).sum::<f64>() / count as f64 * plane.cell_mm[0];
    let row_of = |n: Option<usize>| n.map_or(0.0, |n| (n / columns) as f64 * plane.cell_mm[1]);
    let (front, back) = (row_of(cells().next()), row_of(cells().next_back()));
    let place = |n: usize| [(n % columns) as f64 * plane.cell_mm[0], (n / columns) as f64 * plane.cell_mm[1]];
    let in_window = |[x, y]: [f64; 2]| {
        let (left, behind) = (x - midline, (y - front) / (back - front).max(1.0));
        (LEFT_MM.0..=LEFT_MM.1).contains(&left) && (BEHIND.0..=BEHIND.1).contains(&behind)
    };
    // Every second cell along both axes: a disc is found from any place well inside it.
    let mut found: Vec<Disc> = cells()
        .filter(|n| (n % columns) % 2 == 0 && (n / columns) % 2 == 0)
        .map(place)
        .filter(|place| in_window(*place))
        .filter_map(|place| plane.disc(place))
        .filter(|disc| in_window(disc.center) && is_beside_spine_and_lung(plane, disc))
        .collect();
    // A stable sort: of equal ones the first in the order of rows.
    found.sort_by(|a, b| b.ends.cmp(&a.ends).then(b.radius.total_cmp(&a.radius)));
    let mut kept: Vec<Disc> = Vec::new();
    for disc in found {
        let apart = |other: &Disc| distance(disc.center, other.center) >= APART_MM;
        if kept.len() < MOST_DISCS && kept.iter().all(apart) {
            kept.push(disc);
        }
    }
    kept
}

/// Whether bone lies behind or on the right of a disc, and lung on its left.
fn is_beside_spine_and_lung(plane: Plane<'_>, disc: &Disc) -> bool {
    let cell = plane.cell_mm[0] * plane.cell_mm[1];
    let medial = |[x, y]: [f64; 2]| x < 0.0 && y > -0.5 * disc.radius || y > 0.0 && x < 0.5 * disc.radius;
    let bone = plane
        .ring(disc.center, disc.radius + 1.0, disc.radius + 20.0)
        .filter(|(offset, hu)| medial(*offset) && *hu > BONE_HU)
        .count();
    let (mut lung, mut left) = (0usize, 0usize);
    for (_, hu) in plane.ring(disc.center, disc.radius, disc.radius + 12.0).filter(|([x, _], _)| *x > 0.0) {
        left += 1;
        lung += usize::from(hu < LUNG_HU);
    }
    bone as f64 * cell >= LEAST_BONE_MM2 && lung as f64 >= LEAST_LUNG * left as f64
}

fn distance(a: [f64; 2], b: [f64; 2]) -> f64 {
    (a[0] - b[0]).hypot(a[1] - b[1])
}

/// The number of a disc: plane, and place in the list of the plane.
type DiscNumber = (usize, usize);

/// The chain of discs with the most ends of rays on their circles, upwards: plane and number of each.
fn longest_chain(planes: &[Vec<Disc>], step_mm: f64) -> Vec<DiscNumber> {
    // For each disc the best sum of a chain that ends with it, and the disc before.
    let mut best: Vec<Vec<(usize, Option<DiscNumber>)>> = Vec::with_capacity(planes.len());
    for (z, discs) in planes.iter().enumerate() {
        let mut here = Vec::with_capacity(discs.len());
        for disc in discs {
            let mut chosen = (disc.ends, None);
            for below in z.saturating_sub(LEAP)..z {
                let most = (SLOPE * step_mm * (z - below) as f64).max(MOVED_MM);
                for (n, other) in planes[below].iter().enumerate() {
                    let fits = distance(disc.center, other.center) <= most
                        && (disc.radius - other.radius).abs() <= RADIUS_MM
                        && (disc.hu - other.hu).abs() <= HU.max(0.08 * disc.hu);
                    let sum = best[below][n].0 + disc.ends;
                    if fits && sum > chosen.0 {
                        chosen = (sum, Some((below, n)));
                    }
                }
            }
            here.push(chosen);
        }
        best.push(here);
    }
    let all = best.iter().enumerate().flat_map(|(z, here)| (0..here.len()).map(move |n| (z, n)));
    let last = all.reduce(|a, b| if best[b.0][b.1].0 > best[a.0][a.1].0 { b } else { a });
    let mut chain: Vec<DiscNumber> = std::iter::successors(last, |&(z, n)| best[z][n].1).collect();
    chain.reverse();
    chain
}
