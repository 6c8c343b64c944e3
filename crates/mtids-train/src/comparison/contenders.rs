//! Who is compared on one dataset: rows of the grid, and readers without training.
//!
//! Invariant: a contender has one set of scores for each seed; a reader without training, and the seeds of a row as an ensemble, have one set in all.

use super::grid::Metric;
use super::nodes::Nodes;
use super::record::Record;

/// What one training, or one reader, says about the nodes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scores {
    /// Larger for metastatic nodes; `None` where it says nothing.
    pub(crate) status: Vec<Option<f64>>,
    /// Called region and joint class; empty for who tells the status only.
    pub(crate) region: Vec<u8>,
    pub(crate) joint: Vec<u8>,
}

/// Where the scores of a contender come from. Measures say the same for every seed, so a network beside them varies less between seeds than alone,
/// and the two are never pooled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A network: a set of scores for each training.
    Network,
    /// A network and measures together: the same trainings.
    WithMeasures,
    /// The seeds of a row as one reader.
    Ensemble,
    /// A reader without training.
    Reader,
}

/// A row of the grid, or a reader.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Contender {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) kind: Kind,
    pub(crate) scores: Vec<Scores>,
    /// The seed of each training; none of a reader.
    pub(crate) seeds: Vec<u64>,
}

impl Contender {
    /// A row of the grid from its seeds and their records, and its fusion with the measures where every record has one.
    pub(crate) fn of_row(name: &str, title: &str, records: &[(u64, &Record)]) -> (Self, Option<Self>) {
        let measured = records.iter().filter_map(|(seed, record)| Some((*seed, record.answers.as_ref()?)));
        let (seeds, answers): (Vec<u64>, Vec<_>) = measured.unzip();
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
        let (kind, scores) = (Kind::Network, own.collect());
        let row = Self { name: name.into(), title: title.into(), kind, scores, seeds: seeds.clone() };
        let fusion = is_fused.then(|| Self {
            name: format!("{name}+measures"),
            title: format!("{title}, with measures"),
            kind: Kind::WithMeasures,
            scores: fused.collect(),
            seeds,
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
            kind: Kind::Ensemble,
            scores: vec![Scores { status, region: Vec::new(), joint: Vec::new() }],
            seeds: Vec::new(),
        })
    }

    /// The readers without training that read any node.
    pub(crate) fn readers(nodes: &Nodes) -> Vec<Self> {
        let reader = |name: &str, title: &str, status: Vec<Option<f64>>| Self {
            name: name.into(),
            title: title.into(),
            kind: Kind::Reader,
            scores: vec![Scores { status, region: Vec::new(), joint: Vec::new() }],
            seeds: Vec::new(),
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
        matches!(self.kind, Kind::Network | Kind::WithMeasures)
    }

    /// Number of trainings, or 1.
    pub(crate) fn seeds(&self) -> usize {
        self.scores.len()
    }

    pub(crate) fn reads(&self, node: usize) -> bool {
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
            seeds: (0..seeds as u64).collect(),
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
    }
}
