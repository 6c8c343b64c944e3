//! The status beside a ruler, calibrated, at thresholds, and in parts of the split.

use maud::{Markup, html};
use mtids_metrics::Interval;
use mtids_report::chart::{Series, lines};
use mtids_report::format::{interval, metric, signed, signed_interval};
use mtids_report::page::{figure, table};
use mtids_report::reliability::{ReliabilityPoint, reliability};

use crate::coverage::Coverage;
use crate::operating::{Benefit, Calls, Operating};
use crate::readers::Readers;
use crate::reliability::Bin;
use crate::subgroups::{Grouping, Subgroup, Subgroups};
use crate::within::ShareWithin;

/// The readers of the status, and their differences.
pub(super) fn readers(readers: &Readers) -> Markup {
    let bounds = |found: &Option<Interval>| interval(found.as_ref().map(|bounds| (bounds.low, bounds.high)));
    let rows: Vec<Vec<String>> = readers
        .figures
        .iter()
        .map(|figure| {
            vec![
                figure.reader.title().to_owned(),
                metric(figure.auroc),
                bounds(&figure.interval),
                format!("{} / {}", figure.samples, figure.patients),
            ]
        })
        .collect();
    html! {
        (table(&["reader of the status", "AUROC\t", "95 % interval\t", "samples / patients\t"], &rows))
        @for comparison in &readers.comparisons { p { (comparison.sentence) "." } }
        @if let Some(fusion) = &readers.fusion {
            p class="note" {
                "Network + measures: a logistic model over two logits, fitted on " (fusion.samples) " samples of " (fusion.patients)
                " validation patients. One is the network's. The other is that of a logistic reader of the grown region, fitted on "
                (fusion.reader.samples) " training samples: " (fusion.reader.names().join(", ")) "."
            }
        } @else {
            p class="note" { "No network + measures: " (readers.no_fusion) "." }
        }
        p class="note" { "Differences are on the same samples; their intervals are 95 % paired bootstrap intervals over patients." }
    }
}

/// What the calibration is worth here.
pub(super) fn calibration(coverage: Option<&Coverage>, bins: &[Bin]) -> Markup {
    let point = |bin: &Bin| ReliabilityPoint {
        said: bin.mean,
        found: bin.share.value.unwrap_or_default(),
        interval: bin.share.interval.map(|bounds| (bounds.low, bounds.high)),
        label: format!("{} of {} nodes metastatic", bin.metastatic, bin.nodes),
    };
    let points: Vec<ReliabilityPoint> = bins.iter().map(point).collect();
    let row = |bin: &Bin| {
        vec![
            format!("{:.3} to {:.3}", bin.range[0], bin.range[1]),
            metric(Some(bin.mean)),
            metric(bin.share.value),
            bin.share.bounds(),
            format!("{} / {}", bin.metastatic, bin.nodes),
            bin.patients.to_string(),
        ]
    };
    let rows: Vec<Vec<String>> = bins.iter().map(row).collect();
    let columns = ["calibrated p", "mean\t", "metastatic\t", "95 % interval\t", "metastatic / nodes\t", "patients\t"];
    html! {
        @for sentence in coverage.map(Coverage::sentences).iter().flatten() { p { (sentence) "." } }
        p class="note" {
            "Fitted on validation patients: a logistic map of the logits of metastasis, and sets of joint classes by hierarchical conformal "
            "prediction. The share of sets that hold the true class should agree with their name."
        }
        @if !bins.is_empty() {
            (figure("Reliability", &reliability("Reliability", "calibrated probability of metastasis", "share of metastatic nodes", &points)))
            (table(&columns, &rows))
            p class="note" {
                "Bins of about equally many nodes. On the dashed line, what is said comes true. Intervals are 95 % bootstrap intervals over "
                "patients; where all nodes of a bin agree, Wilson's interval of their patients."
            }
        }
    }
}

/// Lower end of the decision curve's chart; calling every node is worth far less at high thresholds.
const LEAST_BENEFIT: f64 = -0.1;

