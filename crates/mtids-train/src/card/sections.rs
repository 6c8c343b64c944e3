//! The descriptive parts of a card: model, use, data, figures, settings, provenance, limits.

use mtids_models::{Architecture, PredictionHead};
use mtids_report::format::counted;

use super::facts::Facts;
use super::section::{CardSection, CardTable};
use crate::measured::Figure;

/// All parts in their order.
pub(super) fn of(facts: &Facts<'_>) -> Vec<CardSection> {
    vec![
        intended_use(),
        model(facts),
        training_data(facts),
        evaluation_data(facts),
        figures(facts),
        settings(facts),
        provenance(facts),
        limits(facts),
    ]
}

fn pairs(title: &'static str, rows: Vec<(String, String)>) -> CardSection {
    let rows = rows.into_iter().map(|(what, value)| vec![what, value]).collect();
    CardSection { title, paragraphs: Vec::new(), table: Some(CardTable { columns: vec!["what", "which"], rows }) }
}

fn named<const N: usize>(rows: [(&str, String); N]) -> Vec<(String, String)> {
    rows.into_iter().map(|(what, value)| (what.to_owned(), value)).collect()
}

fn intended_use() -> CardSection {
    let paragraphs = [
        "Research: whether a network tells in which mediastinal region a lymph node lies in chest CT, and whether it is metastatic.",
        "It reads nodes that somebody has pointed at. It does not look for nodes, and says nothing of those that nobody pointed at.",
        "It is no medical device. It is not for diagnosis, staging, or any decision about a patient.",
        "Scans unlike those of the training are beyond its use; mtids-train predict names them.",
    ];
    CardSection { title: "Intended use", paragraphs: paragraphs.map(str::to_owned).into(), table: None }
}

fn model(facts: &Facts<'_>) -> CardSection {
    let evaluation = facts.evaluation;
    let regions = &evaluation.measured.regions;
    // A state that cannot be read was an error before.
    let has_ended = facts.folder.unfinished().is_ok_and(|left| left.is_none());
    let weights = match (evaluation.best_on_validation, has_ended) {
        (true, true) => "of the best epoch on validation patients",
        (true, false) => "of the best epoch so far of a training that has not ended",
        (false, true) => "of the end",
        (false, false) => "of a training that has not ended",
    };
    pairs(
        "Model",
        named([
            ("architecture", evaluation.architecture_in_words()),
            ("balancer", evaluation.balancer.clone()),
            ("input", facts.views()),
            (
                "output",
                format!(
                    "probabilities of {} pairs of region and status; regions: {}",
                    2 * regions.len(),
                    regions.join(", ")
                ),
            ),
            ("weights", format!("{weights}, step {}", evaluation.step)),
            (
                "answers",
                format!(
                    "means over {} symmetries of the views{}",
                    evaluation.symmetries,
                    facts.joined_measures().map_or("", |_| ", calibrated together with measures of the node")
                ),
            ),
        ]),
    )
}

fn training_data(facts: &Facts<'_>) -> CardSection {
    let mut rows = named([("dataset", facts.folder.identity().dataset_digest.to_string())]);
    if let Some(on) = facts.trained_on {
        let by_region = |counts: &[u64]| {
            let of_region = |(name, count): (&String, &u64)| format!("{name} {count}");
            facts.evaluation.measured.regions.iter().zip(counts).map(of_region).collect::<Vec<_>>().join(", ")
        };
        let status = |code: usize| on.labels.metastasis.get(code).copied().unwrap_or(0);
        rows.extend(named([
            ("patients", format!("{} for training, {} for validation", on.train.len(), on.validation.len())),
            ("status of training nodes", format!("{} metastatic, {} benign", status(1), status(0))),
            ("region of training nodes", by_region(&on.labels.region)),
        ]));
    }
    rows.extend(facts.scans());
    let mut section = pairs("Training data", rows);
    if facts.skipped_rows > 0 {
        let rows = counted(facts.skipped_rows, "row", "rows");
        section
            .paragraphs
            .push(format!("The training went on without {rows} of damaged row groups, counted in each epoch."));
    }
    if facts.trained_on.is_none() {
        section.paragraphs.push("The run keeps no record of whom it was trained on.".to_owned());
    }
    section
}

fn evaluation_data(facts: &Facts<'_>) -> CardSection {
    let built = &facts.manifest.description.program;
    let mut rows = named([
        ("dataset", facts.evaluation.dataset_digest.to_string()),
        ("built by", format!("{} {}", built.name, built.version)),
        ("files", facts.files()),
        ("judged", facts.judged()),
        ("status", facts.statuses()),
    ]);
    let counted = [
        ("region", facts.counts(|row| row.region_name.clone())),
        ("evidence of the status", facts.evidence()),
        ("status given for", facts.counts(|row| row.metastasis.map(|_| row.level.name().to_owned()))),
        ("form of the annotation", facts.counts(|row| Some(row.label_source.clone()))),
    ];
    rows.extend(counted.into_iter().filter_map(|(what, value)| Some((what.to_owned(), value?))));
    let mut section = pairs("Evaluation data", rows);
    let seen = &facts.evaluation.seen.sentence;
    if !seen.is_empty() {
        section.paragraphs.push(format!("Note: {seen}."));
    }
    section
}

