//! A node grown from a point: the tissue around the point that differs from fat, cut off from vessels and muscle that it touches.
//!
//! Method. The node's value is the median within 3 mm of the point, or within 2 mm of a small node. Where that is fat (a hilum) or calcium, the first shells of soft tissue
//! around give it, and what they enclose belongs to the node. Candidates lie above the middle of that value and fat, and below the middle
//! of it and the blood where that is brighter. What is noisy is smoothed first. The depth of a candidate is its distance to the nearest
//! voxel that is none. The deepest candidate near the point bears the node's largest ball; R is its radius. Tissue that hangs on the node
//! over a neck narrower than 0.65 R is cut off (opening with a ball of that radius), and so is what lies farther than 2.5 R from the deepest
//! place, or than 8 mm from that ball. Holes are filled at last.
//!
//! Invariants: a pure function of the tissue; the storage of the volume does not matter. Limits: against the heart or a vessel of the same
//! HU over a broad contact, the region ends at that reach only. Units: HU, mm.

use mtids_domain::geometry::PointMm;
use mtids_domain::volume::Volume;

use super::local::Local;
use super::morphology::{Box3, fill_holes, smooth, squared_depth};
use super::region::Region;

/// HU of fat around nodes.
const FAT_HU: f64 = -90.0;
/// Soft tissue: above what is mostly fat, below what is calcium or blood with contrast agent.
const SOFT_HU: (f64, f64) = (-30.0, 130.0);
/// A point in darker tissue lies in lung or air, not in a hilum.
const DARKEST_HILUM_HU: f64 = -150.0;
/// The node's value is taken within one of these distances of the point.
const SEED_MM: [f32; 2] = [2.0, 3.0];
/// Quantile of a normal law one deviation above its mean.
const UPPER_DEVIATION: f64 = 0.841;
/// A node may have a rim that is brighter than its middle; these shells are looked at.
const RIMS_MM: [[f32; 2]; 2] = [[3.0, 5.0], [5.0, 8.0]];
/// A vessel is told from a node by its HU where blood is at least this much brighter: less is within noise and texture.
const BRIGHTER_HU: f64 = 80.0;
/// The deepest place is looked for within this distance of the point.
const DEEPEST_WITHIN_MM: f64 = 4.0;
/// Largest radius of a hilum, or of calcium in the middle of a node.
const LARGEST_CORE_MM: f64 = 8.0;
/// Largest hole that is closed before necks are cut, and largest calcification: a ball of 10 mm.
const LARGEST_HOLE_MM3: f64 = 500.0;
/// Necks narrower than this share of the node's radius are cut.
const NECK: f64 = 0.65;
/// A node reaches at most this many radii from its deepest place, and from 4 to 8 mm beyond its largest ball.
const REACH: f64 = 2.5;
const BEYOND_MM: (f64, f64) = (4.0, 8.0);
/// Largest box: 0.35 mm voxels over 5 cm.
const MOST_VOXELS: usize = 4_000_000;

/// How a region is grown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GrowOptions {
    /// No voxel farther from the point belongs to the region, mm. Default 25.
    pub limit_mm: f64,
    /// HU of the blood in the aorta ([`super::aorta()`]), which bounds a node from a brighter vessel beside it.
    pub blood_hu: Option<f32>,
}

impl Default for GrowOptions {
    fn default() -> Self {
        Self { limit_mm: 25.0, blood_hu: None }
    }
}

/// The region of the node at a point.
///
/// `None` outside the volume, in fat, lung or air, and in tissue that no border bounds: where a ball of 0.8 of the limit fits in, as in the
/// heart.
pub fn grown(volume: &Volume, center: PointMm, options: &GrowOptions) -> Option<Region> {
    volume.affine().to_voxel(center).nearest(volume.dimensions())?;
    // Not a number is no limit either.
    if !(options.limit_mm > 0.0 && options.limit_mm.is_finite()) {
        return None;
    }
    let local = Local::around(volume.affine(), volume.dimensions(), center, options.limit_mm, MOST_VOXELS)?;
    let mut hu: Vec<f32> = local.values(volume).into_iter().map(f32::from).collect();
    let away = local.squared_distances([0.0; 3]);
    let seed = Seed::of(&hu, &away, &local)?;
    // The noisier, the smoother, up to 0.8 mm at 25 HU.
    let sigma = 0.8 * ((seed.deviation - 5.0) / 20.0).clamp(0.0, 1.0);
    smooth(&mut hu, local.size, local.spacing, sigma);

    let limit = (options.limit_mm * options.limit_mm) as f32;
    let (low, high) = seed.bounds(options.blood_hu.map(f64::from));
    let inside = |n: usize| away[n] <= limit;
    let core = (seed.core_mm * seed.core_mm) as f32;
    let mut candidates: Vec<bool> = (0..hu.len())
        .map(|n| {
            let value = f64::from(hu[n]);
            inside(n) && (low < value && value < high || away[n] <= core)
        })
        .collect();
    let most = (LARGEST_HOLE_MM3 / volume.affine().voxel_volume()) as usize;
    let bright = (0..hu.len()).map(|n| inside(n) && !candidates[n] && f64::from(hu[n]) >= high).collect();
    add_enclosed(&mut candidates, &local, most, bright, inside);
    cut_necks(volume, &candidates, &local, &away, options.limit_mm)
}

