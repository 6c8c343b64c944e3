//! Vessels, airways, heart and oesophagus of the mediastinum, and the fat between them.
//!
//! Coordinates: average mm relative to the carina (see the parent). Invariant: fat is painted around every organ before any organ, so that
//! organs lie in fat wherever they do not touch.

use rand::RngExt;

use super::radii::{ARCH_RADIUS, AZYGOS_RADIUS, PULMONARY_RADIUS, TRACHEA_RADIUS};
use super::tissue::{AIRWAY, Blood, FAT, PLAQUE, STOMACH, WALL, blood, organ};
use super::{Anatomy, Structure};

impl Anatomy {
    fn blood(&self, kind: Blood) -> super::Tissue {
        blood(kind, self.phase, self.enhancement)
    }

    /// Points of the aorta from the valve to the diaphragm.
    fn aorta(&self) -> Vec<([f64; 3], f64)> {
        let (arch, out) = (self.arch, self.unfolding);
        vec![
            ([-4.0, -22.0, -62.0], 14.0),
            ([-12.0, -34.0, -40.0], 15.0),
            ([-13.0, -36.0, 0.0], 15.0),
            ([-12.0, -33.0, arch - 15.0], 14.0),
            ([0.0, -30.0, arch - 3.0], 12.5),
            ([18.0, -16.0, arch], ARCH_RADIUS),
            ([26.0 + 0.5 * out, 4.0, arch - 3.0], ARCH_RADIUS),
            ([25.0 + out, 20.0, arch - 14.0], 11.5),
            ([25.0 + out, 28.0, 4.0], 11.5),
            ([24.0 + out, 30.0, -50.0], 11.5),
            ([16.0 + out, 32.0, -110.0], 11.0),
            ([8.0, 32.0, -190.0], 10.5),
        ]
    }

    /// Everything that enhances or holds air in the mediastinum, in painting order; airways are apart.
    fn vessels(&self) -> Vec<Structure> {
        let (arch, pulmonary, azygos, crossing) = (self.arch, self.pulmonary, self.azygos, self.crossing);
        let artery = self.blood(Blood::Artery);
        let vein = self.blood(Blood::Vein);
        let lung = self.blood(Blood::Pulmonary);
        let muscle = organ(45.0, 55.0, 2.6, self.phase, self.enhancement);
        let mut list = vec![
            // Heart: muscle first, then its chambers.
            self.turned([16.0, -34.0, -88.0], [54.0, 38.0, 42.0], -0.5, muscle),
            self.turned([-30.0, -18.0, -76.0], [22.0, 26.0, 32.0], 0.2, vein),
            self.turned([2.0, -46.0, -88.0], [34.0, 17.0, 32.0], -0.4, lung),
            self.turned([36.0, -28.0, -92.0], [24.0, 20.0, 28.0], -0.6, artery),
            self.ball([4.0, 6.0, -60.0], [30.0, 16.0, 17.0], lung),
        ];
        for (points, radius, tissue) in [
            // Pulmonary trunk and arteries, pulmonary veins.
            (vec![[14.0, -46.0, -50.0], [18.0, -42.0, -24.0], [20.0, -32.0, pulmonary - 8.0]], 12.5, lung),
            (
                vec![
                    [20.0, -32.0, pulmonary - 8.0],
                    [32.0, -14.0, pulmonary],
                    [43.0, 6.0, pulmonary - 5.0],
                    [50.0, 16.0, -34.0],
                    [56.0, 22.0, -62.0],
                ],
                PULMONARY_RADIUS,
                lung,
            ),
            (
                vec![
                    [20.0, -30.0, -13.0],
                    [-4.0, -16.0, -18.0],
                    [-30.0, -8.0, -21.0],
                    [-44.0, 2.0, -36.0],
                    [-52.0, 12.0, -62.0],
                ],
                8.5,
                lung,
            ),
            (vec![[-18.0, 4.0, -56.0], [-40.0, -2.0, -50.0], [-58.0, -12.0, -40.0]], 5.5, lung),
            (vec![[-16.0, 12.0, -66.0], [-46.0, 18.0, -78.0], [-64.0, 26.0, -88.0]], 5.5, lung),
            (vec![[26.0, 0.0, -54.0], [46.0, -8.0, -46.0], [62.0, -16.0, -34.0]], 5.5, lung),
            (vec![[28.0, 12.0, -64.0], [48.0, 22.0, -76.0], [64.0, 28.0, -86.0]], 5.5, lung),
            // Veins: superior cava, brachiocephalic, azygos, inferior cava.
            (vec![[-28.0, -26.0, crossing - 4.0], [-33.0, -23.0, 10.0], [-32.0, -18.0, -50.0]], 8.5, vein),
            (vec![[-28.0, -26.0, crossing - 4.0], [-28.0, -20.0, 74.0], [-38.0, -16.0, 100.0]], 6.5, vein),
            (
                vec![
                    [-28.0, -27.0, crossing - 6.0],
                    [-2.0, -41.0, crossing],
                    [20.0, -37.0, crossing + 9.0],
                    [38.0, -22.0, 88.0],
                ],
                5.5,
                vein,
            ),
            (
                vec![[-6.0, 32.0, -190.0], [-5.0, 32.0, -40.0], [-5.0, 31.0, azygos - 8.0]],
                3.4,
                self.blood(Blood::Azygos),
            ),
            (
                vec![
                    [-5.0, 31.0, azygos - 8.0],
                    [-16.0, 22.0, azygos],
                    [-26.0, 2.0, azygos],
                    [-32.0, -16.0, azygos - 2.0],
                ],
                AZYGOS_RADIUS,
                self.blood(Blood::Azygos),
            ),
            (vec![[-26.0, -4.0, -96.0], [-24.0, 2.0, -140.0], [-20.0, 8.0, -200.0]], 11.0, vein),
            // Arteries of head and arms.
            (vec![[-2.0, -30.0, arch + 6.0], [-10.0, -20.0, 74.0], [-20.0, -14.0, 110.0]], 6.0, artery),
            (vec![[9.0, -25.0, arch + 8.0], [11.0, -18.0, 76.0], [15.0, -12.0, 115.0]], 4.0, artery),
            (vec![[21.0, -8.0, arch + 7.0], [23.0, -3.0, 76.0], [36.0, -4.0, 102.0]], 4.8, artery),
        ] {
            list.extend(self.path(&points, radius, tissue));
        }
        let aorta = self.aorta();
        let points: Vec<[f64; 3]> = aorta.iter().map(|(point, _)| *point).collect();
        let path = crate::shape::curve(&points, 3);
        list.extend(path.windows(2).enumerate().map(|(n, ends)| self.tube(ends[0], ends[1], aorta[n / 3].1, artery)));
        list
    }

