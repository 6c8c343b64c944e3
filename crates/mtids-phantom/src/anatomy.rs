//! The chest of one patient: large structures around the carina, and where each station lies between them.
//!
//! Frame: LPS mm, the carina at the origin before the patient's own shift. Right is −x, front is −y, head is +z. The places of stations follow
//! the borders of the IASLC map (Rusch 2009) relative to these landmarks, in round numbers. Invariant: structures are listed in painting
//! order; a later one covers an earlier one.

use mtids_core::taxonomy::Station;
use rand::RngExt;
use rand_distr::{Distribution, Normal};
use serde::Serialize;

use crate::shape::Shape;

/// A structure and its attenuation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Structure {
    pub(crate) shape: Shape,
    pub(crate) hu: f64,
}

/// Places that borders of stations are told from, LPS mm.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Landmarks {
    /// Where the trachea divides: border of 4 and 10 above, 7 below.
    pub carina_mm: [f64; 3],
    /// Top of the aortic arch: lower border of 2L, upper border of 4L.
    pub arch_top_mm: [f64; 3],
    /// Underside of the aortic arch: upper border of 5.
    pub arch_bottom_mm: [f64; 3],
    /// Top of the left pulmonary artery: lower border of 4L and 5.
    pub left_pulmonary_artery_top_mm: [f64; 3],
}

/// The patient's own proportions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Anatomy {
    /// Position of the carina.
    pub(crate) carina: [f64; 3],
    /// Common factor of all radii.
    pub(crate) size: f64,
    /// Factors of all distances (x, y, z): no two chests have the same proportions.
    pub(crate) stretch: [f64; 3],
    /// Enhancement of arteries and veins in HU.
    pub(crate) blood: f64,
    /// Height of the top of the aortic arch above the carina.
    pub(crate) arch: f64,
    /// Phase of the rib pattern.
    pub(crate) ribs: f64,
}

impl Anatomy {
    /// Known places of this patient.
    pub(crate) fn landmarks(&self) -> Landmarks {
        let arch = self.arch - 12.0;
        Landmarks {
            carina_mm: self.place([0.0, 2.0, -4.0]),
            arch_top_mm: self.place([6.0, -14.0, arch + 12.5]),
            arch_bottom_mm: self.place([6.0, -14.0, arch - 12.5]),
            left_pulmonary_artery_top_mm: self.place([36.0, -11.0, 11.0]),
        }
    }

    pub(crate) fn draw(random: &mut impl rand::Rng) -> Self {
        let mut around = |mean: f64, deviation: f64| mean + deviation * random.random_range(-1.0..1.0);
        Self {
            carina: [around(0.0, 6.0), around(5.0, 6.0), around(0.0, 12.0)],
            size: around(1.0, 0.08),
            stretch: [around(1.0, 0.12), around(1.0, 0.12), around(1.0, 0.15)],
            blood: around(200.0, 50.0),
            arch: around(42.0, 5.0),
            ribs: around(0.0, 12.0),
        }
    }

    /// A place given relative to the carina of an average patient.
    pub(crate) fn place(&self, [x, y, z]: [f64; 3]) -> [f64; 3] {
        let offset = [x, y, z];
        std::array::from_fn(|axis| self.carina[axis] + self.size * self.stretch[axis] * offset[axis])
    }

    /// Radii of the body, the rib cage and the pleural space, as fractions of one outline.
    pub(crate) fn body(&self) -> [f64; 2] {
        [150.0 * self.size, 112.0 * self.size]
    }

    fn ball(&self, center: [f64; 3], radii: [f64; 3], hu: f64) -> Structure {
        let shape = Shape::Ellipsoid { center: self.place(center), radii: radii.map(|r| r * self.size), angle: 0.0 };
        Structure { shape, hu }
    }

    fn tube(&self, from: [f64; 3], to: [f64; 3], radius: f64, hu: f64) -> Structure {
        Structure {
            shape: Shape::Capsule { from: self.place(from), to: self.place(to), radius: radius * self.size },
            hu,
        }
    }

