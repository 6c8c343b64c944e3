//! What is physically possible of a PET: weight, dose, half-life, time of uptake, and the activity in the image.
//!
//! A value outside its bounds is in another unit or another person's; it is never converted, because the unit would be a guess. Sources of the
//! bounds: doses from 14 MBq of FDG for a newborn (EANM paediatric dosage card) to 2 GBq of Rb-82 and O-15; the activity of a body cannot
//! exceed the injected dose. Units: kg, Bq, s, ml, SUV.

use crate::pet::nuclide::{Nuclide, TOLERANCE};

/// Weights of people in kg.
const WEIGHT_KG: std::ops::RangeInclusive<f64> = 2.0..=400.0;
/// Doses of any tracer in Bq.
const DOSE_BQ: std::ops::RangeInclusive<f64> = 1e6..=5e9;
/// Doses of F-18 in Bq.
const F18_DOSE_BQ: std::ops::RangeInclusive<f64> = 1e7..=1e9;
/// Numbers that a dose in MBq can be.
const MBQ: std::ops::RangeInclusive<f64> = 1.0..=5000.0;
/// Half-lives of tracers in s: a minute to four days and a bit (I-124).
const HALF_LIFE_S: std::ops::RangeInclusive<f64> = 60.0..=380_000.0;
/// Longest uptake of a tracer whose half-life is at most [`SHORT_LIVED_S`]: 6 hours.
const LONGEST_UPTAKE_S: f64 = 6.0 * 3600.0;
/// F-18 and shorter.
const SHORT_LIVED_S: f64 = 2.0 * 3600.0;
/// After these many half-lives of a short-lived tracer a thousandth is left, and nobody scans.
const HALF_LIVES_SHORT: f64 = 10.0;
/// Zr-89 and I-124 are scanned up to a week after injection.
const HALF_LIVES_LONG: f64 = 4.0;
/// Most activity in the image, as a share of the dose: 1, and as much again for noise, scatter and calibration.
const MOST_ACTIVITY: f64 = 2.0;
/// An SUV that one voxel of a thousand may not exceed.
const HIGHEST_SUV: f32 = 1000.0;

/// The body weight in g.
/// What stands in its place and is no number is `no_weight`.
pub(super) fn weight_g(weight_kg: Option<f64>, no_weight: Option<&str>) -> Result<f64, String> {
    if let Some(text) = no_weight {
        return Err(format!("PatientWeight (0010,1030) is no number (`{text}`); write the number of kg alone"));
    }
    match weight_kg {
        Some(weight) if WEIGHT_KG.contains(&weight) => Ok(1000.0 * weight),
        Some(weight) if weight > 0.0 => {
            let unit = if weight > *WEIGHT_KG.end() { " (g?)" } else { "" };
            Err(format!("PatientWeight (0010,1030): a weight of {weight} kg is impossible{unit}; write it in kg"))
        }
        Some(_) | None => Err("PatientWeight (0010,1030) is missing or zero; write it in kg".into()),
    }
}

/// The dose in Bq, of a nuclide that may not be known.
pub(super) fn dose(dose_bq: Option<f64>, nuclide: Option<&Nuclide>) -> Result<f64, String> {
    let attribute = "RadionuclideTotalDose (0018,1074)";
    let dose = dose_bq.filter(|dose| *dose > 0.0).ok_or(format!("{attribute} is missing or zero; write it in Bq"))?;
    let bounds = if nuclide.is_some_and(|nuclide| nuclide.name == "F-18") { F18_DOSE_BQ } else { DOSE_BQ };
    if bounds.contains(&dose) {
        return Ok(dose);
    }
    let unit = if MBQ.contains(&dose) { " (MBq?)" } else { "" };
    let of = nuclide.map(|nuclide| format!(" of {}", nuclide.name)).unwrap_or_default();
    let (low, high) = (bounds.start() / 1e6, bounds.end() / 1e6);
    Err(format!(
        "{attribute}: a dose of {dose} Bq{of} is impossible{unit}; {low} to {high} MBq are given; write it in Bq"
    ))
}

/// The half-life in s; it must be the one of the nuclide that the code names, or of some positron emitter.
pub(super) fn half_life(half_life_s: Option<f64>, coded: Option<&Nuclide>) -> Result<f64, String> {
    let attribute = "RadionuclideHalfLife (0018,1075)";
    let found = half_life_s.filter(|s| *s > 0.0).ok_or(format!("{attribute} is missing or zero; write it in s"))?;
    let right = |s: f64| coded.map_or_else(|| Nuclide::of_half_life(s).is_some(), |nuclide| nuclide.has(s));
    if HALF_LIFE_S.contains(&found) && right(found) {
        return Ok(found);
    }
    let units = [(60.0, "minutes"), (3600.0, "hours"), (1e-3, "milliseconds")];
    let guess = units.into_iter().find(|(seconds, _)| right(found * seconds));
    let unit = guess.map(|(_, unit)| format!(" (in {unit}?)")).unwrap_or_default();
    Err(match coded {
        Some(Nuclide { name, half_life_s, .. }) => format!(
            "{attribute} is {found} s{unit}, but RadionuclideCodeSequence says {name}, whose half-life is {half_life_s} s \
             (± {} %); correct the wrong one",
            100.0 * TOLERANCE
        ),
        None => format!("{attribute}: {found} s is the half-life of no positron emitter{unit}; write it in s"),
    })
}

