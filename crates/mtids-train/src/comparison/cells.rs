//! The cells of a grid: one training each.
//!
//! Invariant: the order depends on the grid alone. Trials come first, because reported rows need their choice; then one seed of every row before
//! the next seed of any, so that a comparison that ends early has few seeds of all rows instead of all seeds of few.

use mtids_shards::CrossValidation;

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
    /// The fold that is tested, in a cross-validation.
    pub fold: Option<u32>,
}

impl Cell {
    /// Name in files.
    pub fn id(&self, grid: &Grid) -> String {
        let trial = self.trial.map(|trial| format!("trial-{}.", trial + 1)).unwrap_or_default();
        let fold = self.fold.map(|fold| format!("fold-{fold}.")).unwrap_or_default();
        format!("{}.{}.{fold}{trial}seed-{}", self.dataset, grid.rows[self.row].name, self.seed)
    }

    /// Name of the patients that it is measured on: the dataset, or a fold of it.
    pub fn test_set(&self) -> String {
        test_set(&self.dataset, self.fold.map(|fold| (fold, self.seed)))
    }

    /// Whether `trial` is one of those that choose the settings of this cell.
    pub(crate) fn is_chosen_by(&self, trial: &Cell) -> bool {
        let place = |cell: &Cell| cell.fold.map(|fold| (cell.dataset.clone(), fold, cell.seed));
        trial.trial.is_some() && trial.row == self.row && place(trial) == place(self)
    }

    /// Its settings. `chosen` is the trial that the row has won with, for a reported cell.
    ///
    /// # Errors
    /// [`TrainError`] naming the key.
    pub(crate) fn settings(&self, grid: &Grid, chosen: Option<usize>) -> Result<ValidConfig, TrainError> {
        let row = &grid.rows[self.row];
        let tuning = grid.tuning.as_ref().filter(|_| self.trial.is_some()).map(|tuning| tuning.set.as_slice());
        let trial = self.trial.or(chosen).and_then(|trial| row.trials.get(trial)).map(Vec::as_slice);
        let fold: Vec<String> = self
            .fold
            .iter()
            .zip(grid.folds)
            .flat_map(|(fold, folds)| [("folds", u64::from(folds)), ("fold", u64::from(*fold)), ("seed", self.seed)])
            .map(|(key, value)| format!("cross_validation.{key}={value}"))
            .collect();
        let more: Vec<&[String]> = tuning.into_iter().chain(trial).chain([fold.as_slice()]).collect();
        grid.settings(row, &more, self.seed)
    }
}

/// Whether there is anything to choose.
pub(crate) fn is_tuned(grid: &Grid) -> bool {
    grid.rows.iter().any(|row| row.trials.len() > 1)
}

/// Name of a set of test patients: a dataset, or a fold of it and the seed of the dealing.
fn test_set(dataset: &str, fold: Option<(u32, u64)>) -> String {
    match fold {
        None => dataset.to_owned(),
        Some((fold, seed)) => format!("{dataset}.fold-{fold}.seed-{seed}"),
    }
}

/// The sets of test patients of a dataset: one, or one for each fold and repeat.
pub(crate) fn test_sets(grid: &Grid, dataset: &str) -> Vec<(String, Option<CrossValidation>)> {
    let Some(folds) = grid.folds else { return vec![(test_set(dataset, None), None)] };
    let of_repeat = |&seed: &u64| {
        let of_fold = move |fold| (test_set(dataset, Some((fold, seed))), Some(CrossValidation { folds, fold, seed }));
        (0..folds).map(of_fold)
    };
    grid.seeds.iter().flat_map(of_repeat).collect()
}

/// The folds of a grid and the repeats that they are of; one that is none without cross-validation.
pub(crate) fn folds(grid: &Grid) -> Vec<Option<u32>> {
    grid.folds.map_or_else(|| vec![None], |folds| (0..folds).map(Some).collect())
}

/// The trainings that choose settings: none where no row has a choice. In a cross-validation each fold of each repeat has its own.
pub fn trials(grid: &Grid) -> Vec<Cell> {
    if !is_tuned(grid) {
        return Vec::new();
    }
    let (datasets, seeds) = match (&grid.tuning, grid.folds) {
        (_, Some(_)) => (grid.datasets.clone(), &grid.seeds),
        (Some(tuning), None) => (vec![tuning.dataset.clone()], &tuning.seeds),
        (None, None) => return Vec::new(),
    };
    let mut cells = Vec::new();
    for &seed in seeds {
        for fold in folds(grid) {
            for dataset in &datasets {
                for (row, what) in grid.rows.iter().enumerate() {
                    let trial = |trial| Cell { dataset: dataset.clone(), row, seed, trial: Some(trial), fold };
                    cells.extend((0..what.trials.len()).map(trial));
                }
            }
        }
    }
    cells
}

/// The reported trainings.
pub fn reported(grid: &Grid) -> Vec<Cell> {
    let mut cells = Vec::new();
    for &seed in &grid.seeds {
        for fold in folds(grid) {
            for dataset in &grid.datasets {
                let cell = |row| Cell { dataset: dataset.clone(), row, seed, trial: None, fold };
                cells.extend((0..grid.rows.len()).map(cell));
            }
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
    fn a_fold_has_its_own_trials_and_test_patients() {
        let grid = Grid { folds: Some(3), ..grid(2) };
        let (trials, reported) = (trials(&grid), reported(&grid));
        assert_eq!((trials.len(), reported.len()), (2 * 3 * 2 * 2, 2 * 3 * 2));
        assert_eq!(reported[3].id(&grid), "d.b.fold-1.seed-1");
        assert_eq!(trials[1].id(&grid), "d.a.fold-0.trial-2.seed-1");
        assert_eq!(
            (reported[3].test_set(), reported[11].test_set()),
            ("d.fold-1.seed-1".into(), "d.fold-2.seed-2".into())
        );
        assert!(reported.iter().all(|cell| trials.iter().filter(|trial| cell.is_chosen_by(trial)).count() == 2));
        let settings = reported[3].settings(&grid, Some(1)).unwrap();
        let fold = settings.cross_validation.unwrap();
        assert_eq!((fold.folds, fold.fold, fold.seed, settings.epochs), (3, 1, 1, 2));
    }

    #[test]
    fn one_trial_is_no_choice() {
        assert!(trials(&grid(1)).is_empty());
        assert_eq!(reported(&grid(1))[0].settings(&grid(1), Some(0)).unwrap().epochs, 1);
    }
}
