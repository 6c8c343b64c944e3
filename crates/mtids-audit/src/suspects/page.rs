//! Suspects as a page: how many there are, the confident joint, and the first ones with pictures.

use std::collections::BTreeMap;

use maud::{Markup, html};
use mtids_report::chart::heat_map;
use mtids_report::format::{count, metric, percent};
use mtids_report::page::{Section, facts, figure, table};
use mtids_report::picture::Picture;

use super::found::{Dimension, Judged, Suspect, Suspects};
use super::output::dimension_cells;

/// Most suspects of a dimension that the page lists; the table has all.
const MOST_LISTED: usize = 100;

/// Pictures of the first suspects of each dimension.
#[derive(Clone, Debug, Default)]
pub struct Pictures {
    /// Ranks up to this one have a picture.
    pub most: u64,
    /// Pictures of rows by their key.
    pub of_rows: BTreeMap<String, Picture>,
    /// Side of a plane, mm.
    pub field_mm: f64,
}

impl Pictures {
    /// Each suspect that has a picture, under the name of its file: dimension and rank.
    pub fn files<'p>(&'p self, suspects: &[Suspect]) -> Vec<(String, &'p Picture)> {
        let shown = suspects.iter().filter(|one| one.rank <= self.most);
        let file = |one: &Suspect| {
            let picture = self.of_rows.get(&one.finding)?;
            Some((format!("{}-{:04}.png", one.dimension.name(), one.rank), picture))
        };
        shown.filter_map(file).collect()
    }
}

