//! The grid of a comparison: which rows, on which datasets, with which seeds, and what is claimed about them before the first training.
//!
//! One TOML file. Every row starts from the same training settings and says what it changes, in the words of `--set`. Invariants: each row has
//! as many tuning trials as every other; trials see the tuning dataset and its seeds only; names are file names.

use std::path::{Path, PathBuf};

use mtids_shards::CrossValidation;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::{TrainConfig, ValidConfig};
use crate::error::TrainError;

/// A grid.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Grid {
    /// What is compared, in a line.
    pub title: String,
    /// Training settings that every row starts from: a TOML file, relative to the grid's. Default: the trainer's defaults.
    pub base: Option<PathBuf>,
    /// Seeds of the reported trainings. The same seed gives every row the same order of samples and the same augmentation.
    pub seeds: Vec<u64>,
    /// Folds of a cross-validation by patient over the reported datasets, in the place of their own splits; from 3. Each seed is a repeat: it deals
    /// the patients anew. Trials are judged inside each fold, on its validation patients; dataset and seeds of `tuning` have no effect then.
    /// Default: none.
    pub folds: Option<u32>,
    /// Names of the datasets that are reported; `--dataset NAME=DIR` says where they are.
    pub datasets: Vec<String>,
    /// What is compared. The first row is the reference: all others are set against it.
    pub rows: Vec<Row>,
    /// How settings of a row are chosen among its trials.
    pub tuning: Option<Tuning>,
    /// Row that Δm, the mean relative difference over the dimensions, is taken against: mostly single tasks.
    pub delta_m_against: Option<String>,
    /// The claims, named before the first reported training; all other differences are exploratory.
    pub primary: Vec<Primary>,
}

/// One row: an architecture, a balancer, an ablation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Row {
    /// Name in files: lower-case letters, digits and `-`.
    pub name: String,
    /// Name in tables. Default: the name.
    pub title: Option<String>,
    /// What it changes, as `key=value`.
    pub set: Vec<String>,
    /// Alternatives, each as `key=value` texts, of which the tuning dataset chooses one. Empty: nothing is tuned.
    pub trials: Vec<Vec<String>>,
}

impl Row {
    /// Name in tables.
    pub fn title(&self) -> &str {
        self.title.as_deref().unwrap_or(&self.name)
    }
}

/// Where trials are judged: by the mean validation AUROC of the status over the seeds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tuning {
    /// Its dataset, which is not reported.
    pub dataset: String,
    /// Seeds of its trainings.
    pub seeds: Vec<u64>,
    /// What its trainings change, such as fewer epochs.
    pub set: Vec<String>,
}

/// A figure that rows are compared by.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema, strum::VariantArray,
)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// AUROC of the status.
    StatusAuroc,
    /// Share of nodes whose region and status are both called right.
    JointAccuracy,
    /// Mean F1 over the classes of region and status.
    JointMacroF1,
    /// Share of nodes whose region is called right.
    RegionAccuracy,
}

impl Metric {
    /// Name in tables.
    pub fn title(self) -> &'static str {
        match self {
            Metric::StatusAuroc => "status AUROC",
            Metric::JointAccuracy => "joint accuracy",
            Metric::JointMacroF1 => "joint macro-F1",
            Metric::RegionAccuracy => "region accuracy",
        }
    }
}

/// One claim: the first row lies above the second in a metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Primary {
    /// Name of a row.
    pub first: String,
    /// Name of a row, or of a reader: `ruler`, `grown-ruler`, `measures`.
    pub second: String,
    /// Name of a dataset.
    pub dataset: String,
    /// By what.
    pub metric: Metric,
}

/// Readers without training, which stand beside the rows of every dataset.
pub const READERS: [&str; 3] = ["ruler", "grown-ruler", "measures"];

impl Grid {
    /// Reads a grid, and makes its `base` relative to the working folder.
    ///
    /// # Errors
    /// [`TrainError`] naming the key.
    pub fn load(path: &Path) -> Result<Self, TrainError> {
        let mut grid: Self = mtids_runtime::config::load(Some(path), &[])?;
        grid.check()?;
        if let Some(base) = &mut grid.base {
            *base = path.parent().unwrap_or(Path::new("")).join(&*base);
        }
        Ok(grid)
    }

