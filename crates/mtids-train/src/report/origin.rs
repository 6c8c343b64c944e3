//! Where the figures come from.

use maud::{Markup, html};
use mtids_models::Architecture;
use mtids_report::page::table;

use crate::measured::Evaluation;
use crate::run_folder::RunFolder;

/// Digests, program, weights and methods.
pub(super) fn origin(folder: &RunFolder, evaluation: &Evaluation) -> Markup {
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
