//! The answer in words, as a table of nodes (CSV), as JSON, and as a page.
//!
//! Invariant: all are made of one [`StudyAnswer`], so a node has the same class in each.

use std::io::Write;
use std::path::{Path, PathBuf};

use mtids_report::format::counted;
use mtids_report::table::{Align, Table};
use mtids_runtime::atomic;
use mtids_runtime::text::{no_formula, one_line};
use mtids_shards::Measure;

use super::answer::{NodeAnswer, PatientAnswer, StatusAnswer, StudyAnswer};
use super::page;
use super::place::files;
use crate::error::TrainError;

/// Most patients whose nodes the terminal lists.
const LISTED: usize = 20;

/// Writes `prediction.json`, `nodes.csv` and `report.html` into a folder, which is made where it is missing; returns their paths.
///
/// # Errors
/// [`TrainError::Io`].
pub fn write(answer: &StudyAnswer, folder: &Path) -> Result<[PathBuf; 3], TrainError> {
    std::fs::create_dir_all(folder).map_err(|error| TrainError::io(folder, error))?;
    let [csv_path, page_path, json_path] = files(folder);
    let mut csv = Vec::new();
    nodes_csv(&mut csv, answer).map_err(|error| TrainError::io(&csv_path, error))?;
    atomic::write(&csv_path, &csv).map_err(|error| TrainError::io(&csv_path, error))?;
    let html = page::page_of(answer);
    atomic::write(&page_path, html.as_bytes()).map_err(|error| TrainError::io(&page_path, error))?;
    let json = json(answer).map_err(|error| TrainError::io(&json_path, error.into()))?;
    atomic::write(&json_path, json.as_bytes()).map_err(|error| TrainError::io(&json_path, error))?;
    Ok([json_path, csv_path, page_path])
}

/// The answer as JSON, keys sorted.
///
/// # Errors
/// None for an answer of this program.
pub fn json(answer: &StudyAnswer) -> Result<String, serde_json::Error> {
    let mut value = serde_json::to_value(answer)?;
    value.sort_all_objects();
    Ok(format!("{value:#}\n"))
}

/// One row per node. Unknown values are empty cells; several entries of one cell are divided by semicolons.
///
/// # Errors
/// Any error of `out`.
pub fn nodes_csv(out: &mut dyn Write, answer: &StudyAnswer) -> std::io::Result<()> {
    let mut table = csv::Writer::from_writer(out);
    let fixed = [
        "patient_id",
        "study_uid",
        "series_uid",
        "instance_uid",
        "slice",
        "node",
        "x_mm",
        "y_mm",
        "z_mm",
        "source",
        "given_stations",
        "given_status",
        "region",
        "p_region",
        "status",
        "p_metastatic",
        "p_least",
        "p_most",
        "p_uncalibrated",
        "set",
        "outside_training",
        "p_network",
        "p_measures",
    ];
    let measures = Measure::ALL.iter().map(|measure| measure.name().to_owned());
    table.write_record(fixed.map(str::to_owned).into_iter().chain(measures))?;
    for (patient, node) in
        answer.patients.iter().flat_map(|patient| patient.nodes.iter().map(move |node| (patient, node)))
    {
        let status = node.status.as_ref();
        let number = |value: Option<f64>| value.map(|p| format!("{p:.6}")).unwrap_or_default();
        let [x, y, z] = node.center_mm.map(|mm| format!("{mm:.3}"));
        let cells = [
            // It comes from files of others, and a spreadsheet runs what looks like a formula.
            no_formula(&one_line(&patient.patient_id)),
            node.study_uid.clone(),
            node.series_uid.clone(),
            node.instance_uid.clone().unwrap_or_default(),
            node.slice.map(|slice| slice.to_string()).unwrap_or_default(),
            node.number.to_string(),
            x,
            y,
            z,
            node.source.clone(),
            node.given_stations.join("; "),
            node.given_status.clone().unwrap_or_default(),
            status.map(|one| one.region.clone()).unwrap_or_default(),
            number(status.map(|one| one.region_probability)),
            status.map(|one| StatusAnswer::word(one.metastatic).to_owned()).unwrap_or_default(),
            number(status.map(|one| one.probability)),
            number(status.map(|one| one.least)),
            number(status.map(|one| one.most)),
            number(status.map(|one| one.network_probability)),
            status.and_then(|one| one.set.as_ref()).map(|set| set.join("; ")).unwrap_or_default(),
            node.outside_training.join("; "),
            number(status.and_then(|one| one.network_calibrated)),
            number(status.and_then(|one| one.measures_probability)),
        ];
        let measures =
            Measure::ALL.iter().map(|measure| node.grown.get(measure.name()).map(f32::to_string).unwrap_or_default());
        table.write_record(cells.into_iter().chain(measures))?;
    }
    table.flush()
}

