//! Lengths that a group of measurements states.
//!
//! Invariants: a length is read in a unit that is known by its UCUM code; a change, a deviation or a ratio of lengths is none; what hardly any node has is
//! read as it stands, and told. Units: mm.

use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use mtids_dicom::concepts::DERIVATION;
use mtids_dicom::element::{code, first_item, items, number, text};

use super::coordinates::{Coordinates, coordinates_of};
use super::item::{is, said};
use super::shape::Shape;
use crate::plausible::{MOST_MM, TINY_MM, is_huge};

/// Words of derivations that give no length, in lower case.
const NO_LENGTHS: [&str; 9] =
    ["change", "delta", "deviation", "difference", "percent", "percentage", "rate", "ratio", "variance"];

/// The length that an item states; `None` where it has no value, because then it was not measured.
///
/// # Errors
/// A sentence with what is not understood.
pub(super) fn length_of(item: &InMemDicomObject) -> Option<Result<f64, String>> {
    let value = first_item(item, tags::MEASURED_VALUE_SEQUENCE)?;
    let derivations = items(item, tags::CONTENT_SEQUENCE).iter().filter(|child| is(child, DERIVATION));
    let no_length = derivations.filter_map(said).find(|how| {
        let how = how.to_lowercase();
        how.split(|c: char| !c.is_alphabetic()).any(|word| NO_LENGTHS.contains(&word))
    });
    Some(match no_length {
        Some(how) => Err(format!(
            "`{}` is derived as `{how}`, and no length",
            text(value, tags::NUMERIC_VALUE).unwrap_or_default()
        )),
        None => millimetres(value),
    })
}

/// A positive length in mm; units are known by their UCUM code.
///
/// # Errors
/// A sentence with the value and the unit that are not understood.
fn millimetres(value: &InMemDicomObject) -> Result<f64, String> {
    let unit = first_item(value, tags::MEASUREMENT_UNITS_CODE_SEQUENCE).and_then(code).map(|unit| unit.value);
    let unit = unit.unwrap_or_default();
    let given = text(value, tags::NUMERIC_VALUE).unwrap_or_default();
    let factor = match unit.as_str() {
        "um" => 0.001,
        "mm" => 1.0,
        "cm" => 10.0,
        "dm" => 100.0,
        "m" => 1000.0,
        "[in_i]" => 25.4,
        _ => return Err(format!("`{given}` of unit `{unit}`, which is no length of UCUM that is read")),
    };
    let mm = number(value, tags::NUMERIC_VALUE).map(|number| number * factor);
    mm.filter(|mm| *mm > 0.0 && *mm <= MOST_MM).ok_or_else(|| format!("`{given}` {unit} is no length of a node"))
}

/// The line that a length was measured on, where it was one.
pub(super) fn line_of(item: &InMemDicomObject) -> Option<Coordinates> {
    let [one] = <[Coordinates; 1]>::try_from(coordinates_of(item).ok()?).ok()?;
    (one.shape == Shape::Polyline && one.points.len() == 2).then_some(one)
}

/// Why a short axis is doubted: a part of a sentence.
pub(super) fn doubt(short_mm: f64, long_mm: Option<f64>) -> Option<String> {
    if short_mm < TINY_MM {
        return Some(format!("{short_mm} mm is smaller than any node (is it in cm?)"));
    }
    if is_huge(Some(short_mm), None) {
        return Some(format!("{short_mm} mm is larger than lymph nodes are, or a code such as 99"));
    }
    let long = long_mm.filter(|long| short_mm > *long)?;
    Some(format!("{short_mm} mm is longer than the long axis of {long} mm"))
}

/// How far a stated length and its line may differ: rulers and rounding make less.
const TWICE: f64 = 2.0;

/// Why a short axis is doubted that was measured on a line of another length: a part of a sentence.
pub(crate) fn doubt_of_line(stated_mm: f64, drawn_mm: f64) -> Option<String> {
    let is_near = stated_mm <= TWICE * drawn_mm && drawn_mm <= TWICE * stated_mm;
    (!is_near).then(|| format!("{stated_mm} mm is stated, and its line is {drawn_mm:.1} mm long"))
}
