//! The columns of a shard and of the index, in one table: name, type, null or not, meaning.
//!
//! Invariant: the Arrow schema, the conversion of rows and `schemas/patch.json` all come from [`columns`], so they cannot differ.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, FixedSizeBinaryArray, Float32Array, Float64Array, Int8Array, Int32Array,
    RecordBatch, StringArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use mtids_domain::label::{Evidence, LabelLevel, Metastasis};
use mtids_domain::pseudonym::{PatientKey, SeriesKey, StudyKey};
use mtids_domain::taxonomy::Station;
use serde_json::{Value, json};

use crate::manifest::DatasetDescription;
use crate::row::{RowKind, RowLabels, Split};

/// Name of the voxel column.
pub(crate) const VOXELS: &str = "voxels";

/// How a column is read off a row.
enum Cell {
    Text(fn(&RowLabels) -> Option<String>),
    Code(fn(&RowLabels) -> Option<i8>),
    Double(fn(&RowLabels) -> f64),
    Single(fn(&RowLabels) -> Option<f32>),
    Days(fn(&RowLabels) -> Option<i32>),
    Flag(fn(&RowLabels) -> Option<bool>),
}

/// A column: name, nullable, meaning, value.
pub(crate) struct Column {
    name: &'static str,
    nullable: bool,
    meaning: &'static str,
    cell: Cell,
}

/// Every narrow column, in file order.
pub(crate) fn columns() -> Vec<Column> {
    let column = |name, nullable, meaning, cell| Column { name, nullable, meaning, cell };
    vec![
        column(
            "sample_key",
            false,
            "key of the sample, unique in the dataset",
            Cell::Text(|r| Some(r.sample_key.clone())),
        ),
        column(
            "kind",
            false,
            "finding, or negative: a place away from every finding of its series, without any label",
            Cell::Text(|r| Some(r.kind.name().to_owned())),
        ),
        column(
            "patient_key",
            false,
            "pseudonym of the patient",
            Cell::Text(|r| Some(r.patient_key.as_str().to_owned())),
        ),
        column("study_key", false, "pseudonym of the study", Cell::Text(|r| Some(r.study_key.as_str().to_owned()))),
        column("series_key", false, "pseudonym of the series", Cell::Text(|r| Some(r.series_key.as_str().to_owned()))),
        column(
            "split",
            false,
            "train, validation or test; a patient is in one of them",
            Cell::Text(|r| Some(r.split.name().to_owned())),
        ),
        column("center_i", false, "centre, column of the series, from 0", Cell::Double(|r| r.center_voxel[0])),
        column("center_j", false, "centre, row of the series, from 0", Cell::Double(|r| r.center_voxel[1])),
        column("center_k", false, "centre, slice of the series, from 0", Cell::Double(|r| r.center_voxel[2])),
        column("center_x_mm", false, "centre, LPS mm, towards the left", Cell::Double(|r| r.center_mm[0])),
        column("center_y_mm", false, "centre, LPS mm, towards the back", Cell::Double(|r| r.center_mm[1])),
        column("center_z_mm", false, "centre, LPS mm, towards the head", Cell::Double(|r| r.center_mm[2])),
        column("region", true, "code of the region; null: unknown", Cell::Code(|r| r.region)),
        column("region_name", true, "name of the region; null: unknown", Cell::Text(|r| r.region_name.clone())),
        column("station", true, "IASLC station; null: unknown", Cell::Text(|r| r.station.map(|s| s.code().to_owned()))),
        column(
            "metastasis",
            true,
            "0 benign, 1 metastatic; null: unknown, which is not benign",
            Cell::Code(|r| r.metastasis.map(Metastasis::code)),
        ),
        column(
            "evidence",
            false,
            "A histology, B cytology, C PET, D size, U none",
            Cell::Text(|r| Some(r.evidence.letter().to_owned())),
        ),
        column(
            "level",
            false,
            "node, station or patient: what the status was given for",
            Cell::Text(|r| Some(r.level.name().to_owned())),
        ),
        column(
            "label_source",
            false,
            "table, segmentation or segmentation-with-table; none for a negative",
            Cell::Text(|r| Some(r.label_source.clone())),
        ),
        column("short_axis_mm", true, "short axis of the node, mm", Cell::Single(|r| r.short_axis_mm)),
        column(
            "finding_distance_mm",
            true,
            "for a negative, distance from the nearest finding of its series, mm; null for findings",
            Cell::Single(|r| r.finding_distance_mm),
        ),
        column(
            "study_day",
            true,
            "days since the patient's first study with a finding; null: the study bears no date, or one that is not believed",
            Cell::Days(|r| r.study_day),
        ),
        column("manufacturer", true, "manufacturer of the scanner", Cell::Text(|r| r.manufacturer.clone())),
        column("model", true, "model of the scanner", Cell::Text(|r| r.model.clone())),
        column("kernel", true, "convolution kernel", Cell::Text(|r| r.kernel.clone())),
        column("slice_thickness_mm", true, "nominal slice thickness, mm", Cell::Single(|r| r.slice_thickness_mm)),
        column("slice_step_mm", false, "measured distance of slices, mm", Cell::Single(|r| Some(r.slice_step_mm))),
        column(
            "pixel_spacing_mm",
            false,
            "in-plane voxel size of the series, mm",
            Cell::Single(|r| Some(r.pixel_spacing_mm)),
        ),
        column("kvp", true, "tube voltage, kV", Cell::Single(|r| r.kvp)),
        column("contrast", true, "contrast agent given", Cell::Flag(|r| r.contrast)),
        column(
            "pet",
            false,
            "a PET of the same study covers at least half of the patch; without one its PET channel, if any, is 0",
            Cell::Flag(|r| Some(r.pet)),
        ),
        column(
            "pad_fraction",
            false,
            "share of the patch outside the scanned field, 0 to 1",
            Cell::Single(|r| Some(r.pad_fraction)),
        ),
        column("weight", false, "sampling weight", Cell::Single(|r| Some(r.weight))),
        column(
            "voxels_digest",
            false,
            "first 16 hexadecimal digits of BLAKE3 of the voxels",
            Cell::Text(|r| Some(r.voxels_digest.clone())),
        ),
    ]
}

