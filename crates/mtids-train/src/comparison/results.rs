//! The results of a comparison, from records alone.
//!
//! A figure of a row is the mean over its seeds. Intervals hold both sources of spread, patients and seeds; the spread between seeds is pooled
//! over the rows of a dataset. The claims that the grid names are judged together by Holm's procedure; every other difference is exploratory.
//! Invariant: the same records give the same bytes.

use std::collections::{BTreeMap, BTreeSet};

use mtids_metrics::holm;
use serde::Serialize;

use super::cells::{self, Cell};
use super::crossed::CrossedField;
use super::field::{Field, Standings};
use super::figures::{Comparison, DatasetResults, Recorded, Verdict};
use super::grid::Grid;
use super::record::Course;
use super::tuning::{choose, trial_score};

/// Level of a claim.
const LEVEL: f64 = 0.05;

/// One trial of a row.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Trial {
    /// Row.
    pub row: String,
    /// What it changes.
    pub set: Vec<String>,
    /// Mean validation AUROC of the status over the tuning seeds, where all are on record and none diverged.
    pub status_auroc: Option<f64>,
    /// Whether a training of it diverged; it is not taken there.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_diverged: bool,
    /// Whether the row takes it; in a cross-validation, in any fold.
    pub is_chosen: bool,
    /// In how many folds of all repeats the row takes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taken_in: Option<usize>,
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Results {
    /// Title of the grid.
    pub title: String,
    /// Cells without record.
    pub missing: Vec<String>,
    /// Cells in all.
    pub cells: usize,
    /// Trials of the rows.
    pub tuning: Vec<Trial>,
    /// The claims of the grid.
    pub primary: Vec<Comparison>,
    /// The datasets.
    pub datasets: Vec<DatasetResults>,
    /// Names of the regions of the first dataset.
    pub regions: Vec<String>,
    /// Course of the first seed's training on the first dataset, by row.
    pub courses: BTreeMap<String, Course>,
    /// Weight of the shared branch there, by row and task: one number for each true region.
    pub shared_branch: BTreeMap<String, BTreeMap<String, Vec<Option<f64>>>>,
}

impl Results {
    /// The results of what is on record.
    pub fn of(grid: &Grid, recorded: &Recorded) -> Self {
        let record = |cell: &Cell| recorded.cells.get(&cell.id(grid)).cloned();
        let all: Vec<Cell> = cells::trials(grid).into_iter().chain(cells::reported(grid)).collect();
        let missing = all.iter().map(|cell| cell.id(grid)).filter(|id| !recorded.cells.contains_key(id)).collect();
        let mut tuning = Vec::new();
        for (index, row) in grid.rows.iter().enumerate().filter(|_| cells::is_tuned(grid)) {
            let reported = cells::reported(grid).into_iter().filter(|cell| cell.row == index);
            // Without folds every cell of a row takes the same.
            let cells = reported.take(if grid.folds.is_some() { usize::MAX } else { 1 });
            let chosen: Vec<usize> = cells.filter_map(|cell| choose(grid, &cell, &record)).collect();
            tuning.extend(row.trials.iter().enumerate().map(|(trial, set)| {
                let taken = chosen.iter().filter(|&&one| one == trial).count();
                let score = trial_score(grid, index, trial, &record);
                Trial {
                    row: row.name.clone(),
                    set: set.clone(),
                    status_auroc: score.filter(|score| score.is_finite()),
                    is_diverged: score == Some(f64::NEG_INFINITY),
                    is_chosen: taken > 0,
                    taken_in: grid.folds.map(|_| taken),
                }
            }));
        }
        let (mut datasets, mut primary) = (Vec::new(), Vec::new());
        for name in &grid.datasets {
            let field: Box<dyn Standings> = match (grid.folds, recorded.nodes.get(name)) {
                (Some(folds), _) => match CrossedField::new(grid, name, folds, recorded) {
                    Some(field) => Box::new(field),
                    None => continue,
                },
                (None, Some(nodes)) => Box::new(Field::new(grid, name, nodes, recorded)),
                (None, None) => continue,
            };
            primary.extend(
                grid.primary
                    .iter()
                    .filter(|claim| claim.dataset == *name)
                    .map(|claim| field.comparison(&claim.first, &claim.second, claim.metric)),
            );
            datasets.push(field.results(grid));
        }
        let is_open = |cell: &&Cell| !recorded.cells.contains_key(&cell.id(grid));
        let open = cells::reported(grid).iter().filter(is_open).map(|cell| cell.dataset.clone()).collect();
        hold_back(&mut primary, &open);
        judge_together(&mut primary, grid.primary.len());
        for difference in datasets.iter_mut().flat_map(|dataset: &mut DatasetResults| &mut dataset.differences) {
            primary.iter().for_each(|claim| difference.follow(claim));
        }
        let first = |row: usize| {
            let (dataset, fold) = (grid.datasets.first()?.clone(), grid.folds.map(|_| 0));
            let cell = Cell { dataset, row, seed: *grid.seeds.first()?, trial: None, fold };
            record(&cell)
        };
        let rows = || (0..grid.rows.len()).filter_map(|row| Some((grid.rows[row].name.clone(), first(row)?)));
        Self {
            title: grid.title.clone(),
            missing,
            cells: all.len(),
            tuning,
            primary,
            datasets,
            regions: grid
                .datasets
                .first()
                .and_then(|name| recorded.nodes.get(&cells::test_sets(grid, name).first()?.0))
                .map_or_else(Vec::new, |nodes| nodes.regions.clone()),
            courses: rows().map(|(name, record)| (name, record.course)).collect(),
            shared_branch: rows().filter_map(|(name, record)| Some((name, record.answers?.shared_branch))).collect(),
        }
    }
}

