//! The columns of a shard and of the index, in one table: name, type, null or not, meaning.
//!
//! Invariant: the Arrow schema, the conversion of rows in both directions and `schemas/patch.json` all come from [`columns`], so they
//! cannot differ. (`serde_arrow` would need a second, flat struct of the same fields beside it, for codes, keys and centres.)

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use arrow::array::{
    Array, ArrayRef, BooleanArray, Float32Array, Float64Array, Int8Array, Int32Array, RecordBatch, StringArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use mtids_domain::label::{Evidence, LabelLevel, Metastasis};
use mtids_domain::person::{AgeBand, Sex};
use mtids_domain::pseudonym::{FoldedPatientKey, FrameOfReferenceKey, InstanceKey, PatientKey, SeriesKey, StudyKey};
use mtids_domain::repair::Repair;
use mtids_patch::{Measure, Measures};
use mtids_runtime::provenance::Program;
use serde_json::{Value, json};

use crate::description::DatasetDescription;
use crate::row::{AuditFacts, RowKind, RowLabels, Split};
use crate::version::RowsVersion;
use crate::voxels::column_name;

/// How a cell is read off a row, and how a row takes it back. A setter answers `None` for a value that this program does not know.
enum Cell {
    Text(fn(&RowLabels) -> Option<&str>, fn(&mut RowLabels, &str) -> Option<()>),
    Made(fn(&RowLabels) -> Option<String>, fn(&mut RowLabels, &str) -> Option<()>),
    Code(fn(&RowLabels) -> Option<i8>, fn(&mut RowLabels, i8) -> Option<()>),
    Double(fn(&RowLabels) -> Option<f64>, fn(&mut RowLabels, f64) -> Option<()>),
    Single(fn(&RowLabels) -> Option<f32>, fn(&mut RowLabels, f32) -> Option<()>),
    Days(fn(&RowLabels) -> Option<i32>, fn(&mut RowLabels, i32) -> Option<()>),
    Flag(fn(&RowLabels) -> Option<bool>, fn(&mut RowLabels, bool) -> Option<()>),
    Measure(Region, Measure),
}

/// What a measure is taken of.
#[derive(Clone, Copy)]
enum Region {
    /// The region grown from the point.
    Grown,
    /// The annotation's mask.
    Mask,
}

/// A column: name, nullable, meaning, unit of a measure, value, and the version of the rows that brought it.
pub(crate) struct Column {
    name: Cow<'static, str>,
    nullable: bool,
    meaning: Cow<'static, str>,
    unit: Option<&'static str>,
    cell: Cell,
    since: RowsVersion,
}

/// One line per column: type, name, `required` or `nullable`, meaning; then the cell of a row, and where a stored value goes.
macro_rules! column_table {
    (@nullable required) => { false };
    (@nullable nullable) => { true };
    ($($cell:ident $name:literal $null:ident $meaning:literal:
        $get:expr, |$row:ident, $value:ident| $place:expr => $new:expr;)*) => {
        vec![$(Column {
            name: Cow::Borrowed($name),
            nullable: column_table!(@nullable $null),
            meaning: Cow::Borrowed($meaning),
            unit: None,
            since: RowsVersion::Patches,
            cell: Cell::$cell($get, |$row, $value| {
                $place = $new;
                Some(())
            }),
        }),*]
    };
}

static COLUMNS: LazyLock<Vec<Column>> = LazyLock::new(|| {
    let mut columns = plain_columns();
    columns.push(measure_source());
    for region in [Region::Grown, Region::Mask] {
        columns.extend(Measure::ALL.iter().map(|&measure| measure_column(region, measure)));
    }
    columns.extend(audit_columns().into_iter().map(|column| Column { since: RowsVersion::Audited, ..column }));
    columns
});

/// Every narrow column, in file order.
pub(crate) fn columns() -> &'static [Column] {
    &COLUMNS
}

