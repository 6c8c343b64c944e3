//! The nodes on which the answer was surest and wrong.

use maud::{Markup, html};
use mtids_report::page::table;

use crate::gallery::{Failure, Gallery};

/// The gallery.
pub(super) fn gallery(gallery: &Gallery, calibrated: bool) -> Markup {
    let kinds = [("Missed metastases", true, gallery.missed), ("False alarms", false, gallery.false_alarms)];
    html! {
        @for (title, metastatic, all) in kinds {
            @let shown: Vec<&Failure> = gallery.failures.iter().filter(|one| one.metastatic == metastatic).collect();
            h3 { (title) ": " (shown.len()) " of " (all) }
            @if shown.is_empty() { p { "None." } }
            div class="two" { @for failure in shown { (of_failure(failure)) } }
        }
        p class="note" {
            "The surest errors at one half of the " (if calibrated { "calibrated" } else { "network's" }) " probability. Axial, coronal and "
            "sagittal plane through the centre of the node, window 40 ± 200 HU; yellow: the annotation's mask, where a view has it. They are "
            "chosen for being wrong, and say nothing of how often that happens. This part of the page shows voxels of patients."
        }
    }
}

fn of_failure(failure: &Failure) -> Markup {
    let truth = if failure.metastatic { "metastatic" } else { "benign" };
    let region = failure.region.as_deref().unwrap_or("region not known");
    let title = format!("{region}, {truth}, p {:.3}", failure.probability);
    let mm = |value: Option<f64>| value.map_or_else(|| "not measured".to_owned(), |value| format!("{value:.1} mm"));
    let views: Vec<String> =
        failure.pictures.iter().map(|picture| format!("{}, {:.0} mm wide", picture.view, picture.field_mm)).collect();
    let rows = [
        ("views", views.join("; ")),
        ("region, network", failure.called_region.clone()),
        ("short axis (annotation)", mm(failure.short_axis_mm)),
        ("short axis (grown region)", mm(failure.grown_short_axis_mm.map(f64::from))),
    ];
    let rows: Vec<Vec<String>> = rows.into_iter().map(|(what, value)| vec![what.to_owned(), value]).collect();
    html! {
        figure {
            figcaption { (title) }
            p class="note" { "row " code { (failure.sample_key) } }
            @for picture in &failure.pictures {
                img src=(picture.uri) width="576" height="192" style="max-width:100%;height:auto;display:block;margin-bottom:6px"
                    alt=(format!("{title}: view {}, axial, coronal and sagittal plane, {:.0} mm wide", picture.view, picture.field_mm));
            }
            (table(&["", ""], &rows))
        }
    }
}
