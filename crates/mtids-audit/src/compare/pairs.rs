//! Rows of two datasets beside each other, joined by their keys.
//!
//! A key is made of the secret, the series, and the place of the finding with the number of the sample, or the number of the negative. So equal
//! keys mean the same finding, but shifted samples and negatives of one key may lie elsewhere. Invariants: every row of either dataset is in
//! the join once, but for those whose key is repeated, which are left out; columns of the first begin with `a_`, of the second with `b_`.

use std::collections::BTreeMap;

use mtids_domain::label::Metastasis;
use mtids_metrics::{BootstrapOptions, agreement_by_patient};
use polars::prelude::{
    DataType, Expr, JoinArgs, JoinCoalesce, JoinType, LazyFrame, SortMultipleOptions, col, len, lit,
};

use super::comparison::{Overlap, Transition};
use super::keys::{KEY, Repeated};
use crate::count::Group;
use crate::distribution::by_in;
use crate::error::AuditError;
use crate::index::{Answer, Index, Rows};

/// Columns that say where a row lies on disk, which may change with any row before it.
const PLACES_ON_DISK: [&str; 3] = ["shard", "row_group", "row"];
/// Columns of the rows that are asked for more than how many differ; every layout has them.
const ASKED: [&str; 14] = [
    "kind",
    "patient_key",
    "series_key",
    "split",
    "center_x_mm",
    "center_y_mm",
    "center_z_mm",
    "region_name",
    "station",
    "metastasis",
    "evidence",
    "level",
    "weight",
    "voxels_digest",
];
/// The place of a row.
const CENTER: [&str; 3] = ["center_x_mm", "center_y_mm", "center_z_mm"];
/// Places closer than this are one, mm: coordinates are computed, and another version may round otherwise.
const ONE_PLACE_MM: f64 = 0.01;
/// A finding that moved further than this under its key is no matter of computing otherwise, mm.
pub(super) const MOVED_MM: f64 = 1.0;
/// So many columns are compared in one join, to bound its memory.
pub(super) const COLUMNS_AT_A_TIME: usize = 32;
/// The class of a label that is not known.
const UNKNOWN: &str = "unknown";
/// Resamples of patients, and their seed: an interval is to be the same each time.
const BOOTSTRAP: BootstrapOptions = BootstrapOptions { resamples: 500, seed: 23 };
/// With more rows than these, kappa has no interval: its width would be below what is shown.
const MOST_RESAMPLED: u64 = 1_000_000;

/// A side of the join.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// The first dataset.
    First,
    /// The second.
    Second,
}

impl Side {
    fn prefix(self) -> &'static str {
        match self {
            Self::First => "a_",
            Self::Second => "b_",
        }
    }

    /// A column of this side in the join.
    pub(super) fn column(self, name: &str) -> Expr {
        col(format!("{}{name}", self.prefix()))
    }

    /// Marks the rows that this side has.
    fn has(self) -> Expr {
        self.column("here").is_not_null()
    }

    fn other(self) -> Self {
        if self == Self::First { Self::Second } else { Self::First }
    }
}

/// A label of a row that differs.
pub(super) struct Change {
    /// Key of the row.
    pub(super) key: String,
    /// Its names in the first and the second dataset; `unknown` where it is not known.
    pub(super) labels: [String; 2],
}

/// Rows of both that lie elsewhere.
pub(super) struct MovedSamples {
    /// Their keys, sorted.
    pub(super) keys: Vec<String>,
    /// How far they lie apart at most, mm; none where no distance is known.
    pub(super) farthest_mm: Option<f64>,
    /// Findings among them that are not shifted, and lie further apart than [`MOVED_MM`].
    pub(super) findings: u64,
}

/// The name of a stored status.
pub(super) fn status_name(stored: &str) -> &str {
    let of_code = |status: &&Metastasis| status.code().to_string() == stored;
    Metastasis::ALL.iter().find(of_code).map_or(stored, |status| status.name())
}

/// The rows of a side, with its mark and these columns, under names of the side.
fn side(index: &Index, side: Side, repeated: &Repeated, columns: &[&str]) -> LazyFrame {
    let prefix = side.prefix();
    let mut selected = vec![col(KEY), lit(true).alias(format!("{prefix}here"))];
    selected.extend(columns.iter().map(|name| col(*name).alias(format!("{prefix}{name}"))));
    repeated.without(index.frame(Rows::All)).select(selected)
}