/// Whether a file has the name of a suspect's picture.
pub fn is_picture(name: &str) -> bool {
    let rank = |dimension: Dimension| name.strip_prefix(dimension.name())?.strip_prefix('-')?.strip_suffix(".png");
    [Dimension::Region, Dimension::Metastasis]
        .into_iter()
        .filter_map(rank)
        .any(|rank| rank.len() >= 4 && rank.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The page as HTML text.
pub fn page(found: &Suspects, pictures: &Pictures) -> String {
    let lead = "Rows whose label is likely wrong, by probabilities that no model of their own patients gave. A suspect is a question to a \
                person, no answer. Research data, not for diagnosis.";
    let mut sections = vec![Section::new("overview", "Overview", overview(found))];
    for judged in &found.dimensions {
        let of_dimension: Vec<&Suspect> =
            found.suspects.iter().filter(|one| one.dimension == judged.dimension).collect();
        let title = if judged.dimension == Dimension::Region { "Region" } else { "Metastasis" };
        let body = html! {
            (joint(judged))
            @if of_dimension.is_empty() { p class="good" { "No suspect." } }
            @else { (shown(&of_dimension, pictures)) (listed(&of_dimension, judged)) }
        };
        sections.push(Section::new(judged.dimension.name(), title, body));
    }
    sections.push(Section::new("origin", "Source", origin(found)));
    mtids_report::page::page("Suspects", lead, &sections)
}

fn overview(found: &Suspects) -> Markup {
    let names: Vec<(String, String)> = found
        .dimensions
        .iter()
        .map(|judged| (format!("Suspects, {}", judged.dimension.name()), count(judged.suspects)))
        .collect();
    let pairs: Vec<(&str, String)> = names.iter().map(|(name, number)| (name.as_str(), number.clone())).collect();
    let columns =
        ["dimension", "judged\t", "patients\t", "suspects\t", "wrong by model\t", "by confident joint\t", "95 %\t"];
    let rows: Vec<Vec<String>> = found.dimensions.iter().map(dimension_cells).collect();
    html! {
        (facts(&pairs))
        @if !rows.is_empty() { (table(&columns, &rows)) }
        @for note in &found.notes { p class="note" { (note) } }
        p class="note" {
            "A suspect is wrong with a probability of " (found.config.least_probability) " or more: the model's probabilities of its classes, what \
             its evidence is worth, and slips in " (percent(found.config.slip_share)) " of the labels. The confident joint counts rows that their \
             model is surer of another class than that class's own rows are on average; a weak model counts too many. Its interval resamples \
             patients."
        }
        p class="note" {
            "corrections-template.csv has a line for each suspect. Copy it, look at the nodes, remove lines of right labels, fill in who decided \
             and why, and give it to mtids-prep build --corrections."
        }
    }
}

fn joint(judged: &Judged) -> Markup {
    let title = "Given class against the one that models are sure of";
    // Scaled counts are no whole numbers, and a cell has room for those.
    let cells: Vec<Vec<f64>> =
        judged.confident_joint.iter().map(|row| row.iter().map(|count| count.round()).collect()).collect();
    let map = heat_map(title, "given", "likely", &judged.classes, &judged.classes, &cells);
    html! {
        (figure(title, &map))
        p class="note" {
            "Cells are the confident joint: rows whose model is sure of a class, scaled to all. The likeliest class alone is the given one in "
            (percent(judged.agreement)) " of the rows"
            @if let Some(auroc) = judged.auroc { ", AUROC against the given labels " (metric(Some(auroc))) }
            "."
        }
    }
}

/// The suspects that have a picture.
fn shown(suspects: &[&Suspect], pictures: &Pictures) -> Markup {
    let picture = |one: &&Suspect| pictures.of_rows.get(&one.finding)?.data_uri().ok();
    // A row with a picture may be further down in the other dimension.
    let first = suspects.iter().filter(|one| one.rank <= pictures.most);
    let with: Vec<(&Suspect, String)> = first.filter_map(|one| Some((*one, picture(one)?))).collect();
    html! {
        @if !with.is_empty() {
            div class="two" {
                @for (one, uri) in &with {
                    figure {
                        figcaption { (one.rank) ". " (one.given) ", likely " (one.suggested) " (" (metric(Some(one.p_wrong))) ")" }
                        img src=(uri) style="max-width:100%"
                            alt=(format!("patch of {}, axial, coronal and sagittal plane", one.finding));
                        p class="note id" { (one.finding) }
                    }
                }
            }
            p class="note" {
                "Axial, coronal and sagittal plane, " (format!("{:.0}", pictures.field_mm)) " mm wide, window 40 ± 200 HU; the patient's right is on the left. \
                 These are voxels of patients: keep the page where the dataset is."
            }
        }
    }
}

fn listed(suspects: &[&Suspect], judged: &Judged) -> Markup {
    let row = |one: &&Suspect| {
        let size = one.short_axis_mm.map_or_else(|| "–".to_owned(), |mm| format!("{mm:.1}"));
        let words = [one.given.as_str(), one.suggested.as_str(), one.evidence.letter()].map(str::to_owned);
        let probabilities = [one.p_given, one.p_suggested, one.p_wrong].map(|p| metric(Some(p)));
        let numbers = [size].into_iter().chain(probabilities);
        [count(one.rank)].into_iter().chain(words).chain(numbers).chain([one.finding.clone()]).collect()
    };
    let rows: Vec<Vec<String>> = suspects.iter().take(MOST_LISTED).map(row).collect();
    let columns = [
        "rank\t",
        "given",
        "suggested",
        "evidence",
        "short axis, mm\t",
        "p given\t",
        "p suggested\t",
        "p wrong\t",
        "finding",
    ];
    html! {
        (table(&columns, &rows))
        @if judged.suspects > rows.len() as u64 {
            p class="note" { "The first " (rows.len()) " of " (count(judged.suspects)) "; suspects.csv has all." }
        }
    }
}

fn origin(found: &Suspects) -> Markup {
    let mut rows = vec![vec!["dataset".to_owned(), found.dataset_digest.to_string()]];
    if found.predictions.is_empty() {
        let folds = format!("models of place and measures, {} folds of patients", found.config.folds);
        rows.push(vec!["probabilities".to_owned(), folds]);
    }
    rows.extend(found.predictions.iter().map(|table| vec!["predictions".to_owned(), table.digest.to_string()]));
    rows.push(vec!["program".to_owned(), format!("{} {}", found.program.name, found.program.version)]);
    table(&["what", "which"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_of_suspects_are_known_by_their_names() {
        assert!(is_picture("region-0001.png") && is_picture("metastasis-12345.png"));
        for other in ["region-1.png", "region-0001.jpg", "regional-0001.png", "upper-benign.png", "region-000a.png"] {
            assert!(!is_picture(other), "{other}");
        }
    }
}
