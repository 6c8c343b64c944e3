//! The wall of the chest in layers: skin, fat, muscle, ribs and sternum, then lung down to the diaphragm.
//!
//! Method: polar coordinates about the middle of the rib cage, in average mm, so that a layer is a radius as a function of angle and height.
//! Invariant: radii grow outwards: cage ≤ ribs ≤ muscle ≤ fat ≤ skin at every angle. Angles run from the left (0) over the back (π/2).

use std::f64::consts::{FRAC_PI_2, PI, TAU};

use super::tissue::{AIR, CARTILAGE, CORTICAL, FAT, GLAND, MUSCLE, SKIN, organ};
use super::{Anatomy, Tissue};

/// Distance of the skin from the middle, for the number of angles: about one for each pixel of the outline.
const OUTLINE_MM: f64 = 150.0;
/// Middle of the cage, average mm.
const MIDDLE: [f64; 2] = [0.0, 6.0];
/// Level of the apex of the lungs above the carina.
const APEX: f64 = 97.0;
/// Thickness of ribs and sternum.
const RIB: f64 = 7.0;
/// Half the height of a rib.
const RIB_HALF: f64 = 6.4;
/// Distance between two ribs along the body.
const RIB_PITCH: f64 = 23.0;

/// A place in the plane, as every slice of a patient sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Polar {
    pub(crate) radius: f32,
    pub(crate) angle: u16,
}

/// Radii and bones at one angle and height.
#[derive(Clone, Copy, Debug, Default)]
struct Ray {
    cage: f32,
    ribs: f32,
    muscle: f32,
    fat: f32,
    skin: f32,
    /// Half the thickness of bone in the layer of the ribs, 0 between them; spongy and compact bone.
    bone: f32,
    inner: f32,
    shell: f32,
    /// Where fat parts two layers of muscle, as a share of its thickness; 0 for none.
    seam: f32,
    /// Above the lungs muscles and vessels lie loosely in fat.
    loose: bool,
    /// Glandular tissue may lie in the fat.
    gland: bool,
}

/// The layers at one height.
#[derive(Clone, Debug)]
pub(crate) struct Profile(Vec<Ray>);

/// The chest wall of a patient, in one quantity (HU or SUV).
#[derive(Debug)]
pub(crate) struct Torso<'a> {
    anatomy: &'a Anatomy,
    of: fn(Tissue) -> f64,
    known: Known,
    directions: Vec<Direction>,
}

/// Values of the tissues that a voxel may need.
#[derive(Debug)]
struct Known {
    air: f32,
    skin: f32,
    fat: f32,
    gland: f32,
    muscle: f32,
    /// Strands of fat between the fibres.
    muscle_texture: f32,
    lung: f32,
    /// Change per mm towards the back: lung is denser where it lies.
    lung_slope: f32,
    lung_texture: f32,
    liver: f32,
    spleen: f32,
}

/// Exponents of superellipses: 2 is an ellipse, more is squarer. The back is flatter than the front.
const CAGE: f64 = 2.5;
const FRONT: f64 = 2.3;
const BACK: f64 = 2.7;

fn bump(x: f64, middle: f64, width: f64) -> f64 {
    (-((x - middle) / width).powi(2)).exp()
}

/// What every slice shares at one angle: shapes of the layers as functions of the angle alone.
#[derive(Debug)]
struct Direction {
    angle: f64,
    cos: f64,
    /// Distance from the middle of the back, 0 to π.
    from_back: f64,
    /// |cos|ⁿ and |sin|ⁿ for the exponents of cage and hull.
    cage: [f64; 2],
    hull: [f64; 2],
    exponent: f64,
    /// Thickness of muscle, in shares of the patient's; in front it depends on the level.
    muscle: f64,
    pectoral: f64,
    /// mm of muscle beside the spine and, at the shoulders, around.
    spine: f64,
    shoulder: f64,
    breast: f64,
    fat: f64,
    seam: f32,
    /// How far a rib has fallen here below its start at the spine.
    rib_fall: f64,
}

