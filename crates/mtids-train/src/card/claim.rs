//! CLAIM, 2024 update, items 1 to 44: Tejani et al., Radiology: Artificial Intelligence 2024;6(4):e240300. Topics are in our words.

use super::facts::Facts;
use super::item::{Item, author, known, table};
use super::section::CardSection;

/// The items as a part of the card.
pub(super) fn section(facts: &Facts<'_>) -> CardSection {
    let paragraphs = vec![
        "Checklist for Artificial Intelligence in Medical Imaging, 2024 update (Tejani et al., Radiol Artif Intell 2024;6(4):e240300)."
            .to_owned(),
    ];
    CardSection { title: "CLAIM", paragraphs, table: Some(table(ITEMS, facts)) }
}

const ITEMS: &[Item] = &[
    author("1", "title or abstract: AI methodology and category"),
    author("2", "structured summary"),
    author("3", "background, intended use and role"),
    author("4", "aims, objectives, hypotheses"),
    author("5", "prospective or retrospective"),
    author("6", "study goal"),
    known("7", "data sources", |facts| {
        Some(format!("dataset {}; origin: author", facts.evaluation.dataset_digest.short()))
    }),
    author("8", "inclusion and exclusion criteria"),
    known("9", "data preprocessing", |facts| Some(format!("voxels in HU, resampled: {}", facts.views()))),
    known("10", "selection of data subsets", |_| {
        Some("views around annotated points; the rest of a scan is not read".to_owned())
    }),
    known("11", "de-identification", |_| {
        Some("keyed pseudonyms of patients, studies and series; no name, identifier or date in a row".to_owned())
    }),
    known("12", "missing data", |_| {
        Some("a label that is not known trains and judges nothing that needs it; why it is missing: author".to_owned())
    }),
    known("13", "image acquisition protocol", |facts| {
        let scans = facts.scans();
        let words: Vec<String> = scans.iter().map(|(what, value)| format!("{what} {value}")).collect();
        (!words.is_empty()).then(|| format!("of the training: {}; protocol: author", words.join("; ")))
    }),
    known("14", "reference standard: method", |facts| {
        Some(format!("evidence of the judged statuses: {}; method: author", facts.evidence()?))
    }),
    author("15", "reference standard: rationale"),
    known("16", "reference standard: source of annotations", |facts| {
        let forms = facts.counts(|row| Some(row.label_source.clone()))?;
        Some(format!("form of the judged annotations: {forms}; who made them: author"))
    }),
    author("17", "annotation of the test set"),
    author("18", "variability of annotators"),
    known("19", "partitions: assignment", |facts| {
        Some(format!("{}; how they were drawn is in config.resolved.toml of the dataset", facts.partitions()))
    }),
    known("20", "partitions: level at which they are disjoint", |facts| {
        Some(format!("patient: {}", facts.acquaintance()))
    }),
    author("21", "intended sample size"),
    known("22", "model description", |facts| {
        let evaluation = facts.evaluation;
        Some(format!(
            "{}; input {}; output probabilities of {} pairs of region and status{}",
            evaluation.architecture.title(),
            facts.views(),
            2 * evaluation.measured.regions.len(),
            facts
                .joined_measures()
                .map(|names| format!("; status joined with a logistic reader of measures: {names}"))
                .unwrap_or_default()
        ))
    }),
    known("23", "software", |facts| {
        let program = &facts.folder.identity().program;
        Some(format!("{} {}, in Rust on the library candle", program.name, program.version))
    }),
    known("24", "initialisation of parameters", |facts| {
        Some(format!("at random from seed {}; nothing is pretrained", facts.folder.identity().seed))
    }),
    known("25", "training approach", |facts| {
        Some(format!(
            "{} with {}, {} rows in a step, learning rate up to {} ({}), step {} is judged; augmentation in config.resolved.toml",
            facts.setting("/optimizer/method"),
            facts.evaluation.balancer,
            facts.setting("/batch_size"),
            facts.setting("/schedule/peak"),
            facts.setting("/schedule/kind"),
            facts.evaluation.step
        ))
    }),
    known("26", "selection of the final model", |facts| {
        let best = "weights of the epoch with the best macro-F1 on validation patients";
        let last = "last weights of the schedule, without selection";
        let chosen = if facts.evaluation.best_on_validation { best } else { last };
        Some(format!("{chosen}; selection of settings: author"))
    }),
    known("27", "ensembling", |facts| {
        let measures = facts.joined_measures().map_or("", |_| ", joined with a logistic reader of measures");
        Some(format!(
            "none: one network, averaged over {} symmetries of its input{measures}",
            facts.evaluation.symmetries
        ))
    }),
    known("28", "performance metrics", |_| {
        Some(
            "AUROC, average precision, sensitivity, specificity, calibration, net benefit, accuracy of the region"
                .to_owned(),
        )
    }),
    known("29", "significance and uncertainty", |_| {
        Some("95 % bootstrap intervals over patients, paired where readers are compared; none corrected for their number".to_owned())
    }),
    known("30", "robustness or sensitivity analysis", |facts| {
        let groups = facts.evaluation.subgroups.claimed().count();
        (groups > 0).then(|| format!("{groups} subgroups in {}; more: author", facts.file("evaluation.json")))
    }),
    known("31", "explainability", |facts| {
        let gates = !facts.evaluation.measured.gates.is_empty();
        gates.then(|| "use of shared experts by task and region; no map of the image".to_owned())
    }),
    known("32", "evaluation on internal data", |facts| {
        (facts.is_own_dataset() && facts.is_held_out()).then(|| format!("this evaluation: {}", facts.judged()))
    }),
    known("33", "testing on external data", |facts| {
        let external = format!("this evaluation, if the dataset is of other sites (author): {}", facts.judged());
        Some(if facts.is_own_dataset() { "not by this evaluation".to_owned() } else { external })
    }),
    author("34", "clinical trial registration"),
    known("35", "numbers included and excluded", |facts| Some(facts.files())),
    known("36", "characteristics of cases in each partition", |facts| {
        Some(format!("judged nodes: {}; training nodes under Training data; demographics: author", facts.statuses()))
    }),
    known("37", "performance with uncertainty", |facts| facts.performance()),
    known("38", "diagnostic performance and its precision", |facts| {
        facts
            .evaluation
            .operating
            .as_ref()
            .map(|_| "sensitivity and specificity at thresholds, see Decisions".to_owned())
    }),
    known("39", "failure analysis", |facts| {
        let failures = facts.failures;
        Some(format!(
            "{} metastases missed and {} false alarms at one half; the surest are pictured in {}; their analysis: author",
            failures.missed,
            failures.false_alarms,
            facts.file("report.html")
        ))
    }),
    known("40", "limitations", |_| Some("some under Limits; the others: author".to_owned())),
    author("41", "implications for practice"),
    author("42", "study protocol or technical details"),
    author("43", "availability of software, model and data"),
    author("44", "funding and role of funders"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_of_the_list_is_there_once_and_in_order() {
        let expected: Vec<String> = (1..=44).map(|number| number.to_string()).collect();
        assert_eq!(ITEMS.iter().map(|item| item.number).collect::<Vec<_>>(), expected);
    }
}
