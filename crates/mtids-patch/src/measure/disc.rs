//! Bright or soft discs on an axial plane: round cuts through vessels.
//!
//! Method: from a cell, rays run out until the tissue differs; a circle is fitted to their ends by least squares (Kåsa, IEEE Transactions on
//! Instrumentation and Measurement 25, 1976). Where most ends lie on it, it is a disc. Ends that do not are allowed, because an oesophagus of the
//! same HU may touch. Units: HU, mm in the plane.

/// Rays, every 15 degrees.
const RAYS: usize = 24;
/// Ends that must lie on the circle: 60 %.
const LEAST_ENDS: usize = 15;
/// An end lies on the circle within this distance, mm.
const OFF_MM: f64 = 2.2;
/// Radius of a disc, mm.
pub(super) const RADIUS_MM: std::ops::RangeInclusive<f64> = 8.0..=20.0;
/// Ends are looked for up to here, mm.
const FARTHEST_MM: f64 = 24.0;

/// An axial plane of cells.
#[derive(Clone, Copy)]
pub(super) struct Plane<'a> {
    pub(super) hu: &'a [i16],
    /// Cells along x and y.
    pub(super) size: [usize; 2],
    /// Size of a cell in mm.
    pub(super) cell_mm: [f64; 2],
}

/// A round homogeneous cut.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Disc {
    /// Middle along x and y in mm from the middle of cell (0, 0).
    pub(super) center: [f64; 2],
    pub(super) radius: f64,
    /// Median HU.
    pub(super) hu: f64,
    /// HU of its cells within 0.7 radii.
    pub(super) cells: Vec<i16>,
    /// Ends of rays on the circle, at most 24.
    pub(super) ends: usize,
}

impl Plane<'_> {
    /// HU of the cell at a place in mm.
    pub(super) fn at(&self, [x, y]: [f64; 2]) -> Option<i16> {
        let [column, row] = [x / self.cell_mm[0], y / self.cell_mm[1]].map(f64::round);
        let inside = column >= 0.0 && row >= 0.0 && column < self.size[0] as f64 && row < self.size[1] as f64;
        inside.then(|| self.hu[row as usize * self.size[0] + column as usize])
    }

    /// Cells whose middle lies within a ring around a place: offset from the place in mm, and HU.
    pub(super) fn ring(&self, center: [f64; 2], from: f64, to: f64) -> impl Iterator<Item = ([f64; 2], i16)> {
        // Casts saturate: below 0 is 0.
        let range = |axis: usize| {
            let (low, high) = ((center[axis] - to) / self.cell_mm[axis], (center[axis] + to) / self.cell_mm[axis]);
            low.ceil() as usize..((high.floor() + 1.0).max(0.0) as usize).min(self.size[axis])
        };
        let columns = range(0);
        range(1).flat_map(move |row| columns.clone().map(move |column| [column, row])).filter_map(
            move |[column, row]| {
                let offset = [column as f64 * self.cell_mm[0] - center[0], row as f64 * self.cell_mm[1] - center[1]];
                let distance = offset[0].hypot(offset[1]);
                (from <= distance && distance <= to).then(|| (offset, self.hu[row * self.size[0] + column]))
            },
        )
    }

    /// The disc around a place, where there is one.
    pub(super) fn disc(&self, around: [f64; 2]) -> Option<Disc> {
        let mut near: Vec<i16> = self.ring(around, 0.0, 4.0).map(|(_, hu)| hu).collect();
        let value = f64::from(lower_median(&mut near)?);
        // Blood without contrast agent has some 30 to 60 HU, with it up to 600.
        if !(15.0..=600.0).contains(&value) {
            return None;
        }
        let tolerance = (0.2 * value).max(28.0);
        let step = 0.5 * self.cell_mm[0].min(self.cell_mm[1]);
        let mut ends = Vec::with_capacity(RAYS);
        for ray in 0..RAYS {
            let (sin, cos) = (ray as f64 / RAYS as f64 * std::f64::consts::TAU).sin_cos();
            let mut away = step;
            while away <= FARTHEST_MM {
                let place = [around[0] + away * cos, around[1] + away * sin];
                let Some(hu) = self.at(place) else { break };
                if (f64::from(hu) - value).abs() > tolerance {
                    // The border lies between this step and the last one.
                    ends.push([place[0] - 0.5 * step * cos, place[1] - 0.5 * step * sin]);
                    break;
                }
                away += step;
            }
        }
        let (center, radius) = self.circle(ends)?;
        let mut cells: Vec<i16> = self.ring(center.0, 0.0, 0.7 * radius).map(|(_, hu)| hu).collect();
        let hu = f64::from(lower_median(&mut cells)?);
        let mean = cells.iter().map(|&hu| f64::from(hu)).sum::<f64>() / cells.len() as f64;
        let variance = cells.iter().map(|&hu| (f64::from(hu) - mean).powi(2)).sum::<f64>() / cells.len() as f64;
        let homogeneous = variance.sqrt() <= (0.08 * hu).max(14.0);
        homogeneous.then_some(Disc { center: center.0, radius, hu, cells, ends: center.1 })
    }

    /// The circle that most ends lie on, with their number.
    fn circle(&self, mut ends: Vec<[f64; 2]>) -> Option<(([f64; 2], usize), f64)> {
        // Fitted, freed of what lies off, and fitted again: an end that ran into a neighbour pulls the first circle outwards.
        let mut fit = None;
        for _ in 0..4 {
            if ends.len() < LEAST_ENDS {
                return None;
            }
            let (center, radius) = fitted_circle(&ends)?;
            let off = |end: &[f64; 2]| ((end[0] - center[0]).hypot(end[1] - center[1]) - radius).abs();
            let worst = ends.iter().map(off).fold(0.0, f64::max);
            if worst <= OFF_MM {
                fit = Some(((center, ends.len()), radius));
                break;
            }
            // The farther half of what lies off, so that the first fit does not decide.
            let limit = OFF_MM.max(0.5 * worst);
            ends.retain(|end| off(end) <= limit);
        }
        fit.filter(|(_, radius)| RADIUS_MM.contains(radius))
    }
}

