//! The audit as a page: issues first, then the counts, then where they come from.

use maud::{Markup, html};
use mtids_report::chart::{Series, heat_map, lines, stacked_bars};
use mtids_report::format::{count, interval, metric, percent};
use mtids_report::page::{Section, facts, figure, scrolling, table};
use mtids_shards::View;

use crate::agreement::SourceAgreement;
use crate::audit::Audit;
use crate::count::Group;
use crate::group_tables::{self, grouped, share, share_within};
use crate::issue::{AuditIssue, Severity};
use crate::issue_rows::{IssueRows, anchor};
use crate::measures::Measured;
use crate::per_patient::Patients;
use crate::sheets::Sheet;

/// Where the section on measures stands: behind that on sizes.
const AFTER_SIZES: usize = 6;

const STATUSES: [&str; 3] = ["benign", "metastatic", "unknown"];

/// The page as HTML text.
pub fn page(audit: &Audit) -> String {
    page_with_rows(audit, &IssueRows::default(), &[])
}

/// The page with the rows of its issues and contact sheets of patches.
pub fn page_with_rows(audit: &Audit, rows: &IssueRows, sheets: &[Sheet]) -> String {
    let lead = "Labels along two dimensions, mediastinal region and lymph-node metastasis, and issues that would invalidate \
                results. Research data, not for diagnosis.";
    let mut sections = vec![
        Section::new("overview", "Overview", overview(audit)),
        Section::new("issues", "Issues", issues_with_rows(&audit.issues, rows)),
        Section::new("labels", "Labels", labels(audit)),
        Section::new("splits", "Splits", splits(audit)),
        Section::new("stations", "Stations", stations(audit)),
        Section::new("sizes", "Sizes", sizes(audit)),
        Section::new("evidence", "Evidence", evidence(audit)),
        Section::new("agreement", "Agreement of sources", agreement(audit)),
        Section::new("acquisition", "Acquisition", acquisition(audit)),
        Section::new("associations", "Labels told without the image", group_tables::associations(&audit.associations)),
        Section::new("input", "Input", input(audit)),
        Section::new("origin", "Source", origin(audit)),
    ];
    // A dataset of an older layout has none.
    if !audit.measures.is_empty() {
        sections.insert(AFTER_SIZES, Section::new("measures", "Measures", measures(audit)));
    }
    if !rows.is_empty() {
        sections.push(Section::new("rows", "Rows of issues", rows.section(&audit.issues)));
    }
    if !sheets.is_empty() {
        sections.push(Section::new("pictures", "Pictures", pictures(sheets)));
    }
    if audit.agreement.is_empty() {
        sections.retain(|section| section.id() != "agreement");
    }
    mtids_report::page::page("Label audit", lead, &sections)
}

fn overview(audit: &Audit) -> Markup {
    let all = &audit.overall;
    let with_region: u64 =
        audit.by_region.iter().filter(|group| group.names[0].is_some()).map(|group| group.count.rows).sum();
    let of_rows = |n: u64| share((all.rows > 0).then(|| n as f64 / all.rows as f64));
    let patients = &audit.patients;
    let known_patients = patients.benign + patients.metastatic;
    let metastatic_patients = (known_patients > 0).then(|| patients.metastatic as f64 / known_patients as f64);
    let per_patient = match (audit.rows_per_patient.first(), audit.rows_per_patient.last()) {
        (Some(fewest), Some(most)) => {
            format!("{} ({fewest}–{most})", audit.rows_per_patient[audit.rows_per_patient.len() / 2])
        }
        _ => "–".to_owned(),
    };
    let mut rows = vec![("Patients", count(all.patients)), ("Patches", count(all.rows))];
    if audit.input.negatives > 0 {
        rows.push(("Negatives (not counted below)", count(audit.input.negatives)));
    }
    rows.extend([
        ("Patches per patient, median (range)", per_patient),
        (
            "Patches per study, median (range)",
            audit.studies.map_or_else(|| "–".to_owned(), |all| format!("{} ({}–{})", all.median, all.fewest, all.most)),
        ),
        ("Region known", of_rows(with_region)),
        ("Status known", of_rows(all.benign + all.metastatic)),
        ("Metastatic of known", share(all.prevalence())),
        ("Patients with a metastatic node, of known", share_within(metastatic_patients, patients.metastatic_interval)),
    ]);
    html! {
        (facts(&rows))
        @if known_patients > 0 { (metastatic_regions(patients)) }
    }
}

