//! Findings from a table: CSV, TSV, or any other rows of text cells with a header (Parquet).
//!
//! Columns (case does not matter): the image by `series_uid`, `study_uid` or `sop_instance_uid`; the place by `x_mm, y_mm, z_mm` (LPS, or
//! RAS where `space` says so), by the voxel `i, j, k` (column, row, slice; from 0, or from 1 where `index_base` says so; needs
//! `series_uid`), or by the pixel `i, j` of the slice `sop_instance_uid`; optionally a box `x_min_mm … z_max_mm` or `i_min … k_max`, or
//! `diameter_mm`; labels `station`, `metastasis`, `evidence`, `level`, `short_axis_mm`; `finding` is free text. Other columns are
//! ignored. Invariant: a cell that cannot be understood is an error that names file, line and column; an empty label is unknown.

mod cells;
mod parquet;
pub mod row;
mod schema;
mod text;

use std::path::Path;

use crate::error::AnnotationError;
use crate::table::row::{Table, TableRow};

pub use schema::schema;

/// Reads a table: `.parquet` through arrow, everything else as CSV or TSV.
///
/// # Errors
/// [`AnnotationError`] naming the file and what to mend.
pub fn read_table_file(path: &Path) -> Result<Table, AnnotationError> {
    let is_parquet = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("parquet"));
    if is_parquet { parquet::read_parquet(path) } else { text::read_text(path) }
}

/// Reads the rows of a table.
///
/// # Errors
/// As [`read_table_file`].
pub fn read_table(path: &Path) -> Result<Vec<TableRow>, AnnotationError> {
    read_table_file(path).map(|table| table.rows)
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
        assert_eq!(rows[0].station.map(Station::code), Some("4R"));
        assert_eq!((rows[0].metastasis, rows[0].evidence), (Some(Metastasis::Metastatic), Evidence::B));
        assert_eq!((rows[1].station, rows[1].metastasis, rows[1].evidence), (None, None, Evidence::U));
    }

    #[test]
    fn unknown_columns_are_listed_and_repeated_ones_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.csv");
        std::fs::write(&path, "series_uid,x_mm,y_mm,z_mm,Metastatic,voxels\n1,2,3,4,1,5\n").unwrap();
        let table = read_table_file(&path).unwrap();
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
}