    /// Structures inside the rib cage, in painting order.
    pub(crate) fn structures(&self) -> Vec<Structure> {
        let (blood, arch) = (self.blood, self.arch - 12.0);
        let mut list = vec![
            // Lungs ([`LUNGS`] of them), with the mediastinum left between them.
            self.ball([-78.0, 0.0, -25.0], [50.0, 82.0, 140.0], -860.0),
            self.ball([80.0, 2.0, -25.0], [48.0, 80.0, 140.0], -860.0),
            // Hila: fat around the vessels and bronchi that enter the lung.
            self.ball([-42.0, 12.0, -20.0], [15.0, 20.0, 24.0], -80.0),
            self.ball([46.0, 18.0, -16.0], [15.0, 20.0, 24.0], -80.0),
            // Heart and liver dome.
            self.ball([14.0, -32.0, -88.0], [56.0, 44.0, 46.0], 60.0 + 0.5 * blood),
            self.ball([-60.0, -5.0, -190.0], [85.0, 80.0, 60.0], 70.0),
            // Ascending aorta, arch, descending aorta.
            self.tube([-14.0, -34.0, -55.0], [-14.0, -32.0, arch - 6.0], 14.0, blood),
            self.tube([-14.0, -32.0, arch - 6.0], [6.0, -14.0, arch], 12.5, blood),
            self.tube([6.0, -14.0, arch], [26.0, 22.0, arch - 4.0], 12.0, blood),
            self.tube([26.0, 24.0, arch - 6.0], [24.0, 40.0, -190.0], 11.5, blood),
            // Great vessels above the arch.
            self.tube([-12.0, -22.0, arch], [-18.0, -18.0, 110.0], 6.0, blood),
            self.tube([4.0, -14.0, arch + 4.0], [10.0, -12.0, 110.0], 4.5, blood),
            self.tube([18.0, 4.0, arch + 4.0], [26.0, 2.0, 110.0], 4.5, blood),
            // Superior vena cava and azygos.
            self.tube([-32.0, -22.0, 60.0], [-32.0, -24.0, -50.0], 9.0, blood + 40.0),
            self.tube([-14.0, 40.0, -120.0], [-14.0, 36.0, 12.0], 4.0, blood - 30.0),
            self.tube([-14.0, 36.0, 12.0], [-30.0, -12.0, 14.0], 4.5, blood - 20.0),
            // Pulmonary trunk and arteries.
            self.tube([16.0, -44.0, -40.0], [20.0, -36.0, -2.0], 13.5, blood + 10.0),
            self.tube([18.0, -32.0, -6.0], [-48.0, -6.0, -16.0], 10.0, blood + 10.0),
            self.tube([22.0, -32.0, 0.0], [50.0, 10.0, 2.0], 10.0, blood + 10.0),
            // Oesophagus, spine.
            self.tube([4.0, 30.0, 120.0], [8.0, 30.0, -180.0], 6.5, 35.0),
            self.tube([0.0, 66.0, 140.0], [0.0, 66.0, -200.0], 17.0, 260.0),
            self.tube([0.0, 86.0, 140.0], [0.0, 86.0, -200.0], 8.0, 30.0),
        ];
        // Discs between the vertebrae.
        list.extend((-8..6).map(|n| self.ball([0.0, 64.0, 26.0 * f64::from(n) + self.ribs], [16.0, 15.0, 3.5], 90.0)));
        // Airways: a wall first, then the lumen inside it.
        let airways = [
            ([0.0, -4.0, 130.0], [0.0, 2.0, 4.0], 9.0),
            ([0.0, 2.0, 4.0], [-40.0, 10.0, -26.0], 7.0),
            ([0.0, 2.0, 4.0], [48.0, 14.0, -30.0], 6.2),
            ([-40.0, 10.0, -26.0], [-52.0, 14.0, -62.0], 4.6),
            ([48.0, 14.0, -30.0], [56.0, 20.0, -62.0], 4.4),
        ];
        list.extend(airways.iter().map(|&(from, to, radius)| self.tube(from, to, radius + 1.8, 30.0)));
        list.extend(airways.iter().map(|&(from, to, radius)| self.tube(from, to, radius, -985.0)));
        list
    }

