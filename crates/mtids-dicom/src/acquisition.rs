//! As which acquisition, and when, a slice was scanned.
//!
//! Purpose: two scans may stand under one SeriesInstanceUID; number and time tell their slices apart. Units: microseconds of the day.
//! Invariant: it lies beside the facts that slices share, because scanners that write a time or number for each slice exist. Times are
//! compared, never stored or shown in a dataset.

use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

use crate::element::{integer, text};

/// Time of the day in microseconds. The date is left out: it may be missing in some files and not in others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AcquisitionTime(u64);

impl AcquisitionTime {
    /// The time of a DICOM time (VR TM): `HHMMSS.FFFFFF`, from the right as short as the hour; also `HH:MM:SS`, of old.
    pub fn of_time(text: &str) -> Option<Self> {
        let (whole, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
        let digits: String = whole.chars().filter(|c| *c != ':').collect();
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if !matches!(digits.len(), 2 | 4 | 6) || !is_number(&digits) || !is_number(fraction) || fraction.len() > 6 {
            return None;
        }
        let part = |at: usize| digits.get(at..at + 2).map_or(Some(0), |two| two.parse::<u64>().ok());
        let (hour, minute, second) = (part(0)?, part(2)?, part(4)?);
        if hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let micros: u64 = format!("{fraction:0<6}").parse().ok()?;
        Some(Self(((hour * 60 + minute) * 60 + second) * 1_000_000 + micros))
    }

    /// The time of a DICOM date and time (VR DT): `YYYYMMDDHHMMSS.FFFFFF&ZZXX`.
    pub fn of_date_time(text: &str) -> Option<Self> {
        let without_zone = text.split(['+', '-']).next().unwrap_or_default();
        Self::of_time(without_zone.trim().get(8..)?)
    }

    /// Microseconds since midnight.
    pub fn micros(self) -> u64 {
        self.0
    }
}

impl std::fmt::Display for AcquisitionTime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seconds = self.0 / 1_000_000;
        write!(f, "{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
    }
}

/// What a slice says of its acquisition. Anything may be missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Acquired {
    /// AcquisitionNumber (0020,0012).
    pub number: Option<u32>,
    /// TemporalPositionIdentifier (0020,0100): which of several scans of one place.
    pub temporal_position: Option<u32>,
    /// AcquisitionDateTime (0008,002A), else AcquisitionTime (0008,0032).
    pub time: Option<AcquisitionTime>,
    /// InstanceNumber (0020,0013) of a single-frame image.
    pub(crate) instance_number: Option<u32>,
    /// ContentTime (0008,0033) of a single-frame image, in whole seconds of the day: there are many slices, and finer differences say nothing.
    pub(crate) content_s: Option<u32>,
}

impl Acquired {
    /// From the top of a single-frame image.
    pub(crate) fn of_image(object: &InMemDicomObject) -> Self {
        let date_time = text(object, tags::ACQUISITION_DATE_TIME).and_then(|text| AcquisitionTime::of_date_time(&text));
        let time = || text(object, tags::ACQUISITION_TIME).and_then(|text| AcquisitionTime::of_time(&text));
        Self {
            number: integer(object, tags::ACQUISITION_NUMBER),
            temporal_position: integer(object, tags::TEMPORAL_POSITION_IDENTIFIER),
            time: date_time.or_else(time),
            instance_number: integer(object, tags::INSTANCE_NUMBER),
            content_s: text(object, tags::CONTENT_TIME)
                .and_then(|text| AcquisitionTime::of_time(&text))
                .map(|time| (time.micros() / 1_000_000) as u32),
        }
    }

    /// From the frame content group of an enhanced image.
    pub(crate) fn of_frame(content: Option<&InMemDicomObject>) -> Self {
        let Some(content) = content else { return Self::default() };
        Self {
            number: integer(content, tags::FRAME_ACQUISITION_NUMBER),
            temporal_position: integer(content, tags::TEMPORAL_POSITION_INDEX),
            time: text(content, tags::FRAME_ACQUISITION_DATE_TIME)
                .and_then(|text| AcquisitionTime::of_date_time(&text)),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_scanners_write_them() {
        let time = |text| AcquisitionTime::of_time(text).map(|time| time.0);
        assert_eq!(time("100500"), Some(36_300_000_000));
        assert_eq!((time("100500.25"), time("10:05:00")), (Some(36_300_250_000), time("100500")));
        assert_eq!((time("10"), time("1005")), (Some(36_000_000_000), time("100500")));
        for text in ["", "1", "240000", "106000", "10050O", "100500.1234567", "-10500"] {
            assert_eq!(time(text), None, "{text}");
        }
        let both = AcquisitionTime::of_date_time("20240301100500.25+0100").unwrap();
        assert_eq!(Some(both), AcquisitionTime::of_time("100500.25"));
        assert_eq!(both.to_string(), "10:05:00");
        assert_eq!(AcquisitionTime::of_date_time("20240301"), None);
    }
}
