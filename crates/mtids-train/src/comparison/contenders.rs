//! Who is compared on one dataset, and how good each is on the same nodes and the same resamples of patients.
//!
//! A contender has one set of scores for each seed; a reader without training, and the seeds of a row as an ensemble, have one set in all. Invariant: figures that are set against each
//! other are of the same nodes: a reader that does not read every node is compared on those that it reads.

use mtids_metrics::{
    BootstrapOptions, Confusion, Effect, Spread, auroc, pooled_variance, resample_by_patient, variance,
};

use super::grid::Metric;
use super::nodes::Nodes;
use super::record::Record;

/// What one training, or one reader, says about the nodes.
#[derive(Clone, Debug, PartialEq)]
struct Scores {
    /// Larger for metastatic nodes; `None` where it says nothing.
    status: Vec<Option<f64>>,
    /// Called region and joint class; empty for who tells the status only.
    region: Vec<u8>,
    joint: Vec<u8>,
}

/// Where the scores of a contender come from. Measures say the same for every seed, so a network beside them varies less between seeds than alone,
/// and the two are never pooled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A network: a set of scores for each training.
    Network,
    /// A network and measures together: the same trainings.
    WithMeasures,
    /// A reader without training, or the seeds of a row as one.
    Reader,
}

/// A row of the grid, or a reader.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Contender {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) kind: Kind,
    scores: Vec<Scores>,
}

impl Contender {
    /// A row of the grid from its records, and its fusion with the measures where every record has one.
    pub(crate) fn of_row(name: &str, title: &str, records: &[&Record]) -> (Self, Option<Self>) {
        let answers: Vec<_> = records.iter().filter_map(|record| record.answers.as_ref()).collect();
        let own = answers.iter().map(|answers| Scores {
            status: answers.status_logit.iter().copied().map(Some).collect(),
            region: answers.region.clone(),
            joint: answers.joint.clone(),
        });
        let fused = answers.iter().map(|answers| Scores {
            status: answers.fusion_logit.iter().copied().map(Some).collect(),
            region: Vec::new(),
            joint: Vec::new(),
        });
        let is_fused = !answers.is_empty() && answers.iter().all(|answers| !answers.fusion_logit.is_empty());
        let row = Self { name: name.into(), title: title.into(), kind: Kind::Network, scores: own.collect() };
        let fusion = is_fused.then(|| Self {
            name: format!("{name}+measures"),
            title: format!("{title}, with measures"),
            kind: Kind::WithMeasures,
            scores: fused.collect(),
        });
        (row, fusion)
    }

    /// The seeds of a row as one reader: the mean of their probabilities of metastasis; `None` for fewer than two.
    ///
    /// How much it would change with other seeds, its records cannot tell: an interval holds the spread of patients only.
    pub(crate) fn ensemble(&self) -> Option<Self> {
        let seeds = self.scores.len();
        if seeds < 2 || !self.is_trained() {
            return None;
        }
        let mean = |node: usize| -> Option<f64> {
            let sum: Option<f64> = self.scores.iter().map(|scores| scores.status[node].map(sigmoid)).sum();
            Some(sum? / seeds as f64)
        };
        let status = (0..self.scores[0].status.len()).map(mean).collect();
        Some(Self {
            name: format!("{}+ensemble", self.name),
            title: format!("{}, ensemble of {seeds}", self.title),
            kind: Kind::Reader,
            scores: vec![Scores { status, region: Vec::new(), joint: Vec::new() }],
        })
    }

    /// The readers without training that read any node.
    pub(crate) fn readers(nodes: &Nodes) -> Vec<Self> {
        let reader = |name: &str, title: &str, status: Vec<Option<f64>>| Self {
            name: name.into(),
            title: title.into(),
            kind: Kind::Reader,
            scores: vec![Scores { status, region: Vec::new(), joint: Vec::new() }],
        };
        let measures = nodes.measures_logit.iter().copied().map(Some).collect();
        let all = [
            reader("ruler", "short axis (annotation)", nodes.short_axis_mm.clone()),
            reader("grown-ruler", "short axis (grown region)", nodes.grown_short_axis_mm.clone()),
            reader("measures", "measures, logistic", measures),
        ];
        all.into_iter().filter(|reader| reader.scores[0].status.iter().any(Option::is_some)).collect()
    }

    /// Whether its seeds are trainings.
    pub(crate) fn is_trained(&self) -> bool {
        self.kind != Kind::Reader
    }

    /// Number of trainings, or 1.
    pub(crate) fn seeds(&self) -> usize {
        self.scores.len()
    }

    fn reads(&self, node: usize) -> bool {
        self.scores.iter().all(|scores| scores.status.get(node).copied().flatten().is_some())
    }

    /// Whether it can be measured by a metric at all.
    pub(crate) fn has(&self, metric: Metric) -> bool {
        metric == Metric::StatusAuroc || self.scores.iter().all(|scores| !scores.region.is_empty())
    }
}

