//! All rows and readers on one dataset, beside each other.
//!
//! Invariant: the spread between seeds is pooled over all rows of the dataset, in every difference; over networks for networks, and over fusions
//! with measures for those.

use std::collections::BTreeMap;

use mtids_metrics::{BootstrapOptions, Effect, Interval};
use strum::VariantArray;

use super::cells;
use super::contenders::{Contender, Kind};
use super::figures::{Comparison, DatasetResults, Line, Recorded};
use super::grid::{Grid, Metric};
use super::nodes::Nodes;
use super::record::Record;
use super::standing::Standing;

/// Resamples of the bootstrap, and its seed: part of the form of the results.
const BOOTSTRAP: BootstrapOptions = BootstrapOptions { resamples: 1000, seed: 1 };

/// Rows and readers on one dataset, however they were measured.
pub(crate) trait Standings {
    /// One row against another, or against a reader.
    fn comparison(&self, first: &str, second: &str, metric: Metric) -> Comparison;
    /// Everything about the dataset.
    fn results(&self, grid: &Grid) -> DatasetResults;
}

/// A share is none below 0 or above 1, whatever its spread.
pub(super) fn within_shares(effect: Effect) -> Effect {
    let Interval { low, high } = effect.interval;
    Effect { interval: Interval { low: low.max(0.0), high: high.min(1.0) }, ..effect }
}

/// All contenders of one dataset.
pub(crate) struct Field<'a> {
    name: &'a str,
    nodes: &'a Nodes,
    contenders: Vec<Contender>,
    parameters: BTreeMap<String, usize>,
    /// Of all trained contenders, on all nodes.
    standings: BTreeMap<Metric, Standing>,
}

impl<'a> Field<'a> {
    /// The contenders of dataset `name` on record.
    pub(crate) fn new(grid: &Grid, name: &'a str, nodes: &'a Nodes, recorded: &Recorded) -> Self {
        let cells = cells::reported(grid);
        let (mut contenders, mut fusions, mut parameters) = (Vec::new(), Vec::new(), BTreeMap::new());
        for (index, row) in grid.rows.iter().enumerate() {
            let own = cells.iter().filter(|cell| cell.dataset == name && cell.row == index);
            let fits = |(_, record): &(u64, &Record)| record.answers.as_ref().is_some_and(|answers| answers.fit(nodes));
            let records: Vec<(u64, &Record)> =
                own.filter_map(|cell| Some((cell.seed, recorded.cells.get(&cell.id(grid))?))).filter(fits).collect();
            let Some((_, one)) = records.first() else { continue };
            parameters.insert(row.name.clone(), one.parameters);
            let (contender, fusion) = Contender::of_row(&row.name, row.title(), &records);
            contenders.push(contender);
            fusions.extend(fusion);
        }
        contenders.extend(fusions);
        let trained: Vec<&Contender> = contenders.iter().collect();
        let standings = Metric::VARIANTS
            .iter()
            .map(|&metric| {
                let measured: Vec<&Contender> = trained.iter().copied().filter(|one| one.has(metric)).collect();
                (metric, Standing::new(&measured, &[], metric, nodes, BOOTSTRAP))
            })
            .collect();
        let ensembles: Vec<Contender> = contenders.iter().filter_map(Contender::ensemble).collect();
        contenders.extend(ensembles);
        contenders.extend(Contender::readers(nodes));
        Self { name, nodes, contenders, parameters, standings }
    }

    fn find(&self, name: &str) -> Option<&Contender> {
        self.contenders.iter().find(|contender| contender.name == name)
    }

    /// Place of a contender in the standing of all trained ones.
    fn place(&self, name: &str, metric: Metric) -> Option<usize> {
        self.contenders
            .iter()
            .filter(|contender| contender.is_trained() && contender.has(metric))
            .position(|contender| contender.name == name)
    }

    fn line(&self, contender: &Contender) -> Line {
        let mut line = Line {
            name: contender.name.clone(),
            title: contender.title.clone(),
            is_trained: contender.is_trained(),
            seeds: contender.seeds(),
            parameters: self.parameters.get(&contender.name).copied(),
            figures: BTreeMap::new(),
            by_seed: BTreeMap::new(),
            delta_m: None,
            mean_rank: None,
        };
        for &metric in Metric::VARIANTS.iter().filter(|&&metric| contender.has(metric)) {
            let alone = || Standing::new(&[contender], &[contender], metric, self.nodes, BOOTSTRAP);
            let (effect, seeds) = match self.place(&contender.name, metric) {
                Some(place) => {
                    let standing = &self.standings[&metric];
                    (standing.effect(place, None), standing.by_seed(place).to_vec())
                }
                None => {
                    let standing = alone();
                    (standing.effect(0, None), standing.by_seed(0).to_vec())
                }
            };
            line.figures.extend(effect.map(|effect| (metric, within_shares(effect))));
            line.by_seed.insert(metric, seeds);
        }
        line
    }
}

