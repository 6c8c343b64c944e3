//! The network beside other readers of the same rows: a ruler, measures, and the network with measures.
//!
//! A reader gives each row a number that should be larger for a metastatic node. Figures: AUROC, and differences on the same rows with the
//! paired bootstrap by patient, which leaves out what makes a row hard for both. Invariants: a difference is taken over the rows that both
//! readers read; where fewer than [`MINIMUM_PATIENTS`] patients or one status only remain, nothing is claimed and the sentence says so.

use std::collections::BTreeSet;

use mtids_metrics::{BootstrapOptions, Difference, Interval, auroc, auroc_difference_by_patient, bootstrap_by_patient};
use mtids_report::format::{metric, signed, signed_interval};
use mtids_shards::Measure;
use serde::Serialize;

use crate::fusion::Fusion;
use crate::prediction::{MINIMUM_PATIENTS, Prediction, metastasis_probability};

/// Who reads the status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reader {
    /// The network (pooled).
    Network,
    /// The short axis of the annotations.
    Ruler,
    /// The short axis of the region grown from the point.
    GrownRuler,
    /// The measures of the grown region, weighed on the training patients.
    Measures,
    /// The network and the measures of the grown region.
    Fusion,
}

impl Reader {
    /// Name in tables.
    pub fn title(self) -> &'static str {
        match self {
            Reader::Network => "network",
            Reader::Ruler => "short axis (annotation)",
            Reader::GrownRuler => "short axis (grown region)",
            Reader::Measures => "measures (grown region)",
            Reader::Fusion => "network + measures",
        }
    }
}

/// How well one reader tells the status, over all rows that it reads.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReaderFigure {
    /// Who.
    pub reader: Reader,
    /// AUROC of the status, where claimed.
    pub auroc: Option<f64>,
    /// Its 95 % bootstrap interval by patient.
    pub interval: Option<Interval>,
    /// Rows with a status that it reads.
    pub samples: usize,
    /// Their patients.
    pub patients: usize,
}

/// One reader against another.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Who is compared.
    pub first: Reader,
    /// With whom.
    pub second: Reader,
    /// AUROC of the first minus that of the second on the same rows, where claimed.
    pub difference: Option<Difference>,
    /// Whether its interval lies wholly on one side of 0.
    pub excludes_zero: bool,
    /// Rows with a status that both read.
    pub samples: usize,
    /// Their patients.
    pub patients: usize,
    /// What it means.
    pub sentence: String,
}

/// All readers of one split.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Readers {
    /// Each reader that reads any row.
    pub figures: Vec<ReaderFigure>,
    /// Network against the rulers and the measures, fusion against the network and the ruler.
    pub comparisons: Vec<Comparison>,
    /// The fitted fusion, where there is one.
    pub fusion: Option<Fusion>,
    /// Why there is no fusion; empty where there is one.
    pub no_fusion: String,
}

struct Row<'a> {
    patient: &'a str,
    metastatic: bool,
    /// Score of each reader, in the order of [`READERS`].
    scores: [Option<f64>; 5],
}

const READERS: [Reader; 5] = [Reader::Network, Reader::Ruler, Reader::GrownRuler, Reader::Measures, Reader::Fusion];
/// Which are compared, as places in [`READERS`].
const PAIRS: [(usize, usize); 5] = [(0, 1), (0, 2), (0, 3), (4, 0), (4, 1)];