/// Whether the place of a row of both differs. A number that is none is another place than one that is, and the same as itself.
fn has_moved() -> Expr {
    let differs = |axis: &str| Side::First.column(axis).neq_missing(Side::Second.column(axis));
    let differ = CENTER.into_iter().map(differs).reduce(Expr::or).unwrap_or_else(|| lit(false));
    let is_near = squared_distance().lt_eq(lit(ONE_PLACE_MM * ONE_PLACE_MM)).fill_null(lit(false));
    differ.and(is_near.not())
}

/// Whether a row of both is a finding in both, and the only sample of it there: several share a weight of 1, and are shifted by chance.
fn is_unshifted() -> Expr {
    let of_side = |side: Side| {
        let weight = side.column("weight").cast(DataType::Float64);
        side.column("kind").eq(lit("finding")).and(weight.clone().is_finite()).and(weight.gt_eq(lit(1.0)))
    };
    of_side(Side::First).and(of_side(Side::Second)).fill_null(lit(false))
}

/// Of the places of both sides, mm².
fn squared_distance() -> Expr {
    let squared = |axis: &str| {
        let apart = Side::First.column(axis) - Side::Second.column(axis);
        apart.clone() * apart
    };
    CENTER.into_iter().map(squared).reduce(|sum, square| sum + square).unwrap_or_else(|| lit(0.0))
}

/// The join.
pub(super) struct Pairs<'i> {
    first: &'i Index,
    second: &'i Index,
    /// Keys of more than one row, which are not joined.
    pub(super) repeated: Repeated,
    /// Columns of both datasets that are compared.
    columns: Vec<String>,
    /// The rows of both and of one only, with the columns of [`ASKED`]; joined once.
    joined: LazyFrame,
}

impl<'i> Pairs<'i> {
    /// Joins two datasets.
    ///
    /// # Errors
    /// [`AuditError::Index`] for an index without a column that every layout has.
    pub(super) fn of(first: &'i Index, second: &'i Index) -> Result<Self, AuditError> {
        let is_compared = |name: &&String| name.as_str() != KEY && !PLACES_ON_DISK.contains(&name.as_str());
        let columns: Vec<String> =
            first.columns().intersection(second.columns()).filter(is_compared).cloned().collect();
        let repeated = Repeated::of([first, second])?;
        let asked = side(first, Side::First, &repeated, &ASKED).join(
            side(second, Side::Second, &repeated, &ASKED),
            [col(KEY)],
            [col(KEY)],
            JoinArgs::new(JoinType::Full).with_coalesce(JoinCoalesce::CoalesceColumns),
        );
        let joined = first.answer(asked)?.into_frame();
        Ok(Self { first, second, repeated, columns, joined })
    }

    /// The rows of both with these columns of each.
    pub(super) fn beside(&self, names: &[&str]) -> LazyFrame {
        side(self.first, Side::First, &self.repeated, names).join(
            side(self.second, Side::Second, &self.repeated, names),
            [col(KEY)],
            [col(KEY)],
            JoinArgs::new(JoinType::Inner),
        )
    }

    /// Runs a query over the join.
    pub(super) fn answer(&self, rows: LazyFrame) -> Result<Answer, AuditError> {
        self.first.answer(rows)
    }

    fn both(&self) -> LazyFrame {
        self.joined.clone().filter(Side::First.has().and(Side::Second.has()))
    }

    /// Rows that only one side has, with the names of columns that a dataset has.
    fn only(&self, side: Side) -> LazyFrame {
        let selected: Vec<Expr> = ASKED.iter().map(|name| side.column(name).alias(*name)).collect();
        let rows = self.joined.clone().filter(side.has().and(side.other().has().not()));
        rows.select([vec![col(KEY)], selected].concat())
    }

