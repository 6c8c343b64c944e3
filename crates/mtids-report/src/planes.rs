//! A view of a stored row in three planes: axial, coronal and sagittal, through its centre.
//!
//! Units: the side of a plane is the longest side of the view; what the view does not reach is black. Sides are those of a radiologist: the
//! patient's right is on the left of axial and coronal planes, the front on the left of sagittal ones, the head is up.

use mtids_patch::{Channel, Planes, View};

use crate::grey::{OUTLINE, grey};
use crate::picture::Picture;

/// Pixels along a side of a plane.
const SIDE: usize = 96;
/// Stored value of a mask from which on a voxel is inside, thousandths.
const INSIDE: f64 = 500.0;

/// The three planes beside each other, with the outline of the mask where the view has one; `None` for a view without CT, or with fewer voxels than
/// its shape says.
pub fn three_planes(view: &View, voxels: &[i16]) -> Option<Picture> {
    let ct = channel(view, voxels, Channel::Ct)?;
    let pixels: Vec<(usize, usize, usize)> =
        (0..SIDE).flat_map(|y| (0..3 * SIDE).map(move |x| (x / SIDE, y, x % SIDE))).collect();
    let value = |voxels: &[i16], (plane, y, x): (usize, usize, usize)| sample(voxels, view, place(view, plane, y, x));
    let values: Vec<u8> = pixels.iter().map(|&pixel| value(ct, pixel).map_or(0, grey)).collect();
    let mut picture = Picture::grey(3 * SIDE, SIDE, &values);
    if let Some(mask) = channel(view, voxels, Channel::Mask) {
        let is_inside = |&pixel: &(usize, usize, usize)| value(mask, pixel).is_some_and(|share| share >= INSIDE);
        picture.outline(&pixels.iter().map(is_inside).collect::<Vec<bool>>(), OUTLINE);
    }
    Some(picture)
}

/// The longest side of a view, mm.
pub fn field_mm(view: &View) -> f64 {
    view.geometry.extent_mm().into_iter().fold(0.0, f64::max)
}

fn channel<'v>(view: &View, voxels: &'v [i16], wanted: Channel) -> Option<&'v [i16]> {
    let number = view.channels.iter().position(|&channel| channel == wanted)?;
    let len = view.geometry.len();
    voxels.get(number * len..(number + 1) * len)
}

/// Where a pixel of a plane lies in the view, as continuous indices (d, h, w).
fn place(view: &View, plane: usize, y: usize, x: usize) -> [f64; 3] {
    let geometry = &view.geometry;
    let mm = |pixel: usize| (pixel as f64 + 0.5 - SIDE as f64 / 2.0) * field_mm(view) / SIDE as f64;
    let along = |axis: usize, mm: f64| (geometry.size[axis] as f64 - 1.0) / 2.0 + mm / geometry.spacing_mm[axis];
    let (down, right) = (mm(y), mm(x));
    match (geometry.planes, plane) {
        // Stored as they are shown.
        (Planes::Orthogonal, plane) => [plane as f64, along(1, down), along(2, right)],
        (_, 0) => [along(0, 0.0), along(1, down), along(2, right)],
        (_, 1) => [along(0, -down), along(1, 0.0), along(2, right)],
        (_, _) => [along(0, -down), along(1, right), along(2, 0.0)],
    }
}

