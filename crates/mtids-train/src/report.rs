//! The report of a run: one page that says what was trained, on what, how it went and how good it is.

use maud::{Markup, html};
use mtids_metrics::Interval;
use mtids_models::Architecture;
use mtids_models::PredictionHead;
use mtids_report::chart::{Series, heat_map, lines};
use mtids_report::format::{interval, metric};
use mtids_report::page::{Section, facts, figure, page, table};

use crate::coverage::Coverage;
use crate::error::TrainError;
use crate::measured::{Evaluation, Figure, Share};
use crate::operating::{Benefit, Calls, Operating};
use crate::readers::Readers;
use crate::run_folder::RunFolder;
use crate::run_folder::log::{EpochLine, LossLine, read};
use crate::seen::Acquaintance;

/// The page.
pub(crate) fn report(folder: &RunFolder, evaluation: &Evaluation) -> Result<String, TrainError> {
    let losses: Vec<LossLine> = read(&folder.file("losses.jsonl"))?;
    let epochs: Vec<EpochLine> = read(&folder.file("epochs.jsonl"))?;
    let measured = &evaluation.measured;
    let title = evaluation.architecture.title();
    let what = match evaluation.architecture {
        Architecture::MtIds => {
            "MT-IDS, reconstructed from its abstract (Ma et al., Neural Networks 198, 108541, 2026)".to_owned()
        }
        _ => format!("{title}, a baseline for MT-IDS"),
    };
    let lead = format!(
        "{what}: which mediastinal region a lymph node lies in, and whether it is metastatic. Research software; nothing \
         here is a diagnosis."
    );
    let mut sections = vec![Section::new("result", "Result", result(evaluation))];
    if !measured.heads.is_empty() {
        sections.push(Section::new("figures", "All figures", figures(evaluation)));
        sections.push(Section::new("confusion", "Confusion matrices", confusion(evaluation)));
    }
    if !measured.per_region.is_empty() {
        sections.push(Section::new("regions", "Metastasis by region", regions(evaluation)));
    }
    if !evaluation.readers.figures.is_empty() {
        sections.push(Section::new("readers", "Beside a ruler", readers(&evaluation.readers)));
    }
    if let Some(coverage) = &evaluation.coverage {
        sections.push(Section::new("calibration", "Calibration", calibration(coverage)));
    }
    if let Some(operating) = &evaluation.operating {
        sections.push(Section::new("decisions", "Decisions", decisions(operating)));
    }
    sections.push(Section::new("training", "Training", training(&losses, &epochs)));
    if !measured.gates.is_empty() {
        sections.push(Section::new("gates", "Routing", gates(evaluation)));
    }
    sections.push(Section::new("origin", "Source", origin(folder, evaluation)));
    Ok(page(&format!("{title} training report"), &lead, &sections))
}

fn result(evaluation: &Evaluation) -> Markup {
    let measured = &evaluation.measured;
    let pooled = measured.heads.iter().find(|head| head.head == PredictionHead::Pooled);
    let pick = |dimension: &str, name: &str| {
        let figure =
            pooled?.figures.iter().find(|figure| figure.dimension.name() == dimension && figure.metric == name)?;
        Some((metric(figure.majority), metric(figure.value)))
    };
    let named = [
        ("Region accuracy", pick("region", "accuracy")),
        ("Metastasis accuracy", pick("metastasis", "accuracy")),
        ("Metastasis AUROC", pick("metastasis", "AUROC")),
        ("Joint accuracy", pick("joint", "accuracy")),
    ];
    let shown: Vec<(String, String)> = named
        .into_iter()
        .filter_map(|(name, figure)| {
            figure.map(|(majority, value)| (format!("{name}; majority class {majority}"), value))
        })
        .collect();
    let shown: Vec<(&str, String)> = shown.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    let whom = match evaluation.seen.acquaintance {
        Acquaintance::Unseen | Acquaintance::SeenLeftOut => "patients not seen in training",
        Acquaintance::OwnSplit => "patients seen in training",
        Acquaintance::Unknown => "patients",
    };
    html! {
        @if !evaluation.seen.sentence.is_empty() { p class="warning" { (evaluation.seen.sentence) } }
        p { (evaluation.split.name()) " split: " (measured.samples) " patches of " (measured.patients) " " (whom) "." }
        @if !shown.is_empty() { (facts(&shown)) }
        @for claim in measured.claims.iter().filter(|claim| !claim.claimed) { p class="warning" { (claim.sentence) } }
        p class="note" { "The majority class is that of the training split. Intervals are 95 % bootstrap intervals over patients." }
    }
}

