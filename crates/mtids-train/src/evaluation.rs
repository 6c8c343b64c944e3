//! Figures of one model on one split, beside the majority class.
//!
//! Purpose: predictions and the label counts of the training split in, `evaluation.json` out. Invariants: every figure
//! names its number of samples and patients; the majority class is that of the *training* split; where there are fewer
//! than [`MINIMUM_PATIENTS`] patients, or one class only, nothing is claimed and the sentence says so.

use std::collections::BTreeSet;

use mtids_metrics::{
    BootstrapOptions, Confusion, auroc, average_precision, bootstrap_by_patient, brier, expected_calibration_error,
    precision_recall_curve, roc_curve, wilson,
};
use mtids_models::PredictionHead;
use strum::VariantArray;

use crate::label_counts::LabelCounts;
use crate::measured::{Claim, Dimension, Figure, GateUse, HeadFigures, Measured, RegionFigures, Share, majority};
use crate::prediction::{MINIMUM_PATIENTS, Prediction, largest, metastasis_probability};

/// Measures predictions. `untold` are the dimensions that the tasks say nothing of, `training` the label counts of the training split.
pub fn measure(
    regions: &[String],
    tasks: &[String],
    untold: &[Dimension],
    predictions: &[Prediction],
    training: &LabelCounts,
    bootstrap: BootstrapOptions,
) -> Measured {
    let claims: Vec<Claim> =
        Dimension::ALL.into_iter().map(|dimension| claim(dimension, untold, predictions)).collect();
    let claimed = |dimension| claims.iter().any(|claim| claim.dimension == dimension && claim.claimed);
    let mut heads = Vec::new();
    for &head in PredictionHead::VARIANTS {
        if predictions.is_empty() || predictions.iter().any(|row| row.distribution(head).is_none()) {
            continue;
        }
        let mut figures = Vec::new();
        for dimension in Dimension::ALL.into_iter().filter(|&dimension| claimed(dimension)) {
            // Intervals cost a thousand evaluations each; the two secondary read-outs go without.
            let options = (head == PredictionHead::Pooled).then_some(bootstrap);
            figures.extend(dimension_figures(dimension, head, regions.len(), predictions, training, options));
        }
        heads.push(HeadFigures { head, figures });
    }
    let confusion = |dimension: Dimension| {
        let cases = cases(dimension, PredictionHead::Pooled, predictions);
        Confusion::from_pairs(dimension.classes(regions.len()), cases.iter().map(|case| (case.truth, case.called)))
    };
    let status = if claimed(Dimension::Metastasis) {
        scores(&cases(Dimension::Metastasis, PredictionHead::Pooled, predictions))
    } else {
        Vec::new()
    };
    Measured {
        regions: regions.to_vec(),
        samples: predictions.len(),
        patients: count_patients(predictions.iter()),
        heads,
        per_region: if claimed(Dimension::Joint) { per_region(regions, predictions, bootstrap) } else { Vec::new() },
        region_confusion: confusion(Dimension::Region).rows(),
        metastasis_confusion: confusion(Dimension::Metastasis).rows(),
        roc: roc_curve(&status),
        precision_recall: precision_recall_curve(&status),
        gates: gates(regions.len(), tasks, predictions),
        claims,
    }
}

/// What a look at the validation split is written down as: score, accuracy of the region, AUROC of the status; each `None` without labels.
pub(crate) fn validation_figures(
    regions: usize,
    predictions: &[Prediction],
) -> (Option<f64>, Option<f64>, Option<f64>) {
    let of_region = cases(Dimension::Region, PredictionHead::Pooled, predictions);
    let confusion = Confusion::from_pairs(regions, of_region.iter().map(|case| (case.truth, case.called)));
    let status = scores(&cases(Dimension::Metastasis, PredictionHead::Pooled, predictions));
    (selection_score(regions, predictions), confusion.accuracy(), auroc(&status))
}

/// The score by which the best epoch is chosen: pooled macro-F1 of the joint class, or of the one dimension that has
/// labels; `None` where no label exists.
pub fn selection_score(regions: usize, predictions: &[Prediction]) -> Option<f64> {
    [Dimension::Joint, Dimension::Region, Dimension::Metastasis].into_iter().find_map(|dimension| {
        let cases = cases(dimension, PredictionHead::Pooled, predictions);
        Confusion::from_pairs(dimension.classes(regions), cases.iter().map(|case| (case.truth, case.called))).macro_f1()
    })
}

struct Case<'a> {
    truth: usize,
    called: usize,
    metastatic: f64,
    patient: &'a str,
}