impl Direction {
    fn new(angle: f64) -> Self {
        let (sin, cos) = angle.sin_cos();
        let from_back = ((angle - FRAC_PI_2 + PI).rem_euclid(TAU) - PI).abs();
        let from_front = PI - from_back;
        let exponent = if sin > 0.0 { BACK } else { FRONT };
        let powers = |exponent: f64| [cos.abs().powf(exponent), sin.abs().powf(exponent)];
        Self {
            angle,
            cos,
            from_back,
            cage: powers(CAGE),
            hull: powers(exponent),
            exponent,
            muscle: 0.5 + 0.9 * bump(from_back, 0.75, 0.5) + 0.8 * bump(from_back, 1.3, 0.4),
            pectoral: 1.1 * bump(from_front, 0.75, 0.42),
            spine: 20.0 * bump(from_back, 0.0, 0.42) + 8.0 * bump(from_back, 0.95, 0.5),
            shoulder: 26.0 * bump(from_back, 1.15, 0.6) + 8.0 * bump(from_front, 0.9, 0.5),
            breast: bump(from_front, 0.72, 0.36),
            fat: 0.55 + 0.35 * bump(from_front, 0.0, 0.9) + 0.25 * bump(from_back, 1.1, 0.5),
            seam: (0.42 + 0.12 * (5.0 * angle).sin()) as f32,
            rib_fall: 72.0 * (from_back / PI).powf(1.15),
        }
    }
}

/// What every angle shares at one height, average mm relative to the carina.
#[derive(Debug)]
struct Level {
    z: f64,
    /// How far the dome of the lungs has opened below its apex, 0 to 1.
    dome: f64,
    /// a⁻ⁿ and b⁻ⁿ of the cage, and of the hull's front and back.
    cage: [f64; 2],
    front: [f64; 2],
    back: [f64; 2],
    pectoral: f64,
    shoulder: f64,
    breast: f64,
}

impl Level {
    fn new(z: f64) -> Self {
        let t = ((APEX - z) / 112.0).clamp(0.0, 1.0);
        let dome = (1.0 - (1.0 - t).powi(2)).sqrt();
        let wider = 0.04 * (-z).max(0.0);
        let scaled = |exponent: f64, a: f64, b: f64| [a.powf(-exponent), b.powf(-exponent)];
        // Above the apex the neck and shoulders stay.
        let hull = |exponent| scaled(exponent, 112.0 * dome.max(0.86) + wider, 74.0 * dome.max(0.80) + 0.5 * wider);
        Self {
            z,
            dome,
            cage: scaled(CAGE, (112.0 + wider) * dome.max(0.02), (74.0 + 0.5 * wider) * dome.max(0.02).powf(0.8)),
            front: hull(FRONT),
            back: hull(BACK),
            pectoral: smooth((z + 25.0) / 50.0),
            shoulder: smooth((z - 20.0) / 70.0),
            breast: bump(z, -38.0, 52.0),
        }
    }
}

#[inline]
fn layer_by(value: &mut f32, covered: f32, inside: f32) {
    *value += covered * (inside - *value);
}

/// Radius of the superellipse |x/a|ⁿ + |y/b|ⁿ = 1.
fn oval([cos, sin]: [f64; 2], exponent: f64, [a, b]: [f64; 2]) -> f64 {
    (cos * a + sin * b).powf(-1.0 / exponent)
}