/// The circle of least squared algebraic distance.
fn fitted_circle(ends: &[[f64; 2]]) -> Option<([f64; 2], f64)> {
    let count = ends.len() as f64;
    let mean: [f64; 2] = std::array::from_fn(|axis| ends.iter().map(|end| end[axis]).sum::<f64>() / count);
    let (mut uu, mut uv, mut vv, mut uq, mut vq) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for end in ends {
        let (u, v) = (end[0] - mean[0], end[1] - mean[1]);
        let square = u * u + v * v;
        uu += u * u;
        uv += u * v;
        vv += v * v;
        uq += 0.5 * u * square;
        vq += 0.5 * v * square;
    }
    let determinant = uu * vv - uv * uv;
    if determinant <= 1e-9 * (uu + vv) * (uu + vv) {
        return None;
    }
    let [u, v] = [(uq * vv - vq * uv) / determinant, (vq * uu - uq * uv) / determinant];
    Some(([mean[0] + u, mean[1] + v], (u * u + v * v + (uu + vv) / count).sqrt()))
}

/// The lower median.
pub(super) fn lower_median(values: &mut [i16]) -> Option<i16> {
    let middle = values.len().checked_sub(1)? / 2;
    Some(*values.select_nth_unstable(middle).1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plane(hu: impl Fn([f64; 2]) -> i16) -> Vec<i16> {
        (0..3600).map(|n| hu([(n % 60) as f64 * 2.0, (n / 60) as f64 * 2.0])).collect()
    }

    #[test]
    fn a_vessel_with_a_neighbour_of_its_hu_is_a_disc_and_a_square_or_a_stripe_is_none() {
        let size = [60, 60];
        let find = |hu: &[i16]| Plane { hu, size, cell_mm: [2.0; 2] }.disc([61.0, 58.0]);
        let vessel = plane(|[x, y]| match () {
            () if (x - 60.0).hypot(y - 60.0) < 13.0 => 45,
            () if (x - 42.0).hypot(y - 60.0) < 7.0 => 35,
            () => -100,
        });
        let disc = find(&vessel).unwrap();
        assert!((disc.center[0] - 60.0).abs() < 1.0 && (disc.center[1] - 60.0).abs() < 1.0, "{disc:?}");
        assert!((disc.radius - 13.0).abs() < 1.2 && disc.hu == 45.0, "{disc:?}");
        let stripe = plane(|[_, y]| if (y - 60.0).abs() < 12.0 { 45 } else { -100 });
        let square = plane(|[x, y]| if (x - 60.0).abs() < 26.0 && (y - 60.0).abs() < 14.0 { 45 } else { -100 });
        for other in [stripe, square, plane(|_| 45), plane(|_| -850)] {
            assert_eq!(find(&other), None);
        }
    }
}