impl Column {
    fn data_type(&self) -> DataType {
        match self.cell {
            Cell::Text(_) => DataType::Utf8,
            Cell::Code(_) => DataType::Int8,
            Cell::Double(_) => DataType::Float64,
            Cell::Single(_) => DataType::Float32,
            Cell::Days(_) => DataType::Int32,
            Cell::Flag(_) => DataType::Boolean,
        }
    }

    pub(crate) fn field(&self) -> Field {
        Field::new(self.name, self.data_type(), self.nullable)
    }

    pub(crate) fn array<'a>(&self, rows: impl Iterator<Item = &'a RowLabels>) -> ArrayRef {
        match self.cell {
            Cell::Text(get) => Arc::new(rows.map(get).collect::<StringArray>()),
            Cell::Code(get) => Arc::new(rows.map(get).collect::<Int8Array>()),
            Cell::Double(get) => Arc::new(rows.map(get).map(Some).collect::<Float64Array>()),
            Cell::Single(get) => Arc::new(rows.map(get).collect::<Float32Array>()),
            Cell::Days(get) => Arc::new(rows.map(get).collect::<Int32Array>()),
            Cell::Flag(get) => Arc::new(rows.map(get).collect::<BooleanArray>()),
        }
    }
}

/// Schema of a shard: the narrow columns, then the voxels. The description goes into the file's own key-value metadata.
pub(crate) fn shard_schema(description: &DatasetDescription) -> SchemaRef {
    let mut fields: Vec<Field> = columns().iter().map(Column::field).collect();
    let bytes = 2 * description.patch_len();
    // `validate` of the patch geometry keeps a side at 512 or less, so this fits.
    let width = i32::try_from(bytes).unwrap_or(i32::MAX);
    fields.push(Field::new(VOXELS, DataType::FixedSizeBinary(width), false));
    Arc::new(Schema::new(fields))
}