/// Patients by how many regions have a metastasis.
fn metastatic_regions(patients: &Patients) -> Markup {
    let by_regions = patients.by_metastatic_regions.iter().enumerate();
    let rows: Vec<Vec<String>> = by_regions.map(|(regions, &n)| vec![regions.to_string(), count(n)]).collect();
    html! {
        h3 { "Patients by regions with a metastatic node" }
        (table(&["regions", "patients\t"], &rows))
    }
}

/// Issues as a table, the gravest first.
pub(crate) fn issues(issues: &[AuditIssue]) -> Markup {
    issues_with_rows(issues, &IssueRows::default())
}

/// The same, with links to rows that are shown below.
fn issues_with_rows(issues: &[AuditIssue], rows: &IssueRows) -> Markup {
    html! {
        @if issues.iter().all(|issue| issue.severity == Severity::Info) { p class="good" { "No errors and no warnings." } }
        @if !issues.is_empty() { (scrolling(issue_table(issues, rows))) }
    }
}

fn issue_table(issues: &[AuditIssue], rows: &IssueRows) -> Markup {
    html! {
        table {
            thead { tr { th { "severity" } th { "issue" } th { "what to do" } } }
            tbody {
                @for (n, issue) in issues.iter().enumerate() {
                    tr {
                        td class=(issue.severity.name()) { (issue.severity.name()) }
                        td class="prose" {
                            (issue.message) " " code { (issue.code.name()) }
                            @if !issue.examples.is_empty() { div class="note id" { "for example " (issue.examples.join(" · ")) } }
                        }
                        td class="prose" {
                            (issue.advice)
                            @if rows.has(issue) { div class="note" { a href=(format!("#{}", anchor(n))) { "rows to look at" } } }
                        }
                    }
                }
            }
        }
    }
}

fn values(group: &Group) -> Vec<f64> {
    [group.count.benign, group.count.metastatic, group.count.unknown].map(|n| n as f64).to_vec()
}

fn labels(audit: &Audit) -> Markup {
    let names: Vec<String> = audit.by_region.iter().map(|group| group.name(0).to_owned()).collect();
    let bars: Vec<Vec<f64>> = audit.by_region.iter().map(values).collect();
    // A column without a single patch would only take room.
    let used: Vec<usize> = (0..STATUSES.len()).filter(|&n| bars.iter().any(|row| row[n] > 0.0)).collect();
    let columns: Vec<String> = used.iter().map(|&n| STATUSES[n].to_owned()).collect();
    let cells: Vec<Vec<f64>> = bars.iter().map(|row| used.iter().map(|&n| row[n]).collect()).collect();
    html! {
        div class="two" {
            (figure("Patches by region and status", &stacked_bars("Patches by region and status", &names, &STATUSES, &bars)))
            (figure("The two dimensions together", &heat_map("Region against status", "region", "status", &names, &columns, &cells)))
        }
        p class="note" { "Right table: darker cells have a larger share of their row." }
        (grouped(&["region"], &audit.by_region))
        p class="note" { (group_tables::INTERVALS) }
    }
}

fn splits(audit: &Audit) -> Markup {
    html! {
        (grouped(&["split"], &audit.by_split))
        h3 { "By region" }
        (grouped(&["region", "split"], &audit.by_region_and_split))
        p class="note" { "A patient belongs to one split. Patients of different regions add up to more than all patients: most have nodes in several." }
    }
}

fn stations(audit: &Audit) -> Markup {
    let known: Vec<&Group> = audit.by_station.iter().filter(|group| group.names[0].is_some()).collect();
    let names: Vec<String> = known.iter().map(|group| group.name(0).to_owned()).collect();
    let bars: Vec<Vec<f64>> = known.iter().map(|group| values(group)).collect();
    html! {
        @if known.is_empty() { p { "No station is known." } }
        @else {
            (figure("Patches by station", &stacked_bars("Patches by station", &names, &STATUSES, &bars)))
            (grouped(&["station"], &audit.by_station))
        }
    }
}

