//! How good each contender is on the same nodes and the same resamples of patients.
//!
//! Invariant: figures that are set against each other are of the same nodes, and of the same seeds where both were trained with some.

use mtids_metrics::{
    BootstrapOptions, Confusion, Effect, Spread, auroc, pooled_variance, resample_by_patient, variance,
};

use super::contenders::{Contender, Kind, Scores};
use super::grid::Metric;
use super::nodes::Nodes;

/// A metric of one set of scores over some nodes; `None` where it is not defined.
fn figure(scores: &Scores, metric: Metric, nodes: &Nodes, drawn: &[usize]) -> Option<f64> {
    let classes = 2 * nodes.regions.len();
    let joint = |node: usize| Some(2 * usize::from(nodes.region[node]?) + usize::from(nodes.status[node]?));
    match metric {
        Metric::StatusAuroc => {
            let pairs: Vec<(f64, bool)> =
                drawn.iter().filter_map(|&node| Some((scores.status[node]?, nodes.status[node]? == 1))).collect();
            auroc(&pairs)
        }
        Metric::JointAccuracy | Metric::JointMacroF1 => {
            let pairs = drawn.iter().filter_map(|&node| Some((joint(node)?, usize::from(*scores.joint.get(node)?))));
            let confusion = Confusion::from_pairs(classes, pairs);
            if metric == Metric::JointAccuracy { confusion.accuracy() } else { confusion.macro_f1() }
        }
        Metric::RegionAccuracy => {
            let pairs = drawn
                .iter()
                .filter_map(|&node| Some((usize::from(nodes.region[node]?), usize::from(*scores.region.get(node)?))));
            Confusion::from_pairs(nodes.regions.len(), pairs).accuracy()
        }
    }
}

/// Figures of several contenders on the same nodes.
pub(crate) struct Standing {
    /// By contender and seed.
    whole: Vec<Vec<Option<f64>>>,
    /// The same for each resample of patients.
    resamples: Vec<Vec<Vec<Option<f64>>>>,
    kinds: Vec<Kind>,
    /// Seeds by contender.
    seeds: Vec<Vec<u64>>,
    /// Patients with a node among them.
    pub(crate) patients: usize,
    /// The nodes.
    pub(crate) nodes: usize,
}

fn mean(values: &[Option<f64>]) -> Option<f64> {
    let sum: Option<f64> = values.iter().copied().sum();
    sum.filter(|_| !values.is_empty()).map(|sum| sum / values.len() as f64)
}

impl Standing {
    /// Measures `contenders` by a metric, on the nodes that all of `readers` read.
    pub(crate) fn new(
        contenders: &[&Contender],
        readers: &[&Contender],
        metric: Metric,
        nodes: &Nodes,
        options: BootstrapOptions,
    ) -> Self {
        let is_labelled = |node: usize| match metric {
            Metric::StatusAuroc => nodes.status[node].is_some(),
            Metric::RegionAccuracy => nodes.region[node].is_some(),
            Metric::JointAccuracy | Metric::JointMacroF1 => {
                nodes.region[node].is_some() && nodes.status[node].is_some()
            }
        };
        let taken: Vec<usize> = (0..nodes.patient.len())
            .filter(|&node| is_labelled(node) && readers.iter().all(|reader| reader.reads(node)))
            .collect();
        let figures = |drawn: &[usize]| -> Vec<Vec<Option<f64>>> {
            let drawn: Vec<usize> = drawn.iter().map(|&index| taken[index]).collect();
            let of = |contender: &&Contender| {
                contender.scores.iter().map(|scores| figure(scores, metric, nodes, &drawn)).collect()
            };
            contenders.iter().map(of).collect()
        };
        let names: Vec<String> = taken.iter().map(|&node| nodes.patient[node].to_string()).collect();
        let patients: Vec<&str> = names.iter().map(String::as_str).collect();
        Self {
            whole: figures(&(0..taken.len()).collect::<Vec<_>>()),
            resamples: resample_by_patient(&patients, options, figures),
            kinds: contenders.iter().map(|contender| contender.kind).collect(),
            seeds: contenders.iter().map(|contender| contender.seeds.clone()).collect(),
            patients: patients.iter().collect::<std::collections::BTreeSet<_>>().len(),
            nodes: taken.len(),
        }
    }

