//! Where each station lies: its borders after the IASLC map, defined by landmarks of the patient.
//!
//! Method: a place is brought into average mm relative to the carina, where the borders are planes at landmarks (Rusch et al., J Thorac Oncol
//! 2009). Invariant: [`of_place`] knows at most one station for a place, and a node belongs to the station that its centre lies in; the
//! appearance of a node says nothing of it. Limits: borders are simplified to planes; stations 1, 9 and 12 to 14 have no place here.

use mtids_domain::taxonomy::Station;

use crate::anatomy::{Anatomy, TRACHEA_RADIUS};

/// Left wall of the trachea: border of right and left above the carina.
const LEFT_WALL: f64 = TRACHEA_RADIUS;
/// The arterial ligament: station 5 lies to its left, 4L to its right.
const LIGAMENT: f64 = 25.0;
/// Behind this lies 3p, before this 3a.
const BEHIND_TRACHEA: f64 = 11.0;
const BEFORE_VESSELS: f64 = -42.0;
/// Lower border of 7: the upper end of the left lower lobe's bronchus.
const LOWER_LOBE: f64 = -36.0;
/// Top of the region: the upper rim of the lungs is station 1.
const TOP: f64 = 84.0;
/// Beyond this, at the division of the lobar bronchi, hilar becomes interlobar.
const INTERLOBAR: f64 = 46.0;

/// The station whose borders hold a place, LPS mm.
pub(crate) fn of_place(anatomy: &Anatomy, place: [f64; 3]) -> Option<Station> {
    let [x, y, z] = anatomy.average(place);
    let right = x < LEFT_WALL;
    let hilum = if right { anatomy.azygos_border() } else { anatomy.pulmonary_top() };
    let lateral = if x < 0.0 { -20.0 } else { 22.0 };
    let beside_bronchus = x.abs() > f64::abs(lateral);
    let deep = (-62.0..hilum).contains(&z) && beside_bronchus && (-12.0..32.0).contains(&y);
    if deep {
        // Hilar and interlobar, outside the mediastinum proper.
        return Some(match (x < 0.0, x.abs() > INTERLOBAR || z < LOWER_LOBE) {
            (true, false) => Station::S10R,
            (true, true) => Station::S11R,
            (false, false) => Station::S10L,
            (false, true) => Station::S11L,
        });
    }
    if z >= 0.0 {
        if z >= TOP {
            return None;
        }
        if y > BEHIND_TRACHEA {
            return (x.abs() < 16.0).then_some(Station::S3P);
        }
        // Beside the arch and the ascending aorta on the left: 6; under the arch, lateral to the ligament: 5.
        if (anatomy.arch_bottom()..anatomy.arch_top()).contains(&z) && x > -6.0 && (y < BEFORE_VESSELS || x > 36.0) {
            return Some(Station::S6);
        }
        if y < BEFORE_VESSELS {
            return Some(Station::S3A);
        }
        if x > LIGAMENT {
            return (anatomy.pulmonary_top()..anatomy.arch_bottom()).contains(&z).then_some(Station::S5);
        }
        if right {
            return match z {
                z if z > anatomy.crossing => Some(Station::S2R),
                z if z > anatomy.azygos_border() => Some(Station::S4R),
                _ => None,
            };
        }
        return match z {
            z if z > anatomy.arch_top() => Some(Station::S2L),
            z if z > anatomy.pulmonary_top() => Some(Station::S4L),
            _ => None,
        };
    }
    if z > LOWER_LOBE {
        return (!beside_bronchus && y > -4.0).then_some(Station::S7);
    }
    // Beside the oesophagus below.
    (y > 12.0).then_some(if x < anatomy.oesophagus_x() { Station::S8R } else { Station::S8L })
}