fn smooth(x: f64) -> f64 {
    let t = x.clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

impl<'a> Torso<'a> {
    /// `of` says which quantity is painted, `pixel_mm` how finely.
    pub(crate) fn new(anatomy: &'a Anatomy, of: fn(Tissue) -> f64, pixel_mm: f64) -> Self {
        let angles = (TAU * OUTLINE_MM / pixel_mm).clamp(90.0, 2000.0) as usize;
        let of_tissue = |tissue: Tissue| of(tissue) as f32;
        let attenuates = of(AIR) < 0.0;
        let (phase, factor) = (anatomy.phase, anatomy.enhancement);
        let known = Known {
            air: of_tissue(AIR),
            skin: of_tissue(SKIN),
            fat: of_tissue(FAT),
            gland: of_tissue(GLAND),
            muscle: of_tissue(MUSCLE),
            muscle_texture: if attenuates { MUSCLE.grain as f32 } else { 0.05 },
            lung: of_tissue(Tissue { hu: anatomy.lung_hu, suv: 0.5, grain: 0.0 }),
            lung_slope: if attenuates { 0.45 } else { 0.0 },
            lung_texture: if attenuates { 32.0 } else { 0.05 },
            liver: of_tissue(organ(55.0, 50.0, 2.2, phase, factor)),
            spleen: of_tissue(organ(48.0, 60.0, 1.8, phase, factor)),
        };
        Self {
            anatomy,
            of,
            known,
            directions: (0..angles).map(|n| Direction::new((n as f64 + 0.5) / angles as f64 * TAU)).collect(),
        }
    }

    /// Polar coordinates of a place; the height does not matter.
    pub(crate) fn polar(&self, place: [f64; 3]) -> Polar {
        let [x, y, _] = self.anatomy.average(place);
        let (x, y) = (x - MIDDLE[0], y - MIDDLE[1]);
        let turns = (y.atan2(x) / TAU).rem_euclid(1.0);
        let count = self.directions.len();
        Polar { radius: x.hypot(y) as f32, angle: ((turns * count as f64) as usize % count) as u16 }
    }

    /// The layers at the height of `place`.
    pub(crate) fn profile(&self, place: [f64; 3]) -> Profile {
        let z = self.anatomy.average(place)[2];
        let level = Level::new(z);
        Profile(self.directions.iter().map(|direction| self.ray(direction, &level)).collect())
    }

    fn ray(&self, at: &Direction, level: &Level) -> Ray {
        let anatomy = self.anatomy;
        let z = level.z;
        let cage = if level.dome > 0.02 { oval(at.cage, CAGE, level.cage) } else { 0.0 };
        let hull = oval(at.hull, at.exponent, if at.exponent == BACK { level.back } else { level.front });
        let thickness =
            anatomy.muscle * (at.muscle + at.pectoral * level.pectoral) + at.spine + at.shoulder * level.shoulder;
        let outer = hull.max(cage) + RIB + thickness;
        let breast = anatomy.breast * at.breast * level.breast;
        let fat = anatomy.skin_fat * at.fat + breast;
        let (bone, inner, shell) = self.bone(at, z, cage);
        Ray {
            cage: cage as f32,
            ribs: (cage + RIB) as f32,
            muscle: outer as f32,
            fat: (outer + fat) as f32,
            skin: (outer + fat + 1.8) as f32,
            bone: bone as f32,
            inner,
            shell,
            seam: if thickness > 13.0 && level.dome > 0.6 { at.seam } else { 0.0 },
            loose: level.dome < 0.75,
            gland: breast > 7.0,
        }
    }

    /// What lies in the layer of the ribs: half the thickness of bone, its inside, its shell.
    fn bone(&self, at: &Direction, z: f64, cage: f64) -> (f64, f32, f32) {
        let anatomy = self.anatomy;
        let of = |tissue: Tissue| (self.of)(tissue) as f32;
        let between = (0.0, 0.0, 0.0);
        let marrow = of(Tissue::marrow(anatomy.marrow_hu));
        let x = cage * at.cos;
        let front = at.angle > PI;
        // The sternum: a broad handle above, a narrow body below.
        let half = if z > 34.0 { 26.0 - 0.25 * (z - 34.0) } else { 15.0 };
        if front && (-96.0..70.0).contains(&z) && x.abs() < half {
            // A joint divides the two.
            let bone = if (z - 34.0).abs() < 2.0 { CARTILAGE } else { CORTICAL };
            let inside = if bone == CORTICAL { 0.7 * marrow } else { of(bone) };
            return (0.5 * RIB + 0.5, inside, 0.8 * of(bone));
        }
        // Ribs start beside the spine and fall forwards.
        if cage < 20.0 || (!front && x.abs() < 14.0) {
            return between;
        }
        let turns = (z + at.rib_fall - anatomy.ribs) / RIB_PITCH;
        let off = (turns - turns.round()).abs() * RIB_PITCH;
        if off > RIB_HALF {
            return between;
        }
        let half = 0.5 * RIB * (1.0 - (off / RIB_HALF).powi(2)).sqrt();
        // In front a rib becomes cartilage.
        if at.from_back > 0.84 * PI { (half, of(CARTILAGE), of(CARTILAGE)) } else { (half, marrow, of(CORTICAL)) }
    }

    /// Level of the diaphragm over a place, LPS mm.
    pub(crate) fn diaphragm(&self, place: [f64; 3]) -> f64 {
        let [x, y, _] = self.anatomy.average(place);
        let dome = |middle: f64, top: f64, bottom: f64| {
            let rise = 1.0 - ((x - middle) / 72.0).powi(2) - ((y + 4.0) / 92.0).powi(2);
            bottom + (top - bottom) * rise.max(0.0).sqrt()
        };
        let level = if x < 4.0 { dome(-58.0, -92.0, -142.0) } else { dome(58.0, -102.0, -146.0) };
        self.anatomy.place([0.0, 0.0, level])[2]
    }

    /// What lies at a place `below` mm under the diaphragm, blended over `soft` average mm; `texture` is a field of mean 0 and deviation 1.
    #[inline]
    pub(crate) fn value(
        &self,
        profile: &Profile,
        at: Polar,
        [x, y]: [f64; 2],
        below: f64,
        soft: f32,
        texture: impl FnOnce() -> f32,
    ) -> f32 {
        let ray = &profile.0[usize::from(at.angle)];
        let r = at.radius;
        let known = &self.known;
        if r > ray.skin + soft {
            return known.air;
        }
        let inverse = 0.5 / soft;
        // Under the pleura: lung, and below the diaphragm liver or spleen.
        let under_pleura = |texture: f32| {
            let gravity = known.lung_slope * (y - self.anatomy.carina[1]) as f32;
            let lung = known.lung + gravity + known.lung_texture * texture;
            let organ = if x < self.anatomy.carina[0] + 12.0 { known.liver } else { known.spleen };
            let covered = (0.5 + below as f32 * inverse).clamp(0.0, 1.0);
            lung + covered * (organ - lung)
        };
        // Most voxels lie well inside the lungs.
        if r < ray.cage - soft {
            return under_pleura(texture());
        }
        let texture = texture();
        let muscle = known.muscle + known.muscle_texture * texture;
        let mut value = known.air;
        let mut layer = |border: f32, inside: f32| {
            let covered = (0.5 + (border - r) * inverse).clamp(0.0, 1.0);
            layer_by(&mut value, covered, inside);
        };
        layer(ray.skin, known.skin);
        let fat = if ray.gland && texture > 0.9 { known.gland } else { known.fat * (1.0 + 0.06 * texture) };
        layer(ray.fat, fat);
        if r > ray.muscle + soft {
            return value;
        }
        layer(ray.muscle, if ray.loose && texture < -0.9 { known.fat } else { muscle });
        if ray.seam > 0.0 {
            let seam = ray.ribs + ray.seam * (ray.muscle - ray.ribs);
            layer(seam + 0.9, known.fat);
            layer(seam - 0.9, muscle);
        }
        if r > ray.ribs + soft {
            return value;
        }
        if ray.bone > 0.0 {
            let middle = 0.5 * (ray.ribs + ray.cage);
            for (half, tissue) in [(ray.bone, ray.shell), (ray.bone - 1.3, ray.inner)] {
                // Inside both surfaces: the nearer one decides.
                let distance = (r - middle).abs() - half;
                let covered = (0.5 - distance * inverse).clamp(0.0, 1.0);
                layer_by(&mut value, covered, tissue);
            }
        }
        let mut layer = |border: f32, inside: f32| {
            let covered = (0.5 + (border - r) * inverse).clamp(0.0, 1.0);
            layer_by(&mut value, covered, inside);
        };
        if r > ray.cage + soft {
            return value;
        }
        layer(ray.cage, under_pleura(texture));
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Phase;
    use mtids_runtime::random::rng_for;

    #[test]
    fn layers_lie_outside_one_another() {
        for patient in 0..20 {
            let anatomy = Anatomy::draw(Phase::Native, &mut rng_for(3, "torso", &[patient]));
            let torso = Torso::new(&anatomy, |tissue| tissue.hu, 2.0);
            for z in (-160..140).step_by(7) {
                for ray in torso.profile(anatomy.place([0.0, 0.0, f64::from(z)])).0 {
                    assert!(
                        ray.cage <= ray.ribs && ray.ribs <= ray.muscle && ray.muscle <= ray.fat && ray.fat < ray.skin
                    );
                }
            }
        }
    }
}
