//! Agreement between forms of source: where a table and masks speak of one place, how often they give one label. Two tables are one form.
//!
//! A build joins what lies in one series, so pairs here are of different series of a frame of reference: two reconstructions of one scan, one
//! annotated by a table, one by masks. Invariants: pairs are of one patient, closer than a stated distance, one to one, the nearest first; rows
//! that are one of several samples of a finding are left out, because they may be shifted; a label that is unknown to either is no
//! disagreement; what few patients agree in has no interval.

use std::collections::{BTreeMap, BTreeSet};

use mtids_metrics::{BootstrapOptions, agreement_by_patient};
use polars::prelude::{Expr, JoinArgs, JoinType, LazyFrame, SortMultipleOptions, col, lit};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::AuditError;
use crate::index::{Answer, Index, Rows};

/// Resamples of patients, and their seed: an interval is to be the same each time.
const BOOTSTRAP: BootstrapOptions = BootstrapOptions { resamples: 500, seed: 29 };
/// With fewer patients there is no interval: resamples of a handful that agree would all agree.
const FEWEST_PATIENTS: u64 = 5;
/// Columns of a row that is paired.
const COLUMNS: [&str; 7] =
    ["sample_key", "label_source", "region_name", "metastasis", "center_x_mm", "center_y_mm", "center_z_mm"];
/// What a row is paired by.
const PLACE: [&str; 2] = ["patient_key", "frame_of_reference_key"];

/// How far two forms of source agree along one dimension.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceAgreement {
    /// The two forms of source (`table`, `segmentation`, …), sorted.
    pub sources: [String; 2],
    /// `region` or `metastasis`.
    pub dimension: String,
    /// Pairs of rows whose label both know.
    pub pairs: u64,
    /// Patients with such a pair.
    pub patients: u64,
    /// Share of pairs with one label.
    pub observed: f64,
    /// Cohen's kappa; none where both always say one label.
    pub kappa: Option<f64>,
    /// Its 95 % interval by bootstrap over patients; none with fewer than five of them.
    pub interval: Option<[f64; 2]>,
}

/// Agreement of every two forms of source along both dimensions; none where no two speak of one place.
pub(crate) fn agreement(index: &Index, same_place_mm: f64) -> Result<Vec<SourceAgreement>, AuditError> {
    let side = |frame: LazyFrame, prefix: &str| {
        let selected: Vec<Expr> = PLACE
            .iter()
            .map(|name| col(*name))
            .chain(COLUMNS.iter().map(|name| col(*name).alias(format!("{prefix}{name}"))))
            .collect();
        frame.select(selected)
    };
    let squared = |axis: &str| {
        let apart = col(format!("a_{axis}")) - col(format!("b_{axis}"));
        apart.clone() * apart
    };
    let distance =
        COLUMNS[4..].iter().map(|axis| squared(axis)).reduce(|sum, one| sum + one).unwrap_or_else(|| lit(0.0));
    let rows = rows_of_several_sources(index)?;
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let columns: Vec<&str> = PLACE.into_iter().chain(COLUMNS).collect();
    let rows = index.rows_at(Rows::Findings, rows, &columns)?.into_frame();
    let pairs = side(rows.clone(), "a_").join(side(rows, "b_"), PLACE.map(col), PLACE.map(col), inner());
    let nearest = pairs
        .filter(col("a_label_source").lt(col("b_label_source")))
        .with_column(distance.alias("distance"))
        .filter(col("distance").lt(lit(same_place_mm * same_place_mm)))
        // The nearest first; the order of the file decides between equals.
        .sort(["distance", "a_sample_key", "b_sample_key"], SortMultipleOptions::default());
    let answer = index.answer(nearest)?;
    let (first, second) =
        (answer.texts_of("a_label_source", "label_source")?, answer.texts_of("b_label_source", "label_source")?);
    let (keys, others) = (answer.codes("a_sample_key")?, answer.codes("b_sample_key")?);
    let mut rows: BTreeMap<[String; 2], Vec<usize>> = BTreeMap::new();
    let mut paired = BTreeSet::new();
    for (n, sources) in first.into_iter().zip(second).enumerate() {
        let (Some(first), Some(second)) = sources else { continue };
        let [one, other] = [(keys[n], second.clone()), (others[n], first.clone())];
        if !paired.contains(&one) && !paired.contains(&other) {
            paired.extend([one, other]);
            rows.entry([first, second]).or_default().push(n);
        }
    }
    let mut found = Vec::new();
    for (sources, rows) in rows {
        for (dimension, column) in [("region", "region_name"), ("metastasis", "metastasis")] {
            found.extend(along(&answer, &rows, sources.clone(), dimension, column)?);
        }
    }
    Ok(found)
}

