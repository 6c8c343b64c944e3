//! Tables in Excel workbooks (.xlsx), through calamine.
//!
//! Of several sheets, the one with the columns of a table is read. Invariants: a cell that is formatted as a date stays a date, so that it is
//! never taken for a number; a cell whose value is not in the file (merged cells, formulas that nobody calculated) is never taken for an
//! empty one; a workbook is unpacked only if its real size is small enough.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use calamine::{Dimensions, Reader, Xlsx};
use zip::ZipArchive;

use super::cells::{RawTable, is_table};
use super::columns::{COLUMNS, name_of};
use super::record::Record;
use super::sheet::{Rows, rows_of};
use super::shown::shown;
use crate::error::AnnotationError;

/// Most bytes of a workbook, packed and unpacked.
const MAX_BYTES: u64 = 256 << 20;

/// Most files in a workbook, and most sheets.
const MAX_PARTS: usize = 1000;

/// Most rows of a sheet.
const MAX_ROWS: usize = 1_000_000;

/// Reads the table of a workbook.
///
/// # Errors
/// [`AnnotationError`] naming the file and what to mend.
pub(super) fn read_workbook(path: &Path) -> Result<RawTable, AnnotationError> {
    let unreadable = |error: String| {
        AnnotationError::table(path, format!("{error}; or save the sheet as CSV (in Excel: CSV UTF-8)"))
    };
    check_size(path).map_err(unreadable)?;
    let file = File::open(path).map_err(|error| unreadable(error.to_string()))?;
    let mut book = Xlsx::new(BufReader::new(file)).map_err(|error| unreadable(error.to_string()))?;
    let sheets = book.sheet_names();
    if sheets.len() > MAX_PARTS {
        return Err(unreadable(format!("{} sheets; the limit is {MAX_PARTS}", sheets.len())));
    }
    let Chosen { sheet, aside } = choose(&mut book, &sheets).map_err(unreadable)?;
    if !aside.is_empty() {
        tracing::warn!(table = %path.display(), sheets = aside.join(", "), "other sheets of the workbook have cells, and are not read");
    }
    let Rows { rows, formulas, zeros } = rows_of(&mut book, sheet, MAX_ROWS).map_err(unreadable)?;
    let lines: Vec<u64> = rows.iter().skip(1).map(|record| record.line).collect();
    let mut rows = rows.into_iter();
    let header = rows.next().unwrap_or_else(|| Record { line: 0, cells: Vec::new() });
    let names = header.cells;
    let known: Vec<usize> = (0..names.len()).filter(|at| COLUMNS.contains(&name_of(&names[*at]).as_str())).collect();
    if let Some((line, column)) = formulas.iter().find(|(line, column)| *line > header.line && known.contains(column)) {
        let detail = format!(
            "sheet `{sheet}`, row {line}, column `{}`: a formula without a value; open the workbook in a spreadsheet program and save it, or \
             write the value",
            names[*column]
        );
        return Err(unreadable(detail));
    }
    let merged =
        book.merge_cells_by_sheet_name(sheet).map_err(|error| unreadable(format!("sheet `{sheet}`: {error}")))?;
    if let Some((line, column)) = merged.iter().find_map(|range| merged_label(range, header.line, &lines, &known)) {
        let detail = format!(
            "sheet `{sheet}`, row {line}, column `{}`: merged cells, of which only the first has a value; unmerge them, and fill in each cell",
            names[column]
        );
        return Err(unreadable(detail));
    }
    let shown = shown(path, &mut book, sheet, header.line, &known).map_err(unreadable)?;
    if let Some((line, column)) = shown.raised {
        let detail = format!(
            "sheet `{sheet}`, row {line}, column `{}`: a raised or lowered letter, which would be read as one of the value; delete the footnote mark",
            names[column]
        );
        return Err(unreadable(detail));
    }
    let rows = rows.map(|mut record| {
        record.cells.resize(record.cells.len().max(names.len()), String::new());
        record
    });
    let records = rows.collect();
    Ok(RawTable { names, records, unit: "row", decimal_comma: true, zeros, shown })
}

