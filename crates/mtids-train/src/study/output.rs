//! The answer in words, as a table of nodes (CSV), as JSON, and as a page.
//!
//! Invariant: all are made of one [`StudyAnswer`], so a node has the same class in each.

use std::io::Write;
use std::path::{Path, PathBuf};

use mtids_report::format::counted;
use mtids_report::table::{Align, Table};
use mtids_runtime::atomic;
use mtids_runtime::product::Product;
use mtids_shards::Measure;

use super::answer::{NodeAnswer, PatientAnswer, StatusAnswer, StudyAnswer};
use super::page;
use crate::error::TrainError;

/// Most patients whose nodes the terminal lists.
const LISTED: usize = 20;

/// The files of an answer.
const FILES: [&str; 3] = [Product::Answer.file(), "nodes.csv", "report.html"];

/// Removes the files of an earlier answer from a folder.
///
/// # Errors
/// [`TrainError::Io`].
pub(crate) fn clear(folder: &Path) -> Result<(), TrainError> {
    for path in FILES.map(|name| folder.join(name)) {
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(TrainError::io(&path, error)),
            _ => {}
        }
    }
    Ok(())
}

/// Writes `prediction.json`, `nodes.csv` and `report.html` into a folder, which is made where it is missing; returns their paths.
///
/// # Errors
/// [`TrainError::Io`].
pub fn write(answer: &StudyAnswer, folder: &Path) -> Result<[PathBuf; 3], TrainError> {
    std::fs::create_dir_all(folder).map_err(|error| TrainError::io(folder, error))?;
    let [json_path, csv_path, page_path] = FILES.map(|name| folder.join(name));
    let mut csv = Vec::new();
    nodes_csv(&mut csv, answer).map_err(|error| TrainError::io(&csv_path, error))?;
    atomic::write(&csv_path, &csv).map_err(|error| TrainError::io(&csv_path, error))?;
    let json = json(answer).map_err(|error| TrainError::io(&json_path, error.into()))?;
    atomic::write(&json_path, json.as_bytes()).map_err(|error| TrainError::io(&json_path, error))?;
    let html = page::page_of(answer);
    atomic::write(&page_path, html.as_bytes()).map_err(|error| TrainError::io(&page_path, error))?;
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
            patient.patient_id.clone(),
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
        text.push_str(&format!(
            "  not calibrated{}: probabilities are the network's own, and there are no sets; see `mtids-train calibrate`\n",
            of_runs(uncalibrated)
        ));
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
        counted(patient.nodes.len() as u64, "candidate", "candidates")
    );
    let has_range = patient.nodes.iter().filter_map(|node| node.status.as_ref()).any(|one| one.least < one.most);
    let has_set = patient.nodes.iter().filter_map(|node| node.status.as_ref()).any(|one| one.set.is_some());
    let mut columns = vec![("node", Align::Right), ("x, y, z (LPS mm)", Align::Right), ("short axis mm", Align::Right)];
    if asked {
        columns.extend([("region", Align::Left), ("p region", Align::Right), ("p metastatic", Align::Right)]);
        columns.extend(has_range.then_some(("of the ensemble", Align::Right)));
        columns.extend(has_set.then_some(("not excluded", Align::Left)));
    }
    columns.push(("", Align::Left));
    let mut table = Table::new(columns);
    let mut notes: Vec<&str> = Vec::new();
    for node in &patient.nodes {
        table.row(node_cells(node, asked, has_range, has_set, &mut notes));
    }
    if !table.is_empty() {
        text.push_str(&table.render());
    }
    for (n, note) in notes.iter().enumerate() {
        text.push_str(&format!("  ({}) outside the training: {note}\n", n + 1));
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
    text
}

fn node_cells<'a>(
    node: &'a NodeAnswer,
    asked: bool,
    has_range: bool,
    has_set: bool,
    notes: &mut Vec<&'a str>,
) -> Vec<String> {
    let [x, y, z] = node.center_mm;
    let axis = node.short_axis_mm();
    let mut cells = vec![
        node.number.to_string(),
        format!("{x:.1}, {y:.1}, {z:.1}"),
        axis.map_or_else(|| "–".to_owned(), |mm| format!("{mm:.1}")),
    ];
    if let (true, Some(one)) = (asked, &node.status) {
        cells.extend([one.region.clone(), format!("{:.2}", one.region_probability), format!("{:.2}", one.probability)]);
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