/// What the tissue at the point is.
struct Seed {
    /// HU of the node.
    value: f64,
    /// HU of its brightest shell: the rim around a dark core.
    brightest: f64,
    /// Robust deviation of HU around the point.
    deviation: f64,
    /// Radius of a hilum or calcification at the point, which belongs to the node; 0 where it is soft tissue.
    core_mm: f64,
}

impl Seed {
    fn of(hu: &[f32], away: &[f32], local: &Local) -> Option<Self> {
        let nearest = away.iter().copied().fold(f32::INFINITY, f32::min);
        let median_within = |reach_mm: f32| {
            // On a coarse grid at least the nearest voxel.
            let reach = nearest.max(reach_mm * reach_mm);
            let mut near: Vec<f32> = (0..hu.len()).filter(|&n| away[n] <= reach).map(|n| hu[n]).collect();
            let value = quantile(&mut near, 0.5)?;
            // Above the median only: what is darker may be the margin, which is no noise.
            Some((value, f64::from(quantile(&mut near, UPPER_DEVIATION)? - value)))
        };
        let [small, large] = [median_within(SEED_MM[0])?, median_within(SEED_MM[1])?];
        // The larger ball is surer; of a small node it holds the margin too, which is darker.
        let is_small = is_soft(small.0) && (small.0 > large.0 || !is_soft(large.0));
        let (value, deviation) = if is_small { small } else { large };
        let value = f64::from(value);
        if value < DARKEST_HILUM_HU {
            return None;
        }
        let soft = Self { value, brightest: value, deviation, core_mm: 0.0 };
        if value < SOFT_HU.0 {
            return soft.in_shell(hu, away, local);
        }
        if value > SOFT_HU.1 {
            // Calcium in soft tissue, or else a bright node as a whole.
            return Some(soft.in_shell(hu, away, local).unwrap_or(soft));
        }
        let rim = |from: f32, to: f32| {
            let shell = (0..hu.len()).filter(|&n| from * from <= away[n] && away[n] < to * to).map(|n| hu[n]);
            let (mut rim, others): (Vec<f32>, Vec<f32>) = shell.partition(|&hu| is_soft(hu));
            (rim.len() > others.len()).then(|| quantile(&mut rim, 0.5)).flatten()
        };
        let rims = RIMS_MM.into_iter().filter_map(|[from, to]| rim(from, to)).map(f64::from);
        Some(Self { brightest: rims.fold(value, f64::max), ..soft })
    }

    /// The soft tissue around a hilum or calcification: the first two neighbouring shells that are soft to one half or more.
    fn in_shell(&self, hu: &[f32], away: &[f32], local: &Local) -> Option<Self> {
        let thickness = local.spacing[0].max(local.spacing[1]).max(1.0);
        let shells = (LARGEST_CORE_MM / thickness) as usize + 2;
        let mut values: Vec<Vec<f32>> = vec![Vec::new(); shells];
        let mut counts = vec![0usize; shells];
        for (&hu, away) in hu.iter().zip(away) {
            let shell = (f64::from(away.sqrt()) / thickness) as usize;
            if shell < shells {
                counts[shell] += 1;
                if is_soft(hu) {
                    values[shell].push(hu);
                }
            }
        }
        let mostly_soft = |shell: usize| counts[shell] > 0 && 2 * values[shell].len() >= counts[shell];
        let first = (0..shells - 1).find(|&shell| mostly_soft(shell) && mostly_soft(shell + 1))?;
        let mut soft = [values[first].as_slice(), values[first + 1].as_slice()].concat();
        let value = f64::from(quantile(&mut soft, 0.5)?);
        Some(Self { value, brightest: value, deviation: self.deviation, core_mm: (first + 1) as f64 * thickness })
    }

