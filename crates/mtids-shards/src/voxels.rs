//! Voxel columns: their names and types, and the way between values and bytes.
//!
//! A view is one `Binary` column, which pyarrow, polars, DuckDB and Hugging Face `datasets` open; the layout before had one column of
//! fixed width, which `datasets` refuses. Invariant: every value of a column has the length of its view. Units: `i16`, little-endian.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray};
use arrow::buffer::{Buffer, OffsetBuffer};
use mtids_patch::{View, ViewName};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl, get_column_reader};
use parquet::data_type::{AsBytes, DataType};
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::reader::ChunkReader;
use parquet::file::serialized_reader::SerializedPageReader;

use crate::version::PREVIOUS_LAYOUT;

/// Name of the voxel column of the previous layout.
const PREVIOUS_COLUMN: &str = "voxels";
/// Rows that are looked up in a page at a time; they are slices of it.
const ROWS_AT_A_TIME: usize = 16;

/// Name of the column of a view.
pub(crate) fn column_name(view: &ViewName) -> String {
    format!("voxels_{view}")
}

/// The column of a view: one value per row.
pub(crate) fn voxel_array<'a>(rows: impl Iterator<Item = &'a [i16]>) -> Result<ArrayRef, String> {
    let (mut bytes, mut lengths) = (Vec::new(), Vec::new());
    for voxels in rows {
        bytes.extend(voxels.iter().flat_map(|voxel| voxel.to_le_bytes()));
        lengths.push(2 * voxels.len());
    }
    if i32::try_from(bytes.len()).is_err() {
        return Err(format!(
            "a row group with {} bytes of one view; at most 2 GiB fit: lower `row_group_mib`",
            bytes.len()
        ));
    }
    let offsets = OffsetBuffer::from_lengths(lengths);
    let array = BinaryArray::try_new(offsets, Buffer::from_vec(bytes), None).map_err(|error| error.to_string())?;
    Ok(Arc::new(array))
}

/// Appends the voxels of a view in a row group, all rows one after the other. They are copied once, out of the decompressed page: an Arrow array
/// between would double the copies and what is in memory.
pub(crate) fn read_voxels<R: ChunkReader + 'static>(
    shard: &Arc<R>,
    group: &RowGroupMetaData,
    view: &View,
    layout: u32,
    voxels: &mut Vec<i16>,
) -> Result<(), String> {
    let is_previous = layout == PREVIOUS_LAYOUT;
    let name = if is_previous { PREVIOUS_COLUMN.to_owned() } else { column_name(&view.name) };
    let chunk = group.columns().iter().find(|chunk| chunk.column_path().string() == name);
    let chunk = chunk.ok_or_else(|| format!("column `{name}` is missing"))?;
    let rows = usize::try_from(group.num_rows()).map_err(|error| error.to_string())?;
    let pages = SerializedPageReader::new(Arc::clone(shard), chunk, rows, None).map_err(|error| error.to_string())?;
    let width = 2 * view.voxels();
    // The manifest may be wrong: room is made for no more than the column holds.
    let held = usize::try_from(chunk.uncompressed_size()).unwrap_or(0);
    voxels.reserve_exact(held.min(rows.saturating_mul(width)) / 2);
    match get_column_reader(chunk.column_descr_ptr(), Box::new(pages)) {
        ColumnReader::ByteArrayColumnReader(reader) if !is_previous => append(reader, &name, width, voxels),
        ColumnReader::FixedLenByteArrayColumnReader(reader) if is_previous => append(reader, &name, width, voxels),
        _ => Err(format!("column `{name}` has another type")),
    }
}

/// Appends every value of a column.
fn append<T: DataType>(
    mut reader: ColumnReaderImpl<T>,
    name: &str,
    width: usize,
    voxels: &mut Vec<i16>,
) -> Result<(), String> {
    let (mut values, mut levels, mut row) = (Vec::new(), Vec::new(), 0);
    loop {
        values.clear();
        levels.clear();
        let read = reader.read_records(ROWS_AT_A_TIME, Some(&mut levels), None, &mut values);
        let (rows, ..) = read.map_err(|error| error.to_string())?;
        if rows == 0 {
            return Ok(());
        }
        if values.len() != rows {
            return Err(format!("`{name}` is null in {} rows from row {row} on", rows.saturating_sub(values.len())));
        }
        for value in values.iter().map(T::T::as_bytes) {
            if value.len() != width {
                return Err(format!("`{name}` has {} bytes in row {row} where its view has {width}", value.len()));
            }
            voxels.extend(from_le_bytes(value));
            row += 1;
        }
    }
}

