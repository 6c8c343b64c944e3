//! What a written CT series says about itself, and how its HU become stored values.
//!
//! Invariant: reading a stored value back gives its HU within half a slope, where the range of the representation does not clamp it. Units:
//! HU, degrees.

use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

use crate::image_header::AcquisitionFacts;
use crate::write::encoding::Encoding;
use crate::write::parts::{decimal, put, put_decimals, put_short};

/// Slices with an own intercept step down by this many HU, and begin anew after [`INTERCEPTS`] slices.
const INTERCEPT_STEP: i32 = 16;
/// Number of intercepts.
const INTERCEPTS: usize = 7;

/// What a series says about itself, beyond its pixels.
#[derive(Clone, Debug, PartialEq)]
pub struct CtOptions {
    /// Series Instance UID.
    pub series_uid: String,
    /// SeriesDescription.
    pub description: String,
    /// Facts of the acquisition.
    pub facts: AcquisitionFacts,
    /// ImageType, values divided by backslashes.
    pub image_type: String,
    /// Transfer syntax.
    pub encoding: Encoding,
    /// HU of the stored value 0.
    pub intercept: i32,
    /// HU of a step of the stored value, above 0.
    pub slope: f64,
    /// Stored values are signed (PixelRepresentation 1).
    pub signed: bool,
    /// Every slice has an intercept of its own, at or below `intercept`, and slope 1: the HU are the same, the stored values are not.
    pub rescale_per_slice: bool,
    /// HU of the voxels that mean "outside the field": their stored value, clamped as all are, becomes PixelPaddingValue.
    pub padding: Option<i16>,
    /// PatientPosition.
    pub patient_position: String,
    /// SeriesNumber.
    pub series_number: u32,
    /// AcquisitionNumber.
    pub acquisition_number: u32,
    /// DerivationDescription and ImageComments.
    pub derivation: Option<String>,
    /// How the names of files begin, before the number of the slice.
    pub file_prefix: String,
    /// GantryDetectorTilt in degrees.
    pub gantry_tilt_degrees: Option<f64>,
}

impl CtOptions {
    /// An original axial series: unsigned, intercept −1024, slope 1, explicit little endian.
    pub fn new(series_uid: String, description: String, facts: AcquisitionFacts) -> Self {
        Self {
            series_uid,
            description,
            facts,
            image_type: "ORIGINAL\\PRIMARY\\AXIAL".into(),
            encoding: Encoding::default(),
            intercept: -1024,
            slope: 1.0,
            signed: false,
            rescale_per_slice: false,
            padding: None,
            patient_position: "HFS".into(),
            series_number: 1,
            acquisition_number: 1,
            derivation: None,
            file_prefix: "IM".into(),
            gantry_tilt_degrees: None,
        }
    }

    /// How slice `k` stores its HU.
    ///
    /// # Errors
    /// A sentence for a slope that is no slope.
    pub(crate) fn rescale(&self, k: usize) -> Result<Rescale, String> {
        // Downwards, so that unsigned values of the least HU are not clamped.
        let lower = (k % INTERCEPTS) as i32 * INTERCEPT_STEP;
        let (slope, intercept) =
            if self.rescale_per_slice { (1.0, self.intercept - lower) } else { (self.slope, self.intercept) };
        // What a reader will multiply with is the text.
        let slope: f64 = decimal(slope).parse().map_err(|_| format!("slope {slope}"))?;
        if !(slope.is_finite() && slope > 0.0) {
            return Err(format!("slope {slope}; it must be above 0"));
        }
        Ok(Rescale { slope, intercept: intercept.into(), signed: self.signed })
    }

    /// Puts the elements that single-frame and multi-frame images have in common at their top.
    pub(crate) fn put(&self, object: &mut InMemDicomObject) {
        put(object, tags::SERIES_DESCRIPTION, VR::LO, &self.description);
        put(object, tags::SERIES_NUMBER, VR::IS, &self.series_number.to_string());
        put(object, tags::PATIENT_POSITION, VR::CS, &self.patient_position);
        put(object, tags::BURNED_IN_ANNOTATION, VR::CS, "NO");
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        put(object, tags::MANUFACTURER, VR::LO, &text(&self.facts.manufacturer));
        put(object, tags::MANUFACTURER_MODEL_NAME, VR::LO, &text(&self.facts.model));
        if let Some(derivation) = &self.derivation {
            put(object, tags::DERIVATION_DESCRIPTION, VR::ST, derivation);
            put(object, tags::IMAGE_COMMENTS, VR::LT, derivation);
        }
    }
}

/// From HU to stored values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rescale {
    slope: f64,
    intercept: f64,
    signed: bool,
}

impl Rescale {
    /// The 16 bits of the stored value, clamped to the range of its representation.
    pub(crate) fn word(self, hu: i16) -> u16 {
        let stored = ((f64::from(hu) - self.intercept) / self.slope).round();
        // Casts saturate.
        if self.signed { stored as i16 as u16 } else { stored as u16 }
    }

    /// Puts slope and intercept.
    pub(crate) fn put(self, object: &mut InMemDicomObject) {
        put_decimals(object, tags::RESCALE_INTERCEPT, &[self.intercept]);
        put_decimals(object, tags::RESCALE_SLOPE, &[self.slope]);
        put(object, tags::RESCALE_TYPE, VR::LO, "HU");
    }

    /// Puts the stored value of padding, with the VR of the representation.
    pub(crate) fn put_padding(self, object: &mut InMemDicomObject, hu: i16) {
        let word = self.word(hu);
        if self.signed {
            let value = PrimitiveValue::from(word as i16);
            object.put(DataElement::new(tags::PIXEL_PADDING_VALUE, VR::SS, value));
        } else {
            put_short(object, tags::PIXEL_PADDING_VALUE, word);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_values_are_rounded_and_clamped() {
        let mut options = CtOptions::new("1".into(), String::new(), AcquisitionFacts::default());
        let words = |options: &CtOptions, k: usize| {
            let rescale = options.rescale(k).unwrap();
            [-3000, -1024, 0, 101, i16::MAX].map(|hu| rescale.word(hu))
        };
        assert_eq!(words(&options, 5), [0, 0, 1024, 1125, 33791]);
        options.slope = 2.0;
        assert_eq!(words(&options, 0), [0, 0, 512, 563, 16896]);
        options.rescale_per_slice = true;
        assert_eq!(words(&options, 9), [0, 32, 1056, 1157, 33823]);
        (options.rescale_per_slice, options.signed, options.intercept, options.slope) = (false, true, 0, 0.5);
        assert_eq!(words(&options, 0).map(|word| word as i16), [-6000, -2048, 0, 202, i16::MAX]);
        for slope in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            options.slope = slope;
            assert!(options.rescale(0).is_err(), "{slope}");
        }
    }
}
