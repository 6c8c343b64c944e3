//! The factor from stored activity to SUV by body weight, or the sentence why there is none.
//!
//! SUVbw = activity (Bq/ml) · body weight (g) / dose (Bq), the dose decayed from injection to the time that the activity is corrected to.
//! Sources: the vendor-neutral pseudo-code of QIBA (SUVbw), PS3.3 C.8.9.1 (Decay Correction), PS3.5 6.2 (offsets of DT). Invariant: nothing is
//! assumed: a missing, impossible or contradicting attribute gives no SUV, and the sentence names attribute, value and cure.

use crate::pet::facts::PetFacts;
use crate::pet::moment::{DAY_S, Moment, offset_text};
use crate::pet::nuclide::Nuclide;
use crate::pet::plausible;

/// Factor from the rescaled values of a series to SUVbw; each slice has its own rescale.
///
/// # Errors
/// A sentence: which attribute is missing, impossible, or contradicts the others.
pub fn suv_factor(slices: &[&PetFacts]) -> Result<f64, String> {
    let first = slices.first().ok_or("no slice")?;
    if !slices.iter().all(|other| first.agrees_with(other)) {
        return Err("the slices differ in units, weight, dose, nuclide or injection; divide the series".into());
    }
    one_time(first)?;
    match first.units.as_deref() {
        Some("GML") => match first.suv_type.as_deref() {
            None | Some("BW") => Ok(1.0),
            Some(other) => Err(format!(
                "SUVType (0054,1006) is {other}: values are SUV of that type, not by body weight (BW); export the series in BQML"
            )),
        },
        Some("CNTS") => {
            corrections(first)?;
            match (first.philips_suv, first.philips_activity) {
                (Some(factor), _) => Ok(factor),
                (None, Some(factor)) => Ok(factor * from_activity(first, slices)?),
                (None, None) => Err("Units (0054,1001) is CNTS: values are counts, and there is no private Philips factor for counts \
                                     (7053,1000 or 7053,1009; were private attributes removed?); export the series in BQML"
                    .into()),
            }
        }
        Some("BQML") => {
            corrections(first)?;
            from_activity(first, slices)
        }
        Some(other) => Err(format!(
            "Units (0054,1001) is {other}; BQML, GML and CNTS of Philips are read; export the series in BQML"
        )),
        None => Err("Units (0054,1001) is missing".into()),
    }
}

/// One volume of uptake is read, of one time: a frame of a dynamic series is none, nor is a phase of a gated one; and a reprojection has no
/// slices.
fn one_time(facts: &PetFacts) -> Result<(), String> {
    let kinds: Vec<&str> = facts.series_type.iter().map(String::as_str).collect();
    let [times, slots] = facts.times_and_slots;
    let what = match kinds[..] {
        ["DYNAMIC", ..] if times.is_some_and(|times| times > 1) => "DYNAMIC, of several times (NumberOfTimeSlices)",
        // One slot is the quiet part of the cycle, reconstructed alone.
        ["GATED", ..] if slots != Some(1) => "GATED",
        [_, "REPROJECTION", ..] => "REPROJECTION",
        _ => return Ok(()),
    };
    Err(format!("SeriesType (0054,1000) is {what}: no slices of the uptake at one time; give the static series"))
}

/// Attenuation and decay must have been corrected.
fn corrections(facts: &PetFacts) -> Result<(), String> {
    let needed = [("ATTN", "AttenuationCorrected (0018,9759)"), ("DECY", "DecayCorrected (0018,9758)")];
    match needed.into_iter().find(|(word, _)| !facts.corrected.iter().any(|has| has == word)) {
        None => Ok(()),
        Some((word, enhanced)) => Err(format!(
            "CorrectedImage (0028,0051) does not list {word} (in an enhanced object: {enhanced} is not YES); take the corrected series"
        )),
    }
}

