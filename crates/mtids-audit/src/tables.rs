//! Every table of a page as a file of its own, for spreadsheets (CSV) and for data frames (Parquet).
//!
//! Invariants: a table has its heading also where it is empty; unknown is an empty cell, null in Parquet; numbers are whole, not as they are
//! rounded for people; no text of a CSV is a formula of a spreadsheet, so `=1+1` of a header is written `'=1+1`; the same audit gives the same
//! bytes. Units: shares in 0 to 1, mm where a name says so.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, UInt64Array};
use mtids_runtime::text::no_formula;
use parquet::arrow::ArrowWriter;

use crate::agreement::SourceAgreement;
use crate::association::Association;
use crate::audit::Audit;
use crate::compare::comparison::{Comparison, Drift, Transition};
use crate::count::{Group, Intervals};
use crate::distribution::Sizes;
use crate::issue::AuditIssue;
use crate::measures::Measured;
use crate::per_patient::Patients;
use crate::suspects::found::Suspect;

/// Quantiles of the short axes that a table gives.
const QUANTILES: [f64; 5] = [0.05, 0.25, 0.5, 0.75, 0.95];

/// The form of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    /// Comma-separated values with a heading.
    Csv,
    /// Parquet, one row group.
    Parquet,
}

/// The cells of a column.
#[derive(Clone, Debug, PartialEq)]
enum Cells {
    Text(Vec<Option<String>>),
    Count(Vec<u64>),
    Number(Vec<Option<f64>>),
}

impl Cells {
    fn len(&self) -> usize {
        match self {
            Cells::Text(cells) => cells.len(),
            Cells::Count(cells) => cells.len(),
            Cells::Number(cells) => cells.len(),
        }
    }

    /// As text; numbers round-trip to the same bits.
    fn shown(&self, row: usize) -> String {
        match self {
            Cells::Text(cells) => cells[row].as_deref().map(no_formula).unwrap_or_default(),
            Cells::Count(cells) => cells[row].to_string(),
            Cells::Number(cells) => cells[row].map(|number| number.to_string()).unwrap_or_default(),
        }
    }

    fn array(&self) -> ArrayRef {
        match self {
            Cells::Text(cells) => Arc::new(cells.iter().cloned().collect::<StringArray>()),
            Cells::Count(cells) => Arc::new(UInt64Array::from(cells.clone())),
            Cells::Number(cells) => Arc::new(cells.iter().copied().collect::<Float64Array>()),
        }
    }
}

/// A table with a name.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    name: String,
    columns: Vec<(String, Cells)>,
}

impl Table {
    fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), columns: Vec::new() }
    }

    fn text<'r, R, T: Into<String>>(mut self, name: &str, rows: &'r [R], cell: impl Fn(&'r R) -> Option<T>) -> Self {
        let cells = rows.iter().map(|row| cell(row).map(Into::into)).collect();
        self.columns.push((name.to_owned(), Cells::Text(cells)));
        self
    }

    fn count<R>(mut self, name: &str, rows: &[R], cell: impl Fn(&R) -> u64) -> Self {
        self.columns.push((name.to_owned(), Cells::Count(rows.iter().map(cell).collect())));
        self
    }

    fn number<R>(mut self, name: &str, rows: &[R], cell: impl Fn(&R) -> Option<f64>) -> Self {
        self.columns.push((name.to_owned(), Cells::Number(rows.iter().map(cell).collect())));
        self
    }

    /// Name of its file.
    pub fn file_name(&self, form: Form) -> String {
        match form {
            Form::Csv => format!("{}.csv", self.name),
            Form::Parquet => format!("{}.parquet", self.name),
        }
    }

    /// Its bytes.
    ///
    /// # Errors
    /// The error of the writer, when memory cannot take it.
    pub fn bytes(&self, form: Form) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
        match form {
            Form::Csv => {
                let mut writer = csv::Writer::from_writer(Vec::new());
                writer.write_record(self.columns.iter().map(|(name, _)| name))?;
                for row in 0..self.columns.first().map_or(0, |(_, cells)| cells.len()) {
                    writer.write_record(self.columns.iter().map(|(_, cells)| cells.shown(row)))?;
                }
                Ok(writer.into_inner()?)
            }
            Form::Parquet => {
                // Nullable also where nothing is null, so that the columns of two audits are of one type.
                let columns = self.columns.iter().map(|(name, cells)| (name, cells.array(), true));
                let batch = RecordBatch::try_from_iter_with_nullable(columns)?;
                let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None)?;
                writer.write(&batch)?;
                Ok(writer.into_inner()?)
            }
        }
    }
}

