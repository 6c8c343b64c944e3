//! The cells of one sheet of a workbook as rows of text.
//!
//! Invariants: a date keeps the form of one; a cell with a formula and no value is told apart from an empty one, and one whose formula may give 0
//! for an empty cell from one with a number.

use std::fs::File;
use std::io::BufReader;

use calamine::{DataRef, Xlsx};

use super::cells::MAX_COLUMNS;
use super::formula::Formulas;
use super::parquet::MAX_TEXT;
use super::record::Record;

/// Rows of a sheet.
pub(super) struct Rows {
    pub(super) rows: Vec<Record>,
    /// Rows, from 1, and columns of cells with a formula and no value.
    pub(super) formulas: Vec<(u64, usize)>,
    /// Those of cells whose 0 a formula may have made of an empty cell.
    pub(super) zeros: Vec<(u64, usize)>,
}

/// The first rows of a sheet that are not empty, with their numbers from 1.
///
/// # Errors
/// A sentence that names the sheet and what is wrong.
pub(super) fn rows_of(book: &mut Xlsx<BufReader<File>>, sheet: &str, most: usize) -> Result<Rows, String> {
    let mut cells = book.worksheet_cells_reader(sheet).map_err(|error| format!("sheet `{sheet}`: {error}"))?;
    let (mut rows, mut formulas, mut zeros) = (Vec::<Record>::new(), Vec::new(), Vec::new());
    let mut known = Formulas::default();
    let mut bytes = 0;
    while let Some(cell) =
        cells.next_cell_with_formula_metadata().map_err(|error| format!("sheet `{sheet}`: {error}"))?
    {
        let text = text_of(&cell.value);
        let (row, column) = cell.pos;
        if known.hands_on(cell.formula.as_ref()) && matches!(cell.value, DataRef::Int(0) | DataRef::Float(0.0)) {
            zeros.push((u64::from(row) + 1, column as usize));
        }
        if text.trim().is_empty() {
            // A formula that gives an empty text has that text as its value.
            if cell.formula.is_some() && cell.value == DataRef::Empty {
                formulas.push((u64::from(row) + 1, column as usize));
            }
            continue;
        }
        let (line, column) = (u64::from(row) + 1, column as usize);
        if column >= MAX_COLUMNS {
            return Err(format!(
                "sheet `{sheet}`, row {line}: a cell in column {}; the limit is {MAX_COLUMNS}",
                column + 1
            ));
        }
        if rows.last().is_none_or(|last| last.line < line) {
            if rows.len() == most {
                break;
            }
            rows.push(Record { line, cells: Vec::new() });
        }
        bytes += text.len() + size_of::<String>();
        if bytes > MAX_TEXT {
            return Err(format!("sheet `{sheet}`: more than {MAX_TEXT} bytes of text in its cells"));
        }
        // Rows of a sheet are in ascending order, by its format.
        let Some(last) = rows.last_mut().filter(|last| last.line == line) else {
            return Err(format!("sheet `{sheet}`, row {line}: rows are not in order"));
        };
        if last.cells.len() <= column {
            bytes += (column + 1 - last.cells.len()) * size_of::<String>();
            last.cells.resize(column + 1, String::new());
        }
        last.cells[column] = text;
    }
    Ok(Rows { rows, formulas, zeros })
}

/// The text that a cell would have in CSV; a date keeps the form of one.
fn text_of(value: &DataRef<'_>) -> String {
    match value {
        DataRef::Int(number) => number.to_string(),
        DataRef::Float(number) => number.to_string(),
        DataRef::String(text) | DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => text.clone(),
        DataRef::SharedString(text) => (*text).to_owned(),
        DataRef::Bool(truth) => truth.to_string(),
        DataRef::DateTime(time) => {
            let (year, month, day, ..) = time.to_ymd_hms_milli();
            format!("{year:04}-{month:02}-{day:02}")
        }
        DataRef::Error(error) => error.to_string(),
        DataRef::Empty => String::new(),
    }
}
