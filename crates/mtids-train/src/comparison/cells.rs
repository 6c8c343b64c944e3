//! The cells of a grid: one training each.
//!
//! Invariant: the order depends on the grid alone. Trials come first, because reported rows need their choice; then one seed of every row before
//! the next seed of any, so that a comparison that ends early has few seeds of all rows instead of all seeds of few.

use super::grid::Grid;
use crate::config::ValidConfig;
use crate::error::TrainError;

/// One training.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// Name of the dataset.
    pub dataset: String,
    /// Index of the row.
    pub row: usize,
    /// Seed.
    pub seed: u64,
    /// Index of the trial, for a training that chooses settings.
    pub trial: Option<usize>,
}

impl Cell {
    /// Name in files.
    pub fn id(&self, grid: &Grid) -> String {
        let trial = self.trial.map(|trial| format!("trial-{}.", trial + 1)).unwrap_or_default();
        format!("{}.{}.{trial}seed-{}", self.dataset, grid.rows[self.row].name, self.seed)
    }

    /// Its settings. `chosen` is the trial that the row has won with, for a reported cell.
    ///
    /// # Errors
    /// [`TrainError`] naming the key.
    pub(crate) fn settings(&self, grid: &Grid, chosen: Option<usize>) -> Result<ValidConfig, TrainError> {
        let row = &grid.rows[self.row];
        let tuning = grid.tuning.as_ref().filter(|_| self.trial.is_some()).map(|tuning| tuning.set.as_slice());
        let trial = self.trial.or(chosen).and_then(|trial| row.trials.get(trial)).map(Vec::as_slice);
        let more: Vec<&[String]> = tuning.into_iter().chain(trial).collect();
        grid.settings(row, &more, self.seed)
    }
}

/// Whether there is anything to choose.
pub(crate) fn is_tuned(grid: &Grid) -> bool {
    grid.rows.iter().any(|row| row.trials.len() > 1)
}

/// The trainings that choose settings: none where no row has a choice.
pub fn trials(grid: &Grid) -> Vec<Cell> {
    let Some(tuning) = grid.tuning.as_ref().filter(|_| is_tuned(grid)) else { return Vec::new() };
    let mut cells = Vec::new();
    for &seed in &tuning.seeds {
        for (row, what) in grid.rows.iter().enumerate() {
            cells.extend((0..what.trials.len()).map(|trial| Cell {
                dataset: tuning.dataset.clone(),
                row,
                seed,
                trial: Some(trial),
            }));
        }
    }
    cells
}

/// The reported trainings.
pub fn reported(grid: &Grid) -> Vec<Cell> {
    let mut cells = Vec::new();
    for &seed in &grid.seeds {
        for dataset in &grid.datasets {
            cells.extend((0..grid.rows.len()).map(|row| Cell { dataset: dataset.clone(), row, seed, trial: None }));
        }
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comparison::grid::{Row, Tuning};

    fn grid(trials: usize) -> Grid {
        let trial = |n: usize| vec![format!("epochs={}", n + 1)];
        let row = |name: &str| Row {
            name: name.into(),
            set: vec!["batch_size=8".into()],
            trials: (0..trials).map(trial).collect(),
            ..Row::default()
        };
        Grid {
            seeds: vec![1, 2],
            datasets: vec!["d".into()],
            rows: vec![row("a"), row("b")],
            tuning: Some(Tuning { dataset: "t".into(), seeds: vec![9], set: vec!["clip_norm=1.0".into()] }),
            ..Grid::default()
        }
    }

    #[test]
    fn one_seed_of_every_row_comes_before_the_next() {
        let grid = grid(2);
        let ids = |cells: Vec<Cell>| cells.iter().map(|cell| cell.id(&grid)).collect::<Vec<_>>();
        assert_eq!(ids(reported(&grid)), ["d.a.seed-1", "d.b.seed-1", "d.a.seed-2", "d.b.seed-2"]);
        assert_eq!(
            ids(trials(&grid)),
            ["t.a.trial-1.seed-9", "t.a.trial-2.seed-9", "t.b.trial-1.seed-9", "t.b.trial-2.seed-9"]
        );
    }

    #[test]
    fn settings_are_those_of_row_tuning_and_trial() {
        let grid = grid(2);
        let trial = trials(&grid)[1].settings(&grid, None).unwrap();
        assert_eq!((trial.batch_size, trial.epochs, trial.clip_norm, trial.seed), (8, 2, 1.0, 9));
        let reported = reported(&grid)[2].settings(&grid, Some(0)).unwrap();
        assert_eq!(
            (reported.epochs, reported.clip_norm, reported.seed),
            (1, 5.0, 2),
            "tuning's own changes stay there"
        );
    }

    #[test]
    fn one_trial_is_no_choice() {
        assert!(trials(&grid(1)).is_empty());
        assert_eq!(reported(&grid(1))[0].settings(&grid(1), Some(0)).unwrap().epochs, 1);
    }
}
