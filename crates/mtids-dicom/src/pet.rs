//! From activity to standardised uptake values (SUV by body weight), or a reason why not.
//!
//! SUVbw = activity (Bq/ml) · body weight (g) / dose (Bq), the dose decayed from injection to the time that the activity is corrected to.
//! Invariant: nothing is assumed: a missing, zero or contradicting attribute gives no SUV. Sources: the vendor-neutral pseudo-code of QIBA
//! (SUVbw), PS3.3 C.8.9.1. Units: kg, Bq, s, seconds since 1970-01-01 without time zone.

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

use crate::date::day;
use crate::element::{first_item, number, text, text_of};

/// What a PET slice says of its tracer and its time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PetFacts {
    /// Units (0054,1001).
    pub units: Option<String>,
    /// SUV type (0054,1006): of what kind values in g/ml are.
    pub suv_type: Option<String>,
    /// Decay correction (0054,1102).
    pub decay_correction: Option<String>,
    /// Corrected image (0028,0051).
    pub corrected: Vec<String>,
    /// Body weight in kg (0010,1030).
    pub weight_kg: Option<f64>,
    /// Injected dose in Bq (0018,1074).
    pub dose_bq: Option<f64>,
    /// Half-life in s (0018,1075).
    pub half_life_s: Option<f64>,
    /// Injection: date and time (0018,1078).
    pub injected: Option<f64>,
    /// Injection: time of day (0018,1072), in s.
    pub injected_time_of_day: Option<f64>,
    /// Series date and time.
    pub series: Option<f64>,
    /// Acquisition date and time.
    pub acquired: Option<f64>,
    /// GE's own reference time (0009,100D of GEMS_PETD_01).
    pub ge_reference: Option<f64>,
    /// Philips' factor from counts to SUV (7053,1000).
    pub philips_suv: Option<f64>,
    /// Philips' factor from counts to Bq/ml (7053,1009).
    pub philips_activity: Option<f64>,
}

const DAY_S: f64 = 86_400.0;

impl PetFacts {
    /// Seconds since 1970-01-01 of a DICOM date with time (DT, or DA and TM one behind the other).
    pub fn date_time(text: &str) -> Option<f64> {
        date_time(text)
    }

    /// Seconds since midnight of a DICOM time (TM).
    pub fn time_of_day(text: &str) -> Option<f64> {
        time_of_day(text)
    }

    /// Reads the attributes of a slice.
    pub(crate) fn read(object: &InMemDicomObject) -> Self {
        let tracer = first_item(object, tags::RADIOPHARMACEUTICAL_INFORMATION_SEQUENCE);
        let moment = |date: Tag, time: Tag| {
            Some(f64::from(day(&text(object, date)?)?) * DAY_S + time_of_day(&text(object, time)?)?)
        };
        let private = |group, creator, element| text_of(object.private_element(group, creator, element).ok()?);
        let philips = |element| {
            private(0x7053, "Philips PET Private Group", element)
                .and_then(|text| text.parse().ok())
                .filter(|factor: &f64| factor.is_finite() && *factor > 0.0)
        };
        Self {
            units: text(object, tags::UNITS),
            suv_type: text(object, tags::SUV_TYPE),
            decay_correction: text(object, tags::DECAY_CORRECTION),
            corrected: text(object, tags::CORRECTED_IMAGE)
                .map(|text| text.split('\\').map(|word| word.trim().to_owned()).collect())
                .unwrap_or_default(),
            weight_kg: number(object, tags::PATIENT_WEIGHT),
            dose_bq: tracer.and_then(|item| number(item, tags::RADIONUCLIDE_TOTAL_DOSE)),
            half_life_s: tracer.and_then(|item| number(item, tags::RADIONUCLIDE_HALF_LIFE)),
            injected: tracer
                .and_then(|item| text(item, tags::RADIOPHARMACEUTICAL_START_DATE_TIME))
                .and_then(|text| date_time(&text)),
            injected_time_of_day: tracer
                .and_then(|item| text(item, tags::RADIOPHARMACEUTICAL_START_TIME))
                .and_then(|text| time_of_day(&text)),
            series: moment(tags::SERIES_DATE, tags::SERIES_TIME),
            acquired: moment(tags::ACQUISITION_DATE, tags::ACQUISITION_TIME),
            ge_reference: private(0x0009, "GEMS_PETD_01", 0x0D).and_then(|text| date_time(&text)),
            philips_suv: philips(0x00),
            philips_activity: philips(0x09),
        }
    }
}