/// A box around the places of a station where nodes lie, in average mm: middle and half-range.
pub(crate) fn reach(anatomy: &Anatomy, station: Station) -> Option<([f64; 3], [f64; 3])> {
    let between = |low: f64, high: f64| (0.5 * (low + high), 0.5 * (high - low));
    let boxed = |x: (f64, f64), y: (f64, f64), z: (f64, f64)| {
        let [x, y, z] = [between(x.0, x.1), between(y.0, y.1), between(z.0, z.1)];
        ([x.0, y.0, z.0], [x.1, y.1, z.1])
    };
    Some(match station {
        Station::S2R => boxed((-26.0, -4.0), (-14.0, 8.0), (anatomy.crossing, TOP - 4.0)),
        Station::S2L => boxed((9.0, 20.0), (-10.0, 10.0), (anatomy.arch_top(), TOP - 4.0)),
        Station::S3A => boxed((-18.0, 10.0), (-60.0, -44.0), (4.0, 78.0)),
        Station::S3P => boxed((-10.0, 12.0), (12.0, 28.0), (6.0, 78.0)),
        Station::S4R => boxed((-27.0, -4.0), (-22.0, 8.0), (anatomy.azygos_border(), anatomy.crossing)),
        Station::S4L => boxed((9.0, 22.0), (-8.0, 10.0), (anatomy.pulmonary_top(), anatomy.arch_top())),
        Station::S5 => boxed((26.0, 42.0), (-32.0, 0.0), (anatomy.pulmonary_top(), anatomy.arch_bottom())),
        Station::S6 => boxed((-4.0, 44.0), (-56.0, -12.0), (anatomy.arch_bottom(), anatomy.arch_top())),
        Station::S7 => boxed((-14.0, 16.0), (0.0, 24.0), (-35.0, -3.0)),
        Station::S8R => boxed((-14.0, 6.0), (16.0, 36.0), (-96.0, -38.0)),
        Station::S8L => boxed((8.0, 24.0), (14.0, 36.0), (-96.0, -38.0)),
        Station::S10R => boxed((-45.0, -21.0), (-8.0, 28.0), (-34.0, 6.0)),
        Station::S10L => boxed((23.0, 45.0), (-6.0, 28.0), (-34.0, 4.0)),
        Station::S11R => boxed((-58.0, -42.0), (-4.0, 28.0), (-58.0, -22.0)),
        Station::S11L => boxed((44.0, 60.0), (0.0, 30.0), (-58.0, -22.0)),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Phase;
    use crate::station::STATIONS;
    use mtids_runtime::random::rng_for;
    use rand::RngExt;

    #[test]
    fn every_station_has_places_and_every_box_mostly_holds_its_own_station() {
        for patient in 0..8 {
            let mut random = rng_for(5, "stations", &[patient]);
            let anatomy = Anatomy::draw(Phase::Native, &mut random);
            for station in STATIONS {
                let (middle, half) = reach(&anatomy, station).unwrap();
                let hits = (0..400)
                    .filter(|_| {
                        let at = std::array::from_fn(|axis| middle[axis] + half[axis] * random.random_range(-1.0..1.0));
                        of_place(&anatomy, anatomy.place(at)) == Some(station)
                    })
                    .count();
                assert!(hits > 100, "{station} of patient {patient}: {hits} of 400");
            }
        }
    }

    #[test]
    fn borders_follow_the_landmarks() {
        let anatomy = Anatomy::draw(Phase::Native, &mut rng_for(6, "borders", &[]));
        let station = |at: [f64; 3]| of_place(&anatomy, anatomy.place(at));
        // The left wall of the trachea, not its middle, parts 4R from 4L.
        assert_eq!(station([7.0, -4.0, 20.0]), Some(Station::S4R));
        assert_eq!(station([10.0, -4.0, 20.0]), Some(Station::S4L));
        // Above and below the crossing of the vein.
        assert_eq!(station([-16.0, -4.0, anatomy.crossing + 2.0]), Some(Station::S2R));
        assert_eq!(station([-16.0, -4.0, anatomy.crossing - 2.0]), Some(Station::S4R));
        // Under the carina, and below that.
        assert_eq!(station([2.0, 14.0, -12.0]), Some(Station::S7));
        assert_eq!(station([-4.0, 26.0, -60.0]), Some(Station::S8R));
        // On both sides of the ligament.
        let window = 0.5 * (anatomy.pulmonary_top() + anatomy.arch_bottom());
        assert_eq!(station([33.0, -16.0, window]), Some(Station::S5));
        assert_eq!(station([18.0, -4.0, window]), Some(Station::S4L));
    }
}