fn figures(evaluation: &Evaluation) -> Markup {
    let measured = &evaluation.measured;
    let of = |wanted: PredictionHead| measured.heads.iter().find(|head| head.head == wanted);
    let Some(pooled) = of(PredictionHead::Pooled) else { return html! {} };
    let rows: Vec<Vec<String>> = pooled
        .figures
        .iter()
        .map(|figure| {
            let same = |other: &&Figure| other.dimension == figure.dimension && other.metric == figure.metric;
            let beside = |wanted| metric(of(wanted).and_then(|head| head.figures.iter().find(same)?.value));
            vec![
                figure.dimension.name().to_owned(),
                figure.metric.to_owned(),
                metric(figure.value),
                interval(figure.interval.as_ref().map(|bounds| (bounds.low, bounds.high))),
                metric(figure.majority),
                beside(PredictionHead::Joint),
                beside(PredictionHead::Product),
                format!("{} / {}", figure.samples, figure.patients),
            ]
        })
        .collect();
    let model = format!("{}\t", evaluation.architecture.title());
    let columns = [
        "dimension",
        "metric",
        &model,
        "95 % interval\t",
        "majority\t",
        "joint head\t",
        "two heads\t",
        "samples / patients\t",
    ];
    html! {
        (table(&columns, &rows))
        p class="note" { (evaluation.architecture.title()) ": all heads pooled with learned weights. Beside it the joint head alone, and the region head times the metastasis head. Intervals are 95 % bootstrap intervals over patients." }
    }
}

fn confusion(evaluation: &Evaluation) -> Markup {
    let measured = &evaluation.measured;
    let counts = |rows: &[Vec<u64>]| -> Vec<Vec<f64>> {
        rows.iter().map(|row| row.iter().map(|&n| n as f64).collect()).collect()
    };
    let states = ["benign".to_owned(), "metastatic".to_owned()];
    let roc: Vec<(f64, f64)> =
        measured.roc.iter().map(|point| (point.false_positive_rate, point.true_positive_rate)).collect();
    let chance = Series { name: "chance".into(), points: vec![(0.0, 0.0), (1.0, 1.0)] };
    let roc = [Series { name: evaluation.architecture.title().into(), points: roc }, chance];
    html! {
        div class="two" {
            (figure("Region: true and predicted", &heat_map("Region", "true", "called", &measured.regions, &measured.regions, &counts(&measured.region_confusion))))
            (figure("Metastasis: true and predicted", &heat_map("Metastasis", "true", "called", &states, &states, &counts(&measured.metastasis_confusion))))
            (figure("ROC of metastasis", &lines("ROC of metastasis", "false positive rate", "true positive rate", &roc, Some((0.0, 1.0)))))
        }
    }
}

fn regions(evaluation: &Evaluation) -> Markup {
    let share = |share: &Share| {
        let bounds = share.interval.as_ref().map(|bounds| (bounds.low, bounds.high));
        format!("{}/{} ({})", share.successes, share.n, interval(bounds))
    };
    let rows: Vec<Vec<String>> = evaluation
        .measured
        .per_region
        .iter()
        .map(|row| {
            vec![
                row.region.clone(),
                share(&row.conditional_sensitivity),
                share(&row.conditional_specificity),
                share(&row.located_sensitivity),
                share(&row.located_specificity),
            ]
        })
        .collect();
    html! {
        (table(&["region", "sensitivity\t", "specificity\t", "located sensitivity\t", "located specificity\t"], &rows))
        p class="note" { "Sensitivity and specificity of the status among nodes truly in the region; \"located\" also requires the correct region. Counts with Wilson's 95 % intervals, which take nodes as independent." }
    }
}

fn readers(readers: &Readers) -> Markup {
    let bounds = |found: &Option<Interval>| interval(found.as_ref().map(|bounds| (bounds.low, bounds.high)));
    let rows: Vec<Vec<String>> = readers
        .figures
        .iter()
        .map(|figure| {
            vec![
                figure.reader.title().to_owned(),
                metric(figure.auroc),
                bounds(&figure.interval),
                format!("{} / {}", figure.samples, figure.patients),
            ]
        })
        .collect();
    html! {
        (table(&["reader of the status", "AUROC\t", "95 % interval\t", "samples / patients\t"], &rows))
        @for comparison in &readers.comparisons { p { (comparison.sentence) "." } }
        @if let Some(fusion) = &readers.fusion {
            p class="note" {
                "Network + measures: a logistic model over the network's logit and " (fusion.measures.join(", "))
                " of the grown region, fitted on " (fusion.samples) " samples of " (fusion.patients) " validation patients."
            }
        } @else {
            p class="note" { "No network + measures: " (readers.no_fusion) "." }
        }
        p class="note" { "Differences are on the same samples; their intervals are 95 % paired bootstrap intervals over patients." }
    }
}

fn calibration(coverage: &Coverage) -> Markup {
    html! {
        @for sentence in coverage.sentences() { p { (sentence) "." } }
        p class="note" {
            "Fitted on validation patients: a logistic map of the logit of metastasis, and sets of joint classes by hierarchical conformal              prediction. The share of sets that hold the true class should agree with their name."
        }
    }
}