    /// How many rows both have, and each alone.
    pub(super) fn rows(&self) -> Result<Overlap, AuditError> {
        let [first, second] = [Side::First.has(), Side::Second.has()];
        let sums = [
            first.clone().and(second.clone()).sum().alias("both"),
            first.clone().and(second.clone().not()).sum().alias("first"),
            second.and(first.not()).sum().alias("second"),
        ];
        let answer = self.answer(self.joined.clone().select(sums))?;
        let count = |name: &str| Ok::<u64, AuditError>(answer.counts(name)?.first().copied().unwrap_or(0));
        Ok(Overlap { both: count("both")?, first: count("first")?, second: count("second")? })
    }

    /// Keys of rows that only one side has, at most `most` of them.
    pub(super) fn keys_only(&self, side: Side, most: usize) -> Result<Vec<String>, AuditError> {
        let rows = self.only(side).select([col(KEY)]).sort([KEY], SortMultipleOptions::default()).limit(most as u32);
        Ok(self.answer(rows)?.texts(KEY)?.into_iter().flatten().collect())
    }

    /// Findings that only one side has, by region and split.
    pub(super) fn groups_only(&self, side: Side) -> Result<Vec<Group>, AuditError> {
        by_in(self.first, self.only(side).filter(col("kind").eq(lit("finding"))), ["region_name", "split"])
    }

    /// For each column, the number of rows of both whose value differs.
    pub(super) fn changed_columns(&self) -> Result<BTreeMap<String, u64>, AuditError> {
        let mut changed = BTreeMap::new();
        for some in self.columns.chunks(COLUMNS_AT_A_TIME) {
            let names: Vec<&str> = some.iter().map(String::as_str).collect();
            let differs =
                |name: &&str| Side::First.column(name).neq_missing(Side::Second.column(name)).sum().alias(*name);
            let sums: Vec<Expr> = names.iter().map(differs).collect();
            let answer = self.answer(self.beside(&names).select(sums))?;
            for name in names {
                let rows = answer.counts(name)?.first().copied().unwrap_or(0);
                if rows > 0 {
                    changed.insert(name.to_owned(), rows);
                }
            }
        }
        Ok(changed)
    }

    /// Labels of rows of both that differ in a column of [`ASKED`], sorted by key; `name_of` gives the name of a stored value.
    pub(super) fn changes(&self, name: &str, name_of: fn(&str) -> &str) -> Result<Vec<Change>, AuditError> {
        let [before, after] = [Side::First, Side::Second].map(|side| side.column(name));
        let rows = self
            .both()
            .filter(before.clone().neq_missing(after.clone()))
            .select([col(KEY), before.alias("before"), after.alias("after")])
            .sort([KEY], SortMultipleOptions::default());
        let answer = self.answer(rows)?;
        let label = |stored: Option<String>| stored.as_deref().map_or(UNKNOWN, name_of).to_owned();
        let labels = answer.texts("before")?.into_iter().zip(answer.texts("after")?);
        let changes = answer.texts(KEY)?.into_iter().zip(labels);
        Ok(changes
            .filter_map(|(key, (before, after))| Some(Change { key: key?, labels: [label(before), label(after)] }))
            .collect())
    }

    /// Keys of rows of both at the same place whose voxels differ, sorted.
    pub(super) fn keys_of_changed_voxels(&self) -> Result<Vec<String>, AuditError> {
        let differs = Side::First.column("voxels_digest").neq_missing(Side::Second.column("voxels_digest"));
        self.keys(self.both().filter(has_moved().not().and(differs)))
    }

    /// Rows of both whose place differs: shifted samples and negatives, and findings where places were changed.
    pub(super) fn moved_samples(&self) -> Result<MovedSamples, AuditError> {
        let selected = [col(KEY), squared_distance().alias("squared"), is_unshifted().alias("is unshifted")];
        let rows = self.both().filter(has_moved()).select(selected).sort([KEY], SortMultipleOptions::default());
        let answer = self.answer(rows)?;
        // A place that is none is no distance away.
        let apart =
            answer.values("squared")?.into_iter().map(|squared| Some(squared.sqrt()).filter(|mm| mm.is_finite()));
        let apart: Vec<Option<f64>> = apart.collect();
        let unshifted = answer.counts("is unshifted")?;
        let is_far = |(mm, unshifted): &(&Option<f64>, u64)| *unshifted > 0 && mm.is_some_and(|mm| mm > MOVED_MM);
        Ok(MovedSamples {
            keys: answer.texts(KEY)?.into_iter().flatten().collect(),
            farthest_mm: apart.iter().copied().flatten().reduce(f64::max),
            findings: apart.iter().zip(unshifted).filter(is_far).count() as u64,
        })
    }