fn groups(name: &str, keys: &[&str], groups: &[Group]) -> Table {
    let mut table = Table::new(name);
    for (position, key) in keys.iter().enumerate() {
        table = table.text(key, groups, |group: &Group| group.names.get(position).cloned().flatten());
    }
    table
        .count("rows", groups, |group| group.count.rows)
        .count("patients", groups, |group| group.count.patients)
        .count("benign", groups, |group| group.count.benign)
        .count("metastatic", groups, |group| group.count.metastatic)
        .count("unknown", groups, |group| group.count.unknown)
        .number("metastatic_of_known", groups, |group| group.count.prevalence())
}

/// The same with the ends of the intervals of their shares.
fn within(name: &str, keys: &[&str], of: &[Group]) -> Table {
    let all: u64 = of.iter().map(|group| group.count.rows).sum();
    let end = |of: fn(&Intervals) -> Option<[f64; 2]>, end: usize| {
        move |group: &Group| Some(of(group.intervals.as_ref()?)?[end])
    };
    groups(name, keys, of)
        .number("metastatic_low", of, end(|intervals| intervals.metastatic, 0))
        .number("metastatic_high", of, end(|intervals| intervals.metastatic, 1))
        .number("of_all", of, |group| (all > 0).then(|| group.count.rows as f64 / all as f64))
        .number("of_all_low", of, end(|intervals| intervals.rows, 0))
        .number("of_all_high", of, end(|intervals| intervals.rows, 1))
        .number("unknown_of_rows", of, |group| group.count.unknown_share())
        .number("unknown_low", of, end(|intervals| intervals.unknown, 0))
        .number("unknown_high", of, end(|intervals| intervals.unknown, 1))
}

fn associations(all: &[Association]) -> Table {
    Table::new("associations")
        .text("column", all, |one: &Association| Some(one.column.as_str()))
        .text("label", all, |one| Some(one.dimension.as_str()))
        .text("counted", all, |one| Some(one.cases.name()))
        .count("count", all, |one| one.count)
        .number("cramers_v", all, |one| Some(one.cramers_v))
        .number("mutual_information_bits", all, |one| Some(one.mutual_information))
        .number("of_label", all, |one| Some(one.of_label))
}

/// Patients by their nodes, one row for each kind.
fn patients(patients: &Patients) -> Table {
    let regions = patients.by_metastatic_regions.iter().enumerate();
    let of_status = [("benign", patients.benign), ("metastatic", patients.metastatic), ("unknown", patients.unknown)];
    let rows: Vec<(&str, String, u64)> = of_status
        .into_iter()
        .map(|(status, count)| ("status", status.to_owned(), count))
        .chain(regions.map(|(regions, &count)| ("metastatic_regions", regions.to_string(), count)))
        .collect();
    Table::new("patients").text("by", &rows, |row| Some(row.0)).text("value", &rows, |row| Some(row.1.as_str())).count(
        "patients",
        &rows,
        |row| row.2,
    )
}

fn issues(issues: &[AuditIssue]) -> Table {
    Table::new("issues")
        .text("severity", issues, |one: &AuditIssue| Some(one.severity.name()))
        .text("code", issues, |one| Some(one.code.name()))
        .count("count", issues, |one| one.count)
        .text("message", issues, |one| Some(one.message.as_str()))
        .text("advice", issues, |one| Some(one.advice.as_str()))
        .text("examples", issues, |one| Some(one.examples.join(" ")))
}

fn sizes(sizes: &[Sizes]) -> Table {
    let table = Table::new("short-axis").text("status", sizes, |one: &Sizes| Some(one.status.as_str())).count(
        "rows",
        sizes,
        |one| one.rows,
    );
    QUANTILES.into_iter().fold(table, |table, share| {
        table.number(&format!("quantile_{:02.0}_mm", 100.0 * share), sizes, |one| one.quantile(share))
    })
}

