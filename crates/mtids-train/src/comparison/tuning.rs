//! Which trial each row takes; in a cross-validation, in each of its folds.
//!
//! Invariants: the choice reads validation figures only, of the tuning dataset or of the fold, and is open until every trial of the row is on record;
//! a trial that diverged is never taken.

use super::cells::{self, Cell};
use super::grid::Grid;
use super::record::Record;

/// The trial that a reported cell takes: the best mean validation AUROC, the first of equal ones. `None` while a trial is missing, where nothing
/// is tuned, or where every trial diverged.
pub(crate) fn choose(grid: &Grid, cell: &Cell, record: &dyn Fn(&Cell) -> Option<Record>) -> Option<usize> {
    let trials: Vec<Cell> = cells::trials(grid).into_iter().filter(|trial| cell.is_chosen_by(trial)).collect();
    let score = |trial| mean_auroc(trials.iter().filter(|cell| cell.trial == Some(trial)), record);
    let scores: Option<Vec<f64>> = (0..grid.rows[cell.row].trials.len()).map(score).collect();
    let scores = scores.filter(|scores| !scores.is_empty())?;
    let best = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    scores.iter().position(|&score| score == best && score.is_finite())
}

/// Mean validation AUROC of a trial over the tuning seeds, or over all folds; `None` while one is missing, −∞ where one diverged.
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
    let score = |record: Record| match record.is_diverged {
        true => Some(f64::NEG_INFINITY),
        false => record.validation.status_auroc,
    };
    let scores: Option<Vec<f64>> = cells.map(|cell| score(record(cell)?)).collect();
    let scores = scores.filter(|scores| !scores.is_empty())?;
    Some(scores.iter().sum::<f64>() / scores.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comparison::grid::{Row, Tuning};
    use crate::comparison::record::{Course, Validation};
    use mtids_runtime::digest::Digest;

    #[test]
    fn a_trial_that_diverged_is_not_taken_and_keeps_nobody_waiting() {
        let trials = vec![vec!["epochs=1".to_owned()], vec!["epochs=2".to_owned()]];
        let grid = Grid {
            seeds: vec![1],
            datasets: vec!["d".into()],
            rows: vec![Row { name: "a".into(), trials, ..Row::default() }],
            tuning: Some(Tuning { dataset: "t".into(), seeds: vec![9], set: Vec::new() }),
            ..Grid::default()
        };
        let record = |auroc: Option<f64>| {
            let digest = Digest::of_bytes(b"");
            let validation = Validation { status_auroc: auroc, ..Validation::default() };
            let mut record = Record::new([digest; 3], 1, Course::default());
            (record.is_diverged, record.validation) = (auroc.is_none(), validation);
            record
        };
        let reported = cells::reported(&grid);
        let chosen = |first: Option<f64>, second: Option<f64>| {
            let of = move |cell: &Cell| Some(record(if cell.trial == Some(0) { first } else { second }));
            choose(&grid, &reported[0], &of)
        };
        assert_eq!(chosen(None, Some(0.4)), Some(1));
        assert_eq!(chosen(Some(0.6), None), Some(0));
        assert_eq!(chosen(None, None), None);
        assert_eq!(choose(&grid, &reported[0], &|cell| (cell.trial == Some(1)).then(|| record(None))), None);
    }
}
