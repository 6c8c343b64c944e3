//! Tables as pandas, R and Excel write them: read, or refused by a sentence with file, line, column and cure.

use std::path::Path;

use super::study::Ct;
use super::{Case, Expect, Found, check_all};

/// The places of the rows of these cases.
const PLACES: [[f64; 3]; 3] = [[0.0, -59.5, -285.0], [9.0, -47.5, -292.5], [15.0, -40.0, -287.5]];

const LABELLED: &[Found] = &[
    Found::at(0.0, -59.5, -285.0).station("4R").region("upper").metastasis(1),
    Found::at(9.0, -47.5, -292.5).station("7").region("subcarinal").metastasis(0),
    Found::at(15.0, -40.0, -287.5).station("10L").region("hilar").metastasis(-1),
];

/// Station and status of each row.
const LABELS: [&str; 3] = ["4R,1", "7,0", "10L,"];

const HEADER: &str = "series_uid,x_mm,y_mm,z_mm,station,metastasis";

/// A table of the CT in `folder` with these labels (`station,metastasis`), in lines without ends.
fn lines(folder: &Path, labels: [&str; 3]) -> Vec<String> {
    let ct = Ct::new();
    ct.write(folder);
    let row = |([x, y, z], label): ([f64; 3], &str)| format!("{},{x:.2},{y:.2},{z:.2},{label}", ct.series_uid());
    let rows = PLACES.into_iter().zip(labels).map(row);
    [HEADER.to_owned()].into_iter().chain(rows).collect()
}

fn write(folder: &Path, bytes: impl AsRef<[u8]>) {
    std::fs::write(folder.join("nodes.csv"), bytes).unwrap();
}

/// Semicolons and decimal commas, a byte order mark, and the line in which Excel names its separator.
fn european_excel(folder: &Path) {
    let text = lines(folder, LABELS).join("\r\n").replace(',', ";").replace('.', ",");
    // Identifiers keep their points.
    let text = text.replace("2,25,", "2.25.");
    write(folder, format!("\u{feff}sep=;\r\n{text}\r\n;;;;;\r\n"));
}

/// What Excel calls Unicode text: UTF-16 with tabs.
fn unicode_text(folder: &Path) {
    let text = lines(folder, LABELS).join("\r\n").replace(',', "\t");
    let bytes: Vec<u8> = format!("\u{feff}{text}\r\n").encode_utf16().flat_map(u16::to_le_bytes).collect();
    write(folder, bytes);
}

/// A dash of Windows-1252, which is no UTF-8.
fn windows_1252(folder: &Path) {
    let text = lines(folder, ["10~11R,1", "7,0", "5,"]).join("\n");
    let bytes: Vec<u8> = text.bytes().map(|byte| if byte == b'~' { 0x96 } else { byte }).collect();
    write(folder, bytes);
}

fn missing_values(folder: &Path) {
    write(folder, lines(folder, ["4R,True", "<NA>,False", "NaN,nan"]).join("\n"));
}

fn serial_dates(folder: &Path) {
    write(folder, lines(folder, ["4R,1", "43344,0", "01-Sep,"]).join("\r\n"));
}

/// Lines that end in CR alone, as old Excel for Mac writes them.
fn carriage_returns(folder: &Path) {
    write(folder, lines(folder, ["4R,1", "lung,2", "10L,"]).join("\r"));
}

/// `write.table` of R writes row names without a header.
fn row_names(folder: &Path) {
    let lines = lines(folder, LABELS);
    let rows = lines[1..].iter().enumerate().map(|(n, line)| format!("\"{}\",{line}", n + 1));
    let text: Vec<String> = [lines[0].clone()].into_iter().chain(rows).collect();
    write(folder, text.join("\n"));
}

fn misspelt_columns(folder: &Path) {
    write(folder, lines(folder, LABELS).join("\n").replace("station,metastasis", "statoin,metastatis"));
}

fn another_format(folder: &Path) {
    lines(folder, LABELS);
    write(folder, b"PK\x03\x04 a workbook under another name");
}

const TABLE: &[&str] = &["--annotations", "nodes.csv"];

const CASES: &[Case] = &[
    Case {
        name: "european-excel",
        source: "docling-project/docling#4097",
        make: european_excel,
        arguments: TABLE,
        expect: Expect::found(LABELLED),
    },
    Case {
        name: "unicode-text",
        source: "HKUDS/Vibe-Trading#865",
        make: unicode_text,
        arguments: TABLE,
        expect: Expect::found(LABELLED),
    },
    Case {
        name: "windows-1252",
        source: "lifelike/countersheetsextension#64",
        make: windows_1252,
        arguments: TABLE,
        expect: Expect::found(&[
            Found::at(0.0, -59.5, -285.0).station("").region("hilar").metastasis(1),
            Found::at(9.0, -47.5, -292.5).station("7"),
            Found::at(15.0, -40.0, -287.5).station("5"),
        ])
        .says(&["Windows-1252"]),
    },
    Case {
        name: "missing-values",
        source: "pandas-dev/pandas#28335, root-project/root#9988",
        make: missing_values,
        arguments: TABLE,
        expect: Expect::found(&[
            Found::at(0.0, -59.5, -285.0).station("4R").metastasis(1),
            Found::at(9.0, -47.5, -292.5).station("").metastasis(0),
            Found::at(15.0, -40.0, -287.5).station("").metastasis(-1),
        ]),
    },
    Case {
        name: "serial-dates",
        source: "datacarpentry/spreadsheet-ecology-lesson#231",
        make: serial_dates,
        arguments: TABLE,
        expect: Expect::refused(
            3,
            &[
                "nodes.csv, line 3, column `station`: `43344` is a date",
                "line 4, column `station`: `01-Sep`",
                "as text",
            ],
        ),
    },
    Case {
        name: "carriage-returns",
        source: "old Excel for Mac ends lines with CR",
        make: carriage_returns,
        arguments: TABLE,
        expect: Expect::refused(
            3,
            &["nodes.csv, line 3, column `station`: `lung`", "nodes.csv, line 3, column `metastasis`: `2`"],
        ),
    },
    Case {
        name: "row-names",
        source: "R, write.table: row names have no header unless col.names=NA",
        make: row_names,
        arguments: TABLE,
        expect: Expect::refused(3, &["nodes.csv, line 2: 7 cells, and the header names 6 columns", "row.names=FALSE"]),
    },
    Case {
        name: "misspelt-columns",
        source: "VertNet/bels#39",
        make: misspelt_columns,
        arguments: TABLE,
        expect: Expect::found(&[
            Found::at(0.0, -59.5, -285.0).station("").metastasis(-1),
            Found::at(9.0, -47.5, -292.5).station("").metastasis(-1),
            Found::at(15.0, -40.0, -287.5).station("").metastasis(-1),
        ])
        .says(&["`statoin` is not read: did you mean `station`?", "did you mean `metastasis`?"]),
    },
    Case {
        name: "another-format",
        source: "dilshod/xlsx2csv#158",
        make: another_format,
        arguments: TABLE,
        expect: Expect::refused(3, &["nodes.csv", "a workbook or an archive under another name", "save it as CSV"]),
    },
];

#[test]
fn tables_are_read_or_refused_by_line_and_column() {
    check_all(CASES);
}