/// Where the measures of a row come from.
fn measure_source() -> Column {
    Column {
        name: Cow::Borrowed("measure_source"),
        nullable: false,
        meaning: Cow::Borrowed(
            "grown: of the region grown from the point only; grown+mask: of the annotation's mask as well",
        ),
        unit: None,
        since: RowsVersion::Views,
        cell: Cell::Text(
            |row| Some(if row.mask.is_some() { "grown+mask" } else { "grown" }),
            |row, value| {
                row.mask = match value {
                    "grown" => None,
                    "grown+mask" => Some(Measures::default()),
                    _ => return None,
                };
                Some(())
            },
        ),
    }
}

fn measure_column(region: Region, measure: Measure) -> Column {
    let (prefix, of) = match region {
        Region::Grown => ("grown", "region grown from the point; null: could not be taken"),
        Region::Mask => ("mask", "annotation's mask; null: no mask, or could not be taken"),
    };
    Column {
        name: Cow::Owned(format!("{prefix}_{}", measure.name())),
        nullable: true,
        meaning: Cow::Owned(format!("{}; of the {of}", measure.meaning())),
        unit: Some(measure.unit()),
        since: RowsVersion::Views,
        cell: Cell::Measure(region, measure),
    }
}

/// The columns that need no loop.
#[rustfmt::skip]
fn plain_columns() -> Vec<Column> {
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
            "a PET of the same study covers at least half of every view that has a PET channel (of the first view where none has); otherwise those channels are 0":
            |r| Some(r.pet), |r, v| r.pet => v;
        Single "pad_fraction" required "largest share of a view outside the scanned field, 0 to 1":
            |r| Some(r.pad_fraction), |r, v| r.pad_fraction => v;
        Single "weight" required "sampling weight":
            |r| Some(r.weight), |r, v| r.weight => v;
        Text "voxels_digest" required "first 16 hexadecimal digits of BLAKE3 of the voxels, one view behind the other":
            |r| Some(&r.voxels_digest), |r, v| r.voxels_digest => v.to_owned();
    }
}

/// What an audit asks besides; all of it may be unknown.
#[rustfmt::skip]
fn audit_columns() -> Vec<Column> {
    let mut columns = column_table! {
        Text "site" nullable "site that the rule of the build names: a pseudonym, or its name where the build writes names; null: not known":
            |r| r.audit.site.as_deref(), |r, v| r.audit.site => Some(v.to_owned());
        Text "sex" nullable "F, M or O, as PatientSex of DICOM; null: not known":
            |r| r.audit.sex.map(Sex::letter), |r, v| r.audit.sex => Some(Sex::from_letter(v)?);
        Text "age_band" nullable "age at the study in bands of ten years, 0-9 to 80-89, and 90+; null: not known":
            |r| r.audit.age_band.map(AgeBand::name), |r, v| r.audit.age_band => Some(AgeBand::from_name(v)?);
        Text "folded_patient_key" nullable
            "pseudonym of the patient's id without regard to case, blanks at its ends and width of letters (Unicode NFKC)":
            |r| r.audit.folded_patient_key.as_ref().map(FoldedPatientKey::as_str),
            |r, v| r.audit.folded_patient_key => Some(FoldedPatientKey::from_stored(v.to_owned()));
        Single "midline_offset_mm" nullable
            "offset of the node, also of a shifted sample's, from the midline of the body at its height, towards the left; null: no midline found":
            |r| r.audit.midline_offset_mm, |r, v| r.audit.midline_offset_mm => Some(v);
        Made "near_hash" nullable
            "hash of the CT of the near view, 16 pieces of 4 hexadecimal digits: copies of one scan share 4 or more; null: too little even tissue":
            |r| r.audit.near_hash.map(|hash| hash.to_string()), |r, v| r.audit.near_hash => Some(v.parse().ok()?);
    };
    columns.iter_mut().filter(|column| column.name.ends_with("_mm")).for_each(|column| column.unit = Some("mm"));
    columns
}

