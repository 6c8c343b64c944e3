//! What a comparison says, as types: rows, differences, datasets, and the records that they are made of.
//!
//! Invariant: all of it follows from records, and has one form as JSON.

use std::collections::BTreeMap;

use mtids_metrics::Effect;
use mtids_runtime::digest::Digest;
use serde::Serialize;

use super::grid::Metric;
use super::nodes::Nodes;
use super::record::{Cost, Record};
use crate::prediction::MINIMUM_PATIENTS;

/// What is on record: by name of the cell or dataset.
#[derive(Clone, Debug, Default)]
pub struct Recorded {
    /// Records of cells.
    pub cells: BTreeMap<String, Record>,
    /// What they cost.
    pub costs: BTreeMap<String, Cost>,
    /// Nodes of datasets, or of their folds.
    pub nodes: BTreeMap<String, Nodes>,
}

/// What the interval of a difference says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Wholly above 0.
    Above,
    /// Wholly below 0.
    Below,
    /// It holds 0.
    Tie,
    /// It lies on one side of 0, but not when all claims are judged together.
    NotShown,
    /// There is none.
    Open,
    /// A claim on a dataset whose rows are not yet trained with all seeds of the grid: whatever the interval says so far, it is not judged.
    Provisional,
}

/// One row or reader on one dataset.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// Name.
    pub name: String,
    /// Name in tables.
    pub title: String,
    /// Whether it is trained.
    pub is_trained: bool,
    /// Trainings on record; in a cross-validation, folds of all repeats.
    pub seeds: usize,
    /// Trainable numbers; none for a reader.
    pub parameters: Option<usize>,
    /// Mean over seeds with its interval, by metric.
    pub figures: BTreeMap<Metric, Effect>,
    /// The metric of each seed, or of each fold of each repeat.
    pub by_seed: BTreeMap<Metric, Vec<Option<f64>>>,
    /// Mean relative difference to the row that the grid names for it, over status AUROC, region and joint accuracy.
    pub delta_m: Option<f64>,
    /// Mean rank among the trained rows over the same metrics; 1 is best.
    pub mean_rank: Option<f64>,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Who is compared.
    pub first: String,
    /// With whom.
    pub second: String,
    /// On which dataset.
    pub dataset: String,
    /// By what.
    pub metric: Metric,
    /// First minus second.
    pub effect: Option<Effect>,
    /// p-value adjusted for all claims of the grid; none for an exploratory difference.
    pub adjusted_p: Option<f64>,
    /// What it says.
    pub verdict: Verdict,
    /// Seeds that both were trained with and that the difference is taken over; none against a reader, or where they have no seed in common.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub common_seeds: Option<usize>,
    /// Nodes that both read, and their patients.
    pub nodes: usize,
    /// Patients.
    pub patients: usize,
}

impl Comparison {
    /// A difference with what it says by itself: nothing for fewer than [`MINIMUM_PATIENTS`], whose spread a bootstrap does not know. `pair` is who is compared with whom; `counts` are nodes and patients.
    pub(super) fn new(
        pair: [&str; 2],
        dataset: &str,
        metric: Metric,
        effect: Option<Effect>,
        counts: (usize, usize),
    ) -> Self {
        let effect = effect.filter(|_| counts.1 >= MINIMUM_PATIENTS);
        let verdict = match &effect {
            None => Verdict::Open,
            Some(effect) if effect.interval.low > 0.0 => Verdict::Above,
            Some(effect) if effect.interval.high < 0.0 => Verdict::Below,
            Some(_) => Verdict::Tie,
        };
        let [first, second] = pair.map(str::to_owned);
        let (dataset, (nodes, patients)) = (dataset.to_owned(), counts);
        Self { first, second, dataset, metric, effect, adjusted_p: None, verdict, common_seeds: None, nodes, patients }
    }

    /// Takes over what a claim about the same two says, from either side: one difference has one verdict.
    pub(super) fn follow(&mut self, claim: &Comparison) {
        let is_same = (&self.dataset, self.metric) == (&claim.dataset, claim.metric);
        let pair = (self.first.as_str(), self.second.as_str());
        if is_same && pair == (&claim.first, &claim.second) {
            (self.verdict, self.adjusted_p) = (claim.verdict, claim.adjusted_p);
        } else if is_same && pair == (&claim.second, &claim.first) {
            let verdict = match claim.verdict {
                Verdict::Above => Verdict::Below,
                Verdict::Below => Verdict::Above,
                other => other,
            };
            (self.verdict, self.adjusted_p) = (verdict, claim.adjusted_p);
        }
    }
}

/// One dataset.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DatasetResults {
    /// Name.
    pub name: String,
    /// Digest.
    pub digest: Digest,
    /// Folds of its cross-validation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folds: Option<u32>,
    /// Test nodes with a label, of all folds of a repeat.
    pub nodes: usize,
    /// Their patients.
    pub patients: usize,
    /// Rows of the grid, their fusions with measures, and readers.
    pub lines: Vec<Line>,
    /// The reference against every other row and reader, exploratory unless the grid claims it. An ensemble is left out: how much it would change with
    /// other seeds is not known.
    pub differences: Vec<Comparison>,
    /// Standard deviation between seeds of a network, pooled over rows, by metric.
    pub between_seeds: BTreeMap<Metric, f64>,
    /// The same of networks with measures.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub between_seeds_with_measures: BTreeMap<Metric, f64>,
}