/// Calls at thresholds, and the decision curve.
fn decisions(operating: &Operating) -> Markup {
    let rows: Vec<Vec<String>> = operating.calls.iter().map(Calls::cells).collect();
    let line = |name: &str, of: &dyn Fn(&Benefit) -> Option<f64>| Series {
        name: name.to_owned(),
        points: operating.benefit.iter().filter_map(|one| Some((one.threshold, of(one)?))).collect(),
    };
    let curve = [
        line("network", &|one| one.network),
        line("call every node", &|one| one.every_node),
        line("call none", &|_| Some(0.0)),
    ];
    let columns =
        ["called", "from p\t", "sensitivity\t", "95 % interval\t", "of\t", "specificity\t", "95 % interval\t", "of\t"];
    let range = Some((-0.1, operating.prevalence.max(0.1)));
    html! {
        (table(&columns, &rows))
        p class="note" {
            "The second threshold called nine in ten metastases of the validation patients. A patient is called where any of its nodes is."
        }
        @for sentence in operating.sentences() { p { (sentence) "." } }
        (figure("Decision curve", &lines("Decision curve", "threshold", "net benefit per node", &curve, range)))
    }
}

fn training(losses: &[LossLine], epochs: &[EpochLine]) -> Markup {
    let tasks: Vec<&String> = losses.first().map(|line| line.losses.keys().collect()).unwrap_or_default();
    let per_task = |value: &dyn Fn(&LossLine, &str) -> Option<f64>| -> Vec<Series> {
        let series = |task: &&String| Series {
            name: (*task).clone(),
            points: smooth(losses.iter().filter_map(|line| Some((line.step as f64, value(line, task)?))).collect()),
        };
        tasks.iter().map(series).collect()
    };
    let loss = per_task(&|line, task| line.losses.get(task).copied().flatten());
    let coefficients = per_task(&|line, task| line.coefficients.get(task).copied());
    let conflicts = [Series {
        name: "share of conflicting pairs".into(),
        points: smooth(losses.iter().map(|line| (line.step as f64, line.conflicting_share)).collect()),
    }];
    let looks = |name: &str, value: fn(&EpochLine) -> Option<f64>| Series {
        name: name.into(),
        points: epochs.iter().filter_map(|line| Some((line.epoch as f64, value(line)?))).collect(),
    };
    let validation = [
        looks("macro-F1", |line| line.validation_score),
        looks("region accuracy", |line| line.region_accuracy),
        looks("metastasis AUROC", |line| line.metastasis_auroc),
    ];
    html! {
        div class="two" {
            (figure("Loss per task", &lines("Loss per task", "step", "loss", &loss, None)))
            (figure("Coefficient per task", &lines("Coefficient per task", "step", "coefficient", &coefficients, None)))
            (figure("Gradient conflicts", &lines("Gradient conflicts", "step", "share", &conflicts, Some((0.0, 1.0)))))
            @if !validation[0].points.is_empty() { (figure("Validation", &lines("Validation", "epoch", "score", &validation, Some((0.0, 1.0))))) }
        }
        p class="note" { "Lines are running means of ten steps; all steps are in losses.jsonl." }
    }
}

/// Running mean of ten points, so that single batches do not hide the course.
fn smooth(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    points
        .iter()
        .enumerate()
        .map(|(n, &(x, _))| {
            let window = &points[n.saturating_sub(9)..=n];
            (x, window.iter().map(|point| point.1).sum::<f64>() / window.len() as f64)
        })
        .collect()
}

fn gates(evaluation: &Evaluation) -> Markup {
    let measured = &evaluation.measured;
    let regions: Vec<String> = measured.regions.iter().map(|region| format!("{region}\t")).collect();
    let mut columns = vec!["task", "all\t"];
    columns.extend(regions.iter().map(String::as_str));
    let rows: Vec<Vec<String>> = measured
        .gates
        .iter()
        .map(|gate| {
            let by_region = gate.shared_by_region.iter().map(|&share| metric(share));
            [gate.task.clone(), metric(gate.shared)].into_iter().chain(by_region).collect()
        })
        .collect();
    html! {
            (table(&columns, &rows))
    p class="note" { "Mean weight of the shared experts in each task's gate, over all patches and by true region; the rest goes to the task's own experts, and where the architecture reads them to those of other tasks." }
        }
}

fn origin(folder: &RunFolder, evaluation: &Evaluation) -> Markup {
    let identity = folder.identity();
    let weights = if evaluation.best_on_validation { "best epoch on the validation split" } else { "last step" };
    let balancer = match evaluation.architecture {
        Architecture::SingleTask => "none: the networks share no parameters".to_owned(),
        _ => evaluation.balancer.clone(),
    };
    let rows = vec![
        vec!["dataset".to_owned(), evaluation.dataset_digest.to_string()],
        vec!["trained on".to_owned(), identity.dataset_digest.to_string()],
        vec!["configuration".to_owned(), evaluation.config_digest.to_string()],
        vec![
            "program".to_owned(),
            format!("{} {}, seed {}", identity.program.name, identity.program.version, identity.seed),
        ],
        vec!["weights".to_owned(), format!("step {} ({weights})", evaluation.step)],
        vec!["architecture".to_owned(), evaluation.architecture.title().to_owned()],
        vec!["balancer".to_owned(), balancer],
    ];
    html! { (table(&["what", "which"], &rows)) }
}