    /// The same grid by cross-validation: so many folds, and the first `repeats` of its seeds; more are counted on from the last.
    ///
    /// # Errors
    /// [`TrainError`] naming the key.
    pub fn crossed(mut self, folds: Option<u32>, repeats: Option<usize>) -> Result<Self, TrainError> {
        self.folds = folds.or(self.folds);
        if let Some(repeats) = repeats {
            if self.folds.is_none() {
                return Err(TrainError::argument("--repeats", "it is for --folds, or a grid with folds"));
            }
            self.seeds.truncate(repeats);
            while self.seeds.len() < repeats {
                let next = self.seeds.iter().max().map_or(1, |last| last.wrapping_add(1));
                self.seeds.push(next);
            }
        }
        self.check()?;
        Ok(self)
    }

    /// Checks the grid.
    ///
    /// # Errors
    /// [`TrainError`] naming the key.
    pub(crate) fn check(&self) -> Result<(), TrainError> {
        if self.folds.is_some_and(|folds| !CrossValidation { folds, ..Default::default() }.is_valid()) {
            return Err(TrainError::setting("folds", "from 3 to 1000"));
        }
        self.validate()
    }

    fn validate(&self) -> Result<(), TrainError> {
        let fail = |key: &'static str, reason: String| Err(TrainError::setting(key, reason));
        if self.seeds.is_empty() || has_twins(&self.seeds) {
            return fail("seeds", "at least one, each once".into());
        }
        if self.datasets.is_empty() || has_twins(&self.datasets) {
            return fail("datasets", "at least one name, each once".into());
        }
        let names: Vec<&str> = self.rows.iter().map(|row| row.name.as_str()).collect();
        if names.is_empty() || has_twins(&names) {
            return fail("rows", "at least one, each name once".into());
        }
        let titles: Vec<&str> = self.rows.iter().map(Row::title).collect();
        if has_twins(&titles) {
            return fail("rows", "each title once: tables tell rows apart by it".into());
        }
        let all = names.iter().copied().chain(self.datasets.iter().map(String::as_str));
        if let Some(bad) =
            all.chain(self.tuning.iter().map(|tuning| tuning.dataset.as_str())).find(|name| !is_name(name))
        {
            return fail("rows, datasets", format!("`{bad}`: a name has lower-case letters, digits and - only"));
        }
        if let Some(bad) = names.iter().find(|name| READERS.contains(name)) {
            return fail("rows", format!("`{bad}` is the name of a reader that is always there"));
        }
        let trials = self.rows[0].trials.len();
        if let Some(row) = self.rows.iter().find(|row| row.trials.len() != trials) {
            let reason = format!(
                "`{}` has {} trials and `{}` {trials}; every row gets as many as any other",
                row.name,
                row.trials.len(),
                self.rows[0].name
            );
            return fail("rows.trials", reason);
        }
        match &self.tuning {
            _ if self.folds.is_some() => {}
            None if trials > 1 => return fail("tuning", "rows with trials need a dataset to choose on".into()),
            Some(tuning) if self.datasets.contains(&tuning.dataset) => {
                return fail("tuning.dataset", format!("`{}` is reported; choose settings on another", tuning.dataset));
            }
            Some(tuning) if tuning.seeds.is_empty() || has_twins(&tuning.seeds) => {
                return fail("tuning.seeds", "at least one, each once".into());
            }
            _ => {}
        }
        if let Some(name) = self.delta_m_against.as_deref().filter(|name| !names.contains(name)) {
            return fail("delta_m_against", format!("`{name}` is no row of the grid"));
        }
        let is_twin = |a: &Primary, b: &Primary| {
            (&a.dataset, a.metric) == (&b.dataset, b.metric)
                && ((&a.first, &a.second) == (&b.first, &b.second) || (&a.first, &a.second) == (&b.second, &b.first))
        };
        for (n, claim) in self.primary.iter().enumerate() {
            if self.primary[..n].iter().any(|before| is_twin(before, claim)) {
                let (first, second) = (&claim.first, &claim.second);
                return fail(
                    "primary",
                    format!("`{first}` against `{second}`: each pair once for a dataset and metric"),
                );
            }
            let is_row = |name: &String| names.contains(&name.as_str());
            let is_reader = READERS.contains(&claim.second.as_str()) && claim.metric == Metric::StatusAuroc;
            if !is_row(&claim.first) || !(is_row(&claim.second) || is_reader) || claim.first == claim.second {
                return fail("primary", format!("`{}` against `{}`: no such pair", claim.first, claim.second));
            }
            if !self.datasets.contains(&claim.dataset) {
                return fail("primary", format!("`{}` is no dataset of the grid", claim.dataset));
            }
        }
        Ok(())
    }

