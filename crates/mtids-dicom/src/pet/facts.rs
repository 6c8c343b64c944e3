//! What a PET slice says of its tracer and its time.
//!
//! Units: kg, Bq, s.

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

use crate::element::{code, first_item, integer, items, number, text, text_of};
use crate::pet::moment::{Moment, time_of_day, utc_offset};

/// What a PET slice says of its tracer and its time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PetFacts {
    /// Units (0054,1001), as a classic PET names them.
    pub units: Option<String>,
    /// SUV type (0054,1006): of what kind values in g/ml are.
    pub suv_type: Option<String>,
    /// Decay correction (0054,1102).
    pub decay_correction: Option<String>,
    /// Corrected image (0028,0051).
    pub corrected: Vec<String>,
    /// Series type (0054,1000): what is imaged, and how.
    pub series_type: Vec<String>,
    /// How many times a dynamic series has (0054,0101), and how many slots of a cycle a gated one (0054,0071).
    pub times_and_slots: [Option<u32>; 2],
    /// Body weight in kg (0010,1030).
    pub weight_kg: Option<f64>,
    /// What stands for the weight and is no number.
    pub no_weight: Option<String>,
    /// Injected dose in Bq (0018,1074).
    pub dose_bq: Option<f64>,
    /// Half-life in s (0018,1075).
    pub half_life_s: Option<f64>,
    /// Code value of the nuclide (0054,0300).
    pub nuclide: Option<String>,
    /// More than one tracer, with different values.
    pub several_tracers: bool,
    /// Injection: date and time (0018,1078).
    pub injected: Option<Moment>,
    /// Injection: time of day of the local clock (0018,1072), in s.
    pub injected_time_of_day: Option<f64>,
    /// Seconds that the local clock is ahead of UTC (0008,0201).
    pub utc_offset_s: Option<i32>,
    /// Series date and time.
    pub series: Option<Moment>,
    /// Acquisition date and time.
    pub acquired: Option<Moment>,
    /// The time that activity is corrected to, where an enhanced object states it (0018,9701).
    pub corrected_to: Option<Moment>,
    /// GE's own reference time (0009,100D of GEMS_PETD_01).
    pub ge_reference: Option<Moment>,
    /// Philips' factor from counts to SUV (7053,1000).
    pub philips_suv: Option<f64>,
    /// Philips' factor from counts to Bq/ml (7053,1009).
    pub philips_activity: Option<f64>,
}

/// What an item of Radiopharmaceutical Information Sequence says.
#[derive(PartialEq)]
struct Tracer {
    dose: Option<f64>,
    half_life_s: Option<f64>,
    nuclide: Option<String>,
    start: Option<String>,
    start_time: Option<String>,
}

impl Tracer {
    fn read(item: &InMemDicomObject) -> Self {
        Self {
            dose: number(item, tags::RADIONUCLIDE_TOTAL_DOSE),
            half_life_s: number(item, tags::RADIONUCLIDE_HALF_LIFE),
            nuclide: first_item(item, tags::RADIONUCLIDE_CODE_SEQUENCE).and_then(code).map(|code| code.value),
            start: text(item, tags::RADIOPHARMACEUTICAL_START_DATE_TIME),
            start_time: text(item, tags::RADIOPHARMACEUTICAL_START_TIME),
        }
    }
}

impl PetFacts {
    /// Date and time of a DICOM date with time (DT, or DA and TM one behind the other).
    pub fn date_time(text: &str) -> Option<Moment> {
        Moment::date_time(text)
    }

    /// Seconds since midnight of a DICOM time (TM).
    pub fn time_of_day(text: &str) -> Option<f64> {
        time_of_day(text)
    }

    /// Reads the attributes of a slice; each from the first of `places` that has it (the image itself, or what a converted object keeps of it).
    pub(crate) fn read(places: &[&InMemDicomObject]) -> Self {
        let word = |tag: Tag| places.iter().find_map(|place| text(place, tag));
        let value = |tag: Tag| places.iter().find_map(|place| number(place, tag));
        let moment =
            |date: Tag, time: Tag| Moment::date_time(&format!("{}{}", word(date)?.replace('.', ""), word(time)?));
        let private = |group, creator, element| {
            places.iter().find_map(|place| text_of(place.private_element(group, creator, element).ok()?))
        };
        let philips = |element| {
            private(0x7053, "Philips PET Private Group", element)
                .and_then(|text| text.parse().ok())
                .filter(|factor: &f64| factor.is_finite() && *factor > 0.0)
        };
        let words = |tag: Tag| {
            let words = word(tag).map(|text| text.split('\\').map(|word| word.trim().to_owned()).collect());
            words.unwrap_or_default()
        };
        let count = |tag: Tag| places.iter().find_map(|place| integer(place, tag));
        let weight_kg = value(tags::PATIENT_WEIGHT);
        let tracers = places
            .iter()
            .map(|place| items(place, tags::RADIOPHARMACEUTICAL_INFORMATION_SEQUENCE))
            .find(|items| !items.is_empty())
            .unwrap_or_default();
        let tracer = tracers.first().map(Tracer::read);
        let several_tracers = tracers.iter().skip(1).any(|other| Some(Tracer::read(other)) != tracer);
        let tracer = tracer.as_ref();
        Self {
            units: word(tags::UNITS),
            suv_type: word(tags::SUV_TYPE),
            decay_correction: word(tags::DECAY_CORRECTION),
            corrected: words(tags::CORRECTED_IMAGE),
            series_type: words(tags::SERIES_TYPE),
            times_and_slots: [tags::NUMBER_OF_TIME_SLICES, tags::NUMBER_OF_TIME_SLOTS].map(count),
            weight_kg,
            no_weight: word(tags::PATIENT_WEIGHT).filter(|_| weight_kg.is_none()),
            dose_bq: tracer.and_then(|tracer| tracer.dose),
            half_life_s: tracer.and_then(|tracer| tracer.half_life_s),
            nuclide: tracer.and_then(|tracer| tracer.nuclide.clone()),
            several_tracers,
            injected: tracer.and_then(|tracer| Moment::date_time(tracer.start.as_deref()?)),
            injected_time_of_day: tracer.and_then(|tracer| time_of_day(tracer.start_time.as_deref()?)),
            utc_offset_s: word(tags::TIMEZONE_OFFSET_FROM_UTC).and_then(|text| utc_offset(&text)),
            series: moment(tags::SERIES_DATE, tags::SERIES_TIME),
            acquired: moment(tags::ACQUISITION_DATE, tags::ACQUISITION_TIME),
            corrected_to: None,
            ge_reference: private(0x0009, "GEMS_PETD_01", 0x0D).and_then(|text| Moment::date_time(&text)),
            philips_suv: philips(0x00),
            philips_activity: philips(0x09),
        }
    }

    /// Whether two slices say the same of everything that a factor depends on, times of slices aside.
    pub(super) fn agrees_with(&self, other: &Self) -> bool {
        (&self.units, &self.suv_type, &self.decay_correction, &self.nuclide)
            == (&other.units, &other.suv_type, &other.decay_correction, &other.nuclide)
            && (self.weight_kg, self.dose_bq, self.half_life_s, self.several_tracers)
                == (other.weight_kg, other.dose_bq, other.half_life_s, other.several_tracers)
            && (self.injected, self.injected_time_of_day, self.utc_offset_s, self.corrected_to)
                == (other.injected, other.injected_time_of_day, other.utc_offset_s, other.corrected_to)
            && (self.philips_suv, self.philips_activity) == (other.philips_suv, other.philips_activity)
    }
}