/// The answer in words, for a terminal.
pub fn text(answer: &StudyAnswer) -> String {
    let mut text = String::new();
    for patient in answer.patients.iter().take(LISTED) {
        text.push_str(&patient_text(patient, !answer.runs.is_empty()));
    }
    if let Some(more) = answer.patients.len().checked_sub(LISTED).filter(|&more| more > 0) {
        text.push_str(&format!("\n  {more} more patients, in the files\n"));
    }
    let reasons = [
        ("refused", &answer.files_refused, ["file", "files"]),
        ("rejected", &answer.candidates_rejected, ["entry of the annotations", "entries of the annotations"]),
        ("without candidate", &answer.files_without_candidate, ["file", "files"]),
    ];
    text.push('\n');
    for (what, by_reason, [one, many]) in reasons {
        for (reason, count) in by_reason {
            text.push_str(&format!("  {what}: {}, {reason}\n", counted(*count, one, many)));
        }
    }
    for id in answer.patients_without_candidate.iter().take(LISTED) {
        text.push_str(&format!("  patient {id}: no candidate, so nothing is said\n"));
    }
    if let Some(more) = answer.patients_without_candidate.len().checked_sub(LISTED).filter(|&more| more > 0) {
        text.push_str(&format!("  {more} more patients without candidate, in the files\n"));
    }
    let runs = answer.runs.len();
    let of_runs = |count: usize| if runs == 1 { String::new() } else { format!(" ({count} of {runs} runs)") };
    let uncalibrated = answer.runs.iter().filter(|run| !run.calibrated).count();
    if uncalibrated > 0 {
        // A mean of calibrated and other probabilities would be neither.
        let why = if runs == 1 { "" } else { ", for not all runs are" };
        text.push_str(&format!(
            "  not calibrated{why}: probabilities are the network's own, and there are no sets; see `mtids-train calibrate`\n"
        ));
    }
    let unfinished = answer.runs.iter().filter(|run| !run.finished).count();
    if unfinished > 0 {
        text.push_str(&format!("  the training has not ended{}: weights of a step on the way\n", of_runs(unfinished)));
    }
    let with_measures = answer.runs.iter().filter(|run| run.with_measures).count();
    if with_measures > 0 {
        text.push_str(&format!(
            "  p metastatic joins what the network says with measures of the region grown from the centre{}\n",
            of_runs(with_measures)
        ));
    }
    text.push_str(&format!("  {}\n", answer.notice));
    text
}

