//! Suspects as tables: for people in a terminal, for tools as CSV, and for answers as a table of corrections.
//!
//! Invariants: every table has its heading also where it is empty; only pseudonyms and keys appear; the table of corrections is refused by a
//! build until a person has filled its cells `by` and `why`. Units: probabilities lie in 0 to 1, places are LPS mm, slices count from 0.

use std::collections::BTreeMap;

use mtids_report::format::{count, counted, metric, percent};
use mtids_report::table::{Align, Table};

use super::found::{Dimension, Judged, Suspect, Suspects};
use super::ranked::{Found, Ranked};

/// Rows of the table in a terminal, of each dimension.
const MOST_SHOWN: usize = 10;

/// Probabilities of the judged rows in the form of predictions, for other tools and for `--predictions`. A row that is judged along one
/// dimension only has empty cells.
///
/// # Errors
/// [`csv::Error`] when memory cannot take it.
pub fn probabilities_csv(found: &Found, rows: &[Suspect]) -> Result<Vec<u8>, csv::Error> {
    let patients: BTreeMap<&str, &str> = rows.iter().map(|row| (row.finding.as_str(), row.patient.as_str())).collect();
    let mut of_rows: BTreeMap<&str, [Option<&Ranked>; 2]> = BTreeMap::new();
    for row in &found.ranked {
        of_rows.entry(row.key.as_str()).or_default()[usize::from(row.dimension == Dimension::Metastasis)] = Some(row);
    }
    let regions = found.suspects.dimensions.iter().find(|judged| judged.dimension == Dimension::Region);
    let regions = regions.map_or(&[][..], |judged| judged.classes.as_slice());
    let mut writer = csv::Writer::from_writer(Vec::new());
    let head = ["sample_key", "patient_key", "region", "metastasis", "p_metastatic"].map(str::to_owned);
    writer.write_record(head.into_iter().chain(regions.iter().map(|region| format!("p_{region}"))))?;
    let given = |row: Option<&Ranked>| row.map(|row| row.given.clone()).unwrap_or_default();
    // Round-trips to the same bits, so that nothing is lost on the way to another tool.
    let shown = |p: Option<f64>| p.map(|p| format!("{p:?}")).unwrap_or_default();
    for (key, [region, status]) in of_rows {
        let patient = patients.get(key).copied().unwrap_or_default();
        let cells = [key.to_owned(), patient.to_owned(), given(region), given(status)].into_iter();
        let places = (0..regions.len()).map(|class| shown(region.map(|row| row.probabilities[class])));
        writer.write_record(cells.chain([shown(status.map(|row| row.probabilities[1]))]).chain(places))?;
    }
    finish(writer)
}

/// A table of corrections that a person fills in: who decided and why, and another label where the suggested one is not right. Lines of labels
/// that are right are removed.
///
/// # Errors
/// [`csv::Error`] when memory cannot take it.
pub fn corrections_csv(suspects: &[Suspect]) -> Result<Vec<u8>, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(["finding", "dimension", "old", "new", "by", "why"])?;
    for one in suspects {
        writer.write_record([&one.finding, one.dimension.name(), &one.given, &one.suggested, "", ""])?;
    }
    finish(writer)
}

fn finish(writer: csv::Writer<Vec<u8>>) -> Result<Vec<u8>, csv::Error> {
    writer.into_inner().map_err(|error| csv::Error::from(error.into_error()))
}

/// The result as text for a terminal.
pub fn text(found: &Suspects) -> String {
    let mut text = String::new();
    if !found.dimensions.is_empty() {
        let names = ["dimension", "judged", "patients", "suspects", "wrong by model", "by confident joint", "95 %"];
        let columns =
            names.into_iter().enumerate().map(|(n, name)| (name, if n == 0 { Align::Left } else { Align::Right }));
        let mut table = Table::new(columns);
        found.dimensions.iter().for_each(|judged| {
            table.row(dimension_cells(judged));
        });
        text.push_str(&table.render());
    }
    for judged in &found.dimensions {
        let of_dimension = found.suspects.iter().filter(|one| one.dimension == judged.dimension);
        let mut table = Table::new([
            (format!("{}: finding", judged.dimension.name()), Align::Left),
            ("given".to_owned(), Align::Left),
            ("evidence".to_owned(), Align::Left),
            ("suggested".to_owned(), Align::Left),
            ("wrong".to_owned(), Align::Right),
        ]);
        for one in of_dimension.take(MOST_SHOWN) {
            let evidence = if one.dimension == Dimension::Metastasis { one.evidence.letter() } else { "" };
            let cells = [&one.finding, &one.given, evidence, &one.suggested, &metric(Some(one.p_wrong))];
            table.row(cells.map(str::to_owned));
        }
        if !table.is_empty() {
            text.push_str(&format!("\n{}", table.render()));
        }
    }
    for note in &found.notes {
        text.push_str(&format!("\n  {note}"));
    }
    let all: u64 = found.dimensions.iter().map(|judged| judged.suspects).sum();
    let all = counted(all, "suspect", "suspects");
    text.push_str(&format!("\n  {all} in suspects.csv; look at them before you change a label\n"));
    text
}

/// A row of the table of dimensions.
pub(super) fn dimension_cells(judged: &Judged) -> Vec<String> {
    let numbers = [judged.rows, judged.patients, judged.suspects].map(count);
    let shares = [percent(judged.expected_noise), percent(judged.noise)];
    let bounds = judged.noise_interval.map(|ends| ends.map(percent).join(" – "));
    let bounds = bounds.unwrap_or_else(|| "–".to_owned());
    [judged.dimension.name().to_owned()].into_iter().chain(numbers).chain(shares).chain([bounds]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::{Form, of_suspects};
    use mtids_domain::label::Evidence;

    fn suspect() -> Suspect {
        Suspect {
            dimension: Dimension::Metastasis,
            rank: 1,
            finding: "k1".into(),
            patient: "p".into(),
            study: "st".into(),
            series: "se".into(),
            split: "test".into(),
            slice: 7,
            place_mm: [1.0, -2.5, 3.25],
            source: "table".into(),
            evidence: Evidence::D,
            short_axis_mm: Some(11.25),
            given: "metastatic".into(),
            suggested: "benign".into(),
            p_given: 0.1,
            p_suggested: 0.9,
            p_wrong: 0.875,
        }
    }

    #[test]
    fn tables_have_headings_and_corrections_are_left_for_a_person() {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let table = text(of_suspects(&[suspect()]).bytes(Form::Csv).unwrap());
        let expected = "metastasis,1,k1,p,st,se,test,7,1,-2.5,3.25,table,D,11.25,metastatic,benign,0.1,0.9,0.875";
        assert_eq!(table.lines().nth(1), Some(expected));
        assert_eq!(table.lines().next().unwrap().split(',').count(), expected.split(',').count());
        let corrections = text(corrections_csv(&[suspect()]).unwrap());
        assert_eq!(corrections, "finding,dimension,old,new,by,why\nk1,metastasis,metastatic,benign,,\n");
        assert_eq!(text(corrections_csv(&[]).unwrap()).lines().count(), 1);
    }
}
