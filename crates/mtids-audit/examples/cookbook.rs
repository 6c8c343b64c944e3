//! The Rust recipes of docs/audit-cookbook.md on a dataset: `cookbook INDEX` prints the answer of each as one line of JSON, columns and rows.
//!
//! Invariant: the page shows these functions' bodies; `tests/python/cookbook.py` compares the texts, and the answers with those of DuckDB.
#![allow(clippy::print_stdout, reason = "an example prints its result")]

use std::error::Error;
use std::fs::File;

use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use polars::prelude::*;
use serde_json::{Value, json};

#[path = "../src/frame.rs"]
mod frame;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("which index.parquet?")?;
    let file = ParquetRecordBatchReaderBuilder::try_new(File::open(path)?)?;
    let schema = file.schema().clone();
    let batches = file.build()?.collect::<Result<Vec<_>, _>>()?;
    let index = frame::frame_of(&schema, &batches)?.lazy();
    let recipes = [
        classes_of_regions,
        patients_in_two_splits,
        repeated_voxels,
        evidence_of_the_status,
        status_by_scanner,
        sizes_by_status,
        ruler_on_test_patients,
        small_classes,
        disagreeing_sources,
        padded_patches,
    ];
    for recipe in recipes {
        println!("{}", rows_of(&recipe(index.clone()).collect()?)?);
    }
    Ok(())
}

fn classes_of_regions(index: LazyFrame) -> LazyFrame {
    index
        .filter(col("kind").eq(lit("finding")))
        .group_by([col("region_name")])
        .agg([
            len().alias("nodes"),
            col("patient_key").n_unique().alias("patients"),
            col("metastasis").count().alias("known"),
            col("metastasis").eq(lit(1)).sum().alias("metastatic"),
        ])
        .with_column((col("metastatic").cast(DataType::Float64) / col("known")).alias("share"))
}

fn patients_in_two_splits(index: LazyFrame) -> LazyFrame {
    index.group_by([col("patient_key")]).agg([col("split").n_unique().alias("splits")]).filter(col("splits").gt(lit(1)))
}

fn repeated_voxels(index: LazyFrame) -> LazyFrame {
    index
        .group_by([col("voxels_digest")])
        .agg([len().alias("rows"), col("patient_key").n_unique().alias("patients")])
        .filter(col("rows").gt(lit(1)))
}

fn evidence_of_the_status(index: LazyFrame) -> LazyFrame {
    index
        .filter(col("metastasis").is_not_null())
        .group_by([col("evidence"), col("level"), col("label_source")])
        .agg([len().alias("nodes"), col("metastasis").eq(lit(1)).sum().alias("metastatic")])
}

fn status_by_scanner(index: LazyFrame) -> LazyFrame {
    index
        .filter(col("metastasis").is_not_null())
        .group_by([col("manufacturer"), col("model"), col("patient_key")])
        .agg([col("metastasis").max().alias("positive")])
        .group_by([col("manufacturer"), col("model")])
        .agg([len().alias("patients"), col("positive").mean().alias("share")])
}

fn sizes_by_status(index: LazyFrame) -> LazyFrame {
    let size = || col("short_axis_mm").cast(DataType::Float64);
    let at = |share: f64| size().quantile(lit(share), QuantileMethod::Linear);
    index
        .filter(col("short_axis_mm").is_not_null().and(col("metastasis").is_not_null()))
        .group_by([col("metastasis")])
        .agg([len().alias("nodes"), at(0.25).alias("lower"), size().median().alias("median"), at(0.75).alias("upper")])
}

fn ruler_on_test_patients(index: LazyFrame) -> LazyFrame {
    let large = col("short_axis_mm").gt_eq(lit(10));
    index.filter(col("split").eq(lit("test")).and(col("short_axis_mm").is_not_null())).select([
        large.clone().filter(col("metastasis").eq(lit(1))).mean().alias("sensitivity"),
        large.not().filter(col("metastasis").eq(lit(0))).mean().alias("specificity"),
    ])
}

fn small_classes(index: LazyFrame) -> LazyFrame {
    let known = index.clone().filter(col("region_name").is_not_null().and(col("metastasis").is_not_null()));
    let keys = ["region_name", "metastasis", "split"].map(col);
    let counted = known.clone().group_by(&keys).agg([col("patient_key").n_unique().alias("patients")]);
    // A join on one value pairs each with each.
    let values =
        |rows: LazyFrame, name: &str| rows.group_by([col(name)]).agg([len()]).select([col(name), lit(1).alias("all")]);
    let classes = values(known.clone(), "region_name").inner_join(values(known, "metastasis"), col("all"), col("all"));
    let cells = classes.inner_join(values(index, "split"), col("all"), col("all"));
    cells
        .join(counted, &keys, &keys, JoinArgs::new(JoinType::Left))
        .select(
            ["region_name", "metastasis", "split"]
                .map(col)
                .into_iter()
                .chain([col("patients").fill_null(lit(0))])
                .collect::<Vec<_>>(),
        )
        .filter(col("patients").lt(lit(5)))
}

fn disagreeing_sources(index: LazyFrame) -> LazyFrame {
    let axes = ["center_x_mm", "center_y_mm", "center_z_mm"];
    let columns = ["sample_key", "frame_of_reference_key", "metastasis"].into_iter().chain(axes).map(col);
    let nodes = index.filter(col("metastasis").is_not_null()).select(columns.collect::<Vec<_>>());
    let others = nodes.clone().join_builder().with(nodes).how(JoinType::Inner);
    let pairs = others.on([col("frame_of_reference_key")]).suffix("_other").finish();
    let along = |axis: &str| col(axis) - col(format!("{axis}_other"));
    let square = axes.map(|axis| along(axis) * along(axis)).into_iter().fold(lit(0.0), |sum, one| sum + one);
    pairs
        .filter(col("metastasis").lt(col("metastasis_other")).and(square.lt(lit(9.0))))
        .select([col("sample_key").alias("benign"), col("sample_key_other").alias("metastatic")])
}

fn padded_patches(index: LazyFrame) -> LazyFrame {
    let filled = col("pad_fraction").cast(DataType::Float64).alias("filled");
    index.filter(col("pad_fraction").gt(lit(0.0))).select([
        col("sample_key"),
        col("shard"),
        col("row_group"),
        col("row"),
        filled,
    ])
}

/// An answer as JSON.
fn rows_of(answer: &DataFrame) -> Result<Value, Box<dyn Error>> {
    let names: Vec<&str> = answer.get_column_names().into_iter().map(|name| name.as_str()).collect();
    let mut rows = Vec::with_capacity(answer.height());
    for at in 0..answer.height() {
        let row = answer.columns().iter().map(|column| value_of(&column.get(at)?));
        rows.push(row.collect::<Result<Vec<Value>, Box<dyn Error>>>()?);
    }
    Ok(json!({ "columns": names, "rows": rows }))
}

fn value_of(value: &AnyValue) -> Result<Value, Box<dyn Error>> {
    Ok(match value {
        AnyValue::Null => Value::Null,
        AnyValue::String(text) => json!(text),
        AnyValue::StringOwned(text) => json!(text.as_str()),
        AnyValue::Float64(number) => json!(number),
        AnyValue::Boolean(flag) => json!(flag),
        other => json!(other.extract::<i64>().ok_or_else(|| format!("{other} is no value of a recipe"))?),
    })
}
