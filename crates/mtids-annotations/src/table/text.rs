//! Tables as text: CSV, or TSV where the header has a tab.

use std::path::Path;

use crate::error::AnnotationError;
use crate::table::cells::from_cells;
use crate::table::row::Table;

/// Largest table: 256 MiB of text, a million rows.
const MAX_BYTES: u64 = 256 << 20;

/// Reads a CSV or TSV table.
///
/// # Errors
/// [`AnnotationError`] naming the file and what to mend.
pub(crate) fn read_text(path: &Path) -> Result<Table, AnnotationError> {
    let unreadable = |detail: String| AnnotationError::table(path, detail);
    let metadata = std::fs::metadata(path).map_err(|error| unreadable(error.to_string()))?;
    if !metadata.is_file() || metadata.len() > MAX_BYTES {
        return Err(unreadable(format!("not a regular file, or larger than {MAX_BYTES} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
    let first = text.lines().next().unwrap_or_default();
    let delimiter = if first.contains('\t') { b'\t' } else { b',' };
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .trim(csv::Trim::All)
        .from_reader(text.trim_start_matches('\u{feff}').as_bytes());
    let header = reader.headers().map_err(|error| unreadable(error.to_string()))?;
    let columns: Vec<String> = header.iter().map(str::to_owned).collect();
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| unreadable(error.to_string()))?;
        rows.push((record.position().map_or(0, csv::Position::line), record.iter().map(str::to_owned).collect()));
    }
    from_cells(path, &columns, rows)
}