/// The value there, interpolated linearly; `None` beyond the voxels.
fn sample(voxels: &[i16], view: &View, at: [f64; 3]) -> Option<f64> {
    let size = view.geometry.size;
    let (mut low, mut share) = ([0usize; 3], [0.0; 3]);
    for axis in 0..3 {
        let last = size[axis].checked_sub(1)?;
        if !(-0.5..=last as f64 + 0.5).contains(&at[axis]) {
            return None;
        }
        let inside = at[axis].clamp(0.0, last as f64);
        low[axis] = inside.floor() as usize;
        share[axis] = inside - inside.floor();
    }
    let mut sum = 0.0;
    for corner in 0..8 {
        let (mut weight, mut index) = (1.0, 0);
        for axis in 0..3 {
            let step = (corner >> axis) & 1;
            weight *= if step == 1 { share[axis] } else { 1.0 - share[axis] };
            index = index * size[axis] + (low[axis] + step).min(size[axis] - 1);
        }
        sum += weight * f64::from(*voxels.get(index)?);
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mtids_patch::{PatchGeometry, ViewName};

    fn view(size: [usize; 3], spacing_mm: [f64; 3], planes: Planes, channels: Vec<Channel>) -> View {
        let geometry = PatchGeometry { size, spacing_mm, planes, ..PatchGeometry::default() };
        View { name: ViewName::try_from("near".to_owned()).unwrap(), geometry, channels }
    }

    fn bright(picture: &Picture, x: usize, y: usize) -> bool {
        picture.red(x, y) > 200
    }

    #[test]
    fn the_patients_left_is_on_the_right_and_the_head_is_up() {
        // Air of 48 mm with a bright block to the left and one to the head; slices of 2 mm.
        let view = view([24, 48, 48], [2.0, 1.0, 1.0], Planes::Volume, vec![Channel::Ct]);
        let voxel = |n: usize| {
            let [d, h, w] = [n / (48 * 48), n / 48 % 48, n % 48];
            let is_left = (38..44).contains(&w) && (20..28).contains(&h) && (10..14).contains(&d);
            let is_above = (19..22).contains(&d) && (20..28).contains(&h) && (20..28).contains(&w);
            if is_left || is_above { 300 } else { -1000 }
        };
        let voxels: Vec<i16> = (0..24 * 48 * 48).map(voxel).collect();
        let picture = three_planes(&view, &voxels).unwrap();
        // Half a millimetre a pixel: 17 mm are 34 pixels.
        assert!(bright(&picture, 48 + 34, 48) && !bright(&picture, 48 - 34, 48), "axial: left is on the right");
        assert!(bright(&picture, SIDE + 48 + 34, 48) && bright(&picture, SIDE + 48, 48 - 34), "coronal");
        assert!(bright(&picture, 2 * SIDE + 48, 48 - 34) && !bright(&picture, 2 * SIDE + 48, 48 + 34), "sagittal");
        assert!(three_planes(&view, &voxels[1..]).is_none(), "fewer voxels than the shape says");
    }

    #[test]
    fn orthogonal_planes_are_shown_as_they_are_stored() {
        let view = view([3, 48, 48], [1.0; 3], Planes::Orthogonal, vec![Channel::Ct]);
        // Plane n is bright in its rows 8 · (n + 1) and the next one only.
        let first = |plane: usize| 8 * (plane + 1);
        let voxel = |n: usize| {
            let (plane, row) = (n / (48 * 48), n / 48 % 48);
            if (first(plane)..first(plane) + 2).contains(&row) { 300 } else { -1000 }
        };
        let voxels: Vec<i16> = (0..3 * 48 * 48).map(voxel).collect();
        let picture = three_planes(&view, &voxels).unwrap();
        for plane in 0..3 {
            // Half a millimetre a pixel.
            let (x, y) = (plane * SIDE + 30, 2 * first(plane) + 1);
            assert!(bright(&picture, x, y) && !bright(&picture, x, y + 8) && !bright(&picture, x, y - 8), "{plane}");
        }
    }

    #[test]
    fn what_a_flat_view_does_not_reach_is_black_and_a_mask_is_outlined() {
        let view = view([4, 48, 48], [2.0, 1.0, 1.0], Planes::Volume, vec![Channel::Ct, Channel::Mask]);
        let len = view.geometry.len();
        let mask = |n: usize| if (18..30).contains(&(n / 48 % 48)) && (18..30).contains(&(n % 48)) { 1000 } else { 0 };
        let voxels: Vec<i16> = std::iter::repeat_n(240, len).chain((0..len).map(mask)).collect();
        let picture = three_planes(&view, &voxels).unwrap();
        assert!(bright(&picture, SIDE + 5, 48) && !bright(&picture, SIDE + 5, 5), "coronal: 8 mm of 48");
        let plain = three_planes(&View { channels: vec![Channel::Ct], ..view }, &voxels[..len]).unwrap();
        assert_ne!(picture, plain, "the outline is painted");
    }
}
