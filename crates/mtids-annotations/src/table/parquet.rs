//! Tables as Parquet, through arrow.
//!
//! Invariant: a Parquet cell means what its text means in CSV, so both say the same; null is empty.

use std::fs::File;
use std::path::Path;

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::error::AnnotationError;
use crate::table::cells::from_cells;
use crate::table::row::Table;

/// Most rows of a table; each is held in memory.
const MAX_ROWS: i64 = 1_000_000;

/// Reads a Parquet table.
///
/// # Errors
/// [`AnnotationError`] naming the file and what to mend.
pub(crate) fn read_parquet(path: &Path) -> Result<Table, AnnotationError> {
    let unreadable = |detail: String| AnnotationError::table(path, detail);
    let file = File::open(path).map_err(|error| unreadable(error.to_string()))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| unreadable(error.to_string()))?;
    let count = builder.metadata().file_metadata().num_rows();
    if count > MAX_ROWS {
        return Err(unreadable(format!("{count} rows; the limit is {MAX_ROWS}")));
    }
    let columns: Vec<String> = builder.schema().fields().iter().map(|field| field.name().clone()).collect();
    if columns.len() > 1000 {
        return Err(unreadable(format!("{} columns; the limit is 1000", columns.len())));
    }
    let reader = builder.build().map_err(|error| unreadable(error.to_string()))?;
    let mut rows: Vec<(u64, Vec<String>)> = Vec::new();
    for batch in reader {
        let batch = batch.map_err(|error| unreadable(error.to_string()))?;
        let start = rows.len();
        rows.extend((start..start + batch.num_rows()).map(|row| (row as u64 + 1, vec![String::new(); columns.len()])));
        for (number, column) in batch.columns().iter().enumerate() {
            let text = cast(column, &DataType::Utf8)
                .map_err(|error| unreadable(format!("column `{}` has no text form: {error}", columns[number])))?;
            let text = text.as_string::<i32>();
            for (row, (_, cells)) in rows[start..].iter_mut().enumerate() {
                if text.is_valid(row) {
                    text.value(row).clone_into(&mut cells[number]);
                }
            }
        }
    }
    from_cells(path, &columns, rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::read_table_file;
    use arrow::array::{ArrayRef, Float64Array, Int8Array, StringArray};
    use arrow::record_batch::RecordBatch;
    use parquet::arrow::ArrowWriter;
    use std::sync::Arc;

    #[test]
    fn a_parquet_table_is_the_csv_table() {
        let folder = tempfile::tempdir().unwrap();
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("Series_UID", Arc::new(StringArray::from(vec!["1.2", "1.2"]))),
            ("x_mm", Arc::new(Float64Array::from(vec![1.5, -2.0]))),
            ("y_mm", Arc::new(Float64Array::from(vec![0.1, 3.0]))),
            ("z_mm", Arc::new(Float64Array::from(vec![7.0, 8.25]))),
            ("station", Arc::new(StringArray::from(vec![Some("4R"), None]))),
            ("metastasis", Arc::new(Int8Array::from(vec![Some(1), None]))),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let path = folder.path().join("nodes.parquet");
        let mut writer = ArrowWriter::try_new(File::create(&path).unwrap(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let csv = folder.path().join("nodes.csv");
        std::fs::write(&csv, "series_uid,x_mm,y_mm,z_mm,station,metastasis\n1.2,1.5,0.1,7,4R,1\n1.2,-2,3,8.25,,\n")
            .unwrap();
        assert_eq!(read_table_file(&path).unwrap(), read_table_file(&csv).unwrap());
        std::fs::write(&path, "no parquet").unwrap();
        assert!(read_table_file(&path).unwrap_err().to_string().contains("nodes.parquet"));
    }
}
