//! The chest of one patient: proportions, landmarks, and the structures painted from them.
//!
//! Frame: LPS mm. Places are written for an average patient with the carina at the origin (right is −x, front is −y, head is +z), then
//! stretched and moved. Invariants: everything is a function of the drawn [`Anatomy`]; structures are listed in painting order, a later one
//! covers an earlier one; a landmark is a place of the structures that are painted, moved with them.

mod lung;
mod organs;
mod radii;
mod skeleton;
pub(crate) mod tissue;
mod torso;

use rand::RngExt;
use serde::Serialize;

pub(crate) use radii::TRACHEA_RADIUS;
pub(crate) use tissue::{Structure, Tissue};
pub(crate) use torso::Torso;

use crate::config::Phase;

/// Places that borders of stations are defined by, LPS mm.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Landmarks {
    /// Where the trachea divides: border of 4 and 10 above, 7 below.
    pub carina_mm: [f64; 3],
    /// Left wall of the trachea above the carina: border of right and left for 2 and 4.
    pub trachea_left_wall_mm: [f64; 3],
    /// Top of the aortic arch: lower border of 2L, upper border of 4L and 6.
    pub arch_top_mm: [f64; 3],
    /// Underside of the aortic arch: upper border of 5, lower border of 6.
    pub arch_bottom_mm: [f64; 3],
    /// Top of the left pulmonary artery: lower border of 4L and 5, upper border of 10L.
    pub left_pulmonary_artery_top_mm: [f64; 3],
    /// Lower border of the azygos arch: lower border of 4R, upper border of 10R.
    pub azygos_lower_border_mm: [f64; 3],
    /// Where the left brachiocephalic vein crosses the trachea: lower border of 2R, upper border of 4R.
    pub vein_crossing_mm: [f64; 3],
    /// Middle of the oesophagus below the carina: border of 8R and 8L.
    pub oesophagus_mm: [f64; 3],
    /// Middle of the ascending aorta at the level of the carina.
    pub ascending_aorta_mm: [f64; 3],
    /// Middle of the descending aorta below the carina.
    pub descending_aorta_mm: [f64; 3],
    /// Middle of a vertebral body.
    pub vertebra_mm: [f64; 3],
}

/// The patient's own proportions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Anatomy {
    /// Position of the carina.
    pub(crate) carina: [f64; 3],
    /// Common factor of all lengths.
    pub(crate) size: f64,
    /// Factors of all distances (x, y, z): no two chests have the same proportions.
    pub(crate) stretch: [f64; 3],
    /// Level of the middle of the aortic arch above the carina, average mm.
    pub(crate) arch: f64,
    /// Level of the left pulmonary artery, average mm.
    pub(crate) pulmonary: f64,
    /// Level of the azygos arch.
    pub(crate) azygos: f64,
    /// Level at which the left brachiocephalic vein crosses the trachea.
    pub(crate) crossing: f64,
    /// Shift of the oesophagus to the left.
    pub(crate) oesophagus: f64,
    /// Shift of the descending aorta to the left: an old aorta unfolds.
    pub(crate) unfolding: f64,
    /// Thickness of fat around the organs, average mm.
    pub(crate) mediastinal_fat: f64,
    /// Thickness of fat under the skin.
    pub(crate) skin_fat: f64,
    /// Thickness of muscle on the chest wall.
    pub(crate) muscle: f64,
    /// Breasts: thickness of the tissue in front.
    pub(crate) breast: f64,
    /// Phase of ribs and vertebrae along the spine.
    pub(crate) ribs: f64,
    /// Calcified plaques in the wall of the aorta.
    pub(crate) plaques: u32,
    /// Contrast phase.
    pub(crate) phase: Phase,
    /// Factor of the enhancement of blood.
    pub(crate) enhancement: f64,
    /// Attenuation of inflated lung, HU.
    pub(crate) lung_hu: f64,
    /// Attenuation of spongy bone, HU.
    pub(crate) marrow_hu: f64,
}