/// Pairs by value: bytes need not be aligned for i16. A loop over whole slices, which the compiler turns into a copy.
fn from_le_bytes(bytes: &[u8]) -> impl Iterator<Item = i16> + '_ {
    bytes.as_chunks::<2>().0.iter().map(|pair| i16::from_le_bytes(*pair))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{FixedSizeBinaryArray, RecordBatch};
    use arrow::datatypes::{Field, Schema};
    use bytes::Bytes;
    use mtids_patch::{Channel, PatchGeometry};
    use parquet::arrow::ArrowWriter;
    use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
    use parquet::file::properties::WriterProperties;
    use proptest::prelude::*;

    fn view(width: usize) -> View {
        let geometry = PatchGeometry { size: [1, 1, width], ..PatchGeometry::default() };
        View { name: ViewName::try_from("near".to_owned()).unwrap(), geometry, channels: vec![Channel::Ct] }
    }

    /// The voxels of a row group in a file of this column, with pages and row groups of so many rows.
    fn voxels_of(
        name: &str,
        array: ArrayRef,
        rows: usize,
        group: usize,
        view: &View,
        layout: u32,
    ) -> Result<Vec<i16>, String> {
        let field = Field::new(name, array.data_type().clone(), true);
        let batch = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![array]).unwrap();
        let properties = WriterProperties::builder()
            .set_max_row_group_row_count(Some(rows))
            .set_data_page_row_count_limit(2)
            .set_write_batch_size(1)
            .build();
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let shard = Arc::new(Bytes::from(bytes));
        let metadata = ArrowReaderMetadata::load(shard.as_ref(), ArrowReaderOptions::new()).unwrap();
        // Behind what the buffer holds.
        let mut voxels = vec![7];
        read_voxels(&shard, metadata.metadata().row_group(group), view, layout, &mut voxels)?;
        assert_eq!(voxels.remove(0), 7);
        Ok(voxels)
    }

    proptest! {
        #[test]
        fn voxels_of_every_row_group_come_back(width in 1usize..9, rows in 1usize..40, of_group in 1usize..40, seed in any::<i16>()) {
            let voxels: Vec<i16> = (0..width * rows).map(|n| (n as i16).wrapping_mul(977).wrapping_add(seed)).collect();
            for (group, expected) in voxels.chunks(width * of_group).enumerate() {
                let array = voxel_array(voxels.chunks(width)).unwrap();
                let found = voxels_of("voxels_near", array, of_group, group, &view(width), 6).unwrap();
                prop_assert_eq!(found, expected);
            }
        }
    }

    #[test]
    fn columns_of_the_previous_layout_have_a_fixed_width() {
        let values = [[1i16, -2], [300, 4]].map(|row| row.map(i16::to_le_bytes).concat());
        let array: ArrayRef = Arc::new(FixedSizeBinaryArray::try_from_iter(values.iter()).unwrap());
        assert_eq!(voxels_of("voxels", Arc::clone(&array), 9, 0, &view(2), 5).unwrap(), [1, -2, 300, 4]);
        assert!(voxels_of("voxels_near", array, 9, 0, &view(2), 6).unwrap_err().contains("another type"));
    }

    #[test]
    fn values_of_another_length_and_nulls_are_refused() {
        let lengths: [&[i16]; 2] = [&[1, 2], &[3]];
        let uneven = voxel_array(lengths.into_iter()).unwrap();
        let refused =
            |array: &ArrayRef, layout| voxels_of("voxels_near", Arc::clone(array), 9, 0, &view(2), layout).unwrap_err();
        assert!(refused(&uneven, 6).contains("2 bytes in row 1"));
        let null: ArrayRef = Arc::new(BinaryArray::from_opt_vec(vec![Some(b"abcd"), None]));
        assert!(refused(&null, 6).contains("null"));
        assert!(refused(&uneven, 5).contains("`voxels` is missing"));
    }
}