/// The beginning of a line, to where it falls below `low`: a chart would draw the rest along its edge.
fn above(points: impl Iterator<Item = (f64, f64)>, low: f64) -> Vec<(f64, f64)> {
    let mut kept: Vec<(f64, f64)> = Vec::new();
    for (x, y) in points {
        if y < low {
            if let Some(&(before, from)) = kept.last() {
                kept.push((before + (x - before) * (from - low) / (from - y), low));
            }
            break;
        }
        kept.push((x, y));
    }
    kept
}

/// Calls at thresholds, and the decision curve.
pub(super) fn decisions(operating: &Operating) -> Markup {
    let rows: Vec<Vec<String>> = operating.calls.iter().map(Calls::cells).collect();
    let line = |name: &str, of: &dyn Fn(&Benefit) -> Option<f64>| Series {
        name: name.to_owned(),
        points: above(operating.benefit.iter().filter_map(|one| Some((one.threshold, of(one)?))), LEAST_BENEFIT),
    };
    let curve = [
        line("calibrated answer", &|one| one.answer.value),
        line("call every node", &|one| one.every_node),
        line("call none", &|_| Some(0.0)),
    ];
    let columns =
        ["called", "from p\t", "sensitivity\t", "95 % interval\t", "of\t", "specificity\t", "95 % interval\t", "of\t"];
    let benefit = |one: &Benefit| {
        vec![
            format!("{:.2}", one.threshold),
            signed(one.answer.value),
            signed_interval(one.answer.interval.as_ref().map(|bounds| (bounds.low, bounds.high))),
            signed(one.every_node),
        ]
    };
    let benefits: Vec<Vec<String>> = operating.benefit.iter().map(benefit).collect();
    let range = Some((LEAST_BENEFIT, operating.prevalence.max(0.1)));
    html! {
        (table(&columns, &rows))
        p class="note" {
            "The second threshold called nine in ten metastases of the validation patients. A patient is called where any of its nodes of known status is."
        }
        @for sentence in operating.sentences() { p { (sentence) "." } }
        (figure("Decision curve", &lines("Decision curve", "threshold", "net benefit per node", &curve, range)))
        (table(&["threshold\t", "net benefit of the answer\t", "95 % interval\t", "of calling every node\t"], &benefits))
        p class="note" {
            "Net benefit per node; calling none is worth 0. Intervals are 95 % bootstrap intervals over patients; of shares on which all agree, "
            "Wilson's interval of their patients."
        }
    }
}

/// The status in parts of the split.
pub(super) fn subgroups(subgroups: &Subgroups) -> Markup {
    let within = |figure: &ShareWithin| match figure.value {
        Some(value) => format!("{value:.3} [{}]", figure.bounds()),
        None => metric(None),
    };
    let row = |group: &Subgroup| {
        vec![
            group.name.clone(),
            within(&group.auroc),
            within(&group.sensitivity),
            within(&group.specificity),
            format!("{} / {}", group.metastatic, group.nodes),
            group.patients.to_string(),
        ]
    };
    let rows = |grouping: Grouping| -> Vec<Vec<String>> {
        subgroups.claimed().filter(|group| group.grouping == grouping).map(row).collect()
    };
    let columns = ["group", "AUROC\t", "sensitivity\t", "specificity\t", "metastatic / nodes\t", "patients\t"];
    html! {
        @for grouping in Grouping::ALL {
            @let rows = rows(grouping);
            @if !rows.is_empty() {
                h3 { "By " (grouping.title()) }
                (table(&columns, &rows))
            }
        }
        ul class="note" { @for sentence in subgroups.sentences() { li { (sentence) "." } } }
        p class="note" {
            "In brackets, 95 % bootstrap intervals over the patients of the group; of shares on which all nodes agree, Wilson's interval of their "
            "patients."
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_ends_where_it_leaves_the_chart() {
        let line = |points: &[(f64, f64)]| above(points.iter().copied(), -0.5);
        assert_eq!(line(&[(0.0, 1.0), (1.0, 0.0), (2.0, -1.0), (3.0, -9.0)]), [(0.0, 1.0), (1.0, 0.0), (1.5, -0.5)]);
        assert_eq!(line(&[(0.0, 1.0), (1.0, -0.5)]), [(0.0, 1.0), (1.0, -0.5)]);
        assert_eq!(line(&[(0.0, -1.0), (1.0, 0.0)]), []);
    }
}
