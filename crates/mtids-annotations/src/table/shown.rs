//! What a spreadsheet program shows of a sheet otherwise than its cells say: rows that are hidden, and numbers that look like something else.
//!
//! Invariants: the values of the cells are read, whatever is shown; who wrote the table by what is shown learns where it differs.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use calamine::{DataRef, Xlsx};
use zip::ZipArchive;

use super::parts::{attribute, each_element};
use super::raised::raised_cells;

/// What is shown otherwise.
#[derive(Debug, Default)]
pub(super) struct Shown {
    /// Rows, from 1, that are hidden, also by a filter; in ascending order.
    pub(super) hidden: Vec<u64>,
    /// Rows, from 1, with a cell that is struck through; in ascending order.
    pub(super) struck: Vec<u64>,
    /// Row, from 1, and column of the first cell with a raised or lowered letter.
    pub(super) raised: Option<(u64, usize)>,
    /// For each column with a number in a telling format the first such row, from 1, the column, and the format.
    pub(super) formats: Vec<(u64, usize, String)>,
}

/// What a workbook shows otherwise of these columns of a sheet, below its header.
///
/// # Errors
/// A sentence that names the sheet and what is wrong.
pub(super) fn shown(
    path: &Path,
    book: &mut Xlsx<BufReader<File>>,
    sheet: &str,
    header: u64,
    columns: &[usize],
) -> Result<Shown, String> {
    let fail = |error: String| format!("sheet `{sheet}`: {error}");
    let mut shown = formats(book, sheet, header, columns)?;
    let of_parts = hidden_rows(path, sheet).map_err(fail)?;
    shown.hidden = of_parts.hidden;
    shown.raised = of_parts.raised.into_iter().find(|(line, column)| *line > header && columns.contains(column));
    Ok(shown)
}

fn formats(book: &mut Xlsx<BufReader<File>>, sheet: &str, header: u64, columns: &[usize]) -> Result<Shown, String> {
    let fail = |error| format!("sheet `{sheet}`: {error}");
    let mut cells = book.worksheet_cells_reader(sheet).map_err(fail)?;
    let telling: Vec<Option<String>> = cells
        .styles()
        .iter()
        .map(|style| Some(style.number_format.as_ref()?.format_code.clone()).filter(|code| is_telling(code)))
        .collect();
    let is_struck: Vec<bool> =
        cells.styles().iter().map(|style| style.font.as_ref().is_some_and(|font| font.strikethrough)).collect();
    let (mut found, mut struck): (Vec<(u64, usize, String)>, BTreeSet<u64>) = (Vec::new(), BTreeSet::new());
    while let Some((cell, style)) = cells.next_cell_with_style_id().map_err(fail)? {
        let (row, column) = cell.get_position();
        let (line, column) = (u64::from(row) + 1, column as usize);
        let is_number = matches!(cell.get_value(), DataRef::Int(_) | DataRef::Float(_));
        let is_filled = !matches!(cell.get_value(), DataRef::Empty);
        if is_filled && is_struck.get(style) == Some(&true) && line > header && columns.contains(&column) {
            struck.insert(line);
        }
        let is_first = found.iter().all(|(_, known, _)| *known != column);
        if let Some(Some(code)) = telling.get(style)
            && is_number
            && is_first
            && line > header
            && columns.contains(&column)
        {
            found.push((line, column, code.clone()));
        }
    }
    Ok(Shown { formats: found, struck: struck.into_iter().collect(), ..Shown::default() })
}

/// Whether a number format shows a number as another one or as words: it has a condition, letters or digits of its own, a part that shows nothing, or
/// it divides by 1000 or multiplies by 100. The unit that columns have anyway tells nothing.
fn is_telling(code: &str) -> bool {
    let (mut bare, mut own, mut rest) = (String::new(), String::new(), code.chars());
    while let Some(c) = rest.next() {
        match c {
            '"' => own.extend(rest.by_ref().take_while(|c| *c != '"')),
            '\\' => own.extend(rest.next()),
            // The width of a character, and a character that fills the cell.
            '_' | '*' => _ = rest.next(),
            '[' => {
                let inside: String = rest.by_ref().take_while(|c| *c != ']').collect();
                if inside.starts_with(['=', '<', '>']) {
                    return true;
                }
            }
            c => bare.push(c),
        }
    }
    let says = own.contains(char::is_alphanumeric) && own.trim() != "mm";
    let divides = |part: &str| part.trim_end().ends_with(',');
    // A format of only text in its first part has no place for the number.
    let hides = code.contains(';') && bare.split(';').take(3).any(|part| part.trim().is_empty());
    says || hides || bare.contains('%') || bare.split(';').any(divides)
}

/// What the parts of a workbook say of a sheet.
#[derive(Default)]
struct OfParts {
    hidden: Vec<u64>,
    raised: BTreeSet<(u64, usize)>,
}

/// The rows of a sheet that are hidden, from 1, and its cells with raised letters. A workbook whose parts lie elsewhere than Excel puts them has none.
fn hidden_rows(path: &Path, sheet: &str) -> Result<OfParts, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(|error| error.to_string())?;
    let mut id = None;
    each_element(&mut archive, "xl/workbook.xml", |name, element| {
        if name == "sheet" && attribute(element, "name").as_deref() == Some(sheet) {
            id = attribute(element, "id");
        }
    })?;
    let mut target = None;
    each_element(&mut archive, "xl/_rels/workbook.xml.rels", |name, element| {
        if name == "Relationship" && id.is_some() && attribute(element, "Id") == id {
            target = attribute(element, "Target");
        }
    })?;
    let Some(target) = target else { return Ok(OfParts::default()) };
    let part = target.strip_prefix('/').map_or_else(|| format!("xl/{target}"), str::to_owned);
    let (mut row, mut hidden) = (0, Vec::new());
    each_element(&mut archive, &part, |name, element| {
        if name == "row" {
            row = attribute(element, "r").and_then(|number| number.parse().ok()).unwrap_or(row + 1);
            let is_hidden = matches!(attribute(element, "hidden").as_deref(), Some("1" | "true"));
            let is_flat = attribute(element, "ht").and_then(|points| points.parse::<f64>().ok()) == Some(0.0);
            if is_hidden || is_flat {
                hidden.push(row);
            }
        }
    })?;
    hidden.sort_unstable();
    Ok(OfParts { hidden, raised: raised_cells(&mut archive, &part)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_that_show_something_else_are_known() {
        for code in [
            r#"[=1]"benign";[=0]"malignant""#,
            r#""10L ("0")""#,
            r#"0"L""#,
            r#"0.0" cm""#,
            "0.0,",
            "0%",
            r#""pos";"neg";"neg""#,
            ";;;",
            r"0\L",
        ] {
            assert!(is_telling(code), "{code}");
        }
        for code in [
            "General",
            "0.00",
            "#,##0.0",
            "@",
            r#"0.0" mm""#,
            "0.0;[Red]-0.0",
            r#"_-* #,##0.0_-;-* #,##0.0_-;_-* "-"??_-;_-@_-"#,
        ] {
            assert!(!is_telling(code), "{code}");
        }
    }
}
