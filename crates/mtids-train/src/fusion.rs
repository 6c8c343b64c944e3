//! Late fusion: what the network says about a node, joined with what its measures say.
//!
//! Measures as inputs of the network hurt, because it stops looking; beside its answer they help. A reader of the measures is fitted on training
//! patients, of whom there are many and whom so small a model does not learn by heart. A logistic model of two inputs, the logits of network and
//! reader, is fitted on validation patients, whom neither was trained on. Both are applied to others: by an evaluation that compares readers, and
//! by the calibration of a run, whose answer it is. The measures are those of the grown region that at least half of the fitted rows have, lengths
//! and volumes by their logarithm. Invariant: deterministic. Units: logits are natural logarithms of odds.

use std::collections::BTreeSet;

use mtids_domain::label::Metastasis;
use mtids_metrics::Logistic;
use mtids_report::format::counted;
use mtids_shards::{Measure, Measures, RowLabels, Split};
use serde::{Deserialize, Serialize};

use crate::measure_targets::reading;
use crate::prediction::{MINIMUM_PATIENTS, Prediction, metastasis_probability};

/// Strength of the ridge on standardised inputs: the default of scikit-learn (C = 1).
const RIDGE: f64 = 1.0;
/// Probabilities are kept so far from 0 and 1 that their logit is finite.
const NEAREST: f64 = 1e-6;

/// A fitted fusion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fusion {
    /// What the measures alone say.
    pub reader: MeasuresReader,
    /// The model over the logits of the network and of the reader, in this order.
    pub model: Logistic,
    /// Rows with a status that the model was fitted on.
    pub samples: usize,
    /// Their patients.
    pub patients: usize,
}

impl Fusion {
    /// Fits the model on predictions for validation patients. The reader is one of training patients. An input whose weight would be negative
    /// gets the weight 0, the most negative first.
    ///
    /// # Errors
    /// Why nothing could be fitted, in words.
    pub fn fit(reader: MeasuresReader, validation: &[Prediction]) -> Result<Self, String> {
        let labelled: Vec<&Prediction> = validation.iter().filter(|row| row.metastasis.is_some()).collect();
        let patients = labelled.iter().map(|row| row.patient_key.as_str()).collect::<BTreeSet<_>>().len();
        if patients < MINIMUM_PATIENTS {
            return Err(format!(
                "{} with a status, at least {MINIMUM_PATIENTS} are needed",
                counted(patients as u64, "validation patient", "validation patients")
            ));
        }
        let mut rows: Vec<Vec<Option<f64>>> = labelled.iter().map(|row| logits(row, &reader)).collect();
        let labels: Vec<bool> = labelled.iter().map(|row| row.metastasis == Some(1)).collect();
        let model = loop {
            let model = Logistic::fit(&rows, &labels, RIDGE)
                .ok_or_else(|| "all validation patients have one status".to_owned())?;
            let negative = model.inputs.iter().enumerate().filter(|(_, input)| input.weight < 0.0);
            let Some((least, _)) = negative.min_by(|a, b| a.1.weight.total_cmp(&b.1.weight)) else { break model };
            // Without values an input has the weight 0.
            rows.iter_mut().for_each(|row| row[least] = None);
        };
        Ok(Self { reader, model, samples: labelled.len(), patients })
    }

    /// The logit of metastasis for a row.
    pub fn logit(&self, row: &Prediction) -> f64 {
        self.model.logit(&logits(row, &self.reader))
    }

    /// What one standard deviation of the network's logit adds to that of the fusion, and one of the reader's.
    pub fn weights(&self) -> [f64; 2] {
        [0, 1].map(|input| self.model.inputs.get(input).map_or(0.0, |input| input.weight))
    }
}

/// What the network and the reader say about a row.
fn logits(row: &Prediction, reader: &MeasuresReader) -> Vec<Option<f64>> {
    let probability = metastasis_probability(&row.pooled).clamp(NEAREST, 1.0 - NEAREST);
    vec![Some((probability / (1.0 - probability)).ln()), Some(reader.logit(&row.grown))]
}

