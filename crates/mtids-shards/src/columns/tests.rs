//! Columns of several row groups, beside a plain walk over the same values.

use std::sync::Arc;

use arrow::array::Float32Array;
use arrow::record_batch::RecordBatch;
use mtids_runtime::storage::{Folder, Storage};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;

use super::*;
use crate::file::write_file;

/// Rows of all groups; the last group is shorter.
const ROWS: usize = 1003;
const GROUP: usize = 97;

/// A text of few values, which begin late in the file or are missing from whole groups.
fn kernel(row: usize) -> Option<String> {
    (!row.is_multiple_of(11)).then(|| ["soft", "sharp", "bone"][(row / 200) % 3].to_owned())
}

/// A key that comes again in other groups, in another spelling.
fn key(row: usize) -> Option<String> {
    (!row.is_multiple_of(13)).then(|| {
        let n = row % 301;
        if row.is_multiple_of(2) { format!("Patient  {n}") } else { format!("patient {n} ") }
    })
}

fn size(row: usize) -> Option<f32> {
    (!row.is_multiple_of(7)).then_some(row as f32 / 8.0)
}

fn columns(folder: &std::path::Path) -> IndexColumns {
    let (rows, all) = (0..ROWS, |of: fn(usize) -> Option<String>| StringArray::from_iter((0..ROWS).map(of)));
    let arrays: [(&str, ArrayRef); 3] = [
        ("kernel", Arc::new(all(kernel))),
        ("key", Arc::new(all(key))),
        ("size", Arc::new(Float32Array::from_iter(rows.map(size)))),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(arrays.map(|(name, array)| (name, array, true))).unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(GROUP)).build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let storage: Arc<dyn Storage> = Arc::new(Folder::new(folder));
    let entry = write_file(storage.as_ref(), "index.parquet", &bytes).unwrap();
    let columns = IndexColumns::open(Pieces::open(storage, &entry).unwrap(), folder.join("index.parquet")).unwrap();
    assert_eq!(columns.metadata.metadata().num_row_groups(), ROWS.div_ceil(GROUP));
    columns
}

#[test]
fn columns_of_several_row_groups_are_those_of_a_plain_walk() {
    let folder = tempfile::tempdir().unwrap();
    let columns = columns(folder.path());
    assert_eq!(columns.rows(), ROWS);
    let coded = columns.coded("kernel").unwrap();
    assert_eq!(coded.values, ["bone", "sharp", "soft"]);
    let decoded: Vec<Option<String>> =
        coded.codes.iter().map(|code| coded.values.get(*code as usize).cloned()).collect();
    assert_eq!(decoded, (0..ROWS).map(kernel).collect::<Vec<_>>());

    let first = |of: &dyn Fn(usize) -> Option<String>| -> Vec<u32> {
        let mut seen: HashMap<String, u32> = HashMap::new();
        (0..ROWS).map(|row| of(row).map_or(NO_CODE, |text| *seen.entry(text).or_insert(row as u32))).collect()
    };
    assert_eq!(columns.first_rows("key").unwrap(), first(&key));
    assert_eq!(columns.first_rows_folded("key").unwrap(), first(&|row| Some(folded(&key(row)?))));

    let last = columns.rows_of("key", ["Patient  2", "patient 3 ", "nobody"]).unwrap();
    let of = |text: &str| (0..ROWS).rfind(|row| key(*row).as_deref() == Some(text)).map(|row| row as u32);
    assert_eq!(last.get("Patient  2").copied(), of("Patient  2"));
    assert_eq!(last.get("patient 3 ").copied(), of("patient 3 "));
    assert_eq!(last.len(), 2);

    let mut sizes = vec![None; ROWS];
    columns.visit_singles("size", |row, value| sizes[row as usize] = Some(value)).unwrap();
    assert_eq!(sizes, (0..ROWS).map(size).collect::<Vec<_>>());
    let mut keys = vec![None; ROWS];
    columns.visit_column("key", |row, text| keys[row as usize] = Some(text.to_owned())).unwrap();
    assert_eq!(keys, (0..ROWS).map(key).collect::<Vec<_>>());

    // Across a border of two groups, and at both ends.
    let rows = [0, 95, 96, 97, 98, 500, 1002];
    let texts: Vec<Option<String>> = rows.iter().map(|row| key(*row as usize)).collect();
    assert_eq!(columns.texts_at("key", &rows).unwrap(), texts);
}

#[test]
fn a_column_of_another_type_or_name_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let columns = columns(folder.path());
    let of_type = [
        columns.visit_singles("key", |_, _| ()).unwrap_err(),
        columns.coded("size").unwrap_err(),
        columns.first_rows("size").unwrap_err(),
    ];
    for (error, name) in of_type.iter().zip(["key", "size", "size"]) {
        assert!(error.to_string().contains(&format!("column `{name}` has type")), "{error}");
    }
    let error = columns.column("nothing").unwrap_err();
    assert!(error.to_string().contains("no column `nothing`"), "{error}");
    assert!(columns.texts_at("key", &[5, 4]).is_err() && columns.texts_at("key", &[ROWS as u32]).is_err());
}

#[test]
fn texts_that_differ_a_little_are_told_apart() {
    let mut seen: Vec<u64> = ["", "0", "00", "ab", "AB", " ab"].iter().map(|text| fingerprint(text)).collect();
    // Ids of other programs count, or begin alike.
    seen.extend((0..100_000).map(|n| fingerprint(&format!("patient{n}"))));
    seen.extend((0..100_000).map(|n| fingerprint(&format!("{:032x}{n:032x}", 7))));
    let all = seen.len();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), all);
    assert_eq!(fingerprint("patient7"), fingerprint(&format!("patient{}", 7)));
    assert_eq!(folded("  Ab \t C "), "ab c");
}
