//! Voxel columns: their names and types, and the way between values and bytes.
//!
//! A view is one `Binary` column, which pyarrow, polars, DuckDB and Hugging Face `datasets` open; the layout before had one column of
//! fixed width, which `datasets` refuses. Invariant: every value of a column has the length of its view. Units: `i16`, little-endian.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BinaryArray, FixedSizeBinaryArray, RecordBatch};
use arrow::buffer::{Buffer, OffsetBuffer};
use mtids_patch::{View, ViewName};

use crate::previous::PREVIOUS_LAYOUT;

/// Name of the voxel column of the previous layout.
const PREVIOUS_COLUMN: &str = "voxels";

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

/// Appends the voxels of a view in a batch of this layout, all rows one after the other.
pub(crate) fn append_voxels(
    batch: &RecordBatch,
    view: &View,
    layout: u32,
    voxels: &mut Vec<i16>,
) -> Result<(), String> {
    let name = if layout == PREVIOUS_LAYOUT { PREVIOUS_COLUMN.to_owned() } else { column_name(&view.name) };
    let column = batch.column_by_name(&name).ok_or_else(|| format!("column `{name}` is missing"))?;
    let other_type = || format!("column `{name}` has another type");
    let width = 2 * view.voxels();
    if column.null_count() > 0 {
        return Err(format!("`{name}` is null in {} rows", column.null_count()));
    }
    if layout == PREVIOUS_LAYOUT {
        let array: &FixedSizeBinaryArray = column.as_any().downcast_ref().ok_or_else(other_type)?;
        // The values of an array that was just decoded are one run of bytes.
        voxels.reserve(array.len() * width / 2);
        array.iter().flatten().for_each(|value| voxels.extend(from_le_bytes(value)));
        return Ok(());
    }
    let array: &BinaryArray = column.as_any().downcast_ref().ok_or_else(other_type)?;
    if let Some(row) = (0..array.len()).find(|&row| array.value(row).len() != width) {
        return Err(format!("`{name}` has {} bytes in row {row} where its view has {width}", array.value(row).len()));
    }
    let offsets = array.value_offsets();
    let ends = [offsets.first(), offsets.last()].map(|end| end.map_or(0, |&at| at as usize));
    voxels.extend(from_le_bytes(array.value_data().get(ends[0]..ends[1]).unwrap_or_default()));
    Ok(())
}

/// Pairs by value: bytes need not be aligned for i16. A loop over whole slices, which the compiler turns into a copy.
fn from_le_bytes(bytes: &[u8]) -> impl Iterator<Item = i16> + '_ {
    bytes.as_chunks::<2>().0.iter().map(|pair| i16::from_le_bytes(*pair))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::{Field, Schema};
    use mtids_patch::{Channel, PatchGeometry};
    use proptest::prelude::*;

    fn view(width: usize) -> View {
        let geometry = PatchGeometry { size: [1, 1, width], ..PatchGeometry::default() };
        View { name: ViewName::try_from("near".to_owned()).unwrap(), geometry, channels: vec![Channel::Ct] }
    }

    fn batch(array: ArrayRef) -> RecordBatch {
        let field = Field::new("voxels_near", array.data_type().clone(), true);
        RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![array]).unwrap()
    }

    fn voxels_of(batch: &RecordBatch, view: &View, layout: u32) -> Result<Vec<i16>, String> {
        // Behind what the buffer holds.
        let mut voxels = vec![7];
        append_voxels(batch, view, layout, &mut voxels)?;
        assert_eq!(voxels.remove(0), 7);
        Ok(voxels)
    }

    proptest! {
        #[test]
        fn voxels_come_back_also_from_the_middle_of_an_array(width in 1usize..9, rows in 1usize..6, seed in any::<i16>()) {
            let voxels: Vec<i16> = (0..width * rows).map(|n| (n as i16).wrapping_mul(977).wrapping_add(seed)).collect();
            let whole = batch(voxel_array(voxels.chunks(width)).unwrap());
            prop_assert_eq!(voxels_of(&whole, &view(width), 6).unwrap(), voxels.clone());
            let tail = whole.slice(rows / 2, rows - rows / 2);
            prop_assert_eq!(voxels_of(&tail, &view(width), 6).unwrap(), &voxels[rows / 2 * width..]);
        }
    }

    #[test]
    fn values_of_another_length_and_nulls_are_refused() {
        let lengths: [&[i16]; 2] = [&[1, 2], &[3]];
        let uneven = batch(voxel_array(lengths.into_iter()).unwrap());
        assert!(voxels_of(&uneven, &view(2), 6).unwrap_err().contains("2 bytes in row 1"));
        let null = batch(Arc::new(BinaryArray::from_opt_vec(vec![Some(b"ab"), None])));
        assert!(voxels_of(&null, &view(1), 6).unwrap_err().contains("null"));
        assert!(voxels_of(&uneven, &view(2), 5).unwrap_err().contains("`voxels` is missing"));
    }
}