/// The sheet that is read.
struct Chosen<'a> {
    sheet: &'a str,
    /// Others with a filled cell.
    aside: Vec<&'a str>,
}

/// Chooses the only sheet with the columns of a table; where none has them the first, whose missing columns the reader names.
///
/// # Errors
/// A sentence where there is no sheet, or several hold a table.
fn choose<'a>(book: &mut Xlsx<BufReader<File>>, sheets: &'a [String]) -> Result<Chosen<'a>, String> {
    let (mut tables, mut filled): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
    for sheet in sheets {
        // Sheets of charts have no cells.
        let Ok(Rows { rows, .. }) = rows_of(book, sheet, 1) else { continue };
        let Some(header) = rows.first() else { continue };
        filled.push(sheet);
        if is_table(&header.cells) {
            tables.push(sheet);
        }
    }
    let sheet = match tables.as_slice() {
        [only] => *only,
        [] => sheets.first().ok_or("no sheet in the workbook")?,
        several => {
            let names: Vec<String> = several.iter().map(|name| format!("`{name}`")).collect();
            return Err(format!(
                "{} sheets hold a table ({}): keep one in the workbook",
                several.len(),
                names.join(", ")
            ));
        }
    };
    filled.retain(|other| *other != sheet);
    Ok(Chosen { sheet, aside: filled })
}

/// Row, from 1, and column of a cell that a merged range leaves without its value. `lines` are those of the rows, the header's being `header`;
/// `columns` are those that are read. A range over a row and an empty one below it costs nothing.
fn merged_label(range: &Dimensions, header: u64, lines: &[u64], columns: &[usize]) -> Option<(u64, usize)> {
    let (first, last) = (u64::from(range.start.0) + 1, u64::from(range.end.0) + 1);
    let (left, right) = (range.start.1 as usize, range.end.1 as usize);
    let row_from = |from: u64| lines.get(lines.partition_point(|line| *line < from)).filter(|line| **line <= last);
    let to_the_right = columns.iter().find(|column| (left + 1..=right).contains(*column));
    let own = columns.iter().find(|column| **column == left);
    let beside = row_from(first).zip(to_the_right);
    let below = || row_from(first + 1).zip(own);
    let in_header = || own.filter(|_| left < right && (first..=last).contains(&header)).map(|column| (&header, column));
    beside.or_else(below).or_else(in_header).map(|(line, column)| (*line, *column))
}