    /// Between these HU lies the node.
    fn bounds(&self, blood: Option<f64>) -> (f64, f64) {
        let low = 0.5 * (self.value + FAT_HU);
        if self.value > SOFT_HU.1 {
            return (low, f64::INFINITY);
        }
        let wide = (self.brightest + 90.0).max(160.0);
        // Where blood is much brighter, the border to a vessel is in the middle.
        let high = blood
            .filter(|blood| *blood >= self.brightest + BRIGHTER_HU)
            .map_or(wide, |blood| 0.5 * (self.brightest + blood));
        (low, high.min(wide))
    }
}

/// Soft tissue without much contrast agent.
fn is_soft(hu: f32) -> bool {
    SOFT_HU.0 < f64::from(hu) && f64::from(hu) <= SOFT_HU.1
}

/// The value below which a share of the values lies, of two neighbours the lower one.
fn quantile(values: &mut [f32], share: f64) -> Option<f32> {
    let at = (share * values.len().checked_sub(1)? as f64) as usize;
    Some(*values.select_nth_unstable_by(at, f32::total_cmp).1)
}

/// Adds what the candidates enclose, and bright specks (calcifications), each of up to `most` voxels.
fn add_enclosed(
    candidates: &mut [bool],
    local: &Local,
    most: usize,
    bright: Vec<bool>,
    inside: impl Fn(usize) -> bool,
) {
    let space = Box3::new(local.size);
    let border = (0..candidates.len()).filter(|&n| !inside(n) || space.is_border(n, 3));
    let outside = space.flood(border, |n| !candidates[n]);
    let enclosed: Vec<bool> = candidates.iter().zip(&outside).map(|(set, outside)| !set && !outside).collect();
    let holes = space.parts(&enclosed).into_iter().chain(space.parts(&bright));
    for part in holes.filter(|part| part.len() <= most) {
        part.into_iter().for_each(|n| candidates[n] = true);
    }
}

/// The region of the candidates that belong to the node at the point, with its holes filled.
fn cut_necks(volume: &Volume, candidates: &[bool], local: &Local, away: &[f32], limit_mm: f64) -> Option<Region> {
    let spacing = local.spacing;
    let depth: Vec<f32> = squared_depth(candidates, local.size, spacing);
    let longest = spacing.iter().copied().fold(0.0, f64::max);
    let near = DEEPEST_WITHIN_MM.max(longest);
    // A deeper place counts for more, a nearer one too: a vessel beside a small node is not it.
    let rank = |n: usize| f64::from(depth[n]).sqrt() - 0.5 * f64::from(away[n]).sqrt();
    let deepest = (0..depth.len())
        .filter(|&n| candidates[n] && f64::from(away[n]) <= near * near)
        .reduce(|best, n| if rank(n) > rank(best) + 1e-6 { n } else { best })?;
    let radius = f64::from(depth[deepest]).sqrt();
    if radius >= 0.8 * limit_mm {
        return None;
    }
    let reach = (REACH * radius).clamp(radius + BEYOND_MM.0, radius + BEYOND_MM.1);
    let from = local.offset(deepest);
    let (part, numbers) = local.part(from, reach);
    let start = numbers.iter().position(|&n| n == deepest)?;
    let in_reach: Vec<bool> = part
        .squared_distances(from)
        .into_iter()
        .zip(&numbers)
        .map(|(squared, &n)| candidates[n] && f64::from(squared) <= reach * reach)
        .collect();
    let space = Box3::new(part.size);
    let neck = NECK * radius;
    let least = (neck * neck - 1e-6) as f32;
    let core = space.flood([start], |n| in_reach[n] && depth[numbers[n]] >= least);
    let apart: Vec<bool> = core.iter().map(|core| !core).collect();
    // A fifth more, so that the tips of a long node stay; half a voxel, because the depth ends at the centre of the next voxel and not at
    // the border; between thick slices a whole step.
    let back = (1.2 * neck + 0.5 * (spacing[0] * spacing[1] * spacing[2]).cbrt()).max(longest).powi(2);
    let reopened = squared_depth(&apart, part.size, spacing);
    let mut chosen = space.flood([start], |n| in_reach[n] && f64::from(reopened[n]) <= back + 1e-6);
    fill_holes(&mut chosen, part.size);
    Region::new(volume, (0..chosen.len()).filter(|&n| chosen[n]).map(|n| part.index(n)))
}
