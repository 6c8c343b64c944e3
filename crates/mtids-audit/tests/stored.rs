//! An index as another program may have written it: words that nobody knows, other types, missing values or columns, no row at all.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod support;

use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int8Array, Int16Array, Int64Array, RecordBatch, StringArray, new_null_array,
};
use arrow::compute::concat;
use arrow::datatypes::{DataType, Field, Float32Type, Int8Type, Schema};
use mtids_audit::audit::{Audit, audit};
use mtids_audit::compare::{compare, config::CompareConfig};
use mtids_audit::config::AuditConfig;
use mtids_audit::error::AuditError;
use mtids_audit::issue::{AuditIssue, IssueCode, Severity};
use mtids_audit::suspects::{config::SuspectsConfig, suspects};
use mtids_runtime::exit::{Exit, ExitStatus};
use mtids_shards::RowLabels;
use support::{publish, rewrite_index, sound};
use tempfile::TempDir;

/// The batch with another column of this name, which may be null.
fn with(batch: &RecordBatch, name: &str, column: ArrayRef) -> RecordBatch {
    let place = batch.schema().index_of(name).unwrap();
    let mut fields: Vec<Field> = batch.schema().fields().iter().map(|field| field.as_ref().clone()).collect();
    fields[place] = Field::new(name, column.data_type().clone(), true);
    let mut columns = batch.columns().to_vec();
    columns[place] = column;
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

/// The batch with other words in the first rows.
fn with_words(batch: &RecordBatch, name: &str, first: &[Option<&str>]) -> RecordBatch {
    let words = batch.column_by_name(name).unwrap().as_string::<i32>().clone();
    let others = words.iter().enumerate().map(|(row, word)| first.get(row).copied().unwrap_or(word));
    with(batch, name, Arc::new(others.collect::<StringArray>()))
}

/// The sound dataset with another index.
fn stored(rows: &[RowLabels], change: impl FnOnce(RecordBatch) -> RecordBatch) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    publish(folder.path(), rows);
    rewrite_index(folder.path(), change);
    folder
}

fn audited(folder: &Path) -> Result<Audit, AuditError> {
    audit(folder, &AuditConfig::default())
}

fn issue(audit: &Audit, code: IssueCode) -> Option<&AuditIssue> {
    audit.issues.iter().find(|issue| issue.code == code)
}

#[test]
fn a_word_that_its_column_does_not_know_is_an_error_that_names_it() {
    for (column, word, shown) in [
        ("kind", Some("Finding"), "kind “Finding”: 1 row"),
        ("split", Some("Test"), "split “Test”: 1 row"),
        ("split", None, "split nothing: 1 row"),
        ("station", Some("4r"), "station “4r”: 1 row"),
        ("station", Some("10R "), "station “10R ”: 1 row"),
        ("evidence", Some("d"), "evidence “d”: 1 row"),
        ("level", Some("Node"), "level “Node”: 1 row"),
        ("measure_source", Some("Grown+Mask"), "measure_source “Grown+Mask”: 1 row"),
        ("sex", Some("f"), "sex “f”: 1 row"),
    ] {
        let folder = stored(&sound(), |batch| with_words(&batch, column, &[word]));
        let found = audited(folder.path()).unwrap();
        let issue = issue(&found, IssueCode::UnknownValue).unwrap_or_else(|| panic!("{shown}: {:?}", found.issues));
        assert_eq!((issue.severity, issue.count), (Severity::Error, 1), "{shown}");
        assert_eq!(
            (issue.examples.as_slice(), issue.rows.as_slice()),
            ([shown.to_owned()].as_slice(), ["sample0".to_owned()].as_slice())
        );
    }
    // An unknown station is none that has to be known.
    let folder = stored(&sound(), |batch| with_words(&batch, "station", &[None, None]));
    assert!(issue(&audited(folder.path()).unwrap(), IssueCode::UnknownValue).is_none());
}

