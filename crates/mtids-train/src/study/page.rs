//! The answer as one page without network: patients, then each node with its three planes.

use maud::{Markup, html};
use mtids_report::page::{Section, facts, page, table};

use super::answer::{NodeAnswer, PatientAnswer, RunAnswer, StatusAnswer, StudyAnswer};
use super::place::PAGE_TITLE;

/// The page.
pub(super) fn page_of(answer: &StudyAnswer) -> String {
    let lead = if answer.runs.is_empty() {
        "Candidates measured in mm and HU. Research software; nothing here is a diagnosis."
    } else {
        "In which mediastinal region each candidate lies, and whether it is read as metastatic, by a network or by network and measures. \
         Research software; nothing here is a diagnosis."
    };
    let mut sections = vec![Section::new("result", "Result", result(answer))];
    // One section, so that the list at the top stays short for any number of patients.
    sections.push(Section::new("nodes", "Nodes", html! { @for patient in &answer.patients { (of_patient(patient)) } }));
    if !answer.runs.is_empty() {
        sections.push(Section::new("source", "Source", source(answer)));
    }
    page(PAGE_TITLE, lead, &sections)
}

fn result(answer: &StudyAnswer) -> Markup {
    let nodes = || answer.patients.iter().flat_map(|patient| &patient.nodes);
    let metastatic = nodes().filter_map(|node| node.status.as_ref()).filter(|one| one.metastatic).count();
    let left_out: usize = answer.patients.iter().map(|patient| patient.left_out.len()).sum();
    let mut numbers =
        vec![("patients", answer.patients.len().to_string()), ("candidates", nodes().count().to_string())];
    if !answer.runs.is_empty() {
        numbers.push(("read as metastatic", metastatic.to_string()));
        let outside = nodes().filter(|node| !node.outside_training.is_empty()).count();
        numbers.push(("with a caution", outside.to_string()));
    }
    numbers.push(("left out", left_out.to_string()));
    let has_nodal = answer.patients.iter().any(|patient| patient.nodal.is_some());
    let mut columns = vec!["patient", "candidates\t", "left out\t", "metastatic\t", "regions read as metastatic"];
    columns.extend(has_nodal.then_some("N category"));
    let row = |patient: &PatientAnswer| {
        let involved: Vec<&str> =
            patient.regions.iter().filter(|one| one.metastatic > 0).map(|one| one.region.as_str()).collect();
        let count: usize = patient.regions.iter().map(|one| one.metastatic).sum();
        let words = if involved.is_empty() { "none".to_owned() } else { involved.join(", ") };
        let counts = [patient.nodes.len() + patient.left_out.len(), patient.left_out.len(), count];
        let mut cells = vec![patient.patient_id.clone()];
        cells.extend(counts.map(|count| count.to_string()));
        cells.push(words);
        cells.extend(has_nodal.then(|| patient.nodal.as_ref().map(|nodal| nodal.category.clone()).unwrap_or_default()));
        cells
    };
    let reasons: Vec<Vec<String>> = [
        ("refused files", &answer.files_refused),
        ("rejected annotations", &answer.candidates_rejected),
        ("files without candidate", &answer.files_without_candidate),
    ]
    .into_iter()
    .flat_map(|(what, by_reason)| {
        by_reason.iter().map(move |(reason, count)| vec![what.to_owned(), reason.clone(), count.to_string()])
    })
    .collect();
    html! {
        (facts(&numbers))
        @if !answer.runs.is_empty() {
            h3 { "Patients" }
            (table(&columns, &answer.patients.iter().map(row).collect::<Vec<_>>()))
            p class="note" {
                "Only candidates that were given are judged: a patient without a metastatic candidate may have nodes that nobody pointed at."
            }
        }
        @if !answer.patients_without_candidate.is_empty() {
            h3 { "Without candidate" }
            p { (answer.patients_without_candidate.join(", ")) ". Nothing is said of these patients." }
        }
        @if !reasons.is_empty() {
            h3 { "Not read" }
            (table(&["not read", "reason", "count\t"], &reasons))
        }
    }
}