    /// Branching vessels of both lungs: painted over the lungs and under everything else.
    pub(crate) fn lung_vessels(&self, random: &mut impl rand::Rng) -> Vec<Structure> {
        let mut list = Vec::new();
        for (hilum, lung, radii) in [
            ([-48.0, 6.0, -18.0], [-78.0, 0.0, -25.0], [50.0, 82.0, 140.0]),
            ([52.0, 10.0, -8.0], [80.0, 2.0, -25.0], [48.0, 80.0, 140.0]),
        ] {
            for _ in 0..18 {
                let mut from: [f64; 3] = hilum;
                let mut radius: f64 = random.random_range(2.0..3.6);
                let side = f64::signum(hilum[0]);
                let mut heading = [
                    side * random.random_range(0.2..1.0),
                    random.random_range(-1.0..1.0),
                    random.random_range(-1.4..1.4),
                ];
                for _ in 0..6 {
                    let length = random.random_range(12.0..24.0) / heading.iter().map(|x| x * x).sum::<f64>().sqrt();
                    let to: [f64; 3] = std::array::from_fn(|axis| from[axis] + length * heading[axis]);
                    let depth: f64 = (0..3).map(|axis| ((to[axis] - lung[axis]) / radii[axis]).powi(2)).sum();
                    // A vessel turns back into the lung before it reaches the pleura.
                    if depth > 0.85 {
                        heading = std::array::from_fn(|axis| (lung[axis] - from[axis]) / radii[axis]);
                        continue;
                    }
                    list.push(self.tube(from, to, radius, 0.4 * self.blood));
                    from = to;
                    radius = (0.78 * radius).max(0.9);
                    heading = heading.map(|x| x + random.random_range(-0.5..0.5));
                }
            }
        }
        list
    }

    /// A place for a node of `station`, or `None` for a station that the phantom does not use.
    pub(crate) fn station(&self, station: Station, random: &mut impl rand::Rng) -> Option<[f64; 3]> {
        // Centre and half-range (x, y, z) relative to the carina of an average patient.
        // 2: above the arch (left) or the crossing of the brachiocephalic vein (right), beside the trachea; the side changes at its
        // left border. 4: from there down to the azygos (right) or the left pulmonary artery (left). 5: under the arch, lateral to
        // the ligament. 6: before and beside the ascending aorta and the arch. 7: between the main bronchi, under the carina.
        // 8: beside the oesophagus below that. 10: along the main bronchi and hilar vessels, outside the mediastinum proper.
        let (center, range) = match station {
            Station::S2R => ([-17.0, 2.0, 65.0], [5.0, 7.0, 11.0]),
            Station::S2L => ([14.0, 6.0, 68.0], [4.0, 6.0, 10.0]),
            Station::S4R => ([-19.0, -7.0, 21.0], [6.0, 7.0, 14.0]),
            Station::S4L => ([15.0, 4.0, 15.0], [4.0, 6.0, 8.0]),
            Station::S5 => ([36.0, -18.0, 16.0], [7.0, 8.0, 6.0]),
            Station::S6 => ([14.0, -44.0, 26.0], [12.0, 6.0, 14.0]),
            Station::S7 => ([1.0, 12.0, -19.0], [9.0, 7.0, 9.0]),
            Station::S8R => ([-6.0, 29.0, -57.0], [6.0, 6.0, 24.0]),
            Station::S8L => ([17.0, 26.0, -58.0], [5.0, 6.0, 24.0]),
            Station::S10R => ([-39.0, 17.0, -17.0], [8.0, 9.0, 11.0]),
            Station::S10L => ([45.0, 23.0, -18.0], [8.0, 9.0, 11.0]),
            _ => return None,
        };
        let jitter = Normal::new(0.0, 0.6).ok()?;
        Some(self.place(std::array::from_fn(|axis| {
            let offset: f64 = jitter.sample(random);
            center[axis] + range[axis] * offset.clamp(-1.0, 1.0)
        })))
    }
}

/// How many of the first structures are lungs.
pub(crate) const LUNGS: usize = 2;

/// Stations of the phantom and how often a node lies there.
pub(crate) const STATIONS: [(Station, f64); 11] = [
    (Station::S2R, 0.08),
    (Station::S2L, 0.05),
    (Station::S4R, 0.15),
    (Station::S4L, 0.08),
    (Station::S5, 0.09),
    (Station::S6, 0.08),
    (Station::S7, 0.17),
    (Station::S8R, 0.07),
    (Station::S8L, 0.05),
    (Station::S10R, 0.10),
    (Station::S10L, 0.08),
];
