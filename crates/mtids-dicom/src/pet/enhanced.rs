//! What the frames of an enhanced PET say of their values, tracer and time.
//!
//! Sources: PS3.3 C.8.22.4 (isotope), C.8.22.6 (corrections: Decay Correction DateTime), C.7.6.16.2.11 (real world values), C.7.6.16.2.25
//! (attributes that a converted object keeps unassigned), PS3.16 CID 84 and 85 (units). Invariant: units come from the mapping whose slope is
//! applied. Units: kg, Bq, s.

use std::sync::Arc;

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

use crate::element::{code, first_item, number, text};
use crate::functional::FunctionalGroups;
use crate::pet::facts::PetFacts;
use crate::pet::moment::Moment;
use crate::pixels::modality::Modality;

/// RealWorldValueSlope and RealWorldValueIntercept: doubles.
const SLOPE: Tag = tags::REAL_WORLD_VALUE_SLOPE;
const INTERCEPT: Tag = tags::REAL_WORLD_VALUE_INTERCEPT;

/// Doses that an enhanced object states in MBq, as the standard wants it; a number above them is in Bq, as in single frames. No dose of one
/// unit is one of the other.
const MBQ: std::ops::RangeInclusive<f64> = 1.0..=5000.0;

/// From stored values to the units of a frame.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PetValues {
    /// Slope and intercept.
    pub(crate) modality: Modality,
    /// Units and SUV type, named as in a single frame; `None` where only the object says them.
    units: Option<(String, Option<String>)>,
}

impl PetValues {
    /// Those of a frame: the mapping to SUV by body weight, else to Bq/ml, else the first one; without any, the plain rescale.
    ///
    /// # Errors
    /// A sentence for a frame without rescale, or with one that cannot be meant or is not read.
    pub(crate) fn read(groups: &FunctionalGroups<'_>, frame: usize, object: &InMemDicomObject) -> Result<Self, String> {
        let mappings: Vec<Self> =
            groups.all(frame, tags::REAL_WORLD_VALUE_MAPPING_SEQUENCE).iter().filter_map(mapping).collect();
        if let Some(best) = mappings.iter().min_by_key(|values| values.rank()) {
            // Ranges of stored values may have slopes of their own; which voxels lie in which is not read.
            if mappings.iter().any(|other| other.units == best.units && other.modality != best.modality) {
                return Err(
                    "RealWorldValueMappingSequence maps one unit in several pieces; one slope for all values is read"
                        .into(),
                );
            }
            return Ok(best.clone());
        }
        let transform = groups.get(frame, tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE).unwrap_or(object);
        let modality = Modality::rescale(transform)?.ok_or("no rescale and no real world value mapping")?;
        Ok(Self { modality, units: None })
    }
}

impl PetValues {
    /// Lowest for the values that are asked for.
    fn rank(&self) -> u8 {
        match &self.units {
            Some((units, Some(kind))) if units == "GML" && kind == "BW" => 0,
            Some((units, _)) if units == "BQML" => 1,
            _ => 2,
        }
    }
}

/// A linear real world value mapping with a slope.
fn mapping(item: &InMemDicomObject) -> Option<PetValues> {
    let (slope, intercept) = (number(item, SLOPE).filter(|slope| *slope != 0.0)?, number(item, INTERCEPT)?);
    let units = first_item(item, tags::MEASUREMENT_UNITS_CODE_SEQUENCE).and_then(code).map(|code| units(&code.value));
    Some(PetValues { modality: Modality::Linear { slope, intercept }, units })
}

/// A UCUM code as the units and the SUV type of a single frame; another one as it is.
fn units(ucum: &str) -> (String, Option<String>) {
    let plain: String = ucum.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_lowercase();
    let suv = |kind: &str| ("GML".to_owned(), Some(kind.to_owned()));
    match plain.as_str() {
        "bq/ml" => ("BQML".into(), None),
        "g/ml{suvbw}" | "{suvbw}g/ml" => suv("BW"),
        "g/ml{suvlbm}" | "{suvlbm}g/ml" => suv("LBM"),
        "g/ml{suvibw}" | "{suvibw}g/ml" => suv("IBW"),
        // Without annotation, the unit of four kinds of SUV.
        "g/ml" => suv("not stated"),
        _ => (ucum.to_owned(), None),
    }
}

/// Reads the facts of frames; equal ones lie in one place.
pub(crate) struct PetFrames<'a> {
    object: &'a InMemDicomObject,
    groups: &'a FunctionalGroups<'a>,
    /// Converted from single frames, whose attributes it keeps as they were.
    converted: bool,
    last: Option<Arc<PetFacts>>,
}

impl<'a> PetFrames<'a> {
    pub(crate) fn new(object: &'a InMemDicomObject, groups: &'a FunctionalGroups<'a>, converted: bool) -> Self {
        Self { object, groups, converted, last: None }
    }

    /// The facts of a frame.
    pub(crate) fn facts(&mut self, frame: usize, values: &PetValues) -> Arc<PetFacts> {
        let facts = self.read(frame, values);
        match &self.last {
            Some(last) if **last == facts => Arc::clone(last),
            _ => Arc::clone(self.last.insert(Arc::new(facts))),
        }
    }

    fn read(&self, frame: usize, values: &PetValues) -> PetFacts {
        let unassigned = [
            tags::UNASSIGNED_PER_FRAME_CONVERTED_ATTRIBUTES_SEQUENCE,
            tags::UNASSIGNED_SHARED_CONVERTED_ATTRIBUTES_SEQUENCE,
        ];
        let kept = unassigned.into_iter().filter_map(|group| self.groups.get(frame, group));
        let places: Vec<&InMemDicomObject> = kept.chain([self.object]).collect();
        let mut facts = PetFacts::read(&places);
        if let Some((units, suv_type)) = &values.units {
            (facts.units, facts.suv_type) = (Some(units.clone()), suv_type.clone());
        }
        let content = self.groups.get(frame, tags::FRAME_CONTENT_SEQUENCE);
        let stated = |place: Option<&InMemDicomObject>, tag| Moment::date_time(&text(place?, tag)?);
        facts.acquired = facts
            .acquired
            .or_else(|| stated(content, tags::FRAME_ACQUISITION_DATE_TIME))
            .or_else(|| stated(Some(self.object), tags::ACQUISITION_DATE_TIME));
        if self.converted {
            return facts;
        }
        facts.dose_bq = facts.dose_bq.map(|dose| if MBQ.contains(&dose) { 1e6 * dose } else { dose });
        for (tag, word) in [(tags::DECAY_CORRECTED, "DECY"), (tags::ATTENUATION_CORRECTED, "ATTN")] {
            if text(self.object, tag).as_deref() == Some("YES") {
                facts.corrected.push(word.to_owned());
            }
        }
        facts.corrected_to = stated(Some(self.object), tags::DECAY_CORRECTION_DATE_TIME);
        // An enhanced object states the moment instead of naming an event.
        facts.decay_correction = facts.decay_correction.or_else(|| facts.corrected_to.map(|_| "START".to_owned()));
        facts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_of_ucum_are_those_of_single_frames() {
        let named = |ucum: &str| {
            let (units, kind) = units(ucum);
            format!("{units} {}", kind.unwrap_or_default())
        };
        assert_eq!(
            ["Bq/ml", "g/ml{SUVbw}", "{SUVbw}g/ml", "g/ml{SUVlbm}", "g/ml", "{propcounts}"].map(named),
            ["BQML ", "GML BW", "GML BW", "GML LBM", "GML not stated", "{propcounts} "]
        );
    }
}
