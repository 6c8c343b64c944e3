//! Findings from a table: CSV or other separated text, Parquet, or a sheet of an Excel workbook, with a header.
//!
//! Columns (case, spaces and underscores of names do not matter): the image by `series_uid`, `study_uid` or `sop_instance_uid`; the place by
//! `x_mm, y_mm, z_mm` (LPS, or RAS where `space` says so), by the voxel `i, j, k` (column, row, slice; from 0, or from 1 where `index_base`
//! says so; needs `series_uid`), or by the pixel `i, j` of the slice `sop_instance_uid`; optionally a box `x_min_mm … z_max_mm` or `i_min …
//! k_max`, or `diameter_mm`; labels `station`, `metastasis`, `evidence`, `level`, `short_axis_mm`; `finding` is free text. Other columns are
//! ignored. Invariant: a cell that cannot be understood is an error that names file, line and column; an empty label is unknown.

mod cells;
mod columns;
mod dialect;
mod encoding;
mod formula;
mod kind;
mod names;
mod parquet;
mod partly_filled;
mod parts;
mod quotes;
mod raised;
mod record;
pub mod row;
mod row_cells;
mod schema;
mod sheet;
mod shown;
mod text;
mod values;
mod workbook;

use std::path::Path;

use mtids_domain::taxonomy::StationMap;

use crate::error::AnnotationError;
use crate::table::cells::RawTable;
use crate::table::kind::{Kind, kind_of};
use crate::table::row::{Table, TableRow};

pub(crate) use columns::advice;
pub(crate) use encoding::decode_xml;
pub use names::{NameColumn, NamedText, lines_of, read_names};
pub use quotes::check_quotes;
pub use record::station_of_cell;
pub use schema::schema;
pub use text::PlainTable;

/// Reads a table, in the format that its first bytes show. Stations in it are of `map`.
///
/// # Errors
/// [`AnnotationError`] naming the file and what to mend.
pub fn read_table_file(path: &Path, map: StationMap) -> Result<Table, AnnotationError> {
    cells::from_cells(path, &raw_table(path)?, map)
}

fn raw_table(path: &Path) -> Result<RawTable, AnnotationError> {
    match kind_of(path)? {
        Kind::Parquet => parquet::read_parquet(path),
        Kind::Workbook => workbook::read_workbook(path),
        Kind::Text => text::read_text(path),
    }
}