/// What a reader needs to know, as key-value pairs.
pub(crate) fn metadata(description: &DatasetDescription) -> HashMap<String, String> {
    let text = |value: Value| value.to_string();
    HashMap::from([
        ("mtids.schema_version".to_owned(), description.schema_version.clone()),
        ("mtids.taxonomy_version".to_owned(), description.taxonomy_version.clone()),
        ("mtids.patch_views".to_owned(), description.patch_views.name().to_owned()),
        ("mtids.patch_size_dhw".to_owned(), text(json!(description.patch_size))),
        ("mtids.patch_spacing_zyx_mm".to_owned(), text(json!(description.patch_spacing_mm))),
        (
            "mtids.voxels".to_owned(),
            "little-endian int16, one channel behind the other (ct: HU; pet: hundredths of SUVbw); axes d +z head, h +y back, w +x left; \
             w fastest"
                .to_owned(),
        ),
        (
            "mtids.channels".to_owned(),
            text(json!(description.channels.iter().map(|channel| channel.name()).collect::<Vec<_>>())),
        ),
        (
            "mtids.regions".to_owned(),
            text(json!(description.regions.regions().iter().map(|r| r.name.as_str()).collect::<Vec<_>>())),
        ),
        ("mtids.config_digest".to_owned(), description.config_digest.to_string()),
        ("mtids.program".to_owned(), format!("{} {}", description.program.name, description.program.version)),
    ])
}

/// Labels read back from a batch that holds the narrow columns.
pub(crate) fn labels_of(batch: &RecordBatch) -> Result<Vec<RowLabels>, String> {
    let column = |name: &str| batch.column_by_name(name).ok_or_else(|| format!("column `{name}` is missing"));
    macro_rules! typed {
        ($name:expr, $array:ty) => {
            column($name)?
                .as_any()
                .downcast_ref::<$array>()
                .ok_or_else(|| format!("column `{}` has another type", $name))?
        };
    }
    macro_rules! reader {
        ($kind:ident, $array:ty, $value:ty, $get:expr) => {
            #[allow(clippy::redundant_closure_call, reason = "the closure converts a view into an owned value")]
            let $kind = |name: &'static str, row: usize| -> Result<Option<$value>, String> {
                let array = typed!(name, $array);
                Ok((!array.is_null(row)).then(|| ($get)(array.value(row))))
            };
        };
    }
    reader!(text, StringArray, String, |value: &str| value.to_owned());
    reader!(code, Int8Array, i8, |value| value);
    reader!(double, Float64Array, f64, |value| value);
    reader!(single, Float32Array, f32, |value| value);
    reader!(days, Int32Array, i32, |value| value);
    reader!(flag, BooleanArray, bool, |value| value);
    let need =
        |name: &'static str, row: usize| text(name, row)?.ok_or_else(|| format!("`{name}` is null in row {row}"));
    let need_double =
        |name: &'static str, row: usize| double(name, row)?.ok_or_else(|| format!("`{name}` is null in row {row}"));
    let need_single =
        |name: &'static str, row: usize| single(name, row)?.ok_or_else(|| format!("`{name}` is null in row {row}"));
    (0..batch.num_rows())
        .map(|row| {
            let split = need("split", row)?;
            let kind = need("kind", row)?;
            let metastasis = match code("metastasis", row)? {
                None => None,
                Some(0) => Some(Metastasis::Benign),
                Some(1) => Some(Metastasis::Metastatic),
                Some(other) => return Err(format!("metastasis code {other} in row {row}")),
            };
            Ok(RowLabels {
                sample_key: need("sample_key", row)?,
                kind: RowKind::from_name(&kind).ok_or_else(|| format!("kind `{kind}` in row {row}"))?,
                patient_key: PatientKey::from_stored(need("patient_key", row)?),
                study_key: StudyKey::from_stored(need("study_key", row)?),
                series_key: SeriesKey::from_stored(need("series_key", row)?),
                split: Split::from_name(&split).ok_or_else(|| format!("split `{split}` in row {row}"))?,
                center_voxel: [
                    need_double("center_i", row)?,
                    need_double("center_j", row)?,
                    need_double("center_k", row)?,
                ],
                center_mm: [
                    need_double("center_x_mm", row)?,
                    need_double("center_y_mm", row)?,
                    need_double("center_z_mm", row)?,
                ],
                region: code("region", row)?,
                region_name: text("region_name", row)?,
                station: text("station", row)?
                    .map(|station| station.parse::<Station>().map_err(|error| error.to_string()))
                    .transpose()?,
                metastasis,
                evidence: need("evidence", row)?.parse::<Evidence>().map_err(|error| error.to_string())?,
                level: need("level", row)?.parse::<LabelLevel>().map_err(|error| error.to_string())?,
                label_source: need("label_source", row)?,
                short_axis_mm: single("short_axis_mm", row)?,
                finding_distance_mm: single("finding_distance_mm", row)?,
                study_day: days("study_day", row)?,
                manufacturer: text("manufacturer", row)?,
                model: text("model", row)?,
                kernel: text("kernel", row)?,
                slice_thickness_mm: single("slice_thickness_mm", row)?,
                slice_step_mm: need_single("slice_step_mm", row)?,
                pixel_spacing_mm: need_single("pixel_spacing_mm", row)?,
                kvp: single("kvp", row)?,
                contrast: flag("contrast", row)?,
                pet: flag("pet", row)?.ok_or_else(|| format!("`pet` is null in row {row}"))?,
                pad_fraction: need_single("pad_fraction", row)?,
                weight: need_single("weight", row)?,
                voxels_digest: need("voxels_digest", row)?,
            })
        })
        .collect()
}

