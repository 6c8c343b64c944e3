//! A smooth random field: the texture of lung and fat.
//!
//! Method: value noise, two octaves on a tiled lattice of random numbers. Invariant: mean 0 and deviation about 1; a function of the seed
//! and the place alone. Units: lattice steps in mm.

use mtids_runtime::random::rng_for;
use rand_distr::{Distribution, StandardNormal};

/// Side of the tile; a power of two, so that wrapping is a mask.
const SIDE: usize = 32;
/// Lattice steps of the octaves per mm: 7 and 2.6 mm.
const PER_MM: [f64; 2] = [1.0 / 7.0, 1.0 / 2.6];

/// The field.
#[derive(Debug)]
pub(crate) struct Texture {
    tile: Vec<f32>,
}

/// The field along one row: the lattice of each octave, already interpolated along y and z.
pub(crate) struct Row([[f32; SIDE]; 2]);

impl Texture {
    pub(crate) fn new(seed: u64, patient: u32) -> Self {
        let mut random = rng_for(seed, "phantom texture", &[u64::from(patient)]);
        Self { tile: (0..SIDE * SIDE * SIDE).map(|_| StandardNormal.sample(&mut random)).collect() }
    }

    /// The field at height `z` and depth `y`.
    pub(crate) fn row(&self, y: f64, z: f64) -> Row {
        Row(PER_MM.map(|scale| {
            let ((j0, j1, v), (k0, k1, w)) = (lattice(y * scale), lattice(z * scale));
            let corners =
                [(j0, k0, (1.0 - v) * (1.0 - w)), (j1, k0, v * (1.0 - w)), (j0, k1, (1.0 - v) * w), (j1, k1, v * w)];
            let mut row = [0.0; SIDE];
            for (j, k, weight) in corners {
                let line = &self.tile[(k * SIDE + j) * SIDE..][..SIDE];
                row.iter_mut().zip(line).for_each(|(sum, x)| *sum += weight * x);
            }
            row
        }))
    }
}

fn lattice(x: f64) -> (usize, usize, f32) {
    // A finite coordinate of a body, moved above 0 by whole tiles so that the cast rounds down.
    let x = x + (SIDE * 4096) as f64;
    let index = x as usize;
    (index % SIDE, (index + 1) % SIDE, (x - index as f64) as f32)
}

impl Row {
    #[inline]
    pub(crate) fn at(&self, x: f64) -> f32 {
        let mut sum = 0.0;
        for (row, scale) in self.0.iter().zip(PER_MM) {
            let (i0, i1, u) = lattice(x * scale);
            sum += row[i0] * (1.0 - u) + row[i1] * u;
        }
        // Interpolation between 8 corners leaves about 0.3 of the variance of each octave.
        1.3 * sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_has_mean_zero_and_unit_deviation() {
        let texture = Texture::new(1, 2);
        let (mut sum, mut squares, mut count) = (0.0, 0.0, 0.0);
        for k in 0..40 {
            for j in 0..40 {
                let row = texture.row(f64::from(j) * 1.7, f64::from(k) * 2.3);
                for i in 0..40 {
                    let value = f64::from(row.at(f64::from(i) * 1.9));
                    sum += value;
                    squares += value * value;
                    count += 1.0;
                }
            }
        }
        assert!((sum / count).abs() < 0.1, "{}", sum / count);
        assert!((0.8..1.2).contains(&(squares / count).sqrt()), "{}", (squares / count).sqrt());
    }
}