fn sigmoid(logit: f64) -> f64 {
    1.0 / (1.0 + (-logit).exp())
}

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
            patients: patients.iter().collect::<std::collections::BTreeSet<_>>().len(),
            nodes: taken.len(),
        }
    }

    /// The metric of a contender by seed.
    pub(crate) fn by_seed(&self, contender: usize) -> &[Option<f64>] {
        &self.whole[contender]
    }

    /// The mean over seeds of one contender, or the difference of two, with both sources of spread.
    pub(crate) fn effect(&self, first: usize, second: Option<usize>) -> Option<Effect> {
        let of = |figures: &[Vec<Option<f64>>]| {
            let second = match second {
                Some(second) => mean(&figures[second])?,
                None => 0.0,
            };
            Some(mean(&figures[first])? - second)
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
            let sides = std::iter::once(first).chain(second).filter(|&side| self.kinds[side] == kind);
            // The mean over n seeds has an n-th of their variance.
            let share: f64 = sides.map(|side| 1.0 / self.whole[side].len() as f64).sum();
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
pub(crate) mod tests {
    use super::*;
    use mtids_runtime::digest::Digest;
    use mtids_runtime::random::rng_for;
    use rand::RngExt;

    /// Forty patients with four nodes each, half of them metastatic; the ruler is absent at every tenth node.
    pub(crate) fn nodes() -> Nodes {
        let text = serde_json::json!({
            "format": 1,
            "dataset_digest": Digest::of_bytes(b"d"),
            "nodes_digest": Digest::of_bytes(b"n"),
            "regions": ["upper", "lower"],
            "patient": (0..160).map(|n| n / 4).collect::<Vec<_>>(),
            "region": (0..160).map(|n| n % 2).collect::<Vec<_>>(),
            "status": (0..160).map(|n| n / 2 % 2).collect::<Vec<_>>(),
            "short_axis_mm": (0..160).map(|n| (n % 10 != 0).then_some(8.0 + (n / 2 % 2) as f64 * ((n % 3) as f64))).collect::<Vec<_>>(),
            "grown_short_axis_mm": vec![None::<f64>; 160],
            "measures_logit": Vec::<f64>::new(),
        });
        serde_json::from_value(text).unwrap()
    }

    /// A contender whose logits are `gain` times the truth and noise.
    pub(crate) fn contender(name: &str, gain: f64, seeds: usize) -> Contender {
        let nodes = nodes();
        let scores = |seed: usize| {
            let mut random = rng_for(seed as u64, name, &[]);
            let status: Vec<Option<f64>> = (0..160)
                .map(|node| Some(gain * f64::from(nodes.status[node].unwrap()) + random.random_range(-1.0..1.0)))
                .collect();
            let joint = (0..160)
                .map(|node| 2 * nodes.region[node].unwrap() + u8::from(status[node].unwrap() > gain / 2.0))
                .collect();
            Scores { status, region: nodes.region.iter().map(|code| code.unwrap()).collect(), joint }
        };
        Contender {
            name: name.into(),
            title: name.into(),
            kind: Kind::Network,
            scores: (0..seeds).map(scores).collect(),
        }
    }

    #[test]
    fn an_ensemble_is_the_mean_of_probabilities() {
        let row = contender("row", 1.0, 3);
        let ensemble = row.ensemble().unwrap();
        assert_eq!((ensemble.name.as_str(), ensemble.seeds(), ensemble.is_trained()), ("row+ensemble", 1, false));
        let of_node = row.scores.iter().map(|scores| sigmoid(scores.status[7].unwrap())).sum::<f64>() / 3.0;
        assert!((ensemble.scores[0].status[7].unwrap() - of_node).abs() < 1e-15);
        assert!(!ensemble.has(Metric::JointAccuracy) && ensemble.ensemble().is_none());
        assert!(contender("row", 1.0, 1).ensemble().is_none());
        let standing = Standing::new(&[&row, &ensemble], &[], Metric::StatusAuroc, &nodes(), OPTIONS);
        assert!(standing.effect(1, Some(0)).unwrap().value > 0.0, "independent noise averages out");
    }

    const OPTIONS: BootstrapOptions = BootstrapOptions { resamples: 300, seed: 1 };

    #[test]
    fn a_difference_has_the_spread_of_patients_and_of_seeds() {
        let nodes = nodes();
        let (good, bad, twin) = (contender("good", 1.0, 3), contender("bad", 0.2, 3), contender("twin", 1.0, 3));
        let standing = Standing::new(&[&good, &bad, &twin], &[], Metric::StatusAuroc, &nodes, OPTIONS);
        let better = standing.effect(0, Some(1)).unwrap();
        assert!(better.excludes_zero() && better.value > 0.1, "{better:?}");
        let same = standing.effect(0, Some(2)).unwrap();
        assert!(!same.excludes_zero(), "{same:?}");
        let one = |contender: &Contender| Contender { scores: contender.scores[..1].to_vec(), ..contender.clone() };
        let (a, b) = (one(&good), one(&twin));
        let single = Standing::new(&[&a, &b], &[], Metric::StatusAuroc, &nodes, OPTIONS);
        assert!(single.between_seeds(Kind::Network).is_none() && standing.between_seeds(Kind::Network).is_some());
        let itself = standing.effect(0, Some(0)).unwrap();
        assert_eq!(itself.value, 0.0);
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