    fn keys(&self, rows: LazyFrame) -> Result<Vec<String>, AuditError> {
        let rows = rows.select([col(KEY)]).sort([KEY], SortMultipleOptions::default());
        Ok(self.answer(rows)?.texts(KEY)?.into_iter().flatten().collect())
    }

    /// Labels of the findings of both; `classes` are the known ones, and `code` gives the name of a stored value.
    pub(super) fn transition(
        &self,
        column: &str,
        classes: &[String],
        name_of: fn(&str) -> &str,
    ) -> Result<Transition, AuditError> {
        let [before, after] = [Side::First, Side::Second].map(|side| side.column(column));
        let rows = self
            .both()
            .filter(Side::First.column("kind").eq(lit("finding")))
            .group_by([
                Side::First.column("patient_key").alias("patient"),
                before.alias("before"),
                after.alias("after"),
            ])
            .agg([len().alias("rows")])
            .sort(["patient", "before", "after"], SortMultipleOptions::default());
        let answer = self.answer(rows)?;
        let unknown = classes.len();
        let class = |text: &Option<String>| {
            let named = text.as_deref().map(name_of);
            named.and_then(|name| classes.iter().position(|class| class == name)).unwrap_or(unknown)
        };
        let mut found = Transition {
            classes: classes.iter().cloned().chain([UNKNOWN.to_owned()]).collect(),
            rows: vec![vec![0; unknown + 1]; unknown + 1],
            ..Transition::default()
        };
        let patients = answer.texts("patient")?;
        let (first, second, counts) = (answer.texts("before")?, answer.texts("after")?, answer.counts("rows")?);
        let (mut names, mut pairs, mut last) = (Vec::new(), Vec::new(), None);
        for n in 0..answer.len() {
            let (before, after) = (class(&first[n]), class(&second[n]));
            found.rows[before][after] += counts[n];
            let patient = patients[n].as_deref().unwrap_or_default();
            if before != after {
                found.changed += counts[n];
                found.changed_patients += u64::from(last.replace(patient) != Some(patient));
            }
            if before != unknown && after != unknown {
                let samples = usize::try_from(counts[n]).unwrap_or(usize::MAX);
                names.extend(std::iter::repeat_n(patient, samples));
                pairs.extend(std::iter::repeat_n((before, after), samples));
            }
        }
        // Where nothing changed there is nothing to resample.
        let resamples = if found.changed > 0 && pairs.len() as u64 <= MOST_RESAMPLED { BOOTSTRAP.resamples } else { 0 };
        let agreement = agreement_by_patient(&names, &pairs, unknown, BootstrapOptions { resamples, ..BOOTSTRAP });
        found.kappa = agreement.map(|agreement| agreement.kappa);
        found.kappa_interval = agreement.and_then(|one| one.interval).map(|interval| [interval.low, interval.high]);
        Ok(found)
    }

    /// Keys of findings only in the first that have one only in the second in the same series, closer than this.
    pub(super) fn moved(&self, same_place_mm: f64) -> Result<Vec<String>, AuditError> {
        let places = |side: Side| {
            let mut selected = vec![col("series_key"), col(KEY).alias(format!("{}key", side.prefix()))];
            selected.extend(CENTER.iter().map(|axis| col(*axis).alias(format!("{}{axis}", side.prefix()))));
            self.only(side).filter(col("kind").eq(lit("finding"))).select(selected)
        };
        let pairs = places(Side::First).join(
            places(Side::Second),
            [col("series_key")],
            [col("series_key")],
            JoinArgs::new(JoinType::Inner),
        );
        let near = pairs
            .filter(squared_distance().lt(lit(same_place_mm * same_place_mm)))
            .group_by([col("a_key")])
            .agg([len().alias("near")])
            .sort(["a_key"], SortMultipleOptions::default());
        Ok(self.answer(near)?.texts("a_key")?.into_iter().flatten().collect())
    }
}
