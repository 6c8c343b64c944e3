//! Labels as cells of the table of corrections write them.
//!
//! Invariant: a word that is no label is refused with the words that are, never taken for unknown.

use mtids_domain::label::{Evidence, LabelLevel, Metastasis, ParseLabelError, is_missing};
use mtids_domain::taxonomy::{RegionScheme, Station};

use super::dimension::Dimension;

/// The word for a label that is not known.
pub(super) const UNKNOWN: &str = "unknown";

/// Whether a cell is a label of this dimension.
pub(super) fn check_label(dimension: Dimension, cell: &str, regions: &RegionScheme) -> Result<(), String> {
    match dimension {
        Dimension::Region => region(cell, regions).map(|_| ()),
        Dimension::Station => station(cell).map(|_| ()),
        Dimension::Metastasis => status(cell).map(|_| ()),
        Dimension::Evidence => evidence(cell).map(|_| ()),
        Dimension::Level => level(cell).map(|_| ()),
    }
}

pub(super) fn status(cell: &str) -> Result<Option<Metastasis>, String> {
    Metastasis::parse_cell(cell).map_err(|error| error.to_string())
}

pub(super) fn evidence(cell: &str) -> Result<Evidence, String> {
    cell.parse().map_err(|error: ParseLabelError| error.to_string())
}

pub(super) fn level(cell: &str) -> Result<LabelLevel, String> {
    cell.parse().map_err(|error: ParseLabelError| error.to_string())
}

pub(super) fn station(cell: &str) -> Result<Option<Station>, String> {
    if is_unknown(cell) {
        return Ok(None);
    }
    cell.parse().map(Some).map_err(|error: mtids_domain::taxonomy::ParseStationError| error.to_string())
}

/// Code of a region of this build.
pub(super) fn region(cell: &str, regions: &RegionScheme) -> Result<Option<i8>, String> {
    if is_unknown(cell) {
        return Ok(None);
    }
    let all = regions.regions();
    let found = all.iter().position(|region| region.name.eq_ignore_ascii_case(cell)).and_then(|n| i8::try_from(n).ok());
    found.map(Some).ok_or_else(|| {
        let names: Vec<&str> = all.iter().map(|region| region.name.as_str()).collect();
        format!("`{cell}` is no region of this build; there are {}, {UNKNOWN}", names.join(", "))
    })
}

fn is_unknown(cell: &str) -> bool {
    is_missing(cell) || cell.eq_ignore_ascii_case(UNKNOWN)
}
