//! Quotation marks of a table of text: one that nothing closes, or that the mark of another row closes, hides rows.
//!
//! Purpose: a mark for "as above" in a column, or free text that begins with a quotation mark, would move the labels of one row to another.
//! Invariants: cells begin and end where the `csv` reader sees them begin and end; a text in quotes may have several lines, as long as they
//! do not look like rows.

use mtids_domain::label::is_missing;

/// What the rows of a table look like.
pub(super) struct Shape<'a> {
    /// Between cells.
    pub(super) separator: u8,
    /// Number of columns that have a name.
    pub(super) columns: usize,
    /// Which of them hold numbers.
    pub(super) numbers: &'a [usize],
}

/// Checks the quotation marks of a table of text, from its header on, with so many lines before it.
///
/// # Errors
/// A sentence naming the line of the quotation mark, and what to do.
pub fn check_quotes(text: &[u8], lines_before: u64, separator: u8, columns: usize) -> Result<(), String> {
    check(text, lines_before, &Shape { separator, columns, numbers: &[] })
}

/// As [`check_quotes`], for rows of a known shape.
pub(super) fn check(text: &[u8], lines_before: u64, shape: &Shape<'_>) -> Result<(), String> {
    let mut line = 1 + lines_before;
    let (mut at, mut column, mut begins_cell) = (0, 0, true);
    while let Some(&byte) = text.get(at) {
        if byte == b'"' && begins_cell {
            let inside = inside(&text[at + 1..]).ok_or_else(|| {
                format!(
                    "line {line}: the quotation mark of column {} is never closed; delete it, or close it",
                    column + 1
                )
            })?;
            let last = line + line_ends(inside);
            if hides_rows(inside, column, shape) || holds_row(inside, shape) {
                return Err(format!(
                    "line {line}: the quotation mark of column {} is closed in line {last}, and hides the rows between; delete it, or close it \
                     in its line",
                    column + 1
                ));
            }
            (line, begins_cell) = (last, false);
            at += inside.len() + 2;
            continue;
        }
        if is_end(byte) {
            line += u64::from(byte == b'\n' || text.get(at + 1) != Some(&b'\n'));
            (column, begins_cell) = (0, true);
        } else {
            begins_cell = byte == shape.separator;
            column += usize::from(begins_cell);
        }
        at += 1;
    }
    Ok(())
}

/// What stands between a quotation mark and the one that closes it; two together are a sign of the text.
fn inside(text: &[u8]) -> Option<&[u8]> {
    let mut at = 0;
    loop {
        at += text.get(at..)?.iter().position(|byte| *byte == b'"')?;
        if text.get(at + 1) != Some(&b'"') {
            return text.get(..at);
        }
        at += 2;
    }
}

/// Whether a text in quotes, which begins in `column`, is the end of one row and the beginning of another.
fn hides_rows(inside: &[u8], column: usize, shape: &Shape<'_>) -> bool {
    let first_end = inside.iter().position(|byte| is_end(*byte));
    let last_end = inside.iter().rposition(|byte| is_end(*byte));
    let (Some(first_end), Some(last_end)) = (first_end, last_end) else { return false };
    let cells = |piece: &[u8]| -> Vec<String> {
        let cells = piece.split(|byte| *byte == shape.separator);
        cells.map(|cell| String::from_utf8_lossy(cell).into_owned()).collect()
    };
    // The cell itself and all behind it in the first line; all before it in the last line.
    let (behind, before) = (cells(&inside[..first_end]), cells(&inside[last_end + 1..]));
    if shape.columns < 2 || column + behind.len() < shape.columns || before.len() <= column {
        return false;
    }
    let visible = shape.numbers.iter().filter(|number| **number != column);
    let mut hidden =
        visible.map(|&number| if number < column { before.get(number) } else { behind.get(number - column) });
    // Words and commas of a note are no numbers where those of a row would stand. Where no column has numbers, the closing mark tells: that of a
    // note ends its text, and that of another row begins a cell.
    let sees_none = shape.numbers.iter().all(|number| *number == column);
    let begins_cell = before.last().is_some_and(|cell| cell.trim().is_empty());
    (sees_none && begins_cell) || hidden.any(|cell| cell.is_some_and(|cell| is_number(cell)))
}