/// Factor from the rescaled values of a series to SUVbw; each slice has its own rescale.
///
/// # Errors
/// A sentence: which attribute is missing, zero, or contradicts the others.
pub fn suv_factor(slices: &[&PetFacts]) -> Result<f64, String> {
    let first = slices.first().ok_or("no slice")?;
    let same = |other: &&&PetFacts| {
        (&other.units, &other.suv_type, &other.decay_correction, other.weight_kg, other.dose_bq, other.half_life_s)
            == (
                &first.units,
                &first.suv_type,
                &first.decay_correction,
                first.weight_kg,
                first.dose_bq,
                first.half_life_s,
            )
            && (other.injected, other.injected_time_of_day) == (first.injected, first.injected_time_of_day)
            && (other.philips_suv, other.philips_activity) == (first.philips_suv, first.philips_activity)
    };
    if !slices.iter().all(|other| same(&other)) {
        return Err("the slices differ in units, weight, dose or injection".into());
    }
    match first.units.as_deref() {
        Some("GML") => match first.suv_type.as_deref() {
            None | Some("BW") => Ok(1.0),
            Some(other) => Err(format!("values are SUV of type {other}, not by body weight")),
        },
        Some("CNTS") => {
            corrections(first)?;
            match (first.philips_suv, first.philips_activity) {
                (Some(factor), _) => Ok(factor),
                (None, Some(factor)) => Ok(factor * from_activity(first, slices)?),
                (None, None) => Err("values are counts, and there is no private Philips factor for counts".into()),
            }
        }
        Some("BQML") => {
            corrections(first)?;
            from_activity(first, slices)
        }
        Some(other) => Err(format!("values are in {other}; BQML, CNTS and GML are read")),
        None => Err("Units is missing".into()),
    }
}

/// Attenuation and decay must have been corrected.
fn corrections(facts: &PetFacts) -> Result<(), String> {
    match ["ATTN", "DECY"].into_iter().find(|word| !facts.corrected.iter().any(|has| has == word)) {
        None => Ok(()),
        Some(word) => Err(format!("CorrectedImage does not list {word}")),
    }
}

/// Factor from Bq/ml to SUVbw.
fn from_activity(facts: &PetFacts, slices: &[&PetFacts]) -> Result<f64, String> {
    let need = |value: Option<f64>, name: &str| {
        value.filter(|value| *value > 0.0).ok_or_else(|| format!("{name} is missing or zero"))
    };
    let weight_g = 1000.0 * need(facts.weight_kg, "PatientWeight")?;
    let dose = need(facts.dose_bq, "RadionuclideTotalDose")?;
    match facts.decay_correction.as_deref() {
        Some("ADMIN") => return Ok(weight_g / dose),
        Some("START") => {}
        Some(other) => return Err(format!("DecayCorrection is {other}; START and ADMIN are read")),
        None => return Err("DecayCorrection is missing".into()),
    }
    let half_life = need(facts.half_life_s, "RadionuclideHalfLife")?;
    let elapsed = elapsed(facts, reference(slices)?)?;
    Ok(weight_g / (dose * (-elapsed / half_life).exp2()))
}

/// The time that activity is corrected to: that of the series, unless the series was made after the acquisition (a reconstruction, an
/// export); then GE's own attribute, or the earliest acquisition.
fn reference(slices: &[&PetFacts]) -> Result<f64, String> {
    let earliest = |times: &mut dyn Iterator<Item = Option<f64>>| times.flatten().min_by(f64::total_cmp);
    let acquired =
        earliest(&mut slices.iter().map(|slice| slice.acquired)).ok_or("AcquisitionDate or -Time is missing")?;
    let series = earliest(&mut slices.iter().map(|slice| slice.series)).ok_or("SeriesDate or -Time is missing")?;
    if series <= acquired {
        return Ok(series);
    }
    Ok(earliest(&mut slices.iter().map(|slice| slice.ge_reference)).unwrap_or(acquired))
}

/// Seconds from injection to `reference`, between 0 and a day.
fn elapsed(facts: &PetFacts, reference: f64) -> Result<f64, String> {
    let elapsed = match (facts.injected, facts.injected_time_of_day) {
        // Two statements of one moment; where they differ, one of them is in another time zone, or was shifted.
        (Some(injected), Some(time)) if ((injected.rem_euclid(DAY_S) - time).abs() + 1.0) % DAY_S > 2.0 => {
            return Err("RadiopharmaceuticalStartDateTime and RadiopharmaceuticalStartTime differ".into());
        }
        (Some(injected), _) => reference - injected,
        // Only the time of day is known: the last such moment before the scan, over midnight if need be.
        (None, Some(time)) => (reference.rem_euclid(DAY_S) - time).rem_euclid(DAY_S),
        (None, None) => return Err("the time of injection is missing".into()),
    };
    if !(0.0..DAY_S).contains(&elapsed) {
        return Err(format!("injection {elapsed:.0} s before the scan; were dates shifted?"));
    }
    Ok(elapsed)
}