#[test]
fn a_code_that_is_no_status_is_an_error_that_names_it() {
    let folder = stored(&sound(), |batch| {
        let codes = batch.column_by_name("metastasis").unwrap().as_primitive::<Int8Type>().clone();
        let others =
            codes.iter().enumerate().map(|(row, code)| [Some(2), Some(-1), None].get(row).copied().unwrap_or(code));
        with(&batch, "metastasis", Arc::new(others.collect::<Int8Array>()))
    });
    let found = audited(folder.path()).unwrap();
    let issue = issue(&found, IssueCode::UnknownValue).unwrap();
    assert_eq!(issue.examples, ["metastasis “-1”: 1 row", "metastasis “2”: 1 row"]);
    assert_eq!(issue.rows, ["sample0", "sample1"]);
}

#[test]
fn a_row_without_patient_is_neither_a_second_patient_nor_a_second_spelling() {
    let folder = stored(&sound(), |batch| with_words(&batch, "patient_key", &[None, Some("")]));
    let found = audited(folder.path()).unwrap();
    let errors: Vec<IssueCode> =
        found.issues.iter().filter(|issue| issue.severity == Severity::Error).map(|issue| issue.code).collect();
    assert_eq!(errors, [IssueCode::RowWithoutPatient], "{:?}", found.issues);
    assert_eq!(issue(&found, IssueCode::RowWithoutPatient).unwrap().rows, ["sample0", "sample1"]);
}

#[test]
fn a_size_that_is_none_is_judged_by_one_check() {
    let folder = tempfile::tempdir().unwrap();
    let mut rows = sound();
    // By the size rule a benign node of 10 mm or more is wrong, and a metastatic one below.
    for (row, size) in [(0, f32::NAN), (2, f32::NEG_INFINITY), (4, f32::INFINITY)] {
        rows[row].evidence = mtids_domain::label::Evidence::D;
        rows[row].short_axis_mm = Some(size);
        rows[row].pad_fraction = f32::NAN;
        rows[row].audit.midline_offset_mm = Some(f32::NAN);
    }
    publish(folder.path(), &rows);
    let found = audited(folder.path()).unwrap();
    let error = issue(&found, IssueCode::NotFinite).unwrap();
    assert_eq!((error.count, error.rows.len()), (3, 3));
    assert_eq!(error.examples, ["midline_offset_mm: 3 rows", "pad_fraction: 3 rows", "short_axis_mm: 3 rows"]);
    for code in [
        IssueCode::ImplausibleSize,
        IssueCode::StatusAgainstEvidence,
        IssueCode::PaddedPatches,
        IssueCode::SideAgainstMidline,
        IssueCode::ImpossibleNumber,
    ] {
        assert!(issue(&found, code).is_none(), "{}: {:?}", code.name(), found.issues);
    }
}

#[test]
fn a_missing_column_is_named_without_the_plan_of_a_query() {
    let folder = stored(&sound(), |batch| {
        let kept: Vec<usize> =
            (0..batch.num_columns()).filter(|place| batch.schema().field(*place).name() != "kvp").collect();
        batch.project(&kept).unwrap()
    });
    let whole = tempfile::tempdir().unwrap();
    publish(whole.path(), &sound());
    for error in [
        audited(folder.path()).unwrap_err(),
        compare(whole.path(), folder.path(), &CompareConfig::default()).unwrap_err(),
        suspects(folder.path(), &[], &SuspectsConfig::default()).err().unwrap(),
    ] {
        let said = error.to_string();
        assert!(said.contains("column `kvp` is missing") && said.contains("build the dataset again"), "{said}");
        assert!(said.contains(folder.path().to_str().unwrap()) && said.lines().count() == 1, "{said}");
    }
}

