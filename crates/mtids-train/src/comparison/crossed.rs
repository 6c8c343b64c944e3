//! All rows and readers on one dataset by a repeated cross-validation.
//!
//! Every fold of every repeat gives one figure for each contender, and one difference for each pair, on the nodes of its test patients; logits of
//! different networks are never ranked together. Invariant: intervals allow for training sets that overlap ([`corrected_mean`]); the spread of
//! patients, seeds and training sets is in them together.

use std::collections::BTreeMap;

use mtids_metrics::{BootstrapOptions, Effect, corrected_mean};
use mtids_runtime::digest::Digest;
use strum::VariantArray;

use super::cells::{self, Cell};
use super::contenders::Contender;
use super::field::{Standings, add_ranks, within_shares};
use super::figures::{Comparison, DatasetResults, Line, Recorded};
use super::grid::{Grid, Metric};
use super::nodes::Nodes;
use super::standing::Standing;

/// The interval comes from the folds, so patients are not drawn anew.
const NO_RESAMPLES: BootstrapOptions = BootstrapOptions { resamples: 0, seed: 1 };

/// One fold of one repeat.
struct TestSet<'a> {
    nodes: &'a Nodes,
    contenders: Vec<Contender>,
    /// Whether it is of the first repeat, whose folds together are the whole dataset.
    is_first: bool,
}

impl TestSet<'_> {
    fn find(&self, name: &str, metric: Metric) -> Option<&Contender> {
        self.contenders.iter().find(|one| one.name == name && one.has(metric))
    }
}

/// All contenders of one dataset.
pub(crate) struct CrossedField<'a> {
    name: &'a str,
    folds: u32,
    digest: Digest,
    sets: Vec<TestSet<'a>>,
    /// Names in the order of the tables: rows, their fusions, readers.
    names: Vec<String>,
    parameters: BTreeMap<String, usize>,
}

/// Figures of several folds.
#[derive(Default)]
struct Collected {
    values: Vec<Option<f64>>,
    nodes: usize,
    patients: usize,
}

impl<'a> CrossedField<'a> {
    /// The contenders of dataset `name` on record; `None` where no fold is.
    pub(crate) fn new(grid: &Grid, name: &'a str, folds: u32, recorded: &'a Recorded) -> Option<Self> {
        let (mut sets, mut parameters) = (Vec::new(), BTreeMap::new());
        for (set, fold) in cells::test_sets(grid, name) {
            let (Some(nodes), Some(fold)) = (recorded.nodes.get(&set), fold) else { continue };
            let (mut contenders, mut fusions) = (Vec::new(), Vec::new());
            for (index, row) in grid.rows.iter().enumerate() {
                let cell =
                    Cell { dataset: name.to_owned(), row: index, seed: fold.seed, trial: None, fold: Some(fold.fold) };
                let record = recorded
                    .cells
                    .get(&cell.id(grid))
                    .filter(|record| record.answers.as_ref().is_some_and(|answers| answers.fit(nodes)));
                let Some(record) = record else { continue };
                parameters.insert(row.name.clone(), record.parameters);
                let (contender, fusion) = Contender::of_row(&row.name, row.title(), &[(fold.seed, record)]);
                contenders.push(contender);
                fusions.extend(fusion);
            }
            contenders.extend(fusions);
            contenders.extend(Contender::readers(nodes));
            sets.push(TestSet { nodes, contenders, is_first: grid.seeds.first() == Some(&fold.seed) });
        }
        let digest = sets.first()?.nodes.dataset_digest;
        let mut names: Vec<String> = Vec::new();
        let is_row = |name: &str| grid.rows.iter().any(|row| row.name == name);
        for one in sets.iter().flat_map(|set| &set.contenders) {
            if !names.contains(&one.name) {
                names.push(one.name.clone());
            }
        }
        let place = |name: &String| grid.rows.iter().position(|row| row.name == *name).unwrap_or(usize::MAX);
        names.sort_by_key(|name| (!is_row(name), place(name)));
        Some(Self { name, folds, digest, sets, names, parameters })
    }