/// Seconds since midnight of a time `HHMMSS.FFFFFF`, `HHMM` or `HH` (also with colons, of old).
fn time_of_day(text: &str) -> Option<f64> {
    let plain: String = text.chars().filter(|c| *c != ':').collect();
    let (whole, fraction) = plain.split_once('.').unwrap_or((&plain, "0"));
    if !matches!(whole.len(), 2 | 4 | 6) || !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let part = |at: usize| whole.get(at..at + 2).map_or(Some(0.0), |text| text.parse::<f64>().ok());
    let (hours, minutes, seconds) = (part(0)?, part(2)?, part(4)?);
    if hours >= 24.0 || minutes >= 60.0 || seconds > 60.0 {
        return None;
    }
    Some(hours * 3600.0 + minutes * 60.0 + seconds + format!("0.{fraction}").parse::<f64>().ok()?)
}

/// A date with a time; a time zone is left aside, because the other times have none.
fn date_time(text: &str) -> Option<f64> {
    let text = text.split(['+', '-', '&']).next()?.trim();
    Some(f64::from(day(text.get(..8)?)?) * DAY_S + time_of_day(text.get(8..).filter(|rest| !rest.is_empty())?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> PetFacts {
        let at = |text: &str| date_time(text);
        PetFacts {
            units: Some("BQML".into()),
            decay_correction: Some("START".into()),
            corrected: vec!["ATTN".into(), "DECY".into()],
            weight_kg: Some(70.0),
            dose_bq: Some(3.5e8),
            half_life_s: Some(6586.2),
            injected: at("20200101233000"),
            series: at("20200102003000"),
            acquired: at("20200102003005.5"),
            ..PetFacts::default()
        }
    }

    fn factor(change: impl Fn(&mut PetFacts)) -> Result<f64, String> {
        let mut one = facts();
        change(&mut one);
        suv_factor(&[&one, &one])
    }

    #[test]
    fn calendar_and_clock() {
        assert_eq!(time_of_day("0130"), Some(5400.0));
        assert_eq!(time_of_day("01:30:00.25"), Some(5400.25));
        for bad in ["", "25", "1", "0160", "12345", "ab", "1200.x"] {
            assert_eq!(time_of_day(bad), None, "{bad}");
        }
        assert_eq!(date_time("19700101000001.5+0100"), Some(1.5));
    }

    #[test]
    fn an_hour_over_midnight_decays_an_hour() {
        let expected = 70_000.0 / (3.5e8 * (-3600.0f64 / 6586.2).exp2());
        let near = |found: Result<f64, String>| assert!((found.unwrap() / expected - 1.0).abs() < 1e-12);
        near(factor(|_| {}));
        near(factor(|one| {
            one.injected = None;
            one.injected_time_of_day = time_of_day("2330");
        }));
        // A series made later: the acquisition counts, or GE's own time where there is one.
        near(factor(|one| {
            one.acquired = one.series;
            one.series = one.series.map(|time| time + 2777.0);
        }));
        near(factor(|one| {
            one.ge_reference = one.series;
            one.series = one.series.map(|time| time + 2777.0);
        }));
    }

    #[test]
    fn what_is_not_said_gives_no_suv() {
        let no = |change: &dyn Fn(&mut PetFacts), word: &str| {
            let error = factor(change).unwrap_err();
            assert!(error.contains(word), "{error}");
        };
        no(&|one| one.units = Some("PROPCPS".into()), "PROPCPS");
        no(&|one| one.units = None, "Units");
        no(&|one| one.units = Some("CNTS".into()), "Philips");
        no(&|one| one.corrected.clear(), "ATTN");
        no(&|one| one.weight_kg = Some(0.0), "PatientWeight");
        no(&|one| one.dose_bq = None, "RadionuclideTotalDose");
        no(&|one| one.half_life_s = None, "RadionuclideHalfLife");
        no(&|one| one.decay_correction = Some("NONE".into()), "NONE");
        no(&|one| one.injected = None, "injection");
        no(&|one| one.injected_time_of_day = time_of_day("2230"), "differ");
        no(&|one| one.injected = one.injected.map(|time| time + 7200.0), "shifted");
        no(&|one| one.acquired = None, "Acquisition");
        no(&|one| (one.units, one.suv_type) = (Some("GML".into()), Some("LBM".into())), "LBM");
        let (one, mut other) = (facts(), facts());
        other.weight_kg = Some(71.0);
        assert!(suv_factor(&[&one, &other]).unwrap_err().contains("differ"));
    }

    #[test]
    fn factors_of_makers() {
        assert_eq!(factor(|one| one.units = Some("GML".into())), Ok(1.0));
        let admin = factor(|one| one.decay_correction = Some("ADMIN".into()));
        assert_eq!(admin, Ok(70_000.0 / 3.5e8));
        let counts = |one: &mut PetFacts| one.units = Some("CNTS".into());
        assert_eq!(factor(|one| (counts(one), one.philips_suv = Some(0.5)).1), Ok(0.5));
        let through_activity = factor(|one| (counts(one), one.philips_activity = Some(2.0)).1).unwrap();
        assert!((through_activity / (2.0 * factor(|_| {}).unwrap()) - 1.0).abs() < 1e-12);
    }
}