fn figures(facts: &Facts<'_>) -> CardSection {
    let evaluation = facts.evaluation;
    let pooled = evaluation.measured.heads.iter().find(|head| head.head == PredictionHead::Pooled);
    let figures = pooled.map(|head| head.figures.as_slice()).unwrap_or_default();
    let counts = |figure: &Figure| format!("{} / {}", figure.samples, figure.patients);
    let rows = figures.iter().map(|figure| figure.cells().into_iter().chain([counts(figure)]).collect());
    let columns = vec!["dimension", "metric", "value\t", "95 % interval\t", "majority class\t", "nodes / patients\t"];
    let mut sentences: Vec<String> = vec!["Intervals are 95 % bootstrap intervals over patients.".to_owned()];
    let silent = evaluation.measured.claims.iter().filter(|claim| !claim.claimed).map(|claim| claim.sentence.clone());
    let readers = evaluation.readers.comparisons.iter().map(|comparison| comparison.sentence.clone());
    let coverage = evaluation.coverage.iter().flat_map(|coverage| coverage.sentences());
    let operating = evaluation.operating.iter().flat_map(|operating| operating.sentences());
    let with_stop = |sentence: String| format!("{sentence}.");
    sentences.extend(silent.chain(readers).chain(coverage).chain(operating).map(with_stop));
    let groups = evaluation.subgroups.groups.len();
    if groups > 0 {
        let claimed = evaluation.subgroups.claimed().count();
        let file = facts.file("evaluation.json");
        sentences.push(format!("Of {groups} subgroups {claimed} have figures; {file} holds them."));
    }
    let table = (!figures.is_empty()).then(|| CardTable { columns, rows: rows.collect() });
    CardSection { title: "Figures", paragraphs: sentences, table }
}

fn settings(facts: &Facts<'_>) -> CardSection {
    let rows = [
        ("epochs", "/epochs"),
        ("most steps", "/max_steps"),
        ("rows in a step", "/batch_size"),
        ("optimiser", "/optimizer/method"),
        ("schedule", "/schedule/kind"),
        ("largest learning rate", "/schedule/peak"),
        ("limit of the gradient norm", "/clip_norm"),
        ("average of the weights", "/average_decay"),
        ("precision", "/precision"),
        ("gradients compared at", "/scope"),
        ("class weights, beta of the effective number", "/loss/effective_number_beta"),
        ("focal gamma", "/loss/focal_gamma"),
        ("label smoothing", "/loss/label_smoothing"),
        ("seed", "/seed"),
    ];
    let rows = rows.into_iter().map(|(what, pointer)| (what.to_owned(), facts.setting(pointer))).collect();
    let mut section = pairs("Settings", rows);
    section.paragraphs.push("All settings are in config.resolved.toml of the run folder.".to_owned());
    section
}

fn provenance(facts: &Facts<'_>) -> CardSection {
    let identity = facts.folder.identity();
    pairs(
        "Provenance",
        named([
            ("program", format!("{} {}", identity.program.name, identity.program.version)),
            ("weights", facts.weights.to_string()),
            ("configuration", identity.config_digest.to_string()),
            ("trained on dataset", identity.dataset_digest.to_string()),
            ("judged on dataset", facts.evaluation.dataset_digest.to_string()),
            ("settings of that dataset", facts.manifest.description.config_digest.to_string()),
        ]),
    )
}

fn limits(facts: &Facts<'_>) -> CardSection {
    let evaluation = facts.evaluation;
    let mut paragraphs = vec![
        "Figures are of one training with one seed: the spread between trainings is in no interval.".to_owned(),
        "Subgroups are not corrected for their number.".to_owned(),
    ];
    if evaluation.architecture == Architecture::MtIds {
        paragraphs.push("The architecture follows an abstract; no equation is the paper's.".to_owned());
    }
    if facts.is_own_dataset() {
        paragraphs.push(
            "The judged patients are of the dataset that the run was trained on: nothing is said of other sites."
                .to_owned(),
        );
    }
    let with_status = || facts.rows.iter().filter(|row| row.metastasis.is_some());
    let tissue = with_status().filter(|row| matches!(row.evidence.letter(), "A" | "B")).count();
    paragraphs.push(format!(
        "Of {} judged statuses, {tissue} rest on histology or cytology; the others may be wrong themselves.",
        with_status().count()
    ));
    if evaluation.coverage.is_none() {
        paragraphs
            .push("No calibration of other patients is on record: probabilities are the network's own.".to_owned());
    }
    CardSection { title: "Limits", paragraphs, table: None }
}