/// Leaves claims open on datasets where a training is missing: one that is judged at a moment of choice is no claim. All rows count, since the
/// spread between seeds is pooled over them.
fn hold_back(claims: &mut [Comparison], open: &BTreeSet<String>) {
    for claim in claims.iter_mut().filter(|claim| claim.effect.is_some() && open.contains(&claim.dataset)) {
        claim.verdict = Verdict::Provisional;
    }
}

/// Adjusts the p-values of the claims for each other, and what they say. `named` is how many the grid names: one that cannot be judged yet counts as
/// not shown, so that a claim which is shown stays so when the others come.
fn judge_together(claims: &mut [Comparison], named: usize) {
    let is_judged = |claim: &Comparison| claim.effect.is_some() && claim.verdict != Verdict::Provisional;
    let measured: Vec<usize> = (0..claims.len()).filter(|&claim| is_judged(&claims[claim])).collect();
    let mut p: Vec<f64> = measured.iter().filter_map(|&claim| Some(claims[claim].effect?.p)).collect();
    p.resize(named.max(p.len()), 1.0);
    for (claim, adjusted) in measured.into_iter().zip(holm(&p)) {
        claims[claim].adjusted_p = Some(adjusted);
        if adjusted > LEVEL && matches!(claims[claim].verdict, Verdict::Above | Verdict::Below) {
            claims[claim].verdict = Verdict::NotShown;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comparison::grid::Metric;
    use mtids_metrics::{Effect, Interval};

    #[test]
    fn a_difference_says_what_the_claim_about_the_same_two_says() {
        let effect = Effect { value: 0.1, interval: Interval { low: 0.01, high: 0.19 }, p: 0.03 };
        let one = |pair, dataset| Comparison::new(pair, dataset, Metric::StatusAuroc, Some(effect), (100, 20));
        let claim = Comparison { adjusted_p: Some(0.01), ..one(["a", "b"], "d") };
        let mut differences = [one(["a", "b"], "d"), one(["b", "a"], "d"), one(["a", "b"], "e"), one(["a", "c"], "d")];
        differences.iter_mut().for_each(|difference| difference.follow(&claim));
        let verdicts = differences.each_ref().map(|one| (one.verdict, one.adjusted_p));
        let own = (Verdict::Above, None);
        assert_eq!(verdicts, [(Verdict::Above, Some(0.01)), (Verdict::Below, Some(0.01)), own, own]);
        let mut held = [claim];
        hold_back(&mut held, &["d".to_owned()].into());
        assert_eq!(held[0].verdict, Verdict::Provisional);
        let few = Comparison::new(["a", "b"], "d", Metric::StatusAuroc, Some(effect), (8, 2));
        assert_eq!((few.verdict, few.effect), (Verdict::Open, None), "two patients show nothing");
    }

    #[test]
    fn a_claim_that_is_open_counts_among_those_that_are_judged() {
        let claim = |p: f64| {
            let effect = Effect { value: 0.1, interval: Interval { low: 0.01, high: 0.19 }, p };
            Comparison::new(["a", "b"], "d", Metric::StatusAuroc, Some(effect), (100, 20))
        };
        let mut alone = [claim(0.04)];
        judge_together(&mut alone, 1);
        assert_eq!((alone[0].adjusted_p, alone[0].verdict), (Some(0.04), Verdict::Above));
        let mut two = [claim(0.04), Comparison { verdict: Verdict::Provisional, ..claim(0.001) }];
        judge_together(&mut two, 3);
        assert!((two[0].adjusted_p.unwrap() - 0.12).abs() < 1e-12 && two[0].verdict == Verdict::NotShown);
        assert_eq!((two[1].adjusted_p, two[1].verdict), (None, Verdict::Provisional));
    }
}
