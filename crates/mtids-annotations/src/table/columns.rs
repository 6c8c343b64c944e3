//! Names of columns: those that are read, and what a misspelt one may mean.
//!
//! Invariant: a name is read or not; a suggestion is only shown, never acted on.

/// Columns that are read.
pub(super) const COLUMNS: [&str; 32] = [
    "patient_id",
    "sop_instance_uid",
    "space",
    "index_base",
    "series_uid",
    "study_uid",
    "frame_of_reference_uid",
    "finding",
    "x_mm",
    "y_mm",
    "z_mm",
    "x_min_mm",
    "y_min_mm",
    "z_min_mm",
    "x_max_mm",
    "y_max_mm",
    "z_max_mm",
    "i",
    "j",
    "k",
    "i_min",
    "j_min",
    "k_min",
    "i_max",
    "j_max",
    "k_max",
    "diameter_mm",
    "station",
    "metastasis",
    "evidence",
    "level",
    "short_axis_mm",
];

/// Columns whose cells are numbers.
pub(super) const NUMBERS: [&str; 20] = [
    "x_mm",
    "y_mm",
    "z_mm",
    "x_min_mm",
    "y_min_mm",
    "z_min_mm",
    "x_max_mm",
    "y_max_mm",
    "z_max_mm",
    "i",
    "j",
    "k",
    "i_min",
    "j_min",
    "k_min",
    "i_max",
    "j_max",
    "k_max",
    "diameter_mm",
    "short_axis_mm",
];

/// Names of other tools and formats, without separators, and the column that they may mean.
const SYNONYMS: [(&str, &str); 39] = [
    ("seriesinstanceuid", "series_uid"),
    ("seriesid", "series_uid"),
    ("studyinstanceuid", "study_uid"),
    ("sopuid", "sop_instance_uid"),
    ("subject", "patient_id"),
    ("subjectid", "patient_id"),
    ("case", "patient_id"),
    ("coordx", "x_mm"),
    ("coordy", "y_mm"),
    ("coordz", "z_mm"),
    ("x", "x_mm"),
    ("y", "y_mm"),
    ("z", "z_mm"),
    ("diameter", "diameter_mm"),
    ("shortaxis", "short_axis_mm"),
    ("sad", "short_axis_mm"),
    ("metastatic", "metastasis"),
    ("malignant", "metastasis"),
    ("malignancy", "metastasis"),
    ("status", "metastasis"),
    ("metastasisstatus", "metastasis"),
    ("metastaticstatus", "metastasis"),
    ("metstatus", "metastasis"),
    ("nodestatus", "metastasis"),
    ("nodalstatus", "metastasis"),
    ("lnstatus", "metastasis"),
    ("nstatus", "metastasis"),
    ("pnstatus", "metastasis"),
    ("pn", "metastasis"),
    ("coordinatesystem", "space"),
    ("coordinatespace", "space"),
    ("coordsystem", "space"),
    ("coordsys", "space"),
    ("coordspace", "space"),
    ("label", "metastasis"),
    ("lnstation", "station"),
    ("nodestation", "station"),
    ("lymphnodestation", "station"),
    ("grade", "evidence"),
];

/// The form in which names are compared: lower case, without spaces, hyphens, underscores, quotes, brackets and marks of byte order.
fn bare(name: &str) -> String {
    let is_left_out = |c: char| c.is_whitespace() || "_-\"'()[]".contains(c) || matches!(c, '\u{feff}' | '\u{200b}');
    name.chars().filter(|c| !is_left_out(*c)).flat_map(char::to_lowercase).collect()
}

/// The column of this name where one is read, else the name in lower case.
pub(super) fn name_of(name: &str) -> String {
    let searched = bare(name);
    let known = COLUMNS.iter().find(|column| bare(column) == searched);
    known.map_or_else(
        || name.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}').to_lowercase(),
        |column| (*column).to_owned(),
    )
}