impl Standings for Field<'_> {
    fn comparison(&self, first: &str, second: &str, metric: Metric) -> Comparison {
        let all = &self.standings[&metric];
        let places = (self.place(first, metric), self.place(second, metric));
        let (effect, nodes, patients) = match places {
            (Some(a), Some(b)) => (all.effect(a, Some(b)), all.nodes, all.patients),
            (Some(a), None) => match self.find(second).filter(|reader| reader.has(metric)) {
                Some(reader) => {
                    // With all trained ones, so that the spread between seeds is pooled over them here too.
                    let mut those: Vec<&Contender> =
                        self.contenders.iter().filter(|one| one.is_trained() && one.has(metric)).collect();
                    those.push(reader);
                    let standing = Standing::new(&those, &[reader], metric, self.nodes, BOOTSTRAP);
                    (standing.effect(a, Some(those.len() - 1)), standing.nodes, standing.patients)
                }
                None => (None, 0, 0),
            },
            _ => (None, 0, 0),
        };
        let common_seeds = places.0.zip(places.1).and_then(|(a, b)| all.common_seeds(a, b)).map(|seeds| seeds.len());
        let comparison = Comparison::new([first, second], self.name, metric, effect, (nodes, patients));
        Comparison { common_seeds, ..comparison }
    }

    fn results(&self, grid: &Grid) -> DatasetResults {
        let mut lines: Vec<Line> = self.contenders.iter().map(|contender| self.line(contender)).collect();
        add_ranks(&mut lines, grid);
        let reference = grid.rows[0].name.as_str();
        let mut differences = Vec::new();
        let is_other = |one: &&Contender| one.name != reference && one.kind != Kind::Ensemble;
        for contender in self.contenders.iter().filter(is_other) {
            for &metric in Metric::VARIANTS.iter().filter(|&&metric| contender.has(metric)) {
                differences.push(self.comparison(reference, &contender.name, metric));
            }
        }
        differences.retain(|difference| difference.effect.is_some());
        let spread = |kind: Kind| {
            let of = move |(&metric, standing): (&Metric, &Standing)| {
                Some((metric, standing.between_seeds(kind)?.variance.sqrt()))
            };
            self.standings.iter().filter_map(of).collect()
        };
        DatasetResults {
            name: self.name.to_owned(),
            digest: self.nodes.dataset_digest,
            folds: None,
            nodes: self.nodes.patient.len(),
            patients: self.nodes.patient.iter().max().map_or(0, |&last| last as usize + 1),
            lines,
            differences,
            between_seeds: spread(Kind::Network),
            between_seeds_with_measures: spread(Kind::WithMeasures),
        }
    }
}

/// The metrics that ranks and relative differences are taken over: one for each dimension, and both together.
const SUMMED: [Metric; 3] = [Metric::StatusAuroc, Metric::RegionAccuracy, Metric::JointAccuracy];

pub(super) fn add_ranks(lines: &mut [Line], grid: &Grid) {
    let values: Vec<Option<Vec<f64>>> =
        lines.iter().map(|line| SUMMED.iter().map(|metric| Some(line.figures.get(metric)?.value)).collect()).collect();
    let base = grid.delta_m_against.as_ref().and_then(|name| lines.iter().position(|line| line.name == *name));
    let base = base.and_then(|base| values[base].clone());
    for (line, own) in lines.iter_mut().zip(&values) {
        let Some(own) = own else { continue };
        let rank = |metric: usize| {
            let others = values.iter().flatten().map(|value| value[metric]);
            let (above, equal) = others.fold((0, 0), |(above, equal), value| {
                (above + usize::from(value > own[metric]), equal + usize::from(value == own[metric]))
            });
            above as f64 + (equal as f64 + 1.0) / 2.0
        };
        line.mean_rank = Some((0..SUMMED.len()).map(rank).sum::<f64>() / SUMMED.len() as f64);
        line.delta_m = base
            .as_ref()
            .filter(|base| base.iter().all(|value| *value > 0.0))
            .map(|base| own.iter().zip(base).map(|(own, base)| (own - base) / base).sum::<f64>() / SUMMED.len() as f64);
    }
}
