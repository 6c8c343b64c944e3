//! Parts of a workbook as XML, without the cells' values.
//!
//! Invariant: a part that is not there has no elements.

use std::fs::File;
use std::io::BufReader;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use zip::ZipArchive;

/// Looks at each element of a part of a workbook, if there is such a part.
pub(super) fn each_element(
    archive: &mut ZipArchive<BufReader<File>>,
    part: &str,
    mut look: impl FnMut(&str, &BytesStart<'_>),
) -> Result<(), String> {
    let Ok(part) = archive.by_name(part) else { return Ok(()) };
    // Pieces are bounded, since the size of the workbook was checked.
    let mut reader = Reader::from_reader(BufReader::new(part));
    let mut buffer = Vec::new();
    loop {
        buffer.clear();
        match reader.read_event_into(&mut buffer).map_err(|error| format!("no XML: {error}"))? {
            Event::Start(element) | Event::Empty(element) => {
                look(&String::from_utf8_lossy(element.local_name().as_ref()), &element);
            }
            Event::Eof => return Ok(()),
            _ => {}
        }
    }
}

/// The value of an attribute, whatever its namespace.
pub(super) fn attribute(element: &BytesStart<'_>, name: &str) -> Option<String> {
    let found = element.attributes().flatten().find(|one| one.key.local_name().as_ref() == name.as_bytes())?;
    found.unescape_value().ok().map(|value| value.into_owned())
}
