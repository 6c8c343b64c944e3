//! The columns of a shard and of the index, in one table: name, type, null or not, meaning.
//!
//! Invariant: the Arrow schema, the conversion of rows in both directions and `schemas/patch.json` all come from [`columns`], so they
//! cannot differ. (`serde_arrow` would need a second, flat struct of the same fields beside it, for codes, keys and centres.)

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, FixedSizeBinaryArray, Float32Array, Float64Array, Int8Array, Int32Array,
    RecordBatch, StringArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use mtids_domain::label::{Evidence, LabelLevel, Metastasis};
use mtids_domain::pseudonym::{FrameOfReferenceKey, InstanceKey, PatientKey, SeriesKey, StudyKey};
use mtids_domain::repair::Repair;
use serde_json::{Value, json};

use crate::manifest::DatasetDescription;
use crate::row::{RowKind, RowLabels, Split};

/// Name of the voxel column.
pub(crate) const VOXELS: &str = "voxels";

/// How a cell is read off a row, and how a row takes it back. A setter answers `None` for a value that this program does not know.
enum Cell {
    Text(fn(&RowLabels) -> Option<&str>, fn(&mut RowLabels, &str) -> Option<()>),
    Code(fn(&RowLabels) -> Option<i8>, fn(&mut RowLabels, i8) -> Option<()>),
    Double(fn(&RowLabels) -> Option<f64>, fn(&mut RowLabels, f64) -> Option<()>),
    Single(fn(&RowLabels) -> Option<f32>, fn(&mut RowLabels, f32) -> Option<()>),
    Days(fn(&RowLabels) -> Option<i32>, fn(&mut RowLabels, i32) -> Option<()>),
    Flag(fn(&RowLabels) -> Option<bool>, fn(&mut RowLabels, bool) -> Option<()>),
}

/// A column: name, nullable, meaning, value.
pub(crate) struct Column {
    name: &'static str,
    nullable: bool,
    meaning: &'static str,
    cell: Cell,
}

/// One line per column: type, name, `required` or `nullable`, meaning; then the cell of a row, and where a stored value goes.
macro_rules! column_table {
    (@nullable required) => { false };
    (@nullable nullable) => { true };
    ($($cell:ident $name:literal $null:ident $meaning:literal:
        $get:expr, |$row:ident, $value:ident| $place:expr => $new:expr;)*) => {
        vec![$(Column {
            name: $name,
            nullable: column_table!(@nullable $null),
            meaning: $meaning,
            cell: Cell::$cell($get, |$row, $value| {
                $place = $new;
                Some(())
            }),
        }),*]
    };
}