/// Compares the readers on predictions. `fusion` was fitted on other patients, or says why it was not.
pub fn compare(predictions: &[Prediction], fusion: Result<Fusion, String>, options: BootstrapOptions) -> Readers {
    let score = |reader: Reader, row: &Prediction| match reader {
        Reader::Network => Some(metastasis_probability(&row.pooled)),
        Reader::Ruler => row.short_axis_mm,
        Reader::GrownRuler => row.grown.get(Measure::ShortAxis).map(f64::from),
        // Too few measures are no reading.
        Reader::Measures => {
            let reader = &fusion.as_ref().ok()?.reader;
            reader.reads(&row.grown).then(|| reader.logit(&row.grown))
        }
        Reader::Fusion => fusion.as_ref().ok().map(|fusion| fusion.logit(row)),
    };
    let rows: Vec<Row<'_>> = predictions
        .iter()
        .filter_map(|row| {
            let metastatic = row.metastasis? == 1;
            Some(Row { patient: &row.patient_key, metastatic, scores: READERS.map(|reader| score(reader, row)) })
        })
        .collect();
    let figures =
        (0..READERS.len()).map(|reader| figure(reader, &rows, options)).filter(|figure| figure.samples > 0).collect();
    let comparisons = PAIRS.into_iter().filter_map(|(first, second)| comparison(first, second, &rows, options));
    let comparisons = comparisons.collect();
    match fusion {
        Ok(fusion) => Readers { figures, comparisons, fusion: Some(fusion), no_fusion: String::new() },
        Err(no_fusion) => Readers { figures, comparisons, fusion: None, no_fusion },
    }
}

/// Why rows of these patients and states allow no claim, if they do not.
fn silence(patients: &[&str], states: impl Iterator<Item = bool>) -> Option<String> {
    let count = patients.iter().collect::<BTreeSet<_>>().len();
    if count < MINIMUM_PATIENTS {
        return Some(format!("{count} patients, at least {MINIMUM_PATIENTS} are needed"));
    }
    (states.collect::<BTreeSet<_>>().len() < 2).then(|| "all are of one status".to_owned())
}

