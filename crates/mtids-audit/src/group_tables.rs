//! Markup of counts by groups, of one column against the regions, and of how much columns tell of labels.
//!
//! Invariant: cells without a patch, and those of few patients, are marked by letters too, not by colour alone.

use std::collections::BTreeMap;

use maud::{Markup, html};
use mtids_report::format::{count, metric, percent};
use mtids_report::page::{scrolling, table};

use crate::association::Association;
use crate::count::{Count, Group};

/// What the brackets of shares are.
pub(crate) const INTERVALS: &str = "“of all” is the share of all patches, “of known” that of metastatic ones in those of known status. In \
                                    brackets 95 % intervals, with the nodes of a patient as dependent.";

/// A share as people read it.
pub(crate) fn share(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), percent)
}

/// A share with its interval: `12.3 % (10–15)`.
pub(crate) fn share_within(value: Option<f64>, interval: Option<[f64; 2]>) -> String {
    let ends = interval.map(|[low, high]| format!(" ({:.0}–{:.0})", 100.0 * low, 100.0 * high));
    share(value) + &ends.unwrap_or_default()
}

/// A table of groups, whose names have these headings.
pub(crate) fn grouped(names: &[&str], groups: &[Group]) -> Markup {
    if groups.is_empty() {
        return html! { p { "Not known of any patch." } };
    }
    let numbers = ["patches\t", "of all\t", "patients\t", "benign\t", "metastatic\t", "of known\t", "unknown\t"];
    // Groups of a table are all rows.
    let all: u64 = groups.iter().map(|group| group.count.rows).sum();
    let columns: Vec<&str> = names.iter().copied().chain(numbers).collect();
    let rows: Vec<Vec<String>> = groups.iter().map(|group| row_of(group, all)).collect();
    table(&columns, &rows)
}

fn row_of(group: &Group, all: u64) -> Vec<String> {
    let c = &group.count;
    let intervals = group.intervals.unwrap_or_default();
    let names = (0..group.names.len()).map(|position| group.name(position).to_owned());
    let of_all = share_within((all > 0).then(|| c.rows as f64 / all as f64), intervals.rows);
    let of_known = share_within(c.prevalence(), intervals.metastatic);
    let numbers =
        [count(c.rows), of_all, count(c.patients), count(c.benign), count(c.metastatic), of_known, count(c.unknown)];
    names.chain(numbers).collect()
}

/// A table with a row for each value of a column and a column for each region: patches and patients. `groups` are named by region and value.
pub(crate) fn by_region(heading: &str, groups: &[Group], fewest_patients: u64) -> Markup {
    let mut regions: Vec<&str> = Vec::new();
    let mut values: Vec<&str> = Vec::new();
    let mut cells: BTreeMap<(&str, &str), Count> = BTreeMap::new();
    for group in groups {
        let (region, value) = (group.name(0), group.name(1));
        if !regions.contains(&region) {
            regions.push(region);
        }
        if !values.contains(&value) {
            values.push(value);
        }
        cells.insert((value, region), group.count);
    }
    // Groups come region by region, and a value may be missing from the first.
    values.sort_by(|a, b| by_number(a).total_cmp(&by_number(b)).then_with(|| a.cmp(b)));
    let cell = |value: &str, region: &str| cells.get(&(value, region)).copied().unwrap_or_default();
    scrolling(html! {
        table {
            thead { tr { th class="t" { (heading) } @for region in &regions { th class="n" { (region) } } } }
            tbody {
                @for value in &values {
                    tr {
                        td class="t" { (value) }
                        @for region in &regions {
                            @let Count { rows, patients, .. } = cell(value, region);
                            @if rows == 0 { td class="n warning" { "0 !" } }
                            @else if patients < fewest_patients { td class="n warning" { (count(rows)) " (" (count(patients)) ") *" } }
                            @else { td class="n" { (count(rows)) " (" (count(patients)) ")" } }
                        }
                    }
                }
            }
        }
    })
}

/// The place of a value among others: by number where it is one, behind all numbers otherwise.
fn by_number(value: &str) -> f64 {
    value.parse().unwrap_or(f64::INFINITY)
}

/// Which tables a note explains.
pub(crate) fn note(fewest_patients: u64) -> Markup {
    html! {
        p class="note" {
            "Patches, in brackets patients. ! marks a cell without any patch, * one with fewer than " (fewest_patients) " patients."
        }
    }
}

/// What a column of the index is called.
fn words(column: &str) -> &str {
    match column {
        "region_name" => "region",
        "slice_thickness_mm" => "slice thickness",
        "slice_step_mm" => "distance of slices",
        "kvp" => "voltage",
        "age_band" => "age",
        "label_source" => "form of source",
        "pet" => "PET",
        other => other,
    }
}

/// How much each column tells of the labels.
pub(crate) fn associations(all: &[Association]) -> Markup {
    let row = |one: &Association| {
        vec![
            words(&one.column).to_owned(),
            one.dimension.clone(),
            one.cases.name().to_owned(),
            count(one.count),
            metric(Some(one.cramers_v)),
            metric(Some(one.mutual_information)),
            percent(one.of_label),
        ]
    };
    let rows: Vec<Vec<String>> = all.iter().map(row).collect();
    html! {
        (table(&["column", "label", "counted", "n\t", "Cramér's V\t", "bits\t", "of the label\t"], &rows))
        p class="note" {
            "What a column tells of a label without the image. Bits are the mutual information; the last column is its share of what there is to know              of the label. Both are corrected for the number of values. A patient counts as metastatic if any node is, except for evidence and form of              source, where a patient counts for each status."
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(region: &str, value: Option<&str>, rows: u64, patients: u64) -> Group {
        let names = vec![Some(region.to_owned()), value.map(str::to_owned)];
        Group { names, count: Count { rows, patients, ..Count::default() }, intervals: None }
    }

    #[test]
    fn cells_that_are_empty_or_of_few_patients_are_marked_and_numbers_stand_in_their_order() {
        let groups = [
            group("upper", Some("10.0"), 30, 9),
            group("upper", None, 8, 8),
            group("hilar", Some("2.5"), 7, 2),
            group("hilar", Some("10.0"), 60, 12),
        ];
        let text = by_region("mm", &groups, 5).into_string();
        let place = |part: &str| text.find(part).unwrap_or_else(|| panic!("{part} in {text}"));
        assert!(place("<td class=\"t\">2.5</td>") < place("<td class=\"t\">10.0</td>"));
        assert!(place("<td class=\"t\">10.0</td>") < place("<td class=\"t\">unknown</td>"));
        assert!(
            text.contains("<td class=\"n warning\">0 !</td>") && text.contains("<td class=\"n warning\">7 (2) *</td>")
        );
        assert!(text.contains("<td class=\"n\">60 (12)</td>"));
    }
}
