//! Late fusion: a small logistic model reads the network's answer and the measures of the node.
//!
//! Measures as inputs of the network hurt, because it stops looking; beside its answer they may help. The model is fitted on validation
//! patients, whom the network was not trained on, and applied to others. Inputs: the logit of the pooled probability of metastasis, and the
//! measures of the grown region that at least half of the fitted rows have, lengths and volumes by their logarithm. Invariant: deterministic.

use std::collections::BTreeSet;

use mtids_metrics::Logistic;
use mtids_shards::{Measure, Measures};
use serde::Serialize;

use crate::measure_targets::reading;
use crate::prediction::{MINIMUM_PATIENTS, Prediction, metastasis_probability};

/// Strength of the ridge on standardised inputs: the default of scikit-learn (C = 1).
const RIDGE: f64 = 1.0;
/// That on the measures beside a network. A few hundred validation nodes cannot tell twenty correlated measures apart: with 1 the fusion lost
/// .017 of AUROC on test patients of the cohort `tuning`, with 100 less than .002 (two networks).
const MEASURES_RIDGE: f64 = 100.0;
/// Probabilities are kept so far from 0 and 1 that their logit is finite.
const NEAREST: f64 = 1e-6;

/// A fitted fusion.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fusion {
    /// What is read beside the network, in the order of the inputs behind the first.
    pub measures: Vec<&'static str>,
    /// The model; its first input is the network's logit.
    pub model: Logistic,
    /// Rows with a status that it was fitted on.
    pub samples: usize,
    /// Their patients.
    pub patients: usize,
    #[serde(skip)]
    read: Vec<Measure>,
}

impl Fusion {
    /// Fits the model on predictions for validation patients.
    ///
    /// # Errors
    /// Why nothing could be fitted, in words.
    pub fn fit(validation: &[Prediction]) -> Result<Self, String> {
        let labelled: Vec<&Prediction> = validation.iter().filter(|row| row.metastasis.is_some()).collect();
        let patients = labelled.iter().map(|row| row.patient_key.as_str()).collect::<BTreeSet<_>>().len();
        if patients < MINIMUM_PATIENTS {
            return Err(format!(
                "{patients} validation patients with a status, at least {MINIMUM_PATIENTS} are needed"
            ));
        }
        let read = common(&labelled.iter().map(|row| &row.grown).collect::<Vec<_>>())?;
        let rows: Vec<Vec<Option<f64>>> = labelled.iter().map(|row| inputs(row, &read)).collect();
        let labels: Vec<bool> = labelled.iter().map(|row| row.metastasis == Some(1)).collect();
        let ridges: Vec<f64> = std::iter::once(RIDGE).chain(read.iter().map(|_| MEASURES_RIDGE)).collect();
        let model = Logistic::fit_with(&rows, &labels, &ridges)
            .ok_or_else(|| "all validation patients have one status".to_owned())?;
        let measures = read.iter().map(|measure| measure.name()).collect();
        Ok(Self { measures, model, samples: labelled.len(), patients, read })
    }

    /// The logit of metastasis for a row.
    pub fn logit(&self, row: &Prediction) -> f64 {
        self.model.logit(&inputs(row, &self.read))
    }
}

/// The measures that at least half of the rows have.
fn common(rows: &[&Measures]) -> Result<Vec<Measure>, String> {
    let is_common =
        |measure: &&Measure| 2 * rows.iter().filter(|grown| reading(grown, **measure).is_some()).count() >= rows.len();
    let read: Vec<Measure> = Measure::ALL.iter().filter(is_common).copied().collect();
    if read.is_empty() { Err("the dataset has no measures".to_owned()) } else { Ok(read) }
}

/// A logistic model over the measures of the grown region alone: what a reader without network makes of them.
#[derive(Clone, Debug, PartialEq)]
pub struct MeasuresReader {
    model: Logistic,
    read: Vec<Measure>,
}

impl MeasuresReader {
    /// Fits the model on rows with their status (true: metastatic).
    ///
    /// # Errors
    /// Why nothing could be fitted, in words.
    pub fn fit(rows: &[(&Measures, bool)]) -> Result<Self, String> {
        let (grown, labels): (Vec<&Measures>, Vec<bool>) = rows.iter().copied().unzip();
        let read = common(&grown)?;
        let inputs: Vec<Vec<Option<f64>>> = grown.iter().map(|grown| readings(grown, &read).collect()).collect();
        let model = Logistic::fit(&inputs, &labels, RIDGE).ok_or_else(|| "all rows have one status".to_owned())?;
        Ok(Self { model, read })
    }

