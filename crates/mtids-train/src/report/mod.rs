//! The report of a run: one page that says what was trained, on what, how it went and how good it is.

mod card;
mod course;
mod figures;
mod gallery;
mod origin;
mod status;
mod training;

use mtids_models::Architecture;
use mtids_report::page::{Section, page};

use crate::card::Card;
use crate::error::TrainError;
use crate::gallery::Gallery;
use crate::measured::Evaluation;
use crate::run_folder::RunFolder;
use crate::run_folder::log::{EpochLine, LossLine, read};

/// The page.
pub(crate) fn report(
    folder: &RunFolder,
    evaluation: &Evaluation,
    failures: &Gallery,
    model_card: &Card,
) -> Result<String, TrainError> {
    let losses: Vec<LossLine> = read(&folder.file("losses.jsonl"))?;
    let epochs: Vec<EpochLine> = read(&folder.file("epochs.jsonl"))?;
    let measured = &evaluation.measured;
    let title = evaluation.architecture.title();
    let what = evaluation.architecture_in_words();
    let lead = format!(
        "{what}: which mediastinal region a lymph node lies in, and whether it is metastatic. Research software; nothing \
         here is a diagnosis."
    );
    let mut sections = vec![Section::new("result", "Result", figures::result(evaluation))];
    if !measured.heads.is_empty() {
        sections.push(Section::new("figures", "All figures", figures::figures(evaluation)));
        sections.push(Section::new("confusion", "Confusion and curves", figures::confusion(evaluation)));
    }
    if !measured.per_region.is_empty() {
        sections.push(Section::new("regions", "Metastasis by region (network)", figures::regions(evaluation)));
    }
    if !evaluation.readers.figures.is_empty() {
        sections.push(Section::new("readers", "Beside a ruler", status::readers(&evaluation.readers)));
    }
    if evaluation.coverage.is_some() || !evaluation.reliability.is_empty() {
        let body = status::calibration(evaluation.coverage.as_ref(), &evaluation.reliability);
        sections.push(Section::new("calibration", "Calibration", body));
    }
    if let Some(operating) = &evaluation.operating {
        sections.push(Section::new("decisions", "Decisions", status::decisions(operating)));
    }
    if !evaluation.subgroups.groups.is_empty() {
        sections.push(Section::new("subgroups", "Subgroups", status::subgroups(&evaluation.subgroups)));
    }
    if !failures.failures.is_empty() {
        let body = gallery::gallery(failures, evaluation.subgroups.threshold.is_some());
        sections.push(Section::new("failures", "Failures", body));
    }
    sections.push(Section::new("training", "Training", training::training(&losses, &epochs)));
    if evaluation.architecture != Architecture::SingleTask && !losses.is_empty() {
        let body = training::balancing(&evaluation.balancer, &losses);
        sections.push(Section::new("balancing", "Balancing", body));
    }
    if !measured.gates.is_empty() {
        sections.push(Section::new("gates", "Routing", training::gates(evaluation, &losses)));
    }
    sections.push(Section::new("origin", "Source", origin::origin(folder, evaluation)));
    sections.push(Section::new("card", "Model card", card::card(&model_card.model)));
    sections.push(Section::new("reporting", "Reporting items", card::card(&model_card.reporting)));
    Ok(page(&format!("{title} training report"), &lead, &sections))
}