fn cases(dimension: Dimension, head: PredictionHead, predictions: &[Prediction]) -> Vec<Case<'_>> {
    predictions
        .iter()
        .filter_map(|row| {
            let distribution = row.distribution(head)?;
            Some(Case {
                truth: dimension.truth(row)?,
                called: dimension.call(distribution),
                metastatic: metastasis_probability(distribution),
                patient: &row.patient_key,
            })
        })
        .collect()
}

fn scores(cases: &[Case<'_>]) -> Vec<(f64, bool)> {
    cases.iter().map(|case| (case.metastatic, case.truth == 1)).collect()
}

fn count_patients<'a>(rows: impl Iterator<Item = &'a Prediction>) -> usize {
    rows.map(|row| row.patient_key.as_str()).collect::<BTreeSet<_>>().len()
}

fn claim(dimension: Dimension, untold: &[Dimension], predictions: &[Prediction]) -> Claim {
    let labelled: Vec<&Prediction> = predictions.iter().filter(|row| dimension.truth(row).is_some()).collect();
    let patients = count_patients(labelled.iter().copied());
    let classes: BTreeSet<usize> = labelled.iter().filter_map(|row| dimension.truth(row)).collect();
    let plural = if patients == 1 { "" } else { "s" };
    let is_untold = untold.contains(&dimension) || dimension == Dimension::Joint && !untold.is_empty();
    let reason = if is_untold {
        Some("no task of the run tells it".to_owned())
    } else if patients < MINIMUM_PATIENTS {
        Some(format!("{patients} patient{plural} with a label, at least {MINIMUM_PATIENTS} are needed"))
    } else if classes.len() < 2 {
        Some("all labels are of one class".to_owned())
    } else {
        None
    };
    let name = dimension.name();
    let sentence = match &reason {
        Some(reason) => format!("{name}: no metrics: {reason}"),
        None => format!("{name}: {} samples of {patients} patient{plural}", labelled.len()),
    };
    Claim { dimension, claimed: reason.is_none(), samples: labelled.len(), patients, sentence }
}

fn dimension_figures(
    dimension: Dimension,
    head: PredictionHead,
    regions: usize,
    predictions: &[Prediction],
    training: &LabelCounts,
    bootstrap: Option<BootstrapOptions>,
) -> Vec<Figure> {
    let cases = cases(dimension, head, predictions);
    let patients: Vec<&str> = cases.iter().map(|case| case.patient).collect();
    let patient_count = patients.iter().collect::<BTreeSet<_>>().len();
    let classes = dimension.classes(regions);
    let counts = match dimension {
        Dimension::Region => &training.region,
        Dimension::Metastasis => &training.metastasis,
        Dimension::Joint => &training.joint,
    };
    let majority_class = majority(counts);
    let confusion = |drawn: &[usize]| {
        Confusion::from_pairs(classes, drawn.iter().map(|&index| (cases[index].truth, cases[index].called)))
    };
    let all: Vec<usize> = (0..cases.len()).collect();
    let constant =
        majority_class.map(|called| Confusion::from_pairs(classes, cases.iter().map(|case| (case.truth, called))));
    let figure = |metric, majority, statistic: &(dyn Fn(&[usize]) -> Option<f64> + Sync)| Figure {
        dimension,
        metric,
        value: statistic(&all),
        interval: bootstrap.and_then(|options| bootstrap_by_patient(&patients, options, statistic)),
        majority,
        samples: cases.len(),
        patients: patient_count,
    };
    // Where all agree, every resample does, and the bootstrap would call a share of a few patients certain.
    let share = |figure: Figure, counts: &dyn Fn(&Case<'_>) -> bool| {
        let patients = cases.iter().filter(|case| counts(case)).map(|case| case.patient).collect::<BTreeSet<_>>().len();
        let agreed = |share: f64| bootstrap.and_then(|_| wilson((share * patients as f64) as u64, patients as u64));
        match figure.value {
            Some(share @ (0.0 | 1.0)) => Figure { interval: agreed(share), ..figure },
            _ => figure,
        }
    };
    let accuracy =
        figure("accuracy", constant.as_ref().and_then(Confusion::accuracy), &|drawn| confusion(drawn).accuracy());
    let mut figures = vec![
        share(accuracy, &|_| true),
        figure("balanced accuracy", constant.as_ref().and_then(Confusion::balanced_accuracy), &|drawn| {
            confusion(drawn).balanced_accuracy()
        }),
        figure("macro-F1", constant.as_ref().and_then(Confusion::macro_f1), &|drawn| confusion(drawn).macro_f1()),
    ];
    if dimension == Dimension::Metastasis {
        let drawn_scores = |drawn: &[usize]| -> Vec<(f64, bool)> {
            drawn.iter().map(|&index| (cases[index].metastatic, cases[index].truth == 1)).collect()
        };
        let positives = training.metastasis.get(1).copied().unwrap_or(0);
        let labelled: u64 = training.metastasis.iter().sum();
        let prior = (labelled > 0).then(|| positives as f64 / labelled as f64);
        let constant_scores: Option<Vec<(f64, bool)>> =
            prior.map(|prior| cases.iter().map(|case| (prior, case.truth == 1)).collect());
        figures.push(figure("AUROC", constant_scores.as_deref().and_then(auroc), &|drawn| auroc(&drawn_scores(drawn))));
        figures.push(figure("average precision", constant_scores.as_deref().and_then(average_precision), &|drawn| {
            average_precision(&drawn_scores(drawn))
        }));
        let sensitivity = figure("sensitivity", constant.as_ref().and_then(Confusion::sensitivity), &|drawn| {
            confusion(drawn).sensitivity()
        });
        let specificity = figure("specificity", constant.as_ref().and_then(Confusion::specificity), &|drawn| {
            confusion(drawn).specificity()
        });
        figures.push(share(sensitivity, &|case| case.truth == 1));
        figures.push(share(specificity, &|case| case.truth == 0));
        figures.push(figure("Brier score", constant_scores.as_deref().and_then(brier), &|drawn| {
            brier(&drawn_scores(drawn))
        }));
        figures.push(figure(
            "calibration error",
            constant_scores.as_deref().and_then(|scores| expected_calibration_error(scores, 10)),
            &|drawn| expected_calibration_error(&drawn_scores(drawn), 10),
        ));
    }
    figures
}