fn metastasis_of(code: i8) -> Option<Metastasis> {
    [Metastasis::Benign, Metastasis::Metastatic].into_iter().find(|status| status.code() == code)
}

impl Column {
    fn data_type(&self) -> DataType {
        match self.cell {
            Cell::Text(..) | Cell::Made(..) => DataType::Utf8,
            Cell::Code(..) => DataType::Int8,
            Cell::Double(..) => DataType::Float64,
            Cell::Single(..) | Cell::Measure(..) => DataType::Float32,
            Cell::Days(..) => DataType::Int32,
            Cell::Flag(..) => DataType::Boolean,
        }
    }

    /// The name of the column.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// A column of measured numbers, which hardly ever repeat: a dictionary of them would only be read besides.
    pub(crate) fn is_measure(&self) -> bool {
        matches!(self.cell, Cell::Measure(..))
    }

    pub(crate) fn field(&self) -> Field {
        Field::new(self.name.as_ref(), self.data_type(), self.nullable)
    }

    /// The column of these rows.
    pub(crate) fn array<'a>(&self, rows: impl Iterator<Item = &'a RowLabels>) -> ArrayRef {
        match self.cell {
            Cell::Text(get, _) => Arc::new(rows.map(get).collect::<StringArray>()),
            Cell::Made(get, _) => Arc::new(rows.map(get).collect::<StringArray>()),
            Cell::Code(get, _) => Arc::new(rows.map(get).collect::<Int8Array>()),
            Cell::Double(get, _) => Arc::new(rows.map(get).collect::<Float64Array>()),
            Cell::Single(get, _) => Arc::new(rows.map(get).collect::<Float32Array>()),
            Cell::Days(get, _) => Arc::new(rows.map(get).collect::<Int32Array>()),
            Cell::Flag(get, _) => Arc::new(rows.map(get).collect::<BooleanArray>()),
            Cell::Measure(region, measure) => {
                let get = |row: &'a RowLabels| match region {
                    Region::Grown => row.grown.get(measure),
                    Region::Mask => row.mask.as_ref()?.get(measure),
                };
                Arc::new(rows.map(get).collect::<Float32Array>())
            }
        }
    }

    /// Gives the stored cells back to their rows.
    fn read(&self, batch: &RecordBatch, rows: &mut [RowLabels]) -> Result<(), String> {
        let name = self.name.as_ref();
        let array = batch.column_by_name(name).ok_or_else(|| format!("column `{name}` is missing"))?;
        if !self.nullable && array.null_count() > 0 {
            let row = (0..array.len()).find(|&row| array.is_null(row)).unwrap_or_default();
            return Err(format!("`{name}` is null in row {row}"));
        }
        match self.cell {
            Cell::Text(_, set) | Cell::Made(_, set) => fill(name, typed::<StringArray>(name, array)?, rows, set),
            Cell::Code(_, set) => fill(name, typed::<Int8Array>(name, array)?, rows, set),
            Cell::Double(_, set) => fill(name, typed::<Float64Array>(name, array)?, rows, set),
            Cell::Single(_, set) => fill(name, typed::<Float32Array>(name, array)?, rows, set),
            Cell::Days(_, set) => fill(name, typed::<Int32Array>(name, array)?, rows, set),
            Cell::Flag(_, set) => fill(name, typed::<BooleanArray>(name, array)?, rows, set),
            Cell::Measure(region, measure) => {
                let set = |row: &mut RowLabels, value| {
                    let measures = match region {
                        Region::Grown => Some(&mut row.grown),
                        Region::Mask => row.mask.as_mut(),
                    };
                    measures?.set(measure, Some(value));
                    Some(())
                };
                fill(name, typed::<Float32Array>(name, array)?, rows, set)
            }
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
    set: impl Fn(&mut RowLabels, T) -> Option<()>,
) -> Result<(), String> {
    for (number, (row, cell)) in rows.iter_mut().zip(cells).enumerate() {
        let Some(value) = cell else { continue };
        set(row, value).ok_or_else(|| format!("`{name}` is `{value}` in row {number}, which is not valid"))?;
    }
    Ok(())
}

/// Schema of a shard: the narrow columns, then one of voxels per view. The description goes into the file's own key-value metadata.
pub(crate) fn shard_schema(description: &DatasetDescription) -> SchemaRef {
    let mut fields: Vec<Field> = columns().iter().map(Column::field).collect();
    fields.extend(description.views.iter().map(|view| Field::new(column_name(&view.name), DataType::Binary, false)));
    Arc::new(Schema::new(fields))
}

/// What a reader needs to know, as key-value pairs sorted by key.
pub(crate) fn metadata(description: &DatasetDescription) -> Vec<(&'static str, String)> {
    let views: Vec<Value> = description
        .views
        .iter()
        .map(|view| {
            json!({
                "name": view.name,
                "column": column_name(&view.name),
                "size_dhw": view.geometry.size,
                "spacing_zyx_mm": view.geometry.spacing_mm,
                "planes": view.geometry.planes.name(),
                "channels": view.channels.iter().map(|channel| channel.name()).collect::<Vec<_>>(),
            })
        })
        .collect();
    let mut views = Value::from(views);
    views.sort_all_objects();
    let regions: Vec<&str> = description.regions.regions().iter().map(|region| region.name.as_str()).collect();
    let Program { name, version } = &description.program;
    vec![
        ("mtids.config_digest", description.config_digest.to_string()),
        ("mtids.program", format!("{name} {version}")),
        ("mtids.regions", Value::from(regions).to_string()),
        ("mtids.schema_version", description.schema_version.clone()),
        ("mtids.taxonomy_version", description.taxonomy_version.clone()),
        ("mtids.views", views.to_string()),
        ("mtids.voxels", format!("{VOXELS}; {AXES}")),
    ]
}

/// Keys of [`metadata`].
const METADATA_KEYS: [&str; 7] = [
    "mtids.config_digest",
    "mtids.program",
    "mtids.regions",
    "mtids.schema_version",
    "mtids.taxonomy_version",
    "mtids.views",
    "mtids.voxels",
];

/// How a voxel column is laid out.
const VOXELS: &str = "little-endian int16, [C, D, H, W] with w fastest; ct: HU; pet: hundredths of SUVbw; center: 1000 at the centre of the \
     node, 0 at 5 mm from it and beyond; mask: share of the voxel in the annotation's mask, thousandths";
/// Where its axes point.
const AXES: &str = "axes d +z (head), h +y (back), w +x (left); orthogonal planes: d is axial, coronal (h towards the feet), sagittal \
     (h towards the feet, w towards the back)";

/// Labels as a record batch with the columns of the index, but for where a row lies.
///
/// # Errors
/// What Arrow refuses, which the schema rules out.
pub fn labels_batch(rows: &[RowLabels]) -> Result<RecordBatch, ArrowError> {
    let fields: Vec<Field> = columns().iter().map(Column::field).collect();
    let arrays = columns().iter().map(|column| column.array(rows.iter())).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
}

/// Labels read back from a batch that holds the narrow columns of this version; what an older one has not is as [`blank`] says.
pub(crate) fn labels_of(batch: &RecordBatch, version: RowsVersion) -> Result<Vec<RowLabels>, String> {
    let mut rows = vec![blank(); batch.num_rows()];
    let stored = columns().iter().filter(|column| column.since <= version);
    stored.into_iter().try_for_each(|column| column.read(batch, &mut rows))?;
    Ok(rows)
}

/// As [`labels_of`], of the columns with these names alone.
pub(crate) fn some_labels_of(batch: &RecordBatch, names: &[&str]) -> Result<Vec<RowLabels>, String> {
    let mut rows = vec![blank(); batch.num_rows()];
    columns()
        .iter()
        .filter(|column| names.contains(&column.name()))
        .try_for_each(|column| column.read(batch, &mut rows))?;
    Ok(rows)
}

/// A row whose every required value is set by a column.
pub(crate) fn blank() -> RowLabels {
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
        audit: AuditFacts::default(),
        grown: Measures::default(),
        mask: None,
    }
}