    /// The metric of a contender by seed.
    pub(crate) fn by_seed(&self, contender: usize) -> &[Option<f64>] {
        &self.whole[contender]
    }

    /// The seeds that two contenders have in common: the same seed gives both the same order of samples. `None` where either has none.
    pub(crate) fn common_seeds(&self, first: usize, second: usize) -> Option<Vec<u64>> {
        let common = self.seeds[first].iter().copied().filter(|seed| self.seeds[second].contains(seed));
        Some(common.collect()).filter(|common: &Vec<u64>| !common.is_empty())
    }

    /// The mean over seeds of one contender, or the difference of two over the seeds that both have, with both sources of spread.
    pub(crate) fn effect(&self, first: usize, second: Option<usize>) -> Option<Effect> {
        let common = second.and_then(|second| self.common_seeds(first, second));
        let taken = |side: usize| -> Vec<usize> {
            let is_taken = |place: &usize| {
                common
                    .as_ref()
                    .is_none_or(|common| self.seeds[side].get(*place).is_some_and(|one| common.contains(one)))
            };
            (0..self.whole[side].len()).filter(is_taken).collect()
        };
        let sides: Vec<(usize, Vec<usize>)> =
            std::iter::once(first).chain(second).map(|side| (side, taken(side))).collect();
        let of = |figures: &[Vec<Option<f64>>]| {
            let of_side = |(side, taken): &(usize, Vec<usize>)| {
                mean(&taken.iter().map(|&place| figures[*side][place]).collect::<Vec<_>>())
            };
            let (first, second) = (of_side(&sides[0])?, sides.get(1).map(of_side));
            Some(first - second.unwrap_or(Some(0.0))?)
        };
        let value = of(&self.whole)?;
        let drawn: Vec<f64> = self.resamples.iter().filter_map(|figures| of(figures)).collect();
        if drawn.len() * 2 < self.resamples.len() {
            return None;
        }
        let degrees = self.patients.checked_sub(1).filter(|&degrees| degrees > 0)? as f64;
        let patients = Spread { degrees, ..variance(&drawn)? };
        let mut spreads = vec![patients];
        for kind in [Kind::Network, Kind::WithMeasures] {
            let of_kind = sides.iter().filter(|(side, _)| self.kinds[*side] == kind);
            // The mean over n seeds has an n-th of their variance.
            let share: f64 = of_kind.map(|(_, taken)| 1.0 / taken.len() as f64).sum();
            let seeds = self.between_seeds(kind).filter(|_| share > 0.0);
            spreads.extend(seeds.map(|seeds| Spread { variance: seeds.variance * share, ..seeds }));
        }
        Effect::new(value, &spreads)
    }