fn inner() -> JoinArgs {
    JoinArgs::new(JoinType::Inner)
}

/// Rows of patients' frames of reference that several forms of source speak of: most have one, and every pair of their rows would be made for
/// nothing.
fn rows_of_several_sources(index: &Index) -> Result<Vec<u32>, AuditError> {
    let answer = index.query(|frame| {
        // The samples of a finding share a weight of 1.
        let known = frame
            .filter(col("frame_of_reference_key").is_not_null().and(col("weight").gt_eq(lit(1.0))))
            .select(PLACE.into_iter().chain(["sample_key", "label_source"]).map(col).collect::<Vec<Expr>>());
        let source = || col("label_source");
        let shared = known
            .clone()
            .group_by(PLACE.map(col))
            .agg([source().min().alias("first"), source().max().alias("last")])
            .filter(col("first").lt(col("last")))
            .select(PLACE.map(col));
        known.join(shared, PLACE.map(col), PLACE.map(col), inner()).select([col("sample_key")])
    })?;
    let mut rows = answer.codes("sample_key")?;
    rows.sort_unstable();
    Ok(rows)
}

/// The agreement of these pairs along a dimension; none where no pair is known to both.
fn along(
    answer: &Answer,
    rows: &[usize],
    sources: [String; 2],
    dimension: &str,
    column: &str,
) -> Result<Option<SourceAgreement>, AuditError> {
    let patients = answer.texts("patient_key")?;
    let [first, second] = ["a", "b"].map(|side| answer.texts_of(&format!("{side}_{column}"), column));
    let labels = [first?, second?];
    let known: Vec<(&str, &str, &str)> = rows
        .iter()
        .filter_map(|&n| Some((patients[n].as_deref()?, labels[0][n].as_deref()?, labels[1][n].as_deref()?)))
        .collect();
    if known.is_empty() {
        return Ok(None);
    }
    let classes: BTreeSet<&str> = known.iter().flat_map(|&(_, first, second)| [first, second]).collect();
    let codes: BTreeMap<&str, usize> = classes.iter().enumerate().map(|(code, name)| (*name, code)).collect();
    let pairs: Vec<(usize, usize)> = known.iter().map(|(_, first, second)| (codes[first], codes[second])).collect();
    let names: Vec<&str> = known.iter().map(|(patient, ..)| *patient).collect();
    let patients_known = names.iter().collect::<BTreeSet<_>>().len() as u64;
    let agreement = agreement_by_patient(&names, &pairs, classes.len(), BOOTSTRAP);
    let interval = agreement.and_then(|one| one.interval).filter(|_| patients_known >= FEWEST_PATIENTS);
    let same = pairs.iter().filter(|(first, second)| first == second).count();
    Ok(Some(SourceAgreement {
        sources,
        dimension: dimension.to_owned(),
        pairs: pairs.len() as u64,
        patients: patients_known,
        observed: same as f64 / pairs.len() as f64,
        kappa: agreement.map(|one| one.kappa),
        interval: interval.map(|interval| [interval.low, interval.high]),
    }))
}