fn evidence(audit: &Audit) -> Markup {
    html! {
        (grouped(&["evidence", "given for"], &audit.by_evidence))
        h3 { "Form of source" }
        (grouped(&["source"], &audit.by_source))
    }
}

fn sizes(audit: &Audit) -> Markup {
    if audit.sizes.is_empty() {
        return html! { p { "No short axis is known." } };
    }
    let series: Vec<Series> = audit
        .sizes
        .iter()
        .map(|sizes| {
            let n = sizes.short_axes_mm.len() as f64;
            let points =
                sizes.short_axes_mm.iter().enumerate().map(|(rank, &mm)| (mm, (rank + 1) as f64 / n)).collect();
            Series { name: sizes.status.clone(), points }
        })
        .collect();
    let rows: Vec<Vec<String>> = audit
        .sizes
        .iter()
        .map(|sizes| {
            let quantiles = [0.05, 0.25, 0.5, 0.75, 0.95]
                .map(|share| sizes.quantile(share).map_or_else(|| metric(None), |mm| format!("{mm:.1}")));
            [sizes.status.clone(), count(sizes.rows)].into_iter().chain(quantiles).collect()
        })
        .collect();
    html! {
        div class="two" {
            (figure("Share of nodes up to a short axis", &lines("Short axis", "short axis, mm", "share", &series, Some((0.0, 1.0)))))
            div {
                (table(&["status", "n\t", "5 %\t", "25 %\t", "median\t", "75 %\t", "95 %\t"], &rows))
                p class="note" { "Short axis in mm, where given or measured. The further apart the lines, the better size alone predicts the status." }
            }
        }
    }
}

fn measures(audit: &Audit) -> Markup {
    let number = |value: Option<f64>, unit: &str| {
        value.map_or_else(
            || "–".to_owned(),
            |value| (if unit == "1" { format!("{value:.2}") } else { format!("{value:.1}") }).replace('-', "−"),
        )
    };
    let rows = |of: &str| -> Vec<Vec<String>> {
        let of_source = audit.measures.iter().filter(|measured| measured.of == of);
        let row = |measured: &Measured| {
            let unit = if measured.unit == "1" { String::new() } else { measured.unit.clone() };
            let [benign, metastatic] = [&measured.benign, &measured.metastatic];
            vec![
                measured.measure.clone(),
                unit,
                count(benign.rows),
                number(benign.median, &measured.unit),
                count(metastatic.rows),
                number(metastatic.median, &measured.unit),
                metric(measured.auroc),
                interval(measured.interval.map(|[low, high]| (low, high))),
            ]
        };
        of_source.map(row).collect()
    };
    let columns = ["measure", "unit", "benign\t", "median\t", "metastatic\t", "median\t", "AUROC\t", "95 %\t"];
    let [grown, mask] = ["grown", "mask"].map(rows);
    html! {
        @if !grown.is_empty() {
            h3 { "Of the region grown from the point" }
            (table(&columns, &grown))
        }
        @if !mask.is_empty() {
            h3 { "Of the mask" }
            (table(&columns, &mask))
        }
        p class="note" {
            "Each measure alone, over patches of known status. Below an AUROC of 0.5, metastatic nodes have lower values. Intervals treat \
             the nodes of a patient as dependent. Masks exist for some nodes only, so compare their rows with care."
        }
    }
}

fn agreement(audit: &Audit) -> Markup {
    let row = |one: &SourceAgreement| {
        let [first, second] = one.sources.clone();
        let kappa = [metric(one.kappa), interval(one.interval.map(|[low, high]| (low, high)))];
        let counts = [count(one.pairs), count(one.patients), percent(one.observed)];
        [first, second, one.dimension.clone()].into_iter().chain(counts).chain(kappa).collect()
    };
    let rows: Vec<Vec<String>> = audit.agreement.iter().map(row).collect();
    html! {
        (table(&["form of source", "other form", "dimension", "pairs\t", "patients\t", "agree\t", "kappa\t", "95 %\t"], &rows))
        p class="note" {
            "Findings of two forms of source (table, masks) in one frame of reference, less than " (audit.config.same_place_mm) " mm apart, one to \
             one; samples of a finding are left out. Two tables are one form. Cohen's kappa with its interval by bootstrap over patients, from five \
             patients on; findings of one series are joined by the build, which sets contradictions to unknown."
        }
    }
}