#[test]
fn a_dataset_without_rows_is_named_and_the_intact_one_is_not() {
    let empty = stored(&sound(), |batch| batch.slice(0, 0));
    let whole = tempfile::tempdir().unwrap();
    publish(whole.path(), &sound());
    for pair in [[whole.path(), empty.path()], [empty.path(), whole.path()]] {
        let found = compare(pair[0], pair[1], &CompareConfig::default()).unwrap();
        let which = if pair[0] == empty.path() { "first" } else { "second" };
        let said = found.issues.iter().find(|issue| issue.code == IssueCode::FewPatients).unwrap();
        assert_eq!((said.severity, found.rows.both), (Severity::Warning, 0));
        assert!(said.message.contains(&format!("the {which} dataset has no row")), "{}", said.message);
        let code = if which == "first" { IssueCode::AddedRows } else { IssueCode::RemovedRows };
        assert!(found.issues.iter().any(|issue| issue.code == code && issue.count == 144), "{:?}", found.issues);
    }
    // The audit of it says so with the same code.
    assert_eq!(issue(&audited(empty.path()).unwrap(), IssueCode::FewPatients).unwrap().severity, Severity::Warning);
    let found = suspects(empty.path(), &[], &SuspectsConfig::default()).unwrap();
    assert_eq!(found.suspects.notes, ["The dataset has no findings, so no label is judged."]);
    assert!(found.ranked.is_empty() && found.suspects.dimensions.is_empty());
}

/// The batch without a value in the first row of a column.
fn without_first(batch: &RecordBatch, name: &str) -> RecordBatch {
    let column = batch.column_by_name(name).unwrap();
    let none = new_null_array(column.data_type(), 1);
    with(batch, name, concat(&[none.as_ref(), column.slice(1, column.len() - 1).as_ref()]).unwrap())
}

#[test]
fn a_number_stored_as_text_is_refused_and_the_dataset_is_named() {
    let whole = tempfile::tempdir().unwrap();
    publish(whole.path(), &sound());
    for (column, expected) in [
        ("metastasis", "Int8"),
        ("region", "Int8"),
        ("study_day", "Int32"),
        ("center_x_mm", "Float64"),
        ("center_z_mm", "Float64"),
        ("kvp", "Float32"),
        ("weight", "Float32"),
        ("slice_thickness_mm", "Float32"),
        ("midline_offset_mm", "Float32"),
        ("grown_aorta_hu", "Float32"),
        ("contrast", "Boolean"),
    ] {
        let folder =
            stored(&sound(), |batch| with(&batch, column, Arc::new(StringArray::from(vec!["1"; batch.num_rows()]))));
        let of = |first: &Path, second: &Path| compare(first, second, &CompareConfig::default()).unwrap_err();
        for error in [
            audited(folder.path()).unwrap_err(),
            of(whole.path(), folder.path()),
            of(folder.path(), whole.path()),
            suspects(folder.path(), &[], &SuspectsConfig::default()).err().unwrap(),
        ] {
            let said = error.to_string();
            assert!(said.contains(&format!("column `{column}` has type Utf8 instead of {expected}")), "{said}");
            assert!(said.contains(folder.path().to_str().unwrap()), "{said}");
            assert_eq!(error.exit(), Exit::Data);
        }
    }
}

#[test]
fn numbers_of_other_widths_are_the_same_numbers() {
    let whole = tempfile::tempdir().unwrap();
    publish(whole.path(), &sound());
    let folder = stored(&sound(), |batch| {
        let singles = |name: &str| batch.column_by_name(name).unwrap().as_primitive::<Float32Type>().clone();
        let codes = |name: &str| batch.column_by_name(name).unwrap().as_primitive::<Int8Type>().clone();
        let double = |name: &str| singles(name).iter().map(|one| one.map(f64::from)).collect::<Float64Array>();
        let (sizes, voltages) = (double("short_axis_mm"), double("kvp"));
        let statuses: Int64Array = codes("metastasis").iter().map(|one| one.map(i64::from)).collect();
        let regions: Int16Array = codes("region").iter().map(|one| one.map(i16::from)).collect();
        let batch = with(&batch, "short_axis_mm", Arc::new(sizes));
        let batch = with(&batch, "kvp", Arc::new(voltages));
        let batch = with(&batch, "metastasis", Arc::new(statuses));
        with(&batch, "region", Arc::new(regions))
    });
    let [wide, narrow] = [folder.path(), whole.path()].map(|folder| audited(folder).unwrap());
    assert_eq!((wide.issues, wide.overall, wide.sizes), (narrow.issues, narrow.overall, narrow.sizes));
    let found = compare(whole.path(), folder.path(), &CompareConfig::default()).unwrap();
    assert!(found.issues.is_empty() && found.changed_columns.is_empty(), "{:?}", found.issues);
}