fn measures(measures: &[Measured]) -> Table {
    Table::new("measures")
        .text("of", measures, |one: &Measured| Some(one.of.as_str()))
        .text("measure", measures, |one| Some(one.measure.as_str()))
        .text("unit", measures, |one| Some(one.unit.as_str()))
        .count("benign", measures, |one| one.benign.rows)
        .count("metastatic", measures, |one| one.metastatic.rows)
        .number("median_benign", measures, |one| one.benign.median)
        .number("median_metastatic", measures, |one| one.metastatic.median)
        .number("auroc", measures, |one| one.auroc)
        .number("low", measures, |one| one.interval.map(|[low, _]| low))
        .number("high", measures, |one| one.interval.map(|[_, high]| high))
}

fn agreement(pairs: &[SourceAgreement]) -> Table {
    Table::new("agreement")
        .text("first", pairs, |one: &SourceAgreement| Some(one.sources[0].as_str()))
        .text("second", pairs, |one| Some(one.sources[1].as_str()))
        .text("dimension", pairs, |one| Some(one.dimension.as_str()))
        .count("pairs", pairs, |one| one.pairs)
        .count("patients", pairs, |one| one.patients)
        .number("agree", pairs, |one| Some(one.observed))
        .number("kappa", pairs, |one| one.kappa)
        .number("low", pairs, |one| one.interval.map(|[low, _]| low))
        .number("high", pairs, |one| one.interval.map(|[_, high]| high))
}

/// The tables of an audit.
pub fn of_audit(audit: &Audit) -> Vec<Table> {
    vec![
        issues(&audit.issues),
        within("split", &["split"], &audit.by_split),
        within("region", &["region"], &audit.by_region),
        within("region-split", &["region", "split"], &audit.by_region_and_split),
        within("station", &["station"], &audit.by_station),
        within("evidence", &["evidence", "level"], &audit.by_evidence),
        within("source", &["source"], &audit.by_source),
        within("scanner", &["manufacturer", "model", "kernel"], &audit.by_scanner),
        within("contrast", &["contrast"], &audit.by_contrast),
        within("site", &["site"], &audit.by_site),
        within("sex", &["sex"], &audit.by_sex),
        within("age", &["age_band"], &audit.by_age_band),
        within("region-site", &["region", "site"], &audit.by_region_and_site),
        within("region-manufacturer", &["region", "manufacturer"], &audit.by_region_and_manufacturer),
        within("region-kernel", &["region", "kernel"], &audit.by_region_and_kernel),
        within("region-slice-thickness", &["region", "slice_thickness_mm"], &audit.by_region_and_slice_thickness),
        within("region-contrast", &["region", "contrast"], &audit.by_region_and_contrast),
        associations(&audit.associations),
        patients(&audit.patients),
        sizes(&audit.sizes),
        measures(&audit.measures),
        agreement(&audit.agreement),
    ]
}

fn transition(name: &str, labels: &Transition) -> Table {
    let cells: Vec<(&String, &String, u64)> = labels
        .classes
        .iter()
        .zip(&labels.rows)
        .flat_map(|(first, row)| labels.classes.iter().zip(row).map(move |(second, &rows)| (first, second, rows)))
        .collect();
    Table::new(name)
        .text("first", &cells, |cell| Some(cell.0.as_str()))
        .text("second", &cells, |cell| Some(cell.1.as_str()))
        .count("rows", &cells, |cell| cell.2)
}

fn drift(drift: &[Drift]) -> Table {
    Table::new("drift")
        .text("column", drift, |one: &Drift| Some(one.column.as_str()))
        .text("value", drift, |one| one.value.clone())
        .text("site", drift, |one| one.site.clone())
        .count("rows_first", drift, |one| one.rows[0])
        .count("rows_second", drift, |one| one.rows[1])
        .number("mean_first", drift, |one| Some(one.means[0]))
        .number("mean_second", drift, |one| Some(one.means[1]))
        .number("difference", drift, |one| Some(one.difference))
        .number("low", drift, |one| Some(one.interval[0]))
        .number("high", drift, |one| Some(one.interval[1]))
        .number("standardised", drift, |one| Some(one.standardised))
        .number("p", drift, |one| Some(one.p))
        .number("p_holm", drift, |one| Some(one.adjusted_p))
}