/// Factor from Bq/ml to SUVbw.
fn from_activity(facts: &PetFacts, slices: &[&PetFacts]) -> Result<f64, String> {
    if facts.several_tracers {
        return Err(
            "RadiopharmaceuticalInformationSequence (0054,0016) has several items that differ; which one is meant?"
                .into(),
        );
    }
    let weight_g = plausible::weight_g(facts.weight_kg, facts.no_weight.as_deref())?;
    let coded = facts.nuclide.as_deref().and_then(Nuclide::of_code);
    let known = coded.or_else(|| facts.half_life_s.and_then(Nuclide::of_half_life));
    let dose = plausible::dose(facts.dose_bq, known)?;
    match facts.decay_correction.as_deref() {
        Some("ADMIN") => return Ok(weight_g / dose),
        Some("START") => {}
        Some(other) => {
            return Err(format!(
                "DecayCorrection (0054,1102) is {other}; START and ADMIN are read; take the corrected series"
            ));
        }
        None => {
            return Err(
                "DecayCorrection (0054,1102), or in an enhanced object DecayCorrectionDateTime (0018,9701), is missing"
                    .into(),
            );
        }
    }
    let half_life = plausible::half_life(facts.half_life_s, coded)?;
    let elapsed = elapsed(facts, reference(slices)?)?;
    plausible::uptake(elapsed, half_life)?;
    Ok(weight_g / (dose * (-elapsed / half_life).exp2()))
}

/// The time that activity is corrected to: the one that an enhanced object states; else that of the series, unless the series was made after
/// the acquisition (a reconstruction, an export); then GE's own attribute, or the earliest acquisition.
fn reference(slices: &[&PetFacts]) -> Result<Moment, String> {
    let earliest = |times: &mut dyn Iterator<Item = Option<Moment>>| times.flatten().min_by(Moment::order);
    if let Some(stated) = earliest(&mut slices.iter().map(|slice| slice.corrected_to)) {
        return Ok(stated);
    }
    let acquired = earliest(&mut slices.iter().map(|slice| slice.acquired))
        .ok_or("AcquisitionDate (0008,0022) or AcquisitionTime (0008,0032) is missing or malformed")?;
    let series = earliest(&mut slices.iter().map(|slice| slice.series))
        .ok_or("SeriesDate (0008,0021) or SeriesTime (0008,0031) is missing or malformed")?;
    let local = slices.first().and_then(|slice| slice.utc_offset_s);
    // Seconds by which the series was made later; on clocks that cannot be compared, the acquisition counts.
    if series.seconds_since(acquired, local).is_some_and(|later| later <= 0.0) {
        return Ok(series);
    }
    Ok(earliest(&mut slices.iter().map(|slice| slice.ge_reference)).unwrap_or(acquired))
}

/// Seconds from injection to `reference`, on one clock.
fn elapsed(facts: &PetFacts, reference: Moment) -> Result<f64, String> {
    let unknown_clock = |what: &str, offset_s: Option<i32>| {
        format!(
            "{what} has the offset {} from UTC, the other time has none, and TimezoneOffsetFromUTC (0008,0201) is missing or malformed; \
             write it",
            offset_s.map_or_else(|| "-".into(), offset_text)
        )
    };
    match (facts.injected, facts.injected_time_of_day) {
        (Some(injected), time_of_day) => {
            let local = match time_of_day {
                None => facts.utc_offset_s,
                Some(time) => local_clock(facts, injected, time)?,
            };
            reference.seconds_since(injected, local).ok_or_else(|| match injected.offset_s() {
                Some(offset) => unknown_clock("RadiopharmaceuticalStartDateTime (0018,1078)", Some(offset)),
                None => unknown_clock("the time that activity is corrected to", reference.offset_s()),
            })
        }
        // Only the time of day is known: the last such moment before the scan, over midnight if need be.
        (None, Some(time)) => {
            let scan = reference
                .local_time_of_day(facts.utc_offset_s)
                .ok_or_else(|| unknown_clock("the time that activity is corrected to", reference.offset_s()))?;
            Ok((scan - time).rem_euclid(DAY_S))
        }
        (None, None) => {
            Err("the time of injection is missing or malformed: RadiopharmaceuticalStartDateTime (0018,1078) \
                             or RadiopharmaceuticalStartTime (0018,1072)"
                .into())
        }
    }
}