fn acquisition(audit: &Audit) -> Markup {
    let fewest = audit.config.smallest_class_patients;
    html! {
        (grouped(&["manufacturer", "model", "kernel"], &audit.by_scanner))
        h3 { "Contrast agent" }
        (grouped(&["given"], &audit.by_contrast))
        @for (title, heading, groups) in [
            ("Site", "site", &audit.by_site),
            ("Sex", "sex", &audit.by_sex),
            ("Age", "years", &audit.by_age_band),
        ] {
            @if !groups.is_empty() {
                h3 { (title) }
                (grouped(&[heading], groups))
            }
        }
        @for (title, heading, groups) in [
            ("Region and site", "site", &audit.by_region_and_site),
            ("Region and manufacturer", "manufacturer", &audit.by_region_and_manufacturer),
            ("Region and kernel", "kernel", &audit.by_region_and_kernel),
            ("Region and slice thickness", "mm", &audit.by_region_and_slice_thickness),
            ("Region and contrast agent", "given", &audit.by_region_and_contrast),
        ] {
            @if !groups.is_empty() {
                h3 { (title) }
                (group_tables::by_region(heading, groups, fewest))
            }
        }
        (group_tables::note(fewest))
    }
}

fn input(audit: &Audit) -> Markup {
    let totals = &audit.input;
    let mut rows = vec![vec!["used".to_owned(), String::new(), count(totals.used)]];
    for (name, reasons) in [("skipped", &totals.skipped_by_reason), ("quarantined", &totals.quarantined_by_reason)] {
        rows.extend(reasons.iter().map(|(reason, n)| vec![name.to_owned(), reason.clone(), count(*n)]));
    }
    rows.push(vec!["all".to_owned(), String::new(), count(totals.inputs)]);
    html! {
        (table(&["files", "reason", "number\t"], &rows))
        p class="note" { (count(totals.unmatched_findings)) " annotations have no image or are outside it." }
    }
}

fn pictures(sheets: &[Sheet]) -> Markup {
    html! {
        @for sheet in sheets {
            // A sheet has pictures, so it has an address.
            @if let Ok(uri) = sheet.picture.data_uri() {
                figure {
                    figcaption { (sheet.region) ", " (sheet.status) }
                    img src=(uri) style="max-width:100%"
                        alt=(format!("{} {} patches, axial, coronal and sagittal plane", sheet.keys.len(), sheet.status));
                    p class="note" { (sheet.keys.join(" · ")) }
                }
            }
        }
        p class="note" {
            "One patch of a patient, the first ones of the index; keys stand below in the order of the pictures. Axial, coronal and sagittal plane, "
            (format!("{:.0}", sheets.first().map_or(0.0, |sheet| sheet.field_mm)))
            " mm wide, window 40 ± 200 HU; the patient's right is on the left. These are voxels of patients: keep the page where the dataset is."
        }
    }
}

fn origin(audit: &Audit) -> Markup {
    let view = |view: &View| {
        let size = view.geometry.size.map(|n| n.to_string()).join(" × ");
        let spacing = view.geometry.spacing_mm.map(|mm| mm.to_string()).join(" × ");
        let channels = view.channels.iter().map(|channel| channel.name()).collect::<Vec<_>>().join(", ");
        vec![format!("view {}", view.name), format!("{size} voxels of {spacing} mm (d, h, w), {channels}")]
    };
    let mut rows = vec![vec!["dataset".to_owned(), audit.dataset_digest.to_string()]];
    rows.extend(audit.views.iter().map(view));
    rows.extend([
        vec!["regions".to_owned(), audit.regions.join(", ")],
        vec!["program".to_owned(), format!("{} {}", audit.program.name, audit.program.version)],
    ]);
    table(&["what", "which"], &rows)
}