/// Checks the seconds from injection to the time that activity is corrected to.
pub(super) fn uptake(elapsed_s: f64, half_life_s: f64) -> Result<(), String> {
    let longest = if half_life_s <= SHORT_LIVED_S {
        LONGEST_UPTAKE_S.min(HALF_LIVES_SHORT * half_life_s)
    } else {
        HALF_LIVES_LONG * half_life_s
    };
    if elapsed_s < 0.0 {
        return Err(format!(
            "the injection lies {:.0} s after the scan; were dates or times shifted, or is one in another time zone \
             (write TimezoneOffsetFromUTC)?",
            -elapsed_s
        ));
    }
    if elapsed_s > longest {
        return Err(format!(
            "the injection lies {elapsed_s:.0} s before the scan, where {longest:.0} s are the most for a half-life of {half_life_s} s; \
             were dates or times shifted, or is one in another time zone (write TimezoneOffsetFromUTC)?"
        ));
    }
    Ok(())
}

/// Checks the values of an image: no body holds more activity than was injected. With SUV by body weight, Σ SUV · ml / weight is the share of
/// the dose that the image holds. A weight that is not known is taken for the largest one.
pub(crate) fn image(suv: &[f32], voxel_ml: f64, weight_kg: Option<f64>) -> Result<(), String> {
    let weight_g = 1000.0 * weight_kg.filter(|weight| WEIGHT_KG.contains(weight)).unwrap_or(*WEIGHT_KG.end());
    let share = suv.iter().map(|&suv| f64::from(suv)).sum::<f64>() * voxel_ml / weight_g;
    if share > MOST_ACTIVITY {
        return Err(format!(
            "the image holds {share:.1} times the injected activity; dose, weight or rescale are in another unit"
        ));
    }
    let above = suv.iter().filter(|&&suv| suv > HIGHEST_SUV).count();
    // A single hot voxel can be an injection beside the vein.
    if above > 1 + suv.len() / 1000 {
        return Err(format!(
            "{above} voxels have an SUV above {HIGHEST_SUV}, which does not exist; dose, weight or rescale are in another unit"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_and_doses_in_other_units_are_named() {
        assert_eq!(weight_g(Some(70.5), None), Ok(70_500.0));
        assert!(weight_g(Some(80_000.0), None).unwrap_err().contains("80000 kg is impossible (g?)"));
        assert!(weight_g(Some(0.08), None).unwrap_err().contains("0.08 kg is impossible;"));
        assert!(weight_g(Some(0.0), None).unwrap_err().contains("missing or zero"));
        let f18 = Nuclide::of_code("C-111A1");
        assert_eq!(dose(Some(3e8), f18), Ok(3e8));
        assert!(dose(Some(300.0), f18).unwrap_err().contains("300 Bq of F-18 is impossible (MBq?)"));
        assert!(dose(Some(300.0), None).unwrap_err().contains("a dose of 300 Bq is impossible (MBq?)"));
        // kBq, µCi and nCi of 300 MBq.
        for other in [3e5, 8108.0, 8.1e6, 3e11] {
            assert!(dose(Some(other), f18).unwrap_err().contains("impossible;"), "{other}");
        }
        assert_eq!(dose(Some(1.8e9), Nuclide::of_code("C-159A2")), Ok(1.8e9));
        assert!(dose(Some(1.8e9), f18).is_err());
    }

    #[test]
    fn half_lives_in_other_units_or_of_others_are_named() {
        let f18 = Nuclide::of_code("77004003");
        assert_eq!(half_life(Some(6588.0), f18), Ok(6588.0));
        assert_eq!(half_life(Some(4080.0), None), Ok(4080.0));
        for coded in [f18, None] {
            assert!(half_life(Some(109.77), coded).unwrap_err().contains("(in minutes?)"));
            assert!(half_life(Some(1.8295), coded).unwrap_err().contains("(in hours?)"));
            assert!(half_life(None, coded).unwrap_err().contains("missing"));
        }
        assert!(half_life(Some(4062.0), f18).unwrap_err().contains("says F-18"));
        // Germanium-68 of a calibration source.
        assert!(half_life(Some(270.9 * 86_400.0), None).is_err());
    }

    #[test]
    fn an_uptake_is_possible() {
        let ok = |elapsed, half_life| uptake(elapsed, half_life).is_ok();
        assert!(ok(0.0, 6586.2) && ok(3600.0, 6586.2) && ok(21_600.0, 6586.2) && !ok(21_601.0, 6586.2));
        assert!(!ok(-1.0, 6586.2) && ok(600.0, 76.4) && !ok(800.0, 76.4));
        assert!(ok(6.0 * 86_400.0, 282_280.0) && !ok(14.0 * 86_400.0, 282_280.0));
    }

    #[test]
    fn an_image_holds_no_more_than_the_dose() {
        // 70 kg of a uniform SUV of 1, in voxels of 0.5 ml.
        let body = vec![1.0f32; 140_000];
        assert_eq!(image(&body, 0.5, Some(70.0)), Ok(()));
        let times = |factor: f32| body.iter().map(|suv| suv * factor).collect::<Vec<_>>();
        assert_eq!(image(&times(1.9), 0.5, Some(70.0)), Ok(()));
        assert!(image(&times(2.1), 0.5, Some(70.0)).unwrap_err().contains("2.1 times"));
        assert_eq!(image(&times(5.0), 0.5, None), Ok(()));
        let mut hot = body;
        hot[..100].fill(1e4);
        assert_eq!(image(&hot, 1e-3, Some(70.0)), Ok(()));
        hot[..200].fill(1e4);
        assert!(image(&hot, 1e-3, Some(70.0)).unwrap_err().contains("does not exist"));
        assert_eq!(image(&[], 1.0, None), Ok(()));
    }
}