/// Voxels of a batch, all rows one after the other.
pub(crate) fn voxels_of(batch: &RecordBatch) -> Result<Vec<i16>, String> {
    let column = batch.column_by_name(VOXELS).ok_or("column `voxels` is missing")?;
    let array = column.as_any().downcast_ref::<FixedSizeBinaryArray>().ok_or("column `voxels` has another type")?;
    // Pairs by value: a value's bytes need not be aligned for i16.
    let pairs = (0..array.len()).flat_map(|row| array.value(row).chunks_exact(2));
    Ok(pairs.map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect())
}

/// `schemas/patch.json`: the columns of a shard for people and machines.
pub fn patch_json_schema() -> Value {
    let mut list: Vec<Value> = columns()
        .iter()
        .map(|column| {
            json!({
                "name": column.name,
                "type": column.data_type().to_string(),
                "nullable": column.nullable,
                "meaning": column.meaning,
            })
        })
        .collect();
    list.push(json!({
        "name": VOXELS,
        "type": "FixedSizeBinary(2·C·D·H·W)",
        "nullable": false,
        "meaning": "little-endian int16, C channels (ct: HU; pet: hundredths of SUVbw); axes d (+z, head), h (+y, back), w (+x, left); w fastest; orthogonal views: d is axial, coronal (h towards the feet), sagittal (h towards the feet, w towards the back); size in the file metadata",
    }));
    json!({
        "title": "Patch: one row of a shard",
        "schema_version": crate::manifest::SCHEMA_VERSION,
        "format": "Parquet; the index has the same columns without `voxels`, and `shard`, `row_group`, `row`",
        "file_metadata": ["mtids.schema_version", "mtids.taxonomy_version", "mtids.patch_views", "mtids.patch_size_dhw", "mtids.patch_spacing_zyx_mm",
            "mtids.voxels", "mtids.channels", "mtids.regions", "mtids.config_digest", "mtids.program"],
        "columns": list,
    })
}