/// Reads the rows of a table whose stations are of the IASLC map.
///
/// # Errors
/// As [`read_table_file`].
pub fn read_table(path: &Path) -> Result<Vec<TableRow>, AnnotationError> {
    read_table_file(path, StationMap::default()).map(|table| table.rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{SeriesGeometry, SliceUids};
    use crate::table::row::TablePosition;
    use mtids_domain::annotation::Extent;
    use mtids_domain::geometry::{Affine, PointMm};
    use mtids_domain::label::{Evidence, Metastasis};
    use mtids_domain::taxonomy::Station;

    fn read(text: &str) -> Result<Vec<TableRow>, AnnotationError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.csv");
        std::fs::write(&path, text).unwrap();
        read_table(&path)
    }

    #[test]
    fn a_row_with_labels() {
        let rows = read(
            "Series_UID,x_mm,y_mm,z_mm,station,metastasis,evidence,level,short_axis_mm,extra\n1.2,1,-2,3.5,R4,yes,b,station,11,x\n1.2,0,0,0,,,,,,\n",
        )
        .unwrap();
        assert_eq!(rows[0].position, TablePosition::Mm(PointMm::new(1.0, -2.0, 3.5), None));
        assert_eq!(rows[0].station, Some(Station::S4R.into()));
        assert_eq!((rows[0].metastasis, rows[0].evidence), (Some(Metastasis::Metastatic), Evidence::B));
        assert_eq!((rows[1].station, rows[1].metastasis, rows[1].evidence), (None, None, Evidence::U));
    }

    #[test]
    fn unknown_columns_are_listed_and_repeated_ones_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.csv");
        std::fs::write(&path, "series_uid,x_mm,y_mm,z_mm,Metastatic,voxels\n1,2,3,4,1,5\n").unwrap();
        let table = read_table_file(&path, StationMap::Iaslc).unwrap();
        assert_eq!(table.ignored_columns, ["metastatic", "voxels"]);
        assert_eq!(table.rows[0].metastasis, None, "a misspelt label column never labels");
        let twice = read("series_uid,x_mm,y_mm,z_mm,station,station\n1,2,3,4,7,4R\n").unwrap_err();
        assert!(twice.to_string().contains("`station` occurs twice"));
    }

    #[test]
    fn voxel_rows_resolve_through_the_affine() {
        let rows =
            read("series_uid\ti\tj\tk\ti_min\tj_min\tk_min\ti_max\tj_max\tk_max\n1\t1\t2\t3\t0\t0\t0\t2\t4\t6\n")
                .unwrap();
        let affine =
            Affine::new(PointMm::new(10.0, 0.0, 0.0), [[-1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 3.0]]).unwrap();
        let annotation = rows[0].resolve(&series(&["1.1", "1.2"], affine)).unwrap();
        assert_eq!(annotation.center, PointMm::new(9.0, 4.0, 9.0));
        let expected = Extent::Box { minimum: PointMm::new(8.0, 0.0, 0.0), maximum: PointMm::new(10.0, 8.0, 18.0) };
        assert_eq!(annotation.extent, expected);
        let from_one = read("series_uid,i,j,k,index_base\n1,2,3,4,1\n").unwrap();
        assert_eq!(from_one[0].position, TablePosition::Voxel([1.0, 2.0, 3.0], None));
    }

    /// A series of slices of 4 × 4 pixels.
    fn series<'a>(slices: &'a [&'a str], affine: Affine) -> SeriesGeometry<'a> {
        SeriesGeometry {
            patient_id: "P1",
            series_uid: "1.2.3",
            part: 0,
            study_uid: "1.2",
            frame_of_reference_uid: None,
            affine,
            dimensions: [4, 4, slices.len()],
            slices: SliceUids::Listed(slices),
        }
    }

    #[test]
    fn a_pixel_of_a_slice_resolves_by_its_uid() {
        let rows = read("sop_instance_uid,i,j\n1.2,4,5\n1.9,0,0\n").unwrap();
        let affine =
            Affine::new(PointMm::new(0.0, 0.0, 0.0), [[1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 3.0]]).unwrap();
        let series = series(&["1.1", "1.2"], affine);
        assert_eq!(rows[0].resolve(&series).map(|a| a.center), Some(PointMm::new(4.0, 10.0, 3.0)));
        assert_eq!(rows[1].resolve(&series), None);
        assert!(read("sop_instance_uid,i,j\n,4,5\n").unwrap_err().to_string().contains("sop_instance_uid"));
    }

    #[test]
    fn ras_millimetres_are_turned_with_their_boxes() {
        let rows = read(
            "series_uid,space,x_mm,y_mm,z_mm,x_min_mm,y_min_mm,z_min_mm,x_max_mm,y_max_mm,z_max_mm\n1,ras,1,2,3,0,1,2,2,3,4\n",
        )
        .unwrap();
        let corners = (PointMm::new(-2.0, -3.0, 2.0), PointMm::new(0.0, -1.0, 4.0));
        assert_eq!(rows[0].position, TablePosition::Mm(PointMm::new(-1.0, -2.0, 3.0), Some(corners)));
        assert!(read("series_uid,space,x_mm,y_mm,z_mm\n1,MNI,1,2,3\n").unwrap_err().to_string().contains("`MNI`"));
    }

    #[test]
    fn errors_name_file_line_and_column() {
        let message = |text: &str| read(text).unwrap_err().to_string();
        assert!(message("series_uid,x_mm,y_mm\n").contains("`z_mm` is missing"));
        assert!(message("x_mm,y_mm,z_mm\n").contains("series_uid"));
        let cell = message("series_uid,x_mm,y_mm,z_mm\n1,2,3,4\n1,2,oops,4\n");
        assert!(cell.contains("line 3") && cell.contains("`y_mm`"), "{cell}");
        assert!(message("series_uid,x_mm,y_mm,z_mm,metastasis\n1,2,3,4,perhaps\n").contains("`metastasis`"));
        assert!(message("series_uid,x_mm,y_mm,z_mm,station\n1,2,3,4,99\n").contains("lymph-node station"));
        assert!(read_table(Path::new("nowhere.csv")).unwrap_err().to_string().contains("nowhere.csv"));
    }

    const HEADER: &str = "series_uid,x_mm,y_mm,z_mm,station,metastasis";

    #[test]
    fn lines_are_counted_as_an_editor_counts_them() {
        let rows = [HEADER, "1,2,3,4,7,1", "1,2,3,4,7,0", "", "1,2,3,4,\"a\nb\",0", "1,oops,3,4,7,0"];
        for (name, end) in [("LF", "\n"), ("CR LF", "\r\n"), ("CR", "\r")] {
            let text = rows.join(end);
            let error = read(&text).unwrap_err().to_string();
            assert!(error.contains("line 5, column `station`"), "{name}: {error}");
            // The cell in quotes ends in the next line.
            assert!(error.contains("line 7, column `x_mm`"), "{name}: {error}");
            let good = text.replace("\"a\nb\"", "\"\n7\"").replace("oops", "5");
            let lines: Vec<u64> = read(&good).unwrap().iter().map(|row| row.line).collect();
            assert_eq!(lines, [2, 3, 5, 7], "{name}");
            let named: Vec<u64> = read(&format!("sep=,{end}{good}")).unwrap().iter().map(|row| row.line).collect();
            assert_eq!(named, [3, 4, 6, 8], "{name}, with a line that names the separator");
        }
    }

    #[test]
    fn semicolons_decimal_commas_and_empty_rows_are_read() {
        let text = "series_uid;x_mm;y_mm;z_mm;station;metastasis;\r\n1;-15,5;-72,25;3;10L;1,0;\r\n;;;;;;\r\n   \r\n1;9,0;0;0;;;;;\r\n";
        let rows = read(text).unwrap();
        assert_eq!(rows[0].position, TablePosition::Mm(PointMm::new(-15.5, -72.25, 3.0), None));
        assert_eq!((rows[0].station, rows[0].metastasis), (Some(Station::S10L.into()), Some(Metastasis::Metastatic)));
        assert_eq!((rows.len(), rows[1].line, rows[1].metastasis), (2, 5, None));
        let mixed = read("series_uid;x_mm;y_mm;z_mm\n1;1,5;1.500;3\n").unwrap_err().to_string();
        assert!(mixed.contains("line 2, column `y_mm`") && mixed.contains("thousands"), "{mixed}");
        let quoted = read(&format!("{HEADER}\n1,\"1,5\",3,4,7,1\n")).unwrap_err().to_string();
        assert!(quoted.contains("decimal comma in a table separated by commas"), "{quoted}");
    }

    #[test]
    fn missing_values_are_unknown_and_missing_places_are_errors() {
        for word in ["NaN", "NA", "N/A", "<NA>", "None", "null", "nan", "#N/A", "-"] {
            let rows =
                read(&format!("{HEADER},evidence,level,short_axis_mm\n1,2,3,4,{word},{word},{word},{word},{word}\n"));
            let row = rows.unwrap().remove(0);
            assert_eq!((row.station, row.metastasis, row.short_axis_mm), (None, None, None), "{word}");
            let error = read(&format!("{HEADER}\n1,2,{word},4,7,1\n")).unwrap_err().to_string();
            assert!(error.contains("line 2, column `y_mm`: the coordinate is empty"), "{word}: {error}");
        }
    }

    #[test]
    fn all_faulty_cells_are_listed_at_once() {
        let error = read(&format!("{HEADER}\n1,2,x,4,lung,perhaps\n,2,3,4,10-Nov,1\n1,2,3\n1,2,3,4,7,1,9\n"));
        let error = error.unwrap_err().to_string();
        let expected = [
            "table.csv, line 2, column `y_mm`: `x` is not a number",
            "table.csv, line 2, column `station`: `lung` is not a lymph-node station",
            "table.csv, line 2, column `metastasis`: `perhaps` is no metastasis status; understood are:",
            "table.csv, line 3, column `series_uid`: empty",
            "table.csv, line 3, column `station`: `10-Nov` is a date: a spreadsheet makes dates of stations",
            "table.csv, line 4: 3 cells, and the header names 6 columns; the line may be cut off",
            "table.csv, line 5: 7 cells, and the header names 6 columns; R's write.table",
        ];
        for words in expected {
            assert!(error.contains(words), "{words}\n{error}");
        }
        assert_eq!(error.lines().count(), expected.len());
        let many = format!("{HEADER}\n{}", "1,x,3,4,7,1\n".repeat(50));
        let error = read(&many).unwrap_err().to_string();
        assert_eq!(error.lines().count(), 21, "{error}");
        assert!(error.ends_with("30 more faulty cells"), "{error}");
    }

    #[test]
    fn a_station_without_place_is_unknown_and_listed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.csv");
        std::fs::write(&path, format!("{HEADER}\n1,2,3,4,10-11R,1\n1,2,3,5,4R+7,1\n1,2,3,6,level IV,0\n")).unwrap();
        let table = read_table_file(&path, StationMap::Iaslc).unwrap();
        let stations: Vec<_> = table.rows.iter().map(|row| row.station.unwrap().to_string()).collect();
        assert_eq!(stations, ["10R or 11R", "none", "none"]);
        let lines: Vec<_> = table.unplaced.iter().map(|cell| (cell.line, cell.text.as_str())).collect();
        assert_eq!(lines, [(3, "4R+7"), (4, "level IV")]);
        // Of the neck's levels, all three texts are understood or not as such.
        let neck = read_table_file(&path, StationMap::Neck).unwrap();
        assert_eq!(neck.rows[2].station.unwrap().to_string(), "1R or 1L");
    }

    #[test]
    fn misspelt_columns_are_suggested() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.csv");
        std::fs::write(&path, "series_uid,x_mm,y_mm,z_mm,statoin,Malignant,voxels\n1,2,3,4,7,1,5\n").unwrap();
        let table = read_table_file(&path, StationMap::Iaslc).unwrap();
        let suggested: Vec<_> = table.suggestions.iter().map(|(name, meant)| (name.as_str(), *meant)).collect();
        assert_eq!(suggested, [("statoin", "station"), ("malignant", "metastasis")]);
        assert_eq!((table.rows[0].station, table.rows[0].metastasis), (None, None));
        let error = read("seriesuid,coordX,coordY,coordZ\n1,2,3,4\n").unwrap_err().to_string();
        assert!(error.contains("`x_mm` is missing") && error.contains("did you mean `x_mm` by `coordx`"), "{error}");
        let unit = read("series_uid,x_cm,y_cm,z_cm\n1,2,3,4\n").unwrap_err().to_string();
        assert!(unit.contains("convert the values to mm, and rename `x_cm` to `x_mm`"), "{unit}");
        assert!(!unit.contains("did you mean"), "{unit}");
        let spaces = read("series_uid x_mm y_mm z_mm\n1 2 3 4\n").unwrap_err().to_string();
        assert!(spaces.contains("separated by spaces"), "{spaces}");
    }

    #[test]
    fn an_unknown_station_is_an_empty_cell() {
        for cell in ["unknown", "Unk", "?", " UNKNOWN "] {
            assert_eq!(read(&format!("{HEADER}\n1,2,3,4,{cell},1\n")).unwrap()[0].station, None, "{cell}");
        }
        for cell in ["??", "unknown 4R", "4R?", "unk."] {
            assert!(read(&format!("{HEADER}\n1,2,3,4,{cell},1\n")).is_err(), "{cell}");
        }
        let stations: Vec<_> = ["４Ｒ", "04R", "St. 4R", "4R (right lower paratracheal)"]
            .map(|cell| read(&format!("{HEADER}\n1,2,3,4,{cell},1\n")).unwrap()[0].station)
            .into();
        assert_eq!(stations, [Some(Station::S4R.into()); 4]);
    }

    #[test]
    fn lengths_of_zero_and_in_centimetres_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.csv");
        let table = |rows: &[&str]| {
            let rows: String = rows.iter().map(|lengths| format!("1,2,3,4,{lengths}\n")).collect();
            std::fs::write(&path, format!("series_uid,x_mm,y_mm,z_mm,short_axis_mm,diameter_mm\n{rows}")).unwrap();
            read_table_file(&path, StationMap::Iaslc).unwrap()
        };
        let zeros = table(&["0,0", "8.5,", "0.0,12"]);
        assert_eq!(zeros.no_length, [2, 4], "a row counts once");
        assert_eq!((zeros.rows[0].short_axis_mm, zeros.rows[0].diameter_mm), (None, None));
        assert_eq!((zeros.rows[1].short_axis_mm, zeros.small_lengths.len()), (Some(8.5), 0));
        assert_eq!(table(&["1.2,12", "0.8,8", "0.6,2"]).small_lengths, ["short_axis_mm"]);
        assert_eq!(table(&["12,1.2", "0,0.9", "6,2.9"]).small_lengths, ["diameter_mm"]);
        assert_eq!(table(&["3,", "0.8,", "4,"]).small_lengths.len(), 0);
        assert_eq!(table(&["3.5,", "0.8,", "1.2,"]).small_lengths, ["short_axis_mm"], "one is bulky");
        assert_eq!(table(&["8,12", "99,", ",88", "40,74.5"]).huge_lengths, [3, 4]);
        assert_eq!(table(&["12,8", "8,12", "9,9"]).short_above_long, [2]);
    }

    #[test]
    fn a_column_that_is_filled_in_some_rows_only_is_no_default() {
        let error = |text: &str| read(text).unwrap_err().to_string();
        let places = "series_uid,x_mm,y_mm,z_mm,space";
        for empty in ["", "NA"] {
            let said = error(&format!("{places}\n1,2,3,4,RAS\n1,2,3,5,{empty}\n"));
            assert!(said.contains("line 3, column `space`: empty, while other rows have `RAS`"), "{said}");
        }
        let said = error("series_uid,i,j,k,index_base\n1,2,3,4,1\n1,2,3,5,\n");
        assert!(said.contains("line 3, column `index_base`: empty, while other rows have `1`"), "{said}");
        // What the default says, too, and a column that is filled or empty everywhere.
        for rows in
            ["1,2,3,4,LPS\n1,2,3,5,\n", "1,2,3,4,ras\n1,2,3,5,RAS\n", "1,2,3,4,\n1,2,3,5,\n", "1,2,3,4,RAS\n,,,,\n"]
        {
            assert!(read(&format!("{places}\n{rows}")).is_ok(), "{rows}");
        }
        assert!(read("series_uid,i,j,k,index_base\n1,2,3,4,0\n1,2,3,5,\n").is_ok());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.csv");
        let levels = |rows: &str| {
            std::fs::write(&path, format!("{HEADER},level\n{rows}")).unwrap();
            read_table_file(&path, StationMap::Iaslc).unwrap().no_level
        };
        assert_eq!(
            levels("1,2,3,4,7,1,patient\n1,2,3,5,7,1,\n1,2,3,6,7,,\n"),
            [3],
            "a row without status has no level"
        );
        assert_eq!(levels("1,2,3,4,7,1,node\n1,2,3,5,7,1,\n"), Vec::<u64>::new());
    }

    #[test]
    fn an_empty_file_and_a_comment_before_the_header_are_named() {
        for text in ["", "\u{feff}", "\n \n"] {
            assert!(read(text).unwrap_err().to_string().contains("the file is empty"), "{text:?}");
        }
        let comment = read(&format!("# nodes of 2024\n{HEADER}\n1,2,3,4,7,1\n")).unwrap_err().to_string();
        assert!(comment.contains("its first line begins with `#`"), "{comment}");
        assert_eq!(read(&format!("#,{HEADER}\n5,1,2,3,4,7,1\n")).unwrap().len(), 1, "numbers of rows");
        assert_eq!(read(&format!("{HEADER}\n")).unwrap(), []);
    }

    #[test]
    fn a_length_that_is_smaller_than_any_node_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.csv");
        std::fs::write(
            &path,
            "series_uid,x_mm,y_mm,z_mm,short_axis_mm\n1,2,3,4,8\n1,2,3,5,1.2\n1,2,3,6,1.5\n1,2,3,7,0\n",
        )
        .unwrap();
        assert_eq!(read_table_file(&path, StationMap::Iaslc).unwrap().tiny_lengths, [3]);
    }

    #[test]
    fn a_stray_quotation_mark_never_moves_a_label() {
        // A mark for "as above" in a column of its own, in a label, and text that is never closed.
        let header = "series_uid,x_mm,y_mm,z_mm,reader,station,metastasis";
        let ditto = read(&format!("{header}\n1,2,3,4,AB,7,1\n1,2,3,5,\",4R,0\n1,2,3,6,\",10L,0\n")).unwrap_err();
        let ditto = ditto.to_string();
        assert!(ditto.contains("table.csv") && ditto.contains("line 3: the quotation mark of column 5"), "{ditto}");
        let in_label = read(&format!("{HEADER}\n1,2,3,4,\"\n7\n\",1\n1,2,3,4,\"4R\n7\",1\n")).unwrap_err().to_string();
        assert!(in_label.contains("line 5, column `station`: the cell has several lines"), "{in_label}");
        let open = read(&format!("{HEADER},note\n1,2,3,4,7,1,\"see report\n1,2,3,5,7,0,x\n")).unwrap_err().to_string();
        assert!(open.contains("line 2: the quotation mark of column 7 is never closed"), "{open}");
        let note = "\"round, 9 mm,\nno \"\"fat\"\", see report,\n2 of 3\"";
        let rows = read(&format!("note,{HEADER},finding\n{note},1,2,3,4,7,1,{note}\n{note},1,2,3,5,4R,0,x\n")).unwrap();
        assert_eq!(
            (rows.len(), rows[0].station, rows[1].station),
            (2, Some(Station::S7.into()), Some(Station::S4R.into()))
        );
    }

    #[test]
    fn a_status_in_the_station_and_a_dash_beside_plus_are_no_labels() {
        for cell in ["4R(+)", "7 (-)", "10L+", "4R-", "+4R", "4R + LN", "7 [+] x", "１０Ｌ＋", "4R（＋）"] {
            let error = read(&format!("{HEADER}\n1,2,3,4,{cell},\n")).unwrap_err().to_string();
            assert!(error.contains("the status in the column `metastasis`"), "{cell}: {error}");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.csv");
        std::fs::write(&path, format!("{HEADER}\n1,2,3,4,7,-\n1,2,3,5,7,1\n1,2,3,6,7,none\n")).unwrap();
        assert_eq!(read_table_file(&path, StationMap::Iaslc).unwrap().no_status, [2, 4]);
        let beside = read(&format!("{HEADER}\n1,2,3,4,7,N+\n1,2,3,5,7,-\n")).unwrap_err().to_string();
        assert!(beside.contains("line 3, column `metastasis`: `-` in a column with `+`"), "{beside}");
    }
}