/// The tables of a comparison.
pub fn of_comparison(found: &Comparison) -> Vec<Table> {
    let changed: Vec<(&String, &u64)> = found.changed_columns.iter().collect();
    vec![
        issues(&found.issues),
        transition("region", &found.region),
        transition("metastasis", &found.status),
        Table::new("changed-columns").text("column", &changed, |one| Some(one.0.as_str())).count(
            "rows",
            &changed,
            |one| *one.1,
        ),
        groups("removed", &["region", "split"], &found.removed),
        groups("added", &["region", "split"], &found.added),
        drift(&found.drift),
    ]
}

/// The table of suspects.
pub fn of_suspects(suspects: &[Suspect]) -> Table {
    let mut table = Table::new("suspects")
        .text("dimension", suspects, |one: &Suspect| Some(one.dimension.name()))
        .count("rank", suspects, |one| one.rank)
        .text("finding", suspects, |one| Some(one.finding.as_str()))
        .text("patient", suspects, |one| Some(one.patient.as_str()))
        .text("study", suspects, |one| Some(one.study.as_str()))
        .text("series", suspects, |one| Some(one.series.as_str()))
        .text("split", suspects, |one| Some(one.split.as_str()))
        .number("slice", suspects, |one| Some(one.slice as f64));
    for (axis, name) in ["x_mm", "y_mm", "z_mm"].into_iter().enumerate() {
        table = table.number(name, suspects, |one| Some(one.place_mm[axis]));
    }
    table
        .text("source", suspects, |one| Some(one.source.as_str()))
        .text("evidence", suspects, |one| Some(one.evidence.letter()))
        .number("short_axis_mm", suspects, |one| one.short_axis_mm)
        .text("given", suspects, |one| Some(one.given.as_str()))
        .text("suggested", suspects, |one| Some(one.suggested.as_str()))
        .number("p_given", suspects, |one| Some(one.p_given))
        .number("p_suggested", suspects, |one| Some(one.p_suggested))
        .number("p_wrong", suspects, |one| Some(one.p_wrong))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::count::{Count, Intervals};
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    fn table() -> Table {
        let count = Count { rows: 4, patients: 2, benign: 2, metastatic: 1, unknown: 1 };
        let known = Group { names: vec![Some("a, b".into())], count, intervals: None };
        let unknown = Group {
            names: vec![None],
            count: Count { rows: 1, unknown: 1, ..Count::default() },
            intervals: Some(Intervals { rows: Some([0.1, 0.5]), ..Intervals::default() }),
        };
        groups("station", &["station"], &[known, unknown])
    }

    #[test]
    fn unknown_is_an_empty_cell_and_numbers_are_whole() {
        let text = String::from_utf8(table().bytes(Form::Csv).unwrap()).unwrap();
        let expected = "station,rows,patients,benign,metastatic,unknown,metastatic_of_known\n\
                        \"a, b\",4,2,2,1,1,0.3333333333333333\n,1,0,0,0,1,\n";
        assert_eq!(text, expected);
        let empty = String::from_utf8(groups("site", &["site"], &[]).bytes(Form::Csv).unwrap()).unwrap();
        assert_eq!(empty.lines().count(), 1, "the heading: {empty}");
    }

    #[test]
    fn a_text_that_a_spreadsheet_would_compute_is_quoted_and_a_number_is_not() {
        let rows = ["=1+1", "@a", "-", "soft"];
        let table = Table::new("t").text("kernel", &rows, |row| Some(*row)).number("value", &rows, |_| Some(-1.5));
        let text = String::from_utf8(table.bytes(Form::Csv).unwrap()).unwrap();
        assert_eq!(text, "kernel,value\n'=1+1,-1.5\n'@a,-1.5\n'-,-1.5\nsoft,-1.5\n");
    }

    #[test]
    fn parquet_reads_back_and_is_the_same_bytes_twice() {
        let bytes = table().bytes(Form::Parquet).unwrap();
        assert_eq!(bytes, table().bytes(Form::Parquet).unwrap());
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes)).unwrap().build().unwrap();
        let batches: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
        assert_eq!((batches[0].num_rows(), batches[0].num_columns()), (2, 7));
        assert_eq!(batches[0].column(0).null_count(), 1);
        assert_eq!(table().file_name(Form::Parquet), "station.parquet");
    }
}
