//! The symmetries of a view: flips along d, h and w, and the exchange of h and w.
//!
//! The sixteen of them form a group. A node's status does not depend on how it is turned, its region does (4R would become 4L), so only views
//! that tell what a node is may be turned. Invariant: voxels are moved, none is changed.

/// One symmetry: first rows and columns are exchanged where asked for, then axes are flipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Symmetry {
    /// Flips along (d, h, w).
    pub flips: [bool; 3],
    /// Whether h and w are exchanged before.
    pub transposes: bool,
}

impl Symmetry {
    /// Number of symmetries; the first half are flips alone.
    pub const COUNT: usize = 16;

    /// How many an evaluation may average over.
    pub const AVERAGED: [usize; 4] = [1, 4, 8, 16];

    /// The symmetry of a number below [`Symmetry::COUNT`]: bit 0 flips w, bit 1 h, bit 2 d, bit 3 exchanges h and w.
    pub fn numbered(number: usize) -> Self {
        let bit = |n: usize| number >> n & 1 == 1;
        Self { flips: [bit(2), bit(1), bit(0)], transposes: bit(3) }
    }

    /// The symmetries over which an evaluation averages: 1 is the identity alone, 4 adds one flip along each axis, 8 are all flips, and 16
    /// all.
    pub fn averaged(count: usize) -> Vec<Self> {
        match count {
            4 => [0, 1, 2, 4].map(Self::numbered).to_vec(),
            count => (0..count.min(Self::COUNT)).map(Self::numbered).collect(),
        }
    }

    /// The symmetry that undoes this one.
    pub fn inverse(self) -> Self {
        let [d, h, w] = self.flips;
        if self.transposes { Self { flips: [d, w, h], ..self } } else { self }
    }

    /// This one after `first`.
    pub fn after(self, first: Self) -> Self {
        let [d, h, w] = first.flips;
        let moved = if self.transposes { [d, w, h] } else { [d, h, w] };
        Self {
            flips: std::array::from_fn(|axis| self.flips[axis] ^ moved[axis]),
            transposes: self.transposes ^ first.transposes,
        }
    }

    /// Appends the turned voxels of one channel of `size` (d, h, w) to `out`. Where h and w are exchanged, they are equally long.
    pub fn append(self, voxels: &[i16], size: [usize; 3], out: &mut Vec<i16>) {
        let [depth, height, width] = size;
        let along = |axis: usize, n: usize| if self.flips[axis] { size[axis] - 1 - n } else { n };
        for d in 0..depth {
            let plane = &voxels[along(0, d) * height * width..][..height * width];
            for h in 0..height {
                let from = along(1, h);
                if self.transposes {
                    out.extend((0..width).map(|w| plane[along(2, w) * width + from]));
                } else {
                    let row = &plane[from * width..][..width];
                    if self.flips[2] { out.extend(row.iter().rev()) } else { out.extend_from_slice(row) }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn turned(symmetry: Symmetry, voxels: &[i16], size: [usize; 3]) -> Vec<i16> {
        let mut out = Vec::new();
        symmetry.append(voxels, size, &mut out);
        out
    }

    proptest! {
        #[test]
        fn symmetries_form_a_group(
            a in 0..Symmetry::COUNT, b in 0..Symmetry::COUNT, depth in 1..4_usize, side in 1..5_usize,
        ) {
            let (a, b, size) = (Symmetry::numbered(a), Symmetry::numbered(b), [depth, side, side]);
            let voxels: Vec<i16> = (0..(depth * side * side) as i16).collect();
            prop_assert_eq!(turned(a.inverse(), &turned(a, &voxels, size), size), voxels.clone());
            prop_assert_eq!(turned(b.after(a), &voxels, size), turned(b, &turned(a, &voxels, size), size));
            prop_assert_eq!(a.inverse().after(a), Symmetry::default());
        }
    }

    #[test]
    fn all_sixteen_differ_and_mean_what_they_say() {
        let size = [2, 3, 3];
        let voxels: Vec<i16> = (0..18).collect();
        let images: std::collections::BTreeSet<Vec<i16>> =
            (0..Symmetry::COUNT).map(|n| turned(Symmetry::numbered(n), &voxels, size)).collect();
        assert_eq!(images.len(), Symmetry::COUNT);
        assert_eq!(turned(Symmetry::numbered(1), &voxels, size)[..3], [2, 1, 0]);
        assert_eq!(turned(Symmetry::numbered(2), &voxels, size)[..3], [6, 7, 8]);
        assert_eq!(turned(Symmetry::numbered(4), &voxels, size)[..3], [9, 10, 11]);
        assert_eq!(turned(Symmetry::numbered(8), &voxels, size)[..3], [0, 3, 6]);
        // Flips need no equal sides.
        assert_eq!(turned(Symmetry::numbered(3), &[1, 2, 3, 4, 5, 6], [1, 2, 3]), [6, 5, 4, 3, 2, 1]);
    }

    #[test]
    fn an_evaluation_begins_with_the_identity() {
        for count in Symmetry::AVERAGED {
            let averaged = Symmetry::averaged(count);
            assert_eq!((averaged.len(), averaged[0]), (count, Symmetry::default()));
        }
        assert!(Symmetry::averaged(4)[1..].iter().all(|turn| turn.flips.iter().filter(|&&flip| flip).count() == 1));
        assert!(Symmetry::averaged(8).iter().all(|turn| !turn.transposes));
    }
}
