//! Which trial each row takes.
//!
//! Invariant: the choice reads validation figures of the tuning dataset only, and is open until every trial of the row is on record.

use super::cells::{self, Cell};
use super::grid::Grid;
use super::record::Record;

/// The trial that each row takes: the best mean validation AUROC, the first of equal ones. `None` while a trial of the row is missing, or where
/// nothing is tuned.
pub(crate) fn choose(grid: &Grid, row: usize, record: &dyn Fn(&Cell) -> Option<Record>) -> Option<usize> {
    let scores: Option<Vec<f64>> =
        (0..grid.rows[row].trials.len()).map(|trial| trial_score(grid, row, trial, record)).collect();
    let scores = scores.filter(|scores| !scores.is_empty())?;
    let best = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    scores.iter().position(|&score| score == best)
}

/// Mean validation AUROC of a trial over the tuning seeds; `None` while one is missing.
pub(crate) fn trial_score(
    grid: &Grid,
    row: usize,
    trial: usize,
    record: &dyn Fn(&Cell) -> Option<Record>,
) -> Option<f64> {
    let trials = cells::trials(grid);
    let own: Vec<&Cell> = trials.iter().filter(|cell| cell.row == row && cell.trial == Some(trial)).collect();
    let scores: Option<Vec<f64>> = own.iter().map(|cell| record(cell)?.validation.status_auroc).collect();
    let scores = scores.filter(|scores| !scores.is_empty())?;
    Some(scores.iter().sum::<f64>() / scores.len() as f64)
}
