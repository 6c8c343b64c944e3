//! Positron emitters: their half-lives, and the codes that name them.
//!
//! Sources: codes of PS3.16 CID 4020 (SNOMED CT, and SNOMED RT as older files write them); half-lives of NUBASE2020 and DDEP, where F-18 and
//! Rb-82 have the values that scanners write. Invariant: a half-life that belongs to no nuclide is never used. Units: s.

/// A half-life may differ by this share from the one of the table; makers round (6588 s and 6600 s for F-18).
pub(super) const TOLERANCE: f64 = 0.02;

/// A positron emitter.
#[derive(Debug, PartialEq)]
pub(super) struct Nuclide {
    /// Name as people write it.
    pub(super) name: &'static str,
    /// Half-life in s.
    pub(super) half_life_s: f64,
    /// Its code values.
    codes: [&'static str; 2],
}

const fn nuclide(name: &'static str, half_life_s: f64, codes: [&'static str; 2]) -> Nuclide {
    Nuclide { name, half_life_s, codes }
}

/// Those with half-lives from a minute to four days; Mn-52, Ge-68 and Na-22 live longer, and are no tracers.
const NUCLIDES: [Nuclide; 31] = [
    nuclide("F-18", 6586.2, ["77004003", "C-111A1"]),
    nuclide("C-11", 1221.8, ["40565003", "C-105A1"]),
    nuclide("N-13", 597.9, ["21576001", "C-107A1"]),
    nuclide("O-15", 122.2, ["129504001", "C-B1038"]),
    nuclide("O-14", 70.6, ["424875009", "C-1018C"]),
    nuclide("Ga-68", 4062.6, ["35337001", "C-131A3"]),
    nuclide("Ga-66", 33_494.0, ["79477007", "C-131A1"]),
    nuclide("Rb-82", 76.4, ["79197006", "C-159A2"]),
    nuclide("Cu-64", 45_724.0, ["3932008", "C-127A2"]),
    nuclide("Cu-62", 580.4, ["422934004", "C-127A5"]),
    nuclide("Cu-61", 12_020.0, ["71425003", "C-127A1"]),
    nuclide("Cu-60", 1422.0, ["425364008", "C-127A4"]),
    nuclide("Zr-89", 282_280.0, ["63360001", "C-168A4"]),
    nuclide("I-124", 360_806.0, ["40937006", "C-114A5"]),
    nuclide("Y-86", 53_064.0, ["10738001", "C-162A3"]),
    nuclide("Y-90", 230_550.0, ["14691008", "C-162A7"]),
    nuclide("Sc-44", 14_551.0, ["126600", "126600"]),
    nuclide("Sc-43", 14_007.0, ["126605", "126605"]),
    nuclide("Tc-94m", 3120.0, ["424079002", "C-163AA"]),
    nuclide("Br-75", 5802.0, ["17910003", "C-113A1"]),
    nuclide("Br-76", 58_320.0, ["79523006", "C-113A2"]),
    nuclide("Br-77", 205_340.0, ["86521004", "C-113A3"]),
    nuclide("K-38", 458.2, ["423764008", "C-135A4"]),
    nuclide("Fe-52", 29_790.0, ["69089000", "C-130A1"]),
    nuclide("Zn-62", 33_094.0, ["65054007", "C-141A1"]),
    nuclide("As-72", 93_600.0, ["2705002", "C-115A2"]),
    nuclide("As-70", 3156.0, ["126602", "126602"]),
    nuclide("Ti-45", 11_088.0, ["75696008", "C-166A2"]),
    nuclide("Se-73", 25_740.0, ["87437000", "C-116A2"]),
    nuclide("Nb-90", 52_560.0, ["126603", "126603"]),
    nuclide("Tb-152", 63_000.0, ["126606", "126606"]),
];

impl Nuclide {
    /// The nuclide of a code value of Radionuclide Code Sequence.
    pub(super) fn of_code(code: &str) -> Option<&'static Self> {
        NUCLIDES.iter().find(|nuclide| nuclide.codes.contains(&code))
    }

    /// Whether a half-life in s is the one of this nuclide.
    pub(super) fn has(&self, half_life_s: f64) -> bool {
        (half_life_s / self.half_life_s - 1.0).abs() <= TOLERANCE
    }

    /// The nuclide whose half-life comes nearest, if it is the one of a nuclide at all.
    pub(super) fn of_half_life(half_life_s: f64) -> Option<&'static Self> {
        let off = |nuclide: &&Self| (half_life_s / nuclide.half_life_s - 1.0).abs();
        NUCLIDES.iter().filter(|nuclide| nuclide.has(half_life_s)).min_by(|a, b| off(a).total_cmp(&off(b)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_half_lives_name_a_nuclide() {
        assert_eq!(Nuclide::of_code("C-111A1"), Nuclide::of_code("77004003"));
        assert!(Nuclide::of_code("").is_none() && Nuclide::of_code("51440002").is_none());
        for written in [6586.2, 6588.0, 6586.199707, 6600.0] {
            assert_eq!(Nuclide::of_half_life(written).map(|nuclide| nuclide.name), Some("F-18"), "{written}");
        }
        for (written, name) in
            [(1223.4, "C-11"), (4057.7, "Ga-68"), (4080.0, "Ga-68"), (75.6, "Rb-82"), (45_720.0, "Cu-64")]
        {
            assert_eq!(Nuclide::of_half_life(written).map(|nuclide| nuclide.name), Some(name), "{written}");
        }
        // Minutes or hours of F-18, and nothing.
        assert!([109.77, 1.83, 0.0, f64::NAN].into_iter().all(|written| Nuclide::of_half_life(written).is_none()));
    }

    #[test]
    fn no_code_names_two_nuclides() {
        for (n, one) in NUCLIDES.iter().enumerate() {
            assert!(
                NUCLIDES[..n].iter().all(|other| one.codes.iter().all(|code| !other.codes.contains(code))),
                "{one:?}"
            );
        }
    }
}
