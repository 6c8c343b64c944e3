//! Tiles the index of a dataset with new patients, for measurements of an audit at scale: `tile_index DATASET OUT ROWS SITES`.
//!
//! Every copy has its own keys, and sizes and measures that differ by up to 1 %, so that nothing compresses or groups better than real rows
//! would. Copies are dealt to sites, which also name the scanners. The dataset has no shards: an audit reads the index alone.
#![allow(clippy::print_stdout, reason = "an example prints its result")]

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Float32Type};
use mtids_runtime::digest::Digest;
use mtids_runtime::storage::Folder;
use mtids_shards::{Dataset, Manifest, RowGroupEntry, RowKind, ShardEntry, Split, write_file};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;

const SPLITS: [(&str, Split); 3] = [("train", Split::Train), ("validation", Split::Validation), ("test", Split::Test)];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [dataset, out, rows, sites] = arguments.as_slice() else { return Err("DATASET OUT ROWS SITES".into()) };
    let (wanted, sites): (usize, usize) = (rows.parse()?, sites.parse()?);
    let dataset = Dataset::open(Path::new(dataset))?;
    let batches = dataset.index_batches()?;
    let first = batches.first().ok_or("the index is empty")?;
    let base: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let mut properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?));
    for field in first.schema().fields().iter().filter(|field| *field.data_type() == DataType::Float32) {
        properties = properties.set_column_dictionary_enabled(ColumnPath::from(field.name().as_str()), false);
    }
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, first.schema(), Some(properties.build()))?;
    let mut counted = [0_u64; 3];
    let copies = wanted.div_ceil(base.max(1));
    for copy in 0..copies {
        for batch in &batches {
            let tiled = tiled(batch, copy, sites.max(1))?;
            let splits = batch.column_by_name("split").ok_or("no column `split`")?.as_string::<i32>();
            for split in splits.iter().flatten() {
                let place = SPLITS.iter().position(|(name, _)| *name == split).ok_or("a split without name")?;
                counted[place] += 1;
            }
            writer.write(&tiled)?;
        }
    }
    writer.close()?;
    let storage = Folder::new(Path::new(out));
    let entry = write_file(&storage, "index.parquet", &bytes)?;
    let digest = Digest::of_bytes(b"");
    let shards = SPLITS.iter().zip(counted).filter(|(_, rows)| *rows > 0).map(|((name, split), rows)| ShardEntry {
        path: format!("shards/{name}/tiled"),
        split: *split,
        rows,
        bytes: 0,
        digest,
        footer_digest: digest,
        row_groups: vec![RowGroupEntry { kind: RowKind::Finding, rows, offset: 0, length: 0, digest }],
    });
    let mut manifest: Manifest = dataset.manifest().clone();
    manifest.shards = shards.collect();
    manifest.files = vec![entry];
    manifest.totals.rows = counted.iter().sum();
    manifest.totals.patients *= copies as u64;
    manifest.totals.negatives *= copies as u64;
    manifest.commit(&storage)?;
    println!("{} rows, {} bytes of index", manifest.totals.rows, bytes.len());
    Ok(())
}

/// The rows of a batch as those of other patients.
fn tiled(batch: &RecordBatch, copy: usize, sites: usize) -> Result<RecordBatch, Box<dyn Error>> {
    let site = copy % sites;
    let schema = batch.schema();
    let columns = schema.fields().iter().zip(batch.columns()).map(|(field, column)| -> ArrayRef {
        let name = field.name().as_str();
        let texts = |text: &dyn Fn(&str) -> String| -> ArrayRef {
            Arc::new(column.as_string::<i32>().iter().map(|value| value.map(text)).collect::<StringArray>())
        };
        match name {
            _ if name.ends_with("_key") || name == "voxels_digest" => texts(&|key| other_key(key, copy)),
            // Each piece is another one, so no copy of a view is a near-copy of it.
            "near_hash" => texts(&|hash| other_pieces(hash, copy)),
            "site" => Arc::new(StringArray::from(vec![format!("site {site}"); batch.num_rows()])),
            "manufacturer" => texts(&|_| format!("maker {}", site % 4)),
            "model" => Arc::new(StringArray::from(vec![format!("scanner of site {site}"); batch.num_rows()])),
            "shard" => {
                let splits = batch.column_by_name("split").map(|splits| splits.as_string::<i32>());
                let split = |row: usize| splits.map_or("", |splits| splits.value(row));
                let shards = (0..batch.num_rows()).map(|row| Some(format!("shards/{}/tiled", split(row))));
                Arc::new(shards.collect::<StringArray>())
            }
            _ if name.starts_with("grown_") || name.starts_with("mask_") || name == "short_axis_mm" => {
                let values = column.as_primitive::<Float32Type>().iter().enumerate();
                let near = |(row, value): (usize, Option<f32>)| {
                    let noise = mixed((copy as u64) << 20 | row as u64, name.len() as u64) >> 40;
                    value.map(|value| value * (0.99 + 0.02 * noise as f32 / (1 << 24) as f32))
                };
                Arc::new(values.map(near).collect::<Float32Array>())
            }
            _ => Arc::clone(column),
        }
    });
    Ok(RecordBatch::try_new(batch.schema(), columns.collect())?)
}

/// A key of the same length that depends on the key and the copy.
fn other_key(key: &str, copy: usize) -> String {
    let start = key.bytes().fold(copy as u64, |state, byte| mixed(state, u64::from(byte)));
    let digits = format!("{:016x}{:016x}", mixed(start, 1), mixed(start, 2));
    digits[..key.len().min(32)].to_owned()
}

/// A hash whose pieces, 16 bits in four digits each, are those of `hash` by a number of the copy.
fn other_pieces(hash: &str, copy: usize) -> String {
    let pieces = hash.as_bytes().chunks(4).enumerate().map(|(n, digits)| {
        let piece = std::str::from_utf8(digits).ok().and_then(|digits| u16::from_str_radix(digits, 16).ok());
        format!("{:04x}", piece.unwrap_or(0) ^ mixed(copy as u64, n as u64) as u16)
    });
    pieces.collect()
}

/// SplitMix64 of two numbers.
fn mixed(state: u64, more: u64) -> u64 {
    let mut z = (state ^ more.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
