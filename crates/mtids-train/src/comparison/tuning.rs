//! Which trial each row takes; in a cross-validation, in each of its folds.
//!
//! Invariant: the choice reads validation figures only, of the tuning dataset or of the fold, and is open until every trial of the row is on record.

use super::cells::{self, Cell};
use super::grid::Grid;
use super::record::Record;

/// The trial that a reported cell takes: the best mean validation AUROC, the first of equal ones. `None` while a trial is missing, or where nothing
/// is tuned.
pub(crate) fn choose(grid: &Grid, cell: &Cell, record: &dyn Fn(&Cell) -> Option<Record>) -> Option<usize> {
    let trials: Vec<Cell> = cells::trials(grid).into_iter().filter(|trial| cell.is_chosen_by(trial)).collect();
    let score = |trial| mean_auroc(trials.iter().filter(|cell| cell.trial == Some(trial)), record);
    let scores: Option<Vec<f64>> = (0..grid.rows[cell.row].trials.len()).map(score).collect();
    let scores = scores.filter(|scores| !scores.is_empty())?;
    let best = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    scores.iter().position(|&score| score == best)
}

/// Mean validation AUROC of a trial over the tuning seeds, or over all folds; `None` while one is missing.
pub(crate) fn trial_score(
    grid: &Grid,
    row: usize,
    trial: usize,
    record: &dyn Fn(&Cell) -> Option<Record>,
) -> Option<f64> {
    let trials = cells::trials(grid);
    mean_auroc(trials.iter().filter(|cell| cell.row == row && cell.trial == Some(trial)), record)
}

fn mean_auroc<'c>(cells: impl Iterator<Item = &'c Cell>, record: &dyn Fn(&Cell) -> Option<Record>) -> Option<f64> {
    let scores: Option<Vec<f64>> = cells.map(|cell| record(cell)?.validation.status_auroc).collect();
    let scores = scores.filter(|scores| !scores.is_empty())?;
    Some(scores.iter().sum::<f64>() / scores.len() as f64)
}