/// Whether an unknown column is the row index of a data frame, which pandas and R write without being asked.
pub(super) fn is_index(name: &str) -> bool {
    name.is_empty() || name.starts_with("__index_level_") || name.starts_with("unnamed:")
}

/// What an unknown column may mean.
pub(super) fn suggestion(name: &str) -> Option<&'static str> {
    let searched = bare(name);
    let synonym = SYNONYMS.iter().find(|(other, _)| *other == searched).map(|(_, column)| *column);
    synonym
        .or_else(|| COLUMNS.iter().copied().find(|column| is_other_unit(name, column)))
        .or_else(|| COLUMNS.iter().copied().find(|column| column.len() >= 4 && is_one_edit(&bare(column), &searched)))
}

/// Units of length that a column of mm may have by mistake, as they end a bare name.
const OTHER_UNITS: [&str; 8] = ["cm", "m", "um", "\u{b5}m", "in", "inch", "inches", "micron"];

/// Whether an unknown column is a known one in another unit: its numbers must be converted, so that a new name alone would be wrong.
pub(super) fn is_other_unit(name: &str, column: &str) -> bool {
    let searched = bare(name);
    let stem = bare(column).strip_suffix("mm").map(str::to_owned);
    let unit = stem.as_deref().and_then(|stem| searched.strip_prefix(stem));
    unit.is_some_and(|unit| OTHER_UNITS.contains(&unit))
}

/// What to do about an unknown column that may mean another one.
pub(crate) fn advice(name: &str, column: &str) -> String {
    if is_other_unit(name, column) {
        format!("column `{name}` is not read: convert its values to mm, and name the column `{column}`")
    } else {
        format!("column `{name}` is not read: did you mean `{column}`? Rename it, or leave it if not")
    }
}

/// Whether one letter more, less, other, or two neighbours exchanged make one name the other.
fn is_one_edit(a: &str, b: &str) -> bool {
    strsim::osa_distance(a, b) == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_whatever_their_form() {
        for name in ["Series_UID", " series uid ", "\u{feff}series_uid", "\"series-uid\"", "SeriesUID"] {
            assert_eq!(name_of(name), "series_uid", "{name}");
        }
        assert_eq!(name_of("SOPInstanceUID"), "sop_instance_uid");
        assert_eq!(name_of("Voxels"), "voxels");
    }

    #[test]
    fn a_misspelt_name_is_suggested_and_never_read() {
        for (name, meant) in [
            ("metastatis", "metastasis"),
            ("statoin", "station"),
            ("stations", "station"),
            ("evidenc", "evidence"),
            ("SeriesInstanceUID", "series_uid"),
            ("coordX", "x_mm"),
            ("Metastatic", "metastasis"),
            ("pN_status", "metastasis"),
            ("metastasis_status", "metastasis"),
            ("coordinate_system", "space"),
            ("x_cm", "x_mm"),
            ("diameter_inch", "diameter_mm"),
        ] {
            assert_eq!(suggestion(name), Some(meant), "{name}");
            assert!(!COLUMNS.contains(&name_of(name).as_str()), "{name}");
        }
        assert_eq!((suggestion("voxels"), suggestion("l")), (None, None), "short names are near to everything");
    }

    #[test]
    fn another_unit_is_converted_and_not_renamed() {
        for (name, meant) in [("x_cm", "x_mm"), ("short_axis_cm", "short_axis_mm"), ("Diameter (m)", "diameter_mm")] {
            assert_eq!(suggestion(name), Some(meant));
            let said = advice(name, meant);
            assert!(said.contains(&format!("convert its values to mm, and name the column `{meant}`")), "{said}");
            assert!(!said.contains("Rename"), "{said}");
        }
        assert!(advice("statoin", "station").contains("did you mean `station`? Rename it"));
        assert!(advice("coordX", "x_mm").contains("did you mean `x_mm`"));
    }
}