/// The offset of the local clock, where the two statements of the injection agree: a date with time, and a time of day of the local clock.
/// Where they differ, one of them is in another time zone, or was shifted.
fn local_clock(facts: &PetFacts, injected: Moment, time_of_day: f64) -> Result<Option<i32>, String> {
    let apart = |a: f64| (a - time_of_day + 1.0).rem_euclid(DAY_S) > 2.0;
    let local = match injected.local_time_of_day(facts.utc_offset_s) {
        Some(local) => local,
        // The time of day shows what the local clock is: that of the offset, if both read the same.
        None => injected.written_time_of_day(),
    };
    if apart(local) {
        return Err(format!(
            "RadiopharmaceuticalStartDateTime (0018,1078) is {} on the local clock and RadiopharmaceuticalStartTime (0018,1072) is {}; \
             they differ; correct the wrong one, or write TimezoneOffsetFromUTC (0008,0201)",
            clock(local),
            clock(time_of_day)
        ));
    }
    Ok(facts.utc_offset_s.or(injected.offset_s()))
}

/// A time of day for people.
fn clock(seconds: f64) -> String {
    let whole = seconds as u32;
    format!("{:02}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pet::moment::{time_of_day, utc_offset};

    fn at(text: &str) -> Option<Moment> {
        Moment::date_time(text)
    }

    fn facts() -> PetFacts {
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

    /// The factor after a decay of these seconds.
    fn decayed(seconds: f64) -> f64 {
        70_000.0 / (3.5e8 * (-seconds / 6586.2f64).exp2())
    }

    #[track_caller]
    fn near(found: Result<f64, String>, expected: f64) {
        assert!((found.unwrap() / expected - 1.0).abs() < 1e-12);
    }

    #[test]
    fn an_hour_over_midnight_decays_an_hour() {
        let expected = decayed(3600.0);
        near(factor(|_| {}), expected);
        near(
            factor(|one| {
                one.injected = None;
                one.injected_time_of_day = time_of_day("2330");
            }),
            expected,
        );
        // A series made later: the acquisition counts, or GE's own time where there is one.
        near(
            factor(|one| {
                one.acquired = one.series;
                one.series = at("20200102011617");
            }),
            expected,
        );
        near(
            factor(|one| {
                one.ge_reference = one.series;
                one.series = at("20200102011617");
            }),
            expected,
        );
        // What an enhanced object states goes before all of them.
        near(factor(|one| one.corrected_to = at("20200102013000")), decayed(7200.0));
    }

    #[test]
    fn injection_and_scan_are_brought_to_one_clock() {
        let hour = decayed(3600.0);
        let zone = |one: &mut PetFacts| one.utc_offset_s = utc_offset("+0100");
        // 22:30 UTC is 23:30 of the local clock.
        near(factor(|one| (zone(one), one.injected = at("20200101223000+0000")).1), hour);
        near(factor(|one| (zone(one), one.injected = at("20200101223000Z")).1), hour);
        near(factor(|one| (zone(one), one.injected = at("20200101173000-0500")).1), hour);
        near(factor(|one| (zone(one), one.injected = at("20200101233000")).1), hour);
        // The scan in UTC, the injection local.
        near(factor(|one| (zone(one), one.corrected_to = at("20200101233000+0000")).1), hour);
        near(
            factor(|one| {
                zone(one);
                (one.injected, one.corrected_to) = (None, at("20200101233000+0000"));
                one.injected_time_of_day = time_of_day("2330");
            }),
            hour,
        );
        // Both times say where they are; no local clock is needed.
        near(
            factor(|one| {
                (one.injected, one.corrected_to) = (at("20200101223000+0000"), at("20200102013000+0200"));
            }),
            hour,
        );
        // The time of day, in local time, shows that the offset is the one of the local clock.
        near(
            factor(|one| {
                one.injected = at("20200101233000-0800");
                one.injected_time_of_day = time_of_day("233000.4");
            }),
            hour,
        );
        let zoned = |one: &mut PetFacts| {
            zone(one);
            (one.injected, one.injected_time_of_day) = (at("20200101223000+0000"), time_of_day("2330"));
        };
        near(factor(zoned), hour);
    }

    #[test]
    fn an_offset_without_a_local_clock_gives_no_suv() {
        let error = factor(|one| one.injected = at("20200101223000+0000")).unwrap_err();
        assert!(error.contains("offset +0000") && error.contains("(0008,0201) is missing"), "{error}");
        let error = factor(|one| {
            (one.injected, one.injected_time_of_day) = (at("20200101223000+0000"), time_of_day("2330"));
        })
        .unwrap_err();
        assert!(error.contains("22:30:00") && error.contains("23:30:00") && error.contains("differ"), "{error}");
        let error = factor(|one| one.corrected_to = at("20200102003000+0100")).unwrap_err();
        assert!(error.contains("offset +0100"), "{error}");
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
        no(&|one| (one.weight_kg, one.no_weight) = (None, Some("70 kg".into())), "is no number (`70 kg`)");
        no(&|one| one.weight_kg = Some(80_000.0), "(g?)");
        no(&|one| one.dose_bq = None, "RadionuclideTotalDose");
        no(&|one| one.dose_bq = Some(350.0), "(MBq?)");
        no(&|one| one.half_life_s = None, "RadionuclideHalfLife");
        no(&|one| one.half_life_s = Some(109.77), "minutes");
        no(&|one| one.nuclide = Some("C-131A3".into()), "Ga-68");
        no(&|one| one.decay_correction = Some("NONE".into()), "NONE");
        no(&|one| one.injected = None, "injection");
        no(&|one| one.injected_time_of_day = time_of_day("2230"), "differ");
        no(&|one| one.injected = at("20200102013000"), "3600 s after the scan");
        no(&|one| one.injected = at("20191231003000"), "shifted");
        no(&|one| (one.injected, one.injected_time_of_day) = (None, time_of_day("0031")), "before the scan");
        no(&|one| one.acquired = None, "Acquisition");
        no(&|one| one.several_tracers = true, "several items");
        no(&|one| (one.units, one.suv_type) = (Some("GML".into()), Some("LBM".into())), "LBM");
        let (one, mut other) = (facts(), facts());
        other.weight_kg = Some(71.0);
        assert!(suv_factor(&[&one, &other]).unwrap_err().contains("differ"));
        assert!(suv_factor(&[]).is_err());
    }

    #[test]
    fn a_time_series_or_a_projection_has_no_suv() {
        let kind = |words: &[&str], counts: [Option<u32>; 2]| {
            factor(|one| {
                one.series_type = words.iter().map(|word| (*word).to_owned()).collect();
                one.times_and_slots = counts;
            })
        };
        for (words, counts) in [
            (["DYNAMIC", "IMAGE"], [Some(20), None]),
            (["GATED", "IMAGE"], [None, Some(8)]),
            (["GATED", "IMAGE"], [None, None]),
            (["WHOLE BODY", "REPROJECTION"], [None, None]),
        ] {
            let error = kind(&words, counts).unwrap_err();
            assert!(error.contains("SeriesType (0054,1000) is") && error.contains("static"), "{error}");
        }
        for (words, counts) in [
            (["WHOLE BODY", "IMAGE"], [None, None]),
            (["STATIC", "IMAGE"], [Some(1), None]),
            (["DYNAMIC", "IMAGE"], [Some(1), None]),
            (["GATED", "IMAGE"], [None, Some(1)]),
        ] {
            assert_eq!(kind(&words, counts), factor(|_| {}), "{words:?}");
        }
        assert_eq!(kind(&[], [Some(20), Some(8)]), factor(|_| {}), "a missing type contradicts nothing");
    }

    #[test]
    fn factors_of_makers() {
        assert_eq!(factor(|one| one.units = Some("GML".into())), Ok(1.0));
        // The dose is used as it was injected; neither its time nor its half-life matters.
        let admin = factor(|one| {
            (one.decay_correction, one.half_life_s, one.injected) = (Some("ADMIN".into()), None, None);
        });
        assert_eq!(admin, Ok(70_000.0 / 3.5e8));
        let counts = |one: &mut PetFacts| one.units = Some("CNTS".into());
        assert_eq!(factor(|one| (counts(one), one.philips_suv = Some(0.5)).1), Ok(0.5));
        let through_activity = factor(|one| (counts(one), one.philips_activity = Some(2.0)).1).unwrap();
        assert!((through_activity / (2.0 * factor(|_| {}).unwrap()) - 1.0).abs() < 1e-12);
    }
}
