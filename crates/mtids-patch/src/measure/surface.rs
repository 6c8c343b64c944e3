//! The surface of a region as a mesh: its area, and the volume inside (IBSI C0JK and RNU0).
//!
//! Method: marching cubes at the half level between set and unset voxels, so that every vertex is the middle of an edge between voxel
//! centres. The polygons of each of the 256 cubes are traced around its faces instead of being read from a table; where the diagonal
//! corners of a face are set, they are kept apart. A polygon is cut into triangles around its first vertex. Volume by the divergence theorem. Invariant: the mesh is
//! closed. Units: mm.

use mtids_domain::geometry::{cross, dot, norm, subtract};

/// Area in mm² and enclosed volume in mm³ of a closed mesh.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Surface {
    pub(super) area: f64,
    pub(super) volume: f64,
}

impl Surface {
    /// Area over that of a ball of the same volume: the inverse of sphericity (IBSI QCFX); `None` for an empty mesh.
    pub(super) fn roughness(self) -> Option<f64> {
        let ball = (36.0 * std::f64::consts::PI * self.volume * self.volume).cbrt();
        (self.volume > 0.0).then(|| self.area / ball)
    }

    /// The surface of set voxels; steps in mm along the axes, axis 0 fastest. What lies outside the box is not set.
    pub(super) fn of(set: &[bool], size: [usize; 3], steps: [[f64; 3]; 3]) -> Self {
        let mut cubes: Vec<Option<Cube>> = vec![None; 256];
        let at = |place: [usize; 3]| {
            // Places are moved by one, so that cubes reach over the border of the box.
            (0..3).all(|axis| (1..=size[axis]).contains(&place[axis]))
                && set[((place[2] - 1) * size[1] + place[1] - 1) * size[0] + place[0] - 1]
        };
        let (mut area, mut volume) = (0.0, 0.0);
        for z in 0..=size[2] {
            for y in 0..=size[1] {
                for x in 0..=size[0] {
                    let corners = (0..8usize)
                        .map(|corner| {
                            usize::from(at([x + (corner & 1), y + (corner >> 1 & 1), z + (corner >> 2)])) << corner
                        })
                        .sum::<usize>();
                    if corners == 0 || corners == 255 {
                        continue;
                    }
                    let cube = cubes[corners].get_or_insert_with(|| Cube::of(corners, steps));
                    let place = [x, y, z];
                    let origin: [f64; 3] =
                        std::array::from_fn(|way| (0..3).map(|axis| steps[axis][way] * place[axis] as f64).sum());
                    area += cube.area;
                    volume += cube.volume + dot(origin, cube.normal) / 3.0;
                }
            }
        }
        Self { area, volume: volume.abs() }
    }
}

/// What the triangles of one cube add, relative to its corner 0.
#[derive(Clone, Copy, Debug, Default)]
struct Cube {
    area: f64,
    /// Sum of half the cross products: area times direction.
    normal: [f64; 3],
    volume: f64,
}

/// Corners of the faces of a cube, in the order around each, seen from outside counter-clockwise. Bits of a corner: x, y, z.
const FACES: [[usize; 4]; 6] = [[0, 4, 6, 2], [1, 3, 7, 5], [0, 1, 5, 4], [2, 6, 7, 3], [0, 2, 3, 1], [4, 5, 7, 6]];