    /// The checked settings of a row with further changes, read from the base anew.
    ///
    /// # Errors
    /// [`TrainError`] naming the key.
    pub(crate) fn settings(&self, row: &Row, more: &[&[String]], seed: u64) -> Result<ValidConfig, TrainError> {
        let mut sets = row.set.clone();
        sets.extend(more.iter().flat_map(|part| part.iter().cloned()));
        sets.push(format!("seed={seed}"));
        mtids_runtime::config::load::<TrainConfig>(self.base.as_deref(), &sets)?.check()
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

fn has_twins<T: PartialEq>(items: &[T]) -> bool {
    items.iter().enumerate().any(|(n, item)| items[..n].contains(item))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        seeds = [1, 2]
        datasets = ["realistic"]
        primary = [{ first = "mt-ids", second = "shared-bottom", dataset = "realistic", metric = "status-auroc" }]
        [tuning]
        dataset = "tuning"
        seeds = [9]
        [[rows]]
        name = "mt-ids"
        trials = [["schedule.peak=1e-3"], ["schedule.peak=2e-3"]]
        [[rows]]
        name = "shared-bottom"
        set = ["model.architecture=hard-sharing", "balancer.method=equal-sum"]
        trials = [["schedule.peak=1e-3"], ["schedule.peak=2e-3"]]
    "#;

    fn refusal(from: &str, to: &str) -> String {
        assert!(GOOD.contains(from), "{from}");
        let grid: Grid = mtids_runtime::config::parse(&GOOD.replacen(from, to, 1)).unwrap();
        grid.validate().unwrap_err().to_string()
    }

    #[test]
    fn a_row_is_the_base_with_its_changes() {
        let grid: Grid = mtids_runtime::config::parse(GOOD).unwrap();
        grid.validate().unwrap();
        let config = grid.settings(&grid.rows[1], &[&grid.rows[1].trials[0]], 7).unwrap();
        assert_eq!((config.seed, config.schedule.peak), (7, 1e-3));
        assert_eq!(config.balancer.method(), "equal-sum");
        let error = grid.settings(&Row { set: vec!["epoch=3".into()], ..Row::default() }, &[], 1).unwrap_err();
        assert!(error.to_string().contains("epoch"), "{error}");
    }

    #[test]
    fn what_would_be_unfair_or_unclear_is_refused() {
        for (from, to, word) in [
            ("seeds = [1, 2]", "seeds = [1, 1]", "seeds"),
            ("[\"realistic\"]", "[\"realistic\", \"tuning\"]", "is reported"),
            ("name = \"shared-bottom\"", "name = \"mt-ids\"", "each name once"),
            ("name = \"shared-bottom\"", "name = \"Shared bottom\"", "lower-case"),
            ("name = \"shared-bottom\"", "name = \"ruler\"", "always there"),
            ("trials = [[\"schedule.peak=1e-3\"], [\"schedule.peak=2e-3\"]]", "trials = [[]]", "as many"),
            ("second = \"shared-bottom\"", "second = \"mt-ids\"", "no such pair"),
            ("seeds = [9]", "seeds = []", "tuning.seeds"),
            ("dataset = \"realistic\", metric", "dataset = \"tuning\", metric", "no dataset of the grid"),
        ] {
            let text = refusal(from, to);
            assert!(text.contains(word), "{word}: {text}");
        }
        let ruler = GOOD.replace("second = \"shared-bottom\"", "second = \"ruler\"");
        assert!(mtids_runtime::config::parse::<Grid>(&ruler).unwrap().validate().is_ok());
        let joint = ruler.replace("status-auroc", "joint-accuracy");
        assert!(mtids_runtime::config::parse::<Grid>(&joint).unwrap().validate().is_err(), "a ruler tells no region");
    }
}