/// The measures that at least half of the rows have.
fn common(rows: &[&Measures]) -> Result<Vec<Measure>, String> {
    let is_common =
        |measure: &&Measure| 2 * rows.iter().filter(|grown| reading(grown, **measure).is_some()).count() >= rows.len();
    let read: Vec<Measure> = Measure::ALL.iter().filter(is_common).copied().collect();
    if read.is_empty() { Err("the dataset has no measures".to_owned()) } else { Ok(read) }
}

/// A logistic model over the measures of the grown region alone: what a reader without network makes of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeasuresReader {
    /// What is read, in the order of the inputs.
    pub measures: Vec<Measure>,
    /// The model.
    pub model: Logistic,
    /// Least and largest reading of each on the fitted rows. One beyond counts as the nearer of them: nothing is known there.
    pub ranges: Vec<[f64; 2]>,
    /// Rows that it was fitted on.
    pub samples: usize,
}

impl MeasuresReader {
    /// Fits the model on rows with their status (true: metastatic).
    ///
    /// # Errors
    /// Why nothing could be fitted, in words.
    pub fn fit(rows: &[(&Measures, bool)]) -> Result<Self, String> {
        let (grown, labels): (Vec<&Measures>, Vec<bool>) = rows.iter().copied().unzip();
        if rows.is_empty() {
            return Err("no row has a status".to_owned());
        }
        let measures = common(&grown)?;
        let inputs: Vec<Vec<Option<f64>>> = grown.iter().map(|grown| readings(grown, &measures).collect()).collect();
        let model = Logistic::fit(&inputs, &labels, RIDGE).ok_or_else(|| "all rows have one status".to_owned())?;
        let range = |input: usize| {
            let readings = inputs.iter().filter_map(|row| row[input]);
            readings
                .fold([f64::INFINITY, f64::NEG_INFINITY], |[least, most], value| [least.min(value), most.max(value)])
        };
        let ranges = (0..measures.len()).map(range).collect();
        Ok(Self { measures, model, ranges, samples: rows.len() })
    }

    /// As [`MeasuresReader::fit`], on the training patients of a dataset; `index` are its rows.
    ///
    /// # Errors
    /// Why nothing could be fitted, in words.
    pub fn of_training(index: &[RowLabels]) -> Result<Self, String> {
        let training = index.iter().filter(|row| row.split == Split::Train);
        let rows: Vec<_> =
            training.filter_map(|row| Some((&row.grown, row.metastasis? == Metastasis::Metastatic))).collect();
        Self::fit(&rows).map_err(|reason| format!("no reader of measures on the training split: {reason}"))
    }

    /// Names of what is read.
    pub fn names(&self) -> Vec<&'static str> {
        self.measures.iter().map(|measure| measure.name()).collect()
    }

    /// The logit of metastasis for a row.
    pub fn logit(&self, grown: &Measures) -> f64 {
        let within = readings(grown, &self.measures).zip(&self.ranges);
        self.model.logit(&within.map(|(value, [least, most])| Some(value?.max(*least).min(*most))).collect::<Vec<_>>())
    }

    /// A row has at least half of what is read; the others count as their means.
    pub fn reads(&self, grown: &Measures) -> bool {
        2 * readings(grown, &self.measures).flatten().count() >= self.measures.len()
    }
}