fn per_region(regions: &[String], predictions: &[Prediction], bootstrap: BootstrapOptions) -> Vec<RegionFigures> {
    let count = |rule: &dyn Fn(usize, usize, usize, bool) -> (bool, bool)| {
        let trial = |row: &'_ Prediction| {
            let metastatic = metastasis_probability(&row.pooled) >= 0.5;
            let (counts, right) = rule(row.region?, row.metastasis?, largest(&row.pooled), metastatic);
            counts.then_some(right)
        };
        let trials: Vec<(&str, bool)> =
            predictions.iter().filter_map(|row| Some((row.patient_key.as_str(), trial(row)?))).collect();
        Share::of(&trials, bootstrap)
    };
    regions
        .iter()
        .enumerate()
        .map(|(code, name)| {
            let positive = 2 * code + 1;
            RegionFigures {
                region: name.clone(),
                located_sensitivity: count(&|region, state, called, _| {
                    (2 * region + state == positive, called == positive)
                }),
                located_specificity: count(&|region, state, called, _| {
                    (2 * region + state != positive, called != positive)
                }),
                conditional_sensitivity: count(&|region, state, _, metastatic| {
                    (region == code && state == 1, metastatic)
                }),
                conditional_specificity: count(&|region, state, _, metastatic| {
                    (region == code && state == 0, !metastatic)
                }),
            }
        })
        .collect()
}