/// Every narrow column, in file order.
#[rustfmt::skip]
pub(crate) fn columns() -> Vec<Column> {
    column_table! {
        Text "sample_key" required "key of the sample, unique in the dataset":
            |r| Some(&r.sample_key), |r, v| r.sample_key => v.to_owned();
        Text "kind" required "finding: an annotated node; negative: a place away from every annotation of its series, unlabelled":
            |r| Some(r.kind.name()), |r, v| r.kind => RowKind::from_name(v)?;
        Text "patient_key" required "pseudonym of the patient":
            |r| Some(r.patient_key.as_str()), |r, v| r.patient_key => PatientKey::from_stored(v.to_owned());
        Text "study_key" required "pseudonym of the study":
            |r| Some(r.study_key.as_str()), |r, v| r.study_key => StudyKey::from_stored(v.to_owned());
        Text "series_key" required "pseudonym of the series":
            |r| Some(r.series_key.as_str()), |r, v| r.series_key => SeriesKey::from_stored(v.to_owned());
        Text "frame_of_reference_key" nullable "pseudonym of the frame of reference; null: the image names none":
            |r| r.frame_of_reference_key.as_ref().map(FrameOfReferenceKey::as_str),
            |r, v| r.frame_of_reference_key => Some(FrameOfReferenceKey::from_stored(v.to_owned()));
        Text "instance_key" nullable "pseudonym of the SOP instance whose slice is nearest to the centre; null: not known":
            |r| r.instance_key.as_ref().map(InstanceKey::as_str),
            |r, v| r.instance_key => Some(InstanceKey::from_stored(v.to_owned()));
        Text "split" required "train, validation or test; a patient is in one of them":
            |r| Some(r.split.name()), |r, v| r.split => Split::from_name(v)?;
        Double "center_i" required "centre, column of the series, from 0":
            |r| Some(r.center_voxel[0]), |r, v| r.center_voxel[0] => v;
        Double "center_j" required "centre, row of the series, from 0":
            |r| Some(r.center_voxel[1]), |r, v| r.center_voxel[1] => v;
        Double "center_k" required "centre, slice of the series, from 0":
            |r| Some(r.center_voxel[2]), |r, v| r.center_voxel[2] => v;
        Double "center_x_mm" required "centre, LPS mm, towards the left":
            |r| Some(r.center_mm[0]), |r, v| r.center_mm[0] => v;
        Double "center_y_mm" required "centre, LPS mm, towards the back":
            |r| Some(r.center_mm[1]), |r, v| r.center_mm[1] => v;
        Double "center_z_mm" required "centre, LPS mm, towards the head":
            |r| Some(r.center_mm[2]), |r, v| r.center_mm[2] => v;
        Code "region" nullable "code of the region; null: unknown":
            |r| r.region, |r, v| r.region => Some(v);
        Text "region_name" nullable "name of the region; null: unknown":
            |r| r.region_name.as_deref(), |r, v| r.region_name => Some(v.to_owned());
        Text "station" nullable "IASLC station; null: unknown":
            |r| r.station.map(|station| station.code()), |r, v| r.station => Some(v.parse().ok()?);
        Code "metastasis" nullable "0 benign, 1 metastatic; null: unknown, which is not benign":
            |r| r.metastasis.map(Metastasis::code), |r, v| r.metastasis => Some(metastasis_of(v)?);
        Text "evidence" required "A histology, B cytology, C PET, D size, U none":
            |r| Some(r.evidence.letter()), |r, v| r.evidence => v.parse().ok()?;
        Text "level" required "node, station or patient: what the status was given for":
            |r| Some(r.level.name()), |r, v| r.level => v.parse().ok()?;
        Text "label_source" required "table, segmentation or segmentation-with-table; none for a negative":
            |r| Some(&r.label_source), |r, v| r.label_source => v.to_owned();
        Single "short_axis_mm" nullable "short axis of the node, mm":
            |r| r.short_axis_mm, |r, v| r.short_axis_mm => Some(v);
        Single "finding_distance_mm" nullable
            "for a negative, distance from the nearest annotation of its series, mm; otherwise null":
            |r| r.finding_distance_mm, |r, v| r.finding_distance_mm => Some(v);
        Days "study_day" nullable
            "days since the patient's first study with an annotation; null: no date, or an implausible one":
            |r| r.study_day, |r, v| r.study_day => Some(v);
        Text "manufacturer" nullable "manufacturer of the scanner":
            |r| r.manufacturer.as_deref(), |r, v| r.manufacturer => Some(v.to_owned());
        Text "model" nullable "model of the scanner":
            |r| r.model.as_deref(), |r, v| r.model => Some(v.to_owned());
        Text "kernel" nullable "convolution kernel":
            |r| r.kernel.as_deref(), |r, v| r.kernel => Some(v.to_owned());
        Single "slice_thickness_mm" nullable "nominal slice thickness, mm":
            |r| r.slice_thickness_mm, |r, v| r.slice_thickness_mm => Some(v);
        Single "slice_step_mm" required "measured distance of slices, mm":
            |r| Some(r.slice_step_mm), |r, v| r.slice_step_mm => v;
        Single "pixel_spacing_mm" required "in-plane voxel size of the series, mm":
            |r| Some(r.pixel_spacing_mm), |r, v| r.pixel_spacing_mm => v;
        Text "repaired" nullable
            "tilt, gaps, unequal-steps, tilt+gaps or tilt+unequal-steps: what was resampled to make the series regular; null: nothing":
            |r| r.repaired.map(Repair::name), |r, v| r.repaired => Some(Repair::from_name(v)?);
        Single "kvp" nullable "tube voltage, kV":
            |r| r.kvp, |r, v| r.kvp => Some(v);
        Flag "contrast" nullable "contrast agent given":
            |r| r.contrast, |r, v| r.contrast => Some(v);
        Flag "pet" required
            "a PET of the same study covers at least half of the patch; without one its PET channel, if any, is 0":
            |r| Some(r.pet), |r, v| r.pet => v;
        Single "pad_fraction" required "share of the patch outside the scanned field, 0 to 1":
            |r| Some(r.pad_fraction), |r, v| r.pad_fraction => v;
        Single "weight" required "sampling weight":
            |r| Some(r.weight), |r, v| r.weight => v;
        Text "voxels_digest" required "first 16 hexadecimal digits of BLAKE3 of the voxels":
            |r| Some(&r.voxels_digest), |r, v| r.voxels_digest => v.to_owned();
    }
}