    /// Variance between the seeds of a training, pooled over all contenders of a kind; `None` with one seed each.
    pub(crate) fn between_seeds(&self, kind: Kind) -> Option<Spread> {
        let of_kind = self.whole.iter().zip(&self.kinds).filter(|(_, one)| **one == kind);
        let values: Vec<Vec<f64>> = of_kind.map(|(figures, _)| figures.iter().flatten().copied().collect()).collect();
        pooled_variance(&values.iter().map(Vec::as_slice).collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comparison::contenders::tests::{contender, nodes};

    const OPTIONS: BootstrapOptions = BootstrapOptions { resamples: 300, seed: 1 };

    #[test]
    fn an_ensemble_is_better_than_its_members_whose_noise_is_independent() {
        let row = contender("row", 1.0, 3);
        let ensemble = row.ensemble().unwrap();
        let standing = Standing::new(&[&row, &ensemble], &[], Metric::StatusAuroc, &nodes(), OPTIONS);
        assert!(standing.effect(1, Some(0)).unwrap().value > 0.0);
    }

    #[test]
    fn a_difference_has_the_spread_of_patients_and_of_seeds() {
        let nodes = nodes();
        let (good, bad, twin) = (contender("good", 1.0, 3), contender("bad", 0.2, 3), contender("twin", 1.0, 3));
        let standing = Standing::new(&[&good, &bad, &twin], &[], Metric::StatusAuroc, &nodes, OPTIONS);
        let better = standing.effect(0, Some(1)).unwrap();
        assert!(better.excludes_zero() && better.value > 0.1, "{better:?}");
        let same = standing.effect(0, Some(2)).unwrap();
        assert!(!same.excludes_zero(), "{same:?}");
        let one = |contender: &Contender| {
            let (scores, seeds) = (contender.scores[..1].to_vec(), contender.seeds[..1].to_vec());
            Contender { scores, seeds, ..contender.clone() }
        };
        let (a, b) = (one(&good), one(&twin));
        let single = Standing::new(&[&a, &b], &[], Metric::StatusAuroc, &nodes, OPTIONS);
        assert!(single.between_seeds(Kind::Network).is_none() && standing.between_seeds(Kind::Network).is_some());
        let itself = standing.effect(0, Some(0)).unwrap();
        assert_eq!(itself.value, 0.0);
    }

    #[test]
    fn rows_with_other_seeds_are_compared_over_those_that_both_have() {
        let nodes = nodes();
        let (row, mut other) = (contender("row", 1.0, 3), contender("other", 0.5, 3));
        other.scores.remove(0);
        other.seeds.remove(0);
        let standing = Standing::new(&[&row, &other], &[], Metric::StatusAuroc, &nodes, OPTIONS);
        let figures = |side: usize| standing.by_seed(side).iter().map(|one| one.unwrap()).collect::<Vec<_>>();
        let (first, second) = (figures(0), figures(1));
        let expected = (first[1] + first[2] - second[0] - second[1]) / 2.0;
        assert!((standing.effect(0, Some(1)).unwrap().value - expected).abs() < 1e-12);
        assert_eq!(standing.common_seeds(0, 1), Some(vec![1, 2]));
        // By itself a row has all its seeds, and so against one that shares none.
        assert!((standing.effect(0, None).unwrap().value - first.iter().sum::<f64>() / 3.0).abs() < 1e-12);
        other.seeds = vec![8, 9];
        let apart = Standing::new(&[&row, &other], &[], Metric::StatusAuroc, &nodes, OPTIONS);
        let means = first.iter().sum::<f64>() / 3.0 - second.iter().sum::<f64>() / 2.0;
        assert!((apart.effect(0, Some(1)).unwrap().value - means).abs() < 1e-12);
    }

    #[test]
    fn a_network_is_not_taken_for_steadier_because_its_fusion_is() {
        let nodes = nodes();
        let (row, other) = (contender("row", 0.5, 3), contender("other", 0.4, 3));
        // Every seed of a fusion says the same.
        let fused = |of: &Contender| {
            let scores = vec![of.scores[0].clone(); 3];
            Contender { name: format!("{}+measures", of.name), kind: Kind::WithMeasures, scores, ..of.clone() }
        };
        let fusions = [fused(&row), fused(&other)];
        let alone = Standing::new(&[&row, &other], &[], Metric::StatusAuroc, &nodes, OPTIONS);
        let beside = [&row, &other, &fusions[0], &fusions[1]];
        let beside = Standing::new(&beside, &[], Metric::StatusAuroc, &nodes, OPTIONS);
        let width = |standing: &Standing, first: usize, second: usize| {
            let interval = standing.effect(first, Some(second)).unwrap().interval;
            interval.high - interval.low
        };
        assert_eq!(width(&alone, 0, 1), width(&beside, 0, 1));
        assert_eq!(beside.between_seeds(Kind::WithMeasures).unwrap().variance, 0.0);
    }

    #[test]
    fn a_reader_is_compared_on_the_nodes_that_it_reads() {
        let nodes = nodes();
        let readers = Contender::readers(&nodes);
        assert_eq!(readers.iter().map(|reader| reader.name.as_str()).collect::<Vec<_>>(), ["ruler"]);
        let good = contender("good", 1.0, 2);
        let standing = Standing::new(&[&good, &readers[0]], &[&readers[0]], Metric::StatusAuroc, &nodes, OPTIONS);
        assert_eq!((standing.nodes, standing.patients), (144, 40));
        assert!(standing.effect(0, Some(1)).is_some());
        assert!(!readers[0].has(Metric::JointAccuracy) && good.has(Metric::JointAccuracy));
        let joint = Standing::new(&[&good], &[], Metric::JointAccuracy, &nodes, OPTIONS);
        let regions = Standing::new(&[&good], &[], Metric::RegionAccuracy, &nodes, OPTIONS);
        assert_eq!(regions.by_seed(0), [Some(1.0); 2]);
        assert!(joint.effect(0, None).unwrap().value < 1.0);
    }
}