fn readings<'a>(grown: &'a Measures, measures: &'a [Measure]) -> impl Iterator<Item = Option<f64>> + 'a {
    measures.iter().map(|&measure| reading(grown, measure))
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

    fn reader(rows: &[Prediction]) -> Result<MeasuresReader, String> {
        MeasuresReader::fit(&rows.iter().map(|row| (&row.grown, row.metastasis == Some(1))).collect::<Vec<_>>())
    }

    #[test]
    fn a_measure_that_the_network_missed_is_read_beside_it() {
        let auroc = |score: &dyn Fn(&Prediction) -> f64| {
            let pairs: Vec<(f64, bool)> = rows(600).iter().map(|row| (score(row), row.metastasis == Some(1))).collect();
            mtids_metrics::auroc(&pairs).unwrap()
        };
        let alone = reader(&rows(3000)).unwrap();
        assert_eq!(alone.names(), ["short_axis_mm", "mean_hu"], "a third of the rows is too few for the SUV");
        assert_eq!(alone.samples, 3000);
        // A few validation rows are enough for two weights.
        let fusion = Fusion::fit(alone.clone(), &rows(300)).unwrap();
        assert_eq!((fusion.samples, fusion.patients, fusion.model.inputs.len()), (300, 100, 2));
        let network = auroc(&|row| metastasis_probability(&row.pooled));
        let (measures, both) = (auroc(&|row| alone.logit(&row.grown)), auroc(&|row| fusion.logit(row)));
        assert!(measures > 0.6 && both > measures + 0.05 && both > network + 0.1, "{network} {measures} {both}");
    }

    #[test]
    fn a_measure_beyond_those_of_the_fitted_rows_counts_as_their_end() {
        let alone = reader(&rows(300)).unwrap();
        let of = |axis: f32, hu: f32| {
            let mut grown = Measures::default();
            grown.set(Measure::ShortAxis, Some(axis));
            grown.set(Measure::MeanHu, Some(hu));
            alone.logit(&grown)
        };
        let [[least, most], _] = alone.ranges[..] else { panic!("two measures are read") };
        assert!(least > 1.1 && most < 3.1);
        assert!((of(1000.0, 30.0) - of(most.exp() as f32, 30.0)).abs() < 1e-6);
        assert!((of(0.01, 30.0) - of(least.exp() as f32, 30.0)).abs() < 1e-6);
        assert!(of(15.0, 30.0) < of(most.exp() as f32, 30.0) && of(15.0, 1e6) == of(15.0, 100.0));
    }

    #[test]
    fn half_of_the_measures_are_enough_to_be_read() {
        let alone = reader(&rows(300)).unwrap();
        let mut grown = Measures::default();
        assert!(!alone.reads(&grown));
        grown.set(Measure::SuvMax, Some(4.0));
        assert!(!alone.reads(&grown), "the SUV is not among them");
        grown.set(Measure::MeanHu, Some(40.0));
        assert!(alone.reads(&grown));
    }

    #[test]
    fn no_weight_is_negative_and_the_most_negative_goes_first() {
        let alone = reader(&rows(3000)).unwrap();
        let turned = |mut row: Prediction| {
            row.pooled.reverse();
            row
        };
        let [network, measures] = Fusion::fit(alone.clone(), &rows(600)).unwrap().weights();
        assert!(network > 0.5 && measures > 0.5, "{network} {measures}");
        let [network, measures] =
            Fusion::fit(alone, &rows(600).into_iter().map(turned).collect::<Vec<_>>()).unwrap().weights();
        assert!(network == 0.0 && measures > 0.5, "{network} {measures}");
    }

    #[test]
    fn what_cannot_be_fitted_says_why() {
        let alone = reader(&rows(60)).unwrap();
        let reason = |rows: &[Prediction]| Fusion::fit(alone.clone(), rows).unwrap_err();
        assert!(reason(&rows(6)).contains("2 validation patients"));
        let of_one_status = |rows: Vec<Prediction>| -> Vec<Prediction> {
            rows.into_iter().map(|row| Prediction { metastasis: Some(0), ..row }).collect()
        };
        assert!(reason(&of_one_status(rows(60))).contains("one status"));
        assert!(reader(&of_one_status(rows(60))).unwrap_err().contains("one status"));
        let unmeasured: Vec<Prediction> =
            rows(60).into_iter().map(|row| Prediction { grown: Measures::default(), ..row }).collect();
        assert!(reader(&unmeasured).unwrap_err().contains("no measures"));
        assert!(reader(&[]).unwrap_err().contains("no row has a status"));
    }
}