    fn oesophagus(&self) -> Vec<[f64; 3]> {
        let out = self.oesophagus_x();
        vec![
            [out - 3.0, 13.0, 125.0],
            [out - 2.0, 16.0, 60.0],
            [out, 18.0, 0.0],
            [out, 26.0, -50.0],
            [out + 4.0, 27.0, -100.0],
            [out + 12.0, 20.0, -160.0],
        ]
    }

    fn airways() -> [(Vec<[f64; 3]>, f64); 8] {
        [
            (vec![[0.0, -14.0, 130.0], [0.0, -7.0, 60.0], [0.0, -1.0, 5.0]], TRACHEA_RADIUS),
            (vec![[-1.0, 0.0, 2.0], [-20.0, 4.0, -13.0], [-34.0, 8.0, -24.0]], 6.6),
            (vec![[1.0, 0.0, 2.0], [22.0, 6.0, -18.0], [42.0, 13.0, -32.0]], 5.9),
            (vec![[-22.0, 5.0, -14.0], [-40.0, 5.0, -8.0], [-58.0, 2.0, 4.0]], 4.0),
            (vec![[-34.0, 8.0, -24.0], [-38.0, 12.0, -48.0], [-48.0, 20.0, -78.0]], 4.6),
            (vec![[-37.0, 10.0, -42.0], [-52.0, -4.0, -56.0]], 3.4),
            (vec![[40.0, 12.0, -31.0], [58.0, 2.0, -26.0]], 4.0),
            (vec![[42.0, 13.0, -32.0], [52.0, 22.0, -62.0]], 4.4),
        ]
    }