impl Anatomy {
    pub(crate) fn draw(phase: Phase, random: &mut impl rand::Rng) -> Self {
        let mut around = |mean: f64, spread: f64| mean + spread * random.random_range(-1.0..1.0);
        Self {
            carina: [around(0.0, 6.0), around(0.0, 6.0), around(0.0, 12.0)],
            size: around(1.0, 0.07),
            stretch: [around(1.0, 0.08), around(1.0, 0.08), around(1.0, 0.10)],
            arch: around(37.0, 4.0),
            pulmonary: around(-2.0, 2.5),
            azygos: around(13.0, 2.5),
            crossing: around(55.0, 4.0),
            oesophagus: around(0.0, 4.0),
            unfolding: around(0.0, 4.0),
            mediastinal_fat: around(4.5, 2.5),
            skin_fat: around(16.0, 10.0),
            muscle: around(11.0, 4.0),
            breast: around(0.0, 26.0).max(0.0),
            ribs: around(0.0, 12.0),
            plaques: around(4.0, 6.0).max(0.0) as u32,
            phase,
            enhancement: around(1.0, 0.2),
            lung_hu: around(-885.0, 30.0),
            marrow_hu: around(170.0, 60.0),
        }
    }

    /// A place given relative to the carina of an average patient.
    pub(crate) fn place(&self, offset: [f64; 3]) -> [f64; 3] {
        std::array::from_fn(|axis| self.carina[axis] + self.size * self.stretch[axis] * offset[axis])
    }

    /// The inverse of [`Anatomy::place`].
    pub(crate) fn average(&self, place: [f64; 3]) -> [f64; 3] {
        std::array::from_fn(|axis| (place[axis] - self.carina[axis]) / (self.size * self.stretch[axis]))
    }

    /// Known places of this patient.
    pub(crate) fn landmarks(&self) -> Landmarks {
        Landmarks {
            carina_mm: self.place([0.0; 3]),
            trachea_left_wall_mm: self.place([TRACHEA_RADIUS, -3.0, 25.0]),
            arch_top_mm: self.place([18.0, -14.0, self.arch_top()]),
            arch_bottom_mm: self.place([18.0, -14.0, self.arch_bottom()]),
            left_pulmonary_artery_top_mm: self.place([32.0, -12.0, self.pulmonary_top()]),
            azygos_lower_border_mm: self.place([-26.0, 4.0, self.azygos_border()]),
            vein_crossing_mm: self.place([0.0, -38.0, self.crossing]),
            oesophagus_mm: self.place([self.oesophagus_x(), 26.0, -50.0]),
            ascending_aorta_mm: self.place([-13.0, -36.0, 0.0]),
            descending_aorta_mm: self.place([24.0 + self.unfolding, 30.0, -50.0]),
            vertebra_mm: self.place(self.vertebra(-1)),
        }
    }

    /// Heights in average mm relative to the carina.
    pub(crate) fn arch_top(&self) -> f64 {
        self.arch + radii::ARCH_RADIUS
    }

    pub(crate) fn arch_bottom(&self) -> f64 {
        self.arch - radii::ARCH_RADIUS
    }

    pub(crate) fn pulmonary_top(&self) -> f64 {
        self.pulmonary + radii::PULMONARY_RADIUS
    }

    pub(crate) fn azygos_border(&self) -> f64 {
        self.azygos - radii::AZYGOS_RADIUS
    }

    pub(crate) fn oesophagus_x(&self) -> f64 {
        7.0 + self.oesophagus
    }

    fn ball(&self, center: [f64; 3], radii: [f64; 3], tissue: Tissue) -> Structure {
        self.turned(center, radii, 0.0, tissue)
    }

    fn turned(&self, center: [f64; 3], radii: [f64; 3], angle: f64, tissue: Tissue) -> Structure {
        Structure {
            shape: crate::shape::Shape::ellipsoid(self.place(center), radii.map(|r| r * self.size), angle),
            tissue,
        }
    }

    fn tube(&self, from: [f64; 3], to: [f64; 3], radius: f64, tissue: Tissue) -> Structure {
        let shape =
            crate::shape::Shape::Capsule { from: self.place(from), to: self.place(to), radius: radius * self.size };
        Structure { shape, tissue }
    }

    /// A vessel along a smooth path.
    fn path(&self, points: &[[f64; 3]], radius: f64, tissue: Tissue) -> Vec<Structure> {
        let path = crate::shape::curve(points, 3);
        path.windows(2).map(|ends| self.tube(ends[0], ends[1], radius, tissue)).collect()
    }
}