impl Cube {
    fn of(corners: usize, steps: [[f64; 3]; 3]) -> Self {
        let is_set = |corner: usize| corners >> corner & 1 == 1;
        // Edges between corners, each with the next one of its polygon.
        let mut next: Vec<((usize, usize), (usize, usize))> = Vec::new();
        for face in FACES {
            // Walking around a face, the line of the surface leaves where set becomes unset and comes where unset becomes set. From each
            // leaving edge it runs to the coming edge before it, around the set corners between: so these stay apart from others.
            for n in 0..4 {
                let (a, b) = (face[n], face[(n + 1) % 4]);
                if is_set(a) && !is_set(b) {
                    let begin = (1..4).map(|back| (n + 4 - back) % 4).find(|&m| !is_set(face[m]));
                    let Some(begin) = begin else { continue };
                    let (c, d) = (face[begin], face[(begin + 1) % 4]);
                    next.push(((a.min(b), a.max(b)), (c.min(d), c.max(d))));
                }
            }
        }
        let vertex = |(a, b): (usize, usize)| -> [f64; 3] {
            std::array::from_fn(|way| {
                (0..3).map(|axis| 0.5 * ((a >> axis & 1) + (b >> axis & 1)) as f64 * steps[axis][way]).sum()
            })
        };
        let mut cube = Self::default();
        while let Some((start, second)) = next.pop() {
            let mut polygon = vec![vertex(start)];
            let mut edge = second;
            while edge != start {
                polygon.push(vertex(edge));
                // Every edge is left on one face and reached on the other, so polygons close.
                let Some(at) = next.iter().position(|(from, _)| *from == edge) else { break };
                edge = next.swap_remove(at).1;
            }
            for pair in polygon[1..].windows(2) {
                let normal = cross(subtract(pair[0], polygon[0]), subtract(pair[1], polygon[0])).map(|x| 0.5 * x);
                cube.area += norm(normal);
                (0..3).for_each(|way| cube.normal[way] += normal[way]);
                cube.volume += dot(polygon[0], normal) / 3.0;
            }
        }
        cube
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: [[f64; 3]; 3] = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];

    #[test]
    fn one_voxel_is_an_octahedron() {
        let surface = Surface::of(&[true], [1, 1, 1], UNIT);
        // Vertices half a step away along the axes: volume 1/6, area √3.
        assert!((surface.volume - 1.0 / 6.0).abs() < 1e-12, "{surface:?}");
        assert!((surface.area - 3f64.sqrt()).abs() < 1e-12, "{surface:?}");
    }

    #[test]
    fn every_cube_is_a_closed_mesh_with_its_neighbours() {
        // All sets of corners in a box of 2 × 2 × 2: the sum of the normals of a closed mesh is zero, and volume does not depend on the origin.
        for corners in 1..256usize {
            let set: Vec<bool> = (0..8).map(|corner| corners >> corner & 1 == 1).collect();
            let surface = Surface::of(&set, [2, 2, 2], UNIT);
            let mut moved = vec![false; 64];
            (0..8)
                .filter(|&n| set[n])
                .for_each(|n| moved[((n >> 2) + 2) * 16 + ((n >> 1 & 1) + 1) * 4 + (n & 1) + 2] = true);
            let moved = Surface::of(&moved, [4, 4, 4], UNIT);
            assert!(
                (surface.volume - moved.volume).abs() < 1e-9 && (surface.area - moved.area).abs() < 1e-9,
                "{corners}"
            );
            assert!(surface.volume >= corners.count_ones() as f64 / 6.0 - 1e-9);
        }
    }

    #[test]
    fn a_ball_is_as_round_as_its_mesh() {
        let side = 41;
        let set: Vec<bool> = (0..side * side * side)
            .map(|n| {
                let place = [n % side, n / side % side, n / (side * side)];
                place.iter().map(|&x| (x as f64 - 20.0).powi(2)).sum::<f64>() <= 18.0 * 18.0
            })
            .collect();
        let surface = Surface::of(&set, [side; 3], UNIT);
        let exact = 4.0 / 3.0 * std::f64::consts::PI * 18f64.powi(3);
        assert!((surface.volume / exact - 1.0).abs() < 0.02, "{surface:?}");
        // Steps of the voxels make the mesh of a ball some 8 % larger, however fine the grid.
        let roughness = surface.roughness().unwrap();
        assert!((1.04..1.12).contains(&roughness), "{roughness}");
        assert_eq!(Surface::of(&[false], [1, 1, 1], UNIT).roughness(), None);
    }
}