#[test]
fn a_row_without_a_value_that_every_row_has_is_an_error() {
    for column in [
        "sample_key",
        "study_key",
        "series_key",
        "center_i",
        "center_x_mm",
        "center_z_mm",
        "slice_step_mm",
        "pixel_spacing_mm",
        "pet",
        "pad_fraction",
        "weight",
        "voxels_digest",
        "row",
    ] {
        let folder = stored(&sound(), |batch| without_first(&batch, column));
        let found = audited(folder.path()).unwrap();
        let errors: Vec<&AuditIssue> = found.issues.iter().filter(|one| one.severity == Severity::Error).collect();
        assert_eq!(errors.len(), 1, "{column}: {errors:?}");
        assert_eq!((errors[0].code, errors[0].count), (IssueCode::MissingValue, 1), "{column}");
        assert_eq!(errors[0].examples, [format!("{column}: 1 row")]);
    }
    // What may be unknown may be null.
    let folder = stored(&sound(), |batch| without_first(&without_first(&batch, "kvp"), "frame_of_reference_key"));
    assert!(issue(&audited(folder.path()).unwrap(), IssueCode::MissingValue).is_none());
}

#[test]
fn rows_without_series_are_not_of_one_series() {
    // Rows 0 and 4 are nodes of two patients, of two statuses and in one place of their own frames.
    let folder = stored(&sound(), |batch| {
        let keep = |name: &'static str| [None, Some(name), Some(name), Some(name), None];
        let batch = with_words(&batch, "frame_of_reference_key", &keep("frame0"));
        with_words(&batch, "series_key", &keep("series0"))
    });
    let found = audited(folder.path()).unwrap();
    assert_eq!(issue(&found, IssueCode::MissingValue).unwrap().count, 2);
    assert!(issue(&found, IssueCode::ConflictingLabels).is_none(), "{:?}", found.issues);
}

#[test]
fn columns_of_one_dataset_alone_are_named() {
    let whole = tempfile::tempdir().unwrap();
    publish(whole.path(), &sound());
    let folder = stored(&sound(), |batch| {
        let is_kept = |place: &usize| !["site", "near_hash"].contains(&batch.schema().field(*place).name().as_str());
        batch.project(&(0..batch.num_columns()).filter(is_kept).collect::<Vec<_>>()).unwrap()
    });
    let between = |first: &Path, second: &Path| compare(first, second, &CompareConfig::default()).unwrap().issues;
    let (gone, new) = (between(whole.path(), folder.path()), between(folder.path(), whole.path()));
    assert_eq!((gone.len(), new.len()), (1, 1), "{gone:?} {new:?}");
    assert_eq!((gone[0].code, gone[0].severity), (IssueCode::ColumnsDiffer, Severity::Warning));
    assert_eq!(gone[0].message, "2 columns are gone from the second dataset: `near_hash`, `site`");
    assert_eq!((new[0].code, new[0].severity, new[0].count), (IssueCode::ColumnsDiffer, Severity::Info, 2));
}

#[test]
fn a_file_in_the_place_of_a_dataset_is_called_a_file() {
    let folder = tempfile::tempdir().unwrap();
    publish(folder.path(), &sound());
    let file = folder.path().join("manifest.json");
    for error in [
        audited(&file).unwrap_err(),
        compare(folder.path(), &file, &CompareConfig::default()).unwrap_err(),
        suspects(&file, &[], &SuspectsConfig::default()).err().unwrap(),
    ] {
        assert!(error.to_string().contains("manifest.json is a file, and a dataset is a folder"), "{error}");
        assert_eq!(error.exit(), Exit::Data);
    }
}

#[test]
fn the_helper_keeps_the_types_of_an_index() {
    let folder = stored(&sound(), |batch| {
        assert_eq!(batch.column_by_name("metastasis").unwrap().data_type(), &DataType::Int8);
        batch
    });
    assert_eq!(audited(folder.path()).unwrap().counted_issues(), 0);
}