fn gates(regions: usize, tasks: &[String], predictions: &[Prediction]) -> Vec<GateUse> {
    let mean = |task: usize, region: Option<usize>| {
        let values: Vec<f64> = predictions
            .iter()
            .filter(|row| region.is_none() || row.region == region)
            .filter_map(|row| row.branches.get(task)?.first().copied())
            .collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    };
    tasks
        .iter()
        .enumerate()
        .map(|(task, name)| GateUse {
            task: name.clone(),
            shared: mean(task, None),
            shared_by_region: (0..regions).map(|region| mean(task, Some(region))).collect(),
        })
        // Not every architecture has gates.
        .filter(|gate| gate.shared.is_some())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGIONS: usize = 2;

    fn names() -> Vec<String> {
        vec!["upper".into(), "lower".into()]
    }

    fn row(patient: usize, region: Option<usize>, metastasis: Option<usize>, pooled: [f64; 4]) -> Prediction {
        Prediction {
            sample_key: format!("s{patient}"),
            patient_key: format!("p{patient}"),
            region,
            metastasis,
            pooled: pooled.to_vec(),
            branches: vec![vec![0.25 + 0.5 * region.unwrap_or(0) as f64]],
            ..Prediction::default()
        }
    }

    /// Six patients: five called right in both dimensions; one (upper, metastatic) called (lower, benign).
    fn predictions() -> Vec<Prediction> {
        vec![
            row(0, Some(0), Some(0), [0.7, 0.1, 0.1, 0.1]),
            row(1, Some(0), Some(0), [0.6, 0.2, 0.1, 0.1]),
            row(2, Some(0), Some(1), [0.1, 0.7, 0.1, 0.1]),
            row(3, Some(0), Some(1), [0.1, 0.1, 0.7, 0.1]),
            row(4, Some(1), Some(0), [0.1, 0.0, 0.8, 0.1]),
            row(5, Some(1), Some(1), [0.0, 0.1, 0.1, 0.8]),
        ]
    }

    fn training() -> LabelCounts {
        LabelCounts::of(
            REGIONS,
            [(Some(1), Some(0)), (Some(1), None), (Some(0), Some(0)), (None, Some(1)), (None, None)],
        )
    }

    fn figure(measured: &Measured, dimension: Dimension, metric: &str) -> Figure {
        let pooled = measured.heads.iter().find(|figures| figures.head == PredictionHead::Pooled).unwrap();
        pooled.figures.iter().find(|f| f.dimension == dimension && f.metric == metric).unwrap().clone()
    }

    #[test]
    fn figures_stand_beside_the_majority_of_the_training_split() {
        let options = BootstrapOptions { resamples: 200, seed: 1 };
        let measured = measure(&names(), &["region".into()], &[], &predictions(), &training(), options);
        let region = figure(&measured, Dimension::Region, "accuracy");
        assert_eq!((region.value, region.samples, region.patients), (Some(5.0 / 6.0), 6, 6));
        // Most frequent in training is region 1, which holds 2 of these 6.
        assert_eq!(region.majority, Some(2.0 / 6.0));
        let interval = region.interval.unwrap();
        assert!(interval.low < 5.0 / 6.0 && interval.high > 5.0 / 6.0);
        assert_eq!(figure(&measured, Dimension::Metastasis, "accuracy").majority, Some(0.5));
        assert_eq!(figure(&measured, Dimension::Metastasis, "AUROC").majority, Some(0.5));
        assert_eq!(figure(&measured, Dimension::Metastasis, "average precision").majority, Some(0.5));
        assert_eq!(measured.precision_recall.last().unwrap().recall, 1.0);
        assert_eq!(figure(&measured, Dimension::Metastasis, "sensitivity").value, Some(2.0 / 3.0));
        assert_eq!(figure(&measured, Dimension::Joint, "accuracy").value, Some(5.0 / 6.0));
        let upper = &measured.per_region[0];
        assert_eq!((upper.located_sensitivity.successes, upper.located_sensitivity.n), (1, 2));
        assert_eq!((upper.located_specificity.successes, upper.located_specificity.n), (4, 4));
        assert_eq!((upper.conditional_specificity.successes, upper.conditional_specificity.n), (2, 2));
        assert_eq!(measured.region_confusion, vec![vec![3, 1], vec![0, 2]]);
        assert_eq!(measured.gates[0].shared_by_region, vec![Some(0.25), Some(0.75)]);
        assert_eq!(measured.heads.len(), 1, "read-outs that the model does not have are left out");
    }

    #[test]
    fn few_patients_or_one_class_claim_nothing() {
        let options = BootstrapOptions { resamples: 10, seed: 1 };
        let one = [row(0, Some(0), Some(1), [0.1, 0.7, 0.1, 0.1])];
        let measured = measure(&names(), &[], &[], &one, &training(), options);
        assert!(measured.heads.iter().all(|figures| figures.figures.is_empty()));
        assert!(measured.claims[0].sentence.contains("no metrics: 1 patient with"), "{:?}", measured.claims);
        let benign: Vec<Prediction> =
            predictions().into_iter().map(|row| Prediction { metastasis: Some(0), ..row }).collect();
        let measured = measure(&names(), &[], &[], &benign, &training(), options);
        assert!(measured.claims[1].sentence.contains("one class"), "{:?}", measured.claims);
        assert!(measured.claims[0].claimed);
        assert!(measured.roc.is_empty() && measured.precision_recall.is_empty());
        let measured = measure(&names(), &[], &[], &[], &training(), options);
        assert!(measured.claims.iter().all(|claim| !claim.claimed));
    }

    #[test]
    fn selection_falls_back_to_the_dimension_that_has_labels() {
        assert!(selection_score(REGIONS, &predictions()).unwrap() < 1.0);
        let regions_only: Vec<Prediction> =
            predictions().into_iter().map(|row| Prediction { metastasis: None, ..row }).collect();
        // Regions: 3 of 4 and 2 of 2 with one wrong "lower": F1 6/7 and 4/5.
        let score = selection_score(REGIONS, &regions_only).unwrap();
        assert!((score - (6.0 / 7.0 + 4.0 / 5.0) / 2.0).abs() < 1e-12);
        assert_eq!(selection_score(REGIONS, &[]), None);
    }

    #[test]
    fn majority_is_the_first_of_equals() {
        assert_eq!(majority(&[0, 3, 3]), Some(1));
        assert_eq!(majority(&[0, 0]), None);
        assert!(LabelCounts::of(2, [(None, None)]).is_empty());
    }
}