fn of_patient(patient: &PatientAnswer) -> Markup {
    let left_out: Vec<Vec<String>> =
        patient.left_out.iter().map(|one| vec![place(one.center_mm), one.reason.clone()]).collect();
    html! {
        h3 { (patient.patient_id) }
        @if let Some(nodal) = &patient.nodal {
            p {
                "N category of these candidates, " (nodal.edition) "th edition, primary tumour " (nodal.primary_side) ": "
                strong { (nodal.category) }
            }
        }
        @if let Some(why) = &patient.nodal_missing { p class="warning" { "No N category: " (why) "." } }
        div class="two" { @for node in &patient.nodes { (of_node(node, patient.series().len() > 1)) } }
        @if !left_out.is_empty() { (table(&["candidate left out, x, y, z (LPS mm)", "reason"], &left_out)) }
    }
}

fn place([x, y, z]: [f64; 3]) -> String {
    format!("{x:.1}, {y:.1}, {z:.1}")
}

fn of_node(node: &NodeAnswer, names_series: bool) -> Markup {
    let mut rows = Vec::new();
    if let Some(one) = &node.status {
        rows.push(vec!["region".to_owned(), format!("{}, p {:.2}", one.region, one.region_probability)]);
        let range =
            if one.least < one.most { format!(" ({:.2} to {:.2})", one.least, one.most) } else { String::new() };
        rows.push(vec!["p metastatic".to_owned(), format!("{:.2}{range}", one.probability)]);
        if let (Some(network), Some(measures)) = (one.network_calibrated, one.measures_probability) {
            rows.push(vec!["each alone".to_owned(), format!("network {network:.2}, measures {measures:.2}")]);
        }
        rows.extend(one.set_text().map(|set| vec!["not excluded".to_owned(), set]));
    }
    rows.push(vec![
        "short axis".to_owned(),
        node.short_axis_mm().map_or_else(|| "not measured".to_owned(), |mm| format!("{mm:.1} mm")),
    ]);
    let slice = node.slice.map(|slice| format!(", slice {slice}")).unwrap_or_default();
    rows.push(vec!["place (LPS mm)".to_owned(), format!("{}{slice}", place(node.center_mm))]);
    if !node.given_stations.is_empty() {
        rows.push(vec!["given station".to_owned(), node.given_stations.join(" or ")]);
    }
    if let Some(given) = &node.given_status {
        let read = if node.is_contradicted() { ", read otherwise" } else { "" };
        rows.push(vec!["given status".to_owned(), format!("{given}{read}")]);
    }
    if names_series {
        rows.push(vec!["study".to_owned(), node.study_uid.clone()]);
        rows.push(vec!["series".to_owned(), node.series_uid.clone()]);
    }
    rows.extend(node.outside_training.iter().map(|what| vec!["caution".to_owned(), what.clone()]));
    let title = match &node.status {
        Some(one) => format!("Node {}: {}, {}", node.number, one.region, StatusAnswer::word(one.metastatic)),
        None => format!("Node {}", node.number),
    };
    html! {
        figure {
            figcaption { (title) }
            @if let Some(picture) = &node.picture {
                img src=(picture) width="576" height="192" style="max-width:100%;height:auto;image-rendering:auto"
                    alt=(format!("{title}: axial, coronal and sagittal plane, 58 mm wide, with the outline"));
            }
            (table(&["", ""], &rows))
        }
    }
}

fn source(answer: &StudyAnswer) -> Markup {
    let row = |run: &RunAnswer| {
        let short = |digest: &str| digest.chars().take(16).collect::<String>();
        vec![
            short(&run.weights),
            short(&run.configuration),
            short(&run.dataset),
            run.seed.to_string(),
            format!("{}{}", run.step, if run.finished { "" } else { ", training not ended" }),
            match (run.calibrated, run.with_measures) {
                (false, _) => "of the network, not calibrated",
                (true, false) => "of the network, calibrated",
                (true, true) => "of network and measures, calibrated",
            }
            .to_owned(),
        ]
    };
    let rows: Vec<Vec<String>> = answer.runs.iter().map(row).collect();
    html! {
        (table(&["weights", "configuration", "dataset", "seed\t", "step\t", "probabilities"], &rows))
        p class="note" {
            "Planes: axial, coronal, sagittal, 58 mm wide, window 40 ± 200 HU. Yellow: the candidate's mask, or the region grown from its \
             centre. “Not excluded”: pairs of region and status that hold the truth for about nine of ten new patients from the same source, of a node drawn from each."
        }
    }
}
