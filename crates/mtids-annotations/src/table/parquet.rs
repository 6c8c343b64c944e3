//! Tables as Parquet, through arrow.
//!
//! Invariant: a Parquet cell means what its text means in CSV, so both say the same; null is empty. Only known columns are decoded.

use std::fs::File;
use std::path::Path;

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::cells::{MAX_COLUMNS, RawTable};
use super::columns::{COLUMNS, name_of};
use super::record::Record;
use super::shown::Shown;
use crate::error::AnnotationError;

/// Most rows of a table; each is held in memory.
const MAX_ROWS: i64 = 1_000_000;
/// Most cells, those of columns that are not read among them: each takes 24 bytes.
const MAX_CELLS: u64 = 20_000_000;

/// Most bytes of text of all cells together, as of a text file.
pub(super) const MAX_TEXT: usize = 256 << 20;

/// Reads a Parquet table.
///
/// # Errors
/// [`AnnotationError`] naming the file and what to mend.
pub(super) fn read_parquet(path: &Path) -> Result<RawTable, AnnotationError> {
    let unreadable = |detail: String| AnnotationError::table(path, detail);
    let file = File::open(path).map_err(|error| unreadable(error.to_string()))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| unreadable(error.to_string()))?;
    let count = builder.metadata().file_metadata().num_rows();
    if count > MAX_ROWS {
        return Err(unreadable(format!("{count} rows; the limit is {MAX_ROWS}")));
    }
    let fields = builder.schema().fields().clone();
    if fields.len() > MAX_COLUMNS {
        return Err(unreadable(format!("{} columns; the limit is {MAX_COLUMNS}", fields.len())));
    }
    if count.unsigned_abs() * fields.len() as u64 > MAX_CELLS {
        let columns = fields.len();
        return Err(unreadable(format!(
            "{count} rows of {columns} columns; write those columns alone that the guide names"
        )));
    }
    let names: Vec<String> = fields.iter().map(|field| field.name().clone()).collect();
    let known: Vec<usize> = (0..names.len()).filter(|at| COLUMNS.contains(&name_of(&names[*at]).as_str())).collect();
    if let Some(nested) = known.iter().find(|at| fields[**at].data_type().is_nested()) {
        let kind = fields[*nested].data_type();
        return Err(unreadable(format!(
            "column `{}` holds several values in a cell ({kind}): write one value in each",
            names[*nested]
        )));
    }
    let mask = ProjectionMask::roots(builder.parquet_schema(), known.iter().copied());
    let reader = builder.with_projection(mask).build().map_err(|error| unreadable(error.to_string()))?;
    let mut rows: Vec<Record> = Vec::new();
    let mut bytes = 0;
    for batch in reader {
        let batch = batch.map_err(|error| unreadable(error.to_string()))?;
        let start = rows.len();
        rows.extend(
            (start..start + batch.num_rows())
                .map(|row| Record { line: row as u64 + 1, cells: vec![String::new(); names.len()] }),
        );
        for (column, at) in batch.columns().iter().zip(&known) {
            let text = cast(column, &DataType::Utf8)
                .map_err(|error| unreadable(format!("column `{}` has no text form: {error}", names[*at])))?;
            let text = text.as_string::<i32>();
            for (row, record) in rows[start..].iter_mut().enumerate() {
                if text.is_valid(row) {
                    bytes += text.value(row).len();
                    text.value(row).clone_into(&mut record.cells[*at]);
                }
            }
            if bytes > MAX_TEXT {
                return Err(unreadable(format!("more than {MAX_TEXT} bytes of text in its cells")));
            }
        }
    }
    Ok(RawTable { names, records: rows, unit: "row", decimal_comma: true, zeros: Vec::new(), shown: Shown::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::read_table_file;
    use arrow::array::{
        ArrayRef, BooleanArray, Decimal128Array, DictionaryArray, Float64Array, Int8Array, LargeStringArray, ListArray,
        StringArray, TimestampSecondArray,
    };
    use arrow::datatypes::Int32Type;
    use arrow::record_batch::RecordBatch;
    use mtids_domain::label::Metastasis;
    use mtids_domain::taxonomy::{Station, StationMap};
    use parquet::arrow::ArrowWriter;
    use parquet::basic::{BrotliLevel, Compression, GzipLevel, ZstdLevel};
    use parquet::file::properties::WriterProperties;
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
        let [parquet, mut text] = [&path, &csv].map(|path| read_table_file(path, StationMap::Iaslc).unwrap());
        // Rows of a text are counted with its header.
        text.rows.iter_mut().for_each(|row| row.line -= 1);
        assert_eq!(parquet, text);
        std::fs::write(&path, "no parquet").unwrap();
        assert!(read_table_file(&path, StationMap::Iaslc).unwrap_err().to_string().contains("nodes.parquet"));
    }

    /// A table with these columns beside the place, written with a codec.
    fn write(path: &Path, more: Vec<(&str, ArrayRef)>, compression: Compression) {
        let number = |x: f64| -> ArrayRef { Arc::new(Float64Array::from(vec![x, x + 1.0])) };
        let mut columns: Vec<(&str, ArrayRef)> =
            vec![("x_mm", number(1.5)), ("y_mm", number(2.0)), ("z_mm", number(3.0))];
        if more.iter().all(|(name, _)| *name != "series_uid") {
            columns.push(("series_uid", Arc::new(StringArray::from(vec!["1.2", "1.2"]))));
        }
        columns.extend(more);
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let properties = WriterProperties::builder().set_compression(compression).build();
        let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
    }

    #[test]
    fn every_common_codec_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nodes.parquet");
        for compression in [
            Compression::UNCOMPRESSED,
            Compression::SNAPPY,
            Compression::GZIP(GzipLevel::default()),
            Compression::LZ4_RAW,
            Compression::LZ4,
            Compression::BROTLI(BrotliLevel::default()),
            Compression::ZSTD(ZstdLevel::default()),
        ] {
            write(&path, vec![("metastasis", Arc::new(Float64Array::from(vec![1.0, f64::NAN])))], compression);
            let table = read_table_file(&path, StationMap::Iaslc).unwrap();
            let read: Vec<_> = table.rows.iter().map(|row| (row.line, row.metastasis)).collect();
            assert_eq!(read, [(1, Some(Metastasis::Metastatic)), (2, None)], "{compression:?}");
        }
    }

    #[test]
    fn columns_of_data_frames_mean_what_their_text_means() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nodes.parquet");
        let stations: DictionaryArray<Int32Type> = vec![Some("4R"), None].into_iter().collect();
        let nested = ListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![Some(1)]), None]);
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("series_uid", Arc::new(LargeStringArray::from(vec!["1.2", "1.3"]))),
            ("station", Arc::new(stations)),
            ("metastasis", Arc::new(BooleanArray::from(vec![Some(false), None]))),
            (
                "short_axis_mm",
                Arc::new(Decimal128Array::from(vec![Some(850), None]).with_precision_and_scale(6, 2).unwrap()),
            ),
            ("__index_level_0__", Arc::new(Int8Array::from(vec![0, 1]))),
            ("voxels", Arc::new(nested.clone())),
        ];
        write(&path, columns, Compression::SNAPPY);
        let table = read_table_file(&path, StationMap::Iaslc).unwrap();
        assert_eq!(table.ignored_columns, ["voxels"], "the index of a data frame is not worth a word");
        let row = &table.rows[0];
        assert_eq!((row.station, row.metastasis), (Some(Station::S4R.into()), Some(Metastasis::Benign)));
        assert_eq!(row.short_axis_mm, Some(8.5));
        let row = &table.rows[1];
        assert_eq!((row.station, row.metastasis, row.short_axis_mm), (None, None, None));
        let dates: ArrayRef = Arc::new(TimestampSecondArray::from(vec![Some(1_257_811_200), None]));
        write(&path, vec![("station", dates)], Compression::SNAPPY);
        let error = read_table_file(&path, StationMap::Iaslc).unwrap_err().to_string();
        assert!(error.contains("row 1, column `station`") && error.contains("is a date"), "{error}");
        write(&path, vec![("station", Arc::new(nested))], Compression::SNAPPY);
        let error = read_table_file(&path, StationMap::Iaslc).unwrap_err().to_string();
        assert!(error.contains("`station` holds several values"), "{error}");
    }
}