fn metastasis_of(code: i8) -> Option<Metastasis> {
    [Metastasis::Benign, Metastasis::Metastatic].into_iter().find(|status| status.code() == code)
}

impl Column {
    fn data_type(&self) -> DataType {
        match self.cell {
            Cell::Text(..) => DataType::Utf8,
            Cell::Code(..) => DataType::Int8,
            Cell::Double(..) => DataType::Float64,
            Cell::Single(..) => DataType::Float32,
            Cell::Days(..) => DataType::Int32,
            Cell::Flag(..) => DataType::Boolean,
        }
    }

    pub(crate) fn field(&self) -> Field {
        Field::new(self.name, self.data_type(), self.nullable)
    }

    /// The column of these rows.
    pub(crate) fn array<'a>(&self, rows: impl Iterator<Item = &'a RowLabels>) -> ArrayRef {
        match self.cell {
            Cell::Text(get, _) => Arc::new(rows.map(get).collect::<StringArray>()),
            Cell::Code(get, _) => Arc::new(rows.map(get).collect::<Int8Array>()),
            Cell::Double(get, _) => Arc::new(rows.map(get).collect::<Float64Array>()),
            Cell::Single(get, _) => Arc::new(rows.map(get).collect::<Float32Array>()),
            Cell::Days(get, _) => Arc::new(rows.map(get).collect::<Int32Array>()),
            Cell::Flag(get, _) => Arc::new(rows.map(get).collect::<BooleanArray>()),
        }
    }

    /// Gives the stored cells back to their rows.
    fn read(&self, batch: &RecordBatch, rows: &mut [RowLabels]) -> Result<(), String> {
        let name = self.name;
        let array = batch.column_by_name(name).ok_or_else(|| format!("column `{name}` is missing"))?;
        if !self.nullable && array.null_count() > 0 {
            let row = (0..array.len()).find(|&row| array.is_null(row)).unwrap_or_default();
            return Err(format!("`{name}` is null in row {row}"));
        }
        match self.cell {
            Cell::Text(_, set) => fill(name, typed::<StringArray>(name, array)?, rows, set),
            Cell::Code(_, set) => fill(name, typed::<Int8Array>(name, array)?, rows, set),
            Cell::Double(_, set) => fill(name, typed::<Float64Array>(name, array)?, rows, set),
            Cell::Single(_, set) => fill(name, typed::<Float32Array>(name, array)?, rows, set),
            Cell::Days(_, set) => fill(name, typed::<Int32Array>(name, array)?, rows, set),
            Cell::Flag(_, set) => fill(name, typed::<BooleanArray>(name, array)?, rows, set),
        }
    }
}

fn typed<'a, A: 'static>(name: &str, array: &'a ArrayRef) -> Result<&'a A, String> {
    array.as_any().downcast_ref().ok_or_else(|| format!("column `{name}` has another type"))
}

fn fill<T: Copy + std::fmt::Display>(
    name: &str,
    cells: impl IntoIterator<Item = Option<T>>,
    rows: &mut [RowLabels],
    set: fn(&mut RowLabels, T) -> Option<()>,
) -> Result<(), String> {
    for (number, (row, cell)) in rows.iter_mut().zip(cells).enumerate() {
        let Some(value) = cell else { continue };
        set(row, value).ok_or_else(|| format!("`{name}` is `{value}` in row {number}, which is not valid"))?;
    }
    Ok(())
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
    let mut rows = vec![blank(); batch.num_rows()];
    columns().iter().try_for_each(|column| column.read(batch, &mut rows))?;
    Ok(rows)
}

/// A row whose every required value is set by a column.
fn blank() -> RowLabels {
    RowLabels {
        sample_key: String::new(),
        kind: RowKind::Finding,
        patient_key: PatientKey::from_stored(String::new()),
        study_key: StudyKey::from_stored(String::new()),
        series_key: SeriesKey::from_stored(String::new()),
        frame_of_reference_key: None,
        instance_key: None,
        split: Split::Train,
        center_voxel: [0.0; 3],
        center_mm: [0.0; 3],
        region: None,
        region_name: None,
        station: None,
        metastasis: None,
        evidence: Evidence::U,
        level: LabelLevel::Node,
        label_source: String::new(),
        short_axis_mm: None,
        finding_distance_mm: None,
        study_day: None,
        manufacturer: None,
        model: None,
        kernel: None,
        slice_thickness_mm: None,
        slice_step_mm: 0.0,
        pixel_spacing_mm: 0.0,
        repaired: None,
        kvp: None,
        contrast: None,
        pet: false,
        pad_fraction: 0.0,
        weight: 0.0,
        voxels_digest: String::new(),
    }
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