    /// The logit of metastasis for a row.
    pub fn logit(&self, grown: &Measures) -> f64 {
        self.model.logit(&readings(grown, &self.read).collect::<Vec<_>>())
    }
}

fn readings<'a>(grown: &'a Measures, measures: &'a [Measure]) -> impl Iterator<Item = Option<f64>> + 'a {
    measures.iter().map(|&measure| reading(grown, measure))
}

fn inputs(row: &Prediction, measures: &[Measure]) -> Vec<Option<f64>> {
    let probability = metastasis_probability(&row.pooled).clamp(NEAREST, 1.0 - NEAREST);
    let logit = (probability / (1.0 - probability)).ln();
    std::iter::once(Some(logit)).chain(readings(&row.grown, measures)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mtids_runtime::random::rng_for;
    use rand::RngExt;

    /// Rows whose status depends on the network's answer and, beside it, on the short axis; every third has no other measure.
    fn rows(count: usize) -> Vec<Prediction> {
        let mut random = rng_for(5, "fusion rows", &[]);
        let mut row = |n: usize| {
            let (score, axis): (f64, f64) = (random.random_range(-2.0..2.0), random.random_range(1.2..3.0));
            let chance = 1.0 / (1.0 + (-(score + 4.0 * (axis - 2.1))).exp());
            let mut grown = Measures::default();
            grown.set(Measure::ShortAxis, Some(axis.exp() as f32));
            grown.set(Measure::MeanHu, Some(random.random_range(0.0..80.0)).filter(|_| !n.is_multiple_of(3)));
            grown.set(Measure::SuvMax, Some(4.0).filter(|_| n.is_multiple_of(3)));
            let probability = 1.0 / (1.0 + (-score).exp());
            Prediction {
                sample_key: format!("s{n}"),
                patient_key: format!("p{}", n / 3),
                metastasis: Some(usize::from(random.random::<f64>() < chance)),
                pooled: vec![1.0 - probability, probability],
                grown,
                ..Prediction::default()
            }
        };
        (0..count).map(&mut row).collect()
    }

    #[test]
    fn a_measure_that_the_network_missed_is_read_beside_it() {
        // So many that the ridge hardly shrinks what is found.
        let fusion = Fusion::fit(&rows(6000)).unwrap();
        assert_eq!(fusion.measures, ["short_axis_mm", "mean_hu"], "a third of the rows is too few for the SUV");
        let weights: Vec<f64> = fusion.model.inputs.iter().map(|input| input.weight / input.deviation).collect();
        assert!((weights[0] - 1.0).abs() < 0.35 && (weights[1] - 4.0).abs() < 1.0, "{weights:?}");
        assert!(weights[2].abs() < 0.02, "{weights:?}");
        let auroc = |score: &dyn Fn(&Prediction) -> f64| {
            let pairs: Vec<(f64, bool)> = rows(600).iter().map(|row| (score(row), row.metastasis == Some(1))).collect();
            mtids_metrics::auroc(&pairs).unwrap()
        };
        let network = auroc(&|row| metastasis_probability(&row.pooled));
        assert!(auroc(&|row| fusion.logit(row)) > network + 0.1);
        assert_eq!((fusion.samples, fusion.patients), (6000, 2000));
        let all = rows(600);
        let measured: Vec<_> = all.iter().map(|row| (&row.grown, row.metastasis == Some(1))).collect();
        let alone = MeasuresReader::fit(&measured).unwrap();
        let both = auroc(&|row| fusion.logit(row));
        assert!(
            (0.6..both).contains(&auroc(&|row| alone.logit(&row.grown))),
            "measures alone tell some, both tell more"
        );
        assert!(MeasuresReader::fit(&[]).is_err());
    }

    #[test]
    fn what_cannot_be_fitted_says_why() {
        let reason = |rows: &[Prediction]| Fusion::fit(rows).unwrap_err();
        assert!(reason(&rows(6)).contains("2 validation patients"));
        let benign: Vec<Prediction> =
            rows(60).into_iter().map(|row| Prediction { metastasis: Some(0), ..row }).collect();
        assert!(reason(&benign).contains("one status"));
        let unmeasured: Vec<Prediction> =
            rows(60).into_iter().map(|row| Prediction { grown: Measures::default(), ..row }).collect();
        assert!(reason(&unmeasured).contains("no measures"));
    }
}
