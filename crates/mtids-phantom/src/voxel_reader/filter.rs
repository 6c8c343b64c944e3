//! Filters on the reader's patch: correlation along an axis, gradient, erosion, dilation and connected parts.
//!
//! Conventions are those of `scipy.ndimage`, which the reader was first written with: borders of filters mirror the voxels with the edge
//! repeated, outside a mask is empty, neighbours share a face. Voxel order d h w, w fastest.

/// Sides (d, h, w) of the patch.
pub(super) const SIZE: [usize; 3] = [16, 48, 48];
/// Distance of neighbours along (z, y, x), mm.
pub(super) const SPACING_MM: [f64; 3] = [2.0, 1.0, 1.0];
/// Voxels of the patch.
pub(super) const LEN: usize = SIZE[0] * SIZE[1] * SIZE[2];
const STRIDES: [usize; 3] = [SIZE[1] * SIZE[2], SIZE[2], 1];

/// Index of a voxel along each axis.
pub(super) fn place(voxel: usize) -> [usize; 3] {
    [voxel / STRIDES[0], voxel / STRIDES[1] % SIZE[1], voxel % SIZE[2]]
}

/// `index + offset` along an axis of `length`, mirrored at the end that lies beyond by up to `length`.
fn mirrored(index: usize, offset: isize, length: usize) -> usize {
    match index.checked_add_signed(offset) {
        Some(inside) if inside < length => inside,
        Some(beyond) => 2 * length - 1 - beyond,
        None => offset.unsigned_abs() - index - 1,
    }
}

/// Correlates along an axis with a kernel of odd length. Sums are double, results single.
fn correlate(map: &[f32], axis: usize, kernel: &[f64]) -> Vec<f32> {
    let (length, stride) = (SIZE[axis], STRIDES[axis]);
    let reach = kernel.len() / 2;
    let mut out = Vec::with_capacity(LEN);
    let mut extended = Vec::with_capacity((length + 2 * reach) * stride);
    let mut sums = vec![0.0f64; length * stride];
    for block in map.chunks_exact(length * stride) {
        // With mirrored lines at both ends, every tap is one pass over the block.
        extended.clear();
        for n in 0..length + 2 * reach {
            let line = mirrored(0, n as isize - reach as isize, length) * stride;
            extended.extend(block[line..line + stride].iter().map(|&value| f64::from(value)));
        }
        sums.fill(0.0);
        for (tap, weight) in kernel.iter().enumerate() {
            let shifted = &extended[tap * stride..];
            sums.iter_mut().zip(shifted).for_each(|(sum, value)| *sum += weight * value);
        }
        out.extend(sums.iter().map(|&sum| sum as f32));
    }
    out
}

/// Gaussian filter; `sigma` in voxels along (d, h, w), cut at four deviations.
pub(super) fn gaussian(map: &[f32], sigma: [f64; 3]) -> Vec<f32> {
    let mut smooth = map.to_vec();
    for (axis, sigma) in sigma.into_iter().enumerate() {
        let reach = (4.0 * sigma + 0.5) as i32;
        let weights: Vec<f64> = (-reach..=reach).map(|x| (-0.5 * (f64::from(x) / sigma).powi(2)).exp()).collect();
        let total: f64 = weights.iter().sum();
        smooth = correlate(&smooth, axis, &weights.iter().map(|weight| weight / total).collect::<Vec<_>>());
    }
    smooth
}

/// Length of the Sobel gradient at a voxel, per voxel and not per mm.
pub(super) fn sobel(map: &[f32], voxel: usize) -> f64 {
    let at = place(voxel);
    let mut sums = [0.0; 3];
    for step in 0..27 {
        let offset = [step / 9, step / 3 % 3, step % 3].map(|n| n as isize - 1);
        let neighbour: usize = (0..3).map(|axis| mirrored(at[axis], offset[axis], SIZE[axis]) * STRIDES[axis]).sum();
        let value = f64::from(map[neighbour]);
        // The difference along an axis, smoothed by 1 2 1 along the two others.
        for (axis, sum) in sums.iter_mut().enumerate() {
            let smooth: isize = (0..3).filter(|&other| other != axis).map(|other| 2 - offset[other].abs()).product();
            *sum += (offset[axis] * smooth) as f64 * value;
        }
    }
    sums.iter().map(|sum| sum * sum).sum::<f64>().sqrt()
}

