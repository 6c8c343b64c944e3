//! TRIPOD+AI, items 1 to 27c: Collins et al., BMJ 2024;385:e078378. Topics are in our words.

use super::facts::Facts;
use super::item::{Item, author, known, table};
use super::section::CardSection;

/// The items as a part of the card.
pub(super) fn section(facts: &Facts<'_>) -> CardSection {
    let paragraphs = vec![
        "TRIPOD+AI (Collins et al., BMJ 2024;385:e078378). What the run does not know is left to the author; what it knows is to be checked."
            .to_owned(),
    ];
    CardSection { title: "TRIPOD+AI", paragraphs, table: Some(table(ITEMS, facts)) }
}

const ITEMS: &[Item] = &[
    author("1", "title"),
    author("2", "abstract"),
    author("3a", "background: healthcare context and rationale"),
    known("3b", "background: target population, purpose, users", |_| {
        Some("purpose: research, see Intended use; population, place in the care pathway and users: author".to_owned())
    }),
    author("3c", "background: known health inequalities"),
    author("4", "objectives"),
    known("5a", "data: sources and representativeness", |facts| {
        let other = if facts.is_own_dataset() { "the same dataset" } else { "another dataset" };
        Some(format!("trained and judged on {other}, see Provenance; origin, rationale and representativeness: author"))
    }),
    author("5b", "data: dates of collection"),
    author("6a", "participants: setting and centres"),
    author("6b", "participants: eligibility criteria"),
    author("6c", "participants: treatments received"),
    known("7", "data preparation and quality checks", |facts| {
        Some(format!("voxels in HU, resampled: {}; {}", facts.views(), facts.files()))
    }),
    known("8a", "outcome: definition and assessment", |facts| {
        let evidence = facts.evidence().unwrap_or_else(|| "none stated".to_owned());
        Some(format!(
            "status of a node, benign or metastatic; evidence on the judged split: {evidence}; how and when assessed: author"
        ))
    }),
    author("8b", "outcome: assessors"),
    author("8c", "outcome: blinding"),
    known("9a", "predictors: choice", |facts| {
        let measures = facts.joined_measures().map_or("", |_| ", and measures of the region grown from it");
        Some(format!("the image around a node's point{measures}; no clinical variable"))
    }),
    known("9b", "predictors: definition and measurement", |facts| {
        let measures = facts.joined_measures().map(|names| format!("; measures: {names}")).unwrap_or_default();
        Some(format!("{}{measures}; windows and crops in config.resolved.toml; blinding: author", facts.views()))
    }),
    author("9c", "predictors: assessors, here of the points of nodes"),
    author("10", "sample size"),
    known("11", "missing data", |facts| {
        let of_measures = "; a missing measure counts as its mean in training, and a node with less than half of them is answered without";
        Some(format!(
            "a status or region that is not known trains and judges nothing that needs it, and is never taken for benign{}; why labels are \
             missing: author",
            facts.joined_measures().map_or("", |_| of_measures)
        ))
    }),
    known("12a", "analysis: use of the data, partitions", |facts| Some(facts.partitions())),
    known("12b", "analysis: handling of predictors", |facts| {
        Some(format!(
            "grey-value windows to 0…1; settings in config.resolved.toml; averages over {} symmetries{}",
            facts.evaluation.symmetries,
            facts.joined_measures().map_or("", |_| "; measures standardised, lengths and volumes by their logarithm")
        ))
    }),
    known("12c", "analysis: type of model, building, internal validation", |facts| {
        let evaluation = facts.evaluation;
        let chosen = if evaluation.best_on_validation { "best epoch on validation patients" } else { "last weights" };
        Some(format!(
            "{} with {}, {} epochs at most, {chosen}{}; rationale and tuning: author",
            evaluation.architecture.title(),
            evaluation.balancer,
            facts.setting("/epochs"),
            facts.joined_measures().map_or("", |_| "; its status joined with a logistic reader of measures")
        ))
    }),
    known("12d", "analysis: heterogeneity across clusters", |facts| {
        let groups = facts.evaluation.subgroups.claimed().count();
        (groups > 0).then(|| {
            "nodes of a patient are drawn together in every interval; figures by scanner, see Subgroups; hospitals: author".to_owned()
        })
    }),
    known("12e", "analysis: performance measures and plots", |_| {
        Some(
            "AUROC, average precision, sensitivity, specificity, calibration error, Brier score, reliability, net benefit, confusion; \
             differences to the short axis on the same nodes"
                .to_owned(),
        )
    }),
    known("12f", "analysis: model updating", |facts| {
        facts.is_held_out().then(|| "none: nothing is fitted on judged patients".to_owned())
    }),
    known("12g", "analysis: how predictions were calculated", |facts| {
        let program = &facts.folder.identity().program;
        Some(format!(
            "mtids-train evaluate, run of {} {}; the network's predictions in predictions.csv, calibrated by calibration.json",
            program.name, program.version
        ))
    }),
    known("13", "class imbalance", |facts| {
        Some(format!(
            "class weights by the effective number of samples, beta {}; {}",
            facts.setting("/loss/effective_number_beta"),
            match (&facts.evaluation.coverage, facts.joined_measures()) {
                (_, Some(_)) =>
                    "probabilities of network and measures, joined by a logistic map on validation patients",
                (Some(_), None) => "probabilities recalibrated by a logistic map on validation patients",
                (None, None) => "no recalibration on record",
            }
        ))
    }),
    author("14", "fairness"),
    known("15", "model output and thresholds", |facts| {
        Some(format!("probabilities of region and status; {}; rationale: author", facts.thresholds()))
    }),
    known("16", "training versus evaluation", |facts| {
        (facts.is_own_dataset() && facts.is_held_out())
            .then(|| "parts of one dataset, other patients; differences within it: author".to_owned())
    }),
    author("17", "ethical approval"),
    author("18a", "funding"),
    author("18b", "conflicts of interest"),
    author("18c", "protocol"),
    author("18d", "registration"),
    author("18e", "data sharing"),
    known("18f", "code sharing", |facts| {
        let program = &facts.folder.identity().program;
        Some(format!("{} {}; where it can be had: author", program.name, program.version))
    }),
    author("19", "patient and public involvement"),
    known("20a", "participants: flow", |facts| Some(format!("{}; {}", facts.files(), facts.partitions()))),
    known("20b", "participants: characteristics", |facts| {
        let scanners = facts.counts(|row| Some(row.manufacturer.clone().unwrap_or_else(|| "not stated".to_owned())))?;
        Some(format!("nodes: {}; by manufacturer: {scanners}; demographics: author", facts.statuses()))
    }),
    known("20c", "participants: comparison with development data", |facts| {
        facts.trained_on.map(|_| "counts under Training data and Evaluation data; demographics: author".to_owned())
    }),
    known("21", "model development: participants and events", |facts| {
        Some(format!("{}; judged nodes: {}", facts.partitions(), facts.statuses()))
    }),
    known("22", "model specification", |facts| {
        let calibration = facts.evaluation.coverage.as_ref().map_or("", |_| " and calibration.json");
        Some(format!(
            "weights {} with config.resolved.toml{calibration} in the run folder; access: author",
            facts.weights
        ))
    }),
    known("23a", "model performance, with subgroups", |facts| {
        Some(format!("{}; subgroups in {}", facts.performance()?, facts.file("evaluation.json")))
    }),
    known("23b", "model performance: heterogeneity", |facts| {
        let groups = facts.evaluation.subgroups.claimed().count();
        (groups > 0)
            .then(|| format!("{groups} groups with figures in {}; hospitals: author", facts.file("evaluation.json")))
    }),
    known("24", "model updating: results", |_| Some("none".to_owned())),
    author("25", "interpretation"),
    known("26", "limitations", |_| Some("some under Limits; the others: author".to_owned())),
    known("27a", "usability: poor or missing input", |facts| {
        facts.range.as_ref().map(|_| {
            "mtids-train predict names scans outside the ranges of the training; what to do with them: author"
                .to_owned()
        })
    }),
    known("27b", "usability: interaction and expertise of users", |_| {
        Some("a user points at each node; expertise: author".to_owned())
    }),
    author("27c", "usability: next steps"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_of_the_list_is_there_once_and_in_order() {
        let letters = |number: u8| match number {
            3 | 6 | 8 | 9 | 20 | 27 => 3,
            5 | 23 => 2,
            12 => 7,
            18 => 6,
            _ => 0,
        };
        let expected: Vec<String> = (1..=27)
            .flat_map(|number| match letters(number) {
                0 => vec![number.to_string()],
                count => (b'a'..b'a' + count).map(|letter| format!("{number}{}", char::from(letter))).collect(),
            })
            .collect();
        assert_eq!(ITEMS.iter().map(|item| item.number).collect::<Vec<_>>(), expected);
        assert_eq!(ITEMS.len(), 52);
    }
}