/// `schemas/patch.json`: the columns of a shard for people and machines.
pub fn patch_json_schema() -> Value {
    let mut list: Vec<Value> = columns()
        .iter()
        .map(|column| {
            let mut entry = json!({
                "name": column.name,
                "type": column.data_type().to_string(),
                "nullable": column.nullable,
                "meaning": column.meaning,
            });
            if let Some(unit) = column.unit {
                entry["unit"] = unit.into();
            }
            entry
        })
        .collect();
    list.push(json!({
        "name": "voxels_<view>",
        "type": DataType::Binary.to_string(),
        "nullable": false,
        "meaning": format!("one column per view, 2·C·D·H·W bytes a row: {VOXELS}; {AXES}; the file metadata `mtids.views` lists the views"),
    }));
    json!({
        "title": "Row of a shard: the views of one place, and its labels",
        "schema_version": crate::version::SCHEMA_VERSION,
        "format": "Parquet; the index has the same columns without voxels, and `shard`, `row_group`, `row`",
        "file_metadata": METADATA_KEYS,
        "views": "`mtids.views` is a JSON list sorted by name: name, column, size_dhw (voxels), spacing_zyx_mm, planes (volume, stack, orthogonal), channels",
        "columns": list,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use mtids_domain::taxonomy::{RegionScheme, Zone};
    use mtids_patch::{Channel, PatchGeometry, View, ViewName};
    use mtids_runtime::digest::Digest;

    fn description() -> DatasetDescription {
        let name = ViewName::try_from("near".to_owned()).unwrap();
        let channels = vec![Channel::Ct, Channel::Center];
        DatasetDescription {
            schema_version: "5.1".into(),
            taxonomy_version: "t".into(),
            regions: RegionScheme::of_zones(&[Zone::Upper]).unwrap(),
            views: vec![View { name, geometry: PatchGeometry::default(), channels }],
            config_digest: Digest::of_bytes(b""),
            program: Program::new("test", "0"),
        }
    }

    #[test]
    fn the_metadata_has_the_keys_of_the_published_schema_and_says_the_views() {
        let metadata = metadata(&description());
        assert_eq!(metadata.iter().map(|(key, _)| *key).collect::<Vec<_>>(), METADATA_KEYS);
        let views = &metadata.iter().find(|(key, _)| *key == "mtids.views").unwrap().1;
        let expected = json!([{
            "name": "near", "column": "voxels_near", "size_dhw": [24, 56, 56], "spacing_zyx_mm": [3.0, 2.0, 2.0],
            "planes": "volume", "channels": ["ct", "center"],
        }]);
        assert_eq!(views.parse::<Value>().unwrap(), expected);
    }

    #[test]
    fn every_measure_has_two_columns_with_unit_and_meaning() {
        let schema = patch_json_schema();
        let columns = schema["columns"].as_array().unwrap();
        for measure in Measure::ALL {
            for prefix in ["grown", "mask"] {
                let name = format!("{prefix}_{}", measure.name());
                let column = columns.iter().find(|column| column["name"] == *name).unwrap();
                assert_eq!((&column["type"], &column["unit"]), (&json!("Float32"), &json!(measure.unit())));
                assert!(column["nullable"] == true && column["meaning"].as_str().unwrap().contains(measure.meaning()));
            }
        }
        let mut names: Vec<&str> = columns.iter().filter_map(|column| column["name"].as_str()).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