    /// Organs between the lungs, in painting order: fat around everything, organs, airways.
    pub(crate) fn mediastinum(&self, random: &mut impl rand::Rng) -> Vec<Structure> {
        let mut organs = self.vessels();
        organs.extend(self.path(&self.oesophagus(), 6.2, WALL));
        let airways = Self::airways();
        let wall: Vec<Structure> =
            airways.iter().flat_map(|(points, radius)| self.path(points, radius + 1.4, WALL)).collect();

        let margin = self.mediastinal_fat * self.size;
        // Far out in the lung a vessel has no sheath of fat.
        let central = |structure: &&Structure| {
            let (low, high) = structure.shape.bounds();
            let middle = self.average(std::array::from_fn(|axis| 0.5 * (low[axis] + high[axis])));
            middle[0].abs() < 38.0
        };
        let around = |structure: &Structure| Structure { shape: structure.shape.grown(margin), tissue: FAT };
        let mut list: Vec<Structure> = organs.iter().chain(&wall).filter(central).map(around).collect();
        // Before and beside the spine.
        list.push(self.tube([2.0, 44.0, 150.0], [2.0, 44.0, -210.0], 18.0, FAT));
        list.push(self.tube([2.0, 30.0, 150.0], [6.0, 30.0, -210.0], 13.0, FAT));
        let wide = 0.6 * self.mediastinal_fat;
        list.extend(
            [
                // The mediastinum as a whole, above and below the carina.
                ([1.0, -12.0, 24.0], [24.0 + wide, 50.0, 84.0]),
                ([3.0, -6.0, -32.0], [31.0 + wide, 42.0, 46.0]),
                // Before the great vessels, beside the trachea, the upper mediastinum, the aortopulmonary window, under the carina, beside
                // the oesophagus, both hila, both cardiophrenic angles.
                ([-4.0, -52.0, 10.0], [12.0 + wide, 16.0, 62.0]),
                ([-19.0, -6.0, 30.0], [13.0 + wide, 16.0, 36.0]),
                ([16.0, 4.0, 34.0], [12.0 + wide, 16.0, 30.0]),
                ([0.0, -12.0, 82.0], [30.0 + wide, 28.0, 36.0]),
                ([34.0, -16.0, 14.0], [11.0 + wide, 18.0, 16.0]),
                ([2.0, 12.0, -20.0], [22.0 + wide, 14.0, 20.0]),
                ([6.0, 24.0, -70.0], [18.0 + wide, 14.0, 60.0]),
                ([-40.0, 10.0, -24.0], [13.0 + wide, 16.0, 24.0]),
                ([44.0, 14.0, -22.0], [13.0 + wide, 16.0, 24.0]),
                ([-34.0, -46.0, -104.0], [20.0 + wide, 18.0, 20.0]),
                ([44.0, -50.0, -112.0], [22.0 + wide, 18.0, 20.0]),
            ]
            .map(|(center, radii)| self.ball(center, radii, FAT)),
        );
        list.append(&mut organs);
        list.extend(wall);
        for (points, radius) in &airways {
            list.extend(self.path(points, *radius, AIRWAY));
        }
        // Some air in the oesophagus, now here, now there.
        let path = crate::shape::curve(&self.oesophagus(), 3);
        for ends in path.windows(2) {
            if random.random_bool(0.4) {
                list.push(self.tube(ends[0], ends[1], 1.8, AIRWAY));
            }
        }
        list.extend(self.plaques(random));
        list
    }

    /// Calcified plaques in the wall of the arch and the descending aorta.
    fn plaques(&self, random: &mut impl rand::Rng) -> Vec<Structure> {
        let aorta = self.aorta();
        (0..self.plaques)
            .map(|_| {
                let at = random.random_range(3..aorta.len() - 2);
                let share: f64 = random.random_range(0.0..1.0);
                let angle: f64 = random.random_range(0.0..std::f64::consts::TAU);
                let (a, radius) = aorta[at];
                let (b, _) = aorta[at + 1];
                let mut center: [f64; 3] = std::array::from_fn(|axis| a[axis] + share * (b[axis] - a[axis]));
                center[0] += (radius - 0.8) * angle.cos();
                // The arch runs level: its wall is above and below, not before and behind.
                let up = if (5..7).contains(&at) { 2 } else { 1 };
                center[up] += (radius - 0.8) * angle.sin();
                let size = random.random_range(1.0..3.2);
                self.ball(center, [size, 0.7 * size, 1.2 * size], PLAQUE)
            })
            .collect()
    }

    /// Below the diaphragm, on the left: stomach.
    pub(crate) fn abdomen(&self) -> Vec<Structure> {
        vec![self.turned([62.0, -22.0, -168.0], [44.0, 34.0, 34.0], -0.4, STOMACH)]
    }
}