    /// A figure, or a difference, in each fold that has it.
    fn collect(&self, first: &str, second: Option<&str>, metric: Metric) -> Collected {
        let mut collected = Collected::default();
        for set in &self.sets {
            let Some(one) = set.find(first, metric) else { continue };
            let other = match second {
                None => None,
                Some(name) => match set.find(name, metric) {
                    Some(other) => Some(other),
                    None => continue,
                },
            };
            let both: Vec<&Contender> = std::iter::once(one).chain(other).collect();
            let readers: Vec<&Contender> = both.iter().copied().filter(|one| !one.is_trained()).collect();
            let standing = Standing::new(&both, &readers, metric, set.nodes, NO_RESAMPLES);
            let figure = |place: usize| standing.by_seed(place).first().copied().flatten();
            let value = match other {
                None => figure(0),
                Some(_) => figure(0).zip(figure(1)).map(|(first, second)| first - second),
            };
            collected.values.push(value);
            if set.is_first {
                collected.nodes += standing.nodes;
                collected.patients += standing.patients;
            }
        }
        collected
    }

    fn effect(&self, values: &[Option<f64>]) -> Option<Effect> {
        let values: Vec<f64> = values.iter().flatten().copied().collect();
        // Two folds are for testing and validation.
        corrected_mean(&values, 1.0 / f64::from(self.folds.saturating_sub(2).max(1)))
    }

    fn line(&self, name: &str) -> Line {
        let found: Vec<&Contender> = self.sets.iter().filter_map(|set| set.find(name, Metric::StatusAuroc)).collect();
        let is_trained = found.first().is_some_and(|one| one.is_trained());
        let mut line = Line {
            name: name.to_owned(),
            title: found.first().map_or(name, |one| one.title.as_str()).to_owned(),
            is_trained,
            seeds: found.len(),
            parameters: self.parameters.get(name).copied(),
            figures: BTreeMap::new(),
            by_seed: BTreeMap::new(),
            delta_m: None,
            mean_rank: None,
        };
        for &metric in Metric::VARIANTS.iter().filter(|&&metric| found.iter().any(|one| one.has(metric))) {
            let collected = self.collect(name, None, metric);
            line.figures.extend(self.effect(&collected.values).map(|effect| (metric, within_shares(effect))));
            line.by_seed.insert(metric, collected.values);
        }
        line
    }
}

impl Standings for CrossedField<'_> {
    fn comparison(&self, first: &str, second: &str, metric: Metric) -> Comparison {
        let collected = self.collect(first, Some(second), metric);
        let effect = self.effect(&collected.values);
        Comparison::new([first, second], self.name, metric, effect, (collected.nodes, collected.patients))
    }

    fn results(&self, grid: &Grid) -> DatasetResults {
        let mut lines: Vec<Line> = self.names.iter().map(|name| self.line(name)).collect();
        add_ranks(&mut lines, grid);
        let reference = grid.rows[0].name.as_str();
        let mut differences = Vec::new();
        for line in lines.iter().filter(|line| line.name != reference) {
            for &metric in line.figures.keys() {
                differences.push(self.comparison(reference, &line.name, metric));
            }
        }
        differences.retain(|difference| difference.effect.is_some());
        let first = || self.sets.iter().filter(|set| set.is_first);
        DatasetResults {
            name: self.name.to_owned(),
            digest: self.digest,
            folds: Some(self.folds),
            nodes: first().map(|set| set.nodes.patient.len()).sum(),
            patients: first().map(|set| set.nodes.patient.iter().max().map_or(0, |&last| last as usize + 1)).sum(),
            lines,
            differences,
            between_seeds: BTreeMap::new(),
            between_seeds_with_measures: BTreeMap::new(),
        }
    }
}