/// Unpacks every part of the workbook to nowhere, since the sizes that an archive states need not be true.
fn check_size(path: &Path) -> Result<(), String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    if file.metadata().map_err(|error| error.to_string())?.len() > MAX_BYTES {
        return Err(format!("larger than {MAX_BYTES} bytes"));
    }
    let mut archive = ZipArchive::new(BufReader::new(file))
        .map_err(|error| format!("no Excel workbook (.xlsx), or a damaged one: {error}"))?;
    if archive.len() > MAX_PARTS {
        return Err(format!("{} files in the workbook; the limit is {MAX_PARTS}", archive.len()));
    }
    let mut left = MAX_BYTES;
    for number in 0..archive.len() {
        let part = archive.by_index(number).map_err(|error| format!("no Excel workbook, or a damaged one: {error}"))?;
        let mut bounded = std::io::Read::take(part, left + 1);
        let size = std::io::copy(&mut bounded, &mut std::io::sink()).map_err(|error| format!("damaged: {error}"))?;
        left = left.checked_sub(size).ok_or_else(|| format!("larger than {MAX_BYTES} bytes when it is unpacked"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::read_table_file;
    use crate::table::row::Table;
    use mtids_domain::label::Metastasis;
    use mtids_domain::taxonomy::{Station, StationMap};
    use std::io::Write;
    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    /// A cell of a sheet.
    enum Written {
        Text(&'static str),
        Number(f64),
        /// Days since 1900, in a cell that is formatted as a date.
        Date(u32),
        /// Formula with the value that a program has calculated.
        Formula(&'static str, Option<&'static str>),
        Gap,
    }
    use Written::{Date, Formula, Gap, Number, Text};

    fn sheet(rows: &[Vec<Written>]) -> String {
        let mut xml =
            String::from(r#"<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>"#);
        for (row, cells) in rows.iter().enumerate() {
            xml += &format!(r#"<row r="{}">"#, row + 1);
            for (column, cell) in cells.iter().enumerate() {
                let place = format!("{}{}", char::from(b'A' + column as u8), row + 1);
                xml += &match cell {
                    Text(text) => format!(r#"<c r="{place}" t="inlineStr"><is><t>{text}</t></is></c>"#),
                    Number(number) => format!(r#"<c r="{place}"><v>{number}</v></c>"#),
                    Date(days) => format!(r#"<c r="{place}" s="1"><v>{days}</v></c>"#),
                    Formula(formula, Some(value)) => {
                        format!(r#"<c r="{place}" t="str"><f>{formula}</f><v>{value}</v></c>"#)
                    }
                    Formula(formula, None) => format!(r#"<c r="{place}"><f>{formula}</f><v></v></c>"#),
                    Gap => String::new(),
                };
            }
            xml += "</row>";
        }
        xml + "</sheetData></worksheet>"
    }

    fn write(path: &Path, sheets: &[(&str, String)]) {
        let mut archive = ZipWriter::new(File::create(path).unwrap());
        let mut add = |name: &str, text: &str| {
            archive.start_file(name, SimpleFileOptions::default()).unwrap();
            archive.write_all(text.as_bytes()).unwrap();
        };
        let (mut list, mut links) = (String::new(), String::new());
        for (number, (name, xml)) in sheets.iter().enumerate() {
            list += &format!(r#"<sheet name="{name}" sheetId="{}" r:id="r{number}"/>"#, number + 1);
            links += &format!(
                r#"<Relationship Id="r{number}" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet" Target="worksheets/s{number}.xml"/>"#
            );
            add(&format!("xl/worksheets/s{number}.xml"), xml);
        }
        add(
            "xl/workbook.xml",
            &format!(
                r#"<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"><sheets>{list}</sheets></workbook>"#
            ),
        );
        add(
            "xl/_rels/workbook.xml.rels",
            &format!(
                r#"<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{links}</Relationships>"#
            ),
        );
        add(
            "_rels/.rels",
            r#"<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="w" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="xl/workbook.xml"/></Relationships>"#,
        );
        add(
            "xl/styles.xml",
            r#"<styleSheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><numFmts count="1"><numFmt numFmtId="170" formatCode="[=1]&quot;benign&quot;;[=0]&quot;malignant&quot;"/></numFmts><fonts count="2"><font/><font><strike/></font></fonts><cellXfs count="4"><xf numFmtId="0"/><xf numFmtId="16"/><xf numFmtId="170" applyNumberFormat="1"/><xf numFmtId="0" fontId="1" applyFont="1"/></cellXfs></styleSheet>"#,
        );
        archive.finish().unwrap();
    }

    fn header() -> Vec<Written> {
        ["series_uid", "x_mm", "y_mm", "z_mm", "station", "metastasis"].map(Text).into()
    }

    fn row(station: Written, metastasis: Written) -> Vec<Written> {
        vec![Text("1.2"), Number(-15.5), Number(2.0), Number(3.0), station, metastasis]
    }

    fn read(sheets: &[(&str, String)]) -> Result<Table, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nodes.xlsx");
        write(&path, sheets);
        read_table_file(&path, StationMap::Iaslc).map_err(|error| error.to_string())
    }

    #[test]
    fn the_sheet_with_the_columns_of_a_table_is_read() {
        let notes = sheet(&[vec![Text("made by")]]);
        let nodes = sheet(&[vec![], header(), row(Text("4R"), Number(1.0)), vec![], row(Number(7.0), Gap)]);
        let table = read(&[("notes", notes), ("nodes", nodes.clone())]).unwrap();
        let rows: Vec<_> = table.rows.iter().map(|row| (row.line, row.station, row.metastasis)).collect();
        let expected =
            [(3, Some(Station::S4R.into()), Some(Metastasis::Metastatic)), (5, Some(Station::S7.into()), None)];
        assert_eq!(rows, expected);
        let two = read(&[("a", nodes.clone()), ("b", nodes)]).unwrap_err();
        assert!(two.contains("2 sheets hold a table (`a`, `b`)"), "{two}");
    }

    #[test]
    fn sheets_with_cells_that_are_not_read_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nodes.xlsx");
        let nodes = sheet(&[header(), row(Text("4R"), Number(1.0))]);
        let others = [
            ("more", sheet(&[row(Text("7"), Gap)])),
            ("empty", sheet(&[])),
            ("legend", sheet(&[vec![Text("1 is benign")]])),
        ];
        write(&path, &[("nodes", nodes)].into_iter().chain(others).collect::<Vec<_>>());
        let mut book = Xlsx::new(BufReader::new(File::open(&path).unwrap())).unwrap();
        let sheets = book.sheet_names();
        let Chosen { sheet, aside } = choose(&mut book, &sheets).unwrap();
        assert_eq!((sheet, aside), ("nodes", vec!["more", "legend"]));
    }

    #[test]
    fn dates_and_missing_columns_are_named() {
        let error = read(&[("nodes", sheet(&[header(), row(Date(45_240), Gap)]))]).unwrap_err();
        assert!(error.contains("row 2, column `station`: `2023-11-10` is a date"), "{error}");
        let mut dated = row(Text("7"), Gap);
        dated[1] = Date(45_240);
        let error = read(&[("nodes", sheet(&[header(), dated]))]).unwrap_err();
        assert!(error.contains("column `x_mm`") && error.contains("is a date"), "{error}");
        let error = read(&[("nodes", sheet(&[vec![Text("x_mm"), Text("y_mm")]]))]).unwrap_err();
        assert!(error.contains("series_uid"), "{error}");
    }

    #[test]
    fn formulas_without_value_are_no_empty_labels() {
        let formula = "IF(G2&gt;1,&quot;malignant&quot;,&quot;&quot;)";
        let of = |value| read(&[("nodes", sheet(&[header(), row(Text("7"), Formula(formula, value))]))]);
        let found = |value| of(Some(value)).unwrap().rows[0].metastasis;
        assert_eq!((found("malignant"), found("")), (Some(Metastasis::Metastatic), None));
        let error = of(None).unwrap_err();
        assert!(error.contains("row 2, column `metastasis`: a formula without a value"), "{error}");
        // One in a column that is not read costs nothing.
        let mut beside = [header(), row(Text("7"), Number(1.0))];
        beside[1].push(Formula(formula, None));
        assert_eq!(read(&[("nodes", sheet(&beside))]).unwrap().rows.len(), 1);
    }

    /// A formula with a number as its value.
    fn counted(formula: &str, value: &str) -> String {
        format!(r#"<f>{formula}</f><v>{value}</v>"#)
    }

    #[test]
    fn a_zero_that_a_formula_made_of_an_empty_cell_is_no_label() {
        let of = |others: Written, formula: &str, value: &str| {
            let rows = [header(), row(Text("4R"), others), row(Text("7"), Number(5.0))];
            let xml = sheet(&rows).replace("<v>5</v>", &counted(formula, value));
            read(&[("nodes", xml)])
        };
        let look_up = "VLOOKUP(A3,[1]Patho!$A:$B,2,FALSE)";
        let error = of(Text("benign"), look_up, "0").unwrap_err();
        assert!(error.contains("row 3, column `metastasis`: a formula gives 0 beside statuses in words"), "{error}");
        // Among numbers it may be benign.
        let told = of(Number(1.0), look_up, "0").unwrap();
        assert_eq!(
            (told.rows[1].metastasis, told.doubtful_zeros),
            (Some(Metastasis::Benign), vec![(3, "metastasis".to_owned())])
        );
        for (formula, value) in [(look_up, "1"), ("IF(G3=5,1,0)", "0")] {
            assert_eq!(of(Number(1.0), formula, value).unwrap().doubtful_zeros, [], "{formula}");
        }
    }

    #[test]
    fn merged_cells_over_labels_are_refused() {
        let rows = [header(), row(Text("4R"), Number(1.0)), row(Gap, Gap)];
        let merged = |range: &str| {
            let cells = format!(r#"</sheetData><mergeCells count="1"><mergeCell ref="{range}"/></mergeCells>"#);
            read(&[("nodes", sheet(&rows).replace("</sheetData>", &cells))])
        };
        let error = merged("E2:E3").unwrap_err();
        assert!(error.contains("row 3, column `station`: merged cells"), "{error}");
        assert!(merged("D3:F3").unwrap_err().contains("row 3, column `station`"));
        assert_eq!(merged("G2:H3").unwrap().rows.len(), 2, "a column that is not read");
        assert_eq!(merged("E2:E2").unwrap().rows.len(), 2);
        assert!(merged("E1:F1").unwrap_err().contains("row 1, column `station`"), "a name of two columns");
        assert_eq!(merged("A3:A4").unwrap().rows.len(), 2, "over an empty row");
    }

    #[test]
    fn what_a_sheet_hides_or_shows_otherwise_is_told() {
        let rows = [header(), row(Text("4R"), Number(1.0)), row(Text("7"), Number(0.0))];
        let hidden = |attribute: &str| {
            let xml = sheet(&rows).replace(r#"<row r="3">"#, &format!(r#"<row r="3" {attribute}>"#));
            read(&[("notes", sheet(&[vec![Text("x")]])), ("no &amp; des", xml)]).unwrap()
        };
        let table = hidden(r#"hidden="1""#);
        assert_eq!((table.rows.len(), table.hidden, table.odd_formats), (2, vec![3], vec![]));
        assert_eq!((hidden("").hidden, hidden(r#"ht="0" customHeight="1""#).hidden), (vec![], vec![3]));
        // Style 2 shows 1 as benign.
        let styled = sheet(&rows)
            .replace(r#"<c r="F2">"#, r#"<c r="F2" s="2">"#)
            .replace(r#"<c r="F3">"#, r#"<c r="F3" s="2">"#);
        let table = read(&[("nodes", styled)]).unwrap();
        let format = r#"[=1]"benign";[=0]"malignant""#.to_owned();
        assert_eq!(table.odd_formats, [(2, "metastasis".to_owned(), format)]);
        assert_eq!(table.rows[0].metastasis, Some(Metastasis::Metastatic), "the value is read");
    }

    #[test]
    fn a_row_that_is_struck_through_is_told_and_a_footnote_mark_is_refused() {
        let rows = [header(), row(Text("4R"), Number(1.0)), row(Text("7"), Number(0.0))];
        let struck = sheet(&rows).replace(r#"<c r="F3">"#, r#"<c r="F3" s="3">"#);
        assert_eq!(read(&[("nodes", struck)]).unwrap().struck, [3]);
        assert_eq!(read(&[("nodes", sheet(&rows))]).unwrap().struck, Vec::<u64>::new());
        let run = r#"<is><r><t>4R</t></r><r><rPr><vertAlign val="superscript"/></rPr><t>1</t></r></is>"#;
        let marked = sheet(&rows).replacen("<is><t>4R</t></is>", run, 1);
        let error = read(&[("nodes", marked)]).unwrap_err();
        assert!(error.contains("row 2, column `station`") && error.contains("footnote mark"), "{error}");
    }

    #[test]
    fn damaged_and_oversized_workbooks_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nodes.xlsx");
        std::fs::write(&path, b"PK\x03\x04 and no more").unwrap();
        let error = read_table_file(&path, StationMap::Iaslc).unwrap_err().to_string();
        assert!(error.contains("save the sheet as CSV"), "{error}");
        // A cell far out must not allocate what lies before it.
        let far = sheet(&[header()])
            .replace("</sheetData>", r#"<row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData>"#);
        assert!(read(&[("nodes", far)]).unwrap_err().contains("column 16384"));
        let mut archive = ZipWriter::new(File::create(&path).unwrap());
        archive.start_file("xl/workbook.xml", SimpleFileOptions::default()).unwrap();
        for _ in 0..300 {
            archive.write_all(&vec![b' '; 1 << 20]).unwrap();
        }
        archive.finish().unwrap();
        let error = read_table_file(&path, StationMap::Iaslc).unwrap_err().to_string();
        assert!(error.contains("when it is unpacked"), "{error}");
    }
}
