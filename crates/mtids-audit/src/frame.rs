//! Arrow record batches become a polars frame.
//!
//! Purpose: the index is read and verified by `mtids-shards`, so the audit judges exactly the bytes that the manifest names,
//! and polars needs no Parquet reader of its own. Invariant: names, order, values and nulls of the columns stay; a type that
//! no column of the index has is an error.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Schema};
use polars::prelude::{
    BooleanChunked, Column, DataFrame, Float32Chunked, Float64Chunked, Int8Chunked, Int32Chunked, Int64Chunked,
    IntoSeries, NewChunkedArray, PolarsError, PolarsResult, Series, StringChunked,
};

/// All rows of `batches`, which share this schema; without any, its columns without rows.
///
/// # Errors
/// A column of another type, or columns of different lengths.
pub(crate) fn frame_of(schema: &Schema, batches: &[RecordBatch]) -> PolarsResult<DataFrame> {
    let mut columns = Vec::with_capacity(schema.fields().len());
    for (at, field) in schema.fields().iter().enumerate() {
        let arrays: Vec<&ArrayRef> = batches.iter().map(|batch| batch.column(at)).collect();
        columns.push(Column::from(series(field.name(), field.data_type(), &arrays)?));
    }
    let rows = batches.iter().map(RecordBatch::num_rows).sum();
    DataFrame::new(rows, columns)
}

/// One column, its batches one after the other.
pub(crate) fn series(name: &str, kind: &DataType, arrays: &[&ArrayRef]) -> PolarsResult<Series> {
    macro_rules! numbers {
        ($chunked:ident, $arrow:ty) => {{
            let parts = || arrays.iter().map(|array| array.as_primitive::<$arrow>());
            if parts().all(|part| part.null_count() == 0) {
                $chunked::from_vec(name.into(), parts().flat_map(|part| part.values().iter().copied()).collect())
            } else {
                $chunked::from_iter_options(name.into(), parts().flatten())
            }
            .into_series()
        }};
    }
    Ok(match kind {
        DataType::Int8 => numbers!(Int8Chunked, Int8Type),
        DataType::Int16 => {
            let values = arrays.iter().flat_map(|array| array.as_primitive::<Int16Type>());
            let wide = values.map(|value| value.map(i32::from));
            Int32Chunked::from_iter_options(name.into(), wide).into_series()
        }
        DataType::Int32 => numbers!(Int32Chunked, Int32Type),
        DataType::Int64 => numbers!(Int64Chunked, Int64Type),
        DataType::Float32 => numbers!(Float32Chunked, Float32Type),
        DataType::Float64 => numbers!(Float64Chunked, Float64Type),
        DataType::Boolean => {
            let values = arrays.iter().flat_map(|array| array.as_boolean().iter());
            BooleanChunked::from_iter_options(name.into(), values).into_series()
        }
        DataType::Utf8 => {
            let values = arrays.iter().flat_map(|array| array.as_string::<i32>().iter());
            StringChunked::from_iter_options(name.into(), values).into_series()
        }
        DataType::Null => Series::new_null(name.into(), arrays.iter().map(|array| array.len()).sum()),
        other => return Err(PolarsError::SchemaMismatch(format!("column `{name}` has type {other}").into())),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{BooleanArray, Date32Array, Float32Array, Int8Array, Int16Array, StringArray};
    use arrow::datatypes::Field;

    use super::*;

    fn batch(
        texts: &[Option<&str>],
        codes: &[Option<i8>],
        axes: &[Option<f32>],
        flags: &[Option<bool>],
    ) -> RecordBatch {
        let columns: Vec<(&str, ArrayRef, bool)> = vec![
            ("station", Arc::new(StringArray::from(texts.to_vec())), true),
            ("metastasis", Arc::new(Int8Array::from(codes.to_vec())), true),
            ("short_axis_mm", Arc::new(Float32Array::from(axes.to_vec())), true),
            ("pet", Arc::new(BooleanArray::from(flags.to_vec())), true),
        ];
        RecordBatch::try_from_iter_with_nullable(columns).unwrap()
    }

    #[test]
    fn values_and_nulls_of_all_batches_arrive_in_order() {
        let batches = [
            batch(&[Some("4R"), None], &[Some(1), None], &[None, Some(8.5)], &[Some(true), None]),
            batch(&[Some("7")], &[Some(0)], &[Some(12.0)], &[Some(false)]),
        ];
        let frame = frame_of(&batches[0].schema(), &batches).unwrap();
        assert_eq!((frame.height(), frame.width()), (3, 4));
        let texts: Vec<_> = frame.column("station").unwrap().str().unwrap().iter().collect();
        assert_eq!(texts, [Some("4R"), None, Some("7")]);
        let codes: Vec<_> = frame.column("metastasis").unwrap().i8().unwrap().iter().collect();
        assert_eq!(codes, [Some(1), None, Some(0)]);
        let axes: Vec<_> = frame.column("short_axis_mm").unwrap().f32().unwrap().iter().collect();
        assert_eq!(axes, [None, Some(8.5), Some(12.0)]);
        let flags: Vec<_> = frame.column("pet").unwrap().bool().unwrap().iter().collect();
        assert_eq!(flags, [Some(true), None, Some(false)]);
    }

    #[test]
    fn a_type_that_no_column_of_the_index_has_is_refused_by_name() {
        let schema = Arc::new(Schema::new(vec![Field::new("day", DataType::Date32, false)]));
        let dates = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(Date32Array::from(vec![1]))]).unwrap();
        assert!(frame_of(&schema, &[dates]).unwrap_err().to_string().contains("`day`"));
    }

    #[test]
    fn without_rows_the_columns_are_there_and_short_numbers_are_widened() {
        let schema = Schema::new(vec![Field::new("region", DataType::Int16, true)]);
        let empty = frame_of(&schema, &[]).unwrap();
        assert_eq!((empty.height(), empty.width()), (0, 1));
        let codes: ArrayRef = Arc::new(Int16Array::from(vec![Some(300), None]));
        let wide = series("region", &DataType::Int16, &[&codes]).unwrap();
        assert_eq!(wide.i32().unwrap().iter().collect::<Vec<_>>(), [Some(300), None]);
    }
}