/// Whether a whole row stands within a text in quotes: a line with a cell for each column, and numbers where those of a row stand.
fn holds_row(inside: &[u8], shape: &Shape<'_>) -> bool {
    let mut lines = inside.split(|byte| is_end(*byte));
    // Of the first and the last line a part stands outside.
    lines.next();
    lines.next_back();
    let is_row = |line: &[u8]| {
        let cells: Vec<&[u8]> = line.split(|byte| *byte == shape.separator).collect();
        let is_filled =
            |column: &usize| cells.get(*column).is_some_and(|cell| is_number(&String::from_utf8_lossy(cell)));
        cells.len() >= shape.columns && shape.numbers.len() > 1 && shape.numbers.iter().all(is_filled)
    };
    lines.any(is_row)
}

/// Whether a cell is written as a number.
fn is_number(cell: &str) -> bool {
    let cell = cell.trim_matches(|c: char| c.is_whitespace() || c == '"');
    let is_part = |c: char| c.is_ascii_digit() || "+-.,eE\u{2212}".contains(c);
    !is_missing(cell) && cell.contains(|c: char| c.is_ascii_digit()) && cell.chars().all(is_part)
}

fn is_end(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}

/// Ends of lines: LF, CR LF or CR.
pub(super) fn line_ends(text: &[u8]) -> u64 {
    let is_one = |(at, byte): (usize, &u8)| *byte == b'\n' || (*byte == b'\r' && text.get(at + 1) != Some(&b'\n'));
    text.iter().enumerate().filter(|one| is_one(*one)).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "series_uid,x_mm,y_mm,z_mm,reader,station,comment";

    fn checked(rows: &str) -> Result<(), String> {
        let text = format!("{HEADER}\n{rows}");
        check(text.as_bytes(), 0, &Shape { separator: b',', columns: 7, numbers: &[1, 2, 3] })
    }

    #[test]
    fn a_stray_mark_that_hides_rows_is_named() {
        for (rows, line) in [
            ("1,2,3,4,\",7,a\n1,2,3,5,\",4R,b\n", 2),
            ("1,2,3,4,AB,7,a\n\",2,3,5,AB,4R,b\n\",2,3,6,AB,4R,b\n", 3),
            ("1,2,3,4,AB,7,\"hilum right\n1,2,3,5,AB,4R,\"see above\"\n", 2),
            ("1,2,3,4,AB,7,\"\r\n1,2,3,5,AB,4R,\"\r\n", 2),
            ("1,2,3,4,AB,7,\"\r1,2,3,5,AB,4R,x\r1,2,3,5,AB,4R,\"\r", 2),
            ("1,2,3,4,AB,7,a\n1,2,3,4,AB,7,\"never closed\n", 3),
            ("1,2,3,4,\"A\nB\",7,\"", 3),
            ("1,2,3,4,AB,7,\"big\n1,2,3,5,AB,4R,x\nend\"\n", 2),
        ] {
            let error = checked(rows).unwrap_err();
            assert!(error.starts_with(&format!("line {line}: ")), "{rows}: {error}");
        }
        assert!(checked("1,2,3,4,\",7,a\n1,2,3,5,\",4R,b\n").unwrap_err().contains("column 5 is closed in line 3"));
    }

    #[test]
    fn notes_of_several_lines_are_no_rows() {
        for rows in [
            "1,2,3,4,AB,7,\"seen at level 7,\nround, 12 mm, no fat, hilum gone, not sure, ask again, then report\"\n",
            "1,2,3,4,\"A\nB\",7,x\n",
            "\"1\n\",2,3,4,AB,7,\"a \"\"b\"\",\n c\"\n",
            "1,2,3,4,AB,7,5\" wide\n1,2,3,5,AB,4R,6\" wide\n",
            "1,2,3,4,AB,7, \"not in quotes\n1,2,3,5,AB,4R,x\n",
            "1,2,3,4,AB,7,\"\"\n1,2,3,5,AB,4R,\"\"\"\"\n",
        ] {
            assert_eq!(checked(rows), Ok(()), "{rows}");
        }
        assert_eq!(check_quotes(b"finding\n\"two\nlines\"\n", 0, b',', 1), Ok(()));
        assert!(check_quotes(b"a,b\n1,\"\n2,\"\n", 0, b',', 2).unwrap_err().contains("line 2"));
        assert!(check_quotes(b"a,b\n1,\"\n2,\"\n", 3, b',', 2).unwrap_err().contains("line 5"));
    }
}