fn patient_text(patient: &PatientAnswer, asked: bool) -> String {
    let mut text = format!(
        "\n  patient {}: {}\n",
        patient.patient_id,
        counted((patient.nodes.len() + patient.left_out.len()) as u64, "candidate", "candidates")
    );
    let has_range = patient.nodes.iter().filter_map(|node| node.status.as_ref()).any(|one| one.least < one.most);
    let has_set = patient.nodes.iter().filter_map(|node| node.status.as_ref()).any(|one| one.set.is_some());
    let series = patient.series();
    let has_given = patient.nodes.iter().any(|node| node.given_status.is_some());
    let mut columns = vec![("node", Align::Right)];
    columns.extend((series.len() > 1).then_some(("series", Align::Right)));
    columns.extend([("x, y, z (LPS mm)", Align::Right), ("short axis mm", Align::Right)]);
    columns.extend(has_given.then_some(("given", Align::Left)));
    if asked {
        columns.extend([("region", Align::Left), ("p region", Align::Right), ("status", Align::Left)]);
        columns.push(("p metastatic", Align::Right));
        columns.extend(has_range.then_some(("of the ensemble", Align::Right)));
        columns.extend(has_set.then_some(("not excluded", Align::Left)));
    }
    columns.push(("", Align::Left));
    let mut table = Table::new(columns);
    let mut notes: Vec<&str> = Vec::new();
    for node in &patient.nodes {
        let mut cells = vec![node.number.to_string()];
        cells.extend(
            series.iter().position(|uid| *uid == node.series_uid && series.len() > 1).map(|n| (n + 1).to_string()),
        );
        cells.extend(place_and_size(node));
        cells.extend(has_given.then(|| node.given_status.clone().unwrap_or_default()));
        cells.extend(asked_cells(node, asked, has_range, has_set, &mut notes));
        table.row(cells);
    }
    if !table.is_empty() {
        text.push_str(&table.render());
    }
    if series.len() > 1 {
        for (n, uid) in series.iter().enumerate() {
            let node = patient.nodes.iter().find(|node| node.series_uid == *uid);
            let study = node.map_or("", |node| node.study_uid.as_str());
            text.push_str(&format!("  series {}: {uid} of study {study}\n", n + 1));
        }
    }
    for (n, note) in notes.iter().enumerate() {
        text.push_str(&format!("  ({}) caution: {note}\n", n + 1));
    }
    for one in &patient.left_out {
        let [x, y, z] = one.center_mm;
        text.push_str(&format!("  left out: candidate at {x:.1}, {y:.1}, {z:.1}, {}\n", one.reason));
    }
    if asked && !patient.nodes.is_empty() {
        let involved = patient.regions.iter().filter(|region| region.metastatic > 0);
        let words: Vec<String> = involved
            .map(|region| {
                format!("{} ({} of {}, p up to {:.2})", region.region, region.metastatic, region.nodes, region.most)
            })
            .collect();
        let words = if words.is_empty() { "none".to_owned() } else { words.join(", ") };
        text.push_str(&format!("  regions read as metastatic: {words}\n"));
    }
    if let Some(nodal) = &patient.nodal {
        text.push_str(&format!(
            "  N category of these candidates, {}th edition, primary tumour {}: {}\n",
            nodal.edition, nodal.primary_side, nodal.category
        ));
    }
    let contradicted = patient.nodes.iter().filter(|node| node.is_contradicted()).count();
    if contradicted > 0 {
        text.push_str(&format!("  read otherwise than given: {}\n", counted(contradicted as u64, "node", "nodes")));
    }
    if let Some(why) = &patient.nodal_missing {
        text.push_str(&format!("  no N category: {why}\n"));
    }
    text
}

fn place_and_size(node: &NodeAnswer) -> [String; 2] {
    let [x, y, z] = node.center_mm;
    let axis = node.short_axis_mm().map_or_else(|| "–".to_owned(), |mm| format!("{mm:.1}"));
    [format!("{x:.1}, {y:.1}, {z:.1}"), axis]
}

fn asked_cells<'a>(
    node: &'a NodeAnswer,
    asked: bool,
    has_range: bool,
    has_set: bool,
    notes: &mut Vec<&'a str>,
) -> Vec<String> {
    let mut cells = Vec::new();
    if let (true, Some(one)) = (asked, &node.status) {
        cells.extend([one.region.clone(), format!("{:.2}", one.region_probability)]);
        cells.extend([StatusAnswer::word(one.metastatic).to_owned(), format!("{:.2}", one.probability)]);
        cells.extend(has_range.then(|| format!("{:.2} to {:.2}", one.least, one.most)));
        cells.extend(has_set.then(|| one.set_text().unwrap_or_default()));
    }
    let marks: Vec<String> = node
        .outside_training
        .iter()
        .map(|note| {
            let known = notes.iter().position(|known| known == note);
            let at = known.unwrap_or_else(|| {
                notes.push(note);
                notes.len() - 1
            });
            format!("({})", at + 1)
        })
        .collect();
    cells.push(marks.join(" "));
    cells
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::place;
    use mtids_runtime::provenance::Program;
    use std::collections::BTreeMap;

    #[test]
    fn an_answer_is_known_for_one_by_what_it_writes() {
        let answer = StudyAnswer {
            notice: super::super::NOTICE.to_owned(),
            program: Program::new("test", "0"),
            runs: Vec::new(),
            patients: Vec::new(),
            patients_without_candidate: Vec::new(),
            files_refused: BTreeMap::new(),
            files_without_candidate: BTreeMap::new(),
            candidates_rejected: BTreeMap::new(),
        };
        let out = tempfile::tempdir().unwrap();
        let (_, [table, ..]) = (write(&answer, out.path()).unwrap(), files(out.path()));
        assert!(std::fs::read_to_string(table).unwrap().starts_with(place::TABLE_BEGINNING));
        assert!(place::refuse_foreign(out.path(), None, &[]).is_ok());
    }
}