fn figure(reader: usize, rows: &[Row<'_>], options: BootstrapOptions) -> ReaderFigure {
    let (patients, samples): (Vec<&str>, Vec<(f64, bool)>) =
        rows.iter().filter_map(|row| Some((row.patient, (row.scores[reader]?, row.metastatic)))).unzip();
    let is_claimed = silence(&patients, samples.iter().map(|sample| sample.1)).is_none();
    let of = |drawn: &[usize]| auroc(&drawn.iter().map(|&n| samples[n]).collect::<Vec<_>>());
    ReaderFigure {
        reader: READERS[reader],
        auroc: is_claimed.then(|| auroc(&samples)).flatten(),
        interval: is_claimed.then(|| bootstrap_by_patient(&patients, options, of)).flatten(),
        samples: samples.len(),
        patients: patients.iter().collect::<BTreeSet<_>>().len(),
    }
}

/// `None` where no row is read by both.
fn comparison(first: usize, second: usize, rows: &[Row<'_>], options: BootstrapOptions) -> Option<Comparison> {
    let (patients, samples): (Vec<&str>, Vec<(f64, f64, bool)>) = rows
        .iter()
        .filter_map(|row| Some((row.patient, (row.scores[first]?, row.scores[second]?, row.metastatic))))
        .unzip();
    if samples.is_empty() {
        return None;
    }
    let count = patients.iter().collect::<BTreeSet<_>>().len();
    let names = (READERS[first].title(), READERS[second].title());
    let silent = silence(&patients, samples.iter().map(|sample| sample.2));
    let difference = silent.is_none().then(|| auroc_difference_by_patient(&patients, &samples, options)).flatten();
    let sentence = match (&difference, silent) {
        (Some(difference), _) => {
            let of = |score: fn(&(f64, f64, bool)) -> f64| {
                metric(auroc(&samples.iter().map(|sample| (score(sample), sample.2)).collect::<Vec<_>>()))
            };
            let (a, b) = (of(|sample| sample.0), of(|sample| sample.1));
            format!(
                "{} {a}, {} {b} on the same {} samples of {count} patients: {}",
                names.0,
                names.1,
                samples.len(),
                verdict(difference)
            )
        }
        (None, reason) => format!(
            "{} against {}: no difference is claimed: {}",
            names.0,
            names.1,
            reason.unwrap_or_else(|| "a score is no number".to_owned())
        ),
    };
    Some(Comparison {
        first: READERS[first],
        second: READERS[second],
        excludes_zero: difference.as_ref().is_some_and(Difference::excludes_zero),
        difference,
        samples: samples.len(),
        patients: count,
        sentence,
    })
}

/// Where the interval of a difference lies.
pub(crate) fn interval_lies(difference: &Difference) -> &'static str {
    match &difference.interval {
        None => "–",
        Some(bounds) if bounds.low > 0.0 => "above 0",
        Some(bounds) if bounds.high < 0.0 => "below 0",
        Some(_) => "around 0",
    }
}

fn verdict(difference: &Difference) -> String {
    let value = signed(Some(difference.value));
    let Some(bounds) = &difference.interval else {
        return format!("difference {value}, without an interval");
    };
    let meaning = match interval_lies(difference) {
        "around 0" => "which includes 0: no difference is shown".to_owned(),
        side => format!("wholly {side}"),
    };
    format!("difference {value}, 95 % interval {}, {meaning}", signed_interval(Some((bounds.low, bounds.high))))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: BootstrapOptions = BootstrapOptions { resamples: 200, seed: 1 };

    /// Forty patients with a benign and a metastatic node each: the network is always right, the ruler in half of the patients.
    fn predictions() -> Vec<Prediction> {
        let row = |n: usize| {
            let state = n % 2;
            let probability = 0.3 + 0.4 * state as f64;
            let axis = if (n / 2).is_multiple_of(2) { 8.0 + 4.0 * state as f64 } else { 12.0 - 4.0 * state as f64 };
            let mut grown = mtids_shards::Measures::default();
            grown.set(Measure::ShortAxis, Some(7.0 + 5.0 * state as f32).filter(|_| n < 8));
            Prediction {
                sample_key: format!("s{n}"),
                patient_key: format!("p{}", n / 2),
                metastasis: Some(state),
                pooled: vec![1.0 - probability, probability],
                short_axis_mm: Some(axis).filter(|_| n >= 20),
                grown,
                ..Prediction::default()
            }
        };
        (0..80).map(row).collect()
    }

    #[test]
    fn readers_are_compared_on_the_rows_that_both_read() {
        let readers = compare(&predictions(), Err("no validation split".into()), OPTIONS);
        let figures: Vec<_> =
            readers.figures.iter().map(|figure| (figure.reader, figure.auroc, figure.samples)).collect();
        assert_eq!(figures[0], (Reader::Network, Some(1.0), 80));
        assert_eq!(figures[1], (Reader::Ruler, Some(0.5), 60));
        assert_eq!(figures[2], (Reader::GrownRuler, None, 8), "four patients are too few for a figure");
        assert_eq!(readers.comparisons.len(), 2);
        let ruler = &readers.comparisons[0];
        assert_eq!((ruler.samples, ruler.patients, ruler.excludes_zero), (60, 30, true));
        assert_eq!(ruler.difference.as_ref().unwrap().value, 0.5);
        for part in ["on the same 60 samples of 30 patients", "difference +0.500", "wholly above 0"] {
            assert!(ruler.sentence.contains(part), "{}", ruler.sentence);
        }
        let few = &readers.comparisons[1];
        assert!(few.difference.is_none() && few.sentence.contains("4 patients"), "{}", few.sentence);
        assert_eq!((readers.fusion, readers.no_fusion.as_str()), (None, "no validation split"));
    }

    #[test]
    fn equal_readers_show_no_difference() {
        let mut predictions = predictions();
        for row in &mut predictions {
            row.short_axis_mm = Some(metastasis_probability(&row.pooled));
        }
        let readers = compare(&predictions, Err(String::new()), OPTIONS);
        let ruler = &readers.comparisons[0];
        assert!(!ruler.excludes_zero && ruler.sentence.contains("includes 0"), "{}", ruler.sentence);
    }
}