/// The up to six voxels that share a face with `voxel`.
fn neighbours(voxel: usize) -> impl Iterator<Item = usize> {
    let at = place(voxel);
    (0..3).flat_map(move |axis| {
        let below = (at[axis] > 0).then(|| voxel - STRIDES[axis]);
        let above = (at[axis] + 1 < SIZE[axis]).then(|| voxel + STRIDES[axis]);
        below.into_iter().chain(above)
    })
}

/// Voxels of a mask whose six neighbours belong to it.
pub(super) fn eroded(mask: &[bool]) -> Vec<bool> {
    let whole = |voxel: usize| neighbours(voxel).filter(|&next| mask[next]).count() == 6;
    (0..LEN).map(|voxel| mask[voxel] && whole(voxel)).collect()
}

/// Voxels of a mask and their neighbours.
pub(super) fn dilated(mask: &[bool]) -> Vec<bool> {
    let mut wider = mask.to_vec();
    for voxel in (0..LEN).filter(|&voxel| mask[voxel]) {
        neighbours(voxel).for_each(|next| wider[next] = true);
    }
    wider
}

/// The connected part of `mask` that holds the most of its voxels in `seed`; the first in voxel order among equals. None if no voxel of
/// the mask lies there.
pub(super) fn part_at(mask: &[bool], seed: impl Fn(usize) -> bool) -> Option<Vec<bool>> {
    let mut part_of = vec![0u32; LEN];
    let mut best: Option<(usize, u32)> = None;
    let mut open = Vec::new();
    let mut parts = 0;
    for first in 0..LEN {
        if !mask[first] || part_of[first] != 0 {
            continue;
        }
        parts += 1;
        part_of[first] = parts;
        open.push(first);
        let mut inside = 0;
        while let Some(voxel) = open.pop() {
            inside += usize::from(seed(voxel));
            for next in neighbours(voxel) {
                if mask[next] && part_of[next] == 0 {
                    part_of[next] = parts;
                    open.push(next);
                }
            }
        }
        if inside > 0 && best.is_none_or(|(most, _)| inside > most) {
            best = Some((inside, parts));
        }
    }
    best.map(|(_, part)| part_of.iter().map(|&other| other == part).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(inside: impl Fn([usize; 3]) -> bool) -> Vec<bool> {
        (0..LEN).map(|voxel| inside(place(voxel))).collect()
    }

    #[test]
    fn borders_are_mirrored_with_the_edge_repeated() {
        assert_eq!([-1, -2, -3].map(|offset| mirrored(0, offset, 5)), [0, 1, 2]);
        assert_eq!([1, 2, 3].map(|offset| mirrored(4, offset, 5)), [4, 3, 2]);
        let constant = vec![7.0; LEN];
        assert!(gaussian(&constant, [0.4, 0.8, 0.8]).iter().all(|x| (x - 7.0).abs() < 1e-5));
    }

    #[test]
    fn the_gradient_of_a_ramp_is_its_slope() {
        let ramp: Vec<f32> = (0..LEN).map(|voxel| 3.0 * place(voxel)[1] as f32).collect();
        // Sobel sums 16 differences over two voxels.
        assert_eq!(sobel(&ramp, 5 * STRIDES[0] + 9 * STRIDES[1] + 9), 3.0 * 2.0 * 16.0);
    }

    #[test]
    fn a_box_loses_its_faces_and_gains_a_layer() {
        let solid = mask(|[d, h, w]| (4..9).contains(&d) && (10..15).contains(&h) && (20..25).contains(&w));
        let count = |mask: &[bool]| mask.iter().filter(|&&inside| inside).count();
        assert_eq!((count(&solid), count(&eroded(&solid)), count(&dilated(&solid))), (125, 27, 125 + 6 * 25));
        let corner = mask(|at| at.iter().all(|&index| index < 2));
        assert_eq!(count(&eroded(&corner)), 0, "outside the patch is empty");
    }

    #[test]
    fn the_part_with_most_of_its_voxels_at_the_seed_is_taken() {
        let mut two = mask(|[d, h, w]| d == 8 && h == 24 && (20..23).contains(&w));
        let long = mask(|[d, h, w]| d == 8 && h == 26 && (0..40).contains(&w));
        two.iter_mut().zip(&long).for_each(|(a, b)| *a |= b);
        let near = |voxel: usize| (20..23).contains(&place(voxel)[2]) && place(voxel)[1] == 24;
        assert_eq!(part_at(&two, near).unwrap().iter().filter(|&&x| x).count(), 3);
        assert_eq!(part_at(&two, |_| true).unwrap(), long);
        assert!(part_at(&two, |_| false).is_none());
    }
}
