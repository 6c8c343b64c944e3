//! Moments: what a clock showed, and the offset of that clock from UTC where it is stated.
//!
//! Sources: PS3.5 6.2 (VR DT, TM), PS3.3 C.12.1.1.8 (Timezone Offset From UTC applies to every date and time without an offset of its own).
//! Invariants: two moments are only compared on one clock; where that clock is not known there is no difference, never a guess. Units: s.

use crate::date::day;

/// Seconds of a day.
pub(super) const DAY_S: f64 = 86_400.0;

/// A date and time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moment {
    /// Seconds from 1970-01-01 00:00 to what the clock showed.
    clock_s: f64,
    /// Seconds that this clock is ahead of UTC, where the value says so.
    offset_s: Option<i32>,
}

impl Moment {
    /// A DICOM date with time (DT, or DA and TM one behind the other): `YYYYMMDDHH[MM[SS[.FFFFFF]]][&ZZXX]`, where `&` is a sign. `Z` for
    /// UTC is not DICOM, but occurs.
    pub fn date_time(text: &str) -> Option<Self> {
        let text = text.trim();
        let end = text.find(['+', '-', 'Z']).unwrap_or(text.len());
        let (clock, offset) = (text.get(..end)?.trim(), text.get(end..)?);
        let offset_s = if offset.is_empty() { None } else { Some(utc_offset(offset)?) };
        let time = clock.get(8..).filter(|rest| !rest.is_empty())?;
        Some(Self { clock_s: f64::from(day(clock.get(..8)?)?) * DAY_S + time_of_day(time)?, offset_s })
    }

    /// Seconds from `earlier` to this moment; `local_s` is the offset of the local clock, by which moments without offset are stated.
    /// `None` where one of them has an offset and the local clock is not known.
    pub(super) fn seconds_since(self, earlier: Self, local_s: Option<i32>) -> Option<f64> {
        let shift = match (self.offset_s, earlier.offset_s) {
            (None, None) => 0,
            (later, earlier) => later.or(local_s)? - earlier.or(local_s)?,
        };
        Some(self.clock_s - earlier.clock_s - f64::from(shift))
    }

    /// Seconds since midnight of the local clock; `None` where the value has an offset and the local clock is not known.
    pub(super) fn local_time_of_day(self, local_s: Option<i32>) -> Option<f64> {
        let shift = match self.offset_s {
            None => 0,
            Some(offset) => local_s? - offset,
        };
        Some((self.clock_s + f64::from(shift)).rem_euclid(DAY_S))
    }

    /// Seconds since midnight of the clock as it stands in the value.
    pub(super) fn written_time_of_day(self) -> f64 {
        self.clock_s.rem_euclid(DAY_S)
    }

    /// The offset of its clock from UTC in s, where stated.
    pub(super) fn offset_s(self) -> Option<i32> {
        self.offset_s
    }

    /// The earlier of two moments on one clock; of two on different clocks, the one with the lower reading.
    pub(super) fn order(&self, other: &Self) -> std::cmp::Ordering {
        let utc = |moment: &Self| moment.clock_s - f64::from(moment.offset_s.unwrap_or(0));
        utc(self).total_cmp(&utc(other))
    }
}

/// Seconds since midnight of a time `HHMMSS.FFFFFF`, `HHMM` or `HH` (also with colons, of old).
pub(super) fn time_of_day(text: &str) -> Option<f64> {
    let plain: String = text.trim().chars().filter(|c| *c != ':').collect();
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

/// Seconds that a clock is ahead of UTC: `+ZZXX`, `-ZZXX` (also `+ZZ:XX`), or `Z`; from −12:00 to +14:00.
pub(super) fn utc_offset(text: &str) -> Option<i32> {
    let text = text.trim();
    if text == "Z" {
        return Some(0);
    }
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let digits: String = text.get(1..)?.chars().filter(|c| *c != ':').collect();
    if digits.len() != 4 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (hours, minutes): (i32, i32) = (digits.get(..2)?.parse().ok()?, digits.get(2..)?.parse().ok()?);
    let seconds = sign * (hours * 3600 + minutes * 60);
    (minutes < 60 && (-12 * 3600..=14 * 3600).contains(&seconds)).then_some(seconds)
}

/// An offset as DICOM writes it.
pub(super) fn offset_text(seconds: i32) -> String {
    let (sign, minutes) = (if seconds < 0 { '-' } else { '+' }, seconds.abs() / 60);
    format!("{sign}{:02}{:02}", minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn calendar_and_clock() {
        assert_eq!(time_of_day("0130"), Some(5400.0));
        assert_eq!(time_of_day("01:30:00.25"), Some(5400.25));
        for bad in ["", "25", "1", "0160", "12345", "ab", "1200.x"] {
            assert_eq!(time_of_day(bad), None, "{bad}");
        }
        let one = |text: &str| Moment::date_time(text).map(|moment| (moment.clock_s, moment.offset_s));
        assert_eq!(one("19700101000001.5"), Some((1.5, None)));
        assert_eq!(one("19700101000001.5+0100"), Some((1.5, Some(3600))));
        assert_eq!(one("197001010000-0330"), Some((0.0, Some(-12_600))));
        assert_eq!(one("19700101000000Z"), Some((0.0, Some(0))));
        for bad in
            ["19700101", "19700101000000+25", "19700101000000+0160", "19700101000000&0100", "1970-01-01T00:00:00Z"]
        {
            assert_eq!(one(bad), None, "{bad}");
        }
    }

    #[test]
    fn moments_are_compared_on_one_clock() {
        let at = |text: &str| Moment::date_time(text).unwrap();
        let (scan, utc) = (at("20200102100500"), at("20200102080500+0000"));
        assert_eq!(scan.seconds_since(utc, Some(3600)), Some(3600.0));
        assert_eq!(scan.seconds_since(utc, None), None);
        assert_eq!(scan.seconds_since(at("20200102090500"), None), Some(3600.0));
        assert_eq!(at("20200102100500+0100").seconds_since(utc, None), Some(3600.0));
        assert_eq!(utc.local_time_of_day(Some(-5 * 3600)), Some(3.0 * 3600.0 + 300.0));
        assert_eq!(utc.local_time_of_day(None), None);
    }

    proptest! {
        #[test]
        fn an_offset_is_read_as_it_is_written(quarters in -48i32..=56) {
            prop_assert_eq!(utc_offset(&offset_text(quarters * 900)), Some(quarters * 900));
        }

        #[test]
        fn a_moment_in_another_zone_is_the_same_moment(hours in 0u32..24, zone in -12i32..=14, local in -12i32..=14) {
            // 12:00 UTC of a day, written in two zones.
            let written = |zone: i32, hour: u32| {
                let shifted = (hour as i32 + zone).rem_euclid(24);
                let day = 15 + (hour as i32 + zone).div_euclid(24);
                Moment::date_time(&format!("202001{day:02}{shifted:02}0000{}", offset_text(zone * 3600))).unwrap()
            };
            let (a, b) = (written(zone, hours), written(local, hours));
            prop_assert_eq!(a.seconds_since(b, None), Some(0.0));
            prop_assert_eq!(a.local_time_of_day(Some(local * 3600)), Some(b.written_time_of_day()));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,30}") {
            let _ = (Moment::date_time(&text), utc_offset(&text), time_of_day(&text));
        }
    }
}
