//! Tables in Excel workbooks (.xlsx), through calamine.
//!
//! Of several sheets, the one with the columns of a table is read. Invariants: a cell that is formatted as a date stays a date, so that it is
//! never taken for a number; a workbook is unpacked only if its real size is small enough.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use calamine::{DataRef, Reader, Xlsx};
use zip::ZipArchive;

use super::cells::{MAX_COLUMNS, RawTable, Record, is_table};
use super::parquet::MAX_TEXT;
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
    let mut tables = Vec::new();
    for sheet in &sheets {
        // Sheets of charts have no cells.
        let Ok(header) = rows_of(&mut book, sheet, 1) else { continue };
        if header.first().is_some_and(|record| is_table(&record.cells)) {
            tables.push(sheet);
        }
    }
    let sheet = match tables.as_slice() {
        [only] => only,
        // The columns that are missing are named by the reader.
        [] => sheets.first().ok_or_else(|| unreadable("no sheet in the workbook".into()))?,
        several => {
            let names: Vec<String> = several.iter().map(|name| format!("`{name}`")).collect();
            let detail =
                format!("{} sheets hold a table ({}): keep one in the workbook", several.len(), names.join(", "));
            return Err(unreadable(detail));
        }
    };
    let mut rows = rows_of(&mut book, sheet, MAX_ROWS).map_err(unreadable)?.into_iter();
    let names = rows.next().map(|record| record.cells).unwrap_or_default();
    let rows = rows.map(|mut record| {
        record.cells.resize(record.cells.len().max(names.len()), String::new());
        record
    });
    let records = rows.collect();
    Ok(RawTable { names, records, unit: "row", decimal_comma: true })
}

/// The first rows of a sheet that are not empty, with their numbers from 1.
fn rows_of(book: &mut Xlsx<BufReader<File>>, sheet: &str, most: usize) -> Result<Vec<Record>, String> {
    let mut cells = book.worksheet_cells_reader(sheet).map_err(|error| format!("sheet `{sheet}`: {error}"))?;
    let mut rows: Vec<Record> = Vec::new();
    let mut bytes = 0;
    while let Some(cell) = cells.next_cell().map_err(|error| format!("sheet `{sheet}`: {error}"))? {
        let text = text_of(cell.get_value());
        if text.trim().is_empty() {
            continue;
        }
        let (row, column) = cell.get_position();
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
    Ok(rows)
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
        Gap,
    }
    use Written::{Date, Gap, Number, Text};

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
            r#"<styleSheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><cellXfs count="2"><xf numFmtId="0"/><xf numFmtId="16"/></cellXfs></styleSheet>"#,
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
