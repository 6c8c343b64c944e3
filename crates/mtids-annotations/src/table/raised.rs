//! Cells of a sheet with a raised or lowered letter, as a footnote mark: `7` with a raised `1` is read as `71`.
//!
//! Invariant: cells are named, never changed; a workbook whose parts lie elsewhere than Excel puts them has none.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::BufReader;

use quick_xml::Reader;
use quick_xml::events::Event;
use zip::ZipArchive;

use super::parts::attribute;

/// The cells of a part with a sheet, by row and column, the row from 1 and the column from 0.
///
/// # Errors
/// Text of a part that is no XML.
pub(super) fn raised_cells(
    archive: &mut ZipArchive<BufReader<File>>,
    part: &str,
) -> Result<BTreeSet<(u64, usize)>, String> {
    let mut shared = BTreeSet::new();
    let mut item = 0_usize;
    each(archive, "xl/sharedStrings.xml", |piece| match piece {
        Piece::Raised => _ = shared.insert(item),
        Piece::End("si") => item += 1,
        Piece::Start(..) | Piece::Text(_) | Piece::End(_) => {}
    })?;
    let mut found = BTreeSet::new();
    let (mut cell, mut is_shared, mut in_value) = (None, false, false);
    each(archive, part, |piece| match piece {
        Piece::Start("c", place, kind) => {
            cell = place.as_deref().and_then(place_of);
            is_shared = kind.as_deref() == Some("s");
        }
        Piece::Start("v", ..) => in_value = true,
        Piece::End("v") => in_value = false,
        Piece::Text(text) if in_value && is_shared => {
            let is_raised = text.trim().parse().is_ok_and(|at: usize| shared.contains(&at));
            found.extend(cell.filter(|_| is_raised));
        }
        Piece::Raised => found.extend(cell),
        Piece::Start(..) | Piece::Text(_) | Piece::End(_) => {}
    })?;
    Ok(found)
}

/// What is looked at of a part.
enum Piece<'a> {
    /// An element with its attributes `r` and `t`.
    Start(&'a str, Option<String>, Option<String>),
    /// A run of text is raised or lowered.
    Raised,
    Text(&'a str),
    End(&'a str),
}

fn each(archive: &mut ZipArchive<BufReader<File>>, part: &str, mut look: impl FnMut(Piece<'_>)) -> Result<(), String> {
    let Ok(part) = archive.by_name(part) else { return Ok(()) };
    // Pieces are bounded, since the size of the workbook was checked.
    let mut reader = Reader::from_reader(BufReader::new(part));
    let mut buffer = Vec::new();
    loop {
        buffer.clear();
        let event = reader.read_event_into(&mut buffer).map_err(|error| format!("no XML: {error}"))?;
        let is_empty = matches!(event, Event::Empty(_));
        match event {
            Event::Start(element) | Event::Empty(element) => {
                let local = element.local_name();
                let name = String::from_utf8_lossy(local.as_ref());
                match &*name {
                    "vertAlign" if attribute(&element, "val").is_none_or(|value| value != "baseline") => {
                        look(Piece::Raised);
                    }
                    name @ ("c" | "v") => {
                        look(Piece::Start(name, attribute(&element, "r"), attribute(&element, "t")));
                    }
                    _ => {}
                }
                if is_empty {
                    look(Piece::End(&name));
                }
            }
            Event::End(element) => look(Piece::End(&String::from_utf8_lossy(element.local_name().as_ref()))),
            Event::Text(text) => look(Piece::Text(&String::from_utf8_lossy(&text))),
            Event::Eof => return Ok(()),
            _ => {}
        }
    }
}

/// Row from 1 and column from 0 of a place such as `AB12`.
fn place_of(place: &str) -> Option<(u64, usize)> {
    let digits = place.find(|c: char| c.is_ascii_digit())?;
    let column = place[..digits].bytes().try_fold(0_usize, |column, letter| {
        let letter = letter.is_ascii_uppercase().then(|| usize::from(letter - b'A') + 1)?;
        column.checked_mul(26)?.checked_add(letter)
    })?;
    Some((place[digits..].parse().ok()?, column.checked_sub(1)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_rows_and_columns() {
        for (text, place) in [("A1", Some((1, 0))), ("F12", Some((12, 5))), ("AB3", Some((3, 27)))] {
            assert_eq!(place_of(text), place, "{text}");
        }
        for text in ["", "A", "1", "a1", "A1x"] {
            assert_eq!(place_of(text), None, "{text}");
        }
    }
}
